"""Recognition: frames, what is said in them, the two error rates, and a model that learns to tell tones apart."""

import csv
import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_dataset import prepared
from test_training import Stop

from wavenet import evaluation
from wavenet.config import DataConfig, ModelConfig, OptimConfig, RecognitionConfig, TrainConfig
from wavenet.errors import AudioError, ConfigError
from wavenet.model import checkpoint, recognition
from wavenet.model.distributions import IGNORED
from wavenet.model.recognition import FrameHead
from wavenet.model.wavenet import WaveNet
from wavenet.recordings import alignments
from wavenet.recordings.alignments import UNKNOWN, Alignments, Segments
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import Span
from wavenet.recordings.windows import Windows
from wavenet.training import train
from wavenet.training.objective import Objective

RATE, HOP = 4000, 40
PHONES = {"low": 300, "mid": 700, "high": 1500, "SIL": 0}
"""Name -> Hz."""
HEAD = RecognitionConfig(hop=HOP, layers=2, channels=16, kernel_size=3, classes=sorted(PHONES))


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


def aligned(folder: Path, lengths: dict[str, int], text: str, config: RecognitionConfig = HEAD) -> Alignments:
    """Alignments of recordings of so many samples, whose headers say 16 kHz as `prepared` does."""
    for name, samples in lengths.items():
        soundfile.write(folder / name, np.zeros(samples), 16000)
    (folder / "phones.csv").write_text(text)
    return Alignments(alignments.read(prepared(lengths, folder), "phones.csv"), config)


# ---- the head


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, HOP + 1, 10 * HOP, 10 * HOP + 7])
def test_pooling_is_the_mean_of_each_frame(samples):
    x = torch.randn(samples, 5)
    pooled = FrameHead(5, HEAD).pool(x)
    expected = [[x[f : f + HOP, c].sum() / len(x[f : f + HOP]) for c in range(5)] for f in range(0, samples, HOP)]
    torch.testing.assert_close(pooled, torch.tensor(expected))


