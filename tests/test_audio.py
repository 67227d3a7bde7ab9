"""Audio files: every format to the same mono signal, damage a clear error at most, writing whole or not at all."""

import contextlib
import itertools

import numpy as np
import pytest
import soundfile
import torch
from conftest import KINDS, tone
from hypothesis import given
from hypothesis import strategies as st

from wavenet.audio import decoding
from wavenet.audio import io as audio
from wavenet.errors import AudioError


@pytest.mark.parametrize("name", KINDS)
def test_every_format_reads_at_the_rate_asked_for(recordings, name):
    sound = audio.read(recordings / name, 16000).numpy()
    assert abs(len(sound) - 8000) <= 1
    spectrum = np.abs(np.fft.rfft(sound[1000:7000] * np.hanning(6000)))
    expected = 300 + 50 * list(KINDS).index(name)
    assert abs(spectrum.argmax() * 16000 / 6000 - expected) < 3
    assert abs(np.sqrt(2 * np.mean(sound[2000:6000] ** 2)) - 0.5) < 0.02


def test_probe_says_what_the_header_says(recordings):
    info = audio.probe(recordings / "deep/er/c.wav")
    assert (info.sample_rate, info.channels, info.samples, info.format) == (44100, 2, 22050, "WAV PCM_24")
    assert info.seconds == 0.5


RATES = (8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000)


def resampled(pieces, source, rate):
    return torch.cat([torch.empty(0), *audio.resample_blocks(pieces, source, rate)])


@pytest.mark.parametrize(("source", "rate"), [(44100, 16000), (8000, 16000), (48000, 22050), (44101, 16000)])
@given(data=st.data())
def test_resampling_in_pieces_equals_resampling_at_once(source, rate, data):
    signal = torch.from_numpy(np.random.default_rng(0).normal(size=6000).astype(np.float32))
    cuts = sorted(data.draw(st.lists(st.integers(0, 6000), max_size=6)))
    assert torch.equal(resampled(torch.tensor_split(signal, cuts), source, rate), resampled([signal], source, rate))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("broken.wav", "damaged or not audio"),
        ("empty.wav", "the file is empty"),
        ("nan.wav", "NaN or infinite"),
        ("missing.wav", "cannot be opened"),
    ],
)
def test_what_cannot_be_read_says_why(recordings, name, reason):
    with pytest.raises(AudioError, match=reason) as caught:
        audio.read(recordings / name, 16000)
    assert name in str(caught.value)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "aiff"])
