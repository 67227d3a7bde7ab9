"""Labels from sub-folders and metadata.csv, frames kept on disk, and what a model of other labels makes of them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from wavenet.annotations import Annotations, after_silence, clamped, describe, misfits
from wavenet.config import DataConfig, FeatureConfig, ModelConfig
from wavenet.errors import AudioError, ConfigError
from wavenet.preparation import prepare

TABLE = "file_name,speaker,tags,split\nx/a.wav,june,slow|loud,train\nx/b.wav,carlo,,train\ny/c.wav,june,loud,valid\n"


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for name in ("x/a.wav", "x/b.wav", "y/c.wav", "d.wav"):
        path = tmp_path / "sounds" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(path, random.standard_normal(4000) * 0.1, 16000)
    (tmp_path / "sounds" / "metadata.csv").write_text(TABLE)
    return DataConfig(dir=str(tmp_path / "sounds"), cache_dir=str(tmp_path / "cache"))


def test_labels_come_from_columns_and_folders(folder):
    folder.labels = ["speaker", "tags", "folder"]
    prepared = prepare(folder)
    model = describe(prepared, folder, ModelConfig())
    assert model.labels == {"speaker": ["carlo", "june"], "tags": ["loud", "slow"], "folder": ["x", "y"]}
    known = Annotations(prepared, model)
    told = {r.name: known.companion(i).labels.tolist() for i, r in enumerate(prepared.recordings)}
    assert told == {
        "d.wav": [0, 0, 0, 0, 0, 0],
        "x/a.wav": [0, 1, 1, 1, 1, 0],
        "x/b.wav": [1, 0, 0, 0, 1, 0],
        "y/c.wav": [0, 1, 1, 0, 0, 1],
    }
    assert not Annotations(prepared, model, use_labels=False).labels.any()


def test_a_label_that_is_no_column(folder):
    folder.labels = ["speakr"]
    with pytest.raises(
        ConfigError, match=r"'speakr' is not a column of .*metadata.csv; there are speaker, tags, folder"
    ):
        describe(prepare(folder), folder, ModelConfig())


def test_a_label_without_a_table(folder):
    folder.labels = ["mood"]
    Path(folder.dir, "metadata.csv").unlink()
    with pytest.raises(ConfigError, match=r"'mood' would be a column of .*metadata.csv, which does not exist; without"):
        describe(prepare(folder), folder, ModelConfig())


def test_what_a_table_does_not_fit_is_told(folder):
    with open(folder.dir + "/metadata.csv", "a") as file:
        file.write("x/e.wav,june,,train\n")
    prepared = prepare(folder)
    assert misfits(prepared, {}) == ["metadata.csv names what is not used: 1 (x/e.wav)"]
    known = {"speaker": ["june"], "tags": ["happy", "sad", "loud"]}
    told = misfits(prepared, known)[1:]
    assert "without a value for speaker: 1 (d.wav)" in told
    assert "without a value for tags: 2 (d.wav, x/b.wav)" in told
    assert any(line.startswith("values of speaker that the model does not know, and is not told: 1 (") for line in told)


def test_a_table_of_something_else_is_told(folder):
    Path(folder.dir, "metadata.csv").write_text("id|text\n1|hello\n")
    assert misfits(prepare(folder), {}) == ["metadata.csv has no file_name column, or no rows: nothing of it is used"]


def test_a_label_that_nothing_has(folder):
    folder.labels = ["tags"]
    with open(folder.dir + "/metadata.csv", "w") as file:
        file.write("file_name,tags\nx/a.wav,\n")
    with pytest.raises(ConfigError, match=r"no recording of .* has a value for tags"):
        describe(prepare(folder), folder, ModelConfig())


def test_frames_are_computed_once_and_read_from_disk(folder, monkeypatch):
    prepared = prepare(folder)
    model = ModelConfig(features=FeatureConfig(kinds=["mel"], hop=100, mels=8))
    first = Annotations(prepared, model)
    assert first.frames is not None
    assert first.frames.shape == (160, 8)
    monkeypatch.setattr("wavenet.features.frames", None)
    again = Annotations(prepared, model)
    np.testing.assert_array_equal(first.frames, again.frames)
    read = again.companion(2).frames
    assert read is not None
    np.testing.assert_array_equal(read(-2, 42), first.frames[80 + np.arange(-2, 42).clip(0, 39)])
    shifted = again.companion(2, from_sample=1000).frames
    assert shifted is not None
    torch.testing.assert_close(shifted(0, 5), read(10, 15))


def test_a_missing_array_is_named(folder):
    prepared = prepare(folder)
    for name in ("d", "x/a", "x/b"):
        np.save(f"{folder.dir}/{name}.npy", np.zeros((32, 3)))
    model = describe(prepared, folder, ModelConfig(features=FeatureConfig(kinds=["file"])))
    assert model.features.columns == 3
    with pytest.raises(AudioError, match=r"y/c\.npy does not exist"):
        Annotations(prepared, model)
    assert not list(prepared.cache.glob("*.f32"))


def test_reading_beyond_the_ends():
    assert clamped(np.arange(3)[:, None])(-2, 5)[:, 0].tolist() == [0, 0, 0, 1, 2, 2, 2]
    read = after_silence(np.arange(5, dtype=np.uint8))
    assert read(-3, 2).tolist() == [128, 128, 128, 0, 1]
    assert read(-5, -2).tolist() == [128, 128, 128]
    assert read(2, 4).tolist() == [2, 3]
