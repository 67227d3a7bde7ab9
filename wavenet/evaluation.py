"""How well a model predicts recordings: bits per sample, teacher-forced, and the two predictors it must beat.

The scale: 8 bits is a code drawn blindly. A unigram model knows how often each code occurs. A linear predictor knows
the last 32 amplitudes: an AR(32) whose residual is Laplace with a scale that follows the signal, integrated over each
code's bin. A network above the unigram has learned nothing; one above the linear predictor still makes noise.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchaudio.functional import lfilter

from wavenet.annotations import Annotations
from wavenet.conditioning import Conditioning
from wavenet.dataset import Windows
from wavenet.distributions import IGNORED
from wavenet.encodings import MULAW, encoding_of, expand
from wavenet.generation import Conditions, Engine, generate
from wavenet.model import WaveNet
from wavenet.split import Span

ORDER = 32
"""Past amplitudes that the linear predictor uses."""
DECAYS = (0.9, 0.95, 0.98, 0.99)
"""Per-sample decays of the residual's scale that are tried on the training part."""
FLOOR = 1e-3
"""Share of the linear predictor's probability that is spread evenly over all codes, against surprises."""
CROP = 16384
"""Samples that a whole recording is worked through in at a time."""
STREAMS = 32
"""Recordings that an engine scores side by side."""


@dataclass(frozen=True)
class Baselines:
    """Bits per sample of the two simple predictors on the validation part."""

    unigram_bits: float
    linear_bits: float

    def verdict(self, bits: float) -> str:
        """What to expect of a model with so many bits per sample, in plain words."""
        if bits > self.unigram_bits - 0.05:
            return "no better than counting codes: expect noise"
        if bits > self.linear_bits:
            return "better than counting codes, not yet a linear predictor: expect noise that comes and goes"
        if bits > self.linear_bits - 0.3:
            return "a little better than a linear predictor: expect the colour of the sound, still noisy"
        better = f"{self.linear_bits - bits:.1f} bits better than a linear predictor"
        if bits > self.linear_bits - 1:
            return f"{better}: expect the sound, with noise in it"
        return f"{better}: expect the sound itself"


class Score(NamedTuple):
    """What recordings have in bits under a model, in all."""

    bits: float
    """Of their mu-law codes."""
    samples: int
    own_bits: float
    """Of the model's own codes: more than `bits` where these are of 16 bits."""


@torch.inference_mode()
def score(
    model: WaveNet,
    windows: Windows,
    device: torch.device | None = None,
    autocast: AbstractContextManager | None = None,
    items: range | None = None,
) -> Score:
    """Measure the windows (or those in `items`), in parallel over time."""
    scored = torch.zeros(3, dtype=torch.float64)
    for index in range(len(windows)) if items is None else items:
        batch = windows.batch([index])
        codes, targets = batch.codes.to(device), batch.targets.to(device)
        with autocast or nullcontext():
            logits = model(codes[:, :-1], model.rows(batch.pieces, codes.shape[1] - 1))
        own = model.distribution.loss(logits, targets)
        mulaw = model.distribution.mulaw_loss(logits, targets) if model.config.mixtures else own
        nats = torch.stack([mulaw, own]).double().cpu()
        scored += torch.cat([nats / math.log(2), (targets != IGNORED).sum().cpu()[None]])
    bits, own_bits, samples = scored.tolist()
    return Score(bits, int(samples), own_bits)


