"""wavenet-generate: a checkpoint in, WAV or FLAC files out."""

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wavenet import audio
from wavenet.audio import features
from wavenet.audio.encodings import Encoding
from wavenet.audio.levels import Signal
from wavenet.audio.pcm import RAW
from wavenet.cli.display import Display, check_report, takes_stdout, write_report
from wavenet.cli.jobs.common import check_folder, choose_labels
from wavenet.config import FeatureConfig, GenerateConfig
from wavenet.errors import AudioError, CheckpointError, ConfigError
from wavenet.evaluation import fidelity
from wavenet.files import expanded, is_stdout, streamed
from wavenet.generation import CompiledEngine, Conditions, Engine, make_engine, render
from wavenet.generation.export import is_exported
from wavenet.model import checkpoint, native
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.conditioning import Companion
from wavenet.model.device import find_device
from wavenet.model.distributions import Sampling
from wavenet.recordings import annotations

DEFAULT_SECONDS = 5.0
HEARD_SECONDS = 60
"""Of a prime, at its end, that int8's scales are measured on."""
SPARE_FILES = 64
"""Open files that a program needs besides the sounds that it writes."""


def job(config: GenerateConfig) -> None:
    seeds = [config.seed + i for i in range(config.count)]
    output = expanded(config.output)
    single, to_stderr = check_output(output, config.count), takes_stdout(config.output, config.report)
    stream = output == RAW or streamed(output)
    sampling = Sampling(config.temperature, config.top_k, config.top_p, config.guidance)
    engine, where, conditions, length, ear = load_engine(config, sampling)
    rate = engine.sample_rate
    encoding = engine.distribution.encoding
    spans = [] if conditions is None else [stack.span for stack in conditions.conditioning.context]
    prime = read_prime(config.prime, ear, max([engine.receptive_field, *spans]), encoding)
    if config.keep_prime and config.prime is None:
        raise ConfigError("keep_prime is true, but there is no prime to keep: give prime=recording.wav")
    before, kept = (), 0
    if config.prime is not None and config.keep_prime:
        kept = round(audio.probe(expanded(config.prime)).seconds * rate)
        before = ear.blocks("prime", expanded(config.prime))
    check_report(config.report)
    if config.seconds is not None:
        length = max(round(config.seconds * rate), 1)
    samples = length or round(DEFAULT_SECONDS * rate)
    whole = samples + kept
    if whole > audio.WAV_SAMPLES and not stream and (not single or output.suffix.lower() == ".wav"):
        raise ConfigError(
            f"{whole / rate:g} seconds are asked for, but a WAV file holds at most {audio.WAV_SAMPLES // rate} at "
            f"{rate} Hz: name a .flac file as output, or give fewer seconds"
        )
    with (
        Display(to_stderr) as display,
        contextlib.nullcontext([output]) if single else new_files(output, seeds) as paths,
    ):
        display.say(f"{where}; {rate} Hz; engine {engine.name}, {engine.precision}")
        for line in ear.said:
            display.say(line)
        if config.engine == "auto" and engine.name != "compiled" and engine.device.type == "cpu":
            reason = native.missing or "this model's code computes something else (was a layer edited?)"
            display.say(f"engine=compiled, many times faster, cannot be used: {reason}")
        if output == RAW:
            display.say(f"bare samples, 16 bits, little-endian, one channel: aplay -f S16_LE -r {rate} takes them")
        began = time.perf_counter()
        made = render(
            engine,
            rate,
            paths,
            samples,
            seeds,
            sampling,
            prime,
            lambda done: display.generating(done, samples, time.perf_counter() - began, rate),
            conditions,
            before,
        )
        speed = made.samples / made.seconds_taken
        for path in made.files:
            display.say("wrote to the standard output" if path == RAW else f"wrote {path}")
        if config.prime is not None and not config.keep_prime:
            display.say("it begins where the prime ends; keep_prime=true puts the prime in front")
        change = "another seed, a lower temperature" if config.temperature else "a temperature above 0"
        for warning in made.warnings:
            display.say(f"warning: {warning}; try {change}, a prime, or more training")
        display.say(
            f"{made.samples / rate:.1f} s of audio, {speed:,.0f} samples/s = {speed / rate:.2f} x real time, "
            f"{made.bits_per_sample:.2f} bits per sample"
        )
        nearness = {}
        if config.features is not None and not config.features.endswith(".npy") and made.finished and not stream:
            nearness = _compare(config.features, made.files[0], ear, encoding, display)
        write_report(
            config.report,
            {
                "files": [str(path) for path in made.files],
                "sample_rate": rate,
                "samples_per_second": speed,
                "realtime_factor": speed / rate,
                "bits_per_sample": made.bits_per_sample,
                "engine": engine.name,
                "precision": engine.precision,
                "warnings": made.warnings,
                **nearness,
            },
        )
    if not made.finished:
        raise KeyboardInterrupt


