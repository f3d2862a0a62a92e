# %% [markdown]
r"""
# The copy task, pre-norm or post-norm

A Transformer with one switch for the place of its normalizations, trained from nothing
to copy ten symbols, then decoded greedily. Before training, the same switch shows what
it does to the gradients. With options it trains one model on a CPU or a GPU, and under
PyTorch's launcher on several:
`torchrun --nproc-per-node 2 copy_task.py --steps 400 --seed 0 --device cuda`.

**Source:** Alexander Rush et al., *The Annotated Transformer* (2018; revised in 2022 by
Austin Huang et al.): "Model Architecture", "A First Example", "Greedy Decoding".

| symbol | name | shape |
| --- | --- | --- |
| $N$ (`n_layers`) | layers of the encoder, and of the decoder | |
| $d$ (`d_model`) | width of the residual stream | |
| $h$ (`n_heads`) | heads, each $d / h$ wide | |
| `x` | the residual stream | $(B, T, d)$ |
| `memory` | the output of the encoder | $(B, S, d)$ |
| `ids` | symbols; 1 to 10 occur in training, 0 does not | $(B, T)$ |

**Differs from the source:** one layer in each stack, $d = 32$ and 2 heads in place of
two, 512 and 8, no dropout, a warm-up of 80 updates in place of 400. The normalization
is PyTorch's. Nothing is padded, so there is no padding mask.

**Checked against:** `torch.nn.TransformerEncoderLayer`, `TransformerDecoderLayer` and
the whole `torch.nn.Transformer` with copied weights, in both orders (1e-10 in float64);
two processes with DistributedDataParallel against one.

**Varies with the machine:** training magnifies rounding: `loss_` by up to 0.3,
`lead_` by up to 0.3, `copied_` by up to 0.4, `right_of_10_` by up to 6, `from_0_` by up
to 10.

**Takes:** about 8 s on one core.
"""

# %%
import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from statistics import median

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

# %% [markdown]
# ## The switch
# A sub-layer is an attention or a feed-forward network. Post-norm, as in the paper,
# normalizes the sum, and so the stream itself. Pre-norm, as in the source's code,
# normalizes what a sub-layer reads and leaves the stream alone.


# %%
class Residual(nn.Module):
    """A sub-layer's residual connection and normalization, in either order."""

    def __init__(self, d_model: int, pre_norm: bool) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """x: (B, T, d_model); so is what sublayer returns, and the result."""
        if self.pre_norm:  # x <- x + Sublayer(LayerNorm(x))           (the code)
            return x + sublayer(self.norm(x))  # (B, T, d_model)
        # x <- LayerNorm(x + Sublayer(x))                              (the text)
        return self.norm(x + sublayer(x))  # (B, T, d_model)


# %% [markdown]
# ## The model
# A layer has two residual sub-layers, or three where there is a memory to look at.


# %%
class Attention(nn.Module):
    """Multi-head attention; its projections have biases, unlike the paper's."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, causal: bool = False) -> Tensor:
        """x (B, T, d_model) asks, memory (B, S, d_model) answers -> (B, T, d_model)."""
        q, k, v = (
            y.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (B, h, T or S, d_k)
            for y in (self.q(x), self.k(memory), self.v(memory))
        )
        # head = softmax(q k^T / sqrt(d_k)) v, the future hidden if causal
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.o(heads.transpose(1, 2).flatten(2))  # (B, T, d_model)


class Layer(nn.Module):
    """Self-attention, attention over a memory if there is one, feed-forward."""

    def __init__(
        self, d_model: int, n_heads: int, pre_norm: bool, has_memory: bool
    ) -> None:
        super().__init__()
        self.self_attention = Attention(d_model, n_heads)
        self.cross_attention = Attention(d_model, n_heads) if has_memory else None
        d_ff = 4 * d_model
        self.ffn = nn.Sequential(
            nn.Linear(d_model, d_ff), nn.ReLU(), nn.Linear(d_ff, d_model)
        )
        self.residuals = nn.ModuleList(
            Residual(d_model, pre_norm) for _ in range(2 + has_memory)
        )

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        """x: (B, T, d_model), memory: (B, S, d_model) -> (B, T, d_model)."""
        attend, look = self.self_attention, self.cross_attention
        x = self.residuals[0](x, lambda y: attend(y, y, causal=memory is not None))
        if look is not None:
            x = self.residuals[1](x, lambda y: look(y, memory))  # (B, T, d_model)
        return self.residuals[-1](x, self.ffn)  # (B, T, d_model)


# %% [markdown]
# In pre-norm nothing has normalized the stream when it leaves a stack, so one more
# normalization follows there; in post-norm it would only repeat the last one.

# %%
SYMBOLS, LENGTH = 11, 10


def positional_encoding(n_positions: int, d_model: int) -> Tensor:
    """The paper's sinusoids: (n_positions, d_model)."""
    two_i = torch.arange(0, d_model, 2, dtype=torch.float64)  # (d_model / 2,)
    angle = torch.arange(n_positions)[:, None] / 10000 ** (two_i / d_model)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)  # (T, d_model)


