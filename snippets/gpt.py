# %% [markdown]
r"""
# A GPT, of the lecture's shape and of GPT-2's

A decoder-only Transformer in one file: learned positions, causal attention, a
feed-forward layer, the normalization before each of them. One class builds the model of
the lecture and GPT-2; a tiny one learns a sonnet letter by letter. Or it learns your
own file, on one processor or on several GPUs:
`python gpt.py --text FILE --size lecture --device cuda`,
`torchrun --nproc_per_node=4 gpt.py --text FILE --size lecture --device cuda`.

**Source:** Andrej Karpathy, *Neural Networks: Zero to Hero* (2022), lecture 7, `gpt.py`
of the repository ng-video-lecture; sizes of GPT-2 from nanoGPT (2022).

| symbol | name | shape |
| --- | --- | --- |
| $V, T$ (`vocab`, `context`) | symbols, and how many of them the model sees at once | |
| $L, h, C$ (`layers`, `heads`, `width`) | blocks, heads in each, width | |
| `x` | the residual stream | $(B, T, C)$ |
| $q, k, v$ (`q`, `k`, `v`) | queries, keys, values | $(B, h, T, d)$, $d = C / h$ |

**Differs from the source:** one matrix makes the queries, keys and values of all heads;
the held-out loss is that of the whole held-out text, not of random pieces; the matrices
that write into the stream start like all others, where nanoGPT has them smaller.

**Checked against:** `torch.nn.TransformerEncoderLayer` with copied weights,
`torch.nn.functional.scaled_dot_product_attention`, `torch.optim.AdamW` (1e-10 in
float64); two processes of `torchrun` against one.

**Takes:** about 7 s on one core, most of it to train five models.

**Varies with the machine:** what is measured after training, since each processor
rounds in its own way and training magnifies that: `after_train` by up to 0.1,
`after_held_out` by up to 0.4, `best_held_out` by up to 0.1, `best_step` by up to 60.
"""

# %%
import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# %% [markdown]
# ## Looking back
# Each position averages the values of those before it and its own. The weights of the
# average come from the data: a softmax of how well its query fits their keys. Scores
# from the future are set to minus infinity, which the softmax turns into a zero.


# %%
def causal_weights(q: Tensor, k: Tensor) -> Tensor:
    """Weights (B, h, T, T) from queries and keys (B, h, T, d); each row adds up to 1.

    Row t is position t's average over positions 0 to t; what comes later has weight 0.
    """
    # softmax(q k^T / sqrt(d)), -inf above the diagonal
    scores = q @ k.mT / math.sqrt(q.shape[-1])  # (B, h, T, T)
    past = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()  # (T, T)
    return scores.masked_fill(~past, -math.inf).softmax(dim=-1)  # (B, h, T, T)


# %% [markdown]
# ## The model
# The lecture's model has no bias in queries, keys and values, a ReLU, and an output
# layer of its own. GPT-2 has all biases, a GELU, and gives its output layer the matrix
# of the embedding.


# %%
@dataclass(frozen=True)
class Shape:
    """All that makes one of these models, and how it is trained."""

    context: int
    layers: int
    heads: int
    width: int
    vocab: int = 65
    dropout: float = 0.0
    gpt2: bool = False
    batch: int = 16
    rate: float = 1e-3


class Attention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        if s.width % s.heads:
            raise ValueError(f"width must be a multiple of {s.heads}, got {s.width}")
        self.heads = s.heads
        self.qkv = nn.Linear(s.width, 3 * s.width, bias=s.gpt2)
        self.proj = nn.Linear(s.width, s.width)
        self.dropout = nn.Dropout(s.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, C) -> (B, T, C)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, h, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, h, T, d) each
        heads = self.dropout(causal_weights(q, k)) @ v  # (B, h, T, d)
        return self.dropout(self.proj(heads.transpose(1, 2).flatten(2)))  # (B, T, C)


