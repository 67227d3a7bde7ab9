"""16-bit mono sound for outputs that cannot seek: pipes, devices, the standard output."""

import struct
from pathlib import Path

import numpy as np

from wavenet.files import STANDARD_OUTPUT, open_stream

RAW = Path("-")
"""The standard output, which then gets bare samples: 16 bits, little-endian, one channel."""
UNKNOWN_SIZE = 0xFFFFFFFF
"""Size in a WAV header while the length is unknown, as ffmpeg writes it; readers then read to the end."""


def title(path: Path) -> str:
    """The name of an output, for messages."""
    return "standard output" if path == RAW else str(path)


class PcmStream:
    """Sends int16 samples (n,) at once, after a WAV header unless `path` is RAW. Raises OSError."""

    def __init__(self, path: Path, sample_rate: int) -> None:
        self._file = open_stream(STANDARD_OUTPUT if path == RAW else path)
        if path != RAW:
            self._send(streaming_header(sample_rate))

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, samples: np.ndarray) -> None:
        self._send(samples.astype("<i2").tobytes())

    def close(self) -> None:
        self._file.close()

    def _send(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()


def streaming_header(sample_rate: int) -> bytes:
    """The 44 bytes before the samples of a WAV file of unknown length, 16 bits, one channel."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    sizes = struct.pack("<I", UNKNOWN_SIZE)
    return b"RIFF" + sizes + b"WAVEfmt " + form + b"data" + sizes
