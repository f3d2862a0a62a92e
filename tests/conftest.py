"""What several test files share: the repository, what its pages say, the built site."""

import os
import subprocess
import sys
from pathlib import Path

# Processes of the tests share the cores: more threads of NumPy and torch would wait for
# each other, many times longer than they work. Heeded when the two are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from filelock import FileLock

from site_model import SiteModel, load_site

ROOT = Path(__file__).parents[1]


def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores, since much is waited for; at most 5, for memory.

    PYTEST_XDIST_AUTO_NUM_WORKERS says otherwise, as without this function.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    asked = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    return int(asked) if asked else min(cores + 1, 5)


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id) -> Path:
    """A folder of this run alone, the same for all its processes."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def site(shared) -> SiteModel:
    """The pages and the executed snippets, as the site is made from them."""
    with FileLock(shared / "snippets.lock"):  # executed once, whoever comes first
        return load_site(ROOT / "docs", ROOT / "snippets", ROOT / ".cache/snippets")


@pytest.fixture(scope="session")
def built(site, shared) -> Path:
    """The site, built strictly; a warning fails it."""
    folder = shared / "site"
    with FileLock(shared / "site.lock"):
        if not folder.exists():
            being_built = shared / "being-built"
            build = subprocess.run(
                [sys.executable, "-m", "mkdocs", "build", "--site-dir", being_built],
                cwd=ROOT,
                env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
                capture_output=True,
                text=True,
            )
            assert build.returncode == 0, build.stdout + build.stderr
            being_built.rename(folder)
    return folder
