"""snippets/minimal_gated_units.py: torch, one cell from another, and printed counts."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit

import minimal_gated_units as mgu

TIGHT = {"rtol": 1e-10, "atol": 1e-10}
S, B, T, M, N, CLASSES = 2, 3, 6, 5, 4, 10
each_cell = pytest.mark.parametrize("cell", mgu.GATES)


@pytest.fixture(scope="module")
def out():
    return mgu.numbers()


def fresh(cell, seed=1):
    """Random weights and biases, none of them zero; input and classes."""
    rng = np.random.default_rng(seed)
    p = mgu.init_params(cell, N, M, CLASSES, [rng, np.random.default_rng(seed + 1)])
    for name in p:
        p[name] += 0.5 * rng.standard_normal(p[name].shape)
    x = rng.standard_normal((T, S, B, M))
    return p, x, rng.integers(CLASSES, size=(S, B))


def torch_scores(cell, p, x):
    """The equations once more, cell by cell, in torch."""
    h = torch.zeros(*x.shape[1:3], N, dtype=torch.float64)
    for x_t in x:
        if cell == "gru":
            f = torch.sigmoid(x_t @ p["W_f"] + h @ p["U_f"] + p["b_f"])
            r = torch.sigmoid(x_t @ p["W_r"] + h @ p["U_r"] + p["b_r"])
        elif cell == "mgu":
            f = r = torch.sigmoid(x_t @ p["W_f"] + h @ p["U_f"] + p["b_f"])
        elif cell == "mgu1":
            f = r = torch.sigmoid(h @ p["U_f"] + p["b_f"])
        elif cell == "mgu2":
            f = r = torch.sigmoid(h @ p["U_f"])
        else:
            f = r = torch.sigmoid(p["b_f"])
        new = torch.tanh(x_t @ p["W_h"] + (r * h) @ p["U_h"] + p["b_h"])
        h = h + f * (new - h)
    return h @ p["W_y"] + p["b_y"]


def as_torch(p):
    return {name: torch.tensor(w, requires_grad=True) for name, w in p.items()}


def torch_loss(scores, y):
    """The sum over the models of each one's mean: their gradients do not mix."""
    loss = torch.nn.functional.cross_entropy(
        scores.reshape(-1, CLASSES), torch.from_numpy(y).reshape(-1), reduction="none"
    )
    return loss.reshape(y.shape).mean(dim=1)


@each_cell
def test_scores_loss_and_gradients_equal_torch(cell):
    p, x, y = fresh(cell)
    q = as_torch(p)
    expected = torch_scores(cell, q, torch.from_numpy(x))
    np.testing.assert_allclose(mgu.forward(p, x)[0], expected.detach(), **TIGHT)
    losses = torch_loss(expected, y)
    losses.sum().backward()
    loss, grads = mgu.loss_and_gradients(p, x, y)
    np.testing.assert_allclose(loss, losses.detach(), **TIGHT)
    assert grads.keys() == p.keys()
    for name, w in q.items():
        np.testing.assert_allclose(grads[name], w.grad, **TIGHT, err_msg=name)


def test_the_gru_equals_torchs_where_the_place_of_the_reset_does_not_matter():
    """With a diagonal U_h; torch's z is one minus ours, so its rows are negated."""
    p, x, _ = fresh("gru")
    p["U_h"] *= np.eye(N)
    _, tape = mgu.forward(p, x)
    for s in range(S):
        net = torch.nn.GRU(M, N, dtype=torch.float64)
        rows = {"r": 1, "f": -1, "h": 1}  # torch's order: r, z, n
        with torch.no_grad():
            for kind, w in (("W", net.weight_ih_l0), ("U", net.weight_hh_l0)):
                ours = [sign * p[f"{kind}_{k}"][s].T for k, sign in rows.items()]
                w.copy_(torch.from_numpy(np.concatenate(ours)))
            ours = [sign * p[f"b_{k}"][s, 0] for k, sign in rows.items()]
            net.bias_ih_l0.copy_(torch.from_numpy(np.concatenate(ours)))
            net.bias_hh_l0.zero_()
            states, last = net(torch.from_numpy(x[:, s]))
        np.testing.assert_allclose(tape[-1][0][s], last[0], **TIGHT)
        for t in range(1, T):
            np.testing.assert_allclose(tape[t][0][s], states[t - 1], **TIGHT)


# one cell from another


def test_a_gru_whose_gates_are_tied_is_the_mgu():
    p, x, _ = fresh("mgu")
    tied = p | {f"{kind}_r": p[f"{kind}_f"] for kind in "WUb"}
    assert tied.keys() - {"W_y", "b_y"} == mgu.shapes("gru", N, M).keys()
    np.testing.assert_array_equal(mgu.forward(tied, x)[0], mgu.forward(p, x)[0])


@pytest.mark.parametrize(
    ("cell", "zero"),
    [("mgu1", "W_f"), ("mgu2", "W_f b_f"), ("mgu3", "W_f U_f")],
)
def test_a_variant_is_the_mgu_with_weights_at_zero(cell, zero):
    p, x, _ = fresh("mgu")
    less = {name: w for name, w in p.items() if name not in zero.split()}
    assert less.keys() - {"W_y", "b_y"} == mgu.shapes(cell, N, M).keys()
    for name in zero.split():
        p[name] = np.zeros_like(p[name])
    np.testing.assert_allclose(mgu.forward(less, x)[0], mgu.forward(p, x)[0], **TIGHT)


def test_one_step_by_hand():
    """One unit, no weights: f = 3/4, candidate 0.4, from 1."""
    p = {name: np.zeros((1, *size)) for name, size in mgu.shapes("mgu", 1, 2).items()}
    p["b_f"] += np.log(3)
    p["b_h"] += np.arctanh(0.4)
    h, (f, r, h_tilde) = mgu.step(p, np.ones((1, 1, 2)), np.ones((1, 1, 1)))
    assert f.item() == r.item() == pytest.approx(0.75)
    assert h_tilde.item() == pytest.approx(0.4)
    assert h.item() == pytest.approx(0.25 * 1 + 0.75 * 0.4, abs=1e-15)


# what the gates can see


def test_when_the_gate_hears_of_the_input():
    for cell in mgu.GATES:
        moved = mgu.reaction(cell)
        assert moved.shape == (6,)
        assert (moved[:2] == 0).all()  # the future has no say
        assert (moved[2] > 0) == (cell in ("gru", "mgu"))
        assert (moved[3:] > 0).all() == (cell != "mgu3")


def test_a_shift_of_every_pixel_by_one_adds_the_columns_of_w_inside_the_sigma():
    rng = np.random.default_rng(0)
    p = mgu.init_params("mgu", 16, 7, 10, [rng])
    x = rng.standard_normal((6, 1, 1, 7))
    h = mgu.forward(p, x)[1][2][0]  # the state before step 2
    a = x[2] @ p["W_f"] + h @ p["U_f"]
    moved = np.abs(expit(a + p["W_f"].sum(axis=1)) - expit(a)).max()
    assert mgu.reaction("mgu")[2] == pytest.approx(moved, rel=1e-12)


def test_the_first_gate_of_mgu2_is_one_half_whatever_its_weights(out):
    p, x, _ = fresh("mgu2")
    np.testing.assert_array_equal(mgu.forward(p, x)[1][0][1], 0.5)
    assert out["first_gate_mgu2"] == 0.5


def test_the_gate_of_mgu3_is_its_bias_at_every_step():
    p, x, _ = fresh("mgu3")
    expected = np.broadcast_to(1 / (1 + np.exp(-p["b_f"])), (S, B, N))
    for part in mgu.forward(p, x)[1][:-1]:
        np.testing.assert_allclose(part[1], expected, **TIGHT)


# counts


@each_cell
@pytest.mark.parametrize(("n", "m"), [(100, 28), (100, 1), (7, 3), (1, 1)])
def test_counts_are_the_formulas_and_the_arrays(cell, n, m):
    formula = {
        "gru": 3 * (n * n + n * m + n),
        "mgu": 2 * (n * n + n * m + n),
        "mgu1": 2 * n * n + n * m + 2 * n,
        "mgu2": 2 * n * n + n * m + n,
        "mgu3": n * n + n * m + 2 * n,
    }
    p = mgu.init_params(cell, n, m, CLASSES, [np.random.default_rng(0)])
    arrays = sum(w.size for name, w in p.items() if not name.endswith("_y"))
    assert mgu.count(cell, n, m) == formula[cell] == arrays


@pytest.mark.parametrize("cell", ["gru", "mgu", "mgu2"])
def test_the_reaction_is_that_of_the_update_gate(cell):
    rng = np.random.default_rng(0)
    p = mgu.init_params(cell, mgu.UNITS, mgu.COLUMNS, 10, [rng])
    x = rng.standard_normal((6, 1, 1, mgu.COLUMNS))
    changed = x.copy()
    changed[2] += 1
    gates = []
    for inputs in (x, changed):
        h = np.zeros((1, 1, mgu.UNITS))
        for x_t in inputs:
            h, (f, _, _) = mgu.step(p, x_t, h)
            gates.append(f)
    apart = [abs(a - b).max() for a, b in zip(gates[:6], gates[6:], strict=True)]
    np.testing.assert_array_equal(mgu.reaction(cell), apart)


def test_accuracies_are_of_the_width_asked_for(monkeypatch):
    train, widths = mgu.train, []

    def brief(cell, n):
        widths.append(n)
        return train(cell, n, updates=0)

    monkeypatch.setattr(mgu, "train", brief)
    assert mgu.accuracies.__wrapped__("mgu3", 2).shape == (mgu.SEEDS,)
    assert widths == [2]


def test_every_count_that_zhou_et_al_print(out):
    printed = {
        50: (37_800, 25_200),
        100: (90_600, 60_400),
        200: (241_200, 160_800),
        300: (451_800, 301_200),
        400: (722_400, 481_600),
        500: (1_053_000, 702_000),
        600: (1_443_600, 962_400),
    }
    for n, counts in printed.items():
        assert (out[f"ptb_gru_n{n}"], out[f"ptb_mgu_n{n}"]) == counts
        library = sum(q.numel() for q in torch.nn.GRU(200, n).parameters())
        assert library == counts[0]
    two_layers = torch.nn.GRU(200, 400, num_layers=2).parameters()
    assert out["ptb_gru_n400_two_layers"] == sum(q.numel() for q in two_layers)
    words = torch.nn.Linear(400, 10_000)
    assert out["ptb_mgu_n400_with_output"] == out["ptb_mgu_n400"] + sum(
        q.numel() for q in words.parameters()
    )
    # an MGU has two thirds of a GRU's parameters
    second = torch.nn.GRU(400, 400).parameters()
    more = out["ptb_mgu_n400_with_second"] - out["ptb_mgu_n400_with_output"]
    assert 3 * more == 2 * sum(q.numel() for q in second)
    embedding = torch.nn.Embedding(10_000, 200).weight
    more = out["ptb_mgu_n400_with_embedding"] - out["ptb_mgu_n400_with_output"]
    assert more == embedding.numel()
    assert math.log(out["ptb_exp_4684"]) == pytest.approx(4.684)
    assert out["ptb_mgu_n400_two_layers"] * 3 == out["ptb_gru_n400_two_layers"] * 2
    assert out["adding_gru_with_start"] == 62_000
    assert out["adding_mgu_with_start"] == 41_400


def test_what_a_layer_saves_and_what_the_adding_task_takes(out):
    """By hand at n = 100: a matrix of each kind, and a bias, fewer than the MGU."""
    for m, mgu_has in ((28, 25_800), (1, 20_400)):
        assert out[f"parameters_mgu_n100_m{m}"] == mgu_has
        assert out[f"parameters_gru_n100_m{m}"] == 1.5 * mgu_has
        dropped = {"mgu": 0, "mgu1": 100 * m, "mgu2": 100 * (m + 1)}
        for cell, fewer in (dropped | {"mgu3": 100 * (100 + m)}).items():
            assert out[f"parameters_{cell}_n100_m{m}"] == mgu_has - fewer
            saved = out[f"saved_{cell}_n100_m{m}"]
            assert saved == pytest.approx(fewer / mgu_has)
    assert (out["adding_gru"], out["adding_mgu"]) == (61_800, 41_200)


def test_the_numbers_sum_up_the_runs(out):
    made_by_hand = {key for key in out if key.startswith(("ptb_", "adding_", "held_"))}
    sizes = {"seeds": 5, "units": 16, "updates": 120, "batch": 32, "noise": 0.3}
    assert {name: out[name] for name in sizes} == sizes
    keys = sizes.keys() | {"first_gate_mgu2"}
    for cell in mgu.GATES:
        low, _, middle, _, high = sorted(mgu.accuracies(cell))
        for kind, value in (("min", low), ("median", middle), ("max", high)):
            assert out[f"accuracy_{cell}_{kind}"] == value
            keys.add(f"accuracy_{cell}_{kind}")
        keys |= {f"parameters_{cell}_n{end}" for end in ("100_m28", "100_m1", "16_m7")}
        assert out[f"parameters_{cell}_n16_m7"] == mgu.count(cell, 16, 7)
        if cell != "gru":
            moved = mgu.reaction(cell)
            for when, step in (("at_once", 2), ("later", 3)):
                assert out[f"gate_moves_{when}_{cell}"] == moved[step]
                keys.add(f"gate_moves_{when}_{cell}")
            keys |= {f"saved_{cell}_n100_m{m}" for m in (28, 1)}
    assert out.keys() - made_by_hand == keys


