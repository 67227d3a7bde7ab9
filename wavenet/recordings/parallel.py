"""The same work on many items by several threads or by an executor, in order."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


AHEAD = 256
"""Items that an executor of unknown size gets before the first of them is done."""


def in_order(
    function: Callable[[Item], Made],
    items: Iterable[Item],
    workers: int = 0,
    stopping: Event | None = None,
    executor: Executor | None = None,
) -> Generator[Made, None, None]:
    """`function` of each item, in the items' order, by `workers` threads (0: one per core), a few items ahead.

    executor: does the work instead of threads; `function` and the items must then be picklable if it has processes.
    Twice `workers` items are with it at a time, AHEAD if that is 0.

    Close it (`contextlib.closing`) if it may be left early. Then no new work starts, and `stopping` is set to tell
    running threads, which are waited for, so that none is still working when the interpreter ends.
    """
    most = (2 * workers or AHEAD) if executor is not None else 2 * (workers := workers or os.cpu_count() or 1)
    ahead: deque[Future[Made]] = deque()
    with contextlib.nullcontext(executor) if executor is not None else ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) > most:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            if stopping is not None:
                stopping.set()
            for future in ahead:
                future.cancel()
