"""Listens to a stream while it is made, and says when it has gone silent, stuck, or into noise."""

import numpy as np

from wavenet.audio.tables import ZERO

BLOCK_SECONDS = 0.5
"""Length of the blocks that are judged."""
SILENT_CODES = 2
"""Codes within this distance of zero are silence: below -60 dB."""
STUCK_SHARE = 0.98
"""A block is stuck if this share of its samples is one code, or repeats one short cycle."""
STUCK_HERTZ = 2000
"""Above this no voice or instrument holds a bit-exact cycle for half a second; shorter cycles are a stuck model."""
NOISE_BITS = 7.0
"""A block is noise from this average of bits per sample on: a uniform guess costs 8, the unigram of speech 7.5."""


class Watch:
    """Takes a stream's mu-law codes and their bits, in chunks of any length; `warnings` has a line for each problem."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.warnings: list[str] = []
        self._longest_cycle = max(-(-sample_rate // STUCK_HERTZ) - 1, 1)
        self._block = max(int(BLOCK_SECONDS * sample_rate), self._longest_cycle + 1)
        self._codes, self._bits = np.empty(0, np.uint8), np.empty(0, np.float32)
        self._seconds, self._found = 0.0, set()

    def hear(self, codes: np.ndarray, bits: np.ndarray) -> None:
        """Take the next codes (n,) and their bits (n,)."""
        self._codes, self._bits = np.append(self._codes, codes), np.append(self._bits, bits)
        while len(self._codes) >= self._block:
            trouble = _trouble(self._codes[: self._block], self._bits[: self._block], self._longest_cycle)
            if trouble and trouble not in self._found:
                self._found.add(trouble)
                self.warnings.append(f"{trouble} from {self._seconds:.1f} s on")
            self._codes, self._bits = self._codes[self._block :], self._bits[self._block :]
            self._seconds += self._block / self.sample_rate


def _trouble(codes: np.ndarray, bits: np.ndarray, longest_cycle: int) -> str | None:
    if np.abs(codes.astype(int) - ZERO).max() <= SILENT_CODES:
        return "silent"
    if any(np.mean(codes[cycle:] == codes[:-cycle]) >= STUCK_SHARE for cycle in range(1, longest_cycle + 1)):
        return "stuck"
    return "noise" if bits.mean() >= NOISE_BITS else None
