"""Training: resuming equals never stopping, bad luck is told in one line, and the network learns."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from wavenet import evaluation
from wavenet.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from wavenet.errors import AudioError, ConfigError, TrainingError
from wavenet.model import checkpoint
from wavenet.training import Reporter, machine, objective, run_folder, train, trainer
from wavenet.training.clock import WARM_STEPS
from wavenet.training.metrics import RunLog
from wavenet.training.processes import Processes

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
def _no_pictures(monkeypatch):
    monkeypatch.setattr(RunLog, "curves", lambda *_: None)


@pytest.mark.parametrize(("optim", "stop", "number"), [("muon", 1, signal.SIGINT), ("adamw", 4, signal.SIGTERM)])
def test_resuming_equals_never_stopping_bit_for_bit(settings, tmp_path, optim, stop, number):
    """With averaged weights, accumulation and batches, in the middle of an epoch, by either signal."""
    changes = {"accumulate": 2, "batch_size": 2, "optim": OptimConfig(name=optim, warmup_steps=3, lr=0.01)}
    train(settings(**changes), tmp_path / "whole")
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


def test_a_run_keeps_the_precision_that_it_began_in(settings, tmp_path, monkeypatch):
    """`auto` asks the machine once; what it chose is stored, and what is stored is what resuming takes."""
    for faster, precision in ((False, "float32"), (True, "bfloat16")):
        monkeypatch.setattr(machine, "bfloat16_is_faster", lambda faster=faster: faster)
        assert machine.choose_precision("auto", Processes()) == precision
    train(settings(steps=2, precision="auto"), tmp_path / "run")
    assert checkpoint.load_state(tmp_path / "run")["config"]["precision"] == "bfloat16"


def test_averaged_weights_are_what_is_shared(settings, tmp_path):
    result = train(settings(optim=OptimConfig(ema_decay=0.5)), tmp_path / "run")
    state, shared = checkpoint.load_state(tmp_path / "run"), checkpoint.load(result.checkpoint)
    for name, tensor in shared.model.state_dict().items():
        assert torch.equal(tensor, state["averaged"][name])
        assert not torch.equal(tensor, state["model"][name])
    assert shared.valid_bits == result.bits_per_sample
    assert (shared.sample_rate, shared.step) == (RATE, 7)


def test_it_learns(settings, tmp_path, monkeypatch):
    """Two hundred steps: far below the unigram."""
    monkeypatch.undo()  # with its picture
    reporter = Stop()
    result = train(
        settings(steps=200, validate_every=50, optim=OptimConfig(warmup_steps=10)), tmp_path / "run", reporter
    )
    assert result.bits_per_sample < result.unigram_bits - 0.6
    assert any("200" in line and "held out (unigram " in line and "expect" in line for line in reporter.lines)
    assert {"config.yaml", "metrics.jsonl", "curves.png", "checkpoints"} <= set(os.listdir(tmp_path / "run"))


def test_minutes_choose_the_steps_and_a_short_run_is_measured_and_saved_on_the_way(settings, tmp_path):
    class Watch(Stop):
        saved, totals = 0, ()

        def step(self, step, steps, *_):
            self.saved = max(self.saved, len(list((tmp_path / "run" / "checkpoints").glob("last.state"))))
            self.totals = (*self.totals, *([] if steps is None else [steps]))

    watch, began = Watch(), time.perf_counter()
    result = train(settings(minutes=0.05, steps=10**6), tmp_path / "run", watch)
    assert WARM_STEPS < result.steps < 10**4
    assert 2 < time.perf_counter() - began < 12
    assert watch.saved == 1
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sum("valid/bits" in row for row in rows if row["step"] < result.steps) >= 1
    assert set(watch.totals) == {result.steps}, "a number of steps is shown once it stays"
    assert any(line.startswith("this takes 3 seconds; the first validation and checkpoint") for line in watch.lines)


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
    state["seconds"] = 5.0  # of 6
    checkpoint.save_state(run / "checkpoints" / "last.state", state)
    began = time.perf_counter()
    train(settings(minutes=0.1, resume=str(run)), run)
    assert 5.5 < checkpoint.load_state(run)["seconds"] < 12
    assert time.perf_counter() - began < 5

    ended = checkpoint.load_state(run)
    with pytest.raises(ConfigError, match=r"is at step (\d+) of \1: give steps="):
        train(settings(minutes=0.1, resume=str(run)), run)
    more = ended["seconds"] / 60 + 0.015  # 0.9 seconds
    result = train(settings(minutes=more, steps=1, resume=str(run)), run)
    assert result.steps > ended["step"] + WARM_STEPS
    assert 0.7 < checkpoint.load_state(run)["seconds"] - ended["seconds"] < 6


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


def test_a_display_that_cannot_be_written_is_dropped(settings, tmp_path):
    class Gone(Reporter):
        calls = 0

        def step(self, *_):
            self.calls += 1
            raise BrokenPipeError

        def say(self, line):
            if self.calls:
                raise BrokenPipeError

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


def test_a_run_that_is_going_on_is_neither_trained_over_nor_resumed(settings, tmp_path):
    class Second(Stop):
        said = ()

        def step(self, step, *_):
            if step in (1, 3):
                with pytest.raises(ConfigError) as refused:
                    train(settings(resume=str(tmp_path / "run") if step == 3 else None), tmp_path / "run")
                self.said += (str(refused.value),)

    second = Second()
    assert train(settings(checkpoint_every=2), tmp_path / "run", second).steps == 7
    here = f"process {os.getpid()} on "
    assert second.said[0].startswith(f"run.dir: {tmp_path}/run already holds a run, which {here}")
    assert second.said[1].startswith(f"run.dir: {tmp_path}/run is being trained by {here}")
    assert len(losses(tmp_path / "run")) == 7
    assert not (tmp_path / "run" / run_folder.LOCK).exists()
    assert train(settings(steps=8, resume=str(tmp_path / "run")), tmp_path / "run").steps == 8


def test_a_run_that_could_not_begin_can_be_tried_again(tmp_path):
    with pytest.raises(AudioError):
        train(TrainConfig(data=DataConfig(dir=str(tmp_path / "nowhere"))), tmp_path / "none")
    assert not (tmp_path / "none" / "checkpoints").exists()  # nothing holds it


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
