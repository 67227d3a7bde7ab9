"""Which unit is heard when: a monophone hidden Markov model, trained from a flat start on recordings and texts alone.

Every unit, a phone or a letter, has three states from left to right, each a mixture of diagonal Gaussians over cepstra
and their slopes. Silence may stand before, between and after words. Training begins with states of equal length and
repeats: find the best path of each recording (Viterbi), measure the states anew where it went, and split Gaussians on
the way (Young et al., The HTK Book, 2006, chapters 8 and 10). Paths are searched for many recordings side by side.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wavenet.speech.mixtures import STATES, Mixtures, sound
from wavenet.speech.sentences import SILENCE

SCHEDULE = (1, 1, 1, 1, 2, 2, 2, 4, 4, 4)
"""Gaussians of a state, in each round."""
BATCH = 64
"""Recordings whose paths are searched side by side, at most."""
CELLS = 12_000_000
"""Frames times states of all recordings of a batch, at most; a single one may have more. A cell takes 6 bytes."""

Words = list[list[str]]
"""A text: the units of each word."""
Told = Callable[[int], None]
"""Called with the number of recordings whose paths were found since the last call."""


class Interval(NamedTuple):
    """Frames start..stop in which a unit is heard; `word` counts the words of the text, -1 in silence."""

    start: int
    stop: int
    unit: str
    word: int


@dataclass
class Aligned:
    """One recording's units, and how well they fit it."""

    intervals: list[Interval]
    fit: float
    """Log-likelihood per frame, less that of the best state of any unit in each frame: 0 at most."""


class Graph(NamedTuple):
    """States that a text goes through in order."""

    states: np.ndarray
    """(S,) their numbers in the model."""
    places: np.ndarray
    """(S,) of each one's unit in `names`."""
    skips: np.ndarray
    """(S,) whether it can follow the state before the silence that stands before it."""
    names: list[str]
    """Units, and silence around words."""
    words: list[int]
    """The word of each unit; -1 for silence."""


def least_frames(words: Words) -> int:
    """Frames that a recording of these words has at least."""
    return sum(map(len, words)) * STATES


def train(frames: np.ndarray, lengths: Sequence[int], texts: Sequence[Words], told: Told | None = None) -> Mixtures:
    """A model of what is heard in recordings of some texts. It takes len(SCHEDULE) - 1 searches.

    frames: (T, D), those of all recordings, one after another. The first number of each has to grow with its loudness.
    Raises ValueError for a recording with fewer frames than `least_frames`.
    """
    model = Mixtures({sound(unit) for text in texts for word in text for unit in word}, frames)
    recordings = np.split(frames, np.cumsum(lengths)[:-1])
    graphs = [graph(text, model) for text in texts]
    for own, text in zip(recordings, texts, strict=True):
        if len(own) < least_frames(text):
            raise ValueError(f"{len(own)} frames are too few for a text of {least_frames(text)} states")
    paths = [_even(own, one) for own, one in zip(recordings, graphs, strict=True)]
    for turn, gaussians in enumerate(SCHEDULE):
        if gaussians > model.means.shape[1]:
            model.split()
        ways = [one.states[path] for one, path in zip(graphs, paths, strict=True)]
        model.measure(frames, np.concatenate(ways))
        entered = [way[np.flatnonzero(np.diff(path, prepend=-1))] for way, path in zip(ways, paths, strict=True)]
        model.time(np.concatenate(ways), np.concatenate(entered))
        if turn + 1 < len(SCHEDULE):
            paths = [path for path, _ in _search(model, recordings, graphs, told)]
    return model


def find(
    model: Mixtures, recordings: Sequence[np.ndarray], texts: Sequence[Words], told: Told | None = None
) -> list[Aligned]:
    """Which unit is heard when in recordings, (T, D) frames each. They and their texts are as in `train`."""
    graphs = [graph(text, model) for text in texts]
    found = []
    for frames, one, (path, score) in zip(recordings, graphs, _search(model, recordings, graphs, told), strict=True):
        fit = (score - float(model.best(frames).sum(dtype=np.float64))) / len(frames)
        found.append(Aligned(_intervals(path, one), fit))
    return found


def graph(words: Words, model: Mixtures) -> Graph:
    """What can be heard where `words` are read: silence around each of them, or none."""
    names, owners = [SILENCE], [-1]
    for place, word in enumerate(words):
        names += [*word, SILENCE]
        owners += [place] * len(word) + [-1]
    silent = np.array([name == SILENCE for name in names])
    skips = np.zeros((len(names), STATES), dtype=bool)
    skips[2:, 0] = silent[1:-1] & ~silent[2:]
    return Graph(model.states(names), np.repeat(np.arange(len(names)), STATES), skips.ravel(), names, owners)


