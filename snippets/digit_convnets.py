# %% [markdown]
r"""
# Nine networks for handwritten digits

A ladder: each rung changes one idea of the rung below it and is trained and tested on
the same images. From one hidden layer over convolution, pooling, rectified linear
units, shifted copies of the images, more and wider layers and dropout to a vote of
five networks. The source's ladder for MNIST, cut to fit small digits, with five seeds.

**Source:** Michael A. Nielsen, *Neural Networks and Deep Learning* (2015), chapter 6,
section “Convolutional neural networks in practice”, and its program network3.py.

| symbol | name | shape |
| --- | --- | --- |
| $S, B$ | networks side by side, one per seed; images in a mini-batch | |
| $x$ (`x`) | images | $(S, B, \text{side}, \text{side})$ |
| $w, b$ | weights and biases of a layer, one set per seed | below |
| $\eta$ (`eta`), $\lambda$ (`lam`) | learning rate, weight of the L2 penalty | |
| $m$ | mini-batches in the training set | |
| $p$ (`dropout`) | chance that an input of a dense layer is dropped | |

**Differs from the source:** scikit-learn's 8 × 8 digits for MNIST, and networks cut
to fit: fields of 3 and 2 pixels for 5 and 5, the second block without pooling, half of
the filters, 50 and 150 units for 100 and 1,000, batches of 20. Each rung has 600
updates, so that shifted copies bring new images and not more steps; dropout comes
alone. Weights have the deviation $4/\sqrt n$ (sigmoid) or $\sqrt{2/n}$ (ReLU) for $n$
inputs, biases start at zero; the source has $1/\sqrt{n_{out}}$ and normal biases.

**Checked against:** `torch.nn` layers in a loop over the seeds, `torch.optim.SGD` with
weight decay and `torch.nn.functional.cross_entropy` (1e-10 in float64).

**Takes:** about 11 s on one core.

**Varies with the machine:** what is measured after training, since each processor
rounds in its own way and training magnifies that: `accuracy` by up to 6, `gain` by up
to 8.
"""

# %%
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

Layer = tuple[torch.Tensor, torch.Tensor]  # weights and biases
Part = tuple[torch.Tensor, torch.Tensor]  # images (N, side, side), labels (N)

# %% [markdown]
# ## A network
# A block is a convolution, max pooling and the activation. Then come dense layers, and
# ten scores. Dropout hides *inputs* of dense layers, as in network3.py: the first mask
# lies on the pooled maps. When the network is tested nothing is hidden, and each input
# is multiplied by $1 - p$, its mean share during training.


# %%
@dataclass(frozen=True)
class Net:
    """A rung: the network and how it is trained."""

    conv: tuple[tuple[int, int, int], ...]  # of each block: filters, field, pooling
    dense: tuple[int, ...]  # units of each dense layer
    relu: bool = False  # or sigmoid
    eta: float = 0.1
    lam: float = 0.0
    shifted: bool = False  # four shifted copies of every training image too
    dropout: float = 0.0


def forward(
    net: Net,
    layers: Sequence[Layer],
    x: torch.Tensor,
    rngs: Sequence[torch.Generator] = (),
) -> torch.Tensor:
    """Scores (S, B, 10) of images x (S, B, side, side); with rngs, one per network,
    inputs of dense layers are dropped, without them scaled."""
    S, B = x.shape[:2]
    act = torch.relu if net.relu else torch.sigmoid
    h = x.transpose(0, 1)  # (B, S, side, side): a channel for each network
    for (_, _, pool), (w, b) in zip(net.conv, layers, strict=False):
        # z_jk = b + sum_lm w_lm a_(j+l, k+m)      (eq. 125, before sigma)
        z = F.conv2d(h, w.flatten(0, 1), b.flatten(), groups=S)  # (B, S * K, j, k)
        h = act(F.max_pool2d(z, pool))  # (B, S * K, j / pool, k / pool)
    h = h.reshape(B, S, -1).transpose(0, 1)  # (S, B, n)
    for w, b in layers[len(net.conv) :]:
        if rngs and net.dropout:
            coins = torch.stack([torch.rand(h.shape[1:], generator=g) for g in rngs])
            h = h * (coins >= net.dropout)  # (S, B, n)
        else:
            h = h * (1 - net.dropout)  # (S, B, n)
        scores = torch.baddbmm(b, h, w)  # (S, B, units)
        h = act(scores)  # (S, B, units)
    return scores


# %% [markdown]
# ## Its parameters


