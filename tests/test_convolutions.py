"""What docs/convolutions.md says of dilated and transposed convolution, in numbers."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from wavenet.config import ModelConfig
from wavenet.model.wavenet import WaveNet

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "convolutions.md").read_text()
FORMULAS = dict(re.findall(r"^\| ([\w ]+) \| `(.+)` \|$", PAGE, re.MULTILINE))
BASE = ModelConfig(**yaml.safe_load((ROOT / "configs" / "model" / "base.yaml").read_text()))
sizes = {
    "i": st.integers(1, 40),
    "k": st.integers(1, 6),
    "s": st.integers(1, 5),
    "p": st.integers(0, 4),
    "d": st.integers(1, 4),
}


@pytest.fixture(autouse=True)
def _repeatable():
    torch.manual_seed(0)


def size(operation: str, **names: int) -> int:
    """The page's own formula, with numbers for its letters."""
    return eval(FORMULAS[operation], {"__builtins__": {}}, names)


def field(dilations: Sequence[int], kernel_size: int) -> int:
    return 1 + (kernel_size - 1) * sum(dilations)


def hearing(dilations: Sequence[int], kernel_size: int, paths: bool = False) -> list[float]:
    """Gradient of a stack's last output by its inputs, newest first, 5 more of them than the formula asks for.

    Weights are random and above zero, so that nothing cancels; with `paths` they are 1, and the gradient counts paths.
    """
    x = torch.ones(1, 1, field(dilations, kernel_size) + 5, dtype=torch.float64, requires_grad=True)
    y = x
    for dilation in dilations:
        weight = torch.ones(1, 1, kernel_size) if paths else 0.5 + torch.rand(1, 1, kernel_size)
        y = F.conv1d(y, weight.double(), dilation=dilation)
    return torch.autograd.grad(y[0, 0, -1], x)[0].flatten().flip(0).tolist()


def heard(dilations: Sequence[int], kernel_size: int) -> list[int]:
    """How many samples back the inputs lie that the last output depends on."""
    return [back for back, gradient in enumerate(hearing(dilations, kernel_size)) if gradient]


