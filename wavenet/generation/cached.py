"""Fast generation in torch: each layer remembers its past inputs, so a sample costs one step per layer.

Fast WaveNet (Paine et al. 2016, arXiv:1611.09482). A layer's memory is a buffer of its context and a little more; new
inputs are appended, and every `CHUNK` samples the context is moved back to the front:

    | context: (kernel_size - 1) * dilation | inputs heard since ->      |
      ^ tap 0           ^ tap 1               ^ tap 2, the newest
"""

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from wavenet.generation.engine import Engine, State
from wavenet.model import WaveNet

CHUNK = 512
"""Samples between two moves of the context; a move then costs next to nothing a sample."""


class CachedEngine(Engine):
    """Runs on any device, any model configuration, any number of streams at once."""

    name = "cached"

    def __init__(self, model: WaveNet, dtype: torch.dtype = torch.float32) -> None:
        self.model = copy.deepcopy(model).eval().to(dtype)
        self.precision = str(dtype).removeprefix("torch.")
        self.receptive_field = model.receptive_field
        self.device = next(model.parameters()).device
        self.contexts = [model.initial.context, *(block.conv.context for block in model.blocks)]

    @torch.inference_mode()
    def start(self, context: Tensor) -> State:
        codes = self.heard(context)
        x, inputs = self.model.initial(codes), [codes]
        for block in self.model.blocks:
            inputs.append(x)
            x, _ = block(x)
        memory = []
        for values, past in zip(inputs, self.contexts, strict=True):
            newest = values.shape[1] - 1  # left to the step below, which appends it
            room = values.new_zeros(len(codes), CHUNK, *values.shape[2:])
            memory.append(torch.cat([values[:, newest - past : newest], room], dim=1))
        state = State(memory, 0, torch.empty(0))
        self.step(state, codes[:, -1])
        return state

    @torch.inference_mode()
    def step(self, state: State, codes: Tensor) -> None:
        if state.position == CHUNK:
            for buffer, past in zip(state.memory, self.contexts, strict=True):
                buffer[:, :past] = buffer[:, CHUNK : CHUNK + past].clone()
            state.position = 0
        now = state.position
        heard, *buffers = state.memory
        heard[:, self.contexts[0] + now] = codes
        x = self.model.initial(heard[:, now : self.contexts[0] + now + 1])[:, 0]
        gated = []
        for block, buffer, past in zip(self.model.blocks, buffers, self.contexts[1:], strict=True):
            buffer[:, past + now] = x
            taps = buffer[:, now : past + now + 1 : block.conv.dilation].flatten(1)
            filter_half, gate_half = F.linear(taps, block.conv.weight, block.conv.bias).chunk(2, dim=1)
            z = filter_half.tanh_().mul_(gate_half.sigmoid_())
            gated.append(z)
            if block.residual is not None:
                x = F.linear(z, block.residual.weight, block.residual.bias).add_(x)
        state.logits = self.model.head(torch.cat(gated, dim=1)).float()
        state.position = now + 1
