"""Decoding: the best path is that of a search through all of them, phones last as long as they must, and checkpoints
keep what the training set says."""

import itertools
import json

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_recognising import RATE
from test_recognition import HEAD, aligned

from wavenet.errors import CheckpointError
from wavenet.model import checkpoint, decoding, recognition
from wavenet.model.decoding import PhoneStatistics, decode
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.split import Span


def some_statistics(random: np.random.Generator, classes: int, longest: int = 3) -> PhoneStatistics:
    """Of a made-up training set; the last class never comes."""
    phones = [*random.integers(1, 30, classes - 1), 0]
    shortest = random.integers(1, longest + 1, classes)
    follows = random.integers(0, 9, (classes, classes))
    follows[-1] = follows[:, -1] = 0
    frames = phones * (shortest + random.integers(0, 4, classes))
    return PhoneStatistics(frames.tolist(), list(map(int, phones)), shortest.tolist(), follows.tolist())


def some_posteriors(random: np.random.Generator, frames: int, classes: int) -> torch.Tensor:
    return torch.from_numpy(random.normal(0, 2, (frames, classes))).log_softmax(dim=1)


def score(runs: list[tuple[int, int, int]], posteriors: torch.Tensor, statistics: PhoneStatistics) -> float:
    """The formula of the module's docstring."""
    told, total = 0.0, 0.0
    for number, (phone, first, last) in enumerate(runs):
        total += float(posteriors[first:last, phone].sum()) - (last - first) * decoding.PRIOR * statistics.priors[phone]
        longer = last - first - statistics.shortest[phone]
        told += statistics.bigram[runs[number - 1][0], phone] if number else statistics.unigram[phone]
        told += longer * np.log(statistics.stay[phone]) + np.log(1 - statistics.stay[phone]) if longer >= 0 else -np.inf
    return total + told


def every_path(frames: int, classes: int):
    """All ways to cut so many frames into phones, and to name them."""
    for cuts in itertools.product([False, True], repeat=frames - 1):
        edges = [0, *(place for place, cut in enumerate(cuts, start=1) if cut), frames]
        for phones in itertools.product(range(classes), repeat=len(edges) - 1):
            yield [(phone, *edge) for phone, edge in zip(phones, itertools.pairwise(edges), strict=True)]


def best_score(posteriors: torch.Tensor, statistics: PhoneStatistics) -> float:
    """The plain twin of `decode`: over all last phones, of all lengths, after all others."""
    frames, classes = posteriors.shape
    best = np.full((frames + 1, classes), -np.inf)
    for stop in range(1, frames + 1):
        for phone in range(classes):
            for start in range(stop):
                alone = score([(phone, start, stop)], posteriors, statistics)
                best[stop, phone] = max(best[stop, phone], alone if start == 0 else -np.inf)
                for before in range(classes if start else 0):
                    change = statistics.bigram[before, phone] - statistics.unigram[phone]
                    joined = best[start, before] + change + alone
                    best[stop, phone] = max(best[stop, phone], joined)
    return float(best[frames].max())


# ---- the best path


@pytest.mark.parametrize(("seed", "frames"), [(seed, frames) for seed in range(3) for frames in range(1, 6)])
def test_it_is_the_best_of_all_paths(seed, frames):
    random = np.random.default_rng(seed)
    statistics, posteriors = some_statistics(random, 3), some_posteriors(random, frames, 3)
    expected = max(every_path(frames, 3), key=lambda runs: score(runs, posteriors, statistics))
    if np.isfinite(score(expected, posteriors, statistics)):
        assert decode(posteriors, statistics) == expected


@pytest.mark.parametrize("seed", range(3))
def test_it_is_as_good_as_the_plain_twin(seed):
    random = np.random.default_rng(seed)
    statistics, posteriors = some_statistics(random, 4, longest=5), some_posteriors(random, 24, 4)
    found = score(decode(posteriors, statistics), posteriors, statistics)
    assert found == pytest.approx(best_score(posteriors, statistics), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(2, 6))
def test_phones_last_as_long_as_they_must_and_cover_all_frames(seed, frames, classes):
    random = np.random.default_rng(seed)
    statistics = some_statistics(random, classes, longest=7)
    runs = decode(some_posteriors(random, frames, classes), statistics)
    edges = [edge for _, *edge in runs]
    assert [edge for pair in edges for edge in pair] == sorted(edge for pair in edges for edge in pair)
    assert sum(last - first for first, last in edges) == frames
    if frames >= min(statistics.shortest):
        assert all(last - first >= statistics.shortest[phone] for phone, first, last in runs)
    else:
        assert len(runs) == min(frames, 1)


def test_flicker_is_not_taken_for_phones():
    random = np.random.default_rng(0)
    said = [(0, 0, 12), (1, 12, 20), (2, 20, 31), (0, 31, 45), (2, 45, 52)]
    statistics = PhoneStatistics([130, 80, 90], [10, 10, 10], [4, 4, 4], [[0, 5, 5], [5, 0, 5], [5, 5, 0]])
    told = torch.tensor([phone for phone, first, last in said for _ in range(first, last)])
    logits = 2 * torch.nn.functional.one_hot(told, 3).double()
    logits[random.choice(52, 12, replace=False)] = 0  # says nothing
    for frame in (3, 6, 15, 26, 38, 48):  # and these are wrong
        logits[frame] = logits[frame].roll(1)
    posteriors = logits.log_softmax(dim=1)
    flicker = recognition.runs(posteriors.argmax(dim=1).tolist())
    assert len(flicker) > 2 * len(said)
    decoded = decode(posteriors, statistics)
    assert [phone for phone, _, _ in decoded] == [phone for phone, _, _ in said]
    assert all(abs(found[1] - true[1]) <= 2 for found, true in zip(decoded, said, strict=True))


