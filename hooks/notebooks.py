"""A notebook page, slim: mkdocs-jupyter's HTML cut down to what a reader sees.

mkdocs-jupyter brings JupyterLab's whole style sheet (575 kB a page), its scripts, and
some twenty wrappers a cell. Kept are the prose, the highlighted code and the outputs,
in the classes that the theme styles anyway.
"""

import html
import re
from collections.abc import Iterator

from lxml.html import HtmlElement, document_fromstring, tostring

from errors import ContentError
from execution import Execution
from tex import mark_dollars

# a figure is taken from the execution, not from the page
WEIGHT = re.compile(r"<(style|script|svg)\b.*?</\1>", re.S)


def slim(page_html: str, execution: Execution) -> str:
    """The cells of a rendered notebook as plain HTML, figures themed and named."""
    drawings = iter(execution.figures)
    parts: list[str] = []
    document = document_fromstring(WEIGHT.sub("", page_html))
    for cell in document.find_class("jp-Cell"):
        if "id" not in cell.attrib:
            continue  # a wrapper within a cell
        prose = cell.find_class("jp-RenderedMarkdown")
        parts += [_prose(prose[0])] if prose else _code(cell, execution, drawings)
    return "\n".join(parts)


def _prose(cell: HtmlElement) -> str:
    for anchor in cell.find_class("anchor-link"):
        anchor.set("class", "headerlink")
        anchor.set("title", "Link to this section")
        anchor.text = "#"
    return mark_dollars(_inside(cell).strip())


def _code(
    cell: HtmlElement, execution: Execution, drawings: Iterator[str]
) -> Iterator[str]:
    for highlighted in cell.find_class("highlight-ipynb"):
        code = highlighted.find(".//pre")
        yield (
            '<div class="language-python highlight"><pre><span></span>'
            f"<code>{_inside(code).removeprefix('<span></span>')}</code></pre></div>"
        )
    for output in cell.find_class("jp-OutputArea-output"):
        match output.get("data-mime-type"):
            case "image/svg+xml":
                yield f"<figure>{execution.figure(next(drawings))}</figure>"
            case "text/plain" if output.find("pre") is not None:
                yield (
                    '<div class="output" role="group" aria-label="Output" tabindex="0">'
                    f"<pre>{_inside(output.find('pre'))}</pre></div>"
                )
            case kind:
                raise ContentError(
                    execution.snippet.where,
                    f"an output of a kind the page cannot show: {kind}",
                    "print text or draw one figure; write nothing to stderr",
                )


def _inside(element: HtmlElement) -> str:
    return html.escape(element.text or "", quote=False) + "".join(
        tostring(child, encoding="unicode") for child in element
    )
