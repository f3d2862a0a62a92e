"""What authors write in a page: values and directives, and every slip in them."""

import platform
import re
from dataclasses import replace
from functools import partial

import markdown
import pytest
from bs4 import BeautifulSoup
from jinja2 import ChoiceLoader, DictLoader

import directives
from directives import BLOCKS, Expander
from errors import ContentError
from site_model import SiteModel

EXTENSIONS = ["admonition", "pymdownx.arithmatex", "pymdownx.details"]
EXTENSIONS += ["md_in_html", "pymdownx.highlight", "pymdownx.superfences"]
render = partial(
    markdown.markdown,
    extensions=EXTENSIONS,
    extension_configs={"pymdownx.arithmatex": {"generic": True}},
)
NOTES = "docs/engines/notes.md"


@pytest.fixture
def expander(project):
    """The expander of the page `key`; None stands for a page that treats no source."""

    def expander(key: str | None = "engines/notes") -> Expander:
        site = project.load()
        page = site.pages[key] if key else None
        return Expander(site, NOTES, page, "../", render)

    return expander


@pytest.fixture
def expand(expander):
    return lambda text: expander().expand(text)


@pytest.fixture
def complaint(expander):
    """The message for a text that must not expand; it names page and cure."""

    def complaint(text: str, key: str | None = "engines/notes") -> str:
        with pytest.raises(ContentError) as error:
            expander(key).expand(text)
        message = str(error.value)
        assert message.startswith(f"{NOTES}: ")
        assert "\n  Cure: " in message
        return message

    return complaint


def soup(text: str) -> BeautifulSoup:
    """The expanded Markdown as the reader gets it."""
    return BeautifulSoup(render(text), "html.parser")


# Values


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("{{ demo.answer }}", "42"),
        ("{{demo.answer}}", "42"),
        ("{{ demo.third }}", "0.3333"),
        ("{{ demo.third:.2f }}", "0.33"),
        ("{{ demo.third:.1%}}", "33.3%"),
        ("{{ demo.parameters }}", "51600"),
        ("{{ demo.parameters:,.0f }}", "51,600"),
        ("{{ demo.flops:.2e }}", "3.27 × 10¹⁸"),
        ("{{ demo.parameters:, }}", "51,600"),
        ("{{ demo.parameters:d }}", "51600"),
        ("{{ demo.third: .2f }}", "0.33"),
        ("{{ demo.third :.2f }}", "0.33"),
        ("{{  demo.third  }}", "0.3333"),
    ],
)
def test_a_value_is_put_in_its_place(expand, written, shown):
    assert expand(f"It is {written}, say.") == f"It is {shown}, say."


def test_several_values_share_a_line(expand):
    assert expand("{{ demo.answer }}/{{ demo.third:.1f }}") == "42/0.3"


@pytest.mark.parametrize("text", [r"$\frac{{a}}{b}$", "@misc{a, title={{Notes}}}"])
def test_other_braces_stay(expand, text):
    assert expand(text) == text


def test_a_value_without_snippet_or_key_is_told(complaint):
    assert "`half_life` names an unknown snippet" in complaint("{{ half_life }}")
    assert "`demo` is a number without computation" in complaint("{{ demo }}")


def test_a_fence_is_left_as_it_is(expand):
    fence = "```python\nprint(f'{{a.b}}')\n::: cite\n```"
    assert expand(fence) == fence


def test_a_value_of_an_unknown_snippet_is_told(complaint):
    assert "`loom.answer` names an unknown snippet" in complaint("{{ loom.answer }}")


@pytest.mark.parametrize("name", ["demo.question", "demo.a-third"])
def test_a_value_without_computation_is_told(complaint, name):
    message = complaint(f"{{{{ {name} }}}}")
    assert f"`{name}` is a number without computation" in message
    assert "answer, flops, parameters, third" in message


