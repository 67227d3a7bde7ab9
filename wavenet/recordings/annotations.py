"""What is known of a folder's recordings besides their samples: labels, and frames of features kept on disk."""

import contextlib
import dataclasses
import hashlib
import json
import re
from array import array
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavenet.audio import features
from wavenet.audio.encodings import encoding_of
from wavenet.config import DataConfig, ModelConfig
from wavenet.errors import AudioError, ConfigError, some
from wavenet.files import atomic
from wavenet.model.conditioning import Companion, Range
from wavenet.recordings import alignments, labels, metadata
from wavenet.recordings.parallel import in_order
from wavenet.recordings.preparation import Prepared, Progress, Recording


def describe(prepared: Prepared, data: DataConfig, model: ModelConfig) -> ModelConfig:
    """The model's settings, completed from the recordings: the values of labels, the columns of feature arrays, the
    classes of frames.

    Raises ConfigError for a label without a column, AudioError for an array or alignments that cannot be used.
    """
    for label in data.labels:
        if not re.fullmatch(r"[A-Za-z_][\w-]*", label, re.ASCII):
            raise ConfigError(
                f"data.labels: {label!r} could not be chosen by label.{label}=...: rename the column, with only "
                "letters, digits, _ and -"
            )
    table = metadata.read(prepared, data.labels)
    values: dict[str, list[str]] = {}
    for label, told in labels.read(prepared, table, data.labels, data.split_by).items():
        found = set().union(*told)
        if not found:
            raise ConfigError(f"data.labels: no recording of {prepared.folder} has a value for {label}")
        values[label] = sorted(found)
    described = dataclasses.replace(model, labels=values)
    if "file" in model.features.kinds:
        first = features.load((prepared.folder / prepared.recordings[0].name).with_suffix(".npy"))
        described.features = dataclasses.replace(model.features, columns=first.shape[1])
    classes = alignments.classes(prepared, data.frames) if data.frames is not None else []
    described.recognition = dataclasses.replace(model.recognition, classes=classes)
    return described


def misfits(prepared: Prepared, known: dict[str, list[str]], split_by: str = "auto") -> list[str]:
    """How the rows of metadata.csv were used, and where a model's labels do not fit the recordings, as lines of
    text."""
    table = metadata.read(prepared, known)
    lines = table.report() + metadata.others(prepared)
    for label, told in labels.read(prepared, table, list(known), split_by).items():
        pairs = zip(prepared.recordings, told, strict=True)
        without = [recording.name for recording, values in pairs if not values]
        lines += [f"without a value for {label}: {some(without)}"] if without else []
        unknown = sorted(set().union(*told) - set(known[label]))
        lines += (
            [f"values of {label} that the model does not know, so they are ignored: {some(unknown)}"] if unknown else []
        )
    return lines


