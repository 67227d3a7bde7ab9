"""Windows: every sample scored once, with its own past, never across files; and a split that stays."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavenet.config import DataConfig
from wavenet.dataset import Windows, shuffled
from wavenet.distributions import IGNORED
from wavenet.errors import AudioError
from wavenet.mulaw import ZERO
from wavenet.preparation import Prepared, Recording
from wavenet.split import Span, split


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
    windows = Windows(data.codes, spans, 5000, 16)
    batch = windows.batch([0, 1])
    assert batch.codes.shape == (2, 3072 + 16)
    assert batch.targets.shape == (2, 3072)
    assert batch.pieces == [[], []]
    assert (batch.targets != IGNORED).sum(dim=1).tolist() == [3000, 2100]


def test_a_file_keeps_its_side_when_others_are_added():
    config = DataConfig(valid_fraction=0.2)
    few, many = prepared({f"{i}.wav": 10 for i in range(50)}), prepared({f"{i}.wav": 10 for i in range(400)})
    names = [{few.recordings[span.start // 10].name for span in side} for side in _sides(few, config)]
    more = [{many.recordings[span.start // 10].name for span in side} for side in _sides(many, config)]
    assert names[0] <= more[0]
    assert names[1] <= more[1]
    assert abs(len(more[1]) / 400 - 0.2) < 0.06


def _sides(data, config):
    sides = split(data, config)
    return sides.train, sides.valid


def test_metadata_decides(tmp_path):
    data = prepared({"a.wav": 10, "b.wav": 10, "c/d.wav": 10, "e.wav": 10}, tmp_path)
    table = (
        "file_name,speaker,split\na.wav,x,valid\nb.wav,y,train\nc/d.wav,z,test\ne.wav,x,validation\ngone.wav,x,train\n"
    )
    (tmp_path / "metadata.csv").write_text(table)
    sides = split(data, DataConfig())
    assert [span.start for span in sides.train] == [10]
    assert [span.start for span in sides.valid] == [0, 30]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_name,split\na.wav,maybe\n", "split of a.wav is 'maybe'; it can be train, valid or test"),
        ("name,split\na.wav,train\n", "no file_name column"),
    ],
)
def test_metadata_that_cannot_be_understood(tmp_path, text, said):
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(AudioError, match=said):
        split(prepared({"a.wav": 10}, tmp_path), DataConfig())


def test_one_recording_is_cut_in_two():
    sides = split(prepared({"a.wav": 1000}), DataConfig(valid_fraction=0.1))
    assert sides.train == [Span(0, 900, 0)]
    assert sides.valid == [Span(900, 1000, 0)]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_side_is_left_empty(count):
    sides = split(prepared({f"{i}.wav": 10 for i in range(count)}), DataConfig(valid_fraction=0.01))
    assert sides.train
    assert sides.valid


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


def test_no_validation_when_none_is_wanted():
    for count in (1, 5):
        sides = split(prepared({f"{i}.wav": 10 for i in range(count)}), DataConfig(valid_fraction=0))
        assert (len(sides.train), len(sides.valid)) == (count, 0)


def test_metadata_wins_over_cutting_and_takes_what_spreadsheets_write(tmp_path):
    (tmp_path / "metadata.csv").write_text("\ufefffile_name,split\r\na.wav, Valid \r\n", encoding="utf-8")
    sides = split(prepared({"a.wav": 10}, tmp_path), DataConfig())
    assert (sides.train, sides.valid) == ([], [Span(0, 10, 0)])
    (tmp_path / "metadata.csv").write_bytes("file_name,split\ncaf\u00e9.wav,train\n".encode("latin-1"))
    with pytest.raises(AudioError, match="cannot be read as UTF-8"):
        split(prepared({"a.wav": 10}, tmp_path), DataConfig())


def test_metadata_without_a_split_changes_nothing(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,speaker\n0.wav,x\n")
    lengths = {f"{i}.wav": 10 for i in range(20)}
    assert split(prepared(lengths, tmp_path), DataConfig()) == split(prepared(lengths), DataConfig())


def test_the_only_recording_that_is_not_kept_for_testing_is_cut(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,split\na,test\n")
    sides = split(prepared({"a": 100, "b": 1000}, tmp_path), DataConfig())
    assert [(span.start, span.stop) for span in sides.train] == [(100, 1000)]
    assert [(span.start, span.stop) for span in sides.valid] == [(1000, 1100)]
    assert [(span.start, span.stop) for span in sides.test] == [(0, 100)]
    assert sum(span.samples for span in sides.all) == 1100


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_with_other_separators_is_refused(tmp_path, separator):
    (tmp_path / "metadata.csv").write_text(f"file_name{separator}split\na{separator}valid\n")
    with pytest.raises(AudioError, match=r"has no column file_name, but .*: commas must separate"):
        split(prepared({"a": 100, "b": 100}, tmp_path), DataConfig())
