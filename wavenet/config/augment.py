"""How training windows are varied, so that a small folder goes further."""

from dataclasses import dataclass, field

from wavenet.config.checks import between, check


@dataclass
class AugmentConfig:
    """Changes of the windows that are learned from, drawn anew for each. What is held out stays as it is."""

    polarity: bool = False
    """Turn half of the windows upside down, which sounds the same: mu-law code c becomes 255 - c."""
    gain: list[float] = field(default_factory=list)
    """Change the level of each window by so many dB, drawn evenly from this range: [-6, 3]. Empty: not at all."""
    speed: float = 0.0
    """Play each window faster or slower, and so higher or lower, by up to this many percent."""
    weights: dict[str, float] = field(default_factory=dict)
    """How often sub-folders are heard, relative to the others: {drums: 2, field: 0.5}. 0 leaves one out."""

    def __post_init__(self) -> None:
        section = "augment"
        two = not self.gain or (len(self.gain) == 2 and -60 <= self.gain[0] <= self.gain[1] <= 60)
        check(self, section, "gain", two, "two numbers of dB, the lower first, between -60 and 60, as in [-6,3]")
        between(self, section, speed=(0, 50), unit="percent")
        positive = all(0 <= weight <= 1000 for weight in self.weights.values())
        check(self, section, "weights", positive, "numbers from 0 to 1000, one for each sub-folder that is named")

    @property
    def resounds(self) -> bool:
        """Whether windows are computed anew, not only turned upside down."""
        return bool(self.gain) or self.speed > 0
