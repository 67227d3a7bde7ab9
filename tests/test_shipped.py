"""Voices that come with wavenet: found by name, listed from their files and cards, played without an argument."""

import dataclasses
from pathlib import Path

import pytest
import torch

import wavenet
from wavenet.cli.composing import config_folder, groups
from wavenet.cli.overrides import check
from wavenet.config import DataConfig, FeatureConfig, ModelConfig, TrainConfig
from wavenet.errors import CheckpointError, ConfigError
from wavenet.generation import calibration
from wavenet.model import checkpoint, native, shipped
from wavenet.model.wavenet import WaveNet

CARD = """---
license: cc-by-sa-3.0
license_name: CC BY-SA 3.0 DE
---

# piano

Piano music, played
softly. It has more sentences.
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder of voices."""
    place = tmp_path / "voices"
    place.mkdir()
    monkeypatch.setattr(shipped, "FOLDER", place)
    monkeypatch.chdir(tmp_path)
    return place


def keep(path: Path, config: ModelConfig, **more) -> None:
    torch.manual_seed(1)
    checkpoint.save(path, WaveNet(config), 8000, step=3, valid_bits=2.5, data=DataConfig(), **more)


def speaking(path: Path, config: ModelConfig) -> None:
    told = dataclasses.replace(config, features=FeatureConfig(kinds=["mel"], hop=16))
    keep(path, told, attached=checkpoint.Attached("speech", {}, {}))


def test_without_an_argument_the_first_voice_that_plays_is_heard(folder, small, call):
    speaking(folder / "aida.safetensors", small)
    speaking(folder / "piano.safetensors", small)
    keep(folder / "zoe.safetensors", small)
    keep(folder / "digits.safetensors", dataclasses.replace(small, labels={"digit": ["one", "two"]}))
    assert [voice.name for voice in shipped.voices()] == ["piano", "digits", "aida", "zoe"]
    status, out, err = call("generate", "seconds=0.05")
    assert status == 0, err
    assert "digits: step 3" in out
    assert "no checkpoint is given, so digits plays; wavenet-generate --voices lists" in out
    assert Path("generated/seed_0.wav").stat().st_size == 44 + 2 * 400


def test_where_no_voice_plays_the_error_says_what_to_give(folder, small, call):
    for count in range(2):
        status, _, err = call("generate")
        assert status == 1
        assert err.count("\n") == 1
        assert "give checkpoint=" in err
        speaking(folder / f"aida{count}.safetensors", small)


def test_a_voice_that_speaks_names_the_command_that_lets_it(folder, small, call):
    speaking(folder / "aida.safetensors", small)
    status, _, err = call("generate", "checkpoint=aida")
    assert status == 1
    assert err.startswith("error: aida speaks texts: wavenet-speak checkpoint=aida text=...")
    with pytest.raises(ConfigError, match="aida speaks texts"):
        wavenet.load("aida").generate(seconds=0.1)


def test_the_list_is_read_from_the_files_and_their_cards(folder, small, call):
    keep(folder / "piano.safetensors", small)
    (folder / "piano.md").write_text(CARD)
    keep(folder / "crowd.safetensors", dataclasses.replace(small, labels={"speaker": ["ann", "bob"], "mood": ["calm"]}))
    (folder / "crowd.md").write_text("# crowd\n\nMany people\n")
    speaking(folder / "zoe.safetensors", small)
    for command in ("generate", "speak"):
        status, out, err = call(command, "--voices")
        assert (status, err) == (0, "")
        sizes = {voice.name: f"{voice.path.stat().st_size / 1e6:.1f} MB" for voice in shipped.voices()}
        assert out.splitlines()[:-1] == [
            "piano: Piano music, played softly.",
            f"  8000 Hz, {sizes['piano']}, CC BY-SA 3.0 DE",
            "  wavenet-generate checkpoint=piano",
            "crowd: Many people.",
            f"  8000 Hz, {sizes['crowd']}, see its card; speaker: ann, bob; mood: calm",
            "  wavenet-generate checkpoint=crowd label.speaker=ann label.mood=calm",
            "zoe: ",
            f"  8000 Hz, {sizes['zoe']}, see its card",
            '  wavenet-speak checkpoint=zoe text="Hello, world!"',
        ]


def test_a_name_that_is_also_a_path_means_the_path_and_says_so(folder, small, call):
    keep(folder / "piano.safetensors", small)
    Path("piano").mkdir()  # recordings
    assert shipped.find("piano") == shipped.Found(folder / "piano.safetensors")
    keep(Path("piano/last.safetensors"), small)
    said = "piano means piano/last.safetensors here, not the voice of that name that comes with wavenet"
    status, out, err = call("generate", "checkpoint=piano", "seconds=0.01")
    assert status == 0, err
    assert said in out.splitlines()
    assert out.startswith("piano/last.safetensors: step 3")
    with pytest.warns(UserWarning, match=said):
        assert wavenet.load("piano").path == Path("piano/last.safetensors")
    assert shipped.find("./piano") == shipped.Found(Path("piano"))
    status, out, _ = call("export", "checkpoint=piano", "output=piano.wavenet")
    assert status == 0
    assert said in out


