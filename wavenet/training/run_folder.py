"""A run's folder: whose it is, what is in it, and what is said where it cannot be written."""

import contextlib
import errno
import os
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from wavenet.errors import ConfigError, TrainingError
from wavenet.files import expanded, remedy
from wavenet.model import checkpoint

LOCK = ".lock"
"""File of a run folder that the process which trains there holds."""


@contextlib.contextmanager
def claimed(run_dir: Path, resume: str | None, data_dir: str | None) -> Iterator[None]:
    """Within, the folder is this run's alone. Raises ConfigError where it is another's, or the recordings'."""
    checkpoints = run_dir / "checkpoints"
    state = None if resume is None else checkpoint.find_state(expanded(resume))
    if data_dir is not None and expanded(data_dir).resolve() == run_dir.resolve():
        raise ConfigError(f"run.dir: {run_dir} is the folder of recordings itself; choose another run.dir")
    with contextlib.ExitStack() as held:
        with writing(run_dir):
            if state is None or state.parent.resolve() != checkpoints.resolve():
                if _taken(run_dir):
                    raise ConfigError(_already(run_dir))
                checkpoints.mkdir(parents=True, exist_ok=True)
            held.enter_context(_lock(run_dir))
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                checkpoints.rmdir()  # only where nothing came of it


def _taken(run_dir: Path) -> bool:
    """Whether a run has left anything here, or is about to. One that was killed before its first step has not."""
    checkpoints = run_dir / "checkpoints"
    if (run_dir / "metrics.jsonl").exists() or (checkpoints.exists() and not checkpoints.is_dir()):
        return True
    return checkpoints.is_dir() and (any(checkpoints.iterdir()) or _holder(run_dir) is not None)


def _already(run_dir: Path) -> str:
    found, holder = f"run.dir: {run_dir} already holds a run", _holder(run_dir)
    if holder is not None:
        return f"{found}, which {holder} is training: choose another run.dir"
    if has_state(run_dir):
        return f"{found}: go on with it by resume={shlex.quote(str(run_dir))}, or choose another run.dir"
    return f"{found} that has saved no state yet: if it is over, delete it, or choose another run.dir"


@contextlib.contextmanager
def _lock(run_dir: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system lets go of when this process ends, however that is.

    Raises ConfigError where another process holds it. Where the system or the disk knows no locks, none is held.
    """
    path = run_dir / LOCK
    while True:
        file = open(path, "a+")  # noqa: SIM115 (it stays open)
        if not _take(file):
            file.close()
            holder = _holder(run_dir) or "another process"
            raise ConfigError(f"run.dir: {run_dir} is being trained by {holder}: stop that one first")
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                break
        file.close()  # whoever held it has removed it meanwhile
    with file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def _take(file: IO[str]) -> bool:
    """Whether no other process holds the file; this one does from here on, where there are locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # EACCES: how some network disks say it; anything else: a disk without locks
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def _holder(run_dir: Path) -> str | None:
    """Which process holds a folder, in words; None for a folder that none holds."""
    try:
        with open(run_dir / LOCK, "r+") as file:
            return None if _take(file) else file.read() or "another process"
    except OSError:
        return None


@contextlib.contextmanager
def writing(run_dir: Path) -> Iterator[None]:
    """Within, TrainingError where the run folder cannot be written, which says what is kept."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise TrainingError(
            f"cannot write to {run_dir} ({reason}); {remedy(error)} another run.dir; {kept(run_dir)}"
        ) from error


def has_state(run_dir: Path) -> bool:
    return (run_dir / "checkpoints" / "last.state").exists()


def kept(run_dir: Path) -> str:
    """What a run that ends early has left, in words."""
    if has_state(run_dir):
        return f"the last checkpoint is whole: resume={shlex.quote(str(run_dir))}"
    return "no checkpoint was written yet"
