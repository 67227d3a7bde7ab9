"""What several commands do once a checkpoint is loaded: find recordings, parts of them, and their conditioning."""

from collections.abc import Collection

from wavenet.cli.display import Display
from wavenet.config import DataConfig, ModelConfig
from wavenet.errors import AudioError, ConfigError
from wavenet.model.checkpoint import DATA, Checkpoint
from wavenet.recordings.annotations import Annotations, misfits
from wavenet.recordings.preparation import Prepared
from wavenet.recordings.split import Span, Split, split, whole


def as_trained(data: DataConfig, loaded: Checkpoint, given: Collection[str] = ()) -> None:
    """Set `data` to read recordings at the model's own rate, and to divide them as in its training.

    given: names of the settings that the user gave; the model's replace all others of `data`. Raises ConfigError if the
    user gave another rate.
    """
    if "data.sample_rate" in given and data.sample_rate != loaded.sample_rate:
        raise ConfigError(
            f"data.sample_rate is {data.sample_rate}, but {loaded.path} was trained at {loaded.sample_rate} Hz, "
            "which cannot change: leave data.sample_rate out"
        )
    data.sample_rate = loaded.sample_rate
    for name in DATA:
        if name in loaded.data and f"data.{name}" not in given:
            setattr(data, name, loaded.data[name])
    if "data.labels" in given:
        raise ConfigError("data.labels: the model has its own labels: leave it out; use_labels=false gives it none")
    data.labels = list(loaded.model.config.labels)  # training held out some recordings of each


def annotate(
    prepared: Prepared, data: DataConfig, model: ModelConfig, use_labels: bool, display: Display
) -> Annotations | None:
    """The conditioning for a folder's recordings, None for an unconditioned model; mismatches are reported.

    Raises ConfigError if the folder does not have the model's labels.
    """
    labels = model.labels if use_labels else {}
    try:
        for line in misfits(prepared, labels, data.split_by):
            display.say(line)
    except ConfigError as error:
        raise ConfigError(f"{error}. Or give use_labels=false to use no labels") from error
    return Annotations(prepared, model, display.preparing, use_labels, data.split_by) if model.conditioned else None


def divide(prepared: Prepared, data: DataConfig, part: str, display: Display) -> tuple[Split, list[Span]]:
    """The folder's split, and the recordings of one part of it, one of SPLITS.

    Raises AudioError if the part is empty, or if it is not `all` and metadata.csv cannot be understood.
    """
    try:
        sides = split(prepared, data)
    except AudioError as error:
        if part != "all":
            raise
        display.say(f"{error}; split=all does not need it")
        sides = Split(whole(prepared), [], [])
    spans: list[Span] = getattr(sides, part)
    for line in sides.report if part != "all" else []:
        display.say(line)
    if not spans:
        hint = "; the split column of its metadata.csv names those, or a folder test/ beside train/"
        if data.split_by == "older":
            hint += " with data.split_by=auto, which the run's older version did not have"
        raise AudioError(f"split={part}: no recording of {prepared.folder} is in that part{hint * (part == 'test')}")
    return sides, spans
