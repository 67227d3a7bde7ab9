"""How every command starts: settings from YAML and the command line, checked strictly, and errors in one line.

Hydra alone accepts a mistyped `+model.chanels=8` without a word. Here every override is held against the schema before
Hydra sees it, whatever its prefix.
"""

import dataclasses
import os
import re
import signal
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn, get_origin

from wavenet.cli.flags import UsageError, parse_flags
from wavenet.cli.help import describe
from wavenet.cli.suggest import unknown
from wavenet.cli.terminal import signals_as_ctrl_c, steady_streams
from wavenet.errors import ConfigError, WaveNetError
from wavenet.files import expanded

Job = Callable[[Any], Any]

KINDS = {
    "converted to Integer": "a whole number",
    "converted to Float": "a number",
    "not a valid bool": "true or false",
    "converted to String": "text",
}
"""What OmegaConf says of a wrong type, in words."""


PATHS = ("dir", "cache_dir", "resume", "report", "checkpoint", "prime", "output", "features", "frames", "remove")
"""Last parts of the settings that are paths."""
QUOTED = re.compile(r"""'([^'\\]|\\.)*'|"([^"\\]|\\.)*\"""")
"""A value that is in quotes already, those of Hydra's grammar."""
PLACES = ("run.dir", "report", "output")
"""Settings that name where to write: one place, which a sweep does not go over."""


def run(command: str, schema: type, job: Job) -> None:
    """Run `job` with an object of `schema`, made from configs/<command>.yaml and the command line.

    Exit status: 0; 1 for an error that the user can fix, one line on stderr; 2 for a command line not understood; 128 +
    the number of the signal that ended it. Mistakes of ours keep their traceback. Under --multirun a failed job is
    reported and the others go on.
    """
    with steady_streams(), signals_as_ctrl_c() as received:
        try:
            if {"-h", "--help"} & set(sys.argv[1:]):
                print(describe(command, schema, groups(config_folder())), end="")
            elif "--version" in sys.argv[1:]:
                from wavenet import __version__

                print(f"wavenet {__version__}")
            else:
                _run(command, schema, job)
        except WaveNetError as error:
            _fail(error)
        except KeyboardInterrupt:
            number = received[0] if received else signal.SIGINT
            how = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
            print(how, file=sys.stderr)
            sys.exit(128 + number)


def _run(command: str, schema: type, job: Job) -> None:
    # only now: --help does without them
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        os.getcwd()
    except OSError as error:
        raise ConfigError(f"the current folder cannot be used ({error.strerror}): change to another one") from error
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing, and `run` decides what is shown
    multirun = bool({"-m", "--multirun"} & set(sys.argv))
    quote = quote_sweep if multirun else quote_path
    sys.argv[1:] = [quote(expand_home(argument)) for argument in sys.argv[1:]]
    arguments = parse_flags(list(setting_types(schema)))
    folders = [config_folder()] + ([Path(arguments.config_dir)] if arguments.config_dir else [])
    check_overrides(arguments.overrides, schema, *folders)
    # Hydra wants a plus before an entry that is not there yet, and none before one that is
    new = tuple(f"{name}." for name in open_settings(schema))
    bare = [argument if argument.lstrip("+").startswith("hydra") else argument.lstrip("+") for argument in sys.argv[1:]]
    sys.argv[1:] = [f"+{argument}" if argument.startswith(new) else argument for argument in bare]
    if multirun:  # a job's folder is named by what the sweep changes
        parsed = OverridesParser.create().parse_overrides(arguments.overrides)
        same = [override.key_or_group for override in parsed if not override.is_sweep_override()]
        sys.argv.append(f"hydra.job.config.override_dirname.exclude_keys=[{','.join(same)}]")
        sys.argv.append("+hydra.callbacks.results._target_=wavenet.cli.sweep.Results")
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    ConfigStore.instance().store(name=f"{command}_schema", node=schema)

    errors: list[WaveNetError] = []  # kept from Hydra, which would add words of its own and end a sweep

    def wrapped(settings: Any) -> Any:
        try:
            return job(OmegaConf.to_object(settings))
        except MissingMandatoryValue as error:
            errors.append(UsageError(f"{error.full_key} is not set: give {error.full_key}=..., see --help"))
        except WaveNetError as error:
            errors.append(error)
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                print(f"error in job {HydraConfig.get().job.num}: {error}", file=sys.stderr)

    main = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=command)(wrapped)
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_in_words(error)) from error
    if errors and arguments.multirun:
        failed = "1 job" if len(errors) == 1 else f"{len(errors)} jobs"
        raise WaveNetError(f"{failed} of the sweep failed, as told above; the others are done")
    if errors:
        raise errors[0]


def config_folder() -> Path:
    """Where the YAML files are: in the installed package, or beside it in a checkout."""
    packaged = Path(str(files("wavenet"))) / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"


def groups(*folders: Path) -> dict[str, list[str]]:
    """The config groups and their options, {"model": ["base", "large", ...], ...}."""
    found: dict[str, list[str]] = {}
    for folder in folders:
        for path in sorted(folder.glob("*/*.yaml")):
            found.setdefault(path.parent.name, []).append(path.stem)
    return found


def setting_types(schema: type, prefix: str = "") -> dict[str, Any]:
    """Dotted names of all settings of a schema, and what each holds."""
    types: dict[str, Any] = {}
    for field in dataclasses.fields(schema):
        if isinstance(field.default_factory, type) and dataclasses.is_dataclass(field.default_factory):
            types |= setting_types(field.default_factory, f"{prefix}{field.name}.")
        else:
            types[prefix + field.name] = get_origin(field.type) or field.type
    return types


