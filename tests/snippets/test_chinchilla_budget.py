"""chinchilla_budget: against PyTorch's modules and its counter, and the tables."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import chinchilla_budget as budget
from chinchilla_budget import CHINCHILLA, GOPHER, TABLE_A4, TABLE_A9, Model

SMALL = Model(d_model=6, d_kv=4, n_heads=2, n_layers=3)  # inner width 8, not 6


def modules(model: Model, matrices: int, vocab: int) -> torch.nn.Module:
    inner, layers = model.d_kv * model.n_heads, torch.nn.ModuleList()
    for _ in range(model.n_layers):
        layers.extend(
            torch.nn.Linear(model.d_model, inner, bias=False) for _ in range(matrices)
        )
        layers.append(torch.nn.Linear(model.d_model, 4 * model.d_model, bias=False))
        layers.append(torch.nn.Linear(4 * model.d_model, model.d_model, bias=False))
    layers.append(torch.nn.Embedding(vocab, model.d_model))
    return layers


@pytest.mark.parametrize("matrices", [4, 5])
def test_parameters_are_those_of_the_modules(matrices):
    reference = sum(p.numel() for p in modules(SMALL, matrices, 11).parameters())
    assert budget.parameters(SMALL, matrices, vocab=11) == reference
    # by hand: 66 + 3 (48 m + 288)
    assert reference == 66 + 3 * (48 * matrices + 288)


def test_vectors_are_added_per_layer():
    plain = budget.parameters(SMALL, 5, vocab=11)
    assert budget.parameters(SMALL, 5, (2, 0), 11) == plain + 3 * 2 * 6
    assert budget.parameters(SMALL, 5, (0, 7), 11) == plain + 3 * 7 * 8


def test_defaults_are_five_matrices_no_vectors_and_the_papers_vocabulary():
    assert budget.parameters(SMALL) == budget.parameters(SMALL, 5, (0, 0), 32000)
    assert budget.forward_flops(SMALL) == budget.forward_flops(SMALL, 2048)


def test_flops_of_the_matrices_are_those_that_pytorch_counts():
    """One layer by hand on torch's own operations, in which it counts 2 per product."""
    model, S = SMALL._replace(n_layers=1), 5
    d, h, kv = model.d_model, model.n_heads, model.d_kv
    x, inner = torch.ones(S, d), h * kv
    up, down = torch.ones(d, 4 * d), torch.ones(4 * d, d)
    heads = torch.ones(h, S, kv)
    counts = {}
    steps = {
        "queries, keys, values": lambda: [x @ torch.ones(d, inner) for _ in range(3)],
        "key @ query": lambda: heads @ heads.mT,
        "softmax @ value": lambda: torch.ones(h, S, S) @ heads,
        "output projection": lambda: torch.ones(S, inner) @ torch.ones(inner, d),
        "dense block": lambda: x @ up @ down,
        "logits": lambda: x @ torch.ones(d, 32000),
        "embedding": lambda: torch.ones(S, 32000) @ torch.ones(32000, d),  # one-hot
    }
    for name, step in steps.items():
        with FlopCounterMode(display=False) as counter:
            step()
        counts[name] = counter.get_total_flops()
    ours = budget.forward_flops(model, S)
    assert ours.pop("softmax") == 3 * 2 * S * S  # exp, sum, division
    assert ours == counts
    three = budget.forward_flops(SMALL, S)
    for name, flops in budget.forward_flops(model, S).items():
        layers = 1 if name in budget.VOCABULARY else 3
        assert three[name] == layers * flops


def test_training_is_three_forward_passes_over_all_sequences():
    parts = budget.forward_flops(SMALL, 10)
    assert budget.training_flops(SMALL, 70, length=10) == 3 * 7 * sum(parts.values())
    without = budget.training_flops(SMALL, 70, ("logits", "softmax"), 10)
    assert without == 21 * (sum(parts.values()) - parts["logits"] - parts["softmax"])
    n = budget.parameters(SMALL)
    assert budget.over_6nd(SMALL, ("logits",)) == pytest.approx(
        budget.training_flops(SMALL, 9.0, ("logits",)) / (6 * n * 9), rel=1e-14
    )
    assert budget.over_6nd(SMALL) > budget.over_6nd(SMALL, ("logits",))


