"""The built site in Chromium, as a reader meets it."""

import gzip
import re
import string
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from pages import load_source

ROOT = Path(__file__).parents[2]
SOURCES = [
    f"{page.key}.html"
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if (page := load_source(path, ROOT / "docs"))
]
PAGES = [
    "index.html",
    "findings.html",
    "about.html",
    "snippets/index.html",
    *SOURCES,
    *(
        f"snippets/{path.stem}.html"
        for path in sorted((ROOT / "snippets").glob("*.py"))
    ),
]
COMPRESSED = re.compile(r"text/|javascript|json|svg|xml")
FIGURES = re.compile(r'<svg [^>]*class="figure".*?</svg>', re.S)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_at_every_width_in_light_and_dark(path, page, address, violations):
    foreign, console = [], []
    page.on("request", lambda r: foreign.append(r.url))
    page.on("console", lambda m: console.append(m.text))
    page.on("pageerror", lambda e: console.append(str(e)))
    page.goto(address + path)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(50)
            overflow = page.evaluate(
                "document.documentElement.scrollWidth - innerWidth"
            )
            assert overflow <= 0, (scheme, width)
            # the layout does not depend on the scheme, nor the colours on the width
            if (scheme, width) in (("light", 390), ("light", 1280), ("dark", 1280)):
                assert violations(page) == [], (scheme, width)
    own = (address, "data:", "blob:")
    assert [url for url in foreign if not url.startswith(own)] == []
    assert console == []


def test_the_pages_tested_are_all_there_are(built):
    found = {path.relative_to(built).as_posix() for path in built.rglob("*.html")}
    assert found == {*PAGES, "404.html"}


def search(page: Page, query: str) -> str:
    """The address of the first hit."""
    page.keyboard.press("s")
    box = page.get_by_role("textbox", name="Search")
    box.fill(query[:-1])  # at once: no hit is for its first words alone
    box.press_sequentially(query[-1])
    first = page.locator(".md-search-result__item a").first
    first.wait_for()
    return first.get_attribute("href") or ""


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


def console_on_a_local_disk(page: Page) -> list[str]:
    """What the console will say of a page from a disk, but for two fonts.

    Chromium preloads no font from a file, says so, and loads it by the style sheet.
    """
    said = []

    def hear(message: ConsoleMessage) -> None:
        if ".woff2" not in message.text + message.location["url"]:
            said.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda e: said.append(str(e)))
    return said


def test_no_word_of_the_site_makes_the_search_fail(page, built):
    """A query matches every word that begins with it: these match them all."""
    console = console_on_a_local_disk(page)
    page.goto((built / "index.html").as_uri())
    search(page, "forget")
    box = page.get_by_role("textbox", name="Search")
    for letter in string.ascii_lowercase + string.digits:
        box.fill("")
        box.press_sequentially(letter)
        page.wait_for_timeout(60)
    box.fill("")
    box.press_sequentially("gate")
    page.locator(".md-search-result__item a[href*='h=gate']").first.wait_for()
    assert console == []


def test_words_searched_for_are_marked_on_the_page(page, address):
    page.goto(address)
    hit = search(page, "forget gate")
    page.goto(hit)
    page.locator(".md-content mark").first.wait_for()


@pytest.mark.parametrize("path", SOURCES)
def test_a_first_visit_weighs_at_most_250_kilobytes(path, page, address):
    answers = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(address + path, wait_until="networkidle")
    sizes = {}
    for answer in answers:
        body = answer.body()
        if answer.url.endswith(".html"):
            body = FIGURES.sub("", body.decode()).encode()  # figures apart
        kind = answer.headers.get("content-type", "")
        sizes[answer.url] = len(
            gzip.compress(body, 6) if COMPRESSED.search(kind) else body
        )
    assert any(url.endswith(".woff2") for url in sizes)
    assert address + path in sizes
    assert sum(sizes.values()) <= 250_000, sizes


@pytest.mark.parametrize("path", SOURCES)
def test_a_copy_on_a_local_disk_works_and_searches(path, page, built):
    console = console_on_a_local_disk(page)
    page.goto((built / path).as_uri())
    assert path in search(page, page.locator("h1").inner_text().removesuffix("#"))
    assert console == []
    loaded = page.evaluate(
        "document.fonts.ready.then(fonts => [...fonts]"
        ".filter(font => font.status === 'loaded').map(font => font.family).join())"
    )
    assert "Source Serif 4" in loaded


@pytest.mark.parametrize("path", SOURCES)
def test_readable_without_javascript(path, browser, address):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address + path)
        expect(page.locator("table.ledger")).to_be_visible()
        expect(page.locator("svg.figure").first).to_be_visible()
        expect(page.locator(".katex").first).to_be_visible()
        question = page.locator("details.question").first
        question.locator("summary").click()
        expect(question.locator("p").first).to_be_visible()


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
    page.get_by_title("Switch to light").click()
    page.get_by_title("Switch to dark").click()
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    assert page.evaluate(color) != light
    page.reload()
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"


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
