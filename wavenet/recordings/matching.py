"""Which recording a table means: paths as other systems and other programs write them."""

import posixpath
import unicodedata
from collections.abc import Callable
from functools import cached_property

from wavenet.audio.io import EXTENSIONS
from wavenet.recordings.preparation import Prepared


def composed(name: str) -> str:
    """Letters with their accents as one character (NFC), as all systems but one write them."""
    return unicodedata.normalize("NFC", name).strip()


def folded(name: str) -> str:
    """The same for names that differ in case alone."""
    return composed(composed(name).casefold())


def stem(name: str) -> str:
    """The path without the extension of a recording."""
    before, _, extension = name.rpartition(".")
    return before if f".{extension.lower()}" in EXTENSIONS else name


SPELLINGS: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "letters": (composed, composed),
    "case": (folded, folded),
    "extension": (composed, lambda name: composed(stem(name))),
    "case and extension": (folded, lambda name: folded(stem(name))),
}
"""What may differ -> how to spell what is written, and the names of files, so that it does not."""


class Files:
    """The files of a prepared folder, recordings and those left out, by what they may be called."""

    def __init__(self, prepared: Prepared) -> None:
        self.used = {recording.name for recording in prepared.recordings}
        self.known = self.used | {skipped.name for skipped in prepared.skipped}
        self._above = f"{prepared.folder.absolute().as_posix()}/"

    def find(self, written: str) -> list[str]:
        """The files that a path means: one, none, or several where it cannot be told which.

        It is taken as it is written, else as a path with other separators, from the folder or from the root; else with
        letters otherwise composed, or of another case; else without its extension, alike.
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
        """A file of that name with another extension or in another folder, where there is just one."""
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
