"""A run's state: weights, their average, optimizers and random numbers, saved and restored bit for bit."""

import dataclasses
from typing import Any

import torch

from wavenet.config import TrainConfig
from wavenet.errors import CheckpointError
from wavenet.model import checkpoint
from wavenet.training.learner import Learner


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


def restore(stored: dict[str, Any], learner: Learner, run: str) -> None:
    """Load what `capture` returned; learning rates and the like keep their present settings.

    Raises CheckpointError, naming the resumed `run`, if its optimizers differ.
    """
    learner.model.load_state_dict(stored["model"])
    learner.averaged.load_state_dict(stored["averaged"])
    restore_optimizers(stored, learner.optimizers, run)
    torch.set_rng_state(stored["random"])


def restore_optimizers(stored: dict[str, Any], optimizers: list[torch.optim.Optimizer], run: str) -> None:
    """Load the state of optimizers, which keep their present settings. Raises as `restore` does."""
    for optimizer, theirs in zip(optimizers, stored["optimizers"], strict=True):
        ours = [{name: group[name] for name in group if name != "params"} for group in optimizer.param_groups]
        try:
            optimizer.load_state_dict(theirs)
        except ValueError as error:
            raise CheckpointError(f"{run} was written by an older version with other optimizers") from error
        for group, settings in zip(optimizer.param_groups, ours, strict=True):
            group.update(settings)  # torch would keep the old ones
