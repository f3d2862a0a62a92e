"""Our NumPy against torch's kernels or loops: the same arrays, in turns, one thread.

The LSTM has 128 inputs and 128 units; attention has heads of width 128 and no mask; the
convolution has 32 filters of 3 x 3 on 16 channels of "length" by "length" pixels and a
padding of 1, and "by loops" is the same layer without im2col. "Second layer" is that of
Escontrela's network, 8 filters of 5 x 5 on 8 channels of 24 x 24 pixels, all images at
once, against the loops of his code, image by image. The ratio is of median times.
"growth" is the exponent of the time against the length since the line before: 1
is linear, 2 quadratic.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tools.bench import ONE_THREAD, ROOT, Row

WIDTH, LENGTH = 128, 100
BATCHES = (1, 8, 32)
SIDE, CHANNELS, FILTERS = 32, 16, 32
LAYER_SIDE = 24
LENGTHS = (64, 128, 256, 512, 1024)
SECONDS = 0.6  # for each pair, at least five turns

Pair = tuple[Callable[[], object], Callable[[], object]]  # ours, the other's


def measure(site: Path) -> list[Row]:
    """Measured in a process of its own: the number of threads is set as it starts."""
    process = subprocess.run(
        [sys.executable, "-m", "tools.bench.ratios"],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": "snippets"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(process.stdout)


def lstm_pairs(dtype: str, batch: int, length: int) -> dict[str, Pair]:
    """Forward, and forward with backward, from the output's gradient to all others."""
    import numpy as np
    import torch

    import lstm

    rng = np.random.default_rng(0)
    p = lstm.init_params(WIDTH, WIDTH, rng)
    p = {name: value.astype(dtype) for name, value in p.items()}
    x, dhs = rng.standard_normal((2, length, batch, WIDTH)).astype(dtype)
    net = torch.nn.LSTM(WIDTH, WIDTH, dtype=getattr(torch, dtype))
    tx, tdhs = torch.from_numpy(x).requires_grad_(), torch.from_numpy(dhs)
    with torch.no_grad():  # the same weights: work must not depend on the numbers
        W, b = (np.concatenate([p[k + gate] for gate in "ifCo"]) for k in ("W_", "b_"))
        net.weight_hh_l0.copy_(torch.from_numpy(W[:, :WIDTH]))
        net.weight_ih_l0.copy_(torch.from_numpy(W[:, WIDTH:]))
        net.bias_ih_l0.copy_(torch.from_numpy(b))
        net.bias_hh_l0.zero_()
        expected = net(tx)[0].numpy()
    np.testing.assert_allclose(lstm.lstm(p, x)[0], expected, atol=1e-5)

    def torch_forward() -> None:
        with torch.no_grad():
            net(tx)

    def torch_both() -> None:
        net.zero_grad()
        tx.grad = None
        net(tx)[0].backward(tdhs)

    return {
        "LSTM forward": (lambda: lstm.lstm(p, x), torch_forward),
        "LSTM forward, backward": (lambda: lstm.lstm(p, x)[3](dhs), torch_both),
    }


def attention_pairs(dtype: str, heads: int, length: int) -> dict[str, Pair]:
    """Scaled dot-product attention of (heads, length, width) arrays."""
    import numpy as np
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    import attention

    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((3, 1, heads, length, WIDTH)).astype(dtype)
    tensors = [torch.from_numpy(array) for array in (q, k, v)]
    expected = scaled_dot_product_attention(*tensors).numpy()
    np.testing.assert_allclose(attention.attention(q, k, v)[0], expected, atol=1e-5)
    return {
        "attention": (
            lambda: attention.attention(q, k, v),
            lambda: scaled_dot_product_attention(*tensors),
        )
    }


