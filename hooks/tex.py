"""TeX typeset at build time by KaTeX, with MathML for screen readers."""

import html
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import dukpy

from errors import ContentError

KATEX = Path(__file__).parents[1] / "node_modules/katex/dist/katex.min.js"
MARKED = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\s*'
    r"(?:\\\((?P<inline>.*?)\\\)|\\\[(?P<display>.*?)\\\])\s*</(?P=tag)>"
    r"(?P<after>[,.;:!?)]*)",
    re.S,
)
DOLLARS = re.compile(
    r"\$\$(?P<display>.+?)\$\$|(?<![\\$\w])\$(?P<inline>[^\s$](?:[^$\n]*[^\s$])?)\$(?!\w)",
    re.S,
)
VERBATIM = re.compile(
    r"(<(?:pre|code|script|svg)\b.*?</(?:pre|code|script|svg)>)", re.S
)


@cache
def _engine() -> dukpy.JSInterpreter:
    if not KATEX.exists():
        raise ContentError(
            "node_modules/katex", "missing", "run `make build`, not mkdocs"
        )
    engine = dukpy.JSInterpreter()
    engine.evaljs(KATEX.read_text(encoding="utf-8"))
    engine.evaljs(
        "function render(tex, display) {"
        " try { return [katex.renderToString(tex, {displayMode: display,"
        " throwOnError: true, strict: 'error', output: 'htmlAndMathml'}), null] }"
        " catch (error) { return [null, String(error.message)] } }; 0"
    )
    return engine


@cache
def typeset(tex: str, display: bool) -> str:
    """HTML and MathML of one formula.

    Raises ValueError with KaTeX's own words where the formula is wrong.
    """
    rendered, error = _engine().evaljs(
        "render(dukpy.tex, dukpy.display)", tex=tex, display=display
    )
    if error is not None:
        raise ValueError(error)
    if (
        display
    ):  # a long formula scrolls, and what scrolls must be reachable by keyboard
        rendered = rendered.replace(
            'class="katex-display"',
            'class="katex-display" tabindex="0" role="group" aria-label="formula"',
            1,
        )
    return str(rendered)


def typeset_marked(page_html: str, where: str) -> str:
    """Replace every formula that Markdown has marked by its typeset form."""

    def replace(match: re.Match[str]) -> str:
        display = match["display"] is not None
        tex = html.unescape(match["display"] if display else match["inline"]).strip()
        try:
            formula = typeset(tex, display)
        except ValueError as error:
            raise ContentError(
                where, f"bad formula `{tex}`: {error}", "mend the TeX of this formula"
            ) from error
        if match["after"] and not display:  # no line may begin with a comma
            return f'<span class="nowrap">{formula}{match["after"]}</span>'
        return formula + match["after"]

    return MARKED.sub(replace, page_html)


def mark_dollars(fragment: str) -> str:
    """Mark the raw `$…$` of a notebook's Markdown as Markdown pages have it marked."""

    def mark(match: re.Match[str]) -> str:
        if match["display"] is not None:
            return rf'<div class="arithmatex">\[{match["display"]}\]</div>'
        return rf'<span class="arithmatex">\({match["inline"]}\)</span>'

    return _outside_verbatim(fragment, lambda text: DOLLARS.sub(mark, text))


def _outside_verbatim(fragment: str, change: Callable[[str], str]) -> str:
    parts = VERBATIM.split(fragment)
    parts[::2] = [change(part) for part in parts[::2]]
    return "".join(parts)
