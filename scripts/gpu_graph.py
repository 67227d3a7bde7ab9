"""Cached generation as a CUDA graph, an experiment of gpu_check: rings in one tensor, addressed by index tensors."""

from collections.abc import Callable

import torch
from torch import Tensor

from wavenet.generation import CachedEngine, State
from wavenet.model.distributions import Sampling


def captured(job: Callable[[], None]) -> Callable[[], None]:
    """A CUDA graph of what `job` launches, captured after three warm-up calls."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            job()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        job()
    return graph.replay


class GraphedSteps:
    """Continues a state of `engine`, `block` samples at a time, without conditioning, and makes the same codes.

    All layers' rings lie end to end in one tensor, (slots, S, C). What a step reads of the past is known before it
    begins, so one gather and one batched product serve all layers, and one scatter at the end writes all their inputs.
    In between, each layer computes its product with the present, its gate and its residual.
    """

    @torch.inference_mode()
    def __init__(self, engine: CachedEngine, state: State, block: int, compile: bool, graph: bool) -> None:
        if engine.condition is not None or len(state.memory[0]) or not all(layer[4] for layer in engine.layers):
            raise ValueError("conditioning, an initial filter of several taps and kernels of size 1 are not supported")
        device, channels = engine.device, engine.layers[0][0].shape[1] // 2
        pasts = [past for *_, past in engine.layers]
        self.engine, self.block, self.gate = engine, block, channels
        self.pasts = torch.tensor(pasts, device=device)
        self.offsets = self.pasts.cumsum(0) - self.pasts
        self.slots = torch.tensor([slots for _, _, _, slots, _ in engine.layers], device=device)
        width = engine.model.config.residual_channels
        self.old = torch.stack([weight[:-width] for weight, *_ in engine.layers])
        self.bias = torch.stack([bias for _, bias, *_ in engine.layers]).unsqueeze(1)
        self.new = [weight[-width:].contiguous() for weight, *_ in engine.layers]
        self.rings = torch.stack([entry for ring in state.memory[1:] for entry in ring])
        self.now = torch.tensor(state.position, device=device)
        self.logits = state.logits.clone()
        streams = len(self.logits)
        self.noise = torch.zeros(streams, block, dtype=torch.float64, device=device)
        self.codes = torch.zeros(streams, block, dtype=torch.int64, device=device)
        self._step = torch.compile(self.step, dynamic=False) if compile else self.step
        self._run = self._steps
        if graph:
            kept = [self.rings.clone(), self.now.clone(), self.logits.clone()]
            self._run = captured(self._steps)
            for tensor, before in zip((self.rings, self.now, self.logits), kept, strict=True):
                tensor.copy_(before)  # undo the warm-up calls

    def step(self, codes: Tensor, now: Tensor, rings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (S,) -> the next logits, what the rings take, (L, S, C), and where, (L,)."""
        pasts, offsets = self.pasts[:, None], self.offsets[:, None]
        heard = rings[offsets + (now + self.slots) % pasts]  # (L, K - 1, S, C)
        before = torch.baddbmm(self.bias, heard.transpose(1, 2).flatten(2), self.old)
        x, inputs, gated = self.engine.model.initial(codes[:, None]).squeeze(1), [], []
        for h, weight, (_, _, back, _, _) in zip(before.unbind(), self.new, self.engine.layers, strict=True):
            inputs.append(x)
            h = torch.addmm(h, x, weight)
            z = torch.tanh(h[:, : self.gate]) * torch.sigmoid(h[:, self.gate :])
            gated.append(z)
            if back is not None:
                x = torch.addmm(x, z, back)
        logits = self.engine.model.head(torch.cat(gated, dim=1)).float()
        return logits, torch.stack(inputs), self.offsets + now % self.pasts

    def _steps(self) -> None:
        logits = self.logits
        for t in range(self.block):
            codes = self.engine.distribution.sample(logits, self.noise[:, t], Sampling())
            self.codes[:, t] = codes
            logits, inputs, places = self._step(codes, self.now, self.rings)
            self.rings.index_copy_(0, places, inputs)
            self.now += 1
        self.logits.copy_(logits)

    @torch.inference_mode()
    def generate(self, noise: Tensor) -> Tensor:
        """Uniforms (S, n), n a multiple of the block -> codes (S, n), on the CPU."""
        made = []
        for part in noise.split(self.block, dim=1):
            self.noise.copy_(part)
            self._run()
            made.append(self.codes.to("cpu", copy=True))
        return torch.cat(made, dim=1)
