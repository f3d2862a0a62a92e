"""llm_parameters.py against models that transformers builds, and by hand."""

import pytest
import torch
from transformers import (
    BartConfig,
    BartModel,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    OpenAIGPTConfig,
    OpenAIGPTModel,
)

import llm_parameters as p


def count(model, config):
    with torch.device("meta"):  # sizes without weights
        return sum(q.numel() for q in model(config).parameters())


SMALL = {"n_layers": 3, "d_model": 24, "vocab": 101, "n_ctx": 17}


def test_gpt_equals_transformers():
    config = GPT2Config(n_layer=3, n_embd=24, n_head=2, vocab_size=101, n_positions=17)
    assert p.gpt(**SMALL) == count(GPT2Model, config)
    config = OpenAIGPTConfig(
        n_layer=3, n_embd=24, n_head=2, vocab_size=101, n_positions=17
    )
    assert p.gpt(**SMALL, final_norm=False) == count(OpenAIGPTModel, config)


def test_bert_equals_transformers():
    sizes = {"num_attention_heads": 2, "intermediate_size": 96, "vocab_size": 101}
    config = BertConfig(
        num_hidden_layers=3, hidden_size=24, max_position_embeddings=17, **sizes
    )
    assert p.bert(**SMALL) == count(BertModel, config)
    assert p.bert(12, 768) == count(BertModel, BertConfig())
    assert p.bert(24, 1024) == 335_141_888


def test_bart_equals_transformers():
    config = BartConfig(
        encoder_layers=3,
        decoder_layers=3,
        d_model=24,
        encoder_ffn_dim=96,
        decoder_ffn_dim=96,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        vocab_size=101,
        max_position_embeddings=15,  # the table has two rows more
    )
    assert p.bart(**SMALL) == count(BartModel, config)
    assert p.bart(12, 1024) == count(BartModel, BartConfig())
    assert p.bart(6, 768) == 139_420_416


@pytest.mark.parametrize("name", ["70m", "6_9b"])
def test_pythia_equals_transformers(name):
    n_layers, d_model, rows = p.PYTHIA[name]
    config = GPTNeoXConfig(
        num_hidden_layers=n_layers,
        hidden_size=d_model,
        intermediate_size=4 * d_model,
        num_attention_heads=8,
        vocab_size=rows,
        tie_word_embeddings=False,
    )
    assert sum(p.pythia(*p.PYTHIA[name])) == count(GPTNeoXForCausalLM, config)


def test_one_layer_by_hand():
    # d = 2: four 2x2 with biases, 2x8 and 8x2 with biases, two norms
    assert p.layer(2) == 4 * (4 + 2) + (16 + 8) + (16 + 2) + 2 * 4
    assert p.layer(3, matrices=2, vectors=5) == 18 + 15


def test_gopher_by_hand():
    assert p.gopher(80, 16384, 32000, 5) == 279_697_162_240
    assert p.gopher(1, 2, 3, 4) == 4 * 4 + 8 * 4 + 6


@pytest.mark.parametrize("row", p.GPT2.values())
def test_the_interval_of_vocabularies_is_exactly_that(row):
    n_layers, d_model, millions = row
    low, high = p.vocabularies(*row)

    def printed(vocab):
        return int(p.gpt(n_layers, d_model, vocab, 1024) / 1e6 + 0.5)

    assert printed(low) == printed(high) == millions
    assert (printed(low - 1), printed(high + 1)) == (millions - 1, millions + 1)


def test_a_count_at_the_lower_edge_belongs_and_at_the_upper_does_not():
    # d = 1000, no layer to speak of: choose sizes that hit x.5 million exactly
    body = p.gpt(1, 1000, 1, 1024) - 1000
    assert body == 13_039_000
    low, high = p.vocabularies(1, 1000, 20)
    assert (low, high) == (6461, 7460)  # (19.5e6 - body) / 1000 and one short of 20.5
    shorter = p.vocabularies(1, 1000, 20, n_ctx=1000)
    assert shorter == (6485, 7484)


