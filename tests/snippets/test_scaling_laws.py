"""scaling_laws: against SciPy's functions and minimizers, and torch autograd."""

import csv
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, rosen, rosen_der
from scipy.special import huber, logsumexp

import scaling_laws as sl

PAGE = Path(__file__).parents[2] / "docs/transformers/hoffmann-chinchilla.md"
POINTS = os.environ.get("CHINCHILLA_POINTS")
real_points = pytest.mark.skipif(
    not POINTS, reason="CHINCHILLA_POINTS names no file with the extracted runs"
)


@pytest.fixture(scope="module")
def runs():
    return sl.random_runs(np.random.default_rng(7))


@pytest.fixture(scope="module")
def numbers():
    return sl.numbers()


def reference(theta, runs, counts):
    """The objective in torch, as the paper writes it: value and gradient."""
    theta = torch.tensor(theta, requires_grad=True)
    a, b, e, alpha, beta = theta
    log_N, log_D, log_L = (torch.log(torch.from_numpy(x)) for x in runs)
    terms = torch.stack([a - alpha * log_N, b - beta * log_D, e.expand_as(log_N)])
    error = torch.nn.functional.huber_loss(
        torch.logsumexp(terms, 0), log_L, reduction="none", delta=1e-3
    )
    value = (torch.as_tensor(counts) * error).sum()
    value.backward()
    return value.item(), theta.grad.numpy()


def scipys(runs, start, method="L-BFGS-B", scale=1.0, **options):
    def f(theta):
        value, gradient = sl.objective(theta[None], runs)
        return value[0] * scale, gradient[0] * scale

    return minimize(f, start, jac=True, method=method, options=options)


# The surface


def test_log_loss_by_hand():
    theta = np.log([[8.0, 90.0, 0.5, np.e, np.e**2]])  # alpha 1, beta 2
    runs = sl.Runs(np.array([4.0]), np.array([3.0]), np.array([1.0]))
    predicted, shares = sl.log_loss(theta, runs)
    assert predicted == pytest.approx(math.log(2 + 10 + 0.5), rel=1e-14)
    np.testing.assert_allclose(shares[:, 0, 0], [2 / 12.5, 10 / 12.5, 0.04], rtol=1e-13)


def test_log_loss_is_scipys_logsumexp_and_never_overflows(runs):
    theta = np.array([sl.EPOCH, sl.PAPER, [2000, 5, 1, 0, 0], [0, 0, -900, 60, 60]])
    predicted, shares = sl.log_loss(theta, runs)
    assert predicted.shape == (4, 240)
    assert shares.shape == (3, 4, 240)
    for row, (a, b, e, alpha, beta) in enumerate(theta):
        x, y = np.log(runs.params), np.log(runs.tokens)
        terms = [a - alpha * x, b - beta * y, np.full(240, e)]
        np.testing.assert_allclose(predicted[row], logsumexp(terms, 0), rtol=1e-13)
    np.testing.assert_allclose(shares.sum(axis=0), 1, rtol=1e-13)


def test_objective_is_scipys_huber_and_its_gradient_is_autograds(runs):
    rng = np.random.default_rng(1)
    theta = sl.EPOCH + 0.01 * rng.standard_normal((6, 5))
    counts = rng.integers(0, 3, (6, 240)).astype(float)
    residual = sl.log_loss(theta, runs)[0] - np.log(runs.loss)
    assert 0 < (np.abs(residual) < 1e-3).mean() < 1  # both branches
    for weights in (None, counts):
        args = (theta, runs) if weights is None else (theta, runs, weights)
        value, gradient = sl.objective(*args)
        assert (value.shape, gradient.shape) == ((6,), (6, 5))
        for row in range(6):
            w = np.ones(240) if weights is None else weights[row]
            by_scipy = (w * huber(1e-3, residual[row])).sum()
            assert value[row] == pytest.approx(by_scipy, rel=1e-12)
            by_torch, slopes = reference(theta[row], runs, w)
            assert value[row] == pytest.approx(by_torch, rel=1e-12)
            np.testing.assert_allclose(gradient[row], slopes, rtol=1e-10, atol=1e-12)


# The optimizer


def rosenbrock(x, rows):
    return np.array([rosen(row) for row in x]), np.array([rosen_der(row) for row in x])