def _compare(features: str, made: Path, ear: "Ear", encoding: Encoding, display: Display) -> dict[str, float | None]:
    """How near the first sound made is to the recording that it follows."""
    recording = encoding.decode(encoding.encode(torch.cat(list(ear.blocks("features", expanded(features))))))
    found = fidelity.compare(recording, audio.read(made, ear.sample_rate), ear.sample_rate)
    words = [f"{fidelity.words(name)}: {value:.3g}" for name, value in found.items() if value is not None]
    display.say(f"against {features}: {'; '.join(words)}")
    return found


class Ear:
    """Reads the recordings that settings name as those of training were read. `said` is what is to be said of them."""

    def __init__(self, sample_rate: int, data: dict[str, Any]) -> None:
        self.sample_rate = sample_rate
        self.channel, self.normalise = data.get("channel", "mix"), data.get("normalise", "off")
        self.said: list[str] = []

    def blocks(self, setting: str, path: Path) -> Iterator[torch.Tensor]:
        """(samples,) of audio, piece by piece. Raises AudioError, with the setting that named the recording."""
        signal = Signal()
        try:
            yield from audio.blocks(path, self.sample_rate, self.channel, self.normalise, signal)
        except AudioError as error:
            raise AudioError(f"{setting}: {error}") from error
        if signal.damage:
            self.said.append(f"{setting}: {path} is damaged or cut short, the rest is used: {signal.damage}")


def load_engine(config: GenerateConfig, sampling: Sampling) -> tuple[Engine, str, Conditions | None, int | None, Ear]:
    """The engine that the settings ask for; in words what it runs, a checkpoint or an exported network; what it is
    told; for how many samples its features last; and what reads recordings for it."""
    path = expanded(config.checkpoint)
    if is_exported(path):
        if config.label or config.features or config.guidance != 1:
            raise ConfigError(f"{path} is an exported network, which is told nothing: give label.* to wavenet-export")
        if config.engine not in ("auto", "compiled"):
            raise ConfigError(f"engine is {config.engine!r}, but {path} is an exported network: only compiled runs it")
        try:
            engine = CompiledEngine(path.read_bytes(), config.instruction_set, config.threads)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        if config.precision not in ("auto", engine.precision):
            raise ConfigError(f"precision is {config.precision!r}, but {path} was exported in {engine.precision}")
        engine.distribution.check(sampling)
        return engine, str(path), None, None, Ear(engine.sample_rate, {})
    loaded = checkpoint.load(path)
    loaded.model.distribution.check(sampling)
    model = loaded.model.to(find_device(config.device))
    ear = Ear(loaded.sample_rate, loaded.data)
    conditions, length = steer(config, loaded, ear)
    examples = _examples(config, loaded, conditions)
    how = (config.precision, config.instruction_set, config.threads, loaded.sample_rate, examples, config.count)
    engine = make_engine(config.engine, model, *how)
    if engine.name != "compiled":
        torch.set_num_threads(config.threads or 1)  # a step is many small products: a second thread only waits
    bits = "" if loaded.valid_bits is None else f", {loaded.valid_bits:.3f} bits per sample held out"
    return engine, f"{loaded.path}: step {loaded.step}{bits}", conditions, length, ear


def steer(config: GenerateConfig, loaded: Checkpoint, ear: Ear) -> tuple[Conditions | None, int | None]:
    """What the settings tell the model, once per stream, and for how many samples its features last."""
    conditioning, known = loaded.model.conditioning, loaded.model.config
    labels = choose_labels(config.label, known.labels)
    if config.guidance != 1 and not known.labels:
        raise ConfigError(f"guidance follows labels, and {loaded.path} was trained without any: leave it out")
    if config.guidance != 1 and not config.label:
        label = next(iter(known.labels))
        raise ConfigError(f"guidance is {config.guidance:g}, but no label is chosen: give label.{label}=...")
    if config.features is None and known.features.kinds:
        raise ConfigError(f"{loaded.path} follows {' and '.join(known.features.kinds)}: give features=recording.wav")
    frames, length = None, None
    if config.features is not None:
        if not known.features.kinds:
            raise ConfigError(f"features is given, but {loaded.path} was trained without: leave it out")
        if config.prime is not None:
            raise ConfigError("prime and features cannot be combined: the features begin where the sound begins")
        encoding = loaded.model.distribution.encoding
        rows = read_features(expanded(config.features), known.features, ear, encoding)
        frames, length = annotations.clamped(rows), len(rows) * known.features.hop
    if conditioning is None:
        return None, None
    told = Companion(labels, frames, samples=length or 0)
    return Conditions(conditioning, [told] * config.count, guided=config.guidance != 1), length


