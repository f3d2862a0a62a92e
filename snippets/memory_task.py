# %% [markdown]
r"""
# Does this word need a memory?

The same task, say the next letter of a word, for a network without memory, a recurrent
network (RNN) and an LSTM, beside the best that counting says a network without memory
can do. "neuron", the source's example, needs no memory. "hello" needs a little, and a
"hello" with more l's needs more.

**Source:** Niklas Donges, *Recurrent Neural Networks and LSTM* (2018), sections on how
RNNs work (the "neuron" example) and on the LSTM.

| symbol | name | shape |
| --- | --- | --- |
| $S, T, V, H$ | seeds, letters read, letters of the alphabet, units | |
| $G$ | learned layers inside the cell: 1, or 4 in the LSTM | |
| $x_t$ (`x[t]`) | the letter read at step $t$, as the index of its one | |
| $h_t, c_t$ (`h`, `c`) | hidden state; the LSTM's cell | $(S, 1, H)$ |
| $f, i, o, g$ | forget, input and output gate; the candidate | $(S, 1, H)$ |
| `W_x`, `W_h` | weights from the letter, from the state | $(S, V, GH)$, $(S, H, GH)$ |
| `W_y` | weights to the scores of the next letter | $(S, H, V)$ |
| `b`, `b_y` | biases | $(S, 1, GH)$, $(S, 1, V)$ |

**Differs from the source:** the source has neither equations nor code. The network
without memory is the RNN with its state set to zero before every letter. All seeds
train at once on the leading axis.

**Checked against:** `torch.nn.RNN`, `torch.nn.LSTM`, autograd and `torch.optim.Adam`
(1e-10 in float64).

**Takes:** about 3 s on one core.

**Varies with the machine:** what is measured after training, since each processor
rounds in its own way and training magnifies that: `nats_l8` by up to 0.3, `nats_l16`
by up to 0.15, `nats` by up to 0.01, `solved` by up to 2.
"""

# %%
import math
from collections import Counter, defaultdict
from functools import cache

import numpy as np

Params = dict[str, np.ndarray]

# %% [markdown]
# ## What counting says
# A network that sees the last `window` letters says the same thing whenever it sees the
# same letters. Its best is to answer with the shares of what follows. If every window
# has one continuation, nothing is left to remember.


# %%
def best_with_window(word: str, window: int = 1) -> tuple[float, float]:
    """Least loss (nats per letter) and best accuracy from the last `window` letters.

    Raises ValueError for a word under two letters or a window below 1.
    """
    if len(word) < 2 or window < 1:
        got = f"got {word!r} and {window}"
        raise ValueError(f"word must have >= 2 letters, window be >= 1, {got}")
    follows = defaultdict(Counter)
    for t in range(1, len(word)):
        follows[word[max(0, t - window) : t]][word[t]] += 1
    nats, right = 0.0, 0
    for counts in follows.values():
        for n in counts.values():
            # - sum of count * ln(share)
            nats -= n * math.log(n / counts.total())
        right += max(counts.values())
    return nats / (len(word) - 1), right / (len(word) - 1)


def letters_needed(word: str) -> int:
    """The smallest window from which every next letter is certain."""
    window = 1
    while best_with_window(word, window)[0] > 0:
        window += 1
    return window


# %% [markdown]
# ## One network, three kinds of memory
# `none` forgets its state before every letter, `rnn` keeps $h$, `lstm` keeps $h$ and a
# cell $c$ behind three gates. The rest is the same: one letter in, scores of the next
# letter out. The units are chosen so that RNN and LSTM have about as many parameters.

# %%
UNITS = {"none": 18, "rnn": 18, "lstm": 8}


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), written so that no z overflows."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def step(
    kind: str, a: np.ndarray, c: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """What a layer does with its sum a = W_x x + W_h h + b: new h, new c, its parts.

    a: (S, 1, G H), c: (S, 1, H). `none` and `rnn` hand c through.
    """
    if kind != "lstm":
        # h_t = tanh(W_x x_t + W_h h_{t-1} + b)
        return np.tanh(a), c, ()
    H = c.shape[-1]
    f, i, o = np.split(sigmoid(a[..., : 3 * H]), 3, axis=-1)  # (S, 1, H) each
    g = np.tanh(a[..., 3 * H :])  # (S, 1, H)
    # c_t = f * c_{t-1} + i * g;   h_t = o * tanh(c_t)
    c = f * c + i * g  # (S, 1, H)
    return o * np.tanh(c), c, (f, i, o, g)


