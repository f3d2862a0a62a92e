"""Change the snippets one small step at a time and see whether their tests notice.

    python tools/mutants.py          every snippet
    python tools/mutants.py lstm     one

The changes (mutants) are mutmut's: a plus becomes a minus, a 2 a 3, an argument is left
out. Each mutant of `snippets/NAME.py` stands in for the snippet while
`tests/snippets/test_NAME.py` runs, fastest test first, until one fails; taking far
longer than usual is a failure as well. What no test notices is listed with file and
line, and wants a better test or a reason in `tools/survivors.toml`.

mutmut makes the mutants and this file runs them. mutmut's own runner leaves out what
has a decorator or stands outside of functions; and it picks the tests that were seen to
call a function, so it misses those that got the result from a cache or a fixture.
"""

import argparse
import ast
import contextlib
import gc
import io
import multiprocessing
import os
import re
import resource
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # heeded when NumPy and torch are loaded

import libcst
import pytest
from mutmut.mutation.file_mutation import create_mutations, deep_replace
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
EXPLAINED = ROOT / "tools/survivors.toml"
LEFT_OUT = """\
Left out: figures (draw_*), the last cell, which runs the snippet as a program, texts in
triple quotes, and what argparse only shows (help, description, metavar)."""

fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Mutant:
    """One change to a snippet: the lines it touches, and the whole file after it."""

    line: int
    was: str
    becomes: str
    source: str


# ---- making mutants ------------------------------------------------------------------


def mutants_of(source: str) -> list[Mutant]:
    """Every mutant of a snippet but for what is left out, in the order of the lines."""
    # mutmut passes over what has a decorator: to it, decorators are comments
    hidden = re.sub(r"^( *)@(?=\w)", r"\1#@", source, flags=re.M)
    module, mutations, _, _ = create_mutations("snippet", hidden)
    skip = lines_left_out(source)
    # to change and print one statement is much faster than the whole file
    texts = [module.code_for_node(statement) for statement in module.body]
    start = hidden.index(texts[0])
    head, tail = hidden[:start], hidden[start + len("".join(texts)) :]
    home = {id(node): i for i, s in enumerate(module.body) for node in nodes(s)}
    mutants = []
    for mutation in mutations:
        old, new = mutation.original_node, mutation.mutated_node
        i = home[id(old)]
        changed = module.code_for_node(deep_replace(module.body[i], old, new))
        mutated = "".join([head, *texts[:i], changed, *texts[i + 1 :], tail])
        mutated = re.sub(r"^( *)#@(?=\w)", r"\1@", mutated, flags=re.M)
        line, was, becomes = difference(source, mutated)
        if line not in skip and without_help(was) != without_help(becomes):
            mutants.append(Mutant(line, was, becomes, mutated))
    return sorted(mutants, key=lambda mutant: mutant.line)


def nodes(node: libcst.CSTNode) -> Iterator[libcst.CSTNode]:
    """The node and all below it."""
    yield node
    for child in node.children:
        yield from nodes(child)


def lines_left_out(source: str) -> set[int]:
    """The lines of figures and of the cell that runs the snippet as a program."""
    return {
        line
        for node in ast.parse(source).body
        if (isinstance(node, ast.FunctionDef) and node.name.startswith("draw_"))
        or isinstance(node, ast.If)
        for line in range(node.lineno, node.end_lineno + 1)
    }


def without_help(code: str) -> str:
    """The code without the texts that argparse shows."""
    code = re.sub(r',?\s*(help|description|metavar)=("[^"]*"|None)', "", code)
    return re.sub(r",\s*\)", ")", code)  # what mutmut leaves of a last argument


def difference(before: str, after: str) -> tuple[int, str, str]:
    """Number of the first line that changes, what changes, and what it becomes."""
    a, b = before.splitlines(), after.splitlines()
    first = sum(1 for _ in takewhile(same, zip(a, b, strict=False)))
    tails = zip(reversed(a[first:]), reversed(b[first:]), strict=False)
    last = sum(1 for _ in takewhile(same, tails))
    was, becomes = a[first : len(a) - last], b[first : len(b) - last]
    return first + 1, *("\n".join(map(str.strip, lines)) for lines in (was, becomes))


def same(pair: tuple[str, str]) -> bool:
    """Whether the two are equal."""
    return pair[0] == pair[1]


# ---- running the tests ---------------------------------------------------------------


class TooLong(BaseException):
    """Raised in tests that have used up their time."""


class FastestFirst:
    """A pytest plugin: sorts the tests by what they took before, and measures them.

    seconds: processor time of each test by its id; empty at first.
    """

    def __init__(self, seconds: dict[str, float]) -> None:
        self.before = seconds
        self.seconds: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Sort the tests; those that the mutant has given a new id come first."""
        items.sort(key=lambda item: self.before.get(item.nodeid, 0.0))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Run a test with its fixtures, under the clock."""
        start = time.process_time()
        done = yield
        self.seconds[item.nodeid] = time.process_time() - start
        return done


def call_pytest(name: str, folder: Path, plugins: Sequence[object] = ()) -> int:
    """Run pytest in silence on a snippet's tests, the snippet taken from a folder."""
    file = ROOT / f"tests/snippets/test_{name}.py"
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--confcutdir={file.parent}"]
    paths = f"pythonpath={folder} {ROOT}/snippets {ROOT}/tests"
    with contextlib.redirect_stdout(io.StringIO()):
        return pytest.main([*options, "-o", paths, str(file)], plugins)


