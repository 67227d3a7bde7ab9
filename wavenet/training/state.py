"""A run's state: weights, their average, optimizers and random numbers, saved and restored bit for bit."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wavenet.config import TrainConfig
from wavenet.errors import CheckpointError
from wavenet.model import checkpoint
from wavenet.training.learner import Learner
from wavenet.training.optimizers import Muon

NEEDED = ("config", "model", "averaged", "optimizers", "random", "step", "steps", "steps_fixed")
"""Entries that every version has written."""
KEPT = {"momentum"}, {"step", "exp_avg", "exp_avg_sq"}
"""What Muon and what AdamW keep of a parameter."""


def capture(config: TrainConfig, learner: Learner) -> dict[str, Any]:
    """The state of a run without its progress, which the trainer adds."""
    return {
        "format_version": checkpoint.FORMAT_VERSION,
        "config": dataclasses.asdict(config),
        "sample_rate": config.data.sample_rate,
        "model": learner.model.state_dict(),
        "averaged": learner.averaged.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in learner.optimizers],
        "random": torch.get_rng_state(),
    }


def check(stored: Mapping[str, Any], run: str, needed: tuple[str, ...] = NEEDED) -> None:
    """Raise CheckpointError, naming the resumed `run`, for a state that lacks an entry."""
    for name in needed:
        if name not in stored:
            raise altered(run, f"it has no {name}")


def altered(run: str, reason: object) -> CheckpointError:
    said = " ".join(str(reason).split())
    return CheckpointError(f"the training state of {run} does not fit its own run ({said[:200]}); it was altered")


def restore(stored: dict[str, Any], learner: Learner, run: str) -> None:
    """Load what `capture` returned; learning rates and the like keep their present settings.

    Raises CheckpointError, naming the resumed `run`, if its optimizers differ or the state was altered.
    """
    restore_weights(stored["model"], learner.model, run)
    restore_weights(stored["averaged"], learner.averaged, run)
    restore_optimizers(stored, learner.optimizers, run)
    try:
        torch.set_rng_state(stored["random"])
    except (RuntimeError, TypeError) as error:
        raise altered(run, error) from error


def restore_weights(theirs: Mapping[str, Tensor], module: nn.Module, run: str) -> None:
    """Load weights by name. Raises CheckpointError for others than the module's, and unless all are finite."""
    try:
        module.load_state_dict(theirs)
        numbers = [value for value in theirs.values() if value.is_floating_point()]
        if len(numbers) < len(theirs) or not all(value.isfinite().all() for value in numbers):
            raise ValueError("its weights are not all finite floating-point numbers")
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise altered(run, error) from error


def restore_optimizers(stored: dict[str, Any], optimizers: list[torch.optim.Optimizer], run: str) -> None:
    """Load the state of optimizers, which keep their present settings. Raises as `restore` does."""
    if len(stored["optimizers"]) != len(optimizers):
        raise altered(run, f"it has {len(stored['optimizers'])} optimizers, not {len(optimizers)}")
    for optimizer, theirs in zip(optimizers, stored["optimizers"], strict=True):
        # of a group's rate, `peak_lr` is the setting, and `lr` what the last step made of it
        kept = (
            {name: group[name] for name in group if name not in ("params", "lr")} for group in optimizer.param_groups
        )
        ours = list(kept)
        try:
            optimizer.load_state_dict(theirs)
        except ValueError as error:
            raise CheckpointError(f"{run} was written by an older version with other optimizers") from error
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise altered(run, error) from error
        for group, settings in zip(optimizer.param_groups, ours, strict=True):
            group.update(settings)  # torch would keep the old ones
        _check_kept(optimizer, run)


def _check_kept(optimizer: torch.optim.Optimizer, run: str) -> None:
    """Raise CheckpointError unless what is kept of each parameter has its shape."""
    names = KEPT[not isinstance(optimizer, Muon)]
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            kept = optimizer.state.get(parameter, {})
            if kept and (not isinstance(kept, Mapping) or set(kept) != names):
                raise altered(run, "an optimizer keeps other values")
            for name, value in kept.items():
                shape = torch.Size() if name == "step" else parameter.shape
                if not isinstance(value, Tensor) or value.shape != shape or not value.isfinite().all():
                    raise altered(run, f"an optimizer's {name} does not fit its parameter")
