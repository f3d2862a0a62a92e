"""compute_optimal: against SciPy's minimizer, torch autograd, and paper and pencil."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize_scalar

import compute_optimal as co
from compute_optimal import SURFACES, Surface

EASY = Surface(A=100.0, B=400.0, E=1.0, alpha=0.5, beta=0.5)
each_surface = pytest.mark.parametrize("s", [*SURFACES.values(), EASY])


def test_loss_by_hand():
    # 1 + 100 / 10 + 400 / 100
    assert co.loss(EASY, 100, 10_000) == 15
    uneven = Surface(8.0, 90.0, 0.5, 1.0, 2.0)
    assert co.loss(uneven, 4, 3) == 0.5 + 2 + 10
    np.testing.assert_array_equal(co.loss(uneven, np.array([4, 8]), 3), [12.5, 11.5])


def test_optimum_by_hand():
    # G = (50 / 200)^1 = 1/4, (C / 6)^(1/2) = 1000
    assert co.optimum(EASY, 6e6) == pytest.approx((250, 4000), rel=1e-14)
    assert co.tokens_for(EASY, 250) == pytest.approx(4000, rel=1e-14)
    # below 1 as well
    assert co.optimum(EASY, 0.06) == pytest.approx((0.025, 0.4), rel=1e-14)
    assert co.tokens_for(EASY, 0.025) == pytest.approx(0.4, rel=1e-14)


@each_surface
@pytest.mark.parametrize("C", [1e18, 5.76e23, 1e26])
def test_optimum_is_that_of_scipy_and_of_autograd(s, C):
    N, D = co.optimum(s, C)
    assert pytest.approx(C, rel=1e-14) == 6 * N * D
    found = minimize_scalar(
        lambda x: co.loss(s, math.exp(x), C / (6 * math.exp(x))) - s.E,
        bracket=(15, 30),
        options={"xtol": 1e-10},
    )
    assert math.log(N) == pytest.approx(found.x, abs=1e-5)  # flat there
    x = torch.tensor(math.log(N), dtype=torch.float64, requires_grad=True)
    co.loss(s, x.exp(), C / (6 * x.exp())).backward()
    assert abs(x.grad) < 1e-12 * C**0.3


@each_surface
def test_tokens_for_is_the_same_optimum_from_the_other_side(s):
    for C in (1e19, 1e24):
        N, D = co.optimum(s, C)
        assert co.tokens_for(s, N) == pytest.approx(D, rel=1e-12)


def test_wasted_by_hand():
    """Under EASY N = 250 and D = 4000 are best for 6e6 FLOPs; `other` takes N = 1000.

    Then N and D are equal and L - E is 500 / sqrt(1000). With C in units of 6 FLOPs the
    least is 2 sqrt(100 * 400) / C^(1/4).
    """
    other = Surface(A=400.0, B=400.0, E=7.0, alpha=0.5, beta=0.5)
    C = 400 / (500 / math.sqrt(1000))
    assert co.wasted(EASY, other, 6e6) == pytest.approx(1 - C**4 / 1e6, rel=1e-12)
    assert co.wasted(EASY, other, 6e6) == pytest.approx(0.5904, abs=1e-12)


@pytest.mark.parametrize("truth", SURFACES.values())
def test_the_rest_of_the_budget_would_have_done_as_well(truth):
    for s in (*SURFACES.values(), EASY):
        for C in (1e19, 5.76e23):
            lost = co.wasted(truth, s, C)
            assert 0 <= lost < 1
            assert (lost == 0) == (s == truth)
            enough = co.loss(truth, *co.optimum(truth, (1 - lost) * C))
            got = co.loss(truth, *co.optimum(s, C))
            assert enough == pytest.approx(got, rel=1e-13)


def test_the_exponents_are_those_of_the_equation():
    for s in SURFACES.values():
        small, large = co.optimum(s, 1e20), co.optimum(s, 1e24)
        a = math.log(large[0] / small[0]) / math.log(1e4)
        b = math.log(large[1] / small[1]) / math.log(1e4)
        assert a == pytest.approx(s.beta / (s.alpha + s.beta), rel=1e-12)
        assert a + b == pytest.approx(1, rel=1e-12)


def test_the_unrounded_constants_round_to_the_printed_ones():
    digits = {"A": 1, "B": 1, "E": 2, "alpha": 2, "beta": 2}
    for name, n in digits.items():
        unrounded = getattr(SURFACES["tex"], name)
        assert round(unrounded, n) == getattr(SURFACES["rounded"], name)


def test_the_replications_constants_add_up():
    """At N = D = 1 both powers are 1."""
    total = 1.8172 + 482.01 + 2085.43
    assert co.loss(SURFACES["epoch"], 1, 1) == pytest.approx(total, rel=1e-14)


def test_at_the_budget_of_gopher_the_three_disagree():
    """Values computed once with SciPy alone."""
    want = {"rounded": (32.19, 92.65), "tex": (40.36, 58.93), "epoch": (72.25, 18.39)}
    for name, (billions, ratio) in want.items():
        N, D = co.optimum(SURFACES[name], 5.76e23)
        assert pytest.approx((billions, ratio), abs=0.006) == (N / 1e9, D / N)


def test_gpu_hours():
    assert co.gpu_flops(1, 1e12, 0.5) == 1.8e15
    assert co.gpu_flops(2) == 2 * 3600 * 312e12 * 0.4
    assert co.gpu_flops(0.5, 0.5, 1) == 900


def test_slope_is_the_exponent_of_a_power_law():
    x = np.array([1.0, 10, 1000])
    assert co.slope(x, 7 * x**0.3) == pytest.approx(0.3, rel=1e-12)


def test_tables_have_their_misprint_and_no_other():
    assert list(co.TABLES) == ["3", "a3_2", "a3_3"]
    for name in co.TABLES:
        N, C, D = co.table(name)
        assert N.shape == C.shape == D.shape == (len(co.LABELS),)
        np.testing.assert_array_equal(
            N, [4e8, 1e9, 1e10, 67e9, 175e9, 28e10, 52e10, 1e12, 1e13]
        )
        off = 6 * N * D / C
        wrong = np.flatnonzero(np.abs(np.log(off)) > 0.05)
        assert wrong.tolist() == ([4] if name == "a3_3" else [])
        # each column grows, but for the misprint
        good = np.delete(C, wrong)
        assert (np.diff(good) > 0).all()
        assert (np.diff(D) > 0).all()
    N, C, D = co.table("a3_3")
    assert 6 * N[4] * D[4] / C[4] == pytest.approx(10, rel=1e-12)


def test_labels_are_the_sizes_of_the_rows():
    unit = {"m": 1e6, "b": 1e9, "t": 1e12}
    sizes = [float(label[:-1]) * unit[label[-1]] for label in co.LABELS]
    for name in co.TABLES:
        assert co.table(name)[0].tolist() == sizes


@each_surface
@pytest.mark.parametrize(("N", "used"), [(13e9, 2e12), (1e9, 1e9), (70e9, 1e14)])
def test_cheapest_is_that_of_scipy(s, N, used):
    size, tokens, saved = co.cheapest(s, N, used)
    D = co.tokens_for(s, N)
    target = co.loss(s, N, D)
    assert co.loss(s, size, tokens) == pytest.approx(target, rel=1e-12)

    def cost(x):
        left = target - s.E - s.A / math.exp(x) ** s.alpha
        return math.exp(x) * (6 * (s.B / left) ** (1 / s.beta) + 2 * used)

    lowest = math.log((s.A / (target - s.E)) ** (1 / s.alpha))
    found = minimize_scalar(
        cost,
        bounds=(lowest + 1e-6, math.log(N)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert math.log(size) == pytest.approx(found.x, abs=1e-6)
    assert saved == pytest.approx(1 - found.fun / (N * (6 * D + 2 * used)), abs=1e-10)
    assert size < N
    assert 0 < saved < 1


def test_what_sardanas_code_prints():
    """Examples of its README: a model of 30 billion, and a loss of 1.947."""
    s = co.SARDANA
    D = co.tokens_for(s, 30e9)
    assert float(f"{D:.3e}") == 1.556e12
    assert co.loss(s, 30e9, D) == pytest.approx(1.958253360475841, rel=1e-15)
    N = 10 ** brentq(
        lambda x: co.loss(s, 10**x, co.tokens_for(s, 10**x)) - 1.947, 9, 12, xtol=1e-13
    )
    size, tokens, saved = co.cheapest(s, N, 2e12)
    assert float(f"{size:.3e}") == 2.418e10
    assert float(f"{tokens:.3e}") == 2.657e12
    assert round(100 * size / N, 2) == 70.96
    assert round(100 * tokens / co.tokens_for(s, N), 2) == 146.77
    assert round(100 * (1 - saved), 2) == 95.22


def test_a_model_that_is_never_used_is_the_compute_optimal_one():
    for s in SURFACES.values():
        size, tokens, saved = co.cheapest(s, 13e9, 0)
        assert size == pytest.approx(13e9, rel=1e-3)
        assert tokens == pytest.approx(co.tokens_for(s, 13e9), rel=1e-3)
        assert abs(saved) < 1e-9


@each_surface
def test_without_the_embedding_each_model_is_the_best_of_its_budget(s):
    """The sizes that a search along C_E finds have the slope that the formula gives."""

    def best(C):
        def loss(x):
            N_E = math.exp(x)
            N = N_E + 47491 * N_E ** (1 / 3)
            return co.loss(s, N, C / (6 * N_E))

        found = minimize_scalar(
            loss, bounds=(1, 30), method="bounded", options={"xatol": 1e-9}
        )
        return math.exp(found.x)

    # the formula's budgets for its own sizes
    N_E = np.geomspace(768, 1.5e9, 20)
    N = N_E + 47491 * N_E ** (1 / 3)
    dN = 1 + 47491 / 3 * N_E ** (-2 / 3)
    D = (s.beta * s.B / (s.alpha * s.A * N ** (-s.alpha - 1) * dN * N_E)) ** (
        1 / s.beta
    )
    sizes = [best(C) for C in 6 * N_E * D]
    np.testing.assert_allclose(sizes, N_E, rtol=1e-4)
    ours = co.exponent_without_embedding(s)
    assert ours == pytest.approx(co.slope(6 * N_E * D, N_E), rel=1e-12)
    assert ours > s.beta / (s.alpha + s.beta) + 0.1


def test_numbers_name_what_they_compute():
    n = co.numbers()
    assert n["gpu_hour_flops"] == co.gpu_flops(1)
    for name, s in SURFACES.items():
        own = {
            key.removeprefix(f"{name}_"): v
            for key, v in n.items()
            if key.startswith(f"{name}_")
        }
        assert all(own[key] == value for key, value in s._asdict().items())
        assert own["a"] == s.beta / (s.alpha + s.beta)
        assert own["a"] + own["b"] == pytest.approx(1)
        assert own["loss_chinchilla"] == co.loss(s, 70e9, 1.4e12)
        assert own["loss_gopher"] == co.loss(s, 280e9, 300e9)
        assert own["reducible_chinchilla"] == own["loss_chinchilla"] - s.E
        assert own["kaplan_exponent"] == co.exponent_without_embedding(s)
        size, tokens, saved = co.cheapest(s, 13e9, 2e12)
        assert own["cheapest_billions"] == size / 1e9
        assert own["cheapest_tokens_billions"] == tokens / 1e9
        assert own["cheapest_saved_percent"] == 100 * saved
        before = 13e9 * (6 * co.tokens_for(s, 13e9) + 4e12)
        after = size * (6 * tokens + 4e12)
        assert own["cheapest_saved_flops"] == saved * before
        assert saved * before == pytest.approx(before - after, rel=1e-12)
        N, _ = co.optimum(s, own["flops_for_10b"])
        assert pytest.approx(10e9, rel=1e-12) == N
        budgets = {f"1e{k}": 10.0**k for k in range(18, 27)} | {"gopher": 5.76e23}
        names = {f"params_{key}" for key in budgets}
        assert {key for key in own if key.startswith("params_")} == names
        for key, C in budgets.items():
            N, D = co.optimum(s, C)
            assert (own[f"params_{key}"], own[f"tokens_{key}"]) == (N, D)
            assert own[f"ratio_{key}"] == D / N
            at = "loss_at_gopher" if key == "gopher" else f"loss_{key}"
            assert own[at] == co.loss(s, N, D)
        lost = 100 * co.wasted(SURFACES["epoch"], s, 5.76e23)
        assert own["wasted_percent_gopher"] == lost
    for name in co.TABLES:
        for i, label in enumerate(co.LABELS):
            N, C, D = co.table(name)[:, i]
            keys = ("6nd", "gophers", "of_gopher", "ratio")
            own = [n[f"table_{name}_{label}_{key}"] for key in keys]
            assert own == [6 * N * D, C / 5.76e23, 5.76e23 / C, D / N]
    slopes = [n[f"table_{name}_slope"] for name in co.TABLES]
    assert slopes == pytest.approx([0.4981, 0.4899, 0.4586], abs=5e-5)
    s = co.SARDANA
    size, tokens, saved = co.cheapest(s, 13e9, 2e12)
    assert n["sardana_cheapest_billions"] == size / 1e9
    assert n["sardana_cheapest_saved_percent"] == 100 * saved
    before = 13e9 * (6 * co.tokens_for(s, 13e9) + 4e12)
    after = size * (6 * tokens + 4e12)
    got = n["sardana_cheapest_saved_flops"]
    assert got == pytest.approx(before - after, rel=1e-11)
    assert n["sardana_flops_for_10b"] == 6 * 10e9 * co.tokens_for(s, 10e9)
    assert n["kaplan_times_params"] == pytest.approx(5.3703, abs=5e-5)
    assert n["kaplan_times_tokens"] == pytest.approx(1.8621, abs=5e-5)
    assert n["tex_kaplan_exponent"] == pytest.approx(0.750, abs=5e-4)
    assert n["epoch_kaplan_exponent"] == pytest.approx(0.787, abs=6e-4)


@pytest.mark.parametrize("bad", [0, -1.0, math.nan])
def test_bad_values_are_named(bad):
    with pytest.raises(ValueError, match=f"C is {bad}, want above 0"):
        co.optimum(EASY, bad)
    with pytest.raises(ValueError, match=f"N is {bad}, want above 0"):
        co.tokens_for(EASY, bad)
    for place in range(3):
        arguments = [3.0, 2.0, 0.5]
        arguments[place] = bad
        got = r"got {}, {} and {}".format(*arguments)
        with pytest.raises(ValueError, match=f"want hours, peak > 0 .* 1, {got}"):
            co.gpu_flops(*arguments)
    with pytest.raises(ValueError, match=r"and 1.01$"):
        co.gpu_flops(1, 1, 1.01)
    if bad != 0:
        with pytest.raises(ValueError, match=f"used is {bad}, want at least 0"):
            co.cheapest(EASY, 100, bad)
