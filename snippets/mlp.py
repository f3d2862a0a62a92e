# %% [markdown]
r"""
# The multilayer perceptron, forward and backward

A layer is a matrix, a vector and a bend. A feed-forward network is a list of layers,
and its gradient is the same list walked backward. Here is one of any depth, with a well
known worked example of backpropagation done again to the last digit, XOR three times
over, and a boundary between two classes drawn while it is learned.

**Source:** M. Mazur, *A Step by Step Backpropagation Example* (2015), for the worked
example; I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning* (2016), section 6.1,
for XOR; CS231n, *Neural Networks Part 1*, and M. Nielsen, *Neural Networks and Deep
Learning* (2015), chapter 3, for the counts.

| symbol | name | shape |
| --- | --- | --- |
| $B, n_l$ | examples in a batch, units of layer $l$ | |
| $W^l$ (`layer.W`) | weights into layer $l$, a row per unit | $(n_l, n_{l-1})$ |
| $b^l$ (`layer.b`) | biases of layer $l$ | $(n_l,)$ |
| $\phi$ (`layer.phi`) | activation of layer $l$, by name | |
| $a^l$ (`a[l]`) | activations, $a^0$ is the input | $(B, n_l)$ |
| $\delta^l$ (`delta`) | gradient of the loss with respect to $z^l$ | $(B, n_l)$ |

**Differs from the source:** examples are rows, so $W a$ is written `a @ W.T`.

**Checked against:** torch autograd and `torch.nn.Linear` (1e-10 in float64);
scikit-learn's `MLPClassifier`, whose loss curve ours follows step by step.

**Takes:** about 6 s on one core.

**Varies with the machine:** what is measured after training, since each processor
rounds in its own way and training magnifies that: `moons_width` by up to 0.02, and
counts of starts, `moons_parted` by up to 3, `xor_learned` by up to 3, `xor_missed` by
up to 3, `xor_unit_off` by up to 3.
"""

# %%
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

# %% [markdown]
# ## One layer
# The weighted sum $z$ is never stored: each slope below is written in terms of the
# output $a = \phi(z)$, which the next layer has to keep anyway.


# %% One layer and its derivative
class Layer(NamedTuple):
    """Weights W (n_out, n_in), biases b (n_out,) and the activation's name."""

    W: np.ndarray
    b: np.ndarray
    phi: str


def activate(phi: str, z: np.ndarray) -> np.ndarray:
    """phi(z) for 'identity', 'sigmoid', 'tanh' or 'relu'; z of any shape.

    Raises:
        ValueError: unknown name.
    """
    if phi == "identity":
        return z
    if phi == "sigmoid":
        return 0.5 * (1 + np.tanh(0.5 * z))  # 1 / (1 + exp(-z)) without overflow
    if phi == "tanh":
        return np.tanh(z)
    if phi == "relu":
        return np.maximum(z, 0)
    raise ValueError(f"phi is {phi!r}, expected identity, sigmoid, tanh or relu")


def slope(phi: str, a: np.ndarray) -> np.ndarray:
    """phi'(z) from a = phi(z): the shape of a."""
    if phi == "sigmoid":
        return a * (1 - a)  # sigma' = sigma (1 - sigma)
    if phi == "tanh":
        return 1 - a**2  # tanh' = 1 - tanh^2
    if phi == "relu":
        return (a > 0).astype(a.dtype)  # relu' = 1 where z > 0, else 0
    return np.ones_like(a)


def forward(layer: Layer, a_in: np.ndarray) -> np.ndarray:
    """a_in (B, n_in) -> activations (B, n_out).

    Raises:
        ValueError: a_in has a shape that does not fit the weights.
    """
    n_in = layer.W.shape[1]
    if a_in.ndim != 2 or a_in.shape[1] != n_in:
        raise ValueError(f"input has shape {a_in.shape}, expected (B, {n_in})")
    # z^l = W^l a^(l-1) + b^l,   a^l = phi(z^l)
    return activate(layer.phi, a_in @ layer.W.T + layer.b)  # (B, n_out)


