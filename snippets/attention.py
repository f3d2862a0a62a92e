# %% [markdown]
r"""
# Scaled dot-product attention, heads and positions

Attention as a soft look-up, split over heads, with the causal mask and the sinusoidal
positional encoding. The file then measures two reasons that the paper gives in words:
why the scores are divided by $\sqrt{d_k}$, and why a shift in position is a linear map.

**Source:** Ashish Vaswani et al., *Attention Is All You Need* (2017), eq. 1, the
multi-head equations of section 3.2.2, the positional encoding of section 3.5.

| symbol | name | shape |
| --- | --- | --- |
| $Q$ (`q`) | queries | $(..., T_q, d_k)$ |
| $K$ (`k`) | keys | $(..., T_k, d_k)$ |
| $V$ (`v`) | values | $(..., T_k, d_v)$ |
| $W_i^Q, W_i^K$ (`W_q[i]`, `W_k[i]`) | projections of head $i$ | $(d_{model}, d_k)$ |
| $W_i^V$ (`W_v[i]`) | the same for the values | $(d_{model}, d_v)$ |
| $W^O$ (`W_o`) | mixes the heads | $(h d_v, d_{model})$ |
| `mask` | true where a query may look | broadcasts to $(..., T_q, T_k)$ |
| $PE$ | positional encoding | $(T, d_{model})$ |

**Differs from the source:** nothing in the equations. A row of the mask that allows no
key is an error here; computed blindly, it would be a row of NaN.

**Checked against:** `torch.nn.functional.scaled_dot_product_attention` and
`torch.nn.MultiheadAttention` with copied weights (1e-10 in float64), torch autograd for
the Jacobian of the softmax, and the rotation identity.

**Takes:** about 1 s on one core.
"""

# %%
import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

# %% [markdown]
# ## Attention
# Every query is compared with every key. The softmax turns a row of scores into weights
# that sum to one, and the output is that weighted average of the values: a dictionary
# look-up in which every entry answers a little. Subtracting the largest score changes
# no weight and keeps the exponentials from overflowing. The root of $d_k$ is there for
# another reason, measured below.


# %%
def attention(
    q: Floats, k: Floats, v: Floats, mask: Mask | None = None
) -> tuple[Floats, Floats]:
    """Scaled dot-product attention (eq. 1); leading axes broadcast.

    q: (..., T_q, d_k), k: (..., T_k, d_k), v: (..., T_k, d_v), mask: true = may look.
    Returns the output (..., T_q, d_v) and the weights (..., T_q, T_k).
    Raises ValueError where shapes disagree or a query may look at nothing.
    """
    check_shapes(q, k, v)
    # scores = Q K^T / sqrt(d_k)                                     (eq. 1, inside)
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])  # (..., T_q, T_k)
    if mask is not None:
        check_mask(mask, scores.shape)
        scores = np.where(mask, scores, -np.inf)  # (..., T_q, T_k)
    # Attention(Q, K, V) = softmax(scores) V                         (eq. 1)
    weights = softmax(scores)  # (..., T_q, T_k)
    return weights @ v, weights  # (..., T_q, d_v), (..., T_q, T_k)


def softmax(x: Floats) -> Floats:
    """Softmax over the last axis; x: any shape, the result has the same."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))  # the largest becomes exp(0) = 1
    return e / e.sum(axis=-1, keepdims=True)


def causal_mask(n: int) -> Mask:
    """Position i may look at positions 0..i: (n, n), true on and below the diagonal."""
    return np.tri(n, dtype=bool)  # (n, n)


# %% [markdown]
# The checks stand apart so that the equation stays readable.


# %%
def check_shapes(q: Floats, k: Floats, v: Floats) -> None:
    """Raises ValueError unless q, k, v fit together."""
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.ndim < 2:
            raise ValueError(f"{name} has shape {x.shape}, want (..., T, d)")
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"k has width {k.shape[-1]}, want q's width {q.shape[-1]}")
    if k.shape[-2] != v.shape[-2]:
        raise ValueError(f"v has {v.shape[-2]} rows, want one per key: {k.shape[-2]}")


def check_mask(mask: Mask, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless mask is boolean, fits the scores, and empties no row."""
    if mask.dtype != np.bool_:
        raise ValueError(f"mask has dtype {mask.dtype}, want bool (true = may look)")
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"mask has shape {mask.shape}, want one that fits {shape}")
    empty = np.argwhere(~mask.any(axis=-1))
    if len(empty):
        row = tuple(int(i) for i in empty[0])
        raise ValueError(f"mask allows no key in row {row}: softmax of nothing")


