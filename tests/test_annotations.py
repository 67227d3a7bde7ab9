"""Labels from sub-folders and metadata.csv, frames kept on disk, and what a model of other labels makes of them."""

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from wavenet.config import DataConfig, FeatureConfig, ModelConfig
from wavenet.errors import AudioError, ConfigError
from wavenet.recordings.annotations import Annotations, after_silence, clamped, describe, misfits
from wavenet.recordings.preparation import Prepared, Recording, prepare

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
    untold = Annotations(prepared, model, use_labels=False)
    assert not any(untold.labels(i).any() for i in range(len(prepared.recordings)))


def test_folders_of_a_split_are_no_label():
    """What is in train/ and valid/ is labelled by the folders in there, or the one above."""
    within = ["train/june/a.wav", "train/carlo/b.wav", "valid/june/c.wav", "valid/d.wav"]
    data = recordings(*within, "x/train/e.wav", "x/test/f.wav")
    config = DataConfig(labels=["folder"])
    model = describe(data, config, ModelConfig())
    assert model.labels == {"folder": ["carlo", "june", "x"]}
    known = Annotations(data, model)
    assert [known.labels(i).tolist() for i in range(6)] == [
        [0, 1, 0],
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 0],
        [0, 0, 1],
        [0, 0, 1],
    ]
    config.split_by = "name"
    assert describe(data, config, ModelConfig()).labels == {"folder": ["train", "valid", "x"]}


def recordings(*names: str, folder: Path = Path("nowhere")) -> Prepared:
    entries = [Recording(name, 10 * number, 10) for number, name in enumerate(names)]
    return Prepared(folder, 16000, np.zeros(10 * len(names), np.uint8), entries, [], folder)


def test_labels_of_a_large_folder_are_quick_and_small(tmp_path):
    """A matrix of 44,000 recordings and 109 labels, an element at a time, took 17 s and 19 MB."""
    names = [f"{i % 109}/{i}.flac" for i in range(44_000)]
    rows = [f"{name},{name.split('/')[0]}|{i % 3}" for i, name in enumerate(names)]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,who", *rows]) + "\n")
    data = recordings(*names, folder=tmp_path)
    model = describe(data, DataConfig(labels=["who"]), ModelConfig())
    began = time.process_time()
    known = Annotations(data, model)
    assert time.process_time() - began < 2
    assert sum(kept.nbytes for kept in vars(known).values() if isinstance(kept, np.ndarray)) < 1_000_000
    for i in (0, 1, 43_999):
        expected = [value in (str(i % 109), str(i % 3)) for value in model.labels["who"]]
        assert known.labels(i).tolist() == expected


def test_a_label_that_is_no_column(folder):
    folder.labels = ["speakr"]
    with pytest.raises(
        ConfigError, match=r"'speakr' is not a column of .*metadata.csv; choose from speaker, tags, folder"
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
    rows = [
        "metadata.csv: 4 rows for 3 of 4 recordings",
        "rows of metadata.csv not used, because no recording has that name: 1 (x/e.wav)",
    ]
    assert misfits(prepared, {}) == rows
    known = {"speaker": ["june"], "tags": ["happy", "sad", "loud"]}
    told = misfits(prepared, known)[2:]
    assert "without a value for speaker: 1 (d.wav)" in told
    assert "without a value for tags: 2 (d.wav, x/b.wav)" in told
    assert any(
        line.startswith("values of speaker that the model does not know, so they are ignored: 1 (") for line in told
    )


def test_a_table_of_something_else_is_told(folder):
    Path(folder.dir, "metadata.csv").write_text("id|text\n1|hello\n")
    assert misfits(prepare(folder), {}) == ["metadata.csv has no file_name column, so it is not used"]


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
    monkeypatch.setattr("wavenet.audio.features.frames", None)
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
