"""Settings of the commands that use a trained network, and of the one that manages the cache."""

from dataclasses import dataclass, field
from typing import Any

from wavenet.config.checks import DEVICES, LARGEST_SEED, at_least, between, check, one_of
from wavenet.config.data import DataConfig
from wavenet.config.model import MULAW_LEVELS

ENGINE_CHOICES = ("auto", "compiled", "cached", "naive")
ENGINE_PRECISIONS = ("auto", "float32", "bfloat16", "int8")
DECODINGS = ("auto", "viterbi", "frames")
SPLITS = ("all", "train", "valid", "test")


@dataclass
class GenerateConfig:
    """Settings of `wavenet-generate`."""

    checkpoint: str | None = None
    """Run folder, or checkpoint file; `hf://owner/name` on the hub; or the name of a voice that comes with wavenet:
    `--voices` lists them. Left out: the first of them that makes sound by itself."""
    seconds: float | None = None
    """Length of each recording made, in seconds, not counting the prime. Left out: 5, or as long as the features."""
    count: int = 1
    """How many recordings to make."""
    seed: int = 0
    """Seed of the first recording. Each further one adds 1."""
    temperature: float = 1.0
    """Divides the logits: below 1 is tamer, above 1 wilder. 0 always takes the likeliest code or, with mixtures, the
    mean of the likeliest component."""
    top_k: int = 0
    """Draw only from the k likeliest codes. 0, the only value for mixtures: draw from all."""
    top_p: float = 1.0
    """Draw from the smallest set of codes that holds this probability. 1, the only value for mixtures: draw from
    all."""
    prime: str | None = None
    """Audio file to continue from. Left out: silence."""
    keep_prime: bool = False
    """Whether the sound begins with the prime itself. `seconds` does not include it."""
    label: dict[str, Any] = field(default_factory=dict)
    """What to make, for a model that was trained with labels: `label.speaker=june`, several values,
    `label.tags=[a,b]`, or a mix, in quotes, `"label.speaker={june:0.7,allison:0.3}"`."""
    guidance: float = 1.0
    """How strongly the chosen labels are followed: a factor for the difference that they make to the logits."""
    features: str | None = None
    """What to follow, for a model that was trained with features: a recording, or a .npy array of frames, one per hop
    (model.features.frame_rate per second if all its features come from files)."""
    engine: str = "auto"
    """`compiled` (C++, CPU), `cached` (torch, any device), `naive` (slow, for comparison), or `auto`: the fastest,
    by measurement if there is a GPU."""
    precision: str = "auto"
    """`float32`, `bfloat16`, `int8` (only `compiled`), or `auto`: int8 for `compiled`, or bfloat16 with mixtures; else
    float32."""
    instruction_set: str = "auto"
    """Of the compiled engine: `avx512bf16`, `avx512`, `avxvnni` or `avx2` on x86; `i8mm`, `dotprod` or `neon` on ARM;
    `portable`; or `auto`: the fastest here."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`."""
    threads: int = 0
    """CPU threads. 0: automatic. 2 can speed up even a single recording if a second core is free."""
    output: str = "generated"
    """Folder, or one .wav or .flac file, to write. `-` writes bare samples to the standard output: 16 bits,
    little-endian, one channel. A pipe gets WAV."""
    missing: bool = False
    """Whether only the sounds are made that the folder `output` lacks, as after a run that was stopped; it must have
    been begun with the same settings. Files appear once they are complete. Under torchrun or srun, the processes share
    the sounds."""
    play: bool = False
    """Whether the sound is also played while it is made, through the sound card. Needs the extra `wavenet[play]`."""
    report: str | None = None
    """JSON file to write the figures to."""

    def __post_init__(self) -> None:
        check(self, "", "count", self.count == 1 or not self.play, "1 if play is true")
        for name in ("play", "keep_prime", "report"):
            check(self, "", name, not (self.missing and getattr(self, name)), "left out when missing is true")
        allowed = "greater than 0 and at most 3600000 (1,000 hours)"
        check(self, "", "seconds", 0 < (self.seconds or 0) <= 3.6e6, allowed)
        at_least(self, "", count=1, temperature=0, threads=0, guidance=0)
        between(self, "", top_k=(0, MULAW_LEVELS), seed=(0, LARGEST_SEED))
        check(self, "", "top_p", 0 < self.top_p <= 1, "greater than 0 and at most 1")
        one_of(self, "", device=DEVICES, engine=ENGINE_CHOICES, precision=ENGINE_PRECISIONS)


