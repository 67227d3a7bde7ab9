"""Finds the recording that a table names, also by paths as other systems and programs write them."""

import posixpath
import unicodedata
from collections.abc import Callable
from functools import cached_property

from wavenet.audio.io import EXTENSIONS
from wavenet.recordings.preparation import Prepared


def composed(name: str) -> str:
    """Letters with their accents as one character (NFC), as all systems but macOS write them."""
    return unicodedata.normalize("NFC", name).strip()


def folded(name: str) -> str:
    """`composed`, and the same for names that differ only in case."""
    return composed(composed(name).casefold())


def stem(name: str) -> str:
    """The path without the extension, if that is one of a recording."""
    before, _, extension = name.rpartition(".")
    return before if f".{extension.lower()}" in EXTENSIONS else name


SPELLINGS: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "letters": (composed, composed),
    "case": (folded, folded),
    "extension": (composed, lambda name: composed(stem(name))),
    "case and extension": (folded, lambda name: folded(stem(name))),
}
"""What may differ -> how to normalise the written path and the names of files, so that they match."""


class Files:
    """The files of a prepared folder, used and left out, by the names that they may be given."""

    def __init__(self, prepared: Prepared) -> None:
        self.used = {recording.name for recording in prepared.recordings}
        self.known = self.used | {skipped.name for skipped in prepared.skipped}
        self._above = f"{prepared.folder.absolute().as_posix()}/"

    def find(self, written: str) -> list[str]:
        """The files that a path may mean: one, none, or several if it is ambiguous.

        Tried in turn: the path as written; with other separators, relative to the folder or absolute; with accents
        composed; in another case; and without its extension, in the same two ways.
        """
        if written in self.known:
            return [written]
        path = posixpath.normpath(written.strip().replace("\\", "/").removeprefix(self._above))
        if path in self.known:
            return [path]
        for written_as, index in self._indices:
            if found := index.get(written_as(path)):
                return found
        return []

    def near(self, written: str) -> str | None:
        """The only file of that name with another extension or in another folder; None if there are several."""
        found = self._names.get(self._name(written), [])
        return found[0] if len(found) == 1 else None

    @cached_property
    def _indices(self) -> list[tuple[Callable[[str], str], dict[str, list[str]]]]:
        return [(written_as, _index(self.known, named)) for written_as, named in SPELLINGS.values()]

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        return _index(self.known, self._name)

    @staticmethod
    def _name(path: str) -> str:
        return folded(stem(path.strip().replace("\\", "/").rsplit("/", 1)[-1]))


def _index(names: set[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    index: dict[str, list[str]] = {}
    for name in sorted(names):
        index.setdefault(key(name), []).append(name)
    return index
