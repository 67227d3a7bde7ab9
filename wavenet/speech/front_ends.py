"""Front ends: texts as letters, or as phones of a lexicon or of espeak-ng."""

import base64
import re
import unicodedata
import zlib
from pathlib import Path
from typing import Any, Protocol

from wavenet.errors import AudioError, CheckpointError, ConfigError, some
from wavenet.files import expanded
from wavenet.speech.espeak import Espeak
from wavenet.speech.sentences import GAPS, SILENCE, Sentence, gap, pieces

LARGEST = 1 << 26
"""Bytes of a lexicon at most."""


class FrontEnd(Protocol):
    """Reads texts."""

    def read(self, text: str) -> Sentence:
        """Raises AudioError for a text that holds something that cannot be said, or nothing that can."""
        ...

    def stored(self) -> dict[str, Any]:
        """What `restore` needs to make it again, as JSON holds it."""
        ...


def make_front_end(language: str | None, lexicon: str | None) -> FrontEnd:
    """The front end of `data.language` and `data.lexicon`; letters without them.

    Raises ConfigError for a lexicon that cannot be read, a language that espeak-ng does not speak, or a missing extra.
    """
    if language is not None:
        return Espeak(language)
    return Letters() if lexicon is None else Lexicon.of(expanded(lexicon))


def restore(stored: dict[str, Any]) -> FrontEnd:
    """What `FrontEnd.stored` describes.

    Raises CheckpointError for a description that was altered, and ConfigError for espeak-ng where it is not installed.
    """
    try:
        if stored["kind"] == "letters":
            return Letters()
        if stored["kind"] == "espeak":
            return Espeak(str(stored["language"]))
        if stored["kind"] == "lexicon":
            opened = zlib.decompressobj()
            text = opened.decompress(base64.b64decode(stored["lexicon"], validate=True), LARGEST)
            return Lexicon(str(stored["name"]), text.decode())
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise CheckpointError("this voice's front end cannot be read: its file was altered") from error
    raise CheckpointError(f"this voice reads texts by {stored['kind']!r}, which this version of wavenet does not know")


def read_all(front_end: FrontEnd, texts: dict[int, str]) -> tuple[dict[int, Sentence], dict[int, str]]:
    """Texts by number -> those that can be said, and why the others cannot."""
    sentences, faults = {}, {}
    for number, text in texts.items():
        try:
            sentences[number] = front_end.read(text)
        except AudioError as error:
            faults[number] = str(error)
    return sentences, faults


class Letters:
    """Every letter of every word, without difference of case: any language with an alphabet, and no dependency.

    A letter is one unit with its accents and vowel signs. Digits and signs are no letters: what a number is called is
    for the text to say.
    """

    def read(self, text: str) -> Sentence:
        words, gaps = pieces(text)
        heard = [self._letters(word) for word in words]
        strange = sorted({letter for word in heard for letter in word if not (letter[0].isalpha() or letter == "'")})
        if strange:
            raise AudioError(f"{text!r} holds {' '.join(strange)}, which letters cannot say: write it out in words")
        return without_empty(text, heard, gaps, words)

    def stored(self) -> dict[str, Any]:
        return {"kind": "letters"}

    def _letters(self, word: str) -> list[str]:
        letters: list[str] = []
        for letter in unicodedata.normalize("NFC", word.casefold()).strip("'"):  # at the ends it is a quotation mark
            kind = unicodedata.category(letter)
            if kind[0] == "M" and letters:
                letters[-1] += letter
            elif kind != "Cf" and letter not in ".-":
                letters.append(letter)
        return letters


class Lexicon:
    """Phones of words, from a table: in each line a word and its phones, between spaces or tabs.

    Remarks begin with `#`, or a line with `;;;`. Of a word with several lines, such as `read(2)`, the first is used.
    Probabilities between a word and its phones are skipped.
    """

    def __init__(self, name: str, text: str) -> None:
        """name: of its file. Raises ConfigError for a table without words, or with a phone that has a gap's name."""
        self.name = name
        self.phones: dict[str, list[str]] = {}
        for line in text.splitlines():
            word, *phones = re.split(r"(?:^|\s)#|^;;;", line)[0].split() or [""]
            while phones and re.fullmatch(r"\d*\.\d+", phones[0]):
                del phones[0]
            if phones:
                self.phones.setdefault(_same(re.sub(r"\(\d+\)$", "", word)), phones)
        if not self.phones:
            raise ConfigError(
                f"data.lexicon: {name} holds no word with phones: a line is a word, a space, and its phones between "
                "spaces"
            )
        taken = {phone for phones in self.phones.values() for phone in phones} & {*GAPS, SILENCE}
        if taken:
            raise ConfigError(
                f"data.lexicon: {name} calls a phone {' '.join(sorted(taken))}, which here means a pause: rename it"
            )

    @classmethod
    def of(cls, path: Path) -> "Lexicon":
        """Read a file. Raises ConfigError if that fails."""
        try:
            if path.stat().st_size > LARGEST:
                raise ConfigError(f"data.lexicon: {path} has more than {LARGEST >> 20} MB: leave words out")
            return cls(path.name, path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise ConfigError(f"data.lexicon: {path} cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"data.lexicon: {path} is not UTF-8 text: save it as UTF-8") from error

    def read(self, text: str) -> Sentence:
        words, gaps = pieces(text)
        found = [self._said(word) for word in words]
        missing = sorted({word for word, phones in zip(words, found, strict=True) if phones is None})
        if missing:
            raise AudioError(
                f"{text!r}: {self.name} does not say how to speak {some(missing)}: add a line for each, or write "
                "numbers and signs out in words"
            )
        return without_empty(text, [phones or [] for phones in found], gaps, words)

    def stored(self) -> dict[str, Any]:
        table = "\n".join(f"{word} {' '.join(phones)}" for word, phones in self.phones.items())
        return {
            "kind": "lexicon",
            "name": self.name,
            "lexicon": base64.b64encode(zlib.compress(table.encode())).decode(),
        }

    def _said(self, word: str) -> list[str] | None:
        """Phones of a word, or of its parts between hyphens; none for quotation marks alone."""
        for written in (word, f"{word}.", word.strip("'")):
            if _same(written) in self.phones:
                return self.phones[_same(written)]
        if not word.strip("'"):
            return []
        parts = [self.phones.get(_same(part)) for part in word.strip("'").split("-")]
        return [phone for part in parts for phone in part or []] if None not in parts else None


def _same(word: str) -> str:
    """A word without difference of case."""
    return unicodedata.normalize("NFC", word.casefold())


def without_empty(text: str, words: list[list[str]], gaps: list[str], written: list[str]) -> Sentence:
    """Words without units leave, and the gaps around them join. Raises AudioError if none stays."""
    kept, left, names = [], gaps[:1], []
    for word, after, name in zip(words, gaps[1:], written, strict=True):
        if word:
            kept.append(word)
            left.append(after)
            names.append(name)
        elif kept:
            left[-1] = gap(left[-1] + after)
    if not kept:
        raise AudioError(f"the text {text!r} holds nothing to say")
    return Sentence(kept, left, names)
