# %% [markdown]
r"""
# A GPT before any training: what it weighs, costs and says

Parameters and operations of a GPT from its sizes alone, the loss of a table of random
logits, and why attention's scores are divided by the root of the head's size.

**Source:** Andrej Karpathy, *Neural Networks: Zero to Hero* (2022), lecture 7: `gpt.py`
of ng-video-lecture and the lecture's notebook; nanoGPT (2022), readme and notebook
*transformer_sizing*.

| symbol | name | shape |
| --- | --- | --- |
| $V, T$ (`vocab`, `context`) | symbols, and how many the model sees at once | |
| $L, C$ (`layers`, `width`) | blocks, and the width of the stream | |
| $d$ (`d`) | size of a head: numbers in a query and in a key | |
| $q, k$ (`q`, `k`) | queries, keys | $(n, d), (n, T, d)$ |

**Differs from the source:** the random numbers of PyTorch's generator are drawn with
NumPy from the same seed.

**Checked against:** the modules of `gpt.py`, PyTorch's counter of operations,
`torch.randn`, `torch.nn.functional.cross_entropy`.

**Takes:** under 1 s on one core.
"""

# %%
import math
import string
from dataclasses import dataclass, replace

import numpy as np

# %% [markdown]
# ## Parameters
# A block has four $C \times C$ matrices in its attention and two of $C \times 4C$ in
# its feed-forward layer: $12 C^2$. The rest is thin: biases, gains, two tables at the
# door and, unless the output shares its matrix with the embedding, one at the exit.


# %%
@dataclass(frozen=True)
class Sizes:
    """What makes a GPT. As they stand: biases but in q, k, v; an output of its own."""

    vocab: int
    context: int
    layers: int
    width: int
    bias: bool = True
    qkv_bias: bool = False
    tied: bool = False


def block_parameters(s: Sizes) -> int:
    """Parameters of one block."""
    C = s.width
    attention = 4 * C**2 + s.bias * C + s.qkv_bias * 3 * C
    feed_forward = 8 * C**2 + s.bias * 5 * C
    return attention + feed_forward + 2 * (1 + s.bias) * C  # and two normalizations


def parameters(s: Sizes) -> int:
    """Parameters of the model, a shared matrix once.

    Raises ValueError if a size is below 1.
    """
    if min(s.vocab, s.context, s.layers, s.width) < 1:
        raise ValueError(f"all sizes must be >= 1, got {s}")
    # (V + T) C + L blocks + the last normalization + the output
    head = 0 if s.tied else (s.width + s.bias) * s.vocab
    tables = (s.vocab + s.context) * s.width
    return tables + s.layers * block_parameters(s) + (1 + s.bias) * s.width + head


LECTURE = Sizes(vocab=65, context=256, layers=6, width=384)
COLAB = Sizes(vocab=65, context=32, layers=4, width=64)
GPT2 = Sizes(50257, 1024, 12, 768, qkv_bias=True, tied=True)
WITHOUT_BIAS = Sizes(50257, 1024, 12, 768, bias=False, tied=True)
FAMILY = {
    "small": GPT2,
    "medium": replace(GPT2, layers=24, width=1024),
    "large": replace(GPT2, layers=36, width=1280),
    "xl": replace(GPT2, layers=48, width=1600),
}

# %% [markdown]
# ## Operations
# A matrix of $m$ entries costs $2m$ operations for each position: a product and a sum.
# Scores and averages compare each position with each, and the half above the diagonal
# is computed as well.


# %%
def forward_operations(s: Sizes) -> int:
    """Operations of the matrix products for one full context."""
    matrices = 12 * s.layers * s.width**2 + s.vocab * s.width
    scores_and_averages = 2 * s.layers * s.context**2 * s.width
    # 2 T (12 L C^2 + V C) + 4 L T^2 C
    return 2 * s.context * matrices + 2 * scores_and_averages


# %% [markdown]
# ## A table of random logits
# The lecture's first model: row $i$ of a 65 by 65 table holds the logits of what
# follows symbol $i$. Its numbers are PyTorch's, its first batch is four pieces of
# Shakespeare.


# %%
def torch_randn(n: int, seed: int) -> np.ndarray:
    """What torch.randn(n) draws on a CPU from the same seed, to about 1e-6: (n,).

    Raises ValueError if n is below 16.
    """
    bits = np.random.RandomState(seed)

    def uniform(count: int) -> np.ndarray:  # (count,), 24 of 32 random bits
        return bits.randint(0, 2**32, count, dtype=np.uint32) % 2**24 / 2**24

    def normal(u: np.ndarray) -> np.ndarray:  # (count,), count a multiple of 16
        u = u.reshape(-1, 16)  # (count / 16, 16)
        # r = sqrt(-2 ln(1 - u)),   z = r cos(2 pi u'), r sin(2 pi u')
        radius, angle = np.sqrt(-2 * np.log(1 - u[:, :8])), 2 * np.pi * u[:, 8:]
        return np.hstack([radius * np.cos(angle), radius * np.sin(angle)]).ravel()

    if n < 16:
        raise ValueError(f"n must be at least 16, got {n}")
    u, rest = uniform(n), n % 16  # (n,)
    z = np.append(normal(u[: n - rest]), np.zeros(rest))  # (n,)
    if rest:  # a last block that is not whole: 16 anew, from the end
        z[-16:] = normal(uniform(16))
    return z


