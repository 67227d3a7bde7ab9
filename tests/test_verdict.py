"""Verdicts on sounds whose faults are known: recordings that are tunes or noise, and what a model may make of them."""

import math

import numpy as np
import pytest
import torch

from wavenet.audio import mulaw
from wavenet.evaluation import traits, verdict
from wavenet.evaluation.baselines import Baselines
from wavenet.evaluation.verdict import Recordings, of_bits, of_sound
from wavenet.recordings.split import Span

RATE, SECONDS = 16000, 2
BEFORE_LAST = "near the recordings in level, spectrum, movement"


def tune(seed: int) -> torch.Tensor:
    """Two seconds of notes with six harmonics, each struck and dying away, and a rest now and then."""
    random, notes = np.random.default_rng(seed), []
    t = torch.arange(RATE // 4) / RATE
    for _ in range(4 * SECONDS):
        hertz = 110 * 2 ** (random.integers(0, 24) / 12)
        note = sum(torch.sin(2 * math.pi * hertz * k * t) * torch.exp(-t * (3 + 2 * k)) / k for k in range(1, 7))
        notes.append(0.2 * note * (random.random() > 0.2))
    return torch.cat(notes) + 1e-3 * noise(seed)


def noise(seed: int, seconds: float = SECONDS) -> torch.Tensor:
    return torch.randn(int(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def bursts(seed: int) -> torch.Tensor:
    """Like drums: noise that dies away, eight times a second."""
    t = torch.arange(RATE // 8) / RATE
    return 0.3 * noise(seed) * torch.exp(-t * 30).repeat(8 * SECONDS) + 1e-4 * noise(seed + 1)


def of_spectrum(sound: torch.Tensor, seed: int) -> torch.Tensor:
    """Steady noise with a sound's long-term spectrum, and as loud."""
    shape = torch.stft(sound, 512, window=torch.hann_window(512), return_complex=True).abs().square().mean(dim=1).sqrt()
    made = torch.stft(noise(seed), 512, window=torch.hann_window(512), return_complex=True) * shape[:, None]
    made = torch.istft(made, 512, window=torch.hann_window(512), length=SECONDS * RATE)
    return made * (sound.square().mean() / made.square().mean()).sqrt()


@pytest.fixture(scope="module")
def tunes():
    return Recordings([tune(seed) for seed in range(20)], RATE)


@pytest.fixture(scope="module")
def drums():
    return Recordings([bursts(seed) for seed in range(20)], RATE)


def words(sound: torch.Tensor, recordings: Recordings, *bits: float) -> str:
    judged = of_sound(sound, recordings, *bits)
    assert judged is not None
    return judged.words


def test_what_is_like_the_recordings_is_near_them(tunes, drums):
    assert [words(tune(seed), tunes)[: len(BEFORE_LAST)] for seed in range(20, 24)] == [BEFORE_LAST] * 4
    assert words(tune(24), tunes).endswith("and pitch; words and tunes are not checked")
    assert words(bursts(24), drums).startswith(BEFORE_LAST + ";")  # they have no pitch that could be checked


def test_noise_is_noise_however_near_its_spectrum(tunes, drums):
    """Filtered noise was promised to be "the sound itself", its bits being a whole one below the linear predictor's."""
    assert words(0.3 * noise(1), tunes).startswith("noise: ")
    together = torch.cat([tune(seed) for seed in range(30, 40)])
    filtered = words(of_spectrum(together, 2), tunes, 2.0, 3.0)
    assert filtered.startswith("noise of the recordings' spectrum: ")
    assert filtered.endswith("a pitch in 1% of it (recordings: 98%)")
    assert words(of_spectrum(bursts(30), 3), drums).startswith("noise of the recordings' spectrum: steadier by ")


def test_faults_are_named(tunes):
    assert "steadier by " in words(tune(31) + 0.02 * noise(31), tunes)
    assert words(tune(31) + 0.02 * noise(31), tunes).startswith("more than noise, but not like the recordings: ")
    assert "11 dB quieter" in words(tune(32) / 4, tunes)
    assert words(tune(33) / 1000, tunes).startswith("nearly silent: ")
    assert words(torch.zeros(SECONDS * RATE), tunes).startswith("nearly silent: ")
    half = torch.cat([tune(34)[:RATE], of_spectrum(tune(34), 4)[RATE:]])
    assert words(half, tunes).startswith("noise with some pitch in it: ")
    assert words(tune(35), tunes, 4.0, 3.0).endswith("costs the model 1.0 bits per sample more than recordings do")


def test_too_short_a_sound_is_not_judged(tunes):
    assert of_sound(tune(36)[: RATE // 4], tunes) is None
    assert of_sound(tune(36), Recordings([tune(36)[: RATE // 4]], RATE)) is None


def test_figures_are_what_sounds_are_apart(tunes):
    judged = of_sound(2 * tune(20), tunes, 4.0, 3.0)
    once = of_sound(tune(20), tunes)
    assert judged is not None
    assert once is not None
    assert judged.figures["level"] - once.figures["level"] == pytest.approx(20 * math.log10(2), abs=0.01)
    assert judged.figures["spectrum"] == pytest.approx(once.figures["spectrum"], abs=0.3)
    assert judged.figures["bits"] == 1.0
    assert set(once.figures) == set(verdict.LEAST)


def test_traits_of_known_sounds():
    t = torch.arange(RATE) / RATE
    sine = 0.5 * torch.sin(2 * math.pi * 200 * t)
    found = traits.measure(sine, RATE, traits.loudness(sine, RATE))
    assert found is not None
    assert found.level == pytest.approx(-9.03, abs=0.01)
    assert found.sounding == 1
    assert found.pitched > 0.95
    assert found.spectrum[3:].max() == -traits.LEAST_DB
    assert float(found.movement.max()) < 1
    hiss = 0.1 * noise(0, 1)
    found = traits.measure(hiss, RATE, traits.loudness(hiss, RATE))
    assert found is not None
    assert found.pitched < 0.02
    assert traits.loudness(hiss, RATE) == pytest.approx(-20, abs=1)
    paused = torch.cat([sine, torch.zeros(RATE)])
    found = traits.measure(paused, RATE, traits.loudness(sine, RATE))
    assert found is not None
    assert found.sounding == pytest.approx(0.5, abs=0.02)
    assert found.pitched > 0.9  # of what is no pause


def test_pieces_come_from_all_over_and_are_of_one_length():
    codes = mulaw.encode(torch.linspace(-0.9, 0.9, 100_000)).numpy()
    spans = [Span(start, start + 700, start, i) for i, start in enumerate(range(0, 99_400, 700))]
    pieces = verdict.pieces(codes, spans, 1000)
    assert {len(piece) for piece in pieces} == {1000}
    assert len(pieces) >= 20
    firsts = [float(piece[0]) for piece in pieces]
    assert firsts == sorted(firsts)
    assert max(firsts) > 0.8
    assert [len(piece) for piece in verdict.pieces(codes, spans[:1], 1000)] == [700]


def test_bits_alone_promise_no_sound():
    baselines = Baselines(unigram_bits=7.0, linear_bits=5.0)
    said = [of_bits(bits, baselines) for bits in (7.2, 6.96, 6.94, 5.01, 4.99, 2.5)]
    assert said == [
        *["no better than the unigram: expect noise"] * 2,
        *["better than the unigram, worse than the linear predictor: expect noise"] * 2,
        "0.01 bits better than the linear predictor",
        "2.50 bits better than the linear predictor",
    ]
