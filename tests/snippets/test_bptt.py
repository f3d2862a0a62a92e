"""snippets/bptt.py against torch autograd and by hand."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

import bptt

T, B, C, H, S = 6, 3, 7, 5, 2
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture(scope="module")
def case():
    """Two models side by side, weights large enough that every term counts."""
    rng = np.random.default_rng(3)
    shapes = {"U": (S, H, C), "W": (S, H, H), "V": (S, C, H)}
    p = {name: 0.8 * rng.standard_normal(shape) for name, shape in shapes.items()}
    x, y = rng.integers(0, C, (2, T, B))
    return p, x, y


@pytest.fixture(scope="module")
def page_numbers():
    return bptt.numbers()


def torch_errors(p, x, y, copies):
    """E_t for each t, summed over sentences, with a copy of W and U per step."""
    s = torch.zeros(x.shape[1], H, dtype=torch.float64)
    errors = []
    for t, (U, W) in enumerate(copies):
        s = torch.tanh(U.T[torch.from_numpy(x[t])] + s @ W.T)
        z = s @ p["V"].T
        target = torch.from_numpy(y[t])
        errors.append(torch.nn.functional.cross_entropy(z, target, reduction="sum"))
    return errors


def leaves(p):
    """One model's weights as torch leaves."""
    return {name: torch.from_numpy(w).requires_grad_() for name, w in p.items()}


def test_the_gradient_equals_autograd(case):
    p, x, y = case
    loss, grads = bptt.bptt(p, x, y)
    assert loss.shape == (S,)
    for i in range(S):
        q = leaves({name: w[i] for name, w in p.items()})
        total = sum(torch_errors(q, x, y, [(q["U"], q["W"])] * T))
        total.backward()
        assert loss[i] == pytest.approx(total.item(), rel=1e-12)
        for name, leaf in q.items():
            np.testing.assert_allclose(grads[name][i], leaf.grad, **TIGHT)


def test_a_model_alone_equals_itself_in_a_stack(case):
    p, x, y = case
    loss, grads = bptt.bptt(p, x, y)
    alone, alone_grads = bptt.bptt({name: w[1] for name, w in p.items()}, x, y)
    assert alone == pytest.approx(loss[1], rel=1e-14)
    for name, g in alone_grads.items():
        np.testing.assert_allclose(g, grads[name][1], **TIGHT)


def test_every_single_term_equals_the_gradient_of_its_own_copy_of_w(case):
    """W is copied for each step: what reaches copy k from E_t is the term [t, k]."""
    p, x, y = case
    delta, dW = bptt.terms(p, x, y)
    assert delta.shape == (T, T, S, B, H)
    one = leaves({name: w[0] for name, w in p.items()})
    copies = [
        (one["U"].detach().clone().requires_grad_(), one["W"].detach().clone())
        for _ in range(T)
    ]
    for _, W in copies:
        W.requires_grad_()
    for t, error in enumerate(torch_errors(one, x, y, copies)):
        flat = [w for pair in copies for w in pair]
        got = torch.autograd.grad(error, flat, retain_graph=True, allow_unused=True)
        for k in range(T):
            dU_k, dW_k = got[2 * k], got[2 * k + 1]
            if k > t:  # the future has no say
                assert dW_k is None
                assert not dW[t, k].any()
                assert not delta[t, k].any()
            else:
                np.testing.assert_allclose(dW[t, k, 0], dW_k, **TIGHT)
                # the term of U: delta_k in the column of each sentence's word
                columns = np.eye(C)[x[k]]
                np.testing.assert_allclose(delta[t, k, 0].T @ columns, dU_k, **TIGHT)


def test_the_terms_add_up_to_the_one_pass_gradient(case):
    p, x, y = case
    _, dW = bptt.terms(p, x, y)
    _, grads = bptt.bptt(p, x, y)
    np.testing.assert_allclose(dW.sum(axis=(0, 1)), grads["W"], **TIGHT)


def test_the_term_of_step_0_is_zero_for_w_and_not_for_u(case):
    p, x, y = case
    delta, dW = bptt.terms(p, x, y)
    assert not dW[:, 0].any()
    assert np.abs(delta[:, 0]).min() > 0


