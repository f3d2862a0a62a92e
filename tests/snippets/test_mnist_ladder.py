"""snippets/mnist_ladder.py: networks against a loop written out, files written here."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import mnist_ladder as ml

CLOSE = {"rtol": 0, "atol": 1e-10}


def by_hand(rung, p, x):
    """Scores from the parameters in their order, without dropout."""
    act = torch.relu if rung.relu else torch.sigmoid
    h, p = x, list(p)
    for _ in rung.maps:
        z = F.conv2d(h, p.pop(0), p.pop(0))
        B, K, side, _ = z.shape
        h = act(z.reshape(B, K, side // 2, 2, side // 2, 2).amax((3, 5)))
    h = h.reshape(len(x), -1)
    for _ in rung.dense:
        h = act(h @ p.pop(0).T + p.pop(0))
    return h @ p.pop(0).T + p.pop(0)


def cost(p, rung, x, y):
    scores = by_hand(rung, p, x)
    return (scores.logsumexp(1) - scores[range(len(y)), y]).mean()


@pytest.mark.parametrize("k", [0, 1, 2, 3, 6])
def test_two_updates_against_a_loop_written_out(k):
    rung = replace(ml.LADDER[k], dense=ml.LADDER[k].dense[:1] and (7, 5)[: 1 + (k > 5)])
    rung = replace(rung, maps=rung.maps and (3, 4)[: len(rung.maps)], lam=0.7)
    g = torch.Generator().manual_seed(0)
    model = ml.network(rung).double()
    p = [torch.randn(q.shape, generator=g).double() * 0.2 for q in model.parameters()]
    with torch.no_grad():
        for mine, theirs in zip(model.parameters(), p, strict=True):
            mine.copy_(theirs)
    descent = ml.optimizer(model, rung, m=5)
    for _ in range(2):
        x = torch.rand(4, 1, 28, 28, generator=g, dtype=torch.float64)
        y = torch.randint(0, 10, (4,), generator=g)
        torch.testing.assert_close(model(x), by_hand(rung, p, x), **CLOSE)
        descent.zero_grad()
        F.cross_entropy(model(x), y).backward()
        descent.step()
        grads = torch.func.grad(cost)(tuple(p), rung, x, y)
        for i, (w, d) in enumerate(zip(list(p), grads, strict=True)):
            shrunk = w if w.dim() == 1 else (1 - rung.eta * 0.7 / 5) * w
            p[i] = shrunk - rung.eta * d
    for mine, theirs in zip(model.parameters(), p, strict=True):
        torch.testing.assert_close(mine.detach(), theirs, **CLOSE)


def test_dropout_hides_the_inputs_of_dense_layers():
    model = ml.network(replace(ml.LADDER[7], dropout=0.25))
    names = [type(part).__name__ for part in model]
    block = ["Conv2d", "MaxPool2d", "ReLU"]
    dense = ["Dropout", "Linear", "ReLU"]
    assert names == [*block, *block, "Flatten", *dense, *dense, "Dropout", "Linear"]
    assert [part.p for part in model if isinstance(part, torch.nn.Dropout)] == [
        0.25
    ] * 3
    names = [type(part).__name__ for part in ml.network(ml.LADDER[2])]
    assert names.count("Sigmoid") == 3


def test_the_ladder():
    assert [r.eta for r in ml.LADDER] == [0.1] * 3 + [0.03] * 5
    assert [r.lam for r in ml.LADDER] == [0] * 3 + [0.1] * 4 + [0]
    assert [r.shifted for r in ml.LADDER] == [False] * 4 + [True] * 4
    assert [r.relu for r in ml.LADDER] == [False] * 3 + [True] * 5
    assert [r.epochs for r in ml.LADDER] == [60] * 7 + [40]
    assert [r.dropout for r in ml.LADDER] == [0] * 7 + [0.5]


def test_numbers_by_hand():
    n = ml.numbers()
    assert n["parameters_1"] == 784 * 100 + 100 + 100 * 10 + 10 == 79_510
    assert n["parameters_2"] == 520 + 2880 * 100 + 100 + 1010 == 289_630
    assert n["parameters_3"] == n["parameters_4"] == n["parameters_5"] == 85_670
    assert n["parameters_6"] == 520 + 20_040 + 641_000 + 10_010
    assert n["parameters_7"] == n["parameters_8"] == n["parameters_6"] + 1_001_000
    assert n["parameters_9"] == 5 * n["parameters_8"]
    assert n["parameters_dense_300"] == 215_870
    assert n["parameters_dense_100_100"] == 95_770
    assert n["parameters_dense_300_300"] == 306_170
    assert (n["map_parameters"], n["layer_parameters"]) == (26, 520)
    assert n["dense_30_parameters"] == 23_550
    assert n["saved_times"] == 23_550 / 520
    assert (n["dense_inputs_2"], n["dense_inputs_3"]) == (2880, 640)
    assert (n["places"], n["pooled"], n["expanded"]) == (24, 12, 250_000)
    assert n["lambda_of_chapter_3"] == pytest.approx(1)


def test_init_has_the_deviation_it_says():
    for relu, gain in ((False, 4), (True, 2**0.5)):
        model = ml.network(replace(ml.LADDER[2], relu=relu, dense=(300,)))
        ml.init(model, relu, torch.Generator().manual_seed(0))
        p = list(model.parameters())
        for w, b, n in zip(p[::2], p[1::2], (25, 500, 640), strict=False):
            assert w.std().item() == pytest.approx(gain / n**0.5, rel=0.08)
            assert abs(w.mean().item()) < 0.2 * gain / n**0.5
            assert not b.any()
        assert not p[-1].any()
        assert not p[-2].any()


def test_shifted_copies_by_hand():
    x = torch.tensor([[[[1.0, 2], [3, 4]]]])
    assert ml.shifted_copies(x)[:, 0].tolist() == [
        [[1, 2], [3, 4]],
        [[0, 0], [1, 2]],
        [[3, 4], [0, 0]],
        [[0, 1], [0, 3]],
        [[2, 0], [4, 0]],
    ]


def test_accuracy_is_measured_without_dropout():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5))
    x = torch.zeros(1500, 1, 2, 5)
    y = torch.arange(1500) % 10
    x.view(1500, 10)[range(1500), y] = 1
    assert ml.accuracy(model, (x, y)) == 100
    assert ml.accuracy(model, (x[:8], (y[:8] + (y[:8] > 5)) % 10)) == 75
    assert model.training


# Small images of bars: the digit says where


def bars(n, seed):
    rng = np.random.default_rng(seed)
    y = np.arange(n, dtype=np.uint8) % 10
    x = rng.integers(0, 100, (n, 28, 28), dtype=np.uint8)
    for image, digit in zip(x, y, strict=True):
        image[2 + 2 * digit : 6 + 2 * digit, 4:24] = 255
    return x, y


def write(path, values, kind=8):
    head = bytes([0, 0, kind, values.ndim])
    path.write_bytes(head + np.array(values.shape, ">u4").tobytes() + values.tobytes())


@pytest.fixture
def folder(tmp_path):
    for name, n, seed in (("train", 60, 0), ("t10k", 30, 1)):
        x, y = bars(n, seed)
        write(tmp_path / f"{name}-images-idx3-ubyte", x)
        write(tmp_path / f"{name}-labels-idx1-ubyte", y)
    return tmp_path


def test_reads_what_was_written(folder):
    parts = ml.mnist(folder)
    assert [len(y) for _, y in parts] == [50, 10, 30]
    x, y = bars(60, 0)
    images = torch.cat([parts[0][0], parts[1][0]])
    assert images.shape == (60, 1, 28, 28)
    assert images.dtype == torch.float32
    torch.testing.assert_close(images[:, 0], torch.tensor(x).float() / 255)
    assert torch.cat([parts[0][1], parts[1][1]]).tolist() == y.tolist()
    torch.testing.assert_close(parts[2][0][:, 0], torch.tensor(bars(30, 1)[0]) / 255)
    array = np.arange(3 * 300, dtype=np.uint8).reshape(3, 300)
    write(folder / "array", array)
    np.testing.assert_array_equal(ml.read_idx(folder / "array"), array)


def test_reads_gzip_files_too(folder):
    path = folder / "train-images-idx3-ubyte"
    plain = ml.read_idx(path)
    packed = folder / (path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    np.testing.assert_array_equal(ml.read_idx(path), plain)
    packed.rename(path)  # packed, but not named so
    np.testing.assert_array_equal(ml.read_idx(path), plain)


def test_each_fault_of_a_file_is_named(tmp_path):
    path = tmp_path / "file"

    def fault(data, message):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            ml.read_idx(path)

    with pytest.raises(ValueError, match=r"neither file nor file\.gz there"):
        ml.read_idx(path)
    fault(b"", "file: not an IDX file of bytes, it begins b''")
    fault(b"\0\0\x08", "not an IDX file")
    fault(b"\0\0\x08\0", "not an IDX file")  # no axes
    fault(b"\0\0\x0d\x01\0\0\0\x01\0", r"it begins b'\\x00\\x00\\r\\x01'")  # floats
    fault(b"\x01\0\x08\x01\0\0\0\x01\0", "not an IDX file")
    fault(
        b"\0\0\x08\x02\0\0\0\x01\0\0", "not an IDX file"
    )  # half of an axis is missing
    fault(b"\0\0\x08\x01\0\0\0\x03ab", r"2 bytes of data for axes \[3\]")
    fault(b"\0\0\x08\x01\0\0\0\x01ab", r"2 bytes of data for axes \[1\]")
    fault(b"\0\0\x08\x01\xff\0\0\0ab", r"for axes \[4278190080\]")
    whole = gzip.compress(b"\0\0\x08\x01\0\0\0\x02ab")
    fault(whole[:-9], "file: damaged gzip file")  # cut off: EOFError
    fault(whole[:-8] + bytes(8), "damaged gzip file")  # checksum: OSError
    fault(whole[:10] + b"\xff" * 9, "damaged gzip file")  # zlib.error
    path.write_bytes(b"\0\0\x08\x01\0\0\0\x00")
    assert ml.read_idx(path).shape == (0,)
    fault(b"\0\0\x08\x01", "not an IDX file")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("images-idx3", np.zeros((60, 28, 27), np.uint8)),
        ("images-idx3", np.zeros((59, 28, 28), np.uint8)),
        ("labels-idx1", np.full(60, 10, np.uint8)),
        ("labels-idx1", np.zeros(61, np.uint8)),
    ],
)
def test_files_that_are_not_mnist_are_refused(folder, name, values):
    write(folder / f"train-{name}-ubyte", values)
    with pytest.raises(ValueError, match=r"expected at least six .* in train, each"):
        ml.mnist(folder)


def test_five_images_are_too_few(folder):
    for n, enough in ((5, False), (6, True)):
        write(folder / "t10k-images-idx3-ubyte", np.zeros((n, 28, 28), np.uint8))
        write(folder / "t10k-labels-idx1-ubyte", np.full(n, 9, np.uint8))
        if enough:
            assert len(ml.mnist(folder)[2][1]) == 6
        else:
            with pytest.raises(
                ValueError, match=r"got images \(5, 28, 28\) and labels"
            ):
                ml.mnist(folder)


def test_training_by_hand(monkeypatch):
    """Two epochs of two updates, against a loop written out; the rest is left over."""
    rung = ml.Rung((), (7,), relu=True, eta=0.5, lam=0.3, shifted=True, epochs=2)
    x, y = torch.rand(3, 1, 28, 28), torch.tensor([1, 2, 3])
    models, lines = [], []

    def record(model, part):
        models.append([p.detach().clone() for p in model.parameters()])
        return 12.5 if part is test else 0.0

    monkeypatch.setattr(ml, "accuracy", record)
    validation, test = (x, y), (x, y)
    assert ml.train(rung, [(x, y), validation, test], 7, 7, lines.append) == 12.5
    # never right in validation: the last of equals counts
    said = "validation 0.00 %, test at the best 12.50 %"
    assert lines == [f"epoch 1: {said}", f"epoch 2: {said}"]

    model, g = ml.network(rung), torch.Generator().manual_seed(7)
    ml.init(model, True, g)
    order = torch.randperm(15, generator=g)
    copies, labels = ml.shifted_copies(x), torch.cat([y] * 5)
    descent = torch.optim.SGD(model.parameters(), lr=0.5)
    weights = [p for p in model.parameters() if p.dim() > 1]
    for k in (0, 1, 0, 1):
        picked = order[7 * k : 7 * k + 7]
        descent.zero_grad()
        penalty = sum((w**2).sum() for w in weights) * 0.3 / (2 * 2)
        (F.cross_entropy(model(copies[picked]), labels[picked]) + penalty).backward()
        descent.step()
    for mine, theirs in zip(model.parameters(), models[-1], strict=True):
        torch.testing.assert_close(mine.detach(), theirs, rtol=0, atol=1e-5)


def test_the_test_counts_where_validation_was_best(monkeypatch):
    rung = replace(ml.LADDER[0], epochs=5)
    part, validation, test = (
        (torch.zeros(4, 1, 28, 28), torch.zeros(4).long()) for _ in range(3)
    )
    said = {id(validation): iter((50, 60, 60, 55, 59.5)), id(test): iter((1, 2, 3, 4))}
    monkeypatch.setattr(ml, "accuracy", lambda model, part: next(said[id(part)]))
    lines = []
    assert ml.train(rung, [part, validation, test], 0, 4, lines.append) == 3
    assert [line.split()[-2] for line in lines] == ["1.00", "2.00", *["3.00"] * 3]


def test_dropout_is_drawn_from_the_seed():
    rung = replace(ml.LADDER[7], dense=(20,), shifted=False, epochs=1, eta=0.1)
    x, y = (torch.tensor(part) for part in bars(100, 0))
    part = (x[:, None].float() / 255, y.long())
    runs = [ml.train(rung, [part] * 3, seed, 10, str) for seed in (0, 0)]
    assert runs[0] == runs[1]


def test_a_rung_from_the_files(folder, capsys):
    argv = ["--mnist", str(folder), "--epochs", "3", "--rung", "4", "--seed", "1"]
    result = ml.main(argv)
    assert set(result) == {"test_accuracy"}
    assert 0 <= result["test_accuracy"] <= 100
    printed = capsys.readouterr().out
    assert printed.startswith("epoch 1: validation ")
    assert len(printed.splitlines()) == 3
    rung = replace(ml.LADDER[3], epochs=3)
    assert ml.train(rung, ml.mnist(folder), 1, 10) == result["test_accuracy"]
    usual = ml.main(["--mnist", str(folder), "--epochs", "1"])
    rung = replace(ml.LADDER[2], epochs=1)
    assert ml.train(rung, ml.mnist(folder), 0, 10) == usual["test_accuracy"]
    ml.main(["--mnist", str(folder), "--epochs", "1", "--rung", "1"])
    assert ml.main([]) == ml.numbers()
    assert torch.get_num_threads() == 1


def test_what_the_program_says_about_bad_arguments(folder, capsys):
    for argv, message in (
        (["--mnist", str(folder / "nowhere")], "neither train-images-idx3-ubyte nor"),
        (["--mnist", str(folder), "--epochs", "0"], "expected epochs >= 1"),
        (["--rung", "9"], "invalid choice: 9"),
        (["--rung", "0"], "invalid choice: 0"),
    ):
        with pytest.raises(SystemExit):
            ml.main(argv)
        assert message in capsys.readouterr().err


def test_bad_batches_are_named():
    part = (torch.zeros(4, 1, 28, 28), torch.zeros(4, dtype=torch.int64))
    for epochs, batch in ((0, 2), (1, 0), (1, 5)):
        message = f"batch of 1 to 4 images, got {epochs} and {batch}"
        with pytest.raises(ValueError, match=message):
            ml.train(replace(ml.LADDER[0], epochs=epochs), [part] * 3, 0, batch)
    one_epoch = replace(ml.LADDER[0], epochs=1)
    for batch in (1, 4):
        assert ml.train(one_epoch, [part] * 3, 0, batch, str) == 100
