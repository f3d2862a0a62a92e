"""The whole way through MkDocs: a small site, built by the command an author uses."""

import io
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from bs4 import BeautifulSoup
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.utils import DuplicateFilter

import mkdocs_events

ROOT = Path(__file__).parents[2]
CONFIG = f"""
INHERIT: {ROOT}/mkdocs.yml
nav: [index.md, review.md, findings.md, snippets/index.md, engines/notes.md]
"""


def build(
    project, npm: Path = ROOT / "node_modules", **environment: str
) -> subprocess.CompletedProcess:
    """Build the project with copies of the site's own machinery."""
    prepare(project, npm)
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=project.root,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def prepare(project, npm: Path) -> None:
    project.write()
    for folder in ("hooks", "overrides", "docs/assets"):
        shutil.copytree(ROOT / folder, project.root / folder)
    (project.root / "node_modules").symlink_to(npm)
    (project.root / "browser").symlink_to(ROOT / "browser")
    (project.root / ".cache").mkdir(exist_ok=True)
    (ROOT / ".cache/pyodide").mkdir(parents=True, exist_ok=True)
    (project.root / ".cache/pyodide").symlink_to(ROOT / ".cache/pyodide")
    whole_site = {
        "findings": "findings",
        "snippets/index": "snippets",
        "review": "deck",
    }
    for name, block in whole_site.items():
        text = f"# The {block}\n\n::: {block}\n"
        project.write_page(name, {"title": block}, text)
    (project.root / "mkdocs.yml").write_text(CONFIG, encoding="utf-8")


@pytest.fixture(scope="module")
def site(make_project, tmp_path_factory) -> Path:
    project = make_project(tmp_path_factory.mktemp("site"))
    project.body += "\nSee [the code](../snippets/demo.ipynb) and $5.\n"
    built = build(project)
    assert built.returncode == 0, built.stdout + built.stderr
    return project.root / "site"


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


PAGES = [
    "index.html",
    "engines/notes.html",
    "snippets/demo.html",
    "snippets/index.html",
    "findings.html",
    "404.html",
]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_one_policy(site, name):
    found = soup(site / name).select('meta[http-equiv="Content-Security-Policy"]')
    assert len(found) == 1


@pytest.mark.parametrize("name", PAGES)
def test_no_page_loads_from_another_host(site, name):
    page = soup(site / name)
    loaded = [e["src"] for e in page.select("[src]")]
    loaded += [
        e["href"] for e in page.select("link[href]") if e["rel"] != ["canonical"]
    ]
    assert loaded
    assert not [address for address in loaded if re.match(r"(https?:)?//", address)]


@pytest.mark.parametrize("name", PAGES)
def test_every_file_a_page_names_is_there(site, name):
    page = soup(site / name)
    addresses = [e["src"] for e in page.select("[src]")]
    addresses += [e["href"] for e in page.select("a[href], link[href]")]
    own = {a.split("#")[0] for a in addresses if not re.match(r"https?:|data:", a)}
    for address in own - {"", "."}:
        start = site if address.startswith("/") else (site / name).parent
        target = start / address.lstrip("/")
        assert target.exists(), address


def test_a_source_page_has_its_title_and_its_card(site):
    page = soup(site / "engines/notes.html")
    [title] = page.select("h1")
    assert title.contents[0] == "Notes on the Engine"
    assert title.find_next("div")["class"] == ["card"]


def test_formulas_are_typeset_and_prices_are_not(site):
    text = (site / "engines/notes.html").read_text(encoding="utf-8")
    assert "arithmatex" not in text
    assert '<annotation encoding="application/x-tex">a + b = b + a<' in text
    assert "and $5." in text


def test_directives_and_values_leave_no_trace(site):
    page = soup(site / "engines/notes.html")
    assert page.select_one("table.ledger")
    assert page.select_one("figure svg")
    assert "It adds 42." in page.article.text
    assert ":::" not in page.article.text
    assert "{{" not in page.article.text


