# %% [markdown]
r"""
# The Transformer, as in the paper

Encoder and decoder of 2017 in one file: post-norm, projections without bias, one shared
embedding, sinusoids. It is counted at the size of the base model, and tiny ones learn
to write a sequence backwards, with the paper's optimizer and schedule.

**Source:** Ashish Vaswani et al., *Attention Is All You Need* (2017), sections 3.1 to
3.5, eq. 1 to 3, and the hyperparameters of Table 3.

| symbol | name | shape |
| --- | --- | --- |
| $N$ (`n_layers`) | layers of the encoder, and of the decoder | |
| $d_{model}$ (`d_model`) | width of the residual stream | |
| $d_{ff}$ (`d_ff`) | inner width of the feed-forward layer | |
| $h$ (`n_heads`) | heads | |
| $d_k, d_v$ (`d_k`, `d_v`) | width of a head's keys, of its values | |
| `x` | the residual stream | $(B, T, d_{model})$ |
| `memory` | the output of the encoder | $(B, S, d_{model})$ |
| `mask` | true where a query may look | broadcasts to $(B, h, T, S)$ |

**Differs from the source:** nothing in the model. The paper does not say how its
weights start; here the matrices have Xavier's uniform distribution, the embedding has
variance $1/d_{model}$. The demonstration has no dropout and no label smoothing, and
writes the likeliest token where the paper searches with a beam.

**Checked against:** `torch.nn.TransformerEncoderLayer`, `TransformerDecoderLayer` and
the whole `torch.nn.Transformer` with copied weights, `torch.optim.Adam` (1e-10 in
float64).

**Takes:** about 5 s on one core, a third of it to load PyTorch.

**Varies with the machine:** what is measured after training, since each processor
rounds in its own way and training magnifies that: `reversed_share` by up to 0.2.
"""

# %%
import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# %% [markdown]
# ## Attention
# All heads at once: one matrix gives the queries of every head side by side, and a
# reshape moves the heads to an axis of their own. The sizes are the columns of Table 3.


# %%
@dataclass(frozen=True)
class Sizes:
    """What makes a row of Table 3; the defaults are the base model."""

    n_layers: int = 6
    d_model: int = 512
    d_ff: int = 2048
    n_heads: int = 8
    d_k: int = 64
    d_v: int = 64
    dropout: float = 0.1


class MultiHeadAttention(nn.Module):
    """Multi-head attention (section 3.2.2), without biases."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.n_heads = s.n_heads
        self.W_q = nn.Linear(s.d_model, s.n_heads * s.d_k, bias=False)
        self.W_k = nn.Linear(s.d_model, s.n_heads * s.d_k, bias=False)
        self.W_v = nn.Linear(s.d_model, s.n_heads * s.d_v, bias=False)
        self.W_o = nn.Linear(s.n_heads * s.d_v, s.d_model, bias=False)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, d_model) asks, memory (B, S, d_model) answers -> (B, T, d_model)."""
        q, k, v = (
            y.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (B, h, T or S, d)
            for y in (self.W_q(x), self.W_k(memory), self.W_v(memory))
        )
        # Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V           (eq. 1)
        scores = q @ k.mT / math.sqrt(q.shape[-1])  # (B, h, T, S)
        weights = scores.masked_fill(~mask, -math.inf).softmax(-1)  # (B, h, T, S)
        # MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W^O
        return self.W_o((weights @ v).transpose(1, 2).flatten(2))  # (B, T, d_model)


# %% [markdown]
# ## The layers
# Every sub-layer is wrapped alike: dropout on what it adds, the residual sum, then the
# normalization. It normalizes the stream itself, after the sum, which is called
# post-norm today.


# %%
def feed_forward(s: Sizes) -> nn.Sequential:
    """FFN(x) = max(0, x W_1 + b_1) W_2 + b_2 (eq. 2), at each position alone."""
    return nn.Sequential(
        nn.Linear(s.d_model, s.d_ff), nn.ReLU(), nn.Linear(s.d_ff, s.d_model)
    )


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward layer."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(s)
        self.ffn = feed_forward(s)
        self.norm1, self.norm2 = (nn.LayerNorm(s.d_model) for _ in range(2))
        self.dropout = nn.Dropout(s.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, S, d_model), mask: true = may look; returns x's shape."""
        # x <- LayerNorm(x + Sublayer(x))                             (section 3.1)
        x = self.norm1(x + self.dropout(self.self_attention(x, x, mask)))
        return self.norm2(x + self.dropout(self.ffn(x)))  # (B, S, d_model)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention over the encoder's output, feed-forward."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(s)
        self.cross_attention = MultiHeadAttention(s)
        self.ffn = feed_forward(s)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(s.d_model) for _ in range(3))
        self.dropout = nn.Dropout(s.dropout)

    def forward(
        self, x: Tensor, memory: Tensor, mask: Tensor, memory_mask: Tensor
    ) -> Tensor:
        """x: (B, T, d_model), memory: (B, S, d_model); returns x's shape."""
        # x <- LayerNorm(x + Sublayer(x))                             (section 3.1)
        x = self.norm1(x + self.dropout(self.self_attention(x, x, mask)))
        x = self.norm2(x + self.dropout(self.cross_attention(x, memory, memory_mask)))
        return self.norm3(x + self.dropout(self.ffn(x)))  # (B, T, d_model)