# %% [markdown]
# ## Heads
# One head gives one set of weights per query, so everything it gathers is averaged
# together. With $h$ heads of width $d_k = d_{model}/h$ each looks in its own way, at
# the same cost in projections. They are kept as in the paper, one matrix per head.


# %%
def multi_head_attention(
    x: Floats,
    memory: Floats,
    W_q: Floats,
    W_k: Floats,
    W_v: Floats,
    W_o: Floats,
    mask: Mask | None = None,
) -> Floats:
    """Multi-head attention (section 3.2.2): x asks, memory answers; no biases.

    x: (B, T_q, d_model), memory: (B, T_k, d_model); pass x twice for self-attention.
    W_q, W_k: (h, d_model, d_k), W_v: (h, d_model, d_v), W_o: (h * d_v, d_model);
    mask broadcasts to (B, h, T_q, T_k). Returns (B, T_q, d_model).
    Raises ValueError where shapes disagree, and for a mask that `attention` refuses.
    """
    n_heads, d_model, d_v = W_v.shape
    if W_o.shape != (n_heads * d_v, d_model):
        want = (n_heads * d_v, d_model)
        raise ValueError(f"W_o has shape {W_o.shape}, want (h d_v, d_model) = {want}")
    for name, W in (("W_q", W_q), ("W_k", W_k)):
        if W.ndim != 3 or W.shape[:2] != (n_heads, d_model):
            want = f"({n_heads}, {d_model}, d_k)"
            raise ValueError(f"{name} has shape {W.shape}, want {want}")
    for name, a in (("x", x), ("memory", memory)):
        if a.ndim != 3 or a.shape[-1] != d_model:
            raise ValueError(f"{name} has shape {a.shape}, want (B, T, {d_model})")
    # head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V)
    q = x[:, None] @ W_q  # (B, 1, T_q, d_model) @ (h, d_model, d_k) -> (B, h, T_q, d_k)
    k = memory[:, None] @ W_k  # (B, h, T_k, d_k)
    v = memory[:, None] @ W_v  # (B, h, T_k, d_v)
    heads, _ = attention(q, k, v, mask)  # (B, h, T_q, d_v)
    # MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W^O
    B, h, T_q, _ = heads.shape
    concat = heads.swapaxes(1, 2).reshape(B, T_q, h * d_v)  # (B, T_q, h d_v)
    return concat @ W_o  # (B, T_q, d_model)


# %% [markdown]
# ## Positions
# Attention treats its input as a set: permute the rows and the output is permuted
# alike. Order has to be added. Each pair of columns is the sine and the cosine of one
# angle that turns with the position, like the hands of $d_{model}/2$ clocks, from fast
# to slow.


# %%
def frequencies(d_model: int) -> Floats:
    """Angle per position of each sine and cosine pair, in radians: (d_model / 2,).

    Raises ValueError if d_model is odd or below 2.
    """
    if d_model < 2 or d_model % 2:
        raise ValueError(f"d_model is {d_model}, want an even number of at least 2")
    # omega_i = 1 / 10000^{2i / d_model}
    return 10000.0 ** (-np.arange(0, d_model, 2) / d_model)  # (d_model / 2,)


def positional_encoding(n_positions: int, d_model: int, start: int = 0) -> Floats:
    """Sinusoidal positional encoding (section 3.5): (n_positions, d_model)."""
    position = np.arange(start, start + n_positions)[:, None]  # (T, 1)
    angle = position * frequencies(d_model)  # (T, d_model / 2)
    pe = np.empty((n_positions, d_model))  # (T, d_model)
    pe[:, 0::2] = np.sin(angle)  # PE(pos, 2i)     = sin(pos / 10000^{2i / d_model})
    pe[:, 1::2] = np.cos(angle)  # PE(pos, 2i + 1) = cos(pos / 10000^{2i / d_model})
    return pe


# %% [markdown]
# The paper chose this form because $PE(pos + k)$ is a linear function of $PE(pos)$. It
# is a rotation, the same one at every position: the addition theorems of sine and
# cosine give one $2 \times 2$ block per pair.