def test_a_frame_hears_as_many_frames_to_come_as_past():
    torch.manual_seed(0)  # of some networks no unit answers to the last frame
    head = FrameHead(6, RecognitionConfig(hop=4, layers=3, channels=8, kernel_size=5, classes=["a", "b"]))
    x = torch.randn(30 * 4, 6, requires_grad=True)
    head(x)[15].sum().backward()
    heard = x.grad.abs().sum(dim=1).nonzero()[:, 0]
    reach = 3 * (5 // 2)
    assert (int(heard.min()), int(heard.max())) == ((15 - reach) * 4, (15 + reach + 1) * 4 - 1)


def test_the_head_is_there_only_when_asked_for(small):
    assert WaveNet(small).recognition is None
    torch.manual_seed(0)
    plain = WaveNet(small)
    small.recognition = HEAD
    torch.manual_seed(0)
    heard = WaveNet(small)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(heard.state_dict()[name], tensor)
    new = {name: tuple(t.shape) for name, t in heard.state_dict().items() if name not in plain.state_dict()}
    assert new == {
        "recognition.norm.weight": (12,),
        "recognition.norm.bias": (12,),
        "recognition.convolutions.0.weight": (16, 12, 3),
        "recognition.convolutions.0.bias": (16,),
        "recognition.convolutions.1.weight": (16, 16, 3),
        "recognition.convolutions.1.bias": (16,),
        "recognition.classes.weight": (4, 16),
        "recognition.classes.bias": (4,),
    }


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


def test_short_recordings_in_one_row_are_pooled_apart(small, tmp_path):
    small.recognition = HEAD
    model = WaveNet(small).eval()
    lengths = {"a.wav": 130, "b.wav": 90, "c.wav": 41}
    rows = [f"{name},0,{n},low" for name, n in lengths.items()]
    known = aligned(tmp_path, lengths, "\n".join(["file_name,start_sample,end_sample,phone", *rows]))
    data = prepared(lengths)
    spans = [Span(r.start, r.start + r.samples, r.start, i) for i, r in enumerate(data.recordings)]
    field = model.receptive_field
    windows = Windows(data.codes, spans, 400, field, None, known)
    assert len(windows) == 1
    batch = windows.batch([0])
    assert [len(frames.classes) for frames in batch.frame_classes[0]] == [4, 3, 2]
    together = Objective(model)(batch.codes, batch.targets, batch.pieces, batch.frame_classes)
    alone = []
    for span in spans:
        one = Windows(data.codes, [span], 400, field, None, known).batch([0])
        alone.append(Objective(model)(one.codes, one.targets, one.pieces, one.frame_classes))
    torch.testing.assert_close(together, torch.stack(alone).sum(dim=0))


def test_a_whole_recording_is_recognised_as_one_however_it_is_cut(small, monkeypatch):
    small.recognition = HEAD
    model = WaveNet(small).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    codes = np.random.default_rng(0).integers(0, 256, 1503).astype(np.uint8)
    padded = torch.from_numpy(np.concatenate([np.full(model.receptive_field, 128), codes])).long()
    with torch.no_grad():
        expected = model.recognition(model.activations(padded[None, :-1])[0]).argmax(dim=1)
    assert expected.unique().numel() > 1
    for crop in (1, 200, 999, 16384):
        monkeypatch.setattr(evaluation, "CROP", crop)
        assert torch.equal(evaluation.frame_classes(model, codes, Span(0, 1503, 0)), expected)


# ---- frames to phones, and what is right


def test_frames_become_phones():
    assert recognition.runs([]) == []
    frames = ["SIL", "a", "a", "b", "sil", "b", "a", "SIL"]
    runs = recognition.runs(frames)
    assert runs[:3] == [("SIL", 0, 1), ("a", 1, 3), ("b", 3, 4)]
    assert [runs[-1][1:], len(runs)] == [(7, 8), 7]
    assert recognition.spoken(name for name, _, _ in runs) == ["a", "b", "b", "a"]


def test_right_frames_are_counted_among_those_that_are_told():
    made, told = torch.tensor([0, 1, 2, 3, 0]), torch.tensor([0, 2, 2, IGNORED, UNKNOWN])
    assert recognition.count_right(made, told) == (2, 4)


def test_the_error_rate_counts_all_edits_over_all_phones():
    pairs = [(["a", "b"], ["a", "c"]), ([], ["a", "b", "c"]), (["a", "a", "a"], ["a"]), ("kitten", "sitting")]
    assert recognition.phone_error_rate(pairs) == pytest.approx((1 + 3 + 2 + 3) / 13)
    assert recognition.phone_error_rate([([], [])]) is None


# ---- alignments


HEADER = "file_name,start_sample,end_sample,phone,word\n"


def test_a_frame_is_the_phone_at_its_centre(tmp_path):
    """Frames of 40: centres 20, 60, 100, ...; a gap from 101 to 180; rows in any order."""
    text = HEADER + "a.wav,180,221,mid,x\na.wav,0,60,low,x\na.wav,60,101,high,\na.wav,300,330,,x\n"
    known = aligned(tmp_path, {"a.wav": 330, "b.wav": 50}, text)
    number = {name: HEAD.classes.index(name) for name in PHONES}
    expected = [number["low"], number["high"], number["high"], IGNORED, number["mid"], number["mid"]]
    assert known.frame_classes(0, 0, 330).tolist() == [*expected, IGNORED, IGNORED, IGNORED]
    assert known.frame_classes(0, 40, 120).tolist() == expected[1:3]
    assert known.frame_classes(0, 0, 59).tolist() == [number["low"], IGNORED]  # the second one's centre lies beyond
    assert known.frame_classes(0, 0, 61).tolist() == expected[:2]
    assert known.frame_classes(1, 0, 50).tolist() == [IGNORED, IGNORED]
    assert known.phones(0, 0, 330) == ["low", "high", "mid"]
    assert known.phones(0, 80, 330) == ["high", "mid"]


@given(st.integers(1, 400), st.integers(1, 50), st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_targets_equal_a_plain_search(samples, hop, lengths):
    """Every other phone is a gap."""
    edges = np.cumsum([0, *lengths]).tolist()
    segments = [
        alignments.Segment(start, stop, HEAD.classes[number % 4])
        for number, (start, stop) in enumerate(itertools.pairwise(edges))
        if number % 2 == 0
    ]
    times = np.array([segment[:2] for segment in segments])
    phones = np.array([HEAD.classes.index(segment.phone) for segment in segments])
    told = Segments(times, phones, np.array([0, len(segments)]), HEAD.classes, [])
    assert told[0] == segments
    known = Alignments(told, dataclasses.replace(HEAD, hop=hop))
    expected = []
    for first in range(0, samples, hop):
        centre = first + hop / 2
        here = [s.phone for s in segments if s.start <= centre < s.stop and centre < samples]
        expected.append(HEAD.classes.index(here[0]) if here else IGNORED)
    assert known.frame_classes(0, 0, samples).tolist() == expected


def test_times_are_those_of_the_recordings_own_rate(folder, tmp_path):
    data = prepare(DataConfig(str(folder), sample_rate=RATE, cache_dir=str(tmp_path)))
    segments = alignments.read(data, "phones.csv")
    for recording, phones in zip(data.recordings, segments, strict=True):
        assert len(phones) == 10
        assert phones[-1].stop == pytest.approx(recording.samples, abs=1)


def test_a_phone_that_the_model_does_not_know_is_always_wrong(tmp_path):
    known = aligned(tmp_path, {"a.wav": 40}, HEADER + "a.wav,0,40,click,x\n")
    assert known.frame_classes(0, 0, 40).tolist() == [UNKNOWN]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"data\.frames: .*phones\.csv does not exist; CSV files there: other\.csv"),
        (
            "file_name,start,end_sample\n",
            r"phones\.csv has no column start_sample, phone; it has file_name, start, end_s",
        ),
        ("", r"has no column file_name, start_sample, end_sample, phone; it has none at all"),
        (
            HEADER + "a.wav,0,4,low,\na.wav,x,8,mid,\n",
            r"phones\.csv, line 3: start_sample is 'x', but it must be a whole",
        ),
        (HEADER + "a.wav,0,4.5,low,\n", r"line 2: end_sample is '4\.5', but it must be a whole number of samples"),
        (HEADER + "a.wav,-3,4,low,\n", r"line 2: start_sample is '-3'"),
        (HEADER + "a.wav,3\n", r"line 2: end_sample is ''"),
        (HEADER + "a.wav,8,4,low,\n", r"line 2: a phone from 8 to 4 has no samples"),
        (
            HEADER + "z.wav,0,4,low,\n",
            r"holds no phone of any recording in .*; the first file that it names is 'z\.wav'",
        ),
        (HEADER, r"holds no phone of any recording in .*; it is empty"),
        (b"\xff\xfe", r"phones\.csv cannot be read as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, text, said):
    (tmp_path / "other.csv").write_text("")
    if text is not None:
        (tmp_path / "phones.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AudioError, match=said) as caught:
        alignments.read(prepared({"a.wav": 10}, tmp_path), "phones.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "values", "said"),
    [
        (TrainConfig, {"data": DataConfig(frames="x")}, r"crop is 8192, but it must be a multiple of .*\.hop, 160"),
        (DataConfig, {"frames": "x", "trim_silence_db": 40}, r"data\.trim_silence_db is 40, but it must be left out"),
        (RecognitionConfig, {"kernel_size": 4}, r"kernel_size is 4, but it must be an odd number"),
        (RecognitionConfig, {"hop": 0}, r"model\.recognition\.hop is 0, but it must be at least 1"),
        (RecognitionConfig, {"weight": 0}, r"weight is 0, but it must be greater than 0"),
    ],
)
def test_settings_that_contradict_each_other(schema, values, said):
    with pytest.raises(ConfigError, match=said):
        schema(**values)


# ---- training and the command


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


# ---- windows and whole recordings


@pytest.mark.parametrize("cut", [False, True])
def test_frames_are_learned_as_they_are_recognised(small, tmp_path, cut):
    """Every frame that a window scores has the logits that it has in the whole recording, however that is cut; those
    that have other neighbours there are not scored. A part of a recording does not end where the part does."""
    small.recognition = dataclasses.replace(HEAD, layers=2, kernel_size=5)
    model = WaveNet(small).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    samples = {"a.wav": 2503, "b.wav": 900, "c.wav": 330}
    data = prepared(samples)
    rows = [f"{name},0,{n},low\n" for name, n in samples.items()]
    known = aligned(tmp_path, samples, "file_name,start_sample,end_sample,phone\n" + "".join(rows), small.recognition)
    spans = [Span(r.start, r.start + r.samples, r.start, i) for i, r in enumerate(data.recordings)]
    learned = [dataclasses.replace(spans[0], stop=2000, ends=False), *spans[1:]] if cut else spans
    windows = Windows(data.codes, learned, 800, model.receptive_field, None, known)
    scored = dict.fromkeys(samples, 0)
    with torch.inference_mode():
        whole = []
        for span in spans:
            codes = torch.from_numpy(data.codes[span.start : span.stop]).long()
            padded = torch.cat([torch.full((model.receptive_field,), 128), codes])
            whole.append(model.recognition(model.activations(padded[None, :-1])[0]))
        for index in range(len(windows)):
            batch = windows.batch([index])
            activations = model.activations(batch.codes[:, :-1])[0]
            for window, frames in zip(windows._groups[index], batch.frame_classes[0], strict=True):
                span = spans[int(windows._recording[window])]
                first = (int(windows._start[window]) - span.start) // HOP
                logits = model.recognition(activations[frames.start : frames.stop])
                expected = whole[span.recording][first : first + len(logits)]
                learned_from = frames.classes != IGNORED
                torch.testing.assert_close(logits[learned_from], expected[learned_from], rtol=1e-4, atol=1e-4)
                scored[data.recordings[span.recording].name] += int(learned_from.sum())
    # windows of 20 frames: 16 + 12 + 12, or of 2000 samples 16 + 12 + 2; the rest of 800 samples is all border
    assert scored == {"a.wav": 30 if cut else 40, "b.wav": 16, "c.wav": 8}


def test_a_window_without_room_for_a_frames_neighbours_is_refused():
    """Nothing would be learned of long recordings, without a word."""
    config = RecognitionConfig(hop=100, layers=2, kernel_size=3)
    model = ModelConfig(recognition=config)
    TrainConfig(data=DataConfig(frames="x"), model=model, crop=500)
    with pytest.raises(
        ConfigError,
        match="crop is 400, but it must be more than 400 samples: the class of a frame depends on that many",
    ):
        TrainConfig(data=DataConfig(frames="x"), model=model, crop=400)
