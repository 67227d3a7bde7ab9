"""Several processes: they learn what one learns, decide together, and fail together."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from wavenet.config import DataConfig, ModelConfig, OptimConfig, RecognitionConfig, TrainConfig
from wavenet.errors import ConfigError, WaveNetError
from wavenet.model import checkpoint, launcher
from wavenet.training import machine, starting, train, trainer

RATE, HOP = 4000, 40


def settings(folder: Path, **changes) -> TrainConfig:
    """With labels, some of which are dropped, frames, and rows of very unlike lengths."""
    recognition = RecognitionConfig(hop=HOP, layers=2, channels=8, kernel_size=3)
    model = ModelConfig(stacks=1, layers_per_stack=4, residual_channels=8, gate_channels=8, skip_channels=16)
    model.recognition = recognition
    data = DataConfig(str(folder), sample_rate=RATE, cache_dir=str(folder.parent / "cache"), min_seconds=0)
    data.labels, data.frames = ["speaker"], "phones.csv"
    quick = {"steps": 20, "crop": 600, "precision": "float32", "sample_every": 0, "log_every": 1, "device": "cpu"}
    quick |= {"label_dropout": 0.5, "threads": 1, "optim": OptimConfig(warmup_steps=5)}
    return TrainConfig(data=data, model=model, **(quick | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A fifth of the recordings fills a window, the others are far shorter; some have no phones."""
    path = tmp_path_factory.mktemp("processes") / "folder"
    path.mkdir()
    random = np.random.default_rng(0)
    rows, phones = ["file_name,split,speaker"], ["file_name,start_sample,end_sample,phone"]
    for i in range(20):
        name, n = f"{i:02d}.wav", 1900 if i % 5 == 0 else int(random.integers(310, 400))
        soundfile.write(path / name, 0.3 * np.sin(np.arange(n) / (2 + i % 3)) + random.normal(0, 0.05, n), RATE)
        rows.append(f"{name},{'valid' if i == 19 else 'train'},{i % 3}")
        phones += [f"{name},0,{n // 2},a", f"{name},{n // 2},{n},b"] if i % 4 else []
    (path / "metadata.csv").write_text("\n".join(rows) + "\n")
    (path / "phones.csv").write_text("\n".join(phones) + "\n")
    shutil.copytree(path, path.with_name("other"))
    (path.with_name("other") / "07.wav").unlink()
    return path


def spawn(folder: Path, work: Path) -> list[str]:
    """Two processes as torchrun starts them, each running `work_through`; what they said on standard error."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    running = []
    for rank in range(2):
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        command = [sys.executable, __file__, str(folder), str(work)]
        environment |= place | {"TORCHELASTIC_RUN_ID": "here", "WORLD_SIZE": "2", "RANK": str(rank)}
        environment |= {"LOCAL_RANK": str(rank), "OMP_WAIT_POLICY": "PASSIVE"}
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        said = [process.communicate(timeout=300)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], "\n".join(said)
    return said


def stopped_once(config: TrainConfig, run_dir: Path, after: int = 7) -> None:
    """Train for some steps, as if a signal came then."""
    goes_on = trainer.Trainer._stopped

    def stop(self):
        if self.step == after:
            self.stopped_by = signal.SIGTERM
        return self.step == after or goes_on(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Trainer, "_stopped", stop)
        assert train(config, run_dir).steps == after


def work_through(folder: Path, work: Path) -> None:
    """What each of the two does: a run in each recipe, one that measures its precision, and one that fails."""
    rank = int(os.environ["LOCAL_RANK"])
    close = trainer.Trainer.close

    def keep(self):
        kept = {
            "model": self.learner.model.state_dict(),
            "precision": self.config.precision,
            "log": self.log is not None,
        }
        kept["threads"] = torch.get_num_threads()
        torch.save(kept, work / f"{self.run_dir.name}.{rank}")
        close(self)

    trainer.Trainer.close = keep
    for optim in ("muon", "adamw"):
        train(settings(folder, devices=2, optim=OptimConfig(optim, lr=0.01, warmup_steps=5)), work / optim)
    stopped_once(settings(folder, accumulate=2), work / "accumulated")
    shutil.copytree(work / "accumulated", work / f"half.{rank}")
    train(settings(folder, accumulate=2, resume=str(work / "accumulated")), work / "accumulated")
    train(settings(folder, accumulate=2), work / "at once")
    machine.bfloat16_is_faster = lambda: rank == 1
    train(settings(folder, devices=2, steps=2, precision="auto", accumulate=2, threads=3), work / "auto")
    elsewhere = folder if rank == 0 else folder.with_name("other")
    refused = {
        "taken": (settings(folder, devices=2), work / "muon"),
        "nowhere": (settings(folder, devices=2, resume=str(work / "nowhere")), work / "new"),
        "unlike": (settings(elsewhere, devices=2), work / "unlike"),
    }
    for name, (config, run) in refused.items():
        try:
            train(config, run)
        except WaveNetError as error:
            (work / f"{name}.{rank}").write_text(str(error))


@pytest.fixture(scope="module")
def two(folder, tmp_path_factory):
    work = tmp_path_factory.mktemp("two")
    return work, spawn(folder, work)


@pytest.mark.parametrize("optim", ["muon", "adamw"])
def test_two_processes_learn_what_one_learns(folder, two, tmp_path, optim):
    """Weights after 20 steps, labels and frames among what is learned, rows of 4 to 600 scored samples."""
    config = settings(folder, batch_size=2, optim=OptimConfig(optim, lr=0.01, warmup_steps=5))
    train(config, tmp_path / "one")
    one, shared = checkpoint.load_state(tmp_path / "one"), checkpoint.load_state(two[0] / optim)
    for key in ("model", "averaged"):
        for name, tensor in one[key].items():
            torch.testing.assert_close(shared[key][name], tensor, rtol=1e-3, atol=1e-4, msg=f"{key} {name}")
    curves = [curve(path) for path in (tmp_path / "one", two[0] / optim)]
    assert len(curves[0]) == 20
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)


def curve(run: Path) -> list[float]:
    """Bits per sample of each step."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [record["train/bits"] for record in records if "train/bits" in record]


