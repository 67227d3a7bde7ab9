"""The training loop: a folder of recordings in, a run folder with checkpoints, curves and sounds out.

Every step is a function of the settings, the seed and the step number, so a run that is stopped and resumed equals one
that was not, bit for bit on a CPU: items come from f(seed, epoch, index), the learning rate from the step.
"""

import contextlib
import copy
import dataclasses
import math
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.distributed import ReduceOp

from wavenet.audio import plots
from wavenet.config import TrainConfig
from wavenet.errors import AudioError, CheckpointError, ConfigError, TrainingError
from wavenet.evaluation import verdict
from wavenet.evaluation.baselines import Baselines, measure_baselines
from wavenet.files import atomic, expanded
from wavenet.generation import Conditions, make_engine, render
from wavenet.model import checkpoint
from wavenet.model.distributions import IGNORED, make_distribution
from wavenet.model.wavenet import WaveNet
from wavenet.recordings import alignments, annotations
from wavenet.recordings.alignments import Alignments
from wavenet.recordings.annotations import Annotations
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import Span, split
from wavenet.recordings.windows import Batch, Windows, shuffled
from wavenet.training import state
from wavenet.training.clock import Clock, in_words
from wavenet.training.machine import autocast, keep_memory, make_fabric
from wavenet.training.metrics import RunLog
from wavenet.training.objective import Objective
from wavenet.training.optimizers import make_optimizers
from wavenet.training.processes import in_all, none_lost, together
from wavenet.training.reporter import Dispensable, Reporter
from wavenet.training.run_folder import claimed, kept, writing
from wavenet.training.schedule import learning_rate_factor
from wavenet.training.validation import Validation

HANG_UP = getattr(signal, "SIGHUP", None)
"""What a terminal that is closed sends; Windows has none."""


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    run_dir: Path
    checkpoint: Path | None
    """The best checkpoint, None where none was written yet."""
    steps: int
    samples_per_second: float
    bits_per_sample: float | None
    """Of `checkpoint`, on the whole validation part; of a run that was stopped, on `validate_seconds` of it. None where
    nothing was validated."""
    unigram_bits: float | None
    linear_bits: float | None
    stopped_by: int | None
    """The signal that ended it early, None where it ran to its end."""
    best_step: int
    """Step whose weights `checkpoint` holds, 0 where none was validated."""


def train(config: TrainConfig, run_dir: Path, reporter: Reporter | None = None) -> Result:
    """Train as `config` says, leaving everything under `run_dir`, that of the first of several processes.

    `minutes` includes those that a resumed run has had already. Raises ConfigError for a `run_dir` that holds another
    run than the one that is resumed, and where that one is at its last step, AudioError for a folder that cannot be
    used, CheckpointError for a state that cannot be resumed or written, and TrainingError where the loss is not finite,
    memory runs out, or the run folder cannot be written.
    """
    keep_memory()
    fabric, precision = make_fabric(config)
    config = dataclasses.replace(config, precision=precision)  # as it is kept: resumed, it stays the same
    run_dir = fabric.broadcast(run_dir)
    reporter = Dispensable(reporter) if fabric.is_global_zero and reporter else Reporter()
    with contextlib.ExitStack() as held, none_lost():
        with together(fabric):
            if fabric.is_global_zero:
                held.enter_context(claimed(run_dir, config.resume, config.data.dir))
        return _train(config, fabric, run_dir, reporter)


def _train(config: TrainConfig, fabric: Fabric, run_dir: Path, reporter: Reporter) -> Result:
    trainer = None
    try:
        with together(fabric):
            trainer = Trainer(config, fabric, run_dir, reporter)
        with trainer.signals():
            return trainer.run()
    except torch.OutOfMemoryError as error:
        raise _out_of_memory(config) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):
            raise _out_of_memory(config) from error
        raise
    finally:
        if trainer is not None:
            with writing(run_dir):
                trainer.close()


