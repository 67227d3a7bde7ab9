"""A folder's metadata.csv: one row per recording, `file_name` and whatever else is known of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from wavenet.errors import AudioError, counted, some
from wavenet.recordings import tables
from wavenet.recordings.matching import Files
from wavenet.recordings.preparation import Prepared
from wavenet.recordings.sides import SIDES

NAME = "metadata.csv"
OTHERS = ("metadata.tsv", "metadata.txt", "metadata.jsonl")
SPLIT = "split"


@dataclass
class Metadata:
    """What the table says of the recordings that are used."""

    path: Path | None
    """None where there is no table."""
    columns: list[str] = field(default_factory=list)
    """As they are written; of them, those that were asked for are read. None where the first line cannot be used."""
    rows: int = 0
    """How many name something; none are read from a table without a file_name column."""
    recordings: set[str] = field(default_factory=set)
    """Those that a row was found for."""
    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    """Column -> recording -> what its cell says; empty cells are left out."""
    respelled: dict[str, str] = field(default_factory=dict)
    """Recording -> how its row calls it, where that is not its name."""
    left_out: list[str] = field(default_factory=list)
    """What rows call files that cannot be used."""
    unknown: list[str] = field(default_factory=list)
    """What rows call files that are not there."""
    unclear: list[str] = field(default_factory=list)
    """What rows say that could mean more than one file."""
    faults: dict[str, AudioError] = field(default_factory=dict)
    """Column -> why it cannot be used; `tables.FILE_NAME` -> why none can."""
    exact: bool = True
    """Whether the table is written as documented."""
    lines: list[str] = field(default_factory=list)

    def report(self) -> list[str]:
        """What became of the rows, in lines of words; and why the table is not used, where nobody needed it."""
        fault = self.faults.get(tables.FILE_NAME)
        unneeded = fault is not None and bool(self.columns) and not self.divides
        return ([f"{fault}; nothing of it is used"] if unneeded else []) + self.lines

    @property
    def divides(self) -> bool:
        """Whether there is a split column."""
        return any(tables.plain(column) == SPLIT for column in self.columns)

    def column(self, name: str) -> dict[str, str]:
        """Recording -> what the cell of a column that was asked for says; empty cells are left out. Raises AudioError
        where the table or the column cannot be used."""
        for part in (tables.FILE_NAME, name):
            if part in self.faults:
                raise self.faults[part]
        return self.cells.get(name, {})

    def split(self) -> dict[str, str]:
        """Recording -> train, valid or test, as the split column tells.

        Raises AudioError where it says something else, or where the table cannot be used, unless it has no such column.
        """
        if self.columns and not self.divides:
            return {}
        told = self.column(SPLIT)
        for recording, value in told.items():
            if value.lower() not in SIDES:
                raise AudioError(f"{self.path}: split of {recording} is {value!r}; it can be train, valid or test")
        if self.rows and not (self.recordings or self.left_out):
            first = f"{self.unclear[0]!r} could mean several" if self.unclear else f"the first is {self.unknown[0]!r}"
            raise AudioError(
                f"{self.path} names none of the recordings of {self.path and self.path.parent}, so its split column "
                f"decides nothing: {first}; write paths from that folder on, as the files are called"
            )
        return {recording: SIDES[value.lower()] for recording, value in told.items()}


def find(folder: Path) -> Path | None:
    """The folder's table, in any case; None where there is none. Raises AudioError where there are several."""
    if (folder / NAME).is_file():
        return folder / NAME
    found = sorted(path for path in folder.glob("*.[cC][sS][vV]") if path.name.casefold() == NAME)
    if len(found) > 1:
        raise AudioError(f"{folder} holds {' and '.join(path.name for path in found)}: keep one, as {NAME}")
    return found[0] if found else None


def read(prepared: Prepared, labels: Iterable[str] = ()) -> Metadata:
    """Read the split column and those of `labels`, as far as they are there; what is wrong is told by who uses it."""
    try:
        path = find(prepared.folder)
        if path is None:
            return Metadata(None)
        metadata = Metadata(path)
    except (AudioError, OSError) as error:
        metadata = Metadata(prepared.folder / NAME)
        metadata.faults[tables.FILE_NAME] = error if isinstance(error, AudioError) else AudioError(str(error))
        return metadata
    try:
        with tables.reading(path) as table:
            _read(metadata, table, Files(prepared), dict.fromkeys([SPLIT, *labels]))
    except AudioError as error:
        metadata.faults[tables.FILE_NAME] = error
    return metadata


