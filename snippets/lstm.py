# %% [markdown]
r"""
# Long short-term memory, forward and backward

The six equations of the LSTM cell, each derivative beside its equation, and
backpropagation through time in ten more lines. Then one question: for how long does the
cell's conveyor belt hold what was put on it?

**Source:** Christopher Olah, *Understanding LSTM Networks* (2015): the six equations of
the step-by-step walk-through, and the section on the core idea.

| symbol | name | shape |
| --- | --- | --- |
| $B, m, n$ | batch size, inputs, units | |
| $x_t$ (`x`) | input | $(B, m)$ |
| $h_t$ (`h`) | output, also called hidden state | $(B, n)$ |
| $C_t$ (`C`) | cell state, the belt | $(B, n)$ |
| $f_t, i_t, o_t$ (`f`, `i`, `o`) | forget gate, input gate, output gate | $(B, n)$ |
| $\tilde C_t$ (`C_tilde`) | candidate | $(B, n)$ |
| $W_f, W_i, W_C, W_o$ | weights of the four layers on $[h_{t-1}, x_t]$ | $(n, n + m)$ |
| $b_f, b_i, b_C, b_o$ | biases of the four layers | $(n,)$ |

**Differs from the source:** it handles a batch, so the equations' column vectors are
rows here. It adds the backward pass, which the source does not write down.

**Checked against:** `torch.nn.LSTM` forward and torch autograd backward (1e-10 in
float64); central differences.

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Callable, Iterable, Sequence

import numpy as np

Params = dict[str, np.ndarray]  # W_f, b_f, W_i, b_i, W_C, b_C, W_o, b_o

# %% [markdown]
# ## One step
# Every equation appears twice: once as itself, and below, in reverse order, as its
# derivative. The step returns its own `backward`, which remembers the forward values it
# needs.
#
# The line to look at is the cell update. Its derivative along the belt is the forget
# gate and nothing else: no weight matrix, no tanh.


# %%
def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), written so that no z overflows."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def check_shape(name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    """Raises ValueError unless the array has the expected shape."""
    if array.shape != expected:
        raise ValueError(f"{name} has shape {array.shape}, expected {expected}")


def lstm_step(
    p: Params, x: np.ndarray, h_prev: np.ndarray, C_prev: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], Callable]:
    """One LSTM step: x (B, m), h_prev and C_prev (B, n) -> h, C, gates, backward.

    Raises:
        ValueError: x, h_prev or C_prev has a shape that does not fit the weights.
    """
    n, n_plus_m = p["W_f"].shape
    check_shape("x", x, (len(x), n_plus_m - n))
    check_shape("h_prev", h_prev, (len(x), n))
    check_shape("C_prev", C_prev, (len(x), n))
    hx = np.concatenate([h_prev, x], axis=1)  # [h_{t-1}, x_t]  (B, n + m)

    # f_t = sigma(W_f . [h_{t-1}, x_t] + b_f)      forget gate
    f = sigmoid(hx @ p["W_f"].T + p["b_f"])  # (B, n)
    # i_t = sigma(W_i . [h_{t-1}, x_t] + b_i)      input gate
    i = sigmoid(hx @ p["W_i"].T + p["b_i"])  # (B, n)
    # C~_t = tanh(W_C . [h_{t-1}, x_t] + b_C)      candidate
    C_tilde = np.tanh(hx @ p["W_C"].T + p["b_C"])  # (B, n)
    # C_t = f_t * C_{t-1} + i_t * C~_t             the belt
    C = f * C_prev + i * C_tilde  # (B, n)
    # o_t = sigma(W_o . [h_{t-1}, x_t] + b_o)      output gate
    o = sigmoid(hx @ p["W_o"].T + p["b_o"])  # (B, n)
    # h_t = o_t * tanh(C_t)
    tanh_C = np.tanh(C)  # (B, n)
    h = o * tanh_C  # (B, n)

    def backward(
        dh: np.ndarray, dC: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Loss gradients of h_t and C_t -> of x_t, h_{t-1}, C_{t-1}, the four layers.

        Those of the layers are before their sigmoid or tanh, (B, n) by name.
        """
        # h_t = o_t * tanh(C_t): the cell also hears of the loss through h_t
        do = dh * tanh_C  # (B, n)
        dC = dC + dh * o * (1 - tanh_C**2)  # (B, n)
        # C_t = f_t * C_{t-1} + i_t * C~_t
        df, di = dC * C_prev, dC * C_tilde  # (B, n) each
        dC_tilde = dC * i  # (B, n)
        dC_prev = dC * f  # the belt backward: times f_t, that is all  (B, n)
        # into the four layers: sigma' = sigma (1 - sigma), tanh' = 1 - tanh^2
        dz = {
            "f": df * f * (1 - f),
            "i": di * i * (1 - i),
            "C": dC_tilde * (1 - C_tilde**2),
            "o": do * o * (1 - o),
        }
        # and on to [h_{t-1}, x_t], which all four read
        dhx = sum(d @ p["W_" + layer] for layer, d in dz.items())  # (B, n + m)
        return dhx[:, n:], dhx[:, :n], dC_prev, dz

    return h, C, {"f": f, "i": i, "C_tilde": C_tilde, "o": o}, backward


