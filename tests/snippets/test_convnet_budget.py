"""snippets/convnet_budget.py against torch.nn layers on the meta device."""

import pytest
import torch
from torch import nn

import convnet_budget
from convnet_budget import Conv, Dense, Pool

META = {"device": "meta"}


def torch_rows(layers, side, depth):
    """The same network in torch.nn, run without memory: what `budget` should say."""
    x = torch.empty(1, depth, side, side, **META)
    rows = []
    for layer in layers:
        if isinstance(layer, Dense):
            x = x.flatten(1)
            module = nn.Linear(x.shape[1], layer.K, **META)
        elif isinstance(layer, Pool):
            module = nn.MaxPool2d(layer.F, layer.S)
        else:
            how = {"padding": layer.P, "groups": layer.groups, **META}
            module = nn.Conv2d(x.shape[1], layer.K, layer.F, layer.S, **how)
        x = module(x)
        weights, biases = (
            getattr(module, name).numel() if hasattr(module, name) else 0
            for name in ("weight", "bias")
        )
        places = x[0, 0].numel() if x.ndim == 4 else 1
        rows.append((x.numel(), weights, biases, weights * places))
    return rows


@pytest.mark.parametrize(
    ("layers", "side"),
    [
        (convnet_budget.vgg16(), 224),
        (convnet_budget.alexnet(), 227),
        ([Conv(6, 5, S=2, P=2, groups=3), Pool(2, 1), Dense(7)], 11),
    ],
)
def test_every_row_equals_torchs(layers, side):
    rows = convnet_budget.budget(layers, side, 3)
    found = [(r.activations, r.weights, r.biases, r.multiply_adds) for r in rows]
    assert found == torch_rows(layers, side, 3)
    assert [row.layer for row in rows] == list(layers)
    total = sum(weights + biases for _, weights, biases, _ in found)
    assert convnet_budget.parameters(rows) == total


def test_totals_are_those_documented_by_torchvision():
    vgg = convnet_budget.budget(convnet_budget.vgg16(), 224, 3)
    assert convnet_budget.parameters(vgg) == 138_357_544
    assert sum(row.multiply_adds for row in vgg) == pytest.approx(15.47e9, rel=1e-3)
    # torchvision's AlexNet has one tower with 64, 192, 384, 256, 256 filters
    one_tower = [
        Conv(64, 11, S=4, P=2),
        Conv(192, 5, P=2),
        Conv(384, 3, P=1),
        Conv(256, 3, P=1),
        Conv(256, 3, P=1),
    ]
    convs = convnet_budget.budget(one_tower, 223, 3)  # any side that fits
    head = convnet_budget.budget(convnet_budget.alexnet()[-3:], 6, 256)
    total = convnet_budget.parameters(convs) + convnet_budget.parameters(head)
    assert total == 61_100_840


def test_googlenet_equals_a_network_of_torch_layers():
    """Modules as torchvision lists them; its 5 x 5 branches really 5 x 5."""
    table = [
        (192, 64, 96, 128, 16, 32, 32),
        (256, 128, 128, 192, 32, 96, 64),
        (480, 192, 96, 208, 16, 48, 64),
        (512, 160, 112, 224, 24, 64, 64),
        (512, 128, 128, 256, 24, 64, 64),
        (512, 112, 144, 288, 32, 64, 64),
        (528, 256, 160, 320, 32, 128, 128),
        (832, 256, 160, 320, 32, 128, 128),
        (832, 384, 192, 384, 48, 128, 128),
    ]
    convs = [(3, 64, 7), (64, 64, 1), (64, 192, 3)]
    for depth, one, red3, three, red5, five, pool in table:
        convs += [(depth, one, 1), (depth, red3, 1), (red3, three, 3)]
        convs += [(depth, red5, 1), (red5, five, 5), (depth, pool, 1)]
    net = nn.ModuleList(nn.Conv2d(*conv, **META) for conv in convs)
    net.append(nn.Linear(1024, 1000, **META))
    total = sum(p.numel() for p in net.parameters())
    assert convnet_budget.googlenet_parameters() == total


def test_a_row_by_hand():
    # 5 x 5 x 4, six 3 x 3 filters at stride 2 with one zero around: 3 x 3 x 6
    (row,) = convnet_budget.budget([Conv(6, 3, S=2, P=1)], 5, 4)
    assert (row.side, row.depth, row.activations) == (3, 6, 54)
    assert (row.weights, row.biases) == (3 * 3 * 4 * 6, 6)
    assert row.multiply_adds == 216 * 9


def test_a_window_as_large_as_its_volume_fits_once():
    (row,) = convnet_budget.budget([Pool(3, 2)], 3, 2)
    assert (row.side, row.activations) == (1, 2)
    assert isinstance(row.side, int)


