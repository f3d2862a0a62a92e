"""snippets/mlp_language_model.py against torch.nn, autograd and by hand."""

import copy
import random
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import mlp_language_model as mlp

TIGHT = {"rtol": 1e-10, "atol": 1e-10}
NAMES_FILE = Path(__file__).parents[2] / "snippets/data/names.txt"
FEW = ["emma", "ava", "noah", "liam", "mia", "zoe"]


@pytest.fixture(scope="module")
def recorded():
    """The numbers, and each call of fit and of sweep on the way, with its answer."""
    calls = {"fit": [], "sweep": []}

    def recorder(name, function):
        def call(*args):
            answer = function(*args)
            calls[name].append((args, copy.deepcopy(answer)))
            return answer

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in calls:
            patch.setattr(mlp, name, recorder(name, getattr(mlp, name)))
        return mlp.numbers(), calls


@pytest.fixture(scope="module")
def results(recorded):
    return recorded[0]


class Network(nn.Module):
    """The same model in torch.nn, with the weights of p."""

    def __init__(self, p):
        super().__init__()
        (letters, embedding), (wide, hidden) = p["C"].shape, p["W1"].shape
        self.layers = nn.Sequential(
            nn.Embedding(letters, embedding),
            nn.Flatten(),
            nn.Linear(wide, hidden),
            nn.Tanh(),
            nn.Linear(hidden, letters),
        ).double()
        weights = (p["C"], p["W1"].T, p["b1"], p["W2"].T, p["b2"])
        for parameter, w in zip(self.parameters(), weights, strict=True):
            parameter.data = torch.tensor(w)

    def loss(self, x, y):
        return functional.cross_entropy(self.layers(torch.tensor(x)), torch.tensor(y))

    def in_our_shape(self, what):
        values = [what(parameter) for parameter in self.parameters()]
        names = ("C", "W1", "b1", "W2", "b2")
        pairs = zip(names, values, strict=True)
        return {n: v.T.numpy() if n[0] == "W" else v.numpy() for n, v in pairs}


def case(seed=0):
    """Sizes that are all different, no bias at 0, letters that come again."""
    rng = np.random.default_rng(seed)
    p = mlp.initialize(rng, context=2, embedding=4, hidden=6)
    p = {name: w + 0.3 * rng.normal(size=w.shape) for name, w in p.items()}
    return p, (rng.integers(0, 5, (11, 2)), rng.integers(0, 27, 11))


def test_probabilities_loss_and_gradient_equal_torch():
    p, (x, y) = case()
    network = Network(p)
    expected = network.loss(x, y)
    expected.backward()
    logprobs, h, side_by_side = mlp.forward(p, x)
    np.testing.assert_allclose(
        logprobs, network.layers(torch.tensor(x)).log_softmax(1).detach(), **TIGHT
    )
    first = network.layers[:4](torch.tensor(x)).detach()
    np.testing.assert_allclose(h, first, **TIGHT)
    np.testing.assert_allclose(side_by_side, p["C"][x].reshape(11, 8))
    assert mlp.mean_nll(p, (x, y)) == pytest.approx(expected.item(), rel=1e-10)
    loss, gradient = mlp.gradient(p, x, y)
    assert loss == pytest.approx(expected.item(), rel=1e-10)
    for name, g in network.in_our_shape(lambda w: w.grad).items():
        np.testing.assert_allclose(gradient[name], g, **TIGHT, err_msg=name)


def test_large_logits_do_not_overflow():
    p, (x, y) = case()
    p["b2"] += 2000
    with np.errstate(all="raise"):
        assert mlp.mean_nll(p, (x, y)) == pytest.approx(Network(p).loss(x, y).item())


