"""Files that a fault, or someone who means harm, may have made: each is a function of a good file and of a seed."""

import io
import json
import struct
import zipfile
import zlib
from random import Random
from typing import Any

import numpy as np
import soundfile
import torch

EDGES = [
    0,
    1,
    2,
    3,
    127,
    128,
    255,
    256,
    4096,
    65535,
    65536,
    1 << 22,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 2,
    (1 << 32) - 1,
]
RATE = 8000

# ---- any bytes


def altered(content: bytes, chance: Random, first: int = 0, last: int | None = None) -> bytes:
    """One to eight bytes or numbers between `first` and `last` are replaced."""
    body, last = bytearray(content), min(last or len(content), len(content))
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(first, last) if last > first else 0
        if chance.random() < 0.5:
            body[at : at + 1] = bytes([chance.randrange(256)])
        else:
            number = struct.pack(chance.choice("<>") + "I", chance.choice(EDGES))
            body[at : at + 4] = number[: len(body[at : at + 4])]
    return bytes(body)


def cut(content: bytes, chance: Random) -> bytes:
    return content[: chance.randrange(len(content))]


def rearranged(content: bytes, chance: Random) -> bytes:
    """A stretch is missing, doubled, zero or random."""
    start = chance.randrange(len(content))
    stop = min(start + chance.choice([1, 16, 512, 4096]), len(content))
    there = content[start:stop]
    instead = chance.choice([b"", there * 2, bytes(len(there)), chance.randbytes(len(there))])
    return content[:start] + instead + content[stop:]


# ---- sound files


def sounds() -> dict[str, bytes]:
    """Name -> a good file of every kind that is read, most of them of 0.4 s."""
    time = np.arange(round(0.4 * RATE))
    sound = 0.4 * np.sin(time / 3) + np.random.default_rng(0).normal(0, 0.02, len(time))
    kinds = {
        "pcm.wav": ("WAV", "PCM_16"),
        "float.wav": ("WAV", "FLOAT"),
        "adpcm.wav": ("WAV", "MS_ADPCM"),
        "ulaw.wav": ("WAV", "ULAW"),
        "wide.wav": ("WAVEX", "PCM_24"),
        "x.aiff": ("AIFF", "PCM_16"),
        "x.flac": ("FLAC", "PCM_16"),
        "x.ogg": ("OGG", "VORBIS"),
        "x.mp3": ("MP3", "MPEG_LAYER_III"),
        "x.opus": ("OGG", "OPUS"),
        "x.au": ("AU", "PCM_16"),
        "x.caf": ("CAF", "ALAC_16"),
        "x.w64": ("W64", "PCM_16"),
        "x.rf64": ("RF64", "PCM_16"),
        "stereo.flac": ("FLAC", "PCM_24"),
        "gsm.wav": ("WAV", "GSM610"),
    }
    made = {name: _encoded(sound, *kind, stereo=name == "stereo.flac") for name, kind in kinds.items()}
    made["silence.flac"] = _encoded(np.zeros(120 * RATE), "FLAC", "PCM_16")
    return made


def _encoded(sound: np.ndarray, container: str, subtype: str, stereo: bool = False) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.stack([sound] * 2, 1) if stereo else sound, RATE, format=container, subtype=subtype)
    return file.getvalue()


def mutated_sound(good: dict[str, bytes], chance: Random) -> tuple[str, bytes]:
    """A name and the content of one damaged file."""
    name = chance.choice(list(good))
    content = good[name]
    how = chance.randrange(8)
    if how == 0:
        content = altered(content, chance)
    elif how == 1:
        content = altered(content, chance, 0, 64)
    elif how == 2:
        content = cut(content, chance)
    elif how == 3:
        content = rearranged(content, chance)
    elif how == 4:
        content = content[: chance.choice([4, 12, 44])] + chance.randbytes(chance.randrange(8000))
    elif how == 5:  # numbers that are none, in floating-point sound
        name, content = "nan.wav", bytearray(good["float.wav"])
        at = content.index(b"data") + 8 + 4 * chance.randrange(100)
        content[at : at + 4] = struct.pack("<f", chance.choice([float("nan"), float("inf"), 3e38, -float("inf")]))
        content = bytes(content)
    elif how == 6:  # hours that are not there: sizes, rates, and counts of frames and channels
        content = _claiming(name, content, chance)
    else:
        content = content + chance.choice(list(good.values())) + content[: chance.randrange(len(content))]
    if chance.random() < 0.1:
        name = name.rpartition(".")[0] + chance.choice([".wav", ".flac", ".mp3", ".ogg", ".aiff"])
    return name, content


