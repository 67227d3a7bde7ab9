"""A file as bytes that can be read at any position, and parts of it as files of their own."""

import errno
import os
from dataclasses import dataclass
from typing import BinaryIO

WINDOW = 1 << 20
"""Bytes kept in memory."""


@dataclass(frozen=True)
class Part:
    """One stream of sound in a file."""

    pieces: tuple[tuple[int, int] | bytes, ...]
    """Its bytes, in order: start..stop of the file, or other bytes in their place."""
    length_told: bool = True
    """Whether its header gives its length."""
    share: float = 1.0
    """Share of the sound promised by the header that the file holds."""
    flaw: str = ""
    """Damage that shows without decoding, in words."""


class Source:
    """Random access to a file's bytes; a window of them is kept in memory. Raises OSError as the file does."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        self._start, self._window = 0, b""

    def at(self, position: int, count: int) -> bytes:
        """Up to `count` bytes from `position` on; fewer at the end of the file."""
        self._load(position, count)
        return self._window[position - self._start : position - self._start + count]

    def find(self, pattern: bytes, position: int) -> int | None:
        """The first place of `pattern` from `position` on; None if it does not occur."""
        while position + len(pattern) <= self.size:
            self._load(position, len(pattern))
            found = self._window.find(pattern, position - self._start)
            if found >= 0:
                return self._start + found
            position = self._start + len(self._window) - len(pattern) + 1
        return None

    def _load(self, position: int, count: int) -> None:
        """Move the window so that it holds these bytes, as far as the file has them."""
        if position < self._start or min(position + count, self.size) > self._start + len(self._window):
            self.file.seek(position)
            self._start, self._window = position, self.file.read(max(count, WINDOW))
            if len(self._window) < min(count, self.size - position):
                raise OSError(errno.EIO, "the file became shorter while it was read")


class View:
    """A part as a file that libsndfile can read. Exceptions cannot pass through C, so they are kept in `failure`."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        self._file, self._pieces = file, part.pieces
        self._lengths = [len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in part.pieces]
        self._size = sum(self._lengths)
        self._position = 0
        self.failure: BaseException | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`, or less at the end, and return how many bytes were read."""
        done = 0
        try:
            while done < len(buffer) and (read := self._read(len(buffer) - done)):
                buffer[done : done + len(read)] = read
                done += len(read)
                self._position += len(read)
        except BaseException as failure:  # an interrupt too
            self.failure = failure
            return 0
        return done

    def _read(self, count: int) -> bytes:
        """Some bytes from here on, none at the end."""
        before = self._position
        for piece, length in zip(self._pieces, self._lengths, strict=True):
            if before < length:
                if isinstance(piece, bytes):
                    return piece[before : before + count]
                self._file.seek(piece[0] + before)
                return self._file.read(min(count, length - before))
            before -= length
        return b""
