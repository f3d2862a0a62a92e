# %% [markdown]
r"""
# A language model of letters with a hidden layer

Three letters in, the next one out: a vector for each letter, the three side by side, a
tanh layer, 27 logits, after Bengio and others (2003). With it the lecture's habits:
minibatches, a sweep to find the learning rate, and three parts of the data; and two
ways in which these parts turn out not to be what they seem. Trains on 700 names in
under a second, or on a list of yours:
`python mlp_language_model.py --names FILE --steps 20000`.

**Source:** Andrej Karpathy, *Neural Networks: Zero to Hero* (2022), lecture 3: notebook
*makemore part 2, MLP*.

| symbol | name | shape |
| --- | --- | --- |
| $x, y$ (`x`, `y`) | letters of context, letter to predict | $(B, T)$, $(B,)$ |
| $C$ (`p["C"]`) | a vector for each of the 27 letters | $(27, E)$ |
| $W_1, b_1$ (`p["W1"]`, `p["b1"]`) | hidden layer | $(TE, H)$, $(H,)$ |
| $W_2, b_2$ (`p["W2"]`, `p["b2"]`) | output layer | $(H, 27)$, $(27,)$ |
| $\eta$ (`rates`) | learning rate of each step | (steps,) |

**Differs from the source:** other names, of the census of 1990, each once; first
weights scaled as in lecture 4, biases 0, so that 2,000 steps do; gradient by hand.

**Checked against:** `torch.nn` and autograd, step by step (1e-10 in float64).

**Takes:** about 3 s on one core.
"""

# %%
import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

Params = dict[str, np.ndarray]
Data = tuple[np.ndarray, np.ndarray]
LETTERS = ".abcdefghijklmnopqrstuvwxyz"

# %% [markdown]
# ## Names to examples
# Each letter of a name, and its end, is one example.


# %%
def examples(names: Sequence[str], context: int = 3) -> Data:
    """x (N, context): the letters before; y (N,): the letter. Padded with dots.

    Raises ValueError without names, or if one is empty or not of letters a to z.
    """
    if not names:
        raise ValueError("names must not be empty")
    x, y = [], []
    for place, name in enumerate(names, 1):
        if not name or not set(name) <= set(LETTERS[1:]):
            wanted = "names must be of letters a to z, one name a line"
            raise ValueError(f"{wanted}, got {name!r} as name {place}")
        before = [0] * context
        for letter in name + ".":
            x.append(before)
            y.append(LETTERS.index(letter))
            before = [*before[1:], y[-1]]
    return np.array(x), np.array(y)  # (N, context), (N,)


# %% [markdown]
# ## The model


# %%
def initialize(
    rng: np.random.Generator, context: int = 3, embedding: int = 10, hidden: int = 200
) -> Params:
    """First weights, with the gain of tanh, and logits near 0."""
    wide = context * embedding
    return {
        "C": rng.standard_normal((27, embedding)),  # (27, E)
        "W1": rng.standard_normal((wide, hidden)) * 5 / 3 / wide**0.5,  # (T E, H)
        "b1": np.zeros(hidden),  # (H,)
        "W2": rng.standard_normal((hidden, 27)) * 0.01,  # (H, 27)
        "b2": np.zeros(27),  # (27,)
    }