def open_settings(schema: type) -> list[str]:
    """Settings of a schema whose entries the model names, `label` say: label.speaker=..."""
    return [name for name, kind in setting_types(schema).items() if kind is dict and "." not in name]


def overridden() -> list[str]:
    """Within a job: the settings that its command line names."""
    from hydra.core.hydra_config import HydraConfig

    return [override.lstrip("+").split("=")[0] for override in HydraConfig.get().overrides.task]


def expand_home(argument: str) -> str:
    """name=~/x -> name=/home/me/x: shells leave the tilde after an equals sign alone.

    Raises ConfigError for a setting that is a path to a home folder that there is not.
    """
    name, equals, value = argument.partition("=")
    if not value.startswith("~") or name.lstrip("+").startswith("label."):
        return argument
    if name.lstrip("+").split(".")[-1] not in PATHS:
        return name + equals + os.path.expanduser(value)
    try:
        return name + equals + str(expanded(value))
    except ConfigError as error:
        raise ConfigError(f"{name.lstrip('+')}: {error}") from error


def quote_path(argument: str) -> str:
    """Quote the value of a setting that is a path or a label, so that any name gets through Hydra's grammar.

    A label's goes through as it is, for the command to read; a path may be null, in quotes, or hold an interpolation.
    """
    name, equals, value = argument.partition("=")
    label = name.lstrip("+").startswith("label.")
    path = name.lstrip("+").split(".")[-1] in PATHS
    as_it_is = QUOTED.fullmatch(value) or "${" in value or value == "null"
    if not value or not (label or (path and not as_it_is)):
        return argument
    # in Hydra's grammar a backslash escapes a quote, or another backslash just before one, and nothing else
    escaped = re.sub(r'(\\+)(?="|$)', r"\1\1", value).replace('"', '\\"')
    return f'{name}{equals}"{escaped}"'.replace("${", "\\${")


def quote_sweep(argument: str) -> str:
    """Under --multirun: quote paths as `quote_path` does, where commas between several paths still are a sweep.

    Of pieces between commas, as many make one path as together exist; what says where to write to is always one.
    Hydra's own forms, choice(a,b) say, and what is quoted already stay as they are.
    """
    name, equals, value = argument.partition("=")
    plain = name.lstrip("+")
    if plain.split(".")[-1] not in PATHS or re.match(r"['\"]|[a-z]+\(.*\)$", value):
        return argument
    if "," not in value or plain in PLACES:
        return quote_path(argument)
    pieces, quoted = value.split(","), []
    while pieces:
        tries = (",".join(pieces[:count]) for count in range(len(pieces), 0, -1))
        path = next((path for path in tries if os.path.exists(os.path.expanduser(path))), pieces[0])
        quoted.append(quote_path(expand_home(f"{name}={path}")).partition("=")[2])
        del pieces[: path.count(",") + 1]
    return name + equals + ",".join(quoted)


def folder_name(text: str) -> str:
    """What a sweep's job changes, as the name of one folder: without quotes and slashes, and not too long for one."""
    return re.sub(r"[/\\\"']+", "_", re.sub(r"[\"']", "", text)).encode()[:200].decode(errors="ignore")


def check_overrides(overrides: list[str], schema: type, *folders: Path) -> None:
    """Raise ConfigError for an override that names no setting and no group, with the nearest that there is."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    types, options = setting_types(schema), groups(*folders)
    names = [f"{name}.NAME" if name in open_settings(schema) else name for name in (*types, *options)]
    for override in overrides:
        try:
            parsed = OverridesParser.create().parse_override(override)
        except HydraException as error:
            raise UsageError(f"cannot understand {override!r}: settings are written name=value, see --help") from error
        key = parsed.key_or_group
        if key.split(".")[-1] in PATHS and parsed.value() == "":
            raise ConfigError(f"{key} is empty: give a path, as in {key}=...")
        if key.split(".")[0] == "hydra" or key.startswith("hydra/"):
            continue
        if key in options:
            values = parsed.value()
            for value in values if isinstance(values, list) else [values]:
                if isinstance(value, str) and value not in options[key]:
                    raise ConfigError(f"{key}={value} does not exist{unknown(value, options[key], key + '=')}")
        elif key.split(".")[0] in open_settings(schema) and key.count(".") == 1:
            continue  # the command holds it against the model
        elif key not in types and not any(name.startswith(key + ".") for name in types):
            raise ConfigError(f"unknown setting {key}{unknown(key, names)}")
        elif (types.get(key) is list or key in open_settings(schema)) and isinstance(
            value := parsed.value(), str | int | float
        ):
            better = f"{key}=[{value}]" if types[key] is list else f"{key}.NAME={value}"
            raise ConfigError(f"{key} is {value!r}, but it is written {better}")


def _in_words(error: BaseException) -> str:
    """One line of what Hydra or OmegaConf complains about: the setting, what was found, what is allowed."""
    while error.__cause__ is not None and not getattr(error, "full_key", None):
        error = error.__cause__
    line = str(error).strip().splitlines()[0]
    key = getattr(error, "full_key", None)
    if not key:
        return line
    kind = next((words for ending, words in KINDS.items() if ending in line), None)
    found = line.split("'")[1] if line.startswith("Value '") else None
    return f"{key} is {found!r}, but it must be {kind}" if kind and found is not None else f"{key}: {line}"


def _fail(error: WaveNetError) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2 if isinstance(error, UsageError) else 1)
