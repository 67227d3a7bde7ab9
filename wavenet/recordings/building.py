"""Brings a folder of prepared audio up to date: what is new, changed or damaged is decoded, the rest is kept."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event

import numpy as np

from wavenet import audio
from wavenet.audio.encodings import Encoding, encoding_with
from wavenet.audio.levels import SILENT_PEAK, Signal
from wavenet.config import DataConfig
from wavenet.errors import AudioError, counted, some
from wavenet.recordings import cache, shards
from wavenet.recordings.parallel import in_order
from wavenet.recordings.remote import Remote
from wavenet.recordings.shards import BLOCK, Line

Progress = Callable[[int, int], None]
"""Called with the number of recordings done and their total."""


@dataclass(frozen=True)
class Task:
    """Which recordings are to be prepared, and how."""

    config: DataConfig
    encoding: Encoding
    folder: Path
    files: dict[str, os.stat_result]
    """Name below the folder -> its state."""

    def current(self, lines: dict[str, Line]) -> dict[str, Line]:
        """Those of the lines of an index whose codes are those of the file as it is now, by name.

        A file that only the system could not read earlier counts as changed once it can be read.
        """
        size = np.dtype(self.encoding.stored).itemsize
        return {
            name: line
            for name, line in lines.items()
            if self.fits(line) and line.length % size == 0 and (line.lasting or not _readable(self.folder / name))
        }

    def fits(self, line: Line) -> bool:
        """Whether a line tells of a file as it is now."""
        status = self.files.get(line.name)
        return status is not None and (line.size, line.changed) == (status.st_size, status.st_mtime_ns)


@dataclass
class Built:
    """What a preparation did."""

    lines: dict[str, Line] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What to report, as lines of text."""


def build(
    task: Task,
    place: Path,
    spoiled: list[Line],
    progress: Progress | None = None,
    executor: Executor | None = None,
    remote: Remote | None = None,
) -> Built:
    """Prepare in the folder `place` what is missing there. Memory does not grow with the hours of audio.

    spoiled: lines whose codes are known to be damaged. Another process that prepares the same is waited for. If the
    call ends early, in whatever way, the recordings that were done are kept, and the next call goes on after them.
    Raises OSError if `place` cannot be written, AudioError if `remote` cannot be used or workers die.
    """
    show, folder = progress or (lambda done, count: None), str(task.folder.resolve())
    with cache.alone(place, lambda: show(min(len(shards.read(place)), len(task.files)), len(task.files))) as locked:
        good, found = task.current(shards.read(place)), Built()
        spoiled = [line for line in spoiled if good.get(line.name) == line]
        spoiled += [line for line in _newest(place, good.values()) if line not in spoiled]
        for line in spoiled:
            del good[line.name]
        if remote is not None:
            for line in remote.pull(place, folder, (name for name in task.files if name not in good), task.fits):
                good[line.name] = line
                show(len(good), len(task.files))
        kept, todo = len(good), [name for name in task.files if name not in good]
        closed = (lambda: None) if remote is None else partial(remote.push, place)
        with shards.Index(place, folder) as index, shards.Writer(place, closed) as writer:
            for line in _scattered(place, good.values()):
                with open(place / line.shard, "rb") as source:
                    source.seek(line.start)
                    good[line.name] = replace(line, **writer.append(source, line.length))
                index.append(good[line.name])
            for line in _decoded(task, place, todo, writer, executor):
                good[line.name] = line
                index.append(line)
                show(len(good), len(task.files))
        found.lines = good
        shards.rewrite(place, folder, good.values())
        if remote is not None:
            remote.push(place)
        _tidy(place, good.values(), everything=locked)
    if spoiled:
        names = some(sorted(line.name for line in spoiled))
        found.notes.append(f"read again, because their prepared audio did not have its checksum any more: {names}")
    if kept and len(todo) > len(spoiled):
        new = counted(len(todo), "recording")
        found.notes.append(f"read {new}, new or changed ones; {kept} were prepared before")
    return found


def check(place: Path) -> list[str]:
    """Compare the checksums of everything in the folder `place`, and return the names of damaged recordings.

    They are removed from the index, so that the next preparation reads them again. Raises OSError if it cannot be
    written.
    """
    with cache.alone(place):
        lines = shards.read(place)
        bad = sorted(line.name for line in shards.damaged(place, lines.values()))
        if bad:
            folder = shards.folder_of(place) or ""
            shards.rewrite(place, folder, (line for line in lines.values() if line.name not in bad))
    return bad


def _newest(place: Path, lines: Iterable[Line]) -> list[Line]:
    """The damaged lines of the last shard, which may have been cut off by a loss of power."""
    shard, lines = "", list(lines)
    for line in lines:
        shard = line.shard or shard
    if not shard:
        return []
    with open(place / shard, "rb+") as file:
        os.fsync(file.fileno())
    return shards.damaged(place, [line for line in lines if line.shard == shard])


