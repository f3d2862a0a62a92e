# %% [markdown]
r"""
# The Transformer, as in the paper

Encoder and decoder of 2017 in one file: post-norm, projections without bias, one shared
embedding, sinusoids. It counts its own parameters at any size of Table 3 and learns to
write a sequence backwards, with the paper's optimizer and schedule.

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

**Differs from the source:** nothing in the model. The weights start from Xavier's
uniform distribution, the embedding with variance $1/d_{model}$; the paper does not say
how its own start.

**Checked against:** `torch.nn.TransformerEncoderLayer`, `TransformerDecoderLayer` and
the whole `torch.nn.Transformer` with copied weights (1e-10 in float64).

**Takes:** about 7 s on one core, most of it in training five tiny models.
"""

# %%
import math
from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor, nn

# %% [markdown]
# ## One attention sub-layer
# All heads at once: one matrix gives the queries of every head side by side, and a
# reshape moves the heads to an axis of their own.


# %%
class MultiHeadAttention(nn.Module):
    """Multi-head attention (section 3.2.2), without biases."""

    def __init__(self, d_model: int, n_heads: int, d_k: int, d_v: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.W_q = nn.Linear(d_model, n_heads * d_k, bias=False)
        self.W_k = nn.Linear(d_model, n_heads * d_k, bias=False)
        self.W_v = nn.Linear(d_model, n_heads * d_v, bias=False)
        self.W_o = nn.Linear(n_heads * d_v, d_model, bias=False)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, d_model) asks, memory (B, S, d_model) answers -> (B, T, d_model)."""

        def split(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (B, h, T, d)

        q, k, v = split(self.W_q(x)), split(self.W_k(memory)), split(self.W_v(memory))
        # Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V           (eq. 1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # (B, h, T, S)
        weights = scores.masked_fill(~mask, -math.inf).softmax(-1)  # (B, h, T, S)
        heads = (weights @ v).transpose(1, 2).flatten(2)  # (B, T, h d_v)
        return self.W_o(heads)  # (B, T, d_model)


# %% [markdown]
# ## The layers
# Around every sub-layer stands the same wrapping: dropout on what the sub-layer adds,
# the residual sum, then the normalization. It normalizes the stream itself, after the
# sum, which is called post-norm today.


# %%
class Residual(nn.Module):
    """LayerNorm(x + Sublayer(x)) (section 3.1), with dropout as in section 5.4."""

    def __init__(self, d_model: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, added: Tensor) -> Tensor:
        """x and what the sub-layer made of it, both (B, T, d_model)."""
        return self.norm(x + self.dropout(added))  # (B, T, d_model)


def feed_forward(d_model: int, d_ff: int) -> nn.Sequential:
    """FFN(x) = max(0, x W_1 + b_1) W_2 + b_2 (eq. 2), at each position alone."""
    return nn.Sequential(nn.Linear(d_model, d_ff), nn.ReLU(), nn.Linear(d_ff, d_model))


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward layer."""

    def __init__(
        self, d_model: int, d_ff: int, n_heads: int, d_k: int, d_v: int, dropout: float
    ) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model, n_heads, d_k, d_v)
        self.ffn = feed_forward(d_model, d_ff)
        self.add = nn.ModuleList(Residual(d_model, dropout) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, S, d_model), mask: true = may look; returns x's shape."""
        x = self.add[0](x, self.self_attention(x, x, mask))  # (B, S, d_model)
        return self.add[1](x, self.ffn(x))  # (B, S, d_model)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention over the encoder's output, feed-forward."""

    def __init__(
        self, d_model: int, d_ff: int, n_heads: int, d_k: int, d_v: int, dropout: float
    ) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model, n_heads, d_k, d_v)
        self.cross_attention = MultiHeadAttention(d_model, n_heads, d_k, d_v)
        self.ffn = feed_forward(d_model, d_ff)
        self.add = nn.ModuleList(Residual(d_model, dropout) for _ in range(3))

    def forward(
        self, x: Tensor, memory: Tensor, mask: Tensor, memory_mask: Tensor
    ) -> Tensor:
        """x: (B, T, d_model), memory: (B, S, d_model); returns x's shape."""
        x = self.add[0](x, self.self_attention(x, x, mask))  # (B, T, d_model)
        x = self.add[1](x, self.cross_attention(x, memory, memory_mask))
        return self.add[2](x, self.ffn(x))  # (B, T, d_model)


