# %% [markdown]
r"""
# A GRU language model, trained with RMSprop

Word vectors, two GRU layers, a softmax over the vocabulary: forward, backward by hand,
and the optimiser. Then the questions that the source leaves to reading samples: does
the GRU learn better than a plain recurrent network, and what do narrow word vectors
cost?

**Source:** Denny Britz, *Recurrent Neural Network Tutorial, Part 4* (2015), sections on
the GRU, on RMSprop, on the embedding layer and on the second layer.

| symbol | name | shape |
| --- | --- | --- |
| $T, B$ | words in a sentence, sentences | |
| $C, D, H$ | vocabulary, dimensions of a word vector, units | |
| $x_t$ (`x[t]`) | words read, as indices | $(B)$ |
| $z, r$ | update gate, reset gate | $(\dots, B, H)$ |
| $h$ | candidate | $(\dots, B, H)$ |
| $s_t$ (`s[t]`) | hidden state; $s_{-1} = 0$ is `s[-1]` | $(\dots, B, H)$ |
| $E$ | word vectors, one per column | $(D, C)$ |
| $U$ (`U1`, `U2`) | from below, for z, r, h | $(3, H, D), (3, H, H)$ |
| $W, b$ (`W1`, `b1` ...) | through time, for z, r, h; biases | $(3, H, H), (3, H)$ |
| $V, c$ | from the second layer to the scores | $(C, H), (C)$ |
| $\dots$ | models side by side, one per seed (optional) | |

**Differs from the source:** sentences of one length form a batch, whose vectors are
rows. The gates are sigmoids as in the text; the source's program has Theano's
piecewise linear `hard_sigmoid`. $D$ may differ from $H$. Text and sizes of the training
run are ours, and so is its learning rate, 0.01.

**Checked against:** a twin in torch with autograd, over whole training steps (1e-10 in
float64); `torch.optim.RMSprop`.

**Takes:** about 4 s on one core.
"""

# %%
import functools
from collections.abc import Callable

import numpy as np

Params = dict[str, np.ndarray]  # E, U1, W1, b1, U2, W2, b2, V, c

# %% [markdown]
# ## One GRU layer
# The three products with $U$ do not wait for the state, so they are done for all steps
# at once. Mind the last line of the forward loop: here $z$ near 1 *keeps* the old
# state. And mind the third: $r$ acts on the state before $W$ does.


