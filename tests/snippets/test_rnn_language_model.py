"""rnn_language_model.py against torch.nn.RNN and autograd, and by hand."""

import math
from itertools import product

import numpy as np
import pytest
import torch

import rnn_language_model as lm

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
C, H = 7, 5
X = np.array([2, 0, 6, 6, 1, 3])


@pytest.fixture
def layers():
    return lm.random_layers([(C, H), (H, H), (C, H)], np.random.default_rng(1))


def torch_states(x, layers, bidirectional=False):
    """States by torch.nn.RNN, the layers stacked or side by side."""
    kind = {"bidirectional": True} if bidirectional else {"num_layers": len(layers)}
    rnn = torch.nn.RNN(C, H, bias=False, dtype=torch.float64, **kind)
    names = ["l0", "l0_reverse"] if bidirectional else ["l0", "l1"]
    weights = {}
    for (U, W), name in zip(layers, names, strict=False):
        weights[f"weight_ih_{name}"] = torch.as_tensor(U)
        weights[f"weight_hh_{name}"] = torch.as_tensor(W)
    one_hot = torch.eye(C, dtype=torch.float64)[x]
    return torch.func.functional_call(rnn, weights, (one_hot,))[0]


@pytest.mark.parametrize("depth", [1, 2])
def test_plain_and_deep_equal_torch(layers, depth):
    expected = torch_states(X, layers[:depth])
    np.testing.assert_allclose(lm.deep_states(X, layers[:depth]), expected, **TOLERANCE)


def test_bidirectional_equals_torch(layers):
    ours = lm.bidirectional_states(X, layers[0], layers[2])
    expected = torch_states(X, [layers[0], layers[2]], bidirectional=True)
    np.testing.assert_allclose(ours, expected, **TOLERANCE)


def test_outputs_and_loss_equal_torch(layers):
    V = np.random.default_rng(2).standard_normal((C, H))
    log_o = lm.predict(lm.deep_states(X, layers[:1]), V)
    scores = torch_states(X, layers[:1]) @ torch.tensor(V).T
    np.testing.assert_allclose(log_o, torch.log_softmax(scores, dim=1), **TOLERANCE)
    expected = torch.nn.functional.cross_entropy(
        scores[:-1], torch.tensor(X[1:]), reduction="none"
    )
    np.testing.assert_allclose(lm.nats(log_o, X), expected, **TOLERANCE)


def test_hand_example():
    s0 = math.tanh(0.5)
    s1 = math.tanh(-0.5 + 0.5 * s0), math.tanh(0.5)
    layer = (lm.HAND_U, lm.HAND_W)
    s = lm.deep_states(np.array([0, 1]), [layer])
    np.testing.assert_allclose(s, [[s0, 0], s1], **TOLERANCE)
    total = math.exp(s1[0]) + math.exp(s1[1]) + math.exp(-s1[0] - s1[1])
    o = np.exp(lm.predict(s, lm.HAND_V))
    expected = np.exp([*s1, -s1[0] - s1[1]]) / total
    np.testing.assert_allclose(o[1], expected, **TOLERANCE)
    np.testing.assert_allclose(o[0], [0.4934, 0.3108, 0.1958], atol=1e-4)


def test_the_exercise_by_hand():
    """One step more than the worked example: reads word 2."""
    s = lm.deep_states(np.array([0, 1, 2]), [(lm.HAND_U, lm.HAND_W)])
    s1 = math.tanh(-0.5 + 0.5 * math.tanh(0.5)), math.tanh(0.5)
    expected = math.tanh(0.5 * s1[0]), math.tanh(-0.5 + 0.5 * s1[1])
    np.testing.assert_allclose(s[2], expected, **TOLERANCE)


def test_the_quoted_numbers_are_those_of_the_example():
    found, second = lm.numbers(), math.tanh(-0.5 + 0.5 * math.tanh(0.5))
    states = [[math.tanh(0.5), 0], [second, math.tanh(0.5)]]
    for t, (a, b) in enumerate(states):
        scores = np.exp([a, b, -a - b])
        assert [found[f"hand_s{t}_{i}"] for i in (0, 1)] == pytest.approx([a, b])
        outputs = [found[f"hand_o{t}_{i}"] for i in (0, 1, 2)]
        assert outputs == pytest.approx(scores / scores.sum(), abs=1e-12)
    assert found["hand_s1_0_without_w"] == pytest.approx(-math.tanh(0.5), abs=1e-12)
    assert found["continuations"] == 3**4
    # the copier's margin at 50 words, and the price of guessing among them
    margin = 10 * math.tanh(4 * math.tanh(4))
    assert found["copier_nats"] == pytest.approx(math.log1p(49 * math.exp(-margin)))
    assert found["noise_nats"] == pytest.approx(math.log(50), abs=1e-12)


