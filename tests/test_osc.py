"""wavenet-play osc=PORT: settings that come as OSC messages while it plays."""

import contextlib
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from wavenet.config import ModelConfig
from wavenet.generation.export import pack
from wavenet.model import native
from wavenet.model.wavenet import WaveNet

pytestmark = [
    pytest.mark.skipif(native.code() is None, reason="the kernels are not built"),
    pytest.mark.skipif(os.name != "posix", reason="osc needs POSIX"),
]
RATE = 8000
LABELS = {"speaker": ["june", "7"], "mood": ["calm", "7"]}


def text(words: str) -> bytes:
    return words.encode() + bytes(4 - len(words.encode()) % 4)


def message(address: str, *arguments: float | str) -> bytes:
    types, data = ",", b""
    for argument in arguments:
        types += {int: "i", float: "f", str: "s"}[type(argument)]
        packed = {int: ">i", float: ">f"}
        data += text(argument) if isinstance(argument, str) else struct.pack(packed[type(argument)], argument)
    return text(address) + text(types) + data


def bundle(*elements: bytes) -> bytes:
    return text("#bundle") + struct.pack(">Q", 1) + b"".join(struct.pack(">I", len(e)) + e for e in elements)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch.manual_seed(0)
    shape = ModelConfig(stacks=1, layers_per_stack=4, residual_channels=8, condition_channels=8, labels=LABELS)
    model = WaveNet(shape).eval()
    assert model.conditioning is not None
    assert model.conditioning.labels is not None
    model.conditioning.labels.detach().mul_(4)  # so that labels are heard
    path = tmp_path_factory.mktemp("network") / "some.wavenet"
    path.write_bytes(pack(model, RATE, "float32", steerable=True))
    return path


