"""wavenet-align: recordings and their texts in, which letter or phone is heard when out."""

from typing import Any

from wavenet.cli import app
from wavenet.config import AlignConfig


def main() -> None:
    app.run("align", AlignConfig, _job)


def _job(config: AlignConfig, _: frozenset[str]) -> Any:
    from wavenet.cli.jobs.align import job  # imported here because --help needs no torch

    return job(config)


if __name__ == "__main__":
    main()
