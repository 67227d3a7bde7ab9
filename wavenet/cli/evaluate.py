"""wavenet-evaluate: bits per sample of a folder of recordings under a checkpoint."""

from pathlib import Path

import torch
from rich.table import Table

from wavenet import checkpoint, evaluation
from wavenet.annotations import Annotations
from wavenet.cli import app
from wavenet.cli.display import Display, check_report, write_report
from wavenet.cli.generate import device_of
from wavenet.config import EvaluateConfig
from wavenet.dataset import Span, Split, Windows, split
from wavenet.errors import AudioError, ConfigError
from wavenet.generation import Conditions, make_engine
from wavenet.preparation import Prepared, prepare

CROP = 16384
"""Samples scored in one forward."""
MEASURED = 8
"""Recordings that an engine's int8 scales are measured under."""


def main() -> None:
    app.run("evaluate", EvaluateConfig, _evaluate)


def _evaluate(config: EvaluateConfig) -> float:
    if config.threads:
        torch.set_num_threads(config.threads)
    loaded = checkpoint.load(Path(config.checkpoint).expanduser())
    check_report(config.report)
    device = device_of(config.device)
    model = loaded.model.to(device)
    config.data.sample_rate = loaded.sample_rate
    with Display() as display:
        prepared = prepare(config.data, display.preparing)
        for line in prepared.report():
            display.say(line)
        sides = split(prepared, config.data)
        spans = spans_of(prepared, sides, config.split)
        known = None
        if model.conditioning is not None:
            known = Annotations(prepared, model.config, display.preparing, config.use_labels)
        if config.engine == "auto":
            if config.precision == "int8":
                raise ConfigError(
                    "precision is int8, which the parallel scoring of engine=auto does not have: use engine=compiled"
                )
            mixed = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
            windows = Windows(prepared.codes, spans, CROP, model.receptive_field, known)
            bits, samples = evaluation.score(model, windows, device, mixed)
        else:
            conditions = None
            if model.conditioning is not None and known is not None:
                companions = [known.companion(span.recording) for span in spans[:MEASURED]]
                conditions = Conditions(model.conditioning, companions)
            how = (config.precision, config.instruction_set, config.threads, loaded.sample_rate, conditions)
            engine = make_engine(config.engine, model, *how)
            bits, samples = evaluation.score_with_engine(engine, prepared.codes, spans, model.conditioning, known)
        # fitted on the folder's other part where there is one, else on what is scored: then they flatter themselves
        measured = evaluation.baselines(prepared.codes, sides.train or spans, spans)
        per_sample = bits / samples
        table = Table("predictor", "bits per sample")
        for name, value in (
            ("counting codes", measured.unigram_bits),
            ("linear predictor", measured.linear_bits),
            (f"this model, step {loaded.step}", per_sample),
        ):
            table.add_row(name, f"{value:.3f}")
        display.console.print(table)
        display.say(f"{len(spans)} recordings, {samples} samples: {measured.verdict(per_sample)}")
    figures = {
        "files": len(spans),
        "samples": samples,
        "bits_per_sample": per_sample,
        "unigram_bits": measured.unigram_bits,
        "linear_bits": measured.linear_bits,
    }
    write_report(config.report, figures)
    return per_sample


def spans_of(prepared: Prepared, sides: Split, part: str) -> list[Span]:
    """The recordings of a part of the folder, `all`, `train` or `valid`. Raises AudioError where there are none."""
    spans = {"all": sides.all, "train": sides.train, "valid": sides.valid}[part]
    if not spans:
        raise AudioError(f"split={part}: no recording of {prepared.folder} is in that part")
    return spans


if __name__ == "__main__":
    main()
