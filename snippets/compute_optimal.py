# %% [markdown]
r"""
# How large a model, how many tokens?

The optimum of a fitted scaling law in closed form, for three sets of constants that
claim to describe the same runs, and what follows from it: the compute calculator, the
paper's tables of budgets, the model to train if it will be used, and where Kaplan's
exponent may come from.

**Source:** Jordan Hoffmann et al., *Training Compute-Optimal Large Language Models*
(2022), section 3, Tables 2, 3 and A3; Tamay Besiroglu et al., *Chinchilla Scaling: A
replication attempt* (2024); Nikhil Sardana et al., *Beyond Chinchilla-Optimal* (2024),
and the constants in the code published with it.

| symbol | name | unit |
| --- | --- | --- |
| $A, B, E, \alpha, \beta$ (`Surface`) | constants of the law | |
| $N$ (`N`), $D$ (`D`) | parameters, training tokens | |
| $C$ (`C`) | training compute, $6ND$ | FLOPs |
| $a, b$ | exponents of the optimum: $N \propto C^a$, $D \propto C^b$ | |

**Differs from the source:** nothing; the constants are theirs.

**Checked against:** `scipy.optimize.minimize_scalar`, torch autograd, the examples that
Sardana et al. print with their code.

**Takes:** under 1 s on one core.
"""

# %%
import math
from typing import NamedTuple

import numpy as np


# %% The closed form
class Surface(NamedTuple):
    """L(N, D) = E + A / N^alpha + B / D^beta, in nats per token."""

    A: float
    B: float
    E: float
    alpha: float
    beta: float


def loss(
    s: Surface, N: np.ndarray | float, D: np.ndarray | float
) -> np.ndarray | float:
    """Loss of a model of N parameters after D tokens (eq. 2)."""
    return s.E + s.A / N**s.alpha + s.B / D**s.beta


def optimum(s: Surface, C: float) -> tuple[float, float]:
    """The N and D with 6 N D = C at which the loss is least (eq. 4).

    Raises ValueError if C is not above 0.
    """
    if not C > 0:
        raise ValueError(f"C is {C}, want above 0")
    # G = (alpha A / beta B)^(1 / (alpha + beta))
    G = (s.alpha * s.A / (s.beta * s.B)) ** (1 / (s.alpha + s.beta))
    # N = G (C / 6)^a,  D = (C / 6)^b / G,  a = beta / (alpha + beta),  b = 1 - a
    N = G * (C / 6) ** (s.beta / (s.alpha + s.beta))
    return N, C / (6 * N)


def tokens_for(s: Surface, N: float) -> float:
    """The D for which a model of N parameters is the optimum of its budget.

    Raises ValueError if N is not above 0.
    """
    if not N > 0:
        raise ValueError(f"N is {N}, want above 0")
    # alpha A / N^alpha = beta B / D^beta
    return (s.beta * s.B * N**s.alpha / (s.alpha * s.A)) ** (1 / s.beta)


def wasted(truth: Surface, s: Surface, C: float) -> float:
    """The share of C that is wasted on the optimum of `s` if `truth` is the law."""
    least = loss(truth, *optimum(truth, C))
    got = loss(truth, *optimum(s, C))
    # both terms fall alike along the optimum: L_min(C) - E ~ C^-gamma
    gamma = truth.alpha * truth.beta / (truth.alpha + truth.beta)
    # L_min((1 - wasted) C) = got
    return 1 - ((least - truth.E) / (got - truth.E)) ** (1 / gamma)


# %% [markdown]
# ## Three sets of constants
# As printed; unrounded, as the replication found them in the paper's TeX source; and
# fitted anew by the replication.

# %%
SURFACES = {
    "rounded": Surface(406.4, 410.7, 1.69, 0.34, 0.28),
    "tex": Surface(
        math.exp(6.0073404),
        math.exp(6.0179186),
        math.exp(0.5267228),
        0.33917084,
        0.2849083,
    ),
    "epoch": Surface(482.01, 2085.43, 1.8172, 0.3478, 0.3658),
}
# the paper's again, with a third digit in the exponents: the code of Sardana et al.
SARDANA = Surface(406.4, 410.7, 1.69, 0.336, 0.283)
GOPHER_FLOPS = 5.76e23


