# %% [markdown]
r"""
# How far the gradient reaches through time

Recurrent layers as PyTorch hands them out: RNN, GRU, LSTM, and the LSTM with another
forget bias. A unit vector is put on the last output, and what arrives at the input 0,
1, 2, … 100 steps earlier is measured. Nothing is trained. Before that, the smallest
case: one unit, whose gradient is a product of numbers.

**Source:** R. Pascanu, T. Mikolov and Y. Bengio, *On the difficulty of training
recurrent neural networks* (2013), section 2. The experiment is ours.

| symbol | name | shape |
| --- | --- | --- |
| $T, B$ | steps, sequences | |
| $m, n$ | inputs, units | |
| `x` | input, standard normal | $(T, B, m)$ |
| `u` | gradient of the last output, unit vectors | $(B, n)$ |
| $\lambda_1$ | largest singular value of the recurrent matrix | |
| $w, x, z_t, h_t$ | of one unit: weight, input, sum $w h_{t-1} + x$, state | |

**Differs from the source:** the source has no such measurement.

**Checked against:** the gradient written out as the source's product of Jacobians
(1e-10 in float64); the forget gates' product; `numpy.linalg.svd`; one unit by torch
autograd.

**Takes:** about 4 s on one core, most of it importing PyTorch.
"""

# %%
from functools import cache

import numpy as np
import torch

N_HIDDEN, N_IN, BATCH, LAG, SEEDS = 64, 8, 8, 100, (0, 1, 2, 3, 4)
STEPS = 3 * LAG  # so that no lag is near the first step, where the cells are empty

# %% [markdown]
# ## One unit
# It reads the same input at every step. Each step back multiplies the gradient by the
# weight *and* by the slope at the place where the unit was.


