"""rlhf_objectives.py against autograd, scipy.optimize, and by hand."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize

import rlhf_objectives as o

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def test_log_sigmoid_equals_torch_and_never_overflows():
    x = np.array([-1e4, -40.0, -1.0, 0.0, 0.5, 40.0, 1e4])
    np.testing.assert_allclose(
        o.log_sigmoid(x), F.logsigmoid(torch.from_numpy(x)), **TIGHT
    )


@pytest.mark.parametrize("k", [2, 3, 4, 9])
def test_reward_loss_and_gradient_equal_autograd(k):
    rewards = 3 * np.random.default_rng(k).standard_normal(k)
    r = torch.from_numpy(rewards).requires_grad_()
    pairs = list(combinations(range(k), 2))
    assert len(pairs) == math.comb(k, 2)
    want = -torch.stack([F.logsigmoid(r[w] - r[l]) for w, l in pairs]).mean()
    want.backward()
    loss, gradient = o.reward_loss(rewards)
    assert loss == pytest.approx(want.item(), abs=1e-12)
    np.testing.assert_allclose(gradient, r.grad, **TIGHT)


def test_only_differences_of_rewards_count():
    rewards = np.array([1.0, 0.3, -2.0])
    loss, gradient = o.reward_loss(rewards)
    assert o.reward_loss(rewards + 100)[0] == pytest.approx(loss)
    assert gradient.sum() == pytest.approx(0, abs=1e-15)


def test_fit_rewards_is_the_maximum_likelihood():
    wins = np.array([[0.0, 6, 9, 4], [3, 0, 5, 7], [1, 5, 0, 2], [6, 2, 8, 0]])

    def loss(r):
        return -(wins * o.log_sigmoid(r[:, None] - r)).sum() + r.sum() ** 2

    best = minimize(loss, np.zeros(4), tol=1e-12).x
    fitted = o.fit_rewards(wins)
    np.testing.assert_allclose(fitted, best, atol=1e-5)
    assert fitted.mean() == pytest.approx(0, abs=1e-12)
    # there the expected number of wins of each is what was counted
    p = 1 / (1 + np.exp(fitted - fitted[:, None]))
    np.testing.assert_allclose(((wins + wins.T) * p).sum(1), wins.sum(1), atol=1e-6)


def test_fit_rewards_of_two_is_the_log_of_the_odds():
    r = o.fit_rewards(np.array([[0.0, 3.0], [1.0, 0.0]]))
    np.testing.assert_allclose(r, [math.log(3) / 2, -math.log(3) / 2], atol=1e-8)


def test_fit_rewards_first_step_by_hand():
    # at r = 0 each win weighs 1/2: (30 - 10) / 2 / 40 = 0.25
    r = o.fit_rewards(np.array([[0.0, 30.0], [10.0, 0.0]]), steps=1, rate=2.0)
    np.testing.assert_allclose(r, [0.5, -0.5], **TIGHT)
    one = o.fit_rewards(np.array([[0.0, 30.0], [10.0, 0.0]]), steps=1)
    np.testing.assert_allclose(one, [0.25, -0.25], **TIGHT)


@pytest.mark.parametrize("eps", [0.1, 0.2, 0.3])
def test_ppo_equals_autograd(eps):
    ratio = np.array([0.3, 0.75, 0.95, 1.0, 1.05, 1.25, 1.7])
    for advantage in (2.0, -0.5):
        rho = torch.from_numpy(ratio).requires_grad_()
        want = torch.minimum(rho * advantage, rho.clamp(1 - eps, 1 + eps) * advantage)
        want.sum().backward()
        value, slope = o.ppo_objective(ratio, np.array(advantage), eps)
        np.testing.assert_allclose(value, want.detach(), **TIGHT)
        np.testing.assert_allclose(slope, rho.grad, **TIGHT)


def test_ppo_pays_no_more_beyond_the_clip_and_always_pays_the_way_back():
    value, slope = o.ppo_objective(np.array([1.2001, 9.0]), np.array(1.0))
    np.testing.assert_allclose(value, 1.2, **TIGHT)
    np.testing.assert_array_equal(slope, 0)
    # gone the wrong way: the slope is the full advantage, however far
    _, slope = o.ppo_objective(np.array([0.01, 9.0]), np.array([1.0, -1.0]))
    np.testing.assert_array_equal(slope, [1, -1])
    # and it never promises more than the plain objective
    ratio = np.linspace(0, 3, 61)
    for advantage in (-1.0, 1.0):
        value, _ = o.ppo_objective(ratio, np.array(advantage))
        assert (value <= ratio * advantage + 1e-15).all()


def test_the_best_policy_beats_every_other_by_scipy():
    rng = np.random.default_rng(1)
    p_ref = rng.dirichlet(np.ones(5))
    reward, beta = rng.standard_normal(5), 0.7

    def minus_objective(z):
        p = np.exp(z - z.max())
        p = p / p.sum()
        return -(p @ reward - beta * (p * np.log(p / p_ref)).sum())

    z = minimize(minus_objective, np.zeros(5), tol=1e-14).x
    p = np.exp(z - z.max())
    np.testing.assert_allclose(
        o.best_policy(p_ref, reward, beta), p / p.sum(), atol=1e-5
    )


def test_the_best_policy_by_hand_and_in_the_limits():
    p_ref, reward = np.array([0.25, 0.75]), np.array([math.log(3), 0.0])
    np.testing.assert_allclose(o.best_policy(p_ref, reward, 1.0), 0.5, **TIGHT)
    np.testing.assert_allclose(o.best_policy(p_ref, reward, 0.5), [0.75, 0.25], **TIGHT)
    np.testing.assert_allclose(o.best_policy(p_ref, reward, 1e9), p_ref, rtol=1e-6)
    np.testing.assert_allclose(o.best_policy(p_ref, reward, 1e-4), [1, 0], **TIGHT)
    np.testing.assert_allclose(
        o.best_policy(p_ref, 1000 * reward, 1.0), [1, 0], **TIGHT
    )


def test_kl_equals_torch():
    rng = np.random.default_rng(2)
    p, q = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6))
    want = F.kl_div(torch.from_numpy(q).log(), torch.from_numpy(p), reduction="sum")
    assert o.kl(p, q) == pytest.approx(want.item(), abs=1e-12)
    assert o.kl(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(
        math.log(2)
    )
    assert o.kl(p, p) == 0


def test_the_true_reward_first_rises_and_then_falls():
    true = [
        o.best_policy(o.P_REF, o.LEARNED, beta) @ o.TRUE for beta in (1e6, 0.5, 0.2)
    ]
    assert true[1] > true[0] + 0.3
    assert true[2] < true[0] - 0.5
    assert o.P_REF.sum() == pytest.approx(1)


def test_numbers():
    result = o.numbers()
    sigma = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    want = {
        "pairs_k4": 6,
        "pairs_k9": 36,
        "comparisons_per_batch_k9": 2304,
        "loss_delta_0": math.log(2),
        "loss_delta_1": -math.log(sigma(1)),
        "loss_delta_2": -math.log(sigma(2)),
        "loss_delta_ln3": math.log(4 / 3),
        "delta_for_90_percent": math.log(9),
        "ppo_plus_ratio_05": 0.5,
        "ppo_plus_ratio_10": 1,
        "ppo_plus_ratio_15": 1.2,
        "ppo_minus_ratio_05": -0.8,
        "ppo_minus_ratio_10": -1,
        "ppo_minus_ratio_15": -1.5,
        "ppo_plus_slope_05": 1,
        "ppo_plus_slope_10": 1,
        "ppo_plus_slope_15": 0,
        "ppo_minus_slope_05": 0,
        "ppo_minus_slope_10": -1,
        "ppo_minus_slope_15": -1,
        "ppo_ratio_13_advantage_minus_2": -2.6,
        "red_team_prompts": 182831,
        "true_reward_at_start": 0.15 + 0.2 + 0.14985 - 0.0002,
    }
    p_ref = np.array([0.4, 0.3, 0.2, 0.0999, 0.0001])
    learned, true = np.array([0, 0.5, 1, 1.5, 3]), np.array([0, 0.5, 1, 1.5, -2])
    for name, beta in (("1", 1.0), ("05", 0.5), ("02", 0.2)):
        p = p_ref * np.exp(learned / beta)
        p = p / p.sum()
        want[f"rope_beta_{name}_kl"] = (p * np.log(p / p_ref)).sum()
        want[f"rope_beta_{name}_learned"] = p @ learned
        want[f"rope_beta_{name}_true"] = p @ true
    gaps = [result.pop(f"fitted_gap_{x}") for x in ("first_second", "second_third")]
    # at the optimum the expected wins are the counted ones
    p12, p23, p13 = sigma(gaps[0]), sigma(gaps[1]), sigma(sum(gaps))
    assert 100 * (p12 + p13) == pytest.approx(170, abs=1e-4)
    assert 100 * (1 - p12 + p23) == pytest.approx(90, abs=1e-4)
    assert result.pop("fitted_share_first_over_third") == pytest.approx(p13)
    assert result == pytest.approx(want, rel=1e-12)


def test_bad_input_is_named():
    for bad in (np.ones((2, 2)), np.ones(1)):
        with pytest.raises(
            ValueError, match=r"rewards has shape .*, want \(K,\), K >= 2"
        ):
            o.reward_loss(bad)
    for bad in (np.ones(3), np.ones((2, 3))):
        with pytest.raises(ValueError, match=r"wins has shape .*, want \(n, n\)"):
            o.fit_rewards(bad)
    for bad in (np.zeros((2, 2)), np.array([[0.0, -1], [2, 0]])):
        with pytest.raises(
            ValueError, match=r"^wins has a count below 0, or none above"
        ):
            o.fit_rewards(bad)
    for eps in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"eps is {eps}, want strictly between"):
            o.ppo_objective(np.ones(2), np.ones(2), eps)
    with pytest.raises(ValueError, match=r"reward has shape \(2,\), want \(3,\)"):
        o.best_policy(np.ones(3) / 3, np.ones(2), 1.0)
    for beta in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"beta is {beta}, want above 0"):
            o.best_policy(np.ones(3) / 3, np.ones(3), beta)
