"""A folder of recordings with texts becomes a voice that speaks: in a toy language, whose letters are tones."""

import csv
import dataclasses
import io
import itertools
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import wavenet
from wavenet.cli.jobs.speak import job as speak
from wavenet.cli.jobs.train import settled
from wavenet.config import AcousticConfig, DataConfig, FeatureConfig, ModelConfig, OptimConfig, SpeakConfig, TrainConfig
from wavenet.errors import AudioError, CheckpointError, ConfigError
from wavenet.model import checkpoint, shipped
from wavenet.speech.speaker import in_known_gaps
from wavenet.training import Reporter, speech, train

RATE, TONES = 4000, {"a": 250, "b": 500, "c": 1000}


def tones(text: str, random: np.random.Generator) -> np.ndarray:
    """A text as tones of different lengths, with or without pauses between words."""

    def noise(least: float, most: float) -> np.ndarray:
        return random.normal(0, 0.002, int(RATE * random.uniform(least, most)))

    parts = [noise(0.05, 0.15)]
    for word in text.split():
        for letter in word:
            made = noise(0.08, 0.16)
            time = np.arange(len(made)) / RATE
            edge = np.minimum(1, np.minimum(np.arange(len(made)), np.arange(len(made))[::-1]) / (0.01 * RATE))
            parts.append(made + 0.4 * edge * np.sin(2 * np.pi * TONES[letter] * time + random.uniform(0, 6)))
        parts.append(noise(0, 0.1))
    return np.concatenate([*parts, noise(0.08, 0.1)])


def settings(folder: Path, **changed) -> TrainConfig:
    features = FeatureConfig(kinds=["mel", "pitch"], hop=20, window=100, mels=16, hold=5)
    shape = {"stacks": 1, "layers_per_stack": 6, "residual_channels": 16, "gate_channels": 16, "skip_channels": 32}
    told = {
        "task": "speech",
        "data": DataConfig(dir=str(folder), sample_rate=RATE),
        "model": ModelConfig(**shape, head_channels=32, features=features),
        "acoustic": AcousticConfig(channels=24, encoder_layers=2, decoder_layers=3, batch_size=8, share=0.3),
        "optim": OptimConfig(warmup_steps=10),
        "steps": 700,
        "crop": 1000,
        "precision": "float32",
        "validate_every": 1000,
        "checkpoint_every": 1000,
        "sample_every": 0,
    }
    return TrainConfig(**(told | changed))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    folder, random = tmp_path_factory.mktemp("speech") / "recordings", np.random.default_rng(0)
    folder.mkdir()
    for number in range(60):
        words = ["".join(random.choice(list(TONES), random.integers(1, 5))) for _ in range(random.integers(2, 5))]
        soundfile.write(folder / f"{number:02d}.wav", tones(" ".join(words), random), RATE)
        (folder / f"{number:02d}.txt").write_text(" ".join(words))
    return folder


@pytest.fixture(scope="module")
def run(recordings) -> Path:
    """The folder of a run that has learned to speak."""
    folder = recordings.parent / "run"
    train(settings(recordings), folder)
    return folder


