"""snippets/matrix_calculus.py against torch autograd, differences and by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.autograd.functional import jacobian

import matrix_calculus as mc

TIGHT = {"rtol": 1e-10, "atol": 1e-10}
W_VECTOR, X_VECTOR = np.array([1.0, 2, 3]), np.array([4.0, 5, 6])


def network(sizes, seed=0):
    rng = np.random.default_rng(seed)
    pairs = list(pairwise(sizes))
    W = [rng.standard_normal((n_out, n_in)) for n_in, n_out in pairs]
    return W, [rng.standard_normal(n) for n in sizes[1:]]


def by_autograd(W, b, X, Y):
    """Gradients of the mean over the columns of 1/2 sum (a - y)^2."""
    tW = [torch.tensor(M, requires_grad=True) for M in W]
    tb = [torch.tensor(v, requires_grad=True) for v in b]
    a = torch.from_numpy(X)
    for M, v in zip(tW, tb, strict=True):
        a = torch.sigmoid(M @ a + v[:, None])
    (0.5 * (a - torch.from_numpy(Y)) ** 2).sum(dim=0).mean().backward()
    return [M.grad.numpy() for M in tW], [v.grad.numpy() for v in tb]


def test_numeric_jacobian_equals_autograd():
    rng = np.random.default_rng(1)
    M, x = rng.standard_normal((4, 3)), rng.standard_normal(3)
    ours = mc.numeric_jacobian(lambda v: np.sin(M @ v) * v.sum(), x)
    tM = torch.from_numpy(M)
    theirs = jacobian(lambda v: torch.sin(tM @ v) * v.sum(), torch.from_numpy(x))
    assert ours.shape == (4, 3)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)


def test_numeric_jacobian_is_central():
    """One-sided differences would be off by eps; a cubic shows eps^2."""
    J = mc.numeric_jacobian(lambda v: v**3, np.array([2.0]), eps=0.1)
    assert J[0, 0] == pytest.approx(12 + 0.01, abs=1e-12)
    fine = mc.numeric_jacobian(np.exp, np.array([0.0]))[0, 0] - 1
    assert 0 < fine < 1e-10  # eps^2 / 6, and rounding


def test_operations_equal_differences_and_autograd():
    table = mc.operation_jacobians(W_VECTOR, X_VECTOR, 7.0)
    w, x = torch.from_numpy(W_VECTOR), torch.from_numpy(X_VECTOR)
    z = torch.tensor([7.0], dtype=torch.float64)
    reference = {
        "w * x, by w": (lambda v: v * x, w),
        "w * x, by x": (lambda v: w * v, x),
        "w - x, by x": (lambda v: w - v, x),
        "w / x, by x": (lambda v: w / v, x),
        "x + z, by z": (lambda v: x + v, z),
        "z x, by z": (lambda v: v * x, z),
        "sum x, by x": (lambda v: v.sum()[None], x),
        "w . x, by w": (lambda v: (v @ x)[None], w),
    }
    assert table.keys() == reference.keys()
    for name, (f, at, J) in table.items():
        g, point = reference[name]
        np.testing.assert_array_equal(at, point, err_msg=name)
        np.testing.assert_allclose(f(at), g(point), **TIGHT, err_msg=name)
        np.testing.assert_allclose(J, jacobian(g, point), **TIGHT, err_msg=name)
        np.testing.assert_allclose(J, mc.numeric_jacobian(f, at), atol=1e-8)


def test_operations_by_hand():
    J = {k: v[2] for k, v in mc.operation_jacobians(W_VECTOR, X_VECTOR, 7.0).items()}
    assert J["w * x, by w"].tolist() == [[4, 0, 0], [0, 5, 0], [0, 0, 6]]
    assert J["w / x, by x"].diagonal() == pytest.approx([-0.0625, -0.08, -1 / 12])
    assert J["z x, by z"].tolist() == [[4], [5], [6]]
    assert J["sum x, by x"].tolist() == [[1, 1, 1]]
    assert J["w . x, by w"].tolist() == [[4, 5, 6]]


def test_the_chain_rule_multiplies_the_last_leftmost():
    rng = np.random.default_rng(2)
    A, B = rng.standard_normal((4, 3)), rng.standard_normal((2, 4))
    functions = [lambda v: A @ v, np.sin, lambda v: B @ v]
    x = rng.standard_normal(3)
    expected = B @ np.diag(np.cos(A @ x)) @ A
    np.testing.assert_allclose(mc.chain_rule(functions, x), expected, atol=1e-8)
    np.testing.assert_array_equal(mc.chain_rule([], x), np.eye(3))


def test_layer_jacobians_equal_autograd():
    rng = np.random.default_rng(3)
    W, b, a = (
        rng.standard_normal((3, 4)),
        rng.standard_normal(3),
        rng.standard_normal(4),
    )
    tW, tb, ta = (torch.from_numpy(v) for v in (W, b, a))
    z = W @ a + b
    by_W, by_a, by_b = jacobian(lambda W, a, b: W @ a + b, (tW, ta, tb))
    np.testing.assert_allclose(mc.dz_dw(a, 3), by_W, **TIGHT)
    np.testing.assert_allclose(mc.dz_da(W), by_a, **TIGHT)
    np.testing.assert_allclose(mc.dz_db(3), by_b, **TIGHT)
    tz = torch.from_numpy(z)
    np.testing.assert_allclose(mc.da_dz(z), jacobian(torch.sigmoid, tz), **TIGHT)
    y = rng.standard_normal(3)
    by_cost = jacobian(lambda v: 0.5 * ((v - torch.from_numpy(y)) ** 2).sum(), tz)
    np.testing.assert_allclose(mc.dc_da(z, y), by_cost[None], **TIGHT)
    by_softmax = jacobian(lambda v: torch.softmax(v, dim=0), tz)
    np.testing.assert_allclose(mc.softmax_jacobian(z), by_softmax, **TIGHT)
    np.testing.assert_allclose(mc.softmax_jacobian(z + 1e4), by_softmax, **TIGHT)


def test_the_array_of_order_three_holds_the_input_n_times():
    cube = mc.dz_dw(np.array([5.0, 7.0]), 3)
    assert cube.shape == (3, 3, 2)
    assert np.count_nonzero(cube) == 6
    for i in range(3):
        np.testing.assert_array_equal(cube[i, i], [5, 7])


def test_sigmoid_equals_torch_and_does_not_overflow():
    z = np.array([-1000.0, -2, 0, 0.5, 1000])
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(
            mc.sigmoid(z), torch.sigmoid(torch.from_numpy(z)), **TIGHT
        )


@pytest.mark.parametrize("sizes", [(3, 2), (3, 4, 2), (2, 5, 4, 3)])
def test_both_routes_equal_autograd(sizes):
    W, b = network(sizes)
    rng = np.random.default_rng(4)
    X, Y = rng.standard_normal((sizes[0], 6)), rng.random((sizes[-1], 6))
    expected_W, expected_b = by_autograd(W, b, X, Y)
    dW, db = mc.backpropagate(W, b, X, Y)
    assert len(dW) == len(db) == len(W)
    for ours, theirs in zip(dW + db, expected_W + expected_b, strict=True):
        np.testing.assert_allclose(ours, theirs, **TIGHT)

    # one example after the other through full Jacobians; their mean is the batch's
    singles = [
        mc.gradients_by_jacobians(W, b, x, y) for x, y in zip(X.T, Y.T, strict=True)
    ]
    for part, batch in enumerate((dW, db)):
        for l, gradient in enumerate(batch):
            mean = np.mean([single[part][l] for single in singles], axis=0)
            np.testing.assert_allclose(mean, gradient, **TIGHT)


def test_forward_takes_one_example_or_many():
    W, b = network((3, 4, 2))
    X = np.random.default_rng(5).standard_normal((3, 5))
    zs, a = mc.forward(W, b, X)
    assert [v.shape for v in zs] == [(4, 5), (2, 5)]
    assert [v.shape for v in a] == [(3, 5), (4, 5), (2, 5)]
    one_z, one_a = mc.forward(W, b, X[:, 2])
    for many, one in zip(zs + a, one_z + one_a, strict=True):
        np.testing.assert_allclose(many[:, 2], one, **TIGHT)
    assert one_a[-1].shape == (2,)


def test_the_row_vector_reading_of_the_error():
    W, b, x, y = mc.small_network()
    (z1, z2), (_, _, a2) = mc.forward(W, b, x)
    row = mc.dc_da(a2, y) @ mc.da_dz(z2) @ mc.dz_da(W[1]) @ mc.da_dz(z1)
    delta = mc.gradients_by_jacobians(W, b, x, y)[1][0]
    np.testing.assert_allclose(row[0], delta, **TIGHT)


def count_by_running(sizes, order):
    """Multiply matrices of ones, counting, two neighbours at a time."""
    shapes = list(pairwise(sizes))
    total = 0
    while len(shapes) > 1:
        i = 0 if order == "left" else len(shapes) - 2
        (p, q), (_, r) = shapes[i : i + 2]
        total += p * q * r
        shapes[i : i + 2] = [(p, r)]
    return total


@pytest.mark.parametrize("sizes", [[1, 10, 30, 784], [2, 3, 4], [5, 4, 3, 2, 1]])
def test_products_are_counted(sizes):
    assert mc.products_from_left(sizes) == count_by_running(sizes, "left")
    assert mc.products_from_right(sizes) == count_by_running(sizes, "right")


def test_numbers_are_those_of_paper_and_pencil():
    W = [[[0.1, 0.2], [-0.3, 0.4], [0.5, -0.6]], [[0.7, -0.8, 0.9], [-1, 1.1, -1.2]]]
    b = [[0.01, -0.02, 0.03], [0.04, -0.05]]
    x, y = [1.0, 0.5], [0.0, 1.0]

    def layer(W, b, a):
        z = [
            sum(p * q for p, q in zip(r, a, strict=True)) + c
            for r, c in zip(W, b, strict=True)
        ]
        return z, [1 / (1 + np.exp(-v)) for v in z]

    z1, a1 = layer(W[0], b[0], x)
    z2, a2 = layer(W[1], b[1], a1)
    d2 = [(a - t) * a * (1 - a) for a, t in zip(a2, y, strict=True)]
    d1 = [
        (W[1][0][k] * d2[0] + W[1][1][k] * d2[1]) * a1[k] * (1 - a1[k])
        for k in range(3)
    ]
    want = {"cost": 0.5 * (a2[0] ** 2 + (a2[1] - 1) ** 2)}
    vectors = {"z1": z1, "a1": a1, "z2": z2, "a2": a2, "delta1": d1, "delta2": d2}
    for name, vector in vectors.items():
        want |= {f"{name}_{i}": value for i, value in enumerate(vector, start=1)}
    want |= {f"dW1_{i + 1}{j + 1}": d1[i] * x[j] for i in range(3) for j in range(2)}
    want |= {f"dW2_{i + 1}{j + 1}": d2[i] * a1[j] for i in range(2) for j in range(3)}
    want |= {"f_by_x": 6, "f_by_y": 3, "g_by_x": 2, "g_by_y": 8, "total_coefficient": 2}
    want |= {"ln_times_x": 2, "sin_over_cos": 3, "nested_coefficient": 6}
    want |= {"hadamard_1": 3, "hadamard_2": 8}
    want |= {"cube_entries": 30 * 30 * 784, "cube_nonzero": 30 * 784}
    want |= {"products_up_784_30_10": 23520 + 300, "products_up_deep": 20 * 10**4}
    want["products_down_784_30_10"] = 23520 + 300 + 300
    want["products_down_deep"] = 20 * 10**4 + 19 * 10**4
    want |= {"passes_784_30_10": 1 + 24120 / 23820, "passes_deep": 2.95}
    want["products_left"] = 10 * 30 + 30 * 784
    want["products_right"] = 10 * 30 * 784 + 10 * 784
    assert mc.numbers() == pytest.approx(want, rel=2e-9)


def test_what_the_small_example_prints():
    """The table that was computed apart, to its eight digits."""
    numbers = mc.numbers()
    assert numbers["cost"] == pytest.approx(0.43260312, abs=5e-9)
    assert numbers["delta1_2"] == pytest.approx(-0.06986992, abs=5e-9)
    assert numbers["dW2_21"] == pytest.approx(-0.08172326, abs=5e-9)


def test_what_does_not_fit_is_named():
    W, b = network((3, 4, 2))
    with pytest.raises(ValueError, match="x has 2 rows, expected 3"):
        mc.forward(W, b, np.zeros(2))
    with pytest.raises(ValueError, match=r"Y has shape \(2,\), expected \(2, 5\)"):
        mc.backpropagate(W, b, np.zeros((3, 5)), np.zeros(2))
