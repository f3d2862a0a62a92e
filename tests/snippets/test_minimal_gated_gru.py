"""snippets/minimal_gated_gru.py against torch twins, autograd, nn.GRU and by hand."""

import numpy as np
import pytest
import torch
from scipy.special import expit

import minimal_gated_gru as g

T, D, N = 6, 4, 3
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(1)
    p = g.init_params(D, N, rng, -0.5)
    p["b"] = rng.standard_normal(N)
    return p, rng.standard_normal((T, D)), rng.standard_normal(N)


def twin(p, x, h, reset):
    """The same equations in torch: states (T, n)."""
    states = []
    for x_t in x:
        gate = torch.sigmoid(p["m"] @ x_t + p["o"] @ h + p["a"])
        inside = gate * h if reset else h
        candidate = torch.tanh(p["w"] @ x_t + p["u"] @ inside + p["b"])
        h = torch.lerp(h, candidate, gate)
        states.append(h)
    return torch.stack(states)


@pytest.mark.parametrize("reset", [False, True])
def test_states_and_gradients_equal_autograd(case, reset):
    p, x, h0 = case
    tp = {name: torch.tensor(w, requires_grad=True) for name, w in p.items()}
    tx, th = (torch.tensor(v, requires_grad=True) for v in (x, h0))
    reference = twin(tp, tx, th, reset)
    states, backward = g.run(p, x, h0, reset)
    np.testing.assert_allclose(states, reference.detach().numpy(), **TIGHT)

    dhs = np.random.default_rng(2).standard_normal(states.shape)
    (reference * torch.from_numpy(dhs)).sum().backward()
    grads, dx, dh0 = backward(dhs)
    assert grads.keys() == p.keys()
    pairs = [(grads[name], tp[name].grad) for name in p]
    for mine, theirs in [*pairs, (dx, tx.grad), (dh0, th.grad)]:
        theirs = theirs.numpy()
        assert np.linalg.norm(mine - theirs) / np.linalg.norm(theirs) < 1e-12


def test_it_is_torch_gru_with_the_reset_gate_open(case):
    """PyTorch's z keeps, so its gate has the opposite sign; r is sigma(1000) = 1."""
    p, x, h0 = case
    gru = torch.nn.GRU(D, N, dtype=torch.float64)
    with torch.no_grad():
        for mine, theirs in (("w", "m"), ("u", "o")):
            target = gru.weight_ih_l0 if mine == "w" else gru.weight_hh_l0
            target.copy_(
                torch.from_numpy(np.vstack([0 * p[mine], -p[theirs], p[mine]]))
            )
        gru.bias_ih_l0.copy_(
            torch.from_numpy(np.concatenate([np.full(N, 1000.0), -p["a"], p["b"]]))
        )
        gru.bias_hh_l0.zero_()
        reference = gru(torch.from_numpy(x), torch.from_numpy(h0)[None])[0]
    np.testing.assert_allclose(g.run(p, x, h0)[0], reference.numpy(), **TIGHT)
    gap = g.run(p, x, h0, reset=True)[0] - reference.numpy()
    assert np.abs(gap).max() > 1e-3


def test_one_step_by_hand():
    """Gate 1/4 from its bias alone; candidate tanh(0.5 + 2 * 0.4), or with 0.1."""
    p = {name: np.zeros((1, 1)) for name in "wumo"}
    p |= {"u": np.array([[2.0]]), "b": np.array([0.5]), "a": -np.log([3.0])}
    x, h = np.ones(1), np.array([0.4])
    plain, gate, _ = g.step(p, x, h)
    zhou, _, _ = g.step(p, x, h, reset=True)
    assert gate == pytest.approx([0.25], abs=1e-15)
    assert plain == pytest.approx([0.25 * np.tanh(1.3) + 0.3], abs=1e-15)
    assert zhou == pytest.approx([0.25 * np.tanh(0.7) + 0.3], abs=1e-15)