def test_a_notebook_page_is_slim_and_has_its_card_below_its_title(site):
    page = soup(site / "snippets/demo.html")
    assert (site / "snippets/demo.html").stat().st_size < 100_000
    [title] = page.select("h1")
    assert title.find_next("div")["class"] == ["card"]
    assert page.select_one("figure svg title").text.startswith("A line that rises")
    assert page.select_one(".katex")


def test_code_and_notebook_are_downloads_at_stable_addresses(site, execution):
    code = (site / "snippets/demo.py").read_text(encoding="utf-8")
    assert code == execution.snippet.text
    assert '"cells"' in (site / "snippets/demo.ipynb").read_text(encoding="utf-8")


def test_styles_and_fonts_of_others_come_with_the_site(site):
    css = (site / "assets/katex/katex.min.css").read_text(encoding="utf-8")
    fonts = set(re.findall(r"url\((fonts/[^)]+\.woff2)\)", css))
    assert fonts
    assert all((site / "assets/katex" / font).exists() for font in fonts)


def test_an_error_of_an_author_stops_the_build_without_a_traceback(new_project):
    new_project.page["kind"] = "tweet"
    built = build(new_project)
    assert built.returncode != 0
    assert "docs/engines/notes.md: front matter" in built.stderr
    assert "`kind`" in built.stderr
    assert "Cure: mend these fields" in built.stderr
    assert "Traceback" not in built.stderr


def test_without_what_npm_installs_the_build_says_how_to_get_it(new_project, tmp_path):
    built = build(new_project, npm=tmp_path)
    assert built.returncode != 0
    assert "node_modules: .study.js, .review.js, katex/dist/katex" in built.stderr
    assert "Cure: `make build`" in built.stderr
    assert "Traceback" not in built.stderr


def test_below_a_folder_of_the_host_the_page_for_unknown_addresses_finds_its_way(
    new_project,
):
    built = build(new_project, SITE_URL="https://example.org/some/where/")
    assert built.returncode == 0, built.stdout + built.stderr
    page = soup(new_project.root / "site/404.html")
    addresses = [e["src"] for e in page.select("[src]")]
    addresses += [e["href"] for e in page.select("a[href], link[href]")]
    own = [a for a in addresses if not re.match(r"https?:|data:|#", a)]
    assert own
    assert [a for a in own if not a.startswith("/some/where/")] == []


def answer(url: str, until: Callable[[bytes], bool] = bool) -> bytes:
    """What a server that may not be up yet, or at work, sends in the end."""
    for _ in range(600):
        try:
            with urlopen(url, timeout=60) as sent:
                if until(content := sent.read()):
                    return content
        except (HTTPError, URLError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} does not come")


def test_while_serving_all_can_be_taken_along_and_no_worker_stays(new_project):
    prepare(new_project, ROOT / "node_modules")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = new_project.root / "log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "mkdocs", "serve", "--dev-addr", address],
            cwd=new_project.root,
            stdout=out,
            stderr=out,
        )
    try:
        site = f"http://{address}"
        answer(site)
        for name in ("rederived.epub", "rederived.apkg", "references.bib", "feed.xml"):
            assert answer(f"{site}/{name}")
        assert zipfile.is_zipfile(io.BytesIO(answer(f"{site}/rederived.zip")))
        assert b"fetch" not in answer(f"{site}/sw.js")
        page = new_project.docs / "index.md"
        page.write_text(page.read_text() + "\nMoved to Turin.\n")
        answer(site, lambda content: b"Turin" in content)
        assert answer(f"{site}/rederived.zip")
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_an_error_that_is_still_there_is_told_again():
    log = logging.getLogger("mkdocs.commands.build")
    only_once = DuplicateFilter()
    log.addFilter(only_once)
    try:
        record = log.makeRecord(log.name, logging.ERROR, "", 0, "no title", (), None)
        assert only_once(record)
        assert not only_once(record)
        mkdocs_events.on_pre_build(MkDocsConfig())
        assert only_once(record)
    finally:
        log.removeFilter(only_once)
