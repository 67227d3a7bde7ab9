"""wavenet-recognise: a folder of recordings in, what is said when out, and how much is right where that is known."""

from typing import Any

from wavenet.cli import app
from wavenet.config import RecogniseConfig


def main() -> None:
    app.run("recognise", RecogniseConfig, _job)


def _job(config: RecogniseConfig, given: frozenset[str]) -> Any:
    from wavenet.cli.jobs.recognise import job  # imported here because --help needs no torch

    return job(config, given)


if __name__ == "__main__":
    main()
