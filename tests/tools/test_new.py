"""`make new`: what it lays out is tidy, fails honestly, and overwrites nothing."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import new
from errors import ContentError
from site_model import load_site
from snippets import Snippet

ROOT = Path(__file__).parents[2]
HOME = """\
---
title: The list
description: A list.
reading_list:
  - heading: Engines
    about: "Machines that *add*." # a comment
    entries:
      - source:
          title: Notes on the Engine
          authors: [Ada Lovelace, Charles Babbage]
          year: 1843
          kind: paper
          url: http://example.org/notes
          minutes: unknown
          archive: https://example.org/copy
      - page: engines/looms
  - heading: Resources
    about: More.
    entries: []
---

# Home
"""
CONFIG = """\
site_name: A site # a comment
nav:
  - Reading list: index.md
  - Engines:
      - Looms: engines/looms.md
      - engines/last.md
  - About: about.md
plugins:
  - search:
      separator: '[\\s]+'
"""
LISTED = {
    "key": "engines/notes",
    "url": "http://example.org/notes",
    "title": "Notes: on the “Engine”",
    "name": "engine",
}
UNLISTED = LISTED | {"url": "https://example.org/other?a=1"}


@pytest.fixture
def root(tmp_path) -> Path:
    """A small project with the tools' settings of this one."""
    for name in ("pyproject.toml", "typos.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text(HOME)
    (tmp_path / "mkdocs.yml").write_text(CONFIG)
    return tmp_path


def files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text()
        for path in root.rglob("*")
        if path.is_file()
    }


def front_matter(path: Path) -> dict:
    return yaml.safe_load(path.read_text().split("---\n")[1])


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


# What it lays out


@pytest.mark.parametrize("source", [LISTED, UNLISTED], ids=["listed", "unlisted"])
def test_page_snippet_and_tests_pass_lint(root, source):
    before = files(root)
    long = "A Long Title Whose Words Go On Until the Line Is Full and Then Some More"
    new.lay_out(root, **source | {"title": long})
    assert files(root).keys() - before == {
        "docs/engines/notes.md",
        "snippets/engine.py",
        "tests/snippets/test_engine.py",
    }
    for tool in (("ruff", "check"), ("ruff", "format", "--check"), ("typos",)):
        checked = run(root, Path(sys.executable).with_name(tool[0]), *tool[1:])
        assert checked.returncode == 0, checked.stdout


def test_a_listed_source_gives_its_page_the_facts_and_its_place(root):
    new.lay_out(root, **LISTED)
    page = front_matter(root / "docs/engines/notes.md")
    assert page["title"] == LISTED["title"]
    assert page["authors"] == ["Ada Lovelace", "Charles Babbage"]
    assert page["archive"] == "https://example.org/copy"
    assert page["minutes"] is None
    listed = HOME[HOME.index("      - source") : HOME.index("      - page: engines/l")]
    home = HOME.replace(listed, "      - page: engines/notes\n")
    assert (root / "docs/index.md").read_text() == home
    header = (root / "snippets/engine.py").read_text()
    assert "**Source:** Ada Lovelace, Charles Babbage, *Notes: on" in header


def test_an_unlisted_source_stands_last_under_the_heading_of_its_folder(root):
    said = new.lay_out(root, **UNLISTED)
    engines, _ = front_matter(root / "docs/index.md")["reading_list"]
    assert engines["entries"][1:] == [
        {"page": "engines/looms"},
        {"page": "engines/notes"},
    ]
    assert "last of its folder under “Engines”; move it" in said[-1]
    page = front_matter(root / "docs/engines/notes.md")
    assert (page["url"], page["year"]) == (UNLISTED["url"], None)


def test_among_pages_of_other_folders_it_stands_behind_those_of_its_own(root):
    index = root / "docs/index.md"
    other = "      - page: engines/looms\n      - page: mills/water\n"
    index.write_text(HOME.replace("      - page: engines/looms\n", other))
    new.lay_out(root, **UNLISTED)
    engines, _ = front_matter(index)["reading_list"]
    assert [entry.get("page") for entry in engines["entries"]] == [
        None,
        "engines/looms",
        "engines/notes",
        "mills/water",
    ]


