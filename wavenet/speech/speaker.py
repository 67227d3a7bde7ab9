"""Speaking: texts in, sound out, sentence by sentence, as it is made.

    text -> sentences -> units -> durations and frames (the acoustic model) -> samples (the vocoder)

One engine makes all sentences. Its int8 scales are measured once, on the voice's own example, so a sentence sounds the
same whatever was said before it.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from wavenet.config import SpeakConfig
from wavenet.errors import AudioError
from wavenet.generation.engine import Engine
from wavenet.generation.vocoder import Vocoder
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.conditioning import Companion
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.annotations import clamped
from wavenet.speech import front_ends, sentences, storing
from wavenet.speech.acoustic import Said
from wavenet.speech.sentences import BEGIN, GAPS, MARKS, PLAIN, Sentence
from wavenet.speech.storing import Acoustic

LAST = (".", "!", "?", PLAIN)
"""What the end of a text is read as, the first that the voice has heard."""
ALIKE = {mark: (mark, *((".", "!", "?") if mark in ".!?" else (",", ";", ":", "-")), PLAIN) for mark in MARKS}
ALIKE |= {PLAIN: (PLAIN, ","), BEGIN: (BEGIN,)}
"""What each gap is read as, the first that the voice has heard."""


@dataclass(frozen=True)
class Moment:
    """One unit or gap in the sound."""

    start: float
    stop: float
    """Seconds from the beginning of the text."""
    unit: str
    word: str
    """The word that it belongs to; empty in a gap."""


@dataclass(frozen=True)
class Phrase:
    """One sentence that is about to be heard."""

    text: str
    samples: int
    moments: list[Moment]
    frames: Tensor
    """(n, mels + 3), of the acoustic model"""
    sound: Iterator[Tensor]
    """Pieces (n,) in [-1, 1], as they are made."""


class Speaker:
    """A voice that is ready to speak."""

    def __init__(self, voice: Checkpoint, config: SpeakConfig, labels: Tensor | None = None) -> None:
        """labels: (values,), who speaks. Raises CheckpointError for a model that cannot speak, and ConfigError for a
        front end that is not installed or an engine that is not available."""
        acoustic = storing.of_voice(voice)
        self.model, self.acoustic, self.config, self.labels = voice.model, acoustic.model, config, labels
        self.rate, self.hop = voice.sample_rate, voice.model.config.features.hop
        self.front_end = front_ends.restore(acoustic.front_end)
        self.sampling = Sampling(config.temperature, 0, config.top_p)
        self.model.distribution.check(self.sampling)
        how = {"engine": config.engine, "precision": config.precision, "instruction_set": config.instruction_set}
        examples = [] if acoustic.scales else [example(acoustic, self.model, labels)]
        self.vocoder = Vocoder(self.model, self.rate, acoustic.scales, examples, **how, threads=config.threads)

    @property
    def engine(self) -> Engine:
        """What makes the samples."""
        return self.vocoder.engine

    def phrases(self, text: str | Iterable[str]) -> Iterator[Phrase]:
        """The sentences of a text, or of the lines of one, each before it is made: hear each one's sound to its end.

        Raises AudioError for a text without words, and for one that this voice cannot say, naming the sentence.
        """
        number, begun = 0, 0
        for number, written in enumerate(sentences.split(text), start=1):
            phrase = self._phrase(written, number - 1, begun / self.rate)
            begun += phrase.samples
            yield phrase
        if not number:
            raise AudioError('the text is empty: give words to say, as in text="Hello, world!"')

    def _phrase(self, written: str, number: int, begun: float) -> Phrase:
        sentence = self.front_end.read(written)
        units = in_known_gaps(sentence.units, self.acoustic.numbers)
        unknown = sorted(set(units) - self.acoustic.numbers.keys())
        if unknown:
            raise AudioError(
                f"{written!r} has {', '.join(unknown)}, which this voice never heard in training: spell it otherwise"
            )
        said = self.acoustic.say(units, self.labels, rate=self.config.rate, pitch=self.config.pitch)
        samples = len(said.frames) * self.hop
        moments = self._moments(sentence, said, begun)
        return Phrase(written, samples, moments, said.frames, self.sound(said, number))

    def sound(self, said: Said, number: int) -> Iterator[Tensor]:
        """What the vocoder makes of the frames of sentence `number`, from 0: pieces (n,), as they are made."""
        return self.vocoder.stream(said.frames, self.labels, self.config.seed + number, self.sampling)

    def _moments(self, sentence: Sentence, said: Said, begun: float) -> list[Moment]:
        seconds = self.hop * self.acoustic.config.frames_per_step / self.rate
        ends = (begun + said.durations.cumsum(dim=0) * seconds).tolist()
        found, start = [], begun
        for unit, word, stop in zip(sentence.units, sentence.owners, ends, strict=True):
            if stop > start:
                found.append(Moment(start, stop, unit, word))
            start = stop
        return found


def example(acoustic: Acoustic, vocoder: WaveNet, labels: Tensor | None = None) -> Companion:
    """What the voice's own example tells its vocoder. labels: (values,), who speaks."""
    said = acoustic.model.say(acoustic.example, labels)
    told = torch.zeros(sum(map(len, vocoder.config.labels.values()))) if labels is None else labels
    samples = len(said.frames) * vocoder.config.features.hop
    return Companion(told, frames=clamped(said.frames.numpy()), samples=samples)


def in_known_gaps(units: list[str], known: Collection[str]) -> list[str]:
    """The units of a sentence with gaps that the voice has heard: a mark that is in no text of its recordings is read
    as the most alike that is. A text that ends without a mark ends as with a full stop."""
    last = len(units) - 1
    return [
        next((gap for gap in (LAST if place == last and unit == PLAIN else ALIKE[unit]) if gap in known), unit)
        if unit in GAPS
        else unit
        for place, unit in enumerate(units)
    ]
