"""Texts as phones of espeak-ng, through the extra wavenet[phones]: numbers and abbreviations in many languages."""

import difflib
import os
import re
import threading
from typing import Any

from wavenet.errors import AudioError, ConfigError
from wavenet.speech.sentences import BEGIN, GAPS, MARKS, PLAIN, Sentence, gap, shortened, tidy

LONGEST_PATH = 160
"""Bytes of the path of espeak-ng's data, from which on it ends the process without a word."""
MARK = re.compile(rf"(?:[{re.escape(MARKS)}]+['\s]*)+(?=\s|$)|\s-+(?=\s)|--+")
"""Marks after a clause: none within 3.50, 10:30 or well-known."""
STRESS = re.compile("[ˈˌ]")


class Espeak:
    """Phones with stress marks, as one voice of espeak-ng says them. Several words may be heard as one: of the."""

    def __init__(self, language: str) -> None:
        """language: a voice such as en-us, de or fr-fr. Raises ConfigError if espeak-ng is missing or has no such
        voice."""
        self.language = language
        self._engine = _load()
        self._alone = threading.Lock()  # espeak-ng keeps its state in global variables
        try:
            self._engine.set_voice(language)
        except RuntimeError as error:
            voices = sorted({voice.language for voice in self._engine.available_voices()})
            raise ConfigError(
                f"data.language is {language!r}, but it must be one of espeak-ng's voices: {', '.join(voices)}"
            ) from error

    def read(self, text: str) -> Sentence:
        words, gaps, written = [], [BEGIN], []
        for clause, mark in clauses(tidy(text)):
            heard = self._heard(clause)
            words += heard
            written += self._owners(clause, heard)
            gaps += [PLAIN] * len(heard)
            if words:
                gaps[-1] = gap(gaps[-1] + mark)
        if not words:
            raise AudioError(f"the text {text!r} holds nothing to say")
        return Sentence(words, gaps, written)

    def stored(self) -> dict[str, Any]:
        return {"kind": "espeak", "language": self.language, "version": ".".join(map(str, self._engine.version))}

    def _heard(self, clause: str) -> list[list[str]]:
        """Phones of the words that are heard."""
        if not any(letter.isalnum() for letter in clause):
            return []
        with self._alone:
            said = self._engine.text_to_phonemes(clause.replace("\0", " "))
        said = re.sub(r"\([a-z-]+\)", "", said)  # where another language's voice takes over a word
        words = [[phone.strip("-") for phone in re.split("_+", word)] for word in said.split()]
        words = [[phone for phone in word if STRESS.sub("", phone) and phone not in GAPS] for word in words]
        return [word for word in words if word]

    def _owners(self, clause: str, heard: list[list[str]]) -> list[str]:
        """For each word that is heard, those that are written for it; its phones where that cannot be told."""
        names = [word.strip(f"{MARKS}'") for word in clause.split()]
        names = [name for name in names if name]
        if len(names) == len(heard):
            return names
        apart = [(phone, at) for at, name in enumerate(names) for word in self._heard(name) for phone in word]
        places = [(phone, place) for place, word in enumerate(heard) for phone in word]
        owners: list[set[int]] = [set() for _ in heard]
        sides = [[STRESS.sub("", phone) for phone, _ in side] for side in (places, apart)]
        for first, second, length in difflib.SequenceMatcher(None, *sides, autojunk=False).get_matching_blocks():
            for step in range(length):
                owners[places[first + step][1]].add(apart[second + step][1])
        for place, own in enumerate(owners):
            if not own:  # a word that sounds otherwise alone, such as a
                before = max((at for other in owners[:place] for at in other), default=-1)
                after = min((at for other in owners[place + 1 :] for at in other), default=len(names))
                own.update(range(before + 1, after))
        return [
            " ".join(names[at] for at in sorted(own)) or "".join(word) for own, word in zip(owners, heard, strict=True)
        ]


def clauses(text: str) -> list[tuple[str, str]]:
    """Parts of a text that espeak-ng reads in one go, each with the mark after it, and the marks."""
    found, begin = [], 0
    for mark in MARK.finditer(text):
        after = text[mark.end() :].lstrip()
        if mark[0].strip() == "." and after and shortened(text[begin : mark.start()], after):
            continue
        found.append((text[begin : mark.end()].strip(), mark[0]))
        begin = mark.end()
    return [*found, (text[begin:].strip(), "")]


def _load() -> Any:
    try:
        import espeakng_loader
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
    except ImportError as error:
        raise ConfigError(
            "data.language needs espeak-ng: pip install 'wavenet[phones]' (it is under the GPL)"
        ) from error

    class Ours(EspeakWrapper):
        """With the library and data of espeakng-loader, whatever the system has."""

    data = os.path.realpath(espeakng_loader.get_data_path())
    if len(os.fsencode(data)) >= LONGEST_PATH:
        raise ConfigError(
            f"data.language: espeak-ng cannot read its data in {data}, because that path has {len(os.fsencode(data))} "
            f"bytes and must have fewer than {LONGEST_PATH}: install wavenet in a folder with a shorter path"
        )
    Ours.set_library(espeakng_loader.get_library_path())
    Ours.set_data_path(data)
    try:
        return Ours()
    except (RuntimeError, OSError) as error:
        raise ConfigError(
            f"data.language: espeak-ng cannot be loaded ({error}): install 'wavenet[phones]' anew"
        ) from error
