# %% [markdown]
r"""
# Three GRUs with one name

The GRU of Britz's tutorial, the one that Olah draws and the one in PyTorch, each in its
own notation and layout of weights, and the way from each to the next. Two of the
differences are spelling. One is not: where the reset gate acts.

**Source:** Denny Britz, *Recurrent Neural Network Tutorial, Part 4* (2015), section on
the GRU and the program that goes with it. For comparison: Christopher Olah,
*Understanding LSTM Networks* (2015), drawing of the GRU; the documentation of
`torch.nn.GRU`.

| symbol | name | shape |
| --- | --- | --- |
| $B, m, n$ | batch size, inputs, units | |
| $x$, $s$ or $h$ | input; state, at Britz and elsewhere | $(B, m), (B, n)$ |
| $z, r$ | update gate, reset gate | $(B, n)$ |
| $U, W, b$ | Britz's weights for z, r, h | $(3, m, n), (3, n, n), (3, n)$ |
| $W_z, W_r, W$ | Olah's weights on $[h, x]$ | $(n, n + m)$ |
| `weight_ih`, `weight_hh` | PyTorch's, rows r, z, n | $(3n, m), (3n, n)$ |
| `bias_ih`, `bias_hh` | PyTorch's two biases, rows r, z, n | $(3n)$ |

**Differs from the source:** a batch of rows in place of one row. Biases, which the
source has in its program and not in its formulas, are carried along; Olah draws none,
so `to_olah` refuses them.

**Checked against:** `torch.nn.GRUCell` (1e-10 in float64); `torch.nn.functional`.

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Callable

import numpy as np

Params = dict[str, np.ndarray]

# %% [markdown]
# ## Britz's
# Row vectors, so the weights stand on the right. $z$ near 1 keeps the old state. $r$
# acts on the state *before* the product with $W^h$; with `reset_after` it acts after
# it, as in PyTorch.


# %%
def sigmoid(a: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-a)), written so that no a overflows."""
    return 0.5 * (1 + np.tanh(0.5 * a))


def hard_sigmoid(a: np.ndarray) -> np.ndarray:
    """Theano's stand-in for the sigmoid, which the source's program uses."""
    return np.clip(0.2 * a + 0.5, 0, 1)


def check(x: np.ndarray, state: np.ndarray, m: int, n: int) -> None:
    """Raises ValueError unless x is (B, m) and the state (B, n)."""
    if x.ndim != 2 or x.shape[1] != m:
        raise ValueError(f"x has shape {x.shape}, expected (B, {m})")
    if state.shape != (len(x), n):
        raise ValueError(f"state has shape {state.shape}, expected {(len(x), n)}")


def britz_step(
    p: Params,
    x: np.ndarray,
    s_prev: np.ndarray,
    reset_after: bool = False,
    gate: Callable[[np.ndarray], np.ndarray] = sigmoid,
) -> np.ndarray:
    """The tutorial's GRU: x (B, m), s_prev (B, n) -> s (B, n)."""
    check(x, s_prev, *p["U"].shape[1:])
    (U_z, U_r, U_h), (W_z, W_r, W_h), (b_z, b_r, b_h) = p["U"], p["W"], p["b"]
    # z = sigma(x_t U^z + s_{t-1} W^z)
    z = gate(x @ U_z + s_prev @ W_z + b_z)  # (B, n)
    # r = sigma(x_t U^r + s_{t-1} W^r)
    r = gate(x @ U_r + s_prev @ W_r + b_r)  # (B, n)
    # h = tanh(x_t U^h + (s_{t-1} * r) W^h)
    recurrent = (s_prev @ W_h) * r if reset_after else (s_prev * r) @ W_h  # (B, n)
    h = np.tanh(x @ U_h + recurrent + b_h)  # (B, n)
    # s_t = (1 - z) * h + z * s_{t-1}
    return (1 - z) * h + z * s_prev


# %% [markdown]
# ## Olah's
# Column vectors, so the weights stand on the left; state and input are concatenated.
# $z$ near 1 *replaces* the old state. $r$ acts before the product. No biases.


# %%
def olah_step(p: Params, x: np.ndarray, h_prev: np.ndarray) -> np.ndarray:
    """The drawn GRU: x (B, m), h_prev (B, n) -> h (B, n)."""
    n, n_plus_m = p["W"].shape
    check(x, h_prev, n_plus_m - n, n)
    hx = np.concatenate([h_prev, x], axis=1)  # [h_{t-1}, x_t]  (B, n + m)
    # z_t = sigma(W_z . [h_{t-1}, x_t]);   r_t = sigma(W_r . [h_{t-1}, x_t])
    z, r = sigmoid(hx @ p["W_z"].T), sigmoid(hx @ p["W_r"].T)  # (B, n) each
    # h~_t = tanh(W . [r_t * h_{t-1}, x_t])
    rhx = np.concatenate([r * h_prev, x], axis=1)  # (B, n + m)
    h_tilde = np.tanh(rhx @ p["W"].T)  # (B, n)
    # h_t = (1 - z_t) * h_{t-1} + z_t * h~_t
    return (1 - z) * h_prev + z * h_tilde


