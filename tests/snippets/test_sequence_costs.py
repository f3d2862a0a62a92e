"""The layers against PyTorch and against loops over numbers that count themselves."""

import math

import numpy as np
import pytest
import scipy.sparse.csgraph
import torch
from torch.utils.flop_counter import FlopCounterMode

import sequence_costs as costs
from sequence_costs import Tally

N_STEPS, D, N = 7, 3, 2


@pytest.fixture(scope="module")
def p():
    return costs.random_weights(N_STEPS, D, N, np.random.default_rng(3))


@pytest.fixture(scope="module")
def numbers():
    return costs.numbers()


class Counted:
    """A number that counts the multiplications in which it takes part."""

    products = 0

    def __init__(self, value):
        self.value = float(value)

    def __mul__(self, other):
        Counted.products += 1
        return Counted(self.value * other.value)

    def __add__(self, other):
        return Counted(self.value + other.value)


def counted(array):
    return [Counted(x) if np.ndim(x) == 0 else counted(x) for x in array]


def dot(a, b):
    total = Counted(0)
    for x, y in zip(a, b, strict=True):
        total = total + x * y
    return total


def project(rows, matrix):
    columns = list(zip(*matrix, strict=True))
    return [[dot(row, column) for column in columns] for row in rows]


def values(rows):
    return np.array([[x.value for x in row] for row in rows])


def by_hand(layer, p):
    """Values and number of multiplications of one layer, number by number."""
    p = {name: counted(array) for name, array in p.items()}
    x, d, N = p["x"], len(p["x"][0]), len(p["A"][0])
    Counted.products = 0
    rows = []
    if layer == "attention":
        q, k, v = (project(x, p[name]) for name in "qkv")
        for t in range(len(x)):
            scores = [dot(q[t], k[s]).value / math.sqrt(d) for s in range(len(x))]
            seen = [math.exp(s) if i <= t else 0.0 for i, s in enumerate(scores)]
            weights = [Counted(s / sum(seen)) for s in seen]
            rows.append([dot(weights, column) for column in zip(*v, strict=True)])
        rows = project(rows, p["o"])
    if layer == "recurrence":
        h = counted(np.zeros(d))
        for a in project(x, p["xh"]):
            from_state = project([h], p["hh"])[0]
            h = [
                Counted(math.tanh((u + w).value))
                for u, w in zip(a, from_state, strict=True)
            ]
            rows.append(h)
    if layer == "chain":
        h = [counted(np.zeros(N)) for _ in range(d)]
        for x_t in x:
            raw = project([x_t], p["delta"])[0]
            B, C = (project([x_t], p[name])[0] for name in "BC")
            row = []
            for i in range(d):
                step = Counted(math.log1p(math.exp(raw[i].value)))
                inside = step * x_t[i]
                y = Counted(0)
                for j in range(N):
                    kept = Counted(math.exp((step * p["A"][i][j]).value))
                    h[i][j] = kept * h[i][j] + inside * B[j]
                    y = y + h[i][j] * C[j]
                row.append(y)
            rows.append(row)
    return values(rows), Counted.products


@pytest.mark.parametrize("layer", ["attention", "recurrence", "chain"])
def test_values_and_count_equal_those_of_numbers_that_count_themselves(layer, p):
    tally = Tally()
    got = costs.LAYERS[layer](tally, p)
    want, products = by_hand(layer, p)
    np.testing.assert_allclose(got, want, atol=1e-12)
    assert tally.multiplications == products


def test_tally_notes_products_rounds_and_the_largest_array():
    tally = Tally()
    out = tally.matmul(np.ones((2, 3)), np.ones((3, 5)))
    assert out.shape == (2, 5)
    assert (out == 3).all()
    assert tally == Tally(multiplications=30, rounds=1, largest=10)
    out = tally.times(np.full((4, 1), 2.0), np.full(2, 3.0))
    assert out.shape == (4, 2)
    assert (out == 6).all()
    assert tally == Tally(multiplications=38, rounds=2, largest=10)
    tally.times(np.ones(0), np.ones(0))
    assert tally == Tally(multiplications=38, rounds=2, largest=10)


