"""snippets/batch_norm.py against torch.nn, autograd and by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import batch_norm

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture(scope="module")
def results():
    return batch_norm.numbers()


@pytest.fixture(scope="module")
def case():
    """Columns of different means and sizes, gains, biases, upstream gradients."""
    rng = np.random.default_rng(5)
    z = rng.normal(size=(7, 4)) * [0.1, 1, 5, 20] + [3, -1, 0, 8]
    gain, bias = rng.normal(size=(2, 4))
    return z, gain, bias, rng.normal(size=(7, 4))


def leaves(*arrays):
    return [torch.tensor(a, requires_grad=True) for a in arrays]


def test_forward_and_backward_equal_torch(case):
    z, gain, bias, g = case
    tensors = leaves(z, gain, bias)
    expected = functional.batch_norm(
        tensors[0], None, None, tensors[1], tensors[2], training=True
    )
    expected.backward(torch.tensor(g))
    out, z_hat, inv = batch_norm.batch_norm(z, gain, bias)
    np.testing.assert_allclose(out, expected.detach(), **TIGHT)
    grads = batch_norm.batch_norm_backward(g, z_hat, inv, gain)
    for ours, leaf in zip(grads, tensors, strict=True):
        np.testing.assert_allclose(ours, leaf.grad, **TIGHT)


def test_with_bessels_correction_it_equals_autograd_on_the_courses_lines(case):
    z, gain, bias, g = case
    tensors = leaves(z, gain, bias)
    centered = tensors[0] - tensors[0].mean(0)
    expected = tensors[1] * centered / (tensors[0].var(0) + 1e-3).sqrt() + tensors[2]
    expected.backward(torch.tensor(g))
    out, z_hat, inv = batch_norm.batch_norm(z, gain, bias, eps=1e-3, correction=1)
    np.testing.assert_allclose(out, expected.detach(), **TIGHT)
    grads = batch_norm.batch_norm_backward(g, z_hat, inv, gain, correction=1)
    for ours, leaf in zip(grads, tensors, strict=True):
        np.testing.assert_allclose(ours, leaf.grad, **TIGHT)


def test_by_hand():
    z = np.array([[1.0], [3.0]])
    out, z_hat, inv = batch_norm.batch_norm(z, np.array([2.0]), np.array([5.0]), eps=0)
    assert out.ravel().tolist() == [3.0, 7.0]
    assert z_hat.ravel().tolist() == [-1.0, 1.0]
    assert inv.tolist() == [1.0]


def test_a_bias_before_it_is_useless(case):
    z, gain, bias, g = case
    out, z_hat, inv = batch_norm.batch_norm(z, gain, bias)
    shifted, _, _ = batch_norm.batch_norm(z + 11.0, gain, bias)
    np.testing.assert_allclose(shifted, out, rtol=1e-9)
    dz, _, _ = batch_norm.batch_norm_backward(g, z_hat, inv, gain)
    np.testing.assert_allclose(dz.sum(axis=0), 0, atol=1e-10)


def test_columns_have_mean_0_and_variance_1(case):
    _, z_hat, _ = batch_norm.batch_norm(case[0], case[1], case[2], eps=0)
    np.testing.assert_allclose(z_hat.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose((z_hat**2).mean(axis=0), 1, rtol=1e-12)


@pytest.mark.parametrize("scales", [batch_norm.RAW, batch_norm.SCALED, (0.2, 0.3)])
def test_the_start_equals_torch(scales):
    rng = np.random.default_rng(8)
    x, y = rng.integers(0, 27, (1000, 3)), rng.integers(0, 27, 1000)
    C, W1, W2 = (rng.standard_normal(s) for s in ((27, 10), (30, 200), (200, 27)))
    h = np.tanh(C[x].reshape(-1, 30) @ W1 * scales[0])
    logits = torch.tensor(h @ W2 * scales[1])
    expected = functional.cross_entropy(logits, torch.tensor(y)).item()
    loss, share = batch_norm.at_start(scales, np.random.default_rng(8))
    assert loss == pytest.approx(expected, rel=1e-10)
    assert share == pytest.approx(np.mean(np.abs(h) > 0.99))


def test_the_profile_equals_torch():
    for gain, normalize in ((1.3, False), (0.7, True)):
        rng = np.random.default_rng(9)
        h = torch.tensor(rng.standard_normal((500, 100)))
        expected = []
        for _ in range(10):
            z = h @ torch.tensor(rng.standard_normal((100, 100)) * gain / 10)
            if normalize:
                z = functional.batch_norm(z, None, None, training=True)
            h = z.tanh()
            expected.append(h.std(correction=0).item())
        ours = batch_norm.depth_profile(gain, normalize, np.random.default_rng(9))
        np.testing.assert_allclose(ours, expected, **TIGHT)


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def test_the_counts_equal_torch(results):
    C = nn.Embedding(27, 10)
    last = nn.Linear(200, 27)
    first, first_bare = nn.Linear(30, 200), nn.Linear(30, 200, bias=False)
    norm = nn.BatchNorm1d(200)
    assert results["parameters_norm"] == count(C, first_bare, norm, last) == 12097
    by_hand = count(C, first, norm, last)
    assert results["parameters_by_hand_200"] == by_hand == 12297
    small = count(C, nn.Linear(30, 64), nn.BatchNorm1d(64), nn.Linear(64, 27))
    assert results["parameters_by_hand_64"] == small == 4137
    sizes = [(30, 100), *[(100, 100)] * 4, (100, 27)]
    deep = [
        nn.Sequential(nn.Linear(n, m, bias=False), nn.BatchNorm1d(m)) for n, m in sizes
    ]
    assert results["parameters_deep"] == count(C, *deep) == 47024


def test_the_start_in_numbers(results):
    assert batch_norm.RAW == (1.0, 1.0)
    # the gain of tanh over the root of 3 letters of 10 numbers; a hundredth
    first, last = batch_norm.SCALED
    assert (first, last) == (pytest.approx((5 / 3) / math.sqrt(30)), 0.01)
    for name, scales in (("raw", batch_norm.RAW), ("scaled", batch_norm.SCALED)):
        runs = [batch_norm.at_start(scales, np.random.default_rng(s)) for s in range(9)]
        for key, values in zip(
            ("loss", "saturated"), zip(*runs, strict=True), strict=True
        ):
            assert results[f"{name}_{key}_median"] == sorted(values)[4]
            assert results[f"{name}_{key}_min"] == min(values)
            assert results[f"{name}_{key}_max"] == max(values)
    assert results["raw_loss_min"] > 20
    assert results["scaled_loss_max"] == pytest.approx(math.log(27), abs=0.03)
    assert results["raw_saturated_min"] > 0.5 > 0.2 > results["scaled_saturated_max"]


def test_depth_in_numbers(results):
    for key, gain in (("1", 1.0), ("5_3", 5 / 3), ("3", 3.0)):
        for kind in ("plain", "norm"):
            last = sorted(
                batch_norm.depth_profile(
                    gain, kind == "norm", np.random.default_rng(s)
                )[9]
                for s in range(5)
            )
            assert results[f"std_{kind}_gain_{key}"] == last[2]
    assert results["std_plain_gain_1"] < 0.3
    assert 0.6 < results["std_plain_gain_5_3"] < 0.7
    assert results["std_norm_gain_1"] == pytest.approx(
        results["std_norm_gain_3"], rel=1e-4
    )


def test_errors():
    one = np.ones(4)
    for shape, correction in (((1, 4), 1), ((0, 4), 0)):
        message = rf"more than {correction} rows, got \({shape[0]}, 4\)"
        with pytest.raises(ValueError, match=message):
            batch_norm.batch_norm(np.ones(shape), one, one, correction=correction)
    with pytest.raises(ValueError, match=r"z must have two axes .* got \(2, 3, 4\)"):
        batch_norm.batch_norm(np.ones((2, 3, 4)), one, one)
    out, _, _ = batch_norm.batch_norm(np.ones((1, 4)), one, one)
    assert out.tolist() == [[1.0] * 4]
