"""tools/mutants.py: the changes it makes, what it leaves out, what it tells."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="make lint or make mutants installs mutmut")

import mutants

SNIPPET = '''\
# %% [markdown]
"""A text that nobody tests."""
import argparse
from functools import cache

SIZE = 3


@cache
def area(width, height=1):
    """Width times height."""
    return width * height


# %%
def draw_area():
    """A figure."""
    print(area(2, 3))


def main():
    parser = argparse.ArgumentParser(description="No more than shown.")
    parser.add_argument("--size", type=int, help="No more than shown")


# %%
if __name__ == "__main__":
    print(area(2))
'''


def changes():
    return [(m.line, m.was, m.becomes) for m in mutants.mutants_of(SNIPPET)]


def test_constants_and_decorated_functions_are_changed():
    assert (6, "SIZE = 3", "SIZE = 4") in changes()
    assert (12, "return width * height", "return width / height") in changes()
    assert all(line in (6, 10, 12, 22, 23) for line, _, _ in changes())


def test_the_rest_of_the_file_stays_as_it_is():
    before = SNIPPET.splitlines()
    for mutant in mutants.mutants_of(SNIPPET):
        after = mutant.source.splitlines()
        differ = [
            i
            for i, pair in enumerate(zip(before, after, strict=True), 1)
            if pair[0] != pair[1]
        ]
        assert differ == [mutant.line]
        assert before[mutant.line - 1].strip() == mutant.was
        assert after[mutant.line - 1].strip() == mutant.becomes


def test_what_argparse_shows_is_left_out_and_the_rest_is_not():
    parser = [becomes for line, _, becomes in changes() if line in (22, 23)]
    assert any("--SIZE" in code for code in parser)
    assert any("type=None" in code for code in parser)
    assert not any("SHOWN" in code or "help=None" in code for code in parser)


def test_a_change_of_several_lines_is_told_whole():
    before = "a = f(\n    1,\n    2,\n)\nb = 3\n"
    after = "a = f(\n    None,\n)\nb = 3\n"
    assert mutants.difference(before, after) == (2, "1,\n2,", "None,")


def test_a_snippet_that_cannot_be_changed_has_a_row_too():
    assert mutants.row("names", 0, 0, 0.0).split()[:4] == ["names", "0", "0", "none"]


FOLDERS = ("snippets", "tests/snippets", "tools")


@pytest.fixture
def run(tmp_path):
    """Run the tool on a snippet of two lines that has the given test."""
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    tool = Path(mutants.__file__).read_text(encoding="utf-8")
    (tmp_path / "tools/mutants.py").write_text(tool, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mutmut]\nsource_paths = ["snippets"]'
    )
    (tmp_path / "snippets/twice.py").write_text("def twice(x):\n    return 2 * x\n")

    def run(test: str, *arguments: str, explained: str = ""):
        (tmp_path / "tools/survivors.toml").write_text(explained)
        (tmp_path / "tests/snippets/test_twice.py").write_text(test)
        return subprocess.run(
            [sys.executable, "tools/mutants.py", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    return run


GOOD = "import twice\ndef test():\n    assert twice.twice(3) == 6\n"
POOR = "import twice\ndef test():\n    assert twice.twice(1) >= 2\n"
EXPLAINED = """
[[twice]]
was = "return 2 * x"
becomes = ["return 2 / x", "return 3 * x"]
why = "a reason"
"""


def test_a_test_that_notices_everything(run):
    done = run(GOOD)
    assert done.returncode == 0, done.stderr
    assert "all" in done.stdout
    assert "100.0 %" in done.stdout
    assert "Left out: figures" in done.stdout


def test_survivors_are_listed_and_fail_until_they_are_explained(run):
    done = run(POOR, "snippets/twice.py")
    assert done.returncode == 1
    assert "snippets/twice.py:2: NOT EXPLAINED" in done.stdout
    assert "    - return 2 * x\n    + return 3 * x\n" in done.stdout
    assert "Survivors without a reason: 2" in done.stdout
    done = run(POOR, "twice", explained=EXPLAINED)
    assert done.returncode == 0, done.stdout
    assert "snippets/twice.py:2: a reason" in done.stdout


def test_an_explanation_without_a_survivor_is_told(run):
    done = run(GOOD, explained=EXPLAINED)
    assert done.returncode == 1
    assert "explains what is no survivor" in done.stdout
    assert "Reasons without one: 2" in done.stdout


def test_a_loop_without_end_is_caught(run, tmp_path):
    (tmp_path / "snippets/twice.py").write_text(
        "def twice(x):\n    n = 0\n    while n < 2 * x:\n        n += 1\n    return n\n"
    )
    done = run("import twice\ndef test():\n    assert twice.twice(3) == 6\n")
    assert "twice" in done.stdout
    assert "n -= 1" not in done.stdout  # not among the survivors


def test_tests_that_fail_anyway_stop_it(run):
    done = run(GOOD.replace("6", "7"))
    assert done.returncode == 1
    assert "test_twice.py fails on twice.py as it is" in done.stderr


def test_an_unknown_snippet_is_one_clear_error(run):
    done = run(GOOD, "thrice")
    assert done.returncode == 2
    assert "no snippet is called thrice: twice" in done.stderr
