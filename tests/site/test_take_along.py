"""What a reader takes along works elsewhere: offline, from a zip, in Anki, as text."""

import re
import xml.etree.ElementTree as ElementTree
from datetime import datetime
from pathlib import Path

import pytest
from anki.collection import (
    Collection,
    ImportAnkiPackageOptions,
    ImportAnkiPackageRequest,
)
from playwright.sync_api import Browser, Page, expect

from reader import console_of, search, wait_until

VISITED = "recurrent/olah-lstm.html"
ATOM = "{http://www.w3.org/2005/Atom}"


# Without a network


@pytest.fixture
def visitor(browser: Browser, address: str):
    """A reader who has visited one page; the service worker is at work."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.goto(address + "index.html", wait_until="load")
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        wait_until(page, "Boolean(navigator.serviceWorker.controller)")
        page.goto(address + VISITED, wait_until="networkidle")
        yield page


def test_offline_a_reader_reads_and_searches(visitor: Page, address):
    visitor.context.set_offline(True)
    for path in ("", "index.html", VISITED, f"{VISITED}?h=gate", "path.html"):
        visitor.goto(address + path)
        expect(visitor.locator("h1").first).not_to_contain_text("404")
    visitor.goto(address + VISITED)
    expect(visitor.locator("svg.figure").first).to_be_visible()
    assert VISITED in search(visitor, "forget gate")
    visitor.goto(address + "recurrent/karpathy-rnn-effectiveness.html")  # never seen
    expect(visitor.locator("h1")).to_contain_text("404: this page is not here")
    expect(visitor.get_by_text("every page if you ask for it")).to_be_visible()


def kept(page: Page) -> set[str]:
    """The addresses in the cache, without that of the site."""
    urls = page.evaluate(
        "caches.keys().then(([name]) => caches.open(name)).then(c => c.keys())"
        ".then(kept => kept.map(request => request.url.slice(location.origin.length)))"
    )
    return {url.removeprefix("/") for url in urls}


def test_words_to_mark_and_downloads_are_not_kept(visitor: Page, address):
    visitor.goto(f"{address}glossary.html?h=gate", wait_until="networkidle")
    bytes_fetched = visitor.evaluate(
        "fetch('/rederived.apkg').then(answer => answer.blob()).then(b => b.size)"
    )
    assert bytes_fetched > 10_000
    assert "glossary.html" in kept(visitor)
    assert not [url for url in kept(visitor) if "?" in url or url.endswith("apkg")]


def test_every_page_can_be_kept_for_reading_offline(visitor: Page, address, built):
    visitor.goto(address + "review.html")
    visitor.get_by_role("button", name="Keep every page").click()
    pages = len(list(built.rglob("*.html")))
    expect(visitor.locator("#kept")).to_have_text(f"All {pages} are here now.")
    visitor.context.set_offline(True)
    visitor.goto(address + "snippets/lstm.html")
    expect(visitor.locator("h1")).to_contain_text("Long short-term memory")
    visitor.goto(address + "recurrent/heck-salem-mgu.html")  # never seen
    expect(visitor.locator(".picture fieldset").first).to_be_enabled()


def test_a_new_edition_takes_the_place_of_the_old_and_leaves_other_caches(
    browser, address, built
):
    script = built / "sw.js"
    now = script.read_text(encoding="utf-8")
    edition = re.search(r'EDITION = "(\w+)"', now)[1]
    with browser.new_context() as context:
        page = context.new_page()
        try:
            script.write_text(
                now.replace(edition, "theeditionbefore"), encoding="utf-8"
            )
            page.goto(address + VISITED, wait_until="load")
            wait_until(page, "Boolean(navigator.serviceWorker.controller)")
            page.goto(address + VISITED, wait_until="networkidle")
            page.evaluate("caches.open('another site')")
        finally:
            script.write_text(now, encoding="utf-8")
        page.evaluate("navigator.serviceWorker.ready.then(worker => worker.update())")
        gone = "caches.keys().then(all => !all.includes('rederived-theeditionbefore'))"
        wait_until(page, gone)
        assert set(page.evaluate("caches.keys()")) == {
            "another site",
            f"rederived-{edition}",
        }
        context.set_offline(True)
        page.goto(address + VISITED)  # kept anew
        expect(page.locator("h1")).to_contain_text("LSTM")


# From a disk


def test_the_zip_opens_from_a_disk_and_searches(page, unpacked):
    console = console_of(page)
    page.goto((unpacked / "index.html").as_uri())
    assert VISITED in search(page, "forget gate")
    page.goto((unpacked / VISITED).as_uri())
    expect(page.locator("svg.figure").first).to_be_visible()
    assert console == []


def test_the_zip_holds_every_page_and_nothing_that_needs_a_server(built, unpacked):
    names = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*.*")}
    pages = {path.relative_to(built).as_posix() for path in built.rglob("*.html")}
    assert pages <= names
    useless = re.compile("pyodide|lunr/|search_index.json|^sw.js$")
    assert [name for name in names if useless.search(name)] == []


# In Anki


def take_in(collection: Collection, package: Path) -> None:
    options = ImportAnkiPackageOptions()
    collection.import_anki_package(
        ImportAnkiPackageRequest(package_path=str(package), options=options)
    )


def test_anki_reads_the_deck_and_a_second_time_updates_it(built, site, tmp_path):
    asked = sum(len(page.facts.questions) for page in site.pages.values())
    collection = Collection(str(tmp_path / "collection.anki2"))
    try:
        for _ in range(2):
            take_in(collection, built / "rederived.apkg")
            assert collection.note_count() == asked
            assert collection.card_count() == asked
        note = collection.get_note(collection.find_notes("tag:recurrent::olah-lstm")[0])
        question, answer, page = note.fields
        facts = site.pages["recurrent/olah-lstm"].facts
        assert page == facts.title
        assert facts.questions[0].ask.split()[0] in question
        assert answer
        assert "{{" not in question + answer
    finally:
        collection.close()


# As text


def test_every_page_has_its_markdown_and_is_listed(built, site):
    listed = (built / "llms.txt").read_text(encoding="utf-8")
    for page in site.pages.values():
        text = (built / f"{page.key}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {page.facts.title}\n")
        assert f"]({page.key}.md): " in listed
        outside_code = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        left = re.findall(
            r"^:::.*|\{\{ .*|^\?\?\?|<(?:div|svg|form)", outside_code, re.M
        )
        assert left == [], page.key
        for row in site.ledgers[page.key]:
            assert row.we_get in text
        for question in page.facts.questions:
            first = re.findall(r"\w+", question.ask)[:5]
            assert " ".join(first) in " ".join(re.findall(r"\w+", text))
    for target in re.findall(r"\]\(([^)]+)\)", listed):
        assert (built / target).exists()


def test_all_references_are_in_one_file_with_no_key_twice(built, site):
    text = (built / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{([^,]+),", text, re.M)
    assert len(keys) == len(set(keys)) >= len(site.pages)
    for page in site.pages.values():
        assert {*re.findall(r"@\w+\{([^,]+),", page.facts.bibtex)} <= {*keys}


def test_the_feed_has_every_page_that_git_knows_newest_first(built, site):
    root = ElementTree.fromstring((built / "feed.xml").read_text(encoding="utf-8"))
    entries = root.findall(f"{ATOM}entry")
    dates = [entry.findtext(f"{ATOM}updated") for entry in entries]
    assert {entry.find(f"{ATOM}link").get("href") for entry in entries} <= {
        f"{key}.html" for key in site.pages
    }
    assert len(entries) in (0, len(site.pages))
    assert dates == sorted(dates, key=datetime.fromisoformat, reverse=True)
