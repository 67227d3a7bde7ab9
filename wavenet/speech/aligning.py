"""Recordings and their texts -> which unit is heard when, and the recordings whose text does not fit."""

import contextlib
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from wavenet import audio
from wavenet.audio import features
from wavenet.config import FeatureConfig
from wavenet.errors import AudioError, counted, some
from wavenet.files import atomic
from wavenet.recordings import alignments
from wavenet.recordings.preparation import Prepared, Progress
from wavenet.speech import alignment
from wavenet.speech.alignment import Aligned
from wavenet.speech.sentences import SILENCE, Sentence

HOP, WINDOW = 100, 40
"""Frames come every 1 / HOP of a second, and each is computed from 1 / WINDOW of a second around its centre."""
MELS, CEPSTRA = 40, 13
SLOPE = 2
"""Frames to either side from which a cepstrum's slope is measured."""
MOST_SECONDS = 2 * 3600
"""Sound that the model is trained on, at most, spread over the folder. An hour takes 60 MB of memory."""
LARGEST = 200_000_000
"""Frames times states of a recording at most, about three minutes of speech. It then takes 1.2 GB of memory."""
TOGETHER = 256
"""Recordings that are aligned together, once the model is trained."""
MISFIT = 4.5
"""Deviations below the median fit from which on a text is told not to fit its recording. A deviation is 1.4826 times
the median distance from the median, or LEAST_DEVIATION if that is more."""
LEAST_DEVIATION = 0.25
HEADER = (*alignments.COLUMNS, "word")


@dataclass(frozen=True)
class Alignment:
    """What is heard when in a folder of recordings."""

    found: dict[int, Aligned]
    """By the recording's number."""
    skipped: dict[int, str]
    """Recordings that could not be aligned, and why."""
    sentences: dict[int, Sentence]
    hop: int
    """Samples per frame, at the prepared rate."""

    @property
    def median_fit(self) -> float:
        return float(np.median([one.fit for one in self.found.values()]))

    @property
    def misfits(self) -> list[int]:
        """Recordings whose text does not fit, the worst first."""
        fits = np.array([one.fit for one in self.found.values()])
        middle = self.median_fit
        deviation = max(1.4826 * np.median(np.abs(fits - middle)), LEAST_DEVIATION)
        worst = sorted(self.found, key=lambda number: self.found[number].fit)
        return [number for number in worst if self.found[number].fit < middle - MISFIT * deviation]

    @property
    def units(self) -> set[str]:
        return {interval.unit for one in self.found.values() for interval in one.intervals} - {SILENCE}

    def report(self, prepared: Prepared) -> list[str]:
        """What was aligned, what was not, and which texts do not fit, as lines of text."""
        lines = [f"aligned {counted(len(self.found), 'recording')}: {counted(len(self.units), 'unit')}"]
        reasons: dict[str, list[str]] = {}
        for number, reason in self.skipped.items():
            reasons.setdefault(reason, []).append(prepared.recordings[number].name)
        lines += [f"not aligned, because {reason}: {some(names)}" for reason, names in reasons.items()]
        if self.misfits:
            told = [f"{prepared.recordings[number].name} {self.found[number].fit:.1f}" for number in self.misfits]
            lines.append(
                f"texts that do not seem to fit their recordings, with the fit of each (half of all recordings have "
                f"more than {self.median_fit:.1f}): {some(told, 20)}"
            )
        return lines


