"""snippets/mlp.py against torch, scikit-learn, Mazur's printed figures and by hand."""

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import mlp
from mlp import Layer

TIGHT = {"rtol": 1e-10, "atol": 1e-10}
PHIS = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}


def network(sizes, phis, seed=0):
    """Random layers, with biases that are not zero."""
    rng = np.random.default_rng(seed)
    layers = mlp.init_layers(sizes, phis, rng)
    return [layer._replace(b=rng.standard_normal(len(layer.b))) for layer in layers]


def in_torch(layers, x):
    """Output, parameters and input of the same network, with autograd."""
    tx = torch.from_numpy(x).requires_grad_()
    parameters, a = [], tx
    for layer in layers:
        linear = torch.nn.Linear(*layer.W.shape[::-1], dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.W))
            linear.bias.copy_(torch.from_numpy(layer.b))
        a = PHIS[layer.phi](linear(a))
        parameters.append((linear.weight, linear.bias))
    return a, parameters, tx


# ------------------------------------------------------------------ forward, backward
@pytest.mark.parametrize("phi", PHIS)
@pytest.mark.parametrize("sizes", [(3, 2), (3, 5, 2), (4, 6, 5, 3, 2)])
def test_any_depth_equals_torch_forward_and_backward(sizes, phi):
    phis = [phi] * (len(sizes) - 2) + ["tanh"]
    layers = network(sizes, phis)
    rng = np.random.default_rng(1)
    x, da = rng.standard_normal((7, sizes[0])), rng.standard_normal((7, sizes[-1]))
    a, backpropagate = mlp.mlp(layers, x)
    out, parameters, tx = in_torch(layers, x)
    np.testing.assert_allclose(a[-1], out.detach(), **TIGHT)
    assert [activation.shape for activation in a] == [(7, n) for n in sizes]
    assert a[0] is x

    (out * torch.from_numpy(da)).sum().backward()
    grads, dx = backpropagate(da)
    np.testing.assert_allclose(dx, tx.grad, **TIGHT)
    assert len(grads) == len(layers)
    for (dW, db), (weight, bias) in zip(grads, parameters, strict=True):
        np.testing.assert_allclose(dW, weight.grad, **TIGHT)
        np.testing.assert_allclose(db, bias.grad, **TIGHT)


@pytest.mark.parametrize("phi", PHIS)
def test_activations_and_slopes_equal_torch(phi):
    z = np.array([-800.0, -3.0, -0.5, 0.25, 2.0, 800.0])
    tz = torch.from_numpy(z).requires_grad_()
    PHIS[phi](tz).sum().backward()
    a = mlp.activate(phi, z)
    np.testing.assert_allclose(a, PHIS[phi](tz).detach(), **TIGHT)
    np.testing.assert_allclose(mlp.slope(phi, a), tz.grad, **TIGHT)
    assert mlp.slope(phi, a).dtype == np.float64


def test_single_precision_stays_single():
    layers = [
        Layer(layer.W.astype(np.float32), layer.b.astype(np.float32), layer.phi)
        for layer in network((3, 5, 4, 2), ["relu", "sigmoid", "identity"])
    ]
    x = np.ones((2, 3), np.float32)
    a, backpropagate = mlp.mlp(layers, x)
    grads, dx = backpropagate(np.ones((2, 2), np.float32))
    everything = [*a, dx, *(part for pair in grads for part in pair)]
    assert {array.dtype for array in everything} == {np.dtype(np.float32)}


def test_relu_has_slope_zero_at_zero_as_in_torch():
    assert mlp.slope("relu", np.zeros(1)) == 0


def test_linear_layers_collapse_into_one():
    layers = network((4, 5, 3), ["identity", "identity"])
    (W1, b1, _), (W2, b2, _) = layers
    x = np.random.default_rng(2).standard_normal((6, 4))
    one = mlp.forward(Layer(W2 @ W1, W2 @ b1 + b2, "identity"), x)
    np.testing.assert_allclose(mlp.mlp(layers, x)[0][-1], one, **TIGHT)


def test_hidden_units_may_be_permuted():
    hidden, output = network((3, 4, 2), ["tanh", "identity"])
    order = [2, 0, 3, 1]
    shuffled = [
        Layer(hidden.W[order], hidden.b[order], "tanh"),
        output._replace(W=output.W[:, order]),
    ]
    x = np.random.default_rng(2).standard_normal((6, 3))
    np.testing.assert_allclose(
        mlp.mlp(shuffled, x)[0][-1], mlp.mlp([hidden, output], x)[0][-1], **TIGHT
    )


