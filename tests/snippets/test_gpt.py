"""gpt.py against PyTorch's own encoder layer, attention and AdamW, and by hand."""

import math
import re
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gpt

EXACT = {"rtol": 0, "atol": 1e-10}
LECTURE = gpt.Shape(context=7, layers=2, heads=3, width=12, vocab=11)
GPT2 = replace(LECTURE, gpt2=True)


def seeded(shape, seed=0):
    """A model in float64 whose every parameter is a normal number."""
    model = gpt.GPT(shape).double()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.5 * torch.randn(p.shape, generator=rng, dtype=torch.float64))
    return model


def letters(shape, rows=2, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(shape.vocab, (rows, shape.context), generator=rng)


def twin_layer(block, shape):
    """PyTorch's encoder layer with the block's weights."""
    layer = nn.TransformerEncoderLayer(
        shape.width,
        shape.heads,
        4 * shape.width,
        dropout=0.0,
        activation=(lambda x: F.gelu(x, approximate="tanh")) if shape.gpt2 else F.relu,
        batch_first=True,
        norm_first=True,
        dtype=torch.float64,
    )
    theirs = {
        "self_attn.in_proj": block.attention.qkv,
        "self_attn.out_proj": block.attention.proj,
        "linear1": block.ffn[0],
        "linear2": block.ffn[2],
        "norm1": block.norm1,
        "norm2": block.norm2,
    }
    state = {}
    for name, ours in theirs.items():
        joint = "_" if name.endswith("in_proj") else "."
        state[f"{name}{joint}weight"] = ours.weight
        none = torch.zeros(len(ours.weight), dtype=torch.float64)
        state[f"{name}{joint}bias"] = none if ours.bias is None else ours.bias
    layer.load_state_dict(state)
    return layer


# attention and model


def test_attention_is_pytorchs():
    rng = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 9, 5, generator=rng, dtype=torch.float64)
    ours = gpt.causal_weights(q, k) @ v
    theirs = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(ours, theirs, **EXACT)


def test_attention_by_hand():
    """d = 4, so scores are halved: row 1 sees 0 and ln 3, row 0 itself only."""
    q = torch.tensor([[1.0, 0, 0, 0], [0, 2, 0, 0]])[None, None]
    k = torch.tensor([[5.0, 0, 7, 0], [5, math.log(3), 7, 0]])[None, None]
    weights = gpt.causal_weights(q, k)[0, 0]
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0.0], [0.25, 0.75]]))


@pytest.mark.parametrize("shape", [LECTURE, GPT2])
def test_model_is_a_stack_of_pytorchs_layers(shape):
    model, ids = seeded(shape), letters(shape)
    x = model.symbols.weight[ids] + model.positions.weight
    mask = nn.Transformer.generate_square_subsequent_mask(
        shape.context, dtype=torch.float64
    )
    for block in model.blocks:
        x = twin_layer(block, shape)(x, src_mask=mask)
    gain, bias = model.norm.weight, model.norm.bias
    x = F.layer_norm(x, (shape.width,), gain, bias)
    theirs = F.linear(x, model.head.weight, model.head.bias)
    ours = model(ids)
    assert ours.shape == (2, 7, 11)
    torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("shape", [LECTURE, GPT2])
def test_no_letter_sees_the_future(shape):
    model, ids = seeded(shape), letters(shape)
    changed = ids.clone()
    changed[:, 4] = (changed[:, 4] + 1) % shape.vocab
    before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :4], after[:, :4], **EXACT)
    assert (before[:, 4:] - after[:, 4:]).abs().amin(dim=(0, 2)).min() > 1e-6
    torch.testing.assert_close(model(ids[:, :3]), before[:, :3], **EXACT)


def test_which_has_what():
    lecture, gpt2 = gpt.GPT(LECTURE), gpt.GPT(GPT2)
    assert gpt2.head.weight is gpt2.symbols.weight
    assert lecture.head.weight is not lecture.symbols.weight
    assert lecture.head.bias is not None
    assert gpt2.head.bias is None
    assert lecture.blocks[0].attention.qkv.bias is None
    assert gpt2.blocks[0].attention.qkv.bias is not None


