"""What an acoustic model learns from: recordings with texts, as units, durations and frames."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from wavenet.recordings.annotations import Annotations
from wavenet.recordings.windows import shuffled
from wavenet.speech.acoustic import AcousticModel
from wavenet.speech.sentences import GAPS
from wavenet.speech.timing import Timed

BUCKET = 8
"""Batches whose recordings are sorted by length together, so that little of a batch is padding."""


class Utterances(NamedTuple):
    """Recordings side by side, padded with zeros."""

    units: Tensor
    """(B, N) numbers of units."""
    durations: Tensor
    """(B, N) steps; 0 beyond the end."""
    labels: Tensor
    """(B, values)"""
    frames: Tensor
    """(B, T, r, mels + 3)"""
    unit_mask: Tensor
    """(B, N, 1), 0 beyond the end."""


def steps_of(one: Timed, samples_per_step: int, steps: int) -> np.ndarray:
    """(N,) durations of a recording's units, whole steps whose sum is `steps`.

    Times are rounded to steps. A unit that would vanish takes a step from its neighbours. If a recording has fewer
    steps than units, its first units get none.
    """
    least = np.array([unit not in GAPS for unit in one.units], dtype=np.int64)
    before = np.cumsum(least)  # steps that a unit and those before it need
    ends = np.floor(one.bounds[1:] / samples_per_step + 0.5).astype(np.int64)
    ends[-1] = steps
    ends = np.maximum.accumulate(np.maximum(ends - before, 0)) + before
    ends = np.minimum(ends, steps - (before[-1] - before)).clip(min=0)
    return np.diff(ends, prepend=0)


class Corpus:
    """Some recordings of a folder. An item is f(seed, epoch, index), as in all training here."""

    def __init__(self, annotations: Annotations, timed: dict[int, Timed], samples_per_step: int, frames_per_step: int):
        """timed: the units of each recording, by its number."""
        self.annotations, self.per_step, self.r = annotations, samples_per_step, frames_per_step
        self.recordings = sorted(timed)
        self.timed = timed
        samples = [annotations.prepared.recordings[number].samples for number in self.recordings]
        self.steps = np.array([-(-count // samples_per_step) for count in samples], dtype=np.int64)
        self._order: tuple[int, int, int, list[list[int]]] = (-1, 0, 0, [])  # the latest epoch's batches

    def __len__(self) -> int:
        return len(self.recordings)

    def durations(self, index: int) -> np.ndarray:
        """(N,) steps of each unit of a recording."""
        return steps_of(self.timed[self.recordings[index]], self.per_step, int(self.steps[index]))

    def frames(self, index: int) -> Tensor:
        """(T * r, mels + 3): the frames of a recording; its last one is repeated to fill the last step."""
        read = self.annotations.companion(self.recordings[index]).frames
        assert read is not None, "an acoustic model learns frames"
        return read(0, int(self.steps[index]) * self.r)

    def units(self, index: int) -> list[str]:
        return self.timed[self.recordings[index]].units

    def example(self, seconds: float) -> list[str]:
        """The units of the recording whose length is nearest to this."""
        wanted = seconds * self.annotations.prepared.sample_rate / self.per_step
        return self.units(int(np.abs(self.steps - wanted).argmin()))

    def batch(self, indices: Sequence[int], model: AcousticModel) -> Utterances:
        """Some recordings as `model` takes them."""
        units = [torch.tensor([model.numbers[unit] for unit in self.units(index)]) for index in indices]
        durations = [torch.from_numpy(self.durations(index)) for index in indices]
        frames = [self.frames(index) for index in indices]
        labels = torch.stack([self.annotations.labels(self.recordings[index]) for index in indices])
        most, longest = max(map(len, units)), max(map(len, frames))
        return Utterances(
            torch.stack([F.pad(one, (0, most - len(one))) for one in units]),
            torch.stack([F.pad(one, (0, most - len(one))) for one in durations]),
            labels,
            torch.stack([F.pad(one, (0, 0, 0, longest - len(one))) for one in frames]).unflatten(1, (-1, self.r)),
            torch.stack([F.pad(torch.ones(len(one)), (0, most - len(one))) for one in units])[:, :, None],
        )

    def chosen(self, number: int, size: int, seed: int) -> list[int]:
        """The recordings of batch `number`, counted over all epochs: a function of seed and number alone."""
        epoch, place = divmod(number, -(-len(self) // size))
        if self._order[:3] != (epoch, size, seed):
            self._order = epoch, size, seed, self._batches(epoch, size, seed)
        return self._order[3][place]

    def _batches(self, epoch: int, size: int, seed: int) -> list[list[int]]:
        order = shuffled(len(self), seed, epoch).numpy()
        groups = [order[first : first + size * BUCKET] for first in range(0, len(self), size * BUCKET)]
        alike = [group[np.argsort(self.steps[group], kind="stable")] for group in groups]
        batches = [group[first : first + size].tolist() for group in alike for first in range(0, len(group), size)]
        return [batches[place] for place in shuffled(len(batches), seed, epoch).tolist()]
