# %% [markdown]
r"""
# GRU, minimal gated unit, and three units with less

Five gated cells, from two gates with all their inputs down to one gate that is a
constant: one step, its derivative, the number of parameters, and a comparison on digits
that are read row by row.

**Source:** Joel Heck and Fathi M. Salem, *Simplified Minimal Gated Unit Variations for
Recurrent Neural Networks* (2017): MGU1, MGU2, MGU3. GRU and MGU as in Zhou, Wu, Zhang
and Zhou, *Minimal Gated Unit for Recurrent Neural Networks* (2016).

| symbol | name | shape |
| --- | --- | --- |
| $S, B$ | models side by side, one per seed; sequences in a batch | |
| $T, m, n$ | steps (rows), inputs (pixels of a row), units | |
| $x_t$ (`x`) | input | $(S, B, m)$ |
| $h_t$ (`h`) | state | $(S, B, n)$ |
| $f_t$ (`f`) | the gate; in the GRU the update gate $z_t$ | $(S, B, n)$ |
| $r_t$ (`r`) | reset gate of the GRU; in all others $f_t$ | $(S, B, n)$ |
| $\tilde h_t$ (`h_tilde`) | candidate | $(S, B, n)$ |
| $W_f, W_r, W_h$ | weights from the input | $(S, m, n)$ |
| $U_f, U_r, U_h$ | weights from the state | $(S, n, n)$ |
| $b_f, b_r, b_h$ | biases | $(S, 1, n)$ |

**Differs from the source:** only the abstract of Heck and Salem could be read; the
equations of the three variants were confirmed from other works that agree on them.
Their data, MNIST and Reuters, are replaced by noisy digits from a built-in font.
Vectors are rows, so $x_t W_f$ stands for $W_f x_t$.

**Checked against:** twins written in torch, with autograd; `torch.nn.GRU` where the two
forms agree; `torch.optim.Adam` (1e-10 in float64).

**Takes:** about 5 s on one core.

**Varies with the machine:** what is measured after training, since each processor
rounds in its own way and training magnifies that: `accuracy` by up to 0.1.
"""

# %%
from functools import cache

import numpy as np

Params = dict[str, np.ndarray]

# %% [markdown]
# ## Five cells, one step
# The cells differ in what their gates see: the input (W), the state (U), a bias (b). A
# parameter that a cell does not have is not among its parameters, and its term is left
# out of the sum.

# %%
GATES = {
    "gru": {"f": "WUb", "r": "WUb"},
    "mgu": {"f": "WUb"},
    "mgu1": {"f": "Ub"},
    "mgu2": {"f": "U"},
    "mgu3": {"f": "b"},
}


