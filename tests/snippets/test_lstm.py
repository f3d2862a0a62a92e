"""snippets/lstm.py against torch.nn.LSTM, autograd, finite differences and by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

import lstm

T, B, N, M = 7, 3, 4, 5
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture(scope="module")
def case():
    """Random weights, biases, input, states and upstream gradients."""
    rng = np.random.default_rng(1)
    p = lstm.init_params(N, M, rng, forget_bias=0.5)
    for name in p:  # biases too, so that none is tested at zero only
        p[name] += 0.3 * rng.standard_normal(p[name].shape)
    x = rng.standard_normal((T, B, M))
    h0, C0 = rng.standard_normal((2, B, N))
    dhs = rng.standard_normal((T, B, N))
    dC = rng.standard_normal((B, N))
    return p, x, h0, C0, dhs, dC


def torch_lstm(p):
    """torch.nn.LSTM with our weights: rows i, f, g, o; columns split into h and x."""
    n, n_plus_m = p["W_f"].shape
    net = torch.nn.LSTM(n_plus_m - n, n, dtype=torch.float64)
    W = np.concatenate([p["W_" + k] for k in "ifCo"])
    b = np.concatenate([p["b_" + k] for k in "ifCo"])
    with torch.no_grad():
        net.weight_hh_l0.copy_(torch.from_numpy(W[:, :n]))
        net.weight_ih_l0.copy_(torch.from_numpy(W[:, n:]))
        net.bias_ih_l0.copy_(torch.from_numpy(b))
        net.bias_hh_l0.zero_()
    return net


def test_forward_equals_torch(case):
    p, x, h0, C0, _, _ = case
    hs, Cs, gates, _ = lstm.lstm(p, x, h0, C0)
    ref, (h_T, C_T) = torch_lstm(p)(
        torch.from_numpy(x), (torch.from_numpy(h0)[None], torch.from_numpy(C0)[None])
    )
    np.testing.assert_allclose(hs, ref.detach().numpy(), **TIGHT)
    np.testing.assert_allclose(hs[-1], h_T[0].detach().numpy(), **TIGHT)
    np.testing.assert_allclose(Cs[-1], C_T[0].detach().numpy(), **TIGHT)
    # the gates that are handed out are those of the equations
    C_prev = np.concatenate([C0[None], Cs[:-1]])
    np.testing.assert_allclose(
        gates["f"] * C_prev + gates["i"] * gates["C_tilde"], Cs, **TIGHT
    )
    np.testing.assert_allclose(gates["o"] * np.tanh(Cs), hs, **TIGHT)


def test_states_left_out_are_zero(case):
    p, x, h0, C0, _, _ = case
    with_zeros = lstm.lstm(p, x, 0 * h0, 0 * C0)[0]
    np.testing.assert_array_equal(lstm.lstm(p, x)[0], with_zeros)


def test_single_precision_stays_single(case):
    p, x, *_, dhs, _ = case
    p = {name: value.astype(np.float32) for name, value in p.items()}
    hs, Cs, gates, backward = lstm.lstm(p, x.astype(np.float32))
    grads, *rest = backward(dhs.astype(np.float32))
    everything = (hs, Cs, *gates.values(), *grads.values(), *rest)
    assert {array.dtype for array in everything} == {np.dtype(np.float32)}


def test_backward_equals_autograd(case):
    p, x, h0, C0, dhs, dC = case
    net = torch_lstm(p)
    tx, th, tC = (torch.from_numpy(a).requires_grad_() for a in (x, h0, C0))
    hs, (_, C_T) = net(tx, (th[None], tC[None]))
    loss = (hs * torch.from_numpy(dhs)).sum() + (C_T[0] * torch.from_numpy(dC)).sum()
    loss.backward()

    grads, dx, dh0, dC0 = lstm.lstm(p, x, h0, C0)[3](dhs, dC)
    np.testing.assert_allclose(dx, tx.grad, **TIGHT)
    np.testing.assert_allclose(dh0, th.grad, **TIGHT)
    np.testing.assert_allclose(dC0, tC.grad, **TIGHT)
    for row, layer in enumerate("ifCo"):
        rows = slice(row * N, (row + 1) * N)
        W = torch.cat([net.weight_hh_l0.grad, net.weight_ih_l0.grad], dim=1)[rows]
        np.testing.assert_allclose(grads["W_" + layer], W, **TIGHT)
        np.testing.assert_allclose(
            grads["b_" + layer], net.bias_ih_l0.grad[rows], **TIGHT
        )


def test_backward_equals_central_differences(case):
    p, x, h0, C0, dhs, dC = case

    def loss(p):
        hs, Cs, _, _ = lstm.lstm(p, x, h0, C0)
        return (hs * dhs).sum() + (Cs[-1] * dC).sum()

    grads = lstm.lstm(p, x, h0, C0)[3](dhs, dC)[0]
    rng = np.random.default_rng(2)
    eps = 1e-5
    for name, value in p.items():
        direction = rng.standard_normal(value.shape)
        up = loss({**p, name: value + eps * direction})
        down = loss({**p, name: value - eps * direction})
        # the error of a central difference is of order eps^2
        expected = (up - down) / (2 * eps)
        assert (grads[name] * direction).sum() == pytest.approx(expected, rel=1e-7)


def test_dc_is_zero_when_left_out(case):
    p, x, h0, C0, dhs, dC = case
    backward = lstm.lstm(p, x, h0, C0)[3]
    np.testing.assert_array_equal(backward(dhs)[1], backward(dhs, 0 * dC)[1])


def test_integer_input_has_float_gradients(case):
    p, x, _, _, dhs, _ = case
    one_hot = (x == x.max(axis=2, keepdims=True)).astype(int)
    as_int = lstm.lstm(p, one_hot)[3](dhs)[1]
    as_float = lstm.lstm(p, one_hot.astype(float))[3](dhs)[1]
    np.testing.assert_array_equal(as_int, as_float)


def test_along_the_belt_the_jacobian_is_the_forget_gate(case):
    """With the gates held fixed, dC_t/dC_{t-1} = diag(f_t): autograd says so too."""
    p, x, h0, C0, _, _ = case
    _, _, gates, backward = lstm.lstm_step(p, x[0], h0, C0)
    dC_prev = backward(np.zeros((B, N)), np.ones((B, N)))[2]
    np.testing.assert_allclose(dC_prev, gates["f"], **TIGHT)

    f, i, g = (torch.from_numpy(gates[k][0]) for k in ("f", "i", "C_tilde"))
    jacobian = torch.autograd.functional.jacobian(
        lambda C: f * C + i * g, torch.from_numpy(C0[0])
    )
    np.testing.assert_allclose(jacobian, np.diag(gates["f"][0]), **TIGHT)


def test_over_many_steps_the_direct_path_is_the_product_of_forget_gates():
    """No weights on h: then the belt is the only path, and nothing else adds to it."""
    rng = np.random.default_rng(3)
    p = lstm.init_params(N, M, rng, forget_bias=1.0)
    for layer in "fiCo":
        p["W_" + layer][:, :N] = 0
    x = rng.standard_normal((T, B, M))
    _, _, gates, backward = lstm.lstm(p, x)
    dC0 = backward(np.zeros((T, B, N)), np.ones((B, N)))[3]
    np.testing.assert_allclose(dC0, gates["f"].prod(axis=0), **TIGHT)


def test_with_weights_on_h_there_are_further_paths(case):
    p, x, h0, C0, _, _ = case
    _, _, gates, backward = lstm.lstm(p, x, h0, C0)
    dC0 = backward(np.zeros((T, B, N)), np.ones((B, N)))[3]
    assert np.abs(dC0 - gates["f"].prod(axis=0)).max() > 1e-3


def test_one_step_by_hand():
    """Weights zero: gates are sigma(b), so everything can be done on paper."""
    p = {name: 0 * value for name, value in lstm.memory_by_hand().items()}
    p["b_f"] = p["b_f"] + np.log(3)  # f = 3/4
    p["b_i"] = p["b_i"] - np.log(3)  # i = 1/4
    p["b_C"] = p["b_C"] + np.arctanh(0.4)  # C~ = 0.4
    p["b_o"] = p["b_o"] + np.log(4)  # o = 4/5
    h, C, gates, _ = lstm.lstm_step(
        p, np.ones((1, 4)), np.ones((1, 1)), np.ones((1, 1))
    )
    assert C[0, 0] == pytest.approx(0.75 * 1 + 0.25 * 0.4, abs=1e-15)
    assert h[0, 0] == pytest.approx(0.8 * np.tanh(0.85), abs=1e-15)
    assert [gates[k][0, 0] for k in "fio"] == pytest.approx([0.75, 0.25, 0.8])


def test_sigmoid_equals_scipy_and_never_overflows():
    z = np.concatenate([np.linspace(-40, 40, 401), [-1e5, 1e5]])
    np.testing.assert_allclose(lstm.sigmoid(z), expit(z), rtol=0, atol=1e-15)


@pytest.mark.parametrize("bias", [0, 1, 2, 5, -3])
def test_belt_is_geometric(bias):
    kept = lstm.belt(bias, 100)
    assert kept.shape == (101,)
    np.testing.assert_allclose(kept, expit(bias) ** np.arange(101.0), rtol=1e-12)


def test_half_life_by_the_running_cell():
    # ln 0.5 / ln 0.9 = 6.58: above one half at step 6, below at step 7
    assert lstm.half_life(0.9) == pytest.approx(6.578813, abs=1e-6)
    assert 0.9**6 > 0.5 > 0.9**7
    for bias in (0, 1, 2, 5):
        steps = lstm.half_life(expit(bias))
        kept = lstm.belt(bias, 200)
        assert kept[int(np.ceil(steps - 1e-9))] <= 0.5 + 1e-12
        assert kept[int(np.ceil(steps - 1e-9)) - 1] > 0.5


@pytest.mark.parametrize("steps", [0.5, 1, 2.2, 40, 1000])
def test_forget_bias_for_inverts_half_life(steps):
    bias = lstm.forget_bias_for(steps)
    assert lstm.half_life(expit(bias)) == pytest.approx(steps, rel=1e-10)
    assert steps < 10 or bias == pytest.approx(np.log(steps / np.log(2)), rel=0.02)


def test_cell_is_not_bounded_but_output_is():
    p = {name: 0 * value for name, value in lstm.memory_by_hand().items()}
    for layer in "fiCo":
        p["b_" + layer] = np.array([1000.0])
    hs, Cs, _, _ = lstm.lstm(p, np.zeros((12, 1, 4)))
    np.testing.assert_array_equal(Cs[:, 0, 0], np.arange(1.0, 13.0))
    np.testing.assert_allclose(hs[:, 0, 0], np.tanh(np.arange(1.0, 13.0)), rtol=1e-15)


def test_memory_by_hand_obeys_its_commands():
    h, C, gates = lstm.pulse()
    assert h.shape == C.shape == (40,)
    # each gate is sigma(10) or sigma(-10), and moves on its own command only
    opened = {"f": [t for t in range(40) if t != 30], "i": [5], "o": [18, 19, 20, 21]}
    for name, steps in opened.items():
        z = np.full(40, -10.0)
        z[steps] = 10.0
        np.testing.assert_allclose(gates[name], expit(z), rtol=1e-8)
    for name in ("W_f", "W_i", "W_C", "W_o"):
        assert lstm.memory_by_hand()[name][0, 0] == 0  # h has no say
    assert np.abs(C[:5]).max() < 1e-3  # chatter on the value wire is ignored
    assert C[5] == pytest.approx(np.tanh(1.5), abs=1e-3)  # write
    assert np.abs(C[5:30] - C[5]).max() < 2e-3  # keep
    assert np.abs(C[30:]).max() < 1e-3  # erase
    np.testing.assert_allclose(
        h, expit(np.where(gates["o"] > 0.5, 10, -10)) * np.tanh(C)
    )
    np.testing.assert_allclose(
        gates["C_tilde"], np.tanh(np.where(np.arange(40) == 5, 1.5, np.sin(range(40))))
    )


def test_a_gate_at_1_keeps_all_and_one_at_0_nothing():
    assert lstm.belt(1000, 100)[100] == 1
    assert lstm.belt(-1000, 1)[1] == 0


def test_numbers_are_those_of_paper_and_pencil():
    """All that the page quotes, from logistic functions and one unit's recursion."""
    want = {"parameters_n4_m3": 4 * (4 * 7 + 4), "pytorch_parameters_n4_m3": 4 * 36}
    for bias in (0, 1, 2, 5, 10):
        f = expit(bias)
        want[f"forget_gate_b{bias}"] = f
        want[f"kept_10_steps_b{bias}"] = f**10
        want[f"kept_100_steps_b{bias}"] = f**100
        want[f"half_life_b{bias}_steps"] = -1 / np.log2(f)
    want["half_life_f090_steps"] = -1 / np.log2(0.9)
    for steps in (10, 100, 1000):  # f^steps = 1/2
        want[f"bias_for_half_life_{steps}_steps"] = logit(0.5 ** (1 / steps))
    # f = i = o = 1 and candidates of 1; then f = 0: h = tanh(tanh(large))
    want |= {"cell_after_10_writes": 10, "output_after_10_writes": np.tanh(10)}
    want["largest_output_without_belt"] = np.tanh(1)

    C, cells = 0.0, []
    shut, open_ = expit(-10), expit(10)
    for t in range(40):
        value = 1.5 if t == 5 else np.sin(t)
        forget, write = (shut if t == 30 else open_), (open_ if t == 5 else shut)
        C = forget * C + write * np.tanh(value)
        cells.append(C)
    want["pulse_cell_after_write"] = cells[5]
    want["pulse_cell_before_erase"] = cells[29]
    want["pulse_share_after_erase"] = shut
    want["pulse_output_read"] = open_ * np.tanh(cells[20])

    C = 0.0
    for t, value in enumerate([0.3, 0.9, -0.5, 0.7, -0.8, 0.4, -0.6, 0.2], start=1):
        forget = shut if t == 6 else open_
        C = forget * C + (open_ if t in (2, 7) else shut) * np.tanh(value)
        read = open_ if t in (4, 8) else shut
        want[f"eight_steps_value_{t}"] = value
        want[f"eight_steps_cell_{t}"] = C
        want[f"eight_steps_output_{t}"] = read * np.tanh(C)
    assert lstm.numbers() == pytest.approx(want, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("n", "m"), [(100, 28), (100, 100), (4, 3), (1, 1)])
