"""Prepared codes on disk: shards, and an index with a line for each recording.

A shard is a file of the codes of many recordings, one after another. It is written once and never changed, under a name
that no other shard has. The index says, in a line of JSON for each recording, where its codes are, what their checksums
are, and which state of the file they were made from. A line is appended as soon as the codes are written, and the last
line of a recording counts, so that whatever ends a preparation, the next one goes on after the last whole line. Each
line begins with its own checksum.
"""

import contextlib
import json
import os
import random
import re
import secrets
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from wavenet.audio.levels import Signal
from wavenet.files import atomic

INDEX = "index"
NAME = re.compile(r"[0-9a-f]{16}\.codes")
SHARD = 256 << 20
"""Bytes after which a new shard is begun. Only a recording that is longer makes a larger one."""
PIECE = 4 << 20
"""Bytes of a recording that share a checksum."""
BLOCK = 1 << 20
"""Bytes copied at once."""
GLANCE = 64 << 20
"""Bytes whose checksums are compared at each start: all of a small cache, pieces at random of a large one."""


@dataclass(frozen=True)
class Line:
    """What the index tells of one recording."""

    name: str
    """Path below the folder, with forward slashes."""
    size: int
    changed: int
    """Bytes of the file, and its time of change in ns, when it was read."""
    shard: str = ""
    """Name of the shard; empty if the recording cannot be used."""
    start: int = 0
    length: int = 0
    """Bytes in the shard."""
    checksums: list[int] = field(default_factory=list)
    """CRC-32 of each PIECE of the codes."""
    signal: dict[str, Any] = field(default_factory=dict)
    """The fields of `levels.Signal` that differ from their defaults."""
    reason: str = ""
    """Why the recording cannot be used."""
    lasting: bool = True
    """False if only the system could not read it that time."""

    @property
    def sound(self) -> bool:
        """Whether its fields fit together; an index may have been damaged."""
        if not self.shard:
            return bool(self.reason)
        numbers = (self.start, self.length, *self.checksums)
        whole = all(type(number) is int and number >= 0 for number in numbers) and _is_signal(self.signal)
        return bool(NAME.fullmatch(self.shard)) and whole and len(self.checksums) == -(-self.length // PIECE) > 0


def _is_signal(told: Any) -> bool:
    """Whether these are fields of a `levels.Signal`, of their types."""
    usual = vars(Signal())
    return (
        isinstance(told, dict)
        and told.keys() <= usual.keys()
        and all(isinstance(flaw, str) for flaw in told.get("flaws", []))
        and all(type(value) in (int, float) and isfinite(value) for name, value in told.items() if name != "flaws")
        and (not told.get("offset") or told.get("peak", 0) > 0)
    )


USUAL = {name: value for name, value in vars(Line("", -1, -1)).items() if name not in ("name", "size", "changed")}
"""The fields that the index leaves out, and their values then."""


def parse(text: bytes) -> dict[str, Line]:
    """Name -> the last sound line of each recording. A line that was cut short or damaged counts as missing."""
    found: dict[str, Line] = {}
    for row in text.splitlines():
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            if int(row[:8], 16) == zlib.crc32(row[9:]) and (line := Line(**json.loads(row[9:]))).sound:
                found.pop(line.name, None)  # so that the lines are in the order in which they were written
                found[line.name] = line
    return found


def written(line: Line) -> bytes:
    """A line as the index holds it: without the fields that have their defaults."""
    return _row({name: value for name, value in vars(line).items() if value != USUAL.get(name)})


def heading(recordings: str) -> bytes:
    """The first line of an index, which names the folder of recordings."""
    return _row({"folder": recordings})


def folder_of(place: Path) -> str | None:
    """The folder of recordings whose index is in `place`; None if that cannot be read."""
    try:
        with open(place / INDEX, "rb") as index:
            return json.loads(index.readline()[9:]).get("folder")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def _row(content: dict[str, Any]) -> bytes:
    text = json.dumps(content).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def read(place: Path) -> dict[str, Line]:
    """The lines of the index in the folder `place` whose codes are there, as far as the shards' sizes tell.

    Raises OSError if the index exists but cannot be read.
    """
    try:
        lines = parse((place / INDEX).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    sizes = {path.name: path.stat().st_size for path in place.glob("*.codes")}
    return {
        name: line
        for name, line in lines.items()
        if not line.shard or line.start + line.length <= sizes.get(line.shard, 0)
    }


def rewrite(place: Path, recordings: str, lines: Iterable[Line]) -> None:
    """Replace the index by one that holds these lines alone. Raises OSError."""
    with atomic(place / INDEX) as index:
        index.write_bytes(heading(recordings) + b"".join(map(written, lines)))


class Index:
    """Appends to the index of a folder; use it in a `with` block. Raises OSError if it cannot be written."""

    def __init__(self, place: Path, recordings: str) -> None:
        self._file = open(place / INDEX, "ab")  # noqa: SIM115 (closed in __exit__)
        if not self._file.tell():
            self._file.write(heading(recordings))
        self._file.write(b"\n")  # ends a line that was cut short

    def append(self, line: Line) -> None:
        """The line is whole on disk even if the process is killed right afterwards."""
        self._file.write(written(line))
        self._file.flush()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


class Writer:
    """Writes codes to new shards in the folder `place`; use it in a `with` block. Raises OSError on a full disk."""

    def __init__(self, place: Path, closed: Callable[[], None] = lambda: None) -> None:
        """closed: called after each shard that is complete and flushed to the disk."""
        self.place, self.closed = place, closed
        self._file: BinaryIO | None = None

    def append(self, source: BinaryIO, length: int) -> dict[str, Any]:
        """Copy `length` bytes from `source`: the fields shard, start, length and checksums of the line to write."""
        if self._file is not None and self._file.tell() + length > SHARD:
            self.close()
        if self._file is None:
            self._file = open(self.place / f"{secrets.token_hex(8)}.codes", "xb")  # noqa: SIM115 (see close)
        start, checksums = self._file.tell(), []
        for done in range(0, length, BLOCK):
            block = source.read(min(BLOCK, length - done))
            if len(block) != min(BLOCK, length - done):
                raise OSError("a part came out short; is the disk full?")
            self._file.write(block)
            if done % PIECE == 0:
                checksums.append(0)
            checksums[-1] = zlib.crc32(block, checksums[-1])
        self._file.flush()
        return {"shard": Path(self._file.name).name, "start": start, "length": length, "checksums": checksums}

    def close(self) -> None:
        if self._file is not None:
            with self._file as file:
                self._file = None
                file.flush()
                os.fsync(file.fileno())
            self.closed()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self.close()
        elif self._file is not None:  # what is whole in it is kept, and its checksums are compared before it is used
            with contextlib.suppress(OSError):
                self._file.close()


def damaged(place: Path, lines: Iterable[Line]) -> list[Line]:
    """Those of some lines whose codes do not have their checksums, or cannot be read."""
    shards = sorted((line for line in lines if line.shard), key=lambda line: (line.shard, line.start))
    return [line for line in shards if not all(_fits(place, line, piece) for piece in range(len(line.checksums)))]


def glance(place: Path, lines: list[Line]) -> list[Line]:
    """As `damaged`, but at most about GLANCE bytes are read: everything, or pieces chosen at random."""
    lines = [line for line in lines if line.shard]
    if sum(line.length for line in lines) <= GLANCE:
        return damaged(place, lines)
    found, seen, chance = {}, 0, random.Random()
    while seen < GLANCE:
        line = chance.choice(lines)
        piece = chance.randrange(len(line.checksums))
        seen += min(PIECE, line.length)
        if not _fits(place, line, piece):
            found[line.name] = line
    return list(found.values())


def _fits(place: Path, line: Line, piece: int) -> bool:
    try:
        with open(place / line.shard, "rb") as shard:
            shard.seek(line.start + piece * PIECE)
            codes = shard.read(min(PIECE, line.length - piece * PIECE))
    except OSError:
        return False
    return zlib.crc32(codes) == line.checksums[piece]


class Shards:
    """The codes of recordings in the order given, as one array (samples,) that is never in memory as a whole.

    A slice within one shard is a view of the file; `numpy.asarray` reads everything.
    """

    def __init__(self, place: Path, lines: Iterable[Line], dtype: type[np.unsignedinteger]) -> None:
        """Opens all shards, which may then be removed. Raises OSError if one is missing."""
        self.dtype = np.dtype(dtype)
        shards: dict[str, np.ndarray] = {}
        runs: list[list[Any]] = []  # shard, first byte, last byte
        for line in lines:
            if line.shard not in shards:
                shards[line.shard] = np.asarray(np.memmap(place / line.shard, dtype=np.uint8, mode="r"))
            if runs and runs[-1][0] == line.shard and runs[-1][2] == line.start:
                runs[-1][2] += line.length
            else:
                runs.append([line.shard, line.start, line.start + line.length])
        self._runs = [shards[name][start:stop].view(self.dtype) for name, start, stop in runs]
        self._ends = np.cumsum([len(run) for run in self._runs], dtype=np.int64).tolist()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, place: slice) -> np.ndarray:
        """Raises TypeError for anything but a slice without a step."""
        if not isinstance(place, slice) or place.step not in (None, 1):
            raise TypeError(f"prepared codes are read by slices without a step, not by {place}")
        start, stop, _ = place.indices(len(self))
        number, pieces = bisect_right(self._ends, start), []
        while start < stop:
            first = self._ends[number] - len(self._runs[number])
            pieces.append(self._runs[number][start - first : stop - first])
            start, number = self._ends[number], number + 1
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate([np.empty(0, self.dtype), *pieces])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=bool(copy))
