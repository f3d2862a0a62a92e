"""The front matter: every slip of an author is told with page, field and cure."""

import pytest

from errors import ContentError
from pages import (
    HEADINGS,
    NumberRow,
    Source,
    load_reading_list,
    load_source,
    read_front_matter,
)


def load(project):
    project.write()
    return load_source(project.docs / "engines/notes.md", project.docs)


def complaint(project) -> str:
    """The message for a page that must not load; it names page and cure."""
    with pytest.raises(ContentError) as error:
        load(project)
    message = str(error.value)
    assert message.startswith("docs/engines/notes.md: ")
    assert "\n  Cure: " in message
    return message


def row(says: str, within: str | None = None) -> NumberRow:
    return NumberRow(what="w", where="w", says=says, ours="a.b", within=within)


# A page


def test_a_valid_page_loads(new_project):
    page = load(new_project)
    assert page.key == "engines/notes"
    assert page.where == "docs/engines/notes.md"
    assert page.facts.title == "Notes on the Engine"
    assert (page.facts.year, page.facts.minutes) == (1843, 25)
    assert page.facts.numbers[0].verdict == "holds"


def test_a_page_without_url_treats_no_source(new_project):
    path = new_project.write_page("about", "title: About\n", "\n# About\n")
    assert load_source(path, new_project.docs) is None


def test_a_page_without_front_matter_treats_no_source(new_project):
    new_project.docs.mkdir()
    path = new_project.docs / "about.md"
    path.write_text("# About\n")
    assert load_source(path, new_project.docs) is None


OPTIONAL = {"archive", "archive_label"}
REQUIRED = [
    field for field in Source.model_fields if field not in {*OPTIONAL, "url"}
]  # without `url` the page treats no source: see test_site_model.py


@pytest.mark.parametrize("field", REQUIRED)
def test_a_missing_field_is_named(new_project, field):
    del new_project.page[field]
    assert f"`{field}`: Field required" in complaint(new_project)


@pytest.mark.parametrize("field", [field for field in REQUIRED if field != "needs"])
def test_an_empty_field_is_named(new_project, field):
    new_project.page[field] = type(new_project.page[field])()
    assert f"`{field}`: " in complaint(new_project)


@pytest.mark.parametrize("field", ["what", "where", "says", "ours"])
def test_a_missing_field_of_a_number_is_named_with_its_row(new_project, field):
    del new_project.page["numbers"][1][field]
    assert f"`numbers.1.{field}`: Field required" in complaint(new_project)


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("questions", "ask"),
        ("questions", "answer"),
        ("exercises", "task"),
        ("exercises", "solution"),
    ],
)
def test_a_missing_field_of_a_question_or_exercise_is_named(new_project, part, field):
    del new_project.page[part][1][field]
    assert f"`{part}.1.{field}`: Field required" in complaint(new_project)


def test_an_unknown_field_is_named(new_project):
    new_project.page["keywords"] = ["sums"]
    assert "`keywords`: " in complaint(new_project)


def test_an_unknown_field_of_a_number_is_named(new_project):
    new_project.first_number["tolerance"] = "0.1"
    assert "`numbers.0.tolerance`: " in complaint(new_project)


