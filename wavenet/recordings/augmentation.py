"""Variations of what is learned from: upside down, louder or softer, faster or slower; and how often each folder comes.

Turning a window upside down is exact: code c becomes 255 - c, whose amplitude is that of c with the other sign. So the
silence of mu-law, 128, becomes its neighbour 127, the other of the two codes nearest to zero. (Encoding the amplitudes
upside down would give the same codes, but for exact silence, which rounds up to 128 either way.) Of 16-bit sound,
silence stays what it is, and the lowest value, which has no opposite, becomes the highest.

Other levels and speeds are computed from the codes. Each code first becomes a random amplitude within its step:
otherwise some codes would never occur in the result, and others twice as often, which a network would learn.

What is drawn for an item depends only on the run's seed and the item's place in the run.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

from wavenet.audio.encodings import MULAW, Encoding, expand
from wavenet.config import AugmentConfig
from wavenet.errors import ConfigError, some
from wavenet.recordings.preparation import Prepared

TAPS = 16
"""Samples on either side from which a sample at another speed is interpolated."""


class Change(NamedTuple):
    """What is done to the windows of one item."""

    flip: bool = False
    gain: float = 1.0
    """Factor of the amplitude."""
    speed: float = 1.0
    """Samples of the recording per sample of the window."""
    seed: int = 0
    """Of the amplitudes within the codes' steps."""

    @property
    def resounds(self) -> bool:
        """Whether codes are computed from amplitudes."""
        return self.gain != 1 or self.speed != 1


def drawn(config: AugmentConfig, seed: int, position: int) -> Change | None:
    """The change for the item at a position in the run; None if none is asked for."""
    if not (config.polarity or config.resounds):
        return None
    random = np.random.default_rng([seed, position])
    flip, level, tempo = random.random(3)  # always all three, so that one setting does not change what others draw
    low, high = config.gain or (0.0, 0.0)
    gain = 10 ** ((low + (high - low) * level) / 20)
    speed = 1 + (2 * tempo - 1) * config.speed / 100
    return Change(config.polarity and flip < 0.5, gain, speed, int(random.integers(2**62)))


class Varied:
    """A recording under a change, with silence before it. Samples are counted in its own time."""

    def __init__(self, codes: np.ndarray, encoding: Encoding, change: Change) -> None:
        """codes: the recording, as far as it may be heard."""
        self.codes, self.encoding, self.change = codes, encoding, change

    def place(self, start: int, stop: int) -> tuple[int, int]:
        """Where samples start..stop of the recording lie; at most as many as they are, and at least one."""
        first, last = math.ceil(start / self.change.speed), math.floor(stop / self.change.speed)
        return first, max(first + 1, min(last, first + stop - start))

    def read(self, start: int, stop: int) -> np.ndarray:
        """Codes (stop - start,), int64."""
        if self.change.resounds:
            found = self._resounded(start, stop)
        else:
            inside = self.codes[max(start, 0) : max(stop, 0)].astype(np.int64)
            found = np.full(stop - start, self.encoding.zero)
            found[max(-start, 0) :][: len(inside)] = inside
        if self.change.flip:
            mirror = self.encoding.levels - (1 if self.encoding is MULAW else 0)
            found = (mirror - found).clip(max=self.encoding.levels - 1)
        return found

    def _resounded(self, start: int, stop: int) -> np.ndarray:
        places = np.arange(start, stop) * self.change.speed
        first, last = math.floor(places[0]) - TAPS + 1, math.floor(places[-1]) + TAPS + 1
        sound = self._amplitudes(first, last)
        if self.change.speed == 1:
            sound = sound[TAPS - 1 : TAPS - 1 + stop - start]
        else:
            sound = interpolated(sound, places - first, min(1.0, 1 / self.change.speed))
        made = self.encoding.encode(torch.from_numpy(sound * self.change.gain)).numpy().astype(np.int64)
        made[places < 0] = self.encoding.zero
        return made

    def _amplitudes(self, first: int, last: int) -> np.ndarray:
        """Samples first..last, each at random within its code's step, but 0 in silence and outside the recording."""
        known = self.codes[max(first, 0) : max(last, 0)].astype(np.int64)
        codes = np.full(last - first, self.encoding.zero)
        codes[max(-first, 0) :][: len(known)] = known
        zero = np.pad(codes == self.encoding.zero, 1, constant_values=True)
        still = zero[:-2] & zero[1:-1] & zero[2:]
        within = np.random.default_rng([self.change.seed, abs(first)]).random(len(codes)) - 0.5
        steps = torch.from_numpy(within) / (self.encoding.levels / 2)
        if self.encoding is MULAW:  # its steps are even on the companded axis
            steps *= self.encoding.levels / (self.encoding.levels - 1)
            sound = expand(self.encoding.companded(torch.from_numpy(codes)) + steps)
        else:
            sound = self.encoding.decode(torch.from_numpy(codes)).double() + steps
        return np.where(still, 0.0, sound.numpy())


def interpolated(sound: np.ndarray, places: np.ndarray, cutoff: float) -> np.ndarray:
    """Sound (n,) at fractional places, each at least TAPS - 1 and below n - TAPS, by a Hann-windowed sinc whose pass
    band is `cutoff` of the whole."""
    whole = np.floor(places).astype(np.int64)
    taps = np.arange(1 - TAPS, TAPS + 1)
    distance = taps - (places - whole)[:, None]
    weights = cutoff * np.sinc(cutoff * distance) * (0.5 + 0.5 * np.cos(np.pi * distance / TAPS))
    return (sound[whole[:, None] + taps] * weights).sum(axis=1)


def weights_of(prepared: Prepared, asked: dict[str, float]) -> np.ndarray | None:
    """(recordings,): how often each is heard, by the innermost of its folders that is named; None if none is.

    Raises ConfigError for a folder that is not there.
    """
    if not asked:
        return None
    named = {str(folder).strip("/"): weight for folder, weight in asked.items()}
    found = np.ones(len(prepared.recordings))
    for folder in sorted(named, key=len):
        inside = [recording.name.startswith(f"{folder}/") for recording in prepared.recordings]
        if not any(inside):
            there = sorted({one.name.rpartition("/")[0] for one in prepared.recordings} - {""})
            has = f"those with recordings are {some(there)}" if there else "it has none"
            raise ConfigError(f"augment.weights: {folder} is not a sub-folder of {prepared.folder}; {has}")
        found[inside] = named[folder]
    return found
