"""How near a re-synthesised sound is to the recording that it follows: spectra, pitch, and two models of hearing.

Every measure takes sounds (n,) of equal length and rate. PESQ and STOI come from the optional packages pesq and pystoi,
and are left out without them.
"""

import importlib.util
import math

import numpy as np
import torch
from torch import Tensor

from wavenet.audio import features
from wavenet.config import FeatureConfig

RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
"""Windows and hops, in samples, of the multi-resolution distance."""
LEAST_MAGNITUDE = 10 ** (-80 / 20)
"""Magnitude, for a sound of full scale 1, below which spectra count as equal."""


UNITS = {"log_spectral_distance": "dB", "f0_error": "cents"}


def words(name: str) -> str:
    """A measure's name as it is shown, with its unit."""
    return name.replace("_", " ") + (f", {UNITS[name]}" if name in UNITS else "")


def compare(recording: Tensor, made: Tensor, sample_rate: int) -> dict[str, float | None]:
    """All measures; None for those that cannot be computed.

    `log_spectral_distance` dB; `stft_distance`, without unit; `f0_error` cents, root mean square where both are voiced;
    `voicing_error`, share of 5 ms frames; `pesq` 1 to 4.6 and `stoi` 0 to 1, higher is better.
    """
    length = min(len(recording), len(made))
    recording, made = recording[:length], made[:length]
    f0_error, voicing_error = pitch_errors(recording, made, sample_rate)
    return {
        "log_spectral_distance": log_spectral_distance(recording, made),
        "stft_distance": stft_distance(recording, made),
        "f0_error": f0_error,
        "voicing_error": voicing_error,
        "pesq": _pesq(recording, made, sample_rate),
        "stoi": _stoi(recording, made, sample_rate),
    }


def _magnitudes(sound: Tensor, window: int, hop: int) -> Tensor:
    """(bins, frames); a full-scale sine gives 1."""
    shape = torch.hann_window(window)
    padded = torch.nn.functional.pad(sound, (0, max(window - len(sound), 0)))
    return torch.stft(padded, window, hop, window=shape, center=False, return_complex=True).abs() * (2 / shape.sum())


def log_spectral_distance(recording: Tensor, made: Tensor, window: int = 512, hop: int = 128) -> float:
    """Root mean square difference of log spectra over frequency, averaged over frames, in dB (Gray 1976)."""
    a, b = (20 * torch.log10(_magnitudes(sound, window, hop) + LEAST_MAGNITUDE) for sound in (recording, made))
    return float((a - b).square().mean(dim=0).sqrt().mean())


def stft_distance(recording: Tensor, made: Tensor) -> float:
    """Spectral convergence plus mean log-magnitude difference, averaged over RESOLUTIONS (Yamamoto et al. 2020)."""
    total = 0.0
    for window, hop in RESOLUTIONS:
        a, b = _magnitudes(recording, window, hop), _magnitudes(made, window, hop)
        convergence = (a - b).norm() / a.norm().clamp(min=1e-9)
        total += float(convergence + (torch.log(a + LEAST_MAGNITUDE) - torch.log(b + LEAST_MAGNITUDE)).abs().mean())
    return total / len(RESOLUTIONS)


def pitch_errors(recording: Tensor, made: Tensor, sample_rate: int) -> tuple[float | None, float]:
    """Root mean square F0 error in cents, None if no frame is voiced in both; share of frames voiced in only one."""
    config = FeatureConfig(kinds=["pitch"], hop=max(sample_rate // 200, 1))
    a, b = (features.pitch_of(sound, config, sample_rate) for sound in (recording, made))
    voiced = (a[:, 1] > 0) & (b[:, 1] > 0)
    cents = 1200 * (a[voiced, 0] - b[voiced, 0])
    error = float(cents.square().mean().sqrt()) if len(cents) else None
    return error, float((a[:, 1] != b[:, 1]).float().mean())


def missing() -> list[str]:
    """The packages for PESQ and STOI that are not installed."""
    return [name for name in ("pesq", "pystoi") if importlib.util.find_spec(name) is None]


def _pesq(recording: Tensor, made: Tensor, sample_rate: int) -> float | None:
    if sample_rate not in (8000, 16000):
        return None
    try:
        import pesq  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    mode = "wb" if sample_rate == 16000 else "nb"
    try:
        return float(pesq.pesq(sample_rate, recording.numpy(), made.numpy(), mode))
    except pesq.PesqError:  # pesq found no utterance, or only a short one
        return None


def _stoi(recording: Tensor, made: Tensor, sample_rate: int) -> float | None:
    try:
        import pystoi  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    if len(recording) < 0.5 * sample_rate or not float(recording.abs().max()):
        return None
    value = pystoi.stoi(recording.numpy().astype(np.float64), made.numpy().astype(np.float64), sample_rate)
    return float(value) if math.isfinite(value) else None
