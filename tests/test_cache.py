"""Prepared audio on disk: what killed runs left and what nobody uses is removed, and wavenet-cache lists the rest."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import tone

from wavenet.config import DataConfig
from wavenet.errors import AudioError, ConfigError
from wavenet.files import atomic, temporary_name
from wavenet.recordings import building, cache, preparation, shards
from wavenet.recordings.preparation import prepare


@pytest.fixture
def sounds(tmp_path):
    """Folder -> settings to prepare it with, all in one cache."""

    def make(name: str, count: int = 1, seconds: float = 0.5) -> DataConfig:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for number in range(count):
            soundfile.write(folder / f"{number}.wav", tone(300 + number, 44100, seconds), 44100)
        return DataConfig(dir=str(folder), cache_dir=str(tmp_path / "cache" / "wavenet"), workers=2)

    return make


def unused_for(path: Path, days: float) -> None:
    before = time.time() - days * cache.DAY
    os.utime(cache.index(path), (before, before))


def test_what_nobody_used_for_long_is_removed_with_a_word(sounds):
    kept = [prepare(sounds(name)) for name in "abc"]
    unused_for(kept[0].cache, cache.UNUSED_DAYS + 1)
    unused_for(kept[1].cache, cache.UNUSED_DAYS - 1)
    lines = prepare(sounds("d")).report()
    assert lines[-1] == f"removed 0 MB of prepared audio, unused for 90 days, from {kept[0].cache.parent}"
    assert [found.cache.exists() for found in kept] == [False, True, True]
    unused_for(kept[1].cache, cache.UNUSED_DAYS + 1)
    prepare(sounds("b"))  # is using it
    assert not any("removed" in line for line in prepare(sounds("e")).report())
    assert bytes(kept[0].codes[:10]) == bytes(kept[2].codes[:10])  # who has it open keeps it


def test_only_what_is_prepared_audio_is_ever_removed(sounds):
    config = sounds("a")
    root = prepare(config).cache.parent
    for name in ("notes", ".hidden", "0123456789abcdef01234567", ".0123456789abcdef01234567.tmp"):
        (root / name).mkdir()
        os.utime(root / name, (1, 1))
    before = sorted(os.listdir(root))
    cache.sweep(root)
    assert sorted(os.listdir(root)) == before


def test_what_is_being_written_is_not_removed(sounds):
    place = prepare(sounds("a")).cache
    with cache.alone(place) as locked:
        assert locked
        assert not cache.discard(place)
        assert place.exists()
    assert cache.discard(place)
    assert not place.exists()


def test_what_is_half_removed_is_removed_when_no_older_version_can_be_writing_in_it(tmp_path):
    half = tmp_path / f".{'0' * 24}.{'1' * 8}"
    half.mkdir()
    cache.sweep(tmp_path)
    assert half.exists()
    os.utime(half, (1, 1))
    cache.sweep(tmp_path)
    assert not half.exists()


STOPPED = """
import resource, signal, sys
from wavenet.config import DataConfig
from wavenet.recordings.preparation import prepare
if sys.argv[3] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
def progress(done, count):
    if sys.argv[3] == "interrupted":
        signal.raise_signal(signal.SIGINT)
