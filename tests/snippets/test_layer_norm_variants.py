"""layer_norm_variants.py against torch.nn.LayerNorm and the source's own formula."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import layer_norm_variants as v

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 3, 512)])
@pytest.mark.parametrize("eps", [None, 0.1])
def test_pytorchs_equals_pytorch(shape, eps):
    x = RNG.normal(2, 3, shape)
    more = {} if eps is None else {"eps": eps}
    theirs = nn.LayerNorm(shape[-1], dtype=torch.float64, **more)
    want = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(v.layer_norm(x, **more), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 3, 512)])
@pytest.mark.parametrize("eps", [None, 0.1])
def test_the_sources_equals_torch_std(shape, eps):
    x = torch.tensor(RNG.normal(2, 3, shape))
    std, mean = torch.std_mean(x, dim=-1, keepdim=True)
    want = (x - mean) / (std + (1e-6 if eps is None else eps))
    more = {} if eps is None else {"eps": eps}
    got = v.annotated_layer_norm(x.numpy(), **more)
    np.testing.assert_allclose(got, want.numpy(), rtol=0, atol=1e-12)


def test_by_hand():
    """(0, 0, 3, 3): mean 1.5, mean square about it 2.25, with d - 1 it is 3."""
    x = np.array([0.0, 0.0, 3.0, 3.0])
    assert v.layer_norm(x, eps=0) == pytest.approx([-1, -1, 1, 1])
    half = math.sqrt(3) / 2
    assert v.annotated_layer_norm(x, eps=0) == pytest.approx([-half, -half, half, half])
    # 2.25 + 4 is 2.5 squared; sqrt(3) + 1
    assert v.layer_norm(x, eps=4)[3] == pytest.approx(0.6)
    got = v.annotated_layer_norm(x, eps=1)[3]
    assert got == pytest.approx(1.5 / (math.sqrt(3) + 1))


def test_one_entry_has_no_spread():
    with pytest.raises(ValueError, match="x is 1 wide, want 2 or more"):
        v.annotated_layer_norm(np.ones((3, 2, 1)))
    got = v.annotated_layer_norm(np.array([1.0, 2.0]))
    assert got == pytest.approx([-(0.5**0.5), 0.5**0.5], rel=1e-5)


@pytest.mark.parametrize("d", [2, 4, 32, 512])
def test_the_ratio_is_that_of_the_divisors(d):
    ratio = v.length_ratio(d, 1000.0, np.random.default_rng(1))  # eps out of sight
    assert ratio == pytest.approx(math.sqrt((d - 1) / d), rel=1e-7)


def test_small_vectors_tell_the_places_of_epsilon_apart():
    """At a spread of 0.001 PyTorch divides by the root of 1e-6 + 1e-5."""
    x = 0.001 * np.random.default_rng(0).standard_normal(512)
    want = math.sqrt(x.var() + 1e-5) / (x.std(ddof=1) + 1e-6)
    got = v.length_ratio(512, 0.001, np.random.default_rng(0))
    assert got == pytest.approx(want, rel=1e-12)
    assert got > 3


def test_the_gap_is_that_of_the_largest_entry():
    """Both are multiples of one vector, so the gap is a share of its largest entry."""
    x = np.random.default_rng(5).standard_normal((7, 16))
    largest = np.abs(v.layer_norm(x)).max()
    want = (1 - math.sqrt(15 / 16)) * largest
    got = v.largest_gap(16, 7, np.random.default_rng(5))
    assert got == pytest.approx(want, rel=1e-3)  # the epsilons move it a little


def test_numbers_by_torch():
    """The same vectors through torch's functions."""

    def both(x):
        x = torch.tensor(x)
        std, mean = torch.std_mean(x, dim=-1, keepdim=True)
        theirs = nn.functional.layer_norm(x, x.shape[-1:])
        return (x - mean) / (std + 1e-6), theirs

    want = {}
    for d in (4, 32, 512):
        ours, theirs = both(np.random.default_rng(d).standard_normal(d))
        want[f"length_ratio_d{d}"] = (ours.norm() / theirs.norm()).item()
        x = torch.randn(d, dtype=torch.float64)
        want[f"factor_d{d}"] = (x.std(correction=0) / x.std(correction=1)).item()
    gaps = []
    for seed in range(5):
        ours, theirs = both(np.random.default_rng(seed).standard_normal((100, 512)))
        gaps.append((ours - theirs).abs().max().item())
    gaps.sort()
    want |= dict(
        zip(
            ("gap_d512_median", "gap_d512_min", "gap_d512_max"),
            (gaps[2], gaps[0], gaps[4]),
            strict=True,
        )
    )
    ours, theirs = both(0.001 * np.random.default_rng(0).standard_normal(512))
    want["length_ratio_d512_spread_0_001"] = (ours.norm() / theirs.norm()).item()
    assert v.numbers() == pytest.approx(want, rel=1e-10)
