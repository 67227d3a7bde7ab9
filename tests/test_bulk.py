"""Many sounds: shared by processes, complete or absent, made once, and those of one process bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wavenet.cli.jobs import bulk

SOUND = ["checkpoint=run", "seconds=0.05", "device=cpu"]
TORCHRUN = {"TORCHELASTIC_RUN_ID": "a", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}


def sounds(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("seed_*.wav")}


@pytest.mark.parametrize(("count", "size"), [(1, 2), (5, 2), (100, 3), (7, 7), (3, 5)])
def test_every_seed_has_one_process(count, size):
    seeds = range(40, 40 + count)
    found = [seed for rank in range(size) for block in bulk.shares(seeds, rank, size) for seed in block]
    assert sorted(found) == list(seeds)
    assert max(sum(map(len, bulk.shares(seeds, rank, size))) for rank in range(size)) <= bulk.MOST + -(-count // size)


def test_processes_make_the_files_of_one(call, run, monkeypatch):
    assert call("generate", *SOUND, "count=5", "seed=3", "output=one")[0] == 0
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        status, out, err = call("generate", *SOUND, "count=5", "seed=3", "output=two", "missing=true")
        assert (status, err) == (0, "")
        assert bool(out) == (rank == "0")
    assert sounds("two") == sounds("one")
    assert sorted(path.name for path in Path("two").iterdir()) == sorted([*sounds("one"), "settings.json"])
    status, _, err = call("generate", *SOUND, "count=5", "output=three")
    assert status == 1
    assert "torchrun started 2 processes: give missing=true" in err


def test_what_is_there_is_kept_and_what_is_missing_made(call, run):
    again = [*SOUND, "output=some", "missing=true"]
    assert call("generate", *again, "count=4")[0] == 0
    first = sounds("some")
    (Path("some") / "seed_1.wav").unlink()
    before = (Path("some") / "seed_0.wav").stat().st_mtime_ns
    status, out, _ = call("generate", *again, "count=6")
    assert status == 0
    assert "some: 6 sounds; 3 of them were there before" in out
    assert {name: sounds("some")[name] for name in first} == first
    assert len(sounds("some")) == 6
    assert (Path("some") / "seed_0.wav").stat().st_mtime_ns == before


def test_sounds_of_other_settings_are_neither_kept_nor_replaced(call, run):
    again = [*SOUND, "output=some", "missing=true"]
    assert call("generate", *again)[0] == 0
    status, _, err = call("generate", *again, "temperature=0.5")
    assert status == 1
    assert "the sounds in some were made with temperature=1.0, not 0.5" in err.replace(os.getcwd() + "/", "")
    (Path("some") / "settings.json").write_text(json.dumps(["no"]))
    assert "were made with network=None" in call("generate", *again, "count=2")[2]
    (Path("some") / "settings.json").unlink()
    assert "holds sounds but no settings.json" in call("generate", *again, "count=2")[2]
    assert len(sounds("some")) == 1
    assert "a name without an extension" in call("generate", *SOUND, "output=a.wav", "missing=true")[2]
    assert "keep_prime" in call("generate", *again, "keep_prime=true")[2]


@pytest.mark.slow
def test_a_rerun_after_a_kill_makes_what_is_missing(run, tmp_path):
    given = ["checkpoint=run", "seconds=0.5", "count=60", "device=cpu", "engine=cached", "missing=true"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "wavenet.cli.generate", *given]
    killed = subprocess.Popen([*command, f"output={tmp_path}/two"], cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "two").glob("seed_*.wav")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    for pid in subprocess.run(["pgrep", "-f", f"output={tmp_path}/two"], capture_output=True, text=True).stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    subprocess.run([*command, f"output={tmp_path}/two"], cwd=tmp_path, check=True)
    alone = [sys.executable, "-m", "wavenet.cli.generate", *given, "output=one"]
    subprocess.run(alone, cwd=tmp_path, check=True)
    assert sounds(str(tmp_path / "two")) == sounds(str(tmp_path / "one"))
    assert len(sounds(str(tmp_path / "one"))) == 60
