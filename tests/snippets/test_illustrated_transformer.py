"""illustrated_transformer.py against PyTorch, by hand, and the printed values."""

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import illustrated_transformer as it

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture(scope="module")
def numbers():
    return it.numbers()


# ---- six steps -----------------------------------------------------------------------


@pytest.mark.parametrize("d_k", [1, 6, 64])
def test_six_steps_equal_torch(rng, d_k):
    x = rng.standard_normal((5, 7))
    W_q, W_k = rng.standard_normal((2, 7, 6))
    W_v = rng.standard_normal((7, 4))
    got = it.six_steps(x, W_q, W_k, W_v, d_k)
    q, k, v = (torch.from_numpy(x @ W) for W in (W_q, W_k, W_v))
    want = F.scaled_dot_product_attention(q, k, v, scale=d_k**-0.5)
    np.testing.assert_allclose(got["z"], want.numpy(), **TOLERANCE)
    np.testing.assert_allclose(got["weights"].sum(axis=1), 1, **TOLERANCE)
    for name, array in (("q", q), ("k", k), ("v", v)):
        np.testing.assert_allclose(got[name], array.numpy(), **TOLERANCE)


def test_thinking_machines_by_hand():
    got = it.six_steps(it.X, it.W_Q, it.W_K, it.W_V, it.D_K)
    np.testing.assert_array_equal(got["q"], [[8, 4, 0], [3, 7, 2]])
    np.testing.assert_array_equal(got["k"], [[12, 4, 1], [10, 4, 2]])
    np.testing.assert_array_equal(got["v"], [[1, 0, 3], [1, 4, 1]])
    np.testing.assert_array_equal(got["scores"], [[112, 96], [66, 62]])
    np.testing.assert_array_equal(got["scaled"], [[14, 12], [8.25, 7.75]])
    first = 1 / (1 + math.exp(-2))
    np.testing.assert_allclose(got["weights"][0], [first, 1 - first], **TOLERANCE)
    z = [1, 4 * (1 - first), 3 * first + (1 - first)]
    np.testing.assert_allclose(got["z"][0], z, **TOLERANCE)
    np.testing.assert_allclose(
        got["weighted"][0],
        [[first, 0, 3 * first], [1 - first, 4 - 4 * first, 1 - first]],
    )


def test_the_walk_shows_every_shape():
    walk = it.walk()
    assert walk.startswith("x (2, 4)\n[[1. 0. 1. 0.]\n [0. 1. 0. 1.]]\nq (2, 3)\n")
    for part in ("scores (2, 2)", "weighted (2, 2, 3)", "z (2, 3)", "[[0.8808 0.1192]"):
        assert f"\n{part}" in walk


def test_softmax_overflows_for_no_score():
    np.testing.assert_allclose(it.softmax(np.array([1000.0, 1000.0])), [0.5, 0.5])
    np.testing.assert_allclose(
        it.softmax(np.array([[[0.0, 1.0]], [[1.0, 3.0]]])).sum(axis=-1), 1
    )


@pytest.mark.parametrize("name", ["W_q", "W_k", "W_v"])
def test_six_steps_refuse_a_wrong_matrix(name):
    given = {"W_q": it.W_Q, "W_k": it.W_K, "W_v": it.W_V}
    given[name] = np.ones((5, 3))
    with pytest.raises(ValueError, match=f"^{name} has 5 rows, want x's width 4$"):
        it.six_steps(it.X, **given, d_k=64)


def test_six_steps_refuse_a_width_of_zero():
    with pytest.raises(ValueError, match=r"^d_k is 0, want 1 or more$"):
        it.six_steps(it.X, it.W_Q, it.W_K, it.W_V, 0)


# ---- positions -----------------------------------------------------------------------


def test_the_toy_table_of_the_post():
    printed = [[0, 0, 1, 1], [0.84, 0.0001, 0.54, 1], [0.91, 0.0002, -0.42, 1]]
    for got, want in zip(it.halves(3, 4).ravel(), np.ravel(printed), strict=True):
        digits = 4 if 0 < want < 0.01 else 2
        assert round(got, digits) == want


