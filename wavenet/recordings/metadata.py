"""A folder's metadata.csv: one row per recording, with its `file_name`, labels and `split`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from wavenet.errors import AudioError, counted, some
from wavenet.recordings import ljspeech, tables
from wavenet.recordings.matching import Files
from wavenet.recordings.preparation import Prepared
from wavenet.recordings.sides import SIDES

NAME = "metadata.csv"
OTHERS = ("metadata.tsv", "metadata.txt", "metadata.jsonl")
SPLIT = "split"


@dataclass
class Metadata:
    """What the table says about the recordings that are used."""

    path: Path | None
    """None without a table."""
    columns: list[str] = field(default_factory=list)
    """All names as written; only the requested columns are read. Empty if the first line cannot be used."""
    rows: int = 0
    """Number of rows with a file name; 0 for a table without a file_name column."""
    recordings: set[str] = field(default_factory=set)
    """Recordings that have a row."""
    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    """Column -> recording -> content of its cell, without empty cells."""
    respelled: dict[str, str] = field(default_factory=dict)
    """Recording -> its name in the table, if spelled differently."""
    left_out: list[str] = field(default_factory=list)
    """Names in rows of files that cannot be used."""
    unknown: list[str] = field(default_factory=list)
    """Names in rows of files that do not exist."""
    unclear: list[str] = field(default_factory=list)
    """Names in rows that could mean more than one file."""
    faults: dict[str, AudioError] = field(default_factory=dict)
    """Column -> why it cannot be used; `tables.FILE_NAME` -> why no column can."""
    exact: bool = True
    """Whether the table is written as documented."""
    bare: bool = False
    """Whether it is one of texts alone, as LJSpeech has it; see `wavenet.recordings.ljspeech`."""
    lines: list[str] = field(default_factory=list)

    def report(self) -> list[str]:
        """How the rows were used, as lines of text, or why a table that nothing requires is not used."""
        fault = self.faults.get(tables.FILE_NAME)
        unneeded = fault is not None and bool(self.columns) and not self.divides
        return ([f"{fault}; the table is not used"] if unneeded else []) + self.lines

    @property
    def divides(self) -> bool:
        """Whether there is a split column."""
        return any(tables.plain(column) == SPLIT for column in self.columns)

    def column(self, name: str) -> dict[str, str]:
        """Recording -> content of its cell in a requested column, without empty cells. Raises AudioError if the table
        or the column cannot be used."""
        for part in (tables.FILE_NAME, name):
            if part in self.faults:
                raise self.faults[part]
        return self.cells.get(name, {})

    def split(self) -> dict[str, str]:
        """Recording -> train, valid or test, from the split column.

        Raises AudioError for any other value, and for a table that cannot be used, unless it has no split column.
        """
        if self.columns and not self.divides:
            return {}
        told = self.column(SPLIT)
        for recording, value in told.items():
            if value.lower() not in SIDES:
                raise AudioError(f"{self.path}: split of {recording} is {value!r}; it must be train, valid or test")
        if self.rows and not (self.recordings or self.left_out):
            first = f"{self.unclear[0]!r} is ambiguous" if self.unclear else f"the first is {self.unknown[0]!r}"
            raise AudioError(
                f"{self.path} names none of the recordings of {self.path and self.path.parent}, so its split column "
                f"has no effect: {first}; write each file's path relative to that folder"
            )
        return {recording: SIDES[value.lower()] for recording, value in told.items()}


def find(folder: Path) -> Path | None:
    """The folder's table, in any case; None if it has none. Raises AudioError if there are several."""
    if (folder / NAME).is_file():
        return folder / NAME
    found = sorted(path for path in folder.glob("*.[cC][sS][vV]") if path.name.casefold() == NAME)
    if len(found) > 1:
        raise AudioError(f"{folder} holds {' and '.join(path.name for path in found)}: keep one, as {NAME}")
    return found[0] if found else None


def read(prepared: Prepared, labels: Iterable[str] = ()) -> Metadata:
    """Read the split column and those of `labels`, if present. Errors are kept in `faults`, and raised on use."""
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
        if ljspeech.recognised(table.path, files):
            metadata.bare = True
            metadata.lines.append(f"{table.path.name} holds texts as in LJSpeech, so no labels and no split")
            return
        _refuse_if_meant(table, files)
    metadata.columns, metadata.exact = table.columns, table.exact
    if place is None:
        if table.columns:
            metadata.lines.append(f"{table.path.name} has no file_name column, so it is not used")
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
        for at in list(sides):  # columns with no values but train, valid and test so far
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
            f"{table.path.name} has no column called {SPLIT}, so it does not divide the recordings; if {divided[0]} "
            f"should, rename that column to {SPLIT}"
        )


def _refuse_if_meant(table: tables.Table, files: Files) -> None:
    """Raises AudioError for a table without file_name that was meant to divide the recordings."""
    names = ", ".join(table.columns)
    if table.place(SPLIT) is not None:
        raise AudioError(f"{table.path} has a split column but no file_name column; it has {names}")
    if any(column.lower() in SIDES for column in table.columns) and any(map(files.find, table.columns)):
        raise AudioError(
            f"{table.path} does not begin with the names of its columns, such as file_name, but with {names}"
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
        (f"rows of {table} not used, because no recording has that name", metadata.unknown, near),
        (f"rows of {table} not used, because they could mean several recordings", metadata.unclear, meanings),
        (f"in {table}, but left out", metadata.left_out, str),
        (f"spelled differently in {table}", list(metadata.respelled), spelling),
    ):
        lines += [f"{words}: {_shown(names, said)}"] if names else []
    return lines


def _shown(names: list[str], said: Callable[[str], str], limit: int = 3) -> str:
    return some([*map(said, names[:limit]), *names[limit:]], limit)


def others(prepared: Prepared) -> list[str]:
    """Tables in sub-folders or of other kinds, which are not read, as a line of text."""
    places = {name.rpartition("/")[0] for name in (recording.name for recording in prepared.recordings)}
    found = [f"{place}/{NAME}" for place in sorted(places) if place and (prepared.folder / place / NAME).is_file()]
    found += [name for name in OTHERS if (prepared.folder / name).is_file()]
    return [f"not read, because only the folder's own {NAME} is: {some(found)}"] if found else []
