"""The list of voices that the page shows, voices.json, and the table of everything that may be read.

A request is looked up in the table, so no path of an address reaches the disk.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wavenet.errors import CheckpointError
from wavenet.web.sources import Snapshot, Source, found, inside

PAGE = Path(__file__).parent / "page"
MODULES = Path(__file__).parent
"""The folder of the compiled kernel, *.wasm."""
NO_CHECKPOINT = "it has no checkpoint yet: training writes the first one with the first validation"
SOUND = re.compile(r"step_\d+\.wav")
SAMPLES = 50
"""Most sounds of a run that are listed: the newest."""


class Listed(NamedTuple):
    """All that may be read, by address below /, at one moment."""

    voices: list[dict[str, Any]]
    """The entries of voices.json."""
    sources: dict[str, Source]
    """Addresses of exported files."""
    files: dict[str, Path]
    """Addresses of the files of runs."""


class Listing:
    """Looks for what was named each time, so that a run which begins later appears too; `fixed` sources stay."""

    def __init__(self, named: Sequence[Path], fixed: Sequence[Source] = ()) -> None:
        self.named, self.fixed = list(named), list(fixed)
        self._names: dict[Path, str] = {}

    def sources(self) -> list[Source]:
        """What was named and still exists, then those that are always there; once each."""
        own: list[Source] = []
        for path in self.named:
            with contextlib.suppress(CheckpointError):
                own += found(path)
        return list({source.path.resolve(): source for source in own + self.fixed}.values())

    def name(self, source: Source) -> str:
        """A name that no other source has; a source keeps it."""
        if source.path not in self._names:
            name, number = source.name, 2
            while name in self._names.values():
                name, number = f"{source.name}-{number}", number + 1
            self._names[source.path] = name
        return self._names[source.path]

    def read(self, state: Callable[[Source], Snapshot | None]) -> Listed:
        """The list as it is now; `state` tells which checkpoint of a source is played."""
        listed = Listed([], {}, {})
        for source in self.sources():
            name, now = self.name(source), state(source)
            entry: dict[str, Any] = {"name": name, "title": source.title, "credit": source.credit}
            refusal = NO_CHECKPOINT if now is None else now.refusal
            if refusal is None:
                entry["file"] = f"voices/{name}.wavenet"
                listed.sources[entry["file"]] = source
            else:
                entry["reason"] = refusal
            if source not in self.fixed:  # it may change
                entry["version"] = "none" if now is None else now.version
            if source.is_run:
                files = {f"runs/{name}/{path.relative_to(source.path).as_posix()}": path for path in run_files(source)}
                listed.files.update(files)
                entry["run"] = _of_run(source, now, list(files))
            listed.voices.append(entry)
        return listed


def page_files() -> Iterator[tuple[str, Path]]:
    """The files of the page, and the compiled kernel beside them, by address."""
    for path in sorted(PAGE.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield path.relative_to(PAGE).as_posix(), path
    for path in sorted(MODULES.glob("*.wasm")):
        yield path.name, path


def run_files(source: Source) -> list[Path]:
    """The curves, the measurements and the newest sounds of a run, the oldest first."""
    fixed = [source.path / "curves.png", source.path / "metrics.jsonl"]
    sounds = [path for path in sorted((source.path / "samples").glob("*.wav")) if SOUND.fullmatch(path.name)]
    return [path for path in inside(source.path, fixed + sounds[-SAMPLES:]) if path.is_file()]


def _of_run(source: Source, now: Snapshot | None, addresses: list[str]) -> dict[str, Any]:
    """What is shown of a run beside the player. Addresses are relative to the page's."""
    told: dict[str, Any] = {"training": source.training, "samples": [a for a in addresses if a.endswith(".wav")]}
    told |= {"step": None, "updated": None} if now is None else {"step": now.step, "updated": now.updated}
    named = {"/curves.png": "curves", "/metrics.jsonl": "metrics"}
    return told | {key: one for one in addresses for ending, key in named.items() if one.endswith(ending)}
