"""snippets/bpe_tokenizer.py by hand, against brute force on bytes, and round trips."""

import itertools
import random

import pytest
import torch

import bpe_tokenizer as bpe


def test_the_example_by_hand():
    merges = bpe.train("aaabdaaabac", 3)
    assert merges == {(97, 97): 256, (256, 97): 257, (257, 98): 258}
    assert bpe.encode("aaabdaaabac", merges) == [258, 100, 258, 97, 99]
    assert bpe.numbers() == {
        **{f"toy_id_{i}": t for i, t in enumerate([258, 100, 258, 97, 99])},
        "toy_length": 5,
        "second_merge_left": 256,
    }


def test_the_training_is_brute_force_with_private_characters():
    rng = random.Random(0)
    for _ in range(50):
        text = "".join(rng.choices("abc", k=30))
        merges, s = bpe.train(text, 5), text
        for (a, b), new in merges.items():
            pairs = torch.tensor([[ord(x), ord(y)] for x, y in itertools.pairwise(s)])
            found, count = pairs.unique(dim=0, return_counts=True)
            best = found[count == count.max()].tolist()
            assert [a, b] == next(p for p in pairs.tolist() if p in best)
            s = s.replace(chr(a) + chr(b), chr(new))
        assert bpe.encode(text, merges) == [ord(c) for c in s]


def test_any_text_comes_back():
    rng = random.Random(1)
    merges = bpe.train("hello hello, 안녕 안녕 😉😉", 12)
    codes = [c for c in range(0, 0x110000, 97) if not 0xD800 <= c < 0xE000]
    for _ in range(50):
        text = "".join(map(chr, rng.choices(codes, k=20))) + "hello 안녕"
        assert bpe.decode(bpe.encode(text, merges), merges) == text
    assert bpe.encode("", merges) == []
    assert bpe.train("", 0) == {}
    assert bpe.decode([0x80], {}) == "\ufffd"


def test_errors():
    with pytest.raises(ValueError, match=r"^n_merges must be >= 0, got -1$"):
        bpe.train("ab", -1)
    with pytest.raises(ValueError, match=r"^text has only 1 merges, want 2$"):
        bpe.train("ab", 2)
    with pytest.raises(ValueError, match=r"^ids holds 256, want tokens in \[0, 256\)$"):
        bpe.decode([256], {})
