"""snippets/receptive_field.py against autograd through the same layers."""

import numpy as np
import pytest
import torch
from torch.nn import functional

import receptive_field
from receptive_field import Layer

NETS = {
    "mixed": [Layer(5, 2, P=1), Layer(3, d=3), Layer(2, 2), Layer(1, 2), Layer(4)],
    "residual": [Layer(3, shortcut=True), Layer(1, 2), Layer(3, 2, shortcut=True)],
    "dilated residual": [Layer(3, d=2, shortcut=True), Layer(5, shortcut=True)],
    "alexnet": list(receptive_field.alexnet().values()),
    "vgg16": list(receptive_field.vgg16().values()),
    "resnet50": receptive_field.resnet((3, 4, 6, 3)),
    "resnet50 torchvision": receptive_field.resnet((3, 4, 6, 3), stride_on_3x3=True),
}


def by_autograd(layers, side):
    """The gradient of one output of averaging layers, without padding: side long."""
    x = torch.zeros(1, 1, side, dtype=torch.float64, requires_grad=True)
    y = x
    for layer in layers:
        w = torch.full((1, 1, layer.F), 1 / layer.F, dtype=torch.float64)
        out = functional.conv1d(y, w, stride=layer.S, dilation=layer.d)
        if layer.shortcut:
            start = layer.d * (layer.F // 2)
            same = y[:, :, start :: layer.S][:, :, : out.shape[2]]
            out = (out + same) / 2
        y = out
    assert y.shape == (1, 1, 1)
    y.sum().backward()
    return x.grad.numpy()[0, 0]


@pytest.mark.parametrize("name", NETS)
def test_field_and_shares_are_those_of_autograd(name):
    layers = NETS[name]
    size = receptive_field.receptive_field(layers).size
    grad = by_autograd(layers, size)  # one output exactly: not a pixel to spare
    share = receptive_field.share(layers)
    np.testing.assert_allclose(share, grad, rtol=1e-10, atol=1e-14)
    assert share.shape == (size,)
    assert share.sum() == pytest.approx(1)
    with pytest.raises(RuntimeError):
        by_autograd(layers, size - 1)


@pytest.mark.parametrize("name", NETS)
def test_the_jump_is_the_distance_of_neighbours(name):
    """One output more takes as many pixels more, and its field is shifted by them."""
    layers = NETS[name]
    field = receptive_field.receptive_field(layers)
    plain = [layer._replace(P=0) for layer in layers]
    assert receptive_field.side(plain, field.size + field.jump) == 2
    assert receptive_field.side(plain, field.size + field.jump - 1) == 1


@pytest.mark.parametrize("W", [64, 71, 100])
def test_sides_are_those_of_torch(W):
    layers = NETS["mixed"]
    x = torch.zeros(1, 1, W)
    for layer in layers:
        w = torch.ones(1, 1, layer.F)
        x = functional.conv1d(x, w, None, layer.S, layer.P, layer.d)
    assert receptive_field.side(layers, W) == x.shape[2]


def test_padding_is_where_the_first_field_begins():
    """Two padded layers: the first output's field reaches q pixels out of the image."""
    layers = [Layer(3, 2, P=1), Layer(5, P=2)]
    size, jump, padding = receptive_field.receptive_field(layers)
    # the second layer's two zeros stand two places, so four pixels, further out
    assert (size, jump, padding) == (3 + 4 * 2, 2, 1 + 2 * 2)


def test_without_layers_a_pixel_sees_itself():
    assert receptive_field.receptive_field([]) == (1, 1, 0)
    np.testing.assert_array_equal(receptive_field.share([]), [1])
    layer = Layer(4)
    assert (layer.S, layer.P, layer.d, layer.shortcut) == (1, 0, 1, False)


def test_shares_by_hand():
    # two averages of three: 1 2 3 2 1 of nine
    share = receptive_field.share([Layer(3)] * 2)
    np.testing.assert_allclose(9 * share, [1, 2, 3, 2, 1])
    share = receptive_field.share([Layer(3, shortcut=True)])
    np.testing.assert_allclose(6 * share, [1, 4, 1])


def test_width_of_by_hand():
    bell = np.array([1.0, 2, 4, 2, 1]) / 10
    assert [receptive_field.width_of(bell, p) for p in (0.4, 0.41, 0.8, 0.81)] == [
        1, 3, 3, 5,
    ]  # fmt: skip
    even = np.array([1.0, 4, 4, 1]) / 10
    assert [receptive_field.width_of(even, p) for p in (0.5, 0.8, 0.9)] == [2, 2, 4]
    assert receptive_field.width_of(np.ones(1), 0.5) == 1


def test_a_small_resnet_layer_by_layer():
    paper = [Layer(7, 2, 3), Layer(3, 2), Layer(1, 1), Layer(3, 1, 1, 1, True)]
    paper += [Layer(1, 2), Layer(3, 1, 1, 1, True), Layer(1, 1), paper[3]]
    assert receptive_field.resnet((1, 2)) == paper
    torchvision = [*paper[:2], paper[3], Layer(3, 2, 1, 1, True), paper[3]]
    assert receptive_field.resnet((1, 2), stride_on_3x3=True) == torchvision


def test_alexnet_and_vgg_have_the_padding_of_their_papers():
    alexnet = [layer.P for layer in receptive_field.alexnet().values()]
    assert alexnet == [0, 0, 2, 0, 1, 1, 1, 0]
    for name, layer in receptive_field.vgg16().items():
        assert layer == (Layer(2, 2) if name[:4] == "pool" else Layer(3, P=1))
    assert list(receptive_field.vgg16())[:3] == ["conv1_1", "conv1_2", "pool1"]


def test_layers_to_see():
    assert receptive_field.layers_to_see(7, [], Layer(3)) == 3
    assert receptive_field.layers_to_see(8, [], Layer(3)) == 4
    assert receptive_field.layers_to_see(1, [], Layer(3)) == 0
    assert receptive_field.layers_to_see(9, [Layer(2, 2)], Layer(3)) == 2  # 2, 6, 10


def test_more_layers_make_the_bell_relatively_narrower():
    """The field grows with n, its standard deviation with the root of n."""
    for n in (2, 8, 32):
        share = receptive_field.share([Layer(3)] * n)
        place = np.arange(len(share)) - n
        assert (share * place**2).sum() == pytest.approx(2 * n / 3)


def test_numbers_by_other_means():
    """All that the page quotes: the library's table, closed forms, and autograd."""
    want = {
        **{f"stack_of_{n}": 2 * n + 1 for n in (1, 2, 3)},
        **{f"dilated_stack_of_{n}": 2 ** (n + 1) - 1 for n in (2, 3, 4)},
        "alexnet_jump": 4 * 2 * 2 * 2,
        "alexnet_padding": 2 * 8 + 3 * 16,
        "alexnet_jump_conv2": 8,
        "vgg16_jump": 32,
        "vgg16_padding": 2 * (1 + 2) + 3 * (4 + 8 + 16),
        "resnet50": 483,
        "resnet101": 1027,
        "resnet152": 1507,
        "resnet50_jump": 32,
        "resnet50_torchvision": 427,
        "nielsen_window": 5,
        "nielsen_weights": 25,
        "nielsen_side_conv": 24,
        "nielsen_side_pool": 12,
        "nielsen_field_of_both": 5 + 1 + 8 + 2,
        "nielsen_side_of_both": 4,
        "layers_3x3_to_see_224": 112,
        "layers_3x3_on_vgg_to_see_224": 1,
        "layers_dilated_to_see_224": 7,
        "stack18_field": 37,
        "vgg16_field": 212,
        "resnet50_field": 483,
        "stack18_deviation": (2 * 18 / 3) ** 0.5,
        "vit_side": 14,
        "vit_patches": 196,
    }
    alexnet = [11, 19, 51, 67, 99, 131, 163, 195]
    for layer, size in zip(receptive_field.alexnet(), alexnet, strict=True):
        want[f"alexnet_{layer}"] = size
    vgg = [3, 5, 6, 10, 14, 16, 24, 32, 40, 44, 60, 76, 92, 100, 132, 164, 196, 212]
    for layer, size in zip(receptive_field.vgg16(), vgg, strict=True):
        want[f"vgg16_{layer}"] = size
    nets = {"stack18": [Layer(3)] * 18, "vgg16": NETS["vgg16"]}
    for name, layers in {**nets, "resnet50": NETS["resnet50"]}.items():
        size = receptive_field.receptive_field(layers).size
        grad = by_autograd(layers, size)
        for part in (50, 95):
            sums = {
                w: grad[(size - w) // 2 : (size + w) // 2].sum()
                for w in range(size % 2 or 2, size + 1, 2)
            }
            want[f"{name}_width_of_{part}_percent"] = min(
                w for w, s in sums.items() if s >= part / 100
            )
    # of VGG-16 in the plane: the smallest middle square with half of all weight
    grad = by_autograd(NETS["vgg16"], 212)
    plane = np.outer(grad, grad)
    held = {w: plane[106 - w // 2 :, 106 - w // 2 :][:w, :w] for w in range(2, 213, 2)}
    want["vgg16_square_of_50_percent"] = min(
        w for w, square in held.items() if square.sum() >= plane.sum() / 2
    )
    want["vgg16_area_of_50_percent"] = (want["vgg16_square_of_50_percent"] / 212) ** 2
    assert receptive_field.numbers() == pytest.approx(want, rel=1e-12)
    assert list(receptive_field.alexnet()) == [
        "conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5",
    ]  # fmt: skip


@pytest.mark.parametrize("bad", [Layer(0), Layer(3, 0), Layer(3, d=0), Layer(3, P=-1)])
def test_bad_layers_are_named(bad):
    for use in (
        receptive_field.receptive_field,
        receptive_field.share,
        lambda layers: receptive_field.side(layers, 9),
    ):
        with pytest.raises(
            ValueError, match=r"^Layer\(.*\): expected F, S, d of 1 or more"
        ):
            use([bad])


def test_a_window_that_spans_more_than_there_is_is_named():
    layers = [Layer(3), Layer(3, P=1, d=3)]  # 7 of 4 and two zeros
    with pytest.raises(ValueError, match=r"^Layer\(.*\) spans 7 of 6 pixels$"):
        receptive_field.side(layers, 6)
    assert receptive_field.side(layers, 7) == 1


def test_layers_under_which_no_field_grows_are_refused():
    with pytest.raises(ValueError, match=r"^repeat has F = 1, expected at least 2$"):
        receptive_field.layers_to_see(2, [], Layer(1))
