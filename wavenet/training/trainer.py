"""The training loop: a folder of recordings in, a run folder with checkpoints, curves and sounds out.

Every step is a function of the settings, the seed and the step number, so a run that is stopped and resumed equals one
that was not, bit for bit on a CPU: items come from f(seed, epoch, index), the learning rate from the step.
"""

import contextlib
import copy
import dataclasses
import math
import shlex
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet import alignments, annotations, checkpoint, evaluation, plots, recognition
from wavenet.alignments import Alignments
from wavenet.annotations import Annotations
from wavenet.conditioning import Piece
from wavenet.config import ModelConfig, TrainConfig
from wavenet.dataset import Batch, Frames, Windows, shuffled
from wavenet.distributions import IGNORED, make_distribution
from wavenet.errors import AudioError, CheckpointError, ConfigError, TrainingError
from wavenet.evaluation import Baselines
from wavenet.files import atomic, remedy
from wavenet.generation import Conditions, make_engine, render
from wavenet.model import WaveNet
from wavenet.preparation import Prepared, prepare
from wavenet.split import Span, split
from wavenet.training.machine import keep_memory, make_fabric
from wavenet.training.metrics import RunLog
from wavenet.training.optimizers import make_optimizers
from wavenet.training.reporter import Reporter
from wavenet.training.schedule import learning_rate_factor

WARM_STEPS = 10
"""Steps at least before `minutes` becomes a number of steps for good. That number follows the speed of the last thirty
for four tenths of the time, since kernels are compiled at first, and then stays, so that the learning rate falls
steadily to its end."""


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    run_dir: Path
    checkpoint: Path | None
    """The best checkpoint, None where none was written yet."""
    steps: int
    samples_per_second: float
    bits_per_sample: float | None
    """Of the averaged weights on the whole validation part at the end, None where there is none."""
    unigram_bits: float | None
    linear_bits: float | None
    stopped_by: int | None
    """The signal that ended it early, None where it ran to its end."""
    best_step: int
    """Step whose weights `checkpoint` holds, 0 where none was validated."""


class Objective(nn.Module):
    """Model and losses in one forward, so that logits never leave the precision they are computed in."""

    def __init__(self, model: WaveNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor, targets: Tensor, pieces: list[list[Piece]], frames: list[list[Frames]]) -> Tensor:
        """(B, T), (B, T - receptive_field), what conditions each of the B and what is said in it -> losses (3,).

        Summed, in nats: of the samples, of the frames, and what is shown, of the samples' mu-law codes.
        """
        activations = self.model.activations(codes[:, :-1], self.model.rows(pieces, codes.shape[1] - 1))
        logits, distribution = self.model.predict(activations), self.model.distribution
        losses = [distribution.loss(logits, targets), torch.zeros((), device=codes.device)]
        if self.model.recognition is not None:
            for row, windows in zip(activations, frames, strict=True):
                for start, stop, classes in windows:
                    frame_logits = self.model.recognition(row[start:stop]).float()
                    classes = classes.to(codes.device)
                    summed = F.cross_entropy(frame_logits, classes, ignore_index=IGNORED, reduction="sum")
                    losses[1] = losses[1] + summed
        shown = losses[0].detach()
        if self.model.config.mixtures:
            with torch.no_grad():
                shown = distribution.mulaw_loss(logits, targets)
        return torch.stack([*losses, shown])


def train(config: TrainConfig, run_dir: Path, reporter: Reporter | None = None) -> Result:
    """Train as `config` says, leaving everything under `run_dir`, that of the first of several processes.

    `minutes` includes those that a resumed run has had already. Raises ConfigError for a `run_dir` that holds another
    run than the one that is resumed, and where that one is at its last step, AudioError for a folder that cannot be
    used, CheckpointError for a state that cannot be resumed or written, and TrainingError where the loss is not finite,
    memory runs out, or the run folder cannot be written.
    """
    keep_memory()
    if config.threads:
        torch.set_num_threads(config.threads)
    fabric, precision = make_fabric(config)
    config = dataclasses.replace(config, precision=precision)  # as it is kept: resumed, it stays the same
    run_dir = fabric.broadcast(run_dir)
    if not fabric.is_global_zero:
        return _train(config, fabric, run_dir, Reporter())
    with _claimed(run_dir, config.resume, config.data.dir):
        return _train(config, fabric, run_dir, reporter or Reporter())


