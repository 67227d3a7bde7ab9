"""Folders of prepared audio: where they are kept, how one is built, and when one is removed.

A folder is built under a hidden name, with a lock that ends with its process, and renamed when it is complete. So runs
that start together never see each other's unfinished folders, and those of killed runs can be recognised.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wavenet.errors import ConfigError
from wavenet.files import expanded, is_locked, locked

INDEX = "index.json"
LOCK = "lock"
WHOLE = re.compile(r"[0-9a-f]{24}")
UNFINISHED = re.compile(r"\.[0-9a-f]{24}\.[0-9a-f]{8}")
DAY = 24 * 3600
UNUSED_DAYS = 90
"""A folder of prepared audio is removed after this many days without use."""
HOUR = 3600
"""A folder younger than this may not have its lock yet, or not hold it yet."""


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


def root(given: str | None, setting: str = "data.cache_dir") -> Path:
    """The folder of all entries: the one given, or the user's. Raises ConfigError if there is no home folder."""
    named = given or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        place = expanded(named)
    except ConfigError as error:
        raise ConfigError(f"{setting}: {named} cannot be found without a home folder: give {setting}=...") from error
    return place if given else place / "wavenet"


def entries(root: Path) -> list[Entry]:
    """All entries, the last used first."""
    found = []
    for path in _within(root, WHOLE):
        with contextlib.suppress(OSError):
            used = (path / INDEX).stat().st_mtime
            size = sum(file.stat().st_size for file in path.iterdir())
            found.append(Entry(path, _recordings(path), size, used))
    return sorted(found, key=lambda entry: -entry.used)


def touch(path: Path) -> None:
    """Record that a folder was used now."""
    with contextlib.suppress(OSError):  # the folder may belong to another user
        os.utime(path / INDEX)


def discard(path: Path) -> bool:
    """Remove a folder of prepared audio; no run sees a part of it. Runs that read it keep their open files."""
    hidden = path.with_name(f".{path.name[:24]}.{secrets.token_hex(4)}")
    try:
        os.rename(path, hidden)
    except OSError:
        return False
    shutil.rmtree(hidden, ignore_errors=True)
    return True


def sweep(root: Path, unused_days: float = UNUSED_DAYS) -> list[Entry]:
    """Remove what killed runs left, and the entries unused for `unused_days`, which are returned."""
    for path in _within(root, UNFINISHED):
        if not _is_held(path):
            shutil.rmtree(path, ignore_errors=True)
    return [e for e in entries(root) if time.time() - e.used > unused_days * DAY and discard(e.path)]


@contextlib.contextmanager
def building(path: Path) -> Iterator[Path]:
    """Yield a folder that becomes `path` when the block is left, or is removed if an exception leaves it.

    Raises OSError if folders cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        folder.mkdir()
        with locked(folder / LOCK):
            yield folder
        with contextlib.suppress(OSError):  # another run was first, and its folder is the same
            os.rename(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _within(root: Path, name: re.Pattern) -> list[Path]:
    try:
        return [path for path in root.iterdir() if name.fullmatch(path.name)]
    except OSError:
        return []


def _recordings(path: Path) -> str | None:
    try:
        return json.loads((path / INDEX).read_text()).get("folder")
    except (OSError, ValueError, AttributeError):
        return None


def _is_held(folder: Path) -> bool:
    """Whether the process that builds in a folder is alive; without locks, the folder's age decides."""
    try:
        held = is_locked(folder / LOCK)
        if held is False and not (folder / LOCK).stat().st_size:  # it names its process once that holds it
            return _age(folder) < HOUR
    except FileNotFoundError:
        return _age(folder) < HOUR
    except OSError:
        held = None
    return _age(folder) < DAY if held is None else held


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
