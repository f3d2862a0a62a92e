"""transformer_budget.py against PyTorch and against the model in transformer.py."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import transformer
import transformer_budget as b


def sizes(row):
    return transformer.Sizes(
        n_layers=row.n_layers,
        d_model=row.d_model,
        d_ff=row.d_ff,
        n_heads=row.n_heads,
        d_k=row.d_k,
        d_v=row.d_v,
        dropout=0.0,
    )


# ---- parameters ----------------------------------------------------------------------


@pytest.mark.parametrize("name", b.TABLE_3)
def test_every_row_equals_the_model_built(name):
    row = b.TABLE_3[name]
    assert b.parameters(row, 37000) == transformer.count(37000, sizes(row))


@pytest.mark.parametrize("row", [b.BASE, b.BIG])
def test_relation_to_torch(row):
    n = row.n_layers
    with torch.device("meta"):
        theirs = torch.nn.Transformer(
            row.d_model, row.n_heads, n, n, row.d_ff, batch_first=True
        )
    count = sum(p.numel() for p in theirs.parameters())
    # torch has biases in 3 n attentions of four projections, and two more LayerNorms
    extra = 3 * n * 4 * row.d_model + 2 * 2 * row.d_model
    assert count == b.parameters(row, 0) + extra


def test_encoder_and_decoder_apart():
    encoder, decoder = b.stacks(b.BASE)
    with torch.device("meta"):
        model = transformer.Transformer(1, sizes(b.BASE))
    assert encoder == sum(p.numel() for p in model.encoder.parameters())
    assert decoder == sum(p.numel() for p in model.decoder.parameters())


def test_value_width_counts_as_well():
    row = b.Row(0, n_layers=1, d_model=10, d_ff=7, n_heads=3, d_k=2, d_v=5)
    assert b.parameters(row, 11) == transformer.count(11, sizes(row))


# ---- vocabulary ----------------------------------------------------------------------

ROUND = {
    "nearest": lambda x: math.floor(x + 0.5),
    "down": math.floor,
    "up": math.ceil,
}


@pytest.mark.parametrize("rounding", b.ROUNDING)
@pytest.mark.parametrize("name", b.TABLE_3)
def test_interval_is_exactly_what_prints_so(name, rounding):
    row = b.TABLE_3[name]
    low, high = b.vocabulary_interval(row, rounding)

    def prints(vocab):
        return ROUND[rounding](b.parameters(row, vocab) / 1e6)

    assert prints(low) == prints(high) == row.printed_millions
    assert prints(low - 1) == row.printed_millions - 1
    assert prints(high + 1) == row.printed_millions + 1


@pytest.mark.parametrize("rounding", b.ROUNDING)
def test_interval_at_exact_bounds(rounding):
    # one parameter per row of the table and no body: the interval is the definition
    row = b.Row(3, n_layers=0, d_model=1)
    want = {"nearest": (2_500_000, 3_499_999), "down": (3_000_000, 3_999_999)}
    want["up"] = (2_000_001, 3_000_000)
    assert b.vocabulary_interval(row, rounding) == want[rounding]


def test_no_row_fits_the_stated_vocabulary():
    for row in b.TABLE_3.values():
        assert round(b.parameters(row, 37000) / 1e6) != row.printed_millions


@pytest.mark.parametrize("rounding", b.ROUNDING)
def test_one_vocabulary_fits_ten_rows_and_never_big(rounding):
    assert len(b.ALL_BUT_BIG) == 10
    low, high = b.common_interval(b.ALL_BUT_BIG, rounding)
    assert 37000 < low <= high
    fits = [
        all(
            ROUND[rounding](b.parameters(row, v) / 1e6) == row.printed_millions
            for row in b.ALL_BUT_BIG
        )
        for v in range(38000, 44000)
    ]
    assert [v for v, ok in enumerate(fits, 38000) if ok] == list(range(low, high + 1))
    assert b.vocabulary_interval(b.BIG, rounding)[1] < low


def test_steps_at_one_width_hold_whatever_the_vocabulary():
    """Two printed counts are each off by half a million at most, a step by one."""
    for a, c in b.STEPS:
        first, second = b.TABLE_3[a], b.TABLE_3[c]
        printed = second.printed_millions - first.printed_millions

        def error(vocab, first=first, second=second, printed=printed):
            step = b.parameters(second, vocab) - b.parameters(first, vocab)
            return abs(step / 1e6 - printed)

        if first.d_model == second.d_model:
            assert error(37000) == pytest.approx(error(41100), abs=1e-12)
            assert error(37000) < 1
        assert error(41100) < 1
    assert error(37000) > 1  # the last step, from d_model = 512 to 1024


def test_what_is_missing_at_37000_grows_with_the_width_alone():
    for row in b.ALL_BUT_BIG:
        missing = row.printed_millions - b.parameters(row, 37000) / 1e6
        assert missing == pytest.approx(4100 * row.d_model / 1e6, abs=0.5)


def test_common_interval_can_be_empty():
    low, high = b.common_interval(b.TABLE_3.values())
    assert low > high


# ---- schedule ------------------------------------------------------------------------


@pytest.mark.parametrize(("d_model", "warmup"), [(512, 4000), (1024, 4000), (64, 10)])
def test_schedule_in_a_torch_scheduler(d_model, warmup):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    # the textbook form: a ramp to the peak, then decay from it
    peak = 1 / math.sqrt(d_model * warmup)

    def rate(i):
        return peak * min((i + 1) / warmup, math.sqrt(warmup / (i + 1)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for step in range(1, 2 * warmup):
        got = b.learning_rate(step, d_model, warmup)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(got, rel=1e-10)
        optimizer.step()
        scheduler.step()


def test_peak_is_at_the_end_of_the_warm_up():
    rates = [b.learning_rate(step) for step in range(1, 9000)]
    assert rates.index(max(rates)) + 1 == 4000
    assert b.learning_rate(1, 4, 1) == 0.5


# ---- costs ---------------------------------------------------------------------------


def test_crossover_is_the_width():
    for d in (7, 64, 512):
        assert b.crossover(d) == d


def test_table_1_by_hand():
    got = {name: cost(5, 2) for name, cost in b.TABLE_1.items()}
    assert list(got.values()) == [50, 20, 60, 640]


@pytest.mark.parametrize("n", [5, 12])
def test_encoder_layer_multiplications_equal_torchs_counter(n):
    row = b.Row(0, n_layers=1, d_model=24, d_ff=40, n_heads=4, d_k=6, d_v=3)
    layer = transformer.EncoderLayer(sizes(row))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(torch.zeros(1, n, 24), torch.ones(1, 1, 1, n, dtype=torch.bool))
    squared, linear = b.encoder_layer_multiplications(n, row)
    assert counter.get_total_flops() == 2 * (squared + linear)
    assert squared == 2 * 6 * 4 * n * n - (6 - 3) * 4 * n * n


def test_hardware_flops_by_hand():
    assert b.hardware_flops(1 / 24, 2, "K80") == pytest.approx(3600 * 2 * 2.8e12)


def test_table_2_prints_as_the_paper_does():
    printed = {"base": "3.3e+18", "big": "2.3e+19"}
    printed |= {"gnmt_en_de": "2.3e+19", "gnmt_en_fr": "1.4e+20"}
    printed |= {"moe_en_de": "2.0e+19", "moe_en_fr": "1.2e+20"}
    printed |= {"convs2s_en_de": "9.6e+18", "convs2s_en_fr": "1.5e+20"}
    got = {name: f"{b.hardware_flops(*row):.1e}" for name, row in b.TABLE_2.items()}
    assert got == printed


def test_model_flops_equal_torchs_counter():
    # forward and backward of a model whose matrices hold nearly all parameters
    row = b.Row(0, n_layers=1, d_model=64, d_ff=256, n_heads=2, d_k=32, d_v=32)
    model = transformer.Transformer(500, sizes(row))
    ids = torch.randint(1, 500, (1, 20), generator=torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter:
        model(ids, ids).sum().backward()
    squared = 3 * 2 * 3 * 2 * 20 * 20 * 64  # three attentions, forward and backward
    matrices = counter.get_total_flops() - squared
    got = b.model_flops(row, n_steps=1, vocab=500, tokens=20)
    assert matrices == pytest.approx(got, rel=0.01)  # biases and gains: under 1 %
    assert b.model_flops(row, n_steps=7, vocab=500, tokens=20) == pytest.approx(7 * got)


# ---- label smoothing -----------------------------------------------------------------


@pytest.mark.parametrize(("epsilon", "vocab"), [(0.1, 37000), (0.2, 50), (0.0, 10)])
def test_floor_is_what_a_perfect_model_pays(epsilon, vocab):
    right, other = b.smoothed_target(epsilon, vocab)
    assert right + (vocab - 1) * other == pytest.approx(1.0, abs=1e-12)
    p = torch.full((vocab,), max(other, 1e-300), dtype=torch.float64)
    p[3] = right
    target = torch.tensor(3)
    loss = F.cross_entropy(p.log(), target, label_smoothing=epsilon).item()
    assert b.smoothing_floor(epsilon, vocab) == pytest.approx(loss, abs=1e-10)
    for factor in (0.5, 2.0):  # any other belief costs more
        if epsilon:
            q = p.clone()
            q[5] *= factor
            worse = F.cross_entropy(q.log(), target, label_smoothing=epsilon).item()
            assert worse > loss


# ---- numbers -------------------------------------------------------------------------

# Table 3 typed anew: what a row changes in the base model, and the millions it prints
PAPER = {
    "base": ({}, 65),
    "dk16": ({"dk": 16}, 58),
    "dk32": ({"dk": 32}, 60),
    "n2": ({"n": 2}, 36),
    "n4": ({"n": 4}, 50),
    "n8": ({"n": 8}, 80),
    "d256": ({"d": 256, "dk": 32, "dv": 32}, 28),
    "d1024": ({"d": 1024, "dk": 128, "dv": 128}, 168),
    "dff1024": ({"d_ff": 1024}, 53),
    "dff4096": ({"d_ff": 4096}, 90),
    "big": ({"d": 1024, "d_ff": 4096, "h": 16}, 213),
}


def count(vocab, n=6, d=512, d_ff=2048, h=8, dk=64, dv=64):
    """n layers, each with 3 attentions, 2 feed-forward layers and 5 normalizations."""
    attention, ffn, norm = 2 * d * h * (dk + dv), 2 * d * d_ff + d_ff + d, 2 * d
    return n * (3 * attention + 2 * ffn + 5 * norm) + vocab * d


@pytest.fixture(scope="module")
def numbers():
    return b.numbers()


def test_numbers_of_table_3(numbers):
    assert list(b.TABLE_3) == list(PAPER)
    for name, (sizes, printed) in PAPER.items():
        for vocab in (0, 37000):
            got = numbers[f"params_{name}_v{vocab}_millions"]
            assert got == pytest.approx(count(vocab, **sizes) / 1e6, rel=1e-12)
        low, high = (numbers[f"vocab_{name}_{end}"] for end in ("low", "high"))
        millions = [count(v, **sizes) / 1e6 for v in (low - 1, low, high, high + 1)]
        assert millions[0] < printed - 0.5 <= millions[1]
        assert millions[2] < printed + 0.5 <= millions[3]


@pytest.mark.parametrize("rounding", ["nearest", "down", "up"])
def test_numbers_of_the_common_vocabulary(numbers, rounding):
    ten = [row for name, row in PAPER.items() if name != "big"]
    fits = [
        v
        for v in range(38000, 44000)
        if all(ROUND[rounding](count(v, **x) / 1e6) == printed for x, printed in ten)
    ]
    assert numbers[f"vocab_ten_{rounding}_low"] == fits[0]
    assert numbers[f"vocab_ten_{rounding}_high"] == fits[-1]
    if rounding == "nearest":
        assert numbers["missing_rows_low"] == fits[0] - 37000
        assert numbers["missing_rows_high"] == fits[-1] - 37000


def test_numbers_of_the_steps_between_rows(numbers):
    steps = {name: value for name, value in numbers.items() if name.startswith("step_")}

    def step(a, c, vocab=37000):
        return (count(vocab, **PAPER[c][0]) - count(vocab, **PAPER[a][0])) / 1e6

    # every row is one step away from the base model or from the next row
    pairs = [("n2", "n4"), ("n4", "base"), ("base", "n8"), ("dk16", "base")]
    pairs += [("dk32", "base"), ("dff1024", "base"), ("base", "dff4096")]
    pairs += [("d256", "base"), ("base", "d1024")]
    want = {f"step_{a}_to_{c}_millions": step(a, c) for a, c in pairs}
    want["step_base_to_d1024_v41100_millions"] = step("base", "d1024", 41100)
    assert steps == pytest.approx(want, rel=1e-12)
    assert pairs == b.STEPS


def test_numbers_of_the_base_model_part_by_part(numbers):
    with torch.device("meta"):
        base = transformer.Transformer(1, transformer.Sizes())
        theirs = torch.nn.Transformer(512, 8, 6, 6, 2048, batch_first=True)

    def parts(model, kind):
        found = [m for m in model.modules() if isinstance(m, kind)]
        return sum(p.numel() for m in found for p in m.parameters())

    layer = sum(p.numel() for p in base.encoder[0].parameters())
    attentions = parts(base, transformer.MultiHeadAttention)
    assert numbers["encoder_layer_base"] == layer
    assert numbers["attention_base_millions"] == attentions / 1e6
    assert numbers["ffn_base_millions"] == parts(base, torch.nn.Sequential) / 1e6
    with_biases = parts(theirs, torch.nn.MultiheadAttention)
    assert numbers["attention_biases_base"] == with_biases - attentions
    assert numbers["norms_base"] == parts(base, torch.nn.LayerNorm)
    final = parts(theirs, torch.nn.LayerNorm) - parts(base, torch.nn.LayerNorm)
    assert numbers["final_norms_base"] == final
    decoder_of_its_own = torch.nn.Linear(512, 37000, device="meta")
    assert numbers["output_bias_base"] == decoder_of_its_own.bias.numel()
    untied = (count(0) + 3 * 37000 * 512) / 1e6
    assert numbers["params_base_untied_millions"] == pytest.approx(untied, rel=1e-12)


def test_numbers_of_the_schedule(numbers):
    want = {
        "peak_rate_base": 1 / math.sqrt(512 * 4000),
        "peak_rate_big": 1 / math.sqrt(1024 * 4000),
        "peak_rate_base_warmup8000": 1 / math.sqrt(512 * 8000),
        "rate_base_step100000": 1 / math.sqrt(512 * 100_000),
    }
    for name, rate in want.items():
        assert numbers[name] == pytest.approx(rate, rel=1e-12)


def test_numbers_of_table_1(numbers):
    assert numbers["attention_over_recurrence_n70"] == 70 / 512  # n^2 d over n d^2
    assert numbers["attention_over_recurrence_n4096"] == 4096 / 512
    # 2 n^2 d against 12 n d^2, as d_ff is 4 d
    share = 2 * 70 / (2 * 70 + 12 * 512)
    assert numbers["squared_share_n70_base"] == pytest.approx(share, rel=1e-12)
    assert numbers["squared_equals_linear_n_base"] == 6 * 512
    assert numbers["squared_equals_linear_n_big"] == 6 * 1024


def test_numbers_of_table_2(numbers):
    teraflops = {"P100": 9.5, "K80": 2.8, "K40": 3.7, "M40": 6.0}
    spent = {  # GPU-days; the printed values are in another test
        "base": (4, "P100"),
        "big": (28, "P100"),
        "gnmt_en_de": (96, "K80"),
        "gnmt_en_fr": (576, "K80"),
        "moe_en_de": (64, "K40"),
        "moe_en_fr": (384, "K40"),
        "convs2s_en_de": (18.5, "M40"),
        "convs2s_en_fr": (296, "M40"),
    }
    flops = {k: days * 864e14 * teraflops[gpu] for k, (days, gpu) in spent.items()}
    for name, value in flops.items():
        assert numbers[f"flops_{name}"] == pytest.approx(value, rel=1e-12)
    ratio = flops["big"] / flops["moe_en_fr"]
    assert numbers["cost_big_over_moe_en_fr"] == pytest.approx(ratio, rel=1e-12)
    times_8 = 768 * 2.8 * 864e14
    assert numbers["flops_gnmt_en_de_times_8"] == pytest.approx(times_8, rel=1e-12)
    for name, seconds, steps in (("base", 43200, 1e5), ("big", 302400, 3e5)):
        own = 6 * count(37000, **PAPER[name][0]) * 25000 * steps
        assert numbers[f"seconds_per_step_{name}"] == seconds / steps
        assert numbers[f"model_flops_{name}"] == pytest.approx(own, rel=1e-12)
        share = own / flops[name]
        assert numbers[f"model_flops_share_{name}"] == pytest.approx(share, rel=1e-12)


def test_numbers_of_the_perplexities(numbers):
    assert math.exp(numbers["nats_base"]) == pytest.approx(4.92, rel=1e-12)
    assert math.exp(numbers["nats_big"]) == pytest.approx(4.33, rel=1e-12)
    for percent in (10, 20):
        spread = np.full(37000, percent / 100 / 37000)
        spread[0] += 1 - percent / 100
        floor = math.exp(scipy.stats.entropy(spread))
        got = numbers[f"smoothing_floor_{percent}_perplexity"]
        assert got == pytest.approx(floor, rel=1e-9)
    ratio = numbers["perplexity_factor_table_10"]
    assert 4.67 * ratio == pytest.approx(4.92, rel=1e-12)
    certain = 1 / (0.9 + 0.1 / 37000)
    assert numbers["perplexity_factor_certain_10"] == pytest.approx(certain, rel=1e-12)


# ---- bad input -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: b.parameters(b.BASE, -1), "vocab is -1, want at least 0"),
        (
            lambda: b.vocabulary_interval(b.BASE, "odd"),
            "rounding is 'odd', want one of",
        ),
        (lambda: b.hardware_flops(1, 1, "H100"), r"gpu is 'H100', want one of \['K80'"),
        (lambda: b.learning_rate(0), "step is 0, warmup 4000"),
        (lambda: b.learning_rate(1, 512, 0), "step is 1, warmup 0"),
        (lambda: b.smoothing_floor(1.0, 10), r"epsilon 1.0, vocab 10: want"),
        (lambda: b.smoothing_floor(-0.1, 10), r"epsilon -0.1, vocab 10: want"),
        (lambda: b.smoothing_floor(0.1, 1), r"epsilon 0.1, vocab 1: want"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()
