"""Audio files: every format to the same mono signal, damage a clear error at most, writing whole or not at all."""

import contextlib
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import torch
from conftest import KINDS, tone
from hypothesis import given
from hypothesis import strategies as st

from wavenet import audio
from wavenet.errors import AudioError


@pytest.mark.parametrize("name", KINDS)
def test_every_format_reads_at_the_rate_asked_for(recordings, name):
    sound = audio.read(recordings / name, 16000).numpy()
    assert abs(len(sound) - 8000) <= (2500 if name.endswith("mp3") else 1)  # MP3 pads with its own delay
    spectrum = np.abs(np.fft.rfft(sound[1000:7000] * np.hanning(6000)))
    expected = 300 + 50 * list(KINDS).index(name)
    assert abs(spectrum.argmax() * 16000 / 6000 - expected) < 3
    assert abs(np.sqrt(2 * np.mean(sound[2000:6000] ** 2)) - 0.5) < 0.02


def test_probe_says_what_the_header_says(recordings):
    info = audio.probe(recordings / "deep/er/c.wav")
    assert (info.sample_rate, info.channels, info.frames, info.format) == (44100, 2, 22050, "WAV PCM_24")
    assert info.seconds == 0.5


@pytest.mark.parametrize("ratio", [Fraction(160, 441), Fraction(2), Fraction(441, 960), Fraction(1, 3)])
@given(data=st.data())
def test_resampling_in_pieces_equals_resampling_at_once(ratio, data):
    signal = torch.from_numpy(np.random.default_rng(0).normal(size=6000).astype(np.float32))
    cuts = sorted(data.draw(st.lists(st.integers(0, 6000), max_size=6)))
    pieces = torch.tensor_split(signal, cuts)
    whole = torch.cat(list(audio.resample_blocks([signal], ratio)))
    parts = torch.cat(list(audio.resample_blocks(pieces, ratio)))
    assert len(whole) == len(parts) == -(-6000 * ratio.numerator // ratio.denominator)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


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


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "aiff"])
@given(data=st.data())
def test_a_damaged_file_is_audio_or_a_clear_error(kind, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / f"x.{kind}"
    soundfile.write(path, tone(440, 8000, 0.1), 8000)
    content = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, min(len(content), 120) - 1), max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(AudioError):
        assert audio.read(path, 8000).isfinite().all()


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_writing_and_reading_again(tmp_path, suffix):
    sound = torch.linspace(-1.2, 1.2, 1000)
    audio.write(tmp_path / "new" / f"x{suffix}", sound, 22050)
    again = audio.read(tmp_path / "new" / f"x{suffix}", 22050)
    torch.testing.assert_close(again, sound.clamp(-1, 1), atol=1 / 32000, rtol=0)


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