def test_forward_by_hand():
    """One unit, two words: everything on paper."""
    p = {"U": np.array([[0.5, -1.0]]), "W": np.array([[2.0]])}
    p["V"] = np.array([[1.0], [-1.0]])
    s, y_hat = bptt.forward(p, np.array([[0], [1]]))
    s0 = np.tanh(0.5)
    s1 = np.tanh(-1.0 + 2.0 * s0)
    np.testing.assert_allclose(s[:, 0, 0], [s0, s1, 0.0], rtol=1e-15)
    # softmax of (s, -s) is (sigma(2 s), 1 - sigma(2 s))
    np.testing.assert_allclose(y_hat[:, 0, 0], 1 / (1 + np.exp([-2 * s0, -2 * s1])))
    np.testing.assert_allclose(y_hat.sum(axis=-1), 1)
    # the one term of dE_1/dW, at k = 1: delta_1 s_0
    delta, dW = bptt.terms(p, np.array([[0], [1]]), np.array([[0], [0]]))
    by_hand = (y_hat[1, 0, 0] - 1 - y_hat[1, 0, 1]) * (1 - s1**2)
    assert delta[1, 1, 0, 0] == pytest.approx(by_hand, rel=1e-14)
    assert dW[1].sum() == pytest.approx(by_hand * s0, rel=1e-14)
    assert delta[1, 0, 0, 0] == pytest.approx(by_hand * 2 * (1 - s0**2), rel=1e-14)


def test_large_scores_do_not_overflow():
    p = {"U": np.full((1, 2), 20.0), "W": np.zeros((1, 1))}
    p["V"] = np.array([[1000.0], [0.0]])
    np.testing.assert_array_equal(
        bptt.forward(p, np.zeros((1, 1), int))[1][0, 0], [1, 0]
    )


def test_truncation_error_is_that_of_the_truncated_sum(case):
    p, x, y = case
    _, dW = bptt.terms(p, x, y)
    full = bptt.bptt(p, x, y)[1]["W"]
    errors = bptt.truncation_error(dW)
    assert errors.shape == (T, S)
    for d in range(T):
        kept = sum(dW[t, k] for t in range(T) for k in range(T) if 0 <= t - k <= d)
        lost = np.linalg.norm(full - kept, axis=(1, 2))
        expected = lost / np.linalg.norm(full, axis=(1, 2))
        np.testing.assert_allclose(errors[d], expected, rtol=1e-9, atol=1e-14)
    # s_{-1} = 0: the farthest terms are zero anyway
    np.testing.assert_allclose(errors[T - 2], 0, atol=1e-14)


def test_reach_by_hand():
    delta = np.zeros((2, 2, 1, 1, 2))
    delta[0, 0] = [3.0, 4.0]  # norm 5
    delta[1, 1] = [0.0, 3.0]  # norm 3: the mean at distance 0 is 4
    delta[1, 0] = [0.6, 0.8]  # norm 1
    np.testing.assert_allclose(bptt.reach(delta)[:, 0], [1, 1 / 4])


def test_jacobians_equal_torch(case):
    p, x, _ = case
    s, _ = bptt.forward(p, x)
    J = bptt.jacobians(p, s)
    assert J.shape == (T, S, B, H, H)
    U, W = (torch.from_numpy(p[name][1]) for name in "UW")
    before = [torch.from_numpy(s[t - 1, 1, 2]) for t in range(T)]
    for t in range(T):
        step = torch.autograd.functional.jacobian(
            lambda h, t=t: torch.tanh(U[:, x[t, 2]] + W @ h), before[t]
        )
        np.testing.assert_allclose(J[t, 1, 2], step, **TIGHT)

    def last(h, n):
        for t in range(T - n, T):
            h = torch.tanh(U[:, x[t, 2]] + W @ h)
        return h

    norms = bptt.product_norms(J)
    assert norms.shape == (T - 1, S, B)
    for n in range(1, T):
        product = torch.autograd.functional.jacobian(
            lambda h, n=n: last(h, n), before[T - n]
        )
        expected = torch.linalg.matrix_norm(product, 2).item()
        assert norms[n - 1, 1, 2] == pytest.approx(expected, rel=1e-10)


