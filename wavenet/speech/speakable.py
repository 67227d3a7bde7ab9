"""A folder's recordings as a voice learns them: the units of each text, and when each is heard."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavenet.errors import AudioError, counted, some
from wavenet.recordings import alignments
from wavenet.recordings.alignments import Segments
from wavenet.recordings.preparation import Prepared, Progress
from wavenet.speech import aligning, front_ends, texts
from wavenet.speech.front_ends import FrontEnd
from wavenet.speech.sentences import Sentence
from wavenet.speech.timing import Timed, timed


@dataclass(frozen=True)
class Spoken:
    """Recordings with texts."""

    timed: dict[int, Timed]
    """By the recording's number."""
    units: list[str]
    """All units and gaps that are heard, in alphabetical order."""
    front_end: dict[str, Any]
    """What reads texts, as `FrontEnd.stored`."""


def read(
    prepared: Prepared, front_end: FrontEnd, kept: Path, say: Callable[[str], None], progress: Progress | None = None
) -> Spoken:
    """The folder's texts in time.

    The times come from the folder's phones.csv if it has the units of these texts, or else from `kept`, a table that is
    made by alignment if it does not exist. Raises AudioError if the folder has no texts, or none that can be said.
    """
    told = texts.read(prepared)
    for line in told.report:
        say(line)
    sentences, refused = front_ends.read_all(front_end, told.texts)
    faults = [f"{prepared.recordings[number].name}: {reason}" for number, reason in refused.items()]
    if faults:
        say(f"texts that cannot be said, whose recordings the voice does not learn: {some(faults)}")
    if not sentences:
        reason = f"; the first: {faults[0]}" if faults else ""
        raise AudioError(f"data.dir: no text of {prepared.folder} can be said{reason}")
    found = _times(prepared, sentences, kept, say, progress)
    units = {unit for one in found.values() for unit in one.units}
    return Spoken(found, sorted(units), front_end.stored())


def _times(
    prepared: Prepared,
    sentences: dict[int, Sentence],
    kept: Path,
    say: Callable[[str], None],
    progress: Progress | None,
) -> dict[int, Timed]:
    folder = prepared.folder / alignments.NAME
    if folder.is_file() and not kept.is_file():
        found = _matched(prepared, sentences, alignments.read(prepared, str(folder)))
        if 2 * len(found) >= len(sentences):
            _tell_missing(prepared, sentences, found, folder, say)
            return found
        say(f"{folder} has other units than the texts, so they are aligned anew")
    if not kept.is_file():
        aligned = aligning.align_recordings(prepared, sentences, progress)
        for line in aligned.report(prepared):
            say(line)
        aligning.write(kept, prepared, aligned)
        say(f"wrote {kept}: which unit is heard when")
    found = _matched(prepared, sentences, alignments.read(prepared, str(kept.absolute())))
    if not found:
        raise AudioError(f"{kept} has none of the units of the texts: delete it, and it is made anew")
    _tell_missing(prepared, sentences, found, kept, say)
    return found


def _matched(prepared: Prepared, sentences: dict[int, Sentence], segments: Segments) -> dict[int, Timed]:
    found = {}
    for number, sentence in sentences.items():
        one = timed(sentence, segments[number], prepared.recordings[number].samples)
        if one is not None:
            found[number] = one
    return found


def _tell_missing(
    prepared: Prepared, sentences: dict[int, Sentence], found: dict[int, Timed], path: Path, say: Callable[[str], None]
) -> None:
    missing = [prepared.recordings[number].name for number in sentences if number not in found]
    if missing:
        say(f"{counted(len(missing), 'recording')} not learned, because {path} has other units: {some(missing)}")
