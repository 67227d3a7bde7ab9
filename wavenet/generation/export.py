"""Exported networks: one versioned file that the compiled engine and the player load; csrc/FORMAT.md describes it.

In int8, a weight is a whole number in -127..127 times its row's scale, and a layer's input is a byte, less the zero,
times the layer's scale. The inputs' scales are measured here, on the sound that `pack` is given.
"""

import copy
import dataclasses
import struct
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from wavenet import audio
from wavenet.audio.encodings import MULAW
from wavenet.errors import ConfigError
from wavenet.files import streamed
from wavenet.generation.engine import projection
from wavenet.generation.format import MAGIC, PRECISIONS, VERSION, is_exported
from wavenet.model.layers import CausalConv1d, CausalEmbedding
from wavenet.model.wavenet import WaveNet

Scale = tuple[float, int]
"""The size of a byte's unit, and the byte of zero."""
UNITY: Scale = (1 / 127, 128)
"""The scale for values in [-1, 1], such as every z."""


def pack(
    model: WaveNet, sample_rate: int, precision: str, scales: Sequence[Scale] = (), steerable: bool = False
) -> bytes:
    """The exported file's bytes.

    scales: int8's, from `input_scales`; other precisions need none. steerable: whether the file holds the model's
    labels; it holds no other conditioning. Raises ConfigError for a precision not in PRECISIONS, if the scales are not
    one for each matrix, and for a label whose name is not valid Unicode.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}, but it must be one of {', '.join(PRECISIONS)}")
    model = _plain(model)
    config, dilations = model.config, model.config.layer_dilations
    parts = [MAGIC, struct.pack("<I", VERSION)]
    shape = (config.initial_filter, config.kernel_size, config.residual_channels, config.gate_channels)
    widths = (config.skip_channels, config.head_channels, len(dilations))
    numbers = (PRECISIONS.index(precision), sample_rate, MULAW.levels - 1, config.mixtures, *shape, *widths, *dilations)
    parts.append(struct.pack(f"<{len(numbers)}I", *numbers))
    parts.append(_bytes(initial_table(model)))
    matrices = list(_matrices(model))
    if precision == "int8" and len(scales) != len(matrices):
        raise ConfigError(f"int8 needs {len(matrices)} scales for this network, not {len(scales)}: measure them on it")
    for linear, scale in zip(matrices, scales or [UNITY] * len(matrices), strict=True):
        parts += _matrix(linear.weight, linear.bias, precision, scale)
    parts += _labels(model) if steerable else [struct.pack("<I", 0)]
    body = b"".join(parts)
    return body + struct.pack("<I", zlib.crc32(body))


@torch.no_grad()
def fixed(model: WaveNet, chosen: Tensor, labels: Collection[str]) -> WaveNet:
    """A model without these labels that makes what `model`, which has no other conditioning than labels, makes with
    these weights (values,) of theirs; the other labels can still be chosen."""
    known = model.conditioning
    assert known is not None, "only a model with labels can have some fixed"
    assert known.labels is not None, "it has labels alone"
    kept = {label: values for label, values in model.config.labels.items() if label not in labels}
    plain = WaveNet(dataclasses.replace(model.config, labels=kept, bias=True)).eval()
    stays = torch.tensor([label in kept for label, _ in known.names])
    row = (chosen * ~stays) @ known.labels
    weights = {name: tensor for name, tensor in model.state_dict().items() if name in plain.state_dict()}
    for name, parameter in plain.named_parameters():
        if name not in weights:  # a bias that the model lacks
            weights[name] = torch.zeros_like(parameter)
    for i, block in enumerate(model.blocks):
        if block.condition is not None:
            weights[f"blocks.{i}.conv.bias"] = weights[f"blocks.{i}.conv.bias"] + block.condition(row)
    if kept:
        weights["conditioning.labels"] = known.labels[stays]
    plain.load_state_dict(weights)
    return plain


@torch.inference_mode()
def initial_table(model: WaveNet) -> Tensor:
    """What each of the last codes adds to the first layer's input: (taps, 256, residual), oldest first.

    A 16-bit code adds the interpolation between the rows of its two mu-law neighbours, which is exact for scalar input.
    """
    if isinstance(model.initial, CausalEmbedding):
        return model.initial.weight
    table = MULAW.companded(torch.arange(MULAW.levels)).float()[None, :, None] * model.initial.weight.t()[:, None, :]
    if model.initial.bias is not None:
        table[-1] += model.initial.bias
    return table


def _matrices(model: WaveNet) -> Iterator[nn.Linear | CausalConv1d]:
    """Every weight matrix, in the file's order."""
    for block in model.blocks:
        yield block.conv
        if block.residual is not None:
            yield block.residual
    yield from (model.skip, model.hidden, model.output)


