# %% [markdown]
r"""
# Byte-pair encoding

A tokenizer that starts from the 256 bytes and joins the commonest neighbors, again
and again. Every text has an encoding, since every text is bytes.

**Source:** Andrej Karpathy, *Neural Networks: Zero to Hero*, lecture 8: minbpe (2024),
its `BasicTokenizer`.

| symbol | name | shape |
| --- | --- | --- |
| text as tokens | `ids` | list |
| pair of neighbors to the new token | `merges` | dictionary, in order of training |

**Differs from the source:** `encode` replays the merges in the order of training; there
the earliest pair present is looked for each time. The tokens are the same.

**Checked against:** training by brute force on strings, encoding as minbpe does it, and
round trips of any Unicode text.

**Takes:** under 1 s on one core.
"""

# %%
import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

Pair = tuple[int, int]


# %% The primitive
def merge(ids: list[int], pair: Pair, new: int) -> list[int]:
    """Replace each `pair` in `ids` by `new`, from the left, without overlap."""
    out: list[int] = []
    i = 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


def train(text: str, n_merges: int) -> dict[Pair, int]:
    """Learn `n_merges` merges; of equally common pairs the one met first wins.

    Raises ValueError if n_merges is negative or the text runs out of pairs.
    """
    if n_merges < 0:
        raise ValueError(f"n_merges must be >= 0, got {n_merges}")
    ids = list(text.encode())  # as UTF-8, Python's own choice
    merges: dict[Pair, int] = {}
    for new in range(256, 256 + n_merges):
        counts = Counter(pairwise(ids))
        if not counts:
            raise ValueError(f"text must have {n_merges} merges, has {new - 256}")
        pair = max(counts, key=counts.__getitem__)  # the first of the largest
        ids = merge(ids, pair, new)
        merges[pair] = new
    return merges


def encode(text: str, merges: dict[Pair, int]) -> list[int]:
    """The merges, in the order they were learned, applied to the bytes of `text`."""
    ids = list(text.encode())
    for pair, new in merges.items():
        ids = merge(ids, pair, new)
    return ids


def vocabulary(merges: dict[Pair, int]) -> dict[int, bytes]:
    """Each token's bytes: the 256 single ones, then those of the merges."""
    vocab = {i: bytes([i]) for i in range(256)}
    for (left, right), new in merges.items():
        vocab[new] = vocab[left] + vocab[right]
    return vocab


def decode(ids: list[int], merges: dict[Pair, int]) -> str:
    """The text of `ids`; bytes that are not UTF-8 become the replacement character.

    Raises ValueError if one of `ids` is no token.
    """
    vocab = vocabulary(merges)
    for i in ids:
        if i not in vocab:
            raise ValueError(f"ids must be tokens in [0, {len(vocab)}), got {i}")
    return b"".join(vocab[i] for i in ids).decode(errors="replace")


# %% [markdown]
# ## Whose text is short
# The merges are learned on one sonnet and tried on others: English, but not seen, and
# Korean, of which no pair was seen.

# %%
LEARNED = """\
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

OTHERS = {
    # William Shakespeare, Sonnet 116 (1609)
    "english": """\
Let me not to the marriage of true minds
Admit impediments. Love is not love
Which alters when it alteration finds,
Or bends with the remover to remove:
O, no! it is an ever-fixed mark,
That looks on tempests and is never shaken;
""",
    # Universal Declaration of Human Rights (1948), article 1
    "korean": """\
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.
인간은 천부적으로 이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다.
""",
}


def lengths(text: str, merges: dict[Pair, int]) -> list[int]:
    """How many tokens the text has after 0, 1, 2, ... of the merges."""
    ids = list(text.encode())
    out = [len(ids)]
    for pair, new in merges.items():
        ids = merge(ids, pair, new)
        out.append(len(ids))
    return out


# %%
def draw_lengths() -> None:
    """Tokens per character against the number of merges, for three texts.

    The sonnet that was learned falls from 1 to 0.45 within 95 merges and then more
    slowly, another sonnet to about 0.7. The Korean text stays at 2.5.
    """
    import matplotlib.pyplot as plt

    merges = train(LEARNED, 150)
    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    for label, text in (
        ("Korean", OTHERS["korean"]),
        ("another sonnet", OTHERS["english"]),
        ("the sonnet learned from", LEARNED),
    ):
        ax.plot([n / len(text) for n in lengths(text, merges)], label=label)
    ax.set(xlabel="merges", ylabel="tokens per character", xlim=(0, 150), ylim=(0, 3))
    ax.legend(loc="center right")


# %% tags=["active-ipynb"]
# draw_lengths()


# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    toy = train("aaabdaaabac", 3)
    ids = encode("aaabdaaabac", toy)
    out: dict[str, float] = {f"toy_id_{i}": token for i, token in enumerate(ids)}
    out |= {"toy_length": len(ids), "second_merge_left": [*toy][1][0]}
    merges = train(LEARNED, 150)
    for name, text in {"learned": LEARNED, **OTHERS}.items():
        n = lengths(text, merges)
        out |= {f"{name}_before": n[0] / len(text), f"{name}_after": n[-1] / len(text)}
        if name == "learned":
            out["merges_of_pairs"] = sum(a - b > 1 for a, b in pairwise(n))
    return out | {"longest_token": max(map(len, vocabulary(merges).values()))}


# %% [markdown]
# ## Your own text
# `--text FILE` learns from a file and shows the first tokens.


# %%
def learn_and_show(text: str, n_merges: int) -> dict[str, float]:
    """Print the first 20 new tokens of the text: its length in bytes and in tokens."""
    merges = train(text, n_merges)
    vocab = vocabulary(merges)
    for new in [*merges.values()][:20]:
        print(f"{new:>6} {vocab[new].decode(errors='replace')!r}")
    return {"bytes": len(text.encode()), "tokens": len(encode(text, merges))}


def main(argv: Sequence[str]) -> dict[str, float]:
    """Without arguments the numbers of the page, else the run they ask for."""
    parser = argparse.ArgumentParser(description="Learn byte-pair tokens from a text.")
    parser.add_argument("--text", metavar="FILE", help="UTF-8 text (default: a sonnet)")
    parser.add_argument("--merges", type=int, default=100, help="to learn (100)")
    args = parser.parse_args(argv)
    if not argv:
        return numbers()
    try:
        text = Path(args.text).read_text(encoding="utf-8") if args.text else LEARNED
        return learn_and_show(text, args.merges)
    except UnicodeDecodeError as error:
        parser.error(f"argument --text: {args.text} is not UTF-8 text: {error}")
    except (OSError, ValueError) as error:  # no such file, bad argument
        parser.error(str(error))


# %%
if __name__ == "__main__":
    results = main(sys.argv[1:] if "__file__" in globals() else [])
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
