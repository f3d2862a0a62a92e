"""The EPUB: whole, well formed, and with nothing left raw."""

import posixpath
import re
import zipfile
from xml.etree import ElementTree

import pytest

XHTML = "{http://www.w3.org/1999/xhtml}"
PACKAGE = "{http://www.idpf.org/2007/opf}"
CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"


@pytest.fixture(scope="module")
def book(built):
    with zipfile.ZipFile(built / "rederived.epub") as archive:
        assert archive.testzip() is None
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", 0)
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def chapters(book):
    """The documents in reading order, by the package's own account."""
    container = ElementTree.fromstring(book["META-INF/container.xml"])
    package = container.find(f".//{CONTAINER}rootfile").get("full-path")
    root = ElementTree.fromstring(book[package])
    folder = posixpath.dirname(package)
    items = {
        item.get("id"): posixpath.join(folder, item.get("href"))
        for item in root.iter(f"{PACKAGE}item")
    }
    assert set(items.values()) <= set(book)
    names = [items[entry.get("idref")] for entry in root.iter(f"{PACKAGE}itemref")]
    return {name: ElementTree.fromstring(book[name]) for name in names}


def test_every_page_and_every_snippet_is_a_chapter(book, chapters, site):
    contents = " ".join(
        " ".join("".join(heading.itertext()).split())
        for tree in chapters.values()
        for level in (1, 2)
        for heading in tree.iter(f"{XHTML}h{level}")
    )
    for page in site.pages.values():
        words = re.findall(r"\w+", page.facts.title)
        assert re.search(r"\W+".join(words), contents), page.key
    for name in site.executions:
        assert f"{name}.py" in contents


def test_every_link_and_every_figure_is_in_the_book(book, chapters, site):
    ids = {
        name: {node.get("id") for node in tree.iter()}
        for name, tree in chapters.items()
    }
    figures = 0
    for name, tree in chapters.items():
        folder = posixpath.dirname(name)
        for image in tree.iter(f"{XHTML}img"):
            source = posixpath.normpath(posixpath.join(folder, image.get("src")))
            ElementTree.fromstring(book[source])
            assert image.get("alt")
            figures += 1
        for link in tree.iter(f"{XHTML}a"):
            target = link.get("href") or ""
            if not target or re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            path = posixpath.normpath(posixpath.join(folder, path)) if path else name
            assert path in ids, target
            assert not anchor or anchor in ids[path], target
    assert figures >= len(site.pages)


def test_formulas_are_mathml_and_nothing_is_left_raw(chapters):
    formulas = 0
    for name, tree in chapters.items():
        formulas += len(list(tree.iter("{http://www.w3.org/1998/Math/MathML}math")))
        for parent in tree.iter():
            for child in list(parent):
                raw = child.tag.endswith(("}code", "}pre", "}annotation"))
                if raw:
                    child.clear()
        text = "".join(tree.itertext())
        assert not re.search(r"\$\$|\\[a-z]{3,}|^:::|\{\{ \w+\.", text, re.M), name
    assert formulas > 100
