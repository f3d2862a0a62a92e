"""A minimal project, all of it valid: one page, one snippet, one reading list.

A test takes it by the fixture `project`, changes one thing and loads it.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from execution import Execution, run_all
from site_model import SiteModel, load_site
from snippets import Snippet

SNIPPET = '''\
# %% [markdown]
r"""
# Sums of $n$ terms

A price of $5 and a formula $a < b$.

**Source:** Ada Lovelace, *Notes* (1843),
note G.

| symbol | name | shape |
| --- | --- | --- |
| $a$ (`a`) | summand | scalar |

**Differs from the source:** nothing.

**Checked against:** `math.fsum` (1e-10).

**Takes:** under 1 s on one core.
"""

# %%
import functools
import math

# %% [markdown]
# ## The sum
# The shell reads `$HOME` here. In display:
#
# $$
# s = a + b
# $$


# %% The addition
# s = a + b
def add(a: float, b: float) -> float:
    """The sum of two numbers."""
    return a + b


class Adder:
    """A running sum."""

    total = 0.0

    # keeps what it was given
    @functools.cache
    def step(self, a: float) -> float:
        """Add one number."""
        if a > 0:
            self.total += a
        return self.total


# %%
def draw_line() -> None:
    """A line that rises from 0 to 1 & "stays" there."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(4, 3), layout="constrained")
    ax.plot([0, 1], [0, 1], label="$y$ rises")
    ax.plot([0, 1], [1, 1], label="stays")
    ax.legend()


# %% tags=["active-ipynb"]
# draw_line()

# %% [markdown]
# ## Numbers


# %%
def numbers() -> dict[str, float]:
    """Every figure the page quotes."""
    return {
        "answer": 42,
        "third": 1 / 3,
        "parameters": 51600,
        "flops": math.prod([3.27, 1e18]),
    }


# %%
if __name__ == "__main__":
    results = numbers()
    for name, value in results.items():
        print(f"{name:<44} {value:.10g}")
'''

BODY = """
## In one paragraph

It adds {{ demo.answer }}.

## What it teaches

That $a + b = b + a$.

## From the equations to code

::: code demo.add

::: figure demo.draw_line
    See how *it* rises.

## Numbers, computed again

::: numbers

## What has changed since

Nothing.

## Check yourself

::: questions

::: exercises

## Cite

::: cite
"""


def _page() -> dict[str, Any]:
    return {
        "title": "Notes on the Engine",
        "authors": ["Ada Lovelace"],
        "year": "1843",
        "kind": "paper",
        "url": "https://example.org/notes",
        "minutes": "25",
        "level": "introductory",
        "needs": [],
        "shows": "How $a + b$ comes about.",
        "description": "Sums, computed again.",
        "snippets": ["demo"],
        "numbers": [
            {
                "what": "The answer",
                "where": "note G",
                "says": "42",
                "ours": "demo.answer",
            },
            {
                "what": "A third, $1/3$",
                "where": "note H",
                "says": "0.50",
                "ours": "demo.third",
                "unit": "nats",
                "verdict": "differs",
                "why": "It is *one* in three.",
            },
        ],
        "questions": [
            {"ask": f"What is $1 + {i}$?", "answer": f"It is ${i} + 1$."}
            for i in range(5)
        ],
        "exercises": [
            {"task": "Add.", "solution": "```python\nassert 1 + 1 == 2\n```"},
            {"task": "Add again.", "solution": "Do it."},
        ],
        "bibtex": "@misc{lovelace1843notes,\n  title = {Notes},\n}",
    }


def _reading_list() -> dict[str, Any]:
    return {
        "title": "The reading list",
        "description": "A list.",
        "reading_list": [
            {
                "heading": "Engines",
                "about": "Machines that *add*.",
                "entries": [{"page": "engines/notes"}, {"topic": "Looms"}],
            }
        ],
    }


@dataclass
class Project:
    """`docs/` and `snippets/` in a folder; `load` writes and loads them."""

    root: Path
    page: dict[str, Any]
    body: str
    home: dict[str, Any]
    snippet: str

    @property
    def docs(self) -> Path:
        return self.root / "docs"

    @property
    def snippets(self) -> Path:
        return self.root / "snippets"

    @property
    def cache(self) -> Path:
        return self.root / ".cache"

    @property
    def first_number(self) -> dict[str, Any]:
        return self.page["numbers"][0]

    @property
    def entries(self) -> list[dict[str, Any]]:
        return self.home["reading_list"][0]["entries"]

    def write_page(self, key: str, front_matter: Any, body: str) -> Path:
        """Write docs/<key>.md; `front_matter` may also be YAML as typed."""
        path = self.docs / f"{key}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(front_matter, str):
            front_matter = yaml.safe_dump(front_matter, allow_unicode=True)
        path.write_text(f"---\n{front_matter}---\n{body}", encoding="utf-8")
        return path

    def write_snippet(self, name: str, text: str) -> Snippet:
        self.snippets.mkdir(parents=True, exist_ok=True)
        path = self.snippets / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        return Snippet(path)

    def write(self) -> "Project":
        self.write_snippet("demo", self.snippet)
        self.write_page("engines/notes", self.page, self.body)
        self.write_page("index", self.home, "\n# Home\n\n::: reading-list\n")
        return self

    def load(self) -> SiteModel:
        self.write()
        return load_site(self.docs, self.snippets, self.cache)


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Execution]:
    """The demo snippet, run once for the whole session, and the cache it lies in."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "demo.py").write_text(SNIPPET, encoding="utf-8")
    cache = folder / "cache"
    return cache, run_all([Snippet(folder / "demo.py")], cache)["demo"]


@pytest.fixture
def execution(executed: tuple[Path, Execution]) -> Execution:
    return executed[1]


@pytest.fixture(scope="session")
def make_project() -> Callable[[Path], Project]:
    """A valid project in a folder, with nothing run yet."""
    return lambda root: Project(root, _page(), BODY, _reading_list(), SNIPPET)


@pytest.fixture
def new_project(tmp_path: Path, make_project: Callable[[Path], Project]) -> Project:
    return make_project(tmp_path)


@pytest.fixture
def project(new_project: Project, executed: tuple[Path, Execution]) -> Project:
    """The same, and its snippet has run already."""
    shutil.copytree(executed[0], new_project.cache)
    return new_project
