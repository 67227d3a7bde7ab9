"""wavenet-compare: runs side by side, in a table and a picture."""

from typing import Any

from wavenet.cli import app
from wavenet.config import CompareConfig


def main() -> None:
    app.run("compare", CompareConfig, _job, words="runs")


def _job(config: CompareConfig, _: frozenset[str]) -> Any:
    from wavenet.cli.jobs.compare import job  # imported here because --help needs no torch

    return job(config)


if __name__ == "__main__":
    main()
