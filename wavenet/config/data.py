"""Which recordings are used, and how they become codes."""

from dataclasses import dataclass, field

from wavenet.config.checks import above, at_least, between, check, one_of, share

BUNDLED = "bundled"
"""What `data.dir` is for the recordings that come with the source. A folder of that name is `./bundled`."""


@dataclass
class DataConfig:
    """Which recordings, and how they become codes."""

    dir: str | None = None
    """Folder of recordings, read with all folders in it. `bundled`: the small set that comes with the source."""
    sample_rate: int = 16000
    """Rate, in Hz, that every recording is resampled to, and at which the model generates."""
    valid_fraction: float = 0.1
    """Share of the files held out for validation, where the folder's metadata.csv has no `split` column."""
    split_by: str = "auto"
    """How files are held out where that column does not say. `auto`: by folders named train/ beside valid/ or test/,
    else by the file's name, with some files of every label held out. `name`: by the file's name alone. `older`: as
    versions before this setting did, which used only rows of metadata.csv spelled exactly like their file; runs of
    those versions are resumed and scored this way."""
    min_seconds: float = 0.1
    """Recordings shorter than this are left out, and the report names them."""
    trim_silence_db: float | None = None
    """Cut silence at both ends that lies this many dB (40, say) below the file's peak. Left out: nothing is cut."""
    channel: str = "mix"
    """What to take of a recording with several channels: `mix` (their mean), `left` or `right`."""
    normalise: str = "off"
    """Scale each recording: `peak` (to -1 dB), `loudness` (its parts that are not silent to an RMS level of -23 dB, as
    far as the peak stays below -1 dB) or `off`."""
    cache_dir: str | None = None
    """Where prepared codes are kept. Left out: $XDG_CACHE_HOME/wavenet or ~/.cache/wavenet."""
    workers: int = 0
    """Threads that decode recordings. 0: one per core."""
    labels: list[str] = field(default_factory=list)
    """What the model is told about a whole recording: columns of the folder's metadata.csv, or `folder` for the name of
    its sub-folder. A cell may hold several values, as in `slow|piano`."""
    frames: str | None = None
    """What is said when: a CSV file in the folder, with columns file_name,start_sample,end_sample,phone. A model that
    is trained with it also recognises. `wavenet-recognise` compares with phones.csv where the folder has one."""

    def __post_init__(self) -> None:
        if self.normalise == "False":  # what YAML 1.1 takes `off` for
            self.normalise = "off"
        between(self, "data", sample_rate=(1000, 192000), unit="Hz")
        share(self, "data", "valid_fraction")
        at_least(self, "data", min_seconds=0, workers=0)
        one_of(self, "data", split_by=("auto", "name", "older"))
        one_of(self, "data", channel=("mix", "left", "right"), normalise=("off", "peak", "loudness"))
        above(self, "data", trim_silence_db=0)
        allowed = "left out where data.frames tells what is said when: cutting would shift the times"
        check(self, "data", "trim_silence_db", self.frames is None, allowed)
