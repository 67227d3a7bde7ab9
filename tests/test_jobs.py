"""The work of each command can be called from Python, with plain settings and without Hydra."""

import subprocess
import sys

import pytest
from conftest import RATE

from wavenet.cli.jobs import evaluate, train
from wavenet.config import DataConfig, EvaluateConfig, ModelConfig, RunConfig, TrainConfig
from wavenet.errors import ConfigError
from wavenet.model.checkpoint import load, load_state

ALL = """
import sys
from wavenet.cli.jobs import cache, evaluate, export, generate, recognise, train
from wavenet.config import *
from wavenet.errors import CheckpointError

folder = sys.argv[1]
small = ModelConfig(stacks=1, layers_per_stack=4, residual_channels=8, gate_channels=8, skip_channels=8)
data = DataConfig(folder, sample_rate=8000, cache_dir="cache")
bits = train.job(TrainConfig(data, small, run=RunConfig("run"), steps=2, crop=512, sample_every=0, threads=1))
assert 0 < evaluate.job(EvaluateConfig("run", DataConfig(folder, cache_dir="cache"), split="valid")) < 20
generate.job(GenerateConfig("run", seconds=0.01, output="x.wav"))
export.job(ExportConfig("run", output="x.wavenet"))
cache.job(CacheConfig("cache"))
try:
    recognise.job(RecogniseConfig("run", DataConfig(folder)))
except CheckpointError as error:
    print(error)
assert not {"hydra", "omegaconf"} & sys.modules.keys()
"""


def test_every_job_runs_in_a_plain_process(tones, tmp_path):
    done = subprocess.run([sys.executable, "-c", ALL, tones], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "run/checkpoints/best.safetensors cannot recognise" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"run", "cache", "x.wav", "x.wavenet"}


def small(folder, **more) -> TrainConfig:
    shape = ModelConfig(stacks=1, layers_per_stack=4, residual_channels=8, gate_channels=8, skip_channels=8)
    quick = {"steps": 2, "crop": 512, "sample_every": 0, "threads": 1, "device": "cpu", "precision": "float32"}
    return TrainConfig(DataConfig(str(folder), sample_rate=RATE), shape, **quick | more)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_what_is_given_decides_what_gives_way(tones, tmp_path):
    config = small(tones, run=RunConfig("run"))
    train.job(config)
    train.job(config)  # another folder: this one was not asked for by name
    assert {path.name for path in tmp_path.iterdir()} == {"run", "run_2", "cache"}
    with pytest.raises(ConfigError, match="already holds a run"):
        train.job(config, {"run.dir"})
    with pytest.raises(ConfigError, match="steps=2 and minutes=1 are both given"):
        train.job(small(tones, minutes=1.0), {"steps", "minutes"})
    # a resumed run keeps all settings but those that are given, whole sections too
    again = small(tones, resume="run", steps=3, log_every=7)
    again.optim.lr, again.optim.momentum = 0.5, 0.5
    train.job(again, {"steps", "optim.lr"})
    kept = load_state("run")["config"]
    assert (kept["steps"], kept["log_every"]) == (3, 10)
    assert (kept["optim"]["lr"], kept["optim"]["momentum"]) == (0.5, 0.95)
    again.steps = 4
    train.job(again, {"steps", "optim"})
    assert load_state("run")["config"]["optim"]["momentum"] == 0.5
    assert again.data.dir == str(tones), "the caller's settings stay as they are"
    # the model's rate, unless another is asked for
    assert evaluate.job(EvaluateConfig("run", DataConfig(str(tones)))) > 0
    with pytest.raises(ConfigError, match=f"was trained at {RATE} Hz"):
        evaluate.job(EvaluateConfig("run", DataConfig(str(tones))), {"data.sample_rate"})
    assert load("run_2").step == 2


def test_a_run_without_a_name_is_called_by_its_date(tones, tmp_path):
    train.job(small(tones, steps=1))
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name[:2] == "20"
