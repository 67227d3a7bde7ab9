"""Progress reports of training: the command line shows them live, and library users may ignore them."""

from typing import Any


class Reporter:
    """Does nothing; subclasses show what they choose."""

    def say(self, line: str) -> None:
        """Show one line of text."""

    def preparing(self, done: int, total: int) -> None:
        """`done` of `total` recordings are decoded."""

    def aligning(self, done: int, total: int) -> None:
        """`done` of `total` passes that align texts with recordings are made."""

    def speaking(self, done: int, total: int) -> None:
        """The acoustic model has made the frames of `done` of `total` recordings."""

    def step(self, step: int, steps: int | None, bits: float, samples_per_second: float, seconds_left: float) -> None:
        """A step is done; `bits` is the recent training loss in bits per sample.

        steps: how many there will be, None while `minutes` does not yet give a fixed number.
        """

    def acoustic_step(self, step: int, steps: int | None, loss: float, seconds_left: float) -> None:
        """A step of the acoustic model is done; `loss` is its recent training loss. steps: as for `step`."""


class Dispensable(Reporter):
    """Passes reports on until they cannot be written, so that a run outlives the terminal it was started in."""

    def __init__(self, shown: Reporter) -> None:
        self._shown = shown

    def say(self, line: str) -> None:
        self._pass_on("say", line)

    def preparing(self, done: int, total: int) -> None:
        self._pass_on("preparing", done, total)

    def aligning(self, done: int, total: int) -> None:
        self._pass_on("aligning", done, total)

    def speaking(self, done: int, total: int) -> None:
        self._pass_on("speaking", done, total)

    def step(self, step: int, steps: int | None, bits: float, samples_per_second: float, seconds_left: float) -> None:
        self._pass_on("step", step, steps, bits, samples_per_second, seconds_left)

    def acoustic_step(self, step: int, steps: int | None, loss: float, seconds_left: float) -> None:
        self._pass_on("acoustic_step", step, steps, loss, seconds_left)

    def _pass_on(self, method: str, *told: Any) -> None:
        try:
            getattr(self._shown, method)(*told)
        except OSError:
            self._shown = Reporter()
