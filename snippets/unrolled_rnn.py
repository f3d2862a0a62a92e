# %% [markdown]
r"""
# The plain recurrent cell, folded and unrolled

One cell, one loop, and the same network as a chain of copies: forward, backward with
one gradient per copy, and the five shapes of input and output that the chain can take.

**Source:** The sources of this folder, above all Andrej Karpathy, *The Unreasonable
Effectiveness of Recurrent Neural Networks* (2015), the figure of five shapes and "RNN
computation"; Denny Britz, *Recurrent Neural Networks Tutorial*, parts 1 to 3 (2015).

| symbol | name | shape |
| --- | --- | --- |
| $T$, $m$, $n$, $k$ | steps, inputs, units, outputs | |
| $x_t$ (`x[t]`) | input at step $t$ | $(m)$ |
| $h_t$ (`h[t]`) | state after step $t$; $h_{-1}$ is zero | $(n)$ |
| $y_t$ (`y[t]`) | output, as scores | $(k)$ |
| $W_{xh}, W_{hh}, b_h$ | weights of the cell, and its bias | $(n, m), (n, n), (n)$ |
| $W_{hy}, b_y$ | weights of the output, and its bias | $(k, n), (k)$ |

**Differs from the source:** the letters are Karpathy's, with biases as in his program.

**Checked against:** `torch.nn.RNN` and `Linear`; torch autograd, with a leaf of its own
for every copy of every weight (1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
import numpy as np

Params = dict[str, np.ndarray]  # W_xh, W_hh, b_h, W_hy, b_y

# %% [markdown]
# ## The cell


# %% The cell
def rnn_step(p: Params, x: np.ndarray, h_prev: np.ndarray) -> np.ndarray:
    """One step: input x (m,) and the state before (n,) -> the new state (n,)."""
    # h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h)
    return np.tanh(p["W_xh"] @ x + p["W_hh"] @ h_prev + p["b_h"])  # (n,)


# %% [markdown]
# ## Unrolled
# The unrolled network is a chain of copies, one per step. It is *recurrent* when all
# copies are the same dictionary of weights, `[p] * T`. The same two functions serve for
# a deep network that shares nothing.


# %% Unrolled
def unrolled(copies: list[Params], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs x (T, m), one copy of the weights per step -> states (T, n), y (T, k).

    Raises ValueError where the inputs do not fit the weights or the number of copies.
    """
    n, m = copies[0]["W_xh"].shape if copies else (0, 0)
    if not copies or x.shape != (len(copies), m):
        wanted = f"({len(copies)}, {m}), one row for each of at least one copy"
        raise ValueError(f"x has shape {x.shape}, expected {wanted}")
    h, states, outputs = np.zeros(n), [], []  # (n,)
    for p, x_t in zip(copies, x, strict=True):
        h = rnn_step(p, x_t, h)  # (n,)
        states.append(h)
        # y_t = W_hy h_t + b_y
        outputs.append(p["W_hy"] @ h + p["b_y"])  # (k,)
    return np.stack(states), np.stack(outputs)  # (T, n), (T, k)


def gradient_per_copy(
    copies: list[Params], x: np.ndarray, dy: np.ndarray
) -> list[Params]:
    """Gradients of a loss whose derivative by y is dy (T, k), one set per copy.

    Raises ValueError where x or dy has another shape.
    """
    h, y = unrolled(copies, x)  # (T, n), (T, k)
    if dy.shape != y.shape:
        raise ValueError(f"dy has shape {dy.shape}, expected {y.shape}")
    before = np.vstack([np.zeros_like(h[:1]), h[:-1]])  # h_{t-1}: (T, n)
    dh_later, grads = np.zeros_like(h[0]), []  # what step t + 1 sends back: (n,)
    for t in reversed(range(len(x))):
        p = copies[t]
        # h_t is used twice: by y_t and by h_{t+1}
        dh = p["W_hy"].T @ dy[t] + dh_later  # (n,)
        da = dh * (1 - h[t] ** 2)  # before the tanh: (n,)
        g = {"W_xh": np.outer(da, x[t]), "W_hh": np.outer(da, before[t]), "b_h": da}
        grads.append(g | {"W_hy": np.outer(dy[t], h[t]), "b_y": dy[t]})
        dh_later = p["W_hh"].T @ da  # (n,)
    return grads[::-1]


