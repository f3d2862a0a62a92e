"""Fonts: what is left of them, and that it still shows what pages say."""

import io
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from fonts import characters_in, with_glyphs, write_subsets

ROOT = Path(__file__).parents[2]
KATEX = ROOT / "node_modules/katex/dist/fonts/KaTeX_Main-Regular.woff2"


def glyphs(font: bytes) -> dict[int, str]:
    return TTFont(io.BytesIO(font)).getBestCmap()


@pytest.fixture(scope="module")
def whole() -> bytes:
    return KATEX.read_bytes()


def test_characters_stand_there_or_are_written_otherwise():
    shown = characters_in(["<p>Γ &minus; &#8722;", r'show("\u2260")'])
    assert {"Γ", "−", "≠"} <= shown
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
    assert "OFL" in by_number[14], "and under which licence"


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
