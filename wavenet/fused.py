"""The residual stack and its skip sum as one differentiable operation over cache-sized pieces of time, for CPUs.

It computes what `wavenet.model.WaveNet.reference_skip` says and nothing else; a test holds the two equal. What makes it
faster: each piece's intermediates stay in the core's cache; tanh comes from the sigmoid, tanh(f) = 2 sigmoid(2f) - 1, so
both halves of the gate are one pass; the skip sum is one product over all gated outputs; and the backward keeps x, the
two sigmoids and z alone, and adds the gradient of x up in place.

Letters: B batch, T time, R residual channels, G gate channels, S skip channels, K kernel size, L layers. All buffers
count time from the first input, so layer l is valid from `starts[l]`, the sum of the contexts below it, and the skip
sum from `starts[L]`.
"""

from itertools import accumulate, product

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

PIECE = 8192
"""Time steps computed at once: 4096 steps of 128 bfloat16 channels are 1 MiB, a core's second-level cache."""


def fused_skip(
    x: Tensor,
    dilations: list[int],
    kernel_size: int,
    skip: tuple[Tensor, Tensor | None],
    layers: list[tuple[Tensor | None, ...]],
) -> Tensor:
    """x (B, T, R) -> skip sum (B, T - (K - 1) sum(dilations), S).

    `skip` is the weight (S, L G) and bias of the skip product; a layer is the convolution's weight (2 G, K R) and bias,
    and the residual weight (R, G) and bias, None for the last layer. Under autocast it computes in autocast's type.
    """
    return _Stack.apply(x, dilations, kernel_size, *skip, *[tensor for layer in layers for tensor in layer])


def _pieces(start: int, stop: int) -> list[slice]:
    return [slice(a, min(a + PIECE, stop)) for a in range(start, stop, PIECE)]


def _taps(x: Tensor, piece: slice, shifts: list[int], out: Tensor) -> Tensor:
    """x (T, R) -> (piece, K R): what the outputs of a piece are a linear function of, oldest tap first."""
    return torch.cat([x[piece.start - shift : piece.stop - shift] for shift in shifts], dim=1, out=out)


def _shifts(kernel_size: int, dilation: int) -> list[int]:
    return [(kernel_size - 1 - k) * dilation for k in range(kernel_size)]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    return torch.mm(x, weight, out=out) if bias is None else torch.addmm(bias, x, weight, out=out)


_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