def backward(
    layer: Layer, a_in: np.ndarray, a_out: np.ndarray, da_out: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loss gradient of a_out (B, n_out) -> those of W, b and a_in."""
    # delta^l = dL/da^l * phi'(z^l)
    delta = da_out * slope(layer.phi, a_out)  # (B, n_out)
    # dL/dW^l = delta^l (a^(l-1))^T, dL/db^l = delta^l, summed over the examples
    dW = delta.T @ a_in  # (n_out, n_in)
    db = delta.sum(axis=0)  # (n_out,)
    # dL/da^(l-1) = (W^l)^T delta^l
    return dW, db, delta @ layer.W  # da_in (B, n_in)


# %% [markdown]
# ## A stack of them
# Depth is a `for` loop. The forward pass keeps every activation, because the backward
# pass needs them.


# %%
def mlp(layers: Sequence[Layer], x: np.ndarray) -> tuple[list[np.ndarray], Callable]:
    """x (B, n_0) -> the activations a^0 ... a^L, and `backpropagate`.

    `backpropagate` takes the loss gradient of a^L (B, n_L) and gives a list of
    (dW, db), one pair per layer, and the gradient of x (B, n_0).

    Raises:
        ValueError: x, or a layer, has a shape that does not fit the layer above it,
            or in `backpropagate` da has not that of a^L.
    """
    a = [x]
    for layer in layers:
        a.append(forward(layer, a[-1]))  # (B, n_l)

    def backpropagate(da: np.ndarray) -> tuple[list, np.ndarray]:
        if da.shape != a[-1].shape:
            raise ValueError(f"da has shape {da.shape}, expected {a[-1].shape}")
        grads = []
        for l in reversed(range(len(layers))):
            dW, db, da = backward(layers[l], a[l], a[l + 1], da)  # da (B, n_in)
            grads.insert(0, (dW, db))
        return grads, da

    return a, backpropagate


def init_layers(
    sizes: Sequence[int], phis: Sequence[str], rng: np.random.Generator
) -> list[Layer]:
    """Random weights: sizes n_0 ... n_L, one activation per layer; biases are zero.

    Raises:
        ValueError: a size below 1, or not one activation per layer.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes are {list(sizes)}, expected two or more, each above 0")
    if len(phis) != len(sizes) - 1:
        raise ValueError(f"{len(phis)} activations, expected {len(sizes) - 1}")
    layers = []
    for l, phi in enumerate(phis):
        n_in, n_out = sizes[l], sizes[l + 1]
        # Var(W) = 1 / n_in, and twice that for ReLU, which drops half of its input
        std = np.sqrt((2 if phi == "relu" else 1) / n_in)
        W = std * rng.standard_normal((n_out, n_in))  # (n_out, n_in)
        layers.append(Layer(W, np.zeros(n_out), phi))
    return layers


def parameters(sizes: Sequence[int]) -> int:
    """Weights and biases of a network with layers of n_0 ... n_L units."""
    # sum over layers of n_l n_{l-1} + n_l
    return sum(n_out * (n_in + 1) for n_in, n_out in pairwise(sizes))


# %% [markdown]
# ## The worked example
# Two inputs, two hidden units, two outputs, sigmoids, squared error, learning rate 1/2;
# the biases stay as they are. The gradient of a hidden unit passes through the output
# weights: the *old* ones, says the chain rule. `output_first` takes the new ones, to
# see what a program gives that updates as it goes.


# %%
def worked_example() -> tuple[list[Layer], np.ndarray, np.ndarray]:
    """Mazur's layers, his input (1, 2) and his target (1, 2)."""
    W_hidden = np.array([[0.15, 0.20], [0.25, 0.30]])  # w1 w2, w3 w4  (2, 2)
    W_output = np.array([[0.40, 0.45], [0.50, 0.55]])  # w5 w6, w7 w8  (2, 2)
    hidden = Layer(W_hidden, np.array([0.35, 0.35]), "sigmoid")
    output = Layer(W_output, np.array([0.60, 0.60]), "sigmoid")
    return [hidden, output], np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])


