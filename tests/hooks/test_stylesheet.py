"""One style sheet: what is kept, what goes, and where its addresses lead."""

import pytest

from stylesheet import names_used, pruned, with_one_sheet, write_sheet

USED = {
    "card",
    "main",
    "title",
    "data-on",
    "yes",
    "a",
    "b",
    "--by-script",
    "--composed-",
}


@pytest.mark.parametrize(
    "css",
    [
        "p{color:red}",
        ".card{color:red}",
        "#main .card>a:hover::before{color:red}",
        "[data-on=yes]{color:red}",
        '[data-on="yes"] .card{color:red}',
        ".card:not(.gone){color:red}",
        ":is(.gone,.card) p{color:red}",
        "@media print{.card{color:red}}",
        "@supports (top: 1px){@media print{.card{color:red}}}",
        "@font-face{font-family:A;src:url(a.woff2)}",
        "@keyframes gone{from{top:0}}",
        '@charset "utf-8";',
        '.card{background:url("data:image/svg+xml;x,<a b=.gone>")}',
        ":root{--a:1;--b:var(--a)}\np{top:var(--b)}",
        """:root{--a:url("data:x;--c:0}'")}\np{background:var( --a)}""",
        ":root{--by-script:0}",
        ":root{--composed-by-script:0}",
    ],
)
def test_what_may_be_used_stays_as_it_is(css):
    assert pruned(css, USED) == css


@pytest.mark.parametrize(
    ("css", "left"),
    [
        (".gone{color:red}", ""),
        ("#gone{color:red}", ""),
        (".card.gone{color:red}", ""),
        (".card .gone a{color:red}", ""),
        ("[gone]{color:red}", ""),
        ("[data-on=no]{color:red}", ""),
        (".gone,.card,.gone b{color:red}", ".card{color:red}"),
        ("@media print{.gone{color:red}}", ""),
        ("@media print{.gone{color:red}a{top:0}}", "@media print{a{top:0}}"),
        ("/* said */.card{top:0}", ".card{top:0}"),
        (":root{--a:0;top:0;--b:1}", ":root{top:0}"),
        (":root{--a:url(data:x;y);top:0}", ":root{top:0}"),
        (":root{--a:{x:1};top:0}", ":root{top:0}"),
        (r':root{--a:"x\";}y";top:0}', ":root{top:0}"),
        (":root{--a:0;--b:var(--a)}\n.gone{top:var(--b)}", ""),
        (
            """:root{--a:url("x;y}'");--b:1}p{top:var(--b)}""",
            ":root{--b:1}\np{top:var(--b)}",
        ),
    ],
)
def test_what_no_page_can_use_goes(css, left):
    assert pruned(css, USED) == left


def test_names_stand_in_tags_and_in_scripts_not_in_prose(tmp_path):
    (tmp_path / "assets/deep").mkdir(parents=True)
    (tmp_path / "page.html").write_text(
        '<p class="card md-x">prose</p><script>put("inline")</script>'
        "<style>svg { top: var(--in-style) }</style>"
    )
    (tmp_path / "assets/deep/a.js").write_text('e.classList.add("by-script", "rtl")')
    names = names_used(tmp_path)
    assert {"card", "md-x", "by-script", "inline", "--in-style"} <= names
    assert not {"prose", "rtl"} & names


def test_sheets_are_joined_in_order_and_their_addresses_still_lead_there(tmp_path):
    for name, css in {
        "assets/deep/first.css": "p{src:url(fonts/a.woff2)}",
        "assets/second.css": "a{src:url('fonts/b.woff2')}b{src:url(data:x)}",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(css)
    write_sheet(tmp_path, ["assets/deep/first.css", "assets/second.css"])
    assert (tmp_path / "assets/style.css").read_text().splitlines() == [
        'p{src:url("deep/fonts/a.woff2")}',
        'a{src:url("fonts/b.woff2")}',
        "b{src:url(data:x)}",
    ]


def test_a_rule_for_tables_without_a_class_is_for_plain_ones(tmp_path):
    (tmp_path / "a.html").write_text('<table class="plain"></table>')
    (tmp_path / "assets").mkdir()
    (tmp_path / "site.css").write_text("p table:not([class])>td{color:red}")
    write_sheet(tmp_path, ["site.css"])
    written = (tmp_path / "assets/style.css").read_text()
    assert written == "p table.plain>td{color:red}"


@pytest.mark.parametrize("root", ["", "../", "/"])
def test_a_page_links_one_sheet_where_the_first_stood(root):
    one, two, three = (
        f'<link rel="stylesheet" href="{root}assets/{name}.css">' for name in "abc"
    )
    page = f"<head>{one}\n  {two}<script></script>{three}</head>"
    link = f'<link rel="stylesheet" href="{root}assets/style.css">'
    assert with_one_sheet(page) == f"<head>{link}<script></script></head>"


def test_a_page_without_a_sheet_is_an_error():
    with pytest.raises(ValueError, match="no longer links a style sheet"):
        with_one_sheet("<head></head>")