def test_bfgs_finds_what_scipys_finds():
    starts = np.random.default_rng(0).uniform(-1, 2, (8, 4))
    x, value, steps = sl.bfgs(rosenbrock, starts, 0, 1e-9)
    for start, end, least in zip(starts, x, value, strict=True):
        found = minimize(
            rosen, start, jac=rosen_der, method="BFGS", options={"gtol": 1e-9}
        )
        # Rosenbrock's valley has a second, local minimum in four dimensions
        nearest = min(np.abs(end - 1).max(), np.abs(end - found.x).max())
        assert nearest < 1e-6
        assert least == pytest.approx(rosen(end), abs=1e-15)
    assert (np.abs(rosen_der(x.T)) < 1e-8).all()
    assert 20 < np.median(steps) < 80


def test_bfgs_walks_every_row_as_if_it_were_alone(runs):
    starts = sl.grid()[[10, 2000, 4000]]
    together = sl.minimize(runs, starts, **sl.DEFAULT)
    for row in range(3):
        alone = sl.minimize(runs, starts[[row]], **sl.DEFAULT)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[row], b[0], rtol=1e-6)


def bowl(x, rows):
    """x0^2 + 10 x1^2, and which problems were asked for."""
    scale = np.array([1.0, 10.0])
    return (scale * x**2).sum(axis=1), 2 * scale * x


def test_one_step_of_bfgs_by_hand():
    """From (3, 0) the gradient is (6, 0): a step of length 1 to (2, 0), value 4.

    Then s = (-1, 0), y = (-2, 0): H has 1/2 in its corner, so the second step is
    Newton's and ends at 0.
    """
    start = np.array([[3.0, 0.0]])
    x, value, steps = sl.bfgs(bowl, start, 0, 1e-9, limit=1)
    assert x.tolist() == [[2, 0]]
    assert (value[0], steps[0]) == (4, 1)
    x, value, steps = sl.bfgs(bowl, start, 0, 1e-9)
    assert (np.abs(x).max(), value[0], steps[0]) == (0, 0, 2)
    assert start.tolist() == [[3, 0]]  # left alone
    at_optimum = np.zeros((1, 2))  # no slope, so no direction: nothing to do
    x, value, steps = sl.bfgs(bowl, at_optimum, 0, 1e-9)
    assert (x.tolist(), value[0], steps[0]) == ([[0, 0]], 0, 0)


def test_a_step_is_halved_until_it_gains_enough():
    """From (0, 0.5): a step of 1 lands at -0.5 and gains nothing, half of it at 0."""
    x, value, steps = sl.bfgs(bowl, np.array([[0.0, 0.5]]), 0, 1e-9)
    assert (x.tolist(), value[0], steps[0]) == ([[0, 0]], 0, 1)

    asked = []

    def spy(x, rows):
        asked.append(x.tolist())
        return bowl(x, rows)

    sl.bfgs(spy, np.array([[0.0, 0.2]]), 0, 1e-9, limit=1)
    tried = [row[1] for (row,) in asked[:4]]
    assert tried == pytest.approx([0.2, -0.8, -0.3, -0.05])


def test_enough_is_a_ten_thousandth_of_what_the_slope_promises():
    """A step of 1 down a slope of 1 must gain 1e-4."""
    for gain, moved in ((0.9e-4, False), (1.1e-4, True)):

        def ramp(x, rows, gain=gain):
            far = x[:, 0] < -0.75
            return np.where(far, -gain, np.where(x[:, 0] < 0, 5.0, 0.0)), np.ones_like(
                x
            )

        x, _, _ = sl.bfgs(ramp, np.zeros((1, 1)), 0, 1e-9, limit=1)
        assert (x[0, 0] == -1) == moved


def test_thirty_halvings_are_tried_and_then_the_row_stays():
    calls = []

    def wall(x, rows):
        calls.append(len(x))
        return np.where(x[:, 0] == 0, 0.0, 1.0), np.ones_like(x)

    x, value, steps = sl.bfgs(wall, np.zeros((1, 1)), 0, 1e-9)
    assert (x[0, 0], value[0], steps[0]) == (0, 0, 1)
    assert sum(calls) == 31


