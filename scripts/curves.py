"""The learning curves of several runs in one picture, each named by the settings in which it differs from the others.

    python scripts/curves.py runs/a runs/b ... output=curves.png

Training bits are averaged over a hundredth of a run; the name ends with the last held-out bits.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wavenet import plots

UNTOLD = ("run.dir", "report", "resume", "threads")
"""Settings that do not change what is learned."""


def main() -> None:
    folders = [Path(argument) for argument in sys.argv[1:] if "=" not in argument]
    options = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
    if len(folders) < 2 or set(options) - {"output"}:
        sys.exit(__doc__)
    settings = [flat(yaml.safe_load((folder / "config.yaml").read_text())) for folder in folders]
    names = sorted({name for one in settings for name in one if name not in UNTOLD})
    telling = [name for name in names if len({str(one.get(name)) for one in settings}) > 1]
    series = {}
    for folder, one in zip(folders, settings, strict=True):
        label = ", ".join(f"{name}={one.get(name)}" for name in telling) or folder.name
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        training = np.array([(row["step"], row["train/bits"]) for row in rows if "train/bits" in row])
        held_out = [row["valid/bits"] for row in rows if "valid/bits" in row]
        series[f"{label}: {held_out[-1]:.3f} held out"] = smoothed(training)
    plots.save(plots.curves(series, {}), Path(options.get("output", "curves.png")))


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"optim": {"lr": 1}} -> {"optim.lr": 1}"""
    found = {}
    for name, value in settings.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def smoothed(points: np.ndarray) -> np.ndarray:
    """(n, 2) of step and bits, averaged over runs of n / 100 points."""
    width = max(1, len(points) // 100)
    return points[: len(points) // width * width].reshape(-1, width, 2).mean(axis=1)


if __name__ == "__main__":
    main()
