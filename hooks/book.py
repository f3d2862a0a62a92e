"""All pages as one EPUB, made by pandoc from the Markdown that can be taken along."""

import hashlib
import json
import os
import posixpath
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pypandoc
from markdown.extensions.toc import slugify

from errors import ContentError
from pages import FENCE

# the one that came with the package, whatever else a machine has
PANDOC = Path(pypandoc.__file__).with_name("files") / "pandoc"
READ = "--from=commonmark+pipe_tables+tex_math_dollars+footnotes+attributes+smart"
STYLE = Path(__file__).parents[1] / "overrides/book.css"
DOWNLOADS = re.compile(
    r"^\* (`\w+`)\n  \[notebook\]\((.*?)\)\n(?:  \[.*(?:\n|\Z))+", re.M
)
TAG = re.compile(r"\\tag\{(.*?)\}")  # KaTeX sets it, MathML has no word for it
# a line of it that begins with a plus is no item of a list
DISPLAY = re.compile(rf"{FENCE.pattern}|^(?P<indent> *)\$\$.+?\$\$", re.M | re.S)
OUTSIDE = re.compile(r"[a-z]+:")


@dataclass(frozen=True)
class Chapter:
    """A part of the book: its address on the site without ending, its Markdown."""

    address: str
    text: str

    @property
    def name(self) -> str:
        """What links inside the book lead to."""
        return self.address.replace("/", "-")


@dataclass(frozen=True)
class Book:
    """Parts with their chapters; each text begins with its title, a first heading."""

    title: str
    subtitle: str
    changed: datetime
    parts: dict[str, list[Chapter]]

    @property
    def chapters(self) -> Iterator[Chapter]:
        """In order."""
        for chapters in self.parts.values():
            yield from chapters


def write_epub(book: Book, site: Path, cache: Path) -> bytes:
    """The book, made again only where something in it changed.

    `site` is the built site, which has the figures.
    """
    digest = hashlib.sha256(repr(book).encode())
    for path in (PANDOC, Path(__file__), STYLE, *sorted(site.glob("assets/figures/*"))):
        content = path.read_bytes() if path != PANDOC else pypandoc.__version__.encode()
        digest.update(content)
    kept = cache / f"{digest.hexdigest()[:16]}.epub"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob("*.epub"):
            old.unlink(missing_ok=True)  # another build may be at it, too
        made = _pandoc(
            json.dumps(_document(book)),
            "--from=json",
            "--to=epub3",
            "--mathml",
            "--toc-depth=2",
            "--split-level=2",
            f"--css={STYLE}",
            f"--resource-path={site}",
            date=book.changed,
        )
        half = kept.with_suffix(".half")
        half.write_bytes(made)
        half.replace(kept)
    return kept.read_bytes()


def _pandoc(text: str, *options: str, date: datetime) -> bytes:
    epoch = str(int(date.timestamp()))
    process = subprocess.run(
        [PANDOC, "--fail-if-warnings", "--output=-", *options],
        input=text.encode(),
        capture_output=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
    )
    if process.returncode:
        raise ContentError(
            "the book",
            f"pandoc: {process.stderr.decode()[:2000]}",
            "write the formula or the table so that pandoc understands it too",
        )
    return process.stdout


def _document(book: Book) -> dict[str, Any]:
    """The book as pandoc's tree: parts, chapters below them, links among them."""
    blocks: list[dict[str, Any]] = []
    read: list[tuple[Chapter, list[Any]]] = []
    version: list[int] = []
    for chapter in book.chapters:
        text = DISPLAY.sub(_on_one_line, DOWNLOADS.sub(r"* [\1](\2)\n", chapter.text))
        tree = json.loads(_pandoc(text, READ, "--to=json", date=book.changed))
        read.append((chapter, tree["blocks"]))
        version = tree["pandoc-api-version"]
    names = {chapter.name for chapter in book.chapters}
    for chapter, found in read:
        for number, header in enumerate(_all(found, "Header")):
            level, (name, *attributes), words = header["c"]
            anchor = name or slugify(_plain(words), "-")
            full = f"{chapter.name}--{anchor}" if number else chapter.name
            names.add(full)
            header["c"] = [level + 1, [full, *attributes], words]
    for chapter, found in read:
        for image in _all(found, "Image"):
            image["c"][2][0] = _from_root(image["c"][2][0], chapter)
        for link in _all(found, "Link"):
            _lead(link, chapter, names)
    chapters = iter(read)
    for title, part in book.parts.items():
        attributes = [f"part-{slugify(title, '-')}", ["unnumbered"], []]
        blocks.append({"t": "Header", "c": [1, attributes, _words(title)]})
        for _ in part:
            blocks += next(chapters)[1]
    return {
        "pandoc-api-version": version,
        "meta": {
            key: {"t": "MetaInlines", "c": _words(value)}
            for key, value in {
                "title": book.title,
                "subtitle": book.subtitle,
                "lang": "en",
                "identifier": "urn:rederived:book",
                "date": f"{book.changed:%Y-%m-%d}",
            }.items()
        },
        "blocks": blocks,
    }


def _on_one_line(match: re.Match[str]) -> str:
    """A formula in display; code stays as it is."""
    if match["mark"]:
        return match[0]
    return match["indent"] + TAG.sub(r"\\qquad(\1)", " ".join(match[0].split()))


def _all(tree: Any, kind: str) -> Iterator[dict[str, Any]]:
    """Every node of a kind."""
    if isinstance(tree, list):
        for node in tree:
            yield from _all(node, kind)
    elif isinstance(tree, dict):
        if tree.get("t") == kind:
            yield tree
        yield from _all(list(tree.values()), kind)


def _plain(inlines: list[dict[str, Any]]) -> str:
    """The words of a heading."""
    return "".join(
        " "
        if node["t"] in ("Space", "SoftBreak")
        else node["c"]
        if node["t"] == "Str"
        else node["c"][1]
        if node["t"] in ("Code", "Math")
        else _plain(node["c"][-1] if node["t"] == "Quoted" else node["c"])
        for node in inlines
    )


def _words(text: str) -> list[dict[str, Any]]:
    return [{"t": "Str", "c": text}]


def _from_root(target: str, chapter: Chapter) -> str:
    folder = posixpath.dirname(chapter.address)
    return posixpath.normpath(posixpath.join(folder, target))


def _lead(link: dict[str, Any], chapter: Chapter, names: set[str]) -> None:
    """Make a link within the site one within the book, or mere words."""
    target = link["c"][2][0]
    if OUTSIDE.match(target):
        return
    path, _, anchor = target.partition("#")
    address = _from_root(path, chapter) if path else chapter.address
    name = posixpath.splitext(address)[0].replace("/", "-")
    if f"{name}--{anchor}" in names:
        link["c"][2][0] = f"#{name}--{anchor}"
    elif name in names:
        link["c"][2][0] = f"#{name}"
    else:
        link["t"], link["c"] = "Span", [["", [], []], link["c"][1]]
