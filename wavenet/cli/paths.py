"""Paths as people and shells write them: in Hydra's grammar, and checked before the work."""

import os
import re
from pathlib import Path

from wavenet.errors import ConfigError
from wavenet.files import expanded

PATHS = (
    *("dir", "cache_dir", "resume", "report", "checkpoint", "prime", "output", "features", "frames", "remove"),
    *("made_frames", "lexicon", "timings", "init"),
)
"""Last parts of the settings that are paths."""
QUOTED = re.compile(r"""'([^'\\]|\\.)*'|"([^"\\]|\\.)*\"""")
"""A value that is already in quotes of Hydra's grammar."""
LIST = re.compile(r'\["([^"\\]|\\.)*"(,"([^"\\]|\\.)*")*\]')
"""A list of such values, as `gathered` writes it."""
PLACES = ("run.dir", "report", "output")
"""Settings that name where to write: always one path, never a sweep."""
TEXT = "text"
"""The setting that is prose, which is taken as it is written."""


def is_path(name: str) -> bool:
    """Whether a setting, by its dotted name, is a path."""
    return name.split(".")[-1] in PATHS


def expand_home(argument: str) -> str:
    """name=~/x -> name=/home/me/x: shells leave the tilde after an equals sign alone.

    Raises ConfigError for a path in the home of a user that does not exist.
    """
    name, equals, value = argument.partition("=")
    plain = name.lstrip("+")
    if not value.startswith("~") or plain == TEXT or plain.startswith("label."):
        return argument
    if not is_path(plain):
        return name + equals + os.path.expanduser(value)
    try:
        return name + equals + str(expanded(value))
    except ConfigError as error:
        raise ConfigError(f"{plain}: {error}") from error


def quote_path(argument: str) -> str:
    """Quote the value of a setting that is a path, a label or prose, so that Hydra's grammar accepts it.

    A label or prose reaches the command as written. A path may also be null, quoted, or contain an interpolation.
    """
    name, equals, value = argument.partition("=")
    plain = name.lstrip("+")
    as_it_is = QUOTED.fullmatch(value) or LIST.fullmatch(value) or "${" in value or value == "null"
    if value and (plain == TEXT or plain.startswith("label.") or (is_path(plain) and not as_it_is)):
        return name + equals + quoted(value)
    return argument


def gathered(arguments: list[str], name: str) -> list[str]:
    """The arguments, but with words that are no settings, and all values of the setting `name`, in one list of it.

    Raises ConfigError for an empty value.
    """
    values, others = [], []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        there = "/" in key and os.path.exists(os.path.expanduser(argument))  # such as runs/sweep/0_seed=1
        if there or not re.fullmatch(r"[+~]*[a-z_][\w./@]*", key) or not equals:
            key, value = name, argument
        if key.lstrip("+") == name:
            values.append(value)
        else:
            others.append(argument)
    if "" in values:
        raise ConfigError(f"{name} is empty: give a path, as in {name}=...")
    listed = [quoted(str(expanded(value))) for value in values]
    return [*others, *([f"{name}=[{','.join(listed)}]"] if listed else [])]


def quoted(value: str) -> str:
    """Text in quotes of Hydra's grammar, where a backslash escapes a quote or a backslash just before one."""
    escaped = re.sub(r'(\\+)(?="|$)', r"\1\1", value).replace('"', '\\"')
    return f'"{escaped}"'.replace("${", "\\${")


def quote_sweep(argument: str) -> str:
    """Under --multirun, quote paths as `quote_path` does, but keep commas between several paths as a sweep.

    The longest run of pieces between commas that exists as a path counts as one path. A setting that says where to
    write is always one path. Hydra's own forms, such as choice(a,b), and quoted values stay as they are.
    """
    name, equals, value = argument.partition("=")
    plain = name.lstrip("+")
    if plain == TEXT:
        return quote_path(argument)
    if not is_path(plain) or re.match(r"['\"]|[a-z]+\(.*\)$", value):
        return argument
    if "," not in value or plain in PLACES:
        return quote_path(argument)
    pieces, paths = value.split(","), []
    while pieces:
        tries = (",".join(pieces[:count]) for count in range(len(pieces), 0, -1))
        path = next((path for path in tries if os.path.exists(os.path.expanduser(path))), pieces[0])
        paths.append(quote_path(expand_home(f"{name}={path}")).partition("=")[2])
        del pieces[: path.count(",") + 1]
    return name + equals + ",".join(paths)


def check_folder(folder: Path) -> None:
    """Raise ConfigError if this folder cannot be made or written to."""
    there = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    if not there.is_dir():
        raise ConfigError(f"output: {there} is a file, not a folder; choose another output")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"output: the folder {there} cannot be written to; choose another output")
