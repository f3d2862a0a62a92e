# %% [markdown]
r"""
# When is one accuracy better than another?

Two networks answer the same test images, and one has a few more right. Is it better, or
was it lucky with these images? Three answers: a standard error for each accuracy; a gap
in standard errors, as if each had its own images; and an exact test that counts only
the images on which the two differ. Applied to the nine steps of Nielsen's ladder.

**Source:** Michael A. Nielsen, *Neural Networks and Deep Learning* (2015), chapter 6,
section “Convolutional neural networks in practice”: its accuracies on 10,000 images.

| symbol | name | shape |
| --- | --- | --- |
| $n$ (`n`) | test images | |
| $p$ (`percent`) | share answered rightly, in percent | |
| $a, b$ (`lost`, `won`) | images only the old network, only the new one has right | |

**Differs from the source:** which prints accuracies alone; all that is computed from
them here is ours.

**Checked against:** `scipy.stats.binom` and `scipy.stats.binomtest` (1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
import itertools
import math

import numpy as np


# %% The primitive
def standard_error(percent: float, n: int = 10_000) -> float:
    """Of an accuracy measured on n images, in points.

    Raises:
        ValueError: percent is not between 0 and 100, or n is below 1.
    """
    if not 0 <= percent <= 100 or n < 1:
        raise ValueError(
            f"expected percent from 0 to 100 and n >= 1, got {percent} and {n}"
        )
    # each answer is right with probability p: the share's variance is p (1 - p) / n
    return math.sqrt(percent * (100 - percent) / n)


def z_of_gap(low: float, high: float, n: int = 10_000) -> float:
    """A gap of two accuracies in its standard errors, as if of different images."""
    # variances of independent measurements add up
    return (high - low) / math.hypot(standard_error(low, n), standard_error(high, n))


# %% [markdown]
# ## On the same images
# Where both are right, or both wrong, nothing is learned about which is better. On the
# other images equally good networks win and lose like a fair coin. This is McNemar's
# test, in its exact form.


# %% The sign test
def sign_test(lost: int, won: int) -> float:
    """Chance that a fair coin is at least as one-sided, in either direction.

    Raises:
        ValueError: a count is negative.
    """
    if lost < 0 or won < 0:
        raise ValueError(f"expected counts >= 0, got lost {lost} and won {won}")
    n = lost + won
    # P = 2 sum_(k >= max(a, b)) C(n, k) / 2^n, in whole numbers until the division
    tail = sum(math.comb(n, k) for k in range(max(lost, won), n + 1))
    return min(1.0, 2 * tail / 2**n)


def chances(old: int, new: int) -> tuple[float, float]:
    """Sign tests of two counts of errors when the images are not known: as if they had
    no error in common; as if the better network made only errors of the other."""
    return sign_test(new, old), sign_test(0, abs(old - new))


# %% [markdown]
# ## The nine steps

# %%
# The source's accuracies in percent, rungs 1 to 9; on 6 and 7 with 1,000 units
PRINTED = (97.80, 98.78, 99.06, 99.23, 99.37, 99.43, 99.47, 99.60, 99.67)


def wrong(percent: float) -> int:
    """Of 10,000 images those answered wrongly."""
    return round(100 * (100 - percent))


def draw_errors() -> None:
    """Wrong answers of ten thousand on nine rungs, on a logarithmic axis, from 220 down
    to 33, with bars of two standard errors. The first step leaves the bar behind it;
    on rungs 5 to 7 each bar holds the next point.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    rungs = np.arange(1, len(PRINTED) + 1)  # (9)
    counts = [wrong(percent) for percent in PRINTED]
    bars = [200 * standard_error(percent) for percent in PRINTED]  # 2, in images
    ax.errorbar(rungs, counts, bars, marker="s", ms=4, capsize=3, ls="")
    ax.step(rungs, counts, where="mid", color="C0", alpha=0.4)
    names = ("dense", "conv", "conv²", "ReLU", "shifts", "wide", "deep", "drop", "vote")
    ax.set(xlabel="rung", ylabel="wrong of 10,000", yscale="log")
    ax.set_xticks(rungs, [f"{i}\n{name}" for i, name in zip(rungs, names, strict=True)])
    ax.set_yticks((25, 50, 100, 200), ("25", "50", "100", "200"))
    ax.minorticks_off()


# %% tags=["active-ipynb"]
# draw_errors()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {}
    for rung, percent in enumerate(PRINTED, start=1):
        out[f"wrong_{rung}"], out[f"error_{rung}"] = (
            wrong(percent),
            standard_error(percent),
        )
        if rung > 1:
            below = PRINTED[rung - 2]
            out[f"fewer_{rung}"] = wrong(below) - wrong(percent)
            out[f"z_{rung}"] = z_of_gap(below, percent)
            apart, nested = chances(wrong(below), wrong(percent))
            out[f"p_apart_{rung}"], out[f"p_nested_{rung}"] = apart, nested
    out["z_5_to_7"], out["z_5_to_8"] = z_of_gap(99.37, 99.47), z_of_gap(99.37, 99.60)
    out["p_apart_5_to_8"], _ = chances(wrong(99.37), wrong(99.60))
    # the fewest images, all won and none lost, that a fair coin wins in 5 % of cases
    out["fewest"] = next(k for k in itertools.count() if sign_test(0, k) < 0.05)
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
