# %% [markdown]
r"""
# A ladder of networks for MNIST

Eight networks for handwritten digits at the source's own sizes, each one idea further
than the last, written with the layers of today's PyTorch. They are counted here; with
the four files of MNIST on disk, `python mnist_ladder.py --mnist FOLDER --rung 3` trains
one of them.

**Source:** Michael A. Nielsen, *Neural Networks and Deep Learning* (2015), chapter 6,
section “Convolutional neural networks in practice”, and its program network3.py.

| symbol | name | shape |
| --- | --- | --- |
| $B$ | images in a mini-batch | |
| $x$ (`x`) | images, from 0 to 1 | $(B, 1, 28, 28)$ |
| $y$ (`y`) | their digits | $(B)$ |
| $\eta$ (`eta`), $\lambda$ (`lam`) | learning rate, weight of the L2 penalty | |
| $m$ (`m`) | mini-batches in the training set | |

**Differs from the source:** dropout scales during training and not in tests, as is
usual now. Weights have the deviation $4/\sqrt n$ (sigmoid) or $\sqrt{2/n}$ (ReLU) for
$n$ inputs, biases start at zero; the source has $1/\sqrt{n_{out}}$ and normal biases.

**Checked against:** a loop with `torch.nn.functional.conv2d` and gradients by
`torch.func.grad` (1e-10 in float64), and counts by hand.

**Takes:** about 3 s on one core, most of it for loading PyTorch.
"""

# %%
import argparse
import gzip
import math
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

Part = tuple[torch.Tensor, torch.Tensor]  # images (N, 1, 28, 28), digits (N)


# %%
@dataclass(frozen=True)
class Rung:
    """A network and how it is trained."""

    maps: tuple[int, ...]  # of each block: 5 x 5 filters, then 2 x 2 pooling
    dense: tuple[int, ...]  # units of each dense layer
    relu: bool = False  # or sigmoid
    eta: float = 0.1
    lam: float = 0.0
    shifted: bool = False  # four shifted copies of every training image too
    dropout: float = 0.0  # chance that an input of a dense layer is hidden
    epochs: int = 60


def network(rung: Rung) -> nn.Sequential:
    """Scores (B, 10) of images (B, 1, 28, 28); dropout hides inputs of dense layers."""
    act = nn.ReLU if rung.relu else nn.Sigmoid
    parts: list[nn.Module] = []
    n, side = 1, 28
    for maps in rung.maps:
        # (B, n, side, side) -> (B, maps, side - 4, side - 4) -> half of that side
        parts += [nn.Conv2d(n, maps, 5), nn.MaxPool2d(2), act()]
        n, side = maps, (side - 4) // 2
    parts.append(nn.Flatten())  # (B, n side side)
    n *= side * side
    for units in rung.dense:
        parts += [nn.Dropout(rung.dropout), nn.Linear(n, units), act()]  # (B, units)
        n = units
    return nn.Sequential(*parts, nn.Dropout(rung.dropout), nn.Linear(n, 10))


def parameters(model: nn.Module) -> int:
    """Weights and biases."""
    return sum(p.numel() for p in model.parameters())


# %% [markdown]
# ## The ladder
# The ninth rung is a vote of five networks of the eighth.

# %%
LADDER = [Rung((), (100,))]
for change in (
    {"maps": (20,)},
    {"maps": (20, 40)},
    {"relu": True, "eta": 0.03, "lam": 0.1},
    {"shifted": True},
    {"dense": (1000,)},
    {"dense": (1000, 1000)},
    {"dropout": 0.5, "lam": 0.0, "epochs": 40},
):
    LADDER.append(replace(LADDER[-1], **change))


# %% [markdown]
# ## Training


# %%
@torch.no_grad()
def init(model: nn.Module, relu: bool, rng: torch.Generator) -> None:
    """Weights by their number of inputs; the scores start at zero: 1/10 for each."""
    layers = [
        part for part in model.modules() if isinstance(part, nn.Conv2d | nn.Linear)
    ]
    for layer in layers:
        n = layer.weight[0].numel()  # inputs of a unit
        layer.weight.normal_(0, math.sqrt((2 if relu else 16) / n), generator=rng)
        layer.bias.zero_()
    layers[-1].weight.zero_()


