"""A folder of recordings -> one memory-mapped file of codes, decoded once and kept until something changes.

The cache key covers the recordings (name, size, time of change) and the settings that shape the codes. A recording that
the system could not open is tried again each time.
"""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wavenet import audio
from wavenet.audio import levels
from wavenet.audio.encodings import MULAW, Encoding
from wavenet.audio.levels import SILENT_PEAK, Signal
from wavenet.config import DataConfig
from wavenet.errors import AudioError, counted, printable, some
from wavenet.files import atomic
from wavenet.recordings import cache
from wavenet.recordings.folder import Contents, Skipped, find_folder, look, of_other_kinds
from wavenet.recordings.parallel import in_order

CACHE_VERSION = 4
BLOCK = 1 << 20
"""Bytes copied, or codes examined, at once."""
Progress = Callable[[int, int], None]
"""Called with the number of recordings done and their total."""


@dataclass(frozen=True)
class Recording:
    """One recording's place in the codes."""

    name: str
    """Path below the folder, with forward slashes."""
    start: int
    samples: int
    signal: Signal = field(default_factory=Signal)
    """How it was read, and what to report about it."""


@dataclass(frozen=True)
class Prepared:
    """A folder's codes and where they come from."""

    folder: Path
    sample_rate: int
    codes: np.ndarray
    """All recordings end to end, on disk, in the encoding's stored type."""
    recordings: list[Recording]
    skipped: list[Skipped]
    cache: Path
    """Folder on disk that holds the codes."""
    ignored: dict[str, int] = field(default_factory=dict)
    """Number of files of each kind that cannot be read, such as {".m4a": 2}."""
    channel: str = "mix"
    normalise: str = "off"
    """As in DataConfig."""
    removed: int = 0
    """Bytes of prepared audio that were removed because they had long been unused."""

    def report(self, limit: int = 8) -> list[str]:
        """Which recordings were used, which were left out and why, as lines of text."""
        minutes = len(self.codes) / self.sample_rate / 60
        used = counted(len(self.recordings), "recording")
        lines = [f"{self.folder}: {used}, {minutes:.1f} minutes at {self.sample_rate} Hz"]
        if self.skipped:
            lines.append(f"left out {len(self.skipped)}:")
            alike: dict[str, list[str]] = {}
            for skip in self.skipped:
                alike.setdefault(skip.reason, []).append(skip.name)
            shown = list(alike.items())[:limit]
            lines += [f"  {printable(names[0]) if len(names) == 1 else some(names)}: {why}" for why, names in shown]
            if more := len(self.skipped) - sum(len(names) for _, names in shown):
                lines.append(f"  and {more} more")
        if self.ignored:
            lines.append(of_other_kinds(self.ignored))
        signals = [(recording.name, recording.signal) for recording in self.recordings]
        lines += levels.report(signals, self.channel, self.normalise)
        if self.removed:
            lines.append(
                f"removed {self.removed / 1e6:,.0f} MB of prepared audio, unused for {cache.UNUSED_DAYS} days, from "
                f"{self.cache.parent}"
            )
        return lines


def prepare(config: DataConfig, progress: Progress | None = None, encoding: Encoding = MULAW) -> Prepared:
    """Decode `config.dir`, or reuse what an earlier call decoded. Memory does not grow with the hours of audio.

    A recording that is unreadable, empty, silent, too short or not finite is left out, with the reason. Raises
    AudioError if the folder does not exist or holds nothing usable, or the cache cannot be written.
    """
    folder = find_folder(config)
    contents = look(folder)
    if not contents.files and not contents.lost:
        readable = ", ".join(extension[1:] for extension in audio.EXTENSIONS)
        others = f"; {of_other_kinds(contents.ignored)}" if contents.ignored else ""
        raise AudioError(f"data.dir: {folder} holds no recordings ({readable}), nor does any folder in it{others}")
    kept = cache.root(config.cache_dir) / _key(config, folder, contents, encoding)
    removed = 0
    try:
        if (kept / cache.INDEX).is_file() and _readable_now(kept, folder):
            cache.discard(kept)
        if not (kept / cache.INDEX).is_file():
            removed = sum(entry.size for entry in cache.sweep(kept.parent))
            _build(config, folder, list(contents.files), kept, progress, encoding)
        index = json.loads((kept / cache.INDEX).read_text())
        size = (kept / "codes").stat().st_size
        cache.touch(kept)
    except OSError as error:
        reason = error.strerror or error
        raise AudioError(f"cannot keep prepared audio in {kept.parent} ({reason}); set data.cache_dir") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _altered(kept) from error
    recordings = [Recording(**{**entry, "signal": Signal(**entry["signal"])}) for entry in index["recordings"]]
    skipped = contents.lost + [Skipped(**entry) for entry in index["unread"] + index["skipped"]]
    if not recordings:
        reasons = "; ".join(f"{printable(skip.name)}: {skip.reason}" for skip in skipped[:3])
        more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        raise AudioError(f"data.dir: no recording in {folder} can be used ({reasons}{more})")
    if size != sum(recording.samples for recording in recordings) * np.dtype(encoding.stored).itemsize:
        raise _altered(kept)
    codes = np.memmap(kept / "codes", dtype=encoding.stored, mode="r")
    how = (config.channel, config.normalise, removed)
    return Prepared(folder, config.sample_rate, codes, recordings, skipped, kept, contents.ignored, *how)