class Transformer(nn.Module):
    """Encoder and decoder, with separate tables for source, target and output."""

    def __init__(
        self,
        pre_norm: bool = True,
        n_layers: int = 1,
        d_model: int = 32,
        n_heads: int = 2,
    ) -> None:
        super().__init__()
        if d_model % 2 or d_model % n_heads:
            want = f"want an even multiple of n_heads = {n_heads}"
            raise ValueError(f"d_model is {d_model}, {want}")
        self.source, self.target = (nn.Embedding(SYMBOLS, d_model) for _ in range(2))
        self.encoder, self.decoder = (
            nn.ModuleList(
                Layer(d_model, n_heads, pre_norm, has_memory) for _ in range(n_layers)
            )
            for has_memory in (False, True)
        )
        self.encoder_norm, self.decoder_norm = (
            nn.LayerNorm(d_model) if pre_norm else nn.Identity() for _ in range(2)
        )
        self.generator = nn.Linear(d_model, SYMBOLS)
        self.register_buffer("positions", positional_encoding(LENGTH, d_model))
        for p in self.parameters():
            if p.ndim > 1:
                nn.init.xavier_uniform_(p)  # the embeddings too, as in the source

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source: (B, S), target: (B, T) -> logits (B, T, SYMBOLS).

        Row t of the logits has seen target[: t + 1] and predicts target[t + 1].
        """
        return self.decode(target, self.encode(source))

    def encode(self, source: Tensor) -> Tensor:
        """source: (B, S) -> memory (B, S, d_model)."""
        x = self.embed(self.source, source)  # (B, S, d_model)
        for layer in self.encoder:
            x = layer(x)  # (B, S, d_model)
        return self.encoder_norm(x)  # (B, S, d_model)

    def decode(self, target: Tensor, memory: Tensor) -> Tensor:
        """target: (B, T), memory: (B, S, d_model) -> logits (B, T, SYMBOLS)."""
        x = self.embed(self.target, target)  # (B, T, d_model)
        for layer in self.decoder:
            x = layer(x, memory)  # (B, T, d_model)
        return self.generator(self.decoder_norm(x))  # (B, T, SYMBOLS)

    def embed(self, table: nn.Embedding, ids: Tensor) -> Tensor:
        """ids: (B, T) -> the vectors of symbols at their places, (B, T, d_model).

        Raises ValueError if T is above LENGTH.
        """
        if ids.shape[1] > LENGTH:
            raise ValueError(f"{ids.shape[1]} symbols, want at most {LENGTH}")
        x = table(ids) * math.sqrt(table.embedding_dim)  # (B, T, d_model)
        return x + self.positions[: ids.shape[1]].to(x)  # (B, T, d_model)


# %% [markdown]
# ## Training
# Ten symbols from 1 to 10, the first always 1. The decoder reads a sequence without its
# last symbol and is asked for the same sequence without its first.
#
# Under `torchrun` every process draws the same batch and takes its own share of it;
# DistributedDataParallel averages the gradients. The shares are equal, so this is the
# training of one process, up to rounding.


# %%
def draw(n: int, rng: torch.Generator) -> Tensor:
    """n sequences to copy: (n, LENGTH)."""
    ids = torch.randint(1, SYMBOLS, (n, LENGTH), generator=rng)  # (n, LENGTH)
    ids[:, 0] = 1
    return ids


def loss_of(model: nn.Module, ids: Tensor) -> Tensor:
    """Cross-entropy in nats per symbol, given the symbols before it; ids: (B, T)."""
    logits = model(ids, ids[:, :-1])  # (B, T - 1, SYMBOLS)
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def learning_rate(step: int, d_model: int = 32, warmup: int = 80) -> float:
    """The paper's schedule; step counts from 1."""
    # rate = d_model^-0.5 min(step^-0.5, step warmup^-1.5)
    return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)


