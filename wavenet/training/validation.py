"""How a network does on the validation part, of which each of several processes scores a share."""

import hashlib
from contextlib import AbstractContextManager

import torch
from lightning_fabric import Fabric

from wavenet import evaluation
from wavenet.config import TrainConfig
from wavenet.model import recognition
from wavenet.model.distributions import IGNORED
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.alignments import Alignments
from wavenet.recordings.annotations import Annotations
from wavenet.recordings.preparation import Prepared
from wavenet.recordings.windows import Span, Windows
from wavenet.training.machine import autocast
from wavenet.training.processes import in_all


class Validation:
    """The validation part; `seconds` of it are taken from everywhere."""

    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        prepared: Prepared,
        spans: list[Span],
        receptive_field: int,
        annotations: Annotations | None,
        alignments: Alignments | None,
    ) -> None:
        self.fabric, self.config, self.prepared, self.spans = fabric, config, prepared, spans
        self.annotations, self.alignments = annotations, alignments
        self.windows = Windows(prepared.codes, spans, config.crop, receptive_field, annotations)

    def __bool__(self) -> bool:
        return bool(self.spans)

    def is_whole(self, seconds: float) -> bool:
        """Whether so many seconds are all that there is."""
        return seconds * self.config.data.sample_rate >= self.windows.samples

    def bits(self, model: WaveNet, seconds: float) -> float:
        """Bits per sample."""
        chosen = self._chosen(seconds)[self.fabric.global_rank :: self.fabric.world_size]
        scored = evaluation.score(model, self.windows, self.fabric.device, self._autocast(), chosen)
        bits, samples, _ = in_all(self.fabric, torch.tensor(scored, dtype=torch.float64))
        return float(bits / samples)

    def frame_accuracy(self, model: WaveNet, seconds: float) -> float | None:
        """Share of frames that are told right, in whole recordings; None where nobody knows what is said."""
        if self.alignments is None:
            return None
        counts = [(0, 0)]
        spans = self.spans[:: self._every(seconds)]
        for span in spans[self.fabric.global_rank :: self.fabric.world_size]:
            how = (self.annotations, self.fabric.device, self._autocast())
            made = evaluation.frame_classes(model, self.prepared.codes, span, *how)
            told = self.alignments.frames(span.recording, span.start - span.origin, span.stop - span.origin)
            counts.append(recognition.count_right(made, told))
        right, frames = in_all(self.fabric, torch.tensor(counts).sum(dim=0))
        return float(right / frames) if frames else None

    def fingerprint(self, seconds: float) -> str:
        """Of the codes that `bits` scores: bits compare only where they are the same."""
        digest = hashlib.sha256()
        if self.is_whole(seconds):
            for span in self.spans:
                digest.update(self.prepared.codes[span.start : span.stop].tobytes())
        else:
            for index in self._chosen(seconds):
                _, targets = self.windows[index]
                digest.update(targets[targets != IGNORED].numpy().astype(self.prepared.codes.dtype).tobytes())
        return digest.hexdigest()

    def _chosen(self, seconds: float) -> range:
        return range(0, len(self.windows), self._every(seconds))

    def _every(self, seconds: float) -> int:
        return max(1, round(self.windows.samples / (seconds * self.config.data.sample_rate)))

    def _autocast(self) -> AbstractContextManager:
        return autocast(self.fabric.device, self.config.precision)
