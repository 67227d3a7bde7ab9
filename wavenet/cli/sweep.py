"""The table at the end of a sweep: its runs, the best first, on the terminal and as sweep.csv beside them."""

import csv
import math
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.table import Table
from rich.text import Text

from wavenet.cli.display import Display, takes_stdout
from wavenet.errors import printable
from wavenet.files import atomic, expanded
from wavenet.training import runs
from wavenet.training.runs import Run

NAME = "sweep.csv"


class Results(Callback):
    """Hydra calls this after the last job, whichever launcher ran the jobs."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        report(expanded(config.hydra.sweep.dir), takes_stdout(config.get("report")))


def report(folder: Path, to_stderr: bool = False) -> None:
    """Show the runs of a sweep's folder and write them to sweep.csv, with the settings in which they differ.

    Does nothing if there are no runs, as after a sweep of another command than training.
    """
    found = sorted(runs.within(folder), key=_bits)
    if not found:
        return
    display = Display(to_stderr)
    table = Table("run", "steps", "bits per sample", "samples/s")
    for run in found:
        figures = _figures(run)
        bits = "not measured" if figures["bits_per_sample"] is None else f"{figures['bits_per_sample']:.3f}"
        speed = "" if figures["samples_per_second"] is None else f"{figures['samples_per_second']:,.0f}"
        table.add_row(Text(printable(run.folder.name)), str(figures["steps"]), bits, speed)
    display.console.print(table)
    telling = runs.differences(found)
    rows = [_figures(run) | {name: run.settings.get(name) for name in telling} for run in found]
    try:
        with atomic(folder / NAME) as path, open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        display.say(f"cannot write {folder / NAME} ({error.strerror})")
    else:
        display.say(f"wrote {folder / NAME}")


def _bits(run: Run) -> float:
    """The sort key, lowest first; a run that was not measured comes last."""
    bits = _figures(run)["bits_per_sample"]
    return math.inf if bits is None else bits


def _figures(run: Run) -> dict[str, Any]:
    held_out, speed = run.series("valid/bits"), run.series("train/samples_per_second")
    return {
        "run": run.folder.name,
        "steps": int(run.metrics[-1]["step"]) if run.metrics else 0,
        "bits_per_sample": float(held_out[-1, 1]) if len(held_out) else None,
        "samples_per_second": float(speed[-1, 1]) if len(speed) else None,
    }