class Block(nn.Module):
    """Look back, then think: both add to the stream, and read it normalized."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(s.width), nn.LayerNorm(s.width)
        self.attention = Attention(s)
        self.ffn = nn.Sequential(
            nn.Linear(s.width, 4 * s.width),
            nn.GELU(approximate="tanh") if s.gpt2 else nn.ReLU(),
            nn.Linear(4 * s.width, s.width),
            nn.Dropout(s.dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, C) -> (B, T, C)."""
        x = x + self.attention(self.norm1(x))  # (B, T, C)
        return x + self.ffn(self.norm2(x))  # (B, T, C)


class GPT(nn.Module):
    """Symbols in, the logits of the next symbol out, at every position."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.context = s.context
        self.symbols = nn.Embedding(s.vocab, s.width)
        self.positions = nn.Embedding(s.context, s.width)
        self.blocks = nn.Sequential(*(Block(s) for _ in range(s.layers)))
        self.norm = nn.LayerNorm(s.width)
        self.head = nn.Linear(s.width, s.vocab, bias=not s.gpt2)
        if s.gpt2:
            self.head.weight = self.symbols.weight
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
            elif "norm" not in name:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (B, T) -> logits (B, T, V). T may be shorter than the context.

        Raises ValueError unless ids has two axes and T is from 1 to the context.
        """
        if ids.ndim != 2 or not 0 < ids.shape[1] <= self.context:
            got = f"got {tuple(ids.shape)}"
            raise ValueError(f"ids must be (B, T), T from 1 to {self.context}, {got}")
        at = torch.arange(ids.shape[1], device=ids.device)  # (T,)
        x = self.symbols(ids) + self.positions(at)  # (B, T, C)
        return self.head(self.norm(self.blocks(x)))  # (B, T, V)


# %% [markdown]
# On PyTorch's meta device a model has shapes and no memory, so that a large one is
# built and counted in no time.


# %%
def count(s: Shape) -> int:
    """Trained parameters of the model, a shared matrix once."""
    with torch.device("meta"):
        return sum(p.numel() for p in GPT(s).parameters())


GPT2 = Shape(context=1024, layers=12, heads=12, width=768, vocab=50257, gpt2=True)
SIZES = {
    "tiny": Shape(context=32, layers=2, heads=4, width=32, rate=1e-2),
    "colab": Shape(context=32, layers=4, heads=4, width=64),
    "lecture": Shape(256, 6, 6, 384, dropout=0.2, batch=64, rate=3e-4),
}

# %% [markdown]
# ## Training
# With `world` processes each takes its share of the same batch and sends back its
# gradient; the mean of these is the gradient of the batch. So one process and four see
# the same data and make the same steps. AdamW is written out because `torch.optim`
# takes longer to load than the tiny model to train; elsewhere use
# `torch.optim.AdamW(model.parameters(), lr=rate)`.


# %%
@torch.no_grad()
def adamw(p: Tensor, m: Tensor, v: Tensor, step: int, rate: float) -> None:
    """Step number `step`, from 1, of AdamW on p; m, v: running means, of p's shape."""
    beta1, beta2, eps, decay = 0.9, 0.999, 1e-8, 0.01
    p *= 1 - rate * decay
    m.lerp_(p.grad, 1 - beta1)  # m <- beta1 m + (1 - beta1) g
    v.lerp_(p.grad**2, 1 - beta2)  # v <- beta2 v + (1 - beta2) g^2
    # both started at zero; dividing by 1 - beta^step undoes that
    p -= rate * (m / (1 - beta1**step)) / ((v / (1 - beta2**step)).sqrt() + eps)
    p.grad = None


def training(
    model: nn.Module, ids: Tensor, s: Shape, seed: int, rank: int = 0, world: int = 1
) -> Iterator[float]:
    """Train the model in place, a step per turn: yields the loss before each update.

    ids: (N,) the text, longer than the context. Process `rank` of `world` takes every
    world-th example; with several, the model averages gradients over the processes.
    Raises ValueError if `world` does not divide the batch.
    """
    if s.batch % world:
        raise ValueError(f"batch must be a multiple of {world}, got {s.batch}")
    state = [(p, torch.zeros_like(p), torch.zeros_like(p)) for p in model.parameters()]
    rng, step = torch.Generator().manual_seed(seed), 0
    while True:
        step += 1
        starts = torch.randint(len(ids) - s.context, (s.batch,), generator=rng)  # (B,)
        at = starts[rank::world, None] + torch.arange(s.context + 1)  # (B/world, T + 1)
        x = ids[at.to(ids.device)]  # (B/world, T + 1)
        loss = F.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        loss.backward()
        for p, m, v in state:
            adamw(p, m, v, step, s.rate)
        yield loss.item()


