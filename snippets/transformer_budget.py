# %% [markdown]
r"""
# The Transformer paper's own arithmetic

Every number in the paper that follows from its other numbers: the learning-rate
schedule, the costs of Table 1, the training FLOPs of Table 2, the parameter counts of
Table 3, and what label smoothing does to perplexity.

**Source:** Ashish Vaswani et al., *Attention Is All You Need* (2017), eq. 3, Tables 1
to 3, sections 5.1 to 5.4.

| symbol | name | unit |
| --- | --- | --- |
| $V$ (`vocab`) | rows of the shared embedding | tokens |
| $N, d_{model}, d_{ff}, h, d_k, d_v$ | the sizes of Table 3 (class `Row`) | |
| $n, d, k, r$ | length, width, kernel, neighborhood in Table 1 | |
| $\epsilon_{ls}$ (`epsilon`) | label smoothing | |

**Differs from the source:** nothing; where the paper leaves a choice open (which
biases, how it rounds) the alternatives are computed side by side.

**Checked against:** the parameters of `torch.nn.Transformer` and of the model in
`transformer.py`, PyTorch's counter of operations, its `LambdaLR` scheduler, and
`torch.nn.functional.cross_entropy(label_smoothing=)`.

**Takes:** under 1 s on one core.
"""

# %%
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

# %% [markdown]
# ## Parameters
# One row of Table 3 gives six sizes. Attention has four matrices and no bias, the
# feed-forward layer two matrices and two biases, every sub-layer a normalization with
# gain and bias. The decoder's layers have a second attention. One embedding matrix
# serves source, target and output. Sinusoids cost nothing.


# %%
@dataclass(frozen=True)
class Row:
    """One model of Table 3 and the number of parameters printed for it."""

    printed_millions: int
    n_layers: int = 6
    d_model: int = 512
    d_ff: int = 2048
    n_heads: int = 8
    d_k: int = 64
    d_v: int = 64


def layer_sizes(row: Row) -> tuple[int, int, int]:
    """Parameters of one attention, one feed-forward layer, one normalization."""
    d, h = row.d_model, row.n_heads
    attention = 2 * d * h * row.d_k + 2 * d * h * row.d_v  # W^Q, W^K and W^V, W^O
    ffn = d * row.d_ff + row.d_ff + row.d_ff * d + d  # W_1, b_1, W_2, b_2
    return attention, ffn, 2 * d


def stacks(row: Row) -> tuple[int, int]:
    """Parameters of the whole encoder and of the whole decoder, embedding apart."""
    attention, ffn, norm = layer_sizes(row)
    encoder = row.n_layers * (attention + ffn + 2 * norm)
    decoder = row.n_layers * (2 * attention + ffn + 3 * norm)
    return encoder, decoder


def parameters(row: Row, vocab: int) -> int:
    """Parameters of the model with one shared table of vocab rows.

    Raises ValueError if vocab is below 0.
    """
    if vocab < 0:
        raise ValueError(f"vocab is {vocab}, want at least 0")
    return sum(stacks(row)) + vocab * row.d_model


# %% [markdown]
# The rows of Table 3 that print a parameter count. The others leave it blank:
# they share the base model's.

# %%
BASE = Row(65)
BIG = Row(213, d_model=1024, d_ff=4096, n_heads=16)
TABLE_3 = {
    "base": BASE,
    "dk16": replace(BASE, printed_millions=58, d_k=16),
    "dk32": replace(BASE, printed_millions=60, d_k=32),
    "n2": replace(BASE, printed_millions=36, n_layers=2),
    "n4": replace(BASE, printed_millions=50, n_layers=4),
    "n8": replace(BASE, printed_millions=80, n_layers=8),
    "d256": replace(BASE, printed_millions=28, d_model=256, d_k=32, d_v=32),
    "d1024": replace(BASE, printed_millions=168, d_model=1024, d_k=128, d_v=128),
    "dff1024": replace(BASE, printed_millions=53, d_ff=1024),
    "dff4096": replace(BASE, printed_millions=90, d_ff=4096),
    "big": BIG,
}
ALL_BUT_BIG = [row for name, row in TABLE_3.items() if name != "big"]
STEPS = [  # pairs of rows that differ in one thing
    *(("n2", "n4"), ("n4", "base"), ("base", "n8")),
    *(("dk16", "base"), ("dk32", "base"), ("dff1024", "base"), ("base", "dff4096")),
    *(("d256", "base"), ("base", "d1024")),
]