@torch.inference_mode()
def frame_classes(
    model: WaveNet,
    codes: np.ndarray,
    span: Span,
    annotations: Annotations | None = None,
    device: torch.device | None = None,
    autocast: AbstractContextManager | None = None,
) -> Tensor:
    """(ceil(samples / hop),): the likeliest class of each frame of a whole recording, however long it is.

    Frames are pooled piece by piece, and classified together, so that each hears its neighbours.
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
        return model.recognition.classify(torch.cat(pooled)).argmax(dim=1).cpu()


@torch.inference_mode()
def score_with_engine(
    engine: Engine,
    codes: np.ndarray,
    spans: list[Span],
    conditioning: Conditioning | None = None,
    annotations: Annotations | None = None,
) -> tuple[float, int]:
    """What `score` measures, sample by sample through a generation engine: total bits, and samples scored."""

    def rows(group: list[Span], start: int, stop: int) -> Tensor | None:
        """Of samples start..stop of each span."""
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
    """A sound (n,) that is told what is known of a recording, as long as that is; to compare with it."""
    conditions = Conditions(conditioning, [annotations.companion(span.recording, span.start - span.origin)])
    made = [chunk[0] for chunk, _ in generate(engine, span.samples, [seed], conditions=conditions)]
    return engine.distribution.encoding.decode(torch.cat(made))


def _before(codes: np.ndarray, span: Span, length: int) -> Tensor:
    context = codes[max(span.origin, span.start - length) : span.start]
    return torch.nn.functional.pad(
        torch.from_numpy(context.astype(np.int64)), (length - len(context), 0), value=encoding_of(codes).zero
    )


def baselines(codes: np.ndarray, train: list[Span], valid: list[Span], most_samples: int = 5_000_000) -> Baselines:
    """Fit both predictors on the training part, score them on the validation part; `most_samples` of each at most."""
    encoding = encoding_of(codes)

    def mulaw(span: Span) -> np.ndarray:
        return encoding.mulaw(torch.from_numpy(codes[span.start : span.stop].astype(np.int64))).numpy()

    fitted_on = [mulaw(span) for span in _spread(train, most_samples)]
    scored_on = [mulaw(span) for span in _spread(valid, most_samples)]
    counts = np.sum([np.bincount(part, minlength=MULAW.levels) for part in fitted_on], axis=0) + 1
    log_p = np.log2(counts / counts.sum())
    unigram = -sum(log_p[part].sum() for part in scored_on) / sum(map(len, scored_on))
    return Baselines(float(unigram), _linear_bits(fitted_on, scored_on))


def _spread(spans: list[Span], most: int) -> list[Span]:
    """Spans with at most `most` samples in all, taken evenly from everywhere."""
    total = sum(span.samples for span in spans)
    if total <= most:
        return spans
    share = most / total
    return [Span(span.start, span.start + max(1, int(span.samples * share)), span.origin) for span in spans]


def _linear_bits(fitted_on: list[np.ndarray], scored_on: list[np.ndarray]) -> float:
    signals = [_amplitudes(part) for part in fitted_on]
    correlation = torch.stack([_autocorrelation(signal) for signal in signals]).sum(dim=0)
    lags = torch.arange(ORDER)
    # a ridge of 1e-9 keeps a pure tone, whose equations are singular, solvable
    matrix = correlation[(lags[:, None] - lags).abs()] + torch.eye(ORDER, dtype=torch.float64) * correlation[0] * 1e-9
    predictor = torch.linalg.solve(matrix, correlation[1:])
    sample = [part[:50_000] for part in fitted_on[:: max(1, len(fitted_on) // 20)]]
    decay = min(DECAYS, key=lambda decay: _laplace_bits(predictor, decay, sample))
    return _laplace_bits(predictor, decay, scored_on)


def _amplitudes(codes: np.ndarray) -> Tensor:
    return MULAW.amplitudes[torch.from_numpy(codes.astype(np.int64))]


def _autocorrelation(signal: Tensor) -> Tensor:
    size = 2 ** math.ceil(math.log2(len(signal) + ORDER + 1))
    spectrum = torch.fft.rfft(signal, n=size)
    return torch.fft.irfft(spectrum.abs().square(), n=size)[: ORDER + 1]


def _laplace_bits(predictor: Tensor, decay: float, parts: list[np.ndarray]) -> float:
    """Average bits of codes whose amplitude is Laplace around the prediction, with a scale that trails the residual."""
    halves = torch.arange(MULAW.levels - 1, dtype=torch.float64) + 0.5
    inner = expand(halves / (MULAW.levels - 1) * 2 - 1)
    edges = torch.cat([torch.tensor([-math.inf]).double(), inner, torch.tensor([math.inf]).double()])
    whitener = torch.cat([torch.ones(1, dtype=torch.float64), -predictor])
    total, samples = 0.0, 0
    for part in parts:
        codes = torch.from_numpy(part.astype(np.int64))
        x = _amplitudes(part)
        residual = lfilter(x, torch.eye(1, ORDER + 1).double()[0], whitener, clamp=False)
        trailing = torch.tensor([0.0, 1 - decay], dtype=torch.float64)
        scale = lfilter(residual.abs(), torch.tensor([1.0, -decay]).double(), trailing, clamp=False) + 1e-4
        prediction = x - residual
        high, low = (edges[codes + 1] - prediction) / scale, (edges[codes] - prediction) / scale
        p = (_laplace_cdf(high) - _laplace_cdf(low)) * (1 - FLOOR) + FLOOR / MULAW.levels
        total -= float(p.log2().sum())
        samples += len(codes)
    return total / samples


def _laplace_cdf(x: Tensor) -> Tensor:
    return torch.where(x < 0, torch.exp(x.clamp(max=0)) / 2, 1 - torch.exp(-x.clamp(min=0)) / 2)
