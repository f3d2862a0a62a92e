"""What a reader has done is kept, shown, moved as a file, merged, and never lost."""

import copy
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from directives import identity
from pages import load_source

STUDIED = "recurrent/burkov-ch6"
DOCS = Path(__file__).parents[2] / "docs"
FACTS = load_source(DOCS / f"{STUDIED}.md", DOCS).facts
SET = next(exercise.task for exercise in FACTS.exercises if exercise.start)
EXERCISE = f"{STUDIED}#{identity('e', STUDIED, SET)}"
STORED = "localStorage.getItem('rederived')"
CARD = {
    "due": 1.8e12,
    "stability": 2.3,
    "difficulty": 2.1,
    "elapsed_days": 0,
    "scheduled_days": 8,
    "learning_steps": 0,
    "reps": 1,
    "lapses": 0,
    "state": 2,
    "last_review": 1.79e12,
    "at": 1.79e12,
}
PROGRESS: dict[str, Any] = {
    "format": "rederived-progress",
    "version": 2,
    "pages": {STUDIED: {"read": True, "at": 1.7e12}},
    "questions": {f"{STUDIED}#q-1": {"right": False, "at": 1.7e12}},
    "exercises": {EXERCISE: {"solved": True, "at": 1.7e12}},
    "cards": {f"{STUDIED}#q-1": CARD},
}


@pytest.fixture
def review(page: Page, address: str) -> Page:
    page.goto(address + "review.html")
    return page


@pytest.fixture
def take(review: Page, tmp_path: Path) -> Callable[[str | bytes], str]:
    """Import a text as a file; what the page says of it."""
    said = review.locator("#imported")

    def take(content: str | bytes) -> str:
        data = content.encode() if isinstance(content, str) else content
        said.evaluate("output => { output.textContent = '' }")
        review.locator("#import").set_input_files(
            {"name": "p.json", "mimeType": "application/json", "buffer": data}
        )
        expect(said).not_to_be_empty()
        return said.inner_text()

    return take


def stored(page: Page) -> dict[str, Any]:
    return json.loads(page.evaluate(STORED))


def put(page: Page, text: str) -> None:
    """Let the browser have stored a text, and open the page again."""
    page.evaluate("text => localStorage.setItem('rederived', text)", text)
    page.reload()


def with_(**sections: Any) -> str:
    return json.dumps(PROGRESS | sections)


# Kept and shown


def test_what_is_read_answered_and_solved_is_shown_where_the_page_is_linked(
    page, address
):
    page.goto(f"{address}{STUDIED}.html")
    page.get_by_role("button", name="Mark as read").click()
    form = page.locator("form.check", has=page.locator("[inputmode=decimal]")).first
    form.locator("input").fill(form.get_attribute("data-number"))
    form.locator("input").press("Enter")
    page.locator(".exercise").dispatch_event("solved", {"bubbles": True})
    asked = page.locator(".asked").count()
    words = f"read · 1 of {asked} questions right · an exercise solved"
    expect(page.locator(".progress span")).to_have_text(words)
    for place in ("index.html", "path.html"):
        page.goto(address + place)
        entries = page.locator(f"li[data-page='{STUDIED}'] > .mark")
        for index in range(entries.count()):
            expect(entries.nth(index)).to_have_text(words)
        assert entries.count()
    expect(page.locator(f"svg [data-page='{STUDIED}']")).to_have_class("read")
    page.goto(f"{address}{STUDIED}.html")
    page.get_by_role("button", name="Not read after all").click()
    expect(page.locator(".progress span")).not_to_contain_text("read")


def test_a_track_is_followed_to_its_end(page, address):
    page.goto(address + "path.html")
    heading = page.get_by_role("heading", name="From attention to Mamba")
    track = page.locator("section.track", has=heading)
    entries = track.get_by_role("listitem")
    minutes = re.findall(r"(\d+) min$", track.locator("ol").inner_text(), re.M)
    hours = f"{sum(map(int, minutes)) / 60:.1f} hours of reading"
    expect(track.locator(".facts")).to_contain_text(hours)
    keys = [entry.get_attribute("data-page") for entry in entries.all()]
    for index, key in enumerate(keys):
        entries.nth(index).get_by_role("link").click()
        page.get_by_role("button", name="Mark as read").click()
        page.go_back()
        expect(entries.nth(index).locator(".mark")).to_have_text("read")
        expect(track.locator(".mark", has_text="read")).to_have_count(index + 1)
        expect(page.locator(f"svg [data-page='{key}']")).to_have_class("read")
    page.goto(address)
    for key in keys:
        mark = page.locator(f"li[data-page='{key}'] > .mark").first
        expect(mark).to_have_text("read")


