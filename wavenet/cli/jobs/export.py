"""wavenet-export: a checkpoint in, one file out that plays without Python."""

import shlex

from wavenet import audio
from wavenet.cli.display import Display, check_report, destination, setting, takes_stdout, write_report
from wavenet.cli.jobs.common import choose_labels
from wavenet.config import ExportConfig
from wavenet.errors import CheckpointError, ConfigError
from wavenet.files import atomic, expanded, streamed
from wavenet.generation import CompiledEngine, exported
from wavenet.generation.export import fixed, is_exported
from wavenet.model import checkpoint
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.conditioning import Companion
from wavenet.model.wavenet import WaveNet


def job(config: ExportConfig) -> None:
    output, to_stderr = destination(config.output), takes_stdout(config.output, config.report)
    if output.suffix.lower() in {*audio.EXTENSIONS, *audio.UNREAD, ".safetensors", ".state"}:
        better = output.with_suffix(".wavenet")
        raise ConfigError(f"output is {output}, but an exported network is no {output.suffix} file: call it {better}")
    stream = streamed(output)
    if output.is_dir() or (output.exists() and not stream and not is_exported(output)):
        raise ConfigError(f"output: {output} is there already and is no exported network; choose another output")
    loaded = checkpoint.load(expanded(config.checkpoint))
    check_report(config.report)
    packed = exported(_settled(config, loaded), loaded.sample_rate, config.precision)
    engine = CompiledEngine(packed)  # what cannot be loaded is not written
    try:
        with atomic(output) as temporary:
            temporary.write_bytes(packed)
    except OSError as error:
        raise CheckpointError(f"cannot write {output} ({error.strerror}); choose another output") from error
    with Display(to_stderr) as display:
        display.say(f"wrote {output}: {len(packed) / 1e6:.2f} MB, {engine.precision}, {engine.sample_rate} Hz")
        if not stream:
            display.offer("play it", f"wavenet-generate {setting('checkpoint', output)}")
            play = f"wavenet-play {shlex.quote(str(output))} sound.wav"
            display.offer("without Python, once it is built (see the README)", play)
    write_report(config.report, {"file": str(output), "bytes": len(packed), "precision": engine.precision})


def _settled(config: ExportConfig, loaded: Checkpoint) -> WaveNet:
    """The model, with its labels chosen for good."""
    model, known = loaded.model, loaded.model.config
    labels = choose_labels(config.label, known.labels)
    if model.conditioning is None:
        return model
    if not model.conditioning.constant:
        what = "features" if known.features.kinds else "context stacks"
        raise ConfigError(f"{loaded.path} has {what}, which an exported file cannot hold: use wavenet-generate")
    return fixed(model, model.conditioning(Companion(labels), 0, 1)[0])
