"""Weight of each kind of page in kB, gzip: on a first visit and on a later one.

Of each kind the page that is heaviest on a first visit. "figures" is what the drawings
in its HTML weigh; "later" is what a reader who comes from the home page still fetches.
"""

import gzip
import re
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from tools.bench import Row, chromium
from tools.bench.server import served

FIGURES = re.compile(r'<svg [^>]*class="figure".*?</svg>', re.S)


def measure(site: Path) -> list[Row]:
    """Weigh every page and give the heaviest of each kind."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=chromium.executable(), args=chromium.FLAGS
        ) as browser,
        served(site) as (address, sent),
    ):
        paths = sorted(
            path.relative_to(site).as_posix() for path in site.rglob("*.html")
        )
        rows = [
            {
                "kind": kind(path),
                "page": path,
                **visits(path, browser, address, sent),
                "figures": figures(site / path),
            }
            for path in paths
            if path != "404.html"
        ]
    heaviest: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["first visit"]):
        heaviest[str(row["kind"])] = row
    return list(heaviest.values())


def kind(path: str) -> str:
    """What a page is, from where it lies."""
    folder, _, name = path.rpartition("/")
    if not folder:
        return {"index.html": "home"}.get(path, "list")
    if folder == "snippets":
        return "list" if name == "index.html" else "notebook"
    return "source"


def visits(
    path: str, browser: Browser, address: str, sent: dict[str, int]
) -> dict[str, float]:
    """Kilobytes of a first visit and of one that comes from the home page."""
    weights: dict[str, float] = {}
    for name, way in {"first visit": [path], "later": ["index.html", path]}.items():
        with browser.new_context() as context:
            page = context.new_page()
            for step in way:
                sent.clear()
                page.goto(address + step, wait_until="networkidle")
        weights[name] = sum(sent.values()) / 1000
    return weights


def figures(path: Path) -> float:
    """Kilobytes that the drawings add to the compressed HTML."""
    html = path.read_text(encoding="utf-8")
    without = FIGURES.sub("", html)
    return (
        len(gzip.compress(html.encode(), 6)) - len(gzip.compress(without.encode(), 6))
    ) / 1000
