"""The lines that describe a run before its first step, and the result of each validation."""

from pathlib import Path

from wavenet.config import TrainConfig
from wavenet.evaluation import verdict
from wavenet.evaluation.baselines import Baselines
from wavenet.model.wavenet import WaveNet
from wavenet.recordings import annotations
from wavenet.recordings.split import Span
from wavenet.training.clock import Clock, in_words
from wavenet.training.data import TrainingData
from wavenet.training.processes import Processes
from wavenet.training.validation import Measured


def recordings(run_dir: Path, data: TrainingData, split_by: str) -> list[str]:
    """Where the run is kept, and what it learns from."""

    def seconds(spans: list[Span]) -> float:
        return sum(span.samples for span in spans) / data.prepared.sample_rate

    train, valid = seconds(data.sides.train), seconds(data.sides.valid)
    return [
        f"run folder: {run_dir}",
        *data.prepared.report(),
        *annotations.misfits(data.prepared, data.model.labels, split_by),
        *(data.alignments.segments.report() if data.alignments else []),
        *data.sides.report,
        f"training on {in_words(train)}" + (f", validating on {in_words(valid)}" if valid else ""),
    ]


def network(model: WaveNet, sample_rate: int, processes: Processes, precision: str) -> list[str]:
    """How large the network is, and what it runs on."""
    on = processes.device if processes.size == 1 else f"{processes.size} processes, {processes.device.type}"
    parameters, field = sum(parameter.numel() for parameter in model.parameters()), model.receptive_field
    lines = [
        f"{parameters:,} parameters, receptive field {field} samples = {1000 * field / sample_rate:.0f} ms; "
        f"{on}, {precision}"
    ]
    if model.edited:
        lines.append(
            "this model's code computes something other than the compiled passes (was a layer edited?), so the slower "
            "code itself runs"
        )
    return lines


def length(config: TrainConfig, clock: Clock, step: int) -> list[str]:
    """How long the run is, and from which step it resumes."""
    lines, warmup = [], config.optim.warmup_steps
    if config.minutes is None and clock.steps < warmup and not step:
        lines.append(
            f"warning: the learning rate rises for optim.warmup_steps={warmup} steps, but the run has only "
            f"{clock.steps}, so it will learn little; lower optim.warmup_steps or give more steps"
        )
    if step:
        lines.append(f"resuming at step {step}" + (f" of {clock.steps}" if clock.fixed else ""))
    if announced := clock.announcement():
        lines.append(announced)
    return lines


def baselines(levels: Baselines | None, valid_fraction: float) -> str:
    """The bits to beat, or why there is no validation."""
    if levels is not None:
        return f"bits per sample to beat: {levels}"
    what = "mark some as valid in metadata.csv" if valid_fraction > 0 else "set data.valid_fraction above 0"
    return f"there is no validation part, so nothing is measured; {what}"


def measured(found: Measured, levels: Baselines) -> str:
    """What a validation has found, and what its bits mean."""
    accuracy = found.frame_accuracy
    recognised = f", {accuracy:.1%} of frames recognised" if accuracy is not None else ""
    bits = f"step {found.step}: {found.bits:.3f} bits per sample {found.part} ({levels})"
    return f"{bits}{recognised}: {verdict.of_bits(found.bits, levels)}"
