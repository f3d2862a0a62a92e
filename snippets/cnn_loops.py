# %% [markdown]
r"""
# A convolutional network by loops, and what the loops cost

Convolution and max-pooling, forward and backward, one image and one window at a time;
and how many windows a network visits, so that a time can be told from a count.

**Source:** A. Escontrela, *Convolutional Neural Networks from the ground up* (2018), in
its repository Numpy-CNN: `CNN/forward.py`, `CNN/backward.py`, `train_cnn.py`, and the
two screenshots of its README.

| symbol | name | shape |
| --- | --- | --- |
| $x$ (`x`) | one image | $(C, H, W)$ |
| $w$ (`w`) | filters | $(K, C, FH, FW)$ |
| $b$ (`b`) | biases | $(K,)$ |
| $y$ (`y`) | output of a layer | $(K, OH, OW)$ |
| $dy$ (`dy`) | gradient of the loss by $y$ | of $y$ |

**Differs from the source:** images and filters need not be square. The gradient of the
pooling is added where the source assigns it, which matters where windows overlap.

**Checked against:** `torch.nn.functional` and autograd (1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
import numpy as np


# %% The convolution, by loops
def conv_loops(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """x (C, H, W), w (K, C, FH, FW), b (K,) -> y (K, OH, OW); stride 1, no padding.

    Raises:
        ValueError: x and w do not have the same channels, w is larger than x, or there
            is not one bias for each filter.
    """
    (C, H, W), (K, channels, FH, FW) = x.shape, w.shape
    if channels != C or FH > H or FW > W:
        raise ValueError(f"w has shape {w.shape}, which does not fit x of {x.shape}")
    if b.shape != (K,):
        raise ValueError(f"b has shape {b.shape}, expected {(K,)}")
    y = np.empty((K, H - FH + 1, W - FW + 1))  # (K, OH, OW)
    for k, i, j in np.ndindex(y.shape):
        # y[k, i, j] = b[k] + sum over c, u, v of w[k, c, u, v] x[c, i + u, j + v]
        y[k, i, j] = b[k] + np.sum(w[k] * x[:, i : i + FH, j : j + FW])
    return y


def conv_loops_backward(
    dy: np.ndarray, x: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dy (K, OH, OW) -> dx (C, H, W), dw (K, C, FH, FW), db (K,)."""
    FH, FW = w.shape[2:]
    dx, dw = np.zeros_like(x), np.zeros_like(w)  # (C, H, W), (K, C, FH, FW)
    for k, i, j in np.ndindex(dy.shape):
        window = np.s_[:, i : i + FH, j : j + FW]
        # of a product, the gradient of each factor is the other factor times dy
        dw[k] += dy[k, i, j] * x[window]
        dx[window] += dy[k, i, j] * w[k]
    return dx, dw, dy.sum(axis=(1, 2))


