"""The deck: cards come, are graded, go, and come back on the day they are due."""

import datetime
import json
import re
from itertools import pairwise

import pytest
from playwright.sync_api import Page, expect

from reader import console_of

MONDAY = datetime.datetime(2027, 3, 1, 9, 0)


@pytest.fixture
def deck(page: Page, address: str) -> Page:
    page.clock.install(time=MONDAY)
    page.goto(address + "review.html")
    return page


def count(page: Page, which: str) -> int:
    return int(page.locator(f"#{which}").inner_text())


def unfold(page: Page) -> None:
    page.locator("#table summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#grades")).to_be_visible()


def cards(page: Page) -> dict:
    text = page.evaluate("localStorage.getItem('rederived')")
    return json.loads(text)["cards"] if text else {}


def come_back(page: Page, **later: int) -> None:
    page.clock.set_fixed_time(MONDAY + datetime.timedelta(**later))
    page.reload()


def test_the_deck_has_every_question_of_every_page(deck, site):
    asked = sum(len(page.facts.questions) for page in site.pages.values())
    assert deck.locator(".deck .asked").count() == asked
    assert count(deck, "new") == asked
    names = deck.evaluate("[...document.querySelectorAll('.asked')].map(a => a.id)")
    assert len(set(names)) == asked


def test_a_card_is_answered_graded_and_scheduled_by_keyboard_alone(deck):
    new = count(deck, "new")
    deck.locator("#begin").focus()
    deck.keyboard.press("Enter")
    expect(deck.locator("#table .asked")).to_have_count(1)
    expect(deck.locator("#grades")).to_be_hidden()
    first = deck.locator("#table .asked").get_attribute("id")
    unfold(deck)
    grades = deck.locator("#grades button").all_inner_texts()
    assert [re.sub(":.*", "", grade) for grade in grades] == [
        "Again",
        "Hard",
        "Good",
        "Easy",
    ]
    deck.keyboard.press("Alt+4")  # the browser's
    assert cards(deck) == {}
    deck.keyboard.press("4")
    assert deck.locator("#table .asked").get_attribute("id") != first
    assert (count(deck, "new"), count(deck, "later")) == (new - 1, 1)
    [(name, card)] = cards(deck).items()
    assert name.endswith(f"#{first}")
    assert card["reps"] == 1
    deck.get_by_role("button", name="Leave the rest").click()
    expect(deck.locator("#table .asked")).to_have_count(0)
    expect(deck.locator(f".deck #{first}")).to_have_count(1)


def test_over_several_days_what_is_due_comes_first_and_intervals_grow(deck):
    deck.locator("#begin").click()
    unfold(deck)
    deck.keyboard.press("4")
    deck.get_by_role("button", name="Leave the rest").click()
    [(name, card)] = cards(deck).items()
    days = [card["scheduled_days"]]
    passed = 0
    for _ in range(3):
        come_back(deck, days=passed + days[-1] - 1)
        assert count(deck, "due") == 0  # the day before
        expect(deck.locator("#next")).to_contain_text("due in 1 day")
        passed += days[-1]
        come_back(deck, days=passed, minutes=5)
        assert count(deck, "due") == 1
        deck.locator("#begin").click()
        identity = name.split("#")[1]
        expect(deck.locator(f"#table #{identity}")).to_have_count(1)
        unfold(deck)
        deck.keyboard.press("3")
        deck.get_by_role("button", name="Leave the rest").click()
        days.append(cards(deck)[name]["scheduled_days"])
    assert all(later > 1.5 * sooner for sooner, later in pairwise(days))


def test_what_is_forgotten_comes_back_within_minutes_and_counts_as_a_lapse(deck):
    deck.locator("#begin").click()
    unfold(deck)
    deck.keyboard.press("4")
    [(name, card)] = cards(deck).items()
    come_back(deck, days=card["scheduled_days"], minutes=5)
    deck.locator("#begin").click()
    unfold(deck)
    deck.keyboard.press("1")
    lapsed = cards(deck)[name]
    assert lapsed["lapses"] == 1
    assert lapsed["due"] - lapsed["last_review"] <= 10 * 60_000
    assert lapsed["stability"] < card["stability"]


def test_only_pages_that_were_read_if_the_reader_wants_that(deck, address):
    deck.goto(f"{address}recurrent/olah-lstm.html")
    deck.get_by_role("button", name="Mark as read").click()
    asked = deck.locator(".asked").count()
    deck.goto(f"{address}review.html")
    deck.get_by_label("only pages").check()
    assert count(deck, "new") == asked
    deck.locator("#begin").click()
    expect(deck.locator("#from")).to_have_text("From Understanding LSTM Networks")


def test_ten_new_cards_are_enough_at_once(deck):
    deck.locator("#begin").click()
    for _ in range(10):
        unfold(deck)
        deck.keyboard.press("4")
    expect(deck.locator("#session")).to_be_hidden()
    expect(deck.locator(".notice")).to_contain_text("Enough that is new")
    assert count(deck, "later") == 10


def test_a_card_graded_while_a_clock_was_ahead_is_graded_again(deck):
    deck.locator("#begin").click()
    unfold(deck)
    deck.keyboard.press("1")  # it is due in a minute
    [name] = cards(deck)
    come_back(deck, days=-30)
    deck.evaluate(
        """name => {
            const kept = JSON.parse(localStorage.getItem("rederived"));
            kept.cards[name].due = 1;
            localStorage.setItem("rederived", JSON.stringify(kept));
        }""",
        name,
    )
    deck.reload()
    before = cards(deck)[name]
    deck.locator("#begin").click()
    unfold(deck)
    deck.keyboard.press("3")
    after = cards(deck)[name]
    assert after["reps"] == before["reps"] + 1
    assert after["due"] > before["last_review"] > MONDAY.timestamp() * 1000 - 864e5


def test_where_no_worker_keeps_pages_none_is_promised(deck):
    deck.wait_for_load_state("networkidle")
    expect(deck.locator("#export")).to_be_visible()
    expect(deck.locator("#keep")).to_be_hidden()


def test_without_javascript_the_deck_is_a_list_of_questions(browser, address):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address + "review.html")
        expect(page.locator("#begin")).to_be_hidden()
        folded = page.locator(".deck details.question").first
        folded.locator("summary").click()
        expect(folded.locator("p").first).to_be_visible()


def test_from_a_local_disk_the_deck_works(page, unpacked):
    console = console_of(page)
    page.goto((unpacked / "review.html").as_uri())
    page.locator("#begin").click()
    expect(page.locator("#table .asked")).to_have_count(1)
    expect(page.locator("#keep")).to_be_hidden()
    assert console == []
