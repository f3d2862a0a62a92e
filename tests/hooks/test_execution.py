"""Snippets run once per content, and what goes wrong in one is told."""

import os
import platform
import shutil

import nbformat
import numpy
import pytest
import torch

from errors import ContentError
from execution import Execution, run_all
from snippets import Snippet

SMALL = '''\
# %% [markdown]
"""
# Small
"""

# %%
{code}

# %%
if __name__ == "__main__":
    results = {results}
'''


@pytest.fixture
def small(new_project):
    """Write a snippet of one cell and its results."""

    def small(code: str = "x = 1", results: str = "{'x': 1}") -> Snippet:
        text = SMALL.format(code=code, results=results)
        return new_project.write_snippet("small", text)

    return small


@pytest.fixture
def complaint(new_project, small):
    """The message for a snippet that must not run; it leaves nothing in the cache."""

    def complaint(*args, **kwargs) -> str:
        with pytest.raises(ContentError) as error:
            run_all([small(*args, **kwargs)], new_project.cache)
        assert kept(new_project.cache) == []
        message = str(error.value)
        assert message.startswith("snippets/small.py")
        assert "\n  Cure: " in message
        assert "\x1b" not in message
        return message

    return complaint


def kept(cache) -> list[str]:
    """The names of the files in the cache, half notebooks included."""
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


# What comes out


def test_the_results_are_what_numbers_returned(execution):
    assert execution.results == {
        "answer": 42,
        "third": 1 / 3,
        "parameters": 51600,
        "flops": 3.27e18,
    }
    assert all(type(value) is float for value in execution.results.values())


def test_the_notebook_has_the_cells_of_the_snippet_and_what_they_printed(execution):
    cells = execution.notebook.cells
    wanted = execution.snippet.notebook.cells
    assert [cell.source for cell in cells] == [cell.source for cell in wanted]
    assert cells[-1].outputs[0].text.startswith("answer   ")


def test_the_notebook_is_valid_and_has_no_times_of_day(execution):
    nbformat.validate(execution.notebook)
    assert all("execution" not in cell.metadata for cell in execution.notebook.cells)


def test_the_time_is_kept(execution):
    assert 0 < execution.seconds < 120


def test_the_versions_it_ran_with_are_kept(execution, new_project, small):
    python = {"Python": platform.python_version()}
    assert execution.versions == python
    found = run_all([small("import torch\nfrom numpy import pi")], new_project.cache)
    assert list(found["small"].versions.items()) == [
        *python.items(),
        ("NumPy", numpy.__version__),
        ("PyTorch", torch.__version__.split("+")[0]),
    ]


def test_a_drawing_is_found_under_the_name_of_its_function(execution):
    assert list(execution.figures) == ["draw_line"]
    assert "<svg" in execution.figures["draw_line"]


# What an author can get wrong


def test_a_snippet_that_raises_is_told_with_cell_and_traceback(complaint):
    message = complaint("def fail(x):\n    return 1 / x\n\n\n# here\nfail(0)")
    assert message.startswith("snippets/small.py, cell 2 (def fail(x):): does not run")
    assert "ZeroDivisionError: division by zero" in message
    assert "return 1 / x" in message
    assert "Cure: `python snippets/small.py` runs it alone" in message


def test_a_snippet_that_kills_its_kernel_is_told(complaint):
    assert "cell 2 (import os)" in complaint("import os\nos._exit(1)")


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ("{'x': float('nan')}", "not JSON compliant"),
        ("{}\ndel results", "'results' is not defined"),
    ],
    ids=["not a number", "none"],
)
def test_numbers_that_cannot_be_read_are_told(complaint, results, reason):
    message = complaint(results=results)
    assert message.startswith("snippets/small.py: its numbers cannot be read")
    assert reason in message
    assert "end with `results = numbers()`: names to finite numbers" in message


