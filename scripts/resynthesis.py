"""Held-out recordings, and what is made of their own features: the sounds that scripts/speech.py compares."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import griffin_lim
import torch
from torch import Tensor

from wavenet import audio
from wavenet.audio.encodings import MULAW, encoding_of
from wavenet.config import DataConfig, FeatureConfig
from wavenet.files import expanded
from wavenet.generation import Conditions, generate, make_engine
from wavenet.model import checkpoint
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.conditioning import Companion
from wavenet.model.distributions import Sampling
from wavenet.recordings import metadata
from wavenet.recordings.annotations import Annotations
from wavenet.recordings.preparation import Prepared, prepare
from wavenet.recordings.split import Span, split


@dataclass
class Utterance:
    """A sound, with what was meant to be said and the recording of it, if known."""

    name: str
    """Path of the recording below its folder, without extension."""
    sound: Tensor
    """(n,)"""
    text: str = ""
    recording: Tensor | None = None
    """(n,), at the same rate."""


@dataclass
class Contest:
    """Sets of sounds to be measured side by side."""

    sets: dict[str, list[Utterance]]
    rate: int
    """Hz"""
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What else is known of a set, such as how fast it was made."""
    pronounce: Callable[[str], list[str]] | None = None
    """The phones of a text in the language that is spoken; None for English."""


def vocoder(options: dict[str, str]) -> Contest:
    """Held-out recordings, their codes and, with checkpoints, what Griffin-Lim and each model make of the features."""
    models = [checkpoint.load(expanded(path)) for path in options["checkpoint"].split(",") if path]
    data, encoding = DataConfig(dir=options["data.dir"]), MULAW
    if models:
        _check(models)
        labels, encoding = list(models[0].model.config.labels), models[0].model.distribution.encoding
        data = DataConfig(dir=data.dir, sample_rate=models[0].sample_rate, labels=labels, **models[0].data)
    prepared = prepare(data, encoding=encoding)
    spans = split(prepared, data).valid[: int(options["count"])]
    recordings = [_recording(prepared, span, data) for span in spans]
    contest = Contest({"recordings": recordings}, data.sample_rate)

    def enter(name: str, made: list[Tensor], **facts: Any) -> None:
        pairs = zip(recordings, made, strict=True)
        contest.sets[name] = [Utterance(r.name, sound, r.text, r.recording) for r, sound in pairs]
        contest.facts[name] = facts

    enter("their codes", [_decoded(prepared, span) for span in spans])
    if models:
        known = Annotations(prepared, models[0].model.config, split_by=data.split_by)
        # without codes: a model with a context stack hears its own sounds
        told = [known.companion(span.recording, span.start - span.origin)._replace(codes=None) for span in spans]
        makers = {f"model, step {loaded.step}": (by_model, loaded) for loaded in models}
        if "mel" in models[0].model.config.features.kinds:
            makers = {"Griffin-Lim": (by_griffin_lim, models[0]), **makers}
        for name, (make, loaded) in makers.items():
            began = time.perf_counter()
            made = make(loaded, told, [span.samples for span in spans], options)
            speed = sum(map(len, made)) / (time.perf_counter() - began)
            enter(name, made, samples_per_second=speed, valid_bits=loaded.valid_bits if make is by_model else None)
    if options["output"]:
        keep(contest, expanded(options["output"]))
    return contest


def _check(models: list[Checkpoint]) -> None:
    """End the command for models that cannot be compared on the same frames of whole recordings."""
    for loaded in models:
        if not loaded.model.config.features.kinds:
            sys.exit(f"error: {loaded.path} was trained without features: train with experiment=vocoder")
        if loaded.data.get("trim_silence_db") is not None:
            sys.exit(f"error: {loaded.path} was trained with data.trim_silence_db, so it fits no whole recording")
        if (loaded.model.config.features, loaded.sample_rate) != (
            models[0].model.config.features,
            models[0].sample_rate,
        ):
            sys.exit(f"error: {loaded.path} has other features than {models[0].path}: measure them apart")
    if len({loaded.step for loaded in models}) < len(models):
        sys.exit("error: several checkpoints are compared by their steps, but some have the same: measure them apart")


def _recording(prepared: Prepared, span: Span, data: DataConfig) -> Utterance:
    """A held-out recording as it was read, with its text if all of it is held out."""
    name = prepared.recordings[span.recording].name
    text = metadata.read(prepared, ["text"]).column("text").get(name, "")
    natural = audio.read(prepared.folder / name, data.sample_rate, data.channel, data.normalise)
    natural = natural[span.start - span.origin :][: span.samples]
    whole = span.start == span.origin and span.ends
    return Utterance(str(Path(name).with_suffix("")), natural, text if whole else "", natural)


def _decoded(prepared: Prepared, span: Span) -> Tensor:
    codes = torch.from_numpy(prepared.codes[span.start : span.stop].astype("int64"))
    return encoding_of(prepared.codes).decode(codes)


def by_model(loaded: Checkpoint, told: list[Companion], samples: list[int], options: dict[str, str]) -> list[Tensor]:
    """What the compiled engine makes, one sound after the other; sound i has seed + i."""
    conditioning, made = loaded.model.conditioning, []
    assert conditioning is not None, "it has features"
    how = {"threads": int(options["threads"]), "sample_rate": loaded.sample_rate, "examples": told}
    engine = make_engine("compiled", loaded.model, options["precision"], **how)
    sampling = Sampling(float(options["temperature"]))
    for number, companion in enumerate(told):
        conditions, seeds = Conditions(conditioning, [companion]), [int(options["seed"]) + number]
        codes = [chunk[0] for chunk, _ in generate(engine, samples[number], seeds, sampling, conditions=conditions)]
        made.append(engine.distribution.encoding.decode(torch.cat(codes)))
    return made


def by_griffin_lim(
    loaded: Checkpoint, told: list[Companion], samples: list[int], options: dict[str, str]
) -> list[Tensor]:
    """What Griffin-Lim makes of the mel spectrum among the features; sound i has seed + i."""
    config, made = loaded.model.config.features, []
    before = FeatureConfig(kinds=config.kinds[: config.kinds.index("mel")], mels=config.mels)
    for number, companion in enumerate(told):
        assert companion.frames is not None, "it has features"
        frames = companion.frames(0, -(-samples[number] // config.hop))
        mel = frames[:, before.channels :][:, : config.mels]
        seed = int(options["seed"]) + number
        made.append(griffin_lim.sound(mel, config, loaded.sample_rate, samples[number], seed))
    return made


def keep(contest: Contest, folder: Path) -> None:
    for name, utterances in contest.sets.items():
        for utterance in utterances:
            path = folder / name.replace(",", "").replace(" ", "-") / f"{utterance.name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, utterance.sound, contest.rate)
