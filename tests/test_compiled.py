"""The compiled engine against the oracle, on every instruction set that runs here, in every precision."""

import os
import platform
import re
import signal
import struct
import threading
import time
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavenet.config import ModelConfig
from wavenet.errors import CheckpointError, ConfigError
from wavenet.generation import CompiledEngine, NaiveEngine, State, calibration, export, exported, generate, make_engine
from wavenet.model import native
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet

SETS = native.instruction_sets()
PRECISIONS = ["float32", "bfloat16", "int8"]
BITS_OFF = {"float32": 2e-5, "bfloat16": 0.1, "int8": 0.3}
"""Most that one code's bits may differ from the oracle's, on networks of random weights."""


@pytest.fixture(autouse=True, scope="module")
def little_is_measured():
    """Scales from little sound, which random weights need no more than that for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "MADE", 256)
        patch.setattr(calibration, "SAMPLES", 128)
        yield


configs = st.builds(
    ModelConfig,
    stacks=st.integers(1, 2),
    dilations=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    kernel_size=st.integers(1, 3),
    residual_channels=st.integers(1, 40),
    gate_channels=st.integers(1, 40),
    skip_channels=st.integers(1, 40),
    head_channels=st.integers(1, 40),
    input=st.sampled_from(["embedding", "scalar"]),
    initial_filter=st.integers(1, 3),
    bias=st.booleans(),
)
samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.5, 1.0, 1.3]),
    top_k=st.sampled_from([0, 1, 7, 256]),
    top_p=st.sampled_from([0.3, 0.9, 1.0]),
)


def make(config=None, **settings):
    torch.manual_seed(0)
    model = WaveNet(config or ModelConfig(**{"stacks": 2, "layers_per_stack": 3, **settings}))
    with torch.no_grad():
        model.output.weight *= 8  # a distribution with likely codes, as a trained model's
    return model


def engine_for(model, precision="float32", instruction_set="auto", threads=1):
    return CompiledEngine(exported(model, 16000, precision), instruction_set, threads)


def uniform(streams, samples, seed=1):
    return torch.rand(streams, samples, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_is_built_and_is_the_default():
    assert "portable" in SETS
    engine = make_engine("auto", make())
    assert (engine.name, engine.precision) == ("compiled", "int8")


@pytest.mark.parametrize("instruction_set", SETS)
def test_auto_is_the_fastest_precision(instruction_set):
    model = make(layers_per_stack=8)
    engines = {precision: engine_for(model, precision, instruction_set) for precision in ("auto", *PRECISIONS)}
    seconds = dict.fromkeys(engines, float("inf"))
    for _ in range(20):  # in turn, since other programs may run beside
        for precision, engine in engines.items():
            state = engine.start(torch.zeros(1, 0, dtype=torch.long))
            started = time.perf_counter()
            engine.generate(state, uniform(1, 50), Sampling())
            seconds[precision] = min(seconds[precision], time.perf_counter() - started)
    assert 0.9 * seconds["auto"] <= min(seconds.values())


@pytest.mark.parametrize("instruction_set", SETS)
@given(config=configs, sampling=samplings, streams=st.integers(1, 5), heard=st.integers(0, 40))
def test_float32_makes_the_oracles_samples(instruction_set, config, sampling, streams, heard):
    model = make(config)
    context = torch.randint(0, 256, (streams, heard), generator=torch.Generator().manual_seed(heard))
    ours, oracle = engine_for(model, "float32", instruction_set), NaiveEngine(model)
    numbers = uniform(streams, 24)
    codes, bits = ours.generate(ours.start(context), numbers, sampling)
    expected, expected_bits = oracle.generate(oracle.start(context), numbers, sampling)
    assert torch.equal(codes, expected)
    torch.testing.assert_close(bits, expected_bits, rtol=0, atol=BITS_OFF["float32"])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("instruction_set", SETS)
@settings(max_examples=8)
@given(config=configs)
def test_scores_as_the_oracle_does(instruction_set, precision, config):
    model = make(config)
    codes = torch.randint(0, 256, (3, 60), generator=torch.Generator().manual_seed(2))
    ours, oracle = engine_for(model, precision, instruction_set), NaiveEngine(model)
    bits, expected = (engine.score(engine.start(torch.empty(3, 0)), codes) for engine in (ours, oracle))
    torch.testing.assert_close(bits, expected, rtol=0, atol=BITS_OFF[precision])
    assert abs(bits.mean() - expected.mean()) < BITS_OFF[precision] / 5


def test_int8_is_the_same_whole_number_arithmetic_everywhere():
    packed = exported(make(), 16000, "int8")
    codes = torch.randint(0, 256, (2, 200), generator=torch.Generator().manual_seed(2))
    scores = [engine.score(engine.start(codes[:, :9]), codes) for engine in (CompiledEngine(packed, s) for s in SETS)]
    for other in scores[1:]:
        torch.testing.assert_close(other, scores[0], rtol=0, atol=0.05)  # only the gate's approximations differ


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("heard", [0, 1, 2, 7, 8, 9, 15, 16, 17, 50])
def test_context_lengths(heard, precision):
    model = make(stacks=1, layers_per_stack=4)  # dilations up to 8, a receptive field of 16
    assert model.receptive_field == 16
    context = torch.randint(0, 256, (2, heard), generator=torch.Generator().manual_seed(heard))
    code = torch.full((2, 1), 7)
    ours, oracle = engine_for(model, precision), NaiveEngine(model)
    bits, expected = (engine.score(engine.start(context), code) for engine in (ours, oracle))
    torch.testing.assert_close(bits, expected, rtol=0, atol=BITS_OFF[precision])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_streams_equal_singles(precision, threads):
    engine = engine_for(make(), precision, threads=threads)
    numbers, context = uniform(15, 70), torch.randint(0, 256, (15, 5))
    codes, bits = engine.generate(engine.start(context), numbers, Sampling())
    for stream in range(15):
        alone = engine.generate(engine.start(context[stream, None]), numbers[stream, None], Sampling())
        assert torch.equal(alone[0][0], codes[stream])
        assert torch.equal(alone[1][0], bits[stream])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "settings",
    [{}, {"skip_channels": 300, "gate_channels": 70}, {"kernel_size": 1}, {"stacks": 1, "layers_per_stack": 1}],
)
def test_two_threads_make_one_streams_samples(precision, settings):
    model, numbers = make(**settings), uniform(1, 300)
    packed = exported(model, 16000, precision)
    alone, paired = (
        engine.generate(engine.start(torch.full((1, 9), 99)), numbers, Sampling())
        for engine in (CompiledEngine(packed, threads=threads) for threads in (1, 2))
    )
    assert torch.equal(alone[0], paired[0])
    assert torch.equal(alone[1], paired[1])


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system does not say which cores a thread may use"
)
def test_two_threads_with_one_core_make_the_same_samples_in_time():
    """They once waited for each other's core: 10,000 times as slow."""
    model, numbers = make(), uniform(1, 20000)
    packed, cores = exported(model, 16000, "int8"), os.sched_getaffinity(0)
    engines = [CompiledEngine(packed, threads=threads) for threads in (1, 2)]
    os.sched_setaffinity(0, {min(cores)})  # of this thread, and of those that it begins
    try:
        made, seconds = [], []
        for engine in engines:
            state, began = engine.start(torch.empty(1, 0)), time.perf_counter()
            made.append(engine.generate(state, numbers, Sampling()))
            seconds.append(time.perf_counter() - began)
    finally:
        os.sched_setaffinity(0, cores)
    assert torch.equal(made[0][0], made[1][0])
    assert torch.equal(made[0][1], made[1][1])
    assert seconds[1] < 10 * seconds[0] + 2


