"""word_rnn.py against torch, worked examples, and what the rhyme allows."""

import math
import subprocess
import sys
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import word_rnn

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
C, H, S, T = 7, 5, 2, 9


@pytest.fixture
def case():
    """Two networks with ordinary weights; a sentence in which words come twice."""
    rng = np.random.default_rng(3)
    shapes = {"U": (S, H, C), "V": (S, C, H), "W": (S, H, H)}
    p = {name: 0.7 * rng.standard_normal(shape) for name, shape in shapes.items()}
    x, y = np.array([0, 4, 4, 1, 6, 0, 2, 4, 1]), rng.integers(0, C, T)
    return p, x, y


@pytest.fixture(scope="module")
def page_numbers():
    return word_rnn.numbers()


def one(p, seed):
    """One model of the stack."""
    return {name: w[seed] for name, w in p.items()}


def torch_gradients(p, x, y, truncate):
    """Output by output: its error may pass through `truncate` steps and no more."""
    w = {name: torch.tensor(v, requires_grad=True) for name, v in p.items()}
    states = [torch.zeros(len(p["W"]), dtype=torch.float64)]
    for word in x:
        states.append(torch.tanh(w["U"][:, word] + w["W"] @ states[-1]).detach())
    total = 0.0
    for t, target in enumerate(y):
        first = max(0, t - truncate)
        s = states[first]  # detached: nothing goes back beyond
        for word in x[first : t + 1]:
            s = torch.tanh(w["U"][:, word] + w["W"] @ s)
        total -= torch.log_softmax(w["V"] @ s, dim=0)[target]
    total.backward()
    return total.item(), {name: v.grad.numpy() for name, v in w.items()}


# text


def test_split_and_encode_by_hand():
    words = word_rnn.split("  The cat sat. Don't!\n\nThe cat, the DOG ran?  ")
    assert words == [
        ["the", "cat", "sat", "."],
        ["don't", "!"],
        ["the", "cat", ",", "the", "dog", "ran", "?"],
    ]
    vocabulary = word_rnn.build_vocabulary(words, 5)
    assert vocabulary == ["<start>", "<end>", "<unknown>", "the", "cat"]
    ids = word_rnn.encode(words, vocabulary)
    assert [row.tolist() for row in ids] == [
        [0, 3, 4, 2, 2, 1],
        [0, 2, 2, 1],
        [0, 3, 4, 2, 3, 2, 2, 2, 1],
    ]


def test_vocabulary_may_be_larger_than_the_text():
    assert len(word_rnn.build_vocabulary([["a", "b"]], 8000)) == 5
    assert word_rnn.build_vocabulary([["b", "a", "a"]], 4)[3:] == ["a"]  # the smallest
    assert word_rnn.split("") == []


def test_the_rhyme():
    verses = word_rnn.split(word_rnn.RHYME)
    assert len(verses) == 11
    assert " ".join(verses[2]) == (
        "this is the rat that ate the malt that lay in the house that jack built ."
    )
    for shorter, longer in pairwise(verses):
        assert longer[-len(shorter) + 2 :] == shorter[2:]
    assert word_rnn.RHYME.endswith(
        "This is the farmer sowing his corn that kept the cock that crowed in the morn "
        "that waked the priest all shaven and shorn that married the man all tattered "
        "and torn that kissed the maiden all forlorn that milked the cow with the "
        "crumpled horn that tossed the dog that worried the cat that killed the rat "
        "that ate the malt that lay in the house that Jack built."
    )


# the network


