"""snippets/cnn_numpy.py: torch's layers, autograd and Adam; small examples by hand."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

import cnn_numpy as cnn

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def tensor(array):
    return torch.tensor(np.array(array), requires_grad=True)


def torch_logits(q, x):
    """The network of tensors q on images x."""
    a = functional.conv2d(torch.from_numpy(x), q["w1"], q["b1"]).relu()
    a = functional.conv2d(a, q["w2"], q["b2"]).relu()
    a = functional.max_pool2d(a, 2).flatten(1)
    a = functional.linear(a, q["w3"], q["b3"]).relu()
    return functional.linear(a, q["w4"], q["b4"])


TRAINED = ("adam", "reset", "sign")
MENDED = ("memory", "correction", "outside")
FAKE = {  # losses and accuracies for the table of numbers, without the training
    name: (
        np.arange(40.0).reshape(5, 8) ** 2 * n,
        np.array([0.3, 0.1, 0.2, 0.9, 0.4]) * n,
    )
    for n, name in enumerate(TRAINED + MENDED, start=1)
}


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cnn, "runs", FAKE.__getitem__)
        return cnn.numbers()


@pytest.mark.parametrize("sides", [(8, 7, 3, 3), (5, 9, 2, 4), (3, 3, 3, 3)])
def test_convolution_and_its_gradients_equal_torch(sides):
    H, W, FH, FW = sides
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 3, H, W))
    w, b = rng.standard_normal((4, 3, FH, FW)), rng.standard_normal(4)
    y, backward = cnn.conv2d(x, w, b)
    tx, tw, tb = tensor(x), tensor(w), tensor(b)
    ty = functional.conv2d(tx, tw, tb)
    np.testing.assert_allclose(y, ty.detach(), **TIGHT)
    dy = rng.standard_normal(y.shape)
    ty.backward(torch.from_numpy(dy))
    for ours, theirs in zip(backward(dy), (tx, tw, tb), strict=True):
        np.testing.assert_allclose(ours, theirs.grad, **TIGHT)


def test_convolution_by_hand_does_not_flip():
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    w = np.array([[1.0, 0], [0, -1]]).reshape(1, 1, 2, 2)
    y, _ = cnn.conv2d(x, w, np.array([10.0]))
    np.testing.assert_array_equal(y[0, 0], [[6, 6], [6, 6]])  # 1 - 5 + 10


def test_pooling_and_its_gradient_equal_torch():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 3, 4, 6))
    y, backward = cnn.max_pool(x)
    tx = tensor(x)
    ty = functional.max_pool2d(tx, 2)
    np.testing.assert_array_equal(y, ty.detach())
    dy = rng.standard_normal(y.shape)
    ty.backward(torch.from_numpy(dy))
    np.testing.assert_array_equal(backward(dy), tx.grad)


def test_among_equals_the_first_wins():
    y, backward = cnn.max_pool(np.ones((1, 1, 2, 2)))
    assert y.shape == (1, 1, 1, 1)
    dx = backward(np.full((1, 1, 1, 1), 7.0))
    np.testing.assert_array_equal(dx[0, 0], [[7, 0], [0, 0]])


def test_cross_entropy_equals_torch_and_does_not_overflow():
    rng = np.random.default_rng(3)
    z, labels = 5 * rng.standard_normal((6, 10)), rng.integers(10, size=6)
    z[0, 0] = 2000.0  # e^2000 is more than float64 holds
    tz = tensor(z)
    reference = functional.cross_entropy(tz, torch.from_numpy(labels))
    reference.backward()
    loss, dz = cnn.cross_entropy(z, labels)
    assert loss == pytest.approx(reference.item(), rel=1e-12)
    np.testing.assert_allclose(dz, tz.grad, **TIGHT)


@pytest.mark.parametrize(("side", "F"), [(8, 3), (28, 5)])
def test_network_and_all_gradients_equal_autograd(side, F):
    rng = np.random.default_rng(4)
    p = cnn.init_params(rng, side, F, K=3, hidden=7)
    for name in p:  # larger than they start, and no bias zero
        p[name] += 0.3 * rng.standard_normal(p[name].shape)
    x, labels = rng.standard_normal((5, 1, side, side)), rng.integers(10, size=5)
    q = {name: tensor(value) for name, value in p.items()}
    tz = torch_logits(q, x)
    reference = functional.cross_entropy(tz, torch.from_numpy(labels))
    reference.backward()

    z, backward = cnn.network(p, x)
    loss, dz = cnn.cross_entropy(z, labels)
    np.testing.assert_allclose(z, tz.detach(), **TIGHT)
    assert loss == pytest.approx(reference.item(), rel=1e-12)
    grads = backward(dz)
    assert set(grads) == set(p)
    for name in p:
        assert np.abs(grads[name]).max() > 1e-6
        np.testing.assert_allclose(grads[name], q[name].grad, **TIGHT)


def test_adam_equals_torch_over_many_steps():
    rng = np.random.default_rng(5)
    start = {"w": rng.standard_normal((3, 2)), "b": rng.standard_normal(2)}
    p = {name: value.copy() for name, value in start.items()}
    q = {name: tensor(value) for name, value in start.items()}
    ours = cnn.adam(p, 0.03)
    theirs = torch.optim.Adam(q.values(), 0.03, betas=(0.95, 0.99), eps=1e-7)
    for scale in (1, 1e-3, 1e-6, 10, 1, 1e-7):
        grads = {n: scale * rng.standard_normal(v.shape) for n, v in p.items()}
        for name, g in grads.items():
            q[name].grad = torch.from_numpy(g)
        ours(grads)
        theirs.step()
        for name in p:
            np.testing.assert_allclose(p[name], q[name].detach(), **TIGHT)
    assert np.abs(p["w"] - start["w"]).max() > 0.01


def moved(optimiser, gradients, lr=0.01, **options):
    """Where a parameter that begins at zero is after each of the gradients."""
    p, path = {"w": np.zeros(1)}, []
    step = optimiser(p, lr, **options)
    for g in gradients:
        step({"w": np.array([g])})
        path.append(p["w"][0])
    return path


def test_the_step_without_memory_by_hand():
    # 0.05 * 0.1 / sqrt(0.01 * 0.01 + 0.0000001), times 2
    hand = 2 * 0.005 / (0.0001001**0.5)
    assert moved(cnn.adam_reset, [-0.1], 2.0) == pytest.approx([hand], rel=1e-12)
    # 0.5 * 3 / sqrt(0.25 * 9 + 4)
    options = {"beta1": 0.5, "beta2": 0.75, "eps": 4.0}
    assert moved(cnn.adam_reset, [3.0], 1.0, **options) == pytest.approx([-0.6])
    # and Adam's: m_hat = 3, v_hat = 9, for any beta
    assert moved(cnn.adam, [3.0], 1.0, **options) == pytest.approx([-3 / 7])


def test_the_step_without_memory_is_half_the_rate_at_most_and_forgets():
    g = np.concatenate([-np.logspace(-8, 6, 99), np.logspace(-8, 6, 99)])
    steps = cnn.first_step(cnn.adam_reset, g, 0.01)
    assert np.abs(steps).max() <= 0.005 * (1 + 1e-12)
    assert np.all(np.sign(steps) == np.sign(g))
    once, twice, then = moved(cnn.adam_reset, [1.0, 1.0, 0.0])
    assert twice == pytest.approx(2 * once, rel=1e-14)
    assert then == twice


def test_each_departure_by_itself():
    """None mended is the source, all mended Adam; one at a time by hand."""
    gradients = [0.1, -0.02, 3.0, 0.0]
    assert moved(partial(cnn.adam_with, set()), gradients) == pytest.approx(
        moved(cnn.adam_reset, gradients), rel=1e-12
    )
    assert moved(partial(cnn.adam_with, cnn.DEPARTURES), gradients) == pytest.approx(
        moved(cnn.adam, gradients), rel=1e-12
    )
    # two gradients of 0.1 and 0.2, and what becomes of each mean square
    v, w = 0.01 * 0.01, 0.01 * 0.04
    by_hand = {
        "memory": [
            0.005 / (v + 1e-7) ** 0.5,
            (0.95 * 0.005 + 0.01) / (0.99 * v + w + 1e-7) ** 0.5,
        ],
        "correction": [0.1 / (0.01 + 1e-7) ** 0.5, 0.2 / (0.04 + 1e-7) ** 0.5],
        "outside": [0.005 / (v**0.5 + 1e-7), 0.01 / (w**0.5 + 1e-7)],
    }
    for name, steps in by_hand.items():
        path = moved(partial(cnn.adam_with, {name}), [0.1, 0.2], 2.0)
        assert path == pytest.approx(list(-2 * np.cumsum(steps)), rel=1e-12), name
    with pytest.raises(ValueError, match=r"^no departure is called inside, warmth$"):
        cnn.adam_with({"memory", "warmth", "inside"}, {}, 0.01)


def test_adam_does_not_care_for_the_scale_of_the_gradients_and_the_other_does():
    gradients = np.random.default_rng(6).standard_normal(9)
    for optimiser, same in ((cnn.adam, True), (cnn.adam_reset, False)):
        here = moved(optimiser, gradients)
        there = moved(optimiser, gradients / 1000)
        assert (here == pytest.approx(there, rel=1e-2)) == same


@pytest.mark.parametrize("beta1", [0.5, 0.95])
def test_memory_is_beta1(beta1):
    with_beta1 = partial(cnn.adam, beta1=beta1)
    assert cnn.memory(with_beta1) == pytest.approx(beta1, rel=1e-9)
    assert cnn.memory(partial(cnn.adam_reset, beta1=beta1)) == 0


def test_the_first_batch_is_of_digits_enlarged():
    loss, gradients = cnn.first_batch(3)
    x, labels, _, _ = cnn.load_digits()
    big = np.zeros((32, 1, 28, 28))
    for n in range(32):
        for i in range(24):
            for j in range(24):
                big[n, 0, i + 2, j + 2] = x[n, 0, i // 3, j // 3]
    big = (big - big.mean()) / big.std()
    p = cnn.init_params(np.random.default_rng(3), 28, 5)
    q = {name: tensor(value) for name, value in p.items()}
    reference = functional.cross_entropy(
        torch_logits(q, big), torch.from_numpy(labels[:32])
    )
    reference.backward()
    assert loss == pytest.approx(reference.item(), rel=1e-12)
    wanted = np.concatenate([value.grad.numpy().ravel() for value in q.values()])
    np.testing.assert_allclose(np.sort(gradients), np.sort(wanted), **TIGHT)


def test_start_has_the_spread_it_should():
    p = cnn.init_params(np.random.default_rng(0), 28, 5)
    shapes = {"w1": (8, 1, 5, 5), "w2": (8, 8, 5, 5), "w3": (128, 800), "w4": (10, 128)}
    spreads = {"w1": 200**-0.5, "w2": 1600**-0.5, "w3": 0.01, "w4": 0.01}
    for name, shape in shapes.items():
        assert p[name].shape == shape
        assert p[name].std() == pytest.approx(spreads[name], rel=0.15)
        np.testing.assert_array_equal(p["b" + name[1]], np.zeros(shape[0]))


def test_two_pixels_are_enough_for_the_pooling():
    p = cnn.init_params(np.random.default_rng(0), side=6, F=3)
    assert p["w3"].shape == (128, 8)


def test_batches_hold_every_index_once():
    rows = list(cnn.batches(70, 32, np.random.default_rng(0)))
    assert [len(r) for r in rows] == [32, 32, 6]
    assert sorted(np.concatenate(rows)) == list(range(70))
    assert list(np.concatenate(rows)) != list(range(70))


def test_digits_are_scaled_and_split():
    x, labels, x_test, labels_test = cnn.load_digits()
    assert x.shape == (1437, 1, 8, 8)
    assert x_test.shape == (360, 1, 8, 8)
    assert len(labels) == 1437
    assert len(labels_test) == 360
    assert x.min() == 0
    assert x.max() == 1
    from sklearn.datasets import load_digits

    images, reference = load_digits(return_X_y=True)
    of = {
        image.tobytes(): label for image, label in zip(images, reference, strict=True)
    }
    for image, label in zip(
        np.concatenate([x, x_test]), np.concatenate([labels, labels_test]), strict=True
    ):
        assert of[(16 * image).tobytes()] == label
    order = np.random.default_rng(0).permutation(1797)
    np.testing.assert_array_equal(labels_test, reference[order][1437:])
    rows = {image.tobytes() for image in x} & {image.tobytes() for image in x_test}
    assert not rows


def test_training_is_batch_by_batch_what_torch_does():
    p, losses, accuracy = cnn.train(cnn.adam_reset, 0.02, seed=3, epochs=2)
    x, labels, x_test, labels_test = cnn.load_digits()
    rng = np.random.default_rng(3)
    q = {n: tensor(v) for n, v in cnn.init_params(rng, 8, 3).items()}
    for epoch in range(2):
        total = 0
        for rows in cnn.batches(len(x), 32, rng):
            loss = functional.cross_entropy(
                torch_logits(q, x[rows]), torch.from_numpy(labels[rows])
            )
            grads = torch.autograd.grad(loss, list(q.values()))
            with torch.no_grad():
                for w, g in zip(q.values(), grads, strict=True):
                    w -= 0.02 * 0.05 * g / (0.01 * g**2 + 1e-7).sqrt()
            total += loss.item() * len(rows)
        assert losses[epoch] == pytest.approx(total / 1437, rel=1e-6)
    assert len(losses) == 2
    hits = torch_logits(q, x_test).argmax(1).numpy() == labels_test
    assert accuracy == pytest.approx(hits.mean(), abs=0.01)
    for name in p:
        np.testing.assert_allclose(p[name], q[name].detach(), rtol=1e-5, atol=1e-7)


def test_what_is_compared():
    assert cnn.SEEDS == (0, 1, 2, 3, 4)
    assert {name: epochs for name, (_, epochs) in cnn.OPTIMISERS.items()} == {
        "adam": 30,
        "reset": 8,
        "sign": 8,
        "memory": 2,
        "correction": 2,
        "outside": 2,
    }
    sign = cnn.OPTIMISERS["sign"][0]
    g = np.array([-1e-3, 1e-4, 5.0])
    steps = cnn.first_step(sign, g, cnn.LEARNING_RATE)
    np.testing.assert_allclose(steps, 0.0025 * np.sign(g), rtol=1e-3)
    for name in MENDED:
        assert cnn.OPTIMISERS[name][0].args == ({name},)


def test_numbers_by_paper_and_pencil(found):
    want = {
        "parameters": 105634,
        "dense_inputs": 800,
        "parameters_digits": 80 + 584 + 128 * 33 + 1290,
        "filter_std_1": 200**-0.5,
        "filter_std_2": 0.025,
        "he_ratio_1": 4,
        "he_ratio_2": 4,
        "memory_adam": 0.95,
        "memory_reset": 0,
        "knee": 1e-5**0.5,
        "plain_rate": 0.05 / 1e-7**0.5,
    }
    keys = {"1em4": 1e-4, "1em3": 1e-3, "1em2": 1e-2, "1": 1, "1e3": 1e3}
    for key, g in keys.items():
        want["step_reset_" + key] = 0.0005 * g / (0.01 * g**2 + 1e-7) ** 0.5
        want["step_adam_" + key] = 0.01 * g / (g + 1e-7)
    assert {k: found[k] for k in want} == pytest.approx(want, rel=1e-12, abs=1e-15)
    first = [cnn.first_batch(seed) for seed in range(5)]
    assert found["first_cost"] == np.median([loss for loss, _ in first])
    assert found["first_cost"] == pytest.approx(np.log(10), abs=2e-3)
    shares = [np.mean(np.abs(g) < 0.00316) for _, g in first]
    assert found["below_knee"] == pytest.approx(np.median(shares), abs=1e-4)
    assert found["below_knee"] > 0.99
    trained = {
        f"{what}_{name}_{which}"
        for what in ("loss_2", "loss_8", "accuracy")
        for name in TRAINED
        for which in ("median", "low", "high")
    } | {f"loss_2_{name}_{w}" for name in MENDED for w in ("median", "low", "high")}
    assert set(found) == set(want) | trained | {"first_cost", "below_knee"}


def test_numbers_of_the_runs_are_their_medians_and_ranges(found):
    for n, name in enumerate(TRAINED + MENDED, start=1):
        wanted = {
            "loss_2": (1, 17**2, 33**2),
            "loss_8": (7**2, 23**2, 39**2),
            "accuracy": (0.1, 0.3, 0.9),
        }
        if name in MENDED:
            wanted = {"loss_2": wanted["loss_2"]}
        for what, values in wanted.items():
            for which, value in zip(("low", "median", "high"), values, strict=True):
                assert found[f"{what}_{name}_{which}"] == pytest.approx(n * value)


def test_bad_input_is_named():
    x, w, b = np.zeros((2, 3, 5, 5)), np.zeros((4, 3, 3, 3)), np.zeros(4)
    for bad_x, bad_w in ((x[0], w), (x, w[0]), (x[:, :2], w)):
        with pytest.raises(
            ValueError, match=r"x has shape .* and w .*, expected \(N, C"
        ):
            cnn.conv2d(bad_x, bad_w, b)
    with pytest.raises(ValueError, match=r"b has shape \(3,\), expected \(4,\)"):
        cnn.conv2d(x, w, b[:3])
    for size in ((6, 3), (3, 6)):
        with pytest.raises(ValueError, match=r"w has filters of .* x images of 5 by 5"):
            cnn.conv2d(x, np.zeros((4, 3, *size)), b)
    for sides in ((3, 4), (4, 3)):
        with pytest.raises(
            ValueError, match=r"x has images of .*, expected even sides"
        ):
            cnn.max_pool(np.zeros((1, 1, *sides)))
    for labels in ([0, 10], [-1, 0], [0, 1, 2]):
        with pytest.raises(
            ValueError, match="labels must be 2 numbers from 0 to 9, got"
        ):
            cnn.cross_entropy(np.zeros((2, 10)), np.array(labels))
    for side, F, left in ((7, 3, 3), (8, 5, 0), (5, 3, 1), (4, 4, -2)):
        with pytest.raises(
            ValueError, match=f"side {side}, F {F}: {left} pixels reach the pooling"
        ):
            cnn.init_params(np.random.default_rng(0), side, F)


# last, since it trains


def test_what_training_finds():
    losses, accuracies = cnn.runs("reset")
    assert losses.shape == (5, 8)
    assert accuracies.shape == (5,)
    _, again, accuracy = cnn.train(cnn.adam_reset, 0.005, seed=4, epochs=8)
    assert losses[4] == pytest.approx(again, rel=1e-6)
    assert accuracies[4] == pytest.approx(accuracy, abs=0.01)
    sign, adam = cnn.runs("sign")[0], cnn.runs("adam")[0]
    # two epochs: every start without memory is still where it began, no other is
    assert losses[:, 1].min() > 2.2
    assert sign[:, 1].max() < 2
    assert adam[:, 1].max() < 1.6
    for name in MENDED:
        assert cnn.runs(name)[0].shape == (5, 2)
        assert cnn.runs(name)[0][:, 1].max() < 2
    # eight epochs: every start of Adam is far below every start without memory
    assert adam[:, 7].max() < 0.4
    assert losses[:, 7].min() > 0.65
    assert np.median(sign[:, 7]) > adam[:, 7].max()
    # thirty
    accuracies = cnn.runs("adam")[1]
    assert np.median(accuracies) > 0.96
    assert accuracies.min() > 0.9
