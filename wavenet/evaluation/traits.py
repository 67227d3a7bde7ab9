"""Traits of a sound: its level, its spectrum, how it rises and falls, and how much of it has a pitch.

Traits need no recording that the sound follows, so they can compare freely generated sounds with the recordings.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from wavenet.audio import features
from wavenet.config import FeatureConfig

BANDS = 20
"""Number of bands, equally wide on the mel scale, up to half the rate."""
FRAMES_PER_SECOND = 100
WINDOW_SECONDS = 0.032
ACTIVE_DB, LEAST_DB = 40, 60
"""How far below the loud frames a frame counts as a pause, and levels of bands are cut off."""
SHORTEST_SECONDS = 0.5
"""Shorter sounds are not measured."""


@dataclass(frozen=True)
class Traits:
    """Traits of one sound, or of several in a row."""

    level: float
    """Root mean square, dB relative to full scale."""
    sounding: float
    """Share of frames that are not pauses."""
    pitched: float
    """Share of these that are periodic, between 60 and 500 Hz or at a multiple."""
    spectrum: Tensor
    """(BANDS,): each band's share of the long-term power, dB."""
    movement: Tensor
    """(BANDS,): standard deviation of each band's level over the frames, dB."""


def loudness(sound: Tensor, sample_rate: int) -> float:
    """Level in dB that only one frame in twenty of a sound (n,) exceeds."""
    return float(_levels(_powers(sound, sample_rate)).quantile(0.95))


def measure(sound: Tensor, sample_rate: int, loud: float) -> Traits | None:
    """Traits of a sound (n,), relative to loud frames of `loud` dB; None if the sound is too short."""
    if len(sound) < SHORTEST_SECONDS * sample_rate:
        return None
    powers = _powers(sound, sample_rate)
    active = _levels(powers) > loud - ACTIVE_DB
    bands = powers.t() @ features.mel_bank(len(powers), BANDS, sample_rate)
    heard = bands[active] if active.any() else bands
    shares = heard.mean(dim=0) / heard.sum(dim=1).mean().clamp(min=1e-20)
    floor = 10 ** ((loud - LEAST_DB) / 10)
    config = FeatureConfig(kinds=["pitch"], hop=max(sample_rate // FRAMES_PER_SECOND, 1))
    pitch = features.pitch_of(sound, config, sample_rate)
    energies = pitch[:, 2] * 20 / math.log(10)
    sounding = energies > loud - ACTIVE_DB
    return Traits(
        level=_decibels(float(sound.square().mean())),
        sounding=float(active.float().mean()),
        pitched=float(pitch[sounding, 1].mean()) if sounding.any() else 0.0,
        spectrum=10 * torch.log10(shares.clamp(min=10 ** (-LEAST_DB / 10))),
        movement=(10 * torch.log10(bands.clamp(min=floor))).std(dim=0, unbiased=False),
    )


def _powers(sound: Tensor, sample_rate: int) -> Tensor:
    """(bins, frames); their sum over bins is the mean square of the sound under the window."""
    size = max(2 ** round(math.log2(WINDOW_SECONDS * sample_rate)), 16)
    sound = torch.nn.functional.pad(sound, (0, max(size - len(sound), 0)))
    window = torch.hann_window(size)
    hop = max(sample_rate // FRAMES_PER_SECOND, 1)
    powers = torch.stft(sound, size, hop, window=window, center=False, return_complex=True).abs().square()
    return powers * (2 / (size * window.square().sum()))


def _levels(powers: Tensor) -> Tensor:
    return 10 * torch.log10(powers.sum(dim=0).clamp(min=1e-12))


def _decibels(power: float) -> float:
    return 10 * math.log10(max(power, 1e-12))
