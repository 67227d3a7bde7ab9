"""What to expect of a model, in plain words that promise only what was checked: its bits, and a sound that it made.

Bits can only tell noise from something better, so a generated sound is judged as well. Its traits are compared with
those of the recordings; how close counts as near follows from single pieces of the recordings. docs/verdict.md shows
the verdicts for sounds from noise to the recordings themselves.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wavenet.audio.encodings import Codes, encoding_of
from wavenet.evaluation import traits
from wavenet.evaluation.baselines import LINEAR, UNIGRAM, Baselines
from wavenet.evaluation.traits import Traits
from wavenet.recordings.split import Span, spread

NO_BETTER = 0.05
"""Up to this many bits below the unigram still count as no better."""
LEAST = {"level": 3.0, "spectrum": 2.0, "movement": 2.0, "pitch": 0.1}
"""Differences that always count as near: dB, and share of the frames."""
PITCHED = 0.5
"""If at least this share of the recordings has a pitch, a sound without pitch is noise. For others, such as drums,
steadiness decides."""
STEADY = 4.0
"""Steady noise has less movement than this, dB."""
WITHOUT, IN_PART = 0.15, 0.6
"""Of the recordings' pitched share: with less than the first a sound has no pitch, with less than the second some."""
SILENT = 0.2
"""A sound is nearly silent if it sounds for less than this share of the time that the recordings do."""
SLACK = 1.5
"""A difference is near up to this many times the one that nine in ten pieces of the recordings stay within."""
PIECES = 30
"""The most pieces of the recordings that a sound is compared with."""
STRANGE = 0.5
"""Bits per sample above those of held-out recordings that a sound may cost the model."""


def of_bits(bits: float, baselines: Baselines) -> str:
    """The verdict from bits per sample alone."""
    if bits > baselines.unigram_bits - NO_BETTER:
        return f"no better than the {UNIGRAM}: expect noise"
    if bits > baselines.linear_bits:
        return f"better than the {UNIGRAM}, worse than the {LINEAR}: expect noise"
    return f"{baselines.linear_bits - bits:.2f} bits better than the {LINEAR}"


def pieces(codes: Codes, spans: list[Span], samples: int) -> list[Tensor]:
    """Pieces of `samples` samples each, spread over the spans. One piece may join the ends of two recordings."""
    encoding = encoding_of(codes)
    taken = [
        torch.from_numpy(codes[s.start : s.stop].astype(np.int64)) for s in spread(spans, samples, PIECES * samples)
    ]
    sounds = encoding.decode(torch.cat(taken)).split(samples)
    return list(sounds if len(sounds) == 1 else (piece for piece in sounds if len(piece) == samples))


class Recordings:
    """What generated sounds are compared with: the recordings' traits, and how much single pieces differ from them."""

    def __init__(self, pieces: list[Tensor], sample_rate: int) -> None:
        """pieces: (n,) each, as long as the sounds to be judged."""
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
        """`level`, dB, and `pitch`, share of the frames: how much more than in the recordings. `spectrum` and
        `movement`, dB: how much the bands differ from theirs, on average."""
        ours = self.traits
        assert ours is not None, "the recordings are long enough"
        return {
            "level": made.level - ours.level,
            "spectrum": float((made.spectrum - ours.spectrum).abs().mean()),
            "movement": float((made.movement - ours.movement).abs().mean()),
            "pitch": made.pitched - ours.pitched,
        }


@dataclass(frozen=True)
class Judgement:
    """The verdict on one sound that a model made."""

    words: str
    figures: dict[str, float]
    """The values of `Recordings.differences`, and `bits` above those of held-out recordings, if known."""


def of_sound(
    made: Tensor, recordings: Recordings, made_bits: float | None = None, held_out_bits: float | None = None
) -> Judgement | None:
    """Judge a sound (n,) by its traits and by its bits under the model; None if it is too short."""
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
    return f"costs the model {value:.1f} bits per sample more than recordings do"