# %% [markdown]
# ## The model
# One matrix embeds the source, embeds the target and, transposed, turns the decoder's
# output into logits. Its entries start small, at variance $1/d_{model}$, so that logits
# start near one; multiplied by $\sqrt{d_{model}}$ on the way in, they stand up to the
# positional encoding, whose entries have a mean square of one half.


# %%
def positional_encoding(n_positions: int, d_model: int) -> Tensor:
    """Sinusoids of section 3.5: (n_positions, d_model), on the CPU."""
    position = torch.arange(n_positions, dtype=torch.float64, device="cpu")  # (T,)
    even = torch.arange(0, d_model, 2, dtype=torch.float64, device="cpu")  # 2i
    angle = position[:, None] * 10000.0 ** (-even / d_model)  # (T, d_model / 2)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)  # (T, d_model)


class Transformer(nn.Module):
    """The encoder-decoder of the paper; the defaults are its base model."""

    def __init__(
        self,
        vocab_size: int,
        n_layers: int = 6,
        d_model: int = 512,
        d_ff: int = 2048,
        n_heads: int = 8,
        d_k: int = 64,
        d_v: int = 64,
        dropout: float = 0.1,
        max_len: int = 512,
        pad_id: int = 0,
    ) -> None:
        super().__init__()
        if d_model % 2:
            raise ValueError(f"d_model is {d_model}, want an even number")
        self.d_model, self.pad_id = d_model, pad_id
        sizes = (d_model, d_ff, n_heads, d_k, d_v, dropout)
        self.embedding = nn.Parameter(torch.empty(vocab_size, d_model))
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(n_layers))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(n_layers))
        self.dropout = nn.Dropout(dropout)
        pe = positional_encoding(max_len, d_model)  # (max_len, d_model)
        self.register_buffer("pe", pe.to(torch.get_default_dtype()), persistent=False)
        for p in self.parameters():
            if p.ndim == 2:
                nn.init.xavier_uniform_(p)
        bound = math.sqrt(3 / d_model)  # a uniform variable's variance is bound^2 / 3
        nn.init.uniform_(self.embedding, -bound, bound)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings times sqrt(d_model), plus positions: (B, T) -> (B, T, d_model)."""
        if ids.ndim != 2 or not 0 < ids.shape[1] <= len(self.pe):
            want = f"(B, T) with 1 <= T <= {len(self.pe)}"
            raise ValueError(f"ids have shape {tuple(ids.shape)}, want {want}")
        x = nn.functional.embedding(ids, self.embedding)  # (B, T, d_model)
        x = x * math.sqrt(self.d_model)  # (B, T, d_model)
        return self.dropout(x + self.pe[: ids.shape[1]])  # (B, T, d_model)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """source: (B, S) -> memory (B, S, d_model) and its mask (B, 1, 1, S)."""
        mask = self.padding_mask("source", source)  # (B, 1, 1, S)
        x = self.embed(source)  # (B, S, d_model)
        for layer in self.encoder:
            x = layer(x, mask)  # (B, S, d_model)
        return x, mask

    def decode(self, target: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """target: (B, T), shifted right, so that row t predicts token t -> logits."""
        T = target.shape[-1]
        causal = torch.ones(T, T, dtype=torch.bool, device=target.device).tril()
        mask = self.padding_mask("target", target) & causal  # (B, 1, T, T)
        x = self.embed(target)  # (B, T, d_model)
        for layer in self.decoder:
            x = layer(x, memory, mask, memory_mask)  # (B, T, d_model)
        return x @ self.embedding.T  # (B, T, vocab_size)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source: (B, S), target: (B, T) -> logits (B, T, vocab_size)."""
        if len(source) != len(target):
            raise ValueError(f"target has {len(target)} rows, want {len(source)}")
        return self.decode(target, *self.encode(source))

    def padding_mask(self, name: str, ids: Tensor) -> Tensor:
        """True where there is a token: (B, T) -> (B, 1, 1, T)."""
        mask = ids != self.pad_id  # (B, T)
        # the causal rows need the first token; a query without a key would give NaN
        if not mask[:, 0].all():
            raise ValueError(
                f"{name} has a row that starts with padding ({self.pad_id})"
            )
        return mask[:, None, None, :]  # (B, 1, 1, T)


