# %% [markdown]
r"""
# Bidirectional recurrent layers, stacked, with gradients by hand

A recurrent layer, the same layer run from the end, both joined, and layers on top of
each other; then: how strongly does each input move the output in the middle?

**Source:** Andriy Burkov, *The Hundred-Page Machine Learning Book* (2019), chapter 6,
section 6.2.2 and figure 9. The bidirectional layer is only named there; this is the
standard one.

| symbol | name | shape |
| --- | --- | --- |
| $T$, $d$, $n$ | steps, inputs, units per direction | |
| $x^t$ (`x[t]`) | input at step $t$ | $(d)$ |
| $h^t$ (`h[t]`) | state after step $t$; before the first it is zero | $(n)$ |
| $w, u, b$ | weights of the input, of the state before, bias | $(n, d), (n, n), (n)$ |
| $V, c$ | weights and bias of the output | $(k, n), (k)$ |

**Differs from the source:** whole layers at once, where the source writes one unit $u$
of layer $l$.

**Checked against:** `torch.nn.RNN`, one and two layers, `bidirectional=True`; torch
autograd (1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Callable

import numpy as np

Params = dict[str, np.ndarray]  # w, u, b

# %% [markdown]
# ## One direction
# Forward, and a `backward` that walks the same steps from the end. Beware of the
# letters: here $u$ is the *recurrent* weight.


# %% One direction
def layer(p: Params, x: np.ndarray) -> tuple[np.ndarray, Callable]:
    """Inputs x (T, d) -> states (T, n), and `backward`.

    Raises ValueError where x does not fit the weights.
    """
    n, d = p["w"].shape
    if x.ndim != 2 or len(x) == 0 or x.shape[1] != d:
        raise ValueError(f"x has shape {x.shape}, expected (T, {d}) with T >= 1")
    h = np.zeros((len(x) + 1, n))  # (T + 1, n); h[-1] is the zero before the first step
    for t in range(len(x)):
        # h^t <- tanh(w x^t + u h^{t-1} + b)
        h[t] = np.tanh(p["w"] @ x[t] + p["u"] @ h[t - 1] + p["b"])  # (n,)

    def backward(dh: np.ndarray) -> tuple[Params, np.ndarray]:
        """Loss gradient of the states (T, n) -> those of the weights, x (T, d)."""
        da, later = np.zeros_like(dh), np.zeros(n)  # (T, n), (n,)
        for t in reversed(range(len(x))):
            da[t] = (dh[t] + later) * (1 - h[t] ** 2)  # (n,)
            later = p["u"].T @ da[t]  # what step t sends to t - 1: (n,)
        before = h[np.arange(len(x)) - 1]  # h^{t-1}: (T, n)
        return {"w": da.T @ x, "u": da.T @ before, "b": da.sum(axis=0)}, da @ p["w"]

    return h[:-1], backward


# %% [markdown]
# ## Both directions
# The second layer reads the sequence from the end. Its states are turned round again,
# so that row $t$ belongs to step $t$, and stand beside those of the first.


# %% Both directions
def bidirectional(
    ahead: Params, back: Params, x: np.ndarray
) -> tuple[np.ndarray, Callable]:
    """x (T, d) -> states of both directions side by side (T, 2 n), and `backward`."""
    h_ahead, backward_ahead = layer(ahead, x)  # (T, n)
    h_back, backward_back = layer(back, x[::-1])  # (T, n)
    n = h_ahead.shape[1]

    def backward(dh: np.ndarray) -> tuple[list[Params], np.ndarray]:
        """Loss gradient of the states (T, 2 n) -> weights [ahead, back], x (T, d)."""
        g_ahead, dx = backward_ahead(dh[:, :n])  # (T, d)
        g_back, dx_turned = backward_back(dh[::-1, n:])  # (T, d)
        return [g_ahead, g_back], dx + dx_turned[::-1]

    # h^t = [h_ahead^t, h_back^t]
    return np.concatenate([h_ahead, h_back[::-1]], axis=1), backward  # (T, 2 n)


# %% [markdown]
# ## On top of each other
# The next layer reads the states of the one below, $2n$ numbers if that one has two
# directions.


# %% On top of each other
def stack(layers: list[list[Params]], x: np.ndarray) -> tuple[np.ndarray, Callable]:
    """Layers of one direction, [p], or two, [ahead, back] -> top states, `backward`.

    Raises ValueError for a layer of another number of directions.
    """
    backs, h = [], x
    for ps in layers:
        if len(ps) not in (1, 2):
            raise ValueError(f"a layer has 1 or 2 directions, got {len(ps)}")
        h, back = bidirectional(*ps, h) if len(ps) == 2 else layer(ps[0], h)
        backs.append(back)

    def backward(dh: np.ndarray) -> tuple[list, np.ndarray]:
        """Loss gradient of the top states -> those of each layer's weights, x."""
        grads = []
        for back in reversed(backs):
            g, dh = back(dh)
            grads.append(g if isinstance(g, list) else [g])
        return grads[::-1], dh

    return h, backward


