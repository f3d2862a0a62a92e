"""mamba.py against Hugging Face's Mamba, a loop, a second count, and by hand."""

import math

import pytest
import torch
from torch.nn import functional as F
from transformers import MambaConfig, MambaForCausalLM

import mamba as m

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
SMALL = m.ModelArgs(24, 3, 50, d_state=5, expand=3, dt_rank=4, d_conv=3)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


def shaken(args):
    """A model whose every weight, gains and biases included, is random."""
    model = m.Mamba(args)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.3 * torch.randn(p.shape)
    return model


def theirs_of(args):
    config = MambaConfig(
        vocab_size=args.vocab_size,
        hidden_size=args.d_model,
        num_hidden_layers=args.n_layer,
        state_size=args.d_state,
        expand=args.expand,
        conv_kernel=args.d_conv,
        time_step_rank=args.rank,
        residual_in_fp32=False,
    )
    return MambaForCausalLM(config).eval()


def their_name(name):
    """Ours `layers.0.D`, `norms.0.weight` -> what Hugging Face calls it."""
    place, _, rest = name.partition(".")
    if place == "embedding":
        return f"backbone.embeddings.{rest}"
    if place == "norm_f":
        return f"backbone.{name}"
    layer, _, rest = rest.partition(".")
    middle = "norm" if place == "norms" else "mixer"
    return f"backbone.layers.{layer}.{middle}.{rest}"


# ---- the scan ------------------------------------------------------------------------


def loop(a, b):
    h, states = torch.zeros_like(b[:, 0]), []
    for t in range(b.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return torch.stack(states, dim=1)


@pytest.mark.parametrize("l", [1, 2, 3, 4, 5, 7, 8, 13, 64, 100])
def test_scan_equals_a_loop(double, l):
    """The states, and the gradients with respect to both arguments."""
    a, b, weights = (
        torch.rand(2, l, 3, 4),
        torch.randn(2, l, 3, 4),
        torch.randn(l, 1, 1),
    )
    a, b = a.requires_grad_(), b.requires_grad_()
    got, want = m.scan(a, b), loop(a, b)
    torch.testing.assert_close(got, want, **TOLERANCE)
    grads = [
        torch.autograd.grad((h * weights).sum(), (a, b), allow_unused=True)
        for h in (got, want)
    ]
    torch.testing.assert_close(grads[0][1], grads[1][1], **TOLERANCE)
    if l > 1:
        torch.testing.assert_close(grads[0][0], grads[1][0], **TOLERANCE)


def test_scan_by_hand():
    """1, then half of it and 1, then half of that and 1."""
    a, b = torch.full((1, 3, 1, 1), 0.5), torch.ones(1, 3, 1, 1)
    assert m.scan(a, b).flatten().tolist() == [1.0, 1.5, 1.75]


# ---- the model -----------------------------------------------------------------------


def test_logits_and_gradients_equal_hugging_face():
    """Random weights everywhere, in float32."""
    ours, theirs = shaken(SMALL), theirs_of(SMALL)
    weights = {their_name(name): p for name, p in ours.state_dict().items()}
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])  # tied to the embedding
    ids = torch.randint(50, (2, 33))
    got, want = ours(ids), theirs(ids).logits
    assert got.shape == (2, 33, 50)
    assert want.std() > 1
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5 * want.std().item())
    pull = torch.randn(got.shape)
    (got * pull).sum().backward()
    (want * pull).sum().backward()
    other = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        want = other[their_name(name)].grad
        gap = (p.grad - want).abs().max() / want.abs().max()
        assert gap < 1e-4, name


def test_the_start_equals_the_published_codes():
    """A, D, delta, the embedding, and out_proj scaled down by the depth."""
    args = m.ModelArgs(256, 4, 1000)
    model = m.Mamba(args)
    layer = model.layers[2]
    assert args.rank == 16
    A = -torch.exp(layer.A_log)
    torch.testing.assert_close(A, -torch.arange(1.0, 17).expand(512, 16))
    assert layer.D.tolist() == [1.0] * 512
    bound = 16**-0.5
    assert 0.98 * bound < layer.dt_proj.weight.max() <= bound
    assert -bound <= layer.dt_proj.weight.min() < -0.98 * bound
    delta = F.softplus(layer.dt_proj.bias)
    assert 0.001 - 1e-6 < delta.min() < 0.00105
    assert 0.095 < delta.max() < 0.1 + 1e-6
    # log-uniform: as many below the geometric middle as above it
    assert 0.45 < (delta < 0.01).float().mean() < 0.55
    assert model.embedding.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert abs(model.embedding.weight.mean().item()) < 1e-3
    kept = 512**-0.5 / math.sqrt(4)  # PyTorch's bound, by the root of the depth
    assert 0.99 * kept < layer.out_proj.weight.abs().max() <= kept
    for norm in (*model.norms, model.norm_f):
        assert norm.eps == 1e-5
        assert norm.weight.unique().tolist() == [1.0]
    assert len(model.layers) == len(model.norms) == 4