@contextlib.contextmanager
def _claimed(run_dir: Path, resume: str | None, data_dir: str | None) -> Iterator[None]:
    """Within, the folder is this run's alone. Raises ConfigError where it is another's, or the recordings'."""
    checkpoints = run_dir / "checkpoints"
    state = None if resume is None else checkpoint.find_state(Path(resume).expanduser())
    if data_dir is not None and Path(data_dir).expanduser().resolve() == run_dir.resolve():
        raise ConfigError(f"run.dir: {run_dir} is the folder of recordings itself; choose another run.dir")
    if state is None or state.parent.resolve() != checkpoints.resolve():
        try:
            if (run_dir / "metrics.jsonl").exists():
                raise FileExistsError
            checkpoints.mkdir(parents=True)
        except FileExistsError:
            found = f"run.dir: {run_dir} already holds a run"
            if _has_state(run_dir):
                found += f": go on with it by resume={shlex.quote(str(run_dir))}, or choose another run.dir"
            else:
                found += " that has saved no state yet: if it is over, delete it, or choose another run.dir"
            raise ConfigError(found) from None
        except OSError as error:
            raise TrainingError(
                f"cannot write to {run_dir} ({error.strerror}); {remedy(error)} another run.dir"
            ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            checkpoints.rmdir()  # only where nothing came of it


def _train(config: TrainConfig, fabric: Fabric, run_dir: Path, reporter: Reporter) -> Result:
    trainer = None
    try:
        trainer = Trainer(config, fabric, run_dir, reporter)
        with trainer.signals():
            return trainer.run()
    except torch.OutOfMemoryError as error:
        raise _out_of_memory(config) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):
            raise _out_of_memory(config) from error
        raise
    except OSError as error:
        raise TrainingError(
            f"cannot write to {run_dir} ({error}); {remedy(error)} another run.dir; {_kept(run_dir)}"
        ) from error
    finally:
        if trainer is not None:
            trainer.close()


