"""The built site in Chromium, as a reader meets it."""

import json
import string

import pytest
from playwright.sync_api import expect

from reader import console_of, search, wait_until

# From a local disk the search runs in the page, and what is said to it and by it passes
# by: a query (2), its result (3), or in its place an error.
HEAR_THE_SEARCH = """
    window.asked = [];
    window.ended = 0;
    addEventListener("message", ({ data }) => {
        if (data.type === 2) asked.push(data.data);
        if (data.type === 3) ended += 1;
    });
    addEventListener("error", () => { ended += 1; });
"""
NEXT_FRAME = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("forget gate", "recurrent/olah-lstm.html"),
        ("temperature", "recurrent/karpathy-rnn-effectiveness.html"),
        ("BPTT", "recurrent/karpathy-rnn-effectiveness.html"),
        ("37000", "transformers/vaswani-attention.html"),
        ("positional encoding", "transformers/vaswani-attention.html"),
    ],
)
def test_search_finds_the_right_page_first(query, expected, page, address):
    page.goto(address)
    assert expected in search(page, query)


def test_no_word_of_the_site_makes_the_search_fail(page, unpacked):
    """A query matches every word that begins with it: these match them all."""
    console = console_of(page)
    page.add_init_script(HEAR_THE_SEARCH)
    page.goto((unpacked / "index.html").as_uri())
    search(page, "forget")
    box = page.get_by_role("textbox", name="Search")
    for letter in string.ascii_lowercase + string.digits:
        box.fill("")
        box.press_sequentially(letter)
        wait_until(page, f"asked.at(-1) === '{letter}' && ended === asked.length")
    assert console == []


def test_words_searched_for_are_marked_on_the_page(page, address):
    page.goto(address)
    hit = search(page, "forget gate")
    page.goto(hit)
    page.locator(".md-content mark").first.wait_for()


def test_code_and_citation_are_copied(page, address):
    page.goto(address + "recurrent/olah-lstm.html")
    for block in (
        page.locator(".language-python.highlight").first,
        page.locator(".language-bibtex.highlight").first,
    ):
        block.scroll_into_view_if_needed()
        block.hover()
        block.get_by_title("Copy to clipboard").click()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.strip() == block.locator("code").inner_text().strip()
        assert copied.strip()


def test_code_of_a_notebook_is_copied(page, address):
    page.goto(address + "snippets/lstm.html")
    block = page.locator(".language-python.highlight").first
    block.hover()
    block.get_by_title("Copy to clipboard").click()
    assert "import numpy as np" in page.evaluate("navigator.clipboard.readText()")


def test_figures_follow_the_switch_between_light_and_dark(page, address):
    page.goto(address + "recurrent/olah-lstm.html")
    color = "getComputedStyle(document.querySelector('svg.figure text')).fill"
    light = page.evaluate(color)
    page.get_by_title("Switch to dark").click()
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    assert page.evaluate(color) != light
    page.reload()
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"


def scheme(page):
    return page.locator("body").get_attribute("data-md-color-scheme")


@pytest.mark.parametrize(("system", "other"), [("light", "dark"), ("dark", "light")])
def test_each_click_shows_the_other_scheme(system, other, page, address):
    palette = {"light": "default", "dark": "slate"}
    page.emulate_media(color_scheme=system)
    page.goto(address)
    assert scheme(page) == palette[system]
    for shown in (other, system, other):
        page.get_by_role("button", name=f"Switch to {shown}").click()
        assert scheme(page) == palette[shown]


def test_light_and_dark_follow_the_system_unless_the_reader_differs(page, address):
    page.goto(address)
    body = page.locator("body")
    page.emulate_media(color_scheme="dark")
    expect(body).to_have_attribute("data-md-color-scheme", "slate")
    page.get_by_role("button", name="Switch to light").click()
    other = page.context.new_page()
    other.emulate_media(color_scheme="dark")
    other.goto(address)
    assert scheme(other) == "default"
    # other sites may share the origin, and with it the storage
    assert other.evaluate("Object.keys(localStorage)") == ["rederived-scheme"]
    other.get_by_role("button", name="Switch to dark").click()
    # a page that is open already takes it over
    expect(body).to_have_attribute("data-md-color-scheme", "slate")
    # as the system, which both follow again
    page.emulate_media(color_scheme="light")
    expect(body).to_have_attribute("data-md-color-scheme", "default")
    page.get_by_role("button", name="Switch to dark").click()
    other.emulate_media(color_scheme="light")
    expect(other.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
    page.evaluate("localStorage.clear()")
    expect(other.locator("body")).to_have_attribute("data-md-color-scheme", "default")
    other.close()


def test_light_and_dark_can_be_switched_where_storage_is_blocked(page, address):
    console = console_of(page)
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', "
        "{ get() { throw new DOMException('blocked', 'SecurityError'); } })"
    )
    page.goto(address + "glossary.html")
    page.get_by_role("button", name="Switch to dark").click()
    assert scheme(page) == "slate"
    page.get_by_role("button", name="Switch to light").click()
    assert scheme(page) == "default"
    assert [text for text in console if "md_" not in text] == []


def test_a_page_starts_without_being_styled_again_and_again(browser, address):
    page = browser.new_page()
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    page.goto(address + "transformers/vaswani-attention.html")
    page.evaluate(NEXT_FRAME)
    trace = json.loads(browser.stop_tracing())["traceEvents"]
    elements = page.evaluate("document.querySelectorAll('*').length")
    page.close()
    styled = [
        event["args"]["elementCount"]
        for event in trace
        if event["name"] == "UpdateLayoutTree" and event.get("ph") == "X"
    ]
    assert styled
    assert sum(styled) < elements  # what is off the screen, not even once


@pytest.mark.parametrize("width", [390, 1280])
def test_a_link_leads_to_its_heading_past_what_is_not_laid_out(width, page, address):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address + "convolutional/cs231n-convnets.html#cite")
    heading = page.locator("h2#cite")
    expect(heading).to_be_in_viewport()
    page.evaluate("document.fonts.ready")
    page.evaluate(NEXT_FRAME)
    expect(heading).to_be_in_viewport()


def test_a_reader_at_the_keyboard_gets_to_the_text_and_opens_an_answer(page, address):
    page.goto(address + "recurrent/karpathy-rnn-effectiveness.html")
    page.keyboard.press("Tab")
    assert (
        page.evaluate("document.activeElement.textContent").strip() == "Skip to content"
    )
    page.keyboard.press("Enter")
    assert "#" in page.url
    summary = page.locator("details.question summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.question").first.get_attribute("open") is not None


def test_an_unknown_address_says_so(page, built):
    page.goto((built / "404.html").as_uri())
    expect(page.locator("h1")).to_contain_text("404")


@pytest.mark.parametrize(
    "name", ["recurrent/olah-lstm.html", "snippets/lstm.html", "path.html"]
)
def test_nothing_moves_while_a_page_opens(name, page, address):
    page.add_init_script(
        "window.moved = 0;"
        "new PerformanceObserver(l => l.getEntries().forEach(e => moved += e.value))"
        ".observe({type: 'layout-shift', buffered: true})"
    )
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(address + name, wait_until="networkidle")
    assert page.evaluate("moved") < 0.02  # a button that pushes the text down: 0.06
