"""Validation: measures the averaged weights now and then, and keeps the best."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from wavenet.model.wavenet import WaveNet
from wavenet.training.held_out import HeldOut
from wavenet.training.saving import Checkpoints


class Measured(NamedTuple):
    """What a validation has found."""

    step: int
    bits: float
    """Per sample."""
    frame_accuracy: float | None
    """Share of frames whose class is recognised; None without a recogniser."""
    part: str
    """What it was measured on, in words."""


class Validation:
    """Measures a network while it learns, and keeps the checkpoint of its best step.

    The best is always chosen on the same `seconds` of validation audio, and measured on all of it at the end. All
    processes call each method together.
    """

    def __init__(
        self,
        held_out: HeldOut,
        model: WaveNet,
        checkpoints: Checkpoints,
        seconds: float,
        tell: Callable[[Measured], None],
    ) -> None:
        """`model` is the network to measure; `tell` receives every result."""
        self.held_out, self.model, self.checkpoints, self.seconds = held_out, model, checkpoints, seconds
        self._tell = tell
        self.best_step, self.best_bits = 0, math.inf
        self.best_on: str | None = None  # fingerprint of the audio that they were measured on
        self.latest_step = 0
        self.latest_bits: float | None = None
        self.final_bits: float | None = None  # of the best, on the whole validation part

    def validate(self, step: int) -> None:
        """Measure the network, and keep it if it is the best."""
        if not self.held_out:
            return
        bits = self._measure(step, self.seconds)
        if bits < self.best_bits:
            self.best_bits, self.best_step = bits, step
            self.best_on = self.held_out.fingerprint(self.seconds)
            self.checkpoints.share("best", self.model, step, bits)

    def finish(self, step: int, say: Callable[[str], None]) -> None:
        """At the end: choose the best on the same audio as before, then measure it on the whole validation part."""
        self.validate(step)
        if self.held_out and not self.held_out.is_whole(self.seconds):
            self._measure(step, math.inf)
        if self.best_step == step:
            self.final_bits = self.latest_bits
            self.checkpoints.share("best", self.model, step, self.final_bits)
        elif self.held_out and self.best_step:
            best = self.checkpoints.best(self.model)
            self.final_bits = self.held_out.bits(best, math.inf)
            say(f"step {self.best_step}, the best: {self.final_bits:.3f} bits per sample held out")
            self.checkpoints.share("best", best, self.best_step, self.final_bits)

    def measure_best_anew(self, say: Callable[[str], None]) -> None:
        """Measure the best of a resumed run again if the validation part has changed, as in a folder that grew."""
        if not (self.best_step and self.held_out) or self.best_on == self.held_out.fingerprint(self.seconds):
            return
        best, before = self.checkpoints.best(self.model), self.best_bits
        self.best_bits, self.best_on = self.held_out.bits(best, self.seconds), self.held_out.fingerprint(self.seconds)
        self.checkpoints.share("best", best, self.best_step, self.best_bits)
        if f"{before:.3f}" != f"{self.best_bits:.3f}":
            say(
                f"the best so far, step {self.best_step}, measured again: {self.best_bits:.3f} bits per sample on what "
                f"is held out now, {before:.3f} on what was held out before"
            )

    def bits_at(self, step: int) -> float | None:
        """Bits per sample at a step, None if not measured then."""
        return self.latest_bits if self.latest_step == step else None

    @property
    def bits_of_best(self) -> float | None:
        """Bits per sample of the best checkpoint, on the whole part once measured there; None if there is none."""
        return self.final_bits if self.final_bits is not None or not self.best_step else self.best_bits

    def state(self) -> dict[str, Any]:
        """What a resumed run continues with."""
        return {
            "best_bits": self.best_bits,
            "best_step": self.best_step,
            "best_on": self.best_on,
            "valid_bits": self.latest_bits,
            "valid_step": self.latest_step,
        }

    def restore(self, stored: dict[str, Any], resumed: str) -> None:
        """Continue from what `state` returned, with the best checkpoint of the run `resumed`; if it is gone, the next
        one is the best."""
        self.latest_bits, self.latest_step = stored["valid_bits"], stored.get("valid_step", 0)
        self.best_bits, self.best_step = stored["best_bits"], stored["best_step"]
        self.best_on = stored.get("best_on")
        if not self.checkpoints.take_best(resumed):
            self.best_bits, self.best_step = math.inf, 0

    def _measure(self, step: int, seconds: float) -> float:
        bits = self.held_out.bits(self.model, seconds)
        self.latest_bits, self.latest_step = bits, step
        accuracy = self.held_out.frame_accuracy(self.model, seconds)
        part = "held out" if self.held_out.is_whole(seconds) else f"on {seconds:g} s held out"
        self._tell(Measured(step, bits, accuracy, part))
        return bits
