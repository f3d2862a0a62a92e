# %% [markdown]
r"""
# A minimal gated GRU that is not the minimal gated unit

One gate that mixes the old state with a candidate, forward and backward; the one
product that tells it from the MGU of Zhou et al.; how long a value is kept, and how far
back a gradient reaches, for several gate biases.

**Source:** Andriy Burkov, *The Hundred-Page Machine Learning Book* (2019), chapter 6,
section 6.2.2, the four equations of the "minimal gated GRU".

| symbol | name | shape |
| --- | --- | --- |
| $d, n$ | inputs, units | |
| $x^t$ (`x[t]`) | input | $(d)$ |
| $h^t$ (`h[t]`) | state; before the first step it is zero | $(n)$ |
| $\tilde h^t$ (`h_tilde`) | candidate | $(n)$ |
| $\Gamma^t$ (`gate`) | the gate: near 0 keeps, near 1 overwrites | $(n)$ |
| $w, u, b$ | weights of the candidate: input, state, bias | $(n, d), (n, n), (n)$ |
| $m, o, a$ | weights of the gate: input, state, bias | $(n, d), (n, n), (n)$ |

**Differs from the source:** one layer, all units at once, so the indices $l$ and $u$
are gone. The output $y^t$ is left out. `reset=True` turns the unit into Zhou's MGU.

**Checked against:** a twin in torch, with autograd (1e-10 in float64); `torch.nn.GRU`
with its reset gate held open.

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Callable

import numpy as np

Params = dict[str, np.ndarray]  # w, u, b, m, o, a

# %% [markdown]
# ## One step
# `reset` is the whole difference: with it, the gate also decides how much of the old
# state the candidate may see.


# %% One step
def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), written so that no z overflows."""
    return 0.5 * (1 + np.tanh(0.5 * z))  # the shape of z


def step(
    p: Params, x: np.ndarray, h_prev: np.ndarray, reset: bool = False
) -> tuple[np.ndarray, np.ndarray, Callable]:
    """One step: x (d,), h_prev (n,) -> h (n,), gate (n,), and `backward`.

    reset: let the gate act inside the candidate too, as in Zhou's MGU.
    Raises ValueError where x or h_prev has another shape.
    """
    n, d = p["w"].shape
    for name, array, size in (("x", x, d), ("h_prev", h_prev, n)):
        if array.shape != (size,):
            raise ValueError(f"{name} has shape {array.shape}, expected ({size},)")
    # Gamma^t <- sigma(m x^t + o h^{t-1} + a)
    gate = sigmoid(p["m"] @ x + p["o"] @ h_prev + p["a"])  # (n,)
    # h~^t <- tanh(w x^t + u h^{t-1} + b);  Zhou: u (Gamma^t * h^{t-1})
    seen = gate * h_prev if reset else h_prev  # (n,)
    h_tilde = np.tanh(p["w"] @ x + p["u"] @ seen + p["b"])  # (n,)
    # h^t <- Gamma^t * h~^t + (1 - Gamma^t) * h^{t-1}
    h = gate * h_tilde + (1 - gate) * h_prev  # (n,)

    def backward(dh: np.ndarray, grads: Params) -> tuple[np.ndarray, np.ndarray]:
        """Loss gradient of h -> those of x and h_prev; the weights' add to grads."""
        da = dh * gate * (1 - h_tilde**2)  # before the tanh: (n,)
        dgate, dh_prev = dh * (h_tilde - h_prev), dh * (1 - gate)  # (n,) each
        dseen = p["u"].T @ da  # (n,)
        if reset:
            dgate, dseen = dgate + dseen * h_prev, dseen * gate  # (n,) each
        dg = dgate * gate * (1 - gate)  # before the sigma: (n,)
        for name, d_pre, source in (
            ("w", da, x),
            ("u", da, seen),
            ("m", dg, x),
            ("o", dg, h_prev),
        ):
            grads[name] += np.outer(d_pre, source)  # (n, d) or (n, n)
        grads["b"] += da
        grads["a"] += dg
        dx = p["w"].T @ da + p["m"].T @ dg  # (d,)
        return dx, dh_prev + dseen + p["o"].T @ dg

    return h, gate, backward


# %% [markdown]
# ## A sequence


# %% A sequence
def run(
    p: Params, x: np.ndarray, h0: np.ndarray, reset: bool = False
) -> tuple[np.ndarray, Callable]:
    """x (T, d), h0 (n,) -> states (T, n), and `backward`."""
    h, states, backs = h0, [], []
    for x_t in x:
        h, _, back = step(p, x_t, h, reset)
        states.append(h)
        backs.append(back)

    def backward(dhs: np.ndarray) -> tuple[Params, np.ndarray, np.ndarray]:
        """Loss gradient of all states (T, n) -> those of the weights, x (T, d), h0."""
        grads = {name: np.zeros_like(w) for name, w in p.items()}
        dx, dh = np.zeros(x.shape), np.zeros_like(h0)  # (T, d), (n,)
        for t in reversed(range(len(x))):
            dx[t], dh = backs[t](dhs[t] + dh, grads)  # (d,), (n,)
        return grads, dx, dh

    return np.array(states), backward  # (T, n)


