"""snippets/gru_language_model.py against its twin in torch."""

import numpy as np
import pytest
import torch

import gru_language_model as lm

T, B, C, D, H, S = 6, 3, 7, 4, 5, 2
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def case():
    """Two models side by side, biases too, and random words."""
    rng = np.random.default_rng(8)
    p = {
        name: 0.7 * rng.standard_normal((S, *shape))
        for name, shape in lm.shapes(C, D, H).items()
    }
    x, y = rng.integers(0, C, (2, T, B))
    return p, x, y


def twin(p):
    """One model's parameters as torch leaves."""
    return {name: torch.from_numpy(w.copy()).requires_grad_() for name, w in p.items()}


def twin_loss(q, x, y):
    """The source's network, written in torch for one word at a time."""
    n = q["V"].shape[1]
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    states = [torch.zeros(x.shape[1], n, dtype=torch.float64) for _ in (1, 2)]
    losses = []
    for t in range(len(x)):
        below = torch.nn.functional.embedding(x[t], q["E"].T)
        for i in (0, 1):
            U, W, b = (q[f"{name}{i + 1}"] for name in "UWb")
            old = states[i]
            z, r = (torch.sigmoid(below @ U[k].T + old @ W[k].T + b[k]) for k in (0, 1))
            h = torch.tanh(below @ U[2].T + (old * r) @ W[2].T + b[2])
            below = states[i] = (1 - z) * h + z * old
        scores = below @ q["V"].T + q["c"]
        losses.append(torch.nn.functional.cross_entropy(scores, y[t]))
    return torch.stack(losses).mean()


def one(p, i):
    """Model i of a stack."""
    return {name: w[i] for name, w in p.items()}


def test_loss_and_gradients_equal_the_twins(case):
    p, x, y = case
    loss, grads = lm.loss_and_gradients(p, x, y)
    assert loss.shape == (S,)
    for i in range(S):
        q = twin(one(p, i))
        expected = twin_loss(q, x, y)
        expected.backward()
        assert loss[i] == pytest.approx(expected.item(), rel=1e-12)
        for name, leaf in q.items():
            np.testing.assert_allclose(grads[name][i], leaf.grad, **TIGHT)


def test_a_model_alone_equals_itself_in_a_stack(case):
    p, x, y = case
    loss, grads = lm.loss_and_gradients(p, x, y)
    alone, alone_grads = lm.loss_and_gradients(one(p, 1), x, y)
    assert alone == pytest.approx(loss[1], rel=1e-14)
    for name, g in alone_grads.items():
        assert g.shape == p[name][1].shape
        np.testing.assert_allclose(g, grads[name][1], **TIGHT)


def test_two_leading_axes(case):
    p, x, y = case
    loss, grads = lm.loss_and_gradients({name: w[None] for name, w in p.items()}, x, y)
    expected, expected_grads = lm.loss_and_gradients(p, x, y)
    np.testing.assert_array_equal(loss[0], expected)
    for name, g in expected_grads.items():
        np.testing.assert_array_equal(grads[name][0], g)


def test_training_steps_equal_the_twins(case):
    """Five whole steps: forward, backward, RMSprop with its root around the 1e-6."""
    p, x, y = case
    p = one(p, 0)
    q = twin(p)
    cache = {name: np.zeros_like(w) for name, w in p.items()}
    caches = {name: torch.zeros_like(w) for name, w in q.items()}
    for _ in range(5):
        lm.rmsprop(p, lm.loss_and_gradients(p, x, y)[1], cache, lr=0.01, decay=0.8)
        grads = torch.autograd.grad(twin_loss(q, x, y), list(q.values()))
        with torch.no_grad():
            for (name, w), g in zip(q.items(), grads, strict=True):
                caches[name].mul_(0.8).addcmul_(g, g, value=0.2)
                w.sub_(0.01 * g * torch.rsqrt(caches[name] + 1e-6))
    for name, w in q.items():
        np.testing.assert_allclose(p[name], w.detach(), **TIGHT)


