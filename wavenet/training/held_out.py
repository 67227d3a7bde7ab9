"""How well a network predicts the validation part. If there are several processes, each scores a share of it."""

import hashlib

import torch

from wavenet import evaluation
from wavenet.evaluation.baselines import Baselines, measure_baselines
from wavenet.model import recognition
from wavenet.model.distributions import IGNORED
from wavenet.model.wavenet import WaveNet
from wavenet.training.data import TrainingData
from wavenet.training.machine import autocast
from wavenet.training.processes import Processes


class HeldOut:
    """The validation part. Methods that take `seconds` use windows or recordings spread over all of it."""

    def __init__(
        self, processes: Processes, data: TrainingData, crop: int, receptive_field: int, precision: str
    ) -> None:
        self.processes, self.data, self.precision = processes, data, precision
        self.spans, self.rate = data.sides.valid, data.prepared.sample_rate
        self.windows = data.windows(self.spans, crop, receptive_field)

    def __bool__(self) -> bool:
        return bool(self.spans)

    def is_whole(self, seconds: float) -> bool:
        """Whether this many seconds cover the whole part."""
        return seconds * self.rate >= self.windows.samples

    def baselines(self) -> Baselines | None:
        """Bits per sample of simple predictors fitted to the training part; None if nothing is held out."""
        if not self.spans:
            return None
        measured = None
        if self.processes.is_first:
            measured = measure_baselines(self.data.prepared.codes, self.data.sides.train, self.spans)
        return self.processes.broadcast(measured)

    def bits(self, model: WaveNet, seconds: float) -> float:
        """Bits per sample."""
        chosen = self._chosen(seconds)[self.processes.rank :: self.processes.size]
        computed = autocast(self.processes.device, self.precision)
        scored = evaluation.score(model, self.windows, self.processes.device, computed, chosen)
        bits, samples, _ = self.processes.in_all(torch.tensor(scored, dtype=torch.float64))
        return float(bits / samples)

    def frame_accuracy(self, model: WaveNet, seconds: float) -> float | None:
        """Share of frames whose class is recognised, in whole recordings; None if no class is known."""
        alignments = self.data.alignments
        if alignments is None:
            return None
        counts, known = [(0, 0)], self.data.annotations if self.data.model.conditioned else None
        spans = self.spans[:: self._every(seconds)]
        for span in spans[self.processes.rank :: self.processes.size]:
            how = (known, self.processes.device, autocast(self.processes.device, self.precision))
            made = evaluation.frame_classes(model, self.data.prepared.codes, span, *how)
            told = alignments.frame_classes(span.recording, span.start - span.origin, span.stop - span.origin)
            counts.append(recognition.count_right(made, told))
        right, frames = self.processes.in_all(torch.tensor(counts).sum(dim=0))
        return float(right / frames) if frames else None

    def fingerprint(self, seconds: float) -> str:
        """Hash of the codes that `bits` scores: bits are comparable only if it is the same."""
        digest, codes = hashlib.sha256(), self.data.prepared.codes
        if self.is_whole(seconds):
            for span in self.spans:
                digest.update(codes[span.start : span.stop].tobytes())
        else:
            for index in self._chosen(seconds):
                _, targets = self.windows[index]
                digest.update(targets[targets != IGNORED].numpy().astype(codes.dtype).tobytes())
        return digest.hexdigest()

    def _chosen(self, seconds: float) -> range:
        return range(0, len(self.windows), self._every(seconds))

    def _every(self, seconds: float) -> int:
        return max(1, round(self.windows.samples / (seconds * self.rate)))
