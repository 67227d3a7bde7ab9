"""The voice that comes with wavenet and speaks; test_shipped.py is about all that come."""

import math

import pytest
import torch

import wavenet


def test_kathleen_speaks_at_once():
    pytest.importorskip("phonemizer", reason="kathleen reads with espeak-ng: pip install 'wavenet[phones]'")
    voice = wavenet.load("kathleen")
    sound = voice.speak("Hello, world!")
    seconds = sound.shape[1] / voice.sample_rate
    assert 0.7 < seconds < 2
    level = 20 * math.log10(float(sound.square().mean().sqrt()))
    assert -35 < level < -10
    spectrum = torch.stft(sound[0], 512, window=torch.hann_window(512), return_complex=True).abs().mean(dim=1)
    assert float(spectrum[:32].mean()) > 5 * float(spectrum[-64:].mean())  # a voice, not noise
