"""The three sides of a split by the names they go by, and folders of such names as a split of what is in them."""

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
"""What a split column may say, and a folder be called, in any case."""


@dataclass
class FolderSplit:
    """What the names of folders say."""

    sides: dict[str, str] = field(default_factory=dict)
    """Recording -> train, valid or test; without those of a train/ that has no valid/ beside it."""
    depth: dict[str, int] = field(default_factory=dict)
    """Recording -> which of the folders in its path is train/, valid/ or test/, the first being 0."""
    folders: list[str] = field(default_factory=list)
    """What these folders are called."""
    alone: list[str] = field(default_factory=list)
    """Folders, by their paths, that are called valid/ or test/ and are no split."""


def by_folders(names: Iterable[str]) -> FolderSplit:
    """Divide recordings, paths with forward slashes, by folders.

    A folder called train/ and one called valid/ or test/ beside it, at any depth, are a split; the outermost decides.
    One of them alone is a folder like any other. Where there is no valid/, recordings of train/ are on no side yet.
    """
    within: dict[str, list[str]] = {}  # folder -> the recordings in it
    for name in names:
        within.setdefault(name.rpartition("/")[0], []).append(name)
    called: dict[str, dict[str, str]] = {}  # folder -> the folders in it that have such a name -> side
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
