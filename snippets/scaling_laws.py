# %% [markdown]
r"""
# Fitting a scaling law

The loss of a language model as a function of its size and of the text it has read, five
constants, fitted to a table of runs: the objective with its gradient, a BFGS optimizer
that follows many starts at once, a bootstrap that says how far to trust the constants,
and what happens where the optimizer stops too early. Your own runs:
`python scaling_laws.py --points FILE`.

**Source:** Jordan Hoffmann et al., *Training Compute-Optimal Large Language Models*
(2022), approach 3 (section 3.3 and appendix D.3), and Tamay Besiroglu et al.,
*Chinchilla Scaling: A replication attempt* (2024).

| symbol | name | shape |
| --- | --- | --- |
| $N, D, L$ (`Runs`) | parameters, tokens, loss in nats per token | $(P)$ each |
| $\theta$ (`theta`) | $\log A, \log B, \log E, \alpha, \beta$ | $(S, 5)$ |
| $\delta$ (`DELTA`) | where the Huber loss turns from square to straight | |
| $H$ (`H`) | estimate of the inverse Hessian | $(S, 5, 5)$ |
| $P$, $S$ | runs; fits carried on side by side, one per start or resample | |

**Differs from the source:** the runs are drawn from the replication's surface, with
noise as large as its residuals: the paper's own are not published. BFGS in place of
L-BFGS, which for five unknowns need not save memory; the bootstrap starts from the
optimum, not from a grid.

**Checked against:** `scipy.optimize.minimize`, `scipy.special.huber` and `logsumexp`,
torch autograd (1e-10 in float64).

**Takes:** about 4 s on one core.

**Varies with the machine:** where an optimizer stops early hangs on the last digits of
every step before: `best_ratio_` by up to 0.2, `share_there_` by up to 0.05, `steps_` by
up to 5, `from_paper_` by up to 0.2.
"""

# %%
import argparse
import csv
import functools
import itertools
import math
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

DELTA = 1e-3


class Runs(NamedTuple):
    """Trained models: parameters N, tokens D, final loss L in nats; (P,) each."""

    params: np.ndarray
    tokens: np.ndarray
    loss: np.ndarray


# %% [markdown]
# ## The surface
# All terms are exponentials, so the logarithm of their sum is taken in one step, with
# the largest exponent pulled out. The shares of the three terms in the loss are a
# softmax, and they are all the gradient needs.


# %% The surface
def log_loss(theta: np.ndarray, runs: Runs) -> tuple[np.ndarray, np.ndarray]:
    """Predicted log L (S, P), and the shares (3, S, P) of its three terms.

    theta: (S, 5), log A, log B, log E, alpha, beta.
    """
    log_A, log_B, log_E, alpha, beta = theta.T[:, :, None]  # (S, 1) each
    log_N, log_D = np.log(runs.params), np.log(runs.tokens)  # (P,), (P,)
    # log L = LSE(log A - alpha log N, log B - beta log D, log E)
    terms = np.stack(  # (3, S, P)
        [log_A - alpha * log_N, log_B - beta * log_D, log_E + 0 * log_N]
    )
    top = terms.max(axis=0)  # (S, P)
    shares = np.exp(terms - top)  # (3, S, P)
    total = shares.sum(axis=0)  # (S, P)
    return top + np.log(total), shares / total


