"""Preparing a folder: what is used, what is left out and why, and when it is decoded again."""

import contextlib
import dataclasses
import gc
import os
import re
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import KINDS, tone
from hypothesis import given
from hypothesis import strategies as st

from wavenet.audio import io as audio
from wavenet.audio import mulaw
from wavenet.config import DataConfig
from wavenet.errors import AudioError
from wavenet.recordings import building, shards
from wavenet.recordings.preparation import Skipped, prepare


@pytest.fixture
def config(recordings, tmp_path):
    return DataConfig(dir=str(recordings), cache_dir=str(tmp_path / "cache"), workers=2)


def test_good_files_are_used_and_bad_ones_named(config):
    prepared = prepare(config)
    assert [recording.name for recording in prepared.recordings] == sorted(KINDS)
    reasons = {skip.name: skip.reason for skip in prepared.skipped}
    assert set(reasons) == {"broken.wav", "empty.wav", "silent.wav", "short.wav", "nan.wav", "nothing.wav"}
    assert "damaged" in reasons["broken.wav"]
    assert "empty" in reasons["empty.wav"]
    assert "silent" in reasons["silent.wav"]
    assert "it is only 0.010 s long" in reasons["short.wav"]
    assert "NaN" in reasons["nan.wav"]
    assert "no samples" in reasons["nothing.wav"]
    words = "\n".join(prepared.report())
    assert "9 recordings" in words
    assert all(name in words for name in reasons)


def test_files_left_out_for_one_reason_are_told_together(config, tmp_path):
    left = [Skipped(f"{n}.wav", "it is silent") for n in range(10)] + [
        Skipped(f"x{n}.wav", f"why {n}") for n in range(9)
    ]
    prepared = dataclasses.replace(prepare(config), skipped=left)
    lines = prepared.report()
    place = lines.index("left out 19:")
    assert lines[place + 1] == "  10 (0.wav, 1.wav, 2.wav, ...): it is silent"
    assert lines[place + 2 : place + 10] == [*(f"  x{n}.wav: why {n}" for n in range(7)), "  and 2 more"]


def test_codes_are_those_of_the_files(config):
    prepared = prepare(config)
    (first,) = [recording for recording in prepared.recordings if recording.name == "a.wav"]
    codes = prepared.codes[first.start : first.start + first.samples]
    expected, _ = soundfile.read(prepared.folder / "a.wav", dtype="float32")
    assert np.array_equal(codes, mulaw.encode(torch.from_numpy(expected)).numpy())
    assert sum(recording.samples for recording in prepared.recordings) == len(prepared.codes)


def test_nothing_is_decoded_twice(config, monkeypatch):
    before = prepare(config)
    monkeypatch.setattr(building, "decode", None)
    again = prepare(config)
    assert np.array_equal(before.codes, again.codes)
    assert before.recordings == again.recordings
    assert before.skipped == again.skipped


