"""The labels of recordings, from cells of metadata.csv or from the name of the sub-folder."""

from pathlib import Path

from wavenet.errors import ConfigError
from wavenet.recordings import metadata, tables
from wavenet.recordings.metadata import Metadata
from wavenet.recordings.preparation import Prepared
from wavenet.recordings.sides import by_folders

SEPARATOR = "|"
"""Separates several values of one label in one cell."""
FOLDER = "folder"
"""The label that needs no column."""

Values = dict[str, list[list[str]]]
"""Label -> the values that each recording has, in the order of the recordings."""


def read(prepared: Prepared, table: Metadata, names: list[str], split_by: str) -> Values:
    """Each recording's values of the labels `names`, for which `table` was read.

    `folder`, unless a column has that name, is the outermost sub-folder that a recording is in, apart from those that
    make a split, such as train/ and test/. Raises ConfigError for a label without a column, AudioError for a table that
    cannot be used.
    """
    values: Values = {}
    for name in names:
        if name in table.cells or name in table.faults or tables.FILE_NAME in table.faults:
            cells = table.column(name)
            known: dict[str, list[str]] = {}  # shares lists, since most cells repeat
            told = (cells.get(recording.name, "") for recording in prepared.recordings)
            values[name] = [known[cell] if cell in known else known.setdefault(cell, parts(cell)) for cell in told]
        elif name == FOLDER:
            values[name] = _folders(prepared, split_by)
        else:
            raise ConfigError(f"data.labels: {_no_column(prepared.folder, table, name)}")
    return values


def there(table: Metadata, names: list[str]) -> list[str]:
    """Those of `names` that the folder has."""
    return [name for name in names if name in table.cells or name == FOLDER]


def parts(cell: str) -> list[str]:
    return [value.strip() for value in cell.split(SEPARATOR) if value.strip()]


def _folders(prepared: Prepared, split_by: str) -> list[list[str]]:
    names = [recording.name for recording in prepared.recordings]
    depth = by_folders(names).depth if split_by == "auto" else {}
    known: dict[str, list[str]] = {}
    found = []
    for name in names:
        above = name.split("/")[:-1]
        if name in depth:
            del above[depth[name]]
        first = above[0] if above else ""
        found.append(known.setdefault(first, [first] if first else []))
    return found


def _no_column(folder: Path, table: Metadata, name: str) -> str:
    if table.path is None:
        return (
            f"{name!r} would be a column of {folder / metadata.NAME}, which does not exist; without it, the only label "
            f"is {FOLDER}, the sub-folder's name"
        )
    others = [column for column in table.columns if tables.plain(column) not in ("", "filename", metadata.SPLIT)]
    return f"{name!r} is not a column of {table.path}; choose from {', '.join([*others, FOLDER])}"
