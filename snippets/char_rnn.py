# %% [markdown]
r"""
# A character RNN, trained by backpropagation through time

A vanilla recurrent network that reads a text letter by letter and learns to say the
next one: forward pass, backpropagation through time (BPTT), gradient clipping, Adagrad,
and sampling with a temperature. Trains on a sonnet in seconds, or on your own file:
`python char_rnn.py --text FILE --steps 20000 --seed 0 --temperature 0.8`.

**Source:** Andrej Karpathy, *The Unreasonable Effectiveness of Recurrent Neural
Networks* (2015), the `step` function, the "hello" example and the program the post
points to, min-char-rnn (hidden size 100, 25 steps, Adagrad at 0.1, clipping at 5).

| symbol | name | shape |
| --- | --- | --- |
| $x_t$ (`x[t]`) | the letter read at step $t$, as the index of its one | |
| $h_t$ (`hs[t + 1]`) | hidden state after step $t$ | $(H)$ |
| $W_{xh}, W_{hh}, W_{hy}$ | weights: in, through time, out | $(V, H), (H, H), (H, V)$ |
| $b_h, b_y$ | biases | $(1, H), (1, V)$ |
| $T$ (`seq_length`) | steps per chunk: how far the error is sent back | |
| $S$ | models trained side by side, one per seed (optional) | leading axis |

**Differs from the source:** vectors are rows, so $h_t W_{hh}$ stands for the post's
$W_{hh} h_t$; only the recurrence runs in a loop, everything else is done for all steps
at once; parameters may carry a leading axis $S$ and then train side by side; the last,
shorter chunk of a text is trained on too; biases, as in min-char-rnn, which the post's
formula leaves out.

**Checked against:** torch autograd and `torch.nn.RNN` (1e-10 in float64), central
differences, `torch.optim.Adagrad`.

**Takes:** about 4 s on one core.

**Varies with the machine:** what is measured after training, since each processor
rounds in its own way and training magnifies that: `sonnet_final_nats` by up to 0.1,
`sonnet_sweeps` by up to 2, `cosine` by up to 0.25, `known_words_temperature_0_01`
by up to 0.5 and `repeated_temperature_0_01` by up to 0.5 (what is written over and over
hangs on a few choices), `known_words` by up to 0.25, `repeated` by up to 0.25.
"""

# %%
import argparse
import functools
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

Rng, Array = np.random.Generator, np.ndarray
Params = dict[str, Array]

# %% [markdown]
# ## Forward
# The post's `step`, for a whole chunk. Only the recurrence has to wait for the step
# before it; what goes in and what comes out is computed for all $T$ steps at once.
# The slice `t : t + 1` keeps one row a matrix, so that the same line serves one model
# and a stack of them.


# %%
def forward(p: Params, x: Array, h: Array) -> tuple[Array, Array]:
    """Read the letters `x` from the state `h`: all states, log-probabilities.

    x: (T,) indices of letters. h: (..., 1, H), the state before the first letter.
    Returns hs (..., T + 1, H), which begins with `h`, and log_p (..., T, V), in nats.
    Raises ValueError if `x` or `h` has another shape or a letter is out of range.
    """
    V = p["W_xh"].shape[-2]
    if x.ndim != 1 or not len(x) or x.min() < 0 or x.max() >= V:
        raise ValueError(f"x must be a row of indices in [0, {V}), got {x!r}")
    if h.shape != p["b_h"].shape:
        raise ValueError(f"h must be {p['b_h'].shape} like b_h, got {h.shape}")
    # W_xh x_t: a one-hot vector picks a row
    a = p["W_xh"][..., x, :] + p["b_h"]  # (..., T, H)
    hs = np.concatenate([h, np.empty_like(a)], axis=-2)  # (..., T + 1, H)
    for t in range(len(x)):
        # h_t = tanh(W_hh h_{t-1} + W_xh x_t)      (the post's formula, plus b_h)
        h = np.tanh(h @ p["W_hh"] + a[..., t : t + 1, :])  # (..., 1, H)
        hs[..., t + 1 : t + 2, :] = h
    # y_t = W_hy h_t                              (the post's `step`, plus b_y)
    y = hs[..., 1:, :] @ p["W_hy"] + p["b_y"]  # (..., T, V)
    y -= y.max(axis=-1, keepdims=True)  # exp cannot overflow
    return hs, y - np.log(np.exp(y).sum(axis=-1, keepdims=True))  # (..., T, V)


# %% [markdown]
# ## Backpropagation through time
# The gradient of the summed cross-entropy walks the same loop backward. A state is used
# twice, by its own output and by the next state, so its gradient is the *sum* of what
# comes back from the two. `dh_next` is the message through time. It starts at zero at
# the end of the chunk, and that is the whole of "truncated" in truncated BPTT.