# %% [markdown]
# ## PyTorch's
# The three matrices are stacked as rows r, z, n. There are two biases. $z$ near 1 keeps
# the old state, as in the tutorial. $r$ acts *after* the product, and on the second
# bias too.


# %%
def pytorch_step(p: Params, x: np.ndarray, h_prev: np.ndarray) -> np.ndarray:
    """torch.nn.GRUCell: x (B, m), h_prev (B, n) -> h (B, n)."""
    check(x, h_prev, p["weight_ih"].shape[1], p["weight_hh"].shape[1])
    i = x @ p["weight_ih"].T + p["bias_ih"]  # (B, 3n)
    h = h_prev @ p["weight_hh"].T + p["bias_hh"]  # (B, 3n)
    (i_r, i_z, i_n), (h_r, h_z, h_n) = np.split(i, 3, axis=1), np.split(h, 3, axis=1)
    r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)  # (B, n) each
    # n_t = tanh(W_in x_t + b_in + r_t * (W_hn h_{t-1} + b_hn))
    n = np.tanh(i_n + r * h_n)  # (B, n)
    # h_t = (1 - z_t) * n_t + z_t * h_{t-1}
    return (1 - z) * n + z * h_prev


# %% [markdown]
# ## From one to the next
# Between Britz and Olah: join or split the matrices, transpose, and turn the sign of
# all that enters $z$, because $1 - \sigma(a) = \sigma(-a)$. To PyTorch: reorder the
# rows, transpose, and put the bias on the input side. What comes out of `to_pytorch`
# is exact for `reset_after=True` only; in general no weights move a reset gate.


# %%
def to_olah(p: Params) -> Params:
    """Britz's weights -> Olah's.

    Raises:
        ValueError: a bias is not zero, since the drawn GRU has none.
    """
    if p["b"].any():
        raise ValueError(
            "b has entries that are not 0, expected none: Olah has no bias"
        )
    joined = np.concatenate([p["W"], p["U"]], axis=1).mT  # [h, x]  (3, n, n + m)
    return {"W_z": -joined[0], "W_r": joined[1], "W": joined[2]}


def from_olah(p: Params) -> Params:
    """Olah's weights -> Britz's, with biases of zero."""
    n = len(p["W"])
    joined = np.stack([-p["W_z"], p["W_r"], p["W"]]).mT  # (3, n + m, n)
    return {"U": joined[:, n:], "W": joined[:, :n], "b": np.zeros((3, n))}


def to_pytorch(p: Params) -> Params:
    """Britz's weights -> torch.nn.GRUCell's."""
    U, W, b = (p[name][[1, 0, 2]] for name in "UWb")  # r, z, h
    weight_ih, weight_hh = np.concatenate(U.mT), np.concatenate(W.mT)  # (3n, .) each
    bias = b.ravel()  # (3n,)
    ours = {"weight_ih": weight_ih, "weight_hh": weight_hh}
    return {**ours, "bias_ih": bias, "bias_hh": 0 * bias}


# %% [markdown]
# ## What a forgotten step costs
# Random weights, 200 times: the tutorial's GRU beside a copy in which one step of the
# translation is left out, or none. The gap is the largest difference between the states
# over 7 steps and 4 units.


# %%
def init_params(m: int, n: int, rng: np.random.Generator) -> Params:
    """Britz's weights, uniform in +-1/sqrt(n), biases zero.

    Raises:
        ValueError: m or n below 1.
    """
    if m < 1 or n < 1:
        raise ValueError(f"m and n must be at least 1, got {m} and {n}")
    bound = n**-0.5
    U = rng.uniform(-bound, bound, (3, m, n))
    return {"U": U, "W": rng.uniform(-bound, bound, (3, n, n)), "b": np.zeros((3, n))}


def gaps(
    one: Callable[[Params, np.ndarray, np.ndarray], np.ndarray],
    other: Callable[[Params, np.ndarray, np.ndarray], np.ndarray],
    n_draws: int = 200,
) -> np.ndarray:
    """Largest difference of two steps (p, x, state) -> state by draw: (n_draws,)."""
    rng = np.random.default_rng(0)
    out = np.zeros(n_draws)
    for draw in range(n_draws):
        p = init_params(3, 4, rng)
        a = b = np.zeros((1, 4))  # (B, n)
        for x in rng.standard_normal((7, 1, 3)):  # (B, m)
            a, b = one(p, x, a), other(p, x, b)
            out[draw] = max(out[draw], np.abs(a - b).max())
    return out


