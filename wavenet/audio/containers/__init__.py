"""What of a file's bytes is sound: the streams that were joined in it, and what damage can be told from outside.

libsndfile reads the first stream of a file, as far as the header promises and no damage is met. Here files are cut
where one stream ends and the next begins, headers that were never finished are completed, and junk is left out, so that
what it is handed can be read to its end.
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
"""How a file that begins so is taken apart."""


def parts(source: Source) -> list[Part]:
    """The streams of a file, in order; one of all its bytes where the kind of file is not known. Raises OSError."""
    start = mpeg.after_tags(source, 0)
    reader = READERS.get(source.at(start, 4), mpeg.parts)
    return reader(source, start) or [Part(((0, source.size),))]