@pytest.mark.parametrize("chunk", [1, 2, 7, 127, 128, 129, 300])
def test_chunks_equal_the_whole(chunk):
    engine = engine_for(make(), "int8")
    whole, pieces = (
        torch.cat([codes for codes, _ in generate(engine, 300, [3, 4], chunk=size)], dim=1) for size in (300, chunk)
    )
    assert torch.equal(whole, pieces)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_stored_state_goes_on(tmp_path, precision):
    engine, numbers = engine_for(make(), precision), uniform(2, 100)
    whole, _ = engine.generate(engine.start(torch.empty(2, 0)), numbers, Sampling())
    state = engine.start(torch.empty(2, 0))
    engine.generate(state, numbers[:, :37], Sampling())
    torch.save(state.state_dict(), tmp_path / "state")
    engine.generate(state, numbers[:, :50], Sampling())  # the stored copy does not notice
    restored = State.from_state_dict(torch.load(tmp_path / "state", weights_only=True))
    codes, _ = engine.generate(restored, numbers[:, 37:], Sampling())
    assert torch.equal(codes, whole[:, 37:])


def test_one_stream_stops_early():
    engine, numbers = engine_for(make()), uniform(3, 60)
    whole, _ = engine.generate(engine.start(torch.empty(3, 0)), numbers, Sampling())
    state = engine.start(torch.empty(3, 0))
    engine.generate(state, numbers[:, :20], Sampling())
    rest, _ = engine.generate(state.select([0, 2]), numbers[[0, 2], 20:], Sampling())
    assert torch.equal(rest, whole[[0, 2], 20:])


