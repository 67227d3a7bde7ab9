"""Runs that Hydra handles itself: sweeps, showing settings, and its own flags and settings.

Hydra reads the command line from sys.argv, so that holds the result of `overrides.for_hydra` while Hydra runs. A
single run needs none of this.
"""

import contextlib
import importlib.util
import os
import re
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf

from wavenet.cli.composing import config_folder, in_words
from wavenet.cli.overrides import names
from wavenet.config import TrainConfig
from wavenet.errors import ConfigError, WaveNetError
from wavenet.files import expanded, streamed


def run(command: str, schema: type, job: Any, flags: Namespace, overrides: list[str]) -> None:
    """Run `job` as `app.run` describes, through Hydra.

    If a job of a sweep fails, it is reported and the others go on. Raises WaveNetError if any failed.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing
    ConfigStore.instance().store(name=f"{command}_schema", node=schema)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder(flags, overrides), replace=True)
    if any("launcher=slurm" in override for override in overrides) and importlib.util.find_spec("submitit") is None:
        raise ConfigError("hydra/launcher=slurm needs a package more: pip install 'wavenet[slurm]'")
    errors: list[WaveNetError] = []  # hidden from Hydra, which would add its own text and end a sweep
    here = os.getpid()

    def work(settings: Any) -> Any:
        mode, given = HydraConfig.get().mode, names(list(HydraConfig.get().overrides.task))
        try:
            with in_words():
                config = OmegaConf.to_object(settings)
            if mode == RunMode.MULTIRUN and isinstance(config, TrainConfig):
                given = _use_folder(config, Path(HydraConfig.get().runtime.output_dir), given)
            return job(config, given)
        except SystemExit as ended:
            _requeue(ended)
            raise
        except WaveNetError as error:
            if os.getpid() != here:  # a launcher's own process, which reports it
                raise
            errors.append(error)
            if mode == RunMode.MULTIRUN:
                print(f"error in job {HydraConfig.get().job.num}: {error}", file=sys.stderr)

    main = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=command)(work)
    with in_words(), _command_line(flags, overrides + (_for_sweep(overrides) if flags.multirun else [])):
        main()
    if errors and flags.multirun:
        failed = "1 job" if len(errors) == 1 else f"{len(errors)} jobs"
        raise WaveNetError(f"{failed} of the sweep failed, see the errors above; the others are done")
    if errors:
        raise errors[0]


def folder_name(text: str) -> str:
    """The settings that a sweep's job changes, as a folder name: without quotes and slashes, and not too long."""
    return re.sub(r"[/\\\"']+", "_", re.sub(r"[\"']", "", text)).encode()[:200].decode(errors="ignore")


def sweep_folder(flags: Namespace, overrides: list[str]) -> Callable[[str], str]:
    """Returns the function by which configs/train.yaml turns run.dir into the sweep's folder. Its first call makes the
    folder; unless the user named it, it gets a number if another has taken its name in the same second."""

    made: dict[str, str] = {}  # a plain dict goes along to jobs that run elsewhere

    def folder(run_dir: str) -> str:
        if flags.multirun and run_dir not in made:
            from wavenet.cli.jobs.train import make_folder  # imported late, because it imports torch

            made[run_dir] = str(make_folder(expanded(run_dir), new="run.dir" not in names(overrides)))
        return made.get(run_dir, run_dir)

    return folder


def _use_folder(config: TrainConfig, folder: Path, given: frozenset[str]) -> frozenset[str]:
    """Let a job of a sweep write its run and its report to its own folder, which Hydra has made; return the names of
    the settings that count as given. A job that SLURM has started again continues its run."""
    from wavenet.cli.display import destination
    from wavenet.cli.jobs.train import make_folder
    from wavenet.training.run_folder import has_state

    if int(os.environ.get("SLURM_RESTART_COUNT", 0)) and has_state(folder):
        config.resume = config.run.dir = str(folder)
        return frozenset({"resume", "run.dir"})
    config.run.dir = str(make_folder(folder, new=True, by_hydra=True))
    if config.report and not streamed(destination(config.report)):
        config.report = str(Path(config.run.dir) / Path(config.report).name)
    return given | {"run.dir"}


def _requeue(ended: SystemExit) -> None:
    """Pass on the signal that ended a saved run to submitit, which lets SLURM start the job again."""
    number = getattr(signal, "SIGUSR2", None)
    if number is not None and ended.code == 128 + number and callable(signal.getsignal(number)):
        signal.raise_signal(number)


def _for_sweep(overrides: list[str]) -> list[str]:
    """Hydra's settings for a sweep: jobs' folders are named after what the sweep changes, and a table ends it."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    same = [override.key_or_group for override in parsed if not override.is_sweep_override()]
    return [
        f"hydra.job.config.override_dirname.exclude_keys=[{','.join(same)}]",
        "+hydra.callbacks.results._target_=wavenet.cli.sweep.Results",
    ]


@contextlib.contextmanager
def _command_line(flags: Namespace, overrides: list[str]) -> Iterator[None]:
    """Set sys.argv to these flags and overrides inside the block."""
    before = sys.argv
    given = {f"--{name.replace('_', '-')}": value for name, value in vars(flags).items() if name != "overrides"}
    written = [flag if value is True else f"{flag}={value}" for flag, value in given.items() if value]
    sys.argv = [before[0], *written, *overrides]
    try:
        yield
    finally:
        sys.argv = before
