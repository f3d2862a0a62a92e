# %% [markdown]
r"""
# Two tasks that need selection

One Mamba block learns selective copying and induction from nothing, in two forms: as it
is, and with $\Delta$, $B$ and $C$ made from a constant, so that every token is treated
alike. Convolution, gate and number of weights are the same in both.

`python mamba_tasks.py --task copying --selects delta` trains one model in which only
$\Delta$ sees the token; `--device cuda` uses a GPU; under `torchrun --nproc-per-node 2
mamba_tasks.py --task induction --steps 1000` two processes share the work.

**Source:** Albert Gu and Tri Dao, *Mamba* (2023), Figure 2, section 4.1, Tables 1, 2
and 7, which Kola Ayonrinde, *Mamba Explained* (2024), explains.

| symbol | name | shape |
| --- | --- | --- |
| `b`, `l` | batch size, length | |
| $S$ | models trained side by side, one per seed | |
| $d$, $d_{in}$, $n$ (`D_MODEL`, `D_INNER`, `N`) | width, channels, states of each | |
| $\Delta_t$ (`delta`) | step size | $(b, l, d_{in})$ |
| $A$ (`A`, as `A_log`) | how the states decay | $(d_{in}, n)$ |
| $B_t, C_t$ (`B`, `C`) | what is written, what is read | $(b, l, n)$ |
| $h_t$ (`h`) | state | $(b, d_{in}, n)$ |

**Differs from the source:** one block of width 16 with 4 states in place of two of
width 64; 12 tokens with 2 to copy in place of 4,096 with 16; 240 updates in place of
400,000. There are 8 data tokens in place of 16, and induction is trained at length 12
in place of 256.

**Checked against:** Hugging Face's `MambaForCausalLM` with copied weights, a
convolution with one fixed kernel where nothing selects (1e-10 in float64), the training
of one model at a time without `vmap`, two processes against one.

**Takes:** about 10 s on one core.

**Varies with the machine:** training magnifies rounding: `copying_` by up to 20,
`induction_` by up to 40.
"""

# %%
import argparse
import math
import os
import sys
from collections.abc import Callable, Collection, Sequence
from functools import cache
from statistics import median

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

# %% [markdown]
# ## One block
# What `selects` names is made from the token. What it leaves out is made by the same
# weights from a constant: it is learned, but the same at every step.

# %%
DATA, MARK, QUESTION = 8, 8, 9  # tokens 0 to 7 are data; noise or special; question
D_MODEL, D_INNER, N, D_CONV = 16, 32, 4, 4
ALL = ("delta", "B", "C")


