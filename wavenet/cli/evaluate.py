"""wavenet-evaluate: bits per sample of a folder of recordings under a checkpoint."""

from typing import Any

from wavenet.cli import app
from wavenet.config import EvaluateConfig


def main() -> None:
    app.run("evaluate", EvaluateConfig, _job)


def _job(config: EvaluateConfig, given: frozenset[str]) -> Any:
    from wavenet.cli.jobs.evaluate import job  # imported here because --help needs no torch

    return job(config, given)


if __name__ == "__main__":
    main()
