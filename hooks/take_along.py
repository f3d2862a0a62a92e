"""What a reader can take along: references, plain text, a feed, Anki cards, a zip."""

import hashlib
import html
import io
import json
import re
import subprocess
import zipfile
from datetime import datetime
from pathlib import Path

import genanki
from markdownify import markdownify

from book import Book, Chapter
from directives import Expander, identity
from notation import in_words, printed
from pages import Question, SourcePage
from site_model import SiteModel

# chosen once: Anki knows the deck and the kind of card by them
DECK, MODEL = 1_726_351_804, 1_395_027_613
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content shall be the same bytes
SERVICE_WORKER = Path(__file__).parents[1] / "browser/study/sw.js"
BUTTON = re.compile(r'<button\b.*?</button>|<label class="number".*?</label>', re.S)
SVG = re.compile(
    r'<svg\b[^>]*aria-labelledby="(?P<name>[\w-]+)-title".*?'
    r"<title[^>]*>(?P<title>.*?)</title>.*?</svg>",
    re.S,
)
LONG = "`" * 8  # a fence that no code contains
NEXT = re.compile(r"</span>\s*<span")  # one fact after the other
WRAPPER = re.compile(r"^</?(?:div|section)\b[^>]*>\n?", re.M)
PRELOAD = re.compile(rb'<link rel="preload"[^>]*>\s*')
OF_NO_USE_ON_A_DISK = (
    "assets/pyodide/",
    "assets/run/",
    "assets/javascripts/lunr/",  # the search's other languages
    "search/search_index.json",  # there it is a script
    "sw.js",
)
IN_CORE = (
    "assets/style.css",
    "assets/*.js",
    "assets/*.svg",
    "assets/pictures/*.js",
    "assets/fonts/*.woff2",
    "assets/katex/fonts/*.woff2",
    "assets/javascripts/*.js",
    "assets/javascripts/workers/*.js",
    "search/search_index.json",
)
CSS = """\
.card { font: 20px/1.5 Georgia, serif; max-width: 34em; margin: 0 auto }
.from { font: 13px sans-serif; opacity: .7 }
pre { font-size: 14px; overflow-x: auto }
"""


class PlainExpander(Expander):
    """Expands a page for readers of its Markdown: no HTML, nothing folded."""

    def block(self, template: str, **context: object) -> str:
        """A template of `overrides/blocks/`, its HTML as Markdown."""
        filled = super().block(template, **context)
        filled = BUTTON.sub("", SVG.sub(self._image, filled))
        if template == "card":
            filled = NEXT.sub("</span> · <span", filled)
        # the texts in it are Markdown already: an asterisk is meant as one
        plain = markdownify(
            filled,
            escape_asterisks=False,
            escape_underscores=False,
            bs4_options="lxml",
        )
        return str(plain).strip()

    def _image(self, figure: re.Match[str]) -> str:
        title = figure["title"].replace('"', "&quot;")
        address = f"{self.to_root}assets/figures/{figure['name']}.svg"
        return f'<img src="{address}" alt="{title}">'

    def _folded(self, kind: str, summary: str, text: str) -> str:
        title = " ".join(self.expand(summary).split())
        return f"**{title}**\n\n{self.expand(text).strip()}"


def references(site: SiteModel) -> str:
    """All references of all pages as one BibTeX file, in reading order, each once."""
    entries: dict[str, str] = {}
    for page in site.in_reading_order:
        for entry in re.split(r"^(?=@)", page.facts.bibtex, flags=re.M):
            if entry.strip():
                entries.setdefault(entry.partition(",")[0], entry.strip())
    return "\n\n".join(entries.values()) + "\n"


def plain_page(expander: Expander, body: str) -> str:
    """A page as Markdown that stands by itself."""
    assert expander.page
    # a block's Markdown is not rendered: it is Markdown again in the end
    plain = PlainExpander(**{**vars(expander), "markdown": html.escape})
    text = WRAPPER.sub("", plain.expand(body))
    title = f"# {expander.page.facts.title}\n\n{plain.card()}\n\n"
    return title + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def book(
    expander: Expander, name: str, about: str, plain: dict[str, str], changed: datetime
) -> Book:
    """The pages by the headings of the reading list, then terms and code."""
    site = expander.site
    parts = {
        heading.heading: [
            Chapter(entry.page, plain[entry.page])
            for entry in heading.entries
            if entry.page
        ]
        for heading in site.headings
    }
    terms = [f"**{term.term}.** {term.means}" for term in site.glossary]
    code = [
        Chapter(
            f"snippets/{name}",
            f"# `{name}.py`\n\n{LONG}python\n{execution.snippet.text}\n{LONG}\n",
        )
        for name, execution in site.executions.items()
    ]
    parts = {title: chapters for title, chapters in parts.items() if chapters}
    words = Chapter("glossary", "# Terms\n\n" + expander.expand("\n\n".join(terms)))
    return Book(name, about, changed, {**parts, "Terms and code": [words, *code]})