def test_forward_equals_torch(case):
    p, x, _ = case
    before = np.random.default_rng(0).uniform(-1, 1, (S, 1, H))
    s, log_o = word_rnn.forward(p, x, before)
    for seed in range(S):
        layer = torch.nn.RNN(C, H, bias=False, dtype=torch.float64)
        weights = {"weight_ih_l0": p["U"][seed], "weight_hh_l0": p["W"][seed]}
        weights = {name: torch.tensor(w) for name, w in weights.items()}
        one_hot = torch.eye(C, dtype=torch.float64)[x]
        inputs = one_hot, torch.tensor(before[seed])
        states, _ = torch.func.functional_call(layer, weights, inputs)
        np.testing.assert_array_equal(s[seed, :1], before[seed])
        np.testing.assert_allclose(s[seed, 1:], states, **TOLERANCE)
        expected = torch.log_softmax(states @ torch.tensor(p["V"][seed]).T, dim=-1)
        np.testing.assert_allclose(log_o[seed], expected, **TOLERANCE)
        alone, _ = word_rnn.forward(one(p, seed), x)
        np.testing.assert_array_equal(alone[0], np.zeros(H))


def test_large_scores_beside_small_ones_stay_finite():
    """Scores of 900 and -900 at one step of one model, of 0 at all others."""
    p = {"U": np.zeros((2, 1, 2)), "W": np.zeros((2, 1, 1))}
    p["U"][0, 0, 0] = 20  # its tanh rounds to 1
    p["V"] = np.array([[[900.0], [-900.0]]] * 2)
    _, log_o = word_rnn.forward(p, np.array([0, 1]))
    expected = np.full((2, 2, 2), -math.log(2))
    expected[0, 0] = 0, -1800
    np.testing.assert_allclose(log_o, expected, **TOLERANCE)


@pytest.mark.parametrize("truncate", [0, 1, 4, 7, 8, 1000])
def test_gradients_equal_torch_at_every_truncation(case, truncate):
    p, x, y = case
    loss, grads = word_rnn.loss_and_gradients(p, x, y, truncate)
    for seed in range(S):
        expected_loss, expected = torch_gradients(one(p, seed), x, y, truncate)
        assert loss[seed] == pytest.approx(expected_loss, rel=1e-12)
        assert grads.keys() == expected.keys()
        for name, g in grads.items():
            np.testing.assert_allclose(g[seed], expected[name], **TOLERANCE)


def test_loss_of_equal_probabilities_by_hand():
    p = {"U": np.ones((H, C)), "V": np.zeros((C, H)), "W": np.ones((H, H))}
    loss, grads = word_rnn.loss_and_gradients(p, np.array([0, 3]), np.array([3, 1]), 4)
    assert loss == pytest.approx(2 * math.log(C))
    assert not grads["U"].any()
    assert not grads["W"].any()
    s0 = math.tanh(1)
    s1 = math.tanh(1 + H * s0)
    expected = np.full(C, (s0 + s1) / C)  # each word is given 1/C, twice
    expected[3] -= s0
    expected[1] -= s1
    np.testing.assert_allclose(grads["V"][:, 0], expected, **TOLERANCE)


def test_initial_parameters():
    rngs = [np.random.default_rng(seed) for seed in (0, 1)]
    p = word_rnn.init_params(400, 25, rngs)
    bounds = {"U": ((2, 25, 400), 1 / 20), "V": ((2, 400, 25), 1 / 5)}
    for name, (shape, bound) in (bounds | {"W": ((2, 25, 25), 1 / 5)}).items():
        assert p[name].shape == shape
        assert bound * 0.99 < np.abs(p[name]).max() <= bound
        assert p[name].std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert not np.array_equal(p[name][0], p[name][1])
    assert word_rnn.init_params(4, 1, rngs)["W"].shape == (2, 1, 1)  # the smallest


# training


