"""The shape of an acoustic model, and how it shares a run's time with the vocoder."""

from dataclasses import dataclass

from wavenet.config.checks import at_least, between, check


@dataclass
class AcousticConfig:
    """From what is said to frames of mel spectrum and pitch, for `task=speech`."""

    channels: int = 160
    """Width of every layer."""
    encoder_layers: int = 4
    """Convolutions over the units of a text. Their dilations are 1, 2, 4, 8, 1, 2, ..."""
    decoder_layers: int = 6
    """Convolutions over its frames. Their dilations are 1, 2, 4, 1, 2, 4, ..."""
    kernel_size: int = 3
    """Units, or steps, that each convolution sees: an odd number."""
    frames_per_step: int = 2
    """Frames of the vocoder that one step of the decoder makes. 2: steps of 10 ms if frames last 5 ms."""
    dropout: float = 0.1
    """Share of activations that each training step leaves out."""
    predictor_dropout: float = 0.2
    """The same in the predictors of durations and prosody."""
    batch_size: int = 16
    """Recordings per training step."""
    share: float = 0.5
    """Share of `minutes`, or of `steps`, that the acoustic model gets. The vocoder gets the rest."""
    tuned: bool = True
    """Whether the vocoder also learns from the frames that the acoustic model makes, not from those of recordings
    alone."""

    def __post_init__(self) -> None:
        section = "acoustic"
        at_least(self, section, channels=1, encoder_layers=1, decoder_layers=1, frames_per_step=1, batch_size=1)
        odd = self.kernel_size >= 1 and self.kernel_size % 2 == 1
        check(self, section, "kernel_size", odd, "an odd number of at least 1")
        between(self, section, dropout=(0, 0.9), predictor_dropout=(0, 0.9), share=(0.05, 0.95))