# %% [markdown]
# ## The model
# One matrix embeds the source, embeds the target and, transposed, turns the decoder's
# output into logits. Its entries start small, at variance $1/d_{model}$, so that logits
# start near one; multiplied by $\sqrt{d_{model}}$ on the way in, they stand up to the
# positional encoding, whose entries have a mean square of one half.


# %%
def positional_encoding(n_positions: int, d_model: int) -> Tensor:
    """Sinusoids of section 3.5: (n_positions, d_model), in float64."""
    position = torch.arange(n_positions)[:, None]  # (T, 1)
    two_i = torch.arange(0, d_model, 2, dtype=torch.float64)  # (d_model / 2,)
    angle = position / 10000.0 ** (two_i / d_model)  # (T, d_model / 2)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)  # (T, d_model)


class Transformer(nn.Module):
    """The encoder-decoder of the paper; token pad_id is looked at by nobody."""

    def __init__(self, vocab_size: int, s: Sizes, pad_id: int = 0) -> None:
        super().__init__()
        if s.d_model % 2:
            raise ValueError(f"d_model is {s.d_model}, want an even number")
        self.pad_id = pad_id
        self.embedding = nn.Parameter(torch.empty(vocab_size, s.d_model))
        self.encoder = nn.ModuleList(EncoderLayer(s) for _ in range(s.n_layers))
        self.decoder = nn.ModuleList(DecoderLayer(s) for _ in range(s.n_layers))
        self.dropout = nn.Dropout(s.dropout)
        nn.init.trunc_normal_(self.embedding, std=s.d_model**-0.5)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source: (B, S), target: (B, T) -> logits (B, T, vocab_size).

        Raises ValueError if the two differ in B, and where `embed` does.
        """
        if len(source) != len(target):
            raise ValueError(f"target has {len(target)} rows, want {len(source)}")
        return self.decode(target, *self.encode(source))

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """source: (B, S) -> memory (B, S, d_model) and its mask (B, 1, 1, S)."""
        x, mask = self.embed("source", source)  # (B, S, d_model), (B, 1, 1, S)
        for layer in self.encoder:
            x = layer(x, mask)  # (B, S, d_model)
        return x, mask

    def decode(self, target: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """target: (B, T), shifted right, so that row t predicts token t -> logits."""
        x, mask = self.embed("target", target)  # (B, T, d_model), (B, 1, 1, T)
        mask = mask & mask.new_ones(x.shape[1], x.shape[1]).tril()  # (B, 1, T, T)
        for layer in self.decoder:
            x = layer(x, memory, mask, memory_mask)  # (B, T, d_model)
        return x @ self.embedding.T  # (B, T, vocab_size)

    def embed(self, name: str, ids: Tensor) -> tuple[Tensor, Tensor]:
        """ids: (B, T) -> vectors (B, T, d_model) and the padding mask (B, 1, 1, T).

        Raises ValueError if ids is empty or not (B, T), or a row starts with padding.
        """
        if ids.ndim != 2 or 0 in ids.shape:
            raise ValueError(f"{name} has shape {tuple(ids.shape)}, want (B, T)")
        if (ids[:, 0] == self.pad_id).any():  # a query without a key would give NaN
            raise ValueError(f"{name} has a row that starts with padding")
        x = F.embedding(ids, self.embedding) * math.sqrt(self.embedding.shape[1])
        x = x + positional_encoding(*x.shape[1:]).to(x)  # (B, T, d_model)
        mask = (ids != self.pad_id)[:, None, None]  # (B, 1, 1, T)
        return self.dropout(x), mask


# %% [markdown]
# ## Counting
# On PyTorch's meta device a model has shapes and no memory, so that a large one is
# built and counted in no time. $V = 37000$ is the vocabulary that section 5.1 states.


# %%
def count(vocab_size: int = 37000, s: Sizes = Sizes()) -> int:
    """Trained parameters of the model, those of the shared embedding once."""
    with torch.device("meta"):
        return sum(p.numel() for p in Transformer(vocab_size, s).parameters())


# %% [markdown]
# ## Training: write it backwards
# The source is two random tokens, the target the same two in reverse. Without positions
# the encoder knows which two there are, not which comes first: it must guess the order,
# right in half of the cases, unless both are the same. That is 36 of all 64 sources.
#
# The optimizer and its schedule are the paper's, with a warm-up of 40 steps where the
# paper has 4000. Adam is written out because `torch.optim` takes about as long to load
# as this training; elsewhere use
# `torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), eps=1e-9)`.


# %%
def learning_rate(step: int, d_model: int, warmup: int) -> float:
    """Eq. 3; step counts from 1."""
    # lrate = d_model^-0.5 min(step^-0.5, step warmup^-1.5)           (eq. 3)
    return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)


@torch.no_grad()
def adam(p: Tensor, m: Tensor, v: Tensor, step: int, rate: float) -> None:
    """One step of Adam (section 5.3) on p; m, v: running means, of p's shape."""
    beta1, beta2, eps = 0.9, 0.98, 1e-9
    m.lerp_(p.grad, 1 - beta1)  # m <- beta1 m + (1 - beta1) g
    v.lerp_(p.grad**2, 1 - beta2)  # v <- beta2 v + (1 - beta2) g^2
    # both started at zero; dividing by 1 - beta^step undoes that
    p -= rate * (m / (1 - beta1**step)) / ((v / (1 - beta2**step)).sqrt() + eps)
    p.grad = None


