"""Which recordings are used, and how they become codes."""

from dataclasses import dataclass, field

from wavenet.config.checks import above, at_least, between, check, one_of, share

BUNDLED = "bundled"
"""Value of `data.dir` for the recordings that come with the source. A folder of that name is `./bundled`."""


@dataclass
class DataConfig:
    """Which recordings, and how they become codes."""

    dir: str | None = None
    """Folder of recordings, read with all folders in it. `bundled`: the small set that comes with the source."""
    sample_rate: int = 16000
    """Rate, in Hz, that every recording is resampled to, and at which the model generates."""
    valid_fraction: float = 0.1
    """Share of the files held out for validation, if the folder's metadata.csv has no `split` column."""
    split_by: str = "auto"
    """How files are held out without that column. `auto`: by folders named train/ beside valid/ or test/, else by file
    name, with some files of every label held out. `name`: by file name alone. `older`: as in versions before this
    setting, which ignored rows of metadata.csv not spelled exactly like their file; their runs are resumed and scored
    this way."""
    min_seconds: float = 0.1
    """Recordings shorter than this are left out, and the report names them."""
    trim_silence_db: float | None = None
    """Cut the silence at both ends: what is this many dB (40, say) below the file's peak. Left out: nothing is cut."""
    channel: str = "mix"
    """How a recording with several channels becomes one: `mix` (their mean), `left` or `right`."""
    normalise: str = "off"
    """Scale each recording: `peak` (to -1 dB), `loudness` (the parts that are not silent to an RMS level of -23 dB, but
    the peak to -1 dB at most) or `off`."""
    cache_dir: str | None = None
    """Where prepared codes are kept. Left out: $XDG_CACHE_HOME/wavenet or ~/.cache/wavenet, which also hold the local
    copy if this is the address of a store that several machines share, such as s3://bucket/cache."""
    workers: int = 0
    """Threads that decode recordings. 0: one per core. `wavenet.prepare` takes processes or a cluster instead."""
    labels: list[str] = field(default_factory=list)
    """Labels of whole recordings, which condition the model: columns of the folder's metadata.csv, or `folder` for the
    name of the sub-folder. A cell may hold several values, as in `slow|piano`."""
    frames: str | None = None
    """Which phone is spoken when: a CSV file in the folder, with columns file_name,start_sample,end_sample,phone. A
    model trained with it also recognises phones. `wavenet-recognise` compares with phones.csv if the folder has one."""
    made_frames: str | None = None
    """File with a second row for each frame of the recordings: the model learns from both. `task=speech` writes this
    file and sets its name, so leave it out there."""
    language: str | None = None
    """Voice of espeak-ng by which texts become phones, such as `en-us`, `de` or `fr-fr`. It needs the extra
    `wavenet[phones]`. Left out: the letters of a text are its units, unless `lexicon` is given."""
    lexicon: str | None = None
    """File by which texts become phones: in each line a word and its phones, between spaces."""

    def __post_init__(self) -> None:
        if self.normalise == "False":  # YAML 1.1 reads `off` as false
            self.normalise = "off"
        between(self, "data", sample_rate=(1000, 192000), unit="Hz")
        share(self, "data", "valid_fraction")
        at_least(self, "data", min_seconds=0, workers=0)
        one_of(self, "data", split_by=("auto", "name", "older"))
        one_of(self, "data", channel=("mix", "left", "right"), normalise=("off", "peak", "loudness"))
        above(self, "data", trim_silence_db=0)
        allowed = "left out when data.frames is given: cutting would shift the times"
        check(self, "data", "trim_silence_db", self.frames is None, allowed)
        check(
            self, "data", "lexicon", self.language is None, "left out when data.language is given: choose one of them"
        )
