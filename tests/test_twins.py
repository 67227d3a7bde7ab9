"""Edited layers are seen by every path: a fast one stands in only for the code that it was written for."""

import copy

import numpy as np
import pytest
import soundfile
import torch
from torch import nn
from torch.nn import functional as F

from wavenet import load
from wavenet.config import ModelConfig
from wavenet.errors import ConfigError
from wavenet.generation import CachedEngine, NaiveEngine, exported, generate, make_engine
from wavenet.generation.export import fixed
from wavenet.model import checkpoint, native, twins
from wavenet.model.distributions import Softmax
from wavenet.model.layers import CausalConv1d, CausalEmbedding, ResidualBlock
from wavenet.model.wavenet import WaveNet

SMALL = {"residual_channels": 8, "gate_channels": 6, "skip_channels": 12, "head_channels": 10}
built = pytest.mark.skipif(native.code() is None, reason="the kernels are not built")


def make(**settings) -> WaveNet:
    torch.manual_seed(0)
    return WaveNet(ModelConfig(2, 3, **{**SMALL, **settings}))


def glu(self, x, rows=None):
    """A gated linear unit in place of the tanh."""
    h = self.conv(x)
    if self.condition is not None and rows is not None:
        h = h + self.condition(rows[:, -h.shape[1] :])
    z = F.glu(h, dim=-1)
    x = x[:, self.conv.context :]
    return (x if self.residual is None else x + self.residual(z)), z


ORIGINAL = ResidualBlock.forward


def dropped(self, x, rows=None):
    """The original, with dropout in training."""
    x, z = ORIGINAL(self, x, rows)
    return F.dropout(x, 0.1, self.training), z


def wider(self, x):
    """A convolution that also hears the mean of all that it is given."""
    return F.linear(self.taps(x) + x.mean(), self.weight, self.bias)


def doubled(self, x, rows=None):
    """The original, with twice as much for the skip sum."""
    x, z = ORIGINAL(self, x, rows)
    return x, 2 * z


def newest(self, x):
    """The newest input for every tap."""
    return x[:, self.context :].repeat(1, 1, self.kernel_size)


def rectified(self, x):
    return F.linear(self.taps(x), self.weight, self.bias).relu()


PLAIN_STACK = WaveNet.plain_stack


@staticmethod
def twice(*given):
    return 2 * PLAIN_STACK(*given)


EDITS = {
    "a GLU": (ResidualBlock, "forward", glu),
    "another skip": (ResidualBlock, "forward", doubled),
    "other taps": (CausalConv1d, "taps", newest),
    "another convolution": (CausalConv1d, "forward", rectified),
    "another skip sum": (WaveNet, "plain_stack", twice),
}


def losses(model: WaveNet, steps: int = 12) -> list[float]:
    codes = torch.randint(0, 256, (1, 300), generator=torch.Generator().manual_seed(0))
    optimizer, found = torch.optim.SGD(model.parameters(), 0.5), []
    for _ in range(steps):
        loss = Softmax().loss(model(codes[:, :-1]), codes[:, model.receptive_field :]) / 290
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@built
@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_layer_is_what_trains(monkeypatch, edit):
    before = losses(make())
    monkeypatch.setattr(*EDITS[edit])
    model = make()
    assert (model.fused, model.edited) == (False, True)
    after = losses(model)
    assert after != before
    assert after == losses(make(fused=False))


@built
def test_layers_as_they_are_run_fused_and_need_not():
    model, plain = make(), make(fused=False)
    assert (model.fused, plain.fused) == (True, False)
    assert (model.edited, plain.edited) == (False, False)
    assert losses(model) == pytest.approx(losses(plain), rel=1e-5)


@built
def test_a_layer_edited_while_the_program_runs_is_seen(monkeypatch):
    model = make()
    assert model.fused
    monkeypatch.setattr(ResidualBlock, "forward", glu)
    assert not model.fused
    monkeypatch.undo()
    assert model.fused
    model.blocks[1].forward = lambda x, rows=None: glu(model.blocks[1], x, rows)
    assert not model.fused


@built
def test_one_layer_of_another_kind_is_seen():
    class Gated(ResidualBlock):
        forward = glu

    model = make()
    model.blocks[2] = Gated(8, 6, 2, 4, last=False)
    assert not model.fused


@built
def test_what_runs_in_training_alone_is_seen(monkeypatch):
    monkeypatch.setattr(ResidualBlock, "forward", dropped)
    assert not make().eval().fused


@built
def test_what_does_nothing_yet_is_seen(monkeypatch):
    """A scale that begins at 1 changes no number before it has learned."""

    class Scaled(ResidualBlock):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x, rows=None):
            above, z = super().forward(x, rows)
            return above * self.scale, z

    model = make()
    model.blocks[0] = Scaled(8, 6, 2, 1, last=False)
    assert not model.fused


@built
def test_whoever_listens_to_a_layer_hears_it():
    model, heard = make(), []
    handle = model.blocks[1].conv.register_forward_hook(lambda *_: heard.append(1))
    model(torch.zeros(1, 60, dtype=torch.int64))
    assert heard == [1]
    handle.remove()
    assert model.fused


@built
def test_finding_out_happens_once_and_disturbs_nothing(monkeypatch):
    asked = []
    monkeypatch.setattr(twins, "_known", {})
    monkeypatch.setattr(twins, "twin", lambda model, twin=twins.twin: asked.append(1) or twin(model))
    codes = torch.zeros(1, 60, dtype=torch.int64)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16):
        for model in (make(), make(), copy.deepcopy(make())):
            torch.manual_seed(5)
            for _ in range(3):
                model(codes)
            assert model.training
            assert torch.equal(torch.rand(3), expected)
    assert asked == [1]