def test_equal_units_stay_equal():
    layers = [
        Layer(np.full((3, 2), 0.3), np.zeros(3), "tanh"),
        Layer(np.full((1, 3), 0.2), np.zeros(1), "identity"),
    ]
    (W, b, _), _ = mlp.descend(layers, mlp.XOR_X, mlp.XOR_Y, 0.5, 20)[0]
    assert np.ptp(W, axis=0).max() < 1e-15 > np.ptp(b)
    assert np.abs(W - 0.3).max() > 1e-3


# ------------------------------------------------------------------ start and counts
def test_the_start_has_the_variance_of_its_activation():
    W, b, phi = mlp.init_layers([400, 300], ["relu"], np.random.default_rng(3))[0]
    assert W.shape == (300, 400)
    assert phi == "relu"
    np.testing.assert_array_equal(b, np.zeros(300))
    assert W.var() == pytest.approx(2 / 400, rel=0.02)
    for phi in ("tanh", "sigmoid", "identity"):
        W, _, _ = mlp.init_layers([400, 300], [phi], np.random.default_rng(3))[0]
        assert W.var() == pytest.approx(1 / 400, rel=0.02)


@pytest.mark.parametrize(
    "sizes", [(2, 2, 1), (3, 4, 2), (3, 4, 4, 1), (784, 30, 10), (5, 1)]
)
def test_parameters_equal_those_of_torch(sizes):
    pairs = list(pairwise(sizes))
    nets = [torch.nn.Linear(n_in, n_out, device="meta") for n_in, n_out in pairs]
    count = sum(p.numel() for net in nets for p in net.parameters())
    assert mlp.parameters(sizes) == count
    layers = mlp.init_layers(sizes, ["tanh"] * len(pairs), np.random.default_rng(0))
    assert sum(layer.W.size + layer.b.size for layer in layers) == count


# ------------------------------------------------------------------ worked example
def test_one_step_of_the_worked_example_by_torch():
    layers, x, t = mlp.worked_example()
    out, ((W1, _), (W2, _)), _ = in_torch(layers, x)
    error = 0.5 * ((torch.from_numpy(t) - out) ** 2).sum()
    error.backward()
    updated, after = mlp.worked_steps(1)
    np.testing.assert_allclose(updated[0].W, (W1 - 0.5 * W1.grad).detach(), **TIGHT)
    np.testing.assert_allclose(updated[1].W, (W2 - 0.5 * W2.grad).detach(), **TIGHT)
    assert [layer.b.tolist() for layer in updated] == [[0.35, 0.35], [0.6, 0.6]]
    assert mlp.worked_steps(0)[1] == pytest.approx(error.item(), abs=1e-15)
    again = in_torch(updated, x)[0].detach().numpy()
    assert after == pytest.approx(0.5 * ((t - again) ** 2).sum(), abs=1e-15)


def test_the_weights_after_one_step_are_those_that_mazur_prints():
    (hidden, output), _ = mlp.worked_steps(1)
    printed = [[0.149780716, 0.19956143], [0.24975114, 0.29950229]]
    np.testing.assert_allclose(hidden.W, printed, atol=5e-9)
    printed = [[0.35891648, 0.408666186], [0.511301270, 0.561370121]]
    np.testing.assert_allclose(output.W, printed, atol=5e-9)


def test_output_first_pulls_the_gradient_through_the_new_weights():
    (hidden, output), _ = mlp.worked_steps(1, output_first=True)
    (old_hidden, old_output), x, t = mlp.worked_example()
    np.testing.assert_array_equal(output.W, mlp.worked_steps(1)[0][1].W)
    h = 1 / (1 + np.exp(-(old_hidden.W @ x[0] + 0.35)))
    o = 1 / (1 + np.exp(-(old_output.W @ h + 0.6)))
    delta = (o - t[0]) * o * (1 - o)
    wrong = np.outer((output.W.T @ delta) * h * (1 - h), x[0])
    np.testing.assert_allclose(hidden.W, old_hidden.W - 0.5 * wrong, **TIGHT)


def test_the_errors_that_mazur_prints_come_from_output_first():
    assert mlp.worked_steps(1, True)[1] == pytest.approx(0.291027924, abs=5e-10)
    assert mlp.worked_steps(1)[1] != pytest.approx(0.291027924, abs=1e-7)


