"""One style sheet for the site, without the rules that no page of it can use.

The theme, KaTeX and the site bring five sheets, each a request that a page waits for,
and most of their rules are for parts that this site does not have.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import tinycss2
from tinycss2.ast import Node

SHEET = "assets/style.css"
LINKS = re.compile(
    r'(?:<link rel="stylesheet" href="(?P<root>[^"]*?)assets/[^"]*">\s*)+'
)
TAG = re.compile(r"<\w[^>]*>")
SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script>", re.S)
NAME = re.compile(r"[\w-]+")
URL = re.compile(r"url\((?P<quote>[\"']?)(?!data:|[#/])(?P<path>[^)\"']+)(?P=quote)\)")
VARIABLE = re.compile(r"var\(\s*(--[\w-]+)")
DEFINES = re.compile(r"[{;]\s*--[\w-]+\s*:")
LEFTWARD = "rtl"  # scripts ask for it, but no page is in a language written to the left
# As long as a rule asks for `[class]`, the browser restyles every element whenever a
# script gives the first of them a class, as the theme does at each start.
TABLES = ("table:not([class])", "table.plain")  # the class is from early_layout.py


def with_one_sheet(page_html: str) -> str:
    """The page with one link to a style sheet where the first of several stood."""
    first = LINKS.search(page_html)
    if first is None:
        raise ValueError("the theme no longer links a style sheet from assets/")
    link = f'<link rel="stylesheet" href="{first["root"]}{SHEET}">'
    head, body = page_html[first.end() :].split("</head>", 1)
    return f"{page_html[: first.start()]}{link}{LINKS.sub('', head)}</head>{body}"


def write_sheet(site: Path, sheets: Iterable[str]) -> None:
    """Join `sheets`, addresses in the folder `site`, to the one that pages link."""
    css = "\n".join(
        _moved((site / sheet).read_text("utf-8"), sheet) for sheet in sheets
    )
    css = css.replace(*TABLES)
    (site / SHEET).write_text(pruned(css, names_used(site)), encoding="utf-8")


def names_used(site: Path) -> set[str]:
    """Every word that stands in a tag or in a script: no class has another name.

    And every variable that a page's own styles refer to; but not `rtl`.
    """
    pages = [page.read_text("utf-8") for page in site.rglob("*.html")]
    tags = {tag for text in pages for tag in TAG.findall(text)}
    inline = {script for text in pages for script in SCRIPT.findall(text)}
    scripts = (script.read_text("utf-8") for script in site.glob("assets/**/*.js"))
    texts = (*tags, *inline, *scripts)
    names = {name for text in texts for name in NAME.findall(text)} - {LEFTWARD}
    return names | {name for text in pages for name in VARIABLE.findall(text)}


def pruned(css: str, names: set[str]) -> str:
    """The sheet without selectors for classes, ids, attributes not in `names`.

    Then without the variables that are neither there nor used in what is left.
    """
    rules = tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True)
    kept = list(_kept(rules, names))
    # a script that puts a name together has its beginning: `--md-code-hl-`
    begun = tuple(n for n in names if re.fullmatch(r"--\w[\w-]*-", n))
    while True:
        used = names | set(VARIABLE.findall("\n".join(kept)))
        less = [_without_variables(rule, used, begun) for rule in kept]
        if less == kept:
            return "\n".join(filter(None, kept))
        kept = less  # what only the variables that are gone referred to goes next


def _without_variables(css: str, used: set[str], begun: tuple[str, ...]) -> str:
    """The rule without definitions of variables that are not in use."""
    if css.startswith("@") or not DEFINES.search(css):
        return css
    rule = tinycss2.parse_one_rule(css)
    parts = tinycss2.parse_blocks_contents(rule.content, True, True)
    wanted = [
        part.serialize()
        for part in parts
        if part.type != "declaration"
        or not part.name.startswith("--")
        or part.name in used
        or part.name.startswith(begun)
    ]
    if len(wanted) == len(parts):
        return css
    selectors = tinycss2.serialize(rule.prelude)
    return f"{selectors}{{{';'.join(wanted)}}}" if wanted else ""


def _kept(rules: Iterable[Node], names: set[str]) -> Iterator[str]:
    for rule in rules:
        if rule.type == "qualified-rule":
            wanted = [s for s in _selectors(rule.prelude) if _may_match(s, names)]
            if wanted:
                selectors = ",".join(tinycss2.serialize(s).strip() for s in wanted)
                yield f"{selectors}{{{tinycss2.serialize(rule.content).strip()}}}"
        elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports"):
            inner = tinycss2.parse_rule_list(rule.content, True, True)
            if kept := "".join(_kept(inner, names)):
                condition = tinycss2.serialize(rule.prelude)
                yield f"@{rule.lower_at_keyword}{condition}{{{kept}}}"
        else:
            yield rule.serialize()


def _selectors(prelude: list[Node]) -> list[list[Node]]:
    selectors: list[list[Node]] = [[]]
    for token in prelude:
        if token == ",":
            selectors.append([])
        else:
            selectors[-1].append(token)
    return selectors


def _may_match(selector: list[Node], names: set[str]) -> bool:
    """Whether all it names is in use; what stands in `:is()` or `:not()` may be."""
    asked: set[str] = set()
    for before, token in zip([None, *selector], selector, strict=False):
        if token.type == "hash" or (token.type == "ident" and before == "."):
            asked.add(token.value)
        elif token.type == "[] block":
            inside = (t.value for t in token.content if t.type in ("ident", "string"))
            asked.update(name for value in inside for name in NAME.findall(value))
    return asked <= names


def _moved(css: str, sheet: str) -> str:
    """The sheet with its addresses as they read from the folder of the one sheet."""
    here, there = posixpath.dirname(sheet), posixpath.dirname(SHEET)
    return URL.sub(
        lambda match: (
            f'url("{posixpath.relpath(posixpath.join(here, match["path"]), there)}")'
        ),
        css,
    )
