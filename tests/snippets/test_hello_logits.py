"""hello_logits.py against torch, SciPy and a worked example."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch

import hello_logits

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
SCORES = torch.tensor(hello_logits.SCORES)
TARGETS = torch.tensor(hello_logits.TARGETS)


@pytest.fixture(scope="module")
def numbers():
    return hello_logits.numbers()


def test_figure_is_copied_right():
    """Sums over the rows of the figure, added up by hand from the picture."""
    assert hello_logits.LETTERS == "helo"
    np.testing.assert_allclose(hello_logits.HIDDEN.sum(axis=1), [1.1, 1.4, -0.7, 1.3])
    np.testing.assert_allclose(hello_logits.HIDDEN.sum(axis=0), [1.1, 0.6, 1.4])
    np.testing.assert_allclose(hello_logits.SCORES.sum(axis=1), [4.3, 1.0, 1.4, 0.8])
    np.testing.assert_allclose(hello_logits.SCORES.sum(axis=0), [1.8, 1.5, -2.2, 6.4])
    assert hello_logits.TARGETS.tolist() == [1, 2, 2, 3]


@pytest.mark.parametrize("temperature", [0.01, 0.5, 1, 2, 50])
def test_softmax_equals_torch(temperature):
    p = hello_logits.softmax(hello_logits.SCORES, temperature)
    np.testing.assert_allclose(p, (SCORES / temperature).softmax(-1), **TOLERANCE)


def test_softmax_of_huge_scores_is_finite():
    """Row by row: the first row must not push the second below the smallest number."""
    p = hello_logits.softmax(np.array([[1e4, 1e4 - 1], [0.0, -1.0]]))
    np.testing.assert_allclose(p, [[1 / (1 + math.exp(-1)), 1 / (1 + math.e)]] * 2)


def test_dividing_log_probabilities_is_dividing_scores():
    """char-rnn's program divides log-probabilities; the softmax cannot tell."""
    log_p = np.log(hello_logits.softmax(hello_logits.SCORES))
    np.testing.assert_allclose(
        hello_logits.softmax(log_p, 0.7),
        hello_logits.softmax(hello_logits.SCORES, 0.7),
        **TOLERANCE,
    )


def test_loss_and_gradient_equal_autograd():
    scores = SCORES.clone().requires_grad_()
    expected = torch.nn.functional.cross_entropy(scores, TARGETS, reduction="none")
    expected.sum().backward()
    loss, gradient = hello_logits.loss_and_gradient(
        hello_logits.SCORES, hello_logits.TARGETS
    )
    np.testing.assert_allclose(loss, expected.detach(), **TOLERANCE)
    np.testing.assert_allclose(gradient, scores.grad, **TOLERANCE)


def test_worked_example(numbers):
    """To six digits, from a separate calculation made before this code."""
    p = [0.125116, 0.055018, 0.684143, 0.793451]
    loss = [2.078517, 2.900102, 0.379588, 0.231364]
    for t in range(4):
        assert numbers[f"p_target_{t + 1}"] == pytest.approx(p[t], abs=5e-7)
        assert numbers[f"loss_{t + 1}_nats"] == pytest.approx(loss[t], abs=5e-7)
    assert numbers["loss_mean_nats"] == pytest.approx(1.397393, abs=5e-7)
    gradient = {"h": 0.0377, "e": -0.8749, "l": 0.0007, "o": 0.8365}
    for letter, value in gradient.items():
        assert numbers[f"gradient_1_{letter}"] == pytest.approx(value, abs=5e-5)
    assert numbers["right_letters"] == 2
    assert numbers["loss_mean_nats"] > numbers["uniform_nats"]
    assert numbers["uniform_nats"] == pytest.approx(-math.log(1 / 4))


def test_every_score_and_probability_has_its_name(numbers):
    p = SCORES.softmax(-1)
    for t in range(4):
        for i, letter in enumerate("helo"):
            assert numbers[f"score_{t + 1}_{letter}"] == SCORES[t, i]
            assert numbers[f"p_{t + 1}_{letter}"] == pytest.approx(
                p[t, i].item(), rel=1e-10
            )