# %% [markdown]
# ## Which vocabulary does a printed count need?
# Turn the question round. A count printed as 65 stands for everything from 64.5 to 65.5
# million, and the body of the model is known, so the printed count names an interval of
# vocabulary sizes. The paper does not say how it rounds; two other ways are kept beside
# the usual one.

# %%
ROUNDING = {"nearest": (-0.5, 0.5), "down": (0.0, 1.0), "up": (-1.0, 0.0)}


def vocabulary_interval(row: Row, rounding: str = "nearest") -> tuple[int, int]:
    """Smallest and largest vocabulary for which the row prints as it does.

    Raises ValueError if rounding is not in ROUNDING.
    """
    if rounding not in ROUNDING:
        raise ValueError(f"rounding is {rounding!r}, want one of {list(ROUNDING)}")
    low, high = (1e6 * (row.printed_millions + x) for x in ROUNDING[rounding])
    body = parameters(row, 0)
    if rounding == "up":  # (65 - 1, 65] million
        first, last = (low - body) // row.d_model + 1, (high - body) // row.d_model
    else:  # [64.5, 65.5) or [65, 66) million
        first = math.ceil((low - body) / row.d_model)
        last = math.ceil((high - body) / row.d_model) - 1
    return int(first), int(last)


def common_interval(rows: Iterable[Row], rounding: str = "nearest") -> tuple[int, int]:
    """Vocabulary sizes that fit all rows; there are none when the first is larger."""
    intervals = [vocabulary_interval(row, rounding) for row in rows]
    return max(low for low, _ in intervals), min(high for _, high in intervals)


# %% [markdown]
# ## The schedule
# A straight climb for 4000 steps, then the inverse square root of the step. The two
# branches meet at the end of the warm-up, which is the peak.


# %%
def learning_rate(step: int, d_model: int = 512, warmup: int = 4000) -> float:
    """Eq. 3, step counted from 1.

    Raises ValueError if step or warmup is below 1.
    """
    if step < 1 or warmup < 1:
        raise ValueError(f"step is {step}, warmup {warmup}: want both at least 1")
    # lrate = d_model^-0.5 min(step^-0.5, step warmup^-1.5)           (eq. 3)
    return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)


# %% [markdown]
# ## Table 1
# Multiplications of one layer, as the table has them: the leading term, no constants.
# The last function keeps the constants of one encoder layer, which moves the crossover.

# %%
TABLE_1: dict[str, Callable[[int, int], int]] = {
    "self-attention": lambda n, d: n * n * d,
    "recurrent": lambda n, d: n * d * d,
    "convolutional, k = 3": lambda n, d: 3 * n * d * d,
    "restricted, r = 64": lambda n, d: 64 * n * d,
}


def crossover(d: int) -> int:
    """Shortest length at which self-attention costs no less than recurrence."""
    cost, other = TABLE_1["self-attention"], TABLE_1["recurrent"]
    n = 1
    while cost(n, d) < other(n, d):
        n += 1
    return n


def encoder_layer_multiplications(n: int, row: Row = BASE) -> tuple[int, int]:
    """Multiplications that grow with n squared, and those that grow with n."""
    attention, _, _ = layer_sizes(row)
    squared = n * n * row.n_heads * (row.d_k + row.d_v)  # Q K^T, weights V
    linear = n * (attention + 2 * row.d_model * row.d_ff)  # projections, FFN
    return squared, linear


# %% [markdown]
# ## Table 2
# The paper multiplies time, number of GPUs and an estimated rate per GPU. For its own
# models it prints all three; the days and GPUs of the others are in Shazeer et al.
# (2017), Tables 2 and 3, and in Gehring et al. (2017), sections 4.2 and 5.1.
#
# The model's own arithmetic is another matter: two operations per parameter and token
# forwards, four backwards. Source tokens pass the encoder, target tokens the decoder
# and the output.