def test_alexnets_filters_see_half_the_depth_where_its_gpus_were_apart():
    rows = convnet_budget.budget(convnet_budget.alexnet(), 227, 3)
    weights = [row.weights for row in rows if isinstance(row.layer, Conv)]
    assert weights == [34_848, 307_200, 884_736, 663_552, 442_368]
    assert all(isinstance(row.weights, int) for row in rows)
    assert convnet_budget.parameters(rows) == 60_965_224


def test_defaults_are_one_stride_no_padding_one_group():
    conv = Conv(2, 3)
    assert (conv.S, conv.P, conv.groups) == (1, 0, 1)


@pytest.mark.parametrize(
    ("layer", "side"), [(Conv(1, 3, S=2), 10), (Pool(3, 2), 32), (Pool(3, 2), 2)]
)
def test_what_does_not_fit_is_named(layer, side):
    with pytest.raises(ValueError, match=rf"F=3.* does not fit .* side {side}$"):
        convnet_budget.budget([layer], side, 1)


def test_groups_that_do_not_divide_are_named():
    wanted = r"groups=.*: expected groups that divide K and a depth of 3$"
    for K, groups in ((4, 2), (4, 3)):  # the depth does not divide, then K
        with pytest.raises(ValueError, match=wanted):
            convnet_budget.budget([Conv(K, 1, groups=groups)], 4, 3)


def test_numbers_by_other_means():
    """All that the page quotes, from torch's rows and from paper and pencil."""
    vgg = torch_rows(convnet_budget.vgg16(), 224, 3)
    activations, weights, biases, multiply_adds = zip(*vgg, strict=True)
    image = 224 * 224 * 3
    total = image + sum(activations)
    blocks = [sum(multiply_adds[a:b]) for a, b in zip(
        (0, 3, 6, 10, 14, 18), (3, 6, 10, 14, 18, 21), strict=True
    )]  # fmt: skip
    alexnet = torch_rows(convnet_budget.alexnet(), 227, 3)
    want = {
        "dense_weights_32": 32 * 32 * 3,
        "dense_weights_200": 200 * 200 * 3,
        "conv_weights_f5_d3": 75,
        "conv_weights_f3_d20": 180,
        "alexnet_conv1_units": 55 * 55 * 96,
        "alexnet_conv1_weights_per_unit": 11 * 11 * 3,
        "alexnet_conv1_unshared": 55 * 55 * 96 * 364,
        "alexnet_conv1_weights": 96 * 363,
        "alexnet_conv1_parameters": 96 * 364,
        "alexnet_conv1_saving": 55 * 55,
        "stack_weights_per_c2": 27,
        "one_weights_per_c2": 49,
        "three_maps_activations": 3 * 224 * 224 * 64,
        "three_maps_mib": 73.5,
        "alexnet_parameters": sum(row[1] + row[2] for row in alexnet),
        "alexnet_pools": 3,
        "alexnet_last_side": 6,
        "alexnet_last_volume": 9216,
        "alexnet_side_after_pool_1": 27,
        "alexnet_side_after_pool_2": 13,
        "alexnet_side_after_pool_3": 6,
        "googlenet_parameters": 6_998_552,
        "vgg_input": image,
        "vgg_layers_with_weights": 16,
        "vgg_weights": sum(weights),
        "vgg_biases": sum(biases),
        "vgg_parameters": 138_357_544,
        "vgg_activations": total,
        "vgg_mib": total * 4 / 2**20,
        "vgg_activations_relu_kept": total
        + sum(a for a, w in zip(activations[:-1], weights[:-1], strict=True) if w),
        "vgg_share_first_two_maps": 2 * 224 * 224 * 64 / total,
        "vgg_share_dense": sum(weights[-3:]) / sum(weights),
        "vgg_share_first_dense": weights[-3] / sum(weights),
        "vgg_multiply_adds": sum(multiply_adds),
        "vgg_compute_share_dense": blocks[5] / sum(multiply_adds),
        "vgg_side_384": 12,
    }
    for n, block in enumerate(blocks[:5], start=1):
        want[f"vgg_compute_share_block_{n}"] = block / sum(multiply_adds)
    names = "ccpccpcccpcccpcccpfff"
    kinds = {"c": "conv", "p": "pool", "f": "fc"}
    for n, name in enumerate(names):
        key = f"vgg_{kinds[name]}{names[: n + 1].count(name)}"
        want[f"{key}_activations"] = activations[n]
        if weights[n]:
            want[f"{key}_weights"] = weights[n]
        if name == "p":
            want[f"{key}_side"] = {2: 112, 5: 56, 9: 28, 13: 14, 17: 7}[n]
    assert convnet_budget.numbers() == pytest.approx(want, rel=1e-12)
