"""Sound: audio files, samples as codes, features, levels, and pictures.

It hands out reading, writing and resampling; its modules have encodings, features and plots. It may import
`wavenet.config`, `wavenet.files` and `wavenet.errors`.
"""

from wavenet.audio.decoding import UnusableAudioError
from wavenet.audio.io import (
    EXTENSIONS,
    UNREAD,
    WAV_SAMPLES,
    WRITABLE,
    AudioInfo,
    Writer,
    blocks,
    probe,
    read,
    resample,
    resample_blocks,
    write,
)

__all__ = [
    "EXTENSIONS",
    "UNREAD",
    "WAV_SAMPLES",
    "WRITABLE",
    "AudioInfo",
    "UnusableAudioError",
    "Writer",
    "blocks",
    "probe",
    "read",
    "resample",
    "resample_blocks",
    "write",
]
