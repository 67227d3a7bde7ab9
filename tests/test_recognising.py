"""From recordings and phones.csv to a trained recogniser, and what wavenet-recognise makes of it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from test_recognition import HEAD, HOP, PHONES, RATE
from test_training import Stop

from wavenet.config import DataConfig, ModelConfig, OptimConfig, RecognitionConfig, TrainConfig
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet
from wavenet.recordings import alignments
from wavenet.recordings.alignments import Alignments
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import Span
from wavenet.recordings.windows import Windows
from wavenet.training import train
from wavenet.training.objective import Objective


def say(folder: Path, names: list[str], rate: int, random: np.random.Generator) -> list[str]:
    """Write recordings of tones in a random order, and return the rows that tell them."""
    rows = []
    for name in names:
        sound, start = [], 0
        for phone in random.choice(list(PHONES), 10):
            n = int(random.integers(rate // 20, rate // 5))
            sound.append(0.4 * np.sin(2 * np.pi * PHONES[phone] * np.arange(n) / rate) + random.normal(0, 0.01, n))
            rows.append(f"{name},{start},{start + n},{phone}")
            start += n
        soundfile.write(folder / name, np.concatenate(sound), rate)
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve recordings, of which the last two are at twice the rate and held out."""
    path = tmp_path_factory.mktemp("phones")
    random = np.random.default_rng(0)
    names = [f"{i:02d}.wav" for i in range(12)]
    rows = say(path, names[:10], RATE, random) + say(path, names[10:], 2 * RATE, random)
    (path / "phones.csv").write_text("\n".join(["file_name,start_sample,end_sample,phone", *rows]) + "\n")
    sides = [f"{name},{'train' if number < 10 else 'valid'},{number % 2}" for number, name in enumerate(names)]
    (path / "metadata.csv").write_text("\n".join(["file_name,split,speaker", *sides]) + "\n")
    return path


@pytest.fixture
def settings(folder, tmp_path):
    def make(**changes) -> TrainConfig:
        model = ModelConfig(stacks=1, layers_per_stack=5, residual_channels=16, gate_channels=16, skip_channels=32)
        model.recognition = RecognitionConfig(hop=HOP, layers=2, channels=16, kernel_size=3)
        data = DataConfig(str(folder), sample_rate=RATE, cache_dir=str(tmp_path / "cache"), frames="phones.csv")
        quick = {"steps": 5, "crop": 1200, "precision": "float32", "sample_every": 0, "log_every": 1, "device": "cpu"}
        return TrainConfig(data=data, model=model, **(quick | changes))

    return make


def test_gradients_reach_every_weight(small, folder):
    """From the frames alone all but the last two layers of the samples; from both all."""
    small.recognition = HEAD
    model, config = WaveNet(small), DataConfig(str(folder), sample_rate=RATE, cache_dir=str(folder / "cache"))
    data = prepare(config)
    spans = [Span(r.start, r.start + r.samples, r.start, i) for i, r in enumerate(data.recordings)]
    known = Alignments(alignments.read(data, "phones.csv"), HEAD)
    batch = Windows(data.codes, spans, 1200, model.receptive_field, None, known).batch([0, 1])
    losses = Objective(model)(batch.codes, batch.targets, batch.pieces, batch.frame_classes)
    losses[1].backward()
    without = {name for name, parameter in model.named_parameters() if not parameter.grad.any()}
    assert without == {"hidden.weight", "hidden.bias", "output.weight", "output.bias"}
    Objective(model)(batch.codes, batch.targets, batch.pieces, batch.frame_classes).sum().backward()
    assert all(parameter.grad.any() for parameter in model.parameters())


def test_times_are_those_of_the_recordings_own_rate(folder, tmp_path):
    data = prepare(DataConfig(str(folder), sample_rate=RATE, cache_dir=str(tmp_path)))
    segments = alignments.read(data, "phones.csv")
    for recording, phones in zip(data.recordings, segments, strict=True):
        assert len(phones) == 10
        assert phones[-1].stop == pytest.approx(recording.samples, abs=1)


def test_it_learns_to_tell_tones_apart(settings, tmp_path):
    reporter = Stop()
    optim = OptimConfig(warmup_steps=5, ema_decay=0.9)
    result = train(settings(steps=160, optim=optim), tmp_path / "run", reporter)
    (last,) = [line for line in reporter.lines if "of frames recognised" in line]
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    (accuracy,) = [row["valid/frame_accuracy"] for row in logged if "valid/frame_accuracy" in row]
    assert accuracy > 0.85  # by chance: 0.25
    assert f"{accuracy:.1%}" in last
    assert result.bits_per_sample < result.unigram_bits
    loaded = checkpoint.load(tmp_path / "run")
    assert loaded.model.config.recognition.classes == sorted(PHONES)
    state = checkpoint.load_state(tmp_path / "run")
    assert loaded.model.recognition is not None
    assert sum(loaded.model.recognition.statistics.phones) == 10 * 10  # all that the training part says
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, state["averaged"][name])


def test_resuming_equals_never_stopping(settings, tmp_path):
    train(settings(steps=6), tmp_path / "whole")
    assert train(settings(steps=6), tmp_path / "parts", Stop(at=2)).steps == 2
    train(settings(steps=6, resume=str(tmp_path / "parts")), tmp_path / "parts")
    whole, parts = (checkpoint.load_state(tmp_path / name) for name in ("whole", "parts"))
    assert whole["config"]["model"]["recognition"]["classes"] == sorted(PHONES)
    for key in ("model", "averaged"):
        for name, tensor in whole[key].items():
            assert torch.equal(tensor, parts[key][name]), (key, name)


