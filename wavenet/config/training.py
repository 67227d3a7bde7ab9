"""How a network is trained: the recipe, the run folder, and all of `wavenet-train`."""

from dataclasses import dataclass, field

from wavenet.config.acoustic import AcousticConfig
from wavenet.config.augment import AugmentConfig
from wavenet.config.checks import DEVICES, LARGEST_SEED, above, at_least, between, check, one_of, share
from wavenet.config.data import DataConfig
from wavenet.config.model import ModelConfig

SCHEDULES = ("linear", "cosine", "constant")


@dataclass
class OptimConfig:
    """The recipe: optimizer, schedule, clipping, averaging."""

    name: str = "muon"
    """`muon`: Muon on the weight matrices, AdamW on the embedding, the last layer and biases. `adamw`: AdamW on all."""
    lr: float = 0.02
    """Peak learning rate of the main optimizer: Muon, or AdamW with `optim.name=adamw`."""
    adamw_lr: float = 0.004
    """Peak learning rate of AdamW on the weights that Muon does not train. Unused with `optim.name=adamw`."""
    weight_decay: float = 0.1
    """Decoupled weight decay of the matrices; it is multiplied by the learning rate."""
    momentum: float = 0.95
    """Momentum of Muon."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])
    """AdamW's two decay rates."""
    schedule: str = "linear"
    """Shape of the decay after warm-up: `linear`, `cosine` or `constant`."""
    warmup_steps: int = 50
    """Steps over which the learning rate rises from zero."""
    final_lr_ratio: float = 0.0
    """Learning rate after the last step, as a share of the peak."""
    clip_norm: float = 1.0
    """Largest allowed norm of the whole gradient. 0 turns clipping off."""
    ema_decay: float = 0.99
    """Decay per step of the averaged weights, which are validated and kept as the model. 0 turns averaging off."""

    def __post_init__(self) -> None:
        one_of(self, "optim", name=("muon", "adamw"), schedule=SCHEDULES)
        above(self, "optim", lr=0, adamw_lr=0)
        at_least(self, "optim", weight_decay=0, warmup_steps=0, clip_norm=0)
        share(self, "optim", "momentum", "ema_decay")
        between(self, "optim", final_lr_ratio=(0, 1))
        two = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        check(self, "optim", "betas", two, "two numbers, each 0 or more and below 1")


@dataclass
class RunConfig:
    """Where a training run writes its files."""

    dir: str | None = None
    """Run folder. Left out: runs/<date>_<time>."""


