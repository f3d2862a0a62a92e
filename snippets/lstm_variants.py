# %% [markdown]
r"""
# LSTM variants: peepholes, coupled gates, GRU

One step of each of the three cells that the source draws beside the LSTM, the number of
parameters of each, and what to change before the drawn GRU agrees with a library's.

**Source:** Christopher Olah, *Understanding LSTM Networks* (2015), section *Variants on
Long Short Term Memory*: the equations in its three drawings.

| symbol | name | shape |
| --- | --- | --- |
| $B, m, n$ | batch size, inputs, units | |
| $x_t$ (`x`) | input | $(B, m)$ |
| $h_t$ (`h`) | output | $(B, n)$ |
| $C_t$ (`C`) | cell state; the GRU has none | $(B, n)$ |
| $f_t, i_t, o_t$ | forget gate, input gate, output gate | $(B, n)$ |
| $z_t, r_t$ | update gate and reset gate of the GRU | $(B, n)$ |
| $\tilde C_t, \tilde h_t$ | candidates | $(B, n)$ |
| $W_f, W_i, W_o$ | with peepholes, on $[C, h, x]$ | $(n, 2n + m)$ |
| other $W$ | on $[h, x]$ | $(n, n + m)$ |

**Differs from the source:** a batch of rows in place of one column vector. The diagonal
peephole (only counted) and PyTorch's form of the GRU are added for comparison.

**Checked against:** the LSTM of `lstm.py` (peephole weights zero; input gate forced to
$1 - f$), `torch.nn.GRU`, twins written in torch, and `numel()` (1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Callable

import numpy as np

Params = dict[str, np.ndarray]

# %% [markdown]
# ## Peephole connections
# Each gate also looks at the belt. Mind the time index in the drawing: the forget gate
# and the input gate see the *old* cell, because the new one does not exist yet. The
# output gate sees the *new* one.


# %%
def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), written so that no z overflows."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def check(W: np.ndarray, x: np.ndarray, **states: np.ndarray) -> None:
    """Raises ValueError unless x is (B, m) and each state (B, n), for W (n, n + m)."""
    n, n_plus_m = W.shape
    if x.ndim != 2 or x.shape[1] != n_plus_m - n:
        raise ValueError(f"x has shape {x.shape}, expected (B, {n_plus_m - n})")
    for name, state in states.items():
        if state.shape != (len(x), n):
            wanted = (len(x), n)
            raise ValueError(f"{name} has shape {state.shape}, expected {wanted}")


def peephole_step(
    p: Params, x: np.ndarray, h_prev: np.ndarray, C_prev: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """LSTM with full peepholes: x (B, m), h_prev and C_prev (B, n) -> h, C."""
    check(p["W_C"], x, h_prev=h_prev, C_prev=C_prev)
    hx = np.concatenate([h_prev, x], axis=1)  # [h_{t-1}, x_t]  (B, n + m)
    Chx = np.concatenate([C_prev, hx], axis=1)  # [C_{t-1}, h_{t-1}, x_t]  (B, 2n + m)
    # f_t = sigma(W_f . [C_{t-1}, h_{t-1}, x_t] + b_f)
    f = sigmoid(Chx @ p["W_f"].T + p["b_f"])  # (B, n)
    # i_t = sigma(W_i . [C_{t-1}, h_{t-1}, x_t] + b_i)
    i = sigmoid(Chx @ p["W_i"].T + p["b_i"])  # (B, n)
    # C~_t = tanh(W_C . [h_{t-1}, x_t] + b_C)      no peephole: a layer, not a gate
    C_tilde = np.tanh(hx @ p["W_C"].T + p["b_C"])  # (B, n)
    # C_t = f_t * C_{t-1} + i_t * C~_t
    C = f * C_prev + i * C_tilde  # (B, n)
    # o_t = sigma(W_o . [C_t, h_{t-1}, x_t] + b_o)
    Chx = np.concatenate([C, hx], axis=1)  # the new cell this time  (B, 2n + m)
    o = sigmoid(Chx @ p["W_o"].T + p["b_o"])  # (B, n)
    return o * np.tanh(C), C


# %% [markdown]
# ## Coupled forget and input gates
# One gate decides both: room is made exactly where something new is written. The cell
# becomes a weighted average of old content and candidate, so unlike the LSTM's it stays
# within $(-1, 1)$ once it is there. The price: a gate that holds well hardly lets
# anything in.


# %%
def coupled_step(
    p: Params, x: np.ndarray, h_prev: np.ndarray, C_prev: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """LSTM with i = 1 - f: x (B, m), h_prev and C_prev (B, n) -> h, C."""
    check(p["W_C"], x, h_prev=h_prev, C_prev=C_prev)
    hx = np.concatenate([h_prev, x], axis=1)  # [h_{t-1}, x_t]  (B, n + m)
    f = sigmoid(hx @ p["W_f"].T + p["b_f"])  # (B, n)
    C_tilde = np.tanh(hx @ p["W_C"].T + p["b_C"])  # (B, n)
    # C_t = f_t * C_{t-1} + (1 - f_t) * C~_t
    C = f * C_prev + (1 - f) * C_tilde  # (B, n)
    o = sigmoid(hx @ p["W_o"].T + p["b_o"])  # (B, n)
    return o * np.tanh(C), C


# %% [markdown]
# ## Gated recurrent unit
# No cell beside $h$, no output gate, and in the drawing no biases. Here $z$ near 1
# *replaces* the old state. The reset gate acts on $h_{t-1}$ *before* the weights mix
# its components.


# %%
def gru_step(p: Params, x: np.ndarray, h_prev: np.ndarray) -> np.ndarray:
    """GRU as drawn: x (B, m), h_prev (B, n) -> h (B, n)."""
    check(p["W"], x, h_prev=h_prev)
    hx = np.concatenate([h_prev, x], axis=1)  # [h_{t-1}, x_t]  (B, n + m)
    # z_t = sigma(W_z . [h_{t-1}, x_t])
    z = sigmoid(hx @ p["W_z"].T)  # (B, n)
    # r_t = sigma(W_r . [h_{t-1}, x_t])
    r = sigmoid(hx @ p["W_r"].T)  # (B, n)
    # h~_t = tanh(W . [r_t * h_{t-1}, x_t])
    rhx = np.concatenate([r * h_prev, x], axis=1)  # (B, n + m)
    h_tilde = np.tanh(rhx @ p["W"].T)  # (B, n)
    # h_t = (1 - z_t) * h_{t-1} + z_t * h~_t
    return (1 - z) * h_prev + z * h_tilde


# %% [markdown]
# ## The libraries' GRU
# PyTorch differs twice. Its $z$ near 1 *keeps* the old state; since $1 - \sigma(a) =
# \sigma(-a)$, negating $W_z$ converts that exactly. And it multiplies by $r$ *after*
# the recurrent product: $r * (W h)$ in place of $W (r * h)$. That is another function:
# in general no change of weights turns one into the other. Keras offers both under the
# name `reset_after`.


# %%
def gru_step_keep(
    p: Params, x: np.ndarray, h_prev: np.ndarray, reset_after: bool = True
) -> np.ndarray:
    """GRU whose z keeps; with reset_after, PyTorch's without biases. -> h (B, n)."""
    check(p["W"], x, h_prev=h_prev)
    n = h_prev.shape[1]
    hx = np.concatenate([h_prev, x], axis=1)  # (B, n + m)
    z = sigmoid(hx @ p["W_z"].T)  # (B, n)
    r = sigmoid(hx @ p["W_r"].T)  # (B, n)
    W_hh, W_xh = p["W"][:, :n], p["W"][:, n:]  # (n, n), (n, m)
    recurrent = r * (h_prev @ W_hh.T) if reset_after else (r * h_prev) @ W_hh.T
    h_tilde = np.tanh(recurrent + x @ W_xh.T)  # (B, n)
    # h_t = z_t * h_{t-1} + (1 - z_t) * h~_t
    return z * h_prev + (1 - z) * h_tilde


