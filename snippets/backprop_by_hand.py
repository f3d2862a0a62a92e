# %% [markdown]
r"""
# Backpropagation by hand, one intermediate at a time

The letter model with batch normalization, its loss cut into twenty small steps, and the
gradient of each step written out under the step it belongs to. Then the two longest
chains, cross-entropy and batch normalization, as one line each.

**Source:** Andrej Karpathy, *Neural Networks: Zero to Hero* (2022), lecture 5: notebook
*makemore part 4, becoming a backprop ninja*.

| symbol | name | shape |
| --- | --- | --- |
| $x, y$ (`x`, `y`) | letters of context, letter to predict | $(B, T)$, $(B,)$ |
| parameters (`p.C`) | a vector for each letter | $(V, E)$ |
| (`p.W1`, `p.W2`) | weights of the two layers | $(TE, H)$, $(H, V)$ |
| (`p.gain`, `p.bias`) | of batch normalization; `p.b1` like them | $(H,)$ |
| (`p.b2`) | bias of the logits | $(V,)$ |
| intermediates (`v`) | in the order of `forward` | in comments |
| gradients (`d`) | `d.h` is the loss's derivative by `v.h` | that of `v.h` |

**Differs from the source:** float64 instead of float32. The notebook draws gain and
bias without its seeded generator, so they cannot be had again: here they are drawn nine
times.

**Checked against:** autograd, each parameter and each intermediate (1e-10 in float64);
`torch.randn` (the draws to 1e-6).

**Takes:** under 1 s on one core.
"""

# %%
from types import SimpleNamespace

import numpy as np

EPS = 1e-5

# %% [markdown]
# ## Forward


# %%
def forward(p: SimpleNamespace, x: np.ndarray, y: np.ndarray) -> SimpleNamespace:
    """The mean cross-entropy, with every intermediate on the way to it.

    Raises ValueError unless x is (B, T) and y (B,) with B > 1.
    """
    B = len(y)
    if x.ndim != 2 or y.shape != (len(x),) or B < 2:
        raise ValueError(f"x must be (B, T), y (B,), B > 1, got {x.shape}, {y.shape}")
    v = SimpleNamespace()
    v.emb = p.C[x]  # (B, T, E)
    v.flat = v.emb.reshape(B, len(p.W1))  # (B, T E)
    v.z = v.flat @ p.W1 + p.b1  # (B, H)
    v.mean = v.z.sum(axis=0) / B  # (H,)
    v.centered = v.z - v.mean  # (B, H)
    v.squared = v.centered**2  # (B, H)
    v.var = v.squared.sum(axis=0) / (B - 1)  # (H,)
    v.inv = (v.var + EPS) ** -0.5  # (H,)
    v.z_hat = v.centered * v.inv  # (B, H)
    v.pre = p.gain * v.z_hat + p.bias  # (B, H)
    v.h = np.tanh(v.pre)  # (B, H)
    v.logits = v.h @ p.W2 + p.b2  # (B, V)
    v.top = v.logits.max(axis=1, keepdims=True)  # (B, 1)
    v.shifted = v.logits - v.top  # (B, V)
    v.exps = np.exp(v.shifted)  # (B, V)
    v.total = v.exps.sum(axis=1, keepdims=True)  # (B, 1)
    v.share = 1 / v.total  # (B, 1)
    v.probs = v.exps * v.share  # (B, V)
    v.logprobs = np.log(v.probs)  # (B, V)
    v.loss = -v.logprobs[range(B), y].mean()
    return v


# %% [markdown]
# ## Backward
# From the last line up. Above each step stands the forward line that it undoes.