@pytest.mark.parametrize("batch", [None, 3])
def test_training_equals_torch_sgd(batch):
    """By default 32 examples; each step has its own rate, each loss is before it."""
    p, (x, y) = case()
    network = Network(p)
    rates = np.array([0.5, 0.1, 1.0, 0.02])
    rng = np.random.default_rng(3)
    size = {} if batch is None else {"batch": batch}
    ours = list(mlp.training(p, (x, y), rates, np.random.default_rng(3), **size))
    for rate, loss in zip(rates, ours, strict=True):
        chosen = rng.integers(0, len(y), batch or 32)
        sgd = torch.optim.SGD(network.parameters(), lr=rate)
        expected = network.loss(x[chosen], y[chosen])
        expected.backward()
        sgd.step()
        sgd.zero_grad()
        assert loss == pytest.approx(expected.item(), rel=1e-10)
    for name, w in network.in_our_shape(lambda w: w.data).items():
        np.testing.assert_allclose(p[name], w, **TIGHT, err_msg=name)


def test_the_first_weights():
    """Gain 5/3 over the root of the inputs; logits of a hundredth; no biases."""
    rng = np.random.default_rng(8)
    p = mlp.initialize(np.random.default_rng(8))
    np.testing.assert_array_equal(p["C"], rng.standard_normal((27, 10)))
    first = rng.standard_normal((30, 200)) * nn.init.calculate_gain("tanh") / 30**0.5
    np.testing.assert_allclose(p["W1"], first)
    np.testing.assert_allclose(p["W2"], rng.standard_normal((200, 27)) / 100)
    assert not p["b1"].any()
    assert not p["b2"].any()
    assert (p["b1"].shape, p["b2"].shape) == ((200,), (27,))
    data = mlp.examples(FEW)
    assert mlp.mean_nll(p, data) == pytest.approx(np.log(27), abs=0.1)
    other = mlp.initialize(np.random.default_rng(8), context=4, embedding=3, hidden=5)
    assert other["W1"].shape == (12, 5)
    rng = np.random.default_rng(8)
    rng.standard_normal((27, 3))
    np.testing.assert_allclose(
        other["W1"], rng.standard_normal((12, 5)) * 5 / 3 / 12**0.5
    )


def test_examples_by_hand():
    x, y = mlp.examples(["ab", "z"])
    assert x.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [0, 0, 0], [0, 0, 26]]
    assert y.tolist() == [1, 2, 0, 26, 0]
    x, y = mlp.examples(["abc"], context=2)
    assert x.tolist() == [[0, 0], [0, 1], [1, 2], [2, 3]]
    assert y.tolist() == [1, 2, 3, 0]


def test_errors():
    with pytest.raises(ValueError, match=r"^names must not be empty$"):
        mlp.examples([])
    for names, got in (
        (["", "ann"], "'' as name 1"),
        (["ann", "Al"], "'Al' as name 2"),
    ):
        message = f"names must be of letters a to z, one name a line, got {got}"
        with pytest.raises(ValueError, match=re.escape(message)):
            mlp.examples(names)


def test_the_schedule():
    assert mlp.schedule(8).tolist() == [0.1] * 6 + [0.01] * 2
    assert mlp.schedule(2000).tolist() == [0.1] * 1500 + [0.01] * 500


def test_the_sweep():
    data = mlp.examples(FEW)
    rates, losses = mlp.sweep(data, 4)
    rng = np.random.default_rng(4)
    every = torch.logspace(-3, 0, 1000, dtype=torch.float64).numpy()
    raw = list(mlp.training(mlp.initialize(rng), data, every, rng))
    assert rates.shape == losses.shape == (951,)
    smooth = functional.avg_pool1d(torch.tensor(np.array(raw))[None, None], 50, 1)[0, 0]
    np.testing.assert_allclose(losses, smooth, **TIGHT)
    # the rate in the middle of the 50 whose losses were averaged
    np.testing.assert_allclose(rates, every[25:976])


