"""Runs side by side: the table, the settings that differ, curves over steps and minutes; what is no run is named."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from wavenet.cli import comparing
from wavenet.cli.paths import gathered
from wavenet.files import locked
from wavenet.model import checkpoint
from wavenet.training import runs


def made(folder: Path, settings: dict, rows: list[dict], state: dict | None = None) -> Path:
    """A run's folder, as training leaves it."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings | {"run": {"dir": str(folder)}}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 2')
    if state is not None:
        weights = {"a": np.zeros((3, 4)), "b": np.zeros(5)}
        told = {"format_version": 1, "model": {name: checkpoint.torch.tensor(value) for name, value in weights.items()}}
        checkpoint.save_state(folder / "checkpoints" / "last.state", told | state)
    return folder


@pytest.fixture
def sweep(tmp_path):
    """Two runs as a sweep leaves them: one that is done, one of an older version that was stopped."""
    for number, name in enumerate(("muon", "adamw")):
        rows = [{"step": step, "train/bits": 8 - step / 100 + number} for step in range(1, 201)]
        if number == 0:
            rows = [row | {"train/minutes": row["step"] ** 2 / 1e4, "train/samples_per_second": 1e3} for row in rows]
        rows += [{"step": step, "valid/bits": 7 - step / 100 + number} for step in (100, 150, 200)]
        state = {"step": 200, "steps": 200 + 100 * number, "seconds": 240.0, "best_step": 150, "finished": True}
        settings = {"optim": {"name": name, "lr": 0.02}, "steps": 200 + 100 * number}
        made(tmp_path / "sweep" / f"{number}_optim={name}", settings, rows, state)
    return tmp_path / "sweep"


def test_runs_in_a_table_a_picture_and_a_report(call, sweep):
    given = [f"{sweep}/1_optim=adamw", f"{sweep}/0_optim=muon", f"{sweep}/1_optim=adamw"]
    status, out, err = call("compare", *given, "output=made/x", "report=r.json")
    assert (status, err) == (0, "")
    with open("made/x.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == ["0_optim=muon", "1_optim=adamw"], "the best first, and each once"
    told = {"standing": "done", "steps": "200", "best_step": "150", "bits_per_sample": "5.0", "minutes": "4.0"}
    told |= {"samples_per_second": "1000.0", "weights": "17", "optim.name": "muon", "frame_accuracy": ""}
    assert rows[0] | {"run": 0} == told | {"run": 0}, "a setting that is the same in both is left out"
    assert (rows[1]["standing"], rows[1]["bits_per_sample"]) == ("stopped", "6.0")
    assert Path("made/x.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads(Path("r.json").read_text())["runs"]
    assert [row["optim.name"] for row in report] == ["muon", "adamw"]
    assert "stopped before the last step: 1 (1_optim=adamw)" in out
    assert "│ optim.name=muon" in out


def test_curves_over_minutes_follow_the_times_that_were_written_down(sweep):
    found, _ = runs.readable(runs.folders(sweep))
    steps, minutes = comparing.curves(found)
    assert list(steps) == ["optim.name=muon, steps=200: 5.000 held out", "optim.name=adamw, steps=300: 6.000 held out"]
    new, old = minutes.values()
    np.testing.assert_allclose(new, [(1, 6), (2.25, 5.5), (4, 5)])
    np.testing.assert_allclose(old, [(2, 7), (3, 6.5), (4, 6)])  # it only says that 200 steps took four minutes
    np.testing.assert_array_equal(next(iter(steps.values()))[:, 0], [100, 150, 200])


def test_what_cannot_be_compared_is_named(call, sweep, tmp_path):
    voice = made(tmp_path / "voice" / "acoustic", {}, [{"step": 1, "train/mel": 1.0}, {"step": 1, "valid/mel": 0.5}])
    silent = made(tmp_path / "silent", {}, [])
    for name in ("half", "other", "nothing"):
        (tmp_path / name).mkdir()
    (tmp_path / "half" / "metrics.jsonl").write_text('{"step"}\n')
    damaged = made(tmp_path / "damaged", {}, [{"step": 1, "train/bits": 8.0}])
    (damaged / "checkpoints" / "last.state").write_bytes(b"PK\x03\x04 cut short")
    (tmp_path / "other" / "metrics.jsonl").write_text('{"loss": 1}\n')
    with locked(sweep / "1_optim=adamw" / ".lock"):
        places = [sweep, tmp_path / "voice", silent, tmp_path / "half", tmp_path / "other", tmp_path / "nothing"]
        status, out, err = call("compare", *map(str, places), str(damaged), "no.log")
    assert (status, err) == (0, "")
    assert f"{voice} is the acoustic model of a voice, whose losses are no bits: mel 0.500" in out
    assert f"{silent} has measured nothing yet" in out
    assert f"{tmp_path}/half is not a readable run (" in out
    assert "metrics.jsonl has no step" in out
    assert "damaged/checkpoints/last.state is not a readable training state" in out
    assert f"no run of wavenet-train: 2 ({tmp_path}/nothing, no.log)" in out
    assert "still training: 1 (1_optim=adamw)" in out
    assert (
        call("compare", "no.log")[2]
        == "error: runs: there is nothing to compare; no run of wavenet-train: 1 (no.log)\n"
    )
    assert "error: runs is empty: give the folders" in call("compare")[2]
    assert "cannot write no.log/x/y" in call("compare", str(sweep), "output=no.log/x/y")[2] or Path("no.log").is_dir()


def test_other_recordings_are_told(call, tmp_path):
    for number, kinds in enumerate(([], ["mel"], [])):
        settings = {"data": {"dir": f"{number}"}, "model": {"features": {"kinds": kinds}}}
        settings |= {f"setting{i}": number for i in range(6)}
        rows = [{"step": 9, "train/bits": 4.0}, {"step": 9, "valid/bits": 4.0 - number, "valid/frame_accuracy": 0.25}]
        made(tmp_path / "runs" / f"{number}", settings, rows)
    status, out, _ = call("compare", "runs")
    assert status == 0
    assert "not held out alike, so that bits cannot simply be compared: data.dir differ" in out
    assert "8 settings differ: the CSV file has them" in out
    assert "25.0%" in out
    assert "not drawn over minutes, since they have saved no time: 3 (2, 1, 0)" in out
    assert "ended before a checkpoint: 3 (2, 1, 0)" in out


def test_a_runs_own_folder_name_is_no_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "x=1").mkdir(parents=True)
    assert gathered(["runs/x=1", "output=y", "0_x=1"], "runs") == ["output=y", 'runs=["runs/x=1","0_x=1"]']
    assert gathered(["hydra/launcher=slurm"], "runs") == ["hydra/launcher=slurm"]