@dataclass
class TrainConfig:
    """Settings of `wavenet-train`."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    acoustic: AcousticConfig = field(default_factory=AcousticConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    task: str = "sound"
    """`sound`: a network that makes sound. `speech`: a voice that speaks texts; it needs the text of each recording.
    An acoustic model turns units, letters or phones, into frames, and a vocoder turns frames into sound."""
    steps: int = 20000
    """Optimizer steps."""
    minutes: float | None = None
    """Train for about this long instead of for `steps`. The number of steps is estimated from the speed at the start of
    the run, then fixed. Time while the process is stopped or the machine asleep does not count."""
    batch_size: int | str = 1
    """Windows per forward pass. `auto`: as many of the `accumulate` windows of a step at a time as fit into the free
    memory, measured on two short trial passes; if not even one fits, also shorter windows, and more of them."""
    crop: int = 8192
    """Scored samples per window, not counting its context of one receptive field."""
    accumulate: int = 1
    """Forward passes per optimizer step."""
    label_dropout: float = 0.1
    """Share of windows trained without their labels, so that the model can also run without them."""
    seed: int = 0
    """Seed of the initial weights, the data order and the samples drawn during training."""
    precision: str = "auto"
    """`float32`, `bfloat16` (mixed), or `auto`: the faster of the two, measured on this machine. A resumed run keeps
    its precision."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`."""
    devices: int = 1
    """Processes on this machine, each with a CPU's cores or a GPU of its own. Under torchrun or srun, which start the
    processes themselves, it may be left out."""
    num_nodes: int = 1
    """Number of machines. More than one need torchrun or srun, under which it may be left out."""
    threads: int = 0
    """CPU threads of each process. 0: torch's choice, which `devices=` divides by the number of processes."""
    log_every: int = 10
    """Steps between two lines of metrics.jsonl, and between two points in TensorBoard."""
    wandb: bool = False
    """Also log the run to Weights & Biases, offline: `wandb sync` uploads it. Needs the extra `wavenet[wandb]`."""
    validate_every: int | None = None
    """Steps between two validations. Left out: 1000; with `minutes`, about ten times a run: the first within a minute,
    the others at most ten minutes apart, unless that takes more than a twentieth of the time."""
    validate_seconds: float = 60.0
    """Seconds of validation audio scored each time. The last validation scores all of it."""
    sample_every: int | None = None
    """Steps between two audio samples and their spectrograms. 0: none. Left out: 5000; with `minutes`, as often as
    `validate_every`."""
    sample_seconds: float = 2.0
    """Length of each sample."""
    checkpoint_every: int | None = None
    """Steps between two checkpoints. Left out: 1000; with `minutes`, as often as `validate_every`."""
    resume: str | None = None
    """Run folder, or training state, to continue from."""
    init: str | None = None
    """Network whose weights the run starts from, with a new optimizer: a run folder, a checkpoint file, or the name of
    a voice that comes with wavenet. The network's shape and sample rate are the old one's, unless they are given.
    Labels and features that it lacks begin as if absent."""
    report: str | None = None
    """JSON file to write the figures of the run to."""

    def __post_init__(self) -> None:
        at_least(self, "", steps=1, crop=1, accumulate=1, devices=1, num_nodes=1, threads=0)
        at_least(self, "", log_every=1, validate_every=1, checkpoint_every=1, sample_every=0)
        number = type(self.batch_size) is int and self.batch_size >= 1
        check(self, "", "batch_size", number or self.batch_size == "auto", "a whole number of at least 1, or auto")
        between(self, "", seed=(0, LARGEST_SEED), label_dropout=(0, 1))
        above(self, "", validate_seconds=0, sample_seconds=0, minutes=0)
        one_of(self, "", precision=("auto", "float32", "bfloat16"), device=DEVICES, task=("sound", "speech"))
        if self.task == "speech":
            told = self.model.features
            allowed = "[mel, pitch] for task=speech, as experiment=speech sets it"
            check(told, "model.features", "kinds", told.kinds == ["mel", "pitch"], allowed)
            for name in ("devices", "num_nodes"):
                check(self, "", name, getattr(self, name) == 1, "1 for task=speech")
            check(self.data, "data", "frames", False, "left out for task=speech, which finds phones.csv by itself")
            check(self.data, "data", "made_frames", False, "left out for task=speech, which makes the file")
            allowed = "left out for task=speech: cutting would shift the times of phones.csv"
            check(self.data, "data", "trim_silence_db", False, allowed)
        allowed = "left out for a model without model.features.kinds: it takes no frames"
        check(self.data, "data", "made_frames", bool(self.model.features.kinds), allowed)
        check(self.data, "data", "made_frames", self.data.frames is None, "left out when data.frames is given")
        if self.data.frames is not None:
            hop = self.model.recognition.hop
            check(self, "", "crop", self.crop % hop == 0, f"a multiple of model.recognition.hop, {hop}")
            most = 2 * self.model.recognition.reach * hop
            allowed = f"more than {most} samples: the class of a frame depends on that many around it"
            check(self, "", "crop", self.crop > most, allowed)
        self._check_augment()
        whole = "file" not in self.model.features.kinds
        check(self.data, "data", "trim_silence_db", whole, "left out: cutting would shift the frames")

    def _check_augment(self) -> None:
        """Raise ConfigError for a change that would make what is known of a recording wrong."""
        augment = self.augment
        for name in ("gain", "speed"):
            holds = not (getattr(augment, name) and self.model.features.kinds)
            check(
                augment, "augment", name, holds, "left out for a model with model.features.kinds: frames tell the level"
            )
        holds = not (augment.speed and self.data.frames)
        check(augment, "augment", "speed", holds, "left out when data.frames is given: it would shift the times")
        holds = not (augment.weights and self.task == "speech")
        check(augment, "augment", "weights", holds, "left out for task=speech")
