"""snippets/wavenet.py against torch.nn, dilated convolutions and by hand."""

import random
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import wavenet as w

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture(scope="module")
def results():
    return w.numbers()


def shaken(fuse=(2, 3), embedding=4, hidden=5, axes=(0, 1)):
    """A network in float64 whose every weight and kept statistic is random."""
    torch.manual_seed(3)
    model = w.network(fuse, embedding, hidden, axes)
    for p in model.parameters():
        p.data += 0.4 * torch.randn(p.shape)
    for norm in model:
        if isinstance(norm, w.BatchNorm):
            norm.mean = torch.randn(1, 1, hidden)
            norm.variance = torch.rand(1, 1, hidden) + 0.2
    return model.eval()


# ---- the modules ---------------------------------------------------------------------


def test_neighbors_are_laid_side_by_side():
    x = torch.arange(24).reshape(2, 4, 3)
    got = w.FlattenConsecutive(2)(x)
    assert got.tolist() == [
        [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]],
        [[12, 13, 14, 15, 16, 17], [18, 19, 20, 21, 22, 23]],
    ]
    with pytest.raises(ValueError, match=r"^4 places cannot be fused by 3$"):
        w.FlattenConsecutive(3)(x)


def trained_norms(axes, n_theirs, updates=3):
    """Ours after some batches of 6 x 4 places, and torch's; with what both returned."""
    torch.manual_seed(1)
    ours, theirs = w.BatchNorm(5, axes), [nn.BatchNorm1d(5) for _ in range(n_theirs)]
    for p, *others in zip(
        ours.parameters(), *(norm.parameters() for norm in theirs), strict=True
    ):
        p.data = torch.randn(5)
        for other in others:
            other.data.copy_(p.data)
    pairs = []
    for _ in range(updates):
        x = 2 * torch.randn(6, 4, 5) + torch.randn(4, 5)
        pairs.append((x, ours(x)))
    return ours, theirs, pairs


def test_normalization_equals_torch_in_training_and_after(double):
    ours, (theirs,), pairs = trained_norms((0, 1), 1)
    for x, got in pairs:  # torch wants the channels second
        torch.testing.assert_close(got, theirs(x.mT).mT, **TIGHT)
    assert ours.mean.shape == ours.variance.shape == (1, 1, 5)
    assert not ours.mean.requires_grad
    assert not ours.variance.requires_grad
    torch.testing.assert_close(ours.mean[0, 0], theirs.running_mean, **TIGHT)
    torch.testing.assert_close(ours.variance[0, 0], theirs.running_var, **TIGHT)
    x = torch.randn(2, 4, 5)
    kept = ours.eval().mean
    torch.testing.assert_close(ours(x), theirs.eval()(x.mT).mT, **TIGHT)
    assert ours.mean is kept


def test_what_is_kept_is_saved_with_the_weights(double):
    trained, _, _ = trained_norms((0, 1), 1)
    fresh = w.BatchNorm(5)
    fresh.load_state_dict(trained.state_dict())
    x = torch.randn(2, 4, 5)
    assert torch.equal(fresh.eval()(x), trained.eval()(x))


def test_right_axes_are_the_default(double):
    torch.manual_seed(0)
    x = torch.randn(6, 4, 5)
    assert torch.equal(w.BatchNorm(5)(x), w.BatchNorm(5, (0, 1))(x))


def test_a_norm_is_the_identity_before_training(double):
    x = torch.randn(2, 3, 5)
    got = w.BatchNorm(5).eval()(x)
    torch.testing.assert_close(got, x / (1 + 1e-5) ** 0.5, **TIGHT)


def test_with_the_fault_every_place_is_normalized_alone(double):
    ours, theirs, pairs = trained_norms((0,), 4)
    for x, got in pairs:
        for t, norm in enumerate(theirs):
            torch.testing.assert_close(got[:, t], norm(x[:, t]), **TIGHT)
    assert ours.mean.shape == (1, 4, 5)
    assert not ours.mean.requires_grad
    for t, norm in enumerate(theirs):
        torch.testing.assert_close(ours.mean[0, t], norm.running_mean, **TIGHT)
        torch.testing.assert_close(ours.variance[0, t], norm.running_var, **TIGHT)


# ---- tree and flat network -----------------------------------------------------------


