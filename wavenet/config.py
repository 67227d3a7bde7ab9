"""Every setting of every command: plain dataclasses, one docstring per field, range checks in `__post_init__`.

The library takes these objects as they are; only `wavenet.cli` knows how they come out of YAML and the command line.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from wavenet.errors import ConfigError

BUNDLED = "bundled"
"""What `data.dir` is for the recordings that come with the source; a folder of that name is `./bundled`."""

MULAW_LEVELS = 256
"""Size of the mu-law alphabet: codes 0..255, zero amplitude is code 128."""

LARGEST_SEED = 2**62

ENGINES = ("auto", "compiled", "cached", "naive")
INPUTS = ("embedding", "scalar")
OPTIMIZERS = ("muon", "adamw")
PRECISIONS = ("auto", "float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")
ENGINE_PRECISIONS = (*PRECISIONS, "int8")
FEATURES = ("mel", "pitch", "file")
UPSAMPLINGS = ("transposed", "linear", "repeat")
SCHEDULES = ("linear", "cosine", "constant")
CHANNELS = ("mix", "left", "right")
LEVELS = ("off", "peak", "loudness")
SPLITS = ("all", "train", "valid", "test")
SPLITS_BY = ("auto", "name", "older")


def _check(name: str, value: Any, holds: bool, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}, but it must be {allowed}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    _check(name, value, value in choices, "one of " + ", ".join(choices))


def _check_at_least(name: str, value: float, minimum: float) -> None:
    _check(name, value, math.isfinite(value) and value >= minimum, f"at least {minimum}")


def _check_above(name: str, value: float, minimum: float) -> None:
    _check(name, value, math.isfinite(value) and value > minimum, f"greater than {minimum}")


@dataclass
class FeatureConfig:
    """Local conditioning: frames that describe a recording as it goes on, and how they become one row per sample."""

    kinds: list[str] = field(default_factory=list)
    """What a frame holds, side by side: `mel` (log-mel spectrum), `pitch` (log F0, voicing, energy), `file` (a row of
    the .npy array beside the recording). Empty: no local conditioning."""
    hop: int = 128
    """Samples per frame."""
    window: int = 512
    """Samples that a frame of `mel` is computed from, centred on the frame."""
    mels: int = 80
    """Bands of `mel`."""
    frame_rate: float | None = None
    """Frames per second of the `file` arrays, where that is not one per hop."""
    look_ahead: int = 1
    """Frames to come, and as many past ones, that a frame is seen together with."""
    upsampling: str = "transposed"
    """From frames to samples: `transposed` (learned transposed convolutions), `linear`, or `repeat`."""
    hold: int = 1
    """Samples that share a row: upsampling stops short of the sample rate by this factor, for faster generation."""
    strides: list[int] | None = None
    """Strides of the transposed convolutions, whose product is `hop` / `hold`. Left out: few stages of at most 16."""
    columns: int = 0
    """Numbers in a row of the `file` arrays; training fills it in."""

    def __post_init__(self) -> None:
        for kind in self.kinds:
            _check_choice("model.features.kinds", kind, FEATURES)
        for name in ("hop", "mels", "hold"):
            _check_at_least(f"model.features.{name}", getattr(self, name), 1)
        _check_at_least("model.features.window", self.window, 16)
        _check_at_least("model.features.look_ahead", self.look_ahead, 0)
        _check_choice("model.features.upsampling", self.upsampling, UPSAMPLINGS)
        if self.frame_rate is not None:
            _check_above("model.features.frame_rate", self.frame_rate, 0)
        _check("model.features.hold", self.hold, self.hop % self.hold == 0, f"a divisor of the hop, {self.hop}")
        if self.strides is not None:
            _check(
                "model.features.strides",
                self.strides,
                min(self.strides, default=2) >= 2 and math.prod(self.strides) * self.hold == self.hop,
                f"whole numbers of at least 2 whose product is model.features.hop / hold, {self.hop // self.hold}",
            )

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
    """Context stacks: small slow stacks over a long past, which condition the large one (paper section 2.6)."""

    pools: list[int] = field(default_factory=list)
    """Samples that are pooled into one frame, for each stack. Empty: no context stack."""
    layers: int = 8
    """Layers of a stack, with dilations 1, 2, 4, ... frames: it hears pool * 2**layers samples."""
    channels: int = 32
    """Width of a stack."""

    def __post_init__(self) -> None:
        for pool in self.pools:
            _check("model.context.pools", pool, 8 <= pool <= 65536, "8 to 65536 (samples)")
        _check("model.context.layers", self.layers, 1 <= self.layers <= 16, "1 to 16")
        _check_at_least("model.context.channels", self.channels, 1)


@dataclass
class RecognitionConfig:
    """Recognition: mean-pooled frames of the skip sum, a few non-causal convolutions, a class (paper section 3.4)."""

    hop: int = 160
    """Samples that are pooled into one frame."""
    layers: int = 3
    """Convolutions over the frames, which also hear the frames to come."""
    channels: int = 128
    """Width of these convolutions."""
    kernel_size: int = 5
    """Frames that each of them sees, an odd number with the present one in the middle."""
    weight: float = 1.0
    """Of the frame loss (nats per frame) in the sum with the sample loss (nats per sample)."""
    classes: list[str] = field(default_factory=list)
    """What a frame can be. Training fills it in from `data.frames`; empty: no recognition."""

    def __post_init__(self) -> None:
        for name in ("hop", "layers", "channels"):
            _check_at_least(f"model.recognition.{name}", getattr(self, name), 1)
        odd = self.kernel_size >= 1 and self.kernel_size % 2 == 1
        _check("model.recognition.kernel_size", self.kernel_size, odd, "an odd number of at least 1")
        _check_above("model.recognition.weight", self.weight, 0)

    @property
    def reach(self) -> int:
        """Frames on either side that a frame is told by."""
        return self.layers * (self.kernel_size // 2)


@dataclass
class ModelConfig:
    """Shape of a WaveNet. The names are the field's: see the paper's figure 4."""

    stacks: int = 2
    """How many times the dilation pattern repeats."""
    layers_per_stack: int = 10
    """Layers in one pattern; their dilations are 1, 2, 4, ... 2**(layers_per_stack - 1)."""
    dilations: list[int] | None = None
    """One stack's dilations written out, in place of the powers of two that `layers_per_stack` implies."""
    kernel_size: int = 2
    """Taps of each dilated convolution."""
    residual_channels: int = 64
    """Width of the signal that runs from layer to layer."""
    gate_channels: int = 64
    """Width of the gated output z; the dilated convolution makes twice as many, filter and gate."""
    skip_channels: int = 256
    """Width of the skip sum."""
    head_channels: int = 256
    """Width between the two last 1x1 layers."""
    input: str = "embedding"
    """How a code enters: `embedding` (a learned vector per mu-law code, 16-bit codes between two of them) or `scalar`
    (its companded amplitude in [-1, 1])."""
    mixtures: int = 0
    """0: mu-law codes in, and a softmax over them out. Above: 16-bit sound in, and a mixture of so many logistics (10,
    say) over its 65,536 values out."""
    initial_filter: int = 1
    """Taps of the causal filter over the input codes that makes the first layer's input; 1 sees the newest alone."""
    bias: bool = True
    """Whether convolutions and 1x1 layers carry biases."""
    condition_channels: int = 64
    """Width of the row per sample that labels, features and context stacks add up in; unused without them."""
    labels: dict[str, list[str]] = field(default_factory=dict)
    """Global conditioning: each label's values. Training fills it in from `data.labels`."""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    context: ContextConfig = field(default_factory=ContextConfig)
    recognition: RecognitionConfig = field(default_factory=RecognitionConfig)
    sources: list[str] = field(default_factory=list)
    """Conditioning sources of one's own, by the names that Python code has given them: docs/extending.md."""
    fused: bool = True
    """Whether a CPU trains by compiled passes through the layers, as long as the layers compute what these do; false
    always runs the code of wavenet/model/layers.py. No checkpoint keeps it: it decides how a model runs, not what it
    is."""

    def shape(self) -> dict[str, Any]:
        """What decides the network, as plain values: all but how it runs. Without sources of one's own no word of them,
        so that older versions read it."""
        return {name: value for name, value in asdict(self).items() if name != "fused" and (name != "sources" or value)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "ModelConfig":
        """What `shape` made of one. Raises TypeError for a name that is none, ConfigError for a value."""
        kinds = {"features": FeatureConfig, "context": ContextConfig, "recognition": RecognitionConfig}
        nested = {name: kind(**stored[name]) for name, kind in kinds.items() if name in stored}
        return cls(**{**stored, **nested})

    def __post_init__(self) -> None:
        for name in (
            "condition_channels",
            "stacks",
            "layers_per_stack",
            "kernel_size",
            "residual_channels",
            "gate_channels",
            "skip_channels",
            "head_channels",
            "initial_filter",
        ):
            _check_at_least(f"model.{name}", getattr(self, name), 1)
        _check("model.layers_per_stack", self.layers_per_stack, self.layers_per_stack <= 24, "at most 24")
        _check_choice("model.input", self.input, INPUTS)
        _check("model.mixtures", self.mixtures, 0 <= self.mixtures <= 1000, "0 to 1000")
        if self.dilations is not None:
            _check(
                "model.dilations",
                self.dilations,
                len(self.dilations) > 0 and all(d >= 1 for d in self.dilations),
                "a list of whole numbers of at least 1",
            )

    @property
    def conditioned(self) -> bool:
        """Whether anything but its own past tells the network what to make."""
        return bool(self.labels or self.features.kinds or self.context.pools or self.sources)

    @property
    def layer_dilations(self) -> list[int]:
        """Dilation of every layer, first to last, in samples."""
        stack = self.dilations or [2**i for i in range(self.layers_per_stack)]
        return list(stack) * self.stacks

    @property
    def receptive_field(self) -> int:
        """Samples of the past that one prediction depends on: 1 + (k - 1) * sum(dilations) + initial_filter - 1."""
        return (self.kernel_size - 1) * sum(self.layer_dilations) + self.initial_filter


@dataclass
class DataConfig:
    """Which recordings, and how they become codes."""

    dir: str | None = None
    """Folder of recordings, read recursively. `bundled`: the small set that comes with the source checkout."""
    sample_rate: int = 16000
    """Rate, in Hz, that every recording is resampled to and the model generates at."""
    valid_fraction: float = 0.1
    """Share of the files held out for validation, where the folder's metadata.csv has no `split` column."""
    split_by: str = "auto"
    """What decides where that column does not: `auto`, folders named train/ and valid/ or test/ beside it, then the
    file's name, with some of every label held out; `name`, the file's name alone; `older`, as runs of older versions,
    which took only rows of metadata.csv that are spelled exactly: those runs are resumed and scored so."""
    min_seconds: float = 0.1
    """Recordings shorter than this are left out, and the report says so."""
    trim_silence_db: float | None = None
    """Cut silence at both ends that lies this many dB below the file's peak (40, say). Left out: nothing is cut."""
    channel: str = "mix"
    """Of recordings with several channels: `mix` (their mean), `left`, or `right`."""
    normalise: str = "off"
    """Scale each recording: `peak` (to -1 dB), `loudness` (the parts of it that are not silent to an RMS level of -23
    dB, as far as the peak stays below -1 dB), or `off`."""
    cache_dir: str | None = None
    """Where prepared codes are kept. Left out: $XDG_CACHE_HOME/wavenet or ~/.cache/wavenet."""
    workers: int = 0
    """Threads that decode recordings; 0 means one per core."""
    labels: list[str] = field(default_factory=list)
    """What the model is told about a whole recording: columns of the folder's metadata.csv, or `folder`, the name of
    its sub-folder. A cell may hold several values, as in `slow|piano`."""
    frames: str | None = None
    """What is said when: a CSV file in the folder, of columns file_name,start_sample,end_sample,phone. Training with it
    makes a model that also recognises. `wavenet-recognise` compares with phones.csv, where there is one."""

    def __post_init__(self) -> None:
        _check("data.sample_rate", self.sample_rate, 1000 <= self.sample_rate <= 192000, "1000 to 192000 (Hz)")
        _check("data.valid_fraction", self.valid_fraction, 0 <= self.valid_fraction < 1, "0 or more and below 1")
        _check_choice("data.split_by", self.split_by, SPLITS_BY)
        _check_at_least("data.min_seconds", self.min_seconds, 0)
        _check_at_least("data.workers", self.workers, 0)
        _check_choice("data.channel", self.channel, CHANNELS)
        if self.normalise == "False":  # what YAML 1.1 takes `off` for
            self.normalise = "off"
        _check_choice("data.normalise", self.normalise, LEVELS)
        if self.trim_silence_db is not None:
            _check_above("data.trim_silence_db", self.trim_silence_db, 0)
            _check(
                "data.trim_silence_db",
                self.trim_silence_db,
                self.frames is None,
                "left out where data.frames tells what is said when: cutting would shift the times",
            )


@dataclass
class OptimConfig:
    """The recipe: optimizer, schedule, clipping, averaging."""

    name: str = "muon"
    """`muon`: Muon on the weight matrices, AdamW on the embedding, the last layer and biases. `adamw`: AdamW on all."""
    lr: float = 0.02
    """Peak learning rate of the main optimizer (Muon, or AdamW where that is chosen)."""
    adamw_lr: float = 0.004
    """Peak learning rate of AdamW on what Muon does not take; unused by `optim.name=adamw`."""
    weight_decay: float = 0.1
    """Decoupled weight decay on the matrices, times the learning rate."""
    momentum: float = 0.95
    """Momentum of Muon."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])
    """AdamW's two decay rates."""
    schedule: str = "linear"
    """Shape of the decay after warm-up: `linear`, `cosine`, or `constant`."""
    warmup_steps: int = 50
    """Steps over which the learning rate rises from zero."""
    final_lr_ratio: float = 0.0
    """Learning rate that the decay reaches after the last step, as a share of the peak."""
    clip_norm: float = 1.0
    """Largest allowed norm of the whole gradient; 0 turns clipping off."""
    ema_decay: float = 0.99
    """Decay per step of the averaged weights that are validated and shipped; 0 turns averaging off."""

    def __post_init__(self) -> None:
        _check_choice("optim.name", self.name, OPTIMIZERS)
        _check_choice("optim.schedule", self.schedule, SCHEDULES)
        for name in ("lr", "adamw_lr"):
            _check_above(f"optim.{name}", getattr(self, name), 0)
        for name in ("weight_decay", "warmup_steps", "clip_norm"):
            _check_at_least(f"optim.{name}", getattr(self, name), 0)
        for name in ("momentum", "ema_decay"):
            _check(f"optim.{name}", getattr(self, name), 0 <= getattr(self, name) < 1, "0 or more and below 1")
        _check("optim.final_lr_ratio", self.final_lr_ratio, 0 <= self.final_lr_ratio <= 1, "0 to 1")
        _check(
            "optim.betas",
            self.betas,
            len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas),
            "two numbers, each 0 or more and below 1",
        )


