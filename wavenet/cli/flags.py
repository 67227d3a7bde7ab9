"""Separates the flags of a command line, which are Hydra's, from its settings."""

import argparse
from argparse import Namespace
from collections.abc import Sequence
from typing import Any, NoReturn

from wavenet.cli.suggest import nearest
from wavenet.errors import ConfigError

RUNS = ("config_dir", "run", "overrides")
"""Flags, and the settings, that do not require Hydra itself to run the command."""


class UsageError(ConfigError):
    """The command line itself cannot be understood; the exit status is 2."""


def parse_flags(arguments: Sequence[str], names: list[str]) -> Namespace:
    """Hydra's flags, and the settings as `overrides`. Raises UsageError for any other flag, naming the setting in
    `names` that it may mean."""
    parser: Any = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = _refuse
    parser.add_argument("overrides", nargs="*")
    action = parser.add_mutually_exclusive_group()
    for flags in (["--multirun", "-m"], ["--run", "-r"], ["--hydra-help"]):
        action.add_argument(*flags, action="store_true")
    action.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    information = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    action.add_argument("--info", "-i", nargs="?", const="all", choices=information)
    parser.add_argument("--resolve", action="store_true")
    for flags in (["--config-dir", "-cd"], ["--config-name", "-cn"], ["--config-path", "-cp"], ["--package", "-p"]):
        parser.add_argument(*flags)
    parsed, strange = parser.parse_known_args(arguments)
    if strange and strange[0].startswith("-"):
        flag, _, value = strange[0].partition("=")
        name, following = flag.lstrip("-"), arguments[arguments.index(strange[0]) + 1 :]
        if not value and following and not following[0].startswith("-") and "=" not in following[0]:
            value = following[0]
        meant = [name] if name in names else nearest(name, names)
        example = f"{meant[0]}={value or '...'}" if meant else "name=value"
        raise UsageError(f"unknown flag {flag}: settings are written {example}, see --help")
    if strange:
        raise UsageError(f"cannot understand {strange[0]!r} here: write the settings next to each other, flags first")
    if parsed.resolve and not parsed.cfg:
        raise UsageError("--resolve belongs to --cfg, as in --cfg job --resolve")
    return parsed


def asks_hydra(flags: Namespace) -> bool:
    """Whether the command line asks for more than a single run: a sweep, a view of settings, or a feature of Hydra."""
    own = any(setting.lstrip("+~").startswith("hydra") or "${hydra" in setting for setting in flags.overrides)
    return own or any(value for name, value in vars(flags).items() if name not in RUNS)


def _refuse(message: str) -> NoReturn:
    raise UsageError(f"{message}; see --help")
