"""Reads the folders of several runs: their settings, where these differ, and what they measured."""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wavenet import config
from wavenet.config import TrainConfig
from wavenet.errors import CheckpointError, TrainingError
from wavenet.files import lock_holder
from wavenet.model import checkpoint
from wavenet.training.run_folder import LOCK, has_state

UNTOLD = ("run.dir", "report", "resume", "threads")
"""Settings that do not change what is learned."""
FOUND = ("model.labels.", "model.recognition.classes", "model.features.columns")
"""Beginnings of the settings that are read from the recordings."""
RECORDINGS = ("dir", "sample_rate", "valid_fraction", "split_by", "labels", "channel", "trim_silence_db", "min_seconds")
"""Settings of `data` that decide what is held out."""
DEEPEST = 3
"""Folders below the given one that are searched for runs: of a sweep in a folder of sweeps, the parts of a voice."""
METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path
    settings: dict[str, Any]
    """By dotted name; empty if not written yet."""
    metrics: list[dict[str, float]]
    """Lines of metrics.jsonl: `step`, and what was measured there."""

    def series(self, name: str) -> np.ndarray:
        """(n, 2): steps, and what was measured under this name."""
        return np.array([(row["step"], row[name]) for row in self.metrics if name in row]).reshape(-1, 2)

    def last(self, name: str) -> float | None:
        """What was last measured under this name."""
        series = self.series(name)
        return float(series[-1, 1]) if len(series) else None

    @property
    def acoustic(self) -> bool:
        """Whether it trained the acoustic model of a voice, whose losses are no bits."""
        return not len(self.series("train/bits")) and bool(len(self.series("train/mel")))

    @cached_property
    def stored(self) -> dict[str, Any]:
        """Its state, without what is large: `step`, `steps`, `seconds`, `best_step`, `finished`, `weights`; empty if it
        has saved none. Raises CheckpointError if that cannot be read."""
        if not has_state(self.folder):
            return {}
        state = checkpoint.load_state(self.folder)
        told = {name: state.get(name) for name in ("step", "steps", "seconds", "best_step", "finished")}
        return told | {"weights": sum(tensor.numel() for tensor in state.get("model", {}).values())}

    @property
    def standing(self) -> str:
        """`done`, `training`, `stopped` before its last step, or `no checkpoint`."""
        if lock_holder(self.folder / LOCK) is not None:
            return "training"
        if not self.stored:
            return "no checkpoint"
        over = self.stored["step"] >= (self.stored["steps"] or 0) and self.stored["finished"] is not False
        return "done" if over else "stopped"

    @property
    def minutes(self) -> float | None:
        """How long it has trained; None if it has not written that down."""
        seconds = self.stored.get("seconds")
        return self.last("train/minutes") if seconds is None else seconds / 60

    def over_minutes(self, series: np.ndarray) -> np.ndarray:
        """(n, 2) of step and value -> of minutes and value, empty if the times are unknown.

        A run of an older version only says how long it took: its steps are spread evenly over that.
        """
        known = self.series("train/minutes")
        if not len(known) and self.minutes is not None and self.metrics:
            known = np.array([(self.metrics[-1]["step"], self.minutes)])
        if not len(known) or not len(series):
            return np.empty((0, 2))
        steps, minutes = np.concatenate([[[0.0, 0.0]], known]).T
        return np.stack([np.interp(series[:, 0], steps, minutes), series[:, 1]], axis=1)

    def figures(self) -> dict[str, Any]:
        """What it came to; None where it is not known. Raises CheckpointError as `stored` does."""
        return {
            "run": self.folder.name,
            "standing": self.standing,
            "steps": int(self.metrics[-1]["step"]) if self.metrics else 0,
            "best_step": self.stored.get("best_step") or None,
            "bits_per_sample": self.last("valid/bits"),
            "frame_accuracy": self.last("valid/frame_accuracy"),
            "minutes": self.minutes,
            "samples_per_second": self.last("train/samples_per_second"),
            "weights": self.stored.get("weights"),
        }


def read(folder: Path) -> Run:
    """Read a run folder, even of a run that is still going on or failed early.

    Raises TrainingError if what is there is not what a run writes.
    """
    path = folder / "config.yaml"
    try:
        settings = yaml.safe_load(path.read_text()) if path.is_file() else {}
        return Run(folder, flat(settings or {}), read_metrics(folder))
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(f"{folder} is not a readable run ({reason})") from error


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Whole lines of metrics.jsonl: a run that was killed may have left half of one.

    Raises ValueError if a line is not what a run writes.
    """
    path = folder / METRICS
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    rows = [json.loads(line) for line in lines if line.endswith("}\n")]
    for row in rows:
        if "step" not in row or not all(isinstance(value, int | float) for value in row.values()):
            raise ValueError(f"a line of {METRICS} has no step, or something else than numbers")
    return rows


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"optim": {"lr": 1}} -> {"optim.lr": 1}"""
    found = {}
    for name, value in settings.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def differences(runs: list[Run]) -> list[str]:
    """Names of the settings in which runs differ, such as `optim.lr`. One that an older version lacked has its
    default."""
    settings = [run.settings for run in runs if run.settings]
    defaults = {setting.name: setting.default for setting in config.settings(TrainConfig)}
    names = sorted({name for one in settings for name in one} - set(UNTOLD))
    told = [name for name in names if not name.startswith(FOUND)]
    return [name for name in told if len({str(one.get(name, defaults.get(name))) for one in settings}) > 1]


def incomparable(runs: list[Run]) -> list[str]:
    """Names of the settings in which runs differ and by which they may be measured on other recordings."""
    held_out = {f"data.{name}" for name in RECORDINGS}
    return [name for name in differences(runs) if name in held_out]


def folders(folder: Path, deepest: int = DEEPEST) -> list[Path]:
    """The folder itself if it holds a run, else those of the runs below it, by name."""
    if (folder / METRICS).is_file() or not deepest or not os.path.isdir(folder):
        return [folder] if (folder / METRICS).is_file() else []
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []
    return [found for path in below for found in folders(path, deepest - 1)]


def names(runs: list[Run]) -> list[str]:
    """A name for each run: its folder, from the one that holds all."""
    paths = [os.path.abspath(run.folder) for run in runs]
    base = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.relpath(path, base) for path in paths]


def readable(places: list[Path]) -> tuple[list[Run], list[str]]:
    """The runs in these folders that can be compared, and a line about each other one."""
    found, remarks = [], []
    for place in places:
        try:
            run = read(place)
            if run.acoustic:
                told = ", ".join(f"{name} {run.last(f'valid/{name}'):.3f}" for name in _measured(run))
                remarks.append(
                    f"{place} is the acoustic model of a voice, whose losses are no bits: {told or 'none yet'}"
                )
            elif not run.metrics:
                remarks.append(f"{place} has measured nothing yet")
            elif run.standing:  # reads its state
                found.append(run)
        except (TrainingError, CheckpointError) as error:
            remarks.append(f"left out: {error}")
    return found, remarks


def _measured(run: Run) -> list[str]:
    names = dict.fromkeys(name for row in run.metrics for name in row if name.startswith("valid/"))
    return [name.removeprefix("valid/") for name in names]
