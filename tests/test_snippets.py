"""Every snippet as a file, as a module and as a program."""

import ast
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from snippets import SYMBOL_NODES

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "snippets").glob("*.py"))
STANDARD = set(sys.stdlib_module_names)
MAIN_CELL = """\
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")"""

# Python runs this before a program when it lies on PYTHONPATH: the network is cut.
NO_NETWORK = """
import socket
def refuse(*args, **kwargs):
    raise OSError("a snippet asked for the network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""

each_snippet = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Run a snippet as a program: empty folder, no network, one thread.

    What else the environment says stays as the notebooks had it: it may choose the
    kernels of linear algebra, and with them the last digits.
    """
    cut = tmp_path_factory.mktemp("cut")
    (cut / "sitecustomize.py").write_text(NO_NETWORK)

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        empty = tmp_path_factory.mktemp("empty")
        environment = {**os.environ, "PYTHONPATH": str(cut)}
        process = subprocess.run(
            [sys.executable, str(ROOT / "snippets" / f"{name}.py"), *arguments],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert not list(empty.iterdir()), f"{name} left files behind"
        return process

    return run


def test_the_network_really_is_cut(ran, tmp_path):
    asks = tmp_path / "asks.py"
    asks.write_text("import socket; socket.create_connection(('127.0.0.1', 9))")
    process = ran(str(asks.with_suffix("")))
    assert "a snippet asked for the network" in process.stderr


@each_snippet
def test_runs_alone_and_prints_its_numbers(name, ran, site):
    process = ran(name)
    assert (process.returncode, process.stderr) == (0, "")
    printed = dict(re.findall(r"^(\w+) +(\S+)$", process.stdout, re.M))
    results = site.executions[name].results
    assert printed.keys() >= results.keys()
    for key, value in results.items():
        assert math.isclose(float(printed[key]), value, rel_tol=1e-6, abs_tol=1e-12), (
            key
        )


def test_importing_them_does_no_work():
    code = (
        "import importlib, sys\n"
        "sys.path.insert(0, 'snippets')\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'matplotlib' not in sys.modules, name\n"
    )
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *NAMES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


@each_snippet
def test_depends_on_nothing_but_what_is_promised(name, site):
    imported = {
        alias.split(".")[0]
        for node in ast.walk(site.executions[name].snippet.tree)
        for alias in (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - STANDARD <= {"numpy", "torch", "matplotlib", "sklearn"}


@each_snippet
def test_takes_from_scikit_learn_the_data_it_ships_and_nothing_else(name, site):
    taken = {
        f"{node.module}.{alias.name}"
        if isinstance(node, ast.ImportFrom)
        else alias.name
        for node in ast.walk(site.executions[name].snippet.tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    from_there = {what for what in taken if what.startswith("sklearn")}
    assert from_there <= {"sklearn.datasets.load_digits"}


@each_snippet
def test_is_short(name, site):
    assert site.executions[name].snippet.code_lines <= 250


@each_snippet
def test_ends_in_the_cell_that_prints_its_numbers(name, site):
    cell = site.executions[name].snippet.notebook.cells[-1].source
    if "argparse" in site.executions[name].snippet.text:
        assert 'if __name__ == "__main__":' in cell
        assert "results = " in cell
    else:
        assert cell == MAIN_CELL


def raises(node: ast.AST) -> bool:
    """Whether a function itself raises; what is defined within it does not count."""
    return any(
        isinstance(child, ast.Raise)
        or (not isinstance(child, SYMBOL_NODES) and raises(child))
        for child in ast.iter_child_nodes(node)
    )


@each_snippet
def test_public_functions_are_typed_and_documented(name, site):
    for symbol, node in site.executions[name].snippet.symbols.items():
        if isinstance(node, ast.ClassDef) or symbol.split(".")[-1].startswith("_"):
            continue
        words = ast.get_docstring(node)
        assert words, f"{symbol} has no docstring"
        assert "Raises" in words or not raises(node), (
            f"{symbol} says not that it raises"
        )
        assert node.returns, f"{symbol} says not what it returns"
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        untyped = [a.arg for a in arguments if not a.annotation and a.arg != "self"]
        assert not untyped, f"{symbol} has untyped {untyped}"


@each_snippet
def test_has_a_file_of_tests(name):
    text = (ROOT / f"tests/snippets/test_{name}.py").read_text()
    assert re.search(r"^(import|from) (torch|scipy)\b", text, re.M), "no reference"
    assert re.search(rf"^import {name}\b", text, re.M)


@each_snippet
def test_stands_on_a_page(name, site):
    assert site.pages_using(name)
