"""What every engine promises: the same codes for the same model, context and uniform numbers.

An engine holds weights and no state. Streams live in a `State`, which can be copied, cut down to some of its streams,
stored and taken up again. Letters: S streams, n samples.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wavenet import distributions
from wavenet.distributions import Sampling
from wavenet.mulaw import ZERO


@dataclass
class State:
    """Streams in the middle of generation: whatever the engine remembers, and the logits of each stream's next code."""

    memory: list[list[Tensor]]
    """Tensors with streams first; their meaning is the engine's own."""
    position: int
    """Codes heard since the start."""
    logits: Tensor
    """(S, 256)"""

    def select(self, streams: list[int]) -> "State":
        """A copy with these streams alone, in this order: to stop some early, or to follow one twice."""
        memory = [[tensor[streams] for tensor in tensors] for tensors in self.memory]
        return State(memory, self.position, self.logits[streams])

    def clone(self) -> "State":
        """A copy that goes its own way."""
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

    @abstractmethod
    def start(self, context: Tensor) -> State:
        """Streams that have heard `context`, (S, n) codes of any n, in one parallel pass; before it, silence."""

    @abstractmethod
    def step(self, state: State, codes: Tensor) -> None:
        """Hear one more code per stream, (S,), and set the logits of the next."""

    @torch.inference_mode()
    def generate(self, state: State, uniforms: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
        """Make n codes per stream from uniforms (S, n): codes (S, n) uint8, and the bits of each (S, n)."""
        made, bits = [], []
        for uniform in uniforms.to(self.device).unbind(dim=1):
            codes = distributions.sample(state.logits, uniform, sampling)
            made.append(codes)
            bits.append(distributions.bits(state.logits, codes))
            self.step(state, codes)
        return _columns(made, uniforms, torch.uint8), _columns(bits, uniforms, torch.float32)

    @torch.inference_mode()
    def score(self, state: State, codes: Tensor) -> Tensor:
        """Hear codes (S, n) that are given, and return the bits of each under the model: (S, n)."""
        bits = []
        for column in codes.to(self.device).unbind(dim=1):
            bits.append(distributions.bits(state.logits, column))
            self.step(state, column.long())
        return _columns(bits, codes, torch.float32)

    def heard(self, context: Tensor) -> Tensor:
        """The last receptive field of what a stream has heard, silence in front: (S, n) -> (S, receptive field)."""
        silence = torch.full((len(context), self.receptive_field), ZERO, dtype=torch.int64)
        return torch.cat([silence, context.long().cpu()], dim=1)[:, -self.receptive_field :].to(self.device)


def _columns(columns: list[Tensor], like: Tensor, dtype: torch.dtype) -> Tensor:
    if not columns:
        return torch.empty(like.shape, dtype=dtype)
    return torch.stack(columns, dim=1).to("cpu", dtype)
