"""wavenet-speak: a voice and a text in, a sound file out."""

from typing import Any

from wavenet.cli import app
from wavenet.config import SpeakConfig


def main() -> None:
    app.run("speak", SpeakConfig, _job, instead={"--voices": _voices})


def _job(config: SpeakConfig, _: frozenset[str]) -> Any:
    from wavenet.cli.jobs.speak import job  # imported here because --help needs no torch

    return job(config)


def _voices() -> None:
    from wavenet.cli.jobs.voices import job  # imported here because --help needs no torch

    job()


if __name__ == "__main__":
    main()
