# %% [markdown]
r"""
# Mamba

The block and the language model around it, in plain PyTorch: one projection in, a short
convolution, the selective scan, a gate, one projection out. It has the parameters of
the released models, gives the outputs of another implementation, and reads a sequence
at once or token by token.

**Source:** Kola Ayonrinde, *Mamba Explained* (2024), and the paper it explains, Albert
Gu and Tri Dao, *Mamba* (2023), Algorithm 2, section 3.4, Tables 2, 3, 9 and 10.

| symbol | name | shape |
| --- | --- | --- |
| `b`, `l` | batch size, length | |
| `d_model`, `n_layer` | width of the residual stream, blocks | |
| `d_inner`, `expand` | channels in a block, and how many times `d_model` that is | |
| $N$ (`d_state`) | states of each channel | |
| $R$ (`dt_rank`) | rank of the projection that makes $\Delta$ | |
| $\Delta_t$ (`delta`) | step size | $(b, l, d_{inner})$ |
| $A$ (`A`, as `A_log`) | how the states decay | $(d_{inner}, N)$ |
| $B_t, C_t$ (`B`, `C`) | what is written, what is read | $(b, l, N)$ |
| $D$ (`D`) | the skip | $(d_{inner},)$ |
| $h_t$ (`h`) | state | $(b, d_{inner}, N)$ |

**Differs from the source:** the scan is $\log_2 l$ rounds of PyTorch, not one CUDA
kernel, so it keeps the states of all steps in memory. As in the published code, $A$ is
discretised exactly and $B$ by Euler's rule, and the bias of $\Delta$ starts log-uniform
where the paper says uniform.

**Checked against:** Hugging Face's `MambaForCausalLM` with random weights (1e-5 in
float32), its counts on the meta device, a loop in float64 (1e-10).

**Takes:** about 4 s on one core.
"""

# %%
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# %% [markdown]
# ## The scan
# Every step is a map $h \mapsto a h + b$. In each round, every step takes in the maps
# of as many steps before it as it already has, so that after $\log_2 l$ rounds it has
# them all.


# %%
def scan(a: Tensor, b: Tensor) -> Tensor:
    """h_t = a_t h_{t-1} + b_t from h = 0; a, b, h: (b, l, d_inner, n)."""
    reach = 1
    while reach < a.shape[1]:
        pad = (0, 0, 0, 0, reach, 0)
        a_before = F.pad(a[:, :-reach], pad, value=1.0)  # (b, l, d_inner, n)
        b_before = F.pad(b[:, :-reach], pad)  # (b, l, d_inner, n)
        # a2 (a1 h + b1) + b2 = (a2 a1) h + (a2 b1 + b2)
        a, b = a * a_before, a * b_before + b
        reach *= 2
    return b


# %% [markdown]
# ## The block
# What is chosen by the token: `delta`, `B`, `C`. What is learned once: `A` and `D`.


# %%
@dataclass(frozen=True)
class ModelArgs:
    """Sizes of a model; the defaults are those of all released ones."""

    d_model: int
    n_layer: int
    vocab_size: int
    d_state: int = 16
    expand: int = 2
    dt_rank: int | None = None  # None: d_model / 16, rounded up
    d_conv: int = 4

    def __post_init__(self) -> None:
        """Raises ValueError for a size below 1."""
        for name, size in vars(self).items():
            if size is not None and size < 1:
                raise ValueError(f"{name} is {size}, want at least 1")

    @property
    def d_inner(self) -> int:
        """Channels in a block."""
        return self.expand * self.d_model

    @property
    def rank(self) -> int:
        """R, the rank of the projection that makes delta."""
        return math.ceil(self.d_model / 16) if self.dt_rank is None else self.dt_rank


