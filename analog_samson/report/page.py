"""report.html: one self-contained file, and the same figures as SVG, PNG and PDF beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from analog_samson import __version__
from analog_samson.analysis.completeness import missing
from analog_samson.analysis.labels import few_names
from analog_samson.report.cards import cards
from analog_samson.report.contents import MOST_CURVES, Contents
from analog_samson.report.drawing import NARROW, WIDE, pdf, png, svg
from analog_samson.report.headline import headline
from analog_samson.report.palette import SERIES
from analog_samson.report.rendering import frame_csv
from analog_samson.report.section import Part, shown_parts
from analog_samson.report.svg import colour_css, inline_svg
from analog_samson.report.table import mark_note
from analog_samson.report.templates import pages, words
from analog_samson.results.atomic import make_folder, write_atomically

if TYPE_CHECKING:
    from analog_samson.report.drawing import Drawing

PAGE_NAME = "report.html"
FIGURES_NAME = "figures"
# Around names and scores while a headline is text; no font has these letters.
_SPANS = {"name": ("\ue000", "\ue001"), "score": ("\ue002", "\ue003")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Neighbouring parts that share a heading."""

    name: str
    title: str
    parts: Sequence[Part]


def write_page(report: Contents, out: str | Path) -> Path:
    """Write the page to `out`, and its figures to the folder `figures` beside it.

    Equal runs give equal bytes: the page holds no date.

    Returns:
        The path of the page.
    """
    page, groups = Path(out), page_groups(report)
    folder, found = page.parent / FIGURES_NAME, drawings(groups)
    make_folder(folder if found else page.parent, below=page.parent)
    for name, drawing in found.items():
        write_atomically(folder / f"{name}.svg", svg(drawing, WIDE, text=False))
        write_atomically(folder / f"{name}.png", png(drawing, WIDE))
        write_atomically(folder / f"{name}.pdf", pdf(drawing))
    write_atomically(page, render_page(report, groups).encode(errors="backslashreplace"))
    return page


def page_groups(report: Contents) -> list[Group]:
    """The parts that have something to show, under their headings."""
    parts = [part for part in shown_parts(report) if _is_shown(part)]
    grouped = [(title, list(found)) for title, found in groupby(parts, key=lambda part: part.title)]
    return [Group(name=found[0].section.name, title=title, parts=found) for title, found in grouped]


def drawings(groups: Sequence[Group]) -> dict[str, "Drawing"]:
    """The figures of a page by file name."""
    return {part.name: part.drawing for group in groups for part in group.parts if part.drawing is not None}


def render_page(report: Contents, groups: Sequence[Group]) -> str:
    """The HTML of the page; `groups` as `page_groups` gives them."""
    said = headline(report, name=lambda text: _marked("name", text), score=lambda text: _marked("score", text))
    shown = cards(report)
    stored = [part for run in report.runs for part in run.stored]
    pictures = {part.name: _picture(part) for group in groups for part in group.parts if part.drawing is not None}
    return (
        pages()
        .get_template("report.html")
        .render(
            report=report,
            headline=said,
            title=headline(report).sentence,
            headed=_headed(said.sentence),
            unfinished=_unfinished(report),
            cards=shown,
            cards_note=mark_note("".join(card.value for card in shown)),
            groups=groups,
            pictures=pictures,
            page=lambda part: _own_page(report, part),
            stored=stored,
            series=SERIES,
            colours=Markup(colour_css()),
            version=__version__,
        )
    )


def _unfinished(report: Contents) -> list[str]:
    """What runs lack, run by run; of many unfinished runs, which ones."""
    found = [(run.name, text) for run in report.runs if (text := missing(run)) is not None]
    if len(found) > MOST_CURVES:
        return [f"{len(found)} of {len(report.runs)} runs are not finished: {few_names(name for name, _ in found)}."]
    return [f"{name}: {text}" if len(report.runs) > 1 else text for name, text in found]


def _is_shown(part: Part) -> bool:
    has_table = part.table is not None and not part.table.plain
    if part.section.page or part.sentences or part.remarks or has_table or part.drawing is not None:
        return True
    return part.section.table is None and part.section.figure is None and bool(part.notes)


def _picture(part: Part) -> Mapping[str, Any]:
    """A figure for wide and for narrow screens (style sheets show one of them), its caption and its data as CSV."""
    assert part.drawing is not None
    shown = {
        kind: Markup(inline_svg(svg(part.drawing, layout, text=True), name=f"{part.name}-{kind}", title=part.caption))
        for kind, layout in (("wide", WIDE), ("narrow", NARROW))
    }
    return {"name": part.name, "caption": part.caption, "csv": frame_csv(part.data), **shown}


def _own_page(report: Contents, part: Part) -> Markup:
    """A part that is a template of its own."""
    return Markup(pages().get_template(part.section.page).render(part.context))


def _marked(kind: str, text: str) -> str:
    start, end = _SPANS[kind]
    return f"{start}{text}{end}"


def _headed(sentence: str) -> Markup:
    """The headline with names and scores set apart."""
    shown = str(words(sentence))
    for kind, (start, end) in _SPANS.items():
        shown = shown.replace(start, f'<span class="{kind}">').replace(end, "</span>")
    return Markup(shown)