START, N_TOKENS, LENGTH = 1, 8, 2  # ids: 0 padding, 1 start, 2..9 tokens
TINY = Sizes(n_layers=1, d_model=32, d_ff=64, n_heads=2, d_k=16, d_v=16, dropout=0.0)
SEEDS = range(5)


def batch(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random sources and their reversals, both (n, LENGTH)."""
    source = torch.randint(2, 2 + N_TOKENS, (n, LENGTH), generator=rng)
    return source, source.flip(1)  # (n, LENGTH), (n, LENGTH)


@cache
def train(seed: int, n_steps: int = 120) -> tuple[Transformer, list[float]]:
    """Train a tiny model; returns it and its loss per step in nats per token."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = Transformer(2 + N_TOKENS, TINY)
    state = [(p, torch.zeros_like(p), torch.zeros_like(p)) for p in model.parameters()]
    rng = torch.Generator().manual_seed(seed)
    losses = []
    for step in range(1, n_steps + 1):
        source, target = batch(64, rng)  # (64, LENGTH) twice
        # the decoder reads the target one place late: row t must predict token t
        shifted = F.pad(target[:, :-1], (1, 0), value=START)  # (64, LENGTH)
        logits = model(source, shifted)  # (64, LENGTH, vocab)
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten())
        loss.backward()
        for p, m, v in state:
            adam(p, m, v, step, learning_rate(step, TINY.d_model, warmup=40))
        losses.append(loss.item())
    return model.eval(), losses


@torch.no_grad()
def greedy(model: Transformer, source: Tensor, n: int) -> Tensor:
    """Write n tokens, the likeliest each time: (B, S) -> (B, n)."""
    memory, mask = model.encode(source)  # (B, S, d_model), (B, 1, 1, S)
    written = torch.full_like(source[:, :1], START)  # (B, 1)
    for _ in range(n):
        logits = model.decode(written, memory, mask)[:, -1]  # (B, vocab)
        written = torch.cat([written, logits.argmax(1, keepdim=True)], dim=1)
    return written[:, 1:]  # (B, n)


def reversed_share(model: Transformer) -> float:
    """Share of all sources, 8 by 8, that the model writes backwards without a mistake.

    Training meets each of them: it shows that a model learns, not that it generalizes.
    """
    tokens = torch.arange(2, 2 + N_TOKENS)
    source = torch.cartesian_prod(*[tokens] * LENGTH)  # (64, LENGTH)
    right = greedy(model, source, LENGTH) == source.flip(1)  # (64, LENGTH)
    return right.all(dim=1).double().mean().item()


# %% [markdown]
# ## Figure


# %%
def draw_training() -> None:
    """Five falling curves of the loss per token against the step, one per seed. They
    start above the line for guessing, pass it before step ten, and come down to a
    lower line, for knowing the tokens and not their order. Most fall far below that
    one as well.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for seed in SEEDS:
        losses = train(seed)[1]
        ax.plot(range(1, len(losses) + 1), losses, label=f"seed {seed}")
    ax.axhline(math.log(N_TOKENS), linestyle=":", color="C5", label="guessing")
    # 56 of 64 sources have an order to guess, at ln 2 for the first of two tokens
    ax.axhline(7 / 16 * math.log(2), linestyle="--", color="C5", label="order unknown")
    ax.set(xlabel="step", ylabel="loss, nats per token", ylim=(0, None))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_training()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    shares = sorted(reversed_share(train(seed)[0]) for seed in SEEDS)
    untrained = [reversed_share(train(seed, n_steps=0)[0]) for seed in SEEDS]
    return {
        "parameters_base_v37000": count(),
        "parameters_tiny": count(2 + N_TOKENS, TINY),
        "reversed_share_median": shares[len(shares) // 2],
        "reversed_share_min": shares[0],
        "reversed_share_max": shares[-1],
        "reversed_share_untrained_max": max(untrained),
    }


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
