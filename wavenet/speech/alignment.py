"""Which unit is heard when: a monophone hidden Markov model, trained from a flat start on recordings and texts alone.

Every unit, a phone or a letter, has three states from left to right, each a mixture of diagonal Gaussians over cepstra
and their slopes. Silence may stand before, between and after words. Training begins with states of equal length and
repeats: find the best path of each recording (Viterbi), measure the states anew where it went, and split Gaussians on
the way (Young et al., The HTK Book, 2006, chapters 8 and 10). Paths are searched for many recordings side by side.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

STATES = 3
"""Of a unit."""
SILENCE = "SIL"
SCHEDULE = (1, 1, 1, 1, 2, 2, 2, 4, 4, 4)
"""Gaussians of a state, in each round."""
BATCH = 48
"""Recordings whose paths are searched side by side."""
FLOOR = 0.01
"""Of a cepstrum's variance over all frames, the least that a Gaussian has."""
WORST = -1e30


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
    units: np.ndarray
    """(S,) the place of each one's unit in the text, silences counted."""
    skips: np.ndarray
    """(S,) whether it can follow the state before the silence that stands before it."""
    names: list[str]
    words: list[int]
    first: int
    """From its states up to this one a recording can begin, and with as many from its end it can end."""


def graph(words: list[list[str]], numbers: dict[str, int]) -> Graph:
    """What can be heard where `words`, lists of units, are read: silence around each of them, or none."""
    names, owners = [SILENCE], [-1]
    for place, word in enumerate(words):
        names += [*word, SILENCE]
        owners += [place] * len(word) + [-1]
    units = np.repeat(np.arange(len(names)), STATES)
    states = np.concatenate([numbers[name] * STATES + np.arange(STATES) for name in names])
    skips = np.zeros(len(states), dtype=bool)
    for place in range(1, len(names) - 1):
        skips[place * STATES] = names[place] != SILENCE and names[place - 1] == SILENCE and place > 1
    return Graph(states, units, skips, names, owners, STATES)


class Model:
    """Mixtures of all states."""

    def __init__(self, units: list[str], frames: np.ndarray) -> None:
        self.units = units
        self.numbers = {unit: number for number, unit in enumerate(units)}
        count = len(units) * STATES
        self.floor = FLOOR * frames.var(axis=0)
        self.means = np.repeat(frames.mean(axis=0)[None, None], count, axis=0)
        self.variances = np.repeat(frames.var(axis=0)[None, None], count, axis=0)
        self.weights = np.ones((count, 1))
        self.stay = np.full(count, np.log(0.7), dtype=np.float32)
        self.go = np.full(count, np.log(0.3), dtype=np.float32)

    def likelihoods(self, frames: np.ndarray) -> np.ndarray:
        """(T, D) -> (T, states), natural logarithms."""
        parts = self._parts(frames)
        top = parts.max(axis=2)
        return top + np.log(np.exp(parts - top[:, :, None]).sum(axis=2)) if parts.shape[2] > 1 else parts[:, :, 0]

    def _parts(self, frames: np.ndarray) -> np.ndarray:
        count, size, depth = self.means.shape
        precision = (1 / self.variances).reshape(count * size, depth)
        means = self.means.reshape(count * size, depth)
        constant = np.log(self.weights.reshape(-1)) - 0.5 * (
            np.log(2 * np.pi * self.variances).sum(axis=2).reshape(-1) + (means**2 * precision).sum(axis=1)
        )
        both = np.concatenate([-0.5 * precision, means * precision], axis=1).astype(np.float32)
        parts = np.concatenate([frames**2, frames], axis=1) @ both.T + constant.astype(np.float32)
        return parts.reshape(len(frames), count, size)

    def measure(self, frames: np.ndarray, states: np.ndarray) -> None:
        """Take each state's mixture from the frames (T, D) that its path went through: `states` (T,)."""
        order = np.argsort(states, kind="stable")
        ends = np.cumsum(np.bincount(states, minlength=len(self.means)))
        for state, stop in enumerate(ends):
            own = frames[order[ends[state - 1] if state else 0 : stop]].astype(np.float64)
            if len(own) < 4 * self.means.shape[1]:
                continue  # too few to tell anything new
            shares = self._shares(own, state)
            total = shares.sum(axis=0) + 1e-6
            means = shares.T @ own / total[:, None]
            variances = shares.T @ own**2 / total[:, None] - means**2
            self.means[state], self.variances[state] = means, np.maximum(variances, self.floor)
            self.weights[state] = total / total.sum()

    def _shares(self, frames: np.ndarray, state: int) -> np.ndarray:
        distance = ((frames[:, None] - self.means[state]) ** 2 / self.variances[state]).sum(axis=2)
        parts = np.log(self.weights[state]) - 0.5 * (np.log(self.variances[state]).sum(axis=1) + distance)
        parts = np.exp(parts - parts.max(axis=1, keepdims=True))
        return parts / parts.sum(axis=1, keepdims=True)

    def split(self) -> None:
        """Each Gaussian becomes two, a fifth of its deviation to either side."""
        apart = 0.2 * np.sqrt(self.variances)
        self.means = np.concatenate([self.means - apart, self.means + apart], axis=1)
        self.variances = np.concatenate([self.variances] * 2, axis=1)
        self.weights = np.concatenate([self.weights] * 2, axis=1) / 2

    def time(self, states: np.ndarray, entries: np.ndarray) -> None:
        """How long states last: frames in them (T,), and how often they are entered."""
        held = np.bincount(states, minlength=len(self.stay)) + 3.0
        left = np.minimum(np.bincount(entries, minlength=len(self.stay)) + 1.0, held - 1)
        self.stay, self.go = np.log(1 - left / held).astype(np.float32), np.log(left / held).astype(np.float32)


