"""The acoustic model: how long each unit of a text lasts, and the vocoder's frames, step by step.

In the manner of FastSpeech 2 (Ren et al. 2021), with convolutions alone, so that no attention can lose its place:

    units (N,)           -> encoder -> e (N, C)     what is said, and its neighbours
    e                    -> durations (N,)          steps of each unit; a gap may have none
    e, repeated          -> prosody (T, r, 3)       log F0, voicing and energy
    e, repeated, prosody -> decoder -> (T, r, mels) log-mel spectrum

A step makes r frames of the vocoder. It also knows how far its unit has come. Labels, such as a speaker, are added to
every unit. The channels of a frame are those of `wavenet.audio.features` for the kinds mel and pitch, in this order.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.config import AcousticConfig
from wavenet.speech.sentences import GAPS

PROSODY = 3
"""Channels of a frame after the mel spectrum: log F0, voicing, log energy."""
PLACE = 3
"""Numbers that tell how far its unit has come at a step."""
ORDER = 3
"""Numbers that tell where in its text a unit is, since pitch falls towards the end and last words are long."""
FEWEST_STEPS = 1.5
"""A gap predicted to be shorter than this many steps is left out."""
MOST_STEPS = 1000
"""No unit is predicted to last longer, so that weights that were altered ask for no more memory than the text's length
explains."""


class Gate(nn.Module):
    """x + W (tanh(a) * sigmoid(b)) with (a, b) = a dilated convolution of normalised x: a WaveNet layer, not causal."""

    def __init__(self, channels: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv = nn.Conv1d(channels, 2 * channels, kernel_size, dilation=dilation, padding="same")
        self.out = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C); mask: (B, T, 1), 0 beyond the end."""
        a, b = self.conv((self.norm(x) * mask).transpose(1, 2)).transpose(1, 2).chunk(2, dim=-1)
        return x + self.out(self.dropout(torch.tanh(a) * torch.sigmoid(b)))


class Predictor(nn.Module):
    """Two convolutions and a projection, as FastSpeech 2 predicts durations and pitch."""

    def __init__(self, inputs: int, channels: int, outputs: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(width, channels, kernel_size, padding="same") for width in (inputs, channels)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(channels, outputs)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, inputs) -> (B, T, outputs); mask: (B, T, 1)."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = self.dropout(norm(F.relu(conv((x * mask).transpose(1, 2)).transpose(1, 2))))
        return self.out(x)


class Said(NamedTuple):
    """What an acoustic model makes of one text."""

    durations: Tensor
    """(N,) steps of each unit, whole numbers."""
    frames: Tensor
    """(T * r, mels + 3), for the vocoder."""