def test_the_bound_of_1_fails_and_the_norm_of_w_bounds(case):
    # W = 2 I at s = 0: every step doubles
    J = bptt.jacobians({"W": 2 * np.eye(3)}, np.zeros((6, 1, 3)))
    np.testing.assert_allclose(bptt.product_norms(J)[:, 0], 2.0 ** np.arange(1, 5))
    p, x, _ = case
    norms = np.linalg.norm(bptt.jacobians(p, bptt.forward(p, x)[0]), 2, axis=(-2, -1))
    bound = np.linalg.norm(p["W"], 2, axis=(-2, -1))[:, None]
    assert (norms <= bound * (1 + 1e-12)).all()
    assert (norms > 1).any()


def test_a_norm_of_w_below_1_makes_every_product_vanish(case):
    p, x, _ = case
    W = p["W"] / np.linalg.norm(p["W"], 2, axis=(-2, -1), keepdims=True)
    J = bptt.jacobians({"W": 0.5 * W}, bptt.forward({**p, "W": 0.5 * W}, x)[0])
    bounds = 0.5 ** np.arange(1, T)[:, None, None]
    assert (bptt.product_norms(J) <= bounds).all()


def test_part_2s_printed_output_comes_out():
    """The seed is the tutorial's: its notebook prints these probabilities."""
    p = bptt.tutorial_params()
    assert {name: w.shape for name, w in p.items()} == {
        "U": (100, 8000),
        "V": (8000, 100),
        "W": (100, 100),
    }
    _, y_hat = bptt.forward(p, np.zeros((1, 1), int))
    printed = [0.00012408, 0.0001244, 0.00012603, 0.00012515, 0.00012488, 0.00012508]
    ends = y_hat[0, 0, [0, 1, 2, -3, -2, -1]]
    np.testing.assert_allclose(ends, printed, rtol=0, atol=5e-9)
    assert y_hat[0, 0].argmax() == 1284


def test_init_is_within_its_bounds():
    p = bptt.init_params(400, 25, np.random.default_rng(0))
    for name, bound in (("U", 0.05), ("V", 0.2), ("W", 0.2)):
        assert 0.97 * bound < np.abs(p[name]).max() <= bound
        assert abs(p[name].mean()) < 0.05 * bound + 0.01


def test_clip_equals_torch_for_each_model(case):
    p, x, y = case
    _, grads = bptt.bptt(p, x, y)
    norms = [np.sqrt(sum((g[i] ** 2).sum() for g in grads.values())) for i in range(S)]
    threshold = sum(norms) / S  # one model is above, the other below
    clipped = bptt.clip(grads, threshold)
    for i in range(S):
        params = [torch.zeros(g[i].shape, dtype=torch.float64) for g in grads.values()]
        for param, g in zip(params, grads.values(), strict=True):
            param.grad = torch.from_numpy(g[i].copy())
        torch.nn.utils.clip_grad_norm_(params, threshold)
        for param, g in zip(params, clipped.values(), strict=True):
            # torch adds 1e-6 to the norm
            np.testing.assert_allclose(g[i], param.grad, rtol=2e-6)


def test_the_rhyme():
    words = " ".join(bptt.rhyme())
    verses = words.split(" . ")
    assert len(verses) == 12
    assert verses[0] == "This is the house that Jack built"
    assert verses[2] == (
        "This is the rat that ate the malt that lay in the house that Jack built"
    )
    assert words.endswith(
        "the rat that ate the malt that lay in the house that Jack built ."
    )


def test_what_training_does_holds_for_every_seed(page_numbers):
    n = page_numbers
    start, trained, x, y = bptt.models()
    assert y.shape == x.shape == (20, 23)
    np.testing.assert_array_equal(y[:-1], x[1:])  # the word that follows
    assert start["W"].shape == trained["W"].shape == (5, 20, 20)
    # it learns, and leaves the claimed bound behind
    assert n["trained_loss_nats_max"] < 0.15 * n["fresh_loss_nats_min"]
    assert n["trained_norm_W_min"] > 2 * n["fresh_norm_W_max"]
    assert n["trained_jacobian_max_min"] > 2
    assert n["trained_product_5_min"] > 1 > 3 * n["fresh_product_5_max"]
    assert n["trained_product_10_min"] > 5 * n["fresh_product_10_max"]
    # so the gradient reaches farther, and cutting it costs more
    for d in (4, 8):
        assert n[f"trained_reach_{d}_min"] > 3 * n[f"fresh_reach_{d}_max"]
        assert n[f"trained_truncation_{d}_min"] > 5 * n[f"fresh_truncation_{d}_max"]
    assert n["trained_state_size_min"] > 0.5 > n["fresh_state_size_max"]


def test_the_same_data_and_steps_in_torch(monkeypatch):
    """Three steps of descent with autograd and torch's clipping, first seed."""
    monkeypatch.setattr(bptt, "STEPS", 3)
    bptt.models.cache_clear()
    start, trained, x, y = bptt.models()
    bptt.models.cache_clear()
    q = leaves({name: w[0].copy() for name, w in start.items()})
    for _ in range(3):
        s, loss = torch.zeros(x.shape[1], 20, dtype=torch.float64), 0.0
        for t in range(len(x)):
            s = torch.tanh(q["U"].T[torch.from_numpy(x[t])] + s @ q["W"].T)
            z, target = s @ q["V"].T, torch.from_numpy(y[t])
            loss = loss + torch.nn.functional.cross_entropy(z, target) / len(x)
        grads = torch.autograd.grad(loss, list(q.values()))
        scale = min(1.0, 1 / torch.sqrt(sum((g**2).sum() for g in grads)).item())
        with torch.no_grad():
            for w, g in zip(q.values(), grads, strict=True):
                w -= scale * g
    for name, w in q.items():
        np.testing.assert_allclose(trained[name][0], w.detach(), **TIGHT)


def test_the_sentence_of_part_2_is_shifted_by_one():
    assert bptt.X17.shape == bptt.Y17.shape == (10, 1)
    np.testing.assert_array_equal(bptt.X17[1:], bptt.Y17[:-1])
    assert (bptt.X17[0], bptt.Y17[-1]) == (0, 1)  # the start and the end


def test_the_numbers_of_the_start(page_numbers):
    """From the gradient's definition and from whole matrices."""
    n, p = page_numbers, bptt.tutorial_params()
    delta, dW = bptt.terms(p, bptt.X17, bptt.Y17)
    for k in range(4):
        assert n[f"e3_delta_{k}"] == pytest.approx(np.sqrt((delta[3, k] ** 2).sum()))
        assert n[f"e3_term_{k}"] == pytest.approx(np.sqrt((dW[3, k] ** 2).sum()))
    for k in range(10):
        assert n[f"e9_delta_{k}"] == pytest.approx(np.sqrt((delta[9, k] ** 2).sum()))
    full = bptt.bptt(p, bptt.X17, bptt.Y17)[1]["W"]
    for d in range(6):
        far = sum(dW[t, k] for t in range(10) for k in range(10) if t - k > d)
        lost = np.linalg.norm(far) / np.linalg.norm(full)
        assert n[f"start_truncation_{d}"] == pytest.approx(lost, rel=1e-9)
    J = bptt.jacobians(p, bptt.forward(p, bptt.X17)[0])[:, 0]  # (T, H, H)
    largest = max(np.linalg.svd(j, compute_uv=False)[0] for j in J)
    assert n["start_jacobian_max"] == pytest.approx(largest)
    assert n["start_norm_W"] == pytest.approx(np.linalg.norm(p["W"], 2))
    for steps in (1, 2, 9):
        product = np.linalg.multi_dot([np.eye(100), *J[: 9 - steps : -1]])
        norm = np.linalg.norm(product, 2)
        assert n[f"start_product_{steps}"] == pytest.approx(norm, rel=1e-9)


