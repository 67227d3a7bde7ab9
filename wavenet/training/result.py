"""How a run ended."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wavenet.training.forecast import Forecast


@dataclass(frozen=True)
class Result:
    """What `train` returns."""

    run_dir: Path
    checkpoint: Path | None
    """The best checkpoint, None if none was written."""
    steps: int
    samples_per_second: float
    bits_per_sample: float | None
    """Of `checkpoint`, on the whole validation part, or on `validate_seconds` of it if the run was stopped; None if
    nothing was validated."""
    unigram_bits: float | None
    linear_bits: float | None
    stopped_by: int | None
    """The signal that ended it early, None if it ran to its end."""
    best_step: int
    """Step whose weights `checkpoint` holds, 0 if none was validated."""
    forecast: "Forecast | None" = None
    """What was expected before the first step; None for a run too short for that."""
