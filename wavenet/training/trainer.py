"""The training loop: a folder of recordings in, a run folder with checkpoints, curves and sounds out.

Every step is a function of the settings, the seed and the step number: items come from f(seed, epoch, index), the
learning rate from the step. So a run that is stopped and resumed equals an uninterrupted one, bit for bit on a CPU.
"""

import contextlib
import dataclasses
import math
from pathlib import Path

from wavenet.config import TrainConfig
from wavenet.errors import CheckpointError, TrainingError
from wavenet.evaluation.baselines import Baselines
from wavenet.model import checkpoint
from wavenet.training import announcements, boards, forecast, initial, memory, resuming, starting, state
from wavenet.training.batches import Batches
from wavenet.training.clock import Clock
from wavenet.training.data import read_in_all
from wavenet.training.held_out import HeldOut
from wavenet.training.learner import Learner
from wavenet.training.machine import choose_precision, keep_memory, memory_errors
from wavenet.training.metrics import RunLog
from wavenet.training.processes import Processes
from wavenet.training.reporter import Dispensable, Reporter
from wavenet.training.result import Result
from wavenet.training.run_folder import claimed, kept, write_settings, writing
from wavenet.training.samples import Samples
from wavenet.training.saving import Checkpoints
from wavenet.training.stopping import Stopper
from wavenet.training.validation import Measured, Validation


def train(config: TrainConfig, run_dir: Path, reporter: Reporter | None = None) -> Result:
    """Train as `config` says, and write everything under `run_dir`. Of several processes, the first one's counts.

    `minutes` includes the time that a resumed run has already had. Raises ConfigError if `run_dir` holds another run
    than the resumed one, or if that is at its last step; AudioError for a folder that cannot be used; CheckpointError
    for a state that cannot be resumed or written; and TrainingError if the loss is not finite, memory runs out, or the
    run folder cannot be written.
    """
    return starting.run(_train, config, run_dir, reporter)


def _train(processes: Processes, config: TrainConfig, run_dir: Path, reporter: Reporter | None) -> Result:
    """`train`, in one of the processes."""
    keep_memory()
    with contextlib.ExitStack() as held, processes.none_lost(run_dir):
        precision = choose_precision(config.precision, processes)
        config = dataclasses.replace(config, precision=precision)  # saved, so that a resumed run keeps it
        run_dir = processes.broadcast(run_dir)
        reporter = Dispensable(reporter) if processes.is_first and reporter else Reporter()
        with processes.together():
            if processes.is_first:
                held.enter_context(claimed(run_dir, config.resume, config.data.dir))
        size = f"crop={config.crop} and batch_size={config.batch_size}"
        with memory_errors(f"{size}: halve one of them and double accumulate (now {config.accumulate})"):
            with processes.together():
                trainer = Trainer(config, processes, run_dir, reporter)
            with trainer.stopper.listening(), contextlib.closing(trainer):
                return trainer.run()


