"""Sound through the sound card while it is made, by PortAudio, in the extra wavenet[play]."""

from types import ModuleType
from typing import Any

import numpy as np
import soxr

from wavenet.errors import AudioError, ConfigError

BUFFERED_SECONDS = 0.25
"""What the system keeps ready, which outlasts short delays of the machine."""


class SoundCard:
    """The system's default output. Raises ConfigError if the extra is not installed, AudioError if nothing plays."""

    def __init__(self, sample_rate: int) -> None:
        self._system = _portaudio()
        self.gaps = 0
        """How often the card ran out of sound."""
        self._resampler: soxr.ResampleStream | None = None
        try:
            rate: float = sample_rate
            try:
                self._system.check_output_settings(channels=1, dtype="float32", samplerate=rate)
            except self._system.PortAudioError:  # a few cards play only their own rate
                rate = self._system.query_devices(kind="output")["default_samplerate"]
                self._resampler = soxr.ResampleStream(sample_rate, rate, 1, dtype="float32")
            self._stream: Any = self._system.OutputStream(
                samplerate=rate, channels=1, dtype="float32", latency=BUFFERED_SECONDS
            )
            self._stream.start()
        except self._system.PortAudioError as error:
            raise AudioError(
                f"play is true, but no sound card can be played here ({error}): leave play out, or pipe the sound "
                f"on, as in wavenet-generate output=- | aplay -f S16_LE -r {sample_rate}"
            ) from error

    def write(self, sound: np.ndarray, last: bool = False) -> None:
        """Play samples (n,) in [-1, 1]; waits until there is room for them. Raises AudioError if the card is gone."""
        samples = np.asarray(sound)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        try:
            self.gaps += bool(self._stream.write(samples.reshape(-1, 1)))
        except self._system.PortAudioError as error:
            raise AudioError(f"the sound card stopped playing ({error}): leave play out, or try again") from error

    def close(self, wait: bool) -> None:
        """Give the card back: after all that was written, or at once. May be called again."""
        if self._stream.closed:
            return
        if wait:
            self.write(np.empty(0, np.float32), last=True)
            self._stream.stop()
        else:
            self._stream.abort()
        self._stream.close()


def _portaudio() -> ModuleType:
    try:
        import sounddevice  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError("play is true, but that needs sounddevice: pip install 'wavenet[play]'") from error
    except OSError as error:  # on Linux its package does not hold PortAudio itself
        raise ConfigError(
            f"play is true, but {error}: apt install libportaudio2, or its name on your system"
        ) from error
    return sounddevice
