"""The two output distributions: how probable each code is, the loss that follows, and how a code is drawn.

The first is a softmax over the 256 mu-law codes (paper section 2.2). The second, for all 16 bits, is a mixture of K
logistics on the companded axis of `encodings`; a code's probability is the mass between its two edges (PixelCNN++,
Salimans et al. 2017, arXiv:1701.05517, on a linear axis; Parallel WaveNet, arXiv:1711.10433):

    P(c) = sum_k w_k (sigma((e_{c+1} - m_k) / s_k) - sigma((e_c - m_k) / s_k)),    e_c = g((c - 1/2 - 32768) / 32768)

Bits per sample are always those of the mu-law code (8 for a uniform guess), so that both kinds of model can be
compared. A mixture assigns a mu-law code the mass between the edges of its bin.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from wavenet.audio.encodings import FULL_SCALE, MULAW, SIXTEEN_BIT, Encoding, compand, expand
from wavenet.model import native
from wavenet.model.sampling import Sampling

FAR = 1e3
"""Stands for infinity on the companded axis."""
IGNORED = -100
"""Marks a target that is not scored: context or padding."""


class Distribution(ABC):
    """Interprets the outputs of a network's last layer, called `logits` here: (..., outputs)."""

    encoding: Encoding
    outputs: int

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Sum of -ln P(target) over the targets that are scored, in nats: (..., outputs) and (...) -> ()."""

    @abstractmethod
    def mulaw_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The same sum for the targets' mu-law codes."""

    @abstractmethod
    def bits(self, logits: Tensor, codes: Tensor) -> Tensor:
        """-log2 P of each code's mu-law code under the model's own distribution: (..., outputs) and (...) -> (...)."""

    @abstractmethod
    def sample(self, logits: Tensor, uniforms: Tensor, sampling: Sampling) -> Tensor:
        """Draw codes by inverting the cumulative distribution, so that equal uniforms give equal codes.

        logits (S, outputs), uniforms (S,) in [0, 1) -> codes (S,), int64. Computed in float64, so that engines whose
        logits differ in the last float32 bits agree on almost every draw.
        """

    @abstractmethod
    def check(self, sampling: Sampling) -> None:
        """Raise ConfigError for a setting that this distribution does not support."""


class Softmax(Distribution):
    """A probability for each mu-law code."""

    encoding, outputs = MULAW, MULAW.levels

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """On a CPU, one pass also computes the gradient, kept in the logits' type; elsewhere `reference_loss` runs."""
        if native.passes(logits) is None:
            return self.reference_loss(logits, targets)
        return _CrossEntropy.apply(logits, targets)

    mulaw_loss = loss

    def reference_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """What `loss` computes, written plainly."""
        return F.cross_entropy(logits.float().flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum")

    def bits(self, logits: Tensor, codes: Tensor) -> Tensor:
        log_p = torch.log_softmax(logits.float(), dim=-1)
        return log_p.gather(-1, codes.long().unsqueeze(-1)).squeeze(-1) / -math.log(2)

    def sample(self, logits: Tensor, uniforms: Tensor, sampling: Sampling) -> Tensor:
        if sampling.temperature == 0:
            return logits.argmax(dim=-1)
        logits = logits.double()
        logits = logits - logits.amax(dim=-1, keepdim=True)  # first, so that a tiny temperature cannot overflow
        p = torch.softmax(logits / sampling.temperature, dim=-1)
        if 0 < sampling.top_k < self.outputs or sampling.top_p < 1:
            ranked, order = torch.sort(p, dim=-1, descending=True, stable=True)
            if 0 < sampling.top_k < self.outputs:
                ranked[:, sampling.top_k :] = 0
                ranked = ranked / ranked.sum(dim=-1, keepdim=True)
            ranked = ranked * (ranked.cumsum(dim=-1) - ranked < sampling.top_p)
            p = torch.zeros_like(p).scatter_(1, order, ranked)
        return _invert(p.cumsum(dim=-1), uniforms)[0]

    def check(self, sampling: Sampling) -> None:
        """A softmax supports every setting."""


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets):  # type: ignore[override] (fewer arguments than the base's *args)
        rows, targets = logits.flatten(0, -2).contiguous(), targets.flatten().contiguous()
        gradient = torch.empty_like(rows)
        arrays = (rows.data_ptr(), targets.data_ptr(), gradient.data_ptr())
        total = native.passes(rows).cross_entropy(len(rows), *arrays, torch.get_num_threads())
        ctx.save_for_backward(gradient.view_as(logits))
        return torch.tensor(total, dtype=torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_total):  # type: ignore[override] (as above)
        (gradient,) = ctx.saved_tensors
        return gradient * d_total, None


