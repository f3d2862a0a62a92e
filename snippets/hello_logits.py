# %% [markdown]
r"""
# The "hello" network, every score worked out

A famous figure shows a network of three units reading "hell" and scoring, after each
letter, which of h, e, l, o comes next. This file turns the scores into probabilities,
losses and gradients, changes their temperature, and asks whether the figure can be a
real network.

**Source:** Andrej Karpathy, *The Unreasonable Effectiveness of Recurrent Neural
Networks* (2015), section "Character-Level Language Models", the figure and the text
under it.

| symbol | name | shape |
| --- | --- | --- |
| $h_t$ (`HIDDEN`) | hidden states, as drawn | $(4, 3)$ |
| $y_t$ (`SCORES`) | scores (logits) for h, e, l, o, as drawn | $(4, 4)$ |
| $p_t$ (`p`) | probabilities, softmax of $y_t / \tau$ | $(4, 4)$ |
| $\tau$ (`temperature`) | temperature, above 0 | |
| $T, V, H$ | steps, letters, hidden units: 4, 4, 3 | |
| $W_{hy}, b_y$ | output layer that would have made the scores | $(3, 4), (1, 4)$ |

**Differs from the source:** nothing; the figure gives states and scores, the rest is
computed from them.

**Checked against:** torch softmax, cross-entropy and autograd, SciPy entropy and
`scipy.linalg.lstsq` (1e-10 in float64).

**Takes:** well under 1 s on one core.
"""

# %%
import itertools
import math

import numpy as np

# %% [markdown]
# ## Scores to probabilities, loss and gradient
# Dividing the scores by a temperature before the softmax stretches (below 1) or shrinks
# (above 1) all their differences. The gradient of the loss on the scores is what the
# network said minus what it should have said.