def test_training_is_sgd_with_a_rate_halved_per_model():
    """Four epochs by torch, at a rate so high that losses rise."""
    rng = np.random.default_rng(1)
    sentences = [np.array([0, *rng.integers(2, C, n), 1]) for n in (8, 5, 6)]
    p = word_rnn.init_params(C, H, [np.random.default_rng(s) for s in range(6)])
    start = {name: w.copy() for name, w in p.items()}
    losses = np.array(list(islice(word_rnn.training(p, sentences, 0.4, 2), 5)))
    rises = 0
    for seed in range(6):
        w = one(start, seed)
        rate, last = 0.4, math.inf
        for epoch in range(5):
            total = sum(torch_gradients(w, i[:-1], i[1:], 0)[0] for i in sentences)
            loss = total / sum(len(ids) - 1 for ids in sentences)
            assert losses[epoch, seed] == pytest.approx(loss, rel=1e-9)
            if loss > last:
                rate, rises = rate / 2, rises + 1
            last = loss
            for ids in sentences:
                _, grads = torch_gradients(w, ids[:-1], ids[1:], 2)
                optimized = {name: torch.tensor(v) for name, v in w.items()}
                optimizer = torch.optim.SGD(optimized.values(), lr=rate)
                for name, v in optimized.items():
                    v.grad = torch.tensor(grads[name])
                optimizer.step()
                w = {name: v.numpy() for name, v in optimized.items()}
    assert 0 < rises < 24


def test_defaults_are_those_of_the_source():
    sentences = [np.array([0, 3, 4, 5, 6, 3, 4, 6, 1])]
    p, q = (word_rnn.init_params(C, H, [np.random.default_rng(0)]) for _ in range(2))
    ours = np.array(list(islice(word_rnn.training(p, sentences, 0.1), 4)))
    named = np.array(list(islice(word_rnn.training(q, sentences, 0.1, 4), 4)))
    np.testing.assert_array_equal(ours, named)


def test_best_loss_by_hand():
    a, b = np.array([0, 3, 4, 1]), np.array([0, 5, 4, 6, 1])
    # first word: 3 or 5; after 4: 1 or 6, known to who remembers the first word
    assert word_rnn.best_nats([a, b], 9) == pytest.approx(2 * math.log(2) / 7)
    assert word_rnn.best_nats([a, b], 1) == pytest.approx(4 * math.log(2) / 7)
    counts = Counter([3, 4, 1, 5, 4, 6, 1]).values()
    frequency = -sum(n / 7 * math.log(n / 7) for n in counts)
    assert word_rnn.best_nats([a, b], 0) == pytest.approx(frequency)


def test_the_rhyme_is_in_doubt_once_per_verse(page_numbers):
    words = page_numbers["rhyme_words"]
    doubt = 11 * math.log(11) / words
    assert page_numbers["rhyme_best_nats"] == pytest.approx(doubt)
    assert words == sum(len(verse) + 1 for verse in word_rnn.split(word_rnn.RHYME))


def test_every_model_reads_more_than_one_word(page_numbers):
    assert page_numbers["rhyme_final_nats_max"] < page_numbers["rhyme_bigram_nats"] / 2
    assert page_numbers["rhyme_final_nats_min"] > page_numbers["rhyme_best_nats"]
    for end in ("min", "max"):
        first = page_numbers[f"rhyme_first_nats_{end}"]
        assert first == pytest.approx(page_numbers["rhyme_guess_nats"], abs=0.05)
    assert page_numbers["rhyme_epochs_to_pass_bigram_min"] > 1
    assert page_numbers["rhyme_verses_written_min"] > 0
    assert page_numbers["rhyme_verses_written_max"] < 1


def test_the_runs_are_those_of_five_seeds(page_numbers):
    _, losses, sentences, vocabulary = word_rnn.run()
    assert losses.shape == (80, 5)
    rngs = [np.random.default_rng(seed) for seed in range(5)]
    fresh = word_rnn.init_params(len(vocabulary), 32, rngs)
    steps = islice(word_rnn.training(fresh, sentences, 0.02, 4), 3)
    np.testing.assert_allclose(losses[:3], list(steps), rtol=1e-12)