def test_a_step_without_curvature_leaves_the_estimate_alone():
    """Down a straight line y is 0; the steps keep their length."""

    def line(x, rows):
        return x[:, 0].copy(), np.ones_like(x)

    x, _, steps = sl.bfgs(line, np.zeros((1, 1)), 0, 1e-9, limit=5)
    assert (x[0, 0], steps[0]) == (-5, 5)


def test_what_stops_a_row():
    start = np.array([[3.0, 1.0]])
    free = sl.bfgs(bowl, start, 0, 1e-12)[2][0]
    # the first step's gain: from 19 down, by hand along g = (6, 20), length 1
    unit = np.array([6, 20]) / math.hypot(6, 20)
    gain = 19 - bowl(start - unit, None)[0][0]
    assert sl.bfgs(bowl, start, gain * 1.001, 0)[2][0] == 1
    assert sl.bfgs(bowl, start, gain * 0.999, 0)[2][0] > 1
    assert sl.bfgs(bowl, start, 0, 20.0)[2][0] == 0  # the start's largest slope is 20
    assert sl.bfgs(bowl, start, 0, 19.9)[2][0] > 0
    slope = np.abs(bowl(start - unit, None)[1]).max()
    assert sl.bfgs(bowl, start, 0, slope * 1.001)[2][0] == 1
    assert sl.bfgs(bowl, start, 0, slope * 0.999)[2][0] == 2
    assert sl.bfgs(bowl, start, 0, 0, limit=3)[2][0] == 3 < free
    assert (
        300
        in sl.bfgs(lambda x, r: (x[:, 0], np.ones_like(x)), np.zeros((1, 1)), -1, 0)[2]
    )


# The fit


def test_the_grid_is_the_papers():
    grid = sl.grid()
    assert grid.shape == (4500, 5)
    assert len({tuple(row) for row in grid}) == 4500
    for column, want in enumerate(
        [[0, 5, 10, 15, 20, 25]] * 2
        + [[-1, -0.5, 0, 0.5, 1]]
        + [[0, 0.5, 1, 1.5, 2]] * 2
    ):
        assert sorted(set(grid[:, column])) == want


def test_the_fit_is_that_of_scipy(runs):
    theta, value = sl.fit(runs)
    ends = [
        scipys(runs, start, ftol=1e-15, gtol=1e-12, maxiter=2000)
        for start in (sl.EPOCH, sl.PAPER, *sl.grid()[::900])
    ]
    best = min(ends, key=lambda end: end.fun)
    assert value == pytest.approx(best.fun, rel=1e-8)
    np.testing.assert_allclose(theta, best.x, rtol=2e-4)
    assert value == pytest.approx(sl.objective(theta[None], runs)[0][0], rel=1e-14)
    assert np.abs(sl.objective(theta[None], runs)[1]).max() < 1e-7


def test_without_noise_the_fit_is_the_surface(runs):
    predicted = sl.log_loss(sl.EPOCH[None], runs)[0][0]
    theta, value = sl.fit(runs._replace(loss=np.exp(predicted)))
    np.testing.assert_allclose(theta, sl.EPOCH, rtol=1e-4)
    assert value < 1e-10


def test_sum_and_mean_walk_the_same_path(runs):
    """Only the rules for stopping tell them apart: for the mean they are 240 times
    as lenient."""
    starts = sl.grid()[::500]
    sums = sl.minimize(runs, starts, ftol=2.4e-4, gtol=2.4e-2)
    means = sl.minimize(runs, starts, mean=True, ftol=1e-6, gtol=1e-4)
    for a, b in zip(sums, means, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    lenient = sl.minimize(runs, starts, mean=True, ftol=2.4e-4, gtol=2.4e-2)
    assert (lenient[2] <= sums[2]).all()
    assert lenient[2].sum() < sums[2].sum()


def test_tight_is_meant_where_nothing_is_said(runs):
    start = sl.EPOCH[None]
    tight = sl.minimize(runs, start, ftol=1e-15, gtol=1e-12)
    for a, b in zip(sl.minimize(runs, start), tight, strict=True):
        np.testing.assert_array_equal(a, b)
    loose = sl.minimize(runs, start, **sl.DEFAULT)
    named = sl.minimize(runs, start, ftol=2.22e-9, gtol=1e-5)
    for a, b in zip(loose, named, strict=True):
        np.testing.assert_array_equal(a, b)
    assert loose[2][0] < tight[2][0]


@pytest.mark.parametrize("seed", range(2))
def test_with_scipy_too_the_mean_stops_earlier_than_the_sum(seed):
    """The direction of what the page says, with the optimizer it is said of."""
    rng = np.random.default_rng(seed)
    runs = sl.random_runs(rng)
    _, best = sl.fit(runs)
    starts = rng.permutation(sl.grid())[:25]
    ends = {
        scale: [scipys(runs, start, scale=scale) for start in starts]
        for scale in (1, 1 / 240)
    }
    least = {s: min(end.fun / s for end in found) for s, found in ends.items()}
    steps = {s: np.mean([end.nit for end in found]) for s, found in ends.items()}
    assert least[1 / 240] > 1.1 * best
    assert best <= least[1] * (1 + 1e-9) < least[1 / 240]
    assert steps[1 / 240] < steps[1] / 2


def test_constants():
    theta = np.array([[0.0, 1, 2, 0.3, 0.1], [0, 0, 0, 1, 1]])
    found = sl.constants(theta)
    want = {"A": [1, 1], "B": [math.e, 1], "E": [math.e**2, 1]}
    want |= {"alpha": [0.3, 1], "beta": [0.1, 1], "a": [0.25, 0.5]}
    assert found.keys() == want.keys()
    for name, values in want.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-14)
    assert sl.constants(theta[0])["a"] == pytest.approx(0.25)


# How far to trust it


def test_a_resample_by_counts_is_a_resample_by_rows(runs):
    theta, _ = sl.fit(runs)
    cloud = sl.bootstrap(runs, theta, np.random.default_rng(3), 3)
    counts = np.random.default_rng(3).multinomial(240, np.full(240, 1 / 240), size=3)
    assert cloud.shape == (3, 5)
    for row in range(3):
        picked = np.repeat(np.arange(240), counts[row])
        assert len(picked) == 240
        again, _ = sl.fit(sl.Runs(*(x[picked] for x in runs)))
        np.testing.assert_allclose(cloud[row], again, rtol=1e-5)


def test_width_and_runs_needed():
    assert sl.width_80(np.arange(101.0)) == pytest.approx(80)
    assert sl.width_80(np.r_[np.zeros(9), np.arange(11.0, 92), np.full(11, 500)]) > 80
    assert sl.runs_needed(240, 0.05135, 0.001) == pytest.approx(632_837.4)
    assert sl.runs_needed(10, 2, 1) == 40


# Runs


def test_drawn_runs_are_of_the_surface_and_the_noise():
    runs = sl.random_runs(np.random.default_rng(0), 4000)
    assert all(x.shape == (4000,) for x in runs)
    compute = 6 * runs.params * runs.tokens
    ratio = runs.tokens / runs.params
    for x, low, high in ((compute, 6e18, 3e21), (ratio, 1, 200)):
        u = (np.log(x) - math.log(low)) / math.log(high / low)
        assert -1e-12 < u.min() < 0.002 < 0.998 < u.max() < 1 + 1e-12
        assert abs(np.mean(u) - 0.5) < 0.02  # log-uniform
    assert abs(np.corrcoef(np.log(compute), np.log(ratio))[0, 1]) < 0.05
    terms = sl.EPOCH[:2] - sl.EPOCH[3:] * np.log(np.stack(runs[:2], axis=1))
    surface = 1.8172 + np.exp(terms).sum(axis=1)
    noise = np.log(runs.loss / surface)
    assert noise.std() == pytest.approx(0.0075, rel=0.04)
    assert abs(noise.mean()) < 4e-4
    assert len(sl.random_runs(np.random.default_rng(0)).loss) == 240


def test_the_constants_are_the_published_ones():
    want = {"A": 482.01, "B": 2085.43, "E": 1.8172, "alpha": 0.3478, "beta": 0.3658}
    found = sl.constants(sl.EPOCH)
    assert all(found[name] == pytest.approx(value) for name, value in want.items())
    paper = {"A": 406.4, "B": 410.7, "E": 1.69, "alpha": 0.34, "beta": 0.28}
    for name, value in paper.items():
        assert sl.constants(sl.PAPER)[name] == pytest.approx(
            value, abs=0.05 if value > 9 else 0.005
        )


HEAD = "Model Size,other,Training FLOP,loss\n"
ROWS = [f"{n}e6,x,6e{n + 12},{4 - n / 10}\n" for n in range(1, 9)]


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "runs.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_a_file_is_read_but_for_its_highest_losses(written):
    path = written(HEAD + "".join(ROWS[::-1]))
    runs = sl.read_runs(path, drop=2)
    assert sorted(runs.params) == [3e6, 4e6, 5e6, 6e6, 7e6, 8e6]
    order = np.argsort(runs.params)
    # D = C / 6 N: 6e15 / (6 * 3e6)
    np.testing.assert_allclose(
        runs.tokens[order], [10.0 ** (n + 6) / n for n in range(3, 9)]
    )
    np.testing.assert_allclose(runs.loss[order], [4 - n / 10 for n in range(3, 9)])
    assert len(sl.read_runs(path, drop=0).loss) == 8
    with pytest.raises(ValueError, match=r"has 8 runs, want 6 or more besides drop=5"):
        sl.read_runs(path)
    with pytest.raises(ValueError, match="besides drop=3"):
        sl.read_runs(path, 3)
    with pytest.raises(ValueError, match="besides drop=-1"):
        sl.read_runs(path, -1)
    small = written(HEAD + "".join(ROWS) + "0.5,x,0.6,0.4\n")  # all above 0
    assert min(sl.read_runs(small, drop=0).loss) == 0.4


@pytest.mark.parametrize("head", ["", "Model Size,FLOP,perplexity\n"])
def test_missing_columns_are_named(written, head):
    missing = r"\['Training FLOP', 'loss'\]" if head else r"\['Model Size', 'Tr.*\]"
    with pytest.raises(
        ValueError, match=rf"runs.csv lacks the columns {missing}, want \('M"
    ):
        sl.read_runs(written(head + "1,2,3\n"))


@pytest.mark.parametrize(
    ("row", "column", "got"),
    [
        ("1e9,x,1e20,\n", "loss", "''"),
        ("1e9,x,1e20\n", "loss", "None"),
        ("1e9,x,many,3\n", "Training FLOP", "'many'"),
        ("-1,x,1e20,3\n", "Model Size", "'-1'"),
        ("0,x,1e20,3\n", "Model Size", "'0'"),
        ("1e9,x,1e20,nan\n", "loss", "'nan'"),
        ("1e9,x,inf,2\n", "Training FLOP", "'inf'"),
    ],
)
def test_a_damaged_row_is_named(written, row, column, got):
    path = written(HEAD + ROWS[0] + row + ROWS[1])
    message = rf"runs.csv, line 3: {column} is {got}, want a number above 0"
    with pytest.raises(ValueError, match=message):
        sl.read_runs(path)


def saved(path, runs):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(sl.COLUMNS)
        writer.writerows(
            zip(runs.params, 6 * runs.params * runs.tokens, runs.loss, strict=True)
        )
    return str(path)


def test_the_program_fits_a_file(tmp_path, runs):
    # the reader sorts, and which runs a resample draws depends on their order
    runs = sl.Runs(*(column[np.argsort(-runs.loss)] for column in runs))
    path = saved(tmp_path / "mine.csv", runs)
    found = sl.main(
        ["--points", path, "--drop", "0", "--resamples", "20", "--seed", "3"]
    )
    theta, value = sl.fit(runs)
    cloud = sl.bootstrap(runs, theta, np.random.default_rng(3), 20)
    assert (found["runs"], found["summed_huber_loss"]) == (240, pytest.approx(value))
    for name, best in sl.constants(theta).items():
        assert found[name] == pytest.approx(best, rel=1e-5)
        spread = sl.constants(cloud)[name].std(ddof=1)
        assert found[f"sd_{name}"] == pytest.approx(spread, rel=1e-3)
    width = sl.width_80(sl.constants(cloud)["a"])
    assert found["width80_a"] == pytest.approx(width, rel=1e-3)


def test_by_default_five_are_dropped_and_two_hundred_resampled(
    tmp_path, runs, monkeypatch
):
    path = saved(tmp_path / "mine.csv", runs)
    seen = []

    def bootstrap(runs, theta, rng, resamples):
        seen.append((len(runs.loss), resamples, rng.random()))
        return np.stack([theta, theta])

    monkeypatch.setattr(sl, "bootstrap", bootstrap)
    sl.main(["--points", path])
    assert seen == [(235, 200, np.random.default_rng(0).random())]