# %%
def shift(k: int, d_model: int) -> Floats:
    """M_k with PE(pos + k) = M_k PE(pos) for every pos: (d_model, d_model)."""
    M = np.zeros((d_model, d_model))  # (d_model, d_model)
    for i, angle in enumerate(k * frequencies(d_model)):
        c, s = np.cos(angle), np.sin(angle)
        # sin(a + b) = cos(b) sin(a) + sin(b) cos(a)
        # cos(a + b) = cos(b) cos(a) - sin(b) sin(a)
        M[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[c, s], [-s, c]]
    return M


# %% [markdown]
# ## Why the scores are scaled
# If the entries of a query and a key are independent with mean 0 and variance 1, their
# dot product has variance $d_k$. Unscaled scores of wide heads are therefore large, the
# softmax puts nearly all weight on one key, and its Jacobian
# $\operatorname{diag}(p) - p p^\top$, through which every gradient to $q$ and $k$ must
# pass, shrinks towards zero. An optimizer such as Adam undoes a constant factor, so the
# last column counts what it cannot undo: the share of queries for which the Jacobian
# has all but vanished.


# %%
def softmax_jacobian_norm(p: Floats) -> Floats:
    """Frobenius norm of diag(p) - p p^T for p = softmax(x): (..., n) -> (...)."""
    s2, s3 = (p**2).sum(axis=-1), (p**3).sum(axis=-1)  # (...), (...)
    # sum_ij (delta_ij p_i - p_i p_j)^2 = sum p^2 - 2 sum p^3 + (sum p^2)^2
    return np.sqrt(np.maximum(s2 - 2 * s3 + s2**2, 0.0))  # (...)


WIDTHS = (4, 16, 64, 256, 1024)
SEEDS = range(5)


@cache
def saturation(d_k: int, seed: int, n_draws: int = 400, n_keys: int = 10) -> Floats:
    """Average over draws of one standard normal query and n_keys such keys.

    Returns (2, 3): rows without and with the root of d_k; columns the largest weight,
    the norm of the softmax Jacobian, and the share of queries with a norm below 0.01.
    """
    rng = np.random.default_rng(seed)
    q = rng.standard_normal((n_draws, 1, d_k))  # (n_draws, 1, d_k)
    k = rng.standard_normal((n_draws, n_keys, d_k))  # (n_draws, n_keys, d_k)
    raw = (q * k).sum(axis=-1)  # (n_draws, n_keys), variance d_k
    rows = []
    for scores in (raw, raw / np.sqrt(d_k)):
        p = softmax(scores)  # (n_draws, n_keys)
        norm = softmax_jacobian_norm(p)  # (n_draws,)
        rows.append([p.max(axis=1).mean(), norm.mean(), (norm < 0.01).mean()])
    return np.array(rows)  # (2, 3)


# %% [markdown]
# One draw to look at closely. The generator is Park and Miller's, which is one line in
# any language, so that every language draws the same. A larger $d_k$ keeps the entries
# of a smaller one and adds more.


# %%
def first_entries(d_k: int, seed: int, n_keys: int = 6) -> tuple[Floats, Floats]:
    """The first d_k entries of a query (d_k,) and n_keys keys (n_keys, d_k).

    They are uniform with mean 0 and variance 1. Raises ValueError for a bad seed.
    """
    if not 0 < seed < 2**31 - 1:
        raise ValueError(f"seed is {seed}, want one from 1 to 2^31 - 2")
    draws = []
    for _ in range(d_k * (1 + n_keys)):
        seed = 48271 * seed % (2**31 - 1)
        draws.append(12**0.5 * (seed / (2**31 - 1) - 0.5))
    entries = np.array(draws).reshape(d_k, 1 + n_keys)  # (d_k, 1 + n_keys)
    return entries[:, 0], entries[:, 1:].T  # (d_k,), (n_keys, d_k)


# %% [markdown]
# ## Figures


