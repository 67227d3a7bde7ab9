"""Conditioning in int8, on every instruction set: against the network in float32, and against single steps."""

import os

import numpy as np
import pytest
import torch

from wavenet.config import ContextConfig, FeatureConfig, ModelConfig
from wavenet.generation import CompiledEngine, Conditions, Engine, calibration, exported, generate, projection
from wavenet.generation.conditions import LabelWeights
from wavenet.generation.player import Player
from wavenet.generation.splitmix import uniforms
from wavenet.model import native
from wavenet.model.conditioning import Companion
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.annotations import clamped

pytestmark = pytest.mark.skipif(native.code() is None, reason="the kernels are not built")
LABELS, HOP = {"speaker": ["june", "carlo"], "tag": ["slow", "loud"]}, 12
KINDS = {
    "labels": {"labels": LABELS},
    "features": {"features": FeatureConfig(["mel"], hop=HOP, window=32, mels=5)},
    "held features": {"features": FeatureConfig(["mel"], hop=HOP, window=32, mels=5, hold=6)},
    "context": {"context": ContextConfig(pools=[8], layers=2, channels=4)},
    "all": {"labels": LABELS, "features": FeatureConfig(["mel"], hop=HOP, window=32, mels=5)},
}
STREAMS = 3
SHAPE = {"residual_channels": 24, "gate_channels": 20, "skip_channels": 32, "head_channels": 32}


@pytest.fixture(scope="module", params=KINDS)
def told(request):
    """A network, int8's file of it, and what each stream is told."""
    torch.manual_seed(0)
    model = WaveNet(ModelConfig(2, 4, condition_channels=10, **SHAPE, **KINDS[request.param]))
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    assert model.eval().conditioning is not None
    random = np.random.default_rng(0)
    companions = []
    for s in range(STREAMS):
        labels = torch.zeros(len(model.conditioning.names))
        labels[s % 2 : s % 2 + 1] = 1
        frames = clamped(random.standard_normal((60, model.config.features.channels)).astype(np.float32))
        companions.append(Companion(labels, frames, samples=60 * HOP if model.config.features.kinds else 0))
    scales = calibration.measured(model, companions)
    return model, exported(model, 16000, "int8", scales=scales), companions


def engine_of(told, instruction_set="auto", threads=1, packed=None) -> CompiledEngine:
    model, int8, _ = told
    return CompiledEngine(packed or int8, instruction_set, threads, projection(model))


def made(engine, told, companions, samples=200, prime=None, guidance=1.0, seeds=None):
    conditions = Conditions(told[0].conditioning, companions, guided=guidance != 1)
    seeds = list(range(len(companions))) if seeds is None else seeds
    pieces = generate(engine, samples, seeds, Sampling(guidance=guidance), prime, 64, conditions)
    codes, bits = zip(*pieces, strict=True)
    return torch.cat(codes, dim=1), torch.cat(bits, dim=1)


@pytest.mark.parametrize("instruction_set", native.instruction_sets())
def test_int8_is_near_the_network_itself(told, instruction_set):
    model, _, companions = told
    exact = engine_of(told, instruction_set, packed=exported(model, 16000, "float32"))
    int8, codes = engine_of(told, instruction_set), torch.randint(256, (STREAMS, 150))
    found = {}
    for engine in (exact, int8):
        conditions = Conditions(model.conditioning, companions)
        state, bits = engine.start(torch.empty(STREAMS, 0), conditions.begin(torch.empty(0, dtype=torch.int64))), []
        for start in range(0, 150, 25):  # as a context stack that pools 8 knows its rows
            part = codes[:, start : start + 25]
            bits.append(engine.score(state, part, conditions.next(25)))
            conditions.hear(part)
        found[engine.precision] = torch.cat(bits, dim=1)
    off = found["int8"] - found["float32"]
    assert off.abs().mean() < 0.05
    assert abs(off.mean()) < 0.01
    assert found["float32"].std() > 0.1


