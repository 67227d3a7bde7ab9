"""Starting from another network (`init=`): its weights alone are taken over, and what it lacked begins as if absent.

    settled    before the recordings are read: the shape is the old network's
    take_over  once the new network is made: the weights

The optimizer, the average and the schedule begin anew. A part that the old network lacked adds nothing at first, so
that the first loss is the old network's: a new label's embedding is zero, or else the new projections of all
conditioning are, and so is the last layer of new features and context stacks. Of two new factors only one is zero:
otherwise neither would learn.
"""

import dataclasses
from collections.abc import Collection
from typing import Any, NamedTuple

import torch
from torch import nn

from wavenet.config import DataConfig, ModelConfig, TrainConfig, build
from wavenet.errors import ConfigError, some
from wavenet.files import expanded
from wavenet.model import checkpoint
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.conditioning import ContextStack, Upsample
from wavenet.model.wavenet import WaveNet
from wavenet.speech import storing
from wavenet.speech.acoustic import AcousticModel

SIZES = ("stacks", "layers_per_stack", "residual_channels", "gate_channels", "skip_channels", "head_channels")
"""Settings of ModelConfig that a preset sets, such as `model=base`."""
SHAPE = (*SIZES, "dilations", "kernel_size", "input", "mixtures", "initial_filter", "bias")
"""Settings of ModelConfig that the weights of a network's layers depend on."""
ACOUSTIC_SHAPE = ("channels", "encoder_layers", "decoder_layers", "kernel_size", "frames_per_step")
"""The same of AcousticConfig."""


def load(config: TrainConfig) -> Checkpoint | None:
    """The network that a new run starts from, None for a resumed run, which has its own weights, and without `init`.

    Raises CheckpointError if it cannot be read.
    """
    return None if config.init is None or config.resume is not None else checkpoint.load(expanded(config.init))


def settled(config: TrainConfig, given: Collection[str]) -> TrainConfig:
    """The settings of a run that `config.init` begins: the old network's shape, and its sample rate unless another is
    set.

    given: names of the settings that the user gave. Of what an experiment sets, only the size gives way to the old
    network's. Raises ConfigError for a given shape that does not fit, naming both values, and CheckpointError for a
    network that cannot be read.
    """
    initial = checkpoint.load(expanded(config.init or ""))
    theirs = checkpoint.settings(ModelConfig, initial.model.config.shape(), initial.path, "model.")
    defaults = checkpoint.settings(ModelConfig, {}, initial.path, "model.")
    ours = checkpoint.settings(TrainConfig, dataclasses.asdict(config), initial.path)
    for name in _inherited(initial.model.config, config.model, given):
        size = name.removeprefix("model.") in SIZES
        ways = [name, *(["model"] if size else ["experiment"] if ours[name] != defaults[name] else [])]
        by = next((way for way in ways if way in given), None)
        if by is not None and ours[name] != theirs[name]:
            raise ConfigError(
                f"{name} is {_shown(ours[name])}, but {_shown(theirs[name])} in {config.init}, where init= starts: "
                f"leave {by}= out, or init="
            )
        ours[name] = theirs[name]
    if config.task == "speech" and initial.attached is not None:
        acoustic = initial.attached.header.get("acoustic", {})
        for name in (f"acoustic.{name}" for name in ACOUSTIC_SHAPE):
            if name not in given:
                ours[name] = acoustic.get(name.removeprefix("acoustic."), ours[name])
    if "data.sample_rate" not in given and config.data.sample_rate == DataConfig.sample_rate:
        ours["data.sample_rate"] = initial.sample_rate
    return build(TrainConfig, ours)


def _inherited(theirs: ModelConfig, ours: ModelConfig, given: Collection[str]) -> list[str]:
    """The settings that a new network takes from the old one: its shape, and that of the conditioning that it has. A
    kind of conditioning that is given as empty, such as model.features.kinds=[], is left behind."""
    names = [f"model.{name}" for name in SHAPE] + ["model.condition_channels"] * theirs.conditioned
    for section, kinds in (("features", "kinds"), ("context", "pools")):
        dropped = f"model.{section}.{kinds}" in given and not getattr(getattr(ours, section), kinds)
        if getattr(getattr(theirs, section), kinds) and not dropped:
            fields = dataclasses.fields(getattr(theirs, section))
            names += [f"model.{section}.{field.name}" for field in fields if field.name != "columns"]
    if theirs.sources and "model.sources" not in given:
        names.append("model.sources")
    return names


def _shown(value: Any) -> str:
    return "left out" if value is None else f"{value}"


