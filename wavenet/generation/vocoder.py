"""A network that follows features, prepared once to turn the frames of one sentence after another into sound."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from wavenet.errors import ConfigError
from wavenet.generation.conditions import Conditions
from wavenet.generation.engine_choice import make_engine
from wavenet.generation.export import Scale
from wavenet.generation.performance import Performance
from wavenet.generation.rendering import sound
from wavenet.model.conditioning import Companion
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet
from wavenet.recordings import annotations
from wavenet.recordings.reader import Reader, read_features


class Vocoder:
    """Frames in, sound out. What is said earlier changes nothing: each sentence depends on its frames and seed alone.

    scales: int8's, which `calibration.measured` found and the voice's file keeps; they make preparing quick. Without
    them they are measured on `examples`, recordings or frames that are like what will be said. Raises ConfigError for a
    model without features, or options that this machine does not have.
    """

    def __init__(
        self,
        model: WaveNet,
        sample_rate: int,
        scales: Sequence[Scale] = (),
        examples: Sequence[Companion] = (),
        *,
        engine: str = "auto",
        precision: str = "auto",
        instruction_set: str = "auto",
        threads: int = 1,
    ) -> None:
        if model.conditioning is None or not model.config.features.kinds:
            raise ConfigError("a vocoder follows features, but this model was trained without any")
        self.model, self.sample_rate, self.threads = model, sample_rate, threads
        self.engine = make_engine(
            engine, model, precision, instruction_set, threads, sample_rate, examples, scales=scales
        )

    def stream(
        self, frames: np.ndarray | Tensor, labels: Tensor | None = None, seed: int = 0, sampling: Sampling | None = None
    ) -> Iterator[Tensor]:
        """Sound (n,) in [-1, 1], in pieces as they are made, hop samples for each of the frames (n, channels).

        labels: (values,) as `steering.choose_labels` gives them; none by default. Raises ConfigError for frames of
        another width and AudioError for none or some that are not finite, both before the first piece.
        """
        features, conditioning = self.model.config.features, self.model.conditioning
        assert conditioning is not None
        sampling = sampling or Sampling()
        self.engine.distribution.check(sampling)
        rows = read_features(frames, features, Reader(self.sample_rate, {}), self.engine.distribution.encoding)
        labels = torch.zeros(len(conditioning.names)) if labels is None else labels
        told = Companion(labels, annotations.clamped(rows), samples=len(rows) * features.hop)
        conditions = Conditions(conditioning, [told], guided=sampling.guidance != 1)
        made = Performance(self.engine, told.samples, [seed], sampling, None, conditions, self.threads)
        return (torch.from_numpy(piece[0]) for piece in sound(made))
