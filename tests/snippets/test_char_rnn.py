"""char_rnn.py against torch, central differences and worked examples."""

import math
import statistics
import subprocess
import sys
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import char_rnn

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
V, H, T = 7, 5, 9


@pytest.fixture
def case():
    """One model with weights large enough that every term counts, and a chunk."""
    rng = np.random.default_rng(11)
    shapes = {
        "W_xh": (V, H),
        "W_hh": (H, H),
        "W_hy": (H, V),
        "b_h": (1, H),
        "b_y": (1, V),
    }
    p = {name: 0.7 * rng.standard_normal(shape) for name, shape in shapes.items()}
    x, targets = rng.integers(0, V, T), rng.integers(0, V, T)
    return p, x, targets, rng.uniform(-1, 1, (1, H))


def torch_loss(p, x, targets, h):
    """The same network from torch's own parts: nn.RNN and cross_entropy."""
    V, H = p["W_xh"].shape
    rnn = torch.nn.RNN(V, H, dtype=torch.float64)
    weights = {
        "weight_ih_l0": p["W_xh"].T,
        "weight_hh_l0": p["W_hh"].T,
        "bias_ih_l0": p["b_h"][0],
        "bias_hh_l0": torch.zeros(H, dtype=torch.float64),
    }
    one_hot = torch.eye(V, dtype=torch.float64)[x]
    states, last = torch.func.functional_call(rnn, weights, (one_hot, h))
    scores = states @ p["W_hy"] + p["b_y"]
    loss = torch.nn.functional.cross_entropy(scores, targets, reduction="sum")
    return loss, states, scores, last


def test_forward_equals_torch(case):
    p, x, targets, h = case
    hs, log_p = char_rnn.forward(p, x, h)
    tensors = {name: torch.tensor(w) for name, w in p.items()}
    _, states, scores, last = torch_loss(
        tensors, torch.tensor(x), torch.tensor(targets), torch.tensor(h)
    )
    np.testing.assert_array_equal(hs[:1], h)
    np.testing.assert_allclose(hs[1:], states, **TOLERANCE)
    np.testing.assert_allclose(hs[-1:], last, **TOLERANCE)
    np.testing.assert_allclose(log_p, scores.log_softmax(-1), **TOLERANCE)


def test_gradients_equal_torch_autograd(case):
    p, x, targets, h = case
    loss, grads, last = char_rnn.loss_and_gradients(p, x, targets, h)
    tensors = {name: torch.tensor(w, requires_grad=True) for name, w in p.items()}
    expected, states, _, _ = torch_loss(
        tensors, torch.tensor(x), torch.tensor(targets), torch.tensor(h)
    )
    expected.backward()
    np.testing.assert_allclose(loss, expected.item(), **TOLERANCE)
    np.testing.assert_allclose(last, states[-1:].detach(), **TOLERANCE)
    assert grads.keys() == p.keys()
    for name, tensor in tensors.items():
        np.testing.assert_allclose(grads[name], tensor.grad, **TOLERANCE, err_msg=name)


def test_gradients_equal_central_differences(case):
    """The source's own check, 10 entries each, on every kind of parameter."""
    p, x, targets, h = case
    _, grads, _ = char_rnn.loss_and_gradients(p, x, targets, h)
    rng, delta = np.random.default_rng(0), 1e-5
    for name, w in p.items():
        for entry in rng.integers(0, w.size, 10):
            losses = []
            for step in (delta, -delta):
                moved = w.copy()
                moved.flat[entry] += step
                loss, _, _ = char_rnn.loss_and_gradients(
                    p | {name: moved}, x, targets, h
                )
                losses.append(loss)
            numeric, ours = (losses[0] - losses[1]) / (2 * delta), grads[name].flat
            # an unused row of W_xh has gradient 0 exactly: there a ratio would be 0 / 0
            assert abs(numeric - ours[entry]) <= 1e-7 * max(1, abs(numeric)), name


def test_hand_example():
    """Two letters, one unit, all weights 1, no bias: every number by hand."""
    p = {name: np.ones((1, 1)) for name in ("W_hh", "b_h")}
    p |= {"W_xh": np.array([[1.0], [-1.0]]), "W_hy": np.array([[1.0, 0.0]])}
    p |= {"b_h": np.zeros((1, 1)), "b_y": np.zeros((1, 2))}
    h1 = math.tanh(1.0)  # reads letter 0
    h2 = math.tanh(h1 - 1.0)  # then letter 1
    hs, log_p = char_rnn.forward(p, np.array([0, 1]), np.zeros((1, 1)))
    np.testing.assert_allclose(hs, [[0], [h1], [h2]], **TOLERANCE)
    np.testing.assert_allclose(
        log_p[:, 0], [-math.log1p(math.exp(-h1)), -math.log1p(math.exp(-h2))]
    )


def test_leading_axis_trains_models_side_by_side():
    ids, alphabet = char_rnn.encode("side by side, each as if it were alone. ")
    stacked = char_rnn.init_params(
        len(alphabet), 6, [np.random.default_rng(s) for s in (3, 4)]
    )
    both = list(islice(char_rnn.training(stacked, ids, 8), 20))
    for row, seed in enumerate((3, 4)):
        p = char_rnn.init_params(len(alphabet), 6, [np.random.default_rng(seed)])
        alone = list(islice(char_rnn.training(p, ids, 8), 20))
        np.testing.assert_allclose(np.array(both)[:, row], np.array(alone)[:, 0])
        for name, w in p.items():
            np.testing.assert_allclose(stacked[name][row], w[0], **TOLERANCE)


def test_initial_parameters():
    rngs = [np.random.default_rng(0), np.random.default_rng(1)]
    p = char_rnn.init_params(65, 100, rngs)
    assert {name: w.shape for name, w in p.items()} == {
        "W_xh": (2, 65, 100),
        "W_hh": (2, 100, 100),
        "W_hy": (2, 100, 65),
        "b_h": (2, 1, 100),
        "b_y": (2, 1, 65),
    }
    assert not p["b_h"].any()
    assert not p["b_y"].any()
    for name in ("W_xh", "W_hh", "W_hy"):
        assert p[name].std() == pytest.approx(0.01, rel=0.02)
        assert abs(p[name].mean()) < 3e-4
        assert not np.array_equal(p[name][0], p[name][1])


def test_training_is_clipped_adagrad_with_carried_state():
    """Three updates by torch: autograd, clamp, and torch.optim.Adagrad.

    Our 1e-8 stands inside the root, as a start value of torch's accumulator does. The
    clip is so low that it acts on most entries. The text has 8 pairs, so chunks of 5
    and 3, then a fresh sweep: the state is carried once and dropped once.
    """
    ids = np.array([0, 2, 6, 1, 3, 3, 5, 4, 0])
    p = char_rnn.init_params(V, H, [np.random.default_rng(2)])
    for name in p:
        p[name] *= 50
    start = {
        name: torch.tensor(w[0].copy(), requires_grad=True) for name, w in p.items()
    }
    optimizer = torch.optim.Adagrad(
        start.values(), lr=0.1, eps=0, initial_accumulator_value=1e-8
    )
    zero = torch.zeros(1, H, dtype=torch.float64)
    expected, clipped, h = [], 0, zero
    for a, b, fresh in ((0, 5, True), (5, 8, False), (0, 5, True)):
        optimizer.zero_grad()
        chunk = torch.tensor(ids[a:b]), torch.tensor(ids[a + 1 : b + 1])
        loss, _, _, h = torch_loss(start, *chunk, zero if fresh else h)
        h = h.detach()
        loss.backward()
        for w in start.values():
            clipped += int((w.grad.abs() > 0.05).sum())
            w.grad.clamp_(-0.05, 0.05)
        optimizer.step()
        expected.append(loss.item() / (b - a))
    losses = list(islice(char_rnn.training(p, ids, 5, clip=0.05), 3))
    assert clipped > 100
    np.testing.assert_allclose(np.array(losses)[:, 0], expected, **TOLERANCE)
    for name, w in start.items():
        np.testing.assert_allclose(p[name][0], w.detach(), **TOLERANCE, err_msg=name)


