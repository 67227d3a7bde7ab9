"""How several processes are started and end: by devices=, by torchrun; killed, failing, and started again."""

import dataclasses
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from conftest import QUICK
from test_processes import curve, folder, settings
from torch import distributed as dist

from wavenet.errors import ConfigError, TrainingError
from wavenet.model import checkpoint
from wavenet.training import Reporter, run_folder, starting, train, trainer

__all__ = ["folder"]  # a fixture

RUN = [sys.executable, "-m", "torch.distributed.run"]
"""What the command torchrun is."""


class Killer(Reporter):
    """Kills the other process after the third step."""

    def step(self, step, *told):
        if step == 3:
            (other,) = multiprocessing.active_children()
            os.kill(other.pid, signal.SIGKILL)


def test_a_process_that_is_killed_ends_the_run_in_one_line(folder, tmp_path):
    threads, began = torch.get_num_threads(), time.monotonic()
    with pytest.raises(TrainingError) as caught:
        train(settings(folder, devices=2, steps=100_000, checkpoint_every=2), tmp_path / "run", Killer())
    assert time.monotonic() - began < 60
    assert str(caught.value) == (
        f"process 1 of this run was ended by SIGKILL; the last checkpoint is intact: resume={tmp_path / 'run'}"
    )
    assert checkpoint.load_state(tmp_path / "run")["step"] == 2
    assert not torch.distributed.is_initialized()
    assert torch.get_num_threads() == threads
    assert not multiprocessing.active_children()


def fail(processes, config, run_dir, reporter):
    """A bug in the second process, or what a user can mend, while the first waits for it."""
    with processes.none_lost(run_dir):
        if processes.rank == 1:
            raise (ValueError if run_dir.name == "bug" else TrainingError)("of its own")
        processes.in_all(torch.ones(1))


@pytest.mark.slow
def test_what_only_another_process_fails_of_is_told(tmp_path):
    with pytest.raises(TrainingError, match=r"^of its own$"):
        starting.run(fail, settings(tmp_path, devices=2), tmp_path / "error", None)
    with pytest.raises(Exception, match=r"(?s)Traceback.*ValueError: of its own"):
        starting.run(fail, settings(tmp_path, devices=2), tmp_path / "bug", None)


