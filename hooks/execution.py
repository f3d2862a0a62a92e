"""Run each snippet once per content and keep what came out.

What is kept is the executed notebook itself: the page shows it, the reader downloads
it, and its metadata carry the time it took and what `numbers()` returned.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import figures
import nbformat
from errors import ContentError
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm

from snippets import Snippet

AT_ONCE = 2
CELL_TIMEOUT = 120  # seconds
DRAWING = re.compile(r"^(draw_\w+)\(\)", re.M)
ANSI = re.compile(r"\x1b\[[0-9;]*m")
START_CLOCK = "import time as _time; _begun = _time.process_time()"
READ_BACK = """
import json as _json
print(_json.dumps({
    "seconds": round(_time.process_time() - _begun, 2),
    "results": {key: float(value) for key, value in results.items()},
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

    @cached_property
    def figures(self) -> dict[str, str]:
        """Raw SVG by the function that drew it, in the notebook's order."""
        found: dict[str, str] = {}
        for cell in self.notebook.cells:
            drawing = DRAWING.search(cell.source) if cell.cell_type == "code" else None
            if not drawing:
                continue
            svgs = [
                output.data["image/svg+xml"]
                for output in cell.outputs
                if "image/svg+xml" in output.get("data", {})
            ]
            if len(svgs) != 1:
                raise ContentError(
                    self.snippet.where,
                    f"the cell of {drawing[1]}() drew {len(svgs)} figures, not one",
                    "draw one figure per cell, with pyplot, without returning it",
                )
            found[drawing[1]] = svgs[0]
        return found


def run_all(snippets: Iterable[Snippet], cache: Path) -> dict[str, Execution]:
    """Execute what has changed, two at a time, with a progress bar; read the rest back.

    Raises `ContentError` with name, cell and traceback where a snippet raises.
    """
    done: dict[str, Execution] = {}
    to_run: list[Execution] = []
    for snippet in snippets:
        entry = Execution(
            snippet, cache / _key(snippet) / f"snippets/{snippet.name}.ipynb"
        )
        if entry.path.exists():
            done[snippet.name] = entry
        else:
            to_run.append(entry)
    if to_run:
        with (
            tqdm(total=len(to_run), desc="Running snippets", unit="snippet") as bar,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            jobs: dict[Future[None], Execution] = {
                pool.submit(_run, entry): entry for entry in to_run
            }
            try:
                for job in as_completed(jobs):
                    job.result()
                    entry = jobs[job]
                    done[entry.snippet.name] = entry
                    bar.write(f"  {entry.snippet.where:<36} {entry.seconds:6.1f} s")
                    bar.update()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
    _forget_stale(cache, {entry.path for entry in done.values()})
    return dict(sorted(done.items()))


def _key(snippet: Snippet) -> str:
    """What a result depends on: the file, how figures are drawn, the versions."""
    parts = [
        snippet.text,
        figures.SETUP + START_CLOCK + READ_BACK,
        figures.STYLE.read_text(encoding="utf-8"),
        *(
            f"{package}=={version(package)}"
            for package in ("numpy", "torch", "matplotlib")
        ),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _run(entry: Execution) -> None:
    snippet = entry.snippet
    notebook = nbformat.v4.upgrade(snippet.notebook)
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    set_up = nbformat.v4.new_code_cell(figures.SETUP + START_CLOCK)
    read_back = nbformat.v4.new_code_cell(READ_BACK)
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
        with client.setup_kernel(env={**os.environ, "OMP_NUM_THREADS": "1"}):
            client.execute_cell(set_up, 0, store_history=False)
            for index, cell in enumerate(cells, start=1):
                try:
                    client.execute_cell(cell, index)
                except RAISED as error:
                    raise ContentError(
                        f"{snippet.where}, cell {index} ({_first_code_line(cell)})",
                        f"does not run\n{ANSI.sub('', str(error)).strip()}",
                        f"`python {snippet.where}` runs it alone",
                    ) from error
            try:
                client.execute_cell(read_back, len(cells) + 1, store_history=False)
            except RAISED as error:
                raise ContentError(
                    snippet.where,
                    f"its numbers cannot be read: {ANSI.sub('', str(error)).strip()}",
                    "end with `results = numbers()`, a dict of names to finite numbers",
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


def _forget_stale(cache: Path, used: set[Path]) -> None:
    """Keep one result per snippet: the one in use."""
    names = {path.name for path in used}
    for path in cache.glob("*/snippets/*.ipynb"):
        if path.name in names and path not in used:
            shutil.rmtree(path.parents[1])