# %%
def draw_saturation() -> None:
    """Two panels against the head width from 4 to 1024. Left: the average largest of
    ten attention weights climbs from about one half to nearly one without scaling and
    stays near 0.3 with it. Right: the share of queries whose softmax Jacobian has all
    but vanished climbs from almost none to three in four without scaling and stays at
    zero with it.
    """
    import matplotlib.pyplot as plt

    runs = np.array([[saturation(d, s) for s in SEEDS] for d in WIDTHS])
    _, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
    titles = {0: "largest of 10 weights, mean", 2: "queries with hardly any gradient"}
    for ax, (column, title) in zip(axes, titles.items(), strict=True):
        for row, label in enumerate(("unscaled", "scaled")):
            y = runs[:, :, row, column]  # (widths, seeds)
            ax.plot(WIDTHS, np.median(y, axis=1), marker="o", label=label)
            ax.fill_between(WIDTHS, y.min(axis=1), y.max(axis=1), alpha=0.25)
        ax.set(xscale="log", xlabel="$d_k$", title=title, ylim=(-0.03, 1.03))
        ax.set_xticks(WIDTHS, [str(d) for d in WIDTHS])
        ax.minorticks_off()
    axes[1].legend()


# %% tags=["active-ipynb"]
# draw_saturation()


# %%
def draw_positions() -> None:
    """Two panels. Left: three columns of the positional encoding over positions 0 to
    100; the first swings about eight times, the second little more than once, the
    third only begins to rise.
    Right: the dot product of two positions' encodings against their offset, for widths
    64 and 512; both peak at offset zero, are symmetric, and fall off to the sides, the
    narrow one with large ripples.
    """
    import matplotlib.pyplot as plt

    _, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
    pe = positional_encoding(101, 512)  # (101, 512)
    for column in (40, 140, 300):
        wave = 2 * np.pi / frequencies(512)[column // 2]
        left.plot(pe[:, column], label=f"column {column}: {wave:,.0f}")
    left.set(xlabel="position", ylabel="$PE$", ylim=(-1.1, 2.9), yticks=(-1, 0, 1))
    left.legend(title="wavelength in positions", loc="upper center")
    offsets = np.arange(-100, 101)
    for d_model in (64, 512):
        pe = positional_encoding(201, d_model, start=-100)  # (201, d_model)
        dots = pe @ pe[100] / (d_model / 2)  # (201,), one at offset 0
        right.plot(offsets, dots, label=f"$d_{{model}}$ = {d_model}")
    right.set(xlabel="offset $k$", ylabel=r"$PE(p) \cdot PE(p+k)\,/\,(d_{model}/2)$")
    right.set_ylim(0, 1.05)
    right.legend(loc="lower center")


# %% tags=["active-ipynb"]
# draw_positions()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    result: dict[str, float] = {}
    runs = np.array([saturation(64, seed) for seed in SEEDS])  # (seeds, 2, 3)
    for row, scaling in enumerate(("raw", "scaled")):
        for column, what in enumerate(("max_weight", "jacobian_norm", "stuck")):
            median = np.median(runs[:, row, column])
            result[f"{what}_{scaling}_dk64_median"] = float(median)
    result["stuck_raw_dk64_min"] = float(runs[:, 0, 2].min())
    result["stuck_raw_dk64_max"] = float(runs[:, 0, 2].max())
    wide = np.array([saturation(1024, seed) for seed in SEEDS])  # (seeds, 2, 3)
    result["stuck_raw_dk1024_median"] = float(np.median(wide[:, 0, 2]))

    q, k = first_entries(64, seed=1)  # (64,), (6, 64)
    scores = k @ q  # (6,)
    weights = softmax(scores), softmax(scores / np.sqrt(64))  # (6,) each
    for scaling, p in zip(("raw", "scaled"), weights, strict=True):
        result[f"one_draw_jacobian_norm_{scaling}"] = float(softmax_jacobian_norm(p))
        for j, weight in enumerate(p, start=1):
            result[f"one_draw_weight_{scaling}_{j}"] = float(weight)
    for j, score in enumerate(scores, start=1):
        result[f"one_draw_score_{j}"] = float(score)

    waves = 2 * np.pi / frequencies(512)  # (256,)
    result["wavelength_longest_d512_over_2pi"] = float(waves[-1] / (2 * np.pi))
    result["pairs_d512"] = len(waves)
    result["pairs_slower_than_100_d512"] = int((waves > 100).sum())
    pe = positional_encoding(300, 512)  # (300, 512)
    result["encoding_norm_d512"] = float(np.linalg.norm(pe[123]))
    moved = pe[:200] @ shift(100, 512).T  # (200, 512)
    result["shift_error_max"] = float(np.abs(moved - pe[100:]).max())
    return result


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