class OneBlock(nn.Module):
    """Token numbers -> logits of the next token, by a single Mamba block."""

    def __init__(self, selects: Collection[str] = ALL) -> None:
        super().__init__()
        if not set(selects) <= set(ALL):
            raise ValueError(f"selects is {list(selects)}, want some of {list(ALL)}")
        self.selects = selects
        self.embedding = nn.Embedding(DATA + 2, D_MODEL)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.norm, self.norm_f = (nn.RMSNorm(D_MODEL, eps=1e-5) for _ in range(2))
        self.in_proj = nn.Linear(D_MODEL, 2 * D_INNER, bias=False)
        self.conv1d = nn.Conv1d(
            D_INNER, D_INNER, D_CONV, groups=D_INNER, padding=D_CONV - 1
        )
        self.x_proj = nn.Linear(D_INNER, 1 + 2 * N, bias=False)
        self.dt_proj = nn.Linear(1, D_INNER)
        # softplus(bias) is log-uniform between 0.001 and 0.1
        delta = torch.empty(D_INNER).uniform_(math.log(1e-3), math.log(0.1)).exp()
        with torch.no_grad():
            self.dt_proj.bias.copy_(delta + (-torch.expm1(-delta)).log())  # (d_in,)
        # A_n = -(n + 1)
        self.A_log = nn.Parameter(torch.arange(1.0, N + 1).log().repeat(D_INNER, 1))
        self.D = nn.Parameter(torch.ones(D_INNER))
        self.out_proj = nn.Linear(D_INNER, D_MODEL, bias=False)

    def select(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (b, l, d_in) -> delta (b, l, d_in), B and C (b, l, n)."""
        by_token = self.x_proj(x).split([1, N, N], dim=-1)
        fixed = self.x_proj(torch.ones_like(x)).split([1, N, N], dim=-1)
        delta, B, C = (
            one if name in self.selects else other
            for name, one, other in zip(ALL, by_token, fixed, strict=True)
        )  # (b, l, 1), (b, l, n), (b, l, n)
        return F.softplus(self.dt_proj(delta)), B, C

    def forward(self, ids: Tensor) -> Tensor:
        """ids (b, l) -> logits (b, l, DATA + 2)."""
        stream = self.embedding(ids)  # (b, l, d)
        x, z = self.in_proj(self.norm(stream)).chunk(2, dim=-1)  # (b, l, d_in) each
        x = F.silu(self.conv1d(x.mT)[..., : x.shape[1]].mT)  # (b, l, d_in), causal
        delta, B, C = self.select(x)
        # A_bar = exp(delta A),  B_bar = delta B
        A_bar = (delta[..., None] * -self.A_log.exp()).exp()  # (b, l, d_in, n)
        B_bar_x = (delta * x)[..., None] * B[..., None, :]  # (b, l, d_in, n)
        h, states = torch.zeros_like(B_bar_x[:, 0]), []  # (b, d_in, n)
        for a, b in zip(A_bar.unbind(1), B_bar_x.unbind(1), strict=True):
            # h_t = A_bar_t h_{t-1} + B_bar_t x_t
            h = a * h + b  # (b, d_in, n)
            states.append(h)
        # y_t = C_t h_t + D x_t
        y = (torch.stack(states, 1) @ C[..., None])[..., 0] + self.D * x
        stream = stream + self.out_proj(y * F.silu(z))  # (b, l, d)
        return self.norm_f(stream) @ self.embedding.weight.T  # (b, l, DATA + 2)


# %% [markdown]
# ## The tasks
# **Selective copying:** two data tokens stand among noise, and at the end two questions
# ask for them in order. **Induction:** a special token stands somewhere, at the end it
# comes again, and what followed it is to be said. In both, where the answer stands is
# told by the tokens and not by the clock.


# %%
Draw = Callable[[int, int, torch.Generator], tuple[Tensor, Tensor]]


def copying(b: int, l: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences (b, l) that end in two questions, and their answers (b, 2).

    Raises ValueError if l is below 4.
    """
    if l < 4:
        raise ValueError(f"the length is {l}, want at least 4")
    ids = torch.full((b, l), MARK)  # (b, l)
    ids[:, -2:] = QUESTION
    places = torch.rand(b, l - 2, generator=rng).argsort(1)[:, :2]  # (b, 2)
    answers = torch.randint(DATA, (b, 2), generator=rng)  # (b, 2)
    return ids.scatter(1, places.sort(1).values, answers), answers


def induction(b: int, l: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences (b, l) that end in the special token, and their answers (b, 1).

    Raises ValueError if l is below 3.
    """
    if l < 3:
        raise ValueError(f"the length is {l}, want at least 3")
    ids = torch.randint(DATA, (b, l), generator=rng)  # (b, l)
    place = torch.randint(l - 2, (b, 1), generator=rng)  # (b, 1)
    ids = ids.scatter(1, place, MARK)  # (b, l)
    ids[:, -1] = MARK
    return ids, ids.gather(1, place + 1)  # (b, 1)


TASKS: dict[str, Draw] = {"copying": copying, "induction": induction}

# %% [markdown]
# ## Training
# All seeds at once: their weights are stacked, and `vmap` runs the models side by side
# for little more than the time of one. Each sees its own data, and Adam treats each
# number alone, so the models do not touch.
#
# Under `torchrun` every process draws the same batches, takes its own share of each and
# averages its gradients with those of the others. The shares are equal, so this is the
# training of one process, up to rounding.

# %%
SEEDS, STEPS, LENGTH = range(5), 240, 12


def loss_of(model: Callable[[Tensor], Tensor], ids: Tensor, answers: Tensor) -> Tensor:
    """Cross-entropy in nats at the last k places: ids (b, l), answers (b, k)."""
    logits = model(ids)[:, -answers.shape[1] :]  # (b, k, DATA + 2)
    return F.cross_entropy(logits.flatten(0, 1), answers.flatten())


def train(
    task: str,
    selects: Collection[str] = ALL,
    seeds: Sequence[int] = SEEDS,
    steps: int = STEPS,
    l: int = LENGTH,
    device: str = "cpu",
    batch: int = 16,
) -> list[OneBlock]:
    """One trained model per seed. Raises ValueError for an unknown task, where there is
    nothing to do, or the batch cannot be shared equally among the processes.
    """
    if task not in TASKS:
        raise ValueError(f"task is {task!r}, want one of {list(TASKS)}")
    torch.set_num_threads(1)
    rank, world = (
        (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    )
    if steps < 1 or batch % world:
        got = f"steps is {steps}, batch {batch}"
        raise ValueError(f"{got}: want at least 1, a multiple of {world} processes")
    models, rngs = [], [torch.Generator().manual_seed(seed) for seed in seeds]
    for seed in seeds:
        torch.manual_seed(seed)
        models.append(OneBlock(selects).to(device))
    stacked, _ = stack_module_state(models)  # each weight with S in front
    adam = torch.optim.Adam(stacked.values(), 0.01, betas=(0.9, 0.99), fused=True)

    def loss(weights: dict[str, Tensor], ids: Tensor, answers: Tensor) -> Tensor:
        return loss_of(lambda x: functional_call(models[0], weights, x), ids, answers)

    for _ in range(steps):
        drawn = [TASKS[task](batch, l, rng) for rng in rngs]
        ids, answers = (
            torch.stack(part)[:, rank::world].to(device)
            for part in zip(*drawn, strict=True)
        )  # (S, b / world, l) and (S, b / world, k)
        adam.zero_grad()
        vmap(loss)(stacked, ids, answers).sum().backward()
        for w in stacked.values() if world > 1 else ():
            dist.all_reduce(w.grad)
            w.grad /= world
        adam.step()
    for i, model in enumerate(models):
        model.load_state_dict({name: w[i] for name, w in stacked.items()})
    return models


@torch.no_grad()
def measure(model: OneBlock, task: str, l: int) -> tuple[float, float]:
    """Loss in nats and percent of the answers right, on 300 fresh sequences."""
    fresh = TASKS[task](300, l, torch.Generator().manual_seed(1000))
    ids, answers = (part.to(model.D.device) for part in fresh)  # (300, l), (300, k)
    said = model(ids)[:, -answers.shape[1] :].argmax(-1)  # (300, k)
    percent = 100 * (said == answers).double().mean().item()
    return loss_of(model, ids, answers).item(), percent


@torch.no_grad()
def percent_of_the_two(model: OneBlock, l: int) -> float:
    """Percent of the answers to copying that are one of the two data tokens."""
    ids, answers = copying(300, l, torch.Generator().manual_seed(1000))
    said = model(ids)[:, -2:].argmax(-1)  # (300, 2)
    hit = (said == answers) | (said == answers.flip(1))  # (300, 2)
    return 100 * hit.double().mean().item()


@cache
def run(task: str, selective: bool) -> list[OneBlock]:
    """The five models of one of the page's four runs."""
    return train(task, ALL if selective else ())


# %% [markdown]
# ## Figures


# %%
def draw_tasks() -> None:
    """Answers right against the length, 12 to 96 tokens, five lines each. Left,
    copying: at length 12, where they were trained, the selective models are near 100 %,
    the fixed ones near 70. Right, induction: the selective ones stay near 100 % beyond
    the length they were trained at, the fixed ones fall towards guessing, 12.5 %.
    """
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
    lengths = (12, 24, 48, 96)
    for ax, task in zip(axes, TASKS, strict=True):
        for selective, color in ((True, "C0"), (False, "C1")):
            for seed, model in zip(SEEDS, run(task, selective), strict=True):
                label = ("selective" if selective else "fixed") if seed == 0 else None
                shares = [measure(model, task, l)[1] for l in lengths]
                ax.plot(lengths, shares, color=color, marker=".", label=label)
        ax.axhline(100 / DATA, color="C5", linestyle=":", label="guessing")
        ax.set(title=task, xlabel="length", xscale="log", ylim=(0, 104))
        ax.set_xticks(lengths, [str(l) for l in lengths])
        ax.minorticks_off()
    axes[0].set(ylabel="answers right, %")
    axes[1].legend()


# %% tags=["active-ipynb"]
# draw_tasks()

# %% [markdown]
# ## Numbers


# %%
def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median and range over seeds, as three entries."""
    kinds = {"median": median(values), "min": min(values), "max": max(values)}
    return {f"{name}_{kind}": float(value) for kind, value in kinds.items()}


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    weights = sum(p.numel() for p in OneBlock().parameters())
    out: dict[str, float] = {"weights": weights, "guessing_percent": 100 / DATA}
    for task in TASKS:
        for selective, kind in ((True, "selective"), (False, "fixed")):
            for l in (LENGTH, 4 * LENGTH):
                shares = [measure(m, task, l)[1] for m in run(task, selective)]
                out |= spread(f"{task}_{kind}_l{l}_percent", shares)
    of_the_two = [percent_of_the_two(m, LENGTH) for m in run("copying", False)]
    return out | spread("copying_fixed_l12_of_the_two_percent", of_the_two)


# %% [markdown]
# ## One model, on the device of your choice


# %%
def main(argv: Sequence[str]) -> dict[str, float]:
    """Without arguments the numbers of the page, with any the run they ask for."""
    parser = argparse.ArgumentParser(description="Train one Mamba block on a task.")
    parser.add_argument("--task", choices=tuple(TASKS), default="copying")
    parser.add_argument("--selects", nargs="*", choices=ALL, default=ALL)
    parser.add_argument("--steps", type=int, default=STEPS, help="updates (240)")
    parser.add_argument("--length", type=int, default=LENGTH, help="tokens (12)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (0)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args(argv)
    launched = "WORLD_SIZE" in os.environ  # by torchrun, with others beside
    if not argv and not launched:
        print("Training 20 models on two tasks, for some seconds.\n")
        return numbers()
    task, l, device = args.task, args.length, args.device
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        torch.cuda.set_device(device)
    if launched:
        dist.init_process_group("nccl" if args.device == "cuda" else "gloo")
    try:
        model = train(task, args.selects, [args.seed], args.steps, l, device)[0]
    except ValueError as error:
        parser.error(str(error))
    if launched:
        dist.barrier()
        dist.destroy_process_group()
    if os.environ.get("RANK", "0") != "0":  # all have the same model
        return {}
    loss, percent = measure(model, task, l)
    longer = measure(model, task, 4 * l)[1]
    return {"nats": loss, "percent": percent, "longer_percent": longer}


# %%
if __name__ == "__main__":
    results = main(sys.argv[1:] if "__file__" in globals() else [])
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
