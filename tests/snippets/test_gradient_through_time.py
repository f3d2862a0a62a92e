"""snippets/gradient_through_time.py against Jacobians multiplied out by hand."""

import numpy as np
import pytest
import torch
from scipy.special import expit

import gradient_through_time as gtt


@pytest.fixture(scope="module")
def out():
    return gtt.numbers()


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
@pytest.mark.parametrize(("w", "x"), [(1.5, 0.2), (-0.7, 1.1), (2.5, -1.3)])
def test_one_unit_equals_autograd(activation, w, x):
    phi = getattr(torch, activation)
    start = phi(torch.tensor(0.0, dtype=torch.float64)).requires_grad_()
    h, z = [start], []
    for _ in range(6):
        z.append(w * h[-1] + x)
        h.append(phi(z[-1]))
    gradients = torch.autograd.grad(h[-1], h[-2::-1])
    states, slopes, ours = gtt.one_unit(activation, w, x, steps=6)
    np.testing.assert_allclose(states, [v.item() for v in h[:0:-1]], rtol=1e-10)
    np.testing.assert_allclose(ours, [g.item() for g in gradients], rtol=1e-10)
    leaves = [v.detach().requires_grad_() for v in z[::-1]]
    expected = torch.autograd.grad(sum(map(phi, leaves)), leaves)
    np.testing.assert_allclose(slopes, [g.item() for g in expected], rtol=1e-10)


def test_one_unit_by_hand():
    """Without input a unit stays where it is steepest: a factor w, or w / 4."""
    states, slopes, left = gtt.one_unit("tanh", 2, 0, steps=3)
    assert (states.tolist(), slopes.tolist()) == ([0, 0, 0], [1, 1, 1])
    assert left.tolist() == [2, 4, 8]
    states, slopes, left = gtt.one_unit("sigmoid", 6, -3)
    assert (states.tolist(), slopes.tolist()) == ([0.5] * 8, [0.25] * 8)
    assert left.tolist() == [1.5**k for k in range(1, 9)]
    assert gtt.one_unit("tanh", 0.5, 0, steps=1)[2].tolist() == [0.5]


