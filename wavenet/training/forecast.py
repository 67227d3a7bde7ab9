"""What a run will take, measured on a few trial steps before its first one: time, memory and disk.

The trial steps are real ones, on the run's own next batches. Weights, optimizers and random numbers are put back
afterwards, so that a run with a forecast equals one without, bit for bit.
"""

import contextlib
import copy
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from wavenet.generation import Conditions, generate, make_engine
from wavenet.training import memory, state
from wavenet.training.clock import in_words, to_two_digits

if TYPE_CHECKING:
    from wavenet.training.trainer import Trainer

SHORTEST_STEPS, SHORTEST_SECONDS = 50, 60.0
"""A shorter run is over before a forecast would help, so it has none."""
TRIAL_SECONDS, MOST_STEPS = 2.0, 20
"""About how long the timed trial steps take together, and the most of them. The first step is not timed: it compiles
kernels, and its memory is new."""
TRIED_SAMPLES = 400
"""Samples of sound that the engine makes on trial."""
JUDGING_SECONDS = 1.5
"""To judge a sound, and to draw it and the curves."""
WRITTEN_PER_SECOND = 2e8
"""Bytes of a state that are written in a second."""
PICTURE_BYTES, CURVES_BYTES = 1_250_000, 60_000
"""Of a sound's spectrograms, once as a file and once for TensorBoard, which also keeps the sound; and of the curves."""
LINE_BYTES = 620
"""Of a logged step: a line of metrics.jsonl, and five points in TensorBoard."""
LATER_BYTES = 120e6
"""Of memory, for pictures and for what is imported only when it is needed."""


@dataclass(frozen=True)
class Forecast:
    """What is still to come of a run."""

    steps: int
    seconds: float
    seconds_per_step: float
    memory_bytes: float
    """The most that this process holds: on a GPU, there."""
    disk_bytes: float
    """By which the run folder grows."""


def measure(trainer: "Trainer") -> Forecast | None:
    """Measure trial steps and what else a run does; None for a run too short for that. All processes call it
    together."""
    clock, config = trainer.clock, trainer.config
    left = 60 * config.minutes - clock.read() if config.minutes is not None else math.inf
    if left < SHORTEST_SECONDS or (clock.fixed and clock.steps - trainer.step < SHORTEST_STEPS):
        return None
    device = trainer.processes.device
    with _put_back(trainer):
        per_step = _step_seconds(trainer)
        state_bytes = _bytes(state.capture(config, trainer.learner))
        once = {
            "validation": _validation_seconds(trainer, config.validate_seconds),
            "checkpoint": state_bytes / WRITTEN_PER_SECOND,
            "sound": 0.0 if config.sample_every == 0 else _sound_seconds(trainer),
        }
        held = max(memory.peak(device), memory.used(device))
    steps = clock.steps - trainer.step
    if config.minutes is not None:
        left -= sum(clock.often(name, trainer.step, left) * seconds for name, seconds in once.items())
        steps = steps if clock.fixed else max(1, round(left / per_step))
    often = {name: clock.often(name, trainer.step, steps * per_step) for name in once}
    seconds = steps * per_step + sum(often[name] * once[name] for name in once)
    seconds += once["checkpoint"] + once["sound"] + once["validation"]  # after the last step
    if not trainer.validation.held_out.is_whole(config.validate_seconds):
        seconds += _validation_seconds(trainer, math.inf)
    samples = config.sample_seconds * config.data.sample_rate
    sound = 2 * 2 * samples + PICTURE_BYTES
    disk = state_bytes + 2 * _bytes(trainer.learner.averaged.state_dict()) + CURVES_BYTES
    disk += LINE_BYTES * steps / config.log_every
    disk += sound * (often["sound"] + 1) * (config.sample_every != 0)
    return Forecast(steps, seconds, per_step, held + LATER_BYTES * (device.type == "cpu"), disk)


def lines(told: Forecast, trainer: "Trainer") -> list[str]:
    """The forecast in words, with a warning for each thing that there is too little of."""
    device = trainer.processes.device
    kind, room = "memory" if device.type == "cpu" else "GPU memory", memory.free(device)
    room = None if room is None else room + memory.used(device)
    disk = shutil.disk_usage(trainer.run_dir).free
    steps = f"{told.steps:,} steps" if trainer.clock.fixed else f"about {to_two_digits(told.steps)} steps"
    of = "" if room is None else f" of {memory.in_words(room)}"
    said = [
        f"forecast: {steps} of {told.seconds_per_step:.2g} s take {in_words(told.seconds)}, "
        f"{memory.in_words(told.memory_bytes)}{of} of {kind}, and {memory.in_words(told.disk_bytes)} of "
        f"{memory.in_words(disk)} of disk"
    ]
    if room is not None and told.memory_bytes > room:
        said.append(f"warning: there is less {kind} than that: try batch_size=auto, or halve crop")
    if told.disk_bytes > disk:
        said.append(f"warning: there is less room than that on the disk of {trainer.run_dir}; choose another run.dir")
    return said


@contextlib.contextmanager
def _put_back(trainer: "Trainer") -> Iterator[None]:
    """Undo what the block does to weights, optimizers and random numbers."""
    kept = copy.deepcopy(state.capture(trainer.config, trainer.learner))
    try:
        yield
    finally:
        state.restore(kept, trainer.learner, str(trainer.run_dir))


def _step_seconds(trainer: "Trainer") -> float:
    """Mean seconds of a step, after a first one."""
    config, learner = trainer.config, trainer.learner

    def seconds(count: int) -> float:
        began = time.perf_counter()
        for number in range(trainer.step, trainer.step + count):
            batches = [trainer.batches[number * config.accumulate + i] for i in range(config.accumulate)]
            learner.gradients(batches)
            learner.update(number, trainer.clock.steps)
        return (time.perf_counter() - began) / count

    first = seconds(1)
    count = trainer.processes.broadcast(min(max(round(TRIAL_SECONDS / first), 2), MOST_STEPS))
    return seconds(count)


def _validation_seconds(trainer: "Trainer", length: float) -> float:
    """Seconds of a validation on `length` seconds of sound, from a few of its windows."""
    held_out, model = trainer.validation.held_out, trainer.learner.averaged
    if not held_out:
        return 0.0
    whole = held_out.windows.samples / held_out.rate
    tried = min(2 * trainer.processes.size * whole / len(held_out.windows), whole)
    began = time.perf_counter()
    held_out.bits(model, tried)
    held_out.frame_accuracy(model, tried)
    return (time.perf_counter() - began) * min(length, whole) / tried


def _sound_seconds(trainer: "Trainer") -> float:
    """Seconds that the first process takes to make a sound, from its first samples."""
    data, model, span = trainer.data, trainer.learner.averaged, trainer.data.sides.train[0]
    companion = data.annotations.companion(span.recording)._replace(codes=None)
    conditions = Conditions(model.conditioning, [companion]) if model.conditioning is not None else None
    began = time.perf_counter()
    engine = make_engine("auto", model, sample_rate=trainer.config.data.sample_rate, examples=[companion])
    ready = time.perf_counter()
    for _ in generate(engine, TRIED_SAMPLES, [0], conditions=conditions):
        pass
    samples = trainer.config.sample_seconds * trainer.config.data.sample_rate
    per_sample = (time.perf_counter() - ready) / TRIED_SAMPLES
    return ready - began + per_sample * samples + JUDGING_SECONDS


def _bytes(value: Any) -> int:
    """Of all tensors in a nest of dicts and lists."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return sum(map(_bytes, inner))
