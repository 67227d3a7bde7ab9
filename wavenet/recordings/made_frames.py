"""Recordings a second time, with frames that another model has made of them.

A vocoder that speaks gets the frames of an acoustic model, which are smoother than those of recordings. So it learns
from each recording twice: told the recording's own frames, and told the ones that were made.
"""

import dataclasses
from pathlib import Path

import numpy as np

from wavenet.errors import AudioError
from wavenet.model.conditioning import Companion
from wavenet.recordings.annotations import Annotations, clamped
from wavenet.recordings.split import Span


class Twice:
    """Every recording under its own number, with its own frames, and again under `count` more, with those made."""

    def __init__(self, annotations: Annotations, path: Path) -> None:
        """path: float32 rows in the order of `annotations.frames`. Raises AudioError if it is missing or misfits."""
        assert annotations.frames is not None, "without frames there is nothing to replace"
        self.annotations, self.count = annotations, len(annotations.prepared.recordings)
        shape = annotations.frames.shape
        if not path.is_file() or path.stat().st_size != 4 * shape[0] * shape[1]:
            raise AudioError(f"data.made_frames: {path} does not hold {shape[1]} numbers for each of {shape[0]} frames")
        self.made = np.memmap(path, dtype=np.float32, mode="r", shape=shape)

    def spans(self, spans: list[Span]) -> list[Span]:
        """These spans, and the same ones told the other frames."""
        again = [dataclasses.replace(span, recording=span.recording + self.count) for span in spans]
        return [*spans, *again]

    def companion(self, recording: int) -> Companion:
        own = self.annotations.companion(recording % self.count)
        if recording < self.count:
            return own
        return own._replace(frames=clamped(self.made[self.annotations.rows(recording - self.count)]))