def test_defaults_of_training_are_those_of_the_source():
    ids = np.arange(60) % 7
    p, q = (char_rnn.init_params(7, 4, [np.random.default_rng(0)]) for _ in range(2))
    ours = np.array(list(islice(char_rnn.training(p, ids), 5)))
    named = np.array(list(islice(char_rnn.training(q, ids, 25, 0.1, 5.0), 5)))
    np.testing.assert_array_equal(ours, named)


def test_a_chunk_may_be_one_letter():
    ids = np.array([0, 2, 1])
    p = char_rnn.init_params(3, 4, [np.random.default_rng(0)])
    fresh = {name: w.copy() for name, w in p.items()}
    (loss,) = next(char_rnn.training(p, ids, 1))
    h = np.zeros_like(fresh["b_h"])
    expected, _, _ = char_rnn.loss_and_gradients(fresh, ids[:1], ids[1:2], h)
    assert loss == expected[0]


def test_chunks_cover_every_pair_once():
    ids = np.arange(12)
    x, targets = zip(*char_rnn.chunks(ids, 5), strict=True)
    assert [len(c) for c in x] == [5, 5, 1]
    np.testing.assert_array_equal(np.concatenate(x), ids[:-1])
    np.testing.assert_array_equal(np.concatenate(targets), ids[1:])


def test_truncation_changes_gradient_but_not_loss(case):
    p, *_ = case
    p = {name: w[None] for name, w in p.items()}
    ids = np.random.default_rng(3).integers(0, V, 31)
    whole_loss, whole = char_rnn.truncated_gradient(p, ids, 30)
    h = np.zeros((1, 1, H))
    loss, grads, _ = char_rnn.loss_and_gradients(p, ids[:-1], ids[1:], h)
    np.testing.assert_allclose(whole_loss, loss, **TOLERANCE)
    np.testing.assert_allclose(whole[0], grads["W_hh"].ravel(), **TOLERANCE)
    errors = []
    for length in (1, 5, 15):
        loss, gradient = char_rnn.truncated_gradient(p, ids, length)
        np.testing.assert_allclose(loss, whole_loss, **TOLERANCE)
        errors.append(np.linalg.norm(gradient - whole))
    assert min(errors) > 1e-3


def test_entropies_by_hand():
    # letters that follow: e l l o; the pairs he el ll lo, one bit of doubt after l
    unigram, bigram = char_rnn.entropies(char_rnn.encode("hello")[0])
    assert unigram == pytest.approx(1.5 * math.log(2))
    assert bigram == pytest.approx(math.log(2) / 2)
    assert char_rnn.entropies(np.array([0, 1] * 9))[1] == pytest.approx(0)
    # aaab: only a is ever read; b follows once in three
    doubt = -(2 * math.log(2 / 3) + math.log(1 / 3)) / 3
    np.testing.assert_allclose(char_rnn.entropies(np.array([0, 0, 0, 1])), [doubt] * 2)


def test_encode_round_trip():
    ids, alphabet = char_rnn.encode("hello")
    assert alphabet == ["e", "h", "l", "o"]
    assert ids.tolist() == [1, 0, 2, 2, 3]


def test_text_loss_is_the_loss_per_letter(case):
    p, x, targets, _ = case
    ids = np.append(x, targets[0])
    loss, _, _ = char_rnn.loss_and_gradients(p, ids[:-1], ids[1:], np.zeros((1, H)))
    assert char_rnn.text_loss(p, ids) == pytest.approx(loss / len(x), rel=1e-12)


# sampling


def test_sampling_near_zero_is_argmax(case):
    p, *_ = case
    out = char_rnn.sample(p, 0, 30, 1e-6, np.random.default_rng(0))
    ids, h = [0], np.zeros((1, H))
    for _ in range(30):
        hs, log_p = char_rnn.forward(p, np.array(ids[-1:]), h)
        h = hs[1:]
        ids.append(int(log_p.argmax()))
    assert out == ids[1:]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_sampling_frequencies_are_the_softmax(case, temperature):
    """First letters over many draws, against softmax(y / T) by torch."""
    p, *_ = case
    rng = np.random.default_rng(4)
    draws = [char_rnn.sample(p, 2, 1, temperature, rng)[0] for _ in range(6000)]
    h = np.tanh(p["W_xh"][2] + p["b_h"][0])
    scores = torch.tensor(h @ p["W_hy"] + p["b_y"][0])
    expected = (scores / temperature).softmax(0).numpy()
    frequencies = np.bincount(draws, minlength=V) / 6000
    # five standard deviations of a frequency
    assert np.all(
        np.abs(frequencies - expected)
        < 5 * np.sqrt(expected * (1 - expected) / 6000) + 1e-9
    )


def test_sampling_carries_its_state(case):
    """With W_xh = 0 the letters say nothing: only the state can change the scores."""
    p, *_ = case
    p["W_xh"] = np.zeros((V, H))
    out = char_rnn.sample(p, 0, 8, 1e-6, np.random.default_rng(0))
    h, expected = np.zeros((1, H)), []
    for _ in range(8):
        h = np.tanh(h @ p["W_hh"] + p["b_h"])
        expected.append(int((h @ p["W_hy"] + p["b_y"]).argmax()))
    assert out == expected


# what trains: the direction that holds for every seed


def test_every_hello_run_beats_the_memoryless_bound():
    p, losses = char_rnn.run(*char_rnn.HELLO_RUN)
    ids, _ = char_rnn.encode("hello")
    assert losses.shape == (500, 20)
    np.testing.assert_allclose(losses[0], math.log(4), atol=1e-3)
    assert char_rnn.text_loss(p, ids).max() < math.log(2) / 2
    _, log_p = char_rnn.forward(p, ids[:-1], np.zeros_like(p["b_h"]))
    assert (log_p.argmax(-1) == ids[1:]).all()


@pytest.fixture(scope="module")
def page_numbers():
    return char_rnn.numbers()


def test_first_loss_is_that_of_a_uniform_guess(page_numbers):
    assert page_numbers["first_chunk_v65_nats_min"] == pytest.approx(
        25 * math.log(65), abs=0.05
    )
    assert page_numbers["first_chunk_v65_nats_max"] == pytest.approx(
        25 * math.log(65), abs=0.05
    )


def test_every_sonnet_run_passes_both_lines(page_numbers):
    ids, _ = char_rnn.encode(char_rnn.SONNET)
    _, losses = char_rnn.run(*char_rnn.SONNET_RUN)
    unigram, bigram = char_rnn.entropies(ids)
    assert bigram < unigram < math.log(len(set(char_rnn.SONNET)))
    assert (losses[:25].mean(axis=0) > unigram).all()
    assert page_numbers["sonnet_final_nats_max"] < bigram / 3
    assert page_numbers["sonnet_sweeps_to_pass_bigram_min"] > 1


def test_longer_memory_of_the_gradient_points_better(page_numbers):
    lengths = (1, 5, 25, 100)
    for near, far in pairwise(lengths):
        medians = [page_numbers[f"cosine_t{n}_median"] for n in (near, far)]
        assert medians[0] < medians[1] < 1
    assert page_numbers["cosine_t1_max"] < page_numbers["cosine_t25_min"]
    assert page_numbers["loss_gap_t1_nats"] < 1e-10


