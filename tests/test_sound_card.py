"""wavenet-generate play=true, with a stand-in of the sounddevice package."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from wavenet.config import ModelConfig
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "some.safetensors"
    checkpoint.save(path, WaveNet(ModelConfig(stacks=1, layers_per_stack=3, residual_channels=8)), 8000, 7, 5.0)
    return path


class Card(SimpleNamespace):
    """sounddevice for a card that plays some rates, and its only stream."""

    class PortAudioError(Exception):
        pass

    def __init__(self, *rates: float, breaks: bool = False, gaps: bool = False) -> None:
        super().__init__(rates=rates, breaks=breaks, gaps=gaps, played=[], calls=[], closed=False, rate=0.0)

    def check_output_settings(self, channels: int, dtype: str, samplerate: float) -> None:
        assert (channels, dtype) == (1, "float32")
        if samplerate not in self.rates:
            raise self.PortAudioError("Invalid sample rate")

    def query_devices(self, kind: str) -> dict[str, float]:
        assert kind == "output"
        if not self.rates:
            raise self.PortAudioError("Error querying device -1")
        return {"default_samplerate": self.rates[0]}

    def OutputStream(self, samplerate: float, channels: int, dtype: str, latency: float) -> "Card":  # noqa: N802
        self.check_output_settings(channels, dtype, samplerate)
        self.rate = samplerate
        return self

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def abort(self) -> None:
        self.calls.append("abort")

    def close(self) -> None:
        self.closed = True

    def write(self, samples: np.ndarray) -> bool:
        assert samples.dtype == np.float32
        assert samples.shape[1] == 1
        if self.breaks:
            raise self.PortAudioError("Device unavailable")
        self.played.append(samples[:, 0].copy())
        return self.gaps

    @property
    def sound(self) -> np.ndarray:
        return np.concatenate(self.played)


@pytest.fixture
def generate(call, network, monkeypatch):
    def run(module, *settings: str) -> tuple[int, str, str]:
        monkeypatch.setitem(sys.modules, "sounddevice", module)
        quick = ["engine=cached", "seconds=0.5", "output=made.wav", "play=true"]
        return call("generate", f"checkpoint={network}", *quick, *settings)

    return run


def test_what_is_played_is_what_is_written(generate):
    card = Card(8000)
    code, said, error = generate(card)
    assert code == 0, error
    written, _ = soundfile.read("made.wav", dtype="int16")
    assert (np.clip(np.rint(card.sound * 32768), -32768, 32767) == written).all()
    assert (card.calls, card.closed) == (["start", "stop"], True)
    assert "ran out of sound" not in said


def test_a_kept_prime_is_heard_too(generate, tmp_path):
    soundfile.write(tmp_path / "prime.wav", np.full(800, 0.25), 8000)
    card = Card(8000)
    assert generate(card, "prime=prime.wav", "keep_prime=true")[0] == 0
    assert len(card.sound) == 4800
    assert np.allclose(card.sound[:800], 0.25, atol=0.01)


def test_a_card_of_another_rate_gets_that_rate(generate):
    card = Card(44100)
    assert generate(card)[0] == 0
    assert card.rate == 44100
    assert abs(len(card.sound) - 22050) <= 2


def test_gaps_are_told(generate):
    code, said, _ = generate(Card(8000, gaps=True))
    assert code == 0
    assert "warning: the sound card ran out of sound 5 times" in said


@pytest.mark.parametrize(
    ("module", "settings", "words"),
    [
        (None, [], "play is true, but that needs sounddevice: pip install 'wavenet[play]'"),
        (
            Card(),
            [],
            "no sound card can be played here (Error querying device -1): leave play out, or pipe the sound on",
        ),
        (Card(8000, breaks=True), [], "the sound card stopped playing (Device unavailable)"),
        (Card(8000), ["count=2", "output=generated"], "count is 2, but it must be 1 if play is true"),
    ],
    ids=["no extra", "no card", "unplugged", "two sounds"],
)
def test_what_cannot_be_played_is_said(generate, module, settings, words):
    code, _, error = generate(module, *settings)
    assert code in (1, 2)
    assert words in error
    assert error.count("\n") == 1
    assert module is None or module.calls in ([], ["start", "abort"])
