"""Windows: every sample scored once, with its own past, never across files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavenet.audio.mulaw import ZERO
from wavenet.config import DataConfig
from wavenet.model.distributions import IGNORED
from wavenet.recordings.preparation import Prepared, Recording
from wavenet.recordings.split import Span, split
from wavenet.recordings.windows import Windows, shuffled


def prepared(lengths: dict[str, int], folder: Path = Path("nowhere")) -> Prepared:
    """Recordings whose codes rise by one per sample, each from a number of its own."""
    starts = np.cumsum([0, *lengths.values()])
    codes = np.concatenate([(np.arange(n) + 37 * i) % 256 for i, n in enumerate(lengths.values())]).astype(np.uint8)
    entries = [Recording(name, int(start), n) for (name, n), start in zip(lengths.items(), starts[:-1], strict=True)]
    return Prepared(folder, 16000, codes, entries, [], folder)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=8), st.integers(1, 100), st.integers(1, 60))
def test_each_sample_is_scored_once_with_its_own_past(lengths, crop, field):
    data = prepared({str(i): n for i, n in enumerate(lengths)})
    spans = [Span(r.start, r.start + r.samples, r.start) for r in data.recordings]
    windows = Windows(data.codes, spans, crop, field)
    assert windows.samples == sum(lengths)
    padded = [np.concatenate([np.full(field, ZERO), data.codes[s.start : s.stop]]) for s in spans]
    expected = sorted(tuple(p[i : i + field + 1]) for p in padded for i in range(len(p) - field))
    seen = []
    for index in range(len(windows)):
        row, targets = (tensor.numpy() for tensor in windows[index])
        assert len(targets) == len(row) - field
        assert np.sum(targets != IGNORED) <= crop
        for i in np.flatnonzero(targets != IGNORED):
            assert targets[i] == row[i + field]
            seen.append(tuple(row[i : i + field + 1]))
    assert sorted(seen) == expected


def test_short_recordings_share_an_item():
    data = prepared({str(i): 100 for i in range(20)})
    spans = [Span(r.start, r.start + r.samples, r.start) for r in data.recordings]
    windows = Windows(data.codes, spans, 1000, 10)
    assert len(windows) == 2
    assert [int((windows[i][1] != IGNORED).sum()) for i in range(2)] == [1000, 1000]


def test_batches_are_padded_with_what_is_not_scored():
    data = prepared({"a": 3000, "b": 2100})
    spans = [Span(r.start, r.start + r.samples, r.start) for r in data.recordings]
    windows = Windows(data.codes, spans, 4096, 16)
    batch = windows.batch([0, 1])
    assert batch.codes.shape == (2, 3072 + 16)
    assert batch.targets.shape == (2, 3072)
    assert batch.pieces == [[], []]
    assert (batch.targets != IGNORED).sum(dim=1).tolist() == [3000, 2100]


@pytest.mark.parametrize("crop", [1, 500, 1024, 1100, 2047, 4097, 8192, 16000])
def test_a_whole_window_is_computed_without_padding(crop):
    """crop=1100 once computed 2048 samples."""
    data = prepared({"a": 3 * crop})
    windows = Windows(data.codes, [Span(0, 3 * crop, 0)], crop, 16)
    for index in range(3):
        assert crop <= windows.batch([index]).targets.shape[1] <= crop + crop // 1024


def test_windows_of_any_length_are_computed_in_few_shapes():
    lengths = {str(n): n for n in range(600, 1101)}
    data = prepared(lengths)
    windows = Windows(data.codes, [Span(r.start, r.start + r.samples, r.start) for r in data.recordings], 1100, 16)
    assert {windows.batch([index]).targets.shape[1] for index in range(len(windows))} == {1100}


def test_the_order_is_a_function_of_seed_and_epoch():
    orders = [tuple(shuffled(100, seed, epoch).tolist()) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len(set(orders)) == 4
    assert orders[1] == tuple(shuffled(100, 0, 1).tolist())


def test_the_second_part_of_a_cut_recording_hears_the_first():
    data = prepared({"a.wav": 1000})
    sides = split(data, DataConfig(valid_fraction=0.1))
    row, targets = Windows(data.codes, sides.valid, 200, 30)[0]
    assert np.array_equal(row, data.codes[870:])
    assert np.array_equal(targets, data.codes[900:])


def test_nothing_to_score_is_no_items():
    windows = Windows(np.zeros(5, dtype=np.uint8), [], 10, 3)
    assert (len(windows), windows.samples) == (0, 0)
