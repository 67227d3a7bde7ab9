"""How recordings fill the range from -1 to 1: what is clipped, quiet, off centre or cancelled is measured and told."""

import dataclasses
import json
import math

import numpy as np
import pytest
import soundfile
import torch
from conftest import tone
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from wavenet.audio import io as audio
from wavenet.audio.levels import TARGET_PEAK, TARGET_RMS, Meter, Signal, report
from wavenet.config import DataConfig
from wavenet.errors import AudioError, ConfigError
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.preparation import prepare
from wavenet.recordings.reader import Reader

RATE = 16000


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sounds").mkdir()
    return tmp_path / "sounds"


def prepared(folder, **settings):
    return prepare(DataConfig(dir=str(folder), cache_dir=str(folder.parent / "cache"), **settings))


def decoded(path, **settings) -> tuple[np.ndarray, Signal]:
    signal = Signal()
    return torch.cat(list(audio.blocks(path, RATE, signal=signal, **settings))).numpy(), signal


def test_loud_floats_are_clipped_with_a_word_or_scaled(folder):
    soundfile.write(folder / "loud.wav", 6 * tone(440, RATE), RATE, subtype="FLOAT")
    _, signal = decoded(folder / "loud.wav")
    share = 1 - 2 / math.pi * math.asin(1 / 3)  # of a sine of amplitude 3 that lies beyond 1
    assert signal.peak == pytest.approx(3, rel=1e-4)
    assert signal.clipped == pytest.approx(share, abs=0.003)
    lines = prepared(folder).report()
    assert lines[1:] == [
        f"clipped: 1 (loud.wav: {signal.clipped:.2%} of samples, peak 3.00); "
        "data.normalise=peak scales recordings to fit"
    ]
    scaled = prepared(folder, normalise="peak")
    assert scaled.report()[1:] == ["scaled by data.normalise=peak: -10.5 dB to -10.5 dB"]
    assert np.max(scaled.codes) < 255


def test_whole_numbers_saved_as_floats_are_read_as_integers(folder):
    """As scipy saves what was read as int16."""
    sound = tone(440, RATE)
    for name, bits in (("a", 15), ("b", 23), ("c", 31)):
        soundfile.write(folder / f"{name}.wav", np.round(sound * 2**bits), RATE, subtype="DOUBLE")
        read, signal = decoded(folder / f"{name}.wav")
        np.testing.assert_allclose(read, sound, atol=2**-15)
        assert (signal.gain, signal.clipped) == (2.0**-bits, 0)
    line = prepared(folder).report()[1]
    assert line == "integers in floating-point files, scaled down: 3 (a.wav: 16 bits; b.wav: 24 bits; c.wav: 32 bits)"


