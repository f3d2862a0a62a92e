"""Run each snippet once per content and keep what came out.

What is kept is the executed notebook itself: the page shows it, the reader downloads
it, and its metadata carry the time it took, what `numbers()` returned, and the
versions it ran with.
"""

import asyncio
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm

import figures
from errors import ContentError
from snippets import LIBRARIES, Snippet

AT_ONCE = 4  # half of a short snippet's time is waiting for its kernel
CELL_TIMEOUT = 120  # seconds
KEPT = 30 * 24 * 3600  # seconds since it was last used
DRAWING = re.compile(r"(draw_\w+)\(\)")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
START_CLOCK = "import time as _time; _begun = _time.process_time()"
READ_BACK = """
import json as _json, platform as _platform
print(_json.dumps({
    "seconds": round(_time.process_time() - _begun, 2),
    "results": {key: float(value) for key, value in results.items()},
    "versions": {
        "Python": _platform.python_version(),
        # a build's own mark, such as +cpu, says nothing of the release
        **{label: __import__(module).__version__.partition("+")[0]
           for module, label in _libraries.items()},
    },
}, allow_nan=False))
"""
RAISED = (CellExecutionError, CellTimeoutError, DeadKernelError)


@dataclass(frozen=True)
class Execution:
    """An executed snippet."""

    snippet: Snippet
    path: Path

    @cached_property
    def notebook(self) -> NotebookNode:
        """The notebook with its outputs."""
        notebook: NotebookNode = nbformat.read(self.path, as_version=4)
        return notebook

    @property
    def seconds(self) -> float:
        """Processor time of all cells, imports among them, on one thread."""
        return float(self.notebook.metadata["rederived"]["seconds"])

    @property
    def results(self) -> dict[str, float]:
        """What `numbers()` returned."""
        return dict(self.notebook.metadata["rederived"]["results"])

    @property
    def versions(self) -> dict[str, str]:
        """Of Python and the snippet's libraries, by name, when it ran."""
        kept = self.notebook.metadata["rederived"]["versions"]  # sorted by nbformat
        return {
            name: kept[name] for name in ("Python", *LIBRARIES.values()) if name in kept
        }

    @cached_property
    def figures(self) -> dict[str, str]:
        """Raw SVG by the function that drew it, in the notebook's order."""
        found: dict[str, str] = {}
        for cell in self.notebook.cells:
            svgs = [
                output.data["image/svg+xml"]
                for output in cell.get("outputs", [])
                if "image/svg+xml" in output.get("data", {})
            ]
            drawing = DRAWING.fullmatch(cell.source.strip())
            if not svgs and not drawing:
                continue
            if len(svgs) != 1 or not drawing or drawing[1] in found:
                raise ContentError(
                    f"{self.snippet.where}, cell `{_first_code_line(cell)}`",
                    f"{len(svgs)} figures, or a second time, or not by draw_…()",
                    "draw each figure once, by a cell that is `draw_something()` and "
                    "nothing else, with pyplot and without returning it",
                )
            found[drawing[1]] = svgs[0]
        return found

    def figure(self, symbol: str) -> str:
        """A figure as it stands in a page, with its alternative text."""
        words = self.snippet.alternative_text(symbol)
        name = f"{self.snippet.name}-{symbol}"
        return figures.for_page(self.figures[symbol], name, words)

    def figure_files(self) -> dict[str, str]:
        """Every figure as an SVG that stands alone, by the name of its file."""
        return {
            f"{self.snippet.name}-{symbol}.svg": figures.for_file(self.figure(symbol))
            for symbol in self.figures
        }


