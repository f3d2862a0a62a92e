"""Builds of the whole site: cold runs every snippet, warm finds the results kept."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tools.bench import REPEATS, ROOT, Row

NOT_COPIED = (".git", ".venv", ".cache", "node_modules", "site", "tools")


def measure(site: Path) -> list[Row]:
    """Median seconds of each, in a copy of the repository with a cache of its own."""
    seconds: dict[str, list[float]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "rederived")
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
        (copy / "node_modules").symlink_to(ROOT / "node_modules")
        cache = copy / ".cache"
        for _ in range(REPEATS):
            shutil.rmtree(cache, ignore_errors=True)
            cache.mkdir()
            if (ROOT / ".cache/pyodide").exists():  # a download, not part of a build
                (cache / "pyodide").symlink_to(ROOT / ".cache/pyodide")
            for times in seconds.values():
                times.append(build(copy))
    return [{"build": kind, "s": median(times)} for kind, times in seconds.items()]


def build(repository: Path) -> float:
    """Seconds that one build takes."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet"]
    subprocess.run(command, cwd=repository, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun
