# %% [markdown]
r"""
# A tree of letters, and the convolution in it

Eight letters of context, fused in pairs, then pairs of pairs, then once more, by the
same `Linear`, batch normalization and tanh at each level; beside it the flat network
that takes all eight at once and has as many parameters. Two things follow from writing
it with three axes: a fault of normalization that raises no error, and that the tree,
moved along a text, is a stack of dilated convolutions, as in WaveNet.

**Source:** Andrej Karpathy, *Neural Networks: Zero to Hero* (2022), lecture 6: notebook
*makemore part 5, CNN*.

| symbol | name | shape |
| --- | --- | --- |
| $B, T$ | batch size, letters of context | |
| $E, H$ (`embedding`, `hidden`) | width of a letter's vector, of a level | |
| $n$ (`fuse`) | neighbors that a level fuses, one number per level | |
| $\mu, s^2$ (`mean`, `variance`) | kept statistics of a channel | $(1, 1, H)$ |
| $\gamma, \beta$ (`gain`, `bias`) | learned scale and shift | $(H,)$ |

**Differs from the source:** other names, of the census of 1990; 300 updates in place of
200,000; variance over $n$ and not $n - 1$ within a batch, as PyTorch has it.

**Checked against:** `torch.nn.BatchNorm1d` and `torch.nn.functional.conv1d` with
dilation (1e-10 in float64), each update by the rule written out.

**Takes:** about 8 s on one core.

**Varies with the machine:** training magnifies rounding: `loss_` by up to 0.02.
"""

# %%
import random
from collections.abc import Sequence
from functools import cache
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# %% [markdown]
# ## The modules


