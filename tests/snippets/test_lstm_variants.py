"""snippets/lstm_variants.py against the LSTM, torch.nn.GRU, and twins in torch."""

import math

import numpy as np
import pytest
import torch

import lstm
import lstm_variants as variants

T, B, N, M = 7, 3, 4, 5
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((T, B, M))
    h0, C0 = rng.standard_normal((2, B, N))
    params = {
        cell: variants.init_params(cell, N, M, rng)
        for cell in ("peephole", "coupled", "gru", "lstm")
    }
    return x, h0, C0, params


def run(step, p, x, h, C):
    """The steps' outputs and cells over a sequence: (T, B, n) each."""
    hs, Cs = [], []
    for x_t in x:
        h, C = step(p, x_t, h, C)
        hs.append(h)
        Cs.append(C)
    return np.stack(hs), np.stack(Cs)


def run_gru(step, p, x, h, **kwargs):
    hs = []
    for x_t in x:
        h = step(p, x_t, h, **kwargs)
        hs.append(h)
    return np.stack(hs)


def to_torch(p):
    return {name: torch.from_numpy(value) for name, value in p.items()}


def test_peephole_without_peephole_weights_is_the_lstm(data):
    x, h0, C0, params = data
    p = params["peephole"]
    closed = {k: v.copy() for k, v in p.items()}
    plain = dict(p)
    for layer in "fio":
        closed["W_" + layer][:, :N] = 0
        plain["W_" + layer] = p["W_" + layer][:, N:]
    hs, Cs = run(variants.peephole_step, closed, x, h0, C0)
    ref_h, ref_C, _, _ = lstm.lstm(plain, x, h0, C0)
    np.testing.assert_allclose(hs, ref_h, **TIGHT)
    np.testing.assert_allclose(Cs, ref_C, **TIGHT)


def test_peephole_equals_a_torch_twin(data):
    """Weights split into blocks, so that a wrong block order would show."""
    x, h0, C0, params = data
    p = to_torch(params["peephole"])
    h, C = torch.from_numpy(h0), torch.from_numpy(C0)
    W = {k: (p["W_" + k][:, :N], p["W_" + k][:, N : 2 * N]) for k in "fio"}

    def gate(k, C, h, x_t):
        peep, recurrent = W[k]
        from_x = x_t @ p["W_" + k][:, 2 * N :].T
        return torch.sigmoid(C @ peep.T + h @ recurrent.T + from_x + p["b_" + k])

    hs, Cs = run(variants.peephole_step, params["peephole"], x, h0, C0)
    for t, x_t in enumerate(torch.from_numpy(x)):
        f, i = gate("f", C, h, x_t), gate("i", C, h, x_t)
        from_h, from_x = h @ p["W_C"][:, :N].T, x_t @ p["W_C"][:, N:].T
        C = f * C + i * torch.tanh(from_h + from_x + p["b_C"])
        h = gate("o", C, h, x_t) * torch.tanh(C)  # o sees the new cell
        np.testing.assert_allclose(hs[t], h, **TIGHT)
        np.testing.assert_allclose(Cs[t], C, **TIGHT)


def test_output_peephole_sees_the_new_cell():
    """C goes from 0 to 1 in one step; only the new value opens the output gate."""
    p = {k: np.zeros(s) for k, s in variants.shapes("peephole", 1, 1).items()}
    p["b_i"] += 1000.0
    p["b_C"] += 1000.0
    p["W_o"][0, 0] = 1000.0  # on C
    p["b_o"] -= 500.0
    zero = np.zeros((1, 1))
    h, C = variants.peephole_step(p, zero, zero, zero)
    assert C[0, 0] == 1.0
    assert h[0, 0] == pytest.approx(np.tanh(1))


def test_coupled_is_the_lstm_with_i_forced_to_one_minus_f(data):
    """1 - sigma(a) = sigma(-a): the forget layer's negative as input layer."""
    x, h0, C0, params = data
    p = params["coupled"]
    full = {**p, "W_i": -p["W_f"], "b_i": -p["b_f"]}
    hs, Cs = run(variants.coupled_step, p, x, h0, C0)
    ref_h, ref_C, gates, _ = lstm.lstm(full, x, h0, C0)
    np.testing.assert_allclose(gates["i"], 1 - gates["f"], **TIGHT)
    np.testing.assert_allclose(hs, ref_h, **TIGHT)
    np.testing.assert_allclose(Cs, ref_C, **TIGHT)


def test_coupled_cell_stays_bounded_where_the_lstm_does_not():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 8, M))
    zero = np.zeros((8, N))
    p = variants.init_params("coupled", N, M, rng)
    p["b_f"] += 3.0
    p["b_C"] += 1.0
    _, Cs = run(variants.coupled_step, p, x, zero, zero)
    assert np.abs(Cs).max() < 1
    full = {**p, "W_i": p["W_f"], "b_i": p["b_f"]}
    assert lstm.lstm(full, x)[1].max() > 2


