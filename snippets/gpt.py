# %% [markdown]
r"""
# A GPT, of the lecture's shape and of GPT-2's

A decoder-only Transformer in one file: learned positions, causal attention, a
feed-forward layer, the normalization before each of them. One class builds the model of
the lecture and GPT-2, so that both can be counted; a tiny one learns a sonnet letter by
letter. Or your own file, on one processor or on several GPUs:
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

**Takes:** about 5 s on one core, most of it to train five models.

**Varies with the machine:** what is measured after training, since each processor
rounds in its own way and training magnifies that: `after_train` by up to 0.1,
`after_held_out` by up to 0.4, `best_held_out` by up to 0.1, `best_step` by up to 60.
"""

# %%
import argparse
import math
import os
import string
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
    if q.shape != k.shape:
        raise ValueError(f"k must be {tuple(q.shape)} like q, got {tuple(k.shape)}")
    # softmax(q k^T / sqrt(d)), -inf above the diagonal
    scores = q @ k.mT / math.sqrt(q.shape[-1])  # (B, h, T, T)
    past = torch.ones_like(scores, dtype=torch.bool).tril()  # (B, h, T, T)
    return scores.masked_fill(~past, -math.inf).softmax(dim=-1)  # (B, h, T, T)


# %% [markdown]
# ## The model
# The lecture's model has no bias in queries, keys and values, a ReLU, and an output
# layer of its own. GPT-2 has all biases, a GELU, and gives its output layer the matrix
# of the embedding.


# %%
@dataclass(frozen=True)
class Shape:
    """All that makes one of these models."""

    context: int
    layers: int
    heads: int
    width: int
    vocab: int = 65
    dropout: float = 0.0
    gpt2: bool = False  # GELU, biases in q, k and v, output tied to the embedding
    bias: bool = True  # without: none in the linear layers and normalizations


class Attention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        if s.width % s.heads:
            raise ValueError(f"width must be a multiple of {s.heads}, got {s.width}")
        self.heads = s.heads
        self.qkv = nn.Linear(s.width, 3 * s.width, bias=s.gpt2 and s.bias)
        self.proj = nn.Linear(s.width, s.width, bias=s.bias)
        self.dropout = nn.Dropout(s.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, C) -> (B, T, C)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, h, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, h, T, d) each
        heads = self.dropout(causal_weights(q, k)) @ v  # (B, h, T, d)
        out = self.proj(heads.transpose(1, 2).flatten(2))  # (B, T, C)
        return self.dropout(out)  # (B, T, C)


class Block(nn.Module):
    """Look back, then think: both add to the stream, and read it normalized."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(s.width, bias=s.bias)
        self.attention = Attention(s)
        self.norm2 = nn.LayerNorm(s.width, bias=s.bias)
        self.ffn = nn.Sequential(
            nn.Linear(s.width, 4 * s.width, bias=s.bias),
            nn.GELU(approximate="tanh") if s.gpt2 else nn.ReLU(),
            nn.Linear(4 * s.width, s.width, bias=s.bias),
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
        self.dropout = nn.Dropout(s.dropout if s.gpt2 else 0.0)
        self.blocks = nn.Sequential(*(Block(s) for _ in range(s.layers)))
        self.norm = nn.LayerNorm(s.width, bias=s.bias)
        self.head = nn.Linear(s.width, s.vocab, bias=s.bias and not s.gpt2)
        if s.gpt2:
            self.head.weight = self.symbols.weight
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (B, T) -> logits (B, T, V). T may be shorter than the context."""
        if ids.ndim != 2 or not 0 < ids.shape[1] <= self.context:
            got = f"got {tuple(ids.shape)}"
            raise ValueError(f"ids must be (B, T), T from 1 to {self.context}, {got}")
        at = torch.arange(ids.shape[1], device=ids.device)  # (T,)
        x = self.dropout(self.symbols(ids) + self.positions(at))  # (B, T, C)
        return self.head(self.norm(self.blocks(x)))  # (B, T, V)


# %% [markdown]
# ## Counting
# Once from the modules, built on PyTorch's meta device, which has shapes and no memory;
# once by a formula.


# %%
def count(s: Shape) -> int:
    """Trained parameters of the model, a shared matrix once."""
    with torch.device("meta"):
        return sum(p.numel() for p in GPT(s).parameters())


