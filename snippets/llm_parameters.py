# %% [markdown]
r"""
# How many parameters a language model has

A Transformer layer of width $d$ has $12 d^2 + 13 d$ parameters. From this one formula
come the sizes of GPT, BERT, BART, Gopher and Pythia, to the last digit where the last
digit is printed; and where a printed size does not come out, the formula can be turned
round and asked which vocabulary would explain it.

**Source:** Sebastian Raschka, *Understanding Large Language Models* (2023), and the
papers it lists: Radford et al. (2018, 2019), Devlin et al. (2018), Lewis et al. (2019),
Brown et al. (2020), Rae et al. (2021), Biderman et al. (2023).

| symbol | name | unit |
| --- | --- | --- |
| $L$ (`n_layers`) | layers | |
| $d$ (`d_model`) | width; the feed-forward layer is $4d$ wide | |
| $V$ (`vocab`) | rows of the embedding | tokens |
| $n$ (`n_ctx`) | rows of the position table | tokens |

**Differs from the source:** nothing; each count follows the model as it was released.

**Checked against:** the models of Hugging Face `transformers`, built from their sizes
without weights: `GPT2Model`, `OpenAIGPTModel`, `BertModel`, `BartModel` and
`GPTNeoXForCausalLM` (equal).

**Takes:** under 1 s on one core.
"""

# %%
import math

# %% [markdown]
# ## One layer
# Everything grows from here. Attention has four square matrices, the feed-forward layer
# two of $d \times 4d$: $4 + 8 = 12$ squares. The $13 d$ are the small change: biases of
# 4, 4 and 1 times $d$, and two normalizations with gain and bias.


# %%
def layer(d_model: int, matrices: int = 12, vectors: int = 13) -> int:
    """Parameters of one layer: (matrices) d^2 + (vectors) d."""
    # 12 d^2 + 13 d = 4 d^2 + 8 d^2 + (4 + 4 + 1 + 2 + 2) d
    return matrices * d_model**2 + vectors * d_model


def gpt(
    n_layers: int, d_model: int, vocab: int, n_ctx: int, final_norm: bool = True
) -> int:
    """Parameters of a GPT; the output shares the embedding. GPT-1 has no final norm."""
    check(n_layers=n_layers, d_model=d_model, vocab=vocab, n_ctx=n_ctx)
    # 12 L d^2 + 13 L d + (V + n) d + 2 d
    tables = (vocab + n_ctx) * d_model
    return n_layers * layer(d_model) + tables + 2 * d_model * final_norm


def bert(n_layers: int, d_model: int, vocab: int = 30522, n_ctx: int = 512) -> int:
    """Parameters of BERT: a norm after the embedding, two segments, a pooler."""
    check(n_layers=n_layers, d_model=d_model, vocab=vocab, n_ctx=n_ctx)
    tables = (vocab + n_ctx + 2) * d_model + 2 * d_model
    return n_layers * layer(d_model) + tables + d_model**2 + d_model


def bart(n_layers: int, d_model: int, vocab: int = 50265, n_ctx: int = 1026) -> int:
    """Parameters of BART, n_layers on each side: one word table, two of positions."""
    check(n_layers=n_layers, d_model=d_model, vocab=vocab, n_ctx=n_ctx)
    # in the decoder's layers a second attention and a third norm
    decoder = layer(d_model, matrices=16, vectors=19)
    tables = (vocab + 2 * n_ctx) * d_model + 4 * d_model  # and a norm after each
    return n_layers * (layer(d_model) + decoder) + tables


def pythia(n_layers: int, d_model: int, rows: int) -> tuple[int, int]:
    """Parameters of a Pythia: without embeddings, and of its two tables of rows."""
    check(n_layers=n_layers, d_model=d_model, rows=rows)
    # positions are rotations and cost nothing; input and output tables are not shared
    return n_layers * layer(d_model) + 2 * d_model, 2 * rows * d_model


def gopher(n_layers: int, d_model: int, vocab: int, square: int) -> int:
    """Parameters of Gopher's matrices, with 4 or 5 square ones in each attention."""
    check(n_layers=n_layers, d_model=d_model, vocab=vocab, square=square)
    return n_layers * layer(d_model, matrices=square + 8, vectors=0) + vocab * d_model


