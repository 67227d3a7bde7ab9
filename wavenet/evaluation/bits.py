"""How well a model predicts recordings: bits per sample, teacher-forced, in parallel over time or by an engine."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavenet.audio.encodings import Codes, encoding_of
from wavenet.generation import Conditions, Engine, generate
from wavenet.model.conditioning import Companion, Conditioning
from wavenet.model.device import moved
from wavenet.model.distributions import IGNORED
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.annotations import Annotations
from wavenet.recordings.split import Span
from wavenet.recordings.windows import Windows

CROP = 16384
"""Samples of a recording that are processed at a time."""
STREAMS = 32
"""Recordings that an engine scores side by side."""


class Score(NamedTuple):
    """Total bits of recordings under a model."""

    bits: float
    """Bits of their mu-law codes."""
    samples: int
    own_bits: float
    """Bits of the model's own codes; more than `bits` if these are 16-bit."""


@torch.inference_mode()
def score(
    model: WaveNet,
    windows: Windows,
    device: torch.device | None = None,
    autocast: AbstractContextManager | None = None,
    items: range | None = None,
) -> Score:
    """Score the windows (or those in `items`), in parallel over time."""
    scored = torch.zeros(3, dtype=torch.float64, device=device)
    for index in range(len(windows)) if items is None else items:
        batch = windows.batch([index])
        codes, targets = moved(batch.codes, device), moved(batch.targets, device)
        with autocast or nullcontext():
            logits = model(codes[:, :-1], model.rows(batch.pieces, codes.shape[1] - 1))
        own = model.distribution.loss(logits, targets)
        mulaw = model.distribution.mulaw_loss(logits, targets) if model.config.mixtures else own
        nats = torch.stack([mulaw, own]).double()
        scored += torch.cat([nats / math.log(2), (targets != IGNORED).sum()[None]])  # nothing waits for a GPU here
    bits, own_bits, samples = scored.tolist()
    return Score(bits, int(samples), own_bits)


@torch.inference_mode()
def bits_of_samples(model: WaveNet, codes: Codes, told: Companion) -> Tensor:
    """Bits of each mu-law code of one recording, (samples,), with the conditioning `told`."""
    windows = Windows(codes, [Span(0, len(codes), 0)], CROP, model.receptive_field, _One(told))
    device, found = next(model.parameters()).device, []
    for index in range(len(windows)):
        batch = windows.batch([index])
        rows = model.rows(batch.pieces, batch.codes.shape[1] - 1)
        logits, scored = model(batch.codes[:, :-1].to(device), rows), batch.targets != IGNORED
        found.append(model.distribution.bits(logits[scored.to(device)], batch.targets[scored].to(device)).cpu())
    return torch.cat(found)


class _One(NamedTuple):
    """The conditioning of a single recording, as Windows takes it."""

    told: Companion

    def companion(self, recording: int) -> Companion:
        return self.told


@torch.inference_mode()
def frame_classes(
    model: WaveNet,
    codes: Codes,
    span: Span,
    annotations: Annotations | None = None,
    device: torch.device | None = None,
    autocast: AbstractContextManager | None = None,
) -> Tensor:
    """(ceil(samples / hop),): the likeliest class of each frame of a whole recording, of any length."""
    return frame_posteriors(model, codes, span, annotations, device, autocast).argmax(dim=1)


@torch.inference_mode()
def frame_posteriors(
    model: WaveNet,
    codes: Codes,
    span: Span,
    annotations: Annotations | None = None,
    device: torch.device | None = None,
    autocast: AbstractContextManager | None = None,
) -> Tensor:
    """(ceil(samples / hop), classes): log probabilities of the classes in each frame of a whole recording.

    Frames are pooled piece by piece, then classified together, so that each class takes its neighbours into account.
    """
    assert model.recognition is not None, "this model was trained without frames"
    crop = -(-CROP // model.recognition.hop) * model.recognition.hop
    windows = Windows(codes, [span], crop, model.receptive_field, annotations)
    pooled = []
    with autocast or nullcontext():
        for index in range(len(windows)):
            batch = windows.batch([index])
            rows = model.rows(batch.pieces, batch.codes.shape[1] - 1)
            activations = model.activations(batch.codes[:, :-1].to(device), rows)
            pooled.append(model.recognition.pool(activations[0, : int((batch.targets != IGNORED).sum())]))
        return model.recognition.classify(torch.cat(pooled)).float().log_softmax(dim=1).cpu()


@torch.inference_mode()
def score_with_engine(
    engine: Engine,
    codes: Codes,
    spans: list[Span],
    conditioning: Conditioning | None = None,
    annotations: Annotations | None = None,
) -> tuple[float, int]:
    """`score`, sample by sample through a generation engine: total bits, and number of samples scored."""

    def rows(group: list[Span], start: int, stop: int) -> Tensor | None:
        """Conditioning rows of samples start..stop of each span."""
        if conditioning is None or annotations is None:
            return None
        begins = [(annotations.companion(span.recording), span.start - span.origin) for span in group]
        return torch.stack([conditioning(companion, b + start, b + stop) for companion, b in begins])

    bits, samples = 0.0, 0
    by_length = sorted(spans, key=lambda span: span.samples)
    for first in range(0, len(by_length), STREAMS):
        group = by_length[first : first + STREAMS]
        contexts = [_before(codes, span, engine.receptive_field) for span in group]
        state = engine.start(torch.stack(contexts), rows(group, -engine.receptive_field, 1))
        length = max(span.samples for span in group)
        for start in range(0, length, engine.receptive_field):
            stop = min(start + engine.receptive_field, length)
            chunk = np.zeros((len(group), stop - start), dtype=np.int64)
            valid = np.zeros(chunk.shape, dtype=bool)
            for row, span in enumerate(group):
                piece = codes[span.start + start : min(span.start + stop, span.stop)]
                chunk[row, : len(piece)], valid[row, : len(piece)] = piece, True
            scored = engine.score(state, torch.from_numpy(chunk), rows(group, start + 1, stop + 1))
            bits += float(scored[torch.from_numpy(valid)].sum(dtype=torch.float64))
            samples += int(valid.sum())
    return bits, samples


def resynthesise(engine: Engine, conditioning: Conditioning, annotations: Annotations, span: Span, seed: int) -> Tensor:
    """A sound (n,) made with the conditioning of a recording, and of its length, for comparison."""
    conditions = Conditions(conditioning, [annotations.companion(span.recording, span.start - span.origin)])
    made = [chunk[0] for chunk, _ in generate(engine, span.samples, [seed], conditions=conditions)]
    return engine.distribution.encoding.decode(torch.cat(made))


def _before(codes: Codes, span: Span, length: int) -> Tensor:
    context = codes[max(span.origin, span.start - length) : span.start]
    return torch.nn.functional.pad(
        torch.from_numpy(context.astype(np.int64)), (length - len(context), 0), value=encoding_of(codes).zero
    )