def shared(grads: list[Params]) -> Params:
    """The gradient of weights that all copies share: the sum over the copies."""
    return {name: sum(g[name] for g in grads) for name in grads[0]}


# %% [markdown]
# ## Five shapes
# Where something is read, and where something is written. Steps without input read a
# zero; outputs at other steps are not looked at.

# %% Five shapes
SHAPES = {  # steps that read, steps that write
    "one to one": ([0], [0]),
    "one to many": ([0], [0, 1, 2]),
    "many to one": ([0, 1, 2], [2]),
    "many to many, later": ([0, 1, 2], [2, 3, 4]),
    "many to many, in step": ([0, 1, 2], [0, 1, 2]),
}


def run_shape(p: Params, name: str, x: np.ndarray) -> np.ndarray:
    """One row of x for each step that reads -> one row for each that writes.

    Raises ValueError for an unknown shape, or another number of rows.
    """
    if name not in SHAPES:
        raise ValueError(f"name is {name!r}, expected one of {', '.join(SHAPES)}")
    reads, writes = SHAPES[name]
    if len(x) != len(reads):
        raise ValueError(f"x has {len(x)} rows, expected {len(reads)} for {name}")
    inputs = np.zeros((max(reads + writes) + 1, x.shape[1]))  # (T, m)
    inputs[reads] = x
    return unrolled([p] * len(inputs), inputs)[1][writes]  # (outputs, k)


def sees(p: Params, name: str) -> np.ndarray:
    """At [i, j], whether output i of this shape moves when input j does."""
    reads, writes = SHAPES[name]
    x = np.zeros((len(reads), p["W_xh"].shape[1]))  # (inputs, m)
    rest, moved = run_shape(p, name, x), np.zeros((len(writes), len(reads)), dtype=bool)
    for j in range(len(reads)):
        other = x.copy()
        other[j] = 1
        moved[:, j] = np.abs(run_shape(p, name, other) - rest).max(axis=1) > 1e-12
    return moved


# %% [markdown]
# ## Weights to start from


# %%
def init_params(
    m: int, n: int, k: int, rng: np.random.Generator, bias: bool = True
) -> Params:
    """Weights uniform in +-1/sqrt(n) as in PyTorch; without `bias` no b_h and b_y.

    Raises ValueError for a size below 1.
    """
    if min(m, n, k) < 1:
        raise ValueError(f"m, n and k must be >= 1, got {m}, {n} and {k}")
    sizes = {"W_xh": (n, m), "W_hh": (n, n), "W_hy": (k, n)}
    if bias:
        sizes |= {"b_h": (n,), "b_y": (k,)}
    bound = 1 / np.sqrt(n)
    return {name: rng.uniform(-bound, bound, size) for name, size in sizes.items()}


def count(p: Params) -> int:
    """Number of parameters: the same for every number of steps."""
    return sum(w.size for w in p.values())


# %% [markdown]
# ## Whose gradient is it?
# Only the last of 20 outputs has a loss. How much of the gradient of $W_{xh}$ does each
# copy contribute?

# %%
SEEDS, STEPS = 5, 20


def contributions(seed: int) -> np.ndarray:
    """Norm of each copy's gradient of W_xh, as a share of the last copy's: (STEPS,)."""
    rng = np.random.default_rng(seed)
    p = init_params(8, 32, 8, rng)
    x, dy = rng.standard_normal((STEPS, 8)), np.zeros((STEPS, 8))  # (T, m), (T, k)
    dy[-1] = rng.standard_normal(8)
    grads = gradient_per_copy([p] * STEPS, x, dy)
    norms = np.array([np.linalg.norm(g["W_xh"]) for g in grads])  # (T,)
    return norms / norms[-1]


# %% [markdown]
# ## Figures


