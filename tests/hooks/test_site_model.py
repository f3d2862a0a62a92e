"""The site as a whole: lists, pages and snippets agree, and every verdict is true."""

import pytest

from errors import ContentError


def complaint(project, where: str) -> str:
    """The message for a site that must not load; it names the file and the cure."""
    with pytest.raises(ContentError) as error:
        project.load()
    message = str(error.value)
    assert message.startswith(f"{where}: ")
    assert "\n  Cure: " in message
    return message


NOTES = "docs/engines/notes.md"
HOME = "docs/index.md"


# A valid site


def test_a_valid_project_loads(project):
    site = project.load()
    assert list(site.pages) == ["engines/notes"]
    assert list(site.executions) == ["demo"]
    assert [page.key for page in site.in_reading_order] == ["engines/notes"]
    assert [page.key for page in site.pages_using("demo")] == ["engines/notes"]
    assert site.pages_using("other") == []


def test_a_ledger_row_has_both_numbers_in_one_manner(project):
    row = project.load().ledgers["engines/notes"][1]
    assert (row.says, row.we_get) == ("0.50", "0.3333")
    assert row.ours == pytest.approx(1 / 3, abs=0)


def test_only_what_differs_is_found_among_the_findings(project):
    differing = project.load().differing
    assert [row.fact.what for row in differing["engines/notes"]] == ["A third, $1/3$"]


def test_a_page_where_everything_holds_is_not_among_the_findings(project):
    del project.page["numbers"][1]
    assert project.load().differing == {}


def test_pages_come_in_the_order_of_the_reading_list(project):
    project.write_page("engines/a", project.page, project.body)
    project.entries.append({"page": "engines/a"})
    found = [page.key for page in project.load().in_reading_order]
    assert found == ["engines/notes", "engines/a"]


# Pages and the reading list


def test_a_listed_page_that_does_not_exist_is_told(project):
    project.entries.append({"page": "engines/looms"})
    message = complaint(project, HOME)
    assert "the reading list names `engines/looms`" in message
    assert "docs/engines/looms.md does not exist" in message


def test_a_page_that_is_not_listed_is_told(project):
    project.write_page("engines/looms", project.page, project.body)
    message = complaint(project, HOME)
    assert "`engines/looms` 0 times" in message
    assert "Cure: list `page: engines/looms` once" in message


def test_a_page_that_is_listed_twice_is_told(project):
    project.entries.append({"page": "engines/notes"})
    assert "`engines/notes` 2 times" in complaint(project, HOME)


def test_a_listed_page_without_url_is_told(project):
    del project.page["url"]
    assert f"{NOTES} has no `url`" in complaint(project, HOME)


def test_a_needed_page_that_does_not_exist_is_told(project):
    project.page["needs"] = ["engines/looms"]
    message = complaint(project, NOTES)
    assert "`needs`: there is no page `engines/looms`" in message
    assert "choose from engines/notes" in message


def test_an_unknown_snippet_is_told(project):
    project.page["snippets"] = ["demo", "loom"]
    message = complaint(project, NOTES)
    assert "`snippets`: there is no snippets/loom.py" in message
    assert "choose from demo" in message


# Numbers


def test_a_number_of_an_unknown_snippet_is_told(project):
    project.first_number["ours"] = "loom.answer"
    message = complaint(project, NOTES)
    assert "`loom.answer` names an unknown snippet" in message
    assert "Cure: snippets/ has: demo" in message


@pytest.mark.parametrize("reference", ["demo.question", "demo", "demo."])
def test_a_number_without_computation_is_told(project, reference):
    project.first_number["ours"] = reference
    message = complaint(project, NOTES)
    assert f"`{reference}` is a number without computation" in message
    assert "answer, flops, parameters, third" in message


def test_a_number_that_is_said_to_hold_and_does_not_is_told(project):
    project.first_number["says"] = "43"
    message = complaint(project, NOTES)
    assert "“The answer” says it holds" in message
    assert "the source has 43 and demo.answer is 42.0 (tolerance 0)" in message
    assert "say `verdict: differs` and `why`" in message


def test_a_number_that_is_said_to_differ_and_holds_is_told(project):
    project.first_number.update(verdict="differs", why="It must.")
    message = complaint(project, NOTES)
    assert "“The answer” says it differs" in message
    assert "say `verdict: holds`" in message


def test_the_cure_of_a_number_that_holds_takes_the_why_out(project):
    project.first_number.update(verdict="differs", why="It must.")
    assert "`why`" in complaint(project, NOTES).split("Cure:")[1]


@pytest.mark.parametrize(
    ("within", "verdict"),
    [("rounding", "holds"), ("0.01", "differs"), ("5 %", "holds"), (None, "differs")],
)
def test_the_tolerance_decides(project, within, verdict):
    """The snippet's 3.27e18 beside 3.3e18."""
    number = project.first_number
    number.update(says="3.3e18", ours="demo.flops", verdict=verdict)
    if within:
        number["within"] = within
    if verdict == "differs":
        number["why"] = "It was rounded."
    [row, _] = project.load().ledgers["engines/notes"]
    assert row.fact.verdict == verdict
    assert row.we_get == "3.270 × 10¹⁸"


def test_a_faulty_header_is_told_before_anything_runs(new_project):
    new_project.snippet = new_project.snippet.replace("**Takes:**", "Takes:")
    assert "header without “Takes”" in complaint(new_project, "snippets/demo.py")
    assert not new_project.cache.exists()


def test_a_faulty_page_is_told_before_anything_runs(new_project):
    new_project.page["snippets"] = ["loom"]
    complaint(new_project, NOTES)
    assert not new_project.cache.exists()