def align(
    recordings: list[np.ndarray], texts: list[list[list[str]]], progress: Callable[[int, int], None] | None = None
) -> list[Aligned]:
    """Find what is heard when in recordings, (T, D) frames each, of texts: words, lists of units.

    A text needs as many frames as it has states: three for each unit. Raises ValueError where it has more.
    """
    units = sorted({unit for text in texts for word in text for unit in word} - {SILENCE})
    stacked = np.concatenate(recordings).astype(np.float32)
    model = Model([SILENCE, *units], stacked)
    graphs = [graph(text, model.numbers) for text in texts]
    for frames, one in zip(recordings, graphs, strict=True):
        if len(frames) < np.count_nonzero(np.array(one.names) != SILENCE) * STATES:
            raise ValueError(f"{len(frames)} frames are too few for {len(one.names)} units of {STATES} states")
    paths = [_even(len(frames), one) for frames, one in zip(recordings, graphs, strict=True)]
    for turn, gaussians in enumerate(SCHEDULE):
        if gaussians > model.means.shape[1]:
            model.split()
        states = np.concatenate([one.states[path] for one, path in zip(graphs, paths, strict=True)])
        model.measure(stacked, states)
        entries = [
            one.states[path[np.flatnonzero(np.diff(path, prepend=-1))]] for one, path in zip(graphs, paths, strict=True)
        ]
        model.time(states, np.concatenate(entries))
        found = list(_search(model, recordings, graphs))
        paths = [path for path, _ in found]
        if progress:
            progress(turn + 1, len(SCHEDULE))
    return [Aligned(_intervals(path, one), fit) for (path, fit), one in zip(found, graphs, strict=True)]


def _even(count: int, one: Graph) -> np.ndarray:
    """(T,) states of a path that stays equally long in each, with silence at the two ends alone."""
    names = np.array(one.names)[one.units]
    ends = (one.units == 0) | (one.units == len(one.names) - 1)
    used = np.flatnonzero((names != SILENCE) | ends)
    return used[np.arange(count) * len(used) // count]


def _search(model: Model, recordings: list[np.ndarray], graphs: list[Graph]) -> Iterator[tuple[np.ndarray, float]]:
    """Each recording's best path (T,) through its graph, and how well it fits; recordings of like length together."""
    order = sorted(range(len(recordings)), key=lambda number: len(recordings[number]))
    found: dict[int, tuple[np.ndarray, float]] = {}
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        paths = _viterbi(model, [recordings[number] for number in chosen], [graphs[number] for number in chosen])
        found |= dict(zip(chosen, paths, strict=True))
    return (found[number] for number in range(len(recordings)))


def _viterbi(model: Model, recordings: list[np.ndarray], graphs: list[Graph]) -> list[tuple[np.ndarray, float]]:
    lengths = np.array([len(frames) for frames in recordings])
    likelihoods = np.split(model.likelihoods(np.concatenate(recordings).astype(np.float32)), np.cumsum(lengths)[:-1])
    sizes = np.array([len(one.states) for one in graphs])
    count, longest, widest = len(graphs), lengths.max(), sizes.max()
    heard = np.full((longest, count, widest), WORST, dtype=np.float32)
    stay, go, skip = (np.full((count, widest), WORST, dtype=np.float32) for _ in range(3))
    for number, (one, told) in enumerate(zip(graphs, likelihoods, strict=True)):
        size = sizes[number]
        heard[: lengths[number], number, :size] = told[:, one.states]
        stay[number, :size] = model.stay[one.states]
        go[number, 1:size] = model.go[one.states[:-1]]
        reached = np.flatnonzero(one.skips)
        skip[number, reached] = model.go[one.states[reached - STATES - 1]]
    scores = np.full((count, widest), WORST, dtype=np.float32)
    scores[:, [0, STATES]] = heard[0][:, [0, STATES]]
    back = np.zeros((longest, count, widest), dtype=np.int8)
    final = scores.copy()
    options = np.full((3, count, widest), WORST, dtype=np.float32)
    for time in range(1, longest):
        np.add(scores, stay, out=options[0])
        np.add(scores[:, :-1], go[:, 1:], out=options[1][:, 1:])
        np.add(scores[:, : -STATES - 1], skip[:, STATES + 1 :], out=options[2][:, STATES + 1 :])
        np.argmax(options, axis=0, out=(chosen := np.empty((count, widest), dtype=np.intp)))
        back[time] = chosen
        scores = options.max(axis=0) + heard[time]
        ending = lengths == time + 1
        final[ending] = scores[ending]
    found, steps = [], np.array([0, 1, STATES + 1])
    for number in range(count):
        size, length = sizes[number], lengths[number]
        ends = [size - 1, size - 1 - STATES]
        state = max(ends, key=lambda end: final[number, end])
        score = final[number, state]
        path = np.empty(length, dtype=np.int64)
        for time in range(length - 1, -1, -1):
            path[time] = state
            state -= steps[back[time, number, state]]
        free = likelihoods[number].max(axis=1).sum()
        found.append((path, float(score - free) / length))
    return found


def _intervals(path: np.ndarray, one: Graph) -> list[Interval]:
    units = one.units[path]
    starts = np.flatnonzero(np.diff(units, prepend=-1))
    stops = [*starts[1:], len(units)]
    return [
        Interval(int(start), int(stop), one.names[units[start]], one.words[units[start]])
        for start, stop in zip(starts, stops, strict=True)
    ]
