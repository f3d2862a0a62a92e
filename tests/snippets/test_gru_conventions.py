"""snippets/gru_conventions.py against torch.nn.GRUCell, and each translation."""

import numpy as np
import pytest
import torch
from scipy.special import expit

import gru_conventions as gru

B, M, N = 3, 5, 4
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def case():
    """The tutorial's weights, biases too, with an input and a state."""
    rng = np.random.default_rng(4)
    p = gru.init_params(M, N, rng)
    p = {name: w + 0.5 * rng.standard_normal(w.shape) for name, w in p.items()}
    return p, rng.standard_normal((B, M)), rng.standard_normal((B, N))


def cell(q):
    """torch.nn.GRUCell with these weights."""
    net = torch.nn.GRUCell(M, N, dtype=torch.float64)
    with torch.no_grad():
        for name, w in q.items():
            getattr(net, name).copy_(torch.from_numpy(w))
    return net


def test_the_tutorials_step_by_the_formulas_in_torch(case):
    p, x, s = case
    U, W, b = (torch.from_numpy(p[name]) for name in ("U", "W", "b"))
    tx, ts = torch.from_numpy(x), torch.from_numpy(s)
    z, r = (torch.sigmoid(tx @ U[i] + ts @ W[i] + b[i]) for i in (0, 1))
    h = torch.tanh(tx @ U[2] + (ts * r) @ W[2] + b[2])
    np.testing.assert_allclose(gru.britz_step(p, x, s), torch.lerp(h, ts, z), **TIGHT)


def test_pytorch_step_is_torchs(case):
    _, x, h = case
    rng = np.random.default_rng(5)
    shapes = {"weight_ih": (3 * N, M), "weight_hh": (3 * N, N)}
    shapes |= {"bias_ih": (3 * N,), "bias_hh": (3 * N,)}
    q = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    expected = cell(q)(torch.from_numpy(x), torch.from_numpy(h)).detach()
    np.testing.assert_allclose(gru.pytorch_step(q, x, h), expected, **TIGHT)


def test_from_the_tutorial_to_torch_with_biases(case):
    p, x, s = case
    expected = cell(gru.to_pytorch(p))(torch.from_numpy(x), torch.from_numpy(s))
    ours = gru.britz_step(p, x, s, reset_after=True)
    np.testing.assert_allclose(ours, expected.detach(), **TIGHT)
    # and with the tutorial's own order it is another function
    assert np.abs(gru.britz_step(p, x, s) - expected.detach().numpy()).max() > 0.01


def test_from_the_tutorial_to_olah(case):
    p, x, s = case
    p["b"] = np.zeros((3, N))
    q = gru.to_olah(p)
    np.testing.assert_allclose(gru.olah_step(q, x, s), gru.britz_step(p, x, s), **TIGHT)
    # the update gate is turned: his is one minus the other
    z = expit(x @ p["U"][0] + s @ p["W"][0])
    hx = np.concatenate([s, x], axis=1)
    np.testing.assert_allclose(expit(hx @ q["W_z"].T), 1 - z, **TIGHT)


def test_from_olah_to_the_tutorial(case):
    _, x, h = case
    rng = np.random.default_rng(6)
    q = {name: rng.standard_normal((N, N + M)) for name in ("W_z", "W_r", "W")}
    p = gru.from_olah(q)
    np.testing.assert_allclose(gru.britz_step(p, x, h), gru.olah_step(q, x, h), **TIGHT)
    for name, w in gru.to_olah(p).items():
        np.testing.assert_array_equal(w, q[name])


def test_from_olah_over_the_tutorial_to_torch_where_the_reset_is_even(case):
    """r equal for all units: its place does not matter, and the chain is exact."""
    _, x, h = case
    rng = np.random.default_rng(7)
    q = {name: rng.standard_normal((N, N + M)) for name in ("W_z", "W_r", "W")}
    q["W_r"] = np.repeat(q["W_r"][:1], N, axis=0)
    net = cell(gru.to_pytorch(gru.from_olah(q)))
    expected = net(torch.from_numpy(x), torch.from_numpy(h)).detach()
    np.testing.assert_allclose(gru.olah_step(q, x, h), expected, **TIGHT)


def test_one_step_by_hand():
    """One unit, weights on the input only, gates set by biases."""
    p = {"U": np.array([[[0.0]], [[0.0]], [[0.5]]])}
    p["W"] = np.array([[[0.0]], [[0.0]], [[2.0]]])
    p["b"] = np.array([[np.log(3)], [-np.log(3)], [0.1]])  # z = 3/4, r = 1/4
    s = gru.britz_step(p, np.array([[2.0]]), np.array([[0.4]]))
    # h = tanh(2 * 0.5 + 0.4 * 0.25 * 2 + 0.1), s = h / 4 + 0.4 * 3 / 4
    assert s[0, 0] == pytest.approx(np.tanh(1.3) / 4 + 0.3, abs=1e-15)


def test_with_r_1_and_z_0_it_is_the_plain_network_exactly():
    assert gru.plain_gap() == 0