def test_attention_equals_pytorch_in_values_and_half_its_flops(p):
    t = {name: torch.tensor(array) for name, array in p.items()}
    tally = Tally()
    got = costs.attention(tally, p)
    with FlopCounterMode(display=False) as counter:
        q, k, v = (t["x"] @ t[name] for name in "qkv")
        scores = q @ k.T / D**0.5
        scores = scores.masked_fill(torch.ones_like(scores).triu(1) > 0, -torch.inf)
        mine = scores.softmax(1) @ v @ t["o"]
    assert counter.get_total_flops() == 2 * tally.multiplications
    theirs = torch.nn.functional.scaled_dot_product_attention(
        q[None], k[None], v[None], is_causal=True
    )[0]
    np.testing.assert_allclose(got, theirs @ t["o"], atol=1e-10)
    np.testing.assert_allclose(got, mine, atol=1e-10)


def test_the_last_rows_of_queries_see_what_the_last_rows_see():
    q, k, v = np.random.default_rng(0).standard_normal((3, N_STEPS, D))
    whole = costs.attend(Tally(), q, k, v)
    for rows in range(1, N_STEPS):
        got = costs.attend(Tally(), q[-rows:], k, v)
        np.testing.assert_allclose(got, whole[-rows:], atol=1e-12)


def test_scores_of_any_size_do_not_overflow(p):
    large = p | {"q": 1e4 * p["q"]}
    assert np.isfinite(costs.attention(Tally(), large)).all()


@pytest.mark.parametrize("cache", [True, False])
def test_word_by_word_gives_the_same_rows(cache, p):
    tally = Tally()
    got = costs.generate(tally, p, cache)
    np.testing.assert_allclose(got, costs.attention(Tally(), p), atol=1e-12)
    n = np.arange(1, N_STEPS + 1)
    rows = 1 if cache else n  # that are projected, and then ask n keys
    work = rows * (4 * D * D + 2 * n * D)
    assert tally.multiplications == work.sum()
    assert tally.rounds == 6 * N_STEPS


def test_the_cache_is_used_unless_said_otherwise(p):
    plain, kept = Tally(), Tally()
    costs.generate(plain, p)
    costs.generate(kept, p, cache=True)
    assert plain == kept