# %% [markdown]
# ## Counting
# On PyTorch's meta device a model has shapes and no memory, so that even the big one is
# built and counted in no time. $V = 37000$ is the size that section 5.1 states for the
# vocabulary.


# %%
def count(vocab_size: int = 37000, **sizes: int) -> int:
    """Parameters of the model; sizes as in Transformer, the base model by default."""
    with torch.device("meta"):
        model = Transformer(vocab_size, **sizes)
    return parameters(model)


def parameters(module: nn.Module) -> int:
    """Number of trained parameters, shared ones once."""
    return sum(p.numel() for p in module.parameters())


# %% [markdown]
# ## Training: write it backwards
# The source is four random tokens, the target the same four in reverse. Every output
# must find its input by position alone. The optimizer and its schedule are the paper's,
# with a warm-up of 60 steps where the paper has 4000.


# %%
def learning_rate(step: int, d_model: int, warmup: int) -> float:
    """Eq. 3; step counts from 1."""
    # lrate = d_model^-0.5 min(step^-0.5, step warmup^-1.5)
    return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)


class Adam:
    """Adam as in section 5.3; torch.optim's takes longer to load than this training."""

    def __init__(self, params: Iterable[Tensor]) -> None:
        self.params, self.step_count = list(params), 0
        self.means = [torch.zeros_like(p) for p in self.params]
        self.squares = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move every parameter against its gradient, then forget the gradient."""
        beta1, beta2, eps = 0.9, 0.98, 1e-9
        self.step_count += 1
        fix1, fix2 = (1 - beta**self.step_count for beta in (beta1, beta2))
        for p, m, s in zip(self.params, self.means, self.squares, strict=True):
            m.lerp_(p.grad, 1 - beta1)  # running mean of the gradient
            s.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)  # and of its square
            # both started at zero; fix1 and fix2 undo that
            p.addcdiv_(m, (s / fix2).sqrt_().add_(eps), value=-rate / fix1)
            p.grad = None


START, N_TOKENS, LENGTH = 1, 8, 4  # ids: 0 padding, 1 start, 2..9 tokens
TINY = {"n_layers": 1, "d_model": 32, "d_ff": 64, "n_heads": 2, "d_k": 16, "d_v": 16}
SEEDS = range(5)


def tiny(seed: int) -> Transformer:
    """A model with one layer on each side and no dropout."""
    torch.manual_seed(seed)
    return Transformer(2 + N_TOKENS, dropout=0.0, **TINY)


def batch(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random sources and their reversals, both (n, LENGTH)."""
    source = torch.randint(2, 2 + N_TOKENS, (n, LENGTH), generator=generator)
    return source, source.flip(1)  # (n, LENGTH), (n, LENGTH)


