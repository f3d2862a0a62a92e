# %% [markdown]
r"""
# A word-level language model

From raw text to written sentences: vocabulary, a recurrent network without biases,
truncated backpropagation through time, SGD with a learning rate that is halved when the
loss rises, and generation. It learns a nursery rhyme in seconds, or your own file:
`python word_rnn.py --text FILE --vocabulary 8000 --hidden 100 --epochs 10`.

**Source:** Denny Britz, *Recurrent Neural Networks Tutorial, Part 2* (2015), the whole
program (there 8000 words, 100 units, learning rate 0.005, `bptt_truncate` 4).

| symbol | name | shape |
| --- | --- | --- |
| $x_t$ (`x[t]`), $y_t$ (`y[t]`) | word read, word that follows, as indices | |
| $s_t$ (`s[..., t + 1, :]`) | state after word $t$ | $(H)$ |
| $o_t$ (`exp(log_o[..., t, :])`) | probabilities of the next word | $(C)$ |
| $U, V, W$ | weights: in, out, through time | $(H, C), (C, H), (H, H)$ |
| $C$, $H$ | words in the vocabulary, units of the state | |
| $S$ | models trained side by side, one per seed (optional) | leading axis |

**Differs from the source:** states are rows, hence `@ W.T`; parameters may carry a
leading axis $S$; words and sentences are found by two regular expressions instead of
NLTK; learning rate 0.02 and 32 units for the rhyme; no Theano.

**Checked against:** torch autograd and `torch.nn.RNN` (1e-10 in float64),
`torch.optim.SGD`.

**Takes:** about 4 s on one core.

**Varies with the machine:** what is measured after training, since each processor
rounds in its own way and training magnifies that: `rhyme_final_nats` by up to 0.1,
`rhyme_epochs` by up to 2, `rhyme_verses` by up to 0.3.
"""

# %%
import argparse
import functools
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

Params = dict[str, np.ndarray]

# %% [markdown]
# ## From text to indices
# The most frequent words get an index, all others share one. A sentence is framed by
# two tokens of its own, so that the network learns how sentences begin and end.

# %% From text to indices
START, END, UNKNOWN = 0, 1, 2
SPECIAL = ["<start>", "<end>", "<unknown>"]


