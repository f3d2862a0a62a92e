"""fast_weights.py against PyTorch, by hand, and the equalities it claims."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import fast_weights as f

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def case():
    rng = np.random.default_rng(1)
    q, k = rng.standard_normal((2, 9, 4))
    return q, k, rng.standard_normal((9, 3))


def torch_masked(q, k, v):
    q, k, v = (torch.from_numpy(x) for x in (q, k, v))
    mask = torch.ones(len(q), len(k), dtype=torch.float64).tril()
    return torch.einsum("td,sd,ts,sv->tv", q, k, mask, v).numpy()


@pytest.mark.parametrize("form", [f.fast_weights, f.linear_attention])
def test_both_forms_equal_masked_attention_without_softmax(case, form):
    np.testing.assert_allclose(form(*case), torch_masked(*case), **TIGHT)


def test_the_two_forms_are_equal_at_length(case):
    q, k, v = np.random.default_rng(2).standard_normal((3, 200, 8))
    np.testing.assert_allclose(
        f.fast_weights(q, k, v), f.linear_attention(q, k, v), **TIGHT
    )


def test_normalized_equals_torch(case):
    q, k, v = case
    fq, fk = (F.elu(torch.from_numpy(x)) + 1 for x in (q, k))
    weights = (fq @ fk.T).tril()
    want = weights / weights.sum(dim=1, keepdim=True) @ torch.from_numpy(v)
    np.testing.assert_allclose(f.normalized_linear_attention(*case), want, **TIGHT)
    # weights add up to one: values that are all alike come back as they are
    same = f.normalized_linear_attention(q, k, np.full((9, 2), 7.0))
    np.testing.assert_allclose(same, 7.0, **TIGHT)


def test_positive_equals_elu_plus_one_and_never_overflows():
    x = np.array([-1e4, -3.0, -1e-9, 0.0, 1e-9, 2.0, 1e4])
    np.testing.assert_allclose(
        f.positive(x), (F.elu(torch.from_numpy(x)) + 1).numpy(), **TIGHT
    )


def test_what_is_written_later_is_not_read_earlier(case):
    q, k, v = case
    changed = v.copy()
    changed[5] += 1
    for form in (
        f.fast_weights,
        f.linear_attention,
        f.normalized_linear_attention,
    ):
        moved = np.abs(form(q, k, changed) - form(q, k, v)).max(axis=1) > 1e-9
        assert not moved[:5].any()
        assert moved[5:].all()


def test_orthonormal_keys_are_read_back_exactly():
    rng = np.random.default_rng(3)
    keys, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    values = rng.standard_normal((6, 2))
    for W in (f.write_sum(keys, values), f.write_delta(keys, values, np.ones(6))):
        np.testing.assert_allclose(keys @ W.T, values, **TIGHT)
        assert f.error_of_reading(W, keys, values) < 1e-20


def test_a_second_value_is_added_or_takes_the_place_of_the_first():
    k = np.array([[0.6, 0.8], [0.6, 0.8]])
    v = np.array([[1.0, 2.0], [10.0, -4.0]])
    np.testing.assert_allclose(f.write_sum(k, v) @ k[0], [11.0, -2.0], **TIGHT)
    delta = f.write_delta(k, v, np.ones(2))
    np.testing.assert_allclose(delta @ k[0], v[1], **TIGHT)
    half = f.write_delta(k, v, np.array([1.0, 0.25]))
    np.testing.assert_allclose(half @ k[0], 0.75 * v[0] + 0.25 * v[1], **TIGHT)


def test_the_delta_rule_is_a_gradient_step(case):
    _, k, v = case
    beta = np.linspace(0.1, 0.9, 9)
    before = f.write_delta(k[:8], v[:8], beta[:8])
    W = torch.from_numpy(before).requires_grad_()
    loss = ((torch.from_numpy(v[8]) - W @ torch.from_numpy(k[8])) ** 2).sum() / 2
    loss.backward()
    want = before - beta[8] * W.grad.numpy()
    np.testing.assert_allclose(f.write_delta(k, v, beta), want, **TIGHT)


def test_the_last_written_pair_is_read_exactly_by_the_delta_rule():
    k, v = f.random_pairs(40, 8, np.random.default_rng(4))
    W = f.write_delta(k, v, np.ones(40))
    np.testing.assert_allclose(W @ k[-1], v[-1], **TIGHT)


def test_write_sum_is_the_last_matrix_of_fast_weights(case):
    _, k, v = case
    q = np.zeros_like(k)
    q[-1] = [1.0, -2.0, 0.5, 3.0]
    np.testing.assert_allclose(
        f.fast_weights(q, k, v)[-1], f.write_sum(k, v) @ q[-1], **TIGHT
    )


def test_random_pairs():
    k, v = f.random_pairs(500, 8, np.random.default_rng(5))
    np.testing.assert_allclose((k**2).sum(axis=1), 1, **TIGHT)
    assert (k.shape, v.shape) == ((500, 8), (500, 8))
    assert v.std() == pytest.approx(1, abs=0.05)


def test_error_of_reading_by_hand():
    W = np.array([[2.0, 0.0], [0.0, 1.0]])
    k, v = np.eye(2), np.array([[1.0, 0.0], [0.0, 3.0]])
    # read (2, 0) and (0, 1): squared errors 1 and 4, squares 1 and 9
    assert f.error_of_reading(W, k, v) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_added_up_each_further_pair_costs_one_over_the_width(seed):
    """E |k_s . k_t|^2 = 1 / d, so the error is (n - 1) / d on average."""
    for n in (8, 32, 64):
        added, delta, least = f.capacity(n, seed)
        assert added == pytest.approx((n - 1) / 32, rel=0.3 if n > 8 else 0.8)
        assert least - 1e-12 < delta < added
    assert f.capacity(32, seed)[2] < 1e-12
    k, v = f.random_pairs(64, 32, np.random.default_rng(seed))
    best = torch.linalg.lstsq(torch.from_numpy(k), torch.from_numpy(v)).solution
    error = ((k @ best.numpy() - v) ** 2).sum() / (v**2).sum()
    assert f.capacity(64, seed)[2] == pytest.approx(error, abs=1e-10)


def test_numbers():
    result = f.numbers()
    assert result.pop("largest_difference") < 1e-12
    want = {
        "same_key_added": 8,
        "same_key_delta": 5,
        "same_key_delta_half": 0.5 * 1.5 + 0.5 * 5,
        "kept_fast_weights": 4096,
        "kept_attention_4096": 2 * 4096 * 64,
    }
    for n in (8, 16, 32, 64):
        runs = np.array([f.capacity(n, seed) for seed in range(5)])
        for column, rule in enumerate(("added", "delta", "best")):
            want[f"error_{rule}_{n}_median"] = np.sort(runs[:, column])[2]
    assert result == pytest.approx(want, rel=1e-9, abs=1e-12)


def test_bad_shapes_are_named(case):
    q, k, v = case
    for form in (f.fast_weights, f.linear_attention):
        with pytest.raises(ValueError, match=r"k has shape \(9, 3\), want that of q"):
            form(q, k[:, :3], v)
        with pytest.raises(ValueError, match=r"k has shape \(4,\), want that of q"):
            form(q[0], k[0], v)
        with pytest.raises(ValueError, match=r"v has shape \(8, 3\), want \(9, d_v\)"):
            form(q, k, v[:8])
        with pytest.raises(ValueError, match=r"v has shape \(9,\), want \(9, d_v\)"):
            form(q, k, v[:, 0])
    with pytest.raises(ValueError, match="v has shape"):
        f.write_sum(k, v[:8])
    with pytest.raises(ValueError, match="v has shape"):
        f.write_delta(k, v[:8], np.ones(9))
    with pytest.raises(ValueError, match=r"beta has shape \(8,\), want \(9,\)"):
        f.write_delta(k, v, np.ones(8))
