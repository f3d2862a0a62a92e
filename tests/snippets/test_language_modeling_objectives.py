"""language_modeling_objectives.py against transformers, PyTorch, and sums by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

import language_modeling_objectives as o

TIGHT = {"rtol": 1e-10, "atol": 1e-10}
VOCAB, MASK = 29, 3


@pytest.fixture
def tokens():
    return np.random.default_rng(1).integers(VOCAB, size=(4, 11))


def gpt2():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCAB,
        n_embd=16,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config).double().eval()


def test_causal_loss_equals_gpt2(tokens):
    model = gpt2()
    ids = torch.from_numpy(tokens)
    with torch.no_grad():
        out = model(input_ids=ids, labels=ids)
    loss, _ = o.causal_loss(out.logits.numpy(), tokens)
    assert loss == pytest.approx(out.loss.item(), rel=1e-6)  # theirs is in float32
    shifted = F.cross_entropy(out.logits[:, :-1].reshape(-1, VOCAB), ids[:, 1:].ravel())
    assert loss == pytest.approx(shifted.item(), abs=1e-10)


def test_masked_loss_equals_bert(tokens):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    model = BertForMaskedLM(config).double().eval()
    seen, chosen = o.corrupt(tokens, VOCAB, MASK, np.random.default_rng(2))
    labels = torch.from_numpy(np.where(chosen, tokens, -100))
    with torch.no_grad():
        out = model(input_ids=torch.from_numpy(seen), labels=labels)
    loss, _ = o.masked_loss(out.logits.numpy(), tokens, chosen)
    assert loss == pytest.approx(out.loss.item(), abs=1e-10)


def test_loss_and_gradient_equal_autograd(tokens):
    rng = np.random.default_rng(3)
    logits = 40 * rng.standard_normal((4, 11, VOCAB))
    asked = rng.random((4, 11)) < 0.4
    x = torch.from_numpy(logits).requires_grad_()
    want = F.cross_entropy(x[torch.from_numpy(asked)], torch.from_numpy(tokens[asked]))
    want.backward()
    loss, gradient = o.cross_entropy(logits, tokens, asked)
    assert loss == pytest.approx(want.item(), abs=1e-10)
    np.testing.assert_allclose(gradient, x.grad.numpy(), **TIGHT)
    np.testing.assert_array_equal(gradient[~asked], 0)


def test_large_logits_do_not_overflow():
    logits = np.array([[[1000.0, 0.0, -1000.0], [-5000.0, -5000.0, -9000.0]]])
    loss, gradient = o.cross_entropy(logits, np.array([[1, 0]]), np.ones((1, 2)) > 0)
    assert loss == pytest.approx((1000 + math.log(2)) / 2)
    want = [[[0.5, -0.5, 0], [-0.25, 0.25, 0]]]
    np.testing.assert_allclose(gradient, want, **TIGHT)


def test_the_causal_shift_by_hand():
    """A model that is sure of the successor pays nothing; of the same word, a lot."""
    tokens = np.array([[0, 1, 2]])
    sure = 50 * np.eye(3)
    loss, gradient = o.causal_loss(sure[[1, 2, 0]][None], tokens)
    assert loss == pytest.approx(0, abs=1e-12)
    np.testing.assert_array_equal(gradient[0, -1], 0)  # nothing follows the last
    loss, _ = o.causal_loss(sure[[0, 1, 2]][None], tokens)
    assert loss == pytest.approx(50)
    one_wrong, _ = o.causal_loss(sure[[1, 0, 0]][None], tokens)
    assert one_wrong == pytest.approx(25)  # a mean over two questions
    assert o.masked_loss(sure[tokens], tokens, np.array([[True, False, True]]))[
        0
    ] == pytest.approx(0, abs=1e-12)


def test_the_causal_losses_add_up_to_the_probability_of_the_text():
    """The chain rule: over all texts, exp of minus the sum of losses adds up to one."""
    rng = np.random.default_rng(4)
    table = rng.standard_normal((3, 3))  # logits given the word before
    total = 0.0
    for text in itertools.product(range(3), repeat=4):
        tokens = np.array([text])
        loss, _ = o.causal_loss(table[tokens], tokens)
        total += math.exp(-3 * loss) / 3  # three questions; the first word is 1/3
    assert total == pytest.approx(1, abs=1e-12)


def test_corrupt_in_the_shares_of_the_paper():
    rng = np.random.default_rng(5)
    tokens = rng.integers(1000, 30000, size=(100, 10000))  # a million
    seen, chosen = o.corrupt(tokens, 30000, 7, rng)
    n = tokens.size
    masked, kept = seen[chosen] == 7, seen[chosen] == tokens[chosen]
    random = ~masked & ~kept
    for count, share in (
        (chosen.sum(), 0.15),
        (masked.sum(), 0.12),
        (random.sum(), 0.015),
        (kept.sum(), 0.015),
    ):
        assert abs(count - share * n) < 4 * math.sqrt(n * share * (1 - share))
    np.testing.assert_array_equal(seen[~chosen], tokens[~chosen])
    replaced = seen[chosen][random]
    assert replaced.min() < 100  # any word of the vocabulary
    assert replaced.max() > 29900
    assert 7 in o.corrupt(np.zeros((9, 9), dtype=int), 8, 7, rng)[0]  # the last word
    assert (o.corrupt(np.ones((9, 9), dtype=int), 8, 0, rng)[0] == 0).any()


def test_fate_is_decided_at_08_and_09():
    """A generator that tells what it draws: every case on its border."""

    class Told:
        def __init__(self):
            self.draws = [
                np.array([0.15, 0.1499, 0.1, 0.1, 0.1, 0.1]),
                np.array([0.0, 0.0, 0.7999, 0.8, 0.8999, 0.9]),
            ]

        def random(self, shape):
            return self.draws.pop(0)

        def integers(self, vocab, size):
            assert (vocab, size) == (50, (6,))
            return np.full(6, 42)

    seen, chosen = o.corrupt(np.arange(6), 50, 49, Told())
    np.testing.assert_array_equal(seen, [0, 49, 49, 3, 4, 42])
    np.testing.assert_array_equal(chosen, [False, True, True, True, True, True])


def test_visible():
    np.testing.assert_array_equal(
        o.visible(3, "causal"), [[True, False, False], [True, True, False], [True] * 3]
    )
    assert o.visible(3, "masked").all()
    assert o.visible(3, "masked").shape == (3, 3)


def test_gpt2_looks_at_what_is_visible_and_nothing_else(tokens):
    model = gpt2()
    changed = tokens.copy()
    changed[:, 6] = (changed[:, 6] + 1) % VOCAB
    with torch.no_grad():
        before = model(torch.from_numpy(tokens)).logits
        after = model(torch.from_numpy(changed)).logits
    moved = (before - after).abs().amax(dim=(0, 2)).numpy() > 1e-9
    np.testing.assert_array_equal(moved, o.visible(11, "causal")[:, 6])


def test_best_losses_equal_sums_over_all_triples():
    P = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.05, 0.6, 0.35]])
    pi = np.linalg.matrix_power(P, 200)[0]
    np.testing.assert_allclose(o.stationary(P), pi, **TIGHT)
    causal = masked = 0.0
    for a, b, c in itertools.product(range(3), repeat=3):
        p = pi[a] * P[a, b] * P[b, c]
        causal -= p * math.log(P[a, b])
        total = sum(P[a, x] * P[x, c] for x in range(3))
        masked -= p * math.log(P[a, b] * P[b, c] / total)
    assert o.best_losses(P) == pytest.approx((causal, masked), abs=1e-12)
    assert masked < causal


def test_where_words_are_independent_a_second_neighbor_tells_nothing():
    causal, masked = o.best_losses(o.sticky(1 / 3))
    assert causal == pytest.approx(math.log(3))
    assert masked == pytest.approx(math.log(3))


def test_sticky_by_hand():
    np.testing.assert_allclose(o.sticky(0.6), np.full((3, 3), 0.2) + 0.4 * np.eye(3))
    np.testing.assert_allclose(o.sticky(0.6, 2), [[0.6, 0.4], [0.4, 0.6]])


def test_numbers():
    result = o.numbers()
    for key, want in {
        "chosen_percent": 15,
        "masked_percent_of_chosen": 80,
        "kept_percent_of_chosen": 10,
        "random_percent_of_chosen": 10,
        "masked_percent_of_all": 12,
        "random_percent_of_all": 1.5,
        "kept_percent_of_all": 1.5,
    }.items():
        n = 150_000 if "chosen" in key[8:] else 1_000_000
        share = want / 100
        assert result.pop(key) == pytest.approx(
            want, abs=400 * math.sqrt(share * (1 - share) / n)
        )
    assert result.pop("asked_causal_512") == 511
    assert result.pop("asked_masked_512") == pytest.approx(76.8)
    want = {}
    for stay in (50, 80, 90):
        s, m = stay / 100, (100 - stay) / 200  # stay, move to one of two
        causal = -s * math.log(s) - 2 * m * math.log(m)
        masked = 0.0
        rows = [[s if i == j else m for j in range(3)] for i in range(3)]
        for a, b, c in itertools.product(range(3), repeat=3):
            total = sum(rows[a][x] * rows[x][c] for x in range(3))
            p = rows[a][b] * rows[b][c]
            masked -= p / 3 * math.log(p / total)
        want[f"causal_stay_{stay}"], want[f"masked_stay_{stay}"] = causal, masked
        want[f"causal_stay_{stay}_perplexity"] = math.exp(causal)
        want[f"masked_stay_{stay}_perplexity"] = math.exp(masked)
    assert result == pytest.approx(want, rel=1e-9)


def test_the_simulation_can_be_repeated():
    rng = np.random.default_rng(0)
    tokens = rng.integers(1000, 30522, size=(1000, 1000))
    seen, chosen = o.corrupt(tokens, 30522, 103, rng)
    result = o.numbers()
    assert result["chosen_percent"] == pytest.approx(chosen.sum() / 1e4)
    assert result["masked_percent_of_all"] == pytest.approx((seen == 103).sum() / 1e4)
    kept = (chosen & (seen == tokens)).sum()
    assert result["kept_percent_of_chosen"] == pytest.approx(100 * kept / chosen.sum())


def test_the_shares_add_up():
    result = o.numbers()
    of_all = [result[f"{x}_percent_of_all"] for x in ("masked", "random", "kept")]
    assert sum(of_all) == pytest.approx(result["chosen_percent"])
    of = [result[f"{x}_percent_of_chosen"] for x in ("masked", "random", "kept")]
    assert sum(of) == pytest.approx(100)


def test_bad_input_is_named(tokens):
    logits = np.zeros((4, 11, VOCAB))
    asked = np.ones((4, 11), dtype=bool)
    with pytest.raises(
        ValueError, match=r"targets has shape \(4, 10\), want \(4, 11\)"
    ):
        o.cross_entropy(logits, tokens[:, :10], asked)
    with pytest.raises(ValueError, match=r"asked has shape \(3, 11\), want \(4, 11\)"):
        o.cross_entropy(logits, tokens, asked[:3])
    with pytest.raises(ValueError, match="asked is false everywhere"):
        o.cross_entropy(logits, tokens, ~asked)
    with pytest.raises(ValueError, match="mask_id is 29, want one of the 29 words"):
        o.corrupt(tokens, VOCAB, 29, np.random.default_rng(0))
    with pytest.raises(ValueError, match="mask_id is -1"):
        o.corrupt(tokens, VOCAB, -1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="objective is 'both', want 'causal'"):
        o.visible(3, "both")
    for bad in (np.ones(3), np.ones((2, 3))):
        with pytest.raises(ValueError, match=r"P has shape .*, want \(V, V\)"):
            o.stationary(bad)
    for bad in ([[0.5, 0.4], [0.5, 0.5]], [[1.5, -0.5], [0.5, 0.5]]):
        with pytest.raises(ValueError, match=r"^P has a row that is no distribution$"):
            o.stationary(np.array(bad))
    with pytest.raises(ValueError, match=r"^P has an entry of 0, want all above"):
        o.best_losses(np.array([[0.5, 0.5], [1.0, 0.0]]))
    for stay in (0, 1):
        with pytest.raises(ValueError, match=f"stay is {stay}, want strictly"):
            o.sticky(stay)
    np.testing.assert_allclose(o.stationary(np.array([[0.0, 1.0], [1.0, 0.0]])), 0.5)
