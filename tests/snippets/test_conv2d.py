"""snippets/conv2d.py against PyTorch, autograd, SciPy and by hand."""

import numpy as np
import pytest
import torch
from scipy.signal import convolve, correlate2d
from torch.nn import functional

import conv2d

TIGHT = {"rtol": 1e-10, "atol": 1e-10}
# H, W, FH, FW, stride, pad, dilation: square and not, fitting and not
SHAPES = [
    (6, 6, 3, 3, 1, 0, 1),
    (7, 6, 3, 2, 2, 1, 1),
    (9, 8, 2, 3, 3, 2, 2),
    (5, 5, 1, 1, 2, 0, 1),
    (8, 11, 3, 4, 1, 1, 3),
]


def case(H, W, FH, FW, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 3, H, W))
    w = rng.standard_normal((4, 3, FH, FW))
    return x, w, rng.standard_normal(4), rng


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward_equal_torch(shape):
    H, W, FH, FW, *how = shape
    x, w, b, rng = case(H, W, FH, FW)
    y, backward = conv2d.conv2d(x, w, b, *how)
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, w, b)]
    stride, pad, dilation = how
    ref = functional.conv2d(*tensors, stride=stride, padding=pad, dilation=dilation)
    np.testing.assert_allclose(y, ref.detach(), **TIGHT)
    dy = rng.standard_normal(y.shape)
    ref.backward(torch.from_numpy(dy))
    for ours, tensor in zip(backward(dy), tensors, strict=True):
        np.testing.assert_allclose(ours, tensor.grad, **TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
def test_loops_equal_torch(shape):
    H, W, FH, FW, stride, pad, dilation = shape
    x, w, b, _ = case(H, W, FH, FW)
    ref = functional.conv2d(
        *map(torch.from_numpy, (x, w, b)),
        stride=stride,
        padding=pad,
        dilation=dilation,
    )
    ours = conv2d.conv2d_naive(x, w, b, stride, pad, dilation)
    np.testing.assert_allclose(ours, ref, **TIGHT)


@pytest.mark.parametrize("function", [conv2d.conv2d, conv2d.conv2d_naive])
def test_left_out_they_are_stride_1_no_padding_no_dilation(function):
    x, w, b, _ = case(6, 7, 3, 2)
    y = function(x, w, b)
    y = y[0] if isinstance(y, tuple) else y
    ref = functional.conv2d(*map(torch.from_numpy, (x, w, b)))
    np.testing.assert_allclose(y, ref, **TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
def test_im2col_equals_unfold_and_col2im_is_fold(shape):
    H, W, FH, FW, stride, pad, dilation = shape
    x, _, _, rng = case(H, W, FH, FW)
    how = {"stride": stride, "padding": pad, "dilation": dilation}
    ours = conv2d.im2col(x, FH, FW, stride, pad, dilation)
    ref = functional.unfold(torch.from_numpy(x), (FH, FW), **how)
    np.testing.assert_array_equal(ours, ref)
    cols = rng.standard_normal(ours.shape)
    folded = functional.fold(torch.from_numpy(cols), (H, W), (FH, FW), **how)
    back = conv2d.col2im(cols, x.shape, FH, FW, stride, pad, dilation)
    np.testing.assert_allclose(back, folded, **TIGHT)


def test_im2col_left_out():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    cols = conv2d.im2col(x, 2, 2)
    np.testing.assert_array_equal(cols[0].T[0], [0, 1, 3, 4])
    np.testing.assert_array_equal(cols[0].T[3], [4, 5, 7, 8])
    back = conv2d.col2im(cols, x.shape, 2, 2)  # each pixel times its windows
    counts = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    np.testing.assert_array_equal(back[0, 0], x[0, 0] * counts)


def test_one_plane_is_scipys_correlation_and_not_its_convolution():
    x, w, _, _ = case(7, 8, 3, 3)
    y = conv2d.conv2d(x[:, :1], w[:, :1])[0]
    ref = correlate2d(x[0, 0], w[0, 0], mode="valid")
    np.testing.assert_allclose(y[0, 0], ref, **TIGHT)
    flipped = convolve(x[0, 0], w[0, 0], mode="valid")
    assert np.abs(y[0, 0] - flipped).max() > 0.1


def test_types_are_kept():
    x, w, b, _ = (a.astype(np.float32) for a in (*case(6, 6, 3, 3)[:3], np.zeros(1)))
    y, backward = conv2d.conv2d(x, w, b)
    found = {a.dtype for a in (y, *backward(y), conv2d.conv2d(x, w)[0])}
    assert found == {np.dtype(np.float32)}
    assert conv2d.conv2d_naive(x, w, b).dtype == np.float32
    assert conv2d.conv2d_naive(x.astype(int), w.astype(float), b).dtype == float
    assert conv2d.conv2d_naive(x.astype(float), w.astype(int), b).dtype == float
    whole = np.ones((1, 1, 1, 1), int)  # a bias of 1/2 is not cut off
    assert conv2d.conv2d_naive(whole, whole, np.array([0.5])).item() == 1.5


@pytest.mark.parametrize(
    ("size", "want"),
    [
        ((7, 3), 5),
        ((7, 3, 2), 3),
        ((5, 3, 2, 1), 3),
        ((10, 3, 2), 4.5),
        ((5, 3, 3, 1), 7 / 3),
        ((7, 3, 1, 0, 2), 3),
        ((9, 3, 2, 0, 3), 2),
        ((1, 1), 1),
        ((1, 3, 1, 1), 1),
    ],
)
def test_places(size, want):
    assert conv2d.places(*size) == pytest.approx(want, rel=1e-15)
    assert conv2d.out_size(*size) == int(want)
    if want == int(want):
        assert conv2d.out_size(*size, must_fit=True) == want


@pytest.mark.parametrize("bad", [(7, 3, 0), (0, 1), (7, 0), (7, 3, 1, 0, 0)])
def test_sizes_below_one_are_named(bad):
    with pytest.raises(ValueError, match=r"^(W|F|stride|dilation) is 0, expected at"):
        conv2d.places(*bad)


def test_each_size_is_named():
    for index, name in enumerate(["W", "F", "stride", "dilation"]):
        sizes = [5, 3, 1, 1]
        sizes[index] = 0
        W, F, stride, dilation = sizes
        with pytest.raises(ValueError, match=f"^{name} is 0, expected at least 1$"):
            conv2d.places(W, F, stride, 0, dilation)


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match=r"^pad is -1, expected at least 0$"):
        conv2d.places(5, 3, 1, -1)
    with pytest.raises(ValueError, match=r"^the filter spans 5 of 4 padded pixels$"):
        conv2d.places(2, 3, 1, 1, 2)
    with pytest.raises(ValueError, match=r"^4.5 places: stride 2 does not fit$"):
        conv2d.out_size(10, 3, 2, must_fit=True)


def test_bad_shapes_are_named():
    x, w, b, _ = case(6, 6, 3, 3)
    wanted = r"expected \(N, C, H, W\) and \(K, C, FH, FW\)$"
    for bad in ((x[0], w), (x, w[0]), (x[:, :2], w)):
        for layer in (conv2d.conv2d, conv2d.conv2d_naive):
            with pytest.raises(ValueError, match=rf"^x has .* and w .*, {wanted}"):
                layer(*bad, b)
    with pytest.raises(ValueError, match=r"^x has shape .* and w .*, expected"):
        conv2d.conv2d_naive(x, w[:, :1], b)  # one channel would broadcast
    for layer in (conv2d.conv2d, conv2d.conv2d_naive):
        with pytest.raises(ValueError, match=r"^b has shape \(3,\), expected \(4,\)$"):
            layer(x, w, b[:3])
    y, backward = conv2d.conv2d(x, w, b)
    with pytest.raises(ValueError, match=r"^dy has shape .*expected \(2, 4, 4, 4\)$"):
        backward(y[:1])


def test_locally_connected_has_a_filter_for_each_place():
    x, w, _, rng = case(5, 5, 3, 3)
    cols = conv2d.im2col(x, 3, 3)
    shared = np.broadcast_to(w.reshape(1, 4, -1), (9, 4, 27))
    y = conv2d.locally_connected(cols, shared)
    ref = functional.conv2d(torch.from_numpy(x), torch.from_numpy(w)).flatten(2)
    np.testing.assert_allclose(y, ref, **TIGHT)
    own = rng.standard_normal((9, 4, 27))
    window = x[1, :, 1:4, 2:5].ravel()  # place 5: row 1, column 2
    y = conv2d.locally_connected(cols, own)
    np.testing.assert_allclose(y[1, :, 5], own[5] @ window, **TIGHT)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_weight_gradient_is_a_correlation_that_flips_nothing(stride):
    x, w, _, rng = case(3 + 3 * stride, 2 + 2 * stride, 3, 2)
    tw = torch.from_numpy(w).requires_grad_()
    y = functional.conv2d(torch.from_numpy(x), tw, stride=stride)
    dy = rng.standard_normal(y.shape)
    y.backward(torch.from_numpy(dy))
    ours = conv2d.weight_gradient(x, dy, stride)
    np.testing.assert_allclose(ours, tw.grad, **TIGHT)
    if stride == 1:
        np.testing.assert_allclose(conv2d.weight_gradient(x, dy), ours, **TIGHT)


def test_the_data_gradient_is_a_correlation_with_the_filters_flipped():
    x, w, _, rng = case(6, 7, 3, 2)
    tx = torch.from_numpy(x).requires_grad_()
    y = functional.conv2d(tx, torch.from_numpy(w))
    dy = rng.standard_normal(y.shape)
    y.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(conv2d.data_gradient(dy, w), tx.grad, **TIGHT)


def test_the_picture_of_the_source_by_hand():
    # 0 1 2 -1 1 -3 0 with [1, 0, -1]: left neighbour minus right neighbour
    np.testing.assert_array_equal(conv2d.stride_picture(1), [-2, 2, 1, 2, 1])
    np.testing.assert_array_equal(conv2d.stride_picture(2), [-2, 1, 1])


def test_the_demonstration_holds_small_whole_numbers():
    x, w, b = conv2d.demo()
    assert (x.shape, w.shape, b.tolist()) == ((1, 3, 5, 5), (2, 3, 3, 3), [1, 0])
    assert (x.dtype, w.dtype) == (float, float)
    assert set(x.ravel()) == {0, 1, 2}
    assert set(w.ravel()) == {-1, 0, 1}
    for c, i, j in np.ndindex(3, 5, 5):
        assert x[0, c, i, j] == (2 * i**2 + j**2 + i * j + c * (i + 2 * j + 1)) % 3
    for k, c, i, j in np.ndindex(2, 3, 3, 3):
        assert w[k, c, i, j] == (i + 2 * j**2 + i * j + c + k * (i + 1)) % 3 - 1


def test_numbers_by_other_means():
    """All that the page quotes: by paper and pencil, SciPy and PyTorch."""
    found = conv2d.numbers()
    want = {
        "places_w7_f3_s1_p0": 5,
        "places_w7_f3_s2_p0": 3,
        "places_w5_f3_s1_p1": 5,
        "places_w5_f3_s2_p1": 3,
        "places_w5_f3_s1_p0": 3,
        "places_w5_f3_s3_p1": 7 / 3,
        "places_w10_f3_s2_p0": 4.5,
        "places_w227_f11_s4_p0": 55,
        "places_w224_f11_s4_p0": 54.25,
        "places_w11_f5_s2_p0": 4,
        "places_w12_f7_s1_p0": 6,
        "alexnet_width_that_fits": 54 * 4 + 11,
        "alexnet_missing_pixels": 3,
        "alexnet_places_torchvision": 55,
        "same_pad_f3": 1,
        "same_pad_f5": 2,
        "im2col_rows": 11 * 11 * 3,
        "im2col_columns": 55 * 55,
        "im2col_numbers": 363 * 3025,
        "im2col_copies_per_pixel": 363 * 3025 / (227 * 227 * 3),
        "product_rows": 96,
        "im2col_numbers_32_f3": 27 * 1024,
        "weights_1x1_depth3": 3,
        "dilation_1_first": 321,
        "dilation_2_first": 531,
        "dilation_of_a_gap_of_one": 2,
        "demo_side": 3,
        "demo_pixels_corner": 12,
        "demo_pixels_edge": 18,
        "demo_pixels_centre": 27,
        **{
            f"picture_true_convolution_{n}": y
            for n, y in enumerate([2, -2, -1, -2, -1], 1)
        },
        "data_gradient_gap": 0,
        "weight_gradient_gap": 0,
    }
    for stride, outputs in ((1, [-2, 2, 1, 2, 1]), (2, [-2, 1, 1])):
        for n, y in enumerate(outputs, start=1):
            want[f"picture_s{stride}_{n}"] = y
    x, w, b = map(torch.from_numpy, conv2d.demo())
    for (k, i, j), y in np.ndenumerate(functional.conv2d(x, w, b, 2, 1)[0]):
        want[f"demo_{k + 1}_{i + 1}_{j + 1}"] = y
    for gap in ("data_gradient_gap_unflipped", "weight_gradient_gap_flipped"):
        assert found.pop(gap) > 1  # see the next test
    assert found == pytest.approx(want, rel=1e-12, abs=1e-12)


def test_the_gaps_are_those_of_autograd():
    """The two ways of flipping that are wrong, from the same seed."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((2, 3, 8, 8))).requires_grad_()
    w = torch.from_numpy(rng.standard_normal((4, 3, 3, 3))).requires_grad_()
    y = functional.conv2d(x, w)
    dy = torch.from_numpy(rng.standard_normal(y.shape))
    y.backward(dy)
    unflipped = functional.conv2d(dy, w.detach().swapaxes(0, 1), padding=2)
    swapped = dy.flip(2, 3).swapaxes(0, 1)
    flipped = functional.conv2d(x.detach().swapaxes(0, 1), swapped).swapaxes(0, 1)
    found = conv2d.numbers()
    gap = float((unflipped - x.grad).abs().max())
    assert found["data_gradient_gap_unflipped"] == pytest.approx(gap, rel=1e-10)
    gap = float((flipped - w.grad).abs().max())
    assert found["weight_gradient_gap_flipped"] == pytest.approx(gap, rel=1e-10)