def by_recursion(model, x):
    """Logits of letters x (B, T), from the top of the tree down."""
    embed, *levels, last = model

    def node(level, places):
        if level < 0:
            return embed(x[:, places[0]])
        n, linear, norm = levels[4 * level].n, *levels[4 * level + 1 : 4 * level + 3]
        size = len(places) // n
        below = [node(level - 1, places[k * size : (k + 1) * size]) for k in range(n)]
        z = torch.cat(below, dim=1) @ linear.weight.T
        z = (z - norm.mean[0]) / (norm.variance[0] + 1e-5) ** 0.5
        return torch.tanh(norm.gain * z + norm.bias)

    top = node(len(levels) // 4 - 1, range(x.shape[1]))
    return top @ last.weight.T + last.bias


@pytest.mark.parametrize("fuse", [(2, 2, 2), (8,), (2, 3), (3, 2)])
def test_the_network_is_a_tree(double, fuse):
    model = shaken(fuse)
    x = torch.randint(27, (5, torch.tensor(fuse).prod()))
    got = model(x)
    assert got.shape == (5, 1, 27)
    torch.testing.assert_close(got[:, 0], by_recursion(model, x), **TIGHT)


def test_without_arguments_it_is_the_lectures_tree():
    """E = 10, H = 68; by hand 27 E + 2 E H + 2 (2 H H) + 3 (2 H) + 27 H + 27."""
    model = w.network()
    assert [m.n for m in model if isinstance(m, w.FlattenConsecutive)] == [2, 2, 2]
    assert {m.axes for m in model if isinstance(m, w.BatchNorm)} == {(0, 1)}
    assert w.parameters(model) == 270 + 1360 + 2 * 9248 + 3 * 136 + 1836 + 27
    assert model[1:4](torch.zeros(1, 8, 10)).shape == (1, 4, 68)


def test_at_the_start_it_is_unsure():
    """torch draws the last weights up to 1 / sqrt(H); a tenth of that is left."""
    torch.manual_seed(0)
    weight = w.network(hidden=400)[-1].weight
    assert weight.abs().max().item() == pytest.approx(0.1 / 20, rel=0.01)


@pytest.mark.parametrize("fuse", [(), (2, 0), (-1,)])
def test_levels_that_fuse_nothing_are_refused(fuse):
    match = re.escape(f"fuse is {fuse}, want one or more numbers above 0")
    with pytest.raises(ValueError, match=f"^{match}$"):
        w.network(fuse)
    assert w.network((1,), 4, 3)(torch.zeros(2, 1, dtype=torch.long)).shape[0] == 2


# ---- moved along ---------------------------------------------------------------------


@pytest.mark.parametrize("fuse", [(2, 2, 2), (8,), (2, 3), (3, 2)])
def test_moved_along_it_says_what_it_says_at_every_place(double, fuse):
    model, T = shaken(fuse), torch.tensor(fuse).prod().item()
    ids = torch.randint(27, (T + 6,))
    want = model(ids.unfold(0, T, 1))[:, 0]
    assert want.shape == (7, 27)
    torch.testing.assert_close(w.slide(model, ids), want, **TIGHT)


def test_moved_along_it_is_a_stack_of_dilated_convolutions(double):
    model = shaken((2, 2, 2), 4, 5)
    ids = torch.randint(27, (20,))
    h = model[0](ids).T[None]  # channels second
    for level in range(3):
        _, linear, norm, _ = model[1 + 4 * level : 5 + 4 * level]
        kernel = linear.weight.reshape(5, 2, -1).mT  # (out, in, neighbors)
        h = F.conv1d(h, kernel, dilation=2**level)
        kept = norm.mean[0, 0], norm.variance[0, 0]
        h = F.batch_norm(h, *kept, norm.gain, norm.bias).tanh()
    want = h[0].T @ model[-1].weight.T + model[-1].bias
    torch.testing.assert_close(w.slide(model, ids), want, **TIGHT)


def test_with_the_fault_it_cannot_be_moved():
    model = w.network((2, 2), 3, 4, (0,))
    model(torch.randint(27, (9, 4)))
    with pytest.raises(ValueError, match=r"^each place has its own statistics: the "):
        w.slide(model.eval(), torch.zeros(9, dtype=torch.long))


def test_where_no_tree_stands_it_cannot_be_moved():
    model = w.network((2, 3), 3, 4).eval()
    for letters in (0, 1, 5):
        match = f"^ids has {letters} letters, want as many as a tree has$"
        with pytest.raises(ValueError, match=match):
            w.slide(model, torch.zeros(letters, dtype=torch.long))
    assert w.slide(model, torch.zeros(6, dtype=torch.long)).shape == (1, 27)


def test_in_training_it_cannot_be_moved():
    """Its norms would take the statistics of the text, and change what they keep."""
    with pytest.raises(ValueError, match=r"^model is in training, want it after"):
        w.slide(w.network(), torch.zeros(9, dtype=torch.long))


def test_products_are_those_of_the_layers():
    """Counted by the shapes that pass through the linear layers."""
    fuse, seen = (2, 3, 2), []
    model = w.network(fuse, 4, 5)
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(
                lambda m, x, y: seen.append(y[..., 0].numel() * m.weight.numel())
            )
    model.eval()(torch.zeros(1, 12, dtype=torch.long))
    assert w.products(fuse, 4, 5, moved=False) == sum(seen)
    seen.clear()
    w.slide(model, torch.zeros(112, dtype=torch.long))  # 101 places
    long = sum(seen)
    seen.clear()
    w.slide(model, torch.zeros(12, dtype=torch.long))  # 1 place
    assert w.products(fuse, 4, 5, moved=True) == (long - sum(seen)) / 100


# ---- training ------------------------------------------------------------------------


def test_examples_of_a_name():
    x, y = w.examples(["ab", "z"], context=3)
    assert x.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [0, 0, 0], [0, 0, 26]]
    assert y.tolist() == [1, 2, 0, 26, 0]
    assert w.examples(["a"])[0].shape == (2, 8)


