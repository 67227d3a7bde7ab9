"""A run's state: weights, their average, optimizers and random numbers, taken and put back bit for bit."""

import dataclasses
from typing import Any

import torch

from wavenet.config import TrainConfig
from wavenet.errors import CheckpointError
from wavenet.model import checkpoint
from wavenet.training.learner import Learner


def capture(config: TrainConfig, learner: Learner) -> dict[str, Any]:
    """What a run is made of; where it is in its steps, the trainer adds."""
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
    """Load what `capture` took; learning rates and the like stay as they are set now.

    Raises CheckpointError, naming the `run` that is resumed, for optimizers that differ.
    """
    learner.model.load_state_dict(stored["model"])
    learner.averaged.load_state_dict(stored["averaged"])
    for optimizer, theirs in zip(learner.optimizers, stored["optimizers"], strict=True):
        ours = [{name: group[name] for name in group if name != "params"} for group in optimizer.param_groups]
        try:
            optimizer.load_state_dict(theirs)
        except ValueError as error:
            raise CheckpointError(f"{run} is of an older version, with other optimizers") from error
        for group, settings in zip(optimizer.param_groups, ours, strict=True):
            group.update(settings)  # torch would go on with the old ones
    torch.set_rng_state(stored["random"])