# %%
TFLOPS = {"K80": 2.8, "K40": 3.7, "M40": 6.0, "P100": 9.5}  # the paper's footnote 5
TABLE_2 = {  # days, GPUs, kind of GPU
    "base": (0.5, 8, "P100"),
    "big": (3.5, 8, "P100"),
    "gnmt_en_de": (1, 96, "K80"),
    "gnmt_en_fr": (6, 96, "K80"),
    "moe_en_de": (1, 64, "K40"),
    "moe_en_fr": (6, 64, "K40"),
    "convs2s_en_de": (18.5, 1, "M40"),
    "convs2s_en_fr": (37, 8, "M40"),
}


def hardware_flops(days: float, n_gpus: int, gpu: str) -> float:
    """The rule of section 6.1: time x GPUs x sustained operations per second.

    Raises ValueError if gpu is not in TFLOPS.
    """
    if gpu not in TFLOPS:
        raise ValueError(f"gpu is {gpu!r}, want one of {list(TFLOPS)}")
    return days * 86400 * n_gpus * TFLOPS[gpu] * 1e12


def model_flops(
    row: Row, n_steps: int, vocab: int = 37000, tokens: int = 25000
) -> float:
    """6 x parameters x tokens, for batches of tokens source and tokens target."""
    return 6.0 * parameters(row, vocab) * tokens * n_steps


# %% [markdown]
# ## Label smoothing
# With smoothing the target is no longer one token but a mixture: $1 - \epsilon$ on the
# right one and $\epsilon$ spread evenly over all $V$. Its entropy is a floor under the
# training loss. A model that reproduces the mixture gives the right token less than all
# of its belief, and that costs perplexity.


# %%
def smoothed_target(epsilon: float, vocab: int) -> tuple[float, float]:
    """Probability of the right token and of each other one.

    Raises ValueError unless 0 <= epsilon < 1 and vocab >= 2.
    """
    if not 0 <= epsilon < 1 or vocab < 2:
        raise ValueError(f"epsilon {epsilon}, vocab {vocab}: want 0 <= e < 1, V >= 2")
    return 1 - epsilon + epsilon / vocab, epsilon / vocab


def smoothing_floor(epsilon: float, vocab: int) -> float:
    """Entropy of the smoothed target in nats: no training loss can be lower."""
    right, other = smoothed_target(epsilon, vocab)
    entropy = -right * math.log(right)
    return entropy if other == 0 else entropy - (vocab - 1) * other * math.log(other)


# %% [markdown]
# ## Figures


# %%
def draw_vocabulary() -> None:
    """Eleven horizontal bars, one per row of Table 3, each from the smallest to the
    largest vocabulary that gives the printed parameter count. Ten bars lie around
    41,000 and share one narrow band near 41,100; the bar of the big model lies near
    36,000. A vertical line at 37000, the size that the paper states, meets no bar.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for y, row in enumerate(TABLE_3.values()):
        low, high = vocabulary_interval(row)
        ax.barh(y, high - low, left=low, height=0.55, color="C0")
    low, high = common_interval(ALL_BUT_BIG)
    ax.axvspan(low, high, color="C1", alpha=0.6, label=f"fits ten: {low:,} to {high:,}")
    ax.axvline(37000, color="C3", linestyle="--", label="stated: 37000")
    sizes = "base/$d_k$ = 16/$d_k$ = 32/$N$ = 2/$N$ = 4/$N$ = 8/$d_{model}$ = 256/"
    sizes += "$d_{model}$ = 1024/$d_{ff}$ = 1024/$d_{ff}$ = 4096/big"
    printed = [row.printed_millions for row in TABLE_3.values()]
    labels = [f"{a}: {b} M" for a, b in zip(sizes.split("/"), printed, strict=True)]
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.set(
        xlabel="vocabulary that gives the printed count, tokens", xlim=(35000, 44000)
    )
    ax.set_xticks(
        range(35000, 44001, 1500), [f"{v:,}" for v in range(35000, 44001, 1500)]
    )
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


# %% tags=["active-ipynb"]
# draw_vocabulary()


# %%
def draw_crossover() -> None:
    """Multiplications per token against the length, both logarithmic, width 512. The
    attention line rises and crosses the flat recurrent line at length 512; the flat
    convolutional line lies above, the restricted attention's line below. The cost of a
    whole encoder layer stays nearly flat for hundreds of tokens, then rises.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    lengths = [2**i for i in range(4, 15)]
    for name, cost in TABLE_1.items():
        ax.plot(lengths, [cost(n, 512) / n for n in lengths], label=name)
    whole = [sum(encoder_layer_multiplications(n)) / n for n in lengths]
    ax.plot(lengths, whole, label="whole encoder layer, with constants")
    ax.plot([crossover(512)], [512**2], marker="o", color="C0")
    ax.set(xscale="log", yscale="log", xlabel="length $n$, tokens", ylim=(None, 3e9))
    ax.set_ylabel("multiplications per token")
    ax.legend(ncols=2)


