"""Stopping a run by a signal: the step is finished and saved first."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.distributed import ReduceOp

from wavenet.training.processes import Processes

HANG_UP = getattr(signal, "SIGHUP", None)
"""Sent by a terminal that is closed. Windows has none."""
QUEUED = [getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)]
"""Sent by SLURM before a time limit, and to submitit's jobs; what had no handler has none again afterwards."""
REPEAT_SECONDS = 5.0
"""A SIGTERM that is repeated within this time counts as one: SLURM sends it to the program and to what started it."""


class Stopper:
    """Notes the first signal that this process receives."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.received: int | None = None
        self._say, self._when = say, 0.0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Inside the block, the first Ctrl-C, SIGTERM, SIGUSR1, SIGUSR2 or SIGHUP is only noted; a second raises
        KeyboardInterrupt.

        A closing terminal sends several SIGHUPs, which count as one; under `nohup` they are ignored.
        """
        numbers = [signal.SIGINT, signal.SIGTERM, *QUEUED]
        if HANG_UP is not None and signal.getsignal(HANG_UP) != signal.SIG_IGN:
            numbers.append(HANG_UP)
        before = {}
        with contextlib.suppress(ValueError):  # only the main thread may set handlers; other threads keep the caller's
            before = {number: signal.signal(number, self._receive) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def in_any(self, processes: Processes) -> int | None:
        """The signal that any process received, None if none did; all processes call this together."""
        return int(processes.in_all(torch.tensor(self.received or 0), ReduceOp.MAX)) or None

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt if a signal has come; long work between two steps calls this now and then."""
        if self.received is not None:
            raise KeyboardInterrupt

    def _receive(self, number: int, _: Any) -> None:
        if self.received is None:
            self.received, self._when = number, time.monotonic()
            self._say("stopping after this step; interrupt again to stop at once, without saving")
        elif number not in (HANG_UP, *QUEUED) and not (
            number == signal.SIGTERM and time.monotonic() - self._when < REPEAT_SECONDS
        ):
            raise KeyboardInterrupt
