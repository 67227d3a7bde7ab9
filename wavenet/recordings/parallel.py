"""The same work on many items by several threads, in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_order(
    function: Callable[[Item], Made], items: Iterable[Item], threads: int = 0, stopping: Event | None = None
) -> Generator[Made, None, None]:
    """`function` of each item, in the items' order, by `threads` threads (0: one per core), a few items ahead.

    Close it (`contextlib.closing`) if it may be left early. Then no new work starts, `stopping` is set to tell running
    work, and that is waited for, so that no thread is still working when the interpreter ends.
    """
    threads = threads or os.cpu_count() or 1
    ahead: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            if stopping is not None:
                stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
