"""The site's fonts without the glyphs that no page shows.

The first paint waits for them, and of KaTeX's largest the formulas need a third.
"""

import hashlib
import html
import io
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

import fontTools
from fontTools import subset

SHOW = ("**/*.html", "assets/*.css", "assets/*.js", "assets/pictures/*.js")
WRITTEN_IN = "source-code-pro"  # by readers, who may write what no page has: kept whole
TYPED = "".join(map(chr, range(0x20, 0x7F)))  # in answers
ENTITY = re.compile(r"&#?\w+;")
ESCAPE = re.compile(r"\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|u\{([\da-fA-F]+)\})")
NAMES = (1, 3, 4, 6)  # family, unique identifier, full name, PostScript name
RIGHTS = (0, 13, 14)  # copyright, licence, where it stands
OPTIONS = {"flavor": "woff2", "hinting": False, "name_IDs": [*NAMES, *RIGHTS]}
KEPT = 30 * 24 * 3600  # seconds since it was last used


def write_subsets(site: Path, cache: Path) -> None:
    """Replace the fonts in the site's assets; what is in `cache` is not made again."""
    shown = characters_in(
        path.read_text("utf-8") for pattern in SHOW for path in site.glob(pattern)
    )
    depends_on = f"{fontTools.version} {OPTIONS} {NAMES} {sorted(shown)}".encode()
    cache.mkdir(parents=True, exist_ok=True)
    for font in sorted(site.glob("assets/**/*.woff2")):
        if font.name.startswith(WRITTEN_IN):
            continue
        whole = font.read_bytes()
        made = cache / f"{hashlib.sha256(whole + depends_on).hexdigest()[:16]}.woff2"
        if not made.exists():
            partial = made.with_suffix(f".{os.getpid()}")  # another may build, too
            partial.write_bytes(with_glyphs(whole, shown))
            partial.replace(made)
        made.touch()
        font.write_bytes(made.read_bytes())
    for old in cache.iterdir():
        if old.stat().st_mtime < time.time() - KEPT:
            old.unlink(missing_ok=True)


def characters_in(texts: Iterable[str]) -> set[str]:
    r"""Every character that stands in one of the texts or is written `&…;`, `\u…`."""
    shown = set(TYPED)
    for text in texts:
        shown |= set(text)
        shown |= set(html.unescape("".join(set(ENTITY.findall(text)))))
        shown |= {chr(int("".join(code), 16)) for code in set(ESCAPE.findall(text))}
    return shown


def with_glyphs(font: bytes, characters: Iterable[str]) -> bytes:
    """The font (WOFF2) with no more than what it takes to show `characters`.

    It has another name: the licence of the fonts reserves theirs for the whole ones.
    """
    options = subset.Options(**OPTIONS)
    loaded = subset.load_font(io.BytesIO(font), options)
    smaller = subset.Subsetter(options)
    smaller.populate(text="".join(characters))
    smaller.subset(loaded)
    for record in loaded["name"].names:
        if record.nameID in NAMES:
            record.string = "Rederived"
    written = io.BytesIO()
    subset.save_font(loaded, written, options)
    return written.getvalue()