def test_heat_costs_spelling_and_cold_repeats(page_numbers):
    known = [f"known_words_temperature_{t}" for t in ("0_5", "1", "2")]
    for cool, warm in pairwise(known):
        assert page_numbers[f"{cool}_median"] > page_numbers[f"{warm}_max"]
    assert page_numbers[f"{known[0]}_min"] > page_numbers[f"{known[2]}_max"]
    cold, cool = "repeated_temperature_0_01_min", "repeated_temperature_0_5_max"
    assert page_numbers[cold] > page_numbers[cool]


# the page's numbers, with the training stubbed: what goes by which name


def test_numbers_equal_torch_on_given_models(monkeypatch):
    text, crossings = (
        "so long lives this, and this gives life to thee. " * 3,
        [3, 7, 5, 80, 2],
    )
    ids, alphabet = char_rnn.encode(text)
    size = len(alphabet)

    def models(n, *sizes):
        p = char_rnn.init_params(*sizes, [np.random.default_rng(s) for s in range(n)])
        return {name: 40 * w for name, w in p.items()}

    hello, sonnet = models(20, 4, 3), models(5, size, 6)
    # each seed's loss falls from 3 to 0 nats in the sweep given above
    before = np.arange(1, 81)[:, None, None] < np.array(crossings)
    losses = np.where(before, 3.0, 0.0).repeat(25, axis=1).reshape(2000, 5)
    asked = {
        ("hello", 3, 500, 20): (hello, None),
        (char_rnn.SONNET, 32, 2000, 5): (sonnet, losses),
    }
    monkeypatch.setattr(char_rnn, "SONNET", text)
    monkeypatch.setattr(char_rnn, "run", lambda *run: asked[run])
    monkeypatch.setattr(char_rnn, "temperature_numbers", lambda t: {f"at_{t}": t})
    monkeypatch.setattr(char_rnn, "known_after_true_text", lambda seed, t: seed + t)

    def in_torch(p, ids, T, seed):
        """Loss and gradient of W_hh, sent back T steps at most."""
        p = {name: torch.tensor(w[seed], requires_grad=True) for name, w in p.items()}
        h, total = torch.zeros_like(p["b_h"]), 0.0
        for x, targets in char_rnn.chunks(ids, T):
            loss, *_, h = torch_loss(p, torch.tensor(x), torch.tensor(targets), h)
            loss.backward()
            h, total = h.detach(), total + loss.item()
        return total, p["W_hh"].grad.ravel()

    def three(name, values):
        keys = (f"{name}_{kind}" for kind in ("median", "min", "max"))
        found = (statistics.median(values), min(values), max(values))
        return dict(zip(keys, found, strict=True))

    fresh = char_rnn.init_params(65, 100, [np.random.default_rng(s) for s in range(5)])
    letters = np.random.default_rng(5).integers(0, 65, 26)
    first = [in_torch(fresh, letters, 25, seed)[0] for seed in range(5)]
    want = three("first_chunk_v65_nats", first)
    want["uniform_50_letters_v67_nats"] = 50 * math.log(67)
    word = char_rnn.encode("hello")[0]
    final = [in_torch(hello, word, 4, seed)[0] / 4 for seed in range(20)]
    want |= three("hello_final_nats", final)
    want["hello_parameters"] = 4 * 3 + 3 * 3 + 3 * 4 + 3 + 4
    want |= {"sonnet_letters": len(text), "sonnet_alphabet": len(set(text))}
    pairs, now = Counter(pairwise(text)), Counter(text[:-1])
    doubt = [n * math.log(now[a] / n) for (a, _), n in pairs.items()]
    want["sonnet_bigram_nats"] = sum(doubt) / (len(text) - 1)
    want |= three("sonnet_sweeps_to_pass_bigram", crossings)
    whole = [in_torch(sonnet, ids, len(ids), seed) for seed in range(5)]
    want |= three("sonnet_final_nats", [loss / (len(ids) - 1) for loss, _ in whole])
    for T in (1, 5, 25, 100):
        cut = [in_torch(sonnet, ids, T, seed)[1] for seed in range(5)]
        cosines = [
            torch.cosine_similarity(a, b, dim=0).item()
            for a, (_, b) in zip(cut, whole, strict=True)
        ]
        want |= three(f"cosine_t{T}", cosines)
    want |= {f"at_{t}": t for t in (0.01, 0.5, 1, 2)}
    want |= three("known_words_after_true_text", [1, 2, 3, 4, 5])

    numbers = char_rnn.numbers()
    for T in (1, 5, 25, 100):  # none but for rounding
        assert 0 <= numbers.pop(f"loss_gap_t{T}_nats") < 1e-10
    assert numbers == pytest.approx(want, rel=1e-9)