# %% The pooling, by loops
def pool_loops(x: np.ndarray, F: int = 2, S: int = 2) -> np.ndarray:
    """The largest of F by F pixels, every S pixels: x (C, H, W) -> y (C, OH, OW).

    Raises:
        ValueError: F or S is below 1, or F is larger than x.
    """
    C, H, W = x.shape
    if not 1 <= F <= min(H, W) or S < 1:
        wanted = f"expected F from 1 to {min(H, W)} and S of at least 1"
        raise ValueError(f"F is {F} and S is {S}, {wanted}")
    y = np.empty((C, (H - F) // S + 1, (W - F) // S + 1))  # (C, OH, OW)
    for c, i, j in np.ndindex(y.shape):
        y[c, i, j] = x[c, i * S : i * S + F, j * S : j * S + F].max()
    return y


def pool_loops_backward(
    dy: np.ndarray, x: np.ndarray, F: int = 2, S: int = 2
) -> np.ndarray:
    """dy (C, OH, OW) -> dx (C, H, W): each window's gradient goes to its largest."""
    dx = np.zeros_like(x)  # (C, H, W)
    for c, i, j in np.ndindex(dy.shape):
        window = x[c, i * S : i * S + F, j * S : j * S + F]
        u, v = np.unravel_index(window.argmax(), window.shape)
        dx[c, i * S + u, j * S + v] += dy[c, i, j]  # who wins twice gets twice
    return dx


# %% [markdown]
# ## What the loops cost
# A loop's time is nearly all its own: a visit to a window costs the calls it makes, and
# next to nothing for the arithmetic in it.


# %% The count
def costs(side: int = 28, F: int = 5, K: int = 8) -> dict[str, dict[str, int]]:
    """Parameters, visits to windows and multiply-adds of each layer, for one image.

    Two convolutions of K filters of F by F, a 2 by 2 pooling, 128 and 10 dense units.

    Raises:
        ValueError: F or K is below 1, or nothing of the image reaches the pooling.
    """
    side_1 = side - F + 1
    side_2 = side_1 - F + 1
    if F < 1 or K < 1 or side_2 < 2:
        wanted = "expected F and K of at least 1, and two pixels left for the pooling"
        raise ValueError(f"side {side}, F {F}, K {K}: {wanted}")
    side_p = side_2 // 2
    visits_1, visits_2, inputs = K * side_1**2, K * side_2**2, K * side_p**2
    return {
        "parameters": {
            "conv 1": K * (F**2 + 1),
            "conv 2": K * (K * F**2 + 1),
            "pool": 0,
            "dense 1": 128 * (inputs + 1),
            "dense 2": 10 * (128 + 1),
        },
        "visits": {
            "conv 1": visits_1,
            "conv 2": visits_2,
            "pool": inputs,
            "dense 1": 0,
            "dense 2": 0,
        },
        "multiply-adds": {
            "conv 1": visits_1 * F**2,
            "conv 2": visits_2 * K * F**2,
            "pool": 0,
            "dense 1": 128 * inputs,
            "dense 2": 10 * 128,
        },
    }


# %%
def draw_costs() -> None:
    """Three bars for each layer, as shares in percent. Nearly all parameters are in the
    first dense layer, most multiply-adds in the second convolution. The visits are
    shared by the first convolution, with more than half, the second, and the pooling.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for n, (what, of) in enumerate(costs().items()):
        shares = 100 * np.array(list(of.values())) / sum(of.values())  # (5,)
        ax.bar(np.arange(len(of)) + 0.27 * (n - 1), shares, width=0.25, label=what)
    ax.set_xticks(range(len(of)), list(of))
    ax.set(ylabel="share in percent", ylim=(0, 105))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_costs()

# %% [markdown]
# ## Numbers
# The seconds per batch, the images per second and the sizes of batch and data are the
# source's; the rest is counted.


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {}
    rng = np.random.default_rng(0)
    image, w1, w2 = (
        rng.standard_normal(s) for s in ((1, 28, 28), (8, 1, 5, 5), (8, 8, 5, 5))
    )
    y1 = conv_loops(image, w1, np.zeros(8))  # (8, 24, 24)
    y2 = conv_loops(y1, w2, np.zeros(8))  # (8, 20, 20)
    pooled = pool_loops(y2)  # (8, 10, 10)
    out["side_1"], out["side_2"], out["side_pool"] = (
        a.shape[1] for a in (y1, y2, pooled)
    )
    out["dense_inputs"] = pooled.size

    of = costs()
    out["visits_forward"] = sum(of["visits"].values())
    out["parameters"] = sum(of["parameters"].values())
    out["parameters_share_dense_1"] = of["parameters"]["dense 1"] / out["parameters"]
    out["multiply_adds"] = sum(of["multiply-adds"].values())
    out["multiply_adds_share_conv_2"] = (
        of["multiply-adds"]["conv 2"] / out["multiply_adds"]
    )
    # forward and backward, 32 images
    out["visits_batch"] = 2 * 32 * out["visits_forward"]
    out["microseconds_train"] = 1e6 * 6.89 / out["visits_batch"]
    out["microseconds_test"] = 1e6 / 11.62 / out["visits_forward"]

    out["updates_epoch"] = -(-50_000 // 32)
    out["updates"] = 2 * out["updates_epoch"]
    out["test_seconds"] = 10_000 / 11.62
    out["epoch_seconds"] = out["updates_epoch"] * 6.89
    out["training_hours"] = 2 * out["epoch_seconds"] / 3600
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
