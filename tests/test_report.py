"""A folder of everything that can be wrong with recordings: its report is true, line by line."""

import io

import numpy as np
import pytest
import soundfile
from conftest import tone

from wavenet.config import DataConfig
from wavenet.recordings.preparation import prepare

RATE = 16000


def file(sound: np.ndarray, container: str, subtype: str = "PCM_16", rate: int = RATE) -> bytes:
    made = io.BytesIO()
    soundfile.write(made, sound, rate, format=container, subtype=subtype)
    return made.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Half a second of a tone in each, unless its name says otherwise."""
    here, sound = tmp_path_factory.mktemp("everything"), tone(440, RATE)
    long = np.random.default_rng(0).normal(0, 0.1, 4 * RATE)
    flac, mp3, wav = file(long, "FLAC"), file(long, "MP3", "MPEG_LAYER_III"), file(sound, "WAV")
    damaged = bytearray(flac)
    damaged[len(flac) // 2] ^= 0xFF
    stereo = {
        "stereo.wav": np.stack([sound, tone(300, RATE)], axis=1),
        "opposite.wav": np.stack([sound, -0.9 * sound], axis=1),
        "cancelled.wav": np.stack([sound, -sound], axis=1),
    }
    files = {name: file(channels, "WAV", "FLOAT") for name, channels in stereo.items()} | {
        "good.wav": wav,
        "good.flac": file(sound, "FLAC"),
        "good.w64": file(sound, "W64"),
        "loud.wav": file(6 * sound, "WAV", "FLOAT"),
        "int16.wav": file(np.round(32767 * sound), "WAV", "FLOAT"),
        "far.wav": file(5000.5 * sound, "WAV", "FLOAT"),
        "quiet.wav": file(0.005 * sound, "WAV", "PCM_24"),
        "offset.wav": file(0.1 + sound, "WAV"),
        "joined.mp3": mp3 + mp3,
        "joined.flac": flac + flac + flac,
        "joined.ogg": file(sound, "OGG", "VORBIS") * 2,
        "joined.wav": wav + file(tone(440, 8000), "WAV", rate=8000),
        "cut.wav": wav[: 44 + 2 * 4000],
        "cut.mp3": mp3[: len(mp3) // 2],
        "cut.ogg": file(long, "OGG", "VORBIS")[:-200],
        "damaged.flac": bytes(damaged),
        "unknown.flac": flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:],
        "unfinished.wav": wav.replace(b"data" + wav[40:44], b"data" + bytes(4)),
        "silent.wav": file(0 * sound, "WAV"),
        "short.wav": file(sound[:800], "WAV"),
        "empty.wav": b"",
        "junk.wav": b"RIFF but nothing more",
        "take.m4a": b"",
    }
    for name, content in files.items():
        (here / name).write_bytes(content)
    (here / "lost.wav").symlink_to(here / "gone.wav")
    return here


def test_the_report_is_true_line_by_line(folder, tmp_path):
    found = prepare(DataConfig(dir=str(folder), cache_dir=str(tmp_path)))
    lines = found.report()
    signals = {recording.name: recording.signal for recording in found.recordings}
    missing = signals["cut.mp3"].missing
    assert 1.5 < missing < 2.5
    block = signals["damaged.flac"].missing
    assert 0 < block <= 2 * 4096 / RATE
    assert lines == [
        f"{folder}: 19 recordings, {len(found.codes) / RATE / 60:.1f} minutes at 16000 Hz",
        "left out 7:",
        "  lost.wav: it is a broken link",
        "  cancelled.wav: its channels cancel each other out: data.channel=left or right takes one",
        "  empty.wav: the file is empty",
        "  far.wav: its samples reach 2,500, where 1 is full scale: save it in that range, or set data.normalise=peak",
        "  junk.wav: it is damaged or not audio that can be read",
        "  short.wav: it is only 0.050 s long; data.min_seconds is 0.1",
        "  silent.wav: it is silent",
        "ignored 1 file of other kinds: .m4a (1); convert them to WAV or FLAC",
        "averaged over their channels: 2 of 19 recordings; data.channel=left or right takes one of them",
        "integers in floating-point files, scaled down: 1 (int16.wav: 16 bits)",
        "channels that cancel each other: 1 (opposite.wav: their mean is 26 dB quieter); data.channel=left or right "
        "takes one of them",
        f"clipped: 1 (loud.wav: {signals['loud.wav'].clipped:.2%} of samples, peak 3.00); data.normalise=peak scales "
        "recordings to fit",
        "very quiet: 1 (quiet.wav: peak -52.0 dB); data.normalise=peak raises recordings",
        "off centre: 1 (offset.wav: by 0.100, peak 0.600)",
        f"damaged or cut short; the rest is used: 5 (cut.mp3: {missing:.2f} of its 4.00 s are missing; damaged.flac: "
        f"{block:.2f} of its 4.00 s are missing; cut.wav: 0.25 of its 0.50 s are missing; ...)",
        "several recordings in one file, all used: 4 (joined.flac: 3; joined.mp3: 2; joined.ogg: 2; ...)",
    ]


def test_what_the_report_says_is_used_is_used(folder, tmp_path):
    found = prepare(DataConfig(dir=str(folder), cache_dir=str(tmp_path)))
    seconds = {recording.name: recording.samples / RATE for recording in found.recordings}
    whole = {
        "good.wav": 0.5,
        "good.flac": 0.5,
        "good.w64": 0.5,
        "stereo.wav": 0.5,
        "unfinished.wav": 0.5,
        "cut.wav": 0.25,
    }
    joined = {"joined.mp3": 8, "joined.flac": 12, "joined.ogg": 1, "joined.wav": 1, "unknown.flac": 4}
    for name, expected in (whole | joined).items():
        assert seconds[name] == pytest.approx(expected, abs=0.01), name
    for name, signal in ((recording.name, recording.signal) for recording in found.recordings):
        assert seconds[name] == pytest.approx(signal.seconds, abs=0.001), name


def test_normalised_and_of_one_channel_it_is_true_too(folder, tmp_path):
    found = prepare(DataConfig(dir=str(folder), cache_dir=str(tmp_path), channel="left", normalise="peak"))
    lines = found.report()
    assert {"cancelled.wav", "far.wav"} <= {recording.name for recording in found.recordings}
    assert "only the left of several channels used: 3 of 21 recordings" in lines
    gains = [20 * np.log10(recording.signal.gain) for recording in found.recordings]
    assert f"scaled by data.normalise=peak: {min(gains):.1f} dB to {max(gains):.1f} dB" in lines
    assert not [line for line in lines if line.startswith(("clipped", "very quiet", "whole", "channels that"))]
    amplitudes = {
        r.name: np.abs(found.codes[r.start : r.start + r.samples].astype(int) - 128).max() for r in found.recordings
    }
    assert min(amplitudes.values()) > 118  # all of them reach up to -1 dB, whatever they were
