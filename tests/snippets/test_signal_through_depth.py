"""snippets/signal_through_depth.py against autograd, torch's own inits and formulas."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit

import signal_through_depth as std

TIGHT = {"rtol": 1e-10, "atol": 1e-12}
TORCH = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}
L, S, N, B = 4, 2, 6, 3


@pytest.fixture(scope="module")
def out():
    return std.numbers()


def case(seed=0):
    rngs = [np.random.default_rng([seed, s]) for s in range(S)]
    W = std.init_weights("he", L, N, rngs)
    rng = np.random.default_rng(seed)
    return W, rng.standard_normal((S, N, B)), rng.standard_normal((S, N, B))


@pytest.mark.parametrize("residual", [None, 1.0, 0.3])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_forward_and_backward_equal_torch(activation, residual):
    W, x, d_last = case()
    a, y = std.forward(W, x, activation, residual)
    d, dW = std.backward(W, a, y, d_last, activation, residual)
    assert d.shape == a.shape == (L + 1, S, N, B)
    for s in range(S):
        weights = [torch.from_numpy(w[s].copy()).requires_grad_() for w in W]
        states = [torch.from_numpy(x[s].copy()).requires_grad_()]
        for w in weights:
            out = TORCH[activation](w @ states[-1])
            states.append(out if residual is None else states[-1] + residual * out)
            states[-1].retain_grad()
        (states[-1] * torch.from_numpy(d_last[s])).sum().backward()
        for l in range(L + 1):
            np.testing.assert_allclose(a[l, s], states[l].detach(), **TIGHT)
            np.testing.assert_allclose(d[l, s], states[l].grad, **TIGHT)
        for l in range(L):
            np.testing.assert_allclose(dW[l, s], weights[l].grad, **TIGHT)


def test_two_layers_by_hand():
    """One sigmoid unit, weights 2 and -1, input 0: everything can be done on paper."""
    W = np.array([2.0, -1.0]).reshape(2, 1, 1, 1)
    a, y = std.forward(W, np.zeros((1, 1, 1)), "sigmoid")
    # a^1 = s(0) = 1/2, a^2 = s(-1/2); slopes 1/4 and s(-1/2) s(1/2)
    low, high = 1 / (1 + np.exp(0.5)), 1 / (1 + np.exp(-0.5))
    assert a.ravel() == pytest.approx([0, 0.5, low])
    d, dW = std.backward(W, a, y, np.ones((1, 1, 1)), "sigmoid")
    assert d.ravel() == pytest.approx([-low * high * 2 / 4, -low * high, 1])
    assert dW.ravel() == pytest.approx([0, low * high * 0.5])


def test_sigmoid_never_overflows():
    z = np.array([-1e5, -40, -1, 0, 3, 1e5])
    np.testing.assert_allclose(std.sigmoid(z), expit(z), rtol=0, atol=1e-15)


def test_slopes_are_bounded_and_equal_autograd():
    z = np.linspace(-6, 6, 241)
    for name, largest in (("sigmoid", 0.25), ("tanh", 1), ("relu", 1)):
        t = torch.from_numpy(z).requires_grad_()
        TORCH[name](t).sum().backward()
        ours = std.slope(name, std.activate(name, z))
        np.testing.assert_allclose(ours, t.grad, **TIGHT)
        assert ours.max() == largest


@pytest.mark.parametrize(
    ("init", "reference"),
    [
        ("default", lambda w: torch.nn.Linear(*w.shape).weight),
        ("glorot", torch.nn.init.xavier_uniform_),
        ("he", lambda w: torch.nn.init.kaiming_uniform_(w, nonlinearity="relu")),
    ],
)
def test_inits_are_those_of_torch(init, reference):
    n = 60
    W = std.init_weights(init, 20, n, [np.random.default_rng(s) for s in range(3)])
    assert W.shape == (20, 3, n, n)
    assert not np.array_equal(W[:, 0], W[:, 1])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torch.stack([reference(torch.empty(n, n)) for _ in range(60)])
    # both uniform: equal ends, equal variance
    assert np.abs(W).max() == pytest.approx(theirs.abs().max().item(), rel=1e-3)
    assert W.var() == pytest.approx(theirs.var().item(), rel=0.01)
    assert abs(W.mean()) < 0.01 * W.std()


@pytest.mark.parametrize(
    ("init", "n_var"), [("default", 1 / 3), ("glorot", 1), ("he", 2), ("unit", 100)]
)
def test_fan_in_times_variance(init, n_var):
    W = std.init_weights(init, 30, 100, [np.random.default_rng(5)])
    assert 100 * W.var() == pytest.approx(n_var, rel=0.01)


@pytest.mark.parametrize(
    ("activation", "init", "square"),
    [
        ("relu", "he", 1),
        ("relu", "glorot", 1 / 2),
        ("relu", "default", 1 / 6),
        ("tanh", "default", 1 / 3),
        ("sigmoid", "glorot", 1 / 16),
    ],
)
def test_the_factor_per_layer_is_the_product_of_variance_and_squared_slope(
    activation, init, square
):
    """n Var(W) E[slope^2]: ReLU 1/2; tanh 1 and sigmoid 1/16 where they are linear."""
    sizes = std.through_depth(activation, init)
    factor = sizes["gradient"][0] ** (1 / std.DEPTH)
    assert factor.shape == (5,)
    np.testing.assert_allclose(factor, np.sqrt(square), rtol=0.08)
    signal = (sizes["signal"][10] / sizes["signal"][0]) ** (1 / 10)
    if activation != "relu":  # a ReLU's inputs also become alike
        np.testing.assert_allclose(signal, np.sqrt(square), rtol=0.08)


def test_what_through_depth_returns():
    sizes = std.through_depth("tanh", "he")
    rngs = [np.random.default_rng(seed) for seed in std.SEEDS]
    W = std.init_weights("he", std.DEPTH, std.WIDTH, rngs)
    shape = (std.WIDTH, std.BATCH)
    x = np.stack([rng.standard_normal(shape) for rng in rngs])
    d_last = np.stack([rng.standard_normal(shape) for rng in rngs])
    a, y = std.forward(W, x, "tanh")
    d, dW = std.backward(W, a, y, d_last, "tanh")
    for s in range(5):
        assert sizes["rms"][-1, s] == pytest.approx(a[-1, s].ravel().std(), rel=0.05)
        assert sizes["signal"][7, s] == pytest.approx(
            np.sqrt(np.mean([np.var(unit) for unit in a[7, s]]))
        )
        norms = np.linalg.norm(d[:, s], axis=(1, 2))
        assert sizes["gradient"][:, s] == pytest.approx(norms / norms[-1])
        assert sizes["weights"][2, s] == pytest.approx(
            np.linalg.norm(dW[2, s]) / std.WIDTH
        )
    plain = std.through_depth("tanh", "he")["rms"]
    assert not np.allclose(std.through_depth("tanh", "he", 1.0)["rms"], plain)


def test_what_holds_for_every_seed(out):
    order = [f"{a}_{i}" for a, i in std.PLAIN]
    for above, below in pairwise(order[2:]):
        assert out[f"{above}_gradient_30_min"] > 50 * out[f"{below}_gradient_30_max"]
    assert out["relu_he_gradient_30_min"] > 0.3
    assert out["tanh_glorot_gradient_30_min"] > 0.1
    # large weights: the sigmoid's slope bound does not make a gradient vanish
    assert out["sigmoid_unit_gradient_30_min"] > 0.1
    # the gradients of the weights are level while everything fades
    ratio = [out[f"tanh_default_weights_ratio_{k}"] for k in ("min", "max")]
    assert 0.3 < ratio[0] < ratio[1] < 3
    # ReLU keeps the size, not what tells two inputs apart
    assert out["relu_he_rms_min"] > 0.3
    assert out["relu_he_signal_max"] < 0.4 < 0.9 < out["tanh_default_scaled_min"]
    assert out["tanh_default_shortcut_min"] > 4
    assert out["relu_he_shortcut_min"] > 1e5
    assert out["relu_he_scaled_max"] < 4


def summary(values):
    """Of five seeds: what a name ends in -> value."""
    low, _, middle, _, high = sorted(values)
    return {"min": low, "median": middle, "max": high}


def test_which_layer_each_number_is_of(out):
    """Layer 0 is the input, so a gradient there has come through all thirty."""
    assert (out["depth"], out["width"], out["seeds"]) == (30, 100, 5)
    expected = {}
    for activation, init in (*std.PLAIN, ("sigmoid", "unit")):
        sizes = std.through_depth(activation, init)
        assert len(sizes["signal"]) == len(sizes["gradient"]) == 31
        name = f"{activation}_{init}"
        expected[f"{name}_signal_10"] = sizes["signal"][10]
        expected[f"{name}_gradient_30"] = sizes["gradient"][0]
        for kind in ("min", "median", "max"):  # thirty factors
            gradient = out[f"{name}_factor_{kind}"] ** 30
            assert out[f"{name}_gradient_30_{kind}"] == pytest.approx(gradient)
    weights = std.through_depth("tanh", "default")["weights"]
    expected["tanh_default_weights_ratio"] = weights[0] / weights[29]
    sizes = std.through_depth("relu", "he")
    expected["relu_he_rms"] = sizes["rms"][30]
    expected["relu_he_signal"] = sizes["signal"][30]
    squares = (sizes["rms"][30] / sizes["rms"][0]) ** 2
    expected["relu_he_square_per_layer"] = squares ** (1 / 30)
    for activation, init in (("tanh", "default"), ("relu", "he")):
        for name, residual in (("shortcut", 1.0), ("scaled", 30**-0.5)):
            sizes = std.through_depth(activation, init, residual)
            expected[f"{activation}_{init}_{name}"] = sizes["gradient"][0]
    for init in ("default", "glorot"):
        of_weights, of_layers = std.singular_values(init)
        expected[f"singular_{init}"] = of_weights
        for kind, function in (("min", np.min), ("max", np.max), ("median", np.median)):
            assert out[f"singular_{init}_tanh_{kind}"] == function(of_layers)
    for name, values in expected.items():
        for kind, value in summary(values).items():
            assert out[f"{name}_{kind}"] == pytest.approx(value, rel=1e-9), name


def test_a_linear_shortcut_grows_by_one_plus_the_gain():
    """ReLU on positive numbers is linear: there the variance formula holds."""
    rngs = [np.random.default_rng(s) for s in range(40)]
    W = std.init_weights("default", 6, 50, rngs)
    a = y = np.ones((7, 40, 50, 1))  # slopes 1
    d_last = np.stack([rng.standard_normal((50, 1)) for rng in rngs])
    for residual, square in ((None, 1 / 3), (1.0, 4 / 3), (0.5, 1 + 1 / 12)):
        d, _ = std.backward(W, a, y[1:], d_last, "relu", residual)
        growth = (d[0] ** 2).mean() / (d[-1] ** 2).mean()
        assert growth == pytest.approx(square**6, rel=0.25)


@pytest.mark.parametrize(("init", "n_var"), [("default", 1 / 3), ("glorot", 1)])
def test_mean_singular_value(init, n_var):
    of_weights, of_layers = std.singular_values(init)
    assert of_weights.shape == (5,)
    assert of_layers.shape == (5, 5)
    np.testing.assert_allclose(of_weights, 8 / (3 * np.pi) * n_var**0.5, rtol=0.01)
    # a slope below 1 only shrinks, and the more the larger the activations are
    assert (of_layers < 1.02 * of_weights).all()
    assert (of_layers[0] < of_layers[-1]).all()
    # the first layer's Jacobian, by autograd
    rng = np.random.default_rng(0)
    W = std.init_weights(init, 5, 200, [rng])[0, 0]
    x = torch.from_numpy(rng.standard_normal(200))
    weight = torch.from_numpy(W)
    J = torch.autograd.functional.jacobian(lambda v: torch.tanh(weight @ v), x)
    expected = torch.linalg.svdvals(J).mean().item()
    assert of_layers[0, 0] == pytest.approx(expected, rel=1e-10)
    expected = torch.linalg.svdvals(weight).mean().item()
    assert of_weights[0] == pytest.approx(expected, rel=1e-10)


def test_window_by_search(out):
    """The width where |w sigma'| >= 1, by counting, and its maximum, by scipy."""
    a = np.linspace(-2, 2, 400_001)
    for w in (4.5, 6.894, 12.0, -6.0):
        inside = np.abs(w) * expit(w * a) * expit(-w * a) >= 1
        width = inside.sum() * (a[1] - a[0])
        assert std.window(np.array([w]))[0] == pytest.approx(width, abs=2e-5)
    assert std.window(np.array([4.0]))[0] == 0
    best = minimize_scalar(
        lambda w: -std.window(np.array([w]))[0], bounds=(4, 20), method="bounded"
    )
    assert out["window_width"] == pytest.approx(-best.fun, abs=1e-8)
    assert out["window_weight"] == pytest.approx(best.x, abs=1e-3)


