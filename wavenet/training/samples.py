"""Sounds that a model makes while it learns, judged beside recordings, and pictures of what it has learned."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from wavenet.audio import plots
from wavenet.evaluation import verdict
from wavenet.generation import Conditions, Rendering, make_engine, render
from wavenet.model.wavenet import WaveNet
from wavenet.training.data import TrainingData
from wavenet.training.metrics import RunLog

PICTURED_SECONDS = 2
"""Most of a recording whose features are drawn."""


class Samples:
    """Makes a sound with the labels, or from the features, of a held-out recording, or of a training one if none is."""

    def __init__(self, data: TrainingData, log: RunLog, seconds: float, seed: int, say: Callable[[str], None]) -> None:
        self.data, self.log, self.seed, self.say = data, log, seed, say
        self.rate = data.prepared.sample_rate
        self.samples = max(round(seconds * self.rate), 1)
        self.span = (data.sides.valid or data.sides.train)[0]
        self._heard: verdict.Recordings | None = None

    def make(self, model: WaveNet, step: int, held_out_bits: float | None, progress: Callable[[int], None]) -> None:
        """Write a sound and its picture beside that of a recording, judge the sound, and draw what was learned.

        held_out_bits: bits per sample of held-out recordings, if known. `progress` receives the number of samples made;
        if it raises KeyboardInterrupt, the sound ends there. Raises OSError if the run folder cannot be written.
        """
        path = self.log.folder / "samples" / f"step_{step:06d}.wav"
        made = self._render(model, path, progress)
        for warning in made.warnings:
            self.say(f"step {step}: {warning}")
        recording = self._recording(model, self.span.start, self.span.start + max(made.samples, 1))
        sound = self.log.sound(step, path, recording)
        self._judge(sound, step, made.bits_per_sample, held_out_bits)
        self._draw_conditioning(model, step)

    def _render(self, model: WaveNet, path: Path, progress: Callable[[int], None]) -> Rendering:
        start = self.span.start - self.span.origin
        companion, conditions = self.data.annotations.companion(self.span.recording, from_sample=start), None
        companion = companion._replace(codes=None)  # the model hears its own sound, not the recording
        if model.conditioning is not None:
            conditions = Conditions(model.conditioning, [companion])
        engine = make_engine("auto", model, sample_rate=self.rate, examples=[companion])
        how = {"progress": progress, "conditions": conditions}
        return render(engine, self.rate, [path], self.samples, [self.seed], **how)

    def _judge(self, sound: Tensor, step: int, bits: float, held_out_bits: float | None) -> None:
        """Say how close a sound is to the recordings that share its labels."""
        if self._heard is None:
            alike = self.data.annotations.alike
            like = [span for span in self.data.sides.train if alike(span.recording, self.span.recording)]
            pieces = verdict.pieces(self.data.prepared.codes, like or [self.span], self.samples)
            self._heard = verdict.Recordings(pieces, self.rate)
        judged = verdict.of_sound(sound, self._heard, bits, held_out_bits)
        if judged is not None:
            self.say(f"step {step}: the generated sound is {judged.words}")
            self.log.scalars(step, {f"sample/{name}": value for name, value in judged.figures.items()})

    @torch.inference_mode()
    def _draw_conditioning(self, model: WaveNet, step: int) -> None:
        """Draw what the model has learned of labels and features."""
        learned, span = model.conditioning, self.span
        if learned is None:
            return
        if learned.labels is not None and len(learned.names) > 1:
            self.log.learned(step, "labels", plots.embeddings(learned.names, learned.labels.detach().cpu()))
        companion, first = self.data.annotations.companion(span.recording), span.start - span.origin
        if learned.features is not None and companion.frames is not None:
            stop = min(span.stop - span.origin, first + PICTURED_SECONDS * self.rate)
            upsampled = learned.features(companion.frames, first, stop).cpu()
            recording = self._recording(model, span.origin + first, span.origin + stop)
            self.log.learned(step, "features", plots.upsampled(recording, upsampled, self.rate))

    def _recording(self, model: WaveNet, start: int, stop: int) -> Tensor:
        """The span's sound (n,) from `start` to `stop`, or to its end."""
        codes = self.data.prepared.codes[start : min(stop, self.span.stop)].astype("int64")
        return model.distribution.encoding.decode(torch.from_numpy(codes))
