"""Exporting a model, and the sound that int8's scales are measured on.

A scale that is measured in silence clips what is loud, so the layers are shown `WINDOWS` pieces of what the engine will
hear and make, from all over it and from where it is loud:

    recordings that are known        the loudest piece of each part of them
    features that sound will follow  pieces whose frames differ most; the model makes the sound
    nothing, or labels               the loudest piece of what the model makes by itself, after silence
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from wavenet import export, native, twins
from wavenet.conditioning import Companion
from wavenet.distributions import Sampling
from wavenet.errors import ConfigError
from wavenet.generation.compiled import CompiledEngine
from wavenet.generation.conditions import Conditions
from wavenet.generation.engine import compared, heard_rows, projection
from wavenet.generation.streams import CHUNK, stream
from wavenet.model import WaveNet

WINDOWS, SAMPLES = 6, 1024
"""Pieces of sound that the layers are shown, and samples in each; the receptive field before it comes on top."""
ALONE = 4096
"""Samples that the model makes by itself, of which a piece is shown."""
CANDIDATES = 64
"""Pieces of each part of the recordings, or of all the features, that are looked at."""


def exported(model: WaveNet, sample_rate: int, precision: str, examples: Sequence[Companion] = ()) -> bytes:
    """The model as the kernels load it.

    precision: `auto` is int8, which costs 0.001 to 0.003 bits per sample; with mixtures, which it costs 0.01, bfloat16.
    examples: what the sound to come will be told, and recordings that will be heard, as far as they are known; int8's
    scales are measured on them. Left out: on what the model makes when it is told nothing. Raises ConfigError for a
    model whose code computes something else than the kernels.
    """
    if native.code() is not None and not twins.same(model, "compiled", _kernels):
        raise ConfigError(
            "engine=compiled, and an exported file, state the network's equations once more, and this model's code "
            "computes something else (was a layer edited?): use engine=cached or naive, which run the code itself"
        )
    if precision == "auto":
        precision = "bfloat16" if model.config.mixtures else "int8"
    if precision != "int8":
        return export.pack(model, sample_rate, precision)
    return export.pack(model, sample_rate, precision, *heard(model, examples))


def _kernels(model: WaveNet) -> tuple[Tensor, Tensor]:
    engine = CompiledEngine(export.pack(model, 16000, "float32"), condition=projection(model))
    return compared(engine, model)


@torch.inference_mode()
def heard(model: WaveNet, examples: Sequence[Companion] = ()) -> tuple[Tensor, Tensor | None]:
    """Codes (WINDOWS, receptive field + SAMPLES) that int8's scales are measured on, and the rows that go with them."""
    if not examples:
        examples = [Companion(torch.zeros(len(model.conditioning.names) if model.conditioning else 0))]
    recorded = [e for e in examples if e.samples and e.codes is not None]
    followed = [e for e in examples if e.samples and e.codes is None and e.frames is not None]
    alone = [e for e in examples if not (e.samples and (e.codes or e.frames))]
    kinds = [(kind, how) for kind, how in ((recorded, _recorded), (followed, _followed), (alone, _alone)) if kind]
    pieces = []
    for i, (kind, how) in enumerate(kinds):
        pieces += how(model, kind, WINDOWS * (i + 1) // len(kinds) - WINDOWS * i // len(kinds))
    codes, rows = zip(*pieces, strict=True)
    return torch.stack(codes), None if model.conditioning is None else torch.stack(rows).cpu()


def _recorded(model: WaveNet, examples: list[Companion], count: int) -> list[tuple[Tensor, Tensor | None]]:
    """The loudest piece of each of `count` equal parts of the recordings, laid end to end."""
    length = sum(example.samples for example in examples)
    pieces, field = [], model.receptive_field
    for part in range(count):
        candidates = [_place(examples, int(length * (part + i / CANDIDATES) / count)) for i in range(CANDIDATES)]
        sounds = [example.codes(start, start + SAMPLES) for example, start in candidates]  # type: ignore[misc] (it has)
        example, start = candidates[int(_loudness(model, torch.stack(sounds)).argmax())]
        codes = example.codes(start - field, start + SAMPLES)  # type: ignore[misc] (it has them)
        told = (
            None if model.conditioning is None else model.conditioning(example, start - field + 1, start + SAMPLES + 1)
        )
        pieces.append((codes, told))
    return pieces


def _followed(model: WaveNet, examples: list[Companion], count: int) -> list[tuple[Tensor, Tensor | None]]:
    """Sound that is made along `count` pieces of the features, each as far as can be from those before it."""
    hop, length = model.config.features.hop, sum(example.samples for example in examples)
    candidates = [_place(examples, length * i // (CANDIDATES * count)) for i in range(CANDIDATES * count)]
    means = [e.frames(s // hop, (s + SAMPLES - 1) // hop + 1).mean(dim=0) for e, s in candidates]  # type: ignore[misc] (they have)
    points = torch.stack(means)
    points = (points - points.mean(dim=0)) / points.std(dim=0).clamp(min=1e-6)
    chosen = [int(points.norm(dim=1).argmax())]
    nearest = torch.full((len(points),), torch.inf)
    while len(chosen) < count:
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).norm(dim=1))
        chosen.append(int(nearest.argmax()))
    told = [_from_sample(*candidates[i], hop) for i in chosen]
    return _made(model, told, SAMPLES)


def _alone(model: WaveNet, examples: list[Companion], count: int) -> list[tuple[Tensor, Tensor | None]]:
    """The loudest piece of each of `count` sounds that begin in silence."""
    pieces, field = [], model.receptive_field
    for codes, rows in _made(model, [examples[i % len(examples)] for i in range(count)], max(ALONE, SAMPLES)):
        starts = torch.arange(field, len(codes) - SAMPLES + 1, max(SAMPLES // 4, 1))
        sounds = torch.stack([codes[start : start + SAMPLES] for start in starts.tolist()])
        start = int(starts[_loudness(model, sounds).argmax()])
        window = slice(start - field, start + SAMPLES)
        pieces.append((codes[window], None if rows is None else rows[window]))
    return pieces


def _made(model: WaveNet, told: list[Companion], samples: int) -> list[tuple[Tensor, Tensor | None]]:
    """What the model makes under each, after a receptive field of silence, and the rows of all of it."""
    engine = CompiledEngine(export.pack(model, 16000, "float32"), condition=projection(model))
    conditions = None if model.conditioning is None else Conditions(model.conditioning, told)
    chunks = [torch.full((len(told), engine.receptive_field), model.distribution.encoding.zero)]
    rows = None if conditions is None else conditions.begin(torch.empty(0))[:, :1]
    all_rows = [] if rows is None else [heard_rows(rows, engine.receptive_field)]
    for codes, _, row in stream(engine, samples, list(range(len(told))), Sampling(), None, CHUNK, conditions):
        chunks.append(codes.long())
        if row is not None:
            all_rows.append(row.expand(-1, codes.shape[1], -1))
    joined = list(torch.cat(all_rows, dim=1)) if all_rows else [None] * len(told)  # type: ignore[arg-type] (rows are there)
    return list(zip(torch.cat(chunks, dim=1), joined, strict=True))


def _place(examples: list[Companion], sample: int) -> tuple[Companion, int]:
    """Which example holds this sample of all laid end to end, and where a piece that ends within it may begin."""
    for example in examples:
        if sample < example.samples:
            return example, max(min(sample, example.samples - SAMPLES), 0)
        sample -= example.samples
    return examples[-1], max(examples[-1].samples - SAMPLES, 0)


def _from_sample(example: Companion, start: int, hop: int) -> Companion:
    frames, first = example.frames, start // hop
    assert frames is not None, "these are followed"
    return example._replace(frames=lambda begin, end: frames(first + begin, first + end))


def _loudness(model: WaveNet, codes: Tensor) -> Tensor:
    """Mean square of sounds (n, samples)."""
    return model.distribution.encoding.decode(codes).square().mean(dim=1)
