"""The text of each recording: from metadata.csv, or from a file beside each recording.

    metadata.csv with a column `text`
    metadata.csv as LJSpeech has it: id|text|normalised text, without a header
    a.txt or a.lab beside a.wav

The first of these that a folder has is used.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from wavenet.errors import AudioError, some
from wavenet.recordings import ljspeech, metadata, tables
from wavenet.recordings.matching import Files
from wavenet.recordings.metadata import Metadata
from wavenet.recordings.preparation import Prepared

COLUMN = "text"
ENDINGS = (".txt", ".lab")
TIMES = re.compile(r"\s*[\d.]+\s+[\d.]+\s+\S+\s*")
"""A line of a .lab file that says which phone is heard when, not a text."""


@dataclass(frozen=True)
class Texts:
    """What is said in a folder's recordings."""

    texts: dict[int, str]
    """By the recording's number, in order. None is empty."""
    report: list[str]
    """Where they come from, and which recordings have none, as lines of text."""


def read(prepared: Prepared) -> Texts:
    """The texts of a folder. Raises AudioError if it has none, or a table that cannot be used."""
    table = metadata.read(prepared, [COLUMN])
    source, lines = "", list[str]()
    if COLUMN in table.cells or COLUMN in table.faults or tables.FILE_NAME in table.faults:
        source, texts = f"column {COLUMN} of {metadata.NAME}", table.column(COLUMN)
    elif table.bare and table.path is not None:
        source, texts = f"{table.path.name}, as in LJSpeech", _bare(table.path, Files(prepared))
    else:
        source, texts, lines = _beside(prepared)
    numbered = [(number, texts.get(recording.name, "")) for number, recording in enumerate(prepared.recordings)]
    told = {number: " ".join(text.split()) for number, text in numbered if text.strip()}
    if not told:
        raise AudioError(_none(prepared, table, lines))
    without = [recording.name for number, recording in enumerate(prepared.recordings) if number not in told]
    lines.insert(0, f"texts: {source}, for {len(told)} of {len(prepared.recordings)} recordings")
    return Texts(told, lines + ([f"recordings without a text: {some(without)}"] if without else []))


def _bare(path: Path, files: Files) -> dict[str, str]:
    """LJSpeech's texts. Raises AudioError for a recording with two."""
    texts: dict[str, str] = {}
    for written, text in ljspeech.rows(path):
        name = ljspeech.recording(files, written)
        if name is not None and texts.setdefault(name, text) != text:
            raise AudioError(f"{path} has two texts of {name}: {texts[name]!r} and {text!r}; keep one")
    return texts


def _beside(prepared: Prepared) -> tuple[str, dict[str, str], list[str]]:
    """Files named like the recordings: which kinds, their texts, and those that are none, as lines of text."""
    texts, kinds, faults = dict[str, str](), set[str](), list[str]()
    for recording in prepared.recordings:
        for ending in ENDINGS:
            path = (prepared.folder / recording.name).with_suffix(ending)
            try:
                text = path.read_text(encoding="utf-8-sig")
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError):
                faults.append(path.relative_to(prepared.folder).as_posix())
                continue
            if text.strip() and all(map(TIMES.fullmatch, filter(str.strip, text.splitlines()))):
                faults.append(path.relative_to(prepared.folder).as_posix())
            elif text.strip():
                texts[recording.name] = text
                kinds.add(ending)
                break
    lines = [f"not texts, because they are not UTF-8 or hold times of phones: {some(faults)}"] if faults else []
    return f"{' and '.join(sorted(kinds))} files beside the recordings", texts, lines


def _none(prepared: Prepared, table: Metadata, lines: list[str]) -> str:
    there = ""
    if table.path and table.columns:
        there = f"; the columns of {table.path.name} are {', '.join(table.columns)}"
    return (
        f"data.dir: no recording of {prepared.folder} has a text{there}. Give its {metadata.NAME} the columns "
        f"file_name and {COLUMN}, or write a .txt file beside each recording" + "".join(f"; {line}" for line in lines)
    )
