"""The optimizers and the schedule: our Muon is torch's, every weight is held once, the rate follows a known curve."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavenet.config import SCHEDULES, OptimConfig
from wavenet.model.wavenet import WaveNet
from wavenet.training.optimizers import Muon, make_optimizers
from wavenet.training.schedule import learning_rate_factor


def test_muon_equals_torchs():
    torch.manual_seed(0)
    shapes = [(16, 8), (16, 8), (8, 24), (8, 8)]
    ours, theirs = ([torch.nn.Parameter(torch.randn(s)) for s in shapes] for _ in range(2))
    for a, b in zip(ours, theirs, strict=True):
        a.data = b.data.clone()
    start = [p.detach().clone() for p in theirs]
    batched = Muon(ours, lr=0.05, momentum=0.9, weight_decay=0.1)
    reference = torch.optim.Muon(theirs, lr=0.05, momentum=0.9, weight_decay=0.1)
    for _ in range(5):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        batched.step()
        reference.step()
    for a, b, before in zip(ours, theirs, start, strict=True):
        moved = (b - before).norm()
        assert moved > 0.1
        assert (a - b).norm() < 0.03 * moved  # both compute in bfloat16


def test_a_convolution_is_a_matrix_to_muon():
    torch.manual_seed(2)
    kernel = torch.nn.Parameter(torch.randn(8, 6, 5))
    matrix = torch.nn.Parameter(kernel.detach().flatten(1).clone())
    both = [Muon([p], lr=0.05, momentum=0.9, weight_decay=0.1) for p in (kernel, matrix)]
    for _ in range(3):
        kernel.grad = torch.randn_like(kernel)
        matrix.grad = kernel.grad.flatten(1)
        for optimizer in both:
            optimizer.step()
    assert torch.equal(kernel.flatten(1), matrix)


def test_matrices_that_lie_side_by_side_are_each_their_own():
    torch.manual_seed(3)
    joined = torch.nn.Parameter(torch.randn(6, 20))
    apart = [torch.nn.Parameter(part.clone()) for part in joined.detach().chunk(5, dim=1)]
    settings = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1, "products": torch.float32}
    one = Muon([{"params": [joined], "side_by_side": 5}], **settings)
    several = Muon(apart, **settings)
    for _ in range(3):
        joined.grad = torch.randn_like(joined)
        for part, gradient in zip(apart, joined.grad.chunk(5, dim=1), strict=True):
            part.grad = gradient.clone()
        one.step()
        several.step()
    torch.testing.assert_close(joined.detach(), torch.cat([p.detach() for p in apart], dim=1))


@pytest.mark.parametrize("mixtures", [0, 3])
def test_every_layer_has_its_own_skip_matrix_to_muon_under_a_softmax(small, mixtures):
    small.mixtures = mixtures
    model = WaveNet(small)
    with torch.no_grad():
        model.skip.weight.zero_()
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    make_optimizers(model, OptimConfig(lr=1.0), torch.float32)[0].step()
    for part in model.skip.weight.detach().chunk(1 if mixtures else len(model.blocks), dim=1):
        values = torch.linalg.svdvals(part) / max(1, part.shape[0] / part.shape[1]) ** 0.5
        assert values.min() > 0.4
        assert values.max() < 1.3


@pytest.mark.parametrize("name", ["muon", "adamw"])
@pytest.mark.parametrize("bias", [True, False])
def test_every_weight_is_held_once(small, name, bias):
    small.bias = bias
    model = WaveNet(small)
    optimizers = make_optimizers(model, OptimConfig(name=name))
    held = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, held)) == sorted(id(p) for p in model.parameters())
    assert len(optimizers) == (2 if name == "muon" else 1)


@pytest.mark.parametrize(
    ("schedule", "middle", "end"), [("linear", 0.55, 0.1), ("cosine", 0.55, 0.1), ("constant", 1.0, 1.0)]
)
def test_the_schedule(schedule, middle, end):
    config = OptimConfig(schedule=schedule, warmup_steps=10, final_lr_ratio=0.1)
    factors = [learning_rate_factor(step, 1000, config) for step in range(1001)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == pytest.approx(1, abs=0.01)
    assert factors[500] == pytest.approx(middle)
    assert factors[1000] == pytest.approx(end)
    assert all(a >= b for a, b in itertools.pairwise(factors[9:]))
    assert learning_rate_factor(0, 10, OptimConfig(warmup_steps=0)) == 1


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.95, 0.0), (0.95, 0.5)])
def test_muon_equals_torchs_while_the_rate_moves(momentum, decay):
    torch.manual_seed(1)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in [(32, 8), (8, 32), (1, 5), (5, 1)]]
    theirs = copy.deepcopy(ours)
    before = [p.detach().clone() for p in ours]
    pair = Muon(ours, 0.05, momentum, decay), torch.optim.Muon(theirs, 0.05, decay, momentum)
    for lr in (0.01, 0.05, 0.0, 0.02):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a) * 10
            b.grad = a.grad.clone()
        for optimizer in pair:
            optimizer.param_groups[0]["lr"] = lr
            optimizer.step()
    for a, b, start in zip(ours, theirs, before, strict=True):
        assert (a - b).norm() < 0.03 * (b - start).norm()


@pytest.mark.parametrize("shape", [(12, 12), (40, 10), (10, 40)])
def test_a_step_of_muon_is_nearly_orthogonal(shape):
    """Singular values near 1, times lr * sqrt(max(1, rows / columns)), however small or large the gradient."""
    torch.manual_seed(0)
    gradient = torch.randn(shape)
    for scale in (1e-4, 1.0, 1e4):
        weight = torch.nn.Parameter(torch.zeros(shape))
        weight.grad = gradient * scale
        Muon([weight], 0.5, 0.9, 0.0).step()
        values = torch.linalg.svdvals(weight.detach()) / (0.5 * max(1, shape[0] / shape[1]) ** 0.5)
        assert values.min() > 0.4
        assert values.max() < 1.3


def test_muon_leaves_alone_what_has_no_gradient():
    still, moved = (torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    moved.grad = torch.eye(4)
    Muon([still, moved], 0.1, 0.9, 0.1).step()
    assert torch.equal(still, torch.ones(4, 4))
    assert not torch.equal(moved, torch.ones(4, 4))


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_a_stored_optimizer_goes_on_as_if_nothing_happened(small, name):
    def step(model, optimizers, seed):
        torch.manual_seed(seed)
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        for optimizer in optimizers:
            optimizer.step()

    torch.manual_seed(0)
    model = WaveNet(small)
    optimizers = make_optimizers(model, OptimConfig(name=name))
    step(model, optimizers, 1)
    other = copy.deepcopy(model)
    restored = make_optimizers(other, OptimConfig(name=name, lr=0.5))
    for fresh, old in zip(restored, optimizers, strict=True):
        fresh.load_state_dict(copy.deepcopy(old.state_dict()))
    step(model, optimizers, 2)
    step(other, restored, 2)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_muon_takes_the_inner_matrices_alone(small):
    model, config = WaveNet(small), OptimConfig(lr=0.02, adamw_lr=0.004)
    muon, adamw = make_optimizers(model, config)
    names = {id(p): name for name, p in model.named_parameters()}
    inner = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    outer = {names[id(p)] for p in adamw.param_groups[0]["params"]}
    assert {"blocks.0.conv.weight", "blocks.0.residual.weight", "skip.weight", "hidden.weight"} <= inner
    assert {"initial.weight", "output.weight", "output.bias", "blocks.0.conv.bias"} <= outer
    assert not any(name.endswith("bias") for name in inner)
    assert [group["peak_lr"] for optimizer in (muon, adamw) for group in optimizer.param_groups] == [0.02, 0.02, 0.004]


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_weight_decay_is_for_matrices(small, name):
    """Without a gradient, a step shrinks matrices by lr * weight_decay, and leaves biases as they are."""
    model = WaveNet(small)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for optimizer in make_optimizers(model, OptimConfig(name=name, lr=0.1, weight_decay=0.5)):
        optimizer.step()
    torch.testing.assert_close(model.hidden.weight.data, before["hidden.weight"] * 0.95)
    for key, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert torch.equal(parameter, before[key]), key


@settings(deadline=None, max_examples=50)
@given(
    schedule=st.sampled_from(SCHEDULES),
    warmup=st.integers(0, 200),
    ratio=st.floats(0, 1),
    steps=st.integers(1, 300),
)
def test_the_rate_is_never_negative_nor_above_its_peak(schedule, warmup, ratio, steps):
    config = OptimConfig(schedule=schedule, warmup_steps=warmup, final_lr_ratio=ratio)
    factors = [learning_rate_factor(step, steps, config) for step in range(steps + 20)]
    assert all(0 <= factor <= 1 + 1e-12 for factor in factors)
    assert all(factor > 0 for factor in factors[:steps])  # no step is wasted
    if warmup:
        assert factors[0] <= 1 / warmup + 1e-12
    if schedule != "constant" and warmup <= steps:
        assert factors[-1] == pytest.approx(ratio)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rate_at_its_corners(schedule):
    config = OptimConfig(schedule=schedule, warmup_steps=100, final_lr_ratio=0.0)
    factor = {step: learning_rate_factor(step, 10_000, config) for step in (0, 49, 99, 2500, 5000, 7500, 9999)}
    assert factor[0] == pytest.approx(0.01, rel=1e-3)
    assert factor[49] == pytest.approx(0.5, rel=0.01)
    assert factor[99] == pytest.approx(1, abs=0.01)
    expected = {"linear": (0.75, 0.5, 0.25, 0), "cosine": (0.8536, 0.5, 0.1464, 0), "constant": (1, 1, 1, 1)}[schedule]
    assert [factor[step] for step in (2500, 5000, 7500, 9999)] == pytest.approx(expected, abs=2e-4)


def test_momentum_that_fades_becomes_zero_and_products_stay_normal():
    """Otherwise the numbers end below 1e-38, where processors are slow, and stay there."""
    torch.manual_seed(0)
    weights = torch.nn.Parameter(torch.randn(8, 16))
    muon = Muon([weights], lr=0.01, momentum=0.9, weight_decay=0.0, products=torch.float32)
    for step in range(1000):
        weights.grad = torch.randn(8, 16)
        if step > 0:
            weights.grad[3] = 0  # this unit has stopped learning
        muon.step()
        momentum = muon.state[weights]["momentum"]
        assert not ((momentum != 0) & (momentum.abs() < 1e-30)).any()
    assert (momentum[3] == 0).all()
    assert (momentum[2] != 0).all()
    gram = torch.full((4, 4), 1e-20)
    gram[0, 0] = 1
    assert (muon._orthogonalise(gram[None])[0, 1:, 1:] == 0).all()
