"""`benchmark.py forecast`: what training says before its first step, beside what the run then takes.

Each run is a process of its own, on the bundled recordings. Run as a program, this file is one such run:
python scripts/forecasts.py SETTING=VALUE ...
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import wavenet  # noqa: F401 (before torch, so that its threads wait as they do in every command)
from wavenet.cli.composing import compose
from wavenet.config import TrainConfig
from wavenet.training import Reporter, train
from wavenet.training.memory import peak

PRESETS = ("model=tiny", "model=base", "model=paper", "model=large", "experiment=speakers")


def measure(rounds: int, machine: str, steps: str) -> list[dict[str, Any]]:
    """Show, for every preset, forecast and outcome of time, memory and disk, and how far the first is off."""
    table = Table("preset", "seconds", "off", "memory, MB", "off", "disk, MB", "off", title=machine)
    measured, console = [], Console(width=120)
    for preset in PRESETS:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                settings = [preset, "minutes=null", f"steps={steps}", f"run.dir={folder}/run"]
                command = [sys.executable, __file__, *settings]
                row = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            told, came = row["forecast"], row["came"]
            cells = []
            for name, unit in (("seconds", 1), ("memory_bytes", 1e6), ("disk_bytes", 1e6)):
                ratio = told[name] / came[name]
                cells += [f"{told[name] / unit:.1f} / {came[name] / unit:.1f}", f"{ratio - 1:+.0%}"]
            console.print(preset, *cells)  # the whole takes minutes
            table.add_row(preset, *cells)
            measured.append({"name": preset, **row})
    console.print("forecast / outcome", table)
    return measured


class Watch(Reporter):
    """Notes when the forecast was made."""

    began = 0.0

    def say(self, line: str) -> None:
        if line.startswith("forecast: "):
            self.began = time.perf_counter()


def main() -> None:
    folder = next(value for name, _, value in (word.partition("=") for word in sys.argv[1:]) if name == "run.dir")
    config, watch = compose("train", TrainConfig, ["data.dir=bundled", "device=cpu", *sys.argv[1:]]), Watch()
    result = train(config, Path(folder), watch)
    seconds = time.perf_counter() - watch.began
    assert result.forecast is not None, "the run is long enough"
    disk = sum(path.stat().st_size for path in Path(folder).rglob("*"))
    import torch

    came = {"seconds": seconds, "memory_bytes": peak(torch.device("cpu")), "disk_bytes": disk}
    print(json.dumps({"forecast": asdict(result.forecast), "came": came}))


if __name__ == "__main__":
    main()
