"""attention.py against PyTorch, against sums done by hand, and its own claims."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import attention as a

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def weights_of(rng, n_heads=4, d_model=24, d_k=6, d_v=6):
    def draw(*shape):
        return rng.standard_normal(shape) / math.sqrt(d_model)

    return (
        draw(n_heads, d_model, d_k),
        draw(n_heads, d_model, d_k),
        draw(n_heads, d_model, d_v),
        draw(n_heads * d_v, d_model),
    )


# ---- attention -----------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_torch(rng, masked):
    q = rng.standard_normal((2, 3, 5, 8))
    k = rng.standard_normal((2, 3, 7, 8))
    v = rng.standard_normal((2, 3, 7, 4))
    mask = None
    if masked:
        mask = rng.random((2, 1, 5, 7)) < 0.6
        mask[..., 2] = True  # every query keeps one key
    want = F.scaled_dot_product_attention(
        *(torch.from_numpy(x) for x in (q, k, v)),
        attn_mask=None if mask is None else torch.from_numpy(mask),
    )
    out, weights = a.attention(q, k, v, mask)
    np.testing.assert_allclose(out, want.numpy(), **TOLERANCE)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, **TOLERANCE)
    if mask is not None:
        assert np.all(weights[~np.broadcast_to(mask, weights.shape)] == 0)


def test_single_precision_stays_single(rng):
    q = rng.standard_normal((5, 8)).astype(np.float32)
    out, weights = a.attention(q, q, q, a.causal_mask(5))
    assert (out.dtype, weights.dtype) == (np.float32, np.float32)


def test_attention_by_hand():
    # d_k = 4, so the score 2 ln 3 becomes ln 3: the weights are 3/4 and 1/4
    q = np.array([[2 * math.log(3), 0, 0, 0]])
    k = np.array([[1.0, 0, 0, 0], [0, 5.0, 0, 0]])
    v = np.array([[8.0], [0.0]])
    out, weights = a.attention(q, k, v)
    np.testing.assert_allclose(weights, [[0.75, 0.25]], **TOLERANCE)
    np.testing.assert_allclose(out, [[6.0]], **TOLERANCE)


def test_softmax_survives_huge_and_tiny_scores():
    np.testing.assert_allclose(a.softmax(np.array([1e5, 1e5])), [0.5, 0.5])
    np.testing.assert_allclose(a.softmax(np.array([-1e5, -1e5])), [0.5, 0.5])
    np.testing.assert_allclose(
        a.softmax(np.array([[0.0, math.log(3)]])), [[0.25, 0.75]], **TOLERANCE
    )


def test_single_precision_stays_single_precision(rng):
    x = rng.standard_normal((4, 8)).astype(np.float32)
    assert a.softmax(x).dtype == np.float32


def test_causal_mask_leaks_nothing(rng):
    q, k, v = rng.standard_normal((3, 6, 8))
    mask = a.causal_mask(6)
    before, _ = a.attention(q, k, v, mask)
    for t in range(5):
        k2, v2 = k.copy(), v.copy()
        k2[t + 1 :] += 10.0
        v2[t + 1 :] -= 10.0
        after, _ = a.attention(q, k2, v2, mask)
        np.testing.assert_array_equal(after[: t + 1], before[: t + 1])
        assert np.abs(after[t + 1 :] - before[t + 1 :]).max() > 1e-3
    # and each position does see itself and what came before
    for t in range(6):
        v2 = v.copy()
        v2[t] += 1.0
        after, _ = a.attention(q, k, v2, mask)
        assert np.all(np.abs(after[t:] - before[t:]).max(axis=-1) > 1e-6)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"q": np.zeros(8)}, r"q has shape \(8,\)"),
        ({"k": np.zeros(8)}, r"k has shape \(8,\)"),
        ({"v": np.zeros(4)}, r"v has shape \(4,\)"),
        ({"k": np.zeros((2, 7, 9))}, "k has width 9, want q's width 8"),
        ({"q": np.zeros((2, 5, 9))}, "k has width 8, want q's width 9"),
        ({"v": np.zeros((6, 4))}, "v has 6 rows, want one per key: 7"),
        ({"mask": np.ones((7, 5), bool)}, r"mask has shape \(7, 5\).*\(5, 7\)"),
        ({"mask": np.ones((2, 5, 7), bool)}, r"mask has shape \(2, 5, 7\)"),
        ({"mask": np.ones((5, 7))}, "mask has dtype float64, want bool"),
        ({"mask": np.arange(5)[:, None] + np.zeros(7) != 3}, r"no key in row \(3,\)"),
    ],
)
def test_attention_bad_input(change, match):
    good = {"q": np.zeros((5, 8)), "k": np.zeros((7, 8)), "v": np.zeros((7, 4))}
    with pytest.raises(ValueError, match=match):
        a.attention(**(good | change))


# ---- heads ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["self", "causal", "cross"])
def test_multi_head_equals_torch(rng, case):
    n_heads, d_model, d_k = 4, 24, 6
    W_q, W_k, W_v, W_o = weights_of(rng)
    x = rng.standard_normal((2, 5, d_model))
    memory = rng.standard_normal((2, 7, d_model)) if case == "cross" else x
    mask = a.causal_mask(5) if case == "causal" else None

    torch_mha = torch.nn.MultiheadAttention(
        d_model, n_heads, bias=False, batch_first=True, dtype=torch.float64
    )
    with torch.no_grad():
        # torch stacks the heads' columns: row block i of in_proj is W_i transposed
        rows = [
            w.transpose(0, 2, 1).reshape(n_heads * d_k, d_model)
            for w in (W_q, W_k, W_v)
        ]
        torch_mha.in_proj_weight.copy_(torch.from_numpy(np.concatenate(rows)))
        torch_mha.out_proj.weight.copy_(torch.from_numpy(W_o.T))
        want, _ = torch_mha(
            *(torch.from_numpy(y) for y in (x, memory, memory)),
            attn_mask=None if mask is None else torch.from_numpy(~mask),
        )
    got = a.multi_head_attention(x, memory, W_q, W_k, W_v, W_o, mask)
    np.testing.assert_allclose(got, want.numpy(), **TOLERANCE)


def test_keys_and_values_may_have_different_widths(rng):
    W_q, W_k, W_v, W_o = weights_of(rng, n_heads=2, d_model=6, d_k=5, d_v=3)
    x = rng.standard_normal((1, 4, 6))
    want = np.zeros((1, 4, 6))
    for i in range(2):  # the sum over heads that the concatenation stands for
        head, _ = a.attention(x @ W_q[i], x @ W_k[i], x @ W_v[i])
        want += head @ W_o[3 * i : 3 * i + 3]
    got = a.multi_head_attention(x, x, W_q, W_k, W_v, W_o)
    np.testing.assert_allclose(got, want, **TOLERANCE)


def test_permutation_equivariance_until_positions_are_added(rng):
    weights = weights_of(rng)
    x = rng.standard_normal((1, 7, 24))
    order = rng.permutation(7)
    assert not np.array_equal(order, np.arange(7))

    def f(x):
        return a.multi_head_attention(x, x, *weights)

    np.testing.assert_allclose(f(x[:, order]), f(x)[:, order], **TOLERANCE)
    pe = a.positional_encoding(7, 24)
    assert np.abs(f(x[:, order] + pe) - f(x + pe)[:, order]).max() > 1e-2


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"W_o": np.zeros((23, 24))}, r"W_o has shape \(23, 24\), want .* \(24, 24\)"),
        # one head for all would broadcast
        ({"W_q": np.zeros((1, 24, 6))}, r"W_q has shape \(1, .*, want \(4, 24, d_k\)"),
        ({"W_k": np.zeros((4, 1, 6))}, r"W_k has shape \(4, 1, 6\), want \(4, 24, d_k"),
        ({"x": np.zeros((5, 24))}, r"x has shape \(5, 24\), want \(B, T, 24\)"),
        ({"memory": np.zeros((2, 5, 23))}, r"memory has shape \(2, 5, 23\)"),
        ({"mask": np.ones((4, 5, 6), bool)}, r"mask has shape \(4, 5, 6\)"),
        ({"mask": np.zeros((5, 5), bool)}, r"no key in row \(0,\)"),
    ],
)
def test_multi_head_bad_input(rng, change, match):
    names = ("W_q", "W_k", "W_v", "W_o")
    good = dict(zip(names, weights_of(rng), strict=True))
    good |= {"x": np.zeros((2, 5, 24)), "memory": np.zeros((2, 5, 24))}
    with pytest.raises(ValueError, match=match):
        a.multi_head_attention(**(good | change))


# ---- positions -----------------------------------------------------------------------


def test_positional_encoding_entry_by_entry():
    pe = a.positional_encoding(50, 16)
    for pos in (0, 1, 7, 49):
        for i in range(8):
            angle = pos / 10000 ** (2 * i / 16)
            assert pe[pos, 2 * i] == pytest.approx(math.sin(angle), abs=1e-12)
            assert pe[pos, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-12)


def test_start_continues_the_same_encoding():
    np.testing.assert_allclose(
        a.positional_encoding(30, 16)[10:],
        a.positional_encoding(20, 16, start=10),
        **TOLERANCE,
    )


@pytest.mark.parametrize("k", [0, 1, 13, 250])
def test_a_shift_is_a_rotation(k):
    pe = a.positional_encoding(600, 64)
    M = a.shift(k, 64)
    np.testing.assert_allclose(pe[: 600 - k] @ M.T, pe[k:], **TOLERANCE)
    np.testing.assert_allclose(M @ M.T, np.eye(64), **TOLERANCE)


def test_dot_product_depends_on_the_offset_alone():
    pe = a.positional_encoding(300, 8)
    dots = np.array([pe[p] @ pe[p + 3] for p in range(297)])
    # sum_i cos(3 / 10000^{2i/8}): 10000^{1/4} = 10, so the angles are 3, .3, .03, .003
    want = sum(math.cos(3 / 10**i) for i in range(4))
    np.testing.assert_allclose(dots, want, **TOLERANCE)


def test_one_pair_of_columns_is_the_unit_circle():
    angle = np.arange(5)
    want = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    np.testing.assert_allclose(a.positional_encoding(5, 2), want, **TOLERANCE)


@pytest.mark.parametrize("d_model", [0, 7, -2])
def test_odd_width_is_refused(d_model):
    with pytest.raises(ValueError, match=f"d_model is {d_model}, want an even number"):
        a.positional_encoding(10, d_model)


# ---- saturation ----------------------------------------------------------------------


def test_jacobian_norm_equals_autograd(rng):
    x = torch.from_numpy(3 * rng.standard_normal((4, 10)))
    want = [
        torch.autograd.functional.jacobian(lambda z: z.softmax(-1), row).norm()
        for row in x
    ]
    p = x.softmax(-1).numpy()
    np.testing.assert_allclose(a.softmax_jacobian_norm(p), want, **TOLERANCE)
    got = a.softmax_jacobian_norm(p.reshape(2, 2, 10))
    np.testing.assert_allclose(got, np.reshape(want, (2, 2)), **TOLERANCE)


def test_scaling_prevents_saturation_for_every_seed():
    for seed in a.SEEDS:
        raw = np.array([a.saturation(d, seed)[0] for d in a.WIDTHS])
        scaled = np.array([a.saturation(d, seed)[1] for d in a.WIDTHS])
        assert np.all(np.diff(raw[:, 0]) > 0)  # larger and larger weights
        assert np.all(np.diff(raw[:, 1]) < 0)  # smaller and smaller Jacobian
        assert np.all(np.diff(raw[:, 2]) > 0)  # more and more queries without gradient
        assert np.ptp(scaled[:, 0]) < 0.05
        assert np.ptp(scaled[:, 1]) < 0.05
        assert np.all(scaled[:, 2] == 0)


def test_saturation_is_measured_on_dot_products():
    # an independent draw, scores simulated from their exact conditional law:
    # given q, the products with standard normal keys are N(0, |q|^2)
    rng = np.random.default_rng(99)
    norm = np.sqrt(rng.chisquare(64, size=(4000, 1)))
    p = a.softmax(norm * rng.standard_normal((4000, 10)))
    runs = np.array([a.saturation(64, seed) for seed in a.SEEDS]).mean(axis=0)
    assert runs[0, 0] == pytest.approx(p.max(axis=-1).mean(), abs=0.02)
    p = a.softmax(norm / 8 * rng.standard_normal((4000, 10)))
    assert runs[1, 0] == pytest.approx(p.max(axis=-1).mean(), abs=0.02)


def test_one_draw_is_park_and_millers():
    """The C++ standard fixes the 10000th value of minstd_rand from seed 1."""
    _, k = a.first_entries(1250, seed=1, n_keys=7)
    uniform = k[-1, -1] / math.sqrt(12) + 0.5
    assert round(uniform * (2**31 - 1)) == 399268537


def test_one_draw_keeps_its_entries_and_has_mean_0_and_variance_1():
    q, k = a.first_entries(1024, seed=3)
    narrow_q, narrow_k = a.first_entries(64, seed=3)
    np.testing.assert_array_equal(q[:64], narrow_q)
    np.testing.assert_array_equal(k[:, :64], narrow_k)
    entries = np.concatenate([q, k.ravel()])
    assert abs(entries.mean()) < 3 / math.sqrt(entries.size)
    assert entries.var() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("seed", [0, -1, 2**31 - 1])
def test_one_draw_refuses_a_seed_outside_its_cycle(seed):
    with pytest.raises(ValueError, match=f"seed is {seed}, want one from 1"):
        a.first_entries(4, seed)


@pytest.mark.parametrize("d_k", [3, 64])
def test_saturation_equals_torch(d_k):
    """The same draws; the Jacobian in full and its norm by torch."""
    rng = np.random.default_rng(3)
    q = torch.from_numpy(rng.standard_normal((400, d_k)))
    k = torch.from_numpy(rng.standard_normal((400, 10, d_k)))
    raw = torch.einsum("bd,bnd->bn", q, k)
    for got, scores in zip(a.saturation(d_k, 3), (raw, raw / d_k**0.5), strict=True):
        p = scores.softmax(-1)
        norm = (torch.diag_embed(p) - p[:, :, None] * p[:, None]).flatten(1).norm(dim=1)
        want = [p.amax(1).mean(), norm.mean(), (norm < 0.01).double().mean()]
        np.testing.assert_allclose(got, want, **TOLERANCE)


def test_widths_of_the_figure_grow_fourfold_from_4_to_1024():
    assert a.WIDTHS == (4, 4**2, 4**3, 4**4, 4**5)


# ---- numbers -------------------------------------------------------------------------


def test_numbers_are_medians_of_five_seeds_and_closed_forms():
    want = {}
    runs = [a.saturation(64, seed) for seed in (0, 1, 2, 3, 4)]
    for row, scaling in enumerate(("raw", "scaled")):
        for column, what in enumerate(("max_weight", "jacobian_norm", "stuck")):
            values = sorted(run[row, column] for run in runs)
            want[f"{what}_{scaling}_dk64_median"] = values[2]
    stuck = sorted(run[0, 2] for run in runs)
    want |= {"stuck_raw_dk64_min": stuck[0], "stuck_raw_dk64_max": stuck[-1]}
    wide = sorted(a.saturation(1024, seed)[0, 2] for seed in (0, 1, 2, 3, 4))
    want["stuck_raw_dk1024_median"] = wide[2]

    q, k = map(torch.from_numpy, a.first_entries(64, seed=1))
    scores = k @ q
    want |= {f"one_draw_score_{j}": s.item() for j, s in enumerate(scores, start=1)}
    for scaling, logits in (("raw", scores), ("scaled", scores / 8)):
        p = logits.softmax(0)
        norm = torch.autograd.functional.jacobian(lambda z: z.softmax(0), logits).norm()
        want[f"one_draw_jacobian_norm_{scaling}"] = norm.item()
        want |= {f"one_draw_weight_{scaling}_{j}": w.item() for j, w in enumerate(p, 1)}

    # the slowest pair has 2i = 510
    want["wavelength_longest_d512_over_2pi"] = 10000 ** (510 / 512)
    want["pairs_d512"] = 256
    # 2 pi 10000^{i / 256} > 100 from i = 76.9 on: 256 ln(100 / 2 pi) / ln 10000
    want["pairs_slower_than_100_d512"] = 256 - 77
    want["encoding_norm_d512"] = 16  # 256 times sin^2 + cos^2
    numbers = a.numbers()
    assert 0 < numbers.pop("shift_error_max") < 1e-12  # exact but for rounding
    assert numbers == pytest.approx(want, rel=1e-9)
