"""The conditioning of streams while they are made: rows of `conditioning`, computed as far ahead as they are known."""

import torch
from torch import Tensor

from wavenet.audio.encodings import Encoding
from wavenet.generation.engine import torch_threads
from wavenet.model.conditioning import Companion, Conditioning, Range

AHEAD = 4096
"""Samples whose rows are computed at once if they do not depend on samples still to be made."""


class LabelWeights:
    """The conditioning of an exported file: a row is the weights of its label values."""

    constant, context = True, ()

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding

    def __call__(self, companion: Companion, start: int, stop: int) -> Tensor:
        return companion.labels.expand(stop - start, -1)


class Conditions:
    """Rows for S streams: call `begin` first, then `next` and `hear` in turn.

    Sample 0 is the first that a stream hears: the first of its prime, or, without a prime, the first that is made. With
    guidance every stream comes twice, the second time without labels: rows are (2 S, n, C).
    """

    def __init__(
        self, conditioning: Conditioning | LabelWeights, companions: list[Companion], guided: bool = False
    ) -> None:
        self.conditioning = conditioning
        less = {id(companion): companion.without_labels() for companion in companions if guided}
        self.companions = companions + [less[id(companion)] for companion in companions if guided]
        self.guided = guided
        self._told = self.companions
        self._codes = torch.empty(len(self.companions), 0, dtype=torch.int64)
        self._dropped = 0  # samples too old to matter
        self._position = 0
        self._rows, self._rows_start = torch.empty(0), 0

    @torch.inference_mode()
    def begin(self, context: Tensor) -> Tensor:
        """Rows of samples 0..n, after a context (n,) that every stream hears first: (S, n + 1, C) or (S, 1, C)."""
        self._codes, self._dropped = context.long().expand(len(self.companions), -1), 0
        self._position, self._rows_start = len(context), 0
        self._told = [c._replace(codes=self._heard(s), memory={}) for s, c in enumerate(self.companions)]
        self._rows = self._compute(0, 1 if self.conditioning.constant else len(context) + 1)
        return self._rows

    def known(self) -> int:
        """How many samples can be made before `next` needs them."""
        heard = self._position
        stacks = self.conditioning.context
        return min(((heard // s.pool + s.DELAY) * s.pool - 1 - heard for s in stacks), default=1 << 62)

    @torch.inference_mode()
    def next(self, count: int) -> Tensor:
        """Rows of the samples after each of the next `count`, which is at most `known()`: (S, count | 1, C)."""
        if self.conditioning.constant:
            return self._rows
        start = self._position + 1
        if start + count > self._rows_start + self._rows.shape[1]:
            ahead = count if len(self.conditioning.context) else max(count, AHEAD)
            self._rows, self._rows_start = self._compute(start, start + ahead), start
        return self._rows[:, start - self._rows_start :][:, :count]

    def hear(self, codes: Tensor) -> None:
        """Take the codes (S, count) that were made."""
        self._position += codes.shape[1]
        if len(self.conditioning.context):
            twice = codes.long().repeat(len(self.companions) // len(codes), 1)
            self._codes = torch.cat([self._codes, twice], dim=1)
            longest = max(stack.recent for stack in self.conditioning.context)
            spare = max(self._codes.shape[1] - longest, 0)
            self._codes, self._dropped = self._codes[:, spare:], self._dropped + spare

    def _compute(self, start: int, stop: int) -> Tensor:
        """Rows of every stream. Those of streams that are told the same, and differ only in what they heard, are
        computed once, unless a context stack hears it. A chunk is too small for several threads: on a busy machine each
        of its many products would wait for a thread that has no core."""
        alone = len(self.conditioning.context) > 0
        keys = [s if alone else id(companion) for s, companion in enumerate(self.companions)]
        made: dict[int, Tensor] = {}
        with torch_threads(1):
            for key, told in zip(keys, self._told, strict=True):
                if key not in made:
                    made[key] = self.conditioning(told, start, stop)
        return torch.stack([made[key] for key in keys])

    def _heard(self, stream: int) -> Range:
        def read(start: int, stop: int) -> Tensor:
            inside = self._codes[stream, max(start - self._dropped, 0) : max(stop - self._dropped, 0)]
            silence = torch.full((max(min(stop, 0) - start, 0),), self.conditioning.encoding.zero)
            return torch.cat([silence, inside])

        return read