# %%
def loss_and_gradients(
    p: Params, x: Array, targets: Array, h: Array
) -> tuple[Array, Params, Array]:
    """Cross-entropy of one chunk, its gradients, and the state to carry on with.

    x, targets: (T,) letters and the letters that follow them. h: (..., 1, H).
    Returns the loss (...), summed over the T steps, in nats; the gradients, in the
    shapes of the parameters; the last state (..., 1, H).
    Raises ValueError if `targets` and `x` differ in shape, and where `forward` does.
    """
    if targets.shape != x.shape:
        raise ValueError(f"targets must be {x.shape} like x, got {targets.shape}")
    V, T = p["W_xh"].shape[-2], len(x)
    hs, log_p = forward(p, x, h)  # (..., T + 1, H), (..., T, V)
    loss = -log_p[..., np.arange(T), targets].sum(axis=-1)  # (...)

    # d loss / d y_t = p_t - onehot(target_t)
    dy = np.exp(log_p) - np.eye(V)[targets]  # (..., T, V)
    dh_from_y = dy @ p["W_hy"].mT  # (..., T, H)
    da = np.empty_like(dh_from_y)  # (..., T, H), before the tanh
    dh_next = np.zeros_like(h)  # (..., 1, H)
    for t in reversed(range(T)):
        # d h_t = W_hy^T d y_t + W_hh^T d a_{t+1};   d a_t = (1 - h_t^2) d h_t
        dh = dh_from_y[..., t : t + 1, :] + dh_next  # (..., 1, H)
        da[..., t : t + 1, :] = (1 - hs[..., t + 1 : t + 2, :] ** 2) * dh
        dh_next = da[..., t : t + 1, :] @ p["W_hh"].mT  # (..., 1, H)

    # every step uses the same weights: their gradients add up over the steps
    grads = {
        "W_xh": np.eye(V)[x].T @ da,  # (..., V, H)
        "W_hh": hs[..., :-1, :].mT @ da,  # (..., H, H)
        "W_hy": hs[..., 1:, :].mT @ dy,  # (..., H, V)
        "b_h": da.sum(axis=-2, keepdims=True),  # (..., 1, H)
        "b_y": dy.sum(axis=-2, keepdims=True),  # (..., 1, V)
    }
    return loss, grads, hs[..., -1:, :]


# %% [markdown]
# ## Parameters and training
# Weights start at a hundredth of a standard normal, so that all letters begin almost
# equally likely and the first loss is close to $\ln V$ per letter. Between chunks the
# *state* is carried on and only the *gradient* is cut; at the end of the text both
# start afresh. Adagrad divides each step by the root of the sum of all squared
# gradients so far: a weight that was pushed often moves less and less.


# %%
def init_params(vocab_size: int, hidden_size: int, rngs: Sequence[Rng]) -> Params:
    """Fresh parameters for one model per generator, stacked on a leading axis.

    Raises ValueError if a size is below 1.
    """
    if vocab_size < 1 or hidden_size < 1:
        raise ValueError(f"sizes must be >= 1, got {vocab_size} and {hidden_size}")
    V, H = vocab_size, hidden_size
    shapes = {"W_xh": (V, H), "W_hh": (H, H), "W_hy": (H, V)}
    p = {"b_h": np.zeros((len(rngs), 1, H)), "b_y": np.zeros((len(rngs), 1, V))}
    for name, shape in shapes.items():
        p[name] = 0.01 * np.stack([rng.standard_normal(shape) for rng in rngs])
    return p


def chunks(ids: Array, seq_length: int) -> Iterator[tuple[Array, Array]]:
    """One sweep: pairs (letters, letters that follow), (T,) each, the last shorter."""
    for start in range(0, len(ids) - 1, seq_length):
        targets = ids[start + 1 : start + 1 + seq_length]  # (T,)
        yield ids[start : start + len(targets)], targets


def training(
    p: Params, ids: Array, seq_length: int = 25, lr: float = 0.1, clip: float = 5.0
) -> Iterator[Array]:
    """Train `p` in place, one chunk per turn, for as long as it is asked to.

    ids: (N,) the text as indices. Yields the loss (S,) before each update, the mean
    over the chunk in nats per letter. Raises ValueError for a text under two letters.
    """
    if len(ids) < 2 or seq_length < 1:
        got = f"got {len(ids)} and {seq_length}"
        raise ValueError(f"text must have >= 2 letters, seq_length be >= 1, {got}")
    memory = {name: np.zeros_like(w) for name, w in p.items()}
    while True:
        h = np.zeros_like(p["b_h"])  # (S, 1, H), afresh for every sweep
        for x, targets in chunks(ids, seq_length):
            loss, grads, h = loss_and_gradients(p, x, targets, h)
            for name, g in grads.items():
                g = np.clip(g, -clip, clip)  # entry by entry
                # m <- m + g^2;   w <- w - lr g / sqrt(m + 1e-8)      (Adagrad)
                memory[name] += g * g
                p[name] -= lr * g / np.sqrt(memory[name] + 1e-8)
            yield loss / len(x)