def pitch(sound: np.ndarray) -> float:
    """Frequency of the strongest partial, in Hz."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 8192))
    return float(np.fft.rfftfreq(8192, 1 / RATE)[spectrum.argmax()])


def test_it_says_the_right_tones_in_the_right_order(run, tmp_path):
    sound, table, text = tmp_path / "said.wav", tmp_path / "said.csv", "cab bac, ac! abc cba ba? bcc aab"
    speak(SpeakConfig(text=text, checkpoint=str(run), output=str(sound), timings=str(table)))
    made, rate = soundfile.read(sound)
    assert rate == RATE
    with open(table) as file:
        rows = list(csv.DictReader(file))
    said = [row for row in rows if row["unit"] in TONES]
    assert "".join(row["unit"] for row in said) == "".join(letter for letter in text if letter in TONES)
    assert [row["word"] for row in said[:8]] == ["cab"] * 3 + ["bac"] * 3 + ["ac"] * 2
    assert float(rows[0]["start"]) == 0
    assert all(one["end"] == other["start"] for one, other in itertools.pairwise(rows))
    assert float(rows[-1]["end"]) == pytest.approx(len(made) / RATE)
    heard = [pitch(made[round(float(row["start"]) * RATE) : round(float(row["end"]) * RATE)]) for row in said]
    right = [abs(hertz / TONES[row["unit"]] - 1) < 0.15 for row, hertz in zip(said, heard, strict=True)]
    assert np.mean(right) > 0.85, list(zip([row["unit"] for row in said], heard, strict=True))


def test_python_says_what_the_command_says(run, tmp_path):
    voice = wavenet.load(run)
    speak(SpeakConfig(text="abc ba.", checkpoint=str(run), output=str(tmp_path / "said.wav"), seed=3, rate=1.5))
    made, _ = soundfile.read(tmp_path / "said.wav", dtype="int16")
    said = voice.speak("abc ba.", seed=3, rate=1.5)
    assert said.shape == (1, len(made))
    assert torch.equal((said[0] * 32768).round().clamp(-32768, 32767).short(), torch.from_numpy(made))


def test_a_sentence_sounds_the_same_whatever_was_said_before(run):
    voice = wavenet.load(run)
    long, alone = voice.speak("abc. Ba."), voice.speak("Ba.", seed=1)
    assert torch.equal(long[:, -alone.shape[1] :], alone)


def test_a_file_is_marked_as_synthetic(run, tmp_path):
    for name in ("said.wav", "said.flac"):
        speak(SpeakConfig(text="a", checkpoint=str(run), output=str(tmp_path / name)))
        with soundfile.SoundFile(tmp_path / name) as file:
            assert "Synthetic speech" in file.comment


def test_a_story_is_spoken_sentence_by_sentence(run, tmp_path):
    (tmp_path / "story.txt").write_text("abc ba.\n\nCab!\n" * 3)
    report = tmp_path / "report.json"
    how = {"checkpoint": str(run), "output": str(tmp_path / "story.wav"), "report": str(report)}
    speak(SpeakConfig(text=f"@{tmp_path / 'story.txt'}", **how))
    assert json.loads(report.read_text())["sentences"] == 6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the text is empty"),
        ("...", "the text is empty"),
        ("abc xyz", "has x, y, z, which this voice never heard in training"),
        ("a 12", "write it out in words"),
        ("@nowhere.txt", "nowhere.txt cannot be read"),
    ],
)
def test_what_cannot_be_said_is_refused_before_a_file_is_made(run, tmp_path, text, words):
    with pytest.raises((AudioError, ConfigError), match=words):
        speak(SpeakConfig(text=text, checkpoint=str(run), output=str(tmp_path / "said.wav")))
    assert not list(tmp_path.iterdir())


def test_marks_that_the_voice_never_heard_are_read_as_others():
    assert in_known_gaps(["^", "a", ";", "b", "_"], {"^", "a", "b", ",", "_", "."}) == ["^", "a", ",", "b", "."]
    assert in_known_gaps(["^", "a", "!"], {"^", "a", "_"}) == ["^", "a", "_"]
    assert in_known_gaps(["^", "a", "?"], {"^", "a", "?"}) == ["^", "a", "?"]


def test_what_was_said_before_a_sentence_that_cannot_be_said_is_kept(run, tmp_path):
    sound, table = tmp_path / "said.wav", tmp_path / "said.csv"
    with pytest.raises(AudioError, match="never heard"):
        speak(SpeakConfig(text="Abc. Xyz.", checkpoint=str(run), output=str(sound), timings=str(table)))
    with open(table) as file:
        rows = list(csv.DictReader(file))
    assert "".join(row["unit"] for row in rows if row["unit"] in TONES) == "abc"
    assert float(rows[-1]["end"]) == pytest.approx(soundfile.info(sound).frames / RATE)


def test_a_voice_survives_its_file(run, tmp_path):
    voice = wavenet.load(run)
    again = wavenet.load(voice.save(tmp_path / "copy.safetensors"))
    assert torch.equal(again.speak("abc"), voice.speak("abc"))
    small = voice.save(tmp_path / "small.safetensors", small=True)
    assert small.stat().st_size < 0.5 * (tmp_path / "copy.safetensors").stat().st_size
    assert wavenet.load(small).speak("abc").shape[1] == pytest.approx(voice.speak("abc").shape[1], rel=0.1)


def test_a_damaged_voice_is_refused(run, tmp_path):
    path = wavenet.load(run).save(tmp_path / "voice.safetensors")
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole.replace(b"speech.embedding", b"speech.embeddinh")):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"voice\.safetensors"):
            wavenet.load(path).speak("abc")


def test_a_model_that_makes_sound_alone_cannot_speak(run):
    with pytest.raises(CheckpointError, match="cannot speak: it holds no acoustic model"):
        wavenet.load(run / "vocoder").speak("abc")


def test_a_finished_voice_stays_as_it_is(recordings, run):
    before = checkpoint.find(run).read_bytes()
    result = train(settings(recordings, resume=str(run)), run)
    assert result.checkpoint == checkpoint.find(run)
    assert checkpoint.find(run).read_bytes() == before


def test_a_finished_voice_learns_on_if_asked_for_more(recordings, run, tmp_path):
    further = shutil.copytree(run, tmp_path / "run")
    (further / "vocoder" / speech.MADE).write_bytes(b"those of an earlier acoustic model")
    before = (further / "acoustic" / "checkpoints" / "best.safetensors").read_bytes()
    result = train(settings(recordings, resume=str(further), steps=705), further)
    assert result.steps == 705 - 210
    assert (further / "acoustic" / "checkpoints" / "best.safetensors").read_bytes() == before
    assert checkpoint.load(checkpoint.find(further)).attached is not None


def test_minutes_of_a_resumed_voice_come_in_addition(run):
    spent = speech.spent(run)
    assert spent == sum(checkpoint.load_state(run / part)["seconds"] for part in ("acoustic", "vocoder")) > 0
    config, folder = settled(TrainConfig(resume=str(run), minutes=30), {"resume", "minutes"})
    assert folder == run
    assert config.minutes == pytest.approx(30 + spent / 60)


def test_a_resumed_voice_keeps_what_it_is(recordings, run, tmp_path):
    kept = (run / "config.yaml").read_bytes()
    state = checkpoint.load_state(run)
    assert state["config"]["precision"] == "float32"
    changed = dataclasses.replace(settings(recordings).acoustic, channels=32)
    with pytest.raises(CheckpointError, match=r"acoustic\.channels is 24 there, 32 here"):
        train(settings(recordings, resume=str(run), acoustic=changed), run)
    with pytest.raises(ConfigError, match="continues in its own folder"):
        train(settings(recordings, resume=str(run)), tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="is the acoustic part of a voice's run"):
        train(settings(recordings, resume=str(run / "acoustic"), task="sound"), run / "acoustic")
    assert (run / "config.yaml").read_bytes() == kept
    assert checkpoint.load_state(run) == state


def briefly(recordings: Path) -> dict:
    """Settings of a run with three steps of each part."""
    return {"steps": 6, "acoustic": dataclasses.replace(settings(recordings).acoustic, share=0.5)}


class Interrupting(Reporter):
    """Interrupts the acoustic model at a step, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.at, self.said = step, list[str]()

    def say(self, line: str) -> None:
        self.said.append(line)

    def acoustic_step(self, step: int, steps: int | None, loss: float, seconds_left: float) -> None:
        if step == self.at:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("step", [2, 3])  # the last one is the third