def test_the_four_sizes_agree_on_gpt_1s_vocabulary_and_not_on_gpt_2s():
    low, high = p.common_vocabularies()
    assert low <= p.VOCAB_GPT1 <= high < p.VOCAB_GPT2
    for n_layers, d_model, millions in p.GPT2.values():
        assert round(p.gpt(n_layers, d_model, low, 1024) / 1e6) == millions
        assert round(p.gpt(n_layers, d_model, high, 1024) / 1e6) == millions
    outside = [
        [round(p.gpt(n, d, v, 1024) / 1e6) == m for n, d, m in p.GPT2.values()]
        for v in (low - 1, high + 1)
    ]
    assert not any(all(row) for row in outside)


def test_numbers():
    want = {
        "gpt2_small_own_vocab_millions": 124.439808,
        "gpt2_medium_own_vocab_millions": 354.823168,
        "gpt2_large_own_vocab_millions": 774.03008,
        "gpt2_xl_own_vocab_millions": 1557.6112,
        "gpt1_millions": 116.534784,
        "gpt3_millions": 174604.259328,
        "gpt3_billions": 174.604259328,
        "bert_base_millions": 109.48224,
        "bert_large_millions": 335.141888,
        "bart_base_millions": 139.420416,
        "bart_large_millions": 406.291456,
        "bart_to_bert_base": 139420416 / 109482240,
        "bart_to_bert_large": 406291456 / 335141888,
        # 50265 - 30522 rows fewer
        "bart_to_bert_base_same_vocab": (139420416 - 19743 * 768) / 109482240,
        "bart_to_bert_large_same_vocab": (406291456 - 19743 * 1024) / 335141888,
        "gopher_4_matrices_billions": 279.69716224 - 80 * 16384**2 / 1e9,
        "gopher_5_matrices_billions": 279.69716224,
        "pythia_checkpoints": 154,
        "pythia_tokens": 299_892_736_000,
    }
    low, high = p.common_vocabularies()
    want |= {"gpt2_vocab_low": low, "gpt2_vocab_high": high}
    for name, width in (
        ("small", 768),
        ("medium", 1024),
        ("large", 1280),
        ("xl", 1600),
    ):
        own = want[f"gpt2_{name}_own_vocab_millions"]
        want[f"gpt2_{name}_gpt1_vocab_millions"] = own - 9779 * width / 1e6
    pythia = {  # body and total, as the released models have them
        "70m": (18_915_328, 70_426_624),
        "160m": (85_056_000, 162_322_944),
        "410m": (302_311_424, 405_334_016),
        "1b": (805_736_448, 1_011_781_632),
        "1_4b": (1_208_602_624, 1_414_647_808),
        "2_8b": (2_517_652_480, 2_775_208_960),
        "6_9b": (6_444_163_072, 6_857_302_016),
        "12b": (11_327_027_200, 11_846_072_320),
    }
    for name, (body, total) in pythia.items():
        want[f"pythia_{name}_body"] = body
        want[f"pythia_{name}_total"] = total
        want[f"pythia_{name}_embedding_share"] = 1 - body / total
    assert p.numbers() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("name", ["n_layers", "d_model", "vocab", "n_ctx"])
@pytest.mark.parametrize("model", [p.gpt, p.bert, p.bart])
def test_a_bad_size_is_named(model, name):
    sizes = {"n_layers": 1, "d_model": 1, "vocab": 1, "n_ctx": 1}
    assert model(**sizes) > 0
    with pytest.raises(ValueError, match=f"{name} is 0, want at least 1"):
        model(**{**sizes, name: 0})


def test_a_bad_size_of_the_others_is_named():
    for at, name in enumerate(("n_layers", "d_model", "rows")):
        sizes = [1, 1, 1]
        sizes[at] = -2
        with pytest.raises(ValueError, match=f"{name} is -2"):
            p.pythia(*sizes)
    for at, name in enumerate(("n_layers", "d_model", "vocab", "square")):
        sizes = [1, 1, 1, 1]
        sizes[at] = 0
        with pytest.raises(ValueError, match=f"{name} is 0"):
            p.gopher(*sizes)
