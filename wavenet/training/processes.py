"""Makes several processes act as one: shared decisions and errors, sums, and averaged gradients."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from wavenet.errors import TrainingError, WaveNetError
from wavenet.training.run_folder import kept

T = TypeVar("T")
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
"""What connects the processes, by the kind of their devices."""
NO_LIMIT = timedelta(days=10000)
FAILED = "failed"
"""Key in the store for what has ended a process."""


class Processes:
    """The processes that train a network together, seen from one of them. Each holds the whole network.

    A process on its own is the first of one, for which everything here costs nothing. Methods that speak of all
    processes are called by all of them, in the same order.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        device: torch.device | None = None,
        store: dist.Store | None = None,
        here: int = 1,
    ) -> None:
        """`rank`: which of the `size` processes this is, from 0; `device`: this one's, by default the CPU; `store`:
        where they meet; `here`: how many of them are on this machine. Returns once all have met. Raises TrainingError
        if they cannot connect."""
        self.rank, self.size, self.device = rank, size, device or torch.device("cpu")
        self._store, self.here = store, here
        if size > 1:
            options: dict[str, Any] = {}
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
                options["device_id"] = self.device
            backend = BACKENDS[self.device.type]
            try:
                dist.init_process_group(backend, store=store, rank=rank, world_size=size, **options)
                self._patient: Any = dist.new_group(backend="gloo", timeout=NO_LIMIT)
            except RuntimeError as error:
                if not _of_connection(error):
                    raise
                raise TrainingError(
                    f"the processes of this run cannot connect ({str(error).splitlines()[0]})"
                ) from error

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that prints and writes."""
        return self.rank == 0

    def broadcast(self, value: T) -> T:
        """The first process's `value`, in all of them, however long the first takes."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, group=self._patient)
        return values[0]

    def barrier(self) -> None:
        """Wait until all processes have come here, however long that takes."""
        if self.size > 1:
            dist.barrier(group=self._patient)

    def in_all(self, values: Tensor, operation: Any = dist.ReduceOp.SUM) -> Tensor:
        """Reduce `values` over all processes, entry by entry, by `operation`, a sum by default."""
        if self.size == 1:
            return values
        values = values.clone()
        dist.all_reduce(values, operation)
        return values

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module, whose gradients are averaged over all processes by every backward pass outside `apart`."""
        if self.size == 1:
            return module
        if self.device.type != "cpu":
            return DistributedDataParallel(module, device_ids=[self.device])
        # After the first step torch rearranges what it adds up; three processes or more would not repeat bit for bit.
        # It does not if it looks for unused parameters; this one keeps it from warning that there are none.
        module.register_parameter("unused", nn.Parameter(torch.zeros(1)))
        return DistributedDataParallel(module, find_unused_parameters=True)

    def apart(self, module: nn.Module) -> AbstractContextManager:
        """Inside the block, gradients of a `wrapped` module stay in this process, and add up."""
        return module.no_sync() if isinstance(module, DistributedDataParallel) else contextlib.nullcontext()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Raise a WaveNetError of one process in all of them, so that none waits for one that has ended.

        At the end of the block each process waits for the slowest, however long that takes.
        """
        error = None
        try:
            yield
        except WaveNetError as caught:
            error = caught
        if self.size > 1:
            errors: list[WaveNetError | None] = [None] * self.size
            dist.all_gather_object(errors, error, group=self._patient)
            error = error or next(filter(None, errors), None)
        if error is not None:
            raise error

    @contextlib.contextmanager
    def none_lost(self, run_dir: Path) -> Iterator[None]:
        """Raise TrainingError if the connection to another process is lost: with what that one has failed of, or else
        with what is kept in the run folder."""
        try:
            yield
        except WaveNetError as error:
            if self._store is not None:
                with contextlib.suppress(RuntimeError):  # the first process, which may hold the store, has ended
                    self._store.set(FAILED, str(error))
            raise
        except RuntimeError as error:
            if self.size > 1 and _of_connection(error):
                ended = f"another process of this run has ended; {kept(run_dir)}"
                raise TrainingError(self._failure() or ended) from error
            raise

    def _failure(self) -> str | None:
        with contextlib.suppress(RuntimeError):
            if self._store is not None and self._store.check([FAILED]):
                return self._store.get(FAILED).decode()
        return None

    def leave(self) -> None:
        """End the connection to the others."""
        if self.size > 1:
            dist.destroy_process_group()


def _of_connection(error: RuntimeError) -> bool:
    """Whether it is about the connection to other processes."""
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()
