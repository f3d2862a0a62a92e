"""snippets/autograd_engine.py against torch autograd, scikit-learn and by hand."""

import math
import random

import numpy as np
import pytest
import torch

import autograd_engine
from autograd_engine import Value

TIGHT = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture(scope="module")
def results():
    return autograd_engine.numbers()


@pytest.fixture(scope="module")
def case():
    """A network with biases that are not 0, points, and sides."""
    rng = np.random.default_rng(4)
    layers = autograd_engine.init_layers((2, 5, 4, 1), 3)
    layers = [(W, b + 0.5 * rng.normal(size=b.shape)) for W, b in layers]
    X = rng.normal(size=(12, 2))
    return layers, X, rng.choice([-1, 1], 12)


def torch_loss(layers, X, y):
    """The same loss by autograd: loss, scores, leaves."""
    leaves = [
        tuple(torch.tensor(p, requires_grad=True) for p in pair) for pair in layers
    ]
    values = torch.tensor(X)
    for k, (W, b) in enumerate(leaves):
        values = torch.nn.functional.linear(values, W, b)
        if k < len(leaves) - 1:
            values = values.relu()
    scores = values[:, 0]
    hinge = (1 - torch.tensor(y) * scores).relu().mean()
    penalty = 1e-4 * sum((p**2).sum() for pair in leaves for p in pair)
    return hinge + penalty, scores, leaves


