"""What a resumed run may be given: which settings apply, which are refused, and whether its recordings still fit."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wavenet.config import BUNDLED, TrainConfig
from wavenet.errors import CheckpointError, ConfigError
from wavenet.files import expanded
from wavenet.model import checkpoint

APPLIED = {
    *("data.dir", "data.min_seconds", "data.trim_silence_db", "data.cache_dir", "data.workers", "data.frames"),
    *("optim.lr", "optim.adamw_lr", "optim.weight_decay", "optim.momentum", "optim.betas", "optim.schedule"),
    *("optim.warmup_steps", "optim.final_lr_ratio", "optim.clip_norm", "optim.ema_decay"),
    *("model.recognition.weight", "model.fused", "steps", "minutes", "batch_size", "crop", "accumulate"),
    *("label_dropout", "seed"),
    *("precision", "device", "devices", "num_nodes", "threads", "run.dir", "resume", "report"),
    *("log_every", "wandb", "validate_every", "validate_seconds", "sample_every", "sample_seconds", "checkpoint_every"),
}
"""Settings that a resumed run may be given: they hold from its first step on."""
REFUSED = {
    "data.sample_rate": "the model hears that rate alone",
    "data.valid_fraction": "what was learned from cannot be held out later",
    "data.split_by": "what was learned from cannot be held out later",
    "data.channel": "the model has learned these recordings as they were read",
    "data.normalise": "the model has learned these recordings as they were read",
    "data.labels": "a label is a part of the model",
    "optim.name": "another optimizer would begin without what this one has gathered",
    "model": "the weights would not fit",
}
"""Settings, with all below them, that it may not, and why; those that are in neither table are refused as well."""
TOLD = ("model.labels", "model.recognition.classes", "model.features.columns")
"""Settings that the recordings tell."""


def load(config: TrainConfig) -> dict[str, Any] | None:
    """The state that `config.resume` names, None where it names none.

    Raises CheckpointError for a state that cannot be read, or cannot go on with these settings.
    """
    if config.resume is None:
        return None
    stored = checkpoint.load_state(expanded(config.resume))
    check_settings(stored, config)
    return stored


def check_settings(stored: dict[str, Any], config: TrainConfig) -> None:
    """Raise CheckpointError for settings that a run cannot go on with, before its recordings are read."""
    theirs, ours = _compared(stored, config)
    for name, value in ours.items():
        reason = refusal(name)
        if name == "data.frames" and (theirs[name] is None) != (value is None):
            reason = "the model has a part that recognises, or it has none"
        if reason is not None and name not in TOLD and value != theirs[name]:
            raise CheckpointError(
                f"{config.resume} cannot go on so: {name} is {theirs[name]!r} there, {value!r} here ({reason}); "
                "leave the setting out, or start a new run without resume="
            )


def check_recordings(
    stored: dict[str, Any], config: TrainConfig, recordings: dict[str, Any], say: Callable[[str], None]
) -> None:
    """Raise CheckpointError for recordings, by their `fingerprint` and what they tell of the model in `config`, that a
    run cannot go on with; say where they have changed."""
    then, now = stored["config"]["data"]["dir"] or BUNDLED, config.data.dir or BUNDLED
    if then != now:
        say(f"warning: {config.resume} was trained on {then}, and goes on with another folder")
    _check_told(*_compared(stored, config), str(config.resume), now)
    before = stored.get("recordings", recordings)
    if before["digest"] != recordings["digest"]:
        counts = [f"{one['count']} of {one['minutes']:.1f} minutes" for one in (before, recordings)]
        how = f"{counts[0]} then, {counts[1]} now" if counts[0] != counts[1] else "as many, with other names or lengths"
        say(f"warning: the recordings are not those of the run so far: {how}")


def _compared(stored: dict[str, Any], config: TrainConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a run so far, and those that it is to go on with, by dotted names."""
    told = stored["config"], dataclasses.asdict(config)
    theirs, ours = (checkpoint.settings(TrainConfig, each, Path(config.resume or "")) for each in told)
    return theirs, ours


def _check_told(theirs: dict[str, Any], ours: dict[str, Any], run: str, folder: str) -> None:
    """Raise CheckpointError where the recordings tell another model than they told then."""
    kinds = [(label, values, ours["model.labels"][label]) for label, values in theirs["model.labels"].items()]
    kinds.append(("phone", theirs["model.recognition.classes"], ours["model.recognition.classes"]))
    for kind, known, found in kinds:
        new, gone = (sorted(set(some) - set(others)) for some, others in ((found, known), (known, found)))
        if new:
            raise CheckpointError(
                f"recordings of {folder} have {_named(kind, new)}, with which {run} was not trained: take them out, or "
                "start a new run without resume="
            )
        if gone:
            raise CheckpointError(
                f"no recording of {folder} has {_named(kind, gone)}, with which {run} was trained: put some back, or "
                "start a new run without resume="
            )
    then, now = theirs["model.features.columns"], ours["model.features.columns"]
    if then != now:
        raise CheckpointError(f"the arrays beside the recordings of {folder} have {now} columns, those of {run} {then}")


def _named(kind: str, values: list[str], limit: int = 3) -> str:
    return f"{kind} " + ", ".join([repr(value) for value in values[:limit]] + ["..."] * (len(values) > limit))


def refusal(name: str) -> str | None:
    """Why a resumed run may not be given another value of a setting; None where it may."""
    if name in APPLIED:
        return None
    return next((why for refused, why in REFUSED.items() if f"{name}.".startswith(f"{refused}.")), "it is kept")


def check_length(stored: dict[str, Any], config: TrainConfig, steps: int) -> None:
    """Raise ConfigError for a run that is over: at the last of its `steps`, and measured there."""
    step = stored["step"]
    if step >= steps and stored.get("finished", True):
        raise ConfigError(
            f"{config.resume} is at step {step} of {stored['steps']}: give steps= above {step}, or minutes= to train "
            "so much longer"
        )
