"""A network that follows features, prepared once, says one sentence after another."""

import numpy as np
import pytest
import torch

from wavenet.config import FeatureConfig, ModelConfig
from wavenet.errors import AudioError, ConfigError
from wavenet.generation import CachedEngine, CompiledEngine, Conditions, calibration, export, generate, projection
from wavenet.generation.vocoder import Vocoder
from wavenet.model import native
from wavenet.model.conditioning import Companion
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.annotations import clamped

RATE, HOP = 8000, 20
pytestmark = pytest.mark.skipif(native.code() is None, reason="the kernels are not built")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    features = FeatureConfig(["mel"], hop=HOP, window=64, mels=6, hold=5)
    made = WaveNet(ModelConfig(1, 6, features=features, labels={"speaker": ["a", "b"]}, condition_channels=12))
    for parameter in made.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return made.eval()


@pytest.fixture(scope="module")
def scales(model):
    told = clamped(np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32))
    return calibration.measured(model, [Companion(torch.zeros(2), told, samples=200 * HOP)])


def sentence(seed, frames=70):
    return np.random.default_rng(seed).standard_normal((frames, 6)).astype(np.float32)


def said(vocoder, frames, **how):
    return torch.cat(list(vocoder.stream(frames, **how)))


def test_a_sentence_depends_on_its_frames_and_seed_alone(model, scales, monkeypatch):
    vocoder = Vocoder(model, RATE, scales)
    monkeypatch.setattr(export, "pack", None)  # nothing is prepared again
    first = said(vocoder, sentence(1), seed=4)
    assert len(first) == 70 * HOP
    other = said(vocoder, torch.from_numpy(sentence(2, 90)), seed=4)
    assert len(other) == 90 * HOP
    assert torch.equal(said(vocoder, sentence(1), seed=4), first)
    assert not torch.equal(other[: len(first)], first)
    assert not torch.equal(said(vocoder, sentence(1), seed=5), first)
    label = torch.tensor([1.0, 0.0])
    assert not torch.equal(said(vocoder, sentence(1), labels=label, seed=4), first)
    guided = said(vocoder, sentence(1), labels=label, seed=4, sampling=Sampling(guidance=2.0))
    assert len(guided) == len(first)


def test_it_says_what_the_plain_engine_says(model):
    """In float32; int8's samples differ as soon as one draw falls on the other side."""
    told = Companion(torch.zeros(2), clamped(sentence(1, 20)), samples=20 * HOP)
    conditions = Conditions(model.conditioning, [told])
    plain = torch.cat([c for c, _ in generate(CachedEngine(model), 20 * HOP, [4], conditions=conditions)], dim=1)
    found = said(Vocoder(model, RATE, precision="float32"), sentence(1, 20), seed=4)
    assert torch.equal(found, model.distribution.encoding.decode(plain[0]))


def test_kept_scales_are_those_that_are_measured(model, scales):
    assert len(scales) == 2 * 6 - 1 + 3
    kept = [tuple(scale) for scale in torch.tensor(scales, dtype=torch.float64).tolist()]  # as from a file
    kept = [(unit, int(zero)) for unit, zero in kept]
    assert calibration.exported(model, RATE, "int8", scales=kept) == export.pack(model, RATE, "int8", scales)
    with pytest.raises(ConfigError, match="int8 needs 14 scales for this network, not 13: measure them on it"):
        export.pack(model, RATE, "int8", scales[1:])


@pytest.mark.parametrize("instruction_set", native.instruction_sets())
def test_rows_in_int8_cost_little(model, scales, instruction_set):
    """Bits of the same codes under int8, whose rows are rounded too, and under float32."""
    codes = torch.randint(256, (1, 400))
    with torch.inference_mode():
        rows = model.conditioning(Companion(torch.zeros(2), clamped(sentence(7))), 0, 401)[None]
    found = []
    for precision in ("float32", "int8"):
        packed = export.pack(model, RATE, precision, scales)
        engine = CompiledEngine(packed, instruction_set, 1, projection(model))
        state = engine.start(torch.empty(1, 0, dtype=torch.int64), rows[:, :1])
        found.append(engine.score(state, codes, rows[:, 1:]))
        halves = engine.start(torch.empty(1, 0, dtype=torch.int64), rows[:, :1])
        parts = [
            engine.score(halves, codes[:, part], rows[:, 1:][:, part]) for part in (slice(0, 133), slice(133, 400))
        ]
        assert torch.equal(torch.cat(parts, dim=1), found[-1])
    assert (found[0] - found[1]).mean().abs() < 0.01
    assert (found[0] - found[1]).abs().max() < 0.5


def test_what_it_refuses(model, scales):
    vocoder = Vocoder(model, RATE, scales)
    with pytest.raises(ConfigError, match="the array has 5 numbers per row, the model 6"):
        vocoder.stream(np.zeros((4, 5), dtype=np.float32))
    with pytest.raises(AudioError, match="the array holds no frames, or numbers that are not finite"):
        vocoder.stream(np.full((4, 6), np.nan, dtype=np.float32))
    with pytest.raises(ConfigError, match="a vocoder follows features, but this model was trained without any"):
        Vocoder(WaveNet(ModelConfig(1, 2)), RATE)


def test_rows_and_projections_of_other_shapes_are_refused(model):
    packed = export.pack(model, RATE, "float32")
    condition = projection(model)
    assert condition is not None
    with pytest.raises(Exception, match="the conditioning has 767 rows, which do not fit this network"):
        CompiledEngine(packed, condition=condition[1:])
    engine = CompiledEngine(packed, condition=condition)
    with pytest.raises(ValueError, match="rows of 11 channels do not go with a network of 12"):
        engine.start(torch.empty(1, 0, dtype=torch.int64), torch.zeros(1, 1, 11))
