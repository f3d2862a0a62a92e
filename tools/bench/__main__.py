"""`make bench`: what the site and its snippets cost, as tables and as JSON.

    python -m tools.bench [section ...]     sections as below, all of them by default

The times are this machine's and depend on what else it does; what can be compared from
machine to machine is the ratios, sizes and scores.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tools.bench import ROOT, Row

SECTIONS = ("snippets", "builds", "pages", "ratios", "slopes", "lighthouse")
RESULT = ROOT / ".cache/bench.json"


def main() -> None:
    """Measure the sections asked for, print each as it is ready, write all to JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", default=SECTIONS)
    wanted = parser.parse_args().sections
    if unknown := set(wanted) - set(SECTIONS):
        parser.error(f"no section {', '.join(unknown)}: choose from {SECTIONS}")
    result: dict[str, object] = {"machine": machine()}
    print("\n".join(f"{name:<12}{value}" for name, value in machine().items()))
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder, "site")
        if {"pages", "lighthouse"} & set(wanted):
            build(site)
        for name in wanted:
            section = importlib.import_module(f"tools.bench.{name}")
            rows = section.measure(site)
            result[name] = rows
            print(f"\n{section.__doc__.strip()}\n\n{table(rows)}", flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"\nWritten to {RESULT.relative_to(ROOT)}")


def machine() -> dict[str, str]:
    """What the figures depend on."""
    packages = {name: version(name) for name in ("numpy", "torch", "mkdocs-material")}
    return {
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load": f"{os.getloadavg()[0]:.1f} before the first section",
        "python": platform.python_version(),
        **packages,
    }


def build(site: Path) -> None:
    """The site, into a folder of its own."""
    command = ["-m", "mkdocs", "build", "--quiet", "--site-dir", str(site)]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True)


def table(rows: list[Row]) -> str:
    """Rows of the same keys as columns: text to the left, numbers to the right."""
    lines = [list(rows[0]), *([shown(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = [isinstance(value, str) for value in rows[0].values()]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if to_left else f"{cell:>{width}}"
            for cell, width, to_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    )


def shown(value: str | float) -> str:
    """Three digits are enough."""
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return str(value)


if __name__ == "__main__":
    main()
