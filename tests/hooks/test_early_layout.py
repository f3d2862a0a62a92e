"""What a page has from the build on, so that its start changes little."""

import pytest

from early_layout import with_lines, with_passages, wrapped_tables
from errors import ContentError

WHERE = "docs/a.md"
TABLE = "<thead><tr><th>a</th></tr></thead></table>"


def article(content: str) -> str:
    opening = '<article class="md-content__inner md-typeset">'
    return f'<h2 id="menu">Menu</h2>{opening}{content}</article><h2 id="end">End</h2>'


def test_a_table_without_a_class_stands_in_the_wrappers_of_the_theme():
    wrappers = '<div class="md-typeset__scrollwrap"><div class="md-typeset__table">'
    assert wrapped_tables(f"<p>x</p><table>{TABLE}<p>y</p>") == (
        f'<p>x</p>{wrappers}<table class="plain">{TABLE}</div></div><p>y</p>'
    )
    assert wrapped_tables(f"<table id=a>{TABLE}" * 2).count(wrappers) == 2


def test_a_table_with_a_class_stays_as_it_is():
    html = f'<table class="ledger">{TABLE}<table id="b" class="bars">{TABLE}'
    assert wrapped_tables(html) == html


@pytest.mark.parametrize(
    ("code", "lines"),
    [("a", 1), ("a\n", 1), ("a\nb\n", 2), ("\n\na\n\nb\n", 5), ("", 1)],
)
def test_a_block_of_code_says_how_many_lines_it_has(code, lines):
    inner = f"<span></span><code>{code}</code></pre>"
    expected = f'<pre style="--lines:{lines}">{inner}'
    assert with_lines(f"<pre>{inner}") == expected
    assert with_lines(f"<pre>{inner}x<pre>{inner}") == f"{expected}x{expected}"


def test_other_preformatted_text_stays_as_it_is():
    html = '<pre id="out">a\nb</pre><p><code>c</code></p>'
    assert with_lines(html) == html


def test_what_stands_below_a_heading_is_a_passage():
    html = article(
        '<h1 id="t">T</h1><p>0</p><h2 id="a">A</h2>\n<h3 id="b">B</h3>\n<p>1\n2</p>'
        '\n<div>3</div>\n<h2 id="c">C</h2><p>4</p>'
    )
    assert with_passages(html, WHERE) == article(
        '<h1 id="t">T</h1><p>0</p><h2 id="a">A</h2>\n<h3 id="b">B</h3>\n'
        '<div class="passage" style="--lines:3">\n<p>1\n2</p>\n<div>3</div>\n</div>\n'
        '<h2 id="c">C</h2>'
        '<div class="passage" style="--lines:1">\n<p>4</p></div>\n'
    )


def test_an_article_without_headings_has_no_passage():
    assert with_passages(article("<p>0</p>"), WHERE) == article("<p>0</p>")


@pytest.mark.parametrize(
    "block", ["div", "section", "details", "blockquote", "figure", "ol", "ul", "dl"]
)
def test_a_heading_inside_of_a_block_is_refused(block):
    heading = '<h2 id="a">A <em>b</em><a href="#a">#</a></h2>'
    whole = f"<{block}><p>1</p></{block}>"
    assert "passage" in with_passages(article(heading + whole), WHERE)
    parted = f'<{block}><h2 id="c">C</h2></{block}>'
    with pytest.raises(ContentError, match=r"docs/a.md: below the heading “A b”, ano"):
        with_passages(article(heading + parted), WHERE)
