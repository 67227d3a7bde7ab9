"""A folder of recordings -> its codes on disk, decoded once and kept until a recording changes.

A folder of prepared audio belongs to one folder of recordings and the settings that shape the codes. In it, a recording
is known by its name, size and time of change; `shards` says how it is kept, `building` how it gets there. A recording
that the system could not open is tried again each time.
"""

import contextlib
import hashlib
import json
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from wavenet import audio
from wavenet.audio import levels
from wavenet.audio.encodings import MULAW, Codes, Encoding
from wavenet.audio.levels import Signal
from wavenet.config import DataConfig
from wavenet.errors import AudioError, counted, printable, some
from wavenet.recordings import cache, shards
from wavenet.recordings.building import Progress, Task, build
from wavenet.recordings.folder import Skipped, find_folder, look, of_other_kinds
from wavenet.recordings.remote import Remote
from wavenet.recordings.shards import Line, Shards

CACHE_VERSION = 5


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
    codes: Codes
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
    notes: list[str] = field(default_factory=list)
    """What this call did to the cache, as lines of text."""
    digest: str = ""
    """Identifies the recordings and their codes."""

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
        return lines + self.notes


def prepare(
    config: DataConfig,
    progress: Progress | None = None,
    encoding: Encoding = MULAW,
    executor: Executor | None = None,
) -> Prepared:
    """Decode `config.dir`, or reuse what an earlier call decoded. Memory does not grow with the hours of audio.

    executor: does the decoding instead of `config.workers` threads. Its workers must see the folder and the cache under
    the same paths. A recording that is unreadable, empty, silent, too short or not finite is left out, with the reason.
    A call that ended early is continued by the next. Raises AudioError if the folder does not exist or holds nothing
    usable, or the cache cannot be written.
    """
    folder = find_folder(config)
    contents = look(folder)
    if not contents.files and not contents.lost:
        readable = ", ".join(extension[1:] for extension in audio.EXTENSIONS)
        others = f"; {of_other_kinds(contents.ignored)}" if contents.ignored else ""
        raise AudioError(f"data.dir: {folder} holds no recordings ({readable}), nor does any folder in it{others}")
    files = {path.relative_to(folder).as_posix(): status for path, status in contents.files.items()}
    task = Task(config, encoding, folder, files)
    place = cache.root(config.cache_dir) / _key(task)
    try:
        lines, codes, notes = _up_to_date(task, place, progress, executor)
        cache.touch(place)
    except OSError as error:
        reason = error.strerror or error
        what = f"cannot keep prepared audio in {place.parent} ({reason}); set data.cache_dir"
        so_far = ", or make room and run again: what was prepared is kept" if shards.read(place) else ""
        raise AudioError(what + so_far) from error
    recordings, start, size = [], 0, codes.dtype.itemsize
    for line in lines:
        if line.shard:
            recordings.append(Recording(line.name, start, line.length // size, Signal(**line.signal)))
            start += recordings[-1].samples
    left_out = [line for line in lines if line.reason]
    # those that the system could not read come first
    skipped = [Skipped(line.name, line.reason) for line in sorted(left_out, key=lambda line: line.lasting)]
    skipped = contents.lost + skipped
    if not recordings:
        reasons = "; ".join(f"{printable(skip.name)}: {skip.reason}" for skip in skipped[:3])
        more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        raise AudioError(f"data.dir: no recording in {folder} can be used ({reasons}{more})")
    digest = hashlib.sha256(json.dumps([[line.name, line.length, line.checksums] for line in lines]).encode())
    how = (contents.ignored, config.channel, config.normalise, notes, digest.hexdigest())
    return Prepared(folder, config.sample_rate, codes, recordings, skipped, place, *how)


def _up_to_date(
    task: Task, place: Path, progress: Progress | None, executor: Executor | None
) -> tuple[list[Line], Shards, list[str]]:
    """The lines of all files, the codes in their order, and what to report. Raises OSError and AudioError."""
    address = task.config.cache_dir
    remote = Remote(address, place.name) if address is not None and cache.is_address(address) else None
    notes: list[str] = []
    for last_try in (False, False, True):
        there = shards.read(place)
        lines = task.current(there)
        spoiled = shards.glance(place, list(lines.values()))
        if spoiled or lines.keys() != task.files.keys():
            notes += _swept(task, place)
            built = build(task, place, spoiled, progress, executor, remote)
            lines, notes = built.lines, notes + built.notes
        elif len(there) > len(lines):
            with contextlib.suppress(OSError):  # the folder may belong to another user
                build(task, place, [])
        elif remote is not None and not remote.exists():
            remote.push(place)
        try:
            ordered = [lines[name] for name in task.files]
            return ordered, Shards(place, (line for line in ordered if line.shard), task.encoding.stored), notes
        except FileNotFoundError:  # another process has just replaced a shard
            if last_try:
                raise
    raise AssertionError("the last try returns or raises")


def _swept(task: Task, place: Path) -> list[str]:
    """Remove prepared audio that is of no more use, in words."""
    notes = []
    if removed := sum(entry.size for entry in cache.sweep(place.parent)):
        megabytes = f"{removed / 1e6:,.0f} MB of prepared audio"
        notes.append(f"removed {megabytes}, unused for {cache.UNUSED_DAYS} days, from {place.parent}")
    resolved = str(task.folder.resolve())
    older = [entry for entry in cache.entries(place.parent) if entry.recordings == resolved and entry.is_older]
    if removed := sum(entry.size for entry in older if cache.discard(entry.path)):
        size = f"{removed / 1e6:,.0f} MB"
        notes.append(f"read anew what an older version of wavenet had prepared, and removed its {size}")
    return notes


def _key(task: Task) -> str:
    """The name of the folder of prepared audio: the settings that shape the codes, and the folder of recordings."""
    config = task.config
    settings = [CACHE_VERSION, task.encoding.levels, config.sample_rate, config.min_seconds, config.trim_silence_db]
    settings += [config.channel, config.normalise, str(task.folder.resolve())]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:24]