OPERATIONS = {
    "add": lambda a, b: a + b,
    "add a number": lambda a, b: a * b + 3,
    "a number first": lambda a, b: 3 + a * b,
    "multiply": lambda a, b: a * b,
    "a number times": lambda a, b: 2.5 * a * b,
    "subtract": lambda a, b: a - b,
    "subtract a number": lambda a, b: a * b - 3,
    "a number minus": lambda a, b: 3 - a * b,
    "negate": lambda a, b: -(a * b),
    "divide": lambda a, b: a / b,
    "divide by a number": lambda a, b: a * b / 4,
    "a number over": lambda a, b: 3 / (a * b),
    "power": lambda a, b: a**3 * b**-2 + a**0.5,
    "exp": lambda a, b: (a * b).exp(),
    "tanh": lambda a, b: (a * b - 1).tanh(),
    "relu, open": lambda a, b: (a * b + 1).relu() * a,
    "relu, shut": lambda a, b: (a * b - 9).relu() * a + b,
    "used again": lambda a, b: a * a + a * b + (a + b) * (a * b),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_equals_torch(name):
    f = OPERATIONS[name]
    a, b = Value(1.3), Value(0.7)
    ours = f(a, b)
    ours.backward()
    ta, tb = (
        torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (1.3, 0.7)
    )
    theirs = f(ta, tb)
    theirs.backward()
    assert ours.data == pytest.approx(theirs.item(), rel=1e-12)
    assert a.grad == pytest.approx(ta.grad.item(), rel=1e-12)
    assert b.grad == pytest.approx(tb.grad.item(), rel=1e-12)


def test_relu_at_zero_passes_nothing():
    a = Value(0.0)
    a.relu().backward()
    assert a.grad == 0.0


def test_a_new_value_knows_nothing():
    a = Value(2.0)
    assert (a.data, a.grad, a.parents, a.slopes) == (2.0, 0.0, (), ())


def test_sums_over_paths():
    a = Value(1.0)
    b = a + a
    (b + b).backward()
    assert (a.grad, b.grad) == (4.0, 2.0)
    a, b = Value(-2.0), Value(3.0)
    (a * b * (a + b)).backward()
    assert (a.grad, b.grad) == (-3.0, -8.0)


def test_backward_twice_adds_to_the_leaves_once_each():
    a = Value(3.0)
    b = a * a
    c = b * b
    c.backward()
    c.backward()
    assert a.grad == 2 * 4 * 27.0
    assert (b.grad, c.grad) == (2 * 9.0, 1.0)


def test_a_chain_longer_than_the_limit_of_recursion():
    a = Value(1.0)
    v = a
    for _ in range(5000):
        v = v + 1
    v.backward()
    assert (v.data, a.grad) == (5001.0, 1.0)


def test_topological_order_has_each_node_once_after_its_parents():
    a, b = Value(2.0), Value(3.0)
    y = autograd_engine.used_twice(a, b)
    order = autograd_engine.topological(y)
    assert order[-1] is y
    assert len(order) == len(set(order)) == 7
    for k, node in enumerate(order):
        assert all(order.index(parent) < k for parent in node.parents)


def test_the_wrong_way_is_right_on_a_tree():
    a, b, c = Value(2.0), Value(3.0), Value(4.0)
    y = (a * b + c).tanh()
    y.grad = 1.0
    autograd_engine.backward_without_order(y)
    slope = 1 - math.tanh(10) ** 2
    assert a.grad == pytest.approx(3 * slope)
    assert c.grad == pytest.approx(slope)


def test_the_layers_are_drawn_unit_by_unit():
    (W1, b1), (W2, b2) = autograd_engine.init_layers((2, 3, 1), 7)
    rng = random.Random(7)
    drawn = [rng.uniform(-1, 1) for _ in range(9)]
    np.testing.assert_array_equal(np.r_[W1.ravel(), W2.ravel()], drawn)
    assert (W1.shape, W2.shape) == ((3, 2), (1, 3))
    assert (b1.tolist(), b2.tolist()) == ([0, 0, 0], [0])
    assert autograd_engine.count([(W1, b1), (W2, b2)]) == 13


def test_the_arrays_equal_torch(case):
    layers, X, y = case
    expected, expected_scores, leaves = torch_loss(layers, X, y)
    expected.backward()
    loss, scores, grads = autograd_engine.loss_and_gradients(layers, X, y)
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(scores, expected_scores.detach(), **TIGHT)
    for pair, leaf_pair in zip(grads, leaves, strict=True):
        for ours, leaf in zip(pair, leaf_pair, strict=True):
            np.testing.assert_allclose(ours, leaf.grad, **TIGHT)


def test_the_engine_equals_the_arrays(case):
    layers, X, y = case
    loss, nodes = autograd_engine.scalar_loss(layers, X, y)
    loss.backward()
    expected, _, grads = autograd_engine.loss_and_gradients(layers, X, y)
    assert loss.data == pytest.approx(expected, rel=1e-12)
    for (W, b), (dW, db) in zip(nodes, grads, strict=True):
        np.testing.assert_allclose([[w.grad for w in row] for row in W], dW, **TIGHT)
        np.testing.assert_allclose([c.grad for c in b], db, **TIGHT)


@pytest.mark.parametrize(("n", "noise", "seed"), [(100, 0.1, 1337), (20, 0.0, 5)])
def test_the_moons_are_those_of_scikit_learn(n, noise, seed):
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.make_moons(
        n_samples=n, noise=noise or None, random_state=np.random.RandomState(seed)
    )
    ours, sides = autograd_engine.moons(n, noise, np.random.RandomState(seed))
    np.testing.assert_allclose(ours, X, **TIGHT)
    np.testing.assert_array_equal(sides, 2 * y - 1)


def test_training_equals_torch(case):
    layers, X, y = case
    layers = [(W.copy(), b.copy()) for W, b in layers]
    tensors = [tuple(p.copy() for p in pair) for pair in layers]
    run = list(autograd_engine.train(layers, X, y))
    assert len(run) == 100
    for k, (loss, accuracy) in enumerate(run):
        expected, scores, leaves = torch_loss(tensors, X, y)
        expected.backward()
        assert loss == pytest.approx(expected.item(), rel=1e-8)
        sides = np.where(scores.detach().numpy() > 0, 1, -1)
        assert accuracy == np.mean(sides == y)
        for pair, leaf_pair in zip(tensors, leaves, strict=True):
            for p, leaf in zip(pair, leaf_pair, strict=True):
                p -= (1.0 - 0.9 * k / 100) * leaf.grad.numpy()


PRINTED = {
    "f_at_3": 20,
    "L": -8,
    "grad_a": 6,
    "grad_b": -4,
    "grad_c": -2,
    "grad_f": 4,
    "grad_d": -2,
    "grad_e": -2,
    "L_stepped": -7.286496,
    "neuron": 1 / math.sqrt(2),
    "neuron_grad_n": 0.5,
    "neuron_grad_x1": -1.5,
    "neuron_grad_w1": 1.0,
    "neuron_grad_x2": 0.5,
    "neuron_grad_w2": 0.0,
    "neuron_float32": 0.7071066904050358,
    "ordered_a": 25,
    "ordered_b": 19,
    "unordered_a": 29,
    "unordered_b": 22,
    "parameters_3_4_4_1": 41,
    "parameters_2_16_16_1": 337,
    "loss_0": 0.8958441028683222,
    "loss_1": 1.7235905336972022,
    "loss_2": 0.7429006313851131,
    "loss_5": 0.313545481918522,
    "loss_50": 0.09875114765619622,
    "loss_99": 0.010978370135492717,
    "engine_loss_0": 0.8958441028683222,
    "accuracy_0_percent": 50,
    "accuracy_1_percent": 81,
    "accuracy_2_percent": 77,
    "accuracy_5_percent": 86,
    "accuracy_50_percent": 96,
    "accuracy_99_percent": 100,
}


@pytest.mark.parametrize("key", PRINTED)
def test_a_printed_number(key, results):
    assert results[key] == pytest.approx(PRINTED[key], rel=1e-9, abs=1e-12)


def test_the_readme_equals_torch(results):
    assert results["readme"] == pytest.approx(24.70408163265306, rel=1e-12)
    assert results["readme_grad_a"] == pytest.approx(138.8338192419825, rel=1e-12)
    assert results["readme_grad_b"] == pytest.approx(645.5772594752186, rel=1e-12)
    a, b = (
        torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (-4.0, 2.0)
    )
    autograd_engine.readme(a, b).backward()
    assert results["readme_grad_a"] == pytest.approx(a.grad.item(), rel=1e-12)
    assert results["readme_grad_b"] == pytest.approx(b.grad.item(), rel=1e-12)
    # by hand at a = 1, b = 2, where both relus are open: c = 14, d = 33 + 3, then
    # 4 d + 1, and (c - d)^2 / 2 + 10 / (c - d)^2
    c, d = 14, 4 * (3 * (1 * 2 + 8) + 3) + 1
    ours = autograd_engine.readme(Value(1.0), Value(2.0)).data
    assert ours == pytest.approx((c - d) ** 2 / 2 + 10 / (c - d) ** 2, rel=1e-12)


def test_the_other_numbers(results):
    assert autograd_engine.f(2.0) == 9.0
    # (f(x + h) - f(x)) / h = 6 x - 4 + 3 h, which is 3 h at x = 2/3
    # less what rounding takes, the same everywhere
    difference = 2.999378523327323e-06
    assert results["difference_at_two_thirds"] == pytest.approx(difference, rel=1e-9)
    assert results["difference_b"] == pytest.approx(-4, rel=1e-9)
    assert results["neuron_bias_gap"] == pytest.approx(0, abs=1e-14)
    assert results["float32_grad_x1"] == pytest.approx(-1.5000003851533106, rel=1e-9)
    assert results["float32_grad_w1"] == pytest.approx(1.0000002567688737, rel=1e-9)
    assert results["float32_grad_n"] == results["float32_grad_x2"]
    assert results["engine_nodes"] > 60000
    assert results["engine_array_gap"] < 1e-14


def test_the_seeds(results):
    last = [list(autograd_engine.demo(seed)[0][-1]) for seed in range(20)]
    losses, shares = zip(*last, strict=True)
    assert results["seeds_loss_99_median"] == pytest.approx(np.median(losses))
    assert results["seeds_loss_99_min"] == min(losses)
    assert results["seeds_loss_99_max"] == max(losses)
    assert results["seeds_accuracy_99_min_percent"] == 100 * min(shares)
    assert results["seeds_accuracy_99_max_percent"] == 100 * max(shares)
    assert results["seeds_accuracy_99_median_percent"] == 100 * np.median(shares)
    below = sum(loss < results["loss_99"] for loss in losses)
    assert results["seeds_below_demo"] == below


def test_two_points_are_the_first_of_each_moon():
    X, y = autograd_engine.moons(2, 0.0, np.random.RandomState(0))
    ours = {(side, *point) for side, point in zip(y.tolist(), X.tolist(), strict=True)}
    assert ours == {(-1, 1.0, 0.0), (1, 0.0, 0.5)}


def test_a_score_of_zero_is_on_the_left_side():
    layers = [(np.zeros((1, 2)), np.zeros(1))]
    run = autograd_engine.train(layers, np.ones((3, 2)), np.array([-1, -1, 1]))
    assert next(run) == (1.0, 2 / 3)


def test_what_does_not_fit_together_is_refused():
    a = Value(1.0)
    node = Value(2.0, (a,), ())
    with pytest.raises(ValueError, match="is shorter"):
        node.backward()
    with pytest.raises(ValueError, match="is shorter"):
        autograd_engine.backward_without_order(node)
    X = np.ones((3, 2))
    layers = [(np.ones((1, 2)), np.zeros(1))]
    with pytest.raises(ValueError, match="is shorter"):
        autograd_engine.scalar_loss(layers, X, np.ones(2))
    layers = [(np.ones((2, 2)), np.zeros(1))]
    with pytest.raises(ValueError, match="is shorter"):
        autograd_engine.scalar_loss(layers, X, np.ones(3))


def test_errors():
    with pytest.raises(ValueError, match="exponent must be a plain number, got <"):
        Value(2.0) ** Value(3.0)
    with pytest.raises(ValueError, match=r"two or more numbers above 0, got \(3,\)"):
        autograd_engine.init_layers((3,), 0)
    with pytest.raises(ValueError, match=r"above 0, got \(3, 0\)"):
        autograd_engine.init_layers((3, 0), 0)
    layers = autograd_engine.init_layers((2, 1), 0)
    with pytest.raises(ValueError, match=r"X must be \(4, 2\), .* got \(4, 3\)"):
        autograd_engine.loss_and_gradients(layers, np.zeros((4, 3)), np.ones(4))
    for n, noise in ((0, 0.1), (3, 0.1), (4, -1)):
        with pytest.raises(ValueError, match=f"noise >= 0, got {n} and {noise}$"):
            autograd_engine.moons(n, noise, np.random.RandomState(0))
