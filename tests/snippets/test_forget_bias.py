"""snippets/forget_bias.py: every model against torch, and what holds for all seeds."""

import numpy as np
import pytest
import torch

import forget_bias as fb

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


class Twin(torch.nn.Module):
    """Model (k, s) of a stack, in torch: its rows are i, f, g, o; ours f, i, o, g."""

    def __init__(self, p, k, s):
        super().__init__()
        n = p["W_y"].shape[3]
        W, b = p["W"][k, s], p["b"][k, s, :, 0]
        order = np.concatenate([np.arange(n) + block * n for block in (1, 0, 3, 2)])
        self.lstm = torch.nn.LSTM(W.shape[1] - n, n, dtype=torch.float64)
        self.out = torch.nn.Linear(n, 4, dtype=torch.float64)
        with torch.no_grad():
            self.lstm.weight_hh_l0.copy_(torch.from_numpy(W[order, :n]))
            self.lstm.weight_ih_l0.copy_(torch.from_numpy(W[order, n:]))
            self.lstm.bias_ih_l0.copy_(torch.from_numpy(b[order]))
            self.lstm.bias_hh_l0.zero_()
            self.out.weight.copy_(torch.from_numpy(p["W_y"][k, s]))
            self.out.bias.copy_(torch.from_numpy(p["b_y"][k, s, :, 0]))
        self.lstm.bias_hh_l0.requires_grad_(False)  # one bias, as drawn
        self.back = np.argsort(order)  # torch's rows -> ours

    def forward(self, x):
        return self.out(self.lstm(x)[0][-1])

    def as_ours(self, value):
        """value: parameter -> array; the four arrays in our layout."""
        q = self.lstm
        hh, ih = value(q.weight_hh_l0), value(q.weight_ih_l0)
        return {
            "W": np.concatenate([hh, ih], axis=1)[self.back],
            "b": value(q.bias_ih_l0)[self.back, None],
            "W_y": value(self.out.weight),
            "b_y": value(self.out.bias)[:, None],
        }


def fresh(seeds=(3, 4), biases=(0, 2), n=6, lag=9, batch=5):
    rngs = [np.random.default_rng(seed) for seed in seeds]
    p = fb.init_models(biases, rngs, n, 5, np.float64)
    for i, rng in enumerate(rngs):  # biases that are not all equal
        p["b"][:, i] += 0.3 * rng.standard_normal(p["b"].shape[2:])
        p["b_y"][:, i] += 0.3 * rng.standard_normal((4, 1))
    x, y = fb.make_batch(rngs, batch, lag)
    return p, x, y


MODELS = [(k, s) for k in range(2) for s in range(2)]


@pytest.mark.parametrize(("k", "s"), MODELS)
def test_loss_and_gradients_equal_autograd(k, s):
    p, x, y = fresh()
    loss, grads = fb.loss_and_gradients(p, x, y)
    twin = Twin(p, k, s)
    scores = twin(torch.from_numpy(x[:, s]))
    h, _ = fb.forward(p, x)
    np.testing.assert_allclose(fb.logits(p, h)[k, s].T, scores.detach(), **TIGHT)
    expected = torch.nn.functional.cross_entropy(scores, torch.from_numpy(y[s]))
    expected.backward()
    assert loss[k, s] == pytest.approx(expected.item(), abs=1e-12)
    for name, g in twin.as_ours(lambda q: q.grad.numpy()).items():
        np.testing.assert_allclose(grads[name][k, s], g, **TIGHT)


def test_scores_of_one_model_may_be_huge():
    """A number added to all four changes nothing, in this model or in the others."""
    p, x, y = fresh()
    loss, _ = fb.loss_and_gradients(p, x, y)
    p["b_y"][0, 1] += 2000
    with np.errstate(all="raise", under="ignore"):
        moved, _ = fb.loss_and_gradients(p, x, y)
    np.testing.assert_allclose(moved, loss, rtol=1e-10)


def test_gradients_are_of_the_models_type():
    rngs = [np.random.default_rng(0)]
    p = fb.init_models((1,), rngs, 6, 5)
    loss, grads = fb.loss_and_gradients(p, *fb.make_batch(rngs, 5, 9))
    assert {array.dtype for array in (loss, *grads.values())} == {np.dtype("float32")}