# %%
def one_unit(
    activation: str, w: float, x: float, steps: int = 8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is left of a gradient 1, 2, ... `steps` steps back through one unit.

    The unit starts at phi(0), where it is steepest. All that is returned goes back from
    the last step: the states h_T ... h_1, the slopes there, and the gradient of h_T
    with respect to h_(T-1) ... h_0; (steps,) each.

    Raises:
        ValueError: activation is neither 'tanh' nor 'sigmoid', or steps below 1.
    """
    if activation not in ("tanh", "sigmoid"):
        raise ValueError(f"activation is {activation!r}, expected 'tanh' or 'sigmoid'")
    if steps < 1:
        raise ValueError(f"steps is {steps}, expected at least 1")
    h, states, slopes = 0.0 if activation == "tanh" else 0.5, [], []
    for _ in range(steps):
        # h_t = phi(w h_{t-1} + x)
        z = w * h + x
        if activation == "tanh":
            h = float(np.tanh(z))
            slopes.append(1 - h**2)  # tanh' = 1 - tanh^2
        else:
            h = 0.5 * (1 + float(np.tanh(0.5 * z)))
            slopes.append(h * (1 - h))  # sigma' = sigma (1 - sigma)
        states.append(h)
    back = np.array(slopes[::-1])  # (steps,)
    # dh_T/dh_{T-k} = w phi'(z_T) . w phi'(z_{T-1}) ... w phi'(z_{T-k+1})
    return np.array(states[::-1]), back, np.cumprod(w * back)


# %% [markdown]
# ## The measurement
# Autograd does the work: the gradient of $u \cdot h_T$ with respect to every input.


# %%
def reach(net: torch.nn.Module, x: torch.Tensor, u: torch.Tensor) -> np.ndarray:
    """Mean norm of the gradient at the input 0, 1, ..., T - 1 steps back: (T,).

    Args:
        net: a recurrent layer of torch.nn.
        x: input, (T, B, m).
        u: gradient of the last output, (B, n).

    Raises:
        ValueError: u does not fit the net's output.
    """
    x = x.clone().requires_grad_()  # (T, B, m)
    h_last = net(x)[0][-1]  # (B, n)
    if u.shape != h_last.shape:
        raise ValueError(f"u has shape {(*u.shape,)}, expected {(*h_last.shape,)}")
    # dE/dx_k = dE/dh_T . dh_T/dh_(T-1) ... dh_(k+1)/dh_k . dh_k/dx_k
    (dx,) = torch.autograd.grad((h_last * u).sum(), x)  # (T, B, m)
    return dx.norm(dim=2).mean(dim=1).flip(0).numpy()  # (T,)


# %% [markdown]
# ## The layers
# PyTorch draws all weights *and biases* of a recurrent layer from
# $U(-1/\sqrt n, 1/\sqrt n)$: the same $n \operatorname{Var}(W) = 1/3$ as through depth.


# %%
def layer(
    kind: str,
    seed: int,
    forget_bias: float | None = None,
    lambda_1: float | None = None,
) -> torch.nn.Module:
    """A fresh recurrent layer of N_IN inputs and N_HIDDEN units, in float64.

    Args:
        kind: 'RNN', 'GRU' or 'LSTM'.
        seed: of PyTorch's generator.
        forget_bias: for an LSTM; None leaves PyTorch's.
        lambda_1: for an RNN, largest singular value to scale its recurrent matrix to.

    Raises:
        ValueError: unknown kind, or an option that the kind does not have.
    """
    if kind not in ("RNN", "GRU", "LSTM"):
        raise ValueError(f"kind is {kind!r}, expected 'RNN', 'GRU' or 'LSTM'")
    if forget_bias is not None and kind != "LSTM":
        raise ValueError(f"forget_bias given for {kind!r}, expected kind 'LSTM'")
    if lambda_1 is not None and kind != "RNN":
        raise ValueError(f"lambda_1 given for {kind!r}, expected kind 'RNN'")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = getattr(torch.nn, kind)(N_IN, N_HIDDEN, dtype=torch.float64)
    with torch.no_grad():
        if forget_bias is not None:  # rows: input, forget, candidate, output
            net.bias_ih_l0[N_HIDDEN : 2 * N_HIDDEN] = forget_bias
            net.bias_hh_l0[N_HIDDEN : 2 * N_HIDDEN] = 0
        if lambda_1 is not None:
            net.weight_hh_l0 *= lambda_1 / torch.linalg.matrix_norm(net.weight_hh_l0, 2)
    return net


LAYERS: dict[str, dict] = {
    "LSTM, forget bias 5": {"kind": "LSTM", "forget_bias": 5},
    "LSTM, forget bias 3": {"kind": "LSTM", "forget_bias": 3},
    "LSTM, forget bias 1": {"kind": "LSTM", "forget_bias": 1},
    "GRU, default": {"kind": "GRU"},
    "LSTM, default": {"kind": "LSTM"},
    "RNN, default": {"kind": "RNN"},
}


@cache
def measure(name: str) -> np.ndarray:
    """What arrives of the gradient, for every seed and lag: (S, LAG + 1)."""
    nets = [layer(seed=seed, **LAYERS[name]) for seed in SEEDS]
    arrived = [reach(net, *data(s)) for net, s in zip(nets, SEEDS, strict=True)]
    return np.stack(arrived)[:, : LAG + 1]


def data(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Standard normal input (STEPS, B, m) and unit vectors (B, n)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((STEPS, BATCH, N_IN))  # (T, B, m)
    u = rng.standard_normal((BATCH, N_HIDDEN))  # (B, n)
    u /= np.linalg.norm(u, axis=1, keepdims=True)  # (B, n)
    return torch.from_numpy(x), torch.from_numpy(u)


# %% [markdown]
# ## The bound
# In a tanh RNN every step multiplies by $W_{hh}^\top \operatorname{diag}(\tanh')$,
# whose norm is at most $\lambda_1 \cdot 1$. So $\lambda_1 < 1$ is enough for the
# gradient to vanish (section 2.1 of the source): it stays below a geometric curve.


# %%
def bound(net: torch.nn.Module) -> np.ndarray:
    """The most that gets through a tanh RNN: ||W_ih|| lambda_1^lag, (LAG + 1,)."""
    norm_in = torch.linalg.matrix_norm(net.weight_ih_l0, 2).item()
    lambda_1 = torch.linalg.matrix_norm(net.weight_hh_l0, 2).item()
    return norm_in * lambda_1 ** np.arange(LAG + 1)  # (LAG + 1,)


# %% [markdown]
# ## Figure


# %%
def draw_reach() -> None:
    """Gradient at the input against steps back, 0 to 100, logarithmic. The default RNN,
    GRU and LSTM fall together on nearly straight lines, the RNN to 1e-25, the other two
    to 1e-21. The LSTM with forget bias 1 falls about a third as steeply, to 1e-8. With
    forget bias 3 and 5 the lines dip at first, to a hundredth, and stay level.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    for name in LAYERS:
        ax.semilogy(np.median(measure(name), axis=0), label=name)
    ax.set(xlabel="steps back from the last output", xlim=(0, LAG))
    ax.set(ylabel="gradient norm at the input")
    ax.legend(loc="lower left")


# %% tags=["active-ipynb"]
# draw_reach()

# %% [markdown]
# ## Numbers


# %%
def spread(name: str, values: np.ndarray) -> dict[str, float]:
    """Median, smallest and largest of the seeds' values."""
    return {
        f"{name}_median": float(np.median(values)),
        f"{name}_min": float(values.min()),
        f"{name}_max": float(values.max()),
    }


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    torch.set_num_threads(1)
    out: dict[str, float] = {"units": N_HIDDEN, "inputs": N_IN, "lag": LAG}
    out["seeds"] = len(SEEDS)
    for name in LAYERS:
        key = name.lower().replace(",", "").replace(" ", "_")
        arrived = measure(name)  # (S, LAG + 1)
        out |= spread(f"{key}_lag20", arrived[:, 20])
        out |= spread(f"{key}_lag100", arrived[:, LAG])
        # the factor per step, between lags 10 and 50, past the first steps' transient
        out |= spread(f"{key}_factor", (arrived[:, 50] / arrived[:, 10]) ** (1 / 40))
    matrices = [layer("RNN", seed).weight_hh_l0 for seed in SEEDS]
    out |= spread(
        "rnn_n_var", np.array([N_HIDDEN * W.detach().numpy().var() for W in matrices])
    )
    bounded = [layer("RNN", seed, lambda_1=0.95) for seed in SEEDS]
    arrived = np.stack(
        [reach(net, *data(s)) for net, s in zip(bounded, SEEDS, strict=True)]
    )
    out |= spread("rnn_norm095_lag100", arrived[:, LAG])
    out["bound_norm095_100_steps"] = 0.95**100
    for name, values in zip(
        ("state", "slope", "gradient"), one_unit("tanh", 1.5, 0.2), strict=True
    ):
        for k, value in enumerate(values, start=1):
            out[f"one_unit_{name}_{k}"] = float(value)
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
