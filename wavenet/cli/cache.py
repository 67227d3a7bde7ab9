"""wavenet-cache: what is kept of folders of recordings, listed and removed."""

from typing import Any

from wavenet.cli import app
from wavenet.config import CacheConfig


def main() -> None:
    app.run("cache", CacheConfig, _job)


def _job(config: CacheConfig, _: frozenset[str]) -> Any:
    from wavenet.cli.jobs.cache import job  # imported here because --help needs no rich

    return job(config)


if __name__ == "__main__":
    main()
