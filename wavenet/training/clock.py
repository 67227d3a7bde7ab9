"""How long a run is, and when validation, checkpoints and sounds are due: by steps, or by shares of its minutes."""

import math
import time
from collections.abc import Callable
from typing import Any

from wavenet.config import TrainConfig

WARM_STEPS = 10
"""A run given in `minutes` fixes its number of steps after at least this many. During the first 40 % of the time the
number follows the speed of the last thirty steps, because the first steps are slow: kernels are still being compiled.
Then it stays fixed, so that the learning rate falls steadily to its end."""
WARM_SECONDS = 10.0
"""The speed is reported after this time at the latest, but not before the second step."""
FEW_STEPS = 300
"""A shorter run has hardly begun to learn."""
OCCASIONS = 10
"""About how often a run given in minutes is validated, saved and listened to."""
FIRST_SECONDS, LONGEST_SECONDS = 60.0, 600.0
"""The first of these comes within a minute and each later one within ten minutes, however long the run is."""
REST = 20
"""Each takes about a twentieth of the time at most: the next one waits this many times as long as the last one took."""
BY_STEPS = {"validation": 1000, "checkpoint": 1000, "sound": 5000}
"""Default steps between two, for a run whose length is given in steps."""
IDLE = 0.05
"""A process that uses less processor time per second than this counts as stopped."""


class Stopwatch:
    """Seconds that this process has run, without the time in which it was stopped or the machine slept.

    No system clock measures this: all of them continue while a process is stopped (SIGSTOP, Ctrl-Z, a paused
    container), and some also while the machine sleeps. Processor time stands still then, but it does not measure
    minutes: two threads use two seconds of it per second, and a thread that waits for a busy core uses none. So wall
    time counts, except for an interval with almost no processor time, such as a step with a stop in it: that one counts
    only its processor time.
    """

    def __init__(self, now: Callable[[], tuple[float, float]] = lambda: (time.perf_counter(), time.process_time())):
        self._now, self._last = now, now()
        self.spent = 0.0

    def read(self) -> float:
        """Seconds spent so far. Call it regularly, for example after each step."""
        now = self._now()
        wall, used = now[0] - self._last[0], now[1] - self._last[1]
        self._last = now
        self.spent += used if used < IDLE * wall else wall
        return self.spent


class Occasion:
    """Something that recurs after a number of steps or seconds."""

    def __init__(self, steps: int | None, seconds: float, spent: float) -> None:
        """steps: 0 means never, None means by `seconds`; spent: seconds of the run so far."""
        self.steps, self.seconds = steps, seconds
        self.next = spent + min(seconds, FIRST_SECONDS)
        self.share = 0.0  # of the time that this takes, 0 until known
        self._began = spent

    def due(self, step: int, spent: float) -> bool:
        if self.steps is not None:
            return self.steps > 0 and step % self.steps == 0
        return spent >= self.next

    def took(self, began: float, ended: float) -> None:
        """Record when it was done, and decide when it is due next."""
        every = self.seconds * (math.floor((ended - self._began) / self.seconds) + 1)
        self.next = max(self._began + every, ended + REST * (ended - began))
        self.share = (ended - began) / (self.next - began)


