"""What a run learns from: a folder of recordings, read once, with what is known about them."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from wavenet.config import ModelConfig, TrainConfig
from wavenet.errors import AudioError
from wavenet.files import expanded
from wavenet.model.decoding import PhoneStatistics
from wavenet.model.distributions import make_distribution
from wavenet.recordings import alignments, annotations
from wavenet.recordings.alignments import Alignments
from wavenet.recordings.annotations import Annotations
from wavenet.recordings.augmentation import weights_of
from wavenet.recordings.made_frames import Twice
from wavenet.recordings.preparation import Prepared, Progress, prepare
from wavenet.recordings.split import Span, Split, split
from wavenet.recordings.windows import Windows
from wavenet.training.processes import Processes


@dataclass(frozen=True)
class TrainingData:
    """A folder of recordings, split into a training and a validation side, with labels, features and phones."""

    prepared: Prepared
    sides: Split
    annotations: Annotations
    alignments: Alignments | None
    """Which phone is spoken when; None if unknown."""
    model: ModelConfig
    """The settings of the model, with what is known only from the recordings."""
    weights: np.ndarray | None = None
    """(recordings,): how often each is learned from; None if all are equal."""
    twice: Twice | None = None
    """The recordings with frames that were made of them; None if there are none."""

    def windows(self, spans: list[Span], crop: int, receptive_field: int) -> Windows:
        """Spans of one side as the model takes them."""
        known = self.annotations if self.model.conditioned else None
        return Windows(self.prepared.codes, spans, crop, receptive_field, known, self.alignments)

    def training_windows(self, crop: int, receptive_field: int) -> Windows:
        """All that is learned from."""
        codes, known = self.prepared.codes, self.annotations if self.model.conditioned else None
        if self.twice is None:
            told = (crop, receptive_field, known, self.alignments)
            return Windows(codes, self.sides.train, *told, every_frame=True, weights=self.weights)
        spans = self.twice.spans(self.sides.train)
        weights = None if self.weights is None else np.tile(self.weights, 2)
        return Windows(codes, spans, crop, receptive_field, self.twice, weights=weights)

    def some_frames(self) -> Tensor | None:
        """(n, channels): frames of features from all over the recordings; None for a model without features."""
        return self.annotations.some_frames() if self.model.features.kinds else None

    def phone_statistics(self) -> PhoneStatistics | None:
        """Of the phones in the training part; None if they are not known."""
        return None if self.alignments is None else self.alignments.statistics(self.sides.train)

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Identifies the recordings, so that a resumed run can check that they are the same."""
        names = json.dumps([[recording.name, recording.samples] for recording in self.prepared.recordings]).encode()
        minutes = len(self.prepared.codes) / self.prepared.sample_rate / 60
        count = len(self.prepared.recordings)
        return {"count": count, "minutes": minutes, "digest": hashlib.sha256(names).hexdigest()}


def read(config: TrainConfig, progress: Progress) -> TrainingData:
    """Prepare the folder that `config` names, or use what an earlier run has prepared.

    Raises AudioError for a folder that cannot be used, and ConfigError for a label without a column.
    """
    data = config.data
    try:
        prepared = prepare(data, progress, make_distribution(config.model.mixtures).encoding)
    except AudioError as error:
        if config.resume is None or data.dir is None or expanded(data.dir).exists():
            raise
        raise AudioError(f"{error}; if it was moved, give its new place: data.dir=...") from error
    model = annotations.describe(prepared, data, config.model)
    known = Annotations(prepared, model, progress, split_by=data.split_by)
    sides = split(prepared, data)
    told = None
    if data.frames is not None:
        told = Alignments(alignments.read(prepared, data.frames), model.recognition)
    weights = weights_of(prepared, config.augment.weights)
    if weights is not None:
        sides = dataclasses.replace(sides, train=[span for span in sides.train if weights[span.recording] > 0])
    if not sides.train:
        raise AudioError(f"data.dir: every recording of {prepared.folder} is held out, so none is left to train on")
    twice = Twice(known, expanded(data.made_frames)) if data.made_frames is not None else None
    return TrainingData(prepared, sides, known, told, model, weights, twice)


def read_in_all(processes: Processes, config: TrainConfig, progress: Progress) -> TrainingData:
    """Call `read` in the first process and then in the others, which reuse what the first has prepared.

    Raises what `read` does, and AudioError if a process finds other recordings than the first.
    """
    found = None
    for first in (True, False):
        with processes.together():
            if processes.is_first == first:
                found = read(config, progress)
    assert found is not None
    with processes.together():
        ours = found.fingerprint
        theirs = processes.broadcast(ours)
        if theirs != ours:
            raise AudioError(
                f"data.dir: {found.prepared.folder} holds other recordings for process {processes.rank} "
                f"({ours['count']}) than for the first ({theirs['count']}); give all processes the same folder"
            )
    return found
