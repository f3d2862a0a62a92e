"""What a source's page says of itself, and the reading list: the front matter, typed.

Everything here fails with page, field and cure; nothing is guessed.
"""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PositiveInt,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from errors import ContentError

HEADINGS = (
    "In one paragraph",
    "What it teaches",
    "From the equations to code",
    "Numbers, computed again",
    "What has changed since",
    "Check yourself",
    "Cite",
)
FENCE = re.compile(r"^(?P<mark>`{3,}|~{3,}).*?^(?P=mark)", re.M | re.S)
KINDS = Literal["paper", "post", "notes", "video", "chapter", "course"]
FRONT_MATTER = re.compile(r"\A---\n(?P<yaml>.*?)\n---\n(?P<body>.*)\Z", re.S)
PYTHON_FENCE = re.compile(r"^```python[^\n]*\n(.*?)^```", re.M | re.S)
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _within_is_known(text: str) -> str:
    if text != "rounding":
        bound = _finite(text.removesuffix("%").strip())
        if bound is None or bound <= 0:
            raise ValueError(f"“{text}” is neither `rounding`, nor 0.01, nor 5 %")
    return text


Within = Annotated[Text, AfterValidator(_within_is_known)]


class Loader(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]
    """YAML whose scalars stay text and whose keys stand once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        """A mapping; the same key twice is an error."""
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(
                    problem=f"the key `{key}` stands twice",
                    problem_mark=node.start_mark,
                )
        return super().construct_mapping(node, deep)


class Facts(BaseModel):
    """A record of facts: no field may be unknown, so that a slip of the pen is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


AnyFacts = TypeVar("AnyFacts", bound=Facts)


class NumberRow(Facts):
    """One number of the source: what it says, where, and what computes it again."""

    what: Text
    where: Text
    says: Text
    ours: Text
    unit: str = ""
    within: Within | None = None
    verdict: Literal["holds", "differs"] = "holds"
    why: Text | None = None

    @field_validator("says")
    @classmethod
    def _says_is_a_number(cls, text: str) -> str:
        if _finite(text) is None:
            raise ValueError(f"“{text}” is not a plain number such as 51600 or 3.3e18")
        return text

    @model_validator(mode="after")
    def _differs_says_why(self) -> "NumberRow":
        if (self.verdict == "differs") != (self.why is not None):
            raise ValueError("`why` belongs to every row that differs, and to no other")
        return self

    @property
    def tolerance(self) -> Decimal:
        """How far ours may be from what the source says: zero where none is stated."""
        return tolerance(Decimal(self.says), self.within)

    def truth(self, ours: float) -> Literal["holds", "differs"]:
        """The verdict that the computed value deserves."""
        if self.within is None:
            return "holds" if float(self.says) == ours else "differs"
        distance = abs(Decimal(repr(float(ours))) - Decimal(self.says))
        return "holds" if distance <= self.tolerance else "differs"


class Question(Facts):
    """A question to check oneself: open, by choice among answers, or for a number.

    `right` counts from 1; `number` is a plain number or `snippet.key`; `see` is the
    anchor of the heading, on the same page, under which the answer is explained.
    """

    ask: Text
    answer: Text
    choices: Annotated[list[Text], Field(min_length=2)] | None = None
    right: Annotated[list[PositiveInt], Field(min_length=1)] | None = None
    number: Text | None = None
    within: Within | None = None
    see: Text | None = None

    @field_validator("right", mode="before")
    @classmethod
    def _one_or_several(cls, right: str | list[str]) -> list[str]:
        return [right] if isinstance(right, str) else right

    @field_validator("number")
    @classmethod
    def _number_or_reference(cls, text: str) -> str:
        if _finite(text) is None and not re.fullmatch(r"\w+\.\w+", text):
            raise ValueError(f"“{text}” is neither a plain number nor snippet.key")
        return text

    @model_validator(mode="after")
    def _one_form(self) -> "Question":
        if self.choices and self.number:
            raise ValueError("give `choices` or `number`, not both")
        if (self.choices is None) != (self.right is None):
            raise ValueError("`choices` and `right` belong together")
        if self.choices and self.right:
            if len(set(self.right)) < len(self.right):
                raise ValueError(f"`right` names a choice twice: {self.right}")
            if max(self.right) > len(self.choices):
                raise ValueError(
                    f"`right` is {max(self.right)}, but there are "
                    f"{len(self.choices)} choices"
                )
        if self.within and not self.number:
            raise ValueError("`within` belongs to a `number`")
        return self


