"""Draws the learning curves of several runs in one picture, each named after the settings that tell it apart.

    python scripts/curves.py runs/a runs/b ... [output=curves.png]
    python scripts/curves.py runs/sweep        [output=curves.png]

A folder without a run of its own stands for the runs in it. The curves show held-out bits if every run has three or
more of them, otherwise smoothed training bits; each name ends with the last held-out bits.
"""

import sys
from pathlib import Path

from wavenet.audio import plots
from wavenet.training import runs
from wavenet.training.runs import Run

FEWEST = 3
"""Fewest held-out figures that make a curve."""


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("output=")]
    outputs = [argument.removeprefix("output=") for argument in sys.argv[1:] if argument.startswith("output=")]
    found = [run for argument in arguments for run in runs.within(Path(argument))]
    if len(found) < 2 or len(outputs) > 1:
        sys.exit(__doc__ if len(arguments) < 1 else f"{' '.join(arguments)}: {len(found)} runs, but two are needed")
    output = Path(outputs[0] if outputs else "curves.png")
    output.parent.mkdir(parents=True, exist_ok=True)
    plots.save(plots.curves(curves(found), {}), output)
    print(output)


def curves(found: list[Run]) -> dict:
    """(n, 2) of step and bits per run, by name."""
    telling = runs.differences(found)
    name = "valid/bits" if all(len(run.series("valid/bits")) >= FEWEST for run in found) else "train/bits"
    series = {}
    for run in found:
        label = ", ".join(f"{setting}={run.settings.get(setting)}" for setting in telling) or run.folder.name
        held_out = run.series("valid/bits")
        end = f": {held_out[-1, 1]:.3f} held out" if len(held_out) else ""
        series[label + end] = run.series(name)
    return series


if __name__ == "__main__":
    main()
