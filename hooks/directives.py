"""What authors write in a page, expanded: `::: code lstm.step`, `{{ lstm.key:.2f }}`.

A directive stands on a line of its own: `::: name argument`. Text indented by four
spaces below it belongs to it. Blocks are laid out by the templates in
`overrides/blocks/`.
"""

import hashlib
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from itertools import starmap
from pathlib import Path
from textwrap import dedent, indent
from typing import Self

import jinja2
from markdown.extensions.toc import slugify
from markupsafe import Markup

from errors import ContentError
from notation import fixed, in_words, printed, scientific
from pages import (
    FENCE,
    Exercise,
    Question,
    SourcePage,
    tolerance,
)
from site_model import SiteModel

DIRECTIVE = (
    r"^ {0,3}::+ *(?P<name>[\w-]*) *(?P<argument>[^\n]*?) *$\n?"
    r"(?P<body>(?:    [^\n]*\n?)*)"
)
VALUE = (  # a word alone is a slip, unless it stands tight: TeX and BibTeX write {{a}}
    r"\{\{(?P<value>\s*\w+\.[^\s:{}]+|\s+\w+(?=\s))\s*(?::(?P<format>[^{}\n]*))?\}\}"
)
LINK = re.compile(r"\]\((?P<target>(?!\w+:)[^)\s]+)\)")  # within the site
EXPANDED = re.compile(f"{FENCE.pattern}|{DIRECTIVE}|{VALUE}", re.M | re.S)
BLOCKS = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parents[1] / "overrides/blocks"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


BLOCKS.filters["fixed"] = fixed
BLOCKS.filters["slug"] = partial(slugify, separator="-")  # as for headings