def test_the_numbers_sum_up_the_runs(page_numbers):
    p, losses, sentences, vocabulary = word_rnn.run()
    words = [word for verse in word_rnn.split(word_rnn.RHYME) for word in verse]
    assert page_numbers["rhyme_vocabulary"] == len(vocabulary) == len(set(words)) + 3
    assert page_numbers["rhyme_guess_nats"] == pytest.approx(math.log(len(vocabulary)))
    assert page_numbers["rhyme_bigram_nats"] == word_rnn.best_nats(sentences, 1)
    assert page_numbers["rhyme_two_words_nats"] == word_rnn.best_nats(sentences, 2)
    bigram = page_numbers["rhyme_bigram_nats"]
    finals = [word_rnn.mean_loss(one(p, seed), sentences) for seed in range(5)]
    passed = [next(n for n in range(80) if losses[n, s] < bigram) for s in range(5)]
    for name, values in (
        ("first_nats", losses[0]),
        ("final_nats", finals),
        ("epochs_to_pass_bigram", passed),
    ):
        summary = sorted(values)[2], min(values), max(values)
        for kind, value in zip(("median", "min", "max"), summary, strict=True):
            assert page_numbers[f"rhyme_{name}_{kind}"] == pytest.approx(value)
    for kind in ("median", "min", "max"):  # shares of fifty
        share = page_numbers[f"rhyme_verses_written_{kind}"]
        assert share * 50 == pytest.approx(round(share * 50))


# writing


def test_what_a_model_writes_depends_on_its_seed_alone(page_numbers):
    sentences = word_rnn.written(1, 3)
    assert len(sentences) == 3
    assert word_rnn.written(1, 4)[:3] == sentences != word_rnn.written(2, 3)
    known = set(word_rnn.run()[3]) - set(word_rnn.SPECIAL)
    assert {word for sentence in sentences for word in sentence.split()} <= known


def test_first_words_are_drawn_with_their_probabilities(case):
    p = one(case[0], 0)
    rng, n = np.random.default_rng(0), 4000
    firsts = Counter((word_rnn.generate(p, rng, 1) or [1])[0] for _ in range(n))
    s = torch.tanh(torch.tensor(p["U"][:, 0]))
    q = torch.softmax(torch.tensor(p["V"]) @ s, 0).numpy()
    q[[0, 2]] = 0
    q /= q.sum()
    frequencies = np.array([firsts[word] for word in range(C)]) / n
    assert np.all(np.abs(frequencies - q) <= 5 * np.sqrt(q * (1 - q) / n))


def test_writing_carries_the_state_and_stops(case):
    """Word 3 is certain until the state has turned around, then the end."""
    p = {"U": np.zeros((1, C)), "V": np.zeros((C, 1)), "W": np.array([[2.0]])}
    p["U"][0, [0, 3]] = [-3, 2.5]
    p["V"][[3, 1], 0] = [-900, 900]  # state below 0: word 3; above 0: the end
    s, expected = math.tanh(-3), []
    while s < 0:
        expected.append(3)
        s = math.tanh(2.5 + 2 * s)
    assert word_rnn.generate(p, np.random.default_rng(0)) == expected
    p["V"][1] = 0
    p["V"][3] = 0
    p["V"][4] = -900
    p["U"][0] = -3
    assert word_rnn.generate(p, np.random.default_rng(0), 6) == [4] * 6


# bad input and the command line


