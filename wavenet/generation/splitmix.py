"""Reproducible uniform random numbers: splitmix64, a function of only seed and position.

    u(seed, t) = mix(mix(seed) + (t + 1) * 0x9E3779B97F4A7C15) / 2**64, to 53 bits

No state is kept, so a stream can be continued from any sample, in chunks of any length, in any language.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def numbers(seeds: list[int], start: int, count: int) -> np.ndarray:
    """Numbers start..start + count of each seed's stream: (streams, count) float64 in [0, 1)."""
    seed = _mix(np.array([seed % 2**64 for seed in seeds], dtype=np.uint64))
    position = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    bits = _mix(seed[:, None] + position[None, :] * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniforms(seeds: list[int], start: int, count: int) -> Tensor:
    """`numbers` as a tensor."""
    import torch  # imported late, because what plays an exported file does without

    return torch.from_numpy(numbers(seeds, start, count))


def _mix(z: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014); products wrap at 2**64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