# ------------------------------------------------------------------ XOR, losses, data
def test_xor_by_hand_and_its_fold():
    (_, h, z), _ = mlp.mlp(mlp.xor_by_hand(), mlp.XOR_X)
    np.testing.assert_array_equal(h, [[0, 0], [1, 0], [1, 0], [2, 1]])
    np.testing.assert_array_equal(z[:, 0], [0, 1, 1, 0])
    truth = [int(a) ^ int(b) for a, b in mlp.XOR_X]
    np.testing.assert_array_equal(mlp.XOR_Y[:, 0], truth)


def test_best_affine_fit_equals_least_squares():
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((9, 3)), rng.standard_normal((9, 1))
    X = np.hstack([x, np.ones((9, 1))])
    expected = torch.linalg.lstsq(torch.from_numpy(X), torch.from_numpy(y))[0][:, 0]
    np.testing.assert_allclose(mlp.best_affine_fit(x, y), expected, **TIGHT)


def test_logistic_loss_equals_torch_and_does_not_overflow():
    z = np.array([[-2.0], [0.3], [1000.0], [-1000.0]])
    y = np.array([[0.0], [1.0], [0.0], [0.0]])
    tz = torch.from_numpy(z).requires_grad_()
    reference = torch.nn.functional.binary_cross_entropy_with_logits(
        tz, torch.from_numpy(y)
    )
    reference.backward()
    loss, dz = mlp.logistic_loss(z, y)
    assert loss == pytest.approx(reference.item(), abs=1e-12)
    np.testing.assert_allclose(dz, tz.grad, **TIGHT)


def test_accuracy_counts_sides():
    layers = [Layer(np.array([[1.0, 0.0]]), np.array([0.0]), "identity")]
    x = np.array([[1.0, 0], [2, 0], [-1, 0], [0, 5]])
    assert mlp.accuracy(layers, x, np.array([[1.0], [0], [0], [1]])) == 0.5
    assert mlp.accuracy(layers, x, np.array([[1.0], [1], [0], [0]])) == 1.0