class AcousticModel(nn.Module):
    """Units in, durations and frames out. `mean` and `scale` are those of the training set's frames."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: AcousticConfig, units: list[str], mels: int, labels: int = 0) -> None:
        """units: the names of all units and gaps; labels: how many label values there are."""
        super().__init__()
        self.config, self.units, self.mels = config, list(units), mels
        self.numbers = {unit: number for number, unit in enumerate(self.units)}
        c, k, r, dropout = config.channels, config.kernel_size, config.frames_per_step, config.dropout
        self.register_buffer("mean", torch.zeros(mels + PROSODY))
        self.register_buffer("scale", torch.ones(mels + PROSODY))
        self.embedding = nn.Embedding(len(units), c)
        self.order = nn.Linear(ORDER, c)
        self.labels = nn.Parameter(torch.randn(labels, c) / 4) if labels else None
        self.encoder = nn.ModuleList(Gate(c, k, 2 ** (i % 4), dropout) for i in range(config.encoder_layers))
        self.durations = Predictor(c, c, 1, k, config.predictor_dropout)
        self.prosody = Predictor(c + PLACE, c, PROSODY * r, k, config.predictor_dropout)
        self.enter = nn.Linear(c + PLACE + PROSODY * r, c)
        self.decoder = nn.ModuleList(Gate(c, k, 2 ** (i % 3), dropout) for i in range(config.decoder_layers))
        self.leave = nn.Linear(c, mels * r)

    def standardise(self, frames: Tensor) -> None:
        """Set the mean and scale to those of frames (n, mels + 3), F0's to those of voiced ones."""
        voiced = frames[:, self.mels + 1] > 0
        self.mean.copy_(frames.mean(dim=0))
        self.scale.copy_(frames.std(dim=0).clamp(min=1e-3))
        if voiced.sum() > 1:
            pitch = frames[voiced, self.mels]
            self.mean[self.mels], self.scale[self.mels] = pitch.mean(), pitch.std().clamp(min=1e-3)
        self.mean[self.mels + 1], self.scale[self.mels + 1] = 0, 1

    def standardised(self, frames: Tensor) -> Tensor:
        """Frames (..., mels + 3) with mean 0 and deviation 1; F0 is 0 where unvoiced."""
        made = (frames - self.mean) / self.scale
        pitch = made[..., self.mels] * frames[..., self.mels + 1]
        return torch.cat([made[..., : self.mels], pitch[..., None], made[..., self.mels + 1 :]], dim=-1)

    # ---- the parts, for batches

    def encode(self, units: Tensor, mask: Tensor, labels: Tensor | None = None) -> Tensor:
        """Numbers of units (B, N), and labels (B, values) -> (B, N, C)."""
        count, place = mask.sum(dim=1), torch.arange(units.shape[1], device=units.device)[None]
        left = (count - place).clamp(min=1)
        order = torch.stack([(place + 0.5) / count, 1 / (place + 1.0).expand_as(left), 1 / left], dim=-1)
        x = self.embedding(units) + self.order(order)
        if self.labels is not None and labels is not None:
            x = x + (labels @ self.labels)[:, None]
        for gate in self.encoder:
            x = gate(x, mask)
        return x

    @staticmethod
    def spread(encoded: Tensor, durations: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """(B, N, C) and durations (B, N) -> (B, steps, C + PLACE), and a mask (B, steps, 1), 0 beyond the end."""
        ends = durations.cumsum(dim=1)
        times = torch.arange(steps, device=encoded.device).expand(len(encoded), -1).contiguous()
        mask = times < ends[:, -1:]
        owner = torch.searchsorted(ends, times, right=True).clamp(max=encoded.shape[1] - 1)
        lasts = durations.gather(1, owner).clamp(min=1).float()
        since = (times - (ends - durations).gather(1, owner)).float()
        place = torch.stack([(since + 0.5) / lasts, (since + 0.5) / 20, lasts.log() / 3], dim=-1)
        repeated = encoded.gather(1, owner[:, :, None].expand(-1, -1, encoded.shape[2]))
        return torch.cat([repeated, place], dim=-1), mask[:, :, None].to(encoded.dtype)

    def decode(self, spread: Tensor, prosody: Tensor, mask: Tensor) -> Tensor:
        """What `spread` returns, and standardised prosody (B, T, 3 r) -> standardised mel (B, T, mels r)."""
        x = self.enter(torch.cat([spread, prosody], dim=-1))
        for gate in self.decoder:
            x = gate(x, mask)
        return self.leave(x)

    # ---- one text

    @torch.inference_mode()
    def say(
        self,
        units: list[str],
        labels: Tensor | None = None,
        *,
        rate: float = 1.0,
        pitch: float = 1.0,
        durations: Tensor | None = None,
        prosody: Tensor | None = None,
    ) -> Said:
        """Durations and frames of units, which must all be in `self.units`.

        labels: (values,). rate: how fast to speak; 2 is twice as fast. pitch: a factor for F0. durations: (N,) steps,
        in place of the predicted ones. prosody: frames (T r, mels + 3) whose F0, voicing and energy are used in place
        of the predicted ones.
        """
        device, r = self.mean.device, self.config.frames_per_step
        numbers = torch.tensor([[self.numbers[unit] for unit in units]], device=device)
        everything = torch.ones(1, len(units), 1, device=device)
        encoded = self.encode(numbers, everything, None if labels is None else labels[None].to(device))
        if durations is None:
            lasts = torch.expm1(self.durations(encoded, everything)[0, :, 0]) / rate
            durations = whole_steps(lasts, torch.tensor([unit not in GAPS for unit in units], device=device))
        steps = int(durations.sum())
        spread, mask = self.spread(encoded, durations[None].to(device), steps)
        if prosody is None:
            told = self.prosody(spread, mask).view(1, steps * r, PROSODY)
            voiced = (told[..., 1] > 0).float()
            shifted = told[..., 0] + math.log2(pitch) / self.scale[self.mels]
            told = torch.stack([shifted * voiced, voiced, told[..., 2]], dim=-1)
        else:
            told = self.standardised(prosody[: steps * r].to(device))[None, :, self.mels :]
        mel = self.decode(spread, told.reshape(1, steps, -1), mask).view(1, steps * r, self.mels)
        frames = torch.cat([mel, told], dim=-1)[0] * self.scale + self.mean
        frames[:, self.mels] *= frames[:, self.mels + 1]  # no F0 where unvoiced
        return Said(durations.cpu(), frames.cpu())


def whole_steps(lasts: Tensor, sounding: Tensor) -> Tensor:
    """Whole numbers of steps for durations (N,), rounded so that their sums stay right.

    A unit that is `sounding` (N,) gets at least one; a gap that is too short to hear gets none, and no unit more than
    MOST_STEPS.
    """
    lasts = lasts.nan_to_num(MOST_STEPS).clamp(max=MOST_STEPS)
    lasts = torch.where(sounding, lasts.clamp(min=1), torch.where(lasts < FEWEST_STEPS, 0, lasts))
    ends = (lasts.double().cumsum(dim=0) + 0.5).floor().long()
    return ends.diff(prepend=ends.new_zeros(1))