# %% tags=["active-ipynb"]
# draw_crossover()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    result: dict[str, float] = {}

    # Table 3
    for name, row in TABLE_3.items():
        for vocab in (0, 37000):
            result[f"params_{name}_v{vocab}_millions"] = parameters(row, vocab) / 1e6
        low, high = vocabulary_interval(row)
        result[f"vocab_{name}_low"], result[f"vocab_{name}_high"] = low, high
    for rounding in ROUNDING:
        low, high = common_interval(ALL_BUT_BIG, rounding)
        result[f"vocab_ten_{rounding}_low"] = low
        result[f"vocab_ten_{rounding}_high"] = high
    result["missing_rows_low"] = result["vocab_ten_nearest_low"] - 37000
    result["missing_rows_high"] = result["vocab_ten_nearest_high"] - 37000
    for a, b in STEPS:
        change = parameters(TABLE_3[b], 37000) - parameters(TABLE_3[a], 37000)
        result[f"step_{a}_to_{b}_millions"] = change / 1e6
    wide, narrow = parameters(TABLE_3["d1024"], 41100), parameters(BASE, 41100)
    result["step_base_to_d1024_v41100_millions"] = (wide - narrow) / 1e6
    attention, ffn, norm = layer_sizes(BASE)
    result["encoder_layer_base"] = attention + ffn + 2 * norm
    result["attention_base_millions"] = 18 * attention / 1e6
    result["ffn_base_millions"] = 12 * ffn / 1e6
    result["attention_biases_base"] = 18 * 4 * 512
    result["norms_base"], result["final_norms_base"] = 30 * norm, 2 * norm
    result["output_bias_base"] = 37000
    untied = parameters(BASE, 3 * 37000)  # source, target and output apart
    result["params_base_untied_millions"] = untied / 1e6

    # the schedule
    result["peak_rate_base"] = learning_rate(4000)
    result["peak_rate_big"] = learning_rate(4000, d_model=1024)
    result["peak_rate_base_warmup8000"] = learning_rate(8000, warmup=8000)
    result["rate_base_step100000"] = learning_rate(100_000)

    # Table 1
    cost = TABLE_1["self-attention"], TABLE_1["recurrent"]
    for n in (70, 4096):
        result[f"attention_over_recurrence_n{n}"] = cost[0](n, 512) / cost[1](n, 512)
    squared, linear = encoder_layer_multiplications(70)
    result["squared_share_n70_base"] = squared / (squared + linear)
    for name, row in (("base", BASE), ("big", BIG)):  # n^2 a = n b where n = b / a
        squared, linear = encoder_layer_multiplications(1, row)
        result[f"squared_equals_linear_n_{name}"] = linear / squared

    # Table 2
    for name, (days, n_gpus, gpu) in TABLE_2.items():
        result[f"flops_{name}"] = hardware_flops(days, n_gpus, gpu)
    result["flops_gnmt_en_de_times_8"] = 8 * result["flops_gnmt_en_de"]
    result["cost_big_over_moe_en_fr"] = result["flops_big"] / result["flops_moe_en_fr"]
    for name, row, n_steps in (("base", BASE, 100_000), ("big", BIG, 300_000)):
        result[f"seconds_per_step_{name}"] = TABLE_2[name][0] * 86400 / n_steps
        own = model_flops(row, n_steps)
        result[f"model_flops_{name}"] = own
        result[f"model_flops_share_{name}"] = own / result[f"flops_{name}"]

    # perplexities and label smoothing
    result["nats_base"], result["nats_big"] = math.log(4.92), math.log(4.33)
    for percent in (10, 20):
        floor = math.exp(smoothing_floor(percent / 100, 37000))
        result[f"smoothing_floor_{percent}_perplexity"] = floor
    result["perplexity_factor_table_10"] = 4.92 / 4.67
    result["perplexity_factor_certain_10"] = 1 / smoothed_target(0.1, 37000)[0]
    return result


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
