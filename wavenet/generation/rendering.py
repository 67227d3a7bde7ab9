"""Writes sounds to files while they are made, watches them, and counts. Needs no torch."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from wavenet import audio
from wavenet.audio import tables
from wavenet.audio.pcm import title
from wavenet.generation.watch import Watch

Pieces = Iterable[tuple[np.ndarray, np.ndarray]]
"""Codes (streams, n) and their bits (streams, n), one after another."""


class Playable(Protocol):
    """An engine, as far as it is shown."""

    name: str
    precision: str
    device: Any
    """A torch.device, but "cpu" of what needs no torch."""


class Prepared(Protocol):
    """Streams that are ready to start."""

    @property
    def engine(self) -> Playable: ...
    @property
    def samples(self) -> int:
        """Of each stream."""
        ...

    @property
    def seeds(self) -> list[int]: ...
    @property
    def levels(self) -> int:
        """How many codes there are."""
        ...

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]: ...


def sound(made: Prepared) -> Iterator[np.ndarray]:
    """Sound (streams, n) in [-1, 1], float32, as it is made."""
    for codes, _ in made.pieces():
        yield tables.amplitudes(made.levels)[codes]


@dataclass(frozen=True)
class Rendering:
    """The files that were written, and what was measured on the way."""

    files: list[Path]
    samples: int
    """In all files together, without `before`."""
    seconds_taken: float
    bits_per_sample: float
    """Bits of the sound made, under the model itself, without temperature or guidance."""
    warnings: list[str]
    finished: bool
    """False if generation was interrupted; the files then hold the sound up to that point."""


def write(
    pieces: Pieces,
    levels: int,
    sample_rate: int,
    paths: list[Path],
    progress: Callable[[int], None] | None = None,
    before: Iterable[np.ndarray] = (),
    heard: Callable[[np.ndarray], None] | None = None,
) -> Rendering:
    """Write one .wav or .flac per stream, as it is made; Ctrl-C ends it with valid files.

    levels: how many codes there are. `before`, pieces (n,) of sound in [-1, 1], comes first in every file and is not
    counted. `progress` is called with the number of samples in each file, and `heard` with each piece (n,) of the first
    sound. Raises AudioError if a file cannot be written.
    """
    watches = [Watch(sample_rate) for _ in paths]
    amplitudes, mulaw = tables.amplitudes(levels), tables.mulaw_codes(levels)
    total_bits, made, finished = 0.0, 0, False
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(audio.Writer(path, sample_rate)) for path in paths]
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        for piece in before:
            for writer in writers:
                writer.write(piece)
            if heard:
                heard(piece)
        for codes, bits in pieces:
            for writer, watch, stream, stream_bits in zip(writers, watches, codes, bits, strict=True):
                writer.write(amplitudes[stream])
                watch.hear(mulaw[stream], stream_bits)
            if heard:
                heard(amplitudes[codes[0]])
            total_bits += float(bits.sum(dtype=np.float64))
            made += codes.size
            if progress:
                progress(made // len(paths))
        finished = True
    taken = time.perf_counter() - began
    warnings = [
        f"{title(Path(path.name))}: {line}"
        for path, watch in zip(paths, watches, strict=True)
        for line in watch.warnings
    ]
    return Rendering(paths, made, taken, total_bits / max(made, 1), warnings, finished)