def test_a_right_answer_that_is_changed_to_a_wrong_one_counts_no_longer(page, address):
    page.goto(f"{address}{STUDIED}.html")
    form = page.locator("form.check", has=page.locator("[inputmode=decimal]")).first
    for typed, words in ((form.get_attribute("data-number"), "1 of"), ("-1", "")):
        form.locator("input").fill(typed)
        form.locator("input").press("Enter")
        expect(page.locator(".progress span")).to_have_text(re.compile(f"^{words}"))
    expect(page.locator(".progress span")).to_have_text("")


def test_an_answer_to_what_is_no_longer_asked_does_not_count(page, address):
    page.goto(f"{address}{STUDIED}.html")
    put(page, with_(questions={f"{STUDIED}#q-gone": {"right": True, "at": 1.7e12}}))
    expect(page.locator(".progress span")).to_have_text("read · an exercise solved")
    assert f"{STUDIED}#q-gone" in stored(page)["questions"]  # but it is kept


def test_an_open_question_is_judged_by_its_reader(page, address):
    page.goto(f"{address}{STUDIED}.html")
    asked = page.locator(".asked:not(:has(form))").first
    asked.locator("summary").click()
    asked.get_by_role("button", name="I knew it").click()
    expect(page.locator(".progress span")).to_contain_text("1 of")
    asked.get_by_role("button", name="Not yet").click()
    expect(page.locator(".progress span")).to_have_text("")


def test_two_tabs_keep_what_each_of_them_notes(page, address):
    other = page.context.new_page()
    for tab in (page, other):
        tab.goto(f"{address}{STUDIED}.html")
    other.locator(".exercise").dispatch_event("solved", {"bubbles": True})
    expect(page.locator(".progress span")).to_have_text("an exercise solved")
    page.get_by_role("button", name="Mark as read").click()
    expect(other.locator(".progress span")).to_have_text("read · an exercise solved")


def test_what_the_reader_does_now_counts_though_a_clock_was_ahead(page, address):
    page.goto(f"{address}{STUDIED}.html")
    ahead = {STUDIED: {"read": True, "at": 4e12}}
    put(page, with_(pages=ahead))
    page.get_by_role("button", name="Not read after all").click()
    expect(page.locator(".progress span")).to_have_text("an exercise solved")
    assert stored(page)["pages"][STUDIED] == {"read": False, "at": 4e12 + 1}


# As a file


def test_export_clear_import_brings_everything_back(review, take):
    take(json.dumps(PROGRESS))
    before = stored(review)
    with review.expect_download() as download:
        review.get_by_role("button", name="Export").click()
    assert re.fullmatch(
        r"rederived-progress-\d{4}-\d\d-\d\d\.json", download.value.suggested_filename
    )
    text = Path(download.value.path()).read_text(encoding="utf-8")
    assert json.loads(text) == before == PROGRESS
    review.once("dialog", lambda dialog: dialog.accept())
    review.get_by_role("button", name="Forget everything").click()
    assert stored(review)["pages"] == {}
    assert "4 records were newer" in take(text)
    assert stored(review) == before


def test_forgetting_everything_forgets_what_was_put_aside(review, take):
    put(review, "{half")
    expect(review.locator(".notice")).to_contain_text("put aside")
    review.evaluate("localStorage.setItem('another', 'site')")
    review.evaluate("localStorage.setItem('rederived-draft-lstm', '{}')")
    review.once("dialog", lambda dialog: dialog.accept())
    review.get_by_role("button", name="Forget everything").click()
    assert set(review.evaluate("Object.keys(localStorage)")) == {"rederived", "another"}


def test_forgetting_asks_first(review, take):
    take(json.dumps(PROGRESS))
    review.once("dialog", lambda dialog: dialog.dismiss())
    review.get_by_role("button", name="Forget everything").click()
    assert stored(review) == PROGRESS