def init_params(
    d: int, n: int, rng: np.random.Generator, gate_bias: float = 0
) -> Params:
    """Weights uniform in +-1/sqrt(n), b zero, a all gate_bias.

    Raises ValueError for a size below 1.
    """
    if min(d, n) < 1:
        raise ValueError(f"d and n must be >= 1, got {d} and {n}")
    bound = 1 / np.sqrt(n)
    sizes = {"w": (n, d), "u": (n, n), "m": (n, d), "o": (n, n)}
    p = {name: rng.uniform(-bound, bound, size) for name, size in sizes.items()}
    return p | {"b": np.zeros(n), "a": np.full(n, float(gate_bias))}


# %% [markdown]
# ## How long a value is kept
# With a candidate of zero each step leaves the share $1 - \Gamma$.


# %%
def kept(gate_bias: float, steps: int, start: float = 1.0) -> np.ndarray:
    """One unit that starts at `start` and has only a gate bias: (steps + 1,)."""
    p = {name: 0 * w for name, w in init_params(1, 1, np.random.default_rng(0)).items()}
    p["a"] = p["a"] + gate_bias
    states, _ = run(p, np.zeros((steps, 1)), np.array([start]))  # (steps, 1)
    return np.concatenate([[start], states[:, 0]])  # (steps + 1,)


# %% [markdown]
# ## How far back a gradient reaches
# Fresh weights, standard normal inputs, a loss gradient of norm 1 on the last state.
# What arrives at the state `lag` steps before? `None` in place of a gate bias is the
# plain RNN: the gate at 1.

# %%
SEEDS, UNITS, LAGS = 5, 16, 60
BIASES = (None, 0, -3, -5)


def reach(seed: int, gate_bias: float | None) -> np.ndarray:
    """Norm of the gradient 0 to LAGS steps before the last: (LAGS + 1,)."""
    rng = np.random.default_rng(seed)
    p = init_params(8, UNITS, rng, 1000 if gate_bias is None else gate_bias)
    x, dh = rng.standard_normal((LAGS, 8)), rng.standard_normal(UNITS)
    h, backs = np.zeros(UNITS), []
    for x_t in x:
        h, _, back = step(p, x_t, h)
        backs.append(back)
    dh, norms = dh / np.linalg.norm(dh), [1.0]
    waste = {name: np.zeros_like(w) for name, w in p.items()}
    for back in reversed(backs):
        _, dh = back(dh, waste)  # (n,)
        norms.append(np.linalg.norm(dh))
    return np.array(norms)


def distance(seed: int, gate_bias: float) -> float:
    """Largest gap between this unit's states and Zhou's, same weights, 20 steps."""
    rng = np.random.default_rng(seed)
    p, x = init_params(8, UNITS, rng, gate_bias), rng.standard_normal((20, 8))
    ours, zhou = (run(p, x, np.zeros(UNITS), reset)[0] for reset in (False, True))
    return float(np.abs(ours - zhou).max())


# %% [markdown]
# ## Figure


# %%
def draw_reach() -> None:
    """Gradient norm against the number of steps back, on a logarithmic axis. The plain
    RNN falls steeply, gate bias 0 falls more slowly, but falls along a line too; with
    bias -3 the curve sinks gently, and with -5 it stays close to 1 over all 60 steps.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    for gate_bias, style in zip(reversed(BIASES), ("-", "--", "-.", ":"), strict=True):
        middle = np.median([reach(seed, gate_bias) for seed in range(SEEDS)], axis=0)
        plain = gate_bias is None
        label = "plain RNN (gate at 1)" if plain else f"gate bias {gate_bias}"
        ax.semilogy(middle, style, label=label)
    ax.set(xlabel="steps back", ylabel="norm of the gradient", xlim=(0, LAGS))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_reach()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out = {"kept_gate_01_10_steps": kept(np.log(0.1 / 0.9), 10)[-1]}
    for bias in (-10, -5, -3, 0):
        key = f"bias_minus{-bias}" if bias else "bias_0"
        out[f"gate_{key}"] = sigmoid(np.float64(bias))
        out[f"left_of_07_{key}"] = kept(bias, 100, 0.7)[-1]

    for bias in BIASES:
        name = "plain" if bias is None else f"bias_minus{-bias}" if bias else "bias_0"
        norms = np.array([reach(seed, bias) for seed in range(SEEDS)])  # (S, LAGS + 1)
        for lag in (20, LAGS):
            for fold in ("median", "min", "max"):
                out[f"reach_{name}_lag{lag}_{fold}"] = getattr(np, fold)(norms[:, lag])
    for bias in (0, -3, -1000, 1000):
        key = f"minus{-bias}" if bias < 0 else str(bias)
        gaps = [distance(seed, bias) for seed in range(SEEDS)]
        out |= {f"gap_{key}_median": np.median(gaps), f"gap_{key}_max": max(gaps)}
        out[f"gap_{key}_min"] = min(gaps)

    # n = 100 units, d = 28 inputs; m and o, a double the candidate's weights
    p = init_params(28, 100, np.random.default_rng(0))
    out["parameters_n100_d28"] = sum(w.size for w in p.values())
    out |= {"seeds": SEEDS, "units": UNITS, "lags": LAGS}
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