def test_default_shape():
    assert gpt.Shape(1, 2, 3, 4) == gpt.Shape(1, 2, 3, 4, 65, 0.0, False, 16, 1e-3)


def test_weights_start_small_and_biases_at_zero():
    torch.manual_seed(0)
    model = gpt.GPT(replace(LECTURE, width=63, vocab=100, context=100))
    for name, p in model.named_parameters():
        if "norm" in name:
            assert (p == ("weight" in name)).all()
        elif "bias" in name:
            assert (p == 0).all()
        else:
            assert p.std().item() == pytest.approx(0.02, rel=0.1)
            assert abs(p.mean().item()) < 0.002


def test_dropout_is_where_the_source_has_it():
    """On the weights, on what attention adds, on what the feed-forward layer adds."""
    model = gpt.GPT(replace(LECTURE, dropout=0.25))
    rates = {
        name: module.p
        for name, module in model.named_modules()
        if isinstance(module, nn.Dropout)
    }
    assert rates == {
        f"blocks.{i}.{where}": 0.25
        for i in (0, 1)
        for where in ("attention.dropout", "ffn.3")
    }


def test_dropout_takes_weights_and_outputs():
    """Values of one, an identity behind them: what is left shows what was dropped."""
    torch.manual_seed(0)
    shape = replace(LECTURE, dropout=0.5)
    attention = gpt.Attention(shape)
    with torch.no_grad():
        attention.qkv.weight.zero_()
        attention.qkv.weight[24:] = 1 / 12
        attention.proj.weight.copy_(torch.eye(12))
        attention.proj.bias.zero_()
    out = attention(torch.ones(1000, 7, 12))[:, 1]  # two weights of 1/2
    # twice dropped and doubled: each weight is 0 or 1, then the sum is 0 or doubled
    assert sorted(out.unique().round().tolist()) == [0, 2, 4]
    assert (out == 0).double().mean().item() == pytest.approx(5 / 8, abs=0.03)
    x = torch.ones(1, 7, 12)
    torch.testing.assert_close(attention.eval()(x), x)


# counting


MEDIUM = replace(gpt.GPT2, layers=24, heads=16, width=1024)


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        (gpt.SIZES["lecture"], 10_788_929),
        (gpt.SIZES["colab"], 209_729),
        (gpt.GPT2, 124_439_808),
        (replace(gpt.GPT2, vocab=50304), 124_475_904),
        (MEDIUM, 354_823_168),
        (replace(gpt.GPT2, layers=36, heads=20, width=1280), 774_030_080),
    ],
)
def test_count_is_the_known_number_and_that_of_a_formula(shape, parameters):
    V, T, C, L = shape.vocab, shape.context, shape.width, shape.layers
    block = 12 * C**2 + (13 if shape.gpt2 else 10) * C
    head = 0 if shape.gpt2 else (C + 1) * V
    assert parameters == (V + T) * C + L * block + 2 * C + head
    assert gpt.count(shape) == parameters


@pytest.mark.parametrize("shape", [LECTURE, GPT2])
def test_count_is_that_of_a_built_model(shape):
    assert gpt.count(shape) == sum(p.numel() for p in gpt.GPT(shape).parameters())


def test_counting_takes_no_memory(monkeypatch):
    seen = []

    def build(shape):
        seen.append((shape, torch.empty(1).device.type))
        return nn.Linear(2, 3)

    monkeypatch.setattr(gpt, "GPT", build)
    assert gpt.count(LECTURE) == 9
    assert seen == [(LECTURE, "meta")]


def test_the_sizes_are_the_sources():
    lecture = gpt.Shape(256, 6, 6, 384, 65, 0.2, batch=64, rate=3e-4)
    assert lecture == gpt.SIZES["lecture"]
    assert gpt.Shape(32, 4, 4, 64, batch=16, rate=1e-3) == gpt.SIZES["colab"]
    assert gpt.Shape(32, 2, 4, 32, batch=16, rate=1e-2) == gpt.SIZES["tiny"]
    assert gpt.Shape(1024, 12, 12, 768, 50257, 0.0, True) == gpt.GPT2


# training