def test_the_numbers_sum_up_the_five_models(page_numbers):
    n = page_numbers
    start, trained, x, y = bptt.models()
    keys = set()
    for stage, q in (("fresh", start), ("trained", trained)):
        s, y_hat = bptt.forward(q, x)
        J = bptt.jacobians(q, s)
        products = bptt.product_norms(J)
        delta, dW = bptt.terms(q, x, y)
        of_each = {name: [] for name in ("loss_nats", "norm_W", "jacobian_max")}
        of_each |= {f"product_{k}": [] for k in (1, 5, 10)} | {"state_size": []}
        of_each |= {f"{k}_{d}": [] for k in ("truncation", "reach") for d in (0, 4, 8)}
        right = np.take_along_axis(y_hat, y[:, None, :, None], axis=-1)
        for seed in range(5):
            of_each["loss_nats"].append(-np.log(right[:, seed]).mean())
            of_each["norm_W"].append(np.linalg.norm(q["W"][seed], 2))
            largest = np.linalg.svd(J[:, seed], compute_uv=False).max()
            of_each["jacobian_max"].append(largest)
            of_each["state_size"].append(np.mean(np.abs(s[:20, seed])))
            for k in (1, 5, 10):
                of_each[f"product_{k}"].append(np.median(products[k - 1, seed]))
            for d in (0, 4, 8):
                lost = bptt.truncation_error(dW[:, :, seed])[d]
                of_each[f"truncation_{d}"].append(lost)
                of_each[f"reach_{d}"].append(bptt.reach(delta[:, :, seed])[d])
        for name, values in of_each.items():
            low, _, middle, _, high = sorted(values)
            summary = {"min": low, "median": middle, "max": high}
            for kind, value in summary.items():
                key = f"{stage}_{name}_{kind}"
                assert n[key] == pytest.approx(value, rel=1e-9), key
                keys.add(key)
    assert {key for key in n if key.startswith(("fresh", "trained"))} == keys
    assert (n["words"], n["vocabulary"]) == (len(bptt.rhyme()), len(set(bptt.rhyme())))
    assert n["rows"] == (len(bptt.rhyme()) - 1) // 20 == 23


def test_a_band_shows_the_median_and_the_range():
    values = np.array([[1.0, 4.0, 2.0], [3.0, 9.0, 5.0]])
    fig, ax = plt.subplots()
    bptt.band(np.array([6, 7]), values, "name", "C3")
    (line,), (area,) = ax.lines, ax.collections
    assert line.get_xydata().tolist() == [[6, 2], [7, 5]]
    assert (line.get_label(), line.get_color()) == ("name", "C3")
    corners = {tuple(corner) for corner in area.get_paths()[0].vertices}
    assert corners == {(6, 1), (6, 4), (7, 3), (7, 9)}
    face = to_rgba("C3", alpha=0.25)
    np.testing.assert_allclose(area.get_facecolor()[0], face, atol=0.01)
    assert area.get_linewidth() == [0]  # no edge that would look like a line
    plt.close(fig)


def test_numbers_that_can_be_had_on_paper(page_numbers):
    n = page_numbers
    assert n["tanh_slope_max"] == 1
    assert n["sigmoid_slope_max"] == 0.25
    assert n["e3_term_0"] == 0
    # at distance 0 every error is whole
    assert n["fresh_reach_0_min"] == n["trained_reach_0_max"] == 1
    # the factor is the geometric mean of nine ratios
    ratio = n["e9_delta_0"] / n["e9_delta_9"]
    assert n["e9_factor_per_step"] ** 9 == pytest.approx(ratio)
    assert n["start_jacobian_max"] <= n["start_norm_W"]
    assert n["start_product_1"] <= n["start_jacobian_max"]


def test_bad_input_is_named(case):
    p, x, y = case
    with pytest.raises(ValueError, match=r"x must be \(T, B\) indices in \[0, 7\)"):
        bptt.forward(p, x[0])
    with pytest.raises(ValueError, match="x must be"):
        bptt.forward(p, x[:0])
    for bad in (-1, C):
        wrong = x.copy()
        wrong[2, 1] = bad
        with pytest.raises(ValueError, match="x must be"):
            bptt.forward(p, wrong)
        with pytest.raises(ValueError, match=r"y must be \(6, 3\) indices in \[0, 7\)"):
            bptt.bptt(p, x, wrong)
    with pytest.raises(ValueError, match="y must be"):
        bptt.terms(p, x, y[:-1])
    for sizes in ((0, 5), (5, 0)):
        with pytest.raises(ValueError, match="C and H must be at least 1, got"):
            bptt.init_params(*sizes, np.random.default_rng(0))
