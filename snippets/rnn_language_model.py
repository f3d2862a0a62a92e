# %% [markdown]
r"""
# An RNN as a language model

A recurrent network that scores sentences and writes them, small enough to follow by
hand; the deep and the bidirectional variant; what each of their outputs can see; and
what sharing the weights over time saves.

**Source:** Denny Britz, *Recurrent Neural Networks Tutorial, Part 1* (2015): the two
formulas, "What can RNNs do?", "RNN Extensions".

| symbol | name | shape |
| --- | --- | --- |
| $x_t$ (`x[t]`) | word read at step $t$, as the index of its one | |
| $s_t$ (`s[t]`) | state after word $t$; before the first word it is zero | $(H)$ |
| $o_t$ (`exp(log_o[t])`) | probabilities of the next word | $(C)$ |
| $U, W, V$ | weights: in, through time, out | $(H, C), (H, H), (C, H)$ |
| $C$, $H$, $T$ | words in the vocabulary, units of the state, words read | |

**Differs from the source:** states are rows, hence `@ W.T`; time counts from 0
throughout, where the source counts from 0 and from 1.

**Checked against:** `torch.nn.RNN`, plain, of two layers and bidirectional, with a
`Linear` on top, and torch autograd (1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Callable
from itertools import product

import numpy as np

Layer = tuple[np.ndarray, np.ndarray]  # U, W

# %% [markdown]
# ## The recurrence
# All there is to a recurrent layer. What comes in at each step, $U x_t$, is given.


# %% The recurrence
def recurrence(a: np.ndarray, W: np.ndarray) -> np.ndarray:
    """States (T, H) of a layer with inputs `a` (T, H) and weights `W` (H, H).

    Raises ValueError if the shapes do not fit.
    """
    if a.ndim != 2 or W.shape != (a.shape[1], a.shape[1]):
        raise ValueError(f"want a (T, H) and W (H, H), got {a.shape} and {W.shape}")
    s = np.zeros((len(a) + 1, a.shape[1]))  # (T + 1, H); s[-1] is s_{-1} = 0
    for t in range(len(a)):
        # s_t = tanh(U x_t + W s_{t-1})
        s[t] = np.tanh(a[t] + W @ s[t - 1])  # (H,)
    return s[:-1]  # (T, H)


def columns(U: np.ndarray, x: np.ndarray) -> np.ndarray:
    """U x_t for one-hot words: the columns of U, as rows (T, H).

    Raises ValueError unless x (T,) holds one or more indices of columns.
    """
    if x.ndim != 1 or not len(x) or x.min() < 0 or x.max() >= U.shape[1]:
        raise ValueError(f"x must be a row of indices in [0, {U.shape[1]}), got {x!r}")
    return U[:, x].T  # (T, H)


# %% [markdown]
# ## Deep and bidirectional
# A deep network hands the states of one layer to the next as input. A bidirectional one
# has two layers *side by side*, one reading the words backward, and joins their states.


# %%
def deep_states(x: np.ndarray, layers: list[Layer]) -> np.ndarray:
    """States (T, H) of the top layer; one layer is the plain network."""
    (U, W), *further = layers
    s = recurrence(columns(U, x), W)  # (T, H)
    for U, W in further:
        # the next layer reads the states: U is (H, H) there
        s = recurrence(s @ U.T, W)  # (T, H)
    return s


def bidirectional_states(x: np.ndarray, ahead: Layer, back: Layer) -> np.ndarray:
    """States (T, 2 H): what came up to word t, then what comes from word t on."""
    (U, W), (U_back, W_back) = ahead, back
    s = recurrence(columns(U, x), W)  # (T, H)
    s_back = recurrence(columns(U_back, x)[::-1], W_back)[::-1]  # (T, H)
    return np.concatenate([s, s_back], axis=1)  # (T, 2 H)


# %% [markdown]
# ## Predict, score, write


# %% Predict, score, write
def predict(s: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Log-probabilities of the next word (T, C), in nats, from states (T, H)."""
    # o_t = softmax(V s_t)
    z = s @ V.T  # (T, C)
    z -= z.max(axis=1, keepdims=True)  # exp cannot overflow
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))  # (T, C)