# %%
def backward(
    p: SimpleNamespace, x: np.ndarray, y: np.ndarray, v: SimpleNamespace
) -> SimpleNamespace:
    """The derivative of the loss by everything in v and in p."""
    B, rows = len(y), range(len(y))
    d = SimpleNamespace()
    # loss = -1/B sum_i logprobs[i, y_i]
    d.logprobs = np.zeros_like(v.logprobs)  # (B, V)
    d.logprobs[rows, y] = -1 / B
    # logprobs = ln(probs)
    d.probs = d.logprobs / v.probs  # (B, V)
    # probs = exps * share: a share serves a whole row, so its gradient is a sum
    d.share = (v.exps * d.probs).sum(axis=1, keepdims=True)  # (B, 1)
    d.exps = v.share * d.probs  # (B, V)
    # share = 1 / total
    d.total = -(v.share**2) * d.share  # (B, 1)
    # total = sum of exps: their second use, so its gradient is added
    d.exps += d.total
    # exps = e^shifted
    d.shifted = v.exps * d.exps  # (B, V)
    # shifted = logits - top
    d.logits = d.shifted.copy()  # (B, V)
    d.top = -d.shifted.sum(axis=1, keepdims=True)  # (B, 1)
    # top = max of logits
    d.logits[rows, v.logits.argmax(axis=1)] += d.top[:, 0]

    # logits = h W2 + b2
    d.h = d.logits @ p.W2.T  # (B, H)
    d.W2 = v.h.T @ d.logits  # (H, V)
    d.b2 = d.logits.sum(axis=0)  # (V,)
    # h = tanh(pre)
    d.pre = (1 - v.h**2) * d.h  # (B, H)

    # pre = gain * z_hat + bias
    d.gain = (v.z_hat * d.pre).sum(axis=0)  # (H,)
    d.bias = d.pre.sum(axis=0)  # (H,)
    d.z_hat = p.gain * d.pre  # (B, H)
    # z_hat = centered * inv
    d.inv = (v.centered * d.z_hat).sum(axis=0)  # (H,)
    d.centered = v.inv * d.z_hat  # (B, H)
    # inv = (var + eps)^(-1/2)
    d.var = -0.5 * v.inv**3 * d.inv  # (H,)
    # var = sum of squared / (B - 1)
    d.squared = np.tile(d.var / (B - 1), (B, 1))  # (B, H)
    # squared = centered^2: the second use of centered
    d.centered += 2 * v.centered * d.squared
    # centered = z - mean
    d.z = d.centered.copy()  # (B, H)
    d.mean = -d.centered.sum(axis=0)  # (H,)
    # mean = sum of z / B: the second use of z
    d.z += d.mean / B

    # z = flat W1 + b1
    d.flat = d.z @ p.W1.T  # (B, T E)
    d.W1 = v.flat.T @ d.z  # (T E, H)
    d.b1 = d.z.sum(axis=0)  # (H,)
    # flat = emb, its vectors side by side
    d.emb = d.flat.reshape(v.emb.shape)  # (B, T, E)
    # emb = C[x]: a letter that occurs often collects from every place
    d.C = np.zeros_like(p.C)  # (V, E)
    np.add.at(d.C, x, d.emb)
    return d


# %% [markdown]
# ## The two long chains, each in one step


