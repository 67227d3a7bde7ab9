"""Checks numerically that a fast path computes the same as the network's own code.

The compiled stack and the engines in `generation` repeat the equations of `model`, so an edit of `layers` or `model`
would not reach them. Before one of them is used, it is compared with the network's own code on a twin: a copy whose
dilations are all 1, so that a few steps reach every layer, and whose weights are random, so that zeros hide no
difference. That takes milliseconds, once for each network's code and settings.
"""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

TOLERANCE = 1e-3
"""Relative to the largest number compared: far above float32 rounding, far below any change of an equation."""

EDITED = ("forward", "gate")
"""Functions of a layer that may be replaced while a program runs."""

_known: dict[tuple[Any, ...], bool] = {}


def same(model: Any, path: str, compare: Callable[[Any], tuple[Tensor, Tensor]]) -> bool:
    """Whether the fast path of this name computes what the model's own code does.

    compare: takes a twin; returns the output of the path and that of the model's code. A path that cannot run the twin
    at all counts as different.
    """
    key = (path, repr(model.config), *code_of(model))
    if key not in _known:
        _known[key] = _agree(twin(model), compare)
    return _known[key]


def _agree(small: Any, compare: Callable[[Any], tuple[Tensor, Tensor]]) -> bool:
    with _undisturbed():
        try:
            found, expected = compare(small.eval())
        except Exception:  # an edited layer may lack anything, or refuse any input
            return False
    largest = max(1.0, float(expected.abs().max()))
    return found.shape == expected.shape and float((found - expected).abs().max()) < TOLERANCE * largest


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Switch to plain float32 without gradients, whatever the caller's mode; its random state is left unchanged."""
    with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.autocast("cpu", enabled=False):
        torch.manual_seed(0)
        yield


def twin(model: Any) -> Any:
    """A copy on the CPU, in float32, with all dilations 1 and random weights, that runs without the compiled stack."""
    with _undisturbed():
        small = copy.deepcopy(model).cpu().float()
        layers = len(small.config.layer_dilations)
        small.config = dataclasses.replace(small.config, stacks=1, dilations=[1] * layers, fused=False)
        for block in small.blocks:
            block.conv.dilation = 1
        for parameter in small.parameters():
            inputs = parameter.shape[-1] if parameter.ndim > 1 else 10
            parameter.normal_(std=inputs**-0.5)
    return small


def code_of(module: nn.Module) -> list[Any]:
    """Identifies a network's code: the classes of its layers, and their functions."""
    kinds = dict.fromkeys(type(m) for m in module.modules())
    ours = [c for kind in kinds for c in kind.__mro__ if not c.__module__.startswith(("torch.", "builtins"))]
    functions = [getattr(f, "fget", None) or getattr(f, "__func__", f) for c in ours for f in vars(c).values()]
    return [*kinds, *(getattr(function, "__code__", None) for function in functions), watched(module)]


def watched(*layers: nn.Module) -> int | None:
    """A number that changes with the code of the layers' EDITED functions; None if a layer has hooks.

    It is cheap enough to compute at every step.
    """
    seen = set()
    for m in (module for layer in layers for module in layer.modules()):
        if m._forward_hooks or m._forward_pre_hooks or m._backward_hooks:
            return None
        seen.add(type(m))
        seen.update(m.__dict__[name] for name in EDITED if name in m.__dict__)
    functions = (getattr(kind, name, kind) for kind in seen for name in EDITED)
    return hash(frozenset(getattr(function, "__code__", function) for function in functions))
