"""What every page owes its reader."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pages import load_source
from snippets import load_snippets

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
DOCS = ROOT / "docs"
PAGES = {
    page.key: page
    for path in sorted(DOCS.rglob("*.md"))
    if (page := load_source(path, DOCS))
}
EXERCISES = {
    f"{key}-{number}": exercise
    for key, page in PAGES.items()
    for number, exercise in enumerate(page.facts.exercises, start=1)
}
SOLUTIONS = {
    name: "\n".join([code, exercise.check or ""])
    for name, exercise in EXERCISES.items()
    for code in exercise.code_of_solution
}
GRADED = [name for name, exercise in EXERCISES.items() if exercise.start]

each_page = pytest.mark.parametrize("key", PAGES)


def test_there_are_pages():
    assert len(PAGES) >= 3


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "snippets")},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("solution", SOLUTIONS)
def test_a_solution_runs_and_asserts_its_claim(solution, tmp_path):
    code = SOLUTIONS[solution]
    assert isinstance(ast.parse(code).body[-1], ast.Assert)
    process = run(code, tmp_path)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("name", GRADED)
def test_the_checks_of_a_graded_exercise_fail_where_nothing_is_done(name, tmp_path):
    exercise = EXERCISES[name]
    assert run(exercise.start, tmp_path).returncode == 0
    process = run(f"{exercise.start}\n{exercise.check}", tmp_path)
    assert re.search(r"^(AssertionError: .|NotImplementedError)", process.stderr, re.M)


@each_page
def test_some_exercise_is_solved_in_code(key):
    assert any(name.startswith(f"{key}-") for name in SOLUTIONS)


@each_page
def test_a_page_with_a_numpy_snippet_has_an_exercise_that_grades_itself(key, site):
    snippets = [site.executions[name].snippet for name in PAGES[key].facts.snippets]
    if any(snippet.runs_in_a_browser for snippet in snippets):
        assert any(name.startswith(f"{key}-") for name in GRADED)


@each_page
def test_no_row_stands_twice(key):
    rows = Counter((row.what, row.where) for row in PAGES[key].facts.numbers)
    assert not [row for row, count in rows.items() if count > 1]


@each_page
def test_shows_the_code_and_at_least_one_figure(key):
    text = (DOCS / f"{key}.md").read_text()
    assert "::: code " in text
    assert "::: figure " in text
    for directive in ("numbers", "questions", "exercises", "cite"):
        assert text.count(f"\n::: {directive}\n") == 1


@each_page
def test_every_snippet_of_the_page_is_shown_or_quoted_on_it(key):
    text = (DOCS / f"{key}.md").read_text()
    for name in PAGES[key].facts.snippets:
        assert re.search(rf"::: (code|figure) {name}[.#]|\{{\{{ ?{name}\.", text), name


@each_page
def test_what_it_teaches_has_a_fitting_length(key):
    text = (DOCS / f"{key}.md").read_text()
    part = re.search(r"^## What it teaches$(.*?)^## ", text, re.M | re.S)
    words = len(part[1].split())
    assert 250 <= words <= 1500, f"{words} words under “What it teaches”"


def test_the_navigation_follows_the_reading_order(site):
    navigation = (ROOT / "mkdocs.yml").read_text()
    listed = [page.key for page in site.in_reading_order]
    assert sorted(listed, key=lambda key: navigation.index(f"{key}.md")) == listed


def test_spelling():
    process = subprocess.run(
        [
            BIN / "typos",
            "docs",
            "snippets",
            "hooks",
            "tests",
            "tools",
            "README.md",
            "CONTRIBUTING.md",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if process.returncode:
        pytest.fail(process.stdout)


def test_the_repository_names_no_registry_and_no_absolute_path():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: which files are the repository's is unknown")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    forbidden = re.compile(
        r"//[^ /]*(npmj[s]|pyp[i]|pythonhoste[d])|(?<![\w.])/(home|root|wor[k])/\w"
    )
    faults = [
        f"{name}: {match[0]}"
        for name in listed.stdout.split("\0")
        if name
        and (match := forbidden.search((ROOT / name).read_text(errors="ignore")))
    ]
    assert not faults


def test_the_worked_example_of_contributing_is_a_snippet_that_runs(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    example = re.search(r"^````python\n(.*?)^````", text, re.M | re.S)
    (tmp_path / "example.py").write_text(example[1])
    assert load_snippets(tmp_path)["example"].code("example#The primitive", "") != ""
    process = subprocess.run(
        [sys.executable, tmp_path / "example.py"], capture_output=True, text=True
    )
    assert process.stdout.split() == ["sigmoid_at_zero", "0.5"]
