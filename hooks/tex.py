"""TeX typeset at build time by KaTeX, with MathML for screen readers."""

import hashlib
import html
import json
import os
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

_typeset: dict[str, str] = {}  # display or inline, and TeX → what KaTeX made of it


@cache
def _engine() -> dukpy.JSInterpreter:
    engine = dukpy.JSInterpreter()
    engine.evaljs(KATEX.read_text(encoding="utf-8"))
    engine.evaljs(
        "function render(tex, display) {"
        " try { return [katex.renderToString(tex, {displayMode: display,"
        " throwOnError: true, strict: 'error', output: 'htmlAndMathml'}), null] }"
        " catch (error) { return [null, String(error.message)] } }; 0"
    )
    return engine


def typeset(tex: str, display: bool) -> str:
    """HTML and MathML of one formula.

    Raises ValueError with KaTeX's own words where the formula is wrong.
    """
    key = f"{'display' if display else 'inline'}: {tex}"
    if key not in _typeset:
        rendered, error = _engine().evaljs(
            "render(dukpy.tex, dukpy.display)", tex=tex, display=display
        )
        if error is not None:
            raise ValueError(error)
        _typeset[key] = str(rendered)
    # a long formula scrolls, and what scrolls must be reachable by keyboard
    return _typeset[key].replace(
        'class="katex-display"',
        'class="katex-display" tabindex="0" role="group" aria-label="formula"',
        1,
    )


def read_typeset(cache: Path) -> None:
    """Take up what the same KaTeX has typeset in earlier builds, if it is readable."""
    try:
        _typeset.update(json.loads(_kept_in(cache).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        _typeset.clear()


def write_typeset(cache: Path) -> None:
    """Keep every formula for the next build."""
    cache.mkdir(parents=True, exist_ok=True)
    partial = _kept_in(cache).with_suffix(f".{os.getpid()}")  # another may build, too
    partial.write_text(json.dumps(_typeset), encoding="utf-8")
    partial.replace(_kept_in(cache))


def _kept_in(cache: Path) -> Path:
    version = hashlib.sha256(KATEX.read_bytes()).hexdigest()[:12]
    return cache / f"katex-{version}.json"


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
