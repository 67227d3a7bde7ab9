"""Streams of samples from an engine, a chunk at a time, with the conditioning that is known by then."""

from collections.abc import Iterator

import torch
from torch import Tensor

from wavenet.generation.conditions import Conditions
from wavenet.generation.engine import Engine
from wavenet.generation.splitmix import uniforms
from wavenet.model.distributions import Sampling

CHUNK = 1024
"""Samples handed on at a time: four blocks of a context stack that pools 256."""


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
