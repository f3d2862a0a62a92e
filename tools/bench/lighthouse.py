"""Lighthouse with gzip, its default phone on a slow network: median of three runs.

"blocked" is the total blocking time and "shift" the cumulative layout shift.
"""

import json
import os
import subprocess
from pathlib import Path
from statistics import median

from tools.bench import REPEATS, ROOT, Row, chromium
from tools.bench.server import served

PROGRAM = ROOT / "tools/lighthouse/node_modules/lighthouse/cli/index.js"
PAGES = (
    "index.html",
    "recurrent/karpathy-rnn-effectiveness.html",
    "recurrent/olah-lstm.html",
    "transformers/vaswani-attention.html",
    "snippets/lstm.html",
)
# Without a graphics card, the browser may take three frames to be undrawn and from then
# on draw one a second: the first paint came after 0.25, 1.25 or 2.25 s by chance.
FLAGS = ["--headless=new", "--run-all-compositor-stages-before-draw", *chromium.FLAGS]
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
TIMES = {  # in milliseconds but for the last
    "first paint s": ("first-contentful-paint", 1000),
    "largest s": ("largest-contentful-paint", 1000),
    "speed index s": ("speed-index", 1000),
    "blocked ms": ("total-blocking-time", 1),
    "shift": ("cumulative-layout-shift", 1),
}


def measure(site: Path) -> list[Row]:
    """Scores of 100, and the times behind the first of them."""
    with served(site) as (address, _):
        runs = [[run(address + page) for page in PAGES] for _ in range(REPEATS)]
    rows: list[Row] = []
    for page, reports in zip(PAGES, zip(*runs, strict=True), strict=True):
        scores = {
            name: median(
                100 * report["categories"][name]["score"] for report in reports
            )
            for name in CATEGORIES
        }
        times = {
            name: median(report["audits"][audit]["numericValue"] for report in reports)
            / unit
            for name, (audit, unit) in TIMES.items()
        }
        rows.append({"page": page, **scores, **times})
    return rows


def run(url: str) -> dict:
    """One report."""
    process = subprocess.run(
        [
            "node",
            PROGRAM,
            url,
            "--quiet",
            "--output=json",
            f"--only-categories={','.join(CATEGORIES)}",
            f"--chrome-flags={' '.join(FLAGS)}",
            "--no-enable-error-reporting",
        ],
        env={**os.environ, "CHROME_PATH": chromium.executable()},
        capture_output=True,
        text=True,
    )
    if process.returncode:
        raise SystemExit(f"Lighthouse fails on {url}:\n{process.stderr}")
    return json.loads(process.stdout)
