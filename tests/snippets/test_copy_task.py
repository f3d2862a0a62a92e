"""copy_task.py against torch.nn in both orders, and what it claims of training."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import copy_task as c

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
ORDERS = pytest.mark.parametrize("pre_norm", [True, False])


def model_of(pre_norm, **sizes):
    torch.manual_seed(3)
    model = c.Transformer(
        pre_norm, **{"n_layers": 2, "d_model": 24, "n_heads": 4, **sizes}
    )
    for p in model.parameters():  # gains and biases away from one and zero
        if p.ndim == 1:
            nn.init.normal_(p, mean=0.5, std=0.5)
    return model


# ---- against PyTorch's own layers ----------------------------------------------------


@torch.no_grad()
def copy_attention(ours, theirs):
    parts = ours.q, ours.k, ours.v
    theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.load_state_dict(ours.o.state_dict())


def copy_layer(ours, theirs):
    copy_attention(ours.self_attention, theirs.self_attn)
    if ours.cross_attention is not None:
        copy_attention(ours.cross_attention, theirs.multihead_attn)
    theirs.linear1.load_state_dict(ours.ffn[0].state_dict())
    theirs.linear2.load_state_dict(ours.ffn[2].state_dict())
    for n, residual in enumerate(ours.residuals, start=1):
        getattr(theirs, f"norm{n}").load_state_dict(residual.norm.state_dict())


def options(pre_norm):
    return {"dropout": 0.0, "batch_first": True, "norm_first": pre_norm}


@ORDERS
def test_encoder_layer_equals_torch(double, pre_norm):
    ours = model_of(pre_norm).encoder[1]
    theirs = nn.TransformerEncoderLayer(24, 4, 96, **options(pre_norm))
    copy_layer(ours, theirs)
    x = torch.randn(3, 5, 24)
    torch.testing.assert_close(ours(x), theirs(x), **TOLERANCE)


@ORDERS
def test_decoder_layer_equals_torch(double, pre_norm):
    ours = model_of(pre_norm).decoder[1]
    theirs = nn.TransformerDecoderLayer(24, 4, 96, **options(pre_norm))
    copy_layer(ours, theirs)
    x, memory = torch.randn(3, 5, 24), torch.randn(3, 7, 24)
    want = theirs(x, memory, tgt_mask=torch.ones(5, 5).triu(1).bool())
    torch.testing.assert_close(ours(x, memory), want, **TOLERANCE)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@ORDERS
def test_the_whole_model_equals_torch(double, pre_norm):
    """Logits, and the gradient of every parameter of the model."""
    ours = model_of(pre_norm)
    theirs = nn.Transformer(24, 4, 2, 2, 96, **options(pre_norm))
    for stack in ("encoder", "decoder"):
        other = getattr(theirs, stack)
        for a, b in zip(getattr(ours, stack), other.layers, strict=True):
            copy_layer(a, b)
        if pre_norm:
            norm = getattr(ours, f"{stack}_norm")
            other.norm.load_state_dict(norm.state_dict())
        else:
            other.norm = None
    source = torch.tensor([[5, 6, 7, 8, 9, 10], [3, 4, 5, 0, 1, 2]])
    target = torch.tensor([[1, 9, 8, 7], [1, 5, 0, 3]])

    def embed(table, ids):  # cosines and sines from complex numbers
        T = ids.shape[1]
        omega = 10000.0 ** (-torch.arange(12) / 12)
        turn = torch.polar(torch.ones(T, 12), torch.arange(T)[:, None] * omega)
        pe = torch.stack((turn.imag, turn.real), dim=-1).reshape(T, 24)
        return math.sqrt(24) * table.weight[ids] + pe

    x, y = embed(ours.source, source), embed(ours.target, target)
    out = theirs(x, y, tgt_mask=torch.ones(4, 4).triu(1).bool())
    want = ours.generator(out)
    got = ours(source, target)
    torch.testing.assert_close(got, want, **TOLERANCE)
    weights = torch.randn(got.shape)
    ours_grads = torch.autograd.grad((got * weights).sum(), list(ours.parameters()))
    (want * weights).sum().backward()
    for (name, p), g in zip(ours.named_parameters(), ours_grads, strict=True):
        if name.startswith(("source", "target", "generator")):
            torch.testing.assert_close(g, p.grad, **TOLERANCE)
        assert g.abs().max() > 0 or name.endswith("k.bias"), name


def test_the_switch_by_hand():
    """A sub-layer that doubles, on the vector (0, 2): its mean is 1, its spread 1."""
    x = torch.tensor([[[0.0, 2.0]]])
    got = [
        c.Residual(2, pre_norm)(x, lambda y: 2 * y).flatten().tolist()
        for pre_norm in (True, False)
    ]
    # x + 2 (-1, 1);   the normalized (0, 6)
    assert got[0] == pytest.approx([-2.0, 4.0], abs=1e-4)
    assert got[1] == pytest.approx([-1.0, 1.0], abs=1e-4)


def test_positions_by_hand():
    pe = c.positional_encoding(10, 8)
    assert pe.dtype == torch.float64
    angle = 9 / 10.0 ** torch.arange(4, dtype=torch.float64)  # 10000^{2 / 8} = 10
    want = torch.stack((angle.sin(), angle.cos()), dim=1).flatten()
    torch.testing.assert_close(pe[9], want, **TOLERANCE)


def test_default_sizes_and_counts():
    """40 d + 12 d^2 and so on, at d = 32, by hand."""
    d = 32
    attention, ffn = 4 * (d * d + d), 2 * 4 * d * d + 5 * d
    body = 3 * attention + 2 * ffn + 5 * 2 * d
    tables = 2 * 11 * d + 11 * d + 11
    for pre_norm, norms in ((True, 2 * 2 * d), (False, 0)):
        model = c.Transformer(pre_norm)
        count = sum(p.numel() for p in model.parameters())
        assert count == body + tables + norms
        assert len(model.encoder) == len(model.decoder) == 1
        assert model.encoder[0].self_attention.n_heads == 2
    assert c.Transformer().encoder[0].residuals[0].pre_norm


def test_weights_start_as_in_the_source():
    """Xavier's uniform distribution for every matrix, embeddings included."""
    torch.manual_seed(0)
    model = c.Transformer()
    for name, p in model.named_parameters():
        if p.ndim > 1:
            bound = math.sqrt(6 / sum(p.shape))
            assert 0.95 * bound < p.abs().max() <= bound, name
        elif "norm" in name:
            assert p.unique().tolist() == [1.0 if name.endswith("weight") else 0.0]


