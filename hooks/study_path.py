"""How the pages build on one another: checked, laid out as a graph, told as a tree."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import dukpy

from errors import ContentError
from pages import SourcePage

DAGRE = Path(__file__).parents[1] / "node_modules/@dagrejs/dagre/dist/dagre.min.js"
LINE, WIDEST = 18, 20  # a line of a box: its height in pixels, its letters
LETTER = 7.6  # the width of a letter in pixels, on average and a little more
LAY_OUT = """
globalThis.structuredClone = value => JSON.parse(JSON.stringify(value));
var graph = new dagre.graphlib.Graph();
graph.setGraph({rankdir: 'LR', nodesep: 14, ranksep: 56, marginx: 2, marginy: 2});
graph.setDefaultEdgeLabel(function () { return {}; });
dukpy.nodes.forEach(function (node) { graph.setNode(node.key, node); });
dukpy.edges.forEach(function (edge) { graph.setEdge(edge[0], edge[1]); });
dagre.layout(graph);
({
  size: graph.graph(),
  nodes: graph.nodes().map(function (key) { return graph.node(key); }),
  edges: graph.edges().map(function (edge) {
    // it says where the line is in each column and in each gap: the columns are enough
    var between = graph.edge(edge).points.slice(2, -2).filter(function (point, place) {
      return place % 2 == 0;
    });
    return [graph.node(edge.v)].concat(between, graph.node(edge.w));
  })
})
"""


@dataclass(frozen=True)
class Box:
    """A page in the drawing: its address, its lines of text, its corner and size."""

    key: str
    lines: list[str]
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Drawing:
    """The graph laid out from left to right: boxes, and lines as SVG paths.

    `top` is below zero where a line passes above all boxes.
    """

    top: float
    width: float
    height: float
    boxes: list[Box]
    lines: list[str]


@dataclass(frozen=True)
class Branch:
    """A page in the tree, and those that it is the last step before."""

    page: SourcePage
    also_needs: list[SourcePage]
    opens: list["Branch"]


@dataclass(frozen=True)
class StudyPath:
    """The pages in reading order, each with what it needs."""

    pages: Mapping[str, SourcePage]

    def __post_init__(self) -> None:
        for page in self.pages.values():
            for needed in page.facts.needs:
                if needed not in self.pages:
                    raise ContentError(
                        page.where,
                        f"`needs`: there is no page `{needed}`",
                        f"choose from {', '.join(self.pages)}",
                    )
        needs = {key: page.facts.needs for key, page in self.pages.items()}
        try:
            TopologicalSorter(needs).prepare()
        except CycleError as error:
            cycle = error.args[1]
            raise ContentError(
                self.pages[cycle[0]].where,
                "`needs` goes round in a circle: " + " → ".join(cycle),
                "take one of these pages out of the `needs` of the next",
            ) from error

    def needed_by(self, page: SourcePage) -> list[SourcePage]:
        """What a page asks its reader to know."""
        return [self.pages[key] for key in page.facts.needs]

    def opened_by(self, page: SourcePage) -> list[SourcePage]:
        """The pages that ask for this one."""
        return [other for other in self.pages.values() if page.key in other.facts.needs]

    @cached_property
    def depths(self) -> dict[str, int]:
        """How many pages lie before each, along the longest way."""
        found: dict[str, int] = {}
        needs = {key: page.facts.needs for key, page in self.pages.items()}
        for key in TopologicalSorter(needs).static_order():
            found[key] = 1 + max((found[needed] for needed in needs[key]), default=-1)
        return found

    @cached_property
    def tree(self) -> list[Branch]:
        """Every page once, below the last one that it needs."""
        return self._branches(None)

    def _branches(self, above: str | None) -> list[Branch]:
        found = []
        for page in self.pages.values():
            parent = max(page.facts.needs, key=self.depths.__getitem__, default=None)
            if parent == above:
                others = [p for p in self.needed_by(page) if p.key != parent]
                found.append(Branch(page, others, self._branches(page.key)))
        return found

    @cached_property
    def drawing(self) -> Drawing:
        """The graph as dagre lays it out."""
        titles = {
            key: textwrap.wrap(page.facts.title, WIDEST)
            for key, page in self.pages.items()
        }
        nodes = [
            {
                "key": key,
                "width": round(LETTER * max(map(len, lines)) + 16),
                "height": LINE * len(lines) + 12,
            }
            for key, lines in titles.items()
        ]
        edges = [
            [needed, key] for key, p in self.pages.items() for needed in p.facts.needs
        ]
        engine = dukpy.JSInterpreter()
        engine.evaljs(DAGRE.read_text(encoding="utf-8") + "; 0")
        laid = engine.evaljs(LAY_OUT, nodes=nodes, edges=edges)
        half: dict[int, float] = {}  # of a column's width, by its middle
        for node in laid["nodes"]:
            column = round(node["x"])
            half[column] = max(half.get(column, 0), node["width"] / 2)
        heights = [0, laid["size"]["height"]]
        heights += [
            p["y"] + side for edge in laid["edges"] for p in edge for side in (-2, 2)
        ]
        return Drawing(
            min(heights),
            laid["size"]["width"],
            max(heights) - min(heights),
            [
                Box(
                    node["key"],
                    titles[node["key"]],
                    round(node["x"] - node["width"] / 2, 1),
                    round(node["y"] - node["height"] / 2, 1),
                    node["width"],
                    node["height"],
                )
                for node in laid["nodes"]
            ],
            [_line([(p["x"], p["y"]) for p in edge], half) for edge in laid["edges"]],
        )


def _line(points: list[tuple[float, float]], half: dict[int, float]) -> str:
    """From the middle of a box to that of another, behind these two and no other.

    It is level across a column, where dagre has left room for it, and curved between.
    """
    path = "M{:.1f},{:.1f}".format(*points[0])
    for (x, y), (next_x, next_y) in pairwise(points):
        leave, enter = x + half[round(x)], next_x - half[round(next_x)]
        turn = (leave + enter) / 2
        path += f"H{leave:.1f}C{turn:.1f},{y:.1f} {turn:.1f},{next_y:.1f} "
        path += f"{enter:.1f},{next_y:.1f}"
    return path + f"H{points[-1][0]:.1f}"
