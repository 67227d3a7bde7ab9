"""Measures speech: what is understood of it, how it sounds, and how near it is to the recordings it follows.

    python scripts/speech.py vocoder data.dir=~/speech [checkpoint=runs/vocoder,...] [count=20] [temperature=1] [seed=0]
        [precision=int8] [output=FOLDER] [report=FILE] [threads=1]
    python scripts/speech.py voice checkpoint=runs/voice data.dir=~/speech [count=40] [temperature=0.8] [output=FOLDER]
        [sentences=FILE] [recogniser=runs/phones] [report=FILE] [threads=1]
    python scripts/speech.py sounds folder=FOLDER [texts=FILE.csv] [recordings=FOLDER] [split=] [count=0] [report=FILE]
        [threads=1]

`vocoder` makes the first `count` held-out recordings again from their own features, with the compiled engine, and from
the same mel frames with Griffin-Lim. It measures both beside the recordings and their mu-law codes; without a
checkpoint, these two alone. Several checkpoints of a run are measured side by side. Texts are the column `text` of the
folder's metadata.csv. `output` keeps the sounds.
`voice` says the texts of held-out recordings, with the recordings' durations and pitch and with its own, and ten
English sentences that are in no recording, or those of `sentences`, one per line. Words and phones are heard by
listeners who know only English. For another language, `recogniser` is a checkpoint of `experiment=phones` that was
trained on recordings of it, with the phones that the voice has; words are then not measured.
`sounds` measures any folder of sounds. `texts` is a table of `file_name` and `text`, of which `split` chooses rows;
`recordings` holds natural sounds of the same names.

Words and phones are compared as scripts/hearing.py says. `make measures` installs the packages that listen; what is
missing is left out. All rates are edits per expected word or phone, all sounds together.
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hearing
import prosody
import torch
from resynthesis import Contest, Utterance, vocoder
from rich.console import Console
from rich.table import Table
from spoken import voice
from torch import Tensor

from wavenet import audio
from wavenet.audio import features
from wavenet.config import FeatureConfig
from wavenet.errors import WaveNetError
from wavenet.evaluation import fidelity
from wavenet.files import expanded
from wavenet.recordings import metadata, tables

HOW = {"checkpoint": "", "temperature": "1", "seed": "0", "precision": "int8", "output": ""}
SAY = {"temperature": "0.8", "seed": "0", "output": "", "sentences": "", "recogniser": ""}
DEFAULTS = {
    "vocoder": {"data.dir": "", "count": "20", **HOW, "report": "", "threads": "1"},
    "voice": {"checkpoint": "", "data.dir": "", "count": "40", **SAY, "report": "", "threads": "1"},
    "sounds": {"folder": "", "texts": "", "recordings": "", "split": "", "count": "0", "report": "", "threads": "1"},
}
COLUMNS = {
    "word_error_rate": ("WER", "{:.1%}"),
    "phone_error_rate": ("PER", "{:.1%}"),
    "phone_error_rate_to_recording": ("PER, natural", "{:.1%}"),
    "opinion": ("DistillMOS", "{:.2f}"),
    "f0_cents": ("F0 RMS", "{:.0f}"),
    "f0_cents_median": ("F0 median", "{:.0f}"),
    "voicing_error": ("V/UV", "{:.1%}"),
    "log_spectral_distance": ("LSD", "{:.1f}"),
    "mcd": ("MCD", "{:.2f}"),
    "pesq": ("PESQ", "{:.2f}"),
    "stoi": ("STOI", "{:.3f}"),
    "samples_per_second": ("samples/s", "{:,.0f}"),
}
"""Measure -> its heading and format."""
FRAME_SECONDS = 0.005
"""Between frames of F0 and mel spectra."""


@dataclass
class Listeners:
    """The three listeners, as far as they are installed, and the phones that each recording was heard as."""

    words: Callable[..., Any] | None = field(default_factory=lambda: hearing.listener("words"))
    phones: Callable[..., Any] | None = field(default_factory=lambda: hearing.listener("phones"))
    opinion: Callable[..., Any] | None = field(default_factory=lambda: hearing.listener("opinion"))
    pronounce: Callable[[str], list[str]] | None = field(default_factory=hearing.pronouncer)
    heard: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def by(cls, recogniser: str, contest: Contest) -> "Listeners":
        """English listeners, or where a recogniser is named, that one for phones and none for words."""
        if not recogniser:
            return cls()
        return cls(words=None, phones=hearing.recogniser(expanded(recogniser)), pronounce=contest.pronounce)


def main() -> None:
    what, *settings = sys.argv[1:] or ["help"]
    given = {name: value for name, _, value in (setting.partition("=") for setting in settings)}
    needed = {"vocoder": "data.dir", "sounds": "folder", "voice": "checkpoint"}
    if what not in DEFAULTS or not set(given) <= set(DEFAULTS[what]) or needed[what] not in given:
        sys.exit(__doc__)
    options = DEFAULTS[what] | given
    torch.set_num_threads(int(options["threads"]))
    try:
        contest = {"vocoder": vocoder, "sounds": sounds, "voice": voice}[what](options)
        listeners = Listeners.by(options.get("recogniser", ""), contest)
    except WaveNetError as error:
        sys.exit(f"error: {error}")
    rows = [measure(name, contest, listeners) for name in contest.sets]
    show(what, rows)
    if missing := hearing.missing() + fidelity.missing():
        print(f"not installed, so not measured: {', '.join(missing)}; make measures installs them")
    if options["report"]:
        expanded(options["report"]).write_text(json.dumps({"options": options, "rows": rows}, indent=2) + "\n")


def sounds(options: dict[str, str]) -> Contest:
    """The sounds of a folder, with their texts and recordings."""
    folder = expanded(options["folder"])
    found = {str(path.relative_to(folder).with_suffix("")): path for path in _audio(folder)}
    texts = _texts(expanded(options["texts"]), options["split"]) if options["texts"] else dict.fromkeys(found, "")
    names = [name for name in found if name in texts][: int(options["count"]) or None]
    if not names:
        sys.exit(f"error: {folder} holds no sounds" + (f" that {options['texts']} names" if found else ""))
    rate, utterances = audio.probe(found[names[0]]).sample_rate, []
    natural = expanded(options["recordings"]) if options["recordings"] else None
    recordings = {str(path.relative_to(natural).with_suffix("")): path for path in _audio(natural)} if natural else {}
    for name in names:
        if natural and name not in recordings:
            sys.exit(f"error: {natural} holds no recording called {name}")
        recording = audio.read(recordings[name], rate) if natural else None
        utterances.append(Utterance(name, audio.read(found[name], rate), texts[name], recording))
    return Contest({folder.name: utterances}, rate)


def _audio(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio.EXTENSIONS)


def _texts(path: Path, side: str) -> dict[str, str]:
    """Name without extension -> text, of the rows whose split is `side`, or of all."""
    with tables.reading(path) as table:
        needed = [tables.FILE_NAME, "text", *([metadata.SPLIT] if side else [])]
        places = [place for place in map(table.place, needed) if place is not None]
        if len(places) < len(needed):
            sys.exit(f"error: {path} needs the columns {', '.join(needed)}; it has {', '.join(table.columns)}")
        rows = [[cells[place] for place in places] for _, cells in table.rows]
    return {str(Path(name).with_suffix("")): text for name, text, *on in rows if text and on in ([], [side])}


def measure(name: str, contest: Contest, listeners: Listeners) -> dict[str, Any]:
    """All measures of a set of sounds, and what was heard in each; a measure is None if nothing could be measured."""
    utterances, rate = contest.sets[name], contest.rate
    details, spoken, phones, followed, near = [], [], [], [], []
    pairs: dict[str, list[tuple[Any, Any]]] = {"f0": [], "mel": []}
    for utterance in utterances:
        sound, recording = utterance.sound, utterance.recording
        detail: dict[str, Any] = {"name": utterance.name, "text": utterance.text}
        if listeners.opinion is not None:
            detail["opinion"] = listeners.opinion(sound, rate)
        if listeners.words is not None and utterance.text:
            pair = hearing.words(utterance.text), listeners.words(sound, rate)
            spoken.append(pair)
            detail |= {"words": " ".join(pair[1]), "word_edits": hearing.edits(*pair)}
        if listeners.phones is not None and listeners.pronounce is not None:
            heard = listeners.phones(sound, rate)
            detail["phones"] = " ".join(heard)
            if utterance.text:
                phones.append((listeners.pronounce(utterance.text), heard))
            if recording is not None:
                if utterance.name not in listeners.heard:
                    listeners.heard[utterance.name] = listeners.phones(recording, rate)
                followed.append((listeners.heard[utterance.name], heard))
        details.append(detail)
        if recording is not None and abs(len(recording) - len(sound)) <= 0.02 * rate:  # of the same durations
            near.append(fidelity.compare(recording, sound, rate))
            for kind, pair in _frames(recording, sound, rate).items():
                pairs[kind].append(pair)
    figures: dict[str, Any] = {
        "word_error_rate": hearing.error_rate(spoken),
        "phone_error_rate": hearing.error_rate(phones),
        "phone_error_rate_to_recording": hearing.error_rate(followed),
        "opinion": _mean(detail.get("opinion") for detail in details),
    }
    for measured in near[0] if near else ():
        figures[measured] = _mean(found[measured] for found in near)
    if near:  # over all frames together, and so in place of means over recordings
        f0, mel = (tuple(torch.cat(side).numpy() for side in zip(*pairs[kind], strict=True)) for kind in ("f0", "mel"))
        figures |= prosody.compare(f0=f0, mel=mel)  # pyright: ignore[reportArgumentType]
        figures.pop("f0_error")
    return {"name": name, **contest.facts.get(name, {}), **figures, "sounds": details}


def _frames(recording: Tensor, sound: Tensor, rate: int) -> dict[str, tuple[Tensor, Tensor]]:
    """F0 in Hz, 0 where unvoiced, and log-mel spectra, every FRAME_SECONDS, of a recording and a sound."""
    config = FeatureConfig(hop=round(FRAME_SECONDS * rate), window=round(5 * FRAME_SECONDS * rate), mels=80)
    length = min(len(recording), len(sound))
    pitches = (features.pitch_of(each[:length], config, rate) for each in (recording, sound))
    f0, made = (torch.where(frames[:, 1] > 0, 100 * 2 ** frames[:, 0], 0.0) for frames in pitches)
    mels = (features.log_mel(each[:length], config, rate) for each in (recording, sound))
    return {"f0": (f0, made), "mel": (next(mels), next(mels))}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def show(what: str, rows: list[dict[str, Any]]) -> None:
    """A table with a column for each measure that was made, and a row for each set of sounds."""
    columns = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
    table = Table("", title=f"{what}: {len(rows[0]['sounds'])} sounds")
    for name in columns:
        table.add_column(COLUMNS[name][0], justify="right")
    for row in rows:
        cells = (COLUMNS[name][1].format(row[name]) if row.get(name) is not None else "" for name in columns)
        table.add_row(row["name"], *cells)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
