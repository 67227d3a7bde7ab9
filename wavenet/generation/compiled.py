"""Fast generation by the C++ kernels of wavenet/csrc: the network exported, and run without torch."""

import torch
from torch import Tensor

from wavenet import export, native
from wavenet.distributions import Sampling
from wavenet.errors import ConfigError
from wavenet.generation.engine import Engine, State
from wavenet.generation.splitmix import uniforms
from wavenet.model import WaveNet

MEASURED = (4, 4096)
"""Streams and samples that the model makes for int8's scales to be measured on."""


class CompiledEngine(Engine):
    """Runs on the CPU, any model configuration, float32, bfloat16 or int8. A state's memory is one row of bytes a stream.

    threads: over which several streams are spread; 0 takes torch's number.
    """

    name = "compiled"

    def __init__(
        self,
        model: WaveNet,
        precision: str = "float32",
        instruction_set: str = "auto",
        threads: int = 0,
        sample_rate: int = 16000,
    ) -> None:
        kernels = native.code(instruction_set)
        if kernels is None:
            raise ConfigError(f"engine=compiled cannot be used: {native.missing}")
        heard = None
        if precision == "int8":
            heard = own_sound(CompiledEngine(model, "float32", instruction_set, threads))
        self.exported = export.pack(model, sample_rate, precision, heard)
        self.kernel = kernels.make_engine(self.exported)
        self.precision, self.instruction_set = precision, kernels.name
        self.receptive_field = model.receptive_field
        self.device = torch.device("cpu")
        self.threads = threads or torch.get_num_threads()
        silence = torch.empty(1, self.kernel.state_bytes, dtype=torch.uint8), torch.empty(1, 256)
        self.kernel.start(*(tensor.data_ptr() for tensor in silence))
        self.silence = State([[silence[0]]], 0, silence[1])

    def start(self, context: Tensor) -> State:
        state = self.silence.select([0] * len(context))
        heard = context[:, -self.receptive_field :].to("cpu", torch.uint8).contiguous()
        self._run(state, heard)
        return state

    def step(self, state: State, codes: Tensor) -> None:
        self._run(state, codes.to(torch.uint8).unsqueeze(1).contiguous())

    def generate(self, state: State, uniforms: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
        codes = torch.empty(uniforms.shape, dtype=torch.uint8)
        bits = torch.empty(uniforms.shape)
        self._run(state, codes, uniforms.double().contiguous(), bits, sampling)
        return codes, bits

    def score(self, state: State, codes: Tensor) -> Tensor:
        bits = torch.empty(codes.shape)
        self._run(state, codes.to(torch.uint8).contiguous(), bits=bits)
        return bits

    def _run(
        self,
        state: State,
        codes: Tensor,
        uniforms: Tensor | None = None,
        bits: Tensor | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        (memory,) = state.memory[0]
        assert memory.is_contiguous() and memory.shape[1] == self.kernel.state_bytes
        sampling = sampling or Sampling()
        arrays = [0 if tensor is None else tensor.data_ptr() for tensor in (memory, state.logits, codes, uniforms, bits)]
        how = (sampling.temperature, sampling.top_k, sampling.top_p)
        self.kernel.run(*codes.shape, *arrays, 0, 0, how, self.threads)
        state.position += codes.shape[1]


def own_sound(engine: Engine) -> Tensor:
    """Codes that the model makes by itself after silence, with the silence in front: (streams, samples)."""
    streams, samples = MEASURED
    state = engine.start(torch.empty(streams, 0, dtype=torch.uint8))
    codes, _ = engine.generate(state, uniforms(list(range(streams)), 0, samples), Sampling())
    silence = torch.full((streams, engine.receptive_field), 128, dtype=torch.int64)
    return torch.cat([silence, codes.long()], dim=1)
