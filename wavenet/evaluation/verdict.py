"""What to expect of a model, in plain words that promise only what was checked: its bits, and a sound that it made.

Bits tell noise from something better, and no more: how it sounds, what is made has to tell. Its traits are held against
those of the recordings, and how near is near, pieces of the recordings tell. docs/verdict.md shows what is said of
sounds from noise to the recordings themselves.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wavenet.audio.encodings import encoding_of
from wavenet.evaluation import traits
from wavenet.evaluation.baselines import LINEAR, UNIGRAM, Baselines
from wavenet.evaluation.traits import Traits
from wavenet.recordings.split import Span, spread

NO_BETTER = 0.05
"""Bits below the unigram that still are no better."""
LEAST = {"level": 3.0, "spectrum": 2.0, "movement": 2.0, "pitch": 0.1}
"""Differences that are near in any case: dB, and share of the frames."""
PITCHED = 0.5
"""Share of the recordings with a pitch, from which a sound without is noise. Of others, drums say, steadiness tells."""
STEADY = 4.0
"""Movement of noise that nothing but chance moves is less, dB."""
WITHOUT, IN_PART = 0.15, 0.6
"""Of the recordings' pitched share: a sound that has less has none, or has it in part."""
SILENT = 0.2
"""Of the share of the recordings that is no pause, likewise."""
SLACK = 1.5
"""How far from the recordings is near: so many times as far as nine pieces of them out of ten keep to."""
PIECES = 30
"""Of the recordings, at most, that a sound is held against."""
STRANGE = 0.5
"""Bits per sample by which a sound may surprise the model more than recordings that it never heard."""


def of_bits(bits: float, baselines: Baselines) -> str:
    """What bits per sample alone tell."""
    if bits > baselines.unigram_bits - NO_BETTER:
        return f"no better than the {UNIGRAM}: expect noise"
    if bits > baselines.linear_bits:
        return f"better than the {UNIGRAM}, worse than the {LINEAR}: expect noise"
    return f"{baselines.linear_bits - bits:.2f} bits better than the {LINEAR}"


def pieces(codes: np.ndarray, spans: list[Span], samples: int) -> list[Tensor]:
    """So many samples each, from all over the spans: the last ones of a short recording and the first of the next."""
    encoding = encoding_of(codes)
    taken = [
        torch.from_numpy(codes[s.start : s.stop].astype(np.int64)) for s in spread(spans, samples, PIECES * samples)
    ]
    sounds = encoding.decode(torch.cat(taken)).split(samples)
    return list(sounds if len(sounds) == 1 else (piece for piece in sounds if len(piece) == samples))


class Recordings:
    """What made sounds are held against: the traits of recordings, and how far single pieces of them are from these."""

    def __init__(self, pieces: list[Tensor], sample_rate: int) -> None:
        """pieces: (n,) each, of the length of the sounds to come."""
        together = torch.cat(pieces)
        self.sample_rate, self.loud = sample_rate, traits.loudness(together, sample_rate)
        self.traits = traits.measure(together, sample_rate, self.loud)
        self.near = dict(LEAST)
        measured = [traits.measure(piece, sample_rate, self.loud) for piece in pieces]
        apart = [self.differences(found) for found in measured if found is not None]
        for name, least in LEAST.items() if len(apart) > 2 else ():
            typical = torch.tensor([abs(found[name]) for found in apart]).quantile(0.9)
            self.near[name] = max(least, SLACK * float(typical))

    def differences(self, made: Traits) -> dict[str, float]:
        """`level`, dB, and `pitch`, share of the frames: how much more than the recordings have. `spectrum` and
        `movement`, dB: how far the bands are from theirs, on average."""
        ours = self.traits
        assert ours is not None, "there is enough of the recordings"
        return {
            "level": made.level - ours.level,
            "spectrum": float((made.spectrum - ours.spectrum).abs().mean()),
            "movement": float((made.movement - ours.movement).abs().mean()),
            "pitch": made.pitched - ours.pitched,
        }


@dataclass(frozen=True)
class Judgement:
    """Of one sound that a model made."""

    words: str
    figures: dict[str, float]
    """What `Recordings.differences` tells, and `bits`, more than held-out recordings have, where these are known."""


def of_sound(
    made: Tensor, recordings: Recordings, made_bits: float | None = None, held_out_bits: float | None = None
) -> Judgement | None:
    """Judge a sound (n,) by its traits and by its bits under the model; None for one that is too short."""
    found, theirs = traits.measure(made, recordings.sample_rate, recordings.loud), recordings.traits
    if found is None or theirs is None:
        return None
    figures = recordings.differences(found)
    off = [name for name, value in figures.items() if abs(value) > recordings.near[name]]
    if made_bits is not None and held_out_bits is not None:
        figures["bits"] = made_bits - held_out_bits
        off += ["bits"] if figures["bits"] > STRANGE else []
    reasons = [_reason(name, figures[name], recordings, found) for name in off]
    words = _headline(off, found, theirs)
    return Judgement(f"{words}: {', '.join(reasons)}" if reasons else words, figures)


def _headline(off: list[str], made: Traits, recordings: Traits) -> str:
    if made.sounding < SILENT * recordings.sounding:
        return "nearly silent"
    pitched, share = recordings.pitched >= PITCHED, made.pitched / max(recordings.pitched, PITCHED)
    steady = float(made.movement.mean()) < STEADY and "movement" in off
    if share < WITHOUT if pitched else steady or {"spectrum", "movement"} <= set(off):
        return "noise" if "spectrum" in off else "noise of the recordings' spectrum"
    if pitched and share < IN_PART:
        return "noise with some pitch in it"
    if off:
        return "more than noise, but not like the recordings"
    checked = "level, spectrum, movement" + (" and pitch" if pitched else "")
    return f"near the recordings in {checked}; words and tunes are not checked"


def _reason(name: str, value: float, recordings: Recordings, made: Traits) -> str:
    theirs = recordings.traits
    assert theirs is not None
    usual = f"recordings: within {recordings.near.get(name, 0):.1f}"
    if name == "level":
        return f"{abs(value):.0f} dB {'louder' if value > 0 else 'quieter'}"
    if name == "spectrum":
        return f"spectrum {value:.1f} dB off ({usual})"
    if name == "movement":
        steadier = (made.movement - theirs.movement).mean() < 0
        return f"{'steadier' if steadier else 'more restless'} by {value:.1f} dB ({usual})"
    if name == "pitch":
        return f"a pitch in {made.pitched:.0%} of it (recordings: {theirs.pitched:.0%})"
    return f"it surprises the model more than recordings do, by {value:.1f} bits per sample"
