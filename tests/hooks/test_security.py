"""The policy of a page: its own files, and its own inline scripts by their hashes."""

import re

import pytest

from security import with_policy

# The example and its hash as the W3C's Content Security Policy Level 2 prints them.
HELLO = "alert('Hello, world.');"
HELLO_HASH = "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"


def page(body: str = "") -> str:
    return f'<html><head><meta charset="utf-8"></head><body>{body}</body></html>'


def policy(page_html: str) -> dict[str, list[str]]:
    [content] = re.findall(
        r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">',
        with_policy(page_html),
    )
    directives = [directive.split() for directive in content.split("; ")]
    return {name: sources for name, *sources in directives}


def test_an_inline_script_is_allowed_by_its_hash():
    assert policy(page(f"<script>{HELLO}</script>"))["script-src"] == [
        "'self'",
        HELLO_HASH,
    ]


@pytest.mark.parametrize("attributes", ["", ' type="module"', ' id="x" defer'])
def test_attributes_do_not_change_the_hash(attributes):
    found = policy(page(f"<script{attributes}>{HELLO}</script>"))
    assert HELLO_HASH in found["script-src"]


def test_each_script_is_hashed_once():
    twice = f"<script>{HELLO}</script>" * 2 + "<script>\n  other()\n</script>"
    assert len(policy(page(twice))["script-src"]) == 3


@pytest.mark.parametrize(
    "script",
    [
        '<script src="assets/site.js"></script>',
        '<script id="__config" type="application/json">{"base": "."}</script>',
        '<script type="application/ld+json">{"@type": "Article"}</script>',
    ],
    ids=["file", "json", "linked data"],
)
def test_what_is_no_inline_script_is_not_hashed(script):
    assert policy(page(script))["script-src"] == ["'self'"]


def test_nothing_from_elsewhere_and_no_inline_style_sheet():
    found = policy(page())
    assert found["default-src"] == ["'self'"]
    assert found["style-src"] == ["'self'"]
    assert found["object-src"] == ["'none'"]
    assert not any("//" in word or "*" in word for s in found.values() for word in s)


def test_the_policy_stands_before_every_script():
    guarded = with_policy(page(f"<script>{HELLO}</script>"))
    assert guarded.index("Content-Security-Policy") < guarded.index("<script>")


def test_the_page_itself_is_left_as_it_is():
    before = page(f"<p>é</p><script>{HELLO}</script>")
    after = with_policy(before)
    assert re.sub(r'<meta http-equiv="Con[^>]*>', "", after) == before
