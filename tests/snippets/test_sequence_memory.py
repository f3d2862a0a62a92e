"""What is kept, counted on PyTorch's layers; what comes back, against PyTorch."""

import itertools
import math
import re

import numpy as np
import pytest
import torch

import sequence_memory as memory
from sequence_memory import Transformer


@pytest.fixture(scope="module")
def numbers():
    return memory.numbers()


@pytest.fixture
def pairs():
    rng = np.random.default_rng(5)
    keys = rng.standard_normal((6, 4))
    return keys, np.eye(3)[rng.integers(3, size=6)]


# ---- kept ----------------------------------------------------------------------------


@pytest.mark.parametrize("kv_heads", [None, 1, 2, 4])
def test_the_cache_is_what_pytorchs_projections_leave(kv_heads):
    model = Transformer(layers=3, heads=4, d_k=5, kv_heads=kv_heads)
    width = 5 * (kv_heads or 4)
    tokens = torch.zeros(7, 20)
    layers = [[torch.nn.Linear(20, width) for _ in "kv"] for _ in range(3)]
    kept = sum(linear(tokens).numel() for pair in layers for linear in pair)
    assert model.kept(7) == kept
    assert model.width == torch.nn.MultiheadAttention(20, 4).embed_dim
    assert model.kept(0) == 0


def test_mambas_state_is_what_its_layers_leave():
    layers, d, expand, N, conv = 3, 5, 4, 6, 7
    short = torch.nn.Conv1d(expand * d, expand * d, conv, groups=expand * d)
    window = torch.zeros(expand * d, short.kernel_size[0])  # what the convolution reads
    assert short(window[None]).shape == (1, expand * d, 1)
    states = torch.zeros(expand * d, N)
    each = window.numel() + states.numel()
    assert memory.mamba_kept(layers, d, expand, N, conv) == layers * each
    assert memory.mamba_kept(24, 768) == 24 * 1536 * (16 + 4) == 737_280


def test_an_lstms_state_is_pytorchs():
    _, state = torch.nn.LSTM(4, 5, num_layers=3)(torch.zeros(9, 4))
    assert memory.lstm_kept(3, 5) == sum(s.numel() for s in state)


def test_break_even_at_40_tokens_is_the_same_for_every_width_and_depth():
    for layers, heads, d_k in ((1, 1, 1), (12, 12, 64), (5, 3, 7)):
        cache = Transformer(layers, heads, d_k)
        assert memory.mamba_kept(2 * layers, cache.width) == cache.kept(40)
        assert memory.lstm_kept(layers, cache.width) == cache.kept(1)


def test_counting_by_counting():
    # 3 numbers of 2 bits have 64 states, and there are 64 texts of 3 letters of 4
    states = list(itertools.product(range(4), repeat=3))
    assert len(states) == 4 ** memory.tokens_by_counting(3, 2, 4)
    assert memory.tokens_by_counting(3, 2, 4) == 3
    assert memory.tokens_by_counting(8, 1, 2) == 8
    assert memory.tokens_by_counting(1, 1, 8) == pytest.approx(1 / 3)


# ---- recall --------------------------------------------------------------------------


def test_random_pairs():
    keys, owner = memory.random_pairs(2000, 3, 5, np.random.default_rng(0))
    assert keys.shape == (2000, 3)
    assert owner.shape == (2000,)
    np.testing.assert_allclose((keys**2).sum(axis=1), 1, atol=1e-12)
    assert np.abs(keys.mean(axis=0)).max() < 0.05
    assert set(owner) == {0, 1, 2, 3, 4}
    again, same = memory.random_pairs(2000, 3, 5, np.random.default_rng(0))
    assert (again == keys).all()
    assert (same == owner).all()
    keys, owner = memory.random_pairs(1, 1, 2, np.random.default_rng(0))
    assert keys.shape == (1, 1)


@pytest.mark.parametrize("sharpness", [0.0, 0.7, 30.0, 1e4])
def test_the_cache_is_pytorchs_attention(sharpness, pairs):
    keys, values = (torch.tensor(a)[None] for a in pairs)
    want = torch.nn.functional.scaled_dot_product_attention(
        keys, keys, values, scale=sharpness
    )
    got = memory.read_cache(*pairs, sharpness)
    np.testing.assert_allclose(got, want[0], atol=1e-10)


def test_the_sum_is_attention_without_softmax(pairs):
    keys, values = pairs
    q = np.random.default_rng(1).standard_normal(4)
    want = sum((q @ k) * v for k, v in zip(keys, values, strict=True))
    np.testing.assert_allclose(memory.summed_state(keys, values) @ q, want, atol=1e-12)