def test_the_program_tells_what_is_wrong_with_a_file(tmp_path, written, capsys):
    for path, words in (
        (str(tmp_path / "none.csv"), "No such file"),
        (written("a,b\n"), "lacks the columns"),
    ):
        with pytest.raises(SystemExit):
            sl.main(["--points", path])
        assert words in capsys.readouterr().err


def test_one_resample_has_no_spread(tmp_path, runs, capsys):
    path = saved(tmp_path / "mine.csv", runs)
    with pytest.raises(SystemExit):
        sl.main(["--points", path, "--resamples", "1"])
    assert "resamples is 1, want at least 2" in capsys.readouterr().err
    cloud = sl.bootstrap(runs, sl.EPOCH, np.random.default_rng(0), 2)
    assert cloud.shape == (2, 5)


# What the page says


def test_without_a_file_the_program_has_the_numbers(numbers):
    assert sl.main([]) == numbers


def test_numbers_name_what_they_compute(numbers):
    study = sl.study()
    assert len(study) == 5
    n = dict(numbers)
    assert (n.pop("starts"), n.pop("runs_needed")) == (4500, pytest.approx(632837.4))

    def check(name, values):
        for kind, f in (("median", np.median), ("min", min), ("max", max)):
            assert n.pop(f"{name}_{kind}") == pytest.approx(f(values), rel=1e-9), name

    for i, name in enumerate(["A", "B", "E", "alpha", "beta"]):
        f = np.exp if i < 3 else np.asarray
        check(f"fit_{name}", [f(r["theta"][i]) for r in study])
        check(f"sd_{name}", [np.std(f(r["bootstrap"][:, i]), ddof=1) for r in study])
    check("fit_a", [r["theta"][4] / (r["theta"][3] + r["theta"][4]) for r in study])
    a = [r["bootstrap"][:, 4] / r["bootstrap"][:, 3:].sum(axis=1) for r in study]
    check("sd_a", [np.std(x, ddof=1) for x in a])
    check("width80_a", [np.percentile(x, 90) - np.percentile(x, 10) for x in a])
    for name, i, j in (("A_alpha", 0, 3), ("B_beta", 1, 4)):
        pairs = [np.corrcoef(r["bootstrap"][:, i], r["bootstrap"][:, j]) for r in study]
        check(f"correlation_{name}", [pair[0, 1] for pair in pairs])
    for name in ("mean", "sum"):
        ratio = [r[name] / r["value"] for r in study]
        assert all(len(x) == 101 for x in ratio)
        check(f"from_paper_{name}", [x[0] for x in ratio])
        check(f"best_ratio_{name}", [min(x[1:]) for x in ratio])
        there = [sum(x[1:] < 1.000001) / 100 for x in ratio]
        check(f"share_there_{name}", there)
        check(f"steps_{name}", [np.median(r[f"{name}_steps"][1:]) for r in study])
    assert not n


def test_the_best_start_may_be_the_first(monkeypatch):
    """After the paper's own constants, whose ratio is listed apart."""
    study = [
        {**r, "sum": np.array([1, 0.5, *[2] * 99]) * r["value"]} for r in sl.study()
    ]
    monkeypatch.setattr(sl, "study", lambda: study)
    n = sl.numbers()
    assert n["best_ratio_sum_min"] == pytest.approx(0.5)
    assert n["best_ratio_sum_max"] == pytest.approx(0.5)


def test_each_table_of_runs_is_fitted_as_told():
    for seed in (0, 4):
        result = sl.study()[seed]
        rng = np.random.default_rng(seed)
        runs = sl.random_runs(rng)
        theta, value = sl.fit(runs)
        np.testing.assert_array_equal(result["theta"], theta)
        assert result["value"] == value
        np.testing.assert_array_equal(
            result["bootstrap"], sl.bootstrap(runs, theta, rng, 200)
        )
        starts = np.vstack([sl.PAPER, rng.permutation(sl.grid())[:100]])[:4]
        for name in ("mean", "sum"):
            theta, value, steps = sl.minimize(
                runs, starts, mean=name == "mean", **sl.DEFAULT
            )
            np.testing.assert_allclose(result[name][:4], value, rtol=1e-6)
            np.testing.assert_allclose(result[f"{name}_theta"][:4], theta, rtol=1e-6)
            np.testing.assert_array_equal(result[f"{name}_steps"][:4], steps)