def test_recurrence_equals_pytorch(p):
    rnn = torch.nn.RNN(D, D, bias=False, dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(torch.tensor(p["xh"].T))
        rnn.weight_hh_l0.copy_(torch.tensor(p["hh"].T))
        want = rnn(torch.tensor(p["x"]))[0].numpy()
    np.testing.assert_allclose(costs.recurrence(Tally(), p), want, atol=1e-10)


@pytest.mark.parametrize("n", range(1, 18))
def test_scan_equals_the_chain_and_the_loop(n):
    rng = np.random.default_rng(n)
    decay, write = rng.uniform(-1, 1, (n, 2, 3)), rng.standard_normal((n, 2, 3))
    h, want = 0 * write[0], []
    for t in range(n):
        h = decay[t] * h + write[t]
        want.append(h)
    before = write.copy()
    one, two = Tally(), Tally()
    np.testing.assert_allclose(costs.chain(one, decay, write), want, atol=1e-12)
    np.testing.assert_allclose(costs.scan(two, decay, write), want, atol=1e-12)
    assert (write == before).all()

    def products(m):  # by hand: two per joined pair, one per position filled in
        return 0 if m == 1 else 2 * (m // 2) + (m - 1) // 2 + products(m // 2)

    assert one.multiplications == 6 * n
    assert one.rounds == n
    assert two.multiplications == 6 * products(n)
    if n in (2, 4, 8, 16):
        assert products(n) == 3 * n - 3 - math.log2(n)
        assert two.rounds == 3 * math.log2(n) - 1


def test_selective_layer_in_parallel_or_not(p):
    one, two = Tally(), Tally()
    chain = costs.selective(one, p, costs.chain)
    scan = costs.selective(two, p)
    np.testing.assert_allclose(chain, scan, atol=1e-12)
    assert one.rounds == N_STEPS + 7
    assert two.rounds < one.rounds + 3
    t = {name: torch.tensor(array) for name, array in p.items()}
    step = torch.nn.functional.softplus(t["x"] @ t["delta"])
    B, C = t["x"] @ t["B"], t["x"] @ t["C"]
    h = torch.zeros(D, N, dtype=torch.float64)
    for i in range(N_STEPS):
        write = step[i, :, None] * B[i] * t["x"][i, :, None]
        h = torch.exp(step[i, :, None] * t["A"]) * h + write
        np.testing.assert_allclose(scan[i], h @ C[i], atol=1e-10)


def test_random_weights():
    p = costs.random_weights(5, 300, 4, np.random.default_rng(0))
    assert set(p) == {"x", "q", "k", "v", "o", "xh", "hh", "delta", "B", "C", "A"}
    assert p["x"].shape == (5, 300)
    assert 0.9 < p["x"].std() < 1.1
    for name in ("q", "k", "v", "o", "xh", "hh", "delta", "B", "C"):
        wide = name not in "BC"
        assert p[name].shape == (300, 300 if wide else 4)
        assert p[name].std() == pytest.approx(300**-0.5, rel=0.1)
    assert (p["A"] == [[-1, -2, -3, -4]] * 300).all()
    assert costs.random_weights(1, 1, 1, np.random.default_rng(0))["x"].shape == (1, 1)


# ---- paths ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["attention", "recurrence", "window", "convolution"])
@pytest.mark.parametrize("distance", [1, 62, 63, 64, 150])
def test_path_is_the_shortest_in_the_graph(name, distance):
    backs = [b for b in costs.WIRINGS[name](0) if b <= distance]
    graph = sum(np.eye(distance + 1, k=b) for b in backs)
    want = scipy.sparse.csgraph.shortest_path(graph, unweighted=True)[0, -1]
    assert costs.path_length(distance, costs.WIRINGS[name]) == want


@pytest.mark.parametrize(("name", "base"), [("dilated", 3), ("scan", 2)])
def test_paths_that_reach_farther_with_every_step(name, base):
    for distance in (1, 2, 3, 7, 8, 26, 27, 80, 81, 300):
        layers = 0
        while base**layers - 1 < distance:
            layers += 1
        assert costs.path_length(distance, costs.WIRINGS[name]) == layers
    # the same, layer upon layer: place 5 of layer 2 is node 2 * 28 + 5
    places, layers = 28, 5
    graph = np.zeros((places * layers, places * layers))
    for layer in range(layers - 1):
        for place in range(places):
            for back in (0, *costs.WIRINGS[name](layer)):
                if place + back < places:
                    at, to = layer * places + place, (layer + 1) * places + place + back
                    graph[at, to] = 1
    reach = scipy.sparse.csgraph.shortest_path(graph)[0].reshape(layers, places)
    for distance in (1, 5, 13):
        first = np.flatnonzero(np.isfinite(reach[:, distance]))[0]
        assert costs.path_length(distance, costs.WIRINGS[name]) == first


def test_a_wiring_must_carry_further_in_every_step():
    with pytest.raises(ValueError, match="step 0 carries nothing further: path"):
        costs.path_length(3, lambda step: [4])
    with pytest.raises(ValueError, match="step 1 carries nothing further"):
        costs.path_length(3, lambda step: [1] if step == 0 else [])


def test_attention_is_wired_far_enough():
    assert costs.path_length(9_999, lambda step: [9_999]) == 1
    assert max(costs.WIRINGS["attention"](0)) >= 6_300


# ---- numbers -------------------------------------------------------------------------


def work(layer, n, d=16, N=4):
    """Multiplications by formula."""
    selection = n * (d * d + 2 * d * N) + n * (d + 3 * d * N)
    scan = d * N * (3 * n - 3 - math.log2(n))
    return {
        "core": 2 * n * n * d,
        "attention": 4 * n * d * d + 2 * n * n * d,
        "recurrence": 2 * n * d * d,
        "chain": selection + n * d * N,
        "scan": selection + scan,
        "generate": 4 * n * d * d + n * (n + 1) * d,
        "recompute": 2 * n * (n + 1) * d * d + n * (n + 1) * (2 * n + 1) // 3 * d,
    }[layer]


def test_measure_is_the_formula():
    for layer in costs.LAYERS:
        assert costs.measure(layer, 8, 6, 2).multiplications == work(layer, 8, 6, 2)
        assert costs.measure(layer, 32).multiplications == work(layer, 32)


def test_numbers_of_work_rounds_and_arrays(numbers):
    rounds = {
        "attention": lambda n: 6,
        "recurrence": lambda n: n + 1,
        "chain": lambda n: n + 7,
        "scan": lambda n: 3 * math.log2(n) + 6,
        "generate": lambda n: 6 * n,
        "recompute": lambda n: 6 * n,
    }
    largest = {
        "attention": lambda n: n * n,
        "recurrence": lambda n: n * 16,
        "chain": lambda n: n * 16 * 4,
        "scan": lambda n: n * 16 * 4,
        "generate": lambda n: n,
        "recompute": lambda n: n * n,
    }
    for layer, count in rounds.items():
        for n in (64, 128):
            assert numbers[f"{layer}_work_{n}"] == work(layer, n)
            assert numbers[f"{layer}_rounds_{n}"] == count(n)
            assert numbers[f"{layer}_largest_{n}"] == largest[layer](n)
        power = math.log2(count(128) / count(64))
        assert numbers[f"exponent_{layer}_rounds"] == pytest.approx(power, abs=1e-12)
    for key, a, b in (
        ("recompute_over_generate_64", "recompute", "generate"),
        ("generate_over_attention_64", "generate", "attention"),
    ):
        assert numbers[key] == pytest.approx(work(a, 64) / work(b, 64), rel=1e-12)
    assert numbers["chain_products_64"] == 64
    assert numbers["scan_products_64"] == 3 * 64 - 3 - 6


def test_numbers_of_growth(numbers):
    want = {"core_n": 2, "core_d": 1, "chain_n": 1, "recurrence_n": 1}
    want |= {"recurrence_d": 2}
    for key, power in want.items():
        assert numbers[f"exponent_{key}"] == pytest.approx(power, abs=1e-12)
    grown = work("attention", 32, 64, 8) / work("attention", 32, 32, 8)
    assert costs.exponent("attention", "d") == pytest.approx(math.log2(grown))
    grown = work("attention", 64, 32, 8) / work("attention", 32, 32, 8)
    assert costs.exponent("attention", "n") == pytest.approx(math.log2(grown))
    grown = work("chain", 32, 32, 16) / work("chain", 32, 32, 8)
    assert costs.exponent("chain", "N") == pytest.approx(math.log2(grown))


def test_numbers_of_the_crossings(numbers):
    for name, gates in (("plain", 1), ("gru", 3), ("lstm", 4)):
        assert numbers[f"core_crossing_{name}"] == gates  # 2 n^2 d = 2 g n d^2
        # 4 n d^2 + 2 n^2 d = 2 g n d^2
        assert numbers[f"layer_crossing_{name}"] == max(0, gates - 2)
    # nothing special about the width
    assert costs.longest_cheaper("core", 1, 5) == 5
    assert costs.longest_cheaper("core", 7, 4) == 28
    assert costs.longest_cheaper("core", 8, 4) == 32  # as long as it looks
    with pytest.raises(ValueError, match="still cheaper at 33 positions with 9 gates"):
        costs.longest_cheaper("core", 9, 4)


def test_numbers_of_the_paths(numbers):
    want = {"attention": 1, "recurrence": 630, "window": 10, "convolution": 315}
    for name, steps in want.items():
        assert numbers[f"path_{name}_630"] == steps
        power = 0 if name == "attention" else 1
        assert numbers[f"path_exponent_{name}"] == pytest.approx(power, abs=1e-12)
    left = numbers["signal_left_after_630"]
    assert left == pytest.approx(math.exp(630 * math.log(0.99)), rel=1e-10)
    assert numbers["path_dilated_728"] == 6
    assert numbers["path_scan_4095"] == 12


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda: costs.random_weights(0, 2, 3, np.random.default_rng(0)),
            "n, d and N must be at least 1, got 0, 2 and 3",
        ),
        (
            lambda: costs.random_weights(2, 0, 3, np.random.default_rng(0)),
            "n, d and N must be at least 1, got 2, 0 and 3",
        ),
        (
            lambda: costs.random_weights(2, 3, 0, np.random.default_rng(0)),
            "n, d and N must be at least 1, got 2, 3 and 0",
        ),
        (
            lambda: costs.path_length(0, costs.WIRINGS["scan"]),
            "distance must be at least 1, got 0",
        ),
        (
            lambda: costs.measure("lstm", 4),
            "layer must be one of attention, recurrence, .*, got 'lstm'",
        ),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=f"^{match}"):
        call()