@dataclass
class SpeakConfig:
    """Settings of `wavenet-speak`."""

    text: str = "???"
    """What to say. `@story.txt` reads a file, `@-` the standard input."""
    checkpoint: str = "kathleen"
    """Run folder, or checkpoint file, of a voice that was trained with `task=speech`; or the name of one that comes
    with wavenet."""
    rate: float = 1.0
    """How fast to speak: 2 is twice as fast."""
    pitch: float = 1.0
    """A factor for the pitch of the voice: 2 is an octave higher."""
    temperature: float = 0.8
    """Divides the logits of the vocoder: below 1 is clearer, above 1 rougher."""
    top_p: float = 1.0
    """Draw from the smallest set of codes that holds this probability. 1, the only value for mixtures: draw from
    all."""
    seed: int = 0
    """Seed of the first sentence. Each further one adds 1."""
    label: dict[str, Any] = field(default_factory=dict)
    """Who speaks, for a voice that was trained with labels: `label.speaker=june`, or a mix, as in
    wavenet-generate."""
    engine: str = "auto"
    """`compiled` (C++, CPU), `cached` (torch, any device), `naive` (slow, for comparison), or `auto`: the fastest,
    by measurement if there is a GPU."""
    precision: str = "auto"
    """`float32`, `bfloat16`, `int8` (only `compiled`), or `auto`: int8 for `compiled`, or bfloat16 with mixtures; else
    float32."""
    instruction_set: str = "auto"
    """Of the compiled engine: `avx512bf16`, `avx512`, `avxvnni` or `avx2` on x86; `i8mm`, `dotprod` or `neon` on ARM;
    `portable`; or `auto`: the fastest here."""
    threads: int = 0
    """CPU threads. 0: automatic."""
    output: str = "speech.wav"
    """A .wav or .flac file to write. `-` writes bare samples to the standard output: 16 bits, little-endian, one
    channel. A pipe gets WAV."""
    timings: str | None = None
    """CSV file to write: which unit is heard when, in seconds, with columns start,end,unit,word."""
    report: str | None = None
    """JSON file to write the figures to."""

    def __post_init__(self) -> None:
        at_least(self, "", temperature=0, threads=0)
        between(self, "", seed=(0, LARGEST_SEED), rate=(0.25, 4), pitch=(0.25, 4))
        check(self, "", "top_p", 0 < self.top_p <= 1, "greater than 0 and at most 1")
        one_of(self, "", engine=ENGINE_CHOICES, precision=ENGINE_PRECISIONS)


@dataclass
class EvaluateConfig:
    """Settings of `wavenet-evaluate`."""

    checkpoint: str = "???"
    """Run folder, checkpoint file, or the name of a voice that comes with wavenet."""
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "all"
    """Which part of the folder is scored: `all`, `train`, `valid` or `test`. `test` recordings are named in its
    metadata.csv, or lie in a folder test/ beside train/."""
    use_labels: bool = True
    """Whether a model that was trained with labels is given them."""
    resynthesise: int = 0
    """How many recordings a model with features makes again from their features, for comparison."""
    engine: str = "auto"
    """`auto` scores whole windows in parallel; `compiled`, `cached` and `naive` go sample by sample."""
    precision: str = "auto"
    """`float32`, `bfloat16`, `int8` (only `compiled`), or `auto`: int8 for `compiled`, or bfloat16 with mixtures; else
    float32."""
    instruction_set: str = "auto"
    """Of the compiled engine: `avx512bf16`, `avx512`, `avxvnni` or `avx2` on x86; `i8mm`, `dotprod` or `neon` on ARM;
    `portable`; or `auto`: the fastest here."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`."""
    threads: int = 0
    """CPU threads. 0: torch's choice."""
    report: str | None = None
    """JSON file to write the figures to."""

    def __post_init__(self) -> None:
        at_least(self, "", resynthesise=0, threads=0)
        one_of(self, "", split=SPLITS, device=DEVICES, engine=ENGINE_CHOICES, precision=ENGINE_PRECISIONS)


