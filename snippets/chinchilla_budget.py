# %% [markdown]
r"""
# What the Chinchilla paper's models weigh and cost

Parameters and training FLOPs from the sizes in the paper's tables: which matrices must
be counted for Table A9 to come out, and which FLOPs for Table A4.

**Source:** Jordan Hoffmann et al., *Training Compute-Optimal Large Language Models*
(2022), Tables 4, A4 and A9, appendix F.

| symbol | name | unit |
| --- | --- | --- |
| $d$ (`d_model`), $d_{ff}$ (`d_ff`) | width, inner width of the dense block | |
| $h$, $kv$ (`n_heads`, `d_kv`) | heads, size of a head's keys and values | |
| $l$ (`n_layers`) | layers | |
| $V$ (`VOCAB`) | rows of the embedding, used for the output too | tokens |
| $S$ (`length`) | length of a sequence | tokens |
| $N, D$ | parameters, training tokens | |

**Differs from the source:** nothing; what the paper leaves open (how many matrices an
attention has, which terms the FLOPs contain) is computed in every version.

**Checked against:** the parameters of PyTorch modules, PyTorch's counter of operations.

**Takes:** under 1 s on one core.
"""

# %%
from typing import NamedTuple

import numpy as np

VOCAB = 32000


class Model(NamedTuple):
    """The sizes of one row of Table A9 (there d_ff = 4 d_model, always)."""

    d_model: int
    d_kv: int
    n_heads: int
    n_layers: int

    @property
    def d_ff(self) -> int:
        """Inner width of the dense block."""
        return 4 * self.d_model


# %% [markdown]
# ## Parameters
# One embedding; per layer the matrices of attention, each $d \times (kv \cdot h)$, and
# the two of the dense block. Queries, keys, values and output make four. Attention with
# relative positions, as in Transformer-XL, has a fifth, which projects the positions.


# %% Parameters
def parameters(
    model: Model,
    matrices: int = 5,
    small: tuple[int, int] = (0, 0),
    vocab: int = VOCAB,
) -> int:
    """Parameters, embedding included.

    matrices: per attention. small: vectors per layer of size d_model, and of size
    d_kv n_heads: biases, gains. Raises ValueError for a size below 1.
    """
    if min(*model, matrices, vocab) < 1:
        got = f"got {model}, {matrices=}, {vocab=}"
        raise ValueError(f"sizes must be at least 1, {got}")
    d, inner = model.d_model, model.d_kv * model.n_heads
    # N = V d + l (m d (kv h) + 2 d d_ff + vectors)
    vectors = small[0] * d + small[1] * inner
    layer = matrices * d * inner + 2 * d * model.d_ff + vectors
    return vocab * d + model.n_layers * layer


# %% [markdown]
# ## FLOPs
# Appendix F counts two operations per weight and token, and lists what a forward pass
# over one sequence does. The backward pass costs twice the forward pass.


# %% FLOPs
def forward_flops(model: Model, length: int = 2048) -> dict[str, int]:
    """FLOPs of a forward pass over one sequence, part by part (appendix F).

    Raises ValueError if length is below 1.
    """
    if length < 1:
        raise ValueError(f"length is {length}, want at least 1")
    d, h, S = model.d_model, model.n_heads, length
    inner = model.d_kv * h
    layer = {
        "queries, keys, values": 2 * 3 * S * d * inner,
        "key @ query": 2 * S * S * inner,
        "softmax": 3 * h * S * S,
        "softmax @ value": 2 * S * S * inner,
        "output projection": 2 * S * inner * d,
        "dense block": 2 * S * (2 * d * model.d_ff),
    }
    parts = {name: model.n_layers * flops for name, flops in layer.items()}
    return {"embedding": 2 * S * VOCAB * d} | parts | {"logits": 2 * S * d * VOCAB}


def training_flops(
    model: Model, tokens: float, left_out: tuple[str, ...] = (), length: int = 2048
) -> float:
    """FLOPs of training on so many tokens, some parts of the count left out.

    length: of a sequence. The paper does not state it; its ratios ask for 2048.
    Raises ValueError if length is below 1 or left_out names an unknown part.
    """
    parts = forward_flops(model, length)
    unknown = set(left_out) - parts.keys()
    if unknown:
        raise ValueError(f"left_out names {sorted(unknown)}, want some of {[*parts]}")
    forward = sum(flops for name, flops in parts.items() if name not in left_out)
    # backward = 2 forward
    return 3 * forward / length * tokens


def over_6nd(model: Model, left_out: tuple[str, ...] = (), length: int = 2048) -> float:
    """The count of appendix F over 6 N D, as in Table A4; D cancels."""
    return training_flops(model, 1, left_out, length) / (6 * parameters(model))


# %% [markdown]
# ## The tables
# Printed parameters in millions, then $d$, $kv$, $h$, $l$.

