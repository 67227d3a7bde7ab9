"""What a benchmark ran on, in words."""

import platform
from pathlib import Path

import torch


def machine() -> str:
    """The processor, the number of cores and the version of torch, in words."""
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    cores = len(names) or 1
    return (
        f"{names[0] if names else platform.processor()}, {cores} cores, {platform.system()}, torch {torch.__version__}"
    )


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []
