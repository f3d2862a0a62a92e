"""snippets/gradient_clipping.py against autograd, torch's clipping and scipy."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import expit

import gradient_clipping as gc

TIGHT = {"rtol": 1e-10, "atol": 1e-12}
SHARES = ("share_reached", "share_solved", "share_stuck", "thrown", "weight_after")


@pytest.fixture(scope="module")
def out():
    return gc.numbers()


@pytest.mark.parametrize("threshold", [0.1, 5.0, 100.0])
def test_clipping_equals_torch(threshold):
    rng = np.random.default_rng(0)
    grads = [3 * rng.standard_normal((4, 3)), rng.standard_normal(5)]
    for ours, theirs in (
        (gc.clip_by_norm, torch.nn.utils.clip_grad_norm_),
        (gc.clip_by_value, torch.nn.utils.clip_grad_value_),
    ):
        qs = [torch.zeros(g.shape, dtype=torch.float64) for g in grads]
        for q, g in zip(qs, grads, strict=True):
            q.requires_grad_()
            q.grad = torch.from_numpy(g.copy())
        theirs(qs, threshold)
        norm = np.linalg.norm(np.concatenate([g.ravel() for g in grads]))
        # torch divides by the norm plus 1e-6
        by_norm = ours is gc.clip_by_norm and norm > threshold
        factor = (norm + 1e-6) / norm if by_norm else 1
        for q, clipped in zip(qs, ours(grads, threshold), strict=True):
            np.testing.assert_allclose(clipped, factor * q.grad.numpy(), rtol=1e-10)


def test_clipping_by_hand():
    # norm of (3, 4) and (12) together: 13
    first, second = gc.clip_by_norm([np.array([3.0, 4.0]), np.array([12.0])], 1)
    assert first == pytest.approx([3 / 13, 4 / 13], rel=1e-14)
    assert second == pytest.approx([12 / 13], rel=1e-14)
    (value,) = gc.clip_by_value([np.array([3.0, -4.0, 0.5])], 1)
    assert value.tolist() == [1, -1, 0.5]
    small = [np.array([0.3, 0.4])]
    for clip in (gc.clip_by_norm, gc.clip_by_value):
        np.testing.assert_array_equal(clip(small, 1)[0], small[0])  # left alone


@pytest.mark.parametrize("steps", [1, 2, 50])
def test_error_and_gradient_equal_autograd(steps):
    rng = np.random.default_rng(1)
    w, b = rng.uniform(-2, 6, (2, 3)), rng.uniform(-3, 1, (2, 3))
    error, grad = gc.error_and_gradient(w, b, steps)
    tw, tb = (torch.from_numpy(v.copy()).requires_grad_() for v in (w, b))
    x = torch.full_like(tw, 0.5)
    for _ in range(steps):
        x = tw * torch.sigmoid(x) + tb
    expected = (torch.sigmoid(x) - 0.7) ** 2
    expected.sum().backward()
    np.testing.assert_allclose(error, expected.detach(), **TIGHT)
    np.testing.assert_allclose(grad, np.stack([tw.grad, tb.grad]), **TIGHT)


def test_sigmoid_equals_scipy():
    z = np.linspace(-700, 700, 57)
    np.testing.assert_allclose(gc.sigmoid(z), expit(z), rtol=0, atol=1e-15)


@pytest.mark.parametrize("w", [4.5, 5.0, 7.0])
def test_bifurcations_by_searching_for_a_slope_of_one(w):
    """brentq finds where w sigma'(x) = 1; fixed points are counted on both sides."""
    ends = []
    for low, high in ((0, 20), (-20, 0)):
        x = brentq(lambda x: w * expit(x) * expit(-x) - 1, low, high, xtol=1e-14)
        ends.append(x - w * expit(x))
    assert gc.bifurcations(w) == pytest.approx(tuple(ends), abs=1e-10)

    def fixed_points(b):
        x = np.linspace(-10, 10, 200_000)
        return (np.diff(np.sign(w * expit(x) + b - x)) != 0).sum()

    lower, upper = gc.bifurcations(w)
    assert lower < upper
    inside = (lower + upper) / 2
    assert [fixed_points(b) for b in (lower - 0.01, inside, upper + 0.01)] == [1, 3, 1]


@pytest.mark.parametrize("w", [4.8, 5.0, 5.2])
def test_the_wall_is_where_the_start_is_the_repelling_point(w):
    b = np.linspace(-3, -2, 200_001)
    _, grad = gc.error_and_gradient(np.full(b.shape, w), b)
    wall = b[np.linalg.norm(grad, axis=0).argmax()]
    assert wall == pytest.approx(
        brentq(lambda b: w * expit(0.5) + b - 0.5, -4, 0), abs=1e-3
    )
    # and not at a bifurcation: across those the error hardly moves
    for end in gc.bifurcations(w):
        error, _ = gc.error_and_gradient(
            np.full(2, w), np.array([end - 5e-3, end + 5e-3])
        )
        assert abs(np.diff(error)[0]) < 0.01


def test_two_attractors_begin_at_one_over_the_largest_slope(out):
    assert out["attractors_from_sigmoid"] == pytest.approx(4, abs=0.002)
    assert out["attractors_from_tanh"] == pytest.approx(1, abs=0.002)
    assert gc.bifurcations(4)[0] == gc.bifurcations(4)[1]


@pytest.mark.parametrize("rule", ["plain", "norm", "value", "L1", "L2"])
def test_descent_equals_torch(rule):
    """Twenty updates of one start by torch's SGD, its clipping and its autograd."""
    start, strength = (4.7, -2.0), 0.03
    path, errors, norms = gc.descend(
        *(np.array(v) for v in start), rule, strength, steps=20
    )
    assert path.shape == (21, 2)
    theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    sgd = torch.optim.SGD([theta], lr=0.1)
    for ours, error, norm in zip(path[:-1], errors[:-1], norms[:-1], strict=True):
        np.testing.assert_allclose(ours, theta.detach(), rtol=1e-6)
        x = torch.tensor(0.5, dtype=torch.float64)
        for _ in range(50):
            x = theta[0] * torch.sigmoid(x) + theta[1]
        expected = (torch.sigmoid(x) - 0.7) ** 2
        assert error == pytest.approx(expected.item(), rel=1e-5)
        penalty = {"L1": theta[0].abs(), "L2": theta[0] ** 2 / 2}.get(rule, 0)
        sgd.zero_grad()
        (expected + strength * penalty).backward()
        assert norm == pytest.approx(theta.grad.norm().item(), rel=1e-4)
        if rule == "norm":
            torch.nn.utils.clip_grad_norm_([theta], strength)
        if rule == "value":
            torch.nn.utils.clip_grad_value_([theta], strength)
        sgd.step()
    np.testing.assert_allclose(path[-1], theta.detach(), rtol=1e-6)
    assert errors[-1] == gc.error_and_gradient(*path[-1])[0]


def test_l1_does_not_pull_a_weight_that_is_zero():
    w, b = np.array([0.0, 1e-9, -1e-9]), np.full(3, 0.4)
    _, grad = gc.error_and_gradient(w, b)
    path, _, _ = gc.descend(w, b, "L1", 0.5, steps=1)
    pulled = np.array([0, 0.05, -0.05])  # rate times strength, towards 0
    np.testing.assert_allclose(path[1, 0], w - 0.1 * grad[0] - pulled, rtol=1e-12)
    np.testing.assert_allclose(path[1, 1], b - 0.1 * grad[1], rtol=1e-12)


def test_clipping_side_by_side_equals_one_by_one():
    w, b = np.array([5.2, 4.4, 6.0]), np.array([-2.4, -2.2, -3.0])
    path, _, _ = gc.descend(w, b, "norm", 0.1, steps=60)
    steps = np.hypot(*np.moveaxis(np.diff(path, axis=0), 1, 0))
    assert steps.max() == pytest.approx(0.01, rel=1e-12)
    for i in range(3):
        for theta, after in zip(path[:-1, :, i], path[1:, :, i], strict=True):
            grad = gc.error_and_gradient(*theta)[1]
            (clipped,) = gc.clip_by_norm([grad], 0.1)
            np.testing.assert_allclose(after, theta - 0.1 * clipped, rtol=1e-9)


