"""snippets/memory_task.py against torch, counting by hand, and what all seeds share."""

import math

import numpy as np
import pytest
import torch

import memory_task as mt

TIGHT = {"rtol": 1e-10, "atol": 1e-10}
S, V, H = 2, 5, 4


@pytest.fixture(scope="module")
def out():
    return mt.numbers()


@pytest.fixture(params=mt.UNITS)
def case(request):
    """Random weights and biases, a word of nine letters."""
    rng = np.random.default_rng(5)
    p = mt.init_params(request.param, V, H, [rng, np.random.default_rng(6)])
    for name in p:
        p[name] += 0.4 * rng.standard_normal(p[name].shape)
    ids = rng.integers(0, V, 10)
    return request.param, p, ids[:-1], ids[1:]


class Twin(torch.nn.Module):
    """Model `s` of the stack from torch's own layers: its rows are i, f, g, o."""

    def __init__(self, kind, p, s):
        super().__init__()
        self.kind, (n_letters, _), n = kind, p["W_x"][s].shape, p["W_h"].shape[1]
        layer = torch.nn.LSTM if kind == "lstm" else torch.nn.RNN
        self.layer = layer(n_letters, n, dtype=torch.float64)
        self.out = torch.nn.Linear(n, n_letters, dtype=torch.float64)
        blocks = (1, 0, 3, 2) if kind == "lstm" else (0,)  # ours: f, i, o, g
        order = np.concatenate([np.arange(n) + n * block for block in blocks])
        self.back = np.argsort(order)
        with torch.no_grad():
            self.layer.weight_ih_l0.copy_(torch.from_numpy(p["W_x"][s].T[order]))
            self.layer.weight_hh_l0.copy_(torch.from_numpy(p["W_h"][s].T[order]))
            self.layer.bias_ih_l0.copy_(torch.from_numpy(p["b"][s, 0, order]))
            self.layer.bias_hh_l0.zero_()
            self.out.weight.copy_(torch.from_numpy(p["W_y"][s].T))
            self.out.bias.copy_(torch.from_numpy(p["b_y"][s, 0]))
        self.layer.bias_hh_l0.requires_grad_(False)

    def forward(self, x):
        """x: (T,). Without memory every letter is a sequence of its own."""
        one_hot = torch.eye(self.layer.input_size, dtype=torch.float64)[x]
        steps = one_hot[None] if self.kind == "none" else one_hot[:, None]
        return self.out(self.layer(steps)[0]).reshape(len(x), -1)

    def as_ours(self, value):
        """value: parameter -> array; the arrays in our layout."""
        q = self.layer
        return {
            "W_x": value(q.weight_ih_l0)[self.back].T,
            "W_h": value(q.weight_hh_l0)[self.back].T,
            "b": value(q.bias_ih_l0)[None, self.back],
            "W_y": value(self.out.weight).T,
            "b_y": value(self.out.bias)[None],
        }


def gradient(q):
    return q.grad.numpy()


def test_scores_loss_and_gradients_equal_torch(case):
    kind, p, x, targets = case
    log_p, _ = mt.forward(p, kind, x)
    loss, grads = mt.loss_and_gradients(p, kind, x, targets)
    assert grads.keys() == p.keys()
    for s in range(S):
        twin = Twin(kind, p, s)
        scores = twin(torch.from_numpy(x))
        np.testing.assert_allclose(log_p[s], scores.detach().log_softmax(-1), **TIGHT)
        expected = torch.nn.functional.cross_entropy(scores, torch.from_numpy(targets))
        expected.backward()
        assert loss[s] == pytest.approx(expected.item(), abs=1e-12)
        for name, g in twin.as_ours(gradient).items():
            np.testing.assert_allclose(grads[name][s], g, **TIGHT, err_msg=name)


def test_training_equals_adam_in_torch(case):
    kind, _, _, _ = case
    word = "abacdae"
    p = mt.init_params(kind, V, H, [np.random.default_rng(s) for s in range(S)])
    twins = [Twin(kind, p, s) for s in range(S)]
    mt.train(p, kind, word, steps=5, lr=0.02)
    x, targets = (torch.tensor(ids) for ids in mt.encode(word))
    for s, twin in enumerate(twins):
        used = [q for q in twin.parameters() if q.requires_grad]
        adam = torch.optim.Adam(used, lr=0.02)
        for _ in range(5):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(twin(x), targets).backward()
            adam.step()
        for name, w in twin.as_ours(lambda q: q.detach().numpy()).items():
            np.testing.assert_allclose(p[name][s], w, rtol=1e-8, atol=1e-8)


