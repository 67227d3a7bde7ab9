"""The contents of a folder of recordings, before any of it is decoded."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from wavenet import audio
from wavenet.config import BUNDLED, DataConfig
from wavenet.errors import AudioError, ConfigError, counted
from wavenet.files import expanded


@dataclass(frozen=True)
class Skipped:
    """A recording that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Contents:
    """The recordings below a folder, and its other files."""

    files: dict[Path, os.stat_result]
    """Sorted by path."""
    lost: list[Skipped]
    """Recordings and folders that cannot be opened or are passed over."""
    ignored: dict[str, int]
    """Number of files of each kind that cannot be read, such as {".m4a": 2}."""


def find_folder(config: DataConfig) -> Path:
    """The folder that `data.dir` means. Raises ConfigError if it is not set, AudioError if it cannot be read."""
    if config.dir is None:
        raise ConfigError("data.dir is not set: give your folder of recordings, as in data.dir=~/recordings")
    if config.dir == BUNDLED:
        bundled = Path(__file__).parents[2] / "data"
        if not bundled.is_dir():
            raise ConfigError(f"data.dir={BUNDLED} needs a source checkout: give your folder of recordings")
        return bundled
    folder = expanded(config.dir)
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise AudioError(f"data.dir: {folder} is a file; give the folder it is in")
    except FileNotFoundError as error:
        raise AudioError(f"data.dir: {folder} does not exist") from error
    except OSError as error:
        raise AudioError(f"data.dir: {folder} cannot be opened ({error.strerror})") from error
    return folder


def look(folder: Path) -> Contents:
    """Find the recordings. Links are followed, into each folder once. Hidden files, and sounds in the folder of a
    training run, are passed over."""
    files, lost, kinds, entered = {}, [], [], set()

    def skip(path: str | Path, reason: str) -> None:
        name = Path(path).relative_to(folder).as_posix()
        lost.append(Skipped("the folder itself" if name == "." else name, reason))

    def cannot_open(error: OSError) -> None:
        skip(error.filename, f"it cannot be opened ({error.strerror})")

    for place, folders, names in os.walk(folder, onerror=cannot_open, followlinks=True):
        try:
            status = os.stat(place)
        except OSError as error:
            cannot_open(error)
            folders.clear()
            continue
        passed_over = (status.st_dev, status.st_ino) in entered
        entered.add((status.st_dev, status.st_ino))
        if Path(place) != folder and os.path.isdir(f"{place}/checkpoints") and os.path.isfile(f"{place}/metrics.jsonl"):
            passed_over = True
            skip(place, "it is the folder of a training run")
        if passed_over:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            kind = path.suffix.lower()
            if kind not in audio.EXTENSIONS and kind not in audio.UNREAD:
                continue
            try:
                status = path.stat()
            except OSError as error:
                link = os.path.islink(path)
                skip(path, "it is a broken link" if link else f"it cannot be opened ({error.strerror})")
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            if kind in audio.EXTENSIONS:
                files[path] = status
            else:
                kinds.append(kind)
    return Contents(
        dict(sorted(files.items())),
        sorted(lost, key=lambda skip: skip.name),
        {kind: kinds.count(kind) for kind in sorted(set(kinds))},
    )


def of_other_kinds(ignored: dict[str, int]) -> str:
    """The files that were ignored, in words."""
    kinds = ", ".join(f"{kind} ({number})" for kind, number in ignored.items())
    files = counted(sum(ignored.values()), "file")
    return f"ignored {files} of other kinds: {kinds}; convert them to WAV or FLAC"
