"""The compiled passes of a training step against the plain model, on every instruction set that runs here."""

import pytest
import torch

from wavenet.config import ModelConfig
from wavenet.model import distributions, native
from wavenet.model import fused as stack
from wavenet.model.distributions import Softmax
from wavenet.model.wavenet import WaveNet

SHAPES = {
    "base's widths": {},
    "odd widths, three taps": {"residual_channels": 13, "gate_channels": 7, "kernel_size": 3},
    "one tap": {"residual_channels": 5, "gate_channels": 9, "kernel_size": 1},
    "no biases": {"residual_channels": 16, "gate_channels": 24, "bias": False},
    "scalar input": {"input": "scalar", "initial_filter": 3},
    "one layer": {"layers_per_stack": 1},
}


@pytest.fixture(params=native.instruction_sets())
def instruction_set(request, monkeypatch):
    monkeypatch.setenv(native.ENVIRONMENT, request.param)
    native.code.cache_clear()
    yield request.param
    monkeypatch.undo()
    native.code.cache_clear()


def gradients(model, codes, fused, bfloat16=False):
    """The skip sum, the loss, and every parameter's gradient."""
    run = stack.run if fused else WaveNet.plain_stack
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        steps = codes.shape[1] - model.receptive_field
        summed = run(model.blocks, model.skip, model.initial(codes[:, :-1]), steps)
        logits = model.predict(summed.relu())
    loss = Softmax().reference_loss(logits, codes[:, model.receptive_field :])
    loss.backward()
    return summed.detach(), loss.item(), [parameter.grad.clone() for parameter in model.parameters()]


def make(batch=2, scored=50, **settings):
    torch.manual_seed(0)
    model = WaveNet(ModelConfig(**{"stacks": 1, "layers_per_stack": 4, **settings}))
    return model, torch.randint(0, 256, (batch, model.receptive_field + scored))


def test_kernels_are_built():
    assert native.instruction_sets()[-1:] == ["portable"], native.missing


@pytest.mark.parametrize("settings", SHAPES.values(), ids=SHAPES)
def test_equals_plain_model_in_float32(instruction_set, settings):
    model, codes = make(**settings)
    plain, fused = (gradients(model, codes, fused) for fused in (False, True))
    torch.testing.assert_close(fused[0], plain[0], rtol=0, atol=2e-6)
    assert fused[1] == pytest.approx(plain[1], rel=1e-6)
    for ours, theirs in zip(fused[2], plain[2], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * theirs.abs().max().item())


def test_is_no_further_from_float32_than_the_plain_model_in_bfloat16(instruction_set):
    model, codes = make(batch=3, scored=200)
    truth = gradients(model, codes, fused=False)
    plain, fused = (gradients(model, codes, fused, bfloat16=True) for fused in (False, True))
    errors = [
        [((ours - true).norm() / true.norm()).item() for ours, true in zip(found[2], truth[2], strict=True)]
        for found in (plain, fused)
    ]
    assert sum(errors[1]) < 1.1 * sum(errors[0])
    assert max(errors[1]) < 0.2


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_share_the_rows(threads):
    model, codes = make(scored=3)
    before = torch.get_num_threads()
    one = gradients(model, codes, fused=False)
    try:
        torch.set_num_threads(threads)
        several = gradients(model, codes, fused=True)
    finally:
        torch.set_num_threads(before)
    for ours, theirs in zip(several[2], one[2], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * theirs.abs().max().item())


def test_the_model_uses_it():
    model, codes = make()
    stacks = {type(node[0]).__name__ for node in ancestors(model(codes).grad_fn)}
    assert "_StackBackward" in stacks


def ancestors(node):
    seen, waiting = set(), [(node, 0)]
    while waiting:
        entry = waiting.pop()
        if entry[0] is not None and entry not in seen:
            seen.add(entry)
            waiting += entry[0].next_functions
    return seen


def test_other_types_take_the_plain_way():
    model, codes = make()
    assert not stack.supports(model.double().initial(codes))
    assert model(codes).dtype == torch.float64


def test_second_gradient_is_refused():
    model, codes = make()
    logits = model(codes).sum()
    logits.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        logits.backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_equals_reference(instruction_set, dtype):
    torch.manual_seed(0)
    logits = (torch.randn(3, 70, 256) * 4).to(dtype)
    targets = torch.randint(0, 256, (3, 70))
    targets[1, :20] = distributions.IGNORED
    found = []
    for loss in (Softmax().loss, Softmax().reference_loss):
        leaf = logits.clone().requires_grad_()
        value = loss(leaf, targets)
        value.backward()
        found.append((value.item(), leaf.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    tolerance = 1e-6 if dtype == torch.float32 else 2**-7  # a unit in a bfloat16's last place
    torch.testing.assert_close(found[0][1], found[1][1], rtol=tolerance, atol=1e-7)


def test_without_kernels_the_loss_is_the_same(monkeypatch):
    logits = torch.randn(2, 40, 256, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(0, 256, (2, 40))
    compiled = Softmax().loss(logits, targets)
    monkeypatch.setattr(native, "passes", lambda like: None)
    assert Softmax().loss(logits, targets).item() == pytest.approx(compiled.item(), rel=1e-6)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_finite_shows(instruction_set, value, dtype):
    logits = torch.zeros(1, 4, 256, dtype=dtype)
    logits[0, 2, 7] = value
    loss = Softmax().loss(logits, torch.full((1, 4), 7))
    assert not loss.isfinite()


@pytest.mark.parametrize("where", ["conv", "residual"])
def test_nan_weights_reach_the_loss(instruction_set, where):
    model, codes = make()
    with torch.no_grad():
        getattr(model.blocks[1], where).weight[0, 0] = float("nan")
    assert model(codes).isnan().any()


def test_unknown_instruction_set_is_named(monkeypatch):
    monkeypatch.setenv(native.ENVIRONMENT, "mmx")
    native.code.cache_clear()
    try:
        with pytest.raises(native.ConfigError, match="mmx"):
            native.code()
    finally:
        monkeypatch.undo()
        native.code.cache_clear()