@pytest.mark.parametrize("spec", ["x", ".2q", "two"])
def test_a_value_of_a_bad_format_is_told(complaint, spec):
    message = complaint(f"{{{{ demo.third:{spec} }}}}")
    assert f"`{{{{ demo.third:{spec} }}}}`" in message
    assert "use a format such as :.3f" in message


# Code


def test_code_becomes_a_fence_with_the_name_of_its_file(expand):
    assert expand("::: code demo.add\n") == (
        '\n```python title="snippets/demo.py"\n'
        "def add(a: float, b: float) -> float:\n"
        '    """The sum of two numbers."""\n'
        "    return a + b\n```\n\n"
    )


def test_a_section_becomes_a_fence(expand):
    assert "# s = a + b\ndef add(" in expand("::: code demo#The addition")


def test_text_around_a_directive_stays(expand):
    expanded = expand("Before.\n\n::: code demo.add\n\nAfter.")
    assert expanded.startswith("Before.\n\n")
    assert expanded.endswith("\n\nAfter.")


@pytest.mark.parametrize("reference", ["", " demo", " loom.add", " loom#The addition"])
def test_code_of_nothing_is_told(complaint, reference):
    message = complaint(f"::: code{reference}")
    assert "names no code" in message
    assert "with a snippet of: demo" in message


def test_code_of_an_unknown_symbol_is_told(complaint):
    message = complaint("::: code demo.sub")
    assert "snippets/demo.py has no symbol “sub”" in message
    assert "add, Adder" in message


def test_code_of_an_unknown_section_is_told(complaint):
    message = complaint("::: code demo#The end")
    assert "snippets/demo.py has no section “The end”" in message


# Figures


FIGURE = "::: figure demo.draw_line\n    See how *it* rises to\n    $y = 1$.\n"


def test_a_figure_has_picture_words_and_caption(expand):
    [figure] = soup(expand(FIGURE)).select("figure")
    words = 'A line that rises from 0 to 1 & "stays" there.'
    assert figure.svg.title.text == words
    caption = figure.figcaption
    assert caption.em.text == "it"
    assert caption.select_one(".arithmatex").text == r"\(y = 1\)"


def test_the_paragraph_below_a_caption_is_not_part_of_it(expand):
    page = soup(expand(f"{FIGURE}\nThe next paragraph."))
    assert "next" not in page.figcaption.text
    assert page.find("p", string="The next paragraph.")


def test_a_caption_may_hold_a_value(expand):
    expanded = expand("::: figure demo.draw_line\n    All {{ demo.answer }}.\n")
    assert "All 42." in soup(expanded).figcaption.text


@pytest.mark.parametrize("reference", ["", " demo", " demo.draw_circle", " loom.draw"])
def test_an_unknown_figure_is_told(complaint, reference):
    message = complaint(f"::: figure{reference}\n    Caption.\n")
    assert "names no figure" in message
    assert "with one of: demo.draw_line" in message


@pytest.mark.parametrize("below", ["", "\nNot indented.\n", "\n\n    Too late.\n"])
def test_a_figure_without_caption_is_told(complaint, below):
    message = complaint(f"::: figure demo.draw_line{below}")
    assert "`::: figure demo.draw_line` has no caption" in message
    assert "indented by four spaces" in message


# Pictures


@pytest.fixture
def picture(monkeypatch):
    """A picture `sum` of the demo snippet, beside those of the site."""
    template = '<table><tr><td>{{ value("demo.third") | fixed(2) }}</td></tr></table>'
    loader = ChoiceLoader([DictLoader({"pictures/sum.html": template}), BLOCKS.loader])
    monkeypatch.setattr(directives, "BLOCKS", BLOCKS.overlay(loader=loader))


PICTURE = "::: picture sum\n    Try *all* {{ demo.answer }}.\n"


@pytest.mark.usefixtures("picture")
def test_a_picture_has_values_caption_and_script(expand):
    figure = soup(expand(f"{PICTURE}\nThe next paragraph.")).select_one(".picture")
    assert figure.select_one("form fieldset[disabled] td").text == "0.33"
    assert figure.figcaption.text == "Try all 42."
    assert figure.figcaption.em
    assert figure.select_one("script[defer]")["src"] == "../assets/pictures/sum.js"