def test_the_split_is_the_notebooks():
    words = list(mlp.NAMES.split())
    given = words.copy()
    for runs in (1, 2, 3, 4):
        random.seed(42)
        random.shuffle(words)
        expected = (words[:560], words[560:630], words[630:])
        assert mlp.split(mlp.NAMES.split(), runs=runs) == expected
    assert mlp.split(given) == mlp.split(tuple(given))
    assert given == mlp.NAMES.split()  # the list that came in is as it was
    random.seed(7)
    random.shuffle(given)
    assert [n for part in mlp.split(mlp.NAMES.split(), seed=7) for n in part] == given
    assert [len(part) for part in mlp.split("abcdefghijklmno")] == [12, 1, 2]


def test_parts_by_hand():
    names = ["a", "a", "bb", "bb", "ccc", "ccc", "d", "d", "eeee", "f"]
    out = mlp.parts(names)
    assert out["examples"] == sum(map(len, names)) + 10
    for runs in (1, 4):
        train, dev, test = mlp.split(names, runs=runs)
        assert out[f"train_examples_{runs}"] == sum(map(len, train)) + 8
        assert out[f"dev_examples_{runs}"] == len(dev[0]) + 1
        assert out[f"test_examples_{runs}"] == len(test[0]) + 1
        assert out[f"dev_names_{runs}"] == 1
        assert out[f"dev_names_in_train_{runs}"] == (dev[0] in train)
    assert {out["dev_names_in_train_1"], out["dev_names_in_train_4"]} == {0, 1}
    assert len(out) == 11


def test_a_mixture_of_seen_and_unseen():
    assert mlp.without_the_seen(0.25 * 2 + 0.75 * 3, 2, 0.25) == pytest.approx(3)
    assert mlp.without_the_seen(2.5, 9, 0) == 2.5


def test_bigrams_are_counted_on_one_part_and_judged_on_the_other():
    train, held_out = mlp.examples(["ab", "aa"]), mlp.examples(["ab"])
    # .a 2 of 2; ab 1 of 3; b. 1 of 1; to each of 27 cells 0.5 is added
    expected = -np.log([2.5 / 15.5, 1.5 / 16.5, 1.5 / 14.5]).mean()
    assert mlp.bigram_nll(train, held_out, 0.5) == pytest.approx(expected)
    default = mlp.bigram_nll(train, held_out)
    assert default == mlp.bigram_nll(train, held_out, 0.1) != pytest.approx(expected)


def test_a_fit_is_made_of_these():
    names = mlp.NAMES.split()[:40]
    found = mlp.fit(names, 20, seed=3, split_seed=5)
    part, dev, test = mlp.split(names, 5)
    train, held_out = mlp.examples(part), mlp.examples([*dev, *test])
    rng = np.random.default_rng(3)
    p = mlp.initialize(rng)
    for _ in mlp.training(p, train, mlp.schedule(20), rng):
        pass
    assert found["train"] == mlp.mean_nll(p, train)
    assert found["held_out"] == mlp.mean_nll(p, held_out)
    assert found["bigrams"] == mlp.bigram_nll(train, held_out)


def test_the_names_are_the_first_of_the_file():
    assert mlp.NAMES.split() == NAMES_FILE.read_text().split()[:700]


def test_numbers_of_the_course(results):
    network = Network(mlp.initialize(np.random.default_rng(0)))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert results["parameters"] == count == 11897
    assert results["course_names_train"] == int(0.8 * 32033) == 25626
    assert results["course_names_dev"] == 3203
    places = list(range(32033))
    runs = []
    for _ in range(4):
        random.seed(42)
        random.shuffle(places)
        runs.append((set(places[:25626]), set(places[28829:])))
    both = len(runs[0][1] & runs[3][0])
    assert results["course_test_then_trained"] == both / 3204
    assert results["course_leak"] == 424 / 3203
    mixed = (424 * 2.1260 + (3203 - 424) * results["course_dev_clean"]) / 3203
    assert mixed == pytest.approx(2.1701, abs=1e-12)
    gain = results["course_dev_gain"]
    assert gain == pytest.approx(results["course_dev_clean"] - 2.1701, abs=1e-12)


