"""Frames that describe a sound over time: log-mel spectrum, pitch and energy, or an array kept beside the file.

All but the array is computed from the codes that the network learns, so that frames and samples stay aligned: frame f
describes samples f hop .. (f + 1) hop, and a recording of n samples has ceil(n / hop) frames.
"""

import functools
import math
import threading
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from wavenet.audio.encodings import encoding_of
from wavenet.config import FeatureConfig
from wavenet.errors import AudioError

LEAST_MAGNITUDE = 1e-4
"""Magnitude, for a sound of full scale 1, below which a mel band counts as silent."""
CHUNK = 4096
"""Frames computed at once, so that memory does not grow with a recording's length."""
LOWEST_HERTZ, HIGHEST_HERTZ = 60.0, 500.0
"""Range in which a pitch is searched for: voices, and the middle of most instruments."""
VOICED = 0.5
"""Normalised autocorrelation from which a frame counts as voiced."""


SLACK = 4
"""Frames by which an array may be longer or shorter than its recording, since ways of framing differ."""


def frames(codes: np.ndarray, config: FeatureConfig, sample_rate: int, path: Path) -> np.ndarray:
    """(ceil(n / hop), channels) float32 of a recording's codes (n,); `path` is its file, with arrays beside it.

    Raises AudioError, naming the file, for an array that is missing, unreadable, not finite, too short or too long.
    """
    count = -(-len(codes) // config.hop)
    parts = []
    for kind in config.kinds:
        if kind == "file":
            parts.append(from_file(path, config, sample_rate, len(codes)))
            continue
        compute, window = {"mel": (log_mel, config.window), "pitch": (pitch, pitch_window(sample_rate))}[kind]
        chunks = []
        for first in range(0, count, CHUNK):
            last = min(first + CHUNK, count)
            sound = _around(codes, first * config.hop + config.hop // 2 - window // 2, last - first, config.hop, window)
            chunks.append(compute(sound, config, sample_rate).numpy())
        parts.append(np.concatenate(chunks))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _around(codes: np.ndarray, begin: int, count: int, hop: int, window: int) -> Tensor:
    """The sound under `count` windows from sample `begin` on, zero outside the recording."""
    end = begin + (count - 1) * hop + window
    inside = codes[max(begin, 0) : max(min(end, len(codes)), 0)]
    sound = encoding_of(codes).decode(torch.from_numpy(inside.astype(np.int64)))
    return F.pad(sound, (max(-begin, 0), max(end - max(len(codes), begin), 0)))


def log_mel(sound: Tensor, config: FeatureConfig, sample_rate: int) -> Tensor:
    """Natural logarithm of mel magnitudes, (frames, mels): windows of `window` samples every `hop`, none padded."""
    window = torch.hann_window(config.window)
    bins = torch.stft(sound, config.window, config.hop, window=window, center=False, return_complex=True).abs()
    bank = mel_bank(len(bins), config.mels, sample_rate)
    return torch.log((bins.t() @ bank) * (2 / window.sum()) + LEAST_MAGNITUDE)


_LOCK = threading.Lock()


def mel_bank(bins: int, mels: int, sample_rate: int) -> Tensor:
    """(bins, mels), triangles on Slaney's mel scale up to half the rate, made once."""
    with _LOCK:  # several threads read recordings, and warning filters belong to the whole process
        return _mel_bank(bins, mels, sample_rate)


@functools.cache
def _mel_bank(bins: int, mels: int, sample_rate: int) -> Tensor:
    with warnings.catch_warnings():  # short windows leave bands without a bin, which are harmlessly silent
        warnings.simplefilter("ignore", UserWarning)
        return melscale_fbanks(bins, 0.0, sample_rate / 2, mels, sample_rate, norm=None, mel_scale="slaney")


def pitch_window(sample_rate: int) -> int:
    """Samples from which a pitch is found: three periods of the lowest."""
    return 3 * math.ceil(sample_rate / LOWEST_HERTZ)


def pitch(sound: Tensor, config: FeatureConfig, sample_rate: int) -> Tensor:
    """(frames, 3): log2 of F0 over 100 Hz, 0 where unvoiced; 1 where voiced; log energy.

    The period is the lag of the first peak within 10 % of the highest one in the autocorrelation, which is normalised
    by the energy of the two stretches that it compares (McLeod and Wyvill 2005), refined by a parabola.
    """
    size = pitch_window(sample_rate)
    windows = sound.unfold(0, size, config.hop)
    windows = windows - windows.mean(dim=1, keepdim=True)
    spectrum = torch.fft.rfft(windows, n=2 * size)
    correlation = torch.fft.irfft(spectrum.abs().square())[:, :size]
    cumulative = F.pad(windows.square().cumsum(dim=1), (1, 0))
    lags = torch.arange(size)
    both = cumulative[:, size - lags] + cumulative[:, -1:] - cumulative[:, lags]
    likeness = 2 * correlation / both.clamp(min=1e-9)
    shortest, longest = int(sample_rate / HIGHEST_HERTZ), math.ceil(sample_rate / LOWEST_HERTZ)
    middle, before, after = (likeness[:, shortest + i : longest + i] for i in (0, -1, 1))
    peaks = torch.where((middle >= before) & (middle > after), middle, 0)
    best = peaks.amax(dim=1, keepdim=True)
    lag = ((peaks >= 0.9 * best) & (peaks > 0)).int().argmax(dim=1, keepdim=True)
    y, a, b = (values.gather(1, lag) for values in (middle, before, after))
    shift = (a - b) / (2 * (a - 2 * y + b)).clamp(max=-1e-9)
    hertz = sample_rate / (lag + shortest + shift)
    energy = 0.5 * torch.log(windows.square().mean(dim=1, keepdim=True) + LEAST_MAGNITUDE**2)
    voiced = (best > VOICED) & (energy > math.log(10 * LEAST_MAGNITUDE))
    return torch.cat([torch.where(voiced, torch.log2(hertz / 100), 0.0), voiced.float(), energy], dim=1)


def pitch_of(sound: Tensor, config: FeatureConfig, sample_rate: int) -> Tensor:
    """`pitch` of windows around a sound's samples (n,), CHUNK windows at a time, because windows overlap heavily."""
    window = pitch_window(sample_rate)
    padded = F.pad(sound, (window // 2, window // 2))
    count = (len(padded) - window) // config.hop + 1
    pieces = []
    for first in range(0, count, CHUNK):
        last = min(first + CHUNK, count)
        piece = padded[first * config.hop : (last - 1) * config.hop + window]
        pieces.append(pitch(piece, config, sample_rate))
    return torch.cat(pieces)


def from_file(path: Path, config: FeatureConfig, sample_rate: int, samples: int) -> np.ndarray:
    """The array beside a recording, `name.npy` for `name.wav`, with one frame per hop: (ceil(n / hop), columns)."""
    array = path.with_suffix(".npy")
    frames = load(array)
    rate = config.frame_rate or sample_rate / config.hop
    expected = samples / sample_rate * rate
    if abs(len(frames) - expected) > SLACK:
        raise AudioError(
            f"{array} has {len(frames)} frames, but {path.name} lasts {samples / sample_rate:.3f} s, which is "
            f"{expected:.1f} frames at {rate:g} per second: set model.features.frame_rate, or make a new array"
        )
    if config.columns and frames.shape[1] != config.columns:
        raise AudioError(f"{array} has {frames.shape[1]} numbers per row, but {config.columns} are needed")
    return at_hops(frames, -(-samples // config.hop), rate * config.hop / sample_rate)


def at_hops(frames: np.ndarray, count: int, frames_per_hop: float) -> np.ndarray:
    """Frames (n, columns) at their own rate, interpolated at the middles of `count` hops: (count, columns)."""
    middles = (np.arange(count) + 0.5) * frames_per_hop - 0.5
    below = np.clip(np.floor(middles).astype(int), 0, len(frames) - 1)
    above, share = np.minimum(below + 1, len(frames) - 1), np.clip(middles - below, 0, 1)[:, None]
    return frames[below] * (1 - share) + frames[above] * share


def load(path: Path) -> np.ndarray:
    """A .npy file of frames, (n, columns) of finite numbers. Raises AudioError, naming it, for anything else."""
    try:
        frames = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise AudioError(f"{path} does not exist: features of kind `file` need one such array per recording") from error
    except (OSError, ValueError, EOFError) as error:
        raise AudioError(f"{path} is not a .npy array ({error})") from error
    kinds = np.integer, np.floating
    if not (
        isinstance(frames, np.ndarray) and frames.ndim == 2 and len(frames) and issubclass(frames.dtype.type, kinds)
    ):
        raise AudioError(f"{path} must be an array of numbers, (frames, columns), with at least one frame")
    with np.errstate(over="ignore"):
        frames = frames.astype(np.float32)
    if not np.isfinite(frames).all():
        raise AudioError(f"{path} holds numbers that are not finite in float32")
    return frames
