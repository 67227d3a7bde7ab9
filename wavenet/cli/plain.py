"""Settings that are written so plainly that Hydra is not needed to read them: it takes longer to import than a short
sound to make. Whatever is not plain, or wrong, is left to Hydra and its messages."""

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from wavenet.cli.paths import expand_home, is_path
from wavenet.errors import ConfigError

PLAIN: dict[type, str] = {int: r"-?\d{1,18}", float: r"-?\d{1,15}(\.\d{1,15})?", bool: "true|false"}
"""How a value is written that means the same to everybody, by its type."""
WORD = r"(?!(?:null|true|false|nan|inf)$)[A-Za-z_][\w.-]*"
"""A text that Hydra's grammar takes as it is."""
PATH = r"(?!(?:null|true|false|nan|inf)$)[\w./~][\w./~-]*|-"
"""A path without spaces and marks, or the standard output."""
NAME = r"[A-Za-z_]\w*"
"""The name of an entry."""


def read(command: str, schema: type, arguments: Sequence[str], folder: Path) -> tuple[Any, frozenset[str]] | None:
    """What `composing.compose` makes of these arguments, and their names, if all are plain; otherwise None.

    folder: of the YAML files. A command whose file there sets or includes anything of its own is left to Hydra.
    """
    if not _sets_nothing(folder / f"{command}.yaml", command):
        return None
    fields = {field.name: field for field in dataclasses.fields(schema)}
    values: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        label, _, entry = name.partition(".")
        if not equals or name in values:
            return None
        if entry:
            plain = _matches(NAME, entry) and _matches(WORD, text)
            if not plain or not _is_open(fields.get(label)) or entry in values.get(label, {}):
                return None
            values.setdefault(label, {})[entry] = text
            continue
        found = _value(fields.get(name), expand_home(argument).partition("=")[2])
        if found is None:
            return None
        values[name] = found
    if any(field.default == "???" and name not in values for name, field in fields.items()):
        return None
    try:
        return schema(**values), frozenset(argument.partition("=")[0] for argument in arguments)
    except ConfigError:
        return None


def _sets_nothing(file: Path, command: str) -> bool:
    """Whether a command's YAML file leaves every setting as the schema has it."""
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    included = [one for one in found.get("defaults", []) if one not in (f"{command}_schema", "_self_")]
    return found.keys() <= {"defaults", "hydra"} and all(
        isinstance(one, Mapping) and all(name.startswith("override hydra/") for name in one) for one in included
    )


def _is_open(field: dataclasses.Field[Any] | None) -> bool:
    """Whether a setting, such as `label`, has entries of any name."""
    return field is not None and typing.get_origin(field.type) is dict


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII | re.IGNORECASE) is not None


def _value(field: dataclasses.Field[Any] | None, text: str) -> Any:
    """A value of a field's type, None if the text is not plain."""
    if field is None or typing.get_origin(field.type) in (dict, list):
        return None
    kind: Any = next((kind for kind in typing.get_args(field.type) if kind is not NoneType), field.type)
    if kind is str:
        return text if _matches(PATH if is_path(field.name) else WORD, text) else None
    if kind not in PLAIN or not re.fullmatch(PLAIN[kind], text, re.ASCII):
        return None
    return text == "true" if kind is bool else kind(text)
