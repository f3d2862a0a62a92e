"""A reader runs the snippets in the page, changes them, stops them, breaks them."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from snippets import load_snippets

NUMPY = [
    name
    for name, snippet in load_snippets(Path(__file__).parents[2] / "snippets").items()
    if snippet.runs_in_a_browser
]
PRINTED = re.compile(r"^(\w+) +(\S+)$", re.M)
DIVIDES_BY_ZERO = """\
def half(x):
    return x / 0

half(1)
"""
OLAH = "recurrent/olah-lstm.html"


@pytest.fixture(autouse=True)
def needs_python_for_the_page(built):
    if not (built / "assets/pyodide").exists():
        pytest.skip("the site was built without the wheels of Pyodide")


@pytest.fixture(scope="module")
def started(browser: Browser, address: str):
    """A panel for many runs: to start Python takes longer than most of them."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.goto(address + "snippets/rnn_parameters.html")
        panel = open_panel(page, "rnn_parameters")
        assert ended(panel).startswith("Done")
        yield panel


def ended(panel: Locator) -> str:
    """Wait for the program; how it ended."""
    status = panel.locator(".run-status")
    expect(status).to_have_text(re.compile("Done|error|Stopped"), timeout=120_000)
    return status.inner_text()


def open_panel(page: Page, name: str = "lstm") -> Locator:
    page.get_by_role("button", name="Run in this page").first.click()
    return page.get_by_role("region", name=f"Run {name}.py")


def replace_code(panel: Locator, code: str) -> None:
    editor = panel.get_by_role("textbox")
    editor.press("ControlOrMeta+a")
    editor.press("Delete")
    panel.page.keyboard.insert_text(code)


@pytest.mark.parametrize("name", NUMPY)
def test_every_numpy_snippet_gives_the_recorded_numbers(name, started, built, site):
    """The file is the one that the button on its page opens."""
    assert f'data-run="{name}"' in (built / f"snippets/{name}.html").read_text()
    replace_code(started, (built / f"snippets/{name}.py").read_text())
    started.page.keyboard.press("Control+Enter")
    assert ended(started).startswith("Done")
    printed = {
        key: float(value)
        for key, value in PRINTED.findall(started.get_by_role("log").text_content())
    }
    execution = site.executions[name]
    assert execution.results.items()
    for key, value in execution.results.items():
        tolerance = execution.snippet.tolerance(key)
        assert printed[key] == (
            pytest.approx(value, rel=0, abs=tolerance)
            if tolerance
            else pytest.approx(value, rel=1e-6, abs=1e-12)
        ), key


def test_nothing_is_fetched_before_the_click_and_nothing_from_elsewhere(
    page, address, violations
):
    asked = []
    page.context.on("request", lambda request: asked.append(request.url))
    page.goto(address + OLAH, wait_until="networkidle")
    before = list(asked)
    assert not [url for url in before if re.search("pyodide|run/", url)]
    panel = open_panel(page)
    assert ended(panel).startswith("Done")
    panel.get_by_role("button", name="Draw figures").click()
    expect(panel.locator("figure svg")).to_have_count(2, timeout=60_000)
    after = asked[len(before) :]
    assert [url for url in after if "numpy" in url]
    assert [
        url for url in asked if not url.startswith((address, "data:", "blob:"))
    ] == []
    assert panel.locator("figure svg title").first.text_content()
    assert violations(page) == []


def test_beside_the_code_the_panel_opens_at_that_code(page, address):
    page.goto(address + OLAH)
    page.get_by_role("button", name="Edit and run lstm_variants.py").first.click()
    panel = page.get_by_role("region", name="Run lstm_variants.py")
    block = page.locator(
        ".highlight", has=page.get_by_text("snippets/lstm_variants.py")
    )
    first_line = block.first.locator("code").inner_text().split("\n")[0]
    expect(panel.get_by_role("textbox").get_by_text(first_line)).to_be_in_viewport()
    assert block.first.evaluate("e => e.nextElementSibling.className") == "run-panel"


def test_from_the_card_it_opens_where_the_code_begins(page, address):
    page.goto(address + "snippets/lstm.html")
    editor = open_panel(page).get_by_role("textbox")
    expect(editor.get_by_text("import numpy as np")).to_be_in_viewport()


def test_only_what_ran_is_drawn(page, address):
    page.goto(address + "snippets/lstm_variants.html")
    panel = open_panel(page, "lstm_variants")
    draw = panel.get_by_role("button", name="Draw figures")
    expect(draw).to_be_disabled()
    assert ended(panel).startswith("Done")
    expect(draw).to_be_enabled()
    panel.get_by_role("textbox").press("Control+End")
    page.keyboard.insert_text("\nprint('more')\n")
    expect(draw).to_be_disabled()
    page.keyboard.press("Meta+Enter")
    expect(panel.get_by_role("log")).to_contain_text("more", timeout=60_000)
    expect(draw).to_be_enabled()


def test_a_panel_that_cannot_be_had_is_told_once(page, address):
    page.context.route("**/run/panel.js", lambda route: route.abort())
    page.goto(address + "snippets/rnn_parameters.html")
    button = page.get_by_role("button", name="Run in this page").first
    for _ in range(3):
        button.click()
        expect(page.get_by_text("This cannot run here")).to_have_count(1)


