"""The residual stack and skip sum of `model` on a CPU, with one pass over memory between two matrix products.

Autograd reads all activations again for each of a layer's dozen small operations. Here the compiled passes of
csrc/training.h do everything between two matrix products at once, and the gradient is written out below. Tests check
that the results equal those of `WaveNet.plain_stack`.

Conditioning rows lie beside the taps, [x taps, y] [W V]^T, so that they cost no product of their own. The skip sum is
one product over all z; its gradient is computed layer by layer, while the data is still in the processor's cache.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from wavenet.model import native


def supports(x: Tensor) -> bool:
    """Whether there are compiled passes for this stream's device and type."""
    return x.dtype == torch.float32 and native.passes(x) is not None


def run(blocks: Sequence[Any], skip: nn.Linear, x: Tensor, steps: int, rows: Tensor | None = None) -> Tensor:
    """The skip sum of the last `steps` steps: x (B, T, residual) -> (B, steps, skip).

    rows: (B, T, condition), what conditions the layers, if anything does.
    """
    weights: list[Tensor | None] = []
    for block in blocks:
        matrix, back = block.conv.weight, block.residual
        if rows is not None and block.condition is not None:
            matrix = torch.cat([matrix, block.condition.weight], dim=1)
        weights += [matrix, block.conv.bias, *((None, None) if back is None else (back.weight, back.bias))]
    weights += [skip.weight, skip.bias]
    taps = [(block.conv.kernel_size, block.conv.dilation) for block in blocks]
    return _Stack.apply(x, rows, steps, taps, *weights)


class _Stack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        rows: Tensor | None,
        steps: int,
        taps: Sequence[tuple[int, int]],
        *weights: Tensor | None,
    ) -> Tensor:
        low = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        # matrices in the products' type; biases, which the passes add, stay in float32
        lowered = [weight.to(low) if weight is not None and weight.ndim == 2 else weight for weight in weights]
        gate = weights[0].shape[0] // 2  # type: ignore[union-attr] (every layer has a convolution)
        gated = x.new_empty(len(x), steps, len(taps) * gate, dtype=low)
        x, residual, residual_bias, dropped, saved = x.contiguous(), None, None, 0, []
        for i, (kernel_size, dilation) in enumerate(taps):
            conv, conv_bias, back, back_bias = lowered[4 * i : 4 * i + 4]
            x, tapped = _join(x, residual, residual_bias, dropped, kernel_size, dilation, rows, low)
            h = F.linear(tapped, conv)  # type: ignore[arg-type] (every layer has a convolution)
            z = _gate(h, conv_bias, gated, i)
            residual, residual_bias = None if back is None else F.linear(z, back), back_bias
            dropped = (kernel_size - 1) * dilation
            saved += [tapped, h, z]
        skip, skip_bias = lowered[-2:]
        ctx.save_for_backward(*saved, gated, *lowered)
        ctx.taps, ctx.rows, ctx.spent = taps, None if rows is None else rows.shape, False
        return F.linear(gated, skip, skip_bias)  # type: ignore[arg-type] (there is a skip sum)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_sum: Tensor) -> tuple[Any, ...]:
        if ctx.spent:
            raise RuntimeError("the stack's gradient overwrites its saved tensors, so it can be taken only once")
        ctx.spent = True
        layers = len(ctx.taps)
        saved, (gated, *weights) = ctx.saved_tensors[: 3 * layers], ctx.saved_tensors[3 * layers :]
        gradients: list[Tensor | None] = [None] * len(weights)
        gradients[-2] = d_sum.flatten(0, 1).t() @ gated.flatten(0, 1)
        gradients[-1] = None if weights[-1] is None else d_sum.sum(dim=(0, 1), dtype=torch.float32)
        skips = weights[-2].chunk(layers, dim=1)
        d_above = d_residual = d_back_bias = None
        d_rows = None if ctx.rows is None else torch.zeros(ctx.rows, device=d_sum.device)
        for i in reversed(range(layers)):
            tapped, h, z = saved[3 * i : 3 * i + 3]
            conv, conv_bias, back, back_bias = weights[4 * i : 4 * i + 4]
            d_z = None
            if back is not None and d_residual is not None:
                d_z = d_residual @ back
                gradients[4 * i + 2] = d_residual.flatten(0, 1).t() @ z.flatten(0, 1)
                gradients[4 * i + 3] = None if back_bias is None else d_back_bias
            d_h, d_conv_bias = _gate_backward(h, conv_bias, d_z, d_sum @ skips[i])
            gradients[4 * i] = d_h.flatten(0, 1).t() @ tapped.flatten(0, 1)
            gradients[4 * i + 1] = None if conv_bias is None else d_conv_bias
            kernel_size, dilation = ctx.taps[i]
            d_tapped = d_h @ conv
            if d_rows is not None:
                d_rows[:, -d_tapped.shape[1] :] += d_tapped[..., -d_rows.shape[2] :]
            condition_channels = 0 if d_rows is None else d_rows.shape[2]
            d_above, d_residual, d_back_bias = _join_backward(
                d_above, d_tapped, kernel_size, dilation, condition_channels
            )
        return d_above, d_rows, None, None, *gradients


