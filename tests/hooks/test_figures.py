"""A drawing of matplotlib made fit to stand in a page."""

import re
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.colors import to_hex

from figures import STYLE, VARIABLES, for_page


@pytest.fixture
def raw(execution) -> str:
    """What matplotlib wrote in the kernel."""
    return execution.figures["draw_line"]


@pytest.fixture
def figure(raw) -> str:
    return for_page(raw, "demo-draw_line", 'Rises & "stays" < 1')


def ids(svg: str) -> list[str]:
    return re.findall(r'\bid="([^"]+)"', svg)


def test_the_raw_drawing_has_what_must_go(raw):
    """Without these the tests below could not fail."""
    for part in ("<?xml", "<style", "<metadata", "<!--", 'width="', 'id="', "#0b62c4"):
        assert part in raw
    assert re.search(r'href="#|url\(#', raw)


def test_it_is_one_svg_element(figure):
    assert figure.startswith("<svg ")
    assert figure.endswith("</svg>")


def test_it_has_no_style_sheet_and_nothing_of_a_file(figure):
    for part in ("<style", "<metadata", "<!--", "<?xml", "<!DOCTYPE"):
        assert part not in figure


def test_it_has_no_fixed_size_but_keeps_its_shape(figure):
    head = figure.split(">", 1)[0]
    assert not re.search(r"\s(width|height)=", head)
    assert re.search(r'viewBox="0 0 288 216"', head)


def test_its_colors_are_variables_of_the_site(figure):
    assert not re.findall(r"#[0-9a-f]{6}\b", figure)
    for variable in ("paper", "ink", "grid", "1", "2"):
        assert f"var(--figure-{variable})" in figure


def test_every_color_of_the_style_has_a_variable():
    style = matplotlib.rc_params_from_file(STYLE, use_default_template=False)
    colors = {value for name, value in style.items() if name.endswith("color")}
    colors |= set(style["axes.prop_cycle"].by_key()["color"])
    assert {to_hex(color) for color in colors} == set(VARIABLES)


def test_every_variable_is_defined_for_light_and_for_dark():
    css = (STYLE.parents[1] / "docs/assets/site.css").read_text(encoding="utf-8")
    for variable in VARIABLES.values():
        assert len(re.findall(rf"{variable}:", css)) >= 2, variable


def test_its_ids_are_unique_and_begin_with_its_name(figure):
    found = ids(figure)
    assert len(found) == len(set(found))
    assert all(one.startswith("demo-draw_line-") for one in found)


def test_two_figures_share_no_id(raw):
    one, other = for_page(raw, "a", "A."), for_page(raw, "b", "B.")
    assert not set(ids(one)) & set(ids(other))


def test_every_reference_leads_to_an_id(figure):
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', figure)
    assert references
    assert {one or other for one, other in references} <= set(ids(figure))


def test_a_screen_reader_is_told_what_it_shows(figure):
    root = ElementTree.fromstring(
        figure.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)
    )
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == title.get("id")
    assert title.text == 'Rises & "stays" < 1'


def test_its_words_stay_text_in_one_font(figure):
    assert re.search(r"<text[^>]*>stays</text>", figure)
    fonts = set(re.findall(r"font-family: ([^;\"]+)", figure))
    assert fonts == {"'DejaVu Sans',Verdana,sans-serif"}


def test_it_names_no_other_host(figure):
    assert set(re.findall(r"https?://[^/\"]+", figure)) == {"http://www.w3.org"}


def test_the_same_drawing_gives_the_same_figure(raw):
    assert for_page(raw, "a", "A.") == for_page(raw, "a", "A.")
