"""16-bit sound: its codes, the mixture of logistics over them, and models that end in one, through every engine."""

import json
import math

import numpy as np
import pytest
import soundfile
import torch

from wavenet import load
from wavenet.audio import mulaw
from wavenet.audio.encodings import MULAW, SIXTEEN_BIT, compand, expand
from wavenet.config import DataConfig, ModelConfig
from wavenet.errors import ConfigError
from wavenet.generation import CachedEngine, CompiledEngine, NaiveEngine, calibration, exported, make_engine
from wavenet.model import native
from wavenet.model.distributions import IGNORED, Mixture, Sampling
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.preparation import prepare

CODES = torch.arange(65536)
FIVE = Mixture(5)


@pytest.fixture
def logits():
    """Sharp and wide components, inside and near both ends of the axis: (4, 15) float64."""
    torch.manual_seed(0)
    outputs = torch.randn(4, 15, dtype=torch.float64)
    outputs[:, 10:] -= torch.tensor([0.0, 1, 2, 4, 6])
    outputs[1, 5:10] += torch.tensor([-0.5, 0, 0.2, 0.4, 0.5])
    return outputs


def make(**settings):
    torch.manual_seed(0)
    shape = {"stacks": 1, "layers_per_stack": 4, "residual_channels": 20, "gate_channels": 12, "skip_channels": 24}
    model = WaveNet(ModelConfig(**{"mixtures": 4, "head_channels": 18, **shape, **settings}))
    with torch.no_grad():
        model.output.weight *= 8
    return model


def test_sixteen_bits_come_back_as_they_were(tmp_path):
    assert torch.equal(SIXTEEN_BIT.encode(SIXTEEN_BIT.decode(CODES)).long(), CODES)
    assert SIXTEEN_BIT.decode(torch.tensor([0, SIXTEEN_BIT.zero, 65535])).tolist() == [-1, 0, 32767 / 32768]
    assert SIXTEEN_BIT.encode(torch.tensor([-7.0, 7.0])).tolist() == [0, 65535]
    values = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", values, 16000, subtype="PCM_16")
    prepared = prepare(DataConfig(dir=str(tmp_path), cache_dir=str(tmp_path / "cache")), encoding=SIXTEEN_BIT)
    assert prepared.codes.dtype == np.uint16
    assert np.array_equal(prepared.codes[:].astype(int) - 32768, values)


def test_tables_of_encodings():
    assert torch.equal(MULAW.mulaw(torch.arange(256)), torch.arange(256))
    assert torch.equal(SIXTEEN_BIT.mulaw(CODES), mulaw.encode(SIXTEEN_BIT.decode(CODES)).long())
    assert len(SIXTEEN_BIT.mulaw(CODES).unique()) == 256
    codes = torch.arange(256)
    torch.testing.assert_close(MULAW.companded(codes), (codes.double() - 127.5) / 127.5, atol=1e-12, rtol=0)
    x = torch.linspace(-1, 1, 1001, dtype=torch.float64)
    torch.testing.assert_close(expand(compand(x)), x, atol=1e-15, rtol=1e-12)


def density(logits, y):
    """Of the mixture at companded amplitudes y (n,): (4, n)."""
    weights, means, log_scales = FIVE.parts(logits)
    z = (y[None, :, None] - means[:, None]) / log_scales.exp()[:, None]
    each = torch.exp(-z.abs()) / (log_scales.exp()[:, None] * (1 + torch.exp(-z.abs())) ** 2)
    return (each * weights.softmax(-1)[:, None]).sum(dim=-1)


def test_the_loss_is_the_integral_of_the_density(logits):
    nodes, shares = map(torch.from_numpy, np.polynomial.legendre.leggauss(20))
    for code in (1, 700, 16000, 32767, 32768, 32769, 40000, 65534):
        low, high = compand((torch.tensor([code, code + 1.0]).double() - 32768.5) / 32768)
        area = (density(logits, (low + high) / 2 + nodes * (high - low) / 2) * shares).sum(dim=1) * (high - low) / 2
        log_p = FIVE.log_p(logits, torch.full((4,), code))
        torch.testing.assert_close(log_p, area.log(), atol=1e-9, rtol=1e-9)
        assert FIVE.loss(logits, torch.full((4,), code)).item() == pytest.approx(-area.log().sum().item())
        single = FIVE.log_p(logits.float(), torch.full((4,), code))
        torch.testing.assert_close(single.double(), log_p, atol=2e-4, rtol=1e-4)