def test_the_path_of_the_figures(out):
    """The unclipped run is thrown once, saturates, and never moves again."""
    path, errors, norms = gc.descend(*gc.START)
    assert path.shape == (301, 2)
    assert len(errors) == len(norms) == 301
    assert path[0].tolist() == [5.2, -2.3]
    assert (out["path_start_w"], out["path_start_b"]) == (5.2, -2.3)
    peak = int(out["path_plain_peak_update"])
    assert norms[peak] == norms.max() > 500
    np.testing.assert_array_equal(path[peak + 1], path[-1])
    assert errors[-1] == pytest.approx(0.3**2, abs=1e-12)  # sigma(x_50) = 1
    assert out["path_plain_end_error"] == errors[-1]
    assert out["path_plain_peak_gradient"] == norms.max()
    end = out["path_plain_end_w"], out["path_plain_end_b"]
    assert end == pytest.approx(tuple(path[-1]), rel=1e-12)
    assert out["path_plain_longest_step"] == pytest.approx(0.1 * norms.max())
    clipped, errors, norms = gc.descend(*gc.START, "norm")
    np.testing.assert_allclose(clipped[: peak + 1], path[: peak + 1], rtol=1e-9)
    assert norms[peak] > 500  # the wall is as steep; only the step is short
    lengths = np.linalg.norm(np.diff(clipped, axis=0), axis=1)
    assert lengths.max() == pytest.approx(0.1 * 1)  # rate times threshold
    assert np.median(errors[-50:]) < 5e-3
    assert out["path_norm_end_w"] == pytest.approx(4.39, abs=0.05)
    end = out["path_norm_end_w"], out["path_norm_end_b"]
    assert end == pytest.approx(tuple(clipped[-1]), rel=1e-12)


def test_a_start_that_crosses_the_wall_unharmed_meets_it_later(out):
    w, b, lengths, sides = 5.2, -2.25, [], []
    for _ in range(300):
        _, grad = gc.error_and_gradient(np.array(w), np.array(b))
        sides.append(b < 0.5 - expit(0.5) * w)
        w, b = w - 0.1 * grad[0], b - 0.1 * grad[1]
        lengths.append(0.1 * np.hypot(*grad))
    assert np.diff(sides[:60]).sum() == 11
    assert out["path_right_longest_step_of_60"] == pytest.approx(max(lengths[:60]))
    assert max(lengths[:60]) < 0.035
    longest = out["path_right_longest_step"]
    assert longest == pytest.approx(max(lengths), rel=1e-3)
    assert longest > 20 * max(lengths[:60])
    # not a throw in the sense of the table: shorter than 1
    assert longest < 1


def test_the_updates_around_the_wall(out):
    for rule in ("plain", "norm"):
        _, errors, norms = gc.descend(*gc.START, rule)
        for n in range(36, 44):
            assert out[f"update_{n}_{rule}_error"] == errors[n]
            assert out[f"update_{n}_{rule}_norm"] == norms[n]
    assert sum(name.startswith("update_") for name in out) == 2 * 2 * 8
    # over it and back, then on it, and from there far off or a short way
    assert out["update_38_plain_error"] > 0.3 > out["update_38_plain_norm"]
    assert out["update_39_plain_error"] < 0.02
    assert out["update_40_plain_norm"] == out["path_plain_peak_gradient"]
    assert out["update_41_plain_norm"] == 0 < out["update_41_norm_norm"] < 0.2


