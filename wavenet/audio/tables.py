"""What codes stand for, as arrays: for what plays sound without torch. `encodings` has the same for tensors."""

import math
from functools import cache

import numpy as np

LEVELS = 256
"""How many mu-law codes there are."""
ZERO = LEVELS // 2
"""Mu-law code of zero amplitude."""
SIXTEEN_BIT_LEVELS = 65536
"""How many codes 16-bit sound has."""


@cache
def amplitudes(levels: int) -> np.ndarray:
    """(levels,), float32: the amplitude of every mu-law code, or of every 16-bit code."""
    return _amplitudes(levels).astype(np.float32)


@cache
def mulaw_codes(levels: int) -> np.ndarray:
    """(levels,), uint8: the mu-law code of the amplitude of every mu-law code, or of every 16-bit code."""
    sound = _amplitudes(levels)
    companded = np.sign(sound) * np.log1p((LEVELS - 1) * np.abs(sound)) / math.log1p(LEVELS - 1)
    return ((companded + 1) / 2 * (LEVELS - 1) + 0.5).astype(np.uint8)


def _amplitudes(levels: int) -> np.ndarray:
    steps = np.arange(levels, dtype=np.float64)
    if levels == SIXTEEN_BIT_LEVELS:
        return (steps - levels // 2) / (levels // 2)
    companded = steps / (levels - 1) * 2 - 1
    return np.sign(companded) * (np.exp(np.abs(companded) * math.log1p(levels - 1)) - 1) / (levels - 1)