# %%
def sigmoid(a: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-a)), written so that no a overflows."""
    return 0.5 * (1 + np.tanh(0.5 * a))


def gru_layer(
    U: np.ndarray, W: np.ndarray, b: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, Callable]:
    """Run one layer over x (T, ..., B, D) -> s (T, ..., B, H), backward.

    U (..., 3, H, D), W (..., 3, H, H), b (..., 3, H): for z, r, h in this order, units
    first as in the source's program; its formulas have the transposes of U and W.
    `backward` takes the gradient of s and returns those of U, W, b and x.
    """
    T, B, H = len(x), x.shape[-2], U.shape[-2]
    U_z, U_r, U_h = np.moveaxis(U, -3, 0)  # (..., H, D) each
    W_z, W_r, W_h = np.moveaxis(W, -3, 0)  # (..., H, H) each
    # what the input adds to z, r and h
    a = x[None] @ np.moveaxis(U, -3, 0)[:, None].mT  # (3, T, ..., B, H)
    a += np.moveaxis(b, -2, 0)[:, None, ..., None, :]
    s = np.zeros((T + 1, *U.shape[:-3], B, H))  # the last row is s_{-1} = 0
    z, r, h = np.empty((3, T, *s.shape[1:]))  # (T, ..., B, H) each
    for t in range(T):
        # z = sigma(x_t U^z + s_{t-1} W^z)
        z[t] = sigmoid(a[0, t] + s[t - 1] @ W_z.mT)  # (..., B, H)
        # r = sigma(x_t U^r + s_{t-1} W^r)
        r[t] = sigmoid(a[1, t] + s[t - 1] @ W_r.mT)  # (..., B, H)
        # h = tanh(x_t U^h + (s_{t-1} * r) W^h)
        h[t] = np.tanh(a[2, t] + (s[t - 1] * r[t]) @ W_h.mT)  # (..., B, H)
        # s_t = (1 - z) * h + z * s_{t-1}
        s[t] = (1 - z[t]) * h[t] + z[t] * s[t - 1]  # (..., B, H)

    def backward(ds: np.ndarray) -> tuple[np.ndarray, ...]:
        """ds (T, ..., B, H) -> dU, dW, db, dx, in the shapes of U, W, b, x."""
        da = np.empty_like(a)  # (3, T, ..., B, H)
        back = np.zeros_like(s[0])  # from step t + 1  (..., B, H)
        for t in reversed(range(T)):
            d = ds[t] + back  # (..., B, H)
            da[0, t] = d * (s[t - 1] - h[t]) * z[t] * (1 - z[t])  # into z
            da[2, t] = d * (1 - z[t]) * (1 - h[t] ** 2)  # into h
            d_rs = da[2, t] @ W_h  # gradient of s_{t-1} * r  (..., B, H)
            da[1, t] = d_rs * s[t - 1] * r[t] * (1 - r[t])  # into r
            # s_{t-1} acts in four places: z * s, the two gates, s * r
            back = d * z[t] + da[0, t] @ W_z + da[1, t] @ W_r + d_rs * r[t]
        s_prev = s[np.arange(T) - 1]  # s_{-1}, s_0, ... s_{T-2}  (T, ..., B, H)
        seen = np.stack([s_prev, s_prev, s_prev * r])  # by W  (3, T, ..., B, H)
        dU = (da.mT @ x).sum(axis=1)  # (3, ..., H, D)
        dW = (da.mT @ seen).sum(axis=1)  # (3, ..., H, H)
        db = da.sum(axis=(1, -2))  # (3, ..., H)
        dx = da[0] @ U_z + da[1] @ U_r + da[2] @ U_h  # (T, ..., B, D)
        return (
            np.moveaxis(dU, 0, -3),
            np.moveaxis(dW, 0, -3),
            np.moveaxis(db, 0, -2),
            dx,
        )

    return s[:-1], backward


# %% [markdown]
# ## The language model
# An embedding layer is a matrix whose columns are picked, not multiplied. Picking
# column $i$ is multiplying by a one-hot vector, and its gradient is written that way.


# %%
def one_hot(words: np.ndarray, C: int, lead: int) -> np.ndarray:
    """Words (T, B) as one-hot rows, with `lead` axes of 1: (T, 1, ..., B, C)."""
    T, B = words.shape
    ones = words[..., None] == np.arange(C)  # (T, B, C)
    return ones.reshape(T, *[1] * lead, B, C).astype(float)


def loss_and_gradients(
    p: Params, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, Params]:
    """Mean cross-entropy in nats per word (...), and its gradients.

    x, y: (T, B) words and the words that follow them.

    Raises:
        ValueError: x or y is not a table of indices below C, or their shapes differ.
    """
    *lead, _, C = p["E"].shape
    for name, words in (("x", x), ("y", y)):
        if words.ndim != 2 or not words.size or words.min() < 0 or words.max() >= C:
            raise ValueError(
                f"{name} must be (T, B) indices in [0, {C}), got {words!r}"
            )
    if x.shape != y.shape:
        raise ValueError(f"y must be {x.shape} like x, got {y.shape}")
    # x_e = E[:, x_t]: column i is word i
    e = np.moveaxis(p["E"][..., x], (-3, -2, -1), (-1, 0, -2))  # (T, ..., B, D)
    s1, back1 = gru_layer(p["U1"], p["W1"], p["b1"], e)  # (T, ..., B, H)
    s2, back2 = gru_layer(p["U2"], p["W2"], p["b2"], s1)  # (T, ..., B, H)
    # o_t = softmax(V s_t + c)
    a = s2 @ p["V"].mT + p["c"][..., None, :]  # (T, ..., B, C)
    a -= a.max(axis=-1, keepdims=True)  # exp cannot overflow
    log_o = a - np.log(np.exp(a).sum(axis=-1, keepdims=True))  # (T, ..., B, C)
    y_hot = one_hot(y, C, len(lead))  # (T, ..., B, C)
    loss = -(log_o * y_hot).sum(axis=-1).mean(axis=(0, -1))  # (...)

    da = (np.exp(log_o) - y_hot) / x.size  # (T, ..., B, C)
    grads = {"V": (da.mT @ s2).sum(axis=0), "c": da.sum(axis=(0, -2))}
    grads["U2"], grads["W2"], grads["b2"], ds1 = back2(da @ p["V"])
    grads["U1"], grads["W1"], grads["b1"], de = back1(ds1)
    grads["E"] = (de.mT @ one_hot(x, C, len(lead))).sum(axis=0)  # (..., D, C)
    return loss, grads


# %% [markdown]
# ## RMSprop
# Every number has its own cache, a running average of its squared gradients, and takes
# a step that is divided by the cache's root. The cache starts at zero, so the first
# steps are too long: the very first by $1 / \sqrt{1 - 0.9} = 3.16$.


# %%
def rmsprop(
    p: Params, grads: Params, cache: Params, lr: float = 0.001, decay: float = 0.9
) -> None:
    """One step, in place; `cache` holds an array of zeros per parameter at the start.

    Raises:
        ValueError: decay outside [0, 1).
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay is {decay}, expected at least 0 and below 1")
    for name, g in grads.items():
        # cache = decay * cache + (1 - decay) * g^2
        cache[name] = decay * cache[name] + (1 - decay) * g**2
        # w = w - lr * g / sqrt(cache + 1e-6)
        p[name] = p[name] - lr * g / np.sqrt(cache[name] + 1e-6)


