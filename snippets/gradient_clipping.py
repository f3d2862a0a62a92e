# %% [markdown]
r"""
# The wall, and gradient clipping

One recurrent unit with two parameters already has a wall in its error surface, where
the gradient is thousands of times larger than around it. Gradient descent runs against
it with and without clipping, and with L1 and L2 penalties.

**Source:** R. Pascanu, T. Mikolov and Y. Bengio, *On the difficulty of training
recurrent neural networks* (2013): the one-unit example, sections 2 and 3; M. Nielsen,
*Neural Networks and Deep Learning* (2015), chapter 5, for the chain of four neurons.

| symbol | name | shape |
| --- | --- | --- |
| $w, b$ | weight and bias of the unit, one pair per start | any, `(...)` |
| $x_t$ (`x`) | state after step $t$, $x_0 = 1/2$ | `(...)` |
| $E$ (`error`) | $(\sigma(x_{50}) - 0.7)^2$ | `(...)` |
| $g$ (`grad`) | gradient with respect to $w$ and $b$ | `(2, ...)` |

**Differs from the source:** the source draws the surface and gives no numbers of a
descent; starts, learning rate and penalties are ours. All starts descend side by side.

**Checked against:** torch autograd, `clip_grad_value_`, and `clip_grad_norm_` without
the 1e-6 that it adds to the norm (1e-10 in float64); `torch.optim.SGD`;
`scipy.optimize.brentq`.

**Takes:** about 3 s on one core.

**Varies with the machine:** where a descent ends after it has met the wall, since each
processor rounds in its own way and the wall magnifies that: `share` by up to 0.15,
`thrown` by up to 0.15, `weight_after` by up to 0.5, `path_norm_end` by up to 0.05.
"""

# %%
from functools import cache

import numpy as np

STEPS, RATE = 300, 0.1  # gradient descent
START = np.array(5.2), np.array(-2.3)  # of the path in the figures
SEEDS, STARTS = (0, 1, 2, 3, 4), 60

# %% [markdown]
# ## Clipping
# By norm: all parameters together, the direction stays. By value: every component on
# its own, and the direction turns.


# %% Clipping
def clip_by_norm(grads: list[np.ndarray], threshold: float) -> list[np.ndarray]:
    """Scale all gradients together to a norm of at most `threshold` (section 3.2).

    Raises:
        ValueError: threshold not above 0.
    """
    if not threshold > 0:
        raise ValueError(f"threshold is {threshold}, expected above 0")
    norm = np.sqrt(sum((g**2).sum() for g in grads))
    # if |g| >= threshold:  g <- threshold / |g| * g
    return [g * threshold / norm if norm >= threshold else g for g in grads]


def clip_by_value(grads: list[np.ndarray], threshold: float) -> list[np.ndarray]:
    """Cut every component to at most `threshold` in size.

    Raises:
        ValueError: threshold not above 0.
    """
    if not threshold > 0:
        raise ValueError(f"threshold is {threshold}, expected above 0")
    return [np.clip(g, -threshold, threshold) for g in grads]


# %% [markdown]
# ## One unit, fifty steps
# The derivative runs forward beside the state: $\partial x_t / \partial w$ is what
# step $t$ adds plus the old derivative times the slope $w\,\sigma'(x_{t-1})$. Where
# that slope stays above 1, the derivative explodes.


# %%
def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), written so that no z overflows."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def error_and_gradient(
    w: np.ndarray, b: np.ndarray, steps: int = 50
) -> tuple[np.ndarray, np.ndarray]:
    """E_steps and its gradient, for w and b of one shape (...): (...), (2, ...).

    Raises:
        ValueError: w and b differ in shape, or steps below 1.
    """
    w, b = np.asarray(w, float), np.asarray(b, float)
    if w.shape != b.shape:
        raise ValueError(f"b has shape {b.shape}, expected that of w, {w.shape}")
    if steps < 1:
        raise ValueError(f"steps is {steps}, expected at least 1")
    x = np.full(w.shape, 0.5)  # x_0  (...)
    dx_dw = dx_db = np.zeros(w.shape)  # (...)
    for _ in range(steps):
        s = sigmoid(x)  # (...)
        # dx_t/dx_{t-1} = w sigma'(x_{t-1})
        jacobian = w * s * (1 - s)  # (...)
        dx_dw = s + jacobian * dx_dw  # (...)
        dx_db = 1 + jacobian * dx_db  # (...)
        # x_t = w sigma(x_{t-1}) + b
        x = w * s + b  # (...)
    s = sigmoid(x)  # (...)
    # E = (sigma(x_50) - 0.7)^2
    dE_dx = 2 * (s - 0.7) * s * (1 - s)  # (...)
    return (s - 0.7) ** 2, np.stack([dE_dx * dx_dw, dE_dx * dx_db])