def test_training_equals_adam_in_torch():
    """Four whole training steps of 2 x 2 models, then all weights."""
    trained, _ = fb.train((0, 4), (5, 6), lag=6, steps=4, dtype=np.float64)
    rngs = [np.random.default_rng(seed) for seed in (5, 6)]
    start = fb.init_models((0, 4), rngs, fb.N_HIDDEN, 5, np.float64)
    twins = {(k, s): Twin(start, k, s) for k, s in MODELS}
    adams = {
        key: torch.optim.Adam([q for q in t.parameters() if q.requires_grad], lr=0.01)
        for key, t in twins.items()
    }
    for _ in range(4):
        x, y = fb.make_batch(rngs, fb.BATCH, 6)
        for (k, s), twin in twins.items():
            adams[k, s].zero_grad()
            scores = twin(torch.from_numpy(x[:, s]))
            torch.nn.functional.cross_entropy(scores, torch.from_numpy(y[s])).backward()
            torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
            adams[k, s].step()
    for (k, s), twin in twins.items():
        for name, value in twin.as_ours(lambda q: q.detach().numpy()).items():
            np.testing.assert_allclose(trained[name][k, s], value, **TIGHT)


def test_clip_equals_torch_model_by_model():
    rng = np.random.default_rng(0)
    shapes = {"W": (2, 2, 4, 3), "b": (2, 2, 4, 1)}
    grads = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    for g in grads.values():
        g[1] *= 0.05  # norms below 1: to be left alone
    clipped = fb.clip(grads)
    for k, s in MODELS:
        qs = [torch.zeros(g.shape[2:], dtype=torch.float64) for g in grads.values()]
        for q, g in zip(qs, grads.values(), strict=True):
            q.requires_grad_()
            q.grad = torch.from_numpy(g[k, s].copy())
        torch.nn.utils.clip_grad_norm_(qs, 1.0)
        for q, c in zip(qs, clipped.values(), strict=True):
            np.testing.assert_allclose(c[k, s], q.grad, rtol=1e-12)
    np.testing.assert_array_equal(clipped["W"][1], grads["W"][1])


def test_one_seed_differs_in_the_forget_bias_only():
    rngs = [np.random.default_rng(seed) for seed in (0, 1)]
    p = fb.init_models((0, 3), rngs, 6, 5)
    for name in ("W", "W_y", "b_y"):
        np.testing.assert_array_equal(p[name][0], p[name][1])
    assert not np.array_equal(p["W"][0, 0], p["W"][0, 1])
    np.testing.assert_array_equal(p["b"][0], 0)
    np.testing.assert_array_equal(p["b"][1, :, :6], 3)
    np.testing.assert_array_equal(p["b"][1, :, 6:], 0)
    for name in ("W", "W_y"):
        assert 0.9 < np.abs(p[name]).max() * np.sqrt(6) <= 1 + 1e-6
    assert p["W"].dtype == np.float32


def test_the_task():
    rngs = [np.random.default_rng(seed) for seed in (0, 1)]
    x, y = fb.make_batch(rngs, 400, 7)
    assert x.shape == (8, 2, 400, 5)
    assert y.shape == (2, 400)
    np.testing.assert_array_equal(x[0, :, :, :4].argmax(axis=-1), y)
    np.testing.assert_array_equal(x[0].sum(axis=-1), 1)  # one wire, no noise yet
    np.testing.assert_array_equal(x[1:, :, :, :4], 0)  # then noise on its own wire
    assert abs(x[1:, :, :, 4].mean()) < 0.05
    assert x[1:, :, :, 4].std() == pytest.approx(1, abs=0.05)
    assert np.abs(np.bincount(y.ravel(), minlength=4) - 200).max() < 60
    assert not np.array_equal(y[0], y[1])


def test_the_second_coding():
    x, y = fb.make_batch([np.random.default_rng(0)], 400, 7, "symbols")
    assert x.shape == (8, 1, 400, 8)
    np.testing.assert_array_equal(x[0, :, :, :4].argmax(axis=-1), y)
    np.testing.assert_array_equal(x.sum(axis=-1), 1)
    np.testing.assert_array_equal(x[0, :, :, 4:], 0)
    np.testing.assert_array_equal(x[1:, :, :, :4], 0)
    assert np.abs(x[1:, 0, :, 4:].mean(axis=(0, 1)) - 0.25).max() < 0.05