def upsample(x: Tensor, weight: Tensor, stride: int, exact: bool = False) -> Tensor:
    """One channel, as vectors; `exact` with the padding that makes a kernel of 2 * stride give stride times as many."""
    padding, more = ((stride + 1) // 2, stride % 2) if exact else (0, 0)
    return F.conv_transpose1d(
        x.reshape(1, 1, -1), weight.reshape(1, 1, -1), stride=stride, padding=padding, output_padding=more
    ).flatten()


def interior(y: Tensor, kernel_size: int, stride: int, inputs: int) -> Tensor:
    """Outputs of an unpadded transposed convolution that lack no input on either side."""
    return y[kernel_size - 1 : stride * inputs]


def triangle(stride: int) -> Tensor:
    centre = stride if stride % 2 else stride - 0.5
    return 1 - (torch.arange(2 * stride, dtype=torch.float64) - centre).abs() / stride


@pytest.mark.parametrize(
    ("dilations", "samples"), [([1, 1, 1, 1], 5), ([1, 2, 4, 8], 16), ([1, 3, 9], 14), (BASE.layer_dilations, 2047)]
)
def test_receptive_fields_by_gradient(dilations, samples):
    assert heard(dilations, kernel_size=2)[-1] + 1 == field(dilations, 2) == samples


@given(dilations=st.lists(st.integers(1, 9), min_size=1, max_size=5), kernel_size=st.integers(2, 4))
def test_the_receptive_field_is_what_the_formula_says(dilations, kernel_size):
    assert heard(dilations, kernel_size)[-1] + 1 == field(dilations, kernel_size)
    assert ModelConfig(dilations=dilations, stacks=1, kernel_size=kernel_size).receptive_field == field(
        dilations, kernel_size
    )


def test_the_base_network():
    assert BASE.kernel_size == 2
    assert BASE.layer_dilations == [2**i for i in range(10)] * 2
    assert sum(BASE.layer_dilations) == 2 * 1023
    assert BASE.receptive_field == field(BASE.layer_dilations, 2) == 2047
    assert round(1000 * 2047 / 16000) == 128
    assert len(BASE.layer_dilations) == 20
    assert field([1] * 2046, 2) == 2047
    narrow: dict[str, Any] = {"residual_channels": 1, "gate_channels": 1, "skip_channels": 1, "head_channels": 1}
    model = WaveNet(ModelConfig(stacks=BASE.stacks, layers_per_stack=BASE.layers_per_stack, **narrow))
    assert model.receptive_field == 2047
    assert [block.conv.dilation for block in model.blocks] == BASE.layer_dilations
    assert {type(block.conv).__name__ for block in model.blocks} == {"CausalConv1d"}


def test_a_doubling_doubles_what_a_plain_layer_adds_one_to():
    for layers in range(1, 8):
        assert len(heard([2**i for i in range(layers)], 2)) == 2**layers
        assert len(heard([1] * layers, 2)) == layers + 1


def test_powers_of_two_leave_no_gap_and_every_sample_one_path():
    assert heard([1, 2, 4, 8], 2) == list(range(16))
    assert hearing([1, 2, 4, 8], 2, paths=True) == [1] * 16 + [0] * 5
    assert hearing([1, 1, 1, 1], 2, paths=True) == [1, 4, 6, 4, 1] + [0] * 5
    sums = sorted(sum(taken) for n in range(5) for taken in itertools.combinations([1, 2, 4, 8], n))
    assert sums == list(range(16))


def test_powers_of_three_leave_gaps_at_kernel_size_2_and_none_at_3():
    assert sorted(set(range(14)) - set(heard([1, 3, 9], 2))) == [2, 5, 6, 7, 8, 11]
    assert heard([1, 3, 9], 3) == list(range(27))
    assert hearing([1, 3, 9], 3, paths=True)[:27] == [1] * 27


@given(dilations=st.lists(st.integers(1, 12), min_size=1, max_size=4), kernel_size=st.integers(2, 3))
@settings(max_examples=100)
def test_there_is_no_gap_if_no_dilation_exceeds_the_field_of_the_smaller_ones(dilations, kernel_size):
    rising = sorted(dilations)
    fits = all(dilation <= field(rising[:n], kernel_size) for n, dilation in enumerate(rising))
    assert (heard(dilations, kernel_size) == list(range(field(dilations, kernel_size)))) == fits


def test_the_page_has_three_formulas():
    assert list(FORMULAS) == ["convolution", "dilated convolution", "transposed convolution"]


@given(**sizes)
@settings(max_examples=300)
def test_sizes_of_convolutions(i, k, s, p, d):
    assume(i + 2 * p > d * (k - 1))
    x, weight = torch.zeros(1, 1, i), torch.zeros(1, 1, k)
    assert F.conv1d(x, weight, stride=s, padding=p, dilation=d).shape[2] == size(
        "dilated convolution", i=i, k=k, s=s, p=p, d=d
    )
    if i + 2 * p >= k:
        assert F.conv1d(x, weight, stride=s, padding=p).shape[2] == size("convolution", i=i, k=k, s=s, p=p)


@given(**sizes, a=st.integers(0, 4))
@settings(max_examples=300)
def test_sizes_of_transposed_convolutions(i, k, s, p, d, a):
    expected = size("transposed convolution", i=i, k=k, s=s, p=p, d=d, a=a)
    assume(a < max(s, d) and expected > 0)
    y = F.conv_transpose1d(
        torch.zeros(1, 1, i), torch.zeros(1, 1, k), stride=s, padding=p, dilation=d, output_padding=a
    )
    assert y.shape[2] == expected


@given(**sizes)
@settings(max_examples=300)
def test_the_dropped_remainder_leads_back(i, k, s, p, d):
    assume(i + 2 * p > d * (k - 1))
    o = size("dilated convolution", i=i, k=k, s=s, p=p, d=d)
    back = [size("transposed convolution", i=o, k=k, s=s, p=p, d=d, a=a) for a in range(s)]
    assert back.index(i) == (i + 2 * p - d * (k - 1) - 1) % s
    for other in back:  # all that the stride cannot tell apart
        assert size("dilated convolution", i=other, k=k, s=s, p=p, d=d) == o


def test_seven_and_eight_samples_both_give_four():
    weight = torch.zeros(1, 1, 3)
    for i, a in ((7, 0), (8, 1)):
        assert F.conv1d(torch.zeros(1, 1, i), weight, stride=2, padding=1).shape[2] == 4
        assert F.conv_transpose1d(torch.zeros(1, 1, 4), weight, None, 2, 1, output_padding=a).shape[2] == i


@pytest.mark.parametrize("stride", range(2, 12))
def test_paddings_that_give_exactly_stride_times_as_many(stride):
    for inputs in (1, 2, 7):
        x = torch.ones(inputs)
        assert len(upsample(x, torch.ones(stride), stride)) == stride * inputs
        assert len(upsample(x, torch.ones(2 * stride), stride, exact=True)) == stride * inputs


@pytest.mark.parametrize(("k", "d"), [(1, 5), (2, 1), (2, 8), (3, 4), (5, 3)])
def test_a_dilated_kernel_is_one_with_zeros_between_its_weights(k, d):
    x, weight = torch.randn(2, 3, 40, dtype=torch.float64), torch.randn(4, 3, k, dtype=torch.float64)
    spread = torch.zeros(4, 3, d * (k - 1) + 1, dtype=torch.float64)
    spread[:, :, ::d] = weight
    dilated = F.conv1d(x, weight, dilation=d)
    torch.testing.assert_close(dilated, F.conv1d(x, spread), rtol=0, atol=1e-12)
    assert F.conv1d(F.pad(x, ((k - 1) * d, 0)), weight, dilation=d).shape[2] == x.shape[2]


def test_padding_in_front_alone_hides_the_future():
    x = torch.randn(1, 1, 20, requires_grad=True)
    y = F.conv1d(F.pad(x, (6, 0)), torch.randn(1, 1, 3), dilation=3)
    (gradient,) = torch.autograd.grad(y[0, 0, 11], x)
    assert gradient.flatten().nonzero().flatten().tolist() == [5, 8, 11]


@given(**sizes)
@settings(max_examples=100)
def test_a_transposed_convolution_is_the_adjoint(i, k, s, p, d):
    assume(i + 2 * p > d * (k - 1))
    x, weight = torch.randn(2, 3, i, dtype=torch.float64, requires_grad=True), torch.randn(4, 3, k, dtype=torch.float64)
    forward = F.conv1d(x, weight, stride=s, padding=p, dilation=d)
    y = torch.randn_like(forward)
    a = (i + 2 * p - d * (k - 1) - 1) % s
    back = F.conv_transpose1d(y, weight, stride=s, padding=p, dilation=d, output_padding=a)
    assert abs((forward * y).sum() - (x * back).sum()).item() < 1e-10
    (gradient,) = torch.autograd.grad(forward, x, y)
    torch.testing.assert_close(back, gradient, rtol=0, atol=1e-10)


def test_its_matrix_is_the_transposed_one_and_not_the_inverse():
    weight = torch.randn(1, 1, 4, dtype=torch.float64)
    matrix = F.conv1d(torch.eye(10, dtype=torch.float64).unsqueeze(1), weight, stride=2).squeeze(1).T  # (4, 10)
    back = F.conv_transpose1d(torch.eye(4, dtype=torch.float64).unsqueeze(1), weight, stride=2).squeeze(1).T
    assert torch.equal(back, matrix.T)
    assert (matrix @ back - torch.eye(4)).abs().max() > 0.1


@given(**sizes, a=st.integers(0, 4))
@settings(max_examples=100)
def test_a_transposed_convolution_slides_the_reversed_kernel_over_zeros(i, k, s, p, d, a):
    assume(a < max(s, d) and size("transposed convolution", i=i, k=k, s=s, p=p, d=d, a=a) > 0)
    x, weight = torch.randn(2, 3, i, dtype=torch.float64), torch.randn(3, 4, k, dtype=torch.float64)
    spread = torch.zeros(2, 3, s * (i - 1) + 1, dtype=torch.float64)
    spread[:, :, ::s] = x
    around = d * (k - 1) - p
    slid = F.conv1d(F.pad(spread, (around, around + a)), weight.flip(2).transpose(0, 1), dilation=d)
    transposed = F.conv_transpose1d(x, weight, stride=s, padding=p, dilation=d, output_padding=a)
    torch.testing.assert_close(transposed, slid, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("k", "s"), list(itertools.product(range(1, 13), range(1, 7))))
def test_a_constant_stays_constant_under_ones_if_the_stride_divides_the_kernel(k, s):
    inside = interior(upsample(torch.ones(20), torch.ones(k), s), k, s, 20)
    assert len(inside) >= 2 * s
    assert (inside.min() == inside.max()).item() == (k % s == 0)


def test_overlaps_of_kernels_of_3_and_4_at_stride_2():
    assert upsample(torch.ones(6), torch.ones(3), 2).tolist() == [1, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 1]
    assert upsample(torch.ones(6), torch.ones(4), 2).tolist() == [1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1]


@pytest.mark.parametrize(("k", "s"), [(3, 2), (4, 2), (7, 3), (12, 4)])
def test_a_constant_comes_out_as_the_sums_of_every_s_th_weight(k, s):
    """Whatever divides what: random weights ripple with period s, and those whose sums are equal do not."""
    weight = torch.rand(k, dtype=torch.float64)
    sums = torch.stack([weight[first::s].sum() for first in range(s)])
    y = upsample(torch.ones(20, dtype=torch.float64), weight, s)
    inside = slice(k - 1, 20 * s)
    expected = sums[torch.arange(len(y)) % s]
    torch.testing.assert_close(y[inside], expected[inside], rtol=0, atol=1e-12)
    assert sums.max() - sums.min() > 0.1
    for first in range(s):
        weight[first::s] /= sums[first]
    even = interior(upsample(torch.ones(20, dtype=torch.float64), weight, s), k, s, 20)
    torch.testing.assert_close(even, torch.ones_like(even), rtol=0, atol=1e-12)


def test_the_ripple_is_a_whine_at_the_rate_of_the_input_and_its_multiples():
    k, s, inputs = 6, 4, 64
    y = upsample(torch.ones(inputs + k, dtype=torch.float64), torch.rand(k, dtype=torch.float64), s)
    spectrum = torch.fft.rfft(y[k - 1 :][: s * inputs]).abs()  # bin n: n periods in as long as `inputs` samples take
    assert (spectrum > 1e-9).nonzero().flatten().tolist() == [0, inputs, 2 * inputs]


def test_in_pictures_rows_and_columns_multiply():
    counts = upsample(torch.ones(5), torch.ones(3), 2)
    picture = F.conv_transpose2d(torch.ones(1, 1, 5, 5), torch.ones(1, 1, 3, 3), stride=2)[0, 0]
    assert torch.equal(picture, torch.outer(counts, counts))
    assert interior(interior(picture, 3, 2, 5).T, 3, 2, 5).unique().tolist() == [1, 2, 4]


@pytest.mark.parametrize("stride", range(1, 9))
def test_a_kernel_of_ones_as_long_as_the_stride_repeats(stride):
    x = torch.randn(9)
    assert torch.equal(upsample(x, torch.ones(stride), stride), x.repeat_interleave(stride))


@pytest.mark.parametrize("stride", range(2, 11))
def test_a_triangle_interpolates_linearly(stride):
    inputs = 12
    ramp = 3 + 0.5 * torch.arange(inputs, dtype=torch.float64)
    x = torch.randn(inputs, dtype=torch.float64)
    at = (
        torch.arange(stride * inputs, dtype=torch.float64) - (stride - 1) / 2
    ) / stride  # where an output lies among the inputs
    inside = (at >= 0) & (at <= inputs - 1)
    assert inside.sum() > stride * (inputs - 2)

    def raised(signal: Tensor) -> Tensor:
        return upsample(signal, triangle(stride), stride, exact=True)[inside]

    torch.testing.assert_close(raised(ramp), (3 + 0.5 * at)[inside], rtol=0, atol=1e-12)
    torch.testing.assert_close(raised(torch.ones_like(x)), torch.ones_like(at[inside]), rtol=0, atol=1e-12)
    linear = F.interpolate(x.reshape(1, 1, -1), scale_factor=stride, mode="linear").flatten()
    torch.testing.assert_close(raised(x), linear[inside], rtol=0, atol=1e-12)


def test_no_weights_ripple_after_repeating():
    repeated = torch.ones(1, 1, 10).repeat_interleave(4, dim=2)
    y = F.conv1d(repeated, torch.randn(1, 1, 7))
    torch.testing.assert_close(y, y[..., :1].expand_as(y))
