"""The commands: every mistake is one line that names the setting, and the figures come out as documented."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

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
        ("hydra.rundir=x", "hydra.rundir: Key 'rundir' not in 'HydraConf'"),
    ],
)
def test_a_mistake_is_one_line_and_status_1(call, override, said):
    status, _, err = call("train", override)
    assert status == 1
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("train", ["steps"], "cannot understand 'steps'"),
        ("train", ["--nonsense"], "unrecognized arguments"),
        ("generate", [], "checkpoint is not set"),
    ],
)
def test_a_command_line_that_is_not_understood_is_status_2(call, command, arguments, said):
    status, _, err = call(command, *arguments)
    assert status == 2
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["train", "generate", "evaluate", "recognise", "export"])
def test_help_tells_every_setting(call, command):
    status, out, _ = call(command, "--help")
    assert status == 0
    assert out.count("(required)") == (0 if command == "train" else 1)
    expected = {"train": "optim.lr (0.", "generate": "top_p (1.0)", "evaluate": "data.dir (none)", "export": "(int8)"}
    expected["recognise"] = "data.frames (none)"
    assert expected[command] in out


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


def test_resume_takes_the_settings_of_the_run(call, folder):
    call("train", f"data.dir={folder}", "run.dir=run", "model.residual_channels=24", *QUICK)
    status, out, err = call("train", "resume=run", "steps=5")
    assert (status, err) == (0, "")
    assert "resuming at step 3 of 5" in out
    status, _, err = call("train", "resume=run", "model.residual_channels=16")
    assert status == 1
    assert "model.residual_channels is 24 there, 16 here" in err


def test_a_sweep_goes_on_past_a_failed_job(call, folder):
    arguments = ["--multirun", "optim.lr=0.01,-1,0.02", f"data.dir={folder}", "run.dir=sweep", *QUICK]
    status, _, err = call("train", *arguments)
    assert status == 1
    assert "error in job 1: optim.lr is -1.0" in err
    assert "1 jobs of the sweep failed" in err
    done = sorted(path.parts[-3] for path in Path("sweep").glob("*/checkpoints/best.safetensors"))
    assert [name.split("_")[0] for name in done] == ["0", "2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["output=x.mp3"], "output is x.mp3, but a file must end in .wav or .flac"),
        (["output=x.wav", "count=2"], "output is one file, x.wav, but count is 2"),
        (["engine=fast"], "engine is 'fast', but it must be one of auto, compiled, cached, naive"),
        (["top_p=0"], "top_p is 0.0, but it must be greater than 0 and at most 1"),
        (["prime=missing.wav"], "missing.wav cannot be used: it cannot be opened"),
    ],
)
def test_generate_names_what_is_wrong(call, folder, arguments, said):
    call("train", f"data.dir={folder}", "run.dir=run", *QUICK)
    status, _, err = call("generate", "checkpoint=run", *arguments)
    assert status == 1
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


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
