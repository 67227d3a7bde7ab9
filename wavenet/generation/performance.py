"""Everything that is decided before the first sample of a sound: its engine, its length and its conditioning."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from wavenet.generation.conditions import Conditions
from wavenet.generation.engine import Engine, torch_threads
from wavenet.generation.engine_choice import make_engine
from wavenet.generation.export import Scale
from wavenet.generation.player import CHUNK
from wavenet.generation.request import Request
from wavenet.generation.steering import steer
from wavenet.generation.streams import stream
from wavenet.model import twins
from wavenet.model.conditioning import Companion
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet
from wavenet.recordings import annotations
from wavenet.recordings.reader import read_prime

HEARD_SECONDS = 60
"""Length of the end of a prime that int8's scales are measured on."""


@dataclass(frozen=True)
class Performance:
    """Streams that are ready to start, one for each seed."""

    engine: Engine
    samples: int
    """Of each stream."""
    seeds: list[int]
    sampling: Sampling
    prime: Tensor | None
    """Codes (n,) that are heard first."""
    conditions: Conditions | None
    threads: int
    """Threads of torch, for the engines that run in it; 0 means one, since a step is many small products, in which a
    second thread mostly waits."""

    @property
    def levels(self) -> int:
        return self.engine.distribution.encoding.levels

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Codes (streams, n), n at most CHUNK, and their bits, as they are made."""
        made = stream(self.engine, self.samples, self.seeds, self.sampling, self.prime, CHUNK, self.conditions)
        compiled = self.engine.name == "compiled"  # it has its own threads
        while True:
            with contextlib.nullcontext() if compiled else torch_threads(self.threads or 1):
                found = next(made, None)
            if found is None:
                return
            yield found[0].numpy(), found[1].numpy()


@dataclass
class Kept:
    """The last engine, and a key of what it was made from, kept because measuring int8's scales takes a while."""

    engine: Engine | None = None
    key: tuple[Any, ...] = field(default=())
    scales: Sequence[Scale] = ()
    """int8's scales that came with the weights, measured on what the model makes by itself."""
    weights: bytes = b""
    """Digest of the weights that they belong to."""


def of_model(model: WaveNet, name: str, request: Request, kept: Kept) -> Performance:
    """What a network, called `name` in messages, is to make.

    Raises ConfigError for what the model or the machine does not support, and AudioError for an unreadable recording.
    """
    config, reader, conditioning = request.config, request.reader, model.conditioning
    model.distribution.check(request.sampling)
    told = steer(config, model, name, reader, request.features, request.prime is not None)
    stacks = [] if conditioning is None else conditioning.context
    heard, matters = None, max([model.receptive_field, *(stack.span for stack in stacks)])
    if request.prime is not None:
        most = max(matters, HEARD_SECONDS * reader.sample_rate)
        heard = read_prime(request.prime, reader, most, model.distribution.encoding)
    engine = _engine(model, request, told, heard, kept)
    conditions = None
    if conditioning is not None:
        conditions = Conditions(conditioning, [told] * config.count, guided=config.guidance != 1)
    prime = None if heard is None else heard[-matters:]
    how = (request.samples(told.samples), request.seeds, request.sampling, prime, conditions, config.threads)
    return Performance(engine, *how)


def _engine(model: WaveNet, request: Request, told: Companion, heard: Tensor | None, kept: Kept) -> Engine:
    """The kept engine, or a new one if anything that it was made from has changed."""
    config, rate, device = request.config, request.reader.sample_rate, next(model.parameters()).device
    frames = None if told.frames is None else told.frames(0, told.samples // model.config.features.hop)
    weights = digest(model.state_dict().values())
    streams = 1 if device.type == "cpu" else config.count  # on other devices engines are timed on this many
    how = (config.precision, config.instruction_set, config.threads, rate)
    key = (config.engine, *how, streams, device, weights, digest([told.labels, frames, heard]), *twins.code_of(model))
    if kept.engine is None or kept.key != key:
        examples = [told]  # what will be made and heard
        if heard is not None:
            codes = heard[-HEARD_SECONDS * rate :].numpy().astype(model.distribution.encoding.stored)
            examples.append(told._replace(codes=annotations.after_silence(codes), samples=len(codes)))
        scales = kept.scales if weights == kept.weights and heard is None else ()
        kept.engine, kept.key = make_engine(config.engine, model, *how, examples, streams, scales), key
    return kept.engine


def digest(tensors: Iterable[Tensor | None]) -> bytes:
    """Tells weights, or other numbers, from others."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(b"none" if tensor is None else np.ascontiguousarray(tensor.detach().cpu()).tobytes())
    return found.digest()
