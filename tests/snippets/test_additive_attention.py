"""additive_attention.py against torch autograd, by hand, and what the tanh is for."""

import numpy as np
import pytest
import torch

import additive_attention as a

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def case():
    rng = np.random.default_rng(1)
    p = {
        "W": rng.standard_normal((6, 3)),
        "U": rng.standard_normal((6, 4)),
        "v": rng.standard_normal(6),
    }
    s, h = rng.standard_normal((2, 3)), rng.standard_normal((2, 5, 4))
    return p, s, h, rng.standard_normal((2, 4))


def test_forward_and_backward_equal_torch(case):
    p, s, h, dc = case
    t = {
        name: torch.from_numpy(x).requires_grad_()
        for name, x in {**p, "s": s, "h": h}.items()
    }
    e = torch.stack(
        [
            torch.tanh(t["s"] @ t["W"].T + t["h"][:, j] @ t["U"].T) @ t["v"]
            for j in range(5)
        ],
        dim=1,
    )
    alpha_want = e.softmax(dim=1)
    c_want = torch.einsum("bt,btn->bn", alpha_want, t["h"])
    c_want.backward(torch.from_numpy(dc))

    c, alpha, backward = a.additive_attention(p, s, h)
    np.testing.assert_allclose(c, c_want.detach(), **TIGHT)
    np.testing.assert_allclose(alpha, alpha_want.detach(), **TIGHT)
    grads, ds, dh = backward(dc)
    for name, got in {**grads, "s": ds, "h": dh}.items():
        np.testing.assert_allclose(got, t[name].grad, **TIGHT)
    assert grads.keys() == p.keys()


def test_two_positions_by_hand():
    # tanh(1 + 0) and tanh(1 - 1) = 0, so e = 2 tanh 1 and 0
    p = {"W": np.array([[1.0]]), "U": np.array([[-1.0]]), "v": np.array([2.0])}
    h = np.array([[[0.0], [1.0]]])
    c, alpha, _ = a.additive_attention(p, np.array([[1.0]]), h)
    weight = 1 / (1 + np.exp(2 * np.tanh(1)))
    np.testing.assert_allclose(alpha, [[1 - weight, weight]], **TIGHT)
    np.testing.assert_allclose(c, [[weight]], **TIGHT)


def test_large_scores_do_not_overflow(case):
    p, s, h, _ = case
    p = {**p, "v": 1e4 * p["v"]}
    _, alpha, _ = a.additive_attention(p, s, h)
    np.testing.assert_allclose(alpha.sum(axis=1), 1, **TIGHT)
    assert alpha.max(axis=1).min() > 0.999


def test_without_the_tanh_the_state_has_no_say(case):
    """Scaled down, tanh is straight, and the weights of two states become equal."""
    p, s, h, _ = case
    tiny = {"W": 1e-4 * p["W"], "U": 1e-4 * p["U"], "v": 1e4 * p["v"]}
    _, bent, _ = a.additive_attention(p, s, h[[0, 0]])
    _, straight, _ = a.additive_attention(tiny, s, h[[0, 0]])
    assert np.abs(bent[0] - bent[1]).max() > 0.02
    np.testing.assert_allclose(straight[0], straight[1], atol=1e-6)
    # and they are the softmax of v^T U h alone
    want = torch.softmax(torch.from_numpy(h[0] @ p["U"].T @ p["v"]), dim=0)
    np.testing.assert_allclose(straight[0], want, atol=1e-6)


def test_order_of_the_source_does_not_matter(case):
    p, s, h, _ = case
    c, alpha, _ = a.additive_attention(p, s, h)
    turned, alpha_turned, _ = a.additive_attention(p, s, h[:, ::-1])
    np.testing.assert_allclose(turned, c, **TIGHT)
    np.testing.assert_allclose(alpha_turned, alpha[:, ::-1], **TIGHT)


@pytest.mark.parametrize("g", [0.1, 0.5, 2.0])
def test_the_matcher_finds_the_word(g):
    order = [2, 0, 1]
    weights = a.look_up(order, g, 3.0)
    match = -3 * np.tanh(2 * g)
    other = -3 * 2 * np.tanh(g)
    e = np.full((3, 3), other)
    e[[2, 0, 1], [0, 1, 2]] = match
    want = torch.from_numpy(e).softmax(dim=1)
    np.testing.assert_allclose(weights, want, **TIGHT)
    assert [order[j] for j in weights.argmax(axis=1)] == [0, 1, 2]


def test_numbers():
    want = {"weight_uniform": 0.125}
    for key, g in (("2", 2.0), ("05", 0.5), ("01", 0.1)):
        gain = 2 * np.tanh(g) - np.tanh(2 * g)
        want[f"advantage_g{key}"] = gain
        want[f"weight_on_match_g{key}"] = 1 / (1 + 7 * np.exp(-8 * gain))
    assert a.numbers() == pytest.approx(want, rel=1e-10)


def test_bad_shapes_are_named(case):
    p, s, h, _ = case
    with pytest.raises(ValueError, match=r"s has shape \(2, 2\), want \(2, 3\)"):
        a.additive_attention(p, s[:, :2], h)
    with pytest.raises(ValueError, match=r"h has shape \(2, 5, 3\), want \(2, 5, 4\)"):
        a.additive_attention(p, s, h[:, :, :3])
    with pytest.raises(ValueError, match=r"h has shape \(1, 5, 4\), want \(2, 5, 4\)"):
        a.additive_attention(p, s, h[:1])
    with pytest.raises(ValueError, match=r"h has shape \(2, 4\)"):
        a.additive_attention(p, s, h[:, 0])
    with pytest.raises(ValueError, match=r"W has shape \(5, 3\), want \(6, 3\)"):
        a.additive_attention({**p, "W": p["W"][:5]}, s, h)
    with pytest.raises(ValueError, match=r"U has shape \(5, 4\), want \(6, 4\)"):
        a.additive_attention({**p, "U": p["U"][:5]}, s, h)
    with pytest.raises(ValueError, match="n_words is 0, want at least 1"):
        a.matcher(0, 1.0, 1.0)
    assert a.matcher(1, 1.0, 1.0)["v"].shape == (1,)