def optimizer(model: nn.Module, rung: Rung, m: int) -> torch.optim.SGD:
    """Plain descent; the penalty shrinks weights and leaves biases alone."""
    # w <- (1 - eta lambda / m) w - eta dC/dw;   b <- b - eta dC/db
    weights = [p for p in model.parameters() if p.dim() > 1]
    biases = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": weights, "weight_decay": rung.lam / m}, {"params": biases}]
    return torch.optim.SGD(groups, lr=rung.eta)


def shifted_copies(x: torch.Tensor) -> torch.Tensor:
    """Images (N, 1, H, W), then all of them moved by a pixel down, up, right and left;
    the row or column that becomes free is zero: (5 N, 1, H, W)."""
    p = F.pad(x, (1, 1, 1, 1))  # (N, 1, H + 2, W + 2)
    H, W = x.shape[2:]
    corners = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    return torch.cat([p[..., i : i + H, j : j + W] for i, j in corners])


@torch.no_grad()
def accuracy(model: nn.Module, part: Part) -> float:
    """Share of images answered rightly, in percent, without dropout."""
    model.eval()
    seen = torch.cat([model(x).argmax(1) for x in part[0].split(1000)])  # (N)
    model.train()
    return 100 * float((seen == part[1]).double().mean())


def train(
    rung: Rung,
    parts: Sequence[Part],
    seed: int,
    batch: int,
    tell: Callable[[str], object] = print,
) -> float:
    """Test accuracy of the epoch that did best in validation, in percent.

    parts: images to train on, to validate on, to test on. As in the source their order
    is drawn once. tell: called with a line after each epoch.

    Raises:
        ValueError: no epoch, or a batch that is empty or larger than the data.
    """
    (x, y), validation, test = parts
    if rung.shifted:
        x, y = shifted_copies(x), y.repeat(5)  # (5 N, 1, 28, 28), (5 N)
    if rung.epochs < 1 or not 1 <= batch <= len(x):
        raise ValueError(
            f"expected epochs >= 1 and a batch of 1 to {len(x)} images, "
            f"got {rung.epochs} and {batch}"
        )
    torch.manual_seed(seed)  # for dropout, which takes no generator
    rng = torch.Generator().manual_seed(seed)
    model = network(rung)
    init(model, rung.relu, rng)
    order = torch.randperm(len(x), generator=rng)  # (N)
    m, best, kept = len(x) // batch, 0.0, 0.0
    descent = optimizer(model, rung, m)
    for epoch in range(1, rung.epochs + 1):
        for picked in order[: m * batch].split(batch):  # (B)
            descent.zero_grad()
            # C = -1/B sum ln a_y
            F.cross_entropy(model(x[picked]), y[picked]).backward()
            descent.step()
        right = accuracy(model, validation)
        if right >= best:  # the last of equals, as in the source
            best, kept = right, accuracy(model, test)
        tell(f"epoch {epoch}: validation {right:.2f} %, test at the best {kept:.2f} %")
    return kept


# %% [markdown]
# ## The files of MNIST
# A file of the format IDX has two zero bytes, 8 for bytes, the number of axes, the
# length of each axis in four bytes, and then the data.


