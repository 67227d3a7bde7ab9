"""wavenet-evaluate: bits per sample of a folder of recordings under a checkpoint."""

from collections.abc import Collection

import torch
from rich.table import Table

from wavenet import evaluation
from wavenet.audio.encodings import Codes
from wavenet.cli.display import Display, check_report, takes_stdout, write_report
from wavenet.cli.jobs.common import annotate, as_trained, divide
from wavenet.config import EvaluateConfig
from wavenet.errors import ConfigError, counted
from wavenet.evaluation import fidelity, verdict
from wavenet.evaluation.baselines import measure_baselines
from wavenet.generation import Engine, generate, make_engine
from wavenet.model import checkpoint, native, shipped
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.conditioning import Companion
from wavenet.model.device import find_device
from wavenet.recordings.annotations import Annotations, untold
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import Span
from wavenet.recordings.windows import Windows

HEARD_SECONDS = 4.0
"""Length of the sound that the model makes to be judged."""
EXAMPLES = 500
"""Most recordings, from all over the folder, that int8's scales are measured on."""


def job(config: EvaluateConfig, given: Collection[str] = ()) -> float:
    if config.threads:
        torch.set_num_threads(config.threads)
    found = shipped.find(config.checkpoint)
    loaded = checkpoint.load(found.path)
    if config.resynthesise and not loaded.model.config.features.kinds:
        raise ConfigError(
            f"resynthesise: {loaded.path} was trained without features: leave it out, or train with experiment=vocoder"
        )
    if config.data.trim_silence_db is not None and "file" in loaded.model.config.features.kinds:
        raise ConfigError("data.trim_silence_db: cutting would shift the frames beside the recordings: leave it out")
    if config.engine == "auto" and config.precision == "int8":
        raise ConfigError(
            "precision is int8, which the parallel scoring of engine=auto does not support: use engine=compiled"
        )
    if config.engine == "auto" and config.instruction_set != "auto":
        raise ConfigError("instruction_set applies only to engine=compiled: leave it out, or use that engine")
    check_report(config.report)
    device = find_device(config.device)
    model = loaded.model.to(device)
    as_trained(config.data, loaded, given)
    with Display(takes_stdout(config.report)) as display:
        prepared = prepare(config.data, display.preparing, model.distribution.encoding)
        for line in [*found.said, *prepared.report()]:
            display.say(line)
        known = annotate(prepared, config.data, model.config, config.use_labels, display)
        sides, spans = divide(prepared, config.data, config.split, display)
        if config.engine == "auto":
            mixed = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
            windows = Windows(prepared.codes, spans, evaluation.CROP, model.receptive_field, known)
            bits, samples, own_bits = evaluation.score(model, windows, device, mixed)
        else:
            some = [span.recording for span in spans[:: max(1, len(spans) // EXAMPLES)]]
            engine = _engine(config, loaded, [known.companion(r) if known else untold(prepared, r) for r in some])
            own_bits = None
            bits, samples = evaluation.score_with_engine(engine, prepared.codes, spans, model.conditioning, known)
        # fitted on the folder's training part, or if there is none on what is scored, which makes them look better
        measured = measure_baselines(prepared.codes, sides.train or spans, spans)
        per_sample = bits / samples
        table = Table("predictor", "bits per sample")
        for name, value in {**measured.named(), f"this model, step {loaded.step}": per_sample}.items():
            table.add_row(name, f"{value:.3f}")
        sixteen_bit = {}
        if model.config.mixtures and own_bits is not None:
            sixteen_bit = {"bits_per_16_bit_sample": own_bits / samples}
            table.add_row("this model, all 16 bits", f"{own_bits / samples:.3f}")
        display.console.print(table)
        count = len({span.recording for span in spans})  # one that is cut in two is one
        display.say(f"{counted(count, 'recording')}, {samples} samples: {verdict.of_bits(per_sample, measured)}")
        fast = device.type == "cpu" and native.code() is not None and not model.edited
        if model.conditioning is None and fast:  # then it takes only a second
            display.say(f"a sound of {HEARD_SECONDS:g} s by it is {_heard(loaded, prepared.codes, spans, per_sample)}")
        nearness = {}
        if config.resynthesise:
            nearness = _resynthesise(
                config, loaded, known, spans[:: max(1, len(spans) // config.resynthesise)], display
            )
    figures = {
        "files": count,
        "samples": samples,
        "bits_per_sample": per_sample,
        "unigram_bits": measured.unigram_bits,
        "linear_bits": measured.linear_bits,
        **sixteen_bit,
        **nearness,
    }
    write_report(config.report, figures)
    return per_sample


def _heard(loaded: Checkpoint, codes: Codes, spans: list[Span], bits: float) -> str:
    """The verdict on a sound that the model makes, compared with the recordings."""
    rate, samples = loaded.sample_rate, round(HEARD_SECONDS * loaded.sample_rate)
    made = list(generate(make_engine("auto", loaded.model, sample_rate=rate), samples, [0]))
    sound = loaded.model.distribution.encoding.decode(torch.cat([chunk[0] for chunk, _ in made]))
    made_bits = float(torch.cat([chunk[0] for _, chunk in made]).mean())
    recordings = verdict.Recordings(verdict.pieces(codes, spans, samples), rate)
    judged = verdict.of_sound(sound, recordings, made_bits, bits)
    return "not judged: the recordings are too short" if judged is None else judged.words


def _engine(config: EvaluateConfig, loaded: Checkpoint, examples: list[Companion]) -> Engine:
    how = (config.precision, config.instruction_set, config.threads, loaded.sample_rate, examples)
    return make_engine(config.engine, loaded.model, *how)


def _resynthesise(
    config: EvaluateConfig, loaded: Checkpoint, known: Annotations | None, spans: list[Span], display: Display
) -> dict[str, float | None]:
    """Resynthesise recordings from their features, and average the measures of `fidelity.compare` over them."""
    model = loaded.model
    assert model.conditioning is not None, "it has features"
    assert known is not None, "a conditioned model has annotations"
    chosen = spans[: config.resynthesise]
    told = [known.companion(span.recording)._replace(codes=None) for span in chosen]  # the model hears its own sounds
    engine = _engine(config, loaded, told)
    found = []
    for number, span in enumerate(chosen):
        codes = torch.from_numpy(known.prepared.codes[span.start : span.stop].astype("int64"))
        recording = model.distribution.encoding.decode(codes)
        made = evaluation.resynthesise(engine, model.conditioning, known, span, seed=number)
        found.append(fidelity.compare(recording, made, loaded.sample_rate))
    table = Table("resynthesised from features", f"mean of {counted(len(chosen), 'recording')}")
    means: dict[str, float | None] = {}
    for name in found[0]:
        values = [figures[name] for figures in found if figures[name] is not None]
        means[name] = sum(values) / len(values) if values else None
        table.add_row(fidelity.words(name), "not measured" if means[name] is None else f"{means[name]:.3f}")
    display.console.print(table)
    if fidelity.missing():
        display.say(f"for pesq and stoi: pip install {' '.join(fidelity.missing())}")
    return means
