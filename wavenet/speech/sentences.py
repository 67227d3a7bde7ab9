"""Sentences: words as units that can be heard, and the gaps around them.

A sentence is words, each a list of units, and the gaps before, between and after them, in which a voice may pause. A
gap is called by what is written there:

    Hello, my world!   ->   ^ h e l l o , m y _ w o r l d !
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

BEGIN, PLAIN = "^", "_"
"""The gap before the first word, and one between words with no mark in it."""
MARKS = "?!.;:,-"
"""Marks that a gap can be called by, strongest first."""
GAPS = (BEGIN, PLAIN, *MARKS)
SILENCE = "SIL"
"""A pause among the phones of a recording."""
ALIKE = dict.fromkeys("…。．।։።", ".") | {"！": "!"} | dict.fromkeys("？؟", "?")
ALIKE |= dict.fromkeys("；؛·", ";") | dict.fromkeys("，、،", ",") | {"：": ":"}
ALIKE |= dict.fromkeys("—–―", " - ") | dict.fromkeys("‘’ʼ`´", "'")
ALIKE |= dict.fromkeys("()[]{}", ", ") | dict.fromkeys('«»‹›“”„"「」『』¿¡・', " ")
"""Other marks, and what they are read as."""
WORD = re.compile(r"[^\s.!?;:,-]+(?:(?:[-.]|(?<=\d)[:,](?=\d))[^\s.!?;:,-]+)*")
"""A word may hold marks between its letters: well-known, 3.5, 10:30, e.g"""
SHORT = set(
    "mr mrs ms dr prof st sr jr hr fr mme mlle dott sig col gen capt lt sgt rev mt vs e.g i.e z.b d.h nr bzw".split()
)
"""Words that a full stop shortens: it ends no sentence."""
CLOSING = "[\"'”’»)\\]」』]*"
END = re.compile(rf"[.!?…]+({CLOSING})(?:\s+|$)|[。！？]+{CLOSING}\s*")
"""What a sentence may end with."""
LONGEST = 300
"""Characters of a sentence; a longer one is cut at commas, or else between words."""


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


def tidy(text: str) -> str:
    """The text with composed letters (NFC) and the marks of MARKS alone."""
    return "".join(ALIKE.get(letter, letter) for letter in unicodedata.normalize("NFC", text))


def pieces(text: str) -> tuple[list[str], list[str]]:
    """Words as they are written, and the gaps around them."""
    text = tidy(text)
    found = list(WORD.finditer(text))
    stops = [*(match.start() for match in found[1:]), len(text)]
    between = [text[match.end() : stop] for match, stop in zip(found, stops)]  # noqa: B905 (no word, no stop)
    return [match[0] for match in found], [BEGIN, *map(gap, between)]


def gap(between: str) -> str:
    """The strongest mark in what stands between two words."""
    return next((mark for mark in MARKS if mark in between), PLAIN)


def shortened(before: str, after: str) -> bool:
    """Whether a full stop between these texts belongs to the word before it, such as Mr or the J of J. Smith."""
    word = before.rsplit(maxsplit=1)[-1].lstrip("\"'“«([") if before.strip() else ""
    initials = re.fullmatch(r"(\w\.)*\w", word) and not word.isdigit() and word != "I"
    return word.casefold() in SHORT or bool(initials and ("." not in word or after[:1].islower()))


def split(text: str | Iterable[str]) -> Iterator[str]:
    """The sentences of a text, or of its lines, one after another; of a text without end in constant memory.

    A sentence ends with a mark, or with an empty line. What holds no letter and no digit is left out.
    """
    lines = text.splitlines() if isinstance(text, str) else (one for some in text for one in some.splitlines() or [""])
    waiting = ""
    for line in lines:
        words = " ".join(line.split())
        whole = [waiting]
        if words:
            *whole, waiting = _sentences(f"{waiting} {words}" if waiting else words)
        else:
            waiting = ""
        yield from filter(_can_be_said, whole)
    yield from filter(_can_be_said, [waiting])


def _sentences(text: str) -> list[str]:
    """Whole sentences, and the beginning of the next, which may be empty."""
    found, begin = [], 0
    for end in END.finditer(text):
        after = text[end.end() : end.end() + 1]
        if end[0][0] == "." and (after.islower() or shortened(text[begin : end.start()], after)):
            continue
        if after.islower() and end[1]:  # "Wait!" he said
            continue
        found += _parts(text[begin : end.end()].strip())
        begin = end.end()
    return found + (_parts(text[begin:]) if begin < len(text) else [""])


def _parts(sentence: str) -> list[str]:
    """A sentence in pieces of at most LONGEST characters."""
    parts = []
    while len(sentence) > LONGEST:
        head = sentence[: LONGEST + 1]
        after = max(head.rfind(mark) + 1 for mark in (". ", ", ", "; ", ": ", "，", "、"))
        after = after or max(head.rfind(" "), 0) or LONGEST
        parts.append(sentence[:after].strip())
        sentence = sentence[after:].strip()
    return [*parts, sentence]


def _can_be_said(text: str) -> bool:
    return any(letter.isalnum() for letter in text)