# %% [markdown]
# ## A whole sequence
# Forward is a loop that carries $h$ and $C$; backpropagation through time calls the
# steps' `backward` in reverse order. At each step the gradient of $h_t$ has two
# sources: the loss that looks at $h_t$, and step $t + 1$. All steps share their
# weights, whose gradient is therefore a sum over the steps,
# $\frac{\partial L}{\partial W} = \sum_t dz_t^\top [h_{t-1}, x_t]$: one product, made
# once every $dz_t$ is known.


# %%
def init_params(
    n_hidden: int,
    n_in: int,
    rng: np.random.Generator,
    forget_bias: float = 0.0,
) -> Params:
    """Weights uniform in +-1/sqrt(n_hidden); biases zero except the forget gate's.

    Raises:
        ValueError: n_hidden or n_in below 1.
    """
    for name, size in (("n_hidden", n_hidden), ("n_in", n_in)):
        if size < 1:
            raise ValueError(f"{name} is {size}, expected at least 1")
    bound = 1 / np.sqrt(n_hidden)
    p = {}
    for layer in ("f", "i", "C", "o"):
        p["W_" + layer] = rng.uniform(-bound, bound, (n_hidden, n_hidden + n_in))
        p["b_" + layer] = np.zeros(n_hidden)
    p["b_f"] += forget_bias
    return p


def lstm(
    p: Params,
    x: np.ndarray,
    h0: np.ndarray | None = None,
    C0: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], Callable]:
    """Run a sequence. x (T, B, m), h0 and C0 (B, n), zeros where left out.

    Returns:
        hs and Cs (T, B, n), the gates (T, B, n) by name, and `backward`.

    Raises:
        ValueError: x, h0 or C0 has a shape that does not fit the weights.
    """
    n, n_plus_m = p["W_f"].shape
    if x.ndim != 3 or len(x) == 0 or x.shape[2] != n_plus_m - n:
        wanted = f"(T, B, {n_plus_m - n}) with T >= 1"
        raise ValueError(f"x has shape {x.shape}, expected {wanted}")
    B, dtype = x.shape[1], p["W_f"].dtype
    h0 = np.zeros((B, n), dtype) if h0 is None else h0  # (B, n)
    C0 = np.zeros((B, n), dtype) if C0 is None else C0  # (B, n)
    check_shape("h0", h0, (B, n))
    check_shape("C0", C0, (B, n))

    hs, Cs, gates, backs = [], [], [], []
    h, C = h0, C0
    for x_t in x:  # (B, m)
        h, C, gate, back = lstm_step(p, x_t, h, C)
        hs.append(h)
        Cs.append(C)
        gates.append(gate)
        backs.append(back)

    def backward(
        dhs: np.ndarray, dC: np.ndarray | None = None
    ) -> tuple[Params, np.ndarray, np.ndarray, np.ndarray]:
        """dhs (T, B, n), dC of the last cell (B, n) -> grads, dx, dh0, dC0."""
        dC = np.zeros((B, n), dtype) if dC is None else dC  # (B, n)
        check_shape("dhs", dhs, (len(x), B, n))
        check_shape("dC", dC, (B, n))
        dx = np.empty(x.shape, dtype)  # (T, B, m)
        dz = {layer: np.empty((len(x), B, n), dtype) for layer in "fiCo"}
        dh = np.zeros((B, n), dtype)  # what step t + 1 sends back  (B, n)
        for t in reversed(range(len(x))):
            dx[t], dh, dC, dz_t = backs[t](dhs[t] + dh, dC)
            for layer, d in dz_t.items():
                dz[layer][t] = d  # (B, n)

        hx = np.concatenate([np.stack([h0, *hs[:-1]]), x], axis=2)  # (T, B, n + m)
        grads = {}
        for layer, d in dz.items():
            # sum_t dz_t^T [h_{t-1}, x_t]
            grads["W_" + layer] = np.tensordot(d, hx, axes=([0, 1], [0, 1]))
            grads["b_" + layer] = d.sum(axis=(0, 1))  # (n,)
        return grads, dx, dh, dC

    gates = {name: np.stack([g[name] for g in gates]) for name in gates[0]}  # (T, B, n)
    return np.stack(hs), np.stack(Cs), gates, backward


