# %% [markdown]
r"""
# Pooling, with switches

Max pooling that remembers where each maximum stood (the switches), so that the backward
pass can send the gradient there; and average pooling, which needs no memory.

**Source:** Andrej Karpathy, *Convolutional Neural Networks*, CS231n course notes
(2015), section on the pooling layer.

| symbol | name | shape |
| --- | --- | --- |
| $N, C, H, W$ | images, channels, height, width | |
| $F, S$ (`F`, `S`) | side of the window, stride | |
| $x$ (`x`) | input | $(N, C, H, W)$ |
| $y$ (`y`) | output, `OH` by `OW` | $(N, C, OH, OW)$ |
| `switches` | for each maximum, its pixel's number in its plane | $(N, C, OH, OW)$ |

**Differs from the source:** channels come before height and width, as in PyTorch. On a
tie the first pixel wins, row by row; the source does not say which. A window that does
not fit is left out, as in libraries.

**Checked against:** `torch.nn.functional.max_pool2d` with its indices, `avg_pool2d`,
and torch autograd (1e-10 in float64, exactly for the maxima).

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Callable

import numpy as np

# %% [markdown]
# ## Windows
# A window is as deep as one channel: pooling treats each plane by itself, so the depth
# stays. Two settings are usual, $F = 2, S = 2$ and the overlapping $F = 3, S = 2$.


# %%
def pool_windows(x: np.ndarray, F: int, S: int) -> np.ndarray:
    """x (N, C, H, W) -> its windows (N, C, OH, OW, F, F), as a view.

    Raises:
        ValueError: x is not 4-D, F or S is below 1, or F is larger than the plane.
    """
    if x.ndim != 4:
        raise ValueError(f"x has shape {x.shape}, expected (N, C, H, W)")
    if F < 1 or S < 1:
        raise ValueError(f"F is {F} and S is {S}, expected at least 1")
    if min(x.shape[2:]) < F:
        raise ValueError(f"F is {F}, expected at most {min(x.shape[2:])}")
    windows = np.lib.stride_tricks.sliding_window_view(x, (F, F), axis=(2, 3))
    return windows[:, :, ::S, ::S]  # (N, C, OH, OW, F, F)


# %% [markdown]
# ## The maximum, and where it stood
# Forward, the switches are noted. Backward, each output hands its gradient to the pixel
# that its switch names and to no other. It must be *added* there: where windows overlap
# one pixel can win several times.


# %% Max pooling
def max_pool2d(
    x: np.ndarray, F: int = 2, S: int = 2
) -> tuple[np.ndarray, np.ndarray, Callable]:
    """x (N, C, H, W) -> y and switches (N, C, OH, OW), backward.

    Raises:
        ValueError: `pool_windows` raises it, or in `backward` dy has not y's shape.
    """
    windows = pool_windows(x, F, S)  # (N, C, OH, OW, F, F)
    N, C, H, W = x.shape
    OH, OW = windows.shape[2:4]
    winner = windows.reshape(N, C, OH, OW, F * F).argmax(axis=4)  # (N, C, OH, OW)
    # the winner's row and column in the window, then in the plane
    rows = S * np.arange(OH)[:, None] + winner // F  # (N, C, OH, OW)
    columns = S * np.arange(OW) + winner % F  # (N, C, OH, OW)
    switches = rows * W + columns  # (N, C, OH, OW)
    planes = x.reshape(N, C, H * W)  # (N, C, H W)
    places = switches.reshape(N, C, OH * OW)  # (N, C, OH OW)
    y = np.take_along_axis(planes, places, axis=2)  # (N, C, OH OW)

    def backward(dy: np.ndarray) -> np.ndarray:
        """The loss gradient of y (N, C, OH, OW) -> that of x (N, C, H, W)."""
        if dy.shape != (N, C, OH, OW):
            raise ValueError(f"dy has shape {dy.shape}, expected {(N, C, OH, OW)}")
        dx = np.zeros((N * C, H * W), dy.dtype)
        plane = np.arange(N * C)[:, None]  # (N C, 1)
        where = (plane, places.reshape(N * C, OH * OW))  # (N C, OH OW)
        np.add.at(dx, where, dy.reshape(N * C, OH * OW))
        return dx.reshape(N, C, H, W)

    return y.reshape(N, C, OH, OW), switches, backward


# %% [markdown]
# ## The average
# Backward, every pixel of a window gets the same share.


# %% Average pooling
def average_pool2d(
    x: np.ndarray, F: int = 2, S: int = 2
) -> tuple[np.ndarray, Callable]:
    """x (N, C, H, W) -> y (N, C, OH, OW), backward.

    Raises:
        ValueError: `pool_windows` raises it, or in `backward` dy has not y's shape.
    """
    y = pool_windows(x, F, S).mean(axis=(4, 5))  # (N, C, OH, OW)
    OH, OW = y.shape[2:]

    def backward(dy: np.ndarray) -> np.ndarray:
        """The loss gradient of y (N, C, OH, OW) -> that of x (N, C, H, W)."""
        if dy.shape != y.shape:
            raise ValueError(f"dy has shape {dy.shape}, expected {y.shape}")
        dx = np.zeros(x.shape, dy.dtype)  # (N, C, H, W)
        for i in range(F):
            for j in range(F):
                dx[:, :, i : i + S * OH : S, j : j + S * OW : S] += dy / F**2
        return dx

    return y, backward


# %% [markdown]
# ## The source's picture


# %%
def picture() -> np.ndarray:
    """The four by four plane that the source pools to 6, 8, 3 and 4: (1, 1, 4, 4)."""
    plane = [[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]
    return np.array(plane, dtype=float)[None, None]


# %% [markdown]
# ## Figures


# %%
def draw_switches() -> None:
    """Three grids. Left, the source's 4 by 4 plane with the maximum of each 2 by 2
    window in bold: 6, 8, 3, 4. Middle, the pooled 2 by 2 plane. Right, the gradient of
    ones sent back: 1 at the four winners, 0 everywhere else.
    """
    import matplotlib.pyplot as plt

    x = picture()
    y, switches, backward = max_pool2d(x)
    dx = backward(np.ones_like(y))
    _, axes = plt.subplots(1, 3, figsize=(6.4, 2.4), layout="constrained")
    hairline = plt.rcParams["grid.color"]
    titles = ("input", "maxima", "gradient sent back")
    for ax, array, title in zip(axes, (x, y, dx), titles, strict=True):
        side = array.shape[2]
        for n, value in enumerate(array.ravel()):
            wins = side == 2 or n in switches
            style = {"ha": "center", "va": "center", "color": "C1" if wins else "C0"}
            style["weight"] = "bold" if wins else "normal"
            ax.text(n % side, n // side, f"{value:.0f}", **style)
        cut = 2 if side == 4 else 1
        for k in range(cut, side, cut):
            ax.axhline(k - 0.5, color=hairline, linewidth=1.2)
            ax.axvline(k - 0.5, color=hairline, linewidth=1.2)
        ax.set(xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.5))
        ax.set(xticks=[], yticks=[], aspect="equal", title=title)
        ax.spines[:].set_visible(False)


# %% tags=["active-ipynb"]
# draw_switches()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out = {}
    y, _, backward = max_pool2d(picture())
    for n, value in enumerate(y.ravel(), start=1):
        out[f"picture_max_{n}"] = value
    out["picture_pixels_with_gradient"] = np.count_nonzero(backward(np.ones_like(y)))

    for side, depth in ((224, 64), (32, 12)):
        x = np.zeros((1, depth, side, side))
        windows = pool_windows(x, 2, 2)
        out[f"side_from_{side}"] = windows.shape[3]
        out[f"depth_from_{side}"] = windows.shape[1]
    out["numbers_per_maximum"] = windows.shape[4] * windows.shape[5]
    out["share_discarded"] = 1 - max_pool2d(x)[0].size / x.size

    # one bright pixel wins in every window that it lies in
    for F in (2, 3):
        bright = np.outer(np.eye(7)[2], np.eye(7)[2])[None, None]  # (1, 1, 7, 7)
        y, _, backward = max_pool2d(bright, F, 2)
        out[f"wins_of_one_pixel_f{F}"] = backward(y)[0, 0, 2, 2]
    # a shift by the stride only shifts the output; a shift by one pixel changes it
    for shift in (0, 1, 2):
        x = np.eye(8)[[4 + shift] * 2][None, None]  # (1, 1, 2, 8)
        out[f"place_after_shift_{shift}"] = max_pool2d(x)[0].argmax()
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
