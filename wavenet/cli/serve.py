"""wavenet-serve: a page in the browser that plays networks."""

from typing import Any

from wavenet.cli import app
from wavenet.config import ServeConfig


def main() -> None:
    app.run("serve", ServeConfig, _job, words="checkpoint")


def _job(config: ServeConfig, given: frozenset[str]) -> Any:
    from wavenet.cli.jobs.serve import job  # imported here because --help needs no torch

    return job(config, given)


if __name__ == "__main__":
    main()