def gpu_flops(hours: float, peak: float = 312e12, utilization: float = 0.4) -> float:
    """FLOPs in so many hours of a GPU that does `peak` a second, used in part.

    312e12 is what the maker states for an A100 in bfloat16.
    Raises ValueError unless hours and `peak` are above 0 and 0 < utilization <= 1.
    """
    if not (hours > 0 and peak > 0 and 0 < utilization <= 1):
        got = f"got {hours}, {peak} and {utilization}"
        raise ValueError(f"want hours, peak > 0 and 0 < utilization <= 1, {got}")
    return hours * 3600 * peak * utilization


# %% [markdown]
# ## The paper's tables of budgets
# Size, FLOPs, tokens. Table 3 is approach 1, the columns of Table A3 are approaches 2
# and 3.

# %%
TABLES = {
    "3": """
        400e6 1.92e19 8.0e9;  1e9 1.21e20 20.2e9;    10e9 1.23e22 205.1e9;
        67e9 5.76e23 1.5e12;  175e9 3.85e24 3.7e12;  280e9 9.90e24 5.9e12;
        520e9 3.43e25 11.0e12;  1e12 1.27e26 21.2e12;  10e12 1.30e28 216.2e12
    """,
    "a3_2": """
        400e6 1.84e19 7.7e9;  1e9 1.20e20 20.0e9;    10e9 1.32e22 219.5e9;
        67e9 6.88e23 1.7e12;  175e9 4.54e24 4.3e12;  280e9 1.18e25 7.1e12;
        520e9 4.19e25 13.4e12;  1e12 1.59e26 26.5e12;  10e12 1.75e28 292.0e12
    """,
    "a3_3": """
        400e6 2.21e19 9.2e9;  1e9 1.62e20 27.1e9;    10e9 2.46e22 410.1e9;
        67e9 1.71e24 4.1e12;  175e9 1.26e24 12.0e12; 280e9 3.52e25 20.1e12;
        520e9 1.36e26 43.5e12;  1e12 5.65e26 94.1e12;  10e12 8.55e28 1425.5e12
    """,
}
LABELS = ["400m", "1b", "10b", "67b", "175b", "280b", "520b", "1t", "10t"]


def table(name: str) -> np.ndarray:
    """One of `TABLES` as an array (3, 9): parameters, FLOPs, tokens."""
    return np.array([row.split() for row in TABLES[name].split(";")], float).T


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """Slope of the line of least squares through log y against log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


# %% [markdown]
# ## A model that will be used
# Training costs $6ND$, reading or writing a token $2N$. A smaller model, trained for
# longer to the same loss, is cheaper to use. How much smaller?


# %% A model that will be used
def cheapest(s: Surface, N: float, used: float) -> tuple[float, float, float]:
    """The cheapest way to the loss of the compute-optimal model of N parameters.

    used: tokens read or written after training. Returns parameters, tokens, and the
    share of all FLOPs that is saved.
    Raises ValueError if N is not above 0 or used is below 0.
    """
    if not used >= 0:
        raise ValueError(f"used is {used}, want at least 0")
    D = tokens_for(s, N)
    target = loss(s, N, D)

    def tokens(size: float) -> float:
        # B / D^beta = L - E - A / N^alpha
        return (s.B / (target - s.E - s.A / size**s.alpha)) ** (1 / s.beta)

    def cost(log_size: float) -> float:
        size = math.exp(log_size)
        # 6 N D + 2 N D_used
        return size * (6 * tokens(size) + 2 * used)

    # golden-section search: sizes below `low` never reach the loss
    low, high = math.log(s.A / (target - s.E)) / s.alpha + 1e-9, math.log(N)
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 1e-9:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if cost(left) < cost(right) else (left, high)
    size = math.exp(low)
    return size, tokens(size), 1 - cost(low) / (N * (6 * D + 2 * used))


# %% [markdown]
# ## Kaplan's exponent
# Kaplan et al. counted neither the embedding nor its FLOPs, and their models were
# small. Pearce and Song (2024) put the total at $N_E + 47491\, N_E^{1/3}$ and minimize
# the same loss along $6 N_E D = C_E$: the exponent comes out larger, though the law is
# the same.


# %% Kaplan's exponent
OMEGA = 47491


def exponent_without_embedding(s: Surface) -> float:
    """Slope of log N_E in log C_E over optimal models, N_E from 768 to 1.5e9."""
    N_E = np.geomspace(768, 1.5e9, 20)  # (20,)
    N = N_E + OMEGA * N_E ** (1 / 3)  # (20,)
    by_log = N_E + OMEGA / 3 * N_E ** (1 / 3)  # (20,), dN / d log N_E
    # dL / d log N_E = 0 along D = C_E / 6 N_E:
    # alpha A / N^(alpha + 1) dN / d log N_E = beta B / D^beta
    B_term = s.alpha * s.A / N ** (s.alpha + 1) * by_log / s.beta  # (20,)
    D = (s.B / B_term) ** (1 / s.beta)  # (20,)
    return slope(6 * N_E * D, N_E)


# %% [markdown]
# ## Figures


# %%
def draw_tokens_per_parameter() -> None:
    """Tokens per parameter at the optimum against compute from 1e18 to 1e26 FLOPs. The
    refitted constants fall gently, from 26 to 16. Both versions of the paper's own
    rise, from 19 and 26 to about 90 and 150. A dotted line at 20 is the rule of thumb;
    a vertical one marks Gopher's budget.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    C = np.geomspace(1e18, 1e26, 100)
    names = {
        "rounded": "paper, printed",
        "tex": "paper, unrounded",
        "epoch": "refitted",
    }
    for (key, label), style in zip(names.items(), ("-", "--", "-."), strict=True):
        N = np.array([optimum(SURFACES[key], c)[0] for c in C])
        ax.plot(C, C / (6 * N * N), style, label=label)
    ax.axhline(20, color="C3", ls=":", label="20, the rule of thumb")
    ax.axvline(GOPHER_FLOPS, color="C4", lw=1, label="Gopher's budget")
    ax.set(xscale="log", yscale="log", xlabel="training compute, FLOPs")
    ax.set_yticks([10, 20, 50, 100, 200], ["10", "20", "50", "100", "200"])
    ax.minorticks_off()
    ax.set_ylabel("tokens per parameter")
    ax.legend(fontsize="small")


