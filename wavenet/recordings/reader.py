"""Single recordings, such as a prime or a sound to follow, read in the same way as those of training."""

from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wavenet import audio
from wavenet.audio import features
from wavenet.audio.encodings import Encoding
from wavenet.audio.levels import Signal
from wavenet.config import FeatureConfig
from wavenet.errors import AudioError, ConfigError
from wavenet.files import expanded

GivenRecording = str | Path | Tensor | np.ndarray | tuple[Tensor | np.ndarray, int]
"""An audio file, or a sound (samples,) or (1, samples) in [-1, 1], alone or with its sample rate in Hz."""


class Reader:
    """Reads recordings at a model's sample rate.

    data: settings of the model's training; `channel` and `normalise` decide how a file is read. A sound given as
    numbers is only resampled. `said` has a line of text for each damaged file.
    """

    def __init__(self, sample_rate: int, data: Mapping[str, Any]) -> None:
        self.sample_rate = sample_rate
        self.channel, self.normalise = data.get("channel", "mix"), data.get("normalise", "off")
        self.said: list[str] = []

    def blocks(self, setting: str, recording: GivenRecording) -> Iterator[Tensor]:
        """Audio (samples,), piece by piece. Raises AudioError, whose message begins with `setting`."""
        if not isinstance(recording, str | Path):
            yield from self._sound(setting, recording)
            return
        path, signal = expanded(recording), Signal()
        try:
            yield from audio.blocks(path, self.sample_rate, self.channel, self.normalise, signal)
        except AudioError as error:
            raise AudioError(f"{setting}: {error}") from error
        if signal.damage:
            self.said.append(f"{setting}: {path} is damaged or cut short; the rest is used: {signal.damage}")

    def codes(self, setting: str, recording: GivenRecording, encoding: Encoding) -> np.ndarray:
        """(samples,), of the encoding's stored type. Raises AudioError for a recording without samples."""
        codes = [encoding.encode(block) for block in self.blocks(setting, recording)]
        if not sum(map(len, codes)):
            raise AudioError(f"{setting}: {named(recording)} holds no samples")
        return torch.cat(codes).numpy().astype(encoding.stored)

    def _sound(
        self, setting: str, recording: Tensor | np.ndarray | tuple[Tensor | np.ndarray, int]
    ) -> Iterator[Tensor]:
        given, rate = recording if isinstance(recording, tuple) else (recording, self.sample_rate)
        sound = torch.as_tensor(given).detach().cpu()
        if not (sound.ndim == 1 or (sound.ndim == 2 and len(sound) == 1)) or not sound.is_floating_point():
            raise AudioError(
                f"{setting} is a {sound.dtype} tensor of shape {tuple(sound.shape)}, but it must be floating-point "
                "numbers in [-1, 1] of shape (samples,) or (1, samples)"
            )
        sound = sound.float().flatten()
        if not sound.isfinite().all():
            raise AudioError(f"{setting} holds NaN or infinite samples")
        yield audio.resample(sound, rate, self.sample_rate)


def read_prime(prime: GivenRecording, reader: Reader, heard: int, encoding: Encoding) -> Tensor:
    """The last `heard` codes of a recording, int64. Memory does not grow with its length.

    Raises AudioError for a recording without samples.
    """
    tail: deque[Tensor] = deque()
    for block in reader.blocks("prime", prime):
        tail.append(encoding.encode(block))
        while sum(map(len, tail)) - len(tail[0]) >= heard:
            tail.popleft()
    if not sum(map(len, tail)):
        raise AudioError(f"prime: {named(prime)} holds no samples")
    return torch.cat(list(tail))[-heard:].long()


def read_features(
    given: GivenRecording, config: FeatureConfig, reader: Reader, encoding: Encoding, codes: np.ndarray | None = None
) -> np.ndarray:
    """Frames (n, channels), one per hop.

    given: a recording; or the frames themselves, a .npy file or a two-dimensional array, as in training. codes: those
    of the recording, if already known. Raises ConfigError for frames of another width, AudioError for a recording or
    array that cannot be read.
    """
    if isinstance(given, str | Path) and Path(given).suffix == ".npy":
        return _at_hops(features.load(expanded(given)), str(given), config, reader.sample_rate)
    if isinstance(given, np.ndarray | Tensor) and _is_frames(given, config):
        rows = np.asarray(torch.as_tensor(given).detach().cpu(), dtype=np.float32)
        if not len(rows) or not np.isfinite(rows).all():
            raise AudioError("features: the array holds no frames, or numbers that are not finite")
        return _at_hops(rows, "the array", config, reader.sample_rate)
    if not isinstance(given, str | Path) and "file" in config.kinds:
        raise ConfigError("features: this model follows arrays of frames, so give an array (frames, columns)")
    codes = reader.codes("features", given, encoding) if codes is None else codes
    path = expanded(given) if isinstance(given, str | Path) else Path()
    return features.frames(codes, config, reader.sample_rate, path)


def named(recording: GivenRecording) -> str:
    """A recording's path, or "the sound given"."""
    return str(recording) if isinstance(recording, str | Path) else "the sound given"


def _is_frames(array: np.ndarray | Tensor, config: FeatureConfig) -> bool:
    """Whether `array` is frames (n, channels), not a sound (samples,) or (1, samples)."""
    return array.ndim == 2 and (len(array) != 1 or array.shape[1] == config.channels)


def _at_hops(rows: np.ndarray, name: str, config: FeatureConfig, sample_rate: int) -> np.ndarray:
    if rows.shape[1] != config.channels:
        raise ConfigError(f"features: {name} has {rows.shape[1]} numbers per row, the model {config.channels}")
    if set(config.kinds) == {"file"} and config.frame_rate:
        rows_per_hop = config.frame_rate * config.hop / sample_rate
        return features.at_hops(rows, max(round(len(rows) / rows_per_hop), 1), rows_per_hop).astype(np.float32)
    return rows