prepare(DataConfig(dir=sys.argv[1], cache_dir=sys.argv[2], workers=2), progress)
"""


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("how", ["interrupted", "full"])
def test_stopping_while_recordings_are_read_ends_as_an_exception_does(sounds, how):
    config = sounds("a", 8, seconds=20)
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, config.dir, config.cache_dir, how], capture_output=True, text=True, check=False
    )
    last = done.stderr.splitlines()[-1]
    if how == "interrupted":
        assert (done.returncode, last) == (-signal.SIGINT, "KeyboardInterrupt")
    else:
        assert done.returncode == 1
        assert "cannot keep prepared audio" in last
        assert "Errno" not in last
    assert "terminate called" not in done.stderr
    (place,) = Path(config.cache_dir).iterdir()
    assert {path.name.split(".")[-1] for path in place.iterdir()} <= {"index", "codes"}
    done = [line.name for line in shards.read(place).values()]
    prepared = prepare(config)
    assert len(prepared.recordings) == 8
    if how == "interrupted":
        assert prepared.notes == [
            f"read {8 - len(done)} recordings, new or changed ones; {len(done)} were prepared before"
        ]


def test_an_interrupted_run_waits_for_no_whole_recording(sounds):
    config = sounds("a", 2, seconds=1)
    soundfile.write(Path(config.dir, "long.wav"), np.tile(tone(300, 44100, 1.0), 600), 44100)

    def interrupt(*_):
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        prepare(config, interrupt)
    assert time.monotonic() - began < 5  # it takes longer to read


def test_what_could_not_be_read_is_tried_again(sounds, monkeypatch):
    config = sounds("a", 4)
    blocks = preparation.audio.blocks

    def failing(path, *rest):
        if path.name in ("1.wav", "2.wav"):
            raise preparation.audio.UnusableAudioError(path, "it cannot be opened (Permission denied)", lasting=False)
        return blocks(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(preparation.audio, "blocks", failing)
        found = prepare(config)
        assert [skip.reason for skip in found.skipped] == ["it cannot be opened (Permission denied)"] * 2
        assert len(found.recordings) == 2
        for name in ("1.wav", "2.wav"):
            Path(config.dir, name).rename(Path(config.dir, f".{name}"))
            Path(config.dir, name).symlink_to(f".{name}")  # the same in all that the key sees
    assert len(prepare(config).recordings) == 4


def test_a_report_is_the_same_from_the_cache(sounds, monkeypatch):
    config = sounds("a", 2)
    loud = np.stack([3 * tone(300, 16000), tone(200, 16000)], axis=1)
    soundfile.write(Path(config.dir, "loud.wav"), loud, 16000, subtype="FLOAT")
    whole = Path(config.dir, "0.wav").read_bytes()
    Path(config.dir, "joined.wav").write_bytes(whole + whole[: len(whole) // 2])
    first = prepare(config)
    assert len(first.report()) == 4
    monkeypatch.setattr(building, "decode", None)
    again = prepare(config)
    assert again.report() == first.report()
    assert again.recordings == first.recordings


def test_the_command_lists_and_removes(call, sounds, tmp_path):
    kept = {name: prepare(sounds(name)).cache for name in "abc"}
    unused_for(kept["b"], 40)
    unused_for(kept["c"], 3)
    status, out, err = call("cache")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split(": ")[1].split("  (")[0] for line in lines[:3]] == [str(tmp_path / name) for name in "acb"]
    assert "0.0 MB, used 40 days ago" in lines[2]
    assert lines[3].startswith(f"{tmp_path}/cache/wavenet: 3 folders of prepared audio, 0.0 MB")
    status, out, _ = call("cache", "unused_days=30", "report=r.json")
    assert status == 0
    assert [path.exists() for path in kept.values()] == [True, False, True]
    assert json.loads((tmp_path / "r.json").read_text())["removed"] == [str(kept["b"])]
    status, _, err = call("cache", "remove=nowhere")
    assert status == 1
    assert err.startswith(
        "error: remove: there is no prepared audio of nowhere; give all, or a folder that wavenet-cache lists"
    )
    assert call("cache", f"remove={tmp_path / 'a'}")[0] == 0
    assert [path.exists() for path in kept.values()] == [False, False, True]
    assert call("cache", "remove=all")[0] == 0
    assert os.listdir(tmp_path / "cache" / "wavenet") == []
    assert call("cache")[1].strip() == f"{tmp_path}/cache/wavenet: 0 folders of prepared audio, 0.0 MB"


def test_the_command_checks_all_that_is_kept(call, sounds, tmp_path):
    kept = {name: prepare(sounds(name, 2)).cache for name in "ab"}
    (shard,) = kept["a"].glob("*.codes")
    content = bytearray(shard.read_bytes())
    content[9000] ^= 1
    shard.write_bytes(content)
    status, out, _ = call("cache", "check=true", "report=r.json")
    assert status == 0
    assert [line for line in out.splitlines() if line.startswith("  ")] == [
        "  checked: sound",
        "  damaged: 1 (1.wav); the next run reads them again",
    ]
    damaged = json.loads((tmp_path / "r.json").read_text())["damaged"]
    assert damaged == {str(kept["a"]): ["1.wav"], str(kept["b"]): []}
    assert list(shards.read(kept["a"])) == ["0.wav"]
    assert prepare(sounds("b", 2)).cache == kept["b"]


def test_no_home_folder_is_told(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without HOME and passwd entry
    with pytest.raises(ConfigError, match=r"data\.cache_dir"):
        cache.root(None)


def test_the_home_of_nobody_does_not_exist(tmp_path):
    with pytest.raises((AudioError, ConfigError), match=r"nosuch"):
        prepare(DataConfig(dir="~nosuch/x", cache_dir=str(tmp_path)))


def test_temporary_names_are_nobody_elses_and_never_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as in every container
    with atomic(tmp_path / "x.json") as one, atomic(tmp_path / "x.json") as two:
        assert one != two
        one.write_text("1")
        two.write_text("2")
    assert (tmp_path / "x.json").read_text() == "1"  # who leaves last
    for name in ("a" * 251 + ".wav", "ä" * 120 + ".wav", "a." + "b" * 253, "c" * 255):
        assert len(os.fsencode(temporary_name(tmp_path / name).name)) <= 255
        with atomic(tmp_path / name) as temporary:
            temporary.write_text("x")
        assert (tmp_path / name).read_text() == "x"
    long = tmp_path / ("d" * 251 + ".wav")
    preparation.audio.write(long, np.zeros(100), 16000)
    assert preparation.audio.probe(long).samples == 100