# %% IDX files
def read_idx(path: Path) -> np.ndarray:
    """The bytes in an IDX file, or in the gzip file path + ".gz", as an array.

    Raises:
        ValueError: neither file is there, or it is damaged or of another kind.
    """
    packed = path.with_name(path.name + ".gz")
    if not path.is_file() and not packed.is_file():
        raise ValueError(f"{path.parent}: neither {path.name} nor {packed.name} there")
    path = path if path.is_file() else packed
    data = path.read_bytes()
    try:
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: damaged gzip file: {error}") from None
    start = 4 + 4 * data[3] if data[:3] == b"\0\0\x08" and len(data) > 3 else 0
    if not 4 < start <= len(data):
        raise ValueError(f"{path}: not an IDX file of bytes, it begins {data[:4]!r}")
    shape = np.frombuffer(data[4:start], ">u4").tolist()  # (axes), big-endian
    if math.prod(shape) != len(data) - start:
        raise ValueError(f"{path}: {len(data) - start} bytes of data for axes {shape}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def mnist(folder: Path) -> list[Part]:
    """50,000 images to train on, 10,000 to validate on, 10,000 to test on: the last
    sixth of the training files validates.

    Raises:
        ValueError: a file is missing, damaged, or not of 28 x 28 images and digits.
    """
    parts = []
    for name in ("train", "t10k"):
        x = read_idx(folder / f"{name}-images-idx3-ubyte")
        y = read_idx(folder / f"{name}-labels-idx1-ubyte")
        if x.shape != (y.size, 28, 28) or y.size < 6 or y.max() > 9:
            raise ValueError(
                f"{folder}: expected at least six images of 28 x 28 in {name}, each "
                f"with a digit from 0 to 9, got images {x.shape} and labels {y.shape}"
            )
        images = torch.tensor(x / np.float32(255))[:, None]  # (N, 1, 28, 28)
        parts.append((images, torch.tensor(y, dtype=torch.int64)))
    (images, digits), test = parts
    n = len(images) - len(images) // 6
    return [(images[:n], digits[:n]), (images[n:], digits[n:]), test]


# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {}
    models = [network(rung) for rung in LADDER]
    for number, model in enumerate(models, start=1):
        out[f"parameters_{number}"] = parameters(model)
    out["parameters_9"] = 5 * out["parameters_8"]
    for dense in ((300,), (100, 100), (300, 300)):
        name = "_".join(map(str, dense))
        out[f"parameters_dense_{name}"] = parameters(
            network(replace(LADDER[4], dense=dense))
        )
    x = torch.zeros(1, 1, 28, 28)
    conv, pool = models[1][:2]
    out["places"], out["pooled"] = conv(x).shape[-1], pool(conv(x)).shape[-1]
    out["layer_parameters"] = parameters(conv)
    out["map_parameters"] = parameters(conv) / conv.out_channels
    out["dense_30_parameters"] = parameters(network(Rung((), (30,)))) - 30 * 10 - 10
    out["saved_times"] = out["dense_30_parameters"] / out["layer_parameters"]
    for number in (2, 3):
        dense = next(p for p in models[number - 1] if isinstance(p, nn.Linear))
        out[f"dense_inputs_{number}"] = dense.in_features
    out["expanded"] = len(shifted_copies(torch.zeros(50_000, 1, 1, 1)))
    # network3.py divides lambda by n / 10 mini-batches, chapter 3 by n images
    groups = optimizer(models[3], LADDER[3], 50_000 // 10).param_groups
    out["lambda_of_chapter_3"] = groups[0]["weight_decay"] * 50_000
    return {name: float(value) for name, value in out.items()}


# %% [markdown]
# ## With MNIST
# One network at a time. How long it takes depends on the rung.


# %%
def main(argv: Sequence[str]) -> dict[str, float]:
    """Without arguments the numbers of the page, with --mnist a rung on MNIST."""
    parser = argparse.ArgumentParser(description="A rung of Nielsen's ladder.")
    parser.add_argument(
        "--mnist", type=Path, metavar="FOLDER", help="of the four files"
    )
    parser.add_argument("--rung", type=int, default=3, choices=range(1, 9))
    parser.add_argument("--epochs", type=int, help="(60, on rung 8 40)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    if args.mnist is None:
        return numbers()
    rung = LADDER[args.rung - 1]
    if args.epochs is not None:
        rung = replace(rung, epochs=args.epochs)
    try:
        return {"test_accuracy": train(rung, mnist(args.mnist), args.seed, 10)}
    except ValueError as error:
        parser.error(str(error))


# %%
if __name__ == "__main__":
    results = main(sys.argv[1:] if "__file__" in globals() else [])
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