class Trainer:
    """One run: its data, its learner and its progress."""

    def __init__(self, config: TrainConfig, processes: Processes, run_dir: Path, reporter: Reporter) -> None:
        self.processes, self.run_dir, self.reporter = processes, run_dir, reporter
        with processes.together():
            boards.check(config.wandb)
            stored = resuming.load(config)
            start = initial.load(config)
        self.data = read_in_all(processes, config, reporter.preparing)
        self.config = config = dataclasses.replace(config, model=self.data.model)
        if stored is not None:
            with processes.together():
                resuming.check_recordings(stored, config, self.data.fingerprint, reporter.say)
        self.learner = Learner(processes, config, self.data.some_frames(), self.data.phone_statistics(), start)
        self.config = config = memory.fitted(
            config, self.learner, self.data, reporter.say, processes.broadcast, processes.here
        )
        field, dropout = self.learner.model.receptive_field, config.label_dropout if config.model.labels else 0.0
        windows = self.data.training_windows(config.crop, field)
        place = processes.rank, processes.size
        self.batches = Batches(windows, int(config.batch_size), config.seed, dropout, *place, config.augment)
        self.checkpoints = Checkpoints(processes, run_dir, config.data)
        held_out = HeldOut(processes, self.data, config.crop, field, config.precision)
        self.validation = Validation(
            held_out, self.learner.averaged, self.checkpoints, config.validate_seconds, self._tell
        )
        self.clock, self.stopper = Clock(config, processes.broadcast), Stopper(reporter.say)
        self.measured = stored is None or stored.get("finished", True)  # at the step that it is resumed from
        self.step, self.samples_scored = 0, 0  # samples of all processes since this one began
        self.recent_bits = 0.0
        self.forecast: forecast.Forecast | None = None
        self.stopped_by: int | None = None  # the signal that any process received, once all know it
        self.baselines: Baselines | None = None
        self.log: RunLog | None = None  # only in the first process, like the samples
        self.samples: Samples | None = None
        if stored is not None:
            state.restore(stored, self.learner, config.resume or "")
            self.step = stored["step"]
            self.validation.restore(stored, config.resume or "")
            self.clock.restore(stored, self.step)
            resuming.check_length(stored, config, self.clock.steps)

    def run(self) -> Result:
        """Train to the last step, or until a signal, and save a checkpoint either way."""
        self._begin()
        occasions = {  # a checkpoint comes last: whoever resumes from it finds the rest done
            "validation": lambda: self.validation.validate(self.step),
            "sound": self.sample,
            "checkpoint": self.save,
        }
        clock = self.clock
        while self.step < clock.steps and not self._stopped():
            began = clock.read()
            bits, gradient_norm = self.train_step()
            clock.count(self.step, began)
            self._record(bits, gradient_norm)
            if self.step < clock.steps:
                due = clock.due(self.step)
                for name in (name for name in occasions if name in due):
                    began = clock.read()
                    occasions[name]()
                    clock.took(name, began)
        if ended := self.step >= clock.steps:
            self.stopped_by = None  # a signal during the last step stops nothing
            self.save(finished=False)  # in case measuring fails
            self.validation.finish(self.step, self.reporter.say)
            if self.config.sample_every != 0:
                self.sample()
        self.save()
        if not (ended and self.config.sample_every != 0):
            self._draw_curves()
        return self._result()

    def _begin(self) -> None:
        """Describe the run, measure the baselines, and open its records."""
        config, data, say = self.config, self.data, self.reporter.say
        for line in [
            *announcements.recordings(self.run_dir, data, config.data.split_by),
            *self.learner.taken_over,
            *announcements.network(self.learner.model, config.data.sample_rate, self.processes, config.precision),
            *announcements.length(config, self.clock, self.step),
        ]:
            say(line)
        self.validation.measure_best_anew(say)
        self.baselines = self.validation.held_out.baselines()
        say(announcements.baselines(self.baselines, config.data.valid_fraction))
        if self.processes.is_first:
            with writing(self.run_dir):
                shown = boards.open_boards(self.run_dir, self.step, config.wandb, say)
                self.log = RunLog(self.run_dir, config.data.sample_rate, self.step, shown, self.measured)
                self.log.settings(dataclasses.asdict(config))
                self.log.baselines = self.baselines.named() if self.baselines else {}
                write_settings(self.run_dir, dataclasses.asdict(config))
            self.samples = Samples(data, self.log, config.sample_seconds, config.seed, say)
        self.forecast = forecast.measure(self)
        if self.forecast is not None:
            for line in forecast.lines(self.forecast, self):
                say(line)

    def train_step(self) -> tuple[float, float]:
        """Take one optimizer step; return its loss in bits per sample and gradient norm, over all processes."""
        config = self.config
        batches = [self.batches[self.step * config.accumulate + i] for i in range(config.accumulate)]
        loss, norm = self.learner.gradients(batches)
        if not (math.isfinite(loss.total) and math.isfinite(norm)):
            raise TrainingError(
                f"the loss is not finite at step {self.step + 1}: lower optim.lr (now {config.optim.lr:g}) or use "
                f"precision=float32; {kept(self.run_dir)}"
            )
        self.learner.update(self.step, self.clock.steps)
        self.step += 1
        self.samples_scored += loss.samples
        return loss.bits, norm

    def _record(self, bits: float, gradient_norm: float) -> None:
        """Show a finished step, and log it when that is due."""
        step, clock = self.step, self.clock
        self.recent_bits += (bits - self.recent_bits) * max(0.05, 1 / clock.steps_here)  # over about the last twenty
        steps = clock.steps if clock.fixed else None
        self.reporter.step(step, steps, self.recent_bits, self._samples_per_second(), clock.left(step))
        for line in clock.forecast(step):
            self.reporter.say(line)
        if self.log and (step % self.config.log_every == 0 or step == clock.steps):
            rates = {"train/lr": self.learner.learning_rate, "train/samples_per_second": self._samples_per_second()}
            rates["train/minutes"] = clock.read() / 60
            with writing(self.run_dir):
                self.log.scalars(step, {"train/bits": bits, "train/grad_norm": gradient_norm} | rates)

    def _tell(self, found: Measured) -> None:
        """Log and report what a validation has found."""
        if self.log is None or self.baselines is None:
            return
        accuracy = {} if found.frame_accuracy is None else {"valid/frame_accuracy": found.frame_accuracy}
        with writing(self.run_dir):
            self.log.scalars(found.step, {"valid/bits": found.bits} | accuracy)
        self.reporter.say(announcements.measured(found, self.baselines))

    def save(self, finished: bool = True) -> None:
        """Write the last checkpoint, and the state to resume from.

        If this is the last step and it is not `finished`, a resumed run still validates it.
        """
        where = {"step": self.step, "finished": finished, "recordings": self.data.fingerprint}
        captured = state.capture(self.config, self.learner)
        self.checkpoints.share("last", self.learner.averaged, self.step, self.validation.bits_at(self.step))
        self.checkpoints.save_state(captured | where | self.clock.state() | self.validation.state())
        self.processes.barrier()

    def sample(self) -> None:
        """Write and judge a sound, and draw the curves."""
        if self.samples:
            bits, interrupt = self.validation.latest_bits, self.stopper.interrupt
            with writing(self.run_dir):
                self.samples.make(self.learner.averaged, self.step, bits, progress=lambda _: interrupt())
        self._draw_curves()

    def _draw_curves(self) -> None:
        if self.log:
            with writing(self.run_dir):
                self.log.curves()

    def _stopped(self) -> bool:
        """Whether any process has received a signal."""
        self.stopped_by = self.stopper.in_any(self.processes)
        return self.stopped_by is not None

    def _samples_per_second(self) -> float:
        """Speed of all processes together, over the steps since this one began."""
        return self.samples_scored / max(self.clock.seconds_here, 1e-9)

    def _result(self) -> Result:
        try:
            best = checkpoint.find(self.run_dir)
        except CheckpointError:
            best = None
        levels = (self.baselines.unigram_bits, self.baselines.linear_bits) if self.baselines else (None, None)
        rate, bits = self._samples_per_second(), self.validation.bits_of_best
        return Result(
            self.run_dir,
            best,
            self.step,
            rate,
            bits,
            *levels,
            self.stopped_by,
            self.validation.best_step,
            self.forecast,
        )

    def close(self) -> None:
        if self.log:
            with writing(self.run_dir):
                self.log.close()