def test_shares_of_known_words_and_repeated_text_by_hand(monkeypatch):
    """Text with a period of k letters has k different pieces of 20, then repeats."""
    texts = [
        "thee " * 8,  # all words known, 21 pieces of which 5 differ
        "ab " * 10,  # none known, 11 pieces of which 3 differ
        "abcdefghijklmnopqrst",  # none known, a single piece
        "thee zz " * 5,  # half of them, 21 pieces of which 8 differ
        "of zz zz zz " * 4,  # a quarter, 29 pieces of which 12 differ
    ]
    calls = []

    def write(seed, n, temperature):
        calls.append((n, temperature))
        return texts[seed]

    monkeypatch.setattr(char_rnn, "write", write)
    assert char_rnn.temperature_numbers(0.5) == pytest.approx(
        {
            "known_words_temperature_0_5_median": 0.25,
            "known_words_temperature_0_5_min": 0,
            "known_words_temperature_0_5_max": 1,
            "repeated_temperature_0_5_median": 1 - 8 / 21,
            "repeated_temperature_0_5_min": 0,
            "repeated_temperature_0_5_max": 1 - 5 / 21,
        }
    )
    assert calls == [(800, 0.5)] * 5


def test_words_begun_after_the_true_text_equal_torch(monkeypatch):
    """A model that is told the sonnet so far, again and again, in torch's own parts."""
    text = "ab ba ab bab aba ab "
    ids, alphabet = char_rnn.encode(text)
    p = char_rnn.init_params(len(alphabet), 4, [np.random.default_rng(3)])
    p = {name: 200 * w for name, w in p.items()}
    monkeypatch.setattr(char_rnn, "SONNET", text)
    monkeypatch.setattr(char_rnn, "run", lambda *run: (p, None))
    one = {name: torch.tensor(w[0]) for name, w in p.items()}
    rng, known = np.random.default_rng(0), []
    for end in (i + 1 for i, letter in enumerate(text[:-1]) if letter == " "):
        written = list(ids[:end])
        for _ in range(20):
            x = torch.tensor(written)
            *_, scores, _ = torch_loss(one, x, x, torch.zeros(1, 4).double())
            z = torch.log_softmax(scores[-1], dim=0).numpy() / 0.8
            written.append(int(np.argmax(z + rng.gumbel(size=z.shape))))
        word = "".join(alphabet[i] for i in written[end:]).split(" ")[0]
        known.append(word in text.split())
    assert 0 < np.mean(known) < 1
    assert char_rnn.known_after_true_text(0, 0.8) == np.mean(known)


def test_after_the_true_text_more_words_are_known(page_numbers):
    true, free = "known_words_after_true_text", "known_words_temperature_1"
    assert page_numbers[f"{true}_min"] > page_numbers[f"{free}_max"]
    assert page_numbers[f"{true}_max"] < 0.6  # and yet about half are not


# bad input


