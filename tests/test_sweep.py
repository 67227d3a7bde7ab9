"""Sweeps: a folder for each job, named by what it changes; one that fails; the table at the end."""

import csv
import os
import re
from argparse import Namespace
from pathlib import Path

from conftest import QUICK

from wavenet.cli.by_hydra import folder_name, sweep_folder
from wavenet.cli.paths import quote_sweep


def test_a_sweep_goes_on_past_a_failed_job(call, tones):
    arguments = ["--multirun", "optim.lr=0.01,-1,0.02", f"data.dir={tones}", "run.dir=sweep", *QUICK]
    status, out, err = call("train", *arguments)
    assert status == 1
    assert "error in job 1: optim.lr is -1.0" in err
    assert "1 job of the sweep failed" in err
    done = sorted(path.parts[-3] for path in Path("sweep").glob("*/checkpoints/best.safetensors"))
    assert [name.split("_")[0] for name in done] == ["0", "2"]
    with open("sweep/sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted((row["run"], row["optim.lr"], row["steps"]) for row in rows) == [
        ("0_optim.lr=0.01", "0.01", "3"),
        ("2_optim.lr=0.02", "0.02", "3"),
    ]
    bits = [float(row["bits_per_sample"]) for row in rows]
    assert bits == sorted(bits)  # the best first
    for row in rows:
        assert re.search(rf"{re.escape(row['run'])} .* {float(row['bits_per_sample']):.3f} ", out)


def test_a_sweep_of_many_settings_names_folders_by_what_it_changes(call, tones):
    same = ["optim.lr=0.01", "optim.momentum=0.9", "optim.weight_decay=0.1", "optim.clip_norm=1.0", "validate_every=9"]
    assert call("train", "--multirun", "seed=1,2", f"data.dir={tones}", "report=r.json", *QUICK, *same)[0] == 0
    assert sorted(path.parts[2:] for path in Path("runs").glob("*/*/r.json")) == [
        ("0_seed=1", "r.json"),
        ("1_seed=2", "r.json"),
    ]
    assert len(list(Path("runs").iterdir())) == 1


def test_sweeps_begun_in_one_second_get_folders_of_their_own(tmp_path):
    run_dir, named = str(tmp_path / "runs" / "now"), [f"run.dir={tmp_path}/runs/now"]
    first, second, third = (sweep_folder(Namespace(multirun=True), given) for given in ([], [], named))
    assert [first(run_dir), second(run_dir), first(run_dir), third(run_dir)] == [
        run_dir,
        f"{run_dir}_2",
        run_dir,  # each of its jobs asks again
        run_dir,  # as it was asked for
    ]
    assert sweep_folder(Namespace(multirun=False), [])("shown") == "shown"
    assert not Path("shown").exists()


def test_paths_are_quoted_in_a_sweep(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("a b", "r,e [c]"):
        (tmp_path / name).mkdir()
    for given, quoted in {
        "data.dir=a b": 'data.dir="a b"',
        "data.dir=a b,c d": 'data.dir="a b","c d"',
        "data.dir=r,e [c]": 'data.dir="r,e [c]"',
        "data.dir=x,r,e [c],a b": 'data.dir="x","r,e [c]","a b"',
        "data.dir=x,~/a b": f'data.dir="x","{tmp_path}/a b"',
        "run.dir=one, two": 'run.dir="one, two"',
        "report=a,b.json": 'report="a,b.json"',
        "data.dir=choice(a,b)": "data.dir=choice(a,b)",
        "data.dir='a,b',c": "data.dir='a,b',c",
        "optim.lr=0.1,0.2": "optim.lr=0.1,0.2",
        "model=tiny,base": "model=tiny,base",
    }.items():
        assert quote_sweep(given) == quoted
    assert folder_name('data.dir="/home/me/a b",seed=1') == "data.dir=_home_me_a b,seed=1"
    assert len(folder_name("é" * 300).encode()) <= 200


def test_a_sweep_over_folders(call, recordings, tmp_path):
    os.symlink(recordings, tmp_path / "one, [two]")
    os.symlink(recordings, tmp_path / "three four")
    quick = [
        "model=tiny",
        "steps=1",
        "crop=256",
        "sample_every=0",
        "device=cpu",
        "threads=1",
        "model.layers_per_stack=2",
    ]
    status, out, err = call("train", "--multirun", "data.dir=one, [two],three four", "run.dir=a sweep", *quick)
    assert (status, err) == (0, "")
    assert "0_data.dir=one, [two] " in out, "the table does not take brackets for colours"
    assert sorted(path.name for path in Path("a sweep").iterdir() if path.is_dir()) == [
        "0_data.dir=one, [two]",
        "1_data.dir=three four",
    ]