def test_probabilities_add_up_to_one(logits):
    log_p = FIVE.log_p(logits[:, None], CODES.expand(4, -1))
    torch.testing.assert_close(log_p.logsumexp(dim=1), torch.zeros(4).double(), atol=1e-9, rtol=0)
    by_mulaw = FIVE.log_p(logits[:, None], torch.arange(256).expand(4, -1), mulaw=True)
    torch.testing.assert_close(by_mulaw.logsumexp(dim=1), torch.zeros(4).double(), atol=1e-9, rtol=0)


def test_bits_are_those_of_all_codes_in_the_mulaw_bin(logits):
    p = FIVE.log_p(logits[:, None], CODES.expand(4, -1)).exp()
    bins = torch.zeros(4, 256, dtype=torch.float64).index_add(1, SIXTEEN_BIT.mulaw(CODES), p)
    codes = torch.tensor([[3, 32000, 32768, 65535]]).expand(4, -1)
    expected = -bins.gather(1, SIXTEEN_BIT.mulaw(codes)).log2()
    torch.testing.assert_close(FIVE.bits(logits[:, None], codes), expected, atol=1e-9, rtol=1e-9)
    nats = FIVE.mulaw_loss(logits[:, None].expand(-1, 4, -1), codes)
    assert nats.item() == pytest.approx(expected.sum().item() * math.log(2))


def test_extremes_are_finite_and_ignored_targets_have_no_part():
    outputs = torch.tensor([[90.0, -90, 0, -3, 3, 0, -90, 90, 0]] * 4, requires_grad=True)
    three = Mixture(3)
    targets = torch.tensor([0, 65535, IGNORED, 32768])
    total = three.loss(outputs, targets)
    total.backward()
    assert math.isfinite(total.item())
    assert outputs.grad.isfinite().all()
    assert not outputs.grad[2].any()
    singles = [three.loss(outputs[i : i + 1], targets[i : i + 1]).item() for i in (0, 1, 3)]
    assert total.item() == pytest.approx(sum(singles))


@pytest.mark.parametrize("row", range(4))
def test_what_is_drawn_has_the_likelihood_it_says(logits, row):
    """Kolmogorov-Smirnov at 1 %: the drawn codes against the cumulative sum of the codes' own probabilities."""
    n = 20_000
    uniforms = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(row))
    drawn = FIVE.sample(logits[row].expand(n, -1), uniforms, Sampling())
    cumulative = FIVE.log_p(logits[row].expand(65536, -1), CODES).exp().cumsum(0)
    share = drawn.bincount(minlength=65536).double().cumsum(0) / n
    assert (share - cumulative).abs().max() < 1.63 / math.sqrt(n)


def test_temperature_narrows_and_other_settings_are_refused(logits):
    uniforms = torch.rand(4, dtype=torch.float64)
    weights, means, _ = FIVE.parts(logits)
    likeliest = means.gather(1, weights.argmax(1, keepdim=True)).squeeze(1)
    assert torch.equal(
        FIVE.sample(logits, uniforms, Sampling(temperature=0)), SIXTEEN_BIT.encode(expand(likeliest)).long()
    )
    many = torch.rand(2000, dtype=torch.float64)
    spreads = [
        FIVE.sample(logits[:1].expand(2000, -1), many, Sampling(temperature=t)).double().std() for t in (0.1, 0.5, 1.0)
    ]
    assert spreads == sorted(spreads)
    model = make()
    engines = [CachedEngine(model)]
    engines += [CompiledEngine(exported(model, 16000, "float32"))] if native.code() else []
    for sampling in (Sampling(top_k=4), Sampling(top_p=0.5), Sampling(guidance=2)):
        for engine in engines:
            with pytest.raises(ConfigError, match="ends in a mixture"):
                engine.generate(engine.start(torch.empty(2, 0)), uniforms[None], sampling)
    for temperature in (1e-310, 1e-5):
        cold, coldest = (FIVE.sample(logits, uniforms, Sampling(t)) for t in (temperature, 0.0))
        assert (cold - coldest).abs().max() <= 1