def _examples(config: GenerateConfig, loaded: Checkpoint, conditions: Conditions | None) -> list[Companion]:
    """What the engine will make and hear: what is told of every sound, and the prime."""
    told = Companion(torch.empty(0)) if conditions is None else conditions.companions[0]
    if config.prime is None:
        return [told]
    encoding = loaded.model.distribution.encoding
    prime = read_prime(config.prime, Ear(loaded.sample_rate, loaded.data), HEARD_SECONDS * loaded.sample_rate, encoding)
    assert prime is not None, "its file is named"
    codes = annotations.after_silence(prime.numpy().astype(encoding.stored))
    return [told, told._replace(codes=codes, samples=len(prime))]


def read_features(path: Path, config: FeatureConfig, ear: Ear, encoding: Encoding) -> np.ndarray:
    """Frames (n, channels), one a hop, of a recording, or of an array that holds them as training was given them."""
    if path.suffix == ".npy":
        rows = features.load(path)
        if rows.shape[1] != config.channels:
            raise ConfigError(f"features: {path} has {rows.shape[1]} numbers in a row, the model {config.channels}")
        if set(config.kinds) == {"file"} and config.frame_rate:
            rows_per_hop = config.frame_rate * config.hop / ear.sample_rate
            return features.at_hops(rows, max(round(len(rows) / rows_per_hop), 1), rows_per_hop).astype(np.float32)
        return rows
    codes = [encoding.encode(block) for block in ear.blocks("features", path)]
    if not sum(map(len, codes)):
        raise AudioError(f"features: {path} holds no samples")
    return features.frames(torch.cat(codes).numpy().astype(encoding.stored), config, ear.sample_rate, path)


def check_output(output: Path, count: int) -> bool:
    """Whether `output` is one place for a sound, by its name or because it is a pipe or "-", and not a folder.

    Raises ConfigError for one that cannot be written.
    """
    stream, kind = output == RAW or streamed(output), output.suffix.lower()
    single = stream or (kind in {*audio.WRITABLE, *audio.EXTENSIONS, *audio.UNREAD} and not output.is_dir())
    if stream and (output == RAW or is_stdout(output)) and os.isatty(1):
        raise ConfigError(f"output is {output}, which here is the terminal: send it on, to aplay say, or name a file")
    if single and not stream and kind not in audio.WRITABLE:
        raise ConfigError(f"output is {output}, but a file must end in {' or '.join(audio.WRITABLE)}")
    if single and count > 1:
        raise ConfigError(
            f"output is one {'stream' if stream else 'file'}, {output}, but count is {count}; give a folder"
        )
    if not stream:
        check_folder(output.parent if single else output)
    if count > 1 and hasattr(os, "sysconf") and count + SPARE_FILES > (most := os.sysconf("SC_OPEN_MAX")):
        raise ConfigError(
            f"count is {count}, but this system lets a program write to {most - SPARE_FILES} files at once: "
            "generate in parts, each with its own seed, or raise the limit (ulimit -n)"
        )
    return single


@contextlib.contextmanager
def new_files(folder: Path, seeds: list[int]) -> Iterator[list[Path]]:
    """A new file's name for each seed, which an empty file holds meanwhile, so that no other command takes it too."""
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            path, number = folder / f"seed_{seed}.wav", 2
            while True:
                try:
                    path.touch(exist_ok=False)
                    break
                except FileExistsError:
                    path, number = folder / f"seed_{seed}_{number}.wav", number + 1
            paths.append(path)
    except OSError as error:
        raise ConfigError(f"output: cannot write to {folder} ({error.strerror}); choose another output") from error
    try:
        yield paths
    finally:
        for path in paths:
            with contextlib.suppress(OSError):
                if not path.stat().st_size:
                    path.unlink()


def read_prime(path: str | None, ear: Ear, heard: int, encoding: Encoding) -> torch.Tensor | None:
    """The last codes of a recording, the `heard` that matter, however long it is. Raises AudioError for none."""
    if path is None:
        return None
    tail: deque[torch.Tensor] = deque()
    for block in ear.blocks("prime", expanded(path)):
        tail.append(encoding.encode(block))
        while sum(map(len, tail)) - len(tail[0]) >= heard:
            tail.popleft()
    if not sum(map(len, tail)):
        raise AudioError(f"prime: {path} holds no samples")
    return torch.cat(list(tail))[-heard:].long()
