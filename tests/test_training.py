"""Training: resuming equals never stopping, bad luck is told in one line, and the network learns."""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from wavenet import evaluation, files
from wavenet.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from wavenet.errors import AudioError, CheckpointError, ConfigError, TrainingError
from wavenet.model import checkpoint
from wavenet.training import Reporter, machine, objective, run_folder, train, trainer
from wavenet.training.clock import WARM_STEPS

RATE = 4000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six recordings of smooth noise over a tone, one second each: there is something to predict, but not all."""
    path = tmp_path_factory.mktemp("tones")
    random, tone = np.random.default_rng(0), 0.2 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
    for i in range(6):
        sound = np.convolve(random.normal(0, 0.1, RATE), np.hanning(16), "same") + tone
        soundfile.write(path / f"{i}.wav", sound, RATE)
    return path


@pytest.fixture
def settings(folder, tmp_path):
    def make(**changes) -> TrainConfig:
        model = ModelConfig(stacks=1, layers_per_stack=4, residual_channels=8, gate_channels=8, skip_channels=16)
        data = DataConfig(dir=str(folder), sample_rate=RATE, cache_dir=str(tmp_path / "cache"), valid_fraction=0.3)
        quick = {"steps": 7, "crop": 512, "precision": "float32", "sample_every": 0, "log_every": 1, "device": "cpu"}
        return TrainConfig(data=data, model=model, **(quick | changes))

    return make


class Stop(Reporter):
    """Sends this process a signal at a step, and collects what is said."""

    def __init__(self, at: int = -1, number: int = signal.SIGTERM) -> None:
        self.at, self.number, self.lines = at, number, []

    def say(self, line):
        self.lines.append(line)

    def step(self, step, *_):
        if step == self.at:
            os.kill(os.getpid(), self.number)


def losses(run: Path) -> list[float]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["train/bits"] for row in rows if "train/bits" in row]


@pytest.fixture(autouse=True)
def _terminal():
    """As in a terminal, though whatever runs these tests may ignore hang-ups."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("optim", ["muon", "adamw"])
@pytest.mark.parametrize("stop", [1, 4])
def test_resuming_equals_never_stopping_bit_for_bit(settings, tmp_path, optim, stop):
    """With averaged weights, accumulation and batches, in the middle of an epoch, by either signal."""
    changes = {"accumulate": 2, "batch_size": 2, "optim": OptimConfig(name=optim, warmup_steps=3, lr=0.01)}
    train(settings(**changes), tmp_path / "whole")
    number = signal.SIGINT if stop == 1 else signal.SIGTERM
    stopped = train(settings(**changes), tmp_path / "parts", Stop(stop, number))
    assert (stopped.steps, stopped.stopped_by) == (stop, number)
    resumed = train(settings(resume=str(tmp_path / "parts"), **changes), tmp_path / "parts")
    assert (resumed.steps, resumed.stopped_by) == (7, None)

    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 7
    whole, parts = (checkpoint.load_state(tmp_path / name) for name in ("whole", "parts"))
    for key in ("model", "averaged"):
        for name, tensor in whole[key].items():
            assert torch.equal(tensor, parts[key][name]), (key, name)
    assert parts["best_bits"] == whole["best_bits"]


@pytest.mark.parametrize("faster", [True, False])
def test_a_run_keeps_the_precision_that_it_began_in(settings, tmp_path, monkeypatch, faster):
    """`auto` asks the machine once; what it chose is stored, and what is stored is what resuming takes."""
    monkeypatch.setattr(machine, "bfloat16_is_faster", lambda: faster)
    train(settings(steps=2, precision="auto"), tmp_path / "run")
    kept = checkpoint.load_state(tmp_path / "run")["config"]["precision"]
    assert kept == ("bfloat16" if faster else "float32")


def test_averaged_weights_are_what_is_shared(settings, tmp_path):
    result = train(settings(optim=OptimConfig(ema_decay=0.5)), tmp_path / "run")
    state, shared = checkpoint.load_state(tmp_path / "run"), checkpoint.load(result.checkpoint)
    for name, tensor in shared.model.state_dict().items():
        assert torch.equal(tensor, state["averaged"][name])
        assert not torch.equal(tensor, state["model"][name])
    assert shared.valid_bits == result.bits_per_sample
    assert (shared.sample_rate, shared.step) == (RATE, 7)


