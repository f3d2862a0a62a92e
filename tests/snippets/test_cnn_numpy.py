"""snippets/cnn_numpy.py: torch's layers, autograd and Adam; small examples by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

import cnn_numpy as cnn

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def tensor(array):
    return torch.tensor(np.array(array), requires_grad=True)


@pytest.fixture(scope="module")
def found():
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
    a = functional.conv2d(torch.from_numpy(x), q["w1"], q["b1"]).relu()
    a = functional.conv2d(a, q["w2"], q["b2"]).relu()
    a = functional.max_pool2d(a, 2).flatten(1)
    a = functional.linear(a, q["w3"], q["b3"]).relu()
    tz = functional.linear(a, q["w4"], q["b4"])
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


def test_reset_step_by_hand():
    # 0.05 * 0.1 / sqrt(0.01 * 0.01 + 0.0000001), times 2
    hand = 2 * 0.005 / (0.0001001**0.5)
    assert cnn.reset_step(np.array([-0.1]), 2.0)[0] == pytest.approx(-hand, rel=1e-12)


def test_reset_step_never_exceeds_half_the_rate_and_forgets():
    g = np.concatenate([-np.logspace(-8, 6, 99), np.logspace(-8, 6, 99)])
    assert np.abs(cnn.reset_step(g, 0.01)).max() <= 0.005 * (1 + 1e-12)
    p = {"w": np.zeros(2)}
    step = cnn.adam_reset(p, 0.01)
    step({"w": np.array([1.0, -1.0])})
    once = p["w"].copy()
    assert once[0] < 0 < once[1]
    step({"w": np.array([1.0, -1.0])})
    np.testing.assert_allclose(p["w"], 2 * once, rtol=1e-14)
    step({"w": np.zeros(2)})
    np.testing.assert_allclose(p["w"], 2 * once, rtol=1e-14)


def test_start_has_the_spread_it_should():
    p = cnn.init_params(np.random.default_rng(0), 28, 5)
    shapes = {"w1": (8, 1, 5, 5), "w2": (8, 8, 5, 5), "w3": (128, 800), "w4": (10, 128)}
    spreads = {"w1": 200**-0.5, "w2": 1600**-0.5, "w3": 0.01, "w4": 0.01}
    for name, shape in shapes.items():
        assert p[name].shape == shape
        assert p[name].std() == pytest.approx(spreads[name], rel=0.15)
        np.testing.assert_array_equal(p["b" + name[1]], np.zeros(shape[0]))


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
    rows = {image.tobytes() for image in x} & {image.tobytes() for image in x_test}
    assert not rows


def test_training_is_batch_by_batch_what_torch_does():
    p, loss, accuracy = cnn.train(cnn.adam_reset, 0.01, seed=3, epochs=2)
    x, labels, x_test, labels_test = cnn.load_digits()
    rng = np.random.default_rng(3)
    q = {n: tensor(v) for n, v in cnn.init_params(rng, 8, 3).items()}

    def logits(x):
        a = functional.conv2d(torch.from_numpy(x), q["w1"], q["b1"]).relu()
        a = functional.conv2d(a, q["w2"], q["b2"]).relu()
        a = functional.linear(
            functional.max_pool2d(a, 2).flatten(1), q["w3"], q["b3"]
        ).relu()
        return functional.linear(a, q["w4"], q["b4"])

    for _ in range(2):
        losses = []
        for rows in cnn.batches(len(x), 32, rng):
            found = functional.cross_entropy(
                logits(x[rows]), torch.from_numpy(labels[rows])
            )
            grads = torch.autograd.grad(found, list(q.values()))
            with torch.no_grad():
                for w, g in zip(q.values(), grads, strict=True):
                    w -= 0.01 * 0.05 * g / (0.01 * g**2 + 1e-7).sqrt()
            losses.append(found.item())
    assert loss == pytest.approx(np.mean(losses), rel=1e-6)
    hits = logits(x_test).argmax(1).numpy() == labels_test
    assert accuracy == pytest.approx(hits.mean(), abs=0.01)
    for name in p:
        np.testing.assert_allclose(p[name], q[name].detach(), rtol=1e-5, atol=1e-7)


def test_numbers_by_paper_and_pencil(found):
    want = {
        "parameters_1": 8 * 26,
        "parameters_2": 8 * 201,
        "parameters_3": 128 * 801,
        "parameters_4": 10 * 129,
        "parameters": 105634,
        "parameters_share_3": 102528 / 105634,
        "dense_inputs": 800,
        "parameters_digits": 80 + 584 + 128 * 33 + 1290,
        "updates": 3126,
        "test_seconds": 860.585,
        "epoch_seconds": 1563 * 6.89,
        "training_hours": 5.98282,
        "filter_std_1": 0.0707107,
        "filter_std_2": 0.025,
        "he_ratio_1": 4,
        "he_ratio_2": 4,
        "second_over_first_reset": 0,
    }
    # m = .95 * .05 over 1 - .95^2, v = .99 * .01 over 1 - .99^2
    m, v = 0.95 * 0.05 / (1 - 0.95**2), 0.99 * 0.01 / (1 - 0.99**2)
    want["second_over_first_adam"] = m / v**0.5
    for key, g in (
        ("1em4", 1e-4),
        ("1em3", 1e-3),
        ("1em2", 1e-2),
        ("1", 1),
        ("1e3", 1e3),
    ):
        want["step_reset_" + key] = 0.0005 * g / (0.01 * g**2 + 1e-7) ** 0.5
        want["step_adam_" + key] = 0.01 * g / (g + 1e-7)
    assert {k: found[k] for k in want} == pytest.approx(want, rel=1e-5, abs=1e-15)
    assert found["first_cost"] == pytest.approx(np.log(10), abs=1e-3)


def test_what_training_finds(found):
    assert found["accuracy_best_median"] > 0.96
    assert found["accuracy_best_low"] > 0.93
    assert found["loss_best_high"] < 0.2
    # at the smaller rate every start of Adam ends well below every start without memory
    assert found["loss_002_adam_high"] < 1.3 < 1.6 < found["loss_002_reset_low"]
    assert found["accuracy_002_reset_high"] < 0.5 < found["accuracy_002_adam_low"]
    names = {key.split("_", 1)[1] for key in found if key.startswith("loss")}
    runs = ["best", "010_adam", "010_reset", "002_adam", "002_reset"]
    assert names == {f"{r}_{s}" for r in runs for s in ("median", "low", "high")}
    for run in runs:
        for what in ("loss", "accuracy"):
            low, middle, high = (
                found[f"{what}_{run}_{s}"] for s in ("low", "median", "high")
            )
            assert low <= middle <= high


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
