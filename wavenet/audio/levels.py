"""How a recording fills the range from -1 to 1: measured while it is decoded, and reported in words.

Mu-law codes cover that range, finest around zero. Samples beyond it are clipped, quiet recordings use few codes, and an
offset moves a recording to where codes are coarse.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from wavenet.errors import counted, decibels, printable

FULL_SCALE = 32767 / 32768
"""A sample that reaches this amplitude is clipped, or was when it was recorded."""
CLIPPED_SHARE = 1e-4
"""Share of clipped samples up to which a recording is not reported."""
SILENT_PEAK = 0.001
"""A recording whose swing stays below this (-60 dB) is silent: a handful of codes around zero."""
QUIET_PEAK = 0.01
"""A peak below this (-40 dB) leaves fewer than 60 of 256 codes."""
OFFSET_SHARE = 0.05
"""Mean of a recording, as a share of its peak, above which it is reported."""
CANCELLED = 0.2
"""Channels cancel if the power of their mean is below this share of what it would be for unrelated channels."""
OTHER_RANGE = 16.0
"""Floating-point samples with a peak of this (24 dB above full scale) or more are not in a range of -1 to 1."""
TARGET_PEAK = 10 ** (-1 / 20)
"""The peak that `peak` scales to and `loudness` does not exceed: -1 dB."""
TARGET_RMS = 10 ** (-23 / 20)
"""The level that `loudness` scales to: -23 dB."""
SHOWN = 3
"""How many recordings a line of the report names."""
BLOCK_SECONDS = 0.4
ABSOLUTE_GATE, RELATIVE_GATE = 1e-7, 0.1
"""Loudness counts blocks of at least -70 dB, and of these the ones above 10 dB below their mean, as in ITU-R BS.1770,
but without its frequency weighting."""


@dataclass
class Signal:
    """What is known of one recording besides its codes. Levels are those after scaling."""

    channels: int = 1
    peak: float = 0.0
    """Of the channel that is used, or of the channels' mean; likewise below."""
    swing: float = 0.0
    """Half the distance from the lowest to the highest sample."""
    clipped: float = 0.0
    """Share of samples at full scale or beyond."""
    offset: float = 0.0
    """Mean of the samples."""
    cancelled: float = 0.0
    """dB by which the mean of the channels is quieter than the channels, if they cancel each other; else 0."""
    gain: float = 1.0
    """The factor that its samples were multiplied by."""
    streams: int = 1
    """How many recordings are joined in the file."""
    seconds: float = 0.0
    """Seconds of sound that were read."""
    missing: float = 0.0
    """Seconds that the file promises but does not hold."""
    flaws: list[str] = field(default_factory=list)
    """Other damage, in words."""

    @property
    def damage(self) -> str:
        """What is missing or damaged, in words; empty if nothing is."""
        told = [f"{self.missing:.2f} of its {self.seconds + self.missing:.2f} s are missing"] if self.missing else []
        return ", ".join(told + self.flaws)

    @property
    def silence(self) -> str:
        """Why the recording is silent, in words."""
        if self.cancelled:
            return "its channels cancel each other out: data.channel=left or right takes one"
        if abs(self.offset) >= SILENT_PEAK:
            return f"it is silent, {self.offset:.3f} off centre"
        return "it is silent"

    def stored(self) -> dict[str, Any]:
        """The fields that differ from their defaults, for JSON."""
        usual = Signal()
        return {name: value for name, value in vars(self).items() if value != getattr(usual, name)}


