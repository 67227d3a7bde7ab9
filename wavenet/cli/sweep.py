"""The end of a sweep: its runs compared, the best first, on the terminal and as sweep.csv and sweep.png beside them."""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from wavenet.cli import comparing
from wavenet.cli.display import Display, takes_stdout
from wavenet.files import expanded
from wavenet.training import runs

NAME = "sweep"


class Results(Callback):
    """Hydra calls this after the last job, whichever launcher ran the jobs."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        report(expanded(config.hydra.sweep.dir), takes_stdout(config.get("report")))


def report(folder: Path, to_stderr: bool = False) -> None:
    """Compare the runs of a sweep's folder. Does nothing if there are none, as after a sweep of another command."""
    display = Display(to_stderr)
    found, remarks = runs.readable(runs.folders(folder))
    for line in remarks:
        display.say(line)
    if not found:
        return
    found = comparing.best_first(found)
    comparing.show(found, display)
    table, picture = folder / f"{NAME}.csv", folder / f"{NAME}.png"
    try:
        comparing.write(found, table, picture)
    except OSError as error:
        display.say(f"cannot write {error.filename or folder} ({error.strerror})")
    else:
        display.say(f"wrote {table} and {picture}")