def _scattered(place: Path, lines: Iterable[Line]) -> list[Line]:
    """The lines in shards that hold less than half of what is used, to be written together into new ones."""
    used: dict[str, list[Line]] = {}
    for line in lines:
        used.setdefault(line.shard, []).append(line)
    used.pop("", None)
    sparse = (
        found
        for shard, found in used.items()
        if 2 * sum(line.length for line in found) < (place / shard).stat().st_size
    )
    return [line for found in sparse for line in found]


def _tidy(place: Path, lines: Iterable[Line], everything: bool) -> None:
    """Remove shards that are not used any more, parts that a killed run left, and features of earlier recordings.

    everything: also what is younger than a day, which without locks might belong to another process.
    """
    used = {line.shard for line in lines}
    for path in (*place.glob("*.codes"), *place.glob(".parts.*")):
        if path.name not in used and (everything or cache.age(path) > cache.DAY):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in place.glob("frames_*.f32"):
        if cache.age(path) > cache.DAY:
            path.unlink(missing_ok=True)


def _decoded(
    task: Task, place: Path, names: list[str], writer: shards.Writer, executor: Executor | None
) -> Iterator[Line]:
    """Decode recordings, and write their codes to shards."""
    stopping = Event() if executor is None else None
    parts = place / f".parts.{secrets.token_hex(4)}"
    parts.mkdir()
    items = [(task.folder / name, parts / f"{number}") for number, name in enumerate(names)]
    # threads suffice: decoding and resampling release the interpreter lock
    work = partial(decode, config=task.config, levels=task.encoding.levels, stopping=stopping)
    results = in_order(work, items, task.config.workers, stopping, executor)
    try:
        with contextlib.closing(results):
            for name, (_, part), result in zip(names, items, results, strict=True):
                status = task.files[name]
                line = Line(name, status.st_size, status.st_mtime_ns, reason=result.reason, lasting=result.lasting)
                if not result.reason:
                    with open(part, "rb") as source:
                        source.seek(result.start)
                        line = replace(line, **writer.append(source, result.length), signal=result.signal.stored())
                part.unlink(missing_ok=True)
                yield line
    except BrokenExecutor as error:
        raise AudioError(
            f"a process that decodes recordings ended by itself ({error or type(error).__name__}); what was done is "
            "kept, so run again, with fewer workers if memory is short"
        ) from error
    finally:
        shutil.rmtree(parts, ignore_errors=True)


@dataclass(frozen=True)
class Decoded:
    """The part of a file of codes to use, in bytes, and how the recording was read; or why it cannot be used."""

    start: int = 0
    length: int = 0
    signal: Signal = field(default_factory=Signal)
    reason: str = ""
    lasting: bool = True


def decode(item: tuple[Path, Path], config: DataConfig, levels: int, stopping: Event | None = None) -> Decoded:
    """Write the codes of a recording, item[0], to the file item[1]. Runs in threads or in other processes.

    levels: of the encoding. Raises OSError if the file cannot be written.
    """
    path, part = item
    encoding, signal = encoding_with(levels), Signal()
    try:
        with open(part, "wb") as file:
            for block in audio.blocks(path, config.sample_rate, config.channel, config.normalise, signal):
                file.write(encoding.encode(block).numpy().astype(encoding.stored).data)
                if stopping is not None and stopping.is_set():
                    return Decoded(reason="reading was stopped", lasting=False)
            size = file.tell()
    except audio.UnusableAudioError as error:
        return Decoded(reason=error.reason, lasting=error.lasting)
    if not size:
        return Decoded(reason="it holds no samples")
    codes = np.memmap(part, dtype=encoding.stored, mode="r")
    amplitudes = encoding.amplitudes.abs().numpy()
    peak = max(amplitudes[codes.min()], amplitudes[codes.max()])
    if min(peak, signal.swing) < SILENT_PEAK:
        return Decoded(reason=signal.silence)
    first, last = 0, len(codes)
    if config.trim_silence_db is not None:
        loud = amplitudes >= peak * 10 ** (-config.trim_silence_db / 20)
        starts = range(0, len(codes), BLOCK)
        first = next(
            start + int(found.argmax()) for start in starts if (found := loud[codes[start : start + BLOCK]]).any()
        )
        last = next(
            start + len(found) - int(found[::-1].argmax())
            for start in reversed(starts)
            if (found := loud[codes[start : start + BLOCK]]).any()
        )
    if last - first < max(config.min_seconds * config.sample_rate, 1):
        length = f"it is only {(last - first) / config.sample_rate:.3f} s long"
        damage = f" ({signal.damage})" if signal.damage else ""
        return Decoded(reason=f"{length}{damage}; data.min_seconds is {config.min_seconds}")
    return Decoded(first * codes.itemsize, (last - first) * codes.itemsize, signal)


def _readable(path: Path) -> bool:
    """Whether all of a file can be read, even if its contents make no sense."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        while file.read(BLOCK):
            pass
        return True
    return False
