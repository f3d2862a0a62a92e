"""`make new`: lay out a source's page, a snippet and its tests, and list the page.

Takes KEY, URL, TITLE and SNIPPET from the environment, where make puts what it was
given, and asks for what is missing. Everything is checked before anything is written.
"""

import io
import keyword
import os
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import jinja2
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SLUG = "[a-z0-9]+(-[a-z0-9]+)*"
NOT_FOR_SOURCES = ("assets", "snippets")  # folders of docs/
OF_TESTS = ("browser", "hooks", "tests", "tests/site", "tools")  # on the tests' path
NOT_FOR_SNIPPETS = {
    *keyword.kwlist,
    *sys.stdlib_module_names,
    # a test would import the snippet instead
    *packages_distributions(),
    *(path.stem for folder in OF_TESTS for path in (ROOT / folder).iterdir()),
}
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
)
YAML_AS_WRITTEN = YAML()  # keeps comments and layout
YAML_AS_WRITTEN.preserve_quotes = True
YAML_AS_WRITTEN.width = 1_000_000
YAML_AS_WRITTEN.indent(mapping=2, sequence=4, offset=2)


def main() -> None:
    """Ask, lay out, and say what comes next; a wrong answer ends it in one line."""
    try:
        key = answer("KEY", "key, <folder>/<slug>, such as recurrent/olah-lstm")
        url = answer("URL", "URL of the original")
        title = answer("TITLE", "its title")
        name = os.environ.get("SNIPPET") or key.split("/")[-1].replace("-", "_")
        said = lay_out(ROOT, key, url, title, name)
    except ValueError as error:
        sys.exit(f"make new: {error}")
    print(*said, "`make serve` says what is missing, one thing at a time.", sep="\n")


def answer(name: str, question: str) -> str:
    """What make was given under `name`, or else what is typed."""
    given = os.environ.get(name)
    try:
        return given if given is not None else input(f"{name} ({question}): ").strip()
    except EOFError:
        raise ValueError(f"no {name} ({question}): give {name}=…") from None


def lay_out(root: Path, key: str, url: str, title: str, name: str) -> list[str]:
    """Write the three files under `root`, list the page, and say what was done.

    key: `folder/slug`; name: of the snippet. Raises ValueError where one of the four
    will not do or something stands where a file would go; then nothing is written.
    """
    if not re.fullmatch(f"{SLUG}/{SLUG}", key):
        raise ValueError(
            f"KEY is <folder>/<slug>, of a-z, 0-9 and hyphens, not “{key}”"
        )
    if key.split("/")[0] in NOT_FOR_SOURCES:
        raise ValueError(
            f"docs/{key.split('/')[0]}/ is not for sources; choose a folder"
        )
    if not re.fullmatch(r"https?://[^\s/]+\.[^\s/]+(/\S*)?", url):
        raise ValueError(
            f"URL is an address such as https://example.org/a, not “{url}”"
        )
    if not title.strip() or not title.isprintable() or '"""' in title:
        raise ValueError(f"TITLE is one line of text, not {title!r}")
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or name in NOT_FOR_SNIPPETS:
        raise ValueError(
            f"SNIPPET is the name of a new module, not “{name}”; give SNIPPET=a_name"
        )

    index, config = root / "docs/index.md", root / "mkdocs.yml"
    front_matter, body = index.read_text(encoding="utf-8").split("\n---\n", 1)
    home = YAML_AS_WRITTEN.load(front_matter.removeprefix("---\n"))
    facts, place = enter(home["reading_list"], key, url, title)
    site = YAML_AS_WRITTEN.load(config.read_text(encoding="utf-8"))
    section = enter_in_nav(site["nav"], key, list(pages(home["reading_list"])))

    origin = f"**Source:** *{title}*"
    if facts["authors"] and facts["year"]:
        origin = (
            f"**Source:** {', '.join(facts['authors'])}, *{title}* ({facts['year']})"
        )
    context = {"name": name, "facts": as_yaml(facts), "origin": origin}
    new = {
        root / path: TEMPLATES.get_template(template).render(context)
        for path, template in {
            f"docs/{key}.md": "page.md.jinja",
            f"snippets/{name}.py": "snippet.py.jinja",
            f"tests/snippets/test_{name}.py": "test.py.jinja",
        }.items()
    }
    for path in new:
        if path.exists():
            raise ValueError(f"{path.relative_to(root)} exists; nothing is overwritten")
    changed = {index: f"---\n{as_yaml(home)}---\n{body}", config: as_yaml(site)}
    for path, text in (new | changed).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    said = [*(f"{path.relative_to(root)}: laid out" for path in new), place]
    if section:
        said.append(f"mkdocs.yml: nav has a new section, “{section}”")
    return said