def test_the_sigmoid_is_a_tanh_in_other_units():
    """h = 2 s - 1: a quarter of the weight, and an input of half of x + w / 2."""
    for w, x in ((6, -2.9), (3, 1), (5, -2.5)):
        s, _, sigmoids = gtt.one_unit("sigmoid", w, x)
        h, _, tanhs = gtt.one_unit("tanh", w / 4, (x + w / 2) / 2)
        np.testing.assert_allclose(h, 2 * s - 1, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(tanhs, sigmoids, rtol=1e-10)


def test_what_the_picture_says(out):
    """Above w = 1 only a state near the border of two basins lets it grow."""
    assert gtt.one_unit("tanh", 1.5, 0)[2][-1] > 25
    assert gtt.one_unit("tanh", 1.5, 0.05)[2][-1] < 1
    xs = np.arange(-4, 4.01, 0.05)
    grows = [max(gtt.one_unit("sigmoid", w, x)[2][-1] for x in xs) for w in (3.9, 4.1)]
    assert grows[0] < 1 < grows[1]
    for name, values in zip(
        ("state", "slope", "gradient"), gtt.one_unit("tanh", 1.5, 0.2), strict=True
    ):
        for k in range(8):
            assert out[f"one_unit_{name}_{k + 1}"] == values[k]


def test_reach_is_the_product_of_jacobians():
    """Pascanu's product, multiplied out in NumPy for a tanh RNN."""
    net = gtt.layer("RNN", 3)
    x, u = gtt.data(3)
    x = x[:7]
    ours = gtt.reach(net, x, u)
    W_in, W_hh = net.weight_ih_l0.detach().numpy(), net.weight_hh_l0.detach().numpy()
    b = (net.bias_ih_l0 + net.bias_hh_l0).detach().numpy()
    expected = np.zeros((7, gtt.BATCH))
    for i in range(gtt.BATCH):
        h, hs = np.zeros(gtt.N_HIDDEN), []
        for x_t in x[:, i].numpy():
            h = np.tanh(W_in @ x_t + W_hh @ h + b)
            hs.append(h)
        product = u[i].numpy()
        for lag, h in enumerate(reversed(hs)):
            product = product @ np.diag(1 - h**2)
            expected[lag, i] = np.linalg.norm(product @ W_in)
            product = product @ W_hh
    np.testing.assert_allclose(ours, expected.mean(axis=1), rtol=1e-10)


def test_along_the_cell_the_factor_is_the_forget_gate():
    """No weights on h: what arrives shrinks by sigma(b), to the step."""
    net = gtt.layer("LSTM", 0, forget_bias=2)
    with torch.no_grad():
        net.weight_hh_l0.zero_()
        net.weight_ih_l0[gtt.N_HIDDEN : 2 * gtt.N_HIDDEN] = 0
    x, u = gtt.data(0)
    x = x[:1].expand(30, -1, -1)  # the same input at every step
    arrived = gtt.reach(net, x, u)
    np.testing.assert_allclose(arrived[2:] / arrived[1:-1], expit(2), rtol=1e-10)


def test_layers_are_those_of_torch():
    for kind in ("RNN", "GRU", "LSTM"):
        torch.manual_seed(4)
        theirs = getattr(torch.nn, kind)(gtt.N_IN, gtt.N_HIDDEN, dtype=torch.float64)
        for ours, q in zip(
            gtt.layer(kind, 4).parameters(), theirs.parameters(), strict=True
        ):
            assert torch.equal(ours, q)
        assert not torch.equal(gtt.layer(kind, 5).weight_hh_l0, theirs.weight_hh_l0)


def test_a_layer_leaves_the_generator_as_it_was():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    gtt.layer("RNN", 3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_only_the_forget_bias_is_set():
    n = gtt.N_HIDDEN
    default, ours = gtt.layer("LSTM", 2), gtt.layer("LSTM", 2, forget_bias=3)
    both = ours.bias_ih_l0 + ours.bias_hh_l0
    assert (both[n : 2 * n] == 3).all()
    rest = [i for i in range(4 * n) if not n <= i < 2 * n]
    for name in ("bias_ih_l0", "bias_hh_l0"):
        assert torch.equal(getattr(ours, name)[rest], getattr(default, name)[rest])
    for name in ("weight_ih_l0", "weight_hh_l0"):
        assert torch.equal(getattr(ours, name), getattr(default, name))


def test_a_default_layer_has_a_third_in_time_too(out):
    assert out["rnn_n_var_median"] == pytest.approx(1 / 3, rel=0.02)
    # and shrinks by about its root: small states, so tanh' is near 1
    assert out["rnn_default_factor_median"] == pytest.approx(3**-0.5, rel=0.05)


def test_what_holds_for_every_seed(out):
    for name in ("rnn_default", "gru_default", "lstm_default"):
        assert out[f"{name}_lag100_max"] < 1e-18
    # an LSTM's factor per step is nearer to the RNN's than to its own at forget bias 1
    ours, rnn, b1 = (
        out[f"{name}_factor_median"]
        for name in ("lstm_default", "rnn_default", "lstm_forget_bias_1")
    )
    assert 0 < ours - rnn < (b1 - ours) / 2
    assert out["lstm_forget_bias_1_lag100_min"] > 1e8 * out["lstm_default_lag100_max"]
    assert out["lstm_forget_bias_1_lag100_max"] < 1e-7
    # level: after 100 steps as much is left as after 20
    for key in ("lstm_forget_bias_3", "lstm_forget_bias_5"):
        assert out[f"{key}_lag100_min"] > 1e-3
        assert 0.5 < out[f"{key}_lag100_median"] / out[f"{key}_lag20_median"] < 2


def test_measure_is_reach_of_the_named_layer():
    arrived = gtt.measure("LSTM, forget bias 3")
    assert arrived.shape == (5, gtt.LAG + 1)
    for seed, ours in enumerate(arrived):
        net = gtt.layer("LSTM", seed, forget_bias=3)
        want = gtt.reach(net, *gtt.data(seed))[:101]
        np.testing.assert_allclose(ours, want, rtol=1e-10)


def test_layers_are_named_by_what_they_are():
    for name, options in gtt.LAYERS.items():
        bias = options.get("forget_bias")
        what = "default" if bias is None else f"forget bias {bias}"
        assert name == f"{options['kind']}, {what}"


def test_numbers_are_of_the_lags_they_name(monkeypatch):
    """With the measurements stubbed: which value of which layer goes by which name."""
    arrived = dict(
        zip(gtt.LAYERS, np.random.default_rng(0).random((6, 5, 101)), strict=True)
    )
    monkeypatch.setattr(gtt, "measure", arrived.get)
    want = {"units": 64, "inputs": 8, "lag": 100, "seeds": 5}
    keys = [f"lstm_forget_bias_{b}" for b in (5, 3, 1)]
    keys += [f"{kind}_default" for kind in ("gru", "lstm", "rnn")]
    for key, rows in zip(keys, arrived.values(), strict=True):
        want |= gtt.spread(f"{key}_lag20", rows[:, 20])
        want |= gtt.spread(f"{key}_lag100", rows[:, 100])
        factor = np.exp((np.log(rows[:, 50]) - np.log(rows[:, 10])) / 40)
        want |= gtt.spread(f"{key}_factor", factor)
    nets = [gtt.layer("RNN", seed) for seed in range(5)]
    n_var = [64 * net.weight_hh_l0.var(correction=0).item() for net in nets]
    want |= gtt.spread("rnn_n_var", np.array(n_var))
    nets = [gtt.layer("RNN", seed, lambda_1=0.95) for seed in range(5)]
    far = [gtt.reach(net, *gtt.data(seed))[100] for seed, net in enumerate(nets)]
    want |= gtt.spread("rnn_norm095_lag100", np.array(far))
    want["bound_norm095_100_steps"] = 0.95**100
    numbers = gtt.numbers()
    assert len(numbers) == len(want) + 3 * 8  # and eight steps of one unit, above
    assert {name: numbers[name] for name in want} == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("seed", gtt.SEEDS)
def test_nothing_gets_past_the_bound(seed):
    net = gtt.layer("RNN", seed, lambda_1=0.95)
    largest = np.linalg.svd(net.weight_hh_l0.detach().numpy(), compute_uv=False)[0]
    assert largest == pytest.approx(0.95, abs=1e-12)
    norm_in = np.linalg.svd(net.weight_ih_l0.detach().numpy(), compute_uv=False)[0]
    limit = gtt.bound(net)
    np.testing.assert_allclose(limit, norm_in * 0.95 ** np.arange(101), rtol=1e-10)
    assert (gtt.reach(net, *gtt.data(seed))[:101] <= limit).all()


def test_the_bound_can_be_reached():
    """W_hh = 0.95 I, input 0: every factor is 0.95 and tanh' is 1."""
    net = gtt.layer("RNN", 0)
    with torch.no_grad():
        net.weight_hh_l0.copy_(0.95 * torch.eye(gtt.N_HIDDEN))
        net.bias_ih_l0.zero_()
        net.bias_hh_l0.zero_()
        net.weight_ih_l0.zero_()
        net.weight_ih_l0[: gtt.N_IN] = torch.eye(gtt.N_IN)
    x, u = gtt.data(0)
    u = torch.nn.functional.one_hot(torch.arange(gtt.BATCH), gtt.N_HIDDEN).double()
    arrived = gtt.reach(net, 0 * x, u)[:101]
    np.testing.assert_allclose(arrived, gtt.bound(net), rtol=1e-10)


def test_spread_and_paper_numbers(out):
    assert gtt.spread("a", np.array([3.0, 1.0, 8.0])) == {
        "a_median": 3.0,
        "a_min": 1.0,
        "a_max": 8.0,
    }
    assert out["bound_norm095_100_steps"] == pytest.approx(0.95**100)
    arrived = gtt.reach(gtt.layer("RNN", 0, lambda_1=0.95), *gtt.data(0))
    low, high = out["rnn_norm095_lag100_min"], out["rnn_norm095_lag100_max"]
    assert low * 0.999 <= arrived[100] <= high * 1.001


def test_data_are_unit_vectors_and_one_draw_per_seed():
    x, u = gtt.data(1)
    assert x.shape == (300, gtt.BATCH, gtt.N_IN)
    np.testing.assert_allclose(u.norm(dim=1), 1, rtol=1e-12)
    assert abs(x.mean()) < 0.05
    assert x.std() == pytest.approx(1, abs=0.05)
    assert not torch.equal(gtt.data(2)[0], x)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="kind is 'CNN', expected 'RNN', 'GRU' or"):
        gtt.layer("CNN", 0)
    with pytest.raises(ValueError, match="forget_bias given for 'GRU', expected kind"):
        gtt.layer("GRU", 0, forget_bias=1)
    with pytest.raises(ValueError, match="lambda_1 given for 'LSTM', expected kind"):
        gtt.layer("LSTM", 0, lambda_1=0.9)
    with pytest.raises(ValueError, match="activation is 'relu', expected 'tanh' or"):
        gtt.one_unit("relu", 1, 0)
    with pytest.raises(ValueError, match="steps is 0, expected at least 1"):
        gtt.one_unit("tanh", 1, 0, steps=0)
    x, u = gtt.data(0)
    with pytest.raises(ValueError, match=r"u has shape \(8, 9\), expected \(8, 64\)"):
        gtt.reach(gtt.layer("RNN", 0), x, u[:, :9])