def test_as_many_processes_go_on_bit_for_bit(two):
    """From step 7 of 20, with two forward passes a step."""
    resumed, whole = (checkpoint.load_state(two[0] / run) for run in ("accumulated", "at once"))
    assert resumed["step"] == whole["step"] == 20
    for key in ("model", "averaged"):
        for name, tensor in whole[key].items():
            assert torch.equal(resumed[key][name], tensor), (key, name)
    assert curve(two[0] / "accumulated") == curve(two[0] / "at once")


def test_another_number_of_processes_goes_on_with_the_same_order(folder, two, tmp_path):
    """One process goes on with what two have begun, and learns what the two would have learned."""
    shutil.copytree(two[0] / "half.0", tmp_path / "run")
    config = settings(folder, accumulate=2, batch_size=2, resume=str(tmp_path / "run"))
    train(config, tmp_path / "run")
    assert curve(tmp_path / "run") == pytest.approx(curve(two[0] / "at once"), abs=1e-4)
    alone, both = checkpoint.load_state(tmp_path / "run"), checkpoint.load_state(two[0] / "at once")
    for name, tensor in both["averaged"].items():
        torch.testing.assert_close(alone["averaged"][name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_processes_hold_the_same_weights_and_precision(two):
    """Though each would measure another: the first one decides."""
    for run in ("muon", "adamw", "auto"):
        first, second = (torch.load(two[0] / f"{run}.{rank}", weights_only=True) for rank in (0, 1))
        assert first["precision"] == second["precision"] == "float32"
        assert (first["log"], second["log"]) == (True, False)
        for name, tensor in first["model"].items():
            assert torch.equal(tensor, second["model"][name]), (run, name)


def test_threads_are_those_asked_for_in_each_process(two):
    for rank in (0, 1):
        assert torch.load(two[0] / f"muon.{rank}", weights_only=True)["threads"] == 1
        assert torch.load(two[0] / f"auto.{rank}", weights_only=True)["threads"] == 3


def test_what_one_process_cannot_do_ends_all_in_the_same_words(two):
    work, said = two
    words = {
        "taken": "already holds a run",
        "nowhere": "no training state at",
        "unlike": "other holds other recordings for process 1 (19) than for the first (20); give all processes",
    }
    for name, expected in words.items():
        assert expected in (work / f"{name}.0").read_text()
        assert (work / f"{name}.1").read_text() == (work / f"{name}.0").read_text()
    assert not any("Traceback" in lines or "Warning" in lines for lines in said)


TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
SRUN = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}


@pytest.mark.parametrize(
    ("environment", "config", "said"),
    [
        (TORCHRUN, TrainConfig(devices=2), "devices=2 times num_nodes=1 is 2, but torchrun started 3: leave both out"),
        (SRUN, TrainConfig(devices=2, num_nodes=2), "is 4, but SLURM started 2"),
        (SRUN, TrainConfig(num_nodes=2), None),
        (TORCHRUN, TrainConfig(), None),  # the launcher's number counts
        ({}, TrainConfig(devices=2), None),
        ({}, TrainConfig(num_nodes=2), "num_nodes=2: several machines need torchrun or srun"),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, TrainConfig(), None),  # a batch script is one process
    ],
)
def test_a_launcher_that_starts_another_number_is_one_line(monkeypatch, environment, config, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if said is None:
        starting.check_number(config, launcher.launched())
        return
    with pytest.raises(ConfigError, match=said) as caught:
        train(config, Path("nowhere"))
    assert "\n" not in str(caught.value)


def test_what_launchers_say(monkeypatch):
    assert launcher.launched() is None
    assert launcher.is_first_process()
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    assert launcher.launched() == ("SLURM", 1, 2, 0, 1)
    assert not launcher.is_first_process()
    for name, value in {"SLURM_STEP_NODELIST": "gpu[07-09,12],cpu1", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "2"}.items():
        monkeypatch.setenv(name, value)
    assert launcher.meeting_point() == ("gpu07", 15219)
    for name, value in TORCHRUN.items():  # inside an allocation of SLURM, torchrun decides
        monkeypatch.setenv(name, value)
    assert launcher.launched() == ("torchrun", 2, 3, 1, 2)
    monkeypatch.setenv("MASTER_ADDR", "elsewhere")
    assert launcher.meeting_point() == ("elsewhere", 15219)
    for machines, first in {"one": "one", "a[3,5-7]b,c": "a3b", "n[1-4]": "n1", "x,y": "x"}.items():
        assert launcher.first_machine(machines) == first


def test_a_process_without_a_device_of_its_own_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert starting.device_of("cpu", 3) == torch.device("cpu")
    assert starting.device_of("auto", 0) == torch.device("cuda", 0)
    assert starting.device_of("cuda", 1, "SLURM") == torch.device("cuda", 0), "each process is shown its own"
    with pytest.raises(ConfigError, match="process 2 of this machine has no CUDA device, of which there are 1"):
        starting.device_of("cuda", 1, "torchrun")


if __name__ == "__main__":
    work_through(Path(sys.argv[1]), Path(sys.argv[2]))
