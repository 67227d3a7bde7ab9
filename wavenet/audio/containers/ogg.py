"""Ogg files (Vorbis, Opus, FLAC in Ogg), single or joined, page by page."""

from wavenet.audio.containers.source import Part, Source

BEGINS, ENDS = 2, 4
"""Flags of the first and the last page of a stream."""
CODECS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ", b"fishead\0", b"\x80theora")
"""How the first packet of a stream begins. A page that is flagged as first but begins otherwise is damaged."""
CUT = "it ends before its end mark"


def parts(source: Source, start: int) -> list[Part]:
    """Each group of streams that run side by side, from its first page to the next group's."""
    found: list[Part] = []
    position, opening, ended = start, True, False
    while (page := source.find(b"OggS", position)) is not None:
        head = source.at(page, 27)
        lacing = source.at(page + 27, head[26]) if len(head) == 27 else b""
        stop = page + 27 + len(lacing) + sum(lacing)
        if len(head) < 27 or len(lacing) < head[26] or stop > source.size:
            position, ended = page + 4, False  # the page is cut off, or its length is wrong
            continue
        begins = bool(head[5] & BEGINS) and source.at(page + 27 + len(lacing), 8).startswith(CODECS)
        if begins and not opening:
            found.append(_part(start, page, ended))
            start = page
        opening, ended = begins, bool(head[5] & ENDS)
        position = stop if source.at(stop, 4) in (b"OggS", b"") else page + 4
    return [*found, _part(start, source.size, ended)]


def _part(start: int, stop: int, ended: bool) -> Part:
    return Part(((start, stop),), flaw="" if ended else CUT)