@dataclass
class RunConfig:
    """Where a training run leaves its files."""

    dir: str | None = None
    """Run folder. Left out: runs/<date>_<time>."""


@dataclass
class TrainConfig:
    """Settings of `wavenet-train`."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    steps: int = 20000
    """Optimizer steps."""
    minutes: float | None = None
    """Train for about this long instead: `steps` then follows the speed for a while, and stays. Time in which the
    process was stopped, or the machine asleep, does not count."""
    batch_size: int = 1
    """Windows per forward pass."""
    crop: int = 8192
    """Scored samples per window; its context (one receptive field) comes on top."""
    accumulate: int = 1
    """Forward passes per optimizer step."""
    label_dropout: float = 0.1
    """Share of windows that are learned without their labels, so that the model can also run without them."""
    seed: int = 0
    """Seed of the initial weights, the data order and the samples drawn during training."""
    precision: str = "auto"
    """`float32`, `bfloat16` (mixed), or `auto`: what this machine is faster in; a resumed run keeps it."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`."""
    devices: int = 1
    """Devices per machine, each with a process."""
    num_nodes: int = 1
    """Machines."""
    threads: int = 0
    """CPU threads of each process; 0 leaves torch's choice."""
    log_every: int = 10
    """Steps between two lines in metrics.jsonl and points in TensorBoard."""
    wandb: bool = False
    """Also show the run in Weights & Biases, offline: `wandb sync` uploads it. Needs the extra `wavenet[wandb]`."""
    validate_every: int | None = None
    """Steps between two validations. Left out: 1000; with `minutes`, about ten times a run, first within a minute, at
    most ten minutes apart, and so that they take a twentieth of the time at most."""
    validate_seconds: float = 60.0
    """Seconds of validation audio scored each time; the final validation scores all."""
    sample_every: int | None = None
    """Steps between two audio samples and spectrograms; 0 leaves them out. Left out: 5000; with `minutes`, as
    `validate_every`."""
    sample_seconds: float = 2.0
    """Length of each sample."""
    checkpoint_every: int | None = None
    """Steps between two checkpoints. Left out: 1000; with `minutes`, as `validate_every`."""
    resume: str | None = None
    """Run folder, or training state, to continue from."""
    report: str | None = None
    """File that the figures of the run are written to as JSON."""

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_size",
            "crop",
            "accumulate",
            "devices",
            "num_nodes",
            "log_every",
        ):
            _check_at_least(name, getattr(self, name), 1)
        _check_at_least("threads", self.threads, 0)
        for name, minimum in {"validate_every": 1, "checkpoint_every": 1, "sample_every": 0}.items():
            if getattr(self, name) is not None:
                _check_at_least(name, getattr(self, name), minimum)
        _check("seed", self.seed, 0 <= self.seed <= LARGEST_SEED, f"0 to {LARGEST_SEED}")
        for name in ("validate_seconds", "sample_seconds"):
            _check_above(name, getattr(self, name), 0)
        if self.minutes is not None:
            _check_above("minutes", self.minutes, 0)
        _check("label_dropout", self.label_dropout, 0 <= self.label_dropout <= 1, "0 to 1")
        if self.data.frames is not None:
            hop = self.model.recognition.hop
            _check("crop", self.crop, self.crop % hop == 0, f"a multiple of model.recognition.hop, {hop}")
            most = 2 * self.model.recognition.reach * hop
            allowed = f"more than {most} samples: a frame is told by so many around it, which must be in its window"
            _check("crop", self.crop, self.crop > most, allowed)
        cut, arrays = self.data.trim_silence_db, "file" in self.model.features.kinds
        _check("data.trim_silence_db", cut, cut is None or not arrays, "left out: cutting would shift the frames")
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("device", self.device, DEVICES)