# %%
def shapes(net: Net, side: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Shapes of weights and biases, layer by layer, for images of side x side.

    Raises:
        ValueError: a field does not fit, or a pooling leaves a rest.
    """
    out, maps = [], 1
    for filters, field, pool in net.conv:
        places = side - field + 1
        if places < 1 or places % pool:
            raise ValueError(
                f"conv: a field of {field} on {side} pixels leaves {places} places, "
                f"expected a positive multiple of {pool}"
            )
        out.append(((filters, maps, field, field), (filters,)))
        side, maps = places // pool, filters
    n = maps * side * side
    for units in (*net.dense, 10):
        out.append(((n, units), (1, units)))
        n = units
    return out


def parameters(net: Net, side: int) -> int:
    """Weights and biases of one network."""
    return sum(int(np.prod(w) + np.prod(b)) for w, b in shapes(net, side))


def init(net: Net, side: int, rngs: Sequence[torch.Generator]) -> list[Layer]:
    """Layers of S networks; all scores start at zero: a chance of 1/10 each."""
    layers = []
    for w, b in shapes(net, side):
        n = w[0] if len(w) == 2 else w[1] * w[2] * w[3]  # inputs of a unit
        deviation = (2 if net.relu else 16) ** 0.5 / n**0.5
        draws = torch.stack([torch.randn(w, generator=g) for g in rngs])  # (S, *w)
        layers.append((draws * deviation, torch.zeros(len(rngs), *b)))
    layers[-1][0].zero_()
    return layers


# %% [markdown]
# ## Training
# One update is a step against the gradient of the mean cross-entropy of a mini-batch,
# and a shrinking of the weights. network3.py divides $\lambda$ by the number $m$ of
# mini-batches, where chapter 3 of the book divides by the number of images.


# %%
def update(
    net: Net,
    layers: Sequence[Layer],
    x: torch.Tensor,
    y: torch.Tensor,
    m: int,
    rngs: Sequence[torch.Generator] = (),
) -> None:
    """One step of S networks, in place; x (S, B, side, side), y (S, B)."""
    leaves = [leaf.requires_grad_() for layer in layers for leaf in layer]
    scores = forward(net, layers, x, rngs)  # (S, B, 10)
    # C = -1/B sum ln a_y, summed over the networks: each sees its own part only
    nats = F.cross_entropy(scores.flatten(0, 1), y.flatten(), reduction="sum")
    grads = torch.autograd.grad(nats / y.shape[1], leaves)
    with torch.no_grad():
        for w in leaves[::2]:
            # w <- (1 - eta lambda / m) w - eta dC/dw;   b <- b - eta dC/db
            w *= 1 - net.eta * net.lam / m
        torch._foreach_add_(leaves, grads, alpha=-net.eta)


def shifted_copies(x: torch.Tensor) -> torch.Tensor:
    """Images (N, H, W), then all of them moved by a pixel down, up, right and left;
    the row or column that becomes free is zero: (5 N, H, W)."""
    p = F.pad(x, (1, 1, 1, 1))  # (N, H + 2, W + 2)
    H, W = x.shape[1:]
    corners = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    return torch.cat([p[:, i : i + H, j : j + W] for i, j in corners])  # (5 N, H, W)


@torch.no_grad()
def predict(net: Net, layers: Sequence[Layer], x: torch.Tensor) -> torch.Tensor:
    """The digit with the highest score: (S, N) for images x (N, side, side)."""
    S = len(layers[0][0])
    parts = [
        forward(net, layers, part.expand(S, *part.shape)).argmax(dim=2)  # (S, 1000)
        for part in x.split(1000)
    ]
    return torch.cat(parts, dim=1)  # (S, N)


def train(
    net: Net,
    parts: Sequence[Part],
    seeds: Sequence[int],
    epochs: int,
    batch: int,
    per_epoch: int = 0,
) -> torch.Tensor:
    """Digits (S, N) that S networks see in the test images.

    parts: images to train on, to validate on, to test on. As in the source, the order
    of the images is drawn once, and the test images are shown to each network as it was
    when it last did best on the validation images, seen after every epoch.
    per_epoch: updates in an epoch, if not once through all images.

    Raises:
        ValueError: epochs below 1, or a batch that is empty or larger than the data.
    """
    (x, y), (x_val, y_val), (x_test, _) = parts
    if net.shifted:
        x, y = shifted_copies(x), y.repeat(5)  # (5 N, side, side), (5 N)
    if epochs < 1 or not 1 <= batch <= len(x):
        raise ValueError(
            f"expected epochs >= 1 and a batch of 1 to {len(x)} images, "
            f"got {epochs} and {batch}"
        )
    rngs = [torch.Generator().manual_seed(seed) for seed in seeds]
    layers = init(net, x.shape[-1], rngs)
    order = torch.stack([torch.randperm(len(x), generator=g) for g in rngs])  # (S, N)
    kept = [(w.clone(), b.clone()) for w, b in layers]
    m, best, step = len(x) // batch, torch.zeros(len(rngs)), 0
    for _ in range(epochs):
        for _ in range(per_epoch or m):
            picked = order[:, step % m * batch :][:, :batch]  # (S, B)
            update(net, layers, x[picked], y[picked], m, rngs)
            step += 1
        right = (predict(net, layers, x_val) == y_val).float().mean(dim=1)  # (S)
        now = right >= best  # no epoch before was better  (S)
        best = torch.maximum(best, right)
        with torch.no_grad():
            for old, new in zip(kept, layers, strict=True):
                old[0][now], old[1][now] = new[0][now], new[1][now]
    return predict(net, kept, x_test)  # (S, N)


def vote(seen: torch.Tensor) -> torch.Tensor:
    """The digit (N) that most of S networks see (S, N); of equals the smallest."""
    return F.one_hot(seen, 10).sum(dim=0).argmax(dim=1)  # (N)


# %% [markdown]
# ## The ladder
# The eight networks that are trained; the ninth rung is a vote of five on the eighth.

# %%
LADDER = [Net((), (50,), eta=1.0)]
for change in (
    {"conv": ((10, 3, 2),)},
    {"conv": ((10, 3, 2), (20, 2, 1))},
    {"relu": True, "eta": 0.2, "lam": 0.01},
    {"shifted": True},
    {"dense": (150,)},
    {"dense": (150, 150)},
    {"dropout": 0.5, "lam": 0.0},
):
    LADDER.append(replace(LADDER[-1], **change))


# %% [markdown]
# ## Images
# scikit-learn's digits, shuffled once.


# %%
@functools.cache
def digits() -> list[Part]:
    """8 x 8 digits, shuffled: 200 to train on, 297 to validate on, 1,300 to test on."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x = torch.tensor(images[order] / 16, dtype=torch.float32)  # (1797, 64), 0 to 1
    y = torch.tensor(labels[order], dtype=torch.int64)  # (1797)
    sizes = (200, 297, 1300)
    return list(zip(x.reshape(-1, 8, 8).split(sizes), y.split(sizes), strict=True))


# %% [markdown]
# ## The climb
# Every rung gets the same 600 updates: the unshifted images pass 60 times, as in the
# source, the shifted ones 12 times.


# %%
SEEDS, UPDATES, BATCH, CHECKS = range(5), 600, 20, 6


@functools.cache
def climb() -> list[torch.Tensor]:
    """What the five networks of each rung see in the test images: 8 times (S, N)."""
    torch.set_num_threads(1)
    return [
        train(net, digits(), SEEDS, CHECKS, BATCH, UPDATES // CHECKS) for net in LADDER
    ]


def accuracies() -> list[np.ndarray]:
    """Ours in percent: the five seeds' on rungs 1 to 8, the vote's on the ninth."""
    y = digits()[2][1]  # (N)
    ways = [*climb(), vote(climb()[-1])[None]]
    return [100 * (seen == y).double().mean(dim=1).numpy() for seen in ways]


def draw_ladder() -> None:
    """Wrong answers in percent on nine rungs, logarithmic, a point for each of five
    seeds: between 4 and 11 on rungs 1 to 7, without a trend; 20 and more on rung 8,
    with dropout; the vote on rung 9 lies below all of its voters.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    rungs = np.arange(1, 10)  # (9)
    for rung, right in zip(rungs, accuracies(), strict=True):
        ax.plot(np.full(right.size, rung), 100 - right, "C0o", ms=4, alpha=0.6)
    medians = [100 - np.median(right) for right in accuracies()]
    ax.step(rungs, medians, where="mid", color="C0", alpha=0.4)
    names = ("dense", "conv", "conv²", "ReLU", "shifts", "wide", "deep", "drop", "vote")
    ax.set(xlabel="rung", ylabel="wrong on test images (%)", yscale="log")
    ax.set_xticks(rungs, [f"{i}\n{name}" for i, name in zip(rungs, names, strict=True)])
    ax.set_yticks((5, 10, 20, 40), ("5", "10", "20", "40"))
    ax.minorticks_off()


# %% tags=["active-ipynb"]
# draw_ladder()

# %% [markdown]
# ## Numbers


# %%
def spread(name: str, values: np.ndarray) -> dict[str, float]:
    """Median and range."""
    kinds = {"median": np.median, "min": np.min, "max": np.max}
    return {f"{name}_{kind}": float(of(values)) for kind, of in kinds.items()}


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    right = accuracies()
    out: dict[str, float] = {"test_images": len(digits()[2][1])}
    for rung, (net, now) in enumerate(zip(LADDER, right[:8], strict=True), start=1):
        out[f"parameters_{rung}"] = parameters(net, 8)
        out |= spread(f"accuracy_{rung}", now)
        if rung > 1:
            out |= spread(f"gain_{rung}", now - right[rung - 2])
    out["accuracy_of_vote"] = right[8][0]
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
