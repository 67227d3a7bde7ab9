"""wavenet-speak: writes what a voice says, sentence by sentence, as it is made."""

import contextlib
import csv
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from wavenet import audio
from wavenet.audio.pcm import RAW
from wavenet.cli.display import Display, check_report, destination, takes_stdout, write_report
from wavenet.cli.jobs.generate import check_output
from wavenet.config import SpeakConfig
from wavenet.errors import ConfigError, WaveNetError, counted
from wavenet.files import atomic, expanded
from wavenet.model import shipped
from wavenet.voice import opened

COLUMNS = ("start", "end", "unit", "word")
"""Of the table of timings."""
COMMENT = "Synthetic speech, made by a WaveNet"
"""Marks each file as what it is."""


def job(config: SpeakConfig) -> None:
    output, to_stderr = expanded(config.output), takes_stdout(config.output, config.timings, config.report)
    if not check_output(output, 1):
        raise ConfigError(f"output is {output}, but it must be a .wav or .flac file, or - for the standard output")
    lines, length = _lines(config.text)
    check_report(config.report)
    found = shipped.find(config.checkpoint)
    voice = opened(found.path)
    speaker = voice.speaker(config)
    rate, samples, said, first = voice.sample_rate, 0, 0, None
    with Display(to_stderr) as display, contextlib.ExitStack() as open_files:
        engine = f"engine {speaker.engine.name}, {speaker.engine.precision}"
        display.say(f"{shipped.shown(voice.path)}; {rate} Hz; {engine}")
        for line in found.said:
            display.say(line)
        began, sentences, ended = time.perf_counter(), 0, None
        phrases = speaker.phrases(lines)
        phrase = next(phrases)  # a text that cannot be said fails before a file is made
        timings = open_files.enter_context(_table(config.timings))
        writer = open_files.enter_context(audio.Writer(output, rate, COMMENT))
        try:
            while phrase is not None:
                timings(phrase.moments)
                for chunk in phrase.sound:
                    writer.write(chunk)
                    samples += len(chunk)
                    first = first or time.perf_counter() - began
                sentences, said = sentences + 1, said + len(phrase.text) + 1
                display.saying(min(said, length), length, samples / rate)
                phrase = next(phrases, None)
        except (WaveNetError, KeyboardInterrupt) as error:  # what was said until then is kept, with its timings
            ended = error
        seconds = time.perf_counter() - began
    if ended is not None:
        raise ended
    with Display(to_stderr) as display:
        display.say("wrote to the standard output" if output == RAW else f"wrote {output}")
        if config.timings is not None:
            display.say(f"wrote {config.timings}")
        speed = samples / rate / seconds
        display.say(
            f"{counted(sentences, 'sentence')}, {samples / rate:.1f} s of speech, {speed:.2f} x real time; the first "
            f"sound came after {first or seconds:.2f} s"
        )
    write_report(
        config.report,
        {
            "file": str(output),
            "sentences": sentences,
            "seconds": samples / rate,
            "realtime_factor": samples / rate / seconds,
            "first_sound_seconds": first,
            "engine": speaker.engine.name,
            "precision": speaker.engine.precision,
        },
    )


def _lines(text: str) -> tuple[Iterable[str], int]:
    """The lines of a text, of the file that it names, or of the standard input; and about how many characters."""
    if not text.startswith("@"):
        return [text], len(text)
    if text == "@-":
        return _decoded(sys.stdin, "the standard input"), 0
    path = expanded(text[1:])
    try:
        return _read(path), path.stat().st_size
    except OSError as error:
        raise ConfigError(
            f"text: {path} cannot be read ({error.strerror}); name a file of text, as in text=@story.txt"
        ) from error


def _read(path: Path) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            yield from _decoded(file, str(path))
    except OSError as error:
        raise ConfigError(f"text: {path} cannot be read ({error.strerror}); name a file of text") from error


def _decoded(lines: Iterable[str], name: str) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise ConfigError(f"text: {name} is not UTF-8 text: save it as UTF-8") from error


@contextlib.contextmanager
def _table(path: str | None) -> Iterator:
    """A function that writes moments to a CSV file; it does nothing without a path."""
    if path is None:
        yield lambda moments: None
        return
    try:
        with atomic(destination(path)) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            yield lambda moments: table.writerows((f"{m.start:.3f}", f"{m.stop:.3f}", m.unit, m.word) for m in moments)
    except OSError as error:
        raise ConfigError(f"timings: cannot write {path} ({error.strerror}); choose another place") from error
