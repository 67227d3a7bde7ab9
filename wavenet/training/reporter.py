"""What training tells whoever watches it; the command line shows it live, a library user may ignore it."""

from typing import Any


class Reporter:
    """Does nothing; a subclass shows what it likes."""

    def say(self, line: str) -> None:
        """One line of words."""

    def preparing(self, done: int, total: int) -> None:
        """So many recordings of so many are decoded."""

    def step(self, step: int, steps: int | None, bits: float, samples_per_second: float, seconds_left: float) -> None:
        """A step is done; `bits` is the recent training loss in bits per sample.

        steps: how many there will be, None while `minutes` has not become a number yet.
        """


class Dispensable(Reporter):
    """Passes on what it is told until that cannot be written: a run outlives the terminal it was begun in."""

    def __init__(self, shown: Reporter) -> None:
        self._shown = shown

    def say(self, line: str) -> None:
        self._pass_on("say", line)

    def preparing(self, done: int, total: int) -> None:
        self._pass_on("preparing", done, total)

    def step(self, step: int, steps: int | None, bits: float, samples_per_second: float, seconds_left: float) -> None:
        self._pass_on("step", step, steps, bits, samples_per_second, seconds_left)

    def _pass_on(self, method: str, *told: Any) -> None:
        try:
            getattr(self._shown, method)(*told)
        except OSError:
            self._shown = Reporter()
