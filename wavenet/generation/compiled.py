"""Fast generation with the C++ kernels of wavenet/csrc, which run an exported network without torch."""

import torch
from torch import Tensor

from wavenet.generation.engine import Engine, State
from wavenet.generation.player import Player
from wavenet.model.distributions import Sampling, make_distribution


class CompiledEngine(Player, Engine):
    """Runs an exported network on the CPU. A state's memory is one row of bytes per stream.

    condition: every layer's projection of a row, (layers * 2 gate, C), for a conditioned network. An exported file with
    labels holds such projections itself: its rows are the weights of the label values. Projections are rounded as the
    weights are; in int8, each row is too, by its own largest number.
    threads: how many threads share the streams. If it is 2 or more, a single stream runs on two threads while that is
    measured to be faster, which it is by a third on some machines with a free core. 0 spreads several streams over
    torch's number of threads and runs a single one on one. Raises ConfigError if there are no kernels or this machine
    does not run the instruction set, and CheckpointError if the bytes are damaged.
    """

    def __init__(
        self, exported: bytes, instruction_set: str = "auto", threads: int = 0, condition: Tensor | None = None
    ) -> None:
        given = None if condition is None else condition.detach().float().cpu().contiguous()
        told = (0, 0, 0) if given is None else (given.data_ptr(), len(given), given.shape[1])
        super().__init__(exported, instruction_set, threads, told)
        self.device, self.distribution = torch.device("cpu"), make_distribution(self.kernel.mixtures)
        self._silence = self._silent(None)

    def _silent(self, rows: Tensor | None) -> State:
        memory = torch.empty(1 if rows is None else len(rows), self.kernel.state_bytes, dtype=torch.uint8)
        logits = torch.empty(len(memory), self.distribution.outputs)
        first = None if rows is None else self._told(rows[:, 0])
        for s in range(len(memory)):
            row = 0 if first is None else first[s].data_ptr()
            self.kernel.start(memory[s].data_ptr(), logits[s].data_ptr(), row)
        return State([[memory]], 0, logits)

    def _told(self, rows: Tensor) -> Tensor:
        """Rows as the kernel reads them."""
        if rows.shape[-1] != self.kernel.condition_channels:
            raise ValueError(
                f"rows of {rows.shape[-1]} channels do not go with a network of {self.kernel.condition_channels}"
            )
        return rows.to("cpu", torch.float32).contiguous()

    @torch.inference_mode()
    def start(self, context: Tensor, rows: Tensor | None = None) -> State:
        state = self._silence.select([0] * len(context)) if rows is None else self._silent(rows)
        context = context[:, -self.receptive_field :]
        if rows is not None and rows.shape[1] > 1:
            rows = rows[:, rows.shape[1] - context.shape[1] :]
        self._run(state, context, rows)
        return state

    @torch.inference_mode()
    def step(self, state: State, codes: Tensor, rows: Tensor | None = None) -> None:
        self._run(state, codes.unsqueeze(1), None if rows is None else rows.unsqueeze(1))

    @torch.inference_mode()
    def generate(
        self, state: State, uniforms: Tensor, sampling: Sampling, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        self.distribution.check(sampling)
        codes, bits = torch.empty(uniforms.shape, dtype=torch.uint16), torch.empty(uniforms.shape)
        self._run(state, codes, rows, uniforms.double().contiguous(), bits, sampling)
        return codes.to(self.distribution.encoding.dtype), bits

    @torch.inference_mode()
    def score(self, state: State, codes: Tensor, rows: Tensor | None = None) -> Tensor:
        bits = torch.empty(codes.shape)
        self._run(state, codes, rows, bits=bits)
        return bits

    def _run(
        self,
        state: State,
        codes: Tensor,
        rows: Tensor | None = None,
        uniforms: Tensor | None = None,
        bits: Tensor | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        """Feed codes (S, n) to the network, or fill them in if `uniforms` are given."""
        levels = self.distribution.encoding.levels
        if uniforms is None and codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < levels:
            raise ValueError(f"codes {int(codes.min())}..{int(codes.max())} are not within 0..{levels - 1}")
        codes = codes.to("cpu", torch.uint16).contiguous()
        sampling = sampling or Sampling()
        guided = len(codes) if uniforms is not None and sampling.guidance != 1 else 0
        streams = len(codes) + guided
        ((memory,),) = state.memory
        if memory.shape != (streams, self.kernel.state_bytes):
            raise ValueError(f"a state of {tuple(memory.shape)} is not one of {streams} streams of this engine")
        told = 0
        if rows is not None:
            if not (len(rows) == streams and rows.shape[1] in (1, codes.shape[1])):
                raise ValueError(
                    f"rows of {tuple(rows.shape)} do not go with {streams} streams of {codes.shape[1]} codes"
                )
            rows, told = self._told(rows), rows.shape[1]
        arrays = (memory, state.logits, codes, uniforms, bits, rows)
        addresses = [0 if array is None else array.data_ptr() for array in arrays]
        how = (sampling.temperature, sampling.top_k, sampling.top_p, sampling.guidance)
        threads = self.threads or (torch.get_num_threads() if streams > 1 else 1)
        self.kernel.run(streams, codes.shape[1], *addresses, told, guided, how, threads)
        state.position += codes.shape[1]
