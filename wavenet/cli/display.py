"""What the commands show: a live progress line on a terminal, occasional plain lines elsewhere; reports as JSON."""

import json
import os
import shlex
import sys
import textwrap
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from wavenet.cli.terminal import Steady
from wavenet.errors import ConfigError, printable
from wavenet.files import STANDARD_OUTPUT, atomic, expanded, followed, is_stdout, streamed
from wavenet.training import Reporter

PLAIN_SECONDS = 10
"""Seconds between two lines if the output is not a terminal."""


class Display(Reporter):
    """Shows lines of text, and one task's progress at a time; use it in a `with` block.

    A display that can no longer be written to, such as a closed terminal, is dropped silently: the work goes on.
    """

    def __init__(self, to_stderr: bool = False) -> None:
        stream: Any = Steady(sys.stderr if to_stderr else sys.stdout)
        # no emoji, because a path may contain :car:; no jupyter, because a notebook gets plain lines
        self.console = Console(file=stream, highlight=False, emoji=False, force_jupyter=False)
        # the text comes last: a narrow terminal first drops the bar, and then the end of the text
        columns = BarColumn(bar_width=24), TextColumn("{task.description}: {task.fields[words]}", markup=False)
        live = self.console.is_interactive  # a dumb terminal cannot draw over a line
        self._progress = Progress(*columns, console=self.console, transient=True, disable=not live)
        self._task: Any = None
        self._kind, self._printed = "", 0.0
        self._longest = 0.0  # most seconds that training had left

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        """Show a line of text; a terminal wraps it between words, elsewhere it stays one line."""
        line = printable(line)
        if self.console.is_terminal:
            # a path longer than a line is left to the terminal to wrap, so that it can be copied
            line = textwrap.fill(
                line,
                max(self.console.width, 20),
                subsequent_indent="  " + line[: len(line) - len(line.lstrip())],
                break_long_words=False,
                break_on_hyphens=False,
            )
        self.console.print(line, markup=False, soft_wrap=True)

    def offer(self, words: str, command: str) -> None:
        """Show a command to run next, without line breaks, so that it can be copied."""
        self.console.print(printable(f"{words}: {command}"), markup=False, soft_wrap=True)

    def preparing(self, done: int, total: int) -> None:
        self._show("reading recordings", done, total, f"{done}/{total}")

    def step(self, step: int, steps: int | None, bits: float, samples_per_second: float, seconds_left: float) -> None:
        words = f"{bits:.3f} bits, {clock(seconds_left)} left, {samples_per_second:,.0f} samples/s"
        self._step("training", step, steps, words, seconds_left)

    def acoustic_step(self, step: int, steps: int | None, loss: float, seconds_left: float) -> None:
        words = f"loss {loss:.3f}, {clock(seconds_left)} left"
        self._step("training the acoustic model", step, steps, words, seconds_left)

    def _step(self, kind: str, step: int, steps: int | None, words: str, seconds_left: float) -> None:
        self._longest = max(self._longest if self._kind == kind else 0.0, seconds_left)
        done, total = (round(self._longest - seconds_left), round(self._longest)) if steps is None else (step, steps)
        number = f"{step}" if steps is None else f"{step}/{steps}"
        self._show(kind, done, total, f"step {number}, {words}")

    def generating(self, done: int, total: int, seconds: float, sample_rate: int) -> None:
        """`done` of `total` samples of each file are made, after `seconds`."""
        left = seconds / max(done, 1) * (total - done)
        made = f"{done / sample_rate:.1f}/{total / sample_rate:.1f} s, {clock(left)} left"
        self._show("generating", done, total, made)

    def recognising(self, done: int, total: int) -> None:
        self._show("recognising", done, total, f"{done}/{total}")

    def aligning(self, done: int, total: int) -> None:
        self._show("aligning texts", done, total, f"{done}/{total}")

    def speaking(self, done: int, total: int) -> None:
        self._show("making the acoustic model's frames", done, total, f"{done}/{total}")

    def saying(self, done: float, total: float, seconds: float) -> None:
        """`done` of `total` characters of a text are spoken, which lasts `seconds` so far."""
        self._show("speaking", round(done), round(total), f"{seconds:.1f} s so far")

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
    """name=path, quoted for a shell."""
    return shlex.quote(f"{name}={path}")


def destination(given: str) -> Path:
    """The path that a setting means; "-" is the standard output. Raises ConfigError for the home of an unknown user."""
    return STANDARD_OUTPUT if given == "-" else expanded(given)


def takes_stdout(*given: str | None) -> bool:
    """Whether one of these settings sends its result to the standard output, so that messages must go elsewhere."""
    places = [destination(path) for path in given if path is not None]
    taken = sum(map(is_stdout, places))
    if taken > 1:
        raise ConfigError("two results both go to standard output; write one of them to a file")
    return bool(taken)


def check_report(path: str | None) -> None:
    """Check, before the long part, that a report can be written. Raises ConfigError if it cannot."""
    if path is None or streamed(destination(path)):
        return
    there = destination(path)
    if there.is_file() and there.stat().st_size and there.read_bytes()[:1] != b"{":
        raise ConfigError(f"report: {path} already exists and is not a report; choose another place")
    if not (there.is_file() and os.access(there.parent, os.W_OK)):  # an earlier report stays until replaced
        write_report(path, {})
        followed(there).unlink()


def write_report(path: str | None, figures: dict[str, Any]) -> None:
    """Write a command's figures as JSON, whole or not at all. Raises ConfigError if they cannot be written."""
    if path is None:
        return
    try:
        with atomic(destination(path)) as temporary:
            temporary.write_text(json.dumps(figures, indent=2) + "\n")
    except OSError as error:
        raise ConfigError(f"report: cannot write {path} ({error.strerror}); choose another place") from error
