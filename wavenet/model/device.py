"""Which processor a model runs on."""

import torch

from wavenet.errors import ConfigError


def find_device(name: str) -> torch.device:
    """The device to use; `auto` is CUDA if available. Raises ConfigError if the device is missing."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but no CUDA device was found; use device=cpu or auto")
    return torch.device(name)


def moved(values: torch.Tensor, device: torch.device | None) -> torch.Tensor:
    """Values of the CPU on a device; a copy to a GPU goes on while the program does."""
    if device is None or device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
