"""Measuring for gpu_check: rows with a result or the reason why there is none, and timing of asynchronous devices."""

import contextlib
import gc
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from wavenet.config import ModelConfig

ROOT = Path(__file__).parents[1]
Row = dict[str, Any]


class NotRunError(Exception):
    """Why something was not measured."""


class Check:
    """What every section needs: the device, the extent of the check, the time left, and where rows go."""

    def __init__(self, device: str, quick: bool, seconds: float, emit: Callable[[Row], None]) -> None:
        self.device, self.quick, self.seconds, self.emit = torch.device(device), quick, seconds, emit
        self._until = time.monotonic() + seconds

    def row(self, what: str, job: Callable[[], Row], needs: float = 0) -> None:
        """Emit what `job` measures, or the reason if it cannot or if less than `needs` seconds are left."""
        left = self._until - time.monotonic()
        try:
            if needs > left and not self.quick:
                raise NotRunError(
                    f"{left:.0f} of the section's {self.seconds:.0f} s were left, and {needs:.0f} are needed"
                )
            measured = job()
        except NotRunError as reason:
            measured = {"not_run": str(reason)}
        except Exception as error:
            traceback.print_exc()
            measured = {"failed": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"}
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.emit({"what": what, **measured})

    def time(self, job: Callable[[], Any], rounds: int = 3) -> float:
        """Seconds per call: the median of a few rounds of many calls, after two calls that do not count."""
        self._clock(job, 1)
        count = 1 if self.quick else max(1, round(0.15 / self._clock(job, 1)))
        return statistics.median(self._clock(job, count) for _ in range(rounds))

    def _clock(self, job: Callable[[], Any], count: int) -> float:
        self.wait()
        began = time.perf_counter()
        for _ in range(count):
            job()
        self.wait()
        return (time.perf_counter() - began) / count

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def model(self, name: str) -> ModelConfig:
        """A preset of configs/model; for a rehearsal, a small model under the same name."""
        settings = yaml.safe_load((ROOT / "configs" / "model" / f"{name}.yaml").read_text())
        small = {"stacks": 1, "layers_per_stack": 4, "residual_channels": 16, "gate_channels": 16, "skip_channels": 32}
        return ModelConfig(**settings | (small if self.quick else {}))

    @contextlib.contextmanager
    def peak_memory(self) -> Iterator[Row]:
        """Report the peak device memory inside the block; nothing without a device."""
        found: Row = {}
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        yield found
        if self.device.type == "cuda":
            found["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20


def tf32(on: bool) -> None:
    """Switch TF32 for a device's matrix products and convolutions, by an interface that torch.compile supports."""
    torch.set_float32_matmul_precision("high" if on else "highest")
    torch.backends.cudnn.allow_tf32 = on


def products_per_second(check: Check, kind: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product; a multiply-add counts as two."""
    size = 256 if check.quick else 8192
    a, b = (torch.randn(size, size, device=check.device).to(kind) for _ in range(2))
    return 2 * size**3 / check.time(lambda: a @ b)
