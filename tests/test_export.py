"""Exported networks from the command line, and the programs that are built from the kernels alone."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import soundfile
import torch

from wavenet.config import ModelConfig
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet

CSRC = Path(__file__).parents[1] / "wavenet" / "csrc"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "some.safetensors"
    checkpoint.save(path, WaveNet(ModelConfig(stacks=1, layers_per_stack=5, residual_channels=20)), 8000, 7, 5.0)
    return path


@pytest.fixture
def exported(call, trained) -> Path:
    path = trained.with_name("some.wavenet")
    if not path.exists():
        status, _, error = call("export", f"checkpoint={trained}", f"output={path}", f"report={path}.json")
        assert status == 0, error
    return path


def test_export_reports(exported):
    report = json.loads(Path(f"{exported}.json").read_text())
    assert report == {"file": str(exported), "bytes": exported.stat().st_size, "precision": "int8"}


def test_exported_network_makes_the_checkpoints_sounds(call, trained, exported, tmp_path):
    for source, folder in ((trained, "a"), (exported, "b")):
        code, _, error = call("generate", f"checkpoint={source}", f"output={tmp_path / folder}", "seconds=0.2")
        assert code == 0, error
    first, second = (soundfile.read(tmp_path / folder / "seed_0.wav", dtype="int16") for folder in "ab")
    assert first[1] == second[1] == 8000
    assert (first[0] == second[0]).all()


def test_what_an_exported_network_cannot_do_is_said(call, exported, tmp_path):
    for setting, words in (("engine=naive", "only compiled"), ("precision=float32", "exported in int8")):
        code, _, error = call("generate", f"checkpoint={exported}", f"output={tmp_path}", setting)
        assert code == 1
        assert words in error
        assert error.count("\n") == 1


def test_a_damaged_file_is_named(call, exported, tmp_path):
    broken = tmp_path / "broken.wavenet"
    broken.write_bytes(exported.read_bytes()[:-100])
    code, _, error = call("generate", f"checkpoint={broken}", f"output={tmp_path}")
    assert code == 1
    assert str(broken) in error
    assert "checksum" in error


def build(folder, target, *options):
    subprocess.run(["cmake", "-S", CSRC, "-B", folder, *options], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", folder, "--target", target, "-j2"], check=True, capture_output=True)
    return folder / target


@pytest.fixture(scope="module")
def player(tmp_path_factory) -> Path:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed: the player cannot be built")
    return build(tmp_path_factory.mktemp("build"), "wavenet-play")


@pytest.mark.slow
def test_player_makes_pythons_samples(call, exported, player, tmp_path):
    for settings in (["seed=3", "seconds=1"], ["seed=4", "seconds=0.3", "temperature=0.8", "top_k=40", "top_p=0.9"]):
        done = subprocess.run([player, exported, tmp_path / "played.wav", *settings], check=False)
        assert done.returncode == 0
        code, _, error = call("generate", f"checkpoint={exported}", f"output={tmp_path / 'made.wav'}", *settings)
        assert code == 0, error
        assert (tmp_path / "played.wav").read_bytes() == (tmp_path / "made.wav").read_bytes()


@pytest.mark.slow
def test_player_plays_mixtures(call, player, tmp_path):
    torch.manual_seed(0)
    shape = ModelConfig(stacks=1, layers_per_stack=5, residual_channels=20, mixtures=7)
    checkpoint.save(tmp_path / "mixture.safetensors", WaveNet(shape), 8000, 7, 5.0)
    status, _, error = call("export", "checkpoint=mixture.safetensors", "precision=bfloat16")
    assert status == 0, error
    for settings in (["seed=3", "seconds=1"], ["seed=4", "seconds=0.3", "temperature=0.5"]):
        assert subprocess.run([player, "model.wavenet", "played.wav", *settings], check=False).returncode == 0
        status, _, error = call("generate", "checkpoint=model.wavenet", "output=made.wav", *settings)
        assert status == 0, error
        assert Path("played.wav").read_bytes() == Path("made.wav").read_bytes()
    refused = subprocess.run([player, "model.wavenet", "x.wav", "top_k=3"], check=False, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "supports only temperature" in refused.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes have names there")
def test_player_into_pipes_and_under_signals(exported, player, tmp_path):
    """A stream's header tells no length, "-" has none, and a signal leaves a file that is whole."""
    play = [player, exported, "seconds=0.5"]
    subprocess.run([*play, tmp_path / "file.wav"], check=True)
    whole = (tmp_path / "file.wav").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen([*play, tmp_path / "pipe"]) as playing:
        got = (tmp_path / "pipe").read_bytes()
    assert playing.returncode == 0
    streamed = whole[:4] + b"\xff\xff\xff\xff" + whole[8:40] + b"\xff\xff\xff\xff" + whole[44:]
    assert got == streamed
    for name, expected, said in (("-", whole[44:], "to the standard output"), ("/dev/stdout", streamed, "/dev/stdout")):
        done = subprocess.run([*play, name], check=True, capture_output=True)
        assert done.stdout == expected
        assert f"wrote {said}: 0.50 s" in done.stderr.decode()
    with open(tmp_path / "all", "wb") as out:  # where something was written before, it is gone on behind it
        out.write(b"before")
        out.flush()
        subprocess.run([*play, "-"], check=True, stdout=out, stderr=subprocess.DEVNULL)
    assert (tmp_path / "all").read_bytes() == b"before" + whole[44:]
    for number in (signal.SIGTERM, signal.SIGHUP):
        with subprocess.Popen([player, exported, tmp_path / "long.wav", "seconds=200000"]) as playing:
            while not (tmp_path / "long.wav").exists() or (tmp_path / "long.wav").stat().st_size < 10000:
                time.sleep(0.01)
            playing.send_signal(number)
        assert playing.returncode == 128 + number
        assert soundfile.info(tmp_path / "long.wav").frames == ((tmp_path / "long.wav").stat().st_size - 44) // 2
        (tmp_path / "long.wav").unlink()