def test_bad_input_says_what_is_wrong(case):
    p, x, targets, h = case
    rng = np.random.default_rng(0)
    for temperature in (0, -1, math.nan):
        with pytest.raises(ValueError, match="temperature must be > 0"):
            char_rnn.sample(p, 0, 1, temperature, rng)
    with pytest.raises(ValueError, match=r"x must be a row of indices in \[0, 7\)"):
        char_rnn.forward(p, x + 1, h)
    with pytest.raises(ValueError, match="x must be a row"):
        char_rnn.forward(p, x - V, h)
    with pytest.raises(ValueError, match="x must be a row"):
        char_rnn.forward(p, x[:0], h)
    with pytest.raises(ValueError, match="x must be a row"):
        char_rnn.forward(p, x[None], h)
    with pytest.raises(ValueError, match=r"h must be \(1, 5\) like b_h, got \(5,\)"):
        char_rnn.forward(p, x, h[0])
    with pytest.raises(ValueError, match=r"targets must be \(9,\) like x, got \(8,\)"):
        char_rnn.loss_and_gradients(p, x, targets[1:], h)
    with pytest.raises(ValueError, match="text is empty"):
        char_rnn.encode("")
    for ids, length in ((np.zeros(1, int), 5), (np.zeros(9, int), 0)):
        with pytest.raises(ValueError, match="text must have >= 2 letters"):
            next(char_rnn.training(p, ids, length))
    for sizes in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="sizes must be >= 1"):
            char_rnn.init_params(*sizes, [rng])


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, (), "No such file or directory"),
        (b"", (), "text is empty"),
        (b"a", (), "text must have >= 2 letters"),
        (b"caf\xe9", (), "input.txt is not UTF-8 text: 'utf-8' codec can't"),
        (b"text", ("--temperature", "0"), "temperature must be > 0, got 0.0"),
        (b"text", ("--steps", "0"), "steps must be >= 1"),
        (b"text", ("--seed", "-1"), "seed >= 0"),
        (b"text", ("--steps", "many"), "invalid int value: 'many'"),
    ],
)
def test_command_line_gives_one_clear_error(
    tmp_path, capsys, content, options, message
):
    file = tmp_path / "input.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        char_rnn.main(["--text", str(file), *options])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_smoothed_loss_is_that_of_the_source():
    """It starts at ln V and moves by a thousandth towards each loss."""
    text = "a short text, read three times. "
    smooth = char_rnn.train_and_write(text, 3, 6, 1.0)
    ids, alphabet = char_rnn.encode(text)
    p = char_rnn.init_params(len(alphabet), 100, [np.random.default_rng(6)])
    expected = math.log(len(alphabet))
    for (loss,) in islice(char_rnn.training(p, ids, 25), 3):
        expected += 0.001 * (loss - expected)
    assert smooth == pytest.approx(expected, rel=1e-12)


def test_without_a_file_it_reads_the_sonnet(capsys):
    results = char_rnn.main(["--steps", "1"])
    assert set(capsys.readouterr().out.strip("\n")) <= set(char_rnn.SONNET)
    ids, _ = char_rnn.encode(char_rnn.SONNET)
    assert results["bigram_nats"] == char_rnn.entropies(ids)[1]


def test_own_text_as_a_program(tmp_path):
    """In an empty folder, on a text that has one answer for every letter."""
    file = tmp_path / "input.txt"
    file.write_text("abcdé\n" * 40, encoding="utf-8")
    command = [sys.executable, "-I", str(Path(char_rnn.__file__))]
    options = ["--text", "input.txt", "--steps", "1000", "--temperature", "0.1"]
    done = subprocess.run(
        [*command, *options, "--seed", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
        env={"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"},
    )
    assert "1000 updates  smoothed loss" in done.stdout
    # it goes on from the first letter of the text
    assert "nats per letter\nbcdé\nabcdé\nabcdé" in done.stdout
    assert "bigram_nats" in done.stdout
    assert done.stderr == ""
