"""Engines: the same codes for the same uniforms, whatever the configuration, the chunks and the neighbours."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavenet.audio import mulaw
from wavenet.audio.encodings import MULAW
from wavenet.config import ModelConfig
from wavenet.errors import ConfigError
from wavenet.generation import CachedEngine, NaiveEngine, State, generate, make_engine
from wavenet.generation.splitmix import uniforms
from wavenet.model.distributions import Sampling, Softmax
from wavenet.model.wavenet import WaveNet


def make(**config) -> WaveNet:
    torch.manual_seed(0)
    model = WaveNet(ModelConfig(**({"residual_channels": 8, "gate_channels": 6, "skip_channels": 12} | config))).eval()
    for parameter in model.parameters():  # biases of zero would hide mistakes with them
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def noise(streams: int, samples: int) -> torch.Tensor:
    return uniforms(list(range(streams)), 0, samples)


def engines(model: WaveNet) -> tuple[CachedEngine, NaiveEngine]:
    return CachedEngine(model), NaiveEngine(model)


def codes(streams: int, samples: int) -> torch.Tensor:
    return torch.randint(0, 256, (streams, samples), generator=torch.Generator().manual_seed(1))


@settings(max_examples=30)
@given(
    kernel=st.integers(1, 4),
    dilations=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    taps=st.integers(1, 3),
    kind=st.sampled_from(["embedding", "scalar"]),
    bias=st.booleans(),
    stacks=st.integers(1, 2),
    sampling=st.sampled_from(
        [
            Sampling(),
            Sampling(0.0),
            Sampling(0.7),
            Sampling(top_k=20),
            Sampling(1.2, top_p=0.8),
            Sampling(0.8, 100, 0.9),
        ]
    ),
    heard=st.integers(0, 60),
)
def test_cached_equals_naive(kernel, dilations, taps, kind, bias, stacks, sampling, heard):
    model = make(kernel_size=kernel, dilations=dilations, initial_filter=taps, input=kind, bias=bias, stacks=stacks)
    results = []
    for engine in (CachedEngine(model), NaiveEngine(model)):
        state = engine.start(codes(2, heard))
        results.append(engine.generate(state, noise(2, 45), sampling))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_next_probabilities_after_a_thousand_codes(bias):
    model = make(layers_per_stack=9, stacks=1, residual_channels=16, gate_channels=16, skip_channels=32, bias=bias)
    engine, naive = CachedEngine(model), NaiveEngine(model)
    state = engine.start(codes(1, 10))
    engine.score(state, codes(1, 1010)[:, 10:])
    expected = naive.start(codes(1, 1010)).logits
    torch.testing.assert_close(state.logits.softmax(-1), expected.softmax(-1), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"kernel_size": 3}, {"input": "scalar", "initial_filter": 2}])
def test_hearing_at_once_equals_hearing_one_by_one(changes):
    model = make(layers_per_stack=4, **changes)
    field = model.receptive_field
    for length in (0, 1, 2, 8, 9, field - 1, field, field + 1, 2 * field):
        engine = CachedEngine(model)
        given_at_once, one_by_one = engine.start(codes(2, length)), engine.start(codes(2, 0))
        engine.score(one_by_one, codes(2, length))
        torch.testing.assert_close(given_at_once.logits, one_by_one.logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("engine", [CachedEngine, NaiveEngine])
def test_scores_are_the_forwards(engine):
    model = make(layers_per_stack=4, kernel_size=3)
    field = model.receptive_field
    heard = codes(2, 50)
    row = torch.cat([torch.full((2, field), mulaw.ZERO), heard], dim=1)
    expected = Softmax().bits(model(row[:, :-1]), heard)
    running = engine(model)
    torch.testing.assert_close(running.score(running.start(codes(2, 0)), heard), expected, atol=1e-4, rtol=1e-4)


def test_streams_chunks_and_seeds_do_not_meet():
    engine = CachedEngine(make(layers_per_stack=4))

    def run(seeds, chunk=512):
        return torch.cat([made for made, _ in generate(engine, 100, seeds, chunk=chunk)], dim=1)

    together = run([3, 4, 5])
    assert torch.equal(together[1:2], run([4]))
    assert torch.equal(together, run([3, 4, 5], chunk=7))
    assert torch.equal(together, run([3, 4, 5], chunk=1))
    assert not torch.equal(together[0], together[1])
    assert run([1], chunk=3).shape == (1, 100)
    assert not list(generate(engine, 0, [1]))


@pytest.mark.parametrize("engine", [CachedEngine, NaiveEngine])
def test_a_stored_state_goes_on_as_if_nothing_happened(engine, tmp_path):
    running = engine(make(layers_per_stack=4, kernel_size=3))
    state = running.start(codes(3, 20))
    running.generate(state, noise(3, 30), Sampling())
    torch.save(state.state_dict(), tmp_path / "state")
    copy, some = state.clone(), state.select([2, 0])
    later = uniforms([0, 1, 2], 30, 40)
    expected, _ = running.generate(state, later, Sampling())
    restored = State.from_state_dict(torch.load(tmp_path / "state", weights_only=True))
    for other, rows in ((restored, [0, 1, 2]), (copy, [0, 1, 2]), (some, [2, 0])):
        assert torch.equal(running.generate(other, later[rows], Sampling())[0], expected[rows])


def test_memory_does_not_grow():
    engine = CachedEngine(make(layers_per_stack=5))
    state = engine.start(codes(1, 0))

    def size():
        return [[tensor.shape for tensor in ring] for ring in state.memory]

    before = size()
    engine.generate(state, noise(1, 200), Sampling())
    assert size() == before


def test_bfloat16_is_near():
    model = make(layers_per_stack=5)
    row = codes(2, 100)
    exact, rough = (
        engine.score(engine.start(codes(2, 0)), row).mean()
        for engine in (CachedEngine(model), CachedEngine(model, torch.bfloat16))
    )
    assert abs(exact - rough) < 0.02


def test_choosing_an_engine():
    model = make()
    assert (make_engine("cached", model).name, make_engine("naive", model).name) == ("cached", "naive")
    assert make_engine("auto", model, "bfloat16").precision == "bfloat16"
    with pytest.raises(ConfigError, match="engine is 'fast', but it must be one of auto, compiled, cached, naive"):
        make_engine("fast", model)
    with pytest.raises(ConfigError, match="precision is 'int3'"):
        make_engine("cached", model, "int3")


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("kind", ["embedding", "scalar"])
def test_many_turns_of_every_ring(kernel, kind):
    """300 samples: the longest ring of 16 or 32 inputs is overwritten nine times and more."""
    model = make(layers_per_stack=5, stacks=1, kernel_size=kernel, input=kind)
    first, second = (e.generate(e.start(codes(1, 5)), noise(1, 300), Sampling()) for e in engines(model))
    assert torch.equal(first[0], second[0])
    torch.testing.assert_close(first[1], second[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("length", [*range(4, 7), *range(15, 18), *range(21, 26)])
def test_contexts_around_a_dilation_and_around_the_receptive_field(length):
    model = make(dilations=[1, 5, 16], stacks=1)
    assert model.receptive_field == 23
    made = [e.generate(e.start(codes(2, length)), noise(2, 40), Sampling())[0] for e in engines(model)]
    assert torch.equal(*made)


@pytest.mark.parametrize("engine", [CachedEngine, NaiveEngine])
def test_nothing_heard_is_silence_heard(engine):
    """Recordings of different lengths are put side by side by silence in front, and go on as each would alone."""
    running = engine(make(layers_per_stack=4))
    row, lengths = codes(1, 40), (0, 3, 40)
    padded = torch.full((3, 40), mulaw.ZERO)
    for stream, length in zip(padded, lengths, strict=True):
        stream[40 - length :] = row[0, :length]
    together, _ = running.generate(running.start(padded), noise(3, 60), Sampling())
    for i, length in enumerate(lengths):
        alone, _ = running.generate(running.start(row[:, :length]), noise(3, 60)[i : i + 1], Sampling())
        assert torch.equal(alone[0], together[i])


@pytest.mark.parametrize("name", ["cached", "naive"])
@pytest.mark.parametrize("samples", [0, 1, 2])
def test_few_samples(name, samples):
    engine = make_engine(name, make(layers_per_stack=2))
    pieces = list(generate(engine, samples, [1, 2]))
    assert sum(made.shape[1] for made, _ in pieces) == samples
    assert all(made.shape == bits.shape and made.dtype == torch.uint8 for made, bits in pieces)
    state = engine.start(codes(2, 3))
    assert engine.generate(state, noise(2, 0), Sampling())[0].shape == (2, 0)
    assert engine.score(state, codes(2, 0)).shape == (2, 0)


def test_a_seed_repeats_and_a_prime_is_heard():
    engine, prime = CachedEngine(make(layers_per_stack=4)), codes(1, 50)[0].to(torch.uint8)

    def run(seeds, prime=None):
        return torch.cat([made for made, _ in generate(engine, 80, seeds, prime=prime)], dim=1)

    assert torch.equal(run([5]), run([5]))
    assert not torch.equal(run([5]), run([6]))
    assert not torch.equal(run([5], prime), run([5]))
    state = engine.start(codes(2, 0))
    engine.score(state, prime.expand(2, -1))
    by_hand, _ = engine.generate(state, uniforms([5, 6], 0, 80), Sampling())
    assert torch.equal(run([5, 6], prime), by_hand)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.0), Sampling(0.5, top_k=9), Sampling(top_p=0.5)])
def test_bits_are_the_models_own_however_a_code_is_drawn(sampling):
    engine = CachedEngine(make(layers_per_stack=4))
    made, bits = engine.generate(engine.start(codes(2, 9)), noise(2, 50), sampling)
    scored = engine.score(engine.start(codes(2, 9)), made)
    torch.testing.assert_close(bits, scored, atol=1e-5, rtol=1e-5)


def test_no_temperature_is_the_likeliest_code():
    engine = CachedEngine(make(layers_per_stack=4))
    sure, narrow = (
        engine.generate(engine.start(codes(1, 9)), noise(1, 50), sampling)[0]
        for sampling in (Sampling(0.0), Sampling(top_k=1))
    )
    state = engine.start(codes(1, 9))
    for code in sure[0].long():
        assert state.logits[0].argmax() == code
        engine.step(state, code[None])
    assert torch.equal(sure, narrow)


def test_an_engine_keeps_the_weights_it_was_made_from():
    model = make(layers_per_stack=3)
    for engine in engines(model):
        before = engine.start(codes(1, 20)).logits
        saved = {name: value.clone() for name, value in model.state_dict().items()}
        for parameter in model.parameters():
            parameter.data.zero_()
        assert torch.equal(engine.start(codes(1, 20)).logits, before)
        model.load_state_dict(saved)


@pytest.mark.parametrize("engine", [CachedEngine, NaiveEngine])
def test_one_stored_state_can_be_taken_up_twice(engine):
    running = engine(make(layers_per_stack=4))
    stored = running.start(codes(2, 20)).state_dict()
    once, twice = (running.generate(State.from_state_dict(stored), noise(2, 30), Sampling())[0] for _ in range(2))
    assert torch.equal(once, twice)


def test_a_chord_is_learned_and_played_on():
    """Half a second of three tones at 2 kHz, learned in 200 steps, played on from its first half."""
    rate, tones = 2000, (155.56, 196.00, 233.08)
    torch.manual_seed(0)
    narrow = {"residual_channels": 32, "gate_channels": 32, "skip_channels": 32, "head_channels": 32}
    model = WaveNet(ModelConfig(stacks=2, layers_per_stack=7, **narrow))
    time = torch.arange(rate // 2) / rate
    chord = mulaw.encode(sum(torch.sin(2 * math.pi * tone * time) for tone in tones) / 3).long()
    row = torch.cat([torch.full((model.receptive_field,), mulaw.ZERO), chord])[None]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    losses = []
    for _ in range(200):
        loss = Softmax().loss(model(row[:, :-1]), chord[None]) / len(chord)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(256), abs=0.2)
    assert losses[-1] < 0.05  # nats a sample: 1% of the start
    (played,) = (made for made, _ in generate(CachedEngine(model), 400, [0], prime=chord[:500]))
    power = torch.fft.rfft(MULAW.decode(played[0]).double()).abs().square()
    hertz = torch.fft.rfftfreq(400, 1 / rate)
    nearest = [int((hertz - tone).abs().argmin()) for tone in tones]
    assert power[nearest].sum() > 0.7 * power[hertz <= 500].sum()  # the chord itself: 0.8
