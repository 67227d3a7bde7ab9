"""The loss that is minimised, and its mean over everything that a step learns from, in all processes."""

import contextlib
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.model.conditioning import Piece
from wavenet.model.device import moved
from wavenet.model.distributions import IGNORED
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.windows import Batch, FrameClasses
from wavenet.training.machine import autocast
from wavenet.training.processes import Processes


class Objective(nn.Module):
    """Model and losses in one forward pass, so that logits stay in the precision they are computed in."""

    def __init__(self, model: WaveNet) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, codes: Tensor, targets: Tensor, pieces: list[list[Piece]], frame_classes: list[list[FrameClasses]]
    ) -> Tensor:
        """Summed losses (3,) in nats: of the samples, of the frames' classes, and of the samples' mu-law codes.

        codes: (B, T); targets: (B, T - receptive_field); pieces: what conditions each of the B items; frame_classes:
        the frame classes of each. The first two losses are minimised; the third is only shown, without a gradient.
        """
        activations = self.model.activations(codes[:, :-1], self.model.rows(pieces, codes.shape[1] - 1))
        logits, distribution = self.model.predict(activations), self.model.distribution
        losses = [distribution.loss(logits, targets), torch.zeros((), device=codes.device)]
        if self.model.recognition is not None:
            for heard, windows in zip(activations, frame_classes, strict=True):
                for start, stop, classes in windows:
                    frame_logits = self.model.recognition(heard[start:stop]).float()
                    classes = moved(classes, codes.device)
                    summed = F.cross_entropy(frame_logits, classes, ignore_index=IGNORED, reduction="sum")
                    losses[1] = losses[1] + summed
        shown = losses[0].detach()
        if self.model.config.mixtures:
            with torch.no_grad():
                shown = distribution.mulaw_loss(logits, targets)
        return torch.stack([*losses, shown])


class Loss(NamedTuple):
    """The loss of one step, in all processes."""

    total: float
    """Nats, summed over all samples and frames."""
    bits: float
    """Per sample, for its mu-law code."""
    samples: int
    """Number of scored samples."""


def backward(
    processes: Processes, objective: nn.Module, batches: list[Batch], frame_weight: float, precision: str
) -> Loss:
    """Add the gradients of the mean loss per sample plus `frame_weight` times the mean loss per frame, over `batches`.

    `objective` is an `Objective` that `processes` have wrapped. The means are over all processes: two processes with
    different batches learn what one process with both batches would.
    """
    samples = sum(int((batch.targets != IGNORED).sum()) for batch in batches)
    frames = sum(int((w.classes != IGNORED).sum()) for batch in batches for item in batch.frame_classes for w in item)
    samples, frames = map(int, processes.in_all(torch.tensor([samples, frames])))
    shares = torch.tensor([1 / samples, frame_weight / max(frames, 1), 0], device=processes.device)
    shares *= processes.size  # gradients are averaged over the processes
    totals = torch.zeros(3, device=processes.device)
    for i, batch in enumerate(batches):
        last = i == len(batches) - 1
        with contextlib.nullcontext() if last else processes.apart(objective):
            codes, targets = (moved(each, processes.device) for each in (batch.codes, batch.targets))
            with autocast(processes.device, precision):
                losses = objective(codes, targets, batch.pieces, batch.frame_classes)
            (losses @ shares).backward()
        totals += losses.detach()
    totals = processes.in_all(totals)
    return Loss(float(totals.sum()), float(totals[2]) / samples / math.log(2), samples)
