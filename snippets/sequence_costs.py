# %% [markdown]
r"""
# What a sequence costs: attention, recurrence, scan

The three ways to let the words of a sequence know of each other, run with a tally that
notes every multiplication, every operation that had to wait for another, and the
largest array; and how many steps lie between two positions in each wiring.

**Source:** Ashish Vaswani et al., *Attention Is All You Need* (2017), section 4 and
Table 1; Albert Gu and Tri Dao, *Mamba* (2023), eq. 2 and Algorithm 2; Guy Blelloch,
*Prefix Sums and Their Applications* (1990), for the scan.

| symbol | name | shape |
| --- | --- | --- |
| $n, d, N$ | length, width, states per channel | |
| $x$ (`x`) | the sequence, one row per position | $(n, d)$ |
| $W_q, W_k, W_v, W_o$ | projections of attention | $(d, d)$ |
| $W_{xh}, W_{hh}$ | weights of the recurrence | $(d, d)$ |
| $A$ | rates of decay, negative | $(d, N)$ |
| $W_\Delta, W_B, W_C$ | make step, writing and reading from $x$ | $(d, d)$, $(d, N)$ |
| $\bar A, \bar B x$ (`decay`, `write`) | kept and added | $(n, d, N)$ |

**Differs from the source:** one head, no biases; Mamba's selection has its projection
of the step at full rank, and the block around it is left out. Exponentials, divisions
and sums are not counted.

**Checked against:** `torch.nn.functional.scaled_dot_product_attention`, `torch.nn.RNN`
and a loop over single states (1e-10 in float64); the counts against the same layers run
on numbers that count their own multiplications, and against PyTorch's counter; the
paths against `scipy.sparse.csgraph.shortest_path` (all equal).

**Takes:** about 1 s on one core.
"""

# %%
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

Weights = dict[str, np.ndarray]

# %% [markdown]
# ## The tally
# Two ways to multiply, and both leave a note. `rounds` counts the calls, which come one
# after the other: how they grow with the length no number of processors can change.
# (Queries, keys and values could go side by side. That changes a constant.)