def _join(
    x: Tensor,
    residual: Tensor | None,
    bias: Tensor | None,
    dropped: int,
    kernel_size: int,
    dilation: int,
    rows: Tensor | None,
    low: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """x without its first `dropped` steps, plus what the layer below adds; and its taps and rows side by side."""
    batch, steps, channels = len(x), x.shape[1] - dropped, x.shape[2]
    joined = x if residual is None else x.new_empty(batch, steps, channels)
    width = kernel_size * channels + (0 if rows is None else rows.shape[2])
    tapped = x.new_empty(batch, steps - (kernel_size - 1) * dilation, width, dtype=low)
    if rows is not None:
        tapped[..., kernel_size * channels :] = rows[:, -tapped.shape[1] :]
    shape = (batch, steps, channels, dropped, kernel_size, dilation, width)
    native.passes(tapped).join_forward(shape, *_addresses(x, residual, bias, joined, tapped), torch.get_num_threads())
    return joined, tapped


def _join_backward(
    d_above: Tensor | None, d_tapped: Tensor, kernel_size: int, dilation: int, condition_channels: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of a joined stream: in float32, in the products' type, and summed over its steps."""
    batch, steps, channels = (
        len(d_tapped),
        d_tapped.shape[1] + (kernel_size - 1) * dilation,
        (d_tapped.shape[2] - condition_channels) // kernel_size,
    )
    d_joined = d_tapped.new_empty(batch, steps, channels, dtype=torch.float32)
    d_residual = d_tapped.new_empty(batch, steps, channels)
    d_bias = d_joined.new_empty(channels)
    shape = (batch, steps, channels, 0, kernel_size, dilation, d_tapped.shape[2])
    arrays = _addresses(d_above, d_tapped, d_joined, d_residual, d_bias)
    native.passes(d_tapped).join_backward(shape, *arrays, torch.get_num_threads())
    return d_joined, d_residual, d_bias


def _gate(h: Tensor, bias: Tensor | None, gated: Tensor, layer: int) -> Tensor:
    """z of all steps; the last steps are also written to `gated`."""
    z = h.new_empty(*h.shape[:2], h.shape[2] // 2)
    arrays = _addresses(h, bias, z, gated[..., layer * z.shape[2] :])
    native.passes(h).gate_forward(_gate_shape(h, gated), *arrays, torch.get_num_threads())
    return z


def _gate_backward(h: Tensor, bias: Tensor | None, d_z: Tensor | None, d_scored: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of h, written over h, and its sum over the steps; d_scored is what the last steps' z gets from above."""
    d_bias = h.new_empty(h.shape[2], dtype=torch.float32)
    arrays = _addresses(h, bias, d_z, d_scored, h, d_bias)
    native.passes(h).gate_backward(_gate_shape(h, d_scored), *arrays, torch.get_num_threads())
    return h, d_bias


def _gate_shape(h: Tensor, gated: Tensor) -> tuple[int, ...]:
    return len(h), h.shape[1], h.shape[2] // 2, gated.shape[1], gated.shape[2]


def _addresses(*tensors: Tensor | None) -> list[int]:
    return [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
