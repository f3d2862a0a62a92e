# %% [markdown]
r"""
# Batch normalization, and what a network knows at the start

Each column of a minibatch to mean 0 and variance 1, then a learned gain and bias; and
the derivative of that, in one line. Around it, what the lecture looks at before any
training: the loss, which should be that of knowing nothing, the share of tanh units
that are saturated, and how activations change with depth.

**Source:** Andrej Karpathy, *Neural Networks: Zero to Hero* (2022), lectures 4 and 5:
notebooks *makemore part 3* and *part 4*.

| symbol | name | shape |
| --- | --- | --- |
| $z$ (`z`) | what is normalized, a row per example | $(B, H)$ |
| $\hat z$ (`z_hat`) | normalized | $(B, H)$ |
| $\gamma, \beta$ (`gain`, `bias`) | learned scale and shift | $(H,)$ |
| $c$ (`correction`) | variance over $B - c$: 0 in PyTorch, 1 in the course | |
| $\varepsilon$ (`eps`) | keeps the root away from 0 | |

**Differs from the source:** the start is shown on random letters, not on names: before
training the network cannot tell them apart.

**Checked against:** `torch.nn.functional.batch_norm` and autograd (1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Sequence

import numpy as np

# %% [markdown]
# ## Forward and backward


# %%
def batch_norm(
    z: np.ndarray,
    gain: np.ndarray,
    bias: np.ndarray,
    eps: float = 1e-5,
    correction: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalize each column of z (B, H): result, z_hat (B, H), 1 / std (H,).

    Raises ValueError unless z has two axes and more than `correction` rows.
    """
    if z.ndim != 2 or len(z) <= correction:
        raise ValueError(
            f"z must have two axes and more than {correction} rows, got {z.shape}"
        )
    n = len(z)
    centered = z - z.mean(axis=0)  # (B, H)
    # s^2 = sum (z - mean)^2 / (n - c),   z_hat = (z - mean) / sqrt(s^2 + eps)
    inv = 1 / np.sqrt((centered**2).sum(axis=0) / (n - correction) + eps)  # (H,)
    z_hat = centered * inv  # (B, H)
    return gain * z_hat + bias, z_hat, inv


def batch_norm_backward(
    g: np.ndarray,
    z_hat: np.ndarray,
    inv: np.ndarray,
    gain: np.ndarray,
    correction: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From dL/dresult g (B, H): dL/dz (B, H), dL/dgain (H,), dL/dbias (H,)."""
    n = len(g)
    dbias = g.sum(axis=0)  # (H,)
    dgain = (g * z_hat).sum(axis=0)  # (H,)
    # dL/dz = gamma / s (g - mean(g) - z_hat sum(g z_hat) / (n - c))
    dz = gain * inv * (g - dbias / n - z_hat * dgain / (n - correction))  # (B, H)
    return dz, dgain, dbias


# %% [markdown]
# ## Before training
# Embedding, tanh layer, logits. Nothing is known yet, so the loss should be ln 27.


# %%
Scales = tuple[float, float]  # of the first weights and of the last
RAW: Scales = (1.0, 1.0)
SCALED: Scales = (5 / 3 / 30**0.5, 0.01)


def at_start(scales: Scales, rng: np.random.Generator) -> tuple[float, float]:
    """Untrained loss on 1000 random examples, and the share of |h| > 0.99."""
    letters = rng.integers(0, 27, (1000, 3))  # (B, 3)
    target = rng.integers(0, 27, 1000)  # (B,)
    C = rng.standard_normal((27, 10))
    W1 = rng.standard_normal((30, 200)) * scales[0]
    W2 = rng.standard_normal((200, 27)) * scales[1]
    h = np.tanh(C[letters].reshape(1000, 30) @ W1)  # (B, 200)
    logits = h @ W2  # (B, 27)
    # -ln softmax_y = ln sum_k e^(l_k) - l_y
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[range(1000), target]  # (B,)
    return float(losses.mean()), float((np.abs(h) > 0.99).mean())


def depth_profile(gain: float, normalize: bool, rng: np.random.Generator) -> np.ndarray:
    """Standard deviation of the activations after each of ten tanh layers: (10,)."""
    h = rng.standard_normal((500, 100))  # (B, H)
    stds = []
    for _ in range(10):
        z = h @ rng.standard_normal((100, 100)) * gain / 100**0.5  # (B, H)
        if normalize:
            z, _, _ = batch_norm(z, np.ones(100), np.zeros(100))  # (B, H)
        h = np.tanh(z)  # (B, H)
        stds.append(h.std())
    return np.array(stds)


# %%
def draw_depth() -> None:
    """Standard deviation of activations against depth, ten tanh layers.

    With gain 1 it falls steadily, with 5/3 it settles near 0.65, with 3 near 0.85.
    With batch normalization the curves of all three gains are one, level near 0.63.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    depth = range(1, 11)
    for gain, label in ((1.0, "1"), (5 / 3, "5/3"), (3.0, "3")):
        stds = depth_profile(gain, False, np.random.default_rng(0))
        ax.plot(depth, stds, "o-", label=f"gain {label}")
    stds = depth_profile(1.0, True, np.random.default_rng(0))
    ax.plot(depth, stds, "s--", label="batch norm, any gain")
    ax.set(xlabel="layer", ylabel="std of activations", ylim=(0, 1), xticks=depth)
    ax.legend(ncols=2, loc="lower left")


# %% tags=["active-ipynb"]
# draw_depth()


# %% [markdown]
# ## Numbers


# %%
def parameters(embedding: int, layers: Sequence[tuple[int, int, bool, bool]]) -> int:
    """Parameters of 27 vectors and of layers (n_in, n_out, has bias, has norm)."""
    return 27 * embedding + sum(
        n_out * (n_in + has_bias + 2 * has_norm)
        for n_in, n_out, has_bias, has_norm in layers
    )


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out_200, out_64 = (200, 27, True, False), (64, 27, True, False)
    deep = [(30, 100, False, True), *[(100, 100, False, True)] * 4]
    out: dict[str, float] = {
        "parameters_norm": parameters(10, [(30, 200, False, True), out_200]),
        "parameters_deep": parameters(10, [*deep, (100, 27, False, True)]),
        "parameters_by_hand_64": parameters(10, [(30, 64, True, True), out_64]),
        "parameters_by_hand_200": parameters(10, [(30, 200, True, True), out_200]),
    }
    for name, scales in (("raw", RAW), ("scaled", SCALED)):
        runs = np.array([at_start(scales, np.random.default_rng(s)) for s in range(9)])
        for key, values in (("loss", runs[:, 0]), ("saturated", runs[:, 1])):
            out[f"{name}_{key}_median"] = float(np.median(values))
            out[f"{name}_{key}_min"] = float(values.min())
            out[f"{name}_{key}_max"] = float(values.max())
    for name, gain in (("1", 1.0), ("5_3", 5 / 3), ("3", 3.0)):
        for kind, normalize in (("plain", False), ("norm", True)):
            last = [
                depth_profile(gain, normalize, np.random.default_rng(seed))[-1]
                for seed in range(5)
            ]
            out[f"std_{kind}_gain_{name}"] = float(np.median(last))
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
