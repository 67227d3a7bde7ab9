"""Front ends: texts as letters, or as phones of a lexicon."""

import re
import unicodedata
from pathlib import Path
from typing import Protocol

from wavenet.errors import AudioError, ConfigError
from wavenet.speech.sentences import MARKS, Sentence, pieces


class FrontEnd(Protocol):
    """Reads a text."""

    def read(self, text: str) -> Sentence:
        """Raises AudioError for a text that holds something that cannot be said, or nothing that can."""
        ...


class Letters:
    """Every letter of every word, in lower case: any language that is written with an alphabet, and no dependency.

    Digits and signs are no letters: what a number is called is for the text to say.
    """

    def read(self, text: str) -> Sentence:
        words, gaps = pieces(text)
        heard = [
            [letter for letter in word.lower() if letter.isalpha() or letter == "'" or unicodedata.combining(letter)]
            for word in words
        ]
        strange = sorted(
            {
                letter
                for word in words
                for letter in word
                if not (letter.isalpha() or letter in "'-." or unicodedata.combining(letter))
            }
        )
        if strange:
            raise AudioError(f"{text!r} holds {' '.join(strange)}, which letters cannot say: write it out in words")
        return _without_empty(text, heard, gaps, words)


class Lexicon:
    """Phones of words, from a file: a word and its phones in each line, between spaces or tabs, `#` before a remark."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.phones: dict[str, list[str]] = {}
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            word, *phones = line.split("#")[0].split()[:1000] or [""]
            if phones:
                self.phones.setdefault(re.sub(r"\(\d+\)$", "", word).lower(), phones)
        if not self.phones:
            raise ConfigError(
                f"{path} holds no word with phones: a line is a word, a space, and its phones between spaces"
            )

    def read(self, text: str) -> Sentence:
        words, gaps = pieces(text)
        missing = sorted({word for word in words if word.lower() not in self.phones})
        if missing:
            raise AudioError(f"{text!r}: {self.path} has no phones of {', '.join(missing)}: add a line for each")
        return _without_empty(text, [self.phones[word.lower()] for word in words], gaps, words)


def _without_empty(text: str, words: list[list[str]], gaps: list[str], written: list[str]) -> Sentence:
    """Words without units leave, and their gaps join."""
    kept, left, names = [], [gaps[0]], []
    for word, after, name in zip(words, gaps[1:], written, strict=True):
        if word:
            kept.append(word), left.append(after), names.append(name)
        elif kept:
            left[-1] = min(left[-1], after, key=lambda mark: MARKS.find(mark) % 99)
    if not kept:
        raise AudioError(f"the text {text!r} holds nothing to say")
    return Sentence(kept, left, names)
