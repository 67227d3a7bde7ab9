"""What a file's header may ask for: no more than the weights beside it fill.

A header is a few bytes, and the network that it describes can be of any size. So the network is outlined first, without
memory for its weights, and compared with those of the file.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from wavenet.config import ModelConfig
from wavenet.model.distributions import make_distribution

MOST_GROWTH = 1024
"""A stream's past inputs may be this many times as many numbers as the file's weights; as in exported files, where
wavenet/csrc/network.cpp checks it."""


def check_model(config: ModelConfig, tensors: Mapping[str, Tensor], make: Callable[[ModelConfig], nn.Module]) -> None:
    """Raise ValueError unless the network that `make` would build, with its past of one stream, fits these weights."""
    stack = config.layers_per_stack if config.dilations is None else len(config.dilations)
    layers = stack * config.stacks + config.recognition.layers * bool(config.recognition.classes)
    check_count(layers + config.context.layers * len(config.context.pools), tensors)
    make_distribution(config.mixtures)  # it is kept, so it must not be made as an outline
    check_outline(lambda: make(config), tensors)
    past, weights = config.residual_channels * (config.receptive_field - 1), sum(map(Tensor.numel, tensors.values()))
    if past > MOST_GROWTH * weights:
        raise ValueError(
            f"each stream would keep {past} numbers, but {weights} weights may ask for at most {MOST_GROWTH} times as "
            "many"
        )


def check_count(layers: int, tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError for more layers than there are tensors."""
    if layers > len(tensors):
        raise ValueError(f"it describes {layers} layers, but holds {len(tensors)} tensors")


def check_outline(make: Callable[[], nn.Module], tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless what `make` builds has weights of these shapes."""
    with torch.device("meta"):
        outline = make()
    for name, expected in outline.state_dict().items():
        found = tensors.get(name)
        if found is None or found.shape != expected.shape:
            shape = "missing" if found is None else f"of shape {tuple(found.shape)}"
            raise ValueError(f"{name} is {shape}, but must be of shape {tuple(expected.shape)}")
