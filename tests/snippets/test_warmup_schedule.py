"""warmup_schedule.py against LambdaLR, in a real loop with a real optimizer."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

import warmup_schedule as w


def scheduled(d_model, warmup):
    """An optimizer whose rate LambdaLR sets, by the formula written once more."""
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=1.0)

    def factor(step):
        s = step or 1
        climb, fall = s / warmup**1.5, 1 / math.sqrt(s)
        return (climb if s < warmup else fall) / math.sqrt(d_model)

    return weight, optimizer, LambdaLR(optimizer, factor)


@pytest.mark.parametrize(("d_model", "warmup"), [(512, 40), (16, 7), (1, 1)])
def test_the_rate_equals_lambdalr(d_model, warmup):
    _, optimizer, scheduler = scheduled(d_model, warmup)
    for step in range(200):
        want = optimizer.param_groups[0]["lr"]
        assert w.rate(step, d_model, warmup) == pytest.approx(want, rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_the_rate_by_hand():
    assert w.rate(4, 16, 16) == pytest.approx(0.25 * 4 / 64)
    assert w.rate(64, 16, 16) == pytest.approx(0.25 / 8)
    assert w.rate(0, 16, 16) == w.rate(1, 16, 16) == pytest.approx(0.25 / 64)
    assert w.rate(4000) == pytest.approx(1 / math.sqrt(512 * 4000))
    assert w.rate(2000) == pytest.approx(0.5 * w.rate(4000))


@pytest.mark.parametrize("bad", [(-1, 512, 4000), (1, 0, 4000), (1, 512, 0)])
def test_bad_rates(bad):
    match = "step {}, d_model {}, warmup {}: want step >= 0, the others >= 1"
    with pytest.raises(ValueError, match=match.format(*bad)):
        w.rate(*bad)


@pytest.mark.parametrize("bad", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_bad_loops(bad):
    match = "n_epochs, n_batches, accumulate: got {}, {}, {}, want >= 1"
    with pytest.raises(ValueError, match=match.format(*bad)):
        list(w.updates(*bad))


def test_a_short_loop_by_hand():
    """Two epochs of five micro-batches, three to an update."""
    got = [tuple(u) for u in w.updates(2, 5, 3)]
    # indices 0 and 3 update; index 4's gradient waits for the second epoch
    assert got == [(0, 0, 1), (3, 3, 3), (5, 0, 2), (8, 3, 3)]
    assert [tuple(u) for u in w.updates(1, 2, 1)] == [(0, 0, 1), (1, 1, 1)]


@pytest.mark.parametrize(("epochs", "batches", "accumulate"), [(3, 17, 5), (2, 10, 10)])
def test_the_loop_equals_one_with_torch(epochs, batches, accumulate):
    """Each micro-batch has a gradient of one; the weight says how many were added."""
    weight, optimizer, scheduler = scheduled(512, 20)
    want = []
    for _ in range(epochs):
        for i in range(batches):
            weight.sum().backward()
            if i % accumulate == 0:
                rate, collected = optimizer.param_groups[0]["lr"], weight.grad.item()
                want.append((pytest.approx(rate, rel=1e-12), i, collected))
                optimizer.step()
                optimizer.zero_grad()
            scheduler.step()
    got = [
        (w.rate(u.step, 512, 20), u.index, u.collected)
        for u in w.updates(epochs, batches, accumulate)
    ]
    assert got == want


def test_the_real_run_counted_with_torch():
    """Eight epochs of Multi30k with LambdaLR: the numbers that the page quotes."""
    weight, optimizer, scheduler = scheduled(512, 3000)
    n_batches = -(-29_000 // 32)
    rates, steps, collected, printed = [], [], [], {}
    step = waiting = 0
    for epoch in range(8):
        n_accumulated = 0
        for i in range(n_batches):
            weight.grad = torch.ones(())
            waiting += 1
            if i % 10 == 0:
                rates.append(optimizer.param_groups[0]["lr"])
                steps.append(step)
                collected.append(waiting)
                waiting = 0
                optimizer.step()
                n_accumulated += 1
            scheduler.step()
            step += 1
            if epoch == 0 and i in (1, 881):
                printed[i] = n_accumulated, optimizer.param_groups[0]["lr"]
    got = w.numbers()
    assert got["batches_per_epoch"] == n_batches == 907
    assert got["updates_in_all"] == len(rates) == 728
    assert got["updates_per_epoch"] == len(rates) / 8 == 91
    assert got["updates_in_warmup"] == sum(s <= 3000 for s in steps) == 301
    # the highest of the rates comes at the end of the climb
    assert rates.index(max(rates)) in (300, 301)
    assert got["rate_highest"] == pytest.approx(max(rates), rel=1e-12)
    assert [got["collected_first"], got["collected_second"]] == collected[:2] == [1, 10]
    assert got["collected_first_of_epoch_2"] == collected[91] == 7
    assert got["updates_up_to_index_881"] == printed[881][0] == 89
    assert got["rate_after_two_batches"] == pytest.approx(printed[1][1], rel=1e-12)
    assert [u.step for u in w.RUN] == steps


def test_the_other_numbers_by_hand():
    got = w.numbers()
    want = {
        "peak_step_d512_w4000": 4000,
        "peak_step_d512_w8000": 8000,
        "peak_step_d256_w4000": 4000,
        "peak_rate_d512_w4000": (512 * 4000) ** -0.5,
        "peak_rate_d512_w8000": (512 * 8000) ** -0.5,
        "peak_rate_d256_w4000": (256 * 4000) ** -0.5,
        "last_rate_d512_w4000": (512 * 20000) ** -0.5,
        "last_rate_d512_w8000": (512 * 20000) ** -0.5,
        "last_rate_d256_w4000": (256 * 20000) ** -0.5,
        # 728 of 3000 updates would have been a ramp
        "rate_if_updates_counted": (728 / 3000) * 3000**-0.5 / 3001**-0.5,
        "copy_updates_2018": 200,
        "copy_peak_step_2018": 200,
        "copy_last_rate_share_2018": 0.5,
        "copy_updates_2022": 400,
        "copy_peak_step_2022": 400,
        "copy_last_rate_share_2022": 1,
    }
    assert {key: got[key] for key in want} == pytest.approx(want, rel=1e-3)
    for key in want.keys() - {"rate_if_updates_counted"}:
        assert got[key] == pytest.approx(want[key], rel=1e-12), key