def step_lengths(gradients: np.ndarray) -> np.ndarray:
    """RMSprop's steps in units of lr, for one number with these gradients: (N,)."""
    w, cache, moved = {"w": np.zeros(1)}, {"w": np.zeros(1)}, []
    for g in gradients:
        before = w["w"]
        rmsprop(w, {"w": np.array([g])}, cache, lr=1.0)
        moved.append(abs(w["w"] - before)[0])
    return np.array(moved)


# %% [markdown]
# ## Parameters
# The source speaks of word vectors with 48 dimensions. Its program gives $E$ as many
# rows as there are units, 128.


# %%
def shapes(C: int, D: int, H: int) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter for C words, word vectors of D dimensions, H units.

    Raises:
        ValueError: a size below 1.
    """
    for name, size in (("C", C), ("D", D), ("H", H)):
        if size < 1:
            raise ValueError(f"{name} is {size}, expected at least 1")
    first = {"E": (D, C), "U1": (3, H, D), "W1": (3, H, H), "b1": (3, H)}
    second = {"U2": (3, H, H), "W2": (3, H, H), "b2": (3, H)}
    return {**first, **second, "V": (C, H), "c": (C,)}


def shapes_as_coded(C: int, H: int) -> dict[str, tuple[int, ...]]:
    """The same as the source's program has it: E is (hidden_dim, word_dim)."""
    return shapes(C, H, H)


def count(sizes: dict[str, tuple[int, ...]]) -> int:
    """Number of parameters of these shapes."""
    return sum(int(np.prod(shape)) for shape in sizes.values())


def init_params(C: int, D: int, H: int, rng: np.random.Generator) -> Params:
    """E uniform in +-1/sqrt(C), U, W and V in +-1/sqrt(H), biases zero."""
    p = {}
    for name, shape in shapes(C, D, H).items():
        bound = {"E": C**-0.5, "b": 0.0, "c": 0.0}.get(name[0], H**-0.5)
        p[name] = rng.uniform(-bound, bound, shape)
    return p


