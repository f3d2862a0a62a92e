# %% [markdown]
r"""
# A fully-connected layer as a convolution

A classifier's fully-connected head, reshaped into filters, slides over a larger image
in one pass. Does that give what the classifier gives on each crop? Without padding, to
the last digit. With padding, no. And how many passes does half the stride take? Four,
or one with a dilated head.

**Source:** Andrej Karpathy, *Convolutional Neural Networks*, CS231n course notes
(2015), section on converting FC layers to CONV layers.

| symbol | name | shape |
| --- | --- | --- |
| $N, C, H, W$ | images, channels, height, width | |
| $K, F, P, D$ | filters or units, their side, padding on each side, dilation | |
| $R$ (`REDUCTION`) | pixels between two places of the sliding head, here 4 | |
| `x` | images | $(N, C, H, W)$ |
| `w_fc` | weights of a fully-connected layer on a $C, F, F$ volume | $(K, C F F)$ |

**Differs from the source:** a small network with random weights in the place of
AlexNet: two convolutions, each with ReLU and 2 by 2 pooling, then the head.

**Checked against:** the same network in PyTorch with `torch.nn.Linear` on crops
(1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
import numpy as np

# %% [markdown]
# ## The conversion
# A unit of the head has a weight for each number of a $C \times F \times F$ volume. So
# has a filter of side $F$. The weights only have to be given that shape.


# %%
def convolve(
    x: np.ndarray, w: np.ndarray, pad: int = 0, dilation: int = 1
) -> np.ndarray:
    """x (N, C, H, W), w (K, C, F, F) -> (N, K, OH, OW).

    OH is H + 2P - D (F - 1), and OW the same of W.
    """
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))  # (N, C, H + 2P, W + 2P)
    span = [dilation * (F - 1) + 1 for F in w.shape[2:]]
    windows = np.lib.stride_tricks.sliding_window_view(x, span, axis=(2, 3))
    windows = windows[..., ::dilation, ::dilation]  # (N, C, OH, OW, F, F)
    y = np.tensordot(windows, w, axes=((1, 4, 5), (1, 2, 3)))  # (N, OH, OW, K)
    return y.transpose(0, 3, 1, 2)  # (N, K, OH, OW)


def fc_to_conv(w_fc: np.ndarray, C: int, F: int) -> np.ndarray:
    """Weights (K, C F F) of a layer on a (C, F, F) volume -> filters (K, C, F, F).

    Raises:
        ValueError: the layer does not have C F F inputs.
    """
    if w_fc.shape[1] != C * F * F:
        raise ValueError(f"w_fc has {w_fc.shape[1]} inputs, expected {C * F * F}")
    return w_fc.reshape(-1, C, F, F)  # (K, C, F, F)


# %% [markdown]
# ## A small network, padded or not
# Both versions have the same weights. Without padding a crop of 22 pixels becomes a
# volume of side 4, with it a crop of 16 does: a classifier reads crops of that size.


# %%
CHANNELS, CLASSES = 8, 10
HEAD = 4  # the side of the volume that the head reads
REDUCTION = 4  # two poolings by 2
CROP = {0: 22, 1: 16}  # by padding


def init_weights(rng: np.random.Generator) -> list[np.ndarray]:
    """Two layers of filters and a fully-connected head, He's initialisation."""
    shapes = [(CHANNELS, 3, 3, 3), (CHANNELS, CHANNELS, 3, 3)]
    shapes += [(CLASSES, CHANNELS * HEAD * HEAD)]
    # Var(w) = 2 / inputs of a unit
    return [rng.normal(0, np.sqrt(2 / np.prod(s[1:])), s) for s in shapes]


