"""A static host on this machine: gzip, and files that may be kept for ten minutes."""

import gzip
import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMPRESSED = re.compile(r"text/|javascript|json|svg|xml")


class StaticHost(http.server.SimpleHTTPRequestHandler):
    """Sends what lies under `root` and notes what each answer weighs."""

    protocol_version = "HTTP/1.1"  # connections are kept open
    root: Path
    sent: dict[str, int]

    def do_GET(self) -> None:
        """Answer with a file, compressed where that pays."""
        path = self.root / self.path.partition("?")[0].lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        body, kind = path.read_bytes(), self.guess_type(path)
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Cache-Control", "max-age=600")
        if COMPRESSED.search(kind):
            body = gzip.compress(body, 6)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.sent[self.path] = len(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(site: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """The address of the site, and bytes sent by path, which grows."""
    sent: dict[str, int] = {}
    handler = type("Host", (StaticHost,), {"root": site, "sent": sent})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", sent
        server.shutdown()
