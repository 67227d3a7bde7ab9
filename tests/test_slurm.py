"""Runs as jobs of a real SLURM, of one node, that is started here: signals save them, and the queue goes on with them.

Debian's slurm-wlm and munge are enough, without systemd, cgroups or accounting; whoever runs this must be root. The
signals themselves, and what a job that starts again does, are tested without SLURM.
"""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import QUICK

from wavenet.cli import by_hydra
from wavenet.config import TrainConfig
from wavenet.errors import ConfigError
from wavenet.model import checkpoint
from wavenet.training.stopping import Stopper

ROOT = Path(__file__).parents[1]
PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol", "scancel")
CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def test_a_signal_of_the_queue_is_noted_and_a_doubled_sigterm_counts_as_one():
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
        before, stopper = signal.getsignal(number), Stopper(lambda _: None)
        with stopper.listening():
            signal.raise_signal(number)
            signal.raise_signal(number)
        assert stopper.received == number
        assert signal.getsignal(number) is before


def test_a_saved_job_is_handed_back_to_submitit():
    received = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: received.append(number))
    try:
        for status in (0, 143, 128 + signal.SIGUSR2):
            by_hydra._requeue(SystemExit(status))
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert received == [signal.SIGUSR2]
    by_hydra._requeue(SystemExit(128 + signal.SIGUSR2))  # nothing listens, and nothing is killed


def test_a_job_that_starts_again_continues_its_run(tmp_path, monkeypatch):
    config, given = TrainConfig(), frozenset({"minutes"})
    assert by_hydra._use_folder(config, tmp_path / "job", given) == {"minutes", "run.dir"}
    (tmp_path / "job" / "checkpoints").mkdir()
    (tmp_path / "job" / "checkpoints" / "last.state").touch()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert by_hydra._use_folder(config, tmp_path / "job", given) == {"resume", "run.dir"}, "its minutes are not added"
    assert config.resume == config.run.dir == str(tmp_path / "job")


def test_a_missing_extra_is_told(monkeypatch, call):
    monkeypatch.setattr(by_hydra.importlib.util, "find_spec", lambda _: None)
    assert "pip install 'wavenet[slurm]'" in call("train", "--multirun", "hydra/launcher=slurm", "seed=1,2")[2]
    with pytest.raises(ConfigError):
        by_hydra.run("train", TrainConfig, None, None, ["hydra/launcher=slurm"])  # type: ignore[arg-type]


@pytest.mark.slow
def test_jobs_of_a_cluster_are_saved_requeued_and_finished(cluster, tones, tmp_path):
    """A single run, by scripts/slurm.sh and SIGUSR1, and a run of a sweep, by submitit and SIGUSR2."""
    small = ["crop=256", "model.layers_per_stack=3", "model.residual_channels=8", "model.gate_channels=8"]
    long = [f"data.dir={tones}", *QUICK, *small, "steps=120", "log_every=1", "validate_every=1000"]
    job = cluster("sbatch", "--parsable", "--time=60", ROOT / "scripts" / "slurm.sh", *long).strip()
    run = tmp_path / "runs" / f"slurm_{job}"
    until(lambda: steps(run) >= 3)
    cluster("scancel", "--signal=USR1", job)
    until(lambda: "JobState=PENDING" in cluster("scontrol", "show", "job", job))
    saved = checkpoint.load_state(run)["step"]
    assert 3 <= saved < 120
    cluster("scontrol", "update", f"job={job}", "StartTime=now")  # SLURM itself waits two minutes
    until(lambda: "JobState=COMPLETED" in cluster("scontrol", "show", "job", job))
    assert "Restarts=1" in cluster("scontrol", "show", "job", job)
    said = (tmp_path / f"slurm-{job}.out").read_text()
    assert f"resuming at step {saved} of 120" in said
    assert checkpoint.load_state(run)["step"] == 120

    endless = [*long, "steps=100000"]
    job = cluster("sbatch", "--parsable", "--time=60", ROOT / "scripts" / "slurm.sh", *endless).strip()
    until(lambda: steps(tmp_path / "runs" / f"slurm_{job}") >= 3)
    cluster("scancel", job)
    until(lambda: "JobState=CANCELLED" in cluster("scontrol", "show", "job", job))
    said = (tmp_path / f"slurm-{job}.out").read_text()
    assert "stopped at step" in said, "it is saved"
    assert "requeued" not in said

    asked = ["--multirun", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "seed=1,2", "run.dir=sweep", *long]
    sweep = subprocess.Popen([sys.executable, "-m", "wavenet.cli.train", *asked], cwd=tmp_path, env=cluster.environment)
    first = tmp_path / "sweep" / "0_seed=1"
    until(lambda: steps(first) >= 3)
    (number,) = {path.name.partition("_")[0] for path in (tmp_path / "sweep" / ".submitit").glob("*_0")}
    cluster("scancel", "--signal=USR2", f"{number}_0")
    until(lambda: "Restarts=1" in cluster("scontrol", "show", "job", f"{number}_0"))
    cluster("scontrol", "update", f"job={number}_0", "StartTime=now")
    assert sweep.wait(timeout=600) == 0
    with open(tmp_path / "sweep" / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["run"], row["steps"], row["standing"]) for row in rows} == {
        ("0_seed=1", "120", "done"),
        ("1_seed=2", "120", "done"),
    }


