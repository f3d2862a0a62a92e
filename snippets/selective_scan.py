# %% [markdown]
r"""
# The selective scan

A state-space model reads a sequence with a small state that decays and is written to.
Time steps of length $\Delta$ decide how much of each happens, and Mamba lets every
token choose its own. Here is that recurrence in three forms (loop, associative scan,
convolution where that is possible), and what choosing buys.

**Source:** Kola Ayonrinde, *Mamba Explained* (2024), and the paper it explains, Albert
Gu and Tri Dao, *Mamba* (2023), eq. 1 to 4, Algorithms 1 and 2, Theorem 1.

| symbol | name | shape |
| --- | --- | --- |
| `b`, `l` | batch size, length | |
| `d_in`, `n` | channels, states of each channel | |
| $x_t$ (`u`) | input, after projection and convolution | $(b, l, d_{in})$ |
| $\Delta_t$ (`delta`) | step size, above or at 0 | $(b, l, d_{in})$ |
| $A$ (`A`) | how the states decay, below 0 | $(d_{in}, n)$ |
| $B_t, C_t$ (`B`, `C`) | what is written, what is read | $(b, l, n)$ |
| $D$ (`D`) | the skip | $(d_{in},)$ |
| $\bar A_t, \bar B_t$ (`deltaA`, `deltaB`) | the same as steps | $(b, l, d_{in}, n)$ |
| $h_t$ (`h`) | state | $(b, l, d_{in}, n)$ |

**Differs from the source:** the article shows Euler's rule and names zero-order hold;
the published code takes a half of each. All three are here. The two tasks are solved by
weights set by hand, on one-hot tokens without embedding.

**Checked against:** `scipy.signal.cont2discrete`, `scipy.signal.lfilter`, the integral
of the differential equation, `numpy.linalg.lstsq` (1e-10 in float64).

**Takes:** about 3 s on one core.
"""

# %%
import math
from collections.abc import Callable, Sequence

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]

# %% [markdown]
# ## From a flow to steps
# Between two tokens the state follows $h' = A h + B x$ with $x$ held still. That
# equation has a closed solution, the zero-order hold. Euler's rule takes its first
# term. Mamba's code solves the decay exactly and takes Euler's first term for the
# input. Since $A$ is diagonal, every entry is a number and the inverse in eq. 4 is a
# division.


# %%
def discretize(
    delta: np.ndarray, A: np.ndarray, B: np.ndarray, method: str = "mamba"
) -> Pair:
    """Step size, decay and input weight, which broadcast -> deltaA, deltaB.

    method: "zoh" as in the paper, "euler" as in the article, "mamba" as in the code.
    Raises ValueError for another method, a step below 0 or an A that is not below 0.
    """
    if np.min(delta) < 0 or np.max(A) >= 0:
        got = f"the least delta is {np.min(delta)}, the largest A {np.max(A)}"
        raise ValueError(f"{got}: want delta >= 0 and A < 0")
    if method == "zoh":
        # A_bar = exp(delta A),  B_bar = (delta A)^-1 (exp(delta A) - 1) delta B (eq. 4)
        return np.exp(delta * A), np.expm1(delta * A) / A * B
    if method == "euler":
        # h + delta (A h + B x):   A_bar = 1 + delta A,   B_bar = delta B
        return 1 + delta * A, delta * B
    if method == "mamba":
        # the two mixed:          A_bar = exp(delta A),  B_bar = delta B
        return np.exp(delta * A), delta * B
    raise ValueError(f"method is {method!r}, want zoh, euler or mamba")


# %% [markdown]
# ## The recurrence, one step after the other


