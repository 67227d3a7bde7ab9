"""The text of each recording: from a column, from LJSpeech's table, or from files beside the recordings."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavenet.config import DataConfig, ModelConfig
from wavenet.errors import AudioError, ConfigError
from wavenet.recordings import annotations, metadata
from wavenet.recordings.preparation import Prepared, prepare
from wavenet.recordings.split import split
from wavenet.speech import texts

LJSPEECH = (
    'LJ001-0001|Printing, in the "only sense|Printing, in the "only sense\nLJ001-0002|In 1455|In fourteen fifty-five\n'
)
LJSPEECH += "LJ001-0003|No third column|\nLJ001-0009|Not here|Not here\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    for number in range(1, 5):
        path = tmp_path / "in" / "wavs" / f"LJ001-000{number}.wav"
        path.parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(path, np.random.default_rng(number).normal(0, 0.1, 4000), 16000)
    return tmp_path / "in"


def prepared(folder: Path) -> Prepared:
    return prepare(DataConfig(dir=str(folder), cache_dir=str(folder.parent / "cache")))


def test_a_column_of_the_table(folder):
    rows = [
        "file_name,Text,speaker",
        'wavs/LJ001-0002.wav,"Hello,  world",june',
        "wavs/LJ001-0003.wav,,june",
        "wavs/LJ001-0004,Yes,x",
    ]
    (folder / "metadata.csv").write_text("\n".join(rows))
    (folder / "wavs" / "LJ001-0001.txt").write_text("not read, since the table has texts")
    told = texts.read(prepared(folder))
    assert told.texts == {1: "Hello, world", 3: "Yes"}
    assert told.report == [
        "texts: column text of metadata.csv, for 2 of 4 recordings",
        "recordings without a text: 2 (wavs/LJ001-0001.wav, wavs/LJ001-0003.wav)",
    ]


def test_a_table_as_in_ljspeech(folder):
    (folder / "metadata.csv").write_text(LJSPEECH)
    told = texts.read(prepared(folder))
    assert told.texts == {0: 'Printing, in the "only sense', 1: "In fourteen fifty-five", 2: "No third column"}
    assert told.report[0] == "texts: metadata.csv, as in LJSpeech, for 3 of 4 recordings"
    assert "1 (wavs/LJ001-0004.wav)" in told.report[1]


@pytest.mark.parametrize("first", ["LJ001-0001|train|train\n", "LJ000-0001|Of a file, that was removed|Of a file\n"])
def test_a_table_as_in_ljspeech_has_no_labels_and_breaks_nothing(folder, first):
    (folder / "metadata.csv").write_text(first + LJSPEECH.split("\n", 1)[1])
    data = DataConfig(dir=str(folder), cache_dir=str(folder.parent / "cache"))
    made = prepared(folder)
    table = metadata.read(made)
    assert table.bare
    assert table.split() == {}
    assert table.report() == ["metadata.csv holds texts as in LJSpeech, so no labels and no split"]
    assert len(split(made, data).train) == 3
    assert annotations.describe(made, data, ModelConfig()).labels == {}
    data.labels = ["speaker"]
    with pytest.raises(ConfigError, match="is not a column"):
        annotations.describe(made, data, ModelConfig())


@pytest.mark.parametrize("content", ["name|speaker\nLJ001-0001|june", "a\nb", "", "a|b c\nd|e f"])
def test_other_tables_without_file_names_are_not_taken_for_it(folder, content):
    (folder / "metadata.csv").write_text(content)
    assert not metadata.read(prepared(folder)).bare


def test_files_beside_the_recordings(folder):
    place = folder / "wavs"
    (place / "LJ001-0001.txt").write_text("\ufeffHello\nworld\n", encoding="utf-8")
    (place / "LJ001-0002.lab").write_text("Good day")
    (place / "LJ001-0003.lab").write_text("0 1200 sil\n1200 3000 a\n")
    (place / "LJ001-0004.txt").write_bytes(b"\xff\xfe\xff")
    told = texts.read(prepared(folder))
    assert told.texts == {0: "Hello world", 1: "Good day"}
    assert told.report[0] == "texts: .lab and .txt files beside the recordings, for 2 of 4 recordings"
    assert "2 (wavs/LJ001-0003.lab, wavs/LJ001-0004.txt)" in told.report[1]
    assert "without a text: 2" in told.report[2]


def test_no_texts_at_all(folder):
    with pytest.raises(AudioError, match=r"columns file_name and text, or write a \.txt file"):
        texts.read(prepared(folder))
    (folder / "metadata.csv").write_text("file_name,speaker\nwavs/LJ001-0001.wav,june")
    with pytest.raises(AudioError, match=r"columns of metadata\.csv are file_name, speaker"):
        texts.read(prepared(folder))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("LJ001-0001|one|\nLJ001-0001|two|", "two texts of wavs/LJ001-0001.wav"),
        ("file_name,text\nwavs/LJ001-0001.wav,a\nwavs/LJ001-0001.wav,b", "keep one"),
        ('file_name,text\nwavs/LJ001-0001.wav,"a', "quotes"),
    ],
)
def test_tables_that_cannot_be_used(folder, content, said):
    (folder / "metadata.csv").write_text(content)
    with pytest.raises(AudioError, match=said):
        texts.read(prepared(folder))