def test_adamw_is_pytorchs():
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.full((3, 2), 2.0).double()) for _ in range(2))
    optimizer = torch.optim.AdamW([theirs], lr=0.1)
    m, v = torch.zeros(2, 3, 2, dtype=torch.float64)
    for step in range(1, 6):
        g = torch.randn(3, 2, dtype=torch.float64)
        ours.grad, theirs.grad = g.clone(), g.clone()
        gpt.adamw(ours, m, v, step, 0.1)
        optimizer.step()
        assert ours.grad is None
        torch.testing.assert_close(ours, theirs, **EXACT)
    # where the gradient is tiny, eps counts
    ours.grad, theirs.grad = (torch.full((3, 2), 1e-9).double() for _ in range(2))
    m.zero_(), v.zero_()
    fresh = torch.optim.AdamW([theirs], lr=0.1)
    gpt.adamw(ours, m, v, 1, 0.1)
    fresh.step()
    torch.testing.assert_close(ours, theirs, **EXACT)


TEXT = torch.arange(60) * 7 % 11  # (60,)


def test_training_is_that_of_pytorch():
    """Four steps with the optimizer of PyTorch, the batches drawn the plain way."""
    ours, theirs = seeded(LECTURE), seeded(LECTURE)
    shape = replace(LECTURE, batch=4, rate=0.01)
    losses = list(islice(gpt.training(ours, TEXT, shape, seed=3), 4))
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=0.01)
    rng = torch.Generator().manual_seed(3)
    for loss in losses:
        starts = torch.randint(60 - 7, (4,), generator=rng)
        x = torch.stack([TEXT[i : i + 7] for i in starts])
        y = torch.stack([TEXT[i + 1 : i + 8] for i in starts])
        optimizer.zero_grad()
        expected = F.cross_entropy(theirs(x).view(28, 11), y.view(28))
        expected.backward()
        optimizer.step()
        assert loss == pytest.approx(expected.item(), abs=1e-10)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def gradients(monkeypatch, rank, world):
    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(gpt, "adamw", lambda p, m, v, step, rate: seen.append(p.grad))
        shape = replace(LECTURE, batch=6)
        next(gpt.training(seeded(LECTURE), TEXT, shape, 5, rank, world))
    return seen


def test_gradients_of_the_parts_average_to_that_of_the_batch(monkeypatch):
    whole = gradients(monkeypatch, 0, 1)
    parts = [gradients(monkeypatch, rank, 3) for rank in range(3)]
    for g, *shares in zip(whole, *parts, strict=True):
        torch.testing.assert_close(sum(shares) / 3, g, **EXACT)
    assert not torch.allclose(parts[0][0], parts[1][0])


def test_loss_of_a_text_is_the_mean_over_its_letters():
    model = seeded(LECTURE)
    ids = TEXT[:20]  # 19 letters to predict: 7, 7 and 5
    expected = sum(
        F.cross_entropy(model(ids[None, a:b])[0], ids[a + 1 : b + 1], reduction="sum")
        for a, b in ((0, 7), (7, 14), (14, 19))
    )
    assert gpt.text_loss(model, ids) == pytest.approx(expected.item() / 19, rel=1e-12)
    assert (
        gpt.text_loss(model, TEXT[:15])
        == pytest.approx(  # two whole pieces
            (gpt.text_loss(model, TEXT[:8]) + gpt.text_loss(model, TEXT[7:15])) / 2
        )
    )
    model = gpt.GPT(replace(LECTURE, dropout=0.5))
    assert gpt.text_loss(model, ids) == gpt.text_loss(model, ids)
    assert model.training  # it is left as it was
    gpt.text_loss(model.eval(), ids)
    assert not model.training


def test_writing_draws_from_the_model():
    """A model whose head says c + 1 after c, with certainty, in a context of two."""
    shape = gpt.Shape(context=2, layers=0, heads=1, width=4, vocab=4)
    model = gpt.GPT(replace(shape, dropout=0.0))
    with torch.no_grad():
        model.symbols.weight.copy_(10 * torch.eye(4))
        model.positions.weight.zero_()
        model.head.weight.copy_(100 * torch.eye(4).roll(1, 0))
    out = gpt.write(model, torch.tensor([2]), 6, torch.Generator().manual_seed(0))
    assert out.tolist() == [2, 3, 0, 1, 2, 3, 0]
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([0.5, 0.5, 1e-9, 1e-9]).log())
    out = gpt.write(model, torch.tensor([2]), 400, torch.Generator().manual_seed(0))
    assert out[1:].double().mean().item() == pytest.approx(0.5, abs=0.1)
    again = gpt.write(model, torch.tensor([2]), 400, torch.Generator().manual_seed(0))
    assert torch.equal(out, again)
    assert not model.training


