# %% [markdown]
r"""
# Two layer normalizations that are not equal

The one that PyTorch and the paper on layer normalization have, and the one written by
hand in *The Annotated Transformer*, copied from there into many programs. They differ
in what they divide by, twice.

**Source:** Alexander Rush et al., *The Annotated Transformer* (2018; revised in 2022 by
Austin Huang et al.), "Encoder": the class `LayerNorm`.

| symbol | name | shape |
| --- | --- | --- |
| $x$ (`x`) | vectors to be normalized | $(..., d)$ |
| $\mu, \sigma$ | mean of a vector, and root of its mean square about it | $(..., 1)$ |
| $\varepsilon$ (`eps`) | keeps the divisor from zero | |

**Differs from the source:** gain and bias are left out; both versions have them.

**Checked against:** `torch.nn.LayerNorm` and `torch.std` (1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


# %% [markdown]
# ## Two divisors


# %%
def layer_norm(x: Floats, eps: float = 1e-5) -> Floats:
    """PyTorch's: x of shape (..., d), returns the same."""
    mean = x.mean(axis=-1, keepdims=True)  # (..., 1)
    variance = x.var(axis=-1, keepdims=True)  # (..., 1), divided by d
    # y = (x - mu) / sqrt(sigma^2 + eps)
    return (x - mean) / np.sqrt(variance + eps)  # (..., d)


def annotated_layer_norm(x: Floats, eps: float = 1e-6) -> Floats:
    """The source's: x of shape (..., d) with d >= 2, returns the same.

    Raises ValueError if d is below 2.
    """
    if x.shape[-1] < 2:
        raise ValueError(f"x is {x.shape[-1]} wide, want 2 or more")
    mean = x.mean(axis=-1, keepdims=True)  # (..., 1)
    std = x.std(axis=-1, ddof=1, keepdims=True)  # (..., 1), divided by d - 1
    # y = (x - mu) / (sigma sqrt(d / (d - 1)) + eps)
    return (x - mean) / (std + eps)  # (..., d)


# %% [markdown]
# ## How far apart
# The divisor $d - 1$ shortens every vector by $\sqrt{(d - 1) / d}$: little, and much
# where $d$ is small. The place of $\varepsilon$ shows for vectors that hardly vary.
# Under the root, $10^{-5}$ acts like a spread of 0.003 and swallows what is below it.


# %%
def length_ratio(d: int, spread: float, rng: np.random.Generator) -> float:
    """How long the source's vector is, PyTorch's being 1; entries N(0, spread^2)."""
    x = spread * rng.standard_normal(d)  # (d,)
    return float(
        np.linalg.norm(annotated_layer_norm(x)) / np.linalg.norm(layer_norm(x))
    )


def largest_gap(d: int, n: int, rng: np.random.Generator) -> float:
    """The largest difference of two entries over n vectors from N(0, 1)."""
    x = rng.standard_normal((n, d))  # (n, d)
    return float(np.abs(annotated_layer_norm(x) - layer_norm(x)).max())


# %% [markdown]
# ## Figure


# %%
def draw_spread() -> None:
    """Root mean square of a normalized vector of 512 entries against the spread before,
    on a logarithmic axis. Both curves are near 1 at the right. PyTorch's falls below
    one half near 0.002, the source's only near a millionth.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.0), layout="constrained")
    x = np.random.default_rng(0).standard_normal(512)  # (512,)
    spread = np.logspace(-8, 1, 120)  # (120,)
    vectors = spread[:, None] * x / x.std()  # (120, 512)
    for name, norm in (("PyTorch", layer_norm), ("source", annotated_layer_norm)):
        ax.plot(spread, norm(vectors).std(axis=1), label=name)
    ax.set(xscale="log", xlabel="spread of $x$", ylabel="spread of the result")
    ax.legend()


# %% tags=["active-ipynb"]
# draw_spread()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    result = {}
    for d in (4, 32, 512):
        result[f"factor_d{d}"] = np.sqrt((d - 1) / d)  # what epsilon does left out
        rng = np.random.default_rng(d)
        result[f"length_ratio_d{d}"] = length_ratio(d, 1, rng)
    gaps = [largest_gap(512, 100, np.random.default_rng(seed)) for seed in range(5)]
    result["gap_d512_median"] = np.median(gaps)
    result["gap_d512_min"], result["gap_d512_max"] = min(gaps), max(gaps)
    small = length_ratio(512, 0.001, np.random.default_rng(0))
    result["length_ratio_d512_spread_0_001"] = small
    return {name: float(value) for name, value in result.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