@torch.no_grad()
def text_loss(model: GPT, ids: Tensor) -> float:
    """Mean loss on a text (N,) in nats per letter, in pieces as long as the context."""
    total, mode = 0.0, model.training
    model.eval()
    for start in range(0, len(ids) - 1, model.context):
        x = ids[start : start + model.context + 1]  # (T + 1,), the last may be shorter
        total += F.cross_entropy(model(x[None, :-1])[0], x[1:], reduction="sum").item()
    model.train(mode)
    return total / (len(ids) - 1)


@torch.no_grad()
def write(model: GPT, ids: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """Draw n symbols to follow ids (T,): (T + n,). Leaves the model in eval mode."""
    model.eval()
    for _ in range(n):
        p = model(ids[None, -model.context :])[0, -1].softmax(-1)  # (V,)
        ids = torch.cat([ids, torch.multinomial(p.cpu(), 1, generator=rng).to(ids)])
    return ids


# %% [markdown]
# ## A sonnet
# The last tenth of the text is held out, as in the lecture.

# %%
SONNET = """\
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
SEEDS, STEPS, EVERY = range(5), 150, 15


def prepare(text: str, s: Shape) -> tuple[Tensor, Tensor, str, Shape]:
    """Letters to train on, letters held out, the alphabet, the shape that fits it.

    Raises ValueError if there are no more letters to train on than the context has.
    """
    alphabet = "".join(sorted(set(text)))
    ids = torch.tensor([alphabet.index(c) for c in text], dtype=torch.long)  # (N,)
    n = int(0.9 * len(ids))
    if n <= s.context:
        raise ValueError(f"want over {s.context} letters to learn from, got {n}")
    return ids[:n], ids[n:], alphabet, replace(s, vocab=len(alphabet))


@cache
def curves(seed: int) -> Tensor:
    """Steps, losses on what is trained on, losses on what is held out: (3, K)."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    train, held_out, _, s = prepare(SONNET, SIZES["tiny"])
    model = GPT(s)
    steps, rows = training(model, train, s, seed), []
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            rows.append((step, text_loss(model, train), text_loss(model, held_out)))
        next(steps)
    return torch.tensor(rows, dtype=torch.float64).T  # (3, K)


# %%
def draw_curves() -> None:
    """Loss against steps on the sonnet, on the part trained on and the part held out.

    Both start at 3.7. The training loss falls to about 1. The held-out loss falls to
    about 2.5 within 30 to 60 steps and then rises above 3.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    at, *losses = torch.stack([curves(seed) for seed in SEEDS], dim=1)  # (S, K)
    styles = (("-", "trained on"), ("--", "held out"))
    for loss, (line, label) in zip(losses, styles, strict=True):
        ax.plot(at[0], loss.median(dim=0).values, line, label=label)
        ax.fill_between(at[0], loss.amin(dim=0), loss.amax(dim=0), alpha=0.25, lw=0)
    ax.set(xlabel="step", ylabel="loss (nats per letter)", ylim=(0, None))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_curves()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    _, _, alphabet, tiny = prepare(SONNET, SIZES["tiny"])
    out: dict[str, float] = {
        "parameters_lecture": count(SIZES["lecture"]),
        "parameters_colab": count(SIZES["colab"]),
        "parameters_gpt2": count(GPT2),
        "parameters_tiny": count(tiny),
        "sonnet_ln_v": math.log(len(alphabet)),
    }
    at, on_train, on_held_out = torch.stack([curves(s) for s in SEEDS], dim=1)  # (S, K)
    best, best_at = on_held_out.min(dim=1)  # (S,)
    measured = {"before": on_train[:, 0], "after_train": on_train[:, -1]}
    measured |= {"after_held_out": on_held_out[:, -1], "best_held_out": best}
    for name, values in (measured | {"best_step": at[0, best_at]}).items():
        for kind in ("median", "min", "max"):
            out[f"{name}_{kind}"] = getattr(values, kind)().item()
    return out


# %% [markdown]
# ## Your own text
# `--text FILE` trains one model and lets it write. It starts from nothing each time and
# keeps no file. Where `torchrun` started several processes, each has its own part of
# every batch, and the first one reports.


# %%
def train_and_write(text: str, a: argparse.Namespace) -> dict[str, float]:
    """Train on the text, print 400 letters that the model writes: the last losses.

    Raises ValueError if a.steps is below 1, a.seed is negative, the text is too short
    or the batch no multiple of the processes, or, on "cuda", a process has no GPU.
    """
    if a.steps < 1 or a.seed < 0:
        raise ValueError(f"want steps >= 1, seed >= 0, got {a.steps} and {a.seed}")
    # torchrun tells each process its number, on all machines and on this one
    rank, local_rank = (int(os.environ.get(k, 0)) for k in ("RANK", "LOCAL_RANK"))
    world = int(os.environ.get("WORLD_SIZE", 1))
    if a.device == "cuda":
        if local_rank >= (found := torch.cuda.device_count()):
            raise ValueError(f"process {local_rank} needs a GPU, PyTorch sees {found}")
        torch.cuda.set_device(local_rank)
    if a.size == "tiny":
        torch.set_num_threads(1)  # too little work to share
    train, held_out, alphabet, s = prepare(text, SIZES[a.size])
    train, held_out = train.to(a.device), held_out.to(a.device)
    torch.manual_seed(a.seed)  # the same start everywhere
    model = shared = GPT(s).to(a.device)
    torch.manual_seed(a.seed + rank)  # but dropout of one's own
    if world > 1:
        torch.distributed.init_process_group("nccl" if a.device == "cuda" else "gloo")
        shared = nn.parallel.DistributedDataParallel(model)
    begin = shown = time.monotonic()
    on_held_out = math.nan
    losses = training(shared, train, s, a.seed, rank, world)
    for step in range(1, a.steps + 1):
        loss, now = next(losses), time.monotonic()
        tenth = step % max(1, a.steps // 10) == 0 or step == a.steps
        if rank == 0 and (tenth or now > shown + 10):
            on_held_out = text_loss(model, held_out) if tenth else on_held_out
            said = f"of {a.steps}  loss {loss:.3f}  held out {on_held_out:.3f}"
            shown, left = now, (now - begin) / step * (a.steps - step)
            print(f"step {step:>6} {said}  {left:.0f} s to go", flush=True)
    if world > 1:
        torch.distributed.barrier()  # the first may still be at its report
        torch.distributed.destroy_process_group()
    if rank:
        return {}
    rng = torch.Generator().manual_seed(a.seed)
    written = write(model, train[: s.context], 400, rng)[s.context :]  # (400,)
    print("".join(alphabet[i] for i in written))
    return {"parameters": count(s), "loss": loss, "held_out_loss": on_held_out}


def main(argv: Sequence[str]) -> dict[str, float]:
    """Without arguments the numbers of the page, with any the run they ask for."""
    parser = argparse.ArgumentParser(description="Train a GPT on letters, and sample.")
    parser.add_argument("--text", metavar="FILE", help="UTF-8 text (default: a sonnet)")
    parser.add_argument("--size", choices=SIZES, default="tiny", help="model (tiny)")
    parser.add_argument("--steps", type=int, default=500, help="updates (500)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (0)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args(argv)
    if not argv and "RANK" not in os.environ:
        print(f"Training {len(SEEDS)} models on a sonnet, for some seconds.\n")
        return numbers()
    try:
        text = Path(args.text).read_text(encoding="utf-8") if args.text else SONNET
        return train_and_write(text, args)
    except (OSError, ValueError) as error:  # no such file, not UTF-8, bad argument
        parser.error(str(error))


# %%
if __name__ == "__main__":
    results = main(sys.argv[1:] if "__file__" in globals() else [])
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
