"""Mu-law companding and quantising: audio in [-1, 1] to codes 0..255 (ITU-T G.711's curve, mu = 255).

    code = floor((sign(x) ln(1 + 255 |x|) / ln(256) + 1) / 2 * 255 + 1/2)

Rounding half up avoids bias, and every code survives decoding and encoding again.
"""

import torch
from torch import Tensor
from torchaudio.functional import mu_law_decoding, mu_law_encoding

from wavenet.audio.tables import LEVELS, ZERO

__all__ = ["AMPLITUDES", "LEVELS", "ZERO", "encode"]

AMPLITUDES = mu_law_decoding(torch.arange(LEVELS, dtype=torch.float64), LEVELS)
"""Amplitude of every code in float64, rising from exactly -1 to exactly 1."""


def encode(audio: Tensor) -> Tensor:
    """Floating-point audio of any shape -> uint8 codes. Values outside [-1, 1], as resampling makes, are clamped."""
    return mu_law_encoding(audio.clamp(-1, 1), LEVELS).to(torch.uint8)
