"""Which recordings are for training, which for validation, and which for the final test."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from wavenet.config import DataConfig
from wavenet.errors import printable, some
from wavenet.recordings import labels, metadata
from wavenet.recordings.preparation import Prepared, Recording
from wavenet.recordings.sides import FolderSplit, by_folders


@dataclass(frozen=True)
class Span:
    """Samples start..stop of the codes, from the recording that begins at `origin`."""

    start: int
    stop: int
    origin: int
    recording: int = 0
    """Number of the recording."""
    ends: bool = True
    """Whether it reaches the end of the recording."""

    @property
    def samples(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Split:
    """The three sides of a folder."""

    train: list[Span]
    valid: list[Span]
    test: list[Span]
    report: list[str] = field(default_factory=list, compare=False)
    """How the sides were chosen, as lines of text; the first gives their sizes."""

    @property
    def all(self) -> list[Span]:
        return self.train + self.valid + self.test


def whole(prepared: Prepared) -> list[Span]:
    """All of a folder, recording by recording."""
    return [_span(recording, number) for number, recording in enumerate(prepared.recordings)]


def split(prepared: Prepared, config: DataConfig) -> Split:
    """Divide a folder by file.

    The first of these that applies decides: a `split` column in the folder's metadata.csv (train, valid, test); folders
    of these names beside each other (see `by_folders`); the rank of the file, a number in 0..1 that depends only on its
    name. A file is held out if its rank is below `valid_fraction`. If that holds out no recording of some value of
    `config.labels`, the value's recording of lowest rank is held out too, provided that the value has at least two
    recordings, and enough for half a file by `valid_fraction` (5 for a tenth). If a small folder still leaves one side
    empty, the file with the rank nearest to the limit changes sides; a single recording is cut in two.

    So a file keeps its side when others are added, with these exceptions.

    - A file held out for its label moves to training once a file of lower rank is held out for that label; one held out
      because its folder is small, once any other file is held out.
    - A training file is held out if it has the lowest rank of a label that has only now enough recordings; if it
      was kept for training only because all files would have been held out; or if it was the only file, cut in two.
    - Its side follows a change of the table or its label, and a new folder beside its own: train/ beside test/, or
      valid/ beside both.

    With `split_by=name`, labels and folders are not used.

    Raises AudioError for a metadata.csv that cannot be understood.
    """
    names = [recording.name for recording in prepared.recordings]
    table = metadata.read(prepared, config.labels)
    by_table = table.split()
    if config.split_by == "older":
        by_table = {name: side for name, side in by_table.items() if table.exact and name not in table.respelled}
    folders = by_folders(names) if config.split_by == "auto" else FolderSplit()
    told = folders.sides | by_table
    known = labels.read(prepared, table, labels.there(table, config.labels), config.split_by)
    members = _members(known, names)
    ranks = {name: _rank(name) for name in names if name not in told}
    by_chance = {name: "valid" if rank < config.valid_fraction else "train" for name, rank in ranks.items()}
    side = told | by_chance
    nearest: set[str] = set()
    if config.split_by == "auto":
        nearest = _nearest(members.values(), side, ranks, config.valid_fraction)
        side |= dict.fromkeys(nearest, "valid")
    usable = [name for name in names if side[name] != "test"]
    cut = None
    if config.valid_fraction > 0 and ranks:
        if len(usable) > 1:
            _leave_none_empty(side, ranks)
        elif usable[0] in ranks:
            cut = usable[0]
    sides: dict[str, list[Span]] = {"train": [], "valid": [], "test": []}
    for span, name in zip(whole(prepared), names, strict=True):
        if name == cut:
            middle = span.stop - max(1, round(span.samples * config.valid_fraction))
            sides["train"].append(Span(span.start, middle, span.origin, span.recording, ends=False))
            sides["valid"].append(Span(middle, span.stop, span.origin, span.recording))
        else:
            sides[side[name]].append(span)
    ways = [metadata.NAME] if by_table else []
    if folders.depth.keys() - by_table.keys():
        ways.append("folders " + ", ".join(f"{folder}/" for folder in folders.folders))
    if cut is not None:
        ways.append(f"time, at {1 - config.valid_fraction:.0%} of {printable(cut)}")
    elif ranks:
        ways.append("name" if config.valid_fraction > 0 else "data.valid_fraction=0")
    report = [f"split by {' and '.join(ways)}: {_counts(sides)}"]
    if nearest:
        report.append(f"also held out, for labels without any held-out recording: {some(sorted(nearest))}")
    report += _gaps(members, side, cut)
    if folders.alone:
        alone = some([f"{folder}/" for folder in folders.alone])
        report.append(f"used like any other folder, because there is no train/ beside it: {alone}")
    return Split(**sides, report=report)


def _rank(name: str) -> float:
    """A number in 0..1 that depends only on the name."""
    return int.from_bytes(hashlib.sha256(name.encode(errors="replace")).digest()[:8], "big") / 2**64


def _span(recording: Recording, number: int) -> Span:
    return Span(recording.start, recording.start + recording.samples, recording.start, number)


def _members(known: labels.Values, names: list[str]) -> dict[tuple[str, str], list[str]]:
    """(label, value) -> the recordings with that value."""
    members: dict[tuple[str, str], list[str]] = {}
    for label, told in known.items():
        for name, values in zip(names, told, strict=True):
            for value in values:
                members.setdefault((label, value), []).append(name)
    return members


def _nearest(groups: Iterable[list[str]], side: dict[str, str], ranks: dict[str, float], fraction: float) -> set[str]:
    """The recording of lowest rank in each group that is large enough and has none held out.

    Each group is handled separately, whatever another one holds out, so that a new file can move only files that share
    one of its labels.
    """
    found = set()
    for group in groups:
        usable = [name for name in group if side[name] != "test"]
        free = [name for name in usable if name in ranks]
        enough = len(usable) >= 2 and 2 * len(usable) * fraction >= 1
        if enough and free and all(side[name] == "train" for name in usable):
            found.add(min(free, key=lambda name: ranks[name]))
    return found


def _leave_none_empty(side: dict[str, str], ranks: dict[str, float]) -> None:
    """If no file is held out, or none is left for training, move the file with the rank nearest to the limit."""
    if "valid" not in side.values():
        side[min(ranks, key=lambda name: ranks[name])] = "valid"
    elif "train" not in side.values():
        side[max(ranks, key=lambda name: ranks[name])] = "train"


def _counts(sides: dict[str, list[Span]]) -> str:
    shown = {name: len(spans) for name, spans in sides.items() if spans or name != "test"}
    return ", ".join(f"{number} {name}" for name, number in shown.items())


def _gaps(members: dict[tuple[str, str], list[str]], side: dict[str, str], cut: str | None) -> list[str]:
    """Values of labels that one side lacks, as lines of text."""
    lines = []
    sides = {"valid": "not measured, because none is held out", "train": "not learned, because all are held out"}
    for wanted, words in sides.items():
        missing = [
            f"{label}={value}"
            for (label, value), names in sorted(members.items())
            if cut not in names and all(side[name] != wanted for name in names)
        ]
        lines += [f"{words}: {some(missing)}"] if missing else []
    return lines


def spread(spans: list[Span], crop: int, most: int) -> list[Span]:
    """Spans cut into crops; if they hold more than `most` samples, about `most` of them, evenly spread.

    The audio is divided into as many equal stretches as crops are wanted, and each gives one at a random place, the
    same every time. Memory grows with the number of spans and of chosen crops, not with the hours of audio.
    """
    lengths = np.array([span.samples for span in spans], dtype=np.int64)
    ends, counts = np.cumsum(lengths), -(-lengths // crop)
    if not spans or ends[-1] <= most:
        chosen = [(owner, number) for owner, count in enumerate(counts.tolist()) for number in range(count)]
    else:
        wanted = max(1, round(most / ends[-1] * counts.sum()))
        places = (np.arange(wanted) + np.random.default_rng(0).random(wanted)) / wanted * ends[-1]
        owners = np.searchsorted(ends, places, side="right")
        numbers = ((places - (ends - lengths)[owners]) // crop).astype(np.int64)
        chosen = np.unique(np.stack([owners, numbers], axis=1), axis=0).tolist()
    return [
        Span(start, min(start + crop, span.stop), span.origin, span.recording)
        for span, start in ((spans[owner], spans[owner].start + number * crop) for owner, number in chosen)
    ]
