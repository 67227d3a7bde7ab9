"""docs/extending.md: its examples run as they stand, and do what the page says of them."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

import wavenet
from wavenet.config import ModelConfig
from wavenet.errors import CheckpointError, ConfigError
from wavenet.model import conditioning, native
from wavenet.model.layers import ResidualBlock
from wavenet.model.wavenet import WaveNet

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run an example in a folder with recordings, and undo what it changed in the package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(ResidualBlock, "gate", ResidualBlock.gate)
    monkeypatch.setattr(conditioning, "SOURCES", conditioning.SOURCES)
    (tmp_path / "sounds").mkdir()
    for name in "abc":
        soundfile.write(tmp_path / "sounds" / f"{name}.wav", np.random.default_rng(0).normal(0, 0.1, 9000), 16000)

    def execute(example: str) -> dict:
        quick = example.replace("steps=20", "steps=2, crop=1024, sample_every=0, threads=1, precision='float32'")
        assert quick != example
        names: dict = {}
        exec(compile(quick, "docs/extending.md", "exec"), names)
        return names

    yield execute
    conditioning.SOURCES.pop("clock", None)


def test_there_are_two_short_examples():
    assert len(EXAMPLES) == 2
    assert all(len(example.splitlines()) < 40 for example in EXAMPLES)


def test_another_gate(run):
    made = run(EXAMPLES[0])
    voice, sound = made["voice"], made["sound"]
    assert sound.shape == (1, 1600)
    assert voice.model.edited == (native.code() is not None)
    with pytest.raises(ConfigError, match="use engine=cached or naive, which run the code itself"):
        voice.generate(0.1, engine="compiled")
    assert (voice.generate(0.02, engine="naive") == sound[:, :320]).all()


def test_another_source_of_conditioning(run):
    made = run(EXAMPLES[1])
    voice, sound = made["voice"], made["sound"]
    assert sound.shape == (1, 1600)
    assert not voice.model.edited
    weights = voice.model.conditioning.sources["clock"].vectors.weight
    assert weights.shape == (16, 64)
    same = [voice.generate(0.05, engine=engine, precision="float32") for engine in ("compiled", "cached", "naive")]
    assert (same[0] == same[1]).all()
    assert (same[0] == same[2]).all()
    weights.data *= 10
    assert (voice.generate(0.05, precision="float32") != same[0]).any()
    with pytest.raises(ConfigError, match="has sources of its own, which an exported file cannot hold"):
        voice.export("x.wavenet")
    conditioning.SOURCES.clear()
    said = r"best\.safetensors has a conditioning source 'clock', which is not registered \(registered: none\)"
    with pytest.raises(CheckpointError, match=said):
        wavenet.load("runs/clock")


def test_a_network_without_sources_tells_older_versions_nothing_of_them():
    assert "sources" not in ModelConfig().shape()
    with pytest.raises(ConfigError, match=r"model\.sources: a conditioning source 'watch', which is not registered"):
        WaveNet(ModelConfig(sources=["watch"]))