@dataclass
class GenerateConfig:
    """Settings of `wavenet-generate`."""

    checkpoint: str = "???"
    """Run folder, or checkpoint file."""
    seconds: float | None = None
    """Length of each recording made, in seconds, not counting the prime. Left out: 5, or as long as the features."""
    count: int = 1
    """How many recordings."""
    seed: int = 0
    """Seed of the first recording; the others count up from it."""
    temperature: float = 1.0
    """Divides the logits: below 1 is tamer, above 1 wilder; 0 always takes the likeliest code, of a mixture the mean of
    its likeliest component."""
    top_k: int = 0
    """Draw from the k likeliest codes alone; 0 draws from all, as mixtures must."""
    top_p: float = 1.0
    """Draw from the smallest set of codes that holds this probability; 1 draws from all, as mixtures must."""
    prime: str | None = None
    """Audio file to continue from. Left out: silence."""
    keep_prime: bool = False
    """Whether the sound begins with the prime itself; `seconds` comes on top of it."""
    label: dict[str, Any] = field(default_factory=dict)
    """What to make, for a model that was trained with labels: `label.speaker=june`, or several, `label.tags=[a,b]`."""
    guidance: float = 1.0
    """How strongly the labels chosen are followed: logits are led away from those without labels by this factor."""
    features: str | None = None
    """What to follow, for a model that was trained with features: a recording, or a .npy array of frames, one a hop, or
    model.features.frame_rate a second where all its features are from files."""
    engine: str = "auto"
    """`compiled` (C++, CPU), `cached` (torch, any device), `naive` (slow, to compare with), or `auto`: the fastest,
    which is measured where there is a GPU."""
    precision: str = "auto"
    """`float32`, `bfloat16`, `int8` (`compiled` alone), or `auto`: for `compiled` int8, or bfloat16 with mixtures, else
    float32."""
    instruction_set: str = "auto"
    """Of the compiled engine: `avx512`, `avx2`, `neon`, `portable`, or `auto`: the fastest here."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`."""
    threads: int = 0
    """CPU threads; 0 chooses. 2 makes even a single recording faster on some machines, while a second core is free."""
    output: str = "generated"
    """Folder, or one .wav or .flac file, to write. `-` is the standard output, as bare samples: 16 bits, little-endian,
    one channel; a pipe gets WAV."""
    report: str | None = None
    """File that the figures are written to as JSON."""

    def __post_init__(self) -> None:
        if self.seconds is not None:
            _check(
                "seconds", self.seconds, 0 < self.seconds <= 3.6e6, "greater than 0 and at most 3600000 (1,000 hours)"
            )
        _check_at_least("count", self.count, 1)
        for name in ("temperature", "threads", "guidance"):
            _check_at_least(name, getattr(self, name), 0)
        _check("top_k", self.top_k, 0 <= self.top_k <= MULAW_LEVELS, f"0 to {MULAW_LEVELS}")
        _check("seed", self.seed, 0 <= self.seed <= LARGEST_SEED, f"0 to {LARGEST_SEED}")
        _check("top_p", self.top_p, 0 < self.top_p <= 1, "greater than 0 and at most 1")
        _check_choice("device", self.device, DEVICES)
        _check_choice("engine", self.engine, ENGINES)
        _check_choice("precision", self.precision, ENGINE_PRECISIONS)


