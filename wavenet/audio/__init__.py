"""What sound is: files of it, samples as codes, what is heard in it, and pictures of it.

It knows settings, and nothing of folders, networks or training.
"""

from wavenet.audio.decoding import UnusableAudioError
from wavenet.audio.io import (
    CHANNELS,
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
    "CHANNELS",
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
