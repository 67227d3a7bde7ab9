"""Texts become letters or phones, and long texts become sentences."""

# ruff: noqa: RUF001 (texts of many alphabets)

import os
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavenet.config import DataConfig
from wavenet.errors import AudioError, CheckpointError, ConfigError
from wavenet.speech import espeak, front_ends, sentences
from wavenet.speech.front_ends import FrontEnd, Letters, Lexicon, make_front_end, restore
from wavenet.speech.sentences import GAPS, LONGEST, SILENCE, Sentence, split

ODD = st.text(
    st.one_of(st.sampled_from(" .,;:!?-'\"()…—«»\n\u200d\u00ad"), st.characters(exclude_categories=["Cs"])), max_size=60
)
LEXICON = Lexicon(
    "small.dict", "HELLO HH AH0 L OW1\nhello(2) HH E L OW1\n;;; a remark\nwell\t0.99\tW EH1 L # so\nread R"
)


def whole(sentence: Sentence) -> None:
    """What every sentence promises."""
    assert len(sentence.gaps) == len(sentence.words) + 1
    assert len(sentence.written) == len(sentence.words)
    assert sentence.gaps[0] == "^"
    assert set(sentence.gaps) <= set(GAPS)
    assert sentence.words
    for word in sentence.words:
        assert word
        assert not {*GAPS, SILENCE, ""} & set(word)
        assert not any(any(letter.isspace() for letter in unit) for unit in word)


def said_or_refused(front_end: FrontEnd, text: str) -> None:
    """Either is a whole sentence, or there is one line that says why it is none."""
    try:
        read = front_end.read(text)
    except AudioError as error:
        said = str(error)
    else:
        whole(read)
        said = ""
    assert "\n" not in said


@given(ODD)
def test_letters_read_any_text_or_say_why_not(text):
    said_or_refused(Letters(), text)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("Hello, my world!", "^ h e l l o , m y _ w o r l d !"),
        ("ÉCOLE, Straße", "^ é c o l e , s t r a s s e _"),
        ("cafe\u0301", "^ c a f é _"),
        ("Привет — мир…", "^ п р и в е т - м и р ."),
        ("हिन्दी में", "^ हि न् दी _ में _"),
        ("«Oui», dit-il: l’eau?", "^ o u i , d i t i l : l ' e a u ?"),
        ("'tis 'so' -- yes", "^ t i s _ s o - y e s _"),
        ("你好，世界。", "^ 你 好 , 世 界 ."),
        ("so\u00adft ...wait", "^ s o f t . w a i t _"),
    ],
)
def test_letters(text, units):
    assert " ".join(Letters().read(text).units) == units


@pytest.mark.parametrize(("text", "strange"), [("50% of 3", "% 0 3 5"), ("you & me", "&"), ("a@b", "@"), ("x²", "²")])
def test_letters_name_what_they_cannot_say(text, strange):
    with pytest.raises(AudioError, match=strange):
        Letters().read(text)


@pytest.mark.parametrize("front_end", [Letters(), LEXICON])
@pytest.mark.parametrize("text", ["", " ", "...", "'", "- - !"])
def test_nothing_to_say(front_end, text):
    with pytest.raises(AudioError, match="holds nothing to say"):
        front_end.read(text)


def test_a_lexicon_reads_words_in_any_case_and_parts_between_hyphens():
    read = LEXICON.read("'Hello', well-read HELLO.")
    whole(read)
    assert " ".join(read.units) == "^ HH AH0 L OW1 , W EH1 L R _ HH AH0 L OW1 ."
    assert read.written == ["'Hello'", "well-read", "HELLO"]
    with pytest.raises(AudioError, match=r"small.dict does not say how to speak 2 \(42, world\)"):
        LEXICON.read("hello world 42")


@given(ODD)
def test_a_lexicon_reads_any_text_or_says_why_not(text):
    said_or_refused(LEXICON, f"hello {text}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no word with phones"),
        ("word\n# hello HH", "no word with phones"),
        ("a SIL", "calls a phone SIL"),
        ("a _ B", "calls a phone _"),
    ],
)
def test_lexicons_that_cannot_be_used(tmp_path, content, said):
    (tmp_path / "x.dict").write_text(content)
    with pytest.raises(ConfigError, match=said):
        make_front_end(None, str(tmp_path / "x.dict"))


