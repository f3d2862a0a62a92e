# %% [markdown]
r"""
# The Illustrated Transformer, with numbers in the boxes

One sentence of two words goes through the six steps of self-attention, with matrices
small enough to follow by hand and every intermediate shown with its shape. Then the
positional encoding that the post draws, beside the one that the paper writes down,
three heads written by hand for the post's sentence about a tired animal, and its
six-word vocabulary with its loss.

**Source:** Jay Alammar, *The Illustrated Transformer* (2018): "Self-Attention in
Detail", "Representing The Order of The Sequence Using Positional Encoding", "The Loss
Function".

| symbol | name | shape |
| --- | --- | --- |
| $X$ (`x`) | a vector per word | $(T, d_{model})$ |
| $W^Q, W^K, W^V$ (`W_q`, `W_k`, `W_v`) | projections of one head | $(d_{model}, d_k)$ |
| `q`, `k`, `v` | queries, keys, values | $(T, d_k)$ |
| `z` | what the head puts out | $(T, d_k)$ |
| `p` | a probability for each word of the vocabulary | $(..., V)$ |

**Differs from the source:** the post draws 4 boxes for 512 numbers and 3 for 64. Here
a word has 4 numbers and a query 3, chosen so that the post's scores come out; they are
still divided by $\sqrt{64}$. The post shows a trained head for its sentence; ours are
written by hand, without a feed-forward network or normalization.

**Checked against:** `torch.nn.functional.scaled_dot_product_attention`, `cross_entropy`
and autograd (1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

# %% [markdown]
# ## Six steps
# The steps of the post, one line each, for all words at once. Only the last one mixes
# the words; everything before it prepares the weights.


# %%
def six_steps(
    x: Floats, W_q: Floats, W_k: Floats, W_v: Floats, d_k: int
) -> dict[str, Floats]:
    """One head of self-attention; every intermediate by name.

    x: (T, d_model), W_q and W_k: (d_model, n), W_v: (d_model, n_v); the scores are
    divided by the root of d_k. Raises ValueError where shapes or d_k make no sense.
    """
    for name, W in (("W_q", W_q), ("W_k", W_k), ("W_v", W_v)):
        if len(W) != x.shape[1]:
            raise ValueError(f"{name} has {len(W)} rows, want x's width {x.shape[1]}")
    if d_k < 1:
        raise ValueError(f"d_k is {d_k}, want 1 or more")
    q, k, v = x @ W_q, x @ W_k, x @ W_v  # 1. project: (T, n), (T, n), (T, n_v)
    scores = q @ k.T  # 2. each query with each key: (T, T)
    scaled = scores / math.sqrt(d_k)  # 3. divide: (T, T)
    weights = softmax(scaled)  # 4. shares of 1 in each row: (T, T)
    weighted = weights[:, :, None] * v  # 5. weight the values: (T, T, n_v)
    z = weighted.sum(axis=1)  # 6. add them up: (T, n_v)
    return {
        "q": q,
        "k": k,
        "v": v,
        "scores": scores,
        "scaled": scaled,
        "weights": weights,
        "weighted": weighted,
        "z": z,
    }


def softmax(x: Floats) -> Floats:
    """Softmax over the last axis; x of any shape."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))  # the shape of x
    return e / e.sum(axis=-1, keepdims=True)


# %% [markdown]
# ## Thinking Machines
# The post gives the scores of its first word, 112 with itself and 96 with the second,
# and leaves the vectors as empty boxes. Any vectors with these products will do. Ours
# are whole numbers: $q_1 = (8, 4, 0)$, $k_1 = (12, 4, 1)$, $k_2 = (10, 4, 2)$.

# %% The boxes
X = np.array([[1.0, 0, 1, 0], [0, 1, 0, 1]])  # (2, 4)
W_Q = np.array([[5.0, 3, 0], [2, 1, 1], [3, 1, 0], [1, 6, 1]])  # (4, 3)
W_K = np.array([[7.0, 3, 1], [6, 2, 1], [5, 1, 0], [4, 2, 1]])  # (4, 3)
W_V = np.array([[1.0, 0, 2], [0, 3, 1], [0, 0, 1], [1, 1, 0]])  # (4, 3)
D_K = 64  # the width of a real query