def test_reach_equals_autograd():
    norms = fb.reach((0, 5), lag=8)
    assert norms.shape == (2, len(fb.SEEDS), 9)
    rngs = [np.random.default_rng(seed) for seed in fb.SEEDS]
    p = fb.init_models((0, 5), rngs, fb.N_HIDDEN, 5, np.float64)
    x, _ = fb.make_batch(rngs, fb.BATCH, 8)
    for s, rng in enumerate(rngs):
        u = torch.from_numpy(rng.standard_normal((fb.N_HIDDEN, fb.BATCH)).T)
        u = u / u.norm(dim=1, keepdim=True)
        for k in range(2):
            x_s = torch.from_numpy(x[:, s]).requires_grad_()
            (Twin(p, k, s).lstm(x_s)[0][-1] * u).sum().backward()
            expected = x_s.grad.norm(dim=-1).mean(dim=-1).flip(0)
            np.testing.assert_allclose(norms[k, s], expected, **TIGHT)


def test_rnn_reach_equals_autograd():
    norms = fb.rnn_reach(lag=8)
    assert norms.shape == (len(fb.SEEDS), 9)
    n, bound = fb.N_HIDDEN, 1 / np.sqrt(fb.N_HIDDEN)
    rngs = [np.random.default_rng(seed) for seed in fb.SEEDS]
    W = [rng.uniform(-bound, bound, (n, n + 5)) for rng in rngs]
    x, _ = fb.make_batch(rngs, fb.BATCH, 8)
    for s, rng in enumerate(rngs):
        u = torch.from_numpy(rng.standard_normal((n, fb.BATCH)).T)
        u = u / u.norm(dim=1, keepdim=True)
        net = torch.nn.RNN(5, n, bias=False, dtype=torch.float64)
        with torch.no_grad():
            net.weight_hh_l0.copy_(torch.from_numpy(W[s][:, :n]))
            net.weight_ih_l0.copy_(torch.from_numpy(W[s][:, n:]))
        x_s = torch.from_numpy(x[:, s]).requires_grad_()
        (net(x_s)[0][-1] * u).sum().backward()
        expected = x_s.grad.norm(dim=-1).mean(dim=-1).flip(0)
        np.testing.assert_allclose(norms[s], expected, **TIGHT)


def test_the_gradient_reaches_farther_with_every_bias_and_seed():
    b0, b1, b3, b5 = fb.reach()[:, :, fb.LAG]
    rnn = fb.rnn_reach()[:, fb.LAG]
    # both vanish; among the RNNs a draw with a spectral radius near 1 may not
    assert b0.max() < 1e-6 > np.median(rnn)
    assert (b1 > 1e3 * b0).all()
    assert (b3 > 10 * b1).all()
    assert (b5 > b3).all()


def test_with_bias_3_and_5_the_gradient_dips_and_rises_toward_the_first_step():
    norms = fb.reach((3, 5))
    assert (norms[:, :, 10] < norms[:, :, 0]).all()
    assert (norms[:, :, fb.LAG] > 2 * norms[:, :, 0]).all()


def test_far_from_the_first_step_it_does_not_rise():
    b3, b5 = fb.reach((3, 5), lag=4 * fb.LAG)
    assert (b3[:, fb.LAG] < b3[:, 5]).all()
    assert (b5[:, fb.LAG] < 2 * b5[:, 5]).all()
    assert (b5[:, fb.LAG] < b5[:, 0] / 2).all()
    # but toward its own first step it does
    assert (b5[:, 4 * fb.LAG] > 5 * b5[:, fb.LAG]).all()


def test_the_rnn_that_reaches_farthest_has_the_largest_spectral_radius():
    n, bound = fb.N_HIDDEN, 1 / np.sqrt(fb.N_HIDDEN)
    radii = []
    for seed in fb.SEEDS:
        W = np.random.default_rng(seed).uniform(-bound, bound, (n, n + 5))
        radii.append(np.abs(np.linalg.eigvals(W[:, :n])).max())
    ours = fb.rnn_reach()[:, fb.LAG]
    assert ours.argmax() == np.argmax(radii)
    # much larger: by more than the spread of the others, and so is what arrives
    *others, largest = sorted(radii)
    assert largest - others[-1] > others[-1] - others[0]
    assert ours.max() > 1e4 * np.sort(ours)[-2]


def test_the_rise_at_the_start_needs_the_paths_around_the_belt(monkeypatch):
    """Without weights on h, what is left falls at every step, for every bias."""
    b5 = fb.reach()[3]
    assert (b5[:, 40] > 2 * b5[:, 10]).all()

    def belt_only(*args):
        p = init_models(*args)
        p["W"][..., : fb.N_HIDDEN] = 0
        return p

    init_models = fb.init_models
    monkeypatch.setattr(fb, "init_models", belt_only)
    belt = fb.reach()
    assert (belt[:, :, 40] < belt[:, :, 10]).all()
    # bias 5 and nothing but the belt: about f^30 between lags 10 and 40
    ratio = belt[3, :, 40] / belt[3, :, 10]
    np.testing.assert_allclose(ratio, (1 / (1 + np.exp(-5))) ** 30, rtol=0.15)


