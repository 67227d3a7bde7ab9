"""Engines: the same codes for the same uniforms, whatever the configuration, the chunks and the neighbours."""

import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavenet import distributions, mulaw
from wavenet.config import ModelConfig
from wavenet.distributions import Sampling
from wavenet.errors import ConfigError
from wavenet.generation import CachedEngine, NaiveEngine, State, generate, make_engine, render
from wavenet.generation.splitmix import uniforms
from wavenet.generation.watch import Watch
from wavenet.model import WaveNet


def make(**config) -> WaveNet:
    torch.manual_seed(0)
    model = WaveNet(ModelConfig(**({"residual_channels": 8, "gate_channels": 6, "skip_channels": 12} | config))).eval()
    for parameter in model.parameters():  # biases of zero would hide mistakes with them
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def noise(streams: int, samples: int) -> torch.Tensor:
    return uniforms(list(range(streams)), 0, samples)


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
    expected = distributions.bits(model(row[:, :-1]), heard)
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
    assert (make_engine("auto", model).name, make_engine("naive", model).name) == ("cached", "naive")
    assert make_engine("auto", model, "bfloat16").precision == "bfloat16"
    with pytest.raises(ConfigError, match="engine is 'fast', but it must be one of auto, cached, naive"):
        make_engine("fast", model)
    with pytest.raises(ConfigError, match="precision is 'int3'"):
        make_engine("cached", model, "int3")


def test_uniforms_are_splitmix64():
    def mix(z):
        mask = 2**64 - 1
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    made = uniforms([0, 7], 3, 50)
    for row, seed in zip(made, (0, 7), strict=True):
        for i, value in enumerate(row.tolist()):
            word = mix((mix(seed) + (3 + i + 1) * 0x9E3779B97F4A7C15) % 2**64)
            assert value == (word >> 11) / 2**53
    assert torch.equal(uniforms([7], 10, 5), uniforms([7], 0, 15)[:, 10:])
    many = uniforms([1, 2], 0, 100_000)
    assert abs(many.mean() - 0.5) < 0.005
    assert abs(torch.corrcoef(many)[0, 1]) < 0.01


def test_rendering_writes_what_is_generated(tmp_path):
    engine = CachedEngine(make(layers_per_stack=4))
    heard = []
    paths = [tmp_path / "a.wav", tmp_path / "b.flac"]
    made = render(engine, 8000, paths, 1200, [1, 2], progress=heard.append)
    expected = torch.cat([codes for codes, _ in generate(engine, 1200, [1, 2])], dim=1)
    for path, stream in zip(paths, expected, strict=True):
        sound, rate = soundfile.read(path, dtype="float32")
        assert rate == 8000
        torch.testing.assert_close(torch.from_numpy(sound), mulaw.decode(stream), atol=1.6 / 32768, rtol=0)
    assert (made.samples, made.finished, heard[-1]) == (2400, True, 1200)
    assert 4 < made.bits_per_sample < 12


def test_ctrl_c_leaves_valid_files(tmp_path):
    def stop(done):
        if done >= 512:
            raise KeyboardInterrupt

    made = render(CachedEngine(make()), 8000, [tmp_path / "a.wav"], 10**9, [1], progress=stop)
    assert not made.finished
    assert soundfile.info(tmp_path / "a.wav").frames == made.samples == 512


@pytest.mark.parametrize(
    ("name", "stream", "bits"),
    [
        ("silent", torch.tensor([128, 129, 127, 130] * 2000), 1.0),
        ("stuck", torch.full((8000,), 200), 1.0),
        ("stuck", torch.tensor([10, 240] * 4000), 1.0),
        ("noise", codes(1, 8000)[0], 7.9),
        (None, mulaw.encode(0.5 * torch.sin(torch.arange(8000) * 0.1731)), 2.0),
    ],
)
def test_trouble_is_told_once(name, stream, bits):
    for size in (8000, 333):
        watch = Watch(8000)
        for piece in stream.to(torch.uint8).split(size):
            watch.hear(piece.numpy(), torch.full((len(piece),), bits).numpy())
        assert watch.warnings == ([f"{name} from 0.0 s on"] if name else [])
