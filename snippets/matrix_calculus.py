# %% [markdown]
r"""
# The Jacobians of a layer, and backpropagation put together from them

Every operation in a layer has a matrix of derivatives. Write all of them out, multiply
them along the network, and backpropagation appears: the four equations are what is left
of that product when nobody multiplies by the zeros.

**Source:** A. Dhalla, *The Complete Mathematics of Neural Networks and Deep Learning*
(2021), whose outline this follows (1.5, 3.2 to 3.9, 4.2); M. Nielsen, *Neural Networks
and Deep Learning* (2015), chapter 2, eq. BP1 to BP4; T. Parr and J. Howard, *The Matrix
Calculus You Need For Deep Learning* (2018).

| symbol | name | shape |
| --- | --- | --- |
| $m, L$ | examples, layers | |
| $W^l$ (`W[l - 1]`) | weights into layer $l$ | $(n_l, n_{l-1})$ |
| $b^l$ (`b[l - 1]`) | biases of layer $l$ | $(n_l,)$ |
| $z^l, a^l$ | weighted inputs, activations | $(n_l,)$, or $(n_l, m)$ |
| $y$ | targets | as $a^L$ |
| $\delta^l$ (`delta`) | error: gradient of the cost with respect to $z^l$ | as $z^l$ |
| $J$ | Jacobian: a row per output, a column per input | (outputs, inputs) |

**Differs from the source:** the lecture itself could not be read; its formulas are the
standard ones that its outline names. Sigmoid throughout, as in Nielsen.

**Checked against:** `torch.autograd.functional.jacobian` and torch autograd (1e-10 in
float64), central differences (1e-7).

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

# %% [markdown]
# ## A Jacobian, the slow and sure way
# Nudge one input at a time and see what all outputs do: one column per input.


# %% By differences
def numeric_jacobian(
    f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, eps: float = 1e-5
) -> np.ndarray:
    """Central differences of f: (n,) -> (m,) at x: the Jacobian (m, n)."""
    columns = []
    for nudge in eps * np.eye(len(x)):  # (n,)
        # dF/dx_j = (F(x + eps e_j) - F(x - eps e_j)) / (2 eps) + O(eps^2)
        columns.append((f(x + nudge) - f(x - nudge)) / (2 * eps))  # (m,)
    return np.stack(columns, axis=1)  # (m, n)


# %% [markdown]
# Jacobians of functions that follow one another are multiplied, the last one leftmost.


# %% The chain rule
def chain_rule(functions: Sequence[Callable], x: np.ndarray) -> np.ndarray:
    """Jacobian at x (n,) of the functions, applied from first to last: (m, n)."""
    J = np.eye(len(x))  # (n, n)
    for f in functions:
        # J_{F o G}(x) = J_F(G(x)) J_G(x)
        J = numeric_jacobian(f, x) @ J
        x = f(x)
    return J


# %% [markdown]
# ## The operations of a neuron
# Where output $i$ depends on input $i$ alone, all other entries vanish: that is the
# whole reason for the diagonals. A sum has a row of ones, a scalar spread over a vector
# a column of ones.


# %% The Jacobians of the operations
def operation_jacobians(
    w: np.ndarray, x: np.ndarray, z: float
) -> dict[str, tuple[Callable, np.ndarray, np.ndarray]]:
    """Name -> the operation, the point, and its Jacobian there; w and x (n,)."""
    n = len(x)
    one = np.ones((n, 1))  # (n, 1)
    at_z = np.array([z])  # (1,)
    return {
        "w * x, by w": (lambda v: v * x, w, np.diag(x)),  # (n, n)
        "w * x, by x": (lambda v: w * v, x, np.diag(w)),  # (n, n)
        "w - x, by x": (lambda v: w - v, x, -np.eye(n)),  # (n, n)
        "w / x, by x": (lambda v: w / v, x, np.diag(-w / x**2)),  # (n, n)
        "x + z, by z": (lambda v: x + v, at_z, one),  # (n, 1)
        "z x, by z": (lambda v: v * x, at_z, x[:, None]),  # (n, 1)
        "sum x, by x": (lambda v: v.sum(keepdims=True), x, one.T),  # (1, n)
        "w . x, by w": (lambda v: np.array([v @ x]), w, one.T @ np.diag(x)),  # (1, n)
    }


# %% [markdown]
# ## The operations of a layer
# $z = W a + b$ and $a = \sigma(z)$. The derivative by $W$ is not a matrix: it has an
# output index and the two of $W$. It holds the input $a$, many times over, among zeros.


# %% The Jacobians of a layer
def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), written so that no z overflows."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def dz_da(W: np.ndarray) -> np.ndarray:
    """z = W a + b by a: W itself, (n_out, n_in)."""
    return W


def dz_db(n_out: int) -> np.ndarray:
    """z = W a + b by b: the identity, (n_out, n_out)."""
    return np.eye(n_out)


def dz_dw(a: np.ndarray, n_out: int) -> np.ndarray:
    """z = W a + b by W, for a (n_in,): an array of order 3, (n_out, n_out, n_in)."""
    # dz_i / dW_jk = a_k where i = j, else 0
    return np.eye(n_out)[:, :, None] * a  # (n_out, n_out, n_in)


def da_dz(z: np.ndarray) -> np.ndarray:
    """sigma(z) by z (n,): the slopes on a diagonal, (n, n)."""
    # sigma' = sigma (1 - sigma)
    return np.diag(sigmoid(z) * (1 - sigmoid(z)))  # (n, n)


def dc_da(a: np.ndarray, y: np.ndarray) -> np.ndarray:
    """C = 1/2 sum (a - y)^2 by a (n,): a row, (1, n)."""
    return (a - y)[None, :]  # (1, n)


def softmax_jacobian(z: np.ndarray) -> np.ndarray:
    """softmax(z) by z (n,): diag(p) - p p^T, (n, n). Not diagonal: all share a sum."""
    p = np.exp(z - z.max())  # (n,)
    p = p / p.sum()  # (n,)
    return np.diag(p) - p[:, None] * p  # (n, n)


# %% [markdown]
# ## The chain rule, written out
# One example. A row times matrices, from the cost back to the input; on the way, every
# layer hands over its two gradients.


# %% Gradients as products of Jacobians
def forward(
    W: list[np.ndarray], b: list[np.ndarray], x: np.ndarray
) -> tuple[list, list]:
    """x (n_0,) or (n_0, m) -> z^1 ... z^L and a^0 ... a^L.

    Raises:
        ValueError: x has not as many rows as the first layer has inputs.
    """
    if len(x) != W[0].shape[1]:
        raise ValueError(f"x has {len(x)} rows, expected {W[0].shape[1]}")
    zs, activations = [], [x]
    for l in range(len(W)):
        # z^l = W^l a^(l-1) + b^l,   a^l = sigma(z^l)
        z = ((W[l] @ activations[-1]).T + b[l]).T  # b on every column
        zs.append(z)  # (n_l,) or (n_l, m)
        activations.append(sigmoid(z))
    return zs, activations


def gradients_by_jacobians(
    W: list[np.ndarray], b: list[np.ndarray], x: np.ndarray, y: np.ndarray
) -> tuple[list, list]:
    """dC/dW and dC/db per layer, from full Jacobians; x (n_0,), y (n_L,)."""
    zs, a = forward(W, b, x)
    dW, db = [], []
    row = dc_da(a[-1], y)  # dC/da^L  (1, n_L)
    for l in reversed(range(len(W))):
        n = len(zs[l])
        row = row @ da_dz(zs[l])  # dC/dz = dC/da  da/dz  (1, n)
        db.insert(0, (row @ dz_db(n))[0])  # dC/db = dC/dz  dz/db  (n,)
        # dC/dW = dC/dz  dz/dW: a row times an array of order 3
        dW.insert(0, np.tensordot(row, dz_dw(a[l], n), axes=1)[0])  # (n, n_in)
        row = row @ dz_da(W[l])  # dC/da of the layer below  (1, n_in)
    return dW, db


# %% [markdown]
# ## The four equations
# The same product without the zeros, for $m$ examples at once, one per column. A
# diagonal matrix became an elementwise product, the row vector is written as a column,
# hence the transpose, and the array of order 3 became an outer product. The cost is the
# mean over the examples,
# $C = \frac{1}{2m} \sum (a - y)^2$.


# %% The four equations
def backpropagate(
    W: list[np.ndarray], b: list[np.ndarray], X: np.ndarray, Y: np.ndarray
) -> tuple[list, list]:
    """X (n_0, m), Y (n_L, m) -> dC/dW (n_l, n_{l-1}) and dC/db (n_l,) per layer.

    Raises:
        ValueError: Y has not the shape of the outputs.
    """
    _, a = forward(W, b, X)
    if Y.shape != a[-1].shape:
        raise ValueError(f"Y has shape {Y.shape}, expected {a[-1].shape}")
    m = X.shape[1]
    dW, db = [], []
    pull = a[-1] - Y  # dC/da^L, apart from 1/m  (n_L, m)
    for l in reversed(range(len(W))):
        # delta^L = (a^L - y) * sigma'(z^L)                    (E1, BP1)
        # delta^l = (W^(l+1))^T delta^(l+1) * sigma'(z^l)      (E2, BP2)
        delta = pull * a[l + 1] * (1 - a[l + 1])  # (n_l, m)
        # dC/db^l = delta^l, averaged over the examples        (E3, BP3)
        db.insert(0, delta.sum(axis=1) / m)  # (n_l,)
        # dC/dW^l = delta^l (a^(l-1))^T, averaged              (E4, BP4)
        dW.insert(0, delta @ a[l].T / m)  # (n_l, n_{l-1})
        pull = W[l].T @ delta  # (n_{l-1}, m)
    return dW, db


# %% [markdown]
# ## Why from the left
# A product of matrices may be bracketed in any way. With one number at the left end,
# the cost, going from the left keeps everything a row. That, and nothing else, is the
# *back* in backpropagation, which is also called reverse mode.


# %%
def products_from_left(sizes: Sequence[int]) -> int:
    """Multiplications of (s0 x s1)(s1 x s2)..., first factors first."""
    return sizes[0] * sum(p * q for p, q in pairwise(sizes[1:]))


def products_from_right(sizes: Sequence[int]) -> int:
    """Multiplications of (s0 x s1)(s1 x s2)..., last factors first."""
    return products_from_left(sizes[::-1])


def products_of_passes(sizes: Sequence[int]) -> tuple[int, int]:
    """Multiplications with weights or activations, up and down, for one example."""
    pairs = [p * q for p, q in pairwise(sizes)]
    # up: W a for every layer. Down: E4 for every layer, E2 for all but the first
    return sum(pairs), sum(pairs) + sum(pairs[1:])


# %% [markdown]
# ## A network small enough for paper
# Two inputs, three hidden units, two outputs; one example.


# %%
def small_network() -> tuple[list, list, np.ndarray, np.ndarray]:
    """W and b of a 2-3-2 network, an input (2,) and its target (2,)."""
    W = [
        np.array([[0.1, 0.2], [-0.3, 0.4], [0.5, -0.6]]),
        np.array([[0.7, -0.8, 0.9], [-1.0, 1.1, -1.2]]),
    ]
    b = [np.array([0.01, -0.02, 0.03]), np.array([0.04, -0.05])]
    return W, b, np.array([1.0, 0.5]), np.array([0.0, 1.0])


# %% [markdown]
# ## Figures
# A square per entry, its area the size: filled for positive, hollow for negative.


# %%
def draw_matrix(ax: "plt.Axes", J: np.ndarray, title: str) -> None:  # noqa: F821
    """Draw a matrix as squares; zeros leave a dot."""
    import matplotlib.pyplot as plt

    largest = np.abs(J).max()
    for (i, j), value in np.ndenumerate(J):
        side = 0.86 * np.sqrt(abs(value) / largest)
        corner = (j - side / 2, i - side / 2)
        color = "C0" if value > 0 else "none"
        edge = "C0" if value > 0 else "C1"
        ax.add_patch(
            plt.Rectangle(corner, side, side, facecolor=color, edgecolor=edge, lw=1.6)
        )
    ax.plot(*np.argwhere(J == 0).T[::-1], "C2.", markersize=3, linestyle="none")
    ax.set(xlim=(-0.6, J.shape[1] - 0.4), ylim=(J.shape[0] - 0.4, -0.6))
    ax.set(xticks=[], yticks=[], aspect="equal")
    ax.set_title(title, fontsize="small", loc="center")
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)


def draw_operations() -> None:
    """Eight small matrices of squares. The elementwise operations w times x, w minus x
    and w over x have squares on the diagonal only. Adding or multiplying by a scalar z
    gives a column. The sum of x gives a row of equal squares, and the product w dot x,
    by w, a row that grows as x does.
    """
    import matplotlib.pyplot as plt

    w, x = np.array([1.0, 2, 3]), np.array([4.0, 5, 6])
    table = operation_jacobians(w, x, 7.0)
    _, axes = plt.subplots(2, 4, figsize=(6.4, 3.4), layout="constrained")
    for ax, (name, (_, _, J)) in zip(axes.flat, table.items(), strict=True):
        draw_matrix(ax, J, name)


# %% tags=["active-ipynb"]
# draw_operations()


# %%
def draw_chain() -> None:
    """Five matrices of squares in a row, the backward pass of the small network. A row
    of two, one positive and one negative; a 2 by 2 diagonal of slopes; the 2 by 3
    weights; a 3 by 3 diagonal of slopes; and their product, a row of three: positive,
    negative, positive.
    """
    import matplotlib.pyplot as plt

    W, b, x, y = small_network()
    (z1, z2), (_, _, a2) = forward(W, b, x)
    factors = {
        "dC/da²": dc_da(a2, y),
        "da²/dz²": da_dz(z2),
        "dz²/da¹": dz_da(W[1]),
        "da¹/dz¹": da_dz(z1),
        "= dC/dz¹": dc_da(a2, y) @ da_dz(z2) @ dz_da(W[1]) @ da_dz(z1),
    }
    _, axes = plt.subplots(
        1, 5, figsize=(6.4, 2.2), layout="constrained", width_ratios=[2, 2, 3, 3, 3]
    )
    for ax, (name, J) in zip(axes, factors.items(), strict=True):
        draw_matrix(ax, J, name)
        ax.set_ylim(2.6, -0.6)
        ax.set_xlabel(f"{J.shape[0]} × {J.shape[1]}")


# %% tags=["active-ipynb"]
# draw_chain()

# %% [markdown]
# ## Numbers


# %%
def textbook_examples() -> dict[str, float]:
    """Derivatives that the two recommended texts print, by differences and products."""
    x, y = np.array([3.0]), 2.0  # any point will do  (1,)
    # Parr & Howard: f = 3 x^2 y and g = 2 x + y^8, gradients (6yx, 3x^2) and (2, 8y^7)
    J = numeric_jacobian(
        lambda v: np.array([3 * v[0] ** 2 * v[1], 2 * v[0] + v[1] ** 8]),
        np.append(x, y),
    )  # (2, 2)
    J = J / [[x[0] * y, x[0] ** 2], [1, y**7]]  # leaves the coefficients  (2, 2)
    out = {"f_by_x": J[0, 0], "f_by_y": J[0, 1], "g_by_x": J[1, 0], "g_by_y": J[1, 1]}
    # y = x + u with u = x^2, by x: (1, 1) times (1, 2x)^T, so 1 + 2x
    paths = [lambda x: np.append(x, x**2), lambda v: v.sum(keepdims=True)]
    out["total_coefficient"] = (chain_rule(paths, x)[0, 0] - 1) / x[0]
    # (ln g1, sin g2) of g = (x^2, 3x), by x: (2/x, 3 cos 3x)
    pair = [
        lambda x: np.append(x**2, 3 * x),
        lambda g: np.array([np.log(g[0]), np.sin(g[1])]),
    ]
    by_x = chain_rule(pair, x)[:, 0]  # (2,)
    out["ln_times_x"], out["sin_over_cos"] = by_x * [x[0], 1 / np.cos(3 * x[0])]
    # y = ln(sin(x^3)^2), by x: 6 x^2 cos(x^3) / sin(x^3)
    nested = [lambda x: x**3, np.sin, np.square, np.log]
    by_x = chain_rule(nested, x)[0, 0]
    out["nested_coefficient"] = by_x * np.tan(x[0] ** 3) / x[0] ** 2
    # Nielsen: (1, 2) * (3, 4), elementwise, is a diagonal matrix times (3, 4)
    t = np.array([3.0, 4])  # (2,)
    J = numeric_jacobian(lambda t: np.array([1.0, 2]) * t, t)  # (2, 2)
    out["hadamard_1"], out["hadamard_2"] = J @ t
    return out


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out = textbook_examples()

    W, b, x, y = small_network()
    (z1, z2), (_, a1, a2) = forward(W, b, x)
    dW, db = backpropagate(W, b, x[:, None], y[:, None])
    vectors = {"z1": z1, "a1": a1, "z2": z2, "a2": a2, "delta1": db[0], "delta2": db[1]}
    for name, vector in vectors.items():
        out |= {f"{name}_{i + 1}": value for i, value in enumerate(vector)}
    for l, matrix in enumerate(dW, start=1):
        for (i, j), value in np.ndenumerate(matrix):
            out[f"dW{l}_{i + 1}{j + 1}"] = value
    out["cost"] = 0.5 * ((a2 - y) ** 2).sum()

    cube = dz_dw(np.arange(1.0, 785), 30)  # (30, 30, 784)
    out["cube_entries"], out["cube_nonzero"] = cube.size, np.count_nonzero(cube)
    for name, sizes in (("784_30_10", (784, 30, 10)), ("deep", (100,) * 21)):
        up, down = products_of_passes(sizes)
        out[f"products_up_{name}"], out[f"products_down_{name}"] = up, down
        out[f"passes_{name}"] = (up + down) / up
    # dC/da^2, W^2, W^1 of a 784-30-10 network, slopes left out
    out["products_left"] = products_from_left([1, 10, 30, 784])
    out["products_right"] = products_from_right([1, 10, 30, 784])
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