def seven_steps(processes, config, run_dir, reporter):
    """Training in each process, as if a signal came then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Trainer, "_stopped", lambda self: self.step == 7)
        return trainer._train(processes, config, run_dir, reporter)


@pytest.mark.slow
def test_three_processes_go_on_bit_for_bit(folder, tmp_path):
    """Sums of three numbers depend on their order, which torch would change after the first step."""
    config = settings(folder, devices=3)
    train(config, tmp_path / "whole")
    starting.run(seven_steps, config, tmp_path / "run", None)
    assert checkpoint.load_state(tmp_path / "run")["step"] == 7
    train(dataclasses.replace(config, resume=str(tmp_path / "run")), tmp_path / "run")
    resumed, whole = (checkpoint.load_state(tmp_path / run)["model"] for run in ("run", "whole"))
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name


@pytest.mark.slow
def test_a_sweep_over_two_processes_makes_no_more_folders_than_one(call, tones):
    arguments = ["--multirun", "seed=1,2", f"data.dir={tones}", "run.dir=sweep", "devices=2", *QUICK]
    status, out, err = call("train", *arguments)
    assert (status, err) == (0, "")
    assert out.count("done: 3 steps") == 2
    assert sorted(path.name for path in Path("sweep").iterdir() if path.is_dir()) == ["0_seed=1", "1_seed=2"]
    assert sorted(path.name for path in Path().iterdir()) == ["cache", "sweep"]


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def command(folder: Path, run: Path, **more) -> list[str]:
    given = {"data.dir": folder, "run.dir": run, "data.sample_rate": 4000, "data.cache_dir": f"{run}.cache"}
    given |= {"data.min_seconds": 0, "model": "tiny", "crop": 600, "precision": "float32", "device": "cpu"}
    given |= {"data.labels": "[speaker]", "optim.warmup_steps": 5, "sample_every": 0, "log_every": 1} | more
    return ["-m", "wavenet.cli.train", *(f"{name}={value}" for name, value in given.items())]


@pytest.mark.slow
def test_two_nodes_learn_what_one_process_learns(folder, tmp_path):
    """Two agents of torchrun, which meet on this machine."""
    place = f"127.0.0.1:{port()}"
    agent = [*RUN, "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint={place}", "--rdzv-id=a"]
    agents = [
        subprocess.Popen(
            [*agent, *command(folder, tmp_path / "two", steps=20)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [each.communicate(timeout=300)[0] for each in agents]
    assert [each.returncode for each in agents] == [0, 0], said
    assert sum(each.count("done: 20 steps") for each in said) == 1
    assert any("2 processes, cpu, float32" in each for each in said)
    subprocess.run([sys.executable, *command(folder, tmp_path / "one", steps=20, batch_size=2)], check=True)
    assert curve(tmp_path / "two") == pytest.approx(curve(tmp_path / "one"), abs=1e-3)


def the_second(run: Path) -> int:
    """Process id of the second of two that train in a folder."""
    asked = ["pgrep", "-f", f"wavenet.cli.train .*run.dir={run} "]
    for pid in subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split():
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if b"RANK=1" in environment:
            return int(pid)
    raise AssertionError("it has not begun")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found as Linux shows them")
@pytest.mark.parametrize(("nodes", "saved"), [(1, True), (1, False), (2, True)])
def test_torchrun_starts_again_what_was_killed(folder, tmp_path, nodes, saved):
    """From the last checkpoint, so that what comes after it equals a run that was never killed; from the first step if
    there is no checkpoint yet."""
    run, every = tmp_path / "run", 10 if saved else 100
    place = ["--standalone"]
    if nodes == 2:
        place = ["--nnodes=2", "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port()}", "--rdzv-id=a"]
    agent = [*RUN, *place, f"--nproc-per-node={2 // nodes}", "--max-restarts=1"]
    whole = [*RUN, "--standalone", "--nproc-per-node=2", *command(folder, tmp_path / "whole", steps=60)]
    subprocess.run(whole, check=True)
    arguments = command(folder, run, steps=60, checkpoint_every=every)
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    agents = [subprocess.Popen([*agent, *arguments], **piped) for _ in range(nodes)]
    deadline, killed_at = time.monotonic() + 120, 0
    while killed_at < 15:
        assert time.monotonic() < deadline
        assert not any(each.poll() for each in agents)
        log = run / "metrics.jsonl"
        killed_at = len(log.read_text().splitlines()) if log.exists() else 0
        time.sleep(0.01)
    os.kill(the_second(run), signal.SIGKILL)
    said = "".join(each.communicate(timeout=200)[0] for each in agents)
    assert [each.returncode for each in agents] == [0] * nodes, said
    assert said.count("done: 60 steps") == 1
    again = [line for line in said.splitlines() if line.startswith("resuming at step")]
    assert len(again) == saved, said
    one, other = checkpoint.load_state(run), checkpoint.load_state(tmp_path / "whole")
    for name, tensor in other["model"].items():
        assert torch.equal(one["model"][name], tensor), name
    assert curve(run) == curve(tmp_path / "whole")


def test_torchrun_goes_on_only_with_what_it_has_begun(tmp_path, monkeypatch):
    """A folder that held another run is refused each time."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    with run_folder.claimed(tmp_path, None, None):
        (tmp_path / "metrics.jsonl").touch()
    assert not run_folder.begun_before(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    assert run_folder.begun_before(tmp_path)
    with run_folder.claimed(tmp_path, None, None):
        pass
    for name, value in {"TORCHELASTIC_RUN_ID": "b", "MASTER_PORT": "1"}.items():  # another, or the same one anew
        monkeypatch.setenv(name, value)
        for _ in range(2):
            with pytest.raises(ConfigError, match="already holds a run"), run_folder.claimed(tmp_path, None, None):
                pass
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    assert not run_folder.begun_before(tmp_path)


def test_addresses_that_dead_processes_have_left_are_not_believed(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    shared = dist.HashStore()
    shared.set(starting.ADDRESS, f"127.0.0.1 {port()}")
    with ThreadPoolExecutor() as pool:
        other = pool.submit(starting._first_ones_store, 1, shared)
        time.sleep(0.2)
        assert not other.done()
        first = starting._first_ones_store(0, shared)
        first.set("name", "of now")
        assert other.result(timeout=30).get("name") == b"of now"


def test_the_first_process_is_found_from_other_machines():
    assert starting.address_for_others("127.0.0.1") == "127.0.0.1"
    assert starting.address_for_others("localhost") == "localhost"  # others may know it by that name
    assert starting.address_for_others(socket.gethostname()) in (socket.gethostname(), "127.0.0.1")


def test_what_cannot_be_started_again_is_refused(call, tones, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    status, _, err = call("train", f"data.dir={tones}", *QUICK)
    assert status == 1
    assert err.startswith("error: run.dir is not given, but torchrun may start this run again (--max-restarts=3)")
    status, _, err = call("train", "resume=run", "minutes=1")
    assert status == 1
    assert err.startswith("error: minutes is given with resume, but torchrun may start this run again")
    assert json.dumps(sorted(path.name for path in Path().iterdir())) == "[]"
