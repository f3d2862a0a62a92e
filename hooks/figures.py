"""Figures that follow light and dark: their colours become the site's variables."""

import html
import re
from functools import cache
from pathlib import Path

STYLE = Path(__file__).with_name("figures.mplstyle")

# colour in figures.mplstyle → variable in docs/assets/site.css
VARIABLES = {
    "#ffffff": "--figure-paper",
    "#1f2328": "--figure-ink",
    "#d8dbdf": "--figure-grid",
    "#0b62c4": "--figure-1",
    "#b3401f": "--figure-2",
    "#1d7a46": "--figure-3",
    "#7a3fb0": "--figure-4",
    "#7a6200": "--figure-5",
    "#a8286b": "--figure-6",
}
FONT = "'DejaVu Sans',Verdana,sans-serif"  # widths as measured while drawing

# Run in the kernel before a snippet, and not kept with it.
SETUP = f"""
%matplotlib inline
import matplotlib.pyplot, matplotlib_inline.backend_inline
matplotlib_inline.backend_inline.set_matplotlib_formats(
    "svg", metadata={{"Date": None, "Creator": None}}, bbox_inches=None)
matplotlib.pyplot.style.use({str(STYLE)!r})
del matplotlib, matplotlib_inline
"""


@cache  # its page, its notebook, the plain text and the file all ask for it
def for_page(svg: str, name: str, alternative: str) -> str:
    """matplotlib's SVG made fit to stand in a page.

    `name` keeps its ids apart from those of other figures; `alternative` is what a
    screen reader says. The result has no style sheet of its own (one inside an inline
    SVG would style the whole page) and no fixed size.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.S)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r"\s+", " ", svg)
    svg = re.sub(r"font-family: [^;\"]+", f"font-family: {FONT}", svg)
    svg = svg.replace("> <", "><").strip()
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    svg = re.sub(r"\bid=\"([^\"]+)\"", rf'id="{name}-\1"', svg)
    svg = re.sub(r"(href=\"#|url\(#)", rf"\g<1>{name}-", svg)
    head, body = svg.split(">", 1)
    head = re.sub(r"\s(?:width|height|xmlns:xlink|version)=\"[^\"]*\"", "", head)
    return (
        f'{head} class="figure" role="img" aria-labelledby="{name}-title"'
        ' data-search-exclude="">'
        f'<title id="{name}-title">{html.escape(alternative)}</title>{body}'
    )


def for_file(text: str) -> str:
    """The figure of a page made fit to stand alone, in the colours of the day."""
    for color, variable in VARIABLES.items():
        text = text.replace(f"var({variable})", color)
    alone = (
        '<svg xmlns:xlink="http://www.w3.org/1999/xlink"'
        ' style="stroke-linejoin: round; stroke-linecap: butt"'
    )
    return text.replace("<svg", alone, 1).replace(' data-search-exclude=""', "", 1)
