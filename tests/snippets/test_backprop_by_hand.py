"""snippets/backprop_by_hand.py against autograd, torch.randn and by hand."""

import statistics
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

import backprop_by_hand as by_hand

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture(scope="module")
def results():
    return by_hand.numbers()


def random_case(B=7, T=2, V=5, E=3, H=4, seed=0):
    """Sizes that are all different; 14 letters out of 5, so that some come again."""
    rng = np.random.default_rng(seed)
    shapes = {"C": (V, E), "W1": (T * E, H), "b1": H, "W2": (H, V), "b2": V}
    p = SimpleNamespace(**{name: rng.normal(size=s) for name, s in shapes.items()})
    p.gain, p.bias = 1 + 0.3 * rng.normal(size=(2, H))
    return p, rng.integers(0, V, (B, T)), rng.integers(0, V, B)


def by_torch(p, x, y):
    """Parameters and intermediates by name, as tensors that hold their gradients."""
    t = {name: torch.tensor(a, requires_grad=True) for name, a in vars(p).items()}
    n = len(y)
    t["emb"] = functional.embedding(torch.tensor(x), t["C"])
    t["flat"] = t["emb"].flatten(1)
    t["z"] = t["flat"] @ t["W1"] + t["b1"]
    t["mean"] = t["z"].mean(0)
    t["centered"] = t["z"] - t["mean"]
    t["squared"] = t["centered"].square()
    t["var"] = t["squared"].sum(0) / (n - 1)
    t["inv"] = (t["var"] + 1e-5).rsqrt()
    t["z_hat"] = t["centered"] * t["inv"]
    t["pre"] = t["gain"] * t["z_hat"] + t["bias"]
    t["h"] = t["pre"].tanh()
    t["logits"] = t["h"] @ t["W2"] + t["b2"]
    t["top"] = t["logits"].max(1, keepdim=True).values
    t["shifted"] = t["logits"] - t["top"]
    t["exps"] = t["shifted"].exp()
    t["total"] = t["exps"].sum(1, keepdim=True)
    t["share"] = t["total"].reciprocal()
    t["probs"] = t["exps"] * t["share"]
    t["logprobs"] = t["probs"].log()
    t["loss"] = functional.nll_loss(t["logprobs"], torch.tensor(y))
    for tensor in t.values():
        tensor.retain_grad()
    t["loss"].backward()
    return t


def test_every_value_and_every_gradient_equals_autograd():
    p, x, y = random_case()
    v = by_hand.forward(p, x, y)
    d = by_hand.backward(p, x, y, v)
    expected = by_torch(p, x, y)
    assert vars(v).keys() | vars(p).keys() == expected.keys()
    for name, ours in vars(v).items():
        np.testing.assert_allclose(ours, expected[name].detach(), **TIGHT)
    assert vars(d).keys() == expected.keys() - {"loss"}
    for name, ours in vars(d).items():
        assert ours.shape == expected[name].shape
        np.testing.assert_allclose(ours, expected[name].grad, **TIGHT, err_msg=name)


def test_the_gradient_of_the_maximum_is_passed_on_though_it_is_rounding():
    p, x, y = random_case()
    v = by_hand.forward(p, x, y)
    d = by_hand.backward(p, x, y, v)
    assert np.abs(d.top).max() > 0
    np.testing.assert_array_equal(d.top, -d.shifted.sum(axis=1, keepdims=True))
    expected = d.shifted + d.top * (v.logits == v.top)
    np.testing.assert_array_equal(d.logits, expected)


def test_the_loss_equals_the_library():
    p, x, y = random_case(seed=1)
    t = SimpleNamespace(**{name: torch.tensor(a) for name, a in vars(p).items()})
    z = t.C[x].flatten(1) @ t.W1
    z = (z - z.mean(0)) / (z.var(0, correction=1) + 1e-5).sqrt()  # b1 is of no use
    logits = torch.tanh(t.gain * z + t.bias) @ t.W2 + t.b2
    expected = functional.cross_entropy(logits, torch.tensor(y)).item()
    assert by_hand.forward(p, x, y).loss == pytest.approx(expected, rel=1e-12)


def test_large_logits_do_not_overflow():
    p, x, y = random_case()
    p.b2 = p.b2 + 1000
    assert np.isfinite(by_hand.forward(p, x, y).loss)


