"""Fast generation in torch: each layer remembers its past inputs, so a sample costs one step per layer.

This is Fast WaveNet (Paine et al. 2016, arXiv:1611.09482). A layer with K taps and dilation d remembers a ring of its
last context = (K - 1) d inputs. At time t, slot t % context holds the oldest input, x[t - context], and then x[t]; tap
k is in slot (t + k d) % context. A ring is a list of small tensors, so that writing to it moves no data and a step
costs only a few calls into torch.

    h = W [x[t - (K - 1) d] ... x[t - d] x[t]] + V y + b,   z = tanh(h filter) sigmoid(h gate),   x' = x + R z

The residual biases r are moved into the b of the layers above, b + W (r_1 + ... + r_l, once per tap), so that the
residual update is a single product.

Those are the equations of `model`. If `twins` finds that the model's blocks compute something else, each block itself
runs on its taps instead. That is slower, and correct as long as a block depends on nothing but its taps.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.errors import ConfigError
from wavenet.generation.engine import Engine, State, compared, heard_rows, projection
from wavenet.model import twins
from wavenet.model.wavenet import WaveNet


class CachedEngine(Engine):
    """Runs on any device, any model configuration, any number of streams at once.

    blockwise: whether the model's own blocks run; by default, only if they compute something other than the equations
    above. Raises ConfigError if even that does not give the model's results.
    """

    name = "cached"

    @torch.inference_mode()
    def __init__(
        self,
        model: WaveNet,
        dtype: torch.dtype = torch.float32,
        sample_rate: int = 16000,
        blockwise: bool | None = None,
    ) -> None:
        self.blockwise = _finds_blockwise(model) if blockwise is None else blockwise
        self.model = copy.deepcopy(model).eval().to(dtype)
        self.precision = str(dtype).removeprefix("torch.")
        self.receptive_field, self.sample_rate = model.receptive_field, sample_rate
        self.device, self.distribution = next(model.parameters()).device, model.distribution
        self.layers, self.moved = [], []
        moved = torch.zeros(model.config.residual_channels, device=self.device, dtype=dtype)
        for block in self.model.blocks:
            conv, kernel_size = block.conv, block.conv.kernel_size
            bias = conv.weight @ moved.repeat(kernel_size) + (0 if conv.bias is None else conv.bias)
            slots = [k * conv.dilation for k in range(kernel_size - 1)]
            back = None if block.residual is None else block.residual.weight.t().contiguous()
            self.layers.append((conv.weight.t().contiguous(), bias, back, slots, conv.context))
            self.moved.append(moved)
            if block.residual is not None and block.residual.bias is not None and not self.blockwise:
                moved = moved + block.residual.bias
        self.blocks: list[nn.Module | None] = [None] * len(self.layers)
        if self.blockwise:
            self.blocks = list(copy.deepcopy(self.model.blocks))
            for block in self.blocks:
                block.conv.dilation = 1  # type: ignore[union-attr] (they are ResidualBlocks, which hear their taps alone)
        self.gate = model.config.gate_channels
        projected = projection(self.model)
        self.condition = None if projected is None else projected.t().contiguous()

    @torch.inference_mode()
    def start(self, context: Tensor, rows: Tensor | None = None) -> State:
        codes, rows = self.heard(context), heard_rows(rows, self.receptive_field)
        rows = None if rows is None else rows.to(self.device, self.model.skip.weight.dtype)
        x, inputs = self.model.initial(codes), []
        for block, moved in zip(self.model.blocks, self.moved, strict=True):
            inputs.append((x - moved, block.conv.context))
            x, _ = block(x, rows)
        # all but the newest input of each layer, which the step below adds
        memory = [list(codes[:, -1 - self.model.initial.context : -1].unbind(1))]
        memory += [list(values[:, -1 - past : -1].unbind(1)) for values, past in inputs]
        state = State(memory, 0, torch.empty(0))
        self.step(state, codes[:, -1], None if rows is None else rows[:, -1])
        return state

    @torch.inference_mode()
    def step(self, state: State, codes: Tensor, rows: Tensor | None = None) -> None:
        added: Sequence[Tensor | None] = [None] * len(self.layers)
        told = None if rows is None else rows.to(self.model.skip.weight).unsqueeze(1)
        if rows is not None and self.condition is not None and not self.blockwise:
            added = (rows.to(self.condition) @ self.condition).split(2 * self.gate, dim=1)
        now, (heard, *rings) = state.position, state.memory
        heard = [*heard, codes.long()]
        x = self.model.initial(torch.stack(heard, dim=1)).squeeze(1)
        state.memory[0] = heard[1:]
        gated = []
        for block, layer, ring, more in zip(self.blocks, self.layers, rings, added, strict=True):
            weight, bias, back, slots, past = layer
            heard = [*[ring[(now + slot) % past] for slot in slots], x] if past else [x]
            if past:
                ring[now % past] = x
            if block is not None:
                x, z = (made[:, -1] for made in block(torch.stack(heard, dim=1), told))
                gated.append(z)
                continue
            taps = torch.cat(heard, dim=1) if past else x
            h = torch.addmm(bias, taps, weight)
            if more is not None:
                h += more
            h[:, : self.gate].tanh_()
            z = F.glu(h)
            gated.append(z)
            if back is not None:
                x = torch.addmm(x, z, back)
        state.logits = self.model.head(torch.cat(gated, dim=1)).float()
        state.position = now + 1


def _finds_blockwise(model: WaveNet) -> bool:
    for blockwise in (False, True):
        name = "cached, blockwise" if blockwise else "cached"
        if twins.same(model, name, lambda small, how=blockwise: compared(CachedEngine(small, blockwise=how), small)):
            return blockwise
    raise ConfigError("engine=cached cannot run this model, whose layers use more than their taps: use engine=naive")
