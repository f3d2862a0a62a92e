# %% [markdown]
r"""
# The objectives of RLHF: a reward from comparisons, and a clipped step towards it

People cannot put a number on an answer, but they can say which of two is better. From
such comparisons a reward is learned, and the model is then moved towards answers with a
high reward, by steps that are clipped and with a rope that holds it near where it was.

**Source:** Long Ouyang et al., *InstructGPT* (2022), eq. 1 and 2; John Schulman et al.,
*Proximal Policy Optimization Algorithms* (2017), eq. 7; Yuntao Bai et al.,
*Constitutional AI* (2022), for one sum; the list: Sebastian Raschka, *Understanding
Large Language Models* (2023).

| symbol | name | shape |
| --- | --- | --- |
| $r_\theta$ (`rewards`) | of $K$ answers to one prompt, best first | $(K,)$ |
| $\rho$ (`ratio`) | $\pi_{new} / \pi_{old}$ of what was done | any |
| $A$ (`advantage`) | how much better than expected it was | any |
| $\epsilon$ (`eps`) | clip | |
| $\pi_0$ (`p_ref`), $\beta$ (`beta`) | where the policy began, and the rope | $(n,)$ |

**Differs from the source:** in small: tables of numbers in the place of networks, one
choice among $n$ in the place of a text.

**Checked against:** torch autograd and `torch.nn.functional.logsigmoid` (1e-10 in
float64), `scipy.optimize` for the rewards that fit a table of wins (1e-6) and for the
best policy.

**Takes:** under 1 s on one core.
"""

# %%
import math
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

# %% [markdown]
# ## A reward from comparisons
# $K$ answers in the order that a person gave them make $\binom K2$ pairs. In each pair
# the better one shall have the higher reward, with the probability that a difference of
# rewards gives through the logistic function. This is the model of Bradley and Terry
# (1952). Only differences count, so the rewards have no zero of their own.


