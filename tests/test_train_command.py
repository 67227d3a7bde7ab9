"""wavenet-train: how long, where to, what is said, and how a run is gone on with."""

import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import soundfile
from conftest import QUICK, RATE

import wavenet
from wavenet.config import BUNDLED
from wavenet.model.checkpoint import load_state, save_state
from wavenet.recordings import preparation
from wavenet.training import machine


def test_steps_on_the_command_line_win_over_a_presets_minutes(call, tones):
    began = time.monotonic()
    status, out, err = call("train", f"data.dir={tones}", "run.dir=run", "experiment=demo", *QUICK)
    assert (status, err) == (0, "")
    assert time.monotonic() - began < 60, "a preset of two and a half minutes"
    assert "done: 3 steps" in out
    assert "warning: the learning rate rises for optim.warmup_steps=" in out
    status, _, err = call("train", f"data.dir={tones}", "run.dir=other", "minutes=1", *QUICK)
    assert (status, err) == (1, "error: steps=3 and minutes=1 are both given: leave one out\n")


def test_a_run_of_few_steps_for_its_minutes_ends_with_a_hint(call, tones):
    quick = [setting for setting in QUICK if not setting.startswith("steps")]
    status, out, err = call("train", f"data.dir={tones}", "run.dir=run", "minutes=0.01", *quick)
    assert (status, err) == (0, "")
    assert "this takes 1 second; the first validation and checkpoint come after 1 second\n" in out
    ending = out[out.index("done: ") :]
    assert re.search(r"\nwarning: only \d+ steps? fitted into 1 second, after which a model makes little", ending)


def test_more_minutes_and_the_way_on_are_said(call, tones):
    status, out, _ = call("train", f"data.dir={tones}", "run.dir=a run", "report=r.json", *QUICK)
    assert "hear it: wavenet-generate 'checkpoint=a run'" in out
    status, _, err = call("train", f"data.dir={tones}", "run.dir=a run", "report=r.json", *QUICK)
    assert status == 1
    assert json.loads(Path("r.json").read_text())["steps"] == 3  # the earlier report is whole
    assert err == (
        "error: run.dir: a run already holds a run: continue it with resume='a run', or choose another run.dir\n"
    )
    status, _, err = call("train", "resume=a run")
    assert status == 1
    assert err.startswith("error: a run is at step 3 of 3: give steps= above 3, or minutes= to train that much longer")
    status, out, err = call("train", "resume=a run/checkpoints", "minutes=0.01", "report=r.json")
    assert (status, err) == (0, "")
    assert "run folder: a run\n" in out
    assert json.loads(Path("r.json").read_text())["steps"] > 3


def test_resume_takes_the_settings_of_the_run(call, tones, monkeypatch):
    call("train", f"data.dir={tones}", "run.dir=run", "model.residual_channels=24", *QUICK)
    first = load_state("run")["config"]["precision"]
    monkeypatch.setattr(machine, "bfloat16_is_faster", lambda: first != "bfloat16")  # as on another machine
    status, out, err = call("train", "resume=run", "steps=5")
    assert (status, err) == (0, "")
    assert "resuming at step 3 of 5" in out
    assert f"; cpu, {first}" in out
    status, _, err = call("train", "resume=run", "model.residual_channels=16")
    assert status == 1
    assert "model.residual_channels is 24 there, 16 here" in err


def test_a_run_that_only_had_to_be_measured_tells_no_speed(call, run):
    state = load_state(Path("run"))
    save_state(Path("run/checkpoints/last.state"), state | {"finished": False})
    status, out, _ = call("train", "resume=run")
    assert status == 0
    assert "done: 3 steps\n" in out


def test_a_run_of_a_version_without_a_name_for_the_bundled_recordings_goes_on(call, run, tones, monkeypatch):
    state = load_state(Path("run"))
    state["config"]["data"]["dir"] = None
    save_state(Path("run/checkpoints/last.state"), state)
    asked = []
    monkeypatch.setattr(preparation, "find_folder", lambda config: asked.append(config.dir) or tones)
    assert call("train", "resume=run", "steps=4")[0] == 0
    assert set(asked) == {BUNDLED}


def test_other_recordings_than_before_are_told(call, run, tones, tmp_path):
    shutil.copytree(tones, tmp_path / "others")
    status, out, err = call("train", "resume=run", f"data.dir={tmp_path}/others", "steps=4")
    assert (status, err) == (0, "")
    assert f"warning: run was trained on {tones}, and continues with another folder" in out


def test_labels_of_any_name_are_resumed_and_drawn(call, tmp_path):
    values = ["???", "${x}", "a${", "$a_$"]
    (tmp_path / "sounds").mkdir()
    rows = ["file_name,mood"]
    for number, value in enumerate(values * 2):
        soundfile.write(tmp_path / "sounds" / f"{number}.wav", np.random.default_rng(number).normal(0, 0.1, RATE), RATE)
        rows.append(f"{number}.wav,{value}")
    (tmp_path / "sounds" / "metadata.csv").write_text("\n".join(rows))
    sounds = f"data.dir={tmp_path}/sounds"
    quick = [*QUICK, "sample_every=3", "sample_seconds=0.05", "model.layers_per_stack=2"]
    status, _, err = call("train", sounds, "data.labels=[mood]", *quick, "run.dir=run")
    assert (status, err) == (0, "")
    assert (tmp_path / "run" / "labels.png").exists()
    status, _, err = call("train", "resume=run", "steps=4")
    assert (status, err) == (0, "")
    assert wavenet.load(tmp_path / "run").model.config.labels == {"mood": sorted(values)}


def test_a_run_that_saved_nothing_is_to_be_deleted(call, tones):
    Path("run").mkdir()
    Path("run/metrics.jsonl").write_text("")
    status, _, err = call("train", f"data.dir={tones}", "run.dir=run", *QUICK)
    assert status == 1
    said = "run.dir: run already holds a run that has saved no state: delete the folder if that run has ended, or"
    assert err == f"error: {said} choose another run.dir\n"


def test_a_run_does_not_live_among_the_recordings(call, tones):
    status, _, err = call("train", f"data.dir={tones}", f"run.dir={tones}", *QUICK)
    assert status == 1
    assert err == f"error: run.dir: {tones} is the folder of recordings; choose another run.dir\n"
    assert not (tones / "checkpoints").exists()


def test_a_failed_start_leaves_no_run_folder(call):
    call("train", "data.dir=/does/not/exist", "run.dir=run")
    assert not Path("run").exists()