def _altered(cache: Path) -> AudioError:
    return AudioError(f"prepared audio in {cache} was altered; delete that folder and run again")


def _readable_now(kept: Path, folder: Path) -> bool:
    """Whether a recording that the system could not open earlier can be read now."""
    for entry in json.loads((kept / cache.INDEX).read_text())["unread"]:
        with contextlib.suppress(OSError), open(folder / entry["name"], "rb") as file:
            while file.read(BLOCK):
                pass
            return True
    return False


def _key(config: DataConfig, folder: Path, contents: Contents, encoding: Encoding) -> str:
    settings = [CACHE_VERSION, encoding.levels, config.sample_rate, config.min_seconds, config.trim_silence_db]
    settings += [config.channel, config.normalise, str(folder.resolve())]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for path, status in contents.files.items():
        digest.update(f"\n{path.relative_to(folder)}\t{status.st_size}\t{status.st_mtime_ns}".encode(errors="replace"))
    return digest.hexdigest()[:24]


def _build(
    config: DataConfig, folder: Path, files: list[Path], kept: Path, progress: Progress | None, encoding: Encoding
) -> None:
    recordings, skipped, unread, total, size = [], [], [], 0, np.dtype(encoding.stored).itemsize
    stopping = threading.Event()

    def decode(item: tuple[Path, Path]) -> Any:
        return _decode(*item, config, encoding, stopping)

    with cache.building(kept) as place:
        items = [(path, place / f"{number}") for number, path in enumerate(files)]
        # threads suffice: decoding and resampling release the interpreter lock
        results = in_order(decode, items, config.workers, stopping)
        with contextlib.closing(results), open(place / "codes", "wb") as codes:
            for done, ((path, part), result) in enumerate(zip(items, results, strict=True), start=1):
                name = path.relative_to(folder).as_posix()
                if isinstance(result, audio.UnusableAudioError):
                    (skipped if result.lasting else unread).append(asdict(Skipped(name, result.reason)))
                else:
                    first, last, signal = result
                    with open(part, "rb") as piece:
                        piece.seek(first * size)
                        _copy(piece, codes, (last - first) * size)
                    entry = {"name": name, "start": total, "samples": last - first, "signal": signal.stored()}
                    recordings.append(entry)
                    total += last - first
                part.unlink(missing_ok=True)
                if progress:
                    progress(done, len(files))
            codes.flush()
            os.fsync(codes.fileno())
        with atomic(place / cache.INDEX) as index:
            told = {"folder": str(folder.resolve()), "recordings": recordings, "skipped": skipped, "unread": unread}
            index.write_text(json.dumps(told))


def _copy(source: Any, target: Any, length: int) -> None:
    while length > 0:
        piece = source.read(min(BLOCK, length))
        if not piece:
            raise OSError("a part came out short; is the disk full?")
        target.write(piece)
        length -= len(piece)


def _decode(
    path: Path, part: Path, config: DataConfig, encoding: Encoding, stopping: threading.Event
) -> tuple[int, int, Signal] | audio.UnusableAudioError:
    """Write a recording's codes to `part`; return the range to use and how it was read, or the error."""
    signal = Signal()
    try:
        with open(part, "wb") as file:
            for block in audio.blocks(path, config.sample_rate, config.channel, config.normalise, signal):
                file.write(encoding.encode(block).numpy().astype(encoding.stored).data)
                if stopping.is_set():
                    return audio.UnusableAudioError(path, "reading was stopped", lasting=False)
            size = file.tell()
    except audio.UnusableAudioError as error:
        return error
    if not size:
        return audio.UnusableAudioError(path, "it holds no samples")
    codes = np.memmap(part, dtype=encoding.stored, mode="r")
    amplitudes = encoding.amplitudes.abs().numpy()
    peak = max(amplitudes[codes.min()], amplitudes[codes.max()])
    if min(peak, signal.swing) < SILENT_PEAK:
        return audio.UnusableAudioError(path, signal.silence)
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
        return audio.UnusableAudioError(path, f"{length}{damage}; data.min_seconds is {config.min_seconds}")
    return first, last, signal