def test_chain_ratios_equal_autograd():
    ours = std.chain_ratios(50, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    w, b = rng.standard_normal((2, 4, 50))
    a0 = rng.standard_normal(50)
    biases = [torch.from_numpy(row).requires_grad_() for row in b]
    a = torch.from_numpy(a0)
    for w_l, b_l in zip(w, biases, strict=True):
        a = torch.sigmoid(torch.from_numpy(w_l) * a + b_l)
    a.sum().backward()
    expected = (biases[0].grad / biases[2].grad).abs()
    np.testing.assert_allclose(ours, expected, **TIGHT)


def test_the_chains_of_the_page(out):
    ratios = [std.chain_ratios(20_000, np.random.default_rng(s)) for s in range(5)]
    for kind, value in summary([np.median(r) for r in ratios]).items():
        assert out[f"chain_ratio_{kind}"] == pytest.approx(value)
    shares = [np.count_nonzero(16 * r < 1) / 20_000 for r in ratios]
    for kind, value in summary(shares).items():
        assert out[f"chain_share_below_16th_{kind}"] == pytest.approx(value)


def test_numbers_that_can_be_had_on_paper(out):
    assert out["largest_slope_sigmoid"] == 0.25
    assert out["largest_slope_tanh"] == 1
    drawn = np.random.default_rng(0).uniform(-0.1, 0.1, 30 * 100 * 100)
    assert out["n_var_default"] == pytest.approx(100 * drawn.var())
    assert out["n_var_default"] == pytest.approx(1 / 3, rel=0.01)
    assert out["five_layers_default_std"] == pytest.approx(3**-2.5)
    # the mean singular value of a large square matrix: the quarter circle's mean
    for init in ("default", "glorot"):
        in_theory = out[f"singular_{init}_in_theory"]
        assert out[f"singular_{init}_median"] == pytest.approx(in_theory, rel=0.01)
    assert out["shortcut_linear"] == pytest.approx((4 / 3) ** 15)
    assert out["scaled_linear"] == pytest.approx((1 + 1 / 90) ** 15)
    kept = out["relu_he_rms_median"] ** (2 / 30)
    assert out["relu_he_square_per_layer_median"] == pytest.approx(kept, rel=0.01)


def test_bad_input_is_named():
    rngs = [np.random.default_rng(0)]
    with pytest.raises(ValueError, match="depth is 0, expected at least 1"):
        std.init_weights("he", 0, 3, rngs)
    with pytest.raises(ValueError, match="n is -1, expected at least 1"):
        std.init_weights("he", 2, -1, rngs)
    with pytest.raises(ValueError, match="init is 'lecun', expected one of default"):
        std.init_weights("lecun", 2, 3, rngs)
    with pytest.raises(ValueError, match="activation is 'gelu', expected 'sigmoid'"):
        std.through_depth("gelu", "he")
    W, x, d_last = case()
    with pytest.raises(ValueError, match=r"x has shape \(2, 5, 3\), expected \(2, 6, "):
        std.forward(W, x[:, :5], "tanh")
    with pytest.raises(ValueError, match="x has shape"):
        std.forward(W, x[0], "tanh")
    a, y = std.forward(W, x, "tanh")
    with pytest.raises(ValueError, match=r"d_last has shape \(2, 6, 2\), expected \(2"):
        std.backward(W, a, y, d_last[..., :2], "tanh")
    with pytest.raises(ValueError, match=r"\|w\| is 3.5, expected at least 4"):
        std.window(np.array([5.0, -3.5]))


def test_labels():
    assert std.label("relu", "he") == "ReLU, He"
    assert std.label("sigmoid", "default") == "sigmoid, default"
    assert std.label("tanh", "glorot") == "tanh, Glorot"
