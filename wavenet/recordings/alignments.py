"""When each phone is spoken: a CSV beside the recordings, one row per phone, from which each frame gets its class.

    file_name,start_sample,end_sample,phone

Times are in samples at the rate in the recording's header, and are scaled to data.sample_rate. Other columns are
ignored. Such files are mostly made by forced alignment of a text.
"""

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavenet import audio
from wavenet.config import RecognitionConfig
from wavenet.errors import AudioError, some
from wavenet.files import expanded
from wavenet.model.decoding import PhoneStatistics
from wavenet.model.distributions import IGNORED
from wavenet.recordings import tables
from wavenet.recordings.matching import Files
from wavenet.recordings.preparation import Prepared
from wavenet.recordings.split import Span

NAME = "phones.csv"
COLUMNS = ("file_name", "start_sample", "end_sample", "phone")
UNKNOWN = -1
"""Class of a phone that the model does not know, so that any answer counts as wrong."""


class Segment(NamedTuple):
    """One phone, start..stop in samples from the beginning of its recording, at the prepared rate."""

    start: float
    stop: float
    phone: str


class Segments(Sequence[list[Segment]]):
    """Each recording's phones in order of time. They are kept as arrays: a large folder has millions."""

    def __init__(
        self, times: np.ndarray, phones: np.ndarray, first: np.ndarray, names: list[str], unused: list[str]
    ) -> None:
        self.times = times
        """(phones, 2): start and stop of the phones of all recordings, one after another."""
        self.phones = phones
        """(phones,): places of the phones in `names`."""
        self.first = first
        """(recordings + 1,): where the phones of each recording begin."""
        self.names = names
        self.unused = unused
        """Names in the file of recordings that do not exist, are not used, or are ambiguous."""

    def __len__(self) -> int:
        return len(self.first) - 1

    def __getitem__(self, recording: int) -> list[Segment]:  # type: ignore[override] (there are no slices)
        own = self.of(recording)
        pairs = zip(self.times[own].tolist(), self.phones[own].tolist(), strict=True)
        return [Segment(start, stop, self.names[number]) for (start, stop), number in pairs]

    def of(self, recording: int) -> slice:
        """The range of a recording's phones in the arrays."""
        return slice(int(self.first[recording]), int(self.first[recording + 1]))

    def report(self) -> list[str]:
        """The names in the file that are not used, as lines of text."""
        words = "phones not used, because their recording is missing, left out or ambiguous"
        return [f"{words}: {some(self.unused)}"] if self.unused else []


def read(prepared: Prepared, name: str) -> Segments:
    """Each recording's phones; none for a recording that the file does not name.

    Raises AudioError, naming the file, if it is missing, lacks a column, holds an invalid time, or names none of the
    recordings.
    """
    told = _parse(prepared, name)
    scales = np.ones(len(told))
    for number in np.flatnonzero(np.diff(told.first)).tolist():
        path = prepared.folder / prepared.recordings[number].name
        scales[number] = prepared.sample_rate / audio.probe(path).sample_rate
    told.times = told.times * np.repeat(scales, np.diff(told.first))[:, None]
    return told


def classes(prepared: Prepared, name: str) -> list[str]:
    """All phones of the recordings, in alphabetical order. Raises as `read` does."""
    return sorted(_parse(prepared, name).names)