class Meter:
    """Measures a signal that comes in pieces."""

    def __init__(self, loudness: bool = False, whole: bool = False) -> None:
        self.samples, self.clipped = 0, 0
        self.low, self.high = math.inf, -math.inf
        self.whole = whole
        """Whether all samples of all channels are whole numbers so far, if that is checked."""
        self._sum, self._power, self._parts_power, self._channels = 0.0, 0.0, 0.0, 1
        self._loudness, self._rest, self._blocks = loudness, torch.empty(0), []

    def add(self, piece: Tensor, mono: Tensor, sample_rate: int) -> bool:
        """Add samples (samples, channels) and their mono mix (samples,). Returns whether all of the mix is finite."""
        total = float(mono.sum(dtype=torch.float64))
        if not math.isfinite(total):
            return False
        low, high = (float(value) for value in mono.aminmax())
        self.samples += len(mono)
        self.low, self.high = min(self.low, low), max(self.high, high)
        if max(-low, high) >= FULL_SCALE:
            self.clipped += int((mono.abs() >= FULL_SCALE).sum())
        self.whole = self.whole and bool((piece == piece.round()).all())
        self._sum += total
        if piece.shape[1] > 1:
            self._channels = piece.shape[1]
            self._power += float(mono.dot(mono))
            self._parts_power += float(piece.flatten().dot(piece.flatten())) / piece.shape[1]
        if self._loudness:
            size = round(BLOCK_SECONDS * sample_rate)
            joined = torch.cat([self._rest, mono])
            whole = len(joined) // size * size
            self._blocks += joined[:whole].view(-1, size).square().mean(1).tolist()
            self._rest = joined[whole:]
        return True

    @property
    def peak(self) -> float:
        return max(-self.low, self.high, 0.0)

    @property
    def swing(self) -> float:
        """Half the distance from the lowest to the highest sample: the peak without the offset."""
        return max(self.high - self.low, 0.0) / 2

    @property
    def offset(self) -> float:
        return self._sum / max(self.samples, 1)

    @property
    def cancelled(self) -> float:
        """dB by which the mean of several channels is quieter than the channels, if they cancel each other; else 0."""
        if self._parts_power <= 0 or self._power * self._channels >= CANCELLED * self._parts_power:
            return 0.0
        return 10 * math.log10(self._parts_power / max(self._power, 1e-12 * self._parts_power))

    @property
    def rms(self) -> float:
        """Level of the parts that are not silent."""
        blocks = self._blocks or [float(self._rest.square().mean())]
        for gate in (ABSOLUTE_GATE, None):
            least = RELATIVE_GATE * sum(blocks) / len(blocks) if gate is None else gate
            blocks = [power for power in blocks if power >= least] or blocks
        return math.sqrt(sum(blocks) / len(blocks))

    def gain(self, normalise: str) -> float | None:
        """The factor to multiply by, under DataConfig.normalise; None if the samples are in an unknown range other than
        -1 to 1."""
        if self.swing < SILENT_PEAK:
            return 1.0
        if normalise == "peak":
            return TARGET_PEAK / self.peak
        if normalise == "loudness":
            return min(TARGET_RMS / self.rms, TARGET_PEAK / self.peak)
        if self.whole and self.peak > 1:
            return next((2.0**-bits for bits in (15, 23) if self.peak <= 2**bits), 2.0**-31)
        return None if self.peak >= OTHER_RANGE else 1.0


def report(signals: list[tuple[str, Signal]], channel: str, normalise: str) -> list[str]:
    """What is unusual about recordings and how they were read: a line for each kind of finding, the worst first."""
    several = sum(signal.channels > 1 for _, signal in signals)
    lines = []
    if several:
        how = "averaged over their channels" if channel == "mix" else f"only the {channel} of several channels used"
        hint = "; data.channel=left or right takes one of them" if channel == "mix" else ""
        lines.append(f"{how}: {several} of {counted(len(signals), 'recording')}{hint}")
    gains = [signal.gain for _, signal in signals]
    if normalise != "off" and gains:
        lines.append(f"scaled by data.normalise={normalise}: {decibels(min(gains))} to {decibels(max(gains))}")

    def tell(title: str, found: list[tuple[float, str, str]], hint: str = "") -> None:
        worst = [
            f"{printable(name)}: {detail}" for _, name, detail in sorted(found, key=lambda entry: -entry[0])[:SHOWN]
        ]
        more = ["..."] * (len(found) > SHOWN)
        if found:
            lines.append(f"{title}: {len(found)} ({'; '.join(worst + more)}){hint}")

    off = normalise == "off"
    tell(
        "integers in floating-point files, scaled down",
        [(0, name, f"{round(1 - math.log2(s.gain))} bits") for name, s in signals if off and s.gain != 1],
    )
    tell(
        "channels that cancel each other",
        [(s.cancelled, name, f"their mean is {s.cancelled:.0f} dB quieter") for name, s in signals if s.cancelled],
        "; data.channel=left or right takes one of them",
    )
    clipped = [(name, s) for name, s in signals if s.clipped > CLIPPED_SHARE]
    beyond = any(s.peak > 1 for _, s in clipped)
    tell(
        "clipped",
        [
            (s.clipped, name, f"{s.clipped:.2%} of samples" + (f", peak {s.peak:.2f}" if s.peak > 1 else ""))
            for name, s in clipped
        ],
        "; data.normalise=peak scales recordings to fit" if beyond and off else "",
    )
    tell(
        "very quiet",
        [(-s.peak, name, f"peak {decibels(s.peak)}") for name, s in signals if s.peak < QUIET_PEAK and not s.cancelled],
        "; data.normalise=peak raises recordings" if off else "",
    )
    tell(
        "off centre",
        [
            (abs(s.offset) / s.peak, name, f"by {s.offset:.3f}, peak {s.peak:.3f}")
            for name, s in signals
            if abs(s.offset) > OFFSET_SHARE * s.peak
        ],
    )
    tell(
        "damaged or cut short; the rest is used",
        [(s.missing, name, s.damage) for name, s in signals if s.damage],
    )
    tell(
        "several recordings in one file, all used",
        [(s.streams, name, str(s.streams)) for name, s in signals if s.streams > 1],
    )
    return lines
