"""snippets/universal_approximation.py against torch, np.interp, SciPy and by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit

import universal_approximation as ua
from universal_approximation import Net

TIGHT = {"rtol": 1e-10, "atol": 1e-10}
H = 2 * np.pi


@pytest.fixture(scope="module")
def numbers():
    return ua.numbers()


def random_net(phi, n=5, seed=0):
    rng = np.random.default_rng(seed)
    return Net(phi, *rng.standard_normal((3, n)), 0.7)


@pytest.mark.parametrize("phi", ["relu", "sigmoid"])
def test_a_network_equals_torch(phi):
    net = random_net(phi)
    hidden = torch.nn.Linear(1, 5, dtype=torch.float64)
    output = torch.nn.Linear(5, 1, dtype=torch.float64)
    with torch.no_grad():
        hidden.weight.copy_(torch.from_numpy(net.w)[:, None])
        hidden.bias.copy_(torch.from_numpy(net.b))
        output.weight.copy_(torch.from_numpy(net.v)[None])
        output.bias.fill_(net.c)
    x = np.linspace(-3, 3, 11)
    z = hidden(torch.from_numpy(x)[:, None])
    a = torch.relu(z) if phi == "relu" else torch.sigmoid(z)
    expected = output(a)[:, 0].detach().numpy()
    np.testing.assert_allclose(ua.evaluate(net, x), expected, **TIGHT)


def test_gradient_equals_autograd():
    net = random_net("relu")
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 9))
    w, b, v, c = (
        torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in net[1:]
    )
    g = torch.relu(torch.from_numpy(x)[:, None] * w + b) @ v + c
    ((g - torch.from_numpy(y)) ** 2).mean().backward()
    for ours, theirs in zip(ua.gradient(net[1:], x, y), (w, b, v, c), strict=True):
        np.testing.assert_allclose(ours, theirs.grad, **TIGHT)


def test_training_equals_torch_adam_with_a_linear_schedule():
    net = random_net("relu")
    x = np.linspace(-1, 2, 20)
    y = np.sin(3 * x)
    theta = [
        torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in net[1:]
    ]
    adam = torch.optim.Adam(theta, lr=0.03)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda t: 1 - t / 40)
    for _ in range(40):
        adam.zero_grad()
        g = torch.relu(torch.from_numpy(x)[:, None] * theta[0] + theta[1]) @ theta[2]
        ((g + theta[3] - torch.from_numpy(y)) ** 2).mean().backward()
        adam.step()
        schedule.step()
    trained = ua.train(net, x, y, lr=0.03, n_steps=40)
    for ours, theirs in zip(trained[1:], theta, strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-8, atol=1e-9)
    assert trained.phi == "relu"
    assert isinstance(trained.c, float)


def test_a_random_start_has_its_kinks_in_the_interval_and_is_zero():
    net = ua.random_net(2.0, 3.0, 200, np.random.default_rng(2))
    kinks = -net.b / net.w
    assert 2 <= kinks.min() < 2.05
    assert 2.95 < kinks.max() <= 3
    assert set(net.w) == {-1.0, 1.0}
    assert 60 < (net.w > 0).sum() < 140
    assert net.phi == "relu"
    np.testing.assert_array_equal(ua.evaluate(net, np.linspace(0, 5, 9)), np.zeros(9))


def test_the_polygon_is_the_interpolation_of_numpy():
    knots = np.array([-1.0, 0.0, 0.5, 2.0, 3.0])
    net = ua.polygon(np.cos, knots)
    assert len(net.w) == 4
    x = np.linspace(-1, 3, 57)
    expected = np.interp(x, knots, np.cos(knots))
    np.testing.assert_allclose(ua.evaluate(net, x), expected, **TIGHT)
    # outside: flat before the first knot, the last slope after the last one
    slope = np.cos(3.0) - np.cos(2.0)
    outside = ua.evaluate(net, np.array([-9.0, 5.0]))
    np.testing.assert_allclose(outside, [np.cos(-1), np.cos(3) + 2 * slope], **TIGHT)


def test_one_unit_is_a_line_or_a_step():
    x = np.array([0.5, 1.0, 1.75])
    line = ua.polygon(np.exp, np.array([0.0, 2.0]))
    expected = 1 + x * (math.exp(2) - 1) / 2
    np.testing.assert_allclose(ua.evaluate(line, x), expected, **TIGHT)
    step = ua.staircase(np.exp, 0.0, 2.0, 1)
    low, high = math.exp(0.5), math.exp(1.5)
    expected = [low, (low + high) / 2, high]
    np.testing.assert_allclose(ua.evaluate(step, x), expected, **TIGHT)


@pytest.mark.parametrize("n", [4, 8, 32])
def test_the_polygon_keeps_its_bound(n):
    net = ua.polygon(np.sin, np.linspace(0, H, n + 1))
    assert ua.largest_error(net, np.sin, 0, H) <= (H / n) ** 2 / 8


def test_the_staircase_steps_between_the_middles():
    net = ua.staircase(np.exp, 0.0, 2.0, 3)
    np.testing.assert_allclose(-net.b / net.w, [0.5, 1.0, 1.5], **TIGHT)
    np.testing.assert_array_equal(net.w, [1000.0] * 3)
    middles = np.array([0.25, 0.75, 1.25, 1.75])
    np.testing.assert_allclose(ua.evaluate(net, middles), np.exp(middles), rtol=1e-12)
    # at the step itself, half of it
    half = (np.exp(0.25) + np.exp(0.75)) / 2
    assert ua.evaluate(net, np.array([0.5]))[0] == pytest.approx(half, abs=1e-10)
    soft = ua.staircase(np.exp, 0.0, 2.0, 3, weight=4.0)
    steps = np.diff(np.exp(middles))
    expected = np.exp(0.25) + steps @ expit(4.0 * (0.8 - np.array([0.5, 1.0, 1.5])))
    assert ua.evaluate(soft, np.array([0.8]))[0] == pytest.approx(expected, abs=1e-10)


def test_the_largest_error_equals_that_of_scipy():
    net = ua.polygon(np.sin, np.linspace(0, H, 9))
    found = minimize_scalar(
        lambda x: -abs(ua.evaluate(net, np.array([x]))[0] - np.sin(x)),
        bounds=(H / 4 - 0.7, H / 4),
        method="bounded",
    )
    assert ua.largest_error(net, np.sin, 0, H) == pytest.approx(-found.fun, abs=1e-6)
    # and it looks at both ends
    flat = Net("relu", np.zeros(1), np.zeros(1), np.zeros(1), 0.0)
    assert ua.largest_error(flat, lambda x: x, -1, 3) == 3
    assert ua.largest_error(flat, lambda x: x, -5, 3) == 5


def test_the_tent_folds():
    x = np.linspace(0, 1, 33)
    np.testing.assert_allclose(ua.tent(x), 1 - np.abs(2 * x - 1), atol=1e-15)
    np.testing.assert_array_equal(ua.folded(x, 0), x)
    np.testing.assert_allclose(ua.folded(x, 2), ua.tent(ua.tent(x)), atol=1e-15)


def test_pieces_are_counted():
    x = np.linspace(0, 1, 65)
    assert ua.count_pieces(x) == 1
    assert ua.count_pieces(np.abs(x - 0.5)) == 2
    assert ua.count_pieces(np.maximum(x - 0.25, 0) - np.maximum(x - 0.5, 0)) == 3
    assert [ua.count_pieces(ua.folded(x, k)) for k in range(5)] == [1, 2, 4, 8, 16]
    # a slope that differs by rounding is the same slope
    assert ua.count_pieces(0.1 * np.arange(50.0)) == 1


def test_regions_by_formula_and_by_counting():
    assert [ua.largest_number_of_regions(n, 1) for n in range(4)] == [1, 2, 3, 4]
    assert [ua.largest_number_of_regions(n, 2) for n in range(5)] == [1, 2, 4, 7, 11]
    assert ua.largest_number_of_regions(3, 5) == 8  # 2^n while n <= d
    thirds = np.arange(3) * H / 3
    assert ua.count_regions(thirds, 1.0) == 7
    assert ua.count_regions(thirds[:1], 1.0) == 2
    assert ua.count_regions(thirds[:2], 1.0) == 4
    for angle in np.arange(4) * H / 4:  # the square reaches to 3 on all sides
        assert ua.count_regions(np.array([angle]), 2.9) == 2
        assert ua.count_regions(np.array([angle]), 3.1) == 1


@pytest.mark.parametrize("n", [16, 32])
def test_trained_networks_stay_behind_the_ones_built_by_hand(n, numbers):
    assert min(ua.trained_errors(n)) > numbers[f"ramps_error_{n}"]
    assert max(ua.trained_errors(n)) < numbers[f"steps_error_{n}"]


def test_trained_errors_are_those_described():
    x = np.linspace(0, H, 129)
    for seed in (0, 4):
        net = ua.random_net(0, H, 4, np.random.default_rng(seed))
        net = ua.train(net, x, np.sin(x), 0.03, 1000)
        error = ua.largest_error(net, np.sin, 0, H)
        assert ua.trained_errors(4)[seed] == error
    assert len(ua.trained_errors(4)) == 5


def test_numbers_are_those_of_paper_and_pencil(numbers):
    want = {"nielsen_bias": -1000 * 0.2, "train_steps": 1000, "seeds": 5}
    fine = np.linspace(0, H, 4001)
    for n in (4, 8, 16, 32):
        knots = np.linspace(0, H, n + 1)
        polygon = np.interp(fine, knots, np.sin(knots))
        want[f"ramps_error_{n}"] = np.abs(polygon - np.sin(fine)).max()
        edges = H / (n + 1) * np.arange(1, n + 1)
        middles = H / (n + 1) * (np.arange(n + 1) + 0.5)
        steps = expit(1000 * (fine[:, None] - edges)) @ np.diff(np.sin(middles))
        stairs = np.sin(middles[0]) + steps
        want[f"steps_error_{n}"] = np.abs(stairs - np.sin(fine)).max()
    for n in (4, 8, 16, 32):
        found = sorted(ua.trained_errors(n))
        want[f"trained_error_{n}_min"] = found[0]
        want[f"trained_error_{n}_median"] = found[2]
        want[f"trained_error_{n}_max"] = found[4]
    # two periods on, at the last slope: from sin(2 pi) = 0
    slope = -math.sin(H - H / 32) / (H / 32)
    want["ramps_two_periods_out"] = 2 * H * slope
    want |= {f"tent_pieces_{k}": 2**k for k in (5, 10)}
    want |= {f"one_layer_units_{k}": 2**k - 1 for k in (5, 10)}
    want |= {"ramps_pieces_5": 6, "regions_3_units": 7}
    want["regions_10_units_formula"] = 1 + 10 + 45
    assert numbers == pytest.approx(want, rel=1e-9, abs=1e-12)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="phi is 'tanh', expected 'sigmoid' or 'relu'"):
        ua.evaluate(random_net("tanh"), np.zeros(2))
    with pytest.raises(ValueError, match=r"^phi is 'sigmoid', expected 'relu': its"):
        ua.train(random_net("sigmoid"), np.zeros(2), np.zeros(2), 0.1, 1)
    with pytest.raises(ValueError, match="n is 0, expected at least 1"):
        ua.staircase(np.sin, 0, 1, 0)
    with pytest.raises(ValueError, match="expected at least two that rise"):
        ua.polygon(np.sin, np.array([1.0]))
    with pytest.raises(ValueError, match=r"knots are \[0. 1. 1.\], expected"):
        ua.polygon(np.sin, np.array([0.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="n and d are -1 and 2, expected at least"):
        ua.largest_number_of_regions(-1, 2)
    with pytest.raises(ValueError, match="n and d are 3 and 0"):
        ua.largest_number_of_regions(3, 0)
