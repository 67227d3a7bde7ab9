"""A run's folder: who uses it, what it holds, and the errors if it cannot be written."""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from wavenet.errors import ConfigError, TrainingError
from wavenet.files import atomic, expanded, lock_holder, locked, remedy, remove_left_over
from wavenet.model import checkpoint
from wavenet.model.launcher import may_be_again, torchrun

LOCK = ".lock"
"""Lock file of a run folder, held by the process that trains there."""
BEGUN_BY = ".torchrun"
"""File in a run folder that names the torchrun that has begun the run."""


@contextlib.contextmanager
def claimed(run_dir: Path, resume: str | None, data_dir: str | None) -> Iterator[None]:
    """Reserve the folder for this run. Raises ConfigError if it belongs to another run or holds the recordings."""
    checkpoints = run_dir / "checkpoints"
    state = None if resume is None else checkpoint.find_state(expanded(resume))
    if data_dir is not None and expanded(data_dir).resolve() == run_dir.resolve():
        raise ConfigError(f"run.dir: {run_dir} is the folder of recordings; choose another run.dir")
    with contextlib.ExitStack() as held:
        with writing(run_dir):
            if state is None or state.parent.resolve() != checkpoints.resolve():
                again = begun_before(run_dir)
                if not again:  # whatever torchrun starts after this has not begun what is there now
                    (run_dir / BEGUN_BY).unlink(missing_ok=True)
                if _taken(run_dir) and (has_state(run_dir) or not again):
                    raise ConfigError(_already(run_dir))
                checkpoints.mkdir(parents=True, exist_ok=True)
                if (name := torchrun()) is not None:
                    (run_dir / BEGUN_BY).write_text(name)
            held.enter_context(_locked(run_dir))
            for place in (run_dir, checkpoints, run_dir / "samples"):
                remove_left_over(place)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                checkpoints.rmdir()  # only if it is still empty


def begun_before(run_dir: Path) -> bool:
    """Whether torchrun, which starts processes again after one has died, has begun the run in this folder."""
    found = run_dir / BEGUN_BY
    return may_be_again() and found.is_file() and found.read_text() == torchrun()


def _taken(run_dir: Path) -> bool:
    """Whether a run has written anything here, or is about to; not if it was killed before its first step."""
    checkpoints = run_dir / "checkpoints"
    if (run_dir / "metrics.jsonl").exists() or (checkpoints.exists() and not checkpoints.is_dir()):
        return True
    return checkpoints.is_dir() and (any(checkpoints.iterdir()) or lock_holder(run_dir / LOCK) is not None)


def _already(run_dir: Path) -> str:
    found, holder = f"run.dir: {run_dir} already holds a run", lock_holder(run_dir / LOCK)
    if holder is not None:
        return f"{found}, which {holder} is training: choose another run.dir"
    if has_state(run_dir):
        return f"{found}: continue it with resume={shlex.quote(str(run_dir))}, or choose another run.dir"
    return f"{found} that has saved no state: delete the folder if that run has ended, or choose another run.dir"


@contextlib.contextmanager
def _locked(run_dir: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises ConfigError if another process holds it."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(run_dir / LOCK))
        except BlockingIOError as error:
            holder = lock_holder(run_dir / LOCK) or "another process"
            raise ConfigError(f"run.dir: {run_dir} is being trained by {holder}: stop that one first") from error
        yield


@contextlib.contextmanager
def writing(run_dir: Path) -> Iterator[None]:
    """Raise TrainingError, which says what was saved, if the block cannot write to the run folder."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise TrainingError(
            f"cannot write to {run_dir} ({reason}); {remedy(error)} another run.dir; {kept(run_dir)}"
        ) from error


def write_settings(run_dir: Path, settings: dict[str, Any]) -> None:
    """Write the run's settings to config.yaml."""
    with atomic(run_dir / "config.yaml") as path:
        path.write_text(yaml.safe_dump(settings, sort_keys=False))


def has_state(run_dir: Path) -> bool:
    return (run_dir / "checkpoints" / "last.state").exists()


def kept(run_dir: Path) -> str:
    """What a run that ends early has saved, in words. A part of a voice's run is resumed by that run."""
    if has_state(run_dir):
        whole = run_dir.parent if has_state(run_dir.parent) else run_dir
        return f"the last checkpoint is intact: resume={shlex.quote(str(whole))}"
    return "no checkpoint was written yet"