@ORDERS
def test_the_future_is_hidden(double, pre_norm):
    model, target = model_of(pre_norm), torch.tensor([[1, 9, 8, 7, 6]])
    source = torch.tensor([[5, 6, 7]])
    before = model(source, target)
    for position in range(1, 5):
        changed = target.clone()
        changed[0, position:] = 10
        after = model(source, changed)
        assert torch.equal(after[:, :position], before[:, :position])
        assert (after[:, position] - before[:, position]).abs().max() > 1e-3


@pytest.mark.parametrize(("d_model", "n_heads"), [(7, 7), (30, 4)])
def test_widths_that_cannot_be_are_refused(d_model, n_heads):
    match = f"d_model is {d_model}, want an even multiple of n_heads = {n_heads}"
    with pytest.raises(ValueError, match=match):
        c.Transformer(d_model=d_model, n_heads=n_heads)


def test_sequences_that_are_too_long_are_refused():
    ids = torch.ones(1, 11, dtype=torch.long)
    with pytest.raises(ValueError, match="11 symbols, want at most 10"):
        c.Transformer()(ids, ids[:, :10])


# ---- the task ------------------------------------------------------------------------


def test_data_as_in_the_source():
    ids = c.draw(500, torch.Generator().manual_seed(0))
    assert ids.shape == (500, 10)
    assert (ids[:, 0] == 1).all()
    assert ids[:, 1:].unique().tolist() == list(range(1, 11))
    again = c.draw(500, torch.Generator().manual_seed(0))
    assert torch.equal(ids, again)
    assert torch.equal(c.held_out()[:1], c.draw(1, torch.Generator().manual_seed(1000)))
    assert c.held_out().shape == (300, 10)


