"""wavenet-speak: a voice and a text in, a sound file out."""

from typing import Any

from wavenet.cli import app
from wavenet.config import SpeakConfig


def main() -> None:
    app.run("speak", SpeakConfig, _job)


def _job(config: SpeakConfig, _: frozenset[str]) -> Any:
    from wavenet.cli.jobs.speak import job  # imported here because --help needs no torch

    return job(config)


if __name__ == "__main__":
    main()