class Exercise(Facts):
    """Something to try, with a solution that stays folded.

    A graded one has a `start`, code to be completed, and a `check`: assertions that
    run after it. The solution's block of code, in the place of `start`, passes them.
    """

    task: Text
    hints: list[Text] = []
    start: Text | None = None
    check: Text | None = None
    solution: Text

    @property
    def code_of_solution(self) -> list[str]:
        """The blocks of Python in the solution."""
        return PYTHON_FENCE.findall(self.solution)

    @model_validator(mode="after")
    def _graded_or_not(self) -> "Exercise":
        if (self.start is None) != (self.check is None):
            raise ValueError("`start` and `check` belong together")
        if self.start and len(self.code_of_solution) != 1:
            raise ValueError("the solution of a graded exercise is one block of Python")
        return self


class Entry(Facts):
    """A source of the reading list, whether or not its page exists."""

    title: Text
    authors: Annotated[list[Text], Field(min_length=1)]
    year: PositiveInt | None
    kind: KINDS
    url: HttpUrl
    minutes: PositiveInt | None
    archive: HttpUrl | None = None
    archive_label: str = "a second place"

    @field_validator("year", "minutes", mode="before")
    @classmethod
    def _unknown(cls, value: str) -> str | None:
        return None if value == "unknown" else value


class PageFacts(Facts):
    """What every page with a ledger says in its front matter."""

    title: Text
    level: Literal["introductory", "intermediate", "advanced"]
    needs: list[Text]
    shows: Text
    description: Text
    snippets: Annotated[list[Text], Field(min_length=1)]
    numbers: Annotated[list[NumberRow], Field(min_length=1)]
    questions: Annotated[list[Question], Field(min_length=5, max_length=8)]
    exercises: Annotated[list[Exercise], Field(min_length=2, max_length=4)]
    bibtex: Text

    @field_validator("bibtex")
    @classmethod
    def _bibtex_has_a_shape(cls, text: str) -> str:
        if not re.match(r"@\w+\{[\w:-]+,", text) or text.count("{") != text.count("}"):
            raise ValueError("not BibTeX, `@kind{key, …}` with its braces closed")
        return text


class Source(PageFacts, Entry):
    """The front matter of a source's page."""

    year: PositiveInt


class Topic(PageFacts):
    """The front matter of a topic's page: it rests on several works, its `bibtex`."""

    kind: Literal["topic"]
    minutes: PositiveInt


class ListedEntry(Facts):
    """A line of the reading list: a page of this site, an original, or a topic note."""

    page: Text | None = None
    source: Entry | None = None
    topic: Text | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> "ListedEntry":
        if [self.page, self.source, self.topic].count(None) != 2:
            raise ValueError("give one of `page`, `source` and `topic`")
        return self


class Heading(Facts):
    """A heading of the reading list with its sources in reading order."""

    heading: Text
    about: Text
    entries: list[ListedEntry]


class ReadingList(Facts):
    """The front matter of the home page."""

    title: Text
    description: Text
    hide: list[Text] = []
    reading_list: Annotated[list[Heading], Field(min_length=1)]


class Track(Facts):
    """Pages that lead somewhere together, in the order in which to read them."""

    title: Text
    about: Text
    pages: Annotated[list[Text], Field(min_length=2)]


class Tracks(Facts):
    """The front matter of the page that draws the path."""

    title: Text
    description: Text
    hide: list[Text] = []
    tracks: list[Track] = []


@dataclass(frozen=True)
class SourcePage:
    """A page of `docs/` that treats a source, or a topic."""

    key: str  # `recurrent/olah-lstm`
    facts: Source | Topic

    @property
    def where(self) -> str:
        """The file as messages name it."""
        return f"docs/{self.key}.md"


