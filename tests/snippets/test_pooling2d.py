"""snippets/pooling2d.py against PyTorch, autograd and by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

import pooling2d

SIZES = pytest.mark.parametrize(
    ("H", "W", "F", "S"),
    [(6, 6, 2, 2), (7, 9, 3, 2), (5, 8, 3, 1), (7, 5, 2, 3), (4, 6, 1, 1)],
)


@SIZES
def test_maxima_switches_and_gradient_equal_torch(H, W, F, S):
    rng = np.random.default_rng(H + W)
    x = rng.standard_normal((2, 3, H, W))
    y, switches, backward = pooling2d.max_pool2d(x, F, S)
    tx = torch.from_numpy(x).requires_grad_()
    ref, indices = functional.max_pool2d(tx, F, S, return_indices=True)
    np.testing.assert_array_equal(y, ref.detach())
    np.testing.assert_array_equal(switches, indices)
    dy = rng.standard_normal(y.shape)
    ref.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(backward(dy), tx.grad, rtol=1e-10, atol=1e-12)


@SIZES
def test_averages_and_gradient_equal_torch(H, W, F, S):
    rng = np.random.default_rng(H + W)
    x = rng.standard_normal((2, 3, H, W))
    y, backward = pooling2d.average_pool2d(x, F, S)
    tx = torch.from_numpy(x).requires_grad_()
    ref = functional.avg_pool2d(tx, F, S)
    np.testing.assert_allclose(y, ref.detach(), rtol=1e-10, atol=1e-12)
    dy = rng.standard_normal(y.shape)
    ref.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(backward(dy), tx.grad, rtol=1e-10, atol=1e-12)


def test_two_by_two_when_nothing_is_said():
    x = np.arange(48.0).reshape(1, 2, 4, 6)
    tx = torch.from_numpy(x)
    np.testing.assert_array_equal(
        pooling2d.max_pool2d(x)[0], functional.max_pool2d(tx, 2)
    )
    np.testing.assert_array_equal(
        pooling2d.average_pool2d(x)[0], functional.avg_pool2d(tx, 2)
    )


def test_the_picture_of_the_source_by_hand():
    x = pooling2d.picture()
    plane = [[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]
    assert (x[0, 0].tolist(), x.shape, x.dtype) == (plane, (1, 1, 4, 4), float)
    y, switches, backward = pooling2d.max_pool2d(x)
    np.testing.assert_array_equal(y[0, 0], [[6, 8], [3, 4]])
    np.testing.assert_array_equal(switches[0, 0], [[5, 7], [8, 15]])
    dx = backward(np.array([[[[10.0, 20], [30, 40]]]]))[0, 0]
    want = [[0, 0, 0, 0], [0, 10, 0, 20], [30, 0, 0, 0], [0, 0, 0, 40]]
    np.testing.assert_array_equal(dx, want)


def test_on_a_tie_the_first_wins_alone():
    y, switches, backward = pooling2d.max_pool2d(np.ones((1, 1, 2, 2)))
    assert switches.item() == 0
    np.testing.assert_array_equal(backward(7 * y)[0, 0], [[7, 0], [0, 0]])


def test_a_pixel_that_wins_twice_hears_of_both():
    x = np.zeros((1, 1, 3, 5))
    x[0, 0, 1, 2] = 1  # in both windows of side 3 at stride 2
    _, _, backward = pooling2d.max_pool2d(x, 3, 2)
    assert backward(np.array([[[[2.0, 5.0]]]]))[0, 0, 1, 2] == 7


def test_single_precision_stays_single():
    x = np.ones((1, 1, 4, 4), np.float32)
    y, _, backward = pooling2d.max_pool2d(x)
    mean, back = pooling2d.average_pool2d(x)
    found = {a.dtype for a in (y, backward(y), mean, back(mean))}
    assert found == {np.dtype(np.float32)}


def test_numbers_by_paper_and_pencil():
    want = {
        "picture_max_1": 6,
        "picture_max_2": 8,
        "picture_max_3": 3,
        "picture_max_4": 4,
        "picture_pixels_with_gradient": 4,
        "side_from_224": 112,
        "depth_from_224": 64,
        "side_from_32": 16,
        "depth_from_32": 12,
        "numbers_per_maximum": 4,
        "share_discarded": 0.75,
        "wins_of_one_pixel_f2": 1,  # windows side by side
        "wins_of_one_pixel_f3": 4,  # pixel 2 is the last of one and the first of one
        "place_after_shift_0": 2,  # pixels 4 and 5 make window 2
        "place_after_shift_1": 2,
        "place_after_shift_2": 3,
    }
    assert pooling2d.numbers() == pytest.approx(want, rel=1e-12)


def test_bad_input_is_named():
    x = np.zeros((1, 1, 4, 5))
    for pool in (pooling2d.max_pool2d, pooling2d.average_pool2d):
        with pytest.raises(ValueError, match=r"^x has .* \(4, 5\), expected \(N, C, H"):
            pool(x[0, 0])
    for F, S in ((0, 1), (1, 0)):
        message = rf"^F is {F} and S is {S}, expected at least 1$"
        with pytest.raises(ValueError, match=message):
            pooling2d.pool_windows(x, F, S)
    with pytest.raises(ValueError, match=r"^F is 5, expected at most 4$"):
        pooling2d.pool_windows(x, 5, 1)
    assert pooling2d.pool_windows(x, 4, 1).shape == (1, 1, 1, 2, 4, 4)
    for pool in (pooling2d.max_pool2d, pooling2d.average_pool2d):
        y, *_, backward = pool(np.zeros((2, 3, 4, 6)))
        with pytest.raises(ValueError, match=r"^dy has .*expected \(2, 3, 2, 3\)$"):
            backward(y[:1])
