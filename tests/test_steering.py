"""The commands with labels and features: what is asked for is made, what cannot be is refused in one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from wavenet import load
from wavenet.audio import io as audio
from wavenet.audio.encodings import MULAW
from wavenet.cli.composing import compose
from wavenet.cli.jobs.train import job as train_job
from wavenet.cli.overrides import for_hydra, names
from wavenet.config import GenerateConfig, TrainConfig
from wavenet.generation.steering import choose_labels
from wavenet.recordings.reader import Reader, read_prime

SMALL = [f"model.{name}={value}" for name, value in (
    ("stacks", 1), ("layers_per_stack", 3), ("residual_channels", 8), ("gate_channels", 8), ("skip_channels", 8),
    ("head_channels", 8), ("condition_channels", 6),
)]  # fmt: skip
TABLE = """file_name,speaker,tags,split
june/a.wav,june,slow|loud,train
june/b.wav,june,loud,valid
carlo/c.wav,carlo,,train
"""
QUICK = ["steps=3", "crop=1000", "sample_every=0", "sample_seconds=0.05", "threads=1", "precision=float32"]


@pytest.fixture
def folder(tmp_path) -> Path:
    return record(tmp_path / "sounds")


def record(folder: Path, samples: int = 5000) -> Path:
    """A folder of noise, and what is known of it."""
    random = np.random.default_rng(0)
    for name in ("june/a.wav", "june/b.wav", "carlo/c.wav"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(folder / name, random.standard_normal(samples) * 0.1, 16000)
    (folder / "metadata.csv").write_text(TABLE)
    return folder


def trained(call, folder, *settings) -> None:
    given = {setting.split("=")[0]: setting for setting in [*SMALL, *QUICK, "run.dir=run", *settings]}
    status, out, err = call("train", f"data.dir={folder}", *given.values())
    assert status == 0, err
    assert "done: " in out


def made(call, *settings):
    return call("generate", "checkpoint=run", "seconds=0.1", "threads=1", "output=made", *settings)


def test_labels_from_training_to_a_sound(call, folder, tmp_path):
    trained(call, folder, "data.labels=[speaker,tags]")
    assert load("run").model.config.labels == {"speaker": ["carlo", "june"], "tags": ["loud", "slow"]}
    for settings in ([], ["label.speaker=june"], ["label.tags=[slow,loud]", "label.speaker=carlo", "guidance=2"]):
        status, _, err = made(call, *settings)
        assert status == 0, err
    sounds = [soundfile.read(tmp_path / "made" / f"seed_0{end}.wav")[0] for end in ("", "_2", "_3")]
    assert all(len(sound) == 1600 for sound in sounds)
    status, _, err = call("export", "checkpoint=run", "label.speaker=june", "precision=float32")
    assert status == 0, err
    status, _, err = call("generate", "checkpoint=model.wavenet", "seconds=0.1", "output=again.wav")
    assert status == 0, err
    status, _, err = made(call, "label.speaker=june", "precision=float32")
    assert status == 0, err
    np.testing.assert_array_equal(soundfile.read("again.wav")[0], soundfile.read("made/seed_0_4.wav")[0])
    bits = []
    for settings in ([], ["use_labels=false"], ["engine=compiled", "precision=float32"]):
        status, _, err = call("evaluate", "checkpoint=run", f"data.dir={folder}", "report=r.json", *settings)
        assert status == 0, err
        bits.append(json.loads((tmp_path / "r.json").read_text())["bits_per_sample"])
    assert bits[0] != bits[1]
    assert bits[0] == pytest.approx(bits[2], abs=1e-4)


def test_a_folder_without_the_models_labels(call, folder, tmp_path):
    trained(call, folder, "data.labels=[speaker]")
    (tmp_path / "bare").mkdir()
    shutil.copy(folder / "june" / "a.wav", tmp_path / "bare" / "a.wav")
    status, _, err = call("evaluate", "checkpoint=run", f"data.dir={tmp_path}/bare", "device=cpu")
    assert status == 1
    assert err.endswith("the sub-folder's name. Or give use_labels=false to use no labels\n")
    assert call("evaluate", "checkpoint=run", f"data.dir={tmp_path}/bare", "device=cpu", "use_labels=false")[0] == 0


def test_a_resumed_run_with_labels_equals_one_that_was_not_stopped(call, folder):
    """Which windows lose their labels is decided by seed and number, so stopping changes nothing."""
    how = ["data.labels=[speaker]", "label_dropout=0.5", "optim.schedule=constant", "crop=700"]
    trained(call, folder, *how, "steps=6", "run.dir=whole")
    trained(call, folder, *how, "steps=3", "run.dir=half")
    status, _, err = call("train", "resume=half", "steps=6")
    assert status == 0, err
    whole, half = load("whole").model.state_dict(), load("half").model.state_dict()
    for name, weights in whole.items():
        assert torch.equal(weights, half[name]), name


def test_features_from_training_to_a_sound(call, folder, tmp_path):
    trained(call, folder, "model.features.kinds=[mel,pitch]", "model.features.hop=40", "model.features.mels=10")
    recording = folder / "june" / "b.wav"
    status, out, err = call("generate", "checkpoint=run", f"features={recording}", "output=made", "report=r.json")
    assert status == 0, err
    assert "log spectral distance" in out
    report = json.loads((tmp_path / "r.json").read_text())
    assert soundfile.info(tmp_path / "made" / "seed_0.wav").frames == 5000
    assert report["log_spectral_distance"] > 0
    np.save(tmp_path / "frames.npy", np.zeros((20, 13), np.float32))
    status, _, err = call("generate", "checkpoint=run", "features=frames.npy", "output=made")
    assert status == 0, err
    assert soundfile.info(tmp_path / "made" / "seed_0_2.wav").frames == 800
    status, out, err = call("evaluate", "checkpoint=run", f"data.dir={folder}", "resynthesise=2", "report=r.json")
    assert status == 0, err
    assert json.loads((tmp_path / "r.json").read_text())["stft_distance"] > 0


def test_a_context_stack_from_training_to_a_sound(call, folder):
    trained(call, folder, "model.context.pools=[64]", "model.context.layers=3", "model.context.channels=4")
    status, _, err = made(call)
    assert status == 0, err


@pytest.mark.parametrize("kind", ["labels", "features", "context"])
def test_recordings_of_unequal_length_score_alike_in_every_engine(call, kind, tmp_path):
    folder = record(tmp_path / "sounds", 900)
    soundfile.write(folder / "carlo" / "d.wav", np.random.default_rng(1).standard_normal(1234) * 0.1, 16000)
    settings = {
        "labels": ["data.labels=[speaker]"],
        "features": ["model.features.kinds=[mel]", "model.features.hop=40", "model.features.mels=10"],
        "context": ["model.context.pools=[16]", "model.context.layers=3", "model.context.channels=4"],
    }
    trained(call, folder, *settings[kind], "data.min_seconds=0")
    bits = []
    for engine in ("auto", "cached", "compiled"):
        how = [f"engine={engine}", "precision=float32", "report=r.json"]
        status, _, err = call("evaluate", "checkpoint=run", f"data.dir={folder}", *how)
        assert status == 0, err
        bits.append(json.loads((tmp_path / "r.json").read_text())["bits_per_sample"])
    assert bits[1:] == pytest.approx([bits[0]] * 2, abs=1e-4)


def test_any_value_of_a_label_can_be_chosen(call, folder):
    values = ["Müller", "O'Brien", "rock&roll", "1.10", "true", "a, b", 'say "hi"', "'90s", '"x', "null", "[noise]"]
    values += ["~root", "'q'", "${x}", "[a, b]", "\\"]
    quoted = ['"' + name.replace('"', '""') + '"' for name in values]
    rows = ["file_name,who"] + [f"june/{i}.wav,{name}" for i, name in enumerate(quoted)]
    (folder / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    for i in range(len(values)):
        soundfile.write(folder / "june" / f"{i}.wav", np.random.default_rng(i).standard_normal(2000) * 0.1, 16000)
    trained(call, folder, "data.labels=[who]")
    assert load("run").model.config.labels == {"who": sorted(values)}
    for value in [*values, '["a, b", [noise]]']:
        given = for_hydra(["checkpoint=x", f"label.who={value}"], GenerateConfig, {})
        chosen = choose_labels(compose("generate", GenerateConfig, given).label, {"who": values})
        assert [name for name, one in zip(values, chosen, strict=True) if one] == (
            ["a, b", "[noise]"] if value not in values else [value]
        )
    status, _, err = made(call, "label.who=[a, b]")
    assert status == 0, err
    status, _, err = call("train", "resume=run", "steps=4")
    assert status == 0, err
    assert load("run").model.config.labels == {"who": sorted(values)}


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("[noise]", ["[noise]"]),
        ("[a,b]", ["a", "b"]),
        ("[a, [noise]]", ["a", "[noise]"]),
        ("['a, b',a]", ["a, b", "a"]),
        ('"a"', ["a"]),
        ("'90s", ["'90s"]),
        ("null", ["null"]),
        ("[]", []),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_a_value_is_taken_as_it_is_written_where_the_model_knows_it(text, chosen):
    known = ["a", "b", "a, b", "[noise]", "'90s", "null"]
    assert choose_labels({"mood": text}, {"mood": known}).tolist() == [value in chosen for value in known]


@pytest.mark.parametrize("name", ["'90s", '"x', "[noise]", "it's"])
def test_a_folder_of_any_name_is_trained_on_and_resumed(call, folder, tmp_path, name):
    shutil.move(folder, tmp_path / name)
    trained(call, Path(name), "data.labels=[folder]", f"run.dir=run of {name}")
    status, _, err = call("train", f"resume=run of {name}", "steps=4")
    assert status == 0, err


def test_an_array_lasts_as_long_as_its_frame_rate_says(call, folder, tmp_path):
    for path in folder.rglob("*.wav"):
        np.save(path.with_suffix(".npy"), np.zeros((31, 2), np.float32))  # 5000 samples at 100 a second
    how = ["model.features.kinds=[file]", "model.features.frame_rate=100", "model.features.hop=40"]
    trained(call, folder, *how)
    status, _, err = call("generate", "checkpoint=run", f"features={folder / 'june' / 'a.npy'}", "output=made")
    assert status == 0, err
    assert soundfile.info(tmp_path / "made" / "seed_0.wav").frames == 31 * 160
    for command in ("evaluate", "train"):
        given = how if command == "train" else ["checkpoint=run"]
        status, _, err = call(command, f"data.dir={folder}", "data.trim_silence_db=40", *given)
        assert status == 1
        assert "data.trim_silence_db" in err
        assert "cutting would shift the frames" in err


def test_all_of_a_prime_that_a_context_stack_hears_is_kept(folder):
    long = np.random.default_rng(2).standard_normal(600_000) * 0.1
    soundfile.write(folder / "long.wav", long, 16000)
    for heard in (2000, 67_000):
        prime = read_prime(folder / "long.wav", Reader(16000, {}), heard, MULAW)
        assert heard <= len(prime) < 400_000
        assert torch.equal(prime, MULAW.encode(audio.read(folder / "long.wav", 16000))[-len(prime) :].long())


def test_a_prime_reaches_a_context_stack(call, folder):
    """What it heard more than a receptive field ago changes what is made."""
    trained(call, folder, "model.context.pools=[64]", "model.context.layers=5", "model.context.channels=4")
    random = np.random.default_rng(3)
    early, late = (random.standard_normal(n) * 0.3 for n in (262_144, 1000))
    for name, start in (("x", early), ("z", np.zeros_like(early))):
        soundfile.write(folder / f"{name}.wav", np.concatenate([start, late]), 16000)
    sounds = []
    for name in ("x", "z"):
        status, _, err = call(
            "generate", "checkpoint=run", f"prime={folder / name}.wav", "seconds=0.1", f"output={name}.wav"
        )
        assert status == 0, err
        sounds.append(soundfile.read(f"{name}.wav")[0])
    assert (sounds[0] != sounds[1]).any()


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """A run with labels and one with features, which no test may change."""
    place = tmp_path_factory.mktemp("models")
    told = {"labels": ["data.labels=[speaker]"], "features": ["model.features.kinds=[mel]", "model.features.mels=10"]}
    sounds = record(place / "sounds")
    for kind, settings in told.items():
        overrides = [f"data.dir={sounds}", f"data.cache_dir={place}/cache", f"run.dir={place / kind}", *SMALL, *QUICK]
        overrides += settings
        train_job(compose("train", TrainConfig, overrides), names(overrides))
    return {kind: place / kind for kind in told}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["label.speaker=jun"], "label.speaker is 'jun', but it must be one of carlo, june"),
        (["label.speakr=june"], "label.speakr is not a label of this model; it knows label.speaker"),
        (["features=a.wav"], "was trained without features: leave it out"),
        (["guidance=-1"], "guidance is -1.0, but it must be at least 0"),
        (["guidance=2"], "guidance is 2, but no label is chosen: give label.speaker=..."),
    ],
)
def test_what_a_model_does_not_know(call, models, settings, said):
    status, _, err = call("generate", f"checkpoint={models['labels']}", "seconds=0.1", *settings)
    assert (status, err.count("\n")) == (1, 1)
    assert said in err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], "features/checkpoints/best.safetensors follows mel: give features=recording.wav"),
        (["features=gone.wav"], "features: gone.wav cannot be used"),
        (["features=none.wav"], "features: none.wav holds no samples"),
        (["features=wrong.npy"], "wrong.npy has 3 numbers per row, the model 10"),
        (["features=some.wav", "prime=some.wav"], "prime and features cannot be combined"),
        (["features=some.wav", "label.speaker=x"], "it was trained without labels"),
        (["features=some.wav", "guidance=2"], "guidance follows labels"),
    ],
)
def test_features_that_cannot_be_followed(call, models, tmp_path, settings, said):
    np.save(tmp_path / "wrong.npy", np.zeros((20, 3)))
    for name, samples in (("none", 0), ("some", 100)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(samples), 16000)
    status, _, err = call("generate", f"checkpoint={models['features']}", "seconds=0.1", *settings)
    assert (status, err.count("\n")) == (1, 1)
    assert said in err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["data.labels=[speakr]"], "'speakr' is not a column of"),
        (["data.labels=[who speaks]"], "'who speaks' could not be chosen by label.who speaks=...: rename the column"),
        (["model.features.kinds=[mel]", "model.features.hop=0"], "model.features.hop is 0, but it must be at least 1"),
        (["model.features.kinds=[file]"], ".npy does not exist"),
        (["model.context.pools=[1]"], "model.context.pools is 1, but it must be 8 to 65536"),
        (["label_dropout=2"], "label_dropout is 2.0, but it must be 0 to 1"),
    ],
)
def test_what_cannot_be_trained(call, folder, settings, said):
    status, _, err = call("train", f"data.dir={folder}", "run.dir=run", *SMALL, *QUICK, *settings)
    assert (status, err.count("\n")) == (1, 1)
    assert said in err


def test_what_was_learned_is_drawn(call, folder, tmp_path):
    trained(
        call, folder, "data.labels=[speaker]", "model.features.kinds=[mel]", "model.features.mels=10", "sample_every=3"
    )
    for name in ("labels", "features", "curves", "samples/step_000003"):
        assert (tmp_path / "run" / f"{name}.png").stat().st_size > 5000
