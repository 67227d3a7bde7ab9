"""What all tests share: repeatable random examples, thread count, and a folder of recordings of every kind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hydra.core.global_hydra import GlobalHydra
from hypothesis import settings

import wavenet
from wavenet.cli import align, cache, compare, evaluate, export, generate, recognise, serve, speak, train
from wavenet.cli.composing import compose
from wavenet.cli.jobs.train import job as train_job
from wavenet.cli.overrides import names
from wavenet.cli.terminal import SIGNALS
from wavenet.config import ModelConfig, TrainConfig
from wavenet.files import locked
from wavenet.generation import ENGINES
from wavenet.model import native

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell has it for its background jobs
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("repeatable")
if not os.environ.get("OMP_NUM_THREADS"):
    torch.set_num_threads(2)


def pytest_report_header() -> str:
    kernels = f"kernels: {', '.join(native.instruction_sets()) or 'none, ' + native.missing}"
    return f"wavenet {wavenet.__version__}, torch {torch.__version__}, engines: {', '.join(ENGINES)}; {kernels}"


COMMANDS = {
    "train": train.main,
    "generate": generate.main,
    "evaluate": evaluate.main,
    "recognise": recognise.main,
    "align": align.main,
    "speak": speak.main,
    "export": export.main,
    "serve": serve.main,
    "cache": cache.main,
    "compare": compare.main,
}


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Run a command in this process: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(command: str, *arguments: str) -> tuple[int, str, str]:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", [f"wavenet-{command}", *map(str, arguments)])
        status = 0
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        try:
            COMMANDS[command]()
        except SystemExit as stop:
            status = stop.code
        finally:  # a command that is interrupted ignores signals from then on
            for number, handler in handlers.items():
                signal.signal(number, handler)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def small() -> ModelConfig:
    return ModelConfig(
        stacks=2, layers_per_stack=3, residual_channels=8, gate_channels=6, skip_channels=12, head_channels=10
    )


CSRC = Path(__file__).parents[1] / "wavenet" / "csrc"
SOON = ["-DONLY_PORTABLE=ON", "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O0"]
"""Options of a build that takes seconds, whose programs are slow; their samples are those of fast ones."""


PURE_DATA = shutil.which("pd") is not None and any(
    Path(f"/usr/include{place}/m_pd.h").exists() for place in ("", "/pd")
)
"""Whether Debian's puredata-core and puredata-dev are installed."""


@pytest.fixture(scope="session")
def build():
    """Build programs of wavenet/csrc, without Python: build(folder, targets, options) returns the first's path."""
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed: programs without Python cannot be built")

    def make(folder: Path, targets: list[str], options: list[str]) -> Path:
        for step in (["-S", CSRC, "-B", folder, *options], ["--build", folder, "-j2", "--target", *targets]):
            done = subprocess.run(["cmake", *step], check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
        return folder / targets[0]

    return make


@pytest.fixture(scope="session")
def built(build, tmp_path_factory) -> Path:
    """The folder of a quick build of wavenet-play, wavenet~ and test programs, which parallel test processes share."""
    targets = ["wavenet-play", "interface_test", "osc_test", *(["wavenet_pd"] if PURE_DATA else [])]
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "built"
    while True:
        try:
            with locked(folder.with_suffix(".lock")):
                return build(folder, targets, SOON).parent
        except BlockingIOError:  # another process builds
            time.sleep(0.1)


KINDS = {
    "a.wav": ("WAV", "PCM_16", 16000, 1),
    "b.WAV": ("WAV", "PCM_U8", 8000, 1),
    "deep/er/c.wav": ("WAV", "PCM_24", 44100, 2),
    "deep/d.wav": ("WAV", "PCM_32", 48000, 1),
    "deep/e.wav": ("WAV", "FLOAT", 22050, 3),
    "f.flac": ("FLAC", "PCM_16", 48000, 2),
    "g.ogg": ("OGG", "VORBIS", 44100, 1),
    "h.mp3": ("MP3", "MPEG_LAYER_III", 44100, 2),
    "i.aiff": ("AIFF", "PCM_16", 11025, 1),
}
"""Name -> container, encoding, Hz, channels."""


def tone(hertz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """Half a second each, every file a tone of its own (300 Hz and up by 50), and six files that cannot be used."""
    folder = tmp_path_factory.mktemp("recordings")
    for number, (name, (container, encoding, rate, channels)) in enumerate(KINDS.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = np.repeat(tone(300 + 50 * number, rate)[:, None], channels, axis=1)
        soundfile.write(path, sound, rate, format=container, subtype=encoding)
    (folder / "broken.wav").write_bytes(b"RIFF but nothing more")
    (folder / "empty.wav").write_bytes(b"")
    soundfile.write(folder / "silent.wav", np.zeros(8000), 16000)
    soundfile.write(folder / "short.wav", tone(300, 16000, 0.01), 16000)
    soundfile.write(folder / "nan.wav", np.full(8000, np.nan), 16000, subtype="FLOAT")
    soundfile.write(folder / "nothing.wav", np.zeros(0), 16000)
    soundfile.write(folder / ".hidden.wav", tone(300, 16000), 16000)
    (folder / "notes.txt").write_text("not a recording")
    return folder


RATE = 8000
QUICK = ["model=tiny", "steps=3", "crop=1024", "sample_every=0", f"data.sample_rate={RATE}", "device=cpu", "threads=1"]


@pytest.fixture(scope="session")
def tones(tmp_path_factory) -> Path:
    """Four recordings of a second each, and a file that cannot be used."""
    folder = tmp_path_factory.mktemp("tones")
    for number in range(4):
        soundfile.write(folder / f"{number}.flac", tone(300 + 50 * number, RATE, 1), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF nothing")
    return folder


@pytest.fixture(scope="session")
def trained(tones, tmp_path_factory) -> Path:
    """A run of three steps on `tones`, which no test may change."""
    place = tmp_path_factory.mktemp("trained")
    overrides = [f"data.dir={tones}", f"run.dir={place / 'run'}", *QUICK]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        train_job(compose("train", TrainConfig, overrides), names(overrides))
    return place / "run"


@pytest.fixture
def run(call, trained, tmp_path) -> Path:
    """That run as `run` in the current folder, for a test of its own."""
    shutil.copytree(trained, tmp_path / "run")
    return Path("run")