def test_table_a9_comes_out_with_the_fifth_matrix_only():
    assert len(TABLE_A9) == 50
    assert [printed for printed, _ in TABLE_A9] == sorted(p for p, _ in TABLE_A9)
    assert TABLE_A9[0] == (44, Model(512, 64, 8, 8))
    assert TABLE_A9[-1] == (16183, Model(5120, 128, 40, 47))
    assert budget.rows_exact(4) == 0
    assert budget.rows_exact(5) == 23
    assert budget.rows_exact(5, (6, 5)) == 50
    for other in itertools.product((4, 6), range(15), range(15)):
        assert budget.rows_exact(other[0], other[1:]) < 10
    four, five = budget.errors(4), budget.errors(5)
    assert four.shape == (50,)
    assert -0.08 < four.min() < four.max() < -0.04
    assert np.abs(five).max() < 0.0081
    assert four.mean() == pytest.approx(-0.0707, abs=5e-5)
    # by hand: 32000 * 512 + 8 (5 * 512^2 + 8 * 512^2 + 11 * 512)
    assert budget.errors(5, (6, 5))[0] == pytest.approx(
        43_692_032 / 44e6 - 1, abs=1e-12
    )


def test_which_vectors_fit_hangs_on_the_vocabulary():
    assert budget.vectors_that_fit(32000) == [(6, 5)]
    pairs = budget.vectors_that_fit(32010)
    assert pairs == [(a, 10 - a) for a in range(11)]
    assert {a + b for a, b in budget.vectors_that_fit(31990)} == {11}
    # pairs are looked for below 15: with 21 rows fewer they would add up to 14
    assert max(a + b for a, b in budget.vectors_that_fit(31950)) == 12


@pytest.mark.parametrize("label", TABLE_A4)
def test_table_a4_comes_out_without_the_vocabulary_only(label):
    model, printed = TABLE_A4[label]
    assert round(budget.over_6nd(model, ("embedding", "logits")), 2) == printed
    assert round(budget.over_6nd(model, ("embedding",)), 2) != printed
    assert round(budget.over_6nd(model), 2) != printed
    # the parts that do not grow with V, over 6 N D, by hand
    d, inner, S = model.d_model, model.d_kv * model.n_heads, 2048
    per_token = 8 * d * inner + 4 * S * inner + 3 * model.n_heads * S + 16 * d * d
    ratio = model.n_layers * per_token / (2 * budget.parameters(model))
    assert budget.over_6nd(model, budget.VOCABULARY) == pytest.approx(ratio, rel=1e-14)
    for length in (1024, 4096):  # the scores grow with the length
        per_token += (length - S) * (4 * inner + 3 * model.n_heads)
        S = length
        ratio = model.n_layers * per_token / (2 * budget.parameters(model))
        got = budget.over_6nd(model, budget.VOCABULARY, length)
        assert got == pytest.approx(ratio, rel=1e-14)
        assert round(got, 2) != printed


def test_the_heads_of_table_a4_make_up_its_widths_and_the_sizes_its_labels():
    sizes = {"73M": 73.7, "305M": 305.4, "552M": 552.1}  # million
    sizes |= {"1.1B": 1142.8, "1.6B": 1592.3, "6.8B": 6794.1}
    assert TABLE_A4.keys() == sizes.keys()
    for label, (model, _) in TABLE_A4.items():
        assert model.d_kv * model.n_heads == model.d_model
        assert model.d_kv == (64 if model.d_model < 1280 else 128)
        assert round(budget.parameters(model) / 1e6, 1) == sizes[label]


