"""Formulas typeset at build time, and what is not a formula left alone."""

import re

import pytest

import tex
from errors import ContentError
from tex import (
    mark_dollars,
    read_out_marked,
    read_typeset,
    typeset,
    typeset_marked,
    write_typeset,
)


def inline(formula: str) -> str:
    return rf'<span class="arithmatex">\({formula}\)</span>'


def display(formula: str) -> str:
    return f'<div class="arithmatex">\\[\n{formula}\n\\]</div>'


# typeset


def test_a_formula_carries_mathml_with_its_tex():
    rendered = typeset("a^2", display=False)
    assert "<math" in rendered
    assert '<annotation encoding="application/x-tex">a^2</annotation>' in rendered
    assert "katex-display" not in rendered


def test_a_display_can_be_scrolled_by_keyboard_and_has_a_name():
    [tag] = re.findall(r"<span [^>]*katex-display[^>]*>", typeset("a", display=True))
    assert 'tabindex="0"' in tag
    assert 'role="group"' in tag
    assert "aria-label=" in tag


def test_an_inline_formula_takes_no_focus():
    assert "tabindex" not in typeset("a", display=False)


@pytest.mark.parametrize("tex", [r"\frac{1}", r"\unheard", "a}", "$"])
def test_wrong_tex_is_refused_in_katex_own_words(tex):
    with pytest.raises(ValueError, match="KaTeX parse error"):
        typeset(tex, display=False)


def test_what_only_latex_tolerates_is_refused():
    with pytest.raises(ValueError, match="unicode"):
        typeset("é", display=False)


@pytest.fixture
def no_katex(monkeypatch):
    """A function after whose call KaTeX can no longer be asked."""
    return lambda: monkeypatch.setattr(tex, "_engine", lambda: pytest.fail("asked"))


def test_a_formula_is_typeset_once(no_katex):
    first = typeset("q + q", display=True)
    no_katex()
    assert typeset("q + q", display=True) == first


def test_what_one_build_has_typeset_the_next_reads(no_katex, tmp_path, monkeypatch):
    first = [typeset("s + s", display) for display in (True, False)]
    write_typeset(tmp_path / "cache")
    monkeypatch.setattr(tex, "_typeset", {})
    read_typeset(tmp_path / "cache")
    no_katex()
    assert [typeset("s + s", display) for display in (True, False)] == first
    assert first[0] != first[1]
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b'{"inline: a": "', b"\xff"])
def test_what_cannot_be_read_is_typeset_again(damage, tmp_path, monkeypatch):
    expected = typeset("a", display=False)
    write_typeset(tmp_path)
    [kept] = tmp_path.iterdir()
    kept.write_bytes(damage)
    monkeypatch.setattr(tex, "_typeset", {})
    read_typeset(tmp_path)
    assert typeset("a", display=False) == expected


def test_another_katex_typesets_anew(tmp_path, monkeypatch):
    write_typeset(tmp_path)
    (tmp_path / "katex.js").write_text("another", encoding="utf-8")
    monkeypatch.setattr(tex, "KATEX", tmp_path / "katex.js")
    monkeypatch.setattr(tex, "_typeset", {})
    read_typeset(tmp_path)
    assert not tex._typeset


# typeset_marked


def test_formulas_of_a_page_are_replaced_and_the_rest_stays():
    page = f"<p>So {inline('a')} is <b>it</b>.</p>\n{display('b')}\n<p>end</p>"
    typeset_page = typeset_marked(page, "docs/a.md")
    assert typeset_page == (
        f"<p>So {typeset('a', False)} is <b>it</b>.</p>\n{typeset('b', True)}\n"
        "<p>end</p>"
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a &lt; b", "a < b"),
        (
            r"\begin{matrix} a &amp; b \end{matrix}",
            r"\begin{matrix} a & b \end{matrix}",
        ),
    ],
)
def test_escaped_html_inside_a_formula_is_tex_again(written, meant):
    assert typeset_marked(inline(written), "docs/a.md") == typeset(meant, False)


@pytest.mark.parametrize("mark", [",", ".", ")."])
def test_no_line_begins_with_the_mark_after_a_formula(mark):
    assert typeset_marked(f"{inline('a')}{mark} So", "docs/a.md") == (
        f'<span class="nowrap">{typeset("a", False)}{mark}</span> So'
    )


def test_a_mark_after_a_display_stays_as_it_is():
    found = typeset_marked(f"{display('a')}.", "docs/a.md")
    assert found == f"{typeset('a', True)}."


def test_a_bad_formula_names_page_and_formula():
    with pytest.raises(ContentError) as error:
        typeset_marked(inline(r"\frac{1}"), "docs/engines/notes.md")
    message = str(error.value)
    assert message.startswith("docs/engines/notes.md: ")
    assert r"`\frac{1}`" in message
    assert "KaTeX parse error" in message
    assert "Cure: mend the TeX" in message


# read_out_marked


