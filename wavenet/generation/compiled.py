"""Fast generation by the C++ kernels of wavenet/csrc: an exported network, run without torch."""

import torch
from torch import Tensor

from wavenet import export, native
from wavenet.distributions import Sampling
from wavenet.errors import CheckpointError
from wavenet.generation.engine import Engine, State
from wavenet.generation.splitmix import uniforms
from wavenet.model import WaveNet
from wavenet.mulaw import LEVELS, ZERO

MEASURED_STREAMS, MEASURED_SAMPLES = 4, 4096
"""How much the model makes by itself for int8's scales to be measured on."""


class CompiledEngine(Engine):
    """Runs an exported network on the CPU. A state's memory is one row of bytes per stream.

    threads: over which streams are spread. A single stream runs on two if 2 or more are asked for: a third faster, but
    both wait by spinning, so the second core must be free. 0 spreads streams over torch's number of threads and runs a
    single one on one. Raises ConfigError where there are no kernels or the instruction set is not one that runs here,
    CheckpointError for bytes that are damaged.
    """

    name = "compiled"

    def __init__(self, exported: bytes, instruction_set: str = "auto", threads: int = 0) -> None:
        native.check()
        kernels = native.code(instruction_set)
        try:
            self.kernel = kernels.make_engine(exported)
        except ValueError as error:
            raise CheckpointError(str(error)) from error
        self.exported, self.instruction_set = exported, kernels.name
        self.precision = export.PRECISIONS[self.kernel.precision]
        self.receptive_field, self.sample_rate = self.kernel.receptive_field, self.kernel.sample_rate
        self.device = torch.device("cpu")
        self.threads = threads
        memory, logits = torch.empty(1, self.kernel.state_bytes, dtype=torch.uint8), torch.empty(1, LEVELS)
        self.kernel.start(memory.data_ptr(), logits.data_ptr())
        self._silence = State([[memory]], 0, logits)

    def start(self, context: Tensor) -> State:
        state = self._silence.select([0] * len(context))
        self._run(state, context[:, -self.receptive_field :])
        return state

    def step(self, state: State, codes: Tensor) -> None:
        self._run(state, codes.unsqueeze(1))

    def generate(self, state: State, uniforms: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
        codes, bits = torch.empty(uniforms.shape, dtype=torch.uint8), torch.empty(uniforms.shape)
        self._run(state, codes, uniforms.double().contiguous(), bits, sampling)
        return codes, bits

    def score(self, state: State, codes: Tensor) -> Tensor:
        bits = torch.empty(codes.shape)
        self._run(state, codes, bits=bits)
        return bits

    def _run(
        self,
        state: State,
        codes: Tensor,
        uniforms: Tensor | None = None,
        bits: Tensor | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        """Hears codes (S, n), or writes them where there are uniforms."""
        codes = codes.to("cpu", torch.uint8).contiguous()
        ((memory,),) = state.memory
        if memory.shape != (len(codes), self.kernel.state_bytes):
            raise ValueError(f"a state of {tuple(memory.shape)} is not one of {len(codes)} streams of this engine")
        arrays = [0 if array is None else array.data_ptr() for array in (memory, state.logits, codes, uniforms, bits)]
        sampling = sampling or Sampling()
        how = (sampling.temperature, sampling.top_k, sampling.top_p)
        threads = self.threads or (torch.get_num_threads() if len(codes) > 1 else 1)
        self.kernel.run(*codes.shape, *arrays, 0, 0, how, threads)
        state.position += codes.shape[1]


def exported(model: WaveNet, sample_rate: int, precision: str) -> bytes:
    """The model as the kernels load it; int8's scales are measured on sound that it makes by itself after silence."""
    if precision != "int8":
        return export.pack(model, sample_rate, precision)
    engine = CompiledEngine(export.pack(model, sample_rate, "float32"))
    state = engine.start(torch.empty(MEASURED_STREAMS, 0))
    seeds = list(range(MEASURED_STREAMS))
    codes, _ = engine.generate(state, uniforms(seeds, 0, MEASURED_SAMPLES), Sampling())
    silence = torch.full((MEASURED_STREAMS, engine.receptive_field), ZERO)
    return export.pack(model, sample_rate, precision, torch.cat([silence, codes], dim=1).long())