def test_step_from_2_2_to_2_3(numbers):
    scores = SCORES.clone().requires_grad_()
    torch.nn.functional.cross_entropy(scores, TARGETS, reduction="sum").backward()
    moved = scores - numbers["step_from_2_2_to_2_3"] * scores.grad
    assert moved[0, 1].item() == pytest.approx(2.3, abs=1e-12)


@pytest.mark.parametrize(("tag", "temperature"), [("0_5", 0.5), ("1", 1), ("2", 2)])
def test_entropy_at_a_temperature(numbers, tag, temperature):
    q = (SCORES[0] / temperature).softmax(0)
    assert numbers[f"entropy_temperature_{tag}_bits"] == pytest.approx(
        scipy.stats.entropy(q, base=2), rel=1e-10
    )


def test_entropy_of_a_fair_choice():
    assert hello_logits.entropy_bits(np.full(8, 1 / 8)) == pytest.approx(3)


def test_misfit_equals_scipy(numbers):
    hidden, scores = hello_logits.HIDDEN, hello_logits.SCORES
    W, *_ = scipy.linalg.lstsq(hidden, scores)
    expected = np.abs(scores - hidden @ W).max()
    assert numbers["misfit_without_bias"] == pytest.approx(expected, rel=1e-10)
    square = np.c_[hidden, np.ones(4)]
    exact = scipy.linalg.solve(square, scores)
    np.testing.assert_allclose(square @ exact, scores, **TOLERANCE)
    assert numbers["misfit_with_bias"] < 1e-12


def test_misfit_of_a_real_output_layer_is_zero():
    rng = np.random.default_rng(0)
    hidden, W = rng.standard_normal((6, 3)), rng.standard_normal((3, 4))
    plain, shifted = hidden @ W, hidden @ W + 1
    assert hello_logits.output_misfit(hidden, plain, bias=False) < 1e-12
    assert hello_logits.output_misfit(hidden, shifted, bias=False) > 0.01
    assert hello_logits.output_misfit(hidden, shifted, bias=True) < 1e-12


def test_distance_to_no_bias_equals_scipy(numbers):
    both = np.c_[hello_logits.HIDDEN, hello_logits.SCORES]
    expected = scipy.linalg.svdvals(both)[3]
    assert numbers["distance_to_no_bias"] == pytest.approx(expected, rel=1e-10)


def test_distance_of_a_real_output_layer_is_zero():
    rng = np.random.default_rng(0)
    hidden, W = rng.standard_normal((6, 3)), rng.standard_normal((3, 4))
    assert hello_logits.distance_to_no_bias(hidden, hidden @ W) < 1e-12
    assert hello_logits.distance_to_no_bias(hidden, hidden @ W + 1) > 0.1


def test_rounding_cannot_explain_the_misfit(numbers):
    """Neither by the bound nor anywhere we look in the box it covers."""
    distance = numbers["distance_to_no_bias"]
    rounding = numbers["largest_rounding_norm"]
    assert rounding == pytest.approx(np.linalg.norm(np.full((4, 7), 0.05)))
    assert distance > rounding
    rng = np.random.default_rng(1)
    for _ in range(200):
        hidden = hello_logits.HIDDEN + rng.choice([-0.05, 0.05], (4, 3))
        scores = hello_logits.SCORES + rng.choice([-0.05, 0.05], (4, 4))
        moved = hello_logits.distance_to_no_bias(hidden, scores)
        assert abs(moved - distance) <= rounding
        assert hello_logits.output_misfit(hidden, scores, bias=False) > 0.5


