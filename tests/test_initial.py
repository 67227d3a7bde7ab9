"""A run that starts from another network's weights: what it takes over, and that what is new begins as if absent."""

import csv
import dataclasses
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from test_speaking import recordings
from test_speaking import settings as speech_settings
from test_training import Stop

from wavenet.cli.jobs.train import settled
from wavenet.config import (
    AcousticConfig,
    ContextConfig,
    DataConfig,
    FeatureConfig,
    ModelConfig,
    RecognitionConfig,
    TrainConfig,
)
from wavenet.errors import ConfigError
from wavenet.model import checkpoint, shipped
from wavenet.model.conditioning import Companion
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.annotations import after_silence, clamped
from wavenet.speech import storing
from wavenet.speech.acoustic import AcousticModel
from wavenet.training import initial, train
from wavenet.training.metrics import RunLog
from wavenet.training.speech import INIT

__all__ = ["recordings"]  # a fixture

FEATURES = FeatureConfig(kinds=["file"], columns=3, hop=8)
TWO = {"speaker": ["ann", "bob"]}


def network(config: ModelConfig, seed: int = 1) -> WaveNet:
    torch.manual_seed(seed)
    return WaveNet(config)


def kept(model: WaveNet, path: Path, rate: int = 16000) -> checkpoint.Checkpoint:
    checkpoint.save(path, model, rate, step=7, valid_bits=4.0)
    return checkpoint.load(path)


def logits(model: WaveNet, labels: dict[str, str]) -> torch.Tensor:
    """What a network makes of a few codes, with these labels, and with frames and a past for those that hear them."""
    random = np.random.default_rng(0)
    codes = torch.from_numpy(random.integers(0, 256, (1, 400)))
    frames = clamped(random.normal(size=(60, 3)).astype(np.float32))
    names = model.conditioning.names if model.conditioning else []
    told = torch.tensor([float(labels.get(label) == value) for label, value in names])
    companion = Companion(told, frames, after_silence(codes[0].numpy().astype(np.uint8)))
    with torch.inference_mode():
        return model(codes, model.rows([[(companion, 0, 400)]], 400))


