"""Where MkDocs calls us: the only module that knows MkDocs' events."""

import json
import logging
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import markdown
from jinja2 import Environment, FileSystemBytecodeCache
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import CombinedEvent, event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import DuplicateFilter, get_relative_url
from mkdocs.utils.templates import TemplateContext

from book import write_epub
from directives import Expander
from early_layout import with_lines, with_passages, wrapped_tables
from errors import ContentError
from execution import Execution
from fonts import write_subsets
from glossary import abbreviations, explained_once
from notebooks import slim
from pages import Source, SourcePage
from python_in_page import pyodide_files
from related import related
from search import with_distinct_nodes
from security import with_policy
from site_model import SiteModel, load_site
from stylesheet import with_one_sheet, write_sheet
from take_along import (
    anki_package,
    book,
    feed,
    last_changes,
    plain_page,
    references,
    service_worker,
    table_of_contents,
    zip_site,
)
from tex import read_out_marked, read_typeset, typeset_marked, write_typeset

ROOT = Path(__file__).parents[1]
NODE_MODULES = ROOT / "node_modules"
# the site's address → what npm or make has put into node_modules
FROM_NODE_MODULES = {
    "assets/study.js": ".study.js",
    "assets/review.js": ".review.js",
    "assets/katex/katex.min.css": "katex/dist/katex.min.css",
    **{
        f"assets/katex/fonts/{font.name}": f"katex/dist/fonts/{font.name}"
        for font in sorted((NODE_MODULES / "katex/dist/fonts").glob("*.woff2"))
    },
    **{
        f"assets/fonts/{family}-latin-{cut}.woff2": (
            f"@fontsource/{family}/files/{family}-latin-{cut}.woff2"
        )
        for family, cuts in {
            "source-serif-4": ("400-normal", "400-italic", "600-normal"),
            "source-code-pro": ("400-normal",),
        }.items()
        for cut in cuts
    },
}

# the site's address → what runs a snippet in the reader's browser
RUNNER = {
    "assets/run/panel.js": NODE_MODULES / ".panel.js",
    "assets/run/worker.mjs": ROOT / "browser/worker.mjs",
    "assets/run/runner.py": ROOT / "browser/runner.py",
    "assets/run/figures.py": ROOT / "hooks/figures.py",
    "assets/run/figures.mplstyle": ROOT / "hooks/figures.mplstyle",
}

UNNAMED_DIALOG = 'data-md-component="search" role="dialog"'  # the theme's

UNREAD = re.compile(r"</?span[^>]*>|<svg\b.*?</svg>", re.S)  # by the search

_site: SiteModel
_parser: markdown.Markdown
_related: dict[str, list[str]] = {}
_plain: dict[str, str] = {}  # a page's key → its Markdown, to take along
_whole: dict[str, str] = {}  # a page's address → its whole content
_archives: dict[str, bytes] = {}  # what is taken along as a file, by its name
_serving = False
_pyodide: dict[str, Path] = {}


def on_startup(command: str, dirty: bool) -> None:
    """Know what is asked for, and keep mkdocs-jupyter's daily report to itself."""
    global _serving, _pyodide
    _serving = command == "serve"
    needed = (*FROM_NODE_MODULES.values(), ".panel.js", "pyodide", "@dagrejs/dagre")
    if missing := [path for path in needed if not (NODE_MODULES / path).exists()]:
        raise ContentError(
            "node_modules",
            f"{', '.join(missing)}: not there",
            "`make build` or `make serve` puts it there; mkdocs alone does not",
        )
    _pyodide = pyodide_files(NODE_MODULES / "pyodide", ROOT / ".cache/pyodide")
    for name in ("mkdocs.mkdocs-jupyter", "mkdocs.plugins.mkdocs_jupyter"):
        logging.getLogger(name).setLevel(logging.WARNING)


def on_pre_build(config: MkDocsConfig) -> None:
    """Tell an error again if it is still there: MkDocs says nothing twice."""
    for known in logging.getLogger("mkdocs.commands.build").filters:
        if isinstance(known, DuplicateFilter):
            known.msgs.clear()