def test_a_merge_keeps_the_newer_of_each(review, take):
    take(json.dumps(PROGRESS))
    older = {STUDIED: {"read": False, "at": 1.6e12}}
    newer = {f"{STUDIED}#q-1": {"right": True, "at": 1.71e12}}
    added = {"recurrent/index#e-2": {"solved": True, "at": 5}}
    said = take(with_(pages=older, questions=newer, exercises=added, cards={}))
    assert "2 records were newer" in said
    assert stored(review) == PROGRESS | {
        "questions": newer,
        "exercises": PROGRESS["exercises"] | added,
    }
    assert "0 records were newer" in take(json.dumps(PROGRESS))


def test_a_file_of_the_first_version_is_brought_forward(review, take):
    old = {key: value for key, value in PROGRESS.items() if key != "cards"}
    assert "3 records" in take(json.dumps(old | {"version": 1}))
    assert stored(review) == PROGRESS | {"cards": {}}


def test_what_an_older_edition_stored_is_shown_kept_and_brought_forward(page, address):
    old = {key: value for key, value in PROGRESS.items() if key != "cards"}
    page.goto(f"{address}{STUDIED}.html")
    put(page, json.dumps(old | {"version": 1}))
    expect(page.locator(".progress span")).to_have_text("read · an exercise solved")
    page.get_by_role("button", name="Not read after all").click()
    now = stored(page)
    assert now.pop("pages")[STUDIED]["read"] is False
    kept = {key: value for key, value in PROGRESS.items() if key != "pages"}
    assert now == kept | {"cards": {}}
    expect(page.locator(".notice p")).to_be_empty()


def spoiled() -> list[tuple[str, str | bytes]]:
    """Two hundred files that must not be taken, each with what the message says."""
    chance = random.Random(0)
    whole = json.dumps(PROGRESS)
    old = json.dumps({k: v for k, v in PROGRESS.items() if k != "cards"})
    files: list[tuple[str, str | bytes]] = []
    for text in [whole] * 50 + [old] * 10:  # truncated
        files.append(("cannot be read", text[: chance.randrange(len(text) - 1)]))
    for _ in range(20):  # overwritten
        data = bytearray(whole.encode())
        place = chance.randrange(len(data) - 8)
        data[place : place + 8] = b"\x00\xff\xfe{[\x01\x02\x03"
        files.append(("cannot be read", bytes(data)))
    foreign = [
        "[]",
        "7",
        "null",
        '"text"',
        "{}",
        '{"format": "other"}',
        '{"version": 2}',
    ]
    files += [("not a progress file", text) for text in foreign]
    for version in (0, -1, 1.5, "2", None, [2], {}, True):
        files.append(("its version", with_(version=version)))
    files += [("newer edition", with_(version=v)) for v in (3, 4, 99, 10**9)]
    sections = ("pages", "questions", "exercises", "cards")
    for section in sections:
        for value in (None, [], 1, "x", True):
            files.append((f"“{section}” is missing", with_(**{section: value})))
        for value in (None, [], 1, "x"):
            files.append(("does not belong", with_(**{section: {STUDIED: value}})))
        record = next(iter(PROGRESS[section].values()))
        for name in ("", "__proto__", "A", "../x", "a b", "<b>", "a" * 300):
            text = with_(**{section: {name: record}})
            files.append(("does not belong", text))
    for field, value in [("stability", 0), ("difficulty", 0), ("last_review", 1e300)]:
        spoiled_card = {f"{STUDIED}#q-1": CARD | {field: value}}
        files.append((f"“{field}” of “", with_(cards=spoiled_card)))
    beyond = {STUDIED: {"read": True, "at": 1e300}}
    files.append(("“at” of “", with_(pages=beyond)))
    while len(files) < 220:  # a field missing, or of another kind
        progress = copy.deepcopy(PROGRESS)
        record = next(iter(progress[chance.choice(sections)].values()))
        field = chance.choice(list(record))
        if chance.random() < 0.4:
            del record[field]
        else:
            record[field] = chance.choice(
                [None, "1", [], {}, -0.5 if field in FIRM else "x"]
            )
        files.append((f"“{field}” of “", json.dumps(progress)))
    return files


FIRM = ("at", "due", "last_review", "stability", "difficulty")


# each in its turn, inside the page: one call for all of them is much the faster
TAKE_EACH = """async (files) => {
    const said = document.querySelector("#imported");
    const input = document.querySelector("#import");
    const outcomes = [];
    for (const bytes of files) {
        said.textContent = "";
        const chosen = new DataTransfer();
        chosen.items.add(new File([new Uint8Array(bytes)], "p.json"));
        input.files = chosen.files;
        await new Promise((heard) => {
            new MutationObserver(heard).observe(said, { childList: true });
            input.dispatchEvent(new Event("change"));
        });
        outcomes.push([said.textContent, localStorage.getItem("rederived")]);
    }
    return outcomes;
}"""


