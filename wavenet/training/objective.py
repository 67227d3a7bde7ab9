"""What is minimised: model and losses in one forward."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.model.conditioning import Piece
from wavenet.model.distributions import IGNORED
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.windows import Frames


class Objective(nn.Module):
    """Model and losses in one forward, so that logits never leave the precision they are computed in."""

    def __init__(self, model: WaveNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor, targets: Tensor, pieces: list[list[Piece]], frames: list[list[Frames]]) -> Tensor:
        """(B, T), (B, T - receptive_field), what conditions each of the B and what is said in it -> losses (3,).

        Summed, in nats: of the samples, of the frames, and what is shown, of the samples' mu-law codes.
        """
        activations = self.model.activations(codes[:, :-1], self.model.rows(pieces, codes.shape[1] - 1))
        logits, distribution = self.model.predict(activations), self.model.distribution
        losses = [distribution.loss(logits, targets), torch.zeros((), device=codes.device)]
        if self.model.recognition is not None:
            for row, windows in zip(activations, frames, strict=True):
                for start, stop, classes in windows:
                    frame_logits = self.model.recognition(row[start:stop]).float()
                    classes = classes.to(codes.device)
                    summed = F.cross_entropy(frame_logits, classes, ignore_index=IGNORED, reduction="sum")
                    losses[1] = losses[1] + summed
        shown = losses[0].detach()
        if self.model.config.mixtures:
            with torch.no_grad():
                shown = distribution.mulaw_loss(logits, targets)
        return torch.stack([*losses, shown])