@pytest.mark.parametrize("settings", [{}, {"initial_filter": 3}, {"initial_filter": 2, "input": "scalar"}])
def test_torchs_engines_agree(settings):
    model = make(**settings)
    uniforms = torch.rand(2, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    context = torch.randint(0, 65536, (2, 9), generator=torch.Generator().manual_seed(2))
    made = []
    for engine in (CachedEngine(model, torch.float64), NaiveEngine(model, torch.float64)):
        made.append(engine.generate(engine.start(context), uniforms, Sampling()))
    assert made[0][0].dtype == torch.int32
    # float32 logits come out of either: steps of a loud sound lie as near to each other as these are exact
    assert (made[0][0] - made[1][0]).abs().max() <= 1
    assert len(made[0][0].unique()) > 40
    row = torch.cat([torch.full((2, model.receptive_field), 32768), context, made[0][0]], dim=1)
    told = model(row[:, :-1])[:, -40:]
    torch.testing.assert_close(made[0][1], model.distribution.bits(told, made[0][0]), atol=1e-3, rtol=1e-3)


@pytest.mark.skipif(native.code() is None, reason="the kernels are not built")
@pytest.mark.parametrize("instruction_set", native.instruction_sets())
@pytest.mark.parametrize(("precision", "off"), [("float32", 1e-4), ("bfloat16", 0.3), ("int8", 3.0)])
@pytest.mark.parametrize(
    "settings", [{}, {"initial_filter": 3, "mixtures": 11}, {"bias": False, "mixtures": 1, "input": "scalar"}]
)
def test_the_compiled_engine_scores_as_the_oracle_does(monkeypatch, instruction_set, precision, off, settings):
    monkeypatch.setattr(calibration, "MADE", 512)
    model = make(**settings)
    with torch.no_grad():
        model.output.weight /= 4  # components as wide as a quiet sound's, which int8 can tell apart
    time = torch.arange(200) / 7
    sound = 0.4 * torch.sin(time) * torch.sin(time / 30) + 0.002 * torch.randn(3, 200)
    codes = SIXTEEN_BIT.encode(sound)
    ours, oracle = CompiledEngine(exported(model, 16000, precision), instruction_set), NaiveEngine(model)
    bits, expected = (engine.score(engine.start(codes[:, :30]), codes[:, 30:]) for engine in (ours, oracle))
    torch.testing.assert_close(bits, expected, rtol=0, atol=off)
    assert abs(bits.mean() - expected.mean()) < off / 5
    assert make_engine("compiled", model).precision == "bfloat16"


@pytest.mark.skipif(native.code() is None, reason="the kernels are not built")
def test_what_nobody_expects_has_its_many_bits_in_every_engine():
    model = make()
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.copy_(torch.tensor([0.0, -50, -50, -50] + [0.0] * 4 + [-9.0] * 4))
    codes = torch.tensor([[0, 20000, 33000, 65535]])
    engines = [
        NaiveEngine(model),
        *(CompiledEngine(exported(model, 16000, "float32"), s) for s in native.instruction_sets()),
    ]
    bits = [engine.score(engine.start(torch.empty(1, 0)), codes) for engine in engines]
    assert bits[0].max() > 2000
    for other in bits[1:]:
        torch.testing.assert_close(other, bits[0], rtol=1e-4, atol=1e-3)
    for code in (-1, 65536):
        with pytest.raises(ValueError, match="are not within 0"):
            engines[1].score(engines[1].start(torch.empty(1, 0)), torch.tensor([[code]]))


@pytest.mark.skipif(native.code() is None, reason="the kernels are not built")
@pytest.mark.parametrize("instruction_set", native.instruction_sets())
@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.0])
def test_the_compiled_engine_draws_by_the_same_rule(instruction_set, temperature):
    """From its own logits, sample by sample, and the bits it tells are those of what it drew."""
    model = make()
    engine, sampling = CompiledEngine(exported(model, 16000, "float32"), instruction_set), Sampling(temperature)
    state = engine.start(torch.empty(3, 0))
    for uniforms in torch.rand(60, 3, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3)):
        expected = model.distribution.sample(state.logits, uniforms[:, 0], sampling)
        before = state.logits.clone()
        codes, bits = engine.generate(state, uniforms, sampling)
        assert torch.equal(codes[:, 0].long(), expected)
        torch.testing.assert_close(bits[:, 0], model.distribution.bits(before, expected), atol=1e-4, rtol=1e-4)