class MambaBlock(nn.Module):
    """What a block adds to the residual stream."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        d_in, n, R = args.d_inner, args.d_state, args.rank
        self.args = args
        self.in_proj = nn.Linear(args.d_model, 2 * d_in, bias=False)
        self.conv1d = nn.Conv1d(
            d_in, d_in, args.d_conv, groups=d_in, padding=args.d_conv - 1
        )
        self.x_proj = nn.Linear(d_in, R + 2 * n, bias=False)
        self.dt_proj = nn.Linear(R, d_in)
        # S4D-Real: A_n = -(n + 1), kept as a logarithm so that A stays below 0
        self.A_log = nn.Parameter(torch.arange(1.0, n + 1).log().repeat(d_in, 1))
        self.D = nn.Parameter(torch.ones(d_in))
        self.out_proj = nn.Linear(d_in, args.d_model, bias=False)
        with torch.no_grad():
            nn.init.uniform_(self.dt_proj.weight, -(R**-0.5), R**-0.5)
            # softplus(bias) is log-uniform between 0.001 and 0.1
            delta = torch.empty(d_in).uniform_(math.log(1e-3), math.log(0.1)).exp()
            self.dt_proj.bias.copy_(delta + (-torch.expm1(-delta)).log())
            self.out_proj.weight /= math.sqrt(args.n_layer)

    def select(self, x: Tensor) -> tuple[Tensor, ...]:
        """x (..., d_inner) -> A_bar, B_bar x (..., d_inner, n), C (..., n)."""
        n = self.args.d_state
        delta, B, C = self.x_proj(x).split([self.args.rank, n, n], dim=-1)
        delta = F.softplus(self.dt_proj(delta))  # (..., d_inner)
        A = -self.A_log.exp()  # (d_inner, n)
        # A_bar = exp(delta A) exactly, B_bar = delta B by Euler's rule
        deltaA = (delta[..., None] * A).exp()  # (..., d_inner, n)
        deltaB_x = (delta * x)[..., None] * B[..., None, :]  # (..., d_inner, n)
        return deltaA, deltaB_x, C

    def forward(self, x: Tensor) -> Tensor:
        """x (b, l, d_model) -> the same shape, no step seeing a later one."""
        x, z = self.in_proj(x).chunk(2, dim=-1)  # (b, l, d_inner) each
        x = self.conv1d(x.mT)[..., : x.shape[1]].mT  # (b, l, d_inner), causal
        x = F.silu(x)
        deltaA, deltaB_x, C = self.select(x)
        # h_t = A_bar_t h_{t-1} + B_bar_t x_t,   y_t = C_t h_t + D x_t      (eq. 2)
        h = scan(deltaA, deltaB_x)  # (b, l, d_inner, n)
        y = (h @ C[..., None])[..., 0] + self.D * x  # (b, l, d_inner)
        return self.out_proj(y * F.silu(z))  # (b, l, d_model)

    def step(self, x: Tensor, window: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """The same for one token, x (b, d_model), from what is carried.

        window (b, d_inner, d_conv): what the convolution sees; h (b, d_inner, n).
        Returns what is added to the stream (b, d_model), and both for the next token.
        """
        x, z = self.in_proj(x).chunk(2, dim=-1)  # (b, d_inner) each
        window = torch.cat([window[..., 1:], x[..., None]], dim=-1)
        x = (window * self.conv1d.weight[:, 0]).sum(-1) + self.conv1d.bias
        x = F.silu(x)  # (b, d_inner)
        deltaA, deltaB_x, C = self.select(x)
        h = deltaA * h + deltaB_x  # (b, d_inner, n)
        y = (h @ C[..., None])[..., 0] + self.D * x  # (b, d_inner)
        return self.out_proj(y * F.silu(z)), window, h


# %% [markdown]
# ## The language model
# No attention, no feed-forward layer, no positions: the same block again and again,
# each behind a norm and around it the residual stream. The embedding, transposed, makes
# the logits.


# %%
class Mamba(nn.Module):
    """Token numbers -> logits of the next token."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.args = args
        self.embedding = nn.Embedding(args.vocab_size, args.d_model)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.layers = nn.ModuleList(MambaBlock(args) for _ in range(args.n_layer))
        self.norms = nn.ModuleList(
            nn.RMSNorm(args.d_model, eps=1e-5) for _ in range(args.n_layer)
        )
        self.norm_f = nn.RMSNorm(args.d_model, eps=1e-5)

    def forward(self, ids: Tensor) -> Tensor:
        """ids (b, l) -> logits (b, l, vocab_size).

        Raises ValueError if ids is not (b, l) or is empty.
        """
        if ids.ndim != 2 or 0 in ids.shape:
            raise ValueError(f"ids has shape {tuple(ids.shape)}, want (b, l)")
        x = self.embedding(ids)  # (b, l, d_model)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + layer(norm(x))  # (b, l, d_model)
        return self.norm_f(x) @ self.embedding.weight.T  # (b, l, vocab_size)

    def start(self, b: int) -> list[tuple[Tensor, Tensor]]:
        """What is carried before the first token: a window and a state per layer."""
        a, like = self.args, self.embedding.weight
        window = like.new_zeros(b, a.d_inner, a.d_conv)
        h = like.new_zeros(b, a.d_inner, a.d_state)
        return [(window, h)] * a.n_layer

    def step(
        self, ids: Tensor, carried: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """One token each, ids (b,) -> logits (b, vocab_size), and what to carry on."""
        x, after = self.embedding(ids), []  # (b, d_model)
        for norm, layer, (window, h) in zip(
            self.norms, self.layers, carried, strict=True
        ):
            added, window, h = layer.step(norm(x), window, h)
            x = x + added  # (b, d_model)
            after.append((window, h))
        return self.norm_f(x) @ self.embedding.weight.T, after


# %% [markdown]
# ## Counting
# On PyTorch's meta device a model has shapes and no memory. The released models have a
# vocabulary of 50,277, padded to 50,280; the runs of the paper's ablations used GPT-2's
# 50,257.


# %%
RELEASED = {  # Table 3's name: layers, width
    "130m": (24, 768),
    "370m": (48, 1024),
    "790m": (48, 1536),
    "1_4b": (48, 2048),
    "2_8b": (64, 2560),
}


def count(args: ModelArgs) -> int:
    """Trained parameters of the model."""
    with torch.device("meta"):
        return sum(p.numel() for p in Mamba(args).parameters())


def layer_parts(args: ModelArgs) -> dict[str, int]:
    """Parameters of each part of a block, and of the whole layer with its norm."""
    with torch.device("meta"):
        block = MambaBlock(args)
    parts: dict[str, int] = {}
    for name, p in block.named_parameters():
        part = name.split(".")[0]
        parts[part] = parts.get(part, 0) + p.numel()
    return parts | {"norm": args.d_model, "layer": sum(parts.values()) + args.d_model}


def ablation(dt_rank: int, d_state: int, vocab_size: int = 50257) -> float:
    """Millions of parameters in a row of Table 9 or 10; rank 0: delta is constant."""
    args = ModelArgs(1024, 48, vocab_size, d_state, dt_rank=max(dt_rank, 1))
    total = count(args)
    if dt_rank == 0:  # only the bias of delta stays: a column less, and a row
        total -= args.n_layer * 2 * args.d_inner
    return total / 1e6


# %% [markdown]
# ## What is carried
# To write the next token an attention layer reads the keys and values of all tokens
# before. A Mamba block reads its window and its states, however many tokens there were.


# %%
def carried_numbers(args: ModelArgs) -> int:
    """Numbers that a model carries from token to token, for one sequence."""
    with torch.device("meta"):
        return sum(x.numel() for pair in Mamba(args).start(1) for x in pair)


def cached_numbers(tokens: int, n_layer: int = 12, d_model: int = 768) -> int:
    """Keys and values of a Transformer after so many tokens."""
    return 2 * n_layer * d_model * tokens


RANKS, STATES = (0, 1, 2, 4, 8, 16, 32, 64), (1, 2, 4, 8, 16)

# %% [markdown]
# ## Figures


# %%
def draw_carried() -> None:
    """Numbers carried for one sequence against its length, both axes logarithmic. The
    line of a Transformer of 12 layers and width 768 rises in proportion to the length;
    that of mamba-130m is level. They cross at 40 tokens.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    tokens = [2**k for k in range(21)]
    ax.plot(tokens, [cached_numbers(t) for t in tokens], label="keys and values")
    level = carried_numbers(ModelArgs(768, 24, 50280))
    ax.plot(tokens, [level] * len(tokens), label="windows and states of mamba-130m")
    ax.set(xscale="log", yscale="log", xlabel="tokens so far", ylabel="numbers carried")
    ax.legend()


# %% tags=["active-ipynb"]
# draw_carried()

# %% [markdown]
# ## Numbers


# %%
def step_gap(seed: int) -> float:
    """The largest difference between reading at once and token by token, in float64."""
    torch.manual_seed(seed)
    model = Mamba(ModelArgs(32, 3, 50)).double()
    ids = torch.randint(50, (2, 40))  # (b, l)
    at_once, carried, gap = model(ids), model.start(2), 0.0
    for t in range(ids.shape[1]):
        logits, carried = model.step(ids[:, t], carried)  # (b, vocab_size)
        gap = max(gap, (logits - at_once[:, t]).abs().max().item())
    return gap


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    torch.set_num_threads(1)
    out: dict[str, float] = {}
    for name, (n_layer, d_model) in RELEASED.items():
        args = ModelArgs(d_model, n_layer, 50280)
        out[f"parameters_{name}"] = count(args)
        out[f"millions_{name}"] = count(args) / 1e6
        out[f"share_of_6d2_{name}"] = 6 * d_model**2 / layer_parts(args)["layer"]
    args = ModelArgs(768, 24, 50280)
    out |= {f"{part}_130m": n for part, n in layer_parts(args).items()}
    out |= {f"table9_rank{rank}": ablation(rank, 16) for rank in RANKS}
    out |= {f"table10_state{n}": ablation(64, n) for n in STATES}
    out["table10_state8_vocabulary_50280"] = ablation(64, 8, 50280)
    for n in (16, 32):
        out[f"induction_thousands_n{n}"] = count(ModelArgs(64, 2, 16, n)) / 1e3
    out["carried_130m"] = carried_numbers(args)
    out["cached_4096"] = cached_numbers(4096)
    out["cached_like_130m_tokens"] = carried_numbers(args) / cached_numbers(1)
    out["step_gap_max"] = max(step_gap(seed) for seed in range(5))
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