def test_alphabet_and_split():
    train, held_out, alphabet, shape = gpt.prepare("banana\ncab" * 2 + "a", LECTURE)
    assert alphabet == "\nabcn"
    assert train.tolist() == [2, 1, 4, 1, 4, 1, 0, 3, 1, 2, 2, 1, 4, 1, 4, 1, 0, 3]
    assert held_out.tolist() == [1, 2, 1]
    assert shape == replace(LECTURE, vocab=5)


def test_curves_are_a_training_run(monkeypatch):
    monkeypatch.setattr(gpt, "STEPS", 4)
    monkeypatch.setattr(gpt, "EVERY", 2)
    at, on_train, on_held_out = gpt.curves.__wrapped__(8)
    assert at.tolist() == [0, 2, 4]
    assert torch.get_num_threads() == 1
    train, held_out, _, shape = gpt.prepare(gpt.SONNET, gpt.SIZES["tiny"])
    torch.manual_seed(8)
    model = gpt.GPT(shape)
    steps = gpt.training(model, train, shape, 8)
    for k in range(3):
        assert on_train[k].item() == gpt.text_loss(model, train)
        assert on_held_out[k].item() == gpt.text_loss(model, held_out)
        next(steps), next(steps)


@pytest.fixture(scope="module")
def curve():
    return gpt.curves(0)


def test_it_learns_by_heart_what_it_sees_and_not_how_to_go_on(curve):
    _, on_train, on_held_out = curve
    assert abs(on_train[0].item() - math.log(41)) < 0.05
    assert on_train[-1] < 1.5
    assert on_held_out[-1] > on_held_out.min() + 0.3


def test_numbers(monkeypatch):
    """Medians, ranges and where the held-out loss is lowest, on curves made up."""
    monkeypatch.setattr(gpt, "SEEDS", (2, 4, 5))
    fake = {
        2: [[0, 15, 30], [3.0, 2.0, 1.0], [3.0, 2.5, 2.75]],
        4: [[0, 15, 30], [3.5, 2.0, 1.5], [3.0, 2.25, 2.0]],
        5: [[0, 15, 30], [3.25, 2.0, 1.75], [3.0, 3.5, 4.0]],
    }
    monkeypatch.setattr(gpt, "curves", lambda seed: torch.tensor(fake[seed]))
    want = {
        "parameters_lecture": 10_788_929,
        "parameters_colab": 209_729,
        "parameters_gpt2": 124_439_808,
        "parameters_tiny": 41 * 32 * 2 + 41 + 32 * 32 + 64 + 2 * (12 * 32**2 + 320),
        "sonnet_ln_v": math.log(len(set(gpt.SONNET))),
    }
    threes = {
        "before": (3.25, 3.0, 3.5),
        "after_train": (1.5, 1.0, 1.75),
        "after_held_out": (2.75, 2.0, 4.0),
        "best_held_out": (2.5, 2.0, 3.0),
        "best_step": (15, 0, 30),
    }
    for name, (median, low, high) in threes.items():
        want |= {f"{name}_median": median, f"{name}_min": low, f"{name}_max": high}
    assert gpt.numbers() == pytest.approx(want, rel=1e-6)


# as a program


