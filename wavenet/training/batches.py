"""Which windows each step learns from."""

import numpy as np
import torch
from torch import Tensor

from wavenet.config import AugmentConfig
from wavenet.recordings.augmentation import drawn
from wavenet.recordings.windows import Batch, Windows, shuffled


class Batches:
    """The training windows, epoch after epoch, in batches numbered from 0.

    The contents of a batch, and which of its items lose their labels, depend only on the seed and the batch's number.
    Each of several processes takes its own items; together they take those that one process with batches of
    `size` * `processes` items would.
    """

    def __init__(
        self,
        windows: Windows,
        size: int,
        seed: int,
        label_dropout: float = 0.0,
        rank: int = 0,
        processes: int = 1,
        augment: AugmentConfig | None = None,
    ) -> None:
        """`label_dropout`: the share of items without labels; `rank`: which of the `processes` this is, from 0."""
        self.augment = augment or AugmentConfig()
        self.windows, self.size, self.seed, self.label_dropout = windows, size, seed, label_dropout
        self.rank, self.processes = rank, processes
        weights = windows.weights
        self.lengths = [
            len(items) if weights is None else max(1, round(weights[items].sum())) for items in windows.epochs
        ]
        """Items in an epoch of each tiling."""
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))  # the latest epoch, and its items in order

    def __getitem__(self, number: int) -> Batch:
        first = (number * self.processes + self.rank) * self.size
        positions = range(first, first + self.size)
        changes = [drawn(self.augment, self.seed, position) for position in positions]
        batch = self.windows.batch([self._item(position) for position in positions], changes)
        if self.label_dropout:
            for position, pieces in enumerate(batch.pieces, start=first):
                generator = torch.Generator().manual_seed((self.seed * 1_000_003 + position) % 2**63)
                dropped = torch.rand(len(pieces), generator=generator) < self.label_dropout
                pieces[:] = [
                    (companion.without_labels() if drop else companion, start, stop)
                    for (companion, start, stop), drop in zip(pieces, dropped.tolist(), strict=True)
                ]
        return batch

    def _item(self, position: int) -> int:
        """The item at a position in the run, counted over all epochs."""
        turn, place = divmod(position, sum(self.lengths))
        number = 0
        while place >= self.lengths[number]:
            place, number = place - self.lengths[number], number + 1
        epoch = turn * len(self.lengths) + number
        if self._order[0] != epoch:
            self._order = epoch, self._items(self.windows.epochs[number], self.lengths[number], epoch)
        return int(self._order[1][place])

    def _items(self, items: range, count: int, epoch: int) -> Tensor:
        """The items of an epoch in their order: each once, or by their weights: one of weight 1.5 once or twice."""
        order = shuffled(count, self.seed, epoch)
        if self.windows.weights is None:
            return items.start + order
        ends = np.cumsum(self.windows.weights[items])
        points = (np.arange(count) + np.random.default_rng([self.seed, epoch]).random()) * ends[-1] / count
        return items.start + torch.from_numpy(np.searchsorted(ends, points, side="right"))[order]
