"""The compiled kernels, or the reason why there are none.

The kernels run exported networks without torch. Where torch trains with them, it is imported first, so that both share
one pool of threads.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from wavenet.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

ENVIRONMENT = "WAVENET_INSTRUCTION_SET"
"""Environment variable that selects one of `instruction_sets()` instead of the fastest."""

missing = ""
"""Why there are no kernels; empty if there are some."""

try:
    from wavenet import _native  # type: ignore[attr-defined] (compiled at installation)
except ImportError as error:
    _native = None
    missing = f"the compiled kernels are not installed ({error}): install a C++ compiler, then wavenet again"


def instruction_sets() -> list[str]:
    """Instruction sets that were compiled in and run on this processor, fastest first; empty without kernels."""
    return [] if _native is None else [code.name for code in _native.available()]


@functools.cache
def code(name: str = "auto") -> Any:
    """The kernels for the named instruction set; `auto` is the one that ENVIRONMENT names, or else the fastest.

    None if there are no kernels. Raises ConfigError for a name that is not among `instruction_sets()`.
    """
    if _native is None:
        return None
    given_by = "instruction_set"
    if name == "auto":
        name, given_by = os.environ.get(ENVIRONMENT) or instruction_sets()[0], f"environment variable {ENVIRONMENT}"
    for found in _native.available():
        if found.name == name:
            return found
    raise ConfigError(f"{given_by} is {name!r}, but this machine runs {', '.join(instruction_sets())}")


def passes(like: Tensor) -> Any:
    """The compiled passes of a training step for tensors like this one; None if there are none."""
    import torch

    found = code() if like.device.type == "cpu" else None
    return None if found is None else {torch.float32: found.float32, torch.bfloat16: found.bfloat16}.get(like.dtype)


def check() -> None:
    """Raise ConfigError, with the reason, if there are no kernels."""
    if _native is None:
        raise ConfigError(f"engine=compiled cannot be used: {missing}. engine=cached works without them, but is slower")
