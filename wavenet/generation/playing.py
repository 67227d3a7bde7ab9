"""An exported file, and what it is to play, without torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from wavenet.errors import CheckpointError, ConfigError
from wavenet.generation.labels import steer_by_labels
from wavenet.generation.player import Player
from wavenet.generation.request import Request
from wavenet.model.sampling import Sampling

Kind = TypeVar("Kind", bound=Player)


@dataclass(frozen=True)
class Played:
    """Streams of an exported network that are ready to start: `performance.Performance` without torch."""

    engine: Player
    samples: int
    seeds: list[int]
    sampling: Sampling
    prime: np.ndarray | None
    weights: np.ndarray | None

    @property
    def levels(self) -> int:
        return self.engine.levels

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Codes (streams, n) and their bits, as they are made."""
        return self.engine.play(self.samples, self.seeds, self.sampling, self.prime, self.weights)


class ExportedFile:
    """As much of `wavenet.Voice` as a command needs to play an exported file."""

    def __init__(self, path: Path) -> None:
        """Raises CheckpointError if the file is damaged, ConfigError if there are no kernels."""
        self.path, self.player = path, read(path, Player)
        self.step = self.valid_bits = None  # which the file does not hold
        self.data: dict[str, Any] = {}
        self.sample_rate = self.player.sample_rate

    def perform(self, request: Request) -> Played:
        """Prepare to play what is asked for. Raises ConfigError and AudioError."""
        return of_file(self.player, str(self.path), request)


def read(path: Path, kind: type[Kind]) -> Kind:
    """The network of an exported file. Raises CheckpointError if it is damaged, ConfigError without kernels."""
    packed = path.read_bytes()
    try:
        return kind(packed)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def of_file(exported: Player, name: str, request: Request) -> Played:
    """What an exported network, called `name` in messages, is to play. It takes no conditioning but its labels.

    Raises ConfigError for what it does not support, and AudioError for an unreadable recording.
    """
    config, prime = request.config, None
    if request.features is not None:
        raise ConfigError(f"features is given, but {name} is an exported network, which follows none: leave it out")
    if config.label and not exported.labels:
        raise ConfigError(
            f"{name} holds no labels to choose: export the checkpoint again, without label.*, to keep them"
        )
    weights = steer_by_labels(config, exported.labels, name)
    if config.engine not in ("auto", "compiled"):
        raise ConfigError(f"engine is {config.engine!r}, but {name} is an exported network: only compiled runs it")
    if config.precision not in ("auto", exported.precision):
        raise ConfigError(f"precision is {config.precision!r}, but {name} was exported in {exported.precision}")
    exported.check(request.sampling)
    engine = Player(exported.exported, config.instruction_set, config.threads)
    if request.prime is not None:
        from wavenet.audio.encodings import encoding_with  # imported late, because reading a recording needs torch
        from wavenet.recordings.reader import read_prime

        encoding = encoding_with(engine.levels)
        prime = read_prime(request.prime, request.reader, engine.receptive_field, encoding).numpy()
    chosen = weights if config.label else None
    return Played(engine, request.samples(), request.seeds, request.sampling, prime, chosen)