def test_a_changed_file_or_setting_is_decoded_again(recordings, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(recordings / "a.wav", folder)
    config = DataConfig(dir=str(folder), cache_dir=str(tmp_path / "cache"))
    assert len(prepare(config).codes) == 8000
    soundfile.write(folder / "b.wav", tone(300, 16000), 16000)
    assert len(prepare(config).codes) == 16000
    config.sample_rate = 8000
    assert len(prepare(config).codes) == 8000


def test_two_runs_at_once(config):
    with ThreadPoolExecutor(4) as pool:
        prepared = list(pool.map(prepare, [config] * 4))
    assert all(np.array_equal(prepared[0].codes, other.codes) for other in prepared)


def test_silence_is_cut_only_when_asked(tmp_path):
    sound = np.concatenate([np.zeros(4000), tone(400, 16000, 0.25), np.full(2000, 0.001)])
    soundfile.write(tmp_path / "x.wav", sound, 16000)
    config = DataConfig(dir=str(tmp_path), cache_dir=str(tmp_path / "cache"))
    assert len(prepare(config).codes) == 10000
    config.trim_silence_db = 40
    assert abs(len(prepare(config).codes) - 4000) < 20


def test_no_usable_file_is_one_clear_error(tmp_path):
    config = DataConfig(dir=str(tmp_path), cache_dir=str(tmp_path / "cache"))
    with pytest.raises(AudioError, match="holds no recordings"):
        prepare(config)
    (tmp_path / "x.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"no recording in .* can be used \(x\.wav: the file is empty\)"):
        prepare(config)
    with pytest.raises(AudioError, match=r"data\.dir: .*gone does not exist"):
        prepare(DataConfig(dir=str(tmp_path / "gone")))
    with pytest.raises(AudioError, match="is a file; give the folder"):
        prepare(DataConfig(dir=str(tmp_path / "x.wav")))
    (tmp_path / "file").write_text("")
    soundfile.write(tmp_path / "y.wav", tone(300, 16000), 16000)
    with pytest.raises(AudioError, match=r"set data\.cache_dir"):
        prepare(DataConfig(dir=str(tmp_path), cache_dir=str(tmp_path / "file" / "cache")))


def test_files_of_other_kinds_and_links_to_nowhere_are_told(tmp_path):
    config = DataConfig(dir=str(tmp_path), cache_dir=str(tmp_path / ".cache"))
    for name in ("a.m4a", "b/c.M4A", "d.wma", ".e.wma", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    said = "ignored 3 files of other kinds: .m4a (2), .wma (1); convert them to WAV or FLAC"
    with pytest.raises(AudioError, match=f"holds no recordings .*; {re.escape(said)}"):
        prepare(config)
    (tmp_path / "lost.wav").symlink_to(tmp_path / "gone.wav")
    with pytest.raises(AudioError, match=r"can be used \(lost\.wav: it is a broken link\)"):
        prepare(config)
    soundfile.write(tmp_path / "x.wav", tone(300, 16000), 16000)
    lines = prepare(config).report()
    assert lines[0].startswith(f"{tmp_path}: 1 recording, ")
    assert lines[1:] == ["left out 1:", "  lost.wav: it is a broken link", said]


@pytest.mark.skipif(not audio.OPUS, reason="this libsndfile reads no Opus")
def test_opus_is_read(tmp_path):
    soundfile.write(tmp_path / "x.opus", tone(300, 48000), 48000, format="OGG", subtype="OPUS")
    prepared = prepare(DataConfig(dir=str(tmp_path), cache_dir=str(tmp_path / ".cache")))
    assert [recording.name for recording in prepared.recordings] == ["x.opus"]
    assert abs(prepared.recordings[0].samples - 8000) < 200


PREPARE = """
import hashlib, pathlib, sys, time
from wavenet.config import DataConfig
from wavenet.recordings.preparation import Skipped, prepare
folder, cache, me, other = sys.argv[1:]
pathlib.Path(me).touch()
while not pathlib.Path(other).exists():
    time.sleep(0.001)
prepared = prepare(DataConfig(dir=folder, cache_dir=cache, workers=1))
print(hashlib.sha256(prepared.codes[:]).hexdigest(), prepared.recordings, prepared.skipped)
"""


def test_two_processes_at_once(config, tmp_path):
    signs = [str(tmp_path / "one"), str(tmp_path / "two")]
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, config.dir, config.cache_dir, *order], stdout=subprocess.PIPE, text=True
        )
        for order in (signs, signs[::-1])
    ]
    said = [run.communicate(timeout=60)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert said[0] == said[1] != ""
    assert len(os.listdir(config.cache_dir)) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_run_keeps_whole_recordings_and_says_nothing(config):
    def interrupt(done, count):
        assert (done, count) == (1, len(KINDS) + 6)
        raise KeyboardInterrupt

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with contextlib.suppress(KeyboardInterrupt):
            prepare(config, interrupt)
        gc.collect()
    (place,) = Path(config.cache_dir).iterdir()
    assert {path.name.split(".")[-1] for path in place.iterdir()} == {"index", "codes"}
    assert [str(warning.message) for warning in said] == []
    assert len(prepare(config).recordings) == len(KINDS)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_killed_run_left_is_not_in_the_way(config, monkeypatch):
    """A killed run removes nothing, and in a container the next one has the same process id."""

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            prepare(config, interrupt)
    assert len(os.listdir(config.cache_dir)) == 1
    assert len(prepare(config).recordings) == len(KINDS)


def test_a_file_that_is_rewritten_or_removed_counts(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    config = DataConfig(dir=str(folder), cache_dir=str(tmp_path / "cache"))
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / name, tone(300, 16000), 16000)
    before = np.array(prepare(config).codes)
    soundfile.write(folder / "b.wav", tone(600, 16000), 16000)  # as long as before
    os.utime(folder / "b.wav", (1, 1))
    after = np.array(prepare(config).codes)
    assert np.array_equal(before[:8000], after[:8000])
    assert not np.array_equal(before[8000:], after[8000:])
    (folder / "a.wav").unlink()
    assert np.array_equal(prepare(config).codes, after[8000:])


def test_a_cache_that_was_cut_short_is_mended(config, tmp_path):
    before = bytes(prepare(config).codes[:])
    (codes,) = (tmp_path / "cache").rglob("*.codes")
    os.truncate(codes, 12000)
    again = prepare(config)
    assert bytes(again.codes[:]) == before
    assert len(again.notes) == 1


def test_hidden_folders_and_things_named_like_recordings_are_passed_over(tmp_path):
    for name in ("x.wav", ".trash/y.wav", "deep/.old/z.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, tone(300, 16000), 16000)
    (tmp_path / "folder.wav").mkdir()
    prepared = prepare(DataConfig(dir=str(tmp_path), cache_dir=str(tmp_path / ".cache")))
    assert [recording.name for recording in prepared.recordings] == ["x.wav"]
    assert prepared.skipped == []


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="file names are text here")
def test_a_name_that_is_not_text(tmp_path):
    for name, content in ((b"\xff.wav", tone(300, 16000)), (b"\xfe.wav", np.zeros(9000))):
        soundfile.write(tmp_path / "x.wav", content, 16000)
        os.rename(tmp_path / "x.wav", os.fsencode(tmp_path) + b"/" + name)
    prepared = prepare(DataConfig(dir=str(tmp_path), cache_dir=str(tmp_path / ".cache")))
    assert [os.fsencode(recording.name) for recording in prepared.recordings] == [b"\xff.wav"]
    assert "?.wav: it is silent" in "\n".join(prepared.report()).encode().decode()


def test_links_are_followed_once_and_runs_passed_over(tmp_path):
    sounds, elsewhere = tmp_path / "sounds", tmp_path / "elsewhere"
    for place in (sounds / "a", elsewhere, sounds / "runs" / "x" / "checkpoints", sounds / "runs" / "x" / "samples"):
        place.mkdir(parents=True)
    for path in (sounds / "a" / "1.wav", elsewhere / "2.wav", sounds / "runs" / "x" / "samples" / "3.wav"):
        soundfile.write(path, tone(440, 16000), 16000)
    (sounds / "runs" / "x" / "metrics.jsonl").write_text("")
    (sounds / "linked").symlink_to(elsewhere)
    (sounds / "a" / "round").symlink_to(sounds)
    data = prepare(DataConfig(dir=str(sounds), cache_dir=str(tmp_path / "cache")))
    assert [recording.name for recording in data.recordings] == ["a/1.wav", "linked/2.wav"]
    assert [(skip.name, skip.reason) for skip in data.skipped] == [("runs/x", "it is the folder of a training run")]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs to be root, to become somebody else")
def test_what_may_not_be_opened_is_told(tmp_path):
    code = """
import concurrent.futures.thread, dataclasses, os, sys  # before the modules are out of reach
from wavenet.model import checkpoint
from wavenet.recordings import metadata
from wavenet.recordings import preparation
from wavenet.config import DataConfig
from wavenet.errors import WaveNetError
from pathlib import Path
root = Path(sys.argv[1])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for mode in (0o000, 0o000, 0o644):  # given later, permission counts
    os.chmod(root / "sounds" / "ours.wav", mode)
    data = preparation.prepare(DataConfig(dir=str(root / "sounds"), cache_dir=str(root / "cache")))
    print([(skip.name, skip.reason) for skip in data.skipped])
for call in (
    lambda: preparation.find_folder(DataConfig(dir=str(root / "sounds" / "closed" / "x"))),
    lambda: metadata.read(dataclasses.replace(data, folder=root / "table")).split(),
    lambda: checkpoint.find(root / "sounds" / "closed" / "x.safetensors"),
):
    try:
        call()
    except WaveNetError as error:
        print(error)
"""
    for place in ("sounds/closed/x", "sounds/unlisted", "table", "cache"):
        (tmp_path / place).mkdir(parents=True)
    soundfile.write(tmp_path / "sounds" / "a.wav", tone(440, 16000), 16000)
    soundfile.write(tmp_path / "sounds" / "closed" / "b.wav", tone(440, 16000), 16000)
    (tmp_path / "table" / "metadata.csv").write_text("file_name\n")
    soundfile.write(tmp_path / "sounds" / "ours.wav", tone(550, 16000), 16000)
    os.chown(tmp_path / "sounds" / "ours.wav", 65534, 65534)
    for path in (tmp_path, *tmp_path.parents):
        path.chmod(path.stat().st_mode | 0o005)
    (tmp_path / "cache").chmod(0o777)
    (tmp_path / "table" / "metadata.csv").chmod(0)
    (tmp_path / "sounds" / "closed").chmod(0o004)
    (tmp_path / "sounds" / "unlisted").chmod(0o001)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    *before, skipped = done.stdout.splitlines()[:3]
    errors = done.stdout.splitlines()[3:]
    assert all("('ours.wav', 'it cannot be opened (Permission denied)')" in line for line in before)
    assert "ours.wav" not in skipped
    assert "('closed/b.wav', 'it cannot be opened (Permission denied)')" in skipped
    assert "('unlisted', 'it cannot be opened (Permission denied)')" in skipped
    assert [error.endswith("cannot be opened (Permission denied)") for error in errors[:2]] == [True, True]
    assert "does not exist" in errors[2]


@pytest.mark.parametrize("content", [b"", b"{}\n[]\n\xff\n", b"00000000 {}\n", b"[" * 100_000])
def test_an_index_that_was_overwritten_is_made_anew(config, content):
    first = prepare(config)
    (first.cache / shards.INDEX).write_bytes(content)
    again = prepare(config)
    assert bytes(again.codes[:]) == bytes(first.codes[:])
    assert again.recordings == first.recordings
    assert len(list(first.cache.glob("*.codes"))) == 1


@given(st.lists(st.sampled_from([0.0, 0.002, 0.5]), min_size=3, max_size=12), st.integers(1, 9))
def test_silence_is_cut_where_it_ends(tmp_path_factory, loudness, block):
    if 0.5 not in loudness:
        return
    folder = tmp_path_factory.mktemp("cut")
    soundfile.write(folder / "a.wav", np.repeat(loudness, 100) * np.tile([1, -1], 50 * len(loudness)), 16000)
    config = DataConfig(dir=str(folder), cache_dir=str(folder / "cache"), min_seconds=0, trim_silence_db=20)
    before, building.BLOCK = building.BLOCK, block * 37
    try:
        samples = prepare(config).recordings[0].samples
    finally:
        building.BLOCK = before
    loud = [i for i, value in enumerate(loudness) if value == 0.5]
    assert samples == 100 * (loud[-1] + 1 - loud[0])