def test_an_edited_line_changes_the_output_and_reset_brings_it_back(page, address):
    page.goto(address + "snippets/rnn_parameters.html")
    panel = open_panel(page, "rnn_parameters")
    ended(panel)
    output = panel.get_by_role("log")
    original = output.text_content()
    replace_code(panel, 'print("changed by", "the reader")\n')
    page.keyboard.press("Control+Enter")
    expect(output).to_have_text("changed by the reader\n")
    ended(panel)
    panel.get_by_role("button", name="Reset").click()
    panel.get_by_role("button", name="Run", exact=True).click()
    expect(output).to_have_text(original)


def test_what_a_reader_wrote_is_there_again_until_it_is_reset(page, address):
    page.goto(address + "snippets/rnn_parameters.html")
    panel = open_panel(page, "rnn_parameters")
    ended(panel)
    replace_code(panel, "print('mine')")
    page.reload()
    panel = open_panel(page, "rnn_parameters")
    expect(panel.get_by_role("log")).to_have_text("mine\n", timeout=120_000)
    panel.get_by_role("button", name="Reset").click()
    page.reload()
    panel = open_panel(page, "rnn_parameters")
    ended(panel)
    expect(panel.get_by_role("textbox")).not_to_contain_text("mine")


def test_output_streams_and_stop_ends_an_endless_loop_at_once(page, address):
    page.goto(address + "snippets/rnn_parameters.html")
    panel = open_panel(page, "rnn_parameters")
    ended(panel)
    replace_code(panel, 'print("before")\nwhile True:\n    pass\n')
    page.keyboard.press("Control+Enter")
    expect(panel.get_by_role("log")).to_have_text("before\n")
    page.keyboard.press("Control+Enter")  # while it runs
    expect(panel.get_by_role("log")).to_have_text("before\n")
    panel.get_by_role("button", name="Stop").click()
    expect(panel.get_by_role("status")).to_have_text("Stopped.", timeout=1000)
    replace_code(panel, "print(6 * 7)")
    page.keyboard.press("Control+Enter")
    assert ended(panel).startswith("Done")
    expect(panel.get_by_role("log")).to_have_text("42\n")


def test_a_double_click_opens_one_panel(page, address):
    page.goto(address + "snippets/rnn_parameters.html")
    page.get_by_role("button", name="Run in this page").dblclick()
    panel = page.get_by_role("region", name="Run rnn_parameters.py")
    assert ended(panel).startswith("Done")
    expect(page.locator(".run-panel")).to_have_count(1)


def test_what_failed_to_load_is_loaded_by_the_next_run(page, address):
    page.context.route("**/run/runner.py", lambda route: route.abort(), times=1)
    page.goto(address + "snippets/rnn_parameters.html")
    panel = open_panel(page, "rnn_parameters")
    assert "error" in ended(panel)
    expect(panel.get_by_role("log")).to_contain_text("fetch")
    panel.get_by_role("button", name="Run", exact=True).click()
    expect(panel.locator(".run-status")).to_contain_text("Done", timeout=120_000)


def test_a_flood_of_output_leaves_the_page_alive(page, address):
    page.goto(address + "snippets/rnn_parameters.html")
    panel = open_panel(page, "rnn_parameters")
    ended(panel)
    replace_code(panel, "for i in range(60_000):\n    print(i)\n")
    page.keyboard.press("Control+Enter")
    assert ended(panel).startswith("Done")
    text = panel.get_by_role("log").text_content()
    assert text.endswith("\n59999\n")
    assert len(text) <= 200_100


def test_an_error_is_shown_with_the_line_of_the_file(page, address):
    page.goto(address + "snippets/rnn_parameters.html")
    panel = open_panel(page, "rnn_parameters")
    ended(panel)
    replace_code(panel, DIVIDES_BY_ZERO)
    page.keyboard.press("Control+Enter")
    assert "error" in ended(panel)
    assert panel.get_by_role("log").text_content() == (
        "Traceback (most recent call last):\n"
        '  File "rnn_parameters.py", line 4, in <module>\n'
        "    half(1)\n"
        '  File "rnn_parameters.py", line 2, in half\n'
        "    return x / 0\n"
        "           ~~^~~\n"
        "ZeroDivisionError: division by zero\n"
    )


def test_by_keyboard_alone(page, address):
    page.goto(address + "snippets/rnn_parameters.html")
    page.get_by_role("button", name="Run in this page").focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("region", name="Run rnn_parameters.py")
    assert ended(panel).startswith("Done")
    expect(panel.get_by_role("button", name="Run", exact=True)).to_be_focused()
    for name in ("Draw figures", "Reset", "Close"):
        page.keyboard.press("Tab")
        expect(panel.get_by_role("button", name=name)).to_be_focused()
    page.keyboard.press("Enter")
    expect(panel).not_to_be_attached()
    expect(page.get_by_role("button", name="Run in this page")).to_be_focused()


def test_from_a_local_disk_there_is_no_button_and_the_text_says_why(page, built):
    page.goto((built / "snippets/lstm.html").as_uri())
    expect(page.get_by_text("a browser starts no worker")).to_be_visible()
    expect(page.get_by_role("button", name="Run in this page")).to_have_count(0)


def test_what_needs_pytorch_has_no_button_and_says_why(page, address):
    page.goto(address + "snippets/transformer.html")
    expect(page.get_by_text("Needs PyTorch")).to_be_visible()
    expect(page.get_by_role("button", name="Run in this page")).to_have_count(0)
