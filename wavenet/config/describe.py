"""Settings by dotted name: their descriptions, and objects built from their values.

`--help` and the settings page of the documentation are made from `settings`, so that nothing is written twice.
"""

import ast
import dataclasses
import functools
import inspect
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from typing import Any, get_origin

from wavenet.errors import ConfigError


@dataclass(frozen=True)
class Setting:
    """One setting of a command."""

    name: str
    """Dotted, as it is written on a command line: `optim.lr`."""
    type: Any
    """Its type in the schema: `int`, `float | None`, `list[str]`."""
    default: Any
    """Its value when none is given; "???" for a required setting."""
    docstring: str
    """One line, with `code` in backquotes."""

    @property
    def shown(self) -> str:
        """The default in words: `required`, `none`, or as it is written on a command line."""
        return "required" if self.default == "???" else "none" if self.default is None else str(self.default).lower()

    @property
    def container(self) -> Any:
        """`list` or `dict` if the setting holds several values, else None."""
        return get_origin(self.type) if get_origin(self.type) in (list, dict) else None


def settings(schema: type, prefix: str = "") -> Iterator[Setting]:
    """Every setting of a command, from its schema, such as TrainConfig, in the order of the source."""
    docstrings = _docstrings(sys.modules[schema.__module__])[schema.__name__]
    for field in dataclasses.fields(schema):
        name = prefix + field.name
        if (section := section_of(field)) is not None:
            yield from settings(section, f"{name}.")
        else:
            default = field.default if field.default_factory is MISSING else field.default_factory()
            yield Setting(name, field.type, default, " ".join(docstrings[field.name].split()))


def section_of(field: dataclasses.Field) -> type | None:
    """The schema of a field that is a section of settings, such as `optim`; None for a setting."""
    factory = field.default_factory
    return factory if isinstance(factory, type) and dataclasses.is_dataclass(factory) else None


def build(schema: type, values: dict[str, Any]) -> Any:
    """An object of a schema from values by dotted name, {"optim.lr": 0.01}; other settings keep their defaults.

    Raises ConfigError for an unknown name and for a value out of range.
    """
    unknown = values.keys() - {setting.name for setting in settings(schema)}
    if unknown:
        raise ConfigError(f"unknown setting {min(unknown)}")
    return _build(schema, values, "")


def _build(schema: type, values: dict[str, Any], prefix: str) -> Any:
    made = {}
    for field in dataclasses.fields(schema):
        name = prefix + field.name
        if (section := section_of(field)) is not None:
            made[field.name] = _build(section, values, f"{name}.")
        elif name in values:
            made[field.name] = values[name]
    return schema(**made)


@functools.cache
def _docstrings(module: Any) -> dict[str, dict[str, str]]:
    """Class -> field -> the string below the field, which Python does not keep at run time."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef):
            fields = found.setdefault(node.name, {})
            for field, below in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                    fields[ast.unparse(field.target)] = ast.literal_eval(below.value)
    return found
