"""Exported networks from the command line."""

import json
from pathlib import Path

import pytest
import soundfile
import torch

from wavenet.config import ModelConfig
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "some.safetensors"
    checkpoint.save(path, WaveNet(ModelConfig(stacks=1, layers_per_stack=5, residual_channels=20)), 8000, 7, 5.0)
    return path


@pytest.fixture
def exported(call, trained) -> Path:
    path = trained.with_name("some.wavenet")
    if not path.exists():
        status, _, error = call("export", f"checkpoint={trained}", f"output={path}", f"report={path}.json")
        assert status == 0, error
    return path


def test_export_reports(exported):
    report = json.loads(Path(f"{exported}.json").read_text())
    assert report == {"file": str(exported), "bytes": exported.stat().st_size, "precision": "int8"}


def test_exported_network_makes_the_checkpoints_sounds(call, trained, exported, tmp_path):
    for source, folder in ((trained, "a"), (exported, "b")):
        code, _, error = call("generate", f"checkpoint={source}", f"output={tmp_path / folder}", "seconds=0.2")
        assert code == 0, error
    first, second = (soundfile.read(tmp_path / folder / "seed_0.wav", dtype="int16") for folder in "ab")
    assert first[1] == second[1] == 8000
    assert (first[0] == second[0]).all()


def test_what_an_exported_network_cannot_do_is_said(call, exported, tmp_path):
    for setting, words in (("engine=naive", "only compiled"), ("precision=float32", "exported in int8")):
        code, _, error = call("generate", f"checkpoint={exported}", f"output={tmp_path}", setting)
        assert code == 1
        assert words in error
        assert error.count("\n") == 1


def test_a_damaged_file_is_named(call, exported, tmp_path):
    broken = tmp_path / "broken.wavenet"
    broken.write_bytes(exported.read_bytes()[:-100])
    code, _, error = call("generate", f"checkpoint={broken}", f"output={tmp_path}")
    assert code == 1
    assert str(broken) in error
    assert "checksum" in error
