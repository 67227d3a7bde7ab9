"""What a run leaves to look at: TensorBoard, Weights & Biases, verdicts on its sounds."""

import sys
import types

import numpy as np
import pytest
import soundfile
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from wavenet import audio
from wavenet.audio import plots
from wavenet.config import DataConfig, ModelConfig, TrainConfig
from wavenet.errors import ConfigError
from wavenet.training import Reporter, boards, runs, train
from wavenet.training.metrics import RunLog

RATE = 4000


class Lines(Reporter):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of four steps, with two sounds, and what it said."""
    path, random = tmp_path_factory.mktemp("records"), np.random.default_rng(0)
    (path / "tones").mkdir()
    for i in range(6):
        tone = 0.2 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
        soundfile.write(path / "tones" / f"{i}.wav", tone + random.normal(0, 0.01, RATE), RATE)
    model = ModelConfig(stacks=1, layers_per_stack=4, residual_channels=8, gate_channels=8, skip_channels=16)
    data = DataConfig(dir=str(path / "tones"), sample_rate=RATE, cache_dir=str(path / "cache"), valid_fraction=0.3)
    how = {"steps": 4, "crop": 512, "precision": "float32", "device": "cpu", "log_every": 1, "validate_every": 2}
    reporter = Lines()
    train(TrainConfig(data=data, model=model, sample_every=2, sample_seconds=0.6, **how), path / "run", reporter)
    return path / "run", reporter.lines


def test_tensorboard_calls_a_run_by_its_folder_and_has_one_tag_for_all_steps(trained):
    run, _ = trained
    assert [path for path in run.rglob("*tfevents*") if path.parent != run] == []
    board = EventAccumulator(str(run)).Reload()
    tags = board.Tags()
    assert tags["audio"] == ["sample"]
    assert tags["images"] == ["sample/spectrogram"]
    assert [event.step for event in board.Audio("sample")] == [2, 4]
    assert [event.step for event in board.Images("sample/spectrogram")] == [2, 4]


def test_tensorboard_has_baselines_and_settings(trained):
    board = EventAccumulator(str(trained[0])).Reload()
    scalars = board.Tags()["scalars"]
    assert {"baseline/unigram", "baseline/linear predictor", "valid/bits", "train/bits"} <= set(scalars)
    assert [event.step for event in board.Scalars("baseline/unigram")] == [2, 4]
    assert any("unigram" in line for line in trained[1])
    text = board.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "    steps: 4" in text
    plugins = {board.SummaryMetadata(tag).plugin_data.plugin_name for tag in board.Tags()["tensors"]}
    assert "custom_scalars" in plugins
    assert board.PluginTagToContent("hparams")["_hparams_/session_start_info"]


def test_without_tensorboard_a_line_says_so_and_the_rest_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    lines = []
    shown = boards.open_boards(tmp_path, 0, wandb=False, say=lines.append)
    assert len(lines) == 1
    assert "pip install 'wavenet[tensorboard]'" in lines[0]
    log = RunLog(tmp_path, RATE, boards=shown)
    log.settings({"steps": 3})
    log.scalars(1, {"train/bits": 7.5})
    audio.write(tmp_path / "x.wav", torch.zeros(RATE), RATE)
    log.sound(1, tmp_path / "x.wav", torch.zeros(RATE))
    log.curves()
    log.close()
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "x.wav", "x.png", "curves.png"}


class StandIn(types.ModuleType):
    """What is used of the package wandb; it notes how it is called."""

    def __init__(self):
        super().__init__("wandb")
        self.calls, self.config = [], {}
        self.Settings, self.Audio, self.Image = dict, lambda sound, sample_rate: (len(sound), sample_rate), type

    def init(self, **how):
        self.calls.append(how)
        return self

    def log(self, values, step):
        self.calls.append((step, values))

    def finish(self):
        self.calls.append("finish")


@pytest.mark.parametrize("mode", [None, "online"])
def test_weights_and_biases_shows_the_same_and_is_offline_unless_told(tmp_path, monkeypatch, mode):
    wandb = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    boards.check(wandb=True)
    log = RunLog(tmp_path, RATE, boards=[boards.WeightsAndBiases(tmp_path)])
    log.baselines = {"unigram": 6.5}
    log.settings({"optim": {"lr": 0.02}})
    log.scalars(1, {"train/bits": 7.5})
    log.scalars(2, {"valid/bits": 7.25})
    audio.write(tmp_path / "x.wav", torch.zeros(RATE), RATE)
    log.sound(3, tmp_path / "x.wav", torch.zeros(RATE))
    log.close()
    began, *logged = wandb.calls
    assert (began["mode"], began["name"], began["dir"]) == (mode or "offline", tmp_path.name, str(tmp_path))
    assert wandb.config == {"optim": {"lr": 0.02}}
    assert logged == [
        (1, {"train/bits": 7.5}),
        (2, {"valid/bits": 7.25, "baseline/unigram": 6.5}),
        (3, {"sample": (RATE, RATE)}),
        (3, {"sample/spectrogram": plots.Figure}),
        "finish",
    ]


def test_weights_and_biases_that_are_missing_are_told_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = TrainConfig(data=DataConfig(dir=str(tmp_path / "gone")), device="cpu", wandb=True)
    with pytest.raises(ConfigError, match=r"pip install 'wavenet\[wandb\]', or leave wandb out"):
        train(config, tmp_path / "run")


def test_the_sound_made_is_judged_and_bits_promise_none(trained):
    run, lines = trained
    judged = [line for line in lines if "the generated sound is" in line]
    assert [line.split(":")[0] for line in judged] == ["step 2", "step 4"]
    assert all(line.split("is ")[1].startswith("noise") for line in judged)
    rows = [row for row in runs.read_metrics(run) if "sample/pitch" in row]
    assert [row["step"] for row in rows] == [2, 4]
    assert rows[0]["sample/pitch"] < -0.7  # the recordings have one throughout
    assert not any("sound itself" in line or "expect the" in line for line in lines)