def test_floats_in_another_range_are_refused_by_name(folder):
    soundfile.write(folder / "a.wav", 12345.6 * tone(440, RATE), RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: its samples reach 6,173, where 1 is full scale: .*normalise=peak"):
        prepared(folder)
    assert prepared(folder, normalise="peak").recordings[0].signal.peak == pytest.approx(TARGET_PEAK)


def test_very_quiet_recordings_are_told_and_raised(folder):
    soundfile.write(folder / "a.wav", 10 ** (-50 / 20) * 2 * tone(440, RATE), RATE, subtype="PCM_24")
    assert prepared(folder).report()[1:] == [
        "very quiet: 1 (a.wav: peak -50.0 dB); data.normalise=peak raises recordings"
    ]
    for normalise in ("peak", "loudness"):
        raised = prepared(folder, normalise=normalise)
        gain = 20 * math.log10(raised.recordings[0].signal.gain)
        assert raised.report()[1:] == [f"scaled by data.normalise={normalise}: {gain:.1f} dB to {gain:.1f} dB"]
        assert len(np.unique(raised.codes)) > 80


def test_silence_is_not_raised(folder):
    soundfile.write(folder / "a.wav", 1e-4 * tone(440, RATE), RATE, subtype="FLOAT")
    for normalise in ("off", "peak", "loudness"):
        with pytest.raises(AudioError, match="it is silent"):
            prepared(folder, normalise=normalise)


def test_an_offset_is_told(folder):
    soundfile.write(folder / "a.wav", 0.05 + tone(440, RATE), RATE, subtype="FLOAT")
    soundfile.write(folder / "b.wav", np.full(RATE, 0.05), RATE, subtype="FLOAT")
    found = prepared(folder)
    assert found.report()[1:] == [
        "left out 1:",
        "  b.wav: it is silent, 0.050 off centre",
        "off centre: 1 (a.wav: by 0.050, peak 0.550)",
    ]


@pytest.mark.parametrize("rest", [0.0, 0.03])
def test_channels_in_opposite_phase_are_told(folder, rest):
    left = tone(440, RATE)
    soundfile.write(folder / "a.wav", np.stack([left, (2 * rest - 1) * left], axis=1), RATE, subtype="FLOAT")
    soundfile.write(folder / "b.wav", np.stack([left, tone(300, RATE)], axis=1), RATE)
    found = prepared(folder)
    if rest:
        assert found.report()[1:] == [
            "averaged over their channels: 2 of 2 recordings; data.channel=left or right takes one of them",
            "channels that cancel each other: 1 (a.wav: their mean is 30 dB quieter); data.channel=left or right takes "
            "one of them",
        ]
    else:
        assert found.skipped[0].reason == "its channels cancel each other out: data.channel=left or right takes one"
    one = prepared(folder, channel="right")
    assert one.report()[1:] == ["only the right of several channels used: 2 of 2 recordings"]
    right, _ = decoded(folder / "a.wav", channel="right")
    np.testing.assert_allclose(right, (2 * rest - 1) * left, atol=1e-6)


def test_the_left_and_the_right_channel_can_be_taken(folder):
    left, right = tone(440, RATE), tone(300, RATE)
    soundfile.write(folder / "a.wav", np.stack([left, right, 0 * left], axis=1), RATE, subtype="FLOAT")
    soundfile.write(folder / "b.wav", left, RATE, subtype="FLOAT")
    for channel, expected in (("left", left), ("right", right), ("mix", (left + right) / 3)):
        np.testing.assert_allclose(decoded(folder / "a.wav", channel=channel)[0], expected, atol=1e-6)
        np.testing.assert_allclose(decoded(folder / "b.wav", channel=channel)[0], left, atol=1e-6)
    codes = [bytes(prepared(folder, channel=channel).codes[:]) for channel in ("left", "right", "mix")]
    assert len(set(codes)) == 3


def test_independent_channels_are_no_warning(folder):
    many = np.random.default_rng(0).normal(0, 0.1, (RATE, 8))
    soundfile.write(folder / "a.wav", many, RATE, subtype="FLOAT")
    soundfile.write(folder / "b.wav", np.stack([many[:, 0], 0 * many[:, 0]], axis=1), RATE, subtype="FLOAT")
    assert [recording.signal.cancelled for recording in prepared(folder).recordings] == [0, 0]


def test_loudness_is_that_of_what_is_not_silent(folder):
    speech = np.concatenate([np.zeros(5 * RATE), 0.02 * tone(440, RATE, 5.0), 1e-5 * tone(300, RATE, 5.0)])
    soundfile.write(folder / "a.wav", speech, RATE, subtype="FLOAT")
    sound, signal = decoded(folder / "a.wav", normalise="loudness")
    loud = sound[5 * RATE : 10 * RATE]
    assert np.sqrt(np.mean(loud**2)) == pytest.approx(TARGET_RMS, rel=0.03)
    assert signal.gain == pytest.approx(TARGET_RMS / (0.01 / math.sqrt(2)), rel=0.03)


def test_loudness_keeps_peaks_below_full_scale(folder):
    clicks = 0.001 * np.random.default_rng(0).normal(size=RATE)
    clicks[::4000] = 0.5
    soundfile.write(folder / "a.wav", clicks, RATE, subtype="FLOAT")
    assert np.abs(decoded(folder / "a.wav", normalise="loudness")[0]).max() == pytest.approx(TARGET_PEAK, rel=1e-4)


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=5), st.integers(1, 3))
def test_a_meter_reads_pieces_as_it_reads_the_whole(cuts, channels):
    sound = torch.from_numpy(np.random.default_rng(len(cuts)).normal(0.1, 0.5, (sum(cuts), channels))).float()
    whole, pieces = Meter(loudness=True), Meter(loudness=True)
    whole.add(sound, sound.mean(1), 8000)
    for piece in sound.split(cuts):
        pieces.add(piece, piece.mean(1), 8000)
    for name in ("samples", "clipped", "peak", "swing", "whole"):
        assert getattr(pieces, name) == getattr(whole, name)
    for name in ("offset", "cancelled", "rms"):
        assert getattr(pieces, name) == pytest.approx(getattr(whole, name), rel=1e-4)