def _even(frames: np.ndarray, one: Graph) -> np.ndarray:
    """(T,) states of a path that is silent before and after the loud part, and in it stays equally long in each."""
    loud = np.flatnonzero(frames[:, 0] >= np.percentile(frames[:, 0], [5, 95]).mean())
    spoken = np.flatnonzero(np.array([name != SILENCE for name in one.names])[one.places])
    begin, end = int(loud[0]), int(loud[-1]) + 1
    while end - begin < len(spoken):
        begin, end = max(begin - 1, 0), min(end + 1, len(frames))
    last = len(one.states) - STATES
    return np.concatenate(
        [
            np.arange(begin) * STATES // max(begin, 1),
            spoken[np.arange(end - begin) * len(spoken) // (end - begin)],
            last + np.arange(len(frames) - end) * STATES // max(len(frames) - end, 1),
        ]
    )


def _search(
    model: Mixtures, recordings: Sequence[np.ndarray], graphs: list[Graph], told: Told | None
) -> Iterator[tuple[np.ndarray, float]]:
    """Each recording's best path (T,) through its graph, and its log-likelihood; recordings of like length together."""
    order = sorted(range(len(recordings)), key=lambda number: len(recordings[number]))
    found: dict[int, tuple[np.ndarray, float]] = {}
    while order:
        size = len(graphs[order[-1]].states)
        chosen = [order.pop()]
        while order and len(chosen) < BATCH:
            size = max(size, len(graphs[order[-1]].states))
            if (len(chosen) + 1) * size * len(recordings[chosen[0]]) > CELLS:
                break
            chosen.append(order.pop())
        paths = viterbi(model, [recordings[number] for number in chosen], [graphs[number] for number in chosen])
        found |= dict(zip(chosen, paths, strict=True))
        if told:
            told(len(chosen))
    return (found[number] for number in range(len(recordings)))


def viterbi(model: Mixtures, recordings: list[np.ndarray], graphs: list[Graph]) -> list[tuple[np.ndarray, float]]:
    """The best paths of recordings through their graphs, found side by side, and their log-likelihoods."""
    lengths, sizes = np.array(list(map(len, recordings))), np.array([len(one.states) for one in graphs])
    count, longest, widest = len(graphs), int(lengths.max()), int(sizes.max())
    never = np.float32(-1e30)
    heard = np.full((longest, count, widest), never, dtype=np.float32)
    stay, go, skip = (np.full((count, widest), never, dtype=np.float32) for _ in range(3))
    for number, (one, frames) in enumerate(zip(graphs, recordings, strict=True)):
        size = sizes[number]
        own, places = np.unique(one.states, return_inverse=True)
        heard[: len(frames), number, :size] = model.likelihoods(frames, own)[:, places]
        stay[number, :size] = model.stay[one.states]
        go[number, 1:size] = model.go[one.states[:-1]]
        skipping = np.flatnonzero(one.skips)
        skip[number, skipping] = model.go[one.states[skipping - STATES - 1]]
    scores = np.full((count, widest), never, dtype=np.float32)
    scores[:, [0, STATES]] = heard[0][:, [0, STATES]]  # it begins with silence, or with the first unit
    moved, skipped = np.zeros((longest, count, widest), dtype=bool), np.zeros((longest, count, widest), dtype=bool)
    final, other = scores.copy(), np.empty_like(scores)
    for time in range(1, longest):
        best = scores + stay
        np.add(scores[:, :-1], go[:, 1:], out=other[:, 1:])
        np.greater(other[:, 1:], best[:, 1:], out=moved[time][:, 1:])
        np.maximum(other[:, 1:], best[:, 1:], out=best[:, 1:])
        jump = STATES + 1
        np.add(scores[:, :-jump], skip[:, jump:], out=other[:, jump:])
        np.greater(other[:, jump:], best[:, jump:], out=skipped[time][:, jump:])
        np.maximum(other[:, jump:], best[:, jump:], out=best[:, jump:])
        scores = np.add(best, heard[time], out=best)
        ending = lengths == time + 1
        if ending.any():
            final[ending] = scores[ending]
    every = np.arange(count)
    ends = np.stack([sizes - 1, sizes - 1 - STATES])  # it ends with silence, or with the last unit
    state = np.where(final[every, ends[1]] > final[every, ends[0]], ends[1], ends[0])
    score = final[every, state]
    paths = np.empty((longest, count), dtype=np.int64)
    for time in range(longest - 1, -1, -1):
        paths[time] = state
        steps = np.where(skipped[time, every, state], STATES + 1, moved[time, every, state].astype(np.int64))
        state = np.where(lengths > time, state - steps, state)
    return [(paths[: lengths[number], number].copy(), float(score[number])) for number in range(count)]


def _intervals(path: np.ndarray, one: Graph) -> list[Interval]:
    places = one.places[path]
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    return [
        Interval(int(start), int(stop), one.names[places[start]], one.words[places[start]])
        for start, stop in zip(starts, [*starts[1:], len(places)], strict=True)
    ]
