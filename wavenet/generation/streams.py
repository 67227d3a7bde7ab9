"""Samples from an engine, a chunk at a time, with the conditioning that is known by then; and files of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from wavenet.generation.conditions import Conditions
from wavenet.generation.engine import Engine
from wavenet.generation.player import CHUNK
from wavenet.generation.rendering import Rendering, write
from wavenet.generation.splitmix import uniforms
from wavenet.model.distributions import Sampling


def stream(
    engine: Engine,
    samples: int,
    seeds: list[int],
    sampling: Sampling,
    prime: Tensor | None,
    chunk: int,
    conditions: Conditions | None,
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """What `generation.generate` yields, and the rows (S, n, C) that conditioned each chunk."""
    context = torch.empty(0, dtype=torch.int64) if prime is None else prime
    rows = None if conditions is None else conditions.begin(context)
    state = engine.start(context.expand(len(seeds) if rows is None else len(rows), -1), rows)
    start = 0
    while start < samples:
        count = min(chunk, samples - start)
        if conditions is not None:
            count = min(count, conditions.known())
            rows = conditions.next(count)
        codes, bits = engine.generate(state, uniforms(seeds, start, count), sampling, rows)
        if conditions is not None:
            conditions.hear(codes)
        yield codes, bits, rows
        start += count


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
) -> Rendering:
    """Write what `generate` makes to files, as `rendering.write` does. Raises as both do."""
    made = generate(engine, samples, seeds, sampling, prime, conditions=conditions)
    pieces = ((codes.numpy(), bits.numpy()) for codes, bits in made)
    return write(pieces, engine.distribution.encoding.levels, sample_rate, paths, progress)
