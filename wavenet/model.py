"""WaveNet: causal dilated gated residual blocks over mu-law codes (van den Oord et al. 2016, arXiv:1609.03499).

    e_t     = sum_k E_k[c_{t-k}]                         initial filter, 1 tap unless asked for
    h_l     = sum_k W_l[k] x_l[t - k d_l] + b_l          dilated convolution, filter and gate halves
    z_l     = tanh(filter half) * sigmoid(gate half)
    x_{l+1} = x_l + R_l z_l + r_l                        not computed for the last layer: no dead weights
    logits  = A2 relu(A1 relu(sum_l S_l z_l + s) + a1) + a2

Every tensor is channels-last, (batch B, time T, channels C), so a dilated convolution is one matrix product over its
concatenated taps, and the skip sum is one product over all gated outputs. No layer pads: it returns as many time steps
fewer than it was given as it needs for context, and whoever calls the model supplies the context.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet import stack
from wavenet.config import MULAW_LEVELS, ModelConfig


class CausalConv1d(nn.Module):
    """Dilated convolution that sees the present and the past alone, as one matrix product.

    `weight` is (out, kernel_size * in): the oldest tap's columns first. `forward` takes (B, T, in) and returns
    (B, T - context, out), its last step aligned with the input's last; `context` = (kernel_size - 1) * dilation.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        linear = nn.Linear(kernel_size * in_channels, out_channels, bias=bias)
        self.weight, self.bias = linear.weight, linear.bias

    @property
    def context(self) -> int:
        """Samples of the past that the present output depends on."""
        return (self.kernel_size - 1) * self.dilation

    def taps(self, x: Tensor) -> Tensor:
        """(B, T, in) -> (B, T - context, kernel_size * in): what each output is a linear function of."""
        steps = x.shape[1] - self.context
        return torch.cat([x[:, k * self.dilation :][:, :steps] for k in range(self.kernel_size)], dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.taps(x), self.weight, self.bias)


class CausalEmbedding(nn.Module):
    """Initial causal filter over one-hot codes: a table per tap, oldest first. (B, T) -> (B, T - taps + 1, C)."""

    def __init__(self, channels: int, taps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(_cosines(channels, decay=0.5).expand(taps, -1, -1) / taps**0.5)

    @property
    def context(self) -> int:
        """Samples of the past that the present output depends on."""
        return len(self.weight) - 1

    def forward(self, codes: Tensor) -> Tensor:
        steps = codes.shape[1] - len(self.weight) + 1
        taps = [F.embedding(codes[:, k:][:, :steps], table) for k, table in enumerate(self.weight.unbind())]
        return taps[0] if len(taps) == 1 else torch.stack(taps).sum(dim=0)


class CausalScalar(CausalConv1d):
    """Initial causal filter over companded amplitudes, codes mapped to [-1, 1]. (B, T) -> (B, T - taps + 1, C)."""

    def __init__(self, channels: int, taps: int, bias: bool) -> None:
        super().__init__(1, channels, taps, bias=bias)

    def forward(self, codes: Tensor) -> Tensor:
        half = (MULAW_LEVELS - 1) / 2
        return super().forward(codes.unsqueeze(-1).to(self.weight.dtype).sub(half).div(half))


class ResidualBlock(nn.Module):
    """One gated layer. (B, T, residual) -> (B, T - context, residual) for the next layer, and z (B, T - context, gate).

    The last layer has no residual projection; it returns its input's tail unchanged.
    """

    def __init__(self, config: ModelConfig, dilation: int, last: bool) -> None:
        super().__init__()
        self.conv = CausalConv1d(
            config.residual_channels, 2 * config.gate_channels, config.kernel_size, dilation, config.bias
        )
        self.residual = None if last else nn.Linear(config.gate_channels, config.residual_channels, config.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        filter_half, gate_half = self.conv(x).chunk(2, dim=-1)
        z = torch.tanh(filter_half) * torch.sigmoid(gate_half)
        x = x[:, self.conv.context :]
        return (x if self.residual is None else x + self.residual(z)), z


class WaveNet(nn.Module):
    """The network of the module's docstring; `config` names every width."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        dilations = config.layer_dilations
        if config.input == "embedding":
            self.initial = CausalEmbedding(config.residual_channels, config.initial_filter)
        else:
            self.initial = CausalScalar(config.residual_channels, config.initial_filter, config.bias)
        last = len(dilations) - 1
        blocks = [ResidualBlock(config, dilation, last=i == last) for i, dilation in enumerate(dilations)]
        self.blocks: Sequence[ResidualBlock] = nn.ModuleList(blocks)  # type: ignore[assignment] (told by what it holds)
        self.skip = nn.Linear(len(dilations) * config.gate_channels, config.skip_channels, config.bias)
        self.hidden = nn.Linear(config.skip_channels, config.head_channels, config.bias)
        self.output = nn.Linear(config.head_channels, MULAW_LEVELS, config.bias)
        with torch.no_grad():  # at the scale of torch's own initial weights
            smooth = _cosines(MULAW_LEVELS - 1, decay=1.0) @ torch.randn(MULAW_LEVELS - 1, config.head_channels)
            self.output.weight.copy_(smooth * self.output.weight.std() / smooth.std())

    @property
    def receptive_field(self) -> int:
        """Samples that one prediction depends on, summed over the layers."""
        return 1 + self.initial.context + sum(block.conv.context for block in self.blocks)

    def forward(self, codes: Tensor) -> Tensor:
        """Logits of the code that follows each fully seen position.

        codes: (B, T) whole numbers 0..255, T at least the receptive field.
        Returns (B, T - receptive_field + 1, 256): entry i predicts the code after position i + receptive_field - 1.
        Raises ValueError where T is too short.
        """
        if codes.shape[1] < self.receptive_field:
            raise ValueError(f"{codes.shape[1]} codes are fewer than the receptive field of {self.receptive_field}")
        steps = codes.shape[1] - self.receptive_field + 1
        x = self.initial(codes)
        run = stack.run if stack.supports(x) else self.plain_stack
        return self.head(run(self.blocks, x, steps))

    @staticmethod
    def plain_stack(blocks: Sequence[ResidualBlock], x: Tensor, steps: int) -> Tensor:
        """Every layer's z of the last `steps` steps side by side: x (B, T, residual) -> (B, steps, layers * gate)."""
        gated = []
        for block in blocks:
            x, z = block(x)
            gated.append(z[:, -steps:])
        return torch.cat(gated, dim=-1)

    def head(self, gated: Tensor) -> Tensor:
        """Every layer's z side by side, (..., layers * gate) -> logits (..., 256)."""
        return self.output(F.relu(self.hidden(F.relu(self.skip(gated)))))


def _cosines(channels: int, decay: float) -> Tensor:
    """Cosines of rising frequency over the codes, (256, channels), mean square 1: codes near in amplitude begin alike.

    A network that starts so need not find out that code 130 lies beside 131.
    """
    frequency = 1 + torch.arange(channels, dtype=torch.float64) % (MULAW_LEVELS - 1)
    phase = (torch.arange(MULAW_LEVELS, dtype=torch.float64) + 0.5) * math.pi / MULAW_LEVELS
    waves = torch.cos(phase[:, None] * frequency) * (1 + frequency / 4) ** -decay
    return (waves / waves.square().mean().sqrt()).float()