class Annotations:
    """Labels and frames of every recording of a prepared folder, in the form that a model takes."""

    def __init__(
        self,
        prepared: Prepared,
        model: ModelConfig,
        progress: Progress | None = None,
        use_labels: bool = True,
        split_by: str = "auto",
    ) -> None:
        self.prepared, self.config = prepared, model
        self._read_labels(list(model.labels) if use_labels else [], split_by)
        self.frames: np.ndarray | None = None
        if model.features.kinds:
            counts = [-(-recording.samples // model.features.hop) for recording in prepared.recordings]
            self._first = np.cumsum([0, *counts])
            self.frames = self._keep_frames(progress)

    def companion(self, recording: int, from_sample: int = 0) -> Companion:
        """What is known of one recording, as if it began with the frame that holds sample `from_sample`."""
        hop, frames = self.config.features.hop, None
        skipped = from_sample // hop
        if self.frames is not None:
            frames = clamped(self.frames[self.rows(recording)][skipped:])
        return untold(self.prepared, recording, skipped * hop)._replace(labels=self.labels(recording), frames=frames)

    def rows(self, recording: int) -> slice:
        """The range of a recording's frames in `frames`."""
        return slice(int(self._first[recording]), int(self._first[recording + 1]))

    def labels(self, recording: int) -> Tensor:
        """(values,): 1 for each label that a recording has, in the order of `ModelConfig.labels`."""
        dense = np.zeros(self._values, dtype=np.float32)
        dense[self._chosen(recording)] = 1
        return torch.from_numpy(dense)

    def alike(self, one: int, other: int) -> bool:
        """Whether two recordings have the same labels."""
        return np.array_equal(self._chosen(one), self._chosen(other))

    def _chosen(self, recording: int) -> np.ndarray:
        return self._numbers[self._first_number[recording] : self._first_number[recording + 1]]

    def some_frames(self, most: int = 100_000) -> Tensor:
        """(n, channels): frames spread over all recordings, to measure their mean and deviation."""
        assert self.frames is not None
        return torch.from_numpy(np.array(self.frames[:: max(1, len(self.frames) // most)]))

    def _read_labels(self, names: list[str], split_by: str) -> None:
        """Store the numbers of each recording's labels, one recording after another."""
        told = labels.read(self.prepared, metadata.read(self.prepared, names), names, split_by)
        counts, numbers, before = np.zeros(len(self.prepared.recordings) + 1, dtype=np.int64), array("i"), 0
        place: dict[str, dict[str, int]] = {}
        for label, values in self.config.labels.items():
            place[label] = {value: before + number for number, value in enumerate(values)}
            before += len(values)
        self._values = before
        for recording, row in enumerate(zip(*told.values(), strict=True)):
            found = {place[label][v] for label, vs in zip(told, row, strict=True) for v in vs if v in place[label]}
            numbers.extend(sorted(found))
            counts[recording + 1] = len(found)
        self._numbers, self._first_number = np.array(numbers), counts.cumsum()

    def _keep_frames(self, progress: Progress | None) -> np.ndarray:
        """All recordings' frames end to end, on disk, computed once."""
        prepared, config = self.prepared, self.config.features
        stamps = []
        if "file" in config.kinds:
            arrays = [(prepared.folder / recording.name).with_suffix(".npy") for recording in prepared.recordings]
            stamps = [[array.stat().st_size, array.stat().st_mtime_ns] for array in arrays if array.is_file()]
        relevant = [prepared.digest, config.kinds, config.hop, config.window, config.mels, config.frame_rate, stamps]
        key = hashlib.sha256(json.dumps(relevant).encode()).hexdigest()[:12]
        path = prepared.cache / f"frames_{key}.f32"
        shape = (int(self._first[-1]), config.channels)
        if not path.is_file() or path.stat().st_size != 4 * shape[0] * shape[1]:
            try:
                self._compute_frames(path, progress)
            except OSError as error:
                reason = error.strerror or error
                raise AudioError(f"cannot keep features in {path.parent} ({reason}); set data.cache_dir") from error
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


def untold(prepared: Prepared, recording: int, from_sample: int = 0) -> Companion:
    """A recording without its labels and frames, as if it began with sample `from_sample`."""
    place = prepared.recordings[recording]
    codes = prepared.codes[place.start + from_sample : place.start + place.samples]
    return Companion(torch.empty(0), codes=after_silence(codes), samples=len(codes))


def clamped(frames: np.ndarray) -> Range:
    """A reader of frames (n, channels); outside it repeats the first or the last."""

    def read(start: int, stop: int) -> Tensor:
        return torch.from_numpy(np.array(frames[np.arange(start, stop).clip(0, len(frames) - 1)]))

    return read


def after_silence(codes: np.ndarray) -> Range:
    """A reader of codes, int64; before the start and after the end it gives silence."""
    zero = encoding_of(codes).zero

    def read(start: int, stop: int) -> Tensor:
        inside = codes[max(start, 0) : max(stop, 0)].astype(np.int64)
        before = max(min(stop, 0) - start, 0)
        return torch.from_numpy(np.pad(inside, (before, stop - start - before - len(inside)), constant_values=zero))

    return read