@dataclass(frozen=True)
class Mixture(Distribution):
    """A mixture of logistics over the 16-bit codes.

    Its outputs are the logits of the weights, the means and the logarithms of the scales, `components` of each. The
    means are offsets from the midpoints of `components` equal parts of -1/2 .. 1/2, and the log scales are offsets from
    `LOG_SCALE`, so that small outputs are a sensible start.
    """

    components: int

    encoding = SIXTEEN_BIT
    LOG_SCALE = -3.0
    LOWEST, HIGHEST = -9.0, 2.0
    """Limits of a log scale. The companded axis is 2 long; a 16-bit step spans 0.000006 (loud) to 0.0014 (soft)."""

    @property
    def outputs(self) -> int:
        return 3 * self.components

    def parts(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(..., 3 K) -> logits of the weights, means and log scales, each (..., K)."""
        weights, means, scales = logits.chunk(3, dim=-1)
        parts = torch.arange(self.components, dtype=logits.dtype, device=logits.device)
        return (
            weights,
            means + (parts + 0.5) / self.components - 0.5,
            (scales + self.LOG_SCALE).clamp(self.LOWEST, self.HIGHEST),
        )

    def log_p(self, logits: Tensor, codes: Tensor, mulaw: bool = False) -> Tensor:
        """ln P of 16-bit codes, or of mu-law codes: (..., 3 K) and (...) -> (...), float32 unless logits are float64.

        sigma(a) - sigma(b) = sigma(a) sigma(-b) (1 - exp(b - a)), which neither cancels nor overflows.
        """
        weights, means, log_scales = self.parts(logits if logits.dtype == torch.float64 else logits.float())
        low, high, width = _bins(mulaw, means.dtype, means.device)[:, codes.long().unsqueeze(-1)]
        inverse = torch.exp(-log_scales)
        a, b = (high - means) * inverse, (low - means) * inverse
        shares = F.logsigmoid(a) + F.logsigmoid(-b) + torch.log(-torch.expm1(-width * inverse))
        return torch.logsumexp(torch.log_softmax(weights, dim=-1) + shares, dim=-1)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        scored = targets != IGNORED
        return -self.log_p(logits[scored], targets[scored]).sum()

    def mulaw_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        scored = targets != IGNORED
        return -self.log_p(logits[scored], self.encoding.mulaw(targets[scored]), mulaw=True).sum()

    def bits(self, logits: Tensor, codes: Tensor) -> Tensor:
        return self.log_p(logits, self.encoding.mulaw(codes), mulaw=True) / -math.log(2)

    def sample(self, logits: Tensor, uniforms: Tensor, sampling: Sampling) -> Tensor:
        """The uniform's place among the weights picks a component, its place within that weight a point of it."""
        weights, means, log_scales = self.parts(logits.double())
        if sampling.temperature == 0:
            point = means.gather(1, weights.argmax(dim=-1, keepdim=True)).squeeze(1)
        else:
            weights = weights - weights.amax(dim=-1, keepdim=True)  # first, so that a tiny temperature cannot overflow
            chosen, place = _invert(torch.softmax(weights / sampling.temperature, dim=-1).cumsum(dim=-1), uniforms)
            place = place.clamp(2**-53, 1 - 2**-53)
            mean, log_scale = (values.gather(1, chosen.unsqueeze(1)).squeeze(1) for values in (means, log_scales))
            point = mean + sampling.temperature * log_scale.exp() * (place.log() - torch.log1p(-place))
        return self.encoding.encode(expand(point.clamp(-2, 2))).long()

    def check(self, sampling: Sampling) -> None:
        sampling.check_for_mixture()


@cache
def _bins(mulaw: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(3, levels): lower edge, upper edge and width of each 16-bit code on the companded axis, or of each mu-law code.

    A mu-law code's bin spans the 16-bit codes that map to it. The outermost edges are at -FAR and FAR.
    """
    codes = torch.arange(SIXTEEN_BIT.levels)
    edges = compand((torch.arange(SIXTEEN_BIT.levels + 1, dtype=torch.float64) - 0.5 - FULL_SCALE) / FULL_SCALE)
    edges[0], edges[-1] = -FAR, FAR
    if mulaw:
        firsts = torch.searchsorted(SIXTEEN_BIT.mulaw(codes), torch.arange(MULAW.levels))
        edges = torch.cat([edges[firsts], edges[-1:]])
    # widths in float64 first: float32 edges would cancel
    return torch.stack([edges[:-1], edges[1:], edges.diff()]).to(device, dtype)


def _invert(cumulative: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """(S, n) and (S,) -> the entry that each uniform's share of the total falls in, and where in it, in [0, 1]."""
    total = cumulative[:, -1:]
    # strictly below the total, so that rounding never lands on an entry of no probability
    target = torch.minimum(uniforms.to(total).unsqueeze(1) * total, torch.nextafter(total, torch.zeros_like(total)))
    entry = torch.searchsorted(cumulative, target, right=True)
    before = torch.where(entry > 0, cumulative.gather(1, (entry - 1).clamp(min=0)), 0.0)
    place = (target - before) / (cumulative.gather(1, entry) - before)
    return entry.squeeze(1), place.squeeze(1)


def guided(logits: Tensor, sampling: Sampling) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022) on an autoregressive model's logits.

    (2 S, outputs), whose second half comes from the streams without labels -> without + guidance (with - without),
    (S, outputs). A guidance of 1 returns the logits unchanged.
    """
    if sampling.guidance == 1:
        return logits
    told, less = logits.chunk(2)
    return less + sampling.guidance * (told - less)


def make_distribution(mixtures: int) -> Distribution:
    """A mixture of `mixtures` logistics, or the softmax if that is 0."""
    return Mixture(mixtures) if mixtures else Softmax()
