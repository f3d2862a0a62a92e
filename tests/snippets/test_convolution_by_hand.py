"""snippets/convolution_by_hand.py against torch, SciPy and paper."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.signal import correlate2d

import convolution_by_hand as c

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def torch_conv(image, kernel, b, stride, padding):
    return F.conv2d(
        torch.from_numpy(np.asarray(image, float))[None],
        torch.from_numpy(np.asarray(kernel, float))[None],
        torch.tensor([float(b)], dtype=torch.float64),
        stride,
        padding,
    )[0, 0].numpy()


GRID = [
    (n, f, s, p)
    for n in (3, 4, 5, 7)
    for f in (1, 2, 3)
    for s in (1, 2, 3)
    for p in (0, 1, 2)
]


@pytest.mark.parametrize(("n", "f", "stride", "padding"), GRID)
def test_convolve_equals_torch(n, f, stride, padding):
    rng = np.random.default_rng(n + 10 * f)
    image, kernel = rng.standard_normal((3, n, n)), rng.standard_normal((3, f, f))
    got = c.convolve(image, kernel, 0.7, stride, padding)
    reference = torch_conv(image, kernel, 0.7, stride, padding)
    np.testing.assert_allclose(got, reference, **TIGHT)
    side = c.out_side(n, f, stride, padding)
    assert reference.shape == (side, side)


def test_it_is_a_cross_correlation():
    rng = np.random.default_rng(0)
    image, kernel = rng.standard_normal((5, 5)), rng.standard_normal((2, 2))
    reference = correlate2d(image, kernel, mode="valid")
    np.testing.assert_allclose(
        c.convolve(image[None], kernel[None]), reference, **TIGHT
    )


@pytest.mark.parametrize(("f", "stride"), [(2, 2), (2, 1), (3, 2), (1, 3)])
def test_max_pool_equals_torch(f, stride):
    image = np.random.default_rng(1).standard_normal((7, 7))
    reference = F.max_pool2d(torch.from_numpy(image)[None, None], f, stride)[0, 0]
    np.testing.assert_allclose(c.max_pool(image, f, stride), reference.numpy(), **TIGHT)


def test_the_examples_of_the_chapter_in_torch():
    got = c.numbers()
    assert got["cross"] == torch_conv(c.CROSS, c.F_CROSS, 0, 1, 0).item() == 12
    assert got["l_shape"] == torch_conv(c.L_SHAPE, c.F_CROSS, 0, 1, 0).item() == 5
    assert got["volume"] == torch_conv(c.VOLUME, c.F_VOLUME, -2, 1, 0).item() == -3
    parts = [got[f"volume_channel_{k}"] for k in (1, 2, 3)]
    assert parts == [16, -23, 6]


def test_numbers_by_paper():
    want = {"cross": 2 + 2 + 4 + 1 + 3, "l_shape": 5, "volume": -3}
    want |= {f"volume_channel_{k}": v for k, v in ((1, 16), (2, -23), (3, 6))}
    grids = {
        "figure3": [[4, -1, 7], [2, 7, 0], [0, 4, -1]],
        "figure5": [[4, 7], [0, -1]],
        "figure6": [[-1, 1, 5], [1, 7, 1], [1, 0, 0]],
        "figure8": [[8, 6], [5, 9]],
    }
    for name, grid in grids.items():
        for r, row in enumerate(grid, start=1):
            want |= {f"{name}_{r}{k}": v for k, v in enumerate(row, start=1)}
    want |= {"figure6_pixels_second_window": 0, "pooling_values_left": 0.25}
    want |= {"pooling_filter_parameters": 5}
    want |= {"side_s1_p0": 3, "side_s2_p0": 2, "side_s2_p1": 3, "side_s2_p2": 4}
    want |= {"side_s1_p2": 7, "dense_1000_1000": 1_001_000, "dense_500_300": 150_300}
    want["dense_figure1"] = 12 + 20 + 5
    assert c.numbers() == want


@pytest.mark.parametrize("sizes", [(3, 2), (2, 4, 4, 1), (7, 1, 5)])
def test_dense_parameters_equal_torch(sizes):
    net = [torch.nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
    count = sum(p.numel() for layer in net for p in layer.parameters())
    assert c.dense_parameters(*sizes) == count


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"stride >= 1, padding >= 0, got 0 and 1$"):
        c.out_side(4, 2, 0, 1)
    with pytest.raises(ValueError, match=r"stride >= 1, padding >= 0, got 1 and -1$"):
        c.out_side(4, 2, 1, -1)
    with pytest.raises(ValueError, match="f is 7, expected 1 to 6, the padded side"):
        c.out_side(4, 7, 1, 1)
    with pytest.raises(ValueError, match="f is 0, expected 1 to 4"):
        c.out_side(4, 0, 1, 0)
    assert c.out_side(4, 6, 1, 1) == 1  # a window as large as the padded image fits
    with pytest.raises(
        ValueError, match=r"image has shape \(4, 4\), expected \(D, n, n"
    ):
        c.patches(np.zeros((4, 4)), 2, 1, 0)
    with pytest.raises(
        ValueError, match=r"image has shape \(1, 4, 3\), expected \(D, "
    ):
        c.patches(np.zeros((1, 4, 3)), 2, 1, 0)
    with pytest.raises(
        ValueError, match=r"F has shape \(2, 2, 2\), expected \(1, f, f"
    ):
        c.convolve(c.IMAGE, np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match=r"F has shape \(1, 2, 3\), expected"):
        c.convolve(c.IMAGE, np.zeros((1, 2, 3)))


def test_the_examples_are_those_of_the_figures():
    """The matrices once more, row by row: a wrong entry may leave the result right."""
    drawn = {
        "CROSS": "010 111 010",
        "L_SHAPE": "100 100 111",
        "F_CROSS": "023 241 030",
        "IMAGE": "1001 1010 1100 0101",
    }
    for name, rows in drawn.items():
        want = [[[int(digit) for digit in row] for row in rows.split()]]
        np.testing.assert_array_equal(getattr(c, name), want)
    pooled = [[3, 8, 1, 4], [5, 2, 6, -1], [-3, 5, 9, 1], [4, 5, 7, 2]]
    assert c.POOLED.tolist() == pooled
    channels = c.VOLUME.reshape(3, 4).tolist()
    assert channels == [[3, 1, 4, 1], [2, -1, -3, 1], [1, -1, 2, -1]]
    assert c.F_VOLUME.reshape(3, 4).tolist() == [[-2, 3, 5, -1]] * 3
