"""What training tells whoever watches it; the command line shows it live, a library user may ignore it."""


class Reporter:
    """Does nothing; a subclass shows what it likes."""

    def say(self, line: str) -> None:
        """One line of words."""

    def preparing(self, done: int, total: int) -> None:
        """So many recordings of so many are decoded."""

    def step(self, step: int, steps: int, bits: float, samples_per_second: float, seconds_left: float) -> None:
        """A step is done; `bits` is the recent training loss in bits per sample."""
