"""Terms are explained once per page, where they can be reached."""

import pytest
from markdown import markdown

from errors import ContentError
from glossary import Term, abbreviations, explained_once

TERMS = [
    Term(term="LSTM", means='A cell with "gates" & more.'),
    Term(term="gate", means="A *share*."),
]


def explained(text: str) -> str:
    html = markdown(f"{text}\n\n{abbreviations(TERMS)}", extensions=["abbr"])
    return explained_once(html)


def test_only_the_first_place_explains():
    html = explained("An LSTM has a gate.\n\nThe LSTM has another gate.")
    assert html.count("<abbr") == 2
    assert html.index("<abbr") < html.index("LSTM</abbr>")
    assert "<p>The LSTM has another gate.</p>" in html


def test_it_can_be_reached_by_keyboard_and_its_words_are_escaped():
    html = explained("An LSTM.")
    title = "A cell with &quot;gates&quot; &amp; more."
    assert html == f'<p>An <abbr title="{title}" tabindex="0">LSTM</abbr>.</p>'


def test_headings_and_links_name_and_do_not_explain():
    html = explained("## The LSTM\n\n[An LSTM](x.html) is an LSTM.")
    assert "<h2>The LSTM</h2>" in html
    assert '<a href="x.html">An LSTM</a> is an <abbr' in html


def test_code_is_left_alone():
    assert "<abbr" not in explained("`LSTM`\n\n    LSTM = gate\n")


def test_a_page_without_terms_stays_as_it_is():
    html = "<h2>A</h2>\n<p>b <a href='#'>c</a></p>"
    assert explained_once(html) == html


@pytest.mark.parametrize(
    ("terms", "fault"),
    [
        (
            [{"term": "A", "means": "a"}, {"term": "A", "means": "b"}],
            "“A” stands twice",
        ),
        ([{"term": "A", "means": "a", "page": "looms"}], "names the page `looms`"),
        ([{"term": "A"}], "`terms.0.means`: Field required"),
    ],
)
def test_a_slip_in_the_glossary_is_told(project, terms, fault):
    facts = {"title": "Glossary", "description": "All.", "terms": terms}
    project.write_page("glossary", facts, "::: glossary\n")
    with pytest.raises(ContentError) as error:
        project.load()
    assert str(error.value).startswith("docs/glossary.md: ")
    assert fault in str(error.value)


def test_terms_come_in_the_order_of_the_alphabet(project):
    terms = [{"term": term, "means": "x"} for term in ("beta", "Alpha", "gamma")]
    facts = {"title": "Glossary", "description": "All.", "terms": terms}
    project.write_page("glossary", facts, "::: glossary\n")
    found = [term.term for term in project.load().glossary]
    assert found == ["Alpha", "beta", "gamma"]
