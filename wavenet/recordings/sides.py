"""The names of the three sides of a split, and the split that folders with such names make."""

from collections.abc import Iterable
from dataclasses import dataclass, field

SIDES = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
"""Values of a split column, and names of folders, in any case -> the side that they mean."""


@dataclass
class FolderSplit:
    """The split that the names of folders make."""

    sides: dict[str, str] = field(default_factory=dict)
    """Recording -> train, valid or test; without those in a train/ that has no valid/ beside it."""
    depth: dict[str, int] = field(default_factory=dict)
    """Recording -> the place in its path, from 0, of the folder train/, valid/ or test/."""
    folders: list[str] = field(default_factory=list)
    """The names of these folders."""
    alone: list[str] = field(default_factory=list)
    """Paths of folders called valid/ or test/ that have no train/ beside them."""


def by_folders(names: Iterable[str]) -> FolderSplit:
    """Divide recordings, paths with forward slashes, by folders.

    A folder called train/ with one called valid/ or test/ beside it, at any depth, makes a split; the outermost one
    decides. Alone, each is a folder like any other. Without a valid/, recordings in train/ are on no side yet.
    """
    within: dict[str, list[str]] = {}  # folder -> the recordings in it
    for name in names:
        within.setdefault(name.rpartition("/")[0], []).append(name)
    called: dict[str, dict[str, str]] = {}  # folder -> sub-folder with such a name -> side
    for folder in within:
        path = folder.split("/")
        for depth, name in enumerate(path):
            if side := SIDES.get(name.lower()):
                called.setdefault("/".join(path[:depth]), {})[name] = side
    splits = {
        place: sides for place, sides in called.items() if "train" in sides.values() and len({*sides.values()}) > 1
    }
    found = FolderSplit()
    for folder, recordings in within.items():
        path = folder.split("/")
        for depth, name in enumerate(path):
            beside = splits.get("/".join(path[:depth]), {})
            if name in beside:
                found.depth |= dict.fromkeys(recordings, depth)
                if beside[name] != "train" or "valid" in beside.values():
                    found.sides |= dict.fromkeys(recordings, beside[name])
                break
    order = list(SIDES)
    names_of = {name for sides in splits.values() for name in sides}
    found.folders = sorted(names_of, key=lambda name: order.index(name.lower()))
    lone = (f"{place}/{name}".lstrip("/") for place, sides in called.items() for name in sides if place not in splits)
    found.alone = sorted(path for path in lone if SIDES[path.rsplit("/", 1)[-1].lower()] != "train")
    return found