CHANGES = {
    "nothing": ({}, {}),
    "first labels": ({}, {"labels": TWO}),
    "first features": ({}, {"features": FEATURES}),
    "first context": ({}, {"context": ContextConfig([16], layers=2)}),
    "everything": ({}, {"labels": TWO, "features": FEATURES, "context": ContextConfig([16], layers=2)}),
    "more values": ({"labels": TWO}, {"labels": {"speaker": ["ann", "bea", "bob"]}}),
    "another label": ({"labels": TWO}, {"labels": {"mood": ["calm"], **TWO}}),
    "labels beside features": ({"features": FEATURES}, {"features": FEATURES, "labels": TWO}),
    "features beside labels": ({"labels": TWO}, {"labels": TWO, "features": FEATURES}),
    "linear features": (
        {"labels": TWO},
        {"labels": TWO, "features": dataclasses.replace(FEATURES, upsampling="linear")},
    ),
    "context beside labels": ({"labels": TWO}, {"labels": TWO, "context": ContextConfig([16], layers=2)}),
    "recognition": ({}, {"recognition": RecognitionConfig(classes=["a", "b"])}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_new_network_begins_as_the_old_one(change, small, tmp_path):
    before, after = (dataclasses.replace(small, condition_channels=5, **parts) for parts in CHANGES[change])
    old = kept(network(before), tmp_path / "old.safetensors")
    new = network(after, seed=2)
    initial.take_over(new, old, 16000)
    for speaker in ("ann", "bob"):
        torch.testing.assert_close(logits(new, {"speaker": speaker}), logits(old.model, {"speaker": speaker}))
    if new.conditioning is not None:  # what is new learns from the first step on, here or once its other factor has
        new.fused  # noqa: B018 (decides which code runs)
        parts = dict(new.named_parameters())
        loss_of(new).backward()
        moved = [name for name, weights in parts.items() if weights.grad is not None and weights.grad.abs().max() > 0]
        added = parts.keys() - old.model.state_dict().keys()
        assert not added or added & set(moved)


def loss_of(model: WaveNet) -> torch.Tensor:
    random = np.random.default_rng(1)
    codes = torch.from_numpy(random.integers(0, 256, (1, 200)))
    told = torch.ones(len(model.conditioning.names)) if model.conditioning else torch.empty(0)
    frames = clamped(random.normal(size=(60, 3)).astype(np.float32))
    companion = Companion(told, frames, after_silence(codes[0].numpy().astype(np.uint8)))
    found = model(codes, model.rows([[(companion, 0, 200)]], 200))
    return torch.nn.functional.cross_entropy(found[0, :-1], codes[0, -found.shape[1] + 1 :])


def test_labels_keep_their_embeddings_by_name(small, tmp_path):
    old = kept(
        network(dataclasses.replace(small, labels={"speaker": ["ann", "bob"], "mood": ["calm"]})),
        tmp_path / "x.safetensors",
    )
    new = network(dataclasses.replace(small, labels={"mood": ["calm", "wild"], "speaker": ["bob", "cid"]}), seed=2)
    lines = initial.take_over(new, old, 8000)
    theirs, ours = (dict(zip(one.conditioning.names, one.conditioning.labels, strict=True)) for one in (old.model, new))
    for name, row in ours.items():
        assert torch.equal(row, theirs.get(name, torch.zeros_like(row))), name
    assert "step 7" in lines[0]
    assert "trained at 16000 Hz, and this run is at 8000 Hz" in lines[1]
    assert lines[2:] == ["new here: 2 (mood=wild, speaker=cid)", "not taken over: 1 (speaker=ann)"]


def test_features_keep_their_mean_and_scale(small, tmp_path):
    told = network(dataclasses.replace(small, features=FEATURES))
    assert told.conditioning
    told.conditioning.features.standardise(torch.randn(50, 3) + 2)  # type: ignore[union-attr]
    old, new = kept(told, tmp_path / "x.safetensors"), network(told.config, seed=2)
    initial.take_over(new, old, 16000)
    assert torch.equal(logits(new, {}), logits(old.model, {}))


def test_another_shape_is_refused(small, tmp_path):
    old = kept(network(small), tmp_path / "x.safetensors")
    wide = network(dataclasses.replace(small, residual_channels=9))
    with pytest.raises(ConfigError, match=r"model\.residual_channels is 9, but 8 in .*x\.safetensors"):
        initial.take_over(wide, old, 16000)


# ---- the command


@pytest.fixture
def sounds(tones, tmp_path) -> Path:
    """The recordings that `trained` has learned, with a speaker each."""
    folder = tmp_path / "sounds"
    shutil.copytree(tones, folder)
    with open(folder / "metadata.csv", "w", newline="") as file:
        csv.writer(file).writerows([["file_name", "speaker"], *([f"{i}.flac", "ab"[i % 2]] for i in range(4))])
    return folder


def settings(init: object, folder: object, **changed) -> TrainConfig:
    return TrainConfig(init=str(init), data=DataConfig(dir=str(folder)), **changed)


def test_the_shape_and_the_rate_are_the_old_ones(trained, sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, _ = settled(settings(trained, sounds), ["init", "data.dir"])
    assert config.data.sample_rate == 8000
    assert config.model == dataclasses.replace(checkpoint.load(trained).model.config, labels={})
    assert config.init == str(trained.absolute())
    wide = settings(trained, sounds, model=ModelConfig(skip_channels=256))
    with pytest.raises(
        ConfigError, match=r"model\.skip_channels is 256, but 128 in .*: leave model\.skip_channels= out"
    ):
        settled(wide, ["init", "data.dir", "model.skip_channels"])
    with pytest.raises(ConfigError, match=r"model\.stacks is 2, but 1 in .*: leave model= out"):
        settled(settings(trained, sounds), ["init", "data.dir", "model"])
    with pytest.raises(ConfigError, match=r"model\.mixtures is 10, but 0 in .*: leave experiment= out"):
        settled(settings(trained, sounds, model=ModelConfig(mixtures=10)), ["init", "experiment"])
    settled(settings(trained, sounds, model=ModelConfig(stacks=3)), ["init", "experiment"])
    other = settings(trained, sounds)
    other.data.sample_rate = 16000
    assert settled(other, ["init", "data.sample_rate"])[0].data.sample_rate == 16000


def test_conditioning_may_be_left_behind(small, sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = dataclasses.replace(small, features=FeatureConfig(kinds=["mel"], hop=16), context=ContextConfig([32]))
    kept(network(told), tmp_path / "x.safetensors")
    config, _ = settled(settings("x.safetensors", sounds), ["init"])
    assert (config.model.features, config.model.context) == (told.features, told.context)
    config, _ = settled(settings("x.safetensors", sounds), ["init", "model.features.kinds", "model.context.pools"])
    assert (config.model.features, config.model.context) == (FeatureConfig(), ContextConfig())
    new = network(config.model)
    lines = initial.take_over(new, checkpoint.load("x.safetensors"), 16000)
    assert lines[-1] == "not taken over: 2 (context stack of 32 samples, features)"


QUICK = ["steps=2", "crop=1024", "sample_every=0", "device=cpu", "threads=1", "precision=float32"]
QUICK += ["optim.schedule=constant"]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr(RunLog, "curves", lambda *_: None)


def test_a_run_starts_from_a_name_and_goes_on_without_it(trained, sounds, call, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "voices")
    (tmp_path / "voices").mkdir()
    place = tmp_path / "voices" / "tones.safetensors"
    shutil.copy(checkpoint.find(trained), place)
    asked = ["init=tones", f"data.dir={sounds}", "data.labels=[speaker]", *QUICK]
    status, out, err = call("train", *asked, "run.dir=parts")
    assert status == 0, err
    assert f"starting from the weights of {place}, step 3" in out.replace("\n", "")
    assert "new here: 2 (speaker=a, speaker=b)" in out
    assert checkpoint.load("parts").model.config.labels == {"speaker": ["a", "b"]}
    assert call("train", *asked, "run.dir=whole", "steps=4")[0] == 0
    place.unlink()
    status, out, err = call("train", "resume=parts", "steps=4")
    assert status == 0, err
    assert "starting from" not in out
    parts, whole = (checkpoint.load_state(name) for name in ("parts", "whole"))
    for kind in ("model", "averaged"):
        for name, weights in parts[kind].items():
            assert torch.equal(weights, whole[kind][name]), name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resume=here", "init=tones"], "init and resume are both given"),
        (["init=nothing", "data.dir=bundled"], "nothing does not exist"),
        (["init=here.wavenet", "data.dir=bundled"], "is an exported network"),
    ],
)
def test_impossible_beginnings_are_refused(arguments, words, call, tmp_path):
    (tmp_path / "here.wavenet").write_bytes(b"WAVENET\n" + bytes(100))
    status, _, err = call("train", *arguments)
    assert status == 1
    assert words in err


# ---- voices that speak


def acoustic(units: list[str], labels: int = 0, seed: int = 1) -> AcousticModel:
    torch.manual_seed(seed)
    return AcousticModel(AcousticConfig(channels=8, encoder_layers=1, decoder_layers=1), units, 4, labels)


@pytest.fixture
def speaking(small, tmp_path) -> checkpoint.Checkpoint:
    """A voice of two speakers that knows three units."""
    features = FeatureConfig(kinds=["mel", "pitch"], mels=4, hop=16)
    vocoder = kept(network(dataclasses.replace(small, features=features, labels=TWO)), tmp_path / "vocoder.safetensors")
    model = acoustic(["^", "a", "b"], labels=2)
    model.standardise(torch.randn(40, 7) + 1)
    told = storing.Acoustic(model, {"kind": "letters"}, ["^", "a"], 5)
    storing.save_voice(tmp_path / "voice.safetensors", vocoder, told)
    return checkpoint.load(tmp_path / "voice.safetensors")


def test_an_acoustic_model_keeps_what_it_knows_of_units_and_labels(speaking):
    old, new = storing.of_voice(speaking).model, acoustic(["^", "b", "c"], labels=2, seed=2)
    config = dataclasses.replace(speaking.model.config, labels={"speaker": ["bob", "cid"]})
    lines = initial.take_over_acoustic(new, config, {"kind": "letters"}, speaking)
    assert "step 5" in lines[0]
    assert lines[1:] == ["new here: 2 (c, speaker=cid)", "not taken over: 2 (a, speaker=ann)"]
    assert not new.embedding.weight[2].any()
    assert not new.mean.any()
    new.mean.copy_(old.mean)
    new.scale.copy_(old.scale)
    said, before = (
        model.say(["^", "b"], torch.tensor(labels), durations=torch.tensor([2, 5]))
        for model, labels in ((new.eval(), [1.0, 0.0]), (old, [0.0, 1.0]))
    )
    assert torch.equal(said.frames, before.frames)


@pytest.mark.parametrize(
    ("front_end", "units", "changed", "words"),
    [
        ("espeak", ["^"], {}, "reads texts by letters, and this run by espeak"),
        ("letters", ["^"], {"channels": 9}, r"has acoustic\.channels=8, and this run 9"),
        ("letters", ["^"], {"mels": 5}, "makes 4 mel bands, and this run 5"),
    ],
)
def test_an_acoustic_model_that_does_not_fit_is_said_to_begin_anew(front_end, units, changed, words, speaking):
    shape = {"channels": 8, "encoder_layers": 1, "decoder_layers": 1}
    config = AcousticConfig(**(shape | {name: changed[name] for name in changed if name != "mels"}))
    new = AcousticModel(config, units, changed.get("mels", 4))
    before = {name: weights.clone() for name, weights in new.state_dict().items()}
    (line,) = initial.take_over_acoustic(new, speaking.model.config, {"kind": front_end}, speaking)
    assert re.search(words, line)
    assert all(torch.equal(weights, before[name]) for name, weights in new.state_dict().items())


def test_a_network_without_an_acoustic_model_gives_none(small, tmp_path):
    lines = initial.take_over_acoustic(acoustic(["^"]), small, {}, kept(network(small), tmp_path / "x.safetensors"))
    assert lines == [f"the acoustic model begins anew: {tmp_path / 'x.safetensors'} holds none"]


def test_a_voice_takes_the_shape_of_the_acoustic_model(speaking, tmp_path):
    asked = TrainConfig(task="speech", init=str(speaking.path), model=speaking.model.config)
    found = initial.settled(asked, [])
    assert (found.acoustic.channels, found.acoustic.encoder_layers) == (8, 1)
    assert initial.settled(asked, ["acoustic.channels"]).acoustic.channels == AcousticConfig.channels


def test_a_voice_that_was_stopped_goes_on_without_the_other(recordings, tmp_path):
    """Between its acoustic model and its vocoder, which then has still to take over the weights."""
    few, how = tmp_path / "few", {"steps": 6}
    few.mkdir()
    for path in sorted(recordings.iterdir())[:24]:
        shutil.copy(path, few)
    train(speech_settings(few, **how), tmp_path / "old")
    init = shutil.copy(checkpoint.find(tmp_path / "old"), tmp_path / "old.safetensors")
    stop = Stop()
    stop.acoustic_step = lambda step, *_: os.kill(os.getpid(), signal.SIGINT) if step == 2 else None
    result = train(speech_settings(few, **how, init=str(init)), tmp_path / "new", stop)
    assert result.stopped_by == signal.SIGINT
    init.unlink()
    told = Stop()
    train(speech_settings(few, **how, init=str(init), resume=str(tmp_path / "new")), tmp_path / "new", told)
    assert any("starting from the weights of" in line for line in told.lines)
    assert not (tmp_path / "new" / INIT).exists()
    assert not any(line.startswith(("new here", "not taken")) for line in told.lines)