def _claiming(name: str, content: bytes, chance: Random) -> bytes:
    body, huge = bytearray(content), chance.choice([0x7FFFFFFE, 0xFFFFFFF0, 0xFFFFFFFF, 3600 * 48000 * 2])
    if name.endswith("flac"):  # 36 bits of samples, and the channels
        body[18:26] = struct.pack(
            ">Q", (chance.choice([8000, 655350]) << 44) | (chance.randrange(8) << 41) | (15 << 36) | huge
        )
    elif (at := body.find(b"data")) > 0 or (at := body.find(b"SSND")) > 0 or (at := body.find(b"fact")) > 0:
        body[at + 4 : at + 8] = struct.pack("<I" if content[:4] == b"RIFF" else ">I", huge)
        if chance.random() < 0.5 and content[:4] == b"RIFF":
            body[22:24] = struct.pack("<H", chance.choice([0, 1, 2, 255, 1024, 65535]))
    elif (at := body.find(b"Xing")) > 0 or (at := body.find(b"Info")) > 0:
        body[at + 8 : at + 12] = struct.pack(">I", huge)
    elif content[:4] == b"OggS":
        body[6:14] = struct.pack("<Q", huge << 20)
    else:
        body[8:12] = struct.pack(">I", huge)
    return bytes(body)


# ---- exported files, checkpoints and training states


def sealed(body: bytes | bytearray) -> bytes:
    return bytes(body) + struct.pack("<I", zlib.crc32(body))


def mutated_export(good: bytes, chance: Random) -> bytes:
    """Most with a right checksum."""
    header = 12 + 4 * 16
    changes = [
        lambda: sealed(altered(good[:-4], chance, 8, header)),
        lambda: sealed(altered(good[:-4], chance, 8)),
        lambda: sealed(rearranged(good[:-4], chance)),
        lambda: sealed(cut(good[:-4], chance)),
        lambda: altered(good, chance),
    ]
    return chance.choice([changes[0], *changes])()


STRANGE = [
    None,
    True,
    -1,
    0,
    1,
    2,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    1 << 16,
    1 << 31,
    1 << 62,
    10**30,
    "",
    "x",
    [],
    {},
]
STRANGE += [[[]], [1] * 1000, {"x": ["y"]}, "../../x", "\0", "\ud800", "x" * 5000, [float("nan")], {"": None}]


def strange(value: Any, chance: Random) -> Any:
    """`value` with one or two of its parts, at any depth, replaced, removed or doubled."""
    for _ in range(chance.randint(1, 2)):
        value = _strange(value, chance)
    return value


def _strange(value: Any, chance: Random) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        if chance.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        if chance.random() < 0.05:
            return {**value, chance.choice(["x", "", "\0", key * 2 if isinstance(key, str) else "y"]): value[key]}
        return {**value, key: _strange(value[key], chance)}
    if isinstance(value, list | tuple) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return type(value)([*value[:at], _strange(value[at], chance), *value[at + 1 :]])
    if isinstance(value, torch.Tensor):
        return chance.choice(
            [value * float("nan"), value.flatten()[:0], value.flatten(), value.long(), value.double(), value[None], 3]
        )
    if isinstance(value, int | float) and chance.random() < 0.5:
        return chance.choice([value + 1, -value, value * 2, float(value), value * 10**6, str(value)])
    return chance.choice(STRANGE)


def mutated_checkpoint(good: bytes, chance: Random) -> bytes:
    """A safetensors file, whose header is written anew after most changes."""
    (size,) = struct.unpack("<Q", good[:8])
    header, numbers = json.loads(good[8 : 8 + size]), good[8 + size :]
    how = chance.randrange(6)
    if how < 3:
        told = header["__metadata__"]
        name = next(iter(told))
        told[name] = json.dumps(strange(json.loads(told[name]), chance))
    elif how == 3:
        header = strange(header, chance)
    elif how == 4:
        numbers = altered(numbers, chance) if numbers else numbers
    else:
        return chance.choice([altered, cut, rearranged])(good, chance)
    written = json.dumps(header).encode("utf-8", "surrogatepass")
    written += b" " * (-len(written) % 8)
    return struct.pack("<Q", len(written)) + written + numbers


def mutated_state(good: bytes, chance: Random, canary: str) -> bytes:
    """A training state; most are whole zip files, with right checksums."""
    how = chance.randrange(8)
    if how < 4:
        file = io.BytesIO()
        torch.save(strange(torch.load(io.BytesIO(good), weights_only=True), chance), file)
        return file.getvalue()
    if how == 4:
        return chance.choice([altered, cut, rearranged])(good, chance)
    with zipfile.ZipFile(io.BytesIO(good)) as whole:
        parts = {part.filename: whole.read(part) for part in whole.infolist()}
    name = next(name for name in parts if name.endswith("data.pkl"))
    if how == 5:
        parts[name] = chance.choice([altered, rearranged])(parts[name], chance)
    elif how == 6:
        words = chance.choice(
            ["posix\nsystem", "builtins\nexec", "builtins\neval", "builtins\nbytearray", "torch\nload", "os\nsystem"]
        )
        what = f"touch {canary}" if "system" in words else f"open({canary!r}, 'w')"
        call = b"c" + words.encode() + b"\n(X" + struct.pack("<I", len(what)) + what.encode() + b"tR0"
        parts[name] = parts[name][:2] + call + parts[name][2:]
    else:
        other = chance.choice(list(parts))
        parts[other] = chance.choice([bytes(1 << 20), b"", chance.randbytes(100), parts[other] * 2])
    file = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if chance.random() < 0.2 else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind) as made:
        for part, content in parts.items():
            made.writestr(part, content)
    return file.getvalue()
