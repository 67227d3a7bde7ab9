"""wavenet~ in Pure Data itself, which renders patches without a sound card."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import CSRC, PURE_DATA

import wavenet
from wavenet.config import ModelConfig
from wavenet.generation.export import pack
from wavenet.model import native
from wavenet.model.wavenet import WaveNet

RATE = 8000
LABELS = {"speaker": ["june", "7", "kåre"], "mood": ["calm", "7"]}

pytestmark = [
    pytest.mark.skipif(native.code() is None, reason="the kernels are not built"),
    pytest.mark.skipif(not PURE_DATA, reason="Pure Data is not installed (Debian: puredata-core, puredata-dev)"),
]


@pytest.fixture(scope="module")
def external(built) -> Path:
    """The folder of wavenet~."""
    return built / "pd"


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with two networks: of 8-bit sound with labels, and of 16-bit sound."""
    for name, labels, mixtures in (("some", LABELS, 0), ("sixteen", {}, 4)):
        torch.manual_seed(0)
        shape = ModelConfig(1, 5, residual_channels=20, condition_channels=8, labels=labels, mixtures=mixtures)
        model = WaveNet(shape).eval()
        if model.conditioning is not None and model.conditioning.labels is not None:
            model.conditioning.labels.detach().mul_(4)  # so that labels are heard
        (tmp_path / f"{name}.wavenet").write_bytes(pack(model, RATE, "float32", steerable=True))
    return tmp_path


def made(place: Path, seconds: float, name: str = "some", **settings) -> np.ndarray:
    """What the library makes."""
    voice = wavenet.load(place / f"{name}.wavenet")
    return voice.generate(seconds, instruction_set="portable", **settings)[0].numpy()


class Patch:
    """A patch that plays some samples of wavenet~ into a file, and prints its words."""

    def __init__(self) -> None:
        self.lines = ["#N canvas 0 0 500 400 12;"]
        self.objects = 0

    def add(self, kind: str, text: str) -> int:
        self.lines.append(f"#X {kind} 0 0 {text};")
        self.objects += 1
        return self.objects - 1

    def connect(self, *objects: tuple[int, int, int, int]) -> None:
        self.lines += [f"#X connect {a} {out} {b} {into};" for a, out, b, into in objects]


def message(text: str) -> str:
    return text.replace(",", " \\,").replace(";", " \\;")


def play(
    external: Path,
    place: Path,
    messages: str,
    samples: int,
    *,
    rate: int = RATE,
    later: str = "",
    before: str = "",
    created: str = "",
    real_time: bool = False,
) -> tuple[np.ndarray, str]:
    """Sound of wavenet~ after these messages, and all that Pd says. `before` goes to a soundfiler, and `later` to
    wavenet~ after half of the samples."""
    patch = Patch()
    start = patch.add("obj", "loadbang")
    order = patch.add("obj", "t b b b b b")
    network = patch.add("obj", f"wavenet~ {created}")
    words = patch.add("obj", "print said")
    record = patch.add("obj", "tabwrite~ recorded")
    patch.add("obj", f"table recorded {samples}")
    patch.add("obj", "table hum 10")
    files = patch.add("obj", "soundfiler")
    read = patch.add("msg", message(before or "ignored"))
    first = patch.add("msg", message(messages or "info"))
    second = patch.add("msg", message(later or "info"))
    milliseconds = samples / rate * 1000
    middle = patch.add("obj", f"delay {milliseconds / 2 + 4}")  # within the block that is the first of the second half
    end = patch.add("obj", f"delay {milliseconds + 50}")
    on = patch.add("msg", message("; pd dsp 1"))
    write = patch.add("obj", "t b b")
    save = patch.add("msg", "write -wave -bytes 4 sound.wav recorded")
    stop = patch.add("msg", message("; pd quit"))
    patch.connect((start, 0, order, 0), (network, 0, record, 0), (network, 1, words, 0), (read, 0, files, 0))
    if before:
        patch.connect((order, 4, read, 0))
    if messages:
        patch.connect((order, 3, first, 0))
    if later:
        patch.connect((order, 2, middle, 0))
    patch.connect((first, 0, network, 0), (second, 0, network, 0), (middle, 0, second, 0))
    patch.connect((order, 2, record, 0), (order, 1, end, 0), (order, 0, on, 0))
    patch.connect((end, 0, write, 0), (write, 1, save, 0), (save, 0, files, 0), (write, 0, stop, 0))
    (place / "patch.pd").write_text("\n".join(patch.lines) + "\n", encoding="utf-8")
    mode = ["-nosound"] if real_time else ["-batch"]
    pd = ["pd", "-nogui", "-noprefs", *mode, "-r", str(rate), "-path", external, "patch.pd"]
    done = subprocess.run(pd, cwd=place, check=True, capture_output=True, text=True, timeout=60)
    return soundfile.read(place / "sound.wav", dtype="float32")[0], done.stdout + done.stderr


