"""Sentences: words as units that can be heard, and the gaps around them.

A sentence is words, each a list of units, and the gaps before, between and after them, in which a voice may pause. A
gap is called by what is written there:

    Hello, my world!   ->   ^ h e l l o , m y _ w o r l d !
"""

import re
import unicodedata
from dataclasses import dataclass, field

BEGIN, PLAIN = "^", "_"
"""The gap before the first word, and one between words with no mark in it."""
MARKS = ".!?;:,-"
"""Marks that a gap can be called by, strongest first."""
GAPS = (BEGIN, PLAIN, *MARKS)
ALIKE = {"…": ".", "。": ".", "—": " - ", "–": " - ", "‘": "'", "’": "'", "¿": " ", "¡": " "}  # noqa: RUF001
ALIKE |= dict.fromkeys('()[]«»“”„"', ", ")
"""Other marks, and what they are read as."""
WORD = re.compile(r"[^\s.!?;:,-]+(?:[-.:,][^\s.!?;:,-]+)*")
"""A word may hold marks between its letters: well-known, 3.5, e.g"""


@dataclass(frozen=True)
class Sentence:
    """What is to be heard."""

    words: list[list[str]]
    gaps: list[str]
    """One more than there are words; the first is BEGIN."""
    written: list[str] = field(default_factory=list)
    """The words as they are written, where they are as many as those that are heard."""

    @property
    def units(self) -> list[str]:
        """Gaps and units in a row."""
        row = self.gaps[:1]
        for word, gap in zip(self.words, self.gaps[1:], strict=True):
            row += [*word, gap]
        return row

    @property
    def owners(self) -> list[str]:
        """The word of each of `units`, as it is written if that is known, or else its units; empty for a gap."""
        written = self.written if len(self.written) == len(self.words) else ["".join(word) for word in self.words]
        row = [""]
        for word, name in zip(self.words, written, strict=True):
            row += [name] * len(word) + [""]
        return row


def pieces(text: str) -> tuple[list[str], list[str]]:
    """Words as they are written, and the gaps around them."""
    text = "".join(ALIKE.get(letter, letter) for letter in unicodedata.normalize("NFC", text))
    found = list(WORD.finditer(text))
    stops = [match.start() for match in found[1:]] + [len(text)]
    between = [text[match.end() : stop] for match, stop in zip(found, stops, strict=True)]
    return [match[0] for match in found], [BEGIN, *map(gap, between)]


def gap(between: str) -> str:
    """The strongest mark in what stands between two words."""
    return next((mark for mark in MARKS if mark in between), PLAIN)