class Clock:
    """Tracks a run's time, its number of steps, and what is due."""

    def __init__(
        self, config: TrainConfig, agree: Callable[[Any], Any] = lambda told: told, stopwatch: Stopwatch | None = None
    ) -> None:
        """agree: returns the first process's argument in all processes, so that they follow its clock."""
        self.config, self._agree, self._stopwatch = config, agree, stopwatch or Stopwatch()
        self.steps, self.fixed = config.steps, config.minutes is None
        self.per_step = 0.0  # seconds
        self.steps_here, self.seconds_here = 0, 0.0  # of this process, spent in steps
        self._before = 0.0  # spent by the earlier processes of this run
        self._told = False
        self._plan_occasions()

    def _plan_occasions(self) -> None:
        config, given = self.config, self._given
        asked = {
            "validation": config.validate_every,
            "checkpoint": config.checkpoint_every,
            "sound": config.sample_every,
        }
        if config.minutes is None:
            asked = {name: BY_STEPS[name] if steps is None else steps for name, steps in asked.items()}
        every = min(max(given, 1.0) / OCCASIONS, LONGEST_SECONDS)
        self.occasions = {name: Occasion(steps, every, self._before) for name, steps in asked.items()}

    @property
    def _given(self) -> float:
        """Seconds that this process may use."""
        return 60 * (self.config.minutes or 0) - self._before

    def read(self) -> float:
        """Seconds spent on the run so far, including earlier processes."""
        return self._before + self._stopwatch.read()

    # ---- steps

    def count(self, step: int, began: float) -> None:
        """Count step number `step` of the run, which began when `read` returned `began`."""
        seconds = self.read() - began
        self.steps_here += 1
        self.seconds_here += seconds
        # the first step of a process compiles kernels; the second replaces its time
        self.per_step += (seconds - self.per_step) / min(max(self.steps_here - 1, 1), 30)
        if not self.fixed:
            self._plan(step)

    def _plan(self, step: int) -> None:
        left = 60 * (self.config.minutes or 0) - self.read()
        share = sum(occasion.share for occasion in self.occasions.values())
        steps = step + max(1, round(left * (1 - share) / self.per_step))
        fixed = self.steps_here > WARM_STEPS and left < 0.6 * self._given
        self.steps, self.fixed = self._agree((steps, fixed))

    def left(self, step: int) -> float:
        """Approximate seconds until the last step."""
        if not self.fixed:
            return max(60 * (self.config.minutes or 0) - self.read(), 0.0)
        return (self.steps - step) * self.seconds_here / max(self.steps_here, 1)

    # ---- what recurs

    def due(self, step: int) -> list[str]:
        """What is due after this step. Not for the last step, after which everything is due."""
        spent, by_time = self.read(), any(occasion.steps is None for occasion in self.occasions.values())
        left = self.left(step)
        due = [
            name
            for name, occasion in self.occasions.items()
            if occasion.due(step, spent) and (occasion.steps is not None or left > occasion.seconds / 4)
        ]
        return self._agree(due) if by_time else due

    def took(self, name: str, began: float) -> None:
        """Record that `name` was done, starting when `read` returned `began`."""
        self.occasions[name].took(began, self.read())

    def often(self, name: str, step: int, seconds: float) -> int:
        """About how often `name` is done before the last step of a run that is at `step` and takes `seconds` more."""
        occasion = self.occasions[name]
        if occasion.steps is None:
            return round(seconds / occasion.seconds)
        if not occasion.steps:
            return 0
        return max((self.steps - 1) // occasion.steps - step // occasion.steps, 0)

    # ---- words

    def announcement(self) -> str | None:
        """What is known of the run's length before its first step."""
        if self.config.minutes is None:
            return None
        first = {n: o.next - self._before for n, o in self.occasions.items() if o.steps is None}
        return f"this takes {in_words(self._given)}{_firsts(first)}"

    def forecast(self, step: int) -> list[str]:
        """Lines about what the first steps have shown, once they are done; empty at any other time."""
        warm = self.steps_here == WARM_STEPS or (self.steps_here > 1 and self.seconds_here > WARM_SECONDS)
        if not warm or self._told or step >= self.steps:
            return []
        self._told = True
        speed = f"{self.per_step:.2g} s a step"
        if self.config.minutes is not None:
            lines = [f"{speed}: about {to_two_digits(self.steps)} steps in all"]
            return lines + ([few_steps(self.steps, self.config.minutes)] if self.steps < FEW_STEPS else [])
        first = {
            name: (occasion.steps - step % occasion.steps) * self.per_step
            for name, occasion in self.occasions.items()
            if occasion.steps and step - step % occasion.steps + occasion.steps < self.steps
        }
        return [f"{speed}: {self.steps:,} steps take about {in_words(self.left(step))} from here{_firsts(first)}"]

    # ---- stopping and resuming

    def state(self) -> dict[str, Any]:
        """What a resumed run continues with."""
        return {"steps": self.steps, "steps_fixed": self.fixed, "seconds": self.read(), "per_step": self.per_step}

    def restore(self, stored: dict[str, Any], step: int) -> None:
        """Continue from what `state` returned, at this step, with the rest of the minutes. `stored` also has the old
        settings, as `config`; states of older versions lack some of its entries."""
        self._before = stored.get("seconds", 0.0)
        self.per_step = stored.get("per_step", 0.0)
        self._plan_occasions()
        if self.config.minutes is None:
            return
        if stored["steps_fixed"] and self.config.minutes == stored["config"]["minutes"]:
            self.steps, self.fixed = stored["steps"], True
        elif self.per_step:
            self._plan(step)
        else:  # its speed is not known yet
            self.steps += step


def in_words(seconds: float) -> str:
    """20 -> 20 seconds, 150 -> 2.5 minutes, 5220 -> 1 hour 27 minutes."""
    if seconds < 59.5:
        return _counted(max(round(seconds), 1), "second")
    minutes = round(seconds / 60)
    if minutes < 10:
        return f"{seconds / 60:.1f}".removesuffix(".0") + (" minute" if round(seconds / 60, 1) == 1 else " minutes")
    if minutes < 60:
        return _counted(minutes, "minute")
    hours, minutes = divmod(minutes, 60)
    return _counted(hours, "hour") + (f" {_counted(minutes, 'minute')}" if minutes else "")


def few_steps(steps: int, minutes: float, done: bool = False) -> str:
    """The warning about a run that has time for too few steps, or had, if it is `done`."""
    fitted = f"{_counted(steps, 'step')} fitted" if done else f"about {to_two_digits(steps)} steps fit"
    return (
        f"warning: only {fitted} into {in_words(60 * minutes)}, after which a model makes little but noise: "
        "give more minutes or a smaller model or crop, or stop other programs on this machine"
    )


def to_two_digits(steps: int) -> str:
    """To two digits, since more would suggest false precision."""
    return f"{int(float(f'{steps:.2g}')):,}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count != 1 else "")


def _firsts(first: dict[str, float]) -> str:
    """; the first validation and checkpoint come after 15 seconds, the first sound after 1 minute"""
    groups: dict[str, list[str]] = {}
    for name, seconds in first.items():
        groups.setdefault(in_words(seconds), []).append(name)
    parts = []
    for after, names in groups.items():
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        parts.append(f"the first {listed} {'come' if len(names) > 1 else 'comes'} after {after}")
    return "".join(("; " if i == 0 else ", ") + part for i, part in enumerate(parts))
