"""Checkpoints: one self-describing `.safetensors` file to share, and one training state beside it to resume from.

The shared file holds the (averaged) weights and, in its header, all that is needed to use them: format version, model
settings, sample rate, mu-law convention, training step and validation bits. The header also says how recordings were
prepared and divided, so that the held-out part can be found again, and how the phones that a recogniser has learned
follow each other. Reading it never unpickles. The training state is
read with `weights_only=True`. Both are written whole or not at all.
"""

import dataclasses
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import Tensor

from wavenet.config import MULAW_LEVELS, DataConfig, ModelConfig, TrainConfig
from wavenet.errors import CheckpointError, ConfigError
from wavenet.files import atomic, remedy
from wavenet.model import archive, outline
from wavenet.model.compact import compact, expanded, stored
from wavenet.model.conditioning import SOURCES, unregistered
from wavenet.model.decoding import PhoneStatistics
from wavenet.model.finding import GIVE, find
from wavenet.model.wavenet import WaveNet

FORMAT_VERSION = 1
RESUME = "resume= takes a run folder or its last.state"
KINDS = {
    b"WAVENET\n": "an exported network",
    b"PK\x03\x04": "a training state",
    **dict.fromkeys((b"RIFF", b"fLaC", b"OggS", b"FORM", b"ID3"), "a recording"),
}
"""First bytes of a file -> its kind. A training state is a zip file written by torch."""
MULAW = {"mu": MULAW_LEVELS - 1, "levels": MULAW_LEVELS, "rounding": "half up", "zero": MULAW_LEVELS // 2}
"""The convention of `wavenet.audio.mulaw`, stored so that a reader of the file need not guess."""
MOST_RATE = 10_000_000
"""Hz; as in exported files."""

DATA = ("valid_fraction", "split_by", "min_seconds", "trim_silence_db", "channel", "normalise")
"""Settings of DataConfig that decide, together with the model's labels, which samples were learned from and how they
were read."""
OLDER = {"split_by": "older"}
"""Values of those that a file of an older version leaves out."""


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to use, on the CPU, in float32 and evaluation mode, and its origin."""

    path: Path
    model: WaveNet
    sample_rate: int
    """Hz"""
    step: int
    valid_bits: float | None
    """Bits per sample on the validation part when saved; None if never validated."""
    data: dict[str, Any]
    """Values of DATA that it was trained with."""
    attached: "Attached | None" = None
    """What else the file holds, such as the acoustic model of a voice that speaks; None for a model alone."""
    scales: tuple[tuple[float, int], ...] = ()
    """int8's scales, as `generation.calibration.measured` finds them; empty if they have to be measured."""


class Attached(NamedTuple):
    """Another model in the same file."""

    kind: str
    """What it is, such as `speech`, and the beginning of its weights' names."""
    header: dict[str, Any]
    """Its description, as JSON holds it."""
    tensors: dict[str, Tensor]
    """Its weights."""


def save(
    path: Path,
    model: WaveNet,
    sample_rate: int,
    step: int,
    valid_bits: float | None,
    data: DataConfig | None = None,
    attached: Attached | None = None,
    small: bool = False,
    scales: Sequence[tuple[float, int]] = (),
) -> None:
    """Write the shared file; a `small` one keeps its matrices in int8, see `compact`. scales: as in `Checkpoint`.
    Raises CheckpointError if it cannot be written; an older file there is left intact."""
    header = {
        "format_version": FORMAT_VERSION,
        "model": model.config.shape(),
        "sample_rate": sample_rate,
        "mulaw": MULAW,
        "step": step,
        "valid_bits": valid_bits,
        "data": {name: getattr(data, name) for name in DATA} if data else {},
    }
    if model.recognition is not None and model.recognition.statistics is not None:
        header["phones"] = model.recognition.statistics.as_dict()
    if scales:
        header["scales"] = list(scales)
    tensors = stored(model)
    if attached is not None:
        header["attached"] = {"kind": attached.kind, "header": attached.header}
        tensors |= {f"{attached.kind}.{name}": tensor for name, tensor in attached.tensors.items()}
    write(path, compact(tensors) if small else tensors, {"wavenet": json.dumps(header)})


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file, whole or not at all. Raises CheckpointError if it cannot be written."""
    _write(path, serialised(tensors, metadata=metadata))


def load(path: str | Path) -> Checkpoint:
    """Read a shared file, or the best one of a run folder.

    Raises CheckpointError if there is none, if it is cut short, altered or of a newer format, or if its weights do not
    fit the model that its header describes.
    """
    path = find(path)
    kind = _kind(path)
    if kind != "a checkpoint" and (kind or path.suffix != ".safetensors"):
        raise CheckpointError(f"{path} is {kind or 'no checkpoint'}: {GIVE}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is not a readable checkpoint: it is cut short or altered") from error
    if "wavenet" not in metadata:
        raise CheckpointError(f"{path} is a safetensors file of something else: it has no WaveNet header")
    try:
        header = json.loads(metadata["wavenet"])
        version = header["format_version"]
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path} has format version {version}, this program reads {FORMAT_VERSION}: update it"
            )
        if header["mulaw"] != MULAW:
            raise CheckpointError(
                f"{path} uses another mu-law convention, {header['mulaw']}; this program's is {MULAW}"
            )
        tensors = expanded(tensors)
        for name, tensor in tensors.items():
            if not tensor.is_floating_point() or not tensor.isfinite().all():
                raise ValueError(f"{name} holds {tensor.dtype} that are not all finite floating-point numbers")
        settings(ModelConfig, header["model"], path, "model.")  # checks their names
        for name in header["model"].get("sources", []):
            if name not in SOURCES:
                raise CheckpointError(f"{path} has {unregistered(name)}")
        config, attached = ModelConfig.from_dict(header["model"]), None
        if "attached" in header:
            kind, told = str(header["attached"]["kind"]), header["attached"]["header"]
            theirs = [name for name in tensors if name.startswith(f"{kind}.")]
            attached = Attached(kind, told, {name.removeprefix(f"{kind}."): tensors.pop(name) for name in theirs})
        outline.check_model(config, tensors, WaveNet)
        model = WaveNet(config)
        model.load_state_dict(tensors)
        if model.recognition is not None and "phones" in header:  # older versions stored none
            classes = len(model.config.recognition.classes)
            model.recognition.statistics = PhoneStatistics.from_dict(header["phones"], classes)
        rate, step, bits = header["sample_rate"], header["step"], header["valid_bits"]
        if not (
            type(rate) is int and 0 < rate <= MOST_RATE and type(step) is int and isinstance(bits, float | int | None)
        ):
            raise ValueError(f"sample_rate {rate!r}, step {step!r}, valid_bits {bits!r}")
        data = OLDER | header.get("data", {})
        for name in data:
            if name not in DATA:
                raise _newer(path, f"data.{name}")
        dataclasses.replace(DataConfig(), **data)  # checks their ranges
        scales = tuple((float(unit), int(zero)) for unit, zero in header.get("scales", ()))
        checkpoint = Checkpoint(path, model.eval(), rate, step, bits, data, attached, scales)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RuntimeError, ConfigError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])  # the second line names the tensor
        raise CheckpointError(
            f"{path} has a header that does not fit its weights ({reason}); it was altered"
        ) from error
    return checkpoint


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write what resuming needs: only tensors, numbers and strings. Raises CheckpointError if it cannot be written."""
    buffer = io.BytesIO()  # on a full disk, torch.save into a file reports a line of its own source
    torch.save(state, buffer)
    _write(path, buffer.getbuffer())


def find_state(path: str | Path) -> Path:
    """The training state that `path` means: itself, or the last one in a run folder or its checkpoints."""
    path = Path(path)
    if os.path.isdir(path):
        within = path / "last.state"
        path = within if os.path.isfile(within) else path / "checkpoints" / "last.state"
    if not os.path.isfile(path):
        raise CheckpointError(f"there is no training state at {path}: {RESUME}")
    return path


def load_state(path: str | Path) -> dict[str, Any]:
    """Read a training state, or the last one of a run folder. Raises CheckpointError if it is missing or damaged."""
    path = find_state(path)
    kind = _kind(path)
    if kind not in ("a training state", None):
        raise CheckpointError(f"{path} is {kind}: {RESUME}")
    try:
        state = archive.read(path)
        if state["format_version"] != FORMAT_VERSION:
            raise CheckpointError(
                f"{path} has format version {state['format_version']}, this program reads {FORMAT_VERSION}"
            )
        settings(TrainConfig, state.get("config", {}), path)  # checks their names
        if "config" in state:
            state["config"]["data"] = OLDER | state["config"].get("data", {})
        archive.check_entries(state)
    except CheckpointError:
        raise
    except Exception as error:  # torch.load raises a different class for every kind of damage
        raise CheckpointError(f"{path} is not a readable training state: it is cut short or altered") from error
    return state


def settings(kind: type, stored: dict[str, Any], path: Path, prefix: str = "") -> dict[str, Any]:
    """Dotted names of all settings of a dataclass -> their values in `stored`, made by `dataclasses.asdict`, or their
    defaults if an older version did not store them. Raises CheckpointError for a setting that this version lacks."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        name, factory = field.name, field.default_factory
        if isinstance(factory, type) and dataclasses.is_dataclass(factory):
            found |= settings(factory, stored.get(name, {}), path, f"{prefix}{name}.")
        else:
            found[prefix + name] = stored.get(name, field.default if factory is dataclasses.MISSING else factory())
    for name in stored:
        if name not in {field.name for field in dataclasses.fields(kind)}:
            raise _newer(path, prefix + name)
    return found


def _newer(path: Path, name: str) -> CheckpointError:
    return CheckpointError(f"{path} was written by a newer version, which has a setting {name}; update this program")


def _kind(path: Path) -> str | None:
    """What kind of file this is, by its first bytes; None if unknown."""
    try:
        with open(path, "rb") as file:
            start = file.read(10)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror})") from error
    if start[8:] == b'{"':  # the length of a safetensors header, then the header
        return "a checkpoint"
    return next((kind for beginning, kind in KINDS.items() if start.startswith(beginning)), None)


def _write(path: Path, data: bytes | memoryview) -> None:
    try:
        with atomic(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        reason = error.strerror or error
        resume = ", then resume" if path.with_name("last.state").is_file() else ""
        raise CheckpointError(f"cannot write {path} ({reason}); {remedy(error)} another run.dir{resume}") from error
