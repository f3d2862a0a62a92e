"""snippets/bigram.py against torch on one-hot rows, torch.randn and by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import bigram

ROOT = Path(__file__).parents[2]
TIGHT = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture(scope="module")
def results():
    return bigram.numbers()


def one_hot_rows(names):
    """The notebook's data: one row per pair, as letters in and letters out."""
    pairs = [
        pair for name in names for pair in zip("." + name, name + ".", strict=True)
    ]
    x, y = (
        [bigram.LETTERS.index(c) for c in side] for side in zip(*pairs, strict=True)
    )
    return functional.one_hot(torch.tensor(x), 27).double(), torch.tensor(y)


def test_emma_is_five_pairs():
    N = bigram.count_pairs(["emma"])
    assert N.shape == (27, 27)
    assert N.sum() == 5
    assert N.dtype == np.int64
    alphabet = bigram.count_pairs([bigram.LETTERS[1:]])
    np.testing.assert_array_equal(alphabet, np.roll(np.eye(27), 1, axis=1))
    assert N[0, 5] == N[5, 13] == N[13, 13] == N[13, 1] == N[1, 0] == 1


def test_counts_add_up_over_names():
    N = bigram.count_pairs(["anna", "an"])
    assert N[0, 1] == 2
    assert N[1, 14] == 2
    assert N[14, 14] == N[14, 1] == 1
    assert N[1, 0] == N[14, 0] == 1
    assert N.sum() == 8


def test_the_names_are_the_first_of_the_file():
    lines = (ROOT / "snippets/data/names.txt").read_text().split()
    names = bigram.NAMES.split()
    assert len(names) == 200
    assert names == lines[:200]


def test_what_enters_a_letter_leaves_it():
    N = bigram.course_counts()
    np.testing.assert_array_equal(N.sum(axis=0), N.sum(axis=1))
    assert N[0, 0] == 0


def test_probabilities_by_hand():
    N = np.array([[1, 3], [0, 2]])
    np.testing.assert_allclose(bigram.probabilities(N), [[0.25, 0.75], [0, 1]], **TIGHT)
    smoothed = [[2 / 6, 4 / 6], [1 / 4, 3 / 4]]
    np.testing.assert_allclose(bigram.probabilities(N, 1), smoothed, **TIGHT)
    heavy = bigram.probabilities(N, 1e9)
    np.testing.assert_allclose(heavy, np.full((2, 2), 0.5), atol=1e-8)


def test_an_empty_row_becomes_uniform_with_any_addition():
    P = bigram.probabilities(np.array([[0, 0], [1, 0]]), 0.5)
    np.testing.assert_allclose(P, [[0.5, 0.5], [0.75, 0.25]], **TIGHT)


def test_nll_by_hand():
    N, P = np.array([[1, 3], [0, 2]]), np.array([[0.25, 0.75], [0.0, 1.0]])
    by_hand = (math.log(4) + 3 * math.log(4 / 3)) / 6
    assert bigram.mean_nll(N, P) == pytest.approx(by_hand, rel=1e-12)
    assert bigram.mean_nll(np.array([[1, 0], [1, 0]]), P) == math.inf


def test_nothing_in_the_family_fits_better_than_the_counts():
    N = bigram.course_counts()
    best = bigram.mean_nll(N, bigram.probabilities(N))
    rng = np.random.default_rng(0)
    for _ in range(20):
        logits = np.log(bigram.probabilities(N, 0.5)) + 0.05 * rng.normal(size=(27, 27))
        assert bigram.mean_nll(N, bigram.softmax(logits)) > best


@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_loss_and_gradient_equal_torch_on_one_hot_rows(penalty):
    names = bigram.NAMES.split()[:40]
    xenc, y = one_hot_rows(names)
    rng = np.random.default_rng(1)
    W = rng.normal(size=(27, 27))
    leaf = torch.from_numpy(W).requires_grad_()
    expected = functional.cross_entropy(xenc @ leaf, y) + penalty * (leaf**2).mean()
    expected.backward()
    N = bigram.count_pairs(names)
    loss, gradient = bigram.loss_and_gradient(W, N, penalty)
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, leaf.grad, **TIGHT)