def train(
    seed: int,
    n_steps: int,
    pre_norm: bool = True,
    device: str = "cpu",
    rate: Callable[[int], float] = learning_rate,
    batch: int = 32,
) -> tuple[Transformer, list[float]]:
    """A trained model and its losses, this process's share of each batch.

    Raises ValueError if n_steps is below 1 or batch is no multiple of the processes.
    """
    torch.set_num_threads(1)
    rank, world = (
        (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    )
    if n_steps < 1 or batch % world:
        got = f"n_steps is {n_steps}, batch {batch}"
        raise ValueError(f"{got}: want at least 1, a multiple of {world} processes")
    torch.manual_seed(seed)
    model = Transformer(pre_norm).to(device)
    net = DistributedDataParallel(model) if dist.is_initialized() else model
    adam = torch.optim.Adam(net.parameters(), betas=(0.9, 0.98), eps=1e-9, fused=True)
    rng, losses = torch.Generator().manual_seed(seed), []
    for step in range(1, n_steps + 1):
        ids = draw(batch, rng)[rank::world].to(device)  # (B / world, LENGTH)
        loss = loss_of(net, ids)
        adam.zero_grad()
        loss.backward()
        adam.param_groups[0]["lr"] = rate(step)
        adam.step()
        losses.append(loss.item())
    return model, losses


# %% [markdown]
# ## Greedy decoding
# In training the decoder was given the right symbols. Now it reads what it wrote.


# %%
@torch.no_grad()
def greedy(model: Transformer, source: Tensor, start: int = 1) -> Tensor:
    """Write as many symbols as source has, the likeliest each time: (B, S) twice."""
    memory = model.encode(source)  # (B, S, d_model)
    written = torch.full_like(source[:, :1], start)  # (B, 1)
    while written.shape[1] < source.shape[1]:
        logits = model.decode(written, memory)[:, -1]  # (B, SYMBOLS)
        written = torch.cat([written, logits.argmax(1, keepdim=True)], dim=1)
    return written  # (B, S)


def held_out(device: str = "cpu") -> Tensor:
    """Fresh sequences, the same for every model: (300, LENGTH)."""
    return draw(300, torch.Generator().manual_seed(1000)).to(device)


def copied_share(model: Transformer, ids: Tensor) -> float:
    """Share of the sequences that are written without a mistake; ids: (B, T)."""
    return (greedy(model, ids) == ids).all(dim=1).double().mean().item()


def right_of_10(model: Transformer, first: int) -> int:
    """Symbols right when the ten from `first` on are to be copied, `first` given."""
    ids = torch.arange(first, first + LENGTH)[None]  # (1, LENGTH)
    return int((greedy(model, ids, start=first) == ids).sum())


# %% [markdown]
# ## The gradient before training
# Six layers, as in the paper, and one batch. How large is the gradient of each decoder
# layer's feed-forward network, beside that of the others? Adam divides each gradient by
# its own running size, so training hides some of what is seen here.


# %%
def decoder_gradients(seed: int, pre_norm: bool, n_layers: int = 6) -> list[float]:
    """The gradient's norm in each decoder layer's feed-forward network, untrained."""
    torch.manual_seed(seed)
    model = Transformer(pre_norm, n_layers)
    loss_of(model, draw(32, torch.Generator().manual_seed(seed))).backward()
    return [
        math.sqrt(sum(p.grad.square().sum().item() for p in layer.ffn.parameters()))
        for layer in model.decoder
    ]


# %% [markdown]
# ## The runs
# Five seeds in each order: 80 updates of warm-up and 60 more.

# %%
SEEDS, STEPS, EARLY = range(5), 140, 80


@cache
def run(seed: int, pre_norm: bool) -> tuple[Transformer, list[float]]:
    """Model and losses of one of the page's ten runs."""
    return train(seed, STEPS, pre_norm)


def draw_orders() -> None:
    """Left, the loss against the update: five lines of pre-norm fall from 3 to near
    zero, those of post-norm later, and in the end they come closer. Right, the
    gradient's norm in six decoder layers: in post-norm it rises tenfold towards the
    output, in pre-norm it falls.
    """
    import matplotlib.pyplot as plt

    _, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
    for pre_norm, color in ((True, "C0"), (False, "C1")):
        for seed in SEEDS:
            label = ("pre-norm" if pre_norm else "post-norm") if seed == 0 else None
            losses = torch.tensor(run(seed, pre_norm)[1])  # (steps,)
            smooth = losses.unfold(0, 10, 1).mean(1)  # (steps - 9,)
            left.plot(range(10, len(losses) + 1), smooth, color=color, label=label)
            gradients = decoder_gradients(seed, pre_norm)
            right.plot(range(1, 7), gradients, color=color, marker=".")
    left.axhline(math.log(10), color="C5", linestyle=":", label="guessing")
    left.set(xlabel="update", ylabel="loss (nats), mean of ten", ylim=(0, None))
    left.legend()
    right.set(xlabel="decoder layer", ylabel="norm of the gradient", yscale="log")


# %% tags=["active-ipynb"]
# draw_orders()

# %% [markdown]
# ## Numbers


# %%
def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median and range over seeds, as three entries."""
    kinds = {"median": median(values), "min": min(values), "max": max(values)}
    return {f"{name}_{kind}": float(value) for kind, value in kinds.items()}


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    result = {"guessing_nats": math.log(10)}
    ids, early, end = held_out(), {}, {}
    for name, pre_norm in (("pre", True), ("post", False)):
        model = Transformer(pre_norm)
        result[f"parameters_{name}"] = sum(p.numel() for p in model.parameters())
        ratios = [g[-1] / g[0] for g in (decoder_gradients(s, pre_norm) for s in SEEDS)]
        result |= spread(f"last_to_first_gradient_{name}", ratios)
        models, losses = zip(*(run(seed, pre_norm) for seed in SEEDS), strict=True)
        early[name] = [sum(of[EARLY - 10 : EARLY]) / 10 for of in losses]
        end[name] = [sum(of[-10:]) / 10 for of in losses]  # each batch is fresh
        result |= spread(f"loss_early_{name}", early[name])
        with torch.no_grad():
            held = [loss_of(model, ids).item() for model in models]
        result |= spread(f"loss_end_{name}", held)
        shares = [copied_share(model, ids) for model in models]
        result |= spread(f"copied_end_{name}", shares)
    for name, loss in (("early", early), ("end", end)):
        leads = [b - a for a, b in zip(loss["pre"], loss["post"], strict=True)]
        result |= spread(f"lead_{name}", leads)
    models = [run(seed, True)[0] for seed in SEEDS]
    result |= spread("right_of_10_from_1", [right_of_10(m, 1) for m in models])
    return result | spread("from_0_right_of_10", [right_of_10(m, 0) for m in models])


# %% [markdown]
# ## One model, on the device of your choice


# %%
def main(argv: Sequence[str]) -> dict[str, float]:
    """Without arguments the numbers of the page, with any the run they ask for."""
    parser = argparse.ArgumentParser(description="Train a Transformer to copy.")
    parser.add_argument("--steps", type=int, default=STEPS, help="updates (140)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (0)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--post-norm", action="store_true", help="the paper's order")
    args = parser.parse_args(argv)
    if not argv and "WORLD_SIZE" not in os.environ:
        print(f"Training {2 * len(SEEDS)} models to copy, for some seconds.\n")
        return numbers()
    device, launched = args.device, "WORLD_SIZE" in os.environ
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        torch.cuda.set_device(device)
    if launched:  # by torchrun, with others beside
        dist.init_process_group("nccl" if args.device == "cuda" else "gloo")
    try:
        model, _ = train(args.seed, args.steps, not args.post_norm, device)
    except ValueError as error:
        parser.error(str(error))
    if launched:
        dist.barrier()
        dist.destroy_process_group()
    if os.environ.get("RANK", "0") != "0":  # all have the same model
        return {}
    ids = held_out(device)
    with torch.no_grad():
        loss = loss_of(model, ids).item()
    return {"loss": loss, "copied": copied_share(model, ids)}


# %%
if __name__ == "__main__":
    results = main(sys.argv[1:] if "__file__" in globals() else [])
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