class _Stack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dilations, kernel_size, skip_weight, skip_bias, *tensors):  # type: ignore[override]
        layers = [tensors[i : i + 4] for i in range(0, len(tensors), 4)]
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        cast = lambda tensor: None if tensor is None else tensor.to(dtype)  # noqa: E731
        batch, time, residual = x.shape
        gate = skip_weight.shape[1] // len(layers)
        starts = list(accumulate([(kernel_size - 1) * d for d in dilations], initial=0))
        # doubling is exact in any binary float: sigmoid(2 f) needs the filter's rows doubled, and z is kept as z / 2
        double = torch.cat((x.new_full((gate,), 2.0), x.new_ones(gate)))

        xs = [x.to(dtype)] + [x.new_empty(x.shape, dtype=dtype) for _ in layers[1:]]
        sigmoids = [x.new_empty(batch, time, 2 * gate, dtype=dtype) for _ in layers]
        half_z = x.new_empty(batch, time, len(layers) * gate, dtype=dtype)
        out = x.new_empty(batch, time - starts[-1], len(skip_weight), dtype=dtype)
        taps = x.new_empty(PIECE, kernel_size * residual, dtype=dtype)
        for layer, (conv_weight, conv_bias, residual_weight, residual_bias) in enumerate(layers):
            weight = (conv_weight * double[:, None]).to(dtype).t()
            bias = None if conv_bias is None else (conv_bias * double).to(dtype)
            back = None if residual_weight is None else (2 * residual_weight).to(dtype).t()
            shifts = _shifts(kernel_size, dilations[layer])
            for b, piece in product(range(batch), _pieces(starts[layer + 1], time)):
                tap = _taps(xs[layer][b], piece, shifts, out=taps[: piece.stop - piece.start])
                s = _linear(tap, weight, bias, out=sigmoids[layer][b, piece]).sigmoid_()
                z = half_z[b, piece, layer * gate : (layer + 1) * gate]
                torch.sub(s[:, :gate], 0.5, out=z).mul_(s[:, gate:])
                if back is not None:
                    following = _linear(z, back, cast(residual_bias), out=xs[layer + 1][b, piece])
                    following.add_(xs[layer][b, piece])
        weight = (2 * skip_weight).to(dtype).t()
        for b in range(batch):
            _linear(half_z[b, starts[-1] :], weight, cast(skip_bias), out=out[b])
        ctx.save_for_backward(skip_weight, half_z, *xs, *sigmoids, *tensors)
        ctx.starts, ctx.dilations, ctx.kernel_size, ctx.skip_bias = (
            starts,
            dilations,
            kernel_size,
            skip_bias is not None,
        )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out):  # type: ignore[override]
        count = len(ctx.dilations)
        skip_weight, half_z, *saved = ctx.saved_tensors
        xs, sigmoids, tensors = saved[:count], saved[count : 2 * count], saved[2 * count :]
        starts, kernel_size = ctx.starts, ctx.kernel_size
        dtype, (batch, time, residual) = half_z.dtype, xs[0].shape
        gate = half_z.shape[-1] // count
        out_start = starts[-1]
        d_out = d_out.to(dtype)
        # sigmoid'(u) u' for the two halves below leaves these factors out of dh, to be put back in the weights
        scale = torch.cat((d_out.new_full((gate,), 4.0), d_out.new_full((gate,), 2.0))).to(skip_weight.dtype)
        ones = d_out.new_ones(1, PIECE)

        d_skip_weight = sum((d_out[b].t() @ half_z[b, out_start:]).to(skip_weight.dtype) for b in range(batch)) * 2
        d_skip_bias = (
            sum((ones[:, :1].expand(1, d_out.shape[1]) @ d_out[b])[0].to(skip_weight.dtype) for b in range(batch))
            if ctx.skip_bias
            else None
        )
        d_x = d_out.new_zeros(batch, time, residual)
        scratch = [
            d_out.new_empty(PIECE, width)
            for width in (kernel_size * residual, kernel_size * residual, 2 * gate, gate, gate)
        ]
        d_tensors: list[Tensor | None] = [None] * len(tensors)
        for layer in reversed(range(count)):
            conv_weight, conv_bias, residual_weight, residual_bias = tensors[4 * layer : 4 * layer + 4]
            weight = (conv_weight * scale[:, None]).to(dtype)
            skip = skip_weight[:, layer * gate : (layer + 1) * gate].to(dtype)
            back = None if residual_weight is None else residual_weight.to(dtype)
            d_weight, d_bias = torch.zeros_like(conv_weight), conv_weight.new_zeros(2 * gate)
            d_back, d_back_bias = conv_weight.new_zeros(residual, gate), conv_weight.new_zeros(residual)
            shifts = _shifts(kernel_size, ctx.dilations[layer])
            # in rising order: a piece adds to earlier times only, whose gradient has been used by then
            pieces = _pieces(starts[layer + 1], out_start) + _pieces(max(starts[layer + 1], out_start), time)
            for b, piece in product(range(batch), pieces):
                taps, d_taps, dh, dz, du = (buffer[: piece.stop - piece.start] for buffer in scratch)
                row = ones[:, : piece.stop - piece.start]
                s, dy = sigmoids[layer][b, piece], d_x[b, piece]
                z = half_z[b, piece, layer * gate : (layer + 1) * gate]
                if piece.start >= out_start:
                    torch.mm(d_out[b, piece.start - out_start : piece.stop - out_start], skip, out=dz)
                    dz = dz if back is None else dz.addmm_(dy, back)
                else:
                    torch.mm(dy, back, out=dz)
                if back is not None:
                    d_back += dy.t() @ z
                    d_back_bias += (row @ dy)[0]
                # z = (2 s - 1) g: dz/df = 4 s (1 - s) g, and dz/d(gate) = 2 (s - 1/2) g (1 - g)
                torch.mul(dz, s[:, gate:], out=du)
                _sigmoid_backward(du, s[:, :gate], grad_input=dh[:, :gate])
                torch.sub(s[:, :gate], 0.5, out=du).mul_(dz)
                _sigmoid_backward(du, s[:, gate:], grad_input=dh[:, gate:])
                d_weight += dh.t() @ _taps(xs[layer][b], piece, shifts, out=taps)
                d_bias += (row @ dh)[0]
                torch.mm(dh, weight, out=d_taps)
                for shift, d_tap in zip(shifts, d_taps.chunk(kernel_size, dim=1), strict=True):
                    d_x[b, piece.start - shift : piece.stop - shift] += d_tap
            d_tensors[4 * layer : 4 * layer + 4] = (
                d_weight * scale[:, None],
                d_bias * scale if conv_bias is not None else None,
                None if residual_weight is None else d_back * 2,
                None if residual_bias is None else d_back_bias,
            )
        return d_x, None, None, d_skip_weight, d_skip_bias, *d_tensors