# %%
def cross_entropy_backward(probs: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dL/dlogits (B, V) from the probabilities (B, V): eleven lines of `backward`."""
    # dL/dlogits = (softmax(logits) - onehot(y)) / B
    d_logits = probs.copy()  # (B, V)
    d_logits[range(len(y)), y] -= 1
    return d_logits / len(y)


def batch_norm_backward(
    d_pre: np.ndarray, z_hat: np.ndarray, inv: np.ndarray, gain: np.ndarray
) -> np.ndarray:
    """dL/dz (B, H) from dL/dpre (B, H): nine lines of `backward`."""
    B = len(d_pre)
    # dL/dz = gain inv (g - mean(g) - z_hat sum(g z_hat) / (B - 1)),   g = dL/dpre
    along = (d_pre * z_hat).sum(axis=0) / (B - 1)  # (H,)
    return gain * inv * (d_pre - d_pre.mean(axis=0) - z_hat * along)


# %% [markdown]
# ## The notebook's minibatches
# Its parameters and its choice of examples come from one seeded generator, which is the
# Mersenne Twister that NumPy has too. So the start can be had without PyTorch, but for
# gain and bias.


# %%
def torch_randn(n: int, bits: np.random.RandomState) -> np.ndarray:
    """What torch.randn(n) draws on a CPU from the same seed, to about 1e-6: (n,).

    Raises ValueError if n is below 16.
    """
    if n < 16:
        raise ValueError(f"n must be at least 16, got {n}")

    def pairs(count: int) -> np.ndarray:  # (count,), in whole blocks of 16
        u = bits.randint(0, 2**32, count, dtype=np.uint32) % 2**24 / 2**24  # (count,)
        u = u.reshape(count // 16, 16)  # (count / 16, 16)
        # r = sqrt(-2 ln(1 - u)),   z = r cos(2 pi u'), r sin(2 pi u')
        radius = np.sqrt(-2 * np.log(1 - u[:, :8]))  # (count / 16, 8)
        angle = 2 * np.pi * u[:, 8:]  # (count / 16, 8)
        return np.hstack([radius * np.cos(angle), radius * np.sin(angle)]).ravel()

    if n % 16 == 0:
        return pairs(n)
    z = np.append(pairs(n // 16 * 16), np.zeros(n % 16))  # (n,)
    bits.bytes(4 * (n % 16))  # n % 16 draws that are not used
    z[-16:] = pairs(16)  # a last block that is not whole: 16 anew, from the end
    return z


LETTERS = ".abcdefghijklmnopqrstuvwxyz"
# by hidden units: 32 times three letters of context and the letter that follows
MINIBATCHES = {
    64: """
    aadh rnan keio ..av lon. .qas ..mi mman hyle ..za vont smic ...h .den enil ree.
    .dak ara. ...z .eli .jay ina. ...a ..ra teag .kor ..gi .rec zere ..ni cen. .ror
    """,
    200: """
    dewa rnul lly. eece elei lygr .pri ...p ..ha iya. lon. .ala hin. non. xtin bayl
    lah. nin. aws. ...h andy ..me rie. onst .yis ..co otil ..ev .yuv ...b ..lu ...r
    """,
}


def minibatch(hidden: int) -> tuple[np.ndarray, np.ndarray]:
    """The first 32 examples of the network of that size: x (32, 3), y (32,).

    Raises ValueError if hidden is not in MINIBATCHES.
    """
    if hidden not in MINIBATCHES:
        raise ValueError(f"hidden must be one of {[*MINIBATCHES]}, got {hidden}")
    examples = MINIBATCHES[hidden].split()
    ids = np.array([[LETTERS.index(letter) for letter in e] for e in examples])
    return ids[:, :3], ids[:, 3]


def start(hidden: int, rng: np.random.Generator) -> SimpleNamespace:
    """Parameters of the notebook, from its seed; gain and bias are drawn from rng."""
    bits = np.random.RandomState(2147483647)
    p = SimpleNamespace()
    p.C = torch_randn(27 * 10, bits).reshape(27, 10)
    p.W1 = torch_randn(30 * hidden, bits).reshape(30, hidden) * 5 / 3 / 30**0.5
    p.b1 = torch_randn(hidden, bits) * 0.1  # (H,)
    p.W2 = torch_randn(hidden * 27, bits).reshape(hidden, 27) * 0.1
    p.b2 = torch_randn(27, bits) * 0.1  # (27,)
    p.gain = 1 + 0.1 * rng.standard_normal(hidden)  # (H,)
    p.bias = 0.1 * rng.standard_normal(hidden)  # (H,)
    return p


# %% [markdown]
# ## Wrong, without an error
# Gradients with a mistake in them, and how far they point away from the right one.


# %%
def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two arrays of one shape, read as vectors."""
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def mistakes(
    p: SimpleNamespace, x: np.ndarray, v: SimpleNamespace, d: SimpleNamespace
) -> dict[str, float]:
    """Cosine between a wrong gradient of W1 or C and the right one, by the mistake."""
    along = v.z_hat * (d.pre * v.z_hat).sum(axis=0) / (len(x) - 1)  # (B, H)
    wrong = {
        "constants": d.pre,  # mean and variance taken for constants
        "no_variance": d.pre - d.pre.mean(axis=0),
        "no_mean": d.pre - along,
    }
    scale = p.gain * v.inv  # (H,)
    out = {
        name: cosine(v.flat.T @ (scale * g), d.W1)  # (T E, H)
        for name, g in wrong.items()
    }
    C = np.zeros_like(p.C)  # (V, E)
    C[x] += d.emb  # of equal letters only one counts
    return out | {"last_place": cosine(C, d.C)}


# %%
def draw_logit_gradient() -> None:
    """A grid of 32 examples by 27 letters: the loss's derivative by each logit.

    Each row has one dark blue cell, the letter that follows, and pale red ones
    elsewhere. Each row adds up to zero.
    """
    import matplotlib.pyplot as plt

    x, y = minibatch(64)
    p = start(64, np.random.default_rng(0))
    d_logits = cross_entropy_backward(forward(p, x, y).probs, y)  # (B, V)
    _, ax = plt.subplots(figsize=(6.4, 6.4), layout="constrained")
    image = ax.imshow(32 * d_logits, cmap="RdBu_r", vmin=-0.2, vmax=0.2, aspect="auto")
    ax.set_xticks(range(27), LETTERS)
    ax.set_yticks(range(32), ["".join(LETTERS[i] for i in row) for row in x])
    ax.tick_params(axis="y", labelsize=8)
    ax.set(xlabel="letter that might follow", ylabel="context")
    ax.grid(visible=False)
    ax.figure.colorbar(image, label="32 dL/dlogit", extend="min")


# %% tags=["active-ipynb"]
# draw_logit_gradient()


# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    runs: dict[str, list[float]] = {}
    for hidden in MINIBATCHES:
        x, y = minibatch(hidden)
        for seed in range(9):
            p = start(hidden, np.random.default_rng(seed))
            v = forward(p, x, y)
            runs.setdefault(f"loss_{hidden}", []).append(float(v.loss))
            if hidden == 64:
                d = backward(p, x, y, v)
                d_logits = cross_entropy_backward(v.probs, y)  # (B, V)
                d_z = batch_norm_backward(d.pre, v.z_hat, v.inv, p.gain)  # (B, H)
                found = mistakes(p, x, v, d) | {
                    "slope": float(32 * d_logits[0, y[0]]),
                    "gap": max(
                        np.abs(d_logits - d.logits).max(), np.abs(d_z - d.z).max()
                    ),
                    "b1": np.abs(d.b1).max(),
                    "top": np.abs(d.top).max(),
                }
                for name, value in found.items():
                    runs.setdefault(name, []).append(float(value))
    out = {"intermediates": len(vars(v)), "gradients": len(vars(d))}
    out["dots"] = int((minibatch(64)[0] == 0).sum())
    for name, values in runs.items():
        out[f"{name}_median"] = float(np.median(values))
        out |= {f"{name}_min": min(values), f"{name}_max": max(values)}
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
