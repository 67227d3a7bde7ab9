"""Checks for a resumed run: which settings may change, which may not, and whether its recordings still fit."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wavenet.config import BUNDLED, TrainConfig
from wavenet.errors import CheckpointError, ConfigError
from wavenet.files import expanded
from wavenet.model import checkpoint
from wavenet.training import state

PROGRESS = (*state.NEEDED, "best_bits", "best_step", "valid_bits")
"""Entries of a state that every version has written."""
APPLIED = {
    *("data.dir", "data.min_seconds", "data.trim_silence_db", "data.cache_dir", "data.workers", "data.frames"),
    "data.made_frames",
    *("optim.lr", "optim.adamw_lr", "optim.weight_decay", "optim.momentum", "optim.betas", "optim.schedule"),
    *("optim.warmup_steps", "optim.final_lr_ratio", "optim.clip_norm", "optim.ema_decay"),
    *("model.recognition.weight", "model.fused", "steps", "minutes", "batch_size", "crop", "accumulate"),
    *("label_dropout", "seed", "augment.polarity", "augment.gain", "augment.speed", "augment.weights"),
    *("precision", "device", "devices", "num_nodes", "threads", "run.dir", "resume", "init", "report"),
    *("log_every", "wandb", "validate_every", "validate_seconds", "sample_every", "sample_seconds", "checkpoint_every"),
}
"""Settings that a resumed run may change, from its first step on."""
REFUSED = {
    "data.sample_rate": "the model knows only that rate",
    "data.valid_fraction": "what was learned from cannot be held out later",
    "data.split_by": "what was learned from cannot be held out later",
    "data.channel": "the model has learned these recordings as they were read",
    "data.normalise": "the model has learned these recordings as they were read",
    "data.labels": "a label is a part of the model",
    "task": "it is another kind of model",
    "acoustic": "the weights would not fit, or the vocoder would have learned other frames",
    "data.language": "the acoustic model has learned other units",
    "data.lexicon": "the acoustic model has learned other units",
    "optim.name": "another optimizer would start without this one's state",
    "model": "the weights would not fit",
}
"""Settings or groups that it may not change, and why; a setting that is in neither table is refused as well."""
TOLD = ("model.labels", "model.recognition.classes", "model.features.columns")
"""Settings that are read from the recordings."""


def load(config: TrainConfig, needed: tuple[str, ...] = PROGRESS) -> dict[str, Any] | None:
    """The state that `config.resume` names, with at least the `needed` entries; None if it names none.

    Raises CheckpointError for a state that cannot be read, or cannot continue with these settings.
    """
    if config.resume is None:
        return None
    stored = checkpoint.load_state(expanded(config.resume))
    if "units" in stored:
        raise CheckpointError(
            f"{config.resume} is the acoustic part of a voice's run: continue that run, by the folder that holds both "
            "parts"
        )
    state.check(stored, str(config.resume), needed)
    check_settings(stored, config)
    return stored


def check_settings(stored: dict[str, Any], config: TrainConfig) -> None:
    """Raise CheckpointError for settings that a run cannot continue with, before its recordings are read."""
    theirs, ours = _compared(stored, config)
    for name, value in ours.items():
        reason = refusal(name)
        if name == "data.frames" and (theirs[name] is None) != (value is None):
            reason = "the model either has a recogniser or has none"
        if reason is not None and name not in TOLD and value != theirs[name]:
            raise CheckpointError(
                f"{config.resume} cannot continue: {name} is {theirs[name]!r} there, {value!r} here ({reason}); "
                "leave the setting out, or start a new run without resume="
            )


def check_recordings(
    stored: dict[str, Any], config: TrainConfig, recordings: dict[str, Any], say: Callable[[str], None]
) -> None:
    """Raise CheckpointError if a run cannot continue with these recordings, and warn if they have changed.

    recordings: their `fingerprint`; config: its model has the labels, phones and columns that were read from them.
    """
    then, now = stored["config"]["data"]["dir"] or BUNDLED, config.data.dir or BUNDLED
    if then != now:
        say(f"warning: {config.resume} was trained on {then}, and continues with another folder")
    _check_told(*_compared(stored, config), str(config.resume), now)
    before = stored.get("recordings", recordings)
    if not all(isinstance(before.get(name), type(value)) for name, value in recordings.items()):
        raise state.altered(str(config.resume), "it says of no recordings")
    if before["digest"] != recordings["digest"]:
        counts = [f"{one['count']} of {one['minutes']:.1f} minutes" for one in (before, recordings)]
        how = f"{counts[0]} then, {counts[1]} now" if counts[0] != counts[1] else "as many, with other names or lengths"
        say(f"warning: the recordings have changed since the run was saved: {how}")


def _compared(stored: dict[str, Any], config: TrainConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a run so far, and those that it is to continue with, by dotted names."""
    told = stored["config"], dataclasses.asdict(config)
    theirs, ours = (checkpoint.settings(TrainConfig, each, Path(config.resume or "")) for each in told)
    return theirs, ours


def _check_told(theirs: dict[str, Any], ours: dict[str, Any], run: str, folder: str) -> None:
    """Raise CheckpointError if the recordings' labels, phones or columns no longer fit the model."""
    kinds = [(label, values, ours["model.labels"][label]) for label, values in theirs["model.labels"].items()]
    kinds.append(("phone", theirs["model.recognition.classes"], ours["model.recognition.classes"]))
    for kind, known, found in kinds:
        new, gone = (sorted(set(some) - set(others)) for some, others in ((found, known), (known, found)))
        if new:
            raise CheckpointError(
                f"recordings of {folder} have {_named(kind, new)}, which {run} was not trained with: remove them, or "
                "start a new run without resume="
            )
        if gone:
            raise CheckpointError(
                f"no recording of {folder} has {_named(kind, gone)}, which {run} was trained with: put some back, or "
                "start a new run without resume="
            )
    then, now = theirs["model.features.columns"], ours["model.features.columns"]
    if then != now:
        raise CheckpointError(f"the arrays beside the recordings of {folder} have {now} columns, those of {run} {then}")


def _named(kind: str, values: list[str], limit: int = 3) -> str:
    return f"{kind} " + ", ".join([repr(value) for value in values[:limit]] + ["..."] * (len(values) > limit))


def refusal(name: str) -> str | None:
    """Why a resumed run may not change a setting; None if it may."""
    if name in APPLIED:
        return None
    return next((why for refused, why in REFUSED.items() if f"{name}.".startswith(f"{refused}.")), "it cannot change")


def check_length(stored: dict[str, Any], config: TrainConfig, steps: int) -> None:
    """Raise ConfigError for a finished run, one that is at the last of its `steps` and was validated there."""
    step = stored["step"]
    if step >= steps and stored.get("finished", True):
        raise ConfigError(
            f"{config.resume} is at step {step} of {stored['steps']}: give steps= above {step}, or minutes= to train "
            "that much longer"
        )
