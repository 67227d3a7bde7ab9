"""The commands: every mistake is one line that names the setting, and the figures come out as documented."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import wavenet
from wavenet.cli.jobs.generate import check_output, new_files
from wavenet.config import BUNDLED
from wavenet.generation import watch
from wavenet.model import native
from wavenet.model.checkpoint import load_state, save_state
from wavenet.recordings import preparation
from wavenet.training import machine

RATE = 8000
QUICK = ["model=tiny", "steps=3", "crop=1024", "sample_every=0", f"data.sample_rate={RATE}", "device=cpu", "threads=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("recordings")
    t = np.arange(RATE) / RATE
    for i in range(4):
        soundfile.write(path / f"{i}.flac", 0.5 * np.sin(2 * np.pi * (300 + 50 * i) * t), RATE)
    (path / "broken.wav").write_bytes(b"RIFF nothing")
    return path


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.residual_chanels=8", "unknown setting model.residual_chanels (did you mean model.residual_channels?)"),
        ("+model.residual_chanels=8", "unknown setting model.residual_chanels (did you mean model.residual_channels?)"),
        ("++optm.lr=1", "unknown setting optm.lr (did you mean optim.lr?)"),
        ("lr=1", "unknown setting lr (did you mean optim.lr?)"),
        ("stepz=3", "unknown setting stepz (did you mean steps?)"),
        ("steps=abc", "steps is 'abc', but it must be a whole number"),
        ("optim.lr=fast", "optim.lr is 'fast', but it must be a number"),
        ("model.bias=perhaps", "model.bias is 'perhaps', but it must be true or false"),
        ("steps=0", "steps is 0, but it must be at least 1"),
        ("optim.lr=-1", "optim.lr is -1.0, but it must be greater than 0"),
        ("model.kernel_size=0", "model.kernel_size is 0, but it must be at least 1"),
        ("precision=float8", "precision is 'float8', but it must be one of auto, float32, bfloat16"),
        ("model=bse", "model=bse does not exist (did you mean model=base?)"),
        ("data.dir=/does/not/exist", "data.dir: /does/not/exist does not exist"),
        ("resume=/does/not/exist", "there is no training state at /does/not/exist"),
        ("+steps=0", "steps is 0, but it must be at least 1"),
        ("data.dir=", "data.dir is empty: give a path, as in data.dir=..."),
        ("device=gpu", "device is 'gpu', but it must be one of auto, cpu, cuda"),
        ("hydra.rundir=x", "hydra.rundir: Key 'rundir' not in 'HydraConf'"),
        ("data.labels=folder", "data.labels is 'folder', but it is written data.labels=[folder]"),
        ("model.context.pools=256", "model.context.pools is 256, but it is written model.context.pools=[256]"),
    ],
)
def test_a_mistake_is_one_line_and_status_1(call, override, said):
    status, _, err = call("train", override)
    assert status == 1
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "length"),
    [
        ([], "now steps=20000, hours on most computers"),
        (["steps=3", "model=tiny"], "now steps=3)"),
        (["experiment=digits"], "now minutes=30)"),
    ],
)
def test_training_asks_what_it_is_to_learn(call, settings, length):
    """A bare command once began eleven hours on the bundled recordings."""
    status, out, err = call("train", *settings)
    assert (status, out) == (1, "")
    assert err.startswith("error: data.dir is not set: give your folder of recordings, as in data.dir=~/recordings")
    assert length in err
    assert "experiment=demo, three minutes" in err
    assert err.count("\n") == 1
    assert not Path("runs").exists()


def test_a_run_of_a_version_without_a_name_for_the_bundled_recordings_goes_on(call, folder, monkeypatch):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    state = load_state(Path("run"))
    state["config"]["data"]["dir"] = None
    save_state(Path("run/checkpoints/last.state"), state)
    asked = []
    monkeypatch.setattr(preparation, "find_folder", lambda config: asked.append(config.dir) or folder)
    assert call("train", "resume=run", "steps=4")[0] == 0
    assert set(asked) == {BUNDLED}


def test_a_run_that_only_had_to_be_measured_tells_no_speed(call, folder):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    state = load_state(Path("run"))
    save_state(Path("run/checkpoints/last.state"), state | {"finished": False})
    status, out, _ = call("train", "resume=run")
    assert status == 0
    assert "done: 3 steps\n" in out


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


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("train", ["steps"], "cannot understand 'steps'"),
        ("train", ["--hlep"], "unknown flag --hlep: settings are written name=value, see --help"),
        ("generate", ["--seconds", "3"], "unknown flag --seconds: settings are written seconds=3, see --help"),
        ("generate", ["checkpoint=x", "--seconds=3"], "unknown flag --seconds: settings are written seconds=3, see"),
        ("train", ["--resume", "data.dir=x"], "unknown flag --resume: settings are written resume=..., see --help"),
        ("train", ["--cfg"], "argument --cfg/-c: expected one argument; see --help"),
        ("train", ["steps=1", "--multirun", "seed=1,2"], "cannot understand 'seed=1,2' here: write the settings next"),
        ("generate", [], "checkpoint is not set"),
    ],
)
def test_a_command_line_that_is_not_understood_is_status_2(call, command, arguments, said):
    status, _, err = call(command, *arguments)
    assert status == 2
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["train", "generate", "evaluate", "recognise", "export", "cache"])
def test_help_tells_every_setting(call, command):
    status, out, _ = call(command, "--help")
    assert status == 0
    assert out.count("(required)") == (0 if command in ("train", "cache") else 1)
    expected = {"train": "optim.lr (0.", "generate": "top_p (1.0)", "evaluate": "data.dir (none)", "export": "(auto)"}
    expected |= {"recognise": "data.frames (none)", "cache": "unused_days (none)"}
    assert expected[command] in out


@pytest.mark.parametrize("command", ["train", "generate", "evaluate", "export"])
@pytest.mark.parametrize(("flag", "said"), [("--help", "Settings:"), ("--version", f"wavenet {wavenet.__version__}")])
def test_help_and_version_do_without_torch(command, flag, said):
    code = (
        f"import sys; from wavenet.cli.{command} import main; sys.argv[1:] = [{flag!r}]; main(); "
        "assert 'torch' not in sys.modules and 'hydra' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout


@pytest.mark.parametrize("command", ["train", "generate", "evaluate", "export"])
def test_ctrl_c_while_torch_is_imported_is_one_word(command, tmp_path):
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    given = ["data.dir=x"] if command == "train" else ["checkpoint=x"]
    done = subprocess.run(
        [sys.executable, "-c", f"from wavenet.cli.{command} import main; main()", *given],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_the_main_job(call, folder, tmp_path):
    status, out, err = call("train", f"data.dir={folder}", "run.dir=run", "report=train.json", *QUICK)
    assert (status, err) == (0, "")
    assert "broken.wav: it is damaged or not audio" in out
    trained = json.loads(Path("train.json").read_text())
    keys = {"run_dir", "checkpoint", "steps", "samples_per_second", "bits_per_sample", "unigram_bits", "linear_bits"}
    assert set(trained) == keys
    assert trained["steps"] == 3

    status, out, _ = call(
        "generate", "checkpoint=run", "seconds=0.1", "count=2", "seed=5", "output=made", "report=g.json"
    )
    assert status == 0
    made = json.loads(Path("g.json").read_text())
    assert set(made) == {
        *("files", "sample_rate", "samples_per_second", "realtime_factor", "bits_per_sample"),
        *("engine", "precision", "warnings"),
    }
    assert made["files"] == ["made/seed_5.wav", "made/seed_6.wav"]
    assert [soundfile.info(file).frames for file in made["files"]] == [800, 800]
    assert soundfile.info(made["files"][0]).samplerate == RATE

    # the same seed alone, primed by nothing, into FLAC: the same sound; never over an older file in a folder
    call("generate", "checkpoint=run/checkpoints/last.safetensors", "seconds=0.1", "seed=6", "output=one.flac")
    assert np.array_equal(soundfile.read("one.flac")[0], soundfile.read("made/seed_6.wav")[0])
    call("generate", "checkpoint=run", "seconds=0.05", "seed=5", "output=made", f"prime={folder / '0.flac'}")
    assert soundfile.info("made/seed_5.wav").frames == 800
    assert soundfile.info("made/seed_5_2.wav").frames == 400

    results = {}
    for engine in ("auto", "cached"):
        arguments = ["checkpoint=run", f"data.dir={folder}", f"engine={engine}", "split=valid", "report=e.json"]
        assert call("evaluate", *arguments)[0] == 0
        results[engine] = json.loads(Path("e.json").read_text())
        assert set(results[engine]) == {"files", "samples", "bits_per_sample", "unigram_bits", "linear_bits"}
    assert results["auto"]["samples"] == results["cached"]["samples"] == RATE
    assert abs(results["auto"]["bits_per_sample"] - results["cached"]["bits_per_sample"]) < 1e-4
    assert (
        abs(results["auto"]["bits_per_sample"] - trained["bits_per_sample"]) < 0.05
    )  # trained in bfloat16 where it can


def test_resume_takes_the_settings_of_the_run(call, folder, monkeypatch):
    call("train", f"data.dir={folder}", "run.dir=run", "model.residual_channels=24", *QUICK)
    first = load_state("run")["config"]["precision"]
    monkeypatch.setattr(machine, "bfloat16_is_faster", lambda: first != "bfloat16")  # as on another machine
    status, out, err = call("train", "resume=run", "steps=5")
    assert (status, err) == (0, "")
    assert "resuming at step 3 of 5" in out
    assert f"; cpu, {first}" in out
    status, _, err = call("train", "resume=run", "model.residual_channels=16")
    assert status == 1
    assert "model.residual_channels is 24 there, 16 here" in err


def test_more_minutes_and_the_way_on_are_said(call, folder):
    status, out, _ = call("train", f"data.dir={folder}", "run.dir=a run", "report=r.json", *QUICK)
    assert "hear it: wavenet-generate 'checkpoint=a run'" in out
    status, _, err = call("train", f"data.dir={folder}", "run.dir=a run", "report=r.json", *QUICK)
    assert status == 1
    assert json.loads(Path("r.json").read_text())["steps"] == 3  # the earlier report is whole
    assert err == (
        "error: run.dir: a run already holds a run: go on with it by resume='a run', or choose another run.dir\n"
    )
    status, _, err = call("train", "resume=a run")
    assert status == 1
    assert err.startswith("error: a run is at step 3 of 3: give steps= above 3, or minutes= to train so much longer")
    status, out, err = call("train", "resume=a run/checkpoints", "minutes=0.01", "report=r.json")
    assert (status, err) == (0, "")
    assert "run folder: a run\n" in out
    assert json.loads(Path("r.json").read_text())["steps"] > 3


def test_steps_on_the_command_line_win_over_a_presets_minutes(call, folder):
    began = time.monotonic()
    status, out, err = call("train", f"data.dir={folder}", "run.dir=run", "experiment=demo", *QUICK)
    assert (status, err) == (0, "")
    assert time.monotonic() - began < 60, "a preset of two and a half minutes"
    assert "done: 3 steps" in out
    assert "warning: the learning rate rises for optim.warmup_steps=" in out
    status, _, err = call("train", f"data.dir={folder}", "run.dir=other", "minutes=1", *QUICK)
    assert (status, err) == (1, "error: steps=3 and minutes=1 are both given: leave one out\n")


def test_a_run_of_few_steps_for_its_minutes_ends_with_a_hint(call, folder):
    quick = [setting for setting in QUICK if not setting.startswith("steps")]
    status, out, err = call("train", f"data.dir={folder}", "run.dir=run", "minutes=0.01", *quick)
    assert (status, err) == (0, "")
    assert "this takes 1 second; the first validation and checkpoint come after 1 second\n" in out
    ending = out[out.index("done: ") :]
    assert re.search(r"\nwarning: only \d+ steps? fitted into 1 second, and after so few a model makes little", ending)


def test_a_run_that_saved_nothing_is_to_be_deleted(call, folder):
    Path("run").mkdir()
    Path("run/metrics.jsonl").write_text("")
    status, _, err = call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    assert status == 1
    said = "run.dir: run already holds a run that has saved no state yet: if it is over, delete it, or choose another"
    assert err == f"error: {said} run.dir\n"


def test_resynthesis_is_refused_before_the_long_part(call, folder):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    status, out, err = call("evaluate", "checkpoint=run", f"data.dir={folder}", "resynthesise=2")
    assert (status, out) == (1, "")
    assert err.startswith("error: resynthesise: run/checkpoints/best.safetensors was trained without features")


def test_a_preset_of_ones_own_starts_from_a_shipped_one(call, tmp_path):
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "mine.yaml").write_text("defaults: [tiny]\nresidual_channels: 48\n")
    status, out, _ = call("train", "--config-dir", "mine", "model=mine", "--cfg", "job")
    assert status == 0
    assert "residual_channels: 48" in out
    assert "layers_per_stack: 9" in out  # as in tiny


def test_a_sweep_goes_on_past_a_failed_job(call, folder):
    arguments = ["--multirun", "optim.lr=0.01,-1,0.02", f"data.dir={folder}", "run.dir=sweep", *QUICK]
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["output=x.mp3"], "output is x.mp3, but a file must end in .wav or .flac"),
        (["output=x.wav", "count=2"], "output is one file, x.wav, but count is 2"),
        (["engine=fast"], "engine is 'fast', but it must be one of auto, compiled, cached, naive"),
        (["top_p=0"], "top_p is 0.0, but it must be greater than 0 and at most 1"),
        (["prime=missing.wav"], "prime: missing.wav cannot be used: it cannot be opened"),
        (["device=gpu"], "device is 'gpu', but it must be one of auto, cpu, cuda"),
        (["label=wind"], "label is 'wind', but it is written label.NAME=wind"),
        (["checkpoint=run/config.yaml"], "run/config.yaml is no checkpoint: give a run folder or a .safetensors file"),
        (["seconds=4e6"], "seconds is 4000000.0, but it must be greater than 0 and at most 3600000 (1,000 hours)"),
        (["seconds=3e5"], "300000 seconds are asked for, but a WAV file holds at most 268435 at 8000 Hz: name a .flac"),
        (["checkpoint="], "checkpoint is empty"),
        (["checkpoint=run/checkpoints/last.state"], "run/checkpoints/last.state is a training state: give a run"),
    ],
)
def test_generate_names_what_is_wrong(call, folder, arguments, said):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    status, _, err = call("generate", "checkpoint=run", *arguments)
    assert status == 1
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("taken", "output: taken is a file, not a folder"),
        ("taken/below", "output: taken is a file, not a folder"),
        ("taken/below/x.wav", "output: taken is a file, not a folder"),
        ("closed", "output: the folder closed cannot be written to"),
        ("closed/new/x.flac", "output: the folder closed cannot be written to"),
    ],
)
def test_generate_looks_at_its_output_before_it_loads(call, tmp_path, monkeypatch, output, said):
    (tmp_path / "taken").write_text("")
    (tmp_path / "closed").mkdir()
    access = os.access  # root may write anywhere
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and access(path, mode))
    status, _, err = call("generate", "checkpoint=gone", f"output={output}")
    assert status == 1
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1
    assert "Errno" not in err


def test_a_folder_named_like_a_file_is_a_folder(tmp_path):
    (tmp_path / "v1.2").mkdir()
    assert not check_output(tmp_path / "v1.2", 1)


def test_two_commands_do_not_take_one_name(tmp_path):
    with new_files(tmp_path / "made", [3]) as first, new_files(tmp_path / "made", [3, 4]) as second:
        assert [path.name for path in first + second] == ["seed_3.wav", "seed_3_2.wav", "seed_4.wav"]
        second[0].write_text("a sound")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["seed_3_2.wav"]  # what nothing came of is gone


def test_more_files_than_may_be_open(call, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    status, _, err = call("generate", "checkpoint=gone", "count=40")
    assert status == 1
    assert err.startswith("error: count is 40, but this system lets a program write to 36 files at once: generate in")


def test_what_was_held_out_stays_so(call, tmp_path):
    """The checkpoint tells how its recordings were divided."""
    for number in range(40):
        sound = np.random.default_rng(number).normal(0, 0.1, RATE // 4)
        (tmp_path / "many").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "many" / f"v{number}.wav", sound, RATE)
    many = f"data.dir={tmp_path}/many"
    assert call("train", many, "data.valid_fraction=0.05", "run.dir=run", *QUICK)[0] == 0
    valid = ["evaluate", "checkpoint=run", many, "split=valid", "report=r.json"]
    assert call(*valid)[0] == 0
    few = json.loads((tmp_path / "r.json").read_text())["files"]
    assert call(*valid, "data.valid_fraction=0.1")[0] == 0
    assert few < json.loads((tmp_path / "r.json").read_text())["files"]
    assert wavenet.load(tmp_path / "run").data == {
        "valid_fraction": 0.05,
        "split_by": "auto",
        "min_seconds": 0.1,
        "trim_silence_db": None,
        "channel": "mix",
        "normalise": "off",
    }


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "data.labels=[folder]",
            "data.labels: the model knows its labels: leave it out; use_labels=false tells it none",
        ),
        ("instruction_set=portable", "instruction_set is of engine=compiled alone: leave it out, or use that engine"),
        ("split=test", "split=test: no recording of "),
    ],
)
def test_what_evaluate_would_not_heed_is_refused(call, folder, setting, said):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    status, _, err = call("evaluate", "checkpoint=run", f"data.dir={folder}", setting, "report=r.json")
    assert status == 1
    assert err.startswith(f"error: {said}")
    assert not Path("r.json").exists()


def test_an_empty_prime_is_refused(call, folder):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    soundfile.write("nothing.wav", np.zeros(0), RATE)
    status, _, err = call("generate", "checkpoint=run", "seconds=0.01", "prime=nothing.wav")
    assert (status, err) == (1, "error: prime: nothing.wav holds no samples\n")


@pytest.mark.skipif(os.name != "posix", reason="names are text there")
def test_a_name_that_is_not_text_is_written(call, folder):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    status, out, err = call("generate", "checkpoint=run", "seconds=0.01", "output=" + os.fsdecode(b"o\xff.wav"))
    assert (status, err) == (0, "")
    assert "wrote o?.wav" in out
    assert soundfile.info(b"o\xff.wav").frames == RATE // 100


def test_a_sweep_of_many_settings_names_folders_by_what_it_changes(call, folder):
    same = ["optim.lr=0.01", "optim.momentum=0.9", "optim.weight_decay=0.1", "optim.clip_norm=1.0", "validate_every=9"]
    assert call("train", "--multirun", "seed=1,2", f"data.dir={folder}", "run.dir=sweep", *QUICK, *same)[0] == 0
    assert sorted(path.name for path in Path("sweep").iterdir() if path.is_dir()) == ["0_seed=1", "1_seed=2"]


@pytest.mark.parametrize("name", ["x.wav", "x.M4A", "x.safetensors"])
def test_an_exported_network_is_not_named_like_something_else(call, name):
    status, _, err = call("export", "checkpoint=gone", f"output={name}")
    assert status == 1
    assert err == f"error: output is {name}, but an exported network is no {name[1:]} file: call it x.wavenet\n"


def test_the_checkpoint_decides_the_rate(call, folder):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    status, _, err = call("evaluate", "checkpoint=run", f"data.dir={folder}", "data.sample_rate=16000")
    assert status == 1
    assert "data.sample_rate is 16000, but run/checkpoints/best.safetensors was trained at 8000 Hz" in err
    assert call("evaluate", "checkpoint=run", f"data.dir={folder}", f"data.sample_rate={RATE}")[0] == 0


def test_advice_suits_the_temperature(call, folder, monkeypatch):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    for temperature, advice in ((0, "try a temperature above 0, a prime"), (1, "try another seed, a lower temp")):
        monkeypatch.setattr(watch, "_trouble", lambda *_: "silent")
        _, out, _ = call("generate", "checkpoint=run", "seconds=1", f"temperature={temperature}")
        assert advice in out


@pytest.mark.skipif(bool(native.missing), reason="the kernels are not built")
def test_the_environment_is_named(call, folder, monkeypatch):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    monkeypatch.setenv("WAVENET_INSTRUCTION_SET", "foo")
    native.code.cache_clear()
    status, _, err = call("generate", "checkpoint=run")
    assert status == 1
    assert err.startswith("error: environment variable WAVENET_INSTRUCTION_SET is 'foo', but what runs here is ")


def test_a_failed_start_leaves_no_run_folder(call):
    call("train", "data.dir=/does/not/exist", "run.dir=run")
    assert not Path("run").exists()


def test_scripts_from_a_checkout():
    root = Path(__file__).parents[1]
    for script in ("train", "generate", "evaluate", "recognise"):
        done = subprocess.run(
            [sys.executable, str(root / "scripts" / f"{script}.py"), "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0
        assert "Settings:" in done.stdout


@pytest.mark.parametrize(
    "name", ["plain", "My Music (2024), part 2", "Bjørk's=best", 'say "hi"', "50% [x] {y}", "back\\slash"]
)
def test_any_folder_name_gets_through(call, folder, tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(folder, tmp_path / name)
    status, _, err = call("train", f"data.dir=~/{name}", f"run.dir=runs {name}", *QUICK)
    assert (status, err) == (0, "")
    status, _, err = call("generate", f"checkpoint=runs {name}", "seconds=0.01", f"output={name}.wav")
    assert (status, err) == (0, "")
    assert Path(f"{name}.wav").is_file()


def test_nothing_of_another_kind_is_overwritten(call, folder):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    Path("notes.md").write_text("my notes")
    for command in (["export", "output=notes.md"], ["generate", "seconds=0.01", "report=notes.md"]):
        status, _, err = call(*command[:1], "checkpoint=run", *command[1:])
        assert status == 1
        assert " notes.md is there already and is no " in err
    assert Path("notes.md").read_text() == "my notes"
    for _ in range(2):  # what is of the kind is
        assert call("export", "checkpoint=run", "output=x.wavenet", "report=r.json")[0] == 0


def test_a_run_does_not_live_among_the_recordings(call, folder):
    status, _, err = call("train", f"data.dir={folder}", f"run.dir={folder}", *QUICK)
    assert status == 1
    assert err == f"error: run.dir: {folder} is the folder of recordings itself; choose another run.dir\n"
    assert not (folder / "checkpoints").exists()


def test_other_recordings_than_before_are_told(call, folder, tmp_path):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    shutil.copytree(folder, tmp_path / "others")
    status, out, err = call("train", "resume=run", f"data.dir={tmp_path}/others", "steps=4")
    assert (status, err) == (0, "")
    assert f"warning: run was trained on {folder}, and goes on with another folder" in out