@pytest.mark.parametrize("shift", [0.0, 1e-12])
def test_what_holds_for_every_seed(monkeypatch, shift):
    """And for a rounding that differs: starts that are moved by next to nothing."""
    if shift:
        descend = gc.descend
        monkeypatch.setattr(gc, "descend", lambda w, b, *a: descend(w + shift, b, *a))
    got = {name: gc.outcomes.__wrapped__(name) for name in gc.RULES}
    plain, norm, value = got["plain"], got["norm_1"], got["value_1"]
    weak, strong = got["l2_0.02"], got["l2_0.2"]
    assert (norm["share_solved"] > plain["share_solved"] + 0.1).all()
    assert (norm["share_reached"] > plain["share_reached"] + 0.15).all()
    assert (value["share_reached"] > plain["share_reached"] + 0.15).all()
    assert (norm["share_solved"] > value["share_solved"] + 0.1).all()
    # it is the turn and not the length: the same at the longest step of the other
    assert (got["norm_sqrt_2"]["share_solved"] > value["share_solved"] + 0.1).all()
    assert (got["value_sqrt_half"]["share_solved"] < norm["share_solved"] - 0.1).all()
    for clipped in (norm, value):
        assert (clipped["thrown"] == 0).all()
        assert (clipped["share_stuck"] == 0).all()
    assert (plain["share_stuck"] > 0.15).all()
    # a weak penalty throws no fewer, a strong one leaves no weight to remember with
    for weak_penalty in (got["l1_0.01"], weak):
        assert (weak_penalty["thrown"] > 0.35).all()
    assert (weak["weight_after"] < 4).all()
    assert (norm["weight_after"] > 4.2).all()
    assert (strong["thrown"] < 0.2).all()
    assert (strong["weight_after"] < 0.5).all()
    assert (strong["share_solved"] < 0.1).all()


def test_the_longest_step_of_one_rule_is_that_of_the_other_at_1():
    huge = [np.array([1e6, 1e6])]
    for name, other in (("norm_sqrt_2", "value_1"), ("value_sqrt_half", "norm_1")):
        lengths = []
        for rule, threshold in (gc.RULES[name], gc.RULES[other]):
            clip = {"norm": gc.clip_by_norm, "value": gc.clip_by_value}[rule]
            lengths.append(np.linalg.norm(clip(huge, threshold)[0]))
        assert lengths[0] == pytest.approx(lengths[1])


def test_outcomes_of_a_made_up_descent(monkeypatch):
    """Of 60 starts of each of five seeds a few solve, stick, pass or are thrown."""
    errors = np.full((4, 5, 60), 0.5)
    errors[1:, :, :3] = 9e-4  # reached, and kept
    errors[2, :, 3:9] = 9e-4  # reached, and left again
    errors[-1, :, 9] = 1e-3  # almost
    errors[-1, 2, 9] = 9e-4  # only at the end, and for the third seed alone
    errors[-1, :, 10:14] = 0.09 + 9e-4  # stuck: sigma = 1 or close to it
    errors[-1, :, 14] = 0.09 + 2e-3
    path = np.zeros((4, 2, 5, 60))
    path[2:, :, :, :12] = 0.8  # a step of 0.8 sqrt 2
    path[1, 0, :, 12:20] = 1  # there and back, by no more than 1
    path[-1, 0] += np.arange(60) + 0.75
    path[-2, 0] += np.arange(60)
    path[1, 0] += np.arange(60)
    path[0, 0] += np.arange(60)
    seen = []

    def descend(w, b, rule, strength):
        seen.append((w, b, rule, strength))
        return path, errors, None

    monkeypatch.setattr(gc, "descend", descend)
    got = gc.outcomes.__wrapped__("l2_0.2")
    assert got.keys() == set(SHARES)
    sixtieths = {name: (got[name] * 60).round(9).tolist() for name in SHARES[:4]}
    assert sixtieths == {
        "share_reached": [9, 9, 10, 9, 9],
        "share_solved": [3, 3, 4, 3, 3],
        "share_stuck": [4] * 5,
        "thrown": [12] * 5,
    }
    assert got["weight_after"].tolist() == [30.25] * 5
    ((w, b, rule, strength),) = seen
    assert (rule, strength) == ("L2", 0.2)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        np.testing.assert_array_equal(w[seed], rng.uniform(4, 6.5, 60))
        np.testing.assert_array_equal(b[seed], rng.uniform(-3.2, -1.8, 60))


