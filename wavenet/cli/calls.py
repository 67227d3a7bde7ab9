"""wavenet-train, and its preparation alone, as functions, for scripts and notebooks: the same settings and errors."""

import contextlib
from collections.abc import Collection
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from wavenet.cli.composing import compose, config_folder, groups
from wavenet.cli.display import Display, takes_stdout
from wavenet.cli.jobs.train import run, settled
from wavenet.cli.overrides import check, names
from wavenet.cli.paths import is_path, quoted
from wavenet.config import TrainConfig
from wavenet.errors import ConfigError
from wavenet.files import expanded
from wavenet.model.distributions import make_distribution
from wavenet.recordings import preparation
from wavenet.recordings.preparation import Prepared, Progress
from wavenet.training import Reporter, Result


def train(
    folder: str | Path | None = None,
    run_dir: str | Path | None = None,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    model: str | None = None,
    experiment: str | None = None,
    resume: str | Path | None = None,
    init: str | Path | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> Result:
    """Train on a folder of recordings, and leave a run folder, as `wavenet-train` does.

        result = wavenet.train("~/recordings", "runs/mine", minutes=15, model="base", **{"optim.lr": 0.01})
        voice = wavenet.load("runs/mine")

    folder: `data.dir` of the command; optional with `resume`, or with an experiment that names one.
    run_dir: by default runs/<date>_<time>, or the folder of the resumed run.
    minutes, steps: how long to train; with `resume`, how many more minutes, or up to which step.
    model, experiment: presets: `tiny`, `base`, `paper` or `large`; the name of a whole recipe.
    init: the network whose weights it starts from: anything that `wavenet.load` takes but an exported file.
    reporter: receives the progress. By default it is printed; Reporter() is silent.
    settings: any other setting of `wavenet-train --help` by its dotted name, and the config group `optim`.

    In the main thread, the first Ctrl-C stops after the current step and saves; `stopped_by` of the result then holds
    the signal. Raises WaveNetError, mostly ConfigError or AudioError, with one line that says what to do.
    """
    asked = {"data.dir": folder, "run.dir": run_dir, "minutes": minutes, "steps": steps}
    asked |= {"model": model, "experiment": experiment, "resume": resume, "init": init}
    config, given = _composed({name: value for name, value in asked.items() if value is not None}, settings)
    with contextlib.nullcontext(reporter) if reporter is not None else Display(takes_stdout(config.report)) as told:
        return run(*settled(config, given), told)


def prepare(
    folder: str | Path | None = None,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    model: str | None = None,
    experiment: str | None = None,
    **settings: Any,
) -> Prepared:
    """Decode a folder's recordings and keep them, so that `train` or the command starts at once with the same settings.

        client = dask.distributed.Client("scheduler:8786")
        prepared = wavenet.prepare("~/recordings", executor=client.get_executor(), model="base")

    executor: any `concurrent.futures.Executor`, which decodes instead of the `data.workers` threads. Its workers need
    wavenet, and the folder and the cache under the same paths. Twice `data.workers` recordings are with it at a time.
    progress: called with the number of recordings done and their total. The other arguments are those of `train`.
    What was done before an interruption is kept. Raises WaveNetError, mostly ConfigError or AudioError.
    """
    asked = {"data.dir": folder, "model": model, "experiment": experiment}
    config, _ = _composed({name: value for name, value in asked.items() if value is not None}, settings)
    return preparation.prepare(config.data, progress, make_distribution(config.model.mixtures).encoding, executor)


def _composed(asked: dict[str, Any], settings: dict[str, Any]) -> tuple[TrainConfig, Collection[str]]:
    """The settings of a run, and the names of those that were given. Raises ConfigError."""
    for name in asked.keys() & settings.keys():
        raise ConfigError(f"{name} is given twice")
    arguments = [f"{name}={written(name, value)}" for name, value in (asked | settings).items()]
    check(arguments, TrainConfig, groups(config_folder()))
    return compose("train", TrainConfig, arguments), names(arguments)


def written(name: str, value: Any) -> str:
    """A setting's value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str | Path):
        return quoted(str(expanded(value) if is_path(name) and str(value).startswith("~") else value))
    if isinstance(value, list | tuple):
        return f"[{','.join(written('', entry) for entry in value)}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{written('', entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, int | float):
        return repr(value)
    raise ConfigError(f"{name} is {value!r}, but it must be text, a number, true or false, or a list or dict of these")
