"""What the commands show: a live progress line on a terminal, plain lines now and then elsewhere; reports as JSON."""

import json
import os
import shlex
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from wavenet.errors import ConfigError
from wavenet.files import atomic
from wavenet.preparation import printable
from wavenet.training import Reporter

PLAIN_SECONDS = 10
"""Seconds between two lines where the output is not a terminal."""


class Display(Reporter):
    """Shows lines of words, and one task's progress at a time; use it in a `with` block."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        columns = TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[words]}")
        self._progress = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self._task: Any = None
        self._kind, self._printed = "", 0.0
        self._longest = 0.0  # seconds that were left of training

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        self.console.print(printable(line), markup=False)

    def preparing(self, done: int, total: int) -> None:
        self._show("reading recordings", done, total, f"{done}/{total}")

    def step(self, step: int, steps: int | None, bits: float, samples_per_second: float, seconds_left: float) -> None:
        self._longest = max(self._longest, seconds_left)
        done, total = (round(self._longest - seconds_left), round(self._longest)) if steps is None else (step, steps)
        number = f"{step}" if steps is None else f"{step}/{steps}"
        left = f"{samples_per_second:,.0f} samples/s, {clock(seconds_left)} left"
        self._show("training", done, total, f"step {number}, {bits:.3f} bits, {left}")

    def generating(self, done: int, total: int, seconds: float, sample_rate: int) -> None:
        """`done` of `total` samples of each file are made, after so many seconds."""
        left = seconds / max(done, 1) * (total - done)
        made = f"{done / sample_rate:.1f}/{total / sample_rate:.1f} s, {clock(left)} left"
        self._show("generating", done, total, made)

    def recognising(self, done: int, total: int) -> None:
        self._show("recognising", done, total, f"{done}/{total}")

    def _show(self, kind: str, done: int, total: int, words: str) -> None:
        if not self._progress.disable:
            if kind != self._kind:
                if self._task is not None:
                    self._progress.remove_task(self._task)
                self._task = self._progress.add_task(kind, total=total, words=words)
            self._progress.update(self._task, completed=done, total=total, words=words)
        elif done == total or time.monotonic() - self._printed > PLAIN_SECONDS:
            self._printed = time.monotonic()
            self.say(f"{kind}: {words}")
        self._kind = kind


def clock(seconds: float) -> str:
    """90 -> 1:30, 3700 -> 1:01:40."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def setting(name: str, path: Path) -> str:
    """name=path as a shell takes it, spaces and all."""
    return shlex.quote(f"{name}={path}")


def check_report(path: str | None) -> None:
    """Find out before the long part that a report can be written. Raises ConfigError where it cannot."""
    there = Path(path or "").expanduser()
    if path and there.is_file() and there.stat().st_size and there.read_bytes()[:1] != b"{":
        raise ConfigError(f"report: {path} is there already and is no report; choose another place")
    if path and not (there.is_file() and os.access(there.parent, os.W_OK)):  # an earlier report stays until the new one
        write_report(path, {})
        there.unlink()


def write_report(path: str | None, figures: dict[str, Any]) -> None:
    """Write a command's figures as JSON, whole or not at all. Raises ConfigError where that cannot be."""
    if path is None:
        return
    try:
        with atomic(Path(path).expanduser()) as temporary:
            temporary.write_text(json.dumps(figures, indent=2) + "\n")
    except OSError as error:
        raise ConfigError(f"report: cannot write {path} ({error.strerror}); choose another place") from error
