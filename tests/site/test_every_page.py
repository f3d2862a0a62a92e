"""Every page of the built site in Chromium: what holds for each of them."""

import gzip
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from pages import load_source
from reader import console_of, search

ROOT = Path(__file__).parents[2]
SOURCES = [
    f"{page.key}.html"
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if (page := load_source(path, ROOT / "docs"))
]
PAGES = [
    "index.html",
    "path.html",
    "review.html",
    "glossary.html",
    "tags.html",
    "findings.html",
    "about.html",
    "snippets/index.html",
    *SOURCES,
    *(
        f"snippets/{path.stem}.html"
        for path in sorted((ROOT / "snippets").glob("*.py"))
    ),
]
WIDTHS = (390, 768, 1280)
SCHEMES = {"light": "default", "dark": "slate"}
ONE_OF_EACH_KIND = {"index.html", "recurrent/olah-lstm.html", "snippets/lstm.html"}
# a change of scheme fades: what axe sees before the end is neither of the two
END_OF_FADES = "Promise.allSettled(document.getAnimations().map(a => a.finished))"
NEXT_FRAME = "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"
LED_TO = """links => links.map(link =>
    new URL(link.getAttribute("href"), location).pathname.slice(1))"""
COMPRESSED = re.compile(r"text/|javascript|json|svg|xml")
FIGURES = re.compile(r'<svg [^>]*class="figure".*?</svg>', re.S)


def looks(path: str) -> set[tuple[str, int]]:
    """At which schemes and widths axe-core looks at a page: it takes seconds each time.

    A width changes no colour and a scheme nothing else, so two looks see all there is.
    The pages of snippets come from one template and get one; a page of each kind all.
    """
    if path in ONE_OF_EACH_KIND:
        return {(scheme, width) for scheme in SCHEMES for width in WIDTHS}
    if path.startswith("snippets/"):
        return {("dark", 1280)}
    return {("light", 390), ("dark", 1280)}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_at_every_width_in_light_and_dark(path, page, address, violations):
    foreign, console = [], console_of(page)
    page.on("request", lambda r: foreign.append(r.url))
    page.goto(address + path)
    for scheme, palette in SCHEMES.items():
        page.emulate_media(color_scheme=scheme)
        body = page.locator("body")
        expect(body).to_have_attribute("data-md-color-scheme", palette)
        page.evaluate(END_OF_FADES)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate(NEXT_FRAME)
            overflow = page.evaluate(
                "document.documentElement.scrollWidth - innerWidth"
            )
            assert overflow <= 0, (scheme, width)
            if (scheme, width) in looks(path):
                assert violations(page) == [], (scheme, width)
    own = (address, "data:", "blob:")
    assert [url for url in foreign if not url.startswith(own)] == []
    assert console == []


def test_the_pages_tested_are_all_there_are(built):
    found = {path.relative_to(built).as_posix() for path in built.rglob("*.html")}
    assert found == {*PAGES, "404.html"}


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
def test_a_copy_on_a_local_disk_works_and_searches(path, page, unpacked):
    console = console_of(page)
    page.goto((unpacked / path).as_uri())
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
        expect(page.locator("article button:visible")).to_have_count(0)
        question = page.locator("details.question").first
        question.locator("summary").click()
        expect(question.locator("p").first).to_be_visible()


def test_without_javascript_the_ways_through_the_site_are_whole(browser, address):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        for path in ("index", "path", "tags", "review"):
            page.goto(f"{address}{path}.html")
            dead = page.locator("article :is(button, .md-button):visible")
            expect(dead, path).to_have_count(0)
            led_to = page.locator("article a:visible").evaluate_all(LED_TO)
            assert {*SOURCES} <= {*led_to}, path
