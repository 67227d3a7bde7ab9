"""Files with 64-bit sizes (W64, RF64), and AU: how much of their sound is in the file."""

import struct

from wavenet.audio.containers.source import Part, Source

RIFF64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
"""How W64 files begin."""
MOST_CHUNKS = 1000
"""How many chunks are searched for the one that holds sound."""
UNKNOWN = 0xFFFFFFFF
"""The 32-bit value for an unknown size."""


def parts(source: Source, start: int) -> list[Part]:
    """The whole file as one part."""
    kind = source.at(start, 4)
    try:
        promised, begin = {b"riff": _w64, b"RF64": _rf64, b".snd": _au}[kind](source, start)
    except struct.error:  # the file ends within its header
        return []
    there = source.size - begin
    return [Part(((start, source.size),), share=max(there, 0) / promised if promised > there else 1.0)]


def _w64(source: Source, start: int) -> tuple[int, int]:
    """Bytes of sound that the header promises, 0 if it does not say, and where they begin; likewise below."""
    if source.at(start, 16) != RIFF64:
        return 0, start
    position = start + 40
    for _ in range(MOST_CHUNKS):
        name, size = struct.unpack("<4s12xq", source.at(position, 24))
        if name == b"data":
            return size - 24, position + 24
        position += max(-(-size // 8) * 8, 24)
    return 0, start


def _rf64(source: Source, start: int) -> tuple[int, int]:
    position, promised = start + 12, 0
    for _ in range(MOST_CHUNKS):
        name, size = struct.unpack("<4sI", source.at(position, 8))
        if name == b"ds64":
            (promised,) = struct.unpack("<8xq", source.at(position + 8, 16))
        if name == b"data":
            return promised if size == UNKNOWN else size, position + 8
        position += 8 + size + size % 2
    return 0, start


def _au(source: Source, start: int) -> tuple[int, int]:
    begin, size = struct.unpack(">4xII", source.at(start, 12))
    return 0 if size == UNKNOWN else size, start + begin
