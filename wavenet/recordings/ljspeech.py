"""LJSpeech's metadata.csv: no header, and `id|text|normalised text` in each line, where an id is a file's name.

Quotation marks mean nothing in it. The normalised text, in which numbers are written out, may be left out.
"""

from collections.abc import Iterator
from pathlib import Path

from wavenet.errors import AudioError
from wavenet.recordings.matching import Files

BAR = "|"


def recording(files: Files, written: str) -> str | None:
    """The file that an id means, in any folder; None if there is none, or several."""
    found = files.find(written)
    return found[0] if len(found) == 1 else None if found else files.near(written)


def rows(path: Path) -> Iterator[tuple[str, str]]:
    """Ids and texts. Raises AudioError for a file that cannot be read."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            for line in file:
                written, *texts = (cell.strip() for cell in line.split(BAR))
                if written and texts:
                    yield written, (texts[1] if len(texts) > 1 else "") or texts[0]
    except UnicodeDecodeError as error:
        raise AudioError(f"{path} cannot be read as UTF-8 text: save it as UTF-8") from error
    except OSError as error:
        raise AudioError(f"{path} cannot be opened ({error.strerror})") from error


def recognised(path: Path, files: Files) -> bool:
    """Whether a table without a file_name column is one of this kind: its first line is no header, and it names some
    recording."""
    table = rows(path)
    first = next(table, None)
    if first is None:
        return False
    named = recording(files, first[0]) is not None
    return named or (" " in first[1] and any(recording(files, written) is not None for written, _ in table))
