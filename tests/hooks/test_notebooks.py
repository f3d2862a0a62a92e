"""A notebook page cut down to prose, code and outputs."""

import copy
import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from mkdocs_jupyter.convert import nb2html

from errors import ContentError
from execution import Execution
from notebooks import slim


def rendered(execution: Execution) -> str:
    """The page as mkdocs-jupyter makes it."""
    return nb2html(str(execution.path), no_prompt=True, allow_errors=False)


@pytest.fixture(scope="module")
def fat(executed) -> str:
    return rendered(executed[1])


@pytest.fixture(scope="module")
def page(fat, executed) -> str:
    return slim(fat, executed[1])


@pytest.fixture
def soup(page) -> BeautifulSoup:
    return BeautifulSoup(page, "html.parser")


@pytest.fixture
def changed(execution, tmp_path: Path):
    """The executed demo with its notebook changed by hand."""

    def changed(change) -> Execution:
        notebook = copy.deepcopy(execution.notebook)
        change(notebook)
        path = tmp_path / "demo.ipynb"
        nbformat.write(notebook, path)
        return Execution(execution.snippet, path)

    return changed


def drawing_cell(notebook) -> nbformat.NotebookNode:
    return next(cell for cell in notebook.cells if cell.source == "draw_line()")


def test_the_page_of_mkdocs_jupyter_has_what_must_go(fat):
    """Without these the tests below could not fail."""
    assert len(fat) > 500_000
    assert "<style" in fat
    assert "<script" in fat
    assert "cdnjs" in fat


def test_it_is_light(page):
    assert len(page.encode()) < 60_000


def test_it_has_no_script_style_or_foreign_host(page):
    assert "<script" not in page
    assert "<style" not in page
    assert "<link" not in page
    assert set(re.findall(r"https?://[^/\"]+", page)) <= {"http://www.w3.org"}


def test_it_has_none_of_jupyter_wrappers(page):
    assert 'class="jp-' not in page
    assert " jp-" not in page


def test_headings_lead_to_themselves(soup):
    assert [h.get("id") for h in soup.select("h1, h2")][1:] == ["the-sum", "numbers"]
    for heading in soup.select("h1, h2"):
        link = heading.select_one("a.headerlink")
        assert link["href"] == f"#{heading['id']}"
        assert link["title"] == "Link to this section"
        assert link.text == "#"


def test_cells_keep_their_order(page):
    places = [
        page.index(part)
        for part in ("<h1", "functools", "The sum", "draw_line", "<figure", "Numbers")
    ]
    assert places == sorted(places)


def test_code_is_highlighted_in_the_classes_of_the_theme(soup, execution):
    blocks = soup.select("div.language-python.highlight > pre > code")
    wanted = [c.source for c in execution.notebook.cells if c.cell_type == "code"]
    assert [block.text.strip() for block in blocks] == [w.strip() for w in wanted]
    assert blocks[0].select_one("span.kn").text == "import"


def test_what_was_printed_is_kept_and_can_be_scrolled_by_keyboard(soup):
    [output] = soup.select("div.output")
    assert output["tabindex"] == "0"
    assert output["aria-label"] == "Output"
    lines = [line.split() for line in output.text.strip().splitlines()]
    assert lines[:2] == [["answer", "42"], ["third", "0.3333333333"]]


def test_a_figure_comes_with_its_alternative_text(soup):
    [figure] = soup.select("figure > svg.figure")
    words = 'A line that rises from 0 to 1 & "stays" there.'
    assert figure.find("title").text == words
    assert figure["aria-labelledby"] == "demo-draw_line-title"


def test_formulas_are_marked_and_prices_and_code_are_not(page):
    assert r'<span class="arithmatex">\(a &lt; b\)</span>' in page
    assert re.search(r'<div class="arithmatex">\\\[\s*s = a \+ b\s*\\\]</div>', page)
    assert "A price of $5 and" in page
    assert "<code>$HOME</code>" in page


def test_the_table_of_symbols_is_a_table(soup):
    [table] = soup.select("table")
    heads = [cell.text for cell in table.select("thead th")]
    assert heads == ["symbol", "name", "shape"]


def test_two_figures_keep_their_own_descriptions(new_project, changed):
    numbers = "# %% [markdown]\n# ## Numbers"
    circle = 'def draw_circle() -> None:\n    """A circle."""\n\n'
    snippet_text = new_project.snippet.replace(numbers, circle + numbers)
    snippet = new_project.write_snippet("demo", snippet_text)

    def add_circle(notebook):
        cell = copy.deepcopy(drawing_cell(notebook))
        cell.source, cell.id = "draw_circle()", "circle"
        notebook.cells.insert(0, cell)

    execution = Execution(snippet, changed(add_circle).path)
    soup = BeautifulSoup(slim(rendered(execution), execution), "html.parser")
    assert [figure["aria-labelledby"] for figure in soup.select("figure > svg")] == [
        "demo-draw_circle-title",
        "demo-draw_line-title",
    ]


# What a page cannot show


def test_what_goes_to_stderr_is_refused(changed):
    def warn(notebook):
        drawing_cell(notebook).outputs.append(
            nbformat.v4.new_output("stream", name="stderr", text="UserWarning: hm")
        )

    execution = changed(warn)
    with pytest.raises(ContentError) as error:
        slim(rendered(execution), execution)
    message = str(error.value)
    assert message.startswith("snippets/demo.py: an output of a kind")
    assert "stderr" in message
    assert "Cure: print text or draw one figure" in message


def test_a_table_of_html_is_refused(changed):
    def show(notebook):
        drawing_cell(notebook).outputs.append(
            nbformat.v4.new_output(
                "display_data", data={"text/html": "<b>1</b>", "text/plain": "1"}
            )
        )

    execution = changed(show)
    with pytest.raises(ContentError, match="text/html"):
        slim(rendered(execution), execution)


@pytest.mark.parametrize("source", ["draw_line(3)", "plt.plot([1, 2])"])
def test_a_figure_of_no_draw_function_is_refused(changed, source):
    def draw_otherwise(notebook):
        drawing_cell(notebook).source = source

    execution = changed(draw_otherwise)
    with pytest.raises(ContentError) as error:
        slim(rendered(execution), execution)
    message = str(error.value)
    assert message.startswith(f"snippets/demo.py, cell `{source}`: ")
    assert "by a cell that is `draw_something()` and nothing else" in message


def test_a_figure_drawn_in_two_cells_is_refused(changed):
    def draw_again(notebook):
        again = copy.deepcopy(drawing_cell(notebook))
        again.id = "again"
        notebook.cells.append(again)

    execution = changed(draw_again)
    with pytest.raises(ContentError, match="draw each figure once"):
        slim(rendered(execution), execution)
