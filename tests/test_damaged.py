"""Damaged, cut, joined and unfinished files: what is there is read, what is missing is told, and nothing is printed."""

import io
import os
import re
import sys
import threading

import numpy as np
import pytest
import soundfile
from conftest import KINDS, tone
from hypothesis import given
from hypothesis import strategies as st

from wavenet.audio import decoding
from wavenet.audio import io as audio
from wavenet.audio.containers import Part, Source, View, mpeg, parts
from wavenet.audio.levels import Signal

RATE = 16000
SECONDS = 4.0
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
} | ({"opus": ("OGG", "OPUS")} if audio.OPUS else {})
LENGTHS = {"w64": ("W64", "PCM_16"), "au": ("AU", "PCM_16"), "rf64": ("RF64", "PCM_16")}


def noise(seconds: float = SECONDS, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Coloured, so that no codec finds it easy, and no two blocks are alike."""
    white = np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate))
    return np.convolve(white, [1, 0.9, 0.8, 0.7], mode="same")


def encoded(kind: str, sound: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    container, subtype = (FORMATS | LENGTHS)[kind]
    soundfile.write(file, sound, rate, format=container, subtype=subtype)
    return file.getvalue()


@pytest.fixture
def read(tmp_path):
    """Bytes of a file -> its samples at 16 kHz, and what is to be said of it."""

    def decode(kind: str, content: bytes) -> tuple[np.ndarray, Signal]:
        path, signal = tmp_path / f"x.{kind}", Signal()
        path.write_bytes(content)
        pieces = list(audio.blocks(path, RATE, signal=signal))
        return np.concatenate([piece.numpy() for piece in pieces] or [np.empty(0)]), signal

    return decode


def swapped(content: bytes, position: int, new: bytes) -> bytes:
    return content[:position] + new + content[position + len(new) :]


@pytest.mark.parametrize("kind", FORMATS)
def test_files_joined_by_cat_are_read_one_after_the_other(read, kind):
    first, second = encoded(kind, noise()), encoded(kind, noise(2.0, RATE, seed=1))
    alone = [read(kind, content)[0] for content in (first, second)]
    sound, signal = read(kind, first + second + first)
    assert (signal.streams, signal.damage) == (3, "")
    np.testing.assert_allclose(sound, np.concatenate([*alone, alone[0]]), atol=1e-6)
    assert abs(len(sound) - 10 * RATE) < 100


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_joined_files_may_differ_in_rate_and_channels(read, kind):
    other = np.stack([noise(2.0, 44100, seed=1)] * 2, axis=1)
    sound, signal = read(kind, encoded(kind, noise()) + encoded(kind, other, 44100))
    assert (signal.streams, signal.channels, signal.damage) == (2, 2, "")
    assert abs(len(sound) - 6 * RATE) < 100


@pytest.mark.parametrize("tag", [b"TAG" + bytes(125), b"ID3\4\0\0\0\0\1\0" + b"\xff\xfb" * 64])
def test_tags_between_joined_mp3s_are_no_damage(read, tag):
    one = encoded("mp3", noise())
    sound, signal = read("mp3", b"ID3\3\0\0\0\0\0\5hello" + one + tag + one + tag)
    assert (signal.streams, signal.damage) == (2, "")
    assert len(sound) == 2 * len(read("mp3", one)[0])


def frames_of(content: bytes) -> list[int]:
    """Where the frames of an MP3 begin."""
    source, found, position = Source(io.BytesIO(content)), [], 0
    while length := mpeg._frame(source, position)[0]:
        found.append(position)
        position += length
    assert position == len(content)
    return found


def test_a_damaged_header_costs_a_frame_of_an_mp3(read):
    content = encoded("mp3", noise())
    whole, _ = read("mp3", content)
    start = frames_of(content)[-20]
    for byte in range(4):
        for bit in range(8):
            sound, signal = read("mp3", swapped(content, start + byte, bytes([content[start + byte] ^ 1 << bit])))
            assert len(sound) >= len(whole) - 2 * 1152, (byte, bit)
            assert len(sound) > len(whole) - 80 or signal.damage, (byte, bit)
            assert signal.missing == pytest.approx((len(whole) - len(sound)) / RATE, abs=decoding.LEAST_MISSING)


@pytest.mark.parametrize("kind", [*FORMATS, *LENGTHS])
def test_a_file_cut_in_half_is_half_read_and_says_so(read, kind):
    content = encoded(kind, noise())
    assert read(kind, content)[1].damage == ""
    sound, signal = read(kind, content[: len(content) // 2])
    assert 0.2 * SECONDS < len(sound) / RATE < 0.55 * SECONDS
    if kind in ("ogg", "opus"):
        assert signal.damage == "it ends before its end mark"
    else:
        assert signal.missing == pytest.approx(SECONDS - len(sound) / RATE, abs=0.01)
        assert signal.damage == f"{signal.missing:.2f} of its {SECONDS:.2f} s are missing"


def test_an_mp3_without_a_count_of_its_frames_is_read_to_its_end(read):
    """Its bit rate changes, so its length cannot be told from its first frame."""
    quiet = np.concatenate([np.zeros(2 * RATE), noise(6.0)])
    content = encoded("mp3", quiet)
    assert b"Xing" in content[:100]
    bare = content[frames_of(content)[1] :]
    sound, signal = read("mp3", bare)
    assert signal.damage == ""
    assert 8 * RATE <= len(sound) < 8 * RATE + 3 * 1152
    sound, signal = read("mp3", swapped(bare, frames_of(bare)[60] + 1, b"\0"))
    assert signal.damage == "it is damaged in one place"


def test_a_flac_of_unknown_length_is_read(read):
    content = encoded("flac", noise())
    streamed = swapped(content, 21, bytes([content[21] & 0xF0]) + bytes(4))  # as flac writes into a pipe
    sound, signal = read("flac", streamed)
    assert (len(sound), signal.damage) == (SECONDS * RATE, "")
    sound, signal = read("flac", streamed[: len(streamed) // 2])
    assert signal.damage == f"it is damaged from {len(sound) / RATE:.2f} s on"


def test_damage_within_a_flac_costs_a_block(read):
    content = encoded("flac", noise())
    for place in np.linspace(1000, len(content) - 1000, 7).astype(int):
        sound, signal = read("flac", swapped(content, place, bytes([content[place] ^ 0xFF])))
        assert len(sound) >= SECONDS * RATE - 2 * 4096
        assert signal.missing == pytest.approx(SECONDS - len(sound) / RATE)
        assert signal.missing > 0


@pytest.mark.parametrize("kind", ["wav", "aiff"])
def test_a_header_that_was_never_finished(read, kind):
    content = encoded(kind, noise())
    place = content.index(b"data" if kind == "wav" else b"SSND") + 4
    unfinished = swapped(swapped(content, place, bytes(4)), 4, bytes(4))
    if kind == "aiff":
        unfinished = swapped(unfinished, content.index(b"COMM") + 10, bytes(4))
    sound, signal = read(kind, unfinished)
    np.testing.assert_array_equal(sound, read(kind, content)[0])
    assert signal.damage == "its header was never finished: it was read to the end of the file"


def test_a_size_that_says_that_it_is_not_known_is_no_damage(read):
    content = encoded("wav", noise())
    place = content.index(b"data") + 4
    for size in (b"\xff\xff\xff\xff", b"\x00\xf0\xff\x7f"):
        sound, signal = read("wav", swapped(content, place, size))
        assert (len(sound), signal.damage) == (SECONDS * RATE, "")


def test_a_wav_that_is_truly_empty_stays_so(read):
    empty = encoded("wav", np.zeros(0))
    for after in (b"", b"LIST\x04\0\0\0INFO"):
        sound, signal = read("wav", empty + after)
        assert (len(sound), signal.damage) == (0, "")


def test_junk_after_a_wav_does_not_matter(read):
    content = encoded("wav", noise())
    for junk in (b"\0\1\2\3" * 50, b"TAG" + bytes(125)):
        sound, signal = read("wav", content + junk)
        assert (len(sound), signal.streams, signal.damage) == (SECONDS * RATE, 1, "")


@pytest.mark.parametrize("name", KINDS)
def test_sound_files_have_no_damage(recordings, name):
    signal = Signal()
    assert sum(map(len, audio.blocks(recordings / name, RATE, signal=signal))) > 7000
    assert (signal.streams, signal.damage, signal.channels) == (1, "", KINDS[name][3])


def test_decoding_libraries_print_nothing(read, capfd):
    content = encoded("mp3", noise())
    starts = frames_of(content)
    for number in range(0, len(starts), 9):
        for offset in (1, 5, 9):  # in headers and in what follows them
            read("mp3", swapped(content, starts[number] + offset, b"\x37\x5a"))
    read("mp3", content[: len(content) // 2])
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(decoding._streams() is None, reason="this C library's standard error cannot be exchanged")
def test_pythons_own_output_is_not_lost_meanwhile(capfd):
    said = threading.Event()

    def speak():
        print("by Python", file=sys.__stderr__, flush=True)
        os.write(2, b"by the system\n")
        said.set()

    with decoding.hushed(), decoding.hushed():
        threading.Thread(target=speak).start()
        assert said.wait(10)
        decoding.ctypes.CDLL(None).perror(b"by C")
    decoding.ctypes.CDLL(None).perror(b"by C afterwards")
    err = capfd.readouterr().err
    assert "by Python" in err
    assert "by the system" in err
    assert "by C afterwards" in err
    assert "by C:" not in err


class Failing(io.BytesIO):
    """A file that cannot be read any more from some place on."""

    def __init__(self, content: bytes, place: int, failure: BaseException) -> None:
        super().__init__(content)
        self.place, self.failure, self.armed = place, failure, False

    def read(self, size: int | None = -1) -> bytes:
        if self.armed and self.tell() + (size or 0) > self.place:
            raise self.failure
        return super().read(size)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("failure", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_what_the_system_does_not_let_be_read_is_no_damage(tmp_path, kind, failure):
    path = tmp_path / f"x.{kind}"
    path.write_bytes(encoded(kind, noise()))
    with decoding.Recording(path) as recording:
        recording._file.close()
        recording._file = Failing(path.read_bytes(), path.stat().st_size // 2, failure)
        recording._ready.clear()
        ((_, pieces),) = recording.streams(decoding.Account())
        recording._file.armed = True
        if isinstance(failure, KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                list(pieces)
        else:
            with pytest.raises(decoding.UnusableAudioError, match="Input/output error") as caught:
                list(pieces)
            assert not caught.value.lasting


@given(st.data())
def test_a_view_is_the_file_of_its_pieces(data):
    content = bytes(range(256)) * 4
    place = st.tuples(st.integers(0, 1024), st.integers(0, 1024)).map(lambda pair: tuple(sorted(pair)))
    pieces = tuple(data.draw(st.lists(place | st.binary(max_size=9), max_size=5)))
    expected = io.BytesIO(b"".join(p if isinstance(p, bytes) else content[p[0] : p[1]] for p in pieces))
    view = View(io.BytesIO(content), Part(pieces))
    for _ in range(6):
        offset = data.draw(st.integers(0, 1100))
        assert view.seek(offset) == expected.seek(offset)
        ours, theirs = bytearray(300), bytearray(300)
        assert view.readinto(memoryview(ours)) == expected.readinto(theirs)
        assert (ours, view.tell()) == (theirs, expected.tell())
    assert view.seek(0, os.SEEK_END) == expected.seek(0, os.SEEK_END)


@pytest.mark.parametrize(
    "junk",
    [b"", b"\0", b"\xff" * 5000, b"\xff\xfb\x90" * 2000, np.random.default_rng(0).bytes(20000), b"RIFF", b"OggS"],
)
def test_what_is_no_audio_is_one_part_at_most(junk):
    assert len(parts(Source(io.BytesIO(junk)))) == 1


def test_long_files_are_searched_in_windows(monkeypatch):
    monkeypatch.setattr("wavenet.audio.containers.source.WINDOW", 64)
    content = bytearray(np.random.default_rng(1).bytes(5000).replace(b"\xaa", b"\0"))
    for place in (0, 63, 64, 127, 1000, 4998):
        content[place : place + 2] = b"\xaa\xbb"
    source = Source(io.BytesIO(bytes(content)))
    found, position = [], 0
    while (place := source.find(b"\xaa\xbb", position)) is not None:
        found.append(place)
        position = place + 1
    assert found == [match.start() for match in re.finditer(b"\xaa\xbb", content)]
    assert source.at(4000, 500) == content[4000:4500]


def test_tones_survive_a_joint(read):
    sound, _ = read("wav", encoded("wav", tone(400, RATE)) + encoded("wav", tone(700, RATE)))
    loudest = [np.abs(np.fft.rfft(half)).argmax() * 2 for half in np.split(sound, 2)]
    assert loudest == [400, 700]