# %%
def log_sigmoid(x: Floats) -> Floats:
    """log(1 / (1 + exp(-x))) without overflow; any shape."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def reward_loss(rewards: Floats) -> tuple[float, Floats]:
    """Loss and gradient for the rewards (K,) of K answers to one prompt, best first.

    Raises ValueError unless rewards is (K,) with K >= 2.
    """
    if rewards.ndim != 1 or len(rewards) < 2:
        raise ValueError(f"rewards has shape {rewards.shape}, want (K,), K >= 2")
    # loss = -1 / C(K, 2) sum_{w < l} log sigma(r_w - r_l)             (eq. 1)
    w, l = np.array(list(combinations(range(len(rewards)), 2))).T  # (pairs,) each
    delta = rewards[w] - rewards[l]  # (pairs,)
    surprise = np.exp(log_sigmoid(-delta)) / len(w)  # (pairs,), sigma(-delta) / pairs
    gradient = np.zeros(len(rewards))  # (K,)
    np.subtract.at(gradient, w, surprise)  # the better one goes up
    np.add.at(gradient, l, surprise)  # the other one down
    return float(-log_sigmoid(delta).mean()), gradient


def fit_rewards(wins: Floats, steps: int = 2000, rate: float = 1.0) -> Floats:
    """Rewards (n,), of mean 0, that make a table of wins (n, n) most likely.

    wins[i, j] counts how often i was preferred over j. Gradient ascent; where some won
    every comparison with the others, the best rewards are infinite and it only nears
    them. Raises ValueError for another shape, a count below 0, or no count at all.
    """
    if wins.ndim != 2 or wins.shape[0] != wins.shape[1]:
        raise ValueError(f"wins has shape {wins.shape}, want (n, n)")
    if (wins < 0).any() or not wins.any():
        raise ValueError("wins has a count below 0, or none above: want some wins")
    r = np.zeros(len(wins))  # (n,)
    for _ in range(steps):
        surprise = wins * np.exp(log_sigmoid(r - r[:, None]))  # (n, n), i over j
        r = r + rate * (surprise.sum(axis=1) - surprise.sum(axis=0)) / wins.sum()
    return r  # the sum of the steps is zero, so the mean stays 0


# %% [markdown]
# ## A clipped step
# Make what turned out well more likely, and what turned out badly less. How much more
# is worth trusting? PPO stops paying beyond a ratio of $1 \pm \epsilon$: past it the
# objective is flat. The minimum keeps it from being flat on the wrong side: where the
# step has gone the wrong way, the way back is always paid.


# %%
def ppo_objective(
    ratio: Floats, advantage: Floats, eps: float = 0.2
) -> tuple[Floats, Floats]:
    """The clipped objective, and its derivative in the ratio; shapes broadcast.

    Raises ValueError unless 0 < eps < 1.
    """
    if not 0 < eps < 1:
        raise ValueError(f"eps is {eps}, want strictly between 0 and 1")
    ratio, advantage = np.broadcast_arrays(ratio, advantage)
    # L = min(rho A, clip(rho, 1 - eps, 1 + eps) A)                   (eq. 7)
    plain = ratio * advantage
    clipped = np.clip(ratio, 1 - eps, 1 + eps) * advantage
    return np.minimum(plain, clipped), np.where(plain <= clipped, advantage, 0.0)


# %% [markdown]
# ## The rope
# A learned reward is wrong far from the answers it was learned on. So the reward is
# lowered by $\beta \log (\pi / \pi_0)$. The best policy under that is known: the old
# one, tilted by $e^{r / \beta}$.


# %%
def best_policy(p_ref: Floats, reward: Floats, beta: float) -> Floats:
    """The policy (n,) that maximizes E[reward] - beta KL(policy, p_ref).

    Raises ValueError if p_ref and reward differ in shape or beta is not above 0.
    """
    if p_ref.shape != reward.shape:
        raise ValueError(f"reward has shape {reward.shape}, want {p_ref.shape}")
    if beta <= 0:
        raise ValueError(f"beta is {beta}, want above 0")
    # pi = pi_0 e^{r / beta} / Z
    z = np.log(p_ref) + reward / beta  # (n,)
    p = np.exp(z - z.max())  # (n,)
    return p / p.sum()


def kl(p: Floats, q: Floats) -> float:
    """KL(p, q) in nats, for two distributions (n,) with q > 0."""
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / q[seen])).sum())


# %% [markdown]
# ## An example of a wrong reward
# Five answers. The learned reward is right about four of them and far too high for the
# last, which the old policy hardly ever gave, so that nobody compared it.

# %%
P_REF = np.array([0.4, 0.3, 0.2, 0.0999, 0.0001])  # (5,)
TRUE = np.array([0.0, 0.5, 1.0, 1.5, -2.0])  # (5,)
LEARNED = np.array([0.0, 0.5, 1.0, 1.5, 3.0])  # (5,)

# %% [markdown]
# ## Figures


# %%
def draw_ppo() -> None:
    """Two panels, the objective against the ratio from 0 to 2. Advantage +1: a straight
    rise that becomes flat at 1.2. Advantage -1: flat at -0.8 up to 0.8, then a straight
    fall that goes on without end.
    """
    import matplotlib.pyplot as plt

    ratio = np.linspace(0, 2, 201)
    _, axes = plt.subplots(1, 2, figsize=(6.4, 2.8), layout="constrained")
    for ax, advantage in zip(axes, (1.0, -1.0), strict=True):
        objective, _ = ppo_objective(ratio, np.array(advantage))
        ax.plot(ratio, ratio * advantage, linestyle=":", color="C1", label="unclipped")
        ax.plot(ratio, objective, color="C0", label="PPO")
        ax.set(xlabel="ratio", title=f"advantage {advantage:+.0f}")
    axes[0].set_ylabel("objective")
    axes[0].legend()


# %% tags=["active-ipynb"]
# draw_ppo()


# %%
def draw_rope() -> None:
    """True and learned reward of the best policy against its distance from the old one,
    as the rope is let out. The learned reward only rises. The true reward rises with it
    at first, reaches a peak, and then falls below where it began.
    """
    import matplotlib.pyplot as plt

    betas = np.geomspace(0.15, 20, 60)
    policies = np.array([best_policy(P_REF, LEARNED, b) for b in betas])  # (60, 5)
    distance = [kl(p, P_REF) for p in policies]
    _, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
    ax.plot(distance, policies @ LEARNED, label="learned reward")
    ax.plot(distance, policies @ TRUE, label="true reward")
    ax.set(xlabel="distance from the old policy, KL in nats", ylabel="mean reward")
    ax.legend()


# %% tags=["active-ipynb"]
# draw_rope()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    result: dict[str, float] = {}
    for k in (4, 9):
        result[f"pairs_k{k}"] = math.comb(k, 2)
    result["comparisons_per_batch_k9"] = 64 * math.comb(9, 2)
    for name, delta in (("0", 0.0), ("1", 1.0), ("2", 2.0), ("ln3", math.log(3))):
        result[f"loss_delta_{name}"], _ = reward_loss(np.array([delta, 0.0]))
    result["delta_for_90_percent"] = math.log(0.9 / 0.1)
    for sign, advantage in (("plus", 1.0), ("minus", -1.0)):
        for name, ratio in (("05", 0.5), ("10", 1.0), ("15", 1.5)):
            value, slope = ppo_objective(np.array(ratio), np.array(advantage))
            result[f"ppo_{sign}_ratio_{name}"] = float(value)
            result[f"ppo_{sign}_slope_{name}"] = float(slope)
    value, _ = ppo_objective(np.array(1.3), np.array(-2.0))
    result["ppo_ratio_13_advantage_minus_2"] = float(value)

    # 300 comparisons of three answers: 80 to 20, 90 to 10, 70 to 30
    wins = np.array([[0.0, 80, 90], [20, 0, 70], [10, 30, 0]])  # (3, 3)
    r = fit_rewards(wins)  # (3,)
    result["fitted_gap_first_second"] = float(r[0] - r[1])
    result["fitted_gap_second_third"] = float(r[1] - r[2])
    result["fitted_share_first_over_third"] = float(1 / (1 + np.exp(r[2] - r[0])))

    result["true_reward_at_start"] = float(P_REF @ TRUE)
    for name, beta in (("1", 1.0), ("05", 0.5), ("02", 0.2)):
        p = best_policy(P_REF, LEARNED, beta)  # (5,)
        result[f"rope_beta_{name}_kl"] = kl(p, P_REF)
        result[f"rope_beta_{name}_learned"] = float(p @ LEARNED)
        result[f"rope_beta_{name}_true"] = float(p @ TRUE)
    # Constitutional AI: prompts written by people, and by a model
    result["red_team_prompts"] = 42496 + 140335
    return result


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
