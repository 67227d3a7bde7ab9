"""MPEG audio (MP3), single files or joined ones, frame by frame.

Frames follow one another without marks; each begins with eleven set bits and gives its length. The first frame of a
stream may hold the number of frames instead of sound ("Xing", "Info", "VBRI"). Tags may lie anywhere.
"""

import math
from collections.abc import Iterator

from wavenet.audio.containers.source import Part, Source

MPEG1 = 3
KBITS = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates by version (MPEG-1 or later) and layer."""
RATES = {MPEG1: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Sample rates by version."""
SURE = 3
"""Frames in a row that prove the start of a stream of another kind; two are enough for the same kind."""

JUNK = 1 << 14
"""Bytes that may lie before the first frame; with more, the file is not MPEG audio."""

Kind = tuple[int, int, bool]
"""What all frames of a stream share: version and layer, sample rate, whether it is mono."""


def _lengths() -> list[int]:
    """Bytes of a frame, by the bits of its header for version, layer, bit rate, sample rate and padding."""
    table = [0] * 4096
    for version, rates in RATES.items():
        for layer in (1, 2, 3):
            for number, kbits in enumerate(KBITS[version == MPEG1, layer], start=1):
                for place, rate in enumerate(rates):
                    for padding in (0, 1):
                        if layer == 1:
                            length = (12000 * kbits // rate + padding) * 4
                        else:
                            length = (144000 if version == MPEG1 or layer == 2 else 72000) * kbits // rate + padding
                        table[version << 10 | (4 - layer) << 8 | number << 4 | place << 2 | padding << 1] = length
    return table


LENGTHS = _lengths()


def parts(source: Source, start: int) -> list[Part]:
    """The streams, without tags and junk; none if there are not enough frames in a row."""
    found = []
    position = _resynchronised(source, start, None, start + JUNK)
    while position is not None:
        stream = _Stream(source, position)
        found.append(stream.part())
        position = stream.following
    return found


def after_tags(source: Source, position: int) -> int:
    """The end of the tags (ID3, APE) that begin at `position`."""
    while True:
        head = source.at(position, 32)
        if head[:3] == b"ID3" and len(head) == 32 and max(head[6:10]) < 128:
            position += 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        elif head[:3] == b"TAG":
            position += 128
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            position += 32 + int.from_bytes(head[12:16], "little")
        else:
            return position


class _Stream:
    """Frames of one kind from `position` on; `following` is where the next stream begins."""

    def __init__(self, source: Source, position: int) -> None:
        self._ranges: list[tuple[int, int]] = []
        self._frames = 0
        self._damaged = 0
        self._cut = False
        self.following: int | None = None
        kind = self._kind = _frame(source, position)[1]
        count = self._count = _announced(source, position, kind)
        last = begin = position
        while True:
            length, found = _frame(source, position)
            stop = position + length
            here = length > 0 and found == kind and stop <= source.size
            full = count is not None and self._frames > count
            if here and not full and not (self._frames and _info(source, position, kind) is not None):
                self._frames, last, position = self._frames + 1, position, stop
                continue
            self._ranges.append((begin, position))
            tagged = after_tags(source, position)
            if tagged >= source.size:
                return
            if here:  # another stream, of the same kind
                self.following = position
                return
            following = _resynchronised(source, tagged if tagged > position else last + 1, kind)
            if following is None:
                self._cut = bool(length and stop > source.size)
                return
            if _frame(source, following)[1] != kind or _info(source, following, kind) is not None:
                self.following = following
                return
            if following < position:  # the last frame gave a wrong length
                self._ranges[-1] = (begin, last)
            self._damaged += tagged == position
            begin = position = following

    def part(self) -> Part:
        """The stream, with a count of its frames put before it if it has none of its own."""
        flaws = []
        if self._damaged:
            flaws.append("it is damaged in " + ("one place" if self._damaged == 1 else f"{self._damaged} places"))
        if self._cut:
            flaws.append("it ends within a frame")
        pieces = [(start, stop) for start, stop in self._ranges if stop > start]
        counted = self._count is None and self._kind[0] & 6 == 2  # layer 3, the only one that can have a count
        told = [_information(self._kind, self._frames)] * counted
        return Part((*told, *pieces), self._count is not None, flaw=" and ".join(flaws))


def _information(kind: Kind, count: int) -> bytes:
    """A frame without sound that holds the number of frames. Without it, libsndfile guesses from the first bit rate."""
    version, rate, mono = kind
    least = 4 + _side(kind) + 120  # bytes that mpg123 reads
    coded = next(number << 4 for number in range(1, 15) if LENGTHS[version << 7 | number << 4 | rate] >= least)
    frame = bytes([0xFF, 0xE1 | version, coded | rate, 0xC0 if mono else 0]) + bytes(_side(kind))
    frame += b"Xing" + (1).to_bytes(4, "big") + count.to_bytes(4, "big")
    return frame.ljust(LENGTHS[version << 7 | coded | rate], b"\0")


def _frame(source: Source, position: int) -> tuple[int, Kind]:
    """Length in bytes, 0 if no frame begins here, and kind."""
    head = source.at(position, 4)
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return 0, (0, 0, False)
    return LENGTHS[(head[1] & 0x1E) << 7 | head[2] & 0xFE], (head[1] & 0x1E, head[2] & 0x0C, head[3] >= 0xC0)


def _side(kind: Kind) -> int:
    """Bytes between the header and the mark of a frame without sound."""
    return (9 if kind[2] else 17) if kind[0] >> 3 != MPEG1 else (17 if kind[2] else 32)


def _info(source: Source, position: int, kind: Kind) -> bytes | None:
    """The bytes after the mark of a frame that holds no sound; None for any other frame."""
    side, head = _side(kind), source.at(position, 60)
    if head[4 + side : 8 + side] in (b"Xing", b"Info"):
        return head[8 + side :]
    return head[40:] if head[36:40] == b"VBRI" else None


def _announced(source: Source, position: int, kind: Kind) -> int | None:
    """The number of frames of sound that the first frame announces; None if it announces none."""
    told = _info(source, position, kind)
    if told is None or len(told) < 8 or source.at(position + 36, 4) == b"VBRI" or not told[3] & 1:
        return None
    return int.from_bytes(told[4:8], "big") or None


def _resynchronised(source: Source, position: int, kind: Kind | None, limit: float = math.inf) -> int | None:
    """Where frames continue, before `limit`: two in a row of this kind, or SURE of another. None if nowhere."""
    for candidate in _marks(source, position):
        if candidate >= limit:
            break
        length, found = _frame(source, candidate)
        if length and _in_a_row(source, candidate, found, 2 if found == kind else SURE):
            return candidate
    return None


def _marks(source: Source, position: int) -> Iterator[int]:
    while (found := source.find(b"\xff", position)) is not None:
        yield found
        position = found + 1


def _in_a_row(source: Source, position: int, kind: Kind, count: int) -> bool:
    for _ in range(count):
        length, found = _frame(source, position)
        if not length or found != kind:
            return False
        position += length
        if after_tags(source, position) >= source.size:
            return position <= source.size
    return True
