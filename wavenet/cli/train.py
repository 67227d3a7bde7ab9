"""wavenet-train: a folder of recordings in, a run folder out."""

from typing import Any

from wavenet.cli import app
from wavenet.config import TrainConfig


def main() -> None:
    app.run("train", TrainConfig, _job)


def _job(config: TrainConfig, given: frozenset[str]) -> Any:
    from wavenet.cli.jobs.train import job  # imported here because --help needs no torch

    return job(config, given)


if __name__ == "__main__":
    main()
