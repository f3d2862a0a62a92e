"""rnn_seed_10.py against torch, central differences and what the source printed."""

import math

import numpy as np
import pytest
import torch

import rnn_seed_10 as rnn

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
C, H, T = 7, 5, 9


@pytest.fixture
def case():
    """A small network with ordinary weights; a sentence in which words come twice."""
    rng = np.random.default_rng(3)
    shapes = {"U": (H, C), "V": (C, H), "W": (H, H)}
    p = {name: 0.7 * rng.standard_normal(shape) for name, shape in shapes.items()}
    x, y = np.array([0, 4, 4, 1, 6, 0, 2, 4, 1]), rng.integers(0, C, T)
    return p, x, y


@pytest.fixture(scope="module")
def page_numbers():
    return rnn.numbers()


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


def test_forward_equals_torch(case):
    p, x, _ = case
    layer = torch.nn.RNN(C, H, bias=False, dtype=torch.float64)
    weights = {"weight_ih_l0": p["U"], "weight_hh_l0": p["W"]}
    weights = {name: torch.tensor(w) for name, w in weights.items()}
    one_hot = torch.eye(C, dtype=torch.float64)[x]
    states, _ = torch.func.functional_call(layer, weights, (one_hot,))
    s, log_o = rnn.forward(p, x)
    assert not s[0].any()
    np.testing.assert_allclose(s[1:], states, **TOLERANCE)
    expected = torch.log_softmax(states @ torch.tensor(p["V"]).T, dim=-1)
    np.testing.assert_allclose(log_o, expected, **TOLERANCE)


@pytest.mark.parametrize("truncate", [0, 1, 4, 7, 8, 1000])
def test_gradients_equal_torch_at_every_truncation(case, truncate):
    loss, grads = rnn.loss_and_gradients(*case, truncate)
    expected_loss, expected = torch_gradients(*case, truncate)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert grads.keys() == expected.keys()
    for name, g in grads.items():
        np.testing.assert_allclose(g, expected[name], **TOLERANCE, err_msg=name)


def test_one_step_by_hand():
    """One unit, two words, all weights 1 and one -1: reads word 0, is told word 1."""
    p = {"U": np.array([[1.0, 0.0]]), "V": np.array([[1.0], [-1.0]])}
    p["W"] = np.array([[0.5]])
    loss, grads = rnn.loss_and_gradients(p, np.array([0]), np.array([1]), 4)
    s = math.tanh(1)
    o1 = math.exp(-s) / (math.exp(s) + math.exp(-s))
    assert loss == pytest.approx(-math.log(o1))
    np.testing.assert_allclose(grads["V"], [[(1 - o1) * s], [(o1 - 1) * s]])
    np.testing.assert_allclose(grads["U"], [[2 * (1 - o1) * (1 - s * s), 0]])
    assert grads["W"] == 0  # s_{-1} = 0


# seed 10


def test_random_state_is_the_stream_of_the_global_seed():
    before = np.random.get_state()  # noqa: NPY002, the source's own call is the point
    try:
        np.random.seed(10)  # noqa: NPY002
        expected = [np.random.uniform(-1, 1, (3, 2)) for _ in range(2)]  # noqa: NPY002
    finally:
        np.random.set_state(before)  # noqa: NPY002
    ours, modern = np.random.RandomState(10), np.random.default_rng(10)
    for values in expected:
        np.testing.assert_array_equal(ours.uniform(-1, 1, (3, 2)), values)
        assert not np.isclose(modern.uniform(-1, 1, (3, 2)), values).any()


def test_initial_parameters_are_drawn_in_the_order_of_the_source():
    p = rnn.init_params(8000, 100, np.random.RandomState(10))
    again = np.random.RandomState(10)
    np.testing.assert_array_equal(
        p["U"], again.uniform(-(8000**-0.5), 8000**-0.5, (100, 8000))
    )
    np.testing.assert_array_equal(p["V"], again.uniform(-0.1, 0.1, (8000, 100)))
    np.testing.assert_array_equal(p["W"], again.uniform(-0.1, 0.1, (100, 100)))


def test_what_the_source_printed(page_numbers):
    assert page_numbers["first_word"] == 1284
    printed = "0.00012408 0.0001244 0.00012603 0.00012515 0.00012488 0.00012508"
    words = (0, 1, 2, 7997, 7998, 7999)
    for word, text in zip(words, printed.split(), strict=True):
        assert f"{page_numbers[f'o_{word}']:.8f}".rstrip("0") == text
    assert f"{page_numbers['log_8000']:.6f}" == "8.987197"


