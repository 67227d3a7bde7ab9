"""Folders of prepared audio: where they are kept, who may write in one, and when one is removed.

A folder is made for each folder of recordings and the settings that shape the codes; `shards` says what is in it.
"""

import contextlib
import itertools
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wavenet.errors import ConfigError
from wavenet.files import expanded, is_locked, lock_holder, locked
from wavenet.recordings import shards

OLDER_INDEX = "index.json"
"""The index of folders made by versions that had no shards, and no other use for that name."""
LOCK = "lock"
WHOLE = re.compile(r"[0-9a-f]{24}")
UNFINISHED = re.compile(r"\.[0-9a-f]{24}\.[0-9a-f]{8}")
DAY = 24 * 3600
UNUSED_DAYS = 90
"""A folder of prepared audio is removed after this many days without use."""


@dataclass(frozen=True)
class Entry:
    """The prepared audio of one folder of recordings."""

    path: Path
    recordings: str | None
    """The folder of recordings; None if unknown."""
    size: int
    """Bytes."""
    used: float
    """Time of last use, in seconds since the epoch."""
    is_older: bool = False
    """Whether it was made by a version without shards, and so cannot be used."""


def root(given: str | None, setting: str = "data.cache_dir") -> Path:
    """The folder of all entries: the one given, or the user's, which also holds the local copies of a cache elsewhere.

    Raises ConfigError if there is no home folder.
    """
    given = None if is_address(given) else given
    named = given or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        place = expanded(named)
    except ConfigError as error:
        raise ConfigError(f"{setting}: {named} cannot be found without a home folder: give {setting}=...") from error
    return place if given else place / "wavenet"


def is_address(given: str | None) -> bool:
    """Whether a cache is in a store elsewhere, such as s3://bucket/cache."""
    return given is not None and "://" in given


def entries(root: Path) -> list[Entry]:
    """All entries, the last used first."""
    found = []
    for path in _within(root, WHOLE):
        with contextlib.suppress(OSError):
            used = index(path).stat().st_mtime
            size = sum(file.stat().st_size for file in path.iterdir())
            found.append(Entry(path, _recordings(path), size, used, is_older(path)))
    return sorted(found, key=lambda entry: -entry.used)


def is_older(path: Path) -> bool:
    """Whether a folder was made by a version without shards, and so cannot be used."""
    return (path / OLDER_INDEX).exists()


def index(path: Path) -> Path:
    """The file whose time of change is the time of last use."""
    return path / (OLDER_INDEX if is_older(path) else shards.INDEX)


def touch(path: Path) -> None:
    """Record that a folder was used now."""
    with contextlib.suppress(OSError):  # the folder may belong to another user
        os.utime(index(path))


def discard(path: Path) -> bool:
    """Remove a folder of prepared audio, unless a process is writing in it. Runs that read it keep their open files."""
    if lock_holder(path / LOCK):
        return False
    hidden = path.with_name(f".{path.name[:24]}.{secrets.token_hex(4)}")
    try:
        os.rename(path, hidden)
    except OSError:
        return False
    shutil.rmtree(hidden, ignore_errors=True)
    return True


def sweep(root: Path, unused_days: float = UNUSED_DAYS) -> list[Entry]:
    """Remove the rest of what a killed run was removing, and what was unused for `unused_days`; return that."""
    for path in _within(root, UNFINISHED):
        if age(path) > DAY:  # it may be in use by an older version, which writes in such folders
            shutil.rmtree(path, ignore_errors=True)
    return [e for e in entries(root) if time.time() - e.used > unused_days * DAY and discard(e.path)]


@contextlib.contextmanager
def alone(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Make the folder `path`, and be the only process that writes in it; another one is waited for.

    waiting: called every second meanwhile. Yields False if the system or the disk has no locks, so that others may
    write too. Raises OSError if the folder cannot be made.
    """
    with contextlib.ExitStack() as lock:
        for attempt in itertools.count(1):
            try:
                path.mkdir(parents=True, exist_ok=True)
                lock.enter_context(locked(path / LOCK))
                break
            except BlockingIOError:
                if attempt % 10 == 0:
                    waiting()
                time.sleep(0.1)
        yield is_locked(path / LOCK) is not None


def _within(root: Path, name: re.Pattern) -> list[Path]:
    try:
        return [path for path in root.iterdir() if name.fullmatch(path.name)]
    except OSError:
        return []


def _recordings(path: Path) -> str | None:
    if not is_older(path):
        return shards.folder_of(path)
    try:
        return json.loads((path / OLDER_INDEX).read_text()).get("folder")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def age(path: Path) -> float:
    """Seconds since a file or folder was changed; 0 if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
