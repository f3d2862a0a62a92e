"""The Content-Security-Policy of a page: its own files, its own inline scripts.

What it cannot be: styles in attributes are allowed, since KaTeX and the figures place
their parts by them; and who may frame the page, only a server's header can say.
"""

import base64
import hashlib
import re

CHARSET = '<meta charset="utf-8">'
INLINE_SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<body>.*?)</script>", re.S)
DATA_BLOCK = re.compile(r"type=\"application/(?:ld\+)?json\"")


def with_policy(page_html: str) -> str:
    """The page with a policy that names each inline script by its hash."""
    hashes = sorted(
        {
            _sha256(match["body"])
            for match in INLINE_SCRIPT.finditer(page_html)
            if match["body"] and not DATA_BLOCK.search(match["attributes"])
        }
    )
    policy = "; ".join(
        [
            "default-src 'self'",
            " ".join(["script-src 'self'", *hashes]),
            "style-src 'self'",
            "style-src-attr 'unsafe-inline'",
            "img-src 'self' data:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
        ]
    )
    tag = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    if CHARSET not in page_html:
        raise ValueError(f"the theme no longer begins a page with {CHARSET}")
    return page_html.replace(CHARSET, CHARSET + tag, 1)


def _sha256(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
