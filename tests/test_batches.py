"""Which windows a step learns from: a function of seed and number alone, however many processes share them."""

import numpy as np
import pytest
import torch
from test_dataset import prepared

from wavenet.config import ModelConfig
from wavenet.recordings.annotations import Annotations
from wavenet.recordings.split import whole
from wavenet.recordings.windows import Windows
from wavenet.training.batches import Batches


@pytest.fixture
def windows():
    """Seven recordings of one window each, without annotations."""
    data = prepared({f"{i}.wav": 40 for i in range(7)})
    return Windows(data.codes, whole(data), crop=40, receptive_field=4)


def items(batches: Batches, numbers: range) -> list[int]:
    """The first code of each item, which tells them apart."""
    return [int(row[0]) for number in numbers for row in batches[number].targets]


def test_each_epoch_has_every_item_once_in_an_order_of_its_own(windows):
    seen = np.array(items(Batches(windows, size=1, seed=3), range(21))).reshape(3, 7)
    assert [sorted(epoch) for epoch in seen.tolist()] == [sorted(37 * i for i in range(7))] * 3
    assert len({tuple(epoch) for epoch in seen.tolist()}) == 3


def test_a_batch_depends_on_seed_and_number_alone(windows):
    batches = Batches(windows, size=2, seed=3)
    forwards = items(batches, range(9))
    assert items(Batches(windows, size=2, seed=3), range(8, -1, -1)) == [
        code for number in range(8, -1, -1) for code in forwards[2 * number : 2 * number + 2]
    ]
    assert items(Batches(windows, size=2, seed=4), range(9)) != forwards


def test_processes_share_what_one_would_take(windows):
    one = items(Batches(windows, size=4, seed=3), range(5))
    two = [Batches(windows, size=2, seed=3, rank=rank, processes=2) for rank in (0, 1)]
    assert [code for number in range(5) for own in two for code in items(own, range(number, number + 1))] == one


def test_labels_are_dropped_by_the_items_place_in_the_run(monkeypatch):
    model = ModelConfig(labels={"speaker": ["a", "b"]})
    data = prepared({f"{i}.wav": 40 for i in range(7)})
    monkeypatch.setattr(Annotations, "_read_labels", lambda *_: None)
    monkeypatch.setattr(Annotations, "labels", lambda self, recording: torch.ones(2))
    windows = Windows(data.codes, whole(data), 40, 4, Annotations(data, model))

    def kept(batches: Batches, numbers: range) -> list[bool]:
        return [bool(pieces[0][0].labels.any()) for number in numbers for pieces in batches[number].pieces]

    one = kept(Batches(windows, 4, seed=3, label_dropout=0.3), range(50))
    assert sum(one) / len(one) == pytest.approx(0.7, abs=0.1)
    two = [Batches(windows, 2, seed=3, label_dropout=0.3, rank=rank, processes=2) for rank in (0, 1)]
    assert [keep for n in range(50) for own in two for keep in kept(own, range(n, n + 1))] == one
    assert all(kept(Batches(windows, 4, seed=3), range(10)))


def test_epochs_take_turns_with_the_tilings(windows):
    windows.epochs = [range(4), range(4, 7)]
    seen = [item // 37 for item in items(Batches(windows, size=1, seed=3), range(21))]
    epochs = [seen[start : start + length] for start, length in ((0, 4), (4, 3), (7, 4), (11, 3), (14, 4), (18, 3))]
    assert [sorted(epoch) for epoch in epochs] == [[0, 1, 2, 3], [4, 5, 6]] * 3
    assert len(set(map(tuple, epochs[::2]))) > 1
