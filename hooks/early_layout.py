"""What the browser would otherwise find out, or change, while a page starts.

Each change near the root of a long page has all of it restyled, and what is far below
the first screen need not be laid out before the reader gets there.
"""

import re

from errors import ContentError

TABLE = re.compile(r"<table(?P<rest>(?![^>]*\bclass=)[^>]*>.*?</table>)", re.S)
ARTICLE = re.compile(r"(?<=md-content__inner md-typeset\">).*?(?=</article>)", re.S)
HEADING = r"<h(?P<level>[23]) id=.*?</h(?P=level)>\s*"
SECTION = re.compile(rf"(?P<heading>{HEADING})(?P<text>.*?)(?=<h[23] id=|\Z)", re.S)
BLOCK = re.compile(r"<(?P<end>/?)(?:div|section|details|blockquote|figure|[ou]l|dl)\b")
TAG = re.compile(r"<[^>]+>")
CODE = re.compile(r"<pre>(?P<code>(?:<span></span>)?<code>.*?</code></pre>)", re.S)


def wrapped_tables(page_html: str) -> str:
    """Every table without a class in the wrappers in which it scrolls sideways.

    The theme's script would put them there, one by one, when the page stands. The
    class is for the style sheet, which means these tables, and keeps the script away.
    """
    return TABLE.sub(
        '<div class="md-typeset__scrollwrap"><div class="md-typeset__table">'
        r'<table class="plain"\g<rest></div></div>',
        page_html,
    )


def with_passages(page_html: str, where: str) -> str:
    """What stands between two headings of the article in a block of its own.

    The browser leaves out what is off the screen, block by block. How high it is can
    only be guessed: a line of the file is about a line on the page. The headings stay
    outside, since the theme asks for the place of each.
    """

    def wrapped(match: re.Match[str]) -> str:
        text = match["text"]
        if not text.strip():
            return match[0]
        ends = [bool(block["end"]) for block in BLOCK.finditer(text)]
        if 2 * sum(ends) != len(ends):  # one that begins here does not end here
            words = TAG.sub("", match["heading"]).strip().removesuffix("#")
            raise ContentError(
                where,
                f"below the heading “{words}”, another stands inside of a block",
                "let a heading stand outside of lists, quotes and folded text",
            )
        lines = f'style="--lines:{len(text.splitlines())}"'
        return f'{match["heading"]}<div class="passage" {lines}>\n{text}</div>\n'

    return ARTICLE.sub(lambda match: SECTION.sub(wrapped, match[0]), page_html, 1)


def with_lines(page_html: str) -> str:
    """Every block of code with the number of its lines, from which follows its height.

    So the browser can leave it out while it is off the screen.
    """

    def counted(match: re.Match[str]) -> str:
        code = match["code"]
        lines = code.removesuffix("</code></pre>").rstrip("\n").count("\n") + 1
        return f'<pre style="--lines:{lines}">{code}'

    return CODE.sub(counted, page_html)
