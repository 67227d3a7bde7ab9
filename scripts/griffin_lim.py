"""Sound from the toolkit's log-mel frames without a network: the classical vocoder that a trained one has to beat."""

import torch
from torch import Tensor
from torchaudio.functional import griffinlim

from wavenet.audio.features import LEAST_MAGNITUDE, mel_bank
from wavenet.config import FeatureConfig

STEPS = 60
"""Iterations of Griffin-Lim; the sound hardly changes after them."""


def linear(log_mel: Tensor, config: FeatureConfig, sample_rate: int, steps: int = 500) -> Tensor:
    """Magnitudes (bins, frames), at least 0, whose mel frames are nearest to `log_mel` (frames, mels).

    Multiplicative updates (Lee and Seung 2001) minimise the squared error with the toolkit's own mel bank.
    """
    bins = config.window // 2 + 1
    bank = mel_bank(bins, config.mels, sample_rate)
    mel = (log_mel.exp() - LEAST_MAGNITUDE).clamp(min=0) * (torch.hann_window(config.window).sum() / 2)
    wanted, found = mel @ bank.t(), torch.full((len(mel), bins), 1e-3)
    for _ in range(steps):
        found = found * wanted / (found @ bank @ bank.t()).clamp(min=1e-9)
    return found.t()


def sound(log_mel: Tensor, config: FeatureConfig, sample_rate: int, samples: int, seed: int = 0) -> Tensor:
    """Sound (samples,) of log-mel frames (frames, mels), by STEPS iterations with torchaudio's momentum of 0.99."""
    magnitudes = linear(log_mel, config, sample_rate)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # phases begin at random
        made = griffinlim(
            magnitudes,
            window=torch.hann_window(config.window),
            n_fft=config.window,
            hop_length=config.hop,
            win_length=config.window,
            power=1.0,
            n_iter=STEPS,
            momentum=0.99,
            length=None,
            rand_init=True,
        )
    # its frames are centred on multiples of the hop, ours half a hop later
    late = torch.nn.functional.pad(made, (config.hop // 2, samples))
    return late[:samples]