def test_bad_input_says_what_is_wrong(case):
    p, x, y = case
    for wrong in (x + 1, x - 1, x[:0], x[None]):
        with pytest.raises(ValueError, match=r"x must be a row of indices in \[0, 7\)"):
            word_rnn.forward(p, wrong)
    with pytest.raises(ValueError, match=r"y must be \(9,\) like x .* \(8,\) and 4"):
        word_rnn.loss_and_gradients(p, x, y[1:], 4)
    with pytest.raises(ValueError, match=r"truncate >= 0, got \(9,\) and -1"):
        word_rnn.loss_and_gradients(p, x, y, -1)
    for sizes in ((3, 3), (4, 0)):
        with pytest.raises(ValueError, match="need C >= 4 words and H >= 1 units"):
            word_rnn.init_params(*sizes, [np.random.default_rng(0)])
    with pytest.raises(ValueError, match="vocabulary must have >= 4 words"):
        word_rnn.build_vocabulary([["a"]], 3)
    for sentences, lr in (([], 0.1), ([x], 0.0), ([x], math.nan)):
        with pytest.raises(ValueError, match=r">= 1 sentence and lr be > 0, got"):
            next(word_rnn.training(p, sentences, lr))


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, (), "No such file or directory"),
        (b" \n", (), "text has no words"),
        (b"caf\xe9", (), "input.txt is not UTF-8 text: 'utf-8' codec can't"),
        (b"a text.", ("--vocabulary", "3"), "vocabulary must have >= 4 words"),
        (b"a text.", ("--hidden", "0"), "H >= 1 units"),
        (
            b"a text.",
            ("--epochs", "0"),
            "epochs must be >= 1 and seed >= 0, got 0 and 0",
        ),
        (b"a text.", ("--seed", "-1"), "seed >= 0, got 10 and -1"),
        (b"a text.", ("--lr", "0"), "lr be > 0"),
        (b"a text.", ("--lr", "fast"), "invalid float value: 'fast'"),
    ],
)
def test_command_line_gives_one_clear_error(
    tmp_path, capsys, content, options, message
):
    file = tmp_path / "input.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        word_rnn.main(["--text", str(file), *options])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_without_arguments_it_writes_and_gives_the_numbers(monkeypatch, capsys):
    monkeypatch.setattr(word_rnn, "numbers", lambda: {"n": 1.0})
    assert word_rnn.main([]) == {"n": 1.0}
    printed = capsys.readouterr().out.rstrip().split("\n")
    assert printed == word_rnn.written(0, 4)


def test_options_have_the_sizes_of_the_source(monkeypatch):
    monkeypatch.setattr(word_rnn, "train_and_write", lambda text, args: (text, args))
    text, args = word_rnn.main(["--epochs", "10"])["final_nats"]
    assert text == word_rnn.RHYME
    assert vars(args) == {
        "text": None,
        "vocabulary": 8000,
        "hidden": 100,
        "epochs": 10,
        "lr": 0.005,
        "seed": 0,
    }
    options = ["--vocabulary=50", "--hidden=3", "--epochs=2", "--lr=0.5", "--seed=4"]
    _, args = word_rnn.main(options)["final_nats"]
    assert list(vars(args).values()) == [None, 50, 3, 2, 0.5, 4]


def test_one_epoch_prints_two_losses_and_five_sentences(capsys):
    printed = []
    for seed in ("3", "3", "4"):
        result = word_rnn.main(["--epochs", "1", "--hidden", "6", "--seed", seed])
        printed.append(capsys.readouterr().out)
        lines = printed[-1].split("\n")
        assert len(lines) == 2 + 5 + 1
        assert lines[0].startswith("   0 epochs  3.")
        last = f"   1 epochs  {result['final_nats']:.4f} nats per word"
        assert lines[1] == last
    assert printed[0] == printed[1] != printed[2]


def test_own_text_as_a_program(tmp_path):
    """In an empty folder, on a text that has one sentence."""
    file = tmp_path / "input.txt"
    file.write_text("Le café est noir.\n" * 30, encoding="utf-8")
    command = [sys.executable, "-I", str(Path(word_rnn.__file__))]
    options = ["--text", "input.txt", "--lr", "0.05", "--hidden", "20"]
    done = subprocess.run(
        [*command, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
        env={"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"},
    )
    assert done.stdout.count("nats per word") == 11
    assert "le café est noir .\n" in done.stdout
    assert "final_nats" in done.stdout
    assert done.stderr == ""