def worked_steps(n_steps: int, output_first: bool = False) -> tuple[list[Layer], float]:
    """Layers and error E = 1/2 sum (t - o)^2 after so many updates of the weights."""
    (hidden, output), x, t = worked_example()
    for _ in range(n_steps):
        h = forward(hidden, x)  # (1, 2)
        o = forward(output, h)  # (1, 2)
        # dE/do = o - t
        dW_output, _, dh = backward(output, h, o, o - t)  # (2, 2), (2,), (1, 2)
        output = output._replace(W=output.W - 0.5 * dW_output)
        if output_first:  # not the gradient any more
            _, _, dh = backward(output, h, o, o - t)  # (1, 2)
        dW_hidden, _, _ = backward(hidden, x, h, dh)  # (2, 2)
        hidden = hidden._replace(W=hidden.W - 0.5 * dW_hidden)
    o = forward(output, forward(hidden, x))  # (1, 2)
    return [hidden, output], float(0.5 * ((t - o) ** 2).sum())


# %% [markdown]
# ## XOR
# No straight line parts the two classes. Two ReLU units fold the square, so that both
# points of class 1 land on one spot; after the fold a line suffices.


# %%
XOR_X = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])  # (4, 2)
XOR_Y = np.array([[0.0], [1], [1], [0]])  # (4, 1)


