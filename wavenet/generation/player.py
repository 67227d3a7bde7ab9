"""An exported network in the kernels of wavenet/csrc, and the sound that it makes: arrays alone, without torch, which
takes seconds to import. `compiled` is the same for tensors, with states that can be kept and more conditioning."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from wavenet.audio.tables import LEVELS, SIXTEEN_BIT_LEVELS
from wavenet.errors import CheckpointError
from wavenet.generation import splitmix
from wavenet.generation.format import PRECISIONS
from wavenet.model import native
from wavenet.model.sampling import Sampling

CHUNK = 1024
"""Samples handed on at a time: four blocks of a context stack that pools 256."""


class Player:
    """Raises ConfigError if there are no kernels or this machine does not run the instruction set, and CheckpointError
    if the bytes are damaged.

    threads: how many threads share the streams; 0 gives several streams all of them and a single one its own.
    condition: address and shape of the projections that a model with conditioning needs besides, see `CompiledEngine`.
    """

    name = "compiled"
    device: Any = "cpu"

    def __init__(
        self,
        exported: bytes,
        instruction_set: str = "auto",
        threads: int = 0,
        condition: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        native.check()
        kernels = native.code(instruction_set)
        try:
            self.kernel = kernels.make_engine(exported, *condition)
        except ValueError as error:
            raise CheckpointError(str(error)) from error
        self.exported, self.instruction_set, self.threads = exported, kernels.name, threads
        self.precision = PRECISIONS[self.kernel.precision]
        self.receptive_field: int = self.kernel.receptive_field
        self.sample_rate: int = self.kernel.sample_rate
        self.levels = SIXTEEN_BIT_LEVELS if self.kernel.mixtures else LEVELS
        """How many codes there are."""
        self.labels: dict[str, list[str]] = {}
        """The labels of an exported file, and the values of each; a row of conditioning is the values' weights."""
        for label, value in self.kernel.labels:
            self.labels.setdefault(label, []).append(value)

    def check(self, sampling: Sampling) -> None:
        """Raise ConfigError for a setting that the network's distribution does not support."""
        if self.kernel.mixtures:
            sampling.check_for_mixture()

    def play(
        self,
        samples: int,
        seeds: list[int],
        sampling: Sampling,
        prime: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        chunk: int = CHUNK,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What `generation.generate` yields for a `CompiledEngine`: codes (streams, n), uint16, and their bits.

        prime: codes (n,) that every stream continues from. weights: (values,) of the labels; without them, no label.
        Guidance needs them.
        """
        self.check(sampling)
        count = len(seeds)
        guided = count if sampling.guidance != 1 else 0
        streams = count + guided
        rows = None
        if weights is not None:
            rows = np.zeros((streams, len(weights)), np.float32)
            rows[:count] = weights  # the others, which guidance moves away from, have no label
        memory = np.empty((streams, self.kernel.state_bytes), np.uint8)
        logits = np.empty((streams, 3 * self.kernel.mixtures or LEVELS), np.float32)
        for s in range(streams):
            self.kernel.start(_address(memory[s]), _address(logits[s]), 0 if rows is None else _address(rows[s]))
        how = (sampling.temperature, sampling.top_k, sampling.top_p, sampling.guidance)
        threads = self.threads or (_cores() if streams > 1 else 1)

        def run(codes: np.ndarray, guided: int, *drawn: np.ndarray) -> None:
            told = [_address(array) for array in (memory, logits, codes, *drawn)] + [0] * (2 - len(drawn))
            row = (0, 0) if rows is None else (_address(rows), 1)
            self.kernel.run(streams, codes.shape[1], *told, *row, guided, how, threads)

        if prime is not None:
            heard = np.asarray(prime, np.uint16)[-self.receptive_field :]
            run(np.ascontiguousarray(np.broadcast_to(heard, (streams, len(heard)))), 0)
        for start in range(0, samples, chunk):
            uniforms = splitmix.numbers(seeds, start, min(chunk, samples - start))
            codes, bits = np.empty(uniforms.shape, np.uint16), np.empty(uniforms.shape, np.float32)
            run(codes, guided, uniforms, bits)
            yield codes, bits


def _address(array: np.ndarray) -> int:
    return array.ctypes.data


def _cores() -> int:
    """How many threads torch would use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(asked) if asked.isdigit() and int(asked) else there or 1
