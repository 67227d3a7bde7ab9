"""Conditioning: labels, features and context stacks, added up to one row per sample, tell a WaveNet what to make.

    y_t = sum of the embeddings of a recording's labels             global conditioning, paper section 2.5
        + frames of features, upsampled to one row per sample       local conditioning, section 2.5
        + outputs of small, slow stacks over a long past            context stacks, section 2.6
        + sources that users add                                    SOURCES

Each layer of the network adds its own projection V_l y_t before its gate. The samples before a recording count as
silence and have the recording's first row.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.audio.encodings import Encoding
from wavenet.config import FeatureConfig, ModelConfig
from wavenet.errors import ConfigError
from wavenet.model.distributions import make_distribution
from wavenet.model.layers import ResidualBlock

Range = Callable[[int, int], Tensor]
"""Reads entries start..stop of something too long to hold in memory."""


class Companion(NamedTuple):
    """What is known about one recording besides the codes in a window of it."""

    labels: Tensor
    """(values,): 1 for each label value that it has, in the order of `Conditioning.names`."""
    frames: Range | None = None
    """Frames of features, (n, channels); the first and last repeat beyond the recording's ends."""
    codes: Range | None = None
    """Codes, (n,), with silence before the start."""
    memory: dict["ContextStack", "Memory"] | None = None
    """What context stacks keep of this stream, so that its next rows cost little; None keeps nothing."""
    samples: int = 0
    """Length of the recording, or of the sound that its frames describe; 0 if unknown."""

    def without_labels(self) -> "Companion":
        return self._replace(labels=torch.zeros_like(self.labels))


Piece = tuple[Companion, int, int]
"""Samples start..stop of a recording; a start below 0 lies in the silence before it."""


SOURCES: dict[str, Callable[[ModelConfig], nn.Module]] = {}
"""Sources that users add, under the names that `model.sources` lists.

Each is made with the model's settings. Its forward takes a Companion and a range of samples start..stop, with start at
least 0, and returns rows (stop - start, condition_channels). They may depend on the labels, the frames and the
position, but not on codes. docs/extending.md has an example.
"""


def unregistered(name: str) -> str:
    """The end of an error message about a source that is not registered."""
    there = ", ".join(SOURCES) or "none"
    return (
        f"a conditioning source {name!r}, which is not registered (registered: {there}): import the code that puts it "
        "into wavenet.model.conditioning.SOURCES first"
    )


class Conditioning(nn.Module):
    """Rows per sample from labels, features and context stacks, whichever the model has."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.condition_channels
        self.channels = channels
        self.encoding = make_distribution(config.mixtures).encoding
        self.names = [(label, value) for label, values in config.labels.items() for value in values]
        self.labels = nn.Parameter(torch.randn(len(self.names), channels) / 4) if self.names else None
        self.features = Upsample(config.features, channels) if config.features.kinds else None
        shape = (config.context.layers, config.context.channels, channels)
        stacks = [ContextStack(pool, *shape, self.encoding) for pool in config.context.pools]
        self.context: Sequence[ContextStack] = nn.ModuleList(stacks)  # type: ignore[assignment] (told by what it holds)
        for name in config.sources:
            if name not in SOURCES:
                raise ConfigError(f"model.sources: {unregistered(name)}")
        self.sources = nn.ModuleDict({name: SOURCES[name](config) for name in config.sources})

    @property
    def constant(self) -> bool:
        """Whether a recording's rows are all the same, as they are if the model has only labels."""
        return self.features is None and not len(self.context) and not len(self.sources)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(self, companion: Companion, start: int, stop: int) -> Tensor:
        """Rows (stop - start, channels) of samples start..stop of a recording that begins at 0; stop is above 0."""
        first = max(start, 0)
        rows = torch.zeros(stop - first, self.channels, device=self.device)
        if self.labels is not None:
            rows = rows + companion.labels.to(self.device) @ self.labels
        if self.features is not None:
            assert companion.frames is not None, "this model follows features"
            rows = rows + self.features(companion.frames, first, stop)
        for stack in self.context:
            assert companion.codes is not None, "this model has context stacks"
            rows = rows + stack(companion.codes, first, stop, companion.memory)
        for source in self.sources.values():
            rows = rows + source(companion, first, stop)
        return rows if first == start else torch.cat([rows[:1].expand(first - start, -1), rows])

    def batch(self, items: Sequence[Sequence[Piece]], length: int) -> Tensor:
        """Rows (B, length, channels): each item's pieces one after another, cut or padded with zeros."""
        joined = [torch.cat([self(*piece) for piece in pieces])[:length] for pieces in items]
        return torch.stack([F.pad(rows, (0, 0, 0, length - len(rows))) for rows in joined])


