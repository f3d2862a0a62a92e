"""The theme's search, mended: numbers on a page can make it fail.

Its engine, lunr, keeps the words as a graph and merges nodes that go on alike. It tells
nodes apart by a text: for each edge a letter and the number of the node behind it, run
together. Where letters are digits, two different nodes may have one text. Merged, they
spell words that no page has, and a search that meets one stops with an error.
"""

NODE = "e=e+s+o.id}"
DISTINCT_NODE = 'e=e+s+o.id+","}'


def with_distinct_nodes(script: str) -> str:
    """The search script with a comma after each number, so that no two texts meet."""
    if script.count(NODE) != 1:
        raise ValueError(f"the theme's search no longer names its nodes by `{NODE}`")
    return script.replace(NODE, DISTINCT_NODE)
