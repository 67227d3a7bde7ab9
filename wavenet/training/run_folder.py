"""A run's folder: whose it is, and what is in it."""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

from wavenet import checkpoint
from wavenet.errors import ConfigError, TrainingError
from wavenet.files import remedy


@contextlib.contextmanager
def claimed(run_dir: Path, resume: str | None, data_dir: str | None) -> Iterator[None]:
    """Within, the folder is this run's alone. Raises ConfigError where it is another's, or the recordings'."""
    checkpoints = run_dir / "checkpoints"
    state = None if resume is None else checkpoint.find_state(Path(resume).expanduser())
    if data_dir is not None and Path(data_dir).expanduser().resolve() == run_dir.resolve():
        raise ConfigError(f"run.dir: {run_dir} is the folder of recordings itself; choose another run.dir")
    if state is None or state.parent.resolve() != checkpoints.resolve():
        try:
            if (run_dir / "metrics.jsonl").exists():
                raise FileExistsError
            checkpoints.mkdir(parents=True)
        except FileExistsError:
            found = f"run.dir: {run_dir} already holds a run"
            if has_state(run_dir):
                found += f": go on with it by resume={shlex.quote(str(run_dir))}, or choose another run.dir"
            else:
                found += " that has saved no state yet: if it is over, delete it, or choose another run.dir"
            raise ConfigError(found) from None
        except OSError as error:
            raise TrainingError(
                f"cannot write to {run_dir} ({error.strerror}); {remedy(error)} another run.dir"
            ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            checkpoints.rmdir()  # only where nothing came of it


def has_state(run_dir: Path) -> bool:
    return (run_dir / "checkpoints" / "last.state").exists()


def kept(run_dir: Path) -> str:
    """What a run that ends early has left, in words."""
    if has_state(run_dir):
        return f"the last checkpoint is whole: resume={shlex.quote(str(run_dir))}"
    return "no checkpoint was written yet"