# %%
def walk() -> str:
    """The six steps for the two words: each array's name, shape and content."""
    arrays = {"x": X, **six_steps(X, W_Q, W_K, W_V, D_K)}
    return "\n".join(
        f"{name} {array.shape}\n{np.round(array, 4)}" for name, array in arrays.items()
    )


# %% tags=["active-ipynb"]
# print(walk())

# %% [markdown]
# ## Two positional encodings
# Both are sines and cosines of the position at falling frequencies. The paper gives
# the sine and the cosine of a frequency neighbouring columns. The post's picture was
# made by the authors' library, tensor2tensor: all sines, then all cosines. It also has
# other frequencies, since it divides by one less and so really ends at 1/10000.


# %%
def interleaved(n_positions: int, d_model: int) -> Floats:
    """The paper's formula: sin, cos, sin, cos, ...; (n_positions, d_model)."""
    angle = angles(n_positions, d_model, d_model / 2)  # (n_positions, d_model / 2)
    # PE(pos, 2i) = sin(pos / 10000^(2i / d)), PE(pos, 2i + 1) = cos(the same)
    pair = np.stack([np.sin(angle), np.cos(angle)], axis=-1)  # (n, d_model / 2, 2)
    return pair.reshape(n_positions, d_model)  # (n_positions, d_model)


def halves(n_positions: int, d_model: int) -> Floats:
    """The picture's: sin, sin, ..., cos, cos, ...; (n_positions, d_model)."""
    angle = angles(n_positions, d_model, d_model / 2 - 1)  # (n, d_model / 2)
    # angle = pos / 10000^(i / (d / 2 - 1))
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)  # (n, d_model)


