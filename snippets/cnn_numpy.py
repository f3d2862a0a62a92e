# %% [markdown]
r"""
# A convolutional network from the ground up

Two convolutions, one max-pool and two dense layers, forward and backward, a whole batch
at a time; and two optimisers, Adam and what the source has under that name.

**Source:** A. Escontrela, *Convolutional Neural Networks from the ground up* (2018), in
its repository Numpy-CNN: `CNN/forward.py`, `CNN/backward.py`, `CNN/network.py`. Adam:
D. P. Kingma and J. Ba, *Adam: A Method for Stochastic Optimization* (2015),
algorithm 1.

| symbol | name | shape |
| --- | --- | --- |
| $x$ (`x`) | images | $(N, C, H, W)$ |
| $w$ (`w`) | filters, or the weights of a dense layer | $(K, C, F, F)$, $(K, M)$ |
| $b$ (`b`) | biases | $(K,)$ |
| $y$ (`y`) | output of a layer | $(N, K, OH, OW)$, $(N, K)$ |
| $g$ (`g`) | gradient of the mean loss | of its parameter |
| $m, v$ (`m`, `v`) | Adam's moments | of their parameter |

**Differs from the source:** it works on a batch where the source has loops over images,
filters and places; subtracts the maximum before the softmax; and trains on images of
8 by 8, so filters are 3 by 3 there and not 5 by 5. Pixels are divided by 16, not
standardised.

**Checked against:** `torch.nn.functional` and autograd for the layers and the network,
`torch.optim.Adam` for the optimiser (1e-10 in float64).

**Varies with the machine:** training magnifies differences of rounding.
`accuracy` by up to 0.06, `loss` by up to 0.3.

**Takes:** under 10 s on one core.
"""

# %%
from collections.abc import Callable, Iterator

import numpy as np

Params = dict[str, np.ndarray]


# %% [markdown]
# ## The layers
# Each returns its output and a function that turns the output's gradient into those of
# what went in.


