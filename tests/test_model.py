"""The network: its equations against plain convolutions, its receptive field and causality by gradient."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from wavenet.audio.encodings import MULAW
from wavenet.config import ModelConfig
from wavenet.model.layers import CausalConv1d
from wavenet.model.wavenet import WaveNet


def conv(taps: list[list[list[float]]], dilation: int) -> CausalConv1d:
    """Weights as (kernel_size, out, in), oldest tap first."""
    weight = torch.tensor(taps)
    layer = CausalConv1d(weight.shape[2], weight.shape[1], weight.shape[0], dilation, bias=False)
    layer.weight.data = torch.cat(list(weight), dim=1)
    return layer


def test_a_dilated_layer_adds_the_past():
    x = torch.arange(1.0, 21).repeat(2, 1).unsqueeze(-1)
    y = conv([[[1.0]], [[1.0]]], dilation=4)(x)
    assert torch.equal(y, x[:, 4:] + x[:, :-4])
    assert y.shape == (2, 16, 1)


def test_nothing_is_shifted_in_time():
    x = torch.arange(1.0, 11).reshape(1, 10, 1)
    y = conv([[[0.0]], [[1.0]]], dilation=2)(F.pad(x, (0, 0, 2, 0)))
    assert torch.equal(y, x)


def test_layers_of_ones_count_what_they_hear():
    """Two channels, kernels of ones: each layer adds both channels of two samples, as integers."""
    x = torch.stack([torch.arange(1.0, 17), torch.arange(17.0, 33)], dim=-1).unsqueeze(0)
    expected = x[0].numpy()
    for dilation in (1, 2, 4, 8):
        both = expected.sum(axis=1)
        expected = np.repeat((both[dilation:] + both[:-dilation])[:, None], 2, axis=1)
        x = conv([[[1.0, 1.0]] * 2] * 2, dilation)(x)
        assert np.array_equal(x[0].detach().numpy(), expected)
    assert x.shape == (1, 1, 2)
    # each of 16 samples of both channels is heard once, and every layer after the first doubles: 2^3 * (1 + ... + 32)
    assert x[0, 0, 0].item() == 8 * sum(range(1, 33))


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"stacks": 3, "layers_per_stack": 10, "kernel_size": 3}, 6139),
        ({"stacks": 4, "layers_per_stack": 6, "kernel_size": 3}, 505),
        ({"stacks": 2, "layers_per_stack": 6, "kernel_size": 3}, 253),
        ({"stacks": 3, "dilations": [1] * 10, "kernel_size": 3}, 61),
        ({"stacks": 3, "layers_per_stack": 10}, 3070),
        ({"stacks": 4, "layers_per_stack": 10}, 4093),
        ({"stacks": 5, "layers_per_stack": 10, "initial_filter": 2}, 5117),
    ],
)
def test_published_receptive_fields(config, field):
    assert ModelConfig(**config).receptive_field == field
    narrow = {"residual_channels": 1, "gate_channels": 1, "skip_channels": 1, "head_channels": 1}
    assert WaveNet(ModelConfig(**config, **narrow)).receptive_field == field


@pytest.mark.parametrize(
    ("stacks", "layers", "kernel", "taps"), itertools.product((1, 2, 3), (1, 2, 3, 4, 5), (1, 2, 3), (1, 2, 3))
)
def test_one_receptive_field_gives_one_prediction(stacks, layers, kernel, taps):
    config = ModelConfig(
        stacks=stacks,
        layers_per_stack=layers,
        kernel_size=kernel,
        initial_filter=taps,
        residual_channels=2,
        gate_channels=3,
        skip_channels=4,
        head_channels=5,
    )
    model = WaveNet(config)
    field = model.receptive_field
    assert field == config.receptive_field
    assert model(torch.zeros(2, field, dtype=torch.long)).shape == (2, 1, 256)
    assert model(torch.zeros(2, field + 7, dtype=torch.long)).shape == (2, 8, 256)
    with pytest.raises(ValueError, match=f"fewer than the receptive field of {field}"):
        model(torch.zeros(2, field - 1, dtype=torch.long))


def between(codes: torch.Tensor) -> torch.Tensor:
    """16-bit codes as two-hot vectors over the mu-law codes, (B, T) -> (B, T, 256)."""
    sound = (codes.double() - 32768) / 32768
    place = (sound.sign() * torch.log(1 + 255 * sound.abs()) / np.log(256) + 1) * 127.5
    return (1 - (place.unsqueeze(-1) - torch.arange(256)).abs()).clamp(min=0)


def plain(model: WaveNet, codes: torch.Tensor) -> torch.Tensor:
    """The paper's equations with torch's own convolutions, channels first, one skip projection per layer."""
    config = model.config
    if config.input == "embedding":
        weights = F.one_hot(codes, 256) if not config.mixtures else between(codes)
        one_hot = weights.to(model.output.weight.dtype).transpose(1, 2)
        x = F.conv1d(one_hot, model.initial.weight.permute(2, 1, 0))
    else:
        scalar = (codes.unsqueeze(1).to(model.output.weight.dtype) - 127.5) / 127.5
        if config.mixtures:  # 16-bit codes, and mu-law as a curve
            sound = (codes.unsqueeze(1).double() - 32768) / 32768
            scalar = sound.sign() * torch.log(1 + 255 * sound.abs()) / np.log(256)
        x = F.conv1d(scalar, model.initial.weight.unsqueeze(1), model.initial.bias)
    steps = codes.shape[1] - model.receptive_field + 1
    width, skip = config.gate_channels, 0
    for layer, block in enumerate(model.blocks):
        kernel = block.conv.weight.unflatten(1, (config.kernel_size, -1)).transpose(1, 2)
        h = F.conv1d(x, kernel, block.conv.bias, dilation=block.conv.dilation)
        z = torch.tanh(h[:, :width]) * torch.sigmoid(h[:, width:])
        skip = skip + F.conv1d(z[:, :, -steps:], model.skip.weight[:, layer * width : (layer + 1) * width, None])
        if block.residual is not None:
            x = x[:, :, -z.shape[2] :] + F.conv1d(z, block.residual.weight.unsqueeze(-1), block.residual.bias)
    if model.skip.bias is not None:
        skip = skip + model.skip.bias[:, None]
    hidden = F.conv1d(F.relu(skip), model.hidden.weight.unsqueeze(-1), model.hidden.bias)
    return F.conv1d(F.relu(hidden), model.output.weight.unsqueeze(-1), model.output.bias).transpose(1, 2)


CONFIGS = [
    {},
    {"kernel_size": 3, "bias": False},
    {"kernel_size": 1, "initial_filter": 4},
    {"input": "scalar", "initial_filter": 3},
    {"input": "scalar", "bias": False, "dilations": [1, 5, 2]},
    {"input": "scalar", "mixtures": 3, "initial_filter": 2},
    {"mixtures": 3, "initial_filter": 2},
]


@pytest.mark.parametrize("changes", CONFIGS)
def test_forward_and_gradients_equal_plain_convolutions(small, changes):
    for name, value in changes.items():
        setattr(small, name, value)
    model = WaveNet(small).double()
    levels = model.distribution.encoding.levels
    codes = torch.randint(0, levels, (2, model.receptive_field + 50), generator=torch.Generator().manual_seed(0))
    results = []
    for forward in (model, lambda codes: plain(model, codes)):
        model.zero_grad()
        logits = forward(codes)
        logits.square().mean().backward()
        results.append((logits, [p.grad.clone() for p in model.parameters()]))
    torch.testing.assert_close(results[0], results[1], atol=1e-12, rtol=1e-9)


def test_bfloat16_stays_near(small):
    torch.manual_seed(0)
    model = WaveNet(small)
    codes = torch.randint(0, 256, (1, 500))
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(codes)
    exact = model(codes)
    assert 0 < (rough.float() - exact).abs().max() < 0.05
    assert (rough.float() - exact).std() < 0.01 * exact.std()


@pytest.mark.parametrize(("kernel", "taps", "expected"), [(2, 1, 31), (2, 2, 32), (3, 2, 62)])
def test_causality_and_receptive_field_by_gradient(kernel, taps, expected):
    """Prediction t depends on exactly the last receptive field of inputs, all of it, and on nothing later."""
    config = ModelConfig(
        stacks=2, layers_per_stack=4, kernel_size=kernel, residual_channels=10, gate_channels=10, initial_filter=taps
    )
    torch.manual_seed(0)
    model = WaveNet(config).double()
    field = model.receptive_field
    assert field == expected
    inputs = torch.randn(1, field + 8, 256, dtype=torch.double, requires_grad=True)
    steps = inputs.shape[1] - taps + 1
    model.initial.forward = lambda x: sum(x[:, k:][:, :steps] @ model.initial.weight[k] for k in range(taps))
    logits = model(inputs)
    for t in range(logits.shape[1]):
        (gradient,) = torch.autograd.grad(logits[0, t].square().sum(), inputs, retain_graph=True)
        heard = gradient.abs().sum(dim=-1)[0].nonzero().flatten().tolist()
        assert heard == list(range(t, t + field))


@pytest.mark.parametrize("changes", CONFIGS)
def test_no_dead_weights(small, changes):
    for name, value in changes.items():
        setattr(small, name, value)
    torch.manual_seed(0)
    model = WaveNet(small)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)  # decay would move dead weights too
    codes = model.distribution.encoding.encode(MULAW.decode(torch.randint(0, 256, (1, 4000)))).long()
    loss = model.distribution.loss(model(codes[:, :-1]), codes[:, model.receptive_field :])
    (loss / codes.numel()).backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        changed = parameter != before[name]
        # behind a rectifier single weights may rest, of the layers none
        assert changed.all() if name.startswith(("initial", "blocks")) else changed.any(), name


def test_neighbouring_codes_begin_alike():
    torch.manual_seed(0)
    model = WaveNet(ModelConfig())
    for table in (model.initial.weight[0], model.output.weight):
        similar = torch.cosine_similarity(table[:-1], table[1:]).mean()
        far = torch.cosine_similarity(table[:-100], table[100:]).mean()
        assert similar > 0.7
        assert abs(far) < 0.3
    assert abs(model.initial.weight.square().mean() - 1) < 1e-4