@given(data=st.data())
def test_a_damaged_file_is_audio_or_a_clear_error(kind, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / f"x.{kind}"
    soundfile.write(path, tone(440, 8000, 0.1), 8000)
    content = bytearray(path.read_bytes())
    anywhere = st.integers(0, 59) | st.integers(0, len(content) - 1)  # headers are short: half of the damage goes there
    for position in data.draw(st.lists(anywhere, max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(AudioError):
        assert audio.read(path, 8000).isfinite().all()


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_writing_and_reading_again(tmp_path, suffix):
    sound = torch.linspace(-1.2, 1.2, 1000)
    audio.write(tmp_path / "new" / f"x{suffix}", sound, 22050)
    again = audio.read(tmp_path / "new" / f"x{suffix}", 22050)
    torch.testing.assert_close(again, sound.clamp(-1, 1), atol=1.6 / 32768, rtol=0)


def test_an_interrupted_writer_leaves_a_valid_file(tmp_path):
    path = tmp_path / "x.wav"

    def interrupted():
        with audio.Writer(path, 8000) as writer:
            writer.write(np.zeros(300))
            assert not path.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert soundfile.info(path).frames == 300
    assert [p.name for p in tmp_path.iterdir()] == ["x.wav"]


def test_writing_where_it_cannot(tmp_path):
    (tmp_path / "file").write_text("")
    for path, reason in (
        (tmp_path / "x.mp3", "must end in .wav or .flac"),
        (tmp_path / "file" / "x.wav", "cannot write"),
    ):
        with pytest.raises(AudioError, match=reason):
            audio.write(path, np.zeros(3), 8000)


@pytest.mark.parametrize(("source", "rate"), [(44100, 16000), (8000, 16000), (48000, 22050)])
def test_resampling_moves_a_tone_in_neither_time_nor_level(source, rate):
    def of_tone(hertz):
        return resampled([torch.from_numpy(tone(hertz, source)).float()], source, rate).numpy()

    middle = slice(rate // 10, -rate // 10)
    assert np.abs(of_tone(1000) - tone(1000, rate))[middle].max() < 1e-5  # 1e-5 of delay is 1/40,000 of a sample
    highest = 0.45 * min(rate, source)
    level = np.std(of_tone(highest)[middle]) / np.std(tone(highest, rate)[middle])
    assert abs(20 * np.log10(level)) < 0.01
    for hertz in (rate * 0.5005, rate * 0.55) if rate < source else ():  # aliases: 120 dB below the tone's 0.5
        assert np.abs(of_tone(hertz)[middle]).max() < 0.5e-6


@pytest.mark.parametrize(("source", "rate"), [(44100, 16000), (16000, 44100)])
def test_resampling_there_and_back_delays_nothing(source, rate):
    noise = np.random.default_rng(0).normal(size=source // 2)
    spectrum = np.fft.rfft(noise)
    spectrum[int(0.8 * min(rate / source, 1) * len(spectrum)) :] = 0  # what both rates hold
    sound = torch.from_numpy(np.fft.irfft(spectrum)).float()
    back = resampled(resampled([sound], source, rate).split(1000), rate, source)[: len(sound)]
    middle = slice(source // 10, -source // 10)
    assert (back - sound)[middle].square().mean() < 1e-7 * sound.square().mean()


@pytest.mark.parametrize("source", RATES)
def test_any_length_is_resampled_in_full(source):
    for rate in RATES:
        for length in (*range(12), 101, 997, 4999):
            pieces = torch.ones(length).split(97) if length else []
            assert len(resampled(pieces, source, rate)) == -(-length * rate // source)


def test_resampling_holds_back_little():
    made = heard = 0
    pieces = itertools.repeat(torch.zeros(4096), 200)
    for done in audio.resample_blocks(pieces, 44100, 16000):
        made, heard = made + len(done), heard + 4096
        assert heard * 16000 / 44100 - made < 16000 / 10


@pytest.mark.parametrize("name", ["a.wav", "deep/er/c.wav", "f.flac"])
def test_a_long_file_is_the_same_in_small_blocks(recordings, monkeypatch, name):
    whole = audio.read(recordings / name, 16000)
    monkeypatch.setattr(decoding, "BLOCK_VALUES", 1001)
    assert len(list(audio.blocks(recordings / name, 16000))) > 5
    torch.testing.assert_close(audio.read(recordings / name, 16000), whole, atol=1e-6, rtol=0)


def test_channels_are_averaged(tmp_path):
    sound = np.stack([tone(500, 16000), 0.5 * tone(900, 16000), np.zeros(8000)], axis=1)
    soundfile.write(tmp_path / "x.wav", sound, 16000, subtype="FLOAT")
    assert np.abs(audio.read(tmp_path / "x.wav", 16000).numpy() - sound.mean(axis=1)).max() < 1e-6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_bad_sample_in_one_channel_is_enough(tmp_path, value):
    sound = np.zeros((9000, 2), dtype=np.float32)
    sound[7000, 1] = value
    soundfile.write(tmp_path / "x.wav", sound, 44100, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN or infinite"):
        audio.read(tmp_path / "x.wav", 16000)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_sixteen_bits_move_by_one_step_at_most(tmp_path, suffix):
    values = np.arange(-32768, 32768).astype(np.int16)
    soundfile.write(tmp_path / "x.wav", values, 8000, subtype="PCM_16")
    audio.write(tmp_path / f"y{suffix}", audio.read(tmp_path / "x.wav", 8000), 8000)
    again, _ = soundfile.read(tmp_path / f"y{suffix}", dtype="int16")
    assert np.abs(again.astype(int) - values).max() <= 1
    assert again.argmin() == 0
    assert again[32768] == 0


def test_a_failed_writer_leaves_the_older_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "x.FLAC"
    audio.write(path, tone(300, 8000), 8000)
    before = path.read_bytes()

    def full(*_):
        raise OSError("No space left on device")

    def failing():
        with audio.Writer(path, 8000) as writer:
            writer.write(np.zeros(10))
            assert path.read_bytes() == before
            monkeypatch.setattr(soundfile.SoundFile, "write", full)
            writer.write(np.zeros(10))

    with pytest.raises(AudioError, match="No space left on device"):
        failing()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.FLAC"]


def test_a_writer_that_fails_before_its_first_sample_leaves_what_was_there(tmp_path):
    audio.write(tmp_path / "a.wav", np.zeros(100), 8000)
    with pytest.raises(ZeroDivisionError), audio.Writer(tmp_path / "a.wav", 8000):
        raise ZeroDivisionError
    assert audio.probe(tmp_path / "a.wav").samples == 100
    with pytest.raises(ZeroDivisionError), audio.Writer(tmp_path / "b.wav", 8000):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
