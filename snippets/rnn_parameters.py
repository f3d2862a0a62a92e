# %% [markdown]
r"""
# How many parameters has a character RNN?

The parameters of a stack of recurrent layers (vanilla RNN, GRU or LSTM) with one-hot
letters in and scores out, counted by formula and held against the counts that the
post, its program's readme and its users' logs give.

**Source:** Andrej Karpathy, *The Unreasonable Effectiveness of Recurrent Neural
Networks* (2015), section "Fun with RNNs", and the program published with it, char-rnn
(`model/LSTM.lua`, `model/GRU.lua`, `model/RNN.lua`, `train.lua`, Readme).

| symbol | name |
| --- | --- |
| $V$ (`V`) | letters in the vocabulary |
| $H$ (`H`) | hidden units per layer (`rnn_size`) |
| $N$ (`N`) | layers (`num_layers`) |
| $g$ (`GATES`) | affine maps per layer: 1 for RNN, 3 for GRU, 4 for LSTM |

**Differs from the source:** nothing; the program prints its count, this file derives
it.

**Checked against:** `torch.nn.RNN`, `torch.nn.GRU`, `torch.nn.LSTM` plus
`torch.nn.Linear`, counted with `numel()` (equal).

**Takes:** well under 1 s on one core.
"""

# %%
import math

GATES = {"rnn": 1, "gru": 3, "lstm": 4}

# %% [markdown]
# ## The count
# Every gate reads two things, the input and the previous state, each through a linear
# map with a bias of its own. The two biases are added, so one of them is idle; char-rnn
# and PyTorch both keep the two. The first layer reads $V$ numbers, the others $H$. The
# decoder turns the top state into $V$ scores.


# %%
def layer_parameters(inputs: int, H: int, gates: int) -> int:
    """Parameters of one recurrent layer that reads `inputs` numbers."""
    # each gate: W_x (H, inputs), W_h (H, H) and two biases (H)
    return gates * H * (inputs + H + 2)


def parameters(kind: str, V: int, H: int, N: int) -> int:
    """Parameters of char-rnn's model: N layers of H units, V letters in and out.

    kind: "rnn", "gru" or "lstm". Raises ValueError for another kind or sizes below 1.
    """
    if kind not in GATES:
        raise ValueError(f"kind must be one of {', '.join(GATES)}, got {kind!r}")
    if min(V, H, N) < 1:
        raise ValueError(f"V, H and N must be >= 1, got {V}, {H} and {N}")
    first = layer_parameters(V, H, GATES[kind])
    further = (N - 1) * layer_parameters(H, H, GATES[kind])
    decoder = (H + 1) * V
    return first + further + decoder


def min_char_rnn_parameters(V: int, H: int) -> int:
    """The 100-line program: one vanilla layer, one bias per layer instead of two."""
    # W_xh + W_hh + W_hy + b_h + b_y
    return H * V + H * H + V * H + H + V


# %% [markdown]
# ## The question backward
# The count is a straight line in $V$. So a total that a source states, with a size,
# says how many different letters its text must have had. The line is flat: a total that
# is only approximate says little.


# %%
def vocabulary_for(total: float, kind: str, H: int, N: int) -> float:
    """The V (not rounded) at which the model has `total` parameters."""
    one, two = parameters(kind, 1, H, N), parameters(kind, 2, H, N)
    return 1 + (total - one) / (two - one)


# %% [markdown]
# ## Work per letter
# One multiply-add for every weight that meets a number: the matrices. A one-hot input
# only picks a row, so the first layer's input matrix costs nothing if it is done as a
# look-up, which is how it is counted here.


# %%
def multiply_adds(kind: str, V: int, H: int, N: int) -> int:
    """Multiply-adds to read one letter and score the next, input as a look-up."""
    recurrent = N * GATES[kind] * H * H
    between_layers = (N - 1) * GATES[kind] * H * H
    return recurrent + between_layers + H * V


# %% [markdown]
# ## Figures


# %%
def draw_vocabulary() -> None:
    """Parameters in millions against the number of different letters, for three LSTMs.

    Three nearly flat rising lines: two layers of 512 units from 3.2 to 3.7 million,
    three layers of 512 near 5.5 and three layers of 700 near 10. A dot on each marks a
    stated total: 3.5 million is reached at 135 letters, 5.454926 million at 78, and 10
    million at 52.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    letters = [20, 220]
    for H, N in ((512, 2), (512, 3), (700, 3)):
        counts = [parameters("lstm", V, H, N) / 1e6 for V in letters]
        (line,) = ax.plot(letters, counts)
        ax.annotate(
            f"{N} layers of {H}",
            (letters[0], counts[0]),
            xytext=(4, 7),
            textcoords="offset points",
            color=line.get_color(),
        )
    for H, N, millions in ((512, 2, 3.5), (512, 3, 5.454926), (700, 3, 10)):
        V = vocabulary_for(millions * 1e6, "lstm", H, N)
        ax.plot(V, millions, "o", color="C3")
        label = f"{millions} at V = {V:.0f}"
        ax.annotate(label, (V, millions), xytext=(6, -14), textcoords="offset points")
    ax.set(xlim=(20, 220), ylim=(0, 12))
    ax.set(xlabel="different letters in the text, V", ylabel="parameters (millions)")


# %% tags=["active-ipynb"]
# draw_vocabulary()


# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    results: dict[str, float] = {}
    for kind, V, H, N in (
        ("lstm", 65, 128, 2),  # today's default, on tinyshakespeare
        ("gru", 65, 128, 2),
        ("rnn", 65, 128, 2),
        ("lstm", 65, 100, 2),  # the default of May 2015
        ("lstm", 27, 100, 2),  # issue 15
        ("lstm", 78, 512, 3),  # issue 215
        ("lstm", 96, 512, 2),  # Paul Graham, if his essays are plain ASCII
        ("lstm", 97, 700, 3),  # Linux, if its sources are: ASCII with tabs
    ):
        results[f"{kind}_v{V}_h{H}_n{N}"] = parameters(kind, V, H, N)
    work = multiply_adds("lstm", 96, 512, 2)
    return results | {
        "min_char_rnn_v65_h100": min_char_rnn_parameters(65, 100),
        # the post's 3.5 million: exactly, and at the ends of what rounds to it
        "vocabulary_for_3_5m": vocabulary_for(3.5e6, "lstm", 512, 2),
        "least_vocabulary_for_3_5m": math.ceil(vocabulary_for(3.45e6, "lstm", 512, 2)),
        "most_vocabulary_for_3_5m": math.floor(vocabulary_for(3.55e6, "lstm", 512, 2)),
        # what the stated totals say of the vocabulary, at 5 %: next to nothing
        "least_vocabulary_near_3_5m": math.ceil(
            vocabulary_for(0.95 * 3.5e6, "lstm", 512, 2)
        ),
        "most_vocabulary_near_3_5m": math.floor(
            vocabulary_for(1.05 * 3.5e6, "lstm", 512, 2)
        ),
        "most_vocabulary_near_10m": math.floor(
            vocabulary_for(1.05 * 10e6, "lstm", 700, 3)
        ),
        "share_missing_to_3_5m": 1 - parameters("lstm", 96, 512, 2) / 3.5e6,
        "uniform_v78_nats": math.log(78),
        # double H: one step of the whole network
        "work_ratio_whole_step": multiply_adds("lstm", 96, 1024, 2) / work,
    }


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
