"""The shape of a network, and the conditioning that it gets."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from wavenet.config.checks import above, at_least, between, check, one_of

MULAW_LEVELS = 256
"""Size of the mu-law alphabet: codes 0..255, zero amplitude is code 128."""


@dataclass
class FeatureConfig:
    """Local conditioning (paper section 2.5): frames that describe a recording as it goes on."""

    kinds: list[str] = field(default_factory=list)
    """What a frame holds: `mel` (a log-mel spectrum), `pitch` (log F0, voicing and energy), `file` (a row of the .npy
    array beside the recording). Several are put side by side. Empty: no local conditioning."""
    hop: int = 128
    """Samples per frame."""
    window: int = 512
    """Samples from which a `mel` frame is computed, centred on the frame."""
    mels: int = 80
    """Bands of a `mel` frame."""
    frame_rate: float | None = None
    """Frames per second of the `file` arrays, if they do not hold one frame per hop."""
    look_ahead: int = 1
    """How many neighbouring frames on either side each frame is combined with."""
    upsampling: str = "transposed"
    """How frames become one row per sample: `transposed` (learned transposed convolutions), `linear` or `repeat`."""
    hold: int = 1
    """Samples that share one row. Above 1, upsampling stops short of the sample rate, and generation is faster."""
    strides: list[int] | None = None
    """Strides of the transposed convolutions; their product is `hop` / `hold`. Left out: as few as possible, none above
    16."""
    columns: int = 0
    """Numbers in a row of the `file` arrays. Training fills it in."""

    def __post_init__(self) -> None:
        section = "model.features"
        one_of(self, section, kinds=("mel", "pitch", "file"), upsampling=("transposed", "linear", "repeat"))
        at_least(self, section, hop=1, mels=1, hold=1, window=16, look_ahead=0)
        above(self, section, frame_rate=0)
        check(self, section, "hold", self.hop % self.hold == 0, f"a divisor of the hop, {self.hop}")
        if self.strides is not None:
            product = math.prod(self.strides) * self.hold == self.hop and min(self.strides, default=2) >= 2
            allowed = f"whole numbers of at least 2 whose product is {section}.hop / hold, {self.hop // self.hold}"
            check(self, section, "strides", product, allowed)

    @property
    def channels(self) -> int:
        """Numbers in a frame."""
        return sum({"mel": self.mels, "pitch": 3, "file": self.columns}[kind] for kind in self.kinds)

    @property
    def stages(self) -> list[int]:
        """Stride of each transposed convolution, first to last."""
        if self.strides is not None:
            return list(self.strides)
        rest, stages = self.hop // self.hold, []
        while rest > 1:
            divisors = [d for d in range(2, 17) if rest % d == 0]
            stages.append(divisors[-1] if divisors else rest)
            rest //= stages[-1]
        return stages


@dataclass
class ContextConfig:
    """Context stacks (paper section 2.6): small, slow stacks over a long past, which condition the large one."""

    pools: list[int] = field(default_factory=list)
    """For each stack, the samples that are pooled into one of its frames. Empty: no context stack."""
    layers: int = 8
    """Layers of a stack, with dilations 1, 2, 4, ... frames. It hears pool * 2**layers samples."""
    channels: int = 32
    """Width of a stack."""

    def __post_init__(self) -> None:
        between(self, "model.context", pools=(8, 65536), unit="samples")
        between(self, "model.context", layers=(1, 16))
        at_least(self, "model.context", channels=1)


@dataclass
class RecognitionConfig:
    """Recognition (paper section 3.4): frames pooled from the skip sum, a few non-causal convolutions, a class."""

    hop: int = 160
    """Samples that are pooled into one frame."""
    layers: int = 3
    """Convolutions over the frames. They see later frames as well as earlier ones."""
    channels: int = 128
    """Width of these convolutions."""
    kernel_size: int = 5
    """Frames that each convolution sees: an odd number, with the present frame in the middle."""
    weight: float = 1.0
    """Weight of the frame loss (nats per frame) when it is added to the sample loss (nats per sample)."""
    classes: list[str] = field(default_factory=list)
    """The classes of a frame. Training fills it in from `data.frames`. Empty: no recognition."""

    def __post_init__(self) -> None:
        section = "model.recognition"
        at_least(self, section, hop=1, layers=1, channels=1)
        odd = self.kernel_size >= 1 and self.kernel_size % 2 == 1
        check(self, section, "kernel_size", odd, "an odd number of at least 1")
        above(self, section, weight=0)

    @property
    def reach(self) -> int:
        """How many frames on either side the class of a frame depends on."""
        return self.layers * (self.kernel_size // 2)


@dataclass
class ModelConfig:
    """Shape of a WaveNet. The names are standard terms: see figure 4 of the paper."""

    stacks: int = 2
    """How many times the dilation pattern repeats."""
    layers_per_stack: int = 10
    """Layers in one pattern. Their dilations are 1, 2, 4, ... 2**(layers_per_stack - 1)."""
    dilations: list[int] | None = None
    """The dilations of one stack, in place of the powers of two that `layers_per_stack` implies."""
    kernel_size: int = 2
    """Taps of each dilated convolution."""
    residual_channels: int = 64
    """Width of the signal that runs from layer to layer."""
    gate_channels: int = 64
    """Width of the gated output z. The dilated convolution makes twice as many: filter and gate."""
    skip_channels: int = 256
    """Width of the skip sum."""
    head_channels: int = 256
    """Width between the last two 1x1 layers."""
    input: str = "embedding"
    """How a code enters: `embedding` (a learned vector for each mu-law code; a 16-bit code lies between two of them) or
    `scalar` (its companded amplitude in [-1, 1])."""
    mixtures: int = 0
    """0: mu-law codes in, a softmax over them out. Above 0: 16-bit sound in, a mixture of this many logistics (10, say)
    over its 65,536 values out."""
    initial_filter: int = 1
    """Taps of the causal filter over the input codes that feeds the first layer. 1: the newest code alone."""
    bias: bool = True
    """Whether convolutions and 1x1 layers have biases."""
    condition_channels: int = 64
    """Width of the per-sample row that sums labels, features and context stacks. Unused without them."""
    labels: dict[str, list[str]] = field(default_factory=dict)
    """Global conditioning (paper section 2.5): the values of each label. Training fills it in from `data.labels`."""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    context: ContextConfig = field(default_factory=ContextConfig)
    recognition: RecognitionConfig = field(default_factory=RecognitionConfig)
    sources: list[str] = field(default_factory=list)
    """Your own conditioning sources, by the names given to them in Python: see docs/extending.md."""
    fused: bool = True
    """Whether training on a CPU uses the compiled passes through the layers, if they compute what the layers do.
    `false` always runs the code of wavenet/model/layers.py. It decides how a model runs, not what it is, so no
    checkpoint keeps it."""

    def shape(self) -> dict[str, Any]:
        """The settings that define the network, as plain values: all but `fused`, which is how it runs. An empty
        `sources` is left out, so that older versions can read the result."""
        return {name: value for name, value in asdict(self).items() if name != "fused" and (name != "sources" or value)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "ModelConfig":
        """The inverse of `shape`. Raises TypeError for an unknown name, ConfigError for a value out of range."""
        kinds = {"features": FeatureConfig, "context": ContextConfig, "recognition": RecognitionConfig}
        nested = {name: kind(**stored[name]) for name, kind in kinds.items() if name in stored}
        return cls(**{**stored, **nested})

    def __post_init__(self) -> None:
        at_least(self, "model", condition_channels=1, stacks=1, layers_per_stack=1, kernel_size=1, initial_filter=1)
        at_least(self, "model", residual_channels=1, gate_channels=1, skip_channels=1, head_channels=1)
        check(self, "model", "layers_per_stack", self.layers_per_stack <= 24, "at most 24")
        one_of(self, "model", input=("embedding", "scalar"))
        between(self, "model", mixtures=(0, 1000))
        if self.dilations is not None:
            positive = len(self.dilations) > 0 and all(d >= 1 for d in self.dilations)
            check(self, "model", "dilations", positive, "a list of whole numbers of at least 1")

    @property
    def conditioned(self) -> bool:
        """Whether the network depends on anything besides its own past."""
        return bool(self.labels or self.features.kinds or self.context.pools or self.sources)

    @property
    def layer_dilations(self) -> list[int]:
        """Dilation of every layer, first to last, in samples."""
        stack = self.dilations or [2**i for i in range(self.layers_per_stack)]
        return list(stack) * self.stacks

    @property
    def receptive_field(self) -> int:
        """How many past samples one prediction depends on: 1 + (k - 1) * sum(dilations) + initial_filter - 1."""
        return (self.kernel_size - 1) * sum(self.layer_dilations) + self.initial_filter