def convolution_pairs(dtype: str, batch: int, side: int) -> dict[str, Pair]:
    """Forward, by loops for a single image, and forward with backward."""
    import numpy as np
    import torch
    from torch.nn.functional import conv2d as torch_conv2d

    import conv2d

    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, CHANNELS, side, side)).astype(dtype)
    w = rng.standard_normal((FILTERS, CHANNELS, 3, 3)).astype(dtype)
    b = rng.standard_normal(FILTERS).astype(dtype)
    tensors = [torch.from_numpy(array).requires_grad_() for array in (x, w, b)]
    expected = torch_conv2d(*tensors, padding=1)
    y, _ = conv2d.conv2d(x, w, b, pad=1)
    np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-4)
    dy = rng.standard_normal(y.shape).astype(dtype)
    tdy = torch.from_numpy(dy)

    def torch_forward() -> None:
        with torch.no_grad():
            torch_conv2d(*tensors, padding=1)

    def torch_both() -> None:
        torch.autograd.grad(torch_conv2d(*tensors, padding=1), tensors, tdy)

    pairs: dict[str, Pair] = {
        "convolution forward": (
            lambda: conv2d.conv2d(x, w, b, pad=1),
            torch_forward,
        ),
        "convolution forward, backward": (
            lambda: conv2d.conv2d(x, w, b, pad=1)[1](dy),
            torch_both,
        ),
    }
    if batch == 1:
        pairs["convolution by loops, forward"] = (
            lambda: conv2d.conv2d_naive(x, w, b, pad=1),
            torch_forward,
        )
    return pairs


def loops_pairs(dtype: str, batch: int, side: int) -> dict[str, Pair]:
    """A layer with both gradients, vectorised and by loops, of up to 8 images."""
    if batch > BATCHES[1]:  # the loops would take seconds a turn
        return {}
    import numpy as np

    import cnn_loops
    import cnn_numpy

    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, 8, side, side)).astype(dtype)
    w = rng.standard_normal((8, 8, 5, 5)).astype(dtype)
    b = rng.standard_normal(8).astype(dtype)
    dy = rng.standard_normal((batch, 8, side - 4, side - 4)).astype(dtype)

    def vectorised() -> tuple[np.ndarray, ...]:
        y, backward = cnn_numpy.conv2d(x, w, b)
        return y, *backward(dy)

    def by_loops() -> tuple[np.ndarray, ...]:
        y = np.stack([cnn_loops.conv_loops(image, w, b) for image in x])
        grads = [
            cnn_loops.conv_loops_backward(d, image, w)
            for d, image in zip(dy, x, strict=True)
        ]
        dx, dw, db = map(np.stack, zip(*grads, strict=True))
        return y, dx, dw.sum(axis=0), db.sum(axis=0)

    for ours, theirs in zip(vectorised(), by_loops(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-2)
    return {"second layer forward, backward": (vectorised, by_loops)}


def timed(pair: Pair) -> tuple[float, float]:
    """Median milliseconds of ours and of the other's, in turns after a warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in pair:
        run()
    begun = time.perf_counter()
    while len(times[0]) < 5 or time.perf_counter() - begun < SECONDS:
        for run, found in zip(pair, times, strict=True):
            start = time.perf_counter()
            run()
            found.append(1000 * (time.perf_counter() - start))
    return median(times[0]), median(times[1])


def rows() -> list[Row]:
    """Ratios at one length, then growth with the length."""
    found: list[Row] = []
    for pairs, length in (
        (lstm_pairs, LENGTH),
        (attention_pairs, LENGTH),
        (convolution_pairs, SIDE),
        (loops_pairs, LAYER_SIDE),
    ):
        for dtype in ("float32", "float64"):
            for many in BATCHES:
                for what, pair in pairs(dtype, many, length).items():
                    line = row(what, dtype, many, length, *timed(pair))
                    if pairs is loops_pairs:
                        line["against"] = "loops"
                    found.append(line)
    for pairs, many in ((lstm_pairs, BATCHES[1]), (attention_pairs, BATCHES[1])):
        before: dict[str, Row] = {}
        for length in LENGTHS:
            for what, pair in pairs("float32", many, length).items():
                line = row(what, "float32", many, length, *timed(pair))
                if what in before:
                    line["growth"], line["other's"] = (
                        math.log(line[who] / before[what][who])
                        / math.log(length / before[what]["length"])
                        for who in ("ours ms", "other's ms")
                    )
                before[what] = line
                found.append(line)
    return found


def row(
    what: str, dtype: str, many: int, length: int, ours: float, theirs: float
) -> Row:
    """A line of the table; `many` is the batch of the LSTM, the heads of attention."""
    return {
        "what": what,
        "type": dtype,
        "batch or heads": many,
        "length": length,
        "against": "torch",
        "ours ms": ours,
        "other's ms": theirs,
        "ratio": ours / theirs,
        "growth": "",
        "other's": "",
    }


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    print(json.dumps(rows()))
