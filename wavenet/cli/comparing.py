"""Runs side by side: a table on the terminal, the same as CSV, and their curves in one picture."""

import csv
import math
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from wavenet.audio import plots
from wavenet.cli.display import Display
from wavenet.errors import printable, some
from wavenet.files import atomic
from wavenet.training import runs
from wavenet.training.runs import Run

FEWEST = 3
"""Fewest held-out figures that make a curve; with fewer, the curves of all runs show training bits."""
MANY = 6
"""If more settings than these differ, the terminal only says how many: the CSV has them."""
UNFINISHED = {
    "training": "still training",
    "stopped": "stopped before the last step",
    "no checkpoint": "ended before a checkpoint",
}
SHOWN = {
    "steps": ("steps", "{:,}".format),
    "best_step": ("best", "{:,}".format),
    "bits_per_sample": ("bits", "{:.3f}".format),
    "frame_accuracy": ("frames", "{:.1%}".format),
    "minutes": ("minutes", "{:,.1f}".format),
    "samples_per_second": ("samples/s", "{:,.0f}".format),
    "weights": ("weights", "{:,}".format),
}
"""The figures of the table: the heading of each, and how it is written."""


def best_first(found: list[Run]) -> list[Run]:
    """Runs by their bits per sample, the lowest first; those that were not measured come last."""
    bits = {run.folder: run.last("valid/bits") for run in found}
    return sorted(found, key=lambda run: math.inf if (value := bits[run.folder]) is None else value)


def rows(found: list[Run]) -> list[dict[str, Any]]:
    """A row for each run: its name, its figures, and the settings that are not the same in all. Where a setting and a
    figure share a name, such as `steps`, the figure counts."""
    telling, made = runs.differences(found), []
    for run, name in zip(found, runs.names(found), strict=True):
        figures = run.figures() | {"run": printable(name)}
        made.append(figures | {key: run.settings.get(key) for key in telling if key not in figures})
    return made


def show(found: list[Run], display: Display) -> None:
    """Print the table. A figure that no run has is left out; the settings that differ are told in one column."""
    table_rows, telling = rows(found), [name for name in runs.differences(found) if name not in SHOWN]
    figures = [name for name in SHOWN if any(row[name] is not None for row in table_rows)]
    told = 0 < len(telling) <= MANY
    table = Table("run")
    for name in figures:
        table.add_column(SHOWN[name][0], justify="right", no_wrap=True)
    if told:
        table.add_column("what differs")
    for row in table_rows:
        words = ["" if row[name] is None else SHOWN[name][1](row[name]) for name in figures]
        differing = [Text(", ".join(f"{name}={row[name]}" for name in telling))] if told else []
        table.add_row(Text(row["run"]), *words, *differing)
    console = display.console
    if not console.is_terminal:  # a file has no width
        table.width = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    console.print(table, crop=False)
    for standing in ("training", "stopped", "no checkpoint"):
        if those := [row["run"] for row in table_rows if row["standing"] == standing]:
            display.say(f"{UNFINISHED[standing]}: {some(those)}")
    if len(telling) > MANY:
        display.say(f"{len(telling)} settings differ: the CSV file has them")
    if unequal := runs.incomparable(found):
        display.say(f"not held out alike, so that bits cannot simply be compared: {', '.join(unequal)} differ")


def write(found: list[Run], table: Path, picture: Path) -> list[str]:
    """Write the table as CSV and the curves as PNG; return the names of runs whose times are unknown. Raises OSError if
    a file cannot be written."""
    table_rows = rows(found)
    table.parent.mkdir(parents=True, exist_ok=True)
    with atomic(table) as path, open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table_rows[0]))
        writer.writeheader()
        writer.writerows(table_rows)
    steps, minutes = curves(found)
    plots.save(plots.comparison(steps, minutes), picture)
    return [name for name, run in zip(runs.names(found), found, strict=True) if run.minutes is None]


def curves(found: list[Run]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(n, 2) of step and bits per run, by name, and of minutes and bits. Bits are held-out ones if every run has enough
    of them, else those of training. A run is named by the settings that tell it apart, or by its folder."""
    telling = runs.differences(found)
    measured = all(len(run.series("valid/bits")) >= FEWEST for run in found)
    steps, minutes = {}, {}
    for run, name in zip(found, runs.names(found), strict=True):
        label = ", ".join(f"{setting}={run.settings.get(setting)}" for setting in telling)
        if not label or len(label) > plots.LONG_LABEL or label in {known.rpartition(":")[0] for known in steps}:
            label = name
        bits = run.last("valid/bits")
        label = printable(label) + (f": {bits:.3f} held out" if bits is not None else "")
        series = run.series("valid/bits" if measured else "train/bits")
        steps[label], minutes[label] = series, run.over_minutes(series)
    return steps, minutes