def formula(s: Shape) -> int:
    """The same number without building anything."""
    C, bias = s.width, s.bias
    norm = (1 + bias) * C
    attention = 4 * C**2 + bias * C + (bias and s.gpt2) * 3 * C
    ffn = 8 * C**2 + bias * 5 * C
    head = 0 if s.gpt2 else (C + bias) * s.vocab
    # (V + T) C + L (attention + ffn + 2 norms) + last norm + head
    blocks = s.layers * (attention + ffn + 2 * norm)
    return (s.vocab + s.context) * C + blocks + norm + head


LECTURE = Shape(context=256, layers=6, heads=6, width=384, dropout=0.2)
COLAB = Shape(context=32, layers=4, heads=4, width=64)
TINY = Shape(context=32, layers=2, heads=4, width=32)
SMALL = Shape(context=1024, layers=12, heads=12, width=768, vocab=50257, gpt2=True)
GPT2 = {
    "small": SMALL,
    "medium": replace(SMALL, layers=24, heads=16, width=1024),
    "large": replace(SMALL, layers=36, heads=20, width=1280),
    "xl": replace(SMALL, layers=48, heads=25, width=1600),
}
# the shape, examples in a batch, learning rate
SIZES = {"tiny": (TINY, 16, 1e-2), "colab": (COLAB, 16, 1e-3)}
SIZES["lecture"] = LECTURE, 64, 3e-4

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
    model: nn.Module,
    ids: Tensor,
    context: int,
    batch: int,
    rate: float,
    seed: int,
    rank: int = 0,
    world: int = 1,
) -> Iterator[float]:
    """Train the model in place, a step per turn: yields the loss before each update.

    ids: (N,) the text. Process `rank` of `world` takes every world-th example. Where
    there are several, the model is one that averages gradients over the processes.
    """
    if batch % world:
        raise ValueError(f"batch must be a multiple of {world} processes, got {batch}")
    if len(ids) <= context:
        raise ValueError(f"text must be over {context} letters, got {len(ids)}")
    state = [(p, torch.zeros_like(p), torch.zeros_like(p)) for p in model.parameters()]
    rng, step = torch.Generator().manual_seed(seed), 0
    window = torch.arange(context + 1)  # (T + 1,)
    while True:
        step += 1
        starts = torch.randint(len(ids) - context, (batch,), generator=rng)  # (batch,)
        at = starts[rank::world, None] + window  # (batch / world, T + 1)
        x = ids[at.to(ids.device)]  # (batch / world, T + 1)
        loss = F.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        loss.backward()
        for p, m, v in state:
            adamw(p, m, v, step, rate)
        yield loss.item()


@torch.no_grad()
def text_loss(model: GPT, ids: Tensor) -> float:
    """Mean loss on a text (N,) in nats per letter, in pieces as long as the context."""
    model.eval()
    total = 0.0
    for start in range(0, len(ids) - 1, model.context):
        x = ids[start : start + model.context + 1]  # (T + 1,), the last may be shorter
        logits = model(x[None, :-1])[0]  # (T, V)
        total += F.cross_entropy(logits, x[1:], reduction="sum").item()
    model.train()
    return total / (len(ids) - 1)


@torch.no_grad()
def write(model: GPT, ids: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """Draw n symbols to follow ids (T,): (T + n,)."""
    model.eval()
    for _ in range(n):
        logits = model(ids[None, -model.context :])[0, -1]  # (V,)
        draw = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=rng)  # (1,)
        ids = torch.cat([ids, draw.to(ids)])
    return ids


# %% [markdown]
# ## A sonnet
# The last tenth of the text is held out, as in the lecture. Two lines to beat: the
# entropy of the text's letters, and that of a letter if the one before it is known.


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


def encode(text: str) -> tuple[Tensor, str]:
    """The text as indices (N,) into its own sorted alphabet, and that alphabet."""
    alphabet = "".join(sorted(set(text)))
    index = {letter: i for i, letter in enumerate(alphabet)}
    return torch.tensor([index[letter] for letter in text], dtype=torch.long), alphabet


def split(ids: Tensor, context: int) -> tuple[Tensor, Tensor]:
    """The first nine tenths (.,) to train on, the rest (.,) to judge by."""
    n = int(0.9 * len(ids))
    if n <= context or len(ids) - n < 2:
        got = f"got {len(ids)}: choose a smaller --size or a longer --text"
        raise ValueError(
            f"nine tenths of the text must be over {context} letters, {got}"
        )
    return ids[:n], ids[n:]


SEEDS, STEPS, EVERY = range(5), 150, 15


