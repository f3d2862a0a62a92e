# %% [markdown]
r"""
# Two ways to learn from plain text: masked and causal

BERT hides some words and asks for them, with the words on both sides in view. GPT asks
for each next word, with only the words before in view. Both are a cross-entropy over
the vocabulary; they differ in which positions are asked and in what may be seen.

**Source:** Jacob Devlin et al., *BERT* (2018), section 3.1; Alec Radford et al.,
*Improving Language Understanding by Generative Pre-Training* (2018), eq. 1; the list:
Sebastian Raschka, *Understanding Large Language Models* (2023).

| symbol | name | shape |
| --- | --- | --- |
| `tokens` | the text | $(B, T)$ |
| `logits` | what the model puts out | $(B, T, V)$ |
| `asked` | true where a word is to be guessed | $(B, T)$ |
| $P$ (`P`) | transitions of a Markov chain | $(V, V)$ |

**Differs from the source:** each token is chosen on its own with a chance of 15 %, as
in most reimplementations; the original code draws a fixed number per sequence. A random
word may be the word itself.

**Checked against:** the losses of Hugging Face's `GPT2LMHeadModel` (1e-6: it computes
in float32) and `BertForMaskedLM`, both with random weights;
`torch.nn.functional.cross_entropy` and its gradient (1e-10 in float64); and sums over
all triples of a chain.

**Takes:** under 1 s on one core.
"""

# %%
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

# %% [markdown]
# ## The primitive
# One loss serves both. The mean runs over the positions that are asked.


# %%
def cross_entropy(logits: Floats, targets: Ints, asked: Bools) -> tuple[float, Floats]:
    """Mean of -log p(target) where asked, and its gradient in the logits.

    logits: (B, T, V), targets and asked: (B, T). Returns the loss and (B, T, V).
    Raises ValueError where shapes disagree or nothing is asked.
    """
    for name, a in (("targets", targets), ("asked", asked)):
        if a.shape != logits.shape[:-1]:
            raise ValueError(f"{name} has shape {a.shape}, want {logits.shape[:-1]}")
    if not asked.any():
        raise ValueError("asked is false everywhere: a mean over nothing")
    shifted = logits - logits.max(axis=-1, keepdims=True)  # (B, T, V)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))  # (B, T, V)
    picked = np.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]  # (B, T)
    # L = -1/n sum_{asked} log p(target)
    loss = -picked[asked].mean()
    # dL/dlogits = (p - onehot(target)) / n where asked, 0 elsewhere
    onehot = np.arange(logits.shape[-1]) == targets[..., None]  # (B, T, V)
    return float(loss), (np.exp(log_p) - onehot) * asked[..., None] / asked.sum()


def causal_loss(logits: Floats, tokens: Ints) -> tuple[float, Floats]:
    """GPT: position t is asked for token t + 1, the last one for nothing.

    -1/(T - 1) sum_t log p(x_{t+1} | x_1 ... x_t); logits (B, T, V), tokens (B, T).
    """
    targets = np.roll(tokens, -1, axis=1)  # (B, T), token t + 1 at position t
    asked = np.ones(tokens.shape, dtype=bool)  # (B, T)
    asked[:, -1] = False
    return cross_entropy(logits, targets, asked)


def masked_loss(logits: Floats, tokens: Ints, chosen: Bools) -> tuple[float, Floats]:
    """BERT: a chosen position is asked for its own token, as it was before masking."""
    # -1/|chosen| sum_{t chosen} log p(x_t | the corrupted text)
    return cross_entropy(logits, tokens, chosen)


# %% [markdown]
# ## What is corrupted
# 15 % of the tokens are chosen. Of these, 80 % become the mask, 10 % a random word,
# and 10 % stay. The last two are there because the mask never occurs in real use: the
# model must not learn that an ordinary word is always right.


# %%
def corrupt(
    tokens: Ints, vocab: int, mask_id: int, rng: np.random.Generator
) -> tuple[Ints, Bools]:
    """The text as BERT sees it, and which tokens are asked: both (B, T).

    Raises ValueError unless 0 <= mask_id < vocab.
    """
    if not 0 <= mask_id < vocab:
        raise ValueError(f"mask_id is {mask_id}, want one of the {vocab} words")
    chosen = rng.random(tokens.shape) < 0.15  # (B, T)
    fate = rng.random(tokens.shape)  # (B, T)
    words = rng.integers(vocab, size=tokens.shape)  # (B, T)
    seen = np.where(chosen & (fate < 0.8), mask_id, tokens)  # (B, T)
    return np.where(chosen & (fate >= 0.9), words, seen), chosen


# %% [markdown]
# ## What each may see
# Without the causal mask a model asked for the next word would find it in its input.
# One row per position, true where it may look.


# %%
def visible(n: int, objective: str) -> Bools:
    """(n, n): what position i may look at, for "causal" or "masked".

    Raises ValueError for any other objective.
    """
    if objective not in ("causal", "masked"):
        raise ValueError(f"objective is {objective!r}, want 'causal' or 'masked'")
    everything = np.ones((n, n), dtype=bool)  # (n, n)
    return np.tril(everything) if objective == "causal" else everything


# %% [markdown]
# ## Why the two losses cannot be compared
# Take a language that we know: a Markov chain. The best possible causal loss is the
# entropy of the next word given the one before. The best possible masked loss, with one
# word hidden, is the entropy given both neighbors, which is never larger. So
# a lower loss does not make BERT the better model of the language: it had the easier
# question.