def test_twins_to_expect(results):
    """2,539 pairs at random places: how many have one in dev and one in train?"""
    rng = np.random.default_rng(0)
    counts = []
    for _ in range(400):
        places = rng.permutation(32033)[: 2 * 2539].reshape(2539, 2)
        train, dev = places < 25626, (places >= 25626) & (places < 28829)
        counts.append((train[:, 0] & dev[:, 1]).sum() + (train[:, 1] & dev[:, 0]).sum())
    error = np.std(counts) / 400**0.5
    assert results["course_twins"] == pytest.approx(np.mean(counts), abs=4 * error)
    assert results["course_twins"] == pytest.approx(406.2, abs=0.05)
    # the 424 of the course's own split are within the spread
    assert abs(424 - results["course_twins"]) < 2 * np.std(counts)


def test_numbers_of_our_names(recorded, results):
    assert results.items() >= mlp.parts(mlp.NAMES.split()).items()
    assert results["dev_names_in_train_1"] == 0
    assert results["train_examples_1"] != results["train_examples_4"]
    names, runs = mlp.NAMES.split(), {"train": [], "held_out": [], "bigrams": []}
    assert [args for args, _ in recorded[1]["fit"]] == [
        (names, 2000, seed, seed) for seed in range(5)
    ]
    for _, answer in recorded[1]["fit"]:
        for key, value in answer.items():
            runs[key].append(value)
    runs["sweep_rate"] = []
    x, y = mlp.examples(mlp.split(names)[0])
    for seed, (args, (rates, losses)) in enumerate(recorded[1]["sweep"]):
        np.testing.assert_array_equal(args[0][0], x)
        np.testing.assert_array_equal(args[0][1], y)
        assert args[1] == seed
        runs["sweep_rate"].append(rates[losses.argmin()])
    assert len(runs["sweep_rate"]) == 5
    triples = list(zip(runs["train"], runs["held_out"], runs["bigrams"], strict=True))
    runs["gap"] = [held_out - train for train, held_out, _ in triples]
    runs["ahead"] = [bigrams - held_out for _, held_out, bigrams in triples]
    for key, values in runs.items():
        assert results[f"{key}_median"] == statistics.median(values)
        assert results[f"{key}_min"] == min(values)
        assert results[f"{key}_max"] == max(values)
    assert results["leak_would_hide"] == 424 / 3203 * results["gap_median"]
    # in every run: better than bigrams on names not seen, and far from the seen ones
    assert results["ahead_min"] > 0.1
    assert results["gap_min"] > 0.25
    assert 0.05 < results["sweep_rate_min"] < results["sweep_rate_max"] < 0.6


def test_as_a_program(tmp_path, results, monkeypatch, capsys):
    monkeypatch.setattr(mlp, "numbers", lambda: results)
    assert mlp.main([]) == results
    names = mlp.NAMES.split()
    fast = ["--steps", "40", "--seed", "2"]
    assert mlp.main(fast) == mlp.parts(names) | mlp.fit(names, 40, 2, 42)
    file = tmp_path / "names.txt"
    file.write_text("\n".join([*FEW, "renée"[:3] + "e", *FEW]) + "\n", encoding="utf-8")
    names = [*FEW, "rene", *FEW]
    ours = mlp.main(["--names", str(file), *fast])
    assert ours == mlp.parts(names) | mlp.fit(names, 40, 2, 42)
    for text, message in (
        ("emma\n\nava\n", "got '' as name 2"),
        ("emma\nrenée\n", "got 'renée' as name 2"),
        ("", "names must not be empty"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(SystemExit):
            mlp.main(["--names", str(file)])
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        mlp.main(["--names", str(tmp_path / "none.txt")])
    assert "No such file" in capsys.readouterr().err
    monkeypatch.setattr(mlp, "fit", lambda *args: {"asked": args})
    assert mlp.main(["--seed", "1"])["asked"] == (mlp.NAMES.split(), 2000, 1, 42)
    assert mlp.main(["--steps", "9"])["asked"] == (mlp.NAMES.split(), 9, 0, 42)
