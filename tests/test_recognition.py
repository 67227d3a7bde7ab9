"""Recognition: pooled frames and their classes, window by window, and the two error rates."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from test_dataset import prepared

from wavenet import evaluation
from wavenet.config import DataConfig, ModelConfig, RecognitionConfig, TrainConfig
from wavenet.errors import ConfigError
from wavenet.model import recognition
from wavenet.model.distributions import IGNORED
from wavenet.model.recognition import FrameHead
from wavenet.model.wavenet import WaveNet
from wavenet.recordings import alignments
from wavenet.recordings.alignments import UNKNOWN, Alignments
from wavenet.recordings.split import Span
from wavenet.recordings.windows import Windows
from wavenet.training.objective import Objective

RATE, HOP = 4000, 40
PHONES = {"low": 300, "mid": 700, "high": 1500, "SIL": 0}
"""Name -> Hz."""
HEAD = RecognitionConfig(hop=HOP, layers=2, channels=16, kernel_size=3, classes=sorted(PHONES))


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
        monkeypatch.setattr("wavenet.evaluation.bits.CROP", crop)
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


@pytest.mark.parametrize(("crop", "tilings"), [(800, 2), (520, 3), (440, 4), (2600, 2)])
def test_every_frame_is_learned_in_one_of_the_epochs(tmp_path, crop, tilings):
    """Also those at a window's edge; and every sample in every epoch, as without frames."""
    config = dataclasses.replace(HEAD, layers=2, kernel_size=5)  # four frames on either side
    samples = {"a.wav": 2503, "b.wav": 900, "c.wav": 330, "d.wav": 3 * crop}
    data = prepared(samples)
    rows = [f"{name},0,{n},low\n" for name, n in samples.items()]
    known = aligned(tmp_path, samples, "file_name,start_sample,end_sample,phone\n" + "".join(rows), config)
    spans = [Span(r.start, r.start + r.samples, r.start, i) for i, r in enumerate(data.recordings)]
    windows = Windows(data.codes, spans, crop, 16, None, known, every_frame=True)
    plain = Windows(data.codes, spans, crop, 16, None, known)
    assert [len(windows.epochs), len(plain.epochs)] == [tilings, 1]
    assert windows._groups[: len(plain)] == plain._groups
    learned = [np.zeros(-(-n // HOP), dtype=int) for n in samples.values()]
    for items in windows.epochs:
        assert sum(int((windows[index][1] != IGNORED).sum()) for index in items) == sum(samples.values())
        for index in items:
            for window, frames in zip(windows._groups[index], windows.frame_classes(index), strict=True):
                span = spans[int(windows._recording[window])]
                first, beyond = divmod(int(windows._start[window]) - span.start, HOP)
                assert beyond == 0
                learned[span.recording][first : first + len(frames.classes)] += (frames.classes != IGNORED).numpy()
    for found, n in zip(learned, samples.values(), strict=True):
        told = found[: n // HOP]  # the last frame's middle may lie beyond the end
        assert told.min() >= 1
        assert told.max() <= tilings
    assert Windows(data.codes, spans, crop, 16, every_frame=True).epochs == [range(len(plain))]