def test_a_new_folder_stands_at_the_end_of_the_list_and_is_told(root):
    said = new.lay_out(root, **UNLISTED | {"key": "great-looms/notes"})
    assert said[-1] == "mkdocs.yml: nav has a new section, “Great looms”"
    assert (root / "docs/index.md").read_text() == HOME.replace(
        "    entries: []\n", "    entries:\n      - page: great-looms/notes\n"
    )
    section = "  - Great looms:\n      - great-looms/notes.md\n"
    before = "      - engines/last.md\n"
    wanted = CONFIG.replace(before, before + section)
    assert (root / "mkdocs.yml").read_text() == wanted


@pytest.mark.parametrize(
    ("source", "before"),
    [
        (LISTED, "      - Looms: engines/looms.md\n"),
        (UNLISTED, "  - About: about.md\n"),
    ],
    ids=["listed", "unlisted"],
)
def test_nav_follows_the_reading_list_and_keeps_its_layout(root, source, before):
    new.lay_out(root, **source)
    wanted = CONFIG.replace(before, "      - engines/notes.md\n" + before)
    assert (root / "mkdocs.yml").read_text() == wanted


def test_list_and_nav_of_this_site_keep_their_layout():
    _, home, _ = (ROOT / "docs/index.md").read_text().split("---\n", 2)
    for text in (home, (ROOT / "mkdocs.yml").read_text()):
        assert new.as_yaml(new.YAML_AS_WRITTEN.load(text)) == text


# It fails where content is missing


def test_the_build_tells_what_is_missing_one_after_the_other(root):
    """An author who does what each message says comes to the end."""
    (root / "docs/index.md").write_text(
        HOME.replace("      - page: engines/looms\n", "")
    )
    new.lay_out(root, **LISTED)
    page, snippet = root / "docs/engines/notes.md", root / "snippets/engine.py"

    def complaint() -> str:
        with pytest.raises(ContentError) as error:
            load_site(root / "docs", root / "snippets", root / ".cache")
        return str(error.value)

    def mend(path: Path, *changes: tuple[str, str]) -> None:
        text = path.read_text()
        for old, change in changes:
            assert old in text
            text = text.replace(old, change)
        path.write_text(text)

    assert complaint().startswith("snippets/engine.py: no title\n  Cure: begin with")
    mend(snippet, ('r"""\n#\n', 'r"""\n# Sums\n'))
    for field in ("Differs from the source", "Checked against", "Takes"):
        assert f"snippets/engine.py: header without “{field}”" in complaint()
        mend(snippet, (f"**{field}:**", f"**{field}:** said"))

    faults = complaint()
    assert faults.startswith("docs/engines/notes.md: front matter")
    for field in ("minutes", "level", "shows", "description", "bibtex"):
        assert f"`{field}`" in faults
    for field in ("numbers.0.what", "questions.0.ask", "exercises.0.task"):
        assert f"`{field}`: String should have at least 1 character" in faults
    head, body = page.read_text().split("numbers:\n")
    head = head.replace("minutes:", "minutes: 5").replace("level:", "level: advanced")
    for field in ("shows:", "description:"):
        head = head.replace(field, f"{field} said")
    rows = {
        "numbers": [{"what": "a", "where": "b", "says": "1", "ours": "engine.one"}],
        "questions": [{"ask": "a", "answer": "b"}] * 5,
        "exercises": [{"task": "a", "solution": "b"}] * 2,
        "bibtex": "@misc{a,}",
    }
    page.write_text(head + yaml.dump(rows) + "---\n" + body.split("---\n")[1])

    for heading in ("In one paragraph", "What it teaches", "What has changed since"):
        message = complaint()
        assert f"docs/engines/notes.md: nothing stands under “{heading}”" in message
        mend(page, (f"## {heading}\n", f"## {heading}\n\nSaid.\n"))

    for task, line in (
        (
            "draw what the primitive does",
            "import matplotlib.pyplot as plt; plt.plot([1, 2])",
        ),
        ("return every number that the page quotes", 'return {"one": 1}'),
    ):
        message = complaint()
        assert message.startswith("snippets/engine.py, cell")
        assert f"NotImplementedError: {task}" in message
        start = snippet.read_text().index(f'raise NotImplementedError("{task}')
        text = snippet.read_text()
        snippet.write_text(text[:start] + line + text[text.index("\n", start) :])
    load_site(root / "docs", root / "snippets", root / ".cache")


