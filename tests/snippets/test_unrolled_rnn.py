"""snippets/unrolled_rnn.py against torch.nn.RNN, autograd on copies, and by hand."""

import numpy as np
import pytest
import torch

import unrolled_rnn as u

T, M, N, K = 6, 4, 5, 3
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(1)
    p = u.init_params(M, N, K, rng)
    return p, rng.standard_normal((T, M)), rng.standard_normal((T, K))


def torch_run(copies, x):
    """The chain in torch: one leaf per copy and weight."""
    leaves = [
        {name: torch.tensor(w, requires_grad=True) for name, w in p.items()}
        for p in copies
    ]
    h, ys = torch.zeros(copies[0]["W_hh"].shape[0], dtype=torch.float64), []
    for p, x_t in zip(leaves, torch.from_numpy(x), strict=True):
        h = torch.tanh(p["W_xh"] @ x_t + p["W_hh"] @ h + p["b_h"])
        ys.append(p["W_hy"] @ h + p["b_y"])
    return leaves, torch.stack(ys)


def test_the_loop_equals_torch_rnn_and_linear(case):
    p, x, _ = case
    rnn = torch.nn.RNN(M, N, dtype=torch.float64)
    out = torch.nn.Linear(N, K, dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(torch.from_numpy(p["W_xh"]))
        rnn.weight_hh_l0.copy_(torch.from_numpy(p["W_hh"]))
        rnn.bias_ih_l0.copy_(torch.from_numpy(p["b_h"]))
        rnn.bias_hh_l0.zero_()
        out.weight.copy_(torch.from_numpy(p["W_hy"]))
        out.bias.copy_(torch.from_numpy(p["b_y"]))
        reference = rnn(torch.from_numpy(x))[0]
        scores = out(reference)
    h, y = u.unrolled([p] * T, x)
    np.testing.assert_allclose(h, reference.numpy(), **TIGHT)
    np.testing.assert_allclose(y, scores.numpy(), **TIGHT)
    # PyTorch's second bias is the whole difference in the count
    assert u.count(p) + N == sum(
        q.numel() for net in (rnn, out) for q in net.parameters()
    )


def test_each_copy_has_the_gradient_autograd_gives_its_leaf(case):
    p, x, dy = case
    leaves, y = torch_run([p] * T, x)
    (y * torch.from_numpy(dy)).sum().backward()
    grads = u.gradient_per_copy([p] * T, x, dy)
    assert len(grads) == T
    for mine, leaf in zip(grads, leaves, strict=True):
        assert mine.keys() == leaf.keys()
        for name, g in mine.items():
            np.testing.assert_allclose(g, leaf[name].grad.numpy(), **TIGHT)


def test_the_gradient_of_shared_weights_is_the_sum(case):
    p, x, dy = case
    shared = {name: torch.tensor(w, requires_grad=True) for name, w in p.items()}
    h, loss = torch.zeros(N, dtype=torch.float64), 0.0
    for x_t, dy_t in zip(torch.from_numpy(x), torch.from_numpy(dy), strict=True):
        h = torch.tanh(shared["W_xh"] @ x_t + shared["W_hh"] @ h + shared["b_h"])
        loss = loss + (shared["W_hy"] @ h + shared["b_y"]) @ dy_t
    loss.backward()
    total = u.shared(u.gradient_per_copy([p] * T, x, dy))
    for name, g in total.items():
        reference = shared[name].grad.numpy()
        error = np.linalg.norm(g - reference) / np.linalg.norm(reference)
        assert error < 1e-12


def test_copies_may_differ(case):
    _, x, dy = case
    rng = np.random.default_rng(2)
    copies = [u.init_params(M, N, K, rng) for _ in range(T)]
    leaves, y = torch_run(copies, x)
    np.testing.assert_allclose(u.unrolled(copies, x)[1], y.detach().numpy(), **TIGHT)
    (y * torch.from_numpy(dy)).sum().backward()
    for mine, leaf in zip(u.gradient_per_copy(copies, x, dy), leaves, strict=True):
        for name, g in mine.items():
            np.testing.assert_allclose(g, leaf[name].grad.numpy(), **TIGHT)


def test_two_steps_by_hand():
    """One unit, all weights 1, no bias: h_0 = tanh(1), h_1 = tanh(2 + tanh 1)."""
    one = np.ones((1, 1))
    p = {"W_xh": one, "W_hh": one, "W_hy": 3 * one, "b_h": np.zeros(1)}
    p["b_y"] = np.array([0.5])
    h, y = u.unrolled([p] * 2, np.array([[1.0], [2.0]]))
    first = np.tanh(1.0)
    second = np.tanh(2 + first)
    np.testing.assert_allclose(h[:, 0], [first, second], rtol=1e-14)
    np.testing.assert_allclose(y[:, 0], [3 * first + 0.5, 3 * second + 0.5])


def test_the_first_copy_of_w_hh_meets_a_zero(case):
    p, x, dy = case
    grads = u.gradient_per_copy([p] * T, x, dy)
    assert not grads[0]["W_hh"].any()
    assert all(g["W_hh"].any() for g in grads[1:])


def test_each_shape_sees_what_its_arrows_say(case):
    p = case[0]
    full = np.ones((3, 3), dtype=bool)
    want = {
        "one to one": full[:1, :1],
        "one to many": full[:, :1],
        "many to one": full[:1],
        "many to many, later": full,
        "many to many, in step": np.tril(full),
    }
    assert want.keys() == u.SHAPES.keys()
    for name, pattern in want.items():
        np.testing.assert_array_equal(u.sees(p, name), pattern)


def test_a_shape_reads_and_writes_at_its_steps(case):
    p, x, _ = case
    padded = np.vstack([x[:3], np.zeros((2, M))])
    y = u.unrolled([p] * 5, padded)[1]
    np.testing.assert_allclose(
        u.run_shape(p, "many to many, later", x[:3]), y[2:], **TIGHT
    )
    np.testing.assert_allclose(u.run_shape(p, "many to one", x[:3]), y[2:3], **TIGHT)
    alone = np.vstack([x[:1], np.zeros((2, M))])
    many = u.unrolled([p] * 3, alone)[1]
    np.testing.assert_allclose(u.run_shape(p, "one to many", x[:1]), many, **TIGHT)


def test_init_is_within_bounds_and_may_have_no_bias():
    p = u.init_params(3, 100, 2, np.random.default_rng(0))
    assert {name: w.shape for name, w in p.items()} == {
        "W_xh": (100, 3),
        "W_hh": (100, 100),
        "W_hy": (2, 100),
        "b_h": (100,),
        "b_y": (2,),
    }
    assert all(np.abs(w).max() <= 0.1 for w in p.values())
    assert np.abs(p["W_hh"]).max() > 0.099
    assert abs(p["W_hh"].mean()) < 0.01
    bare = u.init_params(1, 1, 1, np.random.default_rng(0), bias=False)
    assert bare.keys() == {"W_xh", "W_hh", "W_hy"}
    assert u.count(bare) == 3


def test_contributions_equal_autograd_and_fall():
    for seed in range(u.SEEDS):
        shares = u.contributions(seed)
        assert shares.shape == (20,)
        assert shares[-1] == 1
        assert shares[0] < 1e-4
        assert shares[10] < 0.02
        rng = np.random.default_rng(seed)
        p = u.init_params(8, 32, 8, rng)
        x, last = rng.standard_normal((20, 8)), rng.standard_normal(8)
        leaves, y = torch_run([p] * 20, x)
        (y[-1] @ torch.from_numpy(last)).backward()
        norms = np.array([leaf["W_xh"].grad.norm().item() for leaf in leaves])
        np.testing.assert_allclose(shares, norms / norms[-1], rtol=1e-10)


def test_numbers_follow_from_counting():
    got = u.numbers()
    shares = np.array([u.contributions(seed) for seed in range(5)])
    want = {"shapes_by_what_is_seen": 5, "shapes_by_name": 4}
    want |= {"pairs_seen_later": 9, "pairs_seen_in_step": 6}
    for steps in (4, 20):
        want |= {
            f"copies_of_{steps}_w_xh": steps,
            f"copies_of_{steps}_w_hh": steps - 1,
            f"copies_of_{steps}_b_h": steps,
            f"copies_of_{steps}_w_hy": 1,
        }
    want["parameters_c8000_h100"] = 2 * 8000 * 100 + 100**2
    want["parameters_c8000_h100_bias"] = 2 * 8000 * 100 + 100**2 + 8100
    want |= {"work_ratio_state": 4, "work_ratio_input": 2}
    for back in (1, 5, 10, 19):
        column = np.sort(shares[:, 19 - back])
        for name, value in zip(
            ("min", "median", "max"), column[[0, 2, 4]], strict=True
        ):
            want[f"share_{back}_back_{name}"] = value
    first = np.sort(shares[:, 0])  # what 19 steps have left
    for name, share in zip(("min", "median", "max"), first[[0, 2, 4]], strict=True):
        want[f"factor_per_step_{name}"] = np.exp(np.log(share) / 19)
    want["line_over_median"] = 3**-9.5 / first[2]
    assert 0.49 < want["factor_per_step_min"] < want["factor_per_step_max"] < 3**-0.5
    want |= {"seeds": 5, "steps": 20, "third_root": 3**-0.5}
    assert got == pytest.approx(want, rel=1e-12)


def test_bad_input_is_named(case):
    p, x, dy = case
    with pytest.raises(ValueError, match=r"x has shape \(5, 4\), expected \(6, 4\)"):
        u.unrolled([p] * T, x[:5])
    with pytest.raises(ValueError, match=r"x has shape \(6, 3\), expected \(6, 4\)"):
        u.unrolled([p] * T, x[:, :3])
    wanted = r"expected \(0, 0\), one row for each of at least one copy$"
    with pytest.raises(ValueError, match=wanted):
        u.unrolled([], np.zeros((0, 0)))
    with pytest.raises(ValueError, match=r"dy has shape \(5, 3\), expected \(6, 3\)"):
        u.gradient_per_copy([p] * T, x, dy[:5])
    with pytest.raises(
        ValueError, match="name is 'none', expected one of one to one, "
    ):
        u.run_shape(p, "none", x)
    with pytest.raises(ValueError, match="x has 2 rows, expected 3 for many to one"):
        u.run_shape(p, "many to one", x[:2])
    for sizes in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ValueError, match="got {}, {} and {}$".format(*sizes)):
            u.init_params(*sizes, np.random.default_rng(0))


def test_a_chain_of_one_step_is_an_ordinary_layer(case):
    p, x, dy = case
    leaves, y = torch_run([p], x[:1])
    (y * torch.from_numpy(dy[:1])).sum().backward()
    total = u.shared(u.gradient_per_copy([p], x[:1], dy[:1]))
    for name, g in total.items():
        if name != "W_hh":  # it meets a zero state; autograd says so with zeros too
            np.testing.assert_allclose(g, leaves[0][name].grad.numpy(), **TIGHT)
    assert not total["W_hh"].any()


def test_the_shapes_are_those_of_the_figure(case):
    assert u.SHAPES == {
        "one to one": ([0], [0]),
        "one to many": ([0], [0, 1, 2]),
        "many to one": ([0, 1, 2], [2]),
        "many to many, later": ([0, 1, 2], [2, 3, 4]),
        "many to many, in step": ([0, 1, 2], [0, 1, 2]),
    }
    assert u.sees(case[0], "many to one").dtype == bool