@dataclass
class EvaluateConfig:
    """Settings of `wavenet-evaluate`."""

    checkpoint: str = "???"
    """Run folder, or checkpoint file."""
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "all"
    """Which part of the folder is scored: `all`, `train`, `valid`, or `test`, which its metadata.csv
    tells, or a folder test/ beside train/."""
    use_labels: bool = True
    """Whether a model that was trained with labels is told them."""
    resynthesise: int = 0
    """Recordings that a model with features also makes again from them, to be compared with."""
    engine: str = "auto"
    """`auto` scores whole windows in parallel; `compiled`, `cached` and `naive` step sample by sample."""
    precision: str = "auto"
    """`float32`, `bfloat16`, `int8` (`compiled` alone), or `auto`: for `compiled` int8, or bfloat16 with mixtures, else
    float32."""
    instruction_set: str = "auto"
    """Of the compiled engine: `avx512`, `avx2`, `neon`, `portable`, or `auto`: the fastest here."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`."""
    threads: int = 0
    """CPU threads; 0 leaves torch's choice."""
    report: str | None = None
    """File that the figures are written to as JSON."""

    def __post_init__(self) -> None:
        _check_choice("split", self.split, SPLITS)
        _check_choice("device", self.device, DEVICES)
        _check_at_least("resynthesise", self.resynthesise, 0)
        _check_choice("engine", self.engine, ENGINES)
        _check_choice("precision", self.precision, ENGINE_PRECISIONS)
        _check_at_least("threads", self.threads, 0)


