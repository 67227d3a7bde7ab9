"""The streams of sound in a file's bytes, and the damage that shows without decoding.

libsndfile reads only the first stream of a file, up to the length in its header or the first damage. Here files are cut
where one stream ends and the next begins, unfinished headers are completed, and junk is left out, so that libsndfile
can read every stream to its end. This room imports no other room.
"""

from wavenet.audio.containers import chunks, flac, long, mpeg, ogg
from wavenet.audio.containers.source import Part, Source, View

__all__ = ["Part", "Source", "View", "parts"]

READERS = {
    **dict.fromkeys((b"RIFF", b"RIFX", b"FORM"), chunks.parts),
    **dict.fromkeys((b"riff", b"RF64", b".snd"), long.parts),
    b"fLaC": flac.parts,
    b"OggS": ogg.parts,
}
"""First four bytes of a file -> the function that finds its streams."""


def parts(source: Source) -> list[Part]:
    """The streams of a file, in order; one of all its bytes if the kind of file is unknown. Raises OSError."""
    start = mpeg.after_tags(source, 0)
    reader = READERS.get(source.at(start, 4), mpeg.parts)
    return reader(source, start) or [Part(((0, source.size),))]
