"""Files of acoustic models: one alone, as it is trained, and one beside its vocoder, as a voice that speaks.

Both are safetensors files. A voice is the vocoder's checkpoint (see `wavenet.model.checkpoint`) with the acoustic
model's weights under names that begin with `speech.`, and its description in the header, as `attached`.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wavenet.config import AcousticConfig, DataConfig
from wavenet.errors import CheckpointError, ConfigError
from wavenet.generation.export import Scale
from wavenet.model import checkpoint, outline
from wavenet.model.compact import stored
from wavenet.speech.acoustic import PROSODY, AcousticModel

HEADER = "speech"
"""Name of the header's entry."""


class Acoustic(NamedTuple):
    """An acoustic model on the CPU, in float32 and evaluation mode, and what reads texts for it."""

    model: AcousticModel
    front_end: dict[str, Any]
    """As `FrontEnd.stored` returns it."""
    example: list[str]
    """The units of a text of some seconds, on which the scales of an int8 engine are measured."""
    step: int
    scales: list[Scale] = []  # noqa: RUF012 (a NamedTuple's default, never changed)
    """The vocoder's int8 scales, measured on the example; empty if they have to be measured."""


def header(acoustic: Acoustic) -> dict[str, Any]:
    """All that is needed, besides the weights, to use an acoustic model, as JSON holds it."""
    model = acoustic.model
    labels = 0 if model.labels is None else len(model.labels)
    shape = {"acoustic": dataclasses.asdict(model.config), "units": model.units, "mels": model.mels, "labels": labels}
    rest = {"front_end": acoustic.front_end, "example": acoustic.example, "step": acoustic.step}
    rest |= {"scales": acoustic.scales} if acoustic.scales else {}
    return shape | rest


def save_acoustic(path: Path, acoustic: Acoustic) -> None:
    """Write an acoustic model alone. Raises CheckpointError if it cannot be written."""
    checkpoint.write(path, stored(acoustic.model), {HEADER: json.dumps(header(acoustic))})


def load_acoustic(path: Path) -> Acoustic:
    """Read what `save_acoustic` wrote. Raises CheckpointError if it is missing, cut short or altered."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a readable acoustic model: it is missing, cut short or altered"
        ) from error
    if HEADER not in metadata:
        raise CheckpointError(f"{path} is a safetensors file of something else: it holds no acoustic model")
    try:
        told = json.loads(metadata[HEADER])
    except ValueError as error:
        raise CheckpointError(f"{path} holds no readable description of an acoustic model; it was altered") from error
    return restored(path, told, tensors)


def save_voice(path: Path, vocoder: checkpoint.Checkpoint, acoustic: Acoustic, small: bool = False) -> None:
    """Write a voice: a vocoder and its acoustic model in one file; a `small` one keeps its matrices in int8. Raises
    CheckpointError if it cannot be written."""
    attached = checkpoint.Attached(HEADER, header(acoustic), stored(acoustic.model))
    data = dataclasses.replace(DataConfig(), **vocoder.data)
    checkpoint.save(path, vocoder.model, vocoder.sample_rate, vocoder.step, vocoder.valid_bits, data, attached, small)


def of_voice(voice: checkpoint.Checkpoint) -> Acoustic:
    """The acoustic model of a voice. Raises CheckpointError if it has none, or one that does not fit its vocoder."""
    if voice.attached is None or voice.attached.kind != HEADER:
        raise CheckpointError(
            f"{voice.path} cannot speak: it holds no acoustic model. wavenet-train experiment=speech trains a voice "
            "that speaks"
        )
    acoustic = restored(voice.path, voice.attached.header, voice.attached.tensors)
    features, labels = voice.model.config.features, sum(map(len, voice.model.config.labels.values()))
    model = acoustic.model
    ours = (model.mels + PROSODY, 0 if model.labels is None else len(model.labels))
    if ours != (features.channels, labels):
        raise CheckpointError(
            f"{voice.path}: its acoustic model makes frames of {ours[0]} numbers for {ours[1]} label values, but its "
            f"vocoder takes {features.channels} for {labels}; it was altered"
        )
    return acoustic


def restored(path: Path, told: dict[str, Any], tensors: dict[str, Tensor]) -> Acoustic:
    """The acoustic model that a header and weights describe. Raises CheckpointError, naming the file, if they do not
    fit."""
    try:
        checkpoint.settings(AcousticConfig, told["acoustic"], path, "acoustic.")  # checks their names
        config = AcousticConfig(**told["acoustic"])

        def make() -> AcousticModel:
            return AcousticModel(config, told["units"], told["mels"], told["labels"])

        outline.check_count(config.encoder_layers + config.decoder_layers, tensors)
        outline.check_outline(make, tensors)
        with torch.random.fork_rng(devices=[]):
            model = make()
        model.load_state_dict(tensors)
        front_end, example, step = told["front_end"], told["example"], told["step"]
        if not example or set(example) - set(model.units):
            raise ValueError("its example has units that it does not know")
        scales = [(float(unit), int(zero)) for unit, zero in told.get("scales", [])]
        return Acoustic(model.eval().requires_grad_(False), front_end, example, step, scales)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, ConfigError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise CheckpointError(
            f"{path} describes an acoustic model that does not fit its weights ({reason}); it was altered"
        ) from error
