"""mamba_tasks.py against Hugging Face's Mamba, a convolution, and plain training."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import MambaConfig, MambaForCausalLM

import mamba_tasks as m

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def shaken(selects=m.ALL):
    """A model whose every weight, gains and biases included, is random."""
    model = m.OneBlock(selects)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.3 * torch.randn(p.shape)
    return model


# ---- the block -----------------------------------------------------------------------


def test_logits_and_gradients_equal_hugging_face():
    """Random weights everywhere, in float32."""
    ours = shaken()
    theirs = MambaForCausalLM(
        MambaConfig(
            vocab_size=10,
            hidden_size=16,
            num_hidden_layers=1,
            state_size=4,
            time_step_rank=1,
        )
    ).eval()
    names = {
        "embedding.weight": "backbone.embeddings.weight",
        "norm.weight": "backbone.layers.0.norm.weight",
        "norm_f.weight": "backbone.norm_f.weight",
    }
    mixer = "backbone.layers.0.mixer."
    names = {name: names.get(name, mixer + name) for name in ours.state_dict()}
    weights = {names[name]: p for name, p in ours.state_dict().items()}
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])  # tied to the embedding
    ids = torch.randint(10, (3, 21))
    got, want = ours(ids), theirs(ids).logits
    assert got.shape == (3, 21, 10)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5 * want.std().item())
    pull = torch.randn(got.shape)
    (got * pull).sum().backward()
    (want * pull).sum().backward()
    other = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        grad = other[names[name]].grad
        gap = (p.grad - grad).abs().max() / grad.abs().max()
        assert gap < 1e-4, name


def test_the_start_equals_the_published_codes():
    model = m.OneBlock()
    torch.testing.assert_close(-model.A_log.exp(), -torch.arange(1.0, 5).expand(32, 4))
    assert model.D.tolist() == [1.0] * 32
    delta = torch.cat([F.softplus(m.OneBlock().dt_proj.bias) for _ in range(30)])
    assert 0.001 - 1e-6 < delta.min() < 0.00105
    assert 0.095 < delta.max() < 0.1 + 1e-6
    assert 0.45 < (delta < 0.01).float().mean() < 0.55  # log-uniform
    scale = torch.cat([m.OneBlock().embedding.weight for _ in range(30)]).std()
    assert scale.item() == pytest.approx(0.02, rel=0.03)
    assert model.norm.eps == model.norm_f.eps == 1e-5
    assert sum(p.numel() for p in model.parameters()) == 2400


def parts(model, x):
    return dict(zip(m.ALL, model.select(x), strict=True))


@pytest.mark.parametrize("selects", [(), ("delta",), ("B",), ("C",), ("delta", "C")])
def test_what_is_not_selected_is_the_same_at_every_step(double, selects):
    """And is what the token would get, were all its channels one."""
    model = shaken(selects)
    x, one = torch.randn(2, 7, 32), torch.ones(2, 7, 32)
    everything = shaken()
    everything.load_state_dict(model.state_dict())
    got, by_token, by_one = (
        parts(model, x),
        parts(everything, x),
        parts(everything, one),
    )
    for name in m.ALL:
        want = by_token[name] if name in selects else by_one[name]
        torch.testing.assert_close(got[name], want.expand(got[name].shape), **TOLERANCE)
        assert (by_token[name] - by_one[name]).abs().max() > 0.1


def test_without_selection_the_block_is_a_convolution(double):
    """One kernel per channel over all delays gives the same logits."""
    model = shaken(())
    ids = torch.randint(10, (2, 15))
    stream = model.embedding(ids)
    x, z = model.in_proj(model.norm(stream)).chunk(2, dim=-1)
    x = F.silu(model.conv1d(x.mT)[..., :15].mT)
    delta, B, C = (part[0, 0] for part in model.select(torch.ones(1, 1, 32)))
    A = -model.A_log.exp()
    kernel = torch.stack(
        [(delta[:, None] * (delta[:, None] * A * k).exp() * B) @ C for k in range(15)],
        -1,
    )  # (d_in, l)
    y = F.conv1d(F.pad(x.mT, (14, 0)), kernel.flip(-1)[:, None], groups=32).mT
    stream = stream + model.out_proj((y + model.D * x) * F.silu(z))
    want = model.norm_f(stream) @ model.embedding.weight.T
    torch.testing.assert_close(model(ids), want, **TOLERANCE)


def test_no_step_sees_a_later_one(double):
    model, ids = shaken(), torch.randint(9, (1, 8))
    before = model(ids)
    for t in range(8):
        changed = ids.clone()
        changed[0, t] = 9
        after = model(changed)
        assert torch.equal(after[:, :t], before[:, :t])
        assert (after[:, t] - before[:, t]).abs().max() > 1e-3


def test_what_cannot_be_selected_is_refused():
    text = r"selects is \['A', 'B'\], want some of \['delta', 'B', 'C'\]"
    with pytest.raises(ValueError, match=text):
        m.OneBlock(["A", "B"])


# ---- the tasks -----------------------------------------------------------------------


def test_copying_asks_for_the_data_in_order():
    ids, answers = m.copying(400, 6, seeded(0))
    assert ids.shape == (400, 6)
    assert answers.shape == (400, 2)
    assert (ids[:, 4:] == 9).all()
    seen = set()
    for row, answer in zip(ids.tolist(), answers.tolist(), strict=True):
        places = [t for t in range(4) if row[t] != 8]
        assert [row[t] for t in places] == answer
        seen.add(tuple(places))
    assert len(seen) == 6  # every pair of places
    assert answers.unique().tolist() == list(range(8))
    torch.testing.assert_close(m.copying(400, 6, seeded(0)), (ids, answers))
    assert not torch.equal(ids, m.copying(400, 6, seeded(1))[0])


def test_induction_asks_for_what_followed():
    ids, answers = m.induction(400, 6, seeded(0))
    assert ids.shape == (400, 6)
    assert answers.shape == (400, 1)
    seen = set()
    for row, (answer,) in zip(ids.tolist(), answers.tolist(), strict=True):
        first, last = (t for t in range(6) if row[t] == 8)
        assert last == 5
        assert row[first + 1] == answer < 8
        seen.add(first)
    assert seen == {0, 1, 2, 3}
    assert ids.unique().tolist() == list(range(9))
    assert torch.equal(ids, m.induction(400, 6, seeded(0))[0])


@pytest.mark.parametrize(("draw", "least"), [(m.copying, 4), (m.induction, 3)])
def test_short_sequences_are_refused(draw, least):
    text = f"the length is {least - 1}, want at least {least}"
    with pytest.raises(ValueError, match=text):
        draw(1, least - 1, seeded(0))
    ids, answers = draw(1, least, seeded(0))
    assert ids.shape == (1, least)
    assert answers.max() < 8


# ---- training ------------------------------------------------------------------------


def test_loss_is_that_of_the_last_places():
    """A model that is 90 % sure of what it just read plus one."""

    def model(ids):
        return (0.01 + 0.90 * F.one_hot((ids + 1) % 10, 10)).log()

    ids = torch.tensor([[0, 1, 2], [5, 6, 7]])
    right, wrong = -math.log(0.91), -math.log(0.01)
    got = m.loss_of(model, ids, torch.tensor([[3], [8]]))
    assert got.item() == pytest.approx(right, abs=1e-5)
    got = m.loss_of(model, ids, torch.tensor([[2, 3], [7, 0]]))
    assert got.item() == pytest.approx((3 * right + wrong) / 4, abs=1e-5)


@pytest.mark.parametrize(
    ("task", "selects"), [("copying", m.ALL), ("induction", ("B",))]
)
def test_training_side_by_side_equals_one_model_at_a_time(double, task, selects):
    """Four updates without vmap, by an optimizer of its own, on the same data."""
    trained = m.train(task, selects, seeds=[4, 9], steps=4, l=7, batch=6)
    assert [model.selects for model in trained] == [selects] * 2
    for seed, got in zip([4, 9], trained, strict=True):
        torch.manual_seed(seed)
        model, data = m.OneBlock(selects), seeded(seed)
        adam = torch.optim.Adam(model.parameters(), lr=0.01, betas=(0.9, 0.99))
        for _ in range(4):
            ids, answers = m.TASKS[task](6, 7, data)
            logits = model(ids)[:, -answers.shape[1] :]
            loss = F.cross_entropy(logits.transpose(1, 2), answers)
            adam.zero_grad()
            loss.backward()
            adam.step()
        for (name, p), q in zip(
            got.named_parameters(), model.parameters(), strict=True
        ):
            torch.testing.assert_close(p, q, rtol=1e-7, atol=1e-8, msg=name)


def test_defaults_of_training(monkeypatch):
    """16 sequences of 12 tokens for five seeds, all selected."""
    calls = []

    def draw(b, l, generator):
        calls.append((b, l, generator.initial_seed()))
        return m.copying(b, l, generator)

    monkeypatch.setitem(m.TASKS, "copying", draw)
    models = m.train("copying", steps=1)
    assert calls == [(16, 12, seed) for seed in range(5)]
    assert [model.selects for model in models] == [m.ALL] * 5
    m.train("copying", seeds=[7], steps=2)
    assert calls[5:] == [(16, 12, 7)] * 2
    assert torch.get_num_threads() == 1


def test_training_refuses_an_unknown_task():
    match = r"^task is 'adding', want one of \['copying', 'induction'\]$"
    with pytest.raises(ValueError, match=match):
        m.train("adding")


def test_training_refuses_no_steps():
    match = "steps is 0, batch 16: want at least 1, a multiple of 1 processes"
    with pytest.raises(ValueError, match=match):
        m.train("copying", steps=0)


def test_measure_counts_single_answers(monkeypatch):
    """A model that always says 3, on answers of which a quarter is 3."""
    asked = []

    def draw(b, l, generator):
        asked.append((b, l, generator.initial_seed()))
        return torch.zeros(b, l, dtype=torch.long), torch.tensor(
            [[3, 0], [1, 2]] * (b // 2)
        )

    class Three(nn.Module):
        D = torch.zeros(1)

        def forward(self, ids):
            assert not torch.is_grad_enabled()
            return torch.tensor([0.01, 0.01, 0.01, 0.97]).log().expand(*ids.shape, 4)

    monkeypatch.setitem(m.TASKS, "copying", draw)
    loss, percent = m.measure(Three(), "copying", 5)
    assert percent == 25
    want = -(math.log(0.97) + 3 * math.log(0.01)) / 4
    assert loss == pytest.approx(want, abs=1e-5)
    assert asked == [(300, 5, 1000)]


def test_one_of_the_two_in_any_order(monkeypatch):
    """(1, 2) asked for: (1, 2), (2, 1), (2, 2) and (1, 3) are 7 of 8."""
    asked = []

    def draw(b, l, generator):
        asked.append((b, l, generator.initial_seed()))
        said = torch.tensor([[0, 1, 2], [0, 2, 1], [0, 2, 2], [0, 1, 3]])
        return said, torch.tensor([[1, 2]] * 4)

    def says_what_it_reads(ids):
        assert not torch.is_grad_enabled()
        return F.one_hot(ids, 4)

    monkeypatch.setattr(m, "copying", draw)
    assert m.percent_of_the_two(says_what_it_reads, 3) == 87.5
    assert asked == [(300, 3, 1000)]


# ---- two processes -------------------------------------------------------------------


def test_two_processes_train_as_one(launch):
    """The average over shares is the gradient of the joint batch."""
    first, second = launch(m.__file__, "--steps", "12", "--seed", "4")
    assert second == ""
    printed = dict(line.split() for line in first.splitlines())
    want, _ = m.measure(m.train("copying", m.ALL, [4], 12)[0], "copying", 12)
    assert float(printed["nats"]) == pytest.approx(want, rel=1e-4)
    alone = m.train("copying", m.ALL, [4], 12, batch=8)[0]
    gap = m.measure(alone, "copying", 12)[0] - want
    assert abs(gap) > 1e-3  # so the test would notice


def test_one_of_two_processes_takes_every_other_sequence(monkeypatch, double):
    """The other one is told to have the same gradient: the mean changes nothing."""
    with monkeypatch.context() as two:
        two.setattr(m.dist, "is_initialized", lambda: True)
        two.setattr(m.dist, "get_rank", lambda: 1)
        two.setattr(m.dist, "get_world_size", lambda: 2)
        two.setattr(m.dist, "all_reduce", lambda grad: grad.mul_(2))
        (got,) = m.train("copying", seeds=[4], steps=2, l=7, batch=6)

    def every_other(b, l, generator):
        return tuple(part[1::2] for part in m.copying(2 * b, l, generator))

    monkeypatch.setitem(m.TASKS, "copying", every_other)
    (want,) = m.train("copying", seeds=[4], steps=2, l=7, batch=3)
    for p, q in zip(got.parameters(), want.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), ("cuda", "nccl")])
def test_processes_meet_as_their_device_asks(monkeypatch, device, backend):
    calls = []
    for name in ("init_process_group", "barrier", "destroy_process_group"):
        monkeypatch.setattr(
            m.dist, name, lambda *a, name=name: calls.append((name, *a))
        )
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(m, "train", lambda *a: calls.append(("train",)) or ["model"])
    monkeypatch.setattr(m, "measure", lambda model, task, l: (0.5, 50.0))
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        calls.clear()
        monkeypatch.setenv("RANK", rank)
        assert bool(m.main(["--device", device])) == (rank == "0")
        assert calls == [
            ("init_process_group", backend),
            ("train",),
            ("barrier",),
            ("destroy_process_group",),
        ]


# ---- what the page claims ------------------------------------------------------------


@pytest.fixture(scope="module")
def numbers():
    """The page's twenty models."""
    return m.numbers()