def forward(p: Params, kind: str, x: np.ndarray) -> tuple[np.ndarray, list]:
    """Read the letters x (T,): log-probabilities (S, T, V) in nats, and the tape.

    Raises ValueError for an unknown kind or a letter outside the alphabet.
    """
    if kind not in UNITS:
        raise ValueError(f"kind is {kind!r}, expected one of {', '.join(UNITS)}")
    S, V, _ = p["W_x"].shape
    if x.ndim != 1 or not len(x) or x.min() < 0 or x.max() >= V:
        raise ValueError(f"x must be a row of indices in [0, {V}), got {x!r}")
    # W_x x_t: a one-hot vector picks a row
    a_x = p["W_x"][:, x] + p["b"]  # (S, T, G H)
    h = c = np.zeros((S, 1, p["W_h"].shape[1]))  # (S, 1, H)
    tape, hs = [], []
    for t in range(len(x)):
        h_prev, c_prev = (np.zeros_like(h), c) if kind == "none" else (h, c)
        a = a_x[:, t : t + 1] + h_prev @ p["W_h"]  # (S, 1, G H)
        h, c, gates = step(kind, a, c_prev)  # (S, 1, H)
        tape.append((h_prev, c_prev, h, c, gates))
        hs.append(h)
    y = np.concatenate(hs, axis=1) @ p["W_y"] + p["b_y"]  # (S, T, V)
    y -= y.max(axis=-1, keepdims=True)  # exp cannot overflow
    return y - np.log(np.exp(y).sum(axis=-1, keepdims=True)), tape


# %% [markdown]
# ## Backpropagation through time
# Backpropagation on the unrolled network: the same loop, walked backward. Without
# memory no message travels from a step to the one before.


# %%
def loss_and_gradients(
    p: Params, kind: str, x: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, Params]:
    """Mean cross-entropy (S,), nats per letter, of saying targets (T,), and gradients.

    x: (T,), the letters read. Raises ValueError where the two differ in length.
    """
    if targets.shape != x.shape:
        raise ValueError(f"targets must be {x.shape} like x, got {targets.shape}")
    log_p, tape = forward(p, kind, x)  # (S, T, V)
    T, V = len(x), log_p.shape[-1]
    loss = -log_p[:, np.arange(T), targets].mean(axis=1)  # (S,)

    dy = (np.exp(log_p) - np.eye(V)[targets]) / T  # (S, T, V)
    dh_y = dy @ p["W_y"].mT  # (S, T, H)
    dh_next = dc = np.zeros_like(dh_y[:, :1])  # (S, 1, H)
    das = []
    for t in reversed(range(T)):
        _, c_prev, h, c, gates = tape[t]
        dh = dh_y[:, t : t + 1] + dh_next  # (S, 1, H)
        if kind == "lstm":
            f, i, o, g = gates
            dc = dc + dh * o * (1 - np.tanh(c) ** 2)  # (S, 1, H)
            da = np.concatenate(
                [
                    dc * c_prev * f * (1 - f),
                    dc * g * i * (1 - i),
                    dh * np.tanh(c) * o * (1 - o),
                    dc * i * (1 - g**2),
                ],
                axis=-1,
            )  # (S, 1, 4 H)
            dc = dc * f
        else:
            da = dh * (1 - h**2)  # (S, 1, H)
        dh_next = 0 * dh if kind == "none" else da @ p["W_h"].mT  # (S, 1, H)
        das.append(da)

    da = np.concatenate(das[::-1], axis=1)  # (S, T, G H)
    h_prev, h = (np.concatenate([s[k] for s in tape], axis=1) for k in (0, 2))
    grads = {
        "W_x": np.eye(V)[x].T @ da,  # (S, V, G H)
        "W_h": h_prev.mT @ da,  # (S, H, G H)
        "b": da.sum(axis=1, keepdims=True),  # (S, 1, G H)
        "W_y": h.mT @ dy,  # (S, H, V)
        "b_y": dy.sum(axis=1, keepdims=True),  # (S, 1, V)
    }
    return loss, grads


# %% [markdown]
# ## Training
# Adam, one update per reading of the whole word. The loss is the mean over its letters.


# %%
def encode(word: str) -> tuple[np.ndarray, np.ndarray]:
    """The letters to read (T,) and the letters to say (T,), as indices."""
    alphabet = sorted(set(word))
    ids = np.array([alphabet.index(letter) for letter in word])  # (T + 1,)
    return ids[:-1], ids[1:]


def init_params(kind: str, V: int, H: int, rngs: list[np.random.Generator]) -> Params:
    """One model per generator: weights uniform in +-1/sqrt(H), biases 0.

    The forget gate's bias is 1, so that a fresh LSTM forgets slowly.
    """
    G, bound = 4 if kind == "lstm" else 1, 1 / math.sqrt(H)
    shapes = {"W_x": (V, G * H), "W_h": (H, G * H), "W_y": (H, V)}
    p = {"b": np.zeros((len(rngs), 1, G * H)), "b_y": np.zeros((len(rngs), 1, V))}
    for name, shape in shapes.items():
        p[name] = np.stack([rng.uniform(-bound, bound, shape) for rng in rngs])
    if kind == "lstm":
        p["b"][..., :H] = 1
    return p


UPDATES = 300