def test_an_interrupted_acoustic_model_is_gone_on_with(recordings, tmp_path, step):
    few, folder = briefly(recordings), tmp_path / "run"
    stopped = train(settings(recordings, **few), folder, Interrupting(step))
    assert (stopped.stopped_by, stopped.steps, stopped.checkpoint) == (signal.SIGINT, step, None)
    assert not (folder / "vocoder").exists()
    result = train(settings(recordings, resume=str(folder), **few), folder)
    assert (result.stopped_by, result.steps) == (None, 3)
    assert checkpoint.load_state(folder / "acoustic")["step"] == 3


def test_a_resumed_voice_does_not_need_its_lexicon_again(recordings, tmp_path):
    words = {word for text in recordings.glob("*.txt") for word in text.read_text().split()}
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text("\n".join(f"{word} {' '.join(word)}" for word in sorted(words)))
    data = dataclasses.replace(settings(recordings).data, lexicon=str(lexicon))
    few, folder = briefly(recordings) | {"data": data}, tmp_path / "run"
    assert train(settings(recordings, **few), folder, Interrupting(2)).stopped_by == signal.SIGINT
    lexicon.unlink()
    assert train(settings(recordings, resume=str(folder), **few), folder).stopped_by is None


def test_a_stopped_acoustic_model_refuses_other_texts(recordings, tmp_path):
    few, folder = briefly(recordings), tmp_path / "run"
    train(settings(recordings, **few), folder, Interrupting(2))
    state = checkpoint.load_state(folder / "acoustic")
    checkpoint.save_state(checkpoint.find_state(folder / "acoustic"), state | {"units": ["z"]})
    with pytest.raises(CheckpointError, match="have other units than when it was stopped"):
        train(settings(recordings, resume=str(folder), **few), folder)


