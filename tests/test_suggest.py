"""A name that does not exist is answered by what was meant: other words for it, parts of names, letters."""

import pytest

from wavenet.cli.composing import config_folder, groups
from wavenet.cli.overrides import choices
from wavenet.cli.suggest import SYNONYMS, nearest, unknown
from wavenet.config import CacheConfig, EvaluateConfig, ExportConfig, GenerateConfig, RecogniseConfig, TrainConfig

SCHEMAS = {
    "train": TrainConfig,
    "generate": GenerateConfig,
    "evaluate": EvaluateConfig,
    "recognise": RecogniseConfig,
    "export": ExportConfig,
    "cache": CacheConfig,
}


def names(command: str) -> list[str]:
    return choices(SCHEMAS[command], groups(config_folder()) if command == "train" else {})


@pytest.mark.parametrize(
    ("command", "written", "meant"),
    [
        ("train", "data.rate", "data.sample_rate"),
        ("train", "rate", "data.sample_rate"),
        ("train", "model.gate", "model.gate_channels"),
        ("train", "stereo", "data.channel"),
        ("train", "normalize", "data.normalise"),
        ("train", "batch", "batch_size"),
        ("train", "data.batch", "batch_size"),
        ("train", "lr", "optim.lr"),
        ("train", "model.lr", "optim.lr"),
        ("train", "learning-rate", "optim.lr"),
        ("train", "epochs", "steps"),
        ("train", "channels", "model.residual_channels"),
        ("train", "model.channels", "model.residual_channels"),
        ("train", "layers", "model.layers_per_stack"),
        ("train", "gpu", "device"),
        ("train", "out", "run.dir"),
        ("train", "ckpt", "resume"),
        ("train", "skip", "model.skip_channels"),
        ("train", "model.mel", "model.features.mels"),
        ("train", "warmup", "optim.warmup_steps"),
        ("train", "optimizer", "optim"),
        ("train", "num_layers", "model.layers_per_stack"),
        ("train", "n_steps", "steps"),
        ("train", "val", "data.valid_fraction"),
        ("generate", "labels.speaker", "label.NAME"),
        ("generate", "out", "output"),
        ("generate", "ckpt", "checkpoint"),
        ("generate", "model", "checkpoint"),
        ("generate", "temp", "temperature"),
        ("generate", "length", "seconds"),
        ("generate", "speaker", "label.NAME"),
        ("recognise", "sr", "data.sample_rate"),
        # slips of the finger, in the setting and in its section
        ("train", "stepz", "steps"),
        ("train", "optm.lr", "optim.lr"),
        ("train", "model.contxt.channels", "model.context.channels"),
        ("train", "sample_rat", "data.sample_rate"),
    ],
)
def test_what_was_meant(command, written, meant):
    assert nearest(written, names(command)) == [meant]


@pytest.mark.parametrize(
    "written", ["rate", "batch", "model.gate", "optm.lr", "zzz", "data.foo", "voice", "begin", "cut", "export", "heads"]
)
def test_nothing_is_better_than_something_else(written):
    assert nearest(written, names("generate")) == []
    assert unknown(written, names("generate")) == "; --help lists all settings"


def test_a_synonym_that_is_not_there_is_not_suggested():
    assert nearest("stereo", names("train")) == ["data.channel"]
    assert nearest("data.channels", names("train")) == ["data.channel"]
    assert nearest("stereo", [name for name in names("train") if name != "data.channel"]) == []


def test_text_is_told_to_be_unknown_to_all_commands():
    for command in SCHEMAS:
        assert unknown("text", names(command)).startswith("; no command reads text: labels and features tell")


def test_another_word_is_not_a_slip_of_the_finger():
    assert unknown("speed", names("generate")).startswith("; device, threads and precision decide how fast a command")
    assert nearest("sede", names("generate")) == ["seed"]


def test_several_that_fit_equally_are_all_named():
    assert unknown("hop", names("train")) == " (did you mean model.features.hop or model.recognition.hop?)"


def test_synonyms_lead_to_what_there_is():
    there = {name for command in SCHEMAS for name in names(command)}
    assert {meant for choices in SYNONYMS.values() for meant in choices} <= there
