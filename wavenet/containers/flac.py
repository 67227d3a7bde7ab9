"""FLAC files, one or several joined."""

from wavenet.containers.source import Part, Source

BEGINNINGS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
"""The mark, then the header of the block that always comes first, with its length."""


def parts(source: Source, start: int) -> list[Part]:
    """Each stream from its mark to the next one's."""
    starts = [start]
    for beginning in BEGINNINGS:
        found = source.find(beginning, start + 4)
        while found is not None:
            starts.append(found)
            found = source.find(beginning, found + 4)
    starts.sort()
    return [Part((piece,)) for piece in zip(starts, [*starts[1:], source.size], strict=True)]
