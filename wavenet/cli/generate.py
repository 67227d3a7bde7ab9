"""wavenet-generate: a checkpoint in, WAV or FLAC files out."""

from typing import Any

from wavenet.cli import app
from wavenet.config import GenerateConfig


def main() -> None:
    app.run("generate", GenerateConfig, _job)


def _job(config: GenerateConfig, _: frozenset[str]) -> Any:
    from wavenet.cli.jobs.generate import job  # imported here because --help needs no torch

    return job(config)


if __name__ == "__main__":
    main()
