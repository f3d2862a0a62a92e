# %% [markdown]
r"""
# What a sequence model keeps: a cache that grows, a state that does not

Numbers held per sequence while generating, for published models; how many tokens a
state could hold by counting alone; and what comes back when key and value pairs are
stored in a cache, or in one matrix.

**Source:** Ashish Vaswani et al., *Attention Is All You Need* (2017), section 3.2.2;
Jordan Hoffmann et al., *Training Compute-Optimal Large Language Models* (2022), Table
4; Albert Gu and Tri Dao, *Mamba* (2023), section 3.4, and the code published with it;
Kola Ayonrinde, *Mamba Explained* (2024).

| symbol | name | shape |
| --- | --- | --- |
| $L, h, d_k$ (`layers`, `heads`, `d_k`) | layers, heads, width of a key | |
| $E, N, k$ (`expand`, `N`, `conv`) | Mamba's widening, states, short kernel | |
| $K$ (`keys`) | unit vectors, one per pair | $(n, d)$ |
| $V$ (`values`) | one-hot symbols, one per pair | $(n, S)$ |
| $M$ (`state`) | the matrix that holds all pairs | $(S, d)$ |

**Differs from the source:** the stored pairs are our experiment, on random keys; apart
from one matrix for them, no model is trained.

**Checked against:** the cache and the states of PyTorch's layers, counted;
`torch.nn.functional.scaled_dot_product_attention`, `torch.linalg.lstsq` for the matrix
of least squares, `torch.optim.Adam` with autograd for the trained one (1e-10 in
float64).

**Takes:** about 1 s on one core.

**Varies with the machine:** the training that does not get all pairs ends elsewhere
where rounding differs: `trained_recalls_512` by up to 0.1.
"""

# %%
import math
from dataclasses import dataclass, replace

import numpy as np

# %% [markdown]
# ## Numbers kept per sequence
# A Transformer that writes keeps a key and a value, per head, layer and token. Mamba
# keeps $N$ numbers for each of its $E d$ channels, and the last inputs of its short
# convolution; an LSTM its two vectors.


# %% Numbers kept
@dataclass(frozen=True)
class Transformer:
    """The sizes that decide what is kept; kv_heads where queries share keys."""

    layers: int
    heads: int
    d_k: int
    kv_heads: int | None = None

    @property
    def width(self) -> int:
        """Queries of all heads side by side."""
        return self.heads * self.d_k

    def kept(self, tokens: int) -> int:
        """Numbers in the cache of keys and values after so many tokens.

        Raises ValueError if tokens is below 0.
        """
        if tokens < 0:
            raise ValueError(f"tokens must be at least 0, got {tokens}")
        kv_heads = self.heads if self.kv_heads is None else self.kv_heads
        return 2 * self.layers * kv_heads * self.d_k * tokens


def mamba_kept(layers: int, d: int, expand: int = 2, N: int = 16, conv: int = 4) -> int:
    """Numbers in Mamba's state, as its code keeps them, at any length.

    Raises ValueError if a size is below 1.
    """
    if min(layers, d, expand, N, conv) < 1:
        raise ValueError(f"sizes must be >= 1, got {(layers, d, expand, N, conv)}")
    return layers * expand * d * (N + conv)


def lstm_kept(layers: int, d: int) -> int:
    """Numbers in the states of an LSTM, h and c, at any length.

    Raises ValueError if layers or d is below 1.
    """
    if min(layers, d) < 1:
        raise ValueError(f"layers and d must be at least 1, got {layers} and {d}")
    return 2 * layers * d


def tokens_by_counting(kept: int, bits: int, vocab: int) -> float:
    """Most tokens that so many numbers can tell apart: kept * bits / log2(vocab).

    With B bits there are 2^B states, and vocab^n texts of n tokens. Where the texts are
    more, two of them must share a state.
    Raises ValueError if vocab is below 2.
    """
    if vocab < 2:
        raise ValueError(f"vocab must be at least 2, got {vocab}")
    return kept * bits / math.log2(vocab)


