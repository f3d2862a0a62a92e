"""snippets/fc_as_conv.py against torch.nn layers on crops, and by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

import fc_as_conv

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def in_torch(weights, crops, pad):
    """The original network: two convolutions with ReLU and pooling, then Linear."""
    x = torch.from_numpy(np.ascontiguousarray(crops))
    for w in weights[:2]:
        x = functional.conv2d(x, torch.from_numpy(w), padding=pad).relu()
        x = functional.max_pool2d(x, 2)
    return functional.linear(x.flatten(1), torch.from_numpy(weights[2])).numpy()


@pytest.fixture(scope="module")
def weights():
    return fc_as_conv.init_weights(np.random.default_rng(5))


@pytest.mark.parametrize("pad", [0, 1, 2])
def test_convolve_equals_torch(pad):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 6, 7)), rng.standard_normal((4, 3, 3, 3))
    ref = functional.conv2d(torch.from_numpy(x), torch.from_numpy(w), padding=pad)
    np.testing.assert_allclose(fc_as_conv.convolve(x, w, pad), ref, **TIGHT)
    dilated = functional.conv2d(
        torch.from_numpy(x), torch.from_numpy(w), padding=pad, dilation=2
    )
    np.testing.assert_allclose(fc_as_conv.convolve(x, w, pad, 2), dilated, **TIGHT)
    if pad == 0:
        np.testing.assert_allclose(fc_as_conv.convolve(x, w), ref, **TIGHT)


@pytest.mark.parametrize("pad", [0, 1])
def test_the_classifier_and_its_crops_equal_torch(weights, pad):
    rng = np.random.default_rng(1)
    side = fc_as_conv.CROP[pad]
    image = rng.standard_normal((3, side + 8, side + 4))
    scores = fc_as_conv.on_crops(weights, image, pad)
    assert scores.shape == (10, 3, 2)
    for i in range(3):
        for j in range(2):
            crop = image[None, :, 4 * i : 4 * i + side, 4 * j : 4 * j + side]
            ref = in_torch(weights, crop, pad)[0]
            np.testing.assert_allclose(scores[:, i, j], ref, **TIGHT)


def test_the_head_as_filters_is_the_head(weights):
    rng = np.random.default_rng(2)
    volume = rng.standard_normal((1, 8, 4, 4))
    filters = fc_as_conv.fc_to_conv(weights[2], 8, 4)
    ref = functional.linear(
        torch.from_numpy(volume.reshape(1, -1)), torch.from_numpy(weights[2])
    )
    np.testing.assert_allclose(
        fc_as_conv.convolve(volume, filters)[0, :, 0, 0], ref[0], **TIGHT
    )


@pytest.mark.parametrize("pad", [0, 1])
def test_one_pass_equals_torch_with_a_convolutional_head(weights, pad):
    rng = np.random.default_rng(3)
    side = fc_as_conv.CROP[pad]
    image = rng.standard_normal((3, side + 8, side + 4))
    x = torch.from_numpy(image[None])
    for w in weights[:2]:
        x = functional.max_pool2d(
            functional.conv2d(x, torch.from_numpy(w), padding=pad).relu(), 2
        )
    head = torch.from_numpy(weights[2].reshape(10, 8, 4, 4))
    np.testing.assert_allclose(
        fc_as_conv.slide(weights, image, pad), functional.conv2d(x, head)[0], **TIGHT
    )


@pytest.mark.parametrize("seed", range(8))
def test_identical_without_padding_and_never_with_it(seed):
    assert fc_as_conv.deviation(0, seed).max() < 1e-12
    padded = fc_as_conv.deviation(1, seed)
    assert padded.shape == (10, 6, 6)
    assert padded.max(axis=0).min() > 0.01  # at every place some score is off
    assert fc_as_conv.deviation(1, seed, places=3).shape == (10, 3, 3)


def test_deviation_is_in_units_of_the_spread_of_the_scores():
    rng = np.random.default_rng(4)
    weights = fc_as_conv.init_weights(rng)
    image = rng.standard_normal((3, 24, 24))
    crops = fc_as_conv.on_crops(weights, image, 1)
    gap = np.abs(fc_as_conv.slide(weights, image, 1) - crops)
    found = fc_as_conv.deviation(1, 4, places=3)
    np.testing.assert_allclose(found, gap / np.std(crops), **TIGHT)


def test_with_padding_a_crop_that_is_the_whole_image_is_identical(weights):
    image = np.random.default_rng(6).standard_normal((3, 16, 16))
    one = fc_as_conv.slide(weights, image, 1)[:, 0, 0]
    np.testing.assert_allclose(one, in_torch(weights, image[None], 1)[0], **TIGHT)


def test_half_the_stride_takes_four_passes(weights):
    image = np.random.default_rng(7).standard_normal((3, 34, 38))
    all_crops = fc_as_conv.on_crops(weights, image, 0, stride=2)
    assert all_crops.shape == (10, 7, 9)
    shifts = [(0, 0), (2, 2), (0, 2), (2, 0)]
    found = fc_as_conv.slide_finer(weights, image, shifts)
    np.testing.assert_allclose(found, all_crops, **TIGHT)
    # or one, whose head is dilated
    dilated = fc_as_conv.slide_dilated(weights, image)
    np.testing.assert_allclose(dilated, all_crops, **TIGHT)
    # the source's two: even in both directions, odd in both, and nothing else
    reached = ~np.isnan(fc_as_conv.slide_finer(weights, image, shifts[:2])[0])
    i, j = np.indices(reached.shape)
    np.testing.assert_array_equal(reached, (i % 2) == (j % 2))


def test_weights_are_he_initialised(weights):
    assert [w.shape for w in weights] == [(8, 3, 3, 3), (8, 8, 3, 3), (10, 128)]
    for w in weights:
        fan_in = np.prod(w.shape[1:])
        assert w.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.15)
        assert abs(w.mean()) < 0.3 * w.std()


def test_numbers():
    found = fc_as_conv.numbers()
    worst = {
        pad: [fc_as_conv.deviation(pad, seed) for seed in range(5)] for pad in (0, 1)
    }
    tops = [d.max() for d in worst[1]]
    want = {
        "weights_per_unit_7x7x512": 25_088,
        "places_on_7": 1,
        "places_on_12": 6,
        "scores_on_7": 1,
        "scores_on_12": 36,
        "deviation_unpadded_median": 0,
        "deviation_unpadded_min": 0,
        "deviation_unpadded_max": 0,
        "deviation_padded_median": sorted(tops)[2],
        "deviation_padded_min": min(tops),
        "deviation_padded_max": max(tops),
        "deviation_padded_rms_median": sorted((d**2).mean() ** 0.5 for d in worst[1])[
            2
        ],
        "deviation_padded_rms_inside_median": sorted(
            (d[:, 1:5, 1:5] ** 2).mean() ** 0.5 for d in worst[1]
        )[2],
        "passes_for_half_the_stride": 4,
        "gap_of_the_dilated_pass": 0,
    }
    for n in (1, 2, 3, 4):
        want[f"share_reached_by_{n}_passes"] = n / 4
        want[f"gap_of_{n}_passes"] = 0
    assert found == pytest.approx(want, rel=1e-10, abs=1e-12)


def test_a_head_of_another_size_is_named(weights):
    with pytest.raises(ValueError, match=r"^w_fc has 128 inputs, expected 200$"):
        fc_as_conv.fc_to_conv(weights[2], 8, 5)