def test_an_untrained_network_is_nearly_guessing(page_numbers):
    assert page_numbers["o_smallest"] < 1 / 8000 < page_numbers["o_largest"]
    for name in ("loss_per_word", "loss_wrong_targets"):  # the first loss sees neither
        assert page_numbers[name] == pytest.approx(math.log(8000), abs=0.01)


def test_the_printed_sentence_is_shifted_by_one():
    np.testing.assert_array_equal(rnn.X[1:], rnn.Y[:-1])
    assert (rnn.X[0], rnn.Y[-1]) == (0, 1)  # the start and the end
    assert rnn.X.shape == rnn.Y.shape == (10,)


def test_the_numbers_of_the_untrained_network(page_numbers):
    p = rnn.init_params(8000, 100, np.random.RandomState(10))
    loss, wrong, probabilities = 0.0, 0.0, []
    s = np.zeros(100)
    for word, following in zip(rnn.X, rnn.Y, strict=True):
        s = np.tanh(p["U"][:, word] + p["W"] @ s)
        probabilities.append(torch.softmax(torch.from_numpy(p["V"] @ s), 0).numpy())
        loss -= math.log(probabilities[-1][following])
        wrong -= math.log(probabilities[-1][word])
    expected = {
        "parameters": 2 * 8000 * 100 + 100 * 100,
        "output_share": 80 / 81,
        "loss_per_word": loss / 10,
        "loss_wrong_targets": wrong / 10,
        "o_smallest": np.min(probabilities),
        "o_largest": np.max(probabilities),
        "log_100": 2 * math.log(10),
    }
    for name, value in expected.items():
        assert page_numbers[name] == pytest.approx(value, rel=1e-9), name


# the gradient check


def test_check_compares_only_words_that_were_read(page_numbers):
    assert page_numbers["check_U_compared"] == 4 * 10
    assert page_numbers["check_V_compared"] == page_numbers["check_V_entries"] == 1000
    assert page_numbers["check_W_compared"] == page_numbers["check_W_entries"] == 100
    assert page_numbers["check_undefined"] == 1000 - 40
    assert page_numbers["check_flagged"] == 0
    assert page_numbers["check_worst"] < 1e-4
    # told that every gradient is NaN, the source's comparison has nothing to say
    assert page_numbers["check_flagged_all_nan"] == 0
    p = rnn.init_params(100, 10, np.random.RandomState(10))
    loss, _ = torch_gradients(p, range(4), range(1, 5), 1000)
    assert page_numbers["check_loss_per_word"] == pytest.approx(loss / 4)


def test_what_is_flagged_is_above_one_per_cent():
    errors = np.array([0.01, 0.0100001, 1.0, np.nan, 0.0])
    assert rnn.flagged_as_in_source(errors) == 2


def test_check_is_blind_to_nan_and_only_to_nan(case):
    p, x, y = case
    _, grads = rnn.loss_and_gradients(p, x, y, 1000)
    errors = rnn.relative_errors(p, x, y, grads)
    assert {name for name, e in errors.items() if np.isnan(e).any()} == {"U"}
    unread = np.isin(np.arange(C), x, invert=True)
    np.testing.assert_array_equal(np.isnan(errors["U"]).all(axis=0), unread)
    for name in p:
        for wrong, found in ((1.1, True), (0.0, True), (-1.0, True), (np.nan, False)):
            scaled = grads | {name: wrong * grads[name]}
            e = rnn.relative_errors(p, x, y, scaled)[name]
            assert (rnn.flagged_as_in_source(e) > 0) == found, (name, wrong)


def test_check_by_hand():
    """The loss is tanh-free in V for one word: a known slope and a wrong gradient."""
    p = {"U": np.array([[1.0, 0.0]]), "V": np.zeros((2, 1)), "W": np.zeros((1, 1))}
    x, y = np.array([0]), np.array([0])
    slope = -math.tanh(1) / 2  # dL / dV[0]: (o - 1) s with o = 1/2
    grads = {"U": np.zeros((1, 2)), "V": np.array([[3 * slope], [-slope]])}
    errors = rnn.relative_errors(p, x, y, grads | {"W": np.zeros((1, 1))})
    np.testing.assert_allclose(errors["V"], [[0.5], [0]], atol=1e-6)
    assert np.isnan(errors["U"]).all()
    assert np.isnan(errors["W"]).all()


# truncation and the plateau


def test_truncation_error_falls_with_depth(page_numbers):
    errors = [page_numbers[f"truncation_error_{depth}"] for depth in range(6)]
    assert errors == sorted(errors, reverse=True)
    p = rnn.init_params(900, 10, np.random.RandomState(0))
    assert rnn.truncation_error(p, 9) == 0
    full, cut = (torch_gradients(p, rnn.X, rnn.Y, k)[1]["W"] for k in (10, 2))
    expected = np.linalg.norm(cut - full) / np.linalg.norm(full)
    assert rnn.truncation_error(p, 2) == pytest.approx(expected, rel=1e-10)


