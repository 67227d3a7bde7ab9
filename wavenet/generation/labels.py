"""The labels that a sound is to have, as numbers: one weight for each value of each label."""

import csv
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from wavenet.config import GenerateConfig
from wavenet.errors import ConfigError

MOST_WEIGHT = 10.0
"""Largest weight of a label value in a mix, either way; also in csrc/network.h."""
SHOWN = 20
"""Most values of a label that an error message lists."""


def steer_by_labels(config: GenerateConfig, known: dict[str, list[str]], name: str) -> np.ndarray:
    """The weights (values,), float32, of the labels of a sound; `name` is the model's.

    Raises ConfigError as `label_weights` does, and for guidance without labels.
    """
    weights = label_weights(config.label, known)
    if config.guidance != 1 and not known:
        raise ConfigError(f"guidance follows labels, and {name} has none to choose: leave it out")
    if config.guidance != 1 and not config.label:
        label = next(iter(known))
        raise ConfigError(f"guidance is {config.guidance:g}, but no label is chosen: give label.{label}=...")
    return weights


def label_weights(chosen: Mapping[str, Any], known: dict[str, list[str]]) -> np.ndarray:
    """The weight of every value, (values,): 1 if it is chosen, that of the mix if it is mixed, and otherwise 0.

    chosen: {"speaker": "june", "tags": ["slow", "loud"]}, or mixes, {"speaker": {"june": 0.7, "allison": 0.3}}, or
    lists and mixes as text, "{june:0.7,allison:0.3}". Raises ConfigError for what the model does not know, and for a
    weight that is not in -MOST_WEIGHT..MOST_WEIGHT.
    """
    asked: dict[str, dict[str, float]] = {}
    for label, values in chosen.items():
        if label not in known:
            there = f"it knows label.{', label.'.join(known)}" if known else "it was trained without labels"
            raise ConfigError(f"label.{label} is not a label of this model; {there}")
        asked[label] = _weights(label, values, known[label])
        for value in asked[label]:
            if value not in known[label]:
                there = ", ".join(known[label][:SHOWN]) + ", ..." * (len(known[label]) > SHOWN)
                several = "or several, as in [a,b]"
                if value.rpartition(":")[0] in known[label]:  # what a shell makes of braces
                    several = f"or a mix in quotes, as in 'label.{label}={{a:0.7,b:0.3}}'"
                raise ConfigError(f"label.{label} is {value!r}, but it must be one of {there}, {several}")
    told = [asked.get(label, {}).get(value, 0.0) for label, values in known.items() for value in values]
    return np.array(told, dtype=np.float32)


def _weights(label: str, chosen: Any, known: list[str]) -> dict[str, float]:
    """The weights of a value as written if the model knows it, otherwise without its quotes; of the values of a list in
    brackets; or of a mix in braces."""
    if isinstance(chosen, Mapping):
        return {str(value): _weight(label, str(value), weight) for value, weight in chosen.items()}
    if isinstance(chosen, list | tuple):
        return dict.fromkeys(map(str, chosen), 1.0)
    text = str(chosen)
    within = text[1:-1]
    if text in known or len(text) < 2 or text[0] + text[-1] not in ("[]", "{}", "''", '""'):
        return {text: 1.0}
    if text[0] not in "[{":
        return {within: 1.0}
    lists = [next(csv.reader([within], quotechar=quote, skipinitialspace=True), []) for quote in "\"'"]
    if text.startswith("["):
        return dict.fromkeys(next((values for values in lists if set(values) <= set(known)), lists[0]), 1.0)
    mixes = [
        [(value.strip(), weight) for value, _, weight in (part.rpartition(":") for part in parts)] for parts in lists
    ]
    mix = next((mix for mix in mixes if {value for value, _ in mix} <= set(known)), mixes[0])
    if any(not value for value, _ in mix) or len(dict(mix)) < len(mix):
        raise ConfigError(f"label.{label} is {text}, but a mix gives each value one weight, as in {{a:0.7,b:0.3}}")
    return {value: _weight(label, value, weight.strip()) for value, weight in mix}


def _weight(label: str, value: str, given: Any) -> float:
    try:
        weight = float(given)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not abs(weight) <= MOST_WEIGHT:
        most = f"-{MOST_WEIGHT:g} to {MOST_WEIGHT:g}"
        raise ConfigError(f"label.{label}: the weight of {value} is {given}, but it must be a number from {most}")
    return weight
