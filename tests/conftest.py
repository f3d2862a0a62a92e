"""What several test files share: the repository, what its pages say, the built site."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from site_model import SiteModel, load_site

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def site() -> SiteModel:
    """The pages and the executed snippets, as the site is made from them."""
    return load_site(ROOT / "docs", ROOT / "snippets", ROOT / ".cache/snippets")


@pytest.fixture(scope="session")
def built(site, tmp_path_factory) -> Path:
    """The site, built strictly; a warning fails it."""
    folder = tmp_path_factory.mktemp("built") / "site"
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright keeps an event loop running in this thread.

    Executing snippets starts one of its own, which two of them would not bear.
    """
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))