@pytest.mark.parametrize("name", ["", " loom", " ../sum"])
@pytest.mark.usefixtures("picture")
def test_an_unknown_picture_is_told(complaint, name):
    message = complaint(f"::: picture{name}\n    Caption.\n")
    assert f"`::: picture{name or ' '}` names no picture" in message
    known = (
        "belt, budget, convolution, delta, gate, heads, hello, reach, root, sum, "
        "vocabulary, wall"
    )
    assert f"write one of: {known}" in message


@pytest.mark.usefixtures("picture")
def test_a_picture_without_caption_is_told(complaint):
    message = complaint("::: picture sum\n\nNot indented.")
    assert "`::: picture sum` has no caption" in message


def test_a_picture_of_a_snippet_that_is_not_there_is_told(complaint):
    message = complaint("::: picture hello\n    Caption.\n")
    assert "names an unknown snippet" in message


# The ledger


def test_the_ledger_shows_both_numbers_and_the_verdict(expand):
    rows = soup(expand("::: numbers")).select("table.ledger tbody tr")
    assert [row.select_one(".verdict").text for row in rows] == ["holds", "differs"]
    holds, differs = ([cell.text.strip() for cell in row("td")] for row in rows)
    assert holds[:2] == ["42", "42"]
    assert differs[:2] == ["0.50 nats", "0.3333"]


def test_the_ledger_leads_to_the_computation(expand):
    link = soup(expand("::: numbers")).select_one("table.ledger a")
    assert link["href"] == "../snippets/demo.html#numbers"
    assert link["title"] == "demo.answer"


def test_ledger_and_notebook_tell_the_versions(expand, expander):
    versions = f"Python {platform.python_version()}"
    ledger, card = expand("::: numbers"), notebook_card(expander())
    assert f"Last computed with {versions}</p>" in ledger
    assert f"Last verified with {versions}</p>" in card


@pytest.mark.parametrize(
    ("within", "words"), [("rounding", "as rounded"), ("5 %", "within 5 %")]
)
def test_the_ledger_tells_the_tolerance(expand, project, within, words):
    project.first_number["within"] = within
    assert words in soup(expand("::: numbers")).select_one("tbody tr").text


def test_what_an_author_writes_in_the_ledger_is_markdown_and_no_html(expand, project):
    project.first_number["what"] = "The *answer* is $a < b$"
    project.first_number["unit"] = "<b>"
    row = soup(expand("::: numbers")).select_one("tbody tr")
    assert row.em.text == "answer"
    assert row.select_one(".arithmatex").text == r"\(a < b\)"
    assert row.b is None


# Questions, exercises, citation


def test_questions_are_folded_with_their_answers(expand):
    folded = soup(expand("::: questions")).select("details.question")
    assert len(folded) == 5
    assert folded[0].summary.select_one(".arithmatex").text == r"\(1 + 0\)"
    assert folded[0].p.select_one(".arithmatex").text == r"\(0 + 1\)"
    assert not folded[0].has_attr("open")


@pytest.mark.parametrize(
    "ask",
    ['What is "it"?', 'What is "it"', 'What is `"it"`?'],
)
def test_a_question_may_hold_quotation_marks(expand, project, ask):
    project.page["questions"][0]["ask"] = ask
    summary = soup(expand("::: questions")).select_one("summary")
    assert summary.text == ask.replace("`", "")


def test_choices_are_a_form_before_the_folded_answer(expand, project):
    project.page["questions"][0] |= {"choices": ["one", "$1$", "two"], "right": "2"}
    page = soup(expand("::: questions"))
    form = page.select_one("form.check")
    assert form["data-right"] == "2"
    assert form.legend.text.strip() == r"What is \(1 + 0\)?"
    labels = [label.text.strip() for label in form.select("label")]
    assert labels == ["1. one", r"2. \(1\)", "3. two"]
    assert [(box["type"], box["value"]) for box in form.select("input")] == [
        ("radio", "1"),
        ("radio", "2"),
        ("radio", "3"),
    ]
    assert form.button.has_attr("hidden")  # a button that does nothing is not shown
    folded = page.select_one(".asked details")
    assert folded.summary.text == "Answer"
    assert folded.select_one("p").text == r"2. It is \(0 + 1\)."


