"""A notebook page, slim: mkdocs-jupyter's HTML cut down to what a reader sees.

mkdocs-jupyter brings JupyterLab's whole style sheet (575 kB a page), its scripts, and
some twenty wrappers a cell. Kept are the prose, the highlighted code and the outputs,
in the classes that the theme styles anyway.
"""

import html
from collections.abc import Iterator

from lxml.etree import strip_elements
from lxml.html import HtmlElement, document_fromstring, tostring

from errors import ContentError
from execution import Execution
from tex import mark_dollars

# a figure is taken from the execution, not from the page
WEIGHT = ("style", "script", "svg")


def slim(page_html: str, execution: Execution) -> str:
    """The cells of a rendered notebook as plain HTML, figures themed and named."""
    drawings = iter(execution.figures)
    parts: list[str] = []
    document = document_fromstring(page_html)
    strip_elements(document, *WEIGHT, with_tail=False)
    for cell in _divisions(document, "jp-Cell"):
        if "id" not in cell.attrib:
            continue  # a wrapper within a cell
        prose = next(_divisions(cell, "jp-RenderedMarkdown"), None)
        parts += _code(cell, execution, drawings) if prose is None else [_prose(prose)]
    return "\n".join(parts)


def _divisions(element: HtmlElement, name: str) -> Iterator[HtmlElement]:
    """The `div`s of a class; `find_class` asks every token of the code for its own."""
    return (div for div in element.iter("div") if name in div.get("class", "").split())


def _prose(cell: HtmlElement) -> str:
    for anchor in cell.iter("a"):
        if anchor.get("class") != "anchor-link":
            continue
        anchor.set("class", "headerlink")
        anchor.set("title", "Link to this section")
        anchor.text = "#"
    return mark_dollars(_inside(cell).strip())


def _code(
    cell: HtmlElement, execution: Execution, drawings: Iterator[str]
) -> Iterator[str]:
    for highlighted in _divisions(cell, "highlight-ipynb"):
        code = highlighted.find(".//pre")
        yield (
            '<div class="language-python highlight"><pre><span></span>'
            f"<code>{_inside(code).removeprefix('<span></span>')}</code></pre></div>"
        )
    for output in _divisions(cell, "jp-OutputArea-output"):
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
