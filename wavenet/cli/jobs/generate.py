"""wavenet-generate: makes WAV or FLAC files from a checkpoint, or from an exported file, which needs no torch."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wavenet import audio
from wavenet.audio.pcm import RAW
from wavenet.cli.display import Display, check_report, takes_stdout, write_report
from wavenet.cli.jobs import bulk
from wavenet.cli.jobs.opening import opened
from wavenet.cli.paths import check_folder
from wavenet.config import GenerateConfig
from wavenet.errors import ConfigError, counted
from wavenet.files import expanded, is_stdout, streamed
from wavenet.generation.rendering import Prepared, write
from wavenet.generation.request import Request
from wavenet.model import native, shipped
from wavenet.model.launcher import launched

if TYPE_CHECKING:
    from wavenet.generation.playing import ExportedFile
    from wavenet.voice import Voice

SPARE_FILES = 64
"""Open files that a program needs besides the sounds that it writes."""


def job(config: GenerateConfig) -> None:
    if config.missing:
        bulk.job(config)
        return
    if (told := launched()) is not None and told.size > 1:
        raise ConfigError(
            f"{told.launcher} started {told.size} processes: give missing=true, so that they share the work"
        )
    output = expanded(config.output)
    single, to_stderr = check_output(output, config.count), takes_stdout(config.output, config.report)
    stream = output == RAW or streamed(output)
    found = shipped.first() if config.checkpoint is None else shipped.find(config.checkpoint)
    voice = opened(found.path)
    rate = voice.sample_rate
    request = Request(config, rate, voice.data, config.prime, config.features)
    made = voice.perform(request)
    engine = made.engine
    if config.keep_prime and config.prime is None:
        raise ConfigError("keep_prime is true, but there is no prime to keep: give prime=recording.wav")
    before, kept = (), 0
    if config.prime is not None and config.keep_prime:
        kept = round(audio.probe(expanded(config.prime)).seconds * rate)
        before = (block.numpy() for block in request.reader.blocks("prime", config.prime))
    check_report(config.report)
    whole = made.samples + kept
    if whole > audio.WAV_SAMPLES and not stream and (not single or output.suffix.lower() == ".wav"):
        raise ConfigError(
            f"the sound is {whole / rate:g} seconds long, but a WAV file holds at most {audio.WAV_SAMPLES // rate} at "
            f"{rate} Hz: name a .flac file as output, or give fewer seconds"
        )
    with (
        Display(to_stderr) as display,
        contextlib.ExitStack() as afterwards,
        contextlib.nullcontext([output]) if single else new_files(output, made.seeds) as paths,
    ):
        display.say(f"{_source(voice)}; {rate} Hz; engine {engine.name}, {engine.precision}")
        for line in [*found.said, *request.said]:
            display.say(line)
        if config.engine == "auto" and engine.name != "compiled" and str(engine.device) == "cpu":
            reason = native.missing or "this model's code computes something else (was a layer edited?)"
            display.say(f"engine=compiled, which is many times faster, cannot be used: {reason}")
        if output == RAW:
            display.say(f"bare samples, 16 bits, little-endian, one channel: aplay -f S16_LE -r {rate} plays them")
        card = None
        if config.play:
            from wavenet.audio.sound_card import SoundCard

            card = SoundCard(rate)
            afterwards.callback(card.close, wait=False)
        began = time.perf_counter()

        def progress(done: int) -> None:
            display.generating(done, made.samples, time.perf_counter() - began, rate)

        heard = None if card is None else card.write
        rendered = write(made.pieces(), made.levels, rate, paths, progress, before, heard)
        speed = rendered.samples / rendered.seconds_taken
        for path in rendered.files:
            display.say("wrote to the standard output" if path == RAW else f"wrote {path}")
        if config.prime is not None and not config.keep_prime:
            display.say("the sound begins where the prime ends; keep_prime=true puts the prime in front")
        if card is not None:
            card.close(wait=rendered.finished)
            if card.gaps:
                display.say(
                    f"warning: the sound card ran out of sound {counted(card.gaps, 'time')}: the network is too slow "
                    "here, or the machine was busy; a smaller network is faster"
                )
        change = "another seed, a lower temperature" if config.temperature else "a temperature above 0"
        for warning in rendered.warnings:
            display.say(f"warning: {warning}; try {change}, a prime, or more training")
        display.say(
            f"{rendered.samples / rate:.1f} s of audio, {speed:,.0f} samples/s = {speed / rate:.2f} x real time, "
            f"{rendered.bits_per_sample:.2f} bits per sample"
        )
        nearness = {}
        if config.features is not None and not config.features.endswith(".npy") and rendered.finished and not stream:
            nearness = _compare(request, made, rendered.files[0], display)
        write_report(
            config.report,
            {
                "files": [str(path) for path in rendered.files],
                "sample_rate": rate,
                "samples_per_second": speed,
                "realtime_factor": speed / rate,
                "bits_per_sample": rendered.bits_per_sample,
                "engine": engine.name,
                "precision": engine.precision,
                "warnings": rendered.warnings,
                **nearness,
            },
        )
    if not rendered.finished:
        raise KeyboardInterrupt


def _source(voice: Voice | ExportedFile) -> str:
    """The model that makes a sound, in words."""
    bits = "" if voice.valid_bits is None else f", {voice.valid_bits:.3f} bits per sample held out"
    name = shipped.shown(voice.path)
    return name if voice.step is None else f"{name}: step {voice.step}{bits}"


def _compare(request: Request, made: Prepared, first: Path, display: Display) -> dict[str, float | None]:
    """Measure how close the first generated sound is to the recording that it follows."""
    import torch

    from wavenet.audio.encodings import encoding_with
    from wavenet.evaluation import fidelity

    features, encoding = str(request.features), encoding_with(made.levels)
    codes = request.reader.codes("features", features, encoding)
    recording = encoding.decode(torch.from_numpy(codes.astype("int64")))
    found = fidelity.compare(recording, audio.read(first, request.sample_rate), request.sample_rate)
    words = [f"{fidelity.words(name)}: {value:.3g}" for name, value in found.items() if value is not None]
    display.say(f"compared with {features}: {'; '.join(words)}")
    return found


def check_output(output: Path, count: int) -> bool:
    """Whether `output` is a single file, pipe or "-", and not a folder for several sounds.

    Raises ConfigError if it cannot be written.
    """
    stream, kind = output == RAW or streamed(output), output.suffix.lower()
    single = stream or (kind in {*audio.WRITABLE, *audio.EXTENSIONS, *audio.UNREAD} and not output.is_dir())
    if stream and (output == RAW or is_stdout(output)) and os.isatty(1):
        raise ConfigError(f"output is {output}, which is the terminal here: pipe it on, as to aplay, or name a file")
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
    """A new file for each seed; empty files reserve the names, so that no other command takes them."""
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