# %% [markdown]
# ## Where the wall comes from
# For $w > 4$ there is a range of $b$ in which the unit has two attractors: it remembers
# one bit. At each end of the range one of them is lost: the bifurcations. Between the
# ends a repelling point divides the two basins, and where it passes the start $x_0$,
# at $b = x_0 - w\,\sigma(x_0)$, a small change moves $x_{50}$ from one attractor to
# the other. That is the wall. It ends where $w\,\sigma'(x_0) = 1$.


# %%
def bifurcations(w: float) -> tuple[float, float]:
    """The two b at which the unit gains and loses its second attractor, lower first.

    Raises:
        ValueError: w below 4, where there is one attractor for every b.
    """
    if w < 4:
        raise ValueError(f"w is {w}, expected at least 4")
    # a fixed point x = w sigma(x) + b that is about to vanish has slope w sigma'(x) = 1
    s = (1 + np.array([1, -1]) * np.sqrt(1 - 4 / w)) / 2  # sigma(x)  (2,)
    lower, upper = np.log(s / (1 - s)) - w * s  # b = x - w sigma(x)
    return float(lower), float(upper)


def two_attractors_from(activation: str) -> float:
    """Smallest w, to 0.001, at which x <- w phi(x) + b has two attractors for some b.

    Raises:
        ValueError: activation is neither 'sigmoid' nor 'tanh'.
    """
    if activation not in ("sigmoid", "tanh"):
        raise ValueError(f"activation is {activation!r}, expected 'sigmoid' or 'tanh'")
    x = np.linspace(-1, 1, 2001)  # both are steepest at 0
    phi = sigmoid(x) if activation == "sigmoid" else np.tanh(x)  # (2001,)
    # several fixed points share one b where b = x - w phi(x) is not monotone
    several = (w for w in np.arange(0.5, 8, 0.001) if (np.diff(x - w * phi) < 0).any())
    return float(next(several))


# %% [markdown]
# ## Descent
# Every rule changes the gradient and nothing else.


