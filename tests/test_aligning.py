"""Recordings and their texts become phones.csv: on made-up sounds whose boundaries are known, and on real speech."""

import csv
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from wavenet.config import DataConfig
from wavenet.errors import AudioError
from wavenet.recordings import alignments
from wavenet.recordings.preparation import Prepared, prepare
from wavenet.speech import aligning, alignment, texts
from wavenet.speech.front_ends import Letters, read_all
from wavenet.speech.sentences import SILENCE, Sentence

LETTERS = "aeioumns"
KATHLEEN = Path(os.environ.get("WAVENET_KATHLEEN", "/nowhere"))


def sound(letter: str, samples: int, rate: int, random: np.random.Generator) -> np.ndarray:
    """Two tones of its own in noise; silence is fainter noise."""
    noise = random.normal(0, 0.002 if letter == SILENCE else 0.01, samples)
    if letter == SILENCE:
        return noise
    place, time = LETTERS.index(letter), np.arange(samples) / rate
    low, high = 250 + 170 * place, 3600 - 260 * ((3 * place) % 8)
    return noise + 0.2 * np.sin(2 * np.pi * low * time) + 0.1 * np.sin(2 * np.pi * high * time)


def spoken(folder: Path, rate: int = 16000, count: int = 24, seed: int = 0) -> dict[str, list[tuple[int, int, str]]]:
    """A folder of sentences of tones; which letter begins and ends with which sample of each file."""
    random, known, rows = np.random.default_rng(seed), {}, ["file_name,text"]
    folder.mkdir(exist_ok=True, parents=True)
    for number in range(count):
        words = [
            "".join(random.permutation(list(LETTERS))[: random.integers(1, 4)]) for _ in range(random.integers(2, 5))
        ]
        units = [SILENCE]
        for word in words:
            pause = random.random() < 0.4 and units[-1] != SILENCE
            units += [SILENCE] if pause or units[-1] == word[0] else []  # a letter twice in a row sounds like one
            units += word
        units.append(SILENCE)
        lengths = [int(rate * random.uniform(0.07, 0.16)) for _ in units]
        ends = np.cumsum(lengths).tolist()
        pieces = [sound(unit, length, rate, random) for unit, length in zip(units, lengths, strict=True)]
        soundfile.write(folder / f"{number:03}.wav", np.concatenate(pieces), rate)
        known[f"{number:03}.wav"] = list(zip([0, *ends[:-1]], ends, units, strict=True))
        rows.append(f"{number:03}.wav,{' '.join(words)}")
    (folder / "metadata.csv").write_text("\n".join(rows))
    return known


def read(folder: Path, tmp_path: Path, rate: int = 16000) -> tuple[Prepared, dict[int, Sentence]]:
    prepared = prepare(DataConfig(dir=str(folder), sample_rate=rate, cache_dir=str(tmp_path / "cache")))
    sentences, faults = read_all(Letters(), texts.read(prepared).texts)
    assert not faults
    return prepared, sentences


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("rate", [16000, 8000])
def test_boundaries_of_made_up_sounds_are_found_without_bias(tmp_path, rate):
    known = spoken(tmp_path / "in", rate, count=30)
    prepared, sentences = read(tmp_path / "in", tmp_path, rate)
    made = aligning.align_recordings(prepared, sentences)
    assert not made.skipped
    assert made.units == set(LETTERS)
    within, edges = [], []
    for number, one in made.found.items():
        true = known[prepared.recordings[number].name]
        letters = [place for place, (_, _, unit) in enumerate(true) if unit != SILENCE]
        heard = [interval for interval in one.intervals if interval.unit != SILENCE]
        for place, interval in zip(letters, heard, strict=True):
            begins, ends, _ = true[place]
            errors = [(interval.start * made.hop - begins, place - 1), (interval.stop * made.hop - ends, place + 1)]
            for samples, beside in errors:
                (edges if true[beside][2] == SILENCE else within).append(samples / rate * 1000)
    assert min(len(within), len(edges)) > 90
    assert abs(np.mean(within)) < 5, "half a frame"
    assert abs(np.mean(edges)) < 5, "they are as much too early as too late, by half a window at most"
    assert np.mean(np.abs(within + edges) <= 20) > 0.95


