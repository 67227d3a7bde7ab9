"""Audio files: probe, read (mono, at the requested rate, block by block), and write as the sound is made.

Reading gives tensors. Writing needs no torch, which is therefore imported by the functions that read.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from wavenet.audio.decoding import Account, Recording, UnusableAudioError
from wavenet.audio.pcm import RAW, PcmStream, title
from wavenet.errors import AudioError
from wavenet.files import followed, remedy, streamed, temporary_name

if TYPE_CHECKING:
    from torch import Tensor

    from wavenet.audio.levels import Signal

OPUS = (".opus",) if "OPUS" in soundfile.available_subtypes("OGG") else ()
EXTENSIONS = (".wav", ".flac", ".ogg", ".oga", *OPUS, ".mp3", ".aiff", ".aif")
EXTENSIONS += (".aifc", ".au", ".caf", ".mp2", ".rf64", ".snd", ".w64")
"""Extensions, in any case, of what counts as a recording. The format itself is recognised from the contents."""
UNREAD = {
    *(".3gp", ".aac", ".ac3", ".amr", ".ape", ".avi", ".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp4", ".mpc"),
    *(".opus", ".ra", ".weba", ".webm", ".wma", ".wv"),
} - set(EXTENSIONS)
"""Extensions of other sound files, which must be converted first."""
WRITABLE = {".wav": "WAV", ".flac": "FLAC"}
WAV_SAMPLES = (2**32 - 1 - 36) // 2
"""The most samples that a WAV file's 32-bit sizes allow, in mono at 16 bits."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says."""

    path: Path
    sample_rate: int
    """Hz"""
    channels: int
    samples: int
    """Per channel."""
    seconds: float
    format: str
    """Container and encoding, such as `WAV PCM_16`."""


def probe(path: str | Path) -> AudioInfo:
    """Read a file's header, the first one if recordings were joined. Raises AudioError if it is not audio."""
    with Recording(path) as file:
        rate = file.sample_rate
        return AudioInfo(
            Path(path), rate, file.channels, file.samples, file.samples / rate, f"{file.format} {file.subtype}"
        )


def blocks(
    path: str | Path, sample_rate: int, channel: str = "mix", normalise: str = "off", signal: Signal | None = None
) -> Iterator[Tensor]:
    """Decode a file piece by piece: float32 mono (samples,) at `sample_rate` Hz, a few MiB of memory at any length.

    `channel` and `normalise` are those of DataConfig. Of a damaged file, all that can be read is; recordings joined in
    one file follow one another. `signal`, if given, is filled in at the end, with any damage. Raises AudioError if
    nothing can be read, or samples are NaN, infinite, or in an unknown range.
    """
    from wavenet.audio.channels import one_channel
    from wavenet.audio.levels import Meter

    with Recording(path) as file:
        gain = 1.0
        if normalise != "off" or not file.exact:
            meter = Meter(normalise == "loudness", whole=not file.exact)
            for rate, pieces in file.streams(Account()):
                for _ in one_channel(path, pieces, rate, channel, 1.0, meter):
                    pass
            told = meter.gain(normalise)
            if told is None:
                raise UnusableAudioError(
                    path,
                    f"its samples reach {meter.peak:,.0f}, where 1 is full scale: save it in that range, or set "
                    "data.normalise=peak",
                )
            gain = told
        meter, account = Meter(), Account()
        for rate, pieces in file.streams(account):
            yield from resample_blocks(one_channel(path, pieces, rate, channel, gain, meter), rate, sample_rate)
        if not meter.samples and (account.missing or account.flaws):
            raise UnusableAudioError(path, "it is damaged, and none of it can be read")
        if signal is not None:
            signal.gain, signal.channels, signal.streams = gain, account.channels, account.streams
            signal.seconds, signal.missing, signal.flaws = account.seconds, account.missing, account.flaws
            signal.peak, signal.swing, signal.offset = meter.peak, meter.swing, meter.offset
            signal.clipped = meter.clipped / max(meter.samples, 1)
            signal.cancelled = meter.cancelled if channel == "mix" else 0.0


def read(path: str | Path, sample_rate: int, channel: str = "mix", normalise: str = "off") -> Tensor:
    """Decode a whole file: float32 mono (samples,) at `sample_rate` Hz. Raises AudioError as `blocks` does."""
    import torch

    return torch.cat([torch.empty(0), *blocks(path, sample_rate, channel, normalise)])


