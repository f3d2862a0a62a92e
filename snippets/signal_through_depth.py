# %% [markdown]
r"""
# Signal and gradient through depth

A deep network multiplies its signal by one factor per layer on the way up, and its
gradient by one factor per layer on the way down. Here both are measured in untrained
networks for sigmoid, tanh and ReLU, four scales of the weights, with and without a
residual connection.

**Source:** X. Glorot and Y. Bengio, *Understanding the difficulty of training deep
feedforward neural networks* (2010), eq. 1, 12, 15 and 16; K. He et al., *Delving deep
into rectifiers* (2015), section 2.2; M. Nielsen, *Neural Networks and Deep Learning*
(2015), chapter 5.

| symbol | name | shape |
| --- | --- | --- |
| $L, n, B, S$ | layers, units per layer, inputs, seeds | |
| $W^l$ (`W[l - 1]`) | weights into layer $l$ | $(S, n, n)$ |
| $a^l$ (`a[l]`) | activations, $a^0$ is the input | $(S, n, B)$ |
| $\phi(z^l)$ (`y[l - 1]`) | what the layer computes | $(S, n, B)$ |
| $\delta^l$ (`d[l]`) | gradient of a loss with respect to $a^l$ | $(S, n, B)$ |

**Differs from the source:** inputs, and the gradient at the last layer, are standard
normal numbers; every layer has the same width; no biases, nothing is trained.

**Checked against:** torch autograd, `torch.nn.Linear`, `torch.nn.init` (1e-10 in
float64); the variance formulas; `scipy.optimize.minimize_scalar`.

**Takes:** about 2 s on one core.
"""

# %%
from functools import cache

import numpy as np

DEPTH, WIDTH, BATCH, SEEDS = 30, 100, 50, (0, 1, 2, 3, 4)

# %% [markdown]
# ## Three activations
# Each slope is written in terms of the output $y = \phi(z)$, as a backward pass has it.


# %% The activations and their slopes
def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), written so that no z overflows."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def activate(name: str, z: np.ndarray) -> np.ndarray:
    """phi(z) for 'sigmoid', 'tanh' or 'relu'; z of any shape.

    Raises:
        ValueError: unknown name.
    """
    if name == "sigmoid":
        return sigmoid(z)
    if name == "tanh":
        return np.tanh(z)
    if name == "relu":
        return np.maximum(z, 0)
    raise ValueError(f"activation is {name!r}, expected 'sigmoid', 'tanh' or 'relu'")


def slope(name: str, y: np.ndarray) -> np.ndarray:
    """phi'(z) from y = phi(z): at most 1/4 for sigmoid, 1 for tanh and ReLU."""
    if name == "sigmoid":
        return y * (1 - y)  # sigma' = sigma (1 - sigma)
    if name == "tanh":
        return 1 - y**2  # tanh' = 1 - tanh^2
    return (y > 0).astype(y.dtype)  # relu' = 1 where z > 0, else 0


# %% [markdown]
# ## Four scales of the weights
# All that matters is the product of fan-in and variance, $n \operatorname{Var}(W)$.


# %%
def init_weights(
    init: str, depth: int, n: int, rngs: list[np.random.Generator]
) -> np.ndarray:
    """Uniform weights of `depth` square layers, a network per generator: (L, S, n, n).

    'default' is that of `torch.nn.Linear`, 'unit' has variance 1 whatever the fan-in.

    Raises:
        ValueError: depth or n below 1, unknown init.
    """
    for name, size in (("depth", depth), ("n", n)):
        if size < 1:
            raise ValueError(f"{name} is {size}, expected at least 1")
    variances = {
        # U(-1/sqrt(n), 1/sqrt(n)), so n Var(W) = 1/3      Glorot & Bengio eq. 1, 15
        "default": 1 / (3 * n),
        # Var(W) = 2 / (n_in + n_out)                      Glorot & Bengio eq. 12, 16
        "glorot": 2 / (n + n),
        # Var(W) = 2 / n_in                                He et al. eq. 10
        "he": 2 / n,
        "unit": 1.0,
    }
    if init not in variances:
        raise ValueError(f"init is {init!r}, expected one of {', '.join(variances)}")
    bound = np.sqrt(3 * variances[init])  # the variance of U(-a, a) is a^2 / 3
    networks = [rng.uniform(-bound, bound, (depth, n, n)) for rng in rngs]
    return np.stack(networks, axis=1)  # (L, S, n, n)