# %% The tally
@dataclass
class Tally:
    """Notes multiplications, operations one after the other, and the largest array."""

    multiplications: int = 0
    rounds: int = 0
    largest: int = 0

    def matmul(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """a @ b for a (..., k) and b (k, m)."""
        return self.note(a @ b, a.shape[-1])  # (..., m), k products for each entry

    def times(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """a * b, entry by entry, broadcast."""
        return self.note(a * b, 1)  # the broadcast shape, one product for each entry

    def note(self, out: np.ndarray, each: int) -> np.ndarray:
        """Add a result whose entries took so many multiplications each."""
        self.multiplications += out.size * each
        self.rounds += out.size > 0
        self.largest = max(self.largest, out.size)
        return out


def random_weights(n: int, d: int, N: int, rng: np.random.Generator) -> Weights:
    """A sequence x (n, d) and weights for the three layers.

    Raises ValueError if n, d or N is below 1.
    """
    if min(n, d, N) < 1:
        raise ValueError(f"n, d and N must be at least 1, got {n}, {d} and {N}")
    wide, narrow = ("q", "k", "v", "o", "xh", "hh", "delta"), ("B", "C")
    p = {name: rng.standard_normal((d, d)) / d**0.5 for name in wide}
    p |= {name: rng.standard_normal((d, N)) / d**0.5 for name in narrow}
    p["A"] = -np.tile(np.arange(1.0, N + 1), (d, 1))  # (d, N), S4D-Real
    return p | {"x": rng.standard_normal((n, d))}


# %% [markdown]
# ## Attention
# Every position asks all earlier ones. The mask throws half of the scores away after
# they have been computed.


# %% Attention
def attend(tally: Tally, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """softmax(q k^T / sqrt(d)) v, causal: the last row of q sees all of k."""
    scores = tally.matmul(q, k.T) / k.shape[1] ** 0.5  # (rows, n)
    hidden = np.tri(len(q), len(k), len(k) - len(q)) == 0  # (rows, n)
    scores = np.where(hidden, -np.inf, scores)  # (rows, n)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))  # (rows, n)
    return tally.matmul(weights / weights.sum(axis=1, keepdims=True), v)  # (rows, d)


def attention(tally: Tally, p: Weights) -> np.ndarray:
    """The whole layer, all positions at once: projections, attention, projection."""
    q, k, v = (tally.matmul(p["x"], p[name]) for name in "qkv")  # (n, d) each
    return tally.matmul(attend(tally, q, k, v), p["o"])  # (n, d)


def generate(tally: Tally, p: Weights, cache: bool = True) -> np.ndarray:
    """The same layer word by word, with the keys and values kept or made anew."""
    rows: list[np.ndarray] = []
    keys, values = p["x"][:0], p["x"][:0]  # (0, d)
    for t in range(1, len(p["x"]) + 1):
        if not cache:
            rows.append(attention(tally, p | {"x": p["x"][:t]})[-1])  # (d,)
            continue
        q, k, v = (tally.matmul(p["x"][t - 1 : t], p[name]) for name in "qkv")  # (1, d)
        keys, values = np.vstack([keys, k]), np.vstack([values, v])  # (t, d)
        rows.append(tally.matmul(attend(tally, q, keys, values), p["o"])[0])  # (d,)
    return np.stack(rows)  # (n, d)


# %% [markdown]
# ## Recurrence
# The products with the inputs can be made at once, the states only in a chain.


# %% Recurrence
def recurrence(tally: Tally, p: Weights) -> np.ndarray:
    """h_t = tanh(W_xh x_t + W_hh h_{t-1}): all states (n, d)."""
    inputs = tally.matmul(p["x"], p["xh"])  # (n, d)
    h, states = np.zeros(p["x"].shape[1]), []  # (d,)
    for a in inputs:
        h = np.tanh(a + tally.matmul(h, p["hh"]))  # (d,)
        states.append(h)
    return np.stack(states)  # (n, d)


# %% [markdown]
# ## Scan
# The same chain without the tanh: each step is $h \mapsto \bar A h + \bar B x$. Two
# such steps, one after the other, are again such a step: pairs can be joined first.


# %% Scan
def chain(tally: Tally, decay: np.ndarray, write: np.ndarray) -> np.ndarray:
    """h_t = decay_t h_{t-1} + write_t from h = 0, one after the other: (n, d, N)."""
    h, states = np.zeros(write.shape[1:]), []  # (d, N)
    for a, b in zip(decay, write, strict=True):
        h = tally.times(a, h) + b  # (d, N)    (Mamba, eq. 2a)
        states.append(h)
    return np.stack(states)  # (n, d, N)


def scan(tally: Tally, decay: np.ndarray, write: np.ndarray) -> np.ndarray:
    """The same states, by joining neighbours and scanning half as many."""
    if len(write) == 1:
        return write
    first, second = slice(0, len(write) - 1, 2), slice(1, None, 2)
    # a_2 (a_1 h + b_1) + b_2 = (a_2 a_1) h + (a_2 b_1 + b_2)
    a = tally.times(decay[second], decay[first])  # (n // 2, d, N)
    b = tally.times(decay[second], write[first]) + write[second]  # (n // 2, d, N)
    states = np.copy(write)  # (n, d, N)
    states[second] = scan(tally, a, b)
    rest = tally.times(decay[2::2], states[1:-1:2])  # ((n - 1) // 2, d, N)
    states[2::2] += rest
    return states


def selective(tally: Tally, p: Weights, run: Callable = scan) -> np.ndarray:
    """y_t = C_t h_t with step, writing and reading made from x_t: (n, d)."""
    step = np.logaddexp(0, tally.matmul(p["x"], p["delta"]))  # softplus  (n, d)
    B, C = tally.matmul(p["x"], p["B"]), tally.matmul(p["x"], p["C"])  # (n, N) each
    decay = np.exp(tally.times(step[:, :, None], p["A"]))  # (n, d, N)
    write = tally.times(tally.times(step, p["x"])[:, :, None], B[:, None])  # (n, d, N)
    h = run(tally, decay, write)  # (n, d, N)
    return tally.times(h, C[:, None]).sum(axis=2)  # (n, d)    (Mamba, eq. 2b)


# %% [markdown]
# ## Paths
# A wiring says from how far back a position hears in one step. How many steps until the
# last position has heard of the first?


# %% Paths
def path_length(distance: int, offsets: Callable[[int], Iterable[int]]) -> int:
    """Steps until a position hears of one so many places before it.

    offsets: number of the step, from 0 -> how far back each position hears in it.
    Raises ValueError if distance is below 1 or a step carries nothing further.
    """
    if distance < 1:
        raise ValueError(f"distance must be at least 1, got {distance}")
    heard = np.arange(distance + 1) == 0  # (distance + 1,)
    steps = 0
    while not heard[-1]:
        now = heard.copy()  # (distance + 1,)
        for back in offsets(steps):
            now[back:] |= heard[: max(0, len(heard) - back)]
        if np.array_equal(now, heard):
            raise ValueError(f"step {steps} carries nothing further: path has no end")
        heard, steps = now, steps + 1
    return steps


WIRINGS: dict[str, Callable[[int], Iterable[int]]] = {
    "attention": lambda step: range(1, 10_000),  # far enough for what we ask
    "recurrence": lambda step: [1],
    "window": lambda step: range(1, 64),  # 64 positions, itself among them
    "convolution": lambda step: (1, 2),  # kernel 3
    "dilated": lambda step: (3**step, 2 * 3**step),  # kernel 3, ever wider
    "scan": lambda step: [2**step],  # joined pairs, pairs of pairs
}

# %% [markdown]
# ## Measuring


# %% Measuring
LAYERS: dict[str, Callable[[Tally, Weights], np.ndarray]] = {
    "attention": attention,
    "recurrence": recurrence,
    "chain": lambda tally, p: selective(tally, p, chain),
    "scan": selective,
    "generate": generate,
    "recompute": lambda tally, p: generate(tally, p, cache=False),
    "core": lambda tally, p: attend(tally, p["x"], p["x"], p["x"]),
}


def measure(layer: str, n: int, d: int = 16, N: int = 4) -> Tally:
    """The tally of one run.

    Raises ValueError if layer is not in LAYERS or a size is below 1.
    """
    if layer not in LAYERS:
        raise ValueError(f"layer must be one of {', '.join(LAYERS)}, got {layer!r}")
    tally = Tally()
    LAYERS[layer](tally, random_weights(n, d, N, np.random.default_rng(0)))
    return tally


def exponent(layer: str, grown: str) -> float:
    """p where the multiplications grow as the p-th power of n, d or N: doubled once."""
    sizes = {"n": 32, "d": 32, "N": 8}
    before, after = sizes, sizes | {grown: 2 * sizes[grown]}
    ratio = measure(layer, **after).multiplications
    return math.log2(ratio / measure(layer, **before).multiplications)


def longest_cheaper(layer: str, gates: int, d: int = 16) -> int:
    """Longest n at which `layer` costs no more than a recurrence of so many gates.

    Raises ValueError where `measure` does, or if none up to 8 d + 1 costs more.
    """
    n = 0
    while n <= 8 * d:
        limit = gates * measure("recurrence", n + 1, d).multiplications
        if measure(layer, n + 1, d).multiplications > limit:
            return n
        n += 1
    raise ValueError(f"still cheaper at {n} positions with {gates} gates")


# %% [markdown]
# ## Figures


# %%
def draw_costs() -> None:
    """Two panels against the length from 8 to 512, both axes logarithmic. Left,
    multiplications per position at width 64: attention begins flat and bends upward,
    recurrence and scan are flat lines. Right, operations one after the other:
    recurrence rises as the length, the scan slowly, attention stays at six.
    """
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), layout="constrained")
    lengths = [2**i for i in range(3, 10)]
    for name in ("attention", "recurrence", "scan"):
        runs = [measure(name, n, 64, 16) for n in lengths]
        work = [run.multiplications / n for run, n in zip(runs, lengths, strict=True)]
        axes[0].plot(lengths, work, label=name)
        axes[1].plot(lengths, [run.rounds for run in runs], label=name)
    axes[0].set(ylabel="multiplications per position", ylim=(5e3, 2e5))
    axes[1].set(ylabel="operations one after the other")
    for ax in axes:
        ax.set(xscale="log", yscale="log", xlabel="length $n$")
    axes[0].legend()


# %% tags=["active-ipynb"]
# draw_costs()


# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {}
    for layer, grown in (("core", "n"), ("core", "d"), ("chain", "n")):
        out[f"exponent_{layer}_{grown}"] = exponent(layer, grown)
    for grown in ("n", "d"):
        out[f"exponent_recurrence_{grown}"] = exponent("recurrence", grown)
    for layer in ("attention", "recurrence", "chain", "scan", "generate", "recompute"):
        for n in (64, 128):
            run = measure(layer, n)
            out[f"{layer}_work_{n}"] = run.multiplications
            out[f"{layer}_rounds_{n}"] = run.rounds
            out[f"{layer}_largest_{n}"] = run.largest
        ratio = out[f"{layer}_rounds_128"] / out[f"{layer}_rounds_64"]
        out[f"exponent_{layer}_rounds"] = math.log2(ratio)
    work = {layer: out[f"{layer}_work_64"] for layer in LAYERS if layer != "core"}
    out["recompute_over_generate_64"] = work["recompute"] / work["generate"]
    out["generate_over_attention_64"] = work["generate"] / work["attention"]
    extra = (work["scan"] - work["chain"]) / (16 * 4)  # per state
    out["chain_products_64"], out["scan_products_64"] = 64, 64 + extra
    for name, gates in (("plain", 1), ("gru", 3), ("lstm", 4)):
        out[f"core_crossing_{name}"] = longest_cheaper("core", gates) / 16
        out[f"layer_crossing_{name}"] = longest_cheaper("attention", gates) / 16
    for name in ("attention", "recurrence", "window", "convolution"):
        near, far = (path_length(distance, WIRINGS[name]) for distance in (630, 6300))
        out[f"path_{name}_630"], out[f"path_exponent_{name}"] = (
            near,
            math.log10(far / near),
        )
    out["signal_left_after_630"] = 0.99**630  # 99 % kept in each step
    # from the first to the last of 729 or 4,096 positions
    out["path_dilated_728"] = path_length(728, WIRINGS["dilated"])
    out["path_scan_4095"] = path_length(4095, WIRINGS["scan"])
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
