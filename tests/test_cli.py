"""The commands that use a model: the figures come out as documented, and what cannot be is refused in one line."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import QUICK, RATE

import wavenet
from wavenet.cli.jobs.generate import check_output, new_files
from wavenet.generation import watch
from wavenet.model import native


def test_the_main_job(call, tones, tmp_path):
    status, out, err = call("train", f"data.dir={tones}", "run.dir=run", "report=train.json", *QUICK)
    assert (status, err) == (0, "")
    assert "broken.wav: it is damaged or not audio" in out
    trained = json.loads(Path("train.json").read_text())
    assert set(trained) == {
        *("run_dir", "checkpoint", "steps", "samples_per_second", "bits_per_sample", "unigram_bits", "linear_bits"),
        "forecast",
    }
    assert trained["steps"] == 3

    status, out, _ = call(
        "generate", "checkpoint=run", "seconds=0.1", "count=2", "seed=5", "output=made", "report=g.json"
    )
    assert status == 0
    made = json.loads(Path("g.json").read_text())
    assert set(made) == {
        *("files", "sample_rate", "samples_per_second", "realtime_factor", "bits_per_sample"),
        *("engine", "precision", "warnings"),
    }
    assert made["files"] == ["made/seed_5.wav", "made/seed_6.wav"]
    assert [soundfile.info(file).frames for file in made["files"]] == [800, 800]
    assert soundfile.info(made["files"][0]).samplerate == RATE

    # the same seed alone, primed by nothing, into FLAC: the same sound; never over an older file in a folder
    call("generate", "checkpoint=run/checkpoints/last.safetensors", "seconds=0.1", "seed=6", "output=one.flac")
    assert np.array_equal(soundfile.read("one.flac")[0], soundfile.read("made/seed_6.wav")[0])
    call("generate", "checkpoint=run", "seconds=0.05", "seed=5", "output=made", f"prime={tones / '0.flac'}")
    assert soundfile.info("made/seed_5.wav").frames == 800
    assert soundfile.info("made/seed_5_2.wav").frames == 400

    results = {}
    for engine in ("auto", "cached"):
        arguments = ["checkpoint=run", f"data.dir={tones}", f"engine={engine}", "split=valid", "report=e.json"]
        assert call("evaluate", *arguments)[0] == 0
        results[engine] = json.loads(Path("e.json").read_text())
        assert set(results[engine]) == {"files", "samples", "bits_per_sample", "unigram_bits", "linear_bits"}
    assert results["auto"]["samples"] == results["cached"]["samples"] == RATE
    assert abs(results["auto"]["bits_per_sample"] - results["cached"]["bits_per_sample"]) < 1e-4
    assert (
        abs(results["auto"]["bits_per_sample"] - trained["bits_per_sample"]) < 0.05
    )  # trained in bfloat16 where it can


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["output=x.mp3"], "output is x.mp3, but a file must end in .wav or .flac"),
        (["output=x.wav", "count=2"], "output is one file, x.wav, but count is 2"),
        (["engine=fast"], "engine is 'fast', but it must be one of auto, compiled, cached, naive"),
        (["top_p=0"], "top_p is 0.0, but it must be greater than 0 and at most 1"),
        (["prime=missing.wav"], "prime: missing.wav cannot be used: it cannot be opened"),
        (["device=gpu"], "device is 'gpu', but it must be one of auto, cpu, cuda"),
        (["label=wind"], "label is 'wind', but it is written label.NAME=wind"),
        (["checkpoint=run/config.yaml"], "run/config.yaml is no checkpoint: give a run folder or a .safetensors file"),
        (["seconds=4e6"], "seconds is 4000000.0, but it must be greater than 0 and at most 3600000 (1,000 hours)"),
        (
            ["seconds=3e5"],
            "the sound is 300000 seconds long, but a WAV file holds at most 268435 at 8000 Hz: name a .flac",
        ),
        (["checkpoint="], "checkpoint is empty"),
        (["checkpoint=run/checkpoints/last.state"], "run/checkpoints/last.state is a training state: give a run"),
    ],
)
def test_generate_names_what_is_wrong(call, run, arguments, said):
    status, _, err = call("generate", "checkpoint=run", *arguments)
    assert status == 1
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("taken", "output: taken is a file, not a folder"),
        ("taken/below", "output: taken is a file, not a folder"),
        ("taken/below/x.wav", "output: taken is a file, not a folder"),
        ("closed", "output: the folder closed cannot be written to"),
        ("closed/new/x.flac", "output: the folder closed cannot be written to"),
    ],
)
def test_generate_looks_at_its_output_before_it_loads(call, tmp_path, monkeypatch, output, said):
    (tmp_path / "taken").write_text("")
    (tmp_path / "closed").mkdir()
    access = os.access  # root may write anywhere
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and access(path, mode))
    status, _, err = call("generate", "checkpoint=gone", f"output={output}")
    assert status == 1
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1
    assert "Errno" not in err


def test_a_folder_named_like_a_file_is_a_folder(tmp_path):
    (tmp_path / "v1.2").mkdir()
    assert not check_output(tmp_path / "v1.2", 1)


def test_two_commands_do_not_take_one_name(tmp_path):
    with new_files(tmp_path / "made", [3]) as first, new_files(tmp_path / "made", [3, 4]) as second:
        assert [path.name for path in first + second] == ["seed_3.wav", "seed_3_2.wav", "seed_4.wav"]
        second[0].write_text("a sound")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["seed_3_2.wav"]  # what nothing came of is gone


def test_more_files_than_may_be_open(call, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    status, _, err = call("generate", "checkpoint=gone", "count=40")
    assert status == 1
    assert err.startswith("error: count is 40, but this system lets a program write to 36 files at once: generate in")


def test_an_empty_prime_is_refused(call, run):
    soundfile.write("nothing.wav", np.zeros(0), RATE)
    status, _, err = call("generate", "checkpoint=run", "seconds=0.01", "prime=nothing.wav")
    assert (status, err) == (1, "error: prime: nothing.wav holds no samples\n")


@pytest.mark.skipif(os.name != "posix", reason="names are text there")
def test_a_name_that_is_not_text_is_written(call, run):
    status, out, err = call("generate", "checkpoint=run", "seconds=0.01", "output=" + os.fsdecode(b"o\xff.wav"))
    assert (status, err) == (0, "")
    assert "wrote o?.wav" in out
    assert soundfile.info(b"o\xff.wav").frames == RATE // 100


def test_advice_suits_the_temperature(call, run, monkeypatch):
    for temperature, advice in ((0, "try a temperature above 0, a prime"), (1, "try another seed, a lower temp")):
        monkeypatch.setattr(watch, "_trouble", lambda *_: "silent")
        _, out, _ = call("generate", "checkpoint=run", "seconds=1", f"temperature={temperature}")
        assert advice in out


@pytest.mark.skipif(bool(native.missing), reason="the kernels are not built")
def test_the_environment_is_named(call, run, monkeypatch):
    monkeypatch.setenv("WAVENET_INSTRUCTION_SET", "foo")
    native.code.cache_clear()
    status, _, err = call("generate", "checkpoint=run")
    assert status == 1
    assert err.startswith("error: environment variable WAVENET_INSTRUCTION_SET is 'foo', but this machine runs ")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "data.labels=[folder]",
            "data.labels: the model has its own labels: leave it out; use_labels=false gives it none",
        ),
        (
            "instruction_set=portable",
            "instruction_set applies only to engine=compiled: leave it out, or use that engine",
        ),
        ("split=test", "split=test: no recording of "),
        ("resynthesise=2", "resynthesise: run/checkpoints/best.safetensors was trained without features"),
    ],
)
def test_what_evaluate_would_not_heed_is_refused(call, run, tones, setting, said):
    status, _, err = call("evaluate", "checkpoint=run", f"data.dir={tones}", setting, "report=r.json")
    assert status == 1
    assert err.startswith(f"error: {said}")
    assert not Path("r.json").exists()


def test_the_checkpoint_decides_the_rate(call, run, tones):
    status, _, err = call("evaluate", "checkpoint=run", f"data.dir={tones}", "data.sample_rate=16000")
    assert status == 1
    assert "data.sample_rate is 16000, but run/checkpoints/best.safetensors was trained at 8000 Hz" in err
    assert call("evaluate", "checkpoint=run", f"data.dir={tones}", f"data.sample_rate={RATE}")[0] == 0


def test_what_was_held_out_stays_so(call, tmp_path):
    """The checkpoint tells how its recordings were divided."""
    for number in range(40):
        sound = np.random.default_rng(number).normal(0, 0.1, RATE // 4)
        (tmp_path / "many").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "many" / f"v{number}.wav", sound, RATE)
    many = f"data.dir={tmp_path}/many"
    assert call("train", many, "data.valid_fraction=0.05", "run.dir=run", *QUICK)[0] == 0
    valid = ["evaluate", "checkpoint=run", many, "split=valid", "report=r.json"]
    assert call(*valid)[0] == 0
    few = json.loads((tmp_path / "r.json").read_text())["files"]
    assert call(*valid, "data.valid_fraction=0.1")[0] == 0
    assert few < json.loads((tmp_path / "r.json").read_text())["files"]
    assert wavenet.load(tmp_path / "run").data == {
        "valid_fraction": 0.05,
        "split_by": "auto",
        "min_seconds": 0.1,
        "trim_silence_db": None,
        "channel": "mix",
        "normalise": "off",
    }


@pytest.mark.parametrize("name", ["x.wav", "x.M4A"])
def test_an_exported_network_is_not_named_like_something_else(call, name):
    status, _, err = call("export", "checkpoint=gone", f"output={name}")
    assert status == 1
    assert err == f"error: output is {name}, but an exported network is no {name[1:]} file: call it x.wavenet\n"


def test_a_checkpoint_can_be_made_small(call, run):
    assert call("export", "checkpoint=run", "output=small.safetensors")[0] == 0
    small, whole = Path("small.safetensors"), Path("run/checkpoints/best.safetensors")
    assert small.stat().st_size < 0.6 * whole.stat().st_size
    made, voice = wavenet.load(small), wavenet.load(whole)
    assert (made.sample_rate, made.step, made.valid_bits) == (voice.sample_rate, voice.step, voice.valid_bits)
    for ours, theirs in zip(made.model.parameters(), voice.model.parameters(), strict=True):
        rows = theirs.detach().flatten(1) if theirs.ndim > 1 else theirs.detach()[:, None]
        assert (
            ((ours - theirs).abs().flatten(1) if ours.ndim > 1 else (ours - theirs).abs()[:, None])
            .le(rows.abs().amax(dim=1, keepdim=True) / 254 + 1e-7)
            .all()
        )
    status, _, err = call("export", "checkpoint=run", "output=small.safetensors", "precision=float32")
    assert status == 1
    assert "leave label and precision out" in err


def test_nothing_of_another_kind_is_overwritten(call, run):
    Path("notes.md").write_text("my notes")
    for command in (["export", "output=notes.md"], ["generate", "seconds=0.01", "report=notes.md"]):
        status, _, err = call(*command[:1], "checkpoint=run", *command[1:])
        assert status == 1
        assert " notes.md already exists and is not a" in err
    assert Path("notes.md").read_text() == "my notes"
    for _ in range(2):  # what is of the kind is
        assert call("export", "checkpoint=run", "output=x.wavenet", "report=r.json")[0] == 0


def test_a_recording_that_is_cut_in_two_counts_once(call, run, tmp_path):
    (tmp_path / "one").mkdir()
    soundfile.write(tmp_path / "one" / "a.wav", np.random.default_rng(0).normal(0, 0.1, 2 * RATE), RATE)
    status, out, _ = call("evaluate", f"checkpoint={run}", "data.dir=one", "split=all", "report=r.json", "threads=1")
    figures = json.loads((tmp_path / "r.json").read_text())
    assert (status, figures["files"], figures["samples"]) == (0, 1, 2 * RATE)
    assert f"1 recording, {2 * RATE} samples" in out