def steps(run: Path) -> int:
    path = run / "metrics.jsonl"
    lines = [line for line in path.read_text().splitlines() if line.endswith("}")] if path.is_file() else []
    return json.loads(lines[-1])["step"] if lines else 0


def until(holds, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.3)


class Cluster:
    """Runs SLURM's own programs."""

    def __init__(self, folder: Path, configuration: Path) -> None:
        paths = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = os.environ | {"SLURM_CONF": str(configuration), "PATH": paths, "PYTHONPATH": str(ROOT)}
        self.environment |= {"XDG_CACHE_HOME": str(folder / "cache")}
        self.folder = folder

    def __call__(self, *command: str | Path) -> str:
        how = {"cwd": self.folder, "env": self.environment, "text": True, "capture_output": True, "timeout": 60}
        done = subprocess.run(list(map(str, command)), check=False, **how)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def cluster(tmp_path):
    """A SLURM of one node; it ends with the test."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs Debian's slurm-wlm and munge, and root: {', '.join(missing) or 'not root'}")
    folder, processes = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp")), []  # a short path, for the socket
    os.chmod(folder, 0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    os.chmod(folder / "munge.key", 0o600)
    ports = []
    for _ in range(2):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            ports.append(listener.getsockname()[1])
    host = socket.gethostname().partition(".")[0]
    told = {"host": host, "ports": ports, "folder": folder, "cores": os.cpu_count()}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**told))
    files = {"key-file": "key", "socket": "sock", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    munge = [f"--{option}={folder}/munge.{name}" for option, name in files.items()]
    slurm = Cluster(tmp_path, folder / "slurm.conf")
    try:
        for command in (
            ["munged", "--foreground", "--force", *munge],
            ["slurmctld", "-D", "-c"],
            ["slurmd", "-D", "-c"],
        ):
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            processes.append(subprocess.Popen(command, env=slurm.environment, **quiet))
            time.sleep(1)
        for _ in range(60):
            state = subprocess.run(["sinfo", "-h", "-o", "%T"], env=slurm.environment, text=True, capture_output=True)
            if state.stdout.strip() == "idle":
                break
            time.sleep(1)
        else:
            log = (folder / "slurmctld.log").read_text() if (folder / "slurmctld.log").exists() else "no log"
            pytest.skip(f"SLURM does not come up here: {log[-300:]}")
        yield slurm
    finally:
        subprocess.run(["scancel", "--user=root"], env=slurm.environment, check=False, capture_output=True)
        time.sleep(1)
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)