def forward(p: Params, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log probabilities (B, 27), hidden layer (B, H), vectors side by side (B, T E)."""
    side_by_side = p["C"][x].reshape(len(x), -1)  # (B, T E)
    # h = tanh([C_x1 C_x2 C_x3] W1 + b1),   l = h W2 + b2
    h = np.tanh(side_by_side @ p["W1"] + p["b1"])  # (B, H)
    logits = h @ p["W2"] + p["b2"]  # (B, 27)
    # ln softmax(l) = l - ln sum_k e^(l_k)
    logits = logits - logits.max(axis=1, keepdims=True)  # (B, 27), against overflow
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), h, side_by_side


def mean_nll(p: Params, data: Data) -> float:
    """Mean of -ln P(y | x) over the examples."""
    x, y = data
    return -float(forward(p, x)[0][range(len(y)), y].mean())


def gradient(p: Params, x: np.ndarray, y: np.ndarray) -> tuple[float, Params]:
    """Mean NLL of the examples x (B, T), y (B,), and its gradient: shapes as p."""
    B = len(y)
    logprobs, h, side_by_side = forward(p, x)
    # dL/dl = (softmax(l) - onehot(y)) / B
    dlogits = np.exp(logprobs)  # (B, 27)
    dlogits[range(B), y] -= 1
    dlogits /= B
    # dL/dz = (1 - h^2) dL/dh
    dz = (1 - h**2) * (dlogits @ p["W2"].T)  # (B, H)
    dC = np.zeros_like(p["C"])  # (27, E)
    # a letter collects from each place where it stands
    np.add.at(dC, x, (dz @ p["W1"].T).reshape(*x.shape, -1))
    return -float(logprobs[range(B), y].mean()), {
        "C": dC,
        "W1": side_by_side.T @ dz,  # (T E, H)
        "b1": dz.sum(axis=0),  # (H,)
        "W2": h.T @ dlogits,  # (H, 27)
        "b2": dlogits.sum(axis=0),  # (27,)
    }


# %% [markdown]
# ## Training
# One rate for each step: a schedule, or a sweep over all rates that one might choose.


# %%
def training(
    p: Params, data: Data, rates: np.ndarray, rng: np.random.Generator, batch: int = 32
) -> Iterator[float]:
    """Descend, changing p; yields the loss of each minibatch before its step."""
    x, y = data
    for rate in rates:
        chosen = rng.integers(0, len(y), batch)  # (B,)
        loss, d = gradient(p, x[chosen], y[chosen])
        for name, w in p.items():
            w -= rate * d[name]  # in place
        yield loss


def schedule(steps: int) -> np.ndarray:
    """The rate of each step: 0.1, and 0.01 in the last quarter."""
    rates = np.full(steps, 0.1)  # (steps,)
    rates[3 * steps // 4 :] = 0.01
    return rates


def sweep(data: Data, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rates from 0.001 to 1, and the loss at each, smoothed over 50 steps: (951,)."""
    rng = np.random.default_rng(seed)
    rates = 10 ** np.linspace(-3, 0, 1000)  # (1000,)
    losses = list(training(initialize(rng), data, rates, rng))
    return rates[25:-24], np.convolve(losses, np.full(50, 1 / 50), "valid")  # (951,)


# %% [markdown]
# ## Three parts
# To learn from, to choose by, to report. The notebook's cell seeds its generator and
# shuffles the list in place. Run again, it shuffles what is shuffled already.


# %%
def split(
    names: Sequence[str], seed: int = 42, runs: int = 1
) -> tuple[list[str], list[str], list[str]]:
    """80, 10 and 10 % of the names, after so many runs of the shuffling cell."""
    shuffled = list(names)
    for _ in range(runs):
        random.Random(seed).shuffle(shuffled)
    n1, n2 = int(0.8 * len(shuffled)), int(0.9 * len(shuffled))
    return shuffled[:n1], shuffled[n1:n2], shuffled[n2:]


def parts(names: Sequence[str]) -> dict[str, float]:
    """Examples in each part, after one run of the cell and after four; dev's leak."""
    out = {"examples": len(examples(names)[1])}
    for runs in (1, 4):
        train, dev, test = split(names, runs=runs)
        for part, those in (("train", train), ("dev", dev), ("test", test)):
            out[f"{part}_examples_{runs}"] = len(examples(those)[1])
        out[f"dev_names_{runs}"] = len(dev)
        seen = set(train)
        out[f"dev_names_in_train_{runs}"] = sum(name in seen for name in dev)
    return out


def without_the_seen(mixed: float, seen: float, share: float) -> float:
    """Loss on unseen names, where a share of those measured costs as if seen."""
    # mixed = share seen + (1 - share) unseen
    return (mixed - share * seen) / (1 - share)


def bigram_nll(train: Data, held_out: Data, added: float = 0.1) -> float:
    """Mean NLL of counted pairs, for comparison; `added` to each count."""
    N = np.full((27, 27), added)  # (27, 27)
    np.add.at(N, (train[0][:, -1], train[1]), 1)
    P = N / N.sum(axis=1, keepdims=True)  # (27, 27)
    return -float(np.log(P[held_out[0][:, -1], held_out[1]]).mean())


# %% [markdown]
# ## Data

# %%
# the 700 most common first names of the 1990 US census (public domain)
NAMES = """
james john robert michael mary william david richard charles joseph thomas patricia
christopher linda barbara daniel paul mark elizabeth donald george jennifer maria
kenneth susan steven edward margaret brian dorothy ronald anthony lisa kevin nancy karen
betty helen jason matthew gary timothy sandra jose larry jeffrey donna frank carol ruth
scott eric stephen andrew sharon michelle laura sarah kimberly deborah jessica raymond
shirley cynthia angela melissa brenda amy jerry gregory anna joshua rebecca virginia
kathleen dennis pamela martha debra amanda walter stephanie willie patrick terry carolyn
christine peter janet marie frances catherine harold douglas henry ann joyce diane alice
jean carl julie kelly arthur heather teresa doris gloria ryan joe evelyn roger juan
ashley jack albert cheryl joan jonathan justin katherine mildred gerald keith samuel
judith rose janice lawrence ralph nicole judy christina nicholas roy kathy theresa
benjamin beverly denise bruce brandon adam tammy billy fred irene harry jane wayne lori
louis steve tracy jeremy aaron andrea rachel marilyn robin leslie randy kathryn eugene
bobby carlos howard louise sara anne jacqueline wanda russell shawn bonnie julia victor
chris ruby lois tina jamie phyllis martin norma jesse paula annie diana ernest shannon
lee phillip todd lillian emily peggy crystal carmen craig kim connie gladys alan rita
dawn dale florence francis sean clarence johnny edna philip tiffany rosa tony earl jimmy
antonio cindy luis bryan danny mike grace leonard stanley nathan wendy curtis manuel
rodney victoria edith norman sherry josephine sylvia allen sheila thelma ethel elaine
ellen lynn marjorie carrie marvin marion charlotte glenn vincent travis esther jeff
jeffery monica chad emma jacob pauline dana juanita kyle jessie melvin alfred anita
rhonda hazel amber bradley eva ray debbie jesus eddie herbert april frederick joel clara
lucille gail eleanor joanne danielle valerie edwin erin megan alicia don michele suzanne
bertha darlene jill veronica geraldine lauren ricky troy randall stacy cathy joann
lorraine sally alexander barry jackie regina beatrice erica dolores bernice audrey
bernard mario francisco yvonne annette june leroy micheal marcus samantha clifford oscar
theodore miguel jay ana renee ida jim vivian alex angel brittany holly roberta ronnie
tom jon melanie calvin jeanette loretta tommy yolanda laurie katie leon bill derek lloyd
stacey alma kristen sue vanessa beth elsie warren jeanne vicki darrell jerome carla dean
floyd leo rosemary tara alvin courtney eileen terri wesley gordon greg jorge tim corey
derrick dustin gertrude lucy pedro dan tonya ella lewis gina kristin maurice wilma
zachary agnes clyde natalie roberto vera vernon charlene herman bessie charlie delores
shane arlene glen hector melinda pearl sam ricardo allison colleen gene lester maureen
tamara constance georgia johnnie joy rick tyler brent claudia lillie marcia ramon
gilbert minnie nellie tanya glenda heidi marlene marc billie lydia marian viola caroline
guadalupe stella dora reginald brett casey cecil jo jaime ruben vickie mattie nathaniel
rafael edgar milton irma maxine raul adrian andre ben chester mabel marsha myrtle
christy duane franklin lena deanna gabriel patsy tracey bobbie christian elmer hilda
jimmie gwendolyn brad jennie mitchell nora arnold cassandra cory harvey leah margie nina
roland ron carole jared karl kay naomi penny priscilla brandy jan olga claude dianne
leona lonnie erik felicia jenny jordan sonia darryl kerry lindsey becky miriam neil
velma clinton cody fernando javier kristina violet darren julio lindsay mathew rene ted
toni tyrone lance mae misty daisy jody kurt pat ramona sandy shelly sherri allan claire
erika katrina nelson clayton guy hugh belinda dwayne geneva margarita max sheryl armando
cora dwight faye felix ada everett isabel natasha sabrina harriet hattie ian marguerite
sidney wallace blanche bob brandi cecilia iris joanna ken kristi molly rosie alfredo
angie eunice julian alberto dave freddie inez ivan lynda alberta amelia byron daryl
madeline candace genevieve isaac janie jodi kayla kristine maggie monique morris perry
sonya alison clifton fannie marshall maryann melody opal ross virgil whitney willard
yvette andy flora kirk luz olivia salvador sergio shelley susie antoinette beulah kent
kristy lola lula mamie seth terrance verna eduardo gayle terrence candice donnie enrique
jeannette joey juana kelli pam austin bridget frankie hannah wade celia evan karla
stuart alejandro arturo della fredrick latoya luther lynne nick patty shelia vicky
jeremiah julius marianne sheri wendell alexis angelo blanca erma jacquelyn kara otis
shaun cameron doug gerard homer
"""
STEPS = 2000


# %% [markdown]
# ## Figures


# %%
def draw_sweep() -> None:
    """Smoothed loss against the learning rate, which grows from 0.001 to 1; five seeds.

    From 3.3 it falls to about 2.5 at 0.03, is lowest and nearly flat from 0.1 to 0.4,
    and rises steeply towards 1.
    """
    import matplotlib.pyplot as plt

    data = examples(split(NAMES.split())[0])
    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    for seed in range(5):
        rates, losses = sweep(data, seed)
        ax.plot(rates[::5], losses[::5], "-", color="C0", alpha=0.6)
    ax.set(xlabel="learning rate, growing with each step", ylabel="mean NLL")
    ax.set(xscale="log", xlim=(1e-3, 1))


# %% tags=["active-ipynb"]
# draw_sweep()


# %%
def draw_training() -> None:
    """Loss on the names of the training part and of the other two, against the step.

    Both fall at first. Then the curve of other names flattens, crosses the dashed line
    of the bigrams near step 600 and ends half a nat above the other. Where the rate is
    lowered, at step 1500, both take a small step down.
    """
    import matplotlib.pyplot as plt

    part, dev, test = split(NAMES.split())
    train, held_out = examples(part), examples([*dev, *test])
    rng = np.random.default_rng(0)
    p = initialize(rng)
    curve = []
    for step, _ in enumerate(training(p, train, schedule(STEPS), rng), 1):
        if step % 50 == 0:
            curve.append((step, mean_nll(p, train), mean_nll(p, held_out)))
    steps, on_train, on_held_out = np.array(curve).T  # (40,) each
    _, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    ax.plot(steps, on_train, "-", label="names trained on")
    ax.plot(steps, on_held_out, "-", label="other names")
    level = bigram_nll(train, held_out)
    ax.axhline(level, color="C2", ls="--", label="bigrams, other names")
    ax.set(xlabel="step", ylabel="mean NLL", xlim=(0, STEPS))
    ax.legend()


# %% tags=["active-ipynb"]
# draw_training()


# %% [markdown]
# ## Numbers


# %%
def fit(
    names: Sequence[str], steps: int, seed: int, split_seed: int
) -> dict[str, float]:
    """Train on 80 % of the names; losses on them, on the rest, and of bigrams there."""
    part, dev, test = split(names, split_seed)
    train, held_out = examples(part), examples(dev + test)
    rng = np.random.default_rng(seed)
    p = initialize(rng)
    for _ in training(p, train, schedule(steps), rng):
        pass
    return {
        "train": mean_nll(p, train),
        "held_out": mean_nll(p, held_out),
        "bigrams": bigram_nll(train, held_out),
    }


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    p = initialize(np.random.default_rng(0))
    out: dict[str, float] = {"parameters": sum(w.size for w in p.values())}
    names = NAMES.split()
    out |= parts(names)

    # the course's list: 32,033 names, 2,539 of them in both of its halves
    first, again = split(range(32033)), split(range(32033), runs=4)
    out["course_names_train"], out["course_names_dev"] = len(first[0]), len(first[1])
    out["course_test_then_trained"] = len(set(first[2]) & set(again[0])) / len(first[2])
    # a pair of twins: one in dev, the other in train, either way round
    out["course_twins"] = 2 * 2539 * len(first[1]) * len(first[0]) / 32033 / 32032
    out["course_leak"] = 424 / len(first[1])
    clean = without_the_seen(2.1701, 2.1260, out["course_leak"])
    out |= {"course_dev_clean": clean, "course_dev_gain": clean - 2.1701}

    data = examples(split(names)[0])
    runs_by_key: dict[str, list[float]] = {}
    for seed in range(5):
        found = fit(names, STEPS, seed, seed)
        found["gap"] = found["held_out"] - found["train"]
        found["ahead"] = found["bigrams"] - found["held_out"]
        rates, losses = sweep(data, seed)
        found["sweep_rate"] = float(rates[losses.argmin()])
        for key, value in found.items():
            runs_by_key.setdefault(key, []).append(value)
    for key, values in runs_by_key.items():
        out[f"{key}_median"] = float(np.median(values))
        out |= {f"{key}_min": min(values), f"{key}_max": max(values)}
    out["leak_would_hide"] = out["course_leak"] * out["gap_median"]
    return out


# %%
def main(argv: Sequence[str]) -> dict[str, float]:
    """Without arguments the numbers of the page, with any the run they ask for."""
    parser = argparse.ArgumentParser(description="Train a letter model on names.")
    parser.add_argument("--names", metavar="FILE", help="one a line (default: census)")
    parser.add_argument("--steps", type=int, default=2000, help="updates (2000)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (0)")
    args = parser.parse_args(argv)
    if not argv:
        return numbers()
    try:
        text = Path(args.names).read_text(encoding="utf-8") if args.names else NAMES
        names = text.splitlines() if args.names else text.split()
        return parts(names) | fit(names, args.steps, args.seed, 42)
    except (OSError, ValueError) as error:
        parser.error(str(error))


# %%
if __name__ == "__main__":
    results = main(sys.argv[1:] if "__file__" in globals() else [])
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
