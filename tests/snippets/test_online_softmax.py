"""online_softmax.py against PyTorch, by hand, and its claims: exact, in one pass."""

import math
import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import online_softmax as o

TIGHT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture
def case():
    rng = np.random.default_rng(1)
    q, k = rng.standard_normal((7, 5)), rng.standard_normal((23, 5))
    return q, 3 * k, rng.standard_normal((23, 4))


def torch_attention(q, k, v):
    q, k, v = (torch.from_numpy(x)[None] for x in (q, k, v))
    lse = torch.logsumexp(q @ k.mT / math.sqrt(q.shape[-1]), dim=-1)
    return F.scaled_dot_product_attention(q, k, v)[0].numpy(), lse[0].numpy()


@pytest.mark.parametrize("block_q", [1, 3, 7, 50])
@pytest.mark.parametrize("block_k", [1, 4, 23, 50])
def test_tiles_equal_torch_whatever_their_size(case, block_q, block_k):
    want, want_lse = torch_attention(*case)
    out, lse = o.tiled_attention(*case, block_q, block_k)
    np.testing.assert_allclose(out, want, **TIGHT)
    np.testing.assert_allclose(lse, want_lse, **TIGHT)


def test_one_pass_the_stream_is_gone_after_it_was_read(case):
    q, k, v = case
    tiles = iter([(k[:10], v[:10]), (k[10:11], v[10:11]), (k[11:], v[11:])])
    out, _ = o.streaming_attention(q, tiles)
    np.testing.assert_allclose(out, torch_attention(*case)[0], **TIGHT)
    assert next(tiles, None) is None


def test_a_running_softmax_denominator_equals_torch():
    """With the unit vectors as values, the output is the softmax itself."""
    x = 5 * np.random.default_rng(2).standard_normal(50)
    state = o.start(1, 50)
    for j, score in enumerate(x):
        state = o.online_step(state, score.reshape(1, 1), np.eye(50)[j : j + 1])
    p, lse = o.finish(state)
    np.testing.assert_allclose(p[0], torch.from_numpy(x).softmax(0), **TIGHT)
    assert lse[0] == pytest.approx(torch.logsumexp(torch.from_numpy(x), 0).item())


def test_constant_memory():
    """A stream a hundred times as long needs no more."""

    def peak(n_tiles):
        rng = np.random.default_rng(0)
        tiles = ((rng.random((64, 8)), rng.random((64, 8))) for _ in range(n_tiles))
        tracemalloc.start()
        o.streaming_attention(np.ones((16, 8)), tiles)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)  # what is made once, such as caches, is made now
    assert peak(500) < 1.1 * peak(5) < 150_000  # 500 tiles alone are 4 MB


def test_scores_that_would_overflow():
    q = np.array([[1000.0], [-1000.0]])
    k = np.array([[0.0], [1.0], [2.0], [-3.0]])
    v = np.arange(4.0)[:, None]
    out, lse = o.tiled_attention(q, k, v, 2, 1)
    np.testing.assert_allclose(out, [[2.0], [3.0]], **TIGHT)
    np.testing.assert_allclose(lse, [2000.0, 3000.0], **TIGHT)


def test_two_scores_by_hand():
    # scores ln 1 and ln 3 with values 10 and 20: weights 1/4 and 3/4
    state = o.online_step(o.start(1, 1), np.array([[0.0]]), np.array([[10.0]]))
    assert [float(x.item()) for x in state] == [0.0, 1.0, 10.0]
    state = o.online_step(state, np.array([[math.log(3)]]), np.array([[20.0]]))
    assert [float(x.item()) for x in state] == pytest.approx(
        [math.log(3), 1 + 1 / 3, 10 / 3 + 20]
    )
    out, lse = o.finish(state)
    assert (out.item(), lse.item()) == pytest.approx((17.5, math.log(4)))


def test_a_smaller_score_changes_neither_maximum_nor_what_was_summed():
    state = o.State(np.array([2.0]), np.array([1.5]), np.array([[4.0]]))
    after = o.online_step(state, np.array([[2.0 - math.log(2)]]), np.array([[6.0]]))
    assert [x.item() for x in after] == pytest.approx([2.0, 2.0, 7.0])


def test_start_has_seen_nothing():
    m, l, out = o.start(3, 2)
    assert np.all(m == -np.inf)
    np.testing.assert_array_equal(l, np.zeros(3))
    np.testing.assert_array_equal(out, np.zeros((3, 2)))


def test_traffic_by_hand():
    # N = 3, d = 2: Q, K, V, O have 6 numbers, S and P have 9; each S, P in and out
    assert o.traffic_standard(3, 2) == 4 * 6 + 4 * 9
    # room for 16 numbers: 2 keys at a time, so two tiles
    assert o.traffic_flash(3, 2, 16) == 2 * 6 + 2 * (3 * 6 + 4 * 3)
    assert o.traffic_flash(3, 2, 24) == 2 * 6 + 1 * (3 * 6 + 4 * 3)
    assert o.traffic_flash(3, 2, 8) == 2 * 6 + 3 * (3 * 6 + 4 * 3)
    assert o.traffic_flash(3, 2, 9) == o.traffic_flash(3, 2, 16)  # ceil(9 / 8) = 2
    with pytest.raises(ValueError, match="sram is 7, want room for four rows of 2: 8"):
        o.traffic_flash(3, 2, 7)


