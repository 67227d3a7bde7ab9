"""What learns: its loss is the mean over all that a step hears, its weights the seed's, its average young at first."""

import math

import pytest
import torch
from test_dataset import prepared

from wavenet.config import DataConfig, OptimConfig, RecognitionConfig, TrainConfig
from wavenet.errors import CheckpointError
from wavenet.recordings.split import whole
from wavenet.recordings.windows import Batch, FrameClasses, Windows
from wavenet.training import state
from wavenet.training.learner import Learner
from wavenet.training.processes import Processes

ALONE = Processes()


@pytest.fixture
def learner(small):
    def make(**changes) -> Learner:
        data = DataConfig(sample_rate=4000)
        return Learner(ALONE, TrainConfig(data=data, model=small, precision="float32", **changes), None)

    return make


@pytest.fixture
def batches(small):
    """Of one item each, 300 and 40 scored samples long."""
    data = prepared({"a.wav": 300, "b.wav": 40})
    windows = Windows(data.codes, whole(data), 300, small.stacks * (2**small.layers_per_stack - 1) + 1)
    return [windows.batch([index]) for index in range(len(windows))]


def gradient(learner: Learner) -> torch.Tensor:
    return torch.cat(
        [parameter.grad.flatten() for parameter in learner.model.parameters() if parameter.grad is not None]
    )


def test_accumulated_batches_are_one_mean_over_their_samples(learner, batches):
    """Not the mean of their means: they are of very unlike lengths."""
    whole_step, *parts = learner(), learner(), learner()
    loss, _ = whole_step.gradients(batches)
    found = [part.gradients([batch])[0] for part, batch in zip(parts, batches, strict=True)]
    samples = [one.samples for one in found]
    assert samples == [300, 40]
    assert loss.samples == 340
    assert loss.bits == pytest.approx(sum(one.bits * n for one, n in zip(found, samples, strict=True)) / 340, abs=1e-5)
    expected = sum(gradient(part) * n for part, n in zip(parts, samples, strict=True)) / 340
    torch.testing.assert_close(gradient(whole_step), expected, rtol=1e-4, atol=1e-6)


def test_frames_weigh_by_their_number_and_weight(small, learner, batches):
    small.recognition = RecognitionConfig(hop=20, layers=1, channels=4, kernel_size=3, classes=["a", "b"], weight=1e-9)
    (batch, _), classes = batches, torch.tensor([0, 1, 0])
    told = Batch(batch.codes, batch.targets, batch.pieces, [[FrameClasses(0, 60, classes)]])
    without = learner(optim=OptimConfig(clip_norm=0))
    plain, _ = without.gradients([told])
    small.recognition.weight = 2.0
    weighed = learner(optim=OptimConfig(clip_norm=0))
    loss, _ = weighed.gradients([told])
    assert loss.bits == plain.bits, "what is shown is of the samples alone"
    activations = weighed.model.activations(batch.codes[:, :-1])
    frames = torch.nn.functional.cross_entropy(weighed.model.recognition(activations[0, :60]), classes)
    names = [name for name, _ in weighed.model.named_parameters()]
    extra = torch.autograd.grad(2 * frames, list(weighed.model.parameters()), allow_unused=True)
    for name, more, one, other in zip(
        names, extra, weighed.model.parameters(), without.model.parameters(), strict=True
    ):
        if more is not None:
            torch.testing.assert_close(one.grad - other.grad, more, rtol=1e-3, atol=1e-5, msg=name)


def test_the_gradient_is_clipped_and_its_norm_told(learner, batches):
    free, clipped = learner(optim=OptimConfig(clip_norm=0)), learner(optim=OptimConfig(clip_norm=0.01))
    (_, norm), (_, same) = free.gradients(batches), clipped.gradients(batches)
    assert norm == same == pytest.approx(float(gradient(free).norm()), rel=1e-5)
    assert float(gradient(clipped).norm()) == pytest.approx(0.01, rel=1e-3)


def test_the_seed_alone_decides_the_first_weights(learner):
    before = torch.get_rng_state()
    one, same, other = learner(seed=1), learner(seed=1), learner(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    weights = [each.model.skip.weight for each in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_young_average_is_the_mean_of_all_weights_so_far(learner, batches):
    config = OptimConfig(ema_decay=0.9, warmup_steps=0)
    young, none = learner(optim=config), learner(optim=OptimConfig(ema_decay=0, warmup_steps=0))
    seen = [young.model.skip.weight.detach().clone()]
    for step in range(3):
        for each in (young, none):
            each.gradients(batches)
            each.update(step, 10)
        seen.append(young.model.skip.weight.detach().clone())
    torch.testing.assert_close(young.averaged.skip.weight, torch.stack(seen).mean(dim=0))
    assert torch.equal(none.averaged.skip.weight, none.model.skip.weight)
    for step in range(3, 11):
        before = young.averaged.skip.weight.clone()
        young.gradients(batches)
        young.update(step, 10)
    torch.testing.assert_close(young.averaged.skip.weight, before + 0.1 * (young.model.skip.weight - before))


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_a_state_that_is_restored_goes_on_bit_for_bit(learner, batches, name):
    optim = OptimConfig(name=name, warmup_steps=2, lr=0.01)
    whole, first, second = (learner(optim=optim, seed=seed) for seed in (1, 1, 2))
    for step in range(6):
        whole.gradients(batches)
        whole.update(step, 6)
    for step in range(6):
        part = first if step < 3 else second
        if step == 3:
            state.restore(state.capture(first.config, first), second, "run")
        part.gradients(batches)
        part.update(step, 6)
    for kind in ("model", "averaged"):
        for one, other in zip(getattr(whole, kind).parameters(), getattr(second, kind).parameters(), strict=True):
            assert torch.equal(one, other)
    assert second.learning_rate == whole.learning_rate


def test_optimizers_of_another_kind_are_refused(learner):
    stored = state.capture(TrainConfig(), learner())
    stored["optimizers"] = stored["optimizers"][::-1]
    with pytest.raises(CheckpointError, match="run was written by an older version with other optimizers"):
        state.restore(stored, learner(), "run")


def test_a_loss_that_is_not_finite_is_told(learner, batches):
    broken = learner()
    with torch.no_grad():
        broken.model.skip.weight.fill_(math.nan)
    loss, norm = broken.gradients(batches)
    assert not math.isfinite(loss.total)
    assert not math.isfinite(norm)
