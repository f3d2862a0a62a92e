"""What a reader does in several tests."""

import pytest
from playwright.sync_api import ConsoleMessage, Page


def wait_until(page: Page, condition: str) -> None:
    """Until JavaScript finds it so (the pages' policy forbids Playwright's own way)."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never so: {condition}")


def search(page: Page, query: str) -> str:
    """The address of the first hit."""
    page.keyboard.press("s")
    box = page.get_by_role("textbox", name="Search")
    box.fill(query[:-1])  # at once: no hit is for its first words alone
    box.press_sequentially(query[-1])
    first = page.locator(".md-search-result__item a").first
    first.wait_for()
    return first.get_attribute("href") or ""


def console_of(page: Page) -> list[str]:
    """What the console will say of a page, as it says it."""
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        # said by the test's own browser, which keeps the service worker out
        if message.text != "Service Worker registration blocked by Playwright":
            said.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda e: said.append(str(e)))
    return said
