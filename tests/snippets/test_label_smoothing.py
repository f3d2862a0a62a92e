"""label_smoothing.py against torch's losses, and the source's two plots."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import label_smoothing as s


def random_p(rng, n, size):
    return rng.dirichlet(np.ones(size), n)


# ---- the mixtures --------------------------------------------------------------------


def test_the_sources_first_plot_by_hand():
    q = s.smoothed_target(np.array([2, 1, 0, 3, 3]), 5, 0.4, padding=0)
    other = 0.4 / 3
    want = [
        [0, other, 0.6, other, other],
        [0, 0.6, other, other, other],
        [0, 0, 0, 0, 0],
        [0, other, other, 0.6, other],
        [0, other, other, 0.6, other],
    ]
    np.testing.assert_allclose(q, want, rtol=0, atol=1e-15)


def test_padding_can_be_any_class():
    q = s.smoothed_target(np.array([0, 4]), 5, 0.3, padding=4)
    np.testing.assert_allclose(q, [[0.7, 0.1, 0.1, 0.1, 0], [0] * 5], atol=1e-15)
    q = s.smoothed_target(np.array([1]), 3, 0.3, padding=2)
    np.testing.assert_allclose(q, [[0.3, 0.7, 0]], atol=1e-15)


def test_without_smoothing_one_class_is_left():
    want = [[0, 1, 0, 0], [0, 0, 0, 1]]
    target = np.array([1, 3])
    assert s.smoothed_target(target, 4, 0, padding=0).tolist() == want
    assert s.uniform_target(target, 4, 0).tolist() == want


@pytest.mark.parametrize("make", [s.uniform_target, s.smoothed_target])
@pytest.mark.parametrize(
    ("target", "epsilon", "match"),
    [
        ([0, 1], 1.0, "epsilon is 1.0, want 0 <= epsilon < 1"),
        ([0, 1], -0.1, "epsilon is -0.1, want 0 <= epsilon < 1"),
        ([0, 5], 0.1, r"target is \[0 5\], want classes from 0 to 4"),
        ([0, -1], 0.1, r"target is \[ 0 -1\], want classes from 0 to 4"),
    ],
)
def test_bad_arguments(make, target, epsilon, match):
    more = {"padding": 0} if make is s.smoothed_target else {}
    with pytest.raises(ValueError, match=match):
        make(np.array(target), 5, epsilon, **more)


@pytest.mark.parametrize(("size", "padding"), [(2, 0), (5, 5), (5, -1)])
def test_bad_sizes(size, padding):
    match = f"size {size}, padding {padding}: want size >= 3, a class"
    with pytest.raises(ValueError, match=match):
        s.smoothed_target(np.array([1]), size, 0.1, padding)


# ---- the loss, against torch ---------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.4])
def test_divergence_equals_torchs(epsilon):
    rng = np.random.default_rng(0)
    p, target = random_p(rng, 7, 6), rng.integers(0, 6, 7)
    target[0] = 2  # padding
    q = s.smoothed_target(target, 6, epsilon, padding=2)
    # where both are positive everywhere, PyTorch needs no convention
    want = F.kl_div(torch.tensor(p).log(), torch.tensor(q), reduction="none").sum(1)
    np.testing.assert_allclose(s.divergence(q, p), want, rtol=0, atol=1e-12)
    assert s.divergence(q, p)[0] == 0


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.4])
def test_uniform_target_gives_torchs_label_smoothing(epsilon):
    """Cross-entropy is divergence plus entropy."""
    rng = np.random.default_rng(1)
    logits, target = torch.tensor(rng.normal(size=(7, 6))), rng.integers(0, 6, 7)
    q, p = s.uniform_target(target, 6, epsilon), logits.softmax(1).numpy()
    want = F.cross_entropy(
        logits, torch.tensor(target), label_smoothing=epsilon, reduction="none"
    )
    got = s.divergence(q, p) + s.entropy(q)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("epsilon", [0.1, 0.4])
def test_the_sources_loss_from_torchs(epsilon):
    """How one convention becomes the other: drop padding, and trade epsilons.

    Over V - 1 classes PyTorch gives each wrong one epsilon' / (V - 1), the source
    epsilon / (V - 2): equal for epsilon' = epsilon (V - 1) / (V - 2).
    """
    V, rng = 6, np.random.default_rng(2)
    target = rng.integers(1, V, 7)
    ours = s.smoothed_target(target, V, epsilon, padding=0)[:, 1:]
    theirs = s.uniform_target(target - 1, V - 1, epsilon * (V - 1) / (V - 2))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)
    logits = torch.tensor(rng.normal(size=(7, V)))
    want = F.cross_entropy(
        logits[:, 1:],
        torch.tensor(target - 1),
        label_smoothing=epsilon * (V - 1) / (V - 2),
        reduction="none",
    )
    p = logits[:, 1:].softmax(1).numpy()
    got = s.divergence(ours, p) + s.entropy(ours)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_zero_times_the_logarithm_of_zero():
    """0 here; NaN in PyTorch's function as the source calls it."""
    q, p = np.array([[0.0, 0.9, 0.1]]), np.array([[0.0, 0.5, 0.5]])
    got = s.divergence(q, p)
    by_hand = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert got == pytest.approx([by_hand], rel=1e-12)
    theirs = F.kl_div(torch.tensor(p).log(), torch.tensor(q), reduction="sum")
    assert torch.isnan(theirs)


def test_an_impossible_right_class_costs_infinitely_much():
    q, p = np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])
    with np.errstate(all="raise"):
        assert s.divergence(q, p).tolist() == [math.inf]
        assert s.entropy(np.array([[1.0, 0.0]])).tolist() == [0]


