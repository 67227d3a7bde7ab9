"""What a resumed run may be given: each setting applies or is refused, and recordings that changed are said."""

import copy
import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from test_processes import RATE, folder, settings
from test_training import Stop

from wavenet import evaluation
from wavenet.config import OptimConfig, TrainConfig
from wavenet.errors import AudioError, CheckpointError, ConfigError
from wavenet.model import checkpoint
from wavenet.recordings.annotations import Annotations
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import split
from wavenet.recordings.windows import Windows
from wavenet.training import data, learner, metrics, resuming, train, validation
from wavenet.training.saving import Checkpoints

__all__ = ["folder"]  # a fixture
LEAVES = checkpoint.settings(TrainConfig, {}, Path())


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr(metrics.RunLog, "curves", lambda *_: None)


@pytest.fixture(scope="module")
def begun(folder, tmp_path_factory):
    """A run that was stopped at its third step of six, and its settings."""
    config = settings(folder, steps=6, optim=OptimConfig(lr=0.01, warmup_steps=2))
    run = tmp_path_factory.mktemp("begun") / "run"
    train(config, run, Stop(at=3))
    return run, config


def changed(config: TrainConfig, name: str, value) -> TrainConfig:
    config = copy.deepcopy(config)
    *folders, last = name.split(".")
    place = config
    for part in folders:
        place = getattr(place, part)
    setattr(place, last, value)
    return config


def other(value):
    if isinstance(value, int | float):
        return value + 1
    return {str: "x", list: [1, 2], dict: {"x": ["y"]}, type(None): "x"}[type(value)]


def weights(run: Path) -> torch.Tensor:
    stored = checkpoint.load_state(run)
    return torch.cat([tensor.flatten() for part in ("model", "averaged") for tensor in stored[part].values()])


# ---- the table


def test_every_setting_is_decided():
    """A new one fails here until somebody has thought about it, and is refused meanwhile."""
    refused = {name for name in LEAVES if any(f"{name}.".startswith(f"{part}.") for part in resuming.REFUSED)}
    assert set(LEAVES) >= resuming.APPLIED
    assert refused | resuming.APPLIED == set(LEAVES)
    assert refused & resuming.APPLIED == {"model.recognition.weight", "model.fused"}
    assert all(any(f"{name}.".startswith(f"{part}.") for name in LEAVES) for part in resuming.REFUSED)
    assert resuming.refusal("a.setting.to.come") is not None


@pytest.mark.parametrize("name", [name for name in LEAVES if name not in resuming.TOLD])
def test_each_setting_applies_or_is_refused_by_name(begun, name):
    run, config = begun
    config, stored = dataclasses.replace(copy.deepcopy(config), resume=str(run)), checkpoint.load_state(run)
    resuming.check_settings(stored, config)
    before = checkpoint.settings(TrainConfig, dataclasses.asdict(config), run)[name]
    config = changed(config, name, other(before))
    if resuming.refusal(name) is None:
        resuming.check_settings(stored, config)
        return
    with pytest.raises(CheckpointError) as caught:
        resuming.check_settings(stored, config)
    said = (
        f"{run} cannot continue: {name} is {before!r} there, {other(before)!r} here ({resuming.refusal(name)}); leave"
    )
    assert str(caught.value).startswith(said)


EFFECTS = {
    "optim.lr": 0.005,
    "optim.adamw_lr": 0.002,
    "optim.weight_decay": 0.9,
    "optim.momentum": 0.5,
    "optim.betas": [0.5, 0.6],
    "optim.schedule": "constant",
    "optim.warmup_steps": 50,
    "optim.final_lr_ratio": 0.5,
    "optim.clip_norm": 0.01,
    "optim.ema_decay": 0.5,
    "model.recognition.weight": 3.0,
    "steps": 7,
    "batch_size": 2,
    "crop": 400,
    "accumulate": 2,
    "label_dropout": 1.0,
    "seed": 3,
    "precision": "bfloat16",
}


@pytest.fixture(scope="module")
def unchanged(begun, tmp_path_factory):
    run, config = begun
    there = tmp_path_factory.mktemp("unchanged") / "run"
    train(dataclasses.replace(copy.deepcopy(config), resume=str(run)), there)
    return weights(there)


@pytest.mark.parametrize("name", EFFECTS)
def test_what_applies_has_an_effect_and_is_what_config_yaml_says(begun, unchanged, tmp_path, name):
    run, config = begun
    config = changed(config, name, EFFECTS[name])
    config.resume = str(run)
    train(config, tmp_path / "run")
    assert not torch.equal(weights(tmp_path / "run"), unchanged)
    said = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    for part in name.split("."):
        said = said[part]
    assert said == EFFECTS[name]


