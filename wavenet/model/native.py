"""The compiled kernels, where they were built; otherwise, why not, in words."""

import functools
import os
from typing import Any

import torch  # before the kernels, so that both share one pool of threads
from torch import Tensor

from wavenet.errors import ConfigError

ENVIRONMENT = "WAVENET_INSTRUCTION_SET"
"""Environment variable that names one of `instruction_sets()` in place of the fastest."""

missing = ""
"""Why there are no kernels; empty where there are."""

try:
    from wavenet import _native  # type: ignore[attr-defined] (compiled at installation)
except ImportError as error:
    _native = None
    missing = f"the compiled kernels are not installed ({error}): install a C++ compiler, then wavenet again"


def instruction_sets() -> list[str]:
    """Those that the kernels were compiled for and this processor runs, fastest first; none where nothing is built."""
    return [] if _native is None else [code.name for code in _native.available()]


@functools.cache
def code(name: str = "auto") -> Any:
    """The kernels for the named instruction set; `auto` is the environment's choice or else the fastest.

    None where there are no kernels. Raises ConfigError for a name that is not among `instruction_sets()`.
    """
    if _native is None:
        return None
    given_by = "instruction_set"
    if name == "auto":
        name, given_by = os.environ.get(ENVIRONMENT) or instruction_sets()[0], f"environment variable {ENVIRONMENT}"
    for found in _native.available():
        if found.name == name:
            return found
    raise ConfigError(f"{given_by} is {name!r}, but what runs here is {', '.join(instruction_sets())}")


def passes(like: Tensor) -> Any:
    """The compiled passes of a training step for tensors like this one; None where there are none."""
    found = code() if like.device.type == "cpu" else None
    return None if found is None else {torch.float32: found.float32, torch.bfloat16: found.bfloat16}.get(like.dtype)


def check() -> None:
    """Raise ConfigError where there are no kernels, saying why."""
    if _native is None:
        raise ConfigError(f"engine=compiled cannot be used: {missing}. engine=cached runs without, slower")
