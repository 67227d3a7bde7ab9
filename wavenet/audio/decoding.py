"""Recordings, decoded piece by piece: every stream of a file, as far as it can be read, and what is missing.

An `Account` of the file is kept beside its samples, so that the reader can report what is missing.
"""

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile

from wavenet.audio.containers import Part, Source, View, parts
from wavenet.errors import AudioError

RATES = range(1000, 768001)
"""Sample rates, in Hz, that a recording may have; a header that says otherwise is damaged."""
BLOCK_VALUES = 1 << 18
"""Samples decoded at once, all channels together: 1 MiB of float32."""
UNKNOWN_FRAMES = 1 << 60
"""From here on a number of frames means "unknown"; libsndfile's own value for that is larger."""
STRIDE = 4096
"""After damage, decoding resumes at a multiple of this many samples, the usual block of FLAC."""
ATTEMPTS = 100
"""How often decoding resumes in one stream."""
LEAST_MISSING = 0.005
"""Seconds below which nothing counts as missing: headers are not more exact than that."""
FAILURES = (soundfile.SoundFileError, ValueError, TypeError, AssertionError)
"""What soundfile raises for a file that cannot be decoded."""


class UnusableAudioError(AudioError):
    """One recording cannot be used; `reason` says why without naming it.

    `lasting` is true if the file itself is at fault, false if the system could not read it this time.
    """

    def __init__(self, path: str | Path, reason: str, lasting: bool = True) -> None:
        super().__init__(f"{path} cannot be used: {reason}")
        self.reason, self.lasting = reason, lasting


@dataclass
class Account:
    """What was found in a file besides its samples."""

    streams: int = 0
    """Number of joined streams that could be read."""
    channels: int = 0
    """The largest number of channels in a stream."""
    seconds: float = 0.0
    """Length of the sound that was read."""
    missing: float = 0.0
    """Seconds that headers promise but the file lacks."""
    flaws: list[str] = field(default_factory=list)
    """Other damage, in words."""


class Decoder(soundfile.SoundFile):
    """A sound file that is read without seeking. soundfile seeks after every read to the position that it expects,
    which fails in a stream of unknown length and skips samples in a damaged one."""

    def seekable(self) -> bool:
        return False

    def more(self, count: int) -> tuple[np.ndarray, bool]:
        """Up to `count` samples per channel, (samples, channels) float32, and whether damage cut them short."""
        values = np.full((count, self.channels), np.nan, dtype=np.float32)
        try:
            with hushed():
                return self.read(out=values), False
        except FAILURES:  # libsndfile does not say how much it read
            unread = np.isnan(values[:, -1])
            return values[: int(unread.argmax()) if unread.any() else count], True