def test_steps_equal_scores():
    engine, codes = engine_for(make(), "bfloat16"), torch.randint(0, 256, (2, 30))
    scored, stepped = engine.start(torch.empty(2, 0)), engine.start(torch.empty(2, 0))
    engine.score(scored, codes)
    for column in codes.unbind(dim=1):
        engine.step(stepped, column)
    assert torch.equal(scored.logits, stepped.logits)
    assert scored.position == stepped.position == 30


def test_a_state_of_another_engine_is_refused():
    state = engine_for(make()).start(torch.empty(2, 0))
    with pytest.raises(ValueError, match="not one of"):
        engine_for(make(), "int8").step(state, torch.zeros(2, dtype=torch.uint8))


@pytest.mark.parametrize(("streams", "threads"), [(1, 1), (1, 2), (24, 2)])
def test_ctrl_c_is_heard_at_once(streams, threads):
    engine = CompiledEngine(exported(WaveNet(ModelConfig()), 16000, "float32"), threads=threads)
    state, numbers = engine.start(torch.empty(streams, 0)), uniform(streams, 400_000)
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(0.3, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        engine.generate(state, numbers, Sampling())
    assert time.perf_counter() - sent[0] < 0.3  # shared machines are slow at times


def test_exported_file_says_what_it_is():
    engine = CompiledEngine(exported(make(), 22050, "bfloat16"))
    assert (engine.sample_rate, engine.precision) == (22050, "bfloat16")
    assert engine.receptive_field == make().receptive_field


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1], "checksum"),
        (lambda data: data[:11], "not an exported"),
        (lambda data: b"", "not an exported"),
        (lambda data: b"RIFF" + data[4:], "not an exported"),
        (lambda data: data[:8] + b"\x01" + data[9:], "version 1, and this program reads versions 2 to 3"),
        (lambda data: data[:500] + bytes([data[500] ^ 1]) + data[501:], "checksum"),
        (lambda data: data + b"\0", "checksum"),
    ],
)
def test_damaged_files_are_refused(change, words):
    with pytest.raises(CheckpointError, match=words):
        CompiledEngine(change(exported(make(), 16000, "float32")))


@pytest.mark.skipif(platform.machine() != "x86_64" or not SETS, reason="reads what Linux tells of x86 processors")
def test_the_processor_decides_on_the_instruction_sets():
    told = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    assert told is not None
    wide = {"avx512bw", "avx512vl", "avx512dq", "avx512_vnni"}  # without BF16 too: Cascade Lake, Ice Lake
    needed = {"avx512bf16": wide | {"avx512_bf16"}, "avx512": wide, "avxvnni": {"avx_vnni", "avx2", "fma"}}
    needed |= {"avx2": {"avx2", "fma"}, "portable": set()}
    has = set(told[1].split())
    assert [name for name, flags in needed.items() if flags <= has] == SETS
    for precision in export.PRECISIONS:
        assert engine_for(make(), precision).instruction_set == SETS[0]


@pytest.mark.parametrize("instruction_set", SETS)
def test_a_weight_that_products_in_16_bits_cannot_hold_is_refused(instruction_set):
    packed = bytearray(exported(make(), 16000, "int8"))
    packed[-12] = 0x80  # in the output matrix, before the number of labels and the checksum
    packed[-4:] = struct.pack("<I", zlib.crc32(packed[:-4]))
    with pytest.raises(CheckpointError, match=r"not in -127\.\.127"):
        CompiledEngine(bytes(packed), instruction_set)


def test_settings_that_there_are_not():
    with pytest.raises(ConfigError, match="mmx"):
        engine_for(make(), instruction_set="mmx")
    with pytest.raises(ConfigError, match="engine=compiled"):
        make_engine("cached", make(), "int8")
    with pytest.raises(ConfigError, match="int4"):
        export.pack(make(), 16000, "int4")


def test_without_kernels_the_reason_is_told(monkeypatch):
    monkeypatch.setattr(native, "_native", None)
    monkeypatch.setattr(native, "missing", "no compiler")
    native.code.cache_clear()
    try:
        assert make_engine("auto", make()).name == "cached"
        with pytest.raises(ConfigError, match="no compiler"):
            make_engine("compiled", make())
    finally:
        monkeypatch.undo()
        native.code.cache_clear()


@pytest.mark.parametrize("name", ["cached", "naive"])
def test_engines_in_torch_have_no_instruction_set(name):
    with pytest.raises(ConfigError, match=rf"instruction_set is 'avx2', which engine={name} does not have"):
        make_engine(name, WaveNet(ModelConfig(1, 2)), instruction_set="avx2")