def test_several_right_choices_are_boxes_to_tick_and_are_named(expand, project):
    project.page["questions"][0] |= {"choices": ["a", "b", "c"], "right": ["3", "1"]}
    page = soup(expand("::: questions"))
    assert page.form["data-right"] == "1 3"
    assert {box["type"] for box in page.select("form input")} == {"checkbox"}
    assert "1 and 3." in page.select_one("details p").text


@pytest.mark.parametrize(
    ("within", "tolerance"), [(None, 0.516), ("1 %", 516), ("0.5", 0.5)]
)
def test_a_number_is_asked_for_with_its_tolerance(expand, project, within, tolerance):
    project.page["questions"][0]["number"] = "51600"
    if within:
        project.page["questions"][0]["within"] = within
    form = soup(expand("::: questions")).form
    assert float(form["data-number"]) == 51600
    assert float(form["data-tolerance"]) == pytest.approx(tolerance)
    assert len(form.select("input")) == 1


@pytest.mark.parametrize(
    "exact", [18_874_368, 3_150_336, 4, 2 / 3, 1234567.5, 9.9999949e-7, -0.1234565]
)
def test_the_exact_value_is_right_though_fewer_digits_are_shown(
    expander, project, monkeypatch, exact
):
    project.page["questions"][0]["number"] = "demo.third"
    notes = expander()
    monkeypatch.setattr(SiteModel, "value", lambda *_: float(exact))
    form = soup(notes.expand("::: questions")).form
    given = [exact, float(f"{exact:.6g}")]  # computed by hand, copied from the answer
    for number in given:
        wanted, tolerance = map(float, (form["data-number"], form["data-tolerance"]))
        assert abs(number - wanted) <= tolerance


def test_a_question_keeps_its_name_whatever_stands_before_it(expand, project):
    first, second = project.page["questions"][:2]
    for question in (first, second):
        question |= {"choices": ["a", "b"], "right": "1"}

    def names() -> dict[str, str]:
        asked = soup(expand("::: questions")).select(".asked:has(form)")
        return {question.legend.text: question["id"] for question in asked}

    before = names()
    project.page["questions"].reverse()
    assert names() == before
    assert len(set(before.values())) == 2


@pytest.mark.parametrize(
    ("number", "shown"), [("51600", "51,600"), ("demo.third", "0.333333")]
)
def test_a_number_asked_for_leads_its_answer(expand, project, number, shown):
    project.page["questions"][0]["number"] = number
    answer = soup(expand("::: questions")).select_one("details.question p").text
    assert answer.startswith(f"{shown}. It is")


def test_an_answer_links_to_its_explanation(expand, project):
    project.page["questions"][0]["see"] = "what-it-teaches"
    link = soup(expand("::: questions")).select_one("details.question a")
    assert link["href"] == "#what-it-teaches"


def test_the_deck_has_the_questions_of_all_pages_with_links_from_the_root(
    expander, project
):
    project.page["questions"][0]["answer"] = "See [looms](looms.md) and [it](#cite)."
    project.write_page(
        "engines/looms", {**project.page, "title": "Looms"}, project.body
    )
    project.entries.append({"page": "engines/looms"})
    page = soup(expander(None).expand("::: deck"))
    keys = [section["data-page"] for section in page.select("section")]
    assert keys == ["engines/notes", "engines/looms"]
    first, second = (section.select_one(".asked") for section in page.select("section"))
    assert [link["href"] for link in first.select("a")] == [
        "engines/looms.md",
        "engines/notes.md#cite",
    ]
    assert second.select("a")[1]["href"] == "engines/looms.md#cite"
    assert first["id"] != second["id"]  # the same words on another page