def test_a_voice_has_several_speakers(recordings, tmp_path):
    for number, path in enumerate(sorted(recordings.iterdir())[:24]):
        place = tmp_path / "recordings" / ("ann" if number < 12 else "bob") / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    data = DataConfig(dir=str(tmp_path / "recordings"), sample_rate=RATE, labels=["folder"])
    train(settings(recordings, data=data, steps=12), tmp_path / "run")
    voice = wavenet.load(tmp_path / "run")
    assert voice.labels == {"folder": ["ann", "bob"]}
    how = {"checkpoint": str(tmp_path / "run"), "output": str(tmp_path / "said.wav")}
    said = {}
    for who in ("ann", "bob"):
        [phrase] = voice.speaker(SpeakConfig(text="", label={"folder": who})).phrases("abc")
        said[who] = phrase.frames[: min(10, len(phrase.frames))]
        speak(SpeakConfig(text="abc", label={"folder": who}, **how))
    assert not torch.allclose(said["ann"], said["bob"])
    with pytest.raises(ConfigError, match="carl"):
        speak(SpeakConfig(text="abc", label={"folder": "carl"}, **how))


@pytest.mark.parametrize("data", [{"frames": "phones.csv"}, {"made_frames": "a.f32"}, {"trim_silence_db": 40}])
def test_settings_that_a_voice_cannot_have_are_refused(recordings, data):
    (name,) = data
    with pytest.raises(ConfigError, match=rf"data\.{name} is .* left out for task=speech"):
        settings(recordings, data=DataConfig(dir=str(recordings), **data))


def test_made_frames_need_features():
    with pytest.raises(ConfigError, match=r"data\.made_frames is .* without model\.features\.kinds"):
        TrainConfig(data=DataConfig(made_frames="a.f32"))


def test_a_standard_input_that_is_no_text_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9"), encoding="utf-8"))
    with pytest.raises(ConfigError, match="the standard input is not UTF-8"):
        speak(SpeakConfig(text="@-", checkpoint=str(run), output=str(tmp_path / "said.wav")))


def test_a_shipped_voice_is_found_beside_a_folder_of_its_name(run, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "voices")
    monkeypatch.chdir(tmp_path)
    there = wavenet.load(run).save(tmp_path / "voices" / "ann.safetensors")
    (tmp_path / "ann").mkdir()  # recordings
    assert wavenet.load("ann").path == there
    own = wavenet.load(run).save(tmp_path / "ann" / "best.safetensors")
    with pytest.warns(UserWarning, match="ann means ann/best.safetensors here, not the voice of that name"):
        assert wavenet.load("ann").path.resolve() == own
    with pytest.raises(CheckpointError, match="bob does not exist"):
        wavenet.load("bob")


def test_recordings_without_texts_are_refused(recordings, tmp_path):
    folder = tmp_path / "silent"
    folder.mkdir()
    for path in sorted(recordings.glob("*.wav"))[:3]:
        (folder / path.name).write_bytes(path.read_bytes())
    for _ in range(2):  # a run that has not begun does not take its folder
        with pytest.raises(AudioError, match="has a text"):
            train(settings(folder), tmp_path / "run")
