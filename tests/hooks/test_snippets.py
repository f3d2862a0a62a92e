"""A snippet as a text: header, code by symbol and by section, size."""

import textwrap

import pytest

from errors import ContentError
from snippets import Snippet, load_snippets


@pytest.fixture
def demo(new_project) -> Snippet:
    return new_project.write_snippet("demo", new_project.snippet)


@pytest.fixture
def write(new_project):
    """Write a snippet of a valid header and the given code."""
    header = new_project.snippet.split("# %%\nimport")[0]

    def write(code: str) -> Snippet:
        text = f"{header}# %%\n{textwrap.dedent(code)}"
        return new_project.write_snippet("demo", text)

    return write


# Header


def test_the_header_is_read(demo):
    assert demo.name == "demo"
    assert demo.title == "Sums of $n$ terms"
    assert demo.fields == {
        "Source": "Ada Lovelace, *Notes* (1843), note G.",
        "Differs from the source": "nothing.",
        "Checked against": "`math.fsum` (1e-10).",
        "Takes": "under 1 s on one core.",
    }


FIELDS = ["Source", "Differs from the source", "Checked against", "Takes"]


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_header_field_is_named(new_project, field):
    changed = new_project.snippet.replace(f"**{field}:**", field)
    new_project.write_snippet("demo", changed)
    with pytest.raises(ContentError) as error:
        load_snippets(new_project.snippets)
    message = str(error.value)
    assert message.startswith("snippets/demo.py: ")
    assert f"“{field}”" in message
    assert f"Cure: add a paragraph **{field}:** …" in message


def test_an_empty_header_field_counts_as_missing(new_project):
    changed = new_project.snippet.replace(" under 1 s on one core.", "")
    new_project.write_snippet("demo", changed)
    with pytest.raises(ContentError, match="“Takes”"):
        load_snippets(new_project.snippets)


@pytest.mark.parametrize("header", ["", '"""Sums."""\n', '"""## Sums"""\n'])
def test_a_snippet_without_title_is_refused(new_project, header):
    new_project.write_snippet("demo", header + "x = 1\n")
    with pytest.raises(ContentError) as error:
        load_snippets(new_project.snippets)
    message = str(error.value)
    assert message.startswith("snippets/demo.py: no title")
    assert (
        "begin with a `# %% [markdown]` cell whose first line is `# Title`" in message
    )


def test_a_header_that_is_no_markdown_cell_is_refused(new_project):
    changed = new_project.snippet.replace("# %% [markdown]", "# %%", 1)
    new_project.write_snippet("demo", changed)
    with pytest.raises(ContentError, match="markdown"):
        load_snippets(new_project.snippets)


@pytest.mark.parametrize("code", ["x = 1", 'def f() -> None:\n    """Nothing."""'])
def test_code_in_the_header_s_cell_is_refused(new_project, code):
    header, rest = new_project.snippet.split('"""\n\n# %%', 1)
    new_project.write_snippet("demo", f'{header}"""\n\n{code}\n\n# %%{rest}')
    with pytest.raises(ContentError, match="no title"):
        load_snippets(new_project.snippets)


def test_what_is_not_python_tells_file_line_and_cure(new_project):
    new_project.write_snippet("demo", "x = 1\ny = (\n")
    with pytest.raises(ContentError) as error:
        load_snippets(new_project.snippets)
    message = str(error.value)
    assert message.startswith("snippets/demo.py:2: not Python")
    assert "Cure: mend the syntax" in message


def test_what_is_not_utf_8_is_told(new_project):
    path = new_project.write_snippet("demo", new_project.snippet).path
    path.write_bytes(path.read_bytes() + b"# na\xefve\n")
    with pytest.raises(ContentError, match=r"snippets/demo\.py"):
        load_snippets(new_project.snippets)


def test_all_snippets_of_a_folder_are_found_by_name(new_project):
    for name in ("sums", "demo"):
        new_project.write_snippet(name, new_project.snippet)
    (new_project.snippets / "notes.txt").write_text("no snippet")
    assert list(load_snippets(new_project.snippets)) == ["demo", "sums"]


# Code by symbol


def test_a_function_is_shown_whole(demo):
    assert demo.code("demo.add", "docs/a.md") == (
        "def add(a: float, b: float) -> float:\n"
        '    """The sum of two numbers."""\n'
        "    return a + b"
    )


def test_a_method_is_shown_with_its_decorators_and_without_its_indent(demo):
    assert demo.code("demo.Adder.step", "docs/a.md") == (
        "@functools.cache\n"
        "def step(self, a: float) -> float:\n"
        '    """Add one number."""\n'
        "    if a > 0:\n"
        "        self.total += a\n"
        "    return self.total"
    )


def test_a_class_is_shown_whole(demo):
    code = demo.code("demo.Adder", "docs/a.md")
    assert code.startswith("class Adder:\n")
    assert code.endswith("        return self.total")


def test_text_at_the_margin_of_a_method_is_not_cut(write):
    snippet = write(
        'class Adder:\n    def name(self) -> str:\n        return """\nmargin\n"""\n'
    )
    assert "\nmargin\n" in snippet.code("demo.Adder.name", "docs/a.md")