def with_gate_bias(p: Params, gate: int, bias: float) -> Params:
    """The same network, both layers' bias of one gate (0 for z, 1 for r) at `bias`."""
    moved = {name: w.copy() for name, w in p.items()}
    for b in (moved["b1"], moved["b2"]):
        b[..., gate, :] = bias
    return moved


def pin_gates(p: Params) -> Params:
    """The same network with z = 0 and r = 1 for good: two plain tanh layers."""
    return with_gate_bias(with_gate_bias(p, 0, -1000.0), 1, 1000.0)


# %% [markdown]
# ## A rhyme to learn
# Each verse of the nursery rhyme winds back through the ones before it, so what comes
# next hangs on words read some steps ago. The sizes of the source, 48 and 128
# dimensions, stand here at an eighth: 6 and 16. Every seed trains five networks on the
# same batches: a GRU with narrow word vectors, one with wide ones, and three twins of
# the latter. One has its gates pinned; a saturated gate has no slope, so it stays
# plain. One starts with an update gate that lets 88 % of a candidate pass, one with a
# reset gate that shows it 88 % of the old state.


# %%
WHO = """the malt/the rat/the cat/the dog/the cow with the crumpled horn/the maiden all
forlorn/the man all tattered and torn/the judge all shaven and shorn/the rooster that
crowed in the morn/the farmer sowing his corn/the horse and the hound and the horn"""
DID = "lay in/ate/killed/worried/tossed/milked/kissed/married/woke/kept/belonged to"
SEEDS, UPDATES, T_WORDS = 5, 80, 20
NARROW, WIDE, UNITS = 6, 16, 16


def rhyme() -> list[str]:
    """The words of “This is the house that Jack built”, all twelve verses."""
    text, verse = "", "the house that Jack built ."
    for who, did in zip(["", *WHO.split("/")], ["", *DID.split("/")], strict=True):
        verse = f"{who} that {did} {verse}" if who else verse
        text += f" This is {verse}"
    return text.split()


def batch() -> tuple[np.ndarray, np.ndarray, int]:
    """The rhyme in rows of 20 words: x (T, B), y (T, B), size of the vocabulary."""
    words = rhyme()
    vocabulary = sorted(set(words))
    ids = np.array([vocabulary.index(word) for word in words])  # (N,)
    n = (len(ids) - 1) // T_WORDS * T_WORDS
    x, y = (ids[i : i + n].reshape(-1, T_WORDS).T for i in (0, 1))  # (T, B)
    return x, y, len(vocabulary)


def word_frequency_nats() -> float:
    """Loss per word of who knows how frequent each word of y is, and nothing else."""
    _, counts = np.unique(batch()[1], return_counts=True)
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum())


@functools.cache
def run() -> dict[str, np.ndarray]:
    """Loss before each update and after the last, (UPDATES + 1, S), by network."""
    x, y, C = batch()

    def fresh(D: int) -> Params:
        rngs = [np.random.default_rng(seed) for seed in range(SEEDS)]
        each = [init_params(C, D, UNITS, rng) for rng in rngs]
        return {name: np.stack([p[name] for p in each]) for name in each[0]}

    wide, narrow = fresh(WIDE), fresh(NARROW)
    twins = {"wide": wide, "rnn": pin_gates(wide)}
    twins["z_low"] = with_gate_bias(wide, 0, -2.0)
    twins["r_high"] = with_gate_bias(wide, 1, 2.0)
    # (4, S, ...) each
    stacked = {k: np.stack([p[k] for p in twins.values()]) for k in wide}
    curves = []
    for p in (stacked, narrow):
        cache = {name: np.zeros_like(w) for name, w in p.items()}
        losses = []
        for _ in range(UPDATES):
            loss, grads = loss_and_gradients(p, x, y)  # (4, S) or (S)
            losses.append(loss)
            rmsprop(p, grads, cache, lr=0.01)
        curves.append(np.array([*losses, loss_and_gradients(p, x, y)[0]]))
    return {name: curves[0][:, i] for i, name in enumerate(twins)} | {
        "narrow": curves[1]
    }


