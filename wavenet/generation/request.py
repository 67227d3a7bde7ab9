"""What is asked of a network: the settings of a sound, and the recordings that two of them name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from wavenet.config import GenerateConfig
from wavenet.model.sampling import Sampling

if TYPE_CHECKING:
    from wavenet.recordings.reader import GivenRecording, Reader

DEFAULT_SECONDS = 5.0
"""Length of a sound if neither a length nor features are given."""
ENDLESS = sys.maxsize
"""Samples of a stream that continues until its reader stops."""


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    config: GenerateConfig
    sample_rate: int
    """Hz, of the model."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the model's training that decide how recordings are read."""
    prime: GivenRecording | None = None
    features: GivenRecording | None = None
    endless: bool = False
    """Whether the sound has no end if neither a length nor features are given."""

    @cached_property
    def reader(self) -> Reader:
        """Reads recordings at the model's sample rate."""
        from wavenet.recordings.reader import Reader  # imported late, because it imports torch

        return Reader(self.sample_rate, self.data)

    @property
    def said(self) -> list[str]:
        """A line of text for each recording that was read and is damaged."""
        return self.reader.said if "reader" in vars(self) else []

    @property
    def sampling(self) -> Sampling:
        config = self.config
        return Sampling(config.temperature, config.top_k, config.top_p, config.guidance)

    @property
    def seeds(self) -> list[int]:
        """One for each sound."""
        return [self.config.seed + i for i in range(self.config.count)]

    def samples(self, followed: int = 0) -> int:
        """Samples of each sound; `followed` is the length of the features, 0 without."""
        if self.config.seconds is not None:
            return max(round(self.config.seconds * self.sample_rate), 1)
        return followed or (ENDLESS if self.endless else round(DEFAULT_SECONDS * self.sample_rate))
