"""What every engine promises: the same codes for the same model, context and uniform numbers.

An engine holds weights but no state. Streams live in a `State`, which can be copied, reduced to some of its streams,
stored and resumed. In shapes, S is streams, n samples and C condition channels.

Rows of `conditioning` come as (S, n, C), one for the sample after each code that is heard, or as (S, 1, C) if all are
the same; None means no conditioning. With guidance the state holds 2 S streams: the second half hears the same codes
with rows of its own, which guidance moves the logits away from.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wavenet.model import distributions
from wavenet.model.distributions import Distribution, Sampling
from wavenet.model.wavenet import WaveNet


@dataclass
class State:
    """Streams in the middle of generation: what the engine remembers, and the logits of each stream's next code."""

    memory: list[list[Tensor]]
    """Tensors whose first dimension is the streams; their meaning depends on the engine."""
    position: int
    """Codes heard since the start."""
    logits: Tensor
    """(S, outputs) of the model's distribution."""

    def select(self, streams: list[int]) -> "State":
        """A copy with only these streams, in this order, to drop some or to continue one in two ways."""
        memory = [[tensor[streams] for tensor in tensors] for tensors in self.memory]
        return State(memory, self.position, self.logits[streams])

    def clone(self) -> "State":
        """An independent copy."""
        return self.select(list(range(len(self.logits))))

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers to store with torch.save and load with weights_only=True."""
        return {"memory": [list(tensors) for tensors in self.memory], "position": self.position, "logits": self.logits}

    @classmethod
    def from_state_dict(cls, stored: dict[str, Any]) -> "State":
        return cls(**stored).clone()


class Engine(ABC):
    """A way of running a model sample by sample."""

    name: str
    precision: str
    receptive_field: int
    sample_rate: int
    """Hz, of the sound that the model was trained on."""
    device: torch.device
    distribution: Distribution

    @abstractmethod
    def start(self, context: Tensor, rows: Tensor | None = None) -> State:
        """Streams that have heard silence and then `context`, (S, n) codes with any n, in one parallel pass.

        rows: (S, n + 1, C), the first for the first sample of the context, or (S, 1, C).
        """

    @abstractmethod
    def step(self, state: State, codes: Tensor, rows: Tensor | None = None) -> None:
        """Hear one more code per stream, (S,), and set the logits of the next, with rows (S, C)."""

    @torch.inference_mode()
    def generate(
        self, state: State, uniforms: Tensor, sampling: Sampling, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Make n codes per stream from uniforms (S, n): codes (S, n), and the bits of each (S, n).

        The bits are those of the model with its conditioning, without temperature or guidance. Raises ConfigError for
        sampling that the distribution does not support.
        """
        self.distribution.check(sampling)
        made, bits = [], []
        for t, uniform in enumerate(uniforms.to(self.device).unbind(dim=1)):
            logits = distributions.guided(state.logits, sampling)
            codes = self.distribution.sample(logits, uniform, sampling)
            made.append(codes)
            bits.append(self.distribution.bits(state.logits[: len(codes)], codes))
            self.step(state, codes.repeat(len(state.logits) // len(codes)), row(rows, t))
        return _columns(made, uniforms, self.distribution.encoding.dtype), _columns(bits, uniforms, torch.float32)

    @torch.inference_mode()
    def score(self, state: State, codes: Tensor, rows: Tensor | None = None) -> Tensor:
        """Hear the given codes (S, n), and return the bits of each under the model: (S, n)."""
        bits = []
        for t, column in enumerate(codes.to(self.device).unbind(dim=1)):
            bits.append(self.distribution.bits(state.logits, column))
            self.step(state, column.long(), row(rows, t))
        return _columns(bits, codes, torch.float32)

    def heard(self, context: Tensor) -> Tensor:
        """The last receptive field that each stream has heard, after silence: (S, n) -> (S, receptive field)."""
        silence = torch.full((len(context), self.receptive_field), self.distribution.encoding.zero, dtype=torch.int64)
        return torch.cat([silence, context.long().cpu()], dim=1)[:, -self.receptive_field :].to(self.device)


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run torch with this many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def row(rows: Tensor | None, t: int) -> Tensor | None:
    """The rows of step t, (S, C)."""
    return None if rows is None else rows[:, min(t, rows.shape[1] - 1)]


def heard_rows(rows: Tensor | None, length: int) -> Tensor | None:
    """Rows (S, n + 1, C) or (S, 1, C) of a context -> those of the last `length` codes heard, after silence."""
    if rows is None:
        return None
    return torch.cat([rows[:, :1].expand(-1, length, -1), rows[:, 1:]], dim=1)[:, -length:]


def projection(model: WaveNet) -> Tensor | None:
    """Every layer's projection of a row of conditioning: (layers * 2 gate, C); None if the model has none."""
    found = [block.condition.weight for block in model.blocks if block.condition is not None]
    return torch.cat(found).detach() if found else None


def compared(engine: Engine, model: WaveNet) -> tuple[Tensor, Tensor]:
    """An engine's logits for a few random codes, heard one by one, and the model's own logits for the same codes.

    `twins.same` compares the two.
    """
    config, context = model.config, model.receptive_field
    length = context + config.kernel_size + 2
    codes = torch.randint(model.distribution.encoding.levels, (2, length))
    rows = torch.randn(2, length, config.condition_channels) if config.conditioned else None
    before = None if rows is None else torch.cat([rows[:, :1], rows[:, :context]], dim=1)
    state = engine.start(codes[:, :context], before)
    found = [state.logits.clone()]
    for t in range(context, length):
        engine.step(state, codes[:, t], row(rows, t))
        found.append(state.logits.clone())
    return torch.stack(found, dim=1), model(codes, rows).float()


def _columns(columns: list[Tensor], like: Tensor, dtype: torch.dtype) -> Tensor:
    if not columns:
        return torch.empty(like.shape, dtype=dtype)
    return torch.stack(columns, dim=1).to("cpu", dtype)
