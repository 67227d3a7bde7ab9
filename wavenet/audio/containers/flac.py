"""FLAC files, single or joined."""

from wavenet.audio.containers.source import Part, Source

MARK = b"fLaC"
FIRST_BLOCK = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")
"""What always follows the mark: the header of the STREAMINFO block, with its length."""


def parts(source: Source, start: int) -> list[Part]:
    """Each stream from its mark to the next one's."""
    starts, found = [start], source.find(MARK, start + 4)
    while found is not None:
        if source.at(found + 4, 4) in FIRST_BLOCK:
            starts.append(found)
        found = source.find(MARK, found + 4)
    return [Part((piece,)) for piece in zip(starts, [*starts[1:], source.size], strict=True)]
