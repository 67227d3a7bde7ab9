"""A folder of recordings -> one memory-mapped file of codes, decoded once and kept while nothing changes.

The cache is keyed by the recordings (name, size, time of change) and by the settings that shape the codes. It is built
under a temporary name and renamed when it is whole, so runs that start at once cannot see each other's halves.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import stat
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from wavenet import audio
from wavenet.config import DataConfig
from wavenet.encodings import MULAW, Encoding
from wavenet.errors import AudioError, ConfigError
from wavenet.files import atomic

CACHE_VERSION = 2
BLOCK = 1 << 20
"""Bytes copied, or codes looked at, at once."""
SILENT_PEAK = 0.001
"""A recording whose peak stays below this (-60 dB) is silent: a handful of codes around zero."""

Progress = Callable[[int, int], None]
"""Told how many recordings are done, of how many."""


@dataclass(frozen=True)
class Recording:
    """One recording's place in the codes."""

    name: str
    """Path below the folder, with forward slashes."""
    start: int
    samples: int


@dataclass(frozen=True)
class Skipped:
    """A recording that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Prepared:
    """A folder's codes and what they come from."""

    folder: Path
    sample_rate: int
    codes: np.ndarray
    """All recordings end to end, on disk, of the encoding's type."""
    recordings: list[Recording]
    skipped: list[Skipped]
    cache: Path
    """Folder on disk that the codes lie in."""
    ignored: dict[str, int] = field(default_factory=dict)
    """How many files of each kind that cannot be read, {".m4a": 2} say."""

    def report(self, limit: int = 8) -> list[str]:
        """What was used and what was left out and why, in lines of words."""
        minutes = len(self.codes) / self.sample_rate / 60
        used = counted(len(self.recordings), "recording")
        lines = [f"{self.folder}: {used}, {minutes:.1f} minutes at {self.sample_rate} Hz"]
        if self.skipped:
            lines.append(f"left out {len(self.skipped)}:")
            lines += [f"  {printable(skip.name)}: {skip.reason}" for skip in self.skipped[:limit]]
            if len(self.skipped) > limit:
                lines.append(f"  and {len(self.skipped) - limit} more")
        if self.ignored:
            lines.append(_of_other_kinds(self.ignored))
        return lines


def prepare(config: DataConfig, progress: Progress | None = None, encoding: Encoding = MULAW) -> Prepared:
    """Decode `config.dir`, or reuse what an earlier call decoded. Memory does not grow with the hours of audio.

    A recording that is unreadable, empty, silent, too short or not finite is left out, with the reason. Raises
    AudioError where the folder does not exist, holds nothing usable, or the cache cannot be written.
    """
    folder = find_folder(config)
    files, lost, ignored = _find_files(folder)
    if not files and not lost:
        readable = ", ".join(extension[1:] for extension in audio.EXTENSIONS)
        others = f"; {_of_other_kinds(ignored)}" if ignored else ""
        raise AudioError(f"data.dir: {folder} holds no recordings ({readable}), nor does any folder in it{others}")
    cache = _cache_root(config) / _key(config, folder, files, encoding)
    try:
        if not (cache / "index.json").is_file():
            _build(config, folder, files, cache, progress, encoding)
        index = json.loads((cache / "index.json").read_text())
        size = (cache / "codes").stat().st_size
    except OSError as error:
        raise AudioError(f"cannot keep prepared audio in {cache.parent} ({error}); set data.cache_dir") from error
    except ValueError as error:
        raise _altered(cache) from error
    recordings = [Recording(**entry) for entry in index["recordings"]]
    skipped = lost + [Skipped(**entry) for entry in index["skipped"]]
    if not recordings:
        reasons = "; ".join(f"{printable(skip.name)}: {skip.reason}" for skip in skipped[:3])
        more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        raise AudioError(f"data.dir: no recording in {folder} can be used ({reasons}{more})")
    if size != sum(recording.samples for recording in recordings) * np.dtype(encoding.stored).itemsize:
        raise _altered(cache)
    codes = np.memmap(cache / "codes", dtype=encoding.stored, mode="r")
    return Prepared(folder, config.sample_rate, codes, recordings, skipped, cache, ignored)


def find_folder(config: DataConfig) -> Path:
    """The folder that `data.dir` means; left out, the set that comes with a source checkout."""
    if config.dir is None:
        embedded = Path(__file__).parents[1] / "data"
        if not embedded.is_dir():
            raise ConfigError("data.dir is not set: give your folder of recordings, as in data.dir=~/recordings")
        return embedded
    folder = Path(config.dir).expanduser()
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise AudioError(f"data.dir: {folder} is a file; give the folder it is in")
    except FileNotFoundError as error:
        raise AudioError(f"data.dir: {folder} does not exist") from error
    except OSError as error:
        raise AudioError(f"data.dir: {folder} cannot be opened ({error.strerror})") from error
    return folder