def test_lexicon_files_that_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "x.dict").write_bytes("a É".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        make_front_end(None, str(tmp_path / "x.dict"))
    with pytest.raises(ConfigError, match="cannot be read"):
        make_front_end(None, str(tmp_path / "none.dict"))
    monkeypatch.setattr(front_ends, "LARGEST", 2)
    with pytest.raises(ConfigError, match="leave words out"):
        make_front_end(None, str(tmp_path / "x.dict"))


@pytest.mark.parametrize("front_end", [Letters(), LEXICON])
def test_a_front_end_is_made_again_from_what_is_stored(front_end):
    assert restore(front_end.stored()).read("Hello, well") == front_end.read("Hello, well")


@pytest.mark.parametrize(
    "stored",
    [{}, {"kind": "lexicon"}, {"kind": "lexicon", "name": "x", "lexicon": "AAAA"}, {"kind": "new"}, {"kind": []}],
)
def test_what_is_stored_is_refused_where_it_was_altered(stored):
    with pytest.raises(CheckpointError):
        restore(stored)


def test_a_language_or_a_lexicon_not_both():
    with pytest.raises(ConfigError, match="choose one of them"):
        DataConfig(language="de", lexicon="x.dict")


# ---- sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        (
            "Mr. Smith and J. R. Jones paid $3.50, e.g. twice. So.",
            ["Mr. Smith and J. R. Jones paid $3.50, e.g. twice.", "So."],
        ),
        ('"Wait!" he said. "Why?" Nobody knew.', ['"Wait!" he said.', '"Why?"', "Nobody knew."]),
        ("A title\n\nIt began\nhere. And\nwent on", ["A title", "It began here.", "And went on"]),
        ("这是。那是！好", ["这是。", "那是！", "好"]),
        ("* * *\n\n...\n\n", []),
        ("And so on... and on.", ["And so on... and on."]),
    ],
)
def test_sentences(text, expected):
    assert list(split(text)) == expected
    assert list(split(line + "\n" for line in text.splitlines())) == expected


@given(st.lists(ODD, max_size=5))
def test_sentences_keep_every_letter_and_are_short(lines):
    found = list(split(lines))
    letters = [letter for letter in "".join(lines) if letter.isalnum()]
    assert [letter for sentence in found for letter in sentence if letter.isalnum()] == letters
    assert all(0 < len(sentence) <= LONGEST for sentence in found)


def test_long_sentences_are_cut_at_commas_or_between_words():
    parts = list(split("word " * 1000))
    assert max(map(len, parts)) <= LONGEST
    assert " ".join(parts).split() == ["word"] * 1000
    assert {part[-1] for part in list(split("one two three four, " * 100))[:-1]} == {","}
    assert list(map(len, split("x" * 1000))) == [300, 300, 300, 100]


def test_a_text_without_end_is_split_as_it_comes():
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield "One more line. And"

    found = split(endless())
    assert [next(found) for _ in range(3)] == ["One more line.", "And One more line.", "And One more line."]
    assert len(taken) <= 3


# ---- espeak-ng


@pytest.fixture(scope="module")
def english():
    pytest.importorskip("phonemizer", reason="the extra wavenet[phones] is not installed")
    return make_front_end("en-us", None)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("Hello, my world!", "^ h ə l ˈoʊ , m aɪ _ w ˈɜː l d !"),
        ("the end of the day", "^ ð ɪ _ ˈɛ n d _ ʌ v ð ə _ d ˈeɪ _"),
        (
            "Dr. Lee paid 3.50, I think.",
            "^ d ˈɑː k t ɚ _ l ˈiː _ p ˈeɪ d _ θ ɹ ˈiː _ p ɔɪ n t _ f ˈaɪ v _ z ˈiə ɹ oʊ , aɪ _ θ ˈɪ ŋ k .",
        ),
    ],
)
def test_phones(english, text, units):
    read = english.read(text)
    whole(read)
    assert " ".join(read.units) == units


def test_words_are_told_also_where_several_are_heard_as_one(english):
    assert english.read("the end of the day").written == ["the", "end", "of the", "day"]
    price = english.read("A price of $3.50, really").written
    assert price == ["A", "price", "of", *["$3.50"] * (len(price) - 4), "really"]


@given(ODD)
def test_espeak_reads_any_text_or_says_why_not(english, text):
    said_or_refused(english, text)


@pytest.mark.parametrize("language", ["de", "fr-fr", "ru", "cmn", "hi"])
def test_other_languages(english, language):
    text = {"de": "Guten Tag!", "fr-fr": "C'est l'eau.", "ru": "Добрый день.", "cmn": "你好。", "hi": "नमस्ते।"}[language]
    read = restore(make_front_end(language, None).stored()).read(text)
    whole(read)
    assert read.gaps[-1] in ".!"


def test_a_language_that_does_not_exist_is_answered_with_those_that_do(english):
    with pytest.raises(ConfigError, match=r"data.language is 'xx'.*en-us"):
        make_front_end("xx", None)


def test_a_path_that_would_end_the_process_is_refused(english, monkeypatch, tmp_path):
    import espeakng_loader

    deep = tmp_path / ("x" * 160)
    deep.mkdir()
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(deep))
    with pytest.raises(ConfigError, match="fewer than 160"):
        make_front_end("en-us", None)
    assert len(os.fsencode(deep)) >= espeak.LONGEST_PATH


def test_espeak_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "phonemizer.backend.espeak.wrapper", None)
    with pytest.raises(ConfigError, match=r"pip install 'wavenet\[phones\]'"):
        make_front_end("en-us", None)


def test_marks_are_read_alike_in_composed_letters():
    assert unicodedata.is_normalized("NFC", sentences.tidy("cafe\u0301 …"))
    assert espeak.clauses("It is 3.50, or 123,456 - J. Smith said. Yes") == [
        ("It is 3.50,", ","),
        ("or 123,456 -", " -"),
        ("J. Smith said.", "."),
        ("Yes", ""),
    ]
