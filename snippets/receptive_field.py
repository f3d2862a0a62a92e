# %% [markdown]
r"""
# Receptive fields, and how they grow

How many pixels can one output of a convolutional network see, and how much does each of
them count? Both from a list of layers, for AlexNet, VGG-16, ResNets, and for stacks of
small, pooled and dilated filters.

**Source:** A. Araujo, W. Norris, J. Sim, *Computing Receptive Fields of Convolutional
Neural Networks*, Distill (2019), and the table of its library; A. Karpathy, CS231n
course notes (2015), on stacks of small filters; M. Nielsen, *Neural Networks and Deep
Learning* (2015), chapter 6.

| symbol | name | shape |
| --- | --- | --- |
| $F, S, P, d$ | side of the window, stride, padding on each side, dilation | |
| $r$ (`size`) | receptive field: pixels that one output can see | |
| $j$ (`jump`) | pixels between the fields of two neighbouring outputs | |
| $q$ (`padding`) | pixels by which the first field sticks out of the image | |
| `share` | how much of an output's weight stands on each pixel, sums to 1 | $(r,)$ |

**Differs from the source:** the recursion runs from input to output, theirs from output
to input; the results are the same. `share` is ours: every window is taken as a plain
average, and a residual block as the mean of its two branches.

**Checked against:** PyTorch's autograd through the same layers with equal weights
(1e-10 in float64): the pixels with a gradient, and its values.

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# %% [markdown]
# ## Three lines of recursion
# A layer with a window of $F$ taps, $d$ apart, adds $d(F-1)$ steps to the field. How
# wide a step is in pixels is the product of all strides below.


# %%
class Layer(NamedTuple):
    """A convolution or a pooling: side F, stride S, padding P, dilation d."""

    F: int
    S: int = 1
    P: int = 0
    d: int = 1
    shortcut: bool = False  # an identity branch beside it, as in a residual block


class Field(NamedTuple):
    """What one output sees of the input, in pixels."""

    size: int
    jump: int
    padding: int


def check(layer: Layer) -> None:
    """Raises ValueError unless F, S and d are at least 1 and P at least 0."""
    if min(layer.F, layer.S, layer.d) < 1 or layer.P < 0:
        raise ValueError(f"{layer}: expected F, S, d of 1 or more, P of 0 or more")


def receptive_field(layers: Sequence[Layer]) -> Field:
    """The field of one output of the last layer.

    Raises:
        ValueError: F, S or d is below 1, or P below 0.
    """
    size, jump, padding = 1, 1, 0  # a pixel sees itself
    for layer in layers:
        check(layer)
        # r <- r + d (F - 1) j
        size += layer.d * (layer.F - 1) * jump
        # q <- q + P j
        padding += layer.P * jump
        # j <- j S
        jump *= layer.S
    return Field(size, jump, padding)


def side(layers: Sequence[Layer], W: int) -> int:
    """The side of the last volume for an image of side W, rounded down each time.

    Raises:
        ValueError: a layer makes no sense, or its window is larger than its input.
    """
    for layer in layers:
        check(layer)
        extent = layer.d * (layer.F - 1) + 1
        if extent > W + 2 * layer.P:
            raise ValueError(f"{layer} spans {extent} of {W + 2 * layer.P} pixels")
        W = (W - extent + 2 * layer.P) // layer.S + 1
    return W


# %% [markdown]
# ## Not all pixels count alike
# Walk back from one output: each window hands its weight on in equal parts to its taps.
# Pixels in the middle are reached by many paths, those at the rim by one. So the field
# that matters is a bell, far narrower than the field that is possible.


# %% Shares
def share(layers: Sequence[Layer]) -> np.ndarray:
    """The weight of each pixel of the field, in one dimension: (r,), sums to 1.

    Raises:
        ValueError: F, S or d is below 1, or P below 0.
    """
    weight = np.ones(1)  # one output
    for layer in reversed(layers):
        check(layer)
        taps = np.full(layer.F, 1 / layer.F)  # (F,)
        if layer.shortcut:  # the mean of the branch and of the identity
            taps /= 2
            taps[layer.F // 2] += 1 / 2
        reach = layer.S * (len(weight) - 1) + 1
        below = np.zeros(reach + layer.d * (layer.F - 1))  # one layer down, wider
        for tap, part in enumerate(taps):
            start = tap * layer.d
            below[start : start + reach : layer.S] += part * weight
        weight = below
    return weight


def width_of(weight: np.ndarray, part: float) -> int:
    """The fewest pixels around the middle that hold `part` of the weight."""
    n = len(weight)
    for width in range(2 - n % 2, n, 2):
        rim = (n - width) // 2
        if weight[rim : n - rim].sum() >= part:
            return width
    return n


# %% [markdown]
# ## Networks


# %%
def alexnet() -> dict[str, Layer]:
    """Krizhevsky et al. (2012), up to the last pooling."""
    return {
        "conv1": Layer(11, 4),
        "pool1": Layer(3, 2),
        "conv2": Layer(5, P=2),
        "pool2": Layer(3, 2),
        "conv3": Layer(3, P=1),
        "conv4": Layer(3, P=1),
        "conv5": Layer(3, P=1),
        "pool5": Layer(3, 2),
    }


def vgg16() -> dict[str, Layer]:
    """Simonyan and Zisserman (2014), configuration D, up to the last pooling."""
    net = {}
    for block, convs in enumerate((2, 2, 3, 3, 3), start=1):
        for n in range(1, convs + 1):
            net[f"conv{block}_{n}"] = Layer(3, P=1)
        net[f"pool{block}"] = Layer(2, 2)
    return net


def resnet(blocks: Sequence[int], stride_on_3x3: bool = False) -> list[Layer]:
    """He et al. (2015) with bottlenecks: `blocks` in each of the four stages.

    The first block of a stage halves the sides: in the paper with its first 1 x 1, in
    torchvision with its 3 x 3 (`stride_on_3x3`).
    """
    net = [Layer(7, 2, P=3), Layer(3, 2)]
    for stage, count in enumerate(blocks):
        for n in range(count):
            S = 2 if stage > 0 and n == 0 else 1
            if stride_on_3x3:
                net.append(Layer(3, S, P=1, shortcut=True))
            else:
                net += [Layer(1, S), Layer(3, P=1, shortcut=True)]
    return net


def layers_to_see(pixels: int, stack: Sequence[Layer], repeat: Layer) -> int:
    """How many times `repeat` must stand on `stack` until the field has `pixels`.

    Raises:
        ValueError: the window of `repeat` has one tap, so that no field grows by it.
    """
    if repeat.F < 2:
        raise ValueError(f"repeat has F = {repeat.F}, expected at least 2")
    count, net = 0, list(stack)
    while receptive_field(net).size < pixels:
        net.append(repeat)
        count += 1
    return count


# %% [markdown]
# ## Figures


# %%
def draw_growth() -> None:
    """Receptive field against layer, on a logarithmic axis, for 18 layers. Plain 3 by 3
    filters grow on a straight count from 3 to 37. VGG-16 starts like them and reaches
    212, faster after each pooling. Dilations that double pass 212 at layer 7.
    """
    import matplotlib.pyplot as plt

    stacks = {
        "dilation 1, 2, 4, ...": [Layer(3, d=2**n) for n in range(8)],
        "VGG-16": list(vgg16().values()),
        "3 x 3 only": [Layer(3)] * 18,
    }
    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    for label, layers in stacks.items():
        sizes = [receptive_field(layers[:n]).size for n in range(len(layers) + 1)]
        ax.plot(sizes, marker="o", markersize=3, label=label)
    ax.axhline(224, color="C3", linestyle=":", label="an image of 224")
    ax.set(xlabel="layers, poolings included", ylabel="receptive field, pixels")
    ax.set(yscale="log", xlim=(0, 18.3), ylim=(1, 700), xticks=range(0, 19, 3))
    ax.legend(loc="lower right")


# %% tags=["active-ipynb"]
# draw_growth()


# %%
def draw_share() -> None:
    """Bell curves of the weight over the receptive field, for VGG-16 and ResNet-50,
    each in one dimension. VGG-16's field is 212 pixels wide, and nearly all of its
    weight lies on the middle half. ResNet-50's is 483 wide, most of it near zero.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    nets = {"VGG-16": list(vgg16().values()), "ResNet-50": resnet((3, 4, 6, 3))}
    for label, layers in nets.items():
        weight = share(layers)  # (r,)
        r = len(weight)
        place = np.arange(r) - (r - 1) / 2  # (r,)
        style = {"linestyle": "-", "label": f"{label}, {r} pixels"}
        ax.plot(place, 100 * weight, linewidth=1.8 if r < 300 else 0.8, **style)
    ax.set(xlabel="pixels from the middle of the field", ylabel="share of weight, %")
    ax.set(ylim=(0, None))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_share()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out = {}
    for n in (1, 2, 3):
        out[f"stack_of_{n}"] = receptive_field([Layer(3)] * n).size
    for n in (2, 3, 4):
        net = [Layer(3, d=2**k) for k in range(n)]
        out[f"dilated_stack_of_{n}"] = receptive_field(net).size

    for name, net in (("alexnet", alexnet()), ("vgg16", vgg16())):
        layers = list(net.values())
        for n, layer in enumerate(net, start=1):
            out[f"{name}_{layer}"] = receptive_field(layers[:n]).size
        _, out[f"{name}_jump"], out[f"{name}_padding"] = receptive_field(layers)
    out["alexnet_jump_conv2"] = receptive_field(list(alexnet().values())[:3]).jump
    depths = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
    for depth, blocks in depths.items():
        out[f"resnet{depth}"] = receptive_field(resnet(blocks)).size
    out["resnet50_jump"] = receptive_field(resnet(depths[50])).jump
    out["resnet50_torchvision"] = receptive_field(resnet(depths[50], True)).size

    # Nielsen's first network: 28 pixels, a 5 x 5 field, 2 x 2 pooling
    first = [Layer(5), Layer(2, 2)]
    out["nielsen_window"] = receptive_field(first[:1]).size
    out["nielsen_weights"] = receptive_field(first[:1]).size ** 2
    out["nielsen_side_conv"], out["nielsen_side_pool"] = (
        side(first[:1], 28),
        side(first, 28),
    )
    both = [*first, *first]
    out["nielsen_field_of_both"], out["nielsen_side_of_both"] = (
        receptive_field(both).size,
        side(both, 28),
    )

    # what it takes to see 224 pixels
    out["layers_3x3_to_see_224"] = layers_to_see(224, [], Layer(3))
    out["layers_3x3_on_vgg_to_see_224"] = layers_to_see(
        224, list(vgg16().values()), Layer(3)
    )
    doubling: list[Layer] = []
    while receptive_field(doubling).size < 224:
        doubling.append(Layer(3, d=2 ** len(doubling)))
    out["layers_dilated_to_see_224"] = len(doubling)

    for name, layers in (
        ("stack18", [Layer(3)] * 18),
        ("vgg16", list(vgg16().values())),
        ("resnet50", resnet(depths[50])),
    ):
        weight = share(layers)
        out[f"{name}_field"] = len(weight)
        for part in (50, 95):
            out[f"{name}_width_of_{part}_percent"] = width_of(weight, part / 100)
    # in the plane shares multiply: half of the weight is the root of a half, twice
    weight = share(list(vgg16().values()))  # (212,)
    square = width_of(weight, 0.5**0.5)
    out["vgg16_square_of_50_percent"] = square
    out["vgg16_area_of_50_percent"] = (square / len(weight)) ** 2
    # the standard deviation of n plain averages of three is sqrt(2 n / 3)
    weight = share([Layer(3)] * 18)  # (37,)
    place = np.arange(len(weight)) - (len(weight) - 1) / 2
    out["stack18_deviation"] = np.sqrt((weight * place**2).sum())

    # the patches of a vision transformer are a convolution with F = S = 16
    patches = [Layer(16, 16)]
    out["vit_side"] = side(patches, 224)
    out["vit_patches"] = side(patches, 224) ** 2
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