def test_gopher_and_chinchilla_have_the_fifth_matrix_in_their_names():
    names = [(GOPHER, 280), (CHINCHILLA, 70)]
    for model, billions in names:
        assert round(budget.parameters(model) / 1e9) == billions
        assert round(budget.parameters(model, 4) / 1e9) < 0.95 * billions
    assert CHINCHILLA.n_layers == GOPHER.n_layers == 80
    for model in (GOPHER, CHINCHILLA):
        assert model.d_kv * model.n_heads == model.d_model
    assert GOPHER.d_model == 2 * CHINCHILLA.d_model


def test_numbers_name_what_they_compute():
    n = budget.numbers()
    assert (n["a9_rows"], n["a9_rows_inner_not_d"]) == (50, 6)
    for name, args in (("four", (4,)), ("five", (5,)), ("five_small", (5, (6, 5)))):
        ratio = [
            budget.parameters(model, *args) / (1e6 * printed)
            for printed, model in TABLE_A9
        ]
        assert n[f"a9_{name}_mean_error_percent"] == pytest.approx(
            100 * np.mean(ratio) - 100, abs=1e-10
        )
        worst = max(abs(100 * r - 100) for r in ratio)
        assert n[f"a9_{name}_worst_error_percent"] == pytest.approx(worst, abs=1e-10)
        assert n[f"a9_{name}_rows_exact"] == budget.rows_exact(*args)
        for printed, model in TABLE_A9:
            ours = budget.parameters(model, *args)
            assert n[f"a9_{name}_{printed}"] == ours / 1e6
        for label, model in (("gopher", GOPHER), ("chinchilla", CHINCHILLA)):
            ours = budget.parameters(model, *args)
            assert n[f"{label}_{name}_billions"] == ours / 1e9
    assert [n[f"a9_vectors_that_fit_v{v}"] for v in (31990, 32000, 32010)] == [9, 1, 11]
    for label, (model, _) in TABLE_A4.items():
        key = "a4_" + label.lower().replace(".", "")
        assert n[key] == budget.over_6nd(model, ("embedding", "logits"))
        assert n[f"{key}_with_logits"] == budget.over_6nd(model, ("embedding",))
        assert n[f"{key}_with_both"] == budget.over_6nd(model)
        for length in (1024, 4096):
            want = budget.over_6nd(model, budget.VOCABULARY, length)
            assert n[f"{key}_length_{length}"] == want
    assert n["a4_73m"] == pytest.approx(1.026389, abs=1e-6)
    assert n["gopher_6nd"] == 6 * budget.parameters(GOPHER) * 300e9
    assert n["chinchilla_6nd"] == 6 * budget.parameters(CHINCHILLA) * 1.4e12
    assert n["gopher_appendix_f"] == budget.training_flops(GOPHER, 300e9)
    assert n["chinchilla_appendix_f"] == budget.training_flops(CHINCHILLA, 1.4e12)
    assert round(n["gopher_appendix_f"] / 1e21) == 475


def test_bad_values_are_named():
    for field in Model._fields:
        with pytest.raises(ValueError, match=rf"at least 1, got Model.*{field}=0"):
            budget.parameters(SMALL._replace(**{field: 0}))
        budget.parameters(SMALL._replace(**{field: 1}))
    with pytest.raises(ValueError, match=r"sizes must be .* got .* matrices=0"):
        budget.parameters(SMALL, 0)
    with pytest.raises(ValueError, match="vocab=0"):
        budget.parameters(SMALL, vocab=0)
    assert budget.parameters(SMALL, 1, vocab=1) == 6 + 3 * (48 + 288)
    with pytest.raises(ValueError, match="length is 0, want at least 1"):
        budget.forward_flops(SMALL, 0)
    assert budget.forward_flops(SMALL, 1)["softmax"] == 3 * 3 * 2
    message = r"left_out names \['bias', 'head'\], want some of \['embedding', 'quer"
    with pytest.raises(ValueError, match=message):
        budget.training_flops(SMALL, 1, ("head", "bias", "logits"))
