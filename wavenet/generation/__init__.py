"""Generation: samples from a model, one after another, by the engine that suits, streamed to files as they are made.

It hands out `generate` and `render`, the engines and `make_engine`, and `exported` for files that run without Python.
It may import `wavenet.recordings`, `wavenet.model` and the rooms below them.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wavenet import audio
from wavenet.audio.pcm import title
from wavenet.generation.cached import CachedEngine
from wavenet.generation.calibration import exported
from wavenet.generation.compiled import CompiledEngine
from wavenet.generation.conditions import Conditions
from wavenet.generation.engine import Engine, State, projection
from wavenet.generation.engine_choice import ENGINES, make_engine
from wavenet.generation.export import PRECISIONS
from wavenet.generation.naive import NaiveEngine
from wavenet.generation.streams import CHUNK, stream
from wavenet.generation.watch import Watch
from wavenet.model.distributions import Sampling

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "CachedEngine",
    "CompiledEngine",
    "Conditions",
    "Engine",
    "NaiveEngine",
    "Rendering",
    "State",
    "exported",
    "generate",
    "make_engine",
    "projection",
    "render",
]


def generate(
    engine: Engine,
    samples: int,
    seeds: list[int],
    sampling: Sampling | None = None,
    prime: Tensor | None = None,
    chunk: int = CHUNK,
    conditions: Conditions | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield codes (streams, n) and their bits (streams, n), n <= `chunk`, until each stream has `samples`.

    One stream per seed; a stream depends only on its own seed, not on its neighbours or on `chunk`. `prime` is codes
    (n,) that every stream continues from; left out, silence. `conditions`, one companion per seed, tell a model with
    conditioning what to make. Memory does not grow with `samples`. Raises ConfigError for sampling that the model's
    distribution does not have, ValueError if only one of guidance and guided conditions is given.
    """
    sampling = sampling or Sampling()
    if (sampling.guidance != 1) != (conditions is not None and conditions.guided):
        raise ValueError(f"guidance is {sampling.guidance}: conditions need guided=True unless it is 1, and only then")
    for codes, bits, _ in stream(engine, samples, seeds, sampling, prime, chunk, conditions):
        yield codes, bits


@dataclass(frozen=True)
class Rendering:
    """The files that were written, and what was measured on the way."""

    files: list[Path]
    samples: int
    """In all files together, without `before`."""
    seconds_taken: float
    bits_per_sample: float
    """Bits of the sound made, under the model itself, without temperature or guidance."""
    warnings: list[str]
    finished: bool
    """False if generation was interrupted; the files then hold the sound up to that point."""


def render(
    engine: Engine,
    sample_rate: int,
    paths: list[Path],
    samples: int,
    seeds: list[int],
    sampling: Sampling | None = None,
    prime: Tensor | None = None,
    progress: Callable[[int], None] | None = None,
    conditions: Conditions | None = None,
    before: Iterable[Tensor] = (),
    heard: Callable[[Tensor], None] | None = None,
) -> Rendering:
    """Write one .wav or .flac per seed, `samples` long each, as it is made; Ctrl-C ends it with valid files.

    `before`, pieces (n,) of sound in [-1, 1], comes first in every file and is not counted. `progress` is called with
    the number of samples in each file, and `heard` with each piece (n,) of the first sound. Raises AudioError if a file
    cannot be written.
    """
    watches, encoding = [Watch(sample_rate) for _ in seeds], engine.distribution.encoding
    total_bits, made, finished = 0.0, 0, False
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(audio.Writer(path, sample_rate)) for path in paths]
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        for piece in before:
            for writer in writers:
                writer.write(piece)
            if heard:
                heard(piece)
        for codes, bits in generate(engine, samples, seeds, sampling, prime, conditions=conditions):
            for writer, watch, stream, stream_bits in zip(writers, watches, codes, bits, strict=True):
                writer.write(encoding.decode(stream))
                watch.hear(encoding.mulaw(stream).numpy(), stream_bits.numpy())
            if heard:
                heard(encoding.decode(codes[0]))
            total_bits += float(bits.sum(dtype=torch.float64))
            made += codes.numel()
            if progress:
                progress(made // len(seeds))
        finished = True
    taken = time.perf_counter() - began
    warnings = [
        f"{title(Path(path.name))}: {line}"
        for path, watch in zip(paths, watches, strict=True)
        for line in watch.warnings
    ]
    return Rendering(paths, made, taken, total_bits / max(made, 1), warnings, finished)
