"""The layers of the network: causal dilated convolution, initial filters and the gated residual block.

Every tensor is channels-last, (batch B, time T, channels C), so a dilated convolution is one matrix product over its
concatenated taps. No layer pads: its output is shorter than its input by the time steps that it needs as context.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.audio.encodings import MULAW, Encoding
from wavenet.config import MULAW_LEVELS


class CausalConv1d(nn.Module):
    """Dilated convolution over the present and the past only, as one matrix product.

    `weight` is (out, kernel_size * in), with the oldest tap's columns first. `forward` takes (B, T, in) and returns
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
        """(B, T, in) -> (B, T - context, kernel_size * in): the inputs of each output, side by side."""
        steps = x.shape[1] - self.context
        return torch.cat([x[:, k * self.dilation :][:, :steps] for k in range(self.kernel_size)], dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.taps(x), self.weight, self.bias)


class CausalEmbedding(nn.Module):
    """Initial causal filter over one-hot codes: a table per tap, oldest first. (B, T) -> (B, T - taps + 1, C).

    A 16-bit code's vector is interpolated between those of its two mu-law neighbours on the companded axis.
    """

    def __init__(self, channels: int, taps: int, bias: bool, encoding: Encoding) -> None:
        super().__init__()
        self.encoding = encoding
        self.weight = nn.Parameter(cosines(channels, decay=0.5).expand(taps, -1, -1) / taps**0.5)

    @property
    def context(self) -> int:
        """Samples of the past that the present output depends on."""
        return len(self.weight) - 1

    def forward(self, codes: Tensor) -> Tensor:
        steps = codes.shape[1] - len(self.weight) + 1
        taps = [self._vectors(codes[:, k:][:, :steps], table) for k, table in enumerate(self.weight.unbind())]
        return taps[0] if len(taps) == 1 else torch.stack(taps).sum(dim=0)

    def _vectors(self, codes: Tensor, table: Tensor) -> Tensor:
        if self.encoding is MULAW:
            return F.embedding(codes, table)
        place = (self.encoding.companded(codes) + 1) / 2 * (MULAW_LEVELS - 1)
        below = place.floor().clamp(max=MULAW_LEVELS - 2)
        low, high = (F.embedding(below.long() + i, table) for i in (0, 1))
        return torch.lerp(low, high, (place - below).to(table).unsqueeze(-1))


class CausalScalar(CausalConv1d):
    """Initial causal filter over companded amplitudes in [-1, 1]. (B, T) codes -> (B, T - taps + 1, C)."""

    def __init__(self, channels: int, taps: int, bias: bool, encoding: Encoding) -> None:
        super().__init__(1, channels, taps, bias=bias)
        self.encoding = encoding

    def forward(self, codes: Tensor) -> Tensor:
        x = self.taps(self.encoding.companded(codes).unsqueeze(-1))
        return full_linear(x, self.weight, self.bias).to(self.weight.dtype)


class ResidualBlock(nn.Module):
    """One gated layer. (B, T, residual) -> (B, T - context, residual) for the next layer, and z (B, T - context, gate).

    The last layer has no residual projection; it returns its input's tail unchanged. A conditioned layer projects rows
    (B, at least T - context, condition), which end with the input's last step, and adds them before the gate.
    """

    def __init__(
        self,
        residual_channels: int,
        gate_channels: int,
        kernel_size: int,
        dilation: int,
        last: bool,
        bias: bool = True,
        condition_channels: int = 0,
    ) -> None:
        super().__init__()
        self.conv = CausalConv1d(residual_channels, 2 * gate_channels, kernel_size, dilation, bias)
        self.residual = None if last else nn.Linear(gate_channels, residual_channels, bias)
        self.condition = nn.Linear(condition_channels, 2 * gate_channels, bias=False) if condition_channels else None

    def forward(self, x: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h = self.conv(x)
        if self.condition is not None and rows is not None:
            h = h + self.condition(rows[:, -h.shape[1] :])
        z = self.gate(h)
        x = x[:, self.conv.context :]
        return (x if self.residual is None else x + self.residual(z)), z

    def gate(self, h: Tensor) -> Tensor:
        """z (..., gate) of the filter and gate halves of h, (..., 2 gate)."""
        filter_half, gate_half = h.chunk(2, dim=-1)
        return torch.tanh(filter_half) * torch.sigmoid(gate_half)


def full_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b in float32 or better: bfloat16 would round 16-bit values to 8 bits."""
    kind = torch.promote_types(weight.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        return F.linear(x.to(kind), weight.to(kind), None if bias is None else bias.to(kind))


def cosines(channels: int, decay: float) -> Tensor:
    """Cosines of rising frequency over the codes, (256, channels), with mean square 1: similar amplitudes start alike.

    A network that starts this way need not learn that code 130 lies beside 131.
    """
    frequency = 1 + torch.arange(channels, dtype=torch.float64) % (MULAW_LEVELS - 1)
    phase = (torch.arange(MULAW_LEVELS, dtype=torch.float64) + 0.5) * math.pi / MULAW_LEVELS
    waves = torch.cos(phase[:, None] * frequency) * (1 + frequency / 4) ** -decay
    return (waves / waves.square().mean().sqrt()).float()