ALPHABET = "\n !$&',-.3:;?" + string.ascii_uppercase + string.ascii_lowercase
FIRST_BATCH = ("Let's hea", "for that ", "nt that h", "MEO:\nI pa")


def mean_loss(table: np.ndarray, texts: tuple[str, ...]) -> float:
    """Mean -ln softmax(row of a letter)[the next letter], table (65, 65) of logits."""
    ids = np.array([[ALPHABET.index(c) for c in text] for text in texts])  # (B, T + 1)
    logits = table[ids[:, :-1]]  # (B, T, 65)
    chosen = np.take_along_axis(logits, ids[:, 1:, None], axis=2)  # (B, T, 1)
    # ln sum_k e^(z_k) - z_y
    return float((np.log(np.exp(logits).sum(axis=2)) - chosen[..., 0]).mean())


# %% [markdown]
# ## Why scores are divided
# The product of two vectors of $d$ independent numbers of mean 0 and variance 1 has
# variance $d$. A softmax of such scores is all but one-hot when $d$ is large, and there
# its gradient is all but zero.


# %%
def softmax(z: np.ndarray) -> np.ndarray:
    """Shares along the last axis: the shape of z."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))  # (..., T)
    return e / e.sum(axis=-1, keepdims=True)


def largest_weight(
    d: int, divide_by: float, rng: np.random.Generator, keys: int = 16, n: int = 1000
) -> float:
    """Mean over n draws of the largest weight that a random query gives to its keys."""
    q = rng.standard_normal((n, 1, d))  # (n, 1, d)
    k = rng.standard_normal((n, keys, d))  # (n, keys, d)
    scores = (q * k).sum(axis=2) / divide_by  # (n, keys)
    return float(softmax(scores).max(axis=1).mean())


# %%
def draw_largest() -> None:
    """Mean of the largest of 16 attention weights against the size of the head.

    Undivided scores: it climbs from 0.2 at size 1 to 0.92 at 256. Divided by the root
    of the head's size it is level near 0.24. Divided by the root of the whole width,
    with six heads, it is level near 0.12, not far above an even share of 1/16.
    """
    import matplotlib.pyplot as plt

    sizes = 2 ** np.arange(9)
    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    for label, line, factor in (
        ("not divided", "o-", None),
        ("by the root of the head's size", "s--", 1),
        ("by the root of the width, six heads", "^:", 6),
    ):
        rng = np.random.default_rng(0)
        by = [1.0 if factor is None else math.sqrt(factor * d) for d in sizes]
        y = [largest_weight(d, b, rng) for d, b in zip(sizes, by, strict=True)]
        ax.plot(sizes, y, line, label=label)
    ax.axhline(1 / 16, color="C3", lw=1, label="even shares")
    ax.set_xscale("log", base=2)
    ax.set(xlabel="size of the head", ylabel="largest weight", ylim=(0, 1))
    ax.set_xticks(sizes, [str(d) for d in sizes])
    ax.legend()


# %% tags=["active-ipynb"]
# draw_largest()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    table = torch_randn(65 * 65, seed=1337).reshape(65, 65)
    scores = np.array([0.1, -0.2, 0.3, -0.2, 0.5])  # (5,)
    embedding = WITHOUT_BIAS.vocab * WITHOUT_BIAS.width
    out: dict[str, float] = {
        "letters": len(ALPHABET),
        "id_of_h": ALPHABET.index("h"),
        "loss_of_table": mean_loss(table, FIRST_BATCH),
        "ln_65": math.log(65),
        "weight": float(softmax(scores)[4]),
        "weight_times_8": float(softmax(8 * scores)[4]),
        "parameters_lecture": parameters(LECTURE),
        "millions_lecture": parameters(LECTURE) / 1e6,
        "millions_colab": parameters(COLAB) / 1e6,
        "block_lecture": block_parameters(LECTURE),
        "parameters_without_bias": parameters(WITHOUT_BIAS),
        "block_without_bias": block_parameters(WITHOUT_BIAS),
        "embedding_percent": 100 * embedding / parameters(WITHOUT_BIAS),
        "padded": parameters(replace(GPT2, vocab=50304)),
        "operations": forward_operations(GPT2),
        "operations_per_parameter": forward_operations(GPT2) / 1024 / parameters(GPT2),
    }
    for name, sizes in FAMILY.items():
        out[f"parameters_{name}"] = parameters(sizes)
        out[f"millions_{name}"] = parameters(sizes) / 1e6
    for name, by in (("undivided", 1.0), ("by_head", 8.0), ("by_width", 384**0.5)):
        runs = [largest_weight(64, by, np.random.default_rng(s)) for s in range(5)]
        out[f"largest_{name}_median"] = float(np.median(runs))
        out[f"largest_{name}_min"], out[f"largest_{name}_max"] = min(runs), max(runs)
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
