"""lora.py against torch autograd, singular values, and counts by hand."""

import numpy as np
import pytest
import torch

import lora

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def case():
    rng = np.random.default_rng(1)
    W0 = rng.standard_normal((7, 5))
    A, B = rng.standard_normal((3, 5)), rng.standard_normal((7, 3))
    return rng.standard_normal((4, 5)), W0, A, B, rng.standard_normal((4, 7))


def test_forward_and_gradients_equal_torch(case):
    x, W0, A, B, dh = case
    tA, tB = (torch.from_numpy(p).requires_grad_() for p in (A, B))
    base = torch.nn.Linear(5, 7, bias=False, dtype=torch.float64)
    with torch.no_grad():
        base.weight.copy_(torch.from_numpy(W0))
    tx = torch.from_numpy(x)
    h = base(tx) + 6.0 / 3 * torch.nn.functional.linear(tx @ tA.T, tB)
    h.backward(torch.from_numpy(dh))
    np.testing.assert_allclose(
        lora.lora_forward(x, W0, A, B, 6.0), h.detach().numpy(), **TIGHT
    )
    dA, dB = lora.lora_backward(x, A, B, 6.0, dh)
    np.testing.assert_allclose(dA, tA.grad, **TIGHT)
    np.testing.assert_allclose(dB, tB.grad, **TIGHT)


def test_merged_equals_applied(case):
    x, W0, A, B, _ = case
    W = lora.merge(W0, A, B, 4.5)
    np.testing.assert_allclose(x @ W.T, lora.lora_forward(x, W0, A, B, 4.5), **TIGHT)
    np.testing.assert_allclose(W - W0, 1.5 * B @ A, **TIGHT)
    assert np.linalg.matrix_rank(W - W0) == 3


def test_at_the_start_the_output_is_the_base_and_only_b_has_a_gradient(case):
    x, W0, _, _, dh = case
    A, B = lora.lora_init(7, 5, 2, np.random.default_rng(0))
    np.testing.assert_array_equal(lora.lora_forward(x, W0, A, B, 16.0), x @ W0.T)
    dA, dB = lora.lora_backward(x, A, B, 16.0, dh)
    np.testing.assert_array_equal(dA, np.zeros((2, 5)))
    assert np.abs(dB).min() > 0
    dA, dB = lora.lora_backward(x, 0 * A, B, 16.0, dh)
    assert not dA.any()
    assert not dB.any()


def test_init_has_the_size_it_says():
    A, B = lora.lora_init(300, 400, 100, np.random.default_rng(0))
    assert (A.shape, B.shape) == ((100, 400), (300, 100))
    assert A.std() == pytest.approx(1 / 20, rel=0.02)