def test_every_test_it_lays_out_fails_and_says_what_to_write(root):
    new.lay_out(root, **LISTED)
    tests = run(
        root,
        *(sys.executable, "-m", "pytest", "tests/snippets/test_engine.py"),
        *("-q", "-p", "no:cacheprovider"),
    )
    assert "4 failed in" in tests.stdout, tests.stdout
    assert "passed" not in tests.stdout
    assert (
        "Failed: compute it with torch.nn, torch's autograd, or SciPy" in tests.stdout
    )
    assert Snippet(root / "snippets/engine.py").sections["The primitive"]


# What it refuses


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"key": "notes"}, "KEY is <folder>/<slug>"),
        ({"key": "../notes"}, "KEY is <folder>/<slug>"),
        ({"key": "engines/My Notes"}, "not “engines/My Notes”"),
        ({"key": "snippets/notes"}, "docs/snippets/ is not for sources"),
        ({"key": "engines/looms"}, "has `page: engines/looms` already"),
        ({"url": "example.org"}, "URL is an address"),
        ({"url": "http://example.org/else"}, "URL begins with https://"),
        ({"url": "https://example.org/a b"}, "URL is an address"),
        ({"title": " "}, "TITLE is one line of text"),
        ({"title": "two\nlines"}, "TITLE is one line of text"),
        ({"name": "2nd-try"}, "SNIPPET is the name of a new module, not “2nd-try”"),
        ({"name": "random"}, "SNIPPET is the name of a new module"),
        ({"name": "lambda"}, "SNIPPET is the name of a new module"),
        ({"name": "sklearn"}, "SNIPPET is the name of a new module"),
        ({"name": "figures"}, "SNIPPET is the name of a new module"),  # in hooks/
        ({"name": "reader"}, "SNIPPET is the name of a new module"),  # in tests/
        ({"name": "bench"}, "SNIPPET is the name of a new module"),  # a folder
        ({"name": "jinja2"}, "SNIPPET is the name of a new module"),  # installed
    ],
)
def test_what_will_not_do_is_told_and_nothing_is_written(root, wrong, words):
    before = files(root)
    with pytest.raises(ValueError, match=re.escape(words)):
        new.lay_out(root, **LISTED | wrong)
    assert files(root) == before


@pytest.mark.parametrize(
    "there",
    ["docs/engines/notes.md", "snippets/engine.py", "tests/snippets/test_engine.py"],
)
def test_nothing_is_overwritten(root, there):
    (root / there).parent.mkdir(parents=True, exist_ok=True)
    (root / there).write_text("mine\n")
    before = files(root)
    with pytest.raises(ValueError, match=f"{there} exists; nothing is overwritten"):
        new.lay_out(root, **LISTED)
    assert files(root) == before


# As a program: it takes what make was given and asks for the rest


def as_program(typed: str, **given: str) -> subprocess.CompletedProcess[str]:
    unset = {k: v for k, v in os.environ.items() if k not in ("KEY", "URL", "TITLE")}
    return subprocess.run(
        [sys.executable, ROOT / "tools/new.py"],
        env=unset | given,
        input=typed,
        capture_output=True,
        text=True,
    )


def test_it_asks_for_what_is_missing():
    asked = as_program("ftp://example.org\nA title\n", KEY="no-folders/a")
    assert "KEY (" not in asked.stdout
    assert "URL (URL of the original): TITLE (its title): " in asked.stdout
    assert asked.returncode == 1
    assert asked.stderr.startswith("make new: URL is an address")
    assert len(asked.stderr.splitlines()) == 1


def test_without_an_answer_it_says_what_to_give():
    asked = as_program("", KEY="no-folders/a")
    assert asked.stderr == "make new: no URL (URL of the original): give URL=…\n"
