"""The watch: each kind of trouble is told once, with its time; clean sound is not trouble; chunks do not matter."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavenet.audio import mulaw
from wavenet.generation.watch import STUCK_HERTZ, Watch

RATE = 8000
RANDOM = np.random.default_rng(0)


def told(codes: np.ndarray, bits: float | np.ndarray = 2.0, sizes: tuple[int, ...] = (512,), rate: int = RATE):
    """Warnings after hearing all codes in chunks of these sizes, over and over."""
    watch, start, turn = Watch(rate), 0, 0
    codes, bits = np.asarray(codes, np.uint8), np.broadcast_to(np.float32(bits), len(codes))
    while start < len(codes):
        stop = start + sizes[turn % len(sizes)]
        watch.hear(codes[start:stop], bits[start:stop])
        start, turn = stop, turn + 1
    return watch.warnings


def sine(hertz: float, amplitude: float, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    """A tone that swells and fades by 40% a little more than once a second."""
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    swell = 0.6 + 0.4 * torch.sin(2 * math.pi * 1.3 * time)
    return mulaw.encode((amplitude * swell * torch.sin(2 * math.pi * hertz * time)).float()).numpy()


SOUND = sine(441, 0.5)
BLIND = RANDOM.integers(0, 256, 2 * RATE).astype(np.uint8)


def test_silence_is_below_60_db():
    around = RANDOM.integers(mulaw.ZERO - 2, mulaw.ZERO + 3, 2 * RATE)
    assert told(around) == ["silent from 0.0 s on"]
    assert mulaw.AMPLITUDES[[mulaw.ZERO - 2, mulaw.ZERO + 2]].abs().max() < 10 ** (-60 / 20)
    wider = RANDOM.integers(mulaw.ZERO - 3, mulaw.ZERO + 4, 2 * RATE)
    assert told(wider) == []


@pytest.mark.parametrize(("rate", "cycle"), [(8000, 1), (8000, 3), (16000, 4), (16000, 7), (48000, 23), (1000, 1)])
def test_a_cycle_above_2_khz_is_stuck(rate, cycle):
    assert rate / cycle > STUCK_HERTZ or cycle == 1
    assert told(np.resize(np.linspace(20, 230, cycle), 2 * rate), rate=rate) == ["stuck from 0.0 s on"]


@pytest.mark.parametrize(("rate", "cycle"), [(8000, 4), (8000, 20), (16000, 8), (16000, 100), (48000, 24)])
def test_a_longer_cycle_is_a_tone(rate, cycle):
    assert told(np.resize(np.linspace(20, 230, cycle), 2 * rate), rate=rate) == []


@pytest.mark.parametrize(("share", "expected"), [(0.005, ["stuck from 0.0 s on"]), (0.05, [])])
def test_a_rare_other_code_does_not_hide_that_it_is_stuck(share, expected):
    codes = np.full(RATE, 200)
    codes[:: round(1 / share)] = 60
    codes[:: round(2 / share)] = 90  # else it is a cycle of its own
    assert told(codes) == expected


def test_noise_is_told_by_its_bits():
    assert told(BLIND, 7.9) == ["noise from 0.0 s on"]
    assert told(BLIND, 6.9) == []
    assert told(SOUND, 7.9) == ["noise from 0.0 s on"]


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
@pytest.mark.parametrize("amplitude", [1.0, 0.3, 0.03, 0.01])
@pytest.mark.parametrize("hertz", [55, 220, 441, 987])
def test_a_clean_tone_is_no_trouble(hertz, amplitude, rate):
    assert told(sine(hertz, amplitude, rate=rate), rate=rate) == []


def test_every_kind_is_told_once_with_its_time():
    parts = [SOUND, np.full(RATE, mulaw.ZERO), np.full(RATE, 200), SOUND, np.full(RATE, mulaw.ZERO), BLIND]
    bits = np.concatenate([np.full(len(part), 7.9 if part is BLIND else 1.0) for part in parts])
    assert told(np.concatenate(parts), bits) == ["silent from 2.0 s on", "stuck from 3.0 s on", "noise from 7.0 s on"]


def test_less_than_half_a_second_is_no_verdict():
    assert told(np.full(RATE // 2 - 1, mulaw.ZERO)) == []
    assert told(np.full(RATE // 2, mulaw.ZERO)) == ["silent from 0.0 s on"]
    assert told(np.empty(0)) == []


@settings(deadline=None, max_examples=25)
@given(sizes=st.lists(st.integers(1, 3 * RATE), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) > 200))
def test_chunks_have_no_influence(sizes):
    parts = [SOUND[: RATE + 123], np.full(RATE, mulaw.ZERO), BLIND[:RATE], np.full(RATE + 77, 7), SOUND]
    codes = np.concatenate(parts)
    bits = np.concatenate([np.full(len(part), 7.9 if i == 2 else 1.0) for i, part in enumerate(parts)])
    whole = told(codes, bits, (len(codes),))
    assert {line.split()[0] for line in whole} == {"silent", "noise", "stuck"}
    assert told(codes, bits, tuple(sizes)) == whole