# %%
class FlattenConsecutive(nn.Module):
    """Lays each n neighbors side by side."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C) -> (B, T / n, n C). Raises ValueError where T is no multiple."""
        B, T, C = x.shape
        if T % self.n:
            raise ValueError(f"{T} places cannot be fused by {self.n}")
        return x.reshape(B, T // self.n, self.n * C)  # (B, T / n, n C)


class BatchNorm(nn.Module):
    """Each channel to mean 0 and variance 1, then a learned gain and bias.

    The statistics run over `axes`: (0, 1), examples and places, is right. With (0,),
    the lecture's fault, each place has its own. Nothing complains: what is kept has
    shape (1, T, H) in place of (1, 1, H) from the first update on, and fits either way.
    """

    def __init__(self, channels: int, axes: tuple[int, ...] = (0, 1)) -> None:
        super().__init__()
        self.axes = axes
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        # buffers: they move and are saved with the weights, and are not trained
        self.register_buffer("mean", torch.zeros(1, 1, channels))
        self.register_buffer("variance", torch.ones(1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, H) -> the same shape; in training, keeps running statistics."""
        mean, variance = self.mean, self.variance
        if self.training:
            mean = x.mean(self.axes, keepdim=True)  # (1, 1, H); fault: (1, T, H)
            variance = x.var(self.axes, keepdim=True, correction=0)  # as the mean
            unbiased = x.var(self.axes, keepdim=True).detach()  # as the mean
            # kept = 0.9 kept + 0.1 of this batch
            self.mean = 0.9 * self.mean + 0.1 * mean.detach()
            self.variance = 0.9 * self.variance + 0.1 * unbiased
        # y = gamma (x - mu) / sqrt(s^2 + eps) + beta
        return self.gain * (x - mean) / (variance + 1e-5).sqrt() + self.bias


# %% [markdown]
# ## Tree and flat network
# One function makes both: (2, 2, 2) fuses eight letters in three levels, (8,) in one.


# %%
TREE, FLAT = (2, 2, 2), (8,)


def network(
    fuse: Sequence[int] = TREE,
    embedding: int = 10,
    hidden: int = 68,
    axes: tuple[int, ...] = (0, 1),
) -> nn.Sequential:
    """Letters (B, T), T the product of `fuse`, to logits (B, 1, 27).

    Raises ValueError if `fuse` is empty or has a number below 1.
    """
    if not fuse or min(fuse) < 1:
        raise ValueError(f"fuse is {tuple(fuse)}, want one or more numbers above 0")
    layers: list[nn.Module] = [nn.Embedding(27, embedding)]
    wide = embedding
    for n in fuse:
        layers.append(FlattenConsecutive(n))
        layers.append(nn.Linear(n * wide, hidden, bias=False))
        layers += [BatchNorm(hidden, axes), nn.Tanh()]
        wide = hidden
    last = nn.Linear(hidden, 27)
    with torch.no_grad():
        last.weight *= 0.1  # unsure at the start
    return nn.Sequential(*layers, last)


# %% [markdown]
# ## The same, moved along a text
# Two letters on, three of the first level's four pairs are the same as before. So every
# pair is computed once, for all places where a tree may stand: neighbors 1 apart, then
# results 2 apart, then 4.


# %%
def slide(model: nn.Sequential, ids: Tensor) -> Tensor:
    """Letters (L,) -> logits (L - T + 1, 27): what `model` says at every place.

    Raises ValueError for a model in training, for fewer letters than a tree has, and
    where a normalization has statistics of its own for each place.
    """
    if model.training:
        raise ValueError("model is in training, want it after model.eval()")
    embed, *levels, last = model
    h, apart = embed(ids), 1  # (L, E)
    for flatten, linear, norm, tanh in zip(*[iter(levels)] * 4, strict=True):
        if norm.mean.numel() != norm.gain.numel():
            raise ValueError("each place has its own statistics: the tree cannot move")
        ends = [len(h) - k * apart for k in reversed(range(flatten.n))]
        if ends[0] < 1:
            raise ValueError(f"ids has {len(ids)} letters, want as many as a tree has")
        # a dilated convolution: W [h_t, h_(t + apart), ...]
        side_by_side = [h[end - ends[0] : end] for end in ends]  # n times (L', C)
        h = linear(torch.cat(side_by_side, dim=1))  # (L', H)
        h = tanh(norm(h[None]))[0]  # (L', H)
        apart *= flatten.n
    return last(h)


def products(fuse: Sequence[int], embedding: int, hidden: int, moved: bool) -> int:
    """Multiplications by weights for one more letter: whole tree, or moved along."""
    total, wide, nodes = hidden * 27, embedding, 1
    for n in fuse:
        nodes *= n
    for n in fuse:
        nodes //= n
        total += (1 if moved else nodes) * n * wide * hidden
        wide = hidden
    return total


# %% [markdown]
# ## Training

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
SEEDS, STEPS = range(5), 300
Data = tuple[Tensor, Tensor]


def examples(names: Sequence[str], context: int = 8) -> Data:
    """x (N, context): the letters before; y (N,): the letter, 0 for the end."""
    x, y = [], []
    for name in names:
        before = [0] * context
        for letter in [*name.encode(), 96]:  # 97 is a
            x.append(before)
            y.append(letter - 96)
            before = [*before[1:], letter - 96]
    return torch.tensor(x), torch.tensor(y)  # (N, context), (N,)


def loss_on(model: nn.Sequential, data: Data) -> Tensor:
    """Mean NLL in nats of letters y (N,) after x (N, T)."""
    return F.cross_entropy(model(data[0])[:, 0], data[1])


def train(model: nn.Sequential, data: Data, steps: int, seed: int) -> None:
    """Descend by minibatches of 32, rate 0.1; 0.01 in the last quarter."""
    rng = torch.Generator().manual_seed(seed)
    descent = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()
    for step in range(steps):
        descent.param_groups[0]["lr"] = 0.1 if step < 3 * steps // 4 else 0.01
        chosen = torch.randint(len(data[1]), (32,), generator=rng)  # (32,)
        loss = loss_on(model, (data[0][chosen], data[1][chosen]))
        descent.zero_grad()
        loss.backward()
        descent.step()
    model.eval()


KINDS = {
    "flat": (FLAT, 200, (0, 1)),
    "tree": (TREE, 68, (0, 1)),
    "fault": (TREE, 68, (0,)),
}


@cache
def losses(kind: str) -> tuple[list[float], list[float]]:
    """Of five seeds, each with its split: on names trained on, and on the others."""
    torch.set_num_threads(1)
    fuse, hidden, axes = KINDS[kind]
    seen, unseen = [], []
    for seed in SEEDS:
        names = NAMES.split()
        random.Random(seed).shuffle(names)
        mine, others = examples(names[:560]), examples(names[560:])
        torch.manual_seed(seed)
        model = network(fuse, 10, hidden, axes)
        train(model, mine, STEPS, seed)
        with torch.no_grad():
            seen.append(loss_on(model, mine).item())
            unseen.append(loss_on(model, others).item())
    return seen, unseen


# %% [markdown]
# ## Figures


# %%
def draw_tree() -> None:
    """Sixteen letters below, three rows of nodes above them. Each node joins two of the
    row below, 1, then 2, then 4 apart. One tree stands out: its eight letters, four
    pairs, two pairs of pairs and the one at the top, which says the next letter.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
    text = ".......geraldine"
    tree = {0: {*range(8, 16)}, 1: {9, 11, 13, 15}, 2: {11, 15}, 3: {15}}
    for row, apart in ((1, 1), (2, 2), (3, 4)):
        for t in range(2 * apart - 1, 16):
            alpha = 1 if t in tree[row] else 0.25
            for below in (t - apart, t):
                ax.plot([below, t], [row - 1, row], "C0-", alpha=alpha)
            ax.plot(t, row, "C0o", alpha=alpha)
    for t, letter in enumerate(text):
        weight = "bold" if t in tree[0] else "normal"
        ax.text(t, -0.15, letter, ha="center", va="top", weight=weight)
    ax.set(ylim=(-0.6, 3.2), yticks=[1, 2, 3], xticks=[], ylabel="level")


# %% tags=["active-ipynb"]
# draw_tree()


# %%
def draw_losses() -> None:
    """Loss of five seeds for the flat network, the tree and the tree with the fault, on
    names trained on and on others. On others, about 0.15 above, the tree is lowest and
    the flat network highest; the dots of the three overlap.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for place, kind in enumerate(KINDS):
        seen, unseen = losses(kind)
        for shift, values, color in ((-0.08, seen, "C1"), (0.08, unseen, "C0")):
            label = (
                ("names trained on" if shift < 0 else "others") if not place else None
            )
            ax.plot([place + shift] * 5, values, "o", color=color, label=label)
    ax.set_xticks(range(3), ["flat", "tree", "tree with the fault"])
    ax.set(ylabel="mean NLL, nats")
    ax.legend()


# %% tags=["active-ipynb"]
# draw_losses()

# %% [markdown]
# ## Numbers


# %%
def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median and range over seeds, as three entries."""
    return {
        f"{name}_median": median(values),
        f"{name}_min": min(values),
        f"{name}_max": max(values),
    }


def parameters(model: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in model.parameters())


def statistics(axes: tuple[int, ...]) -> int:
    """How many numbers the norms of the tree keep after an update."""
    model = network(TREE, axes=axes)
    model(torch.zeros(2, 8, dtype=torch.long))
    return sum(kept.numel() for kept in model.buffers())


def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    out: dict[str, float] = {
        "parameters_flat": parameters(network(FLAT, 10, 200)),
        "parameters_tree": parameters(network(TREE, 10, 68)),
        "parameters_large": parameters(network(TREE, 24, 128)),
        "products_tree": products(TREE, 24, 128, moved=False),
        "products_moved": products(TREE, 24, 128, moved=True),
        "statistics": statistics((0, 1)),
        "statistics_fault": statistics((0,)),
    }
    for kind in KINDS:
        for part, values in zip(("seen", "unseen"), losses(kind), strict=True):
            out |= spread(f"loss_{kind}_{part}", values)
    for kind in ("flat", "fault"):
        pairs = zip(losses(kind)[1], losses("tree")[1], strict=True)
        out |= spread(f"loss_{kind}_more", [a - b for a, b in pairs])
    return out


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