def test_move_of_scores_equals_a_step_by_autograd(numbers):
    """The output layer with bias as torch.nn.Linear; the scores before and after."""
    hidden = torch.tensor(hello_logits.HIDDEN)
    layer = torch.nn.Linear(3, 4, dtype=torch.float64)
    solution = np.linalg.solve(
        np.c_[hello_logits.HIDDEN, np.ones(4)], hello_logits.SCORES
    )
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(solution[:3].T))
        layer.bias.copy_(torch.tensor(solution[3]))
    before = layer(hidden)
    np.testing.assert_allclose(before.detach(), SCORES, **TOLERANCE)
    losses = torch.nn.functional.cross_entropy(before, TARGETS, reduction="none")
    losses.sum().backward()
    rate = 1e-4
    with torch.no_grad():
        for w in layer.parameters():
            w -= rate * w.grad
        after = layer(hidden)
        lowered = (
            torch.nn.functional.cross_entropy(after, TARGETS, reduction="none") < losses
        )
    _, gradient = hello_logits.loss_and_gradient(
        hello_logits.SCORES, hello_logits.TARGETS
    )
    move = hello_logits.move_of_scores(hello_logits.HIDDEN, gradient)
    np.testing.assert_allclose(move, (after - before).detach() / rate, atol=1e-8)
    rises = (after > before).numpy()
    told = np.eye(4, dtype=bool)[hello_logits.TARGETS]
    assert numbers["scores_moved_by_layer_as_told"] == (rises == told).sum()
    assert numbers["right_scores_raised_by_layer"] == rises[told].sum()
    assert numbers["first_step_moved_by_layer_as_told"] == (rises == told)[0].sum()
    assert numbers["losses_lowered_by_layer"] == lowered.sum().item()
    assert numbers["scores_moved_alone_as_told"] == 16


def test_memoryless_bound(numbers):
    nats, accuracy = hello_logits.memoryless_bound("hello")
    assert nats == numbers["memoryless_nats"] == pytest.approx(math.log(2) / 2)
    assert accuracy == numbers["memoryless_accuracy"] == 0.75
    # every letter has one continuation: nothing to be unsure about
    assert hello_logits.memoryless_bound("ab") == (0, 1)
    assert hello_logits.memoryless_bound("abc") == (0, 1)
    # after a: b twice, c once; after b and c: always a
    nats, accuracy = hello_logits.memoryless_bound("abaca" + "ba")
    assert nats == pytest.approx(scipy.stats.entropy([2, 1]) / 2)
    assert accuracy == pytest.approx(5 / 6)


def test_memoryless_bound_is_reached_and_not_beaten():
    """A table of scores per letter, trained by torch, comes down to the bound."""
    table = torch.zeros(4, 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([table], max_iter=200, line_search_fn="strong_wolfe")
    inputs = torch.tensor([hello_logits.LETTERS.index(c) for c in "hell"])

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(table[inputs], TARGETS)
        loss.backward()
        return loss

    optimizer.step(closure)
    bound, _ = hello_logits.memoryless_bound("hello")
    assert bound < closure().item() < bound + 1e-3


def test_bits_of_a_mean_are_the_mean_of_bits(numbers):
    p = hello_logits.softmax(hello_logits.SCORES)
    bits = [-math.log2(p[t, k]) for t, k in enumerate(hello_logits.TARGETS)]
    assert numbers["loss_mean_bits"] == pytest.approx(np.mean(bits), rel=1e-12)
    assert numbers["bits_of_1_57_nats"] == pytest.approx(math.log2(math.e**1.57))


def test_state_drawn_as_one_needs_a_large_input(numbers):
    assert math.tanh(numbers["least_input_of_state_1_0"]) == pytest.approx(0.95)


def test_bad_input_says_what_is_wrong():
    for temperature in (0, -1, math.nan):
        with pytest.raises(ValueError, match="temperature must be > 0, got"):
            hello_logits.softmax(hello_logits.SCORES, temperature)
    with pytest.raises(ValueError, match=r"targets must be \(4,\).* got \(3,\)"):
        hello_logits.loss_and_gradient(hello_logits.SCORES, hello_logits.TARGETS[1:])
    with pytest.raises(ValueError, match="hidden has 3 rows, scores have 4"):
        hello_logits.output_misfit(
            hello_logits.HIDDEN[1:], hello_logits.SCORES, bias=True
        )
    with pytest.raises(ValueError, match="more rows than columns, got 3 and 3"):
        hello_logits.distance_to_no_bias(
            hello_logits.HIDDEN[1:], hello_logits.SCORES[1:]
        )
    for text in ("", "h"):
        with pytest.raises(ValueError, match="text must have at least 2 letters"):
            hello_logits.memoryless_bound(text)