def test_rmsprop_is_torchs_where_the_small_constant_does_not_matter():
    """torch adds its eps outside the root, so gradients are large here."""
    rng = np.random.default_rng(9)
    w = {"w": rng.standard_normal(6)}
    leaf = torch.from_numpy(w["w"].copy())
    optimizer = torch.optim.RMSprop([leaf], lr=0.001, alpha=0.9, eps=0)
    cache = {"w": np.zeros(6)}
    for _ in range(4):
        g = 1e3 * (1 + rng.random(6))
        lm.rmsprop(w, {"w": g}, cache)
        leaf.grad = torch.from_numpy(g)
        optimizer.step()
    np.testing.assert_allclose(w["w"], leaf, rtol=0, atol=1e-12)


def test_step_lengths_by_hand():
    # cache after n ones: 1 - 0.9^n
    expected = 1 / np.sqrt(1 - 0.9 ** np.arange(1, 6) + 1e-6)
    np.testing.assert_allclose(lm.step_lengths(np.ones(5)), expected, rtol=1e-12)
    np.testing.assert_allclose(lm.step_lengths(-np.ones(5)), expected, rtol=1e-12)
    n = lm.numbers()
    assert n["rmsprop_step_1"] == pytest.approx(expected[0])
    assert n["rmsprop_step_5"] == pytest.approx(expected[4])


def test_layer_by_hand():
    """One unit, one step, one bias per gate."""
    U, W = np.zeros((2, 3, 1, 1))
    U[2], W[2] = 0.5, 2.0
    b = np.array([[np.log(3)], [-np.log(3)], [0.1]])  # z = 3/4, r = 1/4
    s, _ = lm.gru_layer(U, W, b, np.array([[[2.0]], [[2.0]]]))
    first = np.tanh(1.1) / 4
    assert s[0, 0, 0] == pytest.approx(first, abs=1e-15)
    h = np.tanh(1.1 + 2 * first / 4)
    assert s[1, 0, 0] == pytest.approx(h / 4 + 0.75 * first, abs=1e-15)


def test_a_gate_bias_moves_one_gate_of_both_layers_and_leaves_the_original(case):
    p, _, _ = case
    before = {name: w.copy() for name, w in p.items()}
    for gate in (0, 1):
        q = lm.with_gate_bias(p, gate, -2.0)
        for name, w in p.items():
            np.testing.assert_array_equal(w, before[name])
            expected = w.copy()
            if name in ("b1", "b2"):
                expected[:, gate] = -2.0
            np.testing.assert_array_equal(q[name], expected)


def test_the_twins_start_from_the_wide_gru_with_one_bias_moved():
    x, y, C = lm.batch()
    p = lm.init_params(C, 16, 16, np.random.default_rng(3))
    for name, gate, bias in (("wide", 0, 0.0), ("z_low", 0, -2.0), ("r_high", 1, 2.0)):
        for b in (p["b1"], p["b2"]):
            b[:] = 0
            b[gate] = bias
        expected = twin_loss(twin(p), x, y).item()
        assert lm.run()[name][0, 3] == pytest.approx(expected, rel=1e-12)


def test_pinned_gates_leave_a_plain_network_of_two_layers(case):
    p, x, y = case
    p = one(lm.pin_gates(p), 0)
    loss, grads = lm.loss_and_gradients(p, x, y)
    rnn = torch.nn.RNN(D, H, num_layers=2, dtype=torch.float64)
    with torch.no_grad():
        for i in (1, 2):
            getattr(rnn, f"weight_ih_l{i - 1}").copy_(torch.from_numpy(p[f"U{i}"][2]))
            getattr(rnn, f"weight_hh_l{i - 1}").copy_(torch.from_numpy(p[f"W{i}"][2]))
            getattr(rnn, f"bias_ih_l{i - 1}").copy_(torch.from_numpy(p[f"b{i}"][2]))
            getattr(rnn, f"bias_hh_l{i - 1}").zero_()
        states, _ = rnn(torch.from_numpy(p["E"].T[x]))
        scores = states @ torch.from_numpy(p["V"]).T + torch.from_numpy(p["c"])
        expected = torch.nn.functional.cross_entropy(
            scores.flatten(0, 1), torch.from_numpy(y.ravel())
        )
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    # nothing moves a pinned gate, so it stays a plain network through training
    for name in ("U1", "W1", "b1", "U2", "W2", "b2"):
        assert not grads[name][:2].any()
        assert grads[name][2].any()