@pytest.mark.parametrize("reference", ["demo.sub", "demo.Adder.undo", "demo.total"])
def test_an_unknown_symbol_tells_who_asks_and_what_there_is(demo, reference):
    with pytest.raises(ContentError) as error:
        demo.code(reference, "docs/a.md")
    message = str(error.value)
    assert message.startswith("docs/a.md: snippets/demo.py has no symbol ")
    assert f"“{reference.removeprefix('demo.')}”" in message
    assert "add, Adder, Adder.step, draw_line, numbers" in message


# Code by section


def test_a_section_is_the_cell_of_that_title(demo):
    code = demo.code("demo#The addition", "docs/a.md")
    assert code.startswith("# s = a + b\ndef add(")
    assert code.endswith("        return self.total")


def test_an_unknown_section_tells_who_asks_and_what_there_is(demo):
    with pytest.raises(ContentError) as error:
        demo.code("demo#The end", "docs/a.md")
    message = str(error.value)
    assert message.startswith("docs/a.md: snippets/demo.py has no section “The end”")
    assert "Cure: it has: The addition" in message


def test_a_snippet_without_sections_says_so(write):
    with pytest.raises(ContentError, match="it has: none"):
        write("x = 1").code("demo#The end", "docs/a.md")


# Alternative text


def test_a_picture_is_described_by_the_docstring_of_its_function(demo):
    words = demo.alternative_text("draw_line")
    assert words == 'A line that rises from 0 to 1 & "stays" there.'


def test_a_description_over_several_lines_becomes_one(write):
    snippet = write('''
        def draw_line() -> None:
            """A line
            that rises.

            Then stays.
            """
        ''')
    words = snippet.alternative_text("draw_line")
    assert words == "A line that rises. Then stays."


def test_a_drawing_without_docstring_is_refused(write):
    snippet = write("def draw_line() -> None:\n    pass\n")
    with pytest.raises(ContentError) as error:
        snippet.alternative_text("draw_line")
    message = str(error.value)
    assert message.startswith("snippets/demo.py: draw_line has no docstring")
    assert "Cure: say in the docstring what the picture shows" in message


def test_an_unknown_drawing_is_refused(demo):
    with pytest.raises(ContentError, match="has no symbol “draw_circle”"):
        demo.alternative_text("draw_circle")


# What it runs on, and how long it is


@pytest.mark.parametrize(
    ("code", "label"),
    [
        ("import math\n", "Python alone"),
        ("import numpy as np\n", "NumPy"),
        ("from numpy.linalg import norm\n", "NumPy"),
        ("import numpy as np\nimport torch\n", "PyTorch"),
        ("from torch import nn\n", "PyTorch"),
        ("def f() -> None:\n    import torch.nn\n", "PyTorch"),
        ("import numpydoc, torchlike\n", "Python alone"),
        ("import sklearn.datasets\n", "scikit-learn"),
        ("from sklearn import datasets\nimport numpy\n", "NumPy and scikit-learn"),
        ("import numpy, sklearn, torch\n", "PyTorch and scikit-learn"),
    ],
)
def test_it_runs_on_what_it_imports(write, code, label):
    assert write(code).runs_on == label


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("import numpy\n", []),
        ("import sklearn, numpy\n", ["scikit-learn"]),
        ("import sklearn, torch\n", ["PyTorch", "scikit-learn"]),
    ],
)
def test_what_the_page_has_not_keeps_it_out_of_the_browser(write, code, missing):
    snippet = write(code)
    assert snippet.not_in_a_browser == missing
    assert snippet.runs_in_a_browser == (not missing)


def test_its_libraries_are_those_it_imports(write):
    assert write("import math, torch\n").libraries == {"torch": "PyTorch"}
    assert list(write("import torch\nimport numpy\n").libraries) == ["numpy", "torch"]


def test_blank_lines_comments_and_docstrings_are_no_code(write):
    snippet = write('''
        # a comment
        class Adder:
            """One line."""

            def step(self) -> str:
                """Several

                lines.
                """
                # a comment
                return """not
        a docstring"""
        ''')
    assert snippet.code_lines == 4


# What varies with the machine


def varying(new_project, words: str) -> Snippet:
    after = "**Takes:** under 1 s on one core.\n"
    text = new_project.snippet.replace(
        after, f"{after}\n**Varies with the machine:** {words}\n"
    )
    return new_project.write_snippet("demo", text)


def test_bounds_are_read_by_the_start_of_a_key(new_project):
    words = "it trains: `loss` by up\nto 0.25, `sweeps_to` by up to\n2."
    snippet = varying(new_project, words)
    assert snippet.tolerance("loss_median") == 0.25
    assert snippet.tolerance("sweeps_to_pass") == 2
    assert snippet.tolerance("parameters") is None


def test_the_longest_start_that_fits_has_the_word(new_project):
    words = "it trains: `loss` by up to 0.25, `loss_late` by up to 0.5."
    snippet = varying(new_project, words)
    assert snippet.tolerance("loss_late_median") == 0.5
    assert snippet.tolerance("loss_later") == 0.5
    assert snippet.tolerance("loss_lat") == 0.25


def test_without_the_field_nothing_varies(demo):
    assert demo.tolerance("loss_median") is None


def test_a_field_without_bounds_is_told(new_project):
    with pytest.raises(ContentError, match="names no number"):
        varying(new_project, "a little.").tolerance("loss")