def test_moons_are_half_circles():
    x, y = mlp.moons(400, 0.0, np.random.default_rng(5))
    assert y.dtype == float
    np.testing.assert_array_equal(y[:, 0], [0, 1] * 200)
    upper, lower = x[::2], x[1::2]
    np.testing.assert_allclose(np.linalg.norm(upper, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(lower - [1, 0.5], axis=1), 1, atol=1e-12)
    assert upper[:, 1].min() >= 0
    assert lower[:, 1].max() <= 0.5
    assert upper[:, 0].min() < -0.95
    assert upper[:, 0].max() > 0.95
    noisy, _ = mlp.moons(400, 0.1, np.random.default_rng(5))
    assert (noisy - x).std() == pytest.approx(0.1, rel=0.06)
    assert abs((noisy - x).mean()) < 0.02
    rng = np.random.default_rng(5)
    rng.random(400)  # the angles come first
    np.testing.assert_allclose(
        noisy - x, 0.1 * rng.standard_normal((400, 2)), atol=1e-12
    )


# ------------------------------------------------------------------ training
def test_the_loss_curve_is_that_of_scikit_learn():
    rng = np.random.default_rng(6)
    x, y = mlp.moons(120, 0.1, rng)
    layers = mlp.init_layers([2, 6, 5, 1], ["tanh", "tanh", "identity"], rng)
    net = MLPClassifier(
        (6, 5),
        activation="tanh",
        solver="sgd",
        alpha=0.0,
        batch_size=len(x),
        learning_rate_init=0.7,
        momentum=0.0,
        nesterovs_momentum=False,
        shuffle=False,
        warm_start=True,
        max_iter=1,
        n_iter_no_change=1000,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(x, y[:, 0])  # makes the arrays, which we then fill
        net.coefs_ = [layer.W.T.copy() for layer in layers]
        net.intercepts_ = [layer.b.copy() for layer in layers]
        net.set_params(max_iter=80).fit(x, y[:, 0])
    trained, losses = mlp.descend(layers, x, y, lr=0.7, n_steps=80)
    np.testing.assert_allclose(losses, net.loss_curve_[-80:], rtol=1e-9)
    for layer, W, b in zip(trained, net.coefs_, net.intercepts_, strict=True):
        np.testing.assert_allclose(layer.W, W.T, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(layer.b, b, rtol=1e-8, atol=1e-10)
    assert mlp.accuracy(trained, x, y) == net.score(x, y[:, 0])
    assert losses[-1] < 0.8 * losses[0]


def test_descend_leaves_the_start_as_it_was():
    layers = network((2, 3, 1), ["tanh", "identity"])
    before = [(layer.W.copy(), layer.b.copy()) for layer in layers]
    trained, losses = mlp.descend(layers, mlp.XOR_X, mlp.XOR_Y, 1.0, 3)
    assert len(losses) == 3
    for layer, (W, b) in zip(layers, before, strict=True):
        np.testing.assert_array_equal(layer.W, W)
        np.testing.assert_array_equal(layer.b, b)
    assert not np.array_equal(trained[0].W, before[0][0])
    assert [layer.phi for layer in trained] == ["tanh", "identity"]


def test_moons_are_learned_as_described():
    assert len(mlp.moons_accuracies(3)) == 20
    rng = np.random.default_rng(4)
    x, y = mlp.moons(200, 0.1, rng)
    fresh_x, fresh_y = mlp.moons(1000, 0.1, rng)
    layers = mlp.init_layers([2, 3, 1], ["tanh", "identity"], rng)
    layers, _ = mlp.descend(layers, x, y, 1.0, 1000)
    assert mlp.moons_accuracies(3)[4] == mlp.accuracy(layers, fresh_x, fresh_y)


def test_two_units_by_hand_bend_where_the_formula_says():
    rng = np.random.default_rng(7)
    x = rng.uniform(-2, 3, (50, 2))
    u, v = x[:, 0] - 0.5, x[:, 1] - 0.25
    expected = 10 * np.tanh(0.1 * (u - v)) - np.tanh(4 * u)
    z = mlp.mlp(mlp.moons_by_hand(), x)[0][-1]
    np.testing.assert_allclose(z[:, 0], expected, **TIGHT)
    # without noise all points lie on their side
    x, y = mlp.moons(2000, 0.0, rng)
    z = mlp.mlp(mlp.moons_by_hand(), x)[0][-1]
    assert np.where(y == 1, z, -z).min() > 0.15


def test_xor_is_learned_as_described():
    learned, lost = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        layers = mlp.init_layers([2, 2, 1], ["relu", "identity"], rng)
        layers, _ = mlp.descend(layers, mlp.XOR_X, mlp.XOR_Y, 1.0, 500)
        z = mlp.mlp(layers, mlp.XOR_X)[0][-1][:, 0]
        learned.append((z > 0).tolist() == [False, True, True, False])
        off = (mlp.XOR_X @ layers[0].W.T + layers[0].b <= 0).all(axis=0)
        lost.append(off.any() and not learned[-1])
    assert mlp.xor_outcomes(2) == (sum(learned), sum(lost))


@pytest.fixture(scope="module")
def numbers():
    return mlp.numbers()


def test_width_helps_to_find_what_two_units_can_do(numbers):
    parted = [numbers[f"moons_parted_width{width}"] for width in (1, 2, 3, 8)]
    assert parted[0] == 0
    assert parted[1] < 10 < parted[2]
    assert parted[3] >= 18
    assert numbers["moons_hand_parted"] == 20
    assert numbers["moons_width2_median"] < 0.92
    assert numbers["moons_width3_median"] > 0.98


def test_two_relu_units_can_but_seldom_do(numbers):
    assert numbers["xor_learned_width2"] <= 5
    assert numbers["xor_learned_width16"] >= 18
    learned = [numbers[f"xor_learned_width{width}"] for width in (2, 4, 8, 16)]
    assert learned == sorted(learned)


def test_numbers_are_those_of_paper_and_pencil(numbers):
    """All that the page quotes: counts by products, Mazur's example by another hand."""
    want = {}
    for name in mlp.SIZES.split():
        sizes = [int(size) for size in name.split("_")]
        products = sum(p * q for p, q in pairwise(sizes))
        want[f"products_{name}"] = products
        want[f"parameters_{name}"] = products + sum(sizes) - sizes[0]

    def sigma(z):
        return 1 / (1 + math.exp(-z))

    def run(steps, new):
        w = [0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55]
        for step in range(steps + 1):
            net_h = [0.05 * w[0] + 0.1 * w[1] + 0.35, 0.05 * w[2] + 0.1 * w[3] + 0.35]
            h = [sigma(z) for z in net_h]
            net_o = [h[0] * w[i] + h[1] * w[i + 1] + 0.6 for i in (4, 6)]
            o = [sigma(z) for z in net_o]
            error = 0.5 * (o[0] - 0.01) ** 2 + 0.5 * (o[1] - 0.99) ** 2
            d = [(p - t) * p * (1 - p) for p, t in zip(o, (0.01, 0.99), strict=True)]
            g_out = [d[0] * h[0], d[0] * h[1], d[1] * h[0], d[1] * h[1]]
            new_out = [u - 0.5 * g for u, g in zip(w[4:], g_out, strict=True)]
            u = new_out if new else w[4:]
            dh = [d[0] * u[0] + d[1] * u[2], d[0] * u[1] + d[1] * u[3]]
            e = [dh[k] * h[k] * (1 - h[k]) for k in (0, 1)]
            if step < steps:
                g = [e[0] * 0.05, e[0] * 0.1, e[1] * 0.05, e[1] * 0.1]
                w = [v - 0.5 * k for v, k in zip(w[:4], g, strict=True)] + new_out
        return w, net_h, h, o, error, dh, g_out, e

    _, net_h, h, o, error, dh, g_out, e = run(0, new=False)
    want |= {"pull_o1": o[0] - 0.01, "slope_o1": o[0] * (1 - o[0])}
    want |= {"slope_h1": h[0] * (1 - h[0]), "orders_of_32_units": math.factorial(32)}
    want |= {"net_h1": net_h[0], "error": error}
    want |= {"out_h1": h[0], "out_o1": o[0], "out_o2": o[1]}
    want |= {"dE_dh1": dh[0], "dE_dw5": g_out[0], "dE_dw1": e[0] * 0.05}
    want["dw5_over_dw1"] = g_out[0] / (e[0] * 0.05)
    for name, new in (("", False), ("_output_first", True)):
        w, *_, one_step, _, _, _ = run(1, new)
        want[f"error_1_step{name}"] = one_step
        want[f"w1_1_step{name}"] = w[0]
        _, _, _, o, many_steps, *_ = run(10_000, new)
        want[f"error_10000_steps{name}"] = many_steps
        want[f"out_o1_10000_steps{name}"] = o[0]
        want[f"out_o2_10000_steps{name}"] = o[1]
    want["error_9999_steps"] = run(9999, new=False)[4]
    want |= {"xor_affine_weight": 0, "xor_affine_constant": 0.5, "xor_hand_error": 0}
    for width in (1, 2, 3, 8):
        found = sorted(mlp.moons_accuracies(width))
        want[f"moons_width{width}_median"] = (found[9] + found[10]) / 2
        want[f"moons_parted_width{width}"] = sum(share > 0.95 for share in found)
    hand = []
    for seed in range(20):
        x, y = mlp.moons(1000, 0.1, np.random.default_rng(seed))
        u, v = x[:, 0] - 0.5, x[:, 1] - 0.25
        below = 10 * np.tanh(0.1 * (u - v)) > np.tanh(4 * u)
        hand.append((below == (y[:, 0] == 1)).mean())
    want["moons_hand_median"] = (sorted(hand)[9] + sorted(hand)[10]) / 2
    want["moons_hand_parted"] = sum(share > 0.95 for share in hand)
    for width in (2, 4, 8, 16):
        learned, lost = mlp.xor_outcomes(width)
        want |= {f"xor_learned_width{width}": learned}
        want |= {f"xor_unit_off_width{width}": lost}
        want |= {f"xor_missed_width{width}": 20 - learned}
    want |= {"moons_steps": 1000, "xor_steps": 500, "starts": 20}
    assert numbers == pytest.approx(want, rel=1e-9, abs=1e-12)


# ------------------------------------------------------------------ errors
def test_what_does_not_fit_is_named():
    layers = network((3, 4, 2), ["tanh", "identity"])
    with pytest.raises(
        ValueError, match=r"input has shape \(5, 2\), expected \(B, 3\)"
    ):
        mlp.mlp(layers, np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"input has shape \(3,\), expected \(B, 3\)"):
        mlp.mlp(layers, np.zeros(3))
    with pytest.raises(
        ValueError, match=r"input has shape \(5, 3\), expected \(B, 4\)"
    ):
        mlp.mlp(layers[1:], np.zeros((5, 3)))
    backpropagate = mlp.mlp(layers, np.zeros((5, 3)))[1]
    with pytest.raises(ValueError, match=r"da has shape \(2,\), expected \(5, 2\)"):
        backpropagate(np.zeros(2))
    with pytest.raises(ValueError, match="phi is 'step', expected identity, sigmoid"):
        mlp.activate("step", np.zeros(2))
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"sizes are \[3\], expected two or more"):
        mlp.init_layers([3], [], rng)
    with pytest.raises(ValueError, match=r"sizes are \[3, 0\], .*each above 0"):
        mlp.init_layers([3, 0], ["tanh"], rng)
    with pytest.raises(ValueError, match="1 activations, expected 2"):
        mlp.init_layers([3, 1, 2], ["tanh"], rng)
