"""gpt_arithmetic.py against gpt.py's modules, PyTorch's counters and its generator."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import gpt
import gpt_arithmetic
from gpt_arithmetic import Sizes


def built(s, heads=1):
    """The shape of the same model in gpt.py."""
    return gpt.Shape(s.context, s.layers, heads, s.width, s.vocab, gpt2=s.tied)


@pytest.mark.parametrize(
    ("sizes", "known"),
    [
        (gpt_arithmetic.LECTURE, 10_788_929),
        (gpt_arithmetic.COLAB, 209_729),
        (gpt_arithmetic.GPT2, 124_439_808),
        (replace(gpt_arithmetic.GPT2, vocab=50304), 124_475_904),
        (gpt_arithmetic.FAMILY["medium"], 354_823_168),
        (gpt_arithmetic.FAMILY["large"], 774_030_080),
        (gpt_arithmetic.FAMILY["xl"], 1_557_611_200),
        (Sizes(7, 5, 3, 4), None),
        (Sizes(1, 1, 1, 1), None),
        (Sizes(7, 5, 3, 4, qkv_bias=True, tied=True), None),
    ],
)
def test_parameters_are_those_of_the_modules(sizes, known):
    n = gpt_arithmetic.parameters(sizes)
    assert n == gpt.count(built(sizes))
    assert known in (n, None)


def test_without_bias_the_modules_lose_theirs():
    """Count gpt.py's tensors but for those called bias."""
    for sizes in (gpt_arithmetic.WITHOUT_BIAS, Sizes(7, 5, 3, 4, False)):
        with torch.device("meta"):
            named = gpt.GPT(built(sizes)).named_parameters()
            n = sum(p.numel() for name, p in named if not name.endswith("bias"))
        assert gpt_arithmetic.parameters(sizes) == n
    assert gpt_arithmetic.parameters(gpt_arithmetic.WITHOUT_BIAS) == 124_337_664


def test_a_block_by_hand():
    """C = 2: matrices 4 * 4 + 2 * 16, biases 2 + 8 + 2, normalizations 2 * 4."""
    assert gpt_arithmetic.block_parameters(Sizes(1, 1, 1, 2)) == 48 + 12 + 8
    with_qkv = Sizes(1, 1, 1, 2, qkv_bias=True)
    assert gpt_arithmetic.block_parameters(with_qkv) == 48 + 12 + 8 + 6
    assert gpt_arithmetic.block_parameters(Sizes(1, 1, 1, 2, bias=False)) == 48 + 4


@pytest.mark.parametrize(
    ("sizes", "heads"), [(gpt_arithmetic.GPT2, 12), (Sizes(7, 6, 3, 4), 2)]
)
def test_operations_are_those_pytorch_counts(sizes, heads):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        gpt.GPT(built(sizes, heads))(torch.zeros(1, sizes.context, dtype=torch.long))
    assert gpt_arithmetic.forward_operations(sizes) == counter.get_total_flops()


@pytest.mark.parametrize("n", [16, 17, 31, 32, 65 * 65])
def test_torchs_normal_numbers(n):
    ours = gpt_arithmetic.torch_randn(n, 1337)
    theirs = torch.randn(n, generator=torch.Generator().manual_seed(1337))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=5e-6)


def test_mean_loss_is_the_cross_entropy():
    table = np.random.default_rng(0).normal(size=(65, 65))
    texts = ("abc", "Zz!", "$\n ")
    ids = torch.tensor([[gpt_arithmetic.ALPHABET.index(c) for c in t] for t in texts])
    logits = torch.tensor(table)[ids[:, :-1]].reshape(6, 65)
    expected = F.cross_entropy(logits, ids[:, 1:].reshape(6)).item()
    assert gpt_arithmetic.mean_loss(table, texts) == pytest.approx(expected, abs=1e-12)
    even = gpt_arithmetic.mean_loss(np.zeros((65, 65)), texts)
    assert even == pytest.approx(math.log(65))


def test_the_first_batch_is_the_one_printed():
    printed = [
        [24, 43, 58, 5, 57, 1, 46, 43, 39],
        [44, 53, 56, 1, 58, 46, 39, 58, 1],
        [52, 58, 1, 58, 46, 39, 58, 1, 46],
        [25, 17, 27, 10, 0, 21, 1, 54, 39],
    ]
    texts = ["".join(gpt_arithmetic.ALPHABET[i] for i in row) for row in printed]
    assert tuple(texts) == gpt_arithmetic.FIRST_BATCH
    encoded = [gpt_arithmetic.ALPHABET.index(c) for c in "hii there"]
    assert encoded == [46, 47, 47, 1, 58, 46, 43, 56, 43]
    assert list(gpt_arithmetic.ALPHABET) == sorted(set(gpt_arithmetic.ALPHABET))