def test_both_encodings_entry_by_entry():
    d = 12
    paper, picture = it.interleaved(9, d), it.halves(9, d)
    for pos in range(9):
        for i in range(d // 2):
            angle = pos / 10000 ** (2 * i / d)
            assert paper[pos, 2 * i] == pytest.approx(math.sin(angle), abs=1e-12)
            assert paper[pos, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-12)
            # tensor2tensor's way: exp of a negative multiple of a log increment
            angle = pos * math.exp(-i * math.log(10000) / (d // 2 - 1))
            assert picture[pos, i] == pytest.approx(math.sin(angle), abs=1e-12)
            assert picture[pos, d // 2 + i] == pytest.approx(math.cos(angle), abs=1e-12)


def test_both_turn_by_a_fixed_angle_per_step():
    for sines, cosines in (
        np.split(it.apart(it.interleaved(50, 16)), 2, axis=1),
        np.split(it.halves(50, 16), 2, axis=1),
    ):
        z = cosines + 1j * sines
        np.testing.assert_allclose(z[1:], z[:-1] * z[1], **TOLERANCE)


def test_apart_sorts_the_columns():
    np.testing.assert_array_equal(
        it.apart(np.array([[1, 2, 3, 4, 5, 6]])), [[1, 3, 5, 2, 4, 6]]
    )


@pytest.mark.parametrize("d_model", [2, 7])
@pytest.mark.parametrize("encode", [it.interleaved, it.halves])
def test_encodings_refuse_an_odd_width(encode, d_model):
    with pytest.raises(
        ValueError, match=f"^d_model is {d_model}, want an even number from 4$"
    ):
        encode(3, d_model)


# ---- three heads ---------------------------------------------------------------------


def test_the_sentence_is_that_of_the_post():
    assert " ".join(it.WORDS) == "The animal didn't cross the street because it was too"


@pytest.mark.parametrize(("last", "goes_with"), [("tired", 1), ("wide", 5)])
def test_words_as_facts_and_positions(last, goes_with):
    x = it.sentence(last)
    facts = np.zeros((11, 5))
    facts[[1, 5], 0] = 1  # animal and street: nouns
    facts[7, 1] = 1  # it: a pronoun
    facts[10, 2] = 1  # a property
    facts[1, 3] = facts[5, 4] = 1  # animal: tired, street: wide
    facts[10, 3 if last == "tired" else 4] = 1
    np.testing.assert_array_equal(x[:, :5], facts)
    np.testing.assert_array_equal(x[:, 5:], it.interleaved(11, 4))
    assert facts[goes_with, :5] @ facts[10, :5] == 1


@pytest.mark.parametrize("d_k", [1, 4, 64])
@pytest.mark.parametrize("last", ["tired", "wide"])
@pytest.mark.parametrize("head", it.HEADS)
def test_heads_equal_torchs_attention(head, last, d_k):
    """Queries, keys and values from the words' facts, the rest by PyTorch."""
    x = torch.from_numpy(it.sentence(last))

    def attend(q, k, x):
        v = x[:, [0, 3, 4]]
        return F.scaled_dot_product_attention(q, k, v, scale=d_k**-0.5)

    if head == "the word before":
        t = np.arange(-1, 11)[:, None] * [1, 0.01]
        pe = torch.from_numpy(10 * np.concatenate([np.sin(t), np.cos(t)], axis=1))
        q, k = pe[:-1], pe[1:]
    else:
        q, k = 4 * x[:, [1]], 3 * x[:, [2]]
    if head == "who is meant":
        z = attend(q, k, x)
        x[:, 3] += z[:, 1]
        x[:, 4] += z[:, 2]
        q, k = 4 * x[:, [1, 3, 4]], 2 * x[:, [0, 3, 4]]
    got = it.look(head, last, d_k)
    np.testing.assert_allclose(got["z"], attend(q, k, x).numpy(), **TOLERANCE)
    np.testing.assert_allclose(got["scores"], (q @ k.T).numpy(), **TOLERANCE)
    assert got["q"].shape == got["k"].shape == (11, 4)


def test_what_the_page_says_of_the_heads():
    before = it.look("the word before")["weights"]
    assert before.argmax(axis=1).tolist() == [5, *range(10)]
    assert np.sort(before[1:], axis=1)[:, -2].max() < 0.12  # six positions further
    said = {last: it.look("what is said", last) for last in ("tired", "wide")}
    np.testing.assert_array_equal(said["tired"]["weights"], said["wide"]["weights"])
    others = np.delete(np.arange(11), 7)
    np.testing.assert_allclose(said["tired"]["weights"][others], 1 / 11)
    tired, wide = (it.look("who is meant", last)["weights"] for last in said)
    mirror = [0, 5, 2, 3, 4, 1, 6, 7, 8, 9, 10]  # animal and street trade places
    np.testing.assert_allclose(tired, wide[mirror][:, mirror], **TOLERANCE)
    assert tired[7, 1] > 0.95
    assert it.look("who is meant")["z"].shape == (11, 3)
    np.testing.assert_array_equal(
        it.look("what is said")["z"], it.look("what is said", "tired", 4)["z"]
    )


def test_no_single_layer_learns_of_the_last_word(rng):
    """The ratio of two weights of "it" is the same whatever the matrices."""
    W_q, W_k, W_v = rng.standard_normal((3, 9, 4))
    tired, wide = (
        it.six_steps(it.sentence(last), W_q, W_k, W_v, 4)["weights"][7]
        for last in ("tired", "wide")
    )
    assert tired[1] / tired[5] == pytest.approx(wide[1] / wide[5], rel=1e-12)
    assert abs(tired[1] / wide[1] - 1) > 0.01


def test_heads_refuse_what_they_do_not_know():
    with pytest.raises(ValueError, match=r"^last is 'old', want 'tired' or 'wide'$"):
        it.look("who is meant", "old")
    names = "('the word before', 'what is said', 'who is meant')"
    match = "^" + re.escape(f"head is 'who', want one of {names}") + "$"
    with pytest.raises(ValueError, match=match):
        it.matrices("who")


# ---- loss ----------------------------------------------------------------------------


def test_loss_and_gradient_equal_torch(rng):
    logits = torch.from_numpy(rng.standard_normal((3, 4, 6))).requires_grad_()
    target = torch.from_numpy(rng.integers(0, 6, (3, 4)))
    loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    loss.sum().backward()
    p = logits.detach().softmax(-1).numpy()
    got, gradient = it.cross_entropy(p, target.numpy())
    np.testing.assert_allclose(got.ravel(), loss.detach().numpy(), **TOLERANCE)
    np.testing.assert_allclose(gradient, logits.grad.numpy(), **TOLERANCE)


def test_the_likeliest_words_are_the_translation():
    words = [it.VOCABULARY[i] for i in it.TRAINED.argmax(axis=1)]
    assert words == ["I", "am", "a", "student", "<eos>"]
    assert words == [it.VOCABULARY[i] for i in it.TARGETS]
    assert it.VOCABULARY[3] == "thanks"


def test_the_untrained_words_are_nearly_alike():
    assert it.UNTRAINED.tolist() == [0.2, 0.2, 0.1, 0.2, 0.2, 0.1]


@pytest.mark.parametrize("target", [-1, 6])
def test_loss_refuses_an_unknown_word(target):
    with pytest.raises(
        ValueError, match=rf"^target is {target}, want indices from 0 to 5$"
    ):
        it.cross_entropy(it.UNTRAINED, np.array(target))


# ---- numbers -------------------------------------------------------------------------


def test_numbers_by_hand(numbers):
    small = 1 / (1 + math.exp(16))
    losses = [-math.log(p) for p in (0.93, 0.80, 0.99, 0.94, 0.98)]
    want = {
        "score_1_1": 112,
        "score_1_2": 96,
        "scaled_1_1": 14,
        "scaled_1_2": 12,
        "weight_1_1": 1 / (1 + math.exp(-2)),
        "weight_1_2": 1 / (1 + math.exp(2)),
        "weight_unscaled_1_1": 1 - small,
        "weight_unscaled_1_2": small,
        "weight_1_1_dk256": 1 / (1 + math.exp(-1)),
        "loss_untrained": math.log(5),
        "loss_uniform": math.log(6),
        "gradient_untrained_thanks": -0.8,
        "loss_trained_mean": sum(losses) / 5,
        "loss_trained_worst": math.log(1.25),
        "row_sum_min": 0.974,
        "row_sum_max": 1.010,
        "projections_8_heads": 786432,
    }
    for name, pairs in (("paper", (1, 0.01)), ("picture", (1, 0.0001))):
        for pos in (1, 2):
            s, c = ([f(pos * w) for w in pairs] for f in (math.sin, math.cos))
            row = [s[0], c[0], s[1], c[1]] if name == "paper" else s + c
            for column, value in enumerate(row, 1):
                want[f"{name}_pos{pos}_column{column}"] = value
    # "it" asks 4 for nouns, and 4 times what "what is said" brought for tired and wide
    share, rest = math.exp(6) / (math.exp(6) + 10), 1 / (math.exp(6) + 10)
    mean = {"tired": 2 / 11, "wide": 1 / 11}
    brought = {"tired": share + rest, "wide": rest}
    v = [{"noun": 0, **mean} for _ in range(11)]
    v[1] = {"noun": 1, "tired": 1 + mean["tired"], "wide": mean["wide"]}
    v[5] = {"noun": 1, "tired": mean["tired"], "wide": 1 + mean["wide"]}
    v[7] = {"noun": 0, **brought}
    v[10] = {"noun": 0, "tired": 1 + mean["tired"], "wide": mean["wide"]}
    ask = {"noun": 1, **brought}
    scores = [8 * sum(ask[fact] * word[fact] for fact in word) for word in v]
    total = sum(math.exp(score / 2) for score in scores)
    weights = [math.exp(score / 2) / total for score in scores]
    for j in range(11):
        want[f"it_scores_{j + 1}"] = scores[j]
        want[f"it_scaled_{j + 1}"] = scores[j] / 2
        want[f"it_weights_{j + 1}"] = weights[j]
        want |= {f"it_{fact}_{j + 1}": v[j][fact] for fact in v[j]}
    for fact in ("noun", "tired", "wide"):
        pairs = zip(weights, v, strict=True)
        want[f"it_{fact}_sum"] = sum(w * word[fact] for w, word in pairs)
    want["it_animal_tired"] = want["it_street_wide"] = weights[1]
    want["it_street_tired"] = want["it_animal_wide"] = weights[5]
    want["mean_tired"] = 2 / 11
    # cosines of one position and of none, or of six more: the two that compete
    gap = 50 * (2 - math.cos(6) - math.cos(0.06))
    want["before_6"], want["before_0"] = 1 / (1 + math.exp(-gap)), math.exp(-gap)
    want["before_0"] *= want["before_6"]
    want["before_6_doubled"] = 1 / (1 + math.exp(-4 * gap))
    # a sine and a cosine of one position differ by a chord of half the angle between
    i = np.arange(256)
    for n in (20, 100, 1000):
        pos = np.arange(n)[:, None]
        a, b = (pos * np.exp(-i * math.log(10000) / steps) for steps in (256, 255))
        chord = 2 * np.abs(np.sin((a - b) / 2))
        sine, cosine = (chord * np.abs(f((a + b) / 2)) for f in (np.cos, np.sin))
        want[f"gap_max_d512_{n}_positions"] = max(sine.max(), cosine.max())
    assert numbers == pytest.approx(want, rel=1e-9)


def test_doubled_queries_and_keys_have_fourfold_scores(monkeypatch, numbers):
    """What the first head would give "because" and, for want of another, "street"."""
    W_q, W_k, W_v = it.matrices("the word before")
    monkeypatch.setattr(it, "matrices", lambda head: (2 * W_q, 2 * W_k, W_v))
    weights = it.look("the word before")["weights"]
    assert weights[7, 6] == pytest.approx(numbers["before_6_doubled"], rel=1e-9)
    assert weights[0, 5] > 0.999


def test_the_last_word_reaches_every_row_of_what_is_said():
    tired, wide = (it.look("what is said", last)["z"] for last in ("tired", "wide"))
    change = np.abs(tired - wide).max(axis=1)
    assert change.argmax() == 7
    np.testing.assert_allclose(np.delete(change, 7), 1 / 11)
