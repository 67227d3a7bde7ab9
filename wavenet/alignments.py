"""What is said when: a CSV beside the recordings, one row per phone, and the class of each frame that follows from it.

    file_name,start_sample,end_sample,phone

Times are in samples of the recording's own rate, which its header tells, and are scaled where data.sample_rate is
another. Further columns are ignored. Such files are mostly made by machine, by forced alignment of a text.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavenet import audio
from wavenet.config import RecognitionConfig
from wavenet.distributions import IGNORED
from wavenet.errors import AudioError
from wavenet.preparation import Prepared

NAME = "phones.csv"
COLUMNS = ("file_name", "start_sample", "end_sample", "phone")
UNKNOWN = -1
"""Class of a phone that the model was never told of: whatever it says is wrong."""


class Segment(NamedTuple):
    """One phone, start..stop in samples of the prepared rate from its recording's beginning."""

    start: float
    stop: float
    phone: str


def read(prepared: Prepared, name: str) -> list[list[Segment]]:
    """Each recording's phones in order of time; none for a recording that the file does not name.

    Raises AudioError, naming the file, where it is missing, lacks a column, holds times that are none, or speaks of
    none of the recordings.
    """
    path = prepared.folder / Path(name).expanduser()
    rows: dict[str, list[tuple[int, int, str]]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            columns = table.fieldnames or []
            missing = [column for column in COLUMNS if column not in columns]
            if missing:
                raise AudioError(
                    f"{path} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none at all'}"
                )
            for row in table:
                start, stop = (_samples(path, table.line_num, column, row[column]) for column in COLUMNS[1:3])
                if start >= stop:
                    raise AudioError(f"{path}, line {table.line_num}: a phone from {start} to {stop} has no samples")
                rows.setdefault(row["file_name"], []).append((start, stop, (row["phone"] or "").strip()))
    except FileNotFoundError as error:
        tables = ", ".join(sorted(other.name for other in prepared.folder.glob("*.csv"))) or "none"
        raise AudioError(f"data.frames: {path} does not exist; CSV files there: {tables}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AudioError(f"{path} cannot be read as UTF-8 comma-separated values ({error})") from error
    segments = []
    for recording in prepared.recordings:
        told = sorted(row for row in rows.get(recording.name, []) if row[2])
        scale = prepared.sample_rate / audio.probe(prepared.folder / recording.name).sample_rate if told else 1.0
        segments.append([Segment(start * scale, stop * scale, phone) for start, stop, phone in told])
    if not any(segments):
        named = next(iter(rows), None)
        found = "it is empty" if named is None else f"the first that it names is {named!r}"
        raise AudioError(f"{path} tells no phone of any recording in {prepared.folder}; {found}")
    return segments


def _samples(path: Path, line: int, column: str, cell: str | None) -> int:
    try:
        value = int(cell or "")
    except ValueError:
        value = -1
    if value < 0:
        raise AudioError(f"{path}, line {line}: {column} is {cell!r}, but it must be a whole number of samples")
    return value


class Alignments:
    """The class of every frame of a folder's recordings, under a model's classes."""

    def __init__(self, segments: list[list[Segment]], config: RecognitionConfig) -> None:
        self.segments, self._hop = segments, config.hop
        number = {phone: number for number, phone in enumerate(config.classes)}
        self._edges = [np.array([segment[:2] for segment in told]).reshape(-1, 2).T for told in segments]
        # the IGNORED at the end is what index -1 finds, before the first phone
        self._numbers = [np.array([number.get(s.phone, UNKNOWN) for s in told] + [IGNORED]) for told in segments]

    def frames(self, recording: int, start: int, stop: int) -> Tensor:
        """Classes (ceil((stop - start) / hop),) of the frames of samples start..stop: each one's at its centre.

        Where no phone is, as in a gap, or the centre lies beyond `stop`, a frame is ignored.
        """
        starts, stops = self._edges[recording]
        centres = np.arange(start + self._hop / 2, start + -(-(stop - start) // self._hop) * self._hop, self._hop)
        at = np.searchsorted(starts, centres, side="right") - 1
        inside = (at >= 0) & (centres < stop)
        inside[inside] = centres[inside] < stops[at[inside]]
        return torch.from_numpy(np.where(inside, self._numbers[recording][at], IGNORED))

    def phones(self, recording: int, start: int, stop: int) -> list[str]:
        """Phones whose middle lies within samples start..stop, in order."""
        return [phone for begin, end, phone in self.segments[recording] if start <= (begin + end) / 2 < stop]