def test_training_equals_torch_step_by_step():
    names = bigram.NAMES.split()[:30]
    xenc, y = one_hot_rows(names)
    W = np.random.default_rng(2).normal(size=(27, 27))
    leaf = torch.from_numpy(W.copy()).requires_grad_()
    optimizer = torch.optim.SGD([leaf], lr=7.0)
    expected = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = functional.cross_entropy(xenc @ leaf, y) + 0.02 * (leaf**2).mean()
        loss.backward()
        expected.append(loss.item())
        optimizer.step()
    before = W.copy()
    losses, last = bigram.train(W, bigram.count_pairs(names), 6, 7.0, 0.02)
    np.testing.assert_allclose(losses, expected, **TIGHT)
    np.testing.assert_allclose(last, leaf.detach(), **TIGHT)
    np.testing.assert_array_equal(W, before)


def test_softmax_equals_torch_and_does_not_overflow():
    W = np.random.default_rng(3).normal(size=(27, 27)) * 10
    np.testing.assert_allclose(
        bigram.softmax(W), torch.softmax(torch.from_numpy(W), 1), **TIGHT
    )
    np.testing.assert_allclose(bigram.softmax(W + 5000), bigram.softmax(W), rtol=1e-9)
    far = W + 3000 * np.arange(27)[:, None]  # each row has a largest of its own
    np.testing.assert_allclose(bigram.softmax(far), bigram.softmax(W), rtol=1e-9)


def test_the_draws_are_those_of_torch():
    bits = np.random.RandomState(2147483647)
    generator = torch.Generator().manual_seed(2147483647)
    for n in (16, 17, 31, 32, 729, 1000):
        theirs = torch.randn(n, generator=generator, dtype=torch.float32).numpy()
        np.testing.assert_allclose(bigram.torch_randn(n, bits), theirs, atol=3e-6)


def test_the_start_is_the_notebooks():
    generator = torch.Generator().manual_seed(2147483647)
    theirs = torch.randn((27, 27), generator=generator).numpy()
    np.testing.assert_allclose(bigram.course_start(), theirs, atol=3e-6)


def test_the_numbers_of_the_course(results):
    assert results["pairs"] == 228146
    assert results["names"] == 32033
    assert results["cells_empty"] == 102
    assert results["nll_added_0"] == pytest.approx(2.454014, abs=1e-6)
    assert results["nll_added_1"] == pytest.approx(2.454577, abs=1e-6)
    assert results["nll_total_added_1"] == pytest.approx(2.45457682 * 228146, rel=1e-8)
    assert results["nll_added_10"] == pytest.approx(2.462116, abs=1e-6)
    assert results["nll_added_100"] == pytest.approx(2.537491, abs=1e-6)
    assert results["nll_added_1000"] == pytest.approx(2.852283, abs=1e-6)
    assert results["nll_uniform"] == pytest.approx(math.log(27))
    assert results["nll_letters_alone"] == pytest.approx(2.822726, abs=1e-6)
    assert results["perplexity"] == pytest.approx(math.exp(results["nll_added_0"]))
    assert results["count_n_end"] == 6763
    assert results["count_start_a"] == 4410
    for letter, share in {"a": 4410, "b": 1306, "e": 1531, "m": 2538}.items():
        assert results[f"start_{letter}"] == pytest.approx(share / 32033)


