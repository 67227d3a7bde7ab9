"""wavenet-export: turns a checkpoint into one file that plays without Python."""

import shlex
from pathlib import Path

from wavenet.cli.display import Display, check_report, destination, setting, takes_stdout, write_report
from wavenet.config import ExportConfig
from wavenet.errors import ConfigError
from wavenet.files import streamed
from wavenet.generation.export import check_place
from wavenet.model import checkpoint, shipped
from wavenet.voice import Voice


def job(config: ExportConfig) -> None:
    output, to_stderr = destination(config.output), takes_stdout(config.output, config.report)
    if output.suffix.lower() == ".safetensors":
        save(config, output, to_stderr)
        return
    check_place(output)
    found = shipped.find(config.checkpoint)
    voice = Voice(checkpoint.load(found.path))
    check_report(config.report)
    made = voice.export(output, config.precision, config.label).exported
    assert made is not None, "a checkpoint's voice exports itself"
    size = len(made.exported)
    with Display(to_stderr) as display:
        for line in found.said:
            display.say(line)
        display.say(f"wrote {output}: {size / 1e6:.2f} MB, {made.precision}, {made.sample_rate} Hz")
        if not streamed(output):
            display.offer("play it", f"wavenet-generate {setting('checkpoint', output)}")
            play = f"wavenet-play {shlex.quote(str(output))} sound.wav"
            display.offer("without Python", play)
    write_report(config.report, {"file": str(output), "bytes": size, "precision": made.precision})


def save(config: ExportConfig, output: Path, to_stderr: bool) -> None:
    """Write a small checkpoint. Raises ConfigError for settings that it does not have."""
    if config.label or config.precision not in ("auto", "int8"):
        raise ConfigError(
            f"{output} is a checkpoint, which keeps all labels and is int8: leave label and precision out"
        )
    found = shipped.find(config.checkpoint)
    voice = Voice(checkpoint.load(found.path))
    check_report(config.report)
    voice.save(output, small=True)
    size = output.stat().st_size
    with Display(to_stderr) as display:
        for line in found.said:
            display.say(line)
        display.say(f"wrote {output}: {size / 1e6:.2f} MB, matrices in int8, {voice.sample_rate} Hz")
    write_report(config.report, {"file": str(output), "bytes": size, "precision": "int8"})
