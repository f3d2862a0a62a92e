# %% [markdown]
r"""
# A scalar autograd engine

A number that remembers where it came from. Each operator writes down its result and,
in the same line, its derivatives; one loop over the graph, last node first, turns them
into the derivative of the result with respect to everything. With it: the examples of
the first lecture, the four ways to get it wrong, and the demo that trains 337
parameters on two moons, digit for digit.

**Source:** Andrej Karpathy, *Neural Networks: Zero to Hero* (2022), lecture 1: its two
notebooks, and the repository micrograd (2020): readme, `engine.py`, `nn.py`, `demo`.

| symbol | name | shape |
| --- | --- | --- |
| $v$ (`data`) | the number in a node | scalar |
| $\partial L / \partial v$ (`grad`) | derivative of the last node by this | scalar |
| $\partial v / \partial u$ (`slopes`) | the same by its parent $u$ | one each |
| $X, y$ | points of two moons, and their side: -1 or 1 | $(B, 2), (B,)$ |
| $W_l, b_l$ | weights and biases of layer $l$ | $(n_l, n_{l-1}), (n_l,)$ |
| $\alpha$ (`PENALTY`) | weight of the penalty on all parameters, $10^{-4}$ | |

**Differs from the source:** a node keeps slopes, not a function; the order is found
without recursion, so that a long chain does not hit Python's limit; `backward` clears
the nodes in between first, so that calling it twice is right. The long run on the moons
uses the same derivatives on whole arrays.

**Checked against:** torch autograd, `sklearn.datasets.make_moons` (1e-10 in float64).

**Takes:** 2 s on one core.
"""

# %%
import math
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import mul

import numpy as np

# %% [markdown]
# ## The engine
# Read one operator and the rest is known: the result, the parents, the slopes.


# %%
class Value:
    """A number in a graph: data, grad, and the parents it was computed from."""

    __slots__ = ("data", "grad", "parents", "slopes")

    def __init__(
        self,
        data: float,
        parents: tuple["Value", ...] = (),
        slopes: tuple[float, ...] = (),
    ):
        self.data, self.grad = data, 0.0
        self.parents, self.slopes = parents, slopes

    def __add__(self, other: "Value | float") -> "Value":
        other = lift(other)
        # v = a + b:   dv/da = 1,   dv/db = 1
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: "Value | float") -> "Value":
        other = lift(other)
        # v = a b:   dv/da = b,   dv/db = a
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, k: float) -> "Value":
        if not isinstance(k, int | float):
            raise ValueError(f"the exponent must be a plain number, got {k!r}")
        # v = a^k:   dv/da = k a^(k - 1)
        return Value(self.data**k, (self,), (k * self.data ** (k - 1),))

    def exp(self) -> "Value":
        """e to the power of this number."""
        v = math.exp(self.data)
        # v = e^a:   dv/da = v
        return Value(v, (self,), (v,))

    def tanh(self) -> "Value":
        """Hyperbolic tangent."""
        v = math.tanh(self.data)
        # v = tanh a:   dv/da = 1 - v^2
        return Value(v, (self,), (1 - v**2,))

    def relu(self) -> "Value":
        """The number, or 0 where it is negative."""
        # v = max(a, 0):   dv/da = 1 where a > 0, else 0
        return Value(max(self.data, 0.0), (self,), (float(self.data > 0),))

    def __neg__(self) -> "Value":
        return self * -1

    def __sub__(self, other: "Value | float") -> "Value":
        return self + -other

    def __rsub__(self, other: float) -> "Value":
        return -self + other

    def __truediv__(self, other: "Value | float") -> "Value":
        return self * lift(other) ** -1

    def __rtruediv__(self, other: float) -> "Value":
        return self**-1 * other

    __radd__, __rmul__ = __add__, __mul__

    def backward(self) -> None:
        """Add to `grad` of every leaf the derivative of this node by that leaf.

        Leaves (nodes without parents) collect over calls: set their `grad` to 0 before
        a new step. The nodes in between start from 0 in each call.
        """
        order = topological(self)
        for node in order:
            if node.parents:
                node.grad = 0.0
        self.grad = 1.0
        # dL/du = sum over the nodes v that u goes into of dv/du dL/dv
        for node in reversed(order):
            for parent, slope in zip(node.parents, node.slopes, strict=True):
                parent.grad += slope * node.grad


def lift(x: "Value | float") -> Value:
    """A Value as it is, a plain number as a new leaf."""
    return x if isinstance(x, Value) else Value(x)


