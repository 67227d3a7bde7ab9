"""The measures of a re-synthesised sound, on sounds whose distance is known."""

import math

import pytest
import torch

from wavenet.evaluation import fidelity

RATE = 16000


def tone(hertz: float, seconds: float = 1.0, amplitude: float = 0.3) -> torch.Tensor:
    t = torch.arange(int(RATE * seconds)) / RATE
    return amplitude * sum(torch.sin(2 * math.pi * hertz * k * t) / k for k in range(1, 6))  # type: ignore[return-value] (no int)


def test_a_sound_is_no_distance_from_itself():
    found = fidelity.compare(tone(150), tone(150), RATE)
    assert found["log_spectral_distance"] == found["stft_distance"] == found["f0_error"] == found["voicing_error"] == 0


def test_twice_as_loud_is_six_decibels():
    torch.manual_seed(0)
    noise = torch.randn(RATE) * 0.05
    assert fidelity.log_spectral_distance(noise, 2 * noise) == pytest.approx(6.02, abs=0.15)


@pytest.mark.parametrize("ratio", [1.01, 1.2])
def test_a_shifted_pitch_is_told_in_cents(ratio):
    error, voicing = fidelity.pitch_errors(tone(150), tone(150 * ratio), RATE)
    assert error == pytest.approx(1200 * math.log2(ratio), rel=0.05)
    assert voicing < 0.03


def test_silence_for_a_voice_is_a_voicing_error():
    error, voicing = fidelity.pitch_errors(tone(150), torch.zeros(RATE), RATE)
    assert error is None
    assert voicing > 0.95


def test_distances_grow_with_noise():
    torch.manual_seed(0)
    clean, noise = tone(150), torch.randn(RATE)
    distances = [
        (fidelity.log_spectral_distance(clean, clean + s * noise), fidelity.stft_distance(clean, clean + s * noise))
        for s in (0.001, 0.01, 0.1)
    ]
    assert distances == sorted(distances)
    assert len(set(distances)) == 3


def test_sounds_too_short_for_a_window_are_compared_all_the_same():
    found = fidelity.compare(tone(200, 0.01), tone(200, 0.01), RATE)
    assert found["log_spectral_distance"] == 0
    assert found["stoi"] is None


def test_listeners_hear_noise():
    pytest.importorskip("pesq", reason="the fidelity extra is not installed")
    pytest.importorskip("pystoi", reason="the fidelity extra is not installed")
    torch.manual_seed(0)
    speech = tone(150, 2) * (torch.sin(torch.arange(2 * RATE) / RATE * 20) > 0)
    clean = fidelity.compare(speech, speech, RATE)
    noisy = fidelity.compare(speech, speech + 0.1 * torch.randn(2 * RATE), RATE)
    assert clean["stoi"] == pytest.approx(1, abs=1e-3)
    assert noisy["stoi"] < clean["stoi"]  # type: ignore[operator] (there are both)
    assert clean["pesq"] is not None
    assert noisy["pesq"] is not None
    assert noisy["pesq"] < clean["pesq"]


def test_pitch_errors_of_parts_are_those_of_the_whole(monkeypatch):
    made, noise = tone(220) + tone(330, amplitude=0.1), torch.randn(16000, generator=torch.Generator().manual_seed(0))
    whole = fidelity.pitch_errors(tone(200), made + 0.05 * noise, 16000)
    monkeypatch.setattr("wavenet.audio.features.CHUNK", 7)
    assert fidelity.pitch_errors(tone(200), made + 0.05 * noise, 16000) == pytest.approx(whole, rel=1e-5)
