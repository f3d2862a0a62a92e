# %% [markdown]
r"""
# Backpropagation through time, term by term

The gradient of a plain recurrent network as the sum that it is: one term for every pair
of an error $E_t$ and an earlier step $k$ at which the shared weights acted. From the
table of all terms follow the one-pass algorithm, the error of truncating it, and, with
the Jacobians beside it, whether the far terms must vanish.

**Source:** Denny Britz, *Recurrent Neural Networks Tutorial, Part 3* (2015). Model,
sizes, seed and example sentence are those of its Part 2, on which it builds.

| symbol | name | shape |
| --- | --- | --- |
| $T, B$ | words in a sentence, sentences | |
| $C, H$ | vocabulary, hidden units | |
| $x_t$ (`x[t]`), $y_t$ | words read and words to predict, as indices | $(B)$ |
| $s_t$ (`s[t]`) | hidden state; $s_{-1} = 0$ is `s[-1]` | $(\dots, B, H)$ |
| $\hat y_t$ (`y_hat[t]`) | probabilities of the next word | $(\dots, B, C)$ |
| $z_k$ | $U x_k + W s_{k-1}$, inside the tanh | $(\dots, B, H)$ |
| $\delta_k^{(t)}$ (`delta[t, k]`) | $\partial E_t / \partial z_k$ | $(\dots, B, H)$ |
| $U, W, V$ | weights: in, through time, out | $(H, C), (H, H), (C, H)$ |
| $\dots$ | models side by side, one per seed (optional) | |

**Differs from the source:** sentences of one length form a batch, whose vectors are
rows. The claim that a Jacobian's norm is at most 1 is replaced by the bound that holds.
The small language model that is trained here is ours.

**Checked against:** torch autograd, with one copy of $W$ per step for the single terms
(1e-10 in float64), and `torch.autograd.functional.jacobian`.

**Takes:** about 3 s on one core.

**Varies with the machine:** what is measured after training, since each processor
rounds in its own way and training magnifies that: `trained` by up to 0.02.
"""

# %%
from functools import cache

import numpy as np

Params = dict[str, np.ndarray]  # U, W, V

# %% [markdown]
# ## Forward
# The state is kept for all steps, because the way back needs it. One row more than
# there are steps stays zero: index $-1$ is the last row, so `s[t - 1]` is right for
# $t = 0$ too.