def test_parameter_counts(n, m):
    p = lstm.init_params(n, m, np.random.default_rng(0))
    count = lstm.count(p)
    assert count == 4 * (n * (n + m) + n)
    net = torch.nn.LSTM(m, n)
    assert sum(q.numel() for q in net.parameters()) == count + 4 * n


def test_init_is_within_bounds_and_sets_only_the_forget_bias():
    p = lstm.init_params(16, 3, np.random.default_rng(0), forget_bias=2.5)
    for layer in "fiCo":
        W = p["W_" + layer]
        assert W.shape == (16, 19)
        assert 0.24 < np.abs(W).max() <= 0.25
        assert abs(W.mean()) < 0.05
        expected = 2.5 if layer == "f" else 0.0
        np.testing.assert_array_equal(p["b_" + layer], np.full(16, expected))
    p = lstm.init_params(16, 3, np.random.default_rng(0))
    np.testing.assert_array_equal(p["b_f"], np.zeros(16))


def test_bad_shapes_are_named(case):
    p, x, h0, C0, dhs, dC = case
    with pytest.raises(ValueError, match=r"x has shape \(7, 3, 4\).*\(T, B, 5\)"):
        lstm.lstm(p, x[:, :, :4])
    with pytest.raises(ValueError, match=r"x has shape \(3, 5\)"):
        lstm.lstm(p, x[0])
    with pytest.raises(ValueError, match="with T >= 1"):
        lstm.lstm(p, x[:0])
    with pytest.raises(ValueError, match=r"h0 has shape \(2, 4\), expected \(3, 4\)"):
        lstm.lstm(p, x, h0[:2], C0)
    with pytest.raises(ValueError, match=r"C0 has shape \(3, 3\), expected \(3, 4\)"):
        lstm.lstm(p, x, h0, C0[:, :3])
    with pytest.raises(ValueError, match=r"x has shape \(3, 4\), expected \(3, 5\)"):
        lstm.lstm_step(p, x[0, :, :4], h0, C0)
    with pytest.raises(ValueError, match=r"h_prev has shape \(3, 4\), expected \(2, 4"):
        lstm.lstm_step(p, x[0, :2], h0, C0)
    with pytest.raises(ValueError, match="h_prev has shape"):
        lstm.lstm_step(p, x[0], h0[:, :2], C0)
    with pytest.raises(ValueError, match="C_prev has shape"):
        lstm.lstm_step(p, x[0], h0, C0[:2])
    backward = lstm.lstm(p, x, h0, C0)[3]
    with pytest.raises(ValueError, match=r"dhs has shape \(3, 4\)"):
        backward(dhs[0])
    with pytest.raises(ValueError, match=r"dC has shape \(4,\), expected \(3, 4\)"):
        backward(dhs, dC[0])