def test_the_same_phone_may_come_twice_in_a_row():
    """As at the end of a word and the beginning of the next, where nothing but the length tells."""
    statistics = PhoneStatistics([10_000, 10_000], [1000, 1000], [9, 9], [[900, 100], [100, 900]])
    posteriors = torch.tensor([0.999, 0.001]).log().repeat(20, 1)
    assert [phone for phone, _, _ in decode(posteriors, statistics)] == [0, 0]


# ---- what the training set says


def test_phones_are_counted_with_their_durations(tmp_path):
    rows = ["a.wav,0,400,low", "a.wav,400,480,mid", "a.wav,480,1000,low", "a.wav,1000,1040,mid", "b.wav,0,200,high"]
    lengths = {"a.wav": 1040, "b.wav": 200}
    known = aligned(tmp_path, lengths, "\n".join(["file_name,start_sample,end_sample,phone", *rows]))
    found = known.statistics([Span(0, 1040, 0, 0), Span(1040, 1240, 1040, 1)])
    assert HEAD.classes == ["SIL", "high", "low", "mid"]  # of 40 samples a frame
    assert (found.phones, found.frames, found.shortest) == ([0, 1, 2, 2], [0, 5, 23, 3], [1, 5, 10, 1])
    assert found.follows == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 2], [0, 0, 1, 0]]
    begin = known.statistics([Span(0, 600, 0, 0, ends=False)])  # of these phones, the middle is heard
    assert (begin.phones, begin.frames) == ([0, 0, 1, 1], [0, 0, 10, 2])
    assert known.statistics([Span(1040, 1240, 1040, 1)]).phones == [0, 1, 0, 0]


def test_probabilities_are_those_of_the_training_set():
    durations = np.array([3.0] * 50 + [5.0] * 30 + [9.0] * 20)
    statistics = PhoneStatistics.count([(np.zeros(100, dtype=np.int64), durations)], 2)
    assert statistics == PhoneStatistics([480, 0], [100, 0], [3, 1], [[99, 0], [0, 0]])
    for logs in (statistics.priors, statistics.unigram, *statistics.bigram):
        assert np.exp(logs).sum() == pytest.approx(1)
    assert 3 + statistics.stay[0] / (1 - statistics.stay[0]) == pytest.approx(durations.mean(), rel=0.01)
    assert statistics.stay[1] == 0.5  # of a class that never came


# ---- checkpoints


def recogniser(small, statistics: PhoneStatistics | None) -> WaveNet:
    small.recognition = HEAD
    model = WaveNet(small)
    assert model.recognition is not None
    model.recognition.statistics = statistics
    return model


def test_a_checkpoint_keeps_the_statistics(small, tmp_path):
    statistics = some_statistics(np.random.default_rng(0), 4)
    for told in (statistics, None):
        checkpoint.save(tmp_path / "x.safetensors", recogniser(small, told), RATE, 1, None)
        assert checkpoint.load(tmp_path / "x.safetensors").model.recognition.statistics == told
        with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
            assert ("phones" in json.loads(file.metadata()["wavenet"])) == (told is not None)


@pytest.mark.parametrize(
    "altered",
    [
        {"frames": [1, 2, 3]},
        {"phones": [1, 2, 3, -1]},
        {"shortest": [0, 1, 1, 1]},
        {"shortest": [1, 1, 1, 1.5]},
        {"follows": [[1, 2, 3, 4]]},
        {"follows": [[1, 2, 3, 4]] * 3 + [[1, 2, 3]]},
        {"frames": None},
        {"others": []},
    ],
)
def test_altered_statistics_are_refused(small, tmp_path, altered):
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, recogniser(small, some_statistics(np.random.default_rng(0), 4)), RATE, 1, None)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["wavenet"])
    header["phones"] |= altered
    save_file(load_file(path), path, {"wavenet": json.dumps(header)})
    with pytest.raises(CheckpointError, match="it was altered"):
        checkpoint.load(path)


def test_a_checkpoint_without_statistics_decides_frame_by_frame(call, small, tmp_path):
    (tmp_path / "recordings").mkdir()
    soundfile.write(tmp_path / "recordings" / "a.wav", 0.1 * np.random.default_rng(0).normal(size=4000), RATE)
    checkpoint.save(tmp_path / "old.safetensors", recogniser(small, None), RATE, 1, None)
    given = ["recognise", "checkpoint=old.safetensors", f"data.dir={tmp_path / 'recordings'}", "threads=1"]
    status, out, err = call(*given, "output=old.csv")
    assert (status, err) == (0, "")
    assert "without statistics of phones, so the phone of each frame is decided by itself" in out
    status, out, err = call(*given, "output=frames.csv", "decoding=frames")
    assert (status, err) == (0, "")
    assert "statistics" not in out
    assert (tmp_path / "old.csv").read_text() == (tmp_path / "frames.csv").read_text()
    status, _, err = call(*given, "decoding=viterbi")
    assert status == 1
    assert "error: decoding=viterbi: old.safetensors was written by an older version, without statistics" in err
