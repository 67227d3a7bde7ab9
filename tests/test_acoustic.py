"""The acoustic model: durations in whole steps, units spread over them, prosody, and files."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wavenet.config import AcousticConfig
from wavenet.errors import CheckpointError
from wavenet.recordings.alignments import Segment
from wavenet.speech import storing
from wavenet.speech.acoustic import AcousticModel, whole_steps
from wavenet.speech.corpus import steps_of
from wavenet.speech.sentences import GAPS, Sentence
from wavenet.speech.timing import Timed, timed

UNITS = sorted({"a", "b", "c"} | set(GAPS))


def tiny(labels: int = 0, **settings) -> AcousticModel:
    torch.manual_seed(0)
    config = AcousticConfig(channels=8, encoder_layers=1, decoder_layers=2, **settings)
    return AcousticModel(config, UNITS, mels=4, labels=labels).eval()


# ---- time


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), min_size=1, max_size=30))
def test_rounded_durations_keep_their_sum_and_every_sound(pairs):
    lasts, sounding = torch.tensor([d for d, _ in pairs]), torch.tensor([s for _, s in pairs])
    made = whole_steps(lasts, sounding)
    assert (made[sounding] >= 1).all()
    kept = torch.where(sounding, lasts.clamp(min=1), torch.where(lasts < 1.5, 0, lasts))
    assert abs(int(made.sum()) - float(kept.double().sum())) <= 0.5001
    assert (made[kept == 0] == 0).all()


@given(st.lists(st.tuples(st.integers(0, 900), st.sampled_from(["a", "_"])), min_size=1, max_size=20), st.data())
def test_times_become_steps_that_fill_the_recording(pairs, data):
    lengths, units = [length for length, _ in pairs], [unit for _, unit in pairs]
    bounds = np.cumsum([0, *lengths]).astype(float)
    steps = max(-(-int(bounds[-1]) // 160), units.count("a")) + data.draw(st.integers(0, 3))
    made = steps_of(Timed(units, bounds), 160, steps)
    assert made.sum() == steps
    assert all(count >= 1 for count, unit in zip(made, units, strict=True) if unit == "a")
    assert (made >= 0).all()


def test_long_units_are_off_by_less_than_a_step():
    bounds = np.array([0, 500, 1300, 1300, 3210.0])
    made = steps_of(Timed(["^", "a", "_", "b"], bounds), 160, 21)
    assert np.abs(np.cumsum(made) * 160 - bounds[1:]).max() <= 150  # the last step is cut by the recording's end
    assert made[2] == 0


SENTENCE = Sentence([["a", "b"], ["c"]], ["^", ",", "."])


def test_gaps_take_the_silence_and_units_the_rest():
    segments = [Segment(0, 100, "SIL"), Segment(100, 200, "a"), Segment(210, 300, "b"), Segment(300, 350, "SIL")]
    found = timed(SENTENCE, [*segments, Segment(350, 500, "c"), Segment(500, 600, "SIL")], 600)
    assert found is not None
    assert found.units == ["^", "a", "b", ",", "c", "."]
    assert found.bounds.tolist() == [0, 100, 200, 300, 350, 500, 600]  # the hole before b is part of b


def test_a_gap_without_silence_has_no_length():
    found = timed(SENTENCE, [Segment(0, 200, "a"), Segment(200, 300, "b"), Segment(300, 500, "c")], 500)
    assert found is not None
    assert found.bounds.tolist() == [0, 0, 200, 300, 300, 500, 500]


def test_other_phones_do_not_fit():
    assert timed(SENTENCE, [Segment(0, 200, "a"), Segment(200, 300, "c")], 500) is None


# ---- the model


def test_each_unit_is_repeated_for_its_duration():
    encoded = torch.arange(3.0).view(1, 3, 1).expand(-1, -1, 8)
    made, mask = AcousticModel.spread(encoded, torch.tensor([[2, 0, 3]]), 7)
    assert made[0, :5, 0].tolist() == [0, 0, 2, 2, 2]
    assert mask[0, :, 0].tolist() == [1, 1, 1, 1, 1, 0, 0]
    assert made[0, :5, 8].tolist() == pytest.approx([1 / 4, 3 / 4, 1 / 6, 3 / 6, 5 / 6])


def test_a_batch_says_what_each_text_says_alone():
    model = tiny(labels=2)
    units = [["^", "a", "b", "."], ["^", "c", "."]]
    labels = torch.eye(2)
    durations = [torch.tensor([1, 3, 2, 2]), torch.tensor([2, 4, 0])]
    numbers = torch.zeros(2, 4, dtype=torch.int64)
    lasts, mask = torch.zeros(2, 4, dtype=torch.int64), torch.zeros(2, 4, 1)
    for i, one in enumerate(units):
        numbers[i, : len(one)] = torch.tensor([model.numbers[unit] for unit in one])
        lasts[i, : len(one)], mask[i, : len(one)] = durations[i], 1
    with torch.inference_mode():
        encoded = model.encode(numbers, mask, labels)
        spread, there = model.spread(encoded, lasts, 8)
        told = torch.zeros(2, 8, 6)
        mel = model.decode(spread, told, there)
        for i, one in enumerate(units):
            steps = int(durations[i].sum())
            prosody = torch.zeros(steps * 2, 7)
            alone = model.say(one, labels[i], durations=durations[i], prosody=prosody).frames
            assert torch.allclose(alone[:, :4], mel[i, :steps].reshape(-1, 4), atol=1e-5)


def test_frames_are_as_many_as_their_steps_hold_and_rate_shortens_them():
    model = tiny()
    torch.nn.init.constant_(model.durations.out.bias, 2.0)
    slow, fast = (model.say(["^", "a", "b", "c", "."], rate=rate) for rate in (1, 2))
    assert len(slow.frames) == 2 * int(slow.durations.sum())
    assert int(fast.durations.sum()) == pytest.approx(int(slow.durations.sum()) / 2, abs=1)


def test_pitch_is_a_factor_of_f0_and_unvoiced_frames_have_none():
    model = tiny()
    model.mean[4], model.scale[4] = 1.0, 0.5
    torch.nn.init.constant_(model.prosody.out.bias, 1.0)  # all voiced
    plain, higher = (model.say(["^", "a", "b", "."], pitch=pitch).frames for pitch in (1, 2))
    assert (plain[:, 5] == 1).all()
    assert torch.allclose(higher[:, 4] - plain[:, 4], torch.ones(len(plain)), atol=1e-5)  # log2
    torch.nn.init.constant_(model.prosody.out.bias, -5.0)
    assert (model.say(["^", "a", "b", "."]).frames[:, 4:6] == 0).all()


def test_standardising_uses_the_pitch_of_voiced_frames_alone():
    model, frames = tiny(), torch.randn(100, 7)
    frames[:, 5] = (torch.arange(100) % 2).float()
    frames[:, 4] = (frames[:, 4] + 3) * frames[:, 5]
    model.standardise(frames)
    made = model.standardised(frames)
    voiced = frames[:, 5] > 0
    assert float(made[voiced, 4].mean()) == pytest.approx(0, abs=1e-5)
    assert (made[~voiced, 4] == 0).all()
    assert torch.equal(made[:, 5], frames[:, 5])


# ---- files


def test_a_file_gives_back_the_model(tmp_path):
    model, path = tiny(labels=1), tmp_path / "a.safetensors"
    storing.save_acoustic(path, storing.Acoustic(model, {"kind": "letters"}, ["^", "a", "."], 7))
    found = storing.load_acoustic(path)
    assert (found.front_end, found.example, found.step) == ({"kind": "letters"}, ["^", "a", "."], 7)
    units, labels = ["^", "a", "b", "."], torch.ones(1)
    assert torch.equal(found.model.say(units, labels).frames, model.say(units, labels).frames)


@pytest.mark.parametrize("damage", ["cut", "header", "other", "missing"])
def test_a_damaged_file_is_refused_in_words(tmp_path, damage):
    model, path = tiny(), tmp_path / "a.safetensors"
    storing.save_acoustic(path, storing.Acoustic(model, {}, ["^", "a", "."], 7))
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "header":
        path.write_bytes(data.replace(b'\\"channels\\": 8', b'\\"channels\\": 9'))
    elif damage == "other":
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(1)}, path)
    else:
        path.unlink()
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        storing.load_acoustic(path)
