# %% [markdown]
r"""
# The warm-up, and who counts its steps

The learning rate climbs for `warmup` steps and falls from then on. A step of what? With
gradient accumulation a scheduler can be stepped per micro-batch or per update. The
source's training loop is replayed here, without a model: only who counts what.

**Source:** Alexander Rush et al., *The Annotated Transformer* (2018; revised in 2022 by
Austin Huang et al.): `rate`, `run_epoch`, "A First Example", "Training the System".

| symbol | name | unit |
| --- | --- | --- |
| $s$ (`step`) | steps of the scheduler | |
| $d$ (`d_model`) | width of the model | |
| $w$ (`warmup`) | where the climb ends | steps |
| `accumulate` | micro-batches that one update is meant to collect | |

**Differs from the source:** nothing is trained, since the rate does not depend on it.

**Checked against:** `torch.optim.lr_scheduler.LambdaLR` in the same loop.

**Takes:** under 1 s on one core.
"""

# %%
import math
from collections.abc import Iterator
from typing import NamedTuple

# %% [markdown]
# ## The rate


# %%
def rate(step: int, d_model: int = 512, warmup: int = 4000) -> float:
    """Learning rate of a step; step 0 counts as 1, as in the source.

    Raises ValueError if step is below 0, or d_model or warmup is below 1.
    """
    if step < 0 or d_model < 1 or warmup < 1:
        got = f"step {step}, d_model {d_model}, warmup {warmup}"
        raise ValueError(f"{got}: want step >= 0, the others >= 1")
    s = max(step, 1)  # 0 to a negative power would be an error
    # rate = d^-0.5 min(s^-0.5, s w^-1.5)
    return d_model**-0.5 * min(s**-0.5, s * warmup**-1.5)


# %% [markdown]
# ## The loop
# The source updates where the index of the micro-batch *within its epoch* is a multiple
# of `accumulate`. Index 0 is one, so the first update comes at once, with a gradient of
# one micro-batch. What is left at the end of an epoch is not thrown away: it waits for
# the next one's first update. The scheduler steps at every micro-batch.


# %%
class Update(NamedTuple):
    """One step of the optimizer."""

    step: int  # of the scheduler, when the update is made
    index: int  # of the micro-batch within its epoch
    collected: int  # micro-batches whose gradients are added up in it


def updates(n_epochs: int, n_batches: int, accumulate: int) -> Iterator[Update]:
    """Every update of a run with n_batches micro-batches per epoch.

    Raises ValueError if an argument is below 1.
    """
    if min(n_epochs, n_batches, accumulate) < 1:
        got = f"{n_epochs}, {n_batches}, {accumulate}"
        raise ValueError(f"n_epochs, n_batches, accumulate: got {got}, want >= 1")
    collected = 0
    for epoch in range(n_epochs):
        for index in range(n_batches):
            collected += 1  # backward() adds to the gradient
            if index % accumulate == 0:
                yield Update(epoch * n_batches + index, index, collected)
                collected = 0  # zero_grad()


# %% [markdown]
# ## The run of 2022
# Multi30k: 29,000 sentence pairs in micro-batches of 32, eight epochs, ten
# micro-batches to an update, warm-up 3000.

# %% The run
PAIRS, BATCH, EPOCHS, ACCUMULATE, WARMUP = 29_000, 32, 8, 10, 3000
RUN = list(updates(EPOCHS, math.ceil(PAIRS / BATCH), ACCUMULATE))


# %% [markdown]
# ## Figure


# %%
def draw_rates() -> None:
    """The rate against the number of updates. As the loop runs, it climbs for 300
    updates to 0.0008 and falls slowly. Had 3000 counted updates, it would have climbed
    along a straight line and stopped at a quarter of that height.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    n = range(1, len(RUN) + 1)
    ax.plot(n, [rate(u.step, warmup=WARMUP) for u in RUN], label="as the loop runs")
    ax.plot(n, [rate(i, warmup=WARMUP) for i in n], label="if 3000 meant updates")
    ax.set(xlabel="updates", ylabel="learning rate", ylim=(0, None))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_rates()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    result: dict[str, float] = {}
    for d_model, warmup in ((512, 4000), (512, 8000), (256, 4000)):  # the source's plot
        curve = [rate(step, d_model, warmup) for step in range(20_001)]
        tag = f"d{d_model}_w{warmup}"
        result[f"peak_step_{tag}"] = curve.index(max(curve))
        result[f"peak_rate_{tag}"] = max(curve)
        result[f"last_rate_{tag}"] = curve[-1]

    first_epoch = [u for u in RUN if u.step == u.index]
    second_epoch = RUN[len(first_epoch) :]
    rates = [rate(u.step, warmup=WARMUP) for u in RUN]
    result |= {
        "batches_per_epoch": math.ceil(PAIRS / BATCH),
        "updates_per_epoch": len(first_epoch),
        "updates_in_all": len(RUN),
        "updates_in_warmup": sum(u.step <= WARMUP for u in RUN),
        "collected_first": RUN[0].collected,
        "collected_second": RUN[1].collected,
        "collected_first_of_epoch_2": second_epoch[0].collected,
        "updates_up_to_index_881": sum(u.index <= 881 for u in first_epoch),
        "rate_after_two_batches": rate(2, warmup=WARMUP),
        "rate_highest": max(rates),
        "rate_if_updates_counted": rate(len(RUN), warmup=WARMUP) / max(rates),
    }
    for year, epochs in ((2018, 10), (2022, 20)):  # 20 batches each, warm-up 400
        steps = len(list(updates(epochs, 20, 1)))
        result[f"copy_updates_{year}"] = steps
        rates = [rate(step, warmup=400) for step in range(1, steps + 1)]
        result[f"copy_peak_step_{year}"] = 1 + rates.index(max(rates))
        share = rates[-1] / rate(400, warmup=400)
        result[f"copy_last_rate_share_{year}"] = share
    return result


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
