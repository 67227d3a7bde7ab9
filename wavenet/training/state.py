"""What a run leaves to be resumed from, and what a resumed run may be given."""

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from wavenet import checkpoint
from wavenet.config import ModelConfig, TrainConfig
from wavenet.errors import CheckpointError
from wavenet.files import atomic
from wavenet.model import WaveNet


def capture(
    config: TrainConfig, model: WaveNet, averaged: WaveNet, optimizers: Sequence[torch.optim.Optimizer]
) -> dict[str, Any]:
    """What a run is made of; the trainer adds where it is."""
    return {
        "format_version": checkpoint.FORMAT_VERSION,
        "config": dataclasses.asdict(config),
        "sample_rate": config.data.sample_rate,
        "model": model.state_dict(),
        "averaged": averaged.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "random": torch.get_rng_state(),
    }


def check(state: dict[str, Any], config: TrainConfig, say: Callable[[str], None]) -> None:
    """Raise CheckpointError where `config` cannot go on from `state`; say what is unusual."""
    folder = state["config"]["data"]["dir"]
    if folder != config.data.dir:
        say(f"warning: {config.resume} was trained on {folder}, and goes on with another folder")
    theirs, ours = state["config"]["model"], dataclasses.asdict(config.model)
    theirs = dataclasses.asdict(ModelConfig.from_dict(theirs))  # older ones lack what came later
    for name, value in theirs.items():
        if ours[name] != value:
            raise CheckpointError(
                f"{config.resume} holds another model: model.{name} is {value!r} there, {ours[name]!r} here; "
                "leave the setting out, or start a new run without resume="
            )
    if state["sample_rate"] != config.data.sample_rate:
        raise CheckpointError(
            f"{config.resume} was trained at {state['sample_rate']} Hz, data.sample_rate is "
            f"{config.data.sample_rate}; leave the setting out"
        )
    if state["config"]["optim"]["name"] != config.optim.name:
        raise CheckpointError(f"{config.resume} was trained with optim.name={state['config']['optim']['name']}")


def restore(
    state: dict[str, Any],
    config: TrainConfig,
    model: WaveNet,
    averaged: WaveNet,
    optimizers: Sequence[torch.optim.Optimizer],
) -> None:
    """Load what `capture` took. Raises CheckpointError for optimizers that differ."""
    model.load_state_dict(state["model"])
    averaged.load_state_dict(state["averaged"])
    for optimizer, stored in zip(optimizers, state["optimizers"], strict=True):
        peaks = [group["peak_lr"] for group in optimizer.param_groups]
        try:
            optimizer.load_state_dict(stored)
        except ValueError as error:
            raise CheckpointError(f"{config.resume} is of an older version, with other optimizers") from error
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["peak_lr"] = peak  # the settings win: a resumed run may lower its learning rate
    torch.set_rng_state(state["random"])


def take_best(found: Path, best: Path) -> None:
    """A run that goes on in another folder takes its best checkpoint along."""
    if found.resolve() != best.resolve():
        with atomic(best) as temporary:
            shutil.copyfile(found, temporary)