def load_source(path: Path, docs: Path) -> SourcePage | None:
    """The page at `path`; None where it has neither a `url` nor the kind `topic`."""
    key = path.relative_to(docs).with_suffix("").as_posix()
    facts, body = read_front_matter(path, f"docs/{key}.md")
    model: type[Source | Topic] = Topic if facts.get("kind") == "topic" else Source
    if model is Source and "url" not in facts:
        return None
    page = SourcePage(key, validated(model, facts, f"docs/{key}.md"))
    prose = FENCE.sub("`code`", body)
    for heading in re.findall(r"^# .*|^##+ .*\$.*", prose, re.M):
        raise ContentError(
            page.where,
            f"the heading `{heading}`",
            "no second title, and no formula in a heading: the contents cannot show it",
        )
    headings = tuple(re.findall(r"^## (.+)$", prose, re.M))
    if headings != HEADINGS:
        raise ContentError(
            page.where,
            f"its headings are {list(headings)}",
            f"let them be, in this order: {list(HEADINGS)}",
        )
    empty = re.search(r"^## (.+)\n\s*(?=## |\Z)", prose, re.M)
    if empty:
        raise ContentError(
            page.where,
            f"nothing stands under “{empty[1]}”",
            "write it; CONTRIBUTING.md says what belongs there",
        )
    return page


def load_reading_list(path: Path) -> ReadingList:
    """The reading list in the front matter of the home page."""
    facts, _ = read_front_matter(path, "docs/index.md")
    return validated(ReadingList, facts, "docs/index.md")


def load_tracks(path: Path) -> list[Track]:
    """The tracks in the front matter of the path's page; none where it is missing."""
    if not path.exists():
        return []
    facts, _ = read_front_matter(path, "docs/path.md")
    return validated(Tracks, facts, "docs/path.md").tracks


def read_front_matter(path: Path, where: str) -> tuple[dict[str, Any], str]:
    """Front matter and body. Numbers stay as they are typed: 0.50 keeps its zero."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ContentError(where, str(error), "save it as UTF-8") from error
    match = FRONT_MATTER.match(text)
    if not match:
        return {}, text
    try:
        facts = yaml.load(match["yaml"], Loader=Loader)
    except yaml.YAMLError as error:
        raise ContentError(where, f"front matter: {error}", "mend the YAML") from error
    if not isinstance(facts or {}, dict):
        raise ContentError(
            where,
            f"front matter: {facts!r:.60} has no fields",
            "write `field: value`, one a line",
        )
    return facts or {}, match["body"]


def validated(model: type[AnyFacts], facts: dict[str, Any], where: str) -> AnyFacts:
    """The facts as a `model`, or one message naming every field that falls short."""
    try:
        return model.model_validate(facts)
    except ValidationError as error:
        faults = [
            f"`{'.'.join(map(str, fault['loc']))}`: {fault['msg']}"
            + _row_of(fault["loc"], facts)
            for fault in error.errors()
        ]
        raise ContentError(
            where,
            "front matter\n    " + "\n    ".join(faults),
            "mend these fields; CONTRIBUTING.md lists them all",
        ) from error


def _row_of(place: tuple[str | int, ...], facts: dict[str, Any]) -> str:
    """How the row with the fault begins, for readers who do not count rows."""
    if len(place) < 2 or not isinstance(place[1], int):
        return ""
    row = facts[str(place[0])][place[1]]
    return f" (in “{next(iter(row.values()), '')}”)" if isinstance(row, dict) else ""


def _finite(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def tolerance(number: Decimal, within: str | None) -> Decimal:
    """How far from `number` still counts as equal: zero where nothing is stated."""
    if within is None:
        return Decimal(0)
    if within == "rounding":  # half a unit of the last digit printed
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        return Decimal(1).scaleb(exponent) / 2
    if within.endswith("%"):
        return abs(number) * Decimal(within.removesuffix("%").strip()) / 100
    return Decimal(within)