# %%
def forward(p: Params, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read sentences x (T, B) -> s (T + 1, ..., B, H), y_hat (T, ..., B, C).

    Raises:
        ValueError: x is not a table of word indices below C with T >= 1.
    """
    *lead, H, C = p["U"].shape
    if x.ndim != 2 or not x.size or x.min() < 0 or x.max() >= C:
        raise ValueError(f"x must be (T, B) indices in [0, {C}), got {x!r}")
    T, B = x.shape
    s = np.zeros((T + 1, *lead, B, H))  # the last row is s_{-1} = 0
    for t in range(T):
        # s_t = tanh(U x_t + W s_{t-1})      U times a one-hot word picks a column
        s[t] = np.tanh(p["U"][..., x[t]].mT + s[t - 1] @ p["W"].mT)  # (..., B, H)
    # y^_t = softmax(V s_t)
    z = s[:-1] @ p["V"].mT  # (T, ..., B, C)
    z = np.exp(z - z.max(axis=-1, keepdims=True))  # (T, ..., B, C)
    return s, z / z.sum(axis=-1, keepdims=True)


def one_hot(words: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Words (T, B) as rows of zeros and a one, to go with `like` (T, ..., B, C)."""
    (T, B), C = words.shape, like.shape[-1]
    ones = words[..., None] == np.arange(C)  # (T, B, C)
    return ones.reshape(T, *[1] * (like.ndim - 3), B, C).astype(float)


def output_error(y_hat: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dE_t / d(V s_t) = y^_t - y_t for every step: (T, ..., B, C).

    Raises:
        ValueError: y is not a table of word indices below C, as long as y_hat.
    """
    T, *_, B, C = y_hat.shape
    if y.shape != (T, B) or y.min() < 0 or y.max() >= C:
        raise ValueError(f"y must be ({T}, {B}) indices in [0, {C}), got {y!r}")
    return y_hat - one_hot(y, y_hat)


# %% [markdown]
# ## Every error walks back on its own
# $E_t$ reaches $W$ through step $t$, through step $t - 1$, and so on down to step 0. A
# $\delta$ is made from the one after it by $W^\top$ and by the slope of tanh, and each
# yields one term of the gradient. The table has $T (T + 1) / 2$ of them.


# %%
def terms(p: Params, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What error t says to the weights as they acted at step k, for all t and k <= t.

    x, y: (T, B) words and the words that follow them.
    Returns delta (T, T, ..., B, H) and the terms of dE/dW (T, T, ..., H, H), summed
    over the B sentences; both indexed [t, k], zero where k > t.
    """
    s, y_hat = forward(p, x)  # (T + 1, ..., B, H), (T, ..., B, C)
    T = len(x)
    ds = output_error(y_hat, y) @ p["V"]  # dE_t/ds_t  (T, ..., B, H)
    delta = np.zeros((T, *ds.shape))  # (T, T, ..., B, H)
    dW = np.zeros((T, T, *p["W"].shape))  # (T, T, ..., H, H)
    for t in range(T):
        back = ds[t]  # dE_t/ds_k, beginning with k = t  (..., B, H)
        for k in range(t, -1, -1):
            # delta_k = dE_t/ds_k * (1 - s_k^2)
            delta[t, k] = back * (1 - s[k] ** 2)  # (..., B, H)
            # the term of step k: delta_k (x) s_{k-1}
            dW[t, k] = delta[t, k].mT @ s[k - 1]  # (..., H, H)
            # dE_t/ds_{k-1} = W^T delta_k
            back = delta[t, k] @ p["W"]  # (..., B, H)
    return delta, dW


# %% [markdown]
# ## All errors walk back together
# The recursion is linear in $\delta$. So the errors need not walk one by one: what
# arrives at step $k$ from all later errors can be added up, and one pass is enough.
# This is what every library does.


# %%
def bptt(p: Params, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, Params]:
    """Loss summed over all words, in nats (...), and its gradients, in one pass."""
    s, y_hat = forward(p, x)  # (T + 1, ..., B, H), (T, ..., B, C)
    dz = output_error(y_hat, y)  # (T, ..., B, C)
    # E = sum_t E_t,   E_t = - y_t log y^_t
    right = (y_hat * one_hot(y, y_hat)).sum(axis=-1)  # (T, ..., B)
    loss = -np.log(right).sum(axis=(0, -1))  # (...)
    ds = dz @ p["V"]  # (T, ..., B, H)
    delta = np.empty_like(ds)  # sum over t of delta_k^(t), at [k]  (T, ..., B, H)
    back = np.zeros_like(ds[0])  # (..., B, H)
    for k in reversed(range(len(x))):
        delta[k] = (ds[k] + back) * (1 - s[k] ** 2)  # (..., B, H)
        back = delta[k] @ p["W"]  # (..., B, H)
    s_prev = s[np.arange(len(x)) - 1]  # s_{-1}, s_0, ... s_{T-2}  (T, ..., B, H)
    grads = {
        # dE_t/dV = (y^_t - y_t) (x) s_t
        "V": (dz.mT @ s[:-1]).sum(axis=0),  # (..., C, H)
        "W": (delta.mT @ s_prev).sum(axis=0),  # (..., H, H)
        "U": (delta.mT @ one_hot(x, y_hat)).sum(axis=0),  # (..., H, C)
    }
    return loss, grads


# %% [markdown]
# ## Truncation
# Stop the walk after $d$ steps back: the terms with $t - k > d$ are missing. The table
# of terms gives the error for every $d$ at once.


# %%
def truncation_error(dW: np.ndarray) -> np.ndarray:
    """Relative error of dE/dW if no error walks back more than d steps: (T, ...)[d]."""
    T = len(dW)
    by_lag = [sum(dW[t, t - d] for t in range(d, T)) for d in range(T)]
    kept = np.cumsum(by_lag, axis=0)  # (T, ..., H, H)
    lost = np.linalg.norm(kept[-1] - kept, axis=(-2, -1))  # (T, ...)
    return lost / np.linalg.norm(kept[-1], axis=(-2, -1))


def reach(delta: np.ndarray) -> np.ndarray:
    """Mean norm of delta d steps back, relative to d = 0: (T, ...)[d]."""
    T, norm = len(delta), np.linalg.norm(delta, axis=-1)  # (T, T, ..., B)
    mean = [np.mean([norm[t, t - d] for t in range(d, T)], (0, -1)) for d in range(T)]
    return np.array(mean) / mean[0]


# %% [markdown]
# ## Jacobians, and the bound that holds
# One step back multiplies by
# $\partial s_t / \partial s_{t-1} = \operatorname{diag}(1 - s_t^2)\, W$.
# The first factor has a norm of at most 1. The second can have any.


# %%
def jacobians(p: Params, s: np.ndarray) -> np.ndarray:
    """ds_t/ds_{t-1} at every step: s (T + 1, ..., B, H) -> (T, ..., B, H, H)."""
    # ds_t/ds_{t-1} = diag(1 - s_t^2) W
    return (1 - s[:-1, ..., None] ** 2) * p["W"][..., None, :, :]


def product_norms(J: np.ndarray) -> np.ndarray:
    """2-norm of ds_t/ds_{t-n} for the last t and n = 1 .. T - 1: (T - 1, ..., B)."""
    product, norms = np.eye(J.shape[-1]), []
    for J_k in J[:0:-1]:  # from the last step down to step 1
        # ds_t/ds_{k-1} = ds_t/ds_k . ds_k/ds_{k-1}
        product = product @ J_k  # (..., B, H, H)
        norms.append(np.linalg.norm(product, 2, axis=(-2, -1)))  # (..., B)
    return np.array(norms)


# %% [markdown]
# ## The tutorial's own start
# Part 2 fixes the seed, 10, and prints the word indices of its example sentence 17. So
# its network can be had to the last digit. (The old generator is needed for that.)


# %%
X17 = np.array([[0, 51, 27, 16, 10, 856, 53, 25, 34, 69]]).T  # (T, 1)
Y17 = np.array([[51, 27, 16, 10, 856, 53, 25, 34, 69, 1]]).T  # (T, 1)


def init_params(
    C: int, H: int, rng: np.random.Generator | np.random.RandomState
) -> Params:
    """U, V, W, drawn in this order, uniform in +-1/sqrt(incoming connections).

    Raises:
        ValueError: C or H below 1.
    """
    if C < 1 or H < 1:
        raise ValueError(f"C and H must be at least 1, got {C} and {H}")
    U = rng.uniform(-(C**-0.5), C**-0.5, (H, C))
    V = rng.uniform(-(H**-0.5), H**-0.5, (C, H))
    return {"U": U, "V": V, "W": rng.uniform(-(H**-0.5), H**-0.5, (H, H))}


@cache
def tutorial_params() -> Params:
    """The network of Part 2 before training: C = 8000, H = 100, seed 10."""
    return init_params(8000, 100, np.random.RandomState(10))


# %% [markdown]
# ## A language model that learns
# A nursery rhyme in which each verse winds back through all the ones before it. Nobody
# is tossed but the dog, so the network has to remember which verb it has read two words
# ago, and more. Five seeds train side by side, by gradient descent with the gradient's
# norm clipped: Part 3's cure for explosion.


# %%
WHO = """the malt/the rat/the cat/the dog/the cow with the crumpled horn/the maiden all
forlorn/the man all tattered and torn/the judge all shaven and shorn/the rooster that
crowed in the morn/the farmer sowing his corn/the horse and the hound and the horn"""
DID = "lay in/ate/killed/worried/tossed/milked/kissed/married/woke/kept/belonged to"
SEEDS, UNITS, STEPS, T_WORDS = 5, 20, 200, 20


def rhyme() -> list[str]:
    """The words of “This is the house that Jack built”, all twelve verses."""
    text, verse = "", "the house that Jack built ."
    for who, did in zip(["", *WHO.split("/")], ["", *DID.split("/")], strict=True):
        verse = f"{who} that {did} {verse}" if who else verse
        text += f" This is {verse}"
    return text.split()


def clip(grads: Params, threshold: float) -> Params:
    """Scale every model's gradient, all arrays together, to at most this norm."""
    squares = [(g**2).sum(axis=(-2, -1), keepdims=True) for g in grads.values()]
    norm = np.sqrt(sum(squares))  # (..., 1, 1)
    return {name: g * np.minimum(1, threshold / norm) for name, g in grads.items()}


@cache
def models() -> tuple[Params, Params, np.ndarray, np.ndarray]:
    """Five models before training, the same after it, and the words x, y (T, B)."""
    words = rhyme()
    vocabulary = sorted(set(words))
    ids = np.array([vocabulary.index(word) for word in words])  # (N,)
    B = (len(ids) - 1) // T_WORDS
    x, y = (ids[i : i + B * T_WORDS].reshape(B, T_WORDS).T for i in (0, 1))  # (T, B)
    rngs = [np.random.default_rng(seed) for seed in range(SEEDS)]
    each = [init_params(len(vocabulary), UNITS, rng) for rng in rngs]
    start = {name: np.stack([p[name] for p in each]) for name in each[0]}
    p = dict(start)
    for _ in range(STEPS):
        _, grads = bptt(p, x, y)
        mean = {name: g / x.size for name, g in grads.items()}
        for name, g in clip(mean, threshold=1.0).items():
            p[name] = p[name] - g  # learning rate 1
    return start, p, x, y


# %% [markdown]
# ## Figures


# %%
def draw_terms() -> None:
    """Norms on a logarithmic axis against the step k, for the error of step 9. The
    points of delta fall along a straight dashed line, from 0.6 at k = 9 to 0.002 at
    k = 0. The terms of W run parallel below them and end at k = 1; at k = 0 there is
    none.
    """
    import matplotlib.pyplot as plt

    delta, dW = terms(tutorial_params(), X17, Y17)
    size = np.linalg.norm(delta[9, :, 0], axis=-1)  # (T,)
    k = np.arange(10)
    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    ax.semilogy(k, size, "o", label="δ, which is also the term of U")
    line = size[9] * 3.0 ** ((k - 9) / 2)  # (T,)
    ax.semilogy(k, line, "C0--", label="falling by 1/√3 a step")
    norms = np.linalg.norm(dW[9], axis=(-2, -1))  # (T,)
    ax.semilogy(k[1:], norms[1:], "s", color="C1", label="term of W")
    ax.set(xlabel="step k of the weights", ylabel="norm", xticks=k, ylim=(1e-5, 2))
    ax.invert_xaxis()
    ax.legend(loc="lower left")


# %% tags=["active-ipynb"]
# draw_terms()


# %%
def band(n: np.ndarray, values: np.ndarray, label: str, color: str) -> None:
    """Median of the seeds as a line, their range as a band: n (N,), values (N, S)."""
    import matplotlib.pyplot as plt

    plt.plot(n, np.median(values, axis=1), color=color, label=label)
    plt.fill_between(
        n, values.min(axis=1), values.max(axis=1), color=color, alpha=0.25, lw=0
    )


def draw_products() -> None:
    """Norm of the product of n Jacobians, n from 1 to 19, on a logarithmic axis. Before
    training it starts just above 1 and falls along a line to about 0.0001. After
    training it stays above 1 for the first steps and then sinks slowly; at 19 steps
    it is still hundreds of times larger than before training.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    start, p, x, _ = models()
    for label, q, color in (("after training", p, "C0"), ("before", start, "C1")):
        norms = product_norms(jacobians(q, forward(q, x)[0]))  # (T - 1, S, B)
        band(np.arange(1, 20), np.median(norms, axis=-1), label, color)
    ax.axhline(1, color="C2", ls=":", label="the claimed bound")
    ax.set(yscale="log", xlabel="steps back n", ylabel="norm of the Jacobian")
    ax.set_xticks(range(1, 20, 2))
    ax.legend(loc="lower left")


# %% tags=["active-ipynb"]
# draw_products()


# %%
def draw_truncation() -> None:
    """Relative error of the gradient against the steps walked back, 0 to 12. Before
    training it falls quickly and is a few per cent at 4 steps. After training the curve
    lies far above it: at 4 steps a large part of the gradient is still missing.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    start, p, x, y = models()
    for label, q, color in (("after training", p, "C0"), ("before", start, "C1")):
        errors = truncation_error(terms(q, x, y)[1])  # (T, S)
        band(np.arange(13), errors[:13], label, color)
    ax.axvline(4, color="C2", ls=":", label="the tutorial's setting")
    ax.set(xlabel="steps walked back", ylabel="relative error of dE/dW", ylim=(0, None))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_truncation()

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
    p = tutorial_params()
    delta, dW = terms(p, X17, Y17)
    out: dict[str, float] = {}
    for k in range(4):
        out[f"e3_delta_{k}"] = np.linalg.norm(delta[3, k])
        out[f"e3_term_{k}"] = np.linalg.norm(dW[3, k])
    for k in range(10):
        out[f"e9_delta_{k}"] = np.linalg.norm(delta[9, k])
    out["e9_factor_per_step"] = (out["e9_delta_0"] / out["e9_delta_9"]) ** (1 / 9)
    for d, error in enumerate(truncation_error(dW)[:6]):
        out[f"start_truncation_{d}"] = error

    # the slopes' largest values, on a grid that contains 0
    z = np.linspace(-10, 10, 2001)
    sigma = 0.5 * (1 + np.tanh(0.5 * z))
    out["tanh_slope_max"] = (1 - np.tanh(z) ** 2).max()
    out["sigmoid_slope_max"] = (sigma * (1 - sigma)).max()

    J = jacobians(p, forward(p, X17)[0])  # (T, 1, H, H)
    out["start_norm_W"] = np.linalg.norm(p["W"], 2)
    out["start_radius_W"] = np.abs(np.linalg.eigvals(p["W"])).max()
    out["start_jacobian_max"] = np.linalg.norm(J, 2, axis=(-2, -1)).max()
    for n, norm in enumerate(product_norms(J)[:, 0], start=1):
        out[f"start_product_{n}"] = norm

    start, trained, x, y = models()
    out |= {"words": len(rhyme()), "vocabulary": len(set(rhyme()))}
    out["rows"] = x.shape[1]
    for stage, q in (("fresh", start), ("trained", trained)):
        s, _ = forward(q, x)
        J = jacobians(q, s)  # (T, S, B, H, H)
        products = np.median(product_norms(J), axis=-1)  # (T - 1, S)
        delta, dW = terms(q, x, y)
        errors, far = truncation_error(dW), reach(delta)  # (T, S) each
        out |= spread(f"{stage}_loss_nats", bptt(q, x, y)[0] / x.size)
        out |= spread(f"{stage}_norm_W", np.linalg.norm(q["W"], 2, axis=(-2, -1)))
        largest = np.linalg.norm(J, 2, axis=(-2, -1)).max(axis=(0, 2))  # (S,)
        out |= spread(f"{stage}_jacobian_max", largest)
        for n in (1, 5, 10):
            out |= spread(f"{stage}_product_{n}", products[n - 1])
        for d in (0, 4, 8):
            out |= spread(f"{stage}_truncation_{d}", errors[d])
            out |= spread(f"{stage}_reach_{d}", far[d])
        out |= spread(f"{stage}_state_size", np.abs(s[:-1]).mean(axis=(0, 2, 3)))
    return {name: float(value) for name, value in out.items()}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