def test_the_names_are_700_of_small_letters():
    names = w.NAMES.split()
    assert len(set(names)) == len(names) == 700
    assert set("".join(names)) <= set("abcdefghijklmnopqrstuvwxyz")


def test_loss_is_the_mean_of_minus_the_logarithm(double):
    model = shaken()
    x, y = torch.randint(27, (7, 6)), torch.randint(27, (7,))
    want = -model(x)[:, 0].softmax(-1)[range(7), y].log().mean()
    torch.testing.assert_close(w.loss_on(model, (x, y)), want, **TIGHT)


def test_training_makes_the_updates_it_says(double):
    """w -= rate * gradient, on batches of 32; 0.1, and 0.01 for the last 2 of 8."""
    data = torch.randint(27, (50, 6)), torch.randint(27, (50,))
    ours, theirs = shaken(), shaken().train()
    w.train(ours, data, 8, seed=5)
    rng = torch.Generator().manual_seed(5)
    for rate in [0.1] * 6 + [0.01] * 2:
        chosen = torch.randint(50, (32,), generator=rng)
        loss = F.cross_entropy(theirs(data[0][chosen])[:, 0], data[1][chosen])
        gradients = torch.autograd.grad(loss, list(theirs.parameters()))
        for p, g in zip(theirs.parameters(), gradients, strict=True):
            p.data -= rate * g
    assert not ours.training
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, **TIGHT)


@pytest.mark.parametrize("kind", ["flat", "tree", "fault"])
def test_each_seed_has_its_split_and_its_start(monkeypatch, kind):
    """140 of 700 names are kept apart; what is said is said of both parts."""
    calls = []

    def train(model, data, steps, seed):
        calls.append((model, data, steps, seed))
        model.eval()

    monkeypatch.setattr(w, "train", train)
    seen, unseen = w.losses.__wrapped__(kind)
    assert torch.get_num_threads() == 1
    assert len(seen) == len(unseen) == 5
    for seed, (model, data, steps, given) in enumerate(calls):
        assert (steps, given) == (300, seed)
        names = w.NAMES.split()
        random.Random(seed).shuffle(names)
        for got, want in zip(data, w.examples(names[:560]), strict=True):
            assert torch.equal(got, want)
        torch.manual_seed(seed)
        fuse, hidden = ((8,), 200) if kind == "flat" else ((2, 2, 2), 68)
        twin = w.network(fuse, 10, hidden, (0,) if kind == "fault" else (0, 1))
        assert str(twin) == str(model)
        assert model[3].axes == twin[3].axes
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            assert torch.equal(p, q)
        for value, part in ((seen[seed], data), (unseen[seed], None)):
            x, y = part or w.examples(names[560:])
            assert value == pytest.approx(w.loss_on(model, (x, y)).item(), rel=1e-6)


# ---- numbers -------------------------------------------------------------------------


def test_counts(results):
    """By hand: letters, levels, gains and biases, the last layer."""
    assert results["parameters_flat"] == 270 + 80 * 200 + 400 + 200 * 27 + 27
    assert results["parameters_tree"] == 22397
    large = 27 * 24 + 48 * 128 + 2 * 256 * 128 + 3 * 256 + 128 * 27 + 27
    assert results["parameters_large"] == large
    levels = (48 * 128, 256 * 128, 256 * 128)
    moved = sum(levels) + 128 * 27
    assert results["products_moved"] == moved
    assert results["products_tree"] == moved + 3 * levels[0] + levels[1]


def test_statistics_by_hand(results):
    """Mean and variance of 68 channels in three levels; of 4 + 2 + 1 places, each."""
    assert results["statistics"] == 3 * 2 * 68
    assert results["statistics_fault"] == (4 + 2 + 1) * 2 * 68


def test_every_seed_prefers_the_tree_and_minds_the_fault(results):
    for kind in ("flat", "tree", "fault"):
        assert results[f"loss_{kind}_seen_max"] < results[f"loss_{kind}_unseen_min"]
        assert results[f"loss_{kind}_unseen_min"] > 2.1
        assert results[f"loss_{kind}_unseen_max"] < 2.6
    assert results["loss_flat_more_min"] > 0
    assert results["loss_fault_more_min"] > 0


def test_spread_is_median_and_range(results, monkeypatch):
    assert w.spread("a", [3.0, 1.0, 7.0]) == {"a_median": 3, "a_min": 1, "a_max": 7}
    told = {"flat": ([0.0], [9.0, 5.0]), "tree": ([1.0], [4.0, 3.0])}
    monkeypatch.setattr(w, "losses", lambda kind: told.get(kind, ([2.0], [4.5, 4.0])))
    got = w.numbers()
    assert got["loss_tree_seen_median"] == 1
    assert got["loss_fault_unseen_max"] == 4.5
    assert (got["loss_flat_more_min"], got["loss_flat_more_max"]) == (2, 5)
    assert (got["loss_fault_more_min"], got["loss_fault_more_max"]) == (0.5, 1)
    assert got.keys() == results.keys()
