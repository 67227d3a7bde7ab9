"""Exported files that can be steered: labels are chosen and mixed as a checkpoint's are, and damage is refused."""

import struct

import numpy as np
import pytest
import torch
from torch import Tensor

from wavenet.config import ModelConfig
from wavenet.generation import CompiledEngine
from wavenet.generation.export import pack
from wavenet.generation.steering import choose_labels
from wavenet.model import native
from wavenet.model.wavenet import WaveNet

pytestmark = pytest.mark.skipif(native.code() is None, reason="the kernels are not built")

LABELS = {"speaker": ["carlo", "june", "kåre"], "mood": ["calm", "wild"]}
SHAPE = {
    "residual_channels": 12,
    "gate_channels": 10,
    "skip_channels": 16,
    "head_channels": 16,
    "condition_channels": 8,
}
MIX = {"speaker": {"june": 0.7, "kåre": 0.3}, "mood": "wild"}


def labelled(**settings) -> WaveNet:
    torch.manual_seed(0)
    model = WaveNet(ModelConfig(1, 4, labels=LABELS, **SHAPE, **settings)).eval()
    embeddings(model).mul_(4)  # so that labels are heard
    return model


def embeddings(model: WaveNet) -> Tensor:
    assert model.conditioning is not None
    assert model.conditioning.labels is not None
    return model.conditioning.labels.detach()


def scored(engine: CompiledEngine, codes: Tensor, weights: Tensor | None = None) -> Tensor:
    """Logits after these codes, under these weights of the label values."""
    rows = None if weights is None else weights.expand(len(codes), 1, -1)
    state = engine.start(codes[:, :-1], rows)
    engine.step(state, codes[:, -1], None if rows is None else rows[:, 0])
    return state.logits


def some_codes(model: WaveNet) -> Tensor:
    return torch.randint(256, (3, model.receptive_field + 5))


def test_the_labels_come_back():
    engine = CompiledEngine(pack(labelled(), 8000, "float32", steerable=True))
    assert engine.labels == LABELS
    assert engine.kernel.condition_channels == 5
    assert CompiledEngine(pack(labelled(), 8000, "float32")).labels == {}


@pytest.mark.parametrize("instruction_set", native.instruction_sets())
@pytest.mark.parametrize("chosen", [{}, {"speaker": "june"}, {"speaker": ["june", "carlo"]}, MIX], ids=str)
@torch.inference_mode()
def test_a_mix_is_the_models_own_conditioning(chosen, instruction_set):
    model = labelled()
    codes, weights = some_codes(model), choose_labels(chosen, LABELS)
    row = (weights @ embeddings(model)).expand(len(codes), codes.shape[1], -1)
    engine = CompiledEngine(pack(model, 8000, "float32", steerable=True), instruction_set)
    torch.testing.assert_close(scored(engine, codes, weights), model(codes, row)[:, -1], rtol=1e-4, atol=1e-4)


def test_what_the_label_section_is_on_disk():
    """Little-endian, names in UTF-8 with zeros up to a multiple of four, then the table, a row for each lane of h."""
    model = labelled()
    data, bare = pack(model, 8000, "float32", steerable=True), pack(model, 8000, "float32")
    assert data[8:12] == bare[8:12] == b"\3\0\0\0"
    assert bare[-8:-4] == bytes(4)
    section = data[len(bare) - 8 : -4]
    names = b"".join(
        struct.pack("<I", len(name.encode())) + name.encode() + bytes(-len(name.encode()) % 4)
        for label, values in LABELS.items()
        for value in values
        for name in (label, value)
    )
    assert section[: 4 + len(names)] == b"\5\0\0\0" + names
    table = np.frombuffer(section[4 + len(names) :], "<f4").reshape(4 * 2 * 10, 5)
    for number, block in enumerate(model.blocks):
        assert block.condition is not None
        expected = block.condition(embeddings(model)).detach().numpy().T
        np.testing.assert_allclose(table[20 * number :][:20], expected, rtol=1e-5, atol=1e-6)
