# %% [markdown]
r"""
# A bigram model, by counting and by gradient descent

The smallest language model: how likely is the next letter, given the one before it?
Count the pairs and divide, and nothing in this family can fit better. Then the same
table as a network of one layer, trained by gradient descent, which creeps towards what
counting gives at once.

**Source:** Andrej Karpathy, *Neural Networks: Zero to Hero* (2022), lecture 2: notebook
*makemore part 1, bigrams*.

| symbol | name | shape |
| --- | --- | --- |
| $N_{ij}$ (`N`) | how often $j$ follows $i$; letter 0, `.`, is either end | (27, 27) |
| $P_{ij}$ (`P`) | probability of $j$ after $i$: each row adds up to 1 | (27, 27) |
| $W_{ij}$ (`W`) | weights of the network, the logits of $P$ | (27, 27) |
| $n$ | number of pairs, the sum of $N$ | |

**Differs from the source:** the network sees the counts, not 228,146 one-hot rows: the
sums are the same, over 27 rows. The course's names stand here as their counts, which
are all that either model uses of them. Nothing is sampled: what `torch.multinomial`
draws from a seed has changed between versions.

**Checked against:** `torch.nn.functional.cross_entropy` on the one-hot rows and its
gradient by autograd, `torch.randn` (1e-10 in float64; the draws to 1e-6).

**Takes:** under 1 s on one core.
"""

# %%
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

LETTERS = ".abcdefghijklmnopqrstuvwxyz"


# %% [markdown]
# ## Counting


# %%
def count_pairs(names: Sequence[str]) -> np.ndarray:
    """How often each letter follows each, ends included: (27, 27).

    Raises ValueError if a name is empty or has other letters than a to z.
    """
    N = np.zeros((27, 27), dtype=np.int64)  # (27, 27)
    for name in names:
        if not name or not set(name) <= set(LETTERS[1:]):
            raise ValueError(f"names must be of letters a to z, got {name!r}")
        ends = "." + name + "."
        for i, j in pairwise(ends):
            N[LETTERS.index(i), LETTERS.index(j)] += 1
    return N


def probabilities(N: np.ndarray, added: float = 0.0) -> np.ndarray:
    """Rows of counts to rows of probabilities, `added` to each count: (27, 27).

    Raises ValueError if `added` is negative, or zero while a row of N is empty.
    """
    if added < 0 or (N.sum(axis=1) + added == 0).any():
        raise ValueError(f"added must be >= 0, and > 0 with an empty row, got {added}")
    # P_ij = (N_ij + a) / sum_k (N_ik + a)
    return (N + added) / (N + added).sum(axis=1, keepdims=True)  # (27, 27)


def mean_nll(N: np.ndarray, P: np.ndarray) -> float:
    """Mean of -ln P over the pairs counted in N: infinite if one has P = 0."""
    seen = N > 0  # (27, 27): 0 ln 0 is 0
    if (P[seen] == 0).any():
        return np.inf
    # -1/n sum_ij N_ij ln P_ij
    return float(-(N[seen] * np.log(P[seen])).sum() / N.sum())


# %% [markdown]
# ## The same by gradient descent
# A one-hot row times W picks a row of W. So the loss over all pairs needs only the
# softmax of each row, and how often each pair occurs.


# %%
def softmax(W: np.ndarray) -> np.ndarray:
    """Each row of logits to probabilities: the shape of W."""
    e = np.exp(W - W.max(axis=1, keepdims=True))  # (27, 27)
    return e / e.sum(axis=1, keepdims=True)  # (27, 27)


def loss_and_gradient(
    W: np.ndarray, N: np.ndarray, penalty: float
) -> tuple[float, np.ndarray]:
    """Loss with `penalty` times the mean of the squared weights, and dL/dW (27, 27).

    Raises ValueError if W and N differ in shape.
    """
    if W.shape != N.shape:
        raise ValueError(f"W must have the shape of N, {N.shape}, got {W.shape}")
    P = softmax(W)  # (27, 27)
    loss = mean_nll(N, P) + penalty * float((W**2).mean())
    # dL/dW_ij = (N_i. P_ij - N_ij) / n + 2 penalty W_ij / 27^2
    pull = (N.sum(axis=1, keepdims=True) * P - N) / N.sum()  # (27, 27)
    return loss, pull + 2 * penalty * W / W.size


