# %% [markdown]
r"""
# Convolution and pooling on numbers small enough for paper

The examples of a textbook chapter, each computed again: products of patch and filter,
stride, padding, a volume, max pooling. One drawn value is wrong.

**Source:** Andriy Burkov, *The Hundred-Page Machine Learning Book* (2019), chapter 6,
section 6.2.1, figures 3 to 6 and 8.

| symbol | name | shape |
| --- | --- | --- |
| $I$ (`image`) | image, or volume of $D$ channels | $(D, n, n)$ |
| $F$ (`F`) | filter, one matrix per channel | $(D, f, f)$ |
| $b$ (`b`) | bias, one number | |
| $s$, $p$ (`stride`, `padding`) | step of the window; rows of zeros around | |

**Differs from the source:** one function does matrices and volumes; a matrix is a
volume of one channel.

**Checked against:** `torch.nn.functional.conv2d` and `max_pool2d`,
`scipy.signal.correlate2d` (1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
from itertools import pairwise

import numpy as np

# %% [markdown]
# ## Convolve
# The book calls the sum of products of patch and filter a convolution. Strictly it is a
# cross-correlation: nothing is flipped. All deep-learning libraries do the same.


# %% Convolve
def out_side(n: int, f: int, stride: int, padding: int) -> int:
    """Side of the output for an image of side n and a window of side f.

    Raises ValueError where no window fits, or the stride or the padding makes no sense.
    """
    if stride < 1 or padding < 0:
        raise ValueError(f"want stride >= 1, padding >= 0, got {stride} and {padding}")
    if not 1 <= f <= n + 2 * padding:
        raise ValueError(f"f is {f}, expected 1 to {n + 2 * padding}, the padded side")
    # floor((n + 2 p - f) / s) + 1
    return (n + 2 * padding - f) // stride + 1


def patches(image: np.ndarray, f: int, stride: int, padding: int) -> np.ndarray:
    """All windows of a square volume (D, n, n): (side, side, D, f, f).

    Raises ValueError if image is not (D, n, n), and where `out_side` does.
    """
    if image.ndim != 3 or image.shape[1] != image.shape[2]:
        raise ValueError(f"image has shape {image.shape}, expected (D, n, n)")
    side = out_side(image.shape[1], f, stride, padding)
    around = (padding, padding)
    padded = np.pad(image, ((0, 0), around, around))  # (D, n + 2 p, n + 2 p)
    starts = [stride * k for k in range(side)]
    rows = [[padded[:, r : r + f, c : c + f] for c in starts] for r in starts]
    return np.array(rows)  # (side, side, D, f, f)


def convolve(
    image: np.ndarray, F: np.ndarray, b: float = 0, stride: int = 1, padding: int = 0
) -> np.ndarray:
    """Volume (D, n, n), filter (D, f, f) -> output (side, side).

    Raises ValueError where the filter has another depth or is not square.
    """
    if F.shape != (len(image), F.shape[-1], F.shape[-1]):
        raise ValueError(f"F has shape {F.shape}, expected ({len(image)}, f, f)")
    P = patches(image, F.shape[-1], stride, padding)  # (side, side, D, f, f)
    # sum over channels, rows and columns of P * F, plus b
    return (P * F).sum(axis=(2, 3, 4)) + b  # (side, side)


def max_pool(image: np.ndarray, f: int, stride: int) -> np.ndarray:
    """Largest value in each window of a matrix (n, n): (side, side)."""
    return patches(image[None], f, stride, 0).max(axis=(2, 3, 4))  # (side, side)


def dense_parameters(*sizes: int) -> int:
    """Parameters of fully connected layers: a weight per input and unit, and biases."""
    # (size_{l-1} + 1) * size_l for each layer
    return sum((before + 1) * size for before, size in pairwise(sizes))


# %% [markdown]
# ## The examples

# %%
CROSS = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]])  # (1, 3, 3)
L_SHAPE = np.array([[[1, 0, 0], [1, 0, 0], [1, 1, 1]]])  # (1, 3, 3)
F_CROSS = np.array([[[0, 2, 3], [2, 4, 1], [0, 3, 0]]])  # (1, 3, 3)

IMAGE = np.array([[[1, 0, 0, 1], [1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1]]])
F_IMAGE, B_IMAGE = np.array([[[-1, 2], [4, -2]]]), 1  # (1, 2, 2); IMAGE is (1, 4, 4)

VOLUME = np.array([[[3, 1], [4, 1]], [[2, -1], [-3, 1]], [[1, -1], [2, -1]]])
F_VOLUME, B_VOLUME = np.tile([[-2, 3], [5, -1]], (3, 1, 1)), -2  # (3, 2, 2) both

POOLED = np.array([[3, 8, 1, 4], [5, 2, 6, -1], [-3, 5, 9, 1], [4, 5, 7, 2]])


# %% [markdown]
# ## Figure


# %%
def draw_padding() -> None:
    """Left, the image of 4 by 4 pixels with a rim of zeros; the first two windows at
    stride 2 are framed in the top rows, and the second holds four zeros. Right, the
    output of 3 by 3: its second value, framed, is 1.
    """
    import matplotlib.pyplot as plt

    out = convolve(IMAGE, F_IMAGE, B_IMAGE, stride=2, padding=1)
    _, axes = plt.subplots(1, 2, figsize=(6.4, 3.4), layout="constrained")
    for ax, grid, name in (
        (axes[0], np.pad(IMAGE[0], 1), "image, padded"),
        (axes[1], out, "output, stride 2"),
    ):
        for (r, c), value in np.ndenumerate(grid):
            rim = ax is axes[0] and (r in (0, 5) or c in (0, 5))
            style = {"ha": "center", "va": "center", "color": "C4" if rim else "C0"}
            ax.text(c, r, f"{value:.0f}", fontsize=13, **style)
        edge = len(grid) - 0.5
        ax.set(xlim=(-0.6, edge + 0.1), ylim=(edge + 0.1, -0.6), aspect="equal")
        ax.set(title=name, xticks=[], yticks=[])
        ax.set_frame_on(False)
    for ax, left, side, color in (
        (axes[0], -0.45, 1.9, "C0"),
        (axes[0], 1.55, 1.9, "C1"),
        (axes[1], 0.55, 0.9, "C1"),
    ):
        frame = plt.Rectangle((left, -0.45), side, side, fill=False, ec=color, lw=2)
        ax.add_patch(frame)


# %% tags=["active-ipynb"]
# draw_padding()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out = {
        "cross": convolve(CROSS, F_CROSS)[0, 0],
        "l_shape": convolve(L_SHAPE, F_CROSS)[0, 0],
        "volume": convolve(VOLUME, F_VOLUME, B_VOLUME)[0, 0],
    }
    for channel in range(3):
        pair = VOLUME[[channel]], F_VOLUME[[channel]]
        out[f"volume_channel_{channel + 1}"] = convolve(*pair)[0, 0]
    figures = {"figure3": (1, 0), "figure5": (2, 0), "figure6": (2, 1)}
    for name, (stride, padding) in figures.items():
        grid = convolve(IMAGE, F_IMAGE, B_IMAGE, stride, padding)  # (side, side)
        for (r, c), value in np.ndenumerate(grid):
            out[f"{name}_{r + 1}{c + 1}"] = value
    # what the second window of figure 6 holds besides the bias
    window = patches(IMAGE, 2, 2, 1)[0, 1]  # (1, 2, 2)
    out["figure6_pixels_second_window"] = np.abs(window).sum()

    pooled = max_pool(POOLED, 2, 2)  # (2, 2)
    out |= {
        f"figure8_{r + 1}{c + 1}": value for (r, c), value in np.ndenumerate(pooled)
    }
    out["pooling_values_left"] = pooled.size / POOLED.size
    # a filter of f x f, D channels has D f f + 1 parameters, pooled or not
    out["pooling_filter_parameters"] = F_IMAGE.size + 1
    for stride, padding in ((1, 0), (2, 0), (2, 1), (2, 2), (1, 2)):
        out[f"side_s{stride}_p{padding}"] = out_side(4, 2, stride, padding)

    out["dense_1000_1000"] = dense_parameters(1000, 1000)
    out["dense_500_300"] = dense_parameters(500, 300)
    out["dense_figure1"] = dense_parameters(2, 4, 4, 1)
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
