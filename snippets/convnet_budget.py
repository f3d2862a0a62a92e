# %% [markdown]
r"""
# What a convolutional network costs

Volume, activations, weights and multiply-adds of every layer, from a list of layers:
VGG-16 and AlexNet in full, GoogLeNet's parameters. Then the two questions behind such a
table: where is the memory, and where are the weights?

**Source:** Andrej Karpathy, *Convolutional Neural Networks*, CS231n course notes
(2015), section on architectures, with its table of VGG-16.

| symbol | name | shape |
| --- | --- | --- |
| $W$ (`side`), $D$ (`depth`) | side and depth of a volume, $W \times W \times D$ | |
| $K, F, S, P$ | filters, their side, stride, padding on each side | |
| `groups` | parts that the depth is cut into; a filter sees one part | |

**Differs from the source:** it counts biases (apart) and multiply-adds too, and adds
the layers of AlexNet and GoogLeNet from their papers. An activation is counted once, as
in the source's table: ReLU is taken to work in place.

**Checked against:** `torch.nn` layers of the same networks without memory (the `meta`
device), exactly; torchvision's documented totals.

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Conv:
    """K filters of side F, stride S, P zeros on each side."""

    K: int
    F: int
    S: int = 1
    P: int = 0
    groups: int = 1


@dataclass(frozen=True)
class Pool:
    """Windows of side F, stride S."""

    F: int
    S: int


@dataclass(frozen=True)
class Dense:
    """A fully-connected layer of K units."""

    K: int


Layer = Conv | Pool | Dense


@dataclass(frozen=True)
class Row:
    """A line of the table: a layer, its output volume, and what it costs."""

    layer: Layer
    side: int
    depth: int
    weights: int
    biases: int
    multiply_adds: int

    @property
    def activations(self) -> int:
        """Numbers in the output volume."""
        return self.side * self.side * self.depth


# %% [markdown]
# ## The table, layer by layer
# A layer turns a volume into a volume, so the table is a loop that carries side and
# depth.


# %%
def budget(layers: Sequence[Layer], side: int, depth: int) -> list[Row]:
    """The table of a network that reads a side x side x depth volume.

    Raises:
        ValueError: a window does not fit, or `groups` does not divide the depth and K.
    """
    rows = []
    for layer in layers:
        if isinstance(layer, Dense):
            # every unit sees the whole volume
            weights = side * side * depth * layer.K
            side, depth, biases = 1, layer.K, layer.K
            multiply_adds = weights
        else:
            P = layer.P if isinstance(layer, Conv) else 0
            # (W - F + 2P)/S + 1
            steps = side - layer.F + 2 * P
            if steps < 0 or steps % layer.S:
                raise ValueError(f"{layer} does not fit a volume of side {side}")
            side = steps // layer.S + 1
            weights = biases = multiply_adds = 0
            if isinstance(layer, Conv):
                if depth % layer.groups or layer.K % layer.groups:
                    wanted = f"expected groups that divide K and a depth of {depth}"
                    raise ValueError(f"{layer}: {wanted}")
                # a filter has F F D/groups weights and is used at every place
                weights = layer.F**2 * depth // layer.groups * layer.K
                depth, biases = layer.K, layer.K
                multiply_adds = weights * side * side
        rows.append(Row(layer, side, depth, weights, biases, multiply_adds))
    return rows


def parameters(rows: Sequence[Row]) -> int:
    """Weights and biases of all rows."""
    return sum(row.weights + row.biases for row in rows)


# %% [markdown]
# ## The networks


# %%
def vgg16() -> list[Layer]:
    """Simonyan and Zisserman (2014), configuration D: reads 224 x 224 x 3."""
    layers: list[Layer] = []
    for K, convs in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [Conv(K, 3, P=1)] * convs + [Pool(2, 2)]
    return [*layers, Dense(4096), Dense(4096), Dense(1000)]


def alexnet() -> list[Layer]:
    """Krizhevsky et al. (2012), cut in two halves for two GPUs: reads 227 x 227 x 3."""
    return [
        Conv(96, 11, S=4),
        Pool(3, 2),
        Conv(256, 5, P=2, groups=2),
        Pool(3, 2),
        Conv(384, 3, P=1),
        Conv(384, 3, P=1, groups=2),
        Conv(256, 3, P=1, groups=2),
        Pool(3, 2),
        Dense(4096),
        Dense(4096),
        Dense(1000),
    ]


# Szegedy et al. (2014), table 1: filters 1x1, 3x3 after a 1x1, 5x5 after a 1x1, and 1x1
# after the pooling, of the nine Inception modules
INCEPTIONS = (
    (64, (96, 128), (16, 32), 32),
    (128, (128, 192), (32, 96), 64),
    (192, (96, 208), (16, 48), 64),
    (160, (112, 224), (24, 64), 64),
    (128, (128, 256), (24, 64), 64),
    (112, (144, 288), (32, 64), 64),
    (256, (160, 320), (32, 128), 128),
    (256, (160, 320), (32, 128), 128),
    (384, (192, 384), (48, 128), 128),
)


def googlenet_parameters() -> int:
    """Weights and biases of GoogLeNet, without the two heads that only train it."""

    def conv(depth: int, K: int, F: int) -> int:
        # at how many places a filter is used does not matter: one
        return parameters(budget([Conv(K, F)], F, depth))

    total, depth = conv(3, 64, 7) + conv(64, 64, 1) + conv(64, 192, 3), 192
    for ones, (reduce3, threes), (reduce5, fives), pooled in INCEPTIONS:
        total += conv(depth, ones, 1)
        total += conv(depth, reduce3, 1) + conv(reduce3, threes, 3)
        total += conv(depth, reduce5, 1) + conv(reduce5, fives, 5)
        total += conv(depth, pooled, 1)
        depth = ones + threes + fives + pooled
    return total + parameters(budget([Dense(1000)], 1, depth))


# %% [markdown]
# ## Figures


# %%
def draw_vgg() -> None:
    """Two rows of bars for the 21 layers of VGG-16. Above, activations: high in the
    first two layers, then falling to almost nothing. Below, weights: almost nothing in
    the first layers, small in the later convolutions, one bar of 103 million at the
    first fully-connected layer.
    """
    import matplotlib.pyplot as plt

    rows = budget(vgg16(), 224, 3)
    names = [
        "pool" if isinstance(row.layer, Pool) else
        f"conv {row.depth}" if isinstance(row.layer, Conv) else f"fc {row.depth}"
        for row in rows
    ]  # fmt: skip
    _, (top, bottom) = plt.subplots(
        2, figsize=(6.4, 4.4), sharex=True, layout="constrained"
    )
    places = range(len(rows))
    top.bar(places, [row.activations / 1e6 for row in rows], color="C0")
    top.set(ylabel="activations, million")
    bottom.bar(places, [row.weights / 1e6 for row in rows], color="C1")
    bottom.set(ylabel="weights, million", xticks=places)
    bottom.set_xticklabels(names, rotation=90, fontsize="small")
    for ax in (top, bottom):
        ax.grid(axis="x", visible=False)


# %% tags=["active-ipynb"]
# draw_vgg()

# %% [markdown]
# ## Numbers


# %%
MIB = 1024**2


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {}
    # one unit that sees everything, and one that sees a patch
    out["dense_weights_32"] = budget([Dense(1)], 32, 3)[0].weights
    out["dense_weights_200"] = budget([Dense(1)], 200, 3)[0].weights
    out["conv_weights_f5_d3"] = budget([Conv(1, 5)], 32, 3)[0].weights
    out["conv_weights_f3_d20"] = budget([Conv(1, 3)], 16, 20)[0].weights

    first = budget([Conv(96, 11, S=4)], 227, 3)[0]
    out["alexnet_conv1_units"] = first.activations
    per_unit = first.weights // first.depth
    out["alexnet_conv1_weights_per_unit"] = per_unit
    unshared = first.activations * (per_unit + 1)
    out["alexnet_conv1_unshared"] = unshared
    out["alexnet_conv1_weights"] = first.weights
    out["alexnet_conv1_parameters"] = parameters([first])
    out["alexnet_conv1_saving"] = unshared / parameters([first])

    # a stack of three 3x3 against one 7x7, C channels in and out: in units of C^2
    C = 10
    stack = budget([Conv(C, 3)] * 3, 7, C)  # from 7 x 7 to a single place
    one = budget([Conv(C, 7)], 7, C)
    out["stack_weights_per_c2"] = sum(row.weights for row in stack) / C**2
    out["one_weights_per_c2"] = one[0].weights / C**2

    # three first layers of 64 filters that keep 224 x 224
    three = budget([Conv(64, 3, P=1)] * 3, 224, 3)
    out["three_maps_activations"] = sum(row.activations for row in three)
    out["three_maps_mib"] = out["three_maps_activations"] * 2 * 4 / MIB

    net = budget(alexnet(), 227, 3)
    out["alexnet_parameters"] = parameters(net)
    pools = [row for row in net if isinstance(row.layer, Pool)]
    out["alexnet_pools"], out["alexnet_last_side"] = len(pools), pools[-1].side
    out["alexnet_last_volume"] = pools[-1].activations
    for n, row in enumerate(pools, start=1):
        out[f"alexnet_side_after_pool_{n}"] = row.side
    out["googlenet_parameters"] = googlenet_parameters()

    net = budget(vgg16(), 224, 3)
    image = 224 * 224 * 3
    out["vgg_input"] = image
    counts = {"conv": 0, "pool": 0, "fc": 0}
    for row in net:
        kind = {Conv: "conv", Pool: "pool", Dense: "fc"}[type(row.layer)]
        counts[kind] += 1
        out[f"vgg_{kind}{counts[kind]}_activations"] = row.activations
        if row.weights:
            out[f"vgg_{kind}{counts[kind]}_weights"] = row.weights
        if kind == "pool":
            out[f"vgg_pool{counts[kind]}_side"] = row.side
    out["vgg_layers_with_weights"] = sum(row.weights > 0 for row in net)
    out["vgg_weights"] = sum(row.weights for row in net)
    out["vgg_biases"] = sum(row.biases for row in net)
    out["vgg_parameters"] = parameters(net)
    out["vgg_activations"] = image + sum(row.activations for row in net)
    out["vgg_mib"] = out["vgg_activations"] * 4 / MIB
    # were every convolution and hidden layer kept twice, before and after its ReLU
    twice = [row for row in net[:-1] if row.weights]
    out["vgg_activations_relu_kept"] = out["vgg_activations"] + sum(
        row.activations for row in twice
    )
    two_maps = sum(row.activations for row in net[:2])
    out["vgg_share_first_two_maps"] = two_maps / out["vgg_activations"]
    dense = [row for row in net if isinstance(row.layer, Dense)]
    out["vgg_share_dense"] = sum(row.weights for row in dense) / out["vgg_weights"]
    out["vgg_share_first_dense"] = dense[0].weights / out["vgg_weights"]
    # multiply-adds, for each of the five blocks between two poolings
    total = sum(row.multiply_adds for row in net)
    out["vgg_multiply_adds"] = total
    block, share = 1, 0
    for row in net:
        share += row.multiply_adds
        if isinstance(row.layer, Pool):
            out[f"vgg_compute_share_block_{block}"] = share / total
            block, share = block + 1, 0
    out["vgg_compute_share_dense"] = share / total
    # the same network on 384 pixels
    large = budget(vgg16()[:-3], 384, 3)
    out["vgg_side_384"] = large[-1].side
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