class Trainer:
    """One run: what it learns from, what it learns, and where it is."""

    def __init__(self, config: TrainConfig, fabric: Fabric, run_dir: Path, reporter: Reporter) -> None:
        self.config, self.fabric, self.run_dir, self.reporter = config, fabric, run_dir, reporter
        self.log: RunLog | None = None
        self.signalled: int | None = None  # what this process was sent
        self.stopped_by: int | None = None  # what any of them was sent, once all know of it
        self.prepared, self.annotations = self._prepare()
        self.sides = split(self.prepared, config.data)
        self._make_model()
        field = self.model.receptive_field
        codes, self.known = self.prepared.codes, self.annotations if self.config.model.conditioned else None
        self.alignments = None
        if config.data.frames is not None:
            told = alignments.read(self.prepared, config.data.frames)
            self.alignments = Alignments(told, self.config.model.recognition)
        self.train_windows = Windows(codes, self.sides.train, config.crop, field, self.known, self.alignments)
        self.valid_windows = Windows(codes, self.sides.valid, config.crop, field, self.known)
        if not len(self.train_windows):
            raise AudioError(f"data.dir: every recording of {self.prepared.folder} is held out, none left to train on")
        self.step, self.steps = 0, config.steps
        self.best_bits, self.best_step = math.inf, 0
        self.valid_bits: float | None = None
        self.samples, self.seconds, self.steps_here = 0, 0.0, 0  # of this process
        self.steps_fixed = config.minutes is None
        self.began, self.per_step = time.perf_counter(), 0.0  # seconds, those of a resumed run's earlier part included
        self.given = 60 * (config.minutes or 0)  # seconds, from here on
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))
        if config.resume is not None:
            state = checkpoint.find_state(Path(config.resume).expanduser())
            self._restore(checkpoint.load_state(state))
            self._take_best(state.with_name("best.safetensors"))

    # ---- what is built once

    def _prepare(self) -> tuple[Prepared, Annotations]:
        """The recordings and what is known of them, which also completes the model's settings."""
        data, encoding = self.config.data, make_distribution(self.config.model.mixtures).encoding
        with self.fabric.rank_zero_first():  # the others find it done
            return self._annotate(prepare(data, self.reporter.preparing, encoding))

    def _annotate(self, prepared: Prepared) -> tuple[Prepared, Annotations]:
        model = annotations.describe(prepared, self.config.data, self.config.model)
        self.config = dataclasses.replace(self.config, model=model)
        by = self.config.data.split_by
        return prepared, Annotations(prepared, model, self.reporter.preparing, split_by=by)

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
        baselines = self._measure_baselines()
        self._open_log()
        recent = 0.0
        while self.step < self.steps and not self._stopped():
            began = time.perf_counter()
            bits, norm, samples = self.train_step()
            self._count(samples, time.perf_counter() - began)
            share = max(0.05, 1 / self.steps_here)  # a mean of the last twenty or so, from the first step on
            recent += (bits - recent) * share
            rate = self.samples / max(self.seconds, 1e-9)
            left = (self.steps - self.step) * self.seconds / max(self.steps_here, 1)
            self.reporter.step(self.step, self.steps, recent, rate, left)
            last = self.step == self.steps
            if self.log and (self.step % config.log_every == 0 or last):
                lr = self.optimizers[0].param_groups[0]["lr"]
                values = {"train/bits": bits, "train/grad_norm": norm, "train/lr": lr, "train/samples_per_second": rate}
                self.log.scalars(self.step, values)
            if self.step % config.validate_every == 0 and not last:
                self.validate(baselines)
            if config.sample_every and self.step % config.sample_every == 0 and not last:
                self.sample(baselines)
            if self.step % config.checkpoint_every == 0 and not last:
                self.save()
        ended = self.step == self.steps
        if ended:
            self.stopped_by = None  # a signal that came with the last step stops nothing
            self.validate_all(baselines)
        self.save()
        if ended and config.sample_every:
            self.sample(baselines)
        if self.log and baselines:
            self.log.curves({"unigram": baselines.unigram_bits, "linear predictor": baselines.linear_bits})
        rate = self.samples / max(self.seconds, 1e-9)
        try:
            best = checkpoint.find(self.run_dir)
        except CheckpointError:
            best = None
        return self._result(best, rate, baselines)

    def train_step(self) -> tuple[float, float, int]:
        """One optimizer step. Returns the loss in bits per sample, the gradient's norm, and the samples scored."""
        config = self.config
        batches = [self._batch(self.step * config.accumulate + i) for i in range(config.accumulate)]
        samples = sum(int((batch.targets != IGNORED).sum()) for batch in batches)
        frames = sum(int((w.classes != IGNORED).sum()) for batch in batches for row in batch.frames for w in row)
        device = self.fabric.device
        shares = torch.tensor([1 / samples, config.model.recognition.weight / max(frames, 1), 0], device=device)
        totals = torch.zeros(3, device=device)
        for i, batch in enumerate(batches):
            with self.fabric.no_backward_sync(self.objective, enabled=i < len(batches) - 1):
                losses = self.objective(batch.codes.to(device), batch.targets.to(device), batch.pieces, batch.frames)
                self.fabric.backward(losses @ shares)
            totals += losses.detach()
        total = float(totals.sum())
        limit = config.optim.clip_norm or math.inf
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise TrainingError(
                f"the loss is not finite at step {self.step + 1}: lower optim.lr (now {config.optim.lr:g}) or use "
                f"precision=float32; {_kept(self.run_dir)}"
            )
        factor = learning_rate_factor(self.step, self.steps, config.optim)
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
            generator = torch.Generator().manual_seed((self.config.seed * 1_000_003 + first) % 2**63)
            for pieces in batch.pieces:
                dropped = torch.rand(len(pieces), generator=generator) < self.config.label_dropout
                pieces[:] = [
                    (companion.without_labels() if drop else companion, start, stop)
                    for (companion, start, stop), drop in zip(pieces, dropped.tolist(), strict=True)
                ]
        return batch

    def _count(self, samples: int, seconds: float) -> None:
        self.samples += samples * self.fabric.world_size
        self.seconds += seconds
        self.steps_here += 1
        self.per_step += (seconds - self.per_step) / min(self.steps_here, 30)
        if not self.steps_fixed:
            left = self._steps_by_time()
            self.steps_fixed = self.steps_here > WARM_STEPS and left < 0.6 * self.given

    def _steps_by_time(self) -> float:
        """Sets the number of steps by what is left of `minutes`, in seconds, which it returns."""
        left = 60 * (self.config.minutes or 0) - (time.perf_counter() - self.began)
        steps = self.step + max(1, round(left / self.per_step))
        self.steps, left = self.fabric.broadcast((steps, left))  # one clock for all processes
        return left

    def _stopped(self) -> bool:
        """Whether a signal has come, to any process."""
        self.stopped_by = self.signalled
        if self.fabric.world_size > 1:
            told = torch.tensor(self.signalled or 0, device=self.fabric.device)
            told = self.fabric.all_reduce(told, reduce_op="max")
            self.stopped_by = int(told) or None  # type: ignore[arg-type] (a tensor comes back as one)
        return self.stopped_by is not None

    # ---- what happens now and then

    def validate(self, baselines: Baselines | None) -> None:
        """Score the averaged weights on `validate_seconds` of validation audio, and keep them if they are the best."""
        if not len(self.valid_windows):
            return
        self.valid_bits = self._score(self.config.validate_seconds)
        self._tell(baselines, self.config.validate_seconds)
        if self.valid_bits < self.best_bits:
            self.best_bits, self.best_step = self.valid_bits, self.step
            self._share("best")

    def validate_all(self, baselines: Baselines | None) -> None:
        """At the end: choose the best as ever, on the same audio, then measure on the whole validation part."""
        self.validate(baselines)
        if self.config.validate_seconds * self.config.data.sample_rate < self.valid_windows.samples:
            self.valid_bits = self._score(math.inf)
            self._tell(baselines, math.inf)
            if self.best_step == self.step:
                self._share("best")

    def _score(self, seconds: float) -> float:
        """Bits per sample of the averaged weights on windows from everywhere in the validation part."""
        share = min(1.0, seconds * self.config.data.sample_rate / self.valid_windows.samples)
        chosen = range(0, len(self.valid_windows), max(1, round(1 / share)))
        chosen = chosen[self.fabric.global_rank :: self.fabric.world_size]
        autocast = self.fabric.autocast()
        scored = evaluation.score(self.averaged, self.valid_windows, self.fabric.device, autocast, chosen)
        bits, samples, _ = self.fabric.all_reduce(torch.tensor(scored, dtype=torch.float64), reduce_op="sum")
        return float(bits / samples)

    def _frame_accuracy(self, seconds: float) -> float | None:
        """Share of frames that the averaged weights know, in whole recordings from all over the validation part."""
        if self.alignments is None:
            return None
        share = min(1.0, seconds * self.config.data.sample_rate / self.valid_windows.samples)
        counts = [(0, 0)]
        for span in self.sides.valid[:: max(1, round(1 / share))][self.fabric.global_rank :: self.fabric.world_size]:
            how = (self.known, self.fabric.device, self.fabric.autocast())
            made = evaluation.frame_classes(self.averaged, self.prepared.codes, span, *how)
            told = self.alignments.frames(span.recording, span.start - span.origin, span.stop - span.origin)
            counts.append(recognition.count_right(made, told))
        right, frames = self.fabric.all_reduce(torch.tensor(counts).sum(dim=0), reduce_op="sum")
        return float(right / frames) if frames else None

    def _tell(self, baselines: Baselines | None, seconds: float) -> None:
        bits, frame_accuracy = self.valid_bits, self._frame_accuracy(seconds)
        if self.log is None or bits is None or baselines is None:
            return
        values, recognised = {"valid/bits": bits}, ""
        if frame_accuracy is not None:
            values["valid/frame_accuracy"] = frame_accuracy
            recognised = f", {frame_accuracy:.1%} of frames recognised"
        self.log.scalars(self.step, values)
        levels = f"unigram {baselines.unigram_bits:.2f}, linear {baselines.linear_bits:.2f}"
        whole = seconds * self.config.data.sample_rate >= self.valid_windows.samples
        part = "held out" if whole else f"on {seconds:g} s held out"
        verdict = baselines.verdict(bits)
        self.reporter.say(f"step {self.step}: {bits:.3f} bits per sample {part} ({levels}){recognised}: {verdict}")

    def sample(self, baselines: Baselines | None) -> None:
        """Write a generated sound and its picture beside a recording's, and draw the curves."""
        if not self.fabric.is_global_zero or self.log is None:
            return
        rate = self.config.data.sample_rate
        path = self.run_dir / "samples" / f"step_{self.step:06d}.wav"
        samples = max(round(self.config.sample_seconds * rate), 1)
        span = (self.sides.valid or self.sides.train)[0]
        companion, conditions = self.annotations.companion(span.recording, from_sample=span.start - span.origin), None
        if self.averaged.conditioning is not None:  # a sound of the recording's labels, or along its features
            conditions = Conditions(self.averaged.conditioning, [companion])
        engine = make_engine("auto", self.averaged, sample_rate=rate, examples=[companion])
        progress = self._stop_sampling
        made = render(engine, rate, [path], samples, [self.config.seed], progress=progress, conditions=conditions)
        for warning in made.warnings:
            self.reporter.say(f"step {self.step}: {warning}")
        recording = self.prepared.codes[span.start : span.stop][: max(made.samples, 1)].astype("int64")
        self.log.sound(self.step, path, self.model.distribution.encoding.decode(torch.from_numpy(recording)))
        self._draw_conditioning(span)
        if baselines:
            self.log.curves({"unigram": baselines.unigram_bits, "linear predictor": baselines.linear_bits})

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
        """Within, the first Ctrl-C or SIGTERM lets the step finish and saves; a second one ends at once."""

        def stop(number: int, _: Any) -> None:
            if self.signalled is not None:
                raise KeyboardInterrupt
            self.signalled = number
            self.reporter.say("stopping after this step; once more to stop at once, without saving")

        try:
            before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # only the main thread may set handlers; elsewhere the caller's stay
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def save(self) -> None:
        """Write the last checkpoint: the shared file, and the state to resume from."""
        state = {
            "format_version": checkpoint.FORMAT_VERSION,
            "config": dataclasses.asdict(self.config),
            "sample_rate": self.config.data.sample_rate,
            "step": self.step,
            "steps": self.steps,
            "steps_fixed": self.steps_fixed,
            "seconds": time.perf_counter() - self.began,
            "per_step": self.per_step,
            "best_bits": self.best_bits,
            "best_step": self.best_step,
            "valid_bits": self.valid_bits,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "random": torch.get_rng_state(),
        }
        if self.fabric.is_global_zero:
            checkpoint.save_state(self.run_dir / "checkpoints" / "last.state", state)
        self._share("last")
        self.fabric.barrier()

    def _share(self, name: str) -> None:
        if not self.fabric.is_global_zero:
            return
        path = self.run_dir / "checkpoints" / f"{name}.safetensors"
        data = self.config.data
        checkpoint.save(path, self.averaged, data.sample_rate, self.step, self.valid_bits, data)

    def _restore(self, state: dict[str, Any]) -> None:
        folder = state["config"]["data"]["dir"]
        if folder != self.config.data.dir:
            self.reporter.say(f"warning: {self.config.resume} was trained on {folder}, and goes on with another folder")
        # older ones lack what came later
        theirs, ours = ModelConfig.from_dict(state["config"]["model"]).shape(), self.config.model.shape()
        for name, value in theirs.items():
            if ours[name] != value:
                raise CheckpointError(
                    f"{self.config.resume} holds another model: model.{name} is {value!r} there, {ours[name]!r} here; "
                    "leave the setting out, or start a new run without resume="
                )
        if state["sample_rate"] != self.config.data.sample_rate:
            raise CheckpointError(
                f"{self.config.resume} was trained at {state['sample_rate']} Hz, data.sample_rate is "
                f"{self.config.data.sample_rate}; leave the setting out"
            )
        if state["config"]["optim"]["name"] != self.config.optim.name:
            raise CheckpointError(
                f"{self.config.resume} was trained with optim.name={state['config']['optim']['name']}"
            )
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        for optimizer, stored in zip(self.optimizers, state["optimizers"], strict=True):
            peaks = [group["peak_lr"] for group in optimizer.param_groups]
            try:
                optimizer.load_state_dict(stored)
            except ValueError as error:
                raise CheckpointError(f"{self.config.resume} is of an older version, with other optimizers") from error
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["peak_lr"] = peak  # the settings win: a resumed run may lower its learning rate
        self.step, self.valid_bits = state["step"], state["valid_bits"]
        self.best_bits, self.best_step = state["best_bits"], state["best_step"]
        self.began -= state.get("seconds", 0.0)
        self.given -= state.get("seconds", 0.0)
        self.per_step = state.get("per_step", 0.0)
        if self.config.minutes is not None:
            if state["steps_fixed"] and self.config.minutes == state["config"]["minutes"]:
                self.steps, self.steps_fixed = state["steps"], True
            elif self.per_step:
                self._steps_by_time()
            else:  # its speed is not known yet
                self.steps += self.step
        if self.step >= self.steps:
            raise ConfigError(
                f"{self.config.resume} is at step {self.step} of {state['steps']}: give steps= above {self.step}, "
                "or minutes= to train so much longer"
            )
        torch.set_rng_state(state["random"])

    def _take_best(self, found: Path) -> None:
        """A run that goes on in another folder takes its best checkpoint along, or where that is gone, none."""
        best = self.run_dir / "checkpoints" / "best.safetensors"
        if not found.is_file():
            self.best_bits, self.best_step = math.inf, 0
        elif self.fabric.is_global_zero and found.resolve() != best.resolve():
            with atomic(best) as temporary:
                shutil.copyfile(found, temporary)

    # ---- words and files

    def _announce(self) -> None:
        rate, field = self.config.data.sample_rate, self.model.receptive_field
        self.reporter.say(f"run folder: {self.run_dir}")
        told = annotations.misfits(self.prepared, self.config.model.labels, self.config.data.split_by)
        spoken = self.alignments.segments.report() if self.alignments else []
        for line in [*self.prepared.report(), *told, *spoken, *self.sides.report]:
            self.reporter.say(line)
        minutes = [sum(span.samples for span in side) / rate / 60 for side in (self.sides.train, self.sides.valid)]
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.reporter.say(f"training on {minutes[0]:.1f} minutes, validating on {minutes[1]:.1f}")
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
        if self.config.minutes is None and self.steps < warmup and not self.step:
            self.reporter.say(
                f"warning: the learning rate rises for optim.warmup_steps={warmup} steps, but the run has only "
                f"{self.steps}: it learns little; lower optim.warmup_steps or give more steps"
            )
        if self.step:
            self.reporter.say(f"resuming at step {self.step} of {self.steps}")

    def _measure_baselines(self) -> Baselines | None:
        if not self.sides.valid:
            held_out = self.config.data.valid_fraction > 0
            what = "mark some as valid in metadata.csv" if held_out else "set data.valid_fraction above 0"
            self.reporter.say(f"no validation part: nothing to measure on; {what}")
            return None
        measured = evaluation.baselines(self.prepared.codes, self.sides.train, self.sides.valid)
        self.reporter.say(
            f"to beat: {measured.unigram_bits:.2f} bits per sample by counting codes, "
            f"{measured.linear_bits:.2f} by a linear predictor"
        )
        return measured

    def _open_log(self) -> None:
        if self.fabric.is_global_zero:
            self.log = RunLog(self.run_dir, self.config.data.sample_rate, self.step)
            with atomic(self.run_dir / "config.yaml") as path:
                path.write_text(yaml.safe_dump(dataclasses.asdict(self.config), sort_keys=False))

    def _result(self, best: Path | None, rate: float, baselines: Baselines | None) -> Result:
        levels = (baselines.unigram_bits, baselines.linear_bits) if baselines else (None, None)
        return Result(self.run_dir, best, self.step, rate, self.valid_bits, *levels, self.stopped_by, self.best_step)

    def close(self) -> None:
        if self.log:
            self.log.close()


def _has_state(run_dir: Path) -> bool:
    return (run_dir / "checkpoints" / "last.state").exists()


def _kept(run_dir: Path) -> str:
    """What a run that ends early has left, in words."""
    if _has_state(run_dir):
        return f"the last checkpoint is whole: resume={shlex.quote(str(run_dir))}"
    return "no checkpoint was written yet"


def _out_of_memory(config: TrainConfig) -> TrainingError:
    return TrainingError(
        f"out of memory with crop={config.crop} and batch_size={config.batch_size}: "
        f"halve one of them and double accumulate (now {config.accumulate})"
    )