def gate(p: Params, name: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """sigma of W x + U h + b, or of those of the three that the cell has: (S, B, n)."""
    a = np.zeros_like(h)  # (S, B, n)
    if f"W_{name}" in p:
        a = a + x @ p[f"W_{name}"]  # (S, B, n)
    if f"U_{name}" in p:
        a = a + h @ p[f"U_{name}"]  # (S, B, n)
    if f"b_{name}" in p:
        a = a + p[f"b_{name}"]  # (S, B, n)
    return 0.5 * (1 + np.tanh(0.5 * a))  # sigma(a), written so that no a overflows


def step(
    p: Params, x: np.ndarray, h_prev: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """One step: x (S, B, m), h_prev (S, B, n) -> h (S, B, n), and f, r, h_tilde.

    Raises ValueError where x or h_prev has another shape.
    """
    S, m, n = p["W_h"].shape
    if x.ndim != 3 or (x.shape[0], x.shape[2]) != (S, m):
        raise ValueError(f"x has shape {x.shape}, expected ({S}, B, {m})")
    if h_prev.shape != (S, x.shape[1], n):
        wanted = (S, x.shape[1], n)
        raise ValueError(f"h_prev has shape {h_prev.shape}, expected {wanted}")
    # MGU:  f_t = sigma(W_f x_t + U_f h_{t-1} + b_f)
    # MGU1: f_t = sigma(        U_f h_{t-1} + b_f)
    # MGU2: f_t = sigma(        U_f h_{t-1}      )
    # MGU3: f_t = sigma(                      b_f)
    f = gate(p, "f", x, h_prev)  # (S, B, n)
    # only the GRU has a second gate, in the others one does both
    r = gate(p, "r", x, h_prev) if "W_r" in p else f  # (S, B, n)
    # h~_t = tanh(W_h x_t + U_h (r_t * h_{t-1}) + b_h)
    h_tilde = np.tanh(x @ p["W_h"] + (r * h_prev) @ p["U_h"] + p["b_h"])  # (S, B, n)
    # h_t = (1 - f_t) * h_{t-1} + f_t * h~_t
    return (1 - f) * h_prev + f * h_tilde, (f, r, h_tilde)


# %% [markdown]
# ## Parameters


# %%
def shapes(cell: str, n: int, m: int) -> dict[str, tuple[int, int]]:
    """Shape of every parameter of a layer of n units that reads m inputs.

    Raises ValueError for an unknown cell or for n or m below 1.
    """
    if cell not in GATES:
        raise ValueError(f"cell is {cell!r}, expected one of {', '.join(GATES)}")
    if n < 1 or m < 1:
        raise ValueError(f"n and m must be >= 1, got {n} and {m}")
    sizes = {"W": (m, n), "U": (n, n), "b": (1, n)}
    layers = GATES[cell] | {"h": "WUb"}  # the candidate always has all three
    return {f"{k}_{name}": sizes[k] for name, kinds in layers.items() for k in kinds}


def count(cell: str, n: int, m: int) -> int:
    """Number of parameters of the layer."""
    return sum(rows * columns for rows, columns in shapes(cell, n, m).values())


def init_params(
    cell: str, n: int, m: int, classes: int, rngs: list[np.random.Generator]
) -> Params:
    """A layer and an output layer, W_y and b_y, for each generator.

    Weights are uniform in +-1/sqrt(n), biases 0.
    """
    p = {}
    for name, size in (shapes(cell, n, m) | {"W_y": (n, classes)}).items():
        bound = 0 if name.startswith("b") else 1 / np.sqrt(n)
        p[name] = np.stack([rng.uniform(-bound, bound, size) for rng in rngs])
    return p | {"b_y": np.zeros((len(rngs), 1, classes))}


# %% [markdown]
# ## Reading a sequence, and the way back


# %%
def forward(p: Params, x: np.ndarray) -> tuple[np.ndarray, list]:
    """x (T, S, B, m) -> scores of the classes after the last step, and the tape."""
    h = np.zeros((*x.shape[1:3], p["U_h"].shape[2]))  # (S, B, n)
    tape = []
    for x_t in x:
        h_prev = h
        h, parts = step(p, x_t, h_prev)
        tape.append((h_prev, *parts))
    return h @ p["W_y"] + p["b_y"], [*tape, (h,)]


def loss_and_gradients(
    p: Params, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, Params]:
    """Mean cross-entropy (S,) in nats of the classes y (S, B), and all gradients."""
    scores, tape = forward(p, x)  # (S, B, classes)
    scores = scores - scores.max(axis=-1, keepdims=True)  # (S, B, classes)
    log_p = scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    right = np.eye(scores.shape[-1])[y]  # (S, B, classes)
    loss = -(log_p * right).sum(axis=-1).mean(axis=-1)  # (S,)
    dy = (np.exp(log_p) - right) / y.shape[1]  # (S, B, classes)
    grads = {name: np.zeros_like(w) for name, w in p.items()}
    grads["W_y"] = tape.pop()[0].mT @ dy  # (S, n, classes)
    grads["b_y"] = dy.sum(axis=1, keepdims=True)  # (S, 1, classes)

    dh, ones = dy @ p["W_y"].mT, np.ones((*y.shape, 1))  # (S, B, n), (S, B, 1)
    for x_t, (h_prev, f, r, h_tilde) in zip(x[::-1], tape[::-1], strict=True):
        das = {"h": dh * f * (1 - h_tilde**2)}  # before the tanh: (S, B, n)
        drh = das["h"] @ p["U_h"].mT  # of r * h_{t-1}: (S, B, n)
        df, dr = dh * (h_tilde - h_prev), drh * h_prev  # (S, B, n)
        dh = dh * (1 - f) + drh * r  # (S, B, n)
        if "W_r" in p:
            das["r"] = dr * r * (1 - r)  # (S, B, n)
        else:
            df = df + dr  # one gate, used twice
        das["f"] = df * f * (1 - f)  # (S, B, n)
        for name, da in das.items():
            state = r * h_prev if name == "h" else h_prev  # (S, B, n)
            for kind, seen in (("W", x_t), ("U", state), ("b", ones)):
                if f"{kind}_{name}" in p:  # as the rows of what it saw: (S, ., n)
                    grads[f"{kind}_{name}"] += seen.mT @ da
            if name != "h" and f"U_{name}" in p:
                dh = dh + da @ p[f"U_{name}"].mT  # (S, B, n)
    return loss, grads


# %% [markdown]
# ## Digits that need no download
# Ten digits of seven rows and five columns, put somewhere on a canvas of nine rows and
# seven columns, with normal noise on every pixel. A digit is read row by row, as the
# source reads MNIST. It is not MNIST and says nothing on it.

# %%
FONT = """
.###. ..#.. .###. .###. ...#. ##### ..##. ##### .###. .###.
#...# .##.. #...# #...# ..##. #.... .#... ....# #...# #...#
#..## ..#.. ....# ....# .#.#. ####. #.... ...#. #...# #...#
#.#.# ..#.. ...#. ..##. #..#. ....# ####. ..#.. .###. .####
##..# ..#.. ..#.. ....# ##### ....# #...# .#... #...# ....#
#...# ..#.. .#... #...# ...#. #...# #...# .#... #...# ...#.
.###. .###. ##### .###. ...#. .###. .###. .#... .###. .##..
"""
ROWS, COLUMNS = 9, 7


def glyphs() -> np.ndarray:
    """The font as 0 and 1: (10, 7, 5)."""
    lines = [line.split() for line in FONT.split("\n")[1:-1]]
    pixels = [[[c == "#" for c in part] for part in line] for line in lines]
    return np.array(pixels, float).transpose(1, 0, 2)  # (10, 7, 5)


def make_digits(
    rngs: list[np.random.Generator], batch: int, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Digits for every seed: x (rows, S, batch, columns), y (S, batch) in 0..9.

    noise: standard deviation, where ink is 1. Raises ValueError for a batch below 1 or
    a negative noise.
    """
    if batch < 1 or not noise >= 0:
        raise ValueError(f"batch must be >= 1, noise >= 0, got {batch} and {noise}")
    xs, ys = [], []
    for rng in rngs:
        y = rng.integers(10, size=batch)  # (B,)
        top, left = rng.integers(3, size=(2, batch))  # (B,) each
        x = noise * rng.standard_normal((batch, ROWS, COLUMNS))
        for image, digit, row, column in zip(x, glyphs()[y], top, left, strict=True):
            image[row : row + 7, column : column + 5] += digit
        xs.append(x.transpose(1, 0, 2))  # (T, B, m)
        ys.append(y)
    return np.stack(xs, axis=1), np.stack(ys)


# %% [markdown]
# ## The comparison
# All cells get the same number of units, and for each seed the same digits in the same
# order. Accuracy is measured on fresh digits.

# %%
SEEDS, UNITS, UPDATES, BATCH, NOISE = 5, 16, 120, 32, 0.3


def train(
    cell: str, n: int = UNITS, updates: int = UPDATES, lr: float = 0.05
) -> tuple[Params, list[np.random.Generator]]:
    """Adam on fresh digits: one model per seed, and generators to draw test data."""
    starts, rngs = zip(
        *[np.random.default_rng(seed).spawn(2) for seed in range(SEEDS)], strict=True
    )
    p = init_params(cell, n, COLUMNS, 10, list(starts))
    mean = {name: np.zeros_like(w) for name, w in p.items()}
    square = {name: np.zeros_like(w) for name, w in p.items()}
    for k in range(1, updates + 1):
        _, grads = loss_and_gradients(p, *make_digits(list(rngs), BATCH, NOISE))
        for name, g in grads.items():
            mean[name] = 0.9 * mean[name] + 0.1 * g
            square[name] = 0.999 * square[name] + 0.001 * g**2
            m_hat, v_hat = mean[name] / (1 - 0.9**k), square[name] / (1 - 0.999**k)
            p[name] -= lr * m_hat / (np.sqrt(v_hat) + 1e-8)
    return p, list(rngs)


@cache
def accuracies(cell: str, n: int = UNITS) -> np.ndarray:
    """Share of 1,000 fresh digits that are named right after training: (SEEDS,)."""
    p, rngs = train(cell, n)
    x, y = make_digits(rngs, 1000, NOISE)
    return (forward(p, x)[0].argmax(axis=-1) == y).mean(axis=-1)


# %% [markdown]
# ## When does the gate hear of the input?
# Two inputs that differ in one step only. How far apart do the gates get, step by step?


# %%
def reaction(cell: str, steps: int = 6, at: int = 2) -> np.ndarray:
    """Largest difference of the gate f after x_at was changed: (steps,)."""
    rng = np.random.default_rng(0)
    p = init_params(cell, UNITS, COLUMNS, 10, [rng])
    x = rng.standard_normal((steps, 1, 1, COLUMNS))  # (T, 1, 1, m)
    changed = x.copy()
    changed[at] += 1
    gates = [
        np.array([part[1] for part in forward(p, v)[1][:-1]]) for v in (x, changed)
    ]
    return np.abs(gates[0] - gates[1]).max(axis=(1, 2, 3))  # (steps,)


# %% [markdown]
# ## A gate that obeys a mark
# Two units, set by hand. The first is a memory: its candidate is the value that is
# read, and it shall hold the value beside which a mark stands. The second reads the
# mark and lets go of it at the next step. The memory's gate sees the mark by w where
# the cell has W, and the second unit's old state by u where it has U.

# %%
EIGHT_VALUES = np.array([1.0, -0.6, 0.3, -1.2, 0.7, -0.2, 1.4, -0.9])


def hold_marked(
    cell: str, w: float, u: float, b: float, marks: list[int]
) -> dict[str, np.ndarray]:
    """The memory's candidate, gate and state, and the second unit's, by step: (8,).

    w, u, b: what the memory's gate takes of mark, second unit and bias. marks: the
    marked steps, from 0. Raises ValueError for an unknown cell.
    """
    p = {name: np.zeros((1, *size)) for name, size in shapes(cell, 2, 2).items()}
    p["W_h"][0] = [[1, 0], [0, 3]]  # value to the first unit, mark to the second (m, n)
    if "W_f" in p:
        p["W_f"][0, 1, 0] = w
    if "U_f" in p:
        p["U_f"][0, 1, 0] = u
    if "b_f" in p:
        p["b_f"][0, 0] = b, 10  # the second unit's gate is open
    x = np.zeros((8, 1, 1, 2))  # (T, S, B, m)
    x[:, 0, 0, 0] = EIGHT_VALUES
    x[marks, 0, 0, 1] = 1
    h, rows = np.zeros((1, 1, 2)), []  # (S, B, n)
    for x_t in x:
        h, (f, _, h_tilde) = step(p, x_t, h)
        rows.append([h_tilde[0, 0, 0], f[0, 0, 0], h[0, 0, 0], h[0, 0, 1]])
    names = ("candidate", "gate", "state", "second")
    return dict(zip(names, np.array(rows).T, strict=True))  # (4, T)


# %% [markdown]
# ## Figures


# %%
def draw_digits() -> None:
    """Ten digits of the training data: dark strokes on a noisy ground, each at another
    place of its nine by seven pixels. All are readable, some with effort.
    """
    import matplotlib.pyplot as plt

    x, y = make_digits([np.random.default_rng(0)], 200, NOISE)
    _, axes = plt.subplots(1, 10, figsize=(6.4, 1.0), layout="constrained")
    for digit, ax in enumerate(axes):
        image = x[:, 0, np.flatnonzero(y[0] == digit)[0]]  # (9, 7)
        ax.imshow(image, cmap="gray_r", vmin=-0.6, vmax=1.4)
        ax.set_axis_off()


# %% tags=["active-ipynb"]
# draw_digits()


# %%
def draw_accuracy() -> None:
    """Accuracy against the number of parameters, one dot per seed, for the five cells.

    MGU3, with the fewest parameters, lies lowest, near one half. MGU2 and MGU1 lie
    side by side near two thirds, MGU near three quarters and the GRU, with the most
    parameters, near four fifths.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for k, cell in enumerate(GATES):
        values = accuracies(cell)
        x = count(cell, UNITS, COLUMNS)
        ax.plot([x] * SEEDS, values, "o", color=f"C{k}")
        offset = (0, -14) if cell == "mgu2" else (0, 8)
        place = values.min() if cell == "mgu2" else values.max()
        name = cell.upper()
        ax.annotate(name, (x, place), offset, textcoords="offset points", ha="center")
    ax.set(xlabel="parameters of the layer", ylabel="accuracy", ylim=(0.4, 0.9))


# %% tags=["active-ipynb"]
# draw_accuracy()


# %%
def draw_reaction() -> None:
    """How much a change of the input at step 2 moves the gate, for steps 0 to 5.

    MGU's gate moves at step 2. The gates of MGU1 and MGU2 stay still at step 2 and move
    at step 3. After that all three settle down. MGU3's gate never moves.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.0), layout="constrained")
    for k, cell in enumerate(("mgu", "mgu1", "mgu2", "mgu3")):
        ax.plot(reaction(cell), "os^d"[k] + "-", color=f"C{k}", label=cell.upper())
    ax.axvline(2, color="C4", linestyle=":")
    ax.set(xlabel="step; the input differs at step 2", ylabel="change of the gate")
    ax.legend()


# %% tags=["active-ipynb"]
# draw_reaction()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {"seeds": SEEDS, "units": UNITS, "updates": UPDATES}
    out |= {"batch": BATCH, "noise": NOISE}
    for cell in GATES:
        for n, m in ((100, 28), (100, 1), (UNITS, COLUMNS)):
            out[f"parameters_{cell}_n{n}_m{m}"] = count(cell, n, m)
        values = accuracies(cell)
        out[f"accuracy_{cell}_median"] = float(np.median(values))
        out[f"accuracy_{cell}_min"] = float(values.min())
        out[f"accuracy_{cell}_max"] = float(values.max())
        if cell != "gru":
            moved = reaction(cell)
            out[f"gate_moves_at_once_{cell}"] = float(moved[2])
            out[f"gate_moves_later_{cell}"] = float(moved[3])
            for m in (28, 1):
                share = 1 - count(cell, 100, m) / count("mgu", 100, m)
                out[f"saved_{cell}_n100_m{m}"] = share

    for cell in ("gru", "mgu"):
        for n in (50, 100, 200, 300, 400, 500, 600):  # 200 inputs and a second bias
            out[f"ptb_{cell}_n{n}"] = count(cell, n, 201)
        # two layers: the second reads the n states of the first
        out[f"ptb_{cell}_n400_two_layers"] = count(cell, 400, 201) + count(
            cell, 400, 401
        )
        # adding task: two inputs, two directions
        out[f"adding_{cell}"] = 2 * count(cell, 100, 2)
        out[f"adding_{cell}_with_start"] = 2 * (count(cell, 100, 2) + 100)

    # an output layer for 10,000 words; the perplexity of a cross-entropy in nats
    one = out["ptb_mgu_n400_with_output"] = count("mgu", 400, 201) + 401 * 10_000
    out["ptb_mgu_n400_with_second"] = one + count("mgu", 400, 401)
    out["ptb_mgu_n400_with_embedding"] = one + 10_000 * 200
    out["ptb_exp_4684"] = float(np.exp(4.684))

    # marked are the second and the fifth step
    held = hold_marked("mgu", 8, 0, -4, [1, 4])
    out["held_gate_shut"], out["held_gate_open"] = held["gate"][:2]
    out["held_second_marked"] = held["second"][1]
    for t in range(8):
        out[f"held_candidate_{t + 1}"] = held["candidate"][t]
        out[f"held_state_{t + 1}"] = held["state"][t]

    _, tape = forward(train("mgu2", updates=0)[0], np.ones((1, SEEDS, 1, COLUMNS)))
    out["first_gate_mgu2"] = float(tape[0][1].mean())
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