# %%
def softmax(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities along the last axis, same shape as `scores`.

    Raises ValueError if the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    # p_k = exp(y_k / tau) / sum_j exp(y_j / tau)
    z = np.asarray(scores) / temperature
    e = np.exp(z - z.max(axis=-1, keepdims=True))  # exp cannot overflow
    return e / e.sum(axis=-1, keepdims=True)


def loss_and_gradient(
    scores: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy of each row in nats (T,), and its gradient on the scores (T, V).

    scores: (T, V). targets: (T,) indices of the right letters.
    Raises ValueError unless targets has one index per row of scores.
    """
    if np.shape(targets) != np.shape(scores)[:1]:
        want, got = np.shape(scores)[:1], np.shape(targets)
        raise ValueError(f"targets must be {want}, one per row of scores, got {got}")
    p = softmax(scores)  # (T, V)
    right = np.eye(p.shape[1])[targets]  # (T, V)
    # L_t = -ln p_t[target];   dL_t / dy_t = p_t - onehot(target)
    return -np.log((p * right).sum(axis=1)), p - right


# %% [markdown]
# ## The figure
# The letters in the order of the figure, its hidden states and its scores.

# %%
LETTERS = "helo"
HIDDEN = np.array(
    [[0.3, -0.1, 0.9], [1.0, 0.3, 0.1], [0.1, -0.5, -0.3], [-0.3, 0.9, 0.7]]
)  # (4, 3)
SCORES = np.array(
    [
        [1.0, 2.2, -3.0, 4.1],  # reads h, should say e
        [0.5, 0.3, -1.0, 1.2],  # reads e, should say l
        [0.1, 0.5, 1.9, -1.1],  # reads l, should say l
        [0.2, -1.5, -0.1, 2.2],  # reads l, should say o
    ]
)  # (4, 4)
TARGETS = np.array([LETTERS.index(letter) for letter in "ello"])  # (4,)

# %% [markdown]
# ## Can these scores come from these states?
# The post's step function says $y = W_{hy} h$. Four states of three numbers are
# linearly dependent, so the four rows of scores would have to obey the same dependence.
# Least squares gives the nearest they can get. With a bias there is one more unknown
# per letter, and four equations in four unknowns have a solution.
#
# The figure prints one decimal, so every number may be off by 0.05. Put states and
# scores side by side: if $Y = H W$, the columns of $[H\ Y]$ all lie in the span of the
# columns of $H$, so its rank is at most 3 and its fourth singular value is 0. A change
# of the matrix moves a singular value by at most the norm of the change (Weyl), and
# rounding 28 entries by at most 0.05 has a norm of at most $0.05 \sqrt{28}$.


# %%
def output_misfit(hidden: np.ndarray, scores: np.ndarray, bias: bool) -> float:
    """Largest gap between `scores` (T, V) and the best W h (+ b), in score units.

    Raises ValueError if hidden and scores differ in their number of rows.
    """
    if len(hidden) != len(scores):
        raise ValueError(f"hidden has {len(hidden)} rows, scores have {len(scores)}")
    inputs = np.c_[hidden, np.ones(len(hidden))] if bias else hidden  # (T, H or H + 1)
    W, *_ = np.linalg.lstsq(inputs, scores)  # (H or H + 1, V)
    return float(np.abs(scores - inputs @ W).max())


def distance_to_no_bias(hidden: np.ndarray, scores: np.ndarray) -> float:
    """How far [hidden scores] is, in norm, from any pair with scores = hidden W.

    hidden: (T, H). scores: (T, V). Needs more steps than hidden units.
    Raises ValueError unless T > H.
    """
    T, H = hidden.shape
    if T <= H:
        raise ValueError(f"hidden must have more rows than columns, got {T} and {H}")
    both = np.c_[hidden, scores]  # (T, H + V)
    return float(np.linalg.svd(both, compute_uv=False)[H])  # the (H + 1)-th


# %% [markdown]
# ## One step downhill
# Moved on their own, the scores do what the post describes: the right one rises, the
# three wrong ones fall. But the scores of all four steps share one output layer. A
# step on its weights moves each row of scores by a mixture of all four gradients,
# weighted by how alike the states are.


# %%
def move_of_scores(hidden: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """How the scores move per unit of learning rate when W_hy and b_y step: (T, V).

    hidden: (T, H). gradient: (T, V), of the loss on the scores.
    """
    inputs = np.c_[hidden, np.ones(len(hidden))]  # (T, H + 1)
    # dW = X^T G, so the scores X W move by -X X^T G
    return -inputs @ inputs.T @ gradient  # (T, V)


# %% [markdown]
# ## What a network without memory can reach
# It says the same thing after every l. Its best is the share of each continuation, and
# its loss is the entropy that is left.


# %%
def memoryless_bound(text: str) -> tuple[float, float]:
    """Least loss (nats per letter) and best accuracy from the current letter alone.

    Raises ValueError if the text has fewer than two letters.
    """
    if len(text) < 2:
        raise ValueError(f"text must have at least 2 letters, got {text!r}")
    pairs = list(itertools.pairwise(text))
    nats, right = 0.0, 0
    for letter in set(text[:-1]):
        after = [b for a, b in pairs if a == letter]
        counts = [after.count(b) for b in set(after)]
        nats -= sum(n * math.log(n / len(after)) for n in counts)
        right += max(counts)
    return nats / len(pairs), right / len(pairs)


# %% [markdown]
# ## Figures


# %%
def draw_steps() -> None:
    """Four bar charts, one per letter read: the probabilities of h, e, l and o next.

    After the first l the right letter, l, has the longest bar, and after the second l
    so has o. After h and after e the longest bar belongs to o, which is wrong: the
    right letters get one eighth and one twentieth. The right letter has the darker bar.
    """
    import matplotlib.pyplot as plt

    p = softmax(SCORES)  # (4, 4)
    _, axes = plt.subplots(1, 4, figsize=(6.4, 2.6), sharey=True, layout="constrained")
    for t, ax in enumerate(axes):
        ax.bar(list(LETTERS), p[t], color="C0", alpha=0.35)
        ax.bar(TARGETS[t], p[t, TARGETS[t]], color="C0")  # the right letter
        ax.set(title=f"{'hell'[t]} → {'ello'[t]}", xlabel="next letter", ylim=(0, 1))
    axes[0].set_ylabel("probability")


# %% tags=["active-ipynb"]
# draw_steps()


# %%
def draw_temperature() -> None:
    """Probabilities of h, e, l and o after the letter h, at temperatures 0.5, 1 and 2.

    At 0.5 the letter o takes nearly everything. At 1 it has five sixths and e one
    eighth. At 2 it has about six tenths, e a quarter and h an eighth; l stays rarest.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    places = np.arange(len(LETTERS))
    for i, temperature in enumerate((0.5, 1, 2)):
        p = softmax(SCORES[0], temperature)  # (4,)
        bars = ax.bar(
            places + 0.28 * (i - 1), p, 0.26, label=f"temperature {temperature:g}"
        )
        ax.bar_label(bars, fmt="%.2f")
    ax.set_xticks(places, list(LETTERS))
    ax.set(xlabel="next letter after h", ylabel="probability", ylim=(0, 1.1))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_temperature()


# %% [markdown]
# ## Numbers


# %%
def entropy_bits(p: np.ndarray) -> float:
    """Entropy of one distribution (V,), all above 0, in bits."""
    return float(-(p * np.log2(p)).sum())


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    p, (loss, gradient) = softmax(SCORES), loss_and_gradient(SCORES, TARGETS)
    results: dict[str, float] = {}
    for t in range(4):
        results[f"p_target_{t + 1}"] = float(p[t, TARGETS[t]])
        results[f"loss_{t + 1}_nats"] = float(loss[t])
        results[f"entropy_{t + 1}_bits"] = entropy_bits(p[t])
        for i, letter in enumerate(LETTERS):
            results[f"score_{t + 1}_{letter}"] = float(SCORES[t, i])
            results[f"p_{t + 1}_{letter}"] = float(p[t, i])
    for i, letter in enumerate(LETTERS):
        results[f"gradient_1_{letter}"] = float(gradient[0, i])
    results |= {
        "loss_mean_nats": float(loss.mean()),
        "uniform_nats": math.log(4),
        "right_letters": int((p.argmax(axis=1) == TARGETS).sum()),
        # 2.2 becomes 2.3 when the score of e alone takes a step of this size
        "step_from_2_2_to_2_3": 0.1 / -float(gradient[0, TARGETS[0]]),
    }

    move = move_of_scores(HIDDEN, gradient)  # (4, 4)
    told = np.eye(4, dtype=bool)[TARGETS]  # (4, 4): true where the score should rise
    as_told = (move > 0) == told  # (4, 4)
    results |= {
        "scores_moved_alone_as_told": int(((gradient < 0) == told).sum()),
        "scores_moved_by_layer_as_told": int(as_told.sum()),
        "right_scores_raised_by_layer": int(as_told[told].sum()),
        "first_step_moved_by_layer_as_told": int(as_told[0].sum()),
        "losses_lowered_by_layer": int(((gradient * move).sum(axis=1) < 0).sum()),
        "misfit_without_bias": output_misfit(HIDDEN, SCORES, bias=False),
        "misfit_with_bias": output_misfit(HIDDEN, SCORES, bias=True),
        "distance_to_no_bias": distance_to_no_bias(HIDDEN, SCORES),
        "largest_rounding_norm": 0.05 * math.sqrt(HIDDEN.size + SCORES.size),
        # a state drawn as 1.0 is at least 0.95; tanh reaches 1 only at infinity
        "least_input_of_state_1_0": math.atanh(0.95),
    }

    results["memoryless_nats"], results["memoryless_accuracy"] = memoryless_bound(
        "hello"
    )
    for temperature, tag in ((0.5, "0_5"), (1, "1"), (2, "2")):
        q = softmax(SCORES[0], temperature)  # (4,)
        results[f"entropy_temperature_{tag}_bits"] = entropy_bits(q)

    # char-rnn took log2(exp(loss)) for bits per character until 28 May 2015
    results["loss_mean_bits"] = math.log2(math.exp(float(loss.mean())))
    results["bits_of_1_57_nats"] = 1.57 / math.log(2)
    return results


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
