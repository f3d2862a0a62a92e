# %% [markdown]
r"""
# What one hidden layer can draw

A network with one hidden layer can come as close to a continuous function as we like,
if it may be wide enough. Here such networks are built by hand, from steps and from
ramps, and their errors are measured. Then come the three things the theorem does not
say: how wide, whether training finds the weights, and what happens outside the
interval.

**Source:** M. Nielsen, *Neural Networks and Deep Learning* (2015), chapter 4, for the
steps; the theorem is due to G. Cybenko (1989), and to K. Hornik, M. Stinchcombe and H.
White (1989).

| symbol | name | shape |
| --- | --- | --- |
| $n, P$ | hidden units, points | |
| $x$ (`x`) | input, a number per point | $(P,)$ |
| $w, b$ (`net.w`, `net.b`) | weight and bias of each hidden unit | $(n,)$ |
| $v, c$ (`net.v`, `net.c`) | weights and bias of the output | $(n,)$, a number |
| $s_k$ | where unit $k$ steps or bends: $-b_k / w_k$ | |

**Differs from the source:** Nielsen makes a bump of two steps. Here neighbouring bumps
share a step, which needs half as many units.

**Checked against:** `torch.nn.Linear` with the same weights, torch autograd,
`numpy.interp` (1e-10 in float64); SciPy's search for the largest error.

**Takes:** about 2 s on one core.

**Varies with the machine:** what is measured after training, since each processor
rounds in its own way and training magnifies that: `trained` by up to 0.05.
"""

# %%
from collections.abc import Callable, Sequence
from functools import cache
from math import comb
from typing import NamedTuple

import numpy as np

# %% [markdown]
# ## One hidden layer on a line


# %% The network
class Net(NamedTuple):
    """phi is 'sigmoid' or 'relu'; w, b, v (n,); c is a number."""

    phi: str
    w: np.ndarray
    b: np.ndarray
    v: np.ndarray
    c: float


def evaluate(net: Net, x: np.ndarray) -> np.ndarray:
    """g(x) = sum over units of v_k phi(w_k x + b_k), plus c: (P,) -> (P,).

    Raises:
        ValueError: unknown activation.
    """
    z = x[:, None] * net.w + net.b  # (P, n)
    if net.phi == "relu":
        a = np.maximum(z, 0)  # (P, n)
    elif net.phi == "sigmoid":
        a = 0.5 * (1 + np.tanh(0.5 * z))  # (P, n)
    else:
        raise ValueError(f"phi is {net.phi!r}, expected 'sigmoid' or 'relu'")
    return a @ net.v + net.c  # (P,)


def largest_error(net: Net, f: Callable, low: float, high: float) -> float:
    """The largest |g(x) - f(x)| on 4,001 points from low to high."""
    x = np.linspace(low, high, 4001)  # (4001,)
    return float(np.abs(evaluate(net, x) - f(x)).max())


# %% [markdown]
# ## Built by hand, from steps
# A sigmoid with a large weight is a step. Put one between each two neighbouring values,
# and let its output weight be the height to climb. The error is that of a staircase:
# half a step, of order $1/n$.


# %%
def staircase(
    f: Callable, low: float, high: float, n: int, weight: float = 1000.0
) -> Net:
    """n sigmoid units that step from value to value of f on n + 1 equal pieces.

    Raises:
        ValueError: n below 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}, expected at least 1")
    edges = np.linspace(low, high, n + 2)  # (n + 2,)
    heights = f((edges[:-1] + edges[1:]) / 2)  # f in the middle of each piece  (n + 1,)
    # s = -b / w, so b = -w s
    w = np.full(n, weight)  # (n,)
    return Net("sigmoid", w, -weight * edges[1:-1], np.diff(heights), heights[0])


# %% [markdown]
# ## Built by hand, from ramps
# A ReLU unit with $w = 1$ is flat up to its kink and then rises. Put one at each knot,
# and let its output weight be the *change* of slope there: the network is the polygon
# through the knots. Its error is at most $h^2/8$ times the largest curvature, $h$ being
# the distance of the knots: of order $1/n^2$.


# %%
def polygon(f: Callable, knots: np.ndarray) -> Net:
    """A ReLU unit per piece: the polygon through f at the knots (n + 1,), rising.

    Raises:
        ValueError: fewer than two knots, or knots that do not rise.
    """
    if len(knots) < 2 or np.diff(knots).min() <= 0:
        raise ValueError(f"knots are {knots}, expected at least two that rise")
    slopes = np.diff(f(knots)) / np.diff(knots)  # (n,)
    v = np.diff(slopes, prepend=0)  # v_k = slope after knot k - slope before it  (n,)
    return Net("relu", np.ones(len(v)), -knots[:-1], v, float(f(knots)[0]))


# %% [markdown]
# ## Left to training
# The same ReLU network, its weights found by gradient descent (Adam) on the mean
# squared error, from a start with kinks spread over the interval.


# %%
def random_net(low: float, high: float, n: int, rng: np.random.Generator) -> Net:
    """n ReLU units that open to either side, kinks uniform in the interval."""
    w = rng.choice([-1.0, 1.0], n)  # (n,)
    return Net("relu", w, -w * rng.uniform(low, high, n), np.zeros(n), 0.0)


def gradient(theta: Sequence, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Gradient of the mean of (g(x) - y)^2 by w, b, v, c, for ReLU; x and y (P,)."""
    w, b, v, c = theta
    a = np.maximum(x[:, None] * w + b, 0)  # (P, n)
    dg = 2 * (a @ v + c - y) / len(x)  # (P,)
    dz = dg[:, None] * v * (a > 0)  # (P, n)
    return [x @ dz, dz.sum(axis=0), dg @ a, dg.sum()]  # (n,), (n,), (n,), ()