def test_every_fault_is_told_at_once(new_project):
    del new_project.page["title"]
    new_project.page["kind"] = "tweet"
    message = complaint(new_project)
    assert "`title`: " in message
    assert "`kind`: " in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "tweet"),
        ("level", "hard"),
        ("url", "example.org/notes"),
        ("archive", "nowhere"),
        ("year", "long ago"),
        ("year", "unknown"),
        ("minutes", "long"),
        ("authors", "Ada Lovelace"),
        ("needs", "engines/notes"),
        ("snippets", "demo"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(new_project, field, value):
    new_project.page[field] = value
    assert f"`{field}`: " in complaint(new_project)


@pytest.mark.parametrize(
    ("fields", "complaint_of_it"),
    [
        ({"choices": ["a", "b"]}, "`choices` and `right` belong together"),
        ({"right": "1"}, "`choices` and `right` belong together"),
        ({"choices": ["a", "b"], "right": "3"}, "`right` is 3, but there are 2"),
        ({"choices": ["a", "b"], "right": ["1", "1"]}, "names a choice twice"),
        ({"choices": ["a", "b"], "right": "0"}, "greater than 0"),
        ({"choices": ["a"], "right": "1"}, "at least 2 items"),
        ({"choices": ["a", "b"], "right": "1", "number": "2"}, "not both"),
        ({"number": "many"}, "“many” is neither a plain number nor snippet.key"),
        ({"within": "0.1"}, "`within` belongs to a `number`"),
        ({"number": "2", "within": "about"}, "neither `rounding`, nor 0.01"),
    ],
)
def test_a_question_has_one_form(new_project, fields, complaint_of_it):
    new_project.page["questions"][1] |= fields
    message = complaint(new_project)
    assert "`questions.1" in message
    assert complaint_of_it in message


@pytest.mark.parametrize(
    ("fields", "complaint_of_it"),
    [
        ({"start": "x = 0"}, "`start` and `check` belong together"),
        ({"check": "assert x"}, "`start` and `check` belong together"),
        ({"start": "x = 0", "check": "assert x"}, "one block of Python"),
    ],
)
def test_a_graded_exercise_is_complete(new_project, fields, complaint_of_it):
    new_project.page["exercises"][1] |= fields
    assert complaint_of_it in complaint(new_project)


@pytest.mark.parametrize("count", [4, 9])
def test_there_are_five_to_eight_questions(new_project, count):
    new_project.page["questions"] = new_project.page["questions"][:1] * count
    assert "`questions`: " in complaint(new_project)


@pytest.mark.parametrize("count", [1, 5])
def test_there_are_two_to_four_exercises(new_project, count):
    new_project.page["exercises"] = new_project.page["exercises"][:1] * count
    assert "`exercises`: " in complaint(new_project)


@pytest.mark.parametrize(
    "bibtex", ["Lovelace 1843", "@misc{key}", "@misc{a b,\n}", "@misc{a,\n title={N},"]
)
def test_bibtex_must_be_one_entry_with_its_braces_closed(new_project, bibtex):
    new_project.page["bibtex"] = bibtex
    message = complaint(new_project)
    assert "`bibtex`: " in message
    assert "@kind{key, …}" in message


@pytest.mark.parametrize("value", ["-25", "0"])
@pytest.mark.parametrize("field", ["year", "minutes"])
def test_a_time_that_cannot_be_is_named(new_project, field, value):
    new_project.page[field] = value
    assert f"`{field}`: " in complaint(new_project)


# YAML


def test_bad_yaml_tells_file_line_and_cure(new_project):
    path = new_project.write_page("engines/notes", "title: [a\nurl: b\n", "")
    with pytest.raises(ContentError) as error:
        load_source(path, new_project.docs)
    message = str(error.value)
    assert message.startswith("docs/engines/notes.md: front matter: ")
    assert "line 2" in message
    assert "Cure: mend the YAML" in message


@pytest.mark.parametrize("yaml", ["- a\n- b\n", "hello\n", "7\n"])
def test_front_matter_without_fields_is_told(new_project, yaml):
    path = new_project.write_page("engines/notes", yaml, "")
    with pytest.raises(ContentError, match="has no fields") as error:
        load_source(path, new_project.docs)
    assert str(error.value).startswith("docs/engines/notes.md: front matter: ")


def test_bad_yaml_tells_which_of_two_index_pages(new_project):
    path = new_project.write_page("engines/index", "title: [a\n", "")
    with pytest.raises(ContentError, match=r"docs/engines/index\.md"):
        load_source(path, new_project.docs)


def test_a_field_given_twice_is_told(new_project):
    new_project.write()
    path = new_project.docs / "engines/notes.md"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("---\n", "---\nminutes: 30\n", 1), encoding="utf-8")
    with pytest.raises(ContentError, match="the key `minutes` stands twice"):
        load_source(path, new_project.docs)


@pytest.mark.parametrize("typed", ["0.50", "3.3e18", "65e6", "51600", "-1.0", "007"])
def test_numbers_stay_as_they_are_typed(new_project, typed):
    path = new_project.write_page("a", f"says: {typed}\n", "body\n")
    assert read_front_matter(path, "docs/a.md") == ({"says": typed}, "body\n")


def test_a_field_of_a_number_given_twice_is_told(new_project):
    text = "numbers:\n- says: 1\n  says: 2\n"
    path = new_project.write_page("engines/notes", text, "")
    with pytest.raises(ContentError, match="the key `says` stands twice"):
        load_source(path, new_project.docs)


def test_a_page_that_is_not_utf_8_is_told(new_project):
    path = new_project.write_page("engines/notes", new_project.page, "")
    path.write_bytes(path.read_bytes() + b"na\xefve\n")
    with pytest.raises(ContentError, match=r"docs/engines/notes\.md"):
        load_source(path, new_project.docs)


def test_a_number_keeps_its_zero_all_the_way(new_project):
    assert load(new_project).facts.numbers[1].says == "0.50"


def test_words_of_yaml_stay_words(new_project):
    path = new_project.write_page("a", "title: No\nunit: null\n", "")
    assert read_front_matter(path, "docs/a.md")[0] == {"title": "No", "unit": "null"}


# Headings