# %% [markdown]
# ## Up and down
# `residual=None` is a plain network. With a number, the layer's output is scaled by it
# and *added* to what comes in.


# %%
def forward(
    W: np.ndarray, x: np.ndarray, activation: str, residual: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """W (L, S, n, n), x (S, n, B) -> a (L + 1, S, n, B), y (L, S, n, B).

    Raises:
        ValueError: x has a shape that does not fit W, unknown activation.
    """
    if x.ndim != 3 or x.shape[:2] != W.shape[1:3]:
        raise ValueError(
            f"x has shape {x.shape}, expected ({W.shape[1]}, {W.shape[2]}, B)"
        )
    a, y = [x], []
    for W_l in W:  # (S, n, n)
        # z^l = W^l a^(l-1),  y^l = phi(z^l)
        y.append(activate(activation, W_l @ a[-1]))  # (S, n, B)
        # plain: a^l = y^l;  residual: a^l = a^(l-1) + r y^l
        a.append(y[-1] if residual is None else a[-1] + residual * y[-1])  # (S, n, B)
    return np.stack(a), np.stack(y)


def backward(
    W: np.ndarray,
    a: np.ndarray,
    y: np.ndarray,
    d_last: np.ndarray,
    activation: str,
    residual: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient d_last (S, n, B) of a^L -> d (L + 1, S, n, B) and dW (L, S, n, n).

    Raises:
        ValueError: d_last has not the shape of a^L.
    """
    if d_last.shape != a[-1].shape:
        raise ValueError(f"d_last has shape {d_last.shape}, expected {a[-1].shape}")
    d = [d_last]
    dW = np.empty_like(W)  # (L, S, n, n)
    for l in reversed(range(len(W))):
        dz = d[-1] * slope(activation, y[l])  # (S, n, B)
        if residual is not None:
            dz = residual * dz  # (S, n, B)
        dW[l] = dz @ np.swapaxes(a[l], 1, 2)  # (S, n, n)
        # d^(l-1) = W^T (phi'(z) * d^l): one weight matrix and one slope per layer
        d_below = np.swapaxes(W[l], 1, 2) @ dz  # (S, n, B)
        # residual: the gradient also comes down unchanged
        d.append(d_below if residual is None else d[-1] + d_below)  # (S, n, B)
    return np.stack(d[::-1]), dW


# %% [markdown]
# ## What is measured
# - `rms`: the size of the activations, root mean square;
# - `signal`: the part of it that differs between inputs (standard deviation over the
#   batch). A sigmoid rests at one half: its activations cannot vanish, but what they
#   say of the input can;
# - `gradient`: root mean square of $\delta^l$, which is 1 at the last layer;
# - `weights`: root mean square of the gradient of $W^l$.


# %%
@cache
def through_depth(
    activation: str, init: str, residual: float | None = None
) -> dict[str, np.ndarray]:
    """The four sizes by layer, (L + 1, S) and for `weights` (L, S)."""
    rngs = [np.random.default_rng(seed) for seed in SEEDS]
    W = init_weights(init, DEPTH, WIDTH, rngs)  # (L, S, n, n)
    x = np.stack([rng.standard_normal((WIDTH, BATCH)) for rng in rngs])  # (S, n, B)
    d_last = np.stack([rng.standard_normal((WIDTH, BATCH)) for rng in rngs])
    a, y = forward(W, x, activation, residual)
    d, dW = backward(W, a, y, d_last, activation, residual)
    gradient = np.sqrt((d**2).mean(axis=(2, 3)))  # (L + 1, S)
    return {
        "rms": np.sqrt((a**2).mean(axis=(2, 3))),  # (L + 1, S)
        "signal": np.sqrt(a.var(axis=3).mean(axis=2)),  # (L + 1, S)
        "gradient": gradient / gradient[-1],  # (L + 1, S)
        "weights": np.sqrt((dW**2).mean(axis=(2, 3))),  # (L, S)
    }


# %% [markdown]
# ## Mean singular value of a layer
# Glorot and Bengio watch the average singular value of the Jacobian of a layer. While
# the slopes are 1, that Jacobian is the weight matrix, and for a large square matrix of
# independent entries the average is $\frac{8}{3\pi}\sqrt{n \operatorname{Var}(W)}$.


# %%
def singular_values(init: str, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Mean singular value of W, (S,), and of tanh layers' Jacobians 1..5, (5, S)."""
    rngs = [np.random.default_rng(seed) for seed in SEEDS]
    W = init_weights(init, 5, n, rngs)  # (5, S, n, n)
    x = np.stack([rng.standard_normal((n, 1)) for rng in rngs])  # (S, n, 1)
    _, y = forward(W, x, "tanh")  # (5, S, n, 1)
    jacobians = slope("tanh", y) * W  # da^l / da^(l-1)  (5, S, n, n)
    of_weights = np.linalg.svdvals(W[0]).mean(axis=-1)  # (S,)
    return of_weights, np.linalg.svdvals(jacobians).mean(axis=-1)  # (5, S)


# %% [markdown]
# ## A chain of single neurons
# The smallest deep network (Nielsen). Its factor per layer is $w\,\sigma'(wa + b)$.


# %%
def window(w: np.ndarray) -> np.ndarray:
    """Width of the range of a in which |w sigma'(w a + b)| >= 1, for |w| >= 4.

    Raises:
        ValueError: some |w| is below 4, where no such a exists.
    """
    w = np.abs(w)
    if (w < 4).any():
        raise ValueError(f"|w| is {w.min()}, expected at least 4")
    # sigma (1 - sigma) = 1/|w|  has the solutions  s = (1 +- sqrt(1 - 4/|w|)) / 2
    s = (1 + np.sqrt(1 - 4 / w)) / 2  # the shape of w
    return 2 * np.log(s / (1 - s)) / w


def chain_ratios(n_chains: int, rng: np.random.Generator) -> np.ndarray:
    """|dC/db_1| / |dC/db_3| in chains of four, standard normal w, b and input: (N,)."""
    w, b = rng.standard_normal((2, 4, n_chains))  # (4, N) each
    a = rng.standard_normal(n_chains)  # (N,)
    slopes = []
    for w_l, b_l in zip(w, b, strict=True):
        a = sigmoid(w_l * a + b_l)  # (N,)
        slopes.append(a * (1 - a))  # (N,)
    # dC/db_1 = s'(z_1) w_2 s'(z_2) w_3 s'(z_3) w_4 s'(z_4) dC/da_4      (eq. 122)
    return np.abs(slopes[0] * w[1] * slopes[1] * w[2])  # what dC/db_3 has not  (N,)


# %% [markdown]
# ## Figures

# %%
PLAIN = (
    ("relu", "he"),
    ("tanh", "glorot"),
    ("relu", "glorot"),
    ("tanh", "default"),
    ("relu", "default"),
    ("sigmoid", "glorot"),
)
NAMES = {"relu": "ReLU", "he": "He", "glorot": "Glorot", "default": "default"}


def label(activation: str, init: str) -> str:
    """How a curve is called."""
    return f"{NAMES.get(activation, activation)}, {NAMES[init]}"


# %%
def draw_depth() -> None:
    """Two panels over layers 0 to 30, logarithmic. Left, the signal from the input up:
    ReLU with He and tanh with Glorot variance stay between a tenth and one; the others
    fall on straight lines, to 1e-5, 1e-7 and 1e-12; the sigmoid falls steepest and ends
    in a ragged floor at 1e-16. Right, the gradient from the last layer down: the same
    six slopes in the other direction, the sigmoid reaching 1e-19 at the input.
    """
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 2, figsize=(7.2, 4.2), sharey=True, layout="constrained")
    for ax, what in zip(axes, ("signal", "gradient"), strict=True):
        for activation, init in PLAIN:
            sizes = through_depth(activation, init)[what]  # (L + 1, S)
            ax.semilogy(np.median(sizes, axis=1), label=label(activation, init))
        ax.set(title=what, xlabel="layer", xlim=(0, DEPTH), ylim=(1e-20, 30))
    axes[0].set(ylabel="size, median of five seeds")
    axes[0].legend(loc="lower left")


# %% tags=["active-ipynb"]
# draw_depth()


# %%
def draw_residual() -> None:
    """Gradient over layers 0 to 30, logarithmic, all 1 at layer 30. The plain tanh
    network with default weights falls to about 1e-7 at the input. With a shortcut
    added it rises to about 5; with a shortcut and layers scaled down it stays at 1.
    ReLU with He variance is level when plain, and rises to a million with a shortcut.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    curves = {
        "ReLU, He, shortcut": ("relu", "he", 1.0),
        "tanh, default, shortcut": ("tanh", "default", 1.0),
        "tanh, default, scaled shortcut": ("tanh", "default", DEPTH**-0.5),
        "ReLU, He, plain": ("relu", "he", None),
        "tanh, default, plain": ("tanh", "default", None),
    }
    for name, configuration in curves.items():
        sizes = through_depth(*configuration)["gradient"]  # (L + 1, S)
        ax.semilogy(np.median(sizes, axis=1), label=name)
    ax.set(xlabel="layer", ylabel="gradient, median of five seeds")
    ax.set(xlim=(0, DEPTH), ylim=(1e-14, 1e7))  # room for the legend
    ax.legend(loc="lower right")


# %% tags=["active-ipynb"]
# draw_residual()

# %% [markdown]
# ## Numbers


# %%
def spread(name: str, values: np.ndarray) -> dict[str, float]:
    """Median, smallest and largest of the seeds' values."""
    return {
        f"{name}_median": float(np.median(values)),
        f"{name}_min": float(values.min()),
        f"{name}_max": float(values.max()),
    }


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {"depth": DEPTH, "width": WIDTH, "seeds": len(SEEDS)}
    z = np.linspace(-10, 10, 2001)  # z = 0 is among them
    for name in ("sigmoid", "tanh"):
        out[f"largest_slope_{name}"] = slope(name, activate(name, z)).max()

    w = np.linspace(4, 20, 160001)
    out["window_width"] = window(w).max()
    out["window_weight"] = w[window(w).argmax()]
    ratios = np.stack([chain_ratios(20_000, np.random.default_rng(s)) for s in SEEDS])
    out |= spread("chain_ratio", np.median(ratios, axis=1))
    out |= spread("chain_share_below_16th", (ratios < 1 / 16).mean(axis=1))

    W = init_weights("default", DEPTH, WIDTH, [np.random.default_rng(0)])
    out["n_var_default"] = WIDTH * W.var()
    for init in ("default", "glorot"):
        of_weights, of_layers = singular_values(init)
        out |= spread(f"singular_{init}", of_weights)
        out |= spread(f"singular_{init}_tanh", of_layers)
    # in the limit of large matrices: 8/(3 pi) times the root of n Var(W)
    out["singular_default_in_theory"] = 8 / (3 * np.pi) * np.sqrt(1 / 3)
    out["singular_glorot_in_theory"] = 8 / (3 * np.pi)
    out["five_layers_default_std"] = (1 / 3) ** (5 / 2)

    for activation, init in (*PLAIN, ("sigmoid", "unit")):
        sizes, name = through_depth(activation, init), f"{activation}_{init}"
        out |= spread(f"{name}_signal_10", sizes["signal"][10])
        out |= spread(f"{name}_gradient_30", sizes["gradient"][0])
        out |= spread(f"{name}_factor", sizes["gradient"][0] ** (1 / DEPTH))
    weights = through_depth("tanh", "default")["weights"]  # (L, S)
    out |= spread("tanh_default_weights_ratio", weights[0] / weights[-1])
    relu_he = through_depth("relu", "he")
    out |= spread("relu_he_rms", relu_he["rms"][-1])
    out |= spread("relu_he_signal", relu_he["signal"][-1])
    kept = (relu_he["rms"][-1] / relu_he["rms"][0]) ** (2 / DEPTH)  # (S,)
    out |= spread("relu_he_square_per_layer", kept)
    for activation, init in (("tanh", "default"), ("relu", "he")):
        for name, residual in (("shortcut", 1.0), ("scaled", DEPTH**-0.5)):
            gradient = through_depth(activation, init, residual)["gradient"]
            out |= spread(f"{activation}_{init}_{name}", gradient[0])
    # if tanh were linear: a factor 1 + r^2 n Var(W) of the mean square per layer
    out["shortcut_linear"] = (1 + 1 / 3) ** (DEPTH / 2)
    out["scaled_linear"] = (1 + 1 / (3 * DEPTH)) ** (DEPTH / 2)
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
