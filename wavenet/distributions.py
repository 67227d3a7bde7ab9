"""The output distribution: 256 mu-law codes by softmax (paper section 2.2), its loss and its sampling."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from wavenet import native
from wavenet.mulaw import LEVELS

IGNORED = -100
"""Target that is not scored: context, or padding."""


def reference_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum of -ln p(target) over the targets that are scored, in nats: (..., 256) and (...) -> ()."""
    return F.cross_entropy(logits.float().flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum")


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """What `reference_loss` computes; on a CPU in one pass that finds the gradient too, kept in the logits' type."""
    if native.passes(logits) is None:
        return reference_loss(logits, targets)
    return _CrossEntropy.apply(logits, targets)


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
class Sampling:
    """How a code is drawn. The default draws from the model's own distribution."""

    temperature: float = 1.0
    """Divides the logits; 0 takes the likeliest code."""
    top_k: int = 0
    """Keeps the k likeliest codes, of equal ones the lower; 0 keeps all."""
    top_p: float = 1.0
    """Keeps the fewest likeliest codes that hold this much probability; 1 keeps all."""
    guidance: float = 1.0
    """Leads the logits away from those of twin streams that are told less; 1 does without twins."""


def guided(logits: Tensor, sampling: Sampling) -> Tensor:
    """(2 S, 256), the second half of twins, -> without + guidance (with - without), (S, 256); all as it is for 1.

    Classifier-free guidance (Ho and Salimans 2022), on an autoregressive model's logits.
    """
    if sampling.guidance == 1:
        return logits
    told, less = logits.chunk(2)
    return less + sampling.guidance * (told - less)


def sample(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> Tensor:
    """Draw codes by inverting the cumulative distribution, so that equal uniforms give equal codes.

    logits (S, 256), uniforms (S,) in [0, 1) -> codes (S,), int64. Float64 within, so that engines whose logits differ
    in the last float32 bits agree on all but a vanishing share of draws.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits.double() - logits.amax(dim=-1, keepdim=True)  # first, so that a tiny temperature cannot overflow
    p = torch.softmax(logits / sampling.temperature, dim=-1)
    if 0 < sampling.top_k < LEVELS or sampling.top_p < 1:
        ranked, order = torch.sort(p, dim=-1, descending=True, stable=True)
        if 0 < sampling.top_k < LEVELS:
            ranked[:, sampling.top_k :] = 0
            ranked = ranked / ranked.sum(dim=-1, keepdim=True)
        ranked = ranked * (ranked.cumsum(dim=-1) - ranked < sampling.top_p)
        p = torch.zeros_like(p).scatter_(1, order, ranked)
    cumulative = p.cumsum(dim=-1)
    total = cumulative[:, -1:]
    # strictly below the total, so that rounding never lands on a code of no probability
    target = torch.minimum(uniforms.to(p).unsqueeze(1) * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, target, right=True).squeeze(1)


def bits(logits: Tensor, codes: Tensor) -> Tensor:
    """-log2 p(code) under the model's own distribution: (..., 256) and (...) -> (...), float32."""
    log_p = torch.log_softmax(logits.float(), dim=-1)
    return log_p.gather(-1, codes.long().unsqueeze(-1)).squeeze(-1) / -math.log(2)