def test_gru_equals_a_torch_twin(data):
    x, h0, _, params = data
    p = to_torch(params["gru"])
    h = torch.from_numpy(h0)
    hs = run_gru(variants.gru_step, params["gru"], x, h0)
    for t, x_t in enumerate(torch.from_numpy(x)):
        z, r = (
            torch.sigmoid(h @ p[k][:, :N].T + x_t @ p[k][:, N:].T)
            for k in ("W_z", "W_r")
        )
        h_tilde = torch.tanh((r * h) @ p["W"][:, :N].T + x_t @ p["W"][:, N:].T)
        h = torch.lerp(h, h_tilde, z)  # z = 1 replaces
        np.testing.assert_allclose(hs[t], h, **TIGHT)


def torch_gru(p):
    """torch.nn.GRU without biases, rows r, z, n, from weights whose z keeps."""
    net = torch.nn.GRU(M, N, bias=False, dtype=torch.float64)
    W = np.concatenate([p["W_r"], p["W_z"], p["W"]])
    with torch.no_grad():
        net.weight_hh_l0.copy_(torch.from_numpy(W[:, :N]))
        net.weight_ih_l0.copy_(torch.from_numpy(W[:, N:]))
    return net


def test_keep_form_with_reset_after_is_pytorch(data):
    x, h0, _, params = data
    p = params["gru"]
    ref, _ = torch_gru(p)(torch.from_numpy(x), torch.from_numpy(h0)[None])
    hs = run_gru(variants.gru_step_keep, p, x, h0)
    np.testing.assert_allclose(hs, ref.detach().numpy(), **TIGHT)


def test_drawn_gru_is_pytorch_after_negating_z_where_the_reset_is_irrelevant(data):
    """W_r h with equal r on all units: then r * (W h) = W (r * h)."""
    x, h0, _, params = data
    p = {**params["gru"], "W_r": 0 * params["gru"]["W_r"]}  # r = 1/2 everywhere
    ref, _ = torch_gru(variants.to_keep(p))(
        torch.from_numpy(x), torch.from_numpy(h0)[None]
    )
    hs = run_gru(variants.gru_step, p, x, h0)
    np.testing.assert_allclose(hs, ref.detach().numpy(), **TIGHT)


def test_drawn_gru_is_not_pytorch_in_general(data):
    x, h0, _, params = data
    ref, _ = torch_gru(variants.to_keep(params["gru"]))(
        torch.from_numpy(x), torch.from_numpy(h0)[None]
    )
    hs = run_gru(variants.gru_step, params["gru"], x, h0)
    assert np.abs(hs - ref.detach().numpy()).max() > 1e-3


def test_to_keep_converts_exactly_with_reset_before(data):
    x, h0, _, params = data
    p = params["gru"]
    before = {k: v.copy() for k, v in p.items()}
    kept = run_gru(
        variants.gru_step_keep, variants.to_keep(p), x, h0, reset_after=False
    )
    np.testing.assert_allclose(kept, run_gru(variants.gru_step, p, x, h0), **TIGHT)
    for name in p:  # and leaves its argument alone
        np.testing.assert_array_equal(p[name], before[name])


def test_gaps_of_the_reset_order():
    after, before = variants.gru_gaps(True, 20), variants.gru_gaps(False, 20)
    assert after.shape == (20,)
    assert after.min() > 1e-3  # in every draw
    assert before.max() < 1e-14
    # more draws begin with the same draws
    np.testing.assert_array_equal(variants.gru_gaps(True, 5), after[:5])


def test_gaps_equal_a_run_against_torch():
    """Three draws again, by torch.nn.GRU instead of our own keep form."""
    rng = np.random.default_rng(0)
    for gap in variants.gru_gaps(True, 3):
        p = variants.init_params("gru", 4, 3, rng)
        x = rng.standard_normal((7, 1, 3))
        net = torch.nn.GRU(3, 4, bias=False, dtype=torch.float64)
        W = np.concatenate([p["W_r"], -p["W_z"], p["W"]])
        with torch.no_grad():
            net.weight_hh_l0.copy_(torch.from_numpy(W[:, :4]))
            net.weight_ih_l0.copy_(torch.from_numpy(W[:, 4:]))
        ref = net(torch.from_numpy(x))[0].detach().numpy()
        drawn = run_gru(variants.gru_step, p, x, np.zeros((1, 4)))
        assert gap == pytest.approx(np.abs(drawn - ref).max())


def test_full_update_drops_the_old_state_here_and_keeps_it_in_pytorch():
    assert variants.kept_at_full_update(variants.gru_step) == 0.0
    net = torch.nn.GRU(1, 1, bias=False)
    with torch.no_grad():
        for q in net.parameters():
            q.zero_()
        net.weight_ih_l0[1] = 1000.0  # z = 1
    kept = net(torch.ones(1, 1, 1), torch.ones(1, 1, 1))[0].item()
    assert variants.kept_at_full_update(variants.gru_step_keep) == kept == 1.0


# counted by hand from the drawings, n = 100 with m = 28 and with m = 100
BY_HAND = {
    "rnn": (100 * 128 + 100, 100 * 200 + 100),
    "lstm": (4 * 12_900, 4 * 20_100),
    "coupled": (3 * 12_900, 3 * 20_100),
    "peephole": (3 * (100 * 228 + 100) + 12_900, 3 * (100 * 300 + 100) + 20_100),
    "peephole_diagonal": (4 * 12_900 + 300, 4 * 20_100 + 300),
    "gru": (3 * 100 * 128, 3 * 100 * 200),
}


