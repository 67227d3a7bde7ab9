"""Bits per sample: parallel equals step by step equals the definition; the two predictors against theory."""

import math

import numpy as np
import pytest
import torch

from wavenet import evaluation, mulaw
from wavenet.dataset import Windows
from wavenet.distributions import Softmax
from wavenet.evaluation import Baselines
from wavenet.generation import CachedEngine, NaiveEngine
from wavenet.model import WaveNet
from wavenet.split import Span


def test_all_ways_of_scoring_agree(small):
    model = WaveNet(small).eval()
    codes = np.random.default_rng(0).integers(0, 256, 300).astype(np.uint8)
    spans = [Span(0, 150, 0), Span(150, 157, 150), Span(240, 300, 157)]
    field = model.receptive_field
    expected = 0.0
    for span in spans:
        past = codes[max(span.origin, span.start - field) : span.start]
        row = torch.from_numpy(np.concatenate([np.full(field - len(past), 128), past, codes[span.start : span.stop]]))
        with torch.no_grad():
            logits = model(row[None, :-1].long())
        expected += float(Softmax().bits(logits, row[None, field:]).sum())
    windows = Windows(codes, spans, 64, field)
    bits, samples, own_bits = evaluation.score(model, windows)
    assert bits == own_bits == pytest.approx(expected, rel=1e-5)
    assert samples == 217
    for engine in (CachedEngine(model), NaiveEngine(model)):
        bits, samples = evaluation.score_with_engine(engine, codes, spans)
        assert samples == 217
        assert abs(bits - expected) / samples < 1e-4


def test_the_unigram_reaches_the_entropy():
    p = np.random.default_rng(0).dirichlet(np.full(256, 0.3))
    codes = np.random.default_rng(1).choice(256, size=60_000, p=p).astype(np.uint8)
    entropy = -(p[p > 0] * np.log2(p[p > 0])).sum()
    measured = evaluation.baselines(codes, [Span(0, 40_000, 0)], [Span(40_000, 60_000, 40_000)])
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
    measured = evaluation.baselines(codes.numpy(), [Span(0, 60_000, 0)], [Span(60_000, 80_000, 60_000)])
    assert abs(measured.linear_bits - theory) < 0.15
    assert measured.linear_bits < measured.unigram_bits - 1


def test_a_constant_or_a_pure_tone_is_no_trouble():
    for sound in (torch.zeros(5000), 0.5 * torch.sin(torch.arange(5000) * 0.3)):
        codes = mulaw.encode(sound).numpy()
        measured = evaluation.baselines(codes, [Span(0, 4000, 0)], [Span(4000, 5000, 4000)])
        assert 0 <= measured.linear_bits < 5


def test_verdicts_rise_with_the_model():
    baselines = Baselines(unigram_bits=7.5, linear_bits=4.9)
    said = [baselines.verdict(bits) for bits in (8.0, 7.48, 6.0, 4.8, 3.7)]
    assert [next(w for w in ("no better", "not yet", "a little", "1.2 bits") if w in line) for line in said] == [
        *("no better", "no better", "not yet", "a little", "1.2 bits")
    ]


