# %% [markdown]
r"""
# An untrained word RNN, seed 10

The network of the tutorial before it has learned anything: its first prediction, its
loss, its gradients, checked and truncated. The weights come from seed 10, as in the
source, so what the source printed comes out again. Then its first steps of training,
and why the loss hardly moves for so long.

**Source:** Denny Britz, *Recurrent Neural Networks Tutorial, Part 2* (2015):
initialization, forward propagation, loss, BPTT, gradient check.

| symbol | name | shape |
| --- | --- | --- |
| $x_t$ (`x[t]`), $y_t$ (`y[t]`) | word read, word that follows, as indices | |
| $s_t$ (`s[t + 1]`) | state after word $t$; `s[0]` is zero | $(H)$ |
| $o_t$ (`exp(log_o[t])`) | probabilities of the next word | $(C)$ |
| $U, V, W$ | weights: in, out, through time | $(H, C), (C, H), (H, H)$ |
| $C$, $H$ | words in the vocabulary, units of the state | |

**Differs from the source:** states are rows, hence `@ W.T`; BPTT runs over the distance
in time, for all outputs at once, and not over each output with each earlier word; the
gradient check keeps all ratios, where the source stops at the first one too large.

**Checked against:** torch autograd (1e-10 in float64), the outputs printed in the
source.

**Takes:** about 4 s on one core.

**Varies with the machine:** the worst error of the gradient check, since a difference
of two almost equal losses magnifies rounding: `check_worst` by up to 0.000001.
"""

# %%
import functools
import math

import numpy as np

Params = dict[str, np.ndarray]

# %% [markdown]
# ## The network
# No biases. A one-hot vector times $U$ is a column of $U$, so the input costs nothing.


