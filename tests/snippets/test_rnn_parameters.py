"""rnn_parameters.py against torch's layers, counted weight by weight."""

import math

import numpy as np
import pytest
import torch

import rnn_parameters

LAYERS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
SIZES = [(65, 128, 2), (27, 100, 2), (4, 3, 1), (5, 7, 4)]


def modules(kind, V, H, N):
    """char-rnn's model from torch's parts, without memory for its weights."""
    with torch.device("meta"):
        return torch.nn.ModuleList([LAYERS[kind](V, H, N), torch.nn.Linear(H, V)])


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("sizes", [*SIZES, (78, 512, 3), (101, 700, 3)])
def test_parameters_equal_torch(kind, sizes):
    expected = sum(w.numel() for w in modules(kind, *sizes).parameters())
    assert rnn_parameters.parameters(kind, *sizes) == expected


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("sizes", SIZES)
def test_multiply_adds_are_the_matrices_but_the_first(kind, sizes):
    expected = sum(
        w.numel()
        for name, w in modules(kind, *sizes).named_parameters()
        if w.ndim == 2 and not name.endswith("weight_ih_l0")
    )
    assert rnn_parameters.multiply_adds(kind, *sizes) == expected


@pytest.mark.parametrize(("V", "H"), [(65, 100), (4, 3)])
def test_min_char_rnn_has_one_bias_less_than_torch(V, H):
    expected = sum(w.numel() for w in modules("rnn", V, H, 1).parameters()) - H
    assert rnn_parameters.min_char_rnn_parameters(V, H) == expected


def test_by_hand():
    # one gate: W_x 2 x 3, W_h 2 x 2, two biases of 2; decoder 2 x 3 and 3
    assert rnn_parameters.parameters("rnn", 3, 2, 1) == 6 + 4 + 4 + 6 + 3
    assert rnn_parameters.layer_parameters(3, 2, 4) == 4 * (6 + 4 + 4)


@pytest.mark.parametrize("kind", LAYERS)
def test_vocabulary_undoes_the_count(kind):
    for V, H, N in SIZES:
        total = rnn_parameters.parameters(kind, V, H, N)
        assert rnn_parameters.vocabulary_for(total, kind, H, N) == pytest.approx(V)


def test_vocabularies_that_round_to_the_post():
    """116 to 154 letters give 3.5 million, one fewer or one more does not."""
    rounded = {
        V: round(rnn_parameters.parameters("lstm", V, 512, 2) / 1e6, 1)
        for V in range(60, 220)
    }
    fitting = [V for V, millions in rounded.items() if millions == 3.5]
    numbers = rnn_parameters.numbers()
    assert fitting[0] == numbers["least_vocabulary_for_3_5m"]
    assert fitting[-1] == numbers["most_vocabulary_for_3_5m"]
    assert not fitting[0] <= 96 <= fitting[-1]


@pytest.mark.parametrize(
    ("total", "model", "name", "least"),
    [(3.5e6, (512, 2), "3_5m", 67), (10e6, (700, 3), "10m", 1)],
)
def test_what_a_total_within_5_percent_says_of_the_vocabulary(
    total, model, name, least
):
    near = [
        V
        for V in range(1, 400)
        if abs(rnn_parameters.parameters("lstm", V, *model) / total - 1) <= 0.05
    ]
    numbers = rnn_parameters.numbers()
    assert near[0] == numbers.get(f"least_vocabulary_near_{name}", 1) == least
    assert near[-1] == numbers[f"most_vocabulary_near_{name}"]


def test_numbers_are_counts_of_torch_and_points_on_its_line():
    """All that the page quotes; between two of torch's counts the line is straight."""

    def count(*model):
        return sum(w.numel() for w in modules(*model).parameters())

    def letters(total):
        return np.interp(
            total, [count("lstm", V, 512, 2) for V in (50, 200)], [50, 200]
        )

    numbers = rnn_parameters.numbers()
    products, decoder = 3 * 4 * 512**2, 512 * 96
    assert numbers == pytest.approx(
        {
            "lstm_v65_h128_n2": count("lstm", 65, 128, 2),
            "gru_v65_h128_n2": count("gru", 65, 128, 2),
            "rnn_v65_h128_n2": count("rnn", 65, 128, 2),
            "lstm_v65_h100_n2": count("lstm", 65, 100, 2),
            "lstm_v27_h100_n2": count("lstm", 27, 100, 2),
            "lstm_v78_h512_n3": count("lstm", 78, 512, 3),
            "lstm_v96_h512_n2": count("lstm", 96, 512, 2),
            "lstm_v97_h700_n3": count("lstm", 97, 700, 3),
            "min_char_rnn_v65_h100": count("rnn", 65, 100, 1) - 100,
            "vocabulary_for_3_5m": letters(3.5e6),
            "least_vocabulary_for_3_5m": 116,  # found by search in the test above
            "most_vocabulary_for_3_5m": 154,
            "least_vocabulary_near_3_5m": 67,
            "most_vocabulary_near_3_5m": 203,
            "most_vocabulary_near_10m": 195,
            "share_missing_to_3_5m": (3.5e6 - count("lstm", 96, 512, 2)) / 3.5e6,
            "uniform_v78_nats": -math.log(1 / 78),
            # products of states grow fourfold, the decoder twofold: a little under 4
            "work_ratio_whole_step": (4 * products + 2 * decoder)
            / (products + decoder),
        },
        rel=1e-9,
    )


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ValueError, match="kind must be one of rnn, gru, lstm, got 'l"):
        rnn_parameters.parameters("lstn", 5, 5, 1)
    for sizes in ((0, 5, 1), (5, 0, 1), (5, 5, 0)):
        with pytest.raises(ValueError, match="V, H and N must be >= 1"):
            rnn_parameters.parameters("gru", *sizes)
