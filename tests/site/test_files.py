"""The built site as files: links, hosts, downloads, weight, policy."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STUDY = ("study", "review")  # the second on the page of the review alone
SNIPPETS = sorted(path.stem for path in (ROOT / "snippets").glob("*.py"))


@pytest.fixture(scope="module")
def pages(built):
    """The HTML of every page by its address."""
    return {
        path.relative_to(built).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(built.rglob("*.html"))
    }


def test_every_link_and_anchor_inside_the_site_leads_somewhere(built):
    process = subprocess.run(
        [
            BIN / "lychee",
            "--offline",
            "--no-progress",
            "--include-fragments",
            "--exclude-path=404.html",
            f"--root-dir={built}",
            f"{built}/**/*.html",
        ],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr


def test_no_page_loads_anything_from_another_host(pages):
    loads = re.compile(
        r"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?"
        r"(?:src|data)=\"(?:https?:)?//[^\"]*|<link\b[^>]*href=\"(?:https?:)?//[^\"]*"
        r"|@import[^;]*|\bimport\s*\(?[\"']https?:[^\"']*"
    )
    assert {name: loads.findall(html) for name, html in pages.items()} == {
        name: [] for name in pages
    }


def test_every_page_has_a_policy_that_allows_no_other_host(pages):
    for name, html in pages.items():
        policy = re.search(
            r'http-equiv="Content-Security-Policy" content="([^"]*)"', html
        )
        assert policy, name
        directives = dict(part.split(" ", 1) for part in policy[1].split("; "))
        assert directives["default-src"] == "'self'"
        assert "http" not in policy[1]
        assert "unsafe" not in directives["script-src"]
        # the theme's own: its scope, its palette, and on a page with headings its tail
        assert directives["script-src"].count("sha256-") <= 4, name


def test_a_page_waits_for_one_style_sheet_and_no_script(pages):
    for name, html in pages.items():
        assert re.findall(r'rel="stylesheet" href="([^"]*)"', html) == [
            re.search(r'rel="icon" href="([^"]*)favicon', html)[1] + "style.css"
        ]
        scripts = re.findall(r"<script[^>]*src=[^>]*>", html)
        own = [script for script in scripts if "/pictures/" not in script]
        assert len(own) == (5 if name == "review.html" else 4), name
        assert all(" defer" in script for script in scripts), name


def test_what_studying_adds_to_a_page_is_light(built):
    scripts = [(built / f"assets/{name}.js").read_bytes() for name in STUDY]
    assert sum(len(gzip.compress(script, 6)) for script in scripts) <= 15_000


def test_fonts_of_the_first_lines_are_preloaded_and_never_move_the_text(pages, built):
    faces = re.findall(
        r"@font-face\s*{[^}]*Source[^}]*display:\s*(\w+)[^}]*url\(\"([^\"]*)\"",
        (built / "assets/style.css").read_text(encoding="utf-8"),
    )
    optional = [url for display, url in faces if display == "optional"]
    assert len(optional) == 2
    for name, html in pages.items():
        preloaded = re.findall(r'rel="preload" href="([^"]*)" as="font"[^>]*', html)
        root = re.search(r'rel="icon" href="([^"]*)favicon', html)[1]
        assert preloaded == [root + url for url in optional], name


def test_what_the_style_sheet_asks_of_the_site_is_there(built):
    css = (built / "assets/style.css").read_text(encoding="utf-8")
    fonts = re.findall(r"url\(\"?([^\")]*\.woff2)", css)
    assert len(fonts) > 20
    for font in fonts:
        assert (built / "assets" / font).is_file(), font


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_notebook_page_is_slim(name, pages):
    html = pages[f"snippets/{name}.html"]
    assert len(gzip.compress(html.encode(), 6)) <= 60_000
    assert "<style" not in html
    assert "jp-" not in html
    assert '<div class="passage"' in html, "so that it need not be laid out whole"
    assert "mermaid" not in html.lower()
    assert "mathjax" not in html.lower()


@pytest.mark.parametrize("name", SNIPPETS)
def test_what_is_downloaded_is_what_was_tested(name, built):
    served = (built / f"snippets/{name}.py").read_bytes()
    assert served == (ROOT / f"snippets/{name}.py").read_bytes()


@pytest.mark.parametrize("name", SNIPPETS)
def test_the_downloaded_notebook_has_run_and_tells_nothing_of_where(name, built):
    text = (built / f"snippets/{name}.ipynb").read_text(encoding="utf-8")
    notebook = json.loads(text)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    assert any(cell["outputs"] for cell in code)
    assert str(ROOT) not in text
    assert "/tmp/" not in text


def test_formulas_are_typeset_with_mathml_and_none_is_left_raw(pages):
    assert sum(html.count("<math ") for html in pages.values()) > 100
    for name, html in pages.items():
        text = re.sub(r"<(pre|code|annotation|script)\b.*?</\1>", "", html, flags=re.S)
        assert "arithmatex" not in text, name
        assert not re.search(r"\\\(|\\\[|\$\$|\$\\?[A-Za-z]", text), name


def test_the_search_reads_formulas_as_text(built):
    text = (built / "search/search_index.json").read_text(encoding="utf-8")
    documents = [document["text"] for document in json.loads(text)["docs"]]
    assert [text for text in documents if re.search(r"\\\(|\\\[|\$\$", text)] == []
    assert any("N × N" in text for text in documents)


def test_katex_and_its_style_sheet_are_of_one_version(built):
    package = json.loads((ROOT / "node_modules/katex/package.json").read_text())
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]["katex"]
    script = (ROOT / "node_modules/katex/dist/katex.min.js").read_text(encoding="utf-8")
    style = (built / "assets/katex/katex.min.css").read_text(encoding="utf-8")
    assert package["version"] == wanted
    assert f'"{wanted}"' in script
    assert f'"{wanted}"' in style


def test_every_difference_stands_under_findings(pages, site):
    for rows in site.differing.values():
        for row in rows:
            assert row.we_get in pages["findings.html"]
    count = pages["findings.html"].count('class="verdict verdict--differs"')
    assert count == sum(len(rows) for rows in site.differing.values())


def test_the_home_page_lists_the_whole_reading_list(pages, site):
    for heading in site.headings:
        assert heading.heading in pages["index.html"]
        for entry in heading.entries:
            if entry.source:
                assert f'href="{entry.source.url}"' in pages["index.html"]
            if entry.page:
                assert f'href="./{entry.page}.html"' in pages["index.html"]


def test_the_catalog_lists_every_snippet_with_its_address(pages):
    for name in SNIPPETS:
        assert f"/snippets/{name}.py" in pages["snippets/index.html"]