# %%
def stationary(P: Floats) -> Floats:
    """Long-run share of each word (V,), for transitions P (V, V), row to column.

    Raises ValueError unless P is square and its rows are distributions.
    """
    if P.ndim != 2 or P.shape[0] != P.shape[1]:
        raise ValueError(f"P has shape {P.shape}, want (V, V)")
    if (P < 0).any() or not np.allclose(P.sum(axis=1), 1):
        raise ValueError("P has a row that is no distribution")
    # pi P = pi and sum pi = 1, as one system with a solution that is unique
    V = len(P)
    A = np.vstack([P.T - np.eye(V), np.ones(V)])  # (V + 1, V)
    return np.linalg.lstsq(A, np.append(np.zeros(V), 1.0), rcond=None)[0]  # (V,)


def best_losses(P: Floats) -> tuple[float, float]:
    """The smallest possible causal and masked loss in nats, for transitions P (V, V).

    Raises ValueError where a transition is impossible, besides what `stationary` does.
    """
    pi = stationary(P)  # (V,)
    if not (P > 0).all():
        raise ValueError("P has an entry of 0, want all above: 0 log 0 is no number")
    # causal: H(x_t | x_{t-1}) = -sum_a pi_a sum_b P_ab log P_ab
    causal = -(pi[:, None] * P * np.log(P)).sum()
    # masked: p(b | a, c) = P_ab P_bc / (P^2)_ac
    joint = pi[:, None, None] * P[:, :, None] * P[None]  # (V, V, V), p(a, b, c)
    posterior = P[:, :, None] * P[None] / (P @ P)[:, None, :]  # (V, V, V)
    masked = -(joint * np.log(posterior)).sum()
    return float(causal), float(masked)


def sticky(stay: float, vocab: int = 3) -> Floats:
    """A chain (vocab, vocab) that stays with this chance, else goes anywhere else.

    Raises ValueError unless 0 < stay < 1.
    """
    if not 0 < stay < 1:
        raise ValueError(f"stay is {stay}, want strictly between 0 and 1")
    P = np.full((vocab, vocab), (1 - stay) / (vocab - 1))  # (V, V)
    np.fill_diagonal(P, stay)
    return P


# %% [markdown]
# ## Figures


# %%
def draw_losses() -> None:
    """The smallest possible loss against the chance to stay, for a chain of three
    words. Both curves meet at log 3 where every word is equally likely, at one third,
    and to the right of it both fall; the masked curve lies below the causal one.
    """
    import matplotlib.pyplot as plt

    stay = np.linspace(0.02, 0.98, 49)
    causal, masked = np.array([best_losses(sticky(s)) for s in stay]).T
    _, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
    ax.plot(stay, causal, label="causal: one neighbor known")
    ax.plot(stay, masked, label="masked: both neighbors known")
    ax.set(xlabel="chance that the next word is the same", ylabel="best loss, nats")
    ax.set_ylim(0, 1.35)
    ax.legend(loc="upper right")


# %% tags=["active-ipynb"]
# draw_losses()


# %%
def draw_visible() -> None:
    """Two squares of eight by eight positions. Causal: the lower triangle is filled,
    so a position sees itself and what came before. Masked: the whole square is filled.
    """
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 2, figsize=(5, 2.6), layout="constrained")
    for ax, objective in zip(axes, ("causal", "masked"), strict=True):
        ax.imshow(visible(8, objective), vmin=0, vmax=1.4, interpolation="none")
        ax.set(title=objective, xlabel="may look at", ylabel="position")
        ax.set(xticks=[0, 7], yticks=[0, 7])
        ax.set_xticklabels(["1", "8"])
        ax.set_yticklabels(["1", "8"])
        ax.grid(False)


# %% tags=["active-ipynb"]
# draw_visible()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes; shares are in percent."""
    result: dict[str, float] = {}
    rng = np.random.default_rng(0)
    vocab, mask_id = 30522, 103
    tokens = rng.integers(1000, vocab, size=(1000, 1000))  # (1000, 1000)
    seen, chosen = corrupt(tokens, vocab, mask_id, rng)
    masked, kept = chosen & (seen == mask_id), chosen & (seen == tokens)
    of_chosen = 100 / chosen.sum()
    result["chosen_percent"] = 100 * float(chosen.mean())
    result["masked_percent_of_chosen"] = float(masked.sum() * of_chosen)
    result["kept_percent_of_chosen"] = float(kept.sum() * of_chosen)
    random = (chosen & ~masked & ~kept).sum()
    result["random_percent_of_chosen"] = float(random * of_chosen)
    result["masked_percent_of_all"] = 100 * float(masked.mean())
    result["random_percent_of_all"] = 100 * float(random / tokens.size)
    result["kept_percent_of_all"] = 100 * float(kept.mean())
    # questions that one sequence of 512 tokens asks
    result["asked_causal_512"] = 512 - 1
    result["asked_masked_512"] = 0.15 * 512
    for stay in (0.5, 0.8, 0.9):
        causal, masked = best_losses(sticky(stay))
        key = f"stay_{round(100 * stay)}"
        result |= {f"causal_{key}": causal, f"masked_{key}": masked}
        result[f"causal_{key}_perplexity"] = float(np.exp(causal))
        result[f"masked_{key}_perplexity"] = float(np.exp(masked))
    return result


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
