"""Bits per sample: parallel equals step by step equals the definition."""

import numpy as np
import pytest
import torch

from wavenet import evaluation
from wavenet.generation import CachedEngine, NaiveEngine
from wavenet.model.distributions import Softmax
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.split import Span
from wavenet.recordings.windows import Windows


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