def test_without_kernels_nothing_counts_as_edited(monkeypatch):
    monkeypatch.setattr(native, "_native", None)
    native.code.cache_clear()
    try:
        assert not make().edited
    finally:
        monkeypatch.undo()
        native.code.cache_clear()


@pytest.mark.parametrize("settings", [{}, {"kernel_size": 3}, {"labels": {"who": ["a", "b"]}}, {"mixtures": 2}])
def test_cached_generation_runs_edited_layers(monkeypatch, settings):
    assert not CachedEngine(make(**settings)).blockwise
    before = CachedEngine(make(**settings))
    monkeypatch.setattr(ResidualBlock, "forward", glu)
    model = make(**settings).eval()
    cached, naive = CachedEngine(model), NaiveEngine(model)
    assert cached.blockwise
    codes = torch.randint(0, 256, (2, 40), generator=torch.Generator().manual_seed(0))
    rows = torch.randn(2, 41, 64) if settings.get("labels") else None
    scores = []
    for engine in (cached, naive, before):
        state = engine.start(codes[:, :9], None if rows is None else rows[:, :10])
        scores.append(engine.score(state, codes[:, 9:], None if rows is None else rows[:, 10:]))
    torch.testing.assert_close(scores[0], scores[1], atol=1e-4, rtol=1e-4)
    assert (scores[1] - scores[2]).abs().max() > 1e-3


def gelu_head(self, activations):
    return self.output(F.gelu(self.hidden(activations)))


@built
@pytest.mark.parametrize(
    ("owner", "name", "code"),
    [
        *EDITS.values(),
        (WaveNet, "predict", gelu_head),
        (CausalEmbedding, "forward", lambda self, codes: F.embedding(codes, self.weight[0]).tanh()),
    ],
    ids=[*EDITS, "another head", "another embedding"],
)
def test_the_compiled_engine_refuses_what_it_does_not_know(monkeypatch, owner, name, code):
    monkeypatch.setattr(owner, name, code)
    with pytest.raises(ConfigError, match="was a layer edited"):
        make_engine("compiled", make())
    with pytest.raises(ConfigError, match="was a layer edited"):
        exported(make(), 16000, "float32")
    model = make()
    if name != "plain_stack":  # which the cached engine does not use, and says so
        engine = make_engine("auto", model)
        assert engine.name == "cached"
        made, expected = (next(iter(generate(e, 30, [1])))[0] for e in (engine, NaiveEngine(model)))
        assert torch.equal(made, expected)
    else:
        assert make_engine("auto", model).name == "naive"


def test_what_no_fast_engine_runs_the_naive_one_does(monkeypatch):
    monkeypatch.setattr(CausalConv1d, "forward", wider)
    with pytest.raises(ConfigError, match="use engine=naive"):
        make_engine("cached", make())
    assert make_engine("auto", make()).name == "naive"


@built
def test_a_model_whose_labels_are_settled_is_refused_too(monkeypatch):
    monkeypatch.setattr(ResidualBlock, "forward", glu)
    model = make(labels={"who": ["a", "b"]})
    with pytest.raises(ConfigError, match="was a layer edited"):
        exported(fixed(model, torch.tensor([1.0, 0.0]), ["who"]), 16000, "int8")


def test_a_setting_of_how_a_model_runs_is_not_kept_with_it(tmp_path):
    checkpoint.save(tmp_path / "x.safetensors", make(fused=False), 16000, 1, None)
    loaded = load(tmp_path / "x.safetensors")
    assert b"fused" not in (tmp_path / "x.safetensors").read_bytes()
    assert loaded.model.config.fused
    assert ModelConfig.from_dict(ModelConfig(fused=False).shape()) == ModelConfig()


# ---- which engine is chosen for a model that is not on the CPU


SETTINGS = [*(f"model.{name}={value}" for name, value in SMALL.items()), "model.layers_per_stack=3", "crop=500"]


@built
def test_the_commands_say_that_a_layer_was_edited(call, monkeypatch, tmp_path):
    soundfile.write(tmp_path / "a.wav", 0.3 * np.sin(np.arange(8000) / 5), 16000)
    train = [
        "train",
        f"data.dir={tmp_path}",
        *SETTINGS,
        "steps=2",
        "sample_every=2",
        "sample_seconds=0.01",
        "threads=1",
    ]
    words = "(was a layer edited?)"
    status, out, err = call(*train, "run.dir=plain")
    assert (status, words in out) == (0, False), err
    status, out, err = call(*train, "run.dir=slow", "model.fused=false")
    assert (status, words in out) == (0, False), err
    status, out, err = call("train", f"data.dir={tmp_path}", *SETTINGS, "resume=slow", "run.dir=slow", "steps=3")
    assert status == 0, err

    monkeypatch.setattr(ResidualBlock, "forward", glu)
    status, out, err = call(*train, "run.dir=edited")
    assert (status, out.count(words)) == (0, 1), err
    status, out, err = call("generate", "checkpoint=edited", "seconds=0.01", "output=made")
    assert (status, out.count(words)) == (0, 1), err
    assert "engine cached" in out
    for command in (["generate", "engine=compiled"], ["export"]):
        status, out, err = call(*command, "checkpoint=edited")
        assert (status, err.count("\n"), err.count(words)) == (1, 1, 1)
