# %% [markdown]
r"""
# Label smoothing, and where its loss is zero

The target is no longer one word but a mixture: most of the mass on the right word, the
rest spread evenly over others. Which others is a convention. The loss is a divergence
from the mixture, so that a model which is too sure pays again.

**Source:** Alexander Rush et al., *The Annotated Transformer* (2018; revised in 2022 by
Austin Huang et al.), "Label Smoothing": the class `LabelSmoothing` and its two plots.

| symbol | name | shape |
| --- | --- | --- |
| $V$ (`size`) | classes, one of them padding | |
| $\epsilon$ (`epsilon`) | mass taken from the right class | |
| `target` | the right class of each row | $(N)$ |
| $q$ | the smoothed target | $(N, V)$ |
| $p$ (`p`) | predicted probabilities | $(N, V)$ |

**Differs from the source:** $0 \log 0$ is 0. The source multiplies 0 by the logarithm
of 0, which current PyTorch answers with NaN.

**Checked against:** `torch.nn.functional.kl_div` and `cross_entropy(label_smoothing=)`
(1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


# %% [markdown]
# ## Two ways to spread the mass
# The source gives nothing to padding, and the right class takes no part in the spread:
# $V - 2$ classes share $\epsilon$. PyTorch spreads it over all $V$, the right one too.


# %%
def smoothed_target(target: Ints, size: int, epsilon: float, padding: int) -> Floats:
    """The source's mixture: (N,) -> (N, size). A row whose target is padding is zero.

    Raises ValueError where an argument makes no sense.
    """
    check(target, size, epsilon)
    if size < 3 or not 0 <= padding < size:
        raise ValueError(f"size {size}, padding {padding}: want size >= 3, a class")
    # q_k = epsilon / (V - 2),   q_target = 1 - epsilon,   q_padding = 0
    q = np.full((len(target), size), epsilon / (size - 2))  # (N, V)
    q[np.arange(len(target)), target] = 1 - epsilon
    q[:, padding] = 0
    q[target == padding] = 0
    return q


def uniform_target(target: Ints, size: int, epsilon: float) -> Floats:
    """PyTorch's mixture: (N,) -> (N, size)."""
    check(target, size, epsilon)
    # q_k = epsilon / V,   q_target = 1 - epsilon + epsilon / V
    return (1 - epsilon) * np.eye(size)[target] + epsilon / size  # (N, V)


def check(target: Ints, size: int, epsilon: float) -> None:
    """Raises ValueError unless epsilon is a share and the targets are classes."""
    if not 0 <= epsilon < 1:
        raise ValueError(f"epsilon is {epsilon}, want 0 <= epsilon < 1")
    if np.any((target < 0) | (target >= size)):
        raise ValueError(f"target is {target}, want classes from 0 to {size - 1}")


# %% [markdown]
# ## The loss
# The divergence is the cross-entropy less the entropy of the mixture. The second does
# not depend on the model, so both have the same gradient; but the divergence can reach
# zero, and the cross-entropy cannot.


# %%
def times_log(q: Floats, p: Floats) -> Floats:
    """q ln p, and 0 where q is 0, whatever p is; q and p of one shape."""
    used = q > 0  # the shape of q
    with np.errstate(divide="ignore"):  # a used class may have p = 0: -inf is right
        return np.where(used, q * np.log(np.where(used, p, 1)), 0)


def entropy(q: Floats) -> Floats:
    """In nats, of each row: (N, V) -> (N,)."""
    return -times_log(q, q).sum(axis=1)


def divergence(q: Floats, p: Floats) -> Floats:
    """KL(q || p) in nats, of each row: (N, V) twice -> (N,). Zero for a row of zeros.

    Raises ValueError if the shapes differ.
    """
    if q.shape != p.shape:
        raise ValueError(f"p has shape {p.shape}, want that of q, {q.shape}")
    # KL(q || p) = sum_k q_k (ln q_k - ln p_k)
    return (times_log(q, q) - times_log(q, p)).sum(axis=1)  # (N,)


# %% [markdown]
# ## A model grows sure of itself
# The source's plot: five classes, 0 is padding, 1 is right. The model gives it $x / d$
# and each of the other three $1 / d$, with $d = x + 3$. As $x$ grows the loss falls to
# zero, where $p = q$, and rises again.

# %% The curve
X = np.arange(1, 100)  # (99,)


def sure(x: Floats | Ints) -> Floats:
    """The plot's predictions: (n,) -> (n, 5)."""
    p = np.ones((len(x), 5))  # (n, 5)
    p[:, 0], p[:, 1] = 0, x  # padding, and the right class
    return p / p.sum(axis=1, keepdims=True)  # (n, 5)


