"""Exporting a model, and the sound that int8's scales are measured on.

Scales measured on silence clip loud sounds; scales measured without it clip the strong activations of certainty. So the
layers run on loud pieces and a quiet one, from all over what the engine will hear and make:

    given recordings                 the loudest piece of each part of them
    given features                   the loudest pieces that the model makes from those parts that differ most
    nothing, or labels               the loudest pieces that the model makes by itself, after silence
"""

import bisect
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from wavenet.errors import ConfigError
from wavenet.generation import export
from wavenet.generation.compiled import CompiledEngine
from wavenet.generation.conditions import Conditions
from wavenet.generation.engine import compared, heard_rows, projection
from wavenet.generation.streams import CHUNK, stream
from wavenet.model import native, twins
from wavenet.model.compact import compact, expanded, stored
from wavenet.model.conditioning import Companion
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet

PIECES, SAMPLES = 6, 512
"""Number of loud pieces of sound, and samples in each, not counting the receptive field before it."""
MADE = 2048
"""Samples that the model makes, from which a piece is chosen."""
CANDIDATES = 64
"""Places that are tried for each piece, in its part of the recordings or in all the features."""

Piece = tuple[Tensor, Tensor | None]
"""Codes (receptive field + SAMPLES,), and the rows that go with them."""


def exported(
    model: WaveNet,
    sample_rate: int,
    precision: str,
    examples: Sequence[Companion] = (),
    scales: Sequence[export.Scale] = (),
    steerable: bool = False,
) -> bytes:
    """The model as the kernels load it.

    precision: `auto` is int8, which costs 0.001 to 0.003 bits per sample; for mixtures, where int8 costs 0.01 bits, it
    is bfloat16. examples: what int8's scales are measured on: the conditioning of sounds to come, without codes, and
    recordings that will be heard, with codes; by default, what the model makes without conditioning. scales: those that
    `measured` found earlier, in place of measuring. steerable: whether the file holds the model's labels. Raises
    ConfigError for a model whose code does not compute what the kernels do.
    """
    if native.code() is not None and not twins.same(model, "compiled", _kernels):
        raise ConfigError(
            "engine=compiled and exported files have their own copy of the network's equations, and this model's code "
            "computes something else (was a layer edited?): use engine=cached or naive, which run the code itself"
        )
    if precision == "auto":
        precision = "bfloat16" if model.config.mixtures else "int8"
    if precision != "int8":
        return export.pack(model, sample_rate, precision, steerable=steerable)
    examples = examples or (some_labels(model) if steerable else ())
    return export.pack(model, sample_rate, precision, scales or measured(model, examples), steerable)


