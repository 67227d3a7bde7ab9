"""Stopping a run by a signal: the step is finished and saved first."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.distributed import ReduceOp

from wavenet.training.processes import in_all

HANG_UP = getattr(signal, "SIGHUP", None)
"""Sent by a terminal that is closed. Windows has none."""


class Stopper:
    """The first signal that this process is sent."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.received: int | None = None
        self._say = say

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Within, the first Ctrl-C, SIGTERM or SIGHUP is only noted; a second one raises KeyboardInterrupt.

        A terminal that is closed sends several SIGHUPs, which count as one; `nohup` has them ignored.
        """
        numbers = [signal.SIGINT, signal.SIGTERM]
        if HANG_UP is not None and signal.getsignal(HANG_UP) != signal.SIG_IGN:
            numbers.append(HANG_UP)
        before = {}
        with contextlib.suppress(ValueError):  # only the main thread may set handlers; elsewhere the caller's stay
            before = {number: signal.signal(number, self._receive) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def in_any(self, fabric: Fabric) -> int | None:
        """The signal that any of the processes was sent, None where none was; all of them ask together."""
        return int(in_all(fabric, torch.tensor(self.received or 0), ReduceOp.MAX)) or None

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt where a signal has come: what takes long between two steps asks now and then."""
        if self.received is not None:
            raise KeyboardInterrupt

    def _receive(self, number: int, _: Any) -> None:
        if self.received is None:
            self.received = number
            self._say("stopping after this step; once more to stop at once, without saving")
        elif number != HANG_UP:
            raise KeyboardInterrupt
