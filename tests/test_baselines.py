"""The two predictors to beat: against theory, and of parts that are too long to take in whole."""

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from wavenet.audio import mulaw
from wavenet.config import DataConfig
from wavenet.evaluation import baselines
from wavenet.evaluation.baselines import measure_baselines
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import Span, split, spread


def test_the_unigram_reaches_the_entropy():
    p = np.random.default_rng(0).dirichlet(np.full(256, 0.3))
    codes = np.random.default_rng(1).choice(256, size=60_000, p=p).astype(np.uint8)
    entropy = -(p[p > 0] * np.log2(p[p > 0])).sum()
    measured = measure_baselines(codes, [Span(0, 40_000, 0)], [Span(40_000, 60_000, 40_000)])
    assert abs(measured.unigram_bits - entropy) < 0.03


def test_the_linear_predictor_reaches_the_theory():
    """An AR(2) with Laplace noise: entropy of the noise, less the width of the code that each sample falls in."""
    random, scale = np.random.default_rng(0), 0.01
    noise = random.laplace(0, scale, 80_000)
    x = np.zeros(80_000)
    for t in range(2, len(x)):
        x[t] = 1.6 * x[t - 1] - 0.8 * x[t - 2] + noise[t]
    codes = mulaw.encode(torch.from_numpy(x).float())
    widths = np.gradient(mulaw.AMPLITUDES.numpy())[codes.numpy()]
    theory = math.log2(2 * math.e * scale) - np.log2(widths).mean()
    measured = measure_baselines(codes.numpy(), [Span(0, 60_000, 0)], [Span(60_000, 80_000, 60_000)])
    assert abs(measured.linear_bits - theory) < 0.15
    assert measured.linear_bits < measured.unigram_bits - 1


def test_a_constant_or_a_pure_tone_is_no_trouble():
    for sound in (torch.zeros(5000), 0.5 * torch.sin(torch.arange(5000) * 0.3)):
        codes = mulaw.encode(sound).numpy()
        measured = measure_baselines(codes, [Span(0, 4000, 0)], [Span(4000, 5000, 4000)])
        assert 0 <= measured.linear_bits < 5


def test_the_unigram_is_within_a_fiftieth_of_a_bit():
    p = 0.97 ** np.abs(np.arange(256) - 128)
    p /= p.sum()
    codes = np.random.default_rng(4).choice(256, size=300_000, p=p).astype(np.uint8)
    entropy = -(p * np.log2(p)).sum()
    halves = [Span(0, 150_000, 0)], [Span(150_000, 300_000, 0)]
    whole = measure_baselines(codes, *halves)
    assert abs(whole.unigram_bits - entropy) < 0.02
    part = measure_baselines(codes, *halves, most_samples=50_000)
    assert abs(part.unigram_bits - entropy) < 0.02
    assert part.linear_bits == pytest.approx(whole.linear_bits, abs=0.05)
    assert whole.linear_bits > entropy - 0.02  # nothing in the past helps


def test_codes_never_seen_before_are_possible():
    codes = np.concatenate([np.full(1000, 128), np.arange(256)]).astype(np.uint8)
    measured = measure_baselines(codes, [Span(0, 1000, 0)], [Span(1000, 1256, 1000)])
    assert 8 < measured.unigram_bits <= math.log2(1256)  # one count in 1256, with one for each code beforehand
    assert 0 < measured.linear_bits <= 8 - math.log2(baselines.UNIFORM_SHARE)


@pytest.mark.parametrize("samples", [1, 2, 31, 33])
def test_very_short_recordings_are_no_trouble(samples):
    codes = np.random.default_rng(5).integers(0, 256, 6 * samples).astype(np.uint8)
    spans = [Span(start, start + samples, start) for start in range(0, 6 * samples, samples)]
    measured = measure_baselines(codes, spans[:4], spans[4:])
    assert math.isfinite(measured.unigram_bits)
    assert math.isfinite(measured.linear_bits)


def test_a_part_of_the_samples_gives_nearly_what_all_give(tmp_path):
    """The recordings in data/ begin with silence, louder and quieter ones: beginnings alone gave 6.12 and 3.61."""
    config = DataConfig(dir=str(Path(__file__).parents[1] / "data"), cache_dir=str(tmp_path))
    prepared = prepare(config)
    sides = split(prepared, config)
    whole = measure_baselines(prepared.codes, sides.train, sides.valid)
    assert str(whole) == "unigram 7.46, linear predictor 4.44"
    total = sum(span.samples for span in sides.train)
    for share in (0.11, 0.05):
        part = measure_baselines(prepared.codes, sides.train, sides.valid, most_samples=int(share * total))
        assert part.unigram_bits == pytest.approx(whole.unigram_bits, abs=0.1)
        assert part.linear_bits == pytest.approx(whole.linear_bits, abs=0.15)


def test_crops_come_from_all_over_every_recording():
    spans = [Span(0, 1_000_000, 0), Span(1_000_000, 3_000_000, 1_000_000, 1)]
    crops = spread(spans, 1000, 300_000)
    assert 290_000 <= sum(crop.samples for crop in crops) <= 300_000
    starts = np.array([crop.start for crop in crops])
    assert np.diff([0, *starts, 3_000_000]).max() < 21_000  # one of every ten thousand samples
    assert all(crop.origin == (0, 1_000_000)[crop.recording] <= crop.start for crop in crops)
    assert len(np.unique(starts % 10_000)) > 5  # at no rhythm
    assert spread(spans, 1000, 300_000) == crops
    everything = spread(spans, 999, 3_000_000)
    assert sum(crop.samples for crop in everything) == 3_000_000
    assert [crop.stop for crop in everything[:-1]] == [crop.start for crop in everything[1:]]
    assert spread([], 1000, 10) == []


def test_pieces_of_a_recording_are_what_the_whole_is(monkeypatch):
    sound = torch.sin(torch.arange(50_000) * 0.05) * torch.linspace(0, 1, 50_000)
    codes = mulaw.encode(sound + 0.01 * torch.randn(50_000, generator=torch.Generator().manual_seed(0))).numpy()
    halves = [Span(0, 30_000, 0)], [Span(30_000, 50_000, 0)]
    pieces = measure_baselines(codes, *halves)
    monkeypatch.setattr(baselines, "CROP", 50_000)
    whole = measure_baselines(codes, *halves)
    assert pieces.unigram_bits == pytest.approx(whole.unigram_bits, abs=1e-9)
    assert pieces.linear_bits == pytest.approx(whole.linear_bits, abs=1e-3)


def test_an_hour_takes_no_more_memory_than_a_minute():
    codes = np.random.default_rng(0).integers(100, 156, 60 * 60 * 16000, dtype=np.uint8)
    halves = [Span(0, len(codes) // 2, 0)], [Span(len(codes) // 2, len(codes), 0)]
    tracemalloc.start()
    measure_baselines(codes, *halves, most_samples=200_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30_000_000
