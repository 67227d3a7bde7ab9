"""Which engine runs a model: the requested one, or the fastest that computes what the model's code does."""

import time
from collections.abc import Callable, Sequence

import torch

from wavenet.errors import ConfigError
from wavenet.generation.cached import CachedEngine
from wavenet.generation.calibration import exported
from wavenet.generation.compiled import CompiledEngine
from wavenet.generation.engine import Engine, projection
from wavenet.generation.export import PRECISIONS, Scale
from wavenet.generation.naive import NaiveEngine
from wavenet.generation.splitmix import uniforms
from wavenet.model import native
from wavenet.model.conditioning import Companion
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet

ENGINES = ("compiled", "cached", "naive")
TIMED_SAMPLES = 20
"""Samples of each stream on which two engines are timed, after as many untimed ones."""


def make_engine(
    name: str,
    model: WaveNet,
    precision: str = "auto",
    instruction_set: str = "auto",
    threads: int = 0,
    sample_rate: int = 16000,
    examples: Sequence[Companion] = (),
    streams: int = 1,
    scales: Sequence[Scale] = (),
) -> Engine:
    """The engine called `name`, or the fastest for this model and machine if that is `auto`.

    `compiled` runs on the CPU, the others on the model's device. On a CPU `auto` is `compiled`, provided that there are
    kernels and they compute what the model's code does. On other devices `compiled` and `cached` are timed on `streams`
    streams. precision: one of PRECISIONS, int8 only for `compiled`; `auto` is `exported`'s choice for `compiled` and
    float32 for the others. instruction_set and threads apply to `compiled`. examples: recordings and conditioning to
    measure int8's scales on, see `calibration`. scales: those measured earlier. Raises ConfigError for an option that
    is not available.
    """
    if name not in ("auto", *ENGINES):
        raise ConfigError(f"engine is {name!r}, but it must be one of auto, {', '.join(ENGINES)}")
    if precision not in ("auto", *PRECISIONS):
        raise ConfigError(f"precision is {precision!r}, but it must be one of auto, {', '.join(PRECISIONS)}")

    def compiled() -> Engine:
        packed = exported(model, sample_rate, precision, examples, scales)
        return CompiledEngine(packed, instruction_set, threads, projection(model))

    def in_torch(name: str) -> Engine:
        if instruction_set != "auto":
            raise ConfigError(
                f"instruction_set is {instruction_set!r}, which engine={name} does not have: leave it out"
            )
        if precision == "int8":
            raise ConfigError(f"precision is int8, which engine={name} does not have: use engine=compiled")
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        return (CachedEngine if name == "cached" else NaiveEngine)(model, dtype, sample_rate)

    if name == "compiled":
        return compiled()
    if name != "auto":
        return in_torch(name)
    makers = [lambda: in_torch("cached"), lambda: in_torch("naive")]
    if native.code() is not None:
        makers = [compiled, *makers]
    return _fastest(makers, _device(model) != "cpu", streams)


def _fastest(makers: Sequence[Callable[[], Engine]], timed: bool, streams: int) -> Engine:
    """The first engine that can be made; if `timed`, the faster of the first two."""
    found, refused = [], []
    for make in makers:
        try:
            found.append(make())
        except ConfigError as error:
            refused.append(error)
        if len(found) == (2 if timed else 1):
            break
    if not found:
        raise refused[0]
    return min(found, key=lambda engine: _seconds(engine, streams)) if len(found) > 1 else found[0]


def _seconds(engine: Engine, streams: int) -> float:
    """How long an engine takes for a few samples of `streams` streams without conditioning."""
    state = engine.start(torch.empty(streams, 0, dtype=torch.int64))
    noise = uniforms(list(range(streams)), 0, TIMED_SAMPLES)
    engine.generate(state, noise, Sampling())
    began = time.perf_counter()
    engine.generate(state, noise, Sampling())
    return time.perf_counter() - began


def _device(model: WaveNet) -> str:
    return next(model.parameters()).device.type
