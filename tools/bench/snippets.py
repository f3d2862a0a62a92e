"""Snippets as programs, imports included, on one thread: median of three, in turns."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tools.bench import ONE_THREAD, REPEATS, ROOT, Row

KILOBYTE = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss, in bytes


def measure(site: Path) -> list[Row]:
    """Time on the clock, time on the processor, and peak memory, of each snippet."""
    runs: dict[Path, list[tuple[float, float, float]]] = {
        path: [] for path in sorted((ROOT / "snippets").glob("*.py"))
    }
    for _ in range(REPEATS):
        for path, found in runs.items():
            found.append(run(path))
    rows: list[Row] = []
    for path, found in runs.items():
        wall, cpu, memory = map(median, zip(*found, strict=True))
        rows.append({"snippet": path.stem, "s": wall, "cpu s": cpu, "peak MB": memory})
    return rows


def run(path: Path) -> tuple[float, float, float]:
    """Seconds on the clock and on the processor, and megabytes, of one run."""
    with tempfile.TemporaryDirectory() as empty:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, path],
            cwd=empty,
            env={**os.environ, **ONE_THREAD},
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{path} fails: run it alone to see why")
    cpu = usage.ru_utime + usage.ru_stime
    return wall, cpu, usage.ru_maxrss * KILOBYTE / 1e6
