"""The flags of a command line, which are Hydra's, told from its settings."""

import argparse
import sys
from typing import Any, NoReturn

from wavenet.cli.suggest import nearest
from wavenet.errors import ConfigError

SWITCHES = (["--multirun", "-m"], ["--run", "-r"], ["--resolve"], ["--hydra-help"], ["--shell-completion", "-sc"])
VALUES = (
    *(["--config-dir", "-cd"], ["--config-name", "-cn"], ["--config-path", "-cp"]),
    *(["--package", "-p"], ["--experimental-rerun"]),
)
"""Flags that Hydra takes, without a value and with one; --cfg and --info besides."""


class UsageError(ConfigError):
    """The command line itself cannot be understood; ends with exit status 2."""


def parse_flags(names: list[str]) -> argparse.Namespace:
    """Hydra's flags, and the settings. Raises UsageError for another flag, with the setting it may mean."""
    parser: Any = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = _refuse
    parser.add_argument("overrides", nargs="*")
    for flags in SWITCHES:
        parser.add_argument(*flags, action="store_true")
    for flags in VALUES:
        parser.add_argument(*flags)
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--info", "-i", nargs="?", const="all")
    arguments, strange = parser.parse_known_args()
    if strange and strange[0].startswith("-"):
        flag, _, value = strange[0].partition("=")
        name, following = flag.lstrip("-"), sys.argv[sys.argv.index(strange[0]) + 1 :]
        if not value and following and not following[0].startswith("-") and "=" not in following[0]:
            value = following[0]
        meant = [name] if name in names else nearest(name, names)
        example = f"{meant[0]}={value or '...'}" if meant else "name=value"
        raise UsageError(f"unknown flag {flag}: settings are written {example}, see --help")
    if strange:
        raise UsageError(f"cannot understand {strange[0]!r} here: write the settings next to each other, flags first")
    return arguments


def _refuse(message: str) -> NoReturn:
    raise UsageError(f"{message}; see --help")
