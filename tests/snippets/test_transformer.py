"""transformer.py against torch.nn with copied weights, and its own claims."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import transformer as t

pytestmark = pytest.mark.usefixtures("double")

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
SMALL = t.Sizes(n_layers=2, d_model=24, d_ff=40, n_heads=4, d_k=6, d_v=6, dropout=0.0)


@pytest.fixture
def model():
    torch.manual_seed(3)
    model = t.Transformer(13, SMALL).eval()
    for p in model.parameters():  # gains and biases away from one and zero
        if p.ndim == 1:
            nn.init.normal_(p, mean=1.0 if p.shape == (24,) else 0.0, std=0.3)
    return model


@torch.no_grad()
def copy_attention(ours, theirs):
    stacked = torch.cat([ours.W_q.weight, ours.W_k.weight, ours.W_v.weight])
    theirs.in_proj_weight.copy_(stacked)
    theirs.out_proj.weight.copy_(ours.W_o.weight)
    theirs.in_proj_bias.zero_()  # the paper's projections have none
    theirs.out_proj.bias.zero_()


def copy_layer(ours, theirs):
    copy_attention(ours.self_attention, theirs.self_attn)
    if hasattr(ours, "cross_attention"):
        copy_attention(ours.cross_attention, theirs.multihead_attn)
    theirs.linear1.load_state_dict(ours.ffn[0].state_dict())
    theirs.linear2.load_state_dict(ours.ffn[2].state_dict())
    for name, module in ours.named_children():
        if name.startswith("norm"):
            getattr(theirs, name).load_state_dict(module.state_dict())


LAYER = {"dropout": 0.0, "batch_first": True, "norm_first": False}


def test_encoder_layer_equals_torch(model):
    theirs = nn.TransformerEncoderLayer(24, 4, 40, **LAYER)
    copy_layer(model.encoder[0], theirs)
    x = torch.randn(3, 5, 24)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]).bool()
    got = model.encoder[0](x, mask[:, None, None])
    torch.testing.assert_close(got, theirs(x, src_key_padding_mask=~mask), **TOLERANCE)


def test_decoder_layer_equals_torch(model):
    theirs = nn.TransformerDecoderLayer(24, 4, 40, **LAYER)
    copy_layer(model.decoder[1], theirs)
    x, memory = torch.randn(2, 5, 24), torch.randn(2, 7, 24)
    causal = torch.ones(5, 5).tril().bool()
    memory_mask = torch.arange(7) < torch.tensor([[7], [4]])
    got = model.decoder[1](x, memory, causal, memory_mask[:, None, None])
    want = theirs(x, memory, tgt_mask=~causal, memory_key_padding_mask=~memory_mask)
    torch.testing.assert_close(got, want, **TOLERANCE)


def test_whole_model_equals_torch(model):
    theirs = nn.Transformer(24, 4, 2, 2, 40, **LAYER)
    # torch adds a normalization after each stack, which the paper does not have
    theirs.encoder.norm = theirs.decoder.norm = None
    for ours, other in zip(model.encoder, theirs.encoder.layers, strict=True):
        copy_layer(ours, other)
    for ours, other in zip(model.decoder, theirs.decoder.layers, strict=True):
        copy_layer(ours, other)
    source = torch.tensor([[5, 6, 7, 8, 9, 10], [3, 4, 5, 0, 0, 0]])
    target = torch.tensor([[1, 9, 8, 7], [1, 5, 0, 0]])

    def embed(ids):  # written again, with cosines and sines from complex numbers
        T = ids.shape[1]
        omega = 10000.0 ** (-torch.arange(12) / 12)
        turn = torch.polar(torch.ones(T, 12), torch.arange(T)[:, None] * omega)
        pe = torch.stack((turn.imag, turn.real), dim=-1).reshape(T, 24)
        return math.sqrt(24) * model.embedding[ids] + pe

    out = theirs(
        embed(source),
        embed(target),
        tgt_mask=torch.ones(4, 4).tril() == 0,
        src_key_padding_mask=source == 0,
        tgt_key_padding_mask=target == 0,
        memory_key_padding_mask=source == 0,
    )
    want = out @ model.embedding.T
    torch.testing.assert_close(model(source, target), want, **TOLERANCE)


def test_gradients_flow_to_every_parameter(model):
    model.train()(
        torch.tensor([[3, 4]]), torch.tensor([[1, 4]])
    ).square().sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name


def test_causal_mask_leaks_nothing(model):
    source = torch.tensor([[5, 6, 7]])
    target = torch.tensor([[1, 9, 8, 7, 6]])
    before = model(source, target)
    for position in range(1, 5):
        changed = target.clone()
        changed[0, position:] = 12
        after = model(source, changed)
        assert torch.equal(after[:, :position], before[:, :position])
        assert (after[:, position] - before[:, position]).abs().max() > 1e-3


def test_padding_changes_nothing(model):
    source, target = torch.tensor([[5, 6, 7]]), torch.tensor([[1, 9, 8]])
    padded = nn.functional.pad(source, (0, 4)), nn.functional.pad(target, (0, 2))
    got = model(*padded)[:, :3]
    torch.testing.assert_close(got, model(source, target), **TOLERANCE)


def test_embedding_is_scaled_and_shared(model):
    x, mask = model.embed("ids", torch.tensor([[4, 0]]))
    want = math.sqrt(24) * model.embedding[4] + torch.tensor([0.0, 1.0] * 12)
    torch.testing.assert_close(x[0, 0], want, **TOLERANCE)
    assert mask.tolist() == [[[[True, False]]]]
    assert sum(p.shape == (13, 24) for p in model.parameters()) == 1


def test_positions_are_exact_in_float32_as_well(model):
    """The angles are computed in float64: rounding them would show at long range."""
    ids = torch.full((1, 5000), 4)
    want = model.embed("ids", ids)[0]
    got = model.float().embed("ids", ids)[0]
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), want, rtol=0, atol=2e-6)


def test_positions_are_float64_whatever_torch_makes_by_default():
    torch.set_default_dtype(torch.float32)
    try:
        pe = t.positional_encoding(5000, 8)
    finally:
        torch.set_default_dtype(torch.float64)
    # 10000^{2 / 8} = 10, so the angles of the last row are 4999, 499.9, 49.99, 4.999
    angle = 4999 / 10.0 ** torch.arange(4)
    want = torch.stack((angle.sin(), angle.cos()), dim=1).flatten()
    torch.testing.assert_close(pe[-1], want, **TOLERANCE)


def test_weights_start_as_described():
    torch.manual_seed(0)
    model = t.Transformer(2000, t.Sizes(n_layers=1, d_model=64, d_ff=300))
    assert model.embedding.var().item() == pytest.approx(1 / 64, rel=0.02)
    w = model.encoder[0].ffn[0].weight
    assert w.var().item() == pytest.approx(2 / (64 + 300), rel=0.03)
    assert w.abs().max().item() == pytest.approx(math.sqrt(6 / 364), rel=0.01)


def test_dropout_is_on_in_training_alone():
    torch.manual_seed(0)
    model = t.Transformer(13, replace(SMALL, dropout=0.5))
    source, target = torch.tensor([[5, 6, 7]]), torch.tensor([[1, 9, 8]])
    assert not torch.equal(model(source, target), model(source, target))
    assert (model.embed("ids", source)[0] == 0).any()  # embedding plus position
    model.eval()
    assert torch.equal(model(source, target), model(source, target))


def test_what_a_sub_layer_adds_is_dropped_and_never_the_stream(model):
    x, memory = torch.randn(2, 3, 24), torch.randn(2, 4, 24)
    everything = torch.ones(1, dtype=torch.bool)
    encoder, decoder = model.encoder[0].train(), model.decoder[0].train()
    encoder.dropout.p = decoder.dropout.p = 1.0
    want = encoder.norm2(encoder.norm1(x))
    torch.testing.assert_close(encoder(x, everything), want, **TOLERANCE)
    want = decoder.norm3(decoder.norm2(decoder.norm1(x)))
    got = decoder(x, memory, everything, everything)
    torch.testing.assert_close(got, want, **TOLERANCE)


def test_default_is_the_base_model():
    base = t.Sizes()
    assert (base.n_layers, base.d_model, base.d_ff, base.dropout) == (6, 512, 2048, 0.1)
    assert (base.n_heads, base.d_k, base.d_v) == (8, 64, 64)
    model = t.Transformer(50, replace(SMALL, dropout=0.3))
    rates = {m.p for m in model.modules() if isinstance(m, nn.Dropout)}
    assert rates == {0.3}


def test_count_equals_a_real_model_and_torch(model):
    real = sum(p.numel() for p in model.parameters())
    assert t.count(13, SMALL) == real
    with torch.device("meta"):
        theirs = nn.Transformer(24, 4, 2, 2, 40, batch_first=True)
    biases, final_norms = 6 * 4 * 24, 2 * 48
    want = sum(p.numel() for p in theirs.parameters()) - biases - final_norms
    assert real - 13 * 24 == want


def test_worked_example_encoder_layer():
    # 4 d^2 attention; 2 d d_ff + d_ff + d feed-forward; two normalizations of 2 d
    want = 4 * 512**2 + 2 * 512 * 2048 + 2048 + 512 + 2 * 1024
    layer = t.EncoderLayer(t.Sizes())
    assert sum(p.numel() for p in layer.parameters()) == want == 3_150_336


@pytest.mark.parametrize(
    ("source", "target", "match"),
    [
        ([[5, 6], [5, 6]], [[1, 2]], "target has 1 rows, want 2"),
        ([[5, 6], [0, 6]], [[1, 2], [1, 2]], "source has a row that starts with pad"),
        ([[5, 6]], [[0, 2]], "target has a row that starts with padding"),
        ([5, 6], [1, 2], r"source has shape \(2,\), want \(B, T\)"),
        ([[5, 6]], [[]], r"target has shape \(1, 0\), want \(B, T\)"),
    ],
)
def test_bad_input(model, source, target, match):
    with pytest.raises(ValueError, match=match):
        model(torch.tensor(source), torch.tensor(target).long())


def test_odd_width_is_refused():
    with pytest.raises(ValueError, match="d_model is 7, want an even number"):
        t.Transformer(10, t.Sizes(d_model=7))


# ---- the demonstration ---------------------------------------------------------------


def test_schedule_by_hand():
    assert t.learning_rate(4, 16, 16) == pytest.approx(0.25 * 4 / 64)
    assert t.learning_rate(64, 16, 16) == pytest.approx(0.25 / 8)


def test_adam_equals_torch():
    torch.manual_seed(0)
    ours = torch.randn(3, 2).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    m, v = torch.zeros_like(ours), torch.zeros_like(ours)
    reference = torch.optim.Adam([theirs], betas=(0.9, 0.98), eps=1e-9)
    for step in range(1, 20):
        # from tiny to large: eps matters for the tiny ones alone
        ours.grad = torch.randn(3, 2) * 10.0 ** torch.linspace(-9, 0, 6).view(3, 2)
        theirs.grad = ours.grad.clone()
        rate = reference.param_groups[0]["lr"] = 0.1 / step
        t.adam(ours, m, v, step, rate)
        reference.step()
        assert ours.grad is None
        torch.testing.assert_close(ours, theirs, **TOLERANCE)


def test_batch_is_a_reversal():
    source, target = t.batch(7, torch.Generator().manual_seed(0))
    again, _ = t.batch(7, torch.Generator().manual_seed(0))
    assert torch.equal(source, again)
    assert source.shape == (7, t.LENGTH)
    assert torch.equal(source[:, 0], target[:, -1])
    assert torch.equal(source[:, 1], target[:, -2])
    source, _ = t.batch(500, torch.Generator().manual_seed(0))
    assert source.unique().tolist() == list(range(2, 10))  # 0 pads, START starts
    assert t.START == 1


def test_greedy_writes_what_a_model_given_its_own_output_predicts(model):
    source = torch.tensor([[5, 6, 7], [8, 9, 10]])
    written = t.greedy(model, source, 4)
    assert written.shape == (2, 4)
    shifted = nn.functional.pad(written[:, :-1], (1, 0), value=t.START)
    assert torch.equal(model(source, shifted).argmax(-1), written)


@pytest.fixture
def single():
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(torch.float64)


# what is left to one who knows which two tokens there are, and nothing of their order
BLIND_SHARE = sum(0.5 if a != b else 1 for a in range(8) for b in range(8)) / 64


@pytest.mark.parametrize("seed", t.SEEDS)
def test_every_seed_learns_to_write_backwards(single, seed):
    assert t.reversed_share(t.train(seed, n_steps=0)[0]) < 0.05
    model, losses = t.train(seed)
    assert t.reversed_share(model) > BLIND_SHARE == 9 / 16
    assert losses[0] > math.log(t.N_TOKENS)
    assert len(losses) == 120


@pytest.mark.parametrize("seed", t.SEEDS)
def test_without_positions_half_of_the_orders_is_the_limit(single, seed, monkeypatch):
    monkeypatch.setattr(t, "positional_encoding", torch.zeros)
    model, losses = t.train.__wrapped__(seed)
    assert 0.45 < t.reversed_share(model) <= BLIND_SHARE
    # of 64 sources 56 have an order: ln 2 nats for the first of their two tokens
    assert sum(losses[-10:]) / 10 > 56 / 64 * math.log(2) / 2


def test_without_positions_order_is_invisible(model, monkeypatch):
    source, target = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[1, 9, 8]])

    def change():
        return (model(source, target) - model(source.flip(1), target)).abs().max()

    assert change() > 0.01
    monkeypatch.setattr(t, "positional_encoding", torch.zeros)
    assert change() < 1e-10


def test_training_equals_torchs_adam_and_scheduler():
    """Three steps from the same start on the same data; then all weights."""
    ours, losses = t.train(7, n_steps=3)
    torch.manual_seed(7)
    theirs = t.Transformer(10, t.TINY)
    optimizer = torch.optim.Adam(theirs.parameters(), 1.0, (0.9, 0.98), eps=1e-9)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: 32**-0.5 * min((i + 1) ** -0.5, (i + 1) * 40**-1.5)
    )
    generator = torch.Generator().manual_seed(7)
    for loss in losses:
        source = torch.randint(2, 10, (64, 2), generator=generator)
        start = torch.full((64, 1), 1)
        logits = theirs(source, torch.cat([start, source[:, 1:]], dim=1))
        want = nn.functional.cross_entropy(logits.transpose(1, 2), source.flip(1))
        assert loss == pytest.approx(want.item(), rel=1e-10)
        optimizer.zero_grad()
        want.backward()
        optimizer.step()
        scheduler.step()
    assert len(losses) == 3
    assert not ours.training
    for got, want in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(got, want, **TOLERANCE)
    assert {m.p for m in ours.modules() if isinstance(m, nn.Dropout)} == {0.0}


def test_reversed_share_counts_whole_sequences(monkeypatch):
    """A writer that makes no mistake, half a mistake or two, by the first token."""

    def writes(model, source, n):
        assert n == 2
        right = source.flip(1)
        half = torch.stack((right[:, 0], torch.zeros_like(right[:, 0])), dim=1)
        first = source[:, :1]
        return torch.where(first > 5, right, torch.where(first > 3, half, 0))

    monkeypatch.setattr(t, "greedy", writes)
    assert t.reversed_share(None) == 4 / 8  # of the first tokens 2 to 9, those over 5


def test_numbers_are_counts_by_hand_and_the_spread_over_seeds(monkeypatch):
    """With training stubbed: which share, of which models, goes by which name."""
    shares = {120: [0.5, 0.2, 0.9, 0.7, 0.6], 0: [0.01, 0.02, 0.05, 0.04, 0.03]}

    def train(seed, n_steps=120):
        return shares[n_steps][seed], []

    monkeypatch.setattr(t, "train", train)
    monkeypatch.setattr(t, "reversed_share", lambda share: share)

    def count(vocab, n, d, d_ff):
        attention, ffn = 4 * d * d, 2 * d * d_ff + d_ff + d
        return n * (3 * attention + 2 * ffn + 5 * 2 * d) + vocab * d

    assert t.numbers() == {
        "parameters_base_v37000": count(37000, 6, 512, 2048),
        "parameters_tiny": count(10, 1, 32, 64),
        "reversed_share_median": 0.6,
        "reversed_share_min": 0.2,
        "reversed_share_max": 0.9,
        "reversed_share_untrained_max": 0.05,
    }