# the digits


def test_the_font_has_ten_different_digits():
    digits = mgu.glyphs()
    assert digits.shape == (10, 7, 5)
    assert len({d.tobytes() for d in digits}) == 10
    assert digits[1].tolist()[0] == [0, 0, 1, 0, 0]
    assert digits[7].tolist()[0] == [1, 1, 1, 1, 1]


def test_without_noise_each_picture_is_its_digit_somewhere_on_the_canvas():
    rngs = [np.random.default_rng(seed) for seed in (0, 1)]
    x, y = mgu.make_digits(rngs, 300, 0.0)
    assert x.shape == (9, 2, 300, 7)
    places = set()
    for s in range(2):
        for image, digit in zip(x[:, s].swapaxes(0, 1), y[s], strict=True):
            found = [
                (row, column)
                for row in range(3)
                for column in range(3)
                if (
                    image[row : row + 7, column : column + 5] == mgu.glyphs()[digit]
                ).all()
                and image.sum() == mgu.glyphs()[digit].sum()
            ]
            assert found
            places.add(found[0])
    assert len(places) == 9
    assert np.abs(np.bincount(y.ravel(), minlength=10) - 60).max() < 30
    assert not np.array_equal(y[0], y[1])
    noisy, _ = mgu.make_digits([np.random.default_rng(0)], 300, 0.3)
    clean, _ = mgu.make_digits([np.random.default_rng(0)], 300, 0.0)
    assert (noisy - clean).std() == pytest.approx(0.3, rel=0.02)
    assert abs((noisy - clean).mean()) < 0.01


@each_cell
def test_training_equals_adam_in_torch(cell):
    trained, _ = mgu.train(cell, n=N, updates=3)
    p, rngs = mgu.train(cell, n=N, updates=0)
    q = as_torch(p)
    adam = torch.optim.Adam(q.values(), lr=0.05)
    for _ in range(3):
        x, y = mgu.make_digits(rngs, 32, 0.3)
        adam.zero_grad()
        torch_loss(torch_scores(cell, q, torch.from_numpy(x)), y).sum().backward()
        adam.step()
    for name, w in q.items():
        np.testing.assert_allclose(
            trained[name], w.detach(), rtol=1e-7, atol=1e-8, err_msg=name
        )


# what trains: the direction that holds for every seed


def test_what_holds_for_every_seed():
    acc = {cell: mgu.accuracies(cell) for cell in mgu.GATES}
    assert all(a.shape == (mgu.SEEDS,) for a in acc.values())
    noise = 4 * np.sqrt(0.25 / 1000)  # four standard deviations, at the widest
    for cell in ("gru", "mgu", "mgu1", "mgu2"):
        assert (acc[cell] > acc["mgu3"]).all()
    for full in ("gru", "mgu"):
        assert acc[full].min() > acc["mgu3"].max() + noise
    assert acc["mgu3"].min() > 0.1 + noise  # far above chance, all the same
    # on the same seed, that is on the same digits
    assert (acc["gru"] > acc["mgu2"]).all()
    for less in ("mgu1", "mgu2"):
        assert np.median(acc["mgu"]) > np.median(acc[less])


def test_accuracies_are_those_of_the_trained_models_on_fresh_digits():
    p, rngs = mgu.train("mgu2", n=16, updates=120, lr=0.05)
    x, y = mgu.make_digits(rngs, 1000, 0.3)
    scores, _ = mgu.forward(p, x)
    right = [np.mean(np.argmax(scores[s], axis=1) == y[s]) for s in range(mgu.SEEDS)]
    np.testing.assert_allclose(mgu.accuracies("mgu2"), right, rtol=0, atol=1e-12)


def test_initial_parameters():
    rngs = [np.random.default_rng(seed) for seed in (0, 1)]
    p = mgu.init_params("gru", 16, 9, 10, rngs)
    for name, w in p.items():
        if name.startswith("b"):
            assert not w.any()
        else:
            assert 0.23 < np.abs(w).max() <= 0.25
            assert not np.array_equal(w[0], w[1])
    assert p["W_f"].shape == (2, 9, 16)
    assert p["U_h"].shape == (2, 16, 16)
    assert p["b_r"].shape == (2, 1, 16)
    assert (p["W_y"].shape, p["b_y"].shape) == ((2, 16, 10), (2, 1, 10))


