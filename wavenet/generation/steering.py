"""Turns the settings of a sound into conditioning: chosen labels, features to follow, guidance."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wavenet.config import GenerateConfig
from wavenet.errors import ConfigError
from wavenet.generation.labels import label_weights, steer_by_labels
from wavenet.model.conditioning import Companion
from wavenet.model.wavenet import WaveNet
from wavenet.recordings import annotations
from wavenet.recordings.reader import GivenRecording, Reader, read_features


def steer(
    config: GenerateConfig, model: WaveNet, name: str, reader: Reader, features: GivenRecording | None, primed: bool
) -> Companion:
    """The conditioning of a sound. Its `samples` is the length of the features, 0 without features.

    name: of the model, for messages. Raises ConfigError for what the model does not know, or needs and is not given.
    """
    known = model.config
    labels = torch.from_numpy(steer_by_labels(config, known.labels, name))
    if features is None and known.features.kinds:
        raise ConfigError(f"{name} follows {' and '.join(known.features.kinds)}: give features=recording.wav")
    if features is None:
        return Companion(labels)
    if not known.features.kinds:
        raise ConfigError(f"features is given, but {name} was trained without features: leave it out")
    if primed:
        raise ConfigError("prime and features cannot be combined: the features begin where the sound begins")
    rows = read_features(features, known.features, reader, model.distribution.encoding)
    return Companion(labels, annotations.clamped(rows), samples=len(rows) * known.features.hop)


def choose_labels(chosen: Mapping[str, Any], known: dict[str, list[str]]) -> Tensor:
    """`labels.label_weights` as a tensor. Raises ConfigError as that does."""
    return torch.from_numpy(label_weights(chosen, known))
