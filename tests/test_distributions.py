"""The softmax over codes: its loss and gradient, and draws that invert its cumulative distribution."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wavenet.model.distributions import IGNORED, Sampling, Softmax


@pytest.mark.parametrize("rows", [1, 1023, 1024, 1025, 2500])
def test_loss_and_gradient_equal_cross_entropy(rows):
    torch.manual_seed(0)
    logits = torch.randn(1, rows, 256)
    targets = torch.randint(0, 256, (1, rows))
    targets[torch.rand(1, rows) < 0.3] = IGNORED
    results = []
    for loss in (Softmax().loss, Softmax().reference_loss):
        x = logits.clone().requires_grad_()
        (loss(x, targets) * 0.5).backward()
        results.append((loss(x, targets).detach(), x.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-6)


def test_nothing_scored_is_no_loss():
    x = torch.randn(3, 256, requires_grad=True)
    loss = Softmax().loss(x, torch.full((3,), IGNORED))
    loss.backward()
    assert loss == 0
    assert (x.grad == 0).all()


def test_evenly_spaced_uniforms_give_the_probabilities():
    torch.manual_seed(0)
    logits = torch.randn(256)
    n = 20_000
    uniforms = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    counts = Softmax().sample(logits.expand(n, -1), uniforms, Sampling()).bincount(minlength=256)
    assert (counts - n * logits.double().softmax(-1)).abs().max() <= 1


def test_temperature():
    logits = torch.randn(4, 256)
    uniforms = torch.rand(4, dtype=torch.float64)
    assert torch.equal(Softmax().sample(logits, uniforms, Sampling(temperature=0)), logits.argmax(-1))
    assert torch.equal(
        Softmax().sample(logits, uniforms, Sampling(temperature=0.5)),
        Softmax().sample(2 * logits, uniforms, Sampling()),
    )


@given(st.integers(1, 300), st.floats(0.01, 1), st.integers(0, 2**32 - 1), st.booleans())
def test_only_what_is_kept_is_drawn(top_k, top_p, seed, ties):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(256, generator=generator)
    if ties:
        logits = logits.round()
    p = logits.double().softmax(-1)
    order = sorted(range(256), key=lambda code: (-float(p[code]), code))[:top_k]
    total, held, kept = float(p[order].sum()), 0.0, []
    for code in order:
        if held >= top_p * (1 - 1e-12):
            break
        kept.append(code)
        held += float(p[code]) / total
    uniforms = torch.tensor([0.0, 1e-9, 0.3, 0.7, 1 - 2**-53], dtype=torch.float64)
    drawn = Softmax().sample(logits.expand(5, -1), uniforms, Sampling(top_k=top_k, top_p=top_p)).tolist()
    assert set(drawn) <= set(kept)
    assert drawn[0] == min(kept)
    assert drawn[-1] == max(kept)


def test_a_code_of_no_probability_is_never_drawn():
    logits = torch.full((2, 256), -torch.inf)
    logits[:, 7] = 0
    assert Softmax().sample(logits, torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64), Sampling()).tolist() == [7, 7]


def test_bits():
    assert torch.allclose(Softmax().bits(torch.zeros(3, 256), torch.tensor([0, 9, 255])), torch.tensor(8.0))


def test_loss_of_bfloat16_logits_is_summed_in_float32():
    torch.manual_seed(0)
    logits, targets = torch.randn(3000, 256).bfloat16(), torch.randint(0, 256, (3000,))
    x = logits.clone().requires_grad_()
    total = Softmax().loss(x, targets)
    total.backward()
    exact = logits.float().requires_grad_()
    expected = Softmax().reference_loss(exact, targets)
    expected.backward()
    assert abs(total / expected - 1) < 1e-6
    assert x.grad.dtype == torch.bfloat16
    torch.testing.assert_close(x.grad.float(), exact.grad, rtol=2**-8, atol=1e-6)


def test_draws_sit_exactly_on_the_cumulative_distribution():
    """All codes alike: the distribution climbs by 1/256, exactly in binary, and code c owns [c, c + 1) / 256."""
    edges = torch.arange(256, dtype=torch.float64) / 256
    below = torch.nextafter(edges[1:], torch.zeros(255, dtype=torch.float64))
    logits = torch.zeros(256, 256)
    assert torch.equal(Softmax().sample(logits, edges, Sampling()), torch.arange(256))
    assert torch.equal(Softmax().sample(logits[1:], below, Sampling()), torch.arange(255))


@pytest.mark.parametrize("k", [1, 2, 17, 255, 256, 300])
def test_top_k_keeps_exactly_k_where_all_are_equal(k):
    kept = min(k, 256)
    uniforms = (torch.arange(10 * kept, dtype=torch.float64) + 0.5) / (10 * kept)
    drawn = Softmax().sample(torch.zeros(len(uniforms), 256), uniforms, Sampling(top_k=k))
    assert drawn.bincount(minlength=256).tolist() == [10] * kept + [0] * (256 - kept)


@pytest.mark.parametrize(("top_p", "kept"), [(0.4, [9]), (0.6, [3, 9]), (0.8, [3, 9, 200]), (1.0, [3, 5, 9, 200])])
def test_top_p_keeps_the_fewest_that_hold_it(top_p, kept):
    logits = torch.full((256,), -torch.inf)
    logits[[9, 3, 200, 5]] = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()
    logits[5] -= 1e-3
    uniforms = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    drawn = Softmax().sample(logits.expand(1000, -1), uniforms, Sampling(top_p=top_p))
    assert drawn.unique().tolist() == kept
    held = logits[kept].double().softmax(-1)
    assert (drawn.bincount(minlength=256)[kept] - 1000 * held).abs().max() <= 1


@given(st.sets(st.integers(0, 255), min_size=1), st.integers(0, 2**32 - 1))
def test_impossible_codes_are_never_drawn(possible, seed):
    logits = torch.full((256,), -torch.inf)
    codes = sorted(possible)
    logits[codes] = 5 * torch.randn(len(codes), generator=torch.Generator().manual_seed(seed))
    uniforms = torch.tensor([0.0, 0.5, 1 - 2**-24, 1 - 2**-53], dtype=torch.float64)
    drawn = Softmax().sample(logits.expand(4, -1), uniforms, Sampling()).tolist()
    assert set(drawn) <= possible
    assert drawn[0] == codes[0]


@pytest.mark.parametrize("temperature", [1e-6, 1e-30, 1e-310])
def test_a_tiny_temperature_takes_the_likeliest(temperature):
    logits = torch.randn(50, 256, generator=torch.Generator().manual_seed(0))
    uniforms = torch.linspace(0, 1 - 2**-53, 50, dtype=torch.float64)
    assert torch.equal(Softmax().sample(logits, uniforms, Sampling(temperature=temperature)), logits.argmax(-1))
