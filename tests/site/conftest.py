"""The built site behind a small server, and Chromium to look at it."""

import functools
import http.server
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bench import chromium

# A fade is judged at its end, and what the browser leaves out off the screen like the
# rest. Both only while axe looks: its judgement of colours is of one moment.
AT_REST = """() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(
        "* { transition: none !important; content-visibility: visible !important; }");
    document.adoptedStyleSheets = [sheet];
}"""
# The theme looks at a block of code, and makes it reachable by keyboard where it
# scrolls, once it has been on the screen. Then back, and so the sidebars: what stays on
# the screen, such as the header, must not lie over what is judged.
READ_TO_THE_END = """async () => {
    const there = scrollY;
    const show = async y => {
        scrollTo({ top: y, behavior: "instant" });
        await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    };
    for (let y = 0; y < document.body.scrollHeight; y += innerHeight) await show(y);
    await show(there);
    await show(there);  // the theme moves the table of contents a moment later
    for (const sidebar of document.querySelectorAll(".md-sidebar__scrollwrap"))
        sidebar.scrollTo({ top: 0, behavior: "instant" });
}"""
AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="session")
def address(built: Path):
    """Where the built site is served."""
    handler = functools.partial(QuietHandler, directory=str(built))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def unpacked(built: Path, tmp_path_factory) -> Path:
    """What the zip of the site holds, on a local disk."""
    folder = tmp_path_factory.mktemp("disk")
    with zipfile.ZipFile(built / "rederived.zip") as archive:
        archive.extractall(folder)
    return folder / "rederived"


@pytest.fixture(scope="module")
def browser(built):
    """Chromium from the PATH: without one, skipped here and failed in CI.

    For one file at a time, and after the build: while Playwright is open it keeps an
    event loop running in this thread, and executing snippets needs one of its own.
    """
    executable = chromium.found()
    if executable is None:
        reason = "no Chromium on the PATH: the browser tests need one"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=chromium.FLAGS
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser):
    """A fresh tab that remembers nothing."""
    with browser.new_context(
        viewport={"width": 1280, "height": 900}, service_workers="block"
    ) as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield context.new_page()


@pytest.fixture(scope="session")
def violations() -> Callable[[Page], list[str]]:
    """What axe-core finds fault with on a page, one line each."""
    axe = AXE.read_text(encoding="utf-8")

    def find(page: Page) -> list[str]:
        # evaluated, not added as a script tag: the page's policy allows no such tag
        if not page.evaluate("'axe' in window"):
            page.evaluate(axe)
        page.evaluate(AT_REST)
        page.evaluate(READ_TO_THE_END)
        found = page.evaluate(
            "axe.run({ rules: { 'target-size': { enabled: true } } })"
            ".then(r => r.violations.flatMap("
            "v => v.nodes.map(n => v.id + ': ' + n.target.join(' '))))"
        )
        page.evaluate("document.adoptedStyleSheets = []")
        return found

    return find
