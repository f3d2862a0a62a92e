"""snippets/bpe_tokenizer.py by hand, by brute force on strings, and round trips."""

import itertools
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bpe_tokenizer as bpe


def any_text(rng, length=20):
    """Characters of all planes, without the surrogates that no text contains."""
    planes = [(0, 0x80), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x10000)]
    ranges = [*planes, (0x10000, 0x110000)]
    return "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(length))


def test_the_example_by_hand():
    merges = bpe.train("aaabdaaabac", 3)
    assert merges == {(97, 97): 256, (256, 97): 257, (257, 98): 258}
    assert bpe.encode("aaabdaaabac", merges) == [258, 100, 258, 97, 99]
    vocab = bpe.vocabulary(merges)
    assert len(vocab) == 259
    assert [vocab[i] for i in (97, 256, 257, 258)] == [b"a", b"aa", b"aaa", b"aaab"]


def test_merge_goes_from_the_left_without_overlap():
    assert bpe.merge([1, 1, 1], (1, 1), 9) == [9, 1]
    assert bpe.merge([1, 2, 1, 2, 1], (1, 2), 9) == [9, 9, 1]
    assert bpe.merge([2, 1], (1, 2), 9) == [2, 1]
    assert bpe.merge([], (1, 2), 9) == []


def test_the_training_is_brute_force_with_private_characters():
    rng = random.Random(0)
    for _ in range(50):
        text = "".join(rng.choices("abc", k=30))
        merges, s = bpe.train(text, 5), text
        assert [*merges.values()] == [256, 257, 258, 259, 260]
        for (a, b), new in merges.items():
            pairs = torch.tensor([[ord(x), ord(y)] for x, y in itertools.pairwise(s)])
            found, count = pairs.unique(dim=0, return_counts=True)
            best = found[count == count.max()].tolist()
            assert [a, b] == next(p for p in pairs.tolist() if p in best)
            s = s.replace(chr(a) + chr(b), chr(new))
        assert bpe.encode(text, merges) == [ord(c) for c in s]


def earliest_first(text, merges):
    """Encoding as minbpe does it: always the earliest merge that is possible."""
    ids = list(text.encode())
    while possible := set(itertools.pairwise(ids)) & merges.keys():
        pair = min(possible, key=merges.get)
        ids = bpe.merge(ids, pair, merges[pair])
    return ids


def test_encoding_equals_the_sources_way():
    rng = random.Random(2)
    for _ in range(50):
        merges = bpe.train("".join(rng.choices("aab", k=60)), 10)
        text = "".join(rng.choices("aabc", k=50))
        assert bpe.encode(text, merges) == earliest_first(text, merges)


def test_any_text_comes_back():
    rng = random.Random(1)
    merges = bpe.train("hello hello, 안녕 안녕 😉😉", 12)
    for _ in range(300):
        text = any_text(rng) + "hello 안녕 😉"
        ids = bpe.encode(text, merges)
        assert bpe.decode(ids, merges) == text
        assert len(ids) < len(text.encode())
        own = bpe.train(text, 20)
        assert bpe.decode(bpe.encode(text, own), own) == text
    assert bpe.encode("", merges) == []
    assert bpe.train("", 0) == {}


def test_not_every_list_of_tokens_is_a_text():
    assert bpe.decode([0x80], {}) == "\ufffd"
    assert bpe.decode([97, 0xEC, 97], {}) == "a\ufffda"


def test_lengths():
    merges = bpe.train("aaabdaaabac", 3)
    assert bpe.lengths("aaabdaaabac", merges) == [11, 9, 7, 5]
    assert bpe.lengths("é안", {}) == [5]


def test_the_numbers():
    results = bpe.numbers()
    merges = bpe.train(bpe.LEARNED, 150)
    expected = {f"toy_id_{i}": t for i, t in enumerate([258, 100, 258, 97, 99])}
    expected |= {"toy_length": 5, "second_merge_left": 256}
    for name, text in (("learned", bpe.LEARNED), *bpe.OTHERS.items()):
        expected[f"{name}_before"] = len(text.encode()) / len(text)
        expected[f"{name}_after"] = len(earliest_first(text, merges)) / len(text)
    ids, often = list(bpe.LEARNED.encode()), 0
    for pair, new in merges.items():
        often += [*itertools.pairwise(ids)].count(pair) > 1
        ids = bpe.merge(ids, pair, new)
    expected["merges_of_pairs"] = often
    starts = [n for n in range(200) if bpe.encode(bpe.LEARNED[:n], merges)[1:] == []]
    expected["longest_token"] = max(starts)  # the sonnet's beginning, as one token
    assert results == expected
    assert {*bpe.OTHERS} == {"english", "korean"}
    assert results["learned_before"] == results["english_before"] == 1
    assert results["learned_after"] < results["english_after"] < 1
    assert results["korean_after"] == results["korean_before"] > 2


def test_errors():
    with pytest.raises(ValueError, match=r"^n_merges must be >= 0, got -1$"):
        bpe.train("ab", -1)
    with pytest.raises(ValueError, match=r"^text must have 2 merges, has 1$"):
        bpe.train("ab", 2)
    message = r"^ids must be tokens in \[0, 257\), got 257$"
    with pytest.raises(ValueError, match=message):
        bpe.decode([256, 257], {(97, 98): 256})


# as a program


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, (), "No such file or directory"),
        (b"ab", (), "text must have 100 merges, has 1"),
        (b"caf\xe9", (), "input.txt is not UTF-8 text: 'utf-8' codec can't"),
        (b"text", ("--merges", "-1"), "n_merges must be >= 0, got -1"),
        (b"text", ("--merges", "many"), "invalid int value: 'many'"),
    ],
)
def test_command_line_gives_one_clear_error(
    tmp_path, capsys, content, options, message
):
    file = tmp_path / "input.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        bpe.main(["--text", str(file), *options])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_command_line_without_a_file(capsys):
    assert bpe.main([]) == bpe.numbers()
    assert capsys.readouterr().out == ""
    results = bpe.main(["--merges", "30"])
    merges = bpe.train(bpe.LEARNED, 30)
    length = len(bpe.encode(bpe.LEARNED, merges))
    assert results == {"bytes": len(bpe.LEARNED), "tokens": length}
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 20
    assert printed[2] == "   258 ' th'"


def test_tokens_that_are_no_text_are_shown_all_the_same(tmp_path, capsys):
    """The first merge joins two of the three bytes of a character."""
    file = tmp_path / "input.txt"
    file.write_text("안" * 200, encoding="utf-8")
    results = bpe.main(["--text", str(file), "--merges", "2"])
    assert results == {"bytes": 600, "tokens": 200}
    assert capsys.readouterr().out == "   256 '\ufffd'\n   257 '안'\n"


def test_own_text_as_a_program(tmp_path):
    """Read as UTF-8 even where the system has another encoding."""
    (tmp_path / "input.txt").write_text("été\n" * 80, encoding="utf-8")
    command = [sys.executable, str(Path(bpe.__file__)), "--text", "input.txt"]
    done = subprocess.run(
        [*command, "--merges", "6"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        encoding="utf-8",
        env={
            "PYTHONIOENCODING": "utf-8",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "LC_ALL": "C",
        },
    )
    assert done.stdout.startswith("   256 'é'\n")
    assert done.stdout.split()[-4:] == ["bytes", "480", "tokens", "20"]
    assert done.stderr == ""