def test_a_slip_in_a_question_is_told_of_its_own_page_wherever_it_is_met(
    expander, project
):
    project.page["questions"][0]["answer"] = "It is {{ demo.none }}."
    deck = replace(expander(None), where="docs/review.md")
    with pytest.raises(ContentError) as error:
        deck.expand("::: deck")
    assert str(error.value).startswith(f"{NOTES}: `demo.none`")


def test_a_graded_exercise_shows_its_start_and_folds_hints_and_checks(expand, project):
    project.page["exercises"][0] |= {
        "start": "x = 0",
        "check": "assert x",
        "hints": ["Think.", "Add."],
    }
    page = soup(expand("::: exercises"))
    assert page.select_one(".highlight code").text.strip() == "x = 0"
    folded = page.select("details.solution")[:4]
    assert [fold.summary.text for fold in folded] == [
        "What checks it",
        "Hint",
        "Hint",
        "Solution",
    ]


def test_a_graded_exercise_says_which_snippets_it_imports(expander, project):
    project.page["exercises"][0] |= {
        "start": "import math\nfrom demo import add\nx = 0",
        "check": "assert add(x, 1) == 3",
        "solution": "So:\n\n```python\nfrom demo import add\nx = 2\n```\n",
    }
    asked = replace(expander(), python_in_page=True)
    [exercise] = soup(asked.expand("::: exercises")).select(".exercise")
    assert exercise["data-imports"] == "demo"
    assert exercise.select_one(".start.highlight code").text.startswith("import math")
    assert exercise.select_one(".check .highlight code").text.startswith("assert")


def test_without_python_in_the_page_no_exercise_offers_to_run(expand, project):
    project.page["exercises"][0] |= {"start": "x = 0", "check": "assert x"}
    assert soup(expand("::: exercises")).select(".exercise") == []


def test_exercises_are_numbered_and_their_solutions_folded(expand):
    page = soup(expand("::: exercises"))
    assert [mark.text for mark in page.select("p > strong")] == [
        "Exercise 1.",
        "Exercise 2.",
    ]
    [first, second] = page.select("details.solution")
    assert first.select_one("code").text.strip() == "assert 1 + 1 == 2"
    assert "Do it." in second.text


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("questions", "ask"),
        ("questions", "answer"),
        ("exercises", "task"),
        ("exercises", "solution"),
    ],
)
def test_questions_and_exercises_may_hold_values(expand, project, part, field):
    project.page[part][0][field] = "It is {{ demo.answer }}."
    assert "It is 42." in expand(f"::: {part}")


def test_the_citation_is_the_bibtex_entry(expand, project):
    [code] = soup(expand("::: cite")).select("code")
    assert code.text.strip() == project.page["bibtex"].strip()


# Blocks of the whole site


def test_the_reading_list_links_pages_and_names_what_is_missing(expander, project):
    project.entries.append(
        {
            "source": {
                "title": "Sketch",
                "authors": ["Luigi Menabrea"],
                "year": "unknown",
                "kind": "paper",
                "url": "https://example.org/sketch",
                "minutes": "unknown",
            }
        }
    )
    items = soup(expander(None).expand("::: reading-list")).select("section.shelf li")
    assert items[0].a["href"] == "../engines/notes.html"
    verdicts = [mark.text for mark in items[0].select(".verdict")]
    assert verdicts == ["1 holds", "1 differs"]
    assert "not written yet" in items[1].text
    assert items[2].a["href"] == "https://example.org/sketch"
    assert "year unknown" in items[2].text
    assert "length not known" in items[2].text


def test_findings_tell_what_differs_and_why_under_the_name_of_the_page(expander):
    expanded = expander(None).expand("::: findings")
    assert (
        "## [Notes on the Engine](engines/notes.md#numbers-computed-again)" in expanded
    )
    [finding] = soup(expanded).select("ul.findings li")
    assert "It is one in three." in finding.text
    assert "0.50 nats" in finding.text
    assert "0.3333 nats" in finding.text
    assert "note H" in finding.text


