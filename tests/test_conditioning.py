"""Labels, features and context stacks: shapes, alignment, gradients, and every engine under every kind of them."""

import numpy as np
import pytest
import soundfile
import torch

from wavenet.audio.encodings import MULAW
from wavenet.config import ContextConfig, DataConfig, FeatureConfig, ModelConfig, OptimConfig
from wavenet.evaluation.bits import score
from wavenet.generation import (
    CachedEngine,
    CompiledEngine,
    Conditions,
    NaiveEngine,
    exported,
    generate,
    projection,
)
from wavenet.generation.engine import heard_rows
from wavenet.generation.export import fixed
from wavenet.model import native
from wavenet.model.conditioning import Companion, Conditioning, Upsample, linear_upsampling
from wavenet.model.distributions import Sampling, Softmax
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.annotations import Annotations, after_silence, clamped, describe
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import split
from wavenet.recordings.windows import Windows
from wavenet.training.optimizers import make_optimizers

LABELS = {"speaker": ["june", "carlo"], "tag": ["slow", "loud"]}
FEATURES = FeatureConfig(kinds=["mel"], hop=12, window=32, mels=5)
CONTEXT = ContextConfig(pools=[8, 16], layers=2, channels=4)
KINDS = {
    "labels": {"labels": LABELS},
    "features": {"features": FEATURES},
    "context": {"context": CONTEXT},
    "all": {"labels": LABELS, "features": FEATURES, "context": CONTEXT},
}


