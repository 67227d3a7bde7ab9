"""The CSV files beside recordings: however they are spelled, read as meant or refused by name."""

import unicodedata
from pathlib import Path

import pytest
from test_dataset import prepared

from wavenet.errors import AudioError
from wavenet.recordings import alignments, metadata, tables
from wavenet.recordings.matching import Files
from wavenet.recordings.metadata import Metadata
from wavenet.recordings.preparation import Prepared, Skipped

ROWS = [["file_name", "split", "who"], ["a.wav", "test", "june, or not"], ["b.wav", "Valid", ""], ["c.wav", "", "x"]]


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def table(folder: Path, text: str | bytes, names=("a.wav", "b.wav", "c.wav"), labels=("who",)) -> Metadata:
    written(folder / "metadata.csv", text)
    return metadata.read(prepared(dict.fromkeys(names, 10), folder), labels)


def spelled(separator=",", end="\n", header=lambda name: name, before="") -> str:
    quoted = [[f'"{cell}"' if separator in cell or "," in cell else cell for cell in row] for row in ROWS]
    quoted[0] = [header(name) for name in quoted[0]]
    return before + end.join(separator.join(row) for row in quoted) + end


# ---- what is read as meant


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ", ", "; "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", [str, str.title, str.upper, lambda name: f" {name.replace('_', ' ')} "])
@pytest.mark.parametrize("before", ["", "\ufeff", "\n", "\ufeffsep={}\r\n"])
def test_every_spelling_of_a_table_says_the_same(tmp_path, separator, end, header, before):
    found = table(tmp_path, spelled(separator, end, header, before.format(separator.strip(" "))))
    assert found.split() == {"a.wav": "test", "b.wav": "valid"}
    assert found.column("who") == {"a.wav": "june, or not", "c.wav": "x"}
    assert found.report() == ["metadata.csv: 3 rows for 3 of 3 recordings"]


@pytest.mark.parametrize("name", ["Metadata.csv", "METADATA.CSV"])
def test_the_name_of_the_table_in_another_case(tmp_path, name):
    written(tmp_path / name, "file_name,split\na,test\n")
    data = prepared({"a": 10}, tmp_path)
    assert metadata.read(data).split() == {"a": "test"}
    written(tmp_path / "metaData.csv", "file_name,split\na,test\n")
    with pytest.raises(AudioError, match=r"holds .* and .*: keep one, as metadata\.csv"):
        metadata.read(data).split()


@pytest.mark.parametrize("separator", [";", "\t"])
def test_phones_are_read_by_the_same_reader(tmp_path, separator):
    rows = ["\ufeffFile Name,Start_Sample,END_SAMPLE, phone", ".\\A.WAV,4,8,mid", "a,0,4,low"]
    written(tmp_path / "phones.csv", "\r\n".join(rows).replace(",", separator))
    data = prepared({"a.wav": 10, "b.wav": 10}, tmp_path)
    told = alignments._parse(data, "phones.csv")
    assert list(told) == [[(0, 4, "low"), (4, 8, "mid")], []]
    assert told.report() == []
    assert alignments.classes(data, "phones.csv") == ["low", "mid"]


def test_phones_of_what_is_not_there_are_told(tmp_path):
    written(tmp_path / "phones.csv", "file_name,start_sample,end_sample,phone\na.wav,0,4,low\ngone.wav,0,4,low\n")
    told = alignments._parse(prepared({"a.wav": 10}, tmp_path), "phones.csv")
    assert told.report() == ["phones not used, because their recording is missing, left out or ambiguous: 1 (gone.wav)"]


def test_a_column_as_it_is_spelled_wins(tmp_path):
    found = table(tmp_path, "file_name,Who,who\na.wav,x,y\n")
    assert found.column("who") == {"a.wav": "y"}


# ---- what is refused, by name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_name,split\na.wav,maybe\n", r"split of a\.wav is 'maybe'; it must be train, valid or test"),
        ("name,split\na.wav,test\n", r"has a split column but no file_name column; it has name, split"),
        (
            "a.wav,test\nb.wav,train\n",
            r"does not begin with the names of its columns, such as file_name",
        ),
        (
            "file_name,Split,SPLIT\na.wav,test,\n",
            r"2 columns that could be split, 'Split', 'SPLIT': rename all",
        ),
        ("file_name,text,split\na.wav,well, then,test\n", r"metadata\.csv, line 2: 4 cells in a table of 3 columns"),
        ('file_name,text,split\na.wav,"well,test\nb.wav,x,train\n', r"metadata\.csv, line 2: .*unexpected end of data"),
        (
            "file_name,split\nx/a.wav,test\n",
            r"names none of the recordings of .*: the first is 'x/a\.wav'; write",
        ),
        (
            "file_name,split\na.wav,test\nb.wav,test\n./a.wav,train\n",
            r"lines 2 and 4: split of a\.wav is 'test' in",
        ),
        ("file_name,split\na.wav,test\n".encode("utf-16"), r"cannot be read as UTF-8"),
        ("file_name,split\na.wav,test\n".encode("utf-16-le"), r"cannot be read as UTF-8 .*zero bytes"),
        ("file_name,split\ncaf\u00e9.wav,test\n".encode("latin-1"), r"cannot be read as UTF-8"),
    ],
)
def test_a_split_that_cannot_be_understood_is_refused(tmp_path, text, said):
    with pytest.raises(AudioError, match=said) as caught:
        table(tmp_path, text).split()
    assert "\n" not in str(caught.value)


