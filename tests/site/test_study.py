"""A reader answers the questions of a page and solves its exercise."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

STUDIED = "recurrent/burkov-ch6.html"
# what the keyboard has reached, and what is right there
FOCUSED = """(() => {
    const here = document.activeElement, asked = here.closest(".asked");
    const form = asked?.querySelector("form");
    const open = asked && !form && here.matches("summary, .judge button:first-child");
    const kind = form && here.name === "answer" ? here.type : open ? "open" : "";
    return [kind, here.value, form?.dataset.right, form?.dataset.number];
})()"""


@pytest.fixture
def studied(page: Page, address: str) -> Page:
    page.goto(address + STUDIED)
    return page


def form_of(page: Page, kind: str) -> Locator:
    return page.locator("form.check", has=page.locator(f"input{kind}")).first


def answer_of(form: Locator) -> Locator:
    """What stands folded below a question."""
    return form.locator("xpath=following-sibling::details[1]")


def test_a_choice_is_made_by_keyboard_wrong_and_then_right(studied):
    form = form_of(studied, "[type=radio]")
    right = form.get_attribute("data-right")
    wrong = next(value for value in ("1", "2") if value != right)
    form.locator(f"input[value='{wrong}']").focus()
    studied.keyboard.press("Space")
    studied.keyboard.press("Enter")
    said = form.locator("output")
    expect(said).to_contain_text("Not this one")
    assert answer_of(form).get_attribute("open") is None
    steps = int(right) - int(wrong)
    for _ in range(abs(steps)):
        studied.keyboard.press("ArrowDown" if steps > 0 else "ArrowUp")
    expect(said).to_have_text("")  # what was said was of another answer
    studied.keyboard.press("Enter")
    expect(said).to_have_text("Right.")
    expect(answer_of(form).locator("p").first).to_be_visible()


def test_every_question_of_a_page_is_answered_by_keyboard_alone(page, address):
    """A page with questions of each kind: a choice, several, a number, an open one."""
    page.goto(address + "recurrent/olah-lstm.html#check-yourself")
    keyboard, kinds = page.keyboard, set()
    asked = page.locator(".asked").count()
    all_right = f"{asked} of {asked} questions right"
    progress = page.locator(".progress span")
    for _ in range(60):
        keyboard.press("Tab")
        kind, value, right, number = page.evaluate(FOCUSED)
        kinds.add(kind)
        if kind == "radio":
            keyboard.press("Space")
            for _ in range(int(right) - int(value)):
                keyboard.press("ArrowDown")
            keyboard.press("Enter")
        elif kind == "checkbox":
            if value in right.split():
                keyboard.press("Space")
            keyboard.press("Enter")
        elif kind == "text":
            keyboard.type(number)
            keyboard.press("Enter")
        elif kind == "open":
            keyboard.press("Enter")  # unfolds the answer; then: I knew it
        if progress.inner_text() == all_right:
            break
    expect(progress).to_have_text(all_right)
    assert kinds >= {"radio", "checkbox", "text", "open"}


def test_nothing_chosen_is_no_answer(studied):
    form = form_of(studied, "[type=radio]")
    form.get_by_role("button", name="Check").click()
    expect(form.locator("output")).to_have_text("Choose an answer first.")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("{}", "Right."),
        (" {} ", "Right."),
        ("{}e0", "Right."),
        ("1{}", "Not yet: it is less."),
        ("-{}", "Not yet: it is more."),
        ("−{}", "Not yet: it is more."),
        ("some", "Type a number"),
        ("0,25", "Type a number"),  # no thousands are set apart here
        ("0,325", "Type a number"),
        ("", "Type a number"),
    ],
)
def test_a_number_is_typed_as_people_type_numbers(studied, typed, said):
    form = form_of(studied, "[inputmode=decimal]")
    form.locator("input").fill(typed.format(form.get_attribute("data-number")))
    form.locator("input").press("Enter")
    expect(form.locator("output")).to_contain_text(said)


def test_a_number_may_have_its_thousands_set_apart(studied):
    form = form_of(studied, "[inputmode=decimal]")
    form.evaluate("f => { f.dataset.number = 51600 }")
    for typed in ("51,600", "51 600", "5.16 × 10^4", "5.16e4"):
        form.locator("input").fill(typed)
        form.locator("input").press("Enter")
        expect(form.locator("output")).to_have_text("Right.")


def test_of_several_answers_all_are_wanted(studied):
    form = form_of(studied, "[value='2']")
    form.evaluate(
        "f => { f.dataset.right = '1 2';"
        " for (const box of f.elements.answer) box.type = 'checkbox' }"
    )
    boxes = form.locator("input")
    boxes.nth(0).check()
    boxes.nth(0).press("Enter")
    expect(form.locator("output")).to_contain_text("1 of your 1 are right, and 2")
    boxes.nth(1).check()
    boxes.nth(1).press("Enter")
    expect(form.locator("output")).to_have_text("Right.")


def test_an_exercise_is_solved_in_the_page(studied, built):
    if not (built / "assets/pyodide").exists():
        pytest.skip("the site was built without the wheels of Pyodide")
    exercise = studied.locator(".exercise").first
    exercise.get_by_role("button", name="Solve it in this page").click()
    panel = studied.get_by_role("region", name=re.compile("Run exercise"))
    code, status = panel.get_by_role("textbox"), panel.locator(".run-status")
    expect(code).to_be_focused()

    def run(text: str) -> None:
        code.press("ControlOrMeta+a")
        code.press("Delete")
        studied.keyboard.insert_text(text)
        studied.keyboard.press("Control+Enter")

    studied.keyboard.press("Control+Enter")  # as it stands
    expect(status).to_contain_text("Not yet", timeout=120_000)
    expect(panel.get_by_role("log")).to_contain_text("Error")
    run("while True:\n    pass\n")
    panel.get_by_role("button", name="Stop").click()
    expect(status).to_have_text("Stopped.")
    run("raise SystemExit\n")
    expect(status).to_contain_text("Not yet", timeout=120_000)
    run(exercise.locator("details.solution .highlight code").last.text_content())
    expect(status).to_have_text("Solved: every check passes.", timeout=120_000)
    expect(exercise.locator("output")).to_have_text("Solved.")


def test_from_a_local_disk_questions_work_and_exercises_offer_nothing(page, built):
    page.goto((built / STUDIED).as_uri())
    form = form_of(page, "[inputmode=decimal]")
    form.locator("input").fill(form.get_attribute("data-number"))
    form.locator("input").press("Enter")
    expect(form.locator("output")).to_have_text("Right.")
    expect(page.get_by_role("button", name="Solve it")).to_have_count(0)


def test_without_javascript_a_question_is_text_and_its_answer_folds(browser, address):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address + STUDIED)
        form = form_of(page, "[type=radio]")
        expect(form.locator("label").first).to_be_visible()
        expect(form.get_by_role("button")).to_have_count(0)
        answer_of(form).locator("summary").click()
        expect(answer_of(form).locator("p").first).to_be_visible()


def test_a_term_is_explained_when_the_keyboard_reaches_it(page, address):
    page.goto(address + "recurrent/olah-lstm.html")
    term = page.locator("abbr").first
    shown = "e => getComputedStyle(e, '::after').content"
    assert term.evaluate(shown) == "none"
    term.focus()
    assert term.evaluate(shown).strip('"') == term.get_attribute("title")