def test_outcomes_are_shares_by_seed(out):
    assert (out["starts"], out["seeds"], out["updates"]) == (60, 5, 300)
    for name in gc.RULES:
        for what, values in gc.outcomes(name).items():
            assert what in SHARES
            assert values.shape == (5,)
            key = f"{what}_{name.replace('.', '')}"
            low, _, middle, _, high = sorted(values)
            summary = {"min": low, "median": middle, "max": high}
            assert {kind: out[f"{key}_{kind}"] for kind in summary} == summary
            if what != "weight_after":
                assert ((values >= 0) & (values <= 1)).all()


@pytest.mark.parametrize("penalty", [1e-3, 1e-2, 0.5])
def test_decay_steps_by_decaying(penalty):
    steps = gc.decay_steps(1.5, 1, 0.1, penalty)
    W = 1.5 * np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    for _ in range(int(np.ceil(steps)) - 1):
        W = (1 - 0.1 * penalty) * W
    assert np.linalg.svd(W, compute_uv=False)[0] > 1
    W = (1 - 0.1 * penalty) * W
    assert np.linalg.svd(W, compute_uv=False)[0] <= 1 + 1e-12


@pytest.mark.parametrize("w", [1.1, 1.5])
def test_latch_rests_at_its_fixed_point(w, out):
    fixed = brentq(lambda x: w * np.tanh(x) - x, 0.1, 3)
    assert gc.latch(w) == pytest.approx(fixed, abs=1e-10)
    assert out[f"latch_{w * 10:.0f}"] == gc.latch(w)
    assert w * (1 - np.tanh(fixed) ** 2) < 1  # and there the gradient vanishes


def test_latch_by_hand():
    assert gc.latch(0.9, 0) == 1
    assert gc.latch(0.9, 1) == pytest.approx(0.9 * np.tanh(1), rel=1e-14)
    twice = 0.9 * np.tanh(0.9 * np.tanh(1))
    assert gc.latch(0.9, 2) == pytest.approx(twice, rel=1e-14)


def test_latch_forgets_at_one_and_below(out):
    assert out["latch_9"] < 1e-40
    assert out["latch_9"] == gc.latch(0.9, 1000) < gc.latch(0.9, 999)
    # at w = 1:  x_t is close to sqrt(3 / (2 t))
    assert out["latch_10"] == pytest.approx(np.sqrt(1.5 / 1000), rel=0.01)