@pytest.mark.parametrize("cell", BY_HAND)
def test_counts(cell):
    assert variants.count(cell, 100, 28) == BY_HAND[cell][0]
    assert variants.count(cell, 100, 100) == BY_HAND[cell][1]
    made = variants.init_params(cell, 100, 28, np.random.default_rng(0))
    assert sum(value.size for value in made.values()) == BY_HAND[cell][0]


def test_shapes_by_hand():
    """Two units, three inputs. All layers have a bias but for those of the GRU."""
    for cell, layers in {"rnn": [""], "lstm": "fiCo", "coupled": "fCo"}.items():
        names = ["_" + k if k else k for k in layers]
        want = {"W" + k: (2, 5) for k in names} | {"b" + k: (2,) for k in names}
        assert variants.shapes(cell, 2, 3) == want
    layers = variants.shapes("lstm", 2, 3)
    diagonal = {"p_f": (2,), "p_i": (2,), "p_o": (2,)}
    assert variants.shapes("peephole_diagonal", 2, 3) == layers | diagonal
    wide = {"W_f": (2, 7), "W_i": (2, 7), "W_o": (2, 7)}
    assert variants.shapes("peephole", 2, 3) == layers | wide
    gru = {"W_z": (2, 5), "W_r": (2, 5), "W": (2, 5)}
    assert variants.shapes("gru", 2, 3) == gru


def test_numbers_are_counts_by_hand_and_gaps_of_200_draws():
    want = {
        f"parameters_{cell}_n100_m{m}": count
        for cell, counts in BY_HAND.items()
        for m, count in zip((28, 100), counts, strict=True)
    }
    want |= {"lstm_to_rnn_ratio": 4, "coupled_lets_in_b5": 1 / (1 + math.e**5)}
    want |= {"gru_kept_at_z1": 0, "gru_kept_at_z1_pytorch": 1}
    gaps = sorted(variants.gru_gaps(True, 200))
    want |= {"reset_order_gap_min": gaps[0], "reset_order_gap_max": gaps[-1]}
    want["reset_order_gap_median"] = (gaps[99] + gaps[100]) / 2
    numbers = variants.numbers()
    assert 0 < numbers.pop("z_conversion_gap_max") < 1e-14  # exact but for rounding
    assert numbers == pytest.approx(want, rel=1e-9)


def test_counts_equal_torch_modules():
    def numel(net):
        return sum(q.numel() for q in net.parameters())

    for n, m in ((100, 28), (100, 100), (4, 3)):
        # torch keeps a second bias per layer: n each
        assert variants.count("rnn", n, m) == numel(torch.nn.RNN(m, n)) - n
        assert variants.count("lstm", n, m) == numel(torch.nn.LSTM(m, n)) - 4 * n
        assert variants.count("gru", n, m) == numel(torch.nn.GRU(m, n, bias=False))
        layers = [torch.nn.Linear(2 * n + m, n) for _ in range(3)]
        layers.append(torch.nn.Linear(n + m, n))
        assert variants.count("peephole", n, m) == sum(map(numel, layers))


def test_init_is_uniform_within_bounds():
    p = variants.init_params("peephole", 16, 3, np.random.default_rng(0))
    assert {k: v.shape for k, v in p.items()} == variants.shapes("peephole", 16, 3)
    everything = np.concatenate([value.ravel() for value in p.values()])
    assert 0.249 < everything.max() <= 0.25
    assert -0.25 <= everything.min() < -0.249


def test_bad_input_is_named(data):
    x, h0, C0, params = data
    for cell, step in (
        ("peephole", variants.peephole_step),
        ("coupled", variants.coupled_step),
    ):
        with pytest.raises(ValueError, match=r"x has shape \(3, 4\), expected \(B, 5"):
            step(params[cell], x[0, :, :4], h0, C0)
        with pytest.raises(ValueError, match=r"h_prev has shape \(2, 4\)"):
            step(params[cell], x[0], h0[:2], C0)
        with pytest.raises(ValueError, match=r"C_prev .* expected \(3, 4\)"):
            step(params[cell], x[0], h0, C0[:, :1])
    for step in (variants.gru_step, variants.gru_step_keep):
        with pytest.raises(ValueError, match=r"x has shape \(7, 3, 5\)"):
            step(params["gru"], x, h0)
        with pytest.raises(ValueError, match=r"h_prev has shape \(1, 4\)"):
            step(params["gru"], x[0], h0[:1])
    with pytest.raises(ValueError, match="cell is 'mgu', expected one of rnn, lstm"):
        variants.shapes("mgu", 1, 1)
    with pytest.raises(ValueError, match=r"^m is 0, expected at least 1"):
        variants.count("gru", 1, 0)
    with pytest.raises(ValueError, match=r"^n is -1, expected at least 1"):
        variants.count("gru", -1, 1)
