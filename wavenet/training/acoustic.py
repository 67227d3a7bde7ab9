"""Training an acoustic model: recordings with their units in time in, a checkpoint and its curves out.

As in all training here, every step is a function of the settings, the seed and the step number, so a resumed run equals
an uninterrupted one.
"""

import copy
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.config import TrainConfig
from wavenet.errors import CheckpointError, TrainingError
from wavenet.model import checkpoint
from wavenet.speech import storing
from wavenet.speech.acoustic import AcousticModel
from wavenet.speech.corpus import Corpus, Utterances
from wavenet.training.clock import Clock
from wavenet.training.learner import advance, average
from wavenet.training.metrics import RunLog
from wavenet.training.optimizers import make_optimizers
from wavenet.training.reporter import Reporter
from wavenet.training.run_folder import kept, writing
from wavenet.training.schedule import learning_rate_factor
from wavenet.training.state import check, restore_optimizers, restore_weights
from wavenet.training.stopping import Stopper

INSIDE = ("encoder.", "decoder.")
"""Where Muon's matrices are. AdamW takes embeddings, predictors, and the layers that enter and leave."""
LOSSES = ("mel", "duration", "pitch", "voicing", "energy")
WEIGHTS = torch.tensor([1.0, 1.0, 0.3, 1.0, 1.0])
"""Of each loss in the sum. Little of the pitch follows from a text, and the rest would be memorised."""
EXAMPLE_SECONDS = 5.0
"""About how long the example is that a voice keeps, see `storing.Acoustic`."""
NEEDED = ("config", "model", "averaged", "optimizers", "step", "best_step", "best", "steps", "steps_fixed")
"""Entries that a state has."""
BATCH = 16
"""Recordings that are scored side by side."""


def losses(model: AcousticModel, batch: Utterances) -> Tensor:
    """(5,) mean losses of LOSSES: of mel bands and of logarithms of durations the absolute errors, which tell of
    standardised values; of pitch, where voiced, and energy the squared errors; of voicing the cross entropy.

    Durations, and the prosody that the decoder hears, are those of the recordings.
    """
    encoded = model.encode(batch.units, batch.unit_mask, batch.labels)
    lasts = torch.log1p(batch.durations.float())
    there = batch.unit_mask[:, :, 0]
    duration = ((model.durations(encoded, batch.unit_mask)[:, :, 0] - lasts).abs() * there).sum() / there.sum()
    spread, mask = model.spread(encoded, batch.durations, batch.frames.shape[1])
    frames = model.standardised(batch.frames)
    told = frames[..., model.mels :]
    mel = model.decode(spread, told.flatten(2), mask).view_as(frames[..., : model.mels])
    guessed = model.prosody(spread, mask).view_as(told)
    here = mask.expand(-1, -1, frames.shape[2])
    voiced = told[..., 1] * here
    error = (guessed - told).square()
    return torch.stack(
        [
            ((mel - frames[..., : model.mels]).abs().mean(dim=-1) * here).sum() / here.sum(),
            duration,
            (error[..., 0] * voiced).sum() / voiced.sum().clamp(min=1),
            (F.binary_cross_entropy_with_logits(guessed[..., 1], told[..., 1], reduction="none") * here).sum()
            / here.sum(),
            (error[..., 2] * here).sum() / here.sum(),
        ]
    )