def test_damaged_truncated_foreign_and_old_files_change_nothing(review, take):
    take(json.dumps(PROGRESS))
    before = review.evaluate(STORED)
    files = spoiled()
    assert len(files) >= 200
    data = [text.encode() if isinstance(text, str) else text for _, text in files]
    outcomes = review.evaluate(TAKE_EACH, [list(content) for content in data])
    for (words, content), (said, after) in zip(files, outcomes, strict=True):
        assert words in said, content
        assert said.endswith("Nothing was changed."), content
        assert after == before, content


def test_a_huge_file_is_refused_unread(take):
    assert "too large" in take(" " * 5_000_001)


# Where it cannot be kept


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("get", "keeps nothing for this site"),
        ("set", "no room left"),
    ],
)
def test_a_blocked_or_full_storage_is_said_and_the_page_goes_on(
    page, address, broken, words
):
    page.add_init_script(
        f"Storage.prototype.{broken}Item = () => {{ throw new DOMException('no') }}"
    )
    page.goto(f"{address}{STUDIED}.html")
    page.get_by_role("button", name="Mark as read").click()
    expect(page.locator(".notice")).to_contain_text(words)
    expect(page.locator(".progress span")).to_have_text("read")


def test_a_message_is_one_notice_in_a_live_region_and_can_be_closed(page, address):
    page.goto(address + "review.html")
    notice = page.locator(".notice")
    expect(notice).to_have_count(1)
    assert notice.bounding_box()["height"] == 0  # but there, for screen readers
    put(page, "{half")
    expect(notice.get_by_role("status")).to_contain_text("put aside")
    notice.get_by_role("button", name="Close").click()
    expect(notice.get_by_role("status")).to_be_empty()
    assert notice.bounding_box()["height"] == 0


def test_a_stored_form_that_cannot_be_read_is_put_aside_not_lost(page, address):
    page.goto(f"{address}{STUDIED}.html")
    put(page, "{half")
    expect(page.locator(".notice")).to_contain_text("put aside")
    page.get_by_role("button", name="Mark as read").click()
    assert stored(page)["pages"][STUDIED]["read"] is True
    kept = page.evaluate(
        "Object.entries(localStorage).filter(([k]) => k.startsWith('rederived-unread'))"
    )
    assert [text for _, text in kept] == ["{half"]


FULL = """Storage.prototype.setItem = () => { throw new DOMException('full') }"""


@pytest.mark.parametrize(
    ("text", "broken", "words"),
    [
        (with_(version=99, shape="of that day"), "", "newer edition of the site (99"),
        ("{half", FULL, "cannot be read and stays as it is"),
        (
            json.dumps(PROGRESS),
            "Storage.prototype.getItem = () => { throw new DOMException('no') }",
            "keeps nothing for this site",
        ),
    ],
    ids=["newer", "unreadable-and-full", "blocked"],
)
def test_what_this_edition_cannot_read_it_does_not_touch(
    page, address, text, broken, words
):
    page.goto(f"{address}{STUDIED}.html")
    page.add_init_script(broken)
    put(page, text)
    expect(page.locator(".notice")).to_contain_text(words)
    page.get_by_role("button", name="Mark as read").click()
    page.locator(".exercise").dispatch_event("solved", {"bubbles": True})
    expect(page.locator(".progress span")).to_have_text("read · an exercise solved")
    expect(page.locator(".notice")).to_contain_text(words)
    assert page.evaluate("({ ...localStorage })") == {"rederived": text}


def test_a_newer_edition_finds_what_it_stored_after_a_visit_to_this_one(review, take):
    newer = with_(version=99)
    put(review, newer)
    assert "4 records were newer" in take(json.dumps(PROGRESS))
    assert review.evaluate("({ ...localStorage })") == {"rederived": newer}


def test_what_could_not_be_stored_outlasts_what_another_tab_stores(page, address):
    page.add_init_script(FULL)
    page.goto(f"{address}{STUDIED}.html")
    page.get_by_role("button", name="Mark as read").click()
    other = page.context.new_page()
    other.goto(f"{address}{STUDIED}.html")
    other.locator(".exercise").dispatch_event("solved", {"bubbles": True})
    expect(page.locator(".progress span")).to_have_text("read · an exercise solved")
