# %% [markdown]
r"""
# Convolution, forward and backward

A convolutional layer as one writes it down, with loops; as one matrix product (im2col);
and its three gradients, which turn out to be convolutions too. Stride, padding and
dilation included.

**Source:** Andrej Karpathy, *Convolutional Neural Networks*, CS231n course notes
(2015), section on the convolutional layer.

| symbol | name | shape |
| --- | --- | --- |
| $N, C, K$ | images in a batch, channels in, filters | |
| $W, H$ (`x.shape[3]`, `x.shape[2]`) | width and height of the input | |
| $F$ | side of a filter (`FH`, `FW`: its height and width) | |
| $S, P$ (`stride`, `pad`) | stride, and zeros added on each side | |
| $d$ (`dilation`) | distance between two taps of a filter, 1 if they touch | |
| $x$ (`x`) | input | $(N, C, H, W)$ |
| $w$ (`w`) | filters | $(K, C, F, F)$ |
| $b$ (`b`) | biases | $(K,)$ |
| $y$ (`y`) | output, `OH` by `OW` | $(N, K, OH, OW)$ |
| `cols` | im2col: a column for each place | $(N, C F F, OH\,OW)$ |

**Differs from the source:** channels come before height and width, as in PyTorch. It
adds the backward pass, which the source leaves out. Where a filter does not fit, the
source calls the layer invalid; `conv2d` drops the rest as libraries do, and `out_size`
can be told to refuse. Dilation counts as in libraries: 1 where the source says 0.

**Checked against:** `torch.nn.functional.conv2d` and `unfold`, torch autograd for the
gradients, `scipy.signal.correlate2d` (1e-10 in float64).

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Callable

import numpy as np

# %% [markdown]
# ## How many places a filter has
# A filter of side $F$ whose taps are $d$ apart is $d(F-1) + 1$ wide. It starts at the
# left edge of the padded input and moves $S$ at a time.


# %%
def places(W: int, F: int, stride: int = 1, pad: int = 0, dilation: int = 1) -> float:
    """(W - F + 2P)/S + 1 as it comes out, whole or not.

    Raises:
        ValueError: a size is below 1, pad below 0, or the filter is too large.
    """
    for name, size in (("W", W), ("F", F), ("stride", stride), ("dilation", dilation)):
        if size < 1:
            raise ValueError(f"{name} is {size}, expected at least 1")
    if pad < 0:
        raise ValueError(f"pad is {pad}, expected at least 0")
    extent = dilation * (F - 1) + 1
    if extent > W + 2 * pad:
        raise ValueError(f"the filter spans {extent} of {W + 2 * pad} padded pixels")
    return (W - extent + 2 * pad) / stride + 1


def out_size(
    W: int,
    F: int,
    stride: int = 1,
    pad: int = 0,
    dilation: int = 1,
    must_fit: bool = False,
) -> int:
    """The side of the output, rounded down as libraries do.

    Raises:
        ValueError: `must_fit`, and the filter does not end at the last pixel.
    """
    exact = places(W, F, stride, pad, dilation)
    if must_fit and exact != int(exact):
        raise ValueError(f"{exact:g} places: stride {stride} does not fit")
    return int(exact)


def check_shapes(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> None:
    """Raises ValueError unless x (N, C, H, W), w (K, C, FH, FW) and b (K,) fit."""
    if x.ndim != 4 or w.ndim != 4 or x.shape[1] != w.shape[1]:
        wanted = "expected (N, C, H, W) and (K, C, FH, FW)"
        raise ValueError(f"x has shape {x.shape} and w {w.shape}, {wanted}")
    if b is not None and b.shape != (len(w),):
        raise ValueError(f"b has shape {b.shape}, expected {(len(w),)}")


# %% [markdown]
# ## As one writes it down
# For each image, filter and place: cut out the window, multiply by the filter, add up.


# %%
def conv2d_naive(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray,
    stride: int = 1,
    pad: int = 0,
    dilation: int = 1,
) -> np.ndarray:
    """x (N, C, H, W), w (K, C, FH, FW), b (K,) -> y (N, K, OH, OW), by loops.

    Raises:
        ValueError: the shapes of x, w and b do not belong together.
    """
    check_shapes(x, w, b)
    N, _, H, W = x.shape
    K, _, FH, FW = w.shape
    OH = out_size(H, FH, stride, pad, dilation)
    OW = out_size(W, FW, stride, pad, dilation)
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))  # (N, C, H+2P, W+2P)
    y = np.empty((N, K, OH, OW), np.result_type(x, w, b))  # (N, K, OH, OW)
    for n in range(N):
        for k in range(K):
            for i in range(OH):
                for j in range(OW):
                    rows = i * stride + dilation * np.arange(FH)  # (FH,)
                    columns = j * stride + dilation * np.arange(FW)  # (FW,)
                    window = padded[n][:, rows[:, None], columns]  # (C, FH, FW)
                    y[n, k, i, j] = np.sum(window * w[k]) + b[k]
    return y


# %% [markdown]
# ## As one matrix product
# Every window becomes a column (im2col), every filter a row. Then all dot products are
# one product of two matrices, and the library that multiplies matrices does the work.
# The price is memory: a pixel is stored once for each window that it lies in.


# %% im2col
def im2col(
    x: np.ndarray,
    FH: int,
    FW: int,
    stride: int = 1,
    pad: int = 0,
    dilation: int = 1,
) -> np.ndarray:
    """x (N, C, H, W) -> cols (N, C FH FW, OH OW): each column is one window."""
    N, C, H, W = x.shape
    OH = out_size(H, FH, stride, pad, dilation)
    OW = out_size(W, FW, stride, pad, dilation)
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))  # (N, C, H+2P, W+2P)
    extent = (dilation * (FH - 1) + 1, dilation * (FW - 1) + 1)
    # every window, as a view: no pixel is copied yet
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]
    windows = windows.transpose(0, 1, 4, 5, 2, 3)  # (N, C, FH, FW, OH, OW)
    return windows.reshape(N, C * FH * FW, OH * OW)  # here they are copied


def col2im(
    cols: np.ndarray,
    shape: tuple[int, int, int, int],
    FH: int,
    FW: int,
    stride: int = 1,
    pad: int = 0,
    dilation: int = 1,
) -> np.ndarray:
    """The transpose of im2col: cols back to `shape`, adding where windows overlap."""
    N, C, H, W = shape
    OH = out_size(H, FH, stride, pad, dilation)
    OW = out_size(W, FW, stride, pad, dilation)
    cols = cols.reshape(N, C, FH, FW, OH, OW)
    padded = np.zeros((N, C, H + 2 * pad, W + 2 * pad), cols.dtype)
    for i in range(FH):  # tap (i, j) of the filter, at all places at once
        for j in range(FW):
            rows = slice(i * dilation, i * dilation + stride * OH, stride)
            columns = slice(j * dilation, j * dilation + stride * OW, stride)
            padded[:, :, rows, columns] += cols[:, :, i, j]  # (N, C, OH, OW)
    return padded[:, :, pad : pad + H, pad : pad + W]  # (N, C, H, W)


# %% The layer
def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    stride: int = 1,
    pad: int = 0,
    dilation: int = 1,
) -> tuple[np.ndarray, Callable]:
    """x (N, C, H, W), w (K, C, FH, FW), b (K,) -> y (N, K, OH, OW), backward.

    Raises:
        ValueError: the shapes of x, w and b do not belong together, or in `backward` dy
            has not y's shape.
    """
    check_shapes(x, w, b)
    N, _, H, W = x.shape
    K, _, FH, FW = w.shape
    b = np.zeros(K, w.dtype) if b is None else b  # (K,)
    OH = out_size(H, FH, stride, pad, dilation)
    OW = out_size(W, FW, stride, pad, dilation)

    cols = im2col(x, FH, FW, stride, pad, dilation)  # (N, C FH FW, OH OW)
    w_row = w.reshape(K, -1)  # (K, C FH FW)
    # y = w_row cols + b, a bias for each row
    y = w_row @ cols + b[:, None]  # (N, K, OH OW)

    def backward(dy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The loss gradient of y -> those of x, w and b."""
        if dy.shape != (N, K, OH, OW):
            raise ValueError(f"dy has shape {dy.shape}, expected {(N, K, OH, OW)}")
        dy = dy.reshape(N, K, OH * OW)  # (N, K, OH OW)
        # y = w_row cols + b, so dw_row = dy cols^T, db = sum dy, dcols = w_row^T dy
        dw = (dy @ cols.transpose(0, 2, 1)).sum(axis=0)  # (K, C FH FW)
        db = dy.sum(axis=(0, 2))  # (K,)
        dcols = w_row.T @ dy  # (N, C FH FW, OH OW)
        dx = col2im(dcols, x.shape, FH, FW, stride, pad, dilation)  # (N, C, H, W)
        return dx, dw.reshape(w.shape), db

    return y.reshape(N, K, OH, OW), backward


