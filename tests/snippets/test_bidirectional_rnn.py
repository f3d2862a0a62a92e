"""snippets/bidirectional_rnn.py against torch.nn.RNN, autograd and by hand."""

import numpy as np
import pytest
import torch

import bidirectional_rnn as b

T, D, N = 6, 4, 3
TIGHT = {"rtol": 1e-10, "atol": 1e-10}
CASES = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 2)]


def torch_rnn(layers, d, n):
    """torch.nn.RNN with our weights; its second bias is zero."""
    both = len(layers[0]) == 2
    net = torch.nn.RNN(d, n, len(layers), bidirectional=both, dtype=torch.float64)
    with torch.no_grad():
        for k, ps in enumerate(layers):
            for p, end in zip(ps, ("", "_reverse"), strict=False):
                getattr(net, f"weight_ih_l{k}{end}").copy_(torch.from_numpy(p["w"]))
                getattr(net, f"weight_hh_l{k}{end}").copy_(torch.from_numpy(p["u"]))
                getattr(net, f"bias_ih_l{k}{end}").copy_(torch.from_numpy(p["b"]))
                getattr(net, f"bias_hh_l{k}{end}").zero_()
    return net


@pytest.mark.parametrize(("n_layers", "directions"), CASES)
def test_states_and_gradients_equal_torch(n_layers, directions):
    rng = np.random.default_rng(10 * n_layers + directions)
    layers = b.init_layers(D, N, n_layers, directions, rng)
    x = rng.standard_normal((T, D))
    h, backward = b.stack(layers, x)
    net = torch_rnn(layers, D, N)
    tx = torch.tensor(x, requires_grad=True)
    reference = net(tx)[0]
    np.testing.assert_allclose(h, reference.detach().numpy(), **TIGHT)

    dh = rng.standard_normal(h.shape)
    (reference * torch.from_numpy(dh)).sum().backward()
    grads, dx = backward(dh)
    np.testing.assert_allclose(dx, tx.grad.numpy(), **TIGHT)
    assert [len(g) for g in grads] == [directions] * n_layers
    for k, ps in enumerate(grads):
        for g, end in zip(ps, ("", "_reverse"), strict=False):
            for name, theirs in (
                ("w", f"weight_ih_l{k}{end}"),
                ("u", f"weight_hh_l{k}{end}"),
                ("b", f"bias_ih_l{k}{end}"),
            ):
                reference = getattr(net, theirs).grad.numpy()
                error = np.linalg.norm(g[name] - reference) / np.linalg.norm(reference)
                assert error < 1e-12
    second = N * n_layers * directions  # PyTorch's second bias
    assert b.count(layers) + second == sum(q.numel() for q in net.parameters())


def test_layers_of_one_and_of_two_directions_may_be_mixed():
    rng = np.random.default_rng(3)
    below = b.init_layers(D, N, 1, 2, rng)
    above = b.init_layers(2 * N, 5, 1, 1, rng)
    x = rng.standard_normal((T, D))
    tx = torch.tensor(x, requires_grad=True)
    reference = torch_rnn(above, 2 * N, 5)(torch_rnn(below, D, N)(tx)[0])[0]
    h, backward = b.stack(below + above, x)
    np.testing.assert_allclose(h, reference.detach().numpy(), **TIGHT)
    reference.sum().backward()
    np.testing.assert_allclose(backward(np.ones_like(h))[1], tx.grad.numpy(), **TIGHT)


def test_two_steps_by_hand_in_both_directions():
    p = {"w": np.array([[1.0]]), "u": np.array([[2.0]]), "b": np.array([0.5])}
    q = {"w": np.array([[-1.0]]), "u": np.array([[1.0]]), "b": np.array([0.0])}
    h, _ = b.bidirectional(p, q, np.array([[1.0], [3.0]]))
    first, last = np.tanh(1.5), np.tanh(-3.0)
    want = [[first, np.tanh(-1 + last)], [np.tanh(3.5 + 2 * first), last]]
    np.testing.assert_allclose(h, want, rtol=1e-14)


def test_turning_the_sequence_swaps_the_directions():
    rng = np.random.default_rng(4)
    ((ahead, back),) = b.init_layers(D, N, 1, 2, rng)
    x = rng.standard_normal((T, D))
    h, _ = b.bidirectional(ahead, back, x)
    turned, _ = b.bidirectional(back, ahead, x[::-1])
    np.testing.assert_array_equal(turned[::-1], np.roll(h, N, axis=1))


@pytest.mark.parametrize("directions", [1, 2])
def test_reach_equals_the_jacobian_of_autograd(directions):
    rng = np.random.default_rng(5)
    layers = b.init_layers(D, N, 1, directions, rng)
    x = rng.standard_normal((T, D))
    net = torch_rnn(layers, D, N)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: net(x)[0][2], torch.from_numpy(x)
    )  # (units, T, D)
    reference = jacobian.norm(dim=(0, 2)).numpy()
    got = b.reach(layers, x, 2)
    np.testing.assert_allclose(got, reference, **TIGHT)
    assert (got[3:] > 0).all() == (directions == 2)
    assert (got[:3] > 0).all()


