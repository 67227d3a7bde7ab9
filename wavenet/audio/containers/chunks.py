"""Files of chunks (WAV, AIFF), single or joined, whose sizes may never have been written."""

import struct

from wavenet.audio.containers.source import Part, Source

FORMS = (b"RIFF", b"RIFX", b"FORM")
UNKNOWN = 0x7FFF0000
"""A size from here on means "unknown": programs write it to a pipe, for example."""
LARGEST = 2**32 - 16
"""The largest size that fits the 32 bits of a form."""
COMPANIONS = (b"LIST", b"PEAK", b"bext", b"cue ", b"fact", b"fmt ", b"id3 ", b"ID3 ", b"junk", b"JUNK", b"smpl")
COMPANIONS += (b"COMM", b"COMT", b"MARK", b"INST", b"NAME", b"AUTH", b"ANNO", b"(c) ", b"iXML", b"_PMX", b"LGWV")
"""Chunks that may follow a sound chunk that is really empty."""
UNFINISHED = "its header was never finished: it was read to the end of the file"


def parts(source: Source, start: int) -> list[Part]:
    """Each form, with the size of its sound corrected."""
    found = []
    while source.at(start, 4) in FORMS:
        part, start = _form(source, start)
        found.append(part)
    return found


def _form(source: Source, start: int) -> tuple[Part, int]:
    """One form, and the position where the next would begin."""
    big = source.at(start, 4) != b"RIFF"
    order = ">" if big else "<"
    position, common, size = start + 12, None, source.size
    while position + 8 <= size:
        name, length = struct.unpack(order + "4sI", source.at(position, 8))
        if name in FORMS or not _is_name(name):
            break
        there = size - position - 8
        if name == b"COMM":
            common = position
        if name in (b"data", b"SSND"):
            if length >= UNKNOWN and length > there:
                return Part(((start, size),)), size
            if length <= 8 * (name == b"SSND") and not _is_empty(source, position + 8 + length, order):
                return _completed(source, start, position, common, order), size
            if length > there:
                return Part(((start, size),), share=there / length), size
        position += 8 + length
        if length % 2 and not _is_name(source.at(position, 4)):  # some programs do not pad
            position += 1
    return Part(((start, min(position, size)),)), min(position, size)


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _is_empty(source: Source, position: int, order: str) -> bool:
    """Whether the end of the file or another chunk is here, not sound."""
    if position >= source.size:
        return True
    following = source.at(position, 8)
    if following[:4] in FORMS or len(following) < 8:
        return True
    return following[:4] in COMPANIONS and position + struct.unpack(order + "4sI", following)[1] <= source.size


def _completed(source: Source, start: int, position: int, common: int | None, order: str) -> Part:
    """A form with the missing size of its sound, the chunk at `position`, filled in."""
    there = min(source.size - position - 8, LARGEST - position + start)
    told = {start + 4: position + there - start, position + 4: there}
    description = source.at(common + 8, 8) if common is not None else b""
    if common is not None and len(description) == 8:
        channels, _, bits = struct.unpack(">hIh", description)
        told[common + 10] = (there - 8) // max(channels * -(-bits // 8), 1)
    pieces: list[tuple[int, int] | bytes] = []
    for place, size in sorted(told.items()):
        pieces += [(start, place), struct.pack(order + "I", size)]
        start = place + 4
    return Part((*pieces, (start, position + 8 + there)), flaw=UNFINISHED)