# %% [markdown]
# ## Sampling with a temperature
# Draw a letter, feed it back in, repeat. The scores are divided by the temperature
# before the softmax: below 1 the likely letters gain, near 0 only the likeliest is
# left, above 1 the choice becomes more even.


# %%
def sample(
    p: Params, first: int, n: int, temperature: float, rng: Rng, h: Array | None = None
) -> list[int]:
    """Write `n` letters with one model (no leading axis), after the letter `first`.

    h: (1, H), the state before `first`; zero unless given.
    Raises ValueError if the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    h, out = np.zeros_like(p["b_h"]) if h is None else h, [first]  # (1, H)
    for _ in range(n):
        hs, log_p = forward(p, np.array(out[-1:]), h)  # (2, H), (1, V)
        h, z = hs[1:], log_p[0] / temperature  # (1, H), (V,)
        # the largest of z + Gumbel noise is a draw from softmax(z), at any temperature
        out.append(int(np.argmax(z + rng.gumbel(size=z.shape))))
    return out[1:]


# %% [markdown]
# ## Text, and two lines to beat
# A model that ignores the past pays at least the entropy of the letters. A model that
# sees only the current letter pays at least the conditional entropy of the next one.
# Whatever lies below the second line has been read from the hidden state: it is memory.


# %%
SONNET = """\
Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date:
Sometime too hot the eye of heaven shines,
And often is his gold complexion dimm'd;
And every fair from fair sometime declines,
By chance or nature's changing course untrimm'd;
But thy eternal summer shall not fade
Nor lose possession of that fair thou owest;
Nor shall Death brag thou wander'st in his shade,
When in eternal lines to time thou growest:
So long as men can breathe or eyes can see,
So long lives this, and this gives life to thee.
"""  # William Shakespeare, Sonnet 18 (1609)


def encode(text: str) -> tuple[Array, list[str]]:
    """The text as indices (N,) into its own sorted alphabet, and that alphabet.

    Raises ValueError if the text is empty.
    """
    if not text:
        raise ValueError("text is empty")
    alphabet = sorted(set(text))
    index = {letter: i for i, letter in enumerate(alphabet)}
    return np.array([index[letter] for letter in text]), alphabet


def entropies(ids: Array) -> tuple[float, float]:
    """Nats per letter without any memory, and with a memory of one letter."""
    V = int(ids.max()) + 1
    pairs = np.bincount(ids[:-1] * V + ids[1:], minlength=V * V) / (len(ids) - 1)

    def entropy(q: Array) -> float:
        return float(-(q[q > 0] * np.log(q[q > 0])).sum())

    joint = pairs.reshape(V, V)  # (V, V): current letter, next letter
    return entropy(joint.sum(axis=0)), entropy(pairs) - entropy(joint.sum(axis=1))


def text_loss(p: Params, ids: Array) -> Array:
    """Mean loss of fixed weights on the whole text, state carried: (S,) nats/letter."""
    _, log_p = forward(p, ids[:-1], np.zeros_like(p["b_h"]))  # (S, N - 1, V)
    return -log_p[..., np.arange(len(ids) - 1), ids[1:]].mean(axis=-1)  # (S,)


# %% [markdown]
# ## Two runs
# The post's own example: the word "hello", three hidden units as in its figure. And a
# sonnet, a small text of which a small network learns much. Both from several
# seeds, trained side by side.


# %%
@functools.cache
def run(text: str, hidden_size: int, steps: int, seeds: int) -> tuple:
    """Train one model per seed 0, 1, ... on the text: params, losses (steps, S)."""
    ids, alphabet = encode(text)
    rngs = [np.random.default_rng(seed) for seed in range(seeds)]
    p = init_params(len(alphabet), hidden_size, rngs)
    return p, np.array(list(islice(training(p, ids), steps)))


# text, hidden units, updates, seeds: 500 sweeps of one chunk, 80 sweeps of 25 chunks
HELLO_RUN = ("hello", 3, 500, 20)
SONNET_RUN = (SONNET, 32, 2000, 5)


# %%
def write(seed: int, n: int, temperature: float) -> str:
    """Let one of the trained models write `n` letters, after a line break."""
    _, alphabet = encode(SONNET)
    p = {name: w[seed] for name, w in run(*SONNET_RUN)[0].items()}  # (., .)
    out = sample(p, alphabet.index("\n"), n, temperature, np.random.default_rng(seed))
    return "".join(alphabet[i] for i in out)


# %% [markdown]
# ## What truncation keeps, and what it cuts
# The same text in one piece, or in chunks with the state carried over: the losses are
# equal to the last digit, since the forward pass does not see the cuts. The gradients
# are not. The cosine between the two says how well the truncated one points.


# %%
def truncated_gradient(p: Params, ids: Array, T: int) -> tuple[Array, ...]:
    """Summed loss (S,) and gradient of W_hh (S, H * H), in chunks of T letters."""
    h, loss, gradient = np.zeros_like(p["b_h"]), 0.0, 0.0
    for x, targets in chunks(ids, T):
        chunk_loss, grads, h = loss_and_gradients(p, x, targets, h)
        loss, gradient = loss + chunk_loss, gradient + grads["W_hh"]
    return loss, gradient.reshape(len(gradient), -1)


# %% [markdown]
# ## Figures


# %%
def draw_loss() -> None:
    """Loss in nats per letter against sweeps through the sonnet, on a logarithmic axis.

    The median of five seeds, with the range between them as a band, starts near 3.5,
    stays above the line of the letter frequencies (3.0) for a sweep or two, passes the
    line of letter pairs (1.9) after about ten sweeps and ends near 0.3.
    """
    import matplotlib.pyplot as plt

    unigram, bigram = entropies(encode(SONNET)[0])
    sweeps = run(*SONNET_RUN)[1].reshape(-1, 25, 5).mean(axis=1)  # (80, S)
    turns = np.arange(1, len(sweeps) + 1)
    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    ax.plot(turns, np.median(sweeps, axis=1), label="RNN, median of 5 seeds")
    ax.fill_between(turns, sweeps.min(axis=1), sweeps.max(axis=1), alpha=0.25, lw=0)
    ax.axhline(unigram, color="C1", ls="--", label="no memory: letters")
    ax.axhline(bigram, color="C2", ls=":", label="one letter: pairs")
    ax.set(xscale="log", xlim=(1, 80), ylim=(0, 4), xlabel="sweeps through the text")
    ax.set_xticks([1, 2, 5, 10, 20, 40, 80], [1, 2, 5, 10, 20, 40, 80])
    ax.set_ylabel("loss (nats per letter)")
    ax.legend()


# %% tags=["active-ipynb"]
# draw_loss()


# %% [markdown]
# ## Numbers


# %%
def spread(name: str, values: Array) -> dict[str, float]:
    """Median and range over seeds, as three entries."""
    v = np.asarray(values, dtype=float)
    summary = {"median": np.median(v), "min": v.min(), "max": v.max()}
    return {f"{name}_{kind}": float(value) for kind, value in summary.items()}


def temperature_numbers(temperature: float) -> dict[str, float]:
    """800 letters per seed: share of words the sonnet has, share of repeated text."""
    known, repeated = [], []
    for seed in range(5):
        text = write(seed, 800, temperature)
        known.append(np.mean([word in SONNET.split() for word in text.split()]))
        pieces = [text[i : i + 20] for i in range(len(text) - 19)]
        repeated.append(1 - len(set(pieces)) / len(pieces))
    tag = f"temperature_{temperature:g}".replace(".", "_")
    return spread(f"known_words_{tag}", known) | spread(f"repeated_{tag}", repeated)


def known_after_true_text(seed: int, temperature: float) -> float:
    """Share of known words, each begun where the sonnet itself has led the model."""
    ids, alphabet = encode(SONNET)
    p = {name: w[seed] for name, w in run(*SONNET_RUN)[0].items()}  # (., .)
    hs, _ = forward(p, ids, np.zeros_like(p["b_h"]))  # (N + 1, H)
    rng, known = np.random.default_rng(seed), []
    for i in (i for i, letter in enumerate(SONNET[:-1]) if letter.isspace()):
        out = sample(p, int(ids[i]), 20, temperature, rng, hs[i : i + 1])
        text = "".join(alphabet[k] for k in out).replace("\n", " ")
        known.append(text.partition(" ")[0] in SONNET.split())
    return float(np.mean(known))


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    # the sizes of min-char-rnn on tinyshakespeare: 65 letters, 100 units, 25 steps
    p = init_params(65, 100, [np.random.default_rng(seed) for seed in range(5)])
    x = np.random.default_rng(5).integers(0, 65, 26)  # (26,)
    first, _, _ = loss_and_gradients(p, x[:-1], x[1:], np.zeros_like(p["b_h"]))
    results = {
        **spread("first_chunk_v65_nats", first),
        "uniform_50_letters_v67_nats": 50 * math.log(67),
    }

    p, _ = run(*HELLO_RUN)
    results |= {
        "hello_parameters": sum(w[0].size for w in p.values()),
        **spread("hello_final_nats", text_loss(p, encode("hello")[0])),
    }

    p, losses = run(*SONNET_RUN)
    ids, alphabet = encode(SONNET)
    _, bigram = entropies(ids)
    sweeps = losses.reshape(-1, 25, 5).mean(axis=1)  # (80, S)
    results |= {
        "sonnet_letters": len(ids),
        "sonnet_alphabet": len(alphabet),
        "sonnet_bigram_nats": bigram,
        **spread("sonnet_sweeps_to_pass_bigram", (sweeps < bigram).argmax(axis=0) + 1),
        **spread("sonnet_final_nats", text_loss(p, ids)),
    }
    whole_loss, whole = truncated_gradient(p, ids, len(ids))  # (S,), (S, H * H)
    for T in (1, 5, 25, 100):
        loss, g = truncated_gradient(p, ids, T)  # (S,), (S, H * H)
        norms = np.linalg.norm(g, axis=1) * np.linalg.norm(whole, axis=1)  # (S,)
        results |= spread(f"cosine_t{T}", (g * whole).sum(axis=1) / norms)
        results[f"loss_gap_t{T}_nats"] = float(np.abs(loss - whole_loss).max())
    for temperature in (0.01, 0.5, 1, 2):
        results |= temperature_numbers(temperature)
    true = [known_after_true_text(seed, 1.0) for seed in range(5)]
    return results | spread("known_words_after_true_text", true)


# %% [markdown]
# ## Your own text
# `--text FILE` trains one model at the sizes of min-char-rnn and lets it write.


# %%
def train_and_write(text: str, steps: int, seed: int, temperature: float) -> float:
    """Train 100 units on the text, print 400 letters: the smoothed loss, in nats.

    Raises ValueError if `steps` is below 1, `seed` is negative, `temperature` is not
    above 0 or the text has fewer than two letters.
    """
    if steps < 1 or seed < 0:
        raise ValueError(f"steps must be >= 1 and seed >= 0, got {steps} and {seed}")
    ids, alphabet = encode(text)
    rng = np.random.default_rng(seed)
    p = init_params(len(alphabet), 100, [rng])
    model = {name: w[0] for name, w in p.items()}  # views: they train along
    sample(model, int(ids[0]), 1, temperature, rng)  # complain now, not later
    smooth = math.log(len(alphabet))
    for step, loss in enumerate(islice(training(p, ids), steps), 1):
        smooth = 0.999 * smooth + 0.001 * float(loss[0])
        if step % 1000 == 0:
            print(f"{step:>8} updates  smoothed loss {smooth:.4f} nats per letter")
    out = sample(model, int(ids[0]), 400, temperature, rng)
    print("".join(alphabet[i] for i in out))
    return smooth


def main(argv: Sequence[str]) -> dict[str, float]:
    """Without arguments the numbers of the page, with any the run they ask for."""
    parser = argparse.ArgumentParser(description="Train a character RNN and sample.")
    parser.add_argument("--text", metavar="FILE", help="UTF-8 text (default: a sonnet)")
    parser.add_argument("--steps", type=int, default=5000, help="updates (5000)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (0)")
    parser.add_argument("--temperature", type=float, default=1.0, help="above 0 (1.0)")
    args = parser.parse_args(argv)
    if not argv:
        print(f"Training {SONNET_RUN[3]} networks on a sonnet, for some seconds.\n")
        for temperature in (0.01, 0.5, 1):
            print(f"--- temperature {temperature:g}\n{write(0, 250, temperature)}\n")
        return numbers()
    try:
        text = Path(args.text).read_text(encoding="utf-8") if args.text else SONNET
        loss = train_and_write(text, args.steps, args.seed, args.temperature)
    except UnicodeDecodeError as error:
        parser.error(f"argument --text: {args.text} is not UTF-8 text: {error}")
    except (OSError, ValueError) as error:  # no such file, bad argument
        parser.error(str(error))
    return {"smoothed_loss_nats": loss, "bigram_nats": entropies(encode(text)[0])[1]}


# %%
if __name__ == "__main__":
    results = main(sys.argv[1:] if "__file__" in globals() else [])
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