def curve(epsilon: float, x: Floats | Ints = X) -> Floats:
    """The plot's loss for each x: (n,) -> (n,)."""
    q = smoothed_target(np.ones(len(x), int), 5, epsilon, padding=0)  # (n, 5)
    return divergence(q, sure(x))  # (n,)


# %% [markdown]
# ## What an untrained model pays
# The last normalization gives vectors whose entries have variance 1, and Xavier's
# start gives the output layer entries of variance $2 / (V + d)$. So the logits have a
# variance near $2 d / (V + d)$: an untrained model does not guess evenly. It is sure of
# something at random, and pays for it. Here independent normal vectors stand for what
# the last normalization gives; in a model they resemble one another.


# %%
def first_loss(
    size: int, width: int, epsilon: float, n: int, rng: np.random.Generator
) -> float:
    """The mean loss of n random vectors through an untrained output layer, in nats."""
    bound = np.sqrt(6 / (size + width))  # Xavier's uniform distribution
    W = rng.uniform(-bound, bound, (size, width))  # (V, d)
    logits = rng.standard_normal((n, width)) @ W.T  # (n, V)
    p = np.exp(logits)  # (n, V); the logits are small
    p /= p.sum(axis=1, keepdims=True)
    target = rng.integers(1, size, n)  # (n,); 0 is padding
    return float(divergence(smoothed_target(target, size, epsilon, 0), p).mean())


# %% [markdown]
# ## Figure


# %%
def draw_smoothing() -> None:
    """Left, a table of five rows and five columns: one class of each row is darker, the
    first column is empty, and so is the third row. Right, three curves of the loss that
    fall to zero and rise again; the smaller epsilon is, the further right the zero.
    """
    import matplotlib.pyplot as plt

    _, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
    q = smoothed_target(np.array([2, 1, 0, 3, 3]), 5, 0.4, padding=0)  # (5, 5)
    left.imshow(q, cmap="Blues", vmin=0, vmax=1.2, interpolation="none")
    for (row, column), value in np.ndenumerate(q):
        left.text(column, row, f"{value:.2f}", ha="center", va="center", size=8)
    left.set(xlabel="class", ylabel="row", xticks=range(5), yticks=range(5))
    left.set_title("target, $\\epsilon$ = 0.4")
    left.grid(visible=False)
    for epsilon in (0.05, 0.1, 0.2):
        loss = curve(epsilon)  # (99,)
        (line,) = right.plot(X, loss, label=f"$\\epsilon$ = {epsilon}")
        at = loss.argmin()
        right.plot(X[at], loss[at], marker="o", color=line.get_color())
    right.set(xlabel="$x$", ylabel="loss (nats)", ylim=(-0.02, 0.4))
    right.legend()


# %% tags=["active-ipynb"]
# draw_smoothing()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    target = np.array([2, 1, 0, 3, 3])  # (5,), of the source's first plot
    q = smoothed_target(target, 5, 0.4, padding=0)  # (5, 5)
    result = {
        "right_epsilon40": q[0, 2],
        "other_epsilon40": q[0, 1],
        "padding_row_sum": q[2].sum(),
        "mean_row_sum": q.sum(axis=1).mean(),
    }
    one = np.array([1])  # (1,)
    ours = smoothed_target(one, 5, 0.1, padding=0)  # (1, 5)
    theirs = uniform_target(one, 5, 0.1)  # (1, 5)
    result |= {
        "right_epsilon10": ours[0, 1],
        "other_epsilon10": ours[0, 2],
        "right_epsilon10_pytorch": theirs[0, 1],
        "other_epsilon10_pytorch": theirs[0, 2],
        "floor_epsilon10": entropy(ours)[0],
        "floor_epsilon10_pytorch": entropy(theirs)[0],
        "floor_epsilon10_v6384": entropy(smoothed_target(one, 6384, 0.1, 0))[0],
    }
    for percent in (5, 10, 20):
        lowest = X[curve(percent / 100).argmin()]
        result[f"lowest_x_epsilon{percent:02}"] = lowest
    loss = curve(0.1)  # (99,)
    for x in (1, 13, 27, 50, 99):
        result[f"loss_x{x}"] = loss[x - 1]
    result["place_of_lowest_in_plot"] = loss.argmin()
    for name, size, epsilon, n_seeds in (("copy", 11, 0, 21), ("6384", 6384, 0.1, 5)):
        seeds = [np.random.default_rng(seed) for seed in range(n_seeds)]
        first = [first_loss(size, 512, epsilon, 64, rng) for rng in seeds]
        result[f"first_loss_{name}_median"] = np.median(first)
        result[f"first_loss_{name}_min"] = min(first)
        result[f"first_loss_{name}_max"] = max(first)
    return {name: float(value) for name, value in result.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
