"""Bits per sample: parallel equals step by step equals the definition; the two predictors against theory."""

import math

import numpy as np
import pytest
import torch

from wavenet import distributions, evaluation, mulaw
from wavenet.dataset import Span, Windows
from wavenet.evaluation import Baselines
from wavenet.generation import CachedEngine, NaiveEngine
from wavenet.model import WaveNet


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
        expected += float(distributions.bits(logits, row[None, field:]).sum())
    windows = Windows(codes, spans, 64, field)
    assert evaluation.score(model, windows) == (pytest.approx(expected, rel=1e-5), 217)
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
