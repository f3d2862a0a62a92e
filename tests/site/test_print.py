"""A page on paper: A4, with margins of 2 cm, 643 pixels wide."""

import pytest
from playwright.sync_api import Locator, Page

PAGES = [
    "recurrent/olah-lstm.html",
    "recurrent/burkov-ch6.html",
    "transformers/hoffmann-chinchilla.html",
    "snippets/lstm.html",
    "path.html",
]
CHROME = ".md-header, .md-sidebar, .md-footer, button, [type=range]"


@pytest.fixture(params=PAGES)
def paper(request: pytest.FixtureRequest, page: Page, address: str) -> Page:
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 643, "height": 971})
    page.goto(address + request.param)
    return page


def visible(found: Locator) -> list[str]:
    return [one.inner_text() for one in found.all() if one.is_visible()]


def test_nothing_is_printed_that_wants_a_click(paper):
    assert visible(paper.locator(CHROME)) == []


def test_answers_hints_and_solutions_are_printed(paper):
    folded = paper.locator("article details").all()
    assert folded or "path" in paper.url or "snippets" in paper.url
    for details in folded:
        assert details.locator("> :not(summary)").first.is_visible()


def test_nothing_is_cut_off(paper):
    wide = paper.evaluate(
        """() => [...document.querySelectorAll("article, article *")].filter(e =>
            e.checkVisibility() && e.scrollWidth > e.clientWidth + 4 &&
            getComputedStyle(e).overflowX !== "visible" && !e.closest(".katex-mathml")
        ).map(e => `${e.tagName} ${e.className}: ${e.innerText.slice(0, 60)}`)"""
    )
    assert wide == []
    assert paper.evaluate("document.documentElement.scrollWidth") <= 643


def test_a_dark_scheme_prints_dark_on_white(paper):
    color = paper.locator("article p").first.evaluate("e => getComputedStyle(e).color")
    red, green, blue, *_ = (float(x) for x in color.strip("rgba()").split(","))
    assert max(red, green, blue) < 128