class AcousticTrainer:
    """One run: `corpus` is learned from, `held_out` is measured on, if it is not empty."""

    def __init__(
        self,
        config: TrainConfig,
        model: AcousticModel,
        corpus: Corpus,
        held_out: Corpus,
        folder: Path,
        front_end: dict[str, Any],
        reporter: Reporter,
        device: torch.device,
    ) -> None:
        """config: its steps, or minutes, are those of this model. front_end: as `FrontEnd.stored`."""
        self.config, self.corpus, self.held_out, self.folder = config, corpus, held_out, folder
        self.front_end, self.reporter, self.device = front_end, reporter, device
        self.model = model.to(device)
        self.averaged = copy.deepcopy(self.model).requires_grad_(False).eval()
        products = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
        self.optimizers = make_optimizers(self.model, config.optim, products, INSIDE)
        self.clock, self.stopper = Clock(config), Stopper(reporter.say)
        self.step, self.best_step, self.best = 0, 0, math.inf
        self.example = corpus.example(EXAMPLE_SECONDS)
        self.recent = 0.0

    # ---- resuming

    def restore(self, stored: dict[str, Any]) -> None:
        """Continue from a state that `save` has written. Raises CheckpointError if the recordings have other units or
        labels by now."""
        for name, ours in self._known().items():
            if stored.get(name) != ours:
                raise CheckpointError(
                    f"{self.folder.parent} cannot continue: the recordings and their texts have other {name} than when "
                    "it was stopped; put them back, or start a new run without resume="
                )
        check(stored, str(self.folder), NEEDED)
        restore_weights(stored["model"], self.model, str(self.folder))
        restore_weights(stored["averaged"], self.averaged, str(self.folder))
        restore_optimizers(stored, self.optimizers, str(self.folder))
        self.step, self.best_step, self.best = stored["step"], stored["best_step"], stored["best"]
        self.clock.restore(stored, self.step)

    def save(self) -> None:
        """Write the state to resume from. Raises CheckpointError if it cannot be written."""
        state = {
            "format_version": checkpoint.FORMAT_VERSION,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "best_step": self.best_step,
            "best": self.best,
            "config": {"minutes": self.config.minutes},
        }
        state |= self._known() | self.clock.state()
        checkpoint.save_state(self.folder / "checkpoints" / "last.state", state)

    def _known(self) -> dict[str, Any]:
        """What the weights stand for."""
        return {"units": self.model.units, "labels": self.config.model.labels}

    # ---- the loop

    def run(self) -> int | None:
        """Train to the last step, or until a signal; return that signal, or None. After the last step the best model is
        in checkpoints/best.safetensors, even if a signal came with it: then what follows this run is not to begin."""
        with writing(self.folder):
            self.log = RunLog(self.folder, 1, self.step)
        occasions = {"validation": self.validate, "checkpoint": self.save, "sound": lambda: None}
        clock = self.clock
        with self.stopper.listening():
            while self.step < clock.steps and self.stopper.received is None:
                began = clock.read()
                found = self.train_step()
                clock.count(self.step, began)
                self._record(found)
                if self.step < clock.steps:
                    for name in clock.due(self.step):
                        began = clock.read()
                        occasions[name]()
                        clock.took(name, began)
            if self.step >= clock.steps:
                self.validate()
            self.save()
        return self.stopper.received

    def train_step(self) -> Tensor:
        """Take one step; return its losses (5,)."""
        config, seed = self.config, self.config.seed
        batch = self._batch(self.corpus, self.corpus.chosen(self.step, config.acoustic.batch_size, seed))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((seed * 1_000_003 + self.step) % 2**63)  # of dropout: a function of the step alone
            if config.label_dropout and batch.labels.shape[1]:
                kept_labels = torch.rand(len(batch.labels), 1) >= config.label_dropout
                batch = batch._replace(labels=batch.labels * kept_labels.to(self.device))
            self.model.train()
            found = losses(self.model, batch)
            (found @ WEIGHTS.to(found)).backward()
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), config.optim.clip_norm or math.inf))
        if not math.isfinite(norm):
            raise TrainingError(
                f"the loss of the acoustic model is not finite at step {self.step + 1}: lower optim.lr (now "
                f"{config.optim.lr:g}); {kept(self.folder)}"
            )
        advance(self.optimizers, learning_rate_factor(self.step, self.clock.steps, config.optim))
        average(self.averaged, self.model, self.step, config.optim.ema_decay)
        self.step += 1
        return found.detach()

    def validate(self) -> None:
        """Measure the averaged model on what is held out, and keep it if it is the best; without a held-out part, the
        latest is kept."""
        total, count = torch.zeros(len(LOSSES)), 0
        with torch.inference_mode():
            for first in range(0, len(self.held_out), BATCH):
                indices = list(range(first, min(first + BATCH, len(self.held_out))))
                total += len(indices) * losses(self.averaged, self._batch(self.held_out, indices)).cpu()
                count += len(indices)
        if count:
            found = total / count
            with writing(self.folder):
                self.log.scalars(self.step, self._named("valid", found))
            words = ", ".join(f"{name} {value:.3f}" for name, value in zip(LOSSES, found.tolist(), strict=True))
            self.reporter.say(f"acoustic model, step {self.step}: losses held out: {words}")
        loss = float(total @ WEIGHTS) / count if count else -self.step
        if loss < self.best:
            self.best, self.best_step = loss, self.step
            found = storing.Acoustic(self.averaged, self.front_end, self.example, self.step)
            storing.save_acoustic(self.folder / "checkpoints" / "best.safetensors", found)

    def _record(self, found: Tensor) -> None:
        loss = float(found @ WEIGHTS.to(found))
        self.recent += (loss - self.recent) * max(0.05, 1 / self.clock.steps_here)
        steps = self.clock.steps if self.clock.fixed else None
        self.reporter.acoustic_step(self.step, steps, self.recent, self.clock.left(self.step))
        if self.step % self.config.log_every == 0 or self.step == self.clock.steps:
            with writing(self.folder):
                self.log.scalars(self.step, self._named("train", found))

    @staticmethod
    def _named(part: str, found: Tensor) -> dict[str, float]:
        return {f"{part}/{name}": value for name, value in zip(LOSSES, found.tolist(), strict=True)}

    def _batch(self, corpus: Corpus, indices: list[int]) -> Utterances:
        made = corpus.batch(indices, self.model)
        return Utterances(*(tensor.to(self.device) for tensor in made))
