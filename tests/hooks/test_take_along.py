"""What is taken along, on a small project."""

import os
import subprocess
import time
import zipfile

import pytest

from directives import Expander
from take_along import (
    PlainExpander,
    anki_package,
    feed,
    last_changes,
    plain_page,
    references,
    zip_site,
)


@pytest.fixture
def expander(project):
    def expander(kind=Expander) -> Expander:
        site = project.load()
        page = site.pages["engines/notes"]
        return kind(site, page.where, page, "../", lambda text: f"<p>{text}</p>")

    return expander


def test_a_page_as_markdown_keeps_formulas_and_code_and_folds_nothing(expander):
    text = plain_page(
        expander(),
        "A sum, $1 + 1$.\n\n::: code demo.add\n\n::: numbers\n\n::: questions\n",
    )
    assert text.startswith("# Notes")
    assert "A sum, $1 + 1$." in text
    assert "def add(a: float, b: float)" in text
    assert "0.3333" in text
    assert "???" not in text
    assert "<" not in text.replace("a < b", "")


def test_a_question_as_markdown_is_one_line_with_its_values(project, expander):
    ask = "What is the answer:\n{{ demo.answer }}?"
    project.page["questions"][0]["ask"] = ask
    plain = expander(PlainExpander).expand("::: questions")
    assert "**What is the answer: 42?**" in plain


def test_a_figure_is_an_image_with_its_words(expander):
    plain = expander(PlainExpander)
    text = plain.expand("::: figure demo.draw_line\n    It rises.\n")
    assert "![A line that rises from 0 to 1" in text
    assert "](../assets/figures/demo-draw_line.svg)" in text
    assert "It rises." in text


def test_the_same_reference_stands_once(project):
    project.write_page("engines/a", project.page, project.body)
    project.entries.append({"page": "engines/a"})
    assert references(project.load()).count("@") == 1


def test_an_anki_package_has_the_same_bytes_whenever_it_is_made(expander, monkeypatch):
    first = anki_package(expander())
    later = time.time() + 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert anki_package(expander()) == first


def test_a_zip_has_the_same_bytes_whenever_it_is_made(tmp_path):
    site = tmp_path / "site"
    (site / "assets/pyodide").mkdir(parents=True)
    (site / "b.html").write_text("b")
    (site / "a.html").write_text("a")
    (site / "search").mkdir()
    for useless in ("assets/pyodide/python.wasm", "search/search_index.json", "sw.js"):
        (site / useless).write_text("much")
    zip_site(site, tmp_path / "1.zip")
    os.utime(site / "a.html", (10**9, 10**9))
    zip_site(site, tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        assert archive.namelist() == ["rederived/a.html", "rederived/b.html"]


def test_a_page_in_the_zip_preloads_no_font(tmp_path):
    (tmp_path / "site").mkdir()
    page = '<head><link rel="preload" href="a.woff2" crossorigin>\n<link rel="icon">'
    (tmp_path / "site/a.html").write_text(page)
    zip_site(tmp_path / "site", tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("rederived/a.html") == b'<head><link rel="icon">'


def git(project, *arguments: str, date: str = "2026-01-01T00:00:00+00:00") -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(
        ["git", *identity, *arguments],
        cwd=project.root,
        env={**os.environ, "GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date},
        check=True,
        capture_output=True,
    )


def test_a_page_changes_with_its_snippet(project):
    site = project.load()
    git(project, "init")
    git(project, "add", "docs", "snippets")
    git(project, "commit", "-m", "All")
    pages = list(site.in_reading_order)
    [first] = last_changes(project.root, pages).values()
    assert first.startswith("2026-01-01")
    (project.snippets / "demo.py").write_text("# changed")
    git(project, "commit", "-am", "Snippet", date="2026-02-02T00:00:00+00:00")
    [second] = last_changes(project.root, pages).values()
    assert second.startswith("2026-02-02")
    text = feed(site, "Name & Co", {"engines/notes": second})
    assert "Name &amp; Co" in text
    assert f"<updated>{second}</updated>" in text


def test_without_history_no_date_is_invented(project):
    site = project.load()
    changes = last_changes(project.root, list(site.in_reading_order))
    assert changes == {}
    assert "<entry>" not in feed(site, "Name", changes)