@pytest.fixture(scope="module")
def ragged():
    """Seventy recordings of 1 to 60 samples, some scored from their middle on: more than are scored side by side."""
    random = np.random.default_rng(3)
    codes = random.integers(0, 256, 3000).astype(np.uint8)
    lengths, start, spans = random.integers(1, 61, 70), 0, []
    for i, length in enumerate(lengths.tolist()):
        spans.append(Span(start + (length // 2 if i % 3 == 0 else 0), start + length, start))
        start += length
    return codes, spans


@pytest.mark.parametrize("engine", [CachedEngine, NaiveEngine])
def test_many_ragged_recordings_score_alike(small, ragged, engine):
    assert len(ragged[1]) > 2 * evaluation.STREAMS
    model = WaveNet(small).eval()
    expected, samples, _ = evaluation.score(model, Windows(*ragged, 64, model.receptive_field))
    bits, heard = evaluation.score_with_engine(engine(model), *ragged)
    assert heard == samples == sum(span.samples for span in ragged[1])
    assert abs(bits - expected) / samples < 1e-4


def test_windows_have_no_influence(small, ragged):
    model = WaveNet(small).eval()
    field = model.receptive_field
    expected, samples, _ = evaluation.score(model, Windows(*ragged, 64, field))
    for crop in (1, 7, 1000):
        windows = Windows(*ragged, crop, field)
        assert evaluation.score(model, windows)[:2] == (pytest.approx(expected, rel=1e-5), samples)
    half = len(windows) // 2
    parts = [evaluation.score(model, windows, items=items) for items in (range(half), range(half, len(windows)))]
    assert sum(part.bits for part in parts) == pytest.approx(expected, rel=1e-5)
    assert sum(part.samples for part in parts) == samples


def test_a_model_that_knows_nothing_has_eight_bits(small, ragged):
    model = WaveNet(small).eval()
    for parameter in model.output.parameters():
        parameter.data.zero_()
    bits, samples, _ = evaluation.score(model, Windows(*ragged, 64, model.receptive_field))
    assert bits / samples == pytest.approx(8, abs=1e-5)


def test_the_unigram_is_within_a_fiftieth_of_a_bit():
    p = 0.97 ** np.abs(np.arange(256) - 128)
    p /= p.sum()
    codes = np.random.default_rng(4).choice(256, size=300_000, p=p).astype(np.uint8)
    entropy = -(p * np.log2(p)).sum()
    halves = [Span(0, 150_000, 0)], [Span(150_000, 300_000, 0)]
    whole = evaluation.baselines(codes, *halves)
    assert abs(whole.unigram_bits - entropy) < 0.02
    part = evaluation.baselines(codes, *halves, most_samples=50_000)
    assert abs(part.unigram_bits - entropy) < 0.02
    assert part.linear_bits == pytest.approx(whole.linear_bits, abs=0.05)
    assert whole.linear_bits > entropy - 0.02  # nothing in the past helps


def test_codes_never_seen_before_are_possible():
    codes = np.concatenate([np.full(1000, 128), np.arange(256)]).astype(np.uint8)
    measured = evaluation.baselines(codes, [Span(0, 1000, 0)], [Span(1000, 1256, 1000)])
    assert 8 < measured.unigram_bits <= math.log2(1256)  # one count in 1256, with one for each code beforehand
    assert 0 < measured.linear_bits <= 8 - math.log2(evaluation.FLOOR)


@pytest.mark.parametrize("samples", [1, 2, 31, 33])
def test_very_short_recordings_are_no_trouble(samples):
    codes = np.random.default_rng(5).integers(0, 256, 6 * samples).astype(np.uint8)
    spans = [Span(start, start + samples, start) for start in range(0, 6 * samples, samples)]
    measured = evaluation.baselines(codes, spans[:4], spans[4:])
    assert math.isfinite(measured.unigram_bits)
    assert math.isfinite(measured.linear_bits)


def test_verdicts_never_worsen_as_bits_fall():
    baselines = Baselines(unigram_bits=7.0, linear_bits=5.0)
    order = ["no better than counting", "not yet a linear", "a little better than a linear", "with noise in it"]

    def rank(bits):
        said = baselines.verdict(bits)
        return 4 if said.endswith("the sound itself") else next(i for i, words in enumerate(order) if words in said)

    ranks = [rank(bits / 100) for bits in range(900, 300, -1)]
    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2, 3, 4}
    edges = (6.96, 6.94, 5.01, 4.99, 4.71, 4.69, 4.01, 3.99)
    assert [rank(bits) for bits in edges] == [0, 1, 1, 2, 2, 3, 3, 4]