def train(net: Net, x: np.ndarray, y: np.ndarray, lr: float, n_steps: int) -> Net:
    """Adam on all points at once, its rate falling to zero along a line.

    Raises:
        ValueError: the net is not of ReLU units.
    """
    if net.phi != "relu":
        raise ValueError(f"phi is {net.phi!r}, expected 'relu': its gradient is known")
    theta = list(net[1:])  # (n,), (n,), (n,), ()
    m, s = [0.0] * 4, [0.0] * 4  # running means of the gradient and of its square
    for t in range(n_steps):
        rate = lr * (1 - t / n_steps)
        for i, d in enumerate(gradient(theta, x, y)):
            m[i] = 0.9 * m[i] + 0.1 * d  # as theta[i]
            s[i] = 0.999 * s[i] + 0.001 * d**2  # as theta[i]
            m_hat, s_hat = m[i] / (1 - 0.9 ** (t + 1)), s[i] / (1 - 0.999 ** (t + 1))
            theta[i] = theta[i] - rate * m_hat / (np.sqrt(s_hat) + 1e-8)
    return Net(net.phi, *theta)


# %% [markdown]
# ## Width against depth
# Each ReLU unit bends the line once, so $n$ of them in one layer make at most $n + 1$
# pieces. Layers multiply instead: the tent map folds the interval in two with two
# units, and $k$ of them in a row fold it into $2^k$ pieces.


# %%
def tent(x: np.ndarray) -> np.ndarray:
    """1 - |2x - 1| on [0, 1], from two ReLU units: any shape."""
    # T(x) = 2 relu(x) - 4 relu(x - 1/2)
    return 2 * np.maximum(x, 0) - 4 * np.maximum(x - 0.5, 0)


def folded(x: np.ndarray, depth: int) -> np.ndarray:
    """The tent map, `depth` times in a row: 2 depth units, the shape of x."""
    for _ in range(depth):
        x = tent(x)
    return x


def count_pieces(y: np.ndarray) -> int:
    """Straight pieces of a curve, from its values (P,) at equal distances."""
    bends = np.diff(np.diff(y))  # (P - 2,)
    return 1 + int((np.abs(bends) > 1e-9).sum())


def largest_number_of_regions(n: int, d: int) -> int:
    """Linear regions that n ReLU units in one layer can make of d inputs, at most.

    Raises:
        ValueError: n below 0 or d below 1.
    """
    if n < 0 or d < 1:
        raise ValueError(f"n and d are {n} and {d}, expected at least 0 and 1")
    # 1 + n + C(n, 2) + ... + C(n, d)
    return sum(comb(n, i) for i in range(d + 1))


def count_regions(angles: np.ndarray, offset: float) -> int:
    """Sides taken by units whose kinks are lines `offset` from 0, at these angles (n,).

    Counted on a grid over the square from -3 to 3.
    """
    u, v = np.meshgrid(np.linspace(-3, 3), np.linspace(-3, 3))  # (50, 50) each
    x = np.stack([u.ravel(), v.ravel()], axis=1)  # (2500, 2)
    W = np.stack([np.cos(angles), np.sin(angles)])  # (2, n)
    return len(np.unique(x @ W > offset, axis=0))


# %% [markdown]
# ## Measured on a sine
# One period of it, and what the networks do beyond that period.


# %%
PERIOD = 2 * np.pi
SEEDS, STEPS = range(5), 1000


@cache
def trained_errors(n: int) -> tuple[float, ...]:
    """Largest error of n trained ReLU units on a period of the sine, one per seed."""
    x = np.linspace(0, PERIOD, 129)  # (129,)
    starts = [random_net(0, PERIOD, n, np.random.default_rng(seed)) for seed in SEEDS]
    nets = [train(net, x, np.sin(x), lr=0.03, n_steps=STEPS) for net in starts]
    return tuple(largest_error(net, np.sin, 0, PERIOD) for net in nets)


