"""How every command starts and ends: reading its command line, and reporting errors in one line."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from wavenet.cli import composing, plain
from wavenet.cli.flags import UsageError, asks_hydra, parse_flags
from wavenet.cli.help import describe
from wavenet.cli.overrides import for_hydra, names
from wavenet.cli.paths import gathered
from wavenet.cli.terminal import ignore_signals, interruptible, steady_streams
from wavenet.config import settings
from wavenet.errors import ConfigError, WaveNetError

Job = Callable[[Any, frozenset[str]], Any]
"""The work of a command; takes its settings, and the names of those that the command line gives."""


def run(
    command: str,
    schema: type,
    job: Job,
    words: str | None = None,
    instead: Mapping[str, Callable[[], None]] | None = None,
) -> None:
    """Run `job` with an object of `schema`, made from configs/<command>.yaml and the command line.

    words: the setting, a list of paths, that words without a name mean. instead: flags of this command, such as
    --voices, and what is done for each in place of the job.

    Exit status: 0; 1 for an error that the user can fix, with one line on stderr; 2 for a command line that cannot be
    understood; 128 + the number of the signal that ended it. Bugs keep their traceback.
    """
    with steady_streams(), interruptible() as received:
        try:
            _run(command, schema, job, sys.argv[1:], words, instead or {})
        except WaveNetError as error:
            _fail(error)
        except KeyboardInterrupt:
            try:
                ignore_signals()
            except KeyboardInterrupt:  # another Ctrl-C, for a handler that the job could not take back in time
                ignore_signals()
            number = received[0] if received else signal.SIGINT
            how = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
            print(how, file=sys.stderr)
            sys.exit(128 + number)


def _run(
    command: str,
    schema: type,
    job: Job,
    arguments: list[str],
    words: str | None,
    instead: Mapping[str, Callable[[], None]],
) -> None:
    if {"-h", "--help"} & set(arguments):
        print(describe(command, schema, composing.groups(composing.config_folder())), end="")
        return
    if "--version" in arguments:
        from wavenet import __version__

        print(f"wavenet {__version__}")
        return
    for flag in instead.keys() & set(arguments):
        instead[flag]()
        return
    try:
        os.getcwd()
    except OSError as error:
        raise ConfigError(f"the current folder cannot be used ({error.strerror}): change to another one") from error
    if words is None and (settled := plain.read(command, schema, arguments, composing.config_folder())):
        job(*settled)
        return
    flags = parse_flags(arguments, [setting.name for setting in settings(schema)])
    if words is not None:
        flags.overrides = gathered(flags.overrides, words)
    groups = composing.groups(*composing.folders(flags.config_dir))
    overrides = for_hydra(flags.overrides, schema, groups, sweep=flags.multirun)
    if asks_hydra(flags):
        from wavenet.cli import by_hydra

        by_hydra.run(command, schema, job, flags, overrides)
    else:
        job(composing.compose(command, schema, overrides, flags.config_dir), names(overrides))


def _fail(error: WaveNetError) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2 if isinstance(error, UsageError) else 1)
