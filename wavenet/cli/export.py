"""wavenet-export: a checkpoint in, one file out that plays without Python."""

from typing import Any

from wavenet.cli import app
from wavenet.config import ExportConfig


def main() -> None:
    app.run("export", ExportConfig, _job)


def _job(config: ExportConfig, _: frozenset[str]) -> Any:
    from wavenet.cli.jobs.export import job  # imported here because --help needs no torch

    return job(config)


if __name__ == "__main__":
    main()