def nats(log_o: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Surprise at each word but the first, -log o_t[x_{t+1}]: (T - 1,).

    Raises ValueError if x has fewer than two words.
    """
    if len(x) < 2:
        raise ValueError(f"x must have >= 2 words, got {len(x)}")
    # the aim of training: o_t puts its mass on x_{t+1}
    return -log_o[np.arange(len(x) - 1), x[1:]]  # (T - 1,)


def generate(
    layers: list[Layer], V: np.ndarray, first: int, n: int, rng: np.random.Generator
) -> np.ndarray:
    """`n` words after `first`, each drawn from the output and fed back in: (n + 1,)."""
    x = np.array([first])  # (1,), grows
    for _ in range(n):
        log_o = predict(deep_states(x, layers), V)  # (T, C)
        x = np.append(x, rng.choice(len(V), p=np.exp(log_o[-1])))
    return x


# %% [markdown]
# ## Back through the steps
# The weights are shared, so the gradient of one output is a sum over the steps at which
# they were used. Here are the terms of the sum, one by one.


# %%
def gradient_terms(
    x: np.ndarray, target: int, layer: Layer, V: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Terms of the gradient of the *last* output's loss, one per step.

    Returns dL/dU (T, H, C) and dL/dW (T, H, H); their sums over T are the gradients.
    """
    U, W = layer
    s = deep_states(x, [layer])  # (T, H)
    dz = np.exp(predict(s, V)[-1])  # (C,)
    dz[target] -= 1
    dU, dW = np.zeros((len(x), *U.shape)), np.zeros((len(x), *W.shape))
    ds = V.T @ dz  # (H,)
    for k in reversed(range(len(x))):
        da = (1 - s[k] ** 2) * ds  # (H,)
        dU[k, :, x[k]] = da
        if k > 0:  # at the first step W met the zero state
            dW[k] = np.outer(da, s[k - 1])  # (H, H)
        # the step before: ds_{k-1} = W^T da_k
        ds = W.T @ da  # (H,)
    return dU, dW


# %% [markdown]
# ## Who can see whom?
# Change the word at one place and see which outputs move. No derivative is needed.


# %%
def who_sees_whom(
    read: Callable[[np.ndarray], np.ndarray], x: np.ndarray
) -> np.ndarray:
    """(T, T), at [t, j] whether output t moves when word j is another.

    read: from words (T,) to outputs (T, C). A word is replaced by the one before it in
    the vocabulary, word 0 by word 1.
    """
    sees, before = np.zeros((len(x), len(x)), dtype=bool), read(x)
    for j in range(len(x)):
        other = x.copy()
        other[j] = abs(x[j] - 1)
        sees[:, j] = np.abs(read(other) - before).max(axis=1) > 1e-12
    return sees


# %% [markdown]
# ## A perfect score for nothing
# A bidirectional network has read the next word before it predicts it. These weights,
# written by hand, hand it over: the first half of the backward state holds the word,
# the second half the word that the state before it held, which is the word after.


# %%
def copier(C: int) -> tuple[Layer, Layer, np.ndarray]:
    """A bidirectional "language model" of C words that copies: ahead, back, V."""
    H, one, nothing = 2 * C, np.eye(C), np.zeros((C, C))
    ahead = np.zeros((H, C)), np.zeros((H, H))
    U_back = np.vstack([4 * one, nothing])  # (H, C)
    W_back = np.block([[nothing, nothing], [4 * one, nothing]])  # (H, H)
    V = np.hstack([np.zeros((C, H)), nothing, 10 * one])  # (C, 2 H)
    return ahead, (U_back, W_back), V


# %% [markdown]
# ## Counting
# Without biases, as in the source. An LSTM has four affine maps in place of one.


# %%
def parameters(
    C: int, H: int, layers: int = 1, directions: int = 1, maps: int = 1
) -> int:
    """Weights of a network with C words in and out and H units per layer.

    Raises ValueError if a size is below 1 or directions is neither 1 nor 2.
    """
    if min(C, H, layers, maps) < 1 or directions not in (1, 2):
        got = f"got {C}, {H}, {layers}, {maps} and {directions} directions"
        raise ValueError(f"sizes must be >= 1 and directions 1 or 2, {got}")
    # U and W of the first layer, of each further layer, and V
    first = directions * maps * (H * C + H * H)
    further = directions * maps * (H * directions * H + H * H)
    return first + (layers - 1) * further + C * directions * H


def parameters_unshared(C: int, H: int, T: int) -> int:
    """A chain of T steps with weights of its own at each; the first needs no W."""
    return T * (2 * H * C + H * H) - H * H


# %% [markdown]
# ## By hand
# Three words, two units: every number can be followed with a pocket calculator.

# %%
HAND_U = np.array([[0.5, -0.5, 0.0], [0.0, 0.5, -0.5]])  # (2, 3)
HAND_W = np.array([[0.5, 0.0], [0.0, 0.5]])  # (2, 2)
HAND_V = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])  # (3, 2)


