"""Settings from YAML and the command line, composed by Hydra, whose errors become plain messages."""

import contextlib
import re
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from wavenet.cli.flags import UsageError
from wavenet.cli.overrides import Groups
from wavenet.cli.paths import quoted
from wavenet.errors import ConfigError, WaveNetError
from wavenet.files import expanded

KINDS = {"Integer": "a whole number", "int": "a whole number", "Float": "a number", "float": "a number"}
KINDS |= {"String": "text", "str": "text", "bool": "true or false"}
"""OmegaConf's names of types, in words."""
_COMPOSING = threading.Lock()
"""Hydra composes one configuration at a time."""


def config_folder() -> Path:
    """Where the YAML files are: in the installed package, or beside it in a checkout."""
    packaged = Path(str(files("wavenet"))) / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"


def groups(*folders: Path) -> Groups:
    """The config groups of some folders, and their options."""
    found: Groups = {}
    for folder in folders:
        for path in sorted(folder.glob("*/*.yaml")):
            found.setdefault(path.parent.name, []).append(path.stem)
    return found


def folders(config_dir: str | None) -> list[Path]:
    """The package's folder of YAML files, and that of --config-dir. Raises UsageError if that is not a folder."""
    if config_dir is None:
        return [config_folder()]
    own = expanded(config_dir)
    if not own.is_dir():
        raise UsageError(f"--config-dir: there is no folder {own}")
    return [config_folder(), own.absolute()]


def compose(command: str, schema: type, overrides: list[str], config_dir: str | None = None) -> Any:
    """An object of `schema` from configs/<command>.yaml and the overrides. Raises ConfigError if they do not fit."""
    import hydra
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    ConfigStore.instance().store(name=f"{command}_schema", node=schema)
    packaged, *own = folders(config_dir)
    if own:
        overrides = [*overrides, f"hydra.searchpath=[{quoted(f'file://{own[0]}')}]"]
    with in_words(), _COMPOSING, hydra.initialize_config_dir(str(packaged), job_name=command, version_base="1.3"):
        return OmegaConf.to_object(hydra.compose(command, overrides))


@contextlib.contextmanager
def in_words() -> Iterator[None]:
    """Turn errors of Hydra and OmegaConf inside the block into ConfigError."""
    from hydra.errors import HydraException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        yield
    except MissingMandatoryValue as error:
        raise UsageError(f"{error.full_key} is not set: give {error.full_key}=..., see --help") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_in_words(error)) from error


def _in_words(error: BaseException) -> str:
    """One line for an error of Hydra or OmegaConf: the setting, what was found, what is allowed."""
    while error.__cause__ is not None and not getattr(error, "full_key", None):
        error = error.__cause__
    if isinstance(error.__cause__, WaveNetError):
        return str(error.__cause__)
    line = str(error).strip().splitlines()[0]
    key = getattr(error, "full_key", None)
    if not key:
        return line
    if wrong := re.match(r"Value '(.*?)'.* (?:converted to|is not a valid) (\w+)", line):
        return f"{key} is {wrong[1]!r}, but it must be {KINDS.get(wrong[2], wrong[2])}"
    if wrong := re.match(r"Value '(.*?)'.* type hint 'Union\[(.*)\]'", line):
        kinds = " or ".join(KINDS.get(kind, kind) for kind in wrong[2].split(", "))
        return f"{key} is {wrong[1]!r}, but it must be {kinds}"
    if wrong := re.match(r"Invalid type assigned: NoneType is not a subclass of (\w+)", line):
        return f"{key} is null, but it must be {KINDS.get(wrong[1], wrong[1])}"
    if line.endswith("is not Optional"):
        return f"{key} is null, but it needs a value"
    return f"{key}: {line}"
