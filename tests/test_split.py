"""Who decides which side a recording is on: the table, the folders, its name and labels; and that it stays there."""

import json
import unicodedata

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_dataset import prepared

import wavenet
from wavenet.cli.display import Display
from wavenet.cli.jobs.common import divide
from wavenet.config import DataConfig
from wavenet.errors import AudioError
from wavenet.recordings import metadata
from wavenet.recordings.sides import by_folders
from wavenet.recordings.split import Span, split, whole


def test_a_file_keeps_its_side_when_others_are_added():
    config = DataConfig(valid_fraction=0.2)
    few, many = prepared({f"{i}.wav": 10 for i in range(50)}), prepared({f"{i}.wav": 10 for i in range(400)})
    names = [{few.recordings[span.start // 10].name for span in side} for side in _sides(few, config)]
    more = [{many.recordings[span.start // 10].name for span in side} for side in _sides(many, config)]
    assert names[0] <= more[0]
    assert names[1] <= more[1]
    assert abs(len(more[1]) / 400 - 0.2) < 0.06


def _sides(data, config):
    sides = split(data, config)
    return sides.train, sides.valid


def test_metadata_decides(tmp_path):
    data = prepared({"a.wav": 10, "b.wav": 10, "c/d.wav": 10, "e.wav": 10}, tmp_path)
    table = (
        "file_name,speaker,split\na.wav,x,valid\nb.wav,y,train\nc/d.wav,z,test\ne.wav,x,validation\ngone.wav,x,train\n"
    )
    (tmp_path / "metadata.csv").write_text(table)
    sides = split(data, DataConfig())
    assert [span.start for span in sides.train] == [10]
    assert [span.start for span in sides.valid] == [0, 30]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_name,split\na.wav,maybe\n", "split of a.wav is 'maybe'; it must be train, valid or test"),
        ("name,split\na.wav,train\n", "no file_name column"),
    ],
)
def test_metadata_that_cannot_be_understood(tmp_path, text, said):
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(AudioError, match=said):
        split(prepared({"a.wav": 10}, tmp_path), DataConfig())


def test_one_recording_is_cut_in_two():
    sides = split(prepared({"a.wav": 1000}), DataConfig(valid_fraction=0.1))
    assert sides.train == [Span(0, 900, 0, ends=False)]
    assert sides.valid == [Span(900, 1000, 0)]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_side_is_left_empty(count):
    sides = split(prepared({f"{i}.wav": 10 for i in range(count)}), DataConfig(valid_fraction=0.01))
    assert sides.train
    assert sides.valid


def test_the_report_says_how_the_split_came_about(tmp_path):
    names = [f"{i}.wav" for i in range(20)]
    assert report(names, tmp_path) == ["split by name: 18 train, 2 valid"]
    assert report(names, tmp_path, valid_fraction=0) == ["split by data.valid_fraction=0: 20 train, 0 valid"]
    assert report(["a.wav"], tmp_path) == ["split by time, at 90% of a.wav: 1 train, 1 valid"]
    (tmp_path / "metadata.csv").write_text("file_name,split\n0.wav,train\n1.wav,test\n")
    assert report(names[:2], tmp_path) == ["split by metadata.csv: 1 train, 0 valid, 1 test"]
    assert report(names, tmp_path)[0].startswith("split by metadata.csv and name: ")


def test_no_validation_when_none_is_wanted():
    for count in (1, 5):
        sides = split(prepared({f"{i}.wav": 10 for i in range(count)}), DataConfig(valid_fraction=0))
        assert (len(sides.train), len(sides.valid)) == (count, 0)


def test_metadata_wins_over_cutting_and_takes_what_spreadsheets_write(tmp_path):
    (tmp_path / "metadata.csv").write_text("\ufefffile_name,split\r\na.wav, Valid \r\n", encoding="utf-8")
    sides = split(prepared({"a.wav": 10}, tmp_path), DataConfig())
    assert (sides.train, sides.valid) == ([], [Span(0, 10, 0)])
    (tmp_path / "metadata.csv").write_bytes("file_name,split\ncaf\u00e9.wav,train\n".encode("latin-1"))
    with pytest.raises(AudioError, match="cannot be read as UTF-8"):
        split(prepared({"a.wav": 10}, tmp_path), DataConfig())


def test_metadata_without_a_split_changes_nothing(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,speaker\n0.wav,x\n")
    lengths = {f"{i}.wav": 10 for i in range(20)}
    assert split(prepared(lengths, tmp_path), DataConfig()) == split(prepared(lengths), DataConfig())


def test_a_column_of_another_name_that_looks_like_a_split_is_pointed_at(tmp_path):
    data = prepared({"a.wav": 10, "b.wav": 10, "c.wav": 10}, tmp_path)
    for column, rows, said in (
        ("set", ("train", "", "Test"), "if set should, rename that column to split"),
        ("set", ("train", "train", "train"), None),
        ("set", ("train", "test", "other"), None),
    ):
        text = "\n".join(f"{name},{side}" for name, side in zip(("a.wav", "b.wav", "c.wav"), rows, strict=True))
        (tmp_path / "metadata.csv").write_text(f"file_name,{column}\n{text}\n")
        assert any("called split" in line for line in metadata.read(data).report()) == (said is not None)
        assert said is None or metadata.read(data).report()[-1].endswith(said)


def test_the_only_recording_that_is_not_kept_for_testing_is_cut(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,split\na,test\n")
    sides = split(prepared({"a": 100, "b": 1000}, tmp_path), DataConfig())
    assert [(span.start, span.stop) for span in sides.train] == [(100, 1000)]
    assert [(span.start, span.stop) for span in sides.valid] == [(1000, 1100)]
    assert [(span.start, span.stop) for span in sides.test] == [(0, 100)]
    assert sum(span.samples for span in sides.all) == 1100


def by_side(names, folder, **settings) -> dict[str, set[str]]:
    """Which of the names each side of their folder has."""
    data = prepared(dict.fromkeys(names, 10), folder)
    sides = split(data, DataConfig(**settings))
    return {
        side: {data.recordings[span.recording].name for span in getattr(sides, side)}
        for side in ("train", "valid", "test")
    }


def report(names, folder, **settings) -> list[str]:
    return split(prepared(dict.fromkeys(names, 10), folder), DataConfig(**settings)).report


QUICK = ["model.stacks=1", "model.layers_per_stack=3", "model.residual_channels=4", "model.skip_channels=4"]
QUICK += ["threads=1", "crop=1000", "batch_size=1", "sample_every=0", "device=cpu", "precision=float32"]


def recorded(folder, names) -> str:
    """Noise of an eighth of a second for each name, and the setting that gives the folder."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(folder / name, np.random.default_rng(number).normal(0, 0.1, 2000), 16000)
    return f"data.dir={folder}"


# ---- the table


def test_a_folder_in_three_spellings_is_divided_as_its_table_means(call, tmp_path):
    """Semicolons and headers as a spreadsheet writes them; paths of another system, another case, other letters."""
    decomposed = unicodedata.normalize("NFD", "caf\u00e9.wav")
    sounds = recorded(tmp_path / "sounds", ["june/a.wav", "june/b.wav", "carlo/c.wav", decomposed, "e.wav"])
    rows = ["\ufeffFile Name; Who; Split", "june\\a.wav;june;Train", "./June/B.WAV;june;Test", "carlo/c;carlo;valid"]
    rows += [unicodedata.normalize("NFC", decomposed) + ";carlo;test", "e.mp3;june;test"]
    (tmp_path / "sounds" / "metadata.csv").write_text("\r\n".join(rows), encoding="utf-8")
    status, out, err = call("train", sounds, *QUICK, "steps=1", "run.dir=run", "data.labels=[who]")
    assert status == 0, err
    assert [line for line in out.splitlines() if "metadata.csv" in line or "without" in line or "measured" in line] == [
        "metadata.csv: 5 rows for 4 of 5 recordings",
        "rows of metadata.csv not used, because no recording has that name: 1 (e.mp3: there is e.wav)",
        "spelled differently in metadata.csv: 4 (june\\a.wav for june/a.wav, ./June/B.WAV for june/b.wav, "
        "carlo/c for carlo/c.wav, ...)",
        "without a value for who: 1 (e.wav)",
        "split by metadata.csv and name: 2 train, 1 valid, 2 test",
        "not measured, because none is held out: 1 (who=june)",
    ]
    status, out, err = call("evaluate", "checkpoint=run", sounds, "split=test", "report=r.json")
    assert status == 0, err
    assert json.loads((tmp_path / "r.json").read_text())["files"] == 2


@pytest.mark.parametrize(
    "text", ["file_name,split\na.wav,fold 3\n", "file_name,split\na.wav,test,x\n", "split\ntest\n", "\0"]
)
def test_a_split_that_is_not_understood_does_not_matter_where_all_is_scored(tmp_path, text):
    (tmp_path / "metadata.csv").write_text(text)
    data, display = prepared({"a.wav": 10, "b.wav": 10, "c.wav": 10}, tmp_path), Heard()
    assert divide(data, DataConfig(), "all", display)[1] == whole(data)
    assert display.lines[0].endswith("; split=all does not need it")
    for part in ("train", "valid", "test"):
        with pytest.raises(AudioError, match=r"metadata\.csv"):
            divide(data, DataConfig(), part, display)
    assert len(display.lines) == 1


class Heard(Display):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


# ---- folders


def test_folders_beside_each_other_are_a_split(tmp_path):
    names = ["Train/a.wav", "Train/b.wav", "validation/c.wav", "test/x/d.wav"]
    assert by_side(names, tmp_path) == {
        "train": {"Train/a.wav", "Train/b.wav"},
        "valid": {"validation/c.wav"},
        "test": {"test/x/d.wav"},
    }
    assert report(names, tmp_path) == ["split by folders Train/, validation/, test/: 2 train, 1 valid, 1 test"]


def test_nested_folders_are_a_split_of_what_is_in_them():
    names = [f"{who}/{side}/{i}.wav" for who in ("june", "carlo") for side in ("train", "test") for i in range(20)]
    found = by_folders([*names, "june/other/a.wav", "train/test/b.wav"])
    assert found.sides == {name: "test" for name in names if "/test/" in name}
    assert found.depth == dict.fromkeys(names, 1)
    assert found.folders == ["train", "test"]
    assert found.alone == ["train/test"]


def test_the_outermost_folder_decides():
    found = by_folders(["train/train/a.wav", "train/test/b.wav", "valid/c.wav"])
    assert found.sides == {"train/train/a.wav": "train", "train/test/b.wav": "train", "valid/c.wav": "valid"}


def test_train_without_valid_is_divided_by_name(tmp_path):
    names = [f"train/{i}.wav" for i in range(40)] + [f"test/{i}.wav" for i in range(10)]
    sides = by_side(names, tmp_path)
    assert sides["test"] == set(names[40:])
    assert 1 <= len(sides["valid"]) <= 10
    assert sides["valid"] | sides["train"] == set(names[:40])
    assert report(names, tmp_path)[0].startswith("split by folders train/, test/ and name: ")


@pytest.mark.parametrize("lone", ["train", "test", "valid"])
def test_one_of_these_folders_alone_is_a_folder_like_any_other(tmp_path, lone):
    names = [f"{folder}/{i}.wav" for folder in (lone, "songs") for i in range(20)]
    assert by_side(names, tmp_path) == by_side(names, tmp_path, split_by="name")
    said = f"used like any other folder, because there is no train/ beside it: 1 ({lone}/)"
    assert (said in report(names, tmp_path)) == (lone != "train")


def test_the_split_column_wins_over_folders(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,split\ntrain/a.wav,test\ntest/c.wav,train\n")
    names = ["train/a.wav", "train/b.wav", "valid/d.wav", "test/c.wav"]
    assert by_side(names, tmp_path) == {
        "train": {"train/b.wav", "test/c.wav"},
        "valid": {"valid/d.wav"},
        "test": {"train/a.wav"},
    }
    assert report(names, tmp_path)[0].startswith("split by metadata.csv and folders train/, valid/, test/: 2 train, 1 ")


# ---- labels


def moods(folder, **counts) -> list[str]:
    """Names of so many recordings of each mood, which the folder's table tells."""
    names = {f"{mood}{i}.wav": mood for mood, count in counts.items() for i in range(count)}
    rows = [f"{name},{mood}" for name, mood in names.items()]
    (folder / "metadata.csv").write_text("\n".join(["file_name,mood", *rows]) + "\n")
    return list(names)


def test_some_of_each_label_is_held_out_where_there_are_enough(tmp_path):
    names = moods(tmp_path, happy=6, sad=6, tired=6, calm=3)
    sides = by_side(names, tmp_path, labels=["mood"])
    assert {name.rstrip("0123456789.wav") for name in sides["valid"]} >= {"happy", "sad", "tired"}
    assert len(sides["valid"]) <= 5
    plain = by_side(names, tmp_path)
    assert plain["valid"] <= sides["valid"]
    assert {name[:3] for name in plain["valid"]} < {"hap", "sad", "tir"}, (
        "chance alone measures too few, so it was tried"
    )


def test_what_is_not_measured_and_not_learned_is_said(tmp_path):
    valid = {"happy3.wav", "calm0.wav", "calm1.wav"}
    names = moods(tmp_path, happy=20, sad=3, calm=2)
    rows = [f"{name},{name[:-4].rstrip('0123456789')},{'valid' if name in valid else 'train'}" for name in names]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,mood,split", *rows]) + "\n")
    said = report(names, tmp_path, labels=["mood"])
    assert said == [
        "split by metadata.csv: 22 train, 3 valid",
        "not measured, because none is held out: 1 (mood=sad)",
        "not learned, because all are held out: 1 (mood=calm)",
    ]


def test_a_labelled_file_keeps_its_side_when_others_are_added(tmp_path):
    """Once each label has enough, what was learned from is never held out, whatever is added."""
    before = by_side(moods(tmp_path, happy=5, sad=5, calm=5), tmp_path, labels=["mood"])
    for count in (6, 9, 14, 40):
        after = by_side(moods(tmp_path, happy=count, sad=count, calm=5, new=count), tmp_path, labels=["mood"])
        assert before["train"] <= after["train"]
        before = after


def test_labels_have_no_part_where_the_name_decides(tmp_path):
    names = moods(tmp_path, happy=30, sad=30)
    assert by_side(names, tmp_path, labels=["mood"], split_by="name") == by_side(names, tmp_path)


# ---- runs of older versions


def test_what_an_older_run_held_out_is_scored_and_stays_so(call, tmp_path):
    """Its files do not tell how it divided its recordings, which was by name alone."""
    sounds = recorded(tmp_path / "sounds", [f"{'test' if i % 2 else 'train'}/{i}.wav" for i in range(30)])
    status, out, err = call("train", sounds, *QUICK, "steps=1", "run.dir=run", "data.split_by=older")
    assert status == 0, err
    how = next(line for line in out.splitlines() if line.startswith("split by name: "))
    forget_how_it_was_divided(tmp_path / "run" / "checkpoints")
    assert wavenet.load("run").data["split_by"] == "older"
    status, out, err = call("evaluate", "checkpoint=run", sounds, "split=valid")
    assert status == 0, err
    assert how in out.splitlines()
    status, _, err = call("evaluate", "checkpoint=run", sounds, "split=test")
    assert err.endswith("with data.split_by=auto, which the run's older version did not have\n")
    status, out, err = call("evaluate", "checkpoint=run", sounds, "split=test", "data.split_by=auto")
    assert "split by folders train/, test/ and name: " in out
    status, out, err = call("train", "resume=run", "steps=2")
    assert status == 0, err
    assert how in out.splitlines()


def forget_how_it_was_divided(checkpoints) -> None:
    for path in checkpoints.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["wavenet"])
        del header["data"]["split_by"]
        save_file(load_file(path), path, metadata={"wavenet": json.dumps(header)})
    state = torch.load(checkpoints / "last.state", weights_only=True)
    del state["config"]["data"]["split_by"]
    torch.save(state, checkpoints / "last.state")


def test_an_older_run_keeps_its_split(tmp_path):
    """It took only rows that are spelled exactly, no folders, and no labels."""
    names = [f"{folder}/{i}.wav" for folder in ("train", "test") for i in range(20)]
    rows = ["train/0.wav,test", "./train/1.wav,test", "TRAIN/2.wav,test"]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,split", *rows]) + "\n")
    assert by_side(names, tmp_path)["test"] >= {"train/0.wav", "train/1.wav", "train/2.wav", "test/0.wav"}
    assert by_side(names, tmp_path, split_by="older")["test"] == {"train/0.wav"}
    (tmp_path / "metadata.csv").write_text("\n".join(["File_Name,Split", *rows]) + "\n")
    assert by_side(names, tmp_path, split_by="older") == by_side(names, tmp_path / "no table", split_by="name")
