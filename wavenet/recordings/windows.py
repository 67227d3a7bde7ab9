"""Prepared recordings -> training and validation windows.

Every scored sample sees a full receptive field of real audio or, before the start of a file, of the zero code, as in
generation from silence. Windows never cross files. Where a window ends does not affect the loss of any sample, so files
are tiled once, each sample is scored once per epoch, and only the order changes: item = f(seed, epoch, index). It does
affect which frames have classes to learn (`Windows.frame_classes`), so a recogniser's epochs take turns with tilings.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from wavenet.audio.encodings import Codes, encoding_of
from wavenet.model.conditioning import Companion, Piece
from wavenet.model.distributions import IGNORED
from wavenet.recordings.alignments import Alignments
from wavenet.recordings.augmentation import Change, Varied
from wavenet.recordings.split import Span

GRAIN = 1024
"""Batches are padded to a multiple of about this many scored samples; a whole window is such a multiple. Matrix
libraries compile a kernel for every shape, so few shapes are faster than many."""


class FrameClasses(NamedTuple):
    """The class of each frame in one window, which covers start..stop of its item's targets."""

    start: int
    stop: int
    classes: Tensor


class Known(Protocol):
    """What is known of recordings besides their codes, such as `annotations.Annotations`."""

    def companion(self, recording: int) -> Companion: ...


