"""wavenet-generate: a checkpoint in, WAV or FLAC files out."""

from typing import Any

from wavenet.cli import app
from wavenet.config import GenerateConfig


def main() -> None:
    app.run("generate", GenerateConfig, _job, instead={"--voices": _voices})


def _job(config: GenerateConfig, _: frozenset[str]) -> Any:
    from wavenet.cli.jobs.generate import job  # imported here because --help needs no torch

    return job(config)


def _voices() -> None:
    from wavenet.cli.jobs.voices import job  # imported here because --help needs no torch

    job()


if __name__ == "__main__":
    main()
