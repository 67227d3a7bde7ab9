"""The output streams of a command, and the signals that end it.

Neither a lost terminal nor a name in letters that its encoding lacks may end the work.
"""

import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

REPEAT_SECONDS = 1.0
"""Signals repeated within this time count as one: a closing terminal sends SIGHUP, and a hasty user Ctrl-C, again."""
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end a command. Not every system has SIGHUP."""


class Steady:
    """A text stream that does not fail: once it cannot be written to, text is discarded."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):  # ValueError if it was closed
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._drop()

    def _drop(self) -> None:
        """Discard all output, and the buffered text, which would fail again when the program ends."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
                self._stream.flush()
            finally:
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def steady_streams() -> Iterator[None]:
    """Let print escape letters that the encoding lacks, and never fail, inside the block."""
    with contextlib.ExitStack() as stack:
        for name, redirect in (("stdout", contextlib.redirect_stdout), ("stderr", contextlib.redirect_stderr)):
            stream = getattr(sys, name)
            if stream is None:  # closed by the parent process; another file must not get its number
                stream = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            if isinstance(stream, io.TextIOWrapper) and not stream.closed:
                stream.reconfigure(errors="backslashreplace")
            stream = Steady(stream)
            stack.callback(stream.flush)
            stack.enter_context(redirect(stream))
        yield


@contextlib.contextmanager
def interruptible() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt on SIGINT (Ctrl-C), SIGTERM and SIGHUP, and only once if they are repeated quickly. An
    ignored signal stays ignored. Yields the received signals."""
    received: list[int] = []
    last = -REPEAT_SECONDS

    def stop(number: int, _: Any) -> None:
        nonlocal last
        again, last = time.monotonic() - last < REPEAT_SECONDS, time.monotonic()
        received.append(number)
        if not again:
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler in (signal.SIG_DFL, signal.default_int_handler):
            _handle(number, stop)
    try:
        yield received
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) != signal.SIG_IGN:  # an interrupted command ignores them to its end
                _handle(number, handler)


def ignore_signals() -> None:
    """Ignore signals while an interrupted command prints its last line and Python cleans up."""
    for number in SIGNALS:
        _handle(number, signal.SIG_IGN)


def _handle(number: int, handler: Any) -> None:
    """Set a signal's handler if possible: in the main thread, and if Python installed the handler."""
    if handler is not None:
        with contextlib.suppress(ValueError):
            signal.signal(number, handler)
