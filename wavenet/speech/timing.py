"""The units of a text in time: a text's units and gaps, matched with the rows of phones.csv."""

from typing import NamedTuple

import numpy as np

from wavenet.recordings.alignments import Segment
from wavenet.speech.alignment import SILENCE
from wavenet.speech.sentences import Sentence


class Timed(NamedTuple):
    """One recording's units and gaps, one after another without a hole."""

    units: list[str]
    bounds: np.ndarray
    """(units + 1,) samples: unit i lasts from bounds[i] to bounds[i + 1]. A gap in which nothing pauses has none."""


def timed(sentence: Sentence, segments: list[Segment], samples: int) -> Timed | None:
    """The units of a sentence with the times of a recording's phones; None if these are other phones.

    A gap lasts from the end of the unit before it to the beginning of the one after it if there is silence between the
    two; otherwise the unit after it begins where the one before it ends. samples: length of the recording.
    """
    heard = [segment for segment in segments if segment.phone != SILENCE]
    said = [unit for word in sentence.words for unit in word]
    if [segment.phone for segment in heard] != said:
        return None
    units, bounds, place = [], [0.0], 0
    for number, gap in enumerate(sentence.gaps):
        units.append(gap)
        bounds.append(heard[place].start if place < len(heard) else float(samples))
        for unit in sentence.words[number] if number < len(sentence.words) else []:
            units.append(unit)
            last = place + 1 == len(heard) or heard[place + 1].start > heard[place].stop
            bounds.append(heard[place].stop if last else heard[place + 1].start)
            place += 1
    return Timed(units, np.maximum.accumulate(np.clip(bounds, 0, samples)))