@torch.no_grad()
def take_over(model: WaveNet, initial: Checkpoint, sample_rate: int) -> list[str]:
    """Give a new network the weights of an old one; what only the new one has begins as if absent. Returns lines that
    say what was taken.

    sample_rate: Hz, of the new network. Raises ConfigError if their shapes differ.
    """
    old, both = initial.model, model.config.conditioned and initial.model.config.conditioned
    for name in (*SHAPE, *(["condition_channels"] if both else [])):
        ours, theirs = getattr(model.config, name), getattr(old.config, name)
        if ours != theirs:
            raise ConfigError(
                f"model.{name} is {_shown(ours)}, but {_shown(theirs)} in {initial.path}, where init= starts"
            )
    for block in model.blocks if not both else []:
        if block.condition is not None:
            nn.init.zeros_(block.condition.weight)
    kept = model.state_dict().keys()
    shared = {name: tensor for name, tensor in old.state_dict().items() if name in kept and not name.startswith(PARTS)}
    model.load_state_dict(shared, strict=False)
    ours, theirs = _parts(model), _parts(old)
    same = {name for name, part in ours.items() if name in theirs and part.settings == theirs[name].settings}
    for name, part in ours.items():
        if name in same:
            part.module.load_state_dict(theirs[name].module.state_dict())
        elif both:
            _silence(part.module)
    names, known = _label_places(model.config), _label_places(old.config)
    for name, place in names.items():
        row = model.conditioning.labels[place]  # type: ignore[index] (there are names)
        if name in known:
            row.copy_(old.conditioning.labels[known[name]])  # type: ignore[index]
        elif both:
            row.zero_()
    new = [*(ours.keys() - same), *(names.keys() - known.keys())]
    left = [*(theirs.keys() - same), *(known.keys() - names.keys())]
    lines = [f"starting from the weights of {initial.path}, step {initial.step}"]
    if sample_rate != initial.sample_rate:
        lines.append(
            f"warning: these were trained at {initial.sample_rate} Hz, and this run is at {sample_rate} Hz: their "
            f"pitch and speed are off by a factor of {sample_rate / initial.sample_rate:.3g} at first"
        )
    return lines + _changes(new, left)


@torch.no_grad()
def take_over_acoustic(
    model: AcousticModel, config: ModelConfig, front_end: dict[str, Any], initial: Checkpoint
) -> list[str]:
    """Give a new acoustic model the weights of that of a voice, if it has one that fits; units and labels that only the
    new one has begin at zero. Returns lines that say what was taken, or why nothing was.

    The mean and scale stay those of the new recordings: a new reader's pitch is no fault to be unlearned. config: of
    the new vocoder, for its labels. front_end: what reads the new texts.
    """
    anew = f"the acoustic model begins anew: {initial.path}"
    if initial.attached is None:
        return [f"{anew} holds none"]
    old = storing.of_voice(initial)
    kinds = front_end["kind"], old.front_end["kind"]
    if kinds[0] != kinds[1]:
        return [f"{anew} reads texts by {kinds[1]}, and this run by {kinds[0]}"]
    for name in ACOUSTIC_SHAPE:
        ours, theirs = getattr(model.config, name), getattr(old.model.config, name)
        if ours != theirs:
            return [f"{anew} has acoustic.{name}={theirs}, and this run {ours}"]
    if model.mels != old.model.mels:
        return [f"{anew} makes {old.model.mels} mel bands, and this run {model.mels}"]
    rest = old.model.state_dict()
    tables = [(model.embedding.weight, rest.pop("embedding.weight"), model.numbers, old.model.numbers)]
    labels = rest.pop("labels", torch.empty(0))
    if model.labels is not None:
        tables.append((model.labels, labels, _label_places(config), _label_places(initial.model.config)))
    model.load_state_dict({name: rest[name] for name in rest if name not in ("mean", "scale")}, strict=False)
    new, left = set(), set()
    for table, theirs, names, known in tables:
        for name, place in names.items():
            table[place] = theirs[known[name]] if name in known else 0
        new |= names.keys() - known.keys()
        left |= known.keys() - names.keys()
    return [f"the acoustic model starts from the weights of {initial.path}, step {old.step}", *_changes(new, left)]


def _changes(new: Collection[str], left: Collection[str]) -> list[str]:
    """What a network has that the old one lacked, and the other way round, in lines."""
    lines = [f"new here: {some(sorted(new), 8)}"] if new else []
    return lines + ([f"not taken over: {some(sorted(left), 8)}"] if left else [])


class Part(NamedTuple):
    """A part that one network may have and another lack."""

    module: nn.Module
    settings: Any
    """Two parts of the same name fit each other if these are equal."""


PARTS = ("conditioning.", "recognition.")
"""Beginnings of the names of their weights, and of those of labels."""


def _parts(model: WaveNet) -> dict[str, Part]:
    """What a network has besides its layers and labels, by names for the user."""
    config, found = model.config, {}
    if model.recognition is not None:
        found["recognition"] = Part(model.recognition, dataclasses.replace(config.recognition, weight=1))
    if (conditioning := model.conditioning) is not None:
        if conditioning.features is not None:
            found["features"] = Part(conditioning.features, config.features)
        for stack in conditioning.context:
            shape = config.context.layers, config.context.channels
            found[f"context stack of {stack.pool} samples"] = Part(stack, shape)
        for name, source in conditioning.sources.items():
            found[f"source {name}"] = Part(source, {key: value.shape for key, value in source.state_dict().items()})
    return found


def _silence(part: nn.Module) -> None:
    """Let a new part of a conditioning add nothing at first."""
    last = part.mix if isinstance(part, Upsample) else part.leave if isinstance(part, ContextStack) else None
    if last is not None:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type] (it has one)


def _label_places(config: ModelConfig) -> dict[str, int]:
    """The label values of a network, "speaker=june", and their places."""
    names = [f"{label}={value}" for label, values in config.labels.items() for value in values]
    return {name: place for place, name in enumerate(names)}