def test_bad_values_are_named():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="n_hidden is 0, expected at least 1"):
        lstm.init_params(0, 3, rng)
    with pytest.raises(ValueError, match="n_in is -1"):
        lstm.init_params(2, -1, rng)
    for f in (0.0, 1.0, 1.5):
        with pytest.raises(ValueError, match=r"f is .* strictly between 0 and 1"):
            lstm.half_life(f)
    with pytest.raises(ValueError, match="half_life_steps is 0, expected above 0"):
        lstm.forget_bias_for(0)


def test_commands_act_at_their_steps_and_the_bias_sets_what_is_kept():
    gate, shut = 1 / (1 + math.exp(-10)), 1 / (1 + math.exp(10))
    h, C, gates = lstm.obey([0.9, 0, 0, 0], [0], [2], [1], forget_bias=0)
    written = gate * math.tanh(0.9)
    erased = 1 / (1 + math.exp(20))
    kept = [written, written / 2, written / 2 * erased, written / 4 * erased]
    np.testing.assert_allclose(C, kept, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gates["o"], [shut, gate, shut, shut], rtol=1e-10)
    np.testing.assert_allclose(h, gates["o"] * np.tanh(kept), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["write", "erase", "read"])
@pytest.mark.parametrize("step", [-1, 3])
def test_a_command_at_a_step_without_value_is_named(name, step):
    commands = {"write": [0], "erase": [1], "read": [2], name: [step]}
    with pytest.raises(ValueError, match=f"{name} has step {step}, expected 0 to 2"):
        lstm.obey([1.0, 2.0, 3.0], **commands)