def test_gradients_reach_every_weight():
    model = make()
    codes = torch.randint(0, 65536, (1, model.receptive_field + 50))
    model.distribution.loss(model(codes[:, :-1]), codes[:, model.receptive_field :]).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_bfloat16_keeps_the_outputs_exact():
    """Means are sums of bfloat16 products, but not rounded to 8 bits themselves."""
    model, codes = make(), torch.randint(0, 65536, (1, 400))
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(codes)
    assert outputs.dtype == torch.float32
    assert (outputs.bfloat16().float() != outputs).float().mean() > 0.9


def test_from_recordings_to_sounds(call, tmp_path):
    """A tone of small amplitude: learned, scored beside the baselines, and made with more than mu-law's steps."""
    time = np.arange(16000)
    for name, phase in (("a", 0.0), ("b", 1.0), ("c", 2.0)):
        tone = 0.3 * np.sin(time / 9 + phase) + 1e-3 * np.random.default_rng(0).standard_normal(16000)
        soundfile.write(tmp_path / f"{name}.wav", tone, 16000, subtype="PCM_16")
    shape = ["stacks=1", "layers_per_stack=5", "residual_channels=16", "gate_channels=16", "skip_channels=32"]
    settings = [f"model.{setting}" for setting in [*shape, "head_channels=32", "mixtures=3"]]
    run = ["steps=150", "crop=2048", "sample_every=0", "threads=2", "run.dir=run", "precision=float32"]
    status, _, error = call("train", f"data.dir={tmp_path}", *settings, *run, "optim.warmup_steps=10")
    assert status == 0, error
    assert load("run").model.distribution == Mixture(3)
    status, out, error = call("evaluate", "checkpoint=run", f"data.dir={tmp_path}", "split=valid", "report=e.json")
    assert status == 0, error
    assert "all 16 bits" in out
    report = json.loads((tmp_path / "e.json").read_text())
    assert report["bits_per_sample"] < report["unigram_bits"] - 1
    assert report["bits_per_16_bit_sample"] > report["bits_per_sample"]
    for engine in ("auto", "cached"):
        status, _, error = call("generate", "checkpoint=run", "seconds=0.2", f"engine={engine}", f"output={engine}.wav")
        assert status == 0, error
        sound, _ = soundfile.read(f"{engine}.wav", dtype="int16")
        assert len(np.unique(sound)) > 400
    status, _, error = call(
        "evaluate",
        "checkpoint=run",
        f"data.dir={tmp_path}",
        "engine=compiled",
        "precision=float32",
        "split=valid",
        "report=c.json",
    )
    assert status == 0, error
    stepped = json.loads((tmp_path / "c.json").read_text())["bits_per_sample"]
    assert stepped == pytest.approx(report["bits_per_sample"], abs=1e-3)
    status, out, error = call("train", "resume=run", "steps=152", "sample_every=0")
    assert status == 0, error
    assert "resuming at step 150" in out
    status, _, error = call("train", "resume=run", "steps=152", "model.mixtures=5")
    assert status == 1
    assert "model.mixtures is 3 there, 5 here" in error
    status, _, error = call("generate", "checkpoint=run", "seconds=0.1", "top_k=3")
    assert status == 1
    assert "supports only temperature" in error
    assert error.count("\n") == 1