def test_loss_is_that_of_the_next_symbol():
    """A model that gives 90 % to the symbol after the last one it read."""

    class Counting(nn.Module):
        def forward(self, source, target):
            assert target.shape[1] == source.shape[1] - 1
            p = 0.09 / 9 + (0.91 - 0.01) * F.one_hot((target + 1) % 11, 11)
            return p.log()

    right = torch.arange(1, 11)[None]
    assert c.loss_of(Counting(), right).item() == pytest.approx(
        -math.log(0.91 / (0.91 + 0.10)), abs=1e-5
    )
    half = torch.tensor([[1, 2, 2]])  # the second answer is wrong
    want = (-math.log(0.91 / 1.01) - math.log(0.01 / 1.01)) / 2
    assert c.loss_of(Counting(), half).item() == pytest.approx(want, abs=1e-5)


def test_schedule_equals_torchs_scheduler():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: 32**-0.5 * min((i + 1) ** -0.5, (i + 1) * 80**-1.5)
    )
    for step in range(1, 200):
        want = optimizer.param_groups[0]["lr"]
        assert c.learning_rate(step) == pytest.approx(want, rel=1e-12)
        optimizer.step()
        scheduler.step()
    assert c.learning_rate(4, 16, 16) == pytest.approx(0.25 * 4 / 64)


def test_training_equals_torchs_adam_and_scheduler(double):
    """Three updates from the same start on the same data; then all weights."""
    ours, losses = c.train(7, 3)
    torch.manual_seed(7)
    theirs = c.Transformer()
    optimizer = torch.optim.Adam(theirs.parameters(), 1.0, (0.9, 0.98), eps=1e-9)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: 32**-0.5 * (i + 1) * 80**-1.5
    )
    generator = torch.Generator().manual_seed(7)
    for loss in losses:
        ids = torch.randint(1, 11, (32, 10), generator=generator)
        ids[:, 0] = 1
        logits = theirs(ids, ids[:, :9])
        want = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:])
        assert loss == pytest.approx(want.item(), rel=1e-9)
        optimizer.zero_grad()
        want.backward()
        optimizer.step()
        scheduler.step()
    assert len(losses) == 3
    for got, want in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-9)


def test_the_batch_the_rate_and_the_order_are_those_asked_for():
    rates = []

    def rate(step):
        rates.append(step)
        return 0.0

    model, losses = c.train(1, 2, pre_norm=False, rate=rate, batch=4)
    assert rates == [1, 2]
    torch.manual_seed(1)
    start = c.Transformer(False)
    for got, want in zip(model.parameters(), start.parameters(), strict=True):
        assert torch.equal(got, want)  # the rate was zero
    ids = c.draw(4, torch.Generator().manual_seed(1))
    assert losses[0] == pytest.approx(c.loss_of(start, ids).item(), rel=1e-6)


def test_training_refuses_no_steps():
    match = "n_steps is 0, batch 32: want at least 1, a multiple of 1 processes"
    with pytest.raises(ValueError, match=match):
        c.train(0, 0)


# ---- decoding ------------------------------------------------------------------------


@ORDERS
def test_greedy_writes_what_a_model_given_its_own_output_predicts(double, pre_norm):
    model = model_of(pre_norm)
    source = torch.tensor([[5, 6, 7, 8], [8, 9, 10, 1]])
    for start in (1, 0):
        written = c.greedy(model, source, start)
        assert written.shape == (2, 4)
        assert written[:, 0].tolist() == [start, start]
        again = model(source, written[:, :-1]).argmax(-1)
        assert torch.equal(again, written[:, 1:])
    assert torch.equal(c.greedy(model, source), c.greedy(model, source, 1))