@dataclass
class RecogniseConfig:
    """Settings of `wavenet-recognise`."""

    checkpoint: str = "???"
    """Run folder, or checkpoint file, of a model that was trained with `data.frames`."""
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "all"
    """Which part of the folder is recognised: `all`, `train`, `valid` or `test`. `test` recordings are named in its
    metadata.csv, or lie in a folder test/ beside train/."""
    use_labels: bool = True
    """Whether a model that was trained with labels is given them."""
    decoding: str = "auto"
    """How frames become phones: `viterbi` (the likeliest sequence, given how long phones last and in which order they
    come in the training set), `frames` (the likeliest phone of each frame by itself), or `auto`: `viterbi`, but
    `frames` for a checkpoint of an older version, which does not know these statistics."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`."""
    threads: int = 0
    """CPU threads. 0: torch's choice."""
    output: str = "recognised.csv"
    """CSV file to write, with columns file_name,start_sample,end_sample,phone. Samples are counted at the recording's
    own rate."""
    report: str | None = None
    """JSON file to write the figures to."""

    def __post_init__(self) -> None:
        at_least(self, "", threads=0)
        one_of(self, "", split=SPLITS, device=DEVICES, decoding=DECODINGS)
        check(self.data, "data", "trim_silence_db", False, "left out: cutting would shift the times")


@dataclass
class AlignConfig:
    """Settings of `wavenet-align`."""

    data: DataConfig = field(default_factory=DataConfig)
    output: str | None = None
    """CSV file to write, with columns file_name,start_sample,end_sample,phone,word. Samples are counted at the
    recording's own rate. Left out: phones.csv in `data.dir`, unless there is one already."""
    report: str | None = None
    """JSON file to write the figures to."""

    def __post_init__(self) -> None:
        check(self.data, "data", "trim_silence_db", False, "left out: cutting would shift the times")
        for name in ("frames", "made_frames"):
            check(self.data, "data", name, False, "left out: wavenet-align does not read it")


@dataclass
class CacheConfig:
    """Settings of `wavenet-cache`."""

    cache_dir: str | None = None
    """Where prepared codes are kept: `data.cache_dir` in training. Left out: $XDG_CACHE_HOME/wavenet or
    ~/.cache/wavenet."""
    remove: str | None = None
    """What to remove: `all`, or a listed folder, of recordings or of prepared audio."""
    unused_days: float | None = None
    """Remove only what has not been used for this many days: of everything, or of what `remove` names."""
    check: bool = False
    """Whether to read all prepared audio and compare its checksums. The next run reads damaged recordings again."""
    report: str | None = None
    """JSON file to write the figures to."""

    def __post_init__(self) -> None:
        at_least(self, "", unused_days=0)


@dataclass
class CompareConfig:
    """Settings of `wavenet-compare`."""

    runs: list[str] = field(default_factory=list)
    """Run folders, and folders of runs such as a sweep's. Words without a name mean the same:
    `wavenet-compare runs/*`."""
    output: str = "comparison"
    """Where the result is kept: the table is `<output>.csv`, the curves are `<output>.png`."""
    report: str | None = None
    """JSON file to write the figures to."""


@dataclass
class ServeConfig:
    """Settings of `wavenet-serve`."""

    checkpoint: list[str] = field(default_factory=list)
    """What to play beside the voices that come with wavenet: run folders, folders of runs, checkpoints, exported files.
    Words without a name mean the same: `wavenet-serve runs/mine`."""
    voices: bool = True
    """Whether the voices that come with wavenet are listed."""
    host: str = "127.0.0.1"
    """Address to listen on. Others on the network reach the page only if it is one of theirs; `0.0.0.0` means all of
    this machine's."""
    port: int = 8000
    """Port to listen on. Left out: 8000, or the next that is free. 0: any."""
    output: str | None = None
    """Folder to write instead of serving: the page with its voices, for any static web server."""

    def __post_init__(self) -> None:
        between(self, "", port=(0, 65535))
        check(self, "", "host", bool(self.host), "an address of this machine")


@dataclass
class ExportConfig:
    """Settings of `wavenet-export`."""

    checkpoint: str = "???"
    """Run folder, checkpoint file, or the name of a voice that comes with wavenet."""
    precision: str = "auto"
    """Of the weights: `int8` (smallest and fastest), `bfloat16`, `float32` (exact), or `auto`: int8, or bfloat16 with
    mixtures."""
    label: dict[str, Any] = field(default_factory=dict)
    """The labels to fix in the file: `label.speaker=june`, or a mix, as in wavenet-generate. The file keeps all others
    of the model, to be chosen while it plays."""
    output: str = "model.wavenet"
    """File to write. A name that ends in .safetensors keeps everything, also what speaks, and takes a quarter of the
    space of a checkpoint: matrices in int8."""
    report: str | None = None
    """JSON file to write the figures to."""

    def __post_init__(self) -> None:
        one_of(self, "", precision=ENGINE_PRECISIONS)
