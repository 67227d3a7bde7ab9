"""What training needs from the machine: precision and memory."""

import contextlib
import ctypes
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

from wavenet.errors import TrainingError
from wavenet.training.processes import Processes


def choose_precision(precision: str, processes: Processes) -> str:
    """`float32` or `bfloat16`, which `autocast` takes, for a setting that may be `auto`.

    The first process measures it for all: copies that differ in precision would drift apart.
    """
    if precision == "auto" and processes.is_first:
        on_cuda = processes.device.type == "cuda"
        low = torch.cuda.is_bf16_supported(including_emulation=False) if on_cuda else bfloat16_is_faster()
        precision = "bfloat16" if low else "float32"
    return processes.broadcast(precision)


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