# %%
A9 = """
44 512 64 8 8; 57 576 64 9 9; 74 640 64 10 10; 90 640 64 10 13;
106 640 64 10 16; 117 768 64 12 12; 140 768 64 12 15; 163 768 64 12 18;
175 896 64 14 14; 196 896 64 14 16; 217 896 64 14 18; 251 1024 64 16 16;
278 1024 64 16 18; 306 1024 64 16 20; 425 1280 128 10 18; 489 1280 128 10 21;
509 1408 128 11 18; 552 1280 128 10 24; 587 1408 128 11 21; 632 1536 128 12 19;
664 1408 128 11 24; 724 1536 128 12 22; 816 1536 128 12 25; 893 1792 128 14 20;
1018 1792 128 14 23; 1143 1792 128 14 26; 1266 2048 128 16 22; 1424 2176 128 17 22;
1429 2048 128 16 25; 1593 2048 128 16 28; 1609 2176 128 17 25; 1731 2304 128 18 24;
1794 2176 128 17 28; 2007 2304 128 18 28; 2283 2304 128 18 32; 2298 2560 128 20 26;
2639 2560 128 20 30; 2980 2560 128 20 34; 3530 2688 128 22 36; 3802 2816 128 22 36;
4084 2944 128 22 36; 4516 3072 128 24 36; 6796 3584 128 28 40; 9293 4096 128 32 42;
11452 4352 128 32 47; 12295 4608 128 36 44; 12569 4608 128 32 47; 13735 4864 128 32 47;
14940 4992 128 32 49; 16183 5120 128 40 47;
"""
TABLE_A9 = [
    (int(printed), Model(*map(int, sizes)))
    for printed, *sizes in (row.split() for row in A9.split(";")[:-1])
]
TABLE_A4 = {  # label: the model, and the ratio printed for it
    "73M": (Model(640, 64, 10, 10), 1.03),
    "305M": (Model(1024, 64, 16, 20), 1.10),
    "552M": (Model(1280, 128, 10, 24), 1.08),
    "1.1B": (Model(1792, 128, 14, 26), 1.04),
    "1.6B": (Model(2048, 128, 16, 28), 1.03),
    "6.8B": (Model(3584, 128, 28, 40), 0.99),
}
GOPHER, CHINCHILLA = Model(16384, 128, 128, 80), Model(8192, 128, 64, 80)  # Table 4
VOCABULARY = ("embedding", "logits")  # the parts that grow with V


# %% [markdown]
# ## How many rows come out?


# %%
def errors(matrices: int, small: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Our count of each row of Table A9 over the printed one, minus 1: (50,)."""
    ours = [parameters(model, matrices, small) for _, model in TABLE_A9]
    return np.array(ours) / [1e6 * printed for printed, _ in TABLE_A9] - 1


def rows_exact(
    matrices: int, small: tuple[int, int] = (0, 0), vocab: int = VOCAB
) -> int:
    """Rows of Table A9 whose count rounds to the printed one."""
    return sum(
        round(parameters(model, matrices, small, vocab) / 1e6) == printed
        for printed, model in TABLE_A9
    )


def vectors_that_fit(vocab: int) -> list[tuple[int, int]]:
    """Pairs `small`, each number below 15, that bring out all 50 rows."""
    pairs = [(a, b) for a in range(15) for b in range(15)]
    return [p for p in pairs if rows_exact(5, p, vocab) == len(TABLE_A9)]


# %% [markdown]
# ## Figures


# %%
def draw_table_a9() -> None:
    """Our count over the printed one, in per cent, for the 50 models of Table A9. With
    four matrices per attention all dots lie 5 to 8 per cent too low. With five they
    lie on zero, but for less than one per cent at the smallest sizes, where the
    printed numbers have two digits.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    sizes = [printed for printed, _ in TABLE_A9]
    for matrices, marker in ((4, "o"), (5, "D")):
        label = f"{matrices} matrices per attention"
        ax.plot(sizes, 100 * errors(matrices), marker, ms=4, label=label)
    ax.axhline(0, color="C2", ls="--", lw=1)
    ax.set(xscale="log", xlabel="printed parameters, millions", ylim=(-9, 3))
    ax.set_ylabel("ours is off by, %")
    ax.legend(loc="center right")


# %% tags=["active-ipynb"]
# draw_table_a9()


# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {"a9_rows": len(TABLE_A9)}
    versions = {"four": (4, (0, 0)), "five": (5, (0, 0)), "five_small": (5, (6, 5))}
    for name, version in versions.items():
        error = 100 * errors(*version)
        out[f"a9_{name}_rows_exact"] = rows_exact(*version)
        out[f"a9_{name}_mean_error_percent"] = float(error.mean())
        out[f"a9_{name}_worst_error_percent"] = float(np.abs(error).max())
        for printed, model in TABLE_A9:
            out[f"a9_{name}_{printed}"] = parameters(model, *version) / 1e6
        for label, model in (("gopher", GOPHER), ("chinchilla", CHINCHILLA)):
            out[f"{label}_{name}_billions"] = parameters(model, *version) / 1e9
    narrow = [
        model for _, model in TABLE_A9 if model.d_kv * model.n_heads != model.d_model
    ]
    out["a9_rows_inner_not_d"] = len(narrow)
    for vocab in (31990, 32000, 32010):
        out[f"a9_vectors_that_fit_v{vocab}"] = len(vectors_that_fit(vocab))

    for label, (model, _) in TABLE_A4.items():
        key = label.lower().replace(".", "")
        out[f"a4_{key}"] = over_6nd(model, VOCABULARY)
        out[f"a4_{key}_with_logits"] = over_6nd(model, ("embedding",))
        out[f"a4_{key}_with_both"] = over_6nd(model)
        for length in (1024, 4096):
            out[f"a4_{key}_length_{length}"] = over_6nd(model, VOCABULARY, length)

    for label, model, tokens in (
        ("gopher", GOPHER, 300e9),
        ("chinchilla", CHINCHILLA, 1.4e12),
    ):
        out[f"{label}_6nd"] = 6 * parameters(model) * tokens
        out[f"{label}_appendix_f"] = training_flops(model, tokens)
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
