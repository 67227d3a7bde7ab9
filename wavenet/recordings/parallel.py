"""The same work on many things by threads, in order."""

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
    """`function` of each item, in the items' order, by so many threads (0: one per core), a few items ahead.

    Close it (`contextlib.closing`) where it may be left early: then nothing more is begun, and what runs is waited for,
    so that no thread is in the middle of its work when the interpreter ends. It is told by `stopping`.
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
