"""The site's fonts without the glyphs that no page shows.

The first paint waits for them, and of KaTeX's largest the formulas need a third.
"""

import hashlib
import html
import io
import re
from collections.abc import Iterable
from pathlib import Path

from fontTools import subset

TYPED = "".join(map(chr, range(0x20, 0x7F)))  # by readers, in answers and in code
ENTITY = re.compile(r"&#?\w+;")
ESCAPE = re.compile(
    r"\\u[\da-fA-F]{4}"
)  # how a bundled script writes what is not ASCII
NAMES = (1, 3, 4, 6)  # family, unique identifier, full name, PostScript name
RIGHTS = (0, 13, 14)  # copyright, licence, where it stands


def write_subsets(site: Path, cache: Path) -> None:
    """Replace every font below `site`; what was made before is taken from `cache`."""
    shown = characters_in(
        path.read_text("utf-8")
        for pattern in ("**/*.html", "assets/*.js", "assets/pictures/*.js")
        for path in site.glob(pattern)
    )
    cache.mkdir(parents=True, exist_ok=True)
    for font in sorted(site.glob("assets/**/*.woff2")):
        whole = font.read_bytes()
        key = hashlib.sha256(whole + "".join(sorted(shown)).encode()).hexdigest()
        made = cache / f"{key[:16]}.woff2"
        if not made.exists():
            made.write_bytes(with_glyphs(whole, shown))
        font.write_bytes(made.read_bytes())


def characters_in(texts: Iterable[str]) -> set[str]:
    r"""Every character that stands in one of the texts or is written `&…;`, `\u…`."""
    shown = set(TYPED)
    for text in texts:
        shown |= set(text)
        shown |= set(html.unescape("".join(set(ENTITY.findall(text)))))
        shown |= {chr(int(code[2:], 16)) for code in set(ESCAPE.findall(text))}
    return shown


def with_glyphs(font: bytes, characters: Iterable[str]) -> bytes:
    """The font (WOFF2) with no more than what it takes to show `characters`.

    It has another name: the licence of the fonts reserves theirs for the whole ones.
    """
    options = subset.Options(flavor="woff2", hinting=False, name_IDs=(*NAMES, *RIGHTS))
    loaded = subset.load_font(io.BytesIO(font), options)
    smaller = subset.Subsetter(options)
    smaller.populate(text="".join(characters))
    smaller.subset(loaded)
    for number in NAMES:
        for record in loaded["name"].names:
            if record.nameID == number:
                record.string = "Rederived"
    written = io.BytesIO()
    subset.save_font(loaded, written, options)
    return written.getvalue()