@pytest.mark.slow
def test_player_says_what_is_wrong(exported, player, tmp_path):
    def play(*arguments) -> tuple[int, str, str]:
        done = subprocess.run([player, *arguments], cwd=tmp_path, check=False, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    for network, output, settings, status, said in (
        (exported, "x.mp3", [], 2, "the output is x.mp3, but it must end in .wav"),
        (exported, "no/x.wav", [], 1, "cannot write no/x.wav: the folder no does not exist"),
        ("gone.wavenet", "x.wav", [], 1, "gone.wavenet does not exist"),
        (exported, "x.wav", ["speed=3"], 2, "unknown setting speed; choose from seconds, seed, temperature"),
        (exported, "x.wav", ["--seconds", "3"], 2, "unknown flag --seconds: settings are written name=value"),
        (exported, "x.wav", ["top_k=3.5"], 2, "top_k is '3.5', but it must be a whole number of at least 0"),
        (exported, "x.wav", ["seed=-1"], 2, "seed is '-1', but it must be a whole number of at least 0"),
        (exported, "x.wav", ["top_p=0"], 2, "top_p is '0', but it must be greater than 0 and at most 1"),
        (exported, "x.wav", ["seconds=0"], 2, "seconds is '0', but it must be a number greater than 0"),
        (exported, "x.wav", ["seconds=300000"], 2, "seconds is 300000, but a WAV file holds at most 268435 at 8000"),
    ):
        code, _, error = play(network, output, *settings)
        assert code == status
        assert error.startswith(f"error: {said}")
        assert error.count("\n") == 1
    assert not list(tmp_path.glob("*.wav"))
    code, out, error = play("-h")
    assert (code, error) == (0, "")
    assert "wavenet-play model.wavenet sound.wav" in out


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ["cmake", "aarch64-linux-gnu-g++", "qemu-aarch64"])),
    reason="cmake, aarch64-linux-gnu-g++ or qemu-aarch64 is not installed (Debian: g++-aarch64-linux-gnu, qemu-user)",
)
def test_kernels_on_arm(tmp_path):
    cross = ["CMAKE_SYSTEM_NAME=Linux", "CMAKE_SYSTEM_PROCESSOR=aarch64", "CMAKE_CXX_COMPILER=aarch64-linux-gnu-g++"]
    program = build(tmp_path, "kernel_test", *(f"-D{option}" for option in [*cross, "CMAKE_EXE_LINKER_FLAGS=-static"]))
    done = subprocess.run(["qemu-aarch64", program, "2"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on neon portable: 0 failures" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed: the test program cannot be built")
def test_kernels_under_sanitizers(tmp_path):
    flags = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined"
    program = build(tmp_path, "kernel_test", "-DCMAKE_BUILD_TYPE=None", f"-DCMAKE_CXX_FLAGS={flags}")
    done = subprocess.run([program, "5"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failures" in done.stdout