# %% [markdown]
# ## A memory set by hand
# One unit, four input wires: a value and the commands *write*, *erase*, *read*. Every
# gate is shut or open unless its command says otherwise, because a weight of 20 against
# a bias of 10 saturates the sigmoid. Nothing is learned; it shows what each gate is
# for.


# %%
def memory_by_hand() -> Params:
    """A one-unit LSTM that obeys: inputs (value, write, erase, read), n = 1."""
    #                 h, value, write, erase, read
    return {
        "W_f": np.array([[0.0, 0, 0, -20, 0]]),  # keep, unless told to erase
        "b_f": np.array([10.0]),
        "W_i": np.array([[0.0, 0, 20, 0, 0]]),  # closed, unless told to write
        "b_i": np.array([-10.0]),
        "W_C": np.array([[0.0, 1, 0, 0, 0]]),  # candidate = tanh(value)
        "b_C": np.array([0.0]),
        "W_o": np.array([[0.0, 0, 0, 0, 20]]),  # silent, unless told to read
        "b_o": np.array([-10.0]),
    }


def obey(
    values: Sequence[float],
    write: Iterable[int],
    erase: Iterable[int],
    read: Iterable[int],
    forget_bias: float = 10.0,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """T values, and the steps (from 0) of each command -> h, C and gates, (T,) each.

    Raises:
        ValueError: a command is given at a step that has no value.
    """
    x = np.zeros((len(values), 1, 4))  # (T, B, m)
    x[:, 0, 0] = values
    commands = {"write": write, "erase": erase, "read": read}
    for wire, (name, steps) in enumerate(commands.items(), start=1):
        for t in steps:
            if not 0 <= t < len(values):
                wanted = f"0 to {len(values) - 1}"
                raise ValueError(f"{name} has step {t}, expected {wanted}")
            x[t, 0, wire] = 1.0
    p = memory_by_hand() | {"b_f": np.array([forget_bias])}
    hs, Cs, gates, _ = lstm(p, x)
    return hs[:, 0, 0], Cs[:, 0, 0], {name: g[:, 0, 0] for name, g in gates.items()}


def pulse() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """40 steps: write 1.5 at step 5, read at 18 to 21, erase at 30 -> h, C, gates."""
    values = np.sin(np.arange(40))  # chatter on the value wire, to be ignored
    values[5] = 1.5
    return obey(values, write=[5], erase=[30], read=range(18, 22))


EIGHT_VALUES = [0.3, 0.9, -0.5, 0.7, -0.8, 0.4, -0.6, 0.2]


def eight_steps() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Write at steps 1 and 6 (from 0), read at 3 and 7, erase at 5 -> h, C, gates."""
    return obey(EIGHT_VALUES, write=[1, 6], erase=[5], read=[3, 7])


# %% [markdown]
# ## How long the belt holds
# With no input, a cell keeps the share $f^k$ after $k$ steps. The forget gate sits at
# $f = \sigma(b_f)$ as long as its weights contribute little, which is how training
# starts. So the forget bias alone decides how far the memory reaches *before anything
# is learned*.
#
# Half of the content is gone after $\ln 0.5 / \ln f$ steps. Turned around: to hold half
# for $L$ steps, choose $b_f = -\ln(2^{1/L} - 1)$, which is close to $\ln(L / \ln 2)$.


# %%
def belt(forget_bias: float, n_steps: int) -> np.ndarray:
    """A one-unit LSTM's cell that starts at 1, without input: (n_steps + 1,)."""
    p = {name: 0 * value for name, value in memory_by_hand().items()}
    p["b_f"] = p["b_f"] + forget_bias
    _, Cs, _, _ = lstm(p, np.zeros((n_steps, 1, 4)), C0=np.ones((1, 1)))
    return np.concatenate([[1.0], Cs[:, 0, 0]])  # (n_steps + 1,)


def half_life(f: float) -> float:
    """Steps after which a forget gate held at f has halved the cell.

    Raises:
        ValueError: f is not strictly between 0 and 1.
    """
    if not 0 < f < 1:
        raise ValueError(f"f is {f}, expected a value strictly between 0 and 1")
    return float(np.log(0.5) / np.log(f))


def forget_bias_for(half_life_steps: float) -> float:
    """The forget bias whose gate halves the cell in that many steps.

    Raises:
        ValueError: half_life_steps is not above 0.
    """
    if half_life_steps <= 0:
        raise ValueError(f"half_life_steps is {half_life_steps}, expected above 0")
    return float(-np.log(np.expm1(np.log(2) / half_life_steps)))


# %% [markdown]
# ## Figures


# %%
def draw_belt() -> None:
    """Four curves fall from 1 over 100 steps without input. With forget bias 0 nothing
    is left after 10 steps, with bias 1 nothing after 20. With bias 2 more than a
    quarter is left after 10 steps and nothing after 50. With bias 5 half is there
    after 100.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for bias in (5, 2, 1, 0):
        f = float(sigmoid(np.float64(bias)))
        ax.plot(belt(bias, 100), label=f"forget bias {bias}:  f = {f:.3f}")
    ax.set(xlabel="steps since the value was stored", ylabel="share of the cell left")
    ax.set(xlim=(0, 100), ylim=(0, 1.02))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_belt()


# %%
def draw_pulse() -> None:
    """Two panels over 40 steps. Above, the three gates: the input gate opens once, at
    step 5, the output gate from step 18 to 21, and the forget gate is open except at
    step 30. Below, the cell jumps up at step 5, stays level and drops to zero at
    step 30; the output is zero except while the output gate is open.
    """
    import matplotlib.pyplot as plt

    h, C, gates = pulse()
    _, (top, bottom) = plt.subplots(
        2, figsize=(6.4, 4.4), sharex=True, layout="constrained"
    )
    rows = {"o": "output gate", "i": "input gate", "f": "forget gate"}
    for row, name in enumerate(rows):  # one above the other: bottom shut, top open
        level = 1.5 * row + gates[name]
        top.step(range(40), level, where="mid", color="C0", linestyle="-")
    top.set(yticks=[0.5, 2, 3.5], yticklabels=rows.values())
    top.grid(axis="y", visible=False)
    bottom.step(range(40), C, where="mid", label="cell C")
    bottom.step(range(40), h, where="mid", label="output h")
    bottom.set(xlabel="step", ylabel="value", xlim=(0, 39))
    bottom.legend(loc="center right")


# %% tags=["active-ipynb"]
# draw_pulse()

# %% [markdown]
# ## Numbers


# %%
def count(p: Params) -> int:
    """Number of parameters."""
    return sum(value.size for value in p.values())


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out = {"parameters_n4_m3": count(init_params(4, 3, np.random.default_rng(0)))}
    # PyTorch keeps two bias vectors, b_ih and b_hh, that only ever act as a sum
    out["pytorch_parameters_n4_m3"] = out["parameters_n4_m3"] + 4 * 4

    for bias in (0, 1, 2, 5, 10):
        kept = belt(bias, 100)
        out[f"forget_gate_b{bias}"] = kept[1]
        out[f"kept_10_steps_b{bias}"] = kept[10]
        out[f"kept_100_steps_b{bias}"] = kept[100]
        out[f"half_life_b{bias}_steps"] = half_life(kept[1])
    out["half_life_f090_steps"] = half_life(0.9)
    for steps in (10, 100, 1000):
        out[f"bias_for_half_life_{steps}_steps"] = forget_bias_for(steps)

    # f = i = o = 1 and a candidate of 1: the cell counts, the output saturates
    p = {name: 0 * value for name, value in memory_by_hand().items()}
    full = {**p, **{"b_" + k: np.array([1000.0]) for k in ("f", "i", "C", "o")}}
    hs, Cs, _, _ = lstm(full, np.zeros((10, 1, 4)))
    out["cell_after_10_writes"] = Cs[-1, 0, 0]
    out["output_after_10_writes"] = hs[-1, 0, 0]
    # f = 0, i = o = 1: almost a plain RNN, with one tanh too many
    full["b_f"] = np.array([-1000.0])
    out["largest_output_without_belt"] = lstm(full, np.zeros((10, 1, 4)))[0].max()

    h, C, gates = pulse()
    out["pulse_cell_after_write"] = C[5]
    out["pulse_cell_before_erase"] = C[29]
    out["pulse_share_after_erase"] = gates["f"][30]
    out["pulse_output_read"] = h[20]
    h, C, _ = eight_steps()
    for t, value in enumerate(EIGHT_VALUES):
        out[f"eight_steps_value_{t + 1}"] = value
        out[f"eight_steps_cell_{t + 1}"] = C[t]
        out[f"eight_steps_output_{t + 1}"] = h[t]
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
