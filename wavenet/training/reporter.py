"""Progress reports of training: the command line shows them live, and library users may ignore them."""

from typing import Any


class Reporter:
    """Does nothing; subclasses show what they choose."""

    def say(self, line: str) -> None:
        """Show one line of text."""

    def preparing(self, done: int, total: int) -> None:
        """`done` of `total` recordings are decoded."""

    def step(self, step: int, steps: int | None, bits: float, samples_per_second: float, seconds_left: float) -> None:
        """A step is done; `bits` is the recent training loss in bits per sample.

        steps: how many there will be, None while `minutes` does not yet give a fixed number.
        """


class Dispensable(Reporter):
    """Passes reports on until they cannot be written, so that a run outlives the terminal it was started in."""

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
