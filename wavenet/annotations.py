"""What is known of a folder's recordings besides their samples: labels, and frames of features kept on disk."""

import contextlib
import dataclasses
import hashlib
import json
import re
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from wavenet import alignments, features, metadata
from wavenet.conditioning import Companion, Range
from wavenet.config import DataConfig, ModelConfig
from wavenet.encodings import encoding_of
from wavenet.errors import AudioError, ConfigError
from wavenet.files import atomic
from wavenet.parallel import in_order
from wavenet.preparation import Prepared, Progress, Recording, some

SEPARATOR = "|"
"""Between several values of one label in one cell."""


def describe(prepared: Prepared, data: DataConfig, model: ModelConfig) -> ModelConfig:
    """The model's settings with what only the recordings tell: the labels' values, the columns of feature arrays, the
    classes of frames.

    Raises ConfigError for a label that is no column, AudioError for an array or alignments that cannot be used.
    """
    for label in data.labels:
        if not re.fullmatch(r"[A-Za-z_][\w-]*", label, re.ASCII):
            raise ConfigError(
                f"data.labels: {label!r} could not be chosen by label.{label}=...: rename the column, with letters, "
                "digits, _ and - alone"
            )
    told = _cells(prepared, data.labels)
    values: dict[str, list[str]] = {}
    for label in data.labels:
        found = {value for row in told.values() for value in row[label]}
        if not found:
            raise ConfigError(f"data.labels: no recording of {prepared.folder} has a value for {label}")
        values[label] = sorted(found)
    described = dataclasses.replace(model, labels=values)
    if "file" in model.features.kinds:
        first = features.load((prepared.folder / prepared.recordings[0].name).with_suffix(".npy"))
        described.features = dataclasses.replace(model.features, columns=first.shape[1])
    segments = alignments.read(prepared, data.frames) if data.frames is not None else []
    classes = sorted({segment.phone for recording in segments for segment in recording})
    described.recognition = dataclasses.replace(model.recognition, classes=classes)
    return described


def _cells(prepared: Prepared, labels: list[str]) -> dict[str, dict[str, list[str]]]:
    """Recording -> label -> values."""
    rows = metadata.read(prepared.folder) if labels else {}
    columns = [column for column in next(iter(rows.values()), {}) if column not in ("file_name", "split")]
    for label in labels:
        if label != "folder" and label not in columns:
            table = prepared.folder / metadata.NAME
            raise ConfigError(
                f"data.labels: {label!r} is not a column of {table}; there are {', '.join([*columns, 'folder'])}"
                if rows
                else f"data.labels: {label!r} would be a column of {table}, which "
                f"{'has no rows' if table.exists() else 'does not exist'}; without it there is folder, the "
                "sub-folder's name"
            )
    told = {}
    for recording in prepared.recordings:
        row = dict(rows.get(recording.name, {}))
        parts = PurePosixPath(recording.name).parts
        row.setdefault("folder", parts[0] if len(parts) > 1 else "")
        told[recording.name] = {
            label: [value.strip() for value in row.get(label, "").split(SEPARATOR) if value.strip()] for label in labels
        }
    return told


def misfits(prepared: Prepared, labels: dict[str, list[str]]) -> list[str]:
    """Where metadata.csv and a model's labels and their values do not go with the recordings, in lines of words."""
    used, rows = {recording.name for recording in prepared.recordings}, metadata.read(prepared.folder)
    strangers = [name for name in rows if name not in used]
    lines = [f"{metadata.NAME} names what is not used: {some(strangers)}"] if strangers else []
    if not rows and (prepared.folder / metadata.NAME).is_file():
        lines.append(f"{metadata.NAME} has no file_name column, or no rows: nothing of it is used")
    told = _cells(prepared, list(labels))
    for label, known in labels.items():
        without = [name for name, values in told.items() if not values[label]]
        lines += [f"without a value for {label}: {some(without)}"] if without else []
        unknown = sorted({value for values in told.values() for value in values[label]} - set(known))
        lines += (
            [f"values of {label} that the model does not know, and is not told: {some(unknown)}"] if unknown else []
        )
    return lines


