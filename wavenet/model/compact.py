"""Weights for a file: float32, or int8 with a scale for each row, which takes a quarter of the space."""

import torch
from torch import Tensor, nn

SCALE = ".scale_of_rows"
"""End of the name of the scales of a matrix that is stored in int8."""


def stored(model: nn.Module) -> dict[str, Tensor]:
    """A model's weights by name, float32, on the CPU."""
    return {name: tensor.detach().float().contiguous().cpu() for name, tensor in model.state_dict().items()}


def compact(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8 with a scale for each row, a quarter of their size: w = scale * q, |q| <= 127. `expanded` turns
    them back. Everything else, such as biases, stays as it is."""
    found = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2:
            found[name] = tensor
            continue
        rows = tensor.flatten(1)
        scale = rows.abs().amax(dim=1).clamp(min=1e-12) / 127
        found[name] = (rows / scale[:, None]).round().to(torch.int8).view(tensor.shape)
        found[name + SCALE] = scale
    return found


def expanded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `compact`, up to rounding. Raises ValueError for int8 without scales."""
    found = {}
    for name, tensor in tensors.items():
        if tensor.dtype == torch.int8:
            scale = tensors.get(name + SCALE)
            if scale is None or scale.shape != tensor.shape[:1]:
                raise ValueError(f"{name} is int8 without a scale for each row")
            found[name] = tensor * scale.view(-1, *[1] * (tensor.ndim - 1))
        elif not name.endswith(SCALE):
            found[name] = tensor
    return found