def random_layers(
    sizes: list[tuple[int, int]], rng: np.random.Generator
) -> list[Layer]:
    """Layers of given (inputs, units), standard normal over the root of the inputs."""
    return [
        (rng.standard_normal((H, n)) / n**0.5, rng.standard_normal((H, H)) / H**0.5)
        for n, H in sizes
    ]


# %% [markdown]
# ## Figures


# %%
def draw_who_sees_whom() -> None:
    """Three squares of 6 by 6 fields: outputs downward, words read to the right.

    Plain and two layers deep: the fields on and below the diagonal are filled, each
    output has seen its own word and all earlier ones. Bidirectional: all are filled.
    """
    import matplotlib.pyplot as plt

    rng, x = np.random.default_rng(0), np.arange(6)
    V, V_two = rng.standard_normal((6, 4)), rng.standard_normal((6, 8))  # (C, H), ...
    one, two = random_layers([(6, 4), (4, 4)], rng)
    back = random_layers([(6, 4)], rng)[0]
    _, axes = plt.subplots(1, 3, figsize=(6.4, 2.6), layout="constrained")
    readers = {
        "plain": lambda x: predict(deep_states(x, [one]), V),
        "two layers": lambda x: predict(deep_states(x, [one, two]), V),
        "bidirectional": lambda x: predict(bidirectional_states(x, one, back), V_two),
    }
    for ax, (name, read) in zip(axes, readers.items(), strict=True):
        t, j = np.nonzero(who_sees_whom(read, x))
        ax.bar(j, 0.9, width=0.9, bottom=t - 0.45, color="C0")
        ax.set(title=name, xlim=(-0.6, 5.6), ylim=(5.6, -0.6), aspect="equal")
        ax.set(xticks=range(6), yticks=range(6), xlabel="word j")
        ax.grid(visible=False)
    axes[0].set_ylabel("output t")


# %% tags=["active-ipynb"]
# draw_who_sees_whom()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    hand = [(HAND_U, HAND_W)]
    s = deep_states(np.array([0, 1]), hand)  # (2, 2)
    o = np.exp(predict(s, HAND_V))  # (2, 3)
    forgetful = deep_states(np.array([0, 1]), [(HAND_U, 0 * HAND_W)])  # (2, 2)
    results = {f"hand_s{t}_{i}": float(s[t, i]) for t in (0, 1) for i in (0, 1)}
    results |= {f"hand_o{t}_{i}": float(o[t, i]) for t in (0, 1) for i in (0, 1, 2)}
    results["hand_s1_0_without_w"] = float(forgetful[1, 0])

    # the word 0, followed by each of the 81 possible continuations of four words
    scores = []
    for words in product(range(3), repeat=4):
        x = np.array([0, *words])  # (5,)
        scores.append(np.exp(-nats(predict(deep_states(x, hand), HAND_V), x).sum()))
    results |= {"continuations": len(scores), "total_probability": float(sum(scores))}

    rng = np.random.default_rng(0)
    (layer,), V = random_layers([(7, 5)], rng), rng.standard_normal((7, 5))
    for words in (4, 5):
        dU, dW = gradient_terms(np.arange(words), 6, layer, V)
        for name, terms in (("u", dU), ("w", dW)):
            results[f"terms_{name}_word_{words}"] = int(terms.any(axis=(1, 2)).sum())
    results["steps_back_word_4"] = results["terms_u_word_4"] - 1

    noise = rng.integers(0, 50, 400)  # (400,)
    ahead, back, V = copier(50)
    log_o = predict(bidirectional_states(noise, ahead, back), V)  # (400, 50)
    results |= {
        "copier_nats": float(nats(log_o, noise).mean()),
        "noise_nats": float(np.log(50)),
        "plain": parameters(8000, 100),
        "two_layers": parameters(8000, 100, layers=2),
        "bidirectional": parameters(8000, 100, directions=2),
        "lstm": parameters(8000, 100, maps=4),
        "unshared_5": parameters_unshared(8000, 100, 5),
        "unshared_20": parameters_unshared(8000, 100, 20),
    }
    return results


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
