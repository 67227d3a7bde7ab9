"""The optimizers and the schedule: our Muon is torch's, every weight is held once, the rate follows a known curve."""

import itertools

import pytest
import torch

from wavenet.config import OptimConfig
from wavenet.model import WaveNet
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