def _parse(prepared: Prepared, name: str) -> Segments:
    """The phones of `read`, in samples at each recording's own rate."""
    path = prepared.folder / expanded(name)
    if not path.exists():
        others = ", ".join(sorted(other.name for other in prepared.folder.glob("*.csv"))) or "none"
        raise AudioError(f"data.frames: {path} does not exist; CSV files there: {others}")
    files, numbers = Files(prepared), {recording.name: i for i, recording in enumerate(prepared.recordings)}
    meant: dict[str, int | None] = {}
    known: dict[str, int] = {}
    owners, phones, starts, stops = array("i"), array("i"), array("q"), array("q")
    with tables.reading(path) as table:
        places = {column: place for column in COLUMNS if (place := table.place(column)) is not None}
        if missing := [column for column in COLUMNS if column not in places]:
            there = ", ".join(table.columns) or "none at all"
            raise AudioError(f"{path} has no column {', '.join(missing)}; it has {there}")
        for line, cells in table.rows:
            written, start, stop, phone = [cells[place] for place in places.values()]
            start, stop = _samples(path, line, COLUMNS[1], start), _samples(path, line, COLUMNS[2], stop)
            if start >= stop:
                raise AudioError(f"{path}, line {line}: a phone from {start} to {stop} has no samples")
            if written not in meant:
                found = files.find(written)
                meant[written] = numbers.get(found[0]) if len(found) == 1 else None
            owner = meant[written]
            if owner is not None and phone:
                owners.append(owner)
                phones.append(known.setdefault(phone, len(known)))
                starts.append(start)
                stops.append(stop)
    if not owners:
        found = f"the first file that it names is {next(iter(meant))!r}" if meant else "it is empty"
        raise AudioError(f"{path} holds no phone of any recording in {prepared.folder}; {found}")
    names = list(known)
    alphabetical = np.argsort(np.argsort(names))  # breaks ties by phone name, whatever the order of the rows
    own, said, times = np.array(owners), np.array(phones), np.stack([np.array(starts), np.array(stops)], axis=1)
    order = np.lexsort((alphabetical[said], times[:, 1], times[:, 0], own))
    first = np.cumsum([0, *np.bincount(own, minlength=len(numbers))])
    unused = [written for written, owner in meant.items() if owner is None]
    return Segments(times[order], said[order], first, names, unused)


def _samples(path: Path, line: int, column: str, cell: str) -> int:
    try:
        value = int(cell)
    except ValueError:
        value = -1
    if value < 0:
        raise AudioError(f"{path}, line {line}: {column} is {cell!r}, but it must be a whole number of samples")
    return value


class Alignments:
    """The class of every frame of a folder's recordings, under a model's classes."""

    def __init__(self, segments: Segments, config: RecognitionConfig) -> None:
        self.segments, self.hop, self.reach = segments, config.hop, config.reach
        self._classes = len(config.classes)
        number = {phone: number for number, phone in enumerate(config.classes)}
        self._numbers = np.array([number.get(name, UNKNOWN) for name in segments.names], dtype=np.int64)

    def frame_classes(self, recording: int, start: int, stop: int) -> Tensor:
        """Classes (ceil((stop - start) / hop),) of the frames of samples start..stop, each at the frame's centre.

        A frame whose centre has no phone, as in a gap, or lies beyond `stop`, is ignored.
        """
        own = self.segments.of(recording)
        starts, stops = self.segments.times[own].T
        centres = np.arange(start + self.hop / 2, start + -(-(stop - start) // self.hop) * self.hop, self.hop)
        at = np.searchsorted(starts, centres, side="right") - 1
        inside = (at >= 0) & (centres < stop)
        inside[inside] = centres[inside] < stops[at[inside]]
        classes = np.full(len(centres), IGNORED)
        classes[inside] = self._numbers[self.segments.phones[own][at[inside]]]
        return torch.from_numpy(classes)

    def statistics(self, spans: list[Span]) -> PhoneStatistics:
        """How often, how long and in which order the phones within these spans are spoken."""
        return PhoneStatistics.count((self._durations(span) for span in spans), self._classes)

    def _durations(self, span: Span) -> tuple[np.ndarray, np.ndarray]:
        """The classes (n,) of the phones whose middle lies within a span, and their durations (n,) in frames."""
        own = self.segments.of(span.recording)
        times, numbers = self.segments.times[own], self._numbers[self.segments.phones[own]]
        middle = times.mean(axis=1) + span.origin
        inside = (span.start <= middle) & (middle < span.stop) & (numbers != UNKNOWN)
        return numbers[inside], np.diff(times[inside], axis=1)[:, 0] / self.hop

    def phones(self, recording: int, start: int, stop: int) -> list[str]:
        """Phones whose middle lies within samples start..stop, in order."""
        return [phone for begin, end, phone in self.segments[recording] if start <= (begin + end) / 2 < stop]
