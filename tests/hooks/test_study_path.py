"""How the pages build on one another: what is refused, what is drawn, what is told."""

import re

import numpy as np
import pytest

from errors import ContentError
from study_path import Box, Branch


@pytest.fixture
def load(project):
    """The path through pages of which each is given with what it needs."""

    def load(needs: dict[str, list[str]], **tracks: list[str]):
        for key, needed in needs.items():
            facts = {**project.page, "title": f"On {key}", "needs": needed}
            if key == "engines/notes":
                project.page = facts
            else:
                project.write_page(key, facts, project.body)
                project.entries.append({"page": key})
        if tracks:
            listed = [
                {"title": title, "about": "A way.", "pages": pages}
                for title, pages in tracks.items()
            ]
            facts = {"title": "Path", "description": "All.", "tracks": listed}
            project.write_page("path", facts, "::: path\n")
        return project.load().path

    return load


# notes → a → c, notes → b → c, notes → c
DIAMOND = {
    "engines/notes": [],
    "a": ["engines/notes"],
    "b": ["engines/notes"],
    "c": ["engines/notes", "a", "b"],
}


def keys(branches: list[Branch]) -> dict:
    return {branch.page.key: keys(branch.opens) for branch in branches}


def test_depth_counts_the_longest_way(load):
    assert load(DIAMOND).depths == {"engines/notes": 0, "a": 1, "b": 1, "c": 2}


def test_the_tree_has_every_page_once_below_the_last_it_needs(load):
    path = load(DIAMOND)
    assert keys(path.tree) == {"engines/notes": {"a": {"c": {}}, "b": {}}}
    [root] = path.tree
    c = root.opens[0].opens[0]
    assert [page.key for page in c.also_needs] == ["engines/notes", "b"]


def test_what_a_page_needs_and_what_it_opens(load):
    path = load(DIAMOND)
    assert [p.key for p in path.needed_by(path.pages["c"])] == DIAMOND["c"]
    assert [p.key for p in path.opened_by(path.pages["a"])] == ["c"]
    assert path.opened_by(path.pages["c"]) == []


def test_the_drawing_goes_from_left_to_right_and_nothing_overlaps(load):
    drawing = load(DIAMOND).drawing
    boxes = {box.key: box for box in drawing.boxes}
    assert boxes.keys() == DIAMOND.keys()
    for key, needed in DIAMOND.items():
        for other in needed:
            assert boxes[other].x + boxes[other].width < boxes[key].x
    a, b = boxes["a"], boxes["b"]
    assert a.y + a.height < b.y or b.y + b.height < a.y
    for box in drawing.boxes:
        assert box.x >= 0
        assert box.y >= drawing.top
        assert box.x + box.width <= drawing.width
        assert box.y + box.height <= drawing.top + drawing.height


def along(line: str) -> list[tuple[float, float]]:
    """Points close together on a path of level pieces and curves (M, H and C)."""
    points: list[tuple[float, float]] = []
    for command, numbers in re.findall(r"([MHC])([^MHC]+)", line):
        ends = [float(number) for number in re.findall(r"[-\d.]+", numbers)]
        if command == "C":
            corners = np.array([points[-1], ends[:2], ends[2:4], ends[4:]])
        else:
            y = points[-1][1] if points else ends[1]
            corners = np.array([points[-1] if points else ends] + 3 * [(ends[0], y)])
        t = np.linspace(0, 1, 51)[:, None]
        shares = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3]
        points += map(tuple, np.hstack(shares) @ corners)
    return points


def box_at(x: float, y: float, boxes: list[Box]) -> str:
    for box in boxes:
        if 0 <= x - box.x <= box.width and 0 <= y - box.y <= box.height:
            return box.key
    return ""


def test_a_line_is_behind_the_two_boxes_it_joins_and_no_other(load):
    # a fan of wide boxes, and ways that pass by some of them
    fan = {f"a-page-with-a-long-name-{n}": ["engines/notes"] for n in range(9)}
    needs = {
        "engines/notes": [],
        **fan,
        "beyond": ["engines/notes", *list(fan)[:2]],
        "last": [*fan, "beyond"],
    }
    drawing = load(needs).drawing
    joined = set()
    for line in drawing.lines:
        met = [box_at(x, y, drawing.boxes) for x, y in along(line)]
        [first, last] = dict.fromkeys(key for key in met if key)
        joined.add((first, last))
        assert (np.diff([x for x, _ in along(line)]) > -0.1).all()  # never back
    assert joined == {(needed, key) for key in needs for needed in needs[key]}


@pytest.mark.parametrize("seed", range(4))
def test_no_line_leaves_the_drawing(load, seed):
    """In some random graphs a line passes above or below all boxes."""
    rng = np.random.default_rng(seed)
    needs: dict[str, list[str]] = {}
    for n in range(16):
        needs[f"page-{n}"] = [key for key in needs if rng.random() < 0.3]
    drawing = load(needs).drawing
    for line in drawing.lines:
        heights = [y for _, y in along(line)]
        assert drawing.top <= min(heights)
        assert max(heights) <= drawing.top + drawing.height


def test_a_title_is_broken_into_lines_that_fit_its_box(project):
    project.page["title"] = "A title that is a good deal longer than a box is wide"
    [box] = project.load().path.drawing.boxes
    assert " ".join(box.lines) == project.page["title"]
    assert len(box.lines) == 3
    assert box.height > 3 * 18


def test_a_circle_is_refused_and_named(load):
    with pytest.raises(ContentError) as error:
        load({"engines/notes": ["b"], "a": ["engines/notes"], "b": ["a"]})
    message = str(error.value)
    assert "goes round in a circle" in message
    assert {"engines/notes", "a", "b"} <= set(re.findall(r"[\w/]+", message))
    assert "\n  Cure: " in message


@pytest.mark.parametrize(
    ("pages", "fault"),
    [
        (["a", "looms"], "`looms`, and there is no such page"),
        (["a", "engines/notes"], "`a` before `engines/notes`, which it needs"),
        (["a", "b", "a"], "`a` twice"),
    ],
)
def test_a_track_out_of_order_is_refused(load, pages, fault):
    with pytest.raises(ContentError) as error:
        load(DIAMOND, Tour=pages)
    message = str(error.value)
    assert message.startswith("docs/path.md: the track “Tour”")
    assert fault in message


def test_a_track_may_begin_in_the_middle(load):
    load(DIAMOND, Tour=["a", "c"])
