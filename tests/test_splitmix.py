"""The uniform numbers that samples are drawn with: the published generator, for any seed."""

import torch

from wavenet.generation.splitmix import uniforms


def test_uniforms_are_splitmix64():
    def mix(z):
        mask = 2**64 - 1
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    made = uniforms([0, 7], 3, 50)
    for row, seed in zip(made, (0, 7), strict=True):
        for i, value in enumerate(row.tolist()):
            word = mix((mix(seed) + (3 + i + 1) * 0x9E3779B97F4A7C15) % 2**64)
            assert value == (word >> 11) / 2**53
    assert torch.equal(uniforms([7], 10, 5), uniforms([7], 0, 15)[:, 10:])
    many = uniforms([1, 2], 0, 100_000)
    assert abs(many.mean() - 0.5) < 0.005
    assert abs(torch.corrcoef(many)[0, 1]) < 0.01


def test_uniforms_are_the_published_ones():
    """The first outputs of splitmix64 from seed 0."""
    known = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC, 0x1B39896A51A8749B)
    assert uniforms([0], 0, 5)[0].tolist() == [(word >> 11) / 2**53 for word in known]


def test_uniforms_are_spread_evenly_for_any_seed():
    many = uniforms([0, 1, 2, 2**63, 2**64 - 1], 0, 20_000)
    assert 0 <= many.min() < 0.001
    assert 0.999 < many.max() < 1
    counts = torch.stack([torch.histc(row, 16, 0, 1) for row in many])
    assert (counts / 1250 - 1).abs().max() < 0.15  # about five standard deviations
    assert (torch.corrcoef(many) - torch.eye(5)).abs().max() < 0.04
    assert torch.equal(uniforms([-1], 2**33, 9), uniforms([2**64 - 1], 2**33, 9))