def to_keep(p: Params) -> Params:
    """Weights of the drawn GRU -> weights of a GRU whose z keeps: negate W_z."""
    return {**p, "W_z": -p["W_z"]}


# %% [markdown]
# ## Parameters


# %%
def shapes(cell: str, n: int, m: int) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter of a cell with n units and m inputs, as drawn.

    Raises:
        ValueError: unknown cell; n or m below 1.
    """
    for name, size in (("n", n), ("m", m)):
        if size < 1:
            raise ValueError(f"{name} is {size}, expected at least 1")
    hx, Chx = n + m, 2 * n + m
    weights = {  # how much of the concatenation each learned layer sees
        "rnn": {"W": hx},
        "lstm": {"W_f": hx, "W_i": hx, "W_C": hx, "W_o": hx},
        "coupled": {"W_f": hx, "W_C": hx, "W_o": hx},
        "peephole": {"W_f": Chx, "W_i": Chx, "W_C": hx, "W_o": Chx},
        "peephole_diagonal": {"W_f": hx, "W_i": hx, "W_C": hx, "W_o": hx},
        "gru": {"W_z": hx, "W_r": hx, "W": hx},
    }
    if cell not in weights:
        raise ValueError(f"cell is {cell!r}, expected one of {', '.join(weights)}")
    out: dict[str, tuple[int, ...]] = {}
    for name, width in weights[cell].items():
        out[name] = (n, width)
        if cell != "gru":  # drawn without biases
            out[name.replace("W", "b")] = (n,)
    if cell == "peephole_diagonal":  # one weight per unit and gate: C_k to gate k
        out |= {"p_f": (n,), "p_i": (n,), "p_o": (n,)}
    return out


def init_params(cell: str, n: int, m: int, rng: np.random.Generator) -> Params:
    """All parameters of a cell, uniform in +-1/sqrt(n)."""
    bound = 1 / np.sqrt(n)
    return {
        name: rng.uniform(-bound, bound, shape)
        for name, shape in shapes(cell, n, m).items()
    }


def count(cell: str, n: int, m: int) -> int:
    """Number of parameters."""
    return sum(int(np.prod(shape)) for shape in shapes(cell, n, m).values())


# %% [markdown]
# ## How much the place of the reset gate matters
# The same random weights and inputs through both forms, 200 times. The gap is the
# largest difference between the two outputs over 7 steps and 4 units.


# %%
def gru_gaps(reset_after: bool, n_draws: int = 200) -> np.ndarray:
    """Largest |drawn GRU - converted GRU| for each draw of weights: (n_draws,)."""
    rng = np.random.default_rng(0)
    gaps = np.zeros(n_draws)
    for draw in range(n_draws):
        p = init_params("gru", 4, 3, rng)
        drawn = kept = np.zeros((1, 4))  # (B, n)
        for x in rng.standard_normal((7, 1, 3)):  # (B, m)
            drawn = gru_step(p, x, drawn)
            kept = gru_step_keep(to_keep(p), x, kept, reset_after)
            gaps[draw] = max(gaps[draw], np.abs(drawn - kept).max())
    return gaps


def kept_at_full_update(step: Callable) -> float:
    """Share of the old state that survives a step whose z is 1 and candidate 0."""
    p = {name: np.zeros(shape) for name, shape in shapes("gru", 1, 1).items()}
    p["W_z"] += 1000.0
    old = np.ones((1, 1))
    return float(step(p, np.ones((1, 1)), old)[0, 0])


# %% [markdown]
# ## Figures


# %%
def draw_parameters() -> None:
    """Six bars, the parameters of each cell with 100 units and 28 inputs. The plain RNN
    has the fewest; GRU and coupled gates have about three times as many, the LSTM four
    times. Diagonal peepholes add almost nothing, full ones more than half of an LSTM.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    labels = {
        "rnn": "plain RNN",
        "gru": "GRU as drawn, no biases",
        "coupled": "coupled gates",
        "lstm": "LSTM",
        "peephole_diagonal": "peepholes, diagonal",
        "peephole": "peepholes, full as drawn",
    }
    counts = [count(cell, 100, 28) for cell in labels]
    bars = ax.barh(list(labels.values()), counts)
    ax.bar_label(bars, [f"{c:,}" for c in counts], padding=4)
    ax.invert_yaxis()
    ax.set(xlabel="parameters (100 units, 28 inputs)", xlim=(0, 1.18 * max(counts)))