def resample(sound: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """(samples,) at one rate -> (samples,) at another, in Hz; see `resample_blocks`."""
    import torch

    return torch.cat([torch.empty(0), *resample_blocks([sound], from_rate, to_rate)])


def resample_blocks(pieces: Iterable[Tensor], from_rate: int, to_rate: int) -> Iterator[Tensor]:
    """Resample a signal that comes in pieces (samples,), float32, from one rate in Hz to another.

    The result does not depend on where the pieces are cut. It is not delayed, and n samples become n * to_rate /
    from_rate, rounded up. From the lower rate's Nyquist frequency on, everything is 120 dB down, below 16-bit noise; up
    to 0.9 of that frequency, levels are kept to 0.01 dB.
    """
    if from_rate == to_rate:
        yield from pieces
        return
    import soxr
    import torch

    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
    heard = made = 0
    for piece in pieces:
        done = stream.resample_chunk(piece.contiguous().numpy())
        heard, made = heard + len(piece), made + len(done)
        yield torch.from_numpy(done)
    # soxr rounds the length to the nearest sample, so a little silence is appended and the excess is cut off
    silence = np.zeros(from_rate // to_rate + 2, dtype=np.float32)
    yield torch.from_numpy(stream.resample_chunk(silence, last=True)[: -(-heard * to_rate // from_rate) - made])


class Writer:
    """Writes audio as it is made, 16 bits a sample, to a .wav or .flac file; use it in a `with` block.

    The file appears under its name when the block is left, even by an exception or Ctrl-C, with all that was written
    until then, unless that is nothing; an older file of that name stays whole until then. Missing folders are created,
    and links are followed. A pipe or device, such as /dev/stdout, is sent WAV at once; "-", the standard output, is
    sent bare samples. A `comment` is kept in the header of a file. Raises AudioError for another extension, a folder
    that cannot be written and a full disk.
    """

    def __init__(self, path: str | Path, sample_rate: int, comment: str | None = None) -> None:
        self.path, self.sample_rate = Path(path), sample_rate
        self.samples = 0
        """Samples written so far."""
        self._temporary: Path | None = None
        try:
            if self.path == RAW or streamed(self.path):
                self._file = PcmStream(self.path, sample_rate)
                return
            target, suffix = followed(self.path), self.path.suffix.lower()
            if suffix not in WRITABLE:
                raise AudioError(f"cannot write {self.path}: its name must end in {' or '.join(WRITABLE)}")
            if target.is_dir():
                raise AudioError(f"cannot write {self.path}: a folder has that name")
            target.parent.mkdir(parents=True, exist_ok=True)
            self._target, self._temporary = target, temporary_name(target)
            self._file = soundfile.SoundFile(
                _name(self._temporary), "w", sample_rate, 1, "PCM_16", format=WRITABLE[suffix]
            )
            if comment is not None:
                self._file.comment = comment
        except (OSError, soundfile.SoundFileError) as error:
            self._fail(error)

    def write(self, audio: Tensor | np.ndarray) -> None:
        """Append audio (samples,) in [-1, 1]; values outside are clipped."""
        # rounded here, because libsndfile scales floats differently for WAV and FLAC
        values = np.clip(np.round(np.asarray(audio, dtype=np.float32) * 32768), -32768, 32767).astype(np.int16)
        try:
            self._file.write(values)
            self.samples += len(values)
        except (OSError, soundfile.SoundFileError, AssertionError) as error:  # soundfile asserts that all was written
            self._fail(error)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file.closed:  # a write failed and raised
            return
        try:
            self._file.close()
            if self._temporary is None:
                return
            nothing = self._temporary.stat().st_size == 0  # libsndfile writes no empty FLAC
            if not self.samples and (nothing or exception[0] is not None):
                self._temporary.unlink()
                return
            if soundfile.info(_name(self._temporary)).frames != self.samples:  # closing does not report a full disk
                raise OSError("the file came out short; is the disk full?")
            os.replace(self._temporary, self._target)
        except (OSError, soundfile.SoundFileError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        with contextlib.suppress(Exception):
            self._file.close()
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink()
        if isinstance(error, BrokenPipeError):
            raise AudioError(f"cannot write {title(self.path)}: the program reading it has closed it") from error
        reason = getattr(error, "strerror", None) or str(error) or "the disk may be full"
        raise AudioError(f"cannot write {title(self.path)}: {reason}; {remedy(error)} another place") from error


def write(path: str | Path, audio: Tensor | np.ndarray, sample_rate: int) -> None:
    """Write audio (samples,) in [-1, 1] as Writer does; a file is written whole or not at all. Raises as Writer."""
    with Writer(path, sample_rate) as writer:
        writer.write(audio)


def _name(path: Path) -> Any:
    """A file's name in the form that libsndfile takes; it need not be valid text."""
    return os.fsencode(path) if os.name == "posix" else os.fspath(path)