def test_without_memory_the_answer_depends_on_the_letter_alone(case):
    kind, p, _, _ = case
    log_p, _ = mt.forward(p, kind, np.array([0, 3, 1, 3, 2, 3]))
    threes = log_p[:, 1::2]
    same = np.abs(threes - threes[:, :1]).max()
    assert (same == 0) == (kind == "none")


def test_one_lstm_step_by_hand():
    f, i, o, g = 0.75, 0.25, 0.8, 0.4
    logit = [math.log(v / (1 - v)) for v in (f, i, o)]
    a = np.array([[[*logit, math.atanh(g)]]])
    h, c, gates = mt.step("lstm", a, np.array([[[2.0]]]))
    assert c[0, 0, 0] == pytest.approx(0.75 * 2 + 0.25 * 0.4, abs=1e-15)
    assert h[0, 0, 0] == pytest.approx(0.8 * math.tanh(1.6), abs=1e-15)
    assert [v.item() for v in gates] == pytest.approx([f, i, o, g])
    assert mt.sigmoid(np.array([-1e5, 0.0, 1e5])).tolist() == [0, 0.5, 1]


# counting


def test_neuron_needs_no_memory_and_hello_does():
    assert mt.best_with_window("neuron") == (0.0, 1.0)
    nats, right = mt.best_with_window("hello")
    assert nats == pytest.approx(math.log(2) / 2, abs=1e-15)
    assert right == 0.75
    # two letters suffice: "el" is followed by l, "ll" by o
    assert mt.best_with_window("hello", 2) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("word", "needed"),
    [
        ("neuron", 1),
        ("neuron.", 2),  # with its end marked, n is followed by e and by the end
        ("hello", 2),
        ("level", 2),  # e is followed by v and by l
        ("banana.", 4),  # "ana" is followed by n and by the end
        ("helllllo", 5),
        ("ab", 1),
    ],
)
def test_letters_needed(word, needed):
    assert mt.letters_needed(word) == needed
    contexts = {}
    for t in range(1, len(word)):
        contexts.setdefault(word[max(0, t - needed) : t], set()).add(word[t])
    assert all(len(after) == 1 for after in contexts.values())
    if needed > 1:
        assert mt.best_with_window(word, needed - 1)[0] > 0


def test_the_words_differ_in_their_ls_alone():
    assert list(mt.WORDS) == ["neuron", "hello", "l8", "l16"]
    assert mt.WORDS["neuron"] == "neuron"
    for name, n in (("hello", 2), ("l8", 8), ("l16", 16)):
        word = mt.WORDS[name]
        assert (word[:2], word[-1], word.count("l")) == ("he", "o", n)
        assert len(word) == n + 3
        assert mt.letters_needed(word) == n  # so many l's tell the last from the rest


def test_no_network_without_memory_beats_the_count_and_training_gets_there():
    for word in mt.WORDS.values():
        bound, best = mt.best_with_window(word)
        nats, right = mt.results_of("none", word)
        assert (nats >= bound).all()
        assert (right <= best).all()
        np.testing.assert_allclose(nats, bound, atol=2e-3)


# what trains: the direction that holds for every seed


def test_on_neuron_memory_makes_no_difference():
    for kind in mt.UNITS:
        nats, right = mt.results_of(kind, "neuron")
        assert nats.max() < 5e-3
        assert (right == 1).all()


def test_on_hello_both_recurrent_networks_beat_the_bound():
    for kind in ("rnn", "lstm"):
        nats, right = mt.results_of(kind, "hello")
        assert nats.max() < math.log(2) / 2 / 50
        assert (right == 1).all()


def test_sixteen_ls_part_the_lstm_from_the_rnn():
    rnn, right = mt.results_of("rnn", mt.WORDS["l16"])
    assert (right < 1).all()
    bound, _ = mt.best_with_window(mt.WORDS["l16"])
    lstm, _ = mt.results_of("lstm", mt.WORDS["l16"])
    assert lstm.max() < bound / 2
    assert lstm.max() < rnn.min()
    # the RNNs lie around the bound, the worst above it
    assert rnn.min() < np.median(rnn) < bound < 0.95 * rnn.max()


def test_on_the_shorter_words_the_rnns_median_is_the_lower_one():
    for word in ("neuron", "hello", "l8"):
        rnn, lstm = (mt.results_of(kind, mt.WORDS[word])[0] for kind in ("rnn", "lstm"))
        assert np.median(rnn) < np.median(lstm) / 2


def test_results_are_those_of_ten_seeds_after_300_updates_at_a_rate_of_0_03():
    x, targets = mt.encode("neuron")
    p = mt.init_params("none", 5, 18, [np.random.default_rng(s) for s in range(10)])
    mt.train(p, "none", "neuron", 300, 0.03)
    nats, right = mt.results_of("none", "neuron")
    assert nats.shape == right.shape == (10,)
    loss, _ = mt.loss_and_gradients(p, "none", x, targets)
    np.testing.assert_allclose(nats, loss, rtol=1e-12)