def clean(monkeypatch, **variables):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_own_text(monkeypatch, capsys, tmp_path):
    """The run the options ask for, told in ten lines; and text, from what it knows."""
    clean(monkeypatch)
    file = tmp_path / "text.txt"
    file.write_text("abcdé\n" * 40, encoding="utf-8")
    results = gpt.main(["--text", str(file), "--steps", "20", "--seed", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split()[1]) for line in lines[:10]] == list(range(2, 21, 2))
    assert all(
        re.match(r"step +\d+ of 20  loss \d\.\d{3}  held out", a) for a in lines[:10]
    )
    assert lines[9].endswith("  0 s to go")
    assert len("\n".join(lines[10:])) == 400
    assert set("".join(lines[10:])) <= set("abcdé")
    train, held_out, alphabet, shape = gpt.prepare("abcdé\n" * 40, gpt.SIZES["tiny"])
    torch.manual_seed(3)
    model = gpt.GPT(shape)
    losses = list(islice(gpt.training(model, train, shape, 3), 20))
    written = gpt.write(model, train[:32], 400, torch.Generator().manual_seed(3))
    assert "\n".join(lines[10:]) == "".join(alphabet[i] for i in written[32:])
    assert results == pytest.approx(
        {
            "parameters": gpt.count(shape),
            "loss": losses[-1],
            "held_out_loss": gpt.text_loss(model, held_out),
        },
        abs=1e-9,
    )
    assert f"loss {losses[-1]:.3f}  held out {results['held_out_loss']:.3f}" in lines[9]
    assert list(tmp_path.iterdir()) == [file]


def test_one_update_is_enough(monkeypatch, capsys):
    clean(monkeypatch)
    gpt.main(["--steps", "1"])
    assert re.match(r"step +1 of 1  loss \d", capsys.readouterr().out)


def test_long_runs_report_every_ten_seconds(monkeypatch, capsys):
    """A clock that moves 4 s a step: steps 3, 6, 9 and each tenth of 40."""
    clean(monkeypatch)
    ticks = iter(range(0, 1000, 4))
    monkeypatch.setattr(gpt.time, "monotonic", lambda: next(ticks))
    gpt.main(["--steps", "40"])
    out = capsys.readouterr().out
    shown = re.findall(r"step +(\d+) of 40 .* held out (\S+)  (\d+) s to go", out)
    assert [int(step) for step, _, _ in shown] == [
        *(3, 4, 7, 8, 11, 12, 15, 16, 19, 20, 23, 24, 27, 28, 31, 32, 35, 36, 39, 40)
    ]
    assert shown[0][1:] == ("nan", "148")
    assert shown[2][1] == shown[1][1]
    assert shown[2][1] != shown[3][1]


def test_default_text_and_settings(monkeypatch):
    calls = []

    def note(text, a):
        calls.append((text, a.size, a.steps, a.seed, a.device))
        return {}

    monkeypatch.setattr(gpt, "train_and_write", note)
    gpt.main(["--seed", "1"])
    gpt.main(["--size", "colab", "--device", "cuda", "--steps", "7"])
    assert calls == [
        (gpt.SONNET, "tiny", 500, 1, "cpu"),
        (gpt.SONNET, "colab", 7, 0, "cuda"),
    ]
    monkeypatch.setattr(gpt, "numbers", lambda: {"x": 1})
    clean(monkeypatch)
    assert gpt.main([]) == {"x": 1}
    assert len(calls) == 2
    clean(monkeypatch, RANK="0")
    gpt.main([])
    assert calls[2] == (gpt.SONNET, "tiny", 500, 0, "cpu")


TINY = replace(gpt.SIZES["tiny"], vocab=41)