def test_alpha_over_r_by_hand():
    x, W0 = np.array([[2.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    A, B = np.array([[1.0, 3.0], [0.0, 0.0]]), np.array([[0.0, 1.0], [10.0, 1.0]])
    # A x = (5, 0), B A x = (0, 50), alpha / r = 1 / 2
    np.testing.assert_allclose(lora.lora_forward(x, W0, A, B, 1.0), [[2.0, 26.0]])


def test_trainable_equals_the_arrays():
    A, B = lora.lora_init(24, 24, 4, np.random.default_rng(0))
    assert lora.trainable(3, 24, 4, matrices=5) == 3 * 5 * (A.size + B.size)
    assert lora.trainable(3, 24, 4) == 3 * 2 * (A.size + B.size)


def test_update_to_learn_has_the_singular_values_it_says():
    D = lora.update_to_learn(9, np.random.default_rng(3))
    assert D.shape == (9, 9)
    values = torch.linalg.svdvals(torch.from_numpy(D)).numpy()
    np.testing.assert_allclose(values, [4, 3, 2, 1, 0, 0, 0, 0, 0], **TIGHT)


@pytest.mark.parametrize("r", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_training_reaches_the_best_that_the_rank_allows_on_every_seed(r, seed):
    D = lora.update_to_learn(16, np.random.default_rng(seed))
    u, s, vh = torch.linalg.svd(torch.from_numpy(D))
    best = ((u[:, :r] * s[:r]) @ vh[:r]).numpy()
    lost = ((D - best) ** 2).sum() / (D**2).sum()
    assert lora.share_lost(r) == pytest.approx(lost, abs=1e-10)
    missing = lora.fit(r, seed)
    assert missing[0] == pytest.approx(1, abs=1e-12)  # B = 0
    assert missing[-1] == pytest.approx(lost, abs=1e-6)
    assert min(missing) > lost - 1e-12
    assert len(missing) == 600


def test_the_first_steps_by_hand():
    """Rank 1 on the singular vectors themselves, one number each for A and B."""
    rng = np.random.default_rng(0)
    D = lora.update_to_learn(16, rng)
    A, _ = lora.lora_init(16, 16, 1, rng)
    B = 0.05 * D @ A.T  # the first step: dB = -D A^T
    np.testing.assert_allclose(
        lora.fit(1, 0)[1], ((B @ A - D) ** 2).sum() / 30, rtol=1e-10
    )
    error = B @ A - D
    A, B = A - 0.05 * B.T @ error, B - 0.05 * error @ A.T
    np.testing.assert_allclose(
        lora.fit(1, 0)[2], ((B @ A - D) ** 2).sum() / 30, rtol=1e-10
    )


def test_numbers():
    result = lora.numbers()
    assert result.pop("difference_at_start") == 0
    assert 0 < result.pop("difference_merged") < 1e-12
    for r in (1, 2, 3, 4):
        assert abs(result.pop(f"excess_r{r}_max")) < 1e-6
    counts = {
        "gpt3_r1": 4_718_592,
        "gpt3_r8": 37_748_736,
        "roberta_base": 294_912,
        "roberta_large": 786_432,
        "deberta_xxl": 4_718_592,
        "gpt2_medium": 393_216,
        "gpt2_large": 737_280,
    }
    want = {f"trainable_{name}": count for name, count in counts.items()}
    want |= {f"trainable_{name}_millions": c / 1e6 for name, c in counts.items()}
    want |= {f"file_{name}_mib": c * 4 / 1048576 for name, c in counts.items()}
    want |= {
        "gpt3_gb": 349.208518656,
        "gpt3_r4_mb": 37.748736,
        "gpt3_to_r4": 174604259328 / 18874368,
        "trainable_gpt3_r2_four": 18_874_368,
        "adam_gpt3_tb": 1.396834074624,
        "adam_gpt3_r4_mb": 150.994944,
        "share_lost_r1": 14 / 30,
        "share_lost_r2": 5 / 30,
        "share_lost_r3": 1 / 30,
        "share_lost_r4": 0,
    }
    assert result == pytest.approx(want, rel=1e-12)


def test_bad_input_is_named(case):
    x, W0, A, B, _ = case
    with pytest.raises(ValueError, match=r"A has shape \(3, 4\), want \(3, 5\)"):
        lora.lora_forward(x, W0, A[:, :4], B, 1.0)
    with pytest.raises(ValueError, match=r"B has shape \(7, 2\), want \(7, 3\)"):
        lora.merge(W0, A, B[:, :2], 1.0)
    with pytest.raises(ValueError, match=r"B has shape \(6, 3\), want \(7, 3\)"):
        lora.merge(W0, A, B[:6], 1.0)
    for r in (0, 6):
        with pytest.raises(ValueError, match=f"r is {r}, want 1 to 5"):
            lora.lora_init(7, 5, r, np.random.default_rng(0))
    assert lora.lora_init(7, 5, 5, np.random.default_rng(0))[0].shape == (5, 5)
    for name in ("n_layers", "d_model", "r", "matrices"):
        sizes = {"n_layers": 1, "d_model": 1, "r": 1, "matrices": 1}
        assert lora.trainable(**sizes) == 2
        with pytest.raises(ValueError, match=f"{name} is 0, want at least 1"):
            lora.trainable(**{**sizes, name: 0})