def test_selection_learns_to_copy(numbers):
    """Near 100 %; fixed, the two tokens are found but not their order."""
    assert numbers["copying_selective_l12_percent_min"] > 90
    assert numbers["copying_fixed_l12_percent_min"] > 55
    assert numbers["copying_fixed_l12_percent_max"] < 85
    assert numbers["copying_fixed_l12_of_the_two_percent_min"] > 90


def test_selection_keeps_what_it_learned_at_four_times_the_length(numbers):
    assert numbers["induction_selective_l12_percent_min"] > 95
    assert numbers["induction_selective_l48_percent_min"] > 75
    assert numbers["induction_fixed_l12_percent_median"] > 75
    assert numbers["induction_fixed_l48_percent_max"] < 60


def test_numbers_are_the_spread_over_seeds(monkeypatch):
    """With the runs stubbed: which number, of which models, goes by which name."""
    shares = [50.0, 20.0, 90.0, 70.0, 60.0]
    monkeypatch.setattr(m, "run", lambda task, selective: [selective] * 5)
    told = iter(shares * 8)
    calls = []

    def measure(model, task, l):
        calls.append((task, model, l))
        return -1.0, next(told) + l

    def of_the_two(model, l):
        assert (model, l) == (False, 12)
        return next(told_last)

    told_last = iter(shares)
    monkeypatch.setattr(m, "percent_of_the_two", of_the_two)
    monkeypatch.setattr(m, "measure", measure)
    got = m.numbers()
    assert got.pop("weights") == 2400
    assert got.pop("guessing_percent") == 12.5
    want, order = {}, []
    for task in ("copying", "induction"):
        for kind in ("selective", "fixed"):
            for l in (12, 48):
                name = f"{task}_{kind}_l{l}_percent"
                want |= {f"{name}_median": 60 + l, f"{name}_min": 20 + l}
                want[f"{name}_max"] = 90 + l
                order += [(task, kind == "selective", l)] * 5
    name = "copying_fixed_l12_of_the_two_percent"
    want |= {f"{name}_median": 60, f"{name}_min": 20, f"{name}_max": 90}
    assert got == want
    assert calls == order


