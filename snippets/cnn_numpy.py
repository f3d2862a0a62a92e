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
`accuracy` by up to 0.06, `loss` by up to 0.2.

**Takes:** about 10 s on one core.
"""

# %%
from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np

Params = dict[str, np.ndarray]
Optimiser = Callable[..., Callable[[Params], None]]


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
                tap = dcols[..., u, v].transpose(0, 3, 1, 2)  # (N, C, OH, OW)
                dx[:, :, u : u + OH, v : v + OW] += tap
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
    winner = blocks.argmax(axis=4)[..., None]  # (N, C, H/2, W/2, 1): first of equals

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
            # running means of g and g^2, kept for the next batch
            m[name] = beta1 * m[name] + (1 - beta1) * g
            v[name] = beta2 * v[name] + (1 - beta2) * g**2
            # they began at zero, which these two make up for
            m_hat = m[name] / (1 - beta1**t)
            v_hat = v[name] / (1 - beta2**t)
            p[name] -= lr * m_hat / (np.sqrt(v_hat) + eps)

    return step


# %% Adam as the source has it
def adam_reset(
    p: Params, lr: float, beta1: float = 0.95, beta2: float = 0.99, eps: float = 1e-7
) -> Callable[[Params], None]:
    """The same with the source's arithmetic: m and v are made anew at every batch."""

    def step(grads: Params) -> None:
        for name, g in grads.items():
            m, v = np.zeros_like(g), np.zeros_like(g)
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            p[name] -= lr * m / np.sqrt(v + eps)

    return step


# %% Its departures, one by one
DEPARTURES = {"memory", "correction", "outside"}


def adam_with(mended: set[str], p: Params, lr: float) -> Callable[[Params], None]:
    """The source's arithmetic, with any of its departures mended; with all it is Adam.

    "memory" keeps the moments for the next batch, "correction" makes up for their start
    at zero, and "outside" adds epsilon to the root.

    Raises:
        ValueError: there is no such departure.
    """
    if unknown := mended - DEPARTURES:
        raise ValueError(f"no departure is called {', '.join(sorted(unknown))}")
    beta1, beta2, eps = 0.95, 0.99, 1e-7
    kept = {name: (np.zeros_like(value),) * 2 for name, value in p.items()}
    t = 0

    def step(grads: Params) -> None:
        nonlocal t
        t = t + 1 if "memory" in mended else 1
        for name, g in grads.items():
            m, v = kept[name]
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            if "memory" in mended:
                kept[name] = m, v
            if "correction" in mended:
                m, v = m / (1 - beta1**t), v / (1 - beta2**t)
            inside, outside = (0, eps) if "outside" in mended else (eps, 0)
            p[name] -= lr * m / (np.sqrt(v + inside) + outside)

    return step


# %% What an optimiser does, from outside
def first_step(optimiser: Optimiser, g: np.ndarray, lr: float) -> np.ndarray:
    """How far the first update moves parameters with gradients g, of the shape of g."""
    p = {"w": np.zeros(g.shape)}
    optimiser(p, lr)({"w": g})
    return -p["w"]


def memory(optimiser: Optimiser) -> float:
    """The weight of the last gradient in a step, that of the present one being 1."""
    moved = []
    for last in (1.0, -1.0):  # v is the same for both, and m is not
        p = {"w": np.zeros(1)}
        step = optimiser(p, 0.01)
        step({"w": np.array([last])})
        before = p["w"].copy()
        step({"w": np.ones(1)})
        moved.append((before - p["w"])[0])
    # the steps go as 1 + memory and 1 - memory
    return (moved[0] - moved[1]) / (moved[0] + moved[1])


# %% [markdown]
# ## Training on digits
# Adam, the source's version of it, and that once more with an epsilon that is next to
# nothing, which leaves half the learning rate times the sign of the gradient. Then, for
# the first two epochs, the source's version with one of its three departures mended.

# %%
SEEDS = (0, 1, 2, 3, 4)
LEARNING_RATE, BATCH = 0.005, 32
OPTIMISERS: dict[str, tuple[Optimiser, int]] = {  # and epochs
    "adam": (adam, 30),
    "reset": (adam_reset, 8),
    "sign": (partial(adam_reset, eps=1e-14), 8),
} | {name: (partial(adam_with, {name}), 2) for name in sorted(DEPARTURES)}