def sign_kept(p: Params, x: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Olah's step with a z whose sign was not turned."""
    q = to_olah(p)
    return olah_step({**q, "W_z": -q["W_z"]}, x, state)


def rows_kept(p: Params, x: np.ndarray, state: np.ndarray) -> np.ndarray:
    """PyTorch's step with rows left in the order z, r, h."""
    swapped = {name: w[[1, 0, 2]] for name, w in p.items()}
    return pytorch_step(to_pytorch(swapped), x, state)


def cases() -> dict[str, np.ndarray]:
    """The gaps of every translation, complete and incomplete, by name: (200,) each."""

    def after(p: Params, x: np.ndarray, s: np.ndarray) -> np.ndarray:
        return britz_step(p, x, s, reset_after=True)

    def hard(p: Params, x: np.ndarray, s: np.ndarray) -> np.ndarray:
        return britz_step(p, x, s, gate=hard_sigmoid)

    def olah(p: Params, x: np.ndarray, s: np.ndarray) -> np.ndarray:
        return olah_step(to_olah(p), x, s)

    def pytorch(p: Params, x: np.ndarray, s: np.ndarray) -> np.ndarray:
        return pytorch_step(to_pytorch(p), x, s)

    return {
        "to_olah": gaps(britz_step, olah),
        "to_pytorch_reset_after": gaps(after, pytorch),
        "to_pytorch": gaps(britz_step, pytorch),
        "hard_gates": gaps(britz_step, hard),
        "rows_kept": gaps(after, rows_kept),
        "sign_kept": gaps(britz_step, sign_kept),
    }


# %% [markdown]
# ## A GRU with its gates held
# $r = 1$ and $z = 0$: what is left is a plain recurrent network, to the last digit.


# %%
def plain_gap() -> float:
    """Largest difference to a plain tanh network when r = 1 and z = 0."""

    def held(p: Params, x: np.ndarray, s: np.ndarray) -> np.ndarray:
        b = p["b"] + np.array([[-1000.0], [1000.0], [0.0]])  # (3, n)
        return britz_step({**p, "b": b}, x, s)

    def plain(p: Params, x: np.ndarray, s: np.ndarray) -> np.ndarray:
        # s_t = tanh(x_t U + s_{t-1} W)
        return np.tanh(x @ p["U"][2] + s @ p["W"][2])  # (B, n)

    return float(gaps(held, plain).max())


# %% [markdown]
# ## Figure


# %%
def draw_gaps() -> None:
    """Strips of dots on a logarithmic axis, one strip of 200 dots for each of four
    cases. PyTorch's reset order and the hard gates lie around 0.02, rows in the wrong
    order around 0.3, and a sign of z that was not turned around 0.4.
    """
    import matplotlib.pyplot as plt

    labels = {
        "hard_gates": "hard gates",
        "to_pytorch": "reset after the product",
        "rows_kept": "rows in the order z, r, h",
        "sign_kept": "sign of z not turned",
    }
    measured = cases()
    _, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
    jitter = np.random.default_rng(0).uniform(-0.25, 0.25, 200)  # (200,)
    for row, name in enumerate(labels):
        ax.plot(measured[name], row + jitter, ".", color="C0", alpha=0.5)
        ax.plot(np.median(measured[name]), row, "|", color="C1", ms=26, mew=3)
    ax.set_yticks(range(4), list(labels.values()))
    ax.set(xscale="log", xlabel="largest difference of the states over 7 steps")


# %% tags=["active-ipynb"]
# draw_gaps()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {"plain_gap_max": plain_gap()}
    for name, values in cases().items():
        out[f"{name}_median"] = np.median(values)
        out[f"{name}_min"] = values.min()
        out[f"{name}_max"] = values.max()
    # one unit, z = 1, candidate 0: how much of a state of 1 is left?
    p = {"U": np.zeros((3, 1, 1)), "W": np.zeros((3, 1, 1))}
    p["b"] = np.array([[1000.0], [0.0], [0.0]])
    one = np.ones((1, 1))
    out["kept_at_z1"] = britz_step(p, one, one)[0, 0]
    out["kept_at_z1_pytorch"] = pytorch_step(to_pytorch(p), one, one)[0, 0]
    a = np.linspace(-10, 10, 20001)
    out["hard_sigmoid_gap_max"] = np.abs(hard_sigmoid(a) - sigmoid(a)).max()
    pytorch_hard = np.clip(a / 6 + 0.5, 0, 1)  # torch.nn.functional.hardsigmoid
    out["hard_sigmoid_pytorch_gap_max"] = np.abs(hard_sigmoid(a) - pytorch_hard).max()
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