def test_a_run_is_trained_once_and_as_it_says(monkeypatch):
    calls = []
    monkeypatch.setattr(m, "train", lambda *a: calls.append(a) or len(calls))
    m.run.cache_clear()
    try:
        assert [m.run("copying", True), m.run("copying", False)] == [1, 2]
        assert [m.run("induction", True), m.run("copying", True)] == [3, 1]
    finally:
        m.run.cache_clear()
    assert calls == [("copying", m.ALL), ("copying", ()), ("induction", m.ALL)]
    assert m.STEPS == 240


# ---- the program ---------------------------------------------------------------------


def test_without_arguments_it_gives_the_pages_numbers(monkeypatch, capsys):
    monkeypatch.setattr(m, "numbers", lambda: {"a": 1.0})
    assert m.main([]) == {"a": 1.0}
    assert (
        "Training 20 models on two tasks, for some seconds." in capsys.readouterr().out
    )


def test_arguments_reach_training(monkeypatch):
    calls = []
    monkeypatch.setattr(m, "train", lambda *a: calls.append(a) or ["model"])
    monkeypatch.setattr(m, "measure", lambda model, task, l: (l / 10, l))
    argv = ["--task", "induction", "--selects", "B", "C", "--steps", "5"]
    argv += ["--length", "9", "--seed", "7"]
    assert m.main(argv) == {"nats": 0.9, "percent": 9, "longer_percent": 36}
    assert m.main(["--selects"]) == {"nats": 1.2, "percent": 12, "longer_percent": 48}
    assert m.main(["--seed", "0"])["percent"] == 12
    assert calls == [
        ("induction", ["B", "C"], [7], 5, 9, "cpu"),
        ("copying", [], [0], 240, 12, "cpu"),
        ("copying", m.ALL, [0], 240, 12, "cpu"),
    ]


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--steps", "0"], "steps is 0, batch 16: want at least 1"),
        (["--length", "3"], "the length is 3, want at least 4"),
        (["--selects", "A"], "invalid choice: 'A'"),
        (["--task", "adding"], "invalid choice: 'adding'"),
        (["--device", "abacus"], "invalid choice: 'abacus'"),
    ],
)
def test_the_program_refuses_what_cannot_be(argv, complaint, capsys):
    with pytest.raises(SystemExit):
        m.main(argv)
    assert complaint in capsys.readouterr().err


def test_a_gpu_is_taken_by_its_number(monkeypatch):
    """Without one here: where the model is sent, and that its process takes it."""
    taken, calls = [], []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(m, "train", lambda *a: calls.append(a) or ["model"])
    monkeypatch.setattr(m, "measure", lambda model, task, l: (0.0, 0.0))
    m.main(["--device", "cuda"])
    monkeypatch.setenv("LOCAL_RANK", "3")
    m.main(["--device", "cuda"])
    assert taken == [call[5] for call in calls] == ["cuda:0", "cuda:3"]