def test_optimizers_go_on_with_what_is_given_and_what_they_gathered(begun, tmp_path):
    run, config = begun
    config = copy.deepcopy(config)
    config.resume, config.steps = str(run), 4
    config.optim = OptimConfig(lr=0.03, adamw_lr=0.001, weight_decay=0.2, momentum=0.8, betas=[0.7, 0.8])
    train(config, tmp_path / "run")
    muon, adamw = checkpoint.load_state(tmp_path / "run")["optimizers"]
    for group in muon["param_groups"]:
        assert (group["peak_lr"], group["weight_decay"], group["momentum"]) == (0.03, 0.2, 0.8)
    assert muon["param_groups"][-1]["side_by_side"] == 4
    (group,) = adamw["param_groups"]
    assert (group["peak_lr"], group["weight_decay"], list(group["betas"])) == (0.001, 0, [0.7, 0.8])
    assert all(moments["step"] == 4 for moments in adamw["state"].values())


# ---- recordings that changed


def rewrite(folder: Path, change) -> None:
    table = folder / "metadata.csv"
    table.write_text("\n".join(change(table.read_text().splitlines())) + "\n")


@pytest.fixture
def copied(begun, tmp_path):
    """The run, and its settings with a folder of its own."""
    run, config = begun
    config = copy.deepcopy(config)
    shutil.copytree(config.data.dir, tmp_path / "folder")
    config.data.dir, config.resume = str(tmp_path / "folder"), str(run)
    return run, config, tmp_path / "folder"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda rows: [*rows[:-1], "19.wav,valid,new"],
            "have speaker 'new', which .* was not trained with: remove them",
        ),
        (
            lambda rows: [row.replace(",2", ",1") for row in rows],
            "has speaker '2', which .* was trained with: put some",
        ),
    ],
)
def test_a_new_or_a_missing_speaker_is_named(copied, tmp_path, change, said):
    _, config, folder = copied
    rewrite(folder, change)
    with pytest.raises(CheckpointError, match=said) as caught:
        train(config, tmp_path / "run")
    assert "leave the setting out" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_new_and_missing_phones_are_named(copied, tmp_path):
    _, config, folder = copied
    phones = (folder / "phones.csv").read_text()
    (folder / "phones.csv").write_text(phones + "00.wav,0,40,click\n")
    with pytest.raises(CheckpointError, match=r"have phone 'click', which .* was not trained with"):
        train(config, tmp_path / "run")
    (folder / "phones.csv").write_text(phones.replace(",a\n", ",b\n"))
    with pytest.raises(CheckpointError, match=r"has phone 'a', which .* was trained with"):
        train(config, tmp_path / "run")
    config.data.frames = None
    with pytest.raises(CheckpointError, match=r"data\.frames is 'phones\.csv' there, None here"):
        train(config, tmp_path / "run")


def test_a_folder_that_was_moved_is_asked_for(copied, tmp_path):
    _, config, folder = copied
    folder.rename(tmp_path / "moved")
    with pytest.raises(AudioError, match=rf"{folder} does not exist; if it was moved, give its new place: data\.dir="):
        train(config, tmp_path / "run")


def test_settings_are_refused_before_recordings_are_read(copied, tmp_path, monkeypatch):
    _, config, _ = copied
    monkeypatch.setattr(data, "prepare", lambda *_: pytest.fail("that can take hours"))
    config.data.sample_rate = RATE // 2
    with pytest.raises(CheckpointError, match=r"cannot continue: data\.sample_rate is"):
        train(config, tmp_path / "run")


def test_recordings_that_are_as_many_but_others_are_said(copied, tmp_path):
    _, config, folder = copied
    (folder / "00.wav").rename(folder / "new.wav")
    rewrite(folder, lambda rows: [row.replace("00.wav", "new.wav") for row in rows])
    reporter = Stop()
    train(config, tmp_path / "run", reporter)
    said = "warning: the recordings have changed since the run was saved: as many, with other names or lengths"
    assert said in reporter.lines


def validation_bits(path: Path, config: TrainConfig) -> float:
    """Of a checkpoint on all that a folder holds out."""
    loaded, prepared = checkpoint.load(path), prepare(config.data)
    known = Annotations(prepared, loaded.model.config)
    spans = split(prepared, config.data).valid
    windows = Windows(prepared.codes, spans, config.crop, loaded.model.receptive_field, known)
    score = evaluation.score(loaded.model, windows)
    return score.bits / score.samples


