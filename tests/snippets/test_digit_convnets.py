"""snippets/digit_convnets.py against torch.nn, one network at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import digit_convnets as dc

CLOSE = {"rtol": 0, "atol": 1e-10}


def rngs(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def twin(net, layers, s, side=8):
    """Network s of a stack, built from torch.nn."""
    act = nn.ReLU if net.relu else nn.Sigmoid
    parts, maps = [], 1
    for filters, field, pool in net.conv:
        parts += [nn.Conv2d(maps, filters, field), nn.MaxPool2d(pool), act()]
        side, maps = (side - field + 1) // pool, filters
    parts.append(nn.Flatten())
    n = maps * side * side
    for units in net.dense:
        parts += [nn.Linear(n, units), act()]
        n = units
    model = nn.Sequential(*parts, nn.Linear(n, 10)).double()
    learned = [part for part in model if list(part.parameters())]
    with torch.no_grad():
        for part, (w, b) in zip(learned, layers, strict=True):
            part.weight.copy_(w[s].T if isinstance(part, nn.Linear) else w[s])
            part.bias.copy_(b[s].flatten())
    return model


def stack(net, side=8):
    """Three networks with nothing zero, in float64."""
    g = torch.Generator().manual_seed(1)
    return [
        tuple(torch.randn(3, *shape, generator=g).double() * 0.3 for shape in pair)
        for pair in dc.shapes(net, side)
    ]


NETS = [net for net in dc.LADDER if not net.dropout]


@pytest.mark.parametrize("net", NETS)
def test_two_updates_are_those_of_sgd_with_weight_decay(net):
    net = replace(net, lam=0.7)
    layers = stack(net)
    models = [twin(net, layers, s) for s in range(3)]
    x = torch.rand(2, 3, 4, 8, 8, dtype=torch.float64)
    y = torch.randint(0, 10, (2, 3, 4))
    for xs, ys in zip(x, y, strict=True):
        scores = dc.forward(net, layers, xs).detach()
        for s, model in enumerate(models):
            torch.testing.assert_close(scores[s], model(xs[s][:, None]), **CLOSE)
            weights = [w for n, w in model.named_parameters() if "weight" in n]
            biases = [b for n, b in model.named_parameters() if "bias" in n]
            groups = [{"params": weights, "weight_decay": 0.7 / 5}, {"params": biases}]
            sgd = torch.optim.SGD(groups, lr=net.eta)
            sgd.zero_grad()
            nn.functional.cross_entropy(model(xs[s][:, None]), ys[s]).backward()
            sgd.step()
        dc.update(net, layers, xs, ys, m=5)
    for s, model in enumerate(models):
        expected = list(
            twin(net, [(w.detach(), b.detach()) for w, b in layers], s).parameters()
        )
        for got, wanted in zip(expected, model.parameters(), strict=True):
            torch.testing.assert_close(got, wanted, **CLOSE)


def test_dropout_hides_the_inputs_of_dense_layers():
    net = dc.Net(((2, 3, 2),), (), relu=True, dropout=0.25)
    layers = [(torch.ones(2, 2, 1, 3, 3), torch.zeros(2, 2))]
    # 18 pooled maps straight into ten scores: each score is the sum of what is left
    layers.append((torch.ones(2, 18, 10), torch.zeros(2, 1, 10)))
    x = torch.ones(2, 1000, 8, 8)
    tested = dc.forward(net, layers, x)
    torch.testing.assert_close(tested, torch.full((2, 1000, 10), 18 * 9 * 0.75))
    trained = dc.forward(net, layers, x, rngs(0, 1))
    left = trained / 9
    torch.testing.assert_close(left, left.round())
    assert (left == left[..., :1]).all()
    assert not torch.equal(left[0], left[1])
    assert left.mean().item() == pytest.approx(18 * 0.75, abs=0.15)
    coins = torch.rand(1000, 18, generator=rngs(1)[0])
    torch.testing.assert_close(left[1, :, 0], (coins >= 0.25).sum(1).float())


def test_counts_by_hand():
    counts = [dc.parameters(net, 8) for net in dc.LADDER]
    assert counts[0] == 64 * 50 + 50 + 510
    assert counts[1] == 100 + 90 * 50 + 50 + 510
    assert counts[2:5] == [100 + 820 + 80 * 50 + 50 + 510] * 3
    assert counts[5] == 100 + 820 + 80 * 150 + 150 + 1510
    assert counts[6:] == [counts[5] + 150 * 150 + 150] * 2


def test_shifted_copies_by_hand():
    x = torch.tensor([[[1.0, 2], [3, 4]]])
    assert dc.shifted_copies(x).tolist() == [
        [[1, 2], [3, 4]],
        [[0, 0], [1, 2]],
        [[3, 4], [0, 0]],
        [[0, 1], [0, 3]],
        [[2, 0], [4, 0]],
    ]


def test_init_has_the_deviation_it_says():
    for relu, gain in ((False, 4), (True, 2**0.5)):
        net = dc.Net(((40, 5, 2), (40, 5, 2)), (300,), relu=relu)
        layers = dc.init(net, 28, rngs(0, 1))
        for (w, b), n in zip(layers[:3], (25, 1000, 640), strict=True):
            assert w.std().item() == pytest.approx(gain / n**0.5, rel=0.06)
            assert not b.any()
        assert not layers[-1][0].any()
    alone = dc.init(net, 28, rngs(1))
    assert torch.equal(alone[0][0][0], layers[0][0][1])


def test_vote():
    seen = torch.tensor([[1, 5, 9], [1, 4, 9], [2, 3, 0]])
    assert dc.vote(seen).tolist() == [1, 3, 9]


def test_the_test_images_meet_the_network_that_did_best_in_validation():
    net = dc.Net((), (30,), relu=True, eta=0.2)
    train, (x_val, _), (x_test, y_test) = dc.digits()
    early = dc.train(net, [train, (x_val, y_test[:297]), (x_val, y_test)], [3], 1, 8)
    # what the first epoch says is held to be right: no later one can say it better
    parts = [train, (x_val, early[0]), (x_test, y_test)]
    first, later = (dc.train(net, parts, [3], epochs, 8) for epochs in (1, 6))
    assert torch.equal(first, later)
    # nobody is ever right: the last of equals is taken
    parts[1] = (x_val, torch.full((297,), 99))
    assert not torch.equal(dc.train(net, parts, [3], 6, 8), first)


def test_training_by_hand():
    """Two epochs of two updates, against a loop written out; the rest is left over."""
    net = dc.Net((), (30,), relu=True, eta=0.2, lam=0.3, shifted=True)
    (x, y), _, (test, _) = dc.digits()
    x, y = x[:30], y[:30]
    g = rngs(7)
    layers = dc.init(net, 8, g)
    order = torch.randperm(150, generator=g[0])
    copies, labels = dc.shifted_copies(x), y.repeat(5)
    for k in (0, 1, 0):
        picked = order[None, 70 * k : 70 * k + 70]
        dc.update(net, layers, copies[picked], labels[picked], 2)
    nobody = torch.full((30,), 99)
    seen = dc.train(net, [(x, y), (x, nobody), (test, y)], [7], 3, 70, per_epoch=1)
    assert torch.equal(seen, dc.predict(net, layers, test))
    assert seen.shape == (1, 1300)
    assert len(seen.unique()) > 1  # what it sees tells which updates it had


def test_networks_side_by_side_are_each_judged_alone():
    net = dc.Net((), (30,), relu=True, eta=0.2)
    train, (x_val, _), (x_test, y_test) = dc.digits()
    early = dc.train(net, [train, (x_val, y_test[:297]), (x_val, y_test)], [3], 1, 8)
    parts = [train, (x_val, early[0]), (x_test, y_test)]  # the first is best at once
    both = dc.train(net, parts, [3, 4], 6, 8)
    for seed, seen in zip([3, 4], both, strict=True):
        alone = dc.train(net, parts, [seed], 6, 8)[0]
        assert (seen == alone).double().mean() > 0.99  # float32


def test_the_digits_are_split_once():
    (x, y), (x_val, _), (x_test, y_test) = dc.digits()
    assert (len(x), len(x_val), len(x_test), len(y_test)) == (200, 297, 1300, 1300)
    assert x.dtype == torch.float32
    assert (x.min(), x.max()) == (0, 1)
    assert set(y.tolist()) == set(range(10))


def test_the_ladder_changes_one_thing_at_a_time():
    etas = [net.eta for net in dc.LADDER]
    assert etas == [1, 1, 1, 0.2, 0.2, 0.2, 0.2, 0.2]
    assert [net.lam for net in dc.LADDER] == [0, 0, 0, 0.01, 0.01, 0.01, 0.01, 0]
    assert [net.shifted for net in dc.LADDER] == [False] * 4 + [True] * 4
    assert [net.relu for net in dc.LADDER] == [False] * 3 + [True] * 5
    assert [net.dropout for net in dc.LADDER] == [0] * 7 + [0.5]


def test_every_rung_has_600_updates_of_20_images():
    updates = []

    def train(net, parts, seeds, epochs, batch, per_epoch):
        updates.append((list(seeds), epochs * per_epoch, batch))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dc, "train", train)
        dc.climb.__wrapped__()
    assert updates == [([0, 1, 2, 3, 4], 600, 20)] * 8


def test_what_the_climb_shows():
    right = dc.accuracies()
    assert [r.size for r in right] == [5] * 8 + [1]
    for rung, r in enumerate(right[:7], start=1):
        assert (r > 80).all(), rung
    assert right[7].max() < right[6].min()  # dropout costs more than it gives here
    assert right[8][0] > np.median(right[7]) + 2  # the vote beats the median voter
    n = dc.numbers()
    assert n["accuracy_8_max"] == right[7].max()
    assert n["accuracy_of_vote"] == right[8][0]
    assert n["parameters_8"] == dc.parameters(dc.LADDER[7], 8)
    for rung in range(2, 9):
        gains = right[rung - 1] - right[rung - 2]
        assert n[f"gain_{rung}_median"] == pytest.approx(np.median(gains))
        assert n[f"gain_{rung}_min"] == pytest.approx(min(gains))
    assert {"gain_1_min", "gain_9_min"}.isdisjoint(n)
    assert n["test_images"] == 1300


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"conv: a field of 9 on 8 pixels leaves 0"):
        dc.shapes(dc.Net(((1, 9, 1),), ()), 8)
    with pytest.raises(ValueError, match=r"leaves 5 places, .* multiple of 2"):
        dc.shapes(dc.Net(((1, 4, 2),), ()), 8)
    for epochs, batch in ((0, 10), (1, 0), (1, 201)):
        with pytest.raises(ValueError, match=r"expected epochs >= 1 and a batch of 1"):
            dc.train(dc.LADDER[0], dc.digits(), [0], epochs, batch)