@dataclass
class RecogniseConfig:
    """Settings of `wavenet-recognise`."""

    checkpoint: str = "???"
    """Run folder, or checkpoint file, of a model that was trained with `data.frames`."""
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "all"
    """Which part of the folder is recognised: `all`, `train`, `valid`, or `test`, which its metadata.csv
    tells, or a folder test/ beside train/."""
    use_labels: bool = True
    """Whether a model that was trained with labels is told them."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`."""
    threads: int = 0
    """CPU threads; 0 leaves torch's choice."""
    output: str = "recognised.csv"
    """File to write: file_name,start_sample,end_sample,phone, in samples of the recording's own rate."""
    report: str | None = None
    """File that the figures are written to as JSON."""

    def __post_init__(self) -> None:
        _check_choice("split", self.split, SPLITS)
        _check_choice("device", self.device, DEVICES)
        _check_at_least("threads", self.threads, 0)
        cut = self.data.trim_silence_db
        _check("data.trim_silence_db", cut, cut is None, "left out: cutting would shift the times")


@dataclass
class CacheConfig:
    """Settings of `wavenet-cache`."""

    cache_dir: str | None = None
    """Where prepared codes are kept, `data.cache_dir` of training. Left out: $XDG_CACHE_HOME/wavenet or
    ~/.cache/wavenet."""
    remove: str | None = None
    """What is removed: `all`, or a folder of recordings, or of prepared audio, that is listed."""
    unused_days: float | None = None
    """Remove what was not used for so many days; with `remove`, only of that."""
    report: str | None = None
    """File that the figures are written to as JSON."""

    def __post_init__(self) -> None:
        if self.unused_days is not None:
            _check_at_least("unused_days", self.unused_days, 0)


@dataclass
class ExportConfig:
    """Settings of `wavenet-export`."""

    checkpoint: str = "???"
    """Run folder, or checkpoint file."""
    precision: str = "auto"
    """Of the weights: `int8` (smallest and fastest), `bfloat16`, `float32` (exact), or `auto`: int8, or bfloat16 with
    mixtures."""
    label: dict[str, Any] = field(default_factory=dict)
    """What the file is to make for good, for a model that was trained with labels: `label.speaker=june`."""
    output: str = "model.wavenet"
    """File to write."""
    report: str | None = None
    """File that the figures are written to as JSON."""

    def __post_init__(self) -> None:
        _check_choice("precision", self.precision, ENGINE_PRECISIONS)
