"""Variations of what is learned from: exact, drawn by seed and place alone, and never applied to what is held out."""

import copy
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_dataset import prepared
from test_processes import RATE
from test_processes import settings as quick
from test_training import Stop

from wavenet.audio.encodings import MULAW, SIXTEEN_BIT, Encoding
from wavenet.config import AugmentConfig, ContextConfig, DataConfig, FeatureConfig, ModelConfig, TrainConfig
from wavenet.errors import AudioError, ConfigError
from wavenet.model import checkpoint
from wavenet.model.distributions import IGNORED
from wavenet.recordings.annotations import Annotations
from wavenet.recordings.augmentation import TAPS, Change, Varied, drawn, interpolated, weights_of
from wavenet.recordings.split import whole
from wavenet.recordings.windows import Windows
from wavenet.training import train
from wavenet.training.batches import Batches
from wavenet.training.metrics import RunLog

ALL = AugmentConfig(polarity=True, gain=[-6, 3], speed=10)


def encoded(sound: np.ndarray, encoding: Encoding = MULAW) -> np.ndarray:
    return encoding.encode(torch.from_numpy(sound)).numpy().astype(encoding.stored)


def decoded(codes: np.ndarray, encoding: Encoding = MULAW) -> np.ndarray:
    return encoding.decode(torch.from_numpy(codes.astype(np.int64))).numpy()


def sine(hertz: float, samples: int = 4000, level: float = 0.2) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)


# ---- the changes


def test_upside_down_is_exact_in_mulaw():
    codes = np.arange(256, dtype=np.uint8)
    turned = Varied(codes, MULAW, Change(flip=True)).read(0, 256)
    assert (turned == 255 - codes).all()
    assert (decoded(turned) == -decoded(codes)).all()
    assert turned[128] == 127  # silence becomes the other of the two codes nearest to zero
    sound = np.random.default_rng(0).normal(0, 0.3, 10_000)
    assert (Varied(encoded(sound), MULAW, Change(flip=True)).read(0, 10_000) == encoded(-sound)).all()


def test_upside_down_changes_the_sign_of_16_bit_values():
    codes = np.array([0, 1, 32767, 32768, 32769, 65535], dtype=np.uint16)
    assert Varied(codes, SIXTEEN_BIT, Change(flip=True)).read(0, 6).tolist() == [65535, 65535, 32769, 32768, 32767, 1]


def test_before_a_recording_is_silence():
    codes = encoded(sine(300))
    for change, zero in ((Change(), 128), (Change(flip=True), 127), (Change(gain=2.0), 128), (Change(speed=1.1), 128)):
        assert (Varied(codes, MULAW, change).read(-30, 0) == zero).all()


@pytest.mark.parametrize("encoding", [MULAW, SIXTEEN_BIT])
def test_louder_is_louder(encoding):
    sound = sine(300, level=0.1)
    made = decoded(Varied(encoded(sound, encoding), encoding, Change(gain=2.0)).read(0, 4000), encoding)
    error = made - 2 * sound
    assert 20 * np.log10(np.std(2 * sound) / np.std(error)) > (25 if encoding is MULAW else 70)


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_faster_is_higher(speed):
    sound, wanted = sine(300), sine(300 * speed, int(4000 / speed) - 20)
    made = decoded(Varied(encoded(sound), MULAW, Change(speed=speed)).read(0, len(wanted)))
    error = (made - wanted)[TAPS:-TAPS]
    assert 20 * np.log10(np.std(wanted) / np.std(error)) > 25


def test_interpolation_gives_back_what_there_was():
    sound = np.random.default_rng(0).normal(size=100)
    places = np.arange(TAPS, 100 - TAPS - 1)
    np.testing.assert_allclose(interpolated(sound, places, 1.0), sound[places], atol=1e-12)


def test_no_code_is_left_out_by_another_level():
    codes = np.random.default_rng(0).integers(60, 196, 200_000).astype(np.uint8)
    counts = np.bincount(Varied(codes, MULAW, Change(gain=10 ** (3 / 20))).read(0, len(codes)), minlength=256)
    inner = counts[60:110]
    assert inner.min() > 0.85 * inner.mean()
    assert inner.max() < 1.15 * inner.mean()


def test_digital_silence_stays_silent():
    codes = np.full(500, 128, dtype=np.uint8)
    assert (Varied(codes, MULAW, Change(gain=3.0, speed=0.97)).read(-100, 500) == 128).all()


@given(st.integers(1, 3000), st.integers(1, 300), st.floats(0.5, 1.5))
def test_a_window_has_at_most_as_many_samples_as_before(start, length, speed):
    first, last = Varied(np.empty(0, np.uint8), MULAW, Change(speed=speed)).place(start, start + length)
    assert 1 <= last - first <= length
    assert first * speed >= start - 1e-6
    assert last - 1 == first or (last - 1) * speed < start + length