def test_one_step_for_cross_entropy_equals_autograd():
    rng = np.random.default_rng(2)
    logits = torch.tensor(rng.normal(size=(6, 5)), requires_grad=True)
    y = rng.integers(0, 5, 6)
    functional.cross_entropy(logits, torch.tensor(y)).backward()
    probs = logits.detach().softmax(1).numpy()
    before = probs.copy()
    ours = by_hand.cross_entropy_backward(probs, y)
    np.testing.assert_allclose(ours, logits.grad, **TIGHT)
    np.testing.assert_allclose(ours.sum(axis=1), 0, atol=1e-15)
    assert (probs == before).all()


def test_cross_entropy_by_hand():
    probs = np.array([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
    ours = by_hand.cross_entropy_backward(probs, np.array([0, 1]))
    expected = [[-0.25, 0.125, 0.125], [0.0625, -0.4375, 0.375]]
    np.testing.assert_array_equal(ours, expected)


def test_one_step_for_batch_norm_equals_autograd():
    rng = np.random.default_rng(3)
    z = torch.tensor(rng.normal(size=(6, 4)) * [0.1, 1, 5, 20], requires_grad=True)
    gain, g = rng.normal(size=4), rng.normal(size=(6, 4))
    inv = (z.var(0, correction=1) + 1e-5).rsqrt()
    z_hat = (z - z.mean(0)) * inv
    (torch.tensor(gain) * z_hat).backward(torch.tensor(g))
    z_hat, inv = z_hat.detach().numpy(), inv.detach().numpy()
    ours = by_hand.batch_norm_backward(g, z_hat, inv, gain)
    np.testing.assert_allclose(ours, z.grad, **TIGHT)
    # a shift of the whole column cannot change the loss, nor can a stretch of it
    np.testing.assert_allclose(ours.sum(axis=0), 0, atol=1e-12)
    assert abs((ours * z_hat).sum(axis=0)[2:]).max() < 1e-5


def test_batch_norm_by_hand():
    """Two examples end at plus and minus the root of 1/2, whatever they were."""
    z_hat = np.array([[-1.0], [1.0]]) / np.sqrt(2)
    g = np.array([[0.3], [-5.0]])
    ours = by_hand.batch_norm_backward(g, z_hat, np.array([4.0]), np.array([3.0]))
    np.testing.assert_allclose(ours, 0, atol=1e-14)


@pytest.mark.parametrize("n", [16, 17, 27, 31, 64])
def test_the_draws_are_those_of_torch(n):
    bits = np.random.RandomState(5)
    generator = torch.Generator().manual_seed(5)
    for _ in range(2):
        expected = torch.randn(n, generator=generator).numpy()
        np.testing.assert_allclose(by_hand.torch_randn(n, bits), expected, atol=1e-6)


@pytest.mark.parametrize("hidden", [64, 200])
def test_the_start_is_that_of_torch(hidden):
    generator = torch.Generator().manual_seed(2147483647)
    p = by_hand.start(hidden, np.random.default_rng(4))
    scales = {
        "C": ((27, 10), 1.0),
        "W1": ((30, hidden), (5 / 3) / 30**0.5),
        "b1": ((hidden,), 0.1),
        "W2": ((hidden, 27), 0.1),
        "b2": ((27,), 0.1),
    }
    for name, (shape, scale) in scales.items():
        expected = torch.randn(shape, generator=generator).numpy() * scale
        np.testing.assert_allclose(getattr(p, name), expected, atol=1e-6)
    rng = np.random.default_rng(4)
    gain, bias = rng.standard_normal((2, hidden)) / 10
    np.testing.assert_allclose(p.gain, gain + 1, rtol=1e-12)
    np.testing.assert_allclose(p.bias, bias, rtol=1e-12)


@pytest.mark.parametrize("hidden", [64, 200])
def test_the_minibatches(hidden):
    """32 windows on names: dots only before the name, or as the letter to predict."""
    x, y = by_hand.minibatch(hidden)
    assert (x.shape, y.shape) == ((32, 3), (32,))
    letters = ".abcdefghijklmnopqrstuvwxyz"
    rows = np.column_stack([x, y]).tolist()
    examples = ["".join(letters[i] for i in row) for row in rows]
    assert examples == by_hand.MINIBATCHES[hidden].split()
    for context in x.astype(bool).tolist():
        assert context == sorted(context)
    assert by_hand.minibatch(64)[1][0] == 8  # h, as the notebook shows


def test_mistakes_equal_gradients_of_networks_that_hold_something_fast():
    """Autograd makes the same mistakes where a value is detached."""
    p, x, y = random_case(seed=6)
    v = by_hand.forward(p, x, y)
    d = by_hand.backward(p, x, y, v)
    found = by_hand.mistakes(p, x, v, d)

    def cosine(a, b):
        return functional.cosine_similarity(a.ravel(), b.ravel(), dim=0).item()

    def gradient(hold_mean, hold_variance):
        """Of W1, where what is held counts as a constant."""
        t = {name: torch.tensor(a, requires_grad=True) for name, a in vars(p).items()}
        z = t["C"][x].flatten(1) @ t["W1"] + t["b1"]
        mean, inv = z.mean(0), (z.var(0, correction=1) + 1e-5).rsqrt()
        mean = mean.detach() if hold_mean else mean
        inv = inv.detach() if hold_variance else inv
        h = torch.tanh(t["gain"] * (z - mean) * inv + t["bias"])
        functional.cross_entropy(h @ t["W2"] + t["b2"], torch.tensor(y)).backward()
        return t["W1"].grad

    right = gradient(False, False)
    for name, held in {
        "constants": (True, True),
        "no_variance": (False, True),
        "no_mean": (True, False),
    }.items():
        expected = cosine(gradient(*held), right)
        assert found[name] == pytest.approx(expected, rel=1e-10)
        assert expected < 0.999

    last = np.zeros_like(p.C)
    for letter, slope in zip(x.ravel(), d.emb.reshape(-1, 3), strict=True):
        last[letter] = slope
    expected = cosine(torch.tensor(last), torch.tensor(d.C))
    assert found["last_place"] == pytest.approx(expected, rel=1e-10)
    assert found.keys() == {"constants", "no_variance", "no_mean", "last_place"}


def test_the_numbers(results):
    runs = {}
    for hidden in (64, 200):
        x, y = by_hand.minibatch(hidden)
        for seed in range(9):
            p = by_hand.start(hidden, np.random.default_rng(seed))
            t = by_torch(p, x, y)
            found = {f"loss_{hidden}": t["loss"].item()}
            if hidden == 64:
                v = by_hand.forward(p, x, y)
                d = by_hand.backward(p, x, y, v)
                found |= by_hand.mistakes(p, x, v, d)
                found["slope"] = 32 * t["logits"].grad[0, 8].item()
            for name, value in found.items():
                runs.setdefault(name, []).append(value)
    expected = {"intermediates": 20, "gradients": 26, "dots": 29}
    for name, values in runs.items():
        expected[f"{name}_median"] = statistics.median(values)
        expected[f"{name}_min"] = min(values)
        expected[f"{name}_max"] = max(values)
    # what is zero but for rounding
    zeros = {f"{a}_{b}" for a in ("gap", "b1", "top") for b in ("median", "min", "max")}
    assert results.keys() == expected.keys() | zeros
    for name, value in expected.items():
        assert results[name] == pytest.approx(value, rel=1e-9)
    assert all(0 < results[name] < 1e-15 for name in zeros)
    assert abs(results["loss_64_median"] - 3.3377) < 0.01


def test_errors():
    p, x, y = random_case()
    message = r"^x must be \(B, T\), y \(B,\), B > 1, got "
    with pytest.raises(ValueError, match=message + r"\(7, 2\), \(6,\)$"):
        by_hand.forward(p, x, y[1:])
    with pytest.raises(ValueError, match=message + r"\(7,\), \(7,\)$"):
        by_hand.forward(p, x[:, 0], y)
    with pytest.raises(ValueError, match=message + r"\(1, 2\), \(1,\)$"):
        by_hand.forward(p, x[:1], y[:1])
    assert by_hand.forward(p, x[:2], y[:2]).loss > 0
    with pytest.raises(ValueError, match=r"^n must be at least 16, got 15$"):
        by_hand.torch_randn(15, np.random.RandomState(0))
    with pytest.raises(ValueError, match=r"^hidden must be one of \[64, 200\], got 8$"):
        by_hand.minibatch(8)