def hum(samples: int) -> np.ndarray:
    return (0.5 * np.sin(0.1 * np.arange(samples))).astype(np.float32)


def errors(said: str) -> list[str]:
    """What wavenet~ refused, a line each."""
    return [line.split("wavenet~: ", 1)[1] for line in said.splitlines() if "wavenet~: " in line]


def test_samples_are_the_librarys(external, place):
    sound, said = play(external, place, "open some.wavenet, seed 3, temperature 0.8, top_k 40, top_p 0.9", 4000)
    np.testing.assert_array_equal(sound, made(place, 0.5, seed=3, temperature=0.8, top_k=40, top_p=0.9))
    known = "".join(f"said: label {label} {value}\n" for label, values in LABELS.items() for value in values)
    assert f"said: samplerate {RATE}\n{known}said: underruns 0\n" in said
    assert f"said: opened {place}/some.wavenet" in said
    assert errors(said) == []


def test_labels_are_mixed(external, place):
    """A name is enough where it is one label's; a value that is a number is a name too."""
    messages = "open some.wavenet, label june 0.7, label kåre 0.3, label mood 7 1"
    sound, said = play(external, place, messages, 4000)
    mix = {"speaker": {"june": 0.7, "kåre": 0.3}, "mood": "7"}
    np.testing.assert_array_equal(sound, made(place, 0.5, labels=mix))
    assert errors(said) == []
    assert np.any(sound != made(place, 0.5))


def test_a_prime_is_continued_and_a_bang_begins_anew(external, place):
    soundfile.write(place / "hum.wav", hum(300), RATE, subtype="FLOAT")
    messages = "open some.wavenet, prime hum, temperature 0.5"
    before = "read -resize hum.wav hum"
    sound, _ = play(external, place, messages, 4096, before=before, later="bang")
    expected = made(place, 0.5, prime=hum(300), temperature=0.5)
    np.testing.assert_array_equal(sound[:2048], expected[:2048])
    np.testing.assert_array_equal(sound[2048:], expected[:2048])
    sound, _ = play(external, place, messages, 4096, before=before, later="prime")
    np.testing.assert_array_equal(sound[2048:], made(place, 2048 / RATE, temperature=0.5))


def test_another_file_keeps_the_settings(external, place):
    messages, later = "open some.wavenet, temperature 0.5, seed 7", "open sixteen.wavenet"
    sound, said = play(external, place, messages, 4096, later=later)
    np.testing.assert_array_equal(sound[:2048], made(place, 2048 / RATE, temperature=0.5, seed=7))
    np.testing.assert_array_equal(sound[2048:], made(place, 2048 / RATE, "sixteen", temperature=0.5, seed=7))
    assert errors(said) == []
    sound, _ = play(external, place, "seed 7", 512, created="some.wavenet")
    np.testing.assert_array_equal(sound, made(place, 512 / RATE, seed=7))