def table_of_contents(site: SiteModel, name: str, description: str) -> str:
    """`llms.txt`: every page with its Markdown and one line of what it shows."""
    parts = [f"# {name}\n\n> {description}"]
    for heading in site.headings:
        pages = [site.pages[entry.page] for entry in heading.entries if entry.page]
        lines = [
            f"- [{page.facts.title}]({page.key}.md): {_one_line(page.facts.shows)}"
            for page in pages
        ]
        if lines:
            parts.append(f"## {heading.heading}\n\n" + "\n".join(lines))
    code = [f"- [{name}](snippets/{name}.py)" for name in site.executions]
    parts.append("## Code\n\n" + "\n".join(code))
    return "\n\n".join(parts) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def last_changes(root: Path, pages: list[SourcePage]) -> dict[str, str]:
    """When each page or one of its snippets last changed, where git knows it."""
    found = {}
    for page in pages:
        paths = [page.where, *(f"snippets/{name}.py" for name in page.facts.snippets)]
        try:
            git = subprocess.run(
                ["git", "log", "-1", "--format=%cI", "--", *paths],
                cwd=root,
                capture_output=True,
                text=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError):
            return {}  # no git, or a copy without history
        if git.stdout.strip():
            found[page.key] = git.stdout.strip()
    return found


def feed(site: SiteModel, name: str, changes: dict[str, str]) -> str:
    """An Atom feed, the page that changed last first. Its links are relative."""
    latest = sorted(changes, key=lambda key: datetime.fromisoformat(changes[key]))
    entries = [
        f"""\
  <entry>
    <id>urn:rederived:{key}</id>
    <title>{html.escape(site.pages[key].facts.title)}</title>
    <link href="{key}.html"/>
    <updated>{changes[key]}</updated>
    <summary>{html.escape(_one_line(site.pages[key].facts.description))}</summary>
  </entry>
"""
        for key in reversed(latest)
    ]
    return f"""\
<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <id>urn:rederived</id>
  <title>{html.escape(name)}: new and changed pages</title>
  <author><name>{html.escape(name)}</name></author>
  <link rel="self" href="feed.xml"/>
  <link href="index.html"/>
  <updated>{changes[latest[-1]] if latest else "1970-01-01T00:00:00Z"}</updated>
{"".join(entries)}</feed>
"""


def anki_package(expander: Expander) -> bytes:
    """The questions of all pages as an Anki package.

    A card is known by its question's name: taking the package in again updates it.
    """
    model = genanki.Model(
        MODEL,
        "Rederived",
        fields=[{"name": "Question"}, {"name": "Answer"}, {"name": "Page"}],
        templates=[
            {
                "name": "Card",
                "qfmt": '<p class="from">{{Page}}</p>{{Question}}',
                "afmt": "{{FrontSide}}<hr id=answer>{{Answer}}",
            }
        ],
        css=CSS,
    )
    deck = genanki.Deck(DECK, "Rederived")
    for page in expander.site.in_reading_order:
        here = expander.on(page)
        for question in page.facts.questions:
            front, back = _sides(here, question)
            deck.add_note(
                genanki.Note(
                    model,
                    [front, back, html.escape(page.facts.title)],
                    guid=identity("q", page.key, question.ask),
                    tags=[page.key.replace("/", "::")],
                )
            )
    file = io.BytesIO()
    genanki.Package(deck).write_to_file(file, timestamp=1)
    return _with_one_date(file.getvalue())


def _sides(expander: Expander, question: Question) -> tuple[str, str]:
    def rendered(text: str) -> str:
        return expander.markdown(expander.expand(text))

    front, back = rendered(question.ask), rendered(question.answer)
    if question.choices and question.right:
        choices = "".join(f"<li>{rendered(choice)}</li>" for choice in question.choices)
        front += f"<ol>{choices}</ol>"
        back = f"<b>{in_words(sorted(question.right))}.</b> {back}"
    if question.number:
        back = f"<b>{printed(expander.number(question.number))}.</b> {back}"
    return front, back


def _with_one_date(archive: bytes) -> bytes:
    """The same zip, each of its files dated alike."""
    dated = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as old,
        zipfile.ZipFile(dated, "w") as new,
    ):
        for name in sorted(old.namelist()):
            new.writestr(_entry(name), old.read(name))
    return dated.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def zip_site(site_dir: Path, target: Path) -> None:
    """The built site, to be unpacked and read from a disk, search included.

    Its pages preload no font: from a disk a browser refuses to, and says so.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(site_dir.rglob("*")):
            name = path.relative_to(site_dir).as_posix()
            useless = name.startswith(OF_NO_USE_ON_A_DISK)
            if path.is_file() and path != target and not useless:
                content = path.read_bytes()
                if path.suffix == ".html":
                    content = PRELOAD.sub(b"", content)
                archive.writestr(_entry(f"rederived/{name}"), content)


def service_worker(site_dir: Path) -> str:
    """The script that keeps the site for offline reading, with what it keeps."""
    pages = sorted(path.relative_to(site_dir) for path in site_dir.rglob("*.html"))
    core = [path for path in pages if path.parent == Path()]
    for pattern in IN_CORE:
        core += sorted(path.relative_to(site_dir) for path in site_dir.glob(pattern))
    digest = hashlib.sha256()
    for path in [*pages, *core]:
        digest.update((site_dir / path).read_bytes())
    filled = {
        "EDITION": digest.hexdigest()[:12],
        "CORE": json.dumps([path.as_posix() for path in core]),
        "ALL": json.dumps([path.as_posix() for path in pages]),
    }
    text = SERVICE_WORKER.read_text(encoding="utf-8")
    return re.sub(r"__([A-Z]+)__", lambda match: filled[match[1]], text)
