"""norm_placement.py against torch.nn.TransformerEncoderLayer, and its claims."""

import math

import pytest
import torch
import torch.nn.functional as F

import norm_placement as n


def torch_layer(block, d_model, n_heads):
    layer = torch.nn.TransformerEncoderLayer(
        d_model,
        n_heads,
        4 * d_model,
        dropout=0.0,
        batch_first=True,
        norm_first=block.pre_norm,
        dtype=torch.float64,
    )
    pairs = [
        (layer.self_attn.in_proj_weight, block.W_qkv.weight),
        (layer.self_attn.in_proj_bias, block.W_qkv.bias),
        (layer.self_attn.out_proj.weight, block.W_o.weight),
        (layer.self_attn.out_proj.bias, block.W_o.bias),
    ]
    for theirs, ours in (
        (layer.linear1, block.W_1),
        (layer.linear2, block.W_2),
        (layer.norm1, block.norms[0]),
        (layer.norm2, block.norms[1]),
    ):
        pairs += [(theirs.weight, ours.weight), (theirs.bias, ours.bias)]
    with torch.no_grad():
        for theirs, ours in pairs:
            theirs.copy_(ours)
    return layer


@pytest.mark.parametrize("pre_norm", [False, True])
def test_block_equals_torch(pre_norm):
    torch.manual_seed(0)
    block = n.Block(12, 3, pre_norm).double()
    with torch.no_grad():
        for p in block.parameters():
            p.add_(0.3 * torch.randn_like(p))
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    torch.testing.assert_close(
        block(x), torch_layer(block, 12, 3)(x), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("pre_norm", [False, True])
def test_gradients_equal_those_of_torchs_layers(pre_norm):
    """The whole measurement again, with torch's layers and single steps."""
    generator = torch.Generator().manual_seed(3)
    blocks = [n.Block(64, 4, pre_norm).double() for _ in range(2)]
    head = torch.nn.Linear(64, 50).double()
    with torch.no_grad():
        for linear in [
            *(w for b in blocks for w in (b.W_qkv, b.W_o, b.W_1, b.W_2)),
            head,
        ]:
            draws = torch.empty_like(linear.weight).normal_(
                std=linear.in_features**-0.5, generator=generator
            )
            linear.weight.copy_(draws)
            linear.bias.zero_()
    layers = [torch_layer(b, 64, 4) for b in blocks]
    squares = [0.0, 0.0]
    for _ in range(4):
        x = torch.randn(1, 16, 64, generator=generator, dtype=torch.float64)
        target = torch.randint(50, (1,), generator=generator)
        for layer in layers:
            x = layer(x)
        x = F.layer_norm(x, (64,)) if pre_norm else x
        loss = -F.log_softmax(head(x[0, 0]), dim=0)[target[0]]
        for i, layer in enumerate(layers):
            (g,) = torch.autograd.grad(loss, layer.linear2.weight, retain_graph=True)
            squares[i] += float((g**2).sum()) / 4
    want = [math.sqrt(s) for s in squares]
    assert n.gradient_norms(2, pre_norm, 3) == pytest.approx(want, rel=1e-10)


def test_before_falls_like_one_over_the_root_of_the_depth_and_after_does_not():
    result = n.numbers()
    assert result["slope_before"] == pytest.approx(-0.5, abs=0.1)
    assert result["slope_after"] == pytest.approx(0, abs=0.1)
    assert result["ratio_32_to_2_before"] == pytest.approx(0.25, abs=0.1)
    assert 0.7 < result["ratio_32_to_2_after"] < 1.4


@pytest.mark.parametrize("seed", range(5))
def test_the_direction_holds_on_every_seed(seed):
    deep, shallow = (n.gradient_norms(k, True, seed)[-1] for k in (32, 2))
    assert deep < 0.5 * shallow
    deep, shallow = (n.gradient_norms(k, False, seed)[-1] for k in (32, 2))
    assert 0.5 * shallow < deep < 2 * shallow
    assert n.gradient_norms(32, True, seed)[-1] < n.gradient_norms(32, False, seed)[-1]
    before = n.gradient_norms(16, True, seed)
    assert len(before) == 16
    assert before[-1] < 0.6 * before[0]


def test_before_the_stream_passes_untouched():
    """With branches that give nothing, before is the identity and after a norm."""
    torch.manual_seed(0)
    x = 3 * torch.randn(1, 4, 8, dtype=torch.float64)
    for pre_norm, want in ((True, x), (False, F.layer_norm(x, (8,)))):
        block = n.Block(8, 2, pre_norm).double()
        with torch.no_grad():
            for p in [*block.W_o.parameters(), *block.W_2.parameters()]:
                p.zero_()
        torch.testing.assert_close(block(x), want, rtol=1e-4, atol=1e-4)


def test_slope():
    assert n.slope([7 * k**-0.5 for k in n.DEPTHS]) == pytest.approx(-0.5)
    assert n.slope([0.1 * k**2 for k in n.DEPTHS]) == pytest.approx(2)
    # least squares and not the ends: a bump in the middle of even steps changes nothing
    assert n.slope([1.0, 1.0, 5.0, 1.0, 1.0]) == pytest.approx(0)
    assert n.slope([1.0, 1.0, 1.0, 1.0, 2.0]) == pytest.approx(0.2)
    assert n.slope([1.0, 1.0, 1.0, 2.0, 1.0]) == pytest.approx(0.1)


def test_numbers_are_the_medians():
    result = n.numbers()
    for pre_norm, name in ((True, "before"), (False, "after")):
        last = []
        for k in (2, 4, 8, 16, 32):
            values = sorted(n.gradient_norms(k, pre_norm, s)[-1] for s in range(5))
            last.append(values[2])
            assert result.pop(f"last_{name}_{k}_layers") == values[2]
        assert result.pop(f"slope_{name}") == pytest.approx(n.slope(last))
        assert result.pop(f"ratio_32_to_2_{name}") == pytest.approx(last[4] / last[0])
        runs = [n.gradient_norms(16, pre_norm, s) for s in range(5)]
        want = sorted(r[15] / r[0] for r in runs)[2]
        assert result.pop(f"last_to_first_{name}") == pytest.approx(want)
    assert not result


def test_bad_input_is_named():
    for heads in (0, 5):
        with pytest.raises(
            ValueError, match=f"n_heads is {heads}, want a divisor of 8"
        ):
            n.Block(8, heads, True)
    with pytest.raises(ValueError, match="n_layers is 0, want at least 1"):
        n.gradient_norms(0, True, 0)
    assert len(n.gradient_norms(1, False, 0)) == 1
