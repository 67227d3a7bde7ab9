"""Range checks for settings, and the message of the error when one fails.

A check takes an object of settings, its section ("optim", or "" at the top), and the allowed values of its fields:
`at_least(self, "optim", warmup_steps=0)`. None means that a field was left out, and passes. Every value of a list is
checked. All raise ConfigError.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from wavenet.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda")
LARGEST_SEED = 2**62


def check(settings: Any, section: str, name: str, holds: bool, allowed: str) -> None:
    """Any other check: unless it `holds`, the error says that the field must be `allowed`."""
    value = getattr(settings, name)
    if value is not None and not holds:
        raise _refusal(section, name, value, allowed)


def at_least(settings: Any, section: str, **minima: float) -> None:
    for name, value in _given(settings, minima):
        if not (math.isfinite(value) and value >= minima[name]):
            raise _refusal(section, name, value, f"at least {minima[name]}")


def above(settings: Any, section: str, **limits: float) -> None:
    for name, value in _given(settings, limits):
        if not (math.isfinite(value) and value > limits[name]):
            raise _refusal(section, name, value, f"greater than {limits[name]}")


def between(settings: Any, section: str, unit: str = "", **ranges: tuple[float, float]) -> None:
    """Both ends are allowed."""
    for name, value in _given(settings, ranges):
        low, high = ranges[name]
        if not low <= value <= high:
            raise _refusal(section, name, value, f"{low} to {high}{unit and f' ({unit})'}")


def share(settings: Any, section: str, *names: str) -> None:
    """0 is allowed, 1 is not."""
    for name, value in _given(settings, names):
        if not 0 <= value < 1:
            raise _refusal(section, name, value, "0 or more and below 1")


def one_of(settings: Any, section: str, **choices: tuple[str, ...]) -> None:
    for name, value in _given(settings, choices):
        if value not in choices[name]:
            raise _refusal(section, name, value, f"one of {', '.join(choices[name])}")


def _given(settings: Any, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """The values to check, one by one, with the names of their fields."""
    for name in names:
        value = getattr(settings, name)
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            yield name, one


def _refusal(section: str, name: str, value: Any, allowed: str) -> ConfigError:
    return ConfigError(f"{section and f'{section}.'}{name} is {value!r}, but it must be {allowed}")