def test_what_holds_for_every_seed(numbers):
    n = numbers
    assert n["best_ratio_mean_min"] > 1.1
    assert n["share_there_mean_max"] == 0
    assert n["best_ratio_sum_max"] < 1.001
    assert 0.02 < n["share_there_sum_min"] < n["share_there_sum_max"] < 0.5
    assert n["from_paper_mean_min"] > 1.01
    assert n["from_paper_sum_max"] < 1.001
    assert n["steps_mean_max"] < n["steps_sum_min"]
    for name in ("A_alpha", "B_beta"):
        assert n[f"correlation_{name}_min"] > 0.998
    # the surface is found again within three standard errors, the paper's is not
    for r in sl.study():
        sd = r["bootstrap"].std(axis=0)
        assert (np.abs(r["theta"] - sl.EPOCH) < 3 * sd).all()
        assert r["theta"][4] - sl.PAPER[4] > 3 * sd[4]


# The extracted runs, where they are at hand


@pytest.fixture(scope="module")
def extracted():
    runs = sl.read_runs(POINTS)
    return runs, *sl.fit(runs)


@real_points
def test_the_extracted_runs_give_the_replications_constants(extracted):
    runs, theta, value = extracted
    assert len(runs.loss) == 240
    found = sl.constants(theta)
    want = {"A": (477.83, 3), "B": (2143.4, 40), "E": (1.81722, 0.001)}
    want |= {"alpha": (0.34731, 0.002), "beta": (0.36717, 0.002), "a": (0.5139, 0.002)}
    for name, (value_, within) in want.items():
        assert found[name] == pytest.approx(value_, abs=within)
    assert value == pytest.approx(1.018274e-3, rel=1e-5)
    for theta_, objective in ((sl.EPOCH, 1.02284e-3), (sl.PAPER, 1.2312e-3)):
        assert sl.objective(theta_[None], runs)[0][0] == pytest.approx(
            objective, rel=1e-4
        )


@real_points
def test_how_far_the_extraction_and_the_fit_are_to_be_trusted(extracted, monkeypatch):
    """Two typed numbers of the page, one in 80,000 and 0.41."""
    from chinchilla_budget import TABLE_A9, parameters

    counts = np.array([parameters(model, 5, (6, 5)) for _, model in TABLE_A9])
    params = sl.read_runs(POINTS, drop=0).params
    off = np.abs(params[:, None] / counts - 1).min(axis=1)
    assert 1 / np.median(off) == pytest.approx(80_000, rel=0.07)
    runs, _, _ = extracted
    monkeypatch.setattr(sl, "DELTA", 0.1)
    theta, _ = sl.fit(runs)
    assert round(theta[4], 2) == 0.41
    assert np.abs(sl.log_loss(theta[None], runs)[0] - np.log(runs.loss)).max() < 0.1


@real_points
def test_the_table_of_the_page_is_what_the_extracted_runs_give(extracted):
    """The one table of the page that is typed: nobody may ship what it comes from."""
    runs, theta, _ = extracted
    everything, _ = sl.fit(sl.read_runs(POINTS, drop=0))
    cloud = sl.constants(sl.bootstrap(runs, theta, np.random.default_rng(42), 1000))
    ours, all_ours = sl.constants(theta), sl.constants(everything)
    names = {r"$A$": "A", r"$B$": "B", r"$E$": "E", r"$\alpha$": "alpha"}
    names |= {r"$\beta$": "beta", r"$a$": "a"}
    text = PAGE.read_text(encoding="utf-8")
    rows = 0
    for label, name in names.items():
        row = re.search(rf"^\| {re.escape(label)} \|(.*)\|$", text, re.M)
        _, printed, sd, without = (
            cell.strip().replace(",", "") for cell in row[1].split("|")
        )
        rows += 1
        for cell, value, within in (
            (printed, ours[name], 0),
            (sd, cloud[name].std(ddof=1), 0.12),
            (without, all_ours[name], 0),
        ):
            digits = len(cell.partition(".")[2])
            margin = 0.51 * 10**-digits + within * abs(value)
            assert float(cell) == pytest.approx(value, abs=margin), (name, cell)
    assert rows == 6