@pytest.mark.parametrize(("words", "dims", "units"), [(8000, 48, 128), (11, 3, 4)])
def test_counts_equal_torchs_without_its_second_biases(words, dims, units):
    parts = (
        torch.nn.Embedding(words, dims, device="meta"),
        torch.nn.GRU(dims, units, num_layers=2, device="meta"),
        torch.nn.Linear(units, words, device="meta"),
    )
    total = sum(w.numel() for part in parts for w in part.parameters())
    assert lm.count(lm.shapes(words, dims, units)) == total - 2 * 3 * units


def test_counts_of_the_program():
    sizes = lm.shapes_as_coded(8000, 128)
    # the program's arrays: E, U (6, H, H), W (6, H, H), V, b (6, H), c
    expected = 8000 * 128 * 2 + 2 * 6 * 128 * 128 + 6 * 128 + 8000
    assert lm.count(sizes) == expected == lm.numbers()["parameters_coded"]
    assert sizes["E"] == (128, 8000)


def test_init_is_within_its_bounds():
    p = lm.init_params(400, 9, 25, np.random.default_rng(0))
    for name, w in p.items():
        bound = 0.05 if name == "E" else 0.2
        if name in ("b1", "b2", "c"):
            assert not w.any()
        else:
            assert 0.95 * bound < np.abs(w).max() <= bound
            assert abs(w.mean()) < 0.1 * bound
        assert w.shape == lm.shapes(400, 9, 25)[name]


def test_numbers_are_counts_and_what_the_runs_end_with(monkeypatch):
    """With the training stubbed: which value of which network goes by which name."""
    losses = dict(
        zip(
            ("wide", "rnn", "z_low", "r_high", "narrow"),
            np.random.default_rng(0).random((5, 81, 5)),
            strict=True,
        )
    )
    monkeypatch.setattr(lm, "run", lambda: losses)

    def two_layers(D):
        return 3 * 128 * (D + 128 + 1) + 3 * 128 * (128 + 128 + 1)

    rest = 8000 * 128 + 8000  # V and c
    want = {"embedding_dimensions_coded": 128}
    for name, D in (("coded", 128), ("told", 48)):
        want[f"parameters_{name}"] = 8000 * D + two_layers(D) + rest
        want[f"parameters_{name}_E"] = 8000 * D
        want[f"parameters_{name}_V"] = 8000 * 128
    for step in range(1, 6):
        want[f"rmsprop_step_{step}"] = (1 - 0.9**step + 1e-6) ** -0.5
    words = lm.rhyme()
    want |= {"words": len(words), "vocabulary": len(set(words))}
    want |= {"updates": 80, "units": 16, "narrow": 6, "wide": 16, "rows": 23}
    share = np.array([words[1:461].count(w) / 460 for w in sorted(set(words[1:461]))])
    entropy = torch.distributions.Categorical(torch.from_numpy(share)).entropy()
    want["word_frequency_nats"] = entropy.item()
    wide, low, plain = (losses[name][80] for name in ("wide", "z_low", "rnn"))
    closed = sorted(1 - (low - plain) / (wide - plain))
    want |= {"gap_closed_by_z_min": closed[0], "gap_closed_by_z_max": closed[4]}
    want["gap_closed_by_z_median"] = closed[2]
    for name, curve in losses.items():
        want[f"loss_{name}_start_median"] = sorted(curve[0])[2]
        low, _, middle, _, high = sorted(curve[80])
        want |= {f"loss_{name}_min": low, f"loss_{name}_max": high}
        want[f"loss_{name}_median"] = middle
    assert lm.numbers() == pytest.approx(want, rel=1e-12)