@cache
def train(seed: int, n_steps: int = 80) -> tuple[Transformer, list[float]]:
    """Train a tiny model; returns it and its loss per step in nats per token."""
    torch.set_num_threads(1)
    model = tiny(seed)
    generator = torch.Generator().manual_seed(seed)
    adam = Adam(model.parameters())
    losses = []
    for step in range(1, n_steps + 1):
        source, target = batch(64, generator)  # (64, LENGTH) twice
        # the decoder reads the target one place late: row t must predict token t
        shifted = nn.functional.pad(
            target[:, :-1], (1, 0), value=START
        )  # (128, LENGTH)
        logits = model(source, shifted)  # (64, LENGTH, vocab)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        loss.backward()
        adam.step(learning_rate(step, model.d_model, warmup=60))
        losses.append(loss.item())
    return model.eval(), losses


@torch.no_grad()
def greedy(model: Transformer, source: Tensor, n: int) -> Tensor:
    """Write n tokens, the likeliest each time: (B, S) -> (B, n)."""
    memory, mask = model.encode(source)  # (B, S, d_model), (B, 1, 1, S)
    written = torch.full((len(source), 1), START)  # (B, 1)
    for _ in range(n):
        logits = model.decode(written, memory, mask)[:, -1]  # (B, vocab)
        written = torch.cat([written, logits.argmax(-1, keepdim=True)], dim=1)
    return written[:, 1:]  # (B, n)


def reversed_share(model: Transformer) -> float:
    """Share of 500 fresh sources that the model writes backwards without a mistake."""
    source, target = batch(500, torch.Generator().manual_seed(1000))
    right = greedy(model, source, LENGTH) == target  # (500, LENGTH)
    return right.all(dim=1).double().mean().item()


# %% [markdown]
# Without the positional encoding no training could help. The encoder then treats its
# source as a set and the decoder averages over it, so that every order of the same four
# tokens gives the same logits. This is the largest change that reordering the source
# makes, with the encoding and without.


# %%
@torch.no_grad()
def reordering_effect(positions: bool) -> float:
    """Largest change of a logit in float64 when the source is read backwards."""
    model = tiny(0).double().eval()
    model.pe = model.pe if positions else torch.zeros_like(model.pe)
    source, target = batch(50, torch.Generator().manual_seed(0))
    change = model(source, target) - model(
        source.flip(1), target
    )  # (50, LENGTH, vocab)
    return change.abs().max().item()


# %% [markdown]
# ## Figure


# %%
def draw_training() -> None:
    """Five falling curves of the loss per token against the step, one per seed. They
    start near 3 nats, above the line for guessing, pass it within ten steps or so, and
    have fallen below one half at the end.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for seed in SEEDS:
        losses = train(seed)[1]
        ax.plot(range(1, len(losses) + 1), losses, label=f"seed {seed}")
    ax.axhline(math.log(N_TOKENS), linestyle=":", color="C5", label="guessing")
    ax.set(xlabel="step", ylabel="loss, nats per token", ylim=(0, None))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_training()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    layer = (512, 2048, 8, 64, 64, 0.1)
    result: dict[str, float] = {
        "parameters_base_v37000": count(),
        "parameters_big_v37000": count(d_model=1024, d_ff=4096, n_heads=16),
        "parameters_encoder_layer_base": parameters(EncoderLayer(*layer)),
        "parameters_decoder_layer_base": parameters(DecoderLayer(*layer)),
        "parameters_tiny": parameters(tiny(0)),
    }
    shares = [reversed_share(train(seed)[0]) for seed in SEEDS]
    final = [train(seed)[1][-1] for seed in SEEDS]
    for name, y in (("reversed_share", shares), ("final_loss_nats", final)):
        result[f"{name}_median"] = sorted(y)[len(y) // 2]
        result[f"{name}_min"] = min(y)
        result[f"{name}_max"] = max(y)
    result["reversed_share_untrained_max"] = max(reversed_share(tiny(s)) for s in SEEDS)
    result["guessing_loss_nats"] = math.log(N_TOKENS)
    result["reordering_effect_with_positions"] = reordering_effect(True)
    result["reordering_effect_without_positions"] = reordering_effect(False)
    return result


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