@dataclass(frozen=True)
class Expander:
    """Turns one page's directives into Markdown and HTML.

    `page` is None on pages that treat no source; `to_root` leads from the page to the
    site's root (`../`); `markdown` turns a fragment of Markdown into HTML;
    `python_in_page` tells whether the site has what runs NumPy in a browser.
    """

    site: SiteModel
    where: str
    page: SourcePage | None
    to_root: str
    markdown: Callable[[str], str]
    python_in_page: bool = False

    def on(self, page: SourcePage) -> Self:
        """The same for another page: it is the one that messages name."""
        return replace(self, page=page, where=page.where)

    def expand(self, text: str) -> str:
        """The whole page with its values and directives in place."""
        return EXPANDED.sub(self._expanded, text)

    def _expanded(self, match: re.Match[str]) -> str:
        if match["mark"]:
            return match[0]
        return self._value(match) if match["value"] else self._directive(match)

    def _value(self, match: re.Match[str]) -> str:
        value = self.site.value(match["value"].strip(), self.where)
        spec = (match["format"] or "").strip()
        whole = value.is_integer() and spec[-1:] not in (*"eEfFgG%",)
        try:
            text = format(
                int(value) if whole else value, spec or ("" if whole else ".4g")
            )
        except ValueError as error:
            raise ContentError(
                self.where,
                f"`{match[0]}`: {error}",
                "use a format such as :.3f or :,.0f",
            ) from error
        return scientific(text) if "e" in text else text

    def _directive(self, match: re.Match[str]) -> str:
        expand = {
            "code": self._code,
            "figure": self._figure,
            "picture": self._picture,
            "numbers": self._numbers,
            "questions": self._questions,
            "exercises": self._exercises,
            "cite": self._cite,
            "totals": self._whole_site_block,
            "path": self._whole_site_block,
            "tracks": self._whole_site_block,
            "glossary": self._whole_site_block,
            "deck": self._deck,
            "reading-list": self._whole_site_block,
            "findings": self._findings,
            "snippets": self._snippets,
        }.get(match["name"])
        if not expand:
            raise ContentError(
                self.where,
                f"unknown directive `{match[0].strip()}`",
                "see CONTRIBUTING.md",
            )
        return f"\n{expand(match)}\n\n"

    def _code(self, match: re.Match[str]) -> str:
        reference = match["argument"]
        name = re.split(r"[.#]", reference)[0]
        if name not in self.site.executions or name == reference:
            raise ContentError(
                self.where,
                f"`::: code {reference}` names no code",
                "write snippet.symbol or snippet#Title of a cell, with a snippet of: "
                + ", ".join(self.site.executions),
            )
        code = self.site.executions[name].snippet.code(reference, self.where)
        return f'```python title="snippets/{name}.py"\n{code}\n```'

    def _figure(self, match: re.Match[str]) -> str:
        reference = match["argument"]
        name, _, symbol = reference.partition(".")
        execution = self.site.executions.get(name)
        caption = dedent(match["body"]).strip()
        if not execution or symbol not in execution.figures:
            raise ContentError(
                self.where,
                f"`::: figure {reference}` names no figure",
                "write snippet.draw_function, with one of: "
                + ", ".join(
                    f"{n}.{s}"
                    for n, e in self.site.executions.items()
                    for s in e.figures
                ),
            )
        if not caption:
            raise ContentError(
                self.where,
                f"`::: figure {reference}` has no caption",
                "say on the next line, indented by four spaces, what to see in it",
            )
        return self.block("figure", svg=execution.figure(symbol), caption=caption)

    def _picture(self, match: re.Match[str]) -> str:
        name, caption = match["argument"], dedent(match["body"]).strip()
        known = BLOCKS.list_templates(filter_func=lambda path: "pictures/" in path)
        if f"pictures/{name}.html" not in known:
            raise ContentError(
                self.where,
                f"`::: picture {name}` names no picture",
                "write one of: " + ", ".join(Path(path).stem for path in known),
            )
        if not caption:
            raise ContentError(
                self.where,
                f"`::: picture {name}` has no caption",
                "say on the next line, indented by four spaces, what to try and to see",
            )
        return self.block(
            "picture",
            name=name,
            caption=caption,
            value=lambda reference: self.site.value(reference, self.where),
        )

    def _numbers(self, match: re.Match[str]) -> str:
        return self.block("numbers", rows=self.site.ledgers[self._own_page(match).key])

    def _questions(self, match: re.Match[str]) -> str:
        return "\n\n".join(map(self._question, self._own_page(match).facts.questions))

    def _question(self, question: Question) -> str:
        assert self.page
        name = identity("q", self.page.key, question.ask)
        answer, form = question.answer, ""
        if question.see:
            answer += f"\n\n[Where it is explained](#{question.see})"
        if question.choices and question.right:
            answer = f"**{in_words(sorted(question.right))}.** {answer}"
            form = self.block("question", question=question)
        if question.number:
            number = self.number(question.number)
            answer = f"**{printed(number)}.** {answer}"
            # what six digits leave out is at most 0.0005 %
            allowed = tolerance(Decimal(number), question.within or "0.001 %")
            form = self.block(
                "question", question=question, number=number, tolerance=allowed
            )
        folded = self._folded("question", "Answer" if form else question.ask, answer)
        return (
            f'<div class="asked" id="{name}" markdown>\n\n{form}\n\n{folded}\n\n</div>'
        )

    def number(self, number: str) -> str:
        """A number as it stands, or the value behind `snippet.key`.

        That is whole or has six digits.
        """
        if not re.match(r"[A-Za-z_]", number):
            return number
        value = self.site.value(number, self.where)
        return f"{value:.0f}" if value.is_integer() else f"{value:.6g}"

    def _exercises(self, match: re.Match[str]) -> str:
        exercises = enumerate(self._own_page(match).facts.exercises, start=1)
        return "\n\n".join(starmap(self._exercise, exercises))

    def _exercise(self, number: int, exercise: Exercise) -> str:
        parts = [f"**Exercise {number}.** {self.expand(exercise.task)}"]
        if exercise.start and exercise.check:
            parts.append(f"```{{.python .start}}\n{exercise.start}\n```")
            check = f"```python\n{exercise.check}\n```"
            parts.append(self._folded("solution check", "What checks it", check))
        parts += [self._folded("solution", "Hint", hint) for hint in exercise.hints]
        parts.append(self._folded("solution", "Solution", exercise.solution))
        text = "\n\n".join(parts)
        if not (exercise.start and exercise.check and self.python_in_page):
            return text
        assert self.page
        name = identity("e", self.page.key, exercise.task)
        imports = " ".join(self._imports(exercise))
        return (
            f'<div class="exercise" id="{name}" data-imports="{imports}" markdown>'
            f"\n\n{text}\n\n</div>"
        )

    def _imports(self, exercise: Exercise) -> list[str]:
        code = "\n".join(
            filter(None, [exercise.start, exercise.check, exercise.solution])
        )
        found = re.findall(r"^(?:from|import) (\w+)", code, re.M)
        return sorted(set(found) & self.site.executions.keys())

    def _deck(self, match: re.Match[str]) -> str:
        """The questions of every page, with links that lead from here to there."""
        parts = []
        for page in self.site.in_reading_order:
            questions = "\n\n".join(map(self.on(page)._question, page.facts.questions))
            parts.append(
                f'<section data-page="{page.key}" markdown>\n\n'
                f"### [{page.facts.title}]({page.key}.md)\n\n"
                f"{_links_from_root(questions, page.key)}\n\n</section>"
            )
        return "\n\n".join(parts)

    def _cite(self, match: re.Match[str]) -> str:
        return f"```bibtex\n{self._own_page(match).facts.bibtex}\n```"

    def _findings(self, match: re.Match[str]) -> str:
        return "\n\n".join(
            f"## [{rows[0].page.facts.title}]({key}.md#numbers-computed-again)\n\n"
            + self.block("findings", rows=rows)
            for key, rows in self.site.differing.items()
        )

    def _snippets(self, match: re.Match[str]) -> str:
        """The snippets of each page below its title, by the list's headings."""
        parts = []
        for heading in self.site.headings:
            keys = [entry.page for entry in heading.entries if entry.page]
            parts += [f"## {heading.heading}"] if keys else []
            for key in keys:
                facts = self.site.pages[key].facts
                parts.append(f"### [{facts.title}]({self.to_root}{key}.md)")
                parts.append(self.block("snippets", names=facts.snippets))
        return "\n\n".join(parts)

    def _whole_site_block(self, match: re.Match[str]) -> str:
        return self.block(match["name"])

    def card(self) -> str:
        """The header of a source's page."""
        assert self.page
        facts = self.page.facts
        snippets = [self.site.executions[name].snippet for name in facts.snippets]
        needed = sorted({label for snippet in snippets for label in snippet.needed})
        runs_on = in_words(needed) or "Python alone"
        return self.block("card", facts=facts, runs_on=runs_on)

    def block(self, template: str, **context: object) -> str:
        """A template of `overrides/blocks/`, filled in, its lines not indented."""
        rendered = BLOCKS.get_template(f"{template}.html").render(
            {
                "site": self.site,
                "page": self.page,
                "root": self.to_root,
                "python_in_page": self.python_in_page,
                "md": lambda text: Markup(self.markdown(self.expand(text))),
                **context,
            }
        )
        return "\n".join(line.strip() for line in rendered.splitlines() if line.strip())

    def _folded(self, kind: str, summary: str, text: str) -> str:
        """A block that opens on a click (`pymdownx.details`)."""
        title = " ".join(self.expand(summary).split())
        return f'??? {kind} "{title}"\n\n{indent(self.expand(text).strip(), "    ")}'

    def _own_page(self, match: re.Match[str]) -> SourcePage:
        if not self.page:
            raise ContentError(
                self.where,
                f"`{match[0].strip()}` belongs on the page of a source",
                "give the page the front matter of a source, or take the line out",
            )
        return self.page


def identity(kind: str, key: str, words: str) -> str:
    """A name that stays as long as the page's key and the words do."""
    digest = hashlib.sha256(f"{key}\n{words}".encode()).hexdigest()
    return f"{kind}-{digest[:12]}"


BLOCKS.globals["identity"] = identity


def _links_from_root(text: str, key: str) -> str:
    """The Markdown of the page `key` with links that hold on a page at the root."""

    def moved(match: re.Match[str]) -> str:
        target = match["target"]
        if target.startswith("#"):
            return f"]({key}.md{target})"
        return (
            f"]({posixpath.normpath(posixpath.join(posixpath.dirname(key), target))})"
        )

    return LINK.sub(moved, text)