def model_of(kind: str, **settings) -> WaveNet:
    torch.manual_seed(0)
    shape = {"residual_channels": 8, "gate_channels": 6, "skip_channels": 12, "head_channels": 10}
    config = ModelConfig(stacks=2, layers_per_stack=3, condition_channels=5, **{**shape, **KINDS[kind], **settings})
    model = WaveNet(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    return model


def companion_of(model: WaveNet, seed: int = 0) -> Companion:
    random = np.random.default_rng(seed)
    assert model.conditioning is not None
    labels = torch.from_numpy(random.integers(0, 2, len(model.conditioning.names))).float()
    frames = random.standard_normal((40, model.config.features.channels)).astype(np.float32)
    return Companion(labels, clamped(frames))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prime", [None, torch.randint(0, 256, (37,), generator=torch.Generator().manual_seed(1))])
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_engines_agree_under_every_kind_of_conditioning(kind, prime, guidance):
    if guidance != 1 and not KINDS[kind].get("labels"):
        pytest.skip("guidance follows labels")
    model = model_of(kind)
    companions = [companion_of(model, seed) for seed in range(2)]
    engines = [NaiveEngine(model), CachedEngine(model)]
    for name in native.instruction_sets():
        engines.append(CompiledEngine(exported(model, 16000, "float32"), name, condition=projection(model)))
    made = {}
    for engine in engines:
        conditions = Conditions(model.conditioning, companions, guided=guidance != 1)
        how = {"sampling": Sampling(guidance=guidance), "prime": prime, "chunk": 50, "conditions": conditions}
        chunks = [(c.t(), b.t()) for c, b in generate(engine, 120, [1, 2], **how)]
        codes, bits = map(torch.cat, zip(*chunks, strict=True))
        made[f"{engine.name} {getattr(engine, 'instruction_set', '')}"] = codes, bits
    (codes, bits), *others = made.values()
    assert codes.unique().numel() > 10
    for other_codes, other_bits in others:
        torch.testing.assert_close(other_codes, codes)
        torch.testing.assert_close(other_bits, bits, atol=1e-3, rtol=0)
    told_nothing = torch.cat([c.t() for c, _ in generate(engines[1], 120, [1, 2], prime=prime)])
    assert (told_nothing != codes).any()


@pytest.mark.parametrize("bias", [True, False])
def test_labels_can_be_fixed_for_good(bias):
    model = model_of("labels", bias=bias)
    assert model.conditioning is not None
    companion = companion_of(model)
    plain = fixed(model, companion.labels, model.config.labels)
    assert plain.conditioning is None
    told = Conditions(model.conditioning, [companion])
    one, other = (
        torch.cat([codes for codes, _ in generate(CachedEngine(m), 200, [1], conditions=t)], dim=1)
        for m, t in ((model, told), (plain, None))
    )
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("kind", "guidance"), [*((kind, 1.0) for kind in KINDS), ("labels", 3.0), ("all", 0.0)])
def test_what_is_made_is_scored_by_one_parallel_forward(kind, guidance):
    """Rows worked out ahead, chunk by chunk, are those that training sees; guidance is not in the bits."""
    model = model_of(kind)
    companion = companion_of(model)
    conditions = Conditions(model.conditioning, [companion], guided=guidance != 1)
    how = {"chunk": 47, "conditions": conditions, "sampling": Sampling(guidance=guidance)}
    made = [(c[0], b[0]) for c, b in generate(CachedEngine(model), 150, [3], **how)]
    codes, bits = torch.cat([c for c, _ in made]).long(), torch.cat([b for _, b in made])
    field = model.receptive_field
    known = Companion(companion.labels, companion.frames, after_silence(codes.numpy().astype(np.uint8)))
    heard = torch.cat([torch.full((field,), 128), codes])[None]
    rows = model.rows([[(known, -field + 1, 151)]], field + 149)
    logits = model(heard[:, :-1], rows)[0]
    expected = -torch.log_softmax(logits, dim=-1).gather(1, codes[:, None])[:, 0] / np.log(2)
    torch.testing.assert_close(bits, expected.float(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_sixteen_bits_under_every_kind_of_conditioning(kind):
    """Loud codes of 16 bits may differ by one between engines, so each is held to the parallel forward's bits."""
    model = model_of(kind, mixtures=3)
    companion, field = companion_of(model), model.receptive_field
    engines = [NaiveEngine(model), CachedEngine(model)]
    for name in native.instruction_sets():
        engines.append(CompiledEngine(exported(model, 16000, "float32"), name, condition=projection(model)))
    for engine in engines:
        conditions = Conditions(model.conditioning, [companion])
        made = [(c[0], b[0]) for c, b in generate(engine, 150, [3], chunk=47, conditions=conditions)]
        codes, bits = torch.cat([c for c, _ in made]).long(), torch.cat([b for _, b in made])
        known = Companion(companion.labels, companion.frames, after_silence(codes.numpy().astype(np.uint16)))
        rows = model.rows([[(known, -field + 1, 151)]], field + 149)
        logits = model(torch.cat([torch.full((field,), 32768), codes])[None, :-1], rows)[0]
        torch.testing.assert_close(bits, model.distribution.bits(logits, codes), atol=2e-3, rtol=1e-3)
        assert codes.unique().numel() > 20


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_weight(kind):
    model = model_of(kind).train()
    companion = companion_of(model)
    codes = torch.randint(0, 256, (1, 200))
    known = Companion(
        torch.ones_like(companion.labels), companion.frames, after_silence(codes[0].numpy().astype(np.uint8))
    )
    rows = model.rows([[(known, 0, 200)]], 200)
    assert rows is not None
    assert rows.shape == (1, 200, 5)
    model(codes, rows).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("upsampling", ["transposed", "linear", "repeat"])
@pytest.mark.parametrize("hop", [1, 7, 12, 80, 34])
@pytest.mark.parametrize("look_ahead", [0, 2])
def test_a_window_of_upsampled_frames_is_a_part_of_the_whole(upsampling, hop, look_ahead):
    config = FeatureConfig(kinds=["mel"], hop=hop, mels=3, upsampling=upsampling, look_ahead=look_ahead)
    upsample = Upsample(config, 4)
    with torch.no_grad():
        for parameter in upsample.parameters():
            parameter.copy_(torch.randn_like(parameter))
    frames = clamped(np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32))
    whole = upsample(frames, 0, 9 * hop)
    assert whole.shape == (9 * hop, 4)
    for start, stop in ((0, 1), (hop - 1, hop + 1), (3 * hop, 7 * hop), (9 * hop - 1, 9 * hop), (2, 8 * hop + 1)):
        if start < stop <= 9 * hop:
            torch.testing.assert_close(upsample(frames, start, stop), whole[start:stop], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("upsampling", ["transposed", "linear", "repeat"])
def test_samples_that_share_a_row(upsampling):
    config = FeatureConfig(kinds=["mel"], hop=24, mels=3, upsampling=upsampling, hold=4)
    rows = Upsample(config, 5)(clamped(np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)), 0, 9 * 24)
    groups = rows.unflatten(0, (-1, 4))
    assert (groups == groups[:, :1]).all()
    assert (groups[1:, 0] != groups[:-1, 0]).any()


@pytest.mark.parametrize("stride", [2, 3, 5, 8, 16])
def test_transposed_convolution_begins_as_linear_interpolation(stride):
    values = torch.randn(1, 3, 11)
    made = linear_upsampling(3, stride)(values)
    expected = torch.nn.functional.interpolate(values, scale_factor=stride, mode="linear")
    assert made.shape == (1, 3, 11 * stride)
    inside = slice(stride, -stride)  # at the ends there is no neighbour to interpolate to
    torch.testing.assert_close(made[..., inside], expected[..., inside])


def test_context_hears_the_past_alone_and_a_long_way_back():
    model = model_of("context")
    assert model.conditioning is not None
    stack = model.conditioning.context[1]
    codes = np.random.default_rng(0).integers(0, 256, 900, dtype=np.uint8)
    rows = stack(after_silence(codes), 0, 900)
    for changed in (100, 400, 600):
        altered = codes.copy()
        altered[changed] ^= 128
        different = (stack(after_silence(altered), 0, 900) != rows).any(dim=1).nonzero()[:, 0]
        first, last = int(different.min()), int(different.max())
        assert first == (changed // stack.pool + 5) * stack.pool, "the fifth block on is the first to hear it"
        assert stack.span - 3 * stack.pool < last - changed <= stack.span


def test_windows_of_context_are_parts_of_the_whole():
    stack = model_of("context").conditioning.context[0]  # type: ignore[union-attr] (it has one)
    codes = after_silence(np.random.default_rng(0).integers(0, 256, 300, dtype=np.uint8))
    whole = stack(codes, 0, 300)
    for start, stop in ((0, 1), (7, 9), (8, 16), (131, 260), (299, 300)):
        torch.testing.assert_close(stack(codes, start, stop), whole[start:stop])


def test_rows_before_a_recording_are_its_first():
    model = model_of("all")
    companion = companion_of(model)
    known = Companion(companion.labels, companion.frames, after_silence(np.arange(256, dtype=np.uint8)))
    assert isinstance(model.conditioning, Conditioning)
    rows = model.conditioning(known, -20, 30)
    torch.testing.assert_close(rows[:20], rows[20:21].expand(20, -1))
    assert (rows[20] != rows[40]).any()
    torch.testing.assert_close(heard_rows(rows[None, 20:], 60)[0, :31], rows[20:21].expand(31, -1))  # type: ignore[index] (rows)


def test_shape_and_number_of_weights():
    plain, told = model_of("all", labels={}, features=FeatureConfig(), context=ContextConfig()), model_of("all")
    assert plain.conditioning is None
    count = [sum(p.numel() for p in m.parameters()) for m in (plain, told)]
    layers, c = 6, 5
    upsample = (5 * 3 * c + c) + (c * c + c) + (c * c * 24 + c)
    stack = sum((2 * pool + 1) * 4 + 4 + 2 * (8 * 8 + 8) + (4 * 4 + 4) + 8 * c + c for pool in (8, 16))
    assert count[1] - count[0] == layers * 12 * c + 4 * c + upsample + stack


def learn(model: WaveNet, windows: Windows, steps: int) -> None:
    optimizers = make_optimizers(model, OptimConfig())
    for step in range(steps):
        batch = windows.batch([step % len(windows)])
        total = Softmax().loss(
            model(batch.codes[:, :-1], model.rows(batch.pieces, batch.codes.shape[1] - 1)), batch.targets
        )
        (total / batch.targets.numel()).backward()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * min(1, step / 50) * (1 - step / steps)
            optimizer.step()
            optimizer.zero_grad()


def test_features_are_aligned_to_the_sample(tmp_path):
    """Noise that only its features foretell is learned, and a shift of either by one sample spoils it."""
    torch.manual_seed(0)
    random, hop = np.random.default_rng(0), 4
    for name in "abc":
        levels = random.integers(0, 4, 3001)
        soundfile.write(tmp_path / f"{name}.wav", (levels - 1.5) * 0.2, 16000, subtype="FLOAT")
        rows = np.pad(levels, (0, -3001 % hop)).reshape(-1, hop)
        np.save(tmp_path / f"{name}.npy", np.eye(4)[rows].reshape(len(rows), -1))
    data = DataConfig(dir=str(tmp_path), cache_dir=str(tmp_path / "cache"))
    shape = ModelConfig(2, 2, residual_channels=16, gate_channels=16, skip_channels=32, head_channels=32)
    shape.features = FeatureConfig(kinds=["file"], hop=hop, look_ahead=0)
    prepared = prepare(data)
    config = describe(prepared, data, shape)
    known, sides = Annotations(prepared, config), split(prepared, data)
    model = WaveNet(config)
    learn(model, Windows(prepared.codes, sides.train, 512, model.receptive_field, known), 600)
    bits = {}
    for shift in (-1, 0, 1):
        codes = np.concatenate(
            [np.roll(prepared.codes[r.start : r.start + r.samples], shift) for r in prepared.recordings]
        )
        total, samples, _ = score(model, Windows(codes, sides.valid, 512, model.receptive_field, known))
        bits[shift] = total / samples
    assert bits[0] < 0.2
    assert min(bits[-1], bits[1]) > 1.5


def test_each_label_has_its_own_sound(tmp_path):
    """Three labels, each a tone of its own: what is generated under one has its tone, ten times over the others."""
    torch.manual_seed(0)
    rate, tones, amplitudes = 2000, {"low": 155.56, "middle": 196.0, "high": 233.08}, (0.6, 0.5, 0.4)
    for (name, hertz), amplitude in zip(tones.items(), amplitudes, strict=True):
        for take in range(4):
            sound = amplitude * np.sin(2 * np.pi * hertz * np.arange(2000) / rate + take)
            (tmp_path / name).mkdir(exist_ok=True)
            soundfile.write(tmp_path / name / f"{take}.wav", sound, rate)
    data = DataConfig(dir=str(tmp_path), sample_rate=rate, labels=["folder"], cache_dir=str(tmp_path / "cache"))
    prepared = prepare(data)
    config = describe(prepared, data, ModelConfig(2, 6, residual_channels=16, gate_channels=16, skip_channels=32))
    assert list(config.labels["folder"]) == sorted(tones)
    model = WaveNet(config)
    windows = Windows(
        prepared.codes, split(prepared, data).all, 1000, model.receptive_field, Annotations(prepared, config)
    )
    learn(model, windows, 600)
    companions = [Companion(row) for row in torch.eye(3)]
    engine = (
        CompiledEngine(exported(model, rate, "float32"), condition=projection(model))
        if native.code()
        else CachedEngine(model)
    )
    told = Conditions(model.conditioning, companions)
    chunks = [c for c, _ in generate(engine, 3000, [0, 1, 2], Sampling(temperature=0.5), conditions=told)]
    sounds = MULAW.decode(torch.cat(chunks, dim=1)).numpy()[:, 1000:]
    powers = (
        np.abs(
            [
                [np.exp(-2j * np.pi * tones[n] * np.arange(2000) / rate) @ sound for n in sorted(tones)]
                for sound in sounds
            ]
        )
        ** 2
    )
    for row, power in enumerate(powers):
        assert power[row] > 10 * np.delete(power, row).max(), sorted(tones)[row]


@pytest.mark.parametrize("chunk", [1, 7, 8, 31])
def test_a_stack_that_remembers_gives_the_rows_of_one_that_does_not(chunk):
    for stack in model_of("context").conditioning.context:  # type: ignore[union-attr] (it has one)
        codes = after_silence(np.random.default_rng(0).integers(0, 256, 300, dtype=np.uint8))
        whole, memory = stack(codes, 0, 300), {}
        for start in range(0, 300, chunk):
            stop = min(start + chunk, 300)
            torch.testing.assert_close(stack(codes, start, stop, memory), whole[start:stop], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(stack(codes, 50, 90, memory), whole[50:90])  # going back is no harm
