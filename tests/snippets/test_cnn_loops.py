"""snippets/cnn_loops.py: torch's layers and autograd, cnn_numpy, counts by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

import cnn_loops
import cnn_numpy

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def tensor(array):
    return torch.tensor(array, requires_grad=True)


@pytest.mark.parametrize("sides", [(8, 7, 3, 3), (5, 9, 2, 4), (3, 3, 3, 3)])
def test_convolution_and_its_gradients_equal_torch_and_the_batched_one(sides):
    H, W, FH, FW = sides
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, H, W))
    w, b = rng.standard_normal((4, 3, FH, FW)), rng.standard_normal(4)
    y = cnn_loops.conv_loops(x, w, b)
    tx, tw, tb = tensor(x), tensor(w), tensor(b)
    ty = functional.conv2d(tx, tw, tb)
    np.testing.assert_allclose(y, ty.detach(), **TIGHT)
    dy = rng.standard_normal(y.shape)
    ty.backward(torch.from_numpy(dy))
    grads = cnn_loops.conv_loops_backward(dy, x, w)
    for ours, theirs in zip(grads, (tx, tw, tb), strict=True):
        np.testing.assert_allclose(ours, theirs.grad, **TIGHT)

    batched, backward = cnn_numpy.conv2d(x[None], w, b)
    np.testing.assert_allclose(batched[0], y, **TIGHT)
    dx, dw, db = backward(dy[None])
    for ours, theirs in zip(grads, (dx[0], dw, db), strict=True):
        np.testing.assert_allclose(ours, theirs, **TIGHT)


@pytest.mark.parametrize(("F", "S"), [(2, 2), (3, 2), (2, 1), (3, 3)])
def test_pooling_and_its_gradient_equal_torch_also_where_windows_overlap(F, S):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 7, 9))
    y = cnn_loops.pool_loops(x, F, S)
    tx = tensor(x)
    ty = functional.max_pool2d(tx, F, S)
    np.testing.assert_array_equal(y, ty.detach())
    dy = rng.standard_normal(y.shape)
    ty.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(
        cnn_loops.pool_loops_backward(dy, x, F, S), tx.grad, **TIGHT
    )


def test_pooling_is_2_by_2_without_further_word():
    x = np.array([[[1.0, 5, 2, 0], [3, 4, 9, 8]]])
    np.testing.assert_array_equal(cnn_loops.pool_loops(x), [[[5, 9]]])
    dx = cnn_loops.pool_loops_backward(np.array([[[10.0, 20]]]), x)
    np.testing.assert_array_equal(dx, [[[0, 10, 0, 0], [0, 0, 20, 0]]])


def test_one_pixel_that_wins_four_windows_gets_four_gradients():
    x = np.zeros((1, 5, 5))
    x[0, 2, 2] = 1
    dx = cnn_loops.pool_loops_backward(np.array([[[1.0, 2], [3, 4]]]), x, 3, 2)
    assert dx[0, 2, 2] == 10
    assert dx.sum() == 10


@pytest.mark.parametrize("shape", [(4, 2, 3, 3), (4, 3, 6, 3), (4, 3, 3, 6)])
def test_filters_that_do_not_fit_are_named(shape):
    with pytest.raises(ValueError, match=r"w has shape .* does not fit x of \(3, 5, 5"):
        cnn_loops.conv_loops(np.zeros((3, 5, 5)), np.zeros(shape), np.zeros(4))


def test_one_bias_for_each_filter():
    with pytest.raises(ValueError, match=r"^b has shape \(1,\), expected \(4,\)$"):
        cnn_loops.conv_loops(np.zeros((3, 5, 5)), np.zeros((4, 3, 3, 3)), np.zeros(1))


@pytest.mark.parametrize(("F", "S"), [(0, 1), (4, 2), (2, 0)])
def test_windows_that_do_not_fit_are_named(F, S):
    wanted = rf"^F is {F} and S is {S}, expected F from 1 to 3 and S of at least 1$"
    for shape in ((1, 3, 5), (1, 5, 3)):
        with pytest.raises(ValueError, match=wanted):
            cnn_loops.pool_loops(np.zeros(shape), F, S)
    assert cnn_loops.pool_loops(np.zeros((1, 3, 5)), 3, 1).shape == (1, 1, 3)


@pytest.mark.parametrize(("side", "F", "K"), [(5, 3, 8), (28, 0, 8), (28, 5, 0)])
def test_costs_of_what_cannot_be_are_refused(side, F, K):
    with pytest.raises(ValueError, match=f"^side {side}, F {F}, K {K}: expected F and"):
        cnn_loops.costs(side, F, K)
    assert cnn_loops.costs(6, 3, 1)["visits"]["pool"] == 1


def test_counts_by_hand():
    layers = ["conv 1", "conv 2", "pool", "dense 1", "dense 2"]
    wanted = {
        "parameters": [208, 1608, 0, 102528, 1290],
        "visits": [4608, 3200, 800, 0, 0],
        "multiply-adds": [115200, 640000, 0, 102400, 1280],
    }
    assert cnn_loops.costs() == {
        what: dict(zip(layers, values, strict=True)) for what, values in wanted.items()
    }
    small = cnn_loops.costs(side=8, F=3, K=4)  # sides 6, 4, 2
    assert list(small["visits"].values()) == [144, 64, 16, 0, 0]
    assert list(small["parameters"].values()) == [40, 148, 0, 128 * 17, 1290]


def test_parameters_are_those_of_the_network():
    for side, F, K in ((28, 5, 8), (8, 3, 8), (10, 3, 4)):
        p = cnn_numpy.init_params(np.random.default_rng(0), side, F, K)
        counted = cnn_loops.costs(side, F, K)["parameters"].values()
        assert sum(counted) == sum(value.size for value in p.values())


def test_numbers_by_paper_and_pencil():
    assert cnn_loops.numbers() == pytest.approx(
        {
            "side_1": 24,
            "side_2": 20,
            "side_pool": 10,
            "dense_inputs": 800,
            "visits_forward": 8608,
            "parameters": 105634,
            "parameters_share_dense_1": 102528 / 105634,
            "multiply_adds": 858880,
            "multiply_adds_share_conv_2": 640000 / 858880,
            "visits_batch": 550912,
            "microseconds_train": 6.89e6 / 550912,
            "microseconds_test": 1e6 / 11.62 / 8608,
            "updates_epoch": 1563,
            "updates": 3126,
            "test_seconds": 10000 / 11.62,
            "epoch_seconds": 10769.07,
            "training_hours": 2 * 1563 * 6.89 / 3600,
        },
        rel=1e-12,
    )