def _matrix(weight: Tensor, bias: Tensor | None, precision: str, input_scale: tuple[float, int]) -> Iterator[bytes]:
    bias = torch.zeros(len(weight)) if bias is None else bias
    if precision == "int8":
        scales = weight.abs().amax(dim=1).clamp(min=1e-30) / 127
        yield struct.pack("<fI", *input_scale) + _bytes(scales)
        weight = (weight / scales[:, None]).round().to(torch.int8)
    elif precision == "bfloat16":
        weight = weight.bfloat16()
    packed = _bytes(weight)
    yield _bytes(bias)
    yield packed + bytes(-len(packed) % 4)


@torch.inference_mode()
def _labels(model: WaveNet) -> Iterator[bytes]:
    """The names of the label values, and what each adds to every layer's h."""
    conditioning, projections = model.conditioning, projection(model)
    if conditioning is None or conditioning.labels is None or projections is None:
        yield struct.pack("<I", 0)
        return
    yield struct.pack("<I", len(conditioning.names))
    for pair in conditioning.names:
        for name in pair:
            try:
                text = name.encode("utf-8")
            except UnicodeEncodeError as error:
                raise ConfigError(
                    f"the label {name!r} is not valid Unicode, so an exported file cannot hold it: fix it by label.*"
                ) from error
            yield struct.pack("<I", len(text)) + text + bytes(-len(text) % 4)
    yield _bytes(projections @ conditioning.labels.t())


def _bytes(tensor: Tensor) -> bytes:
    tensor = tensor.detach().contiguous()
    return little_endian((tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy())


def little_endian(array: np.ndarray) -> bytes:
    """An array's numbers as little-endian bytes, whatever this machine's byte order."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


@torch.inference_mode()
def input_scales(model: WaveNet, heard: Tensor, rows: Tensor | None = None) -> list[Scale]:
    """int8's scale of every matrix's inputs, in the file's order; their values in `heard` fill a byte's range.

    heard, rows: codes (B, T), T at least the receptive field, and the rows that condition them (B, T, C), if any.
    """
    model = _plain(model)
    x, gated, scales = model.initial(heard), [], []
    steps = heard.shape[1] - model.receptive_field + 1
    for block in model.blocks:
        scales.append((_reach(x) / 127, 128))
        if block.residual is not None:
            scales.append(UNITY)
        x, z = block(x, rows)
        gated.append(z[:, -steps:])
    skip = torch.relu(model.skip(torch.cat(gated, dim=-1)))
    return [*scales, UNITY, (_reach(skip) / 255, 0), (_reach(torch.relu(model.hidden(skip))) / 255, 0)]


def _plain(model: WaveNet) -> WaveNet:
    """The model, or a copy of it, on the CPU, in float32 and evaluation mode."""
    first = next(model.parameters())
    if first.device.type == "cpu" and first.dtype == torch.float32 and not model.training:
        return model
    return copy.deepcopy(model).cpu().float().eval()


def _reach(values: Tensor) -> float:
    return max(float(values.abs().max()), 1e-30)


def check_place(output: Path) -> None:
    """Raise ConfigError for a path that an exported network must not be written to."""
    if output.suffix.lower() in {*audio.EXTENSIONS, *audio.UNREAD, ".safetensors", ".state"}:
        better = output.with_suffix(".wavenet")
        raise ConfigError(f"output is {output}, but an exported network is no {output.suffix} file: call it {better}")
    if output.is_dir() or (output.exists() and not streamed(output) and not is_exported(output)):
        raise ConfigError(f"output: {output} already exists and is not an exported network; choose another output")