# %% The convolution
def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Callable]:
    """x (N, C, H, W), w (K, C, FH, FW), b (K,) -> y (N, K, OH, OW), backward.

    Stride 1, no padding. `backward` takes dy and returns dx, dw, db.

    Raises:
        ValueError: the shapes of x, w and b do not belong together.
    """
    if x.ndim != 4 or w.ndim != 4 or x.shape[1] != w.shape[1]:
        wanted = "expected (N, C, H, W) and (K, C, FH, FW)"
        raise ValueError(f"x has shape {x.shape} and w {w.shape}, {wanted}")
    N, _, H, W = x.shape
    K, C, FH, FW = w.shape
    if b.shape != (K,):
        raise ValueError(f"b has shape {b.shape}, expected {(K,)}")
    if FH > H or FW > W:
        raise ValueError(f"w has filters of {FH} by {FW}, x images of {H} by {W}")
    OH, OW = H - FH + 1, W - FW + 1

    # every window of every image becomes a row
    windows = np.lib.stride_tricks.sliding_window_view(x, (FH, FW), axis=(2, 3))
    windows = windows.transpose(0, 2, 3, 1, 4, 5)  # (N, OH, OW, C, FH, FW)
    cols = windows.reshape(N * OH * OW, C * FH * FW)
    w_row = w.reshape(K, -1)  # (K, C FH FW)
    # y[n, k, i, j] = b[k] + sum over c, u, v of w[k, c, u, v] x[n, c, i + u, j + v]
    y = cols @ w_row.T + b  # (N OH OW, K)

    def backward(dy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        dy = dy.transpose(0, 2, 3, 1).reshape(-1, K)  # (N OH OW, K)
        dw = (dy.T @ cols).reshape(w.shape)  # (K, C, FH, FW)
        dcols = (dy @ w_row).reshape(N, OH, OW, C, FH, FW)
        dx = np.zeros_like(x)  # (N, C, H, W)
        for u in range(FH):  # tap (u, v) of the filters, at all places at once
            for v in range(FW):
                dx[:, :, u : u + OH, v : v + OW] += dcols[..., u, v].transpose(
                    0, 3, 1, 2
                )  # (N, C, OH, OW)
        return dx, dw, dy.sum(axis=0)

    return y.reshape(N, OH, OW, K).transpose(0, 3, 1, 2), backward


# %% The pooling
def max_pool(x: np.ndarray) -> tuple[np.ndarray, Callable]:
    """The largest of 2 by 2 pixels: x (N, C, H, W) -> y (N, C, H/2, W/2), backward.

    Raises:
        ValueError: H or W is odd.
    """
    N, C, H, W = x.shape
    if H % 2 or W % 2:
        raise ValueError(f"x has images of {H} by {W}, expected even sides")
    blocks = x.reshape(N, C, H // 2, 2, W // 2, 2).swapaxes(3, 4)
    blocks = blocks.reshape(N, C, H // 2, W // 2, 4)
    winner = blocks.argmax(axis=4)[
        ..., None
    ]  # (N, C, H/2, W/2, 1), the first of equals

    def backward(dy: np.ndarray) -> np.ndarray:
        dblocks = np.zeros_like(blocks)  # (N, C, H/2, W/2, 4)
        # only the winner had a say, so only it gets the gradient
        np.put_along_axis(dblocks, winner, dy[..., None], axis=4)
        dblocks = dblocks.reshape(N, C, H // 2, W // 2, 2, 2).swapaxes(3, 4)
        return dblocks.reshape(x.shape)  # (N, C, H, W)

    return np.take_along_axis(blocks, winner, axis=4)[..., 0], backward


# %% The loss
def cross_entropy(z: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Logits z (N, K), labels (N,) -> mean of -log softmax(z)[label], and dz (N, K).

    Raises:
        ValueError: a label is not in 0 to K - 1.
    """
    N, K = z.shape
    if labels.shape != (N,) or labels.min() < 0 or labels.max() >= K:
        raise ValueError(f"labels must be {N} numbers from 0 to {K - 1}, got {labels}")
    z = z - z.max(axis=1, keepdims=True)  # (N, K): the softmax is the same, e^z <= 1
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))  # (N, K)
    hit = np.arange(K) == labels[:, None]  # (N, K), one-hot
    # dL/dz = (p - one-hot) / N
    return float(-log_p[hit].mean()), (np.exp(log_p) - hit) / N


# %% [markdown]
# ## The network
# The initial standard deviation of a filter is 1 over the root of *all* numbers in the
# layer's filters, as the source has it, and 0.01 in the dense layers.


# %% The network
def init_params(
    rng: np.random.Generator, side: int, F: int, K: int = 8, hidden: int = 128
) -> Params:
    """Parameters for images of `side` by `side`; K filters of F by F in each layer.

    Raises:
        ValueError: what two convolutions leave is not even, or nothing.
    """
    left = side - 2 * (F - 1)
    if left < 2 or left % 2:
        raise ValueError(f"side {side}, F {F}: {left} pixels reach the pooling")
    p = {}
    for name, C in (("1", 1), ("2", K)):
        shape = (K, C, F, F)
        p["w" + name] = rng.standard_normal(shape) / np.sqrt(np.prod(shape))
    for name, shape in (("3", (hidden, K * (left // 2) ** 2)), ("4", (10, hidden))):
        p["w" + name] = 0.01 * rng.standard_normal(shape)
    return p | {"b" + name: np.zeros(len(p["w" + name])) for name in "1234"}


def network(p: Params, x: np.ndarray) -> tuple[np.ndarray, Callable]:
    """x (N, 1, H, W) -> logits (N, 10), backward, which takes dz to all gradients."""
    c1, back_c1 = conv2d(x, p["w1"], p["b1"])  # (N, K, H-F+1, W-F+1)
    r1 = np.maximum(c1, 0)
    c2, back_c2 = conv2d(r1, p["w2"], p["b2"])  # (N, K, H-2F+2, W-2F+2)
    r2 = np.maximum(c2, 0)
    pooled, back_pool = max_pool(r2)  # (N, K, H/2-F+1, W/2-F+1)
    flat = pooled.reshape(len(x), -1)  # (N, M)
    h = np.maximum(flat @ p["w3"].T + p["b3"], 0)  # (N, hidden)
    z = h @ p["w4"].T + p["b4"]  # (N, 10)

    def backward(dz: np.ndarray) -> Params:
        g = {"w4": dz.T @ h, "b4": dz.sum(axis=0)}
        # relu lets the gradient through where it let the signal through
        dh = (dz @ p["w4"]) * (h > 0)  # (N, hidden)
        g |= {"w3": dh.T @ flat, "b3": dh.sum(axis=0)}
        dpooled = (dh @ p["w3"]).reshape(pooled.shape)
        dr1, g["w2"], g["b2"] = back_c2(back_pool(dpooled) * (r2 > 0))
        _, g["w1"], g["b1"] = back_c1(dr1 * (r1 > 0))
        return g

    return z, backward


# %% [markdown]
# ## Two optimisers
# The first is algorithm 1 of Kingma and Ba. The second has the source's arithmetic: its
# moments are zeros at every batch, there is no bias correction, and epsilon stands
# inside the root. Nothing is left of one batch when the next one comes.


# %% Adam
def adam(
    p: Params, lr: float, beta1: float = 0.95, beta2: float = 0.99, eps: float = 1e-7
) -> Callable[[Params], None]:
    """A function that takes the gradients and updates p in place, by algorithm 1."""
    m = {name: np.zeros_like(value) for name, value in p.items()}
    v = {name: np.zeros_like(value) for name, value in p.items()}
    t = 0

    def step(grads: Params) -> None:
        nonlocal t
        t += 1
        for name, g in grads.items():
            m[name] = beta1 * m[name] + (1 - beta1) * g
            v[name] = beta2 * v[name] + (1 - beta2) * g**2
            m_hat = m[name] / (1 - beta1**t)
            v_hat = v[name] / (1 - beta2**t)
            p[name] -= lr * m_hat / (np.sqrt(v_hat) + eps)

    return step


# %% Adam as the source has it
def reset_step(
    g: np.ndarray,
    lr: float,
    beta1: float = 0.95,
    beta2: float = 0.99,
    eps: float = 1e-7,
) -> np.ndarray:
    """What the source subtracts for the gradient g: its m and v begin at zero."""
    m = (1 - beta1) * g
    v = (1 - beta2) * g**2
    return lr * m / np.sqrt(v + eps)


def adam_reset(p: Params, lr: float) -> Callable[[Params], None]:
    """A function that takes the gradients and updates p in place, by `reset_step`."""

    def step(grads: Params) -> None:
        for name, g in grads.items():
            p[name] -= reset_step(g, lr)

    return step


# %% [markdown]
# ## Training on digits


# %% Training
def load_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 1, 8, 8) in 0 to 1 and labels: 1,437 to train on, 360 held out."""
    from sklearn.datasets import load_digits as load

    images, labels = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x, labels = images[order].reshape(-1, 1, 8, 8) / 16, labels[order]
    return x[:1437], labels[:1437], x[1437:], labels[1437:]


def batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The indices 0 to n - 1, shuffled, `size` at a time; the last may be fewer."""
    order = rng.permutation(n)
    for start in range(0, n, size):
        yield order[start : start + size]


def train(
    optimiser: Callable, lr: float, seed: int, epochs: int
) -> tuple[Params, float, float]:
    """The parameters, the loss of the last epoch, and the accuracy on the held-out."""
    x, labels, x_test, labels_test = load_digits()
    rng = np.random.default_rng(seed)
    p = init_params(rng, side=8, F=3)
    step = optimiser(p, lr)
    for _ in range(epochs):
        losses = []
        for rows in batches(len(x), 32, rng):
            z, backward = network(p, x[rows])
            loss, dz = cross_entropy(z, labels[rows])
            step(backward(dz))
            losses.append(loss)
    hits = network(p, x_test)[0].argmax(axis=1) == labels_test
    return p, float(np.mean(losses)), float(hits.mean())


# %% [markdown]
# ## Figure


# %%
def draw_steps() -> None:
    """Step over learning rate against the gradient, both axes logarithmic. Adam's first
    step is level at 1 down to gradients of about 1e-6. The source's rises with the
    gradient, bends at about 3e-3 and is level at 0.5 beyond.
    """
    import matplotlib.pyplot as plt

    g = np.logspace(-6, 1, 141)  # (141,)
    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    ax.loglog(g, first_step(adam, g, 1.0), label="Adam, first step")
    ax.loglog(g, first_step(adam_reset, g, 1.0), label="as the source has it")
    ax.axhline(0.5, color="C2", ls="--", lw=1, label="half the learning rate")
    ax.set(xlabel="gradient", ylabel="step / learning rate", ylim=(1e-4, 3))
    ax.legend(loc="lower right")


def first_step(optimiser: Callable, g: np.ndarray, lr: float) -> np.ndarray:
    """How far the first update moves parameters with gradients g, of the shape of g."""
    p = {"w": np.zeros(g.shape)}
    optimiser(p, lr)({"w": g})
    return -p["w"]


# %% tags=["active-ipynb"]
# draw_steps()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out = {}
    rng = np.random.default_rng(0)
    p = init_params(rng, side=28, F=5)
    for n in "1234":
        out["parameters_" + n] = p["w" + n].size + p["b" + n].size
    out["parameters"] = sum(value.size for value in p.values())
    out["parameters_share_3"] = out["parameters_3"] / out["parameters"]
    out["dense_inputs"] = p["w3"].shape[1]
    x, labels = rng.standard_normal((32, 1, 28, 28)), rng.integers(10, size=32)
    out["first_cost"] = cross_entropy(network(p, x)[0], labels)[0]
    out["parameters_digits"] = sum(v.size for v in init_params(rng, 8, 3).values())

    out["updates"] = 2 * sum(1 for _ in batches(50_000, 32, rng))
    out["test_seconds"] = 10_000 / 11.62  # images, images per second
    out["epoch_seconds"] = out["updates"] / 2 * 6.89  # seconds per batch
    out["training_hours"] = 2 * out["epoch_seconds"] / 3600
    out["filter_std_1"], out["filter_std_2"] = 200**-0.5, 1600**-0.5
    out["he_ratio_1"] = (2 / 25) ** 0.5 / out["filter_std_1"]
    out["he_ratio_2"] = (2 / 200) ** 0.5 / out["filter_std_2"]

    g = np.array([1e-4, 1e-3, 1e-2, 1.0, 1e3])
    for name, optimiser in (("adam", adam), ("reset", adam_reset)):
        steps = first_step(optimiser, g, 0.01)
        for size, step in zip(("1em4", "1em3", "1em2", "1", "1e3"), steps, strict=True):
            out[f"step_{name}_{size}"] = step
        # a gradient of 1, then one of 0: what the first still does to the second step
        p = {"w": np.zeros(1)}
        step = optimiser(p, 0.01)
        step({"w": np.ones(1)})
        before = p["w"].copy()
        step({"w": np.zeros(1)})
        out[f"second_over_first_{name}"] = ((p["w"] - before) / before)[0]

    runs = [("best", adam, 0.005, 30)]
    for lr, name in ((0.01, "010"), (0.002, "002")):
        runs += [(f"{name}_adam", adam, lr, 6), (f"{name}_reset", adam_reset, lr, 6)]
    for name, optimiser, lr, epochs in runs:
        trained = [train(optimiser, lr, seed, epochs)[1:] for seed in range(5)]
        losses, accuracies = np.array(trained).T  # (5,), (5,)
        for what, values in (("loss", losses), ("accuracy", accuracies)):
            out[f"{what}_{name}_median"] = np.median(values)
            out[f"{what}_{name}_low"] = values.min()
            out[f"{what}_{name}_high"] = values.max()
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