@cache
def curves(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Steps (K,), losses on what is trained on (K,) and on what is held out (K,)."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    ids, alphabet = encode(SONNET)
    shape, batch, rate = SIZES["tiny"]
    model = GPT(replace(shape, vocab=len(alphabet)))
    train, held_out = split(ids, shape.context)
    steps = training(model, train, shape.context, batch, rate, seed)
    rows = [(0, text_loss(model, train), text_loss(model, held_out))]
    for step in range(EVERY, STEPS + 1, EVERY):
        for _ in range(EVERY):
            next(steps)
        rows.append((step, text_loss(model, train), text_loss(model, held_out)))
    at, on_train, on_held_out = torch.tensor(rows, dtype=torch.float64).T  # (K,) each
    return at, on_train, on_held_out


def pair_entropy(ids: Tensor) -> float:
    """Nats per letter of a text (N,) for who knows the letter before, and no more."""
    pairs = torch.stack([ids[:-1], ids[1:]])  # (2, N - 1)
    _, joint = pairs.unique(dim=1, return_counts=True)  # (pairs that occur,)
    _, now = ids[:-1].unique(return_counts=True)  # (letters that occur,)

    def entropy(n: Tensor) -> float:
        p = n.double() / n.sum()  # (k,)
        return -(p * p.log()).sum().item()

    return entropy(joint) - entropy(now)


# %%
def draw_curves() -> None:
    """Loss against steps on the sonnet, on the part trained on and the part held out.

    Both start at 3.5. The training loss falls through the line of letter pairs and ends
    below 0.5. The held-out loss falls to about 2.6 and then rises above its start.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    runs = [curves(seed) for seed in SEEDS]
    for which, label in ((1, "trained on"), (2, "held out")):
        loss = torch.stack([run[which] for run in runs])  # (S, K)
        line = loss.median(dim=0).values
        ax.plot(runs[0][0], line, "-" if which == 1 else "--", label=label)
        ax.fill_between(runs[0][0], loss.amin(0), loss.amax(0), alpha=0.25, lw=0)
    pairs = pair_entropy(split(encode(SONNET)[0], TINY.context)[0])
    ax.axhline(pairs, color="C2", ls=":", label="letter pairs")
    ax.set(xlabel="step", ylabel="loss (nats per letter)", ylim=(0, None))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_curves()

# %% [markdown]
# ## Numbers
# The lecture's first batch is 4 times 8 letters of Shakespeare; its first model is a
# table of 65 by 65 normal numbers.


# %%
ALPHABET = "\n !$&',-.3:;?" + string.ascii_uppercase + string.ascii_lowercase
FIRST_BATCH = ("Let's hea", "for that ", "nt that h", "MEO:\nI pa")


def untrained_table() -> float:
    """Loss of the lecture's bigram table before training, on its first batch."""
    ids = torch.tensor([[ALPHABET.index(c) for c in row] for row in FIRST_BATCH])
    table = torch.randn(65, 65, generator=torch.Generator().manual_seed(1337))
    return F.cross_entropy(
        table[ids[:, :-1]].flatten(0, 1), ids[:, 1:].flatten()
    ).item()


def spread(name: str, values: Tensor) -> dict[str, float]:
    """Median and range of values (S,) over seeds, as three entries."""
    low, mid, high = values.amin(), values.median(), values.amax()
    summary = {"median": mid, "min": low, "max": high}
    return {f"{name}_{kind}": value.item() for kind, value in summary.items()}


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    ids, alphabet = encode(SONNET)
    train, _ = split(ids, TINY.context)
    bare = replace(SMALL, bias=False)
    out: dict[str, float] = {
        "letters": len(ALPHABET),
        "id_of_h": ALPHABET.index("h"),
        "untrained_table": untrained_table(),
        "ln_65": math.log(len(ALPHABET)),
        "parameters_lecture": count(LECTURE),
        "parameters_colab": count(COLAB),
        "parameters_tiny": count(replace(TINY, vocab=len(alphabet))),
        "parameters_block_384": formula(LECTURE) - formula(replace(LECTURE, layers=5)),
        "parameters_without_bias": count(bare),
        "block_without_bias": formula(bare) - formula(replace(bare, layers=11)),
        "embedding_percent": 100 * bare.vocab * bare.width / count(bare),
        "sonnet_ln_v": math.log(len(alphabet)),
        "sonnet_pairs": pair_entropy(train),
    }
    for name, shape in GPT2.items():
        out[f"parameters_gpt2_{name}"] = count(shape)
        out[f"millions_gpt2_{name}"] = formula(shape) / 1e6
    scores = torch.tensor([0.1, -0.2, 0.3, -0.2, 0.5], dtype=torch.float64)  # (5,)
    out["largest_weight"] = scores.softmax(0)[-1].item()
    out["largest_weight_times_8"] = (8 * scores).softmax(0)[-1].item()

    runs = torch.stack([torch.stack(curves(seed)) for seed in SEEDS])  # (S, 3, K)
    at, on_train, on_held_out = runs.unbind(dim=1)  # (S, K) each
    best = on_held_out.argmin(dim=1)  # (S,)
    out |= spread("before", on_train[:, 0])
    out |= spread("after_train", on_train[:, -1])
    out |= spread("after_held_out", on_held_out[:, -1])
    out |= spread("best_held_out", on_held_out.amin(dim=1))
    return out | spread("best_step", at[0, best])


# %% [markdown]
# ## Your own text
# `--text FILE` trains one model and lets it write. It starts from nothing each time and
# keeps no file. Where `torchrun` started several processes, each has its own part of
# every batch, and the first one reports.


# %%
def place(device: str, local_rank: int) -> torch.device:
    """The processor or the GPU to compute on; ValueError where there is no such GPU."""
    if device == "cpu":
        return torch.device("cpu")
    found = torch.cuda.device_count()
    if local_rank >= found:
        want = f"needs GPU number {local_rank}, but PyTorch sees {found}"
        raise ValueError(
            f"--device {device} {want}; use --device cpu, or fewer processes"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def train_and_write(
    text: str, size: str, steps: int, seed: int, device: str
) -> dict[str, float]:
    """Train on the text, print 400 letters that the model writes: the last losses."""
    if steps < 1 or seed < 0:
        raise ValueError(f"steps must be >= 1 and seed >= 0, got {steps} and {seed}")
    # torchrun tells each process its number, on all machines and on this one
    rank, local_rank = (int(os.environ.get(k, 0)) for k in ("RANK", "LOCAL_RANK"))
    world = int(os.environ.get("WORLD_SIZE", 1))
    at = place(device, local_rank)
    if size == "tiny":
        torch.set_num_threads(1)  # too little work to share
    shape, batch, rate = SIZES[size]
    ids, alphabet = encode(text)
    train, held_out = split(ids.to(at), shape.context)
    torch.manual_seed(seed)  # the same start everywhere
    model = GPT(replace(shape, vocab=len(alphabet))).to(at)
    torch.manual_seed(seed + rank)  # but dropout of one's own
    shared: nn.Module = model
    if world > 1:
        torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
        shared = nn.parallel.DistributedDataParallel(model)
    begin = shown = time.monotonic()
    losses = training(shared, train, shape.context, batch, rate, seed, rank, world)
    loss = out = math.nan
    for step in range(1, steps + 1):
        loss = next(losses)
        now = time.monotonic()
        tenth = step % max(1, steps // 10) == 0 or step == steps
        if rank == 0 and (tenth or now > shown + 10):
            shown, left = now, (now - begin) / step * (steps - step)
            out = text_loss(model, held_out) if tenth else out
            said = f"loss {loss:.3f}  held out {out:.3f}  {left:.0f} s to go"
            print(f"step {step:>6} of {steps}  {said}", flush=True)
    if world > 1:
        torch.distributed.barrier()  # the first may still be at its report
        torch.distributed.destroy_process_group()
    if rank:
        return {}
    rng = torch.Generator().manual_seed(seed)
    written = write(model, train[: shape.context], 400, rng)[shape.context :]
    print("".join(alphabet[i] for i in written.tolist()))
    return {"parameters": count(replace(shape, vocab=len(alphabet))), "loss": loss} | {
        "held_out_loss": out,
        "pair_entropy": pair_entropy(train.cpu()),
    }


def main(argv: Sequence[str]) -> dict[str, float]:
    """Without arguments the numbers of the page, with any the run they ask for."""
    parser = argparse.ArgumentParser(description="Train a GPT on letters, and sample.")
    parser.add_argument("--text", metavar="FILE", help="UTF-8 text (default: a sonnet)")
    parser.add_argument("--size", choices=SIZES, default="tiny", help="model (tiny)")
    parser.add_argument("--steps", type=int, default=500, help="updates (500)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (0)")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="(cpu)"
    )
    args = parser.parse_args(argv)
    if not argv and "RANK" not in os.environ:
        print(f"Training {len(SEEDS)} models on a sonnet, for some seconds.\n")
        return numbers()
    try:
        text = Path(args.text).read_text(encoding="utf-8") if args.text else SONNET
        return train_and_write(text, args.size, args.steps, args.seed, args.device)
    except (OSError, ValueError) as error:  # no such file, not UTF-8, bad argument
        parser.error(str(error))


# %%
if __name__ == "__main__":
    results = main(sys.argv[1:] if "__file__" in globals() else [])
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