def test_the_same_table_for_the_same_folder_on_any_number_of_threads(tmp_path):
    spoken(tmp_path / "in", count=8)
    prepared, sentences = read(tmp_path / "in", tmp_path)
    before, made = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            aligning.write(tmp_path / "made.csv", prepared, aligning.align_recordings(prepared, sentences))
            assert torch.get_num_threads() == threads
            made.append((tmp_path / "made.csv").read_bytes())
    finally:
        torch.set_num_threads(before)
    assert made[0] == made[1]


def test_texts_that_do_not_fit_are_named(tmp_path):
    spoken(tmp_path / "in", count=32)
    prepared, sentences = read(tmp_path / "in", tmp_path)
    pairs = [(a, b) for a in sentences for b in sentences if a < b and differ(sentences[a], sentences[b])]
    one, other = pairs[0]
    sentences[one], sentences[other] = sentences[other], sentences[one]
    made = aligning.align_recordings(prepared, sentences)
    assert set(made.misfits) == {one, other}
    [line] = [line for line in made.report(prepared) if "do not seem to fit" in line]
    assert prepared.recordings[one].name in line


def differ(one: Sentence, other: Sentence) -> bool:
    """Whether two sentences are as long, and have few letters in common."""
    first, second = ("".join(letter for word in each.words for letter in word) for each in (one, other))
    return len(first) == len(second) >= 6 and sum(a == b for a, b in zip(first, second, strict=True)) <= 1


def test_recordings_that_cannot_be_aligned_are_skipped_in_words(tmp_path, monkeypatch):
    spoken(tmp_path / "in", count=6)
    prepared, sentences = read(tmp_path / "in", tmp_path)
    sentences[2] = Sentence([list("aeiou") * 40], ["^", "_"], ["long"])
    made = aligning.align_recordings(prepared, sentences)
    assert set(made.skipped) == {2}
    assert "too short for their texts: 1 (002.wav)" in "\n".join(made.report(prepared))
    monkeypatch.setattr(aligning, "LARGEST", 100)
    with pytest.raises(AudioError, match="longer than"):
        aligning.align_recordings(prepared, sentences)


def test_a_model_of_some_recordings_aligns_all(tmp_path, monkeypatch):
    known = spoken(tmp_path / "in", count=40)
    prepared, sentences = read(tmp_path / "in", tmp_path)
    monkeypatch.setattr(aligning, "MOST_SECONDS", 25)
    monkeypatch.setattr(aligning, "TOGETHER", 7)
    chosen = aligning._some(prepared, {number: one.words for number, one in sentences.items()})
    assert 15 < len(chosen) < 30
    made = aligning.align_recordings(prepared, sentences)
    assert list(made.found) == list(range(40))
    errors = [
        interval.start * made.hop - start
        for number, one in made.found.items()
        for interval, (start, _, _) in zip(
            [i for i in one.intervals if i.unit != SILENCE],
            [row for row in known[prepared.recordings[number].name] if row[2] != SILENCE],
            strict=True,
        )
    ]
    assert np.mean(np.abs(errors) <= 0.02 * 16000) > 0.9


def test_a_path_is_the_best_of_all(monkeypatch):
    """Against every way through a small graph."""
    random = np.random.default_rng(0)
    model = alignment.Mixtures({"a", "b"}, random.normal(size=(50, 2)).astype(np.float32))
    model.means = random.normal(size=model.means.shape)
    frames, one = random.normal(size=(9, 2)).astype(np.float32), alignment.graph([["a"], ["b"]], model)
    [(path, score)] = alignment.viterbi(model, [frames], [one])
    likelihoods = model.likelihoods(frames, one.states)

    def ways(state: int, time: int):
        """Scores of all ways that are in `state` at `time`."""
        if time == 0:
            return [likelihoods[0, state]] if state in (0, alignment.STATES) else []
        before = [(state, model.stay[one.states[state]])]
        before += [(state - 1, model.go[one.states[state - 1]])] if state else []
        jump = alignment.STATES + 1
        before += [(state - jump, model.go[one.states[state - jump]])] if one.skips[state] else []
        return [way + cost + likelihoods[time, state] for come, cost in before for way in ways(come, time - 1)]

    last = len(one.states) - 1
    assert score == pytest.approx(max(ways(last, 8) + ways(last - alignment.STATES, 8)), abs=1e-4)
    assert len(path) == 9
    assert set(np.diff(path)) <= {0, 1, alignment.STATES + 1}