def some_labels(model: WaveNet) -> list[Companion]:
    """The conditioning of PIECES sounds, without labels and with values from all over each label."""
    known = model.config.labels
    companions = [Companion(torch.zeros(sum(map(len, known.values()))))]
    for i in range(PIECES - 1 if known else 0):
        told = [values[i * max(len(values) // (PIECES - 1), 1) % len(values)] for values in known.values()]
        ones = [value == one for values, one in zip(known.values(), told, strict=True) for value in values]
        companions.append(Companion(torch.tensor(ones, dtype=torch.float32)))
    return companions


def measured(model: WaveNet, examples: Sequence[Companion] = ()) -> list[export.Scale]:
    """int8's scales of a model, measured on these examples: numbers, to be kept with its weights and used again."""
    return export.input_scales(model, *heard(model, examples))


def scales_to_keep(model: WaveNet) -> list[export.Scale]:
    """int8's scales of a model that plays by itself, as a small file rounds its weights; none for one with features, on
    which they depend, with mixtures, which are not int8 by default, or without kernels."""
    config = model.config
    if config.features.kinds or config.sources or config.mixtures or native.code() is None:
        return []
    rounded = WaveNet(config).eval()
    rounded.load_state_dict(expanded(compact(stored(model))))
    return measured(rounded, some_labels(rounded))


def _kernels(model: WaveNet) -> tuple[Tensor, Tensor]:
    engine = CompiledEngine(export.pack(model, 16000, "float32"), condition=projection(model))
    return compared(engine, model)


@torch.inference_mode()
def heard(model: WaveNet, examples: Sequence[Companion] = ()) -> tuple[Tensor, Tensor | None]:
    """Codes (n, receptive field + SAMPLES) that int8's scales are measured on, and the rows that go with them."""
    if not examples:
        examples = [Companion(torch.zeros(len(model.conditioning.names) if model.conditioning else 0))]
    recorded = [e for e in examples if e.samples and e.codes is not None]
    to_come = [e for e in examples if not (e.samples and e.codes is not None)]
    count = PIECES // 2 if recorded and to_come else PIECES
    pieces = _recorded(model, recorded, count) if recorded else []
    pieces += _made(model, _spread(model, to_come, count)) if to_come else []
    codes, rows = zip(*pieces, strict=True)
    return torch.stack(codes), None if model.conditioning is None else torch.stack(rows).cpu()


def _recorded(model: WaveNet, examples: list[Companion], count: int) -> list[Piece]:
    """The loudest piece of each of `count` equal parts of the recordings, laid end to end, and the quietest of all."""
    chosen, quietest = [], (torch.inf, examples[0], 0)
    everywhere = _places(examples, count * CANDIDATES, SAMPLES)
    for part in range(count):
        places = everywhere[part * CANDIDATES :][:CANDIDATES]
        sounds = torch.stack([e.codes(at, at + SAMPLES) for e, at in places])  # type: ignore[misc] (they have codes)
        loudness = _loudness(model, sounds)
        chosen.append(places[int(loudness.argmax())])
        quietest = min(quietest, (float(loudness.min()), *places[int(loudness.argmin())]), key=lambda found: found[0])
    pieces, field = [], model.receptive_field
    for example, start in [*chosen, quietest[1:]]:
        codes = example.codes(start - field, start + SAMPLES)  # type: ignore[misc] (it has them)
        told = (
            None if model.conditioning is None else model.conditioning(example, start - field + 1, start + SAMPLES + 1)
        )
        pieces.append((codes, told))
    return pieces


def _spread(model: WaveNet, examples: list[Companion], count: int) -> list[Companion]:
    """`count` of these in turn; if they have frames, parts of them, each as unlike the earlier ones as can be."""
    hop = model.config.features.hop
    if any(example.frames is None or not example.samples for example in examples):
        return [examples[i % len(examples)] for i in range(count)]
    places = _places(examples, count * CANDIDATES, MADE)
    frames = [e.frames(at // hop, (at + MADE - 1) // hop + 1) for e, at in places]  # type: ignore[misc] (they have them)
    points = torch.stack([part.mean(dim=0) for part in frames])
    points = (points - points.mean(dim=0)) / points.std(dim=0).clamp(min=1e-6)
    chosen = [int(points.norm(dim=1).argmax())]
    nearest = torch.full((len(points),), torch.inf)
    while len(chosen) < count:
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).norm(dim=1))
        chosen.append(int(nearest.argmax()))
    return [_from_sample(*places[i], hop) for i in chosen]


def _made(model: WaveNet, told: list[Companion]) -> list[Piece]:
    """The loudest piece that the model makes for each of these after silence, and the beginning of the first."""
    engine = CompiledEngine(export.pack(model, 16000, "bfloat16"), condition=projection(model))
    field, seeds = engine.receptive_field, list(range(len(told)))
    conditions = None if model.conditioning is None else Conditions(model.conditioning, told)
    rows = None if conditions is None else conditions.begin(torch.empty(0))[:, :1]
    chunks = [torch.full((len(told), field), model.distribution.encoding.zero)]
    all_rows = [] if rows is None else [heard_rows(rows, field)]
    for codes, _, row in stream(engine, max(MADE, SAMPLES), seeds, Sampling(), None, CHUNK, conditions):
        chunks.append(codes.long())
        if row is not None:
            all_rows.append(row.expand(-1, codes.shape[1], -1))
    made, made_rows = torch.cat(chunks, dim=1), torch.cat(all_rows, dim=1) if all_rows else None  # type: ignore[arg-type] (rows)
    starts = range(0, made.shape[1] - field - SAMPLES + 1, max(SAMPLES // 4, 1))
    pieces = []
    for s, codes in enumerate(made):
        sounds = torch.stack([codes[field + start :][:SAMPLES] for start in starts])
        loudest = starts[int(_loudness(model, sounds).argmax())]
        for start in (0, loudest) if s == 0 else (loudest,):
            window = slice(start, start + field + SAMPLES)
            pieces.append((codes[window], None if made_rows is None else made_rows[s, window]))
    return pieces


def _places(examples: list[Companion], count: int, samples: int) -> list[tuple[Companion, int]]:
    """`count` places, spread evenly over the examples laid end to end: the example, and where a piece may begin."""
    ends = list(itertools.accumulate(example.samples for example in examples))
    places = []
    for i in range(count):
        sample = ends[-1] * i // count
        at = bisect.bisect_right(ends, sample)
        example = examples[at]
        start = sample - ends[at] + example.samples
        places.append((example, max(min(start, example.samples - samples), 0)))
    return places


def _from_sample(example: Companion, start: int, hop: int) -> Companion:
    frames, first = example.frames, start // hop
    if frames is None:
        return example
    return example._replace(frames=lambda begin, end: frames(first + begin, first + end))


def _loudness(model: WaveNet, codes: Tensor) -> Tensor:
    """Mean square of sounds (n, samples)."""
    return model.distribution.encoding.decode(codes).square().mean(dim=1)
