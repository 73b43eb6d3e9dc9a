"""report.html: one self-contained file, and the same figures as SVG and PNG beside it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from analog_samson import __version__
from analog_samson.analysis.runs import Run, digest
from analog_samson.report.cards import cards
from analog_samson.report.citations import references
from analog_samson.report.drawing import NARROW, WIDE, png, svg
from analog_samson.report.grid import data_csv
from analog_samson.report.headline import headline
from analog_samson.report.inline import colour_css, inline_svg
from analog_samson.report.palette import SERIES
from analog_samson.report.pictures import Picture, pictures
from analog_samson.report.provenance import hardware, preset_views, presets, settings
from analog_samson.report.sections import answers, budgets, study_view
from analog_samson.report.tables import (
    detail_grid,
    missing_instances,
    notes,
    overview_grid,
    sweep_grid,
)
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.store import RunFolder

PAGE_NAME = "report.html"
FIGURES_NAME = "figures"
_SIGMA = re.compile(r"sigma_c")
_MARK = re.compile(r" ?\((extrapolated|interpolated)\)")


def write_report(runs: Sequence[RunFolder], out: str | Path, threshold: float | None = None) -> Path:
    """Write the page of one or several runs to `out`, and its figures to the folder `figures` beside it.

    Equal runs give equal bytes: the page holds no date. `threshold` [%] is that of lifetime and yield, None for losses
    below digital. Returns the path of the page.
    """
    page, read = Path(out), digest(runs)
    drawn = pictures(read)
    folder = page.parent / FIGURES_NAME
    make_folder(folder, below=page.parent)
    for name, picture in drawn.items():
        write_atomically(folder / f"{name}.svg", svg(picture.drawing, WIDE, text=False))
        write_atomically(folder / f"{name}.png", png(picture.drawing, WIDE))
    write_atomically(page, render_page(read, drawn, threshold).encode(errors="backslashreplace"))
    return page


def render_page(runs: Sequence[Run], drawn: Mapping[str, Picture], threshold: float | None = None) -> str:
    """The HTML of the page; `drawn` as `pictures` gives them."""
    return environment().get_template("report.html").render(_context(runs, drawn, threshold))


def environment() -> Environment:
    """Where templates are found and how they are filled: everything is escaped."""
    made = Environment(
        loader=PackageLoader("analog_samson.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["words"] = words
    made.filters["breakable"] = lambda text: Markup(str(words(text)).replace("_", "_<wbr>"))
    return made


def inline_picture(name: str, picture: Picture) -> dict[str, Any]:
    """A picture for wide and for narrow screens (style sheets show one of them), its caption and its data as CSV."""
    shown = {
        kind: Markup(
            inline_svg(svg(picture.drawing, layout, text=True), name=f"{name}-{kind}", title=picture.alternative)
        )
        for kind, layout in (("wide", WIDE), ("narrow", NARROW))
    }
    return {"name": name, "caption": picture.caption, "csv": data_csv(picture.data), **shown}


def words(text: str) -> Markup:
    """Escaped text with sigma_c set as a symbol and "(extrapolated)" or "(interpolated)" as a tag."""
    safe = _SIGMA.sub("<i>σ</i><sub>c</sub>", str(escape(text)))
    safe = _MARK.sub(r' <span class="tag">\1</span>', safe)
    return Markup(safe)


def _context(runs: Sequence[Run], drawn: Mapping[str, Picture], threshold: float | None) -> dict[str, Any]:
    stored = [part for run in runs for part in run.stored]
    context = _numbers(runs, drawn, threshold) | {
        "runs": runs,
        "stored": stored,
        "commands": list(dict.fromkeys(run.meta["command"] for run in stored if run.meta["command"])),
        "colours": Markup(colour_css()),
        "series": SERIES,
        "version": __version__,
        "hardware": hardware(runs),
        "presets": preset_views(runs),
        "settings": settings(runs),
        "references": references(presets(runs)),
    }
    return context | {"sections": _sections(context)}


def _numbers(runs: Sequence[Run], drawn: Mapping[str, Picture], threshold: float | None) -> dict[str, Any]:
    results = [result for run in runs for result in run.results]
    return {
        "headline": headline(runs),
        "unfinished": [(run.name, text) for run in runs if (text := missing_instances(run)) is not None],
        "cards": cards(runs),
        "pictures": {name: inline_picture(name, picture) for name, picture in drawn.items()},
        "study": study_view(runs),
        "answers": answers(results, threshold),
        "budgets": budgets(runs, drawn),
        "overview": overview_grid(results) if len(results) > 1 else None,
        "details": [detail_grid(result) for result in results],
        "sweep": sweep_grid(results) if any(result.sweep for result in results) else None,
        "notes": notes(runs),
    }


def _sections(context: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(id, words) of the sections that this page has."""
    budgets = context["budgets"]
    sections = [
        ("time", "Over time", "accuracy_over_time" in context["pictures"]),
        ("comparison", "Comparison", context["study"].comparisons),
        ("frontier-section", "Frontier", "frontier" in context["pictures"]),
        ("lifetime", "How long", context["answers"].lifetime),
        ("yield-section", "Chips", context["answers"].chips),
        ("hurts-section", "What hurts", any(one.effects for one in budgets)),
        ("where-section", "Where", any(one.layers for one in budgets)),
        ("helps-section", "What helps", any(one.remedies for one in budgets)),
        ("decisions", "Decisions", any(one.margins for one in budgets)),
        ("results", "Results", True),
        ("equivalent", "Equivalent sigma_c", context["sweep"]),
        ("hardware", "Hardware", context["hardware"]),
        ("preset", "Device preset", context["presets"]),
        ("settings", "Settings", True),
        ("reproduce", "Reproduce", True),
        ("cite", "Cite", True),
    ]
    return [(name, text) for name, text, present in sections if present]
