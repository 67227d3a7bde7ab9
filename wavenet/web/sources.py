"""What is played: the runs, checkpoints and exported files that a user named, and the voices that come with wavenet.

Of a folder of runs, what lies directly in it is played. Nothing outside a named folder is ever read, even if a link
inside it leads there; a link that is itself named is followed.
"""

import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from safetensors import SafetensorError, safe_open

from wavenet.errors import CheckpointError, printable
from wavenet.files import lock_holder
from wavenet.generation.format import is_exported
from wavenet.training.run_folder import LOCK

CHECKPOINTS = ("best", "last")
"""Of a run; other commands take the first that exists."""
GIVE = "name a run folder, a folder of runs, or a file to play"


@dataclass(frozen=True)
class Source:
    """One voice that is listed."""

    path: Path
    """A run folder, a checkpoint or an exported file."""
    title: str
    credit: str = ""

    @property
    def name(self) -> str:
        """The title in letters, digits, dots, dashes and underscores, for a file's name and an address."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.title).strip(".-") or "voice"

    @property
    def is_run(self) -> bool:
        return is_run(self.path)

    @property
    def training(self) -> bool:
        """Whether a process trains this run now."""
        return self.is_run and lock_holder(self.path / LOCK) is not None


@dataclass(frozen=True)
class Snapshot:
    """The file behind a source, as it is on the disk now."""

    file: Path
    modified: float
    """Seconds since 1970."""
    size: int
    step: int | None = None
    """Training step; None for an exported file."""
    refusal: str | None = None
    """Why it cannot be played in a browser, in words; None if it can."""

    @property
    def version(self) -> str:
        """Differs when the file has changed."""
        return hashlib.sha256(f"{self.file} {self.modified!r} {self.size}".encode(errors="replace")).hexdigest()[:12]

    @property
    def updated(self) -> str:
        return datetime.fromtimestamp(self.modified, UTC).isoformat(timespec="seconds")


def found(path: Path) -> list[Source]:
    """What a named path means. Raises CheckpointError if it holds nothing to play."""
    try:
        within = [path] if _plays(path) else sorted(filter(_plays, inside(path, path.iterdir())))
    except OSError as error:
        what = "cannot be read" if path.is_dir() else "is neither a checkpoint nor an exported file"
        what = what if path.exists() else "does not exist"
        raise CheckpointError(f"{path} {what}: {GIVE}") from error
    if not within:
        raise CheckpointError(f"{path} holds no run, checkpoint or exported file: {GIVE}")
    return [Source(one, _title(one)) for one in map(Path, map(os.path.abspath, within))]


def _title(path: Path) -> str:
    if path.stem in CHECKPOINTS and path.parent.name == "checkpoints":
        return printable(f"{path.parent.parent.name} ({path.stem})")
    return printable(path.name if is_run(path) else path.stem)


def is_run(path: Path) -> bool:
    """Whether a training run writes, or has written, to this folder."""
    return (path / "checkpoints").is_dir() or (path / "metrics.jsonl").is_file()


def inside(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Those of `paths` that are in `folder`, whatever links they lead through."""
    root = folder.resolve()
    return [path for path in paths if path.resolve().is_relative_to(root)]


def snapshot(source: Source) -> Snapshot | None:
    """The file that is played for a source: of a run that is still training the newest checkpoint, else the best.

    None for a run that has no checkpoint yet, and for a file that is gone.
    """
    files = [source.path]
    if source.is_run:
        there = [source.path / "checkpoints" / f"{name}.safetensors" for name in CHECKPOINTS]
        files = [path for path in inside(source.path, there) if path.is_file()]
    try:
        stats = [(path, path.stat()) for path in files]
    except OSError:
        return None
    if not stats:
        return None
    path, stat = max(stats, key=lambda pair: pair[1].st_mtime) if source.training else stats[0]
    step, refusal = _described(path, stat.st_mtime_ns, stat.st_size)
    return Snapshot(path, stat.st_mtime, stat.st_size, step, refusal)


@functools.lru_cache(maxsize=512)
def _described(path: Path, modified: int, size: int) -> tuple[int | None, str | None]:
    """A file's step and refusal. The time and the size are only there for the cache."""
    if is_exported(path):
        return None, None
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})["wavenet"])
        return int(header["step"]), _refusal(header)
    except KeyError:
        return None, "it is a safetensors file of something else"
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError):
        return None, "it is not a readable checkpoint: it is cut short or altered"


def _refusal(header: dict) -> str | None:
    """Why a checkpoint with this header cannot be played, in words."""
    model = header["model"]
    if "attached" in header:
        return "it speaks texts, which a browser cannot do: use wavenet-speak"
    if kinds := model.get("features", {}).get("kinds"):
        return f"it follows features ({', '.join(kinds)}), which an exported file cannot hold: use wavenet-generate"
    if model.get("context", {}).get("pools"):
        return "it has context stacks, which an exported file cannot hold: use wavenet-generate"
    if model.get("sources"):
        return "it has sources of its own, which an exported file cannot hold: use wavenet-generate"
    return None


def _plays(path: Path) -> bool:
    return is_run(path) or (path.is_file() and (path.suffix == ".safetensors" or is_exported(path)))