def _read(metadata: Metadata, table: tables.Table, files: Files, wanted: Iterable[str]) -> None:
    place = table.place(tables.FILE_NAME)
    if place is None:
        _refuse_if_meant(table, files)
    metadata.columns, metadata.exact = table.columns, table.exact
    if place is None:
        if table.columns:
            metadata.lines.append(f"{table.path.name} has no file_name column: nothing of it is used")
        return
    places: dict[str, int] = {}
    for name in wanted:
        try:
            if (found := table.place(name)) is not None:
                places[name], metadata.cells[name] = found, {}
        except AudioError as error:
            metadata.faults[name] = error
    seen: dict[str, int] = {}  # and in which line first
    sides: dict[int, set[str]] = {} if SPLIT in places else {at: set() for at in range(len(table.columns))}
    for line, cells in table.rows:
        for at in list(sides):  # the columns that have said nothing but train, valid and test so far
            value = cells[at].lower()
            if value in SIDES:
                sides[at].add(SIDES[value])
            elif value:
                del sides[at]
        written = cells[place]
        if not written:
            continue
        metadata.rows += 1
        found = files.find(written)
        if len(found) != 1:
            (metadata.unclear if found else metadata.unknown).append(written)
            continue
        [name] = found
        if name not in files.used:
            metadata.left_out.append(written)
            continue
        if name == written:
            metadata.respelled.pop(name, None)
        elif name not in seen:
            metadata.respelled[name] = written
        before = seen.setdefault(name, line)
        for column, at in places.items():
            if value := cells[at]:
                told = metadata.cells[column].setdefault(name, value)
                if told != value and column not in metadata.faults:
                    metadata.faults[column] = AudioError(
                        f"{table.path}, lines {before} and {line}: {column} of {name} is {told!r} in one and {value!r} "
                        "in the other; keep one"
                    )
    metadata.recordings = set(seen)
    metadata.lines += _report(metadata, files)
    divided = [table.columns[at] for at, said in sides.items() if len(said) > 1]
    if divided:
        metadata.lines.append(
            f"{table.path.name} has no column called {SPLIT}, so it does not divide the recordings; if {divided[0]} is "
            f"meant to, call that column {SPLIT}"
        )


def _refuse_if_meant(table: tables.Table, files: Files) -> None:
    """Raises AudioError for a table without file_name that was meant to divide the recordings."""
    names = ", ".join(table.columns)
    if table.place(SPLIT) is not None:
        raise AudioError(f"{table.path} has a split column but no file_name column; it has {names}")
    if any(column.lower() in SIDES for column in table.columns) and any(map(files.find, table.columns)):
        raise AudioError(
            f"{table.path} does not begin with the names of its columns, file_name and split say, but with {names}"
        )


def _report(metadata: Metadata, files: Files) -> list[str]:
    assert metadata.path is not None, "it was read"
    table = metadata.path.name
    lines = [
        f"{table}: {counted(metadata.rows, 'row')} for {len(metadata.recordings)} of "
        f"{counted(len(files.used), 'recording')}"
    ]

    def near(written: str) -> str:
        found = files.near(written)
        return written if found is None else f"{written}: there is {found}"

    def meanings(written: str) -> str:
        return f"{written}: {' or '.join(files.find(written))}"

    def spelling(name: str) -> str:
        return f"{metadata.respelled[name]} for {name}"

    for words, names, said in (
        (f"not used, as no recording is called so in {table}", metadata.unknown, near),
        (f"not used, as {table} could mean several recordings", metadata.unclear, meanings),
        (f"in {table}, but left out", metadata.left_out, str),
        (f"spelled otherwise in {table}", list(metadata.respelled), spelling),
    ):
        lines += [f"{words}: {_shown(names, said)}"] if names else []
    return lines


def _shown(names: list[str], said: Callable[[str], str], limit: int = 3) -> str:
    return some([*map(said, names[:limit]), *names[limit:]], limit)


def others(prepared: Prepared) -> list[str]:
    """Tables in sub-folders, and of other kinds, which nothing reads, in a line of words."""
    places = {name.rpartition("/")[0] for name in (recording.name for recording in prepared.recordings)}
    found = [f"{place}/{NAME}" for place in sorted(places) if place and (prepared.folder / place / NAME).is_file()]
    found += [name for name in OTHERS if (prepared.folder / name).is_file()]
    return [f"not read, as the folder's own {NAME} alone is: {some(found)}"] if found else []