def test_shapes_must_agree():
    q = np.full((2, 3), 1 / 3)
    match = r"p has shape \(3,\), want that of q, \(2, 3\)"
    with pytest.raises(ValueError, match=match):
        s.divergence(q, q[0])


def test_entropy_by_hand():
    q = np.array([[0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0]])
    want = [math.log(2), math.log(4), 0]
    np.testing.assert_allclose(s.entropy(q), want, rtol=0, atol=1e-15)


# ---- the curve -----------------------------------------------------------------------


def test_predictions_of_the_plot():
    want = [[0, 1 / 4, 1 / 4, 1 / 4, 1 / 4], [0, 7 / 10, 0.1, 0.1, 0.1]]
    np.testing.assert_allclose(s.sure(np.array([1, 7])), want, rtol=0, atol=1e-15)
    assert s.X[0] == 1
    assert s.X[-1] == 99
    np.testing.assert_allclose(s.sure(s.X).sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("epsilon", [0.05, 0.1, 0.2, 0.3])
def test_the_zero_is_where_the_formula_says(epsilon):
    """x / (x + 3) = 1 - epsilon at x = 3 (1 - epsilon) / epsilon."""
    x = 3 * (1 - epsilon) / epsilon
    assert s.curve(epsilon, np.array([x]))[0] == pytest.approx(0, abs=1e-12)
    around = s.curve(epsilon, np.array([x - 0.5, x, x + 0.5]))
    assert around.argmin() == 1
    assert s.X[s.curve(epsilon).argmin()] == round(x)


def test_the_curve_equals_torchs():
    p = s.sure(s.X)[:, 1:]
    target = torch.zeros(99, dtype=torch.long)
    want = (
        F.cross_entropy(
            torch.tensor(p).log(), target, label_smoothing=0.1 * 4 / 3, reduction="none"
        )
        - torch.distributions.Categorical(torch.tensor([0.9] + 3 * [0.1 / 3])).entropy()
    )
    np.testing.assert_allclose(s.curve(0.1), want, rtol=0, atol=1e-7)


def test_without_smoothing_being_sure_never_costs():
    assert (np.diff(s.curve(0.0)) < 0).all()
    assert np.diff(s.curve(0.1))[:26].max() < 0 < np.diff(s.curve(0.1))[26:].min()


# ---- the first loss ------------------------------------------------------------------


def first_loss_by_torch(size, width, epsilon, n, seed):
    """The same draws through torch.nn.Linear, log-softmax and torch's own losses."""
    rng = np.random.default_rng(seed)
    layer = torch.nn.Linear(width, size, bias=False, dtype=torch.float64)
    bound = math.sqrt(3) * math.sqrt(
        2 / (size + width)
    )  # of variance 2 / (fan in + out)
    layer.weight.data = torch.tensor(rng.uniform(-bound, bound, (size, width)))
    log_p = layer(torch.tensor(rng.standard_normal((n, width)))).log_softmax(1)
    target = torch.tensor(rng.integers(1, size, n))
    right = log_p[torch.arange(n), target]
    others = log_p[:, 1:].sum(1) - right  # without padding
    cross = -(1 - epsilon) * right - epsilon / (size - 2) * others
    floor = -(1 - epsilon) * math.log(1 - epsilon)
    if epsilon:
        floor -= epsilon * math.log(epsilon / (size - 2))
    return (cross.mean() - floor).item()


@pytest.mark.parametrize("sizes", [(11, 512, 0.0, 64), (50, 8, 0.3, 5)])
def test_the_first_loss_equals_torchs(sizes):
    got = s.first_loss(*sizes, np.random.default_rng(3))
    assert got == pytest.approx(first_loss_by_torch(*sizes, 3), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_first_loss_is_near_its_estimate(seed):
    """Many classes: ln V + half the logits' variance - the entropy of the target."""
    V, d = 6384, 512
    floor = s.entropy(s.smoothed_target(np.array([1]), V, 0.1, 0))[0]
    want = math.log(V) + d / (V + d) - floor
    assert s.first_loss(V, d, 0.1, 64, np.random.default_rng(seed)) == pytest.approx(
        want, rel=0.03
    )


def test_numbers_by_hand():
    def h(right, other, n):
        return -right * math.log(right) - n * other * math.log(other)

    def loss(x):
        p, o = x / (x + 3), 1 / (x + 3)
        return 0.9 * math.log(0.9 / p) + 0.1 * math.log(0.1 / 3 / o)

    want = {
        "right_epsilon40": 0.6,
        "other_epsilon40": 0.4 / 3,
        "padding_row_sum": 0,
        "mean_row_sum": 0.8,
        "right_epsilon10": 0.9,
        "other_epsilon10": 0.1 / 3,
        "right_epsilon10_pytorch": 0.92,
        "other_epsilon10_pytorch": 0.02,
        "floor_epsilon10": h(0.9, 0.1 / 3, 3),
        "floor_epsilon10_pytorch": h(0.92, 0.02, 4),
        "floor_epsilon10_v6384": h(0.9, 0.1 / 6382, 6382),
        "lowest_x_epsilon05": 57,
        "lowest_x_epsilon10": 27,
        "lowest_x_epsilon20": 12,
        **{f"loss_x{x}": loss(x) for x in (1, 13, 27, 50, 99)},
        "place_of_lowest_in_plot": 26,
    }
    got = s.numbers()
    for name, size, epsilon, n in (("copy", 11, 0, 21), ("6384", 6384, 0.1, 5)):
        losses = sorted(
            first_loss_by_torch(size, 512, epsilon, 64, k) for k in range(n)
        )
        want[f"first_loss_{name}_median"] = losses[n // 2]
        want[f"first_loss_{name}_min"] = losses[0]
        want[f"first_loss_{name}_max"] = losses[-1]
    assert got == pytest.approx(want, rel=1e-10, abs=1e-12)