def test_gate_at_one_is_the_plain_rnn_and_at_zero_the_state_stays(case):
    p, x, h0 = case
    rnn = torch.nn.RNN(D, N, dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(torch.from_numpy(p["w"]))
        rnn.weight_hh_l0.copy_(torch.from_numpy(p["u"]))
        rnn.bias_ih_l0.copy_(torch.from_numpy(p["b"]))
        rnn.bias_hh_l0.zero_()
        plain = rnn(torch.from_numpy(x), torch.from_numpy(h0)[None])[0].numpy()
    for reset in (False, True):
        wide = {**p, "a": np.full(N, 1000.0)}
        np.testing.assert_allclose(g.run(wide, x, h0, reset)[0], plain, **TIGHT)
        shut = {**p, "a": np.full(N, -1000.0)}
        np.testing.assert_array_equal(g.run(shut, x, h0, reset)[0], np.tile(h0, (T, 1)))


def test_sigmoid_equals_scipy_and_never_overflows():
    z = np.concatenate([np.linspace(-40, 40, 401), [-1e5, 1e5]])
    np.testing.assert_allclose(g.sigmoid(z), expit(z), rtol=0, atol=1e-15)


@pytest.mark.parametrize("bias", [-1000, -5, -1, 0, 2, 1000])
def test_kept_is_geometric(bias):
    got = g.kept(bias, 10, 0.7)
    np.testing.assert_allclose(got, 0.7 * expit(-bias) ** np.arange(11.0), rtol=1e-9)
    assert g.kept(bias, 1)[0] == 1


@pytest.mark.parametrize("bias", [None, 0, -3])
def test_reach_equals_autograd(bias):
    rng = np.random.default_rng(3)
    p = g.init_params(8, 16, rng, 1000 if bias is None else bias)
    x, dh = rng.standard_normal((60, 8)), rng.standard_normal(16)
    tp = {name: torch.from_numpy(w) for name, w in p.items()}
    h = torch.zeros(16, dtype=torch.float64, requires_grad=True)
    states = [h]
    for x_t in torch.from_numpy(x):
        states.append(twin(tp, x_t[None], states[-1], reset=False)[0])
        states[-1].retain_grad()
    (states[-1] @ torch.from_numpy(dh / np.linalg.norm(dh))).backward()
    norms = [float(s.grad.norm()) for s in reversed(states)]
    np.testing.assert_allclose(g.reach(3, bias), norms, rtol=1e-9, atol=1e-30)


def test_a_lower_gate_bias_reaches_farther_on_every_seed():
    for seed in range(g.SEEDS):
        ends = [g.reach(seed, bias)[-1] for bias in g.BIASES]
        assert ends == sorted(ends)
        assert ends[0] < 1e-12 < ends[1] < 1e-5
        assert ends[2] > 0.05
        assert ends[3] > 0.5


@pytest.mark.parametrize("bias", [0, -3])
def test_distance_equals_that_of_two_twins(bias):
    rng = np.random.default_rng(2)
    p = {k: torch.from_numpy(v) for k, v in g.init_params(8, 16, rng, bias).items()}
    x, h = torch.from_numpy(rng.standard_normal((20, 8))), torch.zeros(16).double()
    gap = (twin(p, x, h, False) - twin(p, x, h, True)).abs().max().item()
    assert g.distance(2, bias) == pytest.approx(gap, rel=1e-9)
    assert gap > 0.01


def test_init_is_within_bounds():
    p = g.init_params(2, 100, np.random.default_rng(0))
    shapes = {"w": (100, 2), "u": (100, 100), "m": (100, 2), "o": (100, 100)}
    assert {k: v.shape for k, v in p.items()} == shapes | {"b": (100,), "a": (100,)}
    for name in "wumo":
        assert 0.09 < np.abs(p[name]).max() <= 0.1
        assert abs(p[name].mean()) < 0.02
    assert not p["a"].any()
    assert not p["b"].any()
    assert (g.init_params(1, 1, np.random.default_rng(0), -2)["a"] == -2).all()


def test_numbers_are_those_of_paper_and_reference():
    want = {"kept_gate_01_10_steps": 0.9**10}
    for bias, key in (
        (-10, "bias_minus10"),
        (-5, "bias_minus5"),
        (-3, "bias_minus3"),
        (0, "bias_0"),
    ):
        want[f"gate_{key}"] = expit(bias)
        want[f"left_of_07_{key}"] = 0.7 * expit(-bias) ** 100
    folds = ((0, "min"), (2, "median"), (4, "max"))
    for bias, key in (
        (None, "plain"),
        (0, "bias_0"),
        (-3, "bias_minus3"),
        (-5, "bias_minus5"),
    ):
        norms = np.sort([g.reach(seed, bias) for seed in range(5)], axis=0)
        for lag in (20, 60):
            want |= {f"reach_{key}_lag{lag}_{fold}": norms[k, lag] for k, fold in folds}
    for bias, key in ((0, "0"), (-3, "minus3"), (-1000, "minus1000"), (1000, "1000")):
        gaps = sorted(g.distance(seed, bias) for seed in range(5))
        want |= {f"gap_{key}_{fold}": gaps[k] for k, fold in folds}
    want |= {"parameters_n100_d28": 25_800, "seeds": 5, "units": 16, "lags": 60}
    assert g.numbers() == pytest.approx(want, rel=1e-9, abs=1e-40)
    assert want["gap_minus1000_max"] == want["gap_1000_max"] == 0


def test_bad_input_is_named(case):
    p, x, h0 = case
    with pytest.raises(ValueError, match=r"x has shape \(3,\), expected \(4,\)"):
        g.step(p, x[0, :3], h0)
    with pytest.raises(ValueError, match=r"h_prev has shape \(2,\), expected \(3,\)"):
        g.step(p, x[0], h0[:2])
    for sizes in ((0, 1), (1, 0)):
        with pytest.raises(
            ValueError, match="must be >= 1, got {} and {}".format(*sizes)
        ):
            g.init_params(*sizes, np.random.default_rng(0))