def train(
    p: Params, kind: str, word: str, steps: int = UPDATES, lr: float = 0.03
) -> None:
    """Train all models in `p` on the word, in place."""
    mean = {name: np.zeros_like(w) for name, w in p.items()}
    square = {name: np.zeros_like(w) for name, w in p.items()}
    for n in range(1, steps + 1):
        _, grads = loss_and_gradients(p, kind, *encode(word))
        for name, g in grads.items():
            mean[name] = 0.9 * mean[name] + 0.1 * g
            square[name] = 0.999 * square[name] + 0.001 * g**2
            m_hat, v_hat = mean[name] / (1 - 0.9**n), square[name] / (1 - 0.999**n)
            p[name] -= lr * m_hat / (np.sqrt(v_hat) + 1e-8)


# %% [markdown]
# ## The words
# "hello" is made harder by saying l more often: the network has to count the l's it has
# read, because only the last of them is followed by o.

# %%
SEEDS = 10
WORDS = {
    "neuron": "neuron",
    "hello": "hello",
    "l8": "he" + "l" * 8 + "o",
    "l16": "he" + "l" * 16 + "o",
}


@cache
def results_of(kind: str, word: str) -> tuple[np.ndarray, np.ndarray]:
    """After training: loss (SEEDS,) in nats per letter, share of letters right."""
    rngs = [np.random.default_rng(seed) for seed in range(SEEDS)]
    p = init_params(kind, len(set(word)), UNITS[kind], rngs)
    train(p, kind, word)
    x, targets = encode(word)
    log_p, _ = forward(p, kind, x)  # (S, T, V)
    right = (log_p.argmax(axis=-1) == targets).mean(axis=1)  # (S,)
    return -log_p[:, np.arange(len(x)), targets].mean(axis=1), right


# %%
def draw_words() -> None:
    """Loss after training, on a logarithmic axis, one dot per seed, for four words.

    For neuron all three networks end near 0.001 or lower. For hello the one without
    memory stays on a short dotted line near 0.35, the least that counting allows it,
    and the other two are hundreds of times lower. With eight l's the picture is the
    same but for single dots. With sixteen the RNN has joined the network without
    memory near the line, at 0.2, and all dots of the LSTM lie well below it.
    """
    import matplotlib.pyplot as plt

    labels = {"none": "no memory", "rnn": "RNN", "lstm": "LSTM"}
    _, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    jitter = np.linspace(-0.06, 0.06, SEEDS)  # so that equal dots do not hide
    for n, word in enumerate(WORDS.values()):
        for k, kind in enumerate(UNITS):
            nats, _ = results_of(kind, word)
            label = labels[kind] if n == 0 else None
            ax.plot(
                n + 0.25 * (k - 1) + jitter,
                nats,
                "os^"[k],
                ms=4,
                color=f"C{k}",
                label=label,
            )
        bound, _ = best_with_window(word)
        if bound:
            ax.hlines(bound, n - 0.4, n + 0.4, color="C3", linestyle=":")
    names = ["neuron", "hello", "he + 8 l + o", "he + 16 l + o"]
    ax.set(yscale="log", ylabel="nats per letter", ylim=(3e-5, 1))
    ax.set_xticks(range(len(names)), names)
    ax.legend(loc="lower right")


# %% tags=["active-ipynb"]
# draw_words()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {"seeds": SEEDS, "updates": UPDATES}
    for name, word in WORDS.items():
        out[f"{name}_bound_nats"], out[f"{name}_bound_right"] = best_with_window(word)
        out[f"{name}_letters_needed"] = letters_needed(word)
        for kind in UNITS:
            nats, right = results_of(kind, word)
            out[f"nats_{name}_{kind}_median"] = float(np.median(nats))
            out[f"nats_{name}_{kind}_min"] = float(nats.min())
            out[f"nats_{name}_{kind}_max"] = float(nats.max())
            out[f"solved_{name}_{kind}"] = int((right == 1).sum())
    # with an end mark the first n and the last n must be told apart
    out["neuron_end_bound_nats"], out["neuron_end_bound_right"] = best_with_window(
        "neuron."
    )
    out["neuron_end_letters_needed"] = letters_needed("neuron.")
    out["banana_letters_needed"] = letters_needed("banana.")

    for kind, H in UNITS.items():
        p = init_params(kind, 4, H, [np.random.default_rng(0)])
        out[f"units_{kind}"] = H
        out[f"parameters_{kind}"] = sum(w.size for w in p.values())
    # a fresh forget gate, before it has read anything
    out["forget_gate_fresh"] = float(sigmoid(p["b"][0, 0, : UNITS["lstm"]]).mean())
    # of the LSTM's learned layers one is the candidate, the others are gates
    out["lstm_gates"] = p["W_h"].shape[2] // UNITS["lstm"] - 1
    out["gate_shut"], out["gate_open"] = sigmoid(np.array([-1000.0, 1000.0])).tolist()
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