@pytest.mark.parametrize(
    ("d_model", "rank"), [(768, 48), (16, 1), (17, 2), (15, 1), (2560, 160)]
)
def test_rank_is_a_sixteenth_rounded_up(d_model, rank):
    assert m.ModelArgs(d_model, 1, 10).rank == rank
    assert m.ModelArgs(d_model, 1, 10, dt_rank=7).rank == 7
    assert m.ModelArgs(d_model, 1, 10).d_inner == 2 * d_model
    assert m.ModelArgs(d_model, 1, 10, expand=3).d_inner == 3 * d_model


def test_defaults_are_those_of_hugging_face():
    ours, theirs = m.ModelArgs(768, 24, 50280), MambaConfig()
    assert ours.d_state == theirs.state_size == 16
    assert ours.expand == theirs.expand == 2
    assert ours.d_conv == theirs.conv_kernel == 4
    assert ours.rank == theirs.time_step_rank == 48
    assert ours.vocab_size == theirs.vocab_size


def test_no_step_sees_a_later_one(double):
    model = shaken(SMALL)
    ids = torch.randint(49, (1, 12))
    before = model(ids)
    for t in range(12):
        changed = ids.clone()
        changed[0, t] = 49
        after = model(changed)
        assert torch.equal(after[:, :t], before[:, :t])
        assert (after[:, t] - before[:, t]).abs().max() > 1e-3


def test_token_by_token_equals_at_once(double):
    """Logits, what is carried has the size that `carried_numbers` says."""
    args = m.ModelArgs(24, 3, 50, 5, 3, 4, 3)
    model = shaken(args)
    ids = torch.randint(50, (2, 20))
    at_once, carried = model(ids), model.start(2)
    assert [tuple(x.shape) for x in carried[0]] == [(2, 72, 3), (2, 72, 5)]
    assert all(not x.any() for pair in carried for x in pair)
    for t in range(20):
        logits, carried = model.step(ids[:, t], carried)
        torch.testing.assert_close(logits, at_once[:, t], **TOLERANCE)
    size = sum(x.numel() for pair in carried for x in pair)
    assert size == 2 * m.carried_numbers(args) == 2 * 3 * 72 * (3 + 5)


def test_what_another_depth_carries_is_refused():
    model = m.Mamba(SMALL)
    with pytest.raises(ValueError, match="shorter"):
        model.step(torch.zeros(1, dtype=torch.long), model.start(1)[:2])


def test_what_is_carried_has_the_kind_of_the_weights():
    model = m.Mamba(SMALL).to(torch.float64)
    assert {x.dtype for pair in model.start(1) for x in pair} == {torch.float64}


def test_select_by_hand(double):
    """One channel, one state, a step of log 2 and A = -1: half is kept."""
    block = m.MambaBlock(m.ModelArgs(1, 1, 2, d_state=1, expand=1, dt_rank=1))
    with torch.no_grad():
        block.x_proj.weight.copy_(torch.tensor([[0.5], [2.0], [-3.0]]))
        block.dt_proj.weight.fill_(4.0)
        block.dt_proj.bias.fill_(-2.0)
    # softplus(4 * 0.5 * 1 - 2) = softplus(0) = log 2;  B = 2,  C = -3
    a, b, c = block.select(torch.ones(1))
    assert a.item() == pytest.approx(0.5, abs=1e-12)
    assert b.item() == pytest.approx(2 * math.log(2), abs=1e-12)
    assert c.item() == pytest.approx(-3, abs=1e-12)
    a, b, c = block.select(torch.tensor([-1.0]))
    delta = math.log1p(math.exp(-4))
    assert a.item() == pytest.approx(math.exp(-delta), abs=1e-12)
    assert b.item() == pytest.approx(delta * -1 * -2, abs=1e-12)
    assert c.item() == pytest.approx(3, abs=1e-12)


