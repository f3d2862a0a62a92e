"""What runs a reader's program in the page, here in the Python that tests it."""

import sys

import pytest

import runner


@pytest.fixture(autouse=True)
def leave_main_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(runner, "_program", runner._program)


def test_a_program_runs_as_main_and_prints(capsys):
    code = 'if __name__ == "__main__":\n    print(6 * 7)\n'
    assert runner.run(code, "demo")
    assert capsys.readouterr() == ("42\n", "")


def test_each_run_starts_afresh(capsys):
    assert runner.run("kept = 1", "demo")
    assert runner.run("print('kept' in globals())", "demo")
    assert capsys.readouterr().out == "False\n"


def test_dataclasses_find_their_module(capsys):
    code = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Pair:
    left: int
print(Pair(1))
"""
    assert runner.run(code, "demo")
    assert capsys.readouterr().out == "Pair(left=1)\n"


def test_a_traceback_shows_the_readers_lines_and_none_of_ours(capsys):
    assert not runner.run("def f():\n    return 1 / 0\n\nf()\n", "demo")
    told = capsys.readouterr().err
    assert 'File "demo.py", line 4, in <module>\n    f()' in told
    assert 'File "demo.py", line 2, in f\n    return 1 / 0' in told
    assert "runner.py" not in told
    assert told.endswith("ZeroDivisionError: division by zero\n")


def test_a_slip_of_syntax_is_shown_with_its_line(capsys):
    assert not runner.run("x = 1\ny = (\n", "demo")
    told = capsys.readouterr().err
    assert 'File "demo.py", line 2\n    y = (' in told
    assert "runner.py" not in told


@pytest.mark.parametrize(
    ("code", "fine", "told"),
    [
        ("raise SystemExit", True, ""),
        ("raise SystemExit(0)", True, ""),
        ("raise SystemExit(2)", False, ""),
        ("raise SystemExit('text is empty')", False, "text is empty\n"),
    ],
)
def test_a_program_may_end_itself(code, fine, told, capsys):
    assert runner.run(code, "demo") is fine
    assert capsys.readouterr().err == told


DRAWS = '''
def draw_line() -> None:
    """A line that
    rises."""
    import matplotlib.pyplot as plt
    _, ax = plt.subplots()
    ax.plot([0, 1])
'''


def test_its_figures_come_themed_and_with_words(capsys):
    shown: list[str] = []
    assert runner.run(DRAWS, "demo")
    assert runner.draw("demo", shown.append)
    [svg] = shown
    assert '<title id="run-demo-draw_line-title">A line that rises.</title>' in svg
    assert "var(--figure-1)" in svg
    assert "<style" not in svg


def test_a_figure_that_raises_is_told(capsys):
    assert runner.run(DRAWS.replace("[0, 1]", "1 / 0"), "demo")
    assert not runner.draw("demo", lambda svg: None)
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert "runner.py" not in told


# Exercises


def test_a_check_runs_among_the_names_of_the_program(capsys):
    assert runner.run("answer = 42", "exercise", "assert answer == 42")
    assert not runner.run("answer = 41", "exercise", "assert answer == 42, 'not yet'")
    told = capsys.readouterr().err
    assert 'File "check.py", line 1, in <module>\n    assert answer == 42' in told
    assert told.endswith("AssertionError: not yet\n")


def test_a_program_that_fails_is_not_checked(capsys):
    assert not runner.run("1 / 0", "exercise", "print('checked')")
    assert capsys.readouterr().out == ""


def test_a_program_that_ends_itself_is_checked_all_the_same():
    assert not runner.run("raise SystemExit", "exercise", "assert False")