# %% tags=["active-ipynb"]
# draw_parameters()


# %%
def draw_reset_order() -> None:
    """A histogram of 200 gaps between a GRU that resets before the product and one that
    resets after it. Most lie near 0.02, a few reach beyond 0.05, and none is zero.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.0), layout="constrained")
    ax.hist(gru_gaps(reset_after=True), bins=np.linspace(0, 0.12, 41))
    ax.set(xlabel="largest difference of the outputs over 7 steps")
    ax.set(ylabel="draws out of 200", xlim=(0, 0.12))


# %% tags=["active-ipynb"]
# draw_reset_order()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {}
    cells = ("rnn", "gru", "coupled", "lstm", "peephole_diagonal", "peephole")
    for n, m in ((100, 28), (100, 100)):
        for cell in cells:
            out[f"parameters_{cell}_n{n}_m{m}"] = count(cell, n, m)
    out["lstm_to_rnn_ratio"] = count("lstm", 100, 28) / count("rnn", 100, 28)
    # what a coupled gate lets in while its bias of 5 keeps the belt at 0.993
    out["coupled_lets_in_b5"] = sigmoid(np.float64(-5.0))

    out["gru_kept_at_z1"] = kept_at_full_update(gru_step)
    out["gru_kept_at_z1_pytorch"] = kept_at_full_update(gru_step_keep)
    out["z_conversion_gap_max"] = gru_gaps(reset_after=False).max()
    gaps = gru_gaps(reset_after=True)
    out["reset_order_gap_median"] = np.median(gaps)
    out["reset_order_gap_min"] = gaps.min()
    out["reset_order_gap_max"] = gaps.max()
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