def test_it_learns(settings, tmp_path):
    """Two hundred steps: far below the unigram."""
    reporter = Stop()
    result = train(
        settings(steps=200, validate_every=50, optim=OptimConfig(warmup_steps=10)), tmp_path / "run", reporter
    )
    assert result.bits_per_sample < result.unigram_bits - 0.6
    assert any("200" in line and "held out (unigram " in line and "expect" in line for line in reporter.lines)
    assert {"config.yaml", "metrics.jsonl", "curves.png", "checkpoints"} <= set(os.listdir(tmp_path / "run"))


def test_sounds_and_pictures_are_left(settings, tmp_path):
    train(settings(steps=2, sample_every=1, sample_seconds=0.05), tmp_path / "run")
    for step in (1, 2):
        assert soundfile.info(tmp_path / "run" / "samples" / f"step_00000{step}.wav").frames == round(0.05 * RATE)
        assert (tmp_path / "run" / "samples" / f"step_00000{step}.png").read_bytes().startswith(b"\x89PNG")


def test_minutes_choose_the_steps(settings, tmp_path):
    began = time.perf_counter()
    result = train(settings(minutes=0.05, steps=10**6), tmp_path / "run")
    assert WARM_STEPS < result.steps < 10**4
    assert 2 < time.perf_counter() - began < 12


def test_a_short_run_by_time_is_measured_and_saved_on_the_way(settings, tmp_path):
    class Watch(Stop):
        saved, totals = 0, ()

        def step(self, step, steps, *_):
            self.saved = max(self.saved, len(list((tmp_path / "run" / "checkpoints").glob("last.state"))))
            self.totals = (*self.totals, *([] if steps is None else [steps]))

    watch = Watch()
    result = train(settings(minutes=0.05), tmp_path / "run", watch)
    assert watch.saved == 1
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sum("valid/bits" in row for row in rows if row["step"] < result.steps) >= 1
    assert set(watch.totals) == {result.steps}, "a number of steps is shown once it stays"
    assert any(line.startswith("this takes 3 seconds; the first validation and checkpoint") for line in watch.lines)


def test_a_run_is_never_trained_over(settings, tmp_path):
    train(settings(steps=1), tmp_path / "a run")
    said = f"a run already holds a run: go on with it by resume='{tmp_path}/a run', or choose another run.dir"
    with pytest.raises(ConfigError, match=re.escape(said)):
        train(settings(steps=1), tmp_path / "a run")
    shutil.rmtree(tmp_path / "a run" / "checkpoints")
    with pytest.raises(ConfigError, match="already holds a run that has saved no state yet: if it is over, delete it"):
        train(settings(steps=1), tmp_path / "a run")


def test_a_run_that_was_killed_before_its_first_step_is_in_nobodys_way(settings, tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / run_folder.LOCK).write_text("process 1 on a machine")
    assert train(settings(steps=1), tmp_path / "run").steps == 1


def test_no_other_run_is_trained_over_when_one_is_resumed(settings, tmp_path):
    for name, steps in (("a", 1), ("b", 2)):
        train(settings(steps=steps), tmp_path / name)
    with pytest.raises(ConfigError, match="b already holds a run"):
        train(settings(steps=3, resume=str(tmp_path / "a")), tmp_path / "b")
    assert checkpoint.load(tmp_path / "b").step == 2


def test_a_folder_is_one_runs_from_the_start(settings, tmp_path):
    class Second(Stop):
        said = ""

        def step(self, step, *_):
            if step == 1:
                with pytest.raises(ConfigError) as refused:
                    train(settings(seed=1), tmp_path / "run")
                self.said = str(refused.value)

    second = Second()
    assert train(settings(), tmp_path / "run", second).steps == 7
    assert re.search(
        rf"already holds a run, which process {os.getpid()} on .* is training: choose another", second.said
    )
    with pytest.raises(AudioError):
        train(TrainConfig(data=DataConfig(dir=str(tmp_path / "nowhere"))), tmp_path / "none")
    assert not (tmp_path / "none" / "checkpoints").exists()  # nothing holds it: it can be tried again


def test_a_run_that_goes_on_elsewhere_takes_its_best_along(settings, tmp_path):
    train(settings(), tmp_path / "here")
    best = checkpoint.load(tmp_path / "here")
    worse = OptimConfig(lr=1e3, warmup_steps=0, schedule="constant", ema_decay=0)
    result = train(settings(steps=8, optim=worse, resume=str(tmp_path / "here")), tmp_path / "there")
    assert (result.best_step, checkpoint.load(tmp_path / "there").step) == (7, 7)
    assert checkpoint.load(tmp_path / "there").valid_bits == best.valid_bits
    (tmp_path / "here" / "checkpoints" / "best.safetensors").unlink()
    result = train(settings(steps=8, optim=worse, resume=str(tmp_path / "here")), tmp_path / "elsewhere")
    assert (result.best_step, checkpoint.load(tmp_path / "elsewhere").step) == (8, 8)


