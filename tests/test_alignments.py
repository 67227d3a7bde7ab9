"""phones.csv becomes a class for each frame, whatever the rate and however the file is written."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_dataset import prepared
from test_recognition import HEAD, PHONES, aligned

from wavenet.errors import AudioError
from wavenet.model.distributions import IGNORED
from wavenet.recordings import alignments
from wavenet.recordings.alignments import UNKNOWN, Alignments, Segments

HEADER = "file_name,start_sample,end_sample,phone,word\n"


def test_a_frame_is_the_phone_at_its_centre(tmp_path):
    """Frames of 40: centres 20, 60, 100, ...; a gap from 101 to 180; rows in any order."""
    text = HEADER + "a.wav,180,221,mid,x\na.wav,0,60,low,x\na.wav,60,101,high,\na.wav,300,330,,x\n"
    known = aligned(tmp_path, {"a.wav": 330, "b.wav": 50}, text)
    number = {name: HEAD.classes.index(name) for name in PHONES}
    expected = [number["low"], number["high"], number["high"], IGNORED, number["mid"], number["mid"]]
    assert known.frame_classes(0, 0, 330).tolist() == [*expected, IGNORED, IGNORED, IGNORED]
    assert known.frame_classes(0, 40, 120).tolist() == expected[1:3]
    assert known.frame_classes(0, 0, 59).tolist() == [number["low"], IGNORED]  # the second one's centre lies beyond
    assert known.frame_classes(0, 0, 61).tolist() == expected[:2]
    assert known.frame_classes(1, 0, 50).tolist() == [IGNORED, IGNORED]
    assert known.phones(0, 0, 330) == ["low", "high", "mid"]
    assert known.phones(0, 80, 330) == ["high", "mid"]


@given(st.integers(1, 400), st.integers(1, 50), st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_targets_equal_a_plain_search(samples, hop, lengths):
    """Every other phone is a gap."""
    edges = np.cumsum([0, *lengths]).tolist()
    segments = [
        alignments.Segment(start, stop, HEAD.classes[number % 4])
        for number, (start, stop) in enumerate(itertools.pairwise(edges))
        if number % 2 == 0
    ]
    times = np.array([segment[:2] for segment in segments])
    phones = np.array([HEAD.classes.index(segment.phone) for segment in segments])
    told = Segments(times, phones, np.array([0, len(segments)]), HEAD.classes, [])
    assert told[0] == segments
    known = Alignments(told, dataclasses.replace(HEAD, hop=hop))
    expected = []
    for first in range(0, samples, hop):
        centre = first + hop / 2
        here = [s.phone for s in segments if s.start <= centre < s.stop and centre < samples]
        expected.append(HEAD.classes.index(here[0]) if here else IGNORED)
    assert known.frame_classes(0, 0, samples).tolist() == expected


def test_a_phone_that_the_model_does_not_know_is_always_wrong(tmp_path):
    known = aligned(tmp_path, {"a.wav": 40}, HEADER + "a.wav,0,40,click,x\n")
    assert known.frame_classes(0, 0, 40).tolist() == [UNKNOWN]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"data\.frames: .*phones\.csv does not exist; CSV files there: other\.csv"),
        (
            "file_name,start,end_sample\n",
            r"phones\.csv has no column start_sample, phone; it has file_name, start, end_s",
        ),
        ("", r"has no column file_name, start_sample, end_sample, phone; it has none at all"),
        (
            HEADER + "a.wav,0,4,low,\na.wav,x,8,mid,\n",
            r"phones\.csv, line 3: start_sample is 'x', but it must be a whole",
        ),
        (HEADER + "a.wav,0,4.5,low,\n", r"line 2: end_sample is '4\.5', but it must be a whole number of samples"),
        (HEADER + "a.wav,-3,4,low,\n", r"line 2: start_sample is '-3'"),
        (HEADER + "a.wav,3\n", r"line 2: end_sample is ''"),
        (HEADER + "a.wav,8,4,low,\n", r"line 2: a phone from 8 to 4 has no samples"),
        (
            HEADER + "z.wav,0,4,low,\n",
            r"holds no phone of any recording in .*; the first file that it names is 'z\.wav'",
        ),
        (HEADER, r"holds no phone of any recording in .*; it is empty"),
        (b"\xff\xfe", r"phones\.csv cannot be read as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, text, said):
    (tmp_path / "other.csv").write_text("")
    if text is not None:
        (tmp_path / "phones.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AudioError, match=said) as caught:
        alignments.read(prepared({"a.wav": 10}, tmp_path), "phones.csv")
    assert "\n" not in str(caught.value)