# %%
def sequential_scan(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """h_t = a_t h_{t-1} + b_t from h = 0, by a loop; a, b, h: (l, ...)."""
    h = np.empty(b.shape, np.result_type(a, b))  # (l, ...)
    h[0] = b[0]
    for t in range(1, len(b)):
        # h_t = A_bar_t h_{t-1} + B_bar_t x_t                            (eq. 2)
        h[t] = a[t] * h[t - 1] + b[t]
    return h


# %% [markdown]
# ## The same as a scan
# A step is the map $h \mapsto a h + b$. Two maps in a row are one such map again, and
# it does not matter which neighbours are joined first. So join all pairs at once, scan
# the half as many maps that result, and fill in the steps between. That is $2 \log_2 l$
# rounds of whole-array work in place of $l$ small steps.


# %%
def combine(first: Pair, second: Pair) -> Pair:
    """The map `first` and then the map `second`, each (a, b), as one map."""
    (a1, b1), (a2, b2) = first, second
    # a2 (a1 h + b1) + b2 = (a2 a1) h + (a2 b1 + b2)
    return a2 * a1, a2 * b1 + b2


def associative_scan(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What `sequential_scan` returns, in about 2 log2(l) rounds."""
    b = b.astype(np.result_type(a, b))  # (l, ...)

    def scan(a: np.ndarray, b: np.ndarray) -> Pair:
        l = len(a)
        if l == 1:
            return a, b
        # steps 0 and 1, steps 2 and 3, ... joined, then what has come by 1, 3, ...
        pairs = combine((a[: l - 1 : 2], b[: l - 1 : 2]), (a[1::2], b[1::2]))
        odd = scan(*pairs)  # (l // 2, ...) each
        # what has come by 2, 4, ... is what had come by 1, 3, ... and one more step
        before = odd[0][: (l - 1) // 2], odd[1][: (l - 1) // 2]
        even = combine(before, (a[2::2], b[2::2]))
        out = np.empty_like(a), np.empty_like(b)  # (l, ...) each
        for whole, steps, at_odd, at_even in zip(out, (a, b), odd, even, strict=True):
            whole[0], whole[1::2], whole[2::2] = steps[0], at_odd, at_even
        return out

    return scan(a, b)[1]


# %% [markdown]
# ## The layer
# Algorithm 2 after its projections. `delta`, `B` and `C` come with a time axis: they
# are functions of the token. `A` and `D` come without one: they are weights. Every
# channel has its own states, and no channel sees another one.


# %%
def selective_scan(
    u: np.ndarray,
    delta: np.ndarray,
    A: np.ndarray,
    B: np.ndarray,
    C: np.ndarray,
    D: np.ndarray,
    method: str = "mamba",
    scan: Callable[[np.ndarray, np.ndarray], np.ndarray] = associative_scan,
) -> np.ndarray:
    """u, delta (b, l, d_in); A (d_in, n); B, C (b, l, n); D (d_in,) -> y (b, l, d_in).

    Raises ValueError where a shape does not fit u and A, or there is no step.
    """
    if u.ndim != 3 or u.shape[1] < 1:
        raise ValueError(f"u has shape {u.shape}, want (b, l, d_in) with l >= 1")
    (b, l, d_in), n = u.shape, A.shape[-1]
    wanted = {"delta": u.shape, "A": (d_in, n), "D": (d_in,)}
    wanted |= {"B": (b, l, n), "C": (b, l, n)}
    got = {"delta": delta, "A": A, "B": B, "C": C, "D": D}
    for name, shape in wanted.items():
        if got[name].shape != shape:
            raise ValueError(f"{name} has shape {got[name].shape}, want {shape}")
    deltaA, deltaB = discretize(delta[..., None], A, B[:, :, None], method)
    deltaB_u = deltaB * u[..., None]  # (b, l, d_in, n), as is deltaA
    # h_t = A_bar_t h_{t-1} + B_bar_t x_t                                (eq. 2)
    h = scan(deltaA.swapaxes(0, 1), deltaB_u.swapaxes(0, 1))  # (l, b, d_in, n)
    # y_t = C_t h_t + D x_t
    return np.einsum("lbdn,bln->bld", h, C) + D * u  # (b, l, d_in)


# %% [markdown]
# ## Where nothing depends on the token
# Hold $\Delta$, $B$ and $C$ fixed and the recurrence unrolls into one kernel. Then
# training needs no recurrence, only a convolution, which is what S4 did. The price:
# what a past token contributes depends on how long ago it came and on nothing else.


# %%
def lti_kernel(
    delta: np.ndarray,
    A: np.ndarray,
    B: np.ndarray,
    C: np.ndarray,
    l: int,
    method: str = "mamba",
) -> np.ndarray:
    """delta (d_in,), A (d_in, n), B and C (n,) -> the kernel over delays (l, d_in)."""
    deltaA, deltaB = discretize(delta[:, None], A, B, method)  # (d_in, n)
    # K = (C B_bar, C A_bar B_bar, C A_bar^2 B_bar, ...)                 (eq. 3)
    powers = deltaA ** np.arange(l)[:, None, None]  # (l, d_in, n)
    return (powers * deltaB) @ C  # (l, d_in)


def convolve(u: np.ndarray, K: np.ndarray) -> np.ndarray:
    """y_t = sum over delays k of K_k u_{t-k}: u (b, l, d_in), K (l, d_in), by FFT."""
    l = u.shape[1]
    spectrum = np.fft.rfft(u, 2 * l, axis=1) * np.fft.rfft(K, 2 * l, axis=0)
    return np.fft.irfft(spectrum, 2 * l, axis=1)[:, :l]  # (b, l, d_in)


# %% [markdown]
# ## One state, one gate
# Theorem 1: with one state, $A = -1$ and $B = 1$, the layer is a gated average. The
# step size is the gate. $\Delta = 0$ keeps the state and ignores the token, a long step
# forgets the state and takes the token.


# %%
def register(u: np.ndarray, delta: np.ndarray, method: str = "zoh") -> np.ndarray:
    """h_t = (1 - g) h_{t-1} + g u_t with g = 1 - exp(-delta); u, delta, h: (b, l)."""
    A, one = -np.ones((1, 1)), np.ones((*u.shape, 1))  # (1, 1), (b, l, 1)
    h = selective_scan(
        u[..., None], delta[..., None], A, one, one, np.zeros(1), method
    )  # (b, l, 1)
    return h[..., 0]


def open_and_shut(
    values: Sequence[float], opened: Sequence[int], delta_open: float, delta: float
) -> tuple[np.ndarray, np.ndarray]:
    """T values, the steps (from 0) that open the gate -> kept share and state, (T,)."""
    steps = np.full((1, len(values)), delta)  # (1, T)
    steps[0, list(opened)] = delta_open
    h = register(np.array([values]), steps)  # (1, T)
    return np.exp(-steps[0]), h[0]


EIGHT_VALUES = [0.6, -0.9, 0.3, -0.2, 0.8, 0.9, -0.4, 0.5]
OPENED = [1, 5]

# %% [markdown]
# ## Induction
# Somewhere stands a special token, at the end it comes again: say what followed it. The
# rule "open the gate when the token *before* was the special one" needs one number of
# state, whatever the length. (Mamba's block has the convolution to see the token
# before.)


# %%
def induction_by_hand(tokens: np.ndarray, special: int) -> np.ndarray:
    """Tokens (b, l) -> what the register holds at the end, as token numbers (b,)."""
    before = np.roll(tokens, 1, axis=1)  # (b, l)
    before[:, 0] = special - 1  # nothing comes before the first token
    delta = np.where(before == special, 40.0, 0.0)  # exp(-40) forgets to 17 digits
    return np.rint(register(tokens, delta)[:, -1]).astype(int)  # (b,)


def induction(l: int, V: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """One sequence (1, l) of V tokens and the special token V, and its answer."""
    tokens = rng.integers(0, V, (1, l))  # (1, l)
    place = rng.integers(l - 2)
    tokens[0, [place, -1]] = V
    return tokens, int(tokens[0, place + 1])


# %% [markdown]
# ## Selective copying
# `m` data tokens stand at random places among `L` tokens of which the others are noise;
# then come `m` tokens that ask for them in order. Data tokens are one-hot, all else is
# zero.


# %%
def selective_copying(
    b: int, L: int, m: int, V: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One-hot input (b, L + m, V), true where not noise (b, L + m), targets (b, m)."""
    places = np.sort(rng.random((b, L)).argsort(axis=1)[:, :m], axis=1)  # (b, m)
    targets = rng.integers(0, V, (b, m))  # (b, m)
    u = np.zeros((b, L + m, V))  # (b, L + m, V)
    u[np.arange(b)[:, None], places, targets] = 1
    not_noise = u.any(axis=2)  # (b, L + m)
    not_noise[:, L:] = True
    return u, not_noise, targets


# %% [markdown]
# **The best fixed kernel.** At a delay the kernel cannot see which data token it meets,
# only how likely it is the wanted one. With $1/V$ taken off every data token, which
# changes no ranking, different tokens are uncorrelated, and the weight of least squares
# is exactly that probability. The places of `m` tokens among `L` can be counted: token
# number `k` stands at `t` in $\binom{t}{k}\binom{L-1-t}{m-1-k}$ of $\binom{L}{m}$ ways.
#
# With any noise the result is flat: $(L/m)/(L - m + 1)$ at each delay from `m` to `L`.
# The kernel counts the tokens of each kind and forgets their order.


# %%
def best_kernel(L: int, m: int) -> np.ndarray:
    """The time-invariant kernel of least squared error over delays 0 to L + m - 1."""
    wanted, any_token = np.zeros((2, L + m))  # (L + m,) each, by delay
    for j in range(m):  # the question number j stands at L + j
        for t in range(L):
            ways = [math.comb(t, k) * math.comb(L - 1 - t, m - 1 - k) for k in range(m)]
            wanted[L + j - t] += ways[j]
            any_token[L + j - t] += sum(ways)
    # K_delay = P(it is the wanted token | a data token stands at that delay)
    return np.divide(wanted, any_token, out=wanted, where=any_token > 0)  # (L + m,)


# %% [markdown]
# **A clock that the tokens drive.** Let only $\Delta$ depend on the token: 0 for noise,
# so that for the state no time passes, and one tick for data and for questions. Counted
# in ticks, every answer lies `m` back. That is a fixed delay, and a fixed readout `C`
# of decaying states finds it.


# %%
TICK, N_STATES = 0.5, 16


def read_back(ticks: int, longest: int) -> np.ndarray:
    """C (n,) that reads what was written `ticks` ago, and not 1 to `longest` ago."""
    A, age = -np.arange(1.0, N_STATES + 1), np.arange(1, longest + 1)
    decay = TICK * np.exp(TICK * A * age[:, None])  # B_bar A_bar^age  (longest, n)
    return np.linalg.lstsq(decay, age == ticks, rcond=None)[0]  # (n,)


def copy_by_clock(u: np.ndarray, not_noise: np.ndarray, m: int) -> np.ndarray:
    """Scores of a selective scan whose delta alone depends on the token: (b, m, V)."""
    b, l, V = u.shape
    delta = np.broadcast_to(TICK * not_noise[..., None], u.shape)  # (b, l, V)
    A = -np.arange(1.0, N_STATES + 1) * np.ones((V, 1))  # (V, n)
    B = np.ones((b, l, N_STATES))  # (b, l, n)
    C = np.broadcast_to(read_back(m, 2 * m - 1), B.shape)  # (b, l, n)
    weights = [p.astype(u.dtype) for p in (delta, A, B, C, np.zeros(V))]
    return selective_scan(u, *weights)[:, -m:]  # (b, m, V), as precise as u


def copy_by_kernel(u: np.ndarray, K: np.ndarray, m: int) -> np.ndarray:
    """Scores of one fixed kernel (l,) on every channel: (b, m, V)."""
    return convolve(u, np.repeat(K[:, None], u.shape[2], axis=1))[:, -m:]  # (b, m, V)


def share_right(scores: np.ndarray, y: np.ndarray) -> float:
    """Share of answers y (b, m) that have the highest score; ties are shared evenly."""
    tied = scores >= scores.max(axis=2, keepdims=True) - 1e-9  # (b, m, V)
    right = np.take_along_axis(tied, y[..., None], axis=2)[..., 0]  # (b, m)
    return float((right / tied.sum(axis=2)).mean())


def copying_accuracy(L: int, m: int, seed: int, b: int = 1000) -> tuple[float, float]:
    """Share of 8 data tokens copied right: by the best kernel, by the clock.

    The clock is asked about the first 100 of the b sequences: it takes more memory.
    """
    u, ticks, y = selective_copying(b, L, m, 8, np.random.default_rng(seed))
    kernel = share_right(copy_by_kernel(u, best_kernel(L, m), m), y)
    scores = copy_by_clock(u[:100], ticks[:100], m)
    return kernel, share_right(scores, y[:100])


def named_at_random(m: int, V: int = 8) -> float:
    """Share right if one of the m data tokens is named, whichever: 1/m + (1-1/m)/V."""
    return 1 / m + (1 - 1 / m) / V


# %% [markdown]
# ## Figures


# %%
def draw_steps() -> None:
    """Two panels against the step size from 0 to 3, for a decay of A = -1. Left, what
    is kept of the state: the exact curve falls from 1 towards 0, Euler's straight line
    crosses zero at 1 and reaches -1 at 2. Right, what is taken of the token: the exact
    curve rises from 0 towards 1, Euler's straight line rises without end.
    """
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 2, figsize=(6.4, 3.0), layout="constrained")
    delta, one = np.linspace(0, 3, 61), np.ones(1)
    for method, name in {"zoh": "zero-order hold", "euler": "Euler"}.items():
        for ax, y in zip(axes, discretize(delta, -one, one, method), strict=True):
            ax.plot(delta, y, label=name)
    axes[0].set(title="kept of the state, $\\bar A$", xlabel="step size $\\Delta$")
    axes[1].set(title="taken of the token, $\\bar B$", xlabel="step size $\\Delta$")
    axes[1].legend()


# %% tags=["active-ipynb"]
# draw_steps()


# %%
def draw_copying() -> None:
    """Left, the best fixed kernel against the delay for 4 data tokens among 4, 16 and
    64: with 4 among 4 it is a single spike at delay 4, else it is flat from delay 4 to
    the length, and the lower the longer the sequence. Right, the share copied right:
    100 % for the scan whose step size depends on the token, at every length; for the
    best fixed kernel it falls from 100 % without noise to 42 % at length 64, not far
    above the 34 % of naming one of the data tokens at random.
    """
    import matplotlib.pyplot as plt

    _, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
    for L in (4, 16, 64):
        left.plot(best_kernel(L, 4), label=f"4 data tokens among {L}")
    left.set(xlabel="delay", title="kernel of least squared error", ylim=(0, 1.4))
    left.legend()
    lengths = (4, 6, 8, 12, 16, 32, 64)
    shares = np.array([copying_accuracy(L, 4, 0) for L in lengths])  # (lengths, 2)
    right.plot(lengths, 100 * shares[:, 1], marker="o", label="$\\Delta$ by token")
    right.plot(lengths, 100 * shares[:, 0], marker="o", label="best fixed kernel")
    at_random = 100 * named_at_random(4)
    right.axhline(at_random, color="C2", ls=":", label="any data token")
    right.set(xscale="log", ylim=(0, 105), xlabel="length", title="copied right, %")
    right.set_xticks([4, 8, 16, 32, 64], ["4", "8", "16", "32", "64"])
    right.minorticks_off()
    right.legend()


# %% tags=["active-ipynb"]
# draw_copying()

# %% [markdown]
# ## Numbers


# %%
def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median and range over seeds, as three entries."""
    summary = {"median": np.median(values), "min": min(values), "max": max(values)}
    return {f"{name}_{kind}": float(value) for kind, value in summary.items()}


def random_layer(seed: int, l: int = 100) -> tuple[np.ndarray, ...]:
    """u, delta, A, B, C, D of a layer with 3 channels of 4 states, for 2 sequences."""
    rng = np.random.default_rng(seed)
    u, noise = rng.standard_normal((2, 2, l, 3))  # (b, l, d_in) each
    B, C = rng.standard_normal((2, 2, l, 4))  # (b, l, n) each
    A = -np.arange(1.0, 5) * np.ones((3, 1))  # (d_in, n)
    return u, np.logaddexp(0, noise), A, B, C, rng.standard_normal(3)


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {}
    one = np.ones(1)
    for delta in (0.001, 0.01, 0.1, 1, 5):
        name = f"{delta:g}".replace(".", "")
        exact, euler = (
            discretize(delta * one, -one, one, m)[1] for m in ("zoh", "euler")
        )
        out[f"euler_to_zoh_b_delta{name}"] = float(euler[0] / exact[0])
    exact, euler = (
        discretize(one / 10, -16 * one, one, m)[1] for m in ("zoh", "euler")
    )
    out["euler_to_zoh_b_state16_delta01"] = float(euler[0] / exact[0])
    for method in ("zoh", "euler"):
        kept, _ = discretize(one / 10, -2 * one, one, method)
        out[f"kept_a2_delta01_{method}"] = float(kept[0])

    layers = [random_layer(seed) for seed in range(5)]
    loops = [selective_scan(*p, scan=sequential_scan) for p in layers]
    for name, method in {"scan_gap": "mamba", "zoh_change": "zoh"}.items():
        gaps = [
            abs(selective_scan(*p, method) - y)
            for p, y in zip(layers, loops, strict=True)
        ]
        out[f"{name}_max"] = float(np.max(gaps))
    out["output_scale"] = float(np.std(loops))
    u, delta, A, B, C, D = layers[0]
    fixed = [np.broadcast_to(x[:1, :1], x.shape) for x in (delta, B, C)]
    by_scan = selective_scan(u, fixed[0], A, *fixed[1:], D)
    K = lti_kernel(delta[0, 0], A, B[0, 0], C[0, 0], u.shape[1])
    out["convolution_gap_max"] = float(abs(convolve(u, K) + D * u - by_scan).max())

    s = np.linspace(-6, 6, 101)[None]  # what a linear layer might say  (1, l)
    g = 1 / (1 + np.exp(-s[0]))  # its sigmoid  (l,)
    by_gate = sequential_scan(1 - g, g)  # a register that is fed 1 all along  (l,)
    for method in ("zoh", "mamba"):
        h = register(np.ones(s.shape), np.logaddexp(0, s), method)[0]  # (l,)
        out[f"theorem1_gap_{method}"] = float(abs(h - by_gate).max())
        out[f"theorem1_largest_{method}"] = float(h.max())

    kept, h = open_and_shut(EIGHT_VALUES, OPENED, 4.0, 0.05)
    out |= {"kept_open": float(kept[1]), "kept_shut": float(kept[0])}
    for t, value in enumerate(EIGHT_VALUES, start=1):
        out[f"eight_steps_value_{t}"] = value
        out[f"eight_steps_kept_{t}"] = float(kept[t - 1])
        out[f"eight_steps_state_{t}"] = float(h[t - 1])

    for L, m in ((4, 4), (16, 4), (32, 4), (64, 4), (64, 8)):
        shares = np.array([copying_accuracy(L, m, seed) for seed in range(5)])  # (5, 2)
        out |= spread(f"copied_l{L}_m{m}_kernel_percent", list(100 * shares[:, 0]))
        out[f"copied_l{L}_m{m}_clock_percent_min"] = float(100 * shares[:, 1].min())
    for m in (2, 4, 8):
        out[f"named_at_random_m{m}_percent"] = 100 * named_at_random(m)
    for m in (4, 8):
        out[f"clock_readout_max_m{m}"] = float(abs(read_back(m, 2 * m - 1)).max())
    right = []
    for seed in range(5):
        tokens, answer = induction(2**20, 16, np.random.default_rng(seed))
        right.append(induction_by_hand(tokens, 16)[0] == answer)
    out["induction_2_20_percent"] = float(100 * np.mean(right))
    # 32k tokens, 24 images a second, 196 tokens each
    out["seconds_to_fill_32k"] = 2**15 / (24 * 196)
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