def test_a_missing_heading_is_told_with_the_right_order(new_project):
    new_project.body = new_project.body.replace("## What it teaches", "What it does")
    message = complaint(new_project)
    found, cure = message.split("Cure:")
    assert "What it teaches" not in found
    assert str(list(HEADINGS)) in cure


def test_headings_in_the_wrong_order_are_told(new_project):
    new_project.body = (
        new_project.body.replace("## Cite", "## X")
        .replace("## Check yourself", "## Cite")
        .replace("## X", "## Check yourself")
    )
    assert "'Cite', 'Check yourself'" in complaint(new_project)


def test_a_heading_too_many_is_told(new_project):
    new_project.body += "\n## Thanks\n"
    assert "'Thanks'" in complaint(new_project)


@pytest.mark.parametrize(
    ("heading", "below"),
    [("What has changed since", "Nothing.\n"), ("Cite", "::: cite\n")],
)
def test_a_heading_with_nothing_under_it_is_told(new_project, heading, below):
    assert below in new_project.body
    new_project.body = new_project.body.replace(below, "")
    assert f"nothing stands under “{heading}”" in complaint(new_project)
    new_project.body = new_project.body.replace(
        f"## {heading}\n", f"## {heading}\n\n```sh\nls\n```\n"
    )
    assert load(new_project)


@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
def test_a_comment_in_a_fence_is_no_heading(new_project, fence):
    new_project.body += (
        f"\n{fence}bash\n## not a heading\n{fence}\n\n### A smaller one\n"
    )
    assert load(new_project)


@pytest.mark.parametrize("heading", ["# Notes", "### Why $a + b$", "## Cite $5"])
def test_a_second_title_or_a_formula_in_a_heading_is_told(new_project, heading):
    new_project.body += f"\n{heading}\n"
    message = complaint(new_project)
    assert f"the heading `{heading}`" in message
    assert "no second title, and no formula in a heading" in message


# Verdict, why, within, says


def test_a_number_that_differs_says_why(new_project):
    del new_project.page["numbers"][1]["why"]
    message = complaint(new_project)
    assert "`numbers.1`: " in message
    assert "`why`" in message


def test_a_number_that_holds_needs_no_why(new_project):
    new_project.first_number["why"] = "Because."
    message = complaint(new_project)
    assert "`numbers.0`: " in message
    assert "`why`" in message


def test_a_verdict_is_one_of_two_words(new_project):
    new_project.first_number["verdict"] = "roughly"
    message = complaint(new_project)
    assert "`numbers.0.verdict`: " in message
    assert "'holds' or 'differs'" in message


@pytest.mark.parametrize(
    "says",
    [
        "about 5",
        "51,600",
        "5 %",
        "3.3 × 10¹⁸",
        "1/3",
        "0x10",
        "NaN",
        "Infinity",
    ],
)
def test_what_the_source_says_is_a_plain_number(new_project, says):
    new_project.first_number["says"] = says
    message = complaint(new_project)
    assert "`numbers.0.says`: " in message
    assert f"“{says}”" in message


@pytest.mark.parametrize(
    "within",
    [
        "rounded",
        "5 percent",
        "±0.1",
        "%",
        "-0.1",
        "0",
        "-5 %",
        "Infinity",
        "NaN",
    ],
)
def test_a_tolerance_is_rounding_or_a_number_or_a_share(new_project, within):
    new_project.first_number["within"] = within
    message = complaint(new_project)
    assert "`numbers.0.within`: " in message
    assert f"“{within}” is neither `rounding`, nor 0.01, nor 5 %" in message


# When a number holds


@pytest.mark.parametrize(
    ("says", "ours", "verdict"),
    [
        ("42", 42, "holds"),
        ("42", 42.000000001, "differs"),
        ("0.1", 0.1, "holds"),
        ("0.3", 0.1 + 0.2, "differs"),
        ("0.50", 0.5, "holds"),
        ("3.3e18", 3.3e18, "holds"),
        ("-1", 1, "differs"),
    ],
)
def test_without_a_tolerance_it_is_exact(says, ours, verdict):
    assert row(says).truth(ours) == verdict


