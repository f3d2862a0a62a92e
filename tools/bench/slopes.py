"""Time against length: attention, and the selective scan by rounds and by a loop.

One sequence, float32, one thread. Attention has one head of width 64 and no mask; the
scan has 16 channels of 4 states. "slope" is that of the straight line through the
logarithms of time and length: 1 is linear, 2 quadratic. The time is the processor's,
and that of the fastest of several turns: whatever else the machine does only adds to
it. Freed memory is kept by the process, or large arrays would pay for new pages.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tools.bench import ONE_THREAD, ROOT, Row

LENGTHS = (512, 1024, 2048, 4096)
WIDTH, CHANNELS, STATES = 64, 16, 4
TURNS = 9
KEPT = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "1000000000"}


def measure(site: Path) -> list[Row]:
    """Measured in a process of its own: the number of threads is set as it starts."""
    process = subprocess.run(
        [sys.executable, "-m", "tools.bench.slopes"],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD, **KEPT, "PYTHONPATH": "snippets"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(process.stdout)


def runs(length: int) -> dict[str, Callable[[], object]]:
    """What is measured, at one length."""
    import numpy as np

    import attention
    from selective_scan import associative_scan, selective_scan, sequential_scan

    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((3, length, WIDTH)).astype("float32")
    u, delta = rng.random((2, 1, length, CHANNELS)).astype("float32")
    B, C = rng.standard_normal((2, 1, length, STATES)).astype("float32")
    A = -np.arange(1, STATES + 1, dtype="float32") * np.ones((CHANNELS, 1), "float32")
    layer = u, delta, A, B, C, np.ones(CHANNELS, "float32")
    return {
        "attention": lambda: attention.attention(q, k, v),
        "scan by rounds": lambda: selective_scan(*layer, scan=associative_scan),
        "scan by a loop": lambda: selective_scan(*layer, scan=sequential_scan),
    }


def fastest(run: Callable[[], object]) -> float:
    """Milliseconds of the fastest turn after a warm-up."""
    times = []
    for _ in range(TURNS + 1):
        begun = time.process_time()
        run()
        times.append(1000 * (time.process_time() - begun))
    return min(times[1:])


def rows() -> list[Row]:
    """A line for each way: its times, and the slope over all lengths."""
    import numpy as np

    by_length = [
        {what: fastest(run) for what, run in runs(length).items()} for length in LENGTHS
    ]
    found: list[Row] = []
    for what in by_length[0]:
        times = [line[what] for line in by_length]
        slope = np.polyfit(np.log(LENGTHS), np.log(times), 1)[0]
        columns = {f"ms at {l}": t for l, t in zip(LENGTHS, times, strict=True)}
        found.append({"what": what, **columns, "slope": float(slope)})
    return found


if __name__ == "__main__":
    print(json.dumps(rows()))