def test_what_fails_after_the_last_step_loses_nothing(settings, tmp_path, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(trainer.Trainer, "sample", fail)
    with pytest.raises(ZeroDivisionError):
        train(settings(sample_every=100), tmp_path / "run")
    assert checkpoint.load(tmp_path / "run").step == 7


def test_a_run_at_its_last_step_says_how_to_go_on(settings, tmp_path):
    train(settings(steps=3), tmp_path / "run")
    for steps in (3, 2):
        with pytest.raises(ConfigError, match=r"is at step 3 of 3: give steps= above 3, or minutes= to train"):
            train(settings(steps=steps, resume=str(tmp_path / "run")), tmp_path / "run")
    assert train(settings(steps=4, resume=str(tmp_path / "run")), tmp_path / "run").steps == 4


def test_a_run_by_time_that_was_stopped_has_what_is_left_of_it(settings, tmp_path):
    run = tmp_path / "run"
    train(settings(minutes=0.1), run, Stop(3))
    state = checkpoint.load_state(run)
    assert 0 < state["seconds"] < 6
    state["seconds"] = 4.5  # of 6
    checkpoint.save_state(run / "checkpoints" / "last.state", state)
    began = time.perf_counter()
    train(settings(minutes=0.1, resume=str(run)), run)
    assert 5.5 < checkpoint.load_state(run)["seconds"] < 12
    assert time.perf_counter() - began < 5

    ended = checkpoint.load_state(run)
    with pytest.raises(ConfigError, match=r"is at step (\d+) of \1: give steps="):
        train(settings(minutes=0.1, resume=str(run)), run)
    more = ended["seconds"] / 60 + 0.02  # 1.2 seconds
    result = train(settings(minutes=more, steps=1, resume=str(run)), run)
    assert result.steps > ended["step"] + WARM_STEPS
    assert 1 < checkpoint.load_state(run)["seconds"] - ended["seconds"] < 6


def test_a_loss_that_is_not_finite_stops_before_the_step(settings, tmp_path, monkeypatch):
    run = tmp_path / "run"
    train(settings(steps=2), run)
    before = checkpoint.load_state(run)
    forward = objective.Objective.forward
    monkeypatch.setattr(objective.Objective, "forward", lambda *args: forward(*args) * float("nan"))
    with pytest.raises(TrainingError, match=r"not finite at step 3: lower optim\.lr .* resume="):
        train(settings(steps=4, resume=str(run)), run)
    after = checkpoint.load_state(run)
    assert after["step"] == 2
    assert all(torch.equal(after["model"][name], tensor) for name, tensor in before["model"].items())


def test_another_model_is_named(settings, tmp_path):
    train(settings(steps=1), tmp_path / "run")
    other = settings(resume=str(tmp_path / "run"))
    other.model.residual_channels = 12
    with pytest.raises(CheckpointError, match=r"model\.residual_channels is 8 there, 12 here"):
        train(other, tmp_path / "run")


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_truncated_state_is_one_line(settings, tmp_path, keep):
    train(settings(steps=1), tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.state"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    with pytest.raises(CheckpointError, match="is not a readable training state") as caught:
        train(settings(resume=str(tmp_path / "run")), tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_the_older_checkpoint(settings, tmp_path, monkeypatch):
    run = tmp_path / "run"
    train(settings(steps=2), run)

    def full(path, data):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        train(settings(steps=4, resume=str(run)), run)
    monkeypatch.undo()
    assert checkpoint.load_state(run)["step"] == 2
    assert not [name for name in os.listdir(run / "checkpoints") if name.startswith(".")]


def test_a_run_folder_that_cannot_be_written(settings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot write to"):
        train(settings(steps=1), tmp_path / "file" / "run")


def test_everything_held_out_is_one_line(settings, tmp_path, folder):
    config = settings()
    one = tmp_path / "one"
    one.mkdir()
    soundfile.write(one / "a.wav", np.sin(np.arange(4000) / 3), RATE)
    (one / "metadata.csv").write_text("file_name,split\na.wav,valid\n")
    config.data.dir = str(one)
    with pytest.raises(AudioError, match="held out"):
        train(config, tmp_path / "run")


def test_a_closed_terminal_stops_a_run_that_is_saved(settings, tmp_path):
    """It sends SIGHUP, often twice, which is no impatience; a run under nohup does not hear of it."""

    class Closed(Stop):
        def step(self, step, *told):
            super().step(step, *told)
            super().step(step, *told)

    stopped = train(settings(), tmp_path / "run", Closed(3, signal.SIGHUP))
    assert (stopped.steps, stopped.stopped_by) == (3, signal.SIGHUP)
    assert checkpoint.load_state(tmp_path / "run")["step"] == 3
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ended = train(settings(), tmp_path / "nohup", Closed(3, signal.SIGHUP))
    assert (ended.steps, ended.stopped_by) == (7, None)


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device")])
def test_a_display_that_cannot_be_written_is_dropped(settings, tmp_path, error):
    class Gone(Reporter):
        calls = 0

        def step(self, *_):
            self.calls += 1
            raise error

        def say(self, line):
            if self.calls:
                raise error

    gone = Gone()
    assert train(settings(validate_every=3), tmp_path / "run", gone).steps == 7
    assert gone.calls == 1
    assert len(losses(tmp_path / "run")) == 7
    assert checkpoint.load_state(tmp_path / "run")["step"] == 7


def test_the_run_folder_is_blamed_for_its_own_errors_alone(settings, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "score", fail)
        with pytest.raises(OSError, match="No space left"):
            train(settings(), tmp_path / "a")
    monkeypatch.setattr(trainer.RunLog, "scalars", fail)
    said = rf"cannot write to {tmp_path}/b \(No space left on device\); free space or choose another run\.dir; no check"
    with pytest.raises(TrainingError, match=said):
        train(settings(), tmp_path / "b")


def test_a_run_that_is_going_on_is_not_resumed(settings, tmp_path):
    class Second(Stop):
        said = ""

        def step(self, step, *_):
            if step == 3:
                with pytest.raises(ConfigError) as refused:
                    train(settings(resume=str(tmp_path / "run")), tmp_path / "run")
                self.said = str(refused.value)

    second = Second()
    assert train(settings(checkpoint_every=2), tmp_path / "run", second).steps == 7
    assert second.said.startswith(f"run.dir: {tmp_path}/run is being trained by process {os.getpid()} on ")
    assert len(losses(tmp_path / "run")) == 7
    assert not (tmp_path / "run" / run_folder.LOCK).exists()
    assert train(settings(steps=8, resume=str(tmp_path / "run")), tmp_path / "run").steps == 8


@pytest.mark.skipif(os.name != "posix", reason="locks of this kind are POSIX")
def test_the_lock_dies_with_its_process(tmp_path):
    """However it ends: nobody has to delete anything after kill -9."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with run_folder.claimed(tmp_path / "run", None, None):
            os.write(told, b"x")
            signal.pause()
    os.read(ready, 1)
    (tmp_path / "run" / "checkpoints" / "last.state").write_bytes(b"")
    with (
        pytest.raises(ConfigError, match=rf"is being trained by process {child} on .*: stop that one first"),
        run_folder.claimed(tmp_path / "run", str(tmp_path / "run"), None),
    ):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with run_folder.claimed(tmp_path / "run", str(tmp_path / "run"), None):
        assert str(os.getpid()) in (tmp_path / "run" / run_folder.LOCK).read_text()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_locks_is_trained_on(tmp_path, monkeypatch, number):
    import fcntl

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with run_folder.claimed(tmp_path / "run", None, None):
        pass
    monkeypatch.setattr(files, "fcntl", None)  # where there are none at all
    with run_folder.claimed(tmp_path / "other", None, None):
        pass


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals to groups of processes are POSIX")
def test_two_processes_share_a_run_and_stop_together(folder, tmp_path):
    settings = [f"data.dir={folder}", f"data.sample_rate={RATE}", f"data.cache_dir={tmp_path}/cache", "model=tiny"]
    settings += ["crop=512", "steps=100000", "sample_every=0", "log_every=1", "devices=2", "device=cpu", "threads=1"]
    command = [sys.executable, "-m", "wavenet.cli.train", *settings]  # each process would name its own folder
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not any(path.stat().st_size > 500 for path in tmp_path.glob("runs/*/metrics.jsonl")):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        os.killpg(running.pid, signal.SIGINT)
        said, _ = running.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 130
    assert said.count("run folder: ") == said.count("stopped at step ") == 1
    (run,) = (tmp_path / "runs").iterdir()
    assert checkpoint.load_state(run)["step"] == checkpoint.load(run).step > 0