# ---- what is drawn


def test_what_is_drawn_depends_on_seed_and_place_alone():
    assert drawn(AugmentConfig(), 1, 5) is None
    assert drawn(ALL, 1, 5) == drawn(ALL, 1, 5)
    assert len({drawn(ALL, seed, place) for seed in range(3) for place in range(9)}) == 27
    one = drawn(ALL, 1, 5)
    assert one is not None
    louder = drawn(AugmentConfig(gain=[-6, 3]), 1, 5)
    assert louder is not None
    assert (louder.flip, louder.gain, louder.speed) == (False, one.gain, 1.0)  # as if the others were there
    many = [change for place in range(2000) if (change := drawn(ALL, 0, place))]
    assert np.mean([change.flip for change in many]) == pytest.approx(0.5, abs=0.05)
    decibels = 20 * np.log10([change.gain for change in many])
    assert (decibels.min(), decibels.max(), decibels.mean()) == pytest.approx((-6, 3, -1.5), abs=0.2)
    speeds = [change.speed for change in many]
    assert (min(speeds), max(speeds)) == pytest.approx((0.9, 1.1), abs=0.01)


@pytest.fixture
def windows():
    """Long and short recordings, whose past is heard by a context stack."""
    data = prepared({f"{i}.wav": n for i, n in enumerate((400, 90, 31, 5, 120))})
    model = ModelConfig(context=ContextConfig([16], layers=2))
    return Windows(data.codes, whole(data), 100, 20, Annotations(data, model))


def test_batches_are_those_of_their_numbers(windows):
    def same(one, other) -> bool:
        heard = [[companion.codes(-30, 60) for companion, _, _ in pieces] for pieces in one.pieces]
        there = [[companion.codes(-30, 60) for companion, _, _ in pieces] for pieces in other.pieces]
        places = [[piece[1:] for piece in pieces] for pieces in one.pieces]
        return (
            torch.equal(one.codes, other.codes)
            and torch.equal(one.targets, other.targets)
            and places == [[piece[1:] for piece in pieces] for pieces in other.pieces]
            and all(torch.equal(a, b) for x, y in zip(heard, there, strict=True) for a, b in zip(x, y, strict=True))
        )

    batches, again = (Batches(windows, 2, seed=3, augment=ALL) for _ in range(2))
    assert all(same(batches[number], again[number]) for number in (7, 2, 9, 2))
    assert not same(batches[2], Batches(windows, 2, seed=3)[2])
    halves = [Batches(windows, 1, seed=3, rank=rank, processes=2, augment=ALL) for rank in (0, 1)]
    for number in range(6):
        whole_batch, parts = batches[number], [half[number] for half in halves]
        for row, part in enumerate(parts):
            scored = part.targets[0][part.targets[0] != IGNORED]
            assert torch.equal(scored, whole_batch.targets[row][whole_batch.targets[row] != IGNORED])
    assert same(Batches(windows, 2, seed=3)[1], Batches(windows, 2, seed=3, augment=AugmentConfig())[1])


def test_targets_follow_their_own_past(windows):
    for place in range(len(windows) * 3):
        change = drawn(ALL, 0, place)
        row, targets = windows.item(place % len(windows), change)
        scored = targets != IGNORED
        assert torch.equal(targets[scored], row[windows.receptive_field :][scored])
        assert 0 < int(scored.sum()) <= 100
        rows = sum(stop - start for _, start, stop in windows.pieces(place % len(windows), change))
        assert rows == len(row)


def test_nothing_beyond_the_training_part_is_heard():
    data = prepared({"a.wav": 300})
    (span,) = whole(data)
    part = [type(span)(span.start, 200, span.origin, ends=False)]
    for changed in (Change(flip=True), Change(gain=0.8), Change(speed=1.3), Change(speed=0.8)):
        found = []
        for codes in (data.codes, np.concatenate([data.codes[:200], np.zeros(100, np.uint8)])):
            windows = Windows(codes, part, 64, 20)
            found.append([windows.item(index, changed) for index in range(len(windows))])
        assert all(torch.equal(a[0], b[0]) for a, b in zip(*found, strict=True))


# ---- weights


def weighted(asked: dict[str, float], lengths: dict[str, int]) -> Windows:
    data = prepared(lengths)
    return Windows(data.codes, whole(data), 40, 4, weights=weights_of(data, asked))