def test_a_name_of_nothing_is_answered_with_those_that_there_are(folder, small):
    keep(folder / "piano.safetensors", small)
    for command in ("pianola", "nothing"):
        with pytest.raises(CheckpointError, match=rf"checkpoint {command} does not exist, .* \(piano do\)"):
            wavenet.load(command)


def test_a_damaged_voice_is_refused_by_the_list(folder, call):
    (folder / "piano.safetensors").write_bytes(b"nothing")
    status, _, err = call("generate", "--voices")
    assert status == 1
    assert "piano.safetensors, which comes with wavenet, cannot be read: install it again" in err


# ---- small files keep int8's scales


@pytest.mark.skipif(native.code() is None, reason="no kernels: " + native.missing)
@pytest.mark.parametrize("labels", [{}, {"speaker": ["ann", "bob"]}])
def test_a_small_file_makes_the_same_sound_without_measuring(labels, small, tmp_path, monkeypatch):
    keep(tmp_path / "x.safetensors", dataclasses.replace(small, labels=labels))
    path = wavenet.load(tmp_path / "x.safetensors").save(tmp_path / "small.safetensors", small=True)
    voice = wavenet.load(path)
    rounded = voice.save(tmp_path / "again.safetensors")
    assert not checkpoint.load(rounded).scales
    measured = calibration.measured(voice.model, calibration.some_labels(voice.model))
    assert [*checkpoint.load(path).scales] == measured
    expected = wavenet.load(rounded).generate(seconds=0.1)

    def never(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(calibration, "measured", never)
    sound = voice.generate(seconds=0.1)
    if not labels:  # those of a model with labels are measured on all of them, not on those chosen
        assert torch.equal(sound, expected)
    with torch.no_grad():
        voice.model.output.weight *= 2  # other weights need other scales
    with pytest.raises(AssertionError, match="measured again"):
        voice.generate(seconds=0.1)


def test_a_file_with_features_or_mixtures_keeps_none(small):
    for changed in ({"features": FeatureConfig(kinds=["mel"], hop=16)}, {"mixtures": 2}):
        assert calibration.scales_to_keep(WaveNet(dataclasses.replace(small, **changed))) == []


# ---- the voices that are there


NAMES = [voice.name for voice in shipped.voices()]


def test_voices_are_small():
    assert NAMES
    assert sum(voice.path.stat().st_size for voice in shipped.voices()) <= 8e6


@pytest.mark.parametrize("name", NAMES)
def test_a_voice_is_described_and_ready(name):
    voice = next(voice for voice in shipped.voices() if voice.name == name)
    text = voice.path.with_suffix(".md").read_text()
    assert all(word in text for word in ("Data.", "How it was made.", "Figures.", "Limits."))
    assert voice.what.strip(".")
    assert voice.licence.startswith("CC")
    told = voice.header["attached"]["header"] if voice.speaks else voice.header
    assert told["scales"]


@pytest.mark.parametrize("name", [voice.name for voice in shipped.voices() if voice.plays])
def test_a_voice_plays(name):
    voice = wavenet.load(name)
    sound = voice.generate(seconds=0.5)
    assert sound.square().mean() > 1e-7
    for label, values in voice.labels.items():
        assert not torch.equal(sound, voice.generate(seconds=0.5, labels={label: values[0]}))


@pytest.mark.parametrize("name", NAMES)
def test_a_card_has_the_commands_that_make_its_voice_again(name, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "scripts")
    import make_voice  # type: ignore[import-not-found]

    voice = next(voice for voice in shipped.voices() if voice.name == name)
    *trainings, export = make_voice.commands(voice.card[1])
    for program, *settings in trainings:
        assert program == "wavenet-train"
        check(settings, TrainConfig, groups(config_folder()))
    assert trainings
    assert export[0] == "wavenet-export"
    assert f"output={name}.safetensors" in export
    ran = []
    monkeypatch.setattr(make_voice.subprocess, "run", lambda command, check: ran.append(command[1:]))
    monkeypatch.setattr("sys.argv", ["make_voice.py", name])
    make_voice.main()
    assert [command[1] for command in ran] == ["wavenet.cli.train"] * len(trainings) + ["wavenet.cli.export"]
    assert [command[2:] for command in ran] == [command[1:] for command in (*trainings, export)]
