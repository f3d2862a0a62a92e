"""A notebook page, slim: mkdocs-jupyter's HTML cut down to what a reader sees.

mkdocs-jupyter brings JupyterLab's whole style sheet (575 kB a page), its scripts, and
some twenty wrappers a cell. Kept are the prose, the highlighted code and the outputs,
in the classes that the theme styles anyway.
"""

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag

from errors import ContentError
from execution import Execution
from tex import mark_dollars

WEIGHT = re.compile(r"<(style|script)\b.*?</\1>", re.S)


def slim(page_html: str, execution: Execution) -> str:
    """The cells of a rendered notebook as plain HTML, figures themed and named."""
    drawings = iter(execution.figures)
    soup = BeautifulSoup(WEIGHT.sub("", page_html), "lxml")
    parts: list[str] = []
    for cell in soup.select(".jp-Cell[id]"):
        prose = cell.select_one(".jp-RenderedMarkdown")
        parts += [_prose(prose)] if prose else _code(cell, execution, drawings)
    return "\n".join(parts)


def _prose(cell: Tag) -> str:
    for anchor in cell.select("a.anchor-link"):
        anchor["class"] = "headerlink"
        anchor["title"] = "Link to this section"
        anchor.string = "#"
    return mark_dollars(cell.decode_contents().strip())


def _code(cell: Tag, execution: Execution, drawings: Iterator[str]) -> Iterator[str]:
    code = cell.select_one(".highlight-ipynb pre")
    if code:
        yield (
            '<div class="language-python highlight"><pre><span></span>'
            f"<code>{code.decode_contents().removeprefix('<span></span>')}</code></pre></div>"
        )
    for output in cell.select(".jp-OutputArea-output"):
        match output.get("data-mime-type"):
            case "image/svg+xml":
                yield f"<figure>{execution.figure(next(drawings))}</figure>"
            case "text/plain" if output.pre:
                yield (
                    '<div class="output" role="group" aria-label="Output" tabindex="0">'
                    f"{output.pre}</div>"
                )
            case kind:
                raise ContentError(
                    execution.snippet.where,
                    f"an output of a kind the page cannot show: {kind}",
                    "print text or draw one figure; write nothing to stderr",
                )