def train(
    W: np.ndarray, N: np.ndarray, steps: int, rate: float, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient descent from W: losses before each step (steps,), and the last W."""
    losses = np.zeros(steps)  # (steps,)
    for k in range(steps):
        losses[k], gradient = loss_and_gradient(W, N, penalty)
        W = W - rate * gradient  # (27, 27)
    return losses, W


# %% [markdown]
# ## The course's weights
# PyTorch draws from the same Mersenne Twister as NumPy's old generator: 24 of 32 bits,
# then Box and Muller's pairs, in blocks of 16. So the notebook's start can be had
# without PyTorch.


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
        z = np.hstack([radius * np.cos(angle), radius * np.sin(angle)])
        return z.ravel()  # (count,)

    if n % 16 == 0:
        return pairs(n)
    whole = n // 16 * 16
    z = np.append(pairs(whole), np.zeros(n % 16))  # (n,)
    bits.bytes(4 * (n % 16))  # n % 16 draws that are not used
    z[-16:] = pairs(16)  # a last block that is not whole: 16 anew, from the end
    return z


def course_start() -> np.ndarray:
    """W of the notebook, from its seed: (27, 27)."""
    return torch_randn(729, np.random.RandomState(2147483647)).reshape(27, 27)


# %% [markdown]
# ## Data
# Names to run on, and the counts of the course's `names.txt`, row by row.

# %%
# the 200 most common first names of the 1990 US census (public domain)
NAMES = """
james john robert michael mary william david richard charles joseph thomas patricia
christopher linda barbara daniel paul mark elizabeth donald george jennifer maria
kenneth susan steven edward margaret brian dorothy ronald anthony lisa kevin nancy karen
betty helen jason matthew gary timothy sandra jose larry jeffrey donna frank carol ruth
scott eric stephen andrew sharon michelle laura sarah kimberly deborah jessica raymond
shirley cynthia angela melissa brenda amy jerry gregory anna joshua rebecca virginia
kathleen dennis pamela martha debra amanda walter stephanie willie patrick terry carolyn
christine peter janet marie frances catherine harold douglas henry ann joyce diane alice
jean carl julie kelly arthur heather teresa doris gloria ryan joe evelyn roger juan
ashley jack albert cheryl joan jonathan justin katherine mildred gerald keith samuel
judith rose janice lawrence ralph nicole judy christina nicholas roy kathy theresa
benjamin beverly denise bruce brandon adam tammy billy fred irene harry jane wayne lori
louis steve tracy jeremy aaron andrea rachel marilyn robin leslie randy kathryn eugene
bobby carlos howard louise sara anne jacqueline wanda russell shawn bonnie julia victor
chris ruby lois tina jamie phyllis martin norma jesse paula annie diana ernest shannon
lee phillip todd lillian emily peggy crystal carmen craig
"""

# pairs of letters in the 32,033 names of the course, . to z after . to z
COURSE_PAIRS = """
0 4410 1306 1542 1690 1531 417 669 874 591 2422 2963 1572 2538 1146 394 515 92 1639 2055
1308 78 376 307 134 535 929 6640 556 541 470 1042 692 134 168 2332 1650 175 568 2528
1634 5438 63 82 60 3264 1118 687 381 834 161 182 2050 435 114 321 38 1 65 655 0 0 41 217
1 0 103 0 4 105 0 0 842 8 2 45 0 0 0 83 0 97 815 0 42 1 551 0 2 664 271 3 316 116 0 0
380 1 11 76 5 35 35 0 0 3 104 4 516 1303 1 3 149 1283 5 25 118 674 9 3 60 30 31 378 0 1
424 29 4 92 17 23 0 317 1 3983 679 121 153 384 1271 82 125 152 818 55 178 3248 769 2675
269 83 14 1958 861 580 69 463 50 132 1070 181 80 242 0 0 0 123 44 1 1 160 0 2 20 0 4 60
0 0 114 6 18 10 0 4 0 14 2 108 330 3 0 19 334 1 25 360 190 3 0 32 6 27 83 0 0 201 30 31
85 1 26 0 31 1 2409 2244 8 2 24 674 2 2 1 729 9 29 185 117 138 287 1 1 204 31 71 166 39
10 0 213 20 2489 2445 110 509 440 1653 101 428 95 82 76 445 1345 427 2126 588 53 52 849
1316 541 109 269 8 89 779 277 71 1473 1 4 4 440 0 0 45 119 2 2 9 5 2 479 1 0 11 7 2 202
5 6 0 10 0 363 1731 2 2 2 895 1 0 307 509 2 20 139 9 26 344 0 0 109 95 17 50 2 34 0 379
2 1314 2623 52 25 138 2921 22 6 19 2480 6 24 1345 60 14 692 15 3 18 94 77 324 72 16 0
1588 10 516 2590 112 51 24 818 1 0 5 1256 7 1 5 168 20 452 38 0 97 35 4 139 3 2 0 287 11
6763 2977 8 213 704 1359 11 273 26 1725 44 58 195 19 1906 496 5 2 44 278 443 96 55 11 6
465 145 855 149 140 114 190 132 34 44 171 69 16 68 619 261 2411 115 95 3 1059 504 118
275 176 114 45 103 54 33 209 2 1 0 197 1 0 204 61 1 1 16 1 1 59 39 0 151 16 17 4 0 0 0
12 0 28 13 0 0 0 1 0 0 0 13 0 0 1 2 0 2 0 0 1 2 0 206 0 3 0 0 0 1377 2356 41 99 187 1697
9 76 121 3033 25 90 413 162 140 869 14 16 425 190 208 252 80 21 3 773 23 1169 1201 21 60
9 884 2 2 1285 684 2 82 279 90 24 531 51 1 55 461 765 185 14 24 0 215 10 483 1027 1 17 0
716 2 2 647 532 3 0 134 4 22 667 0 0 352 35 374 78 15 11 2 341 105 155 163 103 103 136
169 19 47 58 121 14 93 301 154 275 10 16 10 414 474 82 3 37 86 34 13 45 88 642 1 0 1 568
0 0 1 911 0 3 14 0 8 153 0 0 48 0 0 7 7 0 0 121 0 51 280 1 0 8 149 2 1 23 148 0 6 13 2
58 36 0 0 22 20 8 25 0 2 0 73 1 164 103 1 4 5 36 3 0 1 102 0 0 39 1 1 41 0 0 0 31 70 5 0
3 38 30 19 2007 2143 27 115 272 301 12 30 22 192 23 86 1104 148 1826 271 15 6 291 401
104 141 106 4 28 23 78 160 860 4 2 2 373 0 1 43 364 2 2 123 35 4 110 2 0 32 4 4 73 2 3 1
147 45
"""


def course_counts() -> np.ndarray:
    """N of the course's names: (27, 27)."""
    return np.array(COURSE_PAIRS.split(), dtype=np.int64).reshape(27, 27)


# %% [markdown]
# ## Figures


# %%
def draw_table() -> None:
    """A square of 27 by 27 cells: a row for each letter, a column for the next.

    The columns of a, e, i, n and of the end are the dark ones. The row of q has one
    dark cell, under u; the columns of q and x are nearly empty.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
    image = ax.imshow(probabilities(course_counts()), cmap="Blues", vmax=0.5)
    ax.set_xticks(range(27), LETTERS)
    ax.set_yticks(range(27), LETTERS)
    ax.set(xlabel="next letter (. is the end)", ylabel="letter (. is the start)")
    ax.grid(visible=False)
    ax.figure.colorbar(image, label="probability", extend="max")


# %% tags=["active-ipynb"]
# draw_table()


# %%
def draw_descent() -> None:
    """Loss without the penalty against the step, above the line of the count model.

    It falls from 3.8 below 2.6 within 30 steps, then creeps towards the line.
    """
    import matplotlib.pyplot as plt

    N, W = course_counts(), course_start()
    data = []
    for _ in range(400):
        data.append(mean_nll(N, softmax(W)))
        _, W = train(W, N, 1, 50.0, 0.01)
    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    ax.plot(data, "-", label="network, pairs only")
    floor = mean_nll(N, probabilities(N))
    ax.axhline(floor, color="C1", ls="--", label="counting")
    ax.set(xlabel="step", ylabel="mean NLL", xlim=(0, 399), ylim=(2.4, 3.2))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_descent()


# %% [markdown]
# ## Numbers


# %%
def course_numbers() -> dict[str, float]:
    """What the notebook prints, from the counts of its names."""
    N, W = course_counts(), course_start()
    n = int(N.sum())
    out = {"pairs": n, "names": int(N[0].sum()), "cells_empty": int((N == 0).sum())}
    for added in (0, 1, 10, 100, 1000):
        out[f"nll_added_{added}"] = mean_nll(N, probabilities(N, added))
    out |= {"nll_total_added_1": n * out["nll_added_1"], "nll_uniform": np.log(27)}
    letters = np.broadcast_to(N.sum(axis=0) / n, (27, 27))  # (27, 27)
    out |= {"nll_letters_alone": mean_nll(N, letters)}
    out["perplexity"] = float(np.exp(out["nll_added_0"]))
    out |= {f"start_{j}": float(N[0, LETTERS.index(j)] / N[0].sum()) for j in "abem"}
    out["count_n_end"], out["count_start_a"] = int(N[14, 0]), int(N[0, 1])

    emma = count_pairs(["emma"])
    P = softmax(W)  # (27, 27)
    out |= {"emma_p_e": P[0, 5], "emma_nll_e": -np.log(P[0, 5]), "emma_p_m": P[5, 13]}
    steps, _ = train(W, emma, 5, 0.1, 0.0)  # (5,)
    out |= {f"emma_{k}_updates": loss for k, loss in enumerate(steps)}

    losses, last = train(W, N, 400, 50.0, 0.01)  # (400,)
    for k in (0, 99, 199, 399):
        out[f"net_{k}"] = losses[k]
    out |= {"net_0_pairs": mean_nll(N, P), "net_400_pairs": mean_nll(N, softmax(last))}
    out["net_steps_to_print"] = int((losses > 2.481828).sum())
    out["net_0_gap_to_emma"] = abs(losses[0] - steps[4])
    return {name: float(value) for name, value in out.items()}


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out = course_numbers()
    # every other name to count, the rest to judge by
    names = NAMES.split()
    N, held_out = count_pairs(names[::2]), count_pairs(names[1::2])
    out |= {"census_cells_empty": int((N == 0).sum())}
    for added in (0.01, 0.1, 1, 10):
        P = probabilities(N, added)  # (27, 27)
        key = str(added).replace(".", "_")
        out |= {f"census_train_{key}": mean_nll(N, P)}
        out |= {f"census_held_out_{key}": mean_nll(held_out, P)}
    return out | {"census_pairs_unseen": int(held_out[N == 0].sum())}


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
