"""Gaussian mixtures of the states of a hidden Markov model, and how long states last."""

import re

import numpy as np
import torch

from wavenet.speech.sentences import SILENCE

STATES = 3
"""Of a unit, from left to right."""
FLOOR = 0.01
"""Of a number's variance over all frames, the least that a Gaussian has."""
PRIOR = 10
"""Frames of average sound that each Gaussian is taken to have seen, so that rare units get sensible values."""
STRESS = re.compile("[ˈˌ]|(?<=[A-Z])[012]$")
"""Stress as espeak-ng and CMUdict write it. A vowel has the same states with it and without it."""
CHUNK = 4096
"""Frames that are looked at together."""


def sound(unit: str) -> str:
    """The unit without stress."""
    return STRESS.sub("", unit) or unit


class Mixtures:
    """For each state of each unit, a mixture of diagonal Gaussians over frames of D numbers."""

    def __init__(self, units: set[str], frames: np.ndarray) -> None:
        """frames: (T, D), of which all states begin as the average."""
        self.numbers = {unit: number for number, unit in enumerate(sorted(units | {SILENCE}))}
        count = len(self.numbers) * STATES
        self.mean, self.variance = frames.mean(axis=0, dtype=np.float64), frames.var(axis=0, dtype=np.float64)
        self.means = np.repeat(self.mean[None, None], count, axis=0)
        """(states, Gaussians, D)"""
        self.variances = np.repeat(self.variance[None, None], count, axis=0)
        self.weights = np.ones((count, 1))
        self.stay = np.full(count, np.log(0.7), dtype=np.float32)
        """(states,): log probability of staying in a state for another frame."""
        self.go = np.full(count, np.log(0.3), dtype=np.float32)

    def states(self, units: list[str]) -> np.ndarray:
        """(3 units,): the states of units, one after another."""
        first = np.array([self.numbers[sound(unit)] * STATES for unit in units])
        return (first[:, None] + np.arange(STATES)).ravel()

    def likelihoods(self, frames: np.ndarray, states: np.ndarray) -> np.ndarray:
        """(T, D) and numbers of states (S,) -> (T, S) natural logarithms."""
        parts = self._parts(frames, states)
        top = parts.max(axis=1)
        if parts.shape[1] > 1:
            parts -= top[:, None]
            top += np.log(np.exp(parts, out=parts).sum(axis=1))
        return top

    def best(self, frames: np.ndarray) -> np.ndarray:
        """(T, D) -> (T,): the highest likelihood that any state has of each frame."""
        everything = np.arange(len(self.means))
        chunks = [frames[first : first + CHUNK] for first in range(0, len(frames), CHUNK)]
        return np.concatenate([self.likelihoods(chunk, everything).max(axis=1) for chunk in chunks])

    def measure(self, frames: np.ndarray, states: np.ndarray) -> None:
        """Take each state's mixture from the frames (T, D) that are in it: `states` (T,)."""
        order = np.argsort(states, kind="stable")
        ends = np.cumsum(np.bincount(states, minlength=len(self.means)))
        for state, (start, stop) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            own = frames[order[start:stop]]
            shares = self._shares(own, state)
            own = own.astype(np.float64)
            total = shares.sum(axis=0)
            seen = (total + PRIOR)[:, None]
            means = (_product(shares.T, own) + PRIOR * self.mean) / seen
            squares = (_product(shares.T, own**2) + PRIOR * (self.variance + self.mean**2)) / seen
            self.means[state] = means
            self.variances[state] = np.maximum(squares - means**2, FLOOR * self.variance)
            self.weights[state] = (total + 1) / (total + 1).sum()

    def time(self, states: np.ndarray, entered: np.ndarray) -> None:
        """How long states last: the states of all frames, and of those frames in which they are entered."""
        held = np.bincount(states, minlength=len(self.stay)) + 3.0
        left = np.minimum(np.bincount(entered, minlength=len(self.stay)) + 1.0, held - 1)
        self.stay, self.go = np.log(1 - left / held).astype(np.float32), np.log(left / held).astype(np.float32)

    def split(self) -> None:
        """Each Gaussian becomes two, a fifth of its deviation to either side."""
        apart = 0.2 * np.sqrt(self.variances)
        self.means = np.concatenate([self.means - apart, self.means + apart], axis=1)
        self.variances = np.concatenate([self.variances] * 2, axis=1)
        self.weights = np.concatenate([self.weights] * 2, axis=1) / 2

    def _parts(self, frames: np.ndarray, states: np.ndarray) -> np.ndarray:
        """(T, Gaussians, S): logarithms of weighted densities."""
        means, variances = (one[states].transpose(1, 0, 2) for one in (self.means, self.variances))
        constant = np.log(self.weights[states].T) - 0.5 * (
            np.log(2 * np.pi * variances).sum(axis=2) + (means**2 / variances).sum(axis=2)
        )
        both = np.concatenate([-0.5 / variances, means / variances], axis=2).astype(np.float32)
        parts = _product(np.concatenate([frames**2, frames], axis=1), both.reshape(-1, both.shape[2]).T)
        parts += constant.ravel().astype(np.float32)
        return parts.reshape(len(frames), *constant.shape)

    def _shares(self, frames: np.ndarray, state: int) -> np.ndarray:
        """(T, Gaussians): of each frame, how much belongs to each Gaussian of a state."""
        parts = self._parts(frames, np.array([state]))[:, :, 0].astype(np.float64)
        parts = np.exp(parts - parts.max(axis=1, keepdims=True))
        return parts / parts.sum(axis=1, keepdims=True)


def _product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Matrix product by torch, whose number of threads can be set."""
    return torch.mm(torch.from_numpy(np.ascontiguousarray(one)), torch.from_numpy(np.ascontiguousarray(other))).numpy()