def test_one_direction_sees_nothing_of_the_future_and_both_see_all():
    one, both = b.reaches(1), b.reaches(2)
    assert one.shape == both.shape == (5, 11)
    for directions, got in ((1, one), (2, both)):  # the draws, once more
        rng = np.random.default_rng(4)
        ((ahead, back),) = b.init_layers(3, 8, 1, 2, rng)
        x = rng.standard_normal((11, 3))
        layers = [[ahead]] if directions == 1 else [[ahead, back]]
        np.testing.assert_allclose(got[4], b.reach(layers, x, 5), **TIGHT)
    # the backward half alone, on the sequence turned round
    back_alone = b.reach([[back]], x[::-1], 5)[::-1]
    np.testing.assert_array_equal(one[:, :5], both[:, :5])  # back has not read these
    assert both[4, 5] ** 2 == pytest.approx(one[4, 5] ** 2 + back_alone[5] ** 2)
    np.testing.assert_allclose(both[4, 6:], back_alone[6:], **TIGHT)
    assert (one[:, 6:] == 0).all()
    assert (one[:, :6] > 0).all()
    assert (both > 0).all()
    for values in (one[:, :6], both[:, :6], both[:, :4:-1]):  # nearer is stronger
        assert (values[:, 0] < 0.1 * values[:, -1]).all()


def test_softmax_equals_torch_and_does_not_overflow():
    z = np.random.default_rng(0).standard_normal((4, 3)) * [[1], [10], [100], [1000]]
    z = np.stack([z, z - 2000, z + 2000])  # the last axis is not the second
    reference = torch.softmax(torch.from_numpy(z), dim=-1).numpy()
    np.testing.assert_allclose(b.softmax(z), reference, **TIGHT)


def test_init_is_within_bounds():
    layers = b.init_layers(2, 100, 2, 2, np.random.default_rng(0))
    assert [[p["w"].shape for p in ps] for ps in layers] == [
        [(100, 2)] * 2,
        [(100, 200)] * 2,
    ]
    u = layers[0][0]["u"]
    assert u.shape == (100, 100)
    assert layers[0][0]["b"].shape == (100,)
    assert 0.099 < np.abs(u).max() <= 0.1
    assert abs(u.mean()) < 0.01
    assert not np.array_equal(u, layers[0][1]["u"])
    assert b.count(b.init_layers(1, 1, 1, 1, np.random.default_rng(0))) == 3


def test_numbers_follow_from_counting():
    got = b.numbers()
    want = {"figure9_per_unit": 5, "figure9_units": 20, "figure9_all": 32}
    net = torch.nn.RNN(2, 3, 2, bidirectional=True)
    want["two_layers_both_pytorch"] = sum(q.numel() for q in net.parameters())
    want["two_layers_both"] = want["two_layers_both_pytorch"] - 12
    want["two_layers_one_direction"] = 18 + 21
    want |= {"second_layer_inputs": 6, "steps": 11, "seeds": 5}
    want["softmax_sum"] = 1
    for directions, name in ((1, "one"), (2, "both")):
        values = np.sort(b.reaches(directions), axis=0)
        places = {"5_before": 0, "1_before": 4, "at": 5, "1_after": 6, "5_after": 10}
        for place, column in places.items():
            for row, fold in ((0, "min"), (2, "median"), (4, "max")):
                want[f"reach_{name}_{place}_{fold}"] = values[row, column]
    assert got.keys() - want.keys() == {"softmax_smallest"}
    assert {k: got[k] for k in want} == pytest.approx(want, rel=1e-12)

    # the smallest probability, with the same draws in torch
    rng = np.random.default_rng(0)
    layers = b.init_layers(2, 2, 2, 1, rng)
    V, c = rng.uniform(-1, 1, (2, 2)), rng.uniform(-1, 1, 2)
    h = torch_rnn(layers, 2, 2)(torch.from_numpy(rng.standard_normal((7, 2))))[0]
    y = torch.softmax(h @ torch.from_numpy(V).T + torch.from_numpy(c), dim=1)
    assert got["softmax_smallest"] == pytest.approx(y.min().item(), rel=1e-10)


def test_bad_input_is_named():
    rng = np.random.default_rng(0)
    layers = b.init_layers(D, N, 1, 1, rng)
    for shape in ((T, D + 1), (0, D), (D,)):
        with pytest.raises(
            ValueError, match=r"x has shape .* expected \(T, 4\) with T"
        ):
            b.stack(layers, np.zeros(shape))
    for wrong in ([], layers[0] * 3):
        with pytest.raises(ValueError, match=f"1 or 2 directions, got {len(wrong)}"):
            b.stack([wrong], np.zeros((T, D)))
    for bad in ((0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 3), (1, 1, 1, 0)):
        got = "{}, {}, {} and {} directions$".format(*bad)
        with pytest.raises(ValueError, match=got):
            b.init_layers(*bad, rng)