@pytest.mark.parametrize(
    ("cell", "w", "u", "b"),
    [
        ("gru", 4, -2, 1),
        ("mgu", 4, -2, 1),
        ("mgu1", 0, -2, 1),
        ("mgu2", 0, -2, 0),
        ("mgu3", 0, 0, 1),
    ],
)
def test_the_memory_and_its_mark_by_plain_arithmetic(cell, w, u, b):
    """One number after the other; what a cell does not have is 0 here."""
    always = expit(0 if cell == "mgu2" else 10)  # the second unit's gate
    got = mgu.hold_marked(cell, 4, -2, 1, [0, 3])
    h = second = 0.0
    for t, value in enumerate([1.0, -0.6, 0.3, -1.2, 0.7, -0.2, 1.4, -0.9]):
        mark = t in (0, 3)
        f, candidate = expit(w * mark + u * second + b), math.tanh(value)
        h += f * (candidate - h)
        second += always * (math.tanh(3 * mark) - second)
        for name, want in zip(
            ("candidate", "gate", "state", "second"),
            (candidate, f, h, second),
            strict=True,
        ):
            assert got[name][t] == pytest.approx(want, abs=1e-14), (name, t)


def test_which_cell_can_be_made_to_obey_the_mark(out):
    """What the page says below its picture."""
    held = mgu.hold_marked("mgu", 8, 0, -4, [1, 4])
    shut = held["gate"][[0, 2, 3, 5, 6, 7]]
    assert (shut == out["held_gate_shut"]).all()  # a leak of 2 %
    assert shut == pytest.approx(0.02, abs=0.005)
    assert held["gate"][[1, 4]] == pytest.approx(out["held_gate_open"], abs=1e-15)
    assert held["second"] == pytest.approx(
        out["held_second_marked"] * np.array([0, 1, 0, 0, 1, 0, 0, 0]), abs=1e-4
    )
    for t in range(8):
        assert out[f"held_candidate_{t + 1}"] == held["candidate"][t]
        assert out[f"held_state_{t + 1}"] == held["state"][t]
    sharp = mgu.hold_marked("mgu", 20, 0, -10, [1, 4])
    kept = held["candidate"][[1, 1, 1, 4, 4, 4, 4]]
    assert sharp["state"][1:] == pytest.approx(kept, abs=1e-3)
    late = mgu.hold_marked("mgu1", 20, 8, -4, [1, 4])
    assert late["gate"].round().tolist() == [0, 0, 1, 0, 0, 1, 0, 0]
    assert late["state"][[2, 5]] == pytest.approx(held["candidate"][[2, 5]], abs=0.02)
    # whatever is set, a mark is not heard in time
    for cell in ("mgu1", "mgu2", "mgu3"):
        for u, b in ((8, -4), (-20, 3), (0, 0)):
            marked, bare = (mgu.hold_marked(cell, 9, u, b, m) for m in ([5], []))
            assert marked["state"][5] == bare["state"][5]
    assert (mgu.hold_marked("mgu2", 9, 0, 9, [1])["gate"] == 0.5).all()
    assert len(set(mgu.hold_marked("mgu3", 9, 9, -1, [1])["gate"])) == 1


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="cell is 'lstm', expected one of gru, mgu"):
        mgu.shapes("lstm", 2, 2)
    for n, m in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match=f"n and m must be >= 1, got {n} and {m}"):
            mgu.count("mgu", n, m)
    rngs = [np.random.default_rng(0)]
    for batch, noise in ((0, 0.1), (2, -0.1), (2, float("nan"))):
        with pytest.raises(ValueError, match="batch must be >= 1, noise >= 0"):
            mgu.make_digits(rngs, batch, noise)
    p, x, _ = fresh("mgu")
    h = np.zeros((S, B, N))
    for bad in (x[0, 0], x[0, :, :, :3], x[0, :1]):
        with pytest.raises(ValueError, match=r"x has shape .* expected \(2, B, 5\)"):
            mgu.step(p, bad, h)
    with pytest.raises(ValueError, match=r"h_prev has shape \(2, 3, 3\), expected"):
        mgu.step(p, x[0], h[..., :3])
