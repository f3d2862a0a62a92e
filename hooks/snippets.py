"""A snippet as a text: its header, its code by symbol or by named section, its size."""

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from errors import ContentError
from notation import in_words

HEADER_FIELDS = ("Source", "Differs from the source", "Checked against", "Takes")
VARIES = "Varies with the machine"
BY_UP_TO = re.compile(r"`(\w+)`\s+by\s+up\s+to\s+(\d+(?:\.\d+)?)")
# what jupytext takes for a cell of text: a docstring, and nothing after it
TEXT_CELL = re.compile(r'# %% \[markdown\]\nr?"""\n?# (?:(?!""").)*"""\s*', re.S)
FIELD = re.compile(r"^\*\*(?P<name>[^*]+):\*\*(?P<text>.*?)(?=\n\s*\n|\Z)", re.M | re.S)
LIBRARIES = {"numpy": "NumPy", "torch": "PyTorch", "sklearn": "scikit-learn"}
NOT_IN_A_BROWSER = ("torch", "sklearn")
SYMBOL_NODES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Snippet:
    """One file of `snippets/`; raises `ContentError` where its header falls short."""

    path: Path

    @property
    def name(self) -> str:
        """The module's name: `lstm` for `snippets/lstm.py`."""
        return self.path.stem

    @property
    def where(self) -> str:
        """The file as messages name it."""
        return f"snippets/{self.path.name}"

    @cached_property
    def text(self) -> str:
        """The whole file."""
        try:
            return self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ContentError(self.where, str(error), "save it as UTF-8") from error

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree, with line numbers of the file."""
        try:
            return ast.parse(self.text)
        except SyntaxError as error:
            raise ContentError(
                f"{self.where}:{error.lineno}",
                f"not Python: {error.msg}",
                "mend the syntax",
            ) from error

    @cached_property
    def notebook(self) -> NotebookNode:
        """The percent script as a notebook that has not run."""
        notebook: NotebookNode = jupytext.reads(self.text, fmt="py:percent")
        return notebook

    @cached_property
    def header(self) -> str:
        """The module's docstring, which is also the notebook's first cell."""
        return ast.get_docstring(self.tree) or ""

    @cached_property
    def title(self) -> str:
        """The header's first line, without its mark."""
        first = self.header.split("\n", 1)[0]
        beginning = self.text.split("\n# %%", 1)[0]
        if not first.startswith("# ") or not TEXT_CELL.fullmatch(beginning):
            raise ContentError(
                self.where,
                "no title",
                "begin with a `# %% [markdown]` cell whose first line is `# Title`",
            )
        return first.removeprefix("# ")

    @cached_property
    def fields(self) -> dict[str, str]:
        """The paragraphs that begin with a bold label, as Markdown: `HEADER_FIELDS`."""
        found = {
            match["name"]: " ".join(match["text"].split())
            for match in FIELD.finditer(self.header)
        }
        for name in HEADER_FIELDS:
            if not found.get(name):
                raise ContentError(
                    self.where,
                    f"header without “{name}”",
                    f"add a paragraph **{name}:** …",
                )
        return found

    @cached_property
    def varies(self) -> dict[str, float]:
        """How far a number may lie off on another machine, by the start of its key."""
        text = self.fields.get(VARIES, "")
        found = {key: float(bound) for key, bound in BY_UP_TO.findall(text)}
        if text and not found:
            raise ContentError(
                self.where,
                f"“{VARIES}” names no number",
                "write: `start_of_key` by up to 0.1, …",
            )
        return found

    def tolerance(self, key: str) -> float | None:
        """The bound stated for a number, or None where it is the same everywhere.

        Of several starts that fit, the longest says most of this number.
        """
        starts = [start for start in self.varies if key.startswith(start)]
        return self.varies[max(starts, key=len)] if starts else None

    @cached_property
    def symbols(self) -> dict[str, ast.AST]:
        """Functions, classes and methods by name: `lstm_step`, `Cell.forward`."""
        found: dict[str, ast.AST] = {}
        for node in self.tree.body:
            if isinstance(node, SYMBOL_NODES):
                found[node.name] = node
            if isinstance(node, ast.ClassDef):
                found |= {
                    f"{node.name}.{child.name}": child
                    for child in node.body
                    if isinstance(child, SYMBOL_NODES)
                }
        return found

    @cached_property
    def sections(self) -> dict[str, str]:
        """Code cells by the title that stands behind their `# %%`."""
        return {
            cell.metadata["title"]: cell.source.strip("\n")
            for cell in self.notebook.cells
            if cell.cell_type == "code" and "title" in cell.metadata
        }

    def code(self, reference: str, asked_by: str) -> str:
        """The text of a symbol (`lstm.step`) or of a titled cell (`lstm#The step`)."""
        if "#" in reference:
            kind, wanted, known = (
                "section",
                reference.split("#", 1)[1],
                list(self.sections),
            )
        else:
            kind, wanted, known = (
                "symbol",
                reference.split(".", 1)[1],
                list(self.symbols),
            )
        if wanted not in known:
            raise ContentError(
                asked_by,
                f"{self.where} has no {kind} “{wanted}”",
                f"it has: {', '.join(known) or 'none'}",
            )
        if kind == "section":
            return self.sections[wanted]
        node = self.symbols[wanted]
        assert isinstance(node, SYMBOL_NODES)
        first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
        lines = self.text.splitlines()[first - 1 : node.end_lineno]
        indent = len(lines[0]) - len(lines[0].lstrip())
        return "\n".join(line.removeprefix(" " * indent) for line in lines)

    def alternative_text(self, symbol: str) -> str:
        """What a drawing shows, in words: the docstring of its function."""
        self.code(f"{self.name}.{symbol}", self.where)
        node = self.symbols[symbol]
        assert isinstance(node, SYMBOL_NODES)
        words = " ".join((ast.get_docstring(node) or "").split())
        if not words:
            raise ContentError(
                self.where,
                f"{symbol} has no docstring, so its figure has no alternative text",
                "say in the docstring what the picture shows",
            )
        return words

    @cached_property
    def libraries(self) -> dict[str, str]:
        """Those of `LIBRARIES` that the file imports, module → name."""
        modules = {
            name.split(".")[0]
            for node in ast.walk(self.tree)
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        return {module: name for module, name in LIBRARIES.items() if module in modules}

    @property
    def needed(self) -> list[str]:
        """The larger of NumPy and PyTorch; then scikit-learn, if data come from it."""
        of_arrays = [LIBRARIES[m] for m in ("numpy", "torch") if m in self.libraries]
        of_data = [LIBRARIES[m] for m in ("sklearn",) if m in self.libraries]
        return of_arrays[-1:] + of_data

    @property
    def runs_on(self) -> str:
        """`PyTorch`, `NumPy and scikit-learn`, or `Python alone`."""
        return in_words(self.needed) or "Python alone"

    @property
    def not_in_a_browser(self) -> list[str]:
        """What it needs and Python in the page does not have, PyTorch first."""
        return [LIBRARIES[m] for m in NOT_IN_A_BROWSER if m in self.libraries]

    @property
    def runs_in_a_browser(self) -> bool:
        """Whether the Python that comes with the page can run it."""
        return not self.not_in_a_browser

    @cached_property
    def code_lines(self) -> int:
        """Lines that are neither blank, nor comment, nor docstring."""
        docstrings = {
            line
            for node in ast.walk(self.tree)
            if isinstance(node, (ast.Module, *SYMBOL_NODES))
            and ast.get_docstring(node) is not None
            for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
        }
        return sum(
            1
            for number, line in enumerate(self.text.splitlines(), start=1)
            if line.strip()
            and not line.lstrip().startswith("#")
            and number not in docstrings
        )


def load_snippets(folder: Path) -> dict[str, Snippet]:
    """All snippets of a folder by name, each with its header read once."""
    found = {path.stem: Snippet(path) for path in sorted(folder.glob("*.py"))}
    for snippet in found.values():
        _ = snippet.title, snippet.fields
    return found
