"""A page on paper: A4, with margins of 2 cm, 643 pixels wide."""

import pytest
from playwright.sync_api import Browser, Page

PAGES = [
    "recurrent/olah-lstm.html",
    "recurrent/burkov-ch6.html",
    "transformers/hoffmann-chinchilla.html",
    "snippets/lstm.html",
    "path.html",
    "review.html",
]
# what is ticked in the table of a picture is part of the table, and stays
CONTROLS = """.md-header, .md-sidebar, .md-footer, button, select,
    .md-button:not(.original *), [type=range], [type=number], .run-panel,
    article label:not(form.check label)"""


@pytest.fixture(scope="module", params=PAGES)
def paper(request: pytest.FixtureRequest, browser: Browser, address: str):
    with browser.new_context(
        viewport={"width": 643, "height": 971}, service_workers="block"
    ) as context:
        page = context.new_page()
        page.emulate_media(media="print", color_scheme="dark")
        page.goto(address + request.param)
        yield page


def seen(page: Page, selector: str, seen: bool = True) -> list[str]:
    """What is printed of these elements, or is not."""
    return page.evaluate(
        """([selector, seen]) => [...document.querySelectorAll(selector)]
            .filter(e => e.checkVisibility({contentVisibilityAuto: false}) === seen)
            .map(e => `${e.tagName} ${e.className}: ${e.textContent.slice(0, 60)}`)""",
        [selector, seen],
    )


def test_nothing_is_printed_that_wants_a_click(paper):
    assert seen(paper, CONTROLS) == []


def test_text_links_questions_and_what_is_folded_are_printed(paper):
    wants_a_click = (
        ".actions:not(.original), .downloads, .progress, .study, .headerlink"
    )
    unseen = f":is({wants_a_click}), :is({wants_a_click}) *"
    text = f"article :is(p, li, a[href], legend):not({unseen})"
    assert seen(paper, text, seen=False) == []
    assert seen(paper, "article details > :not(summary)", seen=False) == []
    if "path" not in paper.url and "snippets" not in paper.url:
        assert seen(paper, "form.check legend")
        assert seen(paper, "details.question > p")


def test_the_address_of_the_original_stands_near_the_top(paper, site):
    key = paper.url.split("/", 3)[3].removesuffix(".html")
    links = paper.locator(".original a")
    printed = links.evaluate_all(
        "links => links.map(a => getComputedStyle(a, '::after').content)"
    )
    facts = site.pages[key].facts if key in site.pages else None
    addresses = [facts.url, facts.archive] if facts else []
    assert printed == [f'": {address}"' for address in addresses if address]


def test_nothing_is_cut_off(paper):
    wide = paper.evaluate(
        """() => [...document.querySelectorAll("article, article *")].filter(e =>
            e.checkVisibility() && e.scrollWidth > e.clientWidth + 4 &&
            getComputedStyle(e).overflowX !== "visible" &&
            !e.closest(".katex-mathml, .visually-hidden")
        ).map(e => `${e.tagName} ${e.className}: ${e.innerText.slice(0, 60)}`)"""
    )
    assert wide == []
    assert paper.evaluate("document.documentElement.scrollWidth") <= 643


def test_a_dark_scheme_prints_dark_on_white(paper):
    ink, white = paper.evaluate(
        """[getComputedStyle(document.querySelector("article p")).color,
            getComputedStyle(document.body).backgroundColor]"""
    )
    red, green, blue, *_ = (float(x) for x in ink.strip("rgba()").split(","))
    assert max(red, green, blue) < 128
    assert white == "rgb(255, 255, 255)"


def test_without_javascript_what_is_folded_is_printed_too(browser, address):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.emulate_media(media="print")
        page.goto(address + PAGES[0])
        assert seen(page, "article details > :not(summary)", seen=False) == []
        assert seen(page, "article details > :not(summary)")