def test_one_hot_scale_is_the_same_draw():
    p = rnn.init_params(900, 10, np.random.RandomState(0))
    scaled = rnn.one_hot_scale(p)
    np.testing.assert_allclose(scaled["U"], 30 * p["U"], **TOLERANCE)
    assert np.abs(scaled["U"]).max() <= 1
    assert scaled["V"] is p["V"]


def test_descend_is_sgd():
    p = rnn.init_params(900, 10, np.random.RandomState(0))
    w = {name: torch.tensor(v.copy()) for name, v in p.items()}
    optimizer = torch.optim.SGD(w.values(), lr=0.02)
    expected, sizes = [], []
    for _ in range(4):
        now = {name: v.numpy().copy() for name, v in w.items()}
        loss, grads = torch_gradients(now, rnn.X, rnn.Y, 4)
        expected.append(loss / 10)
        sizes.append(np.abs(rnn.forward(now, rnn.X)[0][1:]).mean())
        for name, v in w.items():
            v.grad = torch.tensor(grads[name])
        optimizer.step()
    losses, measured = rnn.descend(p, 4, lr=0.02)
    np.testing.assert_allclose(losses, expected, **TOLERANCE)
    np.testing.assert_allclose(measured, sizes, **TOLERANCE)


def test_descend_stops_at_half():
    p = rnn.one_hot_scale(rnn.init_params(900, 30, np.random.RandomState(0)))
    losses, _ = rnn.descend(p, 500)
    assert len(losses) < 500
    assert losses[-1] < math.log(900) / 2 <= losses[-2]


def test_plateau_goes_with_the_range_of_u_for_every_seed(page_numbers):
    slow, fast = page_numbers["steps_to_half_source_min"], "steps_to_half_one_hot_max"
    assert slow > 3 * page_numbers[fast]
    small, large = "first_state_source_max", "first_state_one_hot_min"
    assert 10 * page_numbers[small] < page_numbers[large]


def test_the_descents_are_those_of_seeds_10_to_14():
    for one_hot in (False, True):
        runs = rnn.descents(one_hot)
        assert len(runs) == 5
        for seed, (losses, sizes) in enumerate(runs, start=10):
            p = rnn.init_params(2000, 100, np.random.RandomState(seed))
            p = rnn.one_hot_scale(p) if one_hot else p
            again = rnn.descend(p, 2, lr=0.005)
            np.testing.assert_allclose(losses[:2], again[0], rtol=1e-12)
            np.testing.assert_allclose(sizes[:2], again[1], rtol=1e-12)


def test_the_numbers_sum_up_five_seeds(page_numbers):
    expected = {"truncation_error_4": []}
    for seed in range(10, 15):
        p = rnn.init_params(8000, 100, np.random.RandomState(seed))
        expected["truncation_error_4"].append(rnn.truncation_error(p, 4))
    assert page_numbers["truncation_error_4"] == expected["truncation_error_4"][0]
    for name, one_hot in (("source", False), ("one_hot", True)):
        runs, goal = rnn.descents(one_hot), math.log(2000) / 2
        steps = [next(n for n, v in enumerate(loss) if v < goal) for loss, _ in runs]
        expected[f"steps_to_half_{name}"] = steps
        expected[f"first_state_{name}"] = [sizes[0] for _, sizes in runs]
    for name, values in expected.items():
        low, _, middle, _, high = sorted(values)
        for kind, value in (("min", low), ("median", middle), ("max", high)):
            assert page_numbers[f"{name}_{kind}"] == pytest.approx(value, rel=1e-12)


# bad input


def test_bad_input_says_what_is_wrong(case):
    p, x, y = case
    for wrong in (x + 1, x - 1, x[:0], x[None]):
        with pytest.raises(ValueError, match=r"x must be a row of indices in \[0, 7\)"):
            rnn.forward(p, wrong)
    with pytest.raises(ValueError, match=r"y must be \(9,\) like x .* \(8,\) and 4"):
        rnn.loss_and_gradients(p, x, y[1:], 4)
    with pytest.raises(ValueError, match=r"truncate >= 0, got \(9,\) and -1"):
        rnn.loss_and_gradients(p, x, y, -1)
    for sizes in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="C and H must be >= 1"):
            rnn.init_params(*sizes, np.random.RandomState(0))
    assert rnn.init_params(1, 1, np.random.RandomState(0))["U"].shape == (1, 1)
