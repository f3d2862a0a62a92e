"""Chromium from the PATH, and how it is started."""

import shutil

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def found() -> str | None:
    """Its path, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def executable() -> str:
    """Its path; ends the program where there is none."""
    if path := found():
        return path
    raise SystemExit("no Chromium on the PATH: pages and Lighthouse need one")