def test_shares_count_whole_sequences_and_single_symbols(monkeypatch):
    """A writer that counts upwards from the start, whatever it should copy."""

    def upwards(model, source, start=1):
        return start + torch.arange(source.shape[1]).expand(source.shape)

    monkeypatch.setattr(c, "greedy", upwards)
    ids = torch.tensor([[1, 2, 3], [1, 2, 4], [1, 2, 3], [3, 2, 1]])
    assert c.copied_share(None, ids) == 0.5
    assert c.right_of_10(None, 1) == c.right_of_10(None, 0) == 10

    def ones(model, source, start=1):
        return torch.ones_like(source)

    monkeypatch.setattr(c, "greedy", ones)
    assert c.right_of_10(None, 0) == c.right_of_10(None, 1) == 1


# ---- what the page claims ------------------------------------------------------------


@pytest.mark.parametrize("seed", c.SEEDS)
def test_gradients_grow_towards_the_output_in_post_norm_alone(seed):
    """The last of six decoder layers against the first."""
    pre, post = (c.decoder_gradients(seed, pre_norm) for pre_norm in (True, False))
    assert len(pre) == len(post) == 6
    assert post[-1] > 3 * post[0]
    assert pre[-1] < 1.3 * pre[0]


def test_the_gradient_is_that_of_autograd_by_another_way():
    torch.manual_seed(2)
    model = c.Transformer(False, 3)
    ids = c.draw(32, torch.Generator().manual_seed(2))
    logits = model(ids, ids[:, :-1])
    loss = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:])
    want = [
        torch.cat(
            [
                g.flatten()
                for g in torch.autograd.grad(
                    loss, list(layer.ffn.parameters()), retain_graph=True
                )
            ]
        )
        .norm()
        .item()
        for layer in model.decoder
    ]
    assert c.decoder_gradients(2, False, 3) == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_one_update_of_2018_shows_in_the_loss_of_the_next_batch(seed):
    """Two layers, 512 wide, a warm-up of 400; the first loss is printed after it."""
    torch.manual_seed(seed)
    model = c.Transformer(True, 2, 512, 8)
    rng = torch.Generator().manual_seed(seed)
    first, second = c.draw(30, rng), c.draw(30, rng)
    rate = c.learning_rate(1, 512, 400)
    adam = torch.optim.Adam(model.parameters(), rate, betas=(0.9, 0.98), eps=1e-9)
    before = c.loss_of(model, second).item()
    c.loss_of(model, first).backward()
    adam.step()
    assert 0.03 < before - c.loss_of(model, second).item() < 0.3


@pytest.fixture(scope="module")
def trained():
    return c.run(0, True)


def test_it_learns_to_copy(trained):
    model, losses = trained
    assert len(losses) == c.STEPS == 140
    assert losses[0] > math.log(10)
    assert sum(losses[-10:]) / 10 < 0.4
    ids = c.held_out()
    untrained = c.Transformer()
    assert c.copied_share(untrained, ids) == 0
    assert c.copied_share(model, ids) > 0.3
    assert c.right_of_10(model, 1) >= 8
    assert c.run(0, True)[0] is model


@pytest.mark.parametrize("seed", c.SEEDS)
def test_pre_norm_leads_when_the_warm_up_ends_and_the_lead_shrinks(seed):
    (_, pre), (model, post) = (c.run(seed, pre_norm) for pre_norm in (True, False))
    assert len(pre) == len(post) == c.EARLY + 60 == 140

    def lead(until):
        return (sum(post[until - 10 : until]) - sum(pre[until - 10 : until])) / 10

    assert lead(c.EARLY) > 0.2
    assert lead(c.EARLY) > lead(c.STEPS) + 0.05
    # and post-norm learns
    assert sum(post[-10:]) / 10 < 0.7
    assert c.copied_share(model, c.held_out()) > 0.1