def split(text: str) -> list[list[str]]:
    """Sentences as lists of lower-case words; a punctuation mark is a word too."""
    sentences = re.split(r"(?<=[.!?])\s+", text.lower().strip())
    return [w for s in sentences if (w := re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", s))]


def build_vocabulary(sentences: list[list[str]], size: int) -> list[str]:
    """The `size` words of the model: three special ones, then the most frequent.

    Raises ValueError if `size` is below 4 or there are no sentences.
    """
    if size < 4:
        raise ValueError(f"vocabulary must have >= 4 words (3 special), got {size}")
    if not sentences:
        raise ValueError("text has no words")
    counts = Counter(word for words in sentences for word in words)
    return SPECIAL + [word for word, _ in counts.most_common(size - 3)]


def encode(sentences: list[list[str]], vocabulary: list[str]) -> list[np.ndarray]:
    """Each sentence as indices (T + 1,): start, its words, end."""
    index = {word: i for i, word in enumerate(vocabulary)}
    return [
        np.array([START, *(index.get(word, UNKNOWN) for word in words), END])
        for words in sentences
    ]


# %% [markdown]
# ## The network


# %%
def forward(
    p: Params, x: np.ndarray, before: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Read the words `x` (T,) from the state `before` (..., 1, H), zero by default.

    Returns the states (..., T + 1, H), `before` first, and log-probabilities of the
    next word (..., T, C) in nats. Raises ValueError unless all words are below C.
    """
    C = p["U"].shape[-1]
    if x.ndim != 1 or not len(x) or x.min() < 0 or x.max() >= C:
        raise ValueError(f"x must be a row of indices in [0, {C}), got {x!r}")
    Ux = p["U"][..., x].mT  # (..., T, H): a one-hot vector picks a column
    s = np.zeros((*Ux.shape[:-2], len(x) + 1, Ux.shape[-1]))  # (..., T + 1, H)
    s[..., :1, :] = before
    for t in range(len(x)):
        # s_t = tanh(U x_t + W s_{t-1})
        a = Ux[..., t : t + 1, :] + s[..., t : t + 1, :] @ p["W"].mT  # (..., 1, H)
        s[..., t + 1 : t + 2, :] = np.tanh(a)
    # o_t = softmax(V s_t)
    z = s[..., 1:, :] @ p["V"].mT  # (..., T, C)
    z -= z.max(axis=-1, keepdims=True)  # exp cannot overflow
    return s, z - np.log(np.exp(z).sum(axis=-1, keepdims=True))  # (..., T, C)


# %% [markdown]
# ## Backpropagation through time, truncated
# Row $t$ of `delta` is the error of output $t$. It starts at time $t$ and walks back,
# one step per turn of the loop, at most `truncate` steps. All outputs walk side by
# side; after $d$ turns, row $t$ is at time $t - d$, and the first $d$ rows have left.


# %%
def loss_and_gradients(
    p: Params, x: np.ndarray, y: np.ndarray, truncate: int
) -> tuple[np.ndarray, Params]:
    """Cross-entropy of a sentence (...), summed over its words, in nats; gradients.

    x, y: (T,) words and the words that follow. truncate: >= 0, how many steps each
    error is sent back. Raises ValueError for another shape or a negative number.
    """
    if y.shape != x.shape or truncate < 0:
        got = f"got {y.shape} and {truncate}"
        raise ValueError(f"y must be {x.shape} like x and truncate >= 0, {got}")
    T = len(x)
    s, log_o = forward(p, x)  # (..., T + 1, H), (..., T, C)
    # L = -sum_t log o_t[y_t];   dL / dz_t = o_t - onehot(y_t)
    loss = -log_o[..., np.arange(T), y].sum(axis=-1)  # (...)
    dz = np.exp(log_o)  # (..., T, C)
    dz[..., np.arange(T), y] -= 1

    # delta_t = V^T dz_t * (1 - s_t^2)
    delta = (dz @ p["V"]) * (1 - s[..., 1:, :] ** 2)  # (..., T, H)
    da = np.zeros_like(delta)  # (..., T, H), before the tanh, all outputs together
    for d in range(min(truncate, T - 1) + 1):
        da[..., : T - d, :] += delta
        # one step back in time: delta <- W^T delta * (1 - s_{t-d-1}^2)
        slope = 1 - s[..., 1 : T - d, :] ** 2  # (..., T - d - 1, H)
        delta = (delta[..., 1:, :] @ p["W"]) * slope  # (..., T - d - 1, H)

    dU = np.zeros_like(p["U"])  # (..., H, C)
    np.add.at(dU, (..., x), da.mT)  # column x_t += da_t, also where a word comes twice
    dV, dW = dz.mT @ s[..., 1:, :], da.mT @ s[..., :-1, :]  # (..., C, H), (..., H, H)
    return loss, {"U": dU, "V": dV, "W": dW}


# %% [markdown]
# ## Training
# One update per sentence, always in the same order. Before each epoch the loss of the
# whole text is taken; a model whose loss has risen halves its learning rate.


# %%
def init_params(C: int, H: int, rngs: Sequence[np.random.Generator]) -> Params:
    """One model per generator, stacked: uniform in +-1/sqrt(n), n connections in.

    Raises ValueError if C is below 4 or H is below 1.
    """
    if C < 4 or H < 1:
        raise ValueError(f"need C >= 4 words and H >= 1 units, got {C} and {H}")
    sizes = {"U": (C, (H, C)), "V": (H, (C, H)), "W": (H, (H, H))}
    return {
        name: np.stack([rng.uniform(-(n**-0.5), n**-0.5, shape) for rng in rngs])
        for name, (n, shape) in sizes.items()
    }


def mean_loss(p: Params, sentences: list[np.ndarray]) -> np.ndarray:
    """Loss of fixed weights on all sentences (...): nats per predicted word."""
    total = 0.0
    for ids in sentences:
        _, log_o = forward(p, ids[:-1])  # (..., T, C)
        total -= log_o[..., np.arange(len(ids) - 1), ids[1:]].sum(axis=-1)  # (...)
    return total / sum(len(ids) - 1 for ids in sentences)


def training(
    p: Params, sentences: list[np.ndarray], lr: float, truncate: int = 4
) -> Iterator[np.ndarray]:
    """Train `p` in place, an epoch per turn. Yields the loss (...) before each epoch.

    Raises ValueError without sentences or for a learning rate that is not above 0.
    """
    if not sentences or not lr > 0:
        got = f"got {len(sentences)} and {lr}"
        raise ValueError(f"text must have >= 1 sentence and lr be > 0, {got}")
    rate, last = np.asarray(lr), np.inf
    while True:
        loss = mean_loss(p, sentences)  # (...)
        rate, last = np.where(loss > last, rate / 2, rate), loss  # (...), (...)
        yield loss
        for ids in sentences:
            _, grads = loss_and_gradients(p, ids[:-1], ids[1:], truncate)
            for name, g in grads.items():
                p[name] -= rate[..., None, None] * g


# %% [markdown]
# ## Writing
# From the start token on, draw a word, feed it back in, until the end token is drawn.


# %%
def generate(p: Params, rng: np.random.Generator, limit: int = 100) -> list[int]:
    """One sentence of a model (no leading axis), the tokens around it left out.

    Never draws <start> or <unknown>; stops after `limit` words at the latest.
    """
    s, words = 0.0, [START]
    while len(words) <= limit:
        states, log_o = forward(p, np.array(words[-1:]), s)  # (2, H), (1, C)
        s, q = states[1:], np.exp(log_o[0])  # (1, H), (C,)
        q[[START, UNKNOWN]] = 0
        words.append(int(rng.choice(len(q), p=q / q.sum())))
        if words[-1] == END:
            return words[1:-1]
    return words[1:]


# %% [markdown]
# ## A rhyme with a known best
# Eleven verses, each the one before it with a line put on top. What comes after "the"
# or "that" depends on the word *before* it, so a model that sees one word is lost. A
# model with a perfect memory is in doubt once per verse, after "this is the": eleven
# words may follow. Nothing can be better than $11 \ln 11$ nats for the whole rhyme.

# %%
LINES = [
    "the house that Jack built",
    "the malt that lay in",
    "the rat that ate",
    "the cat that killed",
    "the dog that worried",
    "the cow with the crumpled horn that tossed",
    "the maiden all forlorn that milked",
    "the man all tattered and torn that kissed",
    "the priest all shaven and shorn that married",
    "the cock that crowed in the morn that waked",
    "the farmer sowing his corn that kept",
]  # This Is the House That Jack Built, traditional
RHYME = " ".join(f"This is {' '.join(LINES[n::-1])}." for n in range(len(LINES)))


def best_nats(sentences: list[np.ndarray], memory: int) -> float:
    """The least loss per word of any fixed model that sees the last `memory` words."""
    contexts = [
        (tuple(ids[max(0, t - memory) : t]), ids[t])
        for ids in sentences
        for t in range(1, len(ids))
    ]
    seen, followed = Counter(context for context, _ in contexts), Counter(contexts)
    # H(next | context) = -sum p(context, next) log p(next | context)
    logs = [n * np.log(n / seen[context]) for (context, _), n in followed.items()]
    return float(-sum(logs) / len(contexts))


@functools.cache
def run(epochs: int = 80) -> tuple[Params, np.ndarray, list[np.ndarray], list[str]]:
    """Train five models on the rhyme: weights, losses (epochs, S), data, words."""
    words = split(RHYME)
    vocabulary = build_vocabulary(words, 8000)
    sentences = encode(words, vocabulary)
    rngs = [np.random.default_rng(seed) for seed in range(5)]
    p = init_params(len(vocabulary), 32, rngs)
    losses = np.array(list(islice(training(p, sentences, lr=0.02), epochs)))
    return p, losses, sentences, vocabulary


def written(seed: int, n: int) -> list[str]:
    """`n` sentences written by one of the trained models."""
    p, _, _, vocabulary = run()
    model = {name: w[seed] for name, w in p.items()}  # (., .)
    rng = np.random.default_rng(seed)
    return [" ".join(vocabulary[i] for i in generate(model, rng)) for _ in range(n)]


# %%
def draw_loss() -> None:
    """Loss in nats per word before each epoch on the rhyme, on logarithmic axes.

    The median of five seeds, with the range between them as a band, starts at the
    line of guessing, 3.8, crosses the line of word pairs, 0.9, at about the 14th epoch
    and comes down toward the line of the best possible, 0.07, without reaching it.
    """
    import matplotlib.pyplot as plt

    _, losses, sentences, vocabulary = run()
    epochs = np.arange(1, len(losses) + 1)
    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    ax.plot(epochs, np.median(losses, axis=1), label="RNN, median of 5 seeds")
    ax.fill_between(epochs, losses.min(axis=1), losses.max(axis=1), alpha=0.25, lw=0)
    ax.axhline(np.log(len(vocabulary)), color="C1", ls="--", label="guessing: ln C")
    ax.axhline(best_nats(sentences, 1), color="C2", ls=":", label="one word: pairs")
    ax.axhline(
        best_nats(sentences, 999), color="C3", ls="-.", label="the best possible"
    )
    ax.set(xscale="log", yscale="log", xlim=(1, 80))
    ax.set_xticks([1, 2, 5, 10, 20, 40, 80], [1, 2, 5, 10, 20, 40, 80])
    ax.set_yticks([0.1, 0.3, 1, 3], [0.1, 0.3, 1, 3])
    ax.set(xlabel="epoch (loss before it)", ylabel="loss (nats per word)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 0.1))


# %% tags=["active-ipynb"]
# draw_loss()


# %% [markdown]
# ## Numbers


# %%
def spread(name: str, values: np.ndarray) -> dict[str, float]:
    """Median and range over seeds, as three entries."""
    summary = {"median": np.median(values), "min": min(values), "max": max(values)}
    return {f"{name}_{kind}": float(value) for kind, value in summary.items()}


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    p, losses, sentences, vocabulary = run()
    verses = {" ".join(words) for words in split(RHYME)}
    bigram = best_nats(sentences, 1)
    known = [np.mean([text in verses for text in written(s, 50)]) for s in range(5)]
    return {
        "rhyme_words": sum(len(ids) - 1 for ids in sentences),
        "rhyme_vocabulary": len(vocabulary),
        "rhyme_guess_nats": float(np.log(len(vocabulary))),
        "rhyme_bigram_nats": bigram,
        "rhyme_two_words_nats": best_nats(sentences, 2),
        "rhyme_best_nats": best_nats(sentences, 999),
        **spread("rhyme_first_nats", losses[0]),
        **spread("rhyme_final_nats", mean_loss(p, sentences)),
        **spread("rhyme_epochs_to_pass_bigram", (losses < bigram).argmax(axis=0)),
        **spread("rhyme_verses_written", np.array(known)),
    }


# %% [markdown]
# ## Your own text


# %%
def train_and_write(text: str, args: argparse.Namespace) -> float:
    """Train on the text, print the loss of each epoch and five sentences: last loss.

    Raises ValueError if epochs or hidden is below 1, seed is negative, vocabulary is
    below 4, lr is not above 0 or the text has no words.
    """
    if args.epochs < 1 or args.seed < 0:
        got = f"got {args.epochs} and {args.seed}"
        raise ValueError(f"epochs must be >= 1 and seed >= 0, {got}")
    words = split(text)
    vocabulary = build_vocabulary(words, args.vocabulary)
    sentences, rng = encode(words, vocabulary), np.random.default_rng(args.seed)
    p = init_params(len(vocabulary), args.hidden, [rng])
    losses = islice(training(p, sentences, args.lr), args.epochs + 1)
    for epoch, (loss,) in enumerate(losses):
        print(f"{epoch:>4} epochs  {loss:.4f} nats per word", flush=True)
    model = {name: w[0] for name, w in p.items()}
    for _ in range(5):
        print(" ".join(vocabulary[i] for i in generate(model, rng)))
    return float(loss)


def main(argv: Sequence[str]) -> dict[str, float]:
    """Without arguments the numbers of the page, with any the run they ask for."""
    parser = argparse.ArgumentParser(description="Train a word RNN and let it write.")
    parser.add_argument("--text", metavar="FILE", help="UTF-8 text (default: a rhyme)")
    parser.add_argument("--vocabulary", type=int, default=8000, help="words (8000)")
    parser.add_argument("--hidden", type=int, default=100, help="units (100)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs (10)")
    parser.add_argument("--lr", type=float, default=0.005, help="rate (0.005)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (0)")
    args = parser.parse_args(argv)
    if not argv:
        print("\n".join(written(0, 4)), "\n")
        return numbers()
    try:
        text = Path(args.text).read_text(encoding="utf-8") if args.text else RHYME
        return {"final_nats": train_and_write(text, args)}
    except UnicodeDecodeError as error:
        parser.error(f"argument --text: {args.text} is not UTF-8 text: {error}")
    except (OSError, ValueError) as error:  # no such file, bad argument
        parser.error(str(error))


# %%
if __name__ == "__main__":
    results = main(sys.argv[1:] if "__file__" in globals() else [])
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
