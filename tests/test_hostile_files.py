"""Exported files that someone altered and sealed again: refused in words, or sound within bounded memory."""

import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from wavenet.config import ModelConfig
from wavenet.errors import CheckpointError
from wavenet.generation import CompiledEngine
from wavenet.generation.export import little_endian, pack
from wavenet.model import native
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet

FILES = sorted((Path(__file__).parent / "files").glob("*.wavenet"))
NUMBERS = ("precision", "rate", "mu", "mixtures", "taps", "kernel", "residual", "gate", "skip", "head", "layers")
"""The header's, from byte 12 on; then the dilations."""
MOST_STATE = 1 << 30
EDGES = [0, 1, 2, 255, 256, 4096, 65535, 65536, 1 << 22, (1 << 22) + 1, 1 << 31, (1 << 32) - 1]

pytestmark = pytest.mark.skipif(native.code() is None, reason="the kernels are not built")


def sealed(body: bytes | bytearray) -> bytes:
    return bytes(body) + struct.pack("<I", zlib.crc32(body))


def with_numbers(data: bytes, **changed: int) -> bytes:
    body = bytearray(data[:-4])
    for name, value in changed.items():
        at = 12 + 4 * (len(NUMBERS) if name == "dilation" else NUMBERS.index(name))
        body[at : at + 4] = struct.pack("<I", value)
    return sealed(body)


def small(**settings) -> bytes:
    return pack(WaveNet(ModelConfig(1, 2, residual_channels=4, gate_channels=4, **settings)), 8000, "float32")


def test_17_gigabytes_of_state_from_a_file_of_1_megabyte_are_refused():
    wide = WaveNet(ModelConfig(1, 1, residual_channels=1000, gate_channels=1, skip_channels=1, head_channels=1))
    hostile = with_numbers(pack(wide, 8000, "float32"), dilation=(1 << 22) - 1)
    assert len(hostile) < 1.1e6
    with pytest.raises(CheckpointError, match="keep 16127 MiB for each stream, its past of 4194303 samples in") as e:
        CompiledEngine(hostile)
    assert "in 1000 channels, but at most 1024 MiB" in str(e.value)


@pytest.mark.parametrize("layers", [18, 22])
def test_what_a_model_may_well_need_is_allowed(layers):
    """64 channels and dilations up to 2**21: all receptive fields that are allowed, in `base`'s width."""
    model = WaveNet(ModelConfig(1, layers, gate_channels=1, skip_channels=1, head_channels=1))
    kept = 4 * 64 * (model.receptive_field - 1)
    assert kept < MOST_STATE
    if layers == 22:  # a gigabyte, which is not asked for here
        with pytest.raises(CheckpointError, match="keep"):
            CompiledEngine(pack(WaveNet(ModelConfig(1, 22, residual_channels=65, gate_channels=1)), 8000, "float32"))
    else:
        assert kept <= CompiledEngine(pack(model, 8000, "float32")).kernel.state_bytes < kept + 4096


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("where", ["initial.weight", "blocks.0.conv.weight", "hidden.bias", "output.weight"])
def test_numbers_that_are_not_finite_are_refused(value, precision, where):
    model = WaveNet(ModelConfig(1, 2, residual_channels=4, gate_channels=4))
    with torch.no_grad():
        model.get_parameter(where).view(-1)[5] = value
    with pytest.raises(CheckpointError, match="not finite"):
        CompiledEngine(pack(model, 8000, precision))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_scales_that_are_none_are_refused(scale):
    data = (Path(__file__).parent / "files" / "version_2_int8.wavenet").read_bytes()
    layers = 4
    first = 12 + 4 * (len(NUMBERS) + layers) + 4 * 256 * 3  # after the header and the initial table
    with pytest.raises(CheckpointError, match=r"not above 0|not finite"):
        CompiledEngine(sealed(data[:first] + struct.pack("<f", scale) + data[first + 4 : -4]))


@pytest.mark.parametrize("instruction_set", native.instruction_sets())
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0), Sampling(top_k=7), Sampling(0.5, top_p=0.9)])
@pytest.mark.parametrize("mixtures", [0, 3])
def test_sums_that_overflow_still_draw_a_code(instruction_set, sampling, mixtures):
    """Finite weights whose products are infinite, and infinities whose differences are no number."""
    model = WaveNet(ModelConfig(1, 2, residual_channels=4, gate_channels=4, mixtures=mixtures))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter).sign() * 3e38)
    engine = CompiledEngine(pack(model, 8000, "float32"), instruction_set)
    sampling = Sampling(sampling.temperature) if mixtures else sampling
    state = engine.start(torch.empty(2, 0))
    codes, _ = engine.generate(state, torch.rand(2, 50, dtype=torch.float64), sampling)
    assert not state.logits.isfinite().all()
    assert 0 <= int(codes.min()) <= int(codes.max()) < engine.distribution.encoding.levels


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_altered_and_sealed_files_are_refused_or_sound(path):
    """Random bytes, and numbers at the edges of what is allowed in the header, under a right checksum."""
    good, chance, heard = path.read_bytes(), random.Random(0), torch.zeros(1, 30)
    refused = 0
    for _ in range(300):
        body = bytearray(good[:-4])
        for _ in range(chance.randint(1, 3)):
            if chance.random() < 0.5:
                at = 12 + 4 * chance.randrange(len(NUMBERS) + 2)
                body[at : at + 4] = struct.pack("<I", chance.choice(EDGES))
            else:
                body[chance.randrange(8, len(body))] = chance.randrange(256)
        try:
            engine = CompiledEngine(sealed(body))
        except CheckpointError:
            refused += 1
            continue
        assert engine.kernel.state_bytes < MOST_STATE + 4096
        assert engine.kernel.weight_bytes < 256 * len(good)
        codes, _ = engine.generate(engine.start(heard), torch.rand(1, 30, dtype=torch.float64), Sampling())
        assert int(codes.max()) < engine.distribution.encoding.levels
    assert 50 < refused < 300


@pytest.mark.parametrize("kind", ["f4", "i2", "i1"])
def test_files_are_little_endian_whatever_the_machine_is(kind):
    numbers = [1, -2, 100]
    little = np.array(numbers, "<" + kind).tobytes()
    assert little_endian(np.array(numbers, ">" + kind)) == little_endian(np.array(numbers, "<" + kind)) == little


def test_a_files_weights_are_little_endian():
    model = WaveNet(ModelConfig(1, 1, residual_channels=4, gate_channels=4))
    with torch.no_grad():
        model.output.bias.fill_(1.5)  # type: ignore[union-attr] (it has one)
        model.output.weight.fill_(0.75)
    for precision, weight in (("float32", struct.pack("<f", 0.75)), ("bfloat16", struct.pack("<f", 0.75)[2:])):
        packed = pack(model, 8000, precision)
        assert 256 * struct.pack("<f", 1.5) + 1000 * weight in packed