def _find_files(folder: Path) -> tuple[list[Path], list[Skipped], dict[str, int]]:
    """The recordings below a folder, what of it cannot be looked at, and how many files there are of each other kind.

    Links are followed, into each folder once. Hidden files are none, and neither are the sounds that a training run
    has left in its own folder.
    """
    files, lost, kinds, entered = [], [], [], set()

    def skip(path: str | Path, reason: str) -> None:
        name = Path(path).relative_to(folder).as_posix()
        lost.append(Skipped("the folder itself" if name == "." else name, reason))

    def cannot_open(error: OSError) -> None:
        skip(error.filename, f"it cannot be opened ({error.strerror})")

    for place, folders, names in os.walk(folder, onerror=cannot_open, followlinks=True):
        status = os.stat(place)
        passed_over = (status.st_dev, status.st_ino) in entered
        entered.add((status.st_dev, status.st_ino))
        if Path(place) != folder and os.path.isdir(f"{place}/checkpoints") and os.path.isfile(f"{place}/metrics.jsonl"):
            passed_over = True
            skip(place, "it is the folder of a training run")
        if passed_over:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            kind = path.suffix.lower()
            if kind not in audio.EXTENSIONS and kind not in audio.UNREAD:
                continue
            try:
                if not stat.S_ISREG(path.stat().st_mode):
                    continue
            except OSError as error:
                link = os.path.islink(path)
                skip(path, "it is a link that leads nowhere" if link else f"it cannot be opened ({error.strerror})")
                continue
            if kind in audio.EXTENSIONS:
                files.append(path)
            else:
                kinds.append(kind)
    return (
        sorted(files),
        sorted(lost, key=lambda skip: skip.name),
        {kind: kinds.count(kind) for kind in sorted(set(kinds))},
    )


def _altered(cache: Path) -> AudioError:
    return AudioError(f"prepared audio in {cache} was altered; delete that folder and run again")


def printable(name: str) -> str:
    """A file name that any terminal and text file can take: what is not valid text becomes question marks."""
    return name.encode("utf-8", "replace").decode()


def counted(number: int, thing: str) -> str:
    """1 recording, 2 recordings."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def some(names: list[str], limit: int = 3) -> str:
    """2 (a.wav, b.wav), 9 (a.wav, b.wav, c.wav, ...)."""
    shown = ", ".join([printable(name) for name in names[:limit]] + ["..."] * (len(names) > limit))
    return f"{len(names)} ({shown})"


def _of_other_kinds(ignored: dict[str, int]) -> str:
    kinds = ", ".join(f"{kind} ({number})" for kind, number in ignored.items())
    files = counted(sum(ignored.values()), "file")
    return f"ignored {files} of other kinds: {kinds}; convert them to WAV or FLAC"


def _cache_root(config: DataConfig) -> Path:
    if config.cache_dir is not None:
        return Path(config.cache_dir).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavenet"


def _key(config: DataConfig, folder: Path, files: list[Path], encoding: Encoding) -> str:
    settings = [CACHE_VERSION, encoding.levels, config.sample_rate, config.min_seconds, config.trim_silence_db]
    settings.append(str(folder.resolve()))
    digest = hashlib.sha256(json.dumps(settings).encode())
    for path in files:
        status = path.stat()
        digest.update(f"\n{path.relative_to(folder)}\t{status.st_size}\t{status.st_mtime_ns}".encode(errors="replace"))
    return digest.hexdigest()[:24]


def _build(
    config: DataConfig, folder: Path, files: list[Path], cache: Path, progress: Progress | None, encoding: Encoding
) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    building = cache.with_name(f".{cache.name}.{secrets.token_hex(4)}")
    building.mkdir()
    recordings, skipped, total, size = [], [], 0, np.dtype(encoding.stored).itemsize
    # threads: decoding and resampling both leave the interpreter, so nothing is gained by processes
    jobs = joblib.Parallel(n_jobs=config.workers or -1, prefer="threads", return_as="generator")
    parts = [building / f"{number}" for number in range(len(files))]
    results: Any = jobs(joblib.delayed(_decode)(*item, config, encoding) for item in zip(files, parts, strict=True))
    try:
        with open(building / "codes", "wb") as codes:
            for done, (path, part, result) in enumerate(zip(files, parts, results, strict=True), start=1):
                name = path.relative_to(folder).as_posix()
                if isinstance(result, str):
                    skipped.append(asdict(Skipped(name, result)))
                else:
                    first, last = result
                    with open(part, "rb") as piece:
                        piece.seek(first * size)
                        _copy(piece, codes, (last - first) * size)
                    recordings.append(asdict(Recording(name, total, last - first)))
                    total += last - first
                part.unlink(missing_ok=True)
                if progress:
                    progress(done, len(files))
            codes.flush()
            os.fsync(codes.fileno())
        with atomic(building / "index.json") as index:
            index.write_text(json.dumps({"recordings": recordings, "skipped": skipped}))
        with contextlib.suppress(OSError):  # another run was first: its cache is as good as ours
            os.rename(building, cache)
    finally:
        with warnings.catch_warnings():  # joblib warns of work left undone when this was interrupted
            warnings.simplefilter("ignore")
            results.close()
        shutil.rmtree(building, ignore_errors=True)


def _copy(source: Any, target: Any, length: int) -> None:
    while length > 0:
        piece = source.read(min(BLOCK, length))
        if not piece:
            raise OSError("a part came out short; is the disk full?")
        target.write(piece)
        length -= len(piece)


def _decode(path: Path, part: Path, config: DataConfig, encoding: Encoding) -> tuple[int, int] | str:
    """Write a recording's codes to `part`; return the range of them to use, or why there is none."""
    try:
        with open(part, "wb") as file:
            for block in audio.blocks(path, config.sample_rate):
                file.write(encoding.encode(block).numpy().astype(encoding.stored).data)
            size = file.tell()
    except audio.UnusableAudioError as error:
        return error.reason
    if not size:
        return "it holds no samples"
    codes = np.memmap(part, dtype=encoding.stored, mode="r")
    low, high = codes.min(), codes.max()
    amplitudes = encoding.amplitudes.abs().numpy()
    peak = max(amplitudes[low], amplitudes[high])
    if peak < SILENT_PEAK:
        return "it is silent"
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
        return f"it is only {(last - first) / config.sample_rate:.3f} s long; data.min_seconds is {config.min_seconds}"
    return first, last
