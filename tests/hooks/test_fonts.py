"""Fonts: what is left of them, and that it still shows what pages say."""

import io
import os
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from fonts import OPTIONS, characters_in, with_glyphs, write_subsets

ROOT = Path(__file__).parents[2]
KATEX = ROOT / "node_modules/katex/dist/fonts/KaTeX_Main-Regular.woff2"


def glyphs(font: bytes) -> dict[int, str]:
    return TTFont(io.BytesIO(font)).getBestCmap()


@pytest.fixture(scope="module")
def whole() -> bytes:
    return KATEX.read_bytes()


def test_characters_stand_there_or_are_written_otherwise():
    shown = characters_in(["<p>Γ &minus; &#215;", r'show("\u2260 \xb7 \u{1d53c}")'])
    assert {"Γ", "−", "×", "≠", "·", "𝔼"} <= shown
    assert "Δ" not in shown


def test_readers_may_type_what_no_page_has():
    assert set("qQ~{") <= characters_in([])


def test_a_font_keeps_the_glyphs_in_use_and_no_other(whole):
    smaller = with_glyphs(whole, "Γx−")
    assert glyphs(smaller).keys() == {ord(c) for c in "Γx−"}
    assert glyphs(whole).keys() > glyphs(smaller).keys()
    assert len(smaller) < len(whole) / 4


def test_what_it_keeps_is_as_wide_and_as_high(whole):
    before, after = (
        TTFont(io.BytesIO(font)) for font in (whole, with_glyphs(whole, "Γx−"))
    )
    for glyph in after.getBestCmap().values():
        assert after["hmtx"][glyph] == before["hmtx"][glyph]
    for table, line in (
        ("hhea", "ascent"),
        ("hhea", "descent"),
        ("head", "unitsPerEm"),
    ):
        assert getattr(after[table], line) == getattr(before[table], line)


def test_the_reserved_name_is_for_the_whole_font_alone(whole):
    names = TTFont(io.BytesIO(with_glyphs(whole, "x")))["name"].names
    by_number = {record.nameID: str(record) for record in names}
    assert "KaTeX" not in "".join(by_number[number] for number in (1, 3, 4, 6))
    assert "Khan Academy" in by_number[0], "whose it is must stay"
    assert "Open Font License" in by_number[13], "and under which licence"
    assert "OFL" in by_number[14]


def test_no_instructions_for_old_screens_are_left(whole):
    assert "fpgm" in TTFont(io.BytesIO(whole))
    assert "fpgm" not in TTFont(io.BytesIO(with_glyphs(whole, "x")))


def test_every_font_has_what_pages_and_scripts_show_but_code_may_hold_anything(
    tmp_path, whole
):
    site = tmp_path / "site"
    fonts = [
        site / f"assets/{name}.woff2"
        for name in ("katex/fonts/a", "fonts/source-serif", "fonts/source-code-pro-400")
    ]
    for path in fonts:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(whole)
    (site / "assets/pictures").mkdir()
    for path, text in {
        "deep/page.html": "Γ",
        "assets/site.js": "Δ",
        "assets/pictures/a.js": "Θ",
        "assets/style.css": "Λ",
        "assets/katex/other.js": "Ξ",
    }.items():
        (site / path).parent.mkdir(exist_ok=True)
        (site / path).write_text(text)
    write_subsets(site, tmp_path / "cache")
    katex, text, code = (path.read_bytes() for path in fonts)
    assert {chr(c) for c in glyphs(katex)} & set("ΓΔΘΛΞ") == set("ΓΔΘΛ")
    assert text == katex
    assert code == whole


def test_fonts_are_cut_once_for_the_same_pages(tmp_path, whole, monkeypatch):
    site, cache = tmp_path / "site", tmp_path / "cache"
    font = site / "assets/katex/fonts/a.woff2"
    font.parent.mkdir(parents=True)
    font.write_bytes(whole)
    (site / "page.html").write_text("Γ")
    write_subsets(site, cache)
    cut = font.read_bytes()
    assert ord("Γ") in glyphs(cut)
    assert ord("Δ") not in glyphs(cut)

    font.write_bytes(whole)
    with monkeypatch.context() as without:
        without.setattr("fonts.with_glyphs", None)
        write_subsets(site, cache)
    assert font.read_bytes() == cut

    font.write_bytes(whole)
    (site / "page.html").write_text("Δ")
    write_subsets(site, cache)
    assert ord("Δ") in glyphs(font.read_bytes())
    assert len(list(cache.iterdir())) == 2

    for kept in cache.iterdir():
        os.utime(kept, (0, 0))
    font.write_bytes(whole)
    write_subsets(site, cache)
    [still_in_use] = cache.iterdir()
    assert font.read_bytes() == still_in_use.read_bytes()


def test_another_way_to_cut_cuts_again(tmp_path, whole, monkeypatch):
    font = tmp_path / "assets/a.woff2"
    font.parent.mkdir()
    for setting in (False, True):
        font.write_bytes(whole)
        monkeypatch.setitem(OPTIONS, "hinting", setting)
        write_subsets(tmp_path, tmp_path / "cache")
        assert ("fpgm" in TTFont(io.BytesIO(font.read_bytes()))) == setting


def test_a_cut_that_is_interrupted_leaves_nothing_that_would_be_taken(
    tmp_path, whole, monkeypatch
):
    font = tmp_path / "assets/a.woff2"
    font.parent.mkdir()
    font.write_bytes(whole)

    def full(path, *_):
        raise OSError("no space left")

    with monkeypatch.context() as disk:
        disk.setattr("pathlib.Path.replace", full)
        with pytest.raises(OSError, match="no space left"):
            write_subsets(tmp_path, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.woff2"))