def test_the_best_is_measured_anew_where_the_folder_grew(copied, tmp_path):
    """And chosen by that: what was best on one recording need not be on three."""
    _, config, folder = copied
    config.steps, config.resume = 3, None
    train(config, tmp_path / "run")
    before = checkpoint.load_state(tmp_path / "run")
    for name in ("a.wav", "b.wav"):  # of another kind
        soundfile.write(folder / name, np.random.default_rng(0).uniform(-1, 1, 1900), RATE)
    rewrite(folder, lambda rows: [*rows, "a.wav,valid,1", "b.wav,train,1"])
    worse = OptimConfig(lr=1e3, adamw_lr=1e3, warmup_steps=0, schedule="constant", ema_decay=0)
    config = dataclasses.replace(config, steps=4, resume=str(tmp_path / "run"), optim=worse)
    reporter = Stop()
    result = train(config, tmp_path / "run", reporter)
    best = tmp_path / "run" / "checkpoints" / "best.safetensors"
    anew = validation_bits(best, config)
    assert (result.best_step, checkpoint.load(best).step) == (3, 3)
    assert result.bits_per_sample == checkpoint.load(best).valid_bits == pytest.approx(anew, abs=1e-6)
    assert abs(anew - before["best_bits"]) > 1e-3
    said = f"step 3, measured again: {anew:.3f} bits per sample on what is held out now, {before['best_bits']:.3f} on"
    assert any(said in line for line in reporter.lines)
    (grown,) = [line for line in reporter.lines if "recordings have changed" in line]
    assert grown.startswith(
        "warning: the recordings have changed since the run was saved: 20 of 0.1 minutes then, 22 of"
    )
    state_after = checkpoint.load_state(tmp_path / "run")
    assert state_after["best_bits"] == pytest.approx(anew, abs=1e-6)
    assert state_after["recordings"]["count"] == 22


def test_the_same_recordings_elsewhere_change_nothing(copied, unchanged, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoints, "best", lambda *_: pytest.fail("it need not be measured"))
    reporter = Stop()
    train(copied[1], tmp_path / "run", reporter)
    assert torch.equal(weights(tmp_path / "run"), unchanged)
    assert not any("recordings are not" in line for line in reporter.lines)


def test_a_state_of_an_older_version_resumes(begun, unchanged, tmp_path):
    """One that knows nothing of what was added since."""
    run, config = begun
    shutil.copytree(run, tmp_path / "run")
    stored = checkpoint.load_state(tmp_path / "run")
    for name in ("best_on", "valid_step", "finished", "recordings"):
        del stored[name]
    checkpoint.save_state(tmp_path / "run" / "checkpoints" / "last.state", stored)
    train(dataclasses.replace(copy.deepcopy(config), resume=str(tmp_path / "run")), tmp_path / "run")
    assert torch.equal(weights(tmp_path / "run"), unchanged)


# ---- the end of a run


def test_the_last_step_is_saved_before_it_is_measured(begun, unchanged, tmp_path, monkeypatch):
    """A kill between costs nothing: resuming measures, and no more."""
    run, config = begun
    config = dataclasses.replace(copy.deepcopy(config), resume=str(run))

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(validation.Validation, "finish", kill)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run")
    assert checkpoint.load_state(tmp_path / "run")["step"] == 6
    config.resume = str(tmp_path / "run")
    result = train(config, tmp_path / "run")
    assert (result.steps, result.best_step) == (6, 6)
    assert torch.equal(weights(tmp_path / "run"), unchanged)
    with pytest.raises(ConfigError, match="is at step 6 of 6"):
        train(config, tmp_path / "run")


def test_the_figures_belong_to_the_checkpoint_that_is_named(folder, tmp_path):
    """Though the last step is worse: bits of the best one, on the whole validation part."""
    config = settings(folder, steps=4, validate_every=2, validate_seconds=0.05, crop=200)
    config.optim = OptimConfig(lr=0.01, warmup_steps=0, schedule="constant", ema_decay=0)
    rewritten = tmp_path / "folder"
    shutil.copytree(folder, rewritten)
    rewrite(rewritten, lambda rows: [row.replace("train", "valid") if row < "06" else row for row in rows])
    config.data.dir = str(rewritten)
    worsen = learner.learning_rate_factor
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "learning_rate_factor", lambda step, *_: worsen(step, *_) * (1 if step < 2 else 1e3))
        result = train(config, tmp_path / "run")
    assert (result.steps, result.best_step) == (4, 2)
    assert checkpoint.load(result.checkpoint).step == 2
    expected = validation_bits(result.checkpoint, config)
    assert result.bits_per_sample == checkpoint.load(result.checkpoint).valid_bits == pytest.approx(expected, abs=1e-6)
    last = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert last.valid_bits > result.bits_per_sample + 0.1
    assert last.valid_bits == pytest.approx(validation_bits(last.path, config), abs=1e-6)


def test_weights_that_were_not_measured_say_no_bits(folder, tmp_path):
    """The last checkpoint of a run that was stopped between two validations."""
    result = train(settings(folder, validate_every=2), tmp_path / "run", Stop(at=3))
    assert checkpoint.load(tmp_path / "run" / "checkpoints" / "last.safetensors").valid_bits is None
    assert result.bits_per_sample == checkpoint.load(result.checkpoint).valid_bits
    assert checkpoint.load(result.checkpoint).step == 2
