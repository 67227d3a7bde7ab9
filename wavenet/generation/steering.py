"""Turns the settings of a sound into conditioning: chosen labels, features to follow, guidance."""

import csv
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wavenet.config import GenerateConfig
from wavenet.errors import ConfigError
from wavenet.model.conditioning import Companion
from wavenet.model.wavenet import WaveNet
from wavenet.recordings import annotations
from wavenet.recordings.reader import Reader, Recording, read_features

SHOWN = 20
"""Most values of a label that an error message lists."""


def steer(
    config: GenerateConfig, model: WaveNet, name: str, reader: Reader, features: Recording | None, primed: bool
) -> Companion:
    """The conditioning of a sound. Its `samples` is the length of the features, 0 without features.

    name: of the model, for messages. Raises ConfigError for what the model does not know, or needs and is not given.
    """
    known = model.config
    labels = choose_labels(config.label, known.labels)
    if config.guidance != 1 and not known.labels:
        raise ConfigError(f"guidance follows labels, and {name} was trained without any: leave it out")
    if config.guidance != 1 and not config.label:
        label = next(iter(known.labels))
        raise ConfigError(f"guidance is {config.guidance:g}, but no label is chosen: give label.{label}=...")
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
    """(values,) with 1 for each chosen value. Raises ConfigError for one that the model does not know."""
    asked: dict[str, list[str]] = {}
    for label, values in chosen.items():
        if label not in known:
            there = f"it knows label.{', label.'.join(known)}" if known else "it was trained without labels"
            raise ConfigError(f"label.{label} is not a label of this model; {there}")
        asked[label] = _listed(values, known[label])
        for value in asked[label]:
            if value not in known[label]:
                there = ", ".join(known[label][:SHOWN]) + ", ..." * (len(known[label]) > SHOWN)
                raise ConfigError(f"label.{label} is {value!r}, but it must be one of {there}, or several, as in [a,b]")
    told = [value in asked.get(label, []) for label, values in known.items() for value in values]
    return torch.tensor(told, dtype=torch.float32)


def _listed(chosen: Any, known: list[str]) -> list[str]:
    """A value as written if the model knows it, otherwise without its quotes; or the values of a list in brackets."""
    if isinstance(chosen, list | tuple):
        return [str(value) for value in chosen]
    text = str(chosen)
    within = text[1:-1]
    if text in known or len(text) < 2 or text[0] + text[-1] not in ("[]", "''", '""'):
        return [text]
    if not text.startswith("["):
        return [within]
    lists = [next(csv.reader([within], quotechar=quote, skipinitialspace=True), []) for quote in "\"'"]
    return next((values for values in lists if set(values) <= set(known)), lists[0])