def test_one_of_several_processes(monkeypatch, capsys):
    """Each wraps the model and takes its part; only the first reports."""
    calls = []
    monkeypatch.setattr(torch, "manual_seed", lambda s: calls.append(("seed", s)))
    for name in ("init_process_group", "barrier", "destroy_process_group"):
        monkeypatch.setattr(
            torch.distributed, name, lambda *a, name=name: calls.append((name, *a))
        )

    def wrap(model):
        calls.append(("wrap", type(model).__name__))
        return nn.Sequential(model)

    def parts(model, *rest):
        calls.append((type(model).__name__, *rest[1:]))
        yield from (0.5, 0.25)

    monkeypatch.setattr(nn.parallel, "DistributedDataParallel", wrap)
    monkeypatch.setattr(gpt, "training", parts)
    for rank in (0, 1):
        calls.clear()
        clean(monkeypatch, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
        results = gpt.main(["--steps", "2", "--seed", "6"])
        assert calls == [
            ("seed", 6),
            ("seed", 6 + rank),
            ("init_process_group", "gloo"),
            ("wrap", "GPT"),
            ("Sequential", TINY, 6, rank, 2),
            ("barrier",),
            ("destroy_process_group",),
        ]
        out = capsys.readouterr().out
        assert (results == {}, out == "") == (rank == 1, rank == 1)
    # a single process does none of it
    calls.clear()
    clean(monkeypatch)
    assert gpt.main(["--steps", "2"])["loss"] == 0.25
    assert calls == [("seed", 0), ("seed", 0), ("GPT", TINY, 0, 0, 1)]


@pytest.mark.skipif(
    Path(gpt.__file__).parent.name != "snippets", reason="too long for every mutant"
)
def test_two_processes_do_what_one_does(monkeypatch, capsys):
    """PyTorch's launcher, gloo, DistributedDataParallel; reported once."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    options = ["--steps", "3", "--seed", "1"]
    done = subprocess.run(
        [*command, "--standalone", gpt.__file__, *options],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    printed = re.findall(r"^(parameters|held_out_loss) +(\S+)$", done.stdout, re.M)
    assert len(printed) == 2
    clean(monkeypatch)
    alone = gpt.main(options)
    for name, value in printed:
        assert float(value) == pytest.approx(alone[name], rel=1e-5)


# bad input


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ValueError, match="width must be a multiple of 3, got 13"):
        gpt.GPT(replace(LECTURE, width=13))
    model = gpt.GPT(LECTURE)
    for shape in ((7,), (1, 0), (1, 8)):
        message = f"ids must be (B, T), T from 1 to 7, got {shape}"
        with pytest.raises(ValueError, match=re.escape(message)):
            model(torch.zeros(shape, dtype=torch.long))
    with pytest.raises(ValueError, match="batch must be a multiple of 3, got 16"):
        next(gpt.training(model, TEXT, LECTURE, 0, 0, 3))
    with pytest.raises(ValueError, match="over 7 letters to learn from, got 7"):
        gpt.prepare("abcdefgh", LECTURE)
    train, _, _, shape = gpt.prepare("abcdefghi", LECTURE)
    next(gpt.training(gpt.GPT(shape), train, shape, 0))


def test_each_process_has_its_gpu(monkeypatch, capsys):
    """Two GPUs, none of them there: the second is chosen, a third is asked in vain."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *a: chosen.append(a) or self)
    monkeypatch.setattr(nn.Module, "to", lambda self, *a: chosen.append(a) or self)

    class StopHereError(Exception):
        pass

    def stop(backend):
        chosen.append(backend)
        raise StopHereError

    monkeypatch.setattr(torch.distributed, "init_process_group", stop)
    clean(monkeypatch, RANK="5", LOCAL_RANK="1", WORLD_SIZE="8")
    with pytest.raises(StopHereError):
        gpt.main(["--device", "cuda"])
    assert chosen == [1, ("cuda",), ("cuda",), ("cuda",), "nccl"]
    clean(monkeypatch, LOCAL_RANK="2")
    with pytest.raises(SystemExit):
        gpt.main(["--device", "cuda"])
    assert "error: process 2 needs a GPU, PyTorch sees 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, (), "No such file or directory"),
        (b"", (), "want over 32 letters to learn from, got 0"),
        (b"a" * 36, (), "want over 32 letters to learn from, got 32"),
        (b"caf\xe9", (), "'utf-8' codec can't decode"),
        (b"text", ("--steps", "0"), "want steps >= 1, seed >= 0, got 0 and 0"),
        (b"text", ("--seed", "-1"), "seed >= 0, got 500 and -1"),
        (b"text", ("--steps", "many"), "invalid int value: 'many'"),
        (b"text", ("--seed", "1.5"), "invalid int value: '1.5'"),
        (b"text", ("--device", "tpu"), "invalid choice: 'tpu'"),
        (b"text", ("--size", "huge"), "invalid choice: 'huge'"),
    ],
)
def test_command_line_gives_one_clear_error(
    tmp_path, capsys, monkeypatch, content, options, message
):
    clean(monkeypatch)
    file = tmp_path / "input.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        gpt.main(["--text", str(file), *options])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
