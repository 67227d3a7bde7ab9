"""A run's folder: no run is trained over, its lock dies with its process, and what cannot be written is told."""

import errno
import os
import re
import signal
import threading

import pytest

from wavenet import files
from wavenet.errors import ConfigError, TrainingError
from wavenet.training import run_folder
from wavenet.training.run_folder import LOCK, claimed, writing


def taken(run, resume=None) -> str:
    """Why a folder cannot be had."""
    with pytest.raises(ConfigError) as caught, claimed(run, resume, None):
        pass
    return str(caught.value)


@pytest.fixture
def state(tmp_path):
    """A run that has saved one."""
    path = tmp_path / "a run" / "checkpoints" / "last.state"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_a_run_is_never_trained_over(state):
    run = state.parents[1]
    assert taken(run).endswith(f"a run already holds a run: continue it with resume='{run}', or choose another run.dir")
    state.unlink()
    (run / "metrics.jsonl").touch()
    assert "already holds a run that has saved no state: delete the folder if" in taken(run)


def test_no_other_run_is_trained_over_when_one_is_resumed(state, tmp_path):
    with claimed(tmp_path / "b", None, None):
        (tmp_path / "b" / "checkpoints" / "last.state").touch()
    assert "b already holds a run" in taken(tmp_path / "b", resume=str(state.parents[1]))
    with claimed(state.parents[1], str(state), None):
        pass


def test_a_run_that_was_killed_before_its_first_step_is_in_nobodys_way(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / LOCK).write_text("process 1 on a machine")
    with claimed(tmp_path / "run", None, None):
        pass
    assert list((tmp_path / "run").iterdir()) == [], "nothing came of it"


def test_a_folder_is_one_runs_from_the_start(tmp_path):
    run = tmp_path / "run"
    with claimed(run, None, None):
        said = rf"already holds a run, which process {os.getpid()} on .* is training: choose another run\.dir"
        assert re.search(said, taken(run))
        (run / "checkpoints" / "last.state").touch()
        assert re.match(rf"run\.dir: {run} is being trained by process {os.getpid()} on .*: stop", taken(run, str(run)))
    assert not (run / LOCK).exists()


def test_recordings_are_no_run_folder(tmp_path):
    with pytest.raises(ConfigError, match="is the folder of recordings"), claimed(tmp_path, None, str(tmp_path)):
        pass


@pytest.mark.skipif(os.name != "posix", reason="locks of this kind are POSIX")
def test_the_lock_dies_with_its_process(tmp_path):
    """However it ends: nobody has to delete anything after kill -9."""
    run = tmp_path / "run"
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with claimed(run, None, None):
            os.write(told, b"x")
            signal.pause()
    os.read(ready, 1)
    (run / "checkpoints" / "last.state").write_bytes(b"")
    assert re.search(rf"is being trained by process {child} on .*: stop that one first", taken(run, str(run)))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with claimed(run, str(run), None):
        assert str(os.getpid()) in (run / LOCK).read_text()


@pytest.mark.skipif(os.name != "posix", reason="locks of this kind are POSIX")
def test_a_process_that_only_looks_does_not_take_the_lock(tmp_path):
    """It holds the file shared for a moment, which the one that wants it for itself sits out."""
    path = tmp_path / LOCK
    with open(path, "a+") as looking:
        files.fcntl.flock(looking, files.fcntl.LOCK_SH)
        gone = threading.Timer(0.1, files.fcntl.flock, (looking, files.fcntl.LOCK_UN))
        gone.start()
        with files.locked(path):
            assert not gone.is_alive()
            assert files.is_locked(path)
            with pytest.raises(BlockingIOError), files.locked(path):
                pass
        gone.join()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_locks_is_trained_on(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with claimed(tmp_path / "run", None, None):
        assert files.is_locked(tmp_path / "run" / LOCK) is None
    monkeypatch.setattr(files, "fcntl", None)  # where there are none at all
    with claimed(tmp_path / "other", None, None):
        assert files.lock_holder(tmp_path / "other" / LOCK) is None


def test_what_cannot_be_written_is_told_with_what_is_kept(tmp_path, state):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(TrainingError, match=r"cannot write to .*file/run"),
        claimed(tmp_path / "file" / "run", None, None),
    ):
        pass
    for run, kept in (
        (tmp_path, "no checkpoint was written yet"),
        (state.parents[1], "the last checkpoint is intact: "),
    ):
        with pytest.raises(TrainingError) as caught, writing(run):
            raise OSError(28, "No space left on device")
        said = f"cannot write to {run} (No space left on device); free space or choose another run.dir; {kept}"
        assert str(caught.value).startswith(said)


def test_settings_are_written_whole(tmp_path):
    run_folder.write_settings(tmp_path, {"optim": {"lr": 0.02}, "steps": 4})
    assert (tmp_path / "config.yaml").read_text() == "optim:\n  lr: 0.02\nsteps: 4\n"
