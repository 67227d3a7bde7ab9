"""wavenet-export: a checkpoint in, one file out that plays without Python."""

from pathlib import Path

from wavenet import checkpoint
from wavenet.cli import app
from wavenet.cli.display import Display, check_report, write_report
from wavenet.config import ExportConfig
from wavenet.errors import CheckpointError
from wavenet.files import atomic
from wavenet.generation import CompiledEngine, exported


def main() -> None:
    app.run("export", ExportConfig, _export)


def _export(config: ExportConfig) -> None:
    loaded = checkpoint.load(Path(config.checkpoint).expanduser())
    check_report(config.report)
    output = Path(config.output).expanduser()
    packed = exported(loaded.model, loaded.sample_rate, config.precision)
    engine = CompiledEngine(packed)  # what cannot be loaded is not written
    try:
        with atomic(output) as temporary:
            temporary.write_bytes(packed)
    except OSError as error:
        raise CheckpointError(f"cannot write {output} ({error.strerror}); choose another output") from error
    with Display() as display:
        display.say(f"wrote {output}: {len(packed) / 1e6:.2f} MB, {engine.precision}, {engine.sample_rate} Hz")
        display.say(f"play it: wavenet-generate checkpoint={output}, or wavenet-play {output} sound.wav")
    write_report(config.report, {"file": str(output), "bytes": len(packed), "precision": engine.precision})


if __name__ == "__main__":
    main()
