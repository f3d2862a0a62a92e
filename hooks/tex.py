"""TeX typeset at build time by KaTeX: HTML, MathML, and a line for the search."""

import hashlib
import html
import json
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import dukpy
from lxml import etree

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

MATHML = re.compile(r"<math.*?</math>", re.S)
NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
INFIX = set("=≠≡≈∼<>≤≥≪≫∝∈←→↦+−±×⋅∗∘⊙⊗")
CLOSING = set(")]}∣∥")
GROUPS = ("mrow", "mstyle", "msqrt")
APART = re.compile(r" |(?<!<)/")  # an operator, a fraction
LINES = set(
    "⏞⏟‾_"
)  # above or below a whole part: what they mean is the text beside them
ACCENTS = str.maketrans("^~ˉ→←", "\u0302\u0303\u0304\u20d7\u20d6")  # they combine
BACK = "\u2009\u2063"  # what KaTeX makes of a step back, `\!`
APPLIED = re.compile("\u2061(?=[(<])")  # the sign between a function and its operand

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
        formula = _formula(match, where)
        if match["after"] and not match["display"]:  # no line may begin with a comma
            return f'<span class="nowrap">{formula}{match["after"]}</span>'
        return formula + match["after"]

    return MARKED.sub(replace, page_html)


def read_out_marked(page_html: str, where: str) -> str:
    """Replace every formula that Markdown has marked by a line of text.

    Its only tags are `<sub>` and `<sup>`, which the results of a search can show.
    """

    def replace(match: re.Match[str]) -> str:
        return _in_a_line(_formula(match, where)) + match["after"]

    return MARKED.sub(replace, page_html)


def _formula(match: re.Match[str], where: str) -> str:
    display = match["display"] is not None
    tex = html.unescape(match["display"] if display else match["inline"]).strip()
    try:
        return typeset(tex, display)
    except ValueError as error:
        raise ContentError(
            where, f"bad formula `{tex}`: {error}", "mend the TeX of this formula"
        ) from error


@cache
def _in_a_line(formula: str) -> str:
    [mathml] = MATHML.findall(formula)
    line = _read_out(etree.fromstring(mathml)).replace(BACK, "")
    line = APPLIED.sub("", line)
    return " ".join(line.replace("\u2061", " ").split())


def _read_out(element: etree._Element) -> str:
    kind = etree.QName(element).localname
    sign = element.text or ""
    text = html.escape(sign, quote=False)
    parts = [_read_out(child) for child in element]
    match kind, [part.strip() for part in parts]:
        case "annotation", _:
            return ""
        case "mspace", _:
            return "" if element.get("width", "").startswith("-") else " "
        case "mo", _ if element.get("separator"):
            return f"{text} "
        case "mo", _ if sign in INFIX and _follows_operand(element):
            return f" {text} "
        case "mi", _ if len(sign) > 1 and _follows_operand(element):
            return f" {text}"
        case "munder" | "mover", [base, line] if line in LINES:
            return base
        case "mover", [base, accent] if element.get("accent"):
            return base + accent.translate(ACCENTS)
        case "msub" | "munder", [base, below, *_]:
            return f"{base}<sub>{below}</sub>"
        case "msup" | "mover", [base, above]:
            return f"{base}<sup>{above}</sup>"
        case "msubsup" | "munderover", [base, below, above]:
            return f"{base}<sub>{below}</sub><sup>{above}</sup>"
        case "mfrac", [above, below]:
            if element.get("linethickness"):
                return f"{above} choose {below}"
            above = f"({above})" if APART.search(above) else above
            fraction = f"{above}/{_one_factor(element[1], below)}"
            return f"({fraction})" if _precedes_operand(element) else fraction
        case "msqrt", radicand:
            return f"√{_one_factor(element, ''.join(radicand))}"
        case "mroot", [radicand, degree]:
            return f"<sup>{degree}</sup>√{_one_factor(element[0], radicand)}"
        case "mtr", cells:
            in_columns = (element.getparent().get("columnalign") or "").startswith(
                "left"
            )
            return (", " if in_columns else " ").join(cells)
        case "mtable", rows:
            return "; ".join(rows)
    return text + "".join(parts)


def _one_factor(element: etree._Element, text: str) -> str:
    """The text of the element, in brackets unless it is one letter, number or name."""
    while etree.QName(element).localname in GROUPS and len(element) == 1:
        [element] = element
    several = etree.QName(element).localname in GROUPS or APART.search(text)
    in_brackets = text.startswith("(") and text.find(")") == len(text) - 1
    return f"({text})" if several and not in_brackets else text


def _follows_operand(element: etree._Element) -> bool:
    before = element.getprevious()
    if before is None or before.tag == f"{NAMESPACE}mspace" or before.text == "/":
        return False
    return before.tag != f"{NAMESPACE}mo" or before.text in CLOSING


def _precedes_operand(element: etree._Element) -> bool:
    after = element.getnext()
    return after is not None and after.tag not in (
        f"{NAMESPACE}mo",
        f"{NAMESPACE}mspace",
    )


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