def run_all(snippets: Iterable[Snippet], cache: Path) -> dict[str, Execution]:
    """Execute what has changed, some at a time, with a progress bar, and read the rest.

    Raises `ContentError` with name, cell and traceback where a snippet raises.
    """
    entries = [
        Execution(snippet, cache / _key(snippet) / f"snippets/{snippet.name}.ipynb")
        for snippet in snippets
    ]
    to_run = [entry for entry in entries if not entry.path.exists()]
    if to_run:
        asyncio.run(_run_some(to_run))
    for entry in entries:
        os.utime(entry.path.parents[1])  # the time of its last use
    # other versions, and another build at the same time, have theirs in the same place
    long_ago = time.time() - KEPT
    for folder in cache.iterdir() if cache.exists() else ():
        if folder.is_dir() and folder.stat().st_mtime < long_ago:
            shutil.rmtree(folder, ignore_errors=True)
    return {entry.snippet.name: entry for entry in entries}


def _key(snippet: Snippet) -> str:
    """What a result depends on: the file, how figures are drawn, the versions."""
    parts = [
        snippet.name,
        snippet.text,
        figures.STYLE.read_text(encoding="utf-8"),
        figures.SETUP.replace(str(figures.STYLE), "") + START_CLOCK + READ_BACK,
        platform.python_version(),
        *(
            f"{package}=={version(package)}"
            for package in ("numpy", "torch", "matplotlib", "scikit-learn")
        ),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


async def _run_some(entries: list[Execution]) -> None:
    free = asyncio.Semaphore(AT_ONCE)
    failures: list[ContentError] = []
    with tqdm(total=len(entries), desc="Running snippets", unit="snippet") as bar:

        async def run(entry: Execution) -> None:
            async with free:
                if failures:
                    return
                try:
                    await _run(entry)
                except ContentError as error:
                    # does not stop the others: their kernels would seem dead
                    failures.append(error)
                    return
            bar.write(f"  {entry.snippet.where:<36} {entry.seconds:6.1f} s")
            bar.update()

        await asyncio.gather(*map(run, entries))
        for failure in failures[1:]:
            bar.write(str(failure))
    if failures:
        raise failures[0]


async def _run(entry: Execution) -> None:
    snippet = entry.snippet
    notebook = nbformat.v4.upgrade(snippet.notebook)
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    set_up = nbformat.v4.new_code_cell(figures.SETUP + START_CLOCK)
    read_back = nbformat.v4.new_code_cell(
        f"_libraries = {snippet.libraries}{READ_BACK}"
    )
    cells = list(notebook.cells)
    notebook.cells = [set_up, *cells, read_back]
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index}"  # does not change from run to run
    with tempfile.TemporaryDirectory() as empty_folder:
        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": empty_folder}},
            extra_arguments=["--IPKernelApp.log_level=ERROR"],  # quiet of its own ports
        )
        async with client.async_setup_kernel(
            env={**os.environ, "OMP_NUM_THREADS": "1"}
        ):
            for interruption in (signal.SIGINT, signal.SIGTERM):
                # nbclient would take Ctrl-C for the death of the kernel
                asyncio.get_running_loop().remove_signal_handler(interruption)
            for index, cell in enumerate(notebook.cells):
                shown = cell is not set_up and cell is not read_back
                try:
                    await client.async_execute_cell(cell, index, store_history=shown)
                except RAISED as error:
                    traceback = ANSI.sub("", str(error)).strip()
                    if cell is read_back:
                        raise ContentError(
                            snippet.where,
                            f"its numbers cannot be read: {traceback}",
                            "end with `results = numbers()`: names to finite numbers",
                        ) from error
                    raise ContentError(
                        f"{snippet.where}, cell {index} ({_first_code_line(cell)})",
                        f"does not run\n{traceback}",
                        f"`python {snippet.where}` runs it alone",
                    ) from error
    notebook.cells = cells
    for cell in cells:
        cell.metadata.pop("execution", None)  # times of day are no part of the result
    notebook.metadata["rederived"] = json.loads(read_back.outputs[0]["text"])
    _write_whole(entry.path, nbformat.writes(notebook))


def _first_code_line(cell: NotebookNode) -> str:
    lines = [line.strip() for line in cell.source.splitlines()]
    return next((line for line in lines if line and not line.startswith("#")), "empty")


def _write_whole(path: Path, text: str) -> None:
    """All or nothing, so that an interrupted build leaves no half notebook."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