def test_numbers_are_the_spread_over_seeds(monkeypatch):
    """With the runs stubbed: which number, of which models, goes by which name."""

    def run(seed, pre_norm):
        losses = [9.0] * 70 + [seed + 0.5 if pre_norm else 2 * seed + 0.7] * 10
        losses += [8.0] * 50 + [seed + 0.1 if pre_norm else 3 * seed + 0.4] * 10
        return (seed, pre_norm), losses

    shares = [0.5, 0.2, 0.9, 0.7, 0.6]
    monkeypatch.setattr(c, "run", run)
    monkeypatch.setattr(c, "held_out", lambda: "ids")
    monkeypatch.setattr(
        c, "loss_of", lambda m, ids: torch.tensor(m[0] + (0.0 if m[1] else 0.5))
    )
    monkeypatch.setattr(c, "copied_share", lambda m, ids: shares[m[0]] - 0.1 * m[1])
    monkeypatch.setattr(c, "right_of_10", lambda m, first: first * 100 + m[0])
    monkeypatch.setattr(
        c, "decoder_gradients", lambda s, pre: [2.0, 99.0, s + (4.0 if pre else 8.0)]
    )

    def three(name, middle, low, high):
        return {f"{name}_median": middle, f"{name}_min": low, f"{name}_max": high}

    assert c.numbers() == pytest.approx(
        {
            "guessing_nats": 2.302585092994046,
            "parameters_pre": 30891,
            "parameters_post": 30891 - 128,
            **three("last_to_first_gradient_pre", 3, 2, 4),
            **three("last_to_first_gradient_post", 5, 4, 6),
            **three("loss_early_pre", 2.5, 0.5, 4.5),
            **three("loss_early_post", 4.7, 0.7, 8.7),
            **three("lead_early", 2.2, 0.2, 4.2),
            **three("lead_end", 4.3, 0.3, 8.3),
            **three("loss_end_pre", 2, 0, 4),
            **three("loss_end_post", 2.5, 0.5, 4.5),
            **three("copied_end_pre", 0.5, 0.1, 0.8),
            **three("copied_end_post", 0.6, 0.2, 0.9),
            **three("right_of_10_from_1", 102, 100, 104),
            **three("from_0_right_of_10", 2, 0, 4),
        }
    )


# ---- as a program --------------------------------------------------------------------


def test_without_arguments_the_numbers(monkeypatch, capsys):
    monkeypatch.setattr(c, "numbers", lambda: {"a": 1.0})
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert c.main([]) == {"a": 1.0}
    assert "Training 10 models" in capsys.readouterr().out


def test_options_reach_the_training(monkeypatch, trained):
    asked = []

    def train(*arguments):
        asked.append(arguments)
        return trained

    monkeypatch.setattr(c, "train", train)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ids = c.held_out()
    got = c.main(["--steps", "5", "--seed", "3", "--post-norm"])
    assert got["copied"] == c.copied_share(trained[0], ids)
    assert got["loss"] == pytest.approx(c.loss_of(trained[0], ids).item())
    assert c.main(["--device", "cpu"]) == got
    assert asked == [(3, 5, False, "cpu"), (0, 140, True, "cpu")]


def test_on_a_gpu_every_process_takes_its_own(monkeypatch, trained):
    asked, chosen = [], []
    monkeypatch.setattr(c, "train", lambda *a: (asked.append(a[-1]), trained)[1])
    monkeypatch.setattr(c.torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(c, "held_out", lambda device: c.draw(2, torch.Generator()))
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("RANK", "5")
    assert c.main(["--device", "cuda"]) == {}  # the first process answers for all
    monkeypatch.delenv("LOCAL_RANK")
    monkeypatch.delenv("RANK")
    assert c.main(["--device", "cuda"]).keys() == {"loss", "copied"}
    assert asked == chosen == ["cuda:3", "cuda:0"]


def test_bad_options_are_explained(monkeypatch, capsys):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(SystemExit):
        c.main(["--steps", "0"])
    assert "n_steps is 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        c.main(["--device", "abacus"])


def test_two_processes_train_as_one(launch):
    """The average over shares is the gradient of the joint batch."""
    first, second = launch(c.__file__, "--steps", "6", "--seed", "4")
    assert second == ""
    printed = dict(line.split() for line in first.splitlines())
    model, _ = c.train(4, 6)
    want = c.loss_of(model, c.held_out()).item()
    assert float(printed["loss"]) == pytest.approx(want, rel=1e-4)
    alone = c.loss_of(c.train(4, 6, batch=16)[0], c.held_out()).item()
    assert alone != pytest.approx(want, rel=1e-3)  # so the test would notice