# %%
def descend(
    w: np.ndarray,
    b: np.ndarray,
    rule: str = "plain",
    strength: float = 1.0,
    steps: int = STEPS,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradient descent from every start; w, b (...).

    Args:
        w: starting weights.
        b: starting biases.
        rule: 'plain', 'norm' or 'value' (clipping), 'L1' or 'L2' (penalty on w).
        strength: threshold of the clipping, or factor of the penalty.
        steps: number of updates.

    Returns:
        The path (steps + 1, 2, ...), the errors without penalty (steps + 1, ...), the
        gradient norms before clipping (steps + 1, ...).

    Raises:
        ValueError: unknown rule.
    """
    if rule not in ("plain", "norm", "value", "L1", "L2"):
        raise ValueError(f"rule is {rule!r}, expected plain, norm, value, L1 or L2")
    theta = np.stack([w, b]).astype(float)  # (2, ...)
    path, errors, norms = [theta], [], []
    for _ in range(steps):
        error, grad = error_and_gradient(*theta)  # (...), (2, ...)
        if rule == "L1":  # of strength * |w|
            grad[0] += strength * np.sign(theta[0])
        if rule == "L2":  # of strength / 2 * w^2
            grad[0] += strength * theta[0]
        norm = np.hypot(*grad)  # (...)
        if rule == "norm":  # clip_by_norm, for all starts at once
            grad = grad * (strength / np.maximum(norm, strength))
        if rule == "value":
            grad = np.clip(grad, -strength, strength)  # (2, ...)
        theta = theta - RATE * grad  # (2, ...)
        path.append(theta)
        errors.append(error)
        norms.append(norm)
    error, grad = error_and_gradient(*theta)
    errors.append(error)
    norms.append(np.hypot(*grad))
    return np.stack(path), np.stack(errors), np.stack(norms)


RULES = {
    "plain": ("plain", 0.0),
    "norm_1": ("norm", 1.0),
    "value_1": ("value", 1.0),
    # no step is longer than the other rule's at 1
    "norm_sqrt_2": ("norm", float(np.sqrt(2))),
    "value_sqrt_half": ("value", float(np.sqrt(0.5))),
    "l1_0.01": ("L1", 0.01),
    "l2_0.02": ("L2", 0.02),
    "l2_0.2": ("L2", 0.2),
}


@cache
def outcomes(name: str) -> dict[str, np.ndarray]:
    """What became of the starts, by seed, (S,): shares, and the median weight w."""
    rngs = [np.random.default_rng(seed) for seed in SEEDS]
    w = np.stack([rng.uniform(4, 6.5, STARTS) for rng in rngs])  # (S, STARTS)
    b = np.stack([rng.uniform(-3.2, -1.8, STARTS) for rng in rngs])  # (S, STARTS)
    path, errors, _ = descend(w, b, *RULES[name])
    jumps = np.hypot(*np.moveaxis(np.diff(path, axis=0), 1, 0))  # (STEPS, S, STARTS)
    return {
        "share_reached": (errors < 1e-3).any(axis=0).mean(axis=1),  # (S,)
        "share_solved": (errors[-1] < 1e-3).mean(axis=1),  # (S,)
        "share_stuck": ((errors[-1] - 0.09) ** 2 < 1e-6).mean(axis=1),  # (S,)
        "thrown": (jumps > 1).any(axis=0).mean(axis=1),  # (S,)
        "weight_after": np.median(path[-1, 0], axis=1),  # (S,)
    }


# %% [markdown]
# ## What a penalty on the weights can and cannot do
# A penalty shrinks the weights a little at every step. Below $\lambda_1 = 1$ a tanh
# network cannot explode, and cannot remember either.


# %%
def decay_steps(start: float, target: float, rate: float, penalty: float) -> float:
    """Updates until W <- (1 - rate * penalty) W alone shrinks lambda_1 to `target`.

    Raises:
        ValueError: not 0 < target <= start, or not 0 < rate * penalty < 1.
    """
    if not 0 < target <= start:
        raise ValueError(f"target is {target}, expected above 0 and at most {start}")
    if not 0 < rate * penalty < 1:
        raise ValueError(f"rate * penalty is {rate * penalty}, expected within (0, 1)")
    return float(np.log(target / start) / np.log1p(-rate * penalty))


def latch(w: float, steps: int = 1000) -> float:
    """What x <- w tanh(x) keeps of a state that starts at 1."""
    x = 1.0
    for _ in range(steps):
        x = w * float(np.tanh(x))
    return x


def chain_gradients(w: float) -> np.ndarray:
    """dC/db_1 ... dC/db_4 in Nielsen's chain with every z = 0 and C = a_4: (4,)."""
    gradients = [0.25]  # sigma'(0) dC/da_4
    for _ in range(3):
        gradients.append(gradients[-1] * w * 0.25)  # one weight and one slope more
    return np.array(gradients[::-1])


# %% [markdown]
# ## Figures


# %%
@cache
def surface() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """w (80,), b (100,), error and gradient norm (100, 80) around the wall."""
    w, b = np.linspace(4, 7, 80), np.linspace(-3.5, -1.5, 100)
    error, grad = error_and_gradient(*np.meshgrid(w, b))  # (100, 80), (2, 100, 80)
    return w, b, error, np.hypot(*grad)


# %%
def draw_wall() -> None:
    """Map of the error over weight and bias, the darker the larger. The lower left is
    dark and ends in a cliff, a straight edge from the left down to the lower right; on
    its other side the error is near zero. Two paths begin at one point right of the
    cliff and run down to it together. There the one without clipping leaves the picture
    in one straight step to the upper right; the clipped one turns and follows the edge
    in small zigzags to the upper left.
    """
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    w, b, error, _ = surface()
    map_ = ax.contourf(w, b, error, np.arange(0, 0.51, 0.05), cmap="Greys")
    plt.colorbar(map_, label="error E")
    for name, rule in (("no clipping", "plain"), ("clipped to norm 1", "norm")):
        path, _, _ = descend(*START, rule)
        ax.plot(*path.T, linewidth=1, label=name)
    ax.plot(*START, "o", color="C2", label="start")
    ax.set(xlabel="weight w", ylabel="bias b", xlim=(4, 7), ylim=(-3.5, -1.5))
    fig.legend(loc="outside lower center", ncols=3)


# %% tags=["active-ipynb"]
# draw_wall()


# %%
def draw_descent() -> None:
    """Two panels over 300 updates. Above, the error: both runs fall slowly until update
    40. Then the one without clipping jumps and stays at 0.09 for good; the clipped one
    leaps to and fro between nearly 0 and a third, more and more rarely, and comes to
    rest near 0. Below, logarithmic, the gradient norm before clipping: one peak near a
    thousand, after which the unclipped run has none left, while the clipped one goes on
    at about a tenth with many peaks above the threshold.
    """
    import matplotlib.pyplot as plt

    _, (top, bottom) = plt.subplots(
        2, figsize=(6.4, 4.8), sharex=True, layout="constrained"
    )
    for name, rule in (("no clipping", "plain"), ("clipped to norm 1", "norm")):
        _, errors, norms = descend(*START, rule)
        top.plot(errors, label=name)
        bottom.semilogy(norms, label=name)
    top.set(ylabel="error E")
    bottom.set(xlabel="update", ylabel="gradient norm", xlim=(0, STEPS))
    bottom.set(ylim=(1e-5, 1e3))
    bottom.axhline(1, color="C2", linestyle=":", label="threshold")
    bottom.legend(loc="lower right")


# %% tags=["active-ipynb"]
# draw_descent()

# %% [markdown]
# ## Numbers


# %%
def spread(name: str, values: np.ndarray) -> dict[str, float]:
    """Median, smallest and largest of the seeds' values."""
    return {
        f"{name}_median": float(np.median(values)),
        f"{name}_min": float(values.min()),
        f"{name}_max": float(values.max()),
    }


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {"starts": STARTS, "seeds": len(SEEDS), "updates": STEPS}
    gradients = chain_gradients(100)
    out["nielsen_factor"] = gradients[0] / gradients[1]
    out["nielsen_first"] = gradients[0]

    grads = [np.array([3.0, 4.0])]
    by_norm, by_value = clip_by_norm(grads, 1)[0], clip_by_value(grads, 1)[0]
    cosine = grads[0] @ by_value / (5 * np.linalg.norm(by_value))
    out["clipped_by_norm_first"], out["clipped_by_norm_second"] = by_norm
    out["value_turned_degrees"] = np.degrees(np.arccos(cosine))

    out["attractors_from_sigmoid"] = two_attractors_from("sigmoid")
    out["attractors_from_tanh"] = two_attractors_from("tanh")
    out["bifurcation_lower"], out["bifurcation_upper"] = bifurcations(5)
    slope = sigmoid(0.5) * (1 - sigmoid(0.5))  # at the start of every run
    out["wall_b_w5"] = 0.5 - 5 * sigmoid(0.5)
    out["wall_factor_w5"], out["wall_end_w"] = 5 * slope, 1 / slope
    out["wall_growth_w5"] = (5 * slope) ** 50
    _, _, _, norm = surface()
    out["wall_median_gradient"] = np.median(norm)
    out["wall_largest_gradient"] = norm.max()
    path, errors, norms = descend(*START)
    out["path_start_w"], out["path_start_b"] = path[0]
    out["path_plain_peak_gradient"] = norms.max()
    out["path_plain_peak_update"] = norms.argmax()
    out["path_plain_longest_step"] = np.hypot(*np.diff(path, axis=0).T).max()
    out["path_plain_end_w"], out["path_plain_end_b"] = path[-1]
    out["path_plain_end_error"] = errors[-1]
    path, _, _ = descend(START[0], np.array(-2.25))  # one notch to the right
    steps = np.hypot(*np.diff(path, axis=0).T)  # (STEPS,)
    out["path_right_longest_step"] = steps.max()
    out["path_right_longest_step_of_60"] = steps[:60].max()
    path, _, _ = descend(*START, "norm")
    out["path_norm_end_w"], out["path_norm_end_b"] = path[-1]
    for rule in ("plain", "norm"):
        _, errors, norms = descend(*START, rule, steps=44)
        for n in range(36, 44):  # just before the wall and just after
            out[f"update_{n}_{rule}_error"] = errors[n]
            out[f"update_{n}_{rule}_norm"] = norms[n]
    for name in RULES:
        for what, values in outcomes(name).items():
            out |= spread(f"{what}_{name.replace('.', '')}", values)

    for penalty in (0.001, 0.1):
        key = f"decay_steps_{penalty:.0e}".replace("-", "m")
        out[key] = decay_steps(1.5, 1, 0.1, penalty)
    for w in (0.9, 1.0, 1.1, 1.5):
        out[f"latch_{w * 10:.0f}"] = latch(w)
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