def test_sigmoids_equal_scipy_and_torch():
    a = np.linspace(-40, 40, 8001)
    np.testing.assert_allclose(gru.sigmoid(a), expit(a), rtol=0, atol=1e-15)
    # torch has the slope 1/6, Theano 1/5
    torch_hard = torch.nn.functional.hardsigmoid(torch.from_numpy(a * 6 / 5)).numpy()
    np.testing.assert_allclose(gru.hard_sigmoid(a), torch_hard, rtol=0, atol=1e-14)


def test_hard_gates_by_the_formulas_in_torch(case):
    p, x, s = case
    U, W, b = (torch.from_numpy(p[name]) for name in ("U", "W", "b"))
    tx, ts = torch.from_numpy(x), torch.from_numpy(s)
    z, r = (((tx @ U[i] + ts @ W[i] + b[i]) / 5 + 0.5).clamp(0, 1) for i in (0, 1))
    h = torch.tanh(tx @ U[2] + (ts * r) @ W[2] + b[2])
    hard = gru.britz_step(p, x, s, gate=gru.hard_sigmoid)
    np.testing.assert_allclose(hard, torch.lerp(h, ts, z), **TIGHT)


def test_what_a_forgotten_step_costs():
    n = gru.numbers()
    assert n["plain_gap_max"] == 0
    assert n["to_olah_max"] < 1e-14
    assert n["to_pytorch_reset_after_max"] < 1e-14
    # the smallest of 200 gaps: none of these errors ever goes unnoticed
    for name in ("to_pytorch", "hard_gates", "rows_kept", "sign_kept"):
        assert n[f"{name}_min"] > 1e-3
        assert n[f"{name}_min"] < n[f"{name}_median"] < n[f"{name}_max"]
    assert n["sign_kept_median"] > 5 * n["to_pytorch_median"]
    assert n["kept_at_z1"] == n["kept_at_z1_pytorch"] == 1
    # at a = 2.5 the straight line has arrived at 1, the curve has not
    assert n["hard_sigmoid_gap_max"] == pytest.approx(1 - expit(2.5), abs=1e-9)
    assert n["hard_sigmoid_pytorch_gap_max"] == pytest.approx(2.5 * (1 / 5 - 1 / 6))


def test_incomplete_translations_differ_in_that_step_only(case):
    p, x, s = case
    p["b"] = np.zeros((3, N))
    turned = {name: w.copy() for name, w in p.items()}
    turned["U"][0] *= -1
    turned["W"][0] *= -1
    np.testing.assert_allclose(
        gru.sign_kept(p, x, s), gru.britz_step(turned, x, s), **TIGHT
    )
    swapped = {name: w[[1, 0, 2]] for name, w in p.items()}
    np.testing.assert_allclose(
        gru.rows_kept(p, x, s), gru.britz_step(swapped, x, s, reset_after=True), **TIGHT
    )


def test_gaps_sees_every_step_and_keeps_the_largest():
    def at(value):
        return lambda p, x, s: s + value

    np.testing.assert_allclose(gru.gaps(at(0.0), at(-0.5), 3), [3.5] * 3)


def test_gaps_are_those_of_200_draws_from_seed_0():
    inputs = []

    def note(p, x, s):
        inputs.append((p["U"], x))
        return s

    assert gru.gaps(note, lambda p, x, s: s).shape == (200,)
    rng = np.random.default_rng(0)
    assert (inputs[0][0] == gru.init_params(3, 4, rng)["U"]).all()
    assert (inputs[0][1] == rng.standard_normal((7, 1, 3))[0]).all()


def test_init_is_within_bounds():
    assert gru.init_params(1, 1, np.random.default_rng(0))["W"].shape == (3, 1, 1)
    p = gru.init_params(30, 16, np.random.default_rng(0))
    assert p["U"].shape == (3, 30, 16)
    assert p["W"].shape == (3, 16, 16)
    assert not p["b"].any()
    for name in ("U", "W"):
        assert 0.24 < np.abs(p[name]).max() <= 0.25
        assert abs(p[name].mean()) < 0.02


def test_bad_input_is_named(case):
    p, x, s = case
    q = gru.to_olah({**p, "b": 0 * p["b"]})
    for step, weights in (
        (gru.britz_step, p),
        (gru.olah_step, q),
        (gru.pytorch_step, gru.to_pytorch(p)),
    ):
        with pytest.raises(ValueError, match=r"x has shape \(3, 4\), expected \(B, 5"):
            step(weights, x[:, :4], s)
        with pytest.raises(ValueError, match=r"state has shape \(2, 4\), expected \(3"):
            step(weights, x, s[:2])
    with pytest.raises(ValueError, match=r"^b has .* Olah has no bias$"):
        gru.to_olah(p)
    for sizes in ((0, 2), (2, 0)):
        with pytest.raises(ValueError, match="m and n must be at least 1, got"):
            gru.init_params(*sizes, np.random.default_rng(0))