# %% [markdown]
# ## Not shared
# Without sharing, each place has filters of its own: a locally-connected layer.


# %%
def locally_connected(cols: np.ndarray, w: np.ndarray) -> np.ndarray:
    """cols (N, R, L), w (L, K, R), filters for each place -> y (N, K, L)."""
    return np.einsum("lkr,nrl->nkl", w, cols)  # (N, K, L)


# %% [markdown]
# ## The gradients are convolutions too
# What the layer computes is a cross-correlation: the filter is not flipped. The
# gradient of the data slides the *flipped* filters over the output's gradient, with so
# much padding that they only just touch it. The gradient of the filters slides the
# output's gradient over the input, and nothing is flipped.


# %% Gradients by convolution
def data_gradient(dy: np.ndarray, w: np.ndarray) -> np.ndarray:
    """dx of a layer with stride 1, no padding: dy (N, K, OH, OW) -> (N, C, H, W)."""
    FH, FW = w.shape[2:]
    grown = np.pad(dy, ((0, 0), (0, 0), (FH - 1, FH - 1), (FW - 1, FW - 1)))
    flipped = w[:, :, ::-1, ::-1].swapaxes(0, 1)  # (C, K, FH, FW)
    return conv2d(grown, flipped)[0]  # (N, C, OH + FH - 1, OW + FW - 1)