def test_nielsens_chain_equals_autograd(out):
    """Weights 100, biases that make every z zero."""
    b = [torch.tensor(-50.0, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    a = torch.tensor(0.5, dtype=torch.float64)
    for bias in b:
        a = torch.sigmoid(100 * a + bias)
    a.backward()
    expected = [bias.grad.item() for bias in b]
    np.testing.assert_allclose(gc.chain_gradients(100), expected, rtol=1e-12)
    assert out["nielsen_factor"] == 25
    assert out["nielsen_first"] == pytest.approx(25**3 / 4)


def test_numbers_that_can_be_had_on_paper(out):
    assert out["clipped_by_norm_first"] == pytest.approx(0.6)
    assert out["clipped_by_norm_second"] == pytest.approx(0.8)
    # between (3, 4) and (1, 1): cos = 7 / (5 sqrt 2)
    degrees = np.degrees(np.arccos(7 / (5 * np.sqrt(2))))
    assert out["value_turned_degrees"] == pytest.approx(degrees)
    # Doya's example at w = 5
    q = (1 + np.sqrt(1 / 5)) / 2
    assert out["bifurcation_lower"] == pytest.approx(np.log(q / (1 - q)) - 5 * q)
    p = 1 - q
    assert out["bifurcation_upper"] == pytest.approx(np.log(p / (1 - p)) - 5 * p)
    # the start 0.5 stays where it is: 0.5 = 5 sigma(0.5) + b
    assert out["wall_b_w5"] == pytest.approx(0.5 - 5 / (1 + np.exp(-0.5)))
    slope = expit(0.5) * expit(-0.5)
    assert out["wall_factor_w5"] == pytest.approx(5 * slope)
    assert out["wall_growth_w5"] == pytest.approx(np.exp(50 * np.log(5 * slope)))
    assert out["wall_end_w"] == pytest.approx(1 / slope)
    assert out["wall_largest_gradient"] > 1000 * out["wall_median_gradient"]
    assert out["decay_steps_1em03"] == pytest.approx(np.log(1.5) / 1e-4, rel=1e-3)
    for name, rate in (("1em03", 1e-4), ("1em01", 1e-2)):
        left = 1.5 * (1 - rate) ** out[f"decay_steps_{name}"]
        assert left == pytest.approx(1, rel=1e-12)


def test_the_page_can_quote_these_figures_and_no_others(out):
    expected = {"starts", "seeds", "updates", "nielsen_factor", "nielsen_first"}
    expected |= {"clipped_by_norm_first", "clipped_by_norm_second"}
    expected |= {"value_turned_degrees"}
    expected |= {"attractors_from_sigmoid", "attractors_from_tanh"}
    expected |= {"bifurcation_lower", "bifurcation_upper"}
    expected |= {"wall_b_w5", "wall_factor_w5", "wall_growth_w5", "wall_end_w"}
    expected |= {"wall_median_gradient", "wall_largest_gradient"}
    expected |= {"path_start_w", "path_start_b", "path_norm_end_w", "path_norm_end_b"}
    expected |= {"path_plain_peak_gradient", "path_plain_peak_update"}
    expected |= {"path_plain_longest_step", "path_plain_end_error"}
    expected |= {"path_plain_end_w", "path_plain_end_b"}
    expected |= {"path_right_longest_step", "path_right_longest_step_of_60"}
    expected |= {
        f"update_{n}_{rule}_{what}"
        for n in (36, 37, 38, 39, 40, 41, 42, 43)
        for rule in ("plain", "norm")
        for what in ("error", "norm")
    }
    rules = ("plain", "norm_1", "value_1", "norm_sqrt_2", "value_sqrt_half")
    expected |= {
        f"{what}_{rule}_{kind}"
        for what in SHARES
        for rule in (*rules, "l1_001", "l2_002", "l2_02")
        for kind in ("median", "min", "max")
    }
    expected |= {"decay_steps_1em03", "decay_steps_1em01"}
    expected |= {"latch_9", "latch_10", "latch_11", "latch_15"}
    assert set(out) == expected
    assert {type(value) for value in out.values()} == {float}


def test_which_updates_the_figures_are_of(monkeypatch):
    """Made-up paths that never rest, so that no two updates look alike."""

    def descend(w, b, rule="plain", strength=1.0, steps=300):
        assert strength == 1
        rng = np.random.default_rng(round(-1000 * float(b)) + len(rule))
        moves = rng.uniform(1, 2, (300, 2))
        moves[60] = 5  # longer than the sixty before it
        moves[200] = -10
        path = np.array([w, b]) + np.concatenate([[[0, 0]], np.cumsum(moves, axis=0)])
        errors, norms = rng.uniform(size=(2, 301))
        norms[77] = 2
        walks[float(w), float(b), rule] = path, errors, norms, moves
        return path[: steps + 1], errors[: steps + 1], norms[: steps + 1]

    walks = {}
    monkeypatch.setattr(gc, "descend", descend)
    monkeypatch.setattr(gc, "outcomes", lambda name: {})
    out = gc.numbers()
    path, errors, _, moves = walks[5.2, -2.3, "plain"]
    assert [out["path_plain_end_w"], out["path_plain_end_b"]] == path[300].tolist()
    assert out["path_plain_end_error"] == errors[300]
    assert out["path_plain_peak_gradient"] == 2
    assert out["path_plain_peak_update"] == 77
    longest = pytest.approx(10 * np.sqrt(2))
    assert out["path_plain_longest_step"] == longest
    _, _, _, moves = walks[5.2, -2.25, "plain"]
    assert out["path_right_longest_step"] == longest
    lengths = np.linalg.norm(moves[:60], axis=1)
    assert out["path_right_longest_step_of_60"] == pytest.approx(lengths.max())
    path, _, _, _ = walks[5.2, -2.3, "norm"]
    assert [out["path_norm_end_w"], out["path_norm_end_b"]] == path[300].tolist()
    for rule in ("plain", "norm"):
        _, errors, norms, _ = walks[5.2, -2.3, rule]
        for n in range(36, 44):
            assert out[f"update_{n}_{rule}_error"] == errors[n]
            assert out[f"update_{n}_{rule}_norm"] == norms[n]


def test_surface():
    w, b, error, norm = gc.surface()
    assert error.shape == norm.shape == (len(b), len(w)) == (100, 80)
    one, grad = gc.error_and_gradient(w[70], b[20])
    assert error[20, 70] == pytest.approx(float(one))
    assert norm[20, 70] == pytest.approx(float(np.linalg.norm(grad)))


def test_gradients_around_the_wall_equal_autograd(out):
    """On a grid of w from 4 to 7 and b from -3.5 to -1.5, edges included."""
    w = 4 + 3 * torch.arange(80, dtype=torch.float64) / 79
    b = -3.5 + 2 * torch.arange(100, dtype=torch.float64) / 99
    np.testing.assert_allclose(gc.surface()[0], w, rtol=1e-14)
    np.testing.assert_allclose(gc.surface()[1], b, rtol=1e-14)
    theta = torch.stack(torch.meshgrid(w, b, indexing="xy")).requires_grad_()
    x = torch.full((100, 80), 0.5, dtype=torch.float64)
    for _ in range(50):
        x = theta[0] * torch.sigmoid(x) + theta[1]
    error = (torch.sigmoid(x) - 0.7) ** 2
    error.sum().backward()
    norm = torch.linalg.vector_norm(theta.grad, dim=0).numpy()
    np.testing.assert_allclose(gc.surface()[2], error.detach(), **TIGHT)
    # 50 slopes above 1 magnify what the two round differently
    np.testing.assert_allclose(gc.surface()[3], norm, rtol=1e-8, atol=1e-12)
    assert out["wall_median_gradient"] == pytest.approx(np.median(norm), rel=1e-8)
    assert out["wall_largest_gradient"] == pytest.approx(norm.max(), rel=1e-8)


def test_bad_input_is_named():
    g = [np.ones(2)]
    for clip in (gc.clip_by_norm, gc.clip_by_value):
        with pytest.raises(ValueError, match="threshold is 0, expected above 0"):
            clip(g, 0)
    with pytest.raises(
        ValueError, match=r"b has shape \(3,\), expected that of w, \(2"
    ):
        gc.error_and_gradient(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="steps is 0, expected at least 1"):
        gc.error_and_gradient(np.ones(2), np.ones(2), 0)
    with pytest.raises(ValueError, match=r"w is 3.9, expected at least 4"):
        gc.bifurcations(3.9)
    with pytest.raises(ValueError, match="activation is 'relu', expected 'sigmoid' or"):
        gc.two_attractors_from("relu")
    with pytest.raises(ValueError, match="rule is 'l2', expected plain, norm, value"):
        gc.descend(np.ones(2), np.ones(2), "l2")
    with pytest.raises(ValueError, match="target is 2, expected above 0 and at most 1"):
        gc.decay_steps(1, 2, 0.1, 0.1)
    with pytest.raises(ValueError, match="target is 0, expected above 0 and at most 1"):
        gc.decay_steps(1, 0, 0.1, 0.1)
    assert gc.decay_steps(1, 1, 0.1, 0.1) == 0  # already there
    for rate, penalty, product in (
        (1.0, 2.0, "2.0"),
        (0.5, 2.0, "1.0"),
        (0.1, 0, "0.0"),
    ):
        with pytest.raises(
            ValueError, match=rf"rate \* penalty is {product}, expected within \(0, 1\)"
        ):
            gc.decay_steps(2, 1, rate, penalty)
