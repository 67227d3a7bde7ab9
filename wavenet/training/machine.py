"""What training needs from the machine: processes, precision and memory."""

import contextlib
import ctypes
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.rank_zero import rank_zero_only

from wavenet.config import TrainConfig
from wavenet.errors import TrainingError
from wavenet.model.device import find_device
from wavenet.training.processes import check_launcher

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # the trainer itself says what it runs on


def make_fabric(config: TrainConfig) -> tuple[Fabric, str]:
    """Start the processes, and choose their precision, `float32` or `bfloat16`, which `autocast` takes.

    Raises ConfigError for a missing device, or if another number of processes was started than the settings say.
    """
    accelerator = find_device(config.device).type
    check_launcher(config)
    fabric = Fabric(accelerator=accelerator, devices=config.devices, num_nodes=config.num_nodes)
    fabric.launch()
    if config.threads:  # after the launch, which divides the cores among several processes
        torch.set_num_threads(config.threads)
    precision = config.precision
    if precision == "auto" and fabric.is_global_zero:
        on_cuda = accelerator == "cuda"
        low = torch.cuda.is_bf16_supported(including_emulation=False) if on_cuda else bfloat16_is_faster()
        precision = "bfloat16" if low else "float32"
    return fabric, fabric.broadcast(precision)  # measured once: copies that differ in precision would drift apart


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Compute matrix products in `precision` inside the block."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()


@contextlib.contextmanager
def memory_errors(advice: str) -> Iterator[None]:
    """Raise TrainingError, with what to lower as `advice`, if memory runs out inside the block."""
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise TrainingError(f"out of memory with {advice}") from error


def is_first_process() -> bool:
    """Whether this process is the first of all, on one machine or many: only it prints and writes."""
    return rank_zero_only.rank == 0


def bfloat16_is_faster() -> bool:
    """Whether this processor multiplies matrices faster in bfloat16 than in float32, measured on a few products.

    Not every processor with bfloat16 instructions does: on some the same product takes twice as long.
    """
    if not torch.cpu._is_avx512_bf16_supported():
        return False
    best = {}
    for kind in (torch.float32, torch.bfloat16):
        matrix, seconds = torch.ones(512, 512, dtype=kind), []
        for _ in range(4):
            began = time.perf_counter()
            torch.mm(matrix, matrix)
            seconds.append(time.perf_counter() - began)
        best[kind] = min(seconds)
    return best[torch.bfloat16] < best[torch.float32]


def keep_memory() -> None:
    """Ask the C library to keep freed memory rather than return it to the system, so that steps touch no new pages.

    This affects the whole process, and only works with glibc. Its price is memory that stays with the process.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        trim_threshold, top_pad, mmap_max = -1, -2, -4
        for option, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**28)):
            library.mallopt(option, value)