# ---- refusals ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3), (0, 4), (2, 0)])
def test_ids_of_another_shape_are_refused(shape):
    text = rf"ids has shape \({', '.join(map(str, shape))},?\), want \(b, l\)"
    with pytest.raises(ValueError, match=text):
        m.Mamba(SMALL)(torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize(
    "name",
    ["d_model", "n_layer", "vocab_size", "d_state", "expand", "dt_rank", "d_conv"],
)
def test_sizes_below_one_are_refused(name):
    sizes = {"d_model": 8, "n_layer": 1, "vocab_size": 10}
    with pytest.raises(ValueError, match=f"^{name} is 0, want at least 1$"):
        m.ModelArgs(**{**sizes, name: 0})
    assert m.ModelArgs(**{**sizes, name: 1})


# ---- counts --------------------------------------------------------------------------

# what the paper prints: Tables 9 (no rank first) and 10
TABLE_9 = {
    0: 358.9,
    1: 359.1,
    2: 359.3,
    4: 359.7,
    8: 360.5,
    16: 362.1,
    32: 365.2,
    64: 371.5,
}
TABLE_10 = {1: 367.1, 2: 367.4, 4: 368.0, 8: 369.1, 16: 371.5}


@pytest.mark.parametrize("name", m.RELEASED)
def test_counts_equal_hugging_faces(name):
    """Their model on the meta device, which has the tied embedding once."""
    n_layer, d_model = m.RELEASED[name]
    args = m.ModelArgs(d_model, n_layer, 50280)
    with torch.device("meta"):
        theirs = theirs_of(args)
    want = sum(p.numel() for p in theirs.parameters())
    assert m.count(args) == want
    printed = float(name.removesuffix("m").removesuffix("b").replace("_", "."))
    unit = 1e6 if name.endswith("m") else 1e9
    assert want / unit == pytest.approx(printed, rel=0.025)


def test_count_by_hand():
    """mamba-130m, part by part."""
    args = m.ModelArgs(768, 24, 50280)
    parts = m.layer_parts(args)
    assert parts == {
        "in_proj": 768 * 2 * 1536,
        "conv1d": 1536 * 4 + 1536,
        "x_proj": 1536 * (48 + 16 + 16),
        "dt_proj": 48 * 1536 + 1536,
        "A_log": 1536 * 16,
        "D": 1536,
        "out_proj": 1536 * 768,
        "norm": 768,
        "layer": 3_771_648,
    }
    assert m.count(args) == 24 * 3_771_648 + 50280 * 768 + 768 == 129_135_360


def test_what_is_carried_by_hand():
    args = m.ModelArgs(768, 24, 50280)
    assert m.carried_numbers(args) == 24 * 1536 * (16 + 4)
    assert m.cached_numbers(4096) == 2 * 12 * 768 * 4096 == 75_497_472
    assert m.cached_numbers(3, 5, 7) == 210


def test_numbers():
    got = m.numbers()
    for rank, printed in TABLE_9.items():
        assert round(got[f"table9_rank{rank}"], 1) == printed
    for n, printed in TABLE_10.items():
        assert round(got[f"table10_state{n}"], 1) == printed
    # the vocabulary of the released models would not give the paper's row
    assert round(got["table10_state8_vocabulary_50280"], 1) == 369.2
    more = got["table10_state8_vocabulary_50280"] - got["table10_state8"]
    assert more == pytest.approx((50280 - 50257) * 1024 / 1e6)
    # without a rank: 48 layers less a column of x_proj and of dt_proj than with one
    gap = got["table9_rank1"] - got["table9_rank0"]
    assert gap == pytest.approx(48 * 2 * 2048 / 1e6)
    released = {"130m": 129_135_360, "370m": 371_516_416, "790m": 793_204_224}
    released |= {"1_4b": 1_372_178_432, "2_8b": 2_768_345_600}
    for name, want in released.items():
        assert got[f"parameters_{name}"] == want
        assert got[f"millions_{name}"] == want / 1e6
        assert 0.938 < got[f"share_of_6d2_{name}"] < 0.954
    assert got["share_of_6d2_130m"] == pytest.approx(6 * 768**2 / 3_771_648)
    assert got["layer_130m"] == 3_771_648
    assert got["x_proj_130m"] == 122_880
    assert got["induction_thousands_n16"] == 66.496
    assert got["induction_thousands_n32"] == 78.784
    assert got["carried_130m"] == 737_280
    assert got["cached_4096"] == 75_497_472
    assert got["cached_like_130m_tokens"] == 40
    assert 0 < got["step_gap_max"] < 1e-12
    assert torch.get_num_threads() == 1
    assert got.keys() == {
        *(f"parameters_{name}" for name in released),
        *(f"millions_{name}" for name in released),
        *(f"share_of_6d2_{name}" for name in released),
        *(f"{part}_130m" for part in m.layer_parts(SMALL)),
        *(f"table9_rank{rank}" for rank in TABLE_9),
        *(f"table10_state{n}" for n in TABLE_10),
        "table10_state8_vocabulary_50280",
        "induction_thousands_n16",
        "induction_thousands_n32",
        "carried_130m",
        "cached_4096",
        "cached_like_130m_tokens",
        "step_gap_max",
    }


def test_the_largest_gap_is_that_of_five_seeds(monkeypatch):
    asked = {0: 0.3, 1: 0.1, 2: 0.5, 3: 0.4, 4: 0.2}
    monkeypatch.setattr(m, "step_gap", asked.pop)
    assert m.numbers()["step_gap_max"] == 0.5
    assert not asked


def test_the_gap_is_measured(monkeypatch):
    """Wrong steps are noticed: the second token's logits are off by 2, then by 1."""
    right = m.Mamba.step
    told = iter([0.0, 2.0, -1.0, *[0.0] * 40])

    def wrong(self, ids, carried):
        assert ids.shape == (2,)
        logits, carried = right(self, ids, carried)
        return logits + next(told), carried

    monkeypatch.setattr(m.Mamba, "step", wrong)
    assert m.step_gap(0) == pytest.approx(2.0)
    assert len(list(told)) == 3  # 40 tokens were read
