"""How much memory a training process uses, how much there is, and the crop and batch that fit into it."""

import dataclasses
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from wavenet.config import TrainConfig
from wavenet.errors import TrainingError
from wavenet.training.batches import Batches
from wavenet.training.data import TrainingData
from wavenet.training.learner import Learner

SHARE = 0.8
"""Of the free memory, that `batch_size=auto` uses."""
LEAST_CROP, PROBED = 256, 4096
"""Shortest crop that `batch_size=auto` chooses, and the longest of its first trial; the second is twice as long."""
STATES = 5
"""Copies of the weights, in float32, that a step adds: gradients, the optimizer's momenta, and products of both."""
CGROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""Files below /sys/fs/cgroup that hold a container's limit and use, of both versions."""


def used(device: torch.device) -> int:
    """Bytes that this process holds now: on a GPU, those that torch has reserved there."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak(device)


def peak(device: torch.device) -> int:
    """Most bytes that this process has held so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def free(device: torch.device, root: Path = Path("/")) -> int | None:
    """Bytes that this process could still take; None if the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    found = []
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        return None
    for names in CGROUPS:
        try:
            limit, use = (int((root / "sys/fs/cgroup" / name).read_text()) for name in names)
            found.append(max(limit - use, 0))
        except (OSError, ValueError):  # no such version, or no limit: "max"
            continue
    return min(found, default=None)


def fitted(
    config: TrainConfig,
    learner: Learner,
    data: TrainingData,
    say: Callable[[str], None],
    agree: Callable[[TrainConfig], TrainConfig] = lambda chosen: chosen,
    sharing: int = 1,
) -> TrainConfig:
    """Replace `batch_size=auto` by numbers that fit into the free memory, measured on two short trial passes.

    A step learns from the same windows as with a batch_size of 1. As many of the `accumulate` windows as fit are passed
    at a time; if not even one fits, the crop is halved and `accumulate` doubled. agree: returns the first process's
    argument in all. sharing: processes that share this machine's memory.

    Raises TrainingError if no crop fits.
    """
    if config.batch_size != "auto":
        return config
    device, field = learner.processes.device, learner.model.receptive_field
    room, least = free(device), _least_crop(config)
    first = max(least, min(config.crop // 4, PROBED) // least * least)
    before, crops, found = used(device), (first, 2 * first), []
    for crop in crops:
        windows = data.training_windows(crop, field)
        learner.gradients([Batches(windows, 1, config.seed)[0]])
        learner.model.zero_grad()
        found.append(used(device))  # what is freed stays with the process, so this is the most so far
    per_sample = max(found[1] - found[0], 1) / (crops[1] - crops[0])
    weights = STATES * sum(4 * parameter.numel() for parameter in learner.model.parameters())
    fixed = max(found[0] - before - per_sample * (first + field), 0) + weights
    room = None if room is None else SHARE * room / sharing

    def needed(crop: int, size: int) -> float:
        return fixed + per_sample * size * (crop + field)

    crop, accumulate = config.crop, config.accumulate
    while room is not None and needed(crop, 1) > room and crop % (2 * least) == 0:
        crop, accumulate = crop // 2, 2 * accumulate
    sizes = [size for size in range(1, accumulate + 1) if accumulate % size == 0]
    fitting = [size for size in sizes if room is None or needed(crop, size) <= room]
    if not fitting:
        raise TrainingError(
            f"batch_size=auto: a pass with crop={crop} takes {in_words(needed(crop, 1))}, and only "
            f"{in_words(room or 0)} may be used: end other programs, or take a smaller model"
        )
    size = fitting[-1]
    chosen = agree(dataclasses.replace(config, crop=crop, batch_size=size, accumulate=accumulate // size))
    say(
        f"batch_size=auto: batch_size={chosen.batch_size} crop={chosen.crop} accumulate={chosen.accumulate}; a pass "
        f"takes about {in_words(needed(crop, size))}" + (f" of {in_words(room)} that may be used" if room else "")
    )
    return chosen


def _least_crop(config: TrainConfig) -> int:
    """The crop that every chosen one is a multiple of."""
    if config.data.frames is None:
        return LEAST_CROP
    hop = config.model.recognition.hop
    return (2 * config.model.recognition.reach + 1) * hop


def in_words(number: float) -> str:
    """Bytes: 850 kB, 12 MB, 1.3 GB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:.1f} {unit}" if number < 10 * size else f"{number / size:.0f} {unit}"
    return f"{number / 1e3:.0f} kB"