@event_priority(100)  # before mkdocs-jupyter looks for notebooks
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Gather and check everything; add what is not written in `docs/`."""
    global _site, _parser
    _parser = markdown.Markdown(
        extensions=config.markdown_extensions,
        extension_configs=config.mdx_configs or {},
    )
    for half in (ROOT / ".cache/mkdocs-jupyter").glob("*.json"):
        try:
            json.loads(half.read_text(encoding="utf-8"))
        except ValueError:  # mkdocs-jupyter was interrupted while it wrote
            half.unlink()
    _site = load_site(
        Path(config.docs_dir), ROOT / "snippets", ROOT / ".cache/snippets"
    )
    texts = {key: (Path(config.docs_dir) / f"{key}.md") for key in _site.pages}
    read_typeset(ROOT / ".cache")
    _related.update(
        related({k: p.read_text(encoding="utf-8") for k, p in texts.items()}, 3)
    )
    added = {
        address: NODE_MODULES / path for address, path in FROM_NODE_MODULES.items()
    }
    if _pyodide:
        added |= RUNNER
        added |= {f"assets/pyodide/{name}": path for name, path in _pyodide.items()}
    for name, execution in _site.executions.items():
        added[f"snippets/{name}.py"] = execution.snippet.path
        files.append(
            File(
                f"snippets/{name}.ipynb",
                str(execution.path.parents[1]),  # laid out as docs/ is
                config.site_dir,
                config.use_directory_urls,
            )
        )
    for address, path in added.items():
        files.append(File.generated(config, address, abs_src_path=str(path)))
    return files


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Expand directives; give a source's page its title and header card."""
    if _execution(page):
        return text  # a notebook's JSON, which mkdocs-jupyter reads by itself
    expander = _expander(page, config)
    if expander.page:
        _plain[expander.page.key] = plain_page(expander, text)
        # a topic is what its own name asks for, though other pages say it more often
        page.meta["search"] = {"boost": 4 if page.is_index else 2}
        page.meta["tags"] = _tags(page, expander.page)
        near = [_site.pages[key] for key in _related[expander.page.key]]
        text = (
            f"# {expander.page.facts.title}\n\n{expander.card()}\n\n{text}\n\n"
            + expander.block("related", pages=near)
        )
    return f"{expander.expand(text)}\n\n{abbreviations(_site.glossary)}"


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Explain terms once; slim a notebook page and give it its header."""
    # the tags are set in their places; the search would put them above all words
    page.meta.pop("tags", None)
    execution = _execution(page)
    if execution is None:
        return explained_once(html)
    title, rest = slim(html, execution).split("</h1>", 1)  # Snippet.title checked it
    card = _expander(page, config).block("notebook-card", execution=execution)
    return f"{title}</h1>\n{card}\n{rest}"


def _bare(context: TemplateContext, /, page: Page, **_: object) -> None:
    """Let the search read formulas as text, and no figures or marks that colour code.

    The latter are most of a page's tags and none of its words.
    """
    _whole[page.url] = page.content or ""
    read_out = read_out_marked(_whole[page.url], _where(page))
    page.content = UNREAD.sub("", read_out)


def _whole_again(context: TemplateContext, /, page: Page, **_: object) -> None:
    page.content = _whole.pop(page.url)


on_page_context = CombinedEvent(
    event_priority(100)(_bare), event_priority(-100)(_whole_again)
)


def on_env(env: Environment, config: MkDocsConfig, files: Files) -> Environment:
    """Keep the theme's templates compiled from build to build."""
    compiled = ROOT / ".cache/templates"
    compiled.mkdir(parents=True, exist_ok=True)
    env.bytecode_cache = FileSystemBytecodeCache(str(compiled))
    return env


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Lay out, typeset, link one sheet and fix the policy, once the page is whole."""
    output = with_one_sheet(output)
    output = output.replace(UNNAMED_DIALOG, f'{UNNAMED_DIALOG} aria-label="Search"')
    output = with_lines(wrapped_tables(output))
    if _execution(page) or page.file.src_uri.removesuffix(".md") in _site.pages:
        output = with_passages(output, _where(page))
    output = typeset_marked(output, _where(page))
    # while serving, MkDocs adds a script that reloads the page, different each time
    return output if _serving else with_policy(output)


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """The page for addresses that do not exist is like the others."""
    if template_name != "404.html":
        return output
    return with_policy(with_one_sheet(output))


@event_priority(-200)  # after the plugins: the zip has what they write
def on_post_build(config: MkDocsConfig) -> None:
    """Join the style sheets and cut the fonts, now that all pages are there."""
    write_typeset(ROOT / ".cache")
    site = Path(config.site_dir)
    # main before palette
    theme = sorted(site.glob("assets/stylesheets/*.css"))
    write_sheet(
        site,
        [*(path.relative_to(site).as_posix() for path in theme), *config.extra_css],
    )
    write_subsets(site, ROOT / ".cache/fonts")
    [search] = site.glob("assets/javascripts/workers/search.*.min.js")
    mended = with_distinct_nodes(search.read_text(encoding="utf-8"))
    search.write_text(mended, encoding="utf-8")
    _write_what_is_taken_along(site, config)


def _write_what_is_taken_along(site: Path, config: MkDocsConfig) -> None:
    for key, text in _plain.items():
        (site / f"{key}.md").write_text(text, encoding="utf-8")
    (site / "references.bib").write_text(references(_site), encoding="utf-8")
    contents = table_of_contents(_site, config.site_name, config.site_description or "")
    (site / "llms.txt").write_text(contents, encoding="utf-8")
    changes = last_changes(ROOT, list(_site.in_reading_order))
    text = feed(_site, config.site_name, changes)
    (site / "feed.xml").write_text(text, encoding="utf-8")
    expander = Expander(_site, "the deck", None, "", partial(_fragment, _parser))
    (site / "assets/figures").mkdir(exist_ok=True)
    for execution in _site.executions.values():
        for name, svg in execution.figure_files().items():
            (site / "assets/figures" / name).write_text(svg, encoding="utf-8")
    first = datetime(1980, 1, 1, tzinfo=UTC)  # where git knows nothing
    changed = max(map(datetime.fromisoformat, changes.values()), default=first)
    about = config.site_description or ""
    if not (_serving and _archives):  # while serving, they are of the first build
        (site / "rederived.apkg").write_bytes(anki_package(expander))
        whole = book(expander, config.site_name, about, _plain, changed)
        epub = write_epub(whole, site, ROOT / ".cache/book")
        (site / "rederived.epub").write_bytes(epub)
        zip_site(site, site / "rederived.zip")
        for path in site.glob("rederived.*"):
            _archives[path.name] = path.read_bytes()
    for name, archive in _archives.items():
        (site / name).write_bytes(archive)
    # an author wants the page as it is now, and no worker that outlives the server
    worker = (
        "// While serving, nothing is kept.\n" if _serving else service_worker(site)
    )
    (site / "sw.js").write_text(worker, encoding="utf-8")


def _execution(page: Page) -> Execution | None:
    path = Path(page.file.src_uri)
    return _site.executions.get(path.stem) if path.suffix == ".ipynb" else None


def _tags(page: Page, source: SourcePage) -> list[str]:
    """By topic, kind, level and year."""
    facts = source.facts
    year = [str(facts.year)] if isinstance(facts, Source) else []
    topic = [page.parent.title] if page.parent and page.parent.title else []
    return [*topic, facts.kind, facts.level, *year]


def _where(page: Page) -> str:
    """The file that an author edits."""
    path = Path(page.file.src_uri)
    return str(path.with_suffix(".py")) if path.suffix == ".ipynb" else f"docs/{path}"


def _expander(page: Page, config: MkDocsConfig) -> Expander:
    source = page.file.src_uri
    return Expander(
        site=_site,
        where=_where(page),
        page=_site.pages.get(source.removesuffix(".md")),
        to_root=get_relative_url(".", page.url).rstrip("/") + "/",
        markdown=partial(_fragment, _parser),
        python_in_page=bool(_pyodide),
    )


def _fragment(parser: markdown.Markdown, text: str) -> str:
    """A line or more of Markdown as HTML; a single paragraph without its mark."""
    html = str(parser.reset().convert(text))
    single = html.startswith("<p>") and html.find("</p>") == len(html) - len("</p>")
    return html.removeprefix("<p>").removesuffix("</p>") if single else html
