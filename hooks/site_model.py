"""What the pages are made from, gathered once per build: lists, facts, results."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from errors import ContentError
from execution import Execution, run_all
from glossary import Term, load_glossary
from notation import printed, printed_beside
from pages import (
    Heading,
    NumberRow,
    SourcePage,
    Track,
    load_reading_list,
    load_source,
    load_tracks,
)
from snippets import load_snippets
from study_path import StudyPath


@dataclass(frozen=True)
class LedgerRow:
    """A number of a source beside the one computed here; its verdict is true."""

    page: SourcePage
    fact: NumberRow
    ours: float

    @property
    def says(self) -> str:
        """The source's number, as printed."""
        return printed(self.fact.says)

    @property
    def we_get(self) -> str:
        """Our number, in the same manner."""
        return printed_beside(self.ours, self.fact.says)


@dataclass(frozen=True)
class SiteModel:
    """The reading list, the pages that exist, the snippets that ran, the ledgers."""

    headings: list[Heading]
    pages: dict[str, SourcePage]
    executions: dict[str, Execution]
    ledgers: dict[str, list[LedgerRow]]
    tracks: list[Track]
    glossary: list[Term]

    @property
    def in_reading_order(self) -> Iterator[SourcePage]:
        """Pages in the order of the reading list."""
        for heading in self.headings:
            for entry in heading.entries:
                if entry.page:
                    yield self.pages[entry.page]

    @cached_property
    def path(self) -> StudyPath:
        """How the pages build on one another."""
        return StudyPath({page.key: page for page in self.in_reading_order})

    @property
    def differing(self) -> dict[str, list[LedgerRow]]:
        """Per page in reading order, the numbers that did not come out."""
        found = {
            page.key: [row for row in self.ledgers[page.key] if row.fact.why]
            for page in self.in_reading_order
        }
        return {key: rows for key, rows in found.items() if rows}

    def pages_using(self, snippet: str) -> list[SourcePage]:
        """The pages that show a snippet."""
        return [
            page for page in self.in_reading_order if snippet in page.facts.snippets
        ]

    def versions(self, page: SourcePage) -> dict[str, str]:
        """What a page's snippets last ran with: `{"Python": "3.11.7", …}`."""
        return {
            name: version
            for snippet in page.facts.snippets
            for name, version in self.executions[snippet].versions.items()
        }

    def value(self, reference: str, asked_by: str) -> float:
        """The number behind `snippet.key`."""
        name, _, key = reference.partition(".")
        if name not in self.executions:
            raise ContentError(
                asked_by,
                f"`{reference}` names an unknown snippet",
                f"snippets/ has: {', '.join(self.executions)}",
            )
        results = self.executions[name].results
        if key not in results:
            raise ContentError(
                asked_by,
                f"`{reference}` is a number without computation",
                f"numbers() of snippets/{name}.py returns: {', '.join(results)}",
            )
        return results[key]


def load_site(docs: Path, snippets: Path, cache: Path) -> SiteModel:
    """Read `docs/`, run `snippets/`, and hold each ledger against its computation."""
    found = load_snippets(snippets)
    reading_list = load_reading_list(docs / "index.md")
    sources = (load_source(path, docs) for path in sorted(docs.rglob("*.md")))
    pages = {page.key: page for page in sources if page}
    listed = [e.page for h in reading_list.reading_list for e in h.entries if e.page]
    for key in listed:
        if key not in pages:
            raise ContentError(
                "docs/index.md",
                f"the reading list names `{key}`, but docs/{key}.md "
                + (
                    "has no `url`"
                    if (docs / f"{key}.md").exists()
                    else "does not exist"
                ),
                "give that page the front matter of a source, or the entry a `source`",
            )
    for page in pages.values():
        if listed.count(page.key) != 1:
            raise ContentError(
                "docs/index.md",
                f"the reading list has `{page.key}` {listed.count(page.key)} times",
                f"list `page: {page.key}` once",
            )
        for snippet in page.facts.snippets:
            if snippet not in found:
                raise ContentError(
                    page.where,
                    f"`snippets`: there is no snippets/{snippet}.py",
                    f"choose from {', '.join(found)}",
                )
    path = StudyPath(pages)
    tracks = load_tracks(docs / "path.md")
    for track in tracks:
        _check_track(track, path)
    glossary = load_glossary(docs / "glossary.md")
    for term in glossary:
        if term.page and term.page not in pages:
            raise ContentError(
                "docs/glossary.md",
                f"“{term.term}” names the page `{term.page}`, which does not exist",
                f"choose from {', '.join(pages)}",
            )
    executions = run_all(found.values(), cache)
    site = SiteModel(reading_list.reading_list, pages, executions, {}, tracks, glossary)
    for page in pages.values():
        site.ledgers[page.key] = [
            _ledger_row(site, page, row) for row in page.facts.numbers
        ]
    return site


def _check_track(track: Track, path: StudyPath) -> None:
    for place, key in enumerate(track.pages):
        if key not in path.pages:
            raise ContentError(
                "docs/path.md",
                f"the track “{track.title}” names `{key}`, and there is no such page",
                f"choose from {', '.join(path.pages)}",
            )
        late = [k for k in path.pages[key].facts.needs if k in track.pages[place:]]
        if late or key in track.pages[:place]:
            raise ContentError(
                "docs/path.md",
                f"the track “{track.title}” has `{key}` "
                + (f"before `{late[0]}`, which it needs" if late else "twice"),
                "put the pages in an order in which each finds what it needs",
            )


def _ledger_row(site: SiteModel, page: SourcePage, fact: NumberRow) -> LedgerRow:
    ours = site.value(fact.ours, page.where)
    truth = fact.truth(ours)
    if truth != fact.verdict:
        raise ContentError(
            page.where,
            f"`numbers`: “{fact.what}” says it {fact.verdict}, but the source has "
            f"{fact.says} and {fact.ours} is {ours!r} (tolerance {fact.tolerance})",
            f"find out why; if it is so, say `verdict: {truth}`"
            + (" and `why`" if truth == "differs" else ", without `why`"),
        )
    return LedgerRow(page, fact, ours)
