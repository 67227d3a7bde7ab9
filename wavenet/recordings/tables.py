"""One reader for all CSV files beside recordings, as people and spreadsheets write them.

The first line names the columns. Case, spaces, underscores and hyphens in the names do not matter. Columns are
separated by commas, semicolons, tabs or bars; lines end as on any system; a byte order mark is skipped, and so is the
line `sep=;` that some spreadsheets write.
"""

import contextlib
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from wavenet.errors import AudioError

SEPARATORS = ",;\t|"
FILE_NAME = "file_name"
"""The column that every table has."""


@dataclass(frozen=True)
class Table:
    """One file, open for reading."""

    path: Path
    columns: list[str]
    """Their names as written, without surrounding space."""
    rows: Iterator[tuple[int, list[str]]]
    """Number of the line, and one cell per column. Raises AudioError at a line with more cells, or with quotes that do
    not close."""
    exact: bool
    """Whether it is written as documented: with commas, and `file_name` and `split` spelled exactly."""

    def place(self, name: str) -> int | None:
        """Number of the column called `name`, or else of one that differs only in case, spaces, underscores or hyphens;
        None if there is neither. Raises AudioError if several match."""
        found = [place for place, column in enumerate(self.columns) if column == name]
        found = found or [place for place, column in enumerate(self.columns) if plain(column) == plain(name)]
        if len(found) > 1:
            spelled = ", ".join(repr(self.columns[place]) for place in found)
            raise AudioError(
                f"{self.path} has {len(found)} columns that could be {name}, {spelled}: rename all but one"
            )
        return found[0] if found else None


def plain(name: str) -> str:
    """A column's name without the differences in spelling that are ignored."""
    return re.sub(r"[\s_-]+", "", name).casefold()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Table]:
    """Open a table, whose rows can be read one at a time within the block. Raises AudioError for a file that cannot be
    opened or is not UTF-8 text."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            yield _table(path, file)
    except UnicodeDecodeError as error:
        hint = "save it as UTF-8, which some spreadsheets call CSV UTF-8"
        raise AudioError(f"{path} cannot be read as UTF-8 text: {hint}") from error
    except csv.Error as error:
        raise AudioError(f"{path} cannot be read as UTF-8 comma-separated values ({error})") from error
    except OSError as error:
        raise AudioError(f"{path} cannot be opened ({error.strerror})") from error


def _table(path: Path, file: TextIO) -> Table:
    number, separators = 0, SEPARATORS
    for line in iter(file.readline, ""):
        number += 1
        if hint := re.fullmatch(r"sep=(.)", line.rstrip("\r\n"), re.IGNORECASE):
            separators = hint[1]
        elif line.strip():
            break
    else:
        return Table(path, [], iter(()), exact=True)
    if "\0" in line:
        raise AudioError(f"{path} cannot be read as UTF-8 comma-separated values (it holds zero bytes)")
    headers = {separator: _cells(line, separator) for separator in separators}
    # the separator that gives a file_name column, else the one that gives most columns
    separator = max(headers, key=lambda key: (plain(FILE_NAME) in map(plain, headers[key]), len(headers[key])))
    columns = [column.strip() for column in headers[separator]]
    spelled = set(next(csv.reader([line])))
    exact = FILE_NAME in spelled and ("split" in spelled or "split" not in map(plain, columns))
    return Table(path, columns, _rows(path, file, separator, number, len(columns)), exact)


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True))


def _rows(path: Path, file: TextIO, separator: str, before: int, width: int) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
    done = before
    try:
        for cells in reader:
            done = before + reader.line_num
            if not any(cells):
                continue
            if any(cells[width:]):
                raise AudioError(
                    f"{path}, line {before + reader.line_num}: {len(cells)} cells in a table of {width} columns; put "
                    f"quotes around a cell that holds {separator!r}"
                )
            yield before + reader.line_num, [cell.strip() for cell in cells[:width]] + [""] * (width - len(cells))
    except csv.Error as error:
        raise AudioError(
            f"{path}, line {done + 1}: a cell's quotes cannot be understood ({error}); write a quote within a quoted "
            "cell twice"
        ) from error