class Upsample(nn.Module):
    """Frames of features -> one row per sample.

    A convolution and a ReLU combine each standardised frame with its neighbours. Transposed convolutions then raise the
    result to the sample rate. Their kernels are twice the stride, so that equally many frames reach every output sample
    (Odena et al. 2016), and are initialised to linear interpolation.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: FeatureConfig, channels: int) -> None:
        super().__init__()
        self.hop, self.hold = config.hop, config.hold
        self.look_ahead, self.kind = config.look_ahead, config.upsampling
        self.register_buffer("mean", torch.zeros(config.channels))
        self.register_buffer("scale", torch.ones(config.channels))
        self.neighbours = nn.Conv1d(config.channels, channels, 2 * config.look_ahead + 1)
        self.mix = nn.Conv1d(channels, channels, 1)
        strides = config.stages if config.upsampling == "transposed" else []
        self.stages = nn.Sequential(*(linear_upsampling(channels, stride) for stride in strides))
        self.margin = config.look_ahead + max(len(strides), 1)
        """Frames on either side of its own that a sample depends on."""

    def standardise(self, frames: Tensor) -> None:
        """Set the mean and scale to those of these frames, (n, channels)."""
        self.mean.copy_(frames.mean(dim=0))
        self.scale.copy_(frames.std(dim=0).clamp(min=1e-3))

    def forward(self, frames: Range, start: int, stop: int) -> Tensor:
        """Rows (stop - start, channels) of samples start..stop; frame f is centred on samples f hop .. (f + 1) hop."""
        first = start // self.hop - self.margin
        seen = frames(first, (stop - 1) // self.hop + 1 + self.margin).to(self.mean)
        x = ((seen - self.mean) / self.scale).t().unsqueeze(0)
        x = self.mix(F.relu(self.neighbours(x)))
        if self.kind == "transposed":
            x = self.stages(x)
        elif self.kind == "linear":
            x = F.interpolate(x, scale_factor=self.hop // self.hold, mode="linear")
        x = x.repeat_interleave(self.hop if self.kind == "repeat" else self.hold, dim=2)
        offset = start - (first + self.look_ahead) * self.hop
        return x[0, :, offset : offset + stop - start].t().float()


def linear_upsampling(channels: int, stride: int) -> nn.ConvTranspose1d:
    """Transposed convolution, (B, C, n) -> (B, C, n * stride), that begins as linear interpolation of each channel."""
    odd = stride % 2
    conv = nn.ConvTranspose1d(channels, channels, 2 * stride, stride, (stride + odd) // 2, output_padding=odd)
    distance = (torch.arange(2 * stride) - stride + (0 if odd else 0.5)).abs() / stride
    with torch.no_grad():
        conv.weight.copy_(torch.eye(channels)[:, :, None] * (1 - distance))
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type] (it has one)
    return conv


class Memory(NamedTuple):
    """A context stack's state in a stream: the rows of its last frames, up to `last`, and each layer's last inputs."""

    last: int
    rows: Tensor
    inputs: list[Tensor]


class ContextStack(nn.Module):
    """A small WaveNet over a long past at a low rate: `pool` samples per frame, 2**layers frames.

    A frame is the log spectrum of the four pools that end with it. The samples of block b are conditioned on the blocks
    up to b - 5, so that generation knows the rows of four blocks before it begins them. The large network itself sees
    the samples in between.
    """

    hann: Tensor
    DELAY = 5
    LEAST_MAGNITUDE = 1e-3
    """Magnitude (full scale is 1) below which the log spectrum flattens out: about a mu-law step."""

    def __init__(self, pool: int, layers: int, channels: int, out_channels: int, encoding: Encoding) -> None:
        super().__init__()
        self.encoding = encoding
        self.pool, self.window = pool, 4 * pool
        self.register_buffer("hann", torch.hann_window(self.window), persistent=False)
        self.enter = nn.Linear(self.window // 2 + 1, channels)
        dilations = [2**i for i in range(layers)]
        blocks = [ResidualBlock(channels, channels, 2, d, last=i == layers - 1) for i, d in enumerate(dilations)]
        self.blocks: Sequence[ResidualBlock] = nn.ModuleList(blocks)  # type: ignore[assignment] (told by what it holds)
        self.leave = nn.Linear(layers * channels, out_channels)
        self.receptive_field = 1 + sum(dilations)
        """Frames."""
        self.span = (self.receptive_field + self.DELAY) * pool + self.window
        """Past samples that a row depends on."""
        self.recent = (self.DELAY + 2) * pool + self.window
        """Past samples that are needed if `memory` holds the rest."""

    def forward(
        self, codes: Range, start: int, stop: int, memory: dict["ContextStack", Memory] | None = None
    ) -> Tensor:
        """Rows (stop - start, channels) of samples start..stop; what `memory` holds is not computed again."""
        first, last = start // self.pool - self.DELAY, (stop - 1) // self.pool - self.DELAY
        known = None if memory is None else memory.get(self)
        if known is None or not first - 1 <= known.last <= last or first <= known.last - len(known.rows):
            known = Memory(first - 1, torch.empty(0, self.leave.out_features), [])
        if known.last < last:
            known = self._hear(codes, known, last)
        if memory is not None:
            memory[self] = known
        rows = known.rows[first - last - 1 :].repeat_interleave(self.pool, dim=0)
        return rows[start % self.pool :][: stop - start]

    def _hear(self, codes: Range, known: Memory, last: int) -> Memory:
        """One pass over the frames after `known.last` up to `last`, and over earlier ones if none are known."""
        count = last - known.last
        begin = known.last + 1 - (0 if known.inputs else self.receptive_field - 1)
        spectrum = self.spectrum(codes((begin + 1) * self.pool - self.window, (last + 1) * self.pool))
        x, gated, inputs = self.enter(spectrum).unsqueeze(0), [], []
        for i, block in enumerate(self.blocks):
            x = torch.cat([known.inputs[i], x], dim=1) if known.inputs else x
            inputs.append(x[:, -block.conv.context :])
            x, z = block(x)
            gated.append(z[:, -count:])
        made = self.leave(torch.cat(gated, dim=-1))[0].float()
        kept = known.rows[-self.DELAY - 1 :].to(made)
        return Memory(last, torch.cat([kept, made]), inputs)

    def spectrum(self, codes: Tensor) -> Tensor:
        """Codes (n,) -> log magnitudes (1 + (n - window) / pool, window / 2 + 1)."""
        sound = self.encoding.decode(codes.to(self.hann.device))
        bins = torch.stft(sound, self.window, self.pool, window=self.hann, center=False, return_complex=True)
        magnitudes = bins.abs() * (4 / self.window)  # the window's sum is half its length
        return torch.log(magnitudes + self.LEAST_MAGNITUDE).t() / 4 + 1