def test_numbers_sum_up_the_results(out):
    of_words = {"bound_nats", "bound_right", "letters_needed"}
    keys = {f"{name}_{what}" for name in (*mt.WORDS, "neuron_end") for what in of_words}
    for name, word in mt.WORDS.items():
        bounds = out[f"{name}_bound_nats"], out[f"{name}_bound_right"]
        assert bounds == mt.best_with_window(word)
        for kind in mt.UNITS:
            nats, right = (sorted(v.tolist()) for v in mt.results_of(kind, word))
            key = f"nats_{name}_{kind}"
            assert out[f"{key}_min"] == nats[0]
            assert out[f"{key}_median"] == pytest.approx((nats[4] + nats[5]) / 2)
            assert out[f"{key}_max"] == nats[9]
            assert out[f"solved_{name}_{kind}"] == right.count(1.0)
            keys |= {f"{key}_min", f"{key}_median", f"{key}_max"}
            keys |= {f"solved_{name}_{kind}", f"units_{kind}", f"parameters_{kind}"}
    keys |= {"seeds", "updates", "banana_letters_needed"}
    keys |= {"lstm_gates", "forget_gate_fresh", "gate_shut", "gate_open"}
    assert out.keys() == keys
    assert (out["seeds"], out["updates"]) == (10, 300)


def test_the_lstm_has_the_units_that_come_closest_to_the_rnns_parameters(out):
    assert out["units_none"] == out["units_rnn"]
    of_rnn = out["parameters_rnn"]

    def gap(n):
        p = mt.init_params("lstm", 4, n, [np.random.default_rng(0)])
        return abs(sum(w.size for w in p.values()) - of_rnn)

    assert gap(out["units_lstm"]) == min(gap(n) for n in range(1, 20))


def test_numbers_that_can_be_had_on_paper(out):
    needed = {"neuron": 1, "hello": 2, "l8": 8, "l16": 16, "neuron_end": 2, "banana": 4}
    for name, n in needed.items():
        assert out[f"{name}_letters_needed"] == n
    assert out["neuron_end_bound_right"] == pytest.approx(5 / 6)
    assert (out["gate_shut"], out["gate_open"]) == (0, 1)
    assert out["neuron_end_bound_nats"] == pytest.approx(2 * math.log(2) / 6)
    assert out["l16_bound_right"] == pytest.approx(17 / 18)
    # 16 l's are read, 15 of them followed by l
    entropy = -(15 * math.log(15 / 16) + math.log(1 / 16)) / 18
    assert out["l16_bound_nats"] == pytest.approx(entropy)
    assert out["lstm_gates"] == 3
    assert out["forget_gate_fresh"] == pytest.approx(1 / (1 + math.exp(-1)), rel=1e-12)
    for kind, layer in (("rnn", torch.nn.RNN), ("lstm", torch.nn.LSTM)):
        n = int(out[f"units_{kind}"])
        count = sum(q.numel() for q in layer(4, n).parameters())
        idle = n * (4 if kind == "lstm" else 1)  # torch's second bias
        assert out[f"parameters_{kind}"] == count - idle + (n + 1) * 4


def test_initial_parameters():
    p = mt.init_params("lstm", 6, 16, [np.random.default_rng(s) for s in (0, 1)])
    assert {name: w.shape for name, w in p.items()} == {
        "W_x": (2, 6, 64),
        "W_h": (2, 16, 64),
        "W_y": (2, 16, 6),
        "b": (2, 1, 64),
        "b_y": (2, 1, 6),
    }
    np.testing.assert_array_equal(p["b"][..., :16], 1)
    np.testing.assert_array_equal(p["b"][..., 16:], 0)
    for name in ("W_x", "W_h", "W_y"):
        assert 0.23 < np.abs(p[name]).max() <= 0.25
        assert not np.array_equal(p[name][0], p[name][1])


def test_bad_input_is_named(case):
    kind, p, x, targets = case
    for word, window in (("a", 1), ("hello", 0)):
        with pytest.raises(ValueError, match="word must have >= 2 letters, window"):
            mt.best_with_window(word, window)
    with pytest.raises(ValueError, match="kind is 'gru', expected one of none, rnn"):
        mt.forward(p, "gru", x)
    for bad in (x + V, x - V, x[:0], x[None]):
        with pytest.raises(ValueError, match=r"x must be a row of indices in \[0, 5\)"):
            mt.forward(p, kind, bad)
    with pytest.raises(ValueError, match=r"targets must be \(9,\) like x, got \(8,\)"):
        mt.loss_and_gradients(p, kind, x, targets[1:])