class Windows:
    """Spans cut into windows of at most `crop` scored samples, each with a receptive field of context before it.

    An item is one window, or several short ones in a row, so that short recordings fill a step as well as long ones:

        codes:    | context | scored samples | context | scored samples |
        targets:            | scored samples | ignored | scored samples |
    """

    def __init__(
        self,
        codes: Codes,
        spans: list[Span],
        crop: int,
        receptive_field: int,
        annotations: Known | None = None,
        alignments: Alignments | None = None,
        every_frame: bool = False,
        weights: np.ndarray | None = None,
    ) -> None:
        """`every_frame`: whether to cut the spans in several ways, so that each frame has its neighbours in one.

        weights: (recordings,), how often each is heard; an item has windows of one weight.
        """
        self.codes, self.crop, self.receptive_field = codes, crop, receptive_field
        self.annotations, self.alignments = annotations, alignments
        self._encoding = encoding_of(codes)
        self._zero = self._encoding.zero
        self._grain = -(-crop // -(-crop // GRAIN))  # 550 for crop=1100, which 1024 would pad to 2048
        start = np.array([span.start for span in spans], dtype=np.int64)
        end = start + np.array([span.samples for span in spans], dtype=np.int64)
        shifts = self._shifts() if every_frame else [0]
        tilings = [_tile(start, end, crop, shift) for shift in shifts]
        owner, self._start, self._stop = (np.concatenate(part) for part in zip(*tilings, strict=True))
        self._recording = np.array([span.recording for span in spans], dtype=np.int64)[owner]
        self._origin = np.array([span.origin for span in spans], dtype=np.int64)[owner]
        self._end = end[owner]
        self._weights = None if weights is None else weights[self._recording]
        self._last = np.array([span.ends for span in spans], dtype=bool)[owner] & (self._stop == end[owner])
        self._groups: list[list[int]] = []
        self.epochs: list[range] = []
        """The items of each tiling. Epochs take turns with them, and each sample is scored once in each."""
        first = 0
        for _, starts, _ in tilings:
            groups = self._pack(first, first + len(starts))
            self.epochs.append(range(len(self._groups), len(self._groups) + len(groups)))
            self._groups += groups
            first += len(starts)
        self.weights = None if self._weights is None else self._weights[[group[0] for group in self._groups]]
        """(items,): how often each is heard in an epoch; None if all are heard once."""

    def _shifts(self) -> list[int]:
        """By how many samples the first windows of each tiling are shorter; [0] without frames.

        Every frame is further than `reach` from the cuts of one of them.
        """
        if self.alignments is None:
            return [0]
        frames, hop = self.crop // self.alignments.hop, self.alignments.hop
        count = math.ceil(frames / (frames - 2 * self.alignments.reach))
        return [number * frames // count * hop for number in range(count)]

    def _pack(self, first: int, last: int) -> list[list[int]]:
        lengths = self._stop - self._start
        groups, open_group, filled = [], [], 0
        alike = self._weights if self._weights is not None else np.ones(last)
        for window, length in enumerate(lengths[first:last].tolist(), start=first):
            if length > self.crop // 2:
                groups.append([window])
            elif open_group and (filled + length > self.crop or alike[window] != alike[open_group[0]]):
                groups.append(open_group)
                open_group, filled = [window], length
            else:
                open_group.append(window)
                filled += length
        return groups + ([open_group] if open_group else [])

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def samples(self) -> int:
        """Total number of scored samples, of all tilings."""
        return int((self._stop - self._start).sum())

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Codes (T,) and targets (T - receptive_field,), both int64; the model gets all codes but the last."""
        return self.item(index)

    def item(self, index: int, change: Change | None = None) -> tuple[Tensor, Tensor]:
        """The same under a change."""
        codes, targets = [], []
        for window in self._groups[index]:
            if change is not None:
                varied, start, stop = self._varied(window, change)
                codes.append(varied.read(start - self.receptive_field, stop))
                targets += [np.full(self.receptive_field, IGNORED), codes[-1][self.receptive_field :]]
                continue
            start, stop = self._start[window], self._stop[window]
            context = self.codes[max(self._origin[window], start - self.receptive_field) : start]
            padding = np.full(self.receptive_field - len(context), self._zero, dtype=self.codes.dtype)
            scored = self.codes[start:stop]
            codes += [padding, context, scored]
            targets += [np.full(self.receptive_field, IGNORED), scored]
        given = torch.from_numpy(np.concatenate(codes).astype(np.int64))
        return given, torch.from_numpy(np.concatenate(targets)[self.receptive_field :].astype(np.int64))

    def _varied(self, window: int, change: Change) -> tuple[Varied, int, int]:
        """The recording of a window under a change, as far as its span reaches, and where the window lies in it."""
        origin = self._origin[window]
        varied = Varied(self.codes[origin : self._end[window]], self._encoding, change)
        return varied, *varied.place(int(self._start[window] - origin), int(self._stop[window] - origin))

    def pieces(self, index: int, change: Change | None = None) -> list[Piece]:
        """Conditioning of an item's inputs, one piece per window: that of each input describes the sample after it."""
        if self.annotations is None:
            return []
        pieces = []
        for window in self._groups[index]:
            origin = int(self._origin[window])
            start, stop = int(self._start[window]) - origin, int(self._stop[window]) - origin
            companion = self.annotations.companion(int(self._recording[window]))
            if change is not None and change.resounds:
                varied, start, stop = self._varied(window, change)
                companion = companion._replace(codes=lambda a, b, one=varied: torch.from_numpy(one.read(a, b)))
            pieces.append((companion, start - self.receptive_field + 1, stop + 1))
        return pieces

    def frame_classes(self, index: int) -> list[FrameClasses]:
        """The frame classes of an item, window by window.

        A frame is ignored if its class depends on neighbours that lie in the recording but outside the window, since
        recognition, which takes whole recordings, sees those neighbours.
        """
        if self.alignments is None:
            return []
        found, place = [], 0
        for window in self._groups[index]:
            origin = int(self._origin[window])
            start, stop = int(self._start[window]) - origin, int(self._stop[window]) - origin
            classes = self.alignments.frame_classes(int(self._recording[window]), start, stop)
            numbers = torch.arange(len(classes))
            cut = (numbers < self.alignments.reach) & (start > 0)
            cut |= (numbers >= len(classes) - self.alignments.reach) & (not self._last[window])
            classes[cut] = IGNORED
            found.append(FrameClasses(place, place + stop - start, classes))
            place += stop - start + self.receptive_field
        return found

    def batch(self, indices: list[int], changes: Sequence[Change | None] | None = None) -> "Batch":
        """Items side by side, padded with ignored targets, each under its change."""
        pairs = list(zip(indices, changes or [None] * len(indices), strict=True))
        codes, targets = zip(*(self.item(*pair) for pair in pairs), strict=True)
        length = -(-max(map(len, targets)) // self._grain) * self._grain
        return Batch(
            torch.stack([F.pad(c, (0, self.receptive_field + length - len(c)), value=self._zero) for c in codes]),
            torch.stack([F.pad(t, (0, length - len(t)), value=IGNORED) for t in targets]),
            [self.pieces(*pair) for pair in pairs],
            [self.frame_classes(index) for index in indices],
        )


@dataclass(frozen=True)
class Batch:
    """What a step takes."""

    codes: Tensor
    """(B, T); the model gets all but the last."""
    targets: Tensor
    """(B, T - receptive_field)"""
    pieces: list[list[Piece]]
    """Conditioning of each item; empty lists without conditioning."""
    frame_classes: list[list[FrameClasses]]
    """Frame classes of each item; empty lists without alignments."""


def _tile(start: np.ndarray, end: np.ndarray, crop: int, shift: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut spans start..end into windows: the number of each window's span, and its start and stop.

    The first window of a span longer than `crop` is `shift` samples shorter than the others.
    """
    shifted = np.where(end - start > crop, shift, 0)
    counts = -(-(end - start + shifted) // crop)
    owner = np.repeat(np.arange(len(start)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    begin = (start - shifted)[owner] + number * crop
    return owner, np.maximum(begin, start[owner]), np.minimum(begin + crop, end[owner])


def shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """The order of an epoch's items: a permutation of 0..count-1 that depends only on seed and epoch."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(count, generator=generator)