@pytest.mark.parametrize("noise", ["channel", "symbols"])
def test_what_holds_for_every_seed_and_both_codings(noise):
    b0, b1, b3, b5 = fb.accuracies(noise=noise)
    chance = 4 * np.sqrt(0.25 * 0.75 / 500)  # four standard deviations
    assert np.abs(b0 - 0.25).max() < chance  # bias 0 has learned nothing
    # on the same seed, that is with the same weights and the same data
    assert (b3 > b0 + chance).all()
    assert (b5 > b0 + chance).all()
    # bias 1 learns on some seeds and not on others: no claim but that of the medians
    assert np.median(b3) > np.median(b1) + 0.2
    assert np.median(b5) > np.median(b1) + 0.2


def test_accuracies_are_those_of_the_trained_models_on_fresh_sequences():
    p, rngs = fb.train(lag=8)
    x, y = fb.make_batch(rngs, 500, 8)
    ours = fb.accuracies(lag=8)
    assert ours.shape == (len(fb.BIASES), len(fb.SEEDS))
    for k, s in ((0, 0), (0, 3), (3, 1), (3, 4)):
        scores = Twin(p, k, s)(torch.from_numpy(x[:, s])).argmax(dim=1).numpy()
        # trained in float32, judged in float64: a tie may fall the other way
        assert ours[k, s] == pytest.approx((scores == y[s]).mean(), abs=0.005)
    assert ours[3].min() > 0.9  # a lag of 8 is learned


def test_spread():
    out = fb.spread("a", np.array([3.0, 1.0, 8.0]))
    assert out == {"a_median": 3.0, "a_min": 1.0, "a_max": 8.0}


def test_numbers_are_the_sizes_and_the_spread_of_the_last_lag(monkeypatch):
    """With the training stubbed: which value of which bias goes by which name."""
    accuracies, reach = np.random.default_rng(0).random((2, 4, 5))
    rnn = np.random.default_rng(1).random(5)
    at_40 = np.arange(41) == 40
    monkeypatch.setattr(fb, "accuracies", lambda: accuracies)
    at_40_of_160 = np.arange(161) == 40
    asked = {
        ((0, 1, 3, 5), 40): reach[:, :, None] * at_40,
        ((3, 5), 160): 7 * reach[2:, :, None] * at_40_of_160,
    }
    monkeypatch.setattr(
        fb, "reach", lambda biases=fb.BIASES, lag=fb.LAG: asked[biases, lag]
    )
    monkeypatch.setattr(fb, "rnn_reach", lambda: rnn[:, None] * at_40)
    # the experiment that the page describes
    want = {"lag_steps": 40, "seeds": 5, "units": 12}
    want |= {"train_steps": 120, "batch": 24, "learning_rate": 0.01}
    for row, bias in enumerate((0, 1, 3, 5)):
        want |= fb.spread(f"accuracy_b{bias}", accuracies[row])
        want |= fb.spread(f"reach_b{bias}_lag40", reach[row])
    want |= fb.spread("reach_b3_lag40_of_160", 7 * reach[2])
    want |= fb.spread("reach_b5_lag40_of_160", 7 * reach[3])
    want |= fb.spread("reach_rnn_lag40", rnn)
    assert fb.numbers() == want


def test_bad_input_is_named():
    rngs = [np.random.default_rng(0)]
    with pytest.raises(ValueError, match="lag is 0, expected at least 1"):
        fb.make_batch(rngs, 4, 0)
    with pytest.raises(ValueError, match="batch is 0"):
        fb.make_batch(rngs, 0, 4)
    with pytest.raises(ValueError, match="noise is 'white', expected 'channel' or"):
        fb.make_batch(rngs, 4, 4, "white")
    p, x, _ = fresh()
    with pytest.raises(ValueError, match=r"x has shape .* expected \(T, 2, B, 5\)"):
        fb.forward(p, x[..., :4])
    with pytest.raises(ValueError, match=r"x has shape .* expected \(T, 2, B, 5\)"):
        fb.forward(p, x[:, :1])
    with pytest.raises(ValueError, match="x has shape"):
        fb.forward(p, x[0])