def test_the_totals_count_the_numbers_of_all_sources(expander, project):
    project.write_page("engines/looms", project.page, project.body)
    project.entries.append({"page": "engines/looms"})
    totals = soup(expander(None).expand("::: totals"))
    assert "4 numbers of 2 sources" in totals.text
    verdicts = [mark.text for mark in totals.select(".verdict")]
    assert verdicts == ["2 hold", "2 differ"]
    assert totals.a["href"] == "../findings.html"


def test_without_findings_the_block_is_empty(expander, project):
    del project.page["numbers"][1]
    assert expander(None).expand("::: findings").strip() == ""


def test_the_catalog_has_the_snippets_of_each_page_below_its_title(expander, project):
    project.write_page("looms", {**project.page, "title": "Looms"}, project.body)
    project.home["reading_list"].append(
        {"heading": "Weaving", "about": "Cards.", "entries": [{"page": "looms"}]}
    )
    catalog = expander(None).expand("::: snippets")
    headings = re.findall(r"^#+ .*|demo(?=\.html)", catalog, re.M)
    assert headings == [
        "## Engines",
        "### [Notes on the Engine](../engines/notes.md)",
        "demo",
        "## Weaving",
        "### [Looms](../looms.md)",
        "demo",
    ]


@pytest.mark.parametrize(
    ("imported", "python_in_page", "marks"),
    [
        ("math", True, ["runs in the page"]),
        ("math", False, []),
        ("torch, math", True, []),
    ],
)
def test_the_catalog_marks_what_runs_in_the_page(
    imported, python_in_page, marks, expander, project
):
    project.snippet = project.snippet.replace("import math", f"import {imported}")
    here = replace(expander(None), python_in_page=python_in_page)
    found = soup(here.expand("::: snippets")).select(".mark")
    assert [mark.text for mark in found] == marks


def test_the_catalog_tells_of_each_snippet_what_it_is_checked_against(expander):
    [item] = soup(expander(None).expand("::: snippets")).select("ul.catalog li")
    assert "math.fsum" in item.text
    assert "Python alone" in item.text
    addresses = {link["href"] for link in item.select("a")}
    assert addresses == {
        "../snippets/demo.html",
        "../snippets/demo.py",
        "../snippets/demo.ipynb",
    }


def test_the_card_leads_to_the_original_and_to_the_code(expander):
    card = soup(expander().card())
    links = {link["href"] for link in card.select("a")}
    assert "https://example.org/notes" in links
    assert {f"../snippets/demo.{end}" for end in ("html", "py", "ipynb")} <= links
    assert "Ada Lovelace" in card.text
    assert "25 minutes" in card.text
    assert "Python alone" in card.text


def test_the_card_says_that_the_length_is_not_known(expander, project):
    project.page["minutes"] = "unknown"
    card = soup(expander().card())
    assert "length not known" in card.text


def test_the_card_links_what_to_read_before(expander, project):
    looms = {**project.page, "title": "Looms"}
    project.write_page("engines/looms", looms, project.body)
    project.entries.append({"page": "engines/looms"})
    project.page["needs"] = ["engines/looms"]
    link = soup(expander().card()).find("a", string="Looms")
    assert link["href"] == "../engines/looms.html"


def test_the_card_links_what_the_page_opens_the_way_to(expander, project):
    looms = {**project.page, "title": "Looms", "needs": ["engines/notes"]}
    project.write_page("engines/looms", looms, project.body)
    project.entries.append({"page": "engines/looms"})
    card = soup(expander().card())
    assert "Read before" not in card.text
    assert card.find("a", string="Looms")["href"] == "../engines/looms.html"


