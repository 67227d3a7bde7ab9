"""wavenet.train: the command's run from Python, with its settings and its errors."""

import json
import threading

import numpy as np
import pytest
import soundfile
import torch
import yaml

import wavenet
from wavenet.cli.calls import written
from wavenet.cli.composing import compose
from wavenet.config import TrainConfig
from wavenet.model import checkpoint
from wavenet.training import Reporter

QUICK = {"steps": 3, "crop": 1000, "sample_every": 0, "threads": 1, "precision": "float32", "device": "cpu"}
QUICK |= {"model.stacks": 1, "model.layers_per_stack": 3, "model.skip_channels": 8, "model.head_channels": 8}


@pytest.fixture
def sounds(tmp_path, monkeypatch):
    """A folder of recordings whose name is none of the easy ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / 'my "sounds", it\'s {these}\\'
    folder.mkdir()
    for name in "abc":
        sound = np.random.default_rng(ord(name)).normal(0, 0.1, 4000)
        soundfile.write(folder / f"{name}.wav", sound, 16000)
    return folder


def test_it_learns_what_the_command_learns(sounds, call, capsys):
    settings = QUICK | {"optim.lr": 0.01, "optim.betas": [0.9, 0.99], "data.normalise": "peak", "optim": "adamw"}
    result = wavenet.train(sounds, "here", model="tiny", **settings)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("training: step 3/3, ") for line in lines)
    words = [f"{name}={value}" for name, value in settings.items()]
    status, _, err = call("train", f"data.dir={sounds}", "run.dir=there", "model=tiny", *words)
    assert status == 0, err
    here, there = (checkpoint.load_state(name) for name in ("here", "there"))
    for name, weights in here["model"].items():
        assert torch.equal(weights, there["model"][name]), name
    stored = [yaml.safe_load((sounds.parent / name / "config.yaml").read_text()) for name in ("here", "there")]
    for config in stored:
        config["run"]["dir"] = None
    assert stored[0] == stored[1]
    assert (result.steps, result.stopped_by) == (3, None)
    assert wavenet.load(result.run_dir).path == wavenet.load("here").path
    assert wavenet.load("here").valid_bits == pytest.approx(result.bits_per_sample)


def test_weights_of_folders_are_a_dict():
    assert written("augment.weights", {"my drums": 2, "field": 0.5}) == "{my drums:2,field:0.5}"


def test_it_goes_on_in_a_thread_without_a_word(sounds, capsys):
    results = []

    def work(name: str, **settings) -> None:
        results.append(wavenet.train(None if "resume" in settings else sounds, name, reporter=Reporter(), **settings))

    for given in ({"name": "one", **QUICK}, {"name": None, "resume": "one", "steps": 5, "report": "figures.json"}):
        thread = threading.Thread(target=work, kwargs=given)
        thread.start()
        thread.join()
    assert [result.steps for result in results] == [3, 5]
    assert results[0].run_dir.samefile(results[1].run_dir)
    assert json.loads((sounds.parent / "figures.json").read_text())["steps"] == 5
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optim.lrr": 0.1}, "unknown setting optim.lrr (did you mean optim.lr?)"),
        ({"tempo": 3}, "unknown setting tempo"),
        ({"model": "huge"}, "model=huge does not exist"),
        ({"optim.lr": "fast"}, "optim.lr is 'fast', but it must be a number"),
        ({"optim.lr": -1}, "optim.lr is -1.0, but it must be greater than 0"),
        ({"data.labels": "speaker"}, "data.labels is 'speaker', but it is written data.labels=[speaker]"),
        ({"minutes": 1}, "steps=3 and minutes=1 are both given: leave one out"),
        ({"data.dir": "elsewhere"}, "data.dir is given twice"),
        ({"crop": torch.ones(1)}, "crop is tensor([1.]), but it must be text, a number"),
        ({"resume": "gone"}, "there is no training state at gone"),
    ],
)
def test_errors_are_the_commands_and_one_line(sounds, settings, said):
    with pytest.raises(wavenet.WaveNetError) as error:
        wavenet.train(sounds, "run", **QUICK | settings)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not (sounds.parent / "run").exists()


def test_hours_of_training_are_not_begun_by_accident():
    with pytest.raises(wavenet.WaveNetError, match=r"data\.dir is not set"):
        wavenet.train()


NAMES = ["a b", 'say "hi"', "it's", "a,b", "[x]", "{y}", "${z}", "back\\", "\\\\", "null", "~x"]


@pytest.mark.parametrize("name", NAMES)
def test_text_reaches_its_setting_as_it_is(name):
    assert compose("train", TrainConfig, [f"data.labels={written('', [name])}"]).data.labels == [name]