def enter(
    reading_list: list[Any], key: str, url: str, title: str
) -> tuple[dict[str, Any], str]:
    """Let the list name the page; return what it knew of the source, and the place.

    Where the list has the source's URL, the page takes that entry's place; else it
    stands after the pages of its folder, or, where there are none, last of all.
    """
    if key in pages(reading_list):
        raise ValueError(f"the reading list has `page: {key}` already")
    for heading in reading_list:
        for number, entry in enumerate(heading["entries"]):
            if entry.get("source", {}).get("url") == url:
                heading["entries"][number] = {"page": key}
                facts = {
                    k: None if v == "unknown" else v for k, v in entry["source"].items()
                }
                place = f"takes the source's place under “{heading['heading']}”"
                return facts | {"title": title}, f"docs/index.md: the page {place}"
    if not url.startswith("https://"):
        raise ValueError(f"URL begins with https:// unless it is listed, not “{url}”")
    folder = key.split("/")[0] + "/"
    of_folder = [
        h for h in reading_list if any(p.startswith(folder) for p in pages([h]))
    ]
    heading = (of_folder or reading_list)[-1]
    entries = heading["entries"]
    beside = [n for n, e in enumerate(entries) if e.get("page", "").startswith(folder)]
    entries.insert(beside[-1] + 1 if beside else len(entries), {"page": key})
    facts = {"title": title, "authors": [], "year": None, "kind": None, "url": url}
    return facts | {"minutes": None}, (
        "docs/index.md: the page stands last of its folder under "
        f"“{heading['heading']}”; "
        "move it to where it is best read, there and in nav of mkdocs.yml"
    )


def enter_in_nav(nav: list[Any], key: str, order: list[str]) -> str | None:
    """Put the page into its folder's section in reading order; or a new one's title."""
    folder = key.split("/")[0]
    earlier = {f"{k}.md" for k in order[: order.index(key)]}
    later = {f"{k}.md" for k in order[order.index(key) :]}
    end = 0
    for number, item in enumerate(nav):
        section = next(iter(item.values()))
        if not isinstance(section, list):
            continue
        paths = [p if isinstance(p, str) else next(iter(p.values())) for p in section]
        if any(path.startswith(f"{folder}/") for path in paths):
            following = [n for n, path in enumerate(paths) if path in later]
            section.insert(following[0] if following else len(section), f"{key}.md")
            return None
        if earlier.intersection(paths):
            end = number
    title = folder.replace("-", " ").capitalize()
    nav.insert(end + 1, {title: [f"{key}.md"]})
    return title


def pages(reading_list: list[Any]) -> Iterator[str]:
    """The keys of the pages, in reading order."""
    for heading in reading_list:
        for entry in heading["entries"]:
            if "page" in entry:
                yield entry["page"]


def as_yaml(data: Any) -> str:
    """YAML as it was written, with what has changed."""
    text = io.StringIO()
    YAML_AS_WRITTEN.dump(data, text)
    return text.getvalue()


if __name__ == "__main__":
    main()