# %% [markdown]
# ## Figures


# %%
def draw_loss() -> None:
    """Loss against updates, 0 to 80, four curves with bands for five seeds. All start
    at 3.9. The plain network falls at once and ends lowest, near 0.4. The two GRUs with
    biases of zero rest on a ledge at the dotted line, 3.24, for a while; the wide one
    leaves it first and ends near 0.8, the narrow one near 1.1. The wide one with a bias
    of -2 on z hardly rests there and ends near 0.5.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    labels = {
        "rnn": "plain RNN, gates pinned",
        "narrow": f"GRU, {NARROW} dimensions per word",
        "wide": f"GRU, {WIDE} dimensions per word",
        "z_low": "the same, bias of z at -2",
    }
    colors = ("C1", "C2", "C0", "C3")
    for color, (name, label) in zip(colors, labels.items(), strict=True):
        losses = run()[name]  # (UPDATES + 1, S)
        n = np.arange(len(losses))
        ax.plot(n, np.median(losses, axis=1), color=color, label=label)
        low, high = losses.min(axis=1), losses.max(axis=1)
        ax.fill_between(n, low, high, color=color, alpha=0.25, lw=0)
    ax.axhline(word_frequency_nats(), color="C4", ls=":", label="word frequencies")
    ax.set(xlabel="updates", ylabel="loss (nats per word)", ylim=(0, 4.2))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_loss()


# %%
def draw_step_length() -> None:
    """Steps in units of the learning rate against the update, 1 to 40. RMSprop under a
    constant gradient starts at 3.2 and settles at 1. With the plain sum of squares in
    place of the average the steps start at 1 and shrink all the time, to 0.16.
    """
    import matplotlib.pyplot as plt

    n = np.arange(1, 41)
    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    ax.plot(n, step_lengths(np.ones(40)), label="RMSprop: decaying average of squares")
    ax.plot(n, 1 / np.sqrt(n), "--", label="AdaGrad: sum of squares")
    ax.axhline(1, color="C2", ls=":", label="the learning rate")
    ax.set(xlabel="update", ylabel="step / learning rate", ylim=(0, 3.4))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_step_length()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    coded, told = shapes_as_coded(8000, 128), shapes(8000, 48, 128)
    out: dict[str, float] = {
        "embedding_dimensions_coded": coded["E"][0],
        "parameters_coded": count(coded),
        "parameters_told": count(told),
    }
    for name in ("E", "V"):
        out[f"parameters_coded_{name}"] = np.prod(coded[name])
        out[f"parameters_told_{name}"] = np.prod(told[name])
    for step, length in enumerate(step_lengths(np.ones(40))[:5], start=1):
        out[f"rmsprop_step_{step}"] = length
    out |= {"words": len(rhyme()), "vocabulary": len(set(rhyme()))}
    out["word_frequency_nats"] = word_frequency_nats()
    out["rows"] = batch()[0].shape[1]
    final = {name: losses[-1] for name, losses in run().items()}  # (S,) each
    closed = (final["wide"] - final["z_low"]) / (final["wide"] - final["rnn"])  # (S,)
    out["gap_closed_by_z_median"] = np.median(closed)
    out["gap_closed_by_z_min"], out["gap_closed_by_z_max"] = closed.min(), closed.max()
    out |= {"updates": UPDATES, "units": UNITS, "narrow": NARROW, "wide": WIDE}
    for name, losses in run().items():
        out[f"loss_{name}_start_median"] = np.median(losses[0])
        for kind, value in (("median", np.median), ("min", np.min), ("max", np.max)):
            out[f"loss_{name}_{kind}"] = value(losses[-1])
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