@pytest.mark.parametrize("instruction_set", native.instruction_sets())
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_many_samples_are_as_many_single_steps(told, instruction_set, guidance, monkeypatch):
    """`Engine.generate`, the plain twin, draws in torch and calls `step` for each sample."""
    model, _, companions = told
    if guidance != 1 and not model.config.labels:
        pytest.skip("guidance follows labels")
    engine, prime = (
        engine_of(told, instruction_set),
        torch.randint(256, (40,)) if not model.config.features.kinds else None,
    )
    codes, bits = made(engine, told, companions, prime=prime, guidance=guidance)
    monkeypatch.setattr(CompiledEngine, "generate", Engine.generate)
    plain, plain_bits = made(engine, told, companions, prime=prime, guidance=guidance)
    assert torch.equal(codes, plain)
    torch.testing.assert_close(bits, plain_bits, atol=1e-3, rtol=0)
    assert codes.unique().numel() > 10


@pytest.mark.parametrize("instruction_set", native.instruction_sets())
def test_streams_with_rows_of_their_own_equal_singles(told, instruction_set):
    _, _, companions = told
    engine = engine_of(told, instruction_set)
    codes, bits = made(engine, told, companions)
    for s, companion in enumerate(companions):
        one, one_bits = made(engine, told, [companion], seeds=[s])
        assert torch.equal(one[0], codes[s])
        assert torch.equal(one_bits[0], bits[s])


def test_two_threads_make_the_same_samples(told):
    _, _, companions = told
    for few in (companions, companions[:1]):
        one, two = (made(engine_of(told, threads=threads), told, few)[0] for threads in (1, 2))
        assert torch.equal(one, two)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a process to one core")
def test_two_threads_on_one_core_make_the_same_samples(told):
    _, _, companions = told
    expected, cores = made(engine_of(told), told, companions[:1])[0], os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert torch.equal(made(engine_of(told, threads=2), told, companions[:1])[0], expected)
    finally:
        os.sched_setaffinity(0, cores)


def test_streams_that_are_told_the_same_compute_its_rows_once(told, monkeypatch):
    model, _, companions = told
    count, forward = [0], type(model.conditioning).forward

    def counted(*arguments):
        count[0] += 1
        return forward(*arguments)

    engine, same = engine_of(told), [companions[0]] * 4
    expected = [made(engine, told, [companions[0]], seeds=[seed])[0] for seed in range(4)]
    monkeypatch.setattr(type(model.conditioning), "forward", counted)
    found, _ = made(engine, told, same)
    assert torch.equal(found, torch.cat(expected))
    several = len(model.conditioning.context) > 0
    once, count[0] = count[0], 0
    made(engine, told, companions[:1])
    assert once == count[0] * (4 if several else 1)


def test_rows_are_computed_on_one_thread_and_torch_keeps_its_own(told, monkeypatch):
    model, _, companions = told
    threads, forward, before = set(), type(model.conditioning).forward, torch.get_num_threads()

    def watched(*arguments):
        threads.add(torch.get_num_threads())
        return forward(*arguments)

    monkeypatch.setattr(type(model.conditioning), "forward", watched)
    try:
        torch.set_num_threads(2)
        made(engine_of(told), told, companions)
        assert (threads, torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("instruction_set", native.instruction_sets())
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_an_exported_file_plays_its_labels_in_int8_as_the_engine_does(instruction_set, guidance):
    torch.manual_seed(1)
    model = WaveNet(ModelConfig(2, 4, labels=LABELS, condition_channels=10, **SHAPE)).eval()
    packed, weights = exported(model, 16000, "int8", steerable=True), torch.tensor([0.6, 0.4, 0.0, -1.0])
    engine, sampling = CompiledEngine(packed, instruction_set, 1), Sampling(guidance=guidance)
    conditions = Conditions(LabelWeights(engine.distribution.encoding), [Companion(weights)] * 2, guided=guidance != 1)
    state = engine.start(torch.empty(len(conditions.companions), 0), conditions.begin(torch.empty(0)))
    expected, _ = Engine.generate(engine, state, uniforms([5, 6], 0, 300), sampling, conditions.next(300))
    player = Player(packed, instruction_set, 1)
    found = np.concatenate([codes for codes, _ in player.play(300, [5, 6], sampling, weights=weights.numpy())], axis=1)
    assert np.array_equal(found, expected.numpy())