def topological(last: Value) -> list[Value]:
    """All nodes that `last` was computed from, and itself: parents before children."""
    order: list[Value] = []
    seen: set[Value] = set()
    stack = [(last, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return order


# %% [markdown]
# ## Why the order matters
# The obvious recursion passes a gradient on as soon as one arrives. A node that is used
# twice then passes its first share on twice. It looks right on every tree, where each
# node is used once.


# %%
def backward_without_order(node: Value) -> None:
    """The wrong way: push what a node has so far, each time it is reached."""
    for parent, slope in zip(node.parents, node.slopes, strict=True):
        parent.grad += slope * node.grad
        backward_without_order(parent)


def used_twice(a: Value, b: Value) -> Value:
    """y = (a + b) + a b + (a + b) a b: both the sum and the product are used twice."""
    c, d = a + b, a * b
    return (c + d) + c * d


# %% [markdown]
# ## A network of numbers, and the same in arrays
# A network is sums and products, so the engine trains it: some 70,000 nodes for one
# look at 100 points. The arrays below do the same sums at once. First the course's
# weights: drawn unit by unit from Python's own `random`, biases 0.


# %%
PENALTY = 1e-4
Layers = list[tuple[np.ndarray, np.ndarray]]  # W (n_out, n_in), b (n_out,)


def init_layers(sizes: Sequence[int], seed: int) -> Layers:
    """Weights uniform between -1 and 1, biases 0, as micrograd draws them.

    Raises ValueError if there are fewer than two sizes or one is below 1.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must be two or more numbers above 0, got {sizes}")
    rng = random.Random(seed)
    layers = []
    for n, m in pairwise(sizes):
        W = np.reshape([rng.uniform(-1, 1) for _ in range(m * n)], (m, n))  # (m, n)
        layers.append((W, np.zeros(m)))
    return layers


def count(layers: Layers) -> int:
    """Number of parameters."""
    return sum(W.size + b.size for W, b in layers)


def scalar_loss(layers: Layers, X: np.ndarray, y: np.ndarray) -> tuple[Value, list]:
    """The loss as one node, and the layers as nested lists of leaves [(W, b), ...]."""
    nodes = [
        ([[Value(w) for w in row] for row in W.tolist()], [Value(c) for c in b])
        for W, b in layers
    ]
    total = lift(0.0)
    for point, side in zip(X.tolist(), y.tolist(), strict=True):
        values: list = [Value(coordinate) for coordinate in point]
        for W, b in nodes:
            # z_i = b_i + sum_j W_ij x_j;   ReLU, except in the last layer
            z = [sum(map(mul, r, values), c) for r, c in zip(W, b, strict=True)]
            values = z if W is nodes[-1][0] else [unit.relu() for unit in z]
        # the hinge: 0 once the score is on the right side by 1
        total = total + (1 + -side * values[0]).relu()
    squares = [p * p for W, b in nodes for r in (*W, b) for p in r]
    return total * (1.0 / len(y)) + PENALTY * sum(squares), nodes


def loss_and_gradients(
    layers: Layers, X: np.ndarray, y: np.ndarray
) -> tuple[float, np.ndarray, Layers]:
    """Loss, scores (B,) and gradients of all parameters, for X (B, 2) and y (B,).

    Raises ValueError unless X has a row for each of y and a column for each input.
    """
    if X.shape != (len(y), layers[0][0].shape[1]):
        wanted = (len(y), layers[0][0].shape[1])
        raise ValueError(f"X must be {wanted}, a row for each of y, got {X.shape}")
    inputs = []
    values = X  # (B, n_0)
    for W, b in layers:
        inputs.append(values)
        z = values @ W.T + b  # (B, n_l)
        values = np.maximum(z, 0.0)  # (B, n_l)
    scores = z[:, 0]  # (B,)
    # L = mean of max(0, 1 - y s) + alpha sum p^2
    hinge = np.maximum(1 - y * scores, 0.0)  # (B,)
    squares = sum((W**2).sum() + (b**2).sum() for W, b in layers)
    # dL/ds = -y / B where the hinge is open
    dz = (-y * (hinge > 0) / len(y))[:, None]  # (B, 1)
    grads: Layers = []
    for (W, b), x in zip(reversed(layers), reversed(inputs), strict=True):
        # z = x W^T + b:   dW = dz^T x,   db = sum dz,   dx = dz W
        grads.append((dz.T @ x + 2 * PENALTY * W, dz.sum(axis=0) + 2 * PENALTY * b))
        dz = dz @ W * (x > 0)  # (B, n_(l-1)): x is what the ReLU before let through
    return float(hinge.mean() + PENALTY * squares), scores, grads[::-1]


# %% [markdown]
# ## The demo: two moons


# %%
def moons(n: int, noise: float, rng: np.random.RandomState) -> tuple:
    """Two half circles, shuffled and blurred: X (n, 2), y (n,) of -1 and 1.

    The draws are those of scikit-learn's `make_moons`, in its order.
    Raises ValueError if n is odd or below 2, or noise is negative.
    """
    if n < 2 or n % 2 or noise < 0:
        raise ValueError(f"n must be even and noise >= 0, got {n} and {noise}")
    t = np.linspace(0, np.pi, n // 2)  # (n / 2,)
    upper = np.c_[np.cos(t), np.sin(t)]  # (n / 2, 2)
    lower = np.c_[1 - np.cos(t), 1 - np.sin(t) - 0.5]  # (n / 2, 2)
    order = np.arange(n)  # (n,)
    rng.shuffle(order)
    X = np.r_[upper, lower][order]  # (n, 2)
    y = np.repeat([-1, 1], n // 2)[order]  # (n,)
    return X + rng.normal(scale=noise, size=X.shape), y


def train(layers: Layers, X: np.ndarray, y: np.ndarray) -> Iterator[tuple]:
    """100 steps of the demo, in place: loss and accuracy before each step."""
    for k in range(100):
        loss, scores, grads = loss_and_gradients(layers, X, y)
        yield loss, float(((scores > 0) == (y > 0)).mean())
        rate = 1.0 - 0.9 * k / 100
        for (W, b), (dW, db) in zip(layers, grads, strict=True):
            W -= rate * dW
            b -= rate * db


def demo(seed: int) -> tuple[np.ndarray, Layers, np.ndarray, np.ndarray]:
    """The run with one seed for points and weights: (100, 2), layers, X and y."""
    X, y = moons(100, 0.1, np.random.RandomState(seed))
    layers = init_layers((2, 16, 16, 1), seed)
    return np.array(list(train(layers, X, y))), layers, X, y


# %% [markdown]
# ## Figures


# %%
SEEDS = range(20)


def draw_boundary() -> None:
    """Two interleaved half moons of 50 points each. The trained network's boundary
    winds between them in straight pieces and leaves every point on its own side.
    """
    import matplotlib.pyplot as plt

    _, layers, X, y = demo(1337)
    xs, ys = np.meshgrid(np.linspace(-1.6, 2.6, 120), np.linspace(-1.1, 1.6, 90))
    grid = np.c_[xs.ravel(), ys.ravel()]  # (G, 2)
    _, scores, _ = loss_and_gradients(layers, grid, np.ones(len(grid)))
    _, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    ax.contour(xs, ys, scores.reshape(xs.shape), levels=[0], colors="C2")
    for side, marker in ((-1, "o"), (1, "s")):
        ax.plot(*X[y == side].T, marker, ms=4, label=f"y = {side}")
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    ax.legend()


# %% tags=["active-ipynb"]
# draw_boundary()


# %%
def draw_losses() -> None:
    """Loss against step, logarithmic, for 20 seeds as faint lines and the demo's seed
    as a strong one. All fall, jaggedly; the demo's ends among the lowest.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    for seed in SEEDS:
        label = "seeds 0 to 19" if seed == 0 else None
        ax.plot(demo(seed)[0][:, 0], "-", color="C1", alpha=0.35, lw=1, label=label)
    ax.plot(demo(1337)[0][:, 0], "-", color="C0", lw=2, label="seed 1337, the demo's")
    ax.set(yscale="log", xlabel="step", ylabel="loss", xlim=(0, 99))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_losses()


# %% [markdown]
# ## Numbers


# %%
def f(x: float) -> float:
    """The parabola that the lecture starts with."""
    return 3 * x**2 - 4 * x + 5


def readme(a: Value, b: Value) -> Value:
    """The expression of micrograd's readme."""
    c = a + b
    d = a * b + b**3
    c = c + c + 1
    c = c + 1 + c + -a
    d = d + d * 2 + (b + a).relu()
    d = d + 3 * d + (b - a).relu()
    e = c - d
    square = e**2
    return square / 2.0 + 10.0 / square


def lecture(a: float, b: float, c: float, h: float) -> tuple[Value, dict[str, Value]]:
    """L = (a b + c) h, and its nodes by the lecture's names (h is its f)."""
    nodes = dict(zip("abcf", map(Value, (a, b, c, h)), strict=True))
    nodes["e"] = nodes["a"] * nodes["b"]
    nodes["d"] = nodes["e"] + nodes["c"]
    return nodes["d"] * nodes["f"], nodes


def neuron(bias: float) -> tuple[Value, dict[str, Value]]:
    """tanh(x1 w1 + x2 w2 + bias) of the lecture, and its nodes."""
    names = ("x1", "x2", "w1", "w2")
    nodes = dict(zip(names, map(Value, (2.0, 0.0, -3.0, 1.0)), strict=True))
    x1, x2, w1, w2 = nodes.values()
    nodes["n"] = x1 * w1 + x2 * w2 + bias
    return nodes["n"].tanh(), nodes


def expression_numbers() -> dict[str, float]:
    """The worked examples of the lecture."""
    h, start = 1e-6, 2 / 3
    out = {"f_at_3": f(3.0), "difference_at_two_thirds": (f(start + h) - f(start)) / h}
    L, nodes = lecture(2.0, -3.0, 10.0, -2.0)
    L.backward()
    out |= {"L": L.data, **{f"grad_{name}": v.grad for name, v in nodes.items()}}
    stepped, _ = lecture(
        *(nodes[name].data + 0.01 * nodes[name].grad for name in "abcf")
    )
    nudged, _ = lecture(2.0, -3.0 + 0.001, 10.0, -2.0)
    out |= {"L_stepped": stepped.data, "difference_b": (nudged.data - L.data) / 0.001}

    bias = 6.8813735870195432
    o, nodes = neuron(bias)
    o.backward()
    out |= {"neuron": o.data, **{f"neuron_grad_{k}": v.grad for k, v in nodes.items()}}
    rounded, nodes = neuron(float(np.float32(bias)))
    rounded.backward()
    out |= {"neuron_float32": rounded.data, "neuron_bias_gap": 6 + math.asinh(1) - bias}
    out |= {f"float32_grad_{k}": v.grad for k, v in nodes.items()}

    a, b = Value(-4.0), Value(2.0)
    g = readme(a, b)
    g.backward()
    out |= {"readme": g.data, "readme_grad_a": a.grad, "readme_grad_b": b.grad}

    a, b = Value(2.0), Value(3.0)
    used_twice(a, b).backward()
    out |= {"ordered_a": a.grad, "ordered_b": b.grad}
    a, b = Value(2.0), Value(3.0)
    y = used_twice(a, b)
    y.grad = 1.0
    backward_without_order(y)
    return out | {"unordered_a": a.grad, "unordered_b": b.grad}


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out = expression_numbers()
    out["parameters_3_4_4_1"] = count(init_layers((3, 4, 4, 1), 0))
    out["parameters_2_16_16_1"] = count(init_layers((2, 16, 16, 1), 0))

    # the first step with the engine, and the two ways side by side
    X, y = moons(100, 0.1, np.random.RandomState(1337))
    layers = init_layers((2, 16, 16, 1), 1337)
    loss, nodes = scalar_loss(layers, X, y)
    loss.backward()
    _, _, grads = loss_and_gradients(layers, X, y)
    ours = [p.grad for W, b in nodes for r in (*W, b) for p in r]
    theirs = np.concatenate([np.r_[dW.ravel(), db] for dW, db in grads])  # (337,)
    out |= {"engine_loss_0": loss.data, "engine_nodes": len(topological(loss))}
    out["engine_array_gap"] = float(np.abs(ours - theirs).max())

    run = demo(1337)[0]  # (100, 2)
    for k in (0, 1, 2, 5, 50, 99):
        out |= {f"loss_{k}": run[k, 0], f"accuracy_{k}_percent": 100 * run[k, 1]}
    last = np.array([demo(seed)[0][-1] for seed in SEEDS])  # (20, 2)
    for kind, pick in (("median", np.median), ("min", np.min), ("max", np.max)):
        out[f"seeds_loss_99_{kind}"] = float(pick(last[:, 0]))
        out[f"seeds_accuracy_99_{kind}_percent"] = 100 * float(pick(last[:, 1]))
    out["seeds_below_demo"] = int((last[:, 0] < run[-1, 0]).sum())
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