# %%
def draw_shapes() -> None:
    """Five chains of cells side by side. One to one: one input, one cell, one output.

    One to many: one input at the first of three cells, an output from each. Many to
    one: an input to each, an output from the last. Many to many, later: five cells,
    inputs to the first three, outputs from the last three. Many to many, in step:
    three cells, each with input and output.
    """
    import matplotlib.pyplot as plt

    widths = [max(r + w) + 1.8 for r, w in SHAPES.values()]
    _, axes = plt.subplots(
        1, 5, figsize=(6.4, 2.4), width_ratios=widths, layout="constrained"
    )
    arrow = {"arrowstyle": "->", "color": "C0", "shrinkA": 4, "shrinkB": 4}
    for ax, width, (name, (reads, writes)) in zip(
        axes, widths, SHAPES.items(), strict=True
    ):
        steps = max(reads + writes) + 1
        links = [((t, 1), (t + 1, 1)) for t in range(steps - 1)]
        links += [((t, 0), (t, 1)) for t in reads]
        links += [((t, 1), (t, 2)) for t in writes]
        for start, end in links:
            ax.annotate("", end, start, arrowprops=arrow)
        ax.plot(reads, [0] * len(reads), "s", color="C1")
        ax.plot(range(steps), [1] * steps, "o", color="C0")
        ax.plot(writes, [2] * len(writes), "^", color="C2")
        ax.set(xlim=(-0.9, width - 0.9), ylim=(-0.4, 2.4), xticks=[], yticks=[])
        ax.set_title(name.replace(" to ", "\nto ").replace(", ", ",\n"), fontsize=9)
        ax.set_frame_on(False)
    axes[0].set(yticks=[0, 1, 2], yticklabels=["reads", "state", "writes"])
    axes[0].tick_params(length=0)
    axes[0].grid(visible=False)


# %% tags=["active-ipynb"]
# draw_shapes()


# %%
def draw_contributions() -> None:
    """Twenty copies from left to right, on a logarithmic axis: the norm of the gradient
    that each contributes rises along a nearly straight line from some millionths at
    the first copy to 1 at the last. Five seeds run side by side.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for seed in range(SEEDS):
        label = "one seed each" if seed == 0 else None
        ax.semilogy(contributions(seed), "o-", color="C0", alpha=0.5, label=label)
    straight = np.sqrt(1 / 3) ** np.arange(STEPS - 1, -1, -1)  # (T,)
    ax.semilogy(straight, "--", color="C1", label="a factor of 0.577 per step")
    ax.set(xlabel="copy of the weights (step)", ylabel="gradient, last copy = 1")
    ax.set_xticks(range(0, STEPS, 3))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_contributions()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    rng = np.random.default_rng(0)
    p = init_params(4, 5, 3, rng)
    patterns = {str(sees(p, name).tolist()) for name in SHAPES}
    wordings = {(len(r) > 1, len(w) > 1) for r, w in SHAPES.values()}
    out = {"shapes_by_what_is_seen": len(patterns), "shapes_by_name": len(wordings)}
    for name, key in (("later", "later"), ("in step", "in_step")):
        out[f"pairs_seen_{key}"] = int(sees(p, f"many to many, {name}").sum())

    # copies that receive a gradient when only the last of T outputs has a loss
    for steps in (4, 20):
        x, dy = rng.standard_normal((steps, 4)), np.zeros((steps, 3))  # (T, m), (T, k)
        dy[-1] = 1
        grads = gradient_per_copy([p] * steps, x, dy)
        for name in ("W_xh", "W_hh", "b_h", "W_hy"):  # b_h: da itself
            key = f"copies_of_{steps}_{name.lower()}"
            out[key] = sum(bool(g[name].any()) for g in grads)

    # C words in and out, H units, no biases
    plain = init_params(8000, 100, 8000, rng, bias=False)
    out["parameters_c8000_h100"] = count(plain)
    out["parameters_c8000_h100_bias"] = count(plain) + 100 + 8000
    small, large = (init_params(8, n, 8, rng) for n in (100, 200))
    # one multiplication for each weight and step
    out["work_ratio_state"] = large["W_hh"].size / small["W_hh"].size
    out["work_ratio_input"] = large["W_xh"].size / small["W_xh"].size

    shares = np.array([contributions(seed) for seed in range(SEEDS)])  # (seeds, T)
    for back in (1, 5, 10, 19):
        column = shares[:, -1 - back]  # (seeds,)
        out[f"share_{back}_back_median"] = np.median(column)
        out[f"share_{back}_back_min"] = column.min()
        out[f"share_{back}_back_max"] = column.max()
    factors = shares[:, 0] ** (1 / (STEPS - 1))  # per step: (seeds,)
    for fold in ("median", "min", "max"):
        out[f"factor_per_step_{fold}"] = getattr(np, fold)(factors)
    third_root = np.sqrt(1 / 3)
    out["line_over_median"] = third_root ** (STEPS - 1) / np.median(shares[:, 0])
    out |= {"seeds": SEEDS, "steps": STEPS, "third_root": third_root}
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