def test_the_path_is_drawn_and_told(expander, project):
    looms = {**project.page, "title": "Looms", "needs": ["engines/notes"]}
    project.write_page("engines/looms", looms, project.body)
    project.entries.append({"page": "engines/looms"})
    html = soup(expander().expand("::: path\n"))
    title = project.page["title"]
    addresses = ["../engines/notes.html", "../engines/looms.html"]
    drawn = html.select("svg a")
    assert {a["href"]: " ".join(a.text.split()) for a in drawn} == dict(
        zip(addresses, (title, "Looms"), strict=True)
    )
    assert [a["href"] for a in html.select("ul.tree > li > a")] == addresses
    assert html.select_one("ul.tree ul.tree a").text == "Looms"


def test_a_track_adds_up_its_minutes_and_says_what_it_does_not_know(expander, project):
    looms = {**project.page, "title": "Looms", "minutes": "unknown"}
    project.write_page("engines/looms", looms, project.body)
    project.entries.append({"page": "engines/looms"})
    project.page["minutes"] = 90
    track = {
        "title": "Tour",
        "about": "A *way*.",
        "pages": ["engines/notes", "engines/looms"],
    }
    path = {"title": "Path", "description": "All.", "tracks": [track]}
    project.write_page("path", path, "::: tracks\n")
    html = soup(expander().expand("::: tracks\n"))
    assert html.h3.text == "Tour"
    assert html.em.text == "way"
    assert [small.text for small in html.select("li small")] == [
        "90 min",
        "length not known",
    ]
    assert "at least 1.5 hours" in html.text


# Slips


@pytest.mark.parametrize("name", ["numbers", "questions", "exercises", "cite"])
def test_blocks_of_a_source_need_a_source(complaint, name):
    message = complaint(f"::: {name}", key=None)
    assert f"`::: {name}` belongs on the page of a source" in message


def test_an_unknown_directive_is_told(complaint):
    assert "unknown directive `::: codes demo.add`" in complaint("::: codes demo.add")


def test_a_directive_without_name_is_told(complaint):
    assert "unknown directive `:::`" in complaint(":::")


@pytest.mark.parametrize("line", [":::code demo.add", " ::: code demo.add"])
def test_a_directive_with_a_slip_of_the_pen_is_taken(expand, line):
    assert expand(line) == expand("::: code demo.add")


def test_colons_inside_a_line_are_no_directive(expand):
    assert expand("So ::: it goes.") == "So ::: it goes."


# Buttons that run a snippet in the page


@pytest.mark.parametrize("python_in_page", [True, False])
def test_the_card_has_a_button_where_python_came_with_the_site(
    expander, python_in_page
):
    asked = replace(expander(), python_in_page=python_in_page)
    for html in (asked.card(), notebook_card(asked)):
        names = [b["data-run"] for b in soup(html).select("button[data-run]")]
        assert names == (["demo"] if python_in_page else [])


def test_what_needs_pytorch_has_no_button(expander, project):
    project.snippet = project.snippet.replace(
        "import math", "import math\nimport torch"
    )
    asked = replace(expander(), python_in_page=True)
    assert not soup(asked.card()).select("button[data-run]")
    assert "Needs PyTorch" in soup(notebook_card(asked)).text


def test_what_takes_data_from_scikit_learn_has_no_button(expander, project):
    project.snippet = project.snippet.replace(
        "import math", "import math\nimport numpy\nimport sklearn"
    )
    asked = replace(expander(), python_in_page=True)
    card = soup(asked.card())
    assert not card.select("button[data-run]")
    assert "code in NumPy and scikit-learn" in card.text
    assert "Needs scikit-learn" in soup(notebook_card(asked)).text


def notebook_card(expander: Expander) -> str:
    execution = expander.site.executions["demo"]
    return expander.block("notebook-card", execution=execution)


def test_the_card_of_a_topic_leads_to_no_original(expander, project):
    for field in ("url", "authors", "year"):
        del project.page[field]
    project.page["kind"] = "topic"
    card = soup(expander().card())
    assert "topic" in card.text
    assert "Read the original" not in card.text
    assert card.select('a[href$="demo.py"]')