def test_the_command_writes_what_training_reads(call, tmp_path):
    known = spoken(tmp_path / "in", 22050, count=6)
    status, out, err = call("align", "data.dir=in", "report=report.json")
    assert (status, err) == (0, "")
    assert "column text of metadata.csv, for 6 of 6 recordings" in out
    rows = table(tmp_path / "in" / "phones.csv")
    assert list(rows[0]) == [*alignments.COLUMNS, "word"]
    for name, true in known.items():
        own = [row for row in rows if row["file_name"] == name]
        assert int(own[0]["start_sample"]) == 0
        assert abs(int(own[-1]["end_sample"]) - true[-1][1]) <= 1, "in samples of the file's own rate"
        assert all(a["end_sample"] == b["start_sample"] for a, b in itertools.pairwise(own))
        assert [row["phone"] for row in own if row["word"]] == [unit for _, _, unit in true if unit != SILENCE]
    prepared, _ = read(tmp_path / "in", tmp_path)
    assert len(alignments.read(prepared, "phones.csv")[0]) == sum(row["file_name"] == "000.wav" for row in rows)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["recordings"], report["misfits"]) == (6, [])
    assert report["units"] == sorted({unit for true in known.values() for _, _, unit in true} - {SILENCE})
    assert report["seconds"] == pytest.approx(sum(true[-1][1] for true in known.values()) / 22050, abs=0.01)


def test_a_table_that_exists_is_kept_unless_it_is_named(call, tmp_path):
    spoken(tmp_path / "in", count=4)
    (tmp_path / "in" / "phones.csv").write_text("mine")
    status, _, err = call("align", "data.dir=in")
    assert status == 1
    assert "already exists" in err
    assert "output=" in err
    assert (tmp_path / "in" / "phones.csv").read_text() == "mine"
    assert call("align", "data.dir=in", "output=in/phones.csv")[0] == 0
    assert table(tmp_path / "in" / "phones.csv")


def test_what_the_command_refuses(call, tmp_path):
    spoken(tmp_path / "in", count=4)
    for given, said in (
        (["output=in"], "is a folder"),
        (["data.lexicon=none.txt"], "cannot be read"),
        (["data.language=en-us", "data.lexicon=x"], "choose one of them"),
        (["data.trim_silence_db=40"], "shift the times"),
        (["data.frames=phones.csv"], "left out: wavenet-align does not read it"),
    ):
        status, _, err = call("align", "data.dir=in", *given)
        assert status == 1, given
        assert said in err
        assert err.count("\n") == 1
    (tmp_path / "in" / "metadata.csv").write_text("file_name,text\n000.wav,1\n001.wav,2")
    status, _, err = call("align", "data.dir=in")
    assert status == 1
    assert "no text of in can be said" in err
    assert not (tmp_path / "in" / "phones.csv").exists()


@pytest.mark.slow
@pytest.mark.skipif(not KATHLEEN.is_dir(), reason="WAVENET_KATHLEEN does not name the folder of kathleen's recordings")
def test_words_of_real_speech_begin_where_another_aligner_hears_them(tmp_path):
    """The table in that folder is pocketsphinx's, whose frames are 12.8 ms early."""
    prepared = prepare(DataConfig(dir=str(KATHLEEN), cache_dir=str(tmp_path / "cache")))
    sentences, _ = read_all(Letters(), texts.read(prepared).texts)
    made = aligning.align_recordings(prepared, {number: sentences[number] for number in list(sentences)[::5]})
    theirs: dict[str, list[int]] = {}
    before = ("", "")
    for row in table(KATHLEEN / "phones.csv"):
        if row["phone"] != SILENCE and (row["file_name"], row["word"]) != before:
            theirs.setdefault(row["file_name"], []).append(int(row["start_sample"]))
        before = row["file_name"], row["word"]
    errors = []
    for number, one in made.found.items():
        words = [i for i, last in zip(one.intervals, [None, *one.intervals], strict=False) if begins(i, last)]
        true = theirs.get(prepared.recordings[number].name, [])
        if len(words) == len(true):  # the others have a word twice in a row, or are spelled otherwise
            errors += [(i.start * made.hop - start) / 16 - 12.8 for i, start in zip(words, true, strict=True)]
    errors = np.array(errors)
    assert len(errors) > 500
    assert abs(np.median(errors)) < 15
    assert np.mean(np.abs(errors) <= 50) > 0.8


def begins(one: alignment.Interval, last: alignment.Interval | None) -> bool:
    return one.word >= 0 and (last is None or last.word != one.word)
