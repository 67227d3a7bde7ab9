"""Prepared codes in shards: what is prepared again and what is not, checksums, and slices as of one array."""

import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import tone
from hypothesis import given
from hypothesis import strategies as st

from wavenet.audio.encodings import SIXTEEN_BIT
from wavenet.config import DataConfig
from wavenet.recordings import building, cache, shards
from wavenet.recordings.preparation import Prepared, prepare
from wavenet.recordings.shards import Line


@pytest.fixture
def config(tmp_path):
    """Five recordings of half a second to two and a half."""
    (tmp_path / "sounds").mkdir()
    for number in range(5):
        write(tmp_path / "sounds" / f"{number}.wav", 300 + number, (number + 1) / 2)
    return DataConfig(dir=str(tmp_path / "sounds"), cache_dir=str(tmp_path / "cache"), workers=2)


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files decoded so far."""
    names, decode = [], building.decode

    def noting(item, **settings):
        names.append(item[0].name)
        return decode(item, **settings)

    monkeypatch.setattr(building, "decode", noting)
    return names


def write(path: Path, frequency: float, seconds: float) -> None:
    soundfile.write(path, tone(frequency, 16000, seconds), 16000)


def fresh(config: DataConfig, tmp_path: Path) -> Prepared:
    """The same folder prepared in an empty cache."""
    return prepare(DataConfig(dir=config.dir, cache_dir=str(tmp_path / f"fresh{time.monotonic_ns()}")))


def same(one: Prepared, other: Prepared) -> bool:
    return one.recordings == other.recordings and bytes(one.codes[:]) == bytes(other.codes[:])


def test_added_changed_and_removed_files_are_prepared_alone(config, decoded, tmp_path):
    sounds = Path(config.dir)
    prepare(config)
    assert sorted(decoded) == [f"{n}.wav" for n in range(5)]
    decoded.clear()
    write(sounds / "15.wav", 500, 1.0)
    write(sounds / "3.wav", 700, 1.5)
    (sounds / "0.wav").unlink()
    after = prepare(config)
    assert sorted(decoded) == ["15.wav", "3.wav"]
    assert after.notes == ["read 2 recordings, new or changed ones; 3 were prepared before"]
    assert [recording.name for recording in after.recordings] == ["1.wav", "15.wav", "2.wav", "3.wav", "4.wav"]
    assert same(after, fresh(config, tmp_path))
    assert "0.wav" not in shards.read(after.cache)
    decoded.clear()
    (sounds / "1.wav").unlink()
    assert len(prepare(config).recordings) == 4
    assert decoded == []
    assert "1.wav" not in shards.read(after.cache)


def test_what_is_not_used_any_more_takes_no_more_space_than_what_is(config, decoded):
    rng = random.Random(1)
    for _ in range(12):
        name = f"{rng.randrange(5)}.wav"
        write(Path(config.dir, name), rng.randrange(200, 900), rng.randrange(1, 6) / 2)
        os.utime(Path(config.dir, name), ns=(0, rng.randrange(1 << 40)))
        prepared = prepare(config)
        sizes = sum(path.stat().st_size for path in prepared.cache.glob("*.codes"))
        assert sizes <= 2 * len(prepared.codes)
    assert len(decoded) == 5 + 11  # the first of the twelve was prepared with the rest


@pytest.mark.parametrize("killed_after", range(1, 5))
def test_an_interrupted_preparation_goes_on_where_it_stopped(config, decoded, killed_after, tmp_path, monkeypatch):
    def interrupt(done, count):
        if done == killed_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(config, interrupt)
    decoded.clear()
    prepared = prepare(config)
    assert sorted(decoded) == [f"{n}.wav" for n in range(killed_after, 5)]
    assert same(prepared, fresh(config, tmp_path))


def test_a_torn_end_costs_one_recording(config, decoded):
    first = prepare(config)
    index = first.cache / shards.INDEX
    for cut in range(2, 40, 3):
        decoded.clear()
        os.truncate(index, index.stat().st_size - cut)
        assert same(prepare(config), first)
        assert decoded == ["4.wav"]


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_told_and_mended(config, decoded, tmp_path):
    expected = fresh(config, tmp_path)
    size = len(prepare(config).codes)
    for place in (0, 7999, 8000, 30000, size - 1):
        decoded.clear()
        for shard in Path(config.cache_dir).rglob("*.codes"):
            if shard.stat().st_size > place:
                flip(shard, place)
        prepared = prepare(config)
        assert same(prepared, expected)
        assert len(decoded) >= 1
        names = ", ".join(sorted(decoded))
        (note,) = prepared.notes
        assert note.startswith("read again, because their prepared audio did not have its checksum any more: ")
        assert note.endswith(f"({names})")


def test_a_flipped_bit_of_the_index_costs_one_recording_at_most(config, decoded, tmp_path):
    first = prepare(config)
    index = first.cache / shards.INDEX
    for place in random.Random(0).sample(range(index.stat().st_size), 25):
        decoded.clear()
        flip(index, place)
        assert same(prepare(config), first)
        assert len(decoded) <= 2  # a line break joins two lines


def test_a_large_cache_is_not_read_as_a_whole(config, monkeypatch):
    monkeypatch.setattr(shards, "GLANCE", 10_000)
    monkeypatch.setattr(shards, "BLOCK", 5_000)
    monkeypatch.setattr(shards, "PIECE", 5_000)
    prepared = prepare(config)
    lines = list(shards.read(prepared.cache).values())
    seen = []
    monkeypatch.setattr(shards, "_fits", lambda place, line, piece: seen.append((line.name, piece)) or True)
    assert shards.glance(prepared.cache, lines) == []
    assert len(seen) == 2


def test_a_shard_has_a_bounded_size_and_a_longer_recording_its_own(config, monkeypatch):
    expected = bytes(prepare(config).codes[:])
    monkeypatch.setattr(shards, "SHARD", 30_000)
    monkeypatch.setattr(shards, "BLOCK", 3_500)
    monkeypatch.setattr(shards, "PIECE", 7_000)
    cache.discard(prepare(config).cache)
    prepared = prepare(config)
    assert bytes(prepared.codes[:]) == expected
    sizes = sorted(path.stat().st_size for path in prepared.cache.glob("*.codes"))
    assert sizes == [24_000, 24_000, 32_000, 40_000]
    lines = shards.read(prepared.cache)
    assert [len(lines[f"{n}.wav"].checksums) for n in range(5)] == [2, 3, 4, 5, 6]
    assert shards.damaged(prepared.cache, lines.values()) == []


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.data())
def test_shards_are_read_like_one_array(tmp_path_factory, lengths, data):
    place = tmp_path_factory.mktemp("shards")
    codes = np.random.default_rng(sum(lengths)).integers(0, 65536, sum(lengths)).astype(np.uint16)
    lines, start = [], 0
    for number, length in enumerate(lengths):
        shard = f"{data.draw(st.integers(0, 2)):016x}.codes"
        with open(place / shard, "ab") as file:
            at = file.tell()
            file.write(codes[start : start + length].tobytes())
        lines.append(Line(f"{number}", 1, 1, shard, at, 2 * length, [0]))
        start += length
    made = shards.Shards(place, lines, SIXTEEN_BIT.stored)
    assert len(made) == len(codes)
    assert np.array_equal(made, codes)
    for _ in range(10):
        wanted = slice(data.draw(st.integers(-5, 80) | st.none()), data.draw(st.integers(-5, 80) | st.none()))
        assert np.array_equal(made[wanted], codes[wanted])
        assert made[wanted].dtype == codes.dtype
    with pytest.raises(TypeError, match="by slices without a step"):
        made[::2]
    with pytest.raises(TypeError, match="by slices"):
        made[0]  # type: ignore[index]


def test_a_line_that_points_elsewhere_is_not_believed():
    good = Line("a", 1, 1, "0123456789abcdef.codes", 0, 5, [1])
    assert good.sound
    for shard in ("../../etc/passwd", "/etc/passwd", "0123456789abcdef.codes/x", "x"):
        assert not Line("a", 1, 1, shard, 0, 5, [1]).sound
    for start, length, sums in ((-1, 5, [1]), (0, 5, []), (0, 0, []), (0, 5, [1, 2]), (0.5, 5, [1]), (0, 5, ["x"])):
        assert not Line("a", 1, 1, good.shard, start, length, sums).sound


def test_an_older_cache_is_made_anew_with_a_word(config):
    place = Path(config.cache_dir, "0" * 24)
    place.mkdir(parents=True)
    (place / "codes").write_bytes(bytes(2_000_000))
    (place / cache.OLDER_INDEX).write_text(f'{{"folder": "{Path(config.dir).resolve()}", "recordings": []}}')
    other = Path(config.cache_dir, "1" * 24)
    other.mkdir()
    (other / cache.OLDER_INDEX).write_text('{"folder": "/elsewhere"}')
    assert [entry.is_older for entry in cache.entries(place.parent)] == [True, True]
    prepared = prepare(config)
    assert prepared.notes == ["read anew what an older version of wavenet had prepared, and removed its 2 MB"]
    assert not place.exists()
    assert other.exists()