def test_the_numbers_of_emma(results):
    assert results["emma_p_e"] == pytest.approx(0.012286, abs=1e-6)
    assert results["emma_nll_e"] == pytest.approx(-math.log(results["emma_p_e"]))
    assert results["emma_p_m"] == pytest.approx(0.0180507, abs=1e-6)
    sequence = [3.769305, 3.749213, 3.729163, 3.709155, 3.689189]
    for k, value in enumerate(sequence):
        assert results[f"emma_{k}_updates"] == pytest.approx(value, abs=2e-6)
    assert "emma_5_updates" not in results


def test_the_numbers_of_the_network(results):
    for k, value in {0: 3.768619, 99: 2.490130, 199: 2.482996, 399: 2.480978}.items():
        assert results[f"net_{k}"] == pytest.approx(value, abs=2e-6)
    assert results["net_0_pairs"] == pytest.approx(3.758954, abs=2e-6)
    # 400 steps by autograd
    N = torch.tensor(bigram.course_counts() / 228146)
    W = torch.tensor(bigram.course_start(), requires_grad=True)
    for _ in range(400):
        loss = -(N * W.log_softmax(1)).sum() + 0.01 * (W**2).mean()
        (gradient,) = torch.autograd.grad(loss, W)
        W = (W - 50 * gradient).detach().requires_grad_()
    expected = -(N * W.log_softmax(1)).sum().item()
    assert results["net_400_pairs"] == pytest.approx(expected, rel=1e-9)
    assert results["nll_added_0"] < expected < 2.47
    assert 250 < results["net_steps_to_print"] < 280
    gap = results["net_0"] - results["emma_4_updates"]
    assert results["net_0_gap_to_emma"] == pytest.approx(gap)


def test_smoothing_costs_on_the_data_counted_and_pays_on_the_rest(results):
    added = ("0_01", "0_1", "1", "10")
    train = [results[f"census_train_{a}"] for a in added]
    assert train == sorted(train)
    held_out = [results[f"census_held_out_{a}"] for a in added]
    assert min(held_out) == held_out[1]
    assert held_out[0] > held_out[1] + 0.1


def test_the_census_numbers_by_another_way(results):
    names = bigram.NAMES.split()
    counted, other = names[::2], names[1::2]
    assert "james" in counted
    assert "john" in other
    pairs = [p for n in counted for p in zip("." + n, n + ".", strict=True)]
    assert results["census_cells_empty"] == 729 - len(set(pairs))
    rest = [p for n in other for p in zip("." + n, n + ".", strict=True)]
    assert results["census_pairs_unseen"] == sum(p not in set(pairs) for p in rest)
    row = [p[0] for p in pairs]
    for added in (0.01, 0.1, 1, 10):
        key = str(added).replace(".", "_")
        for kind, data in (("train", pairs), ("held_out", rest)):
            logs = [
                math.log((pairs.count(p) + added) / (row.count(p[0]) + 27 * added))
                for p in data
            ]
            mean = -sum(logs) / len(logs)
            assert results[f"census_{kind}_{key}"] == pytest.approx(mean, rel=1e-10)


def test_errors():
    with pytest.raises(ValueError, match="names must be of letters a to z, got 'Emma'"):
        bigram.count_pairs(["Emma"])
    with pytest.raises(ValueError, match="got ''"):
        bigram.count_pairs([""])
    with pytest.raises(ValueError, match=r"got '\.'"):
        bigram.count_pairs(["."])
    empty = np.array([[0, 0], [1, 0]])
    for added in (0, -0.5):
        with pytest.raises(ValueError, match=f"with an empty row, got {added}$"):
            bigram.probabilities(empty, added)
    with pytest.raises(ValueError, match=r"added must be >= 0, .* got -0\.1"):
        bigram.probabilities(np.ones((2, 2)), -0.1)
    with pytest.raises(ValueError, match=r"shape of N, \(27, 27\), got \(3, 27\)"):
        bigram.loss_and_gradient(np.zeros((3, 27)), np.ones((27, 27)), 0.0)
    with pytest.raises(ValueError, match="n must be at least 16, got 15"):
        bigram.torch_randn(15, np.random.RandomState(0))
