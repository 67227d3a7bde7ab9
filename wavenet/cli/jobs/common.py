"""What several commands do once a checkpoint is loaded: find its recordings, parts of them, and what they are told."""

import csv
import os
from pathlib import Path
from typing import Any

import torch

from wavenet.cli.app import overridden
from wavenet.cli.display import Display
from wavenet.config import DataConfig, ModelConfig
from wavenet.errors import AudioError, ConfigError
from wavenet.model.checkpoint import DATA, Checkpoint
from wavenet.recordings.annotations import Annotations, misfits
from wavenet.recordings.preparation import Prepared
from wavenet.recordings.split import Span, Split, split, whole

SHOWN = 20
"""Values of a label that are named where one is not known."""


def as_trained(data: DataConfig, loaded: Checkpoint) -> None:
    """Read recordings at the model's own rate, and divide them as in its training unless told otherwise.

    Raises ConfigError where another rate is asked for.
    """
    asked = overridden()
    if "data.sample_rate" in asked and data.sample_rate != loaded.sample_rate:
        raise ConfigError(
            f"data.sample_rate is {data.sample_rate}, but {loaded.path} was trained at {loaded.sample_rate} Hz, "
            "and that decides: leave data.sample_rate out"
        )
    data.sample_rate = loaded.sample_rate
    for name in DATA:
        if name in loaded.data and f"data.{name}" not in asked:
            setattr(data, name, loaded.data[name])
    if "data.labels" in asked:
        raise ConfigError("data.labels: the model knows its labels: leave it out; use_labels=false tells it none")
    data.labels = list(loaded.model.config.labels)  # some of each were held out


def annotate(
    prepared: Prepared, data: DataConfig, model: ModelConfig, use_labels: bool, display: Display
) -> Annotations | None:
    """What a model is told of a folder's recordings, None where nothing conditions it; what does not fit is said.

    Raises ConfigError where the folder has not the model's labels.
    """
    labels = model.labels if use_labels else {}
    try:
        for line in misfits(prepared, labels, data.split_by):
            display.say(line)
    except ConfigError as error:
        raise ConfigError(f"{error}. Or use_labels=false, to tell the model none") from error
    return Annotations(prepared, model, display.preparing, use_labels, data.split_by) if model.conditioned else None


def divide(prepared: Prepared, data: DataConfig, part: str, display: Display) -> tuple[Split, list[Span]]:
    """The folder's sides, and the recordings of a part of it, one of SPLITS.

    Raises AudioError where there are none, or where a part is asked for and metadata.csv cannot be understood.
    """
    try:
        sides = split(prepared, data)
    except AudioError as error:
        if part != "all":
            raise
        display.say(f"{error}; it does not matter for split=all")
        sides = Split(whole(prepared), [], [])
    spans: list[Span] = getattr(sides, part)
    for line in sides.report if part != "all" else []:
        display.say(line)
    if not spans:
        hint = "; the split column of its metadata.csv names those, or a folder test/ beside train/"
        if data.split_by == "older":
            hint += " with data.split_by=auto, which the run, of an older version, did not know"
        raise AudioError(f"split={part}: no recording of {prepared.folder} is in that part{hint * (part == 'test')}")
    return sides, spans


def choose_labels(chosen: dict[str, Any], known: dict[str, list[str]]) -> torch.Tensor:
    """(values,) with 1 for each that is chosen. Raises ConfigError for one that the model does not know."""
    asked: dict[str, list[str]] = {}
    for label, values in chosen.items():
        if label not in known:
            there = f"it knows label.{', label.'.join(known)}" if known else "it was trained without labels"
            raise ConfigError(f"label.{label} is not a label of this model; {there}")
        asked[label] = _listed(values, known[label])
        for value in asked[label]:
            if value not in known[label]:
                there = ", ".join(known[label][:SHOWN]) + ", ..." * (len(known[label]) > SHOWN)
                raise ConfigError(f"label.{label} is {value!r}, but it must be one of {there}, or some, [a,b]")
    told = [value in asked.get(label, []) for label, values in known.items() for value in values]
    return torch.tensor(told, dtype=torch.float32)


def _listed(chosen: Any, known: list[str]) -> list[str]:
    """The value that the model knows as it is written, or in quotes; else those between brackets, in quotes or not."""
    if isinstance(chosen, list):
        return [str(value) for value in chosen]
    text = str(chosen)
    within = text[1:-1]
    if text in known or len(text) < 2 or text[0] + text[-1] not in ("[]", "''", '""'):
        return [text]
    if not text.startswith("["):
        return [within]
    lists = [next(csv.reader([within], quotechar=quote, skipinitialspace=True), []) for quote in "\"'"]
    return next((values for values in lists if set(values) <= set(known)), lists[0])


def check_folder(folder: Path) -> None:
    """Raise ConfigError where this folder cannot be made or written to."""
    there = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    if not there.is_dir():
        raise ConfigError(f"output: {there} is a file, not a folder; choose another output")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"output: the folder {there} cannot be written to; choose another output")