# %% Training
@cache
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
    optimiser: Optimiser, lr: float, seed: int, epochs: int
) -> tuple[Params, list[float], float]:
    """The parameters, the mean loss of each epoch, the accuracy on what is held out."""
    x, labels, x_test, labels_test = load_digits()
    rng = np.random.default_rng(seed)
    p = init_params(rng, side=8, F=3)
    step = optimiser(p, lr)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for rows in batches(len(x), BATCH, rng):
            z, backward = network(p, x[rows])
            loss, dz = cross_entropy(z, labels[rows])
            step(backward(dz))
            total += loss * len(rows)
        losses.append(total / len(x))
    hits = network(p, x_test)[0].argmax(axis=1) == labels_test
    return p, losses, float(hits.mean())


@cache
def runs(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Losses (S, epochs) and accuracies (S,) of an optimiser of the table."""
    optimiser, epochs = OPTIMISERS[name]
    found = [train(optimiser, LEARNING_RATE, seed, epochs)[1:] for seed in SEEDS]
    losses, accuracies = zip(*found, strict=True)
    return np.array(losses), np.array(accuracies)


# %% The first batch
def first_batch(seed: int) -> tuple[float, np.ndarray]:
    """Loss and all gradients (P,) of the source's network on 32 digits of 28 by 28.

    The digits are enlarged three times and get a margin of two pixels.
    """
    x, labels, _, _ = load_digits()
    x, labels = x[:BATCH], labels[:BATCH]
    x = np.pad(np.kron(x, np.ones((3, 3))), ((0, 0), (0, 0), (2, 2), (2, 2)))
    x = (x - x.mean()) / x.std()  # (32, 1, 28, 28)
    z, backward = network(init_params(np.random.default_rng(seed), 28, 5), x)
    loss, dz = cross_entropy(z, labels)
    return loss, np.concatenate([g.ravel() for g in backward(dz).values()])


# %% [markdown]
# ## Figures


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


# %% tags=["active-ipynb"]
# draw_steps()


# %%
def draw_training() -> None:
    """Training loss against the epoch, 1 to 8, five thin lines for each optimiser. Adam
    falls from the first epoch. The source's version stays on the dotted line at 2.3 for
    two to four epochs, then falls more slowly. The sign alone has no such pause and
    lies between the two.
    """
    import matplotlib.pyplot as plt

    labels = {"adam": "Adam", "sign": "sign of the gradient", "reset": "as the source"}
    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    for color, (name, label) in zip(("C0", "C2", "C1"), labels.items(), strict=True):
        for losses in runs(name)[0][:, :8]:
            ax.plot(range(1, 9), losses, color=color, ls="-", lw=1, label=label)
            label = "_"  # one entry in the legend
    ax.axhline(np.log(10), color="C3", ls=":", lw=1, label="ln 10, chance")
    ax.set(xlabel="epoch", ylabel="training loss", ylim=(0, 3))
    ax.legend(ncols=2, loc="upper right")


# %% tags=["active-ipynb"]
# draw_training()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {}
    p = init_params(np.random.default_rng(0), side=28, F=5)
    out["parameters"] = sum(value.size for value in p.values())
    out["dense_inputs"] = p["w3"].shape[1]
    small = init_params(np.random.default_rng(0), side=8, F=3)
    out["parameters_digits"] = sum(value.size for value in small.values())
    for n in "12":  # He: root of 2 over what one output hears
        out["filter_std_" + n] = spread = p["w" + n].size ** -0.5
        out["he_ratio_" + n] = np.sqrt(2 / p["w" + n][0].size) / spread

    gradients = {"1em4": 1e-4, "1em3": 1e-3, "1em2": 1e-2, "1": 1.0, "1e3": 1e3}
    g = np.array(list(gradients.values()))
    for name, optimiser in (("adam", adam), ("reset", adam_reset)):
        for size, step in zip(gradients, first_step(optimiser, g, 0.01), strict=True):
            out[f"step_{name}_{size}"] = step
        out["memory_" + name] = memory(optimiser)
    out["knee"] = knee = np.sqrt(1e-7 / (1 - 0.99))  # where (1 - beta2) g^2 is epsilon
    out["plain_rate"] = first_step(adam_reset, np.array(1e-9), 1.0) / 1e-9
    first = [first_batch(seed) for seed in SEEDS]
    out["first_cost"] = np.median([loss for loss, _ in first])
    out["below_knee"] = np.median([(np.abs(g) < knee).mean() for _, g in first])

    for name in OPTIMISERS:
        losses, accuracies = runs(name)
        found = {"loss_2": losses[:, 1]}
        if OPTIMISERS[name][1] >= 8:
            found |= {"loss_8": losses[:, 7], "accuracy": accuracies}
        for what, values in found.items():
            out[f"{what}_{name}_median"] = np.median(values)
            out[f"{what}_{name}_low"] = values.min()
            out[f"{what}_{name}_high"] = values.max()
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
