"""The two predictors that a network must beat, in bits per sample.

Random guessing costs 8 bits. The unigram knows how often each code occurs. The linear predictor knows the last 32
amplitudes: an AR(32) whose residual is Laplace with a scale that follows the signal, integrated over each code's bin. A
network above the unigram has learned nothing; one above the linear predictor still makes noise.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchaudio.functional import lfilter

from wavenet.audio.encodings import MULAW, Codes, encoding_of, expand
from wavenet.recordings.split import Span, spread

UNIGRAM, LINEAR = "unigram", "linear predictor"
"""The names of the two predictors, wherever they are shown."""
ORDER = 32
"""Past amplitudes that the linear predictor uses."""
DECAYS = (0.9, 0.95, 0.98, 0.99)
"""Per-sample decays of the residual's scale that are tried on the training part."""
UNIFORM_SHARE = 1e-3
"""Share of the linear predictor's probability that is spread evenly over all codes, so that none is impossible."""
CROP = 2048
"""Samples processed at a time. Of a part that is too long, only crops spread over all of it are used."""
CONTEXT = 512
"""Samples before a crop that the linear predictor hears first; 0.6 % of the slowest decay's weight lies before them."""
TRIED = 64
"""Crops on which the decays are tried."""


@dataclass(frozen=True)
class Baselines:
    """Bits per sample of the two predictors on the validation part."""

    unigram_bits: float
    linear_bits: float

    def named(self) -> dict[str, float]:
        """Bits by the names that are shown."""
        return {UNIGRAM: self.unigram_bits, LINEAR: self.linear_bits}

    def __str__(self) -> str:
        return ", ".join(f"{name} {bits:.2f}" for name, bits in self.named().items())


def measure_baselines(codes: Codes, train: list[Span], valid: list[Span], most_samples: int = 5_000_000) -> Baselines:
    """Fit both predictors on the training part, score them on the validation part.

    From a longer part, `most_samples` are used, in crops spread over it. Memory does not grow with their length.
    """
    fitted_on, scored_on = (spread(part, CROP, most_samples) for part in (train, valid))
    counts, products = np.ones(MULAW.levels), torch.zeros(ORDER + 1, ORDER + 1, dtype=torch.float64)
    for crop in fitted_on:
        heard, context = _mulaw(codes, crop, ORDER)
        counts += np.bincount(heard[context:], minlength=MULAW.levels)
        history = torch.nn.functional.pad(_amplitudes(heard), (ORDER - context, 0)).unfold(0, ORDER + 1, 1)
        products += history.t() @ history
    log_p = np.log2(counts / counts.sum())
    parts = (_mulaw(codes, crop, CONTEXT) for crop in scored_on)
    unigram = -sum(float(log_p[heard[context:]].sum()) for heard, context in parts)
    predictor = _least_squares(products)
    tried = fitted_on[:: max(1, len(fitted_on) // TRIED)]
    decay = min(DECAYS, key=lambda decay: _laplace_bits(predictor, decay, codes, tried))
    samples = sum(crop.samples for crop in scored_on)
    return Baselines(unigram / samples, _laplace_bits(predictor, decay, codes, scored_on) / samples)


def _mulaw(codes: Codes, crop: Span, context: int) -> tuple[np.ndarray, int]:
    """The mu-law codes of a crop, after up to `context` earlier ones of its recording; and how many are earlier."""
    start = max(crop.origin, crop.start - context)
    found = encoding_of(codes).mulaw(torch.from_numpy(codes[start : crop.stop].astype(np.int64)))
    return found.numpy(), crop.start - start


def _amplitudes(codes: np.ndarray) -> Tensor:
    return MULAW.amplitudes[torch.from_numpy(codes.astype(np.int64))]


def _least_squares(products: Tensor) -> Tensor:
    """The weights of the last ORDER amplitudes, newest first, from summed products of histories, oldest first."""
    past, present = products[:ORDER, :ORDER].flip(0, 1), products[:ORDER, ORDER].flip(0)
    # a ridge keeps a pure tone, whose equations are singular, and silence solvable
    ridge = torch.eye(ORDER, dtype=torch.float64) * (products[ORDER, ORDER] * 1e-9).clamp(min=1e-12)
    return torch.linalg.solve(past + ridge, present)


def _laplace_bits(predictor: Tensor, decay: float, codes: Codes, crops: list[Span]) -> float:
    """Total bits of codes whose amplitude is Laplace around the prediction, with a scale that trails the residual."""
    halves = torch.arange(MULAW.levels - 1, dtype=torch.float64) + 0.5
    inner = expand(halves / (MULAW.levels - 1) * 2 - 1)
    edges = torch.cat([torch.tensor([-math.inf]).double(), inner, torch.tensor([math.inf]).double()])
    whitener = torch.cat([-predictor.flip(0), torch.ones(1, dtype=torch.float64)])
    trailing = torch.tensor([0.0, 1 - decay], dtype=torch.float64)
    total = 0.0
    for heard, context in (_mulaw(codes, crop, CONTEXT) for crop in crops):
        x = _amplitudes(heard)
        residual = torch.nn.functional.pad(x, (ORDER, 0)).unfold(0, ORDER + 1, 1) @ whitener
        scale = lfilter(residual.abs(), torch.tensor([1.0, -decay]).double(), trailing, clamp=False) + 1e-4
        scored, scale = torch.from_numpy(heard.astype(np.int64))[context:], scale[context:]
        prediction = (x - residual)[context:]
        high, low = (edges[scored + 1] - prediction) / scale, (edges[scored] - prediction) / scale
        p = (_laplace_cdf(high) - _laplace_cdf(low)) * (1 - UNIFORM_SHARE) + UNIFORM_SHARE / MULAW.levels
        total -= float(p.log2().sum())
    return total


def _laplace_cdf(x: Tensor) -> Tensor:
    return torch.where(x < 0, torch.exp(x.clamp(max=0)) / 2, 1 - torch.exp(-x.clamp(min=0)) / 2)