def test_folders_are_heard_as_often_as_asked():
    lengths = {f"{folder}/{i}.wav": 40 for folder in ("drums", "field", "field/rain", "sea") for i in range(4)}
    windows = weighted({"drums": 2, "field": 0.5, "field/rain": 1.5}, lengths)
    batches = Batches(windows, 1, seed=0)
    assert batches.lengths == [4 * (2 + 0.5 + 1.5 + 1)]
    epochs = 50
    counts = np.bincount([batches._item(place) for place in range(20 * epochs)], minlength=16) / epochs
    assert counts == pytest.approx([2] * 4 + [0.5] * 4 + [1.5] * 4 + [1] * 4, abs=0.12)
    for epoch in range(3):
        once = np.bincount([batches._item(20 * epoch + place) for place in range(20)], minlength=16)
        assert all(abs(count - weight) < 1 for count, weight in zip(once, windows.weights, strict=True))
    assert [batches._item(33)] == [Batches(windows, 1, seed=0)._item(33)]


def test_short_recordings_of_unlike_weights_do_not_share_an_item():
    windows = weighted({"b": 3}, {f"{folder}/{i}.wav": 5 for folder in "ab" for i in range(4)})
    assert windows.weights.tolist() == [1, 3]


def test_a_folder_that_is_not_there_is_refused():
    data = prepared({"drums/a.wav": 40, "b.wav": 40})
    with pytest.raises(
        ConfigError, match=r"drum is not a sub-folder of nowhere; those with recordings are 1 \(drums\)"
    ):
        weights_of(data, {"drum": 2})


# ---- runs


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"augment": AugmentConfig(gain=[-1, 1]), "model": ModelConfig(features=FeatureConfig(["mel"]))},
            "augment.gain",
        ),
        ({"augment": AugmentConfig(speed=3), "model": ModelConfig(features=FeatureConfig(["mel"]))}, "augment.speed"),
        ({"augment": AugmentConfig(speed=3), "data": DataConfig(frames="phones.csv"), "crop": 16000}, "the times"),
    ],
)
def test_a_change_that_what_is_known_would_not_follow_is_refused(changed, words):
    with pytest.raises(ConfigError, match=words):
        TrainConfig(**changed)


@pytest.mark.parametrize("wrong", [{"gain": [3, -3]}, {"gain": [1]}, {"speed": 60}, {"weights": {"a": -1}}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"augment.{next(iter(wrong))} is"):
        AugmentConfig(**wrong)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(RunLog, "curves", lambda *_: None)
    random = np.random.default_rng(0)
    for number in range(6):
        path = tmp_path / "sounds" / "ab"[number % 2] / f"{number}.wav"
        path.parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(path, sine(200 + 20 * number, 2500) + random.normal(0, 0.01, 2500), RATE)
    return tmp_path / "sounds"


def test_resuming_is_exact_and_the_held_out_part_untouched(folder, tmp_path):
    config = quick(folder, steps=6, validate_every=3)
    config.data.frames, config.data.labels, config.model.context = None, ["folder"], ContextConfig([32], layers=2)
    plain = train(copy.deepcopy(config), tmp_path / "plain").bits_per_sample
    config.augment = AugmentConfig(polarity=True, gain=[-6, 3], speed=5, weights={"a": 2})
    whole_run = train(copy.deepcopy(config), tmp_path / "whole")
    train(copy.deepcopy(config), tmp_path / "parts", Stop(at=2))
    parts = copy.deepcopy(config)
    parts.resume = str(tmp_path / "parts")
    result = train(parts, tmp_path / "parts")
    assert result.bits_per_sample == whole_run.bits_per_sample != plain
    one, other = (checkpoint.load_state(tmp_path / name) for name in ("parts", "whole"))
    assert all(torch.equal(weights, other["model"][name]) for name, weights in one["model"].items())
    config.augment = AugmentConfig(weights={"a": 0, "b": 0})
    with pytest.raises(AudioError, match="none is left to train on"):
        train(config, tmp_path / "none")


def test_the_command_takes_them(folder, call, tmp_path):
    how = ["model=tiny", "steps=2", "crop=500", "sample_every=0", f"data.sample_rate={RATE}", "device=cpu"]
    asked = ["augment.polarity=true", "augment.gain=[-6,3]", "augment.speed=3", "augment.weights={a: 2, b: 0.5}"]
    status, _, err = call("train", f"data.dir={folder}", "run.dir=run", *asked, *how)
    assert status == 0, err
    assert checkpoint.load_state(tmp_path / "run")["config"]["augment"]["weights"] == {"a": 2, "b": 0.5}
    assert call("train", "resume=run", "steps=3", "augment.weights.b=3")[0] == 0
    assert checkpoint.load_state(tmp_path / "run")["config"]["augment"]["weights"] == {"b": 3}
    status, _, err = call("train", f"data.dir={folder}", "augment.gain=3", *how)
    assert status == 1
    assert "augment.gain is 3, but it is written augment.gain=[3]" in err
