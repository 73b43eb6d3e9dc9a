"""The sections of a report: what each says, tabulates and draws. Text, page and exports all read this registry."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal

from analog_samson.errors import OptionError, did_you_mean
from analog_samson.report.contents import Contents
from analog_samson.report.table import Table
from analog_samson.report.templates import paragraphs

if TYPE_CHECKING:
    import pandas as pd

    from analog_samson.report.drawing import Drawing

ENTRY_POINTS = "analog_samson.report_sections"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure of a section.

    Attributes:
        draw: The drawing, or None where there is nothing to draw.
        caption: A template, see `paragraphs`: how to read it.
        data: The numbers behind it; None: those of the section's table.
    """

    draw: Callable[..., "Drawing | None"]
    caption: str
    data: "Callable[..., pd.DataFrame] | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One kind of table with its sentences and its figure.

    Every function takes the `Contents` of the report, and where the section has `items` one of them besides.

    Attributes:
        name: What `--table`, JSON and the files of figures call it.
        title: A template of its heading on the page; neighbours with equal headings share it.
        table: The table, or None where there is nothing to show.
        sentence: A template of what the table says in words, see `paragraphs`.
        remark: A template of what belongs to the sentence, in small print.
        note: A template of what a reader of the page must know besides.
        figure: Its figure.
        facts: More values for the templates, by name.
        items: What the section repeats itself for; None: it is there once.
        label: What tells an item from the others in words, where there are several.
        remedy: What to do to get such a table.
        page: A template of HTML instead of all this, for the page alone.
        crowded: What becomes of it in a report of more results than curves can show, see `Contents.crowded`: "shown" as
            always, "folded": its table folded and no figure, "exported": in CSV and JSON and by its name alone.
    """

    name: str
    title: str
    table: Callable[..., Table | None] | None = None
    sentence: str = ""
    remark: str = ""
    note: str = ""
    figure: Figure | None = None
    facts: Callable[..., Mapping[str, Any]] | None = None
    items: Callable[[Contents], Sequence[Any]] | None = None
    label: Callable[[Any], str] | None = None
    remedy: str = ""
    page: str = ""
    crowded: Literal["shown", "folded", "exported"] = "folded"

    def parts(self, contents: Contents) -> Iterator["Part"]:
        """The section, or one part for each of its items."""
        items = [()] if self.items is None else [(item,) for item in self.items(contents)]
        for place, item in enumerate(items):
            label = self.label(*item) if self.label and len(items) > 1 else ""
            yield Part(section=self, contents=contents, item=item, label=label, place=place)


class Part:
    """A section filled with the numbers of a report, for one of its items.

    Attributes:
        name: That of the section, with a number from the second item on.
        label: What tells the item from others; empty where there is one.
    """

    def __init__(self, *, section: Section, contents: Contents, item: tuple[Any, ...], label: str, place: int) -> None:
        self.section, self.label = section, label
        self.name = f"{section.name}-{place + 1}" if place else section.name
        self._arguments = (contents, *item)

    @cached_property
    def table(self) -> Table | None:
        """The table; None where there is nothing to show."""
        table = self.section.table(*self._arguments) if self.section.table else None
        return replace(table, folded=True) if table is not None and self._reduced else table

    @cached_property
    def drawing(self) -> "Drawing | None":
        """The figure; None where there is nothing to draw."""
        if self.section.figure is None or self._reduced:
            return None
        return self.section.figure.draw(*self._arguments)

    @cached_property
    def data(self) -> "pd.DataFrame":
        """The numbers behind the figure."""
        figure = self.section.figure
        if figure is not None and figure.data is not None:
            return figure.data(*self._arguments)
        assert self.table is not None, f"the figure of {self.name} has no data"
        return self.table.numbers

    @cached_property
    def title(self) -> str:
        """The heading on the page."""
        return " ".join(self._filled(self.section.title))

    @cached_property
    def sentences(self) -> list[str]:
        """What the table says in words."""
        return self._filled(self.section.sentence)

    @cached_property
    def remarks(self) -> list[str]:
        """What belongs to the sentences, in small print."""
        return self._filled(self.section.remark)

    @cached_property
    def notes(self) -> list[str]:
        """What a reader of the page must know besides."""
        return self._filled(self.section.note)

    @cached_property
    def caption(self) -> str:
        """How to read the figure."""
        return " ".join(self._filled(self.section.figure.caption)) if self.section.figure else ""

    @property
    def blocks(self) -> list[Table | str]:
        """What reports in text say of it."""
        blocks: list[Table | str] = [self._labelled(text) for text in (*self.sentences, *self.remarks)]
        contents: Contents = self._arguments[0]
        if self.table is not None and not (self.table.plain or (contents.crowded and self.table.folded)):
            blocks.append(replace(self.table, title=self._labelled(self.table.title)))
        return blocks

    @cached_property
    def context(self) -> dict[str, Any]:
        """What its templates use."""
        contents, *item = self._arguments
        facts = self.section.facts(*self._arguments) if self.section.facts else {}
        known = {"report": contents, "metric": contents.metric, "table": self.table}
        return {**known, **({"item": item[0]} if item else {}), **facts}

    @property
    def _reduced(self) -> bool:
        contents: Contents = self._arguments[0]
        return contents.crowded and self.section.crowded != "shown"

    def _filled(self, template: str) -> list[str]:
        return paragraphs(template, **self.context) if template else []

    def _labelled(self, text: str) -> str:
        return f"{self.label}: {text}" if self.label else text


def shown_parts(contents: Contents) -> Iterator[Part]:
    """The parts of every section that reports in words and pages show, in their order."""
    for section in sections():
        if not (contents.crowded and section.crowded == "exported"):
            yield from section.parts(contents)


SECTIONS: dict[str, Section] = {}  # by name, in the order of the report; filled when it is first read


def register_section(section: Section, *, before: str | None = None) -> None:
    """Add a section to every report, at the end or before another one.

    Raises:
        OptionError: There is a section of that name already, or none called `before`.
    """
    known = _registry()
    if section.name in known:
        raise OptionError(f"report section {section.name!r}: registered twice; give it another name")
    if before is not None and before not in known:
        raise OptionError(
            f"report section {section.name!r}: no section {before!r} to precede; known: {', '.join(known)}"
        )
    names = list(known)
    later = [known.pop(name) for name in names[names.index(before) :]] if before else []
    known.update({one.name: one for one in (section, *later)})


def sections() -> tuple[Section, ...]:
    """Every section, in the order of the report: our own, registered ones, and those of installed packages."""
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name not in _registry():
            register_section(entry.load())
    return tuple(_registry().values())


def _registry() -> dict[str, Section]:
    if not SECTIONS:
        from analog_samson.report.own_sections import OWN_SECTIONS

        SECTIONS.update({section.name: section for section in OWN_SECTIONS})
    return SECTIONS


def table_names() -> list[str]:
    """The names of the sections that have tables."""
    return [section.name for section in sections() if section.table is not None]


_RENAMED = {"accuracy": "overview", "hurts": "error_budget", "where": "layer_sensitivity", "helps": "mitigations"}


def find_section(name: str) -> Section:
    """The section with tables of that name, or of its name in 0.1; OptionError for any other."""
    found = {section.name: section for section in sections() if section.table is not None}
    name = _RENAMED.get(name, name)
    if name not in found:
        raise OptionError(f"--table {name!r}: expected one of {', '.join(found)}{did_you_mean(name, list(found))}")
    return found[name]