# %%
def forward(p: Params, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read the words `x` (T,): states (T + 1, H) and log-probabilities (T, C), nats.

    Raises ValueError unless `x` is a row of indices below C.
    """
    H, C = p["U"].shape
    if x.ndim != 1 or not len(x) or x.min() < 0 or x.max() >= C:
        raise ValueError(f"x must be a row of indices in [0, {C}), got {x!r}")
    Ux = p["U"][:, x].T  # (T, H)
    s = np.zeros((len(x) + 1, H))  # (T + 1, H)
    for t in range(len(x)):
        # s_t = tanh(U x_t + W s_{t-1}),  s_{-1} = 0
        s[t + 1] = np.tanh(Ux[t] + p["W"] @ s[t])  # (H,)
    # o_t = softmax(V s_t)
    z = s[1:] @ p["V"].T  # (T, C)
    z -= z.max(axis=1, keepdims=True)  # exp cannot overflow
    return s, z - np.log(np.exp(z).sum(axis=1, keepdims=True))  # (T, C)


# %% [markdown]
# ## Backpropagation through time, truncated
# Row $t$ of `delta` is the error of output $t$. It starts at time $t$ and walks back,
# one step per turn of the loop, at most `truncate` steps. All outputs walk side by
# side; after $d$ turns, row $t$ is at time $t - d$, and the first $d$ rows have left.


# %%
def loss_and_gradients(
    p: Params, x: np.ndarray, y: np.ndarray, truncate: int
) -> tuple[float, Params]:
    """Cross-entropy of a sentence, summed over its T words, in nats; its gradients.

    x, y: (T,) words and the words that follow. truncate: >= 0, how many steps each
    error is sent back. Raises ValueError for another shape or a negative number.
    """
    if y.shape != x.shape or truncate < 0:
        got = f"got {y.shape} and {truncate}"
        raise ValueError(f"y must be {x.shape} like x and truncate >= 0, {got}")
    s, log_o = forward(p, x)  # (T + 1, H), (T, C)
    T = len(x)
    # L = -sum_t log o_t[y_t];   dL / dz_t = o_t - onehot(y_t)
    loss = -log_o[np.arange(T), y].sum()
    dz = np.exp(log_o)  # (T, C)
    dz[np.arange(T), y] -= 1

    # delta_t = V^T dz_t * (1 - s_t^2)
    delta = (dz @ p["V"]) * (1 - s[1:] ** 2)  # (T, H)
    da = np.zeros_like(delta)  # (T, H), before the tanh, all outputs together
    for d in range(min(truncate, T - 1) + 1):
        da[: T - d] += delta
        # one step back in time: delta <- W^T delta * (1 - s_{t-d-1}^2)
        delta = (delta[1:] @ p["W"]) * (1 - s[1 : T - d] ** 2)  # (T - d - 1, H)

    dU = np.zeros_like(p["U"])  # (H, C)
    np.add.at(dU.T, x, da)  # column x_t += da_t, also where a word comes twice
    return float(loss), {"U": dU, "V": dz.T @ s[1:], "W": da.T @ s[:-1]}


# %% [markdown]
# ## Seed 10
# `RandomState(10)` is the generator behind the source's `np.random.seed(10)`: the same
# stream, without touching the global one. Today's `default_rng(10)` gives other
# numbers. The order of the draws matters too: U, V, W.


# %%
def init_params(C: int, H: int, rng: np.random.RandomState) -> Params:
    """Uniform in +-1/sqrt(n), n the number of incoming connections.

    Raises ValueError if C or H is below 1.
    """
    if C < 1 or H < 1:
        raise ValueError(f"C and H must be >= 1, got {C} and {H}")
    c, h = 1 / math.sqrt(C), 1 / math.sqrt(H)
    return {
        "U": rng.uniform(-c, c, (H, C)),
        "V": rng.uniform(-h, h, (C, H)),
        "W": rng.uniform(-h, h, (H, H)),
    }


# the one sentence whose indices the source prints; 0 begins, 1 ends
X = np.array([0, 51, 27, 16, 10, 856, 53, 25, 34, 69])  # (10,)
Y = np.array([51, 27, 16, 10, 856, 53, 25, 34, 69, 1])  # (10,)

# %% [markdown]
# ## The gradient check
# Each weight is moved by $\pm h$. The difference of the two losses over $2h$ should be
# the gradient. A word that is not in the sentence has zero for both, and $0/0$ is NaN.


# %%
def relative_errors(
    p: Params, x: np.ndarray, y: np.ndarray, grads: Params, h: float = 0.001
) -> Params:
    """|a - n| / (|a| + |n|) for every weight, NaN where both are zero.

    a: the entry of `grads`; n: the central difference with step `h`, which takes two
    forward passes for each weight: for small networks only.
    """
    errors, every = {}, np.arange(len(x))
    for name, w in p.items():
        numeric = np.empty_like(w)  # the shape of w
        for entry in np.ndindex(w.shape):
            losses = []
            for step in (h, -h):
                moved = w.copy()
                moved[entry] += step
                _, log_o = forward(p | {name: moved}, x)  # (T, C)
                losses.append(-log_o[every, y].sum())
            # dL/dw ~ (L(w + h) - L(w - h)) / 2h
            numeric[entry] = (losses[0] - losses[1]) / (2 * h)
        size = np.abs(grads[name]) + np.abs(numeric)  # the shape of w
        with np.errstate(invalid="ignore"):
            errors[name] = np.abs(grads[name] - numeric) / size
    return errors


def flagged_as_in_source(errors: np.ndarray) -> int:
    """Entries that the source's comparison complains about: never about a NaN."""
    return int((errors > 0.01).sum())


# %% [markdown]
# ## What truncation leaves out


# %%
def truncation_error(p: Params, truncate: int) -> float:
    """Relative error of dL/dW on the printed sentence, against all the way back."""
    full = loss_and_gradients(p, X, Y, len(X))[1]["W"]  # (H, H)
    cut = loss_and_gradients(p, X, Y, truncate)[1]["W"]  # (H, H)
    return float(np.linalg.norm(cut - full) / np.linalg.norm(full))


# %% [markdown]
# ## The plateau
# Of the $C$ inputs that a unit of the state is connected to, one is on at a time. If
# $n$ counts that one, $U$ is drawn from $\pm 1$. `one_hot_scale` multiplies the drawn
# $U$ by $\sqrt C$, which makes it just that, and changes nothing else. Seeds 10 to 14,
# with 2000 words, since 8000 would take half a minute.


# %%
def one_hot_scale(p: Params) -> Params:
    """The same draw, with U uniform in +-1 in place of +-1/sqrt(C)."""
    return p | {"U": p["U"] * math.sqrt(p["U"].shape[1])}


def descend(p: Params, steps: int, lr: float = 0.005) -> tuple[np.ndarray, np.ndarray]:
    """SGD on the printed sentence, in place, until its loss has halved: ln C / 2.

    Returns the loss in nats per word and the mean |s_t|, both (steps done,), each
    before its update. Stops after `steps` at the latest.
    """
    goal, losses, sizes = math.log(len(p["V"])) / 2, [], []
    for _ in range(steps):
        loss, grads = loss_and_gradients(p, X, Y, truncate=4)
        losses.append(loss / len(X))
        sizes.append(np.abs(forward(p, X)[0][1:]).mean())
        if losses[-1] < goal:
            break
        for name, g in grads.items():
            p[name] -= lr * g
    return np.array(losses), np.array(sizes)


@functools.cache
def descents(one_hot: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """What `descend` returns for each seed, with U in +-1 or in the source's range."""
    runs = []
    for seed in range(10, 15):
        p = init_params(2000, 100, np.random.RandomState(seed))
        runs.append(descend(one_hot_scale(p) if one_hot else p, 400))
    return runs


# %% [markdown]
# ## Figures


# %%
def draw_truncation() -> None:
    """Bars: relative error of the recurrent gradient against the steps sent back.

    The bars fall by a little less than half each time: 57 % at depth 0, then 32, 17,
    8.0, 4.0 and 1.8 % at depth 5. The bar at depth 4, the source's choice, is marked.
    """
    import matplotlib.pyplot as plt

    p = init_params(8000, 100, np.random.RandomState(10))
    percent = [100 * truncation_error(p, depth) for depth in range(6)]
    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    bars = ax.bar(range(6), percent, color=["C0"] * 4 + ["C1", "C0"])
    ax.bar_label(bars, [f"{value:.2g} %" for value in percent], padding=2)
    ax.set(ylim=(0, 65), xlabel="steps sent back (4: the source)")
    ax.set_ylabel("error of dL/dW (%)")


# %% tags=["active-ipynb"]
# draw_truncation()


# %%
def draw_plateau() -> None:
    """Loss in nats per word against SGD steps on one sentence, for two ranges of U.

    Five curves each, one per seed, all from the dashed line of guessing, 7.6. With U in
    the source's range the loss stays near 7 for about 80 steps and then drops to half
    within 40. With U in plus or minus one it falls at once, to half in 22 to 24 steps.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    for one_hot, label in ((False, "U in ±1/√C (source)"), (True, "U in ±1")):
        for losses, _ in descents(one_hot):
            ax.plot(losses, color="C1" if one_hot else "C0", ls="-", label=label)
            label = None  # one entry of the legend for five seeds
    ax.axhline(math.log(2000), color="C2", ls="--", label="guessing: ln C")
    ax.set(ylim=(0, 8.5), xlabel="SGD steps on the printed sentence")
    ax.set_ylabel("loss (nats per word)")
    ax.legend(loc="lower left")


# %% tags=["active-ipynb"]
# draw_plateau()


# %% [markdown]
# ## Numbers


# %%
def spread(name: str, values: list[float]) -> dict[str, float]:
    """Median and range over seeds, as three entries."""
    summary = {"median": np.median(values), "min": min(values), "max": max(values)}
    return {f"{name}_{kind}": float(value) for kind, value in summary.items()}


def check_numbers() -> dict[str, float]:
    """The source's gradient check: 100 words, 10 units, 4 words read, seed 10."""
    p = init_params(100, 10, np.random.RandomState(10))
    x, y = np.arange(4), np.arange(1, 5)  # (4,), (4,)
    loss, grads = loss_and_gradients(p, x, y, 1000)
    errors = relative_errors(p, x, y, grads)
    nothing = {name: np.full_like(g, np.nan) for name, g in grads.items()}
    blind = relative_errors(p, x, y, nothing)
    return {
        "check_loss_per_word": loss / 4,
        "log_100": math.log(100),
        **{f"check_{k}_entries": e.size for k, e in errors.items()},
        **{f"check_{k}_compared": int(np.isfinite(e).sum()) for k, e in errors.items()},
        "check_undefined": sum(int(np.isnan(e).sum()) for e in errors.values()),
        "check_flagged": sum(flagged_as_in_source(e) for e in errors.values()),
        "check_flagged_all_nan": sum(flagged_as_in_source(e) for e in blind.values()),
        "check_worst": max(float(np.nanmax(e)) for e in errors.values()),
    }


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    p = init_params(8000, 100, np.random.RandomState(10))
    _, log_o = forward(p, X)  # (10, 8000)
    results: dict[str, float] = {
        "parameters": sum(w.size for w in p.values()),
        "first_word": int(log_o[0].argmax()),
        **{f"o_{word}": float(np.exp(log_o[0, word])) for word in (0, 1, 2)},
        **{f"o_{word}": float(np.exp(log_o[0, word])) for word in (7997, 7998, 7999)},
        "o_smallest": float(np.exp(log_o.min())),
        "o_largest": float(np.exp(log_o.max())),
        "log_8000": math.log(8000),
        "loss_per_word": float(-log_o[np.arange(10), Y].mean()),
        "loss_wrong_targets": float(-log_o[np.arange(10), X].mean()),
        "output_share": p["V"].size / (p["V"].size + p["W"].size),
    }
    for depth in range(6):
        results[f"truncation_error_{depth}"] = truncation_error(p, depth)
    draws = [init_params(8000, 100, np.random.RandomState(k)) for k in range(10, 15)]
    results |= spread("truncation_error_4", [truncation_error(q, 4) for q in draws])
    results |= check_numbers()

    for name, one_hot in (("source", False), ("one_hot", True)):
        runs = descents(one_hot)
        results |= spread(f"steps_to_half_{name}", [len(loss) - 1 for loss, _ in runs])
        results |= spread(f"first_state_{name}", [size[0] for _, size in runs])
    return results


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