class Trainer:
    """One run: what it learns from, what it learns, and where it is."""

    def __init__(self, config: TrainConfig, fabric: Fabric, run_dir: Path, reporter: Reporter) -> None:
        self.config, self.fabric, self.run_dir, self.reporter = config, fabric, run_dir, reporter
        self.log: RunLog | None = None
        self.stored: dict[str, Any] | None = None  # the state that is resumed, until it is taken on
        self.signalled: int | None = None  # what this process was sent
        self.stopped_by: int | None = None  # what any of them was sent, once all know of it
        for first in (True, False):  # the others find prepared what the first has prepared
            with together(fabric):
                if fabric.is_global_zero == first:
                    self._read()
        with together(fabric):
            theirs = fabric.broadcast(self.recordings)
            if theirs != self.recordings:
                raise AudioError(
                    f"data.dir: {self.prepared.folder} holds other recordings for process {fabric.global_rank} "
                    f"({self.recordings['count']}) than for the first ({theirs['count']}); give all the same"
                )
        self._make_model()
        field = self.model.receptive_field
        codes, self.known = self.prepared.codes, self.annotations if self.config.model.conditioned else None
        self.train_windows = Windows(codes, self.sides.train, config.crop, field, self.known, self.alignments)
        held_out = self.sides.valid, field, self.known, self.alignments
        self.validation = Validation(fabric, self.config, self.prepared, *held_out)
        self.step, self.samples = 0, 0  # samples: scored since this process began, by all together
        self.clock = Clock(config, fabric.broadcast)
        self.best_bits, self.best_step = math.inf, 0  # on `validate_seconds`
        self.best_on: str | None = None  # the fingerprint of what that was measured on
        self.bits: float | None = None  # of the best, on the whole validation part
        self.valid_bits: float | None = None  # of the averaged weights at `valid_step`
        self.valid_step = 0
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))
        self._heard: verdict.Recordings | None = None
        if self.stored is not None:
            self._restore(self.stored)
            self.stored = None

    # ---- what is built once

    def _read(self) -> None:
        """The recordings and what is known of them, which also completes the model's settings."""
        data, encoding = self.config.data, make_distribution(self.config.model.mixtures).encoding
        if self.config.resume is not None:
            self.stored = checkpoint.load_state(expanded(self.config.resume))
            state.check_settings(self.stored, self.config)
        try:
            self.prepared = prepare(data, self.reporter.preparing, encoding)
        except AudioError as error:
            if self.config.resume is None or data.dir is None or expanded(data.dir).exists():
                raise
            raise AudioError(f"{error}; if it was moved, say where to: data.dir=...") from error
        self.recordings = state.fingerprint(self.prepared)
        model = annotations.describe(self.prepared, data, self.config.model)
        self.config = dataclasses.replace(self.config, model=model)
        self.annotations = Annotations(self.prepared, model, self.reporter.preparing, split_by=data.split_by)
        self.sides = split(self.prepared, data)
        self.alignments = None
        if data.frames is not None:
            self.alignments = Alignments(alignments.read(self.prepared, data.frames), model.recognition)
        if not self.sides.train:
            raise AudioError(f"data.dir: every recording of {self.prepared.folder} is held out, none left to train on")
        if self.stored is not None:
            state.check_recordings(self.stored, self.config, self.recordings, self.reporter.say)

    def _make_model(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            model = WaveNet(self.config.model)
        if model.conditioning is not None and model.conditioning.features is not None:
            model.conditioning.features.standardise(self.annotations.some_frames())
        products = torch.bfloat16 if self.config.precision == "bfloat16" else torch.float32
        optimizers = make_optimizers(model, self.config.optim, products)
        self.objective, *self.optimizers = self.fabric.setup(Objective(model), *optimizers)
        self.model = model
        self.averaged = copy.deepcopy(model).requires_grad_(False)

    # ---- the loop

    def run(self) -> Result:
        """Train to the last step, or until a signal, and leave a checkpoint either way."""
        config = self.config
        self._announce()
        self._measure_best_anew()
        baselines = self._measure_baselines()
        with writing(self.run_dir):
            self._open_log(baselines)
        recent, clock = 0.0, self.clock
        occasions = {"validation": lambda: self.validate(baselines), "checkpoint": self.save, "sound": self.sample}
        while self.step < clock.steps and not self._stopped():
            began = clock.read()
            bits, norm, samples = self.train_step()
            clock.count(self.step, began)
            self.samples += samples
            share = max(0.05, 1 / clock.steps_here)  # a mean of the last twenty or so, from the first step on
            recent += (bits - recent) * share
            rate, last = self._rate(), self.step == clock.steps
            self.reporter.step(self.step, clock.steps if clock.fixed else None, recent, rate, clock.left(self.step))
            for line in clock.forecast(self.step):
                self.reporter.say(line)
            if self.log and (self.step % config.log_every == 0 or last):
                lr = self.optimizers[0].param_groups[0]["lr"]
                values = {"train/bits": bits, "train/grad_norm": norm, "train/lr": lr, "train/samples_per_second": rate}
                with writing(self.run_dir):
                    self.log.scalars(self.step, values)
            for name in [] if last else clock.due(self.step):
                began = clock.read()
                with writing(self.run_dir) if name == "sound" else contextlib.nullcontext():
                    occasions[name]()
                clock.took(name, began)
        ended = self.step >= clock.steps
        if ended:
            self.stopped_by = None  # a signal that came with the last step stops nothing
            self.save(finished=False)  # whatever happens while it is measured
            self.validate_all(baselines)
        self.save()
        with writing(self.run_dir):
            if ended and config.sample_every != 0:
                self.sample()
            if self.log:
                self.log.curves()
        try:
            best = checkpoint.find(self.run_dir)
        except CheckpointError:
            best = None
        return self._result(best, self._rate(), baselines)

    def train_step(self) -> tuple[float, float, int]:
        """One optimizer step: loss in bits per sample, the gradient's norm and samples scored, in all processes."""
        config = self.config
        batches = [self._batch(self.step * config.accumulate + i) for i in range(config.accumulate)]
        samples = sum(int((batch.targets != IGNORED).sum()) for batch in batches)
        frames = sum(int((w.classes != IGNORED).sum()) for batch in batches for row in batch.frames for w in row)
        samples, frames = map(int, in_all(self.fabric, torch.tensor([samples, frames])))
        device = self.fabric.device
        shares = torch.tensor([1 / samples, config.model.recognition.weight / max(frames, 1), 0], device=device)
        shares *= self.fabric.world_size  # gradients are averaged over the processes
        totals = torch.zeros(3, device=device)
        for i, batch in enumerate(batches):
            with self.fabric.no_backward_sync(self.objective, enabled=i < len(batches) - 1):
                codes, targets = batch.codes.to(device), batch.targets.to(device)
                with self._autocast():
                    losses = self.objective(codes, targets, batch.pieces, batch.frames)
                self.fabric.backward(losses @ shares)
            totals += losses.detach()
        totals = in_all(self.fabric, totals)
        total = float(totals.sum())
        limit = config.optim.clip_norm or math.inf
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise TrainingError(
                f"the loss is not finite at step {self.step + 1}: lower optim.lr (now {config.optim.lr:g}) or use "
                f"precision=float32; {kept(self.run_dir)}"
            )
        factor = learning_rate_factor(self.step, self.clock.steps, config.optim)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * factor
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        # a young average would remember the first weights: 1 / (step + 1) is the plain mean until the decay takes over
        weight = max(1 - config.optim.ema_decay, 1 / (self.step + 1)) if config.optim.ema_decay else 1.0
        torch._foreach_lerp_(list(self.averaged.parameters()), [p.detach() for p in self.model.parameters()], weight)
        return float(totals[2]) / samples / math.log(2), norm, samples

    def _batch(self, number: int) -> Batch:
        """The batch of this rank: which items it holds, and which without labels, depends on seed and number alone."""
        world, size, count = self.fabric.world_size, self.config.batch_size, len(self.train_windows)
        first = (number * world + self.fabric.global_rank) * size
        indices = []
        for position in range(first, first + size):
            epoch = position // count
            if self._order[0] != epoch:
                self._order = epoch, shuffled(count, self.config.seed, epoch)
            indices.append(int(self._order[1][position % count]))
        batch = self.train_windows.batch(indices)
        if self.config.model.labels and self.config.label_dropout:
            for position, pieces in enumerate(batch.pieces, start=first):
                generator = torch.Generator().manual_seed((self.config.seed * 1_000_003 + position) % 2**63)
                dropped = torch.rand(len(pieces), generator=generator) < self.config.label_dropout
                pieces[:] = [
                    (companion.without_labels() if drop else companion, start, stop)
                    for (companion, start, stop), drop in zip(pieces, dropped.tolist(), strict=True)
                ]
        return batch

    def _rate(self) -> float:
        """Samples per second of the steps since this process began, in all processes."""
        return self.samples / max(self.clock.seconds_here, 1e-9)

    def _autocast(self) -> AbstractContextManager:
        return autocast(self.fabric.device, self.config.precision)

    def _stopped(self) -> bool:
        """Whether a signal has come, to any process."""
        self.stopped_by = int(in_all(self.fabric, torch.tensor(self.signalled or 0), ReduceOp.MAX)) or None
        return self.stopped_by is not None

    # ---- what happens now and then

    def validate(self, baselines: Baselines | None) -> None:
        """Score the averaged weights on `validate_seconds` of validation audio, and keep them if they are the best."""
        if not self.validation:
            return
        seconds = self.config.validate_seconds
        self._measure(baselines, seconds)
        assert self.valid_bits is not None
        if self.valid_bits < self.best_bits:
            self.best_bits, self.best_step = self.valid_bits, self.step
            self.best_on = self.validation.fingerprint(seconds)
            self._share("best", self.averaged, self.step, self.best_bits)

    def validate_all(self, baselines: Baselines | None) -> None:
        """At the end: choose the best as ever, on the same audio, then measure it on the whole validation part."""
        self.validate(baselines)
        if self.validation and not self.validation.is_whole(self.config.validate_seconds):
            self._measure(baselines, math.inf)
        if self.best_step == self.step:
            self.bits = self.valid_bits
            self._share("best", self.averaged, self.step, self.bits)
        elif self.validation and self.best_step:
            best = self._best()
            self.bits = self.validation.bits(best, math.inf)
            self.reporter.say(f"step {self.best_step}, the best: {self.bits:.3f} bits per sample held out")
            self._share("best", best, self.best_step, self.bits)

    def _measure(self, baselines: Baselines | None, seconds: float) -> None:
        self.valid_bits, self.valid_step = self.validation.bits(self.averaged, seconds), self.step
        self._tell(baselines, seconds)

    def _best(self) -> WaveNet:
        """The best checkpoint's network, whose file the first process reads."""
        weights = None
        with together(self.fabric):
            if self.fabric.is_global_zero:
                weights = checkpoint.load(self._checkpoint("best")).model.state_dict()
        best = copy.deepcopy(self.averaged)
        best.load_state_dict(self.fabric.broadcast(weights))  # type: ignore[arg-type] (the first has them)
        return best

    def _measure_best_anew(self) -> None:
        """Where the validation part is another than that on which the best was found, as in a folder that grew."""
        seconds = self.config.validate_seconds
        if not (self.best_step and self.validation) or self.best_on == self.validation.fingerprint(seconds):
            return
        best, before = self._best(), self.best_bits
        self.best_bits, self.best_on = self.validation.bits(best, seconds), self.validation.fingerprint(seconds)
        self._share("best", best, self.best_step, self.best_bits)
        if f"{before:.3f}" != f"{self.best_bits:.3f}":
            self.reporter.say(
                f"the best so far, step {self.best_step}, measured anew: {self.best_bits:.3f} bits per sample on what "
                f"is held out now, {before:.3f} on what was then"
            )

    def _tell(self, baselines: Baselines | None, seconds: float) -> None:
        bits, frame_accuracy = self.valid_bits, self.validation.frame_accuracy(self.averaged, seconds)
        if self.log is None or bits is None or baselines is None:
            return
        values, recognised = {"valid/bits": bits}, ""
        if frame_accuracy is not None:
            values["valid/frame_accuracy"] = frame_accuracy
            recognised = f", {frame_accuracy:.1%} of frames recognised"
        with writing(self.run_dir):
            self.log.scalars(self.step, values)
        part = "held out" if self.validation.is_whole(seconds) else f"on {seconds:g} s held out"
        learned = verdict.of_bits(bits, baselines)
        self.reporter.say(f"step {self.step}: {bits:.3f} bits per sample {part} ({baselines}){recognised}: {learned}")

    def sample(self) -> None:
        """Write a generated sound and its picture beside a recording's, and draw the curves."""
        if not self.fabric.is_global_zero or self.log is None:
            return
        rate = self.config.data.sample_rate
        path = self.run_dir / "samples" / f"step_{self.step:06d}.wav"
        samples = max(round(self.config.sample_seconds * rate), 1)
        span = (self.sides.valid or self.sides.train)[0]
        companion, conditions = self.annotations.companion(span.recording, from_sample=span.start - span.origin), None
        companion = companion._replace(codes=None)  # the model hears its own sound, not the recording
        if self.averaged.conditioning is not None:  # a sound of the recording's labels, or along its features
            conditions = Conditions(self.averaged.conditioning, [companion])
        engine = make_engine("auto", self.averaged, sample_rate=rate, examples=[companion])
        progress = self._stop_sampling
        made = render(engine, rate, [path], samples, [self.config.seed], progress=progress, conditions=conditions)
        for warning in made.warnings:
            self.reporter.say(f"step {self.step}: {warning}")
        recording = self.prepared.codes[span.start : span.stop][: max(made.samples, 1)].astype("int64")
        decoded = self.model.distribution.encoding.decode(torch.from_numpy(recording))
        self._judge(self.log.sound(self.step, path, decoded), made.bits_per_sample, span)
        self._draw_conditioning(span)
        self.log.curves()

    def _judge(self, sound: Tensor, bits: float, told: Span) -> None:
        """Say how near a sound is to the recordings that share its labels."""
        if self._heard is None:
            like = [span for span in self.sides.train if self.annotations.alike(span.recording, told.recording)]
            samples = round(self.config.sample_seconds * self.config.data.sample_rate)
            pieces = verdict.pieces(self.prepared.codes, like or [told], samples)
            self._heard = verdict.Recordings(pieces, self.config.data.sample_rate)
        judged = verdict.of_sound(sound, self._heard, bits, self.valid_bits)
        if judged is not None and self.log is not None:
            self.reporter.say(f"step {self.step}: the sound made is {judged.words}")
            self.log.scalars(self.step, {f"sample/{name}": value for name, value in judged.figures.items()})

    @torch.inference_mode()
    def _draw_conditioning(self, span: Span) -> None:
        """Pictures of what labels and features have become."""
        learned = self.averaged.conditioning
        if self.log is None or learned is None:
            return
        if learned.labels is not None and len(learned.names) > 1:
            self.log.learned(self.step, "labels", plots.embeddings(learned.names, learned.labels.detach().cpu()))
        companion, first = self.annotations.companion(span.recording), span.start - span.origin
        if learned.features is not None and companion.frames is not None:
            stop = min(span.stop - span.origin, first + 2 * self.config.data.sample_rate)
            rows = learned.features(companion.frames, first, stop).cpu()
            codes = self.prepared.codes[span.origin + first : span.origin + stop].astype("int64")
            recording = self.model.distribution.encoding.decode(torch.from_numpy(codes))
            self.log.learned(self.step, "features", plots.upsampled(recording, rows, self.config.data.sample_rate))

    def _stop_sampling(self, _: int) -> None:
        if self.signalled is not None:
            raise KeyboardInterrupt

    # ---- stopping, saving, resuming

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Within, the first Ctrl-C, SIGTERM or SIGHUP lets the step finish and saves; a second one ends at once.

        A terminal that is closed sends several SIGHUPs, so that none is a second one; `nohup` has it ignored.
        """

        def stop(number: int, _: Any) -> None:
            if self.signalled is None:
                self.signalled = number
                self.reporter.say("stopping after this step; once more to stop at once, without saving")
            elif number != HANG_UP:
                raise KeyboardInterrupt

        numbers = [signal.SIGINT, signal.SIGTERM]
        if HANG_UP is not None and signal.getsignal(HANG_UP) != signal.SIG_IGN:
            numbers.append(HANG_UP)
        before = {}
        with contextlib.suppress(ValueError):  # only the main thread may set handlers; elsewhere the caller's stay
            before = {number: signal.signal(number, stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def save(self, finished: bool = True) -> None:
        """Write the last checkpoint: the shared file, and the state to resume from.

        Where that is the last step's and it is not `finished`, resuming measures it.
        """
        place = {
            "step": self.step,
            **self.clock.state(),
            "best_bits": self.best_bits,
            "best_step": self.best_step,
            "best_on": self.best_on,
            "valid_bits": self.valid_bits,
            "valid_step": self.valid_step,
            "finished": finished,
            "recordings": self.recordings,
        }
        captured = state.capture(self.config, self.model, self.averaged, self.optimizers)
        if self.fabric.is_global_zero:
            checkpoint.save_state(self.run_dir / "checkpoints" / "last.state", captured | place)
        self._share("last", self.averaged, self.step, self.valid_bits if self.valid_step == self.step else None)
        self.fabric.barrier()

    def _share(self, name: str, model: WaveNet, step: int, bits: float | None) -> None:
        if self.fabric.is_global_zero:
            data = self.config.data
            checkpoint.save(self._checkpoint(name), model, data.sample_rate, step, bits, data)

    def _checkpoint(self, name: str) -> Path:
        return self.run_dir / "checkpoints" / f"{name}.safetensors"

    def _restore(self, stored: dict[str, Any]) -> None:
        state.restore(stored, self.config, self.model, self.averaged, self.optimizers)
        self.step, self.valid_bits = stored["step"], stored["valid_bits"]
        self.valid_step = stored.get("valid_step", 0)
        self.best_bits, self.best_step = stored["best_bits"], stored["best_step"]
        self.best_on = stored.get("best_on")
        self._take_best()
        self.clock.restore(stored, self.step)
        if self.step >= self.clock.steps and stored.get("finished", True):
            raise ConfigError(
                f"{self.config.resume} is at step {self.step} of {stored['steps']}: give steps= above {self.step}, "
                "or minutes= to train so much longer"
            )

    def _take_best(self) -> None:
        """A run that goes on in another folder takes its best checkpoint along, or where that is gone, none."""
        there = checkpoint.find_state(expanded(self.config.resume or "")).with_name("best.safetensors")
        if not self.fabric.broadcast(there.is_file()):
            self.best_bits, self.best_step = math.inf, 0
        elif self.fabric.is_global_zero:
            with writing(self.run_dir):
                state.take_best(there, self._checkpoint("best"))

    # ---- words and files

    def _announce(self) -> None:
        rate, field = self.config.data.sample_rate, self.model.receptive_field
        self.reporter.say(f"run folder: {self.run_dir}")
        told = annotations.misfits(self.prepared, self.config.model.labels, self.config.data.split_by)
        spoken = self.alignments.segments.report() if self.alignments else []
        for line in [*self.prepared.report(), *told, *spoken, *self.sides.report]:
            self.reporter.say(line)
        train, valid = (sum(span.samples for span in side) / rate for side in (self.sides.train, self.sides.valid))
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.reporter.say(f"training on {in_words(train)}" + (f", validating on {in_words(valid)}" if valid else ""))
        self.reporter.say(
            f"{parameters:,} parameters, receptive field {field} samples = {1000 * field / rate:.0f} ms; "
            f"{self.fabric.device}, {self.config.precision}"
        )
        if self.model.edited:
            self.reporter.say(
                "this model's code computes something else than the compiled passes (was a layer edited?), and runs "
                "itself, slower"
            )
        warmup = self.config.optim.warmup_steps
        if self.config.minutes is None and self.clock.steps < warmup and not self.step:
            self.reporter.say(
                f"warning: the learning rate rises for optim.warmup_steps={warmup} steps, but the run has only "
                f"{self.clock.steps}: it learns little; lower optim.warmup_steps or give more steps"
            )
        if self.step:
            of = f" of {self.clock.steps}" if self.clock.fixed else ""
            self.reporter.say(f"resuming at step {self.step}{of}")
        if announced := self.clock.announcement():
            self.reporter.say(announced)

    def _measure_baselines(self) -> Baselines | None:
        if not self.sides.valid:
            held_out = self.config.data.valid_fraction > 0
            what = "mark some as valid in metadata.csv" if held_out else "set data.valid_fraction above 0"
            self.reporter.say(f"no validation part: nothing to measure on; {what}")
            return None
        measured = None
        if self.fabric.is_global_zero:
            measured = measure_baselines(self.prepared.codes, self.sides.train, self.sides.valid)
        measured = self.fabric.broadcast(measured)
        assert measured is not None
        self.reporter.say(f"bits per sample to beat: {measured}")
        return measured

    def _open_log(self, baselines: Baselines | None) -> None:
        if self.fabric.is_global_zero:
            self.log = RunLog(self.run_dir, self.config.data.sample_rate, self.step)
            self.log.settings(dataclasses.asdict(self.config))
            self.log.baselines = baselines.named() if baselines else {}
            with atomic(self.run_dir / "config.yaml") as path:
                path.write_text(yaml.safe_dump(dataclasses.asdict(self.config), sort_keys=False))

    def _result(self, best: Path | None, rate: float, baselines: Baselines | None) -> Result:
        levels = (baselines.unigram_bits, baselines.linear_bits) if baselines else (None, None)
        bits = self.bits if self.bits is not None or not self.best_step else self.best_bits
        return Result(self.run_dir, best, self.step, rate, bits, *levels, self.stopped_by, self.best_step)

    def close(self) -> None:
        if self.log:
            self.log.close()


def _out_of_memory(config: TrainConfig) -> TrainingError:
    return TrainingError(
        f"out of memory with crop={config.crop} and batch_size={config.batch_size}: "
        f"halve one of them and double accumulate (now {config.accumulate})"
    )
