"""Which windows each step learns from."""

import torch
from torch import Tensor

from wavenet.recordings.windows import Batch, Windows, shuffled


class Batches:
    """The training windows, epoch after epoch, in batches numbered from 0.

    The contents of a batch, and which of its items lose their labels, depend only on the seed and the batch's number.
    Each of several processes takes its own items; together they take those that one process with batches of
    `size` * `processes` items would.
    """

    def __init__(
        self, windows: Windows, size: int, seed: int, label_dropout: float = 0.0, rank: int = 0, processes: int = 1
    ) -> None:
        """`label_dropout`: the share of items without labels; `rank`: which of the `processes` this is, from 0."""
        self.windows, self.size, self.seed, self.label_dropout = windows, size, seed, label_dropout
        self.rank, self.processes = rank, processes
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))  # the latest epoch, and the order of its items

    def __getitem__(self, number: int) -> Batch:
        first = (number * self.processes + self.rank) * self.size
        batch = self.windows.batch([self._item(position) for position in range(first, first + self.size)])
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
        turn, place = divmod(position, len(self.windows))
        epochs = self.windows.epochs
        number = next(number for number, items in enumerate(epochs) if place < items.stop)
        epoch, items = turn * len(epochs) + number, epochs[number]
        if self._order[0] != epoch:
            self._order = epoch, shuffled(len(items), self.seed, epoch)
        return items[int(self._order[1][place - items.start])]