def test_ordinary_recordings_are_not_worth_a_word(recordings, tmp_path):
    found = prepare(DataConfig(dir=str(recordings), cache_dir=str(tmp_path)))
    assert found.report()[8:] == [
        "averaged over their channels: 4 of 9 recordings; data.channel=left or right takes one of them"
    ]


def test_the_worst_are_named_first_and_only_some():
    signals = [(f"{number}.wav", Signal(peak=1.5, clipped=number / 100)) for number in range(6)]
    (line,) = report(signals, "mix", "off")
    assert line.startswith("clipped: 5 (5.wav: 5.00% of samples, peak 1.50; 4.wav: 4.00% of samples, peak 1.50; 3.wav")
    assert line.endswith("; ...); data.normalise=peak scales recordings to fit")


def test_a_checkpoint_remembers_how_recordings_were_read(tmp_path, small):
    data = DataConfig(channel="left", normalise="loudness")
    checkpoint.save(tmp_path / "new.safetensors", WaveNet(small), RATE, 1, None, data)
    remembered = checkpoint.load(tmp_path / "new.safetensors").data
    assert (remembered["channel"], remembered["normalise"]) == ("left", "loudness")
    with safe_open(tmp_path / "new.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["wavenet"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    for name in ("channel", "normalise"):  # as written before there were such settings
        del header["data"][name]
    save_file(tensors, tmp_path / "old.safetensors", metadata={"wavenet": json.dumps(header)})
    assert "channel" not in checkpoint.load(tmp_path / "old.safetensors").data


def test_settings_of_levels_are_checked():
    for name in ("channel", "normalise"):
        with pytest.raises(ConfigError, match=rf"data\.{name} is 'loud', but it must be one of"):
            dataclasses.replace(DataConfig(), **{name: "loud"})
    assert DataConfig(normalise="False").normalise == "off"  # what YAML makes of it


def test_what_generation_hears_is_read_as_in_training(folder):
    left, right = 0.004 * tone(440, RATE), 0.004 * tone(300, RATE)
    soundfile.write(folder / "a.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    reader = Reader(RATE, {"channel": "right", "normalise": "peak"})
    heard = torch.cat(list(reader.blocks("prime", folder / "a.wav"))).numpy()
    np.testing.assert_allclose(heard, right / right.max() * TARGET_PEAK, atol=1e-4)
    plain = torch.cat(list(Reader(RATE, {}).blocks("prime", folder / "a.wav"))).numpy()
    np.testing.assert_allclose(plain, (left + right) / 2, atol=1e-6)
    assert reader.said == []
    content = (folder / "a.wav").read_bytes()
    (folder / "a.wav").write_bytes(content[: len(content) // 2])
    list(reader.blocks("prime", folder / "a.wav"))
    (line,) = reader.said
    assert line.startswith(f"prime: {folder / 'a.wav'} is damaged or cut short; the rest is used: 0.25 of its 0.50 s")
