"""Reads the folders of several runs: their settings, where these differ, and what they measured."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

UNTOLD = ("run.dir", "report", "resume", "threads")
"""Settings that do not change what is learned."""


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


def read(folder: Path) -> Run:
    """Read a run folder, even of a run that is still going on or failed early."""
    path = folder / "config.yaml"
    settings = yaml.safe_load(path.read_text()) if path.is_file() else {}
    return Run(folder, flat(settings or {}), read_metrics(folder))


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Whole lines of metrics.jsonl: a run that was killed may have left half of one."""
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}\n")]


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"optim": {"lr": 1}} -> {"optim.lr": 1}"""
    found = {}
    for name, value in settings.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def differences(runs: list[Run]) -> list[str]:
    """Names of the settings in which runs differ, such as `optim.lr`."""
    settings = [run.settings for run in runs if run.settings]
    names = sorted({name for one in settings for name in one} - set(UNTOLD))
    return [name for name in names if len({str(one.get(name)) for one in settings}) > 1]


def within(folder: Path) -> list[Run]:
    """The run in a folder or, if it holds none, the runs directly below it by name, as after a sweep."""
    if (folder / "metrics.jsonl").is_file():
        return [read(folder)]
    below = sorted(folder.iterdir()) if folder.is_dir() else []
    return [read(path) for path in below if (path / "metrics.jsonl").is_file()]
