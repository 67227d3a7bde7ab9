"""Frames of features: where they lie, what they say of sounds that are known, and arrays that do not fit."""

import math

import numpy as np
import pytest
import torch

from wavenet.audio import features, mulaw
from wavenet.config import FeatureConfig
from wavenet.errors import AudioError, ConfigError

RATE = 16000


def frames(sound: torch.Tensor, path, rate: int = RATE, **settings) -> np.ndarray:
    return features.frames(mulaw.encode(sound).numpy(), FeatureConfig(**settings), rate, path)


def tone(hertz: float, samples: int, rate: int = RATE) -> torch.Tensor:
    t = torch.arange(samples) / rate
    return 0.2 * (torch.sin(2 * math.pi * hertz * t) + torch.sin(4 * math.pi * hertz * t) / 2)


@pytest.mark.parametrize("samples", [1, 79, 80, 81, 799, 800, 801, 12345])
@pytest.mark.parametrize("kinds", [["mel"], ["pitch"], ["mel", "pitch"]])
def test_there_is_a_frame_for_every_hop_that_has_begun(samples, kinds, tmp_path):
    found = frames(torch.randn(samples) * 0.1, tmp_path, kinds=kinds, hop=80, mels=20)
    assert found.shape == (math.ceil(samples / 80), FeatureConfig(kinds=kinds, mels=20).channels)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@pytest.mark.parametrize("kinds", [["mel"], ["pitch"]])
@pytest.mark.parametrize("position", [0, 37, 640, 1600, 3999])
def test_a_click_is_loudest_in_the_frame_that_holds_it(kinds, position, tmp_path):
    sound = torch.zeros(4000)
    sound[position] = 1.0
    found = frames(sound, tmp_path, kinds=kinds, hop=80, window=160, mels=20)
    energy = found.mean(axis=1) if kinds == ["mel"] else np.abs(found[:, 2] - found[:, 2].max() < 1e-3)
    if kinds == ["mel"]:
        assert abs(int(energy.argmax()) - position // 80) <= (1 if 30 <= position % 80 < 50 else 0) + (
            position % 80 != 40
        )
    else:  # three periods of 60 Hz around it hear it
        assert energy[position // 80]


def test_frames_move_with_the_sound(tmp_path):
    torch.manual_seed(0)
    sound = torch.randn(8000) * 0.1
    whole = frames(sound, tmp_path, kinds=["mel"], hop=80, window=320)
    moved = frames(torch.cat([torch.zeros(400), sound]), tmp_path, kinds=["mel"], hop=80, window=320)
    np.testing.assert_allclose(moved[10:100], whole[5:95], atol=1e-3)


def test_chunks_of_frames_are_parts_of_the_whole(tmp_path, monkeypatch):
    sound = torch.randn(20000) * 0.1
    whole = frames(sound, tmp_path, kinds=["mel", "pitch"], hop=50)
    monkeypatch.setattr(features, "CHUNK", 7)
    np.testing.assert_allclose(frames(sound, tmp_path, kinds=["mel", "pitch"], hop=50), whole, atol=1e-3)


@pytest.mark.parametrize("hertz", [80, 155, 220, 440])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_pitch_of_a_tone(hertz, rate, tmp_path):
    found = frames(tone(hertz, rate, rate), tmp_path, rate, kinds=["pitch"], hop=80)[10:-10]
    assert (found[:, 1] == 1).all()
    cents = 1200 * (found[:, 0] - math.log2(hertz / 100))
    assert np.abs(cents).max() < 15
    np.testing.assert_allclose(found[:, 2], found[:, 2].mean(), atol=0.05)


def test_noise_and_silence_have_no_pitch(tmp_path):
    torch.manual_seed(0)
    noise = frames(torch.randn(RATE) * 0.1, tmp_path, kinds=["pitch"], hop=80)
    assert noise[:, 1].mean() < 0.05
    assert (noise[noise[:, 1] == 0, 0] == 0).all()
    assert not frames(torch.zeros(RATE), tmp_path, kinds=["pitch"], hop=80)[:, 1].any()


def test_mel_of_a_tone_is_highest_at_its_band(tmp_path):
    low, high = (
        frames(tone(hertz, RATE), tmp_path, kinds=["mel"], mels=40)[20:-20].mean(axis=0) for hertz in (300, 2000)
    )
    assert low.argmax() < high.argmax()
    assert high.max() - np.median(high) > 3


@pytest.mark.parametrize("rate", [None, 50.0, 93.75, 400.0])
def test_an_array_beside_the_file_is_brought_to_the_hop(rate, tmp_path):
    samples, hop = 16000, 128
    count = round(samples / RATE * (rate or RATE / hop))
    seconds = (np.arange(count) + 0.5) / (rate or RATE / hop)
    np.save(tmp_path / "a.npy", np.stack([seconds, -seconds], axis=1))
    config = FeatureConfig(kinds=["file"], hop=hop, frame_rate=rate, columns=2)
    found = features.frames(np.zeros(samples, np.uint8), config, RATE, tmp_path / "a.wav")
    assert found.shape == (125, 2)
    centres = (np.arange(125) + 0.5) * hop / RATE
    inside = (centres > seconds[0]) & (centres < seconds[-1])
    np.testing.assert_allclose(found[inside, 0], centres[inside], atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.full((100, 2), 1e300), "not finite in float32"),
        (np.full((100, 2), 1j), "must be an array of numbers"),
        (None, "does not exist"),
        (np.zeros((110, 2)), "a.npy has 110 frames, but a.wav lasts 1.000 s, which is 125.0 frames at 125 per second"),
        (np.zeros((140, 2)), "has 140 frames"),
        (np.zeros((120, 2)), "has 120 frames"),
        (np.zeros((130, 2)), "has 130 frames"),
        (np.zeros((125, 3)), "3 numbers per row, but 2 are needed"),
        (np.zeros(125), "must be an array of numbers"),
        (np.zeros((0, 2)), "must be an array of numbers"),
        (np.full((125, 2), np.nan), "not finite"),
        (np.full((125, 2), "x"), "must be an array of numbers"),
        (b"PK not an array", "not a .npy array"),
    ],
)
def test_arrays_that_do_not_fit_are_named(rows, said, tmp_path):
    if isinstance(rows, bytes):
        (tmp_path / "a.npy").write_bytes(rows)
    elif rows is not None:
        np.save(tmp_path / "a.npy", rows)
    config = FeatureConfig(kinds=["file"], columns=2)
    with pytest.raises(AudioError, match="a.npy.*" + said if not said.startswith("a.npy") else said):
        features.frames(np.zeros(16000, np.uint8), config, RATE, tmp_path / "a.wav")


def test_strides_must_multiply_to_the_hop():
    assert FeatureConfig(hop=300).stages == [15, 10, 2]
    assert FeatureConfig(hop=80, strides=[4, 20]).stages == [4, 20]
    with pytest.raises(
        ConfigError, match=r"model.features.strides is \[3, 5\].*product is model.features.hop / hold, 80"
    ):
        FeatureConfig(hop=80, strides=[3, 5])
    assert FeatureConfig(hop=80, hold=8).stages == [10]
    with pytest.raises(ConfigError, match=r"model.features.hold is 3, but it must be a divisor of the hop, 80"):
        FeatureConfig(hop=80, hold=3)
    with pytest.raises(ConfigError, match="one of mel, pitch, file"):
        FeatureConfig(kinds=["mfcc"])
