"""wavenet-play: the samples of wavenet-generate without Python, to files, pipes and the standard output."""

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

from wavenet.config import ModelConfig
from wavenet.generation.export import pack
from wavenet.model import native
from wavenet.model.wavenet import WaveNet

pytestmark = pytest.mark.skipif(native.code() is None, reason="the kernels are not built")

FILES = Path(__file__).parent / "files"
LABELS = {"speaker": ["carlo", "june"], "mood": ["calm"]}
PORTABLE = "instruction_set=portable"


def write(path: Path, precision: str = "float32", **settings) -> Path:
    """An exported network of random weights; what its labels add is heard."""
    torch.manual_seed(0)
    model = WaveNet(ModelConfig(stacks=1, layers_per_stack=5, residual_channels=20, **settings)).eval()
    if settings.get("labels"):
        assert model.conditioning is not None
        assert model.conditioning.labels is not None
        model.conditioning.labels.detach().mul_(4)
    path.write_bytes(pack(model, 8000, precision, steerable=True))
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("exported") / "some.wavenet")


@pytest.fixture(scope="module")
def player(built) -> Path:
    return built / "wavenet-play"


def play(player, *arguments) -> None:
    done = subprocess.run([player, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def same(call, player, network, *settings) -> None:
    """The player and wavenet-generate make the same file."""
    play(player, network, "played.wav", *settings)
    code, _, error = call("generate", f"checkpoint={network}", "output=made.wav", *settings)
    assert code == 0, error
    assert Path("played.wav").read_bytes() == Path("made.wav").read_bytes()


def test_pythons_samples(call, exported, player):
    others = ["seed=4", "temperature=0.8", "top_k=40", "top_p=0.9"]
    for network, settings in ((exported, others), (FILES / "version_2_int8.wavenet", ["seed=3"])):
        same(call, player, network, PORTABLE, "seconds=0.3", *settings)


def test_the_installed_player(call, exported):
    installed = shutil.which("wavenet-play", path=os.path.dirname(sys.executable))
    if installed is None:
        pytest.skip("wavenet-play is not installed beside Python, as where no compiler worked")
    same(call, installed, exported, "seed=3", "seconds=1")


def test_mixtures(call, player, tmp_path):
    network = write(tmp_path / "mixture.wavenet", "bfloat16", mixtures=7)
    same(call, player, network, PORTABLE, "seconds=0.3", "temperature=0.5", f"prime={noise(tmp_path / 'prime.wav')}")
    refused = subprocess.run([player, network, "x.wav", "top_k=3"], check=False, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "supports only temperature" in refused.stderr


def test_labels(call, player, tmp_path):
    network = write(tmp_path / "labelled.wavenet", labels=LABELS)
    quick = [PORTABLE, "seconds=0.2"]
    same(call, player, network, *quick, "label.speaker=june", "label.mood=calm")
    chosen = Path("played.wav").read_bytes()
    play(player, network, "played.wav", *quick)
    assert Path("played.wav").read_bytes() != chosen
    code, _, error = call(
        "generate", f"checkpoint={network}", "output=made.wav", *quick, "label.speaker={june:.7,carlo:.3}"
    )
    assert code == 0, error
    play(player, network, "played.wav", *quick, "label.speaker.june=0.7", "label.speaker.carlo=.3")
    assert Path("played.wav").read_bytes() == Path("made.wav").read_bytes()


def noise(path: Path, subtype: str = "PCM_16", channels: int = 1) -> Path:
    """The same half second in every encoding."""
    sound = np.random.default_rng(0).integers(-32768, 32768, 4000) / 32768
    soundfile.write(path, np.stack([sound] * channels, axis=1), 8000, subtype=subtype)
    return path


def test_primes(call, exported, player, tmp_path):
    prime = noise(tmp_path / "prime.wav")
    same(call, player, exported, PORTABLE, "seconds=0.1", f"prime={prime}")
    expected = Path("played.wav").read_bytes()
    for subtype, channels in (("PCM_24", 1), ("PCM_32", 2), ("FLOAT", 2)):
        noise(prime, subtype, channels)
        play(player, exported, "played.wav", PORTABLE, "seconds=0.1", f"prime={prime}")
        assert Path("played.wav").read_bytes() == expected


@pytest.mark.skipif(os.name != "posix", reason="pipes have names there")
def test_pipes_and_signals(exported, player, tmp_path):
    """A stream's header tells no length, "-" has none, and a signal leaves a file that is whole."""
    command = [player, exported, "seconds=0.5"]
    subprocess.run([*command, tmp_path / "file.wav"], check=True)
    whole = (tmp_path / "file.wav").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen([*command, tmp_path / "pipe"]) as playing:
        got = (tmp_path / "pipe").read_bytes()
    assert playing.returncode == 0
    streamed = whole[:4] + b"\xff\xff\xff\xff" + whole[8:40] + b"\xff\xff\xff\xff" + whole[44:]
    assert got == streamed
    for name, expected, said in (("-", whole[44:], "to the standard output"), ("/dev/stdout", streamed, "/dev/stdout")):
        done = subprocess.run([*command, name], check=True, capture_output=True)
        assert done.stdout == expected
        assert f"wrote {said}: 0.50 s" in done.stderr.decode()
    with open(tmp_path / "all", "wb") as out:  # where something was written before, it is gone on behind it
        out.write(b"before")
        out.flush()
        subprocess.run([*command, "-"], check=True, stdout=out, stderr=subprocess.DEVNULL)
    assert (tmp_path / "all").read_bytes() == b"before" + whole[44:]
    for number in (signal.SIGTERM, signal.SIGHUP):
        with subprocess.Popen([player, exported, tmp_path / "long.wav", "seconds=200000"]) as playing:
            while not (tmp_path / "long.wav").exists() or (tmp_path / "long.wav").stat().st_size < 4000:
                time.sleep(0.01)
            playing.send_signal(number)
        assert playing.returncode == 128 + number
        assert soundfile.info(tmp_path / "long.wav").frames == ((tmp_path / "long.wav").stat().st_size - 44) // 2
        (tmp_path / "long.wav").unlink()


@pytest.mark.skipif(os.name != "posix", reason="terminals are opened otherwise there")
def test_a_terminal_gets_no_samples(exported, player):
    here, there = os.openpty()
    done = subprocess.run([player, exported, "-"], check=False, stdout=there, stderr=subprocess.PIPE)
    os.close(there), os.close(here)
    assert done.returncode == 2
    assert b"which is the terminal here: pipe it on, as to aplay" in done.stderr


def test_what_is_wrong_is_said(exported, player, tmp_path):
    def run(*arguments) -> tuple[int, str, str]:
        done = subprocess.run([player, *arguments], cwd=tmp_path, check=False, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    labelled = write(tmp_path / "labelled.wavenet", labels=LABELS)
    sound = 0.1 * np.ones(100)
    soundfile.write(tmp_path / "fast.wav", sound, 16000)
    soundfile.write(tmp_path / "bytes.wav", sound, 8000, subtype="PCM_U8")
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), 8000, subtype="FLOAT")
    (tmp_path / "cut.wavenet").write_bytes(exported.read_bytes()[:-5])
    for network, output, settings, status, said in (
        (exported, "x.mp3", [], 2, "the output is x.mp3, but it must end in .wav"),
        (exported, "no/x.wav", [], 1, "cannot write no/x.wav: the folder no does not exist"),
        ("gone.wavenet", "x.wav", [], 1, "gone.wavenet does not exist"),
        ("cut.wavenet", "x.wav", [], 1, "cut.wavenet: the file's checksum is wrong"),
        (exported, "x.wav", ["speed=3"], 2, "unknown setting speed; choose from seconds, seed, temperature"),
        (exported, "x.wav", ["--seconds", "3"], 2, "unknown flag --seconds: settings are written name=value"),
        (exported, "x.wav", ["top_k=3.5"], 2, "top_k is '3.5', but it must be a whole number of at least 0"),
        (exported, "x.wav", ["seed=-1"], 2, "seed is '-1', but it must be a whole number of at least 0"),
        (exported, "x.wav", ["top_p=0"], 2, "top_p is '0', but it must be greater than 0 and at most 1"),
        (exported, "x.wav", ["seconds=0"], 2, "seconds is '0', but it must be a number greater than 0"),
        (exported, "x.wav", ["seconds=300000"], 2, "seconds is 300000, but a WAV file holds at most 268435 at 8000"),
        (exported, "x.wav", ["instruction_set=mmx"], 2, "instruction_set is 'mmx', but this machine runs auto, "),
        (exported, "x.wav", ["label.speaker=june"], 2, "label.speaker is not a label of this network; it has none"),
        (
            labelled,
            "x.wav",
            ["label.key=c"],
            2,
            "label.key is not a label of this network; it knows label.speaker, label.mood",
        ),
        (labelled, "x.wav", ["label.speaker=bob"], 2, "label.speaker is 'bob', but it must be one of carlo, june"),
        (
            labelled,
            "x.wav",
            ["label.speaker.june=11"],
            2,
            "label.speaker.june is '11', but it must be a number from -10 to 10",
        ),
        (exported, "x.wav", ["prime=gone.wav"], 1, "gone.wav does not exist"),
        (
            exported,
            "x.wav",
            ["prime=cut.wavenet"],
            1,
            "cut.wavenet is not a WAV file: convert it with `ffmpeg -i cut.wavenet",
        ),
        (exported, "x.wav", ["prime=fast.wav"], 1, "fast.wav has 16000 Hz, but the network 8000: convert it"),
        (exported, "x.wav", ["prime=bytes.wav"], 1, "bytes.wav is encoded in a way that wavenet-play does not read"),
        (exported, "x.wav", ["prime=nan.wav"], 1, "nan.wav holds samples that are not finite numbers"),
    ):
        code, _, error = run(network, output, *settings)
        assert code == status, error
        assert error.startswith(f"error: {said}")
        assert error.count("\n") == 1
    assert not (tmp_path / "x.wav").exists()
    code, out, error = run("-h")
    assert (code, error) == (0, "")
    assert "wavenet-play model.wavenet sound.wav" in out