def check(**sizes: int) -> None:
    """Raises ValueError unless every size is at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}, want at least 1")


# %% [markdown]
# ## The models
# Sizes as released. The printed counts of GPT-2 are those of its first paper.

# %%
GPT2 = {  # layers, width, printed millions
    "small": (12, 768, 117),
    "medium": (24, 1024, 345),
    "large": (36, 1280, 762),
    "xl": (48, 1600, 1542),
}
VOCAB_GPT1, VOCAB_GPT2 = 40478, 50257
PYTHIA = {  # layers, width, rows of each table
    "70m": (6, 512, 50304),
    "160m": (12, 768, 50304),
    "410m": (24, 1024, 50304),
    "1b": (16, 2048, 50304),
    "1_4b": (24, 2048, 50304),
    "2_8b": (32, 2560, 50304),
    "6_9b": (32, 4096, 50432),
    "12b": (36, 5120, 50688),
}

# %% [markdown]
# ## Which vocabulary does a printed size need?
# A count printed as 117 stands for everything from 116.5 to 117.5 million. All but the
# vocabulary is known, so each printed size names an interval of vocabularies, and four
# sizes of one family must agree on one.


# %%
def vocabularies(
    n_layers: int, d_model: int, millions: int, n_ctx: int = 1024
) -> tuple[int, int]:
    """Smallest and largest vocabulary of a GPT that prints as so many millions."""
    body = gpt(n_layers, d_model, 1, n_ctx) - d_model  # the body alone
    first = math.ceil((1e6 * (millions - 0.5) - body) / d_model)
    last = math.ceil((1e6 * (millions + 0.5) - body) / d_model) - 1
    return first, last


def common_vocabularies() -> tuple[int, int]:
    """Vocabularies that explain all four printed sizes of GPT-2 at once."""
    intervals = [vocabularies(*row) for row in GPT2.values()]
    return max(low for low, _ in intervals), min(high for _, high in intervals)


# %% [markdown]
# ## Figures


# %%
def draw_vocabularies() -> None:
    """Four horizontal bars, one for each printed size of GPT-2: the vocabularies it
    allows. All four overlap around 40,500, where GPT-1's vocabulary lies; GPT-2's own,
    50,257, lies far to the right of every bar.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
    for y, row in enumerate(GPT2.values()):
        low, high = vocabularies(*row)
        ax.barh(y, high - low + 1, left=low, height=0.5, color="C0")
    ax.axvline(VOCAB_GPT1, color="C1", label="GPT-1: 40,478")
    ax.axvline(VOCAB_GPT2, color="C2", linestyle="--", label="GPT-2: 50,257")
    ax.set_yticks(range(4), [f"{row[2]}M" for row in GPT2.values()])
    ax.set(xlabel="vocabulary", ylabel="printed size", xlim=(39000, 51000))
    ax.legend(loc="center right", bbox_to_anchor=(0.9, 0.5))
    ax.invert_yaxis()


# %% tags=["active-ipynb"]
# draw_vocabularies()


# %%
def draw_pythia() -> None:
    """Eight bars, one for each size of Pythia: the share of its parameters that are
    rows of embedding tables falls from about three quarters at 70M to under one
    twentieth at 12B.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
    for x, row in enumerate(PYTHIA.values()):
        body, tables = pythia(*row)
        share = tables / (body + tables)
        ax.bar(x, share, color="C0")
        ax.text(x, share + 0.02, f"{share:.0%}", ha="center")
    names = [name.upper().replace("_", ".") for name in PYTHIA]
    ax.set_xticks(range(len(PYTHIA)), names)
    ax.set(ylabel="share of embeddings", ylim=(0, 0.85))


# %% tags=["active-ipynb"]
# draw_pythia()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes; sizes are in millions where the key says so."""
    result: dict[str, float] = {}
    for name, (n_layers, d_model, _) in GPT2.items():
        for which, vocab in (("own", VOCAB_GPT2), ("gpt1", VOCAB_GPT1)):
            count = gpt(n_layers, d_model, vocab, 1024)
            result[f"gpt2_{name}_{which}_vocab_millions"] = count / 1e6
    low, high = common_vocabularies()
    result |= {"gpt2_vocab_low": low, "gpt2_vocab_high": high}
    result["gpt1_millions"] = gpt(12, 768, VOCAB_GPT1, 512, final_norm=False) / 1e6
    gpt3 = gpt(96, 12288, VOCAB_GPT2, 2048)
    result |= {"gpt3_millions": gpt3 / 1e6, "gpt3_billions": gpt3 / 1e9}

    for name, n_layers, d_model, half in (
        ("base", 12, 768, 6),
        ("large", 24, 1024, 12),
    ):
        ours, other = bert(n_layers, d_model), bart(half, d_model)
        same = bart(half, d_model, vocab=30522)
        result[f"bert_{name}_millions"] = ours / 1e6
        result[f"bart_{name}_millions"] = other / 1e6
        result[f"bart_to_bert_{name}"] = other / ours
        result[f"bart_to_bert_{name}_same_vocab"] = same / ours

    for square in (4, 5):
        count = gopher(80, 16384, 32000, square)
        result[f"gopher_{square}_matrices_billions"] = count / 1e9
    for name, row in PYTHIA.items():
        body, tables = pythia(*row)
        result[f"pythia_{name}_body"] = body
        result[f"pythia_{name}_total"] = body + tables
        result[f"pythia_{name}_embedding_share"] = tables / (body + tables)
    # the start; steps 1, 2, 4, ..., 512; every thousandth of 143,000
    result["pythia_checkpoints"] = 1 + 10 + 143
    result["pythia_tokens"] = 143000 * 1024 * 2048  # sequences of 2048 tokens
    return result


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
