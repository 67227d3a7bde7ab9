"""Which processor a model runs on."""

import torch

from wavenet.errors import ConfigError


def find_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises ConfigError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but no CUDA device is to be seen; use device=cpu or auto")
    return torch.device(name)