def weight_gradient(x: np.ndarray, dy: np.ndarray, stride: int = 1) -> np.ndarray:
    """dw of a layer without padding: x (N, C, H, W), dy (N, K, OH, OW) -> w's shape.

    The stride becomes a dilation: neighbours in dy looked at pixels S apart. The last
    window must end at the last pixel: cut off first what no window reached.
    """
    x, dy = x.swapaxes(0, 1), dy.swapaxes(0, 1)  # (C, N, H, W), (K, N, OH, OW)
    return conv2d(x, dy, dilation=stride)[0].swapaxes(0, 1)  # (K, C, FH, FW)


# %% [markdown]
# ## Two small examples
# The 1-D picture of the source, in which everything can be followed by eye; and an
# input of the size of its animated demonstration, with small whole numbers of our own.


# %%
def stride_picture(stride: int) -> np.ndarray:
    """The source's drawing: five inputs, a zero on each side, the filter [1, 0, -1]."""
    x = np.array([0.0, 1, 2, -1, 1, -3, 0]).reshape(1, 1, 1, 7)  # padded by hand
    w = np.array([1.0, 0, -1]).reshape(1, 1, 1, 3)
    return conv2d(x, w, stride=stride)[0].ravel()  # (5,) or (3,)


def demo() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (1, 3, 5, 5) of 0, 1, 2; w (2, 3, 3, 3) of -1, 0, 1; b = [1, 0]."""
    c, i, j = np.ogrid[:3, :5, :5]  # (3, 1, 1), (1, 5, 1), (1, 1, 5)
    x = (2 * i * i + j * j + i * j + c * (i + 2 * j + 1)) % 3  # (3, 5, 5)
    k, c, i, j = np.ogrid[:2, :3, :3, :3]
    w = (i + 2 * j * j + i * j + c + k * (i + 1)) % 3 - 1  # (2, 3, 3, 3)
    return x[None].astype(float), w.astype(float), np.array([1.0, 0.0])


# %% [markdown]
# ## Figures


# %%
def draw_im2col() -> None:
    """Two panels. Left, a 5 by 5 image whose pixels are numbered 1 to 25, the first
    3 by 3 window framed. Right, its im2col matrix of 9 rows and 9 columns: the first
    column holds the pixels of the framed window, the middle pixel 13 stands in every
    column, and a corner pixel only in one.
    """
    import matplotlib.pyplot as plt

    x = np.arange(1.0, 26).reshape(1, 1, 5, 5)
    cols = im2col(x, 3, 3)[0]  # (9, 9)
    _, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
    for ax, array in zip(axes, (x[0, 0], cols), strict=True):
        for i, row in enumerate(array):
            for j, value in enumerate(row):
                bold = "bold" if value == 13 else "normal"
                color = "C1" if value == 13 else "C0"
                text = f"{value:.0f}"
                ax.text(j, i, text, ha="center", va="center", weight=bold, color=color)
        ax.set(xlim=(-0.7, len(array) - 0.3), ylim=(len(array) - 0.3, -0.7))
        ax.set(xticks=[], yticks=[], aspect="equal")
        ax.spines[:].set_visible(False)
    axes[0].plot([-0.5, 2.5, 2.5, -0.5, -0.5], [-0.5, -0.5, 2.5, 2.5, -0.5], color="C2")
    axes[1].plot([-0.5, 0.5, 0.5, -0.5, -0.5], [-0.5, -0.5, 8.5, 8.5, -0.5], color="C2")
    axes[0].set_title("image")
    axes[1].set_title("im2col: a window is a column")


# %% tags=["active-ipynb"]
# draw_im2col()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out = {}
    for W, F, S, P in [
        (7, 3, 1, 0),
        (7, 3, 2, 0),
        (5, 3, 1, 1),
        (5, 3, 2, 1),
        (5, 3, 1, 0),
        (5, 3, 3, 1),
        (10, 3, 2, 0),
        (227, 11, 4, 0),
        (224, 11, 4, 0),
        (11, 5, 2, 0),
        (12, 7, 1, 0),
    ]:
        out[f"places_w{W}_f{F}_s{S}_p{P}"] = places(W, F, S, P)
    # the width at which AlexNet's first layer has 55 places, and what 224 lacks
    alexnet = next(W for W in range(11, 300) if places(W, 11, 4) == 55)
    out["alexnet_width_that_fits"] = alexnet
    out["alexnet_missing_pixels"] = alexnet - 224
    out["alexnet_places_torchvision"] = out_size(224, 11, 4, 2)  # of 64 filters
    for F in (3, 5):  # the padding that keeps the size
        out[f"same_pad_f{F}"] = next(P for P in range(F) if out_size(32, F, 1, P) == 32)

    for stride in (1, 2):
        for n, y in enumerate(stride_picture(stride), start=1):
            out[f"picture_s{stride}_{n}"] = y
    for n, y in enumerate(np.convolve([1, 2, -1, 1, -3], [1, 0, -1], "same"), start=1):
        out[f"picture_true_convolution_{n}"] = y

    # AlexNet's first layer, by im2col, with numbers that do not matter
    x, w = np.zeros((1, 3, 227, 227)), np.zeros((96, 3, 11, 11))
    cols = im2col(x, 11, 11, stride=4)
    out["im2col_rows"], out["im2col_columns"] = cols.shape[1:]
    out["im2col_numbers"] = cols.size
    out["im2col_copies_per_pixel"] = cols.size / x.size
    out["product_rows"] = (w.reshape(len(w), -1) @ cols).shape[1]
    out["im2col_numbers_32_f3"] = im2col(x[:, :, :32, :32], 3, 3, pad=1).size
    out["weights_1x1_depth3"] = w[:1, :, :1, :1].size

    # the source's dilation 1 multiplies x0, x2 and x4: which one is that in libraries?
    x = np.arange(1.0, 8).reshape(1, 1, 1, 7)
    w = np.array([1.0, 10, 100]).reshape(1, 1, 1, 3)
    for d in (1, 2):
        out[f"dilation_{d}_first"] = conv2d(x, w, dilation=d)[0][0, 0, 0, 0]
    gapped = x[..., 0] + 10 * x[..., 2] + 100 * x[..., 4]
    firsts = {d: conv2d(x, w, dilation=d)[0][..., 0] for d in (1, 2, 3)}
    out["dilation_of_a_gap_of_one"] = next(d for d in firsts if firsts[d] == gapped)

    # the demonstration: 3 x 3 x 2 outputs, and how many real pixels each looks at
    x, w, b = demo()
    y, _ = conv2d(x, w, b, stride=2, pad=1)
    out["demo_side"] = y.shape[3]
    for k in range(2):
        for i in range(3):
            for j in range(3):
                out[f"demo_{k + 1}_{i + 1}_{j + 1}"] = y[0, k, i, j]
    ones, _ = conv2d(np.ones_like(x), np.ones_like(w[:1]), stride=2, pad=1)
    (corner, edge, _), (_, centre, _), _ = ones[0, 0]  # 3 x 3
    out["demo_pixels_corner"], out["demo_pixels_edge"] = corner, edge
    out["demo_pixels_centre"] = centre

    # the gradients as convolutions, flipped and not
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 8, 8))
    w = rng.standard_normal((4, 3, 3, 3))
    y, backward = conv2d(x, w)
    dy = rng.standard_normal(y.shape)
    dx, dw, _ = backward(dy)
    out["data_gradient_gap"] = np.abs(data_gradient(dy, w) - dx).max()
    unflipped = data_gradient(dy, w[:, :, ::-1, ::-1])
    out["data_gradient_gap_unflipped"] = np.abs(unflipped - dx).max()
    out["weight_gradient_gap"] = np.abs(weight_gradient(x, dy) - dw).max()
    flipped = weight_gradient(x, dy[:, :, ::-1, ::-1])
    out["weight_gradient_gap_flipped"] = np.abs(flipped - dw).max()
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