def angles(n_positions: int, d_model: int, divisor: float) -> Floats:
    """pos / 10000^(i / divisor): (n_positions, d_model / 2).

    Raises ValueError if d_model is odd or below 4.
    """
    if d_model < 4 or d_model % 2:
        raise ValueError(f"d_model is {d_model}, want an even number from 4")
    position = np.arange(n_positions)[:, None]  # (n_positions, 1)
    i = np.arange(d_model // 2)  # (d_model / 2,)
    return position / 10000.0 ** (i / divisor)  # (n_positions, d_model / 2)


def apart(encoding: Floats) -> Floats:
    """Even columns first, then the odd ones: the order of `halves`."""
    return np.concatenate([encoding[:, 0::2], encoding[:, 1::2]], axis=1)


# %% [markdown]
# ## What does "it" mean?
# The post's sentence, and heads whose matrices can be read. A word is nine numbers:
# five facts about it, and its position by the paper's formula. The first head looks at
# the word before, by position alone. The second asks for each pronoun: what is said of
# it? Its answer is added to the word, as a residual connection does, and the third
# head, one layer further, looks for what it fits.

# %% Three heads
WORDS = ("The", "animal", "didn't", "cross", "the", "street", "because", "it")
WORDS += ("was", "too")  # and the last word, which varies
NOUN, PRONOUN, PROPERTY, TIRED, WIDE = range(5)
HEADS = ("the word before", "what is said", "who is meant")


def sentence(last: str) -> Floats:
    """The words, then `last`: (11, 9). An animal can be tired, a street can be wide.

    Raises ValueError if `last` is neither "tired" nor "wide".
    """
    if last not in ("tired", "wide"):
        raise ValueError(f"last is {last!r}, want 'tired' or 'wide'")
    x = np.zeros((11, 9))  # (T, d_model)
    x[1, [NOUN, TIRED]] = x[5, [NOUN, WIDE]] = x[7, PRONOUN] = 1
    x[10, [PROPERTY, TIRED if last == "tired" else WIDE]] = 1
    x[:, 5:] = interleaved(11, 4)  # (11, 4)
    return x


def matrices(head: str) -> tuple[Floats, Floats, Floats]:
    """W_q, W_k: (9, 4) each, and W_v: (9, 3); one of HEADS.

    Raises ValueError for any other head.
    """
    W_q, W_k, W_v = np.zeros((9, 4)), np.zeros((9, 4)), np.zeros((9, 3))
    if head == "the word before":
        for i in (0, 2):  # sine and cosine of one frequency
            s, c = math.sin(0.01 ** (i / 2)), math.cos(0.01 ** (i / 2))
            # (sin a, cos a) -> (sin(a - w), cos(a - w)), one position back
            W_q[5 + i : 7 + i, i : i + 2] = [[10 * c, 10 * s], [-10 * s, 10 * c]]
        W_k[5:] = 10 * np.eye(4)
    elif head == "what is said":
        W_q[PRONOUN, 0], W_k[PROPERTY, 0] = 4, 3  # a pronoun asks for a property
    elif head == "who is meant":
        W_q[[PRONOUN, TIRED, WIDE], [0, 1, 2]] = 4  # a noun, and tired or wide
        W_k[[NOUN, TIRED, WIDE], [0, 1, 2]] = 2
    else:
        raise ValueError(f"head is {head!r}, want one of {HEADS}")
    W_v[[NOUN, TIRED, WIDE], [0, 1, 2]] = 1
    return W_q, W_k, W_v


def look(head: str, last: str = "tired", d_k: int = 4) -> dict[str, Floats]:
    """The six steps of one head on the sentence that ends in `last`."""
    x = sentence(last)  # (11, 9)
    if head == "who is meant":  # the second layer reads x + z W_o
        x[:, [TIRED, WIDE]] += look("what is said", last, d_k)["z"][:, 1:]  # (11, 2)
    return six_steps(x, *matrices(head), d_k)


# %% [markdown]
# ## A vocabulary of six words
# An output is a probability for each word, the target has 1 at the right one. The post
# says that the two are compared, say by subtraction. What is minimized is the
# cross-entropy; the subtraction is its gradient with respect to the logits.

# %%
VOCABULARY = ("a", "am", "I", "thanks", "student", "<eos>")
UNTRAINED = np.array([0.2, 0.2, 0.1, 0.2, 0.2, 0.1])  # (6,), for "merci"
TRAINED = np.array(  # (5, 6), for "je suis étudiant"
    [
        [0.01, 0.02, 0.93, 0.01, 0.03, 0.01],
        [0.01, 0.80, 0.10, 0.05, 0.01, 0.03],
        [0.99, 0.001, 0.001, 0.001, 0.002, 0.001],
        [0.001, 0.002, 0.001, 0.02, 0.94, 0.01],
        [0.01, 0.01, 0.001, 0.001, 0.001, 0.98],
    ]
)
TARGETS = np.array([2, 1, 0, 4, 5])  # (5,): I am a student <eos>


def cross_entropy(p: Floats, target: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Loss in nats and its gradient for the logits.

    p: (..., V), target: (...), an index each; returns the shapes (...) and (..., V).
    Raises ValueError where a target is no word of the vocabulary.
    """
    size = p.shape[-1]
    if np.any((target < 0) | (target >= size)):
        raise ValueError(f"target is {target}, want indices from 0 to {size - 1}")
    y = np.eye(size)[target]  # (..., V), one-hot
    return -np.log((p * y).sum(axis=-1)), p - y  # (...), (..., V)


# %% [markdown]
# ## Figures


# %%
def draw_heads() -> None:
    """Six maps of 11 by 11 words, pale to dark. First head: a line of dark cells one
    below the diagonal, faint ones seven places off. Second: all even, but the row of
    "it" is dark at the last word. Third, ending in tired: the row of "it" is dark at
    "animal", that of "street" at itself, those of "animal" and "tired" at both of
    these. Ending in wide, "animal" and "street" trade places.
    """
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(2, 3, figsize=(6.4, 5), sharex=True, layout="constrained")
    for row, last in zip(axes, ("tired", "wide"), strict=True):
        for ax, head in zip(row, HEADS, strict=True):
            weights = look(head, last)["weights"]  # (11, 11)
            ax.imshow(weights, cmap="Blues", vmin=0, vmax=1, interpolation="none")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.grid(visible=False)
            ax.set_title(head)
        row[0].set_yticks(range(11), [*WORDS, last], fontsize=7)
    for ax in axes[1]:
        ax.set_xticks(range(11), [*WORDS, "tired, wide"], rotation=90, fontsize=7)


# %% tags=["active-ipynb"]
# draw_heads()


# %%
def draw_positions() -> None:
    """Three panels of 20 positions by 512 columns. The paper's encoding shows fine
    stripes at the left that fade; the picture's shows two halves with a seam in the
    middle; the third, their difference in the same order of columns, is faint.
    """
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(3, 1, figsize=(6.4, 4.8), sharex=True, layout="constrained")
    paper, picture = interleaved(20, 512), halves(20, 512)  # (20, 512) each
    panels = {
        "the paper's formula": (paper, 1),
        "the post's picture": (picture, 1),
        "paper, columns sorted, minus picture": (apart(paper) - picture, 0.03),
    }
    for ax, (title, (values, limit)) in zip(axes, panels.items(), strict=True):
        # one pixel for each value, so that the file stays small
        shown = {"interpolation": "none", "aspect": "auto", "origin": "lower"}
        image = ax.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, **shown)
        ax.set(title=title, ylabel="position")
        ax.grid(visible=False)
        ax.figure.colorbar(image, ax=ax)
    axes[-1].set_xlabel("column")


# %% tags=["active-ipynb"]
# draw_positions()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    steps = six_steps(X, W_Q, W_K, W_V, D_K)
    result = {}
    for j in (0, 1):
        result[f"score_1_{j + 1}"] = steps["scores"][0, j]
        result[f"scaled_1_{j + 1}"] = steps["scaled"][0, j]
        result[f"weight_1_{j + 1}"] = steps["weights"][0, j]
        result[f"weight_unscaled_1_{j + 1}"] = softmax(steps["scores"])[0, j]
    result["weight_1_1_dk256"] = softmax(steps["scores"] / math.sqrt(256))[0, 0]
    for name, encoding in (("paper", interleaved(3, 4)), ("picture", halves(3, 4))):
        for pos in (1, 2):
            for column in range(4):
                result[f"{name}_pos{pos}_column{column + 1}"] = encoding[pos, column]
    gap = np.abs(apart(interleaved(1000, 512)) - halves(1000, 512))  # (1000, 512)
    for n in (20, 100, 1000):
        result[f"gap_max_d512_{n}_positions"] = gap[:n].max()
    loss, gradient = cross_entropy(UNTRAINED, np.array(3))
    result["loss_untrained"] = loss
    result["loss_uniform"] = math.log(len(VOCABULARY))
    result["gradient_untrained_thanks"] = gradient[3]
    losses = cross_entropy(TRAINED, TARGETS)[0]  # (5,)
    result["loss_trained_mean"] = losses.mean()
    result["loss_trained_worst"] = losses.max()
    result["row_sum_min"] = TRAINED.sum(axis=1).min()
    result["row_sum_max"] = TRAINED.sum(axis=1).max()
    for last in ("tired", "wide"):
        weights = look("who is meant", last)["weights"][7]  # (11,): the row of "it"
        result[f"it_animal_{last}"], result[f"it_street_{last}"] = weights[[1, 5]]
    # for a word that asks nothing
    result["mean_tired"] = look("what is said")["z"][0, 1]
    before = look("the word before")["scaled"][7]  # (11,)
    result["before_6"], result["before_0"] = softmax(before)[[6, 0]]
    # queries and keys twice as long: scores four times as large
    result["before_6_doubled"] = softmax(4 * before)[6]
    it = look("who is meant")
    for j in range(11):  # the row of "it", as the picture on the page begins
        for name in ("scores", "scaled", "weights"):
            result[f"it_{name}_{j + 1}"] = it[name][7, j]
        for name, value in zip(("noun", "tired", "wide"), it["v"][j], strict=True):
            result[f"it_{name}_{j + 1}"] = value
    for name, total in zip(("noun", "tired", "wide"), it["z"][7], strict=True):
        result[f"it_{name}_sum"] = total
    result["projections_8_heads"] = 3 * 8 * 512 * D_K
    return {name: float(value) for name, value in result.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