def test_softmax():
    z = np.random.default_rng(0).normal(size=(3, 4, 5))
    expected = F.softmax(torch.tensor(z), dim=-1).numpy()
    np.testing.assert_allclose(gpt_arithmetic.softmax(z), expected, rtol=0, atol=1e-15)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shares = gpt_arithmetic.softmax(np.array([1000.0, 1000.0, -1000.0]))
        rows = gpt_arithmetic.softmax(np.array([[1000.0, 1000.0], [-1000.0, -1000.0]]))
    np.testing.assert_allclose(shares, [0.5, 0.5, 0], atol=1e-15)
    np.testing.assert_allclose(rows, 0.5)  # each row by its own largest


def test_largest_weight_is_that_of_attention():
    """The same draws through PyTorch; by default 16 keys and 1000 draws."""
    rng = np.random.default_rng(1)
    q = torch.tensor(rng.standard_normal((50, 1, 9)))
    k = torch.tensor(rng.standard_normal((50, 4, 9)))
    eye = torch.eye(4, dtype=torch.float64).expand(50, 4, 4)
    weights = F.scaled_dot_product_attention(q, k, eye)[:, 0]
    expected = weights.amax(dim=1).mean().item()
    rng = np.random.default_rng(1)
    ours = gpt_arithmetic.largest_weight(9, 3.0, rng, keys=4, n=50)
    assert ours == pytest.approx(expected, abs=1e-12)
    default = gpt_arithmetic.largest_weight(2, 1.0, np.random.default_rng(1))
    named = gpt_arithmetic.largest_weight(2, 1.0, np.random.default_rng(1), 16, 1000)
    assert default == named


def test_scale_keeps_attention_as_sharp_at_any_size():
    rng = np.random.default_rng(0)
    divided, raw = [], []
    for d in (4, 64, 256):
        divided.append(gpt_arithmetic.largest_weight(d, d**0.5, rng))
        raw.append(gpt_arithmetic.largest_weight(d, 1.0, rng))
    assert max(divided) - min(divided) < 0.05
    assert raw == sorted(raw)
    assert raw[-1] > 0.8


def test_numbers():
    want = {
        "letters": 65,
        "id_of_h": 46,
        "ln_65": math.log(65),
        "parameters_lecture": 10_788_929,
        "millions_lecture": 10.788929,
        "millions_colab": 0.209729,
        "block_lecture": 1_773_312,
        "parameters_without_bias": 124_337_664,
        "block_without_bias": 7_079_424,
        "embedding_percent": 100 * 38_597_376 / 124_337_664,
        "padded": 124_475_904,
        "operations": 291_648_307_200,
        "operations_per_parameter": 291_648_307_200 / 1024 / 124_439_808,
    }
    family = {
        "small": 124_439_808,
        "medium": 354_823_168,
        "large": 774_030_080,
        "xl": 1_557_611_200,
    }
    for name, n in family.items():
        want |= {f"parameters_{name}": n, f"millions_{name}": n / 1e6}
    torch.manual_seed(1337)
    table = torch.nn.Embedding(65, 65).weight.detach()
    rows = [
        [gpt_arithmetic.ALPHABET.index(c) for c in text]
        for text in ("Let's hea", "for that ", "nt that h", "MEO:\nI pa")
    ]
    ids = torch.tensor(rows)
    want["loss_of_table"] = F.cross_entropy(
        table[ids[:, :-1]].reshape(32, 65), ids[:, 1:].reshape(32)
    ).item()
    assert want["loss_of_table"] == pytest.approx(4.8786, abs=5e-5)
    scores = torch.tensor([0.1, -0.2, 0.3, -0.2, 0.5], dtype=torch.float64)
    want["weight"] = scores.softmax(0)[-1].item()
    want["weight_times_8"] = (8 * scores).softmax(0)[-1].item()
    for name, by in (("undivided", 1), ("by_head", 8), ("by_width", math.sqrt(384))):
        runs = sorted(
            gpt_arithmetic.largest_weight(64, by, np.random.default_rng(seed))
            for seed in range(5)
        )
        want |= {
            f"largest_{name}_min": runs[0],
            f"largest_{name}_median": runs[2],
            f"largest_{name}_max": runs[4],
        }
    assert gpt_arithmetic.numbers() == pytest.approx(want, rel=1e-6)


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ValueError, match="n must be at least 16, got 15"):
        gpt_arithmetic.torch_randn(15, 0)
    for bad in ((0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0)):
        with pytest.raises(ValueError, match=r"all sizes must be >= 1, got Sizes\(voc"):
            gpt_arithmetic.parameters(Sizes(*bad))
