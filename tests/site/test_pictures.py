"""The pictures that answer: what they show is what the snippets compute."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

import attention
import compute_optimal
import conv2d
import gradient_clipping
import gradient_through_time
import hello_logits
import illustrated_transformer
import lstm
import minimal_gated_units
import selective_scan
import transformer_budget
from directives import fixed

SCRIPTS = Path(__file__).parents[2] / "docs/assets/pictures"
PAGES = {
    "hello": "recurrent/karpathy-rnn-effectiveness.html",
    "belt": "recurrent/olah-lstm.html",
    "reach": "deep-learning/vanishing-gradients.html",
    "wall": "deep-learning/exploding-gradients.html",
    "gate": "recurrent/heck-salem-mgu.html",
    "delta": "transformers/ayonrinde-mamba.html",
    "heads": "transformers/alammar-illustrated-transformer.html",
    "root": "transformers/vaswani-attention.html",
    "convolution": "convolutional/cs231n-convnets.html",
    "vocabulary": "transformers/vaswani-attention.html",
    "budget": "transformers/hoffmann-chinchilla.html",
}
PICTURES = pytest.mark.parametrize("name", PAGES)


def opened(page: Page, root: str, name: str) -> Locator:
    """The picture, on its page under `root`, on the screen."""
    page.goto(root + PAGES[name])
    script = page.locator(f"script[src$='/pictures/{name}.js']")
    picture = page.locator("figure.picture").filter(has=script)
    picture.scroll_into_view_if_needed()
    # what has not been laid out yet shows no words
    expect(picture).to_have_text(re.compile(r"\w"), use_inner_text=True)
    return picture


def cells(picture: Locator, part: str = "tbody") -> list[list[str]]:
    """The words of each row after its heading, whatever stands in one cell joined."""
    rows = picture.locator(f"{part} tr").all()
    return [
        [" ".join(text.split()) for text in row.locator("td").all_inner_texts()]
        for row in rows
    ]


def said(picture: Locator) -> str:
    return " ".join(picture.locator("output").inner_text().split())


# What each picture must show, by its snippet's own functions


def hello(temperature: float) -> tuple[list[list[str]], str]:
    p = hello_logits.softmax(hello_logits.SCORES, temperature)
    loss, _ = hello_logits.loss_and_gradient(
        hello_logits.SCORES / temperature, hello_logits.TARGETS
    )
    rows = [
        [
            *(f"{fixed(y, 1)} {q:.3f}" for y, q in zip(scores, p[t], strict=True)),
            f"{loss[t]:.3f}",
            f"{hello_logits.entropy_bits(p[t]):.3f}",
        ]
        for t, scores in enumerate(hello_logits.SCORES)
    ]
    verdict = "worse" if loss.mean() > np.log(4) else "better"
    return rows, (
        f"temperature {temperature:.1f}: mean loss {loss.mean():.3f} nats, "
        f"{verdict} than a uniform guess"
    )


def belt(
    bias: float, write: list[int], erase: list[int], read: list[int]
) -> tuple[list[list[str]], str]:
    h, C, gates = lstm.obey(lstm.EIGHT_VALUES, write, erase, read, bias)
    rows = [
        [fixed(x, 1) for x in lstm.EIGHT_VALUES],
        *[[""] * 8] * 3,
        *([fixed(x, 2) for x in row] for row in (gates["f"], C, h)),
    ]
    keeps = float(lstm.sigmoid(np.array(bias)))
    return rows, (
        f"forget bias {bias:.1f}: the gate keeps {keeps:.3f}, "
        f"half-life {lstm.half_life(keeps):,.1f} steps"
    )


def root(d_k: int, draw: int) -> tuple[list[list[str]], list[str], str]:
    q, k = attention.first_entries(d_k, draw)
    scores = k @ q
    raw = attention.softmax(scores)
    _, scaled = attention.attention(q[None], k, k)
    rows = [
        [fixed(s, 2), f"{a:.3f}", f"{b:.3f}"]
        for s, a, b in zip(scores, raw, scaled[0], strict=True)
    ]
    norms = [f"{attention.softmax_jacobian_norm(p):.3f}" for p in (raw, scaled[0])]
    return (
        rows,
        norms,
        (
            f"dk = {d_k}, draw {draw}: largest weight {raw.max():.3f} without the "
            f"root, {scaled.max():.3f} with it"
        ),
    )


def vocabulary(size: int) -> tuple[list[list[str]], str]:
    rows = []
    for row in transformer_budget.TABLE_3.values():
        low, high = transformer_budget.vocabulary_interval(row)
        millions = transformer_budget.parameters(row, size) / 1e6
        verdict = "holds" if low <= size <= high else "differs"
        rows.append(
            [
                str(row.printed_millions),
                f"{millions:.2f} {verdict}",
                f"{low:,} to {high:,}",
                "",
            ]
        )
    count = sum("holds" in row[1] for row in rows)
    return rows, f"vocabulary {size:,}: {count} of 11 rows hold"


def short(x: float) -> str:
    """A positive number in at most five characters."""
    if x < 0.0005 or x >= 1000:
        digits, power = f"{x:.0e}".split("e")
        return f"{digits}e{int(power)}".replace("-", "−")
    return f"{x:.{3 if x < 0.1 else 2 if x < 10 else 0}f}"


def reach(activation: str, w: float, x: float) -> tuple[list[list[str]], str]:
    states, slopes, left = gradient_through_time.one_unit(activation, w, x)
    rows = [[fixed(v, 2) for v in row] for row in (states, slopes, w * slopes)]
    return [*rows, [short(v) for v in left]], (
        f"{activation}, weight {w:.1f}, input {fixed(x, 2)}: "
        f"8 steps back the gradient is {short(left[-1])}"
    )


def wall(b: float, power: float, first: int | None = None) -> tuple[list, str]:
    """Eight updates from `first`, or around the longest step without clipping."""
    limit = 10**power
    longest, rows = [], []
    for rule in ("plain", "norm"):
        start = np.array(5.2), np.array(b)
        path, errors, norms = gradient_clipping.descend(*start, rule, limit, 60)
        steps = np.hypot(*np.diff(path, axis=0).T)
        longest.append(steps.max())
        if rule == "plain":
            worst = int(steps.argmax())
            if first is None:
                first = min(max(worst - 4, 0), 52)
        shown = slice(first, first + 8)
        rows += [[], [f"{e:.3f}" for e in errors[shown]]]
        for values in (norms[shown], steps[shown]):
            rows.append([fixed(v, 2 if v < 100 else 0) for v in values])
    return rows, (
        f"start b = {fixed(b, 2)}: the longest of 60 steps is {fixed(longest[0], 2)}, "
        f"at update {worst}; clipped at {limit:.1f} none is longer than "
        f"{longest[1]:.2f}"
    )


def gate(
    cell: str, w: int, u: int, b: int, marks: list[int]
) -> tuple[list[list[str]], str]:
    held = minimal_gated_units.hold_marked(cell.lower(), w, u, b, marks)
    names = ("candidate", "second", "gate", "state")
    rows = [[fixed(v, 2) for v in held[name]] for name in names]
    kinds = minimal_gated_units.GATES[cell.lower()]["f"]
    terms = {"W": w, "U": u, "b": b}
    set_to = ", ".join(f"{kind} = {fixed(terms[kind], 0)}" for kind in kinds)
    last = "nothing is marked"
    if marks:
        last = f"the last marked candidate is {rows[0][marks[-1]]}"
    return [rows[0], [""] * 8, *rows[1:]], (
        f"{cell}, {set_to}: {last}, the memory ends at {rows[-1][-1]}"
    )


def delta(long: float, short: float, opened: list[int]) -> tuple[list[list[str]], str]:
    values = selective_scan.EIGHT_VALUES
    kept, h = selective_scan.open_and_shut(values, opened, long, short)
    steps = [long if t in opened else short for t in range(8)]
    rows = [
        [fixed(x, 1) for x in values],
        [""] * 8,
        *([fixed(x, 2) for x in row] for row in (steps, kept, h)),
    ]
    last = "no value is let in"
    if opened:
        last = f"the last value let in is {rows[0][opened[-1]]}"
    return rows, (
        f"Δ = {long:.2f} where open, {short:.2f} elsewhere: {last}, "
        f"the state ends at {rows[-1][-1]}"
    )


def heads(
    head: str, last: str, word: int, power: int
) -> tuple[list[list[str]], list[list[str]], str]:
    """The rows of one word and of the map, the sums, and the words."""
    got = illustrated_transformer.look(head, last, 4**power)
    words = [*illustrated_transformer.WORDS, last]
    at = word - 1
    weights = got["weights"][at]
    rows = [
        [fixed(s, 2), fixed(c, 2), fixed(w, 3), *(fixed(x, 2) for x in v)]
        for s, c, w, v in zip(
            got["scores"][at], got["scaled"][at], weights, got["v"], strict=True
        )
    ]
    rows += [[fixed(100 * w, 0) for w in row] for row in got["weights"]]
    sums = [fixed(z, 2) for z in got["z"][at]]
    most = int((weights > weights.max() - 1e-9).argmax())
    where = f"most at “{words[most]}”, {weights[most]:.3f}"
    if np.ptp(weights) < 1e-9:
        where = "evenly at all words"
    return (
        rows,
        [sums],
        (
            f"{head}, “{words[at]}”: {where}; "
            f"receives noun {sums[0]}, tired {sums[1]}, wide {sums[2]}"
        ),
    )


def convolution(
    stride: int, padding: int, dilation: int, filter_: int, output: int
) -> tuple[list[list[str]], list[list[str]], str]:
    """The rows of all tables, the sums of the three channels, and the words."""
    x, w, b = conv2d.demo()
    y = conv2d.conv2d(x, w, b, stride, padding, dilation)[0][0, filter_ - 1]
    side = len(y)
    cols = conv2d.im2col(x, 3, 3, stride, padding, dilation)[0, :, output - 1]
    pixels, weights = cols.reshape(3, 3, 3), w[filter_ - 1]
    rows: list[list[str]] = []
    for c in range(3):
        frame = np.full((9, 9), -1)  # the largest padding around 5 by 5
        rim = 2 - padding
        padded = np.pad(x[0, c], padding)
        frame[rim : 9 - rim, rim : 9 - rim] = padded
        rows += [["" if v < 0 else str(v) for v in row] for row in frame]
        rows += [
            [f"{p:.0f}·{fixed(v, 0)}" for p, v in zip(*pair, strict=True)]
            for pair in zip(pixels[c], weights[c], strict=True)
        ]
    rows += [[fixed(v, 0) for v in row] for row in y]
    sums = [[f"sum {fixed(v, 0)}"] for v in (pixels * weights).sum(axis=(1, 2))]
    places = conv2d.places(5, 3, stride, padding, dilation)
    rounded = "" if places == side else f", rounded down to {side}"
    return (
        rows,
        sums,
        (
            f"(5 − {2 * dilation + 1} + 2·{padding})/{stride} + 1 = {places:.3g} "
            f"places a side{rounded}; output {output} of {side**2} is "
            f"{fixed(y.flat[output - 1], 0)}, bias {b[filter_ - 1]:.0f} included"
        ),
    )


def big(x: float) -> str:
    """Three digits and a word for the thousands: 40.4 billion."""
    if x < 1:
        return f"{x:.3f}"
    digits, power = f"{x:.2e}".split("e")
    word, more = divmod(int(power), 3)
    words = ("", " thousand", " million", " billion", " trillion")
    if word >= len(words):
        return f"{digits}e{int(power)}"
    return f"{float(digits) * 10**more:.{2 - more}f}{words[word]}"


LAWS = {"printed": "rounded", "unrounded": "tex", "refitted": "epoch"}


def budget(
    flops: float, right: str = "refitted", peak: float = 312, used: float = 40
) -> tuple[list[list[str]], list[list[str]], str]:
    """The rows, what the laws differ by, and the words."""
    truth = compute_optimal.SURFACES[LAWS[right]]
    values = []
    for key in LAWS.values():
        law = compute_optimal.SURFACES[key]
        N, D = compute_optimal.optimum(law, flops)
        wasted = compute_optimal.wasted(truth, law, flops)
        values.append([N, D, D / N, compute_optimal.loss(law, N, D), 100 * wasted])
    rows = [
        [big(N), big(D), f"{ratio:.1f}", f"{loss:.3f}", f"{fixed(wasted, 1)}%"]
        for N, D, ratio, loss, wasted in values
    ]
    least, most = np.min(values, axis=0), np.max(values, axis=0)
    factors = [f"factor {f:.2f}" for f in most[:3] / least[:3]]
    hours = flops / compute_optimal.gpu_flops(1, peak * 1e12, used / 100)
    scientific = f"{flops:.2e}".replace("e+", "e")
    return (
        rows,
        [[*factors, f"{most[3] - least[3]:.3f}", ""]],
        (
            f"{scientific} FLOPs, {big(hours)} GPU-hours: {big(least[0])} to "
            f"{big(most[0])} parameters; if the {right} constants are right, the worst "
            f"choice wastes {most[4]:.1f}%"
        ),
    )


def shown(picture: Locator) -> tuple[list[list[str]], list[list[str]], str]:
    return cells(picture), cells(picture, "tfoot"), said(picture)


def ticked(picture: Locator) -> list[list[int]]:
    """The steps (from 0) of write, erase and read."""
    boxes = picture.get_by_role("checkbox").all()
    ticks = [n for n, box in enumerate(boxes) if box.is_checked()]
    return [[n % 8 for n in ticks if n // 8 == row] for row in range(3)]


# Before anything is moved


@PICTURES
def test_without_javascript_the_table_is_complete(name, browser, address):
    with browser.new_context(java_script_enabled=False) as context:
        picture = opened(context.new_page(), address, name)
        expect(picture.locator("table").first).to_be_visible()
        expect(picture.locator("figcaption")).to_be_visible()
        expect(picture.locator("[type=range]").first).to_be_hidden()
        if name == "hello":
            assert (cells(picture), said(picture)) == hello(1)
        elif name == "belt":
            assert ticked(picture) == [[1, 6], [5], [3, 7]]
            assert (cells(picture), said(picture)) == belt(10, *ticked(picture))
        elif name == "reach":
            assert (cells(picture), said(picture)) == reach("tanh", 1.5, 0.2)
        elif name == "wall":
            assert (cells(picture), said(picture)) == wall(-2.3, 0)
        elif name == "gate":
            assert ticked(picture) == [[1, 4], [], []]
            assert (cells(picture), said(picture)) == gate("MGU", 8, 0, -4, [1, 4])
        elif name == "delta":
            assert ticked(picture) == [selective_scan.OPENED, [], []]
            assert (cells(picture), said(picture)) == delta(4, 0.05, [1, 5])
        elif name == "root":
            rows, norms, words = root(64, 1)
            assert (cells(picture), said(picture)) == (rows, words)
            assert cells(picture, "tfoot") == [norms]
        elif name == "heads":
            rows, sums, words = heads("who is meant", "tired", 8, 1)
            assert shown(picture) == (rows[:11], sums, words)
        elif name == "convolution":
            assert shown(picture) == convolution(2, 1, 1, 1, 1)
        elif name == "budget":
            assert shown(picture) == budget(5.76e23)
        else:
            assert (cells(picture), said(picture)) == vocabulary(37000)


# Moved


def test_hello_is_the_softmax_of_the_snippet(page, address):
    picture = opened(page, address, "hello")
    for temperature in (0.1, 0.5, 1.1, 2.3, 10, 1):
        picture.get_by_label("Temperature").fill(str(temperature))
        assert (cells(picture), said(picture)) == hello(temperature)


def test_a_tenth_of_heat_makes_the_figure_better_than_a_uniform_guess(page, address):
    picture = opened(page, address, "hello")
    assert "worse" in said(picture)
    picture.get_by_label("Temperature").press("ArrowRight")
    assert "temperature 1.1" in said(picture)
    assert "better" in said(picture)


def test_the_belt_is_the_cell_of_the_snippet(page, address):
    picture = opened(page, address, "belt")
    commands = [[1, 6], [5], [3, 7]]
    for bias in (0, 2, 5.5):
        picture.get_by_label("Forget bias").fill(str(bias))
        assert (cells(picture), said(picture)) == belt(bias, *commands)
    for box in ("write at step 4", "erase at step 6", "read at step 5"):
        picture.get_by_label(box).press("Space")
    assert ticked(picture) == [[1, 3, 6], [], [3, 4, 7]]
    assert (cells(picture), said(picture)) == belt(5.5, *ticked(picture))
    picture.get_by_role("button", name="Reset").press("Enter")
    expect(picture.locator("output")).to_contain_text("forget bias 10.0")
    assert (cells(picture), said(picture)) == belt(10, *commands)


def test_the_gradient_is_that_of_the_snippet(page, address):
    picture = opened(page, address, "reach")
    for activation, w, x in (
        ("tanh", 1.5, 0),
        ("tanh", 6, 0),
        ("tanh", 0.1, 4),
        ("tanh", 0.9, -0.05),
        ("tanh", 1.5, 0.05),
        ("sigmoid", 6, -2.9),
        ("sigmoid", 6, -3),
        ("sigmoid", 4, 1.35),
        ("sigmoid", 0.3, 0),
    ):
        picture.get_by_label("activation").select_option(activation)
        picture.get_by_label("weight").fill(str(w))
        picture.get_by_label("input").fill(str(x))
        assert (cells(picture), said(picture)) == reach(activation, w, x)
        slider = picture.get_by_label("input")
        assert slider.get_attribute("aria-valuetext") == fixed(x, 2)


def test_the_bars_of_the_gradient_are_its_powers_of_ten(page, address):
    picture = opened(page, address, "reach")
    cell = picture.locator(".log td").last
    height = "cell => parseFloat(getComputedStyle(cell).backgroundSize.split(' ')[1])"
    for activation, w, x in (("tanh", 6, 0), ("sigmoid", 1, 0), ("tanh", 0.1, 4)):
        picture.get_by_label("activation").select_option(activation)
        picture.get_by_label("weight").fill(str(w))
        picture.get_by_label("input").fill(str(x))
        left = gradient_through_time.one_unit(activation, w, x)[2][-1]
        assert float(cell.evaluate("c => c.style.getPropertyValue('--x')")) == (
            pytest.approx(left, rel=1e-6)
        )
        # 1.1 rem of 20 pixels are four powers of ten
        wanted = 22 * abs(max(np.log10(left) / 4, -1.5))
        assert cell.evaluate(height) == pytest.approx(wanted, abs=0.01)


def test_the_descents_are_those_of_the_snippet(page, address):
    """From starts where rounding is not magnified beyond the digits that are shown."""
    picture = opened(page, address, "wall")
    for b, power in ((-2.25, 0), (-2.95, 0.5), (-3, -1), (-2.35, 1), (-2.1, 0)):
        picture.get_by_label("threshold").fill(str(power))
        picture.get_by_label("start").fill(str(b))
        assert (cells(picture), said(picture)) == wall(b, power)
        assert picture.get_by_label("start").get_attribute("aria-valuetext") == (
            fixed(b, 2)
        )
        for first in (0, 30, 52):
            picture.get_by_label("updates").fill(str(first))
            assert (cells(picture), said(picture)) == wall(b, power, first)
    # in bold: what has been clipped
    picture.get_by_label("start").fill("-2.3")
    expect(picture.locator(".right")).to_have_text(["0.10"])


def test_a_run_that_crosses_the_wall_is_not_thrown(page, address):
    """What the page says of the starts -2.25 and -2.3."""
    picture = opened(page, address, "wall")
    assert "longest of 60 steps is 96.29, at update 40; clipped" in said(picture)
    picture.get_by_label("start").press("ArrowRight")
    assert "start b = −2.25: the longest of 60 steps is 0.03" in said(picture)
    start = np.array(5.2), np.array(-2.25)
    errors = gradient_clipping.descend(*start, steps=60)[1][:60]
    assert (abs(np.diff(errors)) > 0.2).sum() == 11


def test_the_gate_is_that_of_the_snippet(page, address):
    picture = opened(page, address, "gate")
    for cell, w, u, b in (
        ("MGU", 20, -3, -10),
        ("MGU1", 20, 8, -4),
        ("MGU2", 0, -20, 7),
        ("MGU3", 5, 5, 0),
        ("MGU", 1, 2, 3),
    ):
        picture.get_by_label("cell").select_option(cell)
        sliders = zip(
            "WUb", ("mark, W", "unit 2, U", "bias, b"), (w, u, b), strict=True
        )
        for kind, label, value in sliders:
            slider = picture.get_by_label(label)
            if kind in minimal_gated_units.GATES[cell.lower()]["f"]:
                slider.fill(str(value))
                assert slider.get_attribute("aria-valuetext") == fixed(value, 0)
            else:
                expect(slider).to_be_disabled()
        assert (cells(picture), said(picture)) == gate(cell, w, u, b, [1, 4])
    for step in (2, 5):
        picture.get_by_label(f"mark at step {step}").press("Space")
    assert (cells(picture), said(picture)) == gate("MGU", 1, 2, 3, [])
    picture.get_by_label("mark at step 8").press("Space")
    assert (cells(picture), said(picture)) == gate("MGU", 1, 2, 3, [7])


def test_the_state_is_that_of_the_scan(page, address):
    picture = opened(page, address, "delta")
    long, short = picture.get_by_label("where open"), picture.get_by_label("elsewhere")
    for sizes in ((8, 0), (0.7, 0.5), (0, 1), (3.1, 0.05)):
        for slider, size in zip((long, short), sizes, strict=True):
            slider.fill(str(size))
            assert slider.get_attribute("aria-valuetext") == f"{size:.2f}"
        assert (cells(picture), said(picture)) == delta(*sizes, [1, 5])
    for step in (2, 3):
        picture.get_by_label(f"open at step {step}").press("Space")
    assert (cells(picture), said(picture)) == delta(3.1, 0.05, [2, 5])
    for step in (3, 6):
        picture.get_by_label(f"open at step {step}").press("Space")
    assert (cells(picture), said(picture)) == delta(3.1, 0.05, [])


def test_the_heads_are_those_of_the_snippet(page, address):
    picture = opened(page, address, "heads")
    names = [row.inner_text() for row in picture.locator(".shares tbody th").all()]
    assert names[1] == "2 animal"
    for head in illustrated_transformer.HEADS:
        picture.get_by_label("head").select_option(head)
        for last, word, power in (
            ("tired", 8, 1),
            ("wide", 1, 0),
            ("wide", 8, 3),
            ("tired", 2, 2),
            ("wide", 11, 1),
        ):
            picture.get_by_label("last word").select_option(last)
            picture.get_by_label("word", exact=True).fill(str(word))
            picture.get_by_label("divide by").fill(str(power))
            assert shown(picture) == heads(head, last, word, power)
            chosen = picture.locator(".chosen th").inner_text()
            spoken = picture.get_by_label("word", exact=True)
            assert chosen == f"{word} {spoken.get_attribute('aria-valuetext')}"
            divisor = picture.get_by_label("divide by")
            assert divisor.get_attribute("aria-valuetext") == str(2**power)
            assert picture.locator("thead span").inner_text() == str(2**power)


def test_a_tap_on_a_row_of_the_map_chooses_its_word(browser, address):
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True}
    with browser.new_context(**phone, is_mobile=True) as context:
        picture = opened(context.new_page(), address, "heads")
        picture.locator(".shares tbody tr").nth(5).locator("td").nth(2).tap()
        assert shown(picture) == heads("who is meant", "tired", 6, 1)
        picture.locator(".shares tbody th").nth(1).tap()
        assert shown(picture) == heads("who is meant", "tired", 2, 1)
        assert picture.get_by_role("slider").first.input_value() == "2"


def test_the_map_is_shaded_by_its_numbers(page, address):
    picture = opened(page, address, "heads")
    picture.get_by_label("head").select_option("the word before")
    shades = picture.locator(".shares td").evaluate_all(
        "cells => cells.map(cell => +cell.style.getPropertyValue('--a'))"
    )
    want = illustrated_transformer.look("the word before")["weights"]
    assert shades == pytest.approx(want.ravel().tolist(), abs=1e-9)
    light, dark = (
        picture.locator(".shares td")
        .nth(n)
        .evaluate("c => getComputedStyle(c).backgroundColor")
        for n in (0, 5)
    )
    assert light != dark


def test_the_weights_are_those_of_the_snippet(page, address):
    picture = opened(page, address, "root")
    for power, draw in ((0, 1), (3, 7), (6, 2), (9, 1), (10, 50)):
        picture.get_by_label("width").fill(str(power))
        picture.get_by_label("draw").fill(str(draw))
        rows, norms, words = root(2**power, draw)
        assert (cells(picture), said(picture)) == (rows, words)
        assert cells(picture, "tfoot") == [norms]
        slider = picture.get_by_label("width")
        assert slider.get_attribute("aria-valuetext") == str(2**power)


def test_the_counts_are_those_of_the_snippet(page, address):
    picture = opened(page, address, "vocabulary")
    low, high = transformer_budget.common_interval(transformer_budget.ALL_BUT_BIG)
    for size in (35000, 36000, 40000, 41000, 41050, 41200, 41250, 44000):
        picture.get_by_label("Vocabulary").fill(str(size))
        assert (cells(picture), said(picture)) == vocabulary(size)
        assert ("10 of 11" in said(picture)) == (low <= size <= high), size


def test_the_convolution_is_that_of_the_snippet(page, address):
    picture = opened(page, address, "convolution")
    names = ("stride", "padding", "dilation", "filter", "output")
    for values in (
        (2, 1, 1, 1, 5),  # in the middle: no padding under the filter
        (1, 1, 1, 2, 25),
        (3, 1, 1, 1, 4),  # does not fit
        (1, 2, 1, 2, 49),
        (1, 2, 2, 1, 13),
        (2, 0, 1, 2, 2),
        (3, 0, 2, 1, 1),  # one place
    ):
        for name, value in zip(names, values, strict=True):
            picture.get_by_label(name).fill(str(value))
        assert shown(picture) == convolution(*values)


def test_where_there_are_fewer_outputs_the_last_one_is_chosen(page, address):
    picture = opened(page, address, "convolution")
    picture.get_by_label("output").fill("9")
    picture.get_by_label("padding").fill("0")
    assert shown(picture) == convolution(2, 0, 1, 1, 4)


def test_the_shaded_pixels_are_those_under_the_filter(page, address):
    picture = opened(page, address, "convolution")
    for stride, padding, dilation, output in ((2, 1, 1, 1), (1, 2, 2, 7)):
        picture.get_by_label("stride").fill(str(stride))
        picture.get_by_label("padding").fill(str(padding))
        picture.get_by_label("dilation").fill(str(dilation))
        picture.get_by_label("output").fill(str(output))
        place = np.arange(81.0).reshape(1, 1, 9, 9)  # the frame, without padding
        rim = 2 - padding
        inner = place[:, :, rim : 9 - rim, rim : 9 - rim]
        want = conv2d.im2col(inner, 3, 3, stride, 0, dilation)[0, :, output - 1]
        table = picture.locator("table").first
        seen = table.evaluate(
            "t => [...t.querySelectorAll('td')].flatMap((cell, n) =>"
            " cell.classList.contains('seen') ? [n] : [])"
        )
        assert seen == want.tolist()


def test_the_optima_are_those_of_the_snippet(page, address):
    picture = opened(page, address, "budget")
    for text in ("3e21", "1e18", "1e26", "1e15", "1e12", "2.5e30"):
        picture.get_by_label("budget").fill(text)
        assert shown(picture) == budget(float(text))
    picture.get_by_label("budget").fill("1e25")
    for right in LAWS:
        picture.get_by_label("taken as true").select_option(right)
        assert shown(picture) == budget(1e25, right)


def test_a_budget_in_hours_is_that_of_the_snippet(page, address):
    picture = opened(page, address, "budget")
    field = picture.get_by_label("budget")
    picture.get_by_label("unit").select_option("GPU-hours")
    expect(field).to_have_value("1282050")  # six digits
    assert shown(picture) == budget(compute_optimal.gpu_flops(1282050))
    for hours, peak, used in (("4096", 312, 40), ("0.5", 989.5, 5), ("2e9", 19.5, 100)):
        field.fill(hours)
        picture.get_by_label("peak").fill(str(peak))
        slider = picture.get_by_label("used")
        slider.fill(str(used))
        assert slider.get_attribute("aria-valuetext") == f"{used}%"
        flops = compute_optimal.gpu_flops(float(hours), peak * 1e12, used / 100)
        assert shown(picture) == budget(flops, peak=peak, used=used)
        expect(field).to_have_value(hours)
    picture.get_by_label("unit").select_option("FLOPs")
    expect(field).to_have_value("1.404e26")
    assert shown(picture) == budget(1.404e26, peak=19.5, used=100)


def test_slider_and_field_of_the_budget_follow_each_other(page, address):
    picture = opened(page, address, "budget")
    field, slider = picture.get_by_label("budget"), picture.get_by_label("1e18 to")
    slider.fill("21.3")
    expect(field).to_have_value("2e21")
    assert shown(picture) == budget(2e21)
    for text, power, words in (
        ("7", "18", "7.00e0 FLOPs"),
        ("1e30", "26", "1.00e30 FLOPs"),
        ("5e19", "19.7", "5.00e19 FLOPs"),
    ):
        field.fill(text)
        expect(slider).to_have_value(power)
        assert slider.get_attribute("aria-valuetext") == words
    picture.get_by_label("unit").select_option("GPU-hours")
    slider.press("Home")
    expect(field).to_have_value("2.23")
    assert shown(picture) == budget(compute_optimal.gpu_flops(2.23))
    field.press("Enter")
    assert "?" not in page.url


def test_an_empty_budget_is_told(page, address):
    picture = opened(page, address, "budget")
    before = shown(picture)
    for label, value in (("budget", "5.76e23"), ("peak", "312")):
        field = picture.get_by_label(label)
        for text in ("", "0", "-3"):
            field.fill(text)
            assert said(picture) == "budget and peak must be numbers above 0"
        field.fill(value)
        assert shown(picture) == before


def test_a_tap_on_an_output_chooses_it(browser, address):
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True}
    with browser.new_context(**phone, is_mobile=True) as context:
        picture = opened(context.new_page(), address, "convolution")
        picture.locator(".map td").nth(5).tap()
        assert shown(picture) == convolution(2, 1, 1, 1, 6)
        expect(picture.locator(".map .seen")).to_have_count(1)


# By keyboard and touch, from a disk, by weight


@PICTURES
def test_the_arrow_keys_move_every_slider(name, page, address):
    picture = opened(page, address, name)
    for slider in picture.get_by_role("slider").all():
        slider.press("Home")
        first = picture.inner_text()
        slider.press("ArrowRight")
        assert picture.inner_text() != first
        slider.press("ArrowLeft")
        assert picture.inner_text() == first


def test_a_finger_moves_slider_and_ticks(browser, address):
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True}
    with browser.new_context(**phone, is_mobile=True) as context:
        picture = opened(context.new_page(), address, "belt")
        picture.get_by_label("erase at step 3").tap()
        slider = picture.get_by_label("Forget bias")
        slider.tap(position={"x": 3, "y": 12})
        assert (cells(picture), said(picture)) == belt(0, [1, 6], [2, 5], [3, 7])


@PICTURES
def test_a_picture_moves_on_a_local_disk(name, page, built):
    picture = opened(page, f"{built.as_uri()}/", name)
    before = cells(picture)
    picture.get_by_role("slider").first.press("Home")
    assert cells(picture) != before


@pytest.mark.parametrize("name", ["hello", "belt", "delta", "gate", "heads", "root"])
def test_every_bar_is_as_long_as_its_number(name, page, address):
    bars = """figure => [...figure.querySelectorAll(".bars td[style]")].map(cell =>
        [+cell.style.getPropertyValue("--p"), cell.innerText.split(/\\s+/).pop()])"""
    picture = opened(page, address, name)
    for _ in ("as built", "moved"):
        for length, text in picture.evaluate(bars):
            assert length == pytest.approx(float(text.replace("−", "-")), abs=0.0051)
        picture.get_by_role("slider").first.press("Home")


def test_every_span_lies_where_its_interval_does(page, address):
    picture = opened(page, address, "vocabulary")
    styles = [span.get_attribute("style") for span in picture.locator(".span").all()]
    intervals = map(
        transformer_budget.vocabulary_interval, transformer_budget.TABLE_3.values()
    )
    assert styles == [
        f"--a:{(low - 35000) / 90:.1f}%;--b:{(high - 35000) / 90:.1f}%"
        for low, high in intervals
    ]
    picture.get_by_label("Vocabulary").fill("39500")
    assert picture.locator("table").get_attribute("style") == "--v: 50%;"


def test_every_picture_is_tested():
    assert {path.stem for path in SCRIPTS.iterdir()} == PAGES.keys()


@PICTURES
def test_a_script_is_small(name):
    assert len(gzip.compress((SCRIPTS / f"{name}.js").read_bytes(), 6)) < 3000
