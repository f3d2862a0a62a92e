"""Terms of the field, explained where a page first uses them, and all together."""

import html
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field

from errors import ContentError
from pages import Facts, Text, read_front_matter, validated

ABBR = re.compile(r'<abbr title="(?P<title>[^"]*)">(?P<term>.*?)</abbr>', re.S)
# a heading names, a link leads, a summary opens: none of them explains as well
BUSY = re.compile(r"(<(h[1-6]|a|summary|legend|label)\b.*?</\2>)", re.S)


class Term(Facts):
    """A term, what it means in one sentence, and the page that explains it."""

    term: Text
    means: Text
    page: Text | None = None


class Glossary(Facts):
    """The front matter of the glossary's page."""

    title: Text
    description: Text
    terms: Annotated[list[Term], Field(min_length=1)]


def load_glossary(path: Path) -> list[Term]:
    """The terms in the front matter at `path`; none where it is missing."""
    if not path.exists():
        return []
    facts, _ = read_front_matter(path, "docs/glossary.md")
    terms = validated(Glossary, facts, "docs/glossary.md").terms
    names = [term.term for term in terms]
    for name in names:
        if names.count(name) > 1:
            raise ContentError(
                "docs/glossary.md", f"“{name}” stands twice", "keep one of them"
            )
    return sorted(terms, key=lambda term: term.term.lower())


def abbreviations(terms: list[Term]) -> str:
    """The terms as the Markdown extension `abbr` reads them."""
    return "\n".join(f"*[{t.term}]: {' '.join(t.means.split())}" for t in terms)


def explained_once(page_html: str) -> str:
    """The page with each term explained at its first place in the running text.

    There it can be reached by keyboard; at the others it is a word as any other.
    """
    seen = set()

    def first(match: re.Match[str]) -> str:
        if match["term"] in seen:
            return match["term"]
        seen.add(match["term"])
        title = html.escape(html.unescape(match["title"]))
        return f'<abbr title="{title}" tabindex="0">{match["term"]}</abbr>'

    parts = BUSY.split(page_html)
    # of three pieces: text, a busy element, that element's name
    texts = [ABBR.sub(first, text) for text in parts[::3]]
    busy = [ABBR.sub(r"\g<term>", element) for element in parts[1::3]]
    return "".join(
        piece for pair in zip(texts, [*busy, ""], strict=True) for piece in pair
    )
