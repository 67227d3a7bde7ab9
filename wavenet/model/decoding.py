"""Decoding: the likeliest sequence of phones, from the probabilities of the classes in each frame (Rabiner 1989).

Taken one by one, the likeliest classes of neighbouring frames flicker, and every flicker would count as a phone. So the
frames are explained by a hidden Markov model of phones that come and last as they do in the training set:

    score = sum over frames of   log p(class | frame) - PRIOR * log p(class)
          + sum over phones of   log p(phone | phone before) + log p(its duration)

    p(duration) = stay**(duration - shortest) * (1 - stay)     from `shortest` frames on; below that, 0

With PRIOR = 1, frames would count as much as they say about the sound alone (Bourlard and Morgan 1994).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

PRIOR = 0.5
"""How much of the preference that frames have for frequent classes is taken from them. It was chosen on training
recordings, where a weight on the second sum, or a penalty for each phone, made nothing better."""
SHORT = 0.05
"""Share of a class's phones in the training set that are shorter than the shortest one that is decoded."""


@dataclass(frozen=True)
class PhoneStatistics:
    """How often, how long and in which order phones are spoken in a training set, for K classes."""

    frames: list[int]
    """(K,): frames of each class."""
    phones: list[int]
    """(K,): phones of each class."""
    shortest: list[int]
    """(K,): frames that a phone of each class lasts at least."""
    follows: list[list[int]]
    """(K, K): entry [i][j] says how often a phone of class j comes right after one of class i."""

    @classmethod
    def count(cls, recordings: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> "PhoneStatistics":
        """Statistics of recordings, each given as the classes (n,) of its phones and their durations (n,) in frames."""
        told = list(recordings)
        follows = np.zeros((classes, classes), dtype=np.int64)
        for phones, _ in told:
            np.add.at(follows, (phones[:-1], phones[1:]), 1)
        phones = np.concatenate([np.zeros(0, dtype=np.int64), *(phones for phones, _ in told)])
        durations = np.concatenate([np.zeros(0), *(durations for _, durations in told)])
        own = [durations[phones == number] for number in range(classes)]
        return cls(
            [round(float(of.sum())) for of in own],
            [len(of) for of in own],
            [max(1, round(float(np.quantile(of, SHORT)))) if len(of) else 1 for of in own],
            follows.tolist(),
        )

    @classmethod
    def from_dict(cls, stored: dict[str, Any], classes: int) -> "PhoneStatistics":
        """The inverse of `dataclasses.asdict`. Raises TypeError or ValueError for anything but statistics of so many
        classes."""
        made = cls(**stored)
        for name, least in {"frames": 0, "phones": 0, "shortest": 1, "follows": 0}.items():
            found = np.array(getattr(made, name))
            shape = (classes, classes) if name == "follows" else (classes,)
            if found.shape != shape or found.dtype.kind != "i" or found.min() < least:
                raise ValueError(f"phones.{name} are not whole numbers of at least {least} for {classes} classes")
        return made

    as_dict = asdict

    @cached_property
    def priors(self) -> np.ndarray:
        """(K,): log probability of each class in a frame. As if every class had one frame more."""
        return _log_shares(np.array(self.frames) + 1.0)

    @cached_property
    def stay(self) -> np.ndarray:
        """(K,): probability that a phone, once it has lasted `shortest` frames, lasts another.

        The frames after the shortest are then as many as in the training set, with one phone more that has one.
        """
        phones = np.array(self.phones)
        later = np.maximum(0, np.array(self.frames) - phones * np.array(self.shortest)) + 1
        return later / (later + phones + 1)

    @cached_property
    def bigram(self) -> np.ndarray:
        """(K, K): log probability of class j after class i, smoothed by that of j alone (Witten, Bell 1991)."""
        counts, alone = np.array(self.follows), np.exp(self.unigram)
        kinds = np.maximum(1, (counts > 0).sum(axis=1, keepdims=True))
        return np.log((counts + kinds * alone) / (counts.sum(axis=1, keepdims=True) + kinds))

    @cached_property
    def unigram(self) -> np.ndarray:
        """(K,): log probability of each class as a phone. As if every class had been spoken once more."""
        return _log_shares(np.array(self.phones) + 1.0)


def decode(log_posteriors: Tensor | np.ndarray, statistics: PhoneStatistics) -> list[tuple[int, int, int]]:
    """The best path through (frames, K) log probabilities, as runs (class, first frame, frame after the last).

    Runs cover all frames. Each lasts at least as long as its class's shortest phone; if there are fewer frames than any
    phone lasts, they are one run. Time and memory grow with frames * K; a frame takes K**2 operations.
    """
    frames, classes = log_posteriors.shape
    scores = np.asarray(log_posteriors, dtype=np.float64) - PRIOR * statistics.priors  # (T, K)
    shortest, every = np.array(statistics.shortest), np.arange(classes)
    if frames < shortest.min():
        return [(int(scores.sum(axis=0).argmax()), 0, frames)] if frames else []
    stay, leave = np.log(statistics.stay), np.log1p(-statistics.stay)
    change = statistics.bigram.T + leave  # (to, from)
    # best[t, k]: of the paths over the first t frames that end in a phone of class k, as long as it must be
    best = np.full((frames + shortest.max() + 1, classes), -np.inf)
    until = np.zeros_like(best)
    np.cumsum(scores, axis=0, out=until[1 : frames + 1])
    for t in range(frames):
        if t:
            np.maximum(best[t], best[t - 1] + stay + scores[t - 1], out=best[t])
        enter = (change + best[t]).max(axis=1) if t else statistics.unigram
        ends = t + shortest
        best[ends, every] = enter + until[ends, every] - until[t]
    best[frames] = np.maximum(best[frames], best[frames - 1] + stay + scores[frames - 1])
    runs, stop, phone = [], frames, int((best[frames] + leave).argmax())
    while True:
        start = stop
        while best[start, phone] == best[start - 1, phone] + stay[phone] + scores[start - 1, phone]:
            start -= 1  # the same sum as above, so it is equal if the phone stayed
        start -= statistics.shortest[phone]
        runs.append((phone, start, stop))
        if not start:
            return runs[::-1]
        stop, phone = start, int((change[phone] + best[start]).argmax())


def _log_shares(counts: np.ndarray) -> np.ndarray:
    return np.log(counts / counts.sum())