def test_traffic_falls_as_fast_memory_grows_and_standard_does_not_profit():
    flash = [o.traffic_flash(4096, 64, sram) for sram in (4096, 16384, 65536)]
    assert flash[0] > 3 * flash[1] > 9 * flash[2]


def test_the_count_of_operations_equals_pytorchs_counter():
    from torch.utils.flop_counter import FlopCounterMode

    q = torch.zeros(2, 3, 16, 8, device="meta", requires_grad=True)
    counter = FlopCounterMode(display=False)
    with counter:
        scores = q @ q.mT
        out = scores.softmax(-1) @ q
        out.backward(torch.zeros_like(out))
    assert counter.get_total_flops() == round(o.gflop(2, 3, 16, 8, matmuls=6) * 1e9)
    assert o.gflop(2, 3, 16, 8, matmuls=1, per_term=1) * 1e9 == 2 * 3 * 16 * 16 * 8


def test_the_example():
    x, states = o.example()
    assert (len(x), len(states)) == (10, 10)
    for t, state in enumerate(states, start=1):
        assert state.m[0] == x[:t].max()
        assert state.l[0] == pytest.approx(np.exp(x[:t] - x[:t].max()).sum())
        assert state.o[0, 0] == state.l[0]
    want = [0.2, 1.1, -0.4, 2.3, 1.9, 0.6, 3.4, 2.8, -1.0, 1.5]
    np.testing.assert_array_equal(x, want)


def test_numbers():
    result = o.numbers()
    assert result.pop("largest_difference") < 1e-14
    x = np.array([0.2, 1.1, -0.4, 2.3, 1.9, 0.6, 3.4, 2.8, -1.0, 1.5])
    standard = 4 * 65536 + 4 * 1048576
    want = {
        "numbers_kept_per_query_d64": 66,
        "example_scores": 10,
        "example_sum": np.exp(x - 3.4).sum(),
        "example_sum_before_the_largest": np.exp(x[:6] - 2.3).sum(),
        "score_tensor_gb": 2.147483648,
        "passes_printed": 40.3 / 2.147483648,
        # 128, 192 and 384 keys per tile: 8, 6 and 3 tiles
        "traffic_ratio_64_kb": standard / (2 * 65536 + 8 * (3 * 65536 + 4096)),
        "traffic_ratio_96_kb": standard / (2 * 65536 + 6 * (3 * 65536 + 4096)),
        "traffic_ratio_192_kb": standard / (2 * 65536 + 3 * (3 * 65536 + 4096)),
        "gflop_standard": 6 * 137.438953472,
        "gflop_flash": 7 * 137.438953472,
        "gflop_flash_to_standard": 7 / 6,
        "gflop_one_product_sixteenth": 137.438953472 / 16,
        "gflop_difference_printed": 8.6,
        "gflop_flash_to_standard_printed": 752 / 666,
        "hbm_standard_to_flash_printed": 403 / 44,
        "time_standard_to_flash_printed": 417 / 73,
    }
    assert result == pytest.approx(want)


def test_bad_shapes_are_named(case):
    q, k, v = case
    with pytest.raises(ValueError, match=r"q has shape \(5,\), want \(T_q, d\)"):
        o.streaming_attention(q[0], [(k, v)])
    for bad in (k[0], k[:, :4], k[:0]):
        with pytest.raises(ValueError, match=r"k has shape .*, want \(B, 5\), B >= 1"):
            o.streaming_attention(q, [(bad, v)])
    for bad in (v[:, 0], v[:22]):
        with pytest.raises(ValueError, match=r"v has shape .*, want \(23, d_v\)"):
            o.streaming_attention(q, [(k, bad)])
    with pytest.raises(ValueError, match="tiles is empty: attention over no keys"):
        o.streaming_attention(q, [])
    for queries, values in ((q[:0], v), (q, v[:22]), (q, np.tile(v, (2, 1)))):
        with pytest.raises(
            ValueError, match=r"^want a query, and a value for each key"
        ):
            o.tiled_attention(queries, k, values, 1, 23)  # 46 values would pass
    with pytest.raises(ValueError, match="block_q is 0, want at least 1"):
        o.tiled_attention(q, k, v, 0, 1)
    with pytest.raises(ValueError, match="block_k is -1"):
        o.tiled_attention(q, k, v, 1, -1)
    one = o.tiled_attention(q, k, v, 1, 1)[0]
    assert one.shape == (7, 4)
    single, _ = o.streaming_attention(q, [(k[:1], v[:1])])
    np.testing.assert_allclose(single, np.repeat(v[:1], 7, axis=0), **TIGHT)