class Recording:
    """An open file; use it in a `with` block. Raises UnusableAudioError if it is missing, unreadable or not audio."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._failing():
            self._file = open(self.path, "rb", buffering=1 << 16)  # noqa: SIM115 (closed by __exit__)
        try:
            with self._failing():
                source = Source(self._file)
                if not source.size:
                    raise UnusableAudioError(path, "the file is empty")
                self.parts = parts(source)
                del source
            self._ready: dict[int, tuple[Decoder, View]] = {}
            first = self._first()
            self.sample_rate, self.channels, self.samples = first.samplerate, first.channels, first.frames
            self.format, self.subtype = first.format, first.subtype
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *exception: object) -> None:
        with hushed():
            for decoder, _ in self._ready.values():
                decoder.close()
        self._file.close()

    @property
    def exact(self) -> bool:
        """Whether samples are whole numbers, which cannot exceed full scale by much."""
        return self.subtype not in ("FLOAT", "DOUBLE")

    def streams(self, account: Account) -> Iterator[tuple[int, Iterator[np.ndarray]]]:
        """Each stream that can be opened: its sample rate, and its samples in pieces (samples, channels) of float32.

        `account` is filled in along the way. The pieces raise UnusableAudioError if the system fails, not the file.
        """
        for number, part in enumerate(self.parts):
            try:
                decoder, view = self._ready.pop(number, None) or self._open(part)
            except UnusableAudioError as error:
                if not error.lasting:
                    raise
                account.flaws.append(f"stream {number + 1} of {len(self.parts)} cannot be read")
                continue
            account.streams += 1
            account.channels = max(account.channels, decoder.channels)
            yield decoder.samplerate, self._pieces(part, decoder, view, account)

    def _pieces(self, part: Part, decoder: Decoder, view: View, account: Account) -> Iterator[np.ndarray]:
        rate, promised = decoder.samplerate, decoder.frames if decoder.frames < UNKNOWN_FRAMES else 0
        told = part.length_told and promised > 0
        most = max(BLOCK_VALUES // decoder.channels, 1)
        done, position, attempts, lost = 0, 0, 0, False
        try:
            while (count := min(most, promised - position if promised else most)) > 0:
                piece, damaged = decoder.more(count)
                self._check(view)
                position += len(piece)
                done += len(piece)
                if len(piece):
                    yield piece
                elif not damaged:
                    break
                again = None
                while damaged and again is None and attempts < ATTEMPTS and position + STRIDE < promised:
                    attempts += 1
                    position = (position // STRIDE + 1) * STRIDE
                    again = self._opened_at(part, position)
                if again is not None:
                    decoder.close()
                    decoder, view = again
                elif damaged:
                    lost = True
                    break
        finally:
            with hushed():
                decoder.close()
        account.seconds += done / rate
        missing = (max(promised, done) / part.share - done) / rate if told else 0.0
        account.missing += missing if missing >= LEAST_MISSING else 0.0
        if part.flaw and missing < LEAST_MISSING:
            account.flaws.append(part.flaw)
        elif lost and not told:
            account.flaws.append(f"it is damaged from {done / rate:.2f} s on")

    def _opened_at(self, part: Part, position: int) -> tuple[Decoder, View] | None:
        decoder, view = self._open(part)
        try:
            with hushed():
                decoder.seek(position)
        except FAILURES:
            decoder.close()
            self._check(view)
            return None
        return decoder, view

    def _first(self) -> Decoder:
        """The first stream that can be opened, kept open for `streams`."""
        errors: list[UnusableAudioError] = []
        for number, part in enumerate(self.parts):
            try:
                self._ready[number] = self._open(part)
                return self._ready[number][0]
            except UnusableAudioError as error:
                errors.append(error)
        raise errors[0]

    def _open(self, part: Part) -> tuple[Decoder, View]:
        view = View(self._file, part)
        try:
            with hushed():
                decoder = Decoder(cast(Any, view))
        except FAILURES as error:
            self._check(view)
            raise UnusableAudioError(self.path, "it is damaged or not audio that can be read") from error
        self._check(view)
        if decoder.samplerate not in RATES:
            with hushed():
                decoder.close()
            raise UnusableAudioError(
                self.path, f"its header says {decoder.samplerate} Hz; {RATES.start} to {RATES.stop - 1} can be read"
            )
        return decoder, view

    def _check(self, view: View) -> None:
        if view.failure is not None:
            with self._failing():
                raise view.failure

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnusableAudioError(self.path, f"it cannot be opened ({error.strerror})", lasting=False) from error


# ---- decoding libraries print messages of their own

_users, _lock = 0, threading.Lock()


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Drop what C libraries print to standard error within the block, but not Python's own output.

    The C library's stream is exchanged, not file descriptor 2, so other Python threads lose nothing. There is no other
    way to silence mpg123, inside libsndfile. Without glibc or macOS, this does nothing.
    """
    global _users
    streams = _streams()
    if streams is None:
        yield
        return
    variable, loud, null = streams
    with _lock:
        _users += 1
        variable.value = null
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                variable.value = loud


@cache
def _streams() -> tuple[Any, int | None, int] | None:
    """The variable of the C library's standard error, its value, and a stream to the null device."""
    try:
        library = ctypes.CDLL(None)
        if sys.platform != "darwin" and not hasattr(library, "gnu_get_libc_version"):
            return None  # in other C libraries the variable may be constant
        variable = ctypes.c_void_p.in_dll(library, "__stderrp" if sys.platform == "darwin" else "stderr")
        library.fopen.restype = ctypes.c_void_p
        null = library.fopen(b"/dev/null", b"w")
    except (OSError, TypeError, ValueError, AttributeError):
        return None
    return (variable, variable.value, null) if null else None