# %% tags=["active-ipynb"]
# draw_tokens_per_parameter()


# %% [markdown]
# ## Numbers


# %%
def after_serving(s: Surface) -> dict[str, float]:
    """What serving 2e12 tokens changes, for a model as good as one of 13e9."""
    size, tokens, saved = cheapest(s, 13e9, 2e12)
    all_flops = 13e9 * (6 * tokens_for(s, 13e9) + 2 * 2e12)
    return {
        "cheapest_billions": size / 1e9,
        "cheapest_tokens_billions": tokens / 1e9,
        "cheapest_saved_percent": 100 * saved,
        "cheapest_saved_flops": saved * all_flops,
        "flops_for_10b": 6 * 10e9 * tokens_for(s, 10e9),
    }


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {"gpu_hour_flops": gpu_flops(1)}
    for name, s in SURFACES.items():
        values = dict(s._asdict())
        values["a"] = s.beta / (s.alpha + s.beta)
        values["b"] = s.alpha / (s.alpha + s.beta)
        values["loss_chinchilla"] = loss(s, 70e9, 1.4e12)
        values["loss_gopher"] = loss(s, 280e9, 300e9)
        values["reducible_chinchilla"] = values["loss_chinchilla"] - s.E
        values["kaplan_exponent"] = exponent_without_embedding(s)
        values |= after_serving(s)
        for exponent in range(18, 27):
            N, D = optimum(s, 10.0**exponent)
            values[f"params_1e{exponent}"], values[f"tokens_1e{exponent}"] = N, D
            values[f"ratio_1e{exponent}"] = D / N
            values[f"loss_1e{exponent}"] = loss(s, N, D)
        N, D = optimum(s, GOPHER_FLOPS)
        values["params_gopher"], values["tokens_gopher"] = N, D
        values["ratio_gopher"], values["loss_at_gopher"] = D / N, loss(s, N, D)
        lost = wasted(SURFACES["epoch"], s, GOPHER_FLOPS)
        values["wasted_percent_gopher"] = 100 * lost
        out |= {f"{name}_{key}": value for key, value in values.items()}

    for key, value in after_serving(SARDANA).items():
        out[f"sardana_{key}"] = value
    # a tenfold budget by Kaplan's exponents
    out["kaplan_times_params"], out["kaplan_times_tokens"] = 10**0.73, 10**0.27

    for name in TABLES:
        N, C, D = table(name)  # (9,) each
        for i, label in enumerate(LABELS):
            out[f"table_{name}_{label}_6nd"] = 6 * N[i] * D[i]
            out[f"table_{name}_{label}_gophers"] = C[i] / GOPHER_FLOPS
            out[f"table_{name}_{label}_of_gopher"] = GOPHER_FLOPS / C[i]
            out[f"table_{name}_{label}_ratio"] = D[i] / N[i]
        good = np.abs(6 * N * D / C - 1) < 0.1  # not the misprint
        out[f"table_{name}_slope"] = slope(C[good], N[good])
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
