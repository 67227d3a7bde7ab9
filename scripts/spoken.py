"""What a voice says: the texts of held-out recordings, and sentences of its own, for scripts/speech.py."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import hearing
import numpy as np
import prosody
import torch
from resynthesis import Contest, Utterance, by_griffin_lim, keep

from wavenet import audio
from wavenet.config import DataConfig, SpeakConfig
from wavenet.files import expanded
from wavenet.model import checkpoint
from wavenet.model.conditioning import Companion
from wavenet.recordings import alignments
from wavenet.recordings.annotations import Annotations, clamped
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import split
from wavenet.speech import sentences, speakable, texts
from wavenet.speech.corpus import Corpus
from wavenet.speech.sentences import GAPS
from wavenet.speech.speaker import Speaker

SENTENCES = """
The kettle began to whistle just as the last guest arrived.
Could you bring me a glass of cold water, please?
Seven grey geese flew over the frozen lake at sunrise.
I have never seen so many umbrellas in one small room.
Nobody knows who painted the ceiling of the old library.
Please turn left at the bakery and walk down to the harbour.
When the music stopped, everyone looked at the empty chair.
She keeps her favourite photographs in a wooden box.
The train to the mountains leaves every hour, even on Sundays.
What a strange and wonderful machine this is!
""".strip().splitlines()
"""English sentences that no recording of kathleen has."""


def voice(options: dict[str, str]) -> Contest:
    """Held-out texts with the recordings' durations and pitch, the same with the voice's own, and further sentences.

    The sentences are those of the file `sentences`, one per line, or SENTENCES if the listeners are English.
    """
    path = expanded(options["checkpoint"])
    loaded = checkpoint.load(path)
    threads = int(options["threads"])
    how = {"temperature": float(options["temperature"]), "seed": int(options["seed"]), "threads": threads}
    speaker = Speaker(loaded, SpeakConfig(text="", **how))
    data = DataConfig(dir=options["data.dir"] or None, sample_rate=loaded.sample_rate, **loaded.data)
    data.labels = list(loaded.model.config.labels)
    prepared = prepare(data, encoding=loaded.model.distribution.encoding)
    kept = path / alignments.NAME  # of its run, or made anew for this command
    if not kept.is_file():
        kept = Path(tempfile.mkdtemp()) / alignments.NAME
    spoken = speakable.read(prepared, speaker.front_end, kept, print)
    written = texts.read(prepared).texts
    r, hop = speaker.acoustic.config.frames_per_step, speaker.hop
    chosen = {span.recording: spoken.timed[span.recording] for span in split(prepared, data).valid}
    chosen = dict(list(chosen.items())[: int(options["count"])])
    if not chosen:
        sys.exit(f"error: nothing of {prepared.folder} is held out")
    corpus = Corpus(Annotations(prepared, loaded.model.config, split_by=data.split_by), chosen, hop * r, r)
    contest = Contest({"recordings": []}, speaker.rate)
    if options["recogniser"]:
        contest.pronounce = lambda text: pronounced(text, speaker)
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"durations": [], "f0": [], "mel": []}
    told: dict[str, list[Any]] = {"true durations and F0": [], "text alone": []}
    for index, recording in enumerate(corpus.recordings):
        units, labels = corpus.units(index), corpus.annotations.labels(recording)
        lasts, true = torch.from_numpy(corpus.durations(index)), corpus.frames(index)
        given = speaker.acoustic.say(units, labels, durations=lasts, prosody=true)
        alone, own = speaker.acoustic.say(units, labels), speaker.acoustic.say(units, labels, durations=lasts)
        told["true durations and F0"].append(given)
        told["text alone"].append(alone)
        sounding = np.array([unit not in GAPS for unit in units])
        seconds = hop * r / speaker.rate
        pairs["durations"].append((lasts.numpy()[sounding] * seconds, alone.durations.numpy()[sounding] * seconds))
        mels = speaker.acoustic.mels
        pairs["f0"].append((hertz(true, mels), hertz(own.frames, mels)))
        pairs["mel"].append((true[:, :mels].numpy(), given.frames[:, :mels].numpy()))
        name = prepared.recordings[recording].name
        sound = audio.read(prepared.folder / name, speaker.rate, data.channel, data.normalise)
        contest.sets["recordings"].append(Utterance(str(Path(name).with_suffix("")), sound, written[recording], sound))
    joined = {kind: tuple(map(np.concatenate, zip(*both, strict=True))) for kind, both in pairs.items()}
    figures = prosody.compare(**joined)  # pyright: ignore[reportArgumentType]
    for name, said in told.items():
        began = time.perf_counter()
        made = [torch.cat(list(speaker.sound(one, number))) for number, one in enumerate(said)]
        speed = sum(map(len, made)) / (time.perf_counter() - began)
        originals = contest.sets["recordings"]
        contest.sets[name] = [
            Utterance(one.name, sound, one.text, one.recording) for one, sound in zip(originals, made, strict=True)
        ]
        contest.facts[name] = {"samples_per_second": speed, "prosody": figures}
    told_frames = [as_companion(said.frames, hop) for said in told["text alone"]]
    lengths = [companion.samples for companion in told_frames]
    contest.sets["text alone, Griffin-Lim"] = [
        Utterance(one.name, sound, one.text, one.recording)
        for one, sound in zip(
            contest.sets["recordings"], by_griffin_lim(loaded, told_frames, lengths, options), strict=True
        )
    ]
    print("; ".join(f"{name} {value:.3g}" for name, value in figures.items() if value is not None))
    lines = SENTENCES if not options["recogniser"] else []
    if options["sentences"]:
        lines = [line for line in expanded(options["sentences"]).read_text(encoding="utf-8").splitlines() if line]
    if lines:
        contest.sets["sentences of no recording"] = [
            Utterance(
                f"sentence_{number:02d}",
                torch.cat([piece for phrase in speaker.phrases(text) for piece in phrase.sound]),
                text,
            )
            for number, text in enumerate(lines, start=1)
        ]
    if options["output"]:
        keep(contest, expanded(options["output"]))
    return contest


def pronounced(text: str, speaker: Speaker) -> list[str]:
    """The phones, without stress, that the voice's front end reads in a text."""
    read = (speaker.front_end.read(sentence) for sentence in sentences.split(text))
    return hearing.unstressed(unit for sentence in read for word in sentence.words for unit in word)


def as_companion(frames: torch.Tensor, hop: int) -> Companion:
    """Frames (n, channels) as Griffin-Lim takes them."""
    return Companion(torch.empty(0), frames=clamped(frames.numpy()), samples=len(frames) * hop)


def hertz(frames: torch.Tensor, mels: int) -> np.ndarray:
    """F0 of frames (n, mels + 3), 0 where unvoiced."""
    return (100 * 2 ** frames[:, mels] * frames[:, mels + 1]).numpy()