@pytest.mark.parametrize(
    ("formula", "line"),
    [
        (r"N \times N", "N × N"),
        ("W_{hy}", "W<sub>hy</sub>"),
        ("x^{t-1}", "x<sup>t − 1</sup>"),
        ("h_t^2", "h<sub>t</sub><sup>2</sup>"),
        (r"\sum_{k=0}^{t} x", "∑<sub>k = 0</sub><sup>t</sup>x"),
        (r"L_{\min}", "L<sub>min</sub>"),
        (r"\frac{a}{2m}", "a/(2m)"),
        (r"\frac{a}{2} m", "(a/2)m"),
        (r"\frac{a}{2} + m", "a/2 + m"),
        (r"\frac{a/b}{(c + d)}", "(a/b)/(c + d)"),
        (r"\frac{1}{(a)(b)}", "1/((a)(b))"),
        (r"\frac{2n}{\hat y_1}", "2n/y\u0302<sub>1</sub>"),
        (r"\frac{a + b}{a - b}", "(a + b)/(a − b)"),
        (r"\frac{n_1}{n_2}", "n<sub>1</sub>/n<sub>2</sub>"),
        (r"\binom{n}{k}", "(n choose k)"),
        (r"\sqrt 2", "√2"),
        (r"\sqrt{1/2}", "√(1/2)"),
        (r"\sqrt{\frac{1}{2}}", "√(1/2)"),
        (r"\sqrt{a} b", "√ab"),
        (r"\sqrt{ab}", "√(ab)"),
        (r"\sqrt[3]{x}", "<sup>3</sup>√x"),
        (r"\hat y", "y\u0302"),
        (r"\bar y \vec v", "y\u0304v\u20d7"),
        (r"\underbrace{a}_{\text{up}}", "a<sub>up</sub>"),
        (r"\overbrace{a}^{n}", "a<sup>n</sup>"),
        (r"\underline{x}", "x"),
        (r"n \bmod 2", "n mod 2"),
        ("(1, -1) - 1", "(1, −1) − 1"),
        ("0 &lt; a", "0 &lt; a"),
        (r"y \ln p", "y ln p"),
        (r"\tanh(z)", "tanh(z)"),
        (r"\tanh\!\left(z\right)", "tanh(z)"),
        ("[1] - 1", "[1] − 1"),
        (r"\{1\} - 1", "{1} − 1"),
        ("1/-2", "1/−2"),
        (r"\log_2 (z)", "log<sub>2</sub>(z)"),
        (r"a, \quad -b", "a, −b"),
        (r"\text{lr} \cdot g", "lr ⋅ g"),
        (r"\begin{aligned} a &amp;= b \\ c &amp;= d \end{aligned}", "a = b; c = d"),
        (r"\begin{cases} 0 &amp; a = 1 \\ 1 &amp; b \end{cases}", "{0, a = 1; 1, b"),
        (r"\begin{pmatrix} 1 &amp; 0 \\ 0 &amp; 1 \end{pmatrix}", "(1 0; 0 1)"),
    ],
)
def test_a_formula_is_read_out_in_a_line(formula, line):
    assert read_out_marked(f"{inline(formula)}, so", "docs/a.md") == f"{line}, so"
    assert read_out_marked(f"{display(formula)}.", "docs/a.md") == f"{line}."


def test_a_bad_formula_cannot_be_read_out():
    with pytest.raises(ContentError, match=r"^docs/a\.md: .*frac"):
        read_out_marked(inline(r"\frac{1}"), "docs/a.md")


# mark_dollars


def test_dollars_are_marked_as_markdown_pages_have_them():
    assert mark_dollars("<p>So $a$, and $b + c$.</p>") == (
        f"<p>So {inline('a')}, and {inline('b + c')}.</p>"
    )


def test_two_dollars_are_a_display_even_over_lines():
    assert mark_dollars("<p>$$\na\n$$</p>") == (
        '<p><div class="arithmatex">\\[\na\n\\]</div></p>'
    )


@pytest.mark.parametrize(
    "fragment",
    [
        "<p>It costs $5.</p>",
        "<p>It costs $5 here and $6 there.</p>",
        "<p>from $5 to $6</p>",
        "<p>$5–$6</p>",
        r"<p>\$5 and \$6</p>",
        r"<p>\$5\$.</p>",
        "<p>US$5, US$6</p>",
        "<p>US$5 or CA$.</p>",
        "<p>a $\nb$ c</p>",
    ],
)
def test_prices_are_no_formulas(fragment):
    assert mark_dollars(fragment) == fragment


@pytest.mark.parametrize(
    "fragment",
    [
        "<p><code>$HOME:$PATH</code></p>",
        "<pre>$a$</pre>",
        "<pre><code>x = '$a$'</code></pre>",
        "<svg><text>$a$</text></svg>",
        "<script>f($a$)</script>",
    ],
)
def test_dollars_in_code_and_pictures_stay(fragment):
    assert mark_dollars(fragment) == fragment


def test_a_formula_between_two_pieces_of_code_is_marked():
    fragment = "<code>$x</code> is $a$ and <code>$y</code>"
    assert mark_dollars(fragment) == (
        f"<code>$x</code> is {inline('a')} and <code>$y</code>"
    )
