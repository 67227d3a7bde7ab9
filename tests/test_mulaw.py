"""Mu-law: published codes, no bias, exactly invertible."""

import numpy as np
import torch

from wavenet.audio.encodings import MULAW
from wavenet.audio.mulaw import AMPLITUDES, LEVELS, ZERO, encode


def test_known_codes():
    audio = torch.tensor([-1, 1, 0.6, -0.25, 0.01, 0.33, -0.9999, 0.42, 0.1, -0.45])
    assert encode(audio).tolist() == [0, 255, 243, 32, 157, 230, 0, 235, 203, 18]
    assert encode(torch.zeros(1)).item() == ZERO == 128


def test_every_code_survives_decoding():
    codes = torch.arange(LEVELS)
    assert torch.equal(encode(MULAW.decode(codes)).long(), codes)


def test_the_range_is_exactly_one():
    assert abs(float(AMPLITUDES.min()) + 1) < 1e-10
    assert abs(float(AMPLITUDES.max()) - 1) < 1e-10
    assert (AMPLITUDES.diff() > 0).all()


def test_neither_gain_nor_shift():
    x = torch.linspace(-1, 1, 1000, dtype=torch.float64)
    slope, intercept = np.polyfit(x, AMPLITUDES[encode(x).long()], 1)
    assert abs(slope - 1) < 1e-4
    assert abs(intercept) < 1e-4


def test_every_code_is_used():
    assert len(encode(torch.linspace(-1, 1, 10_000)).unique()) == LEVELS


def test_what_lies_beyond_is_clamped():
    assert encode(torch.tensor([-1.5, 1.0001, 30.0, torch.inf, -torch.inf])).tolist() == [0, 255, 255, 255, 0]


def test_each_amplitude_gets_the_nearest_code_on_the_companded_scale():
    x = np.linspace(-1, 1, 10_001)
    scale = (np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256) + 1) / 2 * 255
    codes = encode(torch.from_numpy(x)).numpy()
    assert np.abs(codes - scale).max() < 0.5 + 1e-9
    assert (np.diff(codes.astype(int)) >= 0).all()


def test_shape_is_kept_and_types_are_narrow():
    codes = encode(torch.zeros(2, 3, 4))
    assert (codes.shape, codes.dtype) == ((2, 3, 4), torch.uint8)
    assert (MULAW.decode(codes).shape, MULAW.decode(codes).dtype) == ((2, 3, 4), torch.float32)
