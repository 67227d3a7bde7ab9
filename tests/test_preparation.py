"""Preparing a folder: what is used, what is left out and why, and when it is decoded again."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from conftest import KINDS, tone

from wavenet import mulaw, preparation
from wavenet.config import DataConfig
from wavenet.errors import AudioError
from wavenet.preparation import prepare


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
    assert "0.010 s short" in reasons["short.wav"]
    assert "NaN" in reasons["nan.wav"]
    assert "no samples" in reasons["nothing.wav"]
    words = "\n".join(prepared.report())
    assert "9 recordings" in words
    assert all(name in words for name in reasons)


def test_codes_are_those_of_the_files(config):
    prepared = prepare(config)
    (first,) = [recording for recording in prepared.recordings if recording.name == "a.wav"]
    codes = prepared.codes[first.start : first.start + first.samples]
    expected, _ = soundfile.read(prepared.folder / "a.wav", dtype="float32")
    assert np.array_equal(codes, mulaw.encode(preparation.audio.torch.from_numpy(expected)).numpy())
    assert sum(recording.samples for recording in prepared.recordings) == len(prepared.codes)


def test_nothing_is_decoded_twice(config, monkeypatch):
    before = prepare(config)
    monkeypatch.setattr(preparation, "_decode", None)
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
    with pytest.raises(AudioError, match=r"none of the 1 recordings .*x\.wav: the file is empty"):
        prepare(config)
    with pytest.raises(AudioError, match="is a file; give the folder"):
        prepare(DataConfig(dir=str(tmp_path / "x.wav")))
    (tmp_path / "file").write_text("")
    soundfile.write(tmp_path / "y.wav", tone(300, 16000), 16000)
    with pytest.raises(AudioError, match=r"set data\.cache_dir"):
        prepare(DataConfig(dir=str(tmp_path), cache_dir=str(tmp_path / "file" / "cache")))