def features(weights: list[np.ndarray], x: np.ndarray, pad: int) -> np.ndarray:
    """All before the head: x (N, 3, H, W) -> (N, C, about H / 4, about W / 4)."""
    for w in weights[:2]:
        x = np.maximum(convolve(x, w, pad), 0)  # (N, C, H, W)
        N, C, H, W = x.shape
        x = x.reshape(N, C, H // 2, 2, W // 2, 2).max(axis=(3, 5))  # (N, C, H/2, W/2)
    return x


def classify(weights: list[np.ndarray], crops: np.ndarray, pad: int) -> np.ndarray:
    """The original: crops (N, 3, side, side) -> scores (N, classes)."""
    volume = features(weights, crops, pad)  # (N, C, 4, 4)
    return volume.reshape(len(crops), -1) @ weights[2].T  # (N, classes)


def slide(weights: list[np.ndarray], image: np.ndarray, pad: int) -> np.ndarray:
    """The converted network, one pass: image (3, H, W) -> scores (classes, OH, OW)."""
    head = fc_to_conv(weights[2], CHANNELS, HEAD)  # (classes, C, 4, 4)
    return convolve(features(weights, image[None], pad), head)[0]  # (classes, OH, OW)


# %% [markdown]
# ## One pass against many crops


# %%
def on_crops(
    weights: list[np.ndarray], image: np.ndarray, pad: int, stride: int = REDUCTION
) -> np.ndarray:
    """The original network on each crop of image (3, H, W) -> (classes, OH, OW)."""
    side = (CROP[pad], CROP[pad])
    crops = np.lib.stride_tricks.sliding_window_view(image, side, axis=(1, 2))
    crops = crops[:, ::stride, ::stride].transpose(1, 2, 0, 3, 4)  # (OH, OW, 3, s, s)
    OH, OW = crops.shape[:2]
    scores = classify(weights, crops.reshape(-1, 3, *side), pad)  # (OH OW, classes)
    return scores.T.reshape(-1, OH, OW)  # (classes, OH, OW)


def deviation(pad: int, seed: int, places: int = 6) -> np.ndarray:
    """|one pass - crops| in units of the scores' spread: (classes, places, places)."""
    rng = np.random.default_rng(seed)
    weights = init_weights(rng)
    side = CROP[pad] + REDUCTION * (places - 1)
    image = rng.standard_normal((3, side, side))  # (3, side, side)
    crops = on_crops(weights, image, pad)  # (classes, places, places)
    return np.abs(slide(weights, image, pad) - crops) / crops.std()


# %% [markdown]
# ## Half the stride
# The sliding head stops every $R$ pixels. To stop every $R/2$, shift the image and run
# again. One shift along both axes adds the places that are odd in *both* directions;
# those that are odd in one are still missing. It takes a shift for each pair.


# %%
def slide_finer(
    weights: list[np.ndarray], image: np.ndarray, shifts: list[tuple[int, int]]
) -> np.ndarray:
    """Scores at every R/2 pixels, without padding, from one pass for each shift.

    image (3, H, W) -> (classes, OH, OW), NaN at the places that no pass reaches.
    """
    step, side = REDUCTION // 2, CROP[0]
    OH, OW = ((size - side) // step + 1 for size in image.shape[1:])
    scores = np.full((CLASSES, OH, OW), np.nan)
    for down, right in shifts:
        H = (image.shape[1] - side - down) // REDUCTION * REDUCTION + side
        W = (image.shape[2] - side - right) // REDUCTION * REDUCTION + side
        part = image[:, down : down + H, right : right + W]  # (3, H, W)
        scores[:, down // step :: 2, right // step :: 2] = slide(weights, part, 0)
    return scores


# %% [markdown]
# Or one pass that takes no shortcut: the last pooling stops at every place, not at
# every second one, and the filters behind it skip every second one instead. They see
# what they saw, at twice as many places in each direction.


# %%
def slide_dilated(weights: list[np.ndarray], image: np.ndarray) -> np.ndarray:
    """All scores at every R/2 pixels, without padding, in one pass.

    image (3, H, W) -> (classes, OH, OW).
    """
    x = np.maximum(convolve(image[None], weights[0]), 0)  # (1, C, H - 2, W - 2)
    H, W = x.shape[2] // 2, x.shape[3] // 2
    x = x.reshape(1, CHANNELS, H, 2, W, 2).max(axis=(3, 5))  # (1, C, H/2 - 1, W/2 - 1)
    x = np.maximum(convolve(x, weights[1]), 0)  # (1, C, H/2 - 3, W/2 - 3)
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(2, 3))
    x = windows.max(axis=(4, 5))  # stride 1: (1, C, H/2 - 4, W/2 - 4)
    head = fc_to_conv(weights[2], CHANNELS, HEAD)  # (classes, C, 4, 4)
    return convolve(x, head, dilation=2)[0]  # (classes, OH, OW)


# %% [markdown]
# ## Figure


# %%
def draw_deviation() -> None:
    """Two 6 by 6 maps of the deviation of one pass from crops, in units of the scores'
    spread. Without padding every place is zero. With padding every place deviates,
    the places in the middle of the image as well as those at its edge.
    """
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
    for ax, pad in zip(axes, (0, 1), strict=True):
        worst = np.max([deviation(pad, seed) for seed in range(5)], axis=(0, 1))
        for (i, j), value in np.ndenumerate(worst):
            text = "0" if value < 1e-10 else f"{value:.2f}"
            ax.text(j, i, text, ha="center", va="center", color="C0", fontsize="small")
        ax.set(xlim=(-0.6, 5.6), ylim=(5.6, -0.6), xticks=[], yticks=[])
        ax.set(aspect="equal", title="padded" if pad else "not padded")
        ax.spines[:].set_visible(False)


# %% tags=["active-ipynb"]
# draw_deviation()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {}
    # VGG's head, thin: one unit in the place of 4096, the volume as it is
    w_fc = np.zeros((1, 7 * 7 * 512))
    filters = fc_to_conv(w_fc, 512, 7)  # (1, 512, 7, 7)
    out["weights_per_unit_7x7x512"] = filters.size
    for side in (7, 12):
        scores = convolve(np.zeros((1, 512, side, side)), filters)  # (1, 1, OH, OW)
        out[f"places_on_{side}"] = scores.shape[3]
        out[f"scores_on_{side}"] = scores.size

    for pad, name in ((0, "unpadded"), (1, "padded")):
        worst = [deviation(pad, seed).max() for seed in range(5)]
        out[f"deviation_{name}_median"] = np.median(worst)
        out[f"deviation_{name}_min"] = min(worst)
        out[f"deviation_{name}_max"] = max(worst)
    typical = [np.sqrt((deviation(1, seed) ** 2).mean()) for seed in range(5)]
    out["deviation_padded_rms_median"] = np.median(typical)
    inner = [
        np.sqrt((deviation(1, seed)[:, 1:-1, 1:-1] ** 2).mean()) for seed in range(5)
    ]
    out["deviation_padded_rms_inside_median"] = np.median(inner)

    rng = np.random.default_rng(0)
    weights, image = init_weights(rng), rng.standard_normal((3, 36, 36))
    fine = on_crops(weights, image, pad=0, stride=REDUCTION // 2)  # (classes, 8, 8)
    half = REDUCTION // 2
    all_shifts = [(0, 0), (half, half), (0, half), (half, 0)]
    for n in (1, 2, 3, 4):
        found = slide_finer(weights, image, all_shifts[:n])
        reached = ~np.isnan(found)
        out[f"share_reached_by_{n}_passes"] = reached.mean()
        gap = np.abs(found - fine)[reached].max()
        out[f"gap_of_{n}_passes"] = gap
    shares = [out[f"share_reached_by_{n}_passes"] for n in (1, 2, 3, 4)]
    out["passes_for_half_the_stride"] = 1 + shares.index(1)
    out["gap_of_the_dilated_pass"] = np.abs(slide_dilated(weights, image) - fine).max()
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