VASWANI_BASE = Transformer(layers=6, heads=8, d_k=64)  # of the decoder
GOPHER = Transformer(layers=80, heads=128, d_k=128)
CHINCHILLA = Transformer(layers=80, heads=64, d_k=128)
LIKE_MAMBA_130M = Transformer(layers=12, heads=12, d_k=64)  # Mamba, Table 12

# %% [markdown]
# ## Exact recall
# Store $n$ pairs, then ask for each. The cache compares the question with every key. A
# state of fixed size must add all pairs into one matrix, and reads it with a product.
#
# What a matrix of that shape *can* hold is another question. The one of least squares
# returns the values as closely as any. But a symbol has come back as soon as its score
# is the highest, which is easier; so a third matrix is trained for just that.


# %% Exact recall
def random_pairs(
    n: int, d: int, symbols: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """n random unit keys (n, d) and the symbol that belongs to each (n,).

    Raises ValueError if n or d is below 1, or symbols below 2.
    """
    if min(n, d) < 1 or symbols < 2:
        raise ValueError(f"want n, d >= 1 and symbols >= 2, got {n}, {d}, {symbols}")
    keys = rng.standard_normal((n, d))  # (n, d)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    return keys, rng.integers(symbols, size=n)


def read_cache(keys: np.ndarray, values: np.ndarray, sharpness: float) -> np.ndarray:
    """softmax(sharpness K K^T) V: every key asked for its own value, (n, S)."""
    scores = sharpness * keys @ keys.T  # (n, n)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))  # (n, n)
    return weights / weights.sum(axis=1, keepdims=True) @ values  # (n, S)


def summed_state(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """M = sum_t v_t k_t^T, written pair by pair: linear attention's state, (S, d)."""
    state = np.zeros((values.shape[1], keys.shape[1]))  # (S, d)
    for k, v in zip(keys, values, strict=True):
        state += np.outer(v, k)  # (S, d)
    return state


def least_squares_state(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The matrix with the least squared error over all pairs, known at once: (S, d)."""
    return (np.linalg.pinv(keys) @ values).T  # (S, d)


def trained_state(
    keys: np.ndarray, values: np.ndarray, steps: int = 800, rate: float = 0.3
) -> np.ndarray:
    """A matrix trained by cross-entropy (Adam) on pairs (n, d) and (n, S): (S, d).

    Stops as soon as every key has its own symbol as the highest score.
    """
    state, m, v = np.zeros((3, values.shape[1], keys.shape[1]))  # (S, d) each
    for t in range(1, steps + 1):
        scores = keys @ state.T  # (n, S)
        p = np.exp(scores - scores.max(axis=1, keepdims=True))  # (n, S)
        p /= p.sum(axis=1, keepdims=True)
        # d/dM of the sum of -log p[its symbol]
        grad = (p - values).T @ keys  # (S, d)
        m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2  # (S, d) each
        step = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)  # (S, d)
        state = state - rate * step
        if ((keys @ state.T).argmax(axis=1) == values.argmax(axis=1)).all():
            break
    return state


def recalled(n: int, d: int, symbols: int, seed: int) -> dict[str, float]:
    """Share of n pairs whose symbol comes back, by way of keeping them."""
    keys, owner = random_pairs(n, d, symbols, np.random.default_rng(seed))
    values = np.eye(symbols)[owner]  # (n, S)
    read = {
        "cache": read_cache(keys, values, sharpness=d),
        "sum": keys @ summed_state(keys, values).T,  # (n, S)
        "squares": keys @ least_squares_state(keys, values).T,  # (n, S)
        "trained": keys @ trained_state(keys, values).T,  # (n, S)
    }
    return {
        way: float((answers.argmax(axis=1) == owner).mean())
        for way, answers in read.items()
    }


# %% [markdown]
# ## Figures


# %%
def draw_kept() -> None:
    """Numbers kept per sequence against tokens, both axes logarithmic. The cache of a
    Transformer of 12 layers is a straight rising line. The state of Mamba of the same
    size is a flat line that it crosses at 40 tokens; an LSTM's lies far below and is
    crossed at one token.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    tokens = [1, 10**5]
    kept = [LIKE_MAMBA_130M.kept(t) for t in tokens]
    ax.plot(tokens, kept, label="cache, 12 layers of width 768")
    ax.plot(tokens, [mamba_kept(24, 768)] * 2, label="Mamba, 24 layers of width 768")
    ax.plot(tokens, [lstm_kept(12, 768)] * 2, label="LSTM, 12 layers of width 768")
    ax.set(xscale="log", yscale="log", xlabel="tokens", ylabel="numbers kept")
    ax.legend()


# %% tags=["active-ipynb"]
# draw_kept()


# %%
def draw_recall() -> None:
    """Share of pairs recalled against the number of pairs, from 4 to 512, keys of width
    32. The cache stays at one. A matrix trained on the pairs is at one up to 160 pairs
    and falls steeply. The matrix of least squares is at one up to 32 pairs and falls
    soon after; the plain sum begins to fall much earlier. All three matrices end near a
    fourth at 512 pairs. Dots are five draws each.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    lengths = [4, 8, 16, 32, 64, 128, 160, 256, 512]
    runs = [[recalled(n, 32, 16, seed) for seed in range(5)] for n in lengths]
    labels = {"cache": "cache", "trained": "matrix, trained on the pairs"}
    labels |= {"squares": "matrix of least squares", "sum": "sum"}
    for i, (way, label) in enumerate(labels.items()):
        shares = np.array([[run[way] for run in five] for five in runs])  # (9, 5)
        ax.plot(lengths, np.median(shares, axis=1), color=f"C{i}", label=label)
        ax.plot(np.repeat(lengths, 5), shares.ravel(), ".", color=f"C{i}")
    ax.set(xscale="log", xlabel="pairs stored", ylabel="share recalled", ylim=(0, 1.05))
    ticks = [n for n in lengths if n != 128]  # it would touch 160
    ax.set_xticks(ticks, [str(n) for n in ticks])
    ax.minorticks_off()
    ax.legend()


# %% tags=["active-ipynb"]
# draw_recall()


# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {}
    models = (("vaswani", VASWANI_BASE), ("gopher", GOPHER), ("chinchilla", CHINCHILLA))
    for name, model in models:
        out[f"{name}_width"] = model.width
        out[f"{name}_per_token"] = model.kept(1)
        out[f"{name}_2048_gb"] = 2 * model.kept(2048) / 1e9  # 2 bytes a number
    # where the cache weighs as much as Chinchilla's 70 billion parameters
    out["chinchilla_tokens_as_weights"] = 70e9 / CHINCHILLA.kept(1)
    shared = replace(CHINCHILLA, kv_heads=8)
    out["chinchilla_8_kv_heads_2048_gb"] = 2 * shared.kept(2048) / 1e9

    small = mamba_kept(24, 768)
    out["mamba_130m_kept"], out["mamba_130m_mb"] = small, 2 * small / 1e6
    out["mamba_2_8b_kept"] = mamba_kept(64, 2560)
    out["like_mamba_130m_per_token"] = LIKE_MAMBA_130M.kept(1)
    out["like_mamba_130m_4096"] = LIKE_MAMBA_130M.kept(4096)
    out["mamba_breaks_even"] = small / LIKE_MAMBA_130M.kept(1)
    out["lstm_breaks_even"] = lstm_kept(12, 768) / LIKE_MAMBA_130M.kept(1)
    out["mamba_130m_tokens_by_counting"] = tokens_by_counting(small, 16, 50_280)

    # a film of 196 tokens a picture, 24 pictures a second, in a window of 32,768
    out["seconds_of_film"] = 32_768 / (196 * 24)

    for n in (8, 16, 32, 64, 128, 160, 512):
        runs = [recalled(n, 32, 16, seed) for seed in range(5)]
        for way in ("cache", "sum", "squares", "trained"):
            shares = [run[way] for run in runs]
            out[f"{way}_recalls_{n}_median"] = float(np.median(shares))
            out[f"{way}_recalls_{n}_min"] = min(shares)
            out[f"{way}_recalls_{n}_max"] = max(shares)
        if out[f"trained_recalls_{n}_min"] == 1:  # in the end: the largest such n
            out["trained_names_all_pairs"] = n
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