def test_it_goes_with_labels_and_with_making_sound(call, settings, folder, tmp_path):
    config = settings(steps=2, sample_every=2, sample_seconds=0.05)
    config.data.labels = ["speaker"]
    train(config, tmp_path / "run")
    status, _, err = call("generate", "checkpoint=run", "label.speaker=1", "seconds=0.05", "output=x.wav")
    assert (status, err) == (0, "")
    for told in ("true", "false"):
        arguments = ["checkpoint=run", f"data.dir={folder}", f"use_labels={told}", f"output={told}.csv"]
        status, _, err = call("recognise", *arguments)
        assert (status, err) == (0, "")
    config.run.dir, config.model.mixtures = None, 2  # and with 16 bits
    train(config, tmp_path / "sixteen")
    status, _, err = call("recognise", "checkpoint=sixteen", f"data.dir={folder}", "output=s.csv")
    assert (status, err) == (0, "")
    status, _, err = call("recognise", "checkpoint=run", f"data.dir={folder}", "data.sample_rate=11025")
    assert status == 1
    assert "data.sample_rate is 11025" in err
    assert "resuming at step 2 of 4" in call("train", "resume=run", "steps=4", "sample_every=0")[1]


def test_checkpoints_without_recognition_load_as_ever(small, tmp_path):
    stored = {"stacks": 1, "layers_per_stack": 2}
    assert ModelConfig.from_dict(stored).recognition == RecognitionConfig()
    small.recognition = HEAD
    model = WaveNet(small)
    checkpoint.save(tmp_path / "x.safetensors", model, RATE, 1, None)
    loaded = checkpoint.load(tmp_path / "x.safetensors").model
    assert loaded.config == model.config
    x = torch.randn(90, 12)
    assert torch.equal(loaded.recognition(x), model.recognition(x))


def test_the_command(call, settings, folder, tmp_path):
    train(settings(steps=160, optim=OptimConfig(warmup_steps=5, ema_decay=0.9)), tmp_path / "run")
    given = ["checkpoint=run", "threads=1", "device=cpu", "report=r.json"]
    status, out, err = call("recognise", *given, f"data.dir={folder}", "split=valid", "output=made/valid.csv")
    assert (status, err) == (0, "")
    figures = json.loads(Path("r.json").read_text())
    assert list(figures) == ["files", "frames", "frame_accuracy", "phone_error_rate"]
    assert figures["files"] == 2
    assert figures["frame_accuracy"] > 0.85
    assert 0 <= figures["phone_error_rate"] < 0.4
    assert f"{figures['frame_accuracy']:.1%}" in out
    with open("made/valid.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file_name", "start_sample", "end_sample", "phone"]
    for name in ("10.wav", "11.wav"):
        phones = [row for row in rows if row["file_name"] == name]
        edges = [int(row["start_sample"]) for row in phones] + [int(phones[-1]["end_sample"])]
        assert edges[0] == 0
        assert edges[-1] == pytest.approx(soundfile.info(folder / name).frames, abs=1)
        assert edges[1:-1] == [int(row["end_sample"]) for row in phones[:-1]]
        assert all(edge % (2 * HOP) == 0 for edge in edges[:-1])
        assert {row["phone"] for row in phones} <= set(PHONES)

    # what it wrote tells the frames of the same recordings, and then nothing is wrong
    others = tmp_path / "others"
    others.mkdir()
    for name in ("10.wav", "11.wav"):
        (others / name).write_bytes((folder / name).read_bytes())
    status, out, err = call("recognise", *given, f"data.dir={others}", "output=first.csv")
    assert (status, err) == (0, "")
    assert "so nothing is compared" in out
    figures = json.loads(Path("r.json").read_text())
    assert (figures["frame_accuracy"], figures["phone_error_rate"]) == (None, None)
    call("recognise", *given, f"data.dir={others}", f"data.frames={tmp_path / 'first.csv'}", "output=second.csv")
    assert Path("second.csv").read_text() == Path("first.csv").read_text()
    figures = json.loads(Path("r.json").read_text())
    assert figures["phone_error_rate"] == 0
    assert figures["frame_accuracy"] > 0.9  # of each frame by itself
    given += [f"data.dir={others}", "decoding=frames"]
    call("recognise", *given, "output=third.csv")
    call("recognise", *given, f"data.frames={tmp_path / 'third.csv'}", "output=fourth.csv")
    assert Path("fourth.csv").read_text() == Path("third.csv").read_text()
    figures = json.loads(Path("r.json").read_text())
    assert (figures["frame_accuracy"], figures["phone_error_rate"]) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data.frames=none.csv"], "data.frames: "),
        (["split=tests"], "split is 'tests', but it must be one of all, train, valid, test"),
        (["output=file/x.csv"], "output: file is a file, not a folder; choose another output"),
        (["output=."], "output: . is a folder; name a file"),
        (["output=recordings/phones.csv"], "output: recordings/phones.csv has the reference phones and would be"),
        (["data.trim_silence_db=40"], "data.trim_silence_db is 40.0, but it must be left out"),
    ],
)
def test_the_command_names_what_is_wrong(call, small, folder, tmp_path, arguments, said):
    small.recognition = HEAD
    checkpoint.save(tmp_path / "x.safetensors", WaveNet(small), RATE, 1, None)
    (tmp_path / "file").write_text("")
    (tmp_path / "recordings").symlink_to(folder)
    status, _, err = call("recognise", "checkpoint=x.safetensors", f"data.dir={folder}", *arguments)
    assert status == 1
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


def test_a_model_that_recognises_nothing_is_named(call, small, tmp_path):
    checkpoint.save(tmp_path / "x.safetensors", WaveNet(small), RATE, 1, None)
    status, _, err = call("recognise", "checkpoint=x.safetensors")
    assert status == 1
    assert "cannot recognise: it was trained without data.frames" in err