def test_a_table_that_nobody_needs_refuses_nothing(tmp_path):
    found = table(tmp_path, 'file_name,text\na.wav,"well\n')
    assert found.split() == {}
    [said] = found.report()
    assert said.endswith("cell twice; the table is not used")
    found = table(tmp_path, "id|text\n1|hello\n")
    assert found.split() == {}
    assert found.report() == ["metadata.csv has no file_name column, so it is not used"]


def test_rows_that_say_the_same_twice_or_more_are_taken_together(tmp_path):
    found = table(tmp_path, "file_name,split,who,text\na.wav,test,,hello\n./a.wav,test,june,there\n")
    assert (found.split(), found.column("who")) == ({"a.wav": "test"}, {"a.wav": "june"})
    with pytest.raises(AudioError, match=r"lines 2 and 3: who of a\.wav is 'x' in one and 'y' in the other; keep one"):
        table(tmp_path, "file_name,split,who\na.wav,test,x\na.wav,test,y\n").column("who")


# ---- which file a row means


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("./x/a.wav", "x/a.wav"),
        ("x//a.wav", "x/a.wav"),
        ("y/../x/a.wav", "x/a.wav"),
        ("x\\a.wav", "x/a.wav"),
        (".\\X\\A.WAV", "x/a.wav"),
        ("x/a", "x/a.wav"),
        ("X/A", "x/a.wav"),
        ("{folder}/x/a.wav", "x/a.wav"),
        (unicodedata.normalize("NFC", "caf\u00e9.wav"), unicodedata.normalize("NFD", "caf\u00e9.wav")),
        (unicodedata.normalize("NFD", "CAF\u00c9"), unicodedata.normalize("NFC", "caf\u00e9.wav")),
        ("take.2", "take.2.flac"),
        ("a\\b.wav", "a\\b.wav"),
    ],
)
def test_a_row_finds_its_file(tmp_path, row, name):
    data = prepared(dict.fromkeys([name, "other.wav"], 10), tmp_path)
    assert Files(data).find(row.format(folder=tmp_path)) == [name]


@pytest.mark.parametrize(
    ("row", "names", "found"),
    [
        ("A.wav", ["a.wav", "A.wav"], ["A.wav"]),
        ("A.WAV", ["a.wav", "A.wav"], ["A.wav", "a.wav"]),
        ("a", ["a.wav", "a.flac"], ["a.flac", "a.wav"]),
        ("a.wav", ["x/a.wav"], []),
        ("a.mp3", ["a.wav"], []),
        ("../a.wav", ["a.wav"], []),
    ],
)
def test_a_row_that_could_mean_several_means_none(tmp_path, row, names, found):
    assert Files(prepared(dict.fromkeys(names, 10), tmp_path)).find(row) == found


def test_what_became_of_the_rows_is_told(tmp_path):
    """The folder's table in three spellings, and rows for what is not there."""
    rows = [
        "./a.wav,test",
        "X\\B,valid",
        "c.wav,train",
        "C.wav,train",
        "gone.wav,test",
        "d.wav,test",
        "b.mp3,",
        "E,test",
    ]
    written(tmp_path / "metadata.csv", "\r\n".join(["File Name; Split", *(row.replace(",", ";") for row in rows)]))
    names = ["a.wav", "x/b.wav", "c.wav", "e.wav", "e.flac", "f.wav"]
    data = prepared(dict.fromkeys(names, 10), tmp_path)
    data = Prepared(tmp_path, 16000, data.codes, data.recordings, [Skipped("d.wav", "it is silent")], tmp_path)
    found = metadata.read(data)
    assert found.split() == {"a.wav": "test", "x/b.wav": "valid", "c.wav": "train"}
    assert found.report() == [
        "metadata.csv: 8 rows for 3 of 6 recordings",
        "rows of metadata.csv not used, because no recording has that name: 2 (gone.wav, b.mp3: there is x/b.wav)",
        "rows of metadata.csv not used, because they could mean several recordings: 1 (E: e.flac or e.wav)",
        "in metadata.csv, but left out: 1 (d.wav)",
        "spelled differently in metadata.csv: 2 (./a.wav for a.wav, X\\B for x/b.wav)",
    ]


def test_tables_that_are_not_read_are_told(tmp_path):
    (tmp_path / "x").mkdir()
    written(tmp_path / "x" / "metadata.csv", "file_name,split\na.wav,test\n")
    written(tmp_path / "metadata.tsv", "file_name\tsplit\n")
    said = metadata.others(prepared({"x/a.wav": 10, "b.wav": 10}, tmp_path))
    assert said == ["not read, because only the folder's own metadata.csv is: 2 (x/metadata.csv, metadata.tsv)"]


def test_names_of_columns_by_their_letters():
    assert tables.plain(" File-Name ") == tables.plain("file_name") == tables.plain("FILENAME")


def test_a_quote_that_does_not_close_is_told_by_the_line_it_is_in(tmp_path):
    found = table(tmp_path, 'file_name,split\nb.wav,train\n"a.wav,test\n' + "c.wav,train\n" * 5)
    with pytest.raises(AudioError, match=r"metadata\.csv, line 3: a cell's quotes cannot be understood"):
        found.split()


def test_a_table_of_names_that_could_all_mean_several_says_so(tmp_path):
    found = table(tmp_path, "file_name,split\na.WAV,test\n", names=("a.wav", "A.wav", "b.wav"))
    with pytest.raises(AudioError, match=r"has no effect: 'a\.WAV' is ambiguous; write"):
        found.split()
