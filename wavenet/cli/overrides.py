"""Checks the settings of a command line, `name=value`, before Hydra sees them.

Hydra itself silently accepts a mistyped `+model.chanels=8`, whatever the prefix.
"""

from typing import Any

from wavenet.cli.flags import UsageError
from wavenet.cli.paths import expand_home, is_path, quote_path, quote_sweep
from wavenet.cli.suggest import unknown
from wavenet.config import Setting, settings
from wavenet.errors import ConfigError

Groups = dict[str, list[str]]
"""The config groups and their options, {"model": ["base", "large", ...], ...}."""


def for_hydra(arguments: list[str], schema: type, groups: Groups, sweep: bool = False) -> list[str]:
    """The settings as Hydra takes them: paths expanded and quoted, and a plus only before new entries of an open
    setting. Raises ConfigError as `check` does."""
    quote = quote_sweep if sweep else quote_path
    written = [quote(expand_home(argument)) for argument in arguments]
    check(written, schema, groups, sweep)
    entries = tuple(f"{name}{mark}" for name in open_settings(schema) for mark in ".=")
    bare = [argument if _of_hydra(argument.lstrip("+")) else argument.lstrip("+") for argument in written]
    return [f"+{argument}" if argument.startswith(entries) else argument for argument in bare]


def names(overrides: list[str]) -> frozenset[str]:
    """Names of the given settings and groups, such as `optim.lr` and `model`, without Hydra's own."""
    written = (override.lstrip("+").split("=")[0] for override in overrides)
    return frozenset(name for name in written if not _of_hydra(name))


def open_settings(schema: type) -> list[str]:
    """Settings of a schema whose entries depend on the model or the recordings, such as `label` in label.speaker=...;
    not those of `model`, which training fills in."""
    found = [setting.name for setting in settings(schema) if setting.container is dict]
    return [name for name in found if not name.startswith("model.")]


def choices(schema: type, groups: Groups) -> list[str]:
    """All names that a setting on the command line may have."""
    entries = open_settings(schema)
    return [f"{s.name}.NAME" if s.name in entries else s.name for s in settings(schema)] + list(groups)


def check(overrides: list[str], schema: type, groups: Groups, sweep: bool = False) -> None:
    """Raise ConfigError for an override that names no setting or group, with the nearest one, and for a value of the
    wrong kind."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    known, entries = {setting.name: setting for setting in settings(schema)}, open_settings(schema)
    parser = OverridesParser.create()
    for override in overrides:
        try:
            parsed = parser.parse_override(override)
        except HydraException as error:
            raise UsageError(f"cannot understand {override!r}: settings are written name=value, see --help") from error
        key, value = parsed.key_or_group, parsed.value()
        if parsed.is_sweep_override() and not sweep:
            raise ConfigError(f"{override} gives several values: add --multirun to run with each, or quote the value")
        if is_path(key) and value == "":
            raise ConfigError(f"{key} is empty: give a path, as in {key}=...")
        if key in groups:
            _check_option(key, value, groups[key], required=any(name.startswith(f"{key}.") for name in known))
        elif key in known:
            _check_kind(known[key], value, key in entries)
        elif not (_of_hydra(key) or _is_entry(key, entries) or any(name.startswith(f"{key}.") for name in known)):
            raise ConfigError(f"unknown setting {key}{unknown(key, choices(schema, groups))}")


def _check_option(group: str, value: Any, options: list[str], required: bool) -> None:
    """Raise ConfigError for a preset that does not exist, or for null if one is required."""
    if value is None and required:
        raise ConfigError(f"{group} is null, but it must be one of {', '.join(options)}")
    for option in value if isinstance(value, list) else [value]:
        if isinstance(option, str) and option not in options:
            raise ConfigError(f"{group}={option} does not exist{unknown(option, options, group + '=')}")


def _is_entry(key: str, entries: list[str]) -> bool:
    """Whether a name is an entry of an open setting, such as label.speaker; the command itself checks it."""
    return key.rpartition(".")[0] in entries


def _check_kind(setting: Setting, value: Any, entries: bool) -> None:
    """Raise ConfigError if a list or a set of entries is not written as one."""
    name = setting.name
    if (setting.container is list or entries) and isinstance(value, str | int | float):
        better = f"{name}.NAME={value}" if entries else f"{name}=[{value}]"
        raise ConfigError(f"{name} is {value!r}, but it is written {better}")


def _of_hydra(name: str) -> bool:
    """Whether a setting is one of Hydra's own, such as `hydra.job.chdir` or `hydra/launcher`."""
    return name.startswith(("hydra.", "hydra/"))