def softmax(z: np.ndarray) -> np.ndarray:
    """exp(z_j) / sum_k exp(z_k) along the last axis: positive, with sum 1."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))  # exp cannot overflow
    return e / e.sum(axis=-1, keepdims=True)  # the shape of z


# %% [markdown]
# ## Weights and counts


# %%
def init_layers(
    d: int, n: int, n_layers: int, directions: int, rng: np.random.Generator
) -> list[list[Params]]:
    """Weights uniform in +-1/sqrt(n), as in PyTorch.

    Raises ValueError for a size below 1 or another number of directions.
    """
    if min(d, n, n_layers) < 1 or directions not in (1, 2):
        got = f"{d}, {n}, {n_layers} and {directions} directions"
        raise ValueError(f"sizes must be >= 1 and directions 1 or 2, got {got}")
    bound, layers = 1 / np.sqrt(n), []
    for _ in range(n_layers):
        sizes = {"w": (n, d), "u": (n, n), "b": (n,)}
        layers.append(
            [
                {name: rng.uniform(-bound, bound, size) for name, size in sizes.items()}
                for _ in range(directions)
            ]
        )
        d = directions * n  # what the next layer reads
    return layers


def count(layers: list[list[Params]]) -> int:
    """Number of parameters, with one bias per unit."""
    return sum(array.size for ps in layers for p in ps for array in p.values())


# %% [markdown]
# ## How far the middle sees

# %%
STEPS, SEEDS = 11, 5


def reach(layers: list[list[Params]], x: np.ndarray, t: int) -> np.ndarray:
    """Norm of the derivative of the top state at step t by each input: (T,)."""
    h, backward = stack(layers, x)
    squares = np.zeros(len(x))  # (T,)
    for unit in range(h.shape[1]):
        dh = np.zeros_like(h)
        dh[t, unit] = 1
        squares += (backward(dh)[1] ** 2).sum(axis=1)
    return np.sqrt(squares)  # (T,)


def reaches(directions: int) -> np.ndarray:
    """Reach of the middle of 11 steps, one layer of 8 units: (SEEDS, STEPS).

    One direction is the forward half of both, on the same inputs.
    """
    out = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        (both,) = init_layers(3, 8, 1, 2, rng)
        x = rng.standard_normal((STEPS, 3))  # (T, d)
        out.append(reach([both[:directions]], x, STEPS // 2))
    return np.array(out)


# %% [markdown]
# ## Figure


# %%
def draw_reach() -> None:
    """Eleven inputs from left to right, the output is at step 5. One direction: the
    curve rises up to step 5 and ends there. Both directions: the same points up to step
    4, a higher one at step 5, and then it falls again, like a tent on a logarithmic
    axis.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for directions, style, size, label in (
        (2, "s--", 9, "both directions"),
        (1, "o-", 5, "one direction"),
    ):
        middle = np.median(reaches(directions), axis=0)  # (STEPS,)
        seen = np.flatnonzero(middle)
        ax.semilogy(seen, middle[seen], style, ms=size, mfc="none", label=label)
    ax.axvline(STEPS // 2, color="C4", linestyle=":")
    ax.set(xlabel="step of the input", ylabel="derivative of the state at step 5")
    ax.set(xticks=range(STEPS))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_reach()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    rng = np.random.default_rng(0)
    # figure 9: two layers of two units, two inputs, and V (2, 2) and c (2) for each
    figure_9 = init_layers(2, 2, 2, 1, rng)
    V, c = rng.uniform(-1, 1, (2, 2)), rng.uniform(-1, 1, 2)
    out = {"figure9_per_unit": count(figure_9) / 4, "figure9_units": count(figure_9)}
    out["figure9_all"] = count(figure_9) + 2 * (V.size + c.size)
    h, _ = stack(figure_9, rng.standard_normal((7, 2)))  # (7, 2)
    y = softmax(h @ V.T + c)  # (7, 2)
    out |= {"softmax_sum": y.sum(axis=1).max(), "softmax_smallest": y.min()}

    both, one = (init_layers(2, 3, 2, k, rng) for k in (2, 1))
    out["two_layers_one_direction"] = count(one)
    out["two_layers_both"] = count(both)
    # PyTorch adds a second bias to each unit: 2 layers, 2 directions, 3 units
    out["two_layers_both_pytorch"] = count(both) + 2 * 2 * 3
    out["second_layer_inputs"] = both[1][0]["w"].shape[1]

    for directions, name in ((1, "one"), (2, "both")):
        values, middle = reaches(directions), STEPS // 2  # (SEEDS, STEPS)
        for shift in (-5, -1, 0, 1, 5):
            where = f"{abs(shift)}_" if shift else "at"
            side = ("", "after", "before")[np.sign(shift)]
            column = values[:, middle + shift]  # (SEEDS,)
            for fold in ("median", "min", "max"):
                value = getattr(np, fold)(column)
                out[f"reach_{name}_{where}{side}_{fold}"] = value
    out |= {"steps": STEPS, "seeds": SEEDS}
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
