"""A recording of several channels as one: their mean, or one of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavenet.audio.decoding import UnusableAudioError
from wavenet.audio.levels import Meter

CHANNELS = ("left", "right", "mix")
"""Values of `data.channel`: the first channel, the second, or the mean of all."""


def one_channel(
    path: str | Path, pieces: Iterable[np.ndarray], sample_rate: int, channel: str, gain: float, meter: Meter
) -> Iterator[Tensor]:
    """Pieces (samples, channels) -> (samples,), multiplied by `gain` and measured by `meter`.

    `channel` is one of CHANNELS. Raises UnusableAudioError for NaN and infinite samples.
    """
    for values in pieces:
        piece = torch.from_numpy(values)
        if gain != 1:
            piece = piece * gain
        if channel == "mix" and piece.shape[1] > 1:
            mono = piece.mean(dim=1)
        else:
            mono = piece[:, min(CHANNELS.index(channel), piece.shape[1] - 1)]
        if not meter.add(piece, mono, sample_rate):
            raise UnusableAudioError(path, "it holds NaN or infinite samples")
        yield mono