@pytest.mark.parametrize(
    ("says", "ours", "verdict"),
    [
        ("0.50", 0.505, "holds"),
        ("0.50", 0.495, "holds"),
        ("0.50", 0.5051, "differs"),
        ("0.50", 0.4949, "differs"),
        ("0.5", 0.549, "holds"),
        ("12", 12.5, "holds"),
        ("12", 12.51, "differs"),
        ("3.3e18", 3.25e18, "holds"),
        ("3.3e18", 3.35e18, "holds"),
        ("3.3e18", 3.2499e18, "differs"),
        ("3.3e18", 3.3501e18, "differs"),
        ("65e6", 65_500_000, "holds"),
        ("65e6", 64_500_000, "holds"),
        ("65e6", 65_500_001, "differs"),
        ("65e6", 64_499_999, "differs"),
        ("1.0e-3", 0.00105, "holds"),
        ("1.0e-3", 0.00106, "differs"),
        ("-2.5", -2.55, "holds"),
        ("-2.5", -2.56, "differs"),
    ],
)
def test_rounding_allows_half_a_unit_of_the_last_digit_printed(says, ours, verdict):
    assert row(says, "rounding").truth(ours) == verdict


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [(1.21, "holds"), (1.19, "holds"), (1.2101, "differs"), (1.1899, "differs")],
)
def test_a_number_is_an_absolute_tolerance(ours, verdict):
    assert row("1.2", "0.01").truth(ours) == verdict


@pytest.mark.parametrize("within", ["5 %", "5%"])
@pytest.mark.parametrize(
    ("says", "ours", "verdict"),
    [
        ("200", 210, "holds"),
        ("200", 190, "holds"),
        ("200", 210.01, "differs"),
        ("200", 189.99, "differs"),
        ("-200", -210, "holds"),
        ("-200", -210.01, "differs"),
    ],
)
def test_a_share_is_taken_of_what_the_source_says(within, says, ours, verdict):
    assert row(says, within).truth(ours) == verdict


# The reading list


def reading_list_complaint(project) -> str:
    project.write()
    with pytest.raises(ContentError) as error:
        load_reading_list(project.docs / "index.md")
    message = str(error.value)
    assert message.startswith("docs/index.md: ")
    assert "\n  Cure: " in message
    return message


SOURCE = {
    "title": "Sketch",
    "authors": ["Luigi Menabrea"],
    "year": "1842",
    "kind": "paper",
    "url": "https://example.org/sketch",
    "minutes": "60",
}


def test_an_entry_may_be_a_page_an_original_or_a_topic(new_project):
    new_project.entries.append({"source": SOURCE})
    new_project.write()
    found = load_reading_list(new_project.docs / "index.md").reading_list[0].entries
    assert found[0].page == "engines/notes"
    assert found[1].topic == "Looms"
    assert found[2].source.authors == ["Luigi Menabrea"]


@pytest.mark.parametrize("field", ["year", "minutes"])
def test_an_original_may_have_an_unknown_year_or_length(new_project, field):
    new_project.entries.append({"source": {**SOURCE, field: "unknown"}})
    new_project.write()
    found = load_reading_list(new_project.docs / "index.md").reading_list[0].entries
    assert getattr(found[2].source, field) is None


@pytest.mark.parametrize("field", SOURCE)
def test_a_missing_field_of_an_original_is_named(new_project, field):
    source = {name: value for name, value in SOURCE.items() if name != field}
    new_project.entries.append({"source": source})
    message = reading_list_complaint(new_project)
    assert f"`reading_list.0.entries.2.source.{field}`: Field required" in message


@pytest.mark.parametrize("entry", [{}, {"page": "engines/notes", "topic": "Notes"}])
def test_an_entry_is_one_of_the_three(new_project, entry):
    new_project.entries[1] = entry
    message = reading_list_complaint(new_project)
    assert "`reading_list.0.entries.1`: " in message
    assert "one of `page`, `source` and `topic`" in message


@pytest.mark.parametrize("field", ["title", "description", "reading_list"])
def test_a_missing_field_of_the_home_page_is_named(new_project, field):
    del new_project.home[field]
    assert f"`{field}`: Field required" in reading_list_complaint(new_project)


@pytest.mark.parametrize("field", ["heading", "about", "entries"])
def test_a_missing_field_of_a_heading_is_named(new_project, field):
    del new_project.home["reading_list"][0][field]
    message = reading_list_complaint(new_project)
    assert f"`reading_list.0.{field}`: Field required" in message


def test_an_unknown_field_of_the_home_page_is_named(new_project):
    new_project.home["subtitle"] = "More"
    assert "`subtitle`: " in reading_list_complaint(new_project)


# Topics


def test_a_topic_has_no_original_but_all_else(new_project):
    for field in ("url", "authors", "year"):
        del new_project.page[field]
    new_project.page["kind"] = "topic"
    page = new_project.load().pages["engines/notes"]
    assert page.facts.kind == "topic"
    assert page.facts.numbers


def test_a_topic_with_an_original_is_told(new_project):
    new_project.page["kind"] = "topic"
    with pytest.raises(ContentError, match="`url`: Extra inputs are not permitted"):
        new_project.load()


def test_a_topic_too_names_what_is_missing(new_project):
    for field in ("url", "authors", "year", "shows"):
        del new_project.page[field]
    new_project.page["kind"] = "topic"
    with pytest.raises(ContentError, match="`shows`: Field required"):
        new_project.load()