def run_tests(
    name: str, source: str, seconds: dict[str, float], report: SimpleQueue | None = None
) -> None:
    """Test `source` in place of a snippet, then exit with pytest's status.

    For a process of its own. Sends what each test took to `report`, if there is one.
    """

    def stop(*_: object) -> None:
        raise TooLong

    if seconds:
        limit = int(5 + 3 * sum(seconds.values()))
        signal.signal(signal.SIGPROF, stop)
        signal.setitimer(signal.ITIMER_PROF, limit, 1)
        # what no signal handler can stop is killed
        resource.setrlimit(resource.RLIMIT_CPU, (2 * limit, 2 * limit))
    plugin = FastestFirst(seconds)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"{name}.py").write_text(source, encoding="utf-8")
        status = call_pytest(name, Path(folder), [plugin])
    if report:
        report.put(plugin.seconds)
    sys.exit(status)


def load_libraries(name: str) -> None:
    """Run the tests once for all they import, but for the snippet and themselves."""
    if call_pytest(name, ROOT / "snippets") != pytest.ExitCode.OK:
        sys.exit(f"mutants: tests/snippets/test_{name}.py fails on {name}.py as it is")
    for key, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "").stem in (name, f"test_{name}"):
            del sys.modules[key]
    gc.collect()
    gc.freeze()  # or each of the processes to come would look through it all


def measure(name: str, source: str) -> dict[str, float]:
    """Processor time in seconds of each test of the snippet as it is."""
    seconds: dict[str, float] = {}
    for _ in range(2):  # in the file's order, then as the mutants: sorted, with a limit
        report = fork.SimpleQueue()
        process = fork.Process(target=run_tests, args=(name, source, seconds, report))
        process.start()
        process.join()
        if process.exitcode != pytest.ExitCode.OK:
            sys.exit(
                f"mutants: tests/snippets/test_{name}.py fails on {name}.py as it is"
            )
        seconds = report.get()
    return seconds


def survivors_of(name: str, source: str, mutants: list[Mutant]) -> list[Mutant]:
    """The mutants that no test notices."""
    load_libraries(name)
    seconds = measure(name, source)
    running: dict[int, tuple[BaseProcess, Mutant]] = {}
    survivors = []

    def collect() -> None:
        """Wait until some process ends; its exit status is pytest's, or a signal's."""
        for sentinel in wait(running):
            process, mutant = running.pop(sentinel)
            process.join()
            if process.exitcode == pytest.ExitCode.OK:
                survivors.append(mutant)
            progress.update()

    with tqdm(mutants, desc=name, leave=False) as progress:
        for mutant in mutants:
            if len(running) == os.cpu_count():
                collect()
            arguments = name, mutant.source, seconds
            process = fork.Process(target=run_tests, args=arguments)
            process.start()
            running[process.sentinel] = process, mutant
        while running:
            collect()
    return sorted(survivors, key=lambda mutant: mutant.line)


# ---- the report ----------------------------------------------------------------------

Reasons = dict[tuple[str, str], str]


def reasons(table: list[dict]) -> Reasons:
    """A snippet's table in the file: why a change cannot be noticed."""
    return {(row["was"], to): row["why"] for row in table for to in row["becomes"]}


def describe(path: str, mutant: Mutant, why: str) -> str:
    """A survivor as a small diff below its place and its reason."""
    lines = [f"  {path}:{mutant.line}: {why}"]
    lines += [f"    - {line}" for line in mutant.was.splitlines()]
    lines += [f"    + {line}" for line in mutant.becomes.splitlines()]
    return "\n".join(lines)


def main(chosen: list[str]) -> int:
    """Print a row and the survivors of each snippet; 1 if anything is left to do."""
    names = sorted(path.stem for path in (ROOT / "snippets").glob("*.py"))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("snippet", nargs="*", type=lambda path: Path(path).stem)
    chosen = parser.parse_args(chosen).snippet
    if unknown := set(chosen) - set(names):
        parser.error(f"no snippet is called {unknown.pop()}: {', '.join(names)}")
    explained = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))

    print(f"{'snippet':<24} {'mutants':>7} {'caught':>7} {'share':>8} {'seconds':>8}")
    total = caught = unexplained = stale = 0
    begin = time.time()
    for name in chosen or names:
        start = time.time()
        source = (ROOT / f"snippets/{name}.py").read_text(encoding="utf-8")
        mutants = mutants_of(source)
        survivors = survivors_of(name, source, mutants)
        why = reasons(explained.get(name, []))
        print(row(name, len(mutants), len(mutants) - len(survivors), start))
        for mutant in survivors:
            reason = why.get((mutant.was, mutant.becomes))
            unexplained += reason is None
            print(describe(f"snippets/{name}.py", mutant, reason or "NOT EXPLAINED"))
        for was, becomes in sorted(
            why.keys() - {(m.was, m.becomes) for m in survivors}
        ):
            stale += 1
            print(f"  {EXPLAINED.name} explains what is no survivor:")
            print(f"    - {was}\n    + {becomes}")
        sys.stdout.flush()
        total += len(mutants)
        caught += len(mutants) - len(survivors)
    print(row("all", total, caught, begin))
    print(LEFT_OUT)
    print(f"Survivors without a reason: {unexplained}. Reasons without one: {stale}.")
    return 1 if unexplained or stale else 0


def row(name: str, total: int, caught: int, start: float) -> str:
    """A row of the table; the seconds are those since `start`."""
    share = f"{100 * caught / total:.1f} %" if total else "none"
    seconds = f"{time.time() - start:.0f}"
    return f"{name:<24} {total:>7} {caught:>7} {share:>8} {seconds:>8}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