def test_the_last_verse_goes_through_all_of_them():
    verses = " ".join(lm.rhyme()).split(" . ")
    assert len(verses) == 12
    assert verses[0] == "This is the house that Jack built"
    assert verses[-1] == (
        "This is the horse and the hound and the horn that belonged to the farmer "
        "sowing his corn that kept the rooster that crowed in the morn that woke the "
        "judge all shaven and shorn that married the man all tattered and torn that "
        "kissed the maiden all forlorn that milked the cow with the crumpled horn that "
        "tossed the dog that worried the cat that killed the rat that ate the malt "
        "that lay in the house that Jack built ."
    )


def test_the_batch_is_the_rhyme():
    x, y, size = lm.batch()
    words = lm.rhyme()
    assert " ".join(words).split(" . ")[2] == (
        "This is the rat that ate the malt that lay in the house that Jack built"
    )
    vocabulary = sorted(set(words))
    assert size == len(vocabulary)
    assert x.shape == y.shape == (20, 23)
    assert [vocabulary[i] for i in x.T.ravel()] == words[:460]
    assert [vocabulary[i] for i in y.T.ravel()] == words[1:461]


def test_what_the_run_shows_holds_for_every_seed():
    losses = lm.run()
    for name, curve in losses.items():
        assert curve.shape == (lm.UPDATES + 1, lm.SEEDS)
        # all begin at guessing and learn
        assert np.abs(curve[0] - np.log(lm.batch()[2])).max() < 0.05, name
        assert (curve[-1] < 0.5 * curve[0]).all(), name
    # at this point of training: narrow vectors behind wide ones, the plain one ahead
    assert (losses["narrow"][-1] > losses["wide"][-1]).all()
    assert (losses["rnn"][-1] < losses["wide"][-1]).all()
    # an update gate that lets more pass makes up for much of it, a reset gate for none
    gap = losses["wide"][-1] - losses["rnn"][-1]
    assert (losses["z_low"][-1] < losses["wide"][-1] - 0.25 * gap).all()
    assert (losses["r_high"][-1] > losses["wide"][-1] - 0.1 * gap).all()
    # after 10 updates both GRUs rest on the ledge; the plain one has left it
    ledge = lm.word_frequency_nats()
    for name in ("wide", "narrow"):
        assert np.abs(np.median(losses[name][10]) - ledge) < 0.05
    assert (losses["rnn"][10] < ledge - 0.3).all()
    n = lm.numbers()
    assert n["loss_rnn_max"] == losses["rnn"][-1].max()
    assert n["loss_wide_median"] == np.median(losses["wide"][-1])


def test_bad_input_is_named(case):
    p, x, y = case
    with pytest.raises(ValueError, match=r"x must be \(T, B\) indices in \[0, 7\)"):
        lm.loss_and_gradients(p, x[0], y)
    with pytest.raises(ValueError, match="x must be"):
        lm.loss_and_gradients(p, x[:0], y[:0])
    for bad in (-1, C):
        wrong = x.copy()
        wrong[2, 1] = bad
        with pytest.raises(ValueError, match="x must be"):
            lm.loss_and_gradients(p, wrong, y)
        with pytest.raises(ValueError, match="y must be"):
            lm.loss_and_gradients(p, x, wrong)
    with pytest.raises(ValueError, match=r"y must be \(6, 3\) like x, got \(5, 3\)"):
        lm.loss_and_gradients(p, x, y[:-1])
    for decay in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r"decay is .*at least 0 and below 1"):
            lm.rmsprop({}, {}, {}, decay=decay)
    for sizes, name in (((0, 1, 1), "C"), ((1, 0, 1), "D"), ((1, 1, 0), "H")):
        with pytest.raises(ValueError, match=f"{name} is 0, expected at least 1"):
            lm.shapes(*sizes)