def align_recordings(prepared: Prepared, sentences: dict[int, Sentence], progress: Progress | None = None) -> Alignment:
    """Which unit of each sentence is heard when in its recording. The result is the same on any number of threads.

    sentences: by the recording's number. The model is trained on the recordings themselves, or on MOST_SECONDS of them.
    `progress` gets a percentage, and 100. Raises AudioError if no recording can be aligned.
    """
    hop, skipped = max(1, round(prepared.sample_rate / HOP)), {}
    for number, sentence in sentences.items():
        frames, states = -(-prepared.recordings[number].samples // hop), alignment.least_frames(sentence.words)
        if frames * states > LARGEST:
            skipped[number] = "they are longer than about three minutes (cut them into sentences)"
        elif frames < states:
            skipped[number] = "they are too short for their texts"
    chosen = [number for number in sorted(sentences) if number not in skipped]
    if not chosen:
        reason = f": {next(iter(skipped.values()))}" if skipped else ""
        raise AudioError(f"data.dir: no recording of {prepared.folder} can be aligned with its text{reason}")
    words = {number: sentences[number].words for number in chosen}
    with _one_thread():
        learned = _some(prepared, words)
        told = _percentage(progress, len(learned) * (len(alignment.SCHEDULE) - 1) + len(chosen))
        lengths = [-(-prepared.recordings[number].samples // hop) for number in learned]
        frames = np.empty((sum(lengths), 3 * CEPSTRA), dtype=np.float32)
        kept = dict(zip(learned, np.split(frames, np.cumsum(lengths)[:-1]), strict=True))
        for number, place in kept.items():
            place[:] = cepstra(prepared, number, hop)
        model = alignment.train(frames, lengths, [words[number] for number in learned], told)
        found: dict[int, Aligned] = {}
        by_length = sorted(chosen, key=lambda number: prepared.recordings[number].samples)
        for first in range(0, len(by_length), TOGETHER):
            some_of_them = by_length[first : first + TOGETHER]
            heard = [kept[n] if n in kept else cepstra(prepared, n, hop) for n in some_of_them]
            made = alignment.find(model, heard, [words[number] for number in some_of_them], told)
            found |= dict(zip(some_of_them, made, strict=True))
    return Alignment({number: found[number] for number in chosen}, skipped, sentences, hop)


def cepstra(prepared: Prepared, number: int, hop: int) -> np.ndarray:
    """(T, 39) float32: a recording's mel cepstra, their slopes, and the slopes of these, less their means.

    Frame t describes samples t hop .. (t + 1) hop, and is computed from a window around their middle, so that a
    boundary between two frames lies where the sound changes. Where a loud sound is cut off sharply, it reaches into
    the frames of the silence beside it by up to half a window; speech sets in and fades more slowly than that.
    """
    place = prepared.recordings[number]
    window = max(16, round(prepared.sample_rate / WINDOW))
    config = FeatureConfig(kinds=["mel"], hop=hop, window=window, mels=MELS)
    codes = prepared.codes[place.start : place.start + place.samples]
    mel = features.frames(codes, config, prepared.sample_rate, prepared.folder / place.name)
    angles = np.pi / MELS * (np.arange(MELS) + 0.5)
    cosines = np.sqrt(2 / MELS) * np.cos(angles[:, None] * np.arange(CEPSTRA))
    still = (torch.from_numpy(mel) @ torch.from_numpy(cosines.astype(np.float32))).numpy()
    slopes = _slopes(still)
    frames = np.concatenate([still, slopes, _slopes(slopes)], axis=1)
    return frames - frames.mean(axis=0)


def write(path: Path, prepared: Prepared, made: Alignment) -> None:
    """Write which unit is heard when, as `wavenet.recordings.alignments` reads it, with the word of each unit.

    Raises AudioError if the file cannot be written.
    """
    try:
        with (
            atomic(path) as temporary,
            # names need not be valid text, and are written as they are
            open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow(HEADER)
            for number in made.found:
                table.writerows(_rows(prepared, number, made))
    except OSError as error:
        raise AudioError(f"cannot write {path} ({error.strerror}); choose another place") from error


def _rows(prepared: Prepared, number: int, made: Alignment) -> Iterator[tuple]:
    """(file_name, start_sample, end_sample, phone, word) of each unit, in samples of the recording's own rate."""
    recording, written = prepared.recordings[number], made.sentences[number].written
    scale = audio.probe(prepared.folder / recording.name).sample_rate / prepared.sample_rate
    for start, stop, unit, word in made.found[number].intervals:
        end = min(stop * made.hop, recording.samples)
        yield (
            recording.name,
            round(start * made.hop * scale),
            round(end * scale),
            unit,
            written[word] if word >= 0 else "",
        )


def _some(prepared: Prepared, words: dict[int, list[list[str]]]) -> list[int]:
    """Recordings to train on: all, or MOST_SECONDS spread over the folder and what has the units missing in them."""
    seconds = {number: prepared.recordings[number].samples / prepared.sample_rate for number in words}
    step = max(1.0, sum(seconds.values()) / MOST_SECONDS)
    order = list(words)
    chosen = {order[int(place * step)] for place in range(int(len(order) / step))} or {order[0]}
    heard = {unit for number in chosen for word in words[number] for unit in word}
    for number in order:
        own = {unit for word in words[number] for unit in word}
        if not own <= heard:
            chosen.add(number)
            heard |= own
    return sorted(chosen)


def _slopes(frames: np.ndarray) -> np.ndarray:
    """(T, D) -> (T, D): the slope of a line through SLOPE frames to either side."""
    wide = np.pad(frames, ((SLOPE, SLOPE), (0, 0)), mode="edge")
    parts = [n * (wide[SLOPE + n : len(wide) - SLOPE + n] - wide[SLOPE - n : -SLOPE - n]) for n in range(1, SLOPE + 1)]
    return np.sum(parts, axis=0) / np.float32(2 * sum(n * n for n in range(1, SLOPE + 1)))


def _percentage(progress: Progress | None, total: int) -> Callable[[int], None] | None:
    if progress is None:
        return None
    done = 0

    def told(more: int) -> None:
        nonlocal done
        done += more
        progress(100 * done // total, 100)

    return told


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread, so that sums do not depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