def test_huge_scores_overflow_nothing():
    scores = np.array([[1000.0, 999.0], [-2000.0, 0.0]])
    expected = torch.log_softmax(torch.tensor(scores), dim=1)
    np.testing.assert_allclose(lm.predict(scores, np.eye(2)), expected, **TOLERANCE)


def test_two_words_are_enough_for_a_score():
    log_o = np.log([[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_allclose(lm.nats(log_o, np.array([1, 0])), [math.log(4)])


def test_random_layers_keep_the_size_of_what_comes_in():
    """Entries of variance one over the number of inputs, in U and in W."""
    layers = lm.random_layers([(400, 100), (100, 900)], np.random.default_rng(0))
    assert [(U.shape, W.shape) for U, W in layers] == [
        ((100, 400), (100, 100)),
        ((900, 100), (900, 900)),
    ]
    for U, W in layers:
        assert U.std() * U.shape[1] ** 0.5 == pytest.approx(1, abs=0.05)
        assert W.std() * W.shape[1] ** 0.5 == pytest.approx(1, abs=0.05)


def test_without_w_the_steps_are_independent(layers):
    U, W = layers[0]
    order = np.array([3, 0, 5, 1, 4, 2])
    s = lm.deep_states(X, [(U, 0 * W)])
    np.testing.assert_array_equal(lm.deep_states(X[order], [(U, 0 * W)]), s[order])
    full = lm.deep_states(X, [(U, W)])
    assert not np.allclose(lm.deep_states(X[order], [(U, W)]), full[order])


def test_continuations_share_a_probability_of_one(layers):
    V = np.random.default_rng(2).standard_normal((C, H))
    total = 0.0
    for words in product(range(C), repeat=3):
        x = np.array([4, *words])
        log_o = lm.predict(lm.deep_states(x, layers[:2]), V)
        total += math.exp(-lm.nats(log_o, x).sum())
    assert total == pytest.approx(1, abs=1e-12)
    assert lm.numbers()["total_probability"] == pytest.approx(1, abs=1e-12)


def test_generation_follows_the_scores():
    """Pairs drawn after word 0, against their probabilities."""
    layer, rng, n = [(3 * lm.HAND_U, lm.HAND_W)], np.random.default_rng(0), 3000
    V = 2 * lm.HAND_V
    drawn = [tuple(lm.generate(layer, V, 0, 2, rng)) for _ in range(n)]
    for words in product(range(3), repeat=2):
        x = np.array([0, *words])
        q = math.exp(-lm.nats(lm.predict(lm.deep_states(x, layer), V), x).sum())
        share = sum(d == (0, *words) for d in drawn) / n
        assert abs(share - q) < 5 * math.sqrt(q * (1 - q) / n)


# back through the steps


def test_terms_are_the_gradients_of_untied_copies(layers):
    """One copy of U and W per step in torch: each copy's gradient is one term."""
    (U, W), target = layers[0], 3
    V = np.random.default_rng(2).standard_normal((C, H))
    copies = [
        tuple(torch.tensor(w, requires_grad=True) for w in (U, W))
        for _ in range(len(X))
    ]
    s = torch.zeros(H, dtype=torch.float64)
    for word, (U_copy, W_copy) in zip(X, copies, strict=True):
        s = torch.tanh(U_copy[:, word] + W_copy @ s)
    (-torch.log_softmax(torch.tensor(V) @ s, dim=0)[target]).backward()
    np.testing.assert_allclose(s.detach(), lm.deep_states(X, layers[:1])[-1])
    dU, dW = lm.gradient_terms(X, target, layers[0], V)
    for k, (U_copy, W_copy) in enumerate(copies):
        np.testing.assert_allclose(dU[k], U_copy.grad, **TOLERANCE)
        np.testing.assert_allclose(dW[k], W_copy.grad, **TOLERANCE)


def test_number_of_terms():
    results = lm.numbers()
    assert [results[f"terms_{name}_word_4"] for name in "uw"] == [4, 3]
    assert [results[f"terms_{name}_word_5"] for name in "uw"] == [5, 4]
    assert results["steps_back_word_4"] == 3


# who sees whom


def test_who_sees_whom(layers):
    rng = np.random.default_rng(2)
    V, V_two = rng.standard_normal((C, H)), rng.standard_normal((C, 2 * H))
    past = np.tri(len(X), dtype=bool)
    for stack in (layers[:1], layers[:2]):
        seen = lm.who_sees_whom(
            lambda x, s=stack: lm.predict(lm.deep_states(x, s), V), X
        )
        np.testing.assert_array_equal(seen, past)

    def read(x):
        return lm.predict(lm.bidirectional_states(x, layers[0], layers[2]), V_two)

    seen = lm.who_sees_whom(read, X)
    assert seen.all()
    assert seen.dtype == bool
    (U, W), _, _ = layers
    alone = lm.who_sees_whom(lambda x: lm.deep_states(x, [(U, 0 * W)]), X)
    np.testing.assert_array_equal(alone, np.eye(len(X), dtype=bool))


def test_the_copier_knows_every_next_word_of_noise():
    x = np.random.default_rng(5).integers(0, 9, 60)
    ahead, back, V = lm.copier(9)
    log_o = lm.predict(lm.bidirectional_states(x, ahead, back), V)
    np.testing.assert_array_equal(log_o[:-1].argmax(axis=1), x[1:])
    one = 10 * math.tanh(4 * math.tanh(4))
    expected = math.log1p(8 * math.exp(-one))
    np.testing.assert_allclose(lm.nats(log_o, x), expected, rtol=1e-9)
    assert ahead[0].shape == back[0].shape == (18, 9)
    assert V.shape == (9, 36)


# counting


def test_parameters_equal_torch():
    def count(module):
        return sum(w.numel() for w in module.parameters())

    for kind, maps in ((torch.nn.RNN, 1), (torch.nn.GRU, 3), (torch.nn.LSTM, 4)):
        for depth, directions in product((1, 2, 3), (1, 2)):
            two = directions == 2
            net = kind(11, 6, num_layers=depth, bias=False, bidirectional=two)
            out = torch.nn.Linear(directions * 6, 11, bias=False)
            expected = count(net) + count(out)
            assert lm.parameters(11, 6, depth, directions, maps) == expected


def test_quoted_counts():
    """8,000 words, 100 units: from the matrices' shapes, and the plain default."""
    found, UV, W = lm.numbers(), 2 * 8000 * 100, 100 * 100
    assert lm.parameters(8000, 100) == found["plain"] == UV + W
    assert found["two_layers"] == UV + 3 * W
    assert found["bidirectional"] == 2 * (UV + W)
    assert found["lstm"] == 4 * (8000 * 100 + W) + 8000 * 100
    assert found["unshared_5"] == 5 * UV + 4 * W
    assert found["unshared_20"] == 20 * UV + 19 * W


def test_unshared_is_a_chain_of_separate_matrices():
    chain = [(6, 11), (11, 6)] * 4 + [(6, 6)] * 3
    assert lm.parameters_unshared(11, 6, 4) == sum(a * b for a, b in chain)
    assert lm.parameters_unshared(11, 6, 1) == 2 * 66


# bad input


def test_bad_input_says_what_is_wrong(layers):
    U, W = layers[0]
    for wrong in (X + 1, X - 1, X[:0], X[None]):
        with pytest.raises(ValueError, match=r"x must be a row of indices in \[0, 7\)"):
            lm.deep_states(wrong, layers[:1])
    with pytest.raises(ValueError, match=r"got \(6, 5\) and \(4, 5\)"):
        lm.recurrence(lm.columns(U, X), W[1:])
    with pytest.raises(ValueError, match="x must have >= 2 words, got 1"):
        lm.nats(np.zeros((1, C)), X[:1])
    for C_, H_, depth, directions, maps in (
        (0, 5, 1, 1, 1),
        (5, 0, 1, 1, 1),
        (5, 5, 0, 1, 1),
        (5, 5, 1, 3, 1),
        (5, 5, 1, 1, 0),
    ):
        message = (
            "sizes must be >= 1 and directions 1 or 2, "
            f"got {C_}, {H_}, {depth}, {maps} and {directions} directions"
        )
        with pytest.raises(ValueError, match=message):
            lm.parameters(C_, H_, depth, directions, maps)