class Annotations:
    """Labels and frames of every recording of a prepared folder, as a model wants them."""

    def __init__(
        self, prepared: Prepared, model: ModelConfig, progress: Progress | None = None, use_labels: bool = True
    ) -> None:
        self.prepared, self.config = prepared, model
        told = _cells(prepared, list(model.labels) if use_labels else [])
        names = [(label, value) for label, values in model.labels.items() for value in values]
        self.labels = torch.zeros(len(prepared.recordings), len(names))
        for row, recording in zip(self.labels, prepared.recordings, strict=True):
            for i, (label, value) in enumerate(names):
                row[i] = value in told[recording.name].get(label, [])
        self.frames: np.ndarray | None = None
        if model.features.kinds:
            counts = [-(-recording.samples // model.features.hop) for recording in prepared.recordings]
            self._first = np.cumsum([0, *counts])
            self.frames = self._keep_frames(progress)

    def companion(self, recording: int, from_sample: int = 0) -> Companion:
        """What is known of one recording; of its frames, from the one on that holds sample `from_sample`."""
        frames = None
        if self.frames is not None:
            first = int(self._first[recording]) + from_sample // self.config.features.hop
            frames = clamped(self.frames[first : self._first[recording + 1]])
        codes = self._codes(recording) if self.config.context.pools else None
        return Companion(self.labels[recording], frames, codes)

    def some_frames(self, most: int = 100_000) -> Tensor:
        """(n, channels): frames from everywhere, to measure their mean and spread on."""
        assert self.frames is not None
        return torch.from_numpy(np.array(self.frames[:: max(1, len(self.frames) // most)]))

    def _codes(self, recording: int) -> Range:
        place = self.prepared.recordings[recording]
        return after_silence(self.prepared.codes[place.start : place.start + place.samples])

    def _keep_frames(self, progress: Progress | None) -> np.ndarray:
        """All recordings' frames end to end, on disk, computed once."""
        prepared, config = self.prepared, self.config.features
        stamps = []
        if "file" in config.kinds:
            arrays = [(prepared.folder / recording.name).with_suffix(".npy") for recording in prepared.recordings]
            stamps = [[array.stat().st_size, array.stat().st_mtime_ns] for array in arrays if array.is_file()]
        relevant = [config.kinds, config.hop, config.window, config.mels, config.frame_rate, stamps]
        key = hashlib.sha256(json.dumps(relevant).encode()).hexdigest()[:12]
        path = prepared.cache / f"frames_{key}.f32"
        shape = (int(self._first[-1]), config.channels)
        if not path.is_file() or path.stat().st_size != 4 * shape[0] * shape[1]:
            try:
                self._compute_frames(path, progress)
            except OSError as error:
                raise AudioError(f"cannot keep features in {path.parent} ({error}); set data.cache_dir") from error
        return np.memmap(path, dtype=np.float32, mode="r", shape=shape)

    def _compute_frames(self, path: Path, progress: Progress | None) -> None:
        prepared = self.prepared

        def frames_of(recording: Recording) -> np.ndarray:
            codes = prepared.codes[recording.start : recording.start + recording.samples]
            return features.frames(codes, self.config.features, prepared.sample_rate, prepared.folder / recording.name)

        made = in_order(frames_of, prepared.recordings)
        with contextlib.closing(made), atomic(path) as temporary, open(temporary, "wb") as file:
            for done, frames in enumerate(made, start=1):
                file.write(np.ascontiguousarray(frames).data)
                if progress:
                    progress(done, len(prepared.recordings))


def clamped(rows: np.ndarray) -> Range:
    """Reads rows of an array; beyond its ends, the first and the last."""

    def read(start: int, stop: int) -> Tensor:
        return torch.from_numpy(np.array(rows[np.arange(start, stop).clip(0, len(rows) - 1)]))

    return read


def after_silence(codes: np.ndarray) -> Range:
    """Reads codes, int64; before the start and after the end, silence."""
    zero = encoding_of(codes).zero

    def read(start: int, stop: int) -> Tensor:
        inside = codes[max(start, 0) : max(stop, 0)].astype(np.int64)
        before = max(min(stop, 0) - start, 0)
        return torch.from_numpy(np.pad(inside, (before, stop - start - before - len(inside)), constant_values=zero))

    return read