# %% [markdown]
# ## Figures


# %%
def draw_fits() -> None:
    """Two panels, each with a period of the sine and what lies beyond it on either
    side. Above, eight sigmoid units make a staircase that is flat outside the period.
    Below, eight ReLU units make a polygon with its corners on the sine; to the left of
    the period it is flat, to the right its last piece runs on, away from the sine.
    """
    import matplotlib.pyplot as plt

    x = np.linspace(-2, PERIOD + 2, 800)  # (800,)
    steps = staircase(np.sin, 0, PERIOD, 8)
    ramps = polygon(np.sin, np.linspace(0, PERIOD, 9))
    _, axes = plt.subplots(2, figsize=(6.4, 4.8), sharex=True, layout="constrained")
    for ax, net, name in zip(axes, (steps, ramps), ("steps", "ramps"), strict=True):
        ax.axvspan(0, PERIOD, color="C2", alpha=0.1, linewidth=0)
        ax.plot(x, np.sin(x), label="sine")
        ax.plot(x, evaluate(net, x), label=f"8 {name}")
        ax.set(ylabel="value", ylim=(-1.6, 1.6), xlim=(x[0], x[-1]))
        ax.legend(loc="lower right")
    axes[1].set_xlabel("x (shaded: where the network was built)")


# %% tags=["active-ipynb"]
# draw_fits()


# %%
def draw_errors() -> None:
    """Largest error against the number of hidden units, 1 to 32, both axes
    logarithmic. The staircase falls slowly, to about 0.1 at 32 units; the polygon
    falls twice as steeply, to 0.005. Trained networks, a dot per seed at 4, 8, 16 and
    32 units, scatter around the polygon at 4 and 8 and lie above it at 16 and 32.
    """
    import matplotlib.pyplot as plt

    widths = [1, 2, 4, 8, 16, 32]
    steps = [staircase(np.sin, 0, PERIOD, n) for n in widths]
    ramps = [polygon(np.sin, np.linspace(0, PERIOD, n + 1)) for n in widths]
    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for nets, name in ((steps, "steps by hand"), (ramps, "ramps by hand")):
        errors = [largest_error(net, np.sin, 0, PERIOD) for net in nets]
        ax.loglog(widths, errors, marker="o", label=name)
    for n in widths[2:]:
        label = "ramps, trained" if n == widths[2] else None
        x = [n * 1.06] * len(SEEDS)
        ax.plot(
            x, trained_errors(n), "C2^", markersize=5, linestyle="none", label=label
        )
    ax.set(xlabel="hidden units", ylabel="largest error")
    ax.set_xticks(widths, [str(n) for n in widths])
    ax.minorticks_off()
    ax.legend()


# %% tags=["active-ipynb"]
# draw_errors()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {}
    for n in (4, 8, 16, 32):
        steps = staircase(np.sin, 0, PERIOD, n)
        ramps = polygon(np.sin, np.linspace(0, PERIOD, n + 1))
        out[f"steps_error_{n}"] = largest_error(steps, np.sin, 0, PERIOD)
        out[f"ramps_error_{n}"] = largest_error(ramps, np.sin, 0, PERIOD)
        found = trained_errors(n)
        out[f"trained_error_{n}_median"] = np.median(found)
        out[f"trained_error_{n}_min"] = min(found)
        out[f"trained_error_{n}_max"] = max(found)
    # Nielsen's second step: s = 0.2 with a weight of 1000. The units at 0.2 to 0.8
    out["nielsen_bias"] = staircase(np.sin, 0, 1, 4).b[0]

    ramps = polygon(np.sin, np.linspace(0, PERIOD, 33))
    out["ramps_two_periods_out"] = evaluate(ramps, np.array([3 * PERIOD]))[0]
    for k in (5, 10):
        y = folded(np.arange(2**12 + 1) / 2**12, k)  # (4097,)
        out[f"tent_pieces_{k}"] = count_pieces(y)
        out[f"one_layer_units_{k}"] = out[f"tent_pieces_{k}"] - 1  # n + 1 pieces
    x = np.linspace(-1, 5, 601)  # (601,): five pieces on [0, 5], and what lies before
    out["ramps_pieces_5"] = count_pieces(evaluate(polygon(np.exp, np.arange(6.0)), x))
    out["regions_3_units"] = count_regions(np.arange(3) * 2 * np.pi / 3, 1.0)
    out["regions_10_units_formula"] = largest_number_of_regions(10, 2)
    out |= {"train_steps": STEPS, "seeds": len(SEEDS)}
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