def best_affine_fit(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x (B, n), y (B, 1) -> least-squares weights and, last, the constant: (n + 1,)."""
    X = np.hstack([x, np.ones((len(x), 1))])  # (B, n + 1)
    # X^T X w = X^T y, the normal equations
    return np.linalg.solve(X.T @ X, X.T @ y)[:, 0]  # (n + 1,)


def xor_by_hand() -> list[Layer]:
    """Two ReLU units and an output that compute XOR exactly (section 6.1)."""
    hidden = Layer(np.array([[1.0, 1], [1, 1]]), np.array([0.0, -1]), "relu")
    output = Layer(np.array([[1.0, -2]]), np.array([0.0]), "identity")
    return [hidden, output]


# %% [markdown]
# ## Training
# Two classes, one output: the log-odds $z$ of class 1. Plain gradient descent on the
# whole set.


# %%
def logistic_loss(z: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Log-odds z and 0-1 labels y, both (B, 1) -> mean loss, its gradient (B, 1)."""
    # L = mean of -log sigma(z) where y = 1, -log sigma(-z) where y = 0
    loss = np.logaddexp(0, np.where(y == 1, -z, z)).mean()
    # dL/dz = (sigma(z) - y) / B
    return float(loss), (activate("sigmoid", z) - y) / len(y)


def descend(
    layers: Sequence[Layer], x: np.ndarray, y: np.ndarray, lr: float, n_steps: int
) -> tuple[list[Layer], list[float]]:
    """Layers after n_steps of gradient descent, and the loss before each of them."""
    layers, losses = list(layers), []
    for _ in range(n_steps):
        a, backpropagate = mlp(layers, x)
        loss, dz = logistic_loss(a[-1], y)  # (B, 1)
        losses.append(loss)
        # theta <- theta - lr dL/dtheta
        for l, (dW, db) in enumerate(backpropagate(dz)[0]):
            layers[l] = Layer(
                layers[l].W - lr * dW, layers[l].b - lr * db, layers[l].phi
            )
    return layers, losses


def accuracy(layers: Sequence[Layer], x: np.ndarray, y: np.ndarray) -> float:
    """Share of x (B, 2) that falls on the side of its label y (B, 1)."""
    return float(((mlp(layers, x)[0][-1] > 0) == (y == 1)).mean())


def moons(
    n: int, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two interleaved half circles: points (n, 2) and labels (n, 1)."""
    y = np.arange(n) % 2  # (n,)
    angle = np.pi * rng.random(n)  # (n,)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (n, 2)
    lower = np.array([1, 0.5]) - upper  # the same, turned by half a circle  (n, 2)
    x = np.where(y[:, None] == 0, upper, lower)  # (n, 2)
    return x + noise * rng.standard_normal((n, 2)), 1.0 * y[:, None]


def moons_by_hand() -> list[Layer]:
    """Two tanh units that part the moons: one all but straight, one steep."""
    # seen from the middle between the moons, z = (x1 - x2) - tanh(4 x1), about
    W = np.array([[0.1, -0.1], [4, 0]])  # (2, 2)
    hidden = Layer(W, -W @ np.array([0.5, 0.25]), "tanh")  # tanh(u) = u, if u is small
    return [hidden, Layer(np.array([[10.0, -1]]), np.array([0.0]), "identity")]


# %% [markdown]
# ## What is learned, and how often
# Twenty random starts each: tanh networks on the moons, judged on fresh points, and
# ReLU networks on XOR. That two units *can* do it, both times, was shown above.


# %%
STARTS, MOONS_STEPS, XOR_STEPS = range(20), 1000, 500


@cache
def moons_accuracies(width: int) -> tuple[float, ...]:
    """Accuracy on 1,000 fresh points of a 2-width-1 tanh network, one per start."""
    found = []
    for seed in STARTS:
        rng = np.random.default_rng(seed)
        x, y = moons(200, 0.1, rng)  # (200, 2), (200, 1)
        fresh = moons(1000, 0.1, rng)
        layers = init_layers([2, width, 1], ["tanh", "identity"], rng)
        layers, _ = descend(layers, x, y, lr=1.0, n_steps=MOONS_STEPS)
        found.append(accuracy(layers, *fresh))
    return tuple(found)


@cache
def xor_outcomes(width: int) -> tuple[int, int]:
    """Starts of a 2-width-1 ReLU network that learn all of XOR; and of the others,
    those that end with a unit which is off for all four points.
    """
    learned = lost = 0
    for seed in STARTS:
        rng = np.random.default_rng(seed)
        layers = init_layers([2, width, 1], ["relu", "identity"], rng)
        layers, _ = descend(layers, XOR_X, XOR_Y, lr=1.0, n_steps=XOR_STEPS)
        on = forward(layers[0], XOR_X).max(axis=0) > 0  # (width,)
        if accuracy(layers, XOR_X, XOR_Y) == 1:
            learned += 1
        elif not on.all():
            lost += 1
    return learned, lost


# %% [markdown]
# ## Figures


# %%
def draw_boundary() -> None:
    """Four panels with two interleaved half moons of points and the boundary of a
    network with two hidden layers of eight units. At the start it has nothing to do
    with the points; after 10 steps it is almost a straight line that cuts off the tip
    of each moon; after 100 it bends; after 1,000 it winds between the moons and parts
    them.
    """
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(0)
    x, y = moons(200, 0.1, rng)  # (200, 2), (200, 1)
    layers = init_layers([2, 8, 8, 1], ["tanh", "tanh", "identity"], rng)
    u, v = np.meshgrid(np.linspace(-1.6, 2.6, 120), np.linspace(-1.2, 1.7, 90))
    grid = np.stack([u.ravel(), v.ravel()], axis=1)  # (90 * 120, 2)
    _, axes = plt.subplots(2, 2, figsize=(6.4, 4.8), layout="constrained")
    done = 0
    for ax, steps in zip(axes.flat, (0, 10, 100, 1000), strict=True):
        layers, _ = descend(layers, x, y, lr=1.0, n_steps=steps - done)
        done = steps
        z = mlp(layers, grid)[0][-1].reshape(u.shape)  # (90, 120)
        ax.contourf(u, v, z, [-1e9, 0, 1e9], colors=["C0", "C1"], alpha=0.18)
        ax.contour(u, v, z, [0], colors="C2", linewidths=2)
        for label, marker in ((0, "o"), (1, "^")):
            mine = y[:, 0] == label
            ax.plot(*x[mine].T, f"C{label}{marker}", markersize=3, linestyle="none")
        loss, _ = logistic_loss(mlp(layers, x)[0][-1], y)
        ax.set_title(f"{steps:,} steps, loss {loss:.3f}")
        ax.set(xticks=[], yticks=[], aspect="equal")
        ax.grid(visible=False)


# %% tags=["active-ipynb"]
# draw_boundary()


# %%
def draw_fold() -> None:
    """Two panels. On the left the four points of XOR, at the corners of a square, the
    two classes on opposite corners. On the right the same points after the two hidden
    units: the class-1 points lie both at (1, 0), the class-0 points at (0, 0) and
    (2, 1), and a straight line parts the classes.
    """
    import matplotlib.pyplot as plt

    h = forward(xor_by_hand()[0], XOR_X)  # (4, 2)
    _, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3), layout="constrained")
    for ax, points, names in ((left, XOR_X, "x"), (right, h, "h")):
        for label, marker in ((0, "o"), (1, "^")):
            mine = XOR_Y[:, 0] == label
            ax.plot(
                *points[mine].T, f"C{label}{marker}", markersize=9, linestyle="none"
            )
        ax.set(xlabel=f"{names}₁", ylabel=f"{names}₂", ylim=(-0.4, 1.5))
    for corner in ("00", "01", "10", "11"):
        left.annotate(corner, (int(corner[0]), int(corner[1]) + 0.12), ha="center")
    right.plot([0.3, 2.3], [-0.1, 0.9], "C2-")  # h1 - 2 h2 = 1/2
    right.annotate("01 and 10", (1, -0.22), ha="center")
    right.annotate("00", (0, 0.14), ha="center")
    right.annotate("11", (2, 1.14), ha="center")
    left.set(xlim=(-0.4, 1.4), title="what goes in")
    right.set(xlim=(-0.4, 2.4), title="after the hidden layer")


# %% tags=["active-ipynb"]
# draw_fold()

# %% [markdown]
# ## Numbers


# %%
SIZES = """
3_4_2 3_4_4_1 10_20_5 784_16_16_10 784_30_10 784_100_10 768_3072_768
784_2500_2000_1500_1000_500_10
"""


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {}
    for name in SIZES.split():
        sizes = [int(size) for size in name.split("_")]
        out[f"parameters_{name}"] = parameters(sizes)
        # each weight multiplies once per example; biases only add
        out[f"products_{name}"] = parameters(sizes) - sum(sizes[1:])

    out["orders_of_32_units"] = np.arange(1.0, 33).prod()  # 32!

    layers, x, t = worked_example()
    (_, h, o), backpropagate = mlp(layers, x)
    (dW_hidden, _), (dW_output, _) = backpropagate(o - t)[0]
    _, _, dh = backward(layers[1], h, o, o - t)
    out["net_h1"], out["out_h1"] = np.log(h / (1 - h))[0, 0], h[0, 0]
    out["pull_o1"] = (o - t)[0, 0]
    out["slope_o1"], out["slope_h1"] = (slope("sigmoid", a)[0, 0] for a in (o, h))
    out["out_o1"], out["out_o2"] = o[0]
    out["error"] = 0.5 * ((t - o) ** 2).sum()
    out["dE_dh1"] = dh[0, 0]
    out["dE_dw5"], out["dE_dw1"] = dW_output[0, 0], dW_hidden[0, 0]
    out["dw5_over_dw1"] = out["dE_dw5"] / out["dE_dw1"]
    out["error_9999_steps"] = worked_steps(9999)[1]
    for name, output_first in (("", False), ("_output_first", True)):
        (hidden, _), out[f"error_1_step{name}"] = worked_steps(1, output_first)
        out[f"w1_1_step{name}"] = hidden.W[0, 0]
        layers, error = worked_steps(10_000, output_first)
        out[f"error_10000_steps{name}"] = error
        o1, o2 = mlp(layers, x)[0][-1][0]
        out[f"out_o1_10000_steps{name}"], out[f"out_o2_10000_steps{name}"] = o1, o2

    fit = best_affine_fit(XOR_X, XOR_Y)
    out["xor_affine_weight"] = np.abs(fit[:2]).max()
    out["xor_affine_constant"] = fit[2]
    out["xor_hand_error"] = np.abs(mlp(xor_by_hand(), XOR_X)[0][-1] - XOR_Y).max()

    for width in (1, 2, 3, 8):
        found = np.array(moons_accuracies(width))  # (20,)
        out[f"moons_width{width}_median"] = np.median(found)
        out[f"moons_parted_width{width}"] = (found > 0.95).sum()
    fresh = [moons(1000, 0.1, np.random.default_rng(seed)) for seed in STARTS]
    by_hand = np.array([accuracy(moons_by_hand(), x, y) for x, y in fresh])  # (20,)
    out["moons_hand_median"] = np.median(by_hand)
    out["moons_hand_parted"] = (by_hand > 0.95).sum()
    for width in (2, 4, 8, 16):
        learned, lost = xor_outcomes(width)
        out[f"xor_learned_width{width}"] = learned
        out[f"xor_unit_off_width{width}"] = lost
        out[f"xor_missed_width{width}"] = len(STARTS) - learned
    out |= {"moons_steps": MOONS_STEPS, "xor_steps": XOR_STEPS}
    out["starts"] = len(STARTS)
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