class Playing:
    """A wavenet-play whose raw samples are read as soon as they come, as a sound card reads them."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.sound = b""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while part := os.read(self.process.stdout.fileno(), 4096):
            self.sound += part

    def samples(self) -> np.ndarray:
        return np.frombuffer(self.sound[: len(self.sound) // 2 * 2], "<i2")

    def wait(self, samples: int) -> None:
        """Until so many samples more have come."""
        goal = len(self.sound) + 2 * samples
        while len(self.sound) < goal and self.process.poll() is None:
            time.sleep(0.002)

    def send(self, *packets: bytes) -> int:
        """Send packets, and return how many samples had come before."""
        heard = len(self.samples())
        for packet in packets:
            self.socket.send(packet)
        return heard

    def stop(self) -> str:
        """End the program, and return what it said."""
        self.process.terminate()
        self.reader.join()
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


@pytest.fixture
def play(built, network):
    with contextlib.ExitStack() as stack:

        def start(*settings: str) -> Playing:
            command = [built / "wavenet-play", network, "-", "osc=0", *settings]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stderr is not None
            listening = process.stderr.readline().decode()
            found = re.fullmatch(r"listening for OSC at 127\.0\.0\.1:(\d+)\n", listening)
            assert found, listening
            playing = Playing(process, int(found[1]))
            stack.callback(playing.socket.close)
            return playing

        yield start


def library(built, network, samples: int, *settings: str) -> np.ndarray:
    command = [built / "wavenet-play", network, "-", f"seconds={samples / RATE}", *settings]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, "<i2")


def find(sound: np.ndarray, wanted: np.ndarray) -> Iterator[int]:
    """Where `wanted` begins in `sound`."""
    for start in np.flatnonzero(sound[: len(sound) - len(wanted) + 1] == wanted[0]):
        if (sound[start : start + len(wanted)] == wanted).all():
            yield int(start)


def test_messages_are_obeyed_and_heard(play, built, network):
    """From each setting to its sound: 50 ms in the pipe, 10 ms being made, and what a busy machine adds."""
    playing = play("seed=3")
    playing.wait(500)
    chosen = {"/temperature": 0.7, "/top_p": 0.9, "/top_k": 40.0, "/seed": 5}
    settings = ["temperature=0.7", "top_p=0.9", "top_k=40", "seed=5", "label.speaker.june=0.5", "label.mood.7=1"]
    labels = [message("/label", "june", 0.5), message("/label", "mood", 7, 1)]
    packets = [*(message(address, value) for address, value in chosen.items()), bundle(*labels), message("/restart")]
    heard = playing.send(*packets)
    playing.wait(3000)
    sound = playing.samples()
    before, after = (library(built, network, 400, *given) for given in (["seed=3"], settings))
    np.testing.assert_array_equal(sound[:400], before)
    (start,) = find(sound, after)
    assert heard <= start < heard + 0.5 * RATE
    assert playing.stop().startswith("wrote to the standard output: ")


def test_time_is_real(play):
    playing = play()
    began = time.monotonic()
    time.sleep(0.5)
    made = len(playing.samples()) / RATE
    assert made < time.monotonic() - began + 0.3  # made ahead, or while the program was found to listen
    playing.stop()


def test_a_reader_that_waits_gets_a_moment_of_sound(built, network):
    """What lies in the pipe cannot be steered any more: 50 ms and a part of 10, not the 64 kB that a pipe holds."""
    command = [built / "wavenet-play", network, "-", "osc=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        time.sleep(0.5)
        assert process.stdout is not None
        ready = os.read(process.stdout.fileno(), 1 << 16)
        process.kill()
    assert 0 < len(ready) / 2 <= 0.06 * RATE


def test_what_is_refused_is_counted(play):
    playing = play("temperature=0")
    wrong = [
        message("/tempo", 3.0),
        message("/temperature", -1.0),
        message("/temperature", "hot"),
        message("/top_p", 0.0),
        message("/top_k", 2.5),
        message("/seed", -3),
        message("/label", "june"),
        message("/label", "jane", 1.0),
        message("/label", "7", 1.0),
        message("/label", "june", 11.0),
        message("/\x1b[2J", 1),
        b"hello",
        b"",
    ]
    for packet in wrong:
        playing.send(packet)
    generator = np.random.default_rng(0)
    good = [message("/restart", 0), bundle(message("/label", "june", 0.0)), message("/seed", 9)]
    for number in range(3000):  # what is not damaged changes nothing at temperature 0
        packet = bytearray(good[generator.integers(len(good))])
        packet[generator.integers(len(packet))] ^= 1 << generator.integers(8)
        playing.send(bytes(packet[: generator.integers(1, len(packet) + 1)]))
        if number % 100 == 0:
            time.sleep(0.01)  # for the socket's buffer
    playing.wait(1000)
    assert playing.process.poll() is None
    said = playing.stop()
    lines = [line for line in said.splitlines() if line.startswith("warning: osc: ")]
    assert lines[0].startswith(
        "warning: osc: /tempo is not one of /temperature, /top_k, /top_p, /seed, /label, /restart"
    )
    assert len(lines) <= 6  # one a second, and one at the end
    count = re.search(r"(\d+) messages were refused", lines[-1]) or re.search(r"\((\d+) refused so far", lines[-1])
    assert count
    assert int(count[1]) > 1000
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            "x",
            "error: osc is 'x', but it must be a port, such as 9000, or an address of this machine and a port, such",
        ),
        ("99999", "error: osc is '99999', but it must be a port"),
        ("localhost:9000", "error: osc is 'localhost:9000', but it must be a port"),
        ("203.0.113.1:9000", "error: cannot listen for OSC at 203.0.113.1:9000: "),
    ],
)
def test_a_place_that_cannot_be_listened_at_is_said(built, network, tmp_path, where, said):
    command = [built / "wavenet-play", network, tmp_path / "x.wav", f"osc={where}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x.wav").exists()


def test_the_parser(built):
    """Known packets, and 20,000 damaged ones."""
    done = subprocess.run([built / "osc_test"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_parser_under_sanitizers(build, tmp_path):
    flags = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined"
    program = build(tmp_path, ["osc_test"], ["-DCMAKE_BUILD_TYPE=None", f"-DCMAKE_CXX_FLAGS={flags}"])
    for seed in range(10):
        done = subprocess.run([program, str(seed)], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