def test_a_cell_that_draws_two_figures_is_told(new_project):
    text = new_project.snippet.replace(
        "    ax.legend()\n", "    plt.figure().gca().plot([1, 2])\n"
    )
    found = run_all([new_project.write_snippet("demo", text)], new_project.cache)
    with pytest.raises(ContentError) as error:
        _ = found["demo"].figures
    message = str(error.value)
    assert message.startswith("snippets/demo.py, cell `draw_line()`: 2 figures")
    assert "Cure: draw each figure once" in message


def test_a_cell_that_draws_nothing_is_told(execution, tmp_path):
    notebook = nbformat.read(execution.path, as_version=4)
    for cell in notebook.cells:
        if cell.source == "draw_line()":
            cell.outputs = []
    nbformat.write(notebook, tmp_path / "demo.ipynb")
    with pytest.raises(ContentError, match=r"cell `draw_line\(\)`: 0 figures"):
        _ = Execution(execution.snippet, tmp_path / "demo.ipynb").figures


def test_a_snippet_that_raises_casts_no_blame_on_what_runs_beside_it(
    new_project, tmp_path, caplog
):
    """It raises once the other has begun, which ends a second after its kernel."""
    begun, pid = tmp_path / "begun", tmp_path / "pid"
    codes = {
        "guilty": f"""\
import os, time
while not os.path.exists({str(begun)!r}):
    time.sleep(0.02)
with open({str(pid)!r}, "w") as file:
    file.write(str(os.getpid()))
1 / 0""",
        "innocent": f"""\
import os, time
open({str(begun)!r}, "w").close()
end = time.time() + 60
while not os.path.exists({str(pid)!r}) or not open({str(pid)!r}).read():
    time.sleep(0.02)
try:
    while time.time() < end:
        os.kill(int(open({str(pid)!r}).read()), 0)
        time.sleep(0.02)
except ProcessLookupError:
    time.sleep(1)""",
    }
    snippets = [
        new_project.write_snippet(name, SMALL.format(code=code, results="{'x': 1}"))
        for name, code in codes.items()
    ]
    with pytest.raises(ContentError) as error:
        run_all(snippets, new_project.cache)
    assert str(error.value).startswith("snippets/guilty.py, cell 2")
    assert "innocent" not in caplog.text


def test_once_one_has_failed_no_other_begins_and_each_failure_is_told(
    new_project, tmp_path, capsys, monkeypatch
):
    """Two fail together, each once the other has begun; a third is still waiting."""
    failing = """\
import os, time
open({mine!r}, "w").close()
while not os.path.exists({other!r}):
    time.sleep(0.02)
1 / 0"""
    a, b, waiting = (str(tmp_path / name) for name in ("a", "b", "waiting"))
    codes = {
        "one": failing.format(mine=a, other=b),
        "two": failing.format(mine=b, other=a),
        "waiting": f"open({waiting!r}, 'w').close()",
    }
    snippets = [
        new_project.write_snippet(name, SMALL.format(code=code, results="{'x': 1}"))
        for name, code in codes.items()
    ]
    monkeypatch.setattr("execution.AT_ONCE", 2)
    with pytest.raises(ContentError) as error:
        run_all(snippets, new_project.cache)
    told = str(error.value) + "".join(capsys.readouterr())
    assert "snippets/one.py, cell 2" in told
    assert "snippets/two.py, cell 2" in told
    assert not (tmp_path / "waiting").exists()


# The cache and the order of things. Three snippets of one text write to one log: a plus
# when they begin, a minus when they end. The first two wait for each other.

