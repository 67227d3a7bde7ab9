"""Whole numbers that stand for amplitudes: 256 mu-law codes, and the 65,536 values of 16-bit sound.

Both are steps on one axis, the companded amplitude, where equal steps sound equally large:

    g(x) = sign(x) ln(1 + 255 |x|) / ln 256        x = sign(y) (256^|y| - 1) / 255
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from wavenet.audio import mulaw

FULL_SCALE = 32768
"""16-bit steps to amplitude 1."""


def compand(amplitudes: Tensor) -> Tensor:
    """g of floating-point amplitudes of any shape; maps [-1, 1] to [-1, 1]."""
    return amplitudes.sign() * torch.log1p(255 * amplitudes.abs()) / math.log(256)


def expand(companded: Tensor) -> Tensor:
    """The inverse of `compand`."""
    return companded.sign() * torch.expm1(companded.abs() * math.log(256)) / 255


@dataclass(frozen=True, eq=False)
class Encoding:
    """A rule that turns amplitudes into codes 0 .. levels - 1."""

    stored: type[np.unsignedinteger]
    """Type of codes on disk."""
    dtype: torch.dtype
    """Type of the codes that `encode` returns."""
    encode: Callable[[Tensor], Tensor]
    """Floating-point audio of any shape -> codes of `dtype`; values outside [-1, 1] are clamped."""
    amplitudes: Tensor
    """(levels,), float64, rising."""

    @property
    def levels(self) -> int:
        """How many codes there are."""
        return len(self.amplitudes)

    @property
    def zero(self) -> int:
        """Code of zero amplitude."""
        return self.levels // 2

    def decode(self, codes: Tensor) -> Tensor:
        """Codes of any shape and whole-number type -> float32 amplitudes."""
        return self._table("amplitudes", torch.float32, codes.device)[codes.long()]

    def companded(self, codes: Tensor) -> Tensor:
        """Codes of any shape and whole-number type -> float64 amplitudes on the companded axis."""
        return self._table("companded", torch.float64, codes.device)[codes.long()]

    def mulaw(self, codes: Tensor) -> Tensor:
        """Codes of any shape and whole-number type -> int64 mu-law codes of their amplitudes."""
        return self._table("mulaw", torch.int64, codes.device)[codes.long()]

    @cache  # noqa: B019 (the two encodings live as long as the program)
    def _table(self, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
        """(levels,) entries, one per code."""
        made = {"amplitudes": lambda x: x, "companded": compand, "mulaw": mulaw.encode}[name](self.amplitudes)
        return made.to(device, dtype)

    def __deepcopy__(self, memo: dict) -> "Encoding":
        return self


def _steps(audio: Tensor) -> Tensor:
    """The nearest 16-bit value, as a sound file holds it, counted from the lowest."""
    return (audio.double() * FULL_SCALE + FULL_SCALE + 0.5).floor().clamp(0, 2 * FULL_SCALE - 1).int()


MULAW = Encoding(np.uint8, torch.uint8, mulaw.encode, mulaw.AMPLITUDES)
SIXTEEN_BIT = Encoding(
    np.uint16, torch.int32, _steps, torch.arange(-FULL_SCALE, FULL_SCALE, dtype=torch.float64) / FULL_SCALE
)


class Codes(Protocol):
    """Stored codes (samples,): an array, or files on disk that are read like one, slice by slice."""

    @property
    def dtype(self) -> np.dtype: ...

    def __len__(self) -> int: ...

    def __getitem__(self, place: slice, /) -> np.ndarray: ...


def encoding_with(levels: int) -> Encoding:
    """The encoding that has this many codes."""
    return {encoding.levels: encoding for encoding in (MULAW, SIXTEEN_BIT)}[levels]


def encoding_of(codes: Codes) -> Encoding:
    """The encoding of stored codes, by their type. Raises ValueError for any other type."""
    for encoding in (MULAW, SIXTEEN_BIT):
        if codes.dtype == encoding.stored:
            return encoding
    raise ValueError(f"codes are of type {codes.dtype}, but stored codes are uint8 or uint16")