def test_what_is_refused_is_said_in_a_line(external, place):
    (place / "damaged.wavenet").write_bytes((place / "some.wavenet").read_bytes()[:-1])
    allowed = {
        "temperature": "a number of at least 0",
        "top_k": "a whole number of at least 0, and 0 for 16-bit networks",
        "top_p": "greater than 0 and at most 1, and 1 for 16-bit networks",
        "seed": "a whole number of at least 0",
        "latency": "from 10 to 1000 milliseconds",
    }
    wrong = {"temperature": "-1", "top_k": "2.5", "top_p": "0", "seed": "-3", "latency": "5"}
    messages = [
        ("label june 1", "label came before a network: send open and a file that wavenet-export wrote"),
        ("open gone.wavenet", "gone.wavenet is no file beside the patch or in Pd's search path"),
        ("open some.wavenet", None),
        ("open damaged.wavenet", None),
        ("open", "open needs one file, which wavenet-export wrote"),
        (
            "speed 3",
            "there is no message speed; send open, temperature, top_k, top_p, label, seed, prime, bang, latency",
        ),
        ("seed june", "seed needs one number, a whole number of at least 0"),
        ("label june", "label needs a value's name and a weight, or a label, a value and a weight"),
        ("label june 11", "the weight of june is 11, but it must be from -10 to 10"),
        ("label jane 1", "the network knows no jane; send info to see its labels"),
        ("label mood june 1", "the network knows no mood june; send info to see its labels"),
        ("label 7 1", "7 is a value of several labels: send label, value and weight"),
        ("prime nothing", "there is no array nothing"),
        ("prime hum 0", "the rate of hum is 0, but it must be from 1 to 1000000 Hz"),
        *((f"{name} {value}", f"{name} is {value}, but it must be {allowed[name]}") for name, value in wrong.items()),
    ]
    sound, said = play(external, place, ", ".join(message for message, _ in messages), 512)
    np.testing.assert_array_equal(sound, made(place, 512 / RATE))  # what is refused changes nothing
    found = errors(said)
    damaged = found.pop(2)
    assert damaged.startswith(f"{place}/damaged.wavenet: ")
    assert "checksum" in damaged
    expected = [expected for _, expected in messages if expected]
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)
    _, said = play(external, place, "top_k 3, open sixteen.wavenet", 64)
    assert errors(said) == [f"top_k is 3, but it must be {allowed['top_k']}"]


def resampled(sound: np.ndarray, old: int, new: int, outputs: int, late: bool = False) -> np.ndarray:
    """resample.h, written as its sum: a windowed sinc around each output sample's place in the input. A stream comes
    late, by the half of the sinc that lies ahead of each sample."""
    cutoff = 0.95 * min(1, new / old)
    half = int(np.ceil(24 / cutoff))
    places = np.arange(outputs) * old / new - late * half
    heard = np.floor(places).astype(int)[:, None] + np.arange(-half, half + 1)
    padded = np.concatenate([np.zeros(3 * half), sound, np.zeros(3 * half)])
    distance = heard - places[:, None]
    taps = np.sinc(cutoff * distance) * np.i0(8 * np.sqrt(np.maximum(0, 1 - (distance / half) ** 2)))
    taps *= (distance > -half) & (distance <= half)
    return ((taps * padded[heard + 3 * half]).sum(1) / taps.sum(1)).astype(np.float32)


@pytest.mark.parametrize("rate", [48000, 44100, 6000])
def test_another_rate_of_pd_keeps_the_pitch(external, place, rate):
    samples = rate // 8
    sound, _ = play(external, place, "open some.wavenet", samples, rate=rate)
    np.testing.assert_allclose(sound, resampled(made(place, 0.2), RATE, rate, samples, late=True), atol=1e-5)


def test_a_prime_has_pds_rate_or_its_own(external, place):
    soundfile.write(place / "hum.wav", hum(600), RATE, subtype="FLOAT")
    before = "read -resize hum.wav hum"
    for message, heard in (("prime hum", resampled(hum(600), 16000, RATE, 300)), (f"prime hum {RATE}", hum(600))):
        sound, _ = play(external, place, f"open some.wavenet, {message}", 2000, rate=16000, before=before)
        expected = made(place, 0.2, prime=heard)
        np.testing.assert_allclose(sound, resampled(expected, RATE, 16000, 2000, late=True), atol=1e-5)


def test_in_real_time_a_file_is_loaded_aside(external, place):
    """The words that follow `open` are for the new network, though it comes later; what was there plays on."""
    messages, later = "open some.wavenet, label june 1, seed 3", "open sixteen.wavenet, open some.wavenet, seed 4"
    sound, said = play(external, place, messages, 2 * RATE, later=later, real_time=True)
    assert errors(said) == []
    assert said.count("said: opened") == 2
    first = int(np.flatnonzero(sound)[0])
    assert first > 0
    expected = made(place, 0.1, seed=3, labels={"speaker": "june"})
    np.testing.assert_array_equal(sound[first : first + len(expected)], expected)


def test_the_help_patch_is_whole(external, place):
    text = (CSRC / "pd" / "wavenet~-help.pd").read_text()
    for message in (
        "open",
        "temperature",
        "top_k",
        "top_p",
        "label",
        "seed",
        "prime",
        "bang",
        "latency",
        "offline",
        "info",
    ):
        assert message in text
    pd = ["pd", "-nogui", "-noprefs", "-batch", "-path", external, "-open", CSRC / "pd" / "wavenet~-help.pd"]
    done = subprocess.run([*pd, "-send", "pd quit"], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout + done.stderr == ""
