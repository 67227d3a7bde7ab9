"""A folder's metadata.csv: one row per recording, `file_name` and whatever else is known of it."""

import csv
import os
from pathlib import Path

from wavenet.errors import AudioError

NAME = "metadata.csv"


def read(folder: Path) -> dict[str, dict[str, str]]:
    """Recording (its path below the folder) -> column -> what the cell says; empty where there is no such file.

    Empty also where it has no file_name column, as the tables of many a data set. Raises AudioError for one that cannot
    be opened, is not UTF-8 comma-separated values, or has a split column and no file_name.
    """
    path = folder / NAME
    if not os.path.isfile(path):
        return {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or []
            if "file_name" not in columns:
                if "split" in columns:
                    raise AudioError(f"{path} has a split column but no file_name column; it has {', '.join(columns)}")
                if any("file_name" in column for column in columns):
                    raise AudioError(
                        f"{path} has no column file_name, but {columns[0]!r}: commas must separate its columns"
                    )
                return {}
            return {row["file_name"]: {c: (row[c] or "").strip() for c in columns} for row in rows if row["file_name"]}
    except (UnicodeDecodeError, csv.Error) as error:
        raise AudioError(f"{path} cannot be read as UTF-8 comma-separated values ({error})") from error
    except OSError as error:
        raise AudioError(f"{path} cannot be opened ({error.strerror})") from error