@pytest.mark.parametrize("n", [2, 4, 6])
def test_the_matrix_of_least_squares_is_pytorchs(n, pairs):
    keys, values = pairs[0][:n], pairs[1][:n]
    want = torch.linalg.lstsq(
        torch.tensor(keys), torch.tensor(values), driver="gelsd"
    ).solution.T
    got = memory.least_squares_state(keys, values)
    np.testing.assert_allclose(got, want, atol=1e-10)


def trained_by_pytorch(keys, owner, symbols, steps, rate):
    keys, owner = torch.tensor(keys), torch.tensor(owner)
    state = torch.zeros(symbols, keys.shape[1], dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([state], rate)
    for step in range(steps):
        adam.zero_grad()
        scores = keys @ state.T
        torch.nn.functional.cross_entropy(scores, owner, reduction="sum").backward()
        adam.step()
        if ((keys @ state.T).argmax(1) == owner).all():
            return state.detach().numpy(), step + 1
    return state.detach().numpy(), steps


@pytest.mark.parametrize("n", [20, 60])
def test_the_trained_matrix_is_pytorchs_adam_with_autograd(n):
    keys, owner = memory.random_pairs(n, 6, 4, np.random.default_rng(n))
    values = np.eye(4)[owner]
    for steps, rate in ((1, 0.3), (7, 0.3), (40, 0.05)):
        want, _ = trained_by_pytorch(keys, owner, 4, steps, rate)
        got = memory.trained_state(keys, values, steps, rate)
        np.testing.assert_allclose(got, want, atol=1e-10)


def test_training_stops_once_all_come_back_and_takes_800_steps_of_03():
    keys, owner = memory.random_pairs(64, 32, 16, np.random.default_rng(0))
    values = np.eye(16)[owner]
    want, needed = trained_by_pytorch(keys, owner, 16, 800, 0.3)
    assert 1 < needed < 800
    got = memory.trained_state(keys, values)
    np.testing.assert_allclose(got, want, atol=1e-10)
    before = memory.trained_state(keys, values, needed - 1)
    assert ((keys @ before.T).argmax(axis=1) != owner).any()
    # one key with two symbols never comes back: both cannot be the highest
    twice = memory.trained_state(np.ones((2, 1)), np.eye(2))
    want, needed = trained_by_pytorch(np.ones((2, 1)), [0, 1], 2, 800, 0.3)
    assert needed == 800
    np.testing.assert_allclose(twice, want, atol=1e-10)


def test_as_many_pairs_as_the_keys_are_wide_are_exact_and_one_more_is_not():
    rng = np.random.default_rng(2)
    keys = rng.standard_normal((5, 4))
    values = rng.standard_normal((5, 3))
    state = memory.least_squares_state(keys[:4], values[:4])
    np.testing.assert_allclose(keys[:4] @ state.T, values[:4], atol=1e-10)
    state = memory.least_squares_state(keys, values)
    assert np.abs(keys @ state.T - values).max() > 0.01
    square, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    state = memory.summed_state(square, values[:4])  # keys at right angles
    np.testing.assert_allclose(square @ state.T, values[:4], atol=1e-10)


def share_recalled(n, d, symbols, seed):
    rng = np.random.default_rng(seed)
    keys = torch.tensor(rng.standard_normal((n, d)))
    owner = torch.tensor(rng.integers(symbols, size=n))
    keys = torch.nn.functional.normalize(keys, dim=1)
    values = torch.nn.functional.one_hot(owner, symbols).double()
    trained = memory.trained_state(keys.numpy(), values.numpy())  # tested above
    answers = {
        "cache": torch.softmax(d * keys @ keys.T, 1) @ values,
        "sum": keys @ keys.T @ values,
        "squares": keys @ torch.linalg.lstsq(keys, values, driver="gelsd").solution,
        "trained": keys @ torch.tensor(trained).T,
    }
    return {
        way: float((answer.argmax(1) == owner).double().mean())
        for way, answer in answers.items()
    }


@pytest.mark.parametrize(("n", "d", "symbols"), [(1, 2, 2), (10, 8, 4), (60, 8, 16)])
def test_recalled_equals_the_same_in_pytorch(n, d, symbols):
    for seed in range(3):
        got = memory.recalled(n, d, symbols, seed)
        assert got == pytest.approx(share_recalled(n, d, symbols, seed), abs=1e-12)


# ---- numbers -------------------------------------------------------------------------


def test_numbers_of_the_models(numbers):
    per_token = {
        "vaswani": 2 * 6 * 512,
        "gopher": 2 * 80 * 16_384,
        "chinchilla": 2 * 80 * 8192,
        "like_mamba_130m": 2 * 12 * 768,
    }
    width = {"vaswani": 512, "gopher": 16_384, "chinchilla": 8192}
    for name, kept in per_token.items():
        assert numbers[f"{name}_per_token"] == kept
    for name in ("vaswani", "gopher", "chinchilla"):
        assert numbers[f"{name}_width"] == width[name]
        gigabytes = per_token[name] * 2048 * 2 / 1e9
        assert numbers[f"{name}_2048_gb"] == pytest.approx(gigabytes, rel=1e-12)
    assert memory.LIKE_MAMBA_130M.width == 768
    tokens = 70e9 / (2 * 80 * 8192)
    assert numbers["chinchilla_tokens_as_weights"] == pytest.approx(tokens, rel=1e-12)
    eighth = numbers["chinchilla_2048_gb"] / 8
    got = numbers["chinchilla_8_kv_heads_2048_gb"]
    assert got == pytest.approx(eighth, rel=1e-12)
    assert numbers["like_mamba_130m_4096"] == 75_497_472
    assert numbers["mamba_130m_kept"] == 737_280
    assert numbers["mamba_130m_mb"] == pytest.approx(1.47456, rel=1e-12)
    assert numbers["mamba_2_8b_kept"] == 64 * 5120 * 20
    assert numbers["mamba_breaks_even"] == 40
    assert numbers["lstm_breaks_even"] == 1
    tokens = 737_280 * 16 * math.log(2) / math.log(50_280)
    got = numbers["mamba_130m_tokens_by_counting"]
    assert got == pytest.approx(tokens, rel=1e-12)
    assert numbers["seconds_of_film"] == pytest.approx(2**15 / 4704, rel=1e-12)


def test_numbers_of_recall(numbers):
    for n in (8, 16, 32, 64, 128, 160, 512):
        runs = [share_recalled(n, 32, 16, seed) for seed in range(5)]
        for way in ("cache", "sum", "squares", "trained"):
            shares = sorted(run[way] for run in runs)
            got = [
                numbers[f"{way}_recalls_{n}_{at}"] for at in ("min", "median", "max")
            ]
            want = [shares[0], shares[2], shares[4]]
            assert got == pytest.approx(want, abs=1e-12)


def test_what_the_page_says_of_recall_holds_for_every_draw(numbers):
    for n in (8, 16, 32, 64, 128, 160, 512):
        assert numbers[f"cache_recalls_{n}_min"] == 1
        # five times as many pairs as a key has numbers can be named, not returned
        assert (numbers[f"trained_recalls_{n}_min"] == 1) == (n <= 160)
        if n <= 32:
            assert numbers[f"squares_recalls_{n}_min"] == 1
    assert numbers["trained_names_all_pairs"] == 160
    for n in (128, 160, 512):
        assert numbers[f"squares_recalls_{n}_max"] < 0.7
        assert numbers[f"sum_recalls_{n}_max"] < 0.65
    assert numbers["sum_recalls_32_median"] < 1
    assert numbers["sum_recalls_64_median"] == pytest.approx(5 / 6, abs=0.02)
    for way in ("sum", "squares", "trained"):
        assert numbers[f"{way}_recalls_512_median"] == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: Transformer(1, 1, 1).kept(-1), "tokens must be at least 0, got -1"),
        (
            lambda: memory.mamba_kept(0, 1),
            r"sizes must be >= 1, got \(0, 1, 2, 16, 4\)",
        ),
        *(
            (
                lambda sizes=sizes: memory.mamba_kept(*sizes),
                re.escape(f"sizes must be >= 1, got {sizes}"),
            )
            for sizes in (
                (1, 0, 1, 1, 1),
                (1, 1, 0, 1, 1),
                (1, 1, 1, 0, 1),
                (1, 1, 1, 1, 0),
            )
        ),
        (
            lambda: memory.summed_state(np.eye(2), np.eye(3)),
            r"zip\(\) argument 2 is longer",
        ),
        (
            lambda: memory.lstm_kept(0, 3),
            "layers and d must be at least 1, got 0 and 3",
        ),
        (
            lambda: memory.lstm_kept(3, 0),
            "layers and d must be at least 1, got 3 and 0",
        ),
        (
            lambda: memory.tokens_by_counting(1, 1, 1),
            "vocab must be at least 2, got 1",
        ),
        (
            lambda: memory.random_pairs(0, 1, 2, np.random.default_rng(0)),
            "want n, d >= 1 and symbols >= 2, got 0, 1, 2",
        ),
        (
            lambda: memory.random_pairs(1, 0, 2, np.random.default_rng(0)),
            "want n, d >= 1 and symbols >= 2, got 1, 0, 2",
        ),
        (
            lambda: memory.random_pairs(1, 1, 1, np.random.default_rng(0)),
            "want n, d >= 1 and symbols >= 2, got 1, 1, 1",
        ),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=f"^{match}"):
        call()


def test_smallest_sizes():
    assert memory.mamba_kept(1, 1, 1, 1, 1) == 2
    assert memory.lstm_kept(1, 1) == 2