def objective(
    theta: np.ndarray, runs: Runs, counts: np.ndarray | float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Sum over the runs of the Huber loss of log L (S,), and its gradient (S, 5).

    counts: (S, P), how often each run counts; 1 unless a bootstrap says otherwise.
    """
    predicted, (of_A, of_B, of_E) = log_loss(theta, runs)  # (S, P), (S, P) each
    r = predicted - np.log(runs.loss)  # (S, P)
    # Huber(r) = r^2 / 2 within delta of 0, else delta (|r| - delta / 2)
    size = np.abs(r)
    huber = np.where(size <= DELTA, r * r / 2, DELTA * (size - DELTA / 2))  # (S, P)
    slope = counts * np.clip(r, -DELTA, DELTA)  # (S, P)
    by_A, by_B = slope * of_A, slope * of_B  # (S, P)
    # d log L / d log A = share of A;   d log L / d alpha = -log N times that share
    gradient = [by_A, by_B, slope * of_E]
    gradient += [-by_A * np.log(runs.params), -by_B * np.log(runs.tokens)]
    return (counts * huber).sum(axis=1), np.stack(gradient, axis=-1).sum(axis=1)


# %% [markdown]
# ## BFGS, many starts at once
# The optimizer keeps an estimate of the inverse Hessian. Each step walks along $-Hg$,
# halved until the value falls enough; what the gradient did on the way corrects $H$.
# The first step has length 1 whatever the scale of the function, so a function and a
# 240th of it are walked along the same path. They differ in one thing only: the rules
# for stopping compare with fixed numbers. SciPy's `ftol` is relative to the value, or
# to 1 where the value is below 1; there it is a fixed number as well.

# %% BFGS, many starts at once
Function = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def bfgs(
    f: Function, x: np.ndarray, ftol: float, gtol: float, limit: int = 300
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimize from each row of x (S, n): points (S, n), values (S,), steps (S,).

    f(x, rows) gives value and gradient of the problems numbered `rows`. A row stops
    when a step gains no more than ftol, or no slope is above gtol, or at the limit.
    """
    x, S, n = x.copy(), *x.shape
    steps = np.zeros(S, dtype=int)
    value, g = f(x, np.arange(S))  # (S,), (S, n)
    length = np.linalg.norm(g, axis=1)[:, None, None]  # (S, 1, 1), 0 at an optimum
    H = np.eye(n) / np.where(length > 0, length, 1)  # (S, n, n)
    live = np.flatnonzero(np.abs(g).max(axis=1) > gtol)  # rows not yet done
    for _ in range(limit):
        if not live.size:
            break
        p = -(H[live] @ g[live, :, None])[:, :, 0]  # (live, n)
        slope = (g[live] * p).sum(axis=1)  # (live,), below 0
        before, g_before, t = value[live], g[live], 1.0
        s, todo = np.zeros_like(p), np.arange(len(live))
        for _ in range(30):  # halve the step of those that have not gained enough
            rows = live[todo]
            new, g_new = f(x[rows] + t * p[todo], rows)
            good = new <= before[todo] + 1e-4 * t * slope[todo]
            s[todo[good]] = t * p[todo[good]]
            value[rows[good]], g[rows[good]] = new[good], g_new[good]
            todo, t = todo[~good], t / 2
            if not todo.size:
                break
        x[live] += s
        steps[live] += 1

        y = g[live] - g_before  # (live, n)
        sy = (s * y).sum(axis=1)  # (live,)
        bent = sy > 0  # else the step has learned nothing of the curvature
        s, y, sy = s[bent], y[bent], sy[bent, None, None]
        # H <- (I - s y^T / s^T y) H (I - y s^T / s^T y) + s s^T / s^T y
        V = np.eye(n) - s[:, :, None] * y[:, None, :] / sy  # (bent, n, n)
        H[live[bent]] = V @ H[live[bent]] @ V.mT + s[:, :, None] * s[:, None, :] / sy
        gained = before - value[live]
        live = live[(gained > ftol) & (np.abs(g[live]).max(axis=1) > gtol)]
    return x, value, steps


# %% [markdown]
# ## The fit
# The paper starts from a grid of 4,500 points and keeps the best end. Tolerances decide
# how good "best" is: the default ones are those of SciPy's L-BFGS-B, the tight ones
# are for this objective, whose value at the optimum is only about 0.001.

# %%
DEFAULT = {"ftol": 2.22e-9, "gtol": 1e-5}
TIGHT = {"ftol": 1e-15, "gtol": 1e-12}


def grid() -> np.ndarray:
    """The paper's starts (4500, 5)."""
    log_A = log_B = np.arange(0, 26, 5)
    alpha = beta = np.arange(0, 2.1, 0.5)
    log_E = np.arange(-1, 1.1, 0.5)
    return np.array(list(itertools.product(log_A, log_B, log_E, alpha, beta)), float)


def minimize(
    runs: Runs,
    starts: np.ndarray,
    counts: np.ndarray | None = None,
    mean: bool = False,
    **tolerances: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From each start (S, 5): theta (S, 5), summed Huber loss (S,), steps (S,).

    counts: (S, P) as in `objective`. mean: hand the optimizer the mean over the runs
    in place of their sum. tolerances: `TIGHT` unless given.
    """
    if counts is None:
        counts = np.ones((len(starts), 1))  # (S, 1)
    scale = len(runs.loss) if mean else 1

    def f(theta: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, gradient = objective(theta, runs, counts[rows])
        return value / scale, gradient / scale

    theta, value, steps = bfgs(f, starts, **(TIGHT | tolerances))
    return theta, value * scale, steps


def fit(runs: Runs) -> tuple[np.ndarray, float]:
    """The best theta (5,) from 30 of the paper's starts, and its summed Huber loss."""
    theta, value, _ = minimize(runs, grid()[::150])
    return theta[value.argmin()], float(value.min())


def constants(theta: np.ndarray) -> dict[str, np.ndarray]:
    """A, B, E, alpha, beta and a, the exponent of N_opt in C, of theta (..., 5)."""
    A, B, E = np.exp(theta[..., :3]).T
    alpha, beta = theta[..., 3:].T
    # N_opt ~ C^a, a = beta / (alpha + beta)                              (eq. 4)
    a = beta / (alpha + beta)
    return {"A": A, "B": B, "E": E, "alpha": alpha, "beta": beta, "a": a}


# %% [markdown]
# ## How far to trust it
# Draw as many runs with replacement, fit again, and again: the spread of the fits is
# the uncertainty of one. A resample is only a row of counts, so all are fitted at once.


# %%
def bootstrap(
    runs: Runs, theta: np.ndarray, rng: np.random.Generator, resamples: int
) -> np.ndarray:
    """theta of each resample (resamples, 5), every fit begun at theta (5,).

    Raises ValueError for fewer than 2 resamples, which have no spread.
    """
    if resamples < 2:
        raise ValueError(f"resamples is {resamples}, want at least 2")
    P = len(runs.loss)
    counts = rng.multinomial(P, np.full(P, 1 / P), size=resamples)  # (resamples, P)
    return minimize(runs, np.tile(theta, (resamples, 1)), counts)[0]


def width_80(values: np.ndarray) -> float:
    """From the 10th to the 90th percentile: the width of the 80 % interval."""
    low, high = np.percentile(values, [10, 90])
    return float(high - low)


def runs_needed(runs: float, width: float, wanted: float) -> float:
    """How many runs an interval of the wanted width takes: widths fall as 1/sqrt(P)."""
    return runs * (width / wanted) ** 2


# %% [markdown]
# ## Runs
# Drawn ones: compute between the smallest and the largest budget of approach 2,
# between one and 200 tokens per parameter, log-uniform both. Or a file's.

# %%
EPOCH = np.array(
    [math.log(482.01), math.log(2085.43), math.log(1.8172), 0.3478, 0.3658]
)
PAPER = np.array([6.0073404, 6.0179186, 0.5267228, 0.33917084, 0.2849083])
NOISE = 0.0075  # standard deviation of log L about the surface


def random_runs(rng: np.random.Generator, count: int = 240) -> Runs:
    """Runs from the replication's surface with normal noise on log L."""
    compute = np.exp(rng.uniform(np.log(6e18), np.log(3e21), count))  # (P,)
    ratio = np.exp(rng.uniform(0, np.log(200), count))  # (P,)
    # C = 6 N D and D = ratio N
    params = np.sqrt(compute / (6 * ratio))  # (P,)
    runs = Runs(params, ratio * params, np.ones(count))
    predicted = log_loss(EPOCH[None], runs)[0][0]  # (P,)
    return runs._replace(loss=np.exp(predicted + NOISE * rng.standard_normal(count)))


COLUMNS = ("Model Size", "Training FLOP", "loss")


def read_runs(path: str, drop: int = 5) -> Runs:
    """Runs of a CSV file with `COLUMNS`, but for the `drop` highest losses.

    Tokens are D = C / 6N. Raises ValueError that names the column or the line.
    """
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(f"{path} lacks the columns {missing}, want {COLUMNS}")
        rows = []
        for row in reader:
            for name in COLUMNS:
                try:
                    good = 0 < float(row[name] or "") < math.inf
                except ValueError:
                    good = False
                if not good:
                    where = f"{path}, line {reader.line_num}: {name}"
                    raise ValueError(f"{where} is {row[name]!r}, want a number above 0")
            rows.append([float(row[name]) for name in COLUMNS])
    if drop < 0 or len(rows) - drop < 6:
        raise ValueError(f"{path} has {len(rows)} runs, want 6 or more besides {drop=}")
    N, C, L = np.array(sorted(rows, key=lambda row: -row[2])[drop:]).T  # (P,) each
    return Runs(N, C / (6 * N), L)


# %% [markdown]
# ## Five tables of runs
# Each is fitted, resampled 200 times, and fitted again from the paper's constants and
# from 100 of its starts, with the tolerances that one gets by not asking for any: once
# with the sum as objective, once with the mean.


# %%
@functools.cache
def study() -> list[dict[str, np.ndarray]]:
    """For each seed: the fit, its bootstrap, and how stopping early ends."""
    results = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        runs = random_runs(rng)
        theta, value = fit(runs)
        result = {"theta": theta, "value": np.array(value)}
        result["bootstrap"] = bootstrap(runs, theta, rng, 200)
        starts = np.vstack([PAPER, rng.permutation(grid())[:100]])  # (101, 5)
        for name in ("mean", "sum"):
            ends = minimize(runs, starts, mean=name == "mean", **DEFAULT)
            result |= dict(
                zip((f"{name}_theta", name, f"{name}_steps"), ends, strict=True)
            )
        results.append(result)
    return results


# %% [markdown]
# ## Figures


# %%
def draw_bootstrap() -> None:
    """Exponent beta against alpha. Two hundred refits to resampled runs form a round
    cloud about the point that the runs were drawn from, alpha 0.348 and beta 0.366.
    The paper's point, 0.339 and 0.285, lies far below the cloud; a diagonal line marks
    equal exponents.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
    *_, alpha, beta = study()[0]["bootstrap"].T
    ax.plot(alpha, beta, "o", ms=3, alpha=0.5, label="200 resamples of one drawn table")
    ax.plot(*EPOCH[3:], "D", color="C1", label="the surface it was drawn from")
    ax.plot(*PAPER[3:], "s", color="C3", label="the paper's fit")
    ax.axline((0.35, 0.35), slope=1, color="C2", ls="--", label="equal exponents")
    ax.set(xlabel=r"$\alpha$ (size)", ylabel=r"$\beta$ (data)", ylim=(0.26, 0.45))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_bootstrap()


# %%
def draw_early_stop() -> None:
    """How far above the optimum the 100 starts end, sorted, on a logarithmic axis. With
    SciPy's default tolerances the curve of the mean lies above that of the sum
    everywhere, and even its best end stays at more than twice the optimum. The curve of
    the sum reaches the optimum, at the bottom, for its best starts only.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    result = study()[0]
    for name, style in (("mean", "-"), ("sum", "--")):
        excess = np.sort(result[name][1:] / result["value"] - 1)
        ax.plot(
            np.arange(1, 101),
            np.maximum(excess, 1e-10),
            style,
            label=f"{name} of Huber losses",
        )
    ax.set(xlabel="start, best first", ylabel="above the optimum, share", yscale="log")
    ax.legend()


# %% tags=["active-ipynb"]
# draw_early_stop()


# %% [markdown]
# ## Numbers


# %%
def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median and range over the seeds."""
    kinds = (("median", np.median), ("min", np.min), ("max", np.max))
    return {f"{name}_{kind}": float(f(values)) for kind, f in kinds}


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    results = study()
    out = {"starts": len(grid()), "runs_needed": runs_needed(240, 0.05135, 0.001)}
    fits = constants(np.stack([r["theta"] for r in results]))
    clouds = [constants(r["bootstrap"]) for r in results]
    for name, values in fits.items():
        out |= spread(f"fit_{name}", values)
        out |= spread(f"sd_{name}", [c[name].std(ddof=1) for c in clouds])
    out |= spread("width80_a", [width_80(c["a"]) for c in clouds])
    for name, (i, j) in {"A_alpha": (0, 3), "B_beta": (1, 4)}.items():
        r = [np.corrcoef(r["bootstrap"].T)[i, j] for r in results]
        out |= spread(f"correlation_{name}", r)
    for name in ("mean", "sum"):
        ratio = np.stack([r[name] / r["value"] for r in results])  # (5, 101)
        out |= spread(f"from_paper_{name}", ratio[:, 0])
        out |= spread(f"best_ratio_{name}", ratio[:, 1:].min(axis=1))
        out |= spread(f"share_there_{name}", (ratio[:, 1:] < 1 + 1e-6).mean(axis=1))
        steps = [np.median(r[f"{name}_steps"][1:]) for r in results]
        out |= spread(f"steps_{name}", steps)
    return out


# %% [markdown]
# ## Your own runs


# %%
def main(argv: Sequence[str]) -> dict[str, float]:
    """Without arguments the numbers of the page, with a file the fit to its runs."""
    parser = argparse.ArgumentParser(description="Fit L = E + A/N^alpha + B/D^beta.")
    parser.add_argument("--points", metavar="FILE", help="CSV: " + ", ".join(COLUMNS))
    parser.add_argument("--drop", type=int, default=5, help="highest losses left out")
    parser.add_argument("--resamples", type=int, default=200, help="of the bootstrap")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    args = parser.parse_args(argv)
    if not args.points:
        return numbers()
    try:
        runs = read_runs(args.points, args.drop)
        theta, value = fit(runs)
        rng = np.random.default_rng(args.seed)
        cloud = constants(bootstrap(runs, theta, rng, args.resamples))
    except (OSError, ValueError) as error:  # no such file, not UTF-8, damaged
        parser.error(str(error))
    out = {"runs": len(runs.loss), "summed_huber_loss": value}
    for name, best in constants(theta).items():
        out |= {name: float(best), f"sd_{name}": float(cloud[name].std(ddof=1))}
    return out | {"width80_a": width_80(cloud["a"])}


# %%
if __name__ == "__main__":
    results = main(sys.argv[1:] if "__file__" in globals() else [])
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