WAITING = """\
import os, time

assert os.listdir() == []
assert os.environ["OMP_NUM_THREADS"] == "1"
with open({log!r}, "a") as log:
    log.write("+")
    log.flush()
    end = time.time() + 60
    while open({log!r}).read().count("+") < 2:
        assert time.time() < end, "alone"
        time.sleep(0.05)
    time.sleep(0.5)
    log.write("-")"""


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A folder with three snippets, their cache and their log, all of them run."""
    folder = tmp_path_factory.mktemp("three")
    text = SMALL.format(
        code=WAITING.format(log=str(folder / "log")), results="{'x': 1}"
    )
    for name in "cab":
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    snippets = [Snippet(folder / f"{name}.py") for name in "cab"]
    with pytest.MonkeyPatch.context() as at_once:
        at_once.setattr("execution.AT_ONCE", 2)
        found = run_all(snippets, folder / "cache")
    assert list(found) == ["c", "a", "b"]  # the order in which they were given
    return folder


def test_no_more_snippets_run_at_a_time_than_are_allowed(three):
    marks = (three / "log").read_text()
    assert sorted(marks) == sorted("+++---")
    running = [marks[:n].count("+") - marks[:n].count("-") for n in range(7)]
    assert max(running) == 2


def test_a_second_time_nothing_runs_and_nothing_is_said(three, capsys):
    before = (three / "log").read_text()
    found = run_all([Snippet(three / f"{name}.py") for name in "abc"], three / "cache")
    assert (three / "log").read_text() == before
    assert [found[name].results for name in "abc"] == [{"x": 1}] * 3
    assert capsys.readouterr() == ("", "")


def test_a_copy_that_is_changed_leaves_the_original_its_entry(three, tmp_path):
    """What `cp snippets/a.py snippets/b.py` and a first edit come to."""
    shutil.copytree(three / "cache", tmp_path / "cache")
    (tmp_path / "b.py").write_text(SMALL.format(code="y = 1", results="{'y': 1}"))
    snippets = [Snippet(three / "a.py"), Snippet(tmp_path / "b.py")]
    found = run_all(snippets, tmp_path / "cache")
    assert found["a"].results == {"x": 1}


def test_a_changed_snippet_runs_again_and_its_stale_entry_goes(project, small):
    """What belongs to no snippet, such as one that was renamed, goes with it."""
    [old] = project.cache.rglob("demo.ipynb")
    other = old.parents[2] / "other/snippets/other.ipynb"
    other.parent.mkdir(parents=True)
    shutil.copy(old, other)
    for stale in (old, other):
        os.utime(stale.parents[1], (0, 0))
    changed = small(results="{'answer': 43}").text
    demo = project.write_snippet("demo", changed)
    found = run_all([demo], project.cache)
    assert found["demo"].results == {"answer": 43}
    assert not old.exists()
    assert kept(project.cache) == ["demo.ipynb"]
    assert len(list(project.cache.iterdir())) == 1


def test_under_another_python_it_runs_again_and_both_entries_stay(project, monkeypatch):
    [old] = project.cache.rglob("demo.ipynb")
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    demo = project.write_snippet("demo", project.snippet)
    new = run_all([demo], project.cache)["demo"].path
    assert new != old
    assert set(project.cache.rglob("demo.ipynb")) == {old, new}


def test_an_entry_that_is_used_does_not_get_old(project):
    [kept] = project.cache.rglob("demo.ipynb")
    os.utime(kept.parents[1], (0, 0))
    demo = project.write_snippet("demo", project.snippet)
    for _ in range(2):
        run_all([demo], project.cache)
    assert kept.exists()


def test_a_stray_file_in_the_cache_does_no_harm(project):
    """Such as the .DS_Store that a file manager leaves."""
    (project.cache / ".DS_Store").write_text("")
    demo = project.write_snippet("demo", project.snippet)
    assert run_all([demo], project.cache)["demo"].results["answer"] == 42


def test_an_interrupted_write_leaves_no_half_notebook(project):
    """The disk is full: /dev/full takes nothing."""
    demo = project.write_snippet("demo", project.snippet)
    [entry] = project.cache.rglob("demo.ipynb")
    entry.unlink()
    entry.with_suffix(".partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        run_all([demo], project.cache)
    assert not entry.exists()
